/* Ports are taken by asking the kernel for a free one; another process may be faster, so starting
 * is tried several times. */
#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define N_TRIES     20
#define START_MS    10000
#define POLL_US     5000
#define MAX_ARGS    64
#define PATH_LENGTH 128

static uint16_t free_port(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *format, ...)
{
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    /* Tests run one thread when they start a server. */
    assert_int_equal(system(command), 0); /* NOLINT(concurrency-mt-unsafe,cert-env33-c) */
}

static void make_certificates(const char *dir)
{
    shell("cd %s && "
          "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 "
          "-subj '/CN=Test CA' >openssl.log 2>&1 && "
          "openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.crt -days 2 "
          "-subj '/CN=Other CA' >>openssl.log 2>&1 && "
          "openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr "
          "-subj '/CN=redis' >>openssl.log 2>&1 && "
          "printf 'subjectAltName=IP:127.0.0.1' >server.ext && "
          "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 "
          "-extfile server.ext -out server.crt >>openssl.log 2>&1",
          dir);
}

struct arguments {
    char *items[MAX_ARGS + 1]; /* point into texts */
    char texts[MAX_ARGS][PATH_LENGTH];
    size_t n_items;
};

static void add(struct arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct arguments *arguments, const char *format, ...)
{
    assert_true(arguments->n_items < MAX_ARGS);
    char *const text = arguments->texts[arguments->n_items];
    va_list args;
    va_start(args, format);
    vsnprintf(text, PATH_LENGTH, format, args);
    va_end(args);
    arguments->items[arguments->n_items++] = text;
}

static void add_tls(struct arguments *arguments, const struct redis_server *server)
{
    add(arguments, "--tls-port");
    add(arguments, "%u", (unsigned)server->tls_port);
    add(arguments, "--tls-cert-file");
    add(arguments, "%s/server.crt", server->dir);
    add(arguments, "--tls-key-file");
    add(arguments, "%s/server.key", server->dir);
    add(arguments, "--tls-ca-cert-file");
    add(arguments, "%s/ca.crt", server->dir);
    add(arguments, "--tls-auth-clients");
    add(arguments, server->flags & REDIS_SERVER_WANTS_CLIENT_CERT ? "yes" : "no");
}

static void spawn(struct redis_server *server)
{
    struct arguments arguments = {0};
    add(&arguments, "redis-server");
    if (server->flags & REDIS_SERVER_SENTINEL) {
        add(&arguments, "%s/sentinel.conf", server->dir);
        add(&arguments, "--sentinel");
    } else {
        add(&arguments, "--save");
        add(&arguments, "%s", "");
    }
    add(&arguments, "--port");
    add(&arguments, "%u", (unsigned)server->port);
    add(&arguments, "--bind");
    add(&arguments, "127.0.0.1");
    add(&arguments, "--dir");
    add(&arguments, "%s", server->dir);
    if (server->flags & REDIS_SERVER_TLS)
        add_tls(&arguments, server);
    for (const char *const *at = server->args; at && *at; at++)
        add(&arguments, "%s", *at);

    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char log_path[PATH_LENGTH];
    snprintf(log_path, sizeof(log_path), "%s/log", server->dir);
    const int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(arguments.items[0], arguments.items);
    _exit(127);
}

/* Whether it answers before it ends or time is over. */
static bool wait_until_up(struct redis_server *server)
{
    for (int waited_us = 0; waited_us < START_MS * 1000; waited_us += POLL_US) {
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            return false;
        }
        redisContext *const client = redisConnect("127.0.0.1", server->port);
        redisReply *const reply = client && !client->err ? redisCommand(client, "PING") : NULL;
        const bool is_up = reply != NULL;
        if (reply)
            freeReplyObject(reply);
        if (client)
            redisFree(client);
        if (is_up)
            return true;
        const struct timespec pause = {.tv_nsec = POLL_US * 1000L};
        nanosleep(&pause, NULL);
    }
    return false;
}

void redis_server_start(struct redis_server *server, unsigned flags, const char *const *args)
{
    *server = (struct redis_server){.flags = flags, .args = args};
    snprintf(server->dir, sizeof(server->dir), "/tmp/nsm-redis-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    if (flags & REDIS_SERVER_TLS)
        make_certificates(server->dir);
    if (flags & REDIS_SERVER_SENTINEL)
        shell("touch %s/sentinel.conf", server->dir);
    for (int n = 0; n < N_TRIES; n++) {
        server->port = free_port();
        server->tls_port = flags & REDIS_SERVER_TLS ? free_port() : 0;
        spawn(server);
        if (wait_until_up(server))
            return;
        redis_server_kill(server);
    }
    fail_msg("redis-server does not start: see %s/log", server->dir);
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void redis_server_revive(struct redis_server *server)
{
    spawn(server);
    assert_true(wait_until_up(server));
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    if (server->dir[0])
        shell("rm -rf %s", server->dir);
    server->dir[0] = '\0';
}

redisContext *redis_server_client(const struct redis_server *server)
{
    redisContext *const client = redisConnect("127.0.0.1", server->port);
    assert_non_null(client);
    assert_int_equal(client->err, 0);
    return client;
}

long long redis_do(redisContext *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *const reply = redisvCommand(client, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    const long long result =
        reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->len;
    freeReplyObject(reply);
    return result;
}
