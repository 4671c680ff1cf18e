#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/redis/redis_inspect.h"

static struct nsm_redis_server read_text(const char *info, uint32_t db)
{
    struct nsm_redis_server server = {0};
    nsm_redis_server_read(nsm_str_of(info), db, &server);
    return server;
}

static void test_sections(void **state)
{
    (void)state;
    struct nsm_redis_server server =
        read_text("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\n", 0);
    assert_string_equal(server.version_text, "Redis 7.0.15");
    assert_int_equal(server.version, 70015);
    assert_string_equal(server.run_id, "abc");
    assert_null(nsm_redis_server_refusal(&server));
    /* One section does not forget what another said. */
    nsm_redis_server_read(NSM_STR_LIT("role:slave\r\n"), 0, &server);
    nsm_redis_server_read(
        NSM_STR_LIT("used_memory:5\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n"), 0,
        &server);
    nsm_redis_server_read(NSM_STR_LIT("cluster_enabled:0\r\n"), 0, &server);
    assert_true(server.is_replica);
    assert_false(server.is_cluster);
    assert_int_equal(server.max_memory_bytes, 100);
    assert_int_equal(server.used_memory_bytes, 5);
    assert_string_equal(server.eviction, "allkeys-lru");
    assert_int_equal(server.version, 70015);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct nsm_redis_server server = read_text("redis_version:4.0.14\r\n", 0);
    assert_non_null(nsm_redis_server_refusal(&server));
    server = read_text("redis_version:5.0.0\r\n", 0);
    assert_null(nsm_redis_server_refusal(&server));
    server = read_text("redis_version:7.2.4\r\nredis_mode:sentinel\r\n", 0);
    assert_non_null(nsm_redis_server_refusal(&server));
    server = read_text("redis_version:7.2.4\r\ncluster_enabled:1\r\n", 0);
    assert_null(nsm_redis_server_refusal(&server));
    server = read_text("nothing of use", 0);
    assert_non_null(nsm_redis_server_refusal(&server));
}

static void test_what_is_told_of_streams(void **state)
{
    (void)state;
    const char *const infos[] = {"redis_version:7.0.0\r\n", "redis_version:6.2.14\r\n"};
    for (size_t i = 0; i < NSM_COUNT_OF(infos); i++) {
        const struct nsm_redis_server server = read_text(infos[i], 0);
        struct nsm_findings findings = {0};
        nsm_redis_tell_streams(&server, &findings);
        assert_int_equal(findings.n_items, i + 1);
        if (i == 1)
            assert_non_null(strstr(findings.items[1].text, "Redis 6.2.14 can't hold"));
        nsm_findings_release(&findings);
    }
}

static void test_other_servers(void **state)
{
    (void)state;
    const struct nsm_redis_server server =
        read_text("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n", 0);
    assert_string_equal(server.version_text, "Valkey 8.1.0");
    assert_int_equal(server.version, 70204);
}

static void test_fields_that_expire(void **state)
{
    (void)state;
    static const char text[] = "# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0,subexpiry=1\r\n"
                               "db10:keys=2,expires=0,avg_ttl=0,subexpiry=7\r\n"
                               "db2:keys=1,expires=0,avg_ttl=0,keys_with_volatile_items=3\r\n"
                               "db3:keys=2,expires=0,avg_ttl=0\r\n";
    assert_int_equal(read_text(text, 0).n_field_expiry, 1);
    assert_int_equal(read_text(text, 1).n_field_expiry, 0);
    assert_int_equal(read_text(text, 10).n_field_expiry, 7);
    assert_int_equal(read_text(text, 2).n_field_expiry, 3);
    assert_int_equal(read_text(text, 3).n_field_expiry, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_what_is_told_of_streams),
        cmocka_unit_test(test_other_servers),
        cmocka_unit_test(test_fields_that_expire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
