/*
 * The one place where the server's words and libpq's become our errors: the SQLSTATE decides the
 * code, the message stays the server's, on one line. DETAIL is left out where it quotes values of
 * rows (classes 22 and 23).
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_ERROR_H
#define NSM_ADAPTERS_POSTGRES_PG_ERROR_H

#include <libpq-fe.h>

#include "migrate/base/buf.h"

/* `sqlstate` of five characters, or NULL when there is none: then the connection is gone. */
enum nsm_code nsm_pg_code(const char *sqlstate);

/* The error of a failed result; does not free it. */
struct nsm_error *nsm_pg_result_error(const PGresult *result) NSM_MUST_USE;

/* The error of a connection that failed while it was in use. */
struct nsm_error *nsm_pg_lost_error(const PGconn *pq) NSM_MUST_USE;

/* The error of a connection that could not be made; `place` is "host:port/database". The
 * connection's verbosity must be PQERRORS_VERBOSE, so that its text holds the SQLSTATE. */
struct nsm_error *nsm_pg_connect_error(const PGconn *pq, const char *place) NSM_MUST_USE;

/* The same from the text, for tests. */
struct nsm_error *nsm_pg_connect_text_error(const char *text, const char *place) NSM_MUST_USE;

/* The SQLSTATE with which the server refused a connection, to `ret_state` of 6 bytes; "" when it said
 * nothing. Verbose as above. */
void nsm_pg_connect_state(const PGconn *pq, char *ret_state);

/* Whether a result failed with this SQLSTATE. */
bool nsm_pg_has_state(const PGresult *result, const char *sqlstate);

/* Appends text of several lines as one: runs of blanks and line ends become one space; no period
 * at the end. */
void nsm_pg_one_line(struct nsm_buf *out, const char *text);

#endif
