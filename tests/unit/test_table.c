/*
 * Tables, and the figures and texts in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/base/parse.h"
#include "migrate/cli/table.h"

#include <math.h>

/* ---- figures ---- */

static void expect_count(uint64_t count, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_human_count(&out, count);
    assert_string_equal(out.ptr, expected);
}

static void expect_bytes(uint64_t bytes, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_human_bytes(&out, bytes);
    assert_string_equal(out.ptr, expected);
}

static void expect_seconds(double seconds, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_human_seconds(&out, seconds);
    assert_string_equal(out.ptr, expected);
}

static void expect_rate(double rate, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_human_rate(&out, rate);
    assert_string_equal(out.ptr, expected);
}

static void counts_have_commas(void **state)
{
    (void)state;
    expect_count(0, "0");
    expect_count(999, "999");
    expect_count(1000, "1,000");
    expect_count(1234567, "1,234,567");
    expect_count(UINT64_MAX, "18,446,744,073,709,551,615");
}

static void bytes_have_units(void **state)
{
    (void)state;
    expect_bytes(0, "0 B");
    expect_bytes(1023, "1023 B");
    expect_bytes(1024, "1.0 KiB");
    expect_bytes(12897485, "12.3 MiB");
    expect_bytes((1 << 20) - 1, "1.0 MiB");
    expect_bytes(UINT64_MAX, "16.0 EiB");
}

static void seconds_grow_into_minutes_and_days(void **state)
{
    (void)state;
    expect_seconds(0, "0.00 s");
    expect_seconds(0.04, "0.04 s");
    expect_seconds(0.999, "1.0 s");
    expect_seconds(4.2, "4.2 s");
    expect_seconds(59.94, "59.9 s");
    expect_seconds(59.96, "1m 00s");
    expect_seconds(185, "3m 05s");
    expect_seconds(7500, "2h 05m");
    expect_seconds(200000, "2d 07h");
    expect_seconds((double)NAN, "?");
    expect_seconds(-1, "?");
    expect_seconds(1e300, "347222d 05h");
}

static void rates_have_units(void **state)
{
    (void)state;
    expect_rate(0, "0.0/s");
    expect_rate(9.94, "9.9/s");
    expect_rate(9.96, "10/s");
    expect_rate(812, "812/s");
    expect_rate(999.6, "1.0k/s");
    expect_rate(812345, "812k/s");
    expect_rate(1250000, "1.2M/s");
    expect_rate(1e15, "1000000G/s");
    expect_rate((double)INFINITY, "?");
}

/* ---- text ---- */

static void expect_clean(struct nsm_str text, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_human_text(&out, text);
    assert_string_equal(out.ptr, expected);
}

static void text_can_not_reach_the_terminal(void **state)
{
    (void)state;
    expect_clean(NSM_STR_LIT("plain"), "plain");
    expect_clean(NSM_STR_LIT("\x1b]0;owned\x07"), "\\x1b]0;owned\\x07");
    expect_clean(NSM_STR_LIT("two\nlines\tand\rmore"), "two\\nlines\\tand\\x0dmore");
    expect_clean(NSM_STR_LIT("\xc2\x9b"
                             "31m"),
                 "\\x9b31m"); /* the one-character CSI */
    expect_clean(NSM_STR_LIT("\xe2\x80\xae"), "\\u202e");
    expect_clean(NSM_STR_LIT("a\0b\xff"), "a\\x00b\xef\xbf\xbd");
    expect_clean(NSM_STR_LIT("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

static void width_is_that_of_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(nsm_human_width(NSM_STR_LIT("")), 0);
    assert_int_equal(nsm_human_width(NSM_STR_LIT("plain")), 5);
    assert_int_equal(nsm_human_width(NSM_STR_LIT("gr\xc3\xbc\xc3\x9f")), 4);
    assert_int_equal(nsm_human_width(NSM_STR_LIT("\xe4\xb8\x96\xe7\x95\x8c")), 4);
    assert_int_equal(nsm_human_width(NSM_STR_LIT("e\xcc\x81")), 1);
    assert_int_equal(nsm_human_width(NSM_STR_LIT("\xf0\x9f\x98\x80")), 2);
}

static void expect_clip(const char *text, size_t columns, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_human_clip(&out, nsm_str_of(text), columns);
    assert_string_equal(out.ptr, expected);
}

static void clips_between_characters(void **state)
{
    (void)state;
    expect_clip("sessions", 8, "sessions");
    expect_clip("sessions", 7, "sessio~");
    expect_clip("sessions", 1, "~");
    expect_clip("sessions", 0, "");
    expect_clip("\xe4\xb8\x96\xe7\x95\x8c", 3, "\xe4\xb8\x96~");
    expect_clip("\xe4\xb8\x96\xe7\x95\x8c", 2, "~");
}

/* ---- tables ---- */

static const struct nsm_table_column columns[] = {
    {"name", NSM_ALIGN_LEFT},
    {"records", NSM_ALIGN_RIGHT},
    {"kept", NSM_ALIGN_RIGHT},
    {"lane", NSM_ALIGN_LEFT},
};

static void expect_table(const struct nsm_table *table, const struct nsm_table_look *look,
                         const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_table_write(table, look, &out);
    assert_string_equal(out.ptr, expected);
}

static struct nsm_table *make_table(void)
{
    struct nsm_table *const table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "sessions");
    nsm_table_add_count(table, 1234567);
    nsm_table_add_count_if(table, 0);
    nsm_table_add(table, NSM_STYLE_GOOD, "%s", "record");
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "\xe4\xb8\x96");
    nsm_table_add_count(table, 5);
    nsm_table_add_count_if(table, 0);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "");
    return table;
}

static void aligns_and_leaves_empty_columns_out(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_table_freep) struct nsm_table *table = make_table();
    const struct nsm_table_look look = {0};
    expect_table(table, &look,
                 "name        records  lane\n"
                 "sessions  1,234,567  record\n"
                 "\xe4\xb8\x96                5\n");
}

static void indents_colours_and_cuts(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_table_freep) struct nsm_table *table = make_table();
    const struct nsm_table_look coloured = {.indent = 2, .is_colored = true};
    expect_table(table, &coloured,
                 "  \x1b[1mname\x1b[0m        \x1b[1mrecords\x1b[0m  \x1b[1mlane\x1b[0m\n"
                 "  sessions  1,234,567  \x1b[32mrecord\x1b[0m\n"
                 "  \xe4\xb8\x96                5\n");
    for (size_t max = 1; max < 40; max++) {
        const struct nsm_table_look narrow = {.max_columns = max};
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
        nsm_table_write(table, &narrow, &out);
        for (const char *line = out.ptr; *line; line = strchr(line, '\n') + 1) {
            const struct nsm_str text = {line, strcspn(line, "\n")};
            assert_true(nsm_human_width(text) <= max);
        }
    }
}

static void takes_hostile_cells(void **state)
{
    (void)state;
    static const struct nsm_table_column one[] = {{"", NSM_ALIGN_LEFT}};
    NSM_CLEANUP(nsm_table_freep) struct nsm_table *table = nsm_table_new(one, 1);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "\x1b[2J\xff\n");
    const struct nsm_table_look look = {0};
    expect_table(table, &look, "\\x1b[2J\xef\xbf\xbd\\n\n");
}

static void an_empty_table_is_nothing(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    const struct nsm_table_look look = {0};
    expect_table(table, &look, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_have_commas),
        cmocka_unit_test(bytes_have_units),
        cmocka_unit_test(seconds_grow_into_minutes_and_days),
        cmocka_unit_test(rates_have_units),
        cmocka_unit_test(text_can_not_reach_the_terminal),
        cmocka_unit_test(width_is_that_of_a_terminal),
        cmocka_unit_test(clips_between_characters),
        cmocka_unit_test(aligns_and_leaves_empty_columns_out),
        cmocka_unit_test(indents_colours_and_cuts),
        cmocka_unit_test(takes_hostile_cells),
        cmocka_unit_test(an_empty_table_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
