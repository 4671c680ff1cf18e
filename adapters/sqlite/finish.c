/*
 * What comes after the rows, from the source's own definition: indexes, as each table is full;
 * then views, numbers and settings; then triggers, which must not have seen the rows come; then
 * statistics where the source had some.
 */
#include "adapters/sqlite/destination.h"

#include "migrate/base/alloc.h"

enum phase {
    PHASE_INDEXES,
    PHASE_REST,
    PHASE_TRIGGERS,
    PHASE_STATISTICS,
};

static size_t object_of(const struct nsm_destination *destination, const char *table)
{
    for (size_t i = 0; i < destination->target.n_objects; i++) {
        if (sqlite3_stricmp(destination->target.objects[i].name, table) == 0)
            return i;
    }
    return NSM_NO_OBJECT;
}

static enum phase phase_of(const struct sqlite_item *item)
{
    if (strcmp(item->type, "index") == 0)
        return PHASE_INDEXES;
    if (strcmp(item->type, "trigger") == 0)
        return PHASE_TRIGGERS;
    return strcmp(item->type, "analyze") == 0 ? PHASE_STATISTICS : PHASE_REST;
}

/* Tables and the encoding were made before the rows. */
static bool is_step(const struct sqlite_item *item)
{
    return strcmp(item->type, "table") != 0 &&
           !(strcmp(item->type, "setting") == 0 && strcmp(item->name, "encoding") == 0);
}

static struct nsm_finish_step make_step(const struct nsm_destination *destination,
                                        struct nsm_arena *arena, const struct sqlite_item *item)
{
    struct sqlite_item *const copy = nsm_arena_alloc(arena, sizeof(*copy));
    *copy = (struct sqlite_item){
        .type = nsm_arena_strdup(arena, item->type),
        .name = nsm_arena_strdup(arena, item->name),
        .table = nsm_arena_strdup(arena, item->table),
        .sql = nsm_arena_strdup(arena, item->sql),
    };
    const enum phase phase = phase_of(item);
    const size_t object =
        phase == PHASE_INDEXES ? object_of(destination, item->table) : NSM_NO_OBJECT;
    return (struct nsm_finish_step){
        .phase = phase,
        .object = object,
        .weight = object == NSM_NO_OBJECT ? 0 : destination->shape->objects[object].n_bytes,
        .text = nsm_arena_printf(arena, "%s%s%s", item->type, item->name[0] ? " " : "", item->name),
        .state = copy,
    };
}

struct nsm_error *sqlite_plan_finish(struct nsm_destination *destination, struct nsm_context *ctx,
                                     struct nsm_finish_plan *plan)
{
    NSM_TRY(nsm_context_error(ctx));
    if (!sqlite_is_same_kind(destination) || !destination->definition)
        return NULL;
    NSM_CLEANUP(sqlite_definition_release) struct sqlite_definition definition = {0};
    NSM_TRY(sqlite_definition_load(destination->definition, &definition));
    plan->steps = nsm_arena_calloc(&plan->arena, definition.n_items, sizeof(*plan->steps));
    for (size_t i = 0; i < definition.n_items; i++) {
        const struct sqlite_item *const item = &definition.items[i];
        if (is_step(item))
            plan->steps[plan->n_steps++] = make_step(destination, &plan->arena, item);
    }
    return NULL;
}

/* ---- steps ---- */

struct step {
    const struct nsm_destination *destination;
    const struct sqlite_item *item;
};

/* An index, view or trigger. Where one of that name stands, it is ours from an earlier attempt, or
 * one that if_exists lets be; another view gives way for replace. Looked for only then, because that
 * takes a pass over the whole schema. */
static struct nsm_error *create_item(struct sqlite_db *db, const struct step *step)
{
    const struct sqlite_item *const item = step->item;
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = sqlite_run(db, item->sql, item->name);
    if (!nsm_error_is(error, NSM_E_INVALID))
        return NSM_STEAL(error);
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    const char *standing = NULL;
    NSM_TRY(sqlite_get_text(db, &arena,
                            "SELECT sql FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE",
                            item->name, &standing));
    if (*standing == '\0')
        return NSM_STEAL(error);
    if (strcmp(standing, item->sql) == 0 || step->destination->if_exists != NSM_IF_EXISTS_REPLACE)
        return NULL;
    nsm_buf_printf(&sql, "DROP %s ", item->type);
    sqlite_append_name(&sql, item->name);
    NSM_TRY(sqlite_run(db, sql.ptr, item->name));
    return sqlite_run(db, item->sql, item->name);
}

/* A merge never sets a number back. */
static struct nsm_error *set_sequence(struct sqlite_db *db, const struct sqlite_item *item)
{
    static const char *const statements[] = {
        "UPDATE sqlite_sequence SET seq = max(seq, CAST(?2 AS INTEGER)) WHERE name = ?1",
        "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, CAST(?2 AS INTEGER)"
        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
    };
    for (size_t i = 0; i < NSM_COUNT_OF(statements); i++) {
        bool is_found = false;
        int64_t none = 0;
        NSM_TRY(sqlite_get_i64(db, statements[i], item->name, item->sql, &is_found, &none));
    }
    return NULL;
}

/* A file in which something is set already keeps it, unless it is to be replaced. */
static struct nsm_error *set_pragma(struct sqlite_db *db, const struct step *step)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_found = false;
    int64_t standing = 0;
    nsm_buf_printf(&sql, "PRAGMA %s", step->item->name);
    NSM_TRY(sqlite_get_i64(db, sql.ptr, NULL, NULL, &is_found, &standing));
    if (standing != 0 && step->destination->if_exists != NSM_IF_EXISTS_REPLACE)
        return NULL;
    nsm_buf_printf(&sql, " = %s", step->item->sql);
    return sqlite_run(db, sql.ptr, step->item->name);
}

static struct nsm_error *run_step(struct sqlite_db *db, void *arg)
{
    const struct step *const step = arg;
    const char *const type = step->item->type;
    if (strcmp(type, "sequence") == 0)
        return set_sequence(db, step->item);
    if (strcmp(type, "setting") == 0)
        return set_pragma(db, step);
    if (strcmp(type, "analyze") == 0)
        return sqlite_run(db, "ANALYZE", "statistics");
    return create_item(db, step);
}

struct nsm_error *sqlite_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                     const struct nsm_finish_step *finish_step)
{
    struct step step = {.destination = destination, .item = finish_step->state};
    const struct sqlite_work work = {.mode = SQLITE_MODE_WRITE, .fn = run_step, .arg = &step};
    return sqlite_transaction(sqlite_backend_of(destination->backend), ctx, &work);
}
