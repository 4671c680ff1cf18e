/* See pg_silence.h. The probe itself waits for `timeout` at most, and is not judged in its turn. */
#include "adapters/postgres/pg_silence.h"

#include "adapters/postgres/pg_error.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

/* An answer that is on its way while the server is asked arrives within this. */
#define GRACE_NS (2 * NSM_NS_PER_S)

/* Sessions that are at work: not waiting for their client in any way. Who may not see another's state
 * (then NULL), or whose server keeps none ('disabled'), believes that it is at work. */
#define IS_AT_WORK                                                              \
    "coalesce(state IN ('active', 'fastpath function call', 'disabled'), true)" \
    " AND coalesce(wait_event, '') NOT IN ('ClientRead', 'ClientWrite')"

static struct nsm_error *silent(const struct nsm_pg_backend *backend, const char *what)
{
    return nsm_error_new(NSM_E_UNAVAILABLE, "connection lost: nothing came for %.0f s, and %s",
                         (double)backend->timeout_ns / (double)NSM_NS_PER_S, what);
}

/* Whether the server refused the probe for a reason that tells that it is alive: it has no connection
 * left, or doesn't like us. One that starts or stops has lost our session. */
static bool is_refused_by_the_living(const char *sqlstate)
{
    return sqlstate[0] && strncmp(sqlstate, "57P", 3) != 0;
}

static struct nsm_error *ask(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                             const char *sql, const char *const *params, size_t n_params,
                             bool *ret_is_lost)
{
    char sqlstate[6] = "";
    struct nsm_pg_conn *probe NSM_CLEANUP(nsm_pg_releasep) = NULL;
    struct nsm_error *const error = nsm_pg_connect_probe(backend, ctx, &probe, sqlstate);
    *ret_is_lost = false;
    if (error && is_refused_by_the_living(sqlstate)) {
        nsm_error_free(error);
        return NULL;
    }
    if (error && nsm_context_is_canceled(ctx)) {
        nsm_error_free(error);
        return nsm_context_error(ctx);
    }
    if (error)
        return nsm_error_wrap(error, "nothing came for %.0f s, and the server can't be reached",
                              (double)backend->timeout_ns / (double)NSM_NS_PER_S);
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY_WRAP(nsm_pg_query(probe, ctx, sql, params, n_params, &result),
                 "nothing came for %.0f s; ask what the server does",
                 (double)backend->timeout_ns / (double)NSM_NS_PER_S);
    *ret_is_lost = PQntuples(result) == 1 && nsm_pg_get_bool(result, 0, 0);
    return NULL;
}

struct nsm_error *nsm_pg_judge_silence(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       short events)
{
    static const char is_lost_sql[] =
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1"
        " AND (extract(epoch FROM backend_start)::text = $2 OR $2 = '') AND " IS_AT_WORK ")";
    struct nsm_pg_backend *const backend = conn->backend;
    if (conn->is_probe)
        return silent(backend, "this is the second connection that is tried");
    const char *const params[] = {conn->pid, conn->start};
    bool is_lost = false;
    NSM_TRY(ask(backend, ctx, is_lost_sql, params, NSM_COUNT_OF(params), &is_lost));
    if (!is_lost)
        return NULL;
    struct nsm_error *const still =
        nsm_wait_fd(ctx, PQsocket(conn->pq), events,
                    backend->timeout_ns < GRACE_NS ? backend->timeout_ns : GRACE_NS, NULL);
    if (!still)
        return NULL;
    nsm_error_ignore(still);
    NSM_TRY(nsm_context_error(ctx));
    return silent(backend, "the server is not at work for this session");
}

struct nsm_error *nsm_pg_judge_sessions(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                        const char *application_name)
{
    /* Between two statements it rests for a moment. */
    static const char sql[] =
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = $1"
        " AND (" IS_AT_WORK " OR state_change > clock_timestamp() - $2 * interval '1 ms'))";
    char timeout_ms[24];
    snprintf(timeout_ms, sizeof(timeout_ms), "%lld",
             (long long)(backend->timeout_ns / NSM_NS_PER_MS));
    const char *const params[] = {application_name, timeout_ms};
    bool is_lost = false;
    NSM_TRY(ask(backend, ctx, sql, params, NSM_COUNT_OF(params), &is_lost));
    return is_lost ? silent(backend, "the server is not at work for it") : NULL;
}

/* ---- sessions that outlive their connection ---- */

#define END_WAIT_NS (5 * NSM_NS_PER_S)
#define END_STEP_NS (20 * NSM_NS_PER_MS)

static void add(struct nsm_pg_backend *backend, struct nsm_pg_orphan *orphan)
{
    pthread_mutex_lock(&backend->mutex);
    orphan->next = backend->orphans;
    backend->orphans = orphan;
    pthread_mutex_unlock(&backend->mutex);
}

void nsm_pg_orphan_add(struct nsm_pg_conn *conn)
{
    if (!conn->start[0])
        return;
    struct nsm_pg_orphan *const orphan = nsm_xcalloc(1, sizeof(*orphan));
    memcpy(orphan->pid, conn->pid, sizeof(orphan->pid));
    memcpy(orphan->start, conn->start, sizeof(orphan->start));
    add(conn->backend, orphan);
}

static struct nsm_pg_orphan *take_all(struct nsm_pg_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    struct nsm_pg_orphan *const orphans = NSM_STEAL(backend->orphans);
    pthread_mutex_unlock(&backend->mutex);
    return orphans;
}

void nsm_pg_orphans_free(struct nsm_pg_orphan *orphans)
{
    while (orphans) {
        struct nsm_pg_orphan *const orphan = orphans;
        orphans = orphan->next;
        free(orphan);
    }
}

static struct nsm_error *end_session(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     const struct nsm_pg_orphan *orphan)
{
    static const char sql[] =
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
        " WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2";
    const char *const params[] = {orphan->pid, orphan->start};
    const int64_t until_ns = nsm_now_ns() + END_WAIT_NS;
    for (;;) {
        PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
        NSM_TRY(nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), &result));
        if (PQntuples(result) == 0 || nsm_now_ns() >= until_ns)
            return NULL;
        NSM_TRY(nsm_sleep(ctx, END_STEP_NS));
    }
}

struct nsm_error *nsm_pg_orphans_end(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    struct nsm_pg_orphan *left = take_all(conn->backend);
    struct nsm_error *error = NULL;
    while (left && !error) {
        struct nsm_pg_orphan *const orphan = left;
        left = orphan->next;
        error = end_session(conn, ctx, orphan);
        if (error)
            add(conn->backend, orphan);
        else
            free(orphan);
    }
    while (left) {
        struct nsm_pg_orphan *const orphan = left;
        left = orphan->next;
        add(conn->backend, orphan);
    }
    return error;
}
