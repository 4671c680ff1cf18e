/*
 * How a connection for a backend comes about: to the one server, through Sentinels to the master
 * that they watch, or to all masters of a Cluster. Which of these it is, is asked once.
 *
 * A failover is waited for, up to 20 s: what takes longer is the core's to try again.
 *
 * Threads: any.
 */
#ifndef NSM_ADAPTERS_REDIS_REACH_H
#define NSM_ADAPTERS_REDIS_REACH_H

#include "adapters/redis/redis_backend.h"
#include "adapters/redis/redis_topology.h"

/* A new connection, of the kind that the backend needs. */
struct nsm_error *nsm_redis_reach(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                  struct nsm_redis_conn **ret) NSM_MUST_USE;

/* A plain one to a server, as the plan's user. */
struct nsm_error *nsm_redis_connect(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                    const struct nsm_redis_node *node, struct nsm_redis_conn **ret)
    NSM_MUST_USE;

/* ---- the Cluster's slots, as they were told last ---- */

/* Takes a reference. */
void nsm_redis_topology_set(struct nsm_redis_backend *backend, struct nsm_redis_topology *topology);
/* They may be others by now: they are asked for before the next connection is made. */
void nsm_redis_topology_expire(struct nsm_redis_backend *backend);
bool nsm_redis_topology_is_current(struct nsm_redis_backend *backend,
                                   const struct nsm_redis_topology *topology);

#endif
