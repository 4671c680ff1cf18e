/* Whether payloads of DUMP can be used, as servers tell it that are asked: nothing is written meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/redis/redis_probe.h"
#include "tests/support/redis_world.h"

struct asking {
    struct nsm_redis_loan loan;
    struct nsm_arena arena;
    struct nsm_redis_probe probe;
};

static void begin(const struct redis_world *world, struct nsm_backend *backend,
                  struct asking *asking)
{
    *asking = (struct asking){.loan = {.backend = nsm_redis_backend_of(backend)}};
    assert_null(nsm_redis_take(asking->loan.backend, world->ctx, &asking->loan.conn));
    asking->probe = (struct nsm_redis_probe){asking->loan.conn, world->ctx, &asking->arena};
}

static void end(struct asking *asking)
{
    nsm_redis_loan_return(&asking->loan);
    nsm_arena_release(&asking->arena);
}

static void test_a_payload_tells_its_version(void **state)
{
    struct redis_world *const world = *state;
    struct asking asking;
    const char *reason = "";
    unsigned version = 1;
    begin(world, world->from, &asking);
    assert_null(nsm_redis_probe_dump(&asking.probe, NSM_STR_LIT("p:none"), &reason, &version));
    assert_null(reason);
    assert_int_equal(version, 0);
    redis_do(world->from_client, "SET p:1 x");
    assert_null(nsm_redis_probe_dump(&asking.probe, NSM_STR_LIT("p:1"), &reason, &version));
    assert_null(reason);
    struct nsm_redis_server server;
    assert_null(nsm_redis_server_ask(asking.loan.backend, asking.loan.conn, world->ctx, &server));
    assert_int_equal(version, nsm_redis_payload_version(&server));
    end(&asking);
}

static void test_a_newer_payload_is_refused(void **state)
{
    struct redis_world *const world = *state;
    struct asking asking;
    const char *reason = NULL;
    begin(world, world->to, &asking);
    struct nsm_redis_server server;
    assert_null(nsm_redis_server_ask(asking.loan.backend, asking.loan.conn, world->ctx, &server));
    const unsigned newest = nsm_redis_payload_version(&server);
    for (unsigned version = newest - 1; version <= newest; version++) {
        assert_null(nsm_redis_probe_restore(&asking.probe, NSM_STR_LIT("p:1"), version, &reason));
        assert_null(reason);
    }
    assert_null(nsm_redis_probe_restore(&asking.probe, NSM_STR_LIT("p:1"), newest + 1, &reason));
    assert_non_null(strstr(reason, "can't load the source's payloads"));
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 0);
    end(&asking);
}

/* What stands there already, or a full memory, is no reason. */
static void test_what_stands_there_is_no_reason(void **state)
{
    struct redis_world *const world = *state;
    struct asking asking;
    const char *reason = "";
    begin(world, world->to, &asking);
    redis_do(world->to_client, "SET p:1 x");
    assert_null(nsm_redis_probe_restore(&asking.probe, NSM_STR_LIT("p:1"), 9, &reason));
    assert_null(reason);
    redis_do(world->to_client, "CONFIG SET maxmemory 1");
    assert_null(nsm_redis_probe_restore(&asking.probe, NSM_STR_LIT("p:2"), 9, &reason));
    assert_null(reason);
    redis_do(world->to_client, "CONFIG SET maxmemory 0");
    end(&asking);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_world_set_up, redis_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_payload_tells_its_version),
        TEST(test_a_newer_payload_is_refused),
        TEST(test_what_stands_there_is_no_reason),
    };
    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
