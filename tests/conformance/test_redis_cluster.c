/* The adapter `redis` on a Cluster of six servers: as source, as destination, as both; with a slot
 * that moves while the copy runs, and with a failover. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/redis/redis_slot.h"
#include "migrate/base/alloc.h"
#include "tests/support/redis_cluster.h"
#include "tests/support/redis_world.h"

/* Many keys are in this one's slot. */
#define TAG "t"

struct cluster_world {
    struct redis_cluster cluster;
    struct redis_server single;
    redisContext *client;
    char cluster_url[64], single_url[64];
    char work_dir[96];
    struct nsm_backend *backend, *other; /* the Cluster, the single server */
    struct nsm_context *ctx;
};

static const char *const prefix_p[] = {"prefix", "p:", NULL};
static const char *const prefix_q[] = {"prefix", "q:", NULL};

static int start(void **state)
{
    struct cluster_world *const world = nsm_xcalloc(1, sizeof(*world));
    redis_cluster_start(&world->cluster);
    redis_server_start(&world->single, 0, redis_world_args);
    world->client = redis_server_client(&world->single);
    snprintf(world->single_url, sizeof(world->single_url), "redis://127.0.0.1:%u",
             (unsigned)world->single.port);
    *state = world;
    return 0;
}

static int stop(void **state)
{
    struct cluster_world *const world = *state;
    redis_cluster_stop(&world->cluster);
    redisFree(world->client);
    redis_server_stop(&world->single);
    free(world);
    return 0;
}

static int set_up(void **state)
{
    struct cluster_world *const world = *state;
    redis_do(world->client, "FLUSHALL");
    redis_cluster_flush(&world->cluster);
    snprintf(world->work_dir, sizeof(world->work_dir), "%s/XXXXXX", world->single.dir);
    assert_non_null(mkdtemp(world->work_dir));
    /* A replica serves to find the others as well as a master does. */
    snprintf(world->cluster_url, sizeof(world->cluster_url), "redis://127.0.0.1:%u,127.0.0.1:%u",
             (unsigned)world->cluster.servers[5].port, (unsigned)world->cluster.servers[0].port);
    world->backend =
        drive_open(world->work_dir,
                   (const char *const[]){"url", world->cluster_url, "slice_bytes", "64KiB", NULL});
    world->other = drive_open(world->work_dir, (const char *const[]){"url", world->single_url,
                                                                     "slice_bytes", "64KiB", NULL});
    world->ctx = nsm_context_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    struct cluster_world *const world = *state;
    drive_close(world->backend);
    drive_close(world->other);
    nsm_context_free(world->ctx);
    return 0;
}

/* Keys whose names are hard to stay in a slot with, and that are large enough to be sliced. */
static const char *const hostile_keys[] = {"p:{a}{b}", "p:{}x",    "p:}",      "p:{",
                                           "p:}{",     "p:{{c}}d", "p:{a b}c", "p:x{" TAG "}"};

static void fill(redisContext *client)
{
    fill_all_types(client);
    for (size_t index = 0; index < NSM_COUNT_OF(hostile_keys); index++) {
        const char *const key = hostile_keys[index];
        redis_do(client, "EVAL %s 1 %s",
                 index % 2 ? "for i = 1, 3000 do redis.call('HSET', KEYS[1], 'field' .. i, "
                             "string.rep('v', 30)) end return 1"
                           : "for i = 1, 3000 do redis.call('RPUSH', KEYS[1], i .. "
                             "string.rep('v', 40)) end return 1",
                 key);
        redis_do(client, "PEXPIREAT %s %lld", key, (long long)FAR_MS + (long long)index);
    }
    for (int index = 0; index < 300; index++)
        redis_do(client, "SET p:{" TAG "}:%d value%d", index, index);
}

#define N_KEYS (513 + 8 + 300)

static char *contents(struct cluster_world *world, const struct nsm_backend *backend,
                      const char *prefix)
{
    return backend == world->backend ? redis_cluster_contents(&world->cluster, prefix)
                                     : redis_cluster_list(&world->client, 1, prefix);
}

/* What is in `from` below `from_prefix` is in `to` below `to_prefix`; so say the servers, and so
 * does verify. */
static void expect_alike(struct cluster_world *world, struct drive *drive, const char *from_prefix,
                         const char *to_prefix)
{
    char *const want = contents(world, drive->from, from_prefix);
    char *const got = contents(world, drive->to, to_prefix);
    assert_string_equal(want, got);
    assert_true(strlen(want) > (size_t)N_KEYS * 20);
    free(want);
    free(got);
    struct nsm_digest source;
    struct nsm_digest written;
    drive->is_ours = true;
    drive->on_batch = NULL;
    assert_null(drive_verify(drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    assert_int_equal(source.n_records, N_KEYS);
    char *const left = contents(world, drive->to, "nsmigrate:");
    assert_string_equal(left, "");
    free(left);
}

static struct drive drive_between(struct nsm_backend *from, struct nsm_backend *to)
{
    return (struct drive){
        .from = from,
        .to = to,
        .selection = prefix_p,
        .lane = NSM_LANE_REDIS_DUMP,
        .batch_records = 50,
        .batch_bytes = 64 << 10,
    };
}

static void copies_around(struct cluster_world *world, enum nsm_lane lane)
{
    fill(world->client);
    struct drive drive = drive_between(world->other, world->backend);
    drive.lane = lane;
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 0);
    assert_true(lane == NSM_LANE_RECORD || drive.n_slices > 8);
    expect_alike(world, &drive, "p:", "p:");
    /* Every key stands there now. */
    drive.is_ours = false;
    drive.n_conflicts = 0;
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, N_KEYS);

    drive = drive_between(world->backend, world->backend);
    drive.lane = lane;
    drive.destination = prefix_q;
    run_drive(&drive, world->ctx);
    expect_alike(world, &drive, "p:", "q:");

    redis_do(world->client, "FLUSHALL");
    drive = drive_between(world->backend, world->other);
    drive.lane = lane;
    run_drive(&drive, world->ctx);
    expect_alike(world, &drive, "p:", "p:");
}

static void test_dumps_go_in_around_and_out(void **state)
{
    copies_around(*state, NSM_LANE_REDIS_DUMP);
}

static void test_records_go_in_around_and_out(void **state)
{
    copies_around(*state, NSM_LANE_RECORD);
}

static void test_what_stands_there_is_skipped(void **state)
{
    struct cluster_world *const world = *state;
    fill(world->client);
    struct drive drive = drive_between(world->other, world->backend);
    run_drive(&drive, world->ctx);
    drive.if_exists = NSM_IF_EXISTS_SKIP;
    drive.n_skipped = 0;
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_skipped, N_KEYS);
    expect_alike(world, &drive, "p:", "p:");
}

static void test_check_tells_of_the_cluster(void **state)
{
    struct cluster_world *const world = *state;
    struct nsm_health health = {0};
    assert_null(world->backend->adapter->check(world->backend, world->ctx, &health));
    assert_non_null(strstr(health.details, "Cluster of 3 masters"));
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
}

static void test_a_cluster_has_one_database(void **state)
{
    struct cluster_world *const world = *state;
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u/1", (unsigned)world->cluster.servers[0].port);
    struct nsm_backend *const backend =
        drive_open(world->work_dir, (const char *const[]){"url", url, NULL});
    struct nsm_health health = {0};
    expect_error(backend->adapter->check(backend, world->ctx, &health), NSM_E_INVALID,
                 "database 0 only");
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    drive_close(backend);
}

static void test_several_servers_must_be_of_a_cluster(void **state)
{
    struct cluster_world *const world = *state;
    char url[96];
    snprintf(url, sizeof(url), "%s,127.0.0.1:1", world->single_url);
    struct nsm_backend *const backend =
        drive_open(world->work_dir, (const char *const[]){"url", url, NULL});
    struct nsm_health health = {0};
    expect_error(backend->adapter->check(backend, world->ctx, &health), NSM_E_INVALID,
                 "several servers");
    drive_close(backend);
}

/* ---- a slot moves ---- */

struct moving {
    struct cluster_world *world;
    unsigned slot;
    size_t from, to;
    size_t begin_at, end_at; /* batches */
    pthread_t mover;
    bool is_begun, is_ended;
};

static struct moving moving_of(struct cluster_world *world, size_t begin_at, size_t end_at)
{
    struct moving moving = {
        .world = world,
        .slot = nsm_redis_slot_of(NSM_STR_LIT(TAG)),
        .begin_at = begin_at,
        .end_at = end_at,
    };
    moving.from = redis_cluster_owner(&world->cluster, moving.slot);
    while (moving.to == moving.from || !redis_cluster_is_master(&world->cluster, moving.to))
        moving.to++;
    return moving;
}

static void move(void *arg, size_t n_batches)
{
    struct moving *const moving = arg;
    const struct redis_cluster *const cluster = &moving->world->cluster;
    if (n_batches >= moving->begin_at && !moving->is_begun) {
        redis_cluster_move_begin(cluster, moving->slot, moving->to, 100);
        moving->is_begun = true;
    }
    if (n_batches >= moving->end_at && !moving->is_ended) {
        redis_cluster_move_end(cluster, moving->slot, moving->from, moving->to);
        moving->is_ended = true;
    }
}

static void moves_while(struct cluster_world *world, struct drive *drive, const char *to_prefix)
{
    struct moving moving = moving_of(world, 2, 9);
    drive->batch_records = 30;
    drive->on_batch = move;
    drive->on_batch_arg = &moving;
    run_drive(drive, world->ctx);
    assert_true(moving.is_ended);
    expect_alike(world, drive, "p:", to_prefix);
}

static void test_a_slot_of_the_source_moves(void **state)
{
    struct cluster_world *const world = *state;
    fill(world->client);
    struct drive in = drive_between(world->other, world->backend);
    run_drive(&in, world->ctx);
    redis_do(world->client, "FLUSHALL");
    struct drive out = drive_between(world->backend, world->other);
    moves_while(world, &out, "p:");
}

static void test_a_slot_of_the_destination_moves(void **state)
{
    struct cluster_world *const world = *state;
    fill(world->client);
    /* A key in slices can't be renamed while its slot moves: that is the next test. */
    redis_do(world->client, "DEL p:x{" TAG "}");
    redis_do(world->client, "SET p:x{" TAG "} small");
    for (int lane = 0; lane < 2; lane++) {
        redis_cluster_flush(&world->cluster);
        struct drive in = drive_between(world->other, world->backend);
        in.lane = lane ? NSM_LANE_RECORD : NSM_LANE_REDIS_DUMP;
        moves_while(world, &in, "p:");
    }
}

/* Ends the moving when the other thread may well be told TRYAGAIN by then. */
static void *end_later(void *arg)
{
    struct moving *const moving = arg;
    nanosleep(&(const struct timespec){.tv_nsec = 300000000}, NULL);
    redis_cluster_move_end(&moving->world->cluster, moving->slot, moving->from, moving->to);
    return NULL;
}

static void test_a_rename_waits_for_its_slot(void **state)
{
    struct cluster_world *const world = *state;
    redis_do(world->client, "EVAL %s 1 p:x{" TAG "}",
             "for i = 1, 3000 do redis.call('RPUSH', KEYS[1], i .. string.rep('v', 40)) end "
             "return 1");
    struct drive drive = drive_between(world->other, world->backend);
    struct moving moving = moving_of(world, 0, SIZE_MAX);
    move(&moving, 0);
    assert_int_equal(pthread_create(&moving.mover, NULL, end_later, &moving), 0);
    run_drive(&drive, world->ctx);
    assert_int_equal(pthread_join(moving.mover, NULL), 0);
    char *const want = contents(world, drive.from, "p:");
    char *const got = contents(world, drive.to, "p:");
    assert_string_equal(want, got);
    free(want);
    free(got);
}

/* ---- failovers ---- */

static size_t replica_of(const struct redis_cluster *cluster, size_t master)
{
    redisReply *const reply =
        redisCommand(cluster->clients[master], "CLUSTER REPLICAS %s", cluster->ids[master]);
    assert_int_equal(reply->elements, 1);
    size_t replica = 0;
    while (strncmp(reply->element[0]->str, cluster->ids[replica], 40) != 0)
        replica++;
    freeReplyObject(reply);
    return replica;
}

/* The replica takes over from its master, which lives on as a replica. */
static void hand_over(void *arg, size_t n_batches)
{
    struct moving *const moving = arg;
    const struct redis_cluster *const cluster = &moving->world->cluster;
    if (n_batches != moving->begin_at)
        return;
    const size_t replica = replica_of(cluster, moving->from);
    redis_do(cluster->clients[replica], "CLUSTER FAILOVER");
    for (int n = 0; redis_cluster_is_master(cluster, moving->from); n++) {
        assert_true(n < 500);
        nanosleep(&(const struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

static void test_a_replica_takes_over(void **state)
{
    struct cluster_world *const world = *state;
    fill(world->client);
    struct drive drive = drive_between(world->other, world->backend);
    struct moving moving = moving_of(world, 3, 0);
    drive.on_batch = hand_over;
    drive.on_batch_arg = &moving;
    run_drive(&drive, world->ctx);
    expect_alike(world, &drive, "p:", "p:");
}

static void strike_down(void *arg, size_t n_batches)
{
    struct moving *const moving = arg;
    if (n_batches == moving->begin_at)
        redis_server_kill(&moving->world->cluster.servers[moving->from]);
}

/* The last test: a server is missing from then on. */
static void test_a_master_dies(void **state)
{
    struct cluster_world *const world = *state;
    fill(world->client);
    struct drive drive = drive_between(world->other, world->backend);
    struct moving moving = moving_of(world, 3, 0);
    drive.on_batch = strike_down;
    drive.on_batch_arg = &moving;
    struct nsm_error *const error = drive_run(&drive, world->ctx);
    assert_non_null(error);
    assert_true(nsm_code_is_retryable(nsm_error_code(error)));
    nsm_error_free(error);
    /* As the core does then; the replica has yet to find out. */
    drive.on_batch = NULL;
    drive.is_ours = true;
    run_drive(&drive, world->ctx);
    expect_alike(world, &drive, "p:", "p:");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dumps_go_in_around_and_out),
        TEST(test_records_go_in_around_and_out),
        TEST(test_what_stands_there_is_skipped),
        TEST(test_check_tells_of_the_cluster),
        TEST(test_a_cluster_has_one_database),
        TEST(test_several_servers_must_be_of_a_cluster),
        TEST(test_a_slot_of_the_source_moves),
        TEST(test_a_slot_of_the_destination_moves),
        TEST(test_a_rename_waits_for_its_slot),
        TEST(test_a_replica_takes_over),
        TEST(test_a_master_dies),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
