/*
 * Whether keys can travel as DUMP payloads, found out by trying: at the source by dumping a key, at
 * the destination by restoring what is a payload of the source's version, but for its content, and
 * so makes no key.
 *
 * Threads: one connection, one thread.
 */
#ifndef NSM_ADAPTERS_REDIS_PROBE_H
#define NSM_ADAPTERS_REDIS_PROBE_H

#include "adapters/redis/redis_backend.h"

struct nsm_redis_probe {
    struct nsm_redis_conn *conn;
    struct nsm_context *ctx;
    struct nsm_arena *arena; /* of the reason */
};

/* *ret_reason: why the server does not dump keys; NULL: it does. *ret_version: of
 * its payloads; 0 when `key` is not there. An error only where the connection fails. */
struct nsm_error *nsm_redis_probe_dump(const struct nsm_redis_probe *probe, struct nsm_str key,
                                       const char **ret_reason, unsigned *ret_version) NSM_MUST_USE;
/* *ret_reason: why the server does not restore payloads of that version; NULL: it does, or what
 * stands against it would stand against every command. */
struct nsm_error *nsm_redis_probe_restore(const struct nsm_redis_probe *probe, struct nsm_str key,
                                          unsigned version, const char **ret_reason) NSM_MUST_USE;

/* The version of the payloads that a server of such a version makes, and the newest that it loads.
 */
unsigned nsm_redis_payload_version(const struct nsm_redis_server *server);

#endif
