/* The group as a user of errgroup knows it: running under a limit, results, the first error. And misuse. */
#include "tests/support/group_tasks.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const size_t limits[] = NSM_TEST_LIMITS;

static void go_after_wait(void)
{
    struct nsm_tasks shared = NSM_TASKS_INIT;
    struct nsm_group *const group = nsm_group_new(NULL, 2);
    nsm_error_ignore(nsm_group_wait(group));
    nsm_group_go(group, nsm_task_succeed, &shared);
}

static void try_go_after_wait(void)
{
    struct nsm_tasks shared = NSM_TASKS_INIT;
    struct nsm_group *const group = nsm_group_new(NULL, 2);
    nsm_error_ignore(nsm_group_wait(group));
    if (nsm_group_try_go(group, nsm_task_succeed, &shared))
        _exit(1);
}

static void wait_twice(void)
{
    struct nsm_group *const group = nsm_group_new(NULL, 2);
    nsm_error_ignore(nsm_group_wait(group));
    nsm_error_ignore(nsm_group_wait(group));
}

static void change_limit_while_tasks_run(void)
{
    struct nsm_tasks shared = NSM_TASKS_INIT;
    struct nsm_group *const group = nsm_group_new(NULL, 2);
    nsm_group_go(group, nsm_task_block, &shared);
    nsm_group_set_limit(group, 3);
}

static struct nsm_error *wait_for_own_group(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    return nsm_group_wait(((struct nsm_tasks *)arg)->group);
}

static void wait_within_a_task(void)
{
    struct nsm_tasks shared = NSM_TASKS_INIT;
    shared.group = nsm_group_new(NULL, 2);
    nsm_group_go(shared.group, wait_for_own_group, &shared);
    nsm_error_ignore(nsm_group_wait(shared.group));
}

static void results_before_wait(void)
{
    struct nsm_group *const group = nsm_group_new(NULL, 2);
    _exit((int)nsm_group_size(group));
}

static void no_such_result(void)
{
    struct nsm_group *const group = nsm_group_new(NULL, 2);
    nsm_error_ignore(nsm_group_wait(group));
    _exit((int)nsm_group_outcome(group, 0));
}

static void misuse_is_an_assertion(void **state)
{
    (void)state;
    static void (*const misuses[])(void) = {
        go_after_wait,      try_go_after_wait,   wait_twice,     change_limit_while_tasks_run,
        wait_within_a_task, results_before_wait, no_such_result,
    };
    for (size_t i = 0; i < NSM_COUNT_OF(misuses); i++) {
        const pid_t child = fork();
        if (child == 0) {
            const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
            dup2(nowhere, STDERR_FILENO);
            signal(SIGABRT, SIG_DFL);
            misuses[i]();
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("misuse %zu ends with status %#x", i, (unsigned)status);
    }
}

static void all_tasks_run_and_never_more_than_the_limit(void **state)
{
    (void)state;
    enum {
        N = 10000
    };
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        for (size_t k = 0; k < N; k++)
            assert_int_equal(
                nsm_group_go(group, k % 3 ? nsm_task_succeed : nsm_task_yield, &shared), k);
        assert_null(nsm_group_wait(group));
        assert_int_equal(shared.n_ended, N);
        assert_in_range(shared.n_most, 1, limits[i]);
        nsm_expect_counts(group, (struct nsm_group_counts){.n_ok = N});
        for (size_t k = 0; k < N; k++)
            assert_int_equal(nsm_group_outcome(group, k), NSM_OUTCOME_OK);
    }
}

static void as_many_tasks_as_the_limit_run_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        shared.n_expected = limits[i];
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        for (size_t k = 0; k < 4 * limits[i]; k++)
            nsm_group_go(group, nsm_task_meet, &shared);
        assert_null(nsm_group_wait(group));
        assert_int_equal(shared.n_most, limits[i]);
    }
}

/* After short tasks, which one or two threads keep up with, blocking ones must still get all threads. */
static void blocking_tasks_find_threads_after_short_ones(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        const size_t limit = limits[(size_t)round % NSM_COUNT_OF(limits)];
        struct nsm_tasks shared = NSM_TASKS_INIT;
        shared.n_expected = limit;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limit);
        for (int burst = 0; burst < 10; burst++) {
            for (int k = 0; k < 20 * burst; k++)
                nsm_group_go(group, nsm_task_succeed, &shared);
            for (size_t k = 0; k < limit; k++)
                nsm_group_go(group, nsm_task_meet, &shared);
        }
        assert_null(nsm_group_wait(group));
    }
}

static void nothing_submitted_is_a_success(void **state)
{
    (void)state;
    struct nsm_group *group = nsm_group_new(NULL, 4);
    assert_null(nsm_group_wait(group));
    nsm_expect_counts(group, (struct nsm_group_counts){0});
    nsm_group_free(group);
    nsm_group_free(nsm_group_new(NULL, 0));
    nsm_group_free(NULL);
}

static void the_default_limit_is_the_cpus(void **state)
{
    (void)state;
    const size_t n_cpus = nsm_online_cpus();
    assert_in_range(n_cpus, 1, 1 << 20);
    struct nsm_tasks shared = NSM_TASKS_INIT;
    shared.n_expected = n_cpus;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 0);
    for (size_t k = 0; k < 2 * n_cpus; k++)
        nsm_group_go(group, nsm_task_meet, &shared);
    assert_null(nsm_group_wait(group));
    assert_int_equal(shared.n_most, n_cpus);
}

static void the_limit_may_change_between_tasks(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 3);
    shared.n_expected = 3;
    for (int k = 0; k < 3; k++)
        nsm_group_go(group, nsm_task_meet, &shared);
    /* set_limit asserts on running tasks, and only wait() joins; a free slot for each task means that none runs. */
    while (nsm_group_slots_in_use(group) > 0)
        sched_yield();
    nsm_group_set_limit(group, 1);
    atomic_store(&shared.n_most, 0);
    for (int k = 0; k < 100; k++)
        nsm_group_go(group, nsm_task_yield, &shared);
    assert_null(nsm_group_wait(group));
    assert_int_equal(shared.n_most, 1);
    assert_int_equal(shared.n_ended, 103);
}

struct numbered {
    struct nsm_tasks *shared;
    size_t number;
};

/* Every third fails, each with its own number; later ones end sooner. */
static struct nsm_error *end_out_of_order(struct nsm_context *ctx, void *arg)
{
    const struct numbered *const numbered = arg;
    nsm_error_ignore(nsm_sleep(ctx, (int64_t)((30 - numbered->number % 30) * 20000)));
    nsm_task_succeed(ctx, numbered->shared);
    return numbered->number % 3 ? NULL : nsm_error_new(NSM_E_INVALID, "task %zu", numbered->number);
}

static void results_come_in_the_order_of_submission(void **state)
{
    (void)state;
    enum {
        N = 300
    };
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        struct numbered numbered[N];
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        nsm_group_set_on_error(group, NSM_ON_ERROR_CONTINUE);
        for (size_t k = 0; k < N; k++) {
            numbered[k] = (struct numbered){.shared = &shared, .number = k};
            nsm_group_go(group, end_out_of_order, &numbered[k]);
        }
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
        assert_true(nsm_error_is(error, NSM_E_INVALID));
        nsm_expect_counts(group, (struct nsm_group_counts){.n_ok = N - N / 3, .n_failed = N / 3});
        for (size_t k = 0; k < N; k++) {
            const struct nsm_error *const own = nsm_group_task_error(group, k);
            assert_int_equal(nsm_group_outcome(group, k),
                             k % 3 ? NSM_OUTCOME_OK : NSM_OUTCOME_FAILED);
            NSM_CLEANUP(nsm_freep) char *expected = nsm_xasprintf("task %zu", k);
            if (k % 3)
                assert_null(own);
            else
                nsm_expect_error(nsm_error_clone(own), NSM_E_INVALID, expected);
        }
    }
}

static void a_slot_comes_back_after_a_failure(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        nsm_group_set_on_error(group, NSM_ON_ERROR_CONTINUE);
        for (size_t k = 0; k < 500; k++)
            nsm_group_go(group, k % 2 ? nsm_task_fail : nsm_task_succeed, &shared);
        nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "disk full");
        assert_int_equal(shared.n_ended, 500);
        nsm_expect_counts(group, (struct nsm_group_counts){.n_ok = 250, .n_failed = 250});
    }
}

/* Blocks in one of three ways until the context ends. */
struct blocker {
    struct nsm_tasks *shared;
    int way;
    int fd;
};

static struct nsm_error *block_on_queue(struct nsm_context *ctx)
{
    /* A queue that stays empty: a mutex, a condition variable, a waker. */
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct nsm_waker waker;
    nsm_waker_register(&waker, ctx, &mutex, &cond);
    pthread_mutex_lock(&mutex);
    while (!nsm_context_is_canceled(ctx))
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
    nsm_waker_unregister(&waker);
    pthread_cond_destroy(&cond);
    pthread_mutex_destroy(&mutex);
    return nsm_context_error(ctx);
}

static struct nsm_error *block_in_some_way(struct nsm_context *ctx, void *arg)
{
    struct blocker *const blocker = arg;
    nsm_tasks_enter(blocker->shared);
    struct nsm_error *error = NULL;
    if (blocker->way == 0)
        error = nsm_wait_fd(ctx, blocker->fd, POLLIN, NSM_NEVER, NULL);
    else if (blocker->way == 1)
        error = block_on_queue(ctx);
    else
        error = nsm_sleep(ctx, NSM_HANG_NS);
    nsm_tasks_leave(blocker->shared);
    return nsm_error_wrap(error, "sibling");
}

static struct nsm_error *fail_when_all_have_begun(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    (void)ctx;
    nsm_tasks_await_begun(shared);
    return nsm_error_wrap(nsm_error_new(NSM_E_CORRUPT, "bad checksum"), "the cause");
}

/* `n_waits_for`: how many siblings are in their task before the one fails. */
static void fail_one_of(size_t limit, size_t n_waits_for, int socket)
{
    struct nsm_tasks shared = NSM_TASKS_INIT;
    shared.n_expected = n_waits_for;
    struct blocker blockers[64];
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limit);
    for (size_t k = 0; k + 1 < limit; k++) {
        blockers[k] = (struct blocker){.shared = &shared, .way = (int)(k % 3), .fd = socket};
        nsm_group_go(group, block_in_some_way, &blockers[k]);
    }
    const size_t failing = nsm_group_go(group, fail_when_all_have_begun, &shared);
    /* Waits for a slot, and gets none in time. */
    const size_t last = nsm_group_go(group, nsm_task_succeed, &shared);
    nsm_expect_error(nsm_group_wait(group), NSM_E_CORRUPT, "the cause: bad checksum");

    assert_int_equal(shared.n_running, 0);
    assert_int_equal(shared.n_begun, shared.n_ended);
    assert_int_equal(nsm_group_outcome(group, failing), NSM_OUTCOME_FAILED);
    assert_int_equal(nsm_group_outcome(group, last), NSM_OUTCOME_NOT_STARTED);
    const struct nsm_group_counts counts = nsm_group_counts(group);
    assert_int_equal(counts.n_failed, 1);
    assert_int_equal(counts.n_ok, 0);
    assert_int_equal(counts.n_canceled, shared.n_ended);
    assert_in_range(counts.n_canceled, n_waits_for, limit - 1);
}

static void the_first_error_wakes_all_siblings(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        for (int round = 0; round < 5; round++)
            fail_one_of(limits[i], limits[i] - 1, ends[0]);
    }
    close(ends[0]);
    close(ends[1]);
}

/* A thousand times, at every moment of the siblings' way into their waits. */
static void the_first_error_wakes_all_siblings_a_thousand_times(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    for (size_t round = 0; round < 1000; round++) {
        const size_t limit = 1 + round % 8;
        fail_one_of(limit, round / 8 % limit, ends[0]);
    }
    close(ends[0]);
    close(ends[1]);
}

static void an_error_that_goes_on_does_not_wake(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    nsm_group_set_on_error(group, NSM_ON_ERROR_CONTINUE);
    nsm_group_go(group, nsm_task_fail, &shared);
    for (int k = 0; k < 50; k++)
        nsm_group_go(group, nsm_task_yield, &shared);
    assert_false(nsm_context_is_canceled(nsm_group_context(group)));
    nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "disk full");
    nsm_expect_counts(group, (struct nsm_group_counts){.n_ok = 50, .n_failed = 1});
}

static struct nsm_error *say_canceled(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return nsm_error_new(NSM_E_CANCELED, "my own reasons");
}

static void canceled_for_own_reasons_is_a_failure(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 2);
    nsm_group_go(group, nsm_task_block, &shared);
    const size_t own = nsm_group_go(group, say_canceled, &shared);
    nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "my own reasons");
    assert_int_equal(nsm_group_outcome(group, own), NSM_OUTCOME_FAILED);
}

/* Waits for the end of the context and fails then, for a reason of its own. */
static struct nsm_error *fail_after_the_end(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    nsm_tasks_enter(shared);
    nsm_error_ignore(nsm_sleep(ctx, NSM_HANG_NS));
    nsm_tasks_leave(shared);
    return nsm_error_new(NSM_E_IO, "while closing");
}

static void a_later_error_does_not_replace_the_first(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    shared.n_expected = 3;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    for (int k = 0; k < 3; k++)
        nsm_group_go(group, fail_after_the_end, &shared);
    nsm_group_go(group, fail_when_all_have_begun, &shared);
    nsm_expect_error(nsm_group_wait(group), NSM_E_CORRUPT, "the cause: bad checksum");
    nsm_expect_counts(group, (struct nsm_group_counts){.n_failed = 4});
}

static void a_real_error_replaces_cancellations(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, 4);
    for (int k = 0; k < 3; k++)
        nsm_group_go(group, nsm_task_block, &shared);
    nsm_group_go(group, fail_after_the_end, &shared);
    while (atomic_load(&shared.n_begun) < 4)
        sched_yield();
    nsm_context_cancel(parent, NULL);
    nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "while closing");
    nsm_expect_counts(group, (struct nsm_group_counts){.n_failed = 1, .n_canceled = 3});
}

static struct nsm_error *report_the_cause(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    nsm_tasks_enter(shared);
    struct nsm_error *const error = nsm_sleep(ctx, NSM_HANG_NS);
    shared->cause = nsm_context_cause(ctx);
    nsm_tasks_leave(shared);
    return error;
}

static void siblings_can_see_the_cause(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    shared.n_expected = 1;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 2);
    nsm_group_go(group, report_the_cause, &shared);
    nsm_group_go(group, fail_when_all_have_begun, &shared);
    nsm_expect_error(nsm_group_wait(group), NSM_E_CORRUPT, "the cause: bad checksum");
    nsm_expect_error(shared.cause, NSM_E_CORRUPT, "the cause: bad checksum");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misuse_is_an_assertion),
        cmocka_unit_test(all_tasks_run_and_never_more_than_the_limit),
        cmocka_unit_test(as_many_tasks_as_the_limit_run_at_once),
        cmocka_unit_test(blocking_tasks_find_threads_after_short_ones),
        cmocka_unit_test(nothing_submitted_is_a_success),
        cmocka_unit_test(the_default_limit_is_the_cpus),
        cmocka_unit_test(the_limit_may_change_between_tasks),
        cmocka_unit_test(results_come_in_the_order_of_submission),
        cmocka_unit_test(a_slot_comes_back_after_a_failure),
        cmocka_unit_test(the_first_error_wakes_all_siblings),
        cmocka_unit_test(the_first_error_wakes_all_siblings_a_thousand_times),
        cmocka_unit_test(an_error_that_goes_on_does_not_wake),
        cmocka_unit_test(canceled_for_own_reasons_is_a_failure),
        cmocka_unit_test(a_later_error_does_not_replace_the_first),
        cmocka_unit_test(a_real_error_replaces_cancellations),
        cmocka_unit_test(siblings_can_see_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
