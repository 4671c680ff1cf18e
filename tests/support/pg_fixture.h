/*
 * What the tests of the postgres adapter share: one server per test program, two databases per test,
 * and assertions with a message.
 */
#ifndef NSM_TESTS_SUPPORT_PG_FIXTURE_H
#define NSM_TESTS_SUPPORT_PG_FIXTURE_H

#include "migrate/base/error.h"
#include "tests/support/pg_server.h"

struct pg_fixture {
    struct pg_server *server;
    char from[32], to[32]; /* databases */
    char *from_url, *to_url;
};

/* For cmocka_run_group_tests: the server. */
int pg_fixture_group_setup(void **state);
int pg_fixture_group_teardown(void **state);
/* For cmocka_unit_test_setup_teardown: *state is then a struct pg_fixture *. */
int pg_fixture_setup(void **state);
int pg_fixture_teardown(void **state);

/* Ends the test with the error's text. Frees it. */
void pg_check_ok(struct nsm_error *error);
/* Ends the test unless the error has this code, and its text holds `part`. Frees it. */
void pg_check_error(struct nsm_error *error, enum nsm_code code, const char *part);
void pg_check_value(const struct pg_fixture *fixture, const char *database, const char *sql,
                    const char *expected);
/* The query, in which every % is replaced by a schema's name, gives the same in both databases, and
 * not nothing. */
void pg_check_same(const struct pg_fixture *fixture, const char *sql, const char *from_schema,
                   const char *to_schema);

#endif
