/*
 * Host names to addresses under a context. getaddrinfo() blocks for as long as the name servers
 * like and can't be interrupted, so it runs on a thread of its own that a cancelled caller leaves
 * to itself.
 *
 * Threads: any.
 */
#ifndef NSM_ADAPTERS_REDIS_RESOLVE_H
#define NSM_ADAPTERS_REDIS_RESOLVE_H

#include "migrate/base/context.h"

#include <netdb.h>

/* Stream addresses of the host; numeric ones at once, without a thread. The caller frees with
 * freeaddrinfo(). NSM_E_NOTFOUND: no such host; NSM_E_UNAVAILABLE: the name servers don't answer.
 */
struct nsm_error *nsm_redis_resolve(struct nsm_context *ctx, const char *host, unsigned port,
                                    int64_t timeout_ns, struct addrinfo **ret) NSM_MUST_USE;

#endif
