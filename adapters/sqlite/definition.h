/*
 * A SQLite file's own definition of a namespace, on its way to another SQLite file: the statements
 * that made its tables, indexes, views and triggers, word for word, and what else a file is set to.
 *
 * Threads: immutable after it was loaded.
 */
#ifndef NSM_ADAPTERS_SQLITE_DEFINITION_H
#define NSM_ADAPTERS_SQLITE_DEFINITION_H

#include "adapters/sqlite/source.h"

struct sqlite_definition {
    struct nsm_arena arena;
    /* Besides "table", "index", "view", "trigger" and "virtual": "sequence" (of an AUTOINCREMENT table `name`; sql is the
     * number), "setting" (a pragma `name`; sql is its value) and "stat" (of table `name` and index `table`, "" for none;
     * sql is what ANALYZE found). Tables are in the order in which they were made, and so are views and triggers. */
    struct sqlite_item *items;
    size_t n_items, cap_items;
};

struct nsm_error *sqlite_define(struct nsm_source *source, struct nsm_context *ctx,
                                const char *path) NSM_MUST_USE;

/* As it stands at the source now, without a file. */
struct nsm_error *sqlite_definition_take(const struct nsm_source *source, struct nsm_context *ctx,
                                         struct sqlite_definition *ret) NSM_MUST_USE;
/* NSM_E_CORRUPT when the file is not wholly there. */
struct nsm_error *sqlite_definition_load(const char *path, struct sqlite_definition *ret)
    NSM_MUST_USE;
void sqlite_definition_release(struct sqlite_definition *definition);

/* The item of that type and name, NULL when there is none. */
const struct sqlite_item *sqlite_definition_find(const struct sqlite_definition *definition,
                                                 const char *type, const char *name);

#endif
