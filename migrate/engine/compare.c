/* See compare.h. */
#include "migrate/engine/compare.h"

#include <assert.h>
#include <pthread.h>

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#define N_BUCKETS        ((size_t)1 << 16)
#define DEFAULT_CAPACITY ((size_t)1 << 20)
#define MAX_KEY_TEXT     200
/* Hashes are made outside the lock, this many at a time. */
#define CHUNK 128
/* When no more records than this are collected, the names of their keys are too: 4 MiB. */
#define MAX_EARLY_NAMES 20000
/* Of the filter, a Bloom filter of 16 MiB: up to some ten million keys next to none passes that is not the source's. */
#define FILTER_BITS ((uint64_t)1 << 27)

enum pass {
    PASS_SUM,
    PASS_COLLECT,
    PASS_NAME,
    PASS_END,
};

struct bucket {
    struct nsm_digest sides[2];
    bool is_chosen; /* collected in this pass */
    bool is_open;   /* differs, and was not collected yet */
};

/* A record, or what all records of one key on one side come to. */
struct entry {
    struct nsm_hash key;
    struct nsm_digest sum;
};

struct entries {
    struct entry *items;
    size_t n, cap;
};

/* A difference that was found, to be named in the last pass. */
struct found {
    struct nsm_hash key;
    struct nsm_compare_difference difference;
    bool is_to_be_named;
};

struct nsm_compare {
    enum nsm_compare_mode mode;
    size_t max_named, max_kept, capacity;
    enum pass pass;
    struct bucket *buckets;
    uint64_t *filter; /* of the source's keys, where the destination may hold others; else NULL */
    struct entries sides[2];
    bool keeps_names;    /* in this pass */
    struct found *names; /* of the records collected in this pass */
    size_t n_names, cap_names;
    struct found *found; /* sorted by key in PASS_NAME */
    size_t n_found, cap_found;
    struct nsm_compare_result result;
    pthread_mutex_t mutex; /* guards what add changes */
};

struct nsm_compare *nsm_compare_new(enum nsm_compare_mode mode, size_t max_named)
{
    struct nsm_compare *const compare = nsm_xcalloc(1, sizeof(*compare));
    compare->mode = mode;
    compare->max_named = max_named;
    compare->max_kept = max_named;
    compare->capacity = DEFAULT_CAPACITY;
    compare->buckets = nsm_xcalloc(N_BUCKETS, sizeof(*compare->buckets));
    if (mode != NSM_COMPARE_EXACT)
        compare->filter = nsm_xcalloc(FILTER_BITS / 64, sizeof(*compare->filter));
    pthread_mutex_init(&compare->mutex, NULL);
    return compare;
}

static void forget_names(struct nsm_compare *compare)
{
    for (size_t at = 0; at < compare->n_names; at++)
        free(compare->names[at].difference.key);
    compare->n_names = 0;
}

void nsm_compare_free(struct nsm_compare *compare)
{
    if (!compare)
        return;
    forget_names(compare);
    free(compare->names);
    free(compare->filter);
    for (size_t at = 0; at < compare->result.n_differences; at++)
        free(compare->result.differences[at].key);
    free(compare->result.differences);
    for (size_t at = 0; at < compare->n_found; at++)
        free(compare->found[at].difference.key);
    free(compare->found);
    free(compare->sides[0].items);
    free(compare->sides[1].items);
    free(compare->buckets);
    pthread_mutex_destroy(&compare->mutex);
    free(compare);
}

void nsm_compare_set_capacity(struct nsm_compare *compare, size_t n_records)
{
    assert(compare->pass == PASS_SUM && n_records > 0);
    compare->capacity = n_records;
}

void nsm_compare_keep(struct nsm_compare *compare, size_t n)
{
    assert(compare->pass == PASS_SUM && n >= compare->max_named);
    compare->max_kept = n;
}

/* ---- names ---- */

static void append_printable(struct nsm_buf *out, struct nsm_str bytes)
{
    const bool is_text = nsm_is_utf8(bytes);
    for (size_t at = 0; at < bytes.len && out->len < MAX_KEY_TEXT; at++) {
        const unsigned char byte = (unsigned char)bytes.ptr[at];
        if (byte == '\\')
            nsm_buf_append_cstr(out, "\\\\");
        else if (byte >= 0x20 && byte != 0x7f && (byte < 0x80 || is_text))
            nsm_buf_append_char(out, (char)byte);
        else
            nsm_buf_printf(out, "\\x%02x", byte);
    }
    if (out->len < MAX_KEY_TEXT)
        return;
    while (out->len > 0 && ((unsigned char)out->ptr[out->len - 1] & 0xc0) == 0x80)
        nsm_buf_truncate(out, out->len - 1);
    if (out->len > 0 && (unsigned char)out->ptr[out->len - 1] >= 0xc0)
        nsm_buf_truncate(out, out->len - 1);
    nsm_buf_append_cstr(out, "...");
}

static void describe_column(const struct nsm_record *record, const struct nsm_object *object,
                            size_t column, struct nsm_buf *out)
{
    if (column >= record->n_items || out->len >= MAX_KEY_TEXT)
        return;
    nsm_buf_printf(out, "%s%s=", out->len ? " " : "", object->columns[column].name);
    const struct nsm_value *const value = &record->items[column];
    if (value->type == NSM_NULL)
        nsm_buf_append_cstr(out, "null");
    else
        append_printable(out, value->bytes);
}

void nsm_record_describe_key(const struct nsm_record *record, const struct nsm_object *object,
                             struct nsm_buf *out)
{
    if (record->kind != NSM_KIND_ROW) {
        append_printable(out, record->key);
        return;
    }
    const size_t n = object->n_key_columns ? object->n_key_columns : object->n_columns;
    for (size_t at = 0; at < n; at++)
        describe_column(record, object, object->n_key_columns ? object->key_columns[at] : at, out);
}

/* ---- the filter ---- */

#define N_FILTER_HASHES 4

static void filter_bits(const struct nsm_hash *key, uint64_t bits[N_FILTER_HASHES])
{
    const uint64_t pieces[N_FILTER_HASHES] = {key->low, key->low >> 27, key->high >> 10,
                                              key->high >> 37};
    for (size_t at = 0; at < N_FILTER_HASHES; at++)
        bits[at] = pieces[at] % FILTER_BITS;
}

static void filter_add(struct nsm_compare *compare, const struct nsm_hash *key)
{
    uint64_t bits[N_FILTER_HASHES];
    filter_bits(key, bits);
    for (size_t at = 0; at < N_FILTER_HASHES; at++)
        compare->filter[bits[at] / 64] |= UINT64_C(1) << bits[at] % 64;
}

static bool filter_has(const struct nsm_compare *compare, const struct nsm_hash *key)
{
    uint64_t bits[N_FILTER_HASHES];
    filter_bits(key, bits);
    for (size_t at = 0; at < N_FILTER_HASHES; at++)
        if (!(compare->filter[bits[at] / 64] >> bits[at] % 64 & 1))
            return false;
    return true;
}

/* What stands at the destination and can't be the source's is no concern of this comparison. */
static bool is_of_others(struct nsm_compare *compare, enum nsm_compare_side side,
                         const struct nsm_hash *key)
{
    if (!compare->filter)
        return false;
    if (side == NSM_COMPARE_DESTINATION)
        return !filter_has(compare, key);
    if (compare->pass == PASS_SUM)
        filter_add(compare, key);
    return false;
}

/* ---- adding ---- */

static size_t bucket_of(struct nsm_hash key)
{
    return (size_t)(key.high % N_BUCKETS);
}

static void sum_entry(struct nsm_compare *compare, enum nsm_compare_side side,
                      const struct entry *entry)
{
    nsm_digest_merge(&compare->buckets[bucket_of(entry->key)].sides[side], &entry->sum);
}

static int compare_hashes(const struct nsm_hash *a, const struct nsm_hash *b)
{
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    return (a->low > b->low) - (a->low < b->low);
}

static int by_key(const void *a, const void *b)
{
    const struct entry *const left = a;
    const struct entry *const right = b;
    return compare_hashes(&left->key, &right->key);
}

/* Sorts by key, and makes one entry of all that have the same: equal rows of a table without a key, slices of a big key. */
static void fold(struct entries *entries)
{
    size_t n = 0;
    if (entries->n > 0)
        qsort(entries->items, entries->n, sizeof(struct entry), by_key);
    for (size_t at = 0; at < entries->n; at++) {
        const struct entry *const entry = &entries->items[at];
        if (n > 0 && by_key(&entries->items[n - 1], entry) == 0)
            nsm_digest_merge(&entries->items[n - 1].sum, &entry->sum);
        else
            entries->items[n++] = *entry;
    }
    entries->n = n;
}

static char *describe(const struct nsm_record *record, const struct nsm_object *object)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_record_describe_key(record, object, &text);
    return nsm_buf_detach(&text);
}

static void keep_name(struct nsm_compare *compare, const struct entry *entry,
                      const struct nsm_record *record, const struct nsm_compare_object *object)
{
    if (compare->n_names == MAX_EARLY_NAMES) {
        /* one side has grown since its records were counted */
        compare->keeps_names = false;
        forget_names(compare);
        return;
    }
    NSM_GROW(compare->names, compare->n_names, compare->cap_names);
    compare->names[compare->n_names++] = (struct found){
        .key = entry->key,
        .difference = {.object_index = object->index, .key = describe(record, object->object)},
    };
}

/* False: the record is in none of the buckets of this pass. */
static bool collect_entry(struct nsm_compare *compare, enum nsm_compare_side side,
                          const struct entry *entry)
{
    if (!compare->buckets[bucket_of(entry->key)].is_chosen)
        return false;
    struct entries *const entries = &compare->sides[side];
    /* a key of more records than the capacity, all in one bucket, must not take memory for each */
    if (entries->n == entries->cap && entries->n >= compare->capacity)
        fold(entries);
    NSM_GROW(entries->items, entries->n, entries->cap);
    entries->items[entries->n++] = *entry;
    return true;
}

static int by_found_key(const void *a, const void *b)
{
    const struct found *const left = a;
    const struct found *const right = b;
    return compare_hashes(&left->key, &right->key);
}

static void name_entry(struct nsm_compare *compare, const struct entry *entry,
                       const struct nsm_record *record, const struct nsm_compare_object *object)
{
    const struct found wanted = {.key = entry->key};
    struct found *const found =
        bsearch(&wanted, compare->found, compare->n_found, sizeof(*compare->found), by_found_key);
    if (!found || found->difference.key || !found->is_to_be_named)
        return;
    found->difference.key = describe(record, object->object);
    found->difference.object_index = object->index;
}

struct nsm_hash nsm_compare_hash(const struct nsm_record *record,
                                 const struct nsm_compare_object *object)
{
    struct nsm_hash hash = nsm_record_key_hash(record, object->object, object->skip_key_bytes);
    /* the same key in two tables is two keys; the factor is 2^64 divided by the golden ratio */
    hash.high += object->index * UINT64_C(0x9e3779b97f4a7c15);
    return hash;
}

/* Where other records of the same key will do, the key alone is compared, once for all its slices. */
static struct entry entry_of(const struct nsm_compare *compare, const struct nsm_record *record,
                             const struct nsm_compare_object *object)
{
    struct entry entry = {.key = nsm_compare_hash(record, object)};
    if (compare->mode != NSM_COMPARE_SKIP)
        nsm_digest_add_hash(&entry.sum,
                            nsm_record_hash(record, object->skip_key_bytes, object->digest_flags));
    else if (!(record->flags & NSM_RECORD_CONTINUED))
        nsm_digest_add_hash(&entry.sum, entry.key);
    return entry;
}

static void add_entry(struct nsm_compare *compare, enum nsm_compare_side side,
                      const struct entry *entry, const struct nsm_record *record,
                      const struct nsm_compare_object *object)
{
    if (is_of_others(compare, side, &entry->key))
        return;
    if (compare->pass == PASS_SUM) {
        sum_entry(compare, side, entry);
        compare->result.n_records[side] += !(record->flags & NSM_RECORD_CONTINUED);
    } else if (compare->pass == PASS_COLLECT) {
        if (collect_entry(compare, side, entry) && compare->keeps_names)
            keep_name(compare, entry, record, object);
    } else if (compare->n_found > 0) {
        name_entry(compare, entry, record, object);
    }
}

void nsm_compare_add(struct nsm_compare *compare, enum nsm_compare_side side,
                     const struct nsm_batch *batch, const struct nsm_compare_object *object)
{
    struct entry entries[CHUNK];
    for (size_t begin = 0; begin < batch->n_records; begin += CHUNK) {
        const size_t n = batch->n_records - begin < CHUNK ? batch->n_records - begin : CHUNK;
        for (size_t at = 0; at < n; at++)
            entries[at] = entry_of(compare, &batch->records[begin + at], object);
        pthread_mutex_lock(&compare->mutex);
        for (size_t at = 0; at < n; at++)
            add_entry(compare, side, &entries[at], &batch->records[begin + at], object);
        pthread_mutex_unlock(&compare->mutex);
    }
}

/* ---- between passes ---- */

void nsm_compare_begin_anew(struct nsm_compare *compare)
{
    for (size_t at = 0; compare->pass == PASS_SUM && at < N_BUCKETS; at++)
        compare->buckets[at] = (struct bucket){0};
    for (size_t side = 0; side < NSM_COUNT_OF(compare->sides); side++) {
        compare->sides[side].n = 0;
        if (compare->pass == PASS_SUM)
            compare->result.n_records[side] = 0;
    }
    forget_names(compare);
}

/* Takes as many open buckets as the capacity holds, at least one. False: none is open. */
static bool choose_buckets(struct nsm_compare *compare)
{
    uint64_t n_records = 0;
    bool is_any = false;
    for (size_t at = 0; at < N_BUCKETS; at++) {
        struct bucket *const bucket = &compare->buckets[at];
        const uint64_t n = bucket->sides[0].n_records + bucket->sides[1].n_records;
        bucket->is_chosen = bucket->is_open && (!is_any || n_records + n <= compare->capacity);
        if (!bucket->is_chosen)
            continue;
        bucket->is_open = false;
        is_any = true;
        n_records += n;
    }
    compare->keeps_names = n_records <= MAX_EARLY_NAMES;
    return is_any;
}

static bool is_bucket_different(const struct bucket *bucket)
{
    return bucket->sides[0].n_records != bucket->sides[1].n_records ||
           !nsm_digest_equals(&bucket->sides[0], &bucket->sides[1]);
}

/* The entry of that key at *at, which it then passes; NULL where the side has none. */
static const struct nsm_digest *take(const struct entries *entries, size_t *at,
                                     const struct nsm_hash *key)
{
    if (*at == entries->n || compare_hashes(&entries->items[*at].key, key) != 0)
        return NULL;
    return &entries->items[(*at)++].sum;
}

/* The name of a key that was collected in this pass; sorted names, NULL when it was not kept. */
static void take_name(struct nsm_compare *compare, struct found *found)
{
    struct found *const name =
        bsearch(found, compare->names, compare->n_names, sizeof(*compare->names), by_found_key);
    if (!name)
        return;
    found->difference.object_index = name->difference.object_index;
    found->difference.key = NSM_STEAL(name->difference.key);
}

static void note_difference(struct nsm_compare *compare, const struct nsm_hash *key, char mark,
                            uint64_t *count)
{
    (*count)++;
    if (compare->n_found >= compare->max_kept)
        return;
    NSM_GROW(compare->found, compare->n_found, compare->cap_found);
    struct found *const found = &compare->found[compare->n_found++];
    *found = (struct found){.key = *key,
                            .difference = {.mark = mark, .hash = *key},
                            .is_to_be_named = compare->n_found <= compare->max_named};
    if (found->is_to_be_named)
        take_name(compare, found);
}

/* NULL: nothing on that side. */
static void judge(struct nsm_compare *compare, const struct nsm_hash *key,
                  const struct nsm_digest *source, const struct nsm_digest *destination)
{
    struct nsm_compare_result *const result = &compare->result;
    if (!destination)
        note_difference(compare, key, '+', &result->n_missing);
    else if (!source && compare->mode == NSM_COMPARE_EXACT)
        note_difference(compare, key, '-', &result->n_extra);
    else if (source && compare->mode != NSM_COMPARE_SKIP && !nsm_digest_equals(source, destination))
        note_difference(compare, key, '*', &result->n_different);
}

/* Merges the two sides of the buckets that were collected. */
static void judge_collected(struct nsm_compare *compare)
{
    fold(&compare->sides[NSM_COMPARE_SOURCE]);
    fold(&compare->sides[NSM_COMPARE_DESTINATION]);
    if (compare->n_names > 0)
        qsort(compare->names, compare->n_names, sizeof(*compare->names), by_found_key);
    const struct entries *const source = &compare->sides[NSM_COMPARE_SOURCE];
    const struct entries *const destination = &compare->sides[NSM_COMPARE_DESTINATION];
    size_t at_source = 0;
    size_t at_destination = 0;
    while (at_source < source->n || at_destination < destination->n) {
        struct nsm_hash key;
        if (at_destination == destination->n ||
            (at_source < source->n &&
             by_key(&source->items[at_source], &destination->items[at_destination]) <= 0))
            key = source->items[at_source].key;
        else
            key = destination->items[at_destination].key;
        const struct nsm_digest *const here = take(source, &at_source, &key);
        const struct nsm_digest *const there = take(destination, &at_destination, &key);
        judge(compare, &key, here, there);
    }
    compare->sides[0].n = 0;
    compare->sides[1].n = 0;
    forget_names(compare);
}

static void keep_names(struct nsm_compare *compare)
{
    struct nsm_compare_result *const result = &compare->result;
    result->differences = nsm_xcalloc(compare->n_found + 1, sizeof(*result->differences));
    result->n_differences = compare->n_found;
    for (size_t at = 0; at < compare->n_found; at++) {
        struct nsm_compare_difference *const difference = &compare->found[at].difference;
        if (!difference->key && compare->found[at].is_to_be_named)
            difference->key = nsm_xstrdup("");
        result->differences[at] = *difference;
        difference->key = NULL;
    }
    compare->pass = PASS_END;
}

/* False: all have their names. */
static bool begin_naming(struct nsm_compare *compare)
{
    bool is_nameless = false;
    for (size_t at = 0; at < compare->n_found; at++)
        is_nameless = is_nameless ||
                      (compare->found[at].is_to_be_named && !compare->found[at].difference.key);
    if (compare->n_found > 0)
        qsort(compare->found, compare->n_found, sizeof(*compare->found), by_found_key);
    if (!is_nameless) {
        keep_names(compare);
        return false;
    }
    compare->pass = PASS_NAME;
    return true;
}

bool nsm_compare_end_pass(struct nsm_compare *compare)
{
    switch (compare->pass) {
    case PASS_SUM:
        for (size_t at = 0; at < N_BUCKETS; at++)
            compare->buckets[at].is_open = is_bucket_different(&compare->buckets[at]);
        compare->pass = PASS_COLLECT;
        break;
    case PASS_COLLECT:
        judge_collected(compare);
        break;
    case PASS_NAME:
    case PASS_END:
        keep_names(compare);
        return false;
    }
    return choose_buckets(compare) || begin_naming(compare);
}

const struct nsm_compare_result *nsm_compare_result(const struct nsm_compare *compare)
{
    assert(compare->pass == PASS_END);
    return &compare->result;
}

static int by_hash(const void *a, const void *b)
{
    const struct nsm_compare_difference *const left = a;
    const struct nsm_compare_difference *const right = b;
    return compare_hashes(&left->hash, &right->hash);
}

const struct nsm_compare_difference *nsm_compare_find(const struct nsm_compare_result *result,
                                                      struct nsm_hash hash)
{
    const struct nsm_compare_difference wanted = {.hash = hash};
    return bsearch(&wanted, result->differences, result->n_differences,
                   sizeof(*result->differences), by_hash);
}
