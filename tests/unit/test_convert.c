/*
 * convert.c and expiry.c: what is converted comes back as it was, in the form that the store would
 * write; everything else is refused, without showing the value.
 */
#include "migrate/base/parse.h"
#include "migrate/engine/layout.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Converts `text` of a type to a column; false when it is refused. */
static bool convert(enum nsm_type from, const char *text, const struct nsm_column *to,
                    struct nsm_buf *ret)
{
    struct nsm_arena arena = NSM_ARENA_INIT;
    const struct nsm_value value = {.type = from, .bytes = nsm_str_of(text)};
    struct nsm_value out = {0};
    struct nsm_error *const error = nsm_value_convert(&arena, &value, to, &out);
    if (error) {
        assert_int_equal(nsm_error_code(error), NSM_E_UNSUPPORTED);
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
        nsm_error_write(error, &message);
        assert_non_null(strstr(message.ptr, "column c:"));
        nsm_error_free(error);
    } else {
        assert_int_equal(out.type, to->type);
        nsm_buf_clear(ret);
        nsm_buf_append_str(ret, out.bytes);
    }
    nsm_arena_release(&arena);
    return !error;
}

struct conversion {
    enum nsm_type from;
    const char *text;
    enum nsm_type to;
    const char *type_name;
    const char *wanted; /* NULL: refused */
};

static const struct conversion conversions[] = {
    /* the same type */
    {NSM_INT, "7", NSM_INT, "", "7"},
    {NSM_TEXT, "gr\xc3\xbc\xc3\x9f", NSM_TEXT, "", "gr\xc3\xbc\xc3\x9f"},
    {NSM_TEXT, "\xff", NSM_TEXT, "", NULL},
    {NSM_TIME, "2026-01-31", NSM_TIME, "date", "2026-01-31"},
    {NSM_OTHER, "(1,2)", NSM_OTHER, "point", "(1,2)"},
    /* to bool */
    {NSM_INT, "1", NSM_BOOL, "", "t"},
    {NSM_INT, "0", NSM_BOOL, "", "f"},
    {NSM_INT, "2", NSM_BOOL, "", NULL},
    {NSM_INT, "-1", NSM_BOOL, "", NULL},
    {NSM_TEXT, "t", NSM_BOOL, "", "t"},
    {NSM_TEXT, "f", NSM_BOOL, "", "f"},
    {NSM_TEXT, "true", NSM_BOOL, "", NULL},
    {NSM_TEXT, "1", NSM_BOOL, "", NULL},
    {NSM_TEXT, "", NSM_BOOL, "", NULL},
    {NSM_FLOAT, "1", NSM_BOOL, "", NULL},
    /* to int */
    {NSM_BOOL, "t", NSM_INT, "", "1"},
    {NSM_BOOL, "f", NSM_INT, "", "0"},
    {NSM_TEXT, "-9223372036854775808", NSM_INT, "", "-9223372036854775808"},
    {NSM_TEXT, "9223372036854775808", NSM_INT, "", NULL},
    {NSM_TEXT, "007", NSM_INT, "", NULL},
    {NSM_TEXT, "+7", NSM_INT, "", NULL},
    {NSM_TEXT, "-0", NSM_INT, "", NULL},
    {NSM_TEXT, " 7", NSM_INT, "", NULL},
    {NSM_TEXT, "", NSM_INT, "", NULL},
    {NSM_NUMERIC, "7", NSM_INT, "", "7"},
    {NSM_NUMERIC, "7.0", NSM_INT, "", NULL},
    {NSM_FLOAT, "7", NSM_INT, "", NULL},
    {NSM_BYTES, "7", NSM_INT, "", NULL},
    /* to float */
    {NSM_INT, "1000000", NSM_FLOAT, "", "1000000"},
    {NSM_INT, "1000000000000000", NSM_FLOAT, "", "1e+15"},
    {NSM_INT, "9007199254740992", NSM_FLOAT, "", "9007199254740992"},
    {NSM_INT, "9007199254740993", NSM_FLOAT, "", NULL},
    {NSM_INT, "-9223372036854775808", NSM_FLOAT, "", "-9.223372036854776e+18"},
    {NSM_INT, "9223372036854775807", NSM_FLOAT, "", NULL},
    {NSM_TEXT, "0.1", NSM_FLOAT, "", "0.1"},
    {NSM_TEXT, "0.10", NSM_FLOAT, "", NULL},
    {NSM_TEXT, "nan", NSM_FLOAT, "", "nan"},
    {NSM_TEXT, "NaN", NSM_FLOAT, "", NULL},
    {NSM_TEXT, "NaN", NSM_NUMERIC, "", "NaN"},
    {NSM_TEXT, "-Infinity", NSM_NUMERIC, "", "-Infinity"},
    {NSM_TEXT, "nan", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, "0.1000000000000000055511151231257827", NSM_FLOAT, "", NULL},
    {NSM_NUMERIC, "0.5", NSM_FLOAT, "", "0.5"},
    {NSM_NUMERIC, "0.50", NSM_FLOAT, "", NULL},
    {NSM_BOOL, "t", NSM_FLOAT, "", NULL},
    {NSM_FLOAT, "0.1", NSM_FLOAT, "real", "0.1"},
    {NSM_FLOAT, "3.4028235e+38", NSM_FLOAT, "real", "3.4028235e+38"},
    {NSM_FLOAT, "nan", NSM_FLOAT, "real", "nan"},
    {NSM_FLOAT, "0.1234567890123", NSM_FLOAT, "real", NULL},
    {NSM_FLOAT, "1e+300", NSM_FLOAT, "real", NULL},
    {NSM_INT, "16777217", NSM_FLOAT, "real", NULL},
    /* to numeric */
    {NSM_INT, "-5", NSM_NUMERIC, "", "-5"},
    {NSM_FLOAT, "1.5e-07", NSM_NUMERIC, "", "0.00000015"},
    {NSM_FLOAT, "-1.25e+20", NSM_NUMERIC, "", "-125000000000000000000"},
    {NSM_FLOAT, "1e+15", NSM_NUMERIC, "", "1000000000000000"},
    {NSM_FLOAT, "0.1", NSM_NUMERIC, "", "0.1"},
    {NSM_FLOAT, "nan", NSM_NUMERIC, "", "NaN"},
    {NSM_FLOAT, "-inf", NSM_NUMERIC, "", "-Infinity"},
    {NSM_FLOAT, "-0", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, "1.10", NSM_NUMERIC, "", "1.10"},
    {NSM_TEXT, "-0.5", NSM_NUMERIC, "", "-0.5"},
    {NSM_TEXT, "-0.0", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, "01.1", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, ".5", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, "5.", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, "1e3", NSM_NUMERIC, "", NULL},
    {NSM_TEXT, "-", NSM_NUMERIC, "", NULL},
    {NSM_NUMERIC, "1.10", NSM_NUMERIC, "numeric(10,2)", "1.10"},
    {NSM_NUMERIC, "1.1", NSM_NUMERIC, "numeric(10,2)", NULL},
    {NSM_NUMERIC, "1.105", NSM_NUMERIC, "numeric(10,2)", NULL},
    {NSM_NUMERIC, "NaN", NSM_NUMERIC, "numeric(10,2)", "NaN"},
    {NSM_NUMERIC, "1200", NSM_NUMERIC, "numeric(4,-2)", "1200"},
    {NSM_NUMERIC, "1250", NSM_NUMERIC, "numeric(4,-2)", NULL},
    {NSM_INT, "5", NSM_NUMERIC, "numeric(10,0)", "5"},
    {NSM_INT, "5", NSM_NUMERIC, "numeric(10,2)", NULL},
    {NSM_BOOL, "t", NSM_NUMERIC, "", NULL},
    /* to text */
    {NSM_INT, "7", NSM_TEXT, "", "7"},
    {NSM_NUMERIC, "1.10", NSM_TEXT, "", "1.10"},
    {NSM_BOOL, "t", NSM_TEXT, "", "t"},
    {NSM_TIME, "2026-01-31 12:00:00.5+00", NSM_TEXT, "", "2026-01-31 12:00:00.5+00"},
    {NSM_UUID, "00000000-0000-0000-0000-000000000001", NSM_TEXT, "",
     "00000000-0000-0000-0000-000000000001"},
    {NSM_JSON, "{\"a\": 1}", NSM_TEXT, "", "{\"a\": 1}"},
    {NSM_OTHER, "10.0.0.1", NSM_TEXT, "", "10.0.0.1"},
    {NSM_BYTES, "plain", NSM_TEXT, "", "plain"},
    {NSM_BYTES, "\xff", NSM_TEXT, "", NULL},
    {NSM_TEXT,
     "\xc3\xbc"
     "bc",
     NSM_TEXT, "character(3)",
     "\xc3\xbc"
     "bc"},
    {NSM_TEXT, "ab", NSM_TEXT, "character(3)", NULL},
    {NSM_TEXT, "abcd", NSM_TEXT, "character varying(3)", "abcd"}, /* the store refuses it */
    {NSM_TEXT, "ab", NSM_TEXT, "\"char\"", NULL},
    /* to bytes */
    {NSM_TEXT, "plain", NSM_BYTES, "", "plain"},
    {NSM_JSON, "[1]", NSM_BYTES, "", "[1]"},
    {NSM_INT, "7", NSM_BYTES, "", NULL},
    /* to times */
    {NSM_TEXT, "2026-01-31", NSM_TIME, "date", "2026-01-31"},
    {NSM_TEXT, "294276-12-31", NSM_TIME, "date", "294276-12-31"},
    {NSM_TEXT, "02026-01-31", NSM_TIME, "date", NULL},
    {NSM_TEXT, "4713-01-01 BC", NSM_TIME, "date", "4713-01-01 BC"},
    {NSM_TEXT, "2026-13-01", NSM_TIME, "date", NULL},
    {NSM_TEXT, "2026-01-00", NSM_TIME, "date", NULL},
    {NSM_TEXT, "2026-1-31", NSM_TIME, "date", NULL},
    {NSM_TEXT, "31.01.2026", NSM_TIME, "date", NULL},
    {NSM_TEXT, "infinity", NSM_TIME, "date", "infinity"},
    {NSM_TEXT, "infinity", NSM_TIME, "time", NULL},
    {NSM_TEXT, "12:00:00", NSM_TIME, "time", "12:00:00"},
    {NSM_TEXT, "12:00:00 BC", NSM_TIME, "time", NULL},
    {NSM_TEXT, "12:00:00+00", NSM_TIME, "timetz", "12:00:00+00"},
    {NSM_TEXT, "12:00", NSM_TIME, "time", NULL},
    {NSM_TEXT, "2026-01-31 12:00:00.123456", NSM_TIME, "timestamp", "2026-01-31 12:00:00.123456"},
    {NSM_TEXT, "2026-01-31 12:00:00.1234567", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31 12:00:00.50", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31 12:00:00.", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31T12:00:00", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31 24:00:00", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31 12:00:60", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31 12:00:00+00", NSM_TIME, "timestamp", NULL},
    {NSM_TEXT, "2026-01-31 12:00:00", NSM_TIME, "timestamptz", NULL},
    {NSM_TEXT, "2026-01-31 12:00:00+01", NSM_TIME, "timestamptz", NULL},
    {NSM_TEXT, "0044-03-15 12:00:00+00 BC", NSM_TIME, "timestamptz", "0044-03-15 12:00:00+00 BC"},
    {NSM_TEXT, "1 day", NSM_TIME, "interval", NULL},
    {NSM_INT, "0", NSM_TIME, "date", NULL},
    /* to uuid, json, other */
    {NSM_TEXT, "123e4567-e89b-12d3-a456-426614174000", NSM_UUID, "",
     "123e4567-e89b-12d3-a456-426614174000"},
    {NSM_TEXT, "123E4567-e89b-12d3-a456-426614174000", NSM_UUID, "", NULL},
    {NSM_TEXT, "123e4567e89b12d3a456426614174000", NSM_UUID, "", NULL},
    {NSM_TEXT, "{123e4567-e89b-12d3-a456-4266141740}", NSM_UUID, "", NULL},
    {NSM_TEXT, "{\"a\": 1}", NSM_JSON, "json", "{\"a\": 1}"},
    {NSM_TEXT, "{\"a\": 1}", NSM_JSON, "jsonb", NULL},
    {NSM_BYTES, "[]", NSM_JSON, "json", NULL},
    {NSM_TEXT, "10.0.0.1", NSM_OTHER, "inet", NULL},
};

static void test_table(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    for (size_t at = 0; at < NSM_COUNT_OF(conversions); at++) {
        const struct conversion *const row = &conversions[at];
        const struct nsm_column to = {.name = "c", .type = row->to, .type_name = row->type_name};
        const bool is_taken = convert(row->from, row->text, &to, &out);
        const bool is_right =
            is_taken ? row->wanted && strcmp(out.ptr, row->wanted) == 0 : !row->wanted;
        if (!is_right)
            print_error("%s '%s' to %s %s: %s, wanted %s\n", nsm_type_name(row->from), row->text,
                        nsm_type_name(row->to), row->type_name, is_taken ? out.ptr : "refused",
                        row->wanted ? row->wanted : "refused");
        assert_true(is_right);
        /* What can happen to a value is not refused to its column. */
        assert_true(!is_taken || nsm_type_may_convert(row->from, row->to));
    }
}

static void test_null(void **state)
{
    (void)state;
    struct nsm_arena arena = NSM_ARENA_INIT;
    const struct nsm_value null = {.type = NSM_NULL};
    struct nsm_column to = {.name = "c", .type = NSM_INT, .type_name = "integer"};
    struct nsm_value out = {.type = NSM_INT};
    assert_null(nsm_value_convert(&arena, &null, &to, &out));
    assert_int_equal(out.type, NSM_NULL);
    to.is_not_null = true;
    struct nsm_error *const error = nsm_value_convert(&arena, &null, &to, &out);
    assert_true(nsm_error_is(error, NSM_E_UNSUPPORTED));
    nsm_error_free(error);
    nsm_arena_release(&arena);
}

static void test_error_hides_the_value(void **state)
{
    (void)state;
    struct nsm_arena arena = NSM_ARENA_INIT;
    const struct nsm_value value = {.type = NSM_TEXT, .bytes = NSM_STR_LIT("hunter2")};
    const struct nsm_column to = {.name = "age", .type = NSM_INT, .type_name = "integer"};
    struct nsm_value out = {0};
    struct nsm_error *const error = nsm_value_convert(&arena, &value, &to, &out);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_error_write(error, &text);
    assert_string_equal(text.ptr, "column age: a value of type text can't be stored as integer: it "
                                  "would not come back as it is");
    nsm_error_free(error);
    nsm_arena_release(&arena);
}

static void test_text_with_nul(void **state)
{
    (void)state;
    struct nsm_arena arena = NSM_ARENA_INIT;
    const struct nsm_column to = {.name = "c", .type = NSM_TEXT, .type_name = ""};
    const struct nsm_value value = {.type = NSM_BYTES, .bytes = {"a\0b", 3}};
    struct nsm_value out = {0};
    struct nsm_error *const error = nsm_value_convert(&arena, &value, &to, &out);
    assert_true(nsm_error_is(error, NSM_E_UNSUPPORTED));
    nsm_error_free(error);
    nsm_arena_release(&arena);
}

/* ---- there and back ---- */

struct random {
    uint64_t state;
};

static uint64_t below(struct random *random, uint64_t bound)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (random->state >> 11) % bound;
}

static const char *random_decimal(struct random *random, struct nsm_arena *arena)
{
    static const char *const nasty[] = {"0",   "-0",  "0.0", "-0.0", "00",  "1.0", "1.10",
                                        "NaN", "nan", "",    "-",    "1e5", "inf"};
    if (below(random, 4) == 0)
        return nasty[below(random, NSM_COUNT_OF(nasty))];
    const char *const sign = below(random, 3) ? "" : "-";
    if (below(random, 2))
        return nsm_arena_printf(arena, "%s%" PRIu64, sign,
                                below(random, UINT64_C(1) << below(random, 53)));
    return nsm_arena_printf(arena, "%s%" PRIu64 ".%" PRIu64, sign, below(random, 1000),
                            below(random, 100000));
}

/* A text that is plausible as anything. */
static const char *random_text(struct random *random, struct nsm_arena *arena)
{
    switch (below(random, 5)) {
    case 0:
        return nsm_arena_printf(arena, "%04u-%02u-%02u", (unsigned)below(random, 3000),
                                (unsigned)below(random, 14), (unsigned)below(random, 33));
    case 1:
        return nsm_arena_printf(arena, "%02u:%02u:%02u.%u", (unsigned)below(random, 26),
                                (unsigned)below(random, 62), (unsigned)below(random, 62),
                                (unsigned)below(random, 2000));
    case 2:
        return below(random, 2) ? "t" : "f";
    case 3: {
        double number = (double)below(random, UINT64_MAX) / (double)(1 + below(random, 1000));
        number = below(random, 2) ? ldexp(number, -(int)below(random, 900)) : -number;
        char text[32];
        (void)nsm_format_double(number, text);
        return nsm_arena_strdup(arena, text);
    }
    default:
        return random_decimal(random, arena);
    }
}

/* Whether a value of that type can have this text. */
static bool is_of_type(enum nsm_type type, const char *text)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    const struct nsm_column column = {
        .name = "c", .type = type, .type_name = type == NSM_TIME ? "date" : ""};
    return convert(NSM_TEXT, text, &column, &out);
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const enum nsm_type types[] = {NSM_BOOL, NSM_INT,   NSM_FLOAT, NSM_NUMERIC,
                                          NSM_TEXT, NSM_BYTES, NSM_TIME,  NSM_JSON};
    struct random random = {.state = 0x1234567890abcdef};
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf there = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf back = NSM_BUF_TEXT;
    size_t n_done = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct nsm_arena arena = NSM_ARENA_INIT;
        const char *const text = random_text(&random, &arena);
        const enum nsm_type from = types[below(&random, NSM_COUNT_OF(types))];
        const enum nsm_type to = types[below(&random, NSM_COUNT_OF(types))];
        const struct nsm_column column_to = {
            .name = "c", .type = to, .type_name = to == NSM_TIME ? "date" : ""};
        const struct nsm_column column_from = {
            .name = "c", .type = from, .type_name = from == NSM_TIME ? "date" : ""};
        if (is_of_type(from, text) && convert(from, text, &column_to, &there) &&
            convert(to, there.ptr, &column_from, &back)) {
            n_done++;
            if (strcmp(back.ptr, text) != 0)
                print_error("%s '%s' to %s '%s' and back '%s'\n", nsm_type_name(from), text,
                            nsm_type_name(to), there.ptr, back.ptr);
            assert_string_equal(back.ptr, text);
        }
        nsm_arena_release(&arena);
    }
    assert_true(n_done > 1000);
}

/* ---- expiries ---- */

static void check_expiry(int64_t ms, const char *wanted)
{
    char text[40];
    size_t len = 0;
    assert_true(nsm_expiry_format(ms, text, &len));
    assert_string_equal(text, wanted);
    assert_int_equal(len, strlen(wanted));
    int64_t again = 0;
    assert_true(nsm_expiry_parse(nsm_str_of(wanted), &again));
    assert_true(again == ms);
}

static void test_expiry(void **state)
{
    (void)state;
    check_expiry(0, "1970-01-01 00:00:00+00");
    check_expiry(1, "1970-01-01 00:00:00.001+00");
    check_expiry(-1, "1969-12-31 23:59:59.999+00");
    check_expiry(INT64_C(1769860800120), "2026-01-31 12:00:00.12+00");
    check_expiry(INT64_C(951782400000), "2000-02-29 00:00:00+00");
    check_expiry(INT64_C(4107542399000), "2100-02-28 23:59:59+00");
    check_expiry(INT64_C(253402300799999), "9999-12-31 23:59:59.999+00");
    check_expiry(INT64_C(253402300800000), "10000-01-01 00:00:00+00");
    check_expiry(INT64_C(-62135596800000), "0001-01-01 00:00:00+00");
    check_expiry(INT64_C(-62135596800001), "0001-12-31 23:59:59.999+00 BC");
    check_expiry(INT64_C(-210866803200000), "4714-11-24 00:00:00+00 BC");
    check_expiry(INT64_C(9224318015999999), "294276-12-31 23:59:59.999+00");
    char text[40];
    size_t len = 0;
    assert_false(nsm_expiry_format(INT64_C(-210866803200001), text, &len));
    assert_false(nsm_expiry_format(INT64_C(9224318016000000), text, &len));
    assert_false(nsm_expiry_format(INT64_MIN, text, &len));
    assert_false(nsm_expiry_format(NSM_NO_EXPIRY, text, &len));
}

static void test_expiry_round_trip(void **state)
{
    (void)state;
    struct random random = {.state = 99};
    for (unsigned round = 0; round < 50000; round++) {
        const int64_t ms =
            INT64_C(-210866803200000) + (int64_t)below(&random, UINT64_C(9435184819200000));
        char text[40];
        size_t len = 0;
        int64_t again = 0;
        assert_true(nsm_expiry_format(ms, text, &len));
        assert_true(nsm_expiry_parse((struct nsm_str){text, len}, &again));
        assert_true(again == ms);
    }
}

static void test_expiry_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "infinity",
        "2026-01-31",
        "2026-01-31 12:00:00",
        "2026-01-31 12:00:00+01",
        "2026-01-31 12:00:00.1234+00",
        "2026-01-31 12:00:00.10+00",
        "2026-01-31 12:00:00.+00",
        "2026-01-31 24:00:00+00",
        "2026-01-31 12:60:00+00",
        "2026-02-29 12:00:00+00",
        "2026-00-10 12:00:00+00",
        "2026-01-31T12:00:00+00",
        "02026-01-31 12:00:00+00",
        "0000-01-31 12:00:00+00",
        "2026-01-31 12:00:00+00 ",
        "2026-01-31 12:00:00+00 BC ",
        "999999-01-31 12:00:00+00",
        "294277-01-01 00:00:00+00",
        "4714-11-23 23:59:59+00 BC",
    };
    for (size_t at = 0; at < NSM_COUNT_OF(texts); at++) {
        int64_t ms = 7;
        assert_false(nsm_expiry_parse(nsm_str_of(texts[at]), &ms));
        assert_true(ms == 7);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_error_hides_the_value),
        cmocka_unit_test(test_text_with_nul),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_expiry_round_trip),
        cmocka_unit_test(test_expiry_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
