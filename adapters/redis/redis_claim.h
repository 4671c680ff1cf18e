/*
 * One run at a time writes a prefix of a Redis, whatever plan it is of. Who does has a member in one sorted set,
 * and lets its score grow every second, from a thread and a connection of the backend's own. A member whose score
 * stands still for ten seconds is of a run that was killed, and gives way. So no clock but one's own is asked, and
 * commands of any version and of a Cluster do. Who could not raise its score for six seconds doesn't write before it
 * has looked who else is there.
 *
 * Threads: internally locked.
 */
#ifndef NSM_ADAPTERS_REDIS_CLAIM_H
#define NSM_ADAPTERS_REDIS_CLAIM_H

#include "adapters/adapter.h"

struct nsm_redis_backend;
struct nsm_redis_claim;

struct nsm_redis_claims {
    pthread_mutex_t
        mutex; /* guards what follows, and the claims; new ones go first, only the thread removes some */
    pthread_cond_t changed;
    struct nsm_redis_claim *first;
    pthread_t thread;
    bool has_thread, is_ending;
};

void nsm_redis_claims_init(struct nsm_redis_backend *backend);
/* Gives all back, if the server answers soon; ends before the pool of connections does. */
void nsm_redis_claims_close(struct nsm_redis_backend *backend);

/* Claims what the destination writes, for one user more. Blocks for ten seconds at most on the claim of a run that may be dead; then, or
 * as soon as it is seen alive, NSM_E_CONFLICT, with who it is. */
struct nsm_error *nsm_redis_claim(const struct nsm_destination *destination,
                                  struct nsm_context *ctx, struct nsm_redis_claim **ret)
    NSM_MUST_USE;
/* Makes sure that it still stands; costs a look at the clock when it does. */
struct nsm_error *nsm_redis_claim_hold(struct nsm_redis_backend *backend,
                                       struct nsm_redis_claim *claim, struct nsm_context *ctx)
    NSM_MUST_USE;
/* One user less; it stands until it is dropped. Accepts NULL. */
void nsm_redis_claim_leave(struct nsm_redis_backend *backend, struct nsm_redis_claim *claim);
/* The destination is complete: gives its claim back at once, or soon where the server does not answer. */
void nsm_redis_claim_drop(const struct nsm_destination *destination, struct nsm_context *ctx);

#endif
