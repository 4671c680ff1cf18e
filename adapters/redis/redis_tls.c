/* Verification is on unless the plan turns it off: the chain, and the name or address of the host.
 */
#include "adapters/redis/redis_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

struct nsm_redis_tls {
    SSL_CTX *ctx;
    BIO_METHOD *method;
    bool is_verified;
};

/* ---- a BIO over a socket that never raises SIGPIPE ---- */

static int bio_fd(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static int bio_read(BIO *bio, char *bytes, int len)
{
    BIO_clear_retry_flags(bio);
    const ssize_t n = recv(bio_fd(bio), bytes, (size_t)len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    BIO_clear_retry_flags(bio);
    const ssize_t n = send(bio_fd(bio), bytes, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* ---- the shared context ---- */

void nsm_redis_tls_free(struct nsm_redis_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->method);
    free(tls);
}
NSM_DEFINE_CLEANUP(struct nsm_redis_tls, nsm_redis_tls_free)

/* The oldest error of this thread's queue, which is emptied. */
static const char *openssl_reason(void)
{
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char *const reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : "unknown error";
}

static struct nsm_error *load_files(SSL_CTX *ctx, const struct nsm_redis_tls_options *options)
{
    const char *const ca = options->ca_path;
    const char *const cert = options->cert_path;
    const char *const key = options->key_path;
    if (ca && SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
        return nsm_error_new(NSM_E_INVALID, "tls_ca %s: no certificates in PEM: %s", ca,
                             openssl_reason());
    if (!ca && options->is_verified && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return nsm_error_new(NSM_E_IO, "the system's certificates: %s", openssl_reason());
    if (cert && SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return nsm_error_new(NSM_E_INVALID, "tls_cert %s: no certificate in PEM: %s", cert,
                             openssl_reason());
    if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return nsm_error_new(NSM_E_INVALID, "tls_key %s: no key in PEM: %s", key, openssl_reason());
    if (cert && key && SSL_CTX_check_private_key(ctx) != 1)
        return nsm_error_new(NSM_E_INVALID, "tls_key is not the key of tls_cert");
    return NULL;
}

struct nsm_error *nsm_redis_tls_new(const struct nsm_redis_tls_options *options,
                                    struct nsm_redis_tls **ret)
{
    if (!options->cert_path != !options->key_path)
        return nsm_error_new(NSM_E_INVALID, "tls_cert and tls_key go together");
    ERR_clear_error();
    struct nsm_redis_tls *tls NSM_CLEANUP(nsm_redis_tls_freep) = nsm_xcalloc(1, sizeof(*tls));
    tls->is_verified = options->is_verified;
    tls->ctx = SSL_CTX_new(TLS_client_method());
    tls->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nsm socket");
    if (!tls->ctx || !tls->method)
        return nsm_error_new(NSM_E_IO, "TLS: %s", openssl_reason());
    BIO_meth_set_read(tls->method, bio_read);
    BIO_meth_set_write(tls->method, bio_write);
    BIO_meth_set_ctrl(tls->method, bio_ctrl);
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(tls->ctx, options->is_verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    NSM_TRY(load_files(tls->ctx, options));
    *ret = NSM_STEAL(tls);
    return NULL;
}

/* ---- a connection ---- */

static void ssl_freep(SSL **at)
{
    SSL_free(*at);
}

static bool set_host(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    /* OpenSSL's macro takes no const. */
    char *name NSM_CLEANUP(nsm_freep) = nsm_xstrdup(host);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, host) == 1;
}

static struct nsm_error *make_ssl(struct nsm_redis_tls *tls, int fd, const char *host, SSL **ret)
{
    SSL *ssl NSM_CLEANUP(ssl_freep) = SSL_new(tls->ctx);
    BIO *const bio = ssl ? BIO_new(tls->method) : NULL;
    if (!bio)
        return nsm_error_new(NSM_E_IO, "TLS: %s", openssl_reason());
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (!set_host(ssl, host))
        return nsm_error_new(NSM_E_INVALID, "TLS: %s is no name of a host", host);
    *ret = NSM_STEAL(ssl);
    return NULL;
}

/* Why a handshake ended, when it was neither the network nor time. */
static struct nsm_error *handshake_error(const struct nsm_redis_tls *tls, SSL *ssl)
{
    const long verdict = SSL_get_verify_result(ssl);
    if (tls->is_verified && verdict != X509_V_OK) {
        ERR_clear_error();
        return nsm_error_new(NSM_E_AUTH,
                             "TLS: the server's certificate: %s; name its authority with tls_ca",
                             X509_verify_cert_error_string(verdict));
    }
    const unsigned long code = ERR_peek_error();
    if (code == 0)
        return nsm_error_new(NSM_E_UNAVAILABLE, "TLS: the server closed the connection");
    const int reason = ERR_GET_REASON(code);
    if (reason == SSL_R_WRONG_VERSION_NUMBER) {
        ERR_clear_error();
        return nsm_error_new(NSM_E_INVALID, "TLS: the server speaks no TLS on this port; a plain "
                                            "one is redis://");
    }
    return nsm_error_new(NSM_E_AUTH, "TLS: %s", openssl_reason());
}

struct nsm_error *nsm_redis_tls_connect(struct nsm_redis_tls *tls, struct nsm_context *ctx, int fd,
                                        const char *host, int64_t timeout_ns, SSL **ret)
{
    ERR_clear_error();
    SSL *ssl NSM_CLEANUP(ssl_freep) = NULL;
    NSM_TRY(make_ssl(tls, fd, host, &ssl));
    const int64_t end_ns = nsm_now_ns() + timeout_ns;
    for (;;) {
        ERR_clear_error();
        const int status = SSL_connect(ssl);
        if (status == 1)
            break;
        const int want = SSL_get_error(ssl, status);
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
            return handshake_error(tls, ssl);
        const int64_t left_ns = end_ns - nsm_now_ns();
        NSM_TRY_WRAP(nsm_wait_fd(ctx, fd, want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
                                 left_ns > 0 ? left_ns : 0, NULL),
                     "TLS handshake (a server without TLS is redis://)");
    }
    *ret = NSM_STEAL(ssl);
    return NULL;
}

/* Turns what SSL_read or SSL_write returned into what recv or send would have. */
static ssize_t outcome(SSL *ssl, int status, short *ret_events)
{
    if (status > 0)
        return status;
    switch (SSL_get_error(ssl, status)) {
    case SSL_ERROR_WANT_READ:
        *ret_events = POLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        *ret_events = POLLOUT;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (errno)
            return -1;
        return 0;
    default:
        /* Also a connection that ends without TLS's own goodbye, which a killed server leaves. */
        ERR_clear_error();
        errno = ECONNRESET;
        return -1;
    }
}

static int chunk(size_t len)
{
    return len > INT32_MAX ? INT32_MAX : (int)len;
}

ssize_t nsm_redis_tls_read(SSL *ssl, void *bytes, size_t len, short *ret_events)
{
    ERR_clear_error();
    errno = 0;
    return outcome(ssl, SSL_read(ssl, bytes, chunk(len)), ret_events);
}

ssize_t nsm_redis_tls_write(SSL *ssl, const void *bytes, size_t len, short *ret_events)
{
    ERR_clear_error();
    errno = 0;
    return outcome(ssl, SSL_write(ssl, bytes, chunk(len)), ret_events);
}
