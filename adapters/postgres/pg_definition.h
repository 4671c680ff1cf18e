/*
 * The definition of a namespace's objects: an archive of pg_dump, and what pg_restore makes of it.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_DEFINITION_H
#define NSM_ADAPTERS_POSTGRES_PG_DEFINITION_H

#include "adapters/postgres/pg_script.h"
#include "adapters/postgres/pg_source.h"

/* The adapter's operation: dumps what the source selects, under its snapshot. */
struct nsm_error *nsm_pg_define(struct nsm_source *source, struct nsm_context *ctx,
                                const char *path) NSM_MUST_USE;

struct nsm_pg_dump_request {
    struct nsm_pg_conn *conn; /* whose server, database and password pg_dump takes */
    const char *snapshot_id;  /* or NULL */
    const char *schema;       /* a whole schema; else NULL and tables */
    const struct nsm_pg_name *tables;
    size_t n_tables;
    const struct nsm_pg_name *excluded;
    size_t n_excluded;
    const char *path; /* written under a temporary name, then renamed */
    const struct nsm_pg_source
        *source; /* whose facts stand behind it (pg_facts.h), with its census; or NULL */
    const struct nsm_census *census;
};
struct nsm_error *nsm_pg_dump(struct nsm_context *ctx, const struct nsm_pg_dump_request *request)
    NSM_MUST_USE;

struct nsm_pg_restore_request {
    const char *archive;
    const char *section; /* "pre-data", "post-data" */
    bool keeps_owners;   /* with the statements that give objects to their owners */
};
/* What pg_restore makes of one section of an archive; all of it in the arena. */
struct nsm_error *nsm_pg_restore_script(struct nsm_context *ctx,
                                        const struct nsm_pg_restore_request *request,
                                        struct nsm_arena *arena, struct nsm_pg_script *ret)
    NSM_MUST_USE;

#endif
