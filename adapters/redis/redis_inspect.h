/*
 * What stands at a Redis that a namespace will be written to.
 *
 * Threads: any.
 */
#ifndef NSM_ADAPTERS_REDIS_INSPECT_H
#define NSM_ADAPTERS_REDIS_INSPECT_H

#include "adapters/redis/redis_backend.h"

struct nsm_error *nsm_redis_inspect(struct nsm_backend *base, struct nsm_context *ctx,
                                    struct nsm_destination **destinations, size_t n_destinations)
    NSM_MUST_USE;

/* The NOTE and REFUSAL findings that any namespace at this server has. */
void nsm_redis_tell_server(const struct nsm_redis_server *server, struct nsm_findings *findings);
/* What a server can't be given of streams that come by their types, not as payloads. */
void nsm_redis_tell_streams(const struct nsm_redis_server *server, struct nsm_findings *findings);

#endif
