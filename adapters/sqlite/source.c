/*
 * The survey of SQLite namespaces: one catalog, then table by table. The census says of what is not
 * carried by name: virtual tables, and towards other kinds of stores what is no row.
 *
 * Readers of one file each see it as it is when they begin. That a file was written in between shows
 * in the objects' version.
 */
#include "adapters/sqlite/source.h"

#include "adapters/sqlite/scan.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

bool sqlite_range_parse(struct nsm_str text, struct sqlite_range *ret)
{
    const char *const colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
    if (!colon)
        return false;
    const struct nsm_str first = {.ptr = text.ptr, .len = (size_t)(colon - text.ptr)};
    return nsm_parse_i64(first, &ret->first) &&
           nsm_parse_i64(nsm_str_skip(text, first.len + 1), &ret->last);
}

/* ---- identity and version ---- */

const char *sqlite_file_identity(struct nsm_arena *arena, const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0)
        return nsm_arena_printf(arena, "%ju:%ju", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino);
    NSM_CLEANUP(nsm_freep) char *folder = sqlite_folder_of(path);
    const char *const slash = strrchr(path, '/');
    if (stat(folder, &info) == 0)
        return nsm_arena_printf(arena, "%ju:%ju/%s", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino,
                                slash ? slash + 1 : path);
    return nsm_arena_strdup(arena, path);
}

/* The change counter in the file's head counts commits that reached the file itself; those in a log
 * show in the log's size and time. */
static const char *file_version(struct nsm_arena *arena, const char *path)
{
    unsigned char counter[4] = {0};
    struct stat info = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fstat(fd, &info);
        if (pread(fd, counter, sizeof(counter), 24) != (ssize_t)sizeof(counter))
            memset(counter, 0, sizeof(counter));
        close(fd);
    }
    NSM_CLEANUP(nsm_freep) char *log_path = nsm_xasprintf("%s-wal", path);
    struct stat log = {0};
    if (stat(log_path, &log) != 0 || log.st_size == 0)
        log = (struct stat){0};
    return nsm_arena_printf(arena, "%02x%02x%02x%02x-%jd-%jd-%jd.%09ld", counter[0], counter[1],
                            counter[2], counter[3], (intmax_t)info.st_size, (intmax_t)log.st_size,
                            (intmax_t)log.st_mtim.tv_sec, log.st_mtim.tv_nsec);
}

/* "<file>/a,b,c" */
static void set_identity(struct nsm_census *census, const char *path)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "%s/", sqlite_file_identity(&census->arena, path));
    for (size_t i = 0; i < census->n_objects; i++)
        nsm_buf_printf(&text, "%s%s", i ? "," : "", census->objects[i].name);
    census->identity = nsm_arena_copy(&census->arena, nsm_buf_view(&text)).ptr;
}

/* ---- one table ---- */

/* A primary key of a table with rowids may hold NULLs, any number of them: then it is no key. */
static struct nsm_error *check_key(struct sqlite_db *db, const struct sqlite_table *table,
                                   struct nsm_object *object, struct nsm_findings *findings)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    for (size_t i = 0; i < object->n_key_columns; i++) {
        struct nsm_column *const column = &object->columns[object->key_columns[i]];
        const bool is_rowid =
            object->n_key_columns == 1 && sqlite3_stricmp(column->type_name, "INTEGER") == 0;
        if (column->is_not_null || is_rowid || table->is_without_rowid)
            continue;
        bool is_found = false;
        int64_t one = 0;
        nsm_buf_clear(&sql);
        nsm_buf_append_cstr(&sql, "SELECT 1 FROM ");
        sqlite_append_name(&sql, object->name);
        nsm_buf_append_cstr(&sql, " WHERE ");
        sqlite_append_name(&sql, column->name);
        nsm_buf_append_cstr(&sql, " IS NULL LIMIT 1");
        NSM_TRY(sqlite_get_i64(db, sql.ptr, NULL, NULL, &is_found, &one));
        if (!is_found)
            continue;
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "table %s: column %s of its primary key holds NULL, so the table is "
                         "copied as one without a key",
                         object->name, column->name);
        object->n_key_columns = 0;
    }
    return NULL;
}

/* Its columns, as the destination needs them. */
static struct nsm_error *describe_table(struct sqlite_db *db, struct nsm_source *source,
                                        const struct sqlite_table *table, struct nsm_object *object)
{
    struct nsm_arena *const arena = &source->census.arena;
    struct nsm_findings *const findings = &source->census.findings;
    const bool is_foreign = source->flags & NSM_SURVEY_VALUE_TYPES;
    const bool has_computed = is_foreign || source->flags & NSM_SURVEY_ARCHIVE;
    size_t n_computed = 0;
    NSM_TRY(sqlite_describe_columns(db, arena, has_computed ? SQLITE_DESCRIBE_COMPUTED : 0, object,
                                    &n_computed));
    if (n_computed && is_foreign)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", n_computed,
                         "table %s: %zu computed columns become ordinary ones", object->name,
                         n_computed);
    NSM_TRY(check_key(db, table, object, findings));
    if (source->flags & NSM_SURVEY_KEEP_PLACES && !table->is_without_rowid)
        return sqlite_add_rowid(db, arena, object);
    return NULL;
}

/* Columns, access and counts of the object that was added last. A table that can't be read at all,
 * because it needs a collation or function that is not here, is a REFUSAL. */
static struct nsm_error *survey_table(struct sqlite_db *db, struct nsm_source *source,
                                      const struct sqlite_table *table, struct nsm_object *object,
                                      struct sqlite_access *access)
{
    struct nsm_findings *const findings = &source->census.findings;
    const bool is_foreign = source->flags & NSM_SURVEY_VALUE_TYPES;
    NSM_TRY(sqlite_scan_damage(db, table->name));
    NSM_TRY(describe_table(db, source, table, object));
    NSM_TRY(sqlite_access_make(db, &source->census.arena, object, access));
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error =
        is_foreign || source->flags & NSM_SURVEY_ARCHIVE
            ? sqlite_scan_values(db, access, object, is_foreign ? findings : NULL)
            : sqlite_scan_counts(db, access, object);
    if (!nsm_error_is(error, NSM_E_INVALID))
        return NSM_STEAL(error);
    NSM_CLEANUP(nsm_freep) char *words = nsm_error_text(error);
    nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1, "table %s can't be read: %s",
                     object->name, words);
    return NULL;
}

static void add_left_behind(struct nsm_findings *findings, const struct sqlite_item *items,
                            size_t n_items)
{
    static const struct {
        const char *type, *plural;
    } types[] = {{"index", "indexes"}, {"view", "views"}, {"trigger", "triggers"}};
    for (size_t t = 0; t < NSM_COUNT_OF(types); t++) {
        size_t n = 0;
        for (size_t i = 0; i < n_items; i++)
            n += strcmp(items[i].type, types[t].type) == 0;
        if (n > 0)
            nsm_findings_add(findings, NSM_FINDING_NOTE, "", n,
                             "%zu %s: only tables, their rows and primary keys go to another kind "
                             "of store",
                             n, n == 1 ? types[t].type : types[t].plural);
    }
}

/* ---- a namespace ---- */

static bool is_selected(const struct nsm_source *source, const struct sqlite_source *state,
                        const struct sqlite_item *item)
{
    for (size_t i = 0; i < state->n_virtual; i++) {
        if (sqlite3_stricmp(item->table, state->virtual_names[i]) == 0)
            return true;
    }
    for (size_t i = 0; !state->is_whole && i < source->census.n_objects; i++) {
        if (sqlite3_stricmp(item->table, source->census.objects[i].name) == 0)
            return true;
    }
    return state->is_whole;
}

/* The items of the selected tables, and with the whole file the views. */
static void select_items(struct nsm_source *source, const struct sqlite_catalog *catalog,
                         struct sqlite_source *state)
{
    struct nsm_arena *const arena = &source->census.arena;
    NSM_CLEANUP(nsm_freep) struct sqlite_item *items = NULL;
    size_t n_items = 0;
    size_t cap_items = 0;
    size_t n_views = 0;
    for (size_t i = 0; i < catalog->n_items; i++) {
        const struct sqlite_item *const item = &catalog->items[i];
        if (!is_selected(source, state, item)) {
            n_views += strcmp(item->type, "view") == 0;
            continue;
        }
        NSM_GROW(items, n_items, cap_items);
        items[n_items++] = (struct sqlite_item){
            .type = nsm_arena_strdup(arena, item->type),
            .name = nsm_arena_strdup(arena, item->name),
            .table = nsm_arena_strdup(arena, item->table),
            .sql = nsm_arena_strdup(arena, item->sql),
        };
    }
    state->items = nsm_arena_calloc(arena, n_items, sizeof(*items));
    if (n_items)
        memcpy(state->items, items, n_items * sizeof(*items));
    state->n_items = n_items;
    if (n_views && state->is_raw)
        nsm_findings_add(&source->census.findings, NSM_FINDING_NOTE, "", n_views,
                         "%zu view%s, left behind: views go along only with the whole file",
                         n_views, n_views == 1 ? "" : "s");
}

static struct nsm_error *add_table(struct sqlite_db *db, struct nsm_source *source,
                                   const struct sqlite_table *table, const char *version,
                                   struct sqlite_source *state)
{
    struct nsm_census *const census = &source->census;
    const size_t index = census->n_objects;
    struct nsm_object *const object = nsm_census_add_object(census);
    struct sqlite_access *const access = &state->accesses[index];
    object->name = nsm_arena_strdup(&census->arena, table->name);
    object->model = NSM_MODEL_ROWS;
    object->version = version;
    state->table_sql[index] = nsm_arena_strdup(&census->arena, table->sql);
    state->places[index] = table->place;
    NSM_TRY(survey_table(db, source, table, object, access));
    if (source->flags & NSM_SURVEY_COUNT_ONLY)
        return NULL;
    return sqlite_scan_parts(db, access, source->part_bytes, index, census);
}

/* To another SQLite file its definition goes, and the tables in which its module keeps the rows as they are: no module is asked. */
static void add_virtual(struct nsm_source *source, const struct sqlite_table *table,
                        struct sqlite_source *state)
{
    state->virtual_names[state->n_virtual++] = nsm_arena_strdup(&source->census.arena, table->name);
    if (!state->is_raw)
        nsm_findings_add(&source->census.findings, NSM_FINDING_LOSS, "virtual-tables", 1,
                         "virtual table %s, whose module keeps the rows in a way of its own",
                         table->name);
}

static struct nsm_error *survey_tables(struct sqlite_db *db, struct nsm_source *source,
                                       const struct sqlite_catalog *catalog,
                                       struct sqlite_source *state)
{
    struct nsm_census *const census = &source->census;
    const char *const version = file_version(&census->arena, db->path);
    size_t *tables = NULL;
    size_t n_tables = 0;
    NSM_TRY(sqlite_select_tables(catalog, source->selection, db->path, census, &tables, &n_tables));
    state->accesses = nsm_arena_calloc(&census->arena, n_tables, sizeof(*state->accesses));
    state->table_sql = nsm_arena_calloc(&census->arena, n_tables, sizeof(*state->table_sql));
    state->places = nsm_arena_calloc(&census->arena, n_tables, sizeof(*state->places));
    state->virtual_names =
        nsm_arena_calloc(&census->arena, n_tables, sizeof(*state->virtual_names));
    for (size_t i = 0; i < n_tables; i++) {
        const struct sqlite_table *const table = &catalog->tables[tables[i]];
        if (table->is_virtual)
            add_virtual(source, table, state);
        else if (!table->is_shadow || state->is_raw)
            NSM_TRY_WRAP(add_table(db, source, table, version, state), "table %s", table->name);
    }
    return NULL;
}

static struct nsm_error *survey_selection(struct sqlite_db *db, struct nsm_source *source,
                                          const struct sqlite_catalog *catalog,
                                          struct sqlite_source *state)
{
    state->is_whole = nsm_settings_list_size(source->selection, "tables") == 0;
    state->is_raw = !(source->flags & NSM_SURVEY_VALUE_TYPES);
    state->encoding = nsm_arena_strdup(&source->census.arena, catalog->encoding);
    NSM_TRY(survey_tables(db, source, catalog, state));
    select_items(source, catalog, state);
    if (!state->is_raw)
        add_left_behind(&source->census.findings, state->items, state->n_items);
    return NULL;
}

/* What a destination wrote: its target's tables with its target's columns. No catalog is read: there
 * may be ten thousand other tables in the file. */
static struct nsm_error *survey_written(struct sqlite_db *db, struct nsm_source *source)
{
    struct nsm_census *const census = &source->census;
    struct sqlite_source *const state = source->state;
    const struct nsm_census *const target = &source->written->target;
    const char *const version = file_version(&census->arena, db->path);
    state->is_raw = true;
    state->accesses = nsm_arena_calloc(&census->arena, target->n_objects, sizeof(*state->accesses));
    NSM_TRY(sqlite_refresh(db));
    NSM_TRY(sqlite_get_text(db, &census->arena, "PRAGMA encoding", NULL, &state->encoding));
    for (size_t i = 0; i < target->n_objects; i++) {
        const char *const name = target->objects[i].name;
        if (!sqlite_has_table(db, name))
            return nsm_error_new(NSM_E_NOTFOUND, "%s: no table \"%s\"", db->path, name);
        struct nsm_object *const object = nsm_census_add_object(census);
        sqlite_copy_object(&census->arena, &target->objects[i], object);
        object->version = version;
        NSM_TRY(sqlite_access_make(db, &census->arena, object, &state->accesses[i]));
        NSM_TRY(sqlite_scan_counts(db, &state->accesses[i], object));
        if (!(source->flags & NSM_SURVEY_COUNT_ONLY))
            NSM_TRY(sqlite_scan_parts(db, &state->accesses[i], source->part_bytes, i, census));
    }
    return NULL;
}

static struct nsm_error *survey_selections(struct sqlite_db *db, struct nsm_source **sources,
                                           size_t n_sources)
{
    NSM_CLEANUP(sqlite_catalog_release) struct sqlite_catalog catalog = {0};
    NSM_TRY(sqlite_catalog_read(db, &catalog));
    for (size_t i = 0; i < n_sources; i++) {
        struct nsm_source *const source = sources[i];
        if (!source->written)
            NSM_TRY_WRAP(survey_selection(db, source, &catalog, source->state), "namespace %s",
                         source->namespace_name);
    }
    return NULL;
}

static struct nsm_error *survey_all(struct sqlite_db *db, struct nsm_source **sources,
                                    size_t n_sources)
{
    size_t n_written = 0;
    for (size_t i = 0; i < n_sources; i++) {
        sources[i]->state =
            nsm_arena_calloc(&sources[i]->census.arena, 1, sizeof(struct sqlite_source));
        n_written += sources[i]->written != NULL;
        if (sources[i]->written)
            NSM_TRY_WRAP(survey_written(db, sources[i]), "namespace %s",
                         sources[i]->namespace_name);
    }
    if (n_written < n_sources)
        NSM_TRY(survey_selections(db, sources, n_sources));
    for (size_t i = 0; i < n_sources; i++)
        set_identity(&sources[i]->census, db->path);
    return NULL;
}

struct nsm_error *sqlite_survey(struct nsm_backend *base, struct nsm_context *ctx,
                                struct nsm_source **sources, size_t n_sources)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    struct sqlite_db *db = NULL;
    if (n_sources > 0 && sources[0]->written && sqlite_has_writer(backend)) {
        NSM_TRY(sqlite_take_turn(backend, ctx, SQLITE_MODE_WRITE, &db));
        struct nsm_error *const error = survey_all(db, sources, n_sources);
        sqlite_end_turn(backend);
        return error;
    }
    NSM_TRY(sqlite_acquire(backend, ctx, &db));
    struct nsm_error *const error = survey_all(db, sources, n_sources);
    sqlite_release(backend, db);
    return error;
}

/* The state lies in the census's arena. */
void sqlite_release_source(struct nsm_source *source)
{
    source->state = NULL;
}

/* ---- for_each ---- */

static struct nsm_error *list_all(struct sqlite_db *db, const char *glob, nsm_name_fn *fn,
                                  void *arg)
{
    NSM_CLEANUP(sqlite_catalog_release) struct sqlite_catalog catalog = {0};
    NSM_TRY(sqlite_catalog_read(db, &catalog));
    for (size_t i = 0; i < catalog.n_tables; i++) {
        const struct sqlite_table *const table = &catalog.tables[i];
        if (!table->is_virtual && !table->is_shadow &&
            nsm_glob_matches(nsm_str_of(glob), nsm_str_of(table->name)))
            fn(arg, table->name);
    }
    return NULL;
}

struct nsm_error *sqlite_list(struct nsm_backend *base, struct nsm_context *ctx, const char *key,
                              const char *glob, nsm_name_fn *fn, void *arg)
{
    assert(strcmp(key, "tables") == 0);
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_acquire(backend, ctx, &db));
    struct nsm_error *const error = list_all(db, glob, fn, arg);
    sqlite_release(backend, db);
    return error;
}
