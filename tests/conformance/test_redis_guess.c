/* Types guessed by the names of keys: what is learned, and that a wrong guess changes nothing of what arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "adapters/redis/redis_guess.h"
#include "adapters/redis/redis_payload.h"
#include "tests/support/redis_world.h"

static const char *const prefix_p[] = {"prefix", "p:", NULL};

static uint8_t shape(const char *key)
{
    return nsm_redis_shape(nsm_str_of(key));
}

static void test_keys_that_look_alike_have_one_shape(void **state)
{
    (void)state;
    assert_int_equal(shape("user:1:name"), shape("user:4711:name"));
    assert_int_equal(shape("session:3f9a"), shape("session:77ce"));
    assert_int_not_equal(shape("user:1:name"), shape("user:1:tags"));
    assert_int_not_equal(shape("user:1"), shape("order:1"));
    assert_int_equal(shape(""), shape(""));
}

static void test_a_guess_takes_many_in_a_row(void **state)
{
    (void)state;
    struct nsm_redis_guesses guesses = {0};
    assert_int_equal(nsm_redis_guess(&guesses, 7), NSM_KIND_DUMP);
    for (size_t index = 0; index < 300; index++)
        nsm_redis_guess_learn(&guesses, 7, NSM_KIND_HASH);
    assert_int_equal(nsm_redis_guess(&guesses, 7), NSM_KIND_HASH);
    assert_int_equal(nsm_redis_guess(&guesses, 8), NSM_KIND_DUMP);
    nsm_redis_guess_learn(&guesses, 7, NSM_KIND_STRING);
    assert_int_equal(nsm_redis_guess(&guesses, 7), NSM_KIND_DUMP);
    for (size_t index = 0; index < 300; index++)
        nsm_redis_guess_learn(&guesses, 7, NSM_KIND_STRING);
    assert_int_equal(nsm_redis_guess(&guesses, 7), NSM_KIND_STRING);
    nsm_redis_guess_learn(&guesses, 7, NSM_KIND_DUMP);
    assert_int_equal(nsm_redis_guess(&guesses, 7), NSM_KIND_DUMP);
}

/* ---- two servers ---- */

static const char *const one_of_each[] = {
    "SET p:1 x",    "HSET p:1 f v",   "RPUSH p:1 a b",
    "SADD p:1 a b", "ZADD p:1 1.5 a", "XADD p:1 1-1 f v",
};

static void test_a_dump_tells_its_kind(void **state)
{
    struct redis_world *const world = *state;
    static const enum nsm_kind kinds[] = {NSM_KIND_STRING, NSM_KIND_HASH, NSM_KIND_LIST,
                                          NSM_KIND_SET,    NSM_KIND_ZSET, NSM_KIND_STREAM};
    for (size_t index = 0; index < NSM_COUNT_OF(kinds); index++) {
        redis_do(world->from_client, "DEL p:1");
        redis_do(world->from_client, one_of_each[index]);
        redisReply *const dump = redisCommand(world->from_client, "DUMP p:1");
        assert_non_null(dump);
        const struct nsm_str payload = {.ptr = dump->str, .len = dump->len};
        assert_int_equal(nsm_redis_dump_kind(payload), kinds[index]);
        freeReplyObject(dump);
    }
    assert_int_equal(nsm_redis_dump_kind(NSM_STR_LIT("\x07")), NSM_KIND_DUMP);
    assert_int_equal(nsm_redis_dump_kind((struct nsm_str){0}), NSM_KIND_DUMP);
}

/* Strings, and among them now and then what nothing in its name tells: another type, an empty string, one that is too large. */
static void fill_with_surprises(redisContext *client)
{
    redis_do(client, "EVAL %s 0",
             "for n = 0, 5999 do "
             "local key = 'p:' .. n "
             "if n % 50 ~= 49 then redis.call('SET', key, 'value-' .. n) "
             "elseif n % 400 == 49 then redis.call('HSET', key, 'f', n, 'g', '') "
             "elseif n % 400 == 99 then redis.call('RPUSH', key, n, '', 'x') "
             "elseif n % 400 == 149 then redis.call('SADD', key, n, 'x') "
             "elseif n % 400 == 199 then redis.call('ZADD', key, n / 8, 'x') "
             "elseif n % 400 == 249 then redis.call('XADD', key, n .. '-1', 'f', n) "
             "elseif n % 400 == 299 then redis.call('SET', key, '') "
             "elseif n % 400 == 349 then redis.call('SET', key, string.rep('l', 20000)) "
             "else redis.call('SET', key, string.rep('b', 200000)) end "
             "if n % 3 == 0 then redis.call('PEXPIREAT', key, 4102444800000 + n) end "
             "end return 0");
}

static void survives_surprises(void **state, enum nsm_lane lane)
{
    struct redis_world *const world = *state;
    fill_with_surprises(world->from_client);
    struct nsm_backend *const from =
        drive_open(world->work_dir,
                   (const char *const[]){"url", world->from_url, "slice_bytes", "64KiB", NULL});
    struct drive drive = {
        .from = from,
        .to = world->to,
        .selection = prefix_p,
        .lane = lane,
        .part_bytes = (size_t)1 << 20,
        .batch_records = 100,
        .batch_bytes = (size_t)1 << 20,
        .stop_after_batches = 5,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 6000);
    assert_int_equal(drive.n_vanished, 0);
    expect_equal_servers(world);
    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    assert_null(drive_verify(&drive, world->ctx, NSM_SURVEY_SAME_KEYS, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    assert_int_equal(source.n_records, 6000);
    drive_close(from);
}

static void test_dump_lane_survives_surprises(void **state)
{
    survives_surprises(state, NSM_LANE_REDIS_DUMP);
}

static void test_record_lane_survives_surprises(void **state)
{
    survives_surprises(state, NSM_LANE_RECORD);
}

/* Keys that went away since the census, all of them taken for strings. */
static void test_guessed_keys_may_be_gone(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "DEBUG POPULATE 3000 p 20");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 3000);
    redis_do(world->from_client, "DEL p:7 p:2900");
    redis_do(world->from_client, "SET p:8 %b", "", (size_t)0);
    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    redis_do(world->to_client, "SET p:8 %b", "", (size_t)0);
    redis_do(world->to_client, "DEL p:7 p:2900");
    assert_null(drive_verify(&drive, world->ctx, NSM_SURVEY_SAME_KEYS, &source, &written));
    assert_int_equal(source.n_records, 2998);
    assert_true(nsm_digest_equals(&source, &written));
}

/* Collections are guessed right after a copy only; the digests are the same as without. */
static void test_guessed_collections_have_the_same_digest(void **state)
{
    struct redis_world *const world = *state;
    redis_do(world->from_client, "EVAL %s 0",
             "for n = 0, 2999 do "
             "local key = 'p:' .. n "
             "if n % 100 ~= 99 then redis.call('RPUSH', key, n, '', 'x') "
             "elseif n % 400 == 99 then for i = 1, 1100 do redis.call('RPUSH', key, '') end "
             "elseif n % 400 == 199 then redis.call('XADD', key, n .. '-1', 'f', n) "
             "elseif n % 400 == 299 then redis.call('ZADD', key, n / 8, 'x') "
             "else redis.call('SET', key, '') end "
             "end return 0");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 3000);
    struct nsm_digest asked[2];
    struct nsm_digest guessed[2];
    drive.is_ours = true;
    assert_null(drive_verify(&drive, world->ctx, 0, &asked[0], &asked[1]));
    assert_null(drive_verify(&drive, world->ctx, NSM_SURVEY_SAME_KEYS, &guessed[0], &guessed[1]));
    for (size_t side = 0; side < 2; side++) {
        assert_true(nsm_digest_equals(&asked[side], &asked[0]));
        assert_true(nsm_digest_equals(&guessed[side], &asked[0]));
        assert_int_equal(guessed[side].n_records, 3000);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_world_set_up, redis_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_that_look_alike_have_one_shape),
        cmocka_unit_test(test_a_guess_takes_many_in_a_row),
        TEST(test_a_dump_tells_its_kind),
        TEST(test_dump_lane_survives_surprises),
        TEST(test_record_lane_survives_surprises),
        TEST(test_guessed_keys_may_be_gone),
        TEST(test_guessed_collections_have_the_same_digest),
    };
    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
