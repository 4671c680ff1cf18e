/*
 * A PostgreSQL server of a test's own: in a temporary directory, on a free port of 127.0.0.1, run by
 * an unprivileged user, gone with the test.
 *
 * Every failure here ends the program with a message: a test without its server is no test.
 */
#ifndef NSM_TESTS_SUPPORT_PG_SERVER_H
#define NSM_TESTS_SUPPORT_PG_SERVER_H

#include "migrate/base/cleanup.h"

#include <stdbool.h>

struct pg_server;

/* A new, running server; superuser "postgres" without a password, role "app" with password
 * "secret" that must be given. */
struct pg_server *pg_server_new(void) NSM_MUST_USE NSM_NONNULL;
/* Stops it and removes its files; accepts NULL. */
void pg_server_free(struct pg_server *server);

void pg_server_start(struct pg_server *server);
void pg_server_stop(struct pg_server *server); /* sessions are ended, all is written */
void pg_server_kill(struct pg_server *server); /* as in a crash */

/* Turns TLS on, with a certificate for localhost and 127.0.0.1 that only itself vouches for, and
 * restarts; returns the certificate's path, which belongs to the server. */
const char *pg_server_use_tls(struct pg_server *server);

int pg_server_port(const struct pg_server *server);
/* The installed binaries, "/usr/lib/postgresql/15/bin". */
const char *pg_server_bin(const struct pg_server *server);
/* "postgresql://postgres@127.0.0.1:PORT/DATABASE"; the caller frees. */
char *pg_server_url(const struct pg_server *server, const char *database) NSM_MUST_USE NSM_NONNULL;

/* Runs statements as superuser; a failing one ends the program. */
void pg_server_exec(const struct pg_server *server, const char *database, const char *sql);
/* The first column of the first row, "" for none; the caller frees. */
char *pg_server_value(const struct pg_server *server, const char *database, const char *sql)
    NSM_MUST_USE NSM_NONNULL;

#endif
