/* Connections are few and long-lived, one per reader and writer: the pool is a list under a lock.
 */
#include "adapters/redis/redis_backend.h"

#include "adapters/redis/redis_reach.h"
#include "adapters/redis/redis_router.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

struct nsm_redis_backend *nsm_redis_backend_of(struct nsm_backend *base)
{
    return (struct nsm_redis_backend *)base;
}

/* ---- open and close ---- */

static struct nsm_error *read_settings(struct nsm_redis_backend *backend)
{
    const struct nsm_settings *const settings = backend->base.settings;
    NSM_TRY_WRAP(
        nsm_redis_url_parse(nsm_str_of(nsm_settings_string(settings, "url")), &backend->url),
        "url");
    const struct nsm_redis_tls_options options = {
        .ca_path = nsm_settings_string(settings, "tls_ca"),
        .cert_path = nsm_settings_string(settings, "tls_cert"),
        .key_path = nsm_settings_string(settings, "tls_key"),
        .is_verified = nsm_settings_bool(settings, "tls_verify"),
    };
    if (backend->url.is_tls)
        NSM_TRY(nsm_redis_tls_new(&options, &backend->tls));
    else if (options.ca_path || options.cert_path || options.key_path)
        return nsm_error_new(NSM_E_INVALID, "tls_ca, tls_cert and tls_key are for rediss:// URLs");
    backend->sentinel_password = nsm_settings_string(settings, "sentinel_password");
    if (backend->sentinel_password && !backend->url.master_name)
        return nsm_error_new(NSM_E_INVALID, "sentinel_password is for redis+sentinel:// URLs");
    backend->connect_timeout_ns =
        (int64_t)nsm_settings_u64(settings, "connect_timeout") * NSM_NS_PER_MS;
    backend->timeout_ns = (int64_t)nsm_settings_u64(settings, "timeout") * NSM_NS_PER_MS;
    backend->slice_bytes = nsm_settings_u64(settings, "slice_bytes");
    backend->is_without_dump = !nsm_settings_bool(settings, "dump");
    if (backend->connect_timeout_ns == 0 || backend->timeout_ns == 0 || backend->slice_bytes == 0)
        return nsm_error_new(NSM_E_INVALID,
                             "connect_timeout, timeout and slice_bytes must be more than zero");
    return NULL;
}

static void release_settings(struct nsm_redis_backend *backend)
{
    nsm_redis_url_release(&backend->url);
    nsm_redis_tls_free(backend->tls);
    free(backend->env_password);
    backend->tls = NULL;
    backend->env_password = NULL;
}

struct nsm_error *nsm_redis_backend_open(struct nsm_backend *base)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(base);
    struct nsm_error *const error = read_settings(backend);
    if (error) {
        release_settings(backend);
        return error;
    }
    if (!backend->url.password) {
        /* Backends are opened by one thread, before there are others. */
        const char *const password = getenv("REDISCLI_AUTH"); /* NOLINT(concurrency-mt-unsafe) */
        backend->env_password = password ? nsm_xstrdup(password) : NULL;
    }
    pthread_mutex_init(&backend->mutex, NULL);
    nsm_redis_claims_init(backend);
    return NULL;
}

void nsm_redis_backend_close(struct nsm_backend *base)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(base);
    nsm_redis_claims_close(backend);
    while (backend->idle) {
        struct nsm_redis_conn *const conn = backend->idle;
        backend->idle = conn->next;
        nsm_redis_conn_free(conn);
    }
    nsm_redis_topology_unref(backend->topology);
    pthread_mutex_destroy(&backend->mutex);
    release_settings(backend);
}

/* ---- the pool ---- */

static struct nsm_redis_conn *pop_idle(struct nsm_redis_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    struct nsm_redis_conn *const conn = backend->idle;
    if (conn)
        backend->idle = conn->next;
    pthread_mutex_unlock(&backend->mutex);
    return conn;
}

struct nsm_error *nsm_redis_take(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                 struct nsm_redis_conn **ret)
{
    NSM_TRY(nsm_context_error(ctx));
    for (;;) {
        struct nsm_redis_conn *const conn = pop_idle(backend);
        if (!conn)
            break;
        if (nsm_redis_conn_is_idle(conn)) {
            conn->next = NULL;
            *ret = conn;
            return NULL;
        }
        nsm_redis_conn_free(conn);
    }
    return nsm_redis_reach(backend, ctx, ret);
}

void nsm_redis_give(struct nsm_redis_backend *backend, struct nsm_redis_conn *conn)
{
    if (!conn)
        return;
    if (!nsm_redis_conn_is_idle(conn)) {
        nsm_redis_conn_free(conn);
        return;
    }
    pthread_mutex_lock(&backend->mutex);
    conn->next = backend->idle;
    backend->idle = conn;
    pthread_mutex_unlock(&backend->mutex);
}

void nsm_redis_loan_return(struct nsm_redis_loan *loan)
{
    nsm_redis_give(loan->backend, loan->conn);
    loan->conn = NULL;
}

/* ---- the server ---- */

struct nsm_str nsm_redis_info_field(struct nsm_str info, const char *name)
{
    const struct nsm_str wanted = nsm_str_of(name);
    while (info.len) {
        const char *const end = memchr(info.ptr, '\n', info.len);
        struct nsm_str line = {.ptr = info.ptr, .len = end ? (size_t)(end - info.ptr) : info.len};
        info = nsm_str_skip(info, end ? line.len + 1 : line.len);
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len > wanted.len && line.ptr[wanted.len] == ':' &&
            nsm_str_starts_with(line, wanted))
            return nsm_str_skip(line, wanted.len + 1);
    }
    return (struct nsm_str){0};
}

static void copy_field(struct nsm_str info, const char *name, char *out, size_t size)
{
    const struct nsm_str value = nsm_redis_info_field(info, name);
    snprintf(out, size, "%.*s", NSM_STR_ARG(value));
}

static uint64_t number_field(struct nsm_str info, const char *name)
{
    uint64_t number = 0;
    const bool is_number = nsm_parse_u64(nsm_redis_info_field(info, name), &number);
    return is_number ? number : 0;
}

/* "7.0.15" to 70015; what is missing or no number counts as zero. */
static uint32_t version_number(struct nsm_str text)
{
    uint32_t version = 0;
    for (size_t index = 0; index < 3; index++) {
        const char *const dot = text.len ? memchr(text.ptr, '.', text.len) : NULL;
        const struct nsm_str piece = {.ptr = text.ptr,
                                      .len = dot ? (size_t)(dot - text.ptr) : text.len};
        uint64_t number = 0;
        if (!nsm_parse_u64(piece, &number) || number > 99)
            number = 0;
        version = version * 100 + (uint32_t)number;
        text = nsm_str_skip(text, dot ? piece.len + 1 : text.len);
    }
    return version;
}

/* "keys=3,expires=0,avg_ttl=0,subexpiry=1": the number behind a name. */
static uint64_t keyspace_number(struct nsm_str line, const char *name)
{
    const struct nsm_str wanted = nsm_str_of(name);
    while (line.len) {
        const char *const comma = memchr(line.ptr, ',', line.len);
        const struct nsm_str pair = {.ptr = line.ptr,
                                     .len = comma ? (size_t)(comma - line.ptr) : line.len};
        uint64_t number = 0;
        if (nsm_str_starts_with(pair, wanted) &&
            nsm_parse_u64(nsm_str_skip(pair, wanted.len), &number))
            return number;
        line = nsm_str_skip(line, comma ? pair.len + 1 : pair.len);
    }
    return 0;
}

void nsm_redis_server_read(struct nsm_str info, uint32_t db, struct nsm_redis_server *server)
{
    char db_name[16];
    snprintf(db_name, sizeof(db_name), "db%u", db);
    const struct nsm_str keyspace = nsm_redis_info_field(info, db_name);
    if (keyspace.len)
        server->n_field_expiry = keyspace_number(keyspace, "subexpiry=") +
                                 keyspace_number(keyspace, "keys_with_volatile_items=");
    const struct nsm_str version = nsm_redis_info_field(info, "redis_version");
    const struct nsm_str valkey = nsm_redis_info_field(info, "valkey_version");
    if (version.len) {
        server->version = version_number(version);
        snprintf(server->version_text, sizeof(server->version_text), "%s %.*s",
                 valkey.len ? "Valkey" : "Redis", NSM_STR_ARG(valkey.len ? valkey : version));
        copy_field(info, "run_id", server->run_id, sizeof(server->run_id));
        server->is_sentinel =
            nsm_str_equals(nsm_redis_info_field(info, "redis_mode"), NSM_STR_LIT("sentinel"));
    }
    if (nsm_redis_info_field(info, "cluster_enabled").len)
        server->is_cluster = number_field(info, "cluster_enabled") != 0;
    if (nsm_redis_info_field(info, "role").len)
        server->is_replica =
            nsm_str_equals(nsm_redis_info_field(info, "role"), NSM_STR_LIT("slave"));
    if (nsm_redis_info_field(info, "maxmemory").len) {
        server->max_memory_bytes = number_field(info, "maxmemory");
        server->used_memory_bytes = number_field(info, "used_memory");
        copy_field(info, "maxmemory_policy", server->eviction, sizeof(server->eviction));
    }
}

static struct nsm_error *ask_one(struct nsm_redis_conn *conn, struct nsm_context *ctx, uint32_t db,
                                 struct nsm_redis_server *ret)
{
    /* One section each: several in one command are not known before Redis 7. */
    static const char *const sections[] = {"server", "memory", "replication", "cluster",
                                           "keyspace"};
    for (size_t index = 0; index < NSM_COUNT_OF(sections); index++)
        NSM_REDIS_COMMAND(conn, "INFO", nsm_str_of(sections[index]));
    NSM_TRY(nsm_redis_flush(conn, ctx));
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    while (conn->n_pending) {
        const struct nsm_redis_reply *reply;
        NSM_TRY(nsm_redis_receive(conn, ctx, &arena, &reply));
        if (reply->type != NSM_REDIS_STRING)
            return nsm_redis_reply_error(reply, "INFO", (struct nsm_str){0});
        nsm_redis_server_read(reply->str, db, ret);
    }
    return NULL;
}

/* The masters of a Cluster as one server: as old as the oldest, as full as all together. */
static void add_master(struct nsm_redis_server *all, const struct nsm_redis_server *one)
{
    const struct nsm_redis_server before = *all;
    if (one->version < before.version)
        *all = *one;
    all->n_field_expiry = before.n_field_expiry + one->n_field_expiry;
    all->used_memory_bytes = before.used_memory_bytes + one->used_memory_bytes;
    /* Zero is no limit. */
    all->max_memory_bytes = before.max_memory_bytes && one->max_memory_bytes
                                ? before.max_memory_bytes + one->max_memory_bytes
                                : 0;
    memcpy(all->run_id, before.run_id, sizeof(all->run_id));
}

struct nsm_error *nsm_redis_server_ask(struct nsm_redis_backend *backend,
                                       struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                       struct nsm_redis_server *ret)
{
    struct nsm_redis_server server = {0};
    NSM_TRY(ask_one(nsm_redis_master(conn, 0), ctx, backend->url.db, &server));
    for (size_t index = 1; index < nsm_redis_n_masters(conn); index++) {
        struct nsm_redis_server other = {0};
        NSM_TRY(ask_one(nsm_redis_master(conn, index), ctx, backend->url.db, &other));
        add_master(&server, &other);
    }
    if (conn->router) {
        snprintf(server.run_id, sizeof(server.run_id), "%s", nsm_redis_cluster_id(conn));
        server.is_replica = false; /* where a failover is not known to all yet */
    }
    pthread_mutex_lock(&backend->mutex);
    backend->server = server;
    backend->has_server = true;
    pthread_mutex_unlock(&backend->mutex);
    *ret = server;
    return NULL;
}

struct nsm_error *nsm_redis_count_keys(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                       uint64_t *ret)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    uint64_t n_keys = 0;
    for (size_t index = 0; index < nsm_redis_n_masters(conn); index++) {
        struct nsm_redis_conn *const master = nsm_redis_master(conn, index);
        const struct nsm_redis_reply *size;
        NSM_REDIS_COMMAND(master, "DBSIZE", );
        NSM_TRY(nsm_redis_call(master, ctx, &arena, "DBSIZE", &size));
        n_keys += size->type == NSM_REDIS_INTEGER ? (uint64_t)size->integer : 0;
    }
    *ret = n_keys;
    return NULL;
}

static bool find_server(struct nsm_redis_backend *backend, struct nsm_redis_server *ret)
{
    pthread_mutex_lock(&backend->mutex);
    const bool has_server = backend->has_server;
    if (has_server)
        *ret = backend->server;
    pthread_mutex_unlock(&backend->mutex);
    return has_server;
}

struct nsm_error *nsm_redis_server_known(struct nsm_redis_backend *backend,
                                         struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                         struct nsm_redis_server *ret)
{
    return find_server(backend, ret) ? NULL : nsm_redis_server_ask(backend, conn, ctx, ret);
}

char *nsm_redis_identity(const struct nsm_redis_backend *backend,
                         const struct nsm_redis_server *server,
                         const struct nsm_redis_selector *selector, struct nsm_arena *arena)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "%s/%u/", server->run_id, backend->url.db);
    for (size_t at = 0; at < selector->prefix.len; at++) {
        const unsigned char c = (unsigned char)selector->prefix.ptr[at];
        if (c > 0x20 && c < 0x7f && c != '\\')
            nsm_buf_append_char(&text, (char)c);
        else
            nsm_buf_printf(&text, "\\x%02x", (unsigned)c);
    }
    if (selector->glob.ptr) {
        nsm_buf_append_cstr(&text, " match ");
        nsm_redis_key_write(selector->glob, &text);
    }
    return nsm_arena_strdup(arena, text.ptr);
}

const char *nsm_redis_server_refusal(const struct nsm_redis_server *server)
{
    if (server->is_sentinel)
        return "is a Sentinel, which holds no data; write its address as "
               "redis+sentinel://host:port/master-name";
    if (server->version < NSM_REDIS_VERSION(5, 0))
        return "is older than Redis 5.0; upgrade it first";
    return NULL;
}
