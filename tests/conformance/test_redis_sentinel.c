/* The adapter `redis` with a master that a Sentinel watches: it is found, and after a failover the
 * new one is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "tests/support/redis_world.h"

#define WAIT_TRIES 1000
#define PAUSE_NS   20000000L

static const char *const prefix_p[] = {"prefix", "p:", NULL};
static const char *const protected_args[] = {"--requirepass", "guard", NULL};

struct watched {
    struct redis_server servers[2], sentinel;
    redisContext *clients[2], *guard;
    char url[128];
    struct nsm_context *ctx;
};

static int start(void **state)
{
    struct watched *const world = nsm_xcalloc(1, sizeof(*world));
    for (size_t index = 0; index < 2; index++) {
        redis_server_start(&world->servers[index], 0, redis_world_args);
        world->clients[index] = redis_server_client(&world->servers[index]);
    }
    redis_do(world->clients[1], "REPLICAOF 127.0.0.1 %u", (unsigned)world->servers[0].port);
    redis_server_start(&world->sentinel, REDIS_SERVER_SENTINEL, protected_args);
    world->guard = redis_server_client(&world->sentinel);
    redis_do(world->guard, "AUTH guard");
    redis_do(world->guard, "SENTINEL MONITOR main 127.0.0.1 %u 1",
             (unsigned)world->servers[0].port);
    redis_do(world->guard, "SENTINEL SET main down-after-milliseconds 500 failover-timeout 2000");
    snprintf(world->url, sizeof(world->url), "redis+sentinel://127.0.0.1:1,127.0.0.1:%u/main",
             (unsigned)world->sentinel.port);
    world->ctx = nsm_context_new(NULL);
    *state = world;
    return 0;
}

static int stop(void **state)
{
    struct watched *const world = *state;
    nsm_context_free(world->ctx);
    redisFree(world->guard);
    redis_server_stop(&world->sentinel);
    for (size_t index = 0; index < 2; index++) {
        redisFree(world->clients[index]);
        redis_server_stop(&world->servers[index]);
    }
    free(world);
    return 0;
}

static struct nsm_backend *backend_at(const struct watched *world, const char *url)
{
    return drive_open(world->servers[0].dir,
                      (const char *const[]){"url", url, "sentinel_password", "guard", NULL});
}

/* Whether the Sentinel knows the replica and that it is in step: before that it fails nobody over.
 */
static bool is_watched(const struct watched *world)
{
    redisReply *const reply = redisCommand(world->guard, "SENTINEL REPLICAS main");
    bool is_up = false;
    for (size_t index = 0; reply->elements == 1 && index + 1 < reply->element[0]->elements; index++)
        is_up |= strcmp(reply->element[0]->element[index]->str, "master-link-status") == 0 &&
                 strcmp(reply->element[0]->element[index + 1]->str, "ok") == 0;
    freeReplyObject(reply);
    return is_up;
}

static void test_unknown_names_are_refused(void **state)
{
    struct watched *const world = *state;
    char url[128];
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/other",
             (unsigned)world->sentinel.port);
    struct nsm_backend *const backend = backend_at(world, url);
    struct nsm_health health = {0};
    expect_error(backend->adapter->check(backend, world->ctx, &health), NSM_E_NOTFOUND,
                 "watches no master called other");
    drive_close(backend);
}

static void test_a_password_of_the_sentinel_is_needed(void **state)
{
    struct watched *const world = *state;
    struct nsm_backend *const backend =
        drive_open(world->servers[0].dir, (const char *const[]){"url", world->url, NULL});
    struct nsm_health health = {0};
    expect_error(backend->adapter->check(backend, world->ctx, &health), NSM_E_AUTH, "NOAUTH");
    drive_close(backend);
}

static void kill_master(void *arg, size_t n_batches)
{
    struct watched *const world = arg;
    if (n_batches == 2)
        redis_server_kill(&world->servers[0]);
}

/* Both prefixes are of the one master: the copy is cut by its end, and done on the one that takes
 * its place. */
static void test_the_new_master_is_found(void **state)
{
    struct watched *const world = *state;
    fill_all_types(world->clients[0]);
    redis_do(world->clients[0], "WAIT 1 10000");
    for (int n = 0; !is_watched(world); n++) {
        assert_true(n < WAIT_TRIES);
        nanosleep(&(const struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    struct nsm_backend *const backend = backend_at(world, world->url);
    struct drive drive = {
        .from = backend,
        .to = backend,
        .selection = prefix_p,
        .destination = (const char *const[]){"prefix", "q:", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
        .on_batch = kill_master,
        .on_batch_arg = world,
    };
    struct nsm_error *const error = drive_run(&drive, world->ctx);
    assert_non_null(error);
    assert_true(nsm_code_is_retryable(nsm_error_code(error)));
    nsm_error_free(error);
    /* As the core does then; the Sentinel has yet to find out. */
    drive.on_batch = NULL;
    drive.is_ours = true;
    run_drive(&drive, world->ctx);
    struct nsm_digest source;
    struct nsm_digest written;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    assert_int_equal(source.n_records, 513);
    /* Sentinels end the connections of a server that they promote. */
    redisFree(world->clients[1]);
    world->clients[1] = redis_server_client(&world->servers[1]);
    assert_int_equal(redis_do(world->clients[1], "DBSIZE"), 513 * 2 + 1);
    drive_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_names_are_refused),
        cmocka_unit_test(test_a_password_of_the_sentinel_is_needed),
        cmocka_unit_test(test_the_new_master_is_found),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
