/*
 * The group: the semantics of errgroup and what its users ask for besides, at every limit, in every kind of wait, nested, starved of
 * threads, a thousand times over. Worker code records what it sees; only the main thread asserts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/group_internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_NS (30 * NSM_NS_PER_S) /* a bound for what must not hang, however slow the machine */

static const size_t limits[] = {1, 2, 4, 8, 64};

static struct nsm_error *failure(void)
{
    return nsm_error_new(NSM_E_IO, "the cause");
}

static bool is_cause(const struct nsm_error *error)
{
    if (!nsm_error_is(error, NSM_E_IO))
        return false;
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    return strcmp(text, "the cause") == 0;
}

/* ---- how many, how many at once ---- */

struct census {
    atomic_size_t n_now, n_most, n_run;
};

static struct nsm_error *count_me(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    struct census *const census = arg;
    const size_t now = atomic_fetch_add(&census->n_now, 1) + 1;
    size_t most = atomic_load(&census->n_most);
    while (now > most && !atomic_compare_exchange_weak(&census->n_most, &most, now))
        continue;
    atomic_fetch_add(&census->n_run, 1);
    atomic_fetch_sub(&census->n_now, 1);
    return NULL;
}

static void test_ten_thousand_tasks_at_every_limit(void **state)
{
    (void)state;
    for (size_t at = 0; at < NSM_COUNT_OF(limits); at++) {
        struct census census = {0};
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[at]);
        for (size_t n = 0; n < 10000; n++)
            assert_int_equal(nsm_group_go(group, count_me, &census), n);
        assert_null(nsm_group_wait(group));
        assert_int_equal(census.n_run, 10000);
        assert_int_equal(census.n_now, 0);
        assert_true(census.n_most <= limits[at]);
        assert_int_equal(nsm_group_size(group), 10000);
        assert_int_equal(nsm_group_counts(group).n_ok, 10000);
    }
}

static void test_no_task_outlives_wait_a_thousand_times(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 1000; n++) {
        struct census census = {0};
        NSM_CLEANUP(nsm_group_freep)
        struct nsm_group *group = nsm_group_new(NULL, limits[n % NSM_COUNT_OF(limits)]);
        for (size_t task = 0; task < 20; task++)
            nsm_group_go(group, count_me, &census);
        assert_null(nsm_group_wait(group));
        assert_int_equal(census.n_run, 20);
    }
}

static void test_the_default_limit_is_the_cpus(void **state)
{
    (void)state;
    assert_true(nsm_online_cpus() >= 1);
    struct census census = {0};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 0);
    for (size_t n = 0; n < 500; n++)
        nsm_group_go(group, count_me, &census);
    assert_null(nsm_group_wait(group));
    assert_true(census.n_most <= nsm_online_cpus());
}

/* ---- results in the order of submission ---- */

struct numbered {
    size_t index;
    size_t n_tasks;
};

/* The later submitted, the sooner done; every third fails. */
static struct nsm_error *end_in_reverse(struct nsm_context *ctx, void *arg)
{
    const struct numbered *const me = arg;
    NSM_TRY(nsm_sleep(ctx, (int64_t)(me->n_tasks - me->index) * NSM_NS_PER_MS / 4));
    return me->index % 3 == 0 ? nsm_error_new(NSM_E_IO, "task %zu", me->index) : NULL;
}

static void test_results_are_in_the_order_of_submission(void **state)
{
    (void)state;
    for (size_t at = 0; at < NSM_COUNT_OF(limits); at++) {
        struct numbered tasks[40];
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[at]);
        nsm_group_set_on_error(group, NSM_ON_ERROR_CONTINUE);
        for (size_t n = 0; n < NSM_COUNT_OF(tasks); n++) {
            tasks[n] = (struct numbered){.index = n, .n_tasks = NSM_COUNT_OF(tasks)};
            nsm_group_go(group, end_in_reverse, &tasks[n]);
        }
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
        assert_true(nsm_error_is(error, NSM_E_IO));
        for (size_t n = 0; n < NSM_COUNT_OF(tasks); n++) {
            const bool is_failed = n % 3 == 0;
            assert_int_equal(nsm_group_outcome(group, n),
                             is_failed ? NSM_OUTCOME_FAILED : NSM_OUTCOME_OK);
            assert_int_equal(nsm_group_task_error(group, n) != NULL, is_failed);
            if (!is_failed)
                continue;
            NSM_CLEANUP(nsm_freep) char *found = nsm_error_text(nsm_group_task_error(group, n));
            NSM_CLEANUP(nsm_freep) char *wanted = nsm_xasprintf("task %zu", n);
            assert_string_equal(found, wanted);
        }
        assert_int_equal(nsm_group_counts(group).n_failed, 14);
    }
}

/* ---- the first failure, whatever the siblings wait in ---- */

enum wait_kind {
    WAIT_SOCKET,
    WAIT_QUEUE,
    WAIT_SLEEP,
    N_WAITS,
};

struct blocked {
    enum wait_kind kind;
    int fd;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    atomic_size_t n_waiting;
};

static struct nsm_error *wait_in_queue(struct blocked *blocked, struct nsm_context *ctx)
{
    struct nsm_waker waker;
    nsm_waker_register(&waker, ctx, &blocked->mutex, &blocked->cond);
    pthread_mutex_lock(&blocked->mutex);
    while (!nsm_context_is_canceled(ctx))
        pthread_cond_wait(&blocked->cond, &blocked->mutex);
    pthread_mutex_unlock(&blocked->mutex);
    nsm_waker_unregister(&waker);
    return nsm_context_error(ctx);
}

static struct nsm_error *block(struct nsm_context *ctx, void *arg)
{
    struct blocked *const blocked = arg;
    atomic_fetch_add(&blocked->n_waiting, 1);
    switch (blocked->kind) {
    case WAIT_SOCKET:
        return nsm_wait_fd(ctx, blocked->fd, POLLIN, NSM_NEVER, NULL);
    case WAIT_QUEUE:
        return wait_in_queue(blocked, ctx);
    case WAIT_SLEEP:
    case N_WAITS:
        break;
    }
    return nsm_sleep(ctx, SOON_NS);
}

static struct nsm_error *fail_when_all_wait(struct nsm_context *ctx, void *arg)
{
    struct blocked *const blocked = arg;
    while (atomic_load(&blocked->n_waiting) < 3)
        NSM_TRY(nsm_sleep(ctx, NSM_NS_PER_MS / 10));
    return failure();
}

static void fail_among_blocked(enum wait_kind kind, size_t limit)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct blocked blocked = {.kind = kind, .fd = pair[0]};
    pthread_mutex_init(&blocked.mutex, NULL);
    pthread_cond_init(&blocked.cond, NULL);
    const int64_t begun_ns = nsm_now_ns();
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limit);
    for (size_t n = 0; n < 3; n++)
        nsm_group_go(group, block, &blocked);
    nsm_group_go(group, fail_when_all_wait, &blocked);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
    assert_true(is_cause(error));
    assert_true(nsm_now_ns() - begun_ns < SOON_NS);
    for (size_t n = 0; n < 3; n++)
        assert_int_equal(nsm_group_outcome(group, n), NSM_OUTCOME_CANCELED);
    assert_int_equal(nsm_group_outcome(group, 3), NSM_OUTCOME_FAILED);
    pthread_cond_destroy(&blocked.cond);
    pthread_mutex_destroy(&blocked.mutex);
    close(pair[0]);
    close(pair[1]);
}

static void test_the_first_failure_wakes_every_wait(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 1000; n++)
        fail_among_blocked(n % N_WAITS, n % 2 ? 4 : 64);
}

static struct nsm_error *fail_now(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return failure();
}

/* What has not begun does not begin, and the siblings' errors never replace the cause. */
static void test_what_has_not_begun_does_not_begin(void **state)
{
    (void)state;
    for (size_t at = 0; at < NSM_COUNT_OF(limits); at++) {
        struct census census = {0};
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[at]);
        const size_t failed = nsm_group_go(group, fail_now, NULL);
        while (!nsm_context_is_canceled(nsm_group_context(group)))
            (void)sched_yield();
        for (size_t n = 0; n < 100; n++)
            nsm_group_go(group, count_me, &census);
        assert_false(nsm_group_try_go(group, count_me, &census));
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
        assert_true(is_cause(error));
        assert_int_equal(census.n_run, 0);
        assert_int_equal(nsm_group_outcome(group, failed), NSM_OUTCOME_FAILED);
        assert_int_equal(nsm_group_outcome(group, failed + 50), NSM_OUTCOME_NOT_STARTED);
        assert_int_equal(nsm_group_counts(group).n_not_started, 100);
    }
}

static void test_a_slot_comes_back_after_a_failure(void **state)
{
    (void)state;
    struct census census = {0};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 2);
    nsm_group_set_on_error(group, NSM_ON_ERROR_CONTINUE);
    for (size_t n = 0; n < 200; n++)
        nsm_group_go(group, n % 2 ? fail_now : count_me, &census);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
    assert_true(is_cause(error));
    assert_int_equal(census.n_run, 100);
    assert_int_equal(nsm_group_counts(group).n_failed, 100);
}

static void test_a_failure_on_behalf_of_another(void **state)
{
    (void)state;
    struct blocked blocked = {.kind = WAIT_SLEEP};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    nsm_group_go(group, block, &blocked);
    nsm_group_fail(group, failure());
    nsm_group_fail(group, nsm_error_new(NSM_E_CORRUPT, "a later one"));
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
    assert_true(is_cause(error));
}

/* ---- cancellation from outside, deadlines, stop ---- */

static void test_the_parent_cancels(void **state)
{
    (void)state;
    for (size_t at = 0; at < NSM_COUNT_OF(limits); at++) {
        struct blocked blocked = {.kind = WAIT_SLEEP};
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, limits[at]);
        nsm_group_go(group, block, &blocked);
        nsm_context_cancel(parent, failure());
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
        assert_true(nsm_error_is(error, NSM_E_CANCELED));
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *cause = nsm_context_cause(parent);
        assert_true(is_cause(cause));
    }
}

static void test_the_deadline_ends_waits(void **state)
{
    (void)state;
    struct blocked blocked = {.kind = WAIT_SLEEP};
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
    nsm_context_set_deadline(parent, nsm_now_ns() + 10 * NSM_NS_PER_MS);
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, 2);
    nsm_group_go(group, block, &blocked);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
    assert_true(nsm_error_is(error, NSM_E_TIMEOUT));
}

static void test_stop_is_cancel_and_join(void **state)
{
    (void)state;
    struct blocked blocked = {.kind = WAIT_SLEEP};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    for (size_t n = 0; n < 4; n++)
        nsm_group_go(group, block, &blocked);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_stop(group);
    assert_true(nsm_error_is(error, NSM_E_CANCELED));
    const struct nsm_group_counts counts = nsm_group_counts(group);
    assert_int_equal(counts.n_canceled + counts.n_not_started, 4);
}

static void test_cancel_with_a_cause_returns_it(void **state)
{
    (void)state;
    struct blocked blocked = {.kind = WAIT_SLEEP};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    nsm_group_go(group, block, &blocked);
    nsm_group_cancel(group, failure());
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
    assert_true(is_cause(error));
}

/* A submitter that waits for a slot wakes on cancellation, and its task does not begin. */
static struct nsm_error *cancel_soon(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *own = nsm_context_new(NULL);
    NSM_TRY(nsm_sleep(own, 5 * NSM_NS_PER_MS));
    nsm_context_cancel(arg, NULL);
    return NULL;
}

static void test_a_waiting_submitter_wakes(void **state)
{
    (void)state;
    for (size_t limit = 1; limit <= 4; limit *= 2) {
        struct blocked blocked = {.kind = WAIT_SLEEP};
        struct census census = {0};
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *canceller = nsm_group_new(NULL, 1);
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, limit);
        for (size_t n = 0; n < limit; n++)
            nsm_group_go(group, block, &blocked);
        nsm_group_go(canceller, cancel_soon, parent);
        const size_t index = nsm_group_go(group, count_me, &census);
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
        assert_true(nsm_error_is(error, NSM_E_CANCELED));
        assert_int_equal(nsm_group_outcome(group, index), NSM_OUTCOME_NOT_STARTED);
        assert_int_equal(census.n_run, 0);
        assert_null(nsm_group_wait(canceller));
    }
}

static void test_try_go_does_not_wait(void **state)
{
    (void)state;
    struct blocked blocked = {.kind = WAIT_SLEEP};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 2);
    assert_true(nsm_group_try_go(group, block, &blocked));
    assert_true(nsm_group_try_go(group, block, &blocked));
    assert_false(nsm_group_try_go(group, block, &blocked));
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_stop(group);
    assert_true(nsm_error_is(error, NSM_E_CANCELED));
}

/* ---- nesting ---- */

struct nest {
    struct nsm_group *group;
    struct census *census;
    unsigned depth;
    struct nest *inner;
};

static struct nsm_error *make_inner_group(struct nsm_context *ctx, void *arg)
{
    const struct nest *const nest = arg;
    if (nest->depth == 0)
        return count_me(ctx, nest->census);
    struct nest inner = {.census = nest->census, .depth = nest->depth - 1};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(ctx, 2);
    for (size_t n = 0; n < 4; n++)
        nsm_group_go(group, make_inner_group, &inner);
    return nsm_group_wait(group);
}

static void test_groups_nest(void **state)
{
    (void)state;
    for (size_t at = 0; at < NSM_COUNT_OF(limits); at++) {
        struct census census = {0};
        struct nest nest = {.census = &census, .depth = 3};
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[at]);
        for (size_t n = 0; n < 4; n++)
            nsm_group_go(group, make_inner_group, &nest);
        assert_null(nsm_group_wait(group));
        assert_int_equal(census.n_run, 4 * 4 * 4 * 4);
    }
}

/* A task that submits to its own group never waits for itself. */
static struct nsm_error *submit_to_own_group(struct nsm_context *ctx, void *arg)
{
    struct nest *const nest = arg;
    if (!nest->inner)
        return count_me(ctx, nest->census);
    for (size_t n = 0; n < 5; n++)
        nsm_group_go(nest->group, submit_to_own_group, nest->inner);
    return count_me(ctx, nest->census);
}

static void test_go_within_the_group_never_deadlocks(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 200; n++) {
        struct census census = {0};
        NSM_CLEANUP(nsm_group_freep)
        struct nsm_group *group = nsm_group_new(NULL, limits[n % NSM_COUNT_OF(limits)]);
        struct nest leaf = {.group = group, .census = &census};
        struct nest middle = {.group = group, .census = &census, .inner = &leaf};
        struct nest top = {.group = group, .census = &census, .inner = &middle};
        for (size_t task = 0; task < 3; task++)
            nsm_group_go(group, submit_to_own_group, &top);
        assert_null(nsm_group_wait(group));
        assert_int_equal(census.n_run, 3 + 3 * 5 + 3 * 5 * 5);
    }
}

/* ---- starved of threads ---- */

static int make_no_thread(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
    (void)ret_thread;
    (void)fn;
    (void)arg;
    return EAGAIN;
}

static atomic_size_t n_makes;

static int make_every_third_thread(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
    return atomic_fetch_add(&n_makes, 1) % 3 == 0 ? pthread_create(ret_thread, NULL, fn, arg)
                                                  : EAGAIN;
}

static void test_without_threads_it_is_slower_not_stuck(void **state)
{
    (void)state;
    nsm_thread_maker_fn *const makers[] = {make_no_thread, make_every_third_thread};
    for (size_t at = 0; at < 2 * NSM_COUNT_OF(limits); at++) {
        struct census census = {0};
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[at / 2]);
        nsm_group_set_thread_maker(group, makers[at % 2]);
        for (size_t n = 0; n < 500; n++)
            nsm_group_go(group, count_me, &census);
        assert_null(nsm_group_wait(group));
        assert_int_equal(census.n_run, 500);
    }
}

static void test_without_threads_the_first_error_counts(void **state)
{
    (void)state;
    struct census census = {0};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    nsm_group_set_thread_maker(group, make_no_thread);
    nsm_group_go(group, fail_now, NULL);
    nsm_group_go(group, count_me, &census);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
    assert_true(is_cause(error));
    assert_int_equal(census.n_run, 0);
}

/* ---- misuse ---- */

static bool aborts(void (*misuse)(void))
{
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        misuse();
        _exit(0);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void go_after_wait(void)
{
    struct nsm_group *const group = nsm_group_new(NULL, 1);
    nsm_error_ignore(nsm_group_wait(group));
    nsm_group_go(group, count_me, NULL);
}

static void change_the_limit_of_a_running_group(void)
{
    struct blocked blocked = {.kind = WAIT_SLEEP};
    struct nsm_group *const group = nsm_group_new(NULL, 1);
    nsm_group_go(group, block, &blocked);
    nsm_group_set_limit(group, 2);
}

static void test_misuse_is_an_assertion(void **state)
{
    (void)state;
    assert_true(aborts(go_after_wait));
    assert_true(aborts(change_the_limit_of_a_running_group));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_tasks_at_every_limit),
        cmocka_unit_test(test_no_task_outlives_wait_a_thousand_times),
        cmocka_unit_test(test_the_default_limit_is_the_cpus),
        cmocka_unit_test(test_results_are_in_the_order_of_submission),
        cmocka_unit_test(test_the_first_failure_wakes_every_wait),
        cmocka_unit_test(test_what_has_not_begun_does_not_begin),
        cmocka_unit_test(test_a_slot_comes_back_after_a_failure),
        cmocka_unit_test(test_a_failure_on_behalf_of_another),
        cmocka_unit_test(test_the_parent_cancels),
        cmocka_unit_test(test_the_deadline_ends_waits),
        cmocka_unit_test(test_stop_is_cancel_and_join),
        cmocka_unit_test(test_cancel_with_a_cause_returns_it),
        cmocka_unit_test(test_a_waiting_submitter_wakes),
        cmocka_unit_test(test_try_go_does_not_wait),
        cmocka_unit_test(test_groups_nest),
        cmocka_unit_test(test_go_within_the_group_never_deadlocks),
        cmocka_unit_test(test_without_threads_it_is_slower_not_stuck),
        cmocka_unit_test(test_without_threads_the_first_error_counts),
        cmocka_unit_test(test_misuse_is_an_assertion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
