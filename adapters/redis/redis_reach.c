/* Whoever is asked may be down: the seeds of the URL stand in for each other, and once a Cluster is
 * known, so do all its servers. */
#include "adapters/redis/redis_reach.h"

#include "adapters/redis/redis_router.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#define REACH_NS (20 * NSM_NS_PER_S)
#define PAUSE_NS (200 * NSM_NS_PER_MS)

/* ---- one server ---- */

static struct nsm_error *connect_with(const struct nsm_redis_backend *backend,
                                      struct nsm_context *ctx, const struct nsm_redis_url *url,
                                      const char *password, struct nsm_redis_conn **ret)
{
    const struct nsm_redis_conn_options options = {
        .url = url,
        .password = password,
        .tls = backend->tls,
        .connect_timeout_ns = backend->connect_timeout_ns,
        .timeout_ns = backend->timeout_ns,
    };
    return nsm_redis_conn_open(&options, ctx, ret);
}

static const char *password_of(const struct nsm_redis_backend *backend)
{
    return backend->url.password ? backend->url.password : backend->env_password;
}

struct nsm_error *nsm_redis_connect(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                    const struct nsm_redis_node *node, struct nsm_redis_conn **ret)
{
    /* Borrows what the backend owns. */
    struct nsm_redis_url url = backend->url;
    char *host NSM_CLEANUP(nsm_freep) = nsm_xstrdup(node->host);
    url.host = host;
    url.port = node->port;
    url.socket_path = NULL;
    return connect_with(backend, ctx, &url, password_of(backend), ret);
}

static size_t n_seeds(const struct nsm_redis_backend *backend)
{
    return 1 + backend->url.n_others;
}

/* The server that the URL names first, or another of those. */
static struct nsm_error *connect_seed(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                      size_t index, struct nsm_redis_conn **ret)
{
    if (index == 0)
        return connect_with(backend, ctx, &backend->url, password_of(backend), ret);
    const struct nsm_redis_host *const host = &backend->url.others[index - 1];
    return nsm_redis_connect(
        backend, ctx, &(const struct nsm_redis_node){.host = host->name, .port = host->port}, ret);
}

static const char *seed_host(const struct nsm_redis_backend *backend, size_t index)
{
    const char *const host = index ? backend->url.others[index - 1].name : backend->url.host;
    return host ? host : "127.0.0.1";
}

/* Whether the next server may have another answer. */
static bool is_passing(const struct nsm_error *error)
{
    return nsm_code_is_retryable(nsm_error_code(error)) || nsm_error_is(error, NSM_E_NOTFOUND);
}

/* ---- the slots ---- */

void nsm_redis_topology_set(struct nsm_redis_backend *backend, struct nsm_redis_topology *topology)
{
    struct nsm_redis_topology *const added = nsm_redis_topology_ref(topology);
    pthread_mutex_lock(&backend->mutex);
    struct nsm_redis_topology *const old = backend->topology;
    backend->topology = added;
    backend->is_topology_old = false;
    pthread_mutex_unlock(&backend->mutex);
    nsm_redis_topology_unref(old);
}

void nsm_redis_topology_expire(struct nsm_redis_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    backend->is_topology_old = true;
    pthread_mutex_unlock(&backend->mutex);
}

bool nsm_redis_topology_is_current(struct nsm_redis_backend *backend,
                                   const struct nsm_redis_topology *topology)
{
    pthread_mutex_lock(&backend->mutex);
    const bool is_current = backend->topology == topology && !backend->is_topology_old;
    pthread_mutex_unlock(&backend->mutex);
    return is_current;
}

/* The last that was told; *ret_is_old: it has to be asked for anew. NULL: none was. */
static struct nsm_redis_topology *last_topology(struct nsm_redis_backend *backend, bool *ret_is_old)
{
    pthread_mutex_lock(&backend->mutex);
    struct nsm_redis_topology *const topology =
        backend->topology ? nsm_redis_topology_ref(backend->topology) : NULL;
    *ret_is_old = !topology || backend->is_topology_old;
    pthread_mutex_unlock(&backend->mutex);
    return topology;
}

/* Asks one server, whose connection it closes. Consumes `error`: why there is no connection. */
static struct nsm_error *ask_and_close(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                       struct nsm_redis_conn *conn, struct nsm_error *error,
                                       const char *host)
{
    if (error)
        return error;
    struct nsm_redis_topology *topology NSM_CLEANUP(nsm_redis_topology_unrefp) = NULL;
    struct nsm_error *const refusal = nsm_redis_topology_ask(conn, ctx, host, &topology);
    nsm_redis_conn_free(conn);
    if (!refusal)
        nsm_redis_topology_set(backend, topology);
    return refusal;
}

/* Asks the servers that are known, one after the other, until one answers. */
static struct nsm_error *ask_topology(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                      const struct nsm_redis_topology *known)
{
    struct nsm_error *error NSM_CLEANUP(nsm_error_freep) = NULL;
    const size_t n_known = known ? known->n_nodes : 0;
    for (size_t index = 0; index < n_known + n_seeds(backend); index++) {
        nsm_error_ignore(NSM_STEAL(error));
        struct nsm_redis_conn *conn = NULL;
        if (index < n_known) {
            error = nsm_redis_connect(backend, ctx, &known->nodes[index], &conn);
            error = ask_and_close(backend, ctx, conn, error, known->nodes[index].host);
        } else {
            error = connect_seed(backend, ctx, index - n_known, &conn);
            error = ask_and_close(backend, ctx, conn, error, seed_host(backend, index - n_known));
        }
        if (!error || !is_passing(error))
            break;
    }
    return NSM_STEAL(error);
}

static struct nsm_error *find_masters(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                      struct nsm_redis_conn **ret)
{
    bool is_old;
    struct nsm_redis_topology *topology NSM_CLEANUP(nsm_redis_topology_unrefp) =
        last_topology(backend, &is_old);
    if (is_old) {
        NSM_TRY(ask_topology(backend, ctx, topology));
        nsm_redis_topology_unref(topology);
        topology = last_topology(backend, &is_old);
    }
    struct nsm_error *const error = nsm_redis_router_open(backend, ctx, topology, ret);
    if (error)
        nsm_redis_topology_expire(backend);
    return error;
}

/* ---- Sentinels ---- */

/* Asks one Sentinel. NSM_E_NOTFOUND: it watches no such master. */
static struct nsm_error *ask_sentinel(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                      const struct nsm_redis_url *where, struct nsm_arena *arena,
                                      struct nsm_redis_node *ret)
{
    struct nsm_redis_conn *conn NSM_CLEANUP(nsm_redis_conn_freep) = NULL;
    NSM_TRY_WRAP(connect_with(backend, ctx, where, backend->sentinel_password, &conn), "Sentinel");
    const char *const name = backend->url.master_name;
    const struct nsm_redis_reply *reply;
    NSM_REDIS_COMMAND(conn, "SENTINEL", NSM_STR_LIT("get-master-addr-by-name"), nsm_str_of(name));
    NSM_TRY(nsm_redis_call(conn, ctx, arena, "SENTINEL get-master-addr-by-name", &reply));
    if (reply->type == NSM_REDIS_NIL)
        return nsm_error_new(NSM_E_NOTFOUND, "the Sentinel at %s:%u watches no master called %s",
                             where->host, (unsigned)where->port, name);
    uint64_t port;
    if (reply->type != NSM_REDIS_ARRAY || reply->n_elements != 2 ||
        reply->elements[0].str.len == 0 || !nsm_parse_u64(reply->elements[1].str, &port) ||
        port == 0 || port > UINT16_MAX)
        return nsm_error_new(NSM_E_INTERNAL, "SENTINEL: the server's answer is not an address");
    *ret = (struct nsm_redis_node){.host = reply->elements[0].str.ptr, .port = (uint16_t)port};
    return NULL;
}

static struct nsm_error *ask_sentinels(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                       struct nsm_arena *arena, struct nsm_redis_node *ret)
{
    struct nsm_error *error NSM_CLEANUP(nsm_error_freep) = NULL;
    for (size_t index = 0; index < n_seeds(backend); index++) {
        nsm_error_ignore(NSM_STEAL(error));
        struct nsm_redis_url where = {.is_tls = backend->url.is_tls};
        where.host = index ? backend->url.others[index - 1].name : backend->url.host;
        where.port = index ? backend->url.others[index - 1].port : backend->url.port;
        error = ask_sentinel(backend, ctx, &where, arena, ret);
        if (!error || !is_passing(error))
            break;
    }
    return NSM_STEAL(error);
}

/* During a failover Sentinels may still name the one that was the master. */
static struct nsm_error *check_role(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                    struct nsm_arena *arena)
{
    const struct nsm_redis_reply *reply;
    NSM_REDIS_COMMAND(conn, "ROLE", );
    NSM_TRY(nsm_redis_flush(conn, ctx));
    NSM_TRY(nsm_redis_receive(conn, ctx, arena, &reply));
    const bool is_replica = reply->type == NSM_REDIS_ARRAY && reply->n_elements &&
                            !nsm_str_equals(reply->elements[0].str, NSM_STR_LIT("master"));
    return is_replica ? nsm_error_new(NSM_E_UNAVAILABLE,
                                      "the server that the Sentinels name is not the master yet")
                      : NULL;
}

static struct nsm_error *find_watched(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                      struct nsm_redis_conn **ret)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_redis_node master;
    NSM_TRY(ask_sentinels(backend, ctx, &arena, &master));
    struct nsm_redis_conn *conn NSM_CLEANUP(nsm_redis_conn_freep) = NULL;
    NSM_TRY(nsm_redis_connect(backend, ctx, &master, &conn));
    NSM_TRY(check_role(conn, ctx, &arena));
    *ret = NSM_STEAL(conn);
    return NULL;
}

/* ---- which of them ---- */

typedef struct nsm_error *find_fn(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                  struct nsm_redis_conn **ret);

static struct nsm_error *find_in_time(find_fn *find, struct nsm_redis_backend *backend,
                                      struct nsm_context *ctx, struct nsm_redis_conn **ret)
{
    const int64_t end_ns = nsm_now_ns() + REACH_NS;
    for (;;) {
        struct nsm_error *const error = find(backend, ctx, ret);
        if (!error || !nsm_code_is_retryable(nsm_error_code(error)) || nsm_now_ns() > end_ns)
            return error;
        nsm_error_ignore(error);
        NSM_TRY(nsm_sleep(ctx, PAUSE_NS));
    }
}

static enum nsm_redis_form form_of(struct nsm_redis_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    const enum nsm_redis_form form = backend->form;
    pthread_mutex_unlock(&backend->mutex);
    return form;
}

/* A server that does not tell is taken for one of no Cluster: what it lacks will show. */
static struct nsm_error *ask_form(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                  struct nsm_redis_conn *conn, enum nsm_redis_form *ret)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply;
    NSM_REDIS_COMMAND(conn, "INFO", NSM_STR_LIT("cluster"));
    NSM_TRY(nsm_redis_flush(conn, ctx));
    NSM_TRY(nsm_redis_receive(conn, ctx, &arena, &reply));
    struct nsm_redis_server server = {0};
    if (reply->type == NSM_REDIS_STRING)
        nsm_redis_server_read(reply->str, 0, &server);
    const enum nsm_redis_form form =
        server.is_cluster ? NSM_REDIS_FORM_CLUSTER : NSM_REDIS_FORM_SINGLE;
    if (form == NSM_REDIS_FORM_SINGLE && backend->url.n_others)
        return nsm_error_new(NSM_E_INVALID,
                             "the url names several servers, which is for a Redis Cluster, and the "
                             "first that answers is not part of one");
    pthread_mutex_lock(&backend->mutex);
    backend->form = form;
    pthread_mutex_unlock(&backend->mutex);
    *ret = form;
    return NULL;
}

/* The first connection of all, which is kept where there is one server only. */
static struct nsm_error *find_first(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                    struct nsm_redis_conn **ret)
{
    struct nsm_redis_conn *conn NSM_CLEANUP(nsm_redis_conn_freep) = NULL;
    struct nsm_error *error NSM_CLEANUP(nsm_error_freep) = NULL;
    for (size_t index = 0; index < n_seeds(backend); index++) {
        nsm_error_ignore(NSM_STEAL(error));
        error = connect_seed(backend, ctx, index, &conn);
        if (!error || !is_passing(error))
            break;
    }
    if (error)
        return NSM_STEAL(error);
    enum nsm_redis_form form = NSM_REDIS_FORM_UNKNOWN;
    NSM_TRY(ask_form(backend, ctx, conn, &form));
    if (form == NSM_REDIS_FORM_CLUSTER)
        return find_in_time(find_masters, backend, ctx, ret);
    *ret = NSM_STEAL(conn);
    return NULL;
}

struct nsm_error *nsm_redis_reach(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                  struct nsm_redis_conn **ret)
{
    if (backend->url.master_name)
        return nsm_error_wrap(find_in_time(find_watched, backend, ctx, ret), "master %s",
                              backend->url.master_name);
    switch (form_of(backend)) {
    case NSM_REDIS_FORM_CLUSTER:
        return find_in_time(find_masters, backend, ctx, ret);
    case NSM_REDIS_FORM_SINGLE:
        return connect_seed(backend, ctx, 0, ret);
    case NSM_REDIS_FORM_UNKNOWN:
        break;
    }
    return find_first(backend, ctx, ret);
}
