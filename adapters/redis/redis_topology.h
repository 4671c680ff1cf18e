/*
 * Who has which slots of a Redis Cluster, as one of its servers tells.
 *
 * Threads: immutable after it was made, shared by counting references.
 */
#ifndef NSM_ADAPTERS_REDIS_TOPOLOGY_H
#define NSM_ADAPTERS_REDIS_TOPOLOGY_H

#include "adapters/redis/redis_conn.h"
#include "adapters/redis/redis_slot.h"

#include <stdatomic.h>

struct nsm_redis_node {
    const char *host;
    uint16_t port;
};

struct nsm_redis_topology {
    atomic_int n_refs;
    struct nsm_arena arena;
    char id[48];                  /* the least of the servers' ids: outlives a failover */
    struct nsm_redis_node *nodes; /* the masters that have slots, and then the replicas */
    size_t n_nodes, n_masters;
    uint16_t owner[NSM_REDIS_SLOTS]; /* index of a master */
};

/* Asks a server of the Cluster (CLUSTER SLOTS). `host`: where it was found, which stands for
 * servers that don't know their own address. NSM_E_IO: not all slots have a master. */
struct nsm_error *nsm_redis_topology_ask(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                         const char *host, struct nsm_redis_topology **ret)
    NSM_MUST_USE;
struct nsm_redis_topology *nsm_redis_topology_ref(struct nsm_redis_topology *topology) NSM_MUST_USE;
void nsm_redis_topology_unref(struct nsm_redis_topology *topology);
NSM_DEFINE_CLEANUP(struct nsm_redis_topology, nsm_redis_topology_unref)

#endif
