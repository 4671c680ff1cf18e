/*
 * One line, one record (or one slice of a big key). Reading is strict: a member that is not ours,
 * missing or there twice is an error, so that nothing is passed over in silence.
 */
#include "adapters/file/file_line.h"

#include <jansson.h>

#include "migrate/engine/record/json.h"

void file_shape_init(struct file_shape *shape, struct nsm_arena *arena,
                     const struct nsm_object *object, struct nsm_str prefix)
{
    *shape = (struct file_shape){.object = object, .prefix = prefix};
    shape->members = nsm_arena_calloc(arena, object->n_columns, sizeof(*shape->members));
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t index = 0; index < object->n_columns; index++) {
        nsm_buf_clear(&text);
        nsm_json_write_string(&text, nsm_str_of(object->columns[index].name));
        nsm_buf_append_char(&text, ':');
        shape->members[index] = nsm_arena_copy(arena, nsm_buf_view(&text));
    }
}

/* ---- writing ---- */

static struct nsm_error *write_row(struct nsm_buf *out, const struct file_shape *shape,
                                   const struct nsm_record *record)
{
    const struct nsm_object *const object = shape->object;
    if (record->kind != NSM_KIND_ROW || record->n_items != object->n_columns) {
        return nsm_error_new(NSM_E_INTERNAL, "table %s: a %s of %zu values for %zu columns",
                             object->name, nsm_kind_name(record->kind), record->n_items,
                             object->n_columns);
    }
    for (size_t index = 0; index < record->n_items; index++) {
        nsm_buf_append_char(out, index == 0 ? '{' : ',');
        nsm_buf_append_str(out, shape->members[index]);
        nsm_json_write_column_value(out, &record->items[index], object->columns[index].type);
    }
    nsm_buf_append_cstr(out, record->n_items == 0 ? "{}\n" : "}\n");
    return NULL;
}

static struct nsm_error *write_key(struct nsm_buf *out, const struct nsm_record *record)
{
    if (record->kind == NSM_KIND_ROW || record->kind == NSM_KIND_DUMP) {
        return nsm_error_new(NSM_E_INTERNAL, "a %s among keys", nsm_kind_name(record->kind));
    }
    nsm_buf_append_cstr(out, "{\"key\":");
    nsm_json_write_value(out, &(struct nsm_value){.type = NSM_BYTES, .bytes = record->key},
                         NSM_JSON_BYTES_AS_TEXT);
    nsm_buf_append_cstr(out, ",\"kind\":\"");
    nsm_buf_append_cstr(out, nsm_kind_name(record->kind));
    nsm_buf_append_char(out, '"');
    if (record->expires_at_ms != NSM_NO_EXPIRY) {
        nsm_buf_append_cstr(out, ",\"expires_at_ms\":");
        nsm_buf_append_i64(out, record->expires_at_ms);
    }
    if (record->flags & NSM_RECORD_CONTINUED)
        nsm_buf_append_cstr(out, ",\"continued\":true");
    if (record->flags & NSM_RECORD_MORE)
        nsm_buf_append_cstr(out, ",\"more\":true");
    nsm_buf_append_cstr(out, ",\"value\":");
    nsm_json_write_items(out, record);
    nsm_buf_append_cstr(out, "}\n");
    return NULL;
}

struct nsm_error *file_line_write(struct nsm_buf *out, const struct file_shape *shape,
                                  const struct nsm_record *record)
{
    return shape->object->model == NSM_MODEL_ROWS ? write_row(out, shape, record)
                                                  : write_key(out, record);
}

/* ---- reading ---- */

static size_t count_read(const struct file_shape *shape)
{
    size_t n = 0;
    for (size_t index = 0; index < shape->object->n_columns; index++)
        n += !file_is_left_out(&shape->object->columns[index], shape->left_out);
    return n;
}

static struct nsm_error *read_row(struct nsm_batch *batch, const struct file_shape *shape,
                                  const json_t *json)
{
    const struct nsm_object *const object = shape->object;
    if (json_object_size(json) != object->n_columns) {
        return nsm_error_new(NSM_E_CORRUPT, "expected %zu columns, found %zu", object->n_columns,
                             json_object_size(json));
    }
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_ROW, count_read(shape));
    struct nsm_value *item = record->items;
    for (size_t index = 0; index < object->n_columns; index++) {
        const struct nsm_column *const column = &object->columns[index];
        const json_t *const value = json_object_get(json, column->name);
        if (!value)
            return nsm_error_new(NSM_E_CORRUPT, "column %s is missing", column->name);
        if (file_is_left_out(column, shape->left_out))
            continue;
        NSM_TRY_WRAP(nsm_json_read_value(batch, value, column->type, 0, item++), "column %s",
                     column->name);
    }
    return NULL;
}

/* Whether the member is there, which it is only when true. */
static struct nsm_error *read_flag(const json_t *json, const char *key, size_t *n_members,
                                   bool *ret)
{
    const json_t *const flag = json_object_get(json, key);
    if (flag && !json_is_true(flag))
        return nsm_error_new(NSM_E_CORRUPT, "%s: expected true", key);
    *n_members += flag != NULL;
    *ret = flag != NULL;
    return NULL;
}

static struct nsm_error *read_key_name(struct nsm_batch *batch, struct nsm_str prefix,
                                       const json_t *json, struct nsm_str *ret)
{
    struct nsm_value key = {0};
    NSM_TRY_WRAP(nsm_json_read_value(batch, json_object_get(json, "key"), NSM_BYTES,
                                     NSM_JSON_BYTES_AS_TEXT, &key),
                 "key");
    if (key.type != NSM_BYTES)
        return nsm_error_new(NSM_E_CORRUPT, "key: expected a string");
    if (!nsm_str_starts_with(key.bytes, prefix))
        return nsm_error_new(NSM_E_CORRUPT, "key: has not the prefix of the others");
    *ret = key.bytes;
    return NULL;
}

static struct nsm_error *read_kind(const json_t *json, enum nsm_kind *ret)
{
    const json_t *const kind = json_object_get(json, "kind");
    const struct nsm_str name = {.ptr = json_string_value(kind), .len = json_string_length(kind)};
    enum nsm_kind found;
    if (!json_is_string(kind) || !nsm_kind_parse(name, &found) || found == NSM_KIND_ROW ||
        found == NSM_KIND_DUMP) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "kind: expected string, hash, list, set, zset or stream");
    }
    *ret = found;
    return NULL;
}

static struct nsm_error *read_expiry(const json_t *json, size_t *n_members, int64_t *ret)
{
    const json_t *const expiry = json_object_get(json, "expires_at_ms");
    *ret = NSM_NO_EXPIRY;
    if (!expiry)
        return NULL;
    if (!json_is_integer(expiry) || json_integer_value(expiry) == NSM_NO_EXPIRY) {
        return nsm_error_new(NSM_E_CORRUPT, "expires_at_ms: expected Unix time in milliseconds");
    }
    *n_members += 1;
    *ret = json_integer_value(expiry);
    return NULL;
}

static struct nsm_error *read_key(struct nsm_batch *batch, struct nsm_str prefix,
                                  const json_t *json)
{
    enum nsm_kind kind = NSM_KIND_STRING;
    NSM_TRY(read_kind(json, &kind));
    struct nsm_record *const record = nsm_batch_add(batch, kind, 0);
    size_t n_members = 3; /* key, kind, value */
    bool is_continued = false;
    bool has_more = false;
    NSM_TRY(read_key_name(batch, prefix, json, &record->key));
    NSM_TRY(read_expiry(json, &n_members, &record->expires_at_ms));
    NSM_TRY(read_flag(json, "continued", &n_members, &is_continued));
    NSM_TRY(read_flag(json, "more", &n_members, &has_more));
    record->flags = (is_continued ? NSM_RECORD_CONTINUED : 0U) | (has_more ? NSM_RECORD_MORE : 0U);
    const json_t *const value = json_object_get(json, "value");
    if (!value || json_object_size(json) != n_members) {
        return nsm_error_new(NSM_E_CORRUPT, "expected key, kind and value, besides them only "
                                            "expires_at_ms, continued and more");
    }
    return nsm_error_wrap(nsm_json_read_items_of(batch, record, value), "value of kind %s",
                          nsm_kind_name(kind));
}

struct nsm_error *file_line_read(struct nsm_batch *batch, const struct file_shape *shape,
                                 struct nsm_str line)
{
    json_t *json NSM_CLEANUP(json_decrefp) = NULL;
    NSM_TRY(nsm_json_parse(line, &json));
    if (!json_is_object(json))
        return nsm_error_new(NSM_E_CORRUPT, "expected an object");
    return shape->object->model == NSM_MODEL_ROWS ? read_row(batch, shape, json)
                                                  : read_key(batch, shape->prefix, json);
}
