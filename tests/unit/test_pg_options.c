/* Options, SQLSTATEs and messages: what an operator reads when something is wrong, and never a
 * secret. */
#include "adapters/postgres/pg_conn.h"
#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_types.h"
#include "adapters/postgres/postgres.h"
#include "migrate/engine/record/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Needs what is above. */
#include <cmocka.h>

#include "migrate/base/alloc.h"

static void check_text(struct nsm_error *error, enum nsm_code code, const char *part)
{
    assert_non_null(error);
    char *text NSM_CLEANUP(nsm_freep) = nsm_error_text(error);
    if (nsm_error_code(error) != code || !strstr(text, part))
        print_error("%s: %s\n", nsm_code_name(nsm_error_code(error)), text);
    assert_int_equal(nsm_error_code(error), code);
    assert_non_null(strstr(text, part));
    assert_null(strstr(text, "sesame"));
    assert_null(strchr(text, '\n'));
    nsm_error_free(error);
}

static struct nsm_error *open_url(const char *url, char **ret_place)
{
    struct nsm_settings *settings NSM_CLEANUP(nsm_settings_freep) =
        nsm_settings_new(nsm_adapter_postgres.backend_options);
    assert_null(nsm_settings_set(settings, "url", nsm_str_of(url)));
    assert_null(nsm_settings_finish(settings));
    struct nsm_pg_backend backend = {
        .base = {.adapter = &nsm_adapter_postgres, .name = "b", .settings = settings},
    };
    NSM_TRY(nsm_adapter_postgres.open(&backend.base));
    *ret_place = nsm_xstrdup(backend.place);
    nsm_adapter_postgres.close(&backend.base);
    return NULL;
}

static void test_good_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *place;
    } urls[] = {
        {"postgresql://joe:sesame@db.example:5433/app?sslmode=require", "db.example:5433/app"},
        {"postgres://h/app", "h:5432/app"},
        {"host=h port=1 dbname=d password=sesame", "h:1/d"},
        {"postgresql://a:1,b:2/app", "a,b:1,2/app"},
        {"postgresql:///app?host=/run/postgresql", "/run/postgresql:5432/app"},
        {"dbname=d", "local socket:5432/d"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(urls); i++) {
        char *place NSM_CLEANUP(nsm_freep) = NULL;
        assert_null(open_url(urls[i].url, &place));
        assert_string_equal(place, urls[i].place);
    }
}

static void test_bad_urls(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgresql://joe:sesame%zz@h/app",
        "postgresql://joe:sesame@h/app?sslmod=x@y",
        "postgresql://joe:sesame/x@h/app",
        "host=h password=sesame joe",
        "host=h password=x sesame=y",
        "postgresql://h:70000/app",
        "postgresql://h:0/app",
        "mysql://joe:sesame@h/app",
        "postgresql://h/app?connect_timeout=x",
        "postgresql://h/app?connect_timeout=999999",
    };
    for (size_t i = 0; i < NSM_COUNT_OF(urls); i++) {
        char *place NSM_CLEANUP(nsm_freep) = NULL;
        check_text(open_url(urls[i], &place), NSM_E_INVALID, "option url: ");
    }
    char *place NSM_CLEANUP(nsm_freep) = NULL;
    check_text(open_url("postgresql://joe:sesame@h/app?sslmod=require", &place), NSM_E_INVALID,
               "sslmod");
}

static void test_states(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        enum nsm_code code;
    } states[] = {
        {NULL, NSM_E_UNAVAILABLE},    {"08006", NSM_E_UNAVAILABLE}, {"57P01", NSM_E_UNAVAILABLE},
        {"40001", NSM_E_UNAVAILABLE}, {"40P01", NSM_E_UNAVAILABLE}, {"53300", NSM_E_UNAVAILABLE},
        {"55P03", NSM_E_UNAVAILABLE}, {"28P01", NSM_E_AUTH},        {"42501", NSM_E_AUTH},
        {"25006", NSM_E_AUTH},        {"3D000", NSM_E_NOTFOUND},    {"42P01", NSM_E_NOTFOUND},
        {"23505", NSM_E_CONFLICT},    {"42P07", NSM_E_CONFLICT},    {"2BP01", NSM_E_CONFLICT},
        {"53100", NSM_E_IO},          {"53200", NSM_E_IO},          {"22P02", NSM_E_INVALID},
        {"42601", NSM_E_INVALID},     {"0A000", NSM_E_UNSUPPORTED}, {"XX001", NSM_E_CORRUPT},
        {"XX000", NSM_E_INTERNAL},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(states); i++)
        assert_int_equal(nsm_pg_code(states[i].sqlstate), states[i].code);
}

static void test_connect_messages(void **state)
{
    (void)state;
    check_text(
        nsm_pg_connect_text_error(
            "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password "
            "authentication failed for user \"joe\"\nLOCATION:  auth_failed, auth.c:331\n",
            "h:5432/d"),
        NSM_E_AUTH,
        "connect to h:5432/d: password authentication failed for user \"joe\"; check user "
        "and password");
    /* The words of another language; the SQLSTATE is the same. */
    check_text(nsm_pg_connect_text_error("Verbindung fehlgeschlagen: FATAL:  3D000: Datenbank "
                                         "\"x\" existiert nicht\nORT:  x\n",
                                         "h"),
               NSM_E_NOTFOUND, "Datenbank \"x\" existiert nicht; check the database's name");
    check_text(nsm_pg_connect_text_error("connection to server at \"h\" (::1), port 1 failed: "
                                         "Connection refused\n\tIs the server running on that host "
                                         "and accepting TCP/IP connections?\nconnection to ...",
                                         "h:1/d"),
               NSM_E_UNAVAILABLE, "connect to h:1/d: Connection refused; is the server running");
    check_text(nsm_pg_connect_text_error("FATAL:  57P03: the database system is starting up", "h"),
               NSM_E_UNAVAILABLE, "starting up");
    check_text(nsm_pg_connect_text_error("FATAL:  53300: sorry, too many clients already", "h"),
               NSM_E_UNAVAILABLE, "max_connections");
    check_text(nsm_pg_connect_text_error("", "h"), NSM_E_UNAVAILABLE, "no answer");
}

static void test_one_line(void **state)
{
    (void)state;
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&out, "x ");
    nsm_pg_one_line(&out, "\n  a\tb\r\n\x1b c...  \n");
    assert_string_equal(out.ptr, "x a b c");
    nsm_pg_one_line(&out, NULL);
    nsm_pg_one_line(&out, "...");
    assert_string_equal(out.ptr, "x a b c");
}

static void test_types_made(void **state)
{
    (void)state;
    static const struct {
        enum nsm_type type;
        const char *type_name, *expected;
    } types[] = {
        {NSM_BOOL, "", "boolean"},
        {NSM_INT, "INTEGER", "bigint"},
        {NSM_FLOAT, "", "double precision"},
        {NSM_NUMERIC, "DECIMAL(10,5)", "numeric"},
        {NSM_TEXT, "VARCHAR", "text"},
        {NSM_BYTES, "", "bytea"},
        {NSM_TIME, "timestamptz", "timestamptz"},
        {NSM_TIME, "interval", "interval"},
        {NSM_TIME, "DATETIME); DROP TABLE x", "text"},
        {NSM_UUID, "", "uuid"},
        {NSM_JSON, "", "json"},
        {NSM_JSON, "jsonb", "jsonb"},
        {NSM_OTHER, "inet); DROP TABLE x", "text"},
        {NSM_NULL, "", "text"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(types); i++) {
        const struct nsm_column column = {
            .name = "c", .type = types[i].type, .type_name = types[i].type_name};
        assert_string_equal(nsm_pg_type_for(&column), types[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_urls), cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_states),    cmocka_unit_test(test_connect_messages),
        cmocka_unit_test(test_one_line),  cmocka_unit_test(test_types_made),
    };
    return cmocka_run_group_tests_name("pg_options", tests, NULL, NULL);
}
