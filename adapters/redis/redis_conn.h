/*
 * A connection to a Redis: a non-blocking socket, plain or TLS, on which commands are queued, sent
 * and answered in order. It waits under the context alone. It always reads while it waits to write,
 * so that two full socket buffers can't block each other.
 *
 * Threads: one thread at a time. After an error it is broken: free it.
 */
#ifndef NSM_ADAPTERS_REDIS_CONN_H
#define NSM_ADAPTERS_REDIS_CONN_H

#include "adapters/redis/redis_reply.h"
#include "adapters/redis/redis_tls.h"
#include "adapters/redis/redis_url.h"
#include "migrate/base/buf.h"
#include "migrate/base/context.h"

struct nsm_redis_router;

struct nsm_redis_conn {
    struct nsm_redis_router *router; /* NULL: one server, at `fd`; else a Cluster, and no `fd` */
    int fd;
    SSL *ssl; /* NULL: plain */
    struct nsm_redis_parser *parser;
    struct nsm_buf out; /* commands that were not sent yet */
    size_t out_pos;
    struct nsm_buf in; /* replies that came while we sent */
    size_t in_pos;
    char *chunk;        /* what one read takes */
    size_t n_pending;   /* commands queued or sent whose replies were not taken */
    int64_t timeout_ns; /* how long the server may stay silent while we wait for it */
    bool is_broken;
    struct nsm_redis_conn *next; /* the pool's */
};

struct nsm_redis_conn_options {
    const struct nsm_redis_url *url;
    const char *password;      /* NULL: none; may come from the environment */
    struct nsm_redis_tls *tls; /* NULL: plain */
    int64_t connect_timeout_ns;
    int64_t timeout_ns;
};

/* Connects, authenticates and selects the database. */
struct nsm_error *nsm_redis_conn_open(const struct nsm_redis_conn_options *options,
                                      struct nsm_context *ctx, struct nsm_redis_conn **ret)
    NSM_MUST_USE;
/* One that leads nowhere, for a router. */
struct nsm_redis_conn *nsm_redis_conn_new(void) NSM_MUST_USE NSM_NONNULL;
void nsm_redis_conn_free(struct nsm_redis_conn *conn);
NSM_DEFINE_CLEANUP(struct nsm_redis_conn, nsm_redis_conn_free)

/* Whether it can serve again: no reply outstanding, and the server has not closed it meanwhile. */
bool nsm_redis_conn_is_idle(const struct nsm_redis_conn *conn);

/* Queues a command of `n_args` arguments, which are then added one by one. */
void nsm_redis_begin(struct nsm_redis_conn *conn, size_t n_args);
void nsm_redis_arg(struct nsm_redis_conn *conn, struct nsm_str arg);
void nsm_redis_arg_cstr(struct nsm_redis_conn *conn, const char *arg);
void nsm_redis_arg_i64(struct nsm_redis_conn *conn, int64_t arg);
/* One argument from two pieces: a key from its prefix and the rest. */
void nsm_redis_arg_joined(struct nsm_redis_conn *conn, struct nsm_str head, struct nsm_str tail);

/* Queues a command whose arguments are all strings: NSM_REDIS_COMMAND(conn, "GET", key). The first
 * is a literal. */
void nsm_redis_command(struct nsm_redis_conn *conn, const char *command, size_t n_args,
                       const struct nsm_str *args);
#define NSM_REDIS_COMMAND(conn, command, ...)                                                   \
    nsm_redis_command((conn), (command), NSM_COUNT_OF(((const struct nsm_str[]){__VA_ARGS__})), \
                      (const struct nsm_str[]){__VA_ARGS__})

/* Sends what is queued; returns when the kernel has all of it. */
struct nsm_error *nsm_redis_flush(struct nsm_redis_conn *conn, struct nsm_context *ctx)
    NSM_MUST_USE;
/* Bytes that are queued and not sent. */
size_t nsm_redis_unsent(const struct nsm_redis_conn *conn);

/* The next reply, in `arena`; an error reply is a reply. Queued commands must have been sent. */
struct nsm_error *nsm_redis_receive(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                    struct nsm_arena *arena, const struct nsm_redis_reply **ret)
    NSM_MUST_USE;

/* Sends the one command that is queued and takes its reply. An error reply becomes an error that
 * begins with `command`. */
struct nsm_error *nsm_redis_call(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                 struct nsm_arena *arena, const char *command,
                                 const struct nsm_redis_reply **ret) NSM_MUST_USE;

#endif
