/*
 * TLS over a non-blocking socket with OpenSSL. What is particular: its own BIO, because OpenSSL's
 * writes to a socket with write(), which raises SIGPIPE in whatever program we are part of.
 *
 * Threads: a struct nsm_redis_tls is immutable after it was made and shared; the SSL of a
 * connection belongs to one thread at a time.
 */
#ifndef NSM_ADAPTERS_REDIS_TLS_H
#define NSM_ADAPTERS_REDIS_TLS_H

#include "migrate/base/context.h"

#include <openssl/ssl.h>
#include <sys/types.h>

struct nsm_redis_tls;

struct nsm_redis_tls_options {
    const char *ca_path;   /* NULL: the system's */
    const char *cert_path; /* NULL: no client certificate */
    const char *key_path;
    bool is_verified;
};

/* Reads the certificates; NSM_E_INVALID names the option whose file is not one. */
struct nsm_error *nsm_redis_tls_new(const struct nsm_redis_tls_options *options,
                                    struct nsm_redis_tls **ret) NSM_MUST_USE;
void nsm_redis_tls_free(struct nsm_redis_tls *tls);

/* The handshake with `host` on a connected socket, which stays the caller's. NSM_E_AUTH: the
 * server's certificate is not trusted, or ours is refused. */
struct nsm_error *nsm_redis_tls_connect(struct nsm_redis_tls *tls, struct nsm_context *ctx, int fd,
                                        const char *host, int64_t timeout_ns, SSL **ret)
    NSM_MUST_USE;

/* As recv and send: the number of bytes, 0 at the end of the connection, -1 with errno; EAGAIN:
 * wait for *ret_events first. */
ssize_t nsm_redis_tls_read(SSL *ssl, void *bytes, size_t len, short *ret_events);
ssize_t nsm_redis_tls_write(SSL *ssl, const void *bytes, size_t len, short *ret_events);

#endif
