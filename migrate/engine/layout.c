/* Which layout, and what the destination will hold under it. The records themselves are layout_apply.c's. */
#include "migrate/engine/layout.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"
#include "migrate/engine/layout_kv.h"

#include <assert.h>
#include <stdio.h>

static const char *const kv_names[NSM_KV_N_COLUMNS] = {"key", "kind", "value", "expires_at"};

/* ---- which layout ---- */

static enum nsm_model model_of(const struct nsm_census *census)
{
    return census->n_objects > 0 ? census->objects[0].model : NSM_MODEL_ROWS;
}

static bool is_layout_to_rows(enum nsm_layout layout)
{
    return layout == NSM_LAYOUT_KV || layout == NSM_LAYOUT_COLUMNS;
}

static bool is_layout_to_keys(enum nsm_layout layout)
{
    return layout == NSM_LAYOUT_KV || layout == NSM_LAYOUT_HASH || layout == NSM_LAYOUT_JSON;
}

static struct nsm_error *resolve(enum nsm_layout layout, enum nsm_model from, unsigned models,
                                 enum nsm_layout *ret)
{
    const bool can_keep = models & (from == NSM_MODEL_ROWS ? NSM_CAP_ROWS : NSM_CAP_KEYS);
    if (layout == NSM_LAYOUT_DEFAULT) {
        *ret = can_keep                 ? NSM_LAYOUT_DEFAULT
               : from == NSM_MODEL_ROWS ? NSM_LAYOUT_HASH
                                        : NSM_LAYOUT_KV;
        return NULL;
    }
    const bool fits = from == NSM_MODEL_ROWS ? (models & NSM_CAP_KEYS) && is_layout_to_keys(layout)
                                             : (models & NSM_CAP_ROWS) && is_layout_to_rows(layout);
    if (fits) {
        *ret = layout;
        return NULL;
    }
    return nsm_error_new(
        NSM_E_INVALID, "layout %s: %s", nsm_layout_name(layout),
        from == NSM_MODEL_ROWS
            ? "tables go to keys as hash, json or kv, and to tables without a layout"
            : "keys go to tables as kv or columns, and to keys without a layout");
}

/* ---- shapes ---- */

/* The shape's objects borrow the source's columns and names: the census outlives the stage. */
static void shape_as_source(struct nsm_layout_stage *stage)
{
    for (size_t at = 0; at < stage->source->n_objects; at++)
        *nsm_census_add_object(&stage->shape) = stage->source->objects[at];
    stage->shape.prefix = stage->source->prefix;
}

/* One object for all of the source's records. */
static struct nsm_object *shape_as_one(struct nsm_layout_stage *stage, const char *name,
                                       enum nsm_model model)
{
    struct nsm_object *const object = nsm_census_add_object(&stage->shape);
    object->name = nsm_arena_strdup(&stage->shape.arena, name);
    object->model = model;
    object->is_exact = true;
    for (size_t at = 0; at < stage->source->n_objects; at++) {
        object->n_records += stage->source->objects[at].n_records;
        object->n_bytes += stage->source->objects[at].n_bytes;
        object->is_exact = object->is_exact && stage->source->objects[at].is_exact;
    }
    return object;
}

static void shape_key(struct nsm_layout_stage *stage, struct nsm_object *object)
{
    object->key_columns = nsm_arena_calloc(&stage->shape.arena, 1, sizeof(*object->key_columns));
    object->n_key_columns = 1;
}

static void shape_as_kv(struct nsm_layout_stage *stage, const char *name)
{
    static const struct nsm_column columns[NSM_KV_N_COLUMNS] = {
        [NSM_KV_KEY] = {.name = "key", .type = NSM_BYTES, .type_name = "", .is_not_null = true},
        [NSM_KV_KIND] = {.name = "kind", .type = NSM_TEXT, .type_name = "", .is_not_null = true},
        [NSM_KV_VALUE] = {.name = "value", .type = NSM_BYTES, .type_name = "", .is_not_null = true},
        [NSM_KV_EXPIRES_AT] = {.name = "expires_at", .type = NSM_TIME, .type_name = "timestamptz"},
    };
    struct nsm_object *const object = shape_as_one(stage, name, NSM_MODEL_ROWS);
    object->columns =
        nsm_arena_calloc(&stage->shape.arena, NSM_KV_N_COLUMNS, sizeof(*object->columns));
    memcpy(object->columns, columns, sizeof(columns));
    object->n_columns = NSM_KV_N_COLUMNS;
    shape_key(stage, object);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rows of two tables of one name, from two schemas, would meet in the same keys. */
static void refuse_namesakes(struct nsm_layout_stage *stage)
{
    const size_t n = stage->source->n_objects;
    NSM_CLEANUP(nsm_freep) const char **names = nsm_xcalloc(n + 1, sizeof(*names));
    for (size_t at = 0; at < n; at++)
        names[at] = stage->source->objects[at].name;
    qsort(names, n, sizeof(*names), by_name);
    for (size_t at = 1; at < n; at++) {
        if (strcmp(names[at - 1], names[at]) == 0)
            nsm_findings_add(
                &stage->shape.findings, NSM_FINDING_REFUSAL, "", 1,
                "two tables are called %s, so their rows would take the same keys: move them as two "
                "namespaces with prefixes of their own",
                names[at]);
    }
}

/* Rows become keys by their primary key. */
static void shape_as_keys(struct nsm_layout_stage *stage)
{
    (void)shape_as_one(stage, "", NSM_MODEL_KEYS);
    refuse_namesakes(stage);
    for (size_t at = 0; at < stage->source->n_objects; at++) {
        const struct nsm_object *const table = &stage->source->objects[at];
        if (table->n_key_columns == 0)
            nsm_findings_add(
                &stage->shape.findings, NSM_FINDING_REFUSAL, "", 1,
                "table %s has no primary key, so its rows can't become keys: give it one, or leave it out",
                table->name);
    }
}

static bool find_column(const struct nsm_object *table, const char *name, size_t *ret)
{
    for (size_t at = 0; at < table->n_columns; at++) {
        if (strcmp(table->columns[at].name, name) == 0) {
            *ret = at;
            return true;
        }
    }
    return false;
}

/* A table in kv form back to the keys it came from. */
static void shape_as_keys_of_kv(struct nsm_layout_stage *stage)
{
    (void)shape_as_one(stage, "", NSM_MODEL_KEYS);
    const struct nsm_census *const source = stage->source;
    bool is_kv = source->n_objects == 1 && source->objects[0].n_columns == NSM_KV_N_COLUMNS;
    for (size_t at = 0; is_kv && at < NSM_KV_N_COLUMNS; at++)
        is_kv = find_column(&source->objects[0], kv_names[at], &stage->kv_columns[at]);
    if (!is_kv)
        nsm_findings_add(
            &stage->shape.findings, NSM_FINDING_REFUSAL, "", 1,
            "layout kv to keys takes one table with the columns key, kind, value and expires_at, and no "
            "others");
}

struct nsm_error *nsm_layout_init(struct nsm_layout_stage *stage, enum nsm_layout layout,
                                  const struct nsm_census *source, unsigned destination_models,
                                  const char *namespace_name)
{
    *stage = (struct nsm_layout_stage){.source = source};
    const enum nsm_model from = model_of(source);
    NSM_TRY(resolve(layout, from, destination_models, &stage->layout));
    stage->shape.identity = source->identity;
    switch (stage->layout) {
    case NSM_LAYOUT_DEFAULT:
        shape_as_source(stage);
        break;
    case NSM_LAYOUT_KV:
        if (from == NSM_MODEL_KEYS)
            shape_as_kv(stage, namespace_name);
        else
            shape_as_keys_of_kv(stage);
        break;
    case NSM_LAYOUT_COLUMNS:
        (void)shape_as_one(stage, namespace_name, NSM_MODEL_ROWS);
        break;
    case NSM_LAYOUT_HASH:
    case NSM_LAYOUT_JSON:
        shape_as_keys(stage);
        break;
    }
    return NULL;
}

/* ---- keys by a template ---- */

static struct nsm_error *find_key_columns(struct nsm_layout_stage *stage,
                                          const struct nsm_object *table)
{
    stage->key_columns =
        nsm_arena_calloc(&stage->shape.arena, stage->key->n_pieces, sizeof(*stage->key_columns));
    for (size_t at = 0; at < stage->key->n_pieces; at++) {
        const struct nsm_key_piece *const piece = &stage->key->pieces[at];
        if (!piece->is_column || find_column(table, piece->text.ptr, &stage->key_columns[at]))
            continue;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
        struct nsm_nearest nearest = nsm_nearest_to(piece->text);
        for (size_t column = 0; column < table->n_columns; column++)
            nsm_nearest_offer(&nearest, nsm_str_of(table->columns[column].name));
        nsm_quote(piece->text, &text);
        nsm_nearest_write(&nearest, &text);
        return nsm_error_new(NSM_E_INVALID, "table %s has no column %s", table->name, text.ptr);
    }
    return NULL;
}

static bool is_in_key(const struct nsm_layout_stage *stage, size_t column)
{
    bool is_found = false;
    for (size_t at = 0; at < stage->key->n_pieces; at++)
        is_found =
            is_found || (stage->key->pieces[at].is_column && stage->key_columns[at] == column);
    return is_found;
}

static bool is_key_column(const struct nsm_object *table, size_t column)
{
    bool is_found = false;
    for (size_t at = 0; at < table->n_key_columns; at++)
        is_found = is_found || table->key_columns[at] == column;
    return is_found;
}

struct nsm_error *nsm_layout_set_key(struct nsm_layout_stage *stage,
                                     const struct nsm_key_template *key)
{
    if (stage->layout != NSM_LAYOUT_HASH && stage->layout != NSM_LAYOUT_JSON)
        return nsm_error_new(NSM_E_INVALID,
                             "it is for rows that become keys, in layout hash or json");
    if (stage->source->n_objects != 1)
        return nsm_error_new(
            NSM_E_INVALID,
            "it is for the rows of one table, and the source has %zu: move each as "
            "a namespace of its own",
            stage->source->n_objects);
    const struct nsm_object *const table = &stage->source->objects[0];
    struct nsm_findings *const findings = &stage->shape.findings;
    stage->key = key;
    nsm_key_template_escapes(key, stage->key_escapes);
    NSM_TRY(find_key_columns(stage, table));
    for (size_t at = 0; at < table->n_columns; at++) {
        const char *const name = table->columns[at].name;
        const bool is_given = is_in_key(stage, at);
        if (is_key_column(table, at) && !is_given)
            nsm_findings_add(
                findings, NSM_FINDING_REFUSAL, "", 1,
                "key: {%s} is missing, a column of the primary key of table %s, so two "
                "rows could take one key: add it",
                name, table->name);
        else if (is_given && !is_key_column(table, at) && !table->columns[at].is_not_null)
            nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                             "key: column %s of table %s may be NULL, which no key can hold: leave "
                             "it out of the key",
                             name, table->name);
    }
    return NULL;
}

void nsm_layout_release(struct nsm_layout_stage *stage)
{
    nsm_census_release(&stage->shape);
    nsm_arena_release(&stage->field_arena);
    free(stage->fields);
    *stage = (struct nsm_layout_stage){0};
}

size_t nsm_layout_target_object(const struct nsm_layout_stage *stage, size_t object)
{
    return stage->layout == NSM_LAYOUT_DEFAULT ? object : 0;
}

/* ---- the fields of layout columns ---- */

bool nsm_layout_needs_fields(const struct nsm_layout_stage *stage)
{
    return stage->layout == NSM_LAYOUT_COLUMNS;
}

static bool is_text(struct nsm_str bytes)
{
    return nsm_is_utf8(bytes) && (bytes.len == 0 || !memchr(bytes.ptr, '\0', bytes.len));
}

/* Keeps the fields sorted, so that a known one is found by bisection. */
static bool find_field(const struct nsm_layout_stage *stage, struct nsm_str name, size_t *ret_at)
{
    size_t low = 0;
    size_t high = stage->n_fields;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = nsm_str_compare(stage->fields[middle], name);
        if (order == 0) {
            *ret_at = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return false;
}

bool nsm_layout_find_field(const struct nsm_layout_stage *stage, struct nsm_str name,
                           size_t *ret_at)
{
    return find_field(stage, name, ret_at);
}

static struct nsm_error *learn_field(struct nsm_layout_stage *stage, struct nsm_str name)
{
    size_t at = 0;
    if (find_field(stage, name, &at))
        return NULL;
    if (!is_text(name) || name.len == 0)
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "a field's name is empty or not UTF-8, so it can't name a column: use "
                             "layout kv");
    if (nsm_str_equals(name, NSM_STR_LIT("key")) || nsm_str_equals(name, NSM_STR_LIT("expires_at")))
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "the field %.*s has the name of a column of the layout: use layout kv",
                             NSM_STR_ARG(name));
    if (stage->n_fields == NSM_LAYOUT_MAX_FIELDS - 2)
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "the hashes have more than %d different fields: use layout kv",
                             NSM_LAYOUT_MAX_FIELDS - 2);
    NSM_GROW(stage->fields, stage->n_fields, stage->cap_fields);
    memmove(&stage->fields[at + 1], &stage->fields[at],
            (stage->n_fields - at) * sizeof(*stage->fields));
    stage->fields[at] = nsm_arena_copy(&stage->field_arena, name);
    stage->n_fields++;
    return NULL;
}

static struct nsm_error *learn_record(struct nsm_layout_stage *stage,
                                      const struct nsm_record *record)
{
    if (record->kind != NSM_KIND_HASH)
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "it is a %s, and layout columns takes hashes only: use layout kv",
                             nsm_kind_name(record->kind));
    for (size_t at = 0; at + 1 < record->n_items; at += 2) {
        NSM_TRY(learn_field(stage, record->items[at].bytes));
        stage->has_binary_value = stage->has_binary_value || !is_text(record->items[at + 1].bytes);
    }
    stage->has_binary_key = stage->has_binary_key || !is_text(record->key);
    stage->has_expiry = stage->has_expiry || record->expires_at_ms != NSM_NO_EXPIRY;
    return NULL;
}

struct nsm_error *nsm_layout_learn(struct nsm_layout_stage *stage, const struct nsm_batch *batch)
{
    for (size_t at = 0; at < batch->n_records; at++)
        NSM_TRY(nsm_layout_name_key(&batch->records[at], NULL,
                                    learn_record(stage, &batch->records[at])));
    return NULL;
}

void nsm_layout_end_learning(struct nsm_layout_stage *stage)
{
    struct nsm_object *const object = &stage->shape.objects[0];
    struct nsm_arena *const arena = &stage->shape.arena;
    const size_t n_columns = 1 + stage->n_fields + stage->has_expiry;
    struct nsm_column *const columns = nsm_arena_calloc(arena, n_columns, sizeof(*columns));
    columns[0] = (struct nsm_column){
        .name = "key",
        .type = stage->has_binary_key ? NSM_BYTES : NSM_TEXT,
        .type_name = "",
        .is_not_null = true,
    };
    for (size_t at = 0; at < stage->n_fields; at++)
        columns[1 + at] = (struct nsm_column){
            .name = stage->fields[at].ptr,
            .type = stage->has_binary_value ? NSM_BYTES : NSM_TEXT,
            .type_name = "",
        };
    if (stage->has_expiry)
        columns[n_columns - 1] =
            (struct nsm_column){.name = "expires_at", .type = NSM_TIME, .type_name = "timestamptz"};
    object->columns = columns;
    object->n_columns = n_columns;
    shape_key(stage, object);
}

/* ---- binding ---- */

/* Whether any value of the one can be one of the other. Times, and what only its store understands, have one type for several
 * things: only the type's name tells a date from a time, an inet from a point. */
static bool may_become(const struct nsm_column *from, const struct nsm_column *to)
{
    if (!nsm_type_may_convert(from->type, to->type))
        return false;
    if (to->type == NSM_JSON && strcmp(to->type_name, "jsonb") == 0)
        return from->type == NSM_JSON && strcmp(from->type_name, "jsonb") == 0; /* else respelled */
    if (from->type == to->type && (to->type == NSM_TIME || to->type == NSM_OTHER))
        return strcmp(from->type_name, to->type_name) == 0;
    return true;
}

static void check_columns(const struct nsm_object *from, const struct nsm_object *to,
                          struct nsm_findings *findings)
{
    assert(from->n_columns == to->n_columns);
    for (size_t at = 0; at < from->n_columns; at++) {
        const struct nsm_column *const source = &from->columns[at];
        const struct nsm_column *const target = &to->columns[at];
        if (!may_become(source, target))
            nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                             "column %s.%s: %s can't become %s", to->name, target->name,
                             source->type_name[0] ? source->type_name : nsm_type_name(source->type),
                             target->type_name[0] ? target->type_name
                                                  : nsm_type_name(target->type));
    }
}

static bool has_picks(const struct nsm_layout_stage *stage)
{
    bool is_any = false;
    for (size_t at = 0; stage->picks && at < stage->source->n_objects; at++)
        is_any = is_any || stage->picks[at].from;
    return is_any;
}

void nsm_layout_bind(struct nsm_layout_stage *stage, const struct nsm_census *target,
                     unsigned flags, struct nsm_findings *findings)
{
    stage->target = target;
    stage->is_same_adapter = flags & NSM_LAYOUT_SAME_ADAPTER;
    const bool is_plain = stage->layout == NSM_LAYOUT_DEFAULT &&
                          (stage->is_same_adapter || model_of(stage->source) == NSM_MODEL_KEYS);
    stage->is_identity = is_plain && !has_picks(stage);
    if (is_plain || target->n_objects != stage->shape.n_objects)
        return;
    for (size_t at = 0; at < target->n_objects; at++) {
        if (target->objects[at].model == NSM_MODEL_ROWS)
            check_columns(&stage->shape.objects[at], &target->objects[at], findings);
    }
}
