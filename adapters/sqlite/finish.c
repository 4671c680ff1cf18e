/*
 * What comes after the rows, from the source's own definition: indexes, as each table is full; then all else in one transaction, in
 * the source's order: virtual tables, views, triggers (which must not have seen the rows come), numbers, statistics and settings.
 */
#include "adapters/sqlite/destination.h"

#include "migrate/base/alloc.h"

enum phase {
    PHASE_INDEXES,
    PHASE_REST,
};

/* A step's state, in the plan's arena. */
struct item_list {
    struct sqlite_item *items;
    size_t n_items;
};

static size_t object_of(const struct nsm_destination *destination, const char *table)
{
    for (size_t i = 0; i < destination->target.n_objects; i++) {
        if (sqlite3_stricmp(destination->target.objects[i].name, table) == 0)
            return i;
    }
    return NSM_NO_OBJECT;
}

static bool is_index(const struct sqlite_item *item)
{
    return strcmp(item->type, "index") == 0;
}

/* Tables and the encoding were made before the rows. */
static bool is_rest(const struct sqlite_item *item)
{
    return !is_index(item) && strcmp(item->type, "table") != 0 &&
           !(strcmp(item->type, "setting") == 0 && strcmp(item->name, "encoding") == 0);
}

static void add_copy(struct item_list *list, struct nsm_arena *arena,
                     const struct sqlite_item *item)
{
    list->items[list->n_items++] = (struct sqlite_item){
        .type = nsm_arena_strdup(arena, item->type),
        .name = nsm_arena_strdup(arena, item->name),
        .table = nsm_arena_strdup(arena, item->table),
        .sql = nsm_arena_strdup(arena, item->sql),
    };
}

static struct item_list *make_list(struct nsm_arena *arena, size_t max_items)
{
    struct item_list *const list = nsm_arena_calloc(arena, 1, sizeof(*list));
    list->items = nsm_arena_calloc(arena, max_items, sizeof(*list->items));
    return list;
}

static void add_index(const struct nsm_destination *destination, struct nsm_finish_plan *plan,
                      const struct sqlite_item *item)
{
    struct item_list *const list = make_list(&plan->arena, 1);
    const size_t object = object_of(destination, item->table);
    add_copy(list, &plan->arena, item);
    plan->steps[plan->n_steps++] = (struct nsm_finish_step){
        .phase = PHASE_INDEXES,
        .object = object,
        .weight = object == NSM_NO_OBJECT ? 0 : destination->shape->objects[object].n_bytes,
        .text = nsm_arena_printf(&plan->arena, "index %s", item->name),
        .state = list,
    };
}

static void add_rest(const struct sqlite_definition *definition, struct nsm_finish_plan *plan)
{
    struct item_list *const list = make_list(&plan->arena, definition->n_items);
    for (size_t i = 0; i < definition->n_items; i++) {
        if (is_rest(&definition->items[i]))
            add_copy(list, &plan->arena, &definition->items[i]);
    }
    if (list->n_items == 0)
        return;
    plan->steps[plan->n_steps++] = (struct nsm_finish_step){
        .phase = PHASE_REST,
        .object = NSM_NO_OBJECT,
        .text = "views, triggers and settings",
        .state = list,
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
    plan->steps = nsm_arena_calloc(&plan->arena, definition.n_items + 1, sizeof(*plan->steps));
    for (size_t i = 0; i < definition.n_items; i++) {
        if (is_index(&definition.items[i]))
            add_index(destination, plan, &definition.items[i]);
    }
    add_rest(&definition, plan);
    return NULL;
}

/* ---- steps ---- */

struct step {
    const struct nsm_destination *destination;
    const struct item_list *list;
};

/* Past CREATE VIRTUAL TABLE, which would ask the module to make tables of its own: those came with their rows. The count of changes
 * of the schema is what tells other connections of it. */
static struct nsm_error *insert_virtual(struct sqlite_db *db, const struct sqlite_item *item)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_found = false;
    int64_t version = 0;
    NSM_TRY(sqlite_run(db, "PRAGMA writable_schema = ON", item->name));
    NSM_TRY(sqlite_get_i64(db,
                           "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql)"
                           " VALUES ('table', ?1, ?1, 0, ?2)",
                           item->name, item->sql, &is_found, &version));
    NSM_TRY(sqlite_get_i64(db, "PRAGMA schema_version", NULL, NULL, &is_found, &version));
    nsm_buf_printf(&sql, "PRAGMA schema_version = %u", (unsigned)version + 1);
    return sqlite_run(db, sql.ptr, item->name);
}

static struct nsm_error *create_virtual(struct sqlite_db *db, const struct sqlite_item *item)
{
    bool is_there = false;
    int64_t one = 0;
    NSM_TRY(sqlite_get_i64(db, "SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE",
                           item->name, NULL, &is_there, &one));
    if (is_there)
        return NULL;
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    struct nsm_error *error = insert_virtual(db, item);
    if (!error)
        error = sqlite_run(db, "PRAGMA writable_schema = RESET", item->name);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return error;
}

/* An index, view or trigger. Where one of that name stands, it is ours from an earlier attempt, or
 * one that if_exists lets be; another view gives way for replace. Looked for only then, because that
 * takes a pass over the whole schema. */
static struct nsm_error *create_item(struct sqlite_db *db,
                                     const struct nsm_destination *destination,
                                     const struct sqlite_item *item)
{
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
    if (strcmp(standing, item->sql) == 0 || destination->if_exists != NSM_IF_EXISTS_REPLACE)
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
static struct nsm_error *set_pragma(struct sqlite_db *db, const struct nsm_destination *destination,
                                    const struct sqlite_item *item)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_found = false;
    int64_t standing = 0;
    nsm_buf_printf(&sql, "PRAGMA %s", item->name);
    NSM_TRY(sqlite_get_i64(db, sql.ptr, NULL, NULL, &is_found, &standing));
    if (standing != 0 && destination->if_exists != NSM_IF_EXISTS_REPLACE)
        return NULL;
    nsm_buf_printf(&sql, " = %s", item->sql);
    return sqlite_run(db, sql.ptr, item->name);
}

/* Of a table that was merged into, the source's statistics say nothing. */
static struct nsm_error *set_statistics(struct sqlite_db *db,
                                        const struct nsm_destination *destination,
                                        const struct sqlite_item *item)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    bool has_row = false;
    if (destination->if_exists == NSM_IF_EXISTS_MERGE ||
        destination->if_exists == NSM_IF_EXISTS_SKIP)
        return NULL;
    if (!sqlite_has_table(db, "sqlite_stat1"))
        NSM_TRY(sqlite_run(db, "ANALYZE sqlite_schema", "statistics"));
    NSM_TRY(sqlite_prepare(db,
                           "INSERT INTO sqlite_stat1 (tbl, idx, stat) SELECT ?1, nullif(?2, ''), ?3"
                           " WHERE NOT EXISTS (SELECT 1 FROM sqlite_stat1 WHERE tbl = ?1"
                           " AND coalesce(idx, '') = ?2)",
                           "statistics", &statement));
    sqlite_bind_str(statement, 1, nsm_str_of(item->name));
    sqlite_bind_str(statement, 2, nsm_str_of(item->table));
    sqlite_bind_str(statement, 3, nsm_str_of(item->sql));
    return sqlite_step(db, statement, "statistics", &has_row);
}

static struct nsm_error *run_item(struct sqlite_db *db, const struct nsm_destination *destination,
                                  const struct sqlite_item *item)
{
    if (strcmp(item->type, "sequence") == 0)
        return set_sequence(db, item);
    if (strcmp(item->type, "setting") == 0)
        return set_pragma(db, destination, item);
    if (strcmp(item->type, "stat") == 0)
        return set_statistics(db, destination, item);
    if (strcmp(item->type, "virtual") == 0)
        return create_virtual(db, item);
    return create_item(db, destination, item);
}

static struct nsm_error *run_step(struct sqlite_db *db, void *arg)
{
    const struct step *const step = arg;
    for (size_t i = 0; i < step->list->n_items; i++) {
        const struct sqlite_item *const item = &step->list->items[i];
        NSM_TRY_WRAP(run_item(db, step->destination, item), "%s %s", sqlite_item_words(item),
                     item->name);
    }
    return NULL;
}

struct nsm_error *sqlite_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                     const struct nsm_finish_step *finish_step)
{
    struct step step = {.destination = destination, .list = finish_step->state};
    const struct sqlite_work work = {.mode = SQLITE_MODE_WRITE, .fn = run_step, .arg = &step};
    return sqlite_transaction(sqlite_backend_of(destination->backend), ctx, &work);
}
