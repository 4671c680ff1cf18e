/*
 * What crosses the border of a schema that is copied whole: what it needs from elsewhere, what elsewhere
 * needs it, roles, publications, tablespaces, and its own name in texts that no rename reaches. One
 * query tells it for all namespaces on a database.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_BORDER_H
#define NSM_ADAPTERS_POSTGRES_PG_BORDER_H

#include "adapters/postgres/pg_target.h"

/* Adds findings to the censuses of whole schemas, and to their states what the destination must look at.
 * For sources whose state is filled. */
struct nsm_error *nsm_pg_border_survey(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;

/* Adds findings to the destinations: what is needed and not there. In the transaction that is open. */
struct nsm_error *nsm_pg_border_inspect(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        struct nsm_destination **destinations,
                                        size_t n_destinations) NSM_MUST_USE;

#endif
