/*
 * The manifest as JSON. It is indented by hand: one column, one file a line, so that it reads and
 * compares well.
 */
#include "adapters/file/file_manifest.h"

#include <inttypes.h>
#include <jansson.h>

#include "adapters/file/file_path.h"
#include "migrate/base/alloc.h"
#include "migrate/engine/record/json.h"

#define FORMAT         "nsmigrate-files"
#define FORMAT_VERSION 2 /* 1 had no made_by, no definition, no marks on columns */
/* The end of the file: this, 32 digits, and the closing. */
#define CHECKSUM_OPEN  "\n  \"checksum\": \""
#define CHECKSUM_CLOSE "\"\n}\n"
#define TAIL_BYTES     (sizeof(CHECKSUM_OPEN) - 1 + 32 + sizeof(CHECKSUM_CLOSE) - 1)

/* ---- writing ---- */

static void write_text(struct nsm_buf *out, struct nsm_str text)
{
    nsm_json_write_value(out, &(struct nsm_value){.type = NSM_BYTES, .bytes = text},
                         NSM_JSON_BYTES_AS_TEXT);
}

static void write_member(struct nsm_buf *out, const char *before, const char *name,
                         struct nsm_str text)
{
    nsm_buf_printf(out, "%s\"%s\": ", before, name);
    write_text(out, text);
}

static void write_column(struct nsm_buf *out, const struct nsm_column *column)
{
    write_member(out, "\n        {", "name", nsm_str_of(column->name));
    write_member(out, ", ", "type", nsm_str_of(nsm_type_name(column->type)));
    write_member(out, ", ", "type_name", nsm_str_of(column->type_name));
    nsm_buf_printf(out, ", \"not_null\": %s, \"generated\": %s",
                   column->is_not_null ? "true" : "false", column->is_generated ? "true" : "false");
    nsm_buf_append_cstr(out, column->is_place ? ", \"place\": true" : "");
    nsm_buf_append_cstr(out, column->has_own_values ? ", \"own_values\": true}" : "}");
}

static void write_entry(struct nsm_buf *out, const struct file_entry *entry)
{
    char checksum[33];
    file_checksum_format(entry->checksum, checksum);
    write_member(out, "\n        {", "name", nsm_str_of(entry->name));
    nsm_buf_printf(out,
                   ", \"records\": %" PRIu64 ", \"lines\": %" PRIu64 ", \"bytes\": %" PRIu64
                   ", \"data_bytes\": %" PRIu64 ", \"checksum\": \"%s\"}",
                   entry->n_records, entry->n_lines, entry->n_bytes, entry->n_data_bytes, checksum);
}

static void write_object(struct nsm_buf *out, const struct file_manifest *manifest, size_t index)
{
    const struct nsm_object *const object = &manifest->objects[index];
    write_member(out, "\n    {\n      ", "name", nsm_str_of(object->name));
    write_member(out, ",\n      ", "schema", nsm_str_of(object->schema));
    nsm_buf_printf(out, ",\n      \"model\": \"%s\",\n      \"columns\": [",
                   object->model == NSM_MODEL_ROWS ? "rows" : "keys");
    for (size_t column = 0; column < object->n_columns; column++) {
        nsm_buf_append_cstr(out, column > 0 ? "," : "");
        write_column(out, &object->columns[column]);
    }
    nsm_buf_append_cstr(out, "],\n      \"key_columns\": [");
    for (size_t column = 0; column < object->n_key_columns; column++)
        nsm_buf_printf(out, "%s%zu", column > 0 ? ", " : "", object->key_columns[column]);
    nsm_buf_append_cstr(out, "],\n      \"files\": [");
    bool is_first = true;
    for (size_t entry = 0; entry < manifest->n_entries; entry++) {
        if (manifest->entries[entry].object != index)
            continue;
        nsm_buf_append_cstr(out, is_first ? "" : ",");
        write_entry(out, &manifest->entries[entry]);
        is_first = false;
    }
    nsm_buf_append_cstr(out, "]\n    }");
}

static void write_definition(struct nsm_buf *out, const struct file_definition *definition)
{
    char checksum[33];
    if (!definition->name)
        return;
    file_checksum_format(definition->checksum, checksum);
    write_member(out, ",\n  \"definition\": {", "name", nsm_str_of(definition->name));
    nsm_buf_printf(out, ", \"bytes\": %" PRIu64 ", \"checksum\": \"%s\"}", definition->n_bytes,
                   checksum);
}

static void write_checksum(struct nsm_buf *out)
{
    struct file_checksum checksum = {0};
    char text[33];
    file_checksum_add(&checksum, nsm_buf_view(out));
    file_checksum_format(checksum, text);
    nsm_buf_printf(out, CHECKSUM_OPEN "%s" CHECKSUM_CLOSE, text);
}

struct nsm_error *file_manifest_write(const char *folder, const struct file_manifest *manifest)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "{\n  \"format\": \"" FORMAT "\",\n  \"version\": %d", FORMAT_VERSION);
    write_member(&text, ",\n  ", "namespace", nsm_str_of(manifest->namespace_name));
    write_member(&text, ",\n  ", "run", nsm_str_of(manifest->run_id));
    write_member(&text, ",\n  ", "prefix", manifest->prefix);
    if (manifest->maker)
        write_member(&text, ",\n  ", "made_by", nsm_str_of(manifest->maker));
    write_definition(&text, &manifest->definition);
    nsm_buf_append_cstr(&text, ",\n  \"objects\": [");
    for (size_t index = 0; index < manifest->n_objects; index++) {
        nsm_buf_append_cstr(&text, index > 0 ? "," : "");
        write_object(&text, manifest, index);
    }
    nsm_buf_append_cstr(&text, "],");
    write_checksum(&text);
    NSM_TRY_WRAP(nsm_buf_error(&text), "%s/%s", folder, FILE_MANIFEST_NAME);
    return file_replace(folder, FILE_MANIFEST_NAME, nsm_buf_view(&text));
}

/* ---- reading ---- */

/* Where the values of a manifest go; `batch` carries what nsm_json_read_value() makes. */
struct reading {
    struct nsm_arena *arena;
    struct nsm_batch batch;
};

static void reading_release(struct reading *reading)
{
    nsm_batch_release(&reading->batch);
}

static struct nsm_error *wrong(const char *name, const char *expected)
{
    return nsm_error_new(NSM_E_CORRUPT, "%s: expected %s", name, expected);
}

static struct nsm_error *read_bytes(struct reading *reading, const json_t *json, const char *name,
                                    struct nsm_str *ret)
{
    struct nsm_value value = {0};
    NSM_TRY_WRAP(nsm_json_read_value(&reading->batch, json_object_get(json, name), NSM_BYTES,
                                     NSM_JSON_BYTES_AS_TEXT, &value),
                 "%s", name);
    if (value.type != NSM_BYTES)
        return wrong(name, "a string");
    *ret = nsm_arena_copy(reading->arena, value.bytes);
    return NULL;
}

static struct nsm_error *read_text(struct reading *reading, const json_t *json, const char *name,
                                   const char **ret)
{
    struct nsm_str text = {0};
    NSM_TRY(read_bytes(reading, json, name, &text));
    if (text.len > 0 && memchr(text.ptr, 0, text.len))
        return wrong(name, "a string without NUL");
    *ret = text.ptr;
    return NULL;
}

static struct nsm_error *read_count(const json_t *json, const char *name, uint64_t *ret)
{
    const json_t *const count = json_object_get(json, name);
    if (!json_is_integer(count) || json_integer_value(count) < 0)
        return wrong(name, "a number, 0 or more");
    *ret = (uint64_t)json_integer_value(count);
    return NULL;
}

static struct nsm_error *read_array(const json_t *json, const char *name, const json_t **ret)
{
    const json_t *const array = json_object_get(json, name);
    if (!json_is_array(array))
        return wrong(name, "an array");
    *ret = array;
    return NULL;
}

static struct nsm_error *read_column(struct reading *reading, const json_t *json,
                                     struct nsm_column *ret)
{
    struct nsm_str type = {0};
    NSM_TRY(read_text(reading, json, "name", &ret->name));
    NSM_TRY(read_text(reading, json, "type_name", &ret->type_name));
    NSM_TRY(read_bytes(reading, json, "type", &type));
    if (!nsm_type_parse(type, &ret->type))
        return wrong("type", "a type");
    ret->is_not_null = json_is_true(json_object_get(json, "not_null"));
    ret->is_generated = json_is_true(json_object_get(json, "generated"));
    ret->is_place = json_is_true(json_object_get(json, "place"));
    ret->has_own_values = json_is_true(json_object_get(json, "own_values"));
    return NULL;
}

static struct nsm_error *read_columns(struct reading *reading, const json_t *json,
                                      struct nsm_object *ret)
{
    const json_t *columns = NULL;
    const json_t *keys = NULL;
    NSM_TRY(read_array(json, "columns", &columns));
    NSM_TRY(read_array(json, "key_columns", &keys));
    ret->n_columns = json_array_size(columns);
    ret->columns = nsm_arena_calloc(reading->arena, ret->n_columns, sizeof(*ret->columns));
    for (size_t index = 0; index < ret->n_columns; index++) {
        NSM_TRY_WRAP(read_column(reading, json_array_get(columns, index), &ret->columns[index]),
                     "column %zu", index);
    }
    ret->n_key_columns = json_array_size(keys);
    ret->key_columns =
        nsm_arena_calloc(reading->arena, ret->n_key_columns, sizeof(*ret->key_columns));
    for (size_t index = 0; index < ret->n_key_columns; index++) {
        const json_t *const key = json_array_get(keys, index);
        const json_int_t column = json_is_integer(key) ? json_integer_value(key) : -1;
        if (column < 0 || (uint64_t)column >= ret->n_columns)
            return wrong("key_columns", "indexes of columns");
        ret->key_columns[index] = (size_t)column;
    }
    return NULL;
}

static struct nsm_error *read_file_name(struct reading *reading, const json_t *json,
                                        const char **ret)
{
    NSM_TRY(read_text(reading, json, "name", ret));
    if ((*ret)[0] == '.' || (*ret)[0] == '\0' || strchr(*ret, '/'))
        return wrong("name", "a file in the manifest's folder");
    return NULL;
}

static struct nsm_error *read_checksum(struct reading *reading, const json_t *json,
                                       struct file_checksum *ret)
{
    struct nsm_str checksum = {0};
    NSM_TRY(read_bytes(reading, json, "checksum", &checksum));
    return file_checksum_parse(checksum, ret) ? NULL : wrong("checksum", "32 hexadecimal digits");
}

static struct nsm_error *read_entry(struct reading *reading, const json_t *json,
                                    struct file_entry *ret)
{
    NSM_TRY(read_file_name(reading, json, &ret->name));
    NSM_TRY(read_count(json, "records", &ret->n_records));
    NSM_TRY(read_count(json, "lines", &ret->n_lines));
    NSM_TRY(read_count(json, "bytes", &ret->n_bytes));
    NSM_TRY(read_count(json, "data_bytes", &ret->n_data_bytes));
    return read_checksum(reading, json, &ret->checksum);
}

/* Whose objects they are, and what it has said of them. */
static struct nsm_error *read_maker(struct reading *reading, const json_t *json,
                                    struct file_manifest *ret)
{
    const json_t *const definition = json_object_get(json, "definition");
    if (json_object_get(json, "made_by"))
        NSM_TRY(read_text(reading, json, "made_by", &ret->maker));
    if (!definition)
        return NULL;
    NSM_TRY(read_file_name(reading, definition, &ret->definition.name));
    NSM_TRY(read_count(definition, "bytes", &ret->definition.n_bytes));
    return read_checksum(reading, definition, &ret->definition.checksum);
}

/* The sums over the object's files; the version is the checksum of their checksums. */
static void sum_up(struct reading *reading, struct nsm_object *object,
                   const struct file_entry *entries, size_t n_entries)
{
    struct file_checksum version = {0};
    for (size_t index = 0; index < n_entries; index++) {
        char checksum[33];
        file_checksum_format(entries[index].checksum, checksum);
        file_checksum_add(&version, nsm_str_of(entries[index].name));
        file_checksum_add(&version, nsm_str_of(checksum));
        object->n_records += entries[index].n_records;
        object->n_bytes += entries[index].n_data_bytes;
    }
    char *const text = nsm_arena_alloc(reading->arena, 33);
    file_checksum_format(version, text);
    object->version = text;
    object->is_exact = true;
}

static struct nsm_error *read_object(struct reading *reading, const json_t *json, size_t index,
                                     struct file_manifest *ret)
{
    struct nsm_object *const object = &ret->objects[index];
    const char *model = "";
    const json_t *files = NULL;
    *object = (struct nsm_object){.format = "", .format_reason = ""};
    NSM_TRY(read_text(reading, json, "name", &object->name));
    NSM_TRY(read_text(reading, json, "schema", &object->schema));
    NSM_TRY(read_text(reading, json, "model", &model));
    if (strcmp(model, "rows") != 0 && strcmp(model, "keys") != 0)
        return wrong("model", "rows or keys");
    object->model = strcmp(model, "rows") == 0 ? NSM_MODEL_ROWS : NSM_MODEL_KEYS;
    NSM_TRY(read_columns(reading, json, object));
    NSM_TRY(read_array(json, "files", &files));
    struct file_entry *const entries = &ret->entries[ret->n_entries];
    for (size_t file = 0; file < json_array_size(files); file++) {
        NSM_TRY_WRAP(read_entry(reading, json_array_get(files, file), &entries[file]), "file %zu",
                     file);
        entries[file].object = index;
    }
    ret->n_entries += json_array_size(files);
    sum_up(reading, object, entries, json_array_size(files));
    return NULL;
}

static struct nsm_error *read_objects(struct reading *reading, const json_t *json,
                                      struct file_manifest *ret)
{
    const json_t *objects = NULL;
    NSM_TRY(read_array(json, "objects", &objects));
    ret->n_objects = json_array_size(objects);
    size_t n_entries = 0;
    for (size_t index = 0; index < ret->n_objects; index++)
        n_entries += json_array_size(json_object_get(json_array_get(objects, index), "files"));
    ret->objects = nsm_arena_calloc(reading->arena, ret->n_objects, sizeof(*ret->objects));
    ret->entries = nsm_arena_calloc(reading->arena, n_entries, sizeof(*ret->entries));
    for (size_t index = 0; index < ret->n_objects; index++) {
        NSM_TRY_WRAP(read_object(reading, json_array_get(objects, index), index, ret), "object %zu",
                     index);
    }
    return NULL;
}

/* Format and version come before the checksum: of a later version we know nothing else. */
static struct nsm_error *check_format(const json_t *json)
{
    const json_t *const format = json_object_get(json, "format");
    const json_t *const version = json_object_get(json, "version");
    if (!json_is_string(format) || strcmp(json_string_value(format), FORMAT) != 0 ||
        !json_is_integer(version))
        return nsm_error_new(NSM_E_CORRUPT, "not a manifest of format " FORMAT);
    if (json_integer_value(version) < 1 || json_integer_value(version) > FORMAT_VERSION) {
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "version %" PRId64 " of the format is not known here, only 1 to %d",
                             (int64_t)json_integer_value(version), FORMAT_VERSION);
    }
    return NULL;
}

static struct nsm_error *check_text(struct nsm_str text)
{
    const size_t body = text.len > TAIL_BYTES ? text.len - TAIL_BYTES : 0;
    struct nsm_buf sealed NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append(&sealed, text.ptr, body);
    write_checksum(&sealed);
    if (!nsm_str_equals(nsm_buf_view(&sealed), text)) {
        return nsm_error_new(NSM_E_CORRUPT, "its checksum does not match: it was edited or "
                                            "damaged; export the namespace again");
    }
    return NULL;
}

static struct nsm_error *parse(struct nsm_arena *arena, struct nsm_str text,
                               struct file_manifest *ret)
{
    json_t *json NSM_CLEANUP(json_decrefp) = NULL;
    NSM_TRY(nsm_json_parse(text, &json));
    NSM_TRY(check_format(json));
    NSM_TRY(check_text(text));
    struct reading reading NSM_CLEANUP(reading_release) = {.arena = arena};
    nsm_batch_init(&reading.batch, NSM_LANE_RECORD);
    struct file_manifest manifest = {0};
    NSM_TRY(read_text(&reading, json, "namespace", &manifest.namespace_name));
    NSM_TRY(read_text(&reading, json, "run", &manifest.run_id));
    NSM_TRY(read_bytes(&reading, json, "prefix", &manifest.prefix));
    NSM_TRY_WRAP(read_maker(&reading, json, &manifest), "definition");
    NSM_TRY(read_objects(&reading, json, &manifest));
    *ret = manifest;
    return NULL;
}

struct nsm_error *file_manifest_read(const char *folder, struct nsm_arena *arena,
                                     struct file_manifest *ret)
{
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/%s", folder, FILE_MANIFEST_NAME);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    NSM_TRY(file_read_all(path, &text));
    return nsm_error_wrap(parse(arena, nsm_buf_view(&text), ret), "%s", path);
}
