/* Definitions of two sides, merged. */
#include "migrate/engine/definitions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void add(struct nsm_description *description, const char *kind, const char *name,
                const char *text, bool is_alone)
{
    nsm_description_add(description, &(struct nsm_definition){kind, name, text, is_alone});
}

static void note(void *arg, char mark, const struct nsm_definition *definition)
{
    nsm_buf_printf(arg, "%c %s %s;", mark, definition->kind, definition->name);
}

/* Merges, releases both, and compares what was told. */
static void expect_merge(struct nsm_description *source, struct nsm_description *destination,
                         const char *wanted)
{
    struct nsm_buf told NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_definitions_merge(source, destination, note, &told);
    nsm_buf_append_char(&told, '\0');
    assert_string_equal(told.ptr, wanted);
    nsm_description_release(source);
    nsm_description_release(destination);
}

static void test_nothing_is_the_same(void **state)
{
    struct nsm_description source = {0};
    struct nsm_description destination = {0};
    (void)state;
    expect_merge(&source, &destination, "");
}

static void test_order_is_none(void **state)
{
    struct nsm_description source = {0};
    struct nsm_description destination = {0};
    (void)state;
    add(&source, "index", "a", "x", false);
    add(&source, "column", "z", "y", false);
    add(&source, "index", "b", "", false);
    add(&destination, "index", "b", "", false);
    add(&destination, "index", "a", "x", false);
    add(&destination, "column", "z", "y", false);
    expect_merge(&source, &destination, "");
}

static void test_each_mark(void **state)
{
    struct nsm_description source = {0};
    struct nsm_description destination = {0};
    (void)state;
    add(&source, "index", "gone", "x", false);
    add(&source, "index", "changed", "x", false);
    add(&source, "index", "same", "x", false);
    add(&source, "type", "gone", "", true);
    add(&destination, "index", "same", "x", false);
    add(&destination, "index", "changed", "X", false);
    add(&destination, "index", "more", "x", false);
    expect_merge(&source, &destination, "* index changed;+ index gone;- index more;+ type gone;");
}

/* The same name of two kinds is two things; and one list may end before the other. */
static void test_kinds_are_apart(void **state)
{
    struct nsm_description source = {0};
    struct nsm_description destination = {0};
    (void)state;
    add(&source, "sequence", "s", "x", false);
    add(&destination, "table", "s", "x", false);
    expect_merge(&source, &destination, "+ sequence s;- table s;");
    add(&source, "table", "s", "x", false);
    expect_merge(&source, &destination, "+ table s;");
    add(&destination, "table", "s", "x", false);
    expect_merge(&source, &destination, "- table s;");
}

/* What others have put beside ours is no difference, but a changed one is. */
static void test_others_are_left_alone(void **state)
{
    struct nsm_description source = {0};
    struct nsm_description destination = {0};
    (void)state;
    add(&source, "function", "f()", "x", true);
    add(&destination, "function", "f()", "y", true);
    add(&destination, "function", "g()", "y", true);
    expect_merge(&source, &destination, "* function f();");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_the_same),
        cmocka_unit_test(test_order_is_none),
        cmocka_unit_test(test_each_mark),
        cmocka_unit_test(test_kinds_are_apart),
        cmocka_unit_test(test_others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
