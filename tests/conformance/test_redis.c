/* The adapter `redis` between two servers of its own: what it selects, carries, cuts and keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/engine/record/settings.h"
#include "tests/support/redis_world.h"

static const char *const prefix_p[] = {"prefix", "p:", NULL};
static const char *const prefix_q[] = {"prefix", "q:", NULL};

static void copies_all_types(void **state, enum nsm_lane lane, const char *const *destination)
{
    struct redis_world *const world = *state;
    fill_all_types(world->from_client);
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .destination = destination,
        .lane = lane,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 513);
    assert_int_equal(drive.n_vanished, 0);
    assert_int_equal(drive.n_conflicts, 0);
    expect_same(world, "p:", destination ? "q:" : "p:");
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 513);

    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    assert_int_equal(source.n_records, 513);
    assert_null(drive_verify(&drive, world->ctx, NSM_SURVEY_SAME_KEYS, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    redis_do(world->to_client, "HSET %shash f1 other", destination ? "q:" : "p:");
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_false(nsm_digest_equals(&source, &written));
}

static void test_dump_lane_copies_all_types(void **state)
{
    copies_all_types(state, NSM_LANE_REDIS_DUMP, NULL);
}

static void test_dump_lane_replaces_the_prefix(void **state)
{
    copies_all_types(state, NSM_LANE_REDIS_DUMP, prefix_q);
}

static void test_record_lane_copies_all_types(void **state)
{
    copies_all_types(state, NSM_LANE_RECORD, NULL);
}

static void test_record_lane_replaces_the_prefix(void **state)
{
    copies_all_types(state, NSM_LANE_RECORD, prefix_q);
}

/* ---- selections ---- */

static void test_a_prefix_is_literal_bytes(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "SET a*b:1 x");
    redis_do(world->from_client, "SET axb:1 x");
    redis_do(world->from_client, "SET [z]\\:1 x");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = (const char *const[]){"prefix", "a*b:", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 1);
    drive = (struct drive){
        .from = world->from,
        .to = world->to,
        .selection = (const char *const[]){"prefix", "[z]\\", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 1);
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 2);
}

static void test_a_glob_selects_and_a_prefix_goes_before(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "MSET user:1:cart x user:2:cart x user:1:name x");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = (const char *const[]){"match", "user:?:cart", NULL},
        .destination = (const char *const[]){"prefix", "new:", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 2);
    assert_int_equal(redis_do(world->to_client, "EXISTS new:user:1:cart new:user:2:cart"), 2);
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 2);
    /* What stands there besides is not ours to compare. */
    redis_do(world->to_client, "SET new:other x");
    struct nsm_digest source;
    struct nsm_digest written;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
}

static void test_an_empty_selection_is_an_empty_census(void **state)
{
    struct redis_world *const world = *state;
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_parts, 0);
    assert_int_equal(drive.n_refusals, 0);
}

/* ---- parts, batches, tokens ---- */

static void copies_in_pieces(void **state, enum nsm_lane lane)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "DEBUG POPULATE 30000 p 20");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = lane,
        .part_bytes = (size_t)1 << 20,
        .batch_records = 37,
        .stop_after_batches = 11,
    };
    drive.selection = (const char *const[]){"prefix", "p:", NULL};
    run_drive(&drive, world->ctx);
    assert_true(drive.n_parts > 1);
    assert_int_equal(drive.n_records, 30000);
    assert_true(drive.n_batches >= 30000 / 37);
    expect_equal_servers(world);
}

static void test_dump_lane_goes_on_at_a_token(void **state)
{
    copies_in_pieces(state, NSM_LANE_REDIS_DUMP);
}

static void test_record_lane_goes_on_at_a_token(void **state)
{
    copies_in_pieces(state, NSM_LANE_RECORD);
}

static void test_batches_keep_to_their_bytes(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "DEBUG POPULATE 200 p 10000");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_RECORD,
        .batch_bytes = 100000,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 200);
    assert_true(drive.max_batch_bytes <= 120000);
    assert_true(drive.n_batches >= 18);
}

static void test_a_list_of_an_earlier_run_is_taken_up(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "MSET p:1 a p:2 b p:3 c");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 3);
    redis_do(world->from_client, "DEL p:2");
    redis_do(world->from_client, "SET p:4 d");
    drive = (struct drive){
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_RECORD,
        .is_ours = true,
        .survey_flags = NSM_SURVEY_RESUME,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 2);
    assert_int_equal(drive.n_vanished, 1);
    assert_int_equal(redis_do(world->to_client, "EXISTS p:4"), 0);
    /* Another selection's list is none of ours. */
    drive.selection = (const char *const[]){"prefix", "p:4", NULL};
    drive.n_records = 0;
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 1);
}

/* ---- keys in slices ---- */

static void fill_big(redisContext *client)
{
    char *const value = nsm_xmalloc(300000);
    for (size_t index = 0; index < 300000; index++)
        value[index] = (char)(index * 7 + index / 251);
    redis_do(client, "SET p:string %b", value, (size_t)300000);
    redis_do(client, "PEXPIREAT p:string %lld", (long long)FAR_MS);
    free(value);
    redis_do(client, "EVAL %s 0",
             "for n = 0, 4999 do "
             "redis.call('HSET', 'p:hash', 'field-' .. n, 'value-' .. n) "
             "redis.call('RPUSH', 'p:list', n .. string.rep('x', 4000)) "
             "redis.call('SADD', 'p:set', 'member-' .. n) "
             "redis.call('ZADD', 'p:zset', n % 100 + 0.5, 'member-' .. n) "
             "redis.call('XADD', 'p:stream', (n + 1) .. '-1', 'f', n .. string.rep('x', 4000)) "
             "end return 0");
    redis_do(client, "XDEL p:stream 4000-1 5000-1");
    redis_do(client, "PEXPIREAT p:list %lld", (long long)FAR_MS + 1);
    redis_do(client, "SET p:small x");
}

static void copies_big_keys(void **state, enum nsm_lane lane, enum nsm_if_exists if_exists)
{
    struct redis_world *const world = *state;
    fill_big(world->from_client);
    struct nsm_backend *const from =
        drive_open(world->work_dir,
                   (const char *const[]){"url", world->from_url, "slice_bytes", "32KiB", NULL});
    struct drive drive = {
        .from = from,
        .to = world->to,
        .selection = prefix_p,
        .destination = prefix_q,
        .lane = lane,
        .if_exists = if_exists,
        .batch_bytes = 32768,
        .stop_after_batches = 3,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 7);
    /* Collections are cut by 16 MiB between records. */
    const bool is_dump = lane == NSM_LANE_REDIS_DUMP;
    assert_true(drive.n_slices >= (is_dump ? 500 : 14));
    assert_true(drive.max_batch_bytes < (is_dump ? (size_t)600000 : (size_t)21 << 20));
    expect_same(world, "p:", "q:");
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 7); /* no temporary key is left */
    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    struct nsm_error *const error = drive_verify(&drive, world->ctx, 0, &source, &written);
    assert_null(error);
    assert_true(nsm_digest_equals(&source, &written));
    drive_close(from);
}

static void test_dump_lane_slices_big_keys(void **state)
{
    copies_big_keys(state, NSM_LANE_REDIS_DUMP, NSM_IF_EXISTS_FAIL);
}

static void test_record_lane_slices_big_keys(void **state)
{
    copies_big_keys(state, NSM_LANE_RECORD, NSM_IF_EXISTS_FAIL);
}

/* Many items alone do not make a key big: stores that need whole keys can have it. */
static void test_many_small_items_are_one_record(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "EVAL %s 0",
             "for n = 1, 30000 do "
             "redis.call('RPUSH', 'p:list', 'element-' .. n) "
             "redis.call('HSET', 'p:hash', n, n) "
             "redis.call('XADD', 'p:stream', n .. '-1', 'f', n) "
             "end return 0");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 3);
    assert_int_equal(drive.n_slices, 0);
    expect_equal_servers(world);
}

static void test_slices_of_keys_that_may_be_skipped(void **state)
{
    copies_big_keys(state, NSM_LANE_RECORD, NSM_IF_EXISTS_SKIP);
}

static void test_a_big_key_that_stands_there_is_skipped(void **state)
{
    struct redis_world *const world = *state;
    redis_do(
        world->from_client, "EVAL %s 0",
        "for n = 1, 3000 do redis.call('RPUSH', 'p:list', n .. string.rep('x', 9000)) end return 0");
    redis_do(world->to_client, "SET p:list mine");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_RECORD,
        .if_exists = NSM_IF_EXISTS_SKIP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_skipped, 1);
    assert_int_equal(redis_do(world->to_client, "STRLEN p:list"), 4);
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 1);
}

/* ---- if_exists ---- */

static void skips(void **state, enum nsm_lane lane)
{
    struct redis_world *const world = *state;
    fill_all_types(world->from_client);
    redis_do(world->to_client, "SET p:string mine");
    redis_do(world->to_client, "SET p:hash mine");
    redis_do(world->to_client, "RPUSH p:list mine");
    redis_do(world->to_client, "SET p:stream mine");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = lane,
        .if_exists = NSM_IF_EXISTS_SKIP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 4);
    assert_int_equal(drive.n_skipped, 4);
    assert_int_equal(redis_do(world->to_client, "LLEN p:list"), 1);
    assert_int_equal(redis_do(world->to_client, "STRLEN p:hash"), 4);
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 513);
}

static void test_dump_lane_skips_what_stands(void **state)
{
    skips(state, NSM_LANE_REDIS_DUMP);
}

static void test_record_lane_skips_what_stands(void **state)
{
    skips(state, NSM_LANE_RECORD);
}

static void replaces(void **state, enum nsm_lane lane)
{
    struct redis_world *const world = *state;
    fill_all_types(world->from_client);
    redis_do(world->to_client, "SET p:hash mine");
    redis_do(world->to_client, "RPUSH p:list mine mine");
    redis_do(world->to_client, "SET p:string mine PXAT %lld", (long long)FAR_MS);
    redis_do(world->to_client, "SET unrelated x");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = lane,
        .if_exists = NSM_IF_EXISTS_REPLACE,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 3);
    assert_int_equal(drive.n_skipped, 0);
    expect_same(world, "p:", "p:");
    /* And again: doing it twice is doing it once. */
    run_drive(&drive, world->ctx);
    expect_same(world, "p:", "p:");
    assert_int_equal(redis_do(world->to_client, "EXISTS unrelated"), 1);
}

static void test_dump_lane_replaces_what_stands(void **state)
{
    replaces(state, NSM_LANE_REDIS_DUMP);
}

static void test_record_lane_replaces_what_stands(void **state)
{
    replaces(state, NSM_LANE_RECORD);
}

/* Conflicts are found by a pass over a small destination, and by the list in a large one; keys
 * that the plan would not write are none. */
static void test_conflicts_are_keys_that_would_be_written(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "MSET p:1 a p:2 b p:3 c p:4 d");
    redis_do(world->to_client, "MSET q:2 x q:not-ours x elsewhere x");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .destination = prefix_q,
        .lane = NSM_LANE_REDIS_DUMP,
        .if_exists = NSM_IF_EXISTS_MERGE,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 1);
    assert_non_null(strstr(drive.finding, "such as q:2"));
    redis_do(world->to_client, "DEL q:1 q:3 q:4");
    redis_do(world->to_client, "DEBUG POPULATE 100 many");
    drive.n_conflicts = 0;
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 1);
    drive.n_conflicts = 0;
    drive.is_ours = true;
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 0);
}

/* ---- what expires ---- */

static void test_what_has_expired_does_not_arrive(void **state)
{
    redis_world_set_dirty(state);
    struct redis_world *const world = *state;
    redis_do(world->from_client, "SET p:1 v PX 1");
    redis_do(world->from_client, "SET p:2 v");
    redis_do(world->to_client, "DEBUG SET-ACTIVE-EXPIRE 0");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run_drive(&drive, world->ctx);
    assert_int_equal(redis_do(world->to_client, "EXISTS p:1"), 0);
    assert_int_equal(redis_do(world->to_client, "EXISTS p:2"), 1);
}

/* ---- several namespaces at once ---- */

static void test_one_pass_serves_nested_prefixes(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "MSET a:1 x a:b:1 x a:b:2 x a:c x b x");
    static const char *const prefixes[] = {"a:", "a:b:", "a:b:2", "", "none"};
    static const uint64_t counts[] = {4, 2, 1, 5, 0};
    struct nsm_source sources[5] = {0};
    struct nsm_source *pointers[5];
    struct nsm_settings *settings[5];
    char names[5][8];
    const struct nsm_adapter *const adapter = world->from->adapter;
    for (size_t index = 0; index < 5; index++) {
        settings[index] = nsm_settings_new(adapter->source_options);
        assert_null(nsm_settings_set(settings[index], "prefix", nsm_str_of(prefixes[index])));
        assert_null(nsm_settings_finish(settings[index]));
        snprintf(names[index], sizeof(names[index]), "n%zu", index);
        sources[index] = (struct nsm_source){
            .backend = world->from, .namespace_name = names[index], .selection = settings[index]};
        pointers[index] = &sources[index];
    }
    const long long n_before = redis_do(world->from_client, "DBSIZE");
    assert_int_equal(n_before, 5);
    redis_do(world->from_client, "CONFIG RESETSTAT");
    assert_null(adapter->survey(world->from, world->ctx, pointers, 5));
    redisReply *const stats = redisCommand(world->from_client, "INFO commandstats");
    assert_non_null(strstr(stats->str, "cmdstat_scan:calls=1,"));
    freeReplyObject(stats);
    for (size_t index = 0; index < 5; index++) {
        assert_int_equal(sources[index].census.n_objects, 1);
        assert_int_equal(sources[index].census.objects[0].n_records, counts[index]);
        adapter->release_source(&sources[index]);
        nsm_census_release(&sources[index].census);
        nsm_settings_free(settings[index]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_world_set_up, redis_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dump_lane_copies_all_types),
        TEST(test_dump_lane_replaces_the_prefix),
        TEST(test_record_lane_copies_all_types),
        TEST(test_record_lane_replaces_the_prefix),
        TEST(test_a_prefix_is_literal_bytes),
        TEST(test_a_glob_selects_and_a_prefix_goes_before),
        TEST(test_an_empty_selection_is_an_empty_census),
        TEST(test_dump_lane_goes_on_at_a_token),
        TEST(test_record_lane_goes_on_at_a_token),
        TEST(test_batches_keep_to_their_bytes),
        TEST(test_a_list_of_an_earlier_run_is_taken_up),
        TEST(test_dump_lane_slices_big_keys),
        TEST(test_record_lane_slices_big_keys),
        TEST(test_many_small_items_are_one_record),
        TEST(test_slices_of_keys_that_may_be_skipped),
        TEST(test_a_big_key_that_stands_there_is_skipped),
        TEST(test_dump_lane_skips_what_stands),
        TEST(test_record_lane_skips_what_stands),
        TEST(test_dump_lane_replaces_what_stands),
        TEST(test_record_lane_replaces_what_stands),
        TEST(test_conflicts_are_keys_that_would_be_written),
        TEST(test_what_has_expired_does_not_arrive),
        TEST(test_one_pass_serves_nested_prefixes),
    };
    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
