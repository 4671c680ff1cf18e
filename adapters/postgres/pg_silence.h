/*
 * What it means that a server says nothing. A statement may take hours and say nothing meanwhile, so
 * silence alone is no sign of a lost connection; but a server that waits for us while we wait for it
 * has lost something on the way, and so has one that no longer knows our session or that can't be
 * reached. So whoever has waited for `timeout` asks the server by another connection.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SILENCE_H
#define NSM_ADAPTERS_POSTGRES_PG_SILENCE_H

#include "adapters/postgres/pg_conn.h"

/* NULL: the server is at work for this connection, or something came meanwhile for which `events`
 * were awaited: wait on. Else NSM_E_UNAVAILABLE, or the context's end. */
struct nsm_error *nsm_pg_judge_silence(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       short events) NSM_MUST_USE;

/* The same for sessions of another process, by their application_name. */
struct nsm_error *nsm_pg_judge_sessions(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                        const char *application_name) NSM_MUST_USE;

/* A session whose connection was lost may stand for hours, if the server has not noticed: it would hold
 * its locks, or commit after the destination was asked how far it is. It is noted when the connection is
 * given up, and ended before another one is given out, which waits for its end. */
struct nsm_pg_orphan {
    char pid[12], start[32]; /* as in struct nsm_pg_conn */
    struct nsm_pg_orphan *next;
};
void nsm_pg_orphan_add(struct nsm_pg_conn *conn);
struct nsm_error *nsm_pg_orphans_end(struct nsm_pg_conn *conn, struct nsm_context *ctx)
    NSM_MUST_USE;
void nsm_pg_orphans_free(struct nsm_pg_orphan *orphans);

#endif
