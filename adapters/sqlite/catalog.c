/*
 * The catalog of a SQLite file. Two queries whatever the number of tables: pragma_table_list knows
 * what is virtual, shadow and without rowid, sqlite_schema has the definitions.
 */
#include "adapters/sqlite/catalog.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"

static int compare_tables(const void *a, const void *b)
{
    const struct sqlite_table *const one = a;
    const struct sqlite_table *const other = b;
    return sqlite3_stricmp(one->name, other->name);
}

static struct sqlite_table *find_table(const struct sqlite_catalog *catalog, const char *name)
{
    const struct sqlite_table key = {.name = name};
    if (catalog->n_tables == 0)
        return NULL;
    return bsearch(&key, catalog->tables, catalog->n_tables, sizeof(key), compare_tables);
}

const struct sqlite_table *sqlite_catalog_find(const struct sqlite_catalog *catalog,
                                               const char *name)
{
    return find_table(catalog, name);
}

static int compare_items(const void *a, const void *b)
{
    const struct sqlite_item *const one = a;
    const struct sqlite_item *const other = b;
    return sqlite3_stricmp(one->name, other->name);
}

const struct sqlite_item *sqlite_catalog_find_item(const struct sqlite_catalog *catalog,
                                                   const char *name)
{
    const struct sqlite_item key = {.name = name};
    if (catalog->n_items == 0)
        return NULL;
    return bsearch(&key, catalog->items_by_name, catalog->n_items, sizeof(key), compare_items);
}

const char *sqlite_reserved_name(const char *name)
{
    if (sqlite3_strnicmp(name, "sqlite_", 7) == 0)
        return "names that begin with sqlite_ are SQLite's own";
    if (sqlite3_stricmp(name, SQLITE_CHECKPOINT_TABLE) == 0)
        return "nsmigrate keeps its checkpoints under this name";
    return NULL;
}

const char *sqlite_item_words(const struct sqlite_item *item)
{
    return strcmp(item->type, "virtual") == 0 ? "virtual table" : item->type;
}

static const char *copy_column(struct nsm_arena *arena, sqlite3_stmt *statement, int column)
{
    return nsm_arena_copy(arena, sqlite_column_str(statement, column)).ptr;
}

static struct nsm_error *read_tables(struct sqlite_db *db, struct sqlite_catalog *catalog)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db,
                           "SELECT name, type, wr FROM pragma_table_list"
                           " WHERE schema = 'main' AND type IN ('table', 'virtual', 'shadow')",
                           "", &statement));
    for (;;) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, "", &has_row));
        if (!has_row)
            break;
        const char *const name = copy_column(&catalog->arena, statement, 0);
        const struct nsm_str type = sqlite_column_str(statement, 1);
        if (sqlite_reserved_name(name))
            continue;
        NSM_GROW(catalog->tables, catalog->n_tables, catalog->cap_tables);
        catalog->tables[catalog->n_tables++] = (struct sqlite_table){
            .name = name,
            .sql = "",
            .is_without_rowid = sqlite3_column_int(statement, 2) != 0,
            .is_virtual = nsm_str_equals(type, NSM_STR_LIT("virtual")),
            .is_shadow = nsm_str_equals(type, NSM_STR_LIT("shadow")),
        };
    }
    if (catalog->n_tables)
        qsort(catalog->tables, catalog->n_tables, sizeof(*catalog->tables), compare_tables);
    return NULL;
}

/* The row of sqlite_schema that the statement stands on, the `place`th. */
static void take_definition(struct sqlite_catalog *catalog, sqlite3_stmt *statement, size_t place)
{
    struct sqlite_item item = {
        .type = copy_column(&catalog->arena, statement, 0),
        .name = copy_column(&catalog->arena, statement, 1),
        .table = copy_column(&catalog->arena, statement, 2),
        .sql = copy_column(&catalog->arena, statement, 3),
    };
    const bool is_table = strcmp(item.type, "table") == 0;
    struct sqlite_table *const table = is_table ? find_table(catalog, item.name) : NULL;
    if (table) {
        table->sql = item.sql;
        table->place = place;
        item.type = "virtual";
    }
    if (is_table && (!table || !table->is_virtual))
        return;
    NSM_GROW(catalog->items, catalog->n_items, catalog->cap_items);
    catalog->items[catalog->n_items++] = item;
}

/* Those without a definition belong to a constraint of a table, and come with it. */
static struct nsm_error *read_definitions(struct sqlite_db *db, struct sqlite_catalog *catalog)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db,
                           "SELECT type, name, tbl_name, sql FROM sqlite_schema"
                           " WHERE sql IS NOT NULL ORDER BY rowid",
                           "", &statement));
    for (size_t place = 1;; place++) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, "", &has_row));
        if (!has_row)
            return NULL;
        take_definition(catalog, statement, place);
    }
}

struct nsm_error *sqlite_catalog_read(struct sqlite_db *db, struct sqlite_catalog *catalog)
{
    NSM_TRY(read_tables(db, catalog));
    NSM_TRY(read_definitions(db, catalog));
    catalog->items_by_name =
        nsm_arena_calloc(&catalog->arena, catalog->n_items, sizeof(*catalog->items));
    if (catalog->n_items) {
        memcpy(catalog->items_by_name, catalog->items, catalog->n_items * sizeof(*catalog->items));
        qsort(catalog->items_by_name, catalog->n_items, sizeof(*catalog->items), compare_items);
    }
    return sqlite_get_text(db, &catalog->arena, "PRAGMA encoding", NULL, &catalog->encoding);
}

void sqlite_catalog_release(struct sqlite_catalog *catalog)
{
    free(catalog->tables);
    free(catalog->items);
    nsm_arena_release(&catalog->arena);
    *catalog = (struct sqlite_catalog){0};
}

/* ---- selecting ---- */

static bool is_glob(const char *text)
{
    return strpbrk(text, "*?[\\") != NULL;
}

static struct nsm_error *no_such_table(const struct sqlite_catalog *catalog, const char *path,
                                       const char *name)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf hint = NSM_BUF_TEXT;
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(name));
    for (size_t i = 0; i < catalog->n_tables; i++)
        nsm_nearest_offer(&nearest, nsm_str_of(catalog->tables[i].name));
    nsm_nearest_write(&nearest, &hint);
    return nsm_error_new(NSM_E_NOTFOUND, "%s: no table \"%s\"%s", path, name, hint.ptr);
}

/* Marks the tables that one word of the option selects. */
static struct nsm_error *mark(const struct sqlite_catalog *catalog, const char *word,
                              const char *path, struct nsm_census *census, bool *is_marked)
{
    if (!is_glob(word)) {
        const struct sqlite_table *const table = sqlite_catalog_find(catalog, word);
        if (!table)
            return no_such_table(catalog, path, word);
        is_marked[table - catalog->tables] = true;
        return NULL;
    }
    bool is_found = false;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        if (nsm_glob_matches(nsm_str_of(word), nsm_str_of(catalog->tables[i].name)))
            is_marked[i] = is_found = true;
    }
    if (!is_found)
        nsm_findings_add(&census->findings, NSM_FINDING_NOTE, "", 1, "no table matches \"%s\"",
                         word);
    return NULL;
}

/* Only one exact name: what ten thousand namespaces on one file would ask. */
static bool select_one(const struct sqlite_catalog *catalog, const struct nsm_settings *selection,
                       size_t *ret)
{
    if (nsm_settings_list_size(selection, "tables") != 1)
        return false;
    const char *const word = nsm_settings_list_at(selection, "tables", 0);
    const struct sqlite_table *const table =
        is_glob(word) ? NULL : sqlite_catalog_find(catalog, word);
    if (!table || table->is_virtual || table->is_shadow)
        return false;
    *ret = (size_t)(table - catalog->tables);
    return true;
}

static bool is_shadow_of(const char *name, const char *virtual_name)
{
    const size_t len = strlen(virtual_name);
    return sqlite3_strnicmp(name, virtual_name, (int)len) == 0 && name[len] == '_';
}

/* A shadow goes with its virtual table, and with nothing else. */
static void mark_shadows(const struct sqlite_catalog *catalog, bool *is_marked)
{
    for (size_t i = 0; i < catalog->n_tables; i++)
        is_marked[i] &= !catalog->tables[i].is_shadow;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        for (size_t j = 0; is_marked[i] && catalog->tables[i].is_virtual && j < catalog->n_tables;
             j++)
            is_marked[j] |= catalog->tables[j].is_shadow &&
                            is_shadow_of(catalog->tables[j].name, catalog->tables[i].name);
    }
}

struct nsm_error *sqlite_select_tables(const struct sqlite_catalog *catalog,
                                       const struct nsm_settings *selection, const char *path,
                                       struct nsm_census *census, size_t **ret, size_t *ret_n)
{
    const size_t n_words = nsm_settings_list_size(selection, "tables");
    size_t one = 0;
    if (select_one(catalog, selection, &one)) {
        *ret = nsm_arena_alloc(&census->arena, sizeof(**ret));
        (*ret)[0] = one;
        *ret_n = 1;
        return NULL;
    }
    if (n_words == 0 && catalog->n_tables == 0)
        return nsm_error_new(NSM_E_NOTFOUND, "%s: there is no table in it", path);
    NSM_CLEANUP(nsm_freep) bool *is_marked = nsm_xcalloc(catalog->n_tables + 1, 1);
    for (size_t i = 0; i < n_words; i++)
        NSM_TRY(
            mark(catalog, nsm_settings_list_at(selection, "tables", i), path, census, is_marked));
    mark_shadows(catalog, is_marked);
    size_t *const selected = nsm_arena_calloc(&census->arena, catalog->n_tables, sizeof(*selected));
    size_t n = 0;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        if (n_words == 0 || is_marked[i])
            selected[n++] = i;
    }
    *ret = selected;
    *ret_n = n;
    return NULL;
}
