/*
 * A Redis of the plan: where it is, a pool of connections, and what the server says of itself.
 *
 * Threads: all functions may be called from any thread; what a connection does is its holder's.
 */
#ifndef NSM_ADAPTERS_REDIS_BACKEND_H
#define NSM_ADAPTERS_REDIS_BACKEND_H

#include "adapters/adapter.h"
#include "adapters/redis/redis_claim.h"
#include "adapters/redis/redis_conn.h"
#include "adapters/redis/redis_select.h"

/* Keys that writers make and take away again begin with this; no survey sees them. */
#define NSM_REDIS_TEMP_PREFIX "nsmigrate:tmp:"

/* A server's version as one number. */
#define NSM_REDIS_VERSION(major, minor) ((major)*10000U + (minor)*100U)

struct nsm_redis_server {
    char version_text[64]; /* "Redis 7.0.15" */
    uint32_t version;      /* 70015 */
    char run_id[48];
    char eviction[32]; /* maxmemory_policy */
    uint64_t max_memory_bytes, used_memory_bytes;
    uint64_t n_field_expiry; /* hashes of the database whose fields expire (Redis 7.4, Valkey 9) */
    bool is_cluster, is_sentinel, is_replica;
};

/* What stands behind the URL. */
enum nsm_redis_form {
    NSM_REDIS_FORM_UNKNOWN,
    NSM_REDIS_FORM_SINGLE,
    NSM_REDIS_FORM_CLUSTER,
};

struct nsm_redis_topology;

struct nsm_redis_backend {
    struct nsm_backend base;
    struct nsm_redis_url url;
    char *env_password;            /* of REDISCLI_AUTH, used when the URL has none */
    const char *sentinel_password; /* the plan's; NULL: none */
    struct nsm_redis_tls *tls;
    int64_t connect_timeout_ns, timeout_ns;
    uint64_t slice_bytes; /* keys larger than this travel in slices */
    bool is_without_dump; /* the plan wants lane record */
    struct nsm_redis_claims claims;

    pthread_mutex_t mutex; /* guards what follows */
    struct nsm_redis_conn *idle;
    struct nsm_redis_server server;
    bool has_server;
    enum nsm_redis_form form;
    struct nsm_redis_topology *topology; /* of a Cluster, as it was told last */
    bool is_topology_old;
};

struct nsm_error *nsm_redis_backend_open(struct nsm_backend *base) NSM_MUST_USE;
void nsm_redis_backend_close(struct nsm_backend *base);
struct nsm_redis_backend *nsm_redis_backend_of(struct nsm_backend *base);

/* A connection of the pool, or a new one, to a Cluster as to one server. Given back with nsm_redis_give(), which also takes broken
 * ones. */
struct nsm_error *nsm_redis_take(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                 struct nsm_redis_conn **ret) NSM_MUST_USE;
void nsm_redis_give(struct nsm_redis_backend *backend, struct nsm_redis_conn *conn);

/* A connection that goes back to the pool at the end of a scope. */
struct nsm_redis_loan {
    struct nsm_redis_backend *backend;
    struct nsm_redis_conn *conn;
};
void nsm_redis_loan_return(struct nsm_redis_loan *loan);

/* Asks the server, or every master (INFO), and keeps the answer for nsm_redis_server_known(). */
struct nsm_error *nsm_redis_server_ask(struct nsm_redis_backend *backend,
                                       struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                       struct nsm_redis_server *ret) NSM_MUST_USE;
/* DBSIZE, of all masters. */
struct nsm_error *nsm_redis_count_keys(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                       uint64_t *ret) NSM_MUST_USE;
/* The last answer; asks when there is none. */
struct nsm_error *nsm_redis_server_known(struct nsm_redis_backend *backend,
                                         struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                         struct nsm_redis_server *ret) NSM_MUST_USE;

/* The value of a line "name:value" of INFO; empty when there is none. */
struct nsm_str nsm_redis_info_field(struct nsm_str info, const char *name);

/* Adds what a section of INFO says. `db`: the database whose line of the section keyspace counts. */
void nsm_redis_server_read(struct nsm_str info, uint32_t db, struct nsm_redis_server *server);

/* Why this server can't be used at all, or NULL: a Sentinel, too old. Static text. */
const char *nsm_redis_server_refusal(const struct nsm_redis_server *server);

/* "<run id of the server>/<database>/<selection>". */
char *nsm_redis_identity(const struct nsm_redis_backend *backend,
                         const struct nsm_redis_server *server,
                         const struct nsm_redis_selector *selector, struct nsm_arena *arena)
    NSM_MUST_USE;

#endif
