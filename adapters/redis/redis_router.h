/*
 * A Redis Cluster behind one connection: commands are queued, sent and answered in order as on any
 * other, and in between each goes to the master of its key's slot, all masters at once.
 *
 * What is sent as one is a *unit*: a command with a key, with those without one that stand before
 * it; or a transaction. A unit that is answered with MOVED, ASK, TRYAGAIN or CLUSTERDOWN makes a
 * detour: it is sent again, alone, to where it belongs. The slots are looked up anew after a MOVED,
 * but only once no reply is outstanding: so two commands on one key never overtake each other.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_REDIS_ROUTER_H
#define NSM_ADAPTERS_REDIS_ROUTER_H

#include "adapters/redis/redis_backend.h"
#include "adapters/redis/redis_topology.h"

/* A connection with a router, and through it to every master; takes a reference. */
struct nsm_error *nsm_redis_router_open(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                        struct nsm_redis_topology *topology,
                                        struct nsm_redis_conn **ret) NSM_MUST_USE;
void nsm_redis_router_free(struct nsm_redis_router *router);

/* ---- what redis_conn.c does for a connection that has a router ---- */

struct nsm_error *nsm_redis_router_flush(struct nsm_redis_conn *conn, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_redis_router_receive(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                           struct nsm_arena *arena,
                                           const struct nsm_redis_reply **ret) NSM_MUST_USE;
bool nsm_redis_router_is_idle(const struct nsm_redis_router *router);

/* ---- for those who have to know; for a connection without a router too ---- */

/* The plain connections to each master; the connection itself when there is no Cluster. No reply
 * may be outstanding. */
size_t nsm_redis_n_masters(const struct nsm_redis_conn *conn);
struct nsm_redis_conn *nsm_redis_master(struct nsm_redis_conn *conn, size_t index);

/* Looks up who has which slots, and connects to those who are new. No reply may be outstanding. */
struct nsm_error *nsm_redis_router_renew(struct nsm_redis_conn *conn, struct nsm_context *ctx)
    NSM_MUST_USE;

/* The same at all servers of a Cluster; NULL without a router. */
const char *nsm_redis_cluster_id(const struct nsm_redis_conn *conn);

/* Slots have moved: commands make detours until all outstanding replies were taken. */
bool nsm_redis_is_stale(const struct nsm_redis_conn *conn);
/* Grows with every detour and change of the slots: while it does not, a key has been answered for
 * by one server, to which alone the cursors of its HSCAN and SSCAN mean something. */
uint64_t nsm_redis_n_detours(const struct nsm_redis_conn *conn);

#endif
