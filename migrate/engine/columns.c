/* See columns.h. */
#include "migrate/engine/columns.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/engine/plan_yaml.h"

/* Of the columns that are left out, how many a note names. */
#define MAX_NAMED 8

struct choice {
    const struct nsm_plan *plan;
    struct nsm_census *source;
    struct nsm_columns *ret;
    struct nsm_findings *findings;
    bool reads_all; /* the reader can't leave any out */
};

/* ---- which table ---- */

static const char *full_name(struct nsm_arena *arena, const struct nsm_object *object)
{
    return object->schema[0] ? nsm_arena_printf(arena, "%s.%s", object->schema, object->name)
                             : object->name;
}

static struct nsm_error *unknown_table(const struct choice *choice,
                                       const struct nsm_plan_columns *columns)
{
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(columns->table));
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    for (size_t at = 0; at < choice->source->n_objects; at++)
        nsm_nearest_offer(&nearest, nsm_str_of(full_name(&arena, &choice->source->objects[at])));
    nsm_quote(nsm_str_of(columns->table), &text);
    nsm_nearest_write(&nearest, &text);
    return nsm_yaml_error(choice->plan->path, columns->line, columns->column,
                          "columns: the source has no table %s", text.ptr);
}

static struct nsm_error *find_table(const struct choice *choice,
                                    const struct nsm_plan_columns *columns, size_t *ret)
{
    const struct nsm_census *const source = choice->source;
    if (!columns->table && source->n_objects != 1)
        return nsm_yaml_error(choice->plan->path, columns->line, columns->column,
                              "columns: the source has %zu tables, so say of which, as in "
                              "{\"app.users\": [id, name]}",
                              source->n_objects);
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    size_t n = 0;
    for (size_t at = 0; at < source->n_objects; at++) {
        const struct nsm_object *const object = &source->objects[at];
        if (columns->table && strcmp(columns->table, object->name) != 0 &&
            strcmp(columns->table, full_name(&arena, object)) != 0)
            continue;
        *ret = at;
        n++;
    }
    if (n == 0)
        return unknown_table(choice, columns);
    if (n > 1 || choice->ret->picks[*ret].n > 0)
        return nsm_yaml_error(choice->plan->path, columns->line, columns->column,
                              n > 1 ? "columns: several tables are called %s: name the schema too"
                                    : "columns: those of table %s stand there twice",
                              source->objects[*ret].name);
    return NULL;
}

/* ---- which of its columns ---- */

static struct nsm_error *find_column(const struct choice *choice, const struct nsm_object *object,
                                     const struct nsm_plan_column *wanted, size_t *ret)
{
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(wanted->name));
    for (size_t at = 0; at < object->n_columns; at++) {
        nsm_nearest_offer(&nearest, nsm_str_of(object->columns[at].name));
        *ret = at;
        if (strcmp(object->columns[at].name, wanted->name) == 0)
            return NULL;
    }
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_quote(nsm_str_of(wanted->name), &text);
    nsm_nearest_write(&nearest, &text);
    return nsm_yaml_error(choice->plan->path, wanted->line, wanted->column,
                          "columns: table %s has no column %s", object->name, text.ptr);
}

/* The key stays one only with all its columns. */
static void choose_key(const struct choice *choice, const struct nsm_object *object,
                       const size_t *from, struct nsm_object *chosen)
{
    chosen->key_columns = nsm_arena_calloc(&choice->ret->census.arena, object->n_key_columns + 1,
                                           sizeof(*chosen->key_columns));
    for (size_t at = 0; at < object->n_key_columns; at++) {
        size_t place = 0;
        while (place < chosen->n_columns && from[place] != object->key_columns[at])
            place++;
        if (place == chosen->n_columns) {
            chosen->n_key_columns = 0;
            nsm_findings_add(choice->findings, NSM_FINDING_NOTE, "", 1,
                             "table %s: column %s of its primary key is left out, so what is "
                             "written has no key",
                             object->name, object->columns[object->key_columns[at]].name);
            return;
        }
        chosen->key_columns[at] = place;
    }
}

static void tell_left_out(const struct choice *choice, const struct nsm_object *object,
                          const size_t *from, size_t n_chosen)
{
    NSM_CLEANUP(nsm_freep) bool *is_chosen = nsm_xcalloc(object->n_columns + 1, sizeof(bool));
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf names = NSM_BUF_TEXT;
    const size_t n_left = object->n_columns - n_chosen;
    size_t n_named = 0;
    for (size_t at = 0; at < n_chosen; at++)
        is_chosen[from[at]] = true;
    for (size_t at = 0; at < object->n_columns && n_named < MAX_NAMED; at++) {
        if (!is_chosen[at])
            nsm_buf_printf(&names, "%s%s", n_named++ ? ", " : "", object->columns[at].name);
    }
    if (n_left > n_named)
        nsm_buf_printf(&names, " and %zu more", n_left - n_named);
    if (n_left > 0)
        nsm_findings_add(choice->findings, NSM_FINDING_NOTE, "", n_left,
                         "table %s: %zu of %zu columns are chosen; left out: %s", object->name,
                         n_chosen, object->n_columns, names.ptr);
}

/* Cuts the table as it is read, where its reader can. */
static void cut(const struct choice *choice, struct nsm_object *object, size_t *from, size_t n,
                struct nsm_pick *ret)
{
    *ret = (struct nsm_pick){.n = n, .n_read = object->n_columns};
    if (choice->reads_all) {
        ret->from = from;
        return;
    }
    struct nsm_column *const columns =
        nsm_arena_calloc(&choice->source->arena, n, sizeof(*columns));
    for (size_t at = 0; at < n; at++)
        columns[at] = object->columns[from[at]];
    object->columns = columns;
    object->n_columns = n;
    object->n_key_columns = 0; /* what is asked for by key is the chosen table */
}

static struct nsm_error *choose_columns(const struct choice *choice,
                                        const struct nsm_plan_columns *columns)
{
    struct nsm_arena *const arena = &choice->ret->census.arena;
    size_t at = 0;
    NSM_TRY(find_table(choice, columns, &at));
    struct nsm_object *const object = &choice->source->objects[at];
    struct nsm_object *const chosen = &choice->ret->census.objects[at];
    size_t *const from = nsm_arena_calloc(arena, columns->n_items, sizeof(*from));
    chosen->columns = nsm_arena_calloc(arena, columns->n_items, sizeof(*chosen->columns));
    chosen->n_columns = columns->n_items;
    for (size_t i = 0; i < columns->n_items; i++) {
        NSM_TRY(find_column(choice, object, &columns->items[i], &from[i]));
        chosen->columns[i] = object->columns[from[i]];
        chosen->columns[i].name = columns->items[i].to;
        chosen->columns[i].is_generated = false;
    }
    choose_key(choice, object, from, chosen);
    tell_left_out(choice, object, from, columns->n_items);
    cut(choice, object, from, columns->n_items, &choice->ret->picks[at]);
    return NULL;
}

/* ---- the whole ---- */

/* A table that is made from its columns computes none of them. */
static void add_table(struct nsm_columns *columns, const struct nsm_object *from)
{
    struct nsm_arena *const arena = &columns->census.arena;
    struct nsm_object *const object = nsm_census_add_object(&columns->census);
    *object = *from;
    object->columns = nsm_arena_calloc(arena, from->n_columns, sizeof(*object->columns));
    for (size_t at = 0; at < from->n_columns; at++) {
        object->columns[at] = from->columns[at];
        object->columns[at].is_generated = false;
    }
}

struct nsm_error *nsm_columns_choose(const struct nsm_plan *plan,
                                     const struct nsm_plan_namespace *ns, struct nsm_census *source,
                                     struct nsm_columns *ret, struct nsm_findings *findings)
{
    const struct nsm_adapter *const adapter = plan->backends[ns->source.backend].adapter;
    const struct choice choice = {
        .plan = plan,
        .source = source,
        .ret = ret,
        .findings = findings,
        .reads_all = !(adapter->caps & NSM_CAP_COLUMNS),
    };
    *ret =
        (struct nsm_columns){.census.prefix = source->prefix, .census.identity = source->identity};
    if (source->n_objects > 0 && source->objects[0].model != NSM_MODEL_ROWS)
        return nsm_yaml_error(plan->path, ns->columns[0].line, ns->columns[0].column,
                              "columns: they are chosen of tables, and the source holds keys");
    for (size_t at = 0; at < source->n_objects; at++)
        add_table(ret, &source->objects[at]);
    ret->picks = nsm_arena_calloc(&ret->census.arena, source->n_objects + 1, sizeof(*ret->picks));
    for (size_t at = 0; at < ns->n_columns; at++)
        NSM_TRY(choose_columns(&choice, &ns->columns[at]));
    return NULL;
}

void nsm_columns_release(struct nsm_columns *columns)
{
    nsm_census_release(&columns->census);
    *columns = (struct nsm_columns){0};
}
