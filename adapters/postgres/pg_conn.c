/*
 * Connections and statements under a context.
 *
 * The session settings make text forms canonical (time zone, date style, float digits), names
 * unambiguous (an empty search_path) and row security loud: a table that hides rows is an error,
 * never a shorter copy.
 */
#include "adapters/postgres/pg_conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>

#include "adapters/postgres/pg_claim.h"
#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_silence.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#define DEFAULT_CONNECT_TIMEOUT_S 10
/* How long the request to cancel a statement may keep a task that is to end within 50 ms. */
#define CANCEL_WAIT_NS (30 * NSM_NS_PER_MS)

static const char session_settings[] =
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = postgres; "
    "SET extra_float_digits = 3; SET bytea_output = hex; SET client_encoding = 'UTF8'; "
    "SET search_path = ''; SET statement_timeout = 0; SET lock_timeout = '30s'; "
    "SET idle_in_transaction_session_timeout = 0; SET row_security = off; "
    "SET standard_conforming_strings = on; SET client_min_messages = error; "
    "SET lc_monetary = 'C'; SET default_transaction_isolation = 'read committed'; "
    "SET synchronize_seqscans = off; SET xmloption = content; SET jit = off; "
    "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 20; SET tcp_keepalives_count = 6; "
    "SELECT pid, extract(epoch FROM backend_start) FROM pg_catalog.pg_stat_activity "
    "WHERE pid = pg_catalog.pg_backend_pid()";

/* ---- the url ---- */

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *option = options; option->keyword; option++) {
        if (strcmp(option->keyword, keyword) == 0)
            return option->val && *option->val ? option->val : NULL;
    }
    return NULL;
}

static struct nsm_error *parse_error(const char *url, const char *libpq_text)
{
    /* libpq quotes what it stumbled over, which may be a piece of a password. The name of a
     * parameter behind the '?' is safe to show when no password can follow it. */
    const char *const query = strchr(url, '?');
    const bool is_safe = strncmp(url, "postgres", 8) == 0 && query && !strchr(query, '@') &&
                         libpq_text && strstr(libpq_text, "query parameter: \"");
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    if (is_safe)
        nsm_pg_one_line(&text, libpq_text);
    return nsm_error_new(NSM_E_INVALID,
                         "option url: %s%snot a connection url; write "
                         "postgresql://user@host:port/database?sslmode=require or key=value pairs, "
                         "and percent-encode what is special in a password",
                         text.ptr, text.len ? ": " : "");
}

static struct nsm_error *check_ports(const char *ports)
{
    struct nsm_str rest = nsm_str_of(ports);
    while (rest.len) {
        const char *const comma = memchr(rest.ptr, ',', rest.len);
        const size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;
        uint64_t port = 0;
        if (len && (!nsm_parse_u64((struct nsm_str){.ptr = rest.ptr, .len = len}, &port) ||
                    port == 0 || port > 65535))
            return nsm_error_new(NSM_E_INVALID, "option url: the port is not a number from 1 to "
                                                "65535; is a / or @ in the password not "
                                                "percent-encoded?");
        rest = nsm_str_skip(rest, comma ? len + 1 : len);
    }
    return NULL;
}

static struct nsm_error *read_timeouts(struct nsm_pg_backend *backend)
{
    backend->timeout_ns =
        (int64_t)nsm_settings_u64(backend->base.settings, "timeout") * NSM_NS_PER_MS;
    if (backend->timeout_ns == 0)
        return nsm_error_new(NSM_E_INVALID, "timeout must be more than zero");
    const char *const text = option_value(backend->options, "connect_timeout");
    uint64_t seconds = DEFAULT_CONNECT_TIMEOUT_S;
    if (text && (!nsm_parse_u64(nsm_str_of(text), &seconds) || seconds > 86400))
        return nsm_error_new(NSM_E_INVALID,
                             "option url: connect_timeout is not a number of seconds");
    backend->connect_timeout_ns =
        seconds ? (int64_t)seconds * NSM_NS_PER_S : DEFAULT_CONNECT_TIMEOUT_S * NSM_NS_PER_S;
    return NULL;
}

struct nsm_error *nsm_pg_backend_open(struct nsm_pg_backend *backend)
{
    const char *const url = nsm_settings_string(backend->base.settings, "url");
    char *message = NULL;
    PQconninfoOption *const options = PQconninfoParse(url, &message);
    if (!options) {
        struct nsm_error *const error = parse_error(url, message);
        PQfreemem(message);
        return error;
    }
    backend->options = options;
    const char *const host = option_value(options, "host");
    const char *const address = option_value(options, "hostaddr");
    const char *const port = option_value(options, "port");
    const char *const database = option_value(options, "dbname");
    struct nsm_error *error = check_ports(port ? port : "");
    if (!error)
        error = read_timeouts(backend);
    if (error) {
        PQconninfoFree(NSM_STEAL(backend->options));
        return error;
    }
    backend->place = nsm_xasprintf("%s:%s/%s", host ? host : (address ? address : "local socket"),
                                   port ? port : "5432", database ? database : "(the user's own)");
    pthread_mutex_init(&backend->mutex, NULL);
    pthread_mutex_init(&backend->claims.mutex, NULL);
    pthread_cond_init(&backend->claims.turn_ended, NULL);
    return NULL;
}

static void close_conn(struct nsm_pg_conn *conn)
{
    if (!conn)
        return;
    PQfinish(conn->pq);
    free(conn);
}

void nsm_pg_backend_close(struct nsm_pg_backend *backend)
{
    nsm_pg_claims_close(backend);
    while (backend->idle) {
        struct nsm_pg_conn *const conn = backend->idle;
        backend->idle = conn->next;
        close_conn(conn);
    }
    close_conn(backend->snapshot_conn);
    nsm_pg_orphans_free(backend->orphans);
    free(backend->snapshot_id);
    free(backend->place);
    PQconninfoFree(backend->options);
    pthread_mutex_destroy(&backend->mutex);
}

/* ---- cancelling ---- */

/* What the thread that sends the request shares with the one that waits for it; freed by the last
 * of the two. */
struct cancel_request {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    PGcancel *cancel;
    bool is_done, is_abandoned;
};

static void cancel_request_free(struct cancel_request *request)
{
    PQfreeCancel(request->cancel);
    pthread_cond_destroy(&request->done);
    pthread_mutex_destroy(&request->mutex);
    free(request);
}

static void *send_cancel(void *arg)
{
    struct cancel_request *const request = arg;
    char text[256];
    (void)PQcancel(request->cancel, text, sizeof(text));
    pthread_mutex_lock(&request->mutex);
    request->is_done = true;
    const bool is_abandoned = request->is_abandoned;
    pthread_cond_signal(&request->done);
    pthread_mutex_unlock(&request->mutex);
    if (is_abandoned)
        cancel_request_free(request);
    return NULL;
}

static struct timespec realtime_in(int64_t ns)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += (time_t)((at.tv_nsec + ns) / NSM_NS_PER_S);
    at.tv_nsec = (at.tv_nsec + ns) % NSM_NS_PER_S;
    return at;
}

/* PQcancel() connects anew and blocks in doing so, for minutes when the host is gone: it runs on a
 * thread of its own, which is waited for only as long as a cancelled task may take. */
static void cancel_statement(struct nsm_pg_conn *conn)
{
    if (conn->is_silent || PQtransactionStatus(conn->pq) != PQTRANS_ACTIVE)
        return;
    PGcancel *const cancel = PQgetCancel(conn->pq);
    if (!cancel)
        return;
    struct cancel_request *const request = nsm_xcalloc(1, sizeof(*request));
    request->cancel = cancel;
    pthread_mutex_init(&request->mutex, NULL);
    pthread_cond_init(&request->done, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    const int failed = pthread_create(&thread, &attr, send_cancel, request);
    pthread_attr_destroy(&attr);
    if (failed) {
        cancel_request_free(request);
        return;
    }
    const struct timespec until = realtime_in(CANCEL_WAIT_NS);
    pthread_mutex_lock(&request->mutex);
    int status = 0;
    while (!request->is_done && status == 0)
        status = pthread_cond_timedwait(&request->done, &request->mutex, &until);
    const bool is_done = request->is_done;
    request->is_abandoned = !is_done;
    pthread_mutex_unlock(&request->mutex);
    if (is_done)
        cancel_request_free(request);
}

/* ---- connecting ---- */

/* Notices are not ours to print. An error that comes while nothing was asked, which libpq gives out as
 * a notice, is the server's farewell. */
static void take_notice(void *arg, const PGresult *result)
{
    struct nsm_pg_conn *const conn = arg;
    const char *const severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        conn->is_broken = true;
}

struct parameters {
    const char *keywords[64], *values[64];
    size_t n;
};

static void add_parameter(struct parameters *parameters, const char *keyword, const char *value)
{
    if (parameters->n + 1 >= NSM_COUNT_OF(parameters->keywords))
        return;
    parameters->keywords[parameters->n] = keyword;
    parameters->values[parameters->n++] = value;
}

/* A peer that is gone is noticed by the kernel, also while nothing is asked; what url says goes before. */
static PGconn *start(const struct nsm_pg_backend *backend)
{
    static const char *const defaults[][2] = {
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
    };
    struct parameters parameters = {0};
    char user_timeout[24];
    snprintf(user_timeout, sizeof(user_timeout), "%lld",
             (long long)(backend->timeout_ns / NSM_NS_PER_MS));
    for (const PQconninfoOption *option = backend->options; option->keyword; option++) {
        if (option->val && *option->val)
            add_parameter(&parameters, option->keyword, option->val);
    }
    for (size_t i = 0; i < NSM_COUNT_OF(defaults); i++) {
        if (!option_value(backend->options, defaults[i][0]))
            add_parameter(&parameters, defaults[i][0], defaults[i][1]);
    }
    if (!option_value(backend->options, "tcp_user_timeout"))
        add_parameter(&parameters, "tcp_user_timeout", user_timeout);
    add_parameter(&parameters, "fallback_application_name", "nsmigrate");
    return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}

/* One step of the wait for a connection: the socket may change with each poll. */
static struct nsm_error *wait_connect(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      PostgresPollingStatusType poll_status, int64_t until_ns)
{
    const int64_t left_ns = until_ns - nsm_now_ns();
    const short events = poll_status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    struct nsm_error *const error =
        nsm_wait_fd(ctx, PQsocket(conn->pq), events, left_ns > 0 ? left_ns : 0, NULL);
    if (!error || !nsm_error_is(error, NSM_E_TIMEOUT) || nsm_context_is_canceled(ctx))
        return error;
    nsm_error_free(error);
    return nsm_error_new(NSM_E_UNAVAILABLE,
                         "connect to %s: no answer within %lld s; are host and port in url right, "
                         "and does a firewall stand between?",
                         conn->backend->place,
                         (long long)(conn->backend->connect_timeout_ns / NSM_NS_PER_S));
}

static struct nsm_error *connect_poll(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    const int64_t until_ns = nsm_now_ns() + conn->backend->connect_timeout_ns;
    PostgresPollingStatusType poll_status = PGRES_POLLING_WRITING;
    if (PQstatus(conn->pq) == CONNECTION_BAD)
        return nsm_pg_connect_error(conn->pq, conn->backend->place);
    while (poll_status != PGRES_POLLING_OK) {
        NSM_TRY(wait_connect(conn, ctx, poll_status, until_ns));
        poll_status = PQconnectPoll(conn->pq);
        if (poll_status == PGRES_POLLING_FAILED)
            return nsm_pg_connect_error(conn->pq, conn->backend->place);
    }
    return NULL;
}

NSM_DEFINE_CLEANUP(struct nsm_pg_conn, close_conn)

static struct nsm_error *take_results(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      PGresult **ret_last);

static struct nsm_error *connect_bare(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                      struct nsm_pg_conn *conn)
{
    conn->backend = backend;
    conn->pq = start(backend);
    if (!conn->pq)
        return nsm_error_new(NSM_E_NOMEM, "connect to %s: out of memory", backend->place);
    (void)PQsetErrorVerbosity(conn->pq, PQERRORS_VERBOSE);
    (void)PQsetNoticeReceiver(conn->pq, take_notice, conn);
    NSM_TRY(connect_poll(conn, ctx));
    if (PQsetnonblocking(conn->pq, 1) != 0)
        return nsm_pg_lost_error(conn->pq);
    (void)PQsetErrorVerbosity(conn->pq, PQERRORS_DEFAULT);
    snprintf(conn->pid, sizeof(conn->pid), "%d", PQbackendPID(conn->pq));
    return NULL;
}

/* The process is asked for, since behind a pooler it is another than libpq knows. */
static struct nsm_error *set_up_session(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_send(conn, ctx, session_settings));
    NSM_TRY(take_results(conn, ctx, &result));
    if (PQntuples(result) == 1) {
        snprintf(conn->pid, sizeof(conn->pid), "%s", PQgetvalue(result, 0, 0));
        snprintf(conn->start, sizeof(conn->start), "%s", PQgetvalue(result, 0, 1));
    }
    return NULL;
}

static struct nsm_error *connect_new(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                     struct nsm_pg_conn **ret)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(close_connp) = nsm_xcalloc(1, sizeof(*conn));
    NSM_TRY(connect_bare(backend, ctx, conn));
    if (PQserverVersion(conn->pq) < 120000)
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "%s runs PostgreSQL %d: version 12 or newer is needed", backend->place,
                             PQserverVersion(conn->pq) / 10000);
    NSM_TRY_WRAP(set_up_session(conn, ctx), "set up the session on %s", backend->place);
    *ret = NSM_STEAL(conn);
    return NULL;
}

struct nsm_error *nsm_pg_connect_probe(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                       struct nsm_pg_conn **ret, char *ret_state)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(close_connp) = nsm_xcalloc(1, sizeof(*conn));
    conn->is_probe = true;
    struct nsm_error *const error = connect_bare(backend, ctx, conn);
    if (error) {
        nsm_pg_connect_state(conn->pq, ret_state);
        return error;
    }
    *ret = NSM_STEAL(conn);
    return NULL;
}

bool nsm_pg_is_alive(struct nsm_pg_conn *conn)
{
    if (conn->is_broken || PQstatus(conn->pq) != CONNECTION_OK)
        return false;
    struct pollfd fd = {.fd = PQsocket(conn->pq), .events = POLLIN | POLLRDHUP};
    if (poll(&fd, 1, 0) == 0)
        return true;
    /* Something came though nothing was asked: the end, or a parameter that changed. */
    return !(fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) && PQconsumeInput(conn->pq) == 1 &&
           !PQisBusy(conn->pq) && !conn->is_broken && PQstatus(conn->pq) == CONNECTION_OK;
}

static struct nsm_pg_conn *pop_idle(struct nsm_pg_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    struct nsm_pg_conn *const conn = backend->idle;
    if (conn)
        backend->idle = conn->next;
    pthread_mutex_unlock(&backend->mutex);
    return conn;
}

static struct nsm_error *acquire_any(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                     struct nsm_pg_conn **ret)
{
    for (struct nsm_pg_conn *conn = pop_idle(backend); conn; conn = pop_idle(backend)) {
        if (nsm_pg_is_alive(conn)) {
            *ret = conn;
            return NULL;
        }
        close_conn(conn);
    }
    return connect_new(backend, ctx, ret);
}

struct nsm_error *nsm_pg_acquire(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                 struct nsm_pg_conn **ret)
{
    struct nsm_error *const ended = nsm_context_error(ctx);
    if (ended)
        return ended;
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(acquire_any(backend, ctx, &conn));
    NSM_TRY_WRAP(nsm_pg_orphans_end(conn, ctx), "end a session that was lost on %s",
                 backend->place);
    *ret = NSM_STEAL(conn);
    return NULL;
}

void nsm_pg_release(struct nsm_pg_conn *conn)
{
    if (!conn)
        return;
    struct nsm_pg_backend *const backend = conn->backend;
    if (conn->is_broken || conn->is_probe || PQstatus(conn->pq) != CONNECTION_OK ||
        PQtransactionStatus(conn->pq) != PQTRANS_IDLE) {
        cancel_statement(conn);
        if (conn->is_broken || PQstatus(conn->pq) != CONNECTION_OK)
            nsm_pg_orphan_add(conn);
        close_conn(conn);
        return;
    }
    pthread_mutex_lock(&backend->mutex);
    conn->next = backend->idle;
    backend->idle = conn;
    pthread_mutex_unlock(&backend->mutex);
}

/* ---- statements ---- */

/* Bytes that the other end has not acknowledged: while they become fewer, something moves. */
static int n_unacknowledged(const struct nsm_pg_conn *conn)
{
    int n = 0;
    (void)ioctl(PQsocket(conn->pq), SIOCOUTQ, &n);
    return n;
}

static struct nsm_error *wait_watchfully(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                         short events)
{
    for (;;) {
        const int n_before = n_unacknowledged(conn);
        struct nsm_error *const error =
            nsm_wait_fd(ctx, PQsocket(conn->pq), events, conn->backend->timeout_ns, NULL);
        if (!error || !nsm_error_is(error, NSM_E_TIMEOUT) || nsm_context_is_canceled(ctx))
            return error;
        nsm_error_free(error);
        struct nsm_error *const verdict =
            n_unacknowledged(conn) == n_before ? nsm_pg_judge_silence(conn, ctx, events) : NULL;
        conn->is_silent = verdict && nsm_code_is_retryable(nsm_error_code(verdict));
        if (verdict)
            return verdict;
    }
}

struct nsm_error *nsm_pg_wait(struct nsm_pg_conn *conn, struct nsm_context *ctx, short events)
{
    struct nsm_error *const error = wait_watchfully(conn, ctx, events);
    if (!error)
        return NULL;
    cancel_statement(conn);
    conn->is_broken = true;
    return error;
}

static struct nsm_error *lost(struct nsm_pg_conn *conn)
{
    conn->is_broken = true;
    return nsm_pg_lost_error(conn->pq);
}

struct nsm_error *nsm_pg_flush(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    for (;;) {
        const int status = PQflush(conn->pq);
        if (status == 0)
            return NULL;
        if (status < 0)
            return lost(conn);
        /* The server may be blocked in sending while we are: read as well. */
        NSM_TRY(nsm_pg_wait(conn, ctx, POLLIN | POLLOUT));
        if (!PQconsumeInput(conn->pq))
            return lost(conn);
    }
}

struct nsm_error *nsm_pg_send(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *sql)
{
    if (!PQsendQuery(conn->pq, sql))
        return lost(conn);
    return nsm_pg_flush(conn, ctx);
}

struct nsm_error *nsm_pg_next_result(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     PGresult **ret)
{
    while (PQisBusy(conn->pq)) {
        NSM_TRY(nsm_pg_wait(conn, ctx, POLLIN));
        if (!PQconsumeInput(conn->pq))
            return lost(conn);
    }
    *ret = PQgetResult(conn->pq);
    return NULL;
}

static bool is_failed(const PGresult *result)
{
    const ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ||
           status == PGRES_NONFATAL_ERROR;
}

/* Takes all results and keeps the last good one in *ret_last (may be NULL), the first error else.
 */
static struct nsm_error *take_results(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      PGresult **ret_last)
{
    struct nsm_error *first NSM_CLEANUP(nsm_error_freep) = NULL;
    PGresult *last NSM_CLEANUP(nsm_pg_resultp) = NULL;
    for (;;) {
        PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
        NSM_TRY(nsm_pg_next_result(conn, ctx, &result));
        if (!result)
            break;
        if (is_failed(result) && !first)
            first = nsm_pg_result_error(result);
        PQclear(last);
        last = NSM_STEAL(result);
        const ExecStatusType status = PQresultStatus(last);
        /* Such a result comes again and again until its data is dealt with. */
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            conn->is_broken = true;
            break;
        }
    }
    if (PQstatus(conn->pq) != CONNECTION_OK)
        conn->is_broken = true;
    if (first)
        return NSM_STEAL(first);
    if (ret_last)
        *ret_last = NSM_STEAL(last);
    return NULL;
}

struct nsm_error *nsm_pg_finish_results(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    return take_results(conn, ctx, NULL);
}

struct nsm_error *nsm_pg_exec(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *sql)
{
    NSM_TRY(nsm_pg_send(conn, ctx, sql));
    return take_results(conn, ctx, NULL);
}

struct nsm_error *nsm_pg_query(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *sql,
                               const char *const *params, size_t n_params, PGresult **ret)
{
    if (!PQsendQueryParams(conn->pq, sql, (int)n_params, NULL, params, NULL, NULL, 0))
        return lost(conn);
    NSM_TRY(nsm_pg_flush(conn, ctx));
    return take_results(conn, ctx, ret);
}

uint64_t nsm_pg_get_u64(const PGresult *result, int row, int column)
{
    uint64_t value = 0;
    return nsm_parse_u64(nsm_str_of(PQgetvalue(result, row, column)), &value) ? value : 0;
}

double nsm_pg_get_double(const PGresult *result, int row, int column)
{
    double value = 0;
    return nsm_parse_double(nsm_str_of(PQgetvalue(result, row, column)), &value) ? value : 0;
}

bool nsm_pg_get_bool(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}
