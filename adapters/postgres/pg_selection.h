/*
 * What a namespace selects: a schema, a table, or tables by patterns; and which relations of the
 * catalog that is.
 *
 * Threads: immutable after parse.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SELECTION_H
#define NSM_ADAPTERS_POSTGRES_PG_SELECTION_H

#include "adapters/postgres/pg_catalog.h"

struct nsm_pg_pattern {
    const char *text; /* as in the plan */
    const char *schema, *name;
    bool is_schema_glob, is_name_glob;
};

struct nsm_pg_selection {
    const char *schema; /* a whole schema; else NULL and patterns */
    struct nsm_pg_pattern *patterns;
    size_t n_patterns;
    const char *where; /* NULL: all rows */
};

/* "table", "schema.table", each part in double quotes where it holds a dot; a bare name lies in
 * schema public. With `allow_globs`, * ? [] outside of quotes match. NSM_E_INVALID. */
struct nsm_error *nsm_pg_pattern_parse(struct nsm_arena *arena, const char *text, bool allow_globs,
                                       struct nsm_pg_pattern *ret) NSM_MUST_USE;

/* The selection of a source. Strings lie in the arena or in the settings. */
struct nsm_error *nsm_pg_selection_parse(struct nsm_arena *arena,
                                         const struct nsm_settings *settings,
                                         struct nsm_pg_selection *ret) NSM_MUST_USE;

/* Adds the schemas whose relations must be loaded for it to an array that was begun; false when all
 * must be. */
bool nsm_pg_selection_schemas(const struct nsm_pg_selection *selection, struct nsm_buf *schemas);

/* Marks the relations that it names: `is_selected` has one flag per relation of the catalog. With
 * a partitioned table go all its partitions. What an extension made, and what is a system's, is
 * never selected. NSM_E_NOTFOUND names what does not exist; a glob that matches nothing is a NOTE.
 */
struct nsm_error *nsm_pg_selection_match(const struct nsm_pg_selection *selection,
                                         const struct nsm_pg_catalog *catalog, bool *is_selected,
                                         struct nsm_findings *findings) NSM_MUST_USE;

/* The adapter's operation: schemas, or tables whose names need no quotes. */
struct nsm_error *nsm_pg_list(struct nsm_backend *backend, struct nsm_context *ctx, const char *key,
                              const char *glob, nsm_name_fn *fn, void *arg) NSM_MUST_USE;

#endif
