/*
 * The one moment that all sources on a database are read at.
 *
 * Threads: internally locked.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SNAPSHOT_H
#define NSM_ADAPTERS_POSTGRES_PG_SNAPSHOT_H

#include "adapters/postgres/pg_conn.h"

/* The id of the backend's snapshot, in the arena; made when there is none, or none that lives. */
struct nsm_error *nsm_pg_take_snapshot(struct nsm_pg_backend *pg, struct nsm_context *ctx,
                                       struct nsm_arena *arena, const char **ret_id) NSM_MUST_USE;

/* Begins a read-only transaction on a snapshot; on one of its own when the id is NULL.
 * NSM_E_UNAVAILABLE when the snapshot is lost. */
struct nsm_error *nsm_pg_begin_read(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const char *snapshot_id) NSM_MUST_USE;

/* Waits until the statistics count all that was committed before now. */
struct nsm_error *nsm_pg_wait_for_statistics(struct nsm_pg_backend *pg, struct nsm_context *ctx)
    NSM_MUST_USE;

#endif
