/*
 * The JSON writer: shape, escapes, and that no byte sequence whatever makes it write invalid UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/base/parse.h"
#include "migrate/cli/json_writer.h"

#include <jansson.h>
#include <math.h>

static void expect_text(struct nsm_str value, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    struct nsm_json_writer json = nsm_json_writer_on(&out);
    nsm_json_writer_bytes(&json, NULL, value);
    assert_string_equal(out.ptr, expected);
}

static void writes_nested_containers(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    struct nsm_json_writer json = nsm_json_writer_on(&out);
    nsm_json_writer_object(&json, NULL);
    nsm_json_writer_string(&json, "event", "summary");
    nsm_json_writer_array(&json, "list");
    nsm_json_writer_u64(&json, NULL, UINT64_MAX);
    nsm_json_writer_i64(&json, NULL, INT64_MIN);
    nsm_json_writer_object(&json, NULL);
    nsm_json_writer_end(&json);
    nsm_json_writer_array(&json, NULL);
    nsm_json_writer_end(&json);
    nsm_json_writer_bool(&json, NULL, 2 > 1);
    nsm_json_writer_end(&json);
    nsm_json_writer_object(&json, "inner");
    nsm_json_writer_bool(&json, "no", 1 > 2);
    nsm_json_writer_string(&json, "none", NULL);
    nsm_json_writer_end(&json);
    nsm_json_writer_number(&json, "seconds", 1.5);
    nsm_json_writer_end(&json);
    assert_string_equal(out.ptr, "{\"event\":\"summary\",\"list\":[18446744073709551615,"
                                 "-9223372036854775808,{},[],true],\"inner\":{\"no\":false,"
                                 "\"none\":null},\"seconds\":1.500}");
}

static void writes_numbers_that_json_has(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    struct nsm_json_writer json = nsm_json_writer_on(&out);
    nsm_json_writer_array(&json, NULL);
    nsm_json_writer_number(&json, NULL, (double)NAN);
    nsm_json_writer_number(&json, NULL, (double)INFINITY);
    nsm_json_writer_number(&json, NULL, -0.25);
    nsm_json_writer_end(&json);
    assert_string_equal(out.ptr, "[null,null,-0.250]");
}

static void writes_times(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    struct nsm_json_writer json = nsm_json_writer_on(&out);
    nsm_json_writer_array(&json, NULL);
    nsm_json_writer_time(&json, NULL, INT64_C(1769860800500));
    nsm_json_writer_time(&json, NULL, -1);
    nsm_json_writer_time(&json, NULL, 0);
    nsm_json_writer_end(&json);
    assert_string_equal(out.ptr,
                        "[\"2026-01-31T12:00:00.500Z\",\"1969-12-31T23:59:59.999Z\",null]");
}

static void escapes_what_it_must(void **state)
{
    (void)state;
    expect_text(NSM_STR_LIT("plain"), "\"plain\"");
    expect_text(NSM_STR_LIT(""), "\"\"");
    expect_text(NSM_STR_LIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    expect_text(NSM_STR_LIT("\n\r\t\x01\x1f\0"), "\"\\n\\r\\t\\u0001\\u001f\\u0000\"");
    expect_text(NSM_STR_LIT("\x7f\xc2\x85\xe2\x80\xa8"), "\"\\u007f\\u0085\\u2028\"");
    expect_text(NSM_STR_LIT("gr\xc3\xbc\xc3\x9f \xe4\xb8\x96 \xf0\x9f\x98\x80"),
                "\"gr\xc3\xbc\xc3\x9f \xe4\xb8\x96 \xf0\x9f\x98\x80\"");
}

#define REPLACED "\xef\xbf\xbd"

static void replaces_what_is_not_utf8(void **state)
{
    (void)state;
    expect_text(NSM_STR_LIT("a\xff"
                            "b"),
                "\"a" REPLACED "b\"");
    expect_text(NSM_STR_LIT("\xc0\x80"), "\"" REPLACED REPLACED "\""); /* overlong */
    expect_text(NSM_STR_LIT("\xe0\x80\x80"), "\"" REPLACED REPLACED REPLACED "\"");
    expect_text(NSM_STR_LIT("\xed\xa0\x80"), "\"" REPLACED REPLACED REPLACED "\""); /* surrogate */
    expect_text(NSM_STR_LIT("\xf4\x90\x80\x80"),
                "\"" REPLACED REPLACED REPLACED REPLACED "\"");        /* past U+10FFFF */
    expect_text(NSM_STR_LIT("\xe2\x82"), "\"" REPLACED REPLACED "\""); /* cut off */
    expect_text(NSM_STR_LIT("\xe2\x82\""), "\"" REPLACED REPLACED "\\\"\"");
}

/* A fixed generator: the same bytes each time. */
static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void survives_any_bytes(void **state)
{
    (void)state;
    static const unsigned char nasty[] = {0x00, 0x1b, 0x22, 0x5c, 0x80, 0xbf, 0xc2, 0xe2,
                                          0xed, 0xf0, 0xf4, 0xff, 0x41, 0xa0, 0x9f, 0x90};
    uint64_t seed = 7;
    for (unsigned round = 0; round < 20000; round++) {
        char bytes[24];
        const size_t len = next_random(&seed) % (sizeof(bytes) + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)nasty[next_random(&seed) % sizeof(nasty)];

        NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
        struct nsm_json_writer json = nsm_json_writer_on(&out);
        nsm_json_writer_array(&json, NULL);
        nsm_json_writer_bytes(&json, NULL, (struct nsm_str){bytes, len});
        nsm_json_writer_end(&json);
        assert_true(nsm_is_utf8(nsm_buf_view(&out)));
        json_error_t problem;
        json_t *const parsed = json_loadb(out.ptr, out.len, JSON_ALLOW_NUL, &problem);
        assert_non_null(parsed);
        if (nsm_is_utf8((struct nsm_str){bytes, len})) {
            const json_t *const text = json_array_get(parsed, 0);
            assert_int_equal(json_string_length(text), len);
            assert_memory_equal(json_string_value(text), bytes, len);
        }
        json_decref(parsed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_nested_containers),
        cmocka_unit_test(writes_numbers_that_json_has),
        cmocka_unit_test(writes_times),
        cmocka_unit_test(escapes_what_it_must),
        cmocka_unit_test(replaces_what_is_not_utf8),
        cmocka_unit_test(survives_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
