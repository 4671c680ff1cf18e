/*
 * key_template.c: what a template says, what it may not say, and that no two rows make one key.
 */
#include "migrate/base/alloc.h"
#include "migrate/engine/key_template.h"
#include "tests/support/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct nsm_error *parse(struct nsm_arena *arena, const char *text,
                               struct nsm_key_template *ret)
{
    struct nsm_error *const error = nsm_key_template_parse(arena, nsm_str_of(text), ret);
    return error ? error : nsm_key_template_check(ret);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"user", "found none"},
        {"", "found none"},
        {"{{id}}", "found none"},
        {"u:{id", "the { at byte 2 has no }"},
        {"u:{}", "the braces at byte 2 name no column"},
        {"u:id}", "the } at byte 4 ends nothing"},
        {"{a}{b}", "{a} and {b} stand side by side"},
        {"{a}7{b}", "behind {a} stands '7'"},
        {"{a}x{b}", "behind {a} stands 'x'"},
        {"{a}%{b}", "behind {a} stands '%'"},
        {"{a}:{b}-{c}Z{d}", "behind {c} stands 'Z'"},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
        struct nsm_key_template tmpl = {0};
        struct nsm_error *const error = parse(&arena, cases[at].text, &tmpl);
        assert_non_null(error);
        NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
        if (!strstr(text, cases[at].message))
            fail_msg("%s: %s", cases[at].text, text);
        assert_int_equal(nsm_error_code(error), NSM_E_INVALID);
        nsm_error_free(error);
    }
}

/* The key of a row whose columns are a, b, c, d. */
static void write_key(const struct nsm_key_template *tmpl, const struct nsm_str *values,
                      struct nsm_buf *out)
{
    bool escapes[256];
    nsm_key_template_escapes(tmpl, escapes);
    nsm_buf_clear(out);
    for (size_t at = 0; at < tmpl->n_pieces; at++) {
        const struct nsm_key_piece *const piece = &tmpl->pieces[at];
        if (piece->is_column)
            nsm_key_template_write_value(out, escapes, values[piece->text.ptr[0] - 'a']);
        else
            nsm_buf_append_str(out, piece->text);
    }
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *again;
    } cases[] = {
        {"u:{a}", "u:1%:2", "u:{a}"},
        {"{{{a}}}", "{1%:2}", "{{{a}}}"},
        {"{{{{{a}", "{{1%:2", "{{{{{a}"},
        {"{a}:{b}", "1%25%3A2:-/", "{a}:{b}"},
        {"{a}-{b}x", "1%25%3A2-%2D/x", "{a}-{b}x"},
        {"{b}/{a}:{b}", "-%2F/1%25%3A2:-%2F", "{b}/{a}:{b}"},
    };
    const struct nsm_str values[] = {NSM_STR_LIT("1%:2"), NSM_STR_LIT("-/")};
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
        struct nsm_key_template tmpl = {0};
        nsm_assert_ok(parse(&arena, cases[at].text, &tmpl));
        write_key(&tmpl, values, &text);
        assert_string_equal(text.ptr, cases[at].key);
        nsm_buf_clear(&text);
        nsm_key_template_write(&tmpl, &text);
        assert_string_equal(text.ptr, cases[at].again);
    }
}

/* for_each fills in a name, which may make two columns tell apart what was side by side. */
static void test_substitution(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    struct nsm_key_template tmpl = {0};
    nsm_assert_ok(nsm_key_template_parse(&arena, NSM_STR_LIT("{schema}{a}{schema}{b}"), &tmpl));
    const struct nsm_key_template filled =
        nsm_key_template_substitute(&arena, &tmpl, "schema", "_{x}");
    nsm_assert_ok(nsm_key_template_check(&filled));
    nsm_key_template_write(&filled, &text);
    assert_string_equal(text.ptr, "_{{x}}{a}_{{x}}{b}");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All rows of two columns with values of up to three of these characters: as many keys as rows. */
static void test_no_two_rows_meet(void **state)
{
    (void)state;
    static const char *const templates[] = {"{a}:{b}", "{a}:2{b}", "{b}-{a}", "x{a}//{b}/",
                                            "{a}::%{b}"};
    static const char alphabet[] = ":%2-/";
    enum {
        N_VALUES = 1 + 5 + 25 + 125
    };
    char values[N_VALUES][4] = {""};
    size_t n = 1;
    for (size_t from = 0; n < N_VALUES; from++) {
        for (const char *c = alphabet; *c; c++)
            (void)snprintf(values[n++], sizeof(values[0]), "%.2s%c", values[from], *c);
    }
    for (size_t at = 0; at < NSM_COUNT_OF(templates); at++) {
        NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
        struct nsm_key_template tmpl = {0};
        nsm_assert_ok(parse(&arena, templates[at], &tmpl));
        const char **const keys =
            nsm_arena_calloc(&arena, (size_t)N_VALUES * N_VALUES, sizeof(*keys));
        size_t n_keys = 0;
        for (size_t a = 0; a < N_VALUES; a++) {
            for (size_t b = 0; b < N_VALUES; b++) {
                const struct nsm_str row[] = {nsm_str_of(values[a]), nsm_str_of(values[b])};
                write_key(&tmpl, row, &text);
                keys[n_keys++] = nsm_arena_copy(&arena, nsm_buf_view(&text)).ptr;
            }
        }
        qsort(keys, n_keys, sizeof(*keys), by_text);
        for (size_t i = 1; i < n_keys; i++)
            assert_string_not_equal(keys[i - 1], keys[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_substitution),
        cmocka_unit_test(test_no_two_rows_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
