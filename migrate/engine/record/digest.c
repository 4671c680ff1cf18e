/*
 * Hashing of records. What is hashed is an encoding of the record in which nothing can run into its
 * neighbour: every piece is preceded by its length, every absent value is told from an empty one.
 * The encoding is little-endian on every machine, because digests are kept in ledgers and files.
 */
#include "migrate/engine/record/digest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#define XXH_STATIC_LINKING_ONLY /* the state's size: it lies on the stack */
#include <xxhash.h>

#include "migrate/base/parse.h"

/* Most records are small: they are gathered here and hashed in one call, which is several times
 * faster than feeding XXH3 piece by piece. */
#define GATHER_BYTES 1024

struct hasher {
    unsigned char bytes[GATHER_BYTES];
    size_t len;
    bool is_streaming; /* outgrew `bytes`: goes through `state` */
    XXH3_state_t state;
};

/* Leaves the large members as they are: this runs once per record. */
static void hasher_begin(struct hasher *hasher)
{
    hasher->len = 0;
    hasher->is_streaming = false;
}

static void put(struct hasher *hasher, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    assert(bytes);
    if (!hasher->is_streaming && len <= GATHER_BYTES - hasher->len) {
        memcpy(hasher->bytes + hasher->len, bytes, len);
        hasher->len += len;
        return;
    }
    if (!hasher->is_streaming) {
        XXH3_128bits_reset(&hasher->state);
        XXH3_128bits_update(&hasher->state, hasher->bytes, hasher->len);
        hasher->is_streaming = true;
    }
    XXH3_128bits_update(&hasher->state, bytes, len);
}

static struct nsm_hash hasher_end(struct hasher *hasher)
{
    const XXH128_hash_t hash = hasher->is_streaming ? XXH3_128bits_digest(&hasher->state)
                                                    : XXH3_128bits(hasher->bytes, hasher->len);
    return (struct nsm_hash){.low = hash.low64, .high = hash.high64};
}

static void put_byte(struct hasher *hasher, unsigned value)
{
    const unsigned char byte = (unsigned char)value;
    put(hasher, &byte, 1);
}

static void put_u64(struct hasher *hasher, uint64_t value)
{
    unsigned char bytes[8];
    for (unsigned index = 0; index < 8; index++)
        bytes[index] = (unsigned char)(value >> (8 * index));
    put(hasher, bytes, sizeof(bytes));
}

static void put_str(struct hasher *hasher, struct nsm_str s)
{
    put_u64(hasher, s.len);
    put(hasher, s.ptr, s.len);
}

/* A number has one text, whatever text it came in; minus zero is zero, as stores differ in whether
 * they keep its sign. */
static void put_float(struct hasher *hasher, struct nsm_str text)
{
    double number;
    if (!nsm_parse_double(text, &number)) {
        put_str(hasher, text);
        return;
    }
    char canonical[32];
    const size_t len = nsm_format_double(number == 0.0 ? 0.0 : number, canonical);
    put_str(hasher, (struct nsm_str){.ptr = canonical, .len = len});
}

static void put_value(struct hasher *hasher, const struct nsm_value *value, unsigned flags)
{
    if (value->type == NSM_NULL) {
        put_byte(hasher, 0);
        return;
    }
    put_byte(hasher, flags & NSM_DIGEST_TYPED ? 1 + (unsigned)value->type : 1);
    if (value->type == NSM_FLOAT)
        put_float(hasher, value->bytes);
    else
        put_str(hasher, value->bytes);
}

static struct nsm_str key_rest(const struct nsm_record *record, size_t skip_key_bytes)
{
    const size_t n_skipped = skip_key_bytes < record->key.len ? skip_key_bytes : record->key.len;
    return nsm_str_skip(record->key, n_skipped);
}

static struct nsm_hash hash_sum(struct nsm_hash a, struct nsm_hash b)
{
    const uint64_t low = a.low + b.low;
    return (struct nsm_hash){.low = low, .high = a.high + b.high + (low < a.low)};
}

/* The hash of kind, key and (for the key as a whole) expiry. */
static struct nsm_hash hash_head(struct hasher *hasher, const struct nsm_record *record,
                                 size_t skip_key_bytes, bool with_expiry)
{
    hasher_begin(hasher);
    put_byte(hasher, (unsigned)record->kind);
    put_byte(hasher, with_expiry);
    put_str(hasher, key_rest(record, skip_key_bytes));
    if (with_expiry)
        put_u64(hasher, (uint64_t)record->expires_at_ms);
    return hasher_end(hasher);
}

/* The head once per key, and each item bound to its key: so neither the order of the items nor the
 * cuts between slices show. */
static struct nsm_hash hash_unordered(const struct nsm_record *record, size_t skip_key_bytes,
                                      unsigned flags)
{
    const size_t width = record->kind == NSM_KIND_SET ? 1 : 2;
    assert(record->n_items % width == 0);
    struct hasher hasher;
    struct nsm_hash sum = {0};
    if (!(record->flags & NSM_RECORD_CONTINUED))
        sum = hash_head(&hasher, record, skip_key_bytes, true);
    const struct nsm_hash owner = hash_head(&hasher, record, skip_key_bytes, false);
    for (size_t index = 0; index < record->n_items; index += width) {
        hasher_begin(&hasher);
        put_u64(&hasher, owner.low);
        put_u64(&hasher, owner.high);
        for (size_t item = index; item < index + width; item++)
            put_value(&hasher, &record->items[item], flags);
        sum = hash_sum(sum, hasher_end(&hasher));
    }
    return sum;
}

static struct nsm_hash hash_ordered(const struct nsm_record *record, size_t skip_key_bytes,
                                    unsigned flags)
{
    struct hasher hasher;
    hasher_begin(&hasher);
    put_byte(&hasher, (unsigned)record->kind);
    put_byte(&hasher, record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED));
    put_str(&hasher, key_rest(record, skip_key_bytes));
    put_u64(&hasher, (uint64_t)record->expires_at_ms);
    put_u64(&hasher, record->n_items);
    for (size_t index = 0; index < record->n_items; index++)
        put_value(&hasher, &record->items[index], flags);
    return hasher_end(&hasher);
}

struct nsm_hash nsm_record_hash(const struct nsm_record *record, size_t skip_key_bytes,
                                unsigned flags)
{
    switch (record->kind) {
    case NSM_KIND_HASH:
    case NSM_KIND_SET:
    case NSM_KIND_ZSET:
        return hash_unordered(record, skip_key_bytes, flags);
    case NSM_KIND_ROW:
    case NSM_KIND_STRING:
    case NSM_KIND_LIST:
    case NSM_KIND_STREAM:
    case NSM_KIND_DUMP:
        break;
    }
    return hash_ordered(record, skip_key_bytes, flags);
}

void nsm_digest_add_record(struct nsm_digest *digest, const struct nsm_record *record,
                           size_t skip_key_bytes, unsigned flags)
{
    nsm_digest_add_hash(digest, nsm_record_hash(record, skip_key_bytes, flags));
    if (record->flags & NSM_RECORD_CONTINUED)
        digest->n_records--;
}

struct nsm_hash nsm_record_key_hash(const struct nsm_record *record,
                                    const struct nsm_object *object, size_t skip_key_bytes)
{
    struct hasher hasher;
    hasher_begin(&hasher);
    if (record->kind != NSM_KIND_ROW) {
        put_str(&hasher, key_rest(record, skip_key_bytes));
        return hasher_end(&hasher);
    }
    const bool has_key = object->n_key_columns > 0;
    const size_t n_columns = has_key ? object->n_key_columns : record->n_items;
    for (size_t index = 0; index < n_columns; index++) {
        const size_t column = has_key ? object->key_columns[index] : index;
        assert(column < record->n_items);
        put_value(&hasher, &record->items[column], 0);
    }
    return hasher_end(&hasher);
}

void nsm_digest_add_hash(struct nsm_digest *digest, struct nsm_hash hash)
{
    const struct nsm_hash sum =
        hash_sum((struct nsm_hash){.low = digest->low, .high = digest->high}, hash);
    digest->low = sum.low;
    digest->high = sum.high;
    digest->n_records++;
}

void nsm_digest_add_raw(struct nsm_digest *digest, struct nsm_str row)
{
    const XXH128_hash_t hash = XXH3_128bits(row.ptr, row.len);
    nsm_digest_add_hash(digest, (struct nsm_hash){.low = hash.low64, .high = hash.high64});
}

void nsm_digest_merge(struct nsm_digest *digest, const struct nsm_digest *other)
{
    const uint64_t n_records = digest->n_records + other->n_records;
    nsm_digest_add_hash(digest, (struct nsm_hash){.low = other->low, .high = other->high});
    digest->n_records = n_records;
}

bool nsm_digest_equals(const struct nsm_digest *a, const struct nsm_digest *b)
{
    return a->low == b->low && a->high == b->high;
}

void nsm_digest_format(const struct nsm_digest *digest, char *out)
{
    (void)snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, digest->high, digest->low);
}

static bool parse_hex(const char *digits, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t index = 0; index < 16; index++) {
        const char c = digits[index];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *ret = value;
    return true;
}

bool nsm_digest_parse(struct nsm_str text, struct nsm_digest *ret)
{
    struct nsm_digest digest = {0};
    if (text.len != 32 || !parse_hex(text.ptr, &digest.high) ||
        !parse_hex(text.ptr + 16, &digest.low))
        return false;
    *ret = digest;
    return true;
}
