/*
 * The one moment that all sources on a database are read at.
 *
 * Threads: internally locked.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SNAPSHOT_H
#define NSM_ADAPTERS_POSTGRES_PG_SNAPSHOT_H

#include "adapters/postgres/pg_conn.h"

struct nsm_pg_snapshot {
    const char *id;  /* in the arena of whoever asked */
    uint64_t number; /* of the snapshots of this backend: 1, 2, ...; 0: none */
};

/* The backend's snapshot; made when there is none, or none that lives. One that takes the place of a
 * lost one is given out when the statistics count all that came before it. */
struct nsm_error *nsm_pg_take_snapshot(struct nsm_pg_backend *pg, struct nsm_context *ctx,
                                       struct nsm_arena *arena, struct nsm_pg_snapshot *ret)
    NSM_MUST_USE;

/* Begins a read-only transaction on a snapshot; on one of its own when the id is NULL.
 * NSM_E_UNAVAILABLE when the snapshot is lost. */
struct nsm_error *nsm_pg_begin_read(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const char *snapshot_id) NSM_MUST_USE;

/* Waits until the statistics count all that was committed before now. */
struct nsm_error *nsm_pg_wait_for_statistics(struct nsm_pg_backend *pg, struct nsm_context *ctx)
    NSM_MUST_USE;

#endif
