/*
 * Deterministic records. Everything comes from one hash of namespace, object and ordinal, so that a
 * test can tell a record that went astray from one that is in its place.
 */
#include "adapters/memory/generate.h"

#include "adapters/memory/index.h"
#include "migrate/base/parse.h"

#include <inttypes.h>

/* What a record takes besides its largest value. */
#define RECORD_OVERHEAD_BYTES 160
/* 2100-01-01, so that no test sees a generated key expire. */
#define FAR_EXPIRY_MS INT64_C(4102444800000)

static const struct nsm_column row_columns[] = {
    {.name = "id", .type = NSM_INT, .type_name = "bigint", .is_not_null = true},
    {.name = "name", .type = NSM_TEXT, .type_name = "text", .is_not_null = true},
    {.name = "payload", .type = NSM_BYTES, .type_name = "bytea"},
    {.name = "is_active", .type = NSM_BOOL, .type_name = "boolean"},
    {.name = "ratio", .type = NSM_FLOAT, .type_name = "double precision"},
    {.name = "amount", .type = NSM_NUMERIC, .type_name = "numeric"},
    {.name = "made_at", .type = NSM_TIME, .type_name = "timestamptz"},
    {.name = "ref", .type = NSM_UUID, .type_name = "uuid"},
    {.name = "doc", .type = NSM_JSON, .type_name = "json"},
};

uint64_t memory_generator_record_bytes(const struct memory_generator *generator)
{
    return RECORD_OVERHEAD_BYTES + generator->value_bytes;
}

void memory_generator_describe(const struct memory_generator *generator, struct nsm_arena *arena,
                               size_t object_index, struct nsm_object *object)
{
    object->model = generator->model;
    object->n_records = generator->n_records;
    object->n_bytes = generator->n_records * memory_generator_record_bytes(generator);
    object->is_exact = true;
    object->version = nsm_arena_printf(arena, "%" PRIu64 "x%" PRIu64, generator->n_records,
                                       generator->value_bytes);
    if (generator->model == NSM_MODEL_KEYS)
        return;
    object->name = nsm_arena_printf(arena, "table_%zu", object_index + 1);
    object->columns = nsm_arena_alloc(arena, sizeof(row_columns));
    memcpy(object->columns, row_columns, sizeof(row_columns));
    object->n_columns = NSM_COUNT_OF(row_columns);
    object->key_columns = nsm_arena_calloc(arena, 1, sizeof(*object->key_columns));
    object->n_key_columns = 1;
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t seed_of(const struct memory_generator *generator, size_t object_index,
                        uint64_t ordinal)
{
    uint64_t state = memory_hash(nsm_str_of(generator->namespace_name)) + object_index;
    state = next(&state) + ordinal;
    return next(&state);
}

static void set_text(struct nsm_batch *batch, struct nsm_value *value, enum nsm_type type,
                     const char *text)
{
    value->type = type;
    value->bytes = nsm_batch_copy(batch, nsm_str_of(text));
}

static void set_int(struct nsm_batch *batch, struct nsm_value *value, int64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    set_text(batch, value, NSM_INT, text);
}

static void set_float(struct nsm_batch *batch, struct nsm_value *value, double number)
{
    char text[32];
    const size_t len = nsm_format_double(number, text);
    value->type = NSM_FLOAT;
    value->bytes = nsm_batch_copy(batch, (struct nsm_str){.ptr = text, .len = len});
}

/* All byte values occur, NUL and invalid UTF-8 among them. */
static void set_bytes(struct nsm_batch *batch, struct nsm_value *value, uint64_t *state,
                      uint64_t n_bytes)
{
    char *const bytes = nsm_arena_alloc(&batch->arena, n_bytes + 1);
    for (uint64_t at = 0; at < n_bytes; at += sizeof(uint64_t)) {
        const uint64_t word = next(state);
        const uint64_t rest = n_bytes - at;
        memcpy(bytes + at, &word, rest < sizeof(word) ? rest : sizeof(word));
    }
    value->type = NSM_BYTES;
    value->bytes = (struct nsm_str){.ptr = bytes, .len = n_bytes};
}

static void set_word(struct nsm_batch *batch, struct nsm_value *value, const char *word,
                     uint64_t number)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%s-%" PRIu64, word, number);
    set_text(batch, value, NSM_BYTES, text);
}

static void add_row(const struct memory_generator *generator, uint64_t seed, uint64_t ordinal,
                    struct nsm_batch *batch)
{
    char text[80];
    uint64_t state = seed;
    struct nsm_value *const items =
        nsm_batch_add(batch, NSM_KIND_ROW, NSM_COUNT_OF(row_columns))->items;
    set_int(batch, &items[0], (int64_t)ordinal + 1);
    (void)snprintf(text, sizeof(text), "name \xc3\xa4 %" PRIx64, next(&state));
    set_text(batch, &items[1], NSM_TEXT, text);
    set_bytes(batch, &items[2], &state, generator->value_bytes);
    if (ordinal % 7 == 3)
        return; /* the rest stays NULL */
    set_text(batch, &items[3], NSM_BOOL, seed & 1 ? "t" : "f");
    set_float(batch, &items[4], (double)(int64_t)next(&state) / 1024.0);
    (void)snprintf(text, sizeof(text), "%" PRIu64 ".%02u0", next(&state) % 1000000,
                   (unsigned)(seed % 100));
    set_text(batch, &items[5], NSM_NUMERIC, text);
    (void)snprintf(text, sizeof(text), "20%02u-%02u-%02u %02u:00:00+00", (unsigned)(seed % 100),
                   (unsigned)(seed % 12 + 1), (unsigned)(seed % 28 + 1), (unsigned)(seed % 24));
    set_text(batch, &items[6], NSM_TIME, text);
    (void)snprintf(text, sizeof(text), "%08x-0000-4000-8000-%012" PRIx64, (unsigned)(seed >> 32),
                   seed & UINT64_C(0xffffffffffff));
    set_text(batch, &items[7], NSM_UUID, text);
    (void)snprintf(text, sizeof(text), "{\"n\": %" PRIu64 ", \"tags\": [\"a\", null]}", ordinal);
    set_text(batch, &items[8], NSM_JSON, text);
}

/* Last id, entries added, max deleted id, and two entries of one and two fields. */
static void fill_stream(struct nsm_batch *batch, struct nsm_value *items, uint64_t seed)
{
    set_text(batch, &items[0], NSM_BYTES, "2-0");
    set_int(batch, &items[1], 3);
    set_text(batch, &items[2], NSM_BYTES, "0-1");
    set_text(batch, &items[3], NSM_BYTES, "1-0");
    set_int(batch, &items[4], 1);
    set_word(batch, &items[5], "field", 1);
    set_word(batch, &items[6], "value", seed);
    set_text(batch, &items[7], NSM_BYTES, "2-0");
    set_int(batch, &items[8], 2);
    for (uint64_t i = 0; i < 2; i++) {
        set_word(batch, &items[9 + 2 * i], "field", i);
        set_word(batch, &items[10 + 2 * i], "value", seed + i);
    }
}

static void fill_key(const struct memory_generator *generator, struct nsm_batch *batch,
                     struct nsm_record *record, uint64_t seed)
{
    uint64_t state = seed;
    if (record->kind == NSM_KIND_STRING) {
        set_bytes(batch, &record->items[0], &state, generator->value_bytes);
        return;
    }
    if (record->kind == NSM_KIND_STREAM) {
        fill_stream(batch, record->items, seed);
        return;
    }
    for (size_t i = 0; i < record->n_items; i++) {
        const bool is_second = i % 2 == 1;
        if (record->kind == NSM_KIND_ZSET && is_second)
            set_float(batch, &record->items[i], (double)(seed % 1000) / 8.0);
        else if (record->kind == NSM_KIND_HASH && i == 1)
            set_bytes(batch, &record->items[i], &state, generator->value_bytes);
        else
            set_word(batch, &record->items[i], "item", seed % 1000 + i);
    }
}

static void add_key(const struct memory_generator *generator, uint64_t seed, uint64_t ordinal,
                    struct nsm_batch *batch)
{
    static const struct {
        enum nsm_kind kind;
        size_t n_items;
    } kinds[] = {
        {NSM_KIND_STRING, 1}, {NSM_KIND_HASH, 6}, {NSM_KIND_LIST, 4},
        {NSM_KIND_SET, 3},    {NSM_KIND_ZSET, 4}, {NSM_KIND_STREAM, 13},
    };
    const size_t which = ordinal % NSM_COUNT_OF(kinds);
    struct nsm_record *const record = nsm_batch_add(batch, kinds[which].kind, kinds[which].n_items);
    char text[32];
    const int len = snprintf(text, sizeof(text), "%08" PRIu64, ordinal + 1);
    char *const key = nsm_arena_alloc(&batch->arena, generator->prefix.len + (size_t)len);
    if (generator->prefix.len)
        memcpy(key, generator->prefix.ptr, generator->prefix.len);
    memcpy(key + generator->prefix.len, text, (size_t)len);
    record->key = (struct nsm_str){.ptr = key, .len = generator->prefix.len + (size_t)len};
    if (ordinal % 5 == 4)
        record->expires_at_ms = FAR_EXPIRY_MS + (int64_t)ordinal;
    fill_key(generator, batch, record, seed);
}

void memory_generator_add(const struct memory_generator *generator, size_t object_index,
                          uint64_t ordinal, struct nsm_batch *batch)
{
    const uint64_t seed = seed_of(generator, object_index, ordinal);
    if (generator->model == NSM_MODEL_KEYS)
        add_key(generator, seed, ordinal, batch);
    else
        add_row(generator, seed, ordinal, batch);
    nsm_batch_account(batch);
}
