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

/* Whether an item is a table that stood there before and is kept, or is about one; `kept` are the
 * dump ids of those that were found to be, in the order of the archive. */
bool nsm_pg_item_is_kept(const struct nsm_pg_destination *state, const struct nsm_pg_item *item,
                         const uint64_t *kept, size_t n_kept);

#endif
