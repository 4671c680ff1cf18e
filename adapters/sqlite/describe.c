/* See describe.h. */
#include "adapters/sqlite/describe.h"

#include <unistd.h>

static bool has_type(const struct sqlite_item *item, const char *type)
{
    return strcmp(item->type, type) == 0;
}

/* Views, and what is on them, belong to no table. */
static bool is_alone(const struct nsm_description *description, const char *table)
{
    const struct nsm_census *const target = &description->destination->target;
    for (size_t i = 0; i < target->n_objects; i++) {
        if (sqlite3_stricmp(target->objects[i].name, table) == 0)
            return false;
    }
    return true;
}

/* A file that others keep something in has settings of its own. */
static bool is_ours_alone(const struct nsm_description *description,
                          const struct sqlite_catalog *catalog)
{
    if (description->destination->if_exists == NSM_IF_EXISTS_REPLACE)
        return true;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        const struct sqlite_table *const table = &catalog->tables[i];
        if (!table->is_virtual && is_alone(description, table->name))
            return false;
    }
    return true;
}

static void add(struct nsm_description *description, const struct sqlite_item *item)
{
    const bool is_number = has_type(item, "sequence");
    nsm_description_add(description,
                        &(struct nsm_definition){
                            .kind = is_number ? "sequence value" : sqlite_item_words(item),
                            .name = item->name,
                            .text = item->sql,
                            .is_alone = is_number || is_alone(description, item->table),
                        });
}

/* ---- the source ---- */

/* In a run, as it was when the tables were made: it may have gone on since. */
static struct nsm_error *take_definition(const struct nsm_destination *destination,
                                         struct nsm_context *ctx, struct sqlite_definition *ret)
{
    const char *const path = destination->definition;
    if (path && access(path, R_OK) == 0)
        return sqlite_definition_load(path, ret);
    return sqlite_definition_take(destination->source, ctx, ret);
}

/* Numbers that are behind the rows, as after somebody set them back, catch up with them when rows are written. */
static struct nsm_error *catch_up(struct sqlite_db *db, struct nsm_arena *arena,
                                  struct sqlite_item *item)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_behind = false;
    int64_t last = 0;
    nsm_buf_append_cstr(&sql, "SELECT max(rowid) FROM ");
    sqlite_append_name(&sql, item->name);
    nsm_buf_append_cstr(
        &sql, " HAVING max(rowid) > (SELECT max(seq) FROM sqlite_sequence WHERE name = ?1)");
    NSM_TRY(sqlite_get_i64(db, sql.ptr, item->name, NULL, &is_behind, &last));
    if (is_behind)
        item->sql = nsm_arena_printf(arena, "%lld", (long long)last);
    return NULL;
}

/* What ANALYZE found, and how a file encodes its text, define nothing. */
static bool is_described(const struct sqlite_item *item, bool has_settings)
{
    return !has_type(item, "stat") &&
           !(has_type(item, "setting") && (!has_settings || strcmp(item->name, "encoding") == 0));
}

static struct nsm_error *add_definition(struct sqlite_db *db, struct nsm_description *description,
                                        const struct sqlite_definition *definition,
                                        bool has_settings)
{
    for (size_t i = 0; i < definition->n_items; i++) {
        struct sqlite_item item = definition->items[i];
        if (has_type(&item, "sequence"))
            NSM_TRY(catch_up(db, &description->arena, &item));
        if (is_described(&item, has_settings))
            add(description, &item);
    }
    return NULL;
}

/* Whether the settings are compared is told by the destination's file. */
static struct nsm_error *look_at_destination(const struct nsm_description *description,
                                             struct nsm_context *ctx, bool *ret_has_settings)
{
    struct sqlite_backend *const there = sqlite_backend_of(description->destination->backend);
    NSM_CLEANUP(sqlite_catalog_release) struct sqlite_catalog catalog = {0};
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_acquire(there, ctx, &db));
    struct nsm_error *error = sqlite_refresh(db);
    if (!error)
        error = sqlite_catalog_read(db, &catalog);
    sqlite_release(there, db);
    *ret_has_settings = is_ours_alone(description, &catalog);
    return error;
}

static struct nsm_error *describe_source(struct nsm_description *description,
                                         struct nsm_context *ctx)
{
    struct sqlite_backend *const here =
        sqlite_backend_of(description->destination->source->backend);
    NSM_CLEANUP(sqlite_definition_release) struct sqlite_definition definition = {0};
    bool has_settings = false;
    struct sqlite_db *db = NULL;
    NSM_TRY(look_at_destination(description, ctx, &has_settings));
    NSM_TRY(take_definition(description->destination, ctx, &definition));
    NSM_TRY(sqlite_acquire(here, ctx, &db));
    struct nsm_error *const error = add_definition(db, description, &definition, has_settings);
    sqlite_release(here, db);
    return error;
}

/* ---- the destination ---- */

static bool is_whole(const struct nsm_description *description)
{
    const struct sqlite_source *const source = description->destination->source->state;
    return source->is_whole;
}

static struct nsm_error *add_setting(struct sqlite_db *db, struct nsm_description *description,
                                     const char *name, const char *sql)
{
    struct sqlite_item item = {.type = "setting", .name = name, .table = ""};
    NSM_TRY(sqlite_get_text(db, &description->arena, sql, NULL, &item.sql));
    add(description, &item);
    return NULL;
}

static struct nsm_error *add_numbers(struct sqlite_db *db, struct nsm_description *description)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    if (!sqlite_has_table(db, "sqlite_sequence"))
        return NULL;
    NSM_TRY(sqlite_prepare(db,
                           "SELECT name, seq FROM sqlite_sequence"
                           " WHERE name IS NOT NULL AND seq IS NOT NULL",
                           "sqlite_sequence", &statement));
    for (bool has_row = true; has_row;) {
        NSM_TRY(sqlite_step(db, statement, "sqlite_sequence", &has_row));
        if (!has_row)
            break;
        struct nsm_arena *const arena = &description->arena;
        const char *const name = nsm_arena_copy(arena, sqlite_column_str(statement, 0)).ptr;
        const struct sqlite_item item = {
            .type = "sequence",
            .name = name,
            .table = name,
            .sql = nsm_arena_copy(arena, sqlite_column_str(statement, 1)).ptr,
        };
        if (!is_alone(description, name))
            add(description, &item);
    }
    return NULL;
}

static struct nsm_error *describe_written(struct sqlite_db *db,
                                          const struct sqlite_catalog *catalog,
                                          struct nsm_description *description)
{
    for (size_t i = 0; i < catalog->n_tables; i++) {
        const struct sqlite_table *const table = &catalog->tables[i];
        const struct sqlite_item item = {
            .type = "table", .name = table->name, .table = table->name, .sql = table->sql};
        if (!table->is_virtual && !is_alone(description, table->name))
            add(description, &item);
    }
    for (size_t i = 0; i < catalog->n_items; i++) {
        const struct sqlite_item *const item = &catalog->items[i];
        if (is_whole(description) || has_type(item, "virtual") ||
            !is_alone(description, item->table))
            add(description, item);
    }
    if (is_whole(description) && is_ours_alone(description, catalog)) {
        NSM_TRY(add_setting(db, description, "user_version", "PRAGMA user_version"));
        NSM_TRY(add_setting(db, description, "application_id", "PRAGMA application_id"));
    }
    return add_numbers(db, description);
}

/* ---- all ---- */

static struct nsm_error *describe_all_written(struct sqlite_db *db,
                                              struct nsm_description **descriptions, size_t n)
{
    NSM_CLEANUP(sqlite_catalog_release) struct sqlite_catalog catalog = {0};
    NSM_TRY(sqlite_refresh(db));
    NSM_TRY(sqlite_catalog_read(db, &catalog));
    for (size_t i = 0; i < n; i++)
        NSM_TRY(describe_written(db, &catalog, descriptions[i]));
    return NULL;
}

struct nsm_error *sqlite_describe(struct nsm_backend *base, struct nsm_context *ctx,
                                  struct nsm_description **descriptions, size_t n_descriptions)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    if (descriptions[0]->is_source) {
        for (size_t i = 0; i < n_descriptions; i++)
            NSM_TRY(describe_source(descriptions[i], ctx));
        return NULL;
    }
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_acquire(backend, ctx, &db));
    struct nsm_error *const error = describe_all_written(db, descriptions, n_descriptions);
    sqlite_release(backend, db);
    return error;
}

/* ---- repair ---- */

struct mending {
    const struct nsm_change *changes;
    size_t n;
};

static struct nsm_error *mend_one(struct sqlite_db *db, const struct nsm_change *change)
{
    const struct nsm_definition *const wanted = change->wanted;
    bool is_found = false;
    int64_t none = 0;
    if (strcmp(wanted->kind, "sequence value") == 0) {
        NSM_TRY(sqlite_get_i64(db, "DELETE FROM sqlite_sequence WHERE name = ?1", wanted->name,
                               NULL, &is_found, &none));
        return sqlite_get_i64(db,
                              "INSERT INTO sqlite_sequence (name, seq)"
                              " VALUES (?1, CAST(?2 AS INTEGER))",
                              wanted->name, wanted->text, &is_found, &none);
    }
    const bool is_statement = strcmp(wanted->kind, "index") == 0 ||
                              strcmp(wanted->kind, "trigger") == 0 ||
                              strcmp(wanted->kind, "view") == 0;
    return change->is_missing && is_statement ? sqlite_run(db, wanted->text, wanted->name) : NULL;
}

static struct nsm_error *mend_all(struct sqlite_db *db, void *arg)
{
    const struct mending *const mending = arg;
    for (size_t i = 0; i < mending->n; i++)
        NSM_TRY_WRAP(mend_one(db, &mending->changes[i]), "%s %s", mending->changes[i].wanted->kind,
                     mending->changes[i].wanted->name);
    return NULL;
}

struct nsm_error *sqlite_mend(struct nsm_destination *destination, struct nsm_context *ctx,
                              const struct nsm_change *changes, size_t n_changes)
{
    struct mending mending = {changes, n_changes};
    const struct sqlite_work work = {.mode = SQLITE_MODE_WRITE, .fn = mend_all, .arg = &mending};
    return sqlite_transaction(sqlite_backend_of(destination->backend), ctx, &work);
}
