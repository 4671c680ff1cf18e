/* Memory: allocations that never return NULL, the bounded buffer, the arena. */
#include "migrate/base/alloc.h"
#include "migrate/base/arena.h"
#include "migrate/base/buf.h"
#include "migrate/base/clock.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Whether `fn` ends its process by abort(). */
static bool aborts(void (*fn)(void))
{
    const pid_t child = fork();
    if (child == 0) {
        fn();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static volatile size_t half = SIZE_MAX / 2; /* not known to the compiler, which would warn */

static void reallocate_too_much(void)
{
    free(nsm_xreallocarray(NULL, half, 4));
}

static void copy_too_much(void)
{
    free(nsm_xstrndup((struct nsm_str){.ptr = "", .len = half * 2 + 1}));
}

static void take_too_much_of_an_arena(void)
{
    struct nsm_arena arena = NSM_ARENA_INIT;
    memset(nsm_arena_calloc(&arena, half, 4), 1, 1);
}

static void overflow_aborts(void **state)
{
    (void)state;
    assert_true(aborts(reallocate_too_much));
    assert_true(aborts(copy_too_much));
    assert_true(aborts(take_too_much_of_an_arena));
}

static void nothing_is_still_something(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *a = nsm_xmalloc(0);
    NSM_CLEANUP(nsm_freep) char *b = nsm_xcalloc(0, 8);
    NSM_CLEANUP(nsm_freep) char *c = nsm_xreallocarray(NULL, 0, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
}

static void copies_and_prints(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *dup = nsm_xstrdup("abc");
    NSM_CLEANUP(nsm_freep) char *view = nsm_xstrndup((struct nsm_str){.ptr = "a\0bc", .len = 3});
    NSM_CLEANUP(nsm_freep) char *empty = nsm_xstrndup((struct nsm_str){0});
    NSM_CLEANUP(nsm_freep) char *printed = nsm_xasprintf("%d-%s", 7, "x");
    assert_string_equal(dup, "abc");
    assert_memory_equal(view, "a\0b", 4);
    assert_string_equal(empty, "");
    assert_string_equal(printed, "7-x");
}

static void arrays_grow(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) int *array = NULL;
    size_t count = 0;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        NSM_GROW(array, count, cap);
        array[count++] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(array[i], i);
    assert_in_range(cap, 1000, 2000);
}

static void a_buffer_starts_empty_and_without_memory(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_TEXT;
    assert_string_equal(buf.ptr, "");
    assert_int_equal(buf.cap, 0);
    nsm_buf_append(&buf, NULL, 0);
    nsm_buf_append_cstr(&buf, "");
    nsm_buf_truncate(&buf, 0);
    nsm_buf_consume(&buf, 0);
    nsm_buf_commit(&buf, 0);
    nsm_buf_clear(&buf);
    assert_int_equal(buf.cap, 0);
    assert_string_equal(nsm_buf_empty, "");
}

static void a_buffer_appends_all_kinds(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_TEXT;
    nsm_buf_append_u64(&buf, 0);
    nsm_buf_append_char(&buf, ' ');
    nsm_buf_append_u64(&buf, UINT64_MAX);
    nsm_buf_append_char(&buf, ' ');
    nsm_buf_append_i64(&buf, INT64_MIN);
    nsm_buf_append_char(&buf, ' ');
    nsm_buf_append_i64(&buf, INT64_MAX);
    nsm_buf_append_str(&buf, NSM_STR_LIT(" view "));
    nsm_buf_printf(&buf, "%s=%d", "k", 5);
    assert_string_equal(buf.ptr, "0 18446744073709551615 -9223372036854775808 "
                                 "9223372036854775807 view k=5");
    assert_int_equal(buf.len, strlen(buf.ptr));
    assert_null(nsm_buf_error(&buf));
}

static void a_buffer_holds_bytes(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_TEXT;
    nsm_buf_append(&buf, "a\0b", 3);
    nsm_buf_append_char(&buf, '\0');
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.ptr, "a\0b\0", 5);
    assert_true(nsm_str_equals(nsm_buf_view(&buf), (struct nsm_str){.ptr = "a\0b", .len = 4}));
}

static void printing_keeps_errno(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_TEXT;
    for (int i = 0; i < 100; i++) {
        errno = ENOENT;
        nsm_buf_printf(&buf, "%m;");
        assert_int_equal(errno, ENOENT);
    }
    assert_int_equal(buf.len, 100 * strlen("No such file or directory;"));
    assert_null(strstr(buf.ptr, "Success"));
}

static void a_full_buffer_says_so_at_the_end(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_INIT(10);
    nsm_buf_append_cstr(&buf, "0123456789");
    assert_null(nsm_buf_error(&buf));
    nsm_buf_append_char(&buf, 'x');
    assert_string_equal(buf.ptr, "0123456789");

    /* It sticks: room that comes back does not hide what was lost. */
    nsm_buf_truncate(&buf, 2);
    nsm_buf_append_char(&buf, 'y');
    nsm_buf_printf(&buf, "%d", 1);
    assert_null(nsm_buf_reserve(&buf, 1));
    assert_string_equal(buf.ptr, "01");
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_buf_error(&buf);
    assert_true(nsm_error_is(error, NSM_E_NOMEM));

    nsm_buf_clear(&buf);
    nsm_buf_printf(&buf, "%s", "abcdefghij");
    assert_null(nsm_buf_error(&buf));
    assert_string_equal(buf.ptr, "abcdefghij");
    nsm_buf_printf(&buf, "%s", "k");
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *again = nsm_buf_error(&buf);
    assert_true(nsm_error_is(again, NSM_E_NOMEM));
    assert_string_equal(buf.ptr, "abcdefghij");
    assert_true(buf.cap <= 11);
}

static void a_buffer_without_room_takes_nothing(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_INIT(0);
    nsm_buf_append_cstr(&buf, "");
    assert_null(nsm_buf_error(&buf));
    nsm_buf_append_char(&buf, 'x');
    assert_true(buf.is_over);
    assert_string_equal(buf.ptr, "");
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_INIT(SIZE_MAX);
    nsm_buf_append_cstr(&buf, "abc");
    assert_null(nsm_buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.is_over);
    nsm_buf_clear(&buf);
    assert_null(nsm_buf_reserve(&buf, SIZE_MAX));
}

static void reserved_room_is_filled_in_place(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_INIT(1000);
    nsm_buf_append_cstr(&buf, "head ");
    char *const at = nsm_buf_reserve(&buf, 995);
    assert_non_null(at);
    memset(at, 'x', 995);
    nsm_buf_commit(&buf, 4);
    assert_string_equal(buf.ptr, "head xxxx");
    assert_null(nsm_buf_reserve(&buf, 992));
}

static void both_ends_can_be_dropped(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&buf, "0123456789");
    nsm_buf_truncate(&buf, 20);
    assert_string_equal(buf.ptr, "0123456789");
    nsm_buf_truncate(&buf, 8);
    nsm_buf_consume(&buf, 3);
    assert_string_equal(buf.ptr, "34567");
    nsm_buf_consume(&buf, 5);
    assert_string_equal(buf.ptr, "");
    nsm_buf_append_cstr(&buf, "ab");
    nsm_buf_consume(&buf, 99);
    assert_string_equal(buf.ptr, "");
}

static void detached_memory_is_the_callers(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf buf = NSM_BUF_INIT(20);
    NSM_CLEANUP(nsm_freep) char *empty = nsm_buf_detach(&buf);
    nsm_buf_append_cstr(&buf, "first");
    NSM_CLEANUP(nsm_freep) char *first = nsm_buf_detach(&buf);
    nsm_buf_append_cstr(&buf, "second");
    assert_string_equal(empty, "");
    assert_string_equal(first, "first");
    assert_string_equal(buf.ptr, "second");
    assert_int_equal(buf.max_bytes, 20);
}

static void an_arena_aligns_and_keeps_apart(void **state)
{
    (void)state;
    enum {
        N = 20000
    };
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    NSM_CLEANUP(nsm_freep) unsigned char **at = nsm_xcalloc(N, sizeof *at);
    size_t total = 0;
    for (size_t i = 0; i < N; i++) {
        const size_t size = i % 97;
        at[i] = nsm_arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)at[i] % _Alignof(max_align_t), 0);
        memset(at[i], (int)(i & 0xff), size);
        total += size;
    }
    assert_int_equal(arena.used_bytes, total);
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < i % 97; k++)
            assert_int_equal(at[i][k], i & 0xff);
    }
}

static void arena_strings_end_in_nul(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    const struct nsm_str copy = nsm_arena_copy(&arena, (struct nsm_str){.ptr = "a\0b", .len = 3});
    const struct nsm_str empty = nsm_arena_copy(&arena, (struct nsm_str){0});
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    assert_int_equal(empty.len, 0);
    assert_string_equal(empty.ptr, "");
    assert_string_equal(nsm_arena_strdup(&arena, "dup"), "dup");
    assert_string_equal(nsm_arena_printf(&arena, "%03d", 7), "007");
    const int *const zeros = nsm_arena_calloc(&arena, 1000, sizeof *zeros);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(zeros[i], 0);
}

/* Fills an arena as a batch would. */
static void fill(struct nsm_arena *arena)
{
    for (size_t i = 0; i < 3000; i++)
        memset(nsm_arena_alloc(arena, 1 + (i * 37) % 2000), 1, 1 + (i * 37) % 2000);
}

static size_t heap_bytes(void)
{
    const struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

static void a_cleared_arena_uses_its_blocks_again(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    nsm_arena_clear(&arena);
    fill(&arena);
    const size_t after_first = heap_bytes();
    for (int round = 0; round < 20; round++) {
        nsm_arena_clear(&arena);
        assert_int_equal(arena.used_bytes, 0);
        fill(&arena);
        /* A block or two, as the blocks come in another order than they were made in. */
        assert_true(heap_bytes() <= after_first + ((size_t)2 << 20));
    }
}

static void huge_values_are_given_back_by_clear(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    for (int round = 0; round < 3; round++) {
        char *const huge = nsm_arena_alloc(&arena, (size_t)64 << 20);
        huge[0] = 'h';
        huge[((size_t)64 << 20) - 1] = 'e';
        fill(&arena);
        nsm_arena_clear(&arena);
    }
    assert_int_equal(arena.used_bytes, 0);
    assert_string_equal(nsm_arena_strdup(&arena, "still works"), "still works");
}

static void chance_stays_below_its_bound(void **state)
{
    (void)state;
    size_t seen[5] = {0};
    for (int i = 0; i < 2000; i++) {
        const uint64_t drawn = nsm_random_below(5);
        assert_in_range(drawn, 0, 4);
        seen[drawn]++;
    }
    /* 400 each on average; so far off once in more than 10^80 runs. */
    for (int i = 0; i < 5; i++)
        assert_in_range(seen[i], 100, 900);
    assert_int_equal(nsm_random_below(1), 0);
    assert_true(nsm_random_below(UINT64_MAX) < UINT64_MAX);
}

static void clocks_go_forward(void **state)
{
    (void)state;
    const int64_t first = nsm_now_ns();
    assert_true(nsm_now_ns() >= first);
    assert_true(nsm_wall_ms() > INT64_C(1600000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overflow_aborts),
        cmocka_unit_test(nothing_is_still_something),
        cmocka_unit_test(copies_and_prints),
        cmocka_unit_test(arrays_grow),
        cmocka_unit_test(a_buffer_starts_empty_and_without_memory),
        cmocka_unit_test(a_buffer_appends_all_kinds),
        cmocka_unit_test(a_buffer_holds_bytes),
        cmocka_unit_test(printing_keeps_errno),
        cmocka_unit_test(a_full_buffer_says_so_at_the_end),
        cmocka_unit_test(a_buffer_without_room_takes_nothing),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(reserved_room_is_filled_in_place),
        cmocka_unit_test(both_ends_can_be_dropped),
        cmocka_unit_test(detached_memory_is_the_callers),
        cmocka_unit_test(an_arena_aligns_and_keeps_apart),
        cmocka_unit_test(arena_strings_end_in_nul),
        cmocka_unit_test(a_cleared_arena_uses_its_blocks_again),
        cmocka_unit_test(huge_values_are_given_back_by_clear),
        cmocka_unit_test(chance_stays_below_its_bound),
        cmocka_unit_test(clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
