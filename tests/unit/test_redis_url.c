#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/redis/redis_url.h"

static void parses(const char *text, const char *where, const char *user, const char *password,
                   unsigned db)
{
    struct nsm_redis_url url = {0};
    struct nsm_error *const error = nsm_redis_url_parse(nsm_str_of(text), &url);
    if (error)
        fail_msg("%s: %s", text, nsm_error_text(error));
    char *const got = nsm_redis_url_where(&url);
    assert_string_equal(got, where);
    free(got);
    assert_string_equal(url.user ? url.user : "-", user);
    assert_string_equal(url.password ? url.password : "-", password);
    assert_int_equal(url.db, db);
    nsm_redis_url_release(&url);
}

static void test_tcp(void **state)
{
    (void)state;
    parses("redis://localhost", "localhost:6379", "-", "-", 0);
    parses("redis://localhost/", "localhost:6379", "-", "-", 0);
    parses("redis://10.0.0.1:7000/15", "10.0.0.1:7000", "-", "-", 15);
    parses("redis://:secret@h:1/2", "h:1", "-", "secret", 2);
    parses("redis://ann:secret@h", "h:6379", "ann", "secret", 0);
    parses("redis://ann@h", "h:6379", "ann", "-", 0);
    parses("redis://ann:@h", "h:6379", "ann", "", 0);
    parses("redis://h?db=3", "h:6379", "-", "-", 3);
}

static void test_percent_and_brackets(void **state)
{
    (void)state;
    parses("redis://a%40b:p%3Aw%2f%25@h", "h:6379", "a@b", "p:w/%", 0);
    parses("redis://:p@ss@h", "h:6379", "-", "p@ss", 0);
    parses("redis://[::1]:7000/1", "[::1]:7000", "-", "-", 1);
    parses("redis://[fe80::1]", "[fe80::1]:6379", "-", "-", 0);
}

static void test_several_hosts(void **state)
{
    (void)state;
    struct nsm_redis_url url = {0};
    assert_null(nsm_redis_url_parse(NSM_STR_LIT("redis://a:p@h:1,[::1]:2,k/0"), &url));
    assert_string_equal(url.host, "h");
    assert_int_equal(url.port, 1);
    assert_int_equal(url.n_others, 2);
    assert_string_equal(url.others[0].name, "::1");
    assert_int_equal(url.others[0].port, 2);
    assert_string_equal(url.others[1].name, "k");
    assert_int_equal(url.others[1].port, 6379);
    assert_null(url.master_name);
    nsm_redis_url_release(&url);
}

static void test_sentinels(void **state)
{
    (void)state;
    struct nsm_redis_url url = {0};
    assert_null(nsm_redis_url_parse(NSM_STR_LIT("rediss+sentinel://:p@h,k:7/my%20master/3"), &url));
    assert_true(url.is_tls);
    assert_string_equal(url.host, "h");
    assert_int_equal(url.port, 26379);
    assert_int_equal(url.n_others, 1);
    assert_int_equal(url.others[0].port, 7);
    assert_string_equal(url.master_name, "my master");
    assert_string_equal(url.password, "p");
    assert_int_equal(url.db, 3);
    nsm_redis_url_release(&url);
}

static void test_tls(void **state)
{
    (void)state;
    struct nsm_redis_url url = {0};
    assert_null(nsm_redis_url_parse(NSM_STR_LIT("rediss://h"), &url));
    assert_true(url.is_tls);
    nsm_redis_url_release(&url);
    assert_null(nsm_redis_url_parse(NSM_STR_LIT("redis://h"), &url));
    assert_false(url.is_tls);
    nsm_redis_url_release(&url);
}

static void test_sockets(void **state)
{
    (void)state;
    parses("unix:///run/redis.sock", "/run/redis.sock", "-", "-", 0);
    parses("unix://u:p@/run/redis.sock?db=4", "/run/redis.sock", "u", "p", 4);
    parses("redis+unix:///a%20b", "/a b", "-", "-", 0);
}

/* Each mistake is told, and none tells what may be a password. */
static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *url, *part;
    } cases[] = {
        {"", "not the URL of a Redis"},
        {"http://secret", "not the URL of a Redis"},
        {"redis:secret", "not the URL of a Redis"},
        {"redis://", "the host is missing"},
        {"redis://user:secret", "the port is not a number"},
        {"redis://h:0", "the port is not a number"},
        {"redis://h:65536", "the port is not a number"},
        {"redis://h:", "the port is not a number"},
        {"redis://h/x", "the database is not a number"},
        {"redis://h/1/2", "the database is not a number"},
        {"redis://h/-1", "the database is not a number"},
        {"redis://[::1", "'[' without ']'"},
        {"redis://[::1]secret", "between the host's ']' and its port"},
        {"redis://::1", "several ':'"},
        {"redis://u:%zz@h", "the password has a '%'"},
        {"redis://u:%4@h", "the password has a '%'"},
        {"redis://u:%00secret@h", "the password has a NUL"},
        {"redis://h?timeout=secret", "the only parameter"},
        {"unix://relative/secret", "must be absolute"},
        {"unix://", "must be absolute"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        struct nsm_redis_url url = {0};
        struct nsm_error *const error = nsm_redis_url_parse(nsm_str_of(cases[index].url), &url);
        if (!error)
            fail_msg("%s was taken", cases[index].url);
        assert_true(nsm_error_is(error, NSM_E_INVALID));
        char *const text = nsm_error_text(error);
        if (!strstr(text, cases[index].part) || strstr(text, "secret"))
            fail_msg("%s: %s", cases[index].url, text);
        free(text);
        nsm_error_free(error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),           cmocka_unit_test(test_percent_and_brackets),
        cmocka_unit_test(test_several_hosts), cmocka_unit_test(test_sentinels),
        cmocka_unit_test(test_tls),           cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
