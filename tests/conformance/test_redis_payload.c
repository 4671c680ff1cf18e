/* What a payload of DUMP is read as: the same as the server's own answers about the key, in every form that it keeps values in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "adapters/redis/redis_payload.h"
#include "migrate/base/parse.h"
#include "migrate/engine/record/digest.h"
#include "tests/support/redis_world.h"

static const char *const reads[] = {
    [NSM_KIND_STRING] = "GET p:1",
    [NSM_KIND_HASH] = "HGETALL p:1",
    [NSM_KIND_LIST] = "LRANGE p:1 0 -1",
    [NSM_KIND_SET] = "SMEMBERS p:1",
    [NSM_KIND_ZSET] = "ZRANGE p:1 0 -1 WITHSCORES",
};

/* A key, made by a command or a script, and how the server must keep it for the test to mean what it says. */
struct form {
    const char *command, *script;
    const char *encoding;
    enum nsm_kind kind;
};

#define NUMBERS                                                                        \
    " 0 127 128 -1 -4096 4095 4096 -4097 -32768 32767 32768 -8388608 8388607 8388608 " \
    "-2147483648 2147483647 2147483648 -9223372036854775808 9223372036854775807 007 - 1.50 "

static const struct form forms[] = {
    {"SET p:1 x", NULL, "embstr", NSM_KIND_STRING},
    {"SET p:1 -128", NULL, "int", NSM_KIND_STRING},
    {"SET p:1 -32768", NULL, "int", NSM_KIND_STRING},
    {"SET p:1 2147483647", NULL, "int", NSM_KIND_STRING},
    {"SET p:1 9223372036854775807", NULL, "int", NSM_KIND_STRING},
    {NULL, "redis.call('SET','p:1','')", "embstr", NSM_KIND_STRING},
    {NULL, "redis.call('SET','p:1',string.rep('abc\\0\\255',20000))", "raw", NSM_KIND_STRING},
    {NULL,
     "local t={} for i=1,20000 do t[i]=string.char(i*i*7%251) end redis.call('SET','p:1',table."
     "concat(t))",
     "raw", NSM_KIND_STRING},
    {"RPUSH p:1" NUMBERS, NULL, "quicklist", NSM_KIND_LIST},
    {NULL, "for i=0,70 do redis.call('RPUSH','p:1',string.rep('x',i),string.rep('y',i*61),i) end",
     "quicklist", NSM_KIND_LIST},
    {NULL, "for i=1,40 do redis.call('RPUSH','p:1',string.rep('z',i*1000)) end", "quicklist",
     NSM_KIND_LIST},
    {"SADD p:1 1 -2 300", NULL, "intset", NSM_KIND_SET},
    {"SADD p:1 1 -70000 300", NULL, "intset", NSM_KIND_SET},
    {"SADD p:1 1 -9223372036854775808 9223372036854775807", NULL, "intset", NSM_KIND_SET},
    {"SADD p:1 a b 7", NULL, "hashtable", NSM_KIND_SET},
    {"HSET p:1" NUMBERS, NULL, "listpack", NSM_KIND_HASH},
    {NULL, "for i=1,600 do redis.call('HSET','p:1','f'..i,string.rep('v',i)) end", "hashtable",
     NSM_KIND_HASH},
    {"ZADD p:1 -inf low +inf high 0.1 tenth 1e300 large -0.5 a 3 b 12345678 c 1e-7 d", NULL,
     "listpack", NSM_KIND_ZSET},
    {NULL,
     "for i=1,300 do redis.call('ZADD','p:1',i/7,'m'..i) end redis.call('ZADD','p:1','-inf','x')",
     "skiplist", NSM_KIND_ZSET},
};

static void make(redisContext *client, const struct form *form)
{
    if (form->script)
        redis_do(client, "EVAL %s 0", form->script);
    else
        redis_do(client, form->command);
}

static struct nsm_str text_of(const redisReply *reply)
{
    return (struct nsm_str){.ptr = reply->str, .len = reply->len};
}

/* The record that the server's answer makes. */
static struct nsm_hash hash_of_answer(const redisReply *reply, enum nsm_kind kind)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const bool is_one = kind == NSM_KIND_STRING;
    const size_t n = is_one ? 1 : reply->elements;
    struct nsm_record record = {
        .kind = kind,
        .expires_at_ms = NSM_NO_EXPIRY,
        .n_items = n,
        .items = nsm_arena_calloc(&arena, n, sizeof(struct nsm_value)),
    };
    for (size_t index = 0; index < n; index++) {
        const struct nsm_str bytes = text_of(is_one ? reply : reply->element[index]);
        record.items[index] = (struct nsm_value){.type = NSM_BYTES, .bytes = bytes};
        if (kind != NSM_KIND_ZSET || index % 2 == 0)
            continue;
        double score = 0;
        char *const text = nsm_arena_alloc(&arena, 32);
        assert_true(nsm_parse_double(bytes, &score));
        record.items[index] = (struct nsm_value){
            .type = NSM_FLOAT,
            .bytes = {.ptr = text, .len = nsm_format_double(score, text)},
        };
    }
    return nsm_record_hash(&record, 0, 0);
}

static void expect_encoding(redisContext *client, const char *encoding)
{
    redisReply *const reply = redisCommand(client, "OBJECT ENCODING p:1");
    assert_non_null(reply);
    assert_string_equal(reply->str, encoding);
    freeReplyObject(reply);
}

static void expect_same_as_answer(redisContext *client, enum nsm_kind kind, struct nsm_str payload)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_record record = {.kind = NSM_KIND_DUMP, .expires_at_ms = NSM_NO_EXPIRY};
    assert_true(nsm_redis_payload_read(payload, &arena, &record));
    assert_int_equal(record.kind, kind);
    redisReply *const answer = redisCommand(client, reads[kind]);
    assert_non_null(answer);
    const struct nsm_hash expected = hash_of_answer(answer, kind);
    const struct nsm_hash found = nsm_record_hash(&record, 0, 0);
    assert_int_equal(found.low, expected.low);
    assert_int_equal(found.high, expected.high);
    freeReplyObject(answer);
}

static void expect_none_when_cut(struct nsm_str payload)
{
    const size_t step = payload.len / 500 + 1;
    for (size_t len = 0; len < payload.len; len += step) {
        struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
        struct nsm_record record = {.kind = NSM_KIND_DUMP};
        assert_false(nsm_redis_payload_read((struct nsm_str){.ptr = payload.ptr, .len = len},
                                            &arena, &record));
        assert_null(record.items);
    }
}

static void test_a_payload_is_what_the_server_answers(void **state)
{
    struct redis_world *const world = *state;
    redisContext *const client = world->from_client;
    for (size_t index = 0; index < NSM_COUNT_OF(forms); index++) {
        redis_do(client, "DEL p:1");
        make(client, &forms[index]);
        expect_encoding(client, forms[index].encoding);
        redisReply *const dump = redisCommand(client, "DUMP p:1");
        assert_non_null(dump);
        expect_same_as_answer(client, forms[index].kind, text_of(dump));
        expect_none_when_cut(text_of(dump));
        freeReplyObject(dump);
    }
}

static void test_an_element_of_its_own_node(void **state)
{
    struct redis_world *const world = *state;
    redisContext *const client = world->from_client;
    redis_do(client, "DEBUG QUICKLIST-PACKED-THRESHOLD 100b");
    redis_world_set_dirty(state);
    redis_do(client, "EVAL %s 0",
             "for i=1,40 do redis.call('RPUSH','p:1',string.rep('z',i*10)) end");
    redisReply *const dump = redisCommand(client, "DUMP p:1");
    assert_non_null(dump);
    expect_same_as_answer(client, NSM_KIND_LIST, text_of(dump));
    freeReplyObject(dump);
}

static void test_a_stream_is_not_told(void **state)
{
    struct redis_world *const world = *state;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_record record = {.kind = NSM_KIND_DUMP};
    redis_do(world->from_client, "XADD p:1 1-1 f v");
    redisReply *const dump = redisCommand(world->from_client, "DUMP p:1");
    assert_non_null(dump);
    assert_false(nsm_redis_payload_read(text_of(dump), &arena, &record));
    assert_int_equal(record.kind, NSM_KIND_DUMP);
    assert_null(record.items);
    freeReplyObject(dump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_payload_is_what_the_server_answers,
                                        redis_world_set_up, redis_world_tear_down),
        cmocka_unit_test_setup_teardown(test_an_element_of_its_own_node, redis_world_set_up,
                                        redis_world_tear_down),
        cmocka_unit_test_setup_teardown(test_a_stream_is_not_told, redis_world_set_up,
                                        redis_world_tear_down),
    };
    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
