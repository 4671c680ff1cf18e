#include "adapters/redis/redis_payload.h"

#include <lzf.h>
#include <string.h>

#include "migrate/base/parse.h"

#define FOOTER_BYTES   10                /* version and checksum */
#define MAX_EXPANSION  264               /* the longest match of LZF takes three bytes */
#define MAX_ITEM_BYTES ((size_t)1 << 30) /* above what a server has */

/* The types of the RDB format, by their number. */
enum rdb_type {
    RDB_STRING = 0,
    RDB_LIST = 1,
    RDB_SET = 2,
    RDB_HASH = 4,
    RDB_ZSET_2 = 5,
    RDB_SET_INTSET = 11,
    RDB_HASH_LISTPACK = 16,
    RDB_ZSET_LISTPACK = 17,
    RDB_LIST_QUICKLIST_2 = 18,
    RDB_SET_LISTPACK = 20,
};

static const struct {
    uint8_t type;
    enum nsm_kind kind;
} rdb_types[] = {
    {0, NSM_KIND_STRING},  {1, NSM_KIND_LIST},  {2, NSM_KIND_SET},     {3, NSM_KIND_ZSET},
    {4, NSM_KIND_HASH},    {5, NSM_KIND_ZSET},  {9, NSM_KIND_HASH},    {10, NSM_KIND_LIST},
    {11, NSM_KIND_SET},    {12, NSM_KIND_ZSET}, {13, NSM_KIND_HASH},   {14, NSM_KIND_LIST},
    {15, NSM_KIND_STREAM}, {16, NSM_KIND_HASH}, {17, NSM_KIND_ZSET},   {18, NSM_KIND_LIST},
    {19, NSM_KIND_STREAM}, {20, NSM_KIND_SET},  {21, NSM_KIND_STREAM},
};

enum nsm_kind nsm_redis_dump_kind(struct nsm_str payload)
{
    for (size_t at = 0; payload.len && at < NSM_COUNT_OF(rdb_types); at++) {
        if (rdb_types[at].type == (uint8_t)payload.ptr[0])
            return rdb_types[at].kind;
    }
    return NSM_KIND_DUMP;
}

/* What is left of a payload, and what was found in it. */
struct decoder {
    struct nsm_str rest;
    struct nsm_arena *arena;
    struct nsm_value *items;
    size_t n_items, cap_items;
};

static void add_item(struct decoder *decoder, enum nsm_type type, struct nsm_str bytes)
{
    if (decoder->n_items == decoder->cap_items) {
        const size_t cap = decoder->cap_items ? decoder->cap_items * 2 : 8;
        struct nsm_value *const items = nsm_arena_calloc(decoder->arena, cap, sizeof(*items));
        if (decoder->n_items)
            memcpy(items, decoder->items, decoder->n_items * sizeof(*items));
        decoder->items = items;
        decoder->cap_items = cap;
    }
    decoder->items[decoder->n_items++] = (struct nsm_value){.type = type, .bytes = bytes};
}

static struct nsm_str text_of(struct decoder *decoder, int64_t number)
{
    char *const text = nsm_arena_alloc(decoder->arena, 20);
    return (struct nsm_str){.ptr = text, .len = nsm_format_i64(number, text)};
}

static struct nsm_str text_of_double(struct decoder *decoder, double number)
{
    char *const text = nsm_arena_alloc(decoder->arena, 32);
    return (struct nsm_str){.ptr = text, .len = nsm_format_double(number, text)};
}

/* ---- bytes ---- */

static bool take(struct nsm_str *rest, size_t len, struct nsm_str *ret)
{
    if (len > rest->len)
        return false;
    *ret = (struct nsm_str){.ptr = rest->ptr, .len = len};
    *rest = nsm_str_skip(*rest, len);
    return true;
}

static bool take_byte(struct nsm_str *rest, uint8_t *ret)
{
    struct nsm_str byte;
    if (!take(rest, 1, &byte))
        return false;
    *ret = (uint8_t)byte.ptr[0];
    return true;
}

static bool take_big_endian(struct nsm_str *rest, size_t n_bytes, uint64_t *ret)
{
    struct nsm_str bytes;
    if (!take(rest, n_bytes, &bytes))
        return false;
    *ret = 0;
    for (size_t at = 0; at < n_bytes; at++)
        *ret = *ret << 8 | (uint8_t)bytes.ptr[at];
    return true;
}

static bool take_little_endian(struct nsm_str *rest, size_t n_bytes, uint64_t *ret)
{
    struct nsm_str bytes;
    if (!take(rest, n_bytes, &bytes))
        return false;
    *ret = 0;
    for (size_t at = n_bytes; at > 0; at--)
        *ret = *ret << 8 | (uint8_t)bytes.ptr[at - 1];
    return true;
}

/* Two's complement of so many bits. */
static int64_t sign_extend(uint64_t number, unsigned n_bits)
{
    const uint64_t sign = UINT64_C(1) << (n_bits - 1);
    return (int64_t)((number ^ sign) - sign);
}

static bool take_signed(struct nsm_str *rest, size_t n_bytes, int64_t *ret)
{
    uint64_t number = 0;
    if (!take_little_endian(rest, n_bytes, &number))
        return false;
    *ret = sign_extend(number, (unsigned)n_bytes * 8);
    return true;
}

/* ---- lengths and strings ---- */

/* A length, or how a string is encoded when it stands for one. */
static bool take_length(struct nsm_str *rest, uint64_t *ret, bool *ret_is_encoding)
{
    uint8_t first = 0;
    uint8_t second = 0;
    if (!take_byte(rest, &first))
        return false;
    *ret_is_encoding = first >> 6 == 3;
    switch (first >> 6) {
    case 1:
        if (!take_byte(rest, &second))
            return false;
        *ret = (uint64_t)(first & 0x3f) << 8 | second;
        return true;
    case 2:
        if (first != 0x80 && first != 0x81)
            return false;
        return take_big_endian(rest, first == 0x80 ? 4 : 8, ret);
    default:
        *ret = first & 0x3f;
        return true;
    }
}

static bool take_count(struct nsm_str *rest, uint64_t *ret)
{
    bool is_encoding = false;
    return take_length(rest, ret, &is_encoding) && !is_encoding;
}

static bool take_compressed(struct decoder *decoder, struct nsm_str *ret)
{
    uint64_t n_packed = 0;
    uint64_t n_bytes = 0;
    struct nsm_str packed;
    if (!take_count(&decoder->rest, &n_packed) || !take_count(&decoder->rest, &n_bytes) ||
        !take(&decoder->rest, n_packed, &packed) || n_bytes == 0 || n_bytes > MAX_ITEM_BYTES ||
        n_bytes / MAX_EXPANSION > n_packed)
        return false;
    char *const bytes = nsm_arena_alloc(decoder->arena, n_bytes);
    *ret = (struct nsm_str){.ptr = bytes, .len = n_bytes};
    return lzf_decompress(packed.ptr, (unsigned)packed.len, bytes, (unsigned)n_bytes) == n_bytes;
}

static bool take_string(struct decoder *decoder, struct nsm_str *ret)
{
    uint64_t length = 0;
    bool is_encoding = false;
    if (!take_length(&decoder->rest, &length, &is_encoding))
        return false;
    if (!is_encoding)
        return take(&decoder->rest, length, ret);
    if (length == 3)
        return take_compressed(decoder, ret);
    int64_t number = 0;
    if (length > 2 || !take_signed(&decoder->rest, (size_t)1 << length, &number))
        return false;
    *ret = text_of(decoder, number);
    return true;
}

static bool add_string(struct decoder *decoder)
{
    struct nsm_str string;
    if (!take_string(decoder, &string))
        return false;
    add_item(decoder, NSM_BYTES, string);
    return true;
}

static bool add_strings(struct decoder *decoder, size_t n_each)
{
    uint64_t n = 0;
    if (!take_count(&decoder->rest, &n) || n > decoder->rest.len)
        return false;
    for (uint64_t at = 0; at < n * n_each; at++) {
        if (!add_string(decoder))
            return false;
    }
    return true;
}

static bool add_members_with_scores(struct decoder *decoder)
{
    uint64_t n = 0;
    if (!take_count(&decoder->rest, &n))
        return false;
    for (uint64_t at = 0; at < n; at++) {
        uint64_t bits = 0;
        double score;
        if (!add_string(decoder) || !take_little_endian(&decoder->rest, sizeof(bits), &bits))
            return false;
        memcpy(&score, &bits, sizeof(score));
        add_item(decoder, NSM_FLOAT, text_of_double(decoder, score));
    }
    return true;
}

/* ---- packed forms ---- */

static bool add_intset(struct decoder *decoder)
{
    struct nsm_str set;
    uint64_t n_bytes = 0;
    uint64_t n = 0;
    if (!take_string(decoder, &set) || !take_little_endian(&set, 4, &n_bytes) ||
        !take_little_endian(&set, 4, &n) || (n_bytes != 2 && n_bytes != 4 && n_bytes != 8) ||
        set.len != n * n_bytes)
        return false;
    int64_t number = 0;
    while (take_signed(&set, n_bytes, &number))
        add_item(decoder, NSM_BYTES, text_of(decoder, number));
    return true;
}

/* Integers by the first byte's lowest bits, from 1111 0001 on. */
static bool take_packed_integer(struct nsm_str *rest, uint8_t first, int64_t *ret)
{
    static const size_t n_bytes[] = {2, 3, 4, 8};
    return first >= 0xf1 && first <= 0xf4 && take_signed(rest, n_bytes[first - 0xf1], ret);
}

/* One element of a packed list: a string's length stands in the first byte, it and the next, or the next four; so do small integers. */
static bool take_packed(struct decoder *decoder, struct nsm_str *rest, struct nsm_str *ret)
{
    uint8_t first = 0;
    uint64_t low = 0;
    int64_t number = 0;
    if (!take_byte(rest, &first))
        return false;
    if (first < 0x80) {
        *ret = text_of(decoder, first);
        return true;
    }
    if (first < 0xc0)
        return take(rest, first & 0x3f, ret);
    if (first < 0xf0 && !take_little_endian(rest, 1, &low))
        return false;
    if (first < 0xe0) {
        *ret = text_of(decoder, sign_extend((uint64_t)(first & 0x1f) << 8 | low, 13));
        return true;
    }
    if (first < 0xf0)
        return take(rest, (size_t)(first & 0x0f) << 8 | low, ret);
    if (first == 0xf0)
        return take_little_endian(rest, 4, &low) && take(rest, low, ret);
    if (!take_packed_integer(rest, first, &number))
        return false;
    *ret = text_of(decoder, number);
    return true;
}

/* Behind each element stands its length, for reading backwards, in seven bits a byte. */
static size_t length_behind(size_t n_element)
{
    if (n_element <= 127)
        return 1;
    if (n_element < 16383)
        return 2;
    if (n_element < 2097151)
        return 3;
    return n_element < 268435455 ? 4 : 5;
}

static bool add_listpack(struct decoder *decoder, bool has_scores)
{
    struct nsm_str rest;
    struct nsm_str element;
    uint64_t n_bytes = 0;
    uint64_t n = 0;
    if (!take_string(decoder, &rest))
        return false;
    const size_t len = rest.len;
    if (!take_little_endian(&rest, 4, &n_bytes) || !take_little_endian(&rest, 2, &n) ||
        n_bytes != len)
        return false;
    bool is_score = false;
    while (rest.len && (uint8_t)rest.ptr[0] != 0xff) {
        const size_t before = rest.len;
        double score = 0;
        if (!take_packed(decoder, &rest, &element))
            return false;
        if (has_scores && is_score) {
            if (!nsm_parse_double(element, &score))
                return false;
            element = text_of_double(decoder, score);
        }
        add_item(decoder, has_scores && is_score ? NSM_FLOAT : NSM_BYTES, element);
        is_score = !is_score;
        if (!take(&rest, length_behind(before - rest.len), &element))
            return false;
    }
    return rest.len == 1;
}

static bool add_quicklist(struct decoder *decoder)
{
    enum {
        PLAIN = 1,
        PACKED = 2
    };
    uint64_t n_nodes = 0;
    if (!take_count(&decoder->rest, &n_nodes))
        return false;
    for (uint64_t at = 0; at < n_nodes; at++) {
        uint64_t container = 0;
        if (!take_count(&decoder->rest, &container) ||
            (container != PLAIN && container != PACKED) ||
            !(container == PLAIN ? add_string(decoder) : add_listpack(decoder, false)))
            return false;
    }
    return true;
}

/* ---- the value ---- */

static bool add_value(struct decoder *decoder, uint8_t type)
{
    switch (type) {
    case RDB_STRING:
        return add_string(decoder);
    case RDB_LIST:
    case RDB_SET:
        return add_strings(decoder, 1);
    case RDB_HASH:
        return add_strings(decoder, 2);
    case RDB_ZSET_2:
        return add_members_with_scores(decoder);
    case RDB_SET_INTSET:
        return add_intset(decoder);
    case RDB_HASH_LISTPACK:
    case RDB_SET_LISTPACK:
        return add_listpack(decoder, false);
    case RDB_ZSET_LISTPACK:
        return add_listpack(decoder, true);
    case RDB_LIST_QUICKLIST_2:
        return add_quicklist(decoder);
    default:
        return false;
    }
}

bool nsm_redis_payload_read(struct nsm_str payload, struct nsm_arena *arena,
                            struct nsm_record *record)
{
    const enum nsm_kind kind = nsm_redis_dump_kind(payload);
    struct decoder decoder = {.arena = arena};
    uint8_t type = 0;
    if (payload.len < FOOTER_BYTES)
        return false;
    decoder.rest = (struct nsm_str){.ptr = payload.ptr, .len = payload.len - FOOTER_BYTES};
    const bool is_paired = kind == NSM_KIND_HASH || kind == NSM_KIND_ZSET;
    if (!take_byte(&decoder.rest, &type) || !add_value(&decoder, type) || decoder.rest.len ||
        decoder.n_items == 0 || (is_paired && decoder.n_items % 2))
        return false;
    record->kind = kind;
    record->items = decoder.items;
    record->n_items = decoder.n_items;
    return true;
}
