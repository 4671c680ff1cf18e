/*
 * A Redis of a test's own: on a free port of the loopback and a Unix socket, in a folder that goes
 * away with it, without persistence. It dies with the test, whatever becomes of that.
 *
 * Threads: one thread at a time. Failures are assertions of cmocka.
 */
#ifndef NSM_TESTS_REDIS_SERVER_H
#define NSM_TESTS_REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum redis_server_flag {
    REDIS_SERVER_TLS = 1 << 0, /* also listens with TLS, with certificates in `dir` */
    REDIS_SERVER_WANTS_CLIENT_CERT = 1 << 1,
    REDIS_SERVER_SENTINEL = 1 << 2, /* a Sentinel, that watches nothing yet */
};

struct redis_server {
    char dir[64];
    uint16_t port, tls_port;
    pid_t pid;
    unsigned flags;
    const char *const *args; /* as they were given */
};

/* `args`: further options of redis-server, "--name", "value", ..., NULL; or NULL. They must live as
 * long as the server. */
void redis_server_start(struct redis_server *server, unsigned flags, const char *const *args);
/* Ends it and removes the folder. */
void redis_server_stop(struct redis_server *server);
/* Ends it, hard; redis_server_revive() starts it again on the same port, empty. */
void redis_server_kill(struct redis_server *server);
void redis_server_revive(struct redis_server *server);

/* A blocking client that is not ours; the caller frees it with redisFree(). */
redisContext *redis_server_client(const struct redis_server *server);
/* Runs a command on a client, as redisCommand() does; asserts that it is no error; the reply is
 * freed. Returns its integer, or the length of its string. */
long long redis_do(redisContext *client, const char *format, ...);

#endif
