/*
 * The items of a definition, run at a destination.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_ITEMS_H
#define NSM_ADAPTERS_POSTGRES_PG_ITEMS_H

#include "adapters/postgres/pg_definition.h"
#include "adapters/postgres/pg_target.h"

/* Runs an item in the open transaction. A schema is not made here. Under if_exists: merge and skip
 * what stands already is kept; owners and grantees that don't exist are passed over. */
struct nsm_error *nsm_pg_run_item(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                  const struct nsm_destination *destination,
                                  const struct nsm_pg_item *item) NSM_MUST_USE;

/* The items of both sections, in their order; those that are not to be run are marked: tables that stood
 * there before and are kept, what is about them, and the ties of partitions to parents that were not
 * selected. It stays with the destination, as a pg_restore costs more than many a small table, until another
 * archive is loaded or it is forgotten. */
struct nsm_pg_definition {
    struct nsm_pg_script before, after; /* the rows */
};
struct nsm_error *nsm_pg_definition_load(const struct nsm_destination *destination,
                                         struct nsm_context *ctx, const char *archive,
                                         const struct nsm_pg_definition **ret) NSM_MUST_USE;
void nsm_pg_definition_forget(const struct nsm_destination *destination);

#endif
