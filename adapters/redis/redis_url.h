/*
 * Where a Redis is and as whom to go there, from a URL:
 *
 *     redis://[user][:password]@host[:port][,host...][/db]      rediss:// the same with TLS
 *     redis+sentinel://[user][:password]@host[:port][,host...]/master-name[/db]
 *                                                     rediss+sentinel:// the same with TLS
 *     unix:///path/to/redis.sock[?db=1]               also redis+unix://
 *
 * No message quotes the URL: what looks like a port may be half a password.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_REDIS_URL_H
#define NSM_ADAPTERS_REDIS_URL_H

#include "migrate/base/error.h"
#include "migrate/base/str.h"

#include <stdint.h>

struct nsm_redis_host {
    char *name; /* without brackets */
    uint16_t port;
};

struct nsm_redis_url {
    char *host;        /* without brackets; NULL for a Unix socket */
    char *socket_path; /* NULL for TCP */
    uint16_t port;
    uint32_t db;
    bool is_tls;
    struct nsm_redis_host *others; /* besides the first: of the same Cluster, or Sentinels */
    size_t n_others;
    char *master_name; /* the hosts are Sentinels, which know where it is; NULL: they are not */
    char *user;        /* NULL: none given */
    char *password;    /* NULL: none given */
};

/* NSM_E_INVALID says what is wrong. Strings are decoded and on the heap. */
struct nsm_error *nsm_redis_url_parse(struct nsm_str text, struct nsm_redis_url *ret) NSM_MUST_USE;
void nsm_redis_url_release(struct nsm_redis_url *url);

/* "127.0.0.1:6379", "[::1]:6379", "/run/redis.sock", for messages (the first host); the caller frees. */
char *nsm_redis_url_where(const struct nsm_redis_url *url) NSM_MUST_USE NSM_NONNULL;

#endif
