/*
 * What a survey must ask the tables themselves: how many rows the small ones have, where sequences
 * stand, whether the plan's conditions are ones.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_VALUES_H
#define NSM_ADAPTERS_POSTGRES_PG_VALUES_H

#include "adapters/postgres/pg_source.h"

/* For all namespaces together, in the survey's transaction. A condition that the server does not
 * understand is NSM_E_INVALID and names the table. */
struct nsm_error *nsm_pg_read_values(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     struct nsm_source **sources, size_t n_sources,
                                     size_t block_bytes) NSM_MUST_USE;

#endif
