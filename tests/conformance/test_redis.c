/* The adapter `redis` between two servers of its own: what arrives is compared by the server's own
 * digest of values, through a client that is not ours. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/engine/record/settings.h"
#include "tests/support/redis_drive.h"
#include "tests/support/redis_server.h"

#define FAR_MS INT64_C(4102444800123) /* in the year 2100, not on a whole second */

struct world {
    struct redis_server a, b;
    redisContext *from_client, *to_client;
    char work_dir[96];
    char from_url[64], to_url[64];
    struct nsm_backend *from, *to;
    struct nsm_context *ctx;
    bool is_dirty; /* the servers are not as they were started */
};

static const char *const server_args[] = {"--enable-debug-command", "yes", NULL};

static int set_up_all(void **state)
{
    struct world *const world = nsm_xcalloc(1, sizeof(*world));
    redis_server_start(&world->a, 0, server_args);
    redis_server_start(&world->b, 0, server_args);
    snprintf(world->from_url, sizeof(world->from_url), "redis://127.0.0.1:%u/0", world->a.port);
    snprintf(world->to_url, sizeof(world->to_url), "redis://127.0.0.1:%u/0", world->b.port);
    *state = world;
    return 0;
}

static int tear_down_all(void **state)
{
    struct world *const world = *state;
    redis_server_stop(&world->a);
    redis_server_stop(&world->b);
    free(world);
    return 0;
}

static void restart(struct redis_server *server)
{
    redis_server_kill(server);
    redis_server_revive(server);
}

/* Each test finds two empty servers as they start, and a folder of its own. */
static int set_up(void **state)
{
    struct world *const world = *state;
    if (world->is_dirty) {
        restart(&world->a);
        restart(&world->b);
    }
    world->is_dirty = false;
    world->from_client = redis_server_client(&world->a);
    world->to_client = redis_server_client(&world->b);
    redis_do(world->from_client, "FLUSHALL");
    redis_do(world->to_client, "FLUSHALL");
    snprintf(world->work_dir, sizeof(world->work_dir), "%s/XXXXXX", world->a.dir);
    assert_non_null(mkdtemp(world->work_dir));
    world->from = drive_open(world->work_dir, (const char *const[]){"url", world->from_url, NULL});
    world->to = drive_open(world->work_dir, (const char *const[]){"url", world->to_url, NULL});
    world->ctx = nsm_context_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    struct world *const world = *state;
    drive_close(world->from);
    drive_close(world->to);
    nsm_context_free(world->ctx);
    redisFree(world->from_client);
    redisFree(world->to_client);
    return 0;
}

/* For tests that change how a server runs. */
static void set_dirty(void **state)
{
    ((struct world *)*state)->is_dirty = true;
}

static void run(struct drive *drive, struct nsm_context *ctx)
{
    struct nsm_error *const error = drive_run(drive, ctx);
    if (error) {
        char *const text = nsm_error_text(error);
        nsm_error_free(error);
        fail_msg("%s", text);
    }
}

static void expect_error(struct nsm_error *error, enum nsm_code code, const char *part)
{
    if (!error)
        fail_msg("no error, expected %s", part);
    char *const text = nsm_error_text(error);
    if (nsm_error_code(error) != code || !strstr(text, part))
        fail_msg("expected %s: ...%s..., got %s: %s", nsm_code_name(code), part,
                 nsm_code_name(nsm_error_code(error)), text);
    free(text);
    nsm_error_free(error);
}

/* A key's type, expiry and digest of its value, as text; "" when there is no such key. */
static void describe(redisContext *client, const char *key, size_t len, char *out, size_t size)
{
    redisReply *const type = redisCommand(client, "TYPE %b", key, len);
    redisReply *const expiry = redisCommand(client, "PEXPIRETIME %b", key, len);
    redisReply *const digest = redisCommand(client, "DEBUG DIGEST-VALUE %b", key, len);
    assert_int_equal(digest->type, REDIS_REPLY_ARRAY);
    snprintf(out, size, "%s %lld %s", type->str, expiry->integer, digest->element[0]->str);
    freeReplyObject(type);
    freeReplyObject(expiry);
    freeReplyObject(digest);
}

/* Every key of `from` that begins with `from_prefix` stands in `to` under `to_prefix`, alike, and
 * nothing else does. */
static void expect_same(const struct world *world, const char *from_prefix, const char *to_prefix)
{
    redisReply *const keys = redisCommand(world->from_client, "KEYS %s*", from_prefix);
    redisReply *const others = redisCommand(world->to_client, "KEYS %s*", to_prefix);
    assert_int_equal(keys->elements, others->elements);
    for (size_t index = 0; index < keys->elements; index++) {
        const redisReply *const key = keys->element[index];
        char want[256];
        char got[256];
        describe(world->from_client, key->str, key->len, want, sizeof(want));
        struct nsm_buf other NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_buf_append_cstr(&other, to_prefix);
        nsm_buf_append(&other, key->str + strlen(from_prefix), key->len - strlen(from_prefix));
        describe(world->to_client, other.ptr, other.len, got, sizeof(got));
        if (strcmp(want, got) != 0)
            fail_msg("key %s: %s, expected %s", key->str, got, want);
    }
    freeReplyObject(keys);
    freeReplyObject(others);
}

/* Both servers hold the same, by the digest of all that they have. */
static void expect_equal_servers(const struct world *world)
{
    redisReply *const from = redisCommand(world->from_client, "DEBUG DIGEST");
    redisReply *const to = redisCommand(world->to_client, "DEBUG DIGEST");
    assert_string_equal(from->str, to->str);
    freeReplyObject(from);
    freeReplyObject(to);
}

/* Some of every type, with binary keys and values, expiries to the millisecond. */
static void fill(redisContext *client)
{
    redis_do(client, "SET p:string value");
    redis_do(client, "SET p:empty %b", "", (size_t)0);
    redis_do(client, "SET p:binary %b", "\0\r\n\xff*3", (size_t)6);
    redis_do(client, "SET %b x", "p:\0\r\n\xff key", (size_t)9);
    redis_do(client, "SET p:expiring v PXAT %lld", (long long)FAR_MS);
    redis_do(client, "SET p:int 12345678901234567");
    redis_do(client, "HSET p:hash f1 v1 f2 %b %b v3", "\0", (size_t)1, "\xfe\0", (size_t)2);
    redis_do(client, "PEXPIREAT p:hash %lld", (long long)FAR_MS + 7);
    redis_do(client, "RPUSH p:list a b a %b", "\0c", (size_t)2);
    redis_do(client, "SADD p:set a b c");
    redis_do(client, "SADD p:intset 1 2 3");
    redis_do(client, "ZADD p:zset 1.1 a inf b -inf c 3 d -0.1 e 1e300 f");
    redis_do(client, "XADD p:stream 5-1 f v g w");
    redis_do(client, "XADD p:stream 5-2 f v");
    redis_do(client, "XADD p:stream 6-0 only one");
    redis_do(client, "XDEL p:stream 5-2");
    redis_do(client, "XADD p:emptied 9-9 f v");
    redis_do(client, "XDEL p:emptied 9-9");
    redis_do(client, "SET other:key not-ours");
    redis_do(client, "DEBUG POPULATE 500 p:many 20");
}

static const char *const prefix_p[] = {"prefix", "p:", NULL};
static const char *const prefix_q[] = {"prefix", "q:", NULL};

static void copies_all_types(void **state, enum nsm_lane lane, const char *const *destination)
{
    struct world *const world = *state;
    fill(world->from_client);
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .destination = destination,
        .lane = lane,
    };
    run(&drive, world->ctx);
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
    struct world *const world = *state;
    redis_do(world->from_client, "SET a*b:1 x");
    redis_do(world->from_client, "SET axb:1 x");
    redis_do(world->from_client, "SET [z]\\:1 x");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = (const char *const[]){"prefix", "a*b:", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run(&drive, world->ctx);
    assert_int_equal(drive.n_records, 1);
    drive = (struct drive){
        .from = world->from,
        .to = world->to,
        .selection = (const char *const[]){"prefix", "[z]\\", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run(&drive, world->ctx);
    assert_int_equal(drive.n_records, 1);
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 2);
}

static void test_a_glob_selects_and_a_prefix_goes_before(void **state)
{
    struct world *const world = *state;
    redis_do(world->from_client, "MSET user:1:cart x user:2:cart x user:1:name x");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = (const char *const[]){"match", "user:?:cart", NULL},
        .destination = (const char *const[]){"prefix", "new:", NULL},
        .lane = NSM_LANE_REDIS_DUMP,
    };
    run(&drive, world->ctx);
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
    struct world *const world = *state;
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    run(&drive, world->ctx);
    assert_int_equal(drive.n_parts, 0);
    assert_int_equal(drive.n_refusals, 0);
}

/* ---- parts, batches, tokens ---- */

static void copies_in_pieces(void **state, enum nsm_lane lane)
{
    struct world *const world = *state;
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
    run(&drive, world->ctx);
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
    struct world *const world = *state;
    redis_do(world->from_client, "DEBUG POPULATE 200 p 10000");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_RECORD,
        .batch_bytes = 100000,
    };
    run(&drive, world->ctx);
    assert_int_equal(drive.n_records, 200);
    assert_true(drive.max_batch_bytes <= 120000);
    assert_true(drive.n_batches >= 18);
}

static void test_a_list_of_an_earlier_run_is_taken_up(void **state)
{
    struct world *const world = *state;
    redis_do(world->from_client, "MSET p:1 a p:2 b p:3 c");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    run(&drive, world->ctx);
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
    run(&drive, world->ctx);
    assert_int_equal(drive.n_records, 2);
    assert_int_equal(drive.n_vanished, 1);
    assert_int_equal(redis_do(world->to_client, "EXISTS p:4"), 0);
    /* Another selection's list is none of ours. */
    drive.selection = (const char *const[]){"prefix", "p:4", NULL};
    drive.n_records = 0;
    run(&drive, world->ctx);
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
             "redis.call('RPUSH', 'p:list', 'element-' .. n) "
             "redis.call('SADD', 'p:set', 'member-' .. n) "
             "redis.call('ZADD', 'p:zset', n % 100 + 0.5, 'member-' .. n) "
             "redis.call('XADD', 'p:stream', (n + 1) .. '-1', 'f', 'value-' .. n) "
             "end return 0");
    redis_do(client, "XDEL p:stream 4000-1 5000-1");
    redis_do(client, "PEXPIREAT p:list %lld", (long long)FAR_MS + 1);
    redis_do(client, "SET p:small x");
}

static void copies_big_keys(void **state, enum nsm_lane lane, enum nsm_if_exists if_exists)
{
    struct world *const world = *state;
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
    run(&drive, world->ctx);
    assert_int_equal(drive.n_records, 7);
    assert_true(drive.n_slices > 24);
    assert_true(drive.max_batch_bytes < 200000);
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

static void test_slices_of_keys_that_may_be_skipped(void **state)
{
    copies_big_keys(state, NSM_LANE_RECORD, NSM_IF_EXISTS_SKIP);
}

static void test_a_big_key_that_stands_there_is_skipped(void **state)
{
    struct world *const world = *state;
    redis_do(world->from_client, "EVAL %s 0",
             "for n = 1, 3000 do redis.call('RPUSH', 'p:list', 'element-' .. n) end return 0");
    redis_do(world->to_client, "SET p:list mine");
    struct drive drive = {
        .from = world->from,
        .to = world->to,
        .selection = prefix_p,
        .lane = NSM_LANE_RECORD,
        .if_exists = NSM_IF_EXISTS_SKIP,
    };
    run(&drive, world->ctx);
    assert_int_equal(drive.n_skipped, 1);
    assert_int_equal(redis_do(world->to_client, "STRLEN p:list"), 4);
    assert_int_equal(redis_do(world->to_client, "DBSIZE"), 1);
}

/* ---- if_exists ---- */

static void skips(void **state, enum nsm_lane lane)
{
    struct world *const world = *state;
    fill(world->from_client);
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
    run(&drive, world->ctx);
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
    struct world *const world = *state;
    fill(world->from_client);
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
    run(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 3);
    assert_int_equal(drive.n_skipped, 0);
    expect_same(world, "p:", "p:");
    /* And again: doing it twice is doing it once. */
    run(&drive, world->ctx);
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
    struct world *const world = *state;
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
    run(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 1);
    assert_non_null(strstr(drive.finding, "such as q:2"));
    redis_do(world->to_client, "DEL q:1 q:3 q:4");
    redis_do(world->to_client, "DEBUG POPULATE 100 many");
    drive.n_conflicts = 0;
    run(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 1);
    drive.n_conflicts = 0;
    drive.is_ours = true;
    run(&drive, world->ctx);
    assert_int_equal(drive.n_conflicts, 0);
}

/* ---- what expires ---- */

static void test_what_has_expired_does_not_arrive(void **state)
{
    set_dirty(state);
    struct world *const world = *state;
    redis_do(world->from_client, "SET p:1 v PX 1");
    redis_do(world->from_client, "SET p:2 v");
    redis_do(world->to_client, "DEBUG SET-ACTIVE-EXPIRE 0");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    assert_int_equal(redis_do(world->to_client, "EXISTS p:1"), 0);
    assert_int_equal(redis_do(world->to_client, "EXISTS p:2"), 1);
}

/* ---- streams with groups ---- */

static void test_consumer_groups_travel_as_a_dump_only(void **state)
{
    struct world *const world = *state;
    redis_do(world->from_client, "XADD p:stream 1-1 f v");
    redis_do(world->from_client, "XADD p:stream 2-1 f v");
    redis_do(world->from_client, "XGROUP CREATE p:stream workers 0");
    redis_do(world->from_client, "XREADGROUP GROUP workers w1 COUNT 1 STREAMS p:stream >");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_RECORD};
    expect_error(drive_run(&drive, world->ctx), NSM_E_UNSUPPORTED,
                 "stream p:stream has consumer groups");
    drive.lane = NSM_LANE_REDIS_DUMP;
    run(&drive, world->ctx);
    redisReply *const pending = redisCommand(world->to_client, "XPENDING p:stream workers");
    assert_int_equal(pending->element[0]->integer, 1);
    freeReplyObject(pending);
    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    redis_do(world->to_client, "XACK p:stream workers 1-1");
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_false(nsm_digest_equals(&source, &written));
}

static void test_a_big_stream_with_groups_is_dumped_whole(void **state)
{
    struct world *const world = *state;
    redis_do(world->from_client, "EVAL %s 0",
             "for n = 1, 3000 do redis.call('XADD', 'p:stream', n .. '-1', 'f', n) end return 0");
    redis_do(world->from_client, "XGROUP CREATE p:stream workers 0");
    struct nsm_backend *const from =
        drive_open(world->work_dir,
                   (const char *const[]){"url", world->from_url, "slice_bytes", "4KiB", NULL});
    struct drive drive = {
        .from = from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    assert_int_equal(drive.n_slices, 0);
    expect_same(world, "p:", "p:");
    struct nsm_digest source;
    struct nsm_digest written;
    drive.is_ours = true;
    assert_null(drive_verify(&drive, world->ctx, 0, &source, &written));
    assert_true(nsm_digest_equals(&source, &written));
    drive_close(from);
}

/* ---- several namespaces at once ---- */

static void test_one_pass_serves_nested_prefixes(void **state)
{
    struct world *const world = *state;
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

/* ---- what goes wrong ---- */

static void fails_to_check(const struct world *world, const char *const *pairs, enum nsm_code code,
                           const char *part)
{
    struct nsm_backend *const backend = drive_open(world->work_dir, pairs);
    struct nsm_health health = {0};
    expect_error(backend->adapter->check(backend, world->ctx, &health), code, part);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    drive_close(backend);
}

static void passes_check(const struct world *world, const char *const *pairs, const char *part)
{
    struct nsm_backend *const backend = drive_open(world->work_dir, pairs);
    struct nsm_health health = {0};
    struct nsm_error *const error = backend->adapter->check(backend, world->ctx, &health);
    if (error)
        fail_msg("%s", nsm_error_text(error));
    assert_true(health.latency_ns > 0);
    assert_true(health.clock_offset_ms > -1000 && health.clock_offset_ms < 1000);
    assert_non_null(strstr(health.version, "Redis "));
    if (!strstr(health.details, part))
        fail_msg("%s, expected ...%s...", health.details, part);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    drive_close(backend);
}

static void test_a_server_that_is_not_there(void **state)
{
    set_dirty(state);
    struct world *const world = *state;
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
    set_dirty(state);
    struct world *const world = *state;
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

static void test_a_missing_right_is_named(void **state)
{
    set_dirty(state);
    struct world *const world = *state;
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
    set_dirty(state);
    struct world *const world = *state;
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
    set_dirty(state);
    struct world *const world = *state;
    redis_do(world->from_client, "SET p:1 x");
    redis_do(world->to_client, "REPLICAOF 127.0.0.1 1");
    redis_do(world->to_client, "CONFIG SET replica-serve-stale-data yes");
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    assert_int_equal(drive.n_refusals, 1);
    assert_non_null(strstr(drive.finding, "replica"));
    passes_check(world, (const char *const[]){"url", world->to_url, NULL}, "replica");
}

static void test_a_cluster_is_refused(void **state)
{
    struct world *const world = *state;
    static const char *const cluster_args[] = {"--cluster-enabled", "yes", NULL};
    struct redis_server server;
    redis_server_start(&server, 0, cluster_args);
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", server.port);
    struct nsm_backend *const cluster =
        drive_open(world->work_dir, (const char *const[]){"url", url, NULL});
    struct drive drive = {
        .from = cluster, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    assert_int_equal(drive.n_refusals, 1);
    assert_non_null(strstr(drive.finding, "Redis Cluster"));
    drive = (struct drive){
        .from = world->from, .to = cluster, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    assert_int_equal(drive.n_refusals, 1);
    drive_close(cluster);
    redis_server_stop(&server);
}

/* A server that dies, and comes back: the same backend serves again. */
static void test_a_lost_connection_may_be_tried_again(void **state)
{
    set_dirty(state);
    struct world *const world = *state;
    fill(world->from_client);
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    redis_server_kill(&world->b);
    struct nsm_error *error = drive_run(&drive, world->ctx);
    expect_error(error, NSM_E_UNAVAILABLE, "");
    redis_server_revive(&world->b);
    redisFree(world->to_client);
    world->to_client = redis_server_client(&world->b);
    run(&drive, world->ctx);
    expect_same(world, "p:", "p:");
}

/* A server that dies in the middle of a copy, on either side, in either lane. */
static void test_a_server_lost_in_the_middle(void **state)
{
    set_dirty(state);
    struct world *const world = *state;
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

static void is_canceled_in_time(struct world *world, struct drive *drive)
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
    set_dirty(state);
    struct world *const world = *state;
    fill(world->from_client);
    struct drive drive = {
        .from = world->from, .to = world->to, .selection = prefix_p, .lane = NSM_LANE_REDIS_DUMP};
    run(&drive, world->ctx);
    kill(world->b.pid, SIGSTOP);
    is_canceled_in_time(world, &drive);
    kill(world->b.pid, SIGCONT);
    kill(world->a.pid, SIGSTOP);
    is_canceled_in_time(world, &drive);
    kill(world->a.pid, SIGCONT);
    run(&drive, world->ctx);
}

/* A server that falls silent between two batches: a reader and a writer wake at once. */
static void test_cancel_in_the_middle_of_a_copy(void **state)
{
    set_dirty(state);
    struct world *const world = *state;
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
    set_dirty(state);
    struct world *const world = *state;
    kill(world->a.pid, SIGSTOP);
    fails_to_check(world, (const char *const[]){"url", world->from_url, "timeout", "300ms", NULL},
                   NSM_E_TIMEOUT, "no answer within 300 ms");
    kill(world->a.pid, SIGCONT);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
    struct world *const world = *state;
    struct redis_server server;
    redis_server_start(&server, REDIS_SERVER_TLS, server_args);
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
    run(&drive, world->ctx);
    assert_int_equal(drive.n_records, 200);
    drive = (struct drive){.from = world->to,
                           .to = from,
                           .selection = prefix_p,
                           .destination = prefix_q,
                           .lane = NSM_LANE_REDIS_DUMP,
                           .batch_records = 200};
    run(&drive, world->ctx);
    assert_int_equal(redis_do(client, "DBSIZE"), 400);
    redisFree(client);
    drive_close(from);
    redis_server_stop(&server);
}

static void test_tls_with_our_own_certificate(void **state)
{
    struct world *const world = *state;
    struct redis_server server;
    redis_server_start(&server, REDIS_SERVER_TLS | REDIS_SERVER_WANTS_CLIENT_CERT, server_args);
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
    struct world *const world = *state;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
        TEST(test_slices_of_keys_that_may_be_skipped),
        TEST(test_a_big_key_that_stands_there_is_skipped),
        TEST(test_dump_lane_skips_what_stands),
        TEST(test_record_lane_skips_what_stands),
        TEST(test_dump_lane_replaces_what_stands),
        TEST(test_record_lane_replaces_what_stands),
        TEST(test_conflicts_are_keys_that_would_be_written),
        TEST(test_what_has_expired_does_not_arrive),
        TEST(test_consumer_groups_travel_as_a_dump_only),
        TEST(test_a_big_stream_with_groups_is_dumped_whole),
        TEST(test_one_pass_serves_nested_prefixes),
        TEST(test_a_server_that_is_not_there),
        TEST(test_passwords),
        TEST(test_a_missing_right_is_named),
        TEST(test_a_full_destination_is_named),
        TEST(test_a_replica_is_refused),
        TEST(test_a_cluster_is_refused),
        TEST(test_a_lost_connection_may_be_tried_again),
        TEST(test_a_server_lost_in_the_middle),
        TEST(test_cancel_while_the_server_is_silent),
        TEST(test_cancel_in_the_middle_of_a_copy),
        TEST(test_a_silent_server_times_out),
        TEST(test_tls),
        TEST(test_tls_with_our_own_certificate),
        TEST(test_unix_socket),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
