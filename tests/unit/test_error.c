/* Errors: codes, chains, copies, and what %m and long chains do. */
#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"
#include "migrate/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_text(const struct nsm_error *error, const char *expected)
{
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    assert_string_equal(text, expected);
}

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int a = NSM_E_NOMEM; a <= NSM_E_INTERNAL; a++) {
        assert_string_not_equal(nsm_code_name((enum nsm_code)a), "unknown");
        for (int b = NSM_E_NOMEM; b < a; b++)
            assert_string_not_equal(nsm_code_name((enum nsm_code)a),
                                    nsm_code_name((enum nsm_code)b));
    }
    assert_string_equal(nsm_code_name(NSM_E_UNAVAILABLE), "unavailable");
    assert_string_equal(nsm_code_name((enum nsm_code)0), "unknown");
    assert_string_equal(nsm_code_name((enum nsm_code)99), "unknown");
}

static void only_unavailable_and_timeout_are_tried_again(void **state)
{
    (void)state;
    for (int code = 0; code <= NSM_E_INTERNAL + 1; code++) {
        const bool expected = code == NSM_E_UNAVAILABLE || code == NSM_E_TIMEOUT;
        assert_int_equal(nsm_code_is_retryable((enum nsm_code)code), expected);
    }
}

static void a_chain_reads_from_the_outside_in(void **state)
{
    (void)state;
    struct nsm_error *error = nsm_error_new(NSM_E_UNAVAILABLE, "connection reset by %s", "peer");
    error = nsm_error_wrap(error, "read batch %d", 17);
    error = nsm_error_wrap(error, "namespace %s", "users");
    assert_text(error, "namespace users: read batch 17: connection reset by peer");
    assert_int_equal(nsm_error_code(error), NSM_E_UNAVAILABLE);
    assert_true(nsm_error_is(error, NSM_E_UNAVAILABLE));
    assert_false(nsm_error_is(error, NSM_E_IO));
    nsm_error_free(error);
}

static void nothing_wrapped_is_nothing(void **state)
{
    (void)state;
    assert_null(nsm_error_wrap(NULL, "context"));
    assert_null(nsm_error_clone(NULL));
    assert_false(nsm_error_is(NULL, NSM_E_IO));
    nsm_error_free(NULL);
    nsm_error_ignore(NULL);
    assert_text(NULL, "");
}

static void a_clone_outlives_its_original(void **state)
{
    (void)state;
    struct nsm_error *error =
        nsm_error_wrap(nsm_error_new(NSM_E_CORRUPT, "bad checksum"), "line %d", 3);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *clone = nsm_error_clone(error);
    nsm_error_free(error);
    assert_text(clone, "line 3: bad checksum");
    assert_int_equal(nsm_error_code(clone), NSM_E_CORRUPT);
}

static void percent_m_is_the_errno_of_the_caller(void **state)
{
    (void)state;
    errno = ENOENT;
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_error_new(NSM_E_IO, "open x: %m");
    assert_int_equal(errno, ENOENT);
    errno = EACCES;
    error = nsm_error_wrap(NSM_STEAL(error), "y: %m");
    assert_int_equal(errno, EACCES);
    assert_text(error, "y: Permission denied: open x: No such file or directory");
}

static void long_messages_and_long_chains_are_whole(void **state)
{
    (void)state;
    enum {
        DEPTH = 100000,
        WIDTH = 5000
    };
    NSM_CLEANUP(nsm_freep) char *wide = nsm_xmalloc(WIDTH + 1);
    memset(wide, 'w', WIDTH);
    wide[WIDTH] = '\0';
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_error_new(NSM_E_IO, "%s", wide);
    for (int i = 0; i < DEPTH; i++)
        error = nsm_error_wrap(NSM_STEAL(error), "d");
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *clone = nsm_error_clone(error);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(clone);
    assert_int_equal(strlen(text), 3 * DEPTH + WIDTH);
    assert_string_equal(text + (size_t)3 * DEPTH, wide);
}

static void writing_appends(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_error_wrap(nsm_error_new(NSM_E_INVALID, "inner"), "outer");
    nsm_buf_append_cstr(&out, "nsmigrate: ");
    nsm_error_write(error, &out);
    assert_string_equal(out.ptr, "nsmigrate: outer: inner");
}

static struct nsm_error *fail_if(bool is_failing)
{
    return is_failing ? nsm_error_new(NSM_E_IO, "disk full") : NULL;
}

static struct nsm_error *try_both(bool is_first_failing, bool is_second_failing)
{
    NSM_TRY(fail_if(is_first_failing));
    NSM_TRY_WRAP(fail_if(is_second_failing), "file %d", 2);
    return nsm_error_new(NSM_E_INTERNAL, "reached the end");
}

static void try_returns_and_try_wrap_adds(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *first = try_both(true, true);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *second = try_both(false, true);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *none = try_both(false, false);
    assert_text(first, "disk full");
    assert_text(second, "file 2: disk full");
    assert_text(none, "reached the end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(only_unavailable_and_timeout_are_tried_again),
        cmocka_unit_test(a_chain_reads_from_the_outside_in),
        cmocka_unit_test(nothing_wrapped_is_nothing),
        cmocka_unit_test(a_clone_outlives_its_original),
        cmocka_unit_test(percent_m_is_the_errno_of_the_caller),
        cmocka_unit_test(long_messages_and_long_chains_are_whole),
        cmocka_unit_test(writing_appends),
        cmocka_unit_test(try_returns_and_try_wrap_adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
