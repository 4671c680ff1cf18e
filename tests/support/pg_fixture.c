/*
 * Databases are made anew for each test on one server, because a server takes seconds to make.
 */
#include "tests/support/pg_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Needs what is above. */
#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"

/* The one server of a test program, made before its first test. */
struct group {
    struct pg_server *server;
    unsigned n_tests;
};

int pg_fixture_group_setup(void **state)
{
    struct group *const group = nsm_xcalloc(1, sizeof(*group));
    group->server = pg_server_new();
    *state = group;
    return 0;
}

int pg_fixture_group_teardown(void **state)
{
    struct group *const group = *state;
    pg_server_free(group->server);
    free(group);
    return 0;
}

static void create(const struct pg_fixture *fixture, const char *database)
{
    char *sql NSM_CLEANUP(nsm_freep) = nsm_xasprintf("CREATE DATABASE %s", database);
    pg_server_exec(fixture->server, "postgres", sql);
}

int pg_fixture_setup(void **state)
{
    struct group *const group = *state;
    struct pg_fixture *const fixture = nsm_xcalloc(1, sizeof(*fixture));
    fixture->server = group->server;
    pg_server_start(group->server);
    group->n_tests++;
    (void)snprintf(fixture->from, sizeof(fixture->from), "from%u", group->n_tests);
    (void)snprintf(fixture->to, sizeof(fixture->to), "to%u", group->n_tests);
    create(fixture, fixture->from);
    create(fixture, fixture->to);
    fixture->from_url = pg_server_url(fixture->server, fixture->from);
    fixture->to_url = pg_server_url(fixture->server, fixture->to);
    *state = fixture;
    return 0;
}

int pg_fixture_teardown(void **state)
{
    struct pg_fixture *const fixture = *state;
    free(fixture->from_url);
    free(fixture->to_url);
    free(fixture);
    return 0;
}

void pg_check_ok(struct nsm_error *error)
{
    if (!error)
        return;
    char *const text = nsm_error_text(error);
    nsm_error_free(error);
    print_error("%s\n", text);
    free(text);
    fail();
}

void pg_check_error(struct nsm_error *error, enum nsm_code code, const char *part)
{
    assert_non_null(error);
    char *const text = nsm_error_text(error);
    const enum nsm_code found = nsm_error_code(error);
    nsm_error_free(error);
    const bool is_good = found == code && strstr(text, part);
    if (!is_good)
        print_error("expected %s with \"%s\", found %s: %s\n", nsm_code_name(code), part,
                    nsm_code_name(found), text);
    free(text);
    assert_true(is_good);
}

void pg_check_value(const struct pg_fixture *fixture, const char *database, const char *sql,
                    const char *expected)
{
    char *value NSM_CLEANUP(nsm_freep) = pg_server_value(fixture->server, database, sql);
    assert_string_equal(value, expected);
}

static char *value_of(const struct pg_fixture *fixture, const char *database, const char *sql,
                      const char *schema)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (const char *at = sql; *at; at++) {
        if (*at == '%')
            nsm_buf_append_cstr(&text, schema);
        else
            nsm_buf_append_char(&text, *at);
    }
    return pg_server_value(fixture->server, database, text.ptr);
}

void pg_check_same(const struct pg_fixture *fixture, const char *sql, const char *from_schema,
                   const char *to_schema)
{
    char *from NSM_CLEANUP(nsm_freep) = value_of(fixture, fixture->from, sql, from_schema);
    char *to NSM_CLEANUP(nsm_freep) = value_of(fixture, fixture->to, sql, to_schema);
    assert_string_equal(from, to);
    assert_string_not_equal(from, "");
}
