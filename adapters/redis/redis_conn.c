/*
 * Commands are encoded here and not by hiredis, which makes a string on the heap for each: they go
 * straight into the buffer that is sent.
 */
#include "adapters/redis/redis_conn.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "adapters/redis/redis_resolve.h"
#include "adapters/redis/redis_router.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#define CHUNK_BYTES ((size_t)64 << 10)
/* Two of the largest values that there are, and their commands. */
#define MAX_OUT_BYTES ((size_t)2 << 30)
#define MAX_IN_BYTES  ((size_t)2 << 30)
/* A buffer that grew larger for a large value is given back. */
#define KEEP_BYTES ((size_t)8 << 20)

/* ---- the socket ---- */

static ssize_t read_some(struct nsm_redis_conn *conn, char *bytes, size_t len, short *ret_events)
{
    *ret_events = POLLIN;
    if (conn->ssl)
        return nsm_redis_tls_read(conn->ssl, bytes, len, ret_events);
    return recv(conn->fd, bytes, len, 0);
}

static ssize_t write_some(struct nsm_redis_conn *conn, const char *bytes, size_t len,
                          short *ret_events)
{
    *ret_events = POLLOUT;
    if (conn->ssl)
        return nsm_redis_tls_write(conn->ssl, bytes, len, ret_events);
    return send(conn->fd, bytes, len, MSG_NOSIGNAL);
}

static bool is_would_block(int error)
{
    return error == EAGAIN || error == EINTR;
}

static struct nsm_error *lost(void)
{
    return nsm_error_new(NSM_E_UNAVAILABLE, "connection lost: %m");
}

static struct nsm_error *closed(void)
{
    return nsm_error_new(NSM_E_UNAVAILABLE, "the server closed the connection");
}

/* A server that says nothing for so long may say something to the next connection. */
static struct nsm_error *wait_for(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                  short events, short *ret_revents)
{
    struct nsm_error *const error =
        nsm_wait_fd(ctx, conn->fd, events, conn->timeout_ns, ret_revents);
    if (error)
        conn->is_broken = true;
    return error;
}

/* ---- sending ---- */

/* Takes what has come without waiting, so that the server can go on sending. */
static struct nsm_error *drain(struct nsm_redis_conn *conn, bool *ret_is_end)
{
    *ret_is_end = false;
    for (;;) {
        short events;
        const ssize_t n = read_some(conn, conn->chunk, CHUNK_BYTES, &events);
        if (n > 0) {
            nsm_buf_append(&conn->in, conn->chunk, (size_t)n);
            NSM_TRY(nsm_buf_error(&conn->in));
            continue;
        }
        *ret_is_end = n == 0;
        return n == 0 || is_would_block(errno) ? NULL : lost();
    }
}

size_t nsm_redis_unsent(const struct nsm_redis_conn *conn)
{
    return conn->out.len - conn->out_pos;
}

static void trim(struct nsm_buf *buf)
{
    nsm_buf_clear(buf);
    if (buf->cap > KEEP_BYTES) {
        const size_t max_bytes = buf->max_bytes;
        nsm_buf_release(buf);
        *buf = NSM_BUF_INIT(max_bytes);
    }
}

/* When sending ends early: what the server said before it closed the connection ("max number of
 * clients reached") tells more than the broken pipe does. Consumes `error`. */
static struct nsm_error *last_words(struct nsm_redis_conn *conn, struct nsm_error *error)
{
    bool is_end;
    nsm_error_ignore(drain(conn, &is_end));
    conn->is_broken = true;
    if (conn->in.len > conn->in_pos && conn->in.ptr[conn->in_pos] == '-') {
        nsm_error_free(error);
        struct nsm_str text = nsm_str_skip(nsm_buf_view(&conn->in), conn->in_pos + 1);
        const char *const end = memchr(text.ptr, '\r', text.len);
        text.len = end ? (size_t)(end - text.ptr) : text.len;
        const struct nsm_redis_reply reply = {.type = NSM_REDIS_ERROR, .str = text};
        return nsm_redis_reply_error(&reply, "server", (struct nsm_str){0});
    }
    return error;
}

/* Waits until something can be sent, and takes what comes meanwhile. */
static struct nsm_error *wait_to_send(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                      short events)
{
    short revents;
    NSM_TRY(wait_for(conn, ctx, (short)(events | POLLIN), &revents));
    if (!(revents & (POLLIN | POLLHUP | POLLERR)))
        return NULL;
    bool is_end;
    struct nsm_error *const error = drain(conn, &is_end);
    if (error || is_end || (revents & (POLLHUP | POLLERR)))
        return last_words(conn, error ? error : closed());
    return NULL;
}

struct nsm_error *nsm_redis_flush(struct nsm_redis_conn *conn, struct nsm_context *ctx)
{
    if (conn->router)
        return nsm_redis_router_flush(conn, ctx);
    struct nsm_error *const over = nsm_buf_error(&conn->out);
    if (over) {
        conn->is_broken = true;
        return over;
    }
    while (nsm_redis_unsent(conn)) {
        short events;
        const ssize_t n =
            write_some(conn, conn->out.ptr + conn->out_pos, nsm_redis_unsent(conn), &events);
        if (n > 0) {
            conn->out_pos += (size_t)n;
            continue;
        }
        if (n == 0 || !is_would_block(errno))
            return last_words(conn, n == 0 ? closed() : lost());
        NSM_TRY(wait_to_send(conn, ctx, events));
    }
    trim(&conn->out);
    conn->out_pos = 0;
    return NULL;
}

/* ---- commands ---- */

/* "*3\r\n", "$5\r\n": a sign, digits and the end of a line. */
#define HEADER_BYTES (1 + 20 + 2)

static char *put(char *at, const void *bytes, size_t len)
{
    if (len)
        memcpy(at, bytes, len);
    return at + len;
}

static char *put_header(char *at, char sign, size_t n)
{
    *at++ = sign;
    at += nsm_format_u64(n, at);
    return put(at, "\r\n", 2);
}

void nsm_redis_begin(struct nsm_redis_conn *conn, size_t n_args)
{
    char *const begin = nsm_buf_reserve(&conn->out, HEADER_BYTES);
    if (begin)
        nsm_buf_commit(&conn->out, (size_t)(put_header(begin, '*', n_args) - begin));
    conn->n_pending++;
}

void nsm_redis_arg_joined(struct nsm_redis_conn *conn, struct nsm_str head, struct nsm_str tail)
{
    const size_t len = head.len + tail.len;
    char *const begin = nsm_buf_reserve(&conn->out, HEADER_BYTES + len + 2);
    if (!begin)
        return;
    char *at = put_header(begin, '$', len);
    at = put(at, head.ptr, head.len);
    at = put(at, tail.ptr, tail.len);
    at = put(at, "\r\n", 2);
    nsm_buf_commit(&conn->out, (size_t)(at - begin));
}

void nsm_redis_arg(struct nsm_redis_conn *conn, struct nsm_str arg)
{
    nsm_redis_arg_joined(conn, arg, (struct nsm_str){0});
}

void nsm_redis_arg_cstr(struct nsm_redis_conn *conn, const char *arg)
{
    nsm_redis_arg(conn, nsm_str_of(arg));
}

void nsm_redis_arg_i64(struct nsm_redis_conn *conn, int64_t arg)
{
    char text[20];
    nsm_redis_arg(conn, (struct nsm_str){.ptr = text, .len = nsm_format_i64(arg, text)});
}

void nsm_redis_command(struct nsm_redis_conn *conn, const char *command, size_t n_args,
                       const struct nsm_str *args)
{
    nsm_redis_begin(conn, n_args + 1);
    nsm_redis_arg_cstr(conn, command);
    for (size_t index = 0; index < n_args; index++)
        nsm_redis_arg(conn, args[index]);
}

/* ---- replies ---- */

/* Gives the parser its next bytes: those that came while we sent, else from the socket. */
static struct nsm_error *feed(struct nsm_redis_conn *conn, struct nsm_context *ctx)
{
    const size_t n_left = conn->in.len - conn->in_pos;
    if (n_left) {
        const size_t n = n_left < CHUNK_BYTES ? n_left : CHUNK_BYTES;
        const struct nsm_str bytes = {.ptr = conn->in.ptr + conn->in_pos, .len = n};
        NSM_TRY(nsm_redis_parser_feed(conn->parser, bytes));
        conn->in_pos += n;
        if (conn->in_pos == conn->in.len) {
            trim(&conn->in);
            conn->in_pos = 0;
        }
        return NULL;
    }
    for (;;) {
        short events;
        const ssize_t n = read_some(conn, conn->chunk, CHUNK_BYTES, &events);
        if (n > 0)
            return nsm_redis_parser_feed(conn->parser,
                                         (struct nsm_str){.ptr = conn->chunk, .len = (size_t)n});
        if (n == 0)
            return closed();
        if (!is_would_block(errno))
            return lost();
        NSM_TRY(wait_for(conn, ctx, events, NULL));
    }
}

static struct nsm_error *receive(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                 struct nsm_arena *arena, const struct nsm_redis_reply **ret)
{
    const struct nsm_redis_reply *reply;
    for (;;) {
        NSM_TRY(nsm_redis_parser_next(conn->parser, arena, &reply));
        if (reply)
            break;
        NSM_TRY(feed(conn, ctx));
    }
    *ret = reply;
    return NULL;
}

struct nsm_error *nsm_redis_receive(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                    struct nsm_arena *arena, const struct nsm_redis_reply **ret)
{
    assert(conn->n_pending > 0 && nsm_redis_unsent(conn) == 0);
    struct nsm_error *const error = conn->router ? nsm_redis_router_receive(conn, ctx, arena, ret)
                                                 : receive(conn, ctx, arena, ret);
    if (error) {
        conn->is_broken = true;
        return error;
    }
    conn->n_pending--;
    return NULL;
}

struct nsm_error *nsm_redis_call(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                 struct nsm_arena *arena, const char *command,
                                 const struct nsm_redis_reply **ret)
{
    assert(conn->n_pending == 1);
    const struct nsm_redis_reply *reply;
    NSM_TRY(nsm_redis_flush(conn, ctx));
    NSM_TRY(nsm_redis_receive(conn, ctx, arena, &reply));
    if (reply->type == NSM_REDIS_ERROR)
        return nsm_redis_reply_error(reply, command, (struct nsm_str){0});
    *ret = reply;
    return NULL;
}

/* ---- connecting ---- */

static void set_socket_options(int fd)
{
    /* Helpful, not needed: a socket without them works too. */
    const int on = 1;
    const int idle_s = 30;
    const int interval_s = 10;
    const int n_probes = 3;
    const unsigned unacked_ms = 60000;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n_probes, sizeof(n_probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
}

static struct nsm_error *connect_error(int error)
{
    errno = error;
    if (error == EACCES || error == EPERM)
        return nsm_error_new(NSM_E_AUTH, "connect: %m");
    return nsm_error_new(NSM_E_UNAVAILABLE, "connect: %m");
}

static void close_fdp(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int steal_fd(int *fd)
{
    const int stolen = *fd;
    *fd = -1;
    return stolen;
}

static struct nsm_error *connect_to(struct nsm_context *ctx, const struct sockaddr *address,
                                    socklen_t address_len, int64_t timeout_ns, int *ret_fd)
{
    int fd NSM_CLEANUP(close_fdp) =
        socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nsm_error_new(NSM_E_IO, "socket: %m");
    if (address->sa_family != AF_UNIX)
        set_socket_options(fd);
    int status = connect(fd, address, address_len) == 0 ? 0 : errno;
    if (status == EINPROGRESS || status == EINTR) {
        NSM_TRY_WRAP(nsm_wait_fd(ctx, fd, POLLOUT, timeout_ns, NULL), "connect");
        socklen_t len = sizeof(status);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &status, &len) != 0)
            status = errno;
    }
    if (status)
        return connect_error(status);
    *ret_fd = steal_fd(&fd);
    return NULL;
}

static struct nsm_error *connect_unix(const struct nsm_redis_conn_options *options,
                                      struct nsm_context *ctx, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t len = strlen(options->url->socket_path);
    if (len >= sizeof(address.sun_path))
        return nsm_error_new(NSM_E_INVALID, "the path of the socket is longer than %zu bytes",
                             sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, options->url->socket_path, len);
    return connect_to(ctx, (const struct sockaddr *)&address, sizeof(address),
                      options->connect_timeout_ns, ret_fd);
}

static void free_addressesp(struct addrinfo **at)
{
    if (*at)
        freeaddrinfo(*at);
}

/* Tries all addresses of the host; the last error is told, as all of them mean the same. */
static struct nsm_error *connect_tcp(const struct nsm_redis_conn_options *options,
                                     struct nsm_context *ctx, int *ret_fd)
{
    struct addrinfo *addresses NSM_CLEANUP(free_addressesp) = NULL;
    NSM_TRY(nsm_redis_resolve(ctx, options->url->host, options->url->port,
                              options->connect_timeout_ns, &addresses));
    struct nsm_error *error NSM_CLEANUP(nsm_error_freep) = NULL;
    for (const struct addrinfo *at = addresses; at; at = at->ai_next) {
        nsm_error_ignore(error);
        error = connect_to(ctx, at->ai_addr, at->ai_addrlen, options->connect_timeout_ns, ret_fd);
        if (!error || nsm_error_is(error, NSM_E_CANCELED))
            return NSM_STEAL(error);
    }
    if (!error)
        return nsm_error_new(NSM_E_NOTFOUND, "the host has no address");
    return NSM_STEAL(error);
}

static void queue_auth(struct nsm_redis_conn *conn, const struct nsm_redis_conn_options *options)
{
    const char *const user = options->url->user;
    if (user) {
        NSM_REDIS_COMMAND(conn, "AUTH", nsm_str_of(user),
                          nsm_str_of(options->password ? options->password : ""));
    } else {
        NSM_REDIS_COMMAND(conn, "AUTH", nsm_str_of(options->password));
    }
}

/* AUTH, SELECT and PING in one round trip. PING finds out what a server without them would refuse
 * only later: a missing password, or that it is still loading its data. */
static struct nsm_error *handshake(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                   const struct nsm_redis_conn_options *options)
{
    const bool has_auth = options->url->user || options->password;
    if (has_auth)
        queue_auth(conn, options);
    NSM_REDIS_COMMAND(conn, "PING", );
    if (options->url->db) {
        nsm_redis_begin(conn, 2);
        nsm_redis_arg_cstr(conn, "SELECT");
        nsm_redis_arg_i64(conn, options->url->db);
    }
    NSM_TRY(nsm_redis_flush(conn, ctx));
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const char *command = has_auth ? "AUTH" : "PING";
    while (conn->n_pending) {
        const struct nsm_redis_reply *reply;
        NSM_TRY(nsm_redis_receive(conn, ctx, &arena, &reply));
        /* A user may well have no right to PING. */
        const bool is_excused =
            strcmp(command, "PING") == 0 && nsm_redis_reply_is_error(reply, "NOPERM");
        if (reply->type == NSM_REDIS_ERROR && !is_excused)
            return nsm_redis_reply_error(reply, command, (struct nsm_str){0});
        command = strcmp(command, "AUTH") == 0 ? "PING" : "SELECT";
    }
    return NULL;
}

struct nsm_redis_conn *nsm_redis_conn_new(void)
{
    struct nsm_redis_conn *const conn = nsm_xcalloc(1, sizeof(*conn));
    conn->fd = -1;
    conn->out = NSM_BUF_INIT(MAX_OUT_BYTES);
    conn->in = NSM_BUF_INIT(MAX_IN_BYTES);
    return conn;
}

static struct nsm_error *open_conn(const struct nsm_redis_conn_options *options,
                                   struct nsm_context *ctx, struct nsm_redis_conn **ret)
{
    struct nsm_redis_conn *conn NSM_CLEANUP(nsm_redis_conn_freep) = nsm_redis_conn_new();
    conn->parser = nsm_redis_parser_new();
    conn->chunk = nsm_xmalloc(CHUNK_BYTES);
    conn->timeout_ns = options->timeout_ns;
    NSM_TRY(options->url->socket_path ? connect_unix(options, ctx, &conn->fd)
                                      : connect_tcp(options, ctx, &conn->fd));
    if (options->tls)
        NSM_TRY(nsm_redis_tls_connect(options->tls, ctx, conn->fd, options->url->host,
                                      options->connect_timeout_ns, &conn->ssl));
    NSM_TRY(handshake(conn, ctx, options));
    *ret = NSM_STEAL(conn);
    return NULL;
}

struct nsm_error *nsm_redis_conn_open(const struct nsm_redis_conn_options *options,
                                      struct nsm_context *ctx, struct nsm_redis_conn **ret)
{
    char *where NSM_CLEANUP(nsm_freep) = nsm_redis_url_where(options->url);
    return nsm_error_wrap(open_conn(options, ctx, ret), "redis at %s", where);
}

void nsm_redis_conn_free(struct nsm_redis_conn *conn)
{
    if (!conn)
        return;
    nsm_redis_router_free(conn->router);
    SSL_free(conn->ssl);
    if (conn->fd >= 0)
        close(conn->fd);
    nsm_redis_parser_free(conn->parser);
    nsm_buf_release(&conn->out);
    nsm_buf_release(&conn->in);
    free(conn->chunk);
    free(conn);
}

bool nsm_redis_conn_is_idle(const struct nsm_redis_conn *conn)
{
    if (conn->is_broken || conn->n_pending || conn->in.len || nsm_redis_unsent(conn))
        return false;
    if (conn->router)
        return nsm_redis_router_is_idle(conn->router);
    char byte;
    const ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    /* Bytes that nobody asked for are a goodbye, but for TLS, which has records of its own. */
    return (n < 0 && is_would_block(errno)) || (n > 0 && conn->ssl);
}
