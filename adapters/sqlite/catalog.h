/*
 * What a SQLite file holds: its tables and what stands around them, read once per survey.
 *
 * Threads: immutable after it was read.
 */
#ifndef NSM_ADAPTERS_SQLITE_CATALOG_H
#define NSM_ADAPTERS_SQLITE_CATALOG_H

#include "adapters/sqlite/store.h"

struct sqlite_table {
    const char *name;
    const char *sql; /* as it was made */
    size_t place;    /* among all that was made, from 1 */
    bool is_without_rowid;
    bool is_virtual; /* its rows come from a module */
    bool is_shadow;  /* a virtual table keeps its rows here */
};

/* An index, view or trigger that has a definition of its own, or a virtual table. */
struct sqlite_item {
    const char *type; /* "index", "view", "trigger", "virtual" */
    const char *name;
    const char *table; /* on which it stands; a view's or virtual table's own name */
    const char *sql;
};

struct sqlite_catalog {
    struct nsm_arena arena;
    struct sqlite_table *tables; /* in order of name, without regard to case; none of SQLite's own
                                    and none of ours */
    size_t n_tables, cap_tables;
    struct sqlite_item *items; /* in the order in which they were made */
    size_t n_items, cap_items;
    struct sqlite_item *items_by_name; /* the same in order of name */
    const char *encoding;              /* "UTF-8", "UTF-16le", "UTF-16be" */
};

struct nsm_error *sqlite_catalog_read(struct sqlite_db *db, struct sqlite_catalog *catalog)
    NSM_MUST_USE;
void sqlite_catalog_release(struct sqlite_catalog *catalog);

/* Without regard to case, as SQLite's names are; NULL when there is none. */
const struct sqlite_table *sqlite_catalog_find(const struct sqlite_catalog *catalog,
                                               const char *name);
const struct sqlite_item *sqlite_catalog_find_item(const struct sqlite_catalog *catalog,
                                                   const char *name);

/* What a name may not be in a file of ours: NULL, or the reason. */
const char *sqlite_reserved_name(const char *name);

/* "virtual table" for "virtual"; else the type itself. */
const char *sqlite_item_words(const struct sqlite_item *item);

/* The tables that the option `tables` selects, virtual ones with their shadows, in order of
 * name: indexes into catalog->tables, in the census's arena. NSM_E_NOTFOUND: a table that is named
 * and not there, or a file without tables. A glob that matches nothing is a NOTE. */
struct nsm_error *sqlite_select_tables(const struct sqlite_catalog *catalog,
                                       const struct nsm_settings *selection, const char *path,
                                       struct nsm_census *census, size_t **ret, size_t *ret_n)
    NSM_MUST_USE;

#endif
