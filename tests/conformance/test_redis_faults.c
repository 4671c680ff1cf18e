/* The adapter `redis` where things go wrong: servers that refuse, vanish, fall silent or are not
 * whom they claim to be. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "tests/support/redis_world.h"

static const char *const prefix_p[] = {"prefix", "p:", NULL};
static const char *const prefix_q[] = {"prefix", "q:", NULL};

static void test_a_server_that_is_not_there(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    redis_server_kill(&world->b);
    fails_to_check(world, (const char *const[]){"url", world->to_url, NULL}, NSM_E_UNAVAILABLE,
                   "Connection refused");
    fails_to_check(world, (const char *const[]){"url", "unix:///nowhere/redis.sock", NULL},
                   NSM_E_UNAVAILABLE, "No such file");
    fails_to_check(world, (const char *const[]){"url", "redis://no-such-host.invalid", NULL},
                   NSM_E_NOTFOUND, "no-such-host.invalid");
}

static void test_passwords(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    char url[128];
    redis_do(world->from_client, "CONFIG SET requirepass top:se/cret");
    fails_to_check(world, (const char *const[]){"url", world->from_url, NULL}, NSM_E_AUTH,
                   "NOAUTH");
    snprintf(url, sizeof(url), "redis://:wrong@127.0.0.1:%u", world->a.port);
    fails_to_check(world, (const char *const[]){"url", url, NULL}, NSM_E_AUTH, "WRONGPASS");
    snprintf(url, sizeof(url), "redis://:top%%3Ase%%2Fcret@127.0.0.1:%u/3", world->a.port);
    passes_check(world, (const char *const[]){"url", url, NULL}, "db 3");
    redis_do(world->from_client, "ACL SETUSER reader on >pw ~* +@read +ping +info +time +dbsize");
    snprintf(url, sizeof(url), "redis://reader:pw@127.0.0.1:%u", world->a.port);
    passes_check(world, (const char *const[]){"url", url, NULL}, "master");
    /* No other thread runs. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    assert_int_equal(setenv("REDISCLI_AUTH", "top:se/cret", 1), 0);
    passes_check(world, (const char *const[]){"url", world->from_url, NULL}, "db 0");
    /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
    assert_int_equal(unsetenv("REDISCLI_AUTH"), 0);
}

/* The rights that the adapter's README names suffice. */
static void few_rights_suffice(void **state, enum nsm_lane lane)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    fill_all_types(world->from_client);
    redis_do(world->from_client, "ACL SETUSER m on >pw ~* +@read +@connection +info +time");
    redis_do(world->to_client, "ACL SETUSER m on >pw ~* +@read +@write +@connection +@transaction "
                               "+info +time");
    char from_url[64];
    char to_url[64];
    snprintf(from_url, sizeof(from_url), "redis://m:pw@127.0.0.1:%u", world->a.port);
    snprintf(to_url, sizeof(to_url), "redis://m:pw@127.0.0.1:%u", world->b.port);
    struct nsm_backend *const from = drive_open(
        world->work_dir, (const char *const[]){"url", from_url, "slice_bytes", "100B", NULL});
    struct nsm_backend *const to =
        drive_open(world->work_dir, (const char *const[]){"url", to_url, NULL});
    passes_check(world, (const char *const[]){"url", from_url, NULL}, "master");
    struct drive drive = {.from = from, .to = to, .selection = prefix_p, .lane = lane};
    run_drive(&drive, world->ctx);
    expect_same(world, "p:", "p:");
    struct nsm_digest source;
    struct nsm_digest written;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    drive_close(from);
    drive_close(to);
}

static void test_few_rights_suffice_for_dumps(void **state)
{
    few_rights_suffice(state, NSM_LANE_REDIS_DUMP);
}

static void test_few_rights_suffice_for_records(void **state)
{
    few_rights_suffice(state, NSM_LANE_RECORD);
}

static void test_a_missing_right_is_named(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    redis_do(world->from_client, "SET p:1 x");
    redis_do(world->to_client, "ACL SETUSER w on >pw ~* +@all -restore");
    char url[128];
    snprintf(url, sizeof(url), "redis://w:pw@127.0.0.1:%u", world->b.port);
    struct nsm_backend *const to =
        drive_open(world->work_dir, (const char *const[]){"url", url, NULL});
    struct drive drive = {
        .from = world->from, .to = to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    expect_error(drive_run(&drive, world->ctx), NSM_E_AUTH, "RESTORE p:1: NOPERM");
    drive_close(to);
}

static void test_a_full_destination_is_named(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    redis_do(world->from_client, "DEBUG POPULATE 2000 p 1000");
    redis_do(world->to_client, "CONFIG SET maxmemory 1500000");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    expect_error(drive_run(&drive, world->ctx), NSM_E_IO, "OOM command not allowed");
    drive.lane = NSM_LANE_RECORD;
    expect_error(drive_run(&drive, world->ctx), NSM_E_IO, "raise maxmemory");
}

static void test_a_replica_is_refused(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    redis_do(world->from_client, "SET p:1 x");
    redis_do(world->to_client, "REPLICAOF 127.0.0.1 1");
    redis_do(world->to_client, "CONFIG SET replica-serve-stale-data yes");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_refusals, 1);
    assert_non_null(strstr(drive.finding, "replica"));
    passes_check(world, (const char *const[]){"url", world->to_url, NULL}, "replica");
}

/* What nobody serves would be lost in silence. */
static void test_a_cluster_must_have_all_its_slots(void **state)
{
    struct redis_world *const world = *state;
    static const char *const cluster_args[] = {"--cluster-enabled", "yes", NULL};
    struct redis_server server;
    redis_server_start(&server, 0, cluster_args);
    redisContext *const client = redis_server_client(&server);
    redis_do(client, "CLUSTER ADDSLOTSRANGE 0 16382");
    redisFree(client);
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", server.port);
    struct nsm_backend *const cluster =
        drive_open(world->work_dir, (const char *const[]){"url", url, NULL});
    struct drive drive = {
        .from = cluster, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    expect_error(drive_run(&drive, world->ctx), NSM_E_IO,
                 "slot 16383 of the Cluster has no master");
    drive.from = world->from;
    drive.to = cluster;
    expect_error(drive_run(&drive, world->ctx), NSM_E_IO,
                 "slot 16383 of the Cluster has no master");
    drive_close(cluster);
    redis_server_stop(&server);
}

/* A server that dies, and comes back: the same backend serves again. */
static void test_a_lost_connection_may_be_tried_again(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    fill_all_types(world->from_client);
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run_drive(&drive, world->ctx);
    redis_server_kill(&world->b);
    struct nsm_error *error = drive_run(&drive, world->ctx);
    expect_error(error, NSM_E_UNAVAILABLE, "");
    redis_server_revive(&world->b);
    redisFree(world->to_client);
    world->to_client = redis_server_client(&world->b);
    run_drive(&drive, world->ctx);
    expect_same(world, "p:", "p:");
}

/* A server that dies in the middle of a copy, on either side, in either lane. */
static void test_a_server_lost_in_the_middle(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    for (int n = 0; n < 4; n++) {
        struct redis_server *const victim = n % 2 ? &world->a : &world->b;
        redisFree(world->from_client);
        world->from_client = redis_server_client(&world->a);
        redis_do(world->from_client, "DEBUG POPULATE 20000 p 100");
        struct drive drive = {
            .from = world->from,
            .to = world->to,
            .selection = prefix_p,
            .lane = n < 2 ? NSM_LANE_REDIS_DUMP : NSM_LANE_RECORD,
            .if_exists = NSM_IF_EXISTS_MERGE,
            .signal_after_batches = 20,
            .signal = SIGKILL,
            .signal_pid = victim->pid,
        };
        expect_error(drive_run(&drive, world->ctx), NSM_E_UNAVAILABLE, "");
        assert_true(drive.n_batches < 200);
        redis_server_kill(victim);
        redis_server_revive(victim);
    }
}

struct canceling {
    struct nsm_context *ctx;
    int64_t at_ns;
};

static void *cancel_soon(void *arg)
{
    struct canceling *const canceling = arg;
    const struct timespec pause = {.tv_nsec = 200 * 1000000L};
    nanosleep(&pause, NULL);
    canceling->at_ns = nsm_now_ns();
    nsm_context_cancel(canceling->ctx, NULL);
    return NULL;
}

static void is_canceled_in_time(struct redis_world *world, struct drive *drive)
{
    struct nsm_context *const ctx = nsm_context_new(world->ctx);
    struct canceling canceling = {.ctx = ctx};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceling), 0);
    struct nsm_error *const error = drive_run(drive, ctx);
    const int64_t end_ns = nsm_now_ns();
    pthread_join(thread, NULL);
    assert_true(nsm_error_is(error, NSM_E_CANCELED));
    nsm_error_free(error);
    /* 50 ms is the promise; a busy machine gets more. */
    assert_true(end_ns - canceling.at_ns < 500 * NSM_NS_PER_MS);
    nsm_context_free(ctx);
}

static void test_cancel_while_the_server_is_silent(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    fill_all_types(world->from_client);
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run_drive(&drive, world->ctx);
    kill(world->b.pid, SIGSTOP);
    is_canceled_in_time(world, &drive);
    kill(world->b.pid, SIGCONT);
    kill(world->a.pid, SIGSTOP);
    is_canceled_in_time(world, &drive);
    kill(world->a.pid, SIGCONT);
    run_drive(&drive, world->ctx);
}

/* A server that falls silent between two batches: a reader and a writer wake at once. */
static void test_cancel_in_the_middle_of_a_copy(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    redis_do(world->from_client, "DEBUG POPULATE 20000 p 1000");
    for (int n = 0; n < 2; n++) {
        const struct redis_server *const silent = n ? &world->a : &world->b;
        struct drive drive = {
            .from = world->from,
            .to = world->to,
            .selection = prefix_p,
            .lane = NSM_LANE_REDIS_DUMP,
            .if_exists = NSM_IF_EXISTS_MERGE,
            .batch_records = 1000,
            .signal_after_batches = 3,
            .signal = SIGSTOP,
            .signal_pid = silent->pid,
        };
        is_canceled_in_time(world, &drive);
        assert_true(drive.n_batches < 20);
        kill(silent->pid, SIGCONT);
    }
}

static void test_a_silent_server_times_out(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    kill(world->a.pid, SIGSTOP);
    fails_to_check(world, (const char *const[]){"url", world->from_url, "timeout", "300ms", NULL},
                   NSM_E_TIMEOUT, "no answer within 300 ms");
    kill(world->a.pid, SIGCONT);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
    struct redis_world *const world = *state;
    struct redis_server server;
    redis_server_start(&server, REDIS_SERVER_TLS, redis_world_args);
    char url[64];
    char ca[96];
    char other[96];
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", server.tls_port);
    snprintf(ca, sizeof(ca), "%s/ca.crt", server.dir);
    snprintf(other, sizeof(other), "%s/other.crt", server.dir);
    passes_check(world, (const char *const[]){"url", url, "tls_ca", ca, NULL}, ", TLS,");
    passes_check(world, (const char *const[]){"url", url, "tls_verify", "false", NULL}, ", TLS,");
    fails_to_check(world, (const char *const[]){"url", url, "tls_ca", other, NULL}, NSM_E_AUTH,
                   "certificate");
    fails_to_check(world, (const char *const[]){"url", url, NULL}, NSM_E_AUTH, "tls_ca");
    snprintf(url, sizeof(url), "rediss://localhost:%u", server.tls_port);
    fails_to_check(world, (const char *const[]){"url", url, "tls_ca", ca, NULL}, NSM_E_AUTH,
                   "hostname mismatch");
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", server.port);
    fails_to_check(
        world, (const char *const[]){"url", url, "tls_ca", ca, "connect_timeout", "300ms", NULL},
        NSM_E_TIMEOUT, "without TLS");

    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", server.tls_port);
    struct nsm_backend *const from =
        drive_open(world->work_dir, (const char *const[]){"url", url, "tls_ca", ca, NULL});
    redisContext *const client = redis_server_client(&server);
    redis_do(client, "DEBUG POPULATE 200 p 100000");
    struct drive drive = {
        .from = from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 200);
    drive = (struct drive){.from = world->to,
                           .to = from,
                           .selection = prefix_p,
                           .destination = prefix_q,
                           .lane = NSM_LANE_REDIS_DUMP,
                           .batch_records = 200};
    run_drive(&drive, world->ctx);
    assert_int_equal(redis_do(client, "DBSIZE"), 400);
    redisFree(client);
    drive_close(from);
    redis_server_stop(&server);
}

static void test_tls_with_our_own_certificate(void **state)
{
    struct redis_world *const world = *state;
    struct redis_server server;
    redis_server_start(&server, REDIS_SERVER_TLS | REDIS_SERVER_WANTS_CLIENT_CERT,
                       redis_world_args);
    char url[64];
    char ca[96];
    char cert[96];
    char key[96];
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", server.tls_port);
    snprintf(ca, sizeof(ca), "%s/ca.crt", server.dir);
    snprintf(cert, sizeof(cert), "%s/server.crt", server.dir);
    snprintf(key, sizeof(key), "%s/server.key", server.dir);
    passes_check(
        world,
        (const char *const[]){"url", url, "tls_ca", ca, "tls_cert", cert, "tls_key", key, NULL},
        ", TLS,");
    struct nsm_backend *backend;
    expect_error(drive_try_open(world->work_dir,
                                (const char *const[]){"url", url, "tls_ca", "/no/such", NULL},
                                &backend),
                 NSM_E_INVALID, "tls_ca /no/such");
    redis_server_stop(&server);
}

static void test_unix_socket(void **state)
{
    struct redis_world *const world = *state;
    char path[96];
    snprintf(path, sizeof(path), "%s/redis.sock", world->a.dir);
    const char *const socket_args[] = {"--unixsocket", path, NULL};
    struct redis_server server;
    redis_server_start(&server, 0, socket_args);
    char url[128];
    snprintf(url, sizeof(url), "unix://%s?db=2", path);
    passes_check(world, (const char *const[]){"url", url, NULL}, "db 2");
    redis_server_stop(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_world_set_up, redis_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_server_that_is_not_there),
        TEST(test_passwords),
        TEST(test_few_rights_suffice_for_dumps),
        TEST(test_few_rights_suffice_for_records),
        TEST(test_a_missing_right_is_named),
        TEST(test_a_full_destination_is_named),
        TEST(test_a_replica_is_refused),
        TEST(test_a_cluster_must_have_all_its_slots),
        TEST(test_a_lost_connection_may_be_tried_again),
        TEST(test_a_server_lost_in_the_middle),
        TEST(test_cancel_while_the_server_is_silent),
        TEST(test_cancel_in_the_middle_of_a_copy),
        TEST(test_a_silent_server_times_out),
        TEST(test_tls),
        TEST(test_tls_with_our_own_certificate),
        TEST(test_unix_socket),
    };
    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
