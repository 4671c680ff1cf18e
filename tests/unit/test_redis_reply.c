#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/redis/redis_reply.h"
#include "migrate/base/buf.h"

static struct nsm_str bytes_of(const char *text, size_t len)
{
    return (struct nsm_str){.ptr = text, .len = len};
}

static const struct nsm_redis_reply *parse(struct nsm_redis_parser *parser, struct nsm_arena *arena,
                                           struct nsm_str bytes)
{
    const struct nsm_redis_reply *reply;
    assert_null(nsm_redis_parser_feed(parser, bytes));
    assert_null(nsm_redis_parser_next(parser, arena, &reply));
    return reply;
}

static void test_every_type(void **state)
{
    (void)state;
    struct nsm_redis_parser *parser NSM_CLEANUP(nsm_redis_parser_freep) = nsm_redis_parser_new();
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply = parse(parser, &arena, NSM_STR_LIT("+OK\r\n"));
    assert_int_equal(reply->type, NSM_REDIS_STATUS);
    assert_true(nsm_str_equals(reply->str, NSM_STR_LIT("OK")));
    reply = parse(parser, &arena, NSM_STR_LIT(":-42\r\n"));
    assert_int_equal(reply->type, NSM_REDIS_INTEGER);
    assert_int_equal(reply->integer, -42);
    reply = parse(parser, &arena, NSM_STR_LIT("$-1\r\n"));
    assert_int_equal(reply->type, NSM_REDIS_NIL);
    reply = parse(parser, &arena, bytes_of("$4\r\n\0\r\n\xff\r\n", 10));
    assert_int_equal(reply->type, NSM_REDIS_STRING);
    assert_true(nsm_str_equals(reply->str, bytes_of("\0\r\n\xff", 4)));
    reply = parse(parser, &arena, NSM_STR_LIT("-ERR no\r\n"));
    assert_int_equal(reply->type, NSM_REDIS_ERROR);
    reply = parse(parser, &arena, NSM_STR_LIT("*0\r\n"));
    assert_int_equal(reply->type, NSM_REDIS_ARRAY);
    assert_int_equal(reply->n_elements, 0);
}

/* Nested arrays, given byte by byte; several replies in one piece. */
static void test_pieces(void **state)
{
    (void)state;
    static const char text[] = "*3\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n$2\r\nbc\r\n$-1\r\n+NEXT\r\n";
    struct nsm_redis_parser *parser NSM_CLEANUP(nsm_redis_parser_freep) = nsm_redis_parser_new();
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply = NULL;
    size_t at = 0;
    while (!reply)
        reply = parse(parser, &arena, bytes_of(text + at++, 1));
    assert_int_equal(reply->n_elements, 3);
    assert_true(nsm_str_equals(reply->elements[0].str, NSM_STR_LIT("a")));
    assert_int_equal(reply->elements[1].elements[0].integer, 1);
    assert_true(nsm_str_equals(reply->elements[1].elements[1].elements[0].str, NSM_STR_LIT("bc")));
    assert_int_equal(reply->elements[2].type, NSM_REDIS_NIL);
    reply = parse(parser, &arena, bytes_of(text + at, sizeof(text) - 1 - at));
    assert_true(nsm_str_equals(reply->str, NSM_STR_LIT("NEXT")));
    assert_null(nsm_redis_parser_next(parser, &arena, &reply));
    assert_null(reply);
}

static void fails(struct nsm_str bytes, enum nsm_code code)
{
    struct nsm_redis_parser *parser NSM_CLEANUP(nsm_redis_parser_freep) = nsm_redis_parser_new();
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply;
    assert_null(nsm_redis_parser_feed(parser, bytes));
    struct nsm_error *const error = nsm_redis_parser_next(parser, &arena, &reply);
    assert_true(nsm_error_is(error, code));
    nsm_error_free(error);
}

static void test_what_is_no_reply(void **state)
{
    (void)state;
    fails(NSM_STR_LIT("HTTP/1.1 400 Bad Request\r\n"), NSM_E_CORRUPT);
    fails(NSM_STR_LIT("*2\r\n?\r\n"), NSM_E_CORRUPT);
    fails(NSM_STR_LIT("*4194305\r\n"), NSM_E_NOMEM);
    /* What nested headers promise counts together. */
    fails(NSM_STR_LIT("*3000000\r\n*3000000\r\n"), NSM_E_NOMEM);
    fails(NSM_STR_LIT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
          NSM_E_CORRUPT);
}

static void is_told(const char *reply_text, const char *key, enum nsm_code code,
                    const char *expected)
{
    const struct nsm_redis_reply reply = {.type = NSM_REDIS_ERROR, .str = nsm_str_of(reply_text)};
    struct nsm_error *const error = nsm_redis_reply_error(&reply, "RESTORE", nsm_str_of(key));
    char *const text = nsm_error_text(error);
    assert_string_equal(text, expected);
    assert_int_equal(nsm_error_code(error), code);
    free(text);
    nsm_error_free(error);
}

static void test_errors_and_their_codes(void **state)
{
    (void)state;
    is_told("OOM command not allowed when used memory > 'maxmemory'.", "session:9f2", NSM_E_IO,
            "RESTORE session:9f2: OOM command not allowed when used memory > 'maxmemory'; raise "
            "maxmemory at the destination or make room");
    is_told("LOADING Redis is loading the dataset in memory", "", NSM_E_UNAVAILABLE,
            "RESTORE: LOADING Redis is loading the dataset in memory");
    is_told("BUSY Redis is busy", "", NSM_E_UNAVAILABLE, "RESTORE: BUSY Redis is busy");
    is_told("BUSYKEY Target key name already exists.", "k", NSM_E_CONFLICT,
            "RESTORE k: BUSYKEY Target key name already exists");
    is_told("NOAUTH Authentication required.", "", NSM_E_AUTH,
            "RESTORE: NOAUTH Authentication required; put a password into the backend's url, or "
            "into the environment as REDISCLI_AUTH");
    is_told("MOVED 866 127.0.0.1:7001", "k", NSM_E_UNAVAILABLE,
            "RESTORE k: MOVED 866 127.0.0.1:7001");
    is_told("ERR something else", "k", NSM_E_IO, "RESTORE k: ERR something else");
    /* Neither arguments nor control characters come through. */
    is_told("ERR unknown command 'X', with args beginning with: 'secret'", "", NSM_E_UNSUPPORTED,
            "RESTORE: ERR unknown command 'X'; a Redis from 5.0 on is needed");
    is_told("ERR \x1b[31m", "a\x01 b\\", NSM_E_IO, "RESTORE a\\x01\\x20b\\\\: ERR ?[31m");
}

static void test_long_keys_are_cut(void **state)
{
    (void)state;
    char key[200];
    memset(key, 'k', sizeof(key));
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(bytes_of(key, sizeof(key)), &text);
    assert_int_equal(text.len, 67);
    assert_string_equal(text.ptr + 64, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_what_is_no_reply),  cmocka_unit_test(test_errors_and_their_codes),
        cmocka_unit_test(test_long_keys_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
