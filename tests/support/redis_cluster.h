/*
 * A Redis Cluster of a test's own: three masters with a replica each, as redis-cli makes it.
 *
 * Threads: one thread at a time. Failures are assertions of cmocka.
 */
#ifndef NSM_TESTS_REDIS_CLUSTER_H
#define NSM_TESTS_REDIS_CLUSTER_H

#include "tests/support/redis_server.h"

#define CLUSTER_SERVERS 6

struct redis_cluster {
    struct redis_server servers[CLUSTER_SERVERS];
    redisContext *clients[CLUSTER_SERVERS];
    char ids[CLUSTER_SERVERS][48];
};

void redis_cluster_start(struct redis_cluster *cluster);
void redis_cluster_stop(struct redis_cluster *cluster);
/* Which server is the master of a slot now, by what it says itself. */
size_t redis_cluster_owner(const struct redis_cluster *cluster, unsigned slot);
bool redis_cluster_is_master(const struct redis_cluster *cluster, size_t server);
/* Empties all masters. */
void redis_cluster_flush(const struct redis_cluster *cluster);
/* Begins to move a slot from its master to another server, with `n_keys` of its keys; ends it, with
 * all the others. */
void redis_cluster_move_begin(const struct redis_cluster *cluster, unsigned slot, size_t to,
                              size_t n_keys);
void redis_cluster_move_end(const struct redis_cluster *cluster, unsigned slot, size_t from,
                            size_t to);
/* Runs a command about a key at the master of its slot. */
long long redis_cluster_do(const struct redis_cluster *cluster, unsigned slot, const char *format,
                           ...);

/* All keys that begin with `prefix`, without it, with type, expiry and digest, sorted, one a line;
 * from these clients together. The caller frees. */
char *redis_cluster_list(redisContext *const *clients, size_t n_clients, const char *prefix);
/* The same for all masters. */
char *redis_cluster_contents(const struct redis_cluster *cluster, const char *prefix);

#endif
