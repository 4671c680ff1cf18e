/* Text to numbers and back, globs, UTF-8: the whole text or nothing, in any locale. */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Copies to the heap without a NUL, so that a sanitizer sees a byte read behind the end. */
static struct nsm_str bare(const char *text, char **ret_memory)
{
    const size_t len = strlen(text);
    *ret_memory = nsm_xmalloc(len);
    if (len)
        memcpy(*ret_memory, text, len);
    return (struct nsm_str){.ptr = *ret_memory, .len = len};
}

static bool u64(const char *text, uint64_t *ret)
{
    NSM_CLEANUP(nsm_freep) char *memory = NULL;
    return nsm_parse_u64(bare(text, &memory), ret);
}

static bool i64(const char *text, int64_t *ret)
{
    NSM_CLEANUP(nsm_freep) char *memory = NULL;
    return nsm_parse_i64(bare(text, &memory), ret);
}

static bool number(const char *text, double *ret)
{
    NSM_CLEANUP(nsm_freep) char *memory = NULL;
    return nsm_parse_double(bare(text, &memory), ret);
}

static bool duration(const char *text, int64_t *ret)
{
    NSM_CLEANUP(nsm_freep) char *memory = NULL;
    return nsm_parse_duration_ms(bare(text, &memory), ret);
}

static bool size(const char *text, uint64_t *ret)
{
    NSM_CLEANUP(nsm_freep) char *memory = NULL;
    return nsm_parse_size(bare(text, &memory), ret);
}

static void whole_numbers(void **state)
{
    (void)state;
    uint64_t u = 0;
    int64_t i = 0;
    assert_true(u64("0", &u) && u == 0);
    assert_true(u64("007", &u) && u == 7);
    assert_true(u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_true(i64("-0", &i) && i == 0);
    assert_true(i64("9223372036854775807", &i) && i == INT64_MAX);
    assert_true(i64("-9223372036854775808", &i) && i == INT64_MIN);
    assert_true(i64("-1", &i) && i == -1);
}

static void what_is_no_whole_number(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        " 1",
        "1 ",
        "+1",
        "--1",
        "-",
        "1.0",
        "0x10",
        "1e3",
        "1_000",
        "a",
        "1a",
        "٣",
        "\t1",
        "1\n",
        "- 1",
        "1,0",
        "''",
        "99999999999999999999",
        "18446744073709551616",
        "28446744073709551615",
    };
    for (size_t k = 0; k < NSM_COUNT_OF(texts); k++) {
        uint64_t u = 42;
        int64_t i = 42;
        assert_false(u64(texts[k], &u));
        assert_false(i64(texts[k], &i));
        assert_true(u == 42 && i == 42);
    }
    uint64_t u = 42;
    int64_t i = 42;
    assert_false(u64("-1", &u));
    assert_false(i64("9223372036854775808", &i));
    assert_false(i64("-9223372036854775809", &i));
    assert_false(nsm_parse_u64((struct nsm_str){.ptr = "1\0", .len = 2}, &u));
    assert_false(nsm_parse_u64((struct nsm_str){0}, &u));
    assert_true(u == 42 && i == 42);
}

/* Also tells 0 from -0. */
static bool is_same(double a, double b)
{
    return a == b && !signbit(a) == !signbit(b);
}

static void assert_number(const char *text, double expected)
{
    double value = 0.5;
    if (!number(text, &value))
        fail_msg("%s is not read as a number", text);
    assert_true(is_same(value, expected));
}

static void decimal_numbers(void **state)
{
    (void)state;
    assert_number("0", 0.0);
    assert_number("-0", -0.0);
    assert_number("-0.0e5", -0.0);
    assert_number("+1.5", 1.5);
    assert_number(".5", 0.5);
    assert_number("5.", 5.0);
    assert_number("1e3", 1000.0);
    assert_number("1E+3", 1000.0);
    assert_number("25e-1", 2.5);
    assert_number("0.1", 0.1);
    assert_number("1.7976931348623157e308", DBL_MAX);
    assert_number("2.2250738585072014e-308", DBL_MIN);
    assert_number("4.9406564584124654e-324", DBL_TRUE_MIN);
    assert_number("5e-324", DBL_TRUE_MIN);
    assert_number("9007199254740993", 9007199254740992.0);
}

static void names_of_what_is_no_finite_number(void **state)
{
    (void)state;
    static const char *const infinities[] = {"inf", "INF", "Infinity", "infinity", "+Infinity"};
    for (size_t k = 0; k < NSM_COUNT_OF(infinities); k++)
        assert_number(infinities[k], (double)INFINITY);
    assert_number("-Infinity", -(double)INFINITY);
    assert_number("-inf", -(double)INFINITY);
    double value = 0.5;
    assert_true(number("NaN", &value) && isnan(value));
    value = 0.5;
    assert_true(number("nan", &value) && isnan(value));
}

static void what_is_no_number(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",      ".",    "-",    "+",   "e5",  ".e5",   "1e",    "1e+",    "1.2.3",  "0x10",
        "1,5",   " 1",   "1 ",   "--1", "+-1", "1e5.5", "1e999", "-1e309", "1e-999", "nan(1)",
        "infin", "infi", "naan", "1f",  "1d",  "1e5x",  "1__0",  "in",     "n",      "\n1",
    };
    for (size_t k = 0; k < NSM_COUNT_OF(texts); k++) {
        double value = 0.5;
        if (number(texts[k], &value))
            fail_msg("'%s' is read as a number", texts[k]);
        assert_true(value == 0.5);
    }
    double value = 0.5;
    assert_false(nsm_parse_double((struct nsm_str){.ptr = "1\0002", .len = 3}, &value));
}

static void long_numbers(void **state)
{
    (void)state;
    char digits[4000];
    memset(digits, '0', sizeof digits);
    digits[0] = '1';
    double value = 0.5;
    assert_true(nsm_parse_double((struct nsm_str){.ptr = digits, .len = 301}, &value));
    assert_true(value == 1e300);
    assert_false(nsm_parse_double((struct nsm_str){.ptr = digits, .len = sizeof digits}, &value));
    digits[0] = '0';
    digits[1] = '.';
    digits[1999] = '1';
    assert_false(nsm_parse_double((struct nsm_str){.ptr = digits, .len = 2000}, &value));
    digits[100] = '1';
    assert_true(nsm_parse_double((struct nsm_str){.ptr = digits, .len = 2000}, &value));
    assert_true(value == 1e-99);
}

static void assert_format(double value, const char *expected)
{
    char text[32];
    const size_t len = nsm_format_double(value, text);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
}

static void numbers_are_written_short(void **state)
{
    (void)state;
    assert_format(0.0, "0");
    assert_format(-0.0, "-0");
    assert_format(1.0, "1");
    assert_format(-1.5, "-1.5");
    assert_format(0.1, "0.1");
    assert_format(0.1 + 0.2, "0.30000000000000004");
    assert_format(1e22, "1e+22");
    assert_format(100000.0, "100000");
    assert_format(1.0 / 3.0, "0.3333333333333333");
    assert_format(5e-324, "5e-324");
    assert_format(DBL_MAX, "1.7976931348623157e+308");
    assert_format(-DBL_MIN, "-2.2250738585072014e-308");
    assert_format((double)NAN, "nan");
    assert_format((double)INFINITY, "inf");
    assert_format(-(double)INFINITY, "-inf");
}

static void assert_round_trip(double value)
{
    char text[32];
    const size_t len = nsm_format_double(value, text);
    assert_in_range(len, 1, sizeof text - 1);
    double again = 0.5;
    assert_true(nsm_parse_double((struct nsm_str){.ptr = text, .len = len}, &again));
    assert_true(is_same(value, again));
}

static void every_number_comes_back(void **state)
{
    (void)state;
    /* All magnitudes with a few mantissas, and bit patterns by chance: a failure prints the number's text. */
    for (int exponent = -1074; exponent <= 1023; exponent++) {
        assert_round_trip(ldexp(1.0, exponent));
        assert_round_trip(-nextafter(ldexp(1.0, exponent), (double)INFINITY));
        assert_round_trip(nextafter(ldexp(1.0, exponent), 0.0));
    }
    for (int k = 0; k < 100000; k++) {
        uint64_t bits = nsm_random_below(UINT64_MAX);
        double value = 0;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            assert_round_trip(value);
    }
}

static void the_locale_of_the_thread_does_not_count(void **state)
{
    (void)state;
    /* Locales with a decimal comma, where installed. */
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8", "C"};
    for (size_t k = 0; k < NSM_COUNT_OF(names); k++) {
        const locale_t locale = newlocale(LC_ALL_MASK, names[k], (locale_t)0);
        if (!locale)
            continue;
        const locale_t before = uselocale(locale);
        assert_number("1.5", 1.5);
        assert_format(1.5, "1.5");
        double value = 0.5;
        assert_false(number("1,5", &value));
        assert_ptr_equal(uselocale(before), locale);
        freelocale(locale);
    }
}

static void durations(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_true(duration("0", &ms) && ms == 0);
    assert_true(duration("0s", &ms) && ms == 0);
    assert_true(duration("200ms", &ms) && ms == 200);
    assert_true(duration("10s", &ms) && ms == 10000);
    assert_true(duration("5m", &ms) && ms == 300000);
    assert_true(duration("2h", &ms) && ms == 7200000);
    assert_true(duration("1d", &ms) && ms == 86400000);
    static const char *const wrong[] = {
        "",
        "5",
        "s",
        "ms",
        "-1s",
        "+1s",
        "1.5s",
        "1 s",
        "1S",
        "1sec",
        "1h30m",
        "1w",
        "s1",
        "00",
        "9223372036854775807s",
        "18446744073709551615ms",
        "99999999999999999999ms",
    };
    for (size_t k = 0; k < NSM_COUNT_OF(wrong); k++) {
        ms = 42;
        assert_false(duration(wrong[k], &ms));
        assert_true(ms == 42);
    }
}

static void sizes(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_true(size("0", &bytes) && bytes == 0);
    assert_true(size("100", &bytes) && bytes == 100);
    assert_true(size("10B", &bytes) && bytes == 10);
    assert_true(size("512KiB", &bytes) && bytes == 524288);
    assert_true(size("4MiB", &bytes) && bytes == 4194304);
    assert_true(size("1GiB", &bytes) && bytes == 1073741824);
    assert_true(size("2TiB", &bytes) && bytes == UINT64_C(2199023255552));
    assert_true(size("4MB", &bytes) && bytes == 4000000);
    assert_true(size("18446744073709551615", &bytes) && bytes == UINT64_MAX);
    static const char *const wrong[] = {
        "",
        "B",
        "MiB",
        "-1",
        "1.5MiB",
        "4 MiB",
        "4mib",
        "4M",
        "4MiBs",
        "18446744073709551615KiB",
        "18446744073709551616",
    };
    for (size_t k = 0; k < NSM_COUNT_OF(wrong); k++) {
        bytes = 42;
        assert_false(size(wrong[k], &bytes));
        assert_true(bytes == 42);
    }
}

static bool matches(const char *pattern, const char *text)
{
    NSM_CLEANUP(nsm_freep) char *pattern_memory = NULL;
    NSM_CLEANUP(nsm_freep) char *text_memory = NULL;
    return nsm_glob_matches(bare(pattern, &pattern_memory), bare(text, &text_memory));
}

static void globs_that_match(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"*", ""},
        {"*", "abc"},
        {"**", "abc"},
        {"abc", "abc"},
        {"a*", "abc"},
        {"*c", "abc"},
        {"a*c", "abc"},
        {"a*c", "ac"},
        {"a?c", "abc"},
        {"*b*", "abc"},
        {"a**c", "axxc"},
        {"*aab", "aaaab"},
        {"a*b*c", "aXbXbXc"},
        {"[abc]x", "bx"},
        {"[a-c]", "b"},
        {"[!a-c]", "d"},
        {"[^a-c]", "d"},
        {"[]]", "]"},
        {"[!]]", "a"},
        {"[]-a]", "^"},
        {"[a-]", "-"},
        {"[-a]", "-"},
        {"\\*", "*"},
        {"\\[a]", "[a]"},
        {"[\\]]", "]"},
        {"[\\a-\\c]", "b"},
        {"[", "["},
        {"a[", "a["},
        {"[a", "[a"},
        {"a\\", "a\\"},
        {"*[0-9]", "tenant_7"},
        {"tenant_*", "tenant_"},
        {"?", "?"},
        {"*?", "x"},
        {"[!!]", "a"},
        {"[\\", "[\\"},
        {"[]", "[]"},
        {"[!", "[!"},
        {"[!]", "[!]"},
    };
    for (size_t k = 0; k < NSM_COUNT_OF(pairs); k++) {
        if (!matches(pairs[k][0], pairs[k][1]))
            fail_msg("'%s' does not match '%s'", pairs[k][0], pairs[k][1]);
    }
}

static void globs_that_do_not_match(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", "a"},
        {"a", ""},
        {"a", "ab"},
        {"?", ""},
        {"??", "a"},
        {"a*c", "abd"},
        {"*x", "abc"},
        {"[abc]", "d"},
        {"[!a-c]", "b"},
        {"[a-c]", ""},
        {"\\*", "a"},
        {"A", "a"},
        {"[c-a]", "b"},
        {"a*b*c", "acb"},
        {"*?", ""},
        {"[^^]", "^"},
        {"tenant_?", "tenant_10"},
        {"\\?", "x"},
        {"*\\*", "ab"},
        {"[]", "]"},
        {"[a]", "[a]"},
    };
    for (size_t k = 0; k < NSM_COUNT_OF(pairs); k++) {
        if (matches(pairs[k][0], pairs[k][1]))
            fail_msg("'%s' matches '%s'", pairs[k][0], pairs[k][1]);
    }
}

static void globs_see_bytes(void **state)
{
    (void)state;
    assert_true(nsm_glob_matches(NSM_STR_LIT("a*b"), NSM_STR_LIT("a\0\xff"
                                                                 "b")));
    assert_true(nsm_glob_matches(NSM_STR_LIT("[\xf0-\xff]"), NSM_STR_LIT("\xf5")));
    assert_false(nsm_glob_matches(NSM_STR_LIT("a"), NSM_STR_LIT("a\0")));
}

static void hostile_globs_end_soon(void **state)
{
    (void)state;
    /* Exponential with backtracking over every star; and deeper than any stack with recursion. */
    NSM_CLEANUP(nsm_freep) char *text = nsm_xmalloc(10001);
    memset(text, 'a', 10000);
    text[10000] = '\0';
    assert_false(matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
    assert_true(matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a", text));
    NSM_CLEANUP(nsm_freep) char *stars = nsm_xmalloc(200001);
    memset(stars, '*', 200000);
    stars[200000] = '\0';
    assert_true(matches(stars, text));
}

static bool utf8(const char *bytes, size_t len)
{
    NSM_CLEANUP(nsm_freep) char *memory = nsm_xmalloc(len);
    memcpy(memory, bytes, len);
    return nsm_is_utf8((struct nsm_str){.ptr = memory, .len = len});
}
#define UTF8(literal) utf8(literal, sizeof(literal) - 1)

static void valid_utf8(void **state)
{
    (void)state;
    assert_true(nsm_is_utf8((struct nsm_str){0}));
    assert_true(UTF8("plain ascii that is longer than eight bytes"));
    assert_true(UTF8("a\0b"));
    assert_true(UTF8("\x7f"));
    assert_true(UTF8("\xc2\x80"));         /* U+0080, the first of two bytes */
    assert_true(UTF8("\xdf\xbf"));         /* U+07FF */
    assert_true(UTF8("\xe0\xa0\x80"));     /* U+0800 */
    assert_true(UTF8("\xed\x9f\xbf"));     /* U+D7FF, before the surrogates */
    assert_true(UTF8("\xee\x80\x80"));     /* U+E000, after them */
    assert_true(UTF8("\xef\xbf\xbf"));     /* U+FFFF */
    assert_true(UTF8("\xf0\x90\x80\x80")); /* U+10000 */
    assert_true(UTF8("\xf4\x8f\xbf\xbf")); /* U+10FFFF, the last */
    assert_true(UTF8("1234567\xc3\xa9 12345678 \xe2\x82\xac"));
}

static void invalid_utf8(void **state)
{
    (void)state;
    assert_false(UTF8("\x80"));
    assert_false(UTF8("\xbf"));
    assert_false(UTF8("\xc0\x80"));
    assert_false(UTF8("\xc1\xbf"));
    assert_false(UTF8("\xc3"));
    assert_false(UTF8("\xc3("));
    assert_false(UTF8("\xe0\x80\x80"));
    assert_false(UTF8("\xe0\x9f\xbf"));
    assert_false(UTF8("\xe2\x82"));
    assert_false(UTF8("\xe2\x82("));
    assert_false(UTF8("\xed\xa0\x80"));
    assert_false(UTF8("\xed\xbf\xbf"));
    assert_false(UTF8("\xf0\x8f\xbf\xbf"));
    assert_false(UTF8("\xf0\x90\x80"));
    assert_false(UTF8("\xf0\x90\x80("));
    assert_false(UTF8("\xf4\x90\x80\x80"));
    assert_false(UTF8("\xf5\x80\x80\x80"));
    assert_false(UTF8("\xff"));
    assert_false(UTF8("12345678\xff"));
    assert_false(UTF8("1234567\xc3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(what_is_no_whole_number),
        cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(names_of_what_is_no_finite_number),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(long_numbers),
        cmocka_unit_test(numbers_are_written_short),
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(the_locale_of_the_thread_does_not_count),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(globs_that_match),
        cmocka_unit_test(globs_that_do_not_match),
        cmocka_unit_test(globs_see_bytes),
        cmocka_unit_test(hostile_globs_end_soon),
        cmocka_unit_test(valid_utf8),
        cmocka_unit_test(invalid_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
