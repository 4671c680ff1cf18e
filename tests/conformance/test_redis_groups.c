/*
 * Streams with all that they remember: ids, counts, consumer groups, consumers, pending entries (those of deleted entries too), on real
 * servers. Both sides are described by the server's own XINFO STREAM FULL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "tests/support/redis_world.h"

static const char *const prefix_p[] = {"prefix", "p:", NULL};

/* ---- what a stream is ---- */

/* XINFO STREAM FULL of a key as text, without what no command can set (when a consumer was last seen) and what depends on how it was
 * built (nodes of the tree). */
static const char describing[] =
    "local dropped = {['seen-time'] = 1, ['active-time'] = 1, ['radix-tree-keys'] = 1, ['radix-tree-nodes'] = 1} "
    "local function text(value) "
    "  if type(value) ~= 'table' then return tostring(value) end "
    "  local out, at = {}, 1 "
    "  while at <= #value do "
    "    if dropped[value[at]] then at = at + 2 else out[#out + 1] = text(value[at]) at = at + 1 end "
    "  end "
    "  return '[' .. table.concat(out, ' ') .. ']' "
    "end "
    "return text(redis.call('XINFO', 'STREAM', KEYS[1], 'FULL', 'COUNT', 0)) .. redis.call('PEXPIRETIME', KEYS[1])";

static void expect_same_streams(const struct redis_world *world)
{
    redisReply *const keys = redisCommand(world->from_client, "KEYS p:*");
    assert_true(keys->elements > 0);
    assert_int_equal(keys->elements, redis_do(world->to_client, "DBSIZE"));
    for (size_t index = 0; index < keys->elements; index++) {
        const char *const key = keys->element[index]->str;
        redisReply *const want = redisCommand(world->from_client, "EVAL %s 1 %s", describing, key);
        redisReply *const got = redisCommand(world->to_client, "EVAL %s 1 %s", describing, key);
        assert_int_equal(want->type, REDIS_REPLY_STRING);
        if (got->type != REDIS_REPLY_STRING || strcmp(want->str, got->str) != 0)
            fail_msg("%s: %.2000s, expected %.2000s", key, got->str, want->str);
        freeReplyObject(want);
        freeReplyObject(got);
    }
    freeReplyObject(keys);
}

/* Streams in every state that a server lets them be in. */
static void fill_streams(redisContext *client)
{
    static const char script[] =
        "local call = redis.call "
        "for n = 1, 30 do call('XADD', 'p:used', n .. '-1', 'f', n, 'g', '\\0\\255') end "
        "call('XGROUP', 'CREATE', 'p:used', 'workers', '0') "
        "call('XREADGROUP', 'GROUP', 'workers', 'anna', 'COUNT', 10, 'STREAMS', 'p:used', '>') "
        "call('XREADGROUP', 'GROUP', 'workers', 'bob\\0\\r\\n', 'COUNT', 7, 'STREAMS', 'p:used', '>') "
        "call('XGROUP', 'CREATECONSUMER', 'p:used', 'workers', 'idle') "
        "call('XCLAIM', 'p:used', 'workers', 'carl', 0, '3-1', '5-1', 'TIME', 1234567, 'RETRYCOUNT', 9, 'JUSTID') "
        "call('XACK', 'p:used', 'workers', '1-1', '12-1') "
        "call('XGROUP', 'CREATE', 'p:used', '', '20-1') " /* read count not known */
        "call('XGROUP', 'CREATE', 'p:used', '\\0\\255', '20-1', 'ENTRIESREAD', 20) "
        "call('XDEL', 'p:used', '4-1', '5-1', '29-1') " /* two of them pending */
        "call('PEXPIREAT', 'p:used', 4102444800123) "
        "for n = 1, 30 do call('XADD', 'p:trimmed', n .. '-0', 'f', n) end "
        "call('XGROUP', 'CREATE', 'p:trimmed', 'g', '0') "
        "call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 8, 'STREAMS', 'p:trimmed', '>') "
        "call('XTRIM', 'p:trimmed', 'MAXLEN', 25) "
        "call('XADD', 'p:emptied', '7-7', 'f', 'v') "
        "call('XGROUP', 'CREATE', 'p:emptied', 'g', '0') "
        "call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'p:emptied', '>') "
        "call('XDEL', 'p:emptied', '7-7') "
        "call('XADD', 'p:bare', '7-7', 'f', 'v') call('XTRIM', 'p:bare', 'MAXLEN', 0) "
        "call('XGROUP', 'CREATE', 'p:new', 'g', '0', 'MKSTREAM') "
        "call('XADD', 'p:first', '0-1', 'f', 'v') "
        "call('XGROUP', 'CREATE', 'p:first', 'g', '0') "
        "call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'p:first', '>') "
        "call('XADD', 'p:last', '18446744073709551615-18446744073709551615', 'f', 'v') "
        "call('XGROUP', 'CREATE', 'p:last', 'g', '0') "
        "call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'p:last', '>') "
        "call('XADD', 'p:plain', '1-1', 'f', 'v') "
        "return 1";
    redis_do(client, "EVAL %s 0", script);
}

/* ---- lanes ---- */

static void carries_all(struct redis_world *world, enum nsm_lane lane)
{
    fill_streams(world->from_client);
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = lane};
    run_drive(&drive, world->ctx);
    assert_int_equal(drive.n_records, 8);
    expect_same_streams(world);
    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
}

static void test_record_lane_carries_streams(void **state)
{
    carries_all(*state, NSM_LANE_RECORD);
}

static void test_dump_lane_carries_streams(void **state)
{
    carries_all(*state, NSM_LANE_REDIS_DUMP);
}

static void test_record_lane_writes_over_what_stands(void **state)
{
    struct redis_world *const world = *state;
    fill_streams(world->from_client);
    redis_do(world->to_client, "XADD p:used 99-1 x y");
    redis_do(world->to_client, "XGROUP CREATE p:used stranger 0");
    struct drive drive = {.from = world->from,
                          .to = world->to,
                          .selection = prefix_p,
                          .lane = NSM_LANE_RECORD,
                          .if_exists = NSM_IF_EXISTS_MERGE};
    run_drive(&drive, world->ctx);
    run_drive(&drive, world->ctx);
    expect_same_streams(world);
}

/* ---- big ones ---- */

static void fill_big(redisContext *client, int n_entries)
{
    redis_do(
        client, "EVAL %s 0 %d",
        "for n = 1, ARGV[1] do redis.call('XADD', 'p:big', n .. '-1', 'f', n) end "
        "for _, group in ipairs({'one', 'two'}) do "
        "  redis.call('XGROUP', 'CREATE', 'p:big', group, '0') "
        "  for n = 1, 1500 do redis.call('XGROUP', 'CREATECONSUMER', 'p:big', group, 'c' .. n) end "
        "  redis.call('XREADGROUP', 'GROUP', group, 'c7', 'COUNT', ARGV[1] - 100, 'STREAMS', 'p:big', '>') "
        "end "
        "redis.call('XDEL', 'p:big', '2-1', '1000-1') "
        "return 1",
        n_entries);
}

static void carries_big(struct redis_world *world, struct drive *drive)
{
    run_drive(drive, world->ctx);
    assert_int_equal(drive->n_records, 1);
    assert_true(drive->n_slices > 1);
    expect_same_streams(world);
    struct nsm_digest source;
    struct nsm_digest written;
    drive->is_ours = true;
    assert_null(drive_verify(drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
}

static void test_dump_lane_slices_groups(void **state)
{
    struct redis_world *const world = *state;
    fill_big(world->from_client, 6000);
    struct nsm_backend *const from =
        drive_open(world->work_dir,
                   (const char *const[]){"url", world->from_url, "slice_bytes", "4KiB", NULL});
    struct drive drive = {.from = from,
                          .to = world->to,
                          .selection = prefix_p,
                          .lane = NSM_LANE_REDIS_DUMP,
                          .batch_bytes = (size_t)64 << 10};
    carries_big(world, &drive);
    assert_true(drive.n_slices > 20);
    assert_true(drive.max_batch_bytes < (size_t)512 << 10);
    drive_close(from);
}

static void test_record_lane_slices_groups(void **state)
{
    struct redis_world *const world = *state;
    fill_big(world->from_client, 40000);
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    carries_big(world, &drive);
}

/* ---- what is compared ---- */

static void test_a_digest_sees_each_part_of_a_group(void **state)
{
    static const char *const changes[] = {
        "XACK p:used workers 2-1",
        "XCLAIM p:used workers anna 0 2-1 RETRYCOUNT 5 TIME 1000 JUSTID",
        "XCLAIM p:used workers zoe 0 3-1 RETRYCOUNT 9 TIME 1234567 JUSTID",
        "XCLAIM p:used workers carl 0 3-1 RETRYCOUNT 9 TIME 1234568 JUSTID",
        "XGROUP CREATECONSUMER p:used workers zoe",
        "XGROUP DELCONSUMER p:used workers idle",
        "XGROUP SETID p:used workers 18-1 ENTRIESREAD 17",
        "XGROUP SETID p:used workers 17-1 ENTRIESREAD 16",
        "XGROUP DESTROY p:new g",
        "XSETID p:used 30-1 ENTRIESADDED 31 MAXDELETEDID 29-1",
        "XSETID p:used 30-1 ENTRIESADDED 30 MAXDELETEDID 30-1",
        "XSETID p:used 31-1 ENTRIESADDED 30 MAXDELETEDID 29-1",
    };
    struct redis_world *const world = *state;
    fill_streams(world->from_client);
    struct drive drive = {.from = world->from,
                          .to = world->to,
                          .selection = prefix_p,
                          .lane = NSM_LANE_RECORD,
                          .if_exists = NSM_IF_EXISTS_MERGE};
    for (size_t index = 0; index < NSM_COUNT_OF(changes); index++) {
        run_drive(&drive, world->ctx);
        redis_do(world->to_client, changes[index]);
        struct nsm_digest source;
        struct nsm_digest written;
        assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
        if (nsm_digest_equals(&source, &written))
            fail_msg("not seen: %s", changes[index]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, redis_world_set_up, redis_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_record_lane_carries_streams),
        TEST(test_dump_lane_carries_streams),
        TEST(test_record_lane_writes_over_what_stands),
        TEST(test_dump_lane_slices_groups),
        TEST(test_record_lane_slices_groups),
        TEST(test_a_digest_sees_each_part_of_a_group),
    };
    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
