/*
 * Materialized views are filled at the destination by their own queries, and then compared with the
 * source's: one that was stale there, or whose query gives another answer each time, gets the rows that
 * the source's has.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_MATVIEW_H
#define NSM_ADAPTERS_POSTGRES_PG_MATVIEW_H

#include "adapters/postgres/pg_target.h"

/* Fills `to`, as `from` is at the source, in a transaction; out of an archive with what its query gives. */
struct nsm_error *nsm_pg_matview_fill(const struct nsm_destination *destination,
                                      struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_pg_name *from, const struct nsm_pg_name *to)
    NSM_MUST_USE;

/* For archives, which keep no rows of views: a LOSS for each that does not hold what its query gives now. In
 * the open transaction. */
struct nsm_error *nsm_pg_matview_survey(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;

#endif
