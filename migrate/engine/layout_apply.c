/* Records of one model as records of the other, and values of one store as values of another. Nothing is copied that can be pointed to. */
#include "migrate/engine/compare.h"
#include "migrate/engine/layout_kv.h"
#include "migrate/engine/record/json.h"

#include "migrate/base/alloc.h"

struct nsm_error *nsm_layout_name_key(const struct nsm_record *record,
                                      const struct nsm_object *object, struct nsm_error *error)
{
    if (!error)
        return NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf key = NSM_BUF_TEXT;
    static const struct nsm_object no_object = {0};
    nsm_record_describe_key(record, object ? object : &no_object, &key);
    const char *const table = object && object->name ? object->name : "";
    return nsm_error_wrap(error, "%s %s", table[0] ? table : "key", key.ptr);
}

/* ---- rows to rows ---- */

static struct nsm_error *convert_row(const struct nsm_layout_stage *stage,
                                     const struct nsm_object *to, const struct nsm_record *in,
                                     struct nsm_batch *out)
{
    struct nsm_record *const record = nsm_batch_add(out, NSM_KIND_ROW, in->n_items);
    if (stage->is_same_adapter && in->n_items)
        memcpy(record->items, in->items, in->n_items * sizeof(*in->items));
    for (size_t at = 0; !stage->is_same_adapter && at < in->n_items; at++)
        NSM_TRY(
            nsm_value_convert(&out->arena, &in->items[at], &to->columns[at], &record->items[at]));
    return NULL;
}

/* ---- keys to rows ---- */

static struct nsm_error *refuse_slice(const struct nsm_record *record)
{
    if (!(record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED)))
        return NULL;
    return nsm_error_new(NSM_E_UNSUPPORTED,
                         "this %s is too large for one row: move it to a store of keys",
                         nsm_kind_name(record->kind));
}

static struct nsm_error *expiry_value(const struct nsm_record *in, struct nsm_batch *out,
                                      struct nsm_value *ret)
{
    *ret = (struct nsm_value){.type = NSM_NULL};
    if (in->expires_at_ms == NSM_NO_EXPIRY)
        return NULL;
    char text[40];
    size_t len = 0;
    if (!nsm_expiry_format(in->expires_at_ms, text, &len))
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "its expiry lies outside of what a timestamp can hold");
    *ret = (struct nsm_value){
        .type = NSM_TIME,
        .bytes = nsm_arena_copy(&out->arena, (struct nsm_str){.ptr = text, .len = len}),
    };
    return NULL;
}

static struct nsm_error *kv_value(const struct nsm_record *in, struct nsm_batch *out,
                                  struct nsm_str *ret)
{
    if (in->kind == NSM_KIND_STRING) {
        *ret = in->items[0].bytes;
        return NULL;
    }
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf json = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    nsm_json_write_items(&json, in);
    NSM_TRY(nsm_buf_error(&json));
    *ret = nsm_arena_copy(&out->arena, nsm_buf_view(&json));
    return NULL;
}

static struct nsm_error *key_to_kv(const struct nsm_object *to, const struct nsm_record *in,
                                   struct nsm_batch *out)
{
    NSM_TRY(refuse_slice(in));
    struct nsm_value values[NSM_KV_N_COLUMNS] = {
        [NSM_KV_KEY] = {.type = NSM_BYTES, .bytes = in->key},
        [NSM_KV_KIND] = {.type = NSM_TEXT, .bytes = nsm_str_of(nsm_kind_name(in->kind))},
        [NSM_KV_VALUE] = {.type = NSM_BYTES},
    };
    NSM_TRY(kv_value(in, out, &values[NSM_KV_VALUE].bytes));
    NSM_TRY(expiry_value(in, out, &values[NSM_KV_EXPIRES_AT]));
    struct nsm_record *const record = nsm_batch_add(out, NSM_KIND_ROW, NSM_KV_N_COLUMNS);
    for (size_t at = 0; at < NSM_KV_N_COLUMNS; at++)
        NSM_TRY(nsm_value_convert(&out->arena, &values[at], &to->columns[at], &record->items[at]));
    return NULL;
}

static struct nsm_error *changed_meanwhile(const char *what)
{
    return nsm_error_new(NSM_E_CONFLICT,
                         "it has %s that it had not when the fields were looked for: the source is "
                         "being written to; begin anew with --fresh",
                         what);
}

static struct nsm_error *key_to_columns(const struct nsm_layout_stage *stage,
                                        const struct nsm_object *to, const struct nsm_record *in,
                                        struct nsm_batch *out)
{
    NSM_TRY(refuse_slice(in));
    if (in->kind != NSM_KIND_HASH)
        return nsm_error_new(NSM_E_UNSUPPORTED, "it is a %s, and layout columns takes hashes only",
                             nsm_kind_name(in->kind));
    struct nsm_record *const record = nsm_batch_add(out, NSM_KIND_ROW, to->n_columns);
    const struct nsm_value key = {.type = NSM_BYTES, .bytes = in->key};
    NSM_TRY(nsm_value_convert(&out->arena, &key, &to->columns[0], &record->items[0]));
    for (size_t at = 0; at + 1 < in->n_items; at += 2) {
        size_t field = 0;
        if (!nsm_layout_find_field(stage, in->items[at].bytes, &field))
            return changed_meanwhile("a field");
        const struct nsm_value value = {.type = NSM_BYTES, .bytes = in->items[at + 1].bytes};
        NSM_TRY(nsm_value_convert(&out->arena, &value, &to->columns[1 + field],
                                  &record->items[1 + field]));
    }
    if (!stage->has_expiry)
        return in->expires_at_ms == NSM_NO_EXPIRY ? NULL : changed_meanwhile("an expiry");
    struct nsm_value expiry;
    NSM_TRY(expiry_value(in, out, &expiry));
    const size_t last = to->n_columns - 1;
    return nsm_value_convert(&out->arena, &expiry, &to->columns[last], &record->items[last]);
}

/* ---- rows to keys ---- */

static const bool default_escapes[256] = {['%'] = true, [':'] = true};

static struct nsm_error *key_value(const struct nsm_object *table, const struct nsm_record *in,
                                   size_t column, struct nsm_str *ret)
{
    if (in->items[column].type == NSM_NULL)
        return nsm_error_new(NSM_E_UNSUPPORTED, "its key column %s is null",
                             table->columns[column].name);
    *ret = in->items[column].bytes;
    return NULL;
}

/* "{table}:{primary key}" */
static struct nsm_error *write_primary_key(const struct nsm_object *table,
                                           const struct nsm_record *in, struct nsm_buf *out)
{
    static const bool none[256] = {false};
    const bool *const is_escaped = table->n_key_columns == 1 ? none : default_escapes;
    nsm_key_template_write_value(out, default_escapes, nsm_str_of(table->name));
    for (size_t at = 0; at < table->n_key_columns; at++) {
        struct nsm_str value;
        NSM_TRY(key_value(table, in, table->key_columns[at], &value));
        nsm_buf_append_char(out, ':');
        nsm_key_template_write_value(out, is_escaped, value);
    }
    return NULL;
}

static struct nsm_error *write_key(const struct nsm_layout_stage *stage,
                                   const struct nsm_object *table, const struct nsm_record *in,
                                   struct nsm_buf *out)
{
    if (!stage->key)
        return write_primary_key(table, in, out);
    for (size_t at = 0; at < stage->key->n_pieces; at++) {
        const struct nsm_key_piece *const piece = &stage->key->pieces[at];
        struct nsm_str value = piece->text;
        if (!piece->is_column) {
            nsm_buf_append_str(out, value);
            continue;
        }
        NSM_TRY(key_value(table, in, stage->key_columns[at], &value));
        nsm_key_template_write_value(out, stage->key_escapes, value);
    }
    return NULL;
}

/* The destination's writer puts its prefix before every key. */
static struct nsm_error *row_key(const struct nsm_layout_stage *stage,
                                 const struct nsm_object *table, const struct nsm_record *in,
                                 struct nsm_batch *out, struct nsm_str *ret)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf key = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    NSM_TRY(write_key(stage, table, in, &key));
    NSM_TRY(nsm_buf_error(&key));
    *ret = nsm_batch_copy(out, nsm_buf_view(&key));
    return NULL;
}

static struct nsm_error *row_to_hash(const struct nsm_layout_stage *stage,
                                     const struct nsm_object *table, const struct nsm_record *in,
                                     struct nsm_batch *out)
{
    size_t n_fields = 0;
    for (size_t at = 0; at < in->n_items; at++)
        n_fields += in->items[at].type != NSM_NULL;
    struct nsm_record *const record = nsm_batch_add(out, NSM_KIND_HASH, 2 * n_fields);
    NSM_TRY(row_key(stage, table, in, out, &record->key));
    struct nsm_value *item = record->items;
    for (size_t at = 0; at < in->n_items; at++) {
        if (in->items[at].type == NSM_NULL)
            continue;
        *item++ =
            (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_str_of(table->columns[at].name)};
        *item++ = (struct nsm_value){.type = NSM_BYTES, .bytes = in->items[at].bytes};
    }
    return NULL;
}

static struct nsm_error *row_to_json(const struct nsm_layout_stage *stage,
                                     const struct nsm_object *table, const struct nsm_record *in,
                                     struct nsm_batch *out)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf json = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    for (size_t at = 0; at < in->n_items; at++) {
        nsm_buf_append_cstr(&json, at ? "," : "{");
        nsm_json_write_string(&json, nsm_str_of(table->columns[at].name));
        nsm_buf_append_char(&json, ':');
        nsm_json_write_value(&json, &in->items[at], 0);
    }
    nsm_buf_append_cstr(&json, in->n_items ? "}" : "{}");
    NSM_TRY(nsm_buf_error(&json));
    struct nsm_record *const record = nsm_batch_add(out, NSM_KIND_STRING, 1);
    NSM_TRY(row_key(stage, table, in, out, &record->key));
    record->items[0] =
        (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_batch_copy(out, nsm_buf_view(&json))};
    return NULL;
}

static struct nsm_error *kv_expiry(const struct nsm_value *value, int64_t *ret_ms)
{
    *ret_ms = NSM_NO_EXPIRY;
    if (value->type == NSM_NULL || nsm_expiry_parse(value->bytes, ret_ms))
        return NULL;
    return nsm_error_new(NSM_E_UNSUPPORTED,
                         "expires_at is not a time in UTC with at most milliseconds");
}

static struct nsm_error *kv_to_key(const struct nsm_layout_stage *stage,
                                   const struct nsm_record *in, struct nsm_batch *out)
{
    const struct nsm_value *const key = &in->items[stage->kv_columns[NSM_KV_KEY]];
    const struct nsm_value *const kind_text = &in->items[stage->kv_columns[NSM_KV_KIND]];
    const struct nsm_value *const value = &in->items[stage->kv_columns[NSM_KV_VALUE]];
    enum nsm_kind kind;
    if (key->type == NSM_NULL || value->type == NSM_NULL || kind_text->type == NSM_NULL)
        return nsm_error_new(NSM_E_UNSUPPORTED, "key, kind or value is null");
    if (!nsm_kind_parse(kind_text->bytes, &kind) || kind == NSM_KIND_ROW || kind == NSM_KIND_DUMP)
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "kind is none of string, hash, list, set, zset, stream");
    struct nsm_record *const record = nsm_batch_add(out, kind, kind == NSM_KIND_STRING ? 1 : 0);
    record->key = key->bytes;
    NSM_TRY(kv_expiry(&in->items[stage->kv_columns[NSM_KV_EXPIRES_AT]], &record->expires_at_ms));
    if (kind != NSM_KIND_STRING)
        return nsm_json_read_items(out, record, value->bytes);
    record->items[0] = (struct nsm_value){.type = NSM_BYTES, .bytes = value->bytes};
    return NULL;
}

/* ---- a batch ---- */

static struct nsm_error *apply_record(const struct nsm_layout_stage *stage,
                                      const struct nsm_object *from, const struct nsm_record *in,
                                      struct nsm_batch *out)
{
    const struct nsm_object *const to =
        &stage->target
             ->objects[nsm_layout_target_object(stage, (size_t)(from - stage->source->objects))];
    switch (stage->layout) {
    case NSM_LAYOUT_DEFAULT:
        return convert_row(stage, to, in, out);
    case NSM_LAYOUT_KV:
        return from->model == NSM_MODEL_KEYS ? key_to_kv(to, in, out) : kv_to_key(stage, in, out);
    case NSM_LAYOUT_COLUMNS:
        return key_to_columns(stage, to, in, out);
    case NSM_LAYOUT_HASH:
        return row_to_hash(stage, from, in, out);
    case NSM_LAYOUT_JSON:
        return row_to_json(stage, from, in, out);
    }
    return NULL;
}

/* The record with the chosen columns alone. */
static struct nsm_error *pick_columns(const struct nsm_pick *pick, struct nsm_batch *out,
                                      struct nsm_record *record)
{
    const size_t n_expected = pick->from ? pick->n_read : pick->n;
    if (record->n_items != n_expected)
        return nsm_error_new(NSM_E_INTERNAL, "the reader gave %zu columns instead of %zu",
                             record->n_items, n_expected);
    if (!pick->from)
        return NULL;
    struct nsm_value *const items = nsm_arena_calloc(&out->arena, pick->n, sizeof(*items));
    for (size_t at = 0; at < pick->n; at++)
        items[at] = record->items[pick->from[at]];
    record->items = items;
    record->n_items = pick->n;
    return NULL;
}

struct nsm_error *nsm_layout_apply(const struct nsm_layout_stage *stage, size_t object,
                                   const struct nsm_batch *in, struct nsm_batch *out)
{
    const struct nsm_object *const from = &stage->source->objects[object];
    const struct nsm_pick *const pick = stage->picks ? &stage->picks[object] : NULL;
    for (size_t at = 0; at < in->n_records; at++) {
        struct nsm_record record = in->records[at];
        if (pick && pick->n > 0)
            NSM_TRY(pick_columns(pick, out, &record));
        NSM_TRY(nsm_layout_name_key(&record, from, apply_record(stage, from, &record, out)));
        nsm_batch_account(out);
    }
    out->resume = nsm_batch_copy(out, in->resume);
    out->n_vanished = in->n_vanished;
    return NULL;
}
