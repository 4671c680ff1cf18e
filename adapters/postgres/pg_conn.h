/*
 * Connections to one database, and statements on them that wait under a context. libpq is used
 * without blocking throughout; when the context ends during a statement, the statement is cancelled
 * on the server before the error is returned.
 *
 * Idle connections are kept by the backend and given out again; the core bounds how many readers
 * and writers there are, and with them the connections. A connection that is not idle and whole
 * when it is released is closed.
 *
 * Threads: the pool is internally locked; a connection belongs to one thread at a time.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_CONN_H
#define NSM_ADAPTERS_POSTGRES_PG_CONN_H

#include <libpq-fe.h>
#include <pthread.h>

#include "adapters/adapter.h"

struct nsm_pg_conn {
    PGconn *pq;
    struct nsm_pg_backend *backend;
    struct nsm_pg_conn *next; /* in the pool */
    bool is_broken;           /* closed when released */
    bool is_silent;           /* judged lost: there is nobody to be told to cancel */
    bool is_probe; /* asks after another connection: never idle, and its silence is the end */
    char pid[12],
        start[32]; /* our session on the server: its process and since when, "" while unknown */
};

/* Of the destinations that this backend writes (pg_claim.h). */
struct nsm_pg_claims {
    pthread_mutex_t mutex; /* guards what follows; conn is its who has the turn */
    pthread_cond_t turn_ended;
    bool has_turn;
    struct nsm_pg_conn *conn; /* NULL until it is needed */
    uint64_t session;         /* counts the connections: the number of the last one */
    struct nsm_pg_claim *abandoned;
};

struct nsm_pg_backend {
    struct nsm_backend base;
    pthread_mutex_t mutex; /* guards what follows up to `claims` */
    struct nsm_pg_conn *idle;
    struct nsm_pg_orphan *orphans;     /* pg_silence.h */
    struct nsm_pg_conn *snapshot_conn; /* holds the exported snapshot's transaction open */
    char *snapshot_id;
    uint64_t snapshot_number; /* counts the snapshots: a restarted server uses its ids again */
    size_t n_shares;          /* pg_share.h: that are taken now */
    uint64_t share_bytes;     /* of memory in these */
    struct nsm_pg_claims claims;
    /* immutable after open */
    PQconninfoOption *options; /* the url, parsed */
    char *place;               /* "host:port/database", for messages */
    int64_t connect_timeout_ns, timeout_ns;
};

static inline void nsm_pg_resultp(PGresult **at)
{
    PQclear(*at);
}

/* Parses the url. NSM_E_INVALID without a piece of it that could be a secret. */
struct nsm_error *nsm_pg_backend_open(struct nsm_pg_backend *backend) NSM_MUST_USE;
void nsm_pg_backend_close(struct nsm_pg_backend *backend);

/* An idle connection outside of any transaction, with our session settings. */
struct nsm_error *nsm_pg_acquire(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                 struct nsm_pg_conn **ret) NSM_MUST_USE;
/* Gives it back; one that is in a transaction or broken is closed, its statement cancelled. */
void nsm_pg_release(struct nsm_pg_conn *conn);
NSM_DEFINE_CLEANUP(struct nsm_pg_conn, nsm_pg_release)

/* A new connection, without our session settings, to ask after another. `ret_state` takes 6 bytes: the
 * SQLSTATE with which the server refused it, or "". */
struct nsm_error *nsm_pg_connect_probe(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                       struct nsm_pg_conn **ret, char *ret_state) NSM_MUST_USE;

/* Whether the server still holds the other end, as far as that can be told without asking it. */
bool nsm_pg_is_alive(struct nsm_pg_conn *conn);

/* ---- statements ---- */

/* Runs one or several statements, in one implicit transaction if they open none. Rows are dropped.
 */
struct nsm_error *nsm_pg_exec(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *sql)
    NSM_MUST_USE;

/* Runs one statement with text parameters (NULL: null). The result is the caller's. */
struct nsm_error *nsm_pg_query(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *sql,
                               const char *const *params, size_t n_params, PGresult **ret)
    NSM_MUST_USE;

/* ---- the pieces, for COPY and for who needs the SQLSTATE ---- */

/* Sends statements; the caller then takes results until there are none. */
struct nsm_error *nsm_pg_send(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *sql)
    NSM_MUST_USE;
/* The next result, failed or not; NULL when there is none. An error is one of the connection or the
 * context. */
struct nsm_error *nsm_pg_next_result(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     PGresult **ret) NSM_MUST_USE;
/* Takes all results; the error of the first that failed. */
struct nsm_error *nsm_pg_finish_results(struct nsm_pg_conn *conn, struct nsm_context *ctx)
    NSM_MUST_USE;
/* Waits for the socket, with an eye on a server that says nothing (pg_silence.h). When the context ends,
 * the statement is cancelled. */
struct nsm_error *nsm_pg_wait(struct nsm_pg_conn *conn, struct nsm_context *ctx, short events)
    NSM_MUST_USE;
/* Sends all that libpq has buffered. */
struct nsm_error *nsm_pg_flush(struct nsm_pg_conn *conn, struct nsm_context *ctx) NSM_MUST_USE;

/* The value of a result as a number or text; NULL counts as 0 or "". */
uint64_t nsm_pg_get_u64(const PGresult *result, int row, int column);
double nsm_pg_get_double(const PGresult *result, int row, int column);
bool nsm_pg_get_bool(const PGresult *result, int row, int column);

#endif
