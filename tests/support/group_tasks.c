/* Tasks that record what they do, for the tests of the group. */
#include "tests/support/group_tasks.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

void nsm_expect_error(struct nsm_error *error, enum nsm_code code, const char *text)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *owned = error;
    assert_non_null(owned);
    NSM_CLEANUP(nsm_freep) char *whole = nsm_error_text(owned);
    assert_string_equal(whole, text);
    assert_int_equal(nsm_error_code(owned), code);
}

void nsm_expect_counts(const struct nsm_group *group, struct nsm_group_counts expected)
{
    const struct nsm_group_counts counts = nsm_group_counts(group);
    assert_int_equal(counts.n_ok, expected.n_ok);
    assert_int_equal(counts.n_failed, expected.n_failed);
    assert_int_equal(counts.n_canceled, expected.n_canceled);
    assert_int_equal(counts.n_not_started, expected.n_not_started);
    assert_int_equal(nsm_group_size(group), expected.n_ok + expected.n_failed +
                                                expected.n_canceled + expected.n_not_started);
}

void nsm_tasks_enter(struct nsm_tasks *tasks)
{
    atomic_fetch_add(&tasks->n_begun, 1);
    const size_t n_running = atomic_fetch_add(&tasks->n_running, 1) + 1;
    size_t n_most = atomic_load(&tasks->n_most);
    while (n_running > n_most &&
           !atomic_compare_exchange_weak(&tasks->n_most, &n_most, n_running)) {
    }
}

void nsm_tasks_leave(struct nsm_tasks *tasks)
{
    atomic_fetch_sub(&tasks->n_running, 1);
    atomic_fetch_add(&tasks->n_ended, 1);
}

void nsm_tasks_await_begun(const struct nsm_tasks *tasks)
{
    while (atomic_load(&tasks->n_begun) < tasks->n_expected)
        sched_yield();
}

struct nsm_error *nsm_task_succeed(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    struct nsm_tasks *const tasks = arg;
    nsm_tasks_enter(tasks);
    nsm_tasks_leave(tasks);
    return NULL;
}

struct nsm_error *nsm_task_yield(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    struct nsm_tasks *const tasks = arg;
    nsm_tasks_enter(tasks);
    sched_yield();
    nsm_tasks_leave(tasks);
    return NULL;
}

struct nsm_error *nsm_task_fail(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    nsm_error_ignore(nsm_task_succeed(ctx, arg));
    return nsm_error_new(NSM_E_IO, "disk full");
}

struct nsm_error *nsm_task_meet(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const tasks = arg;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += NSM_HANG_NS / NSM_NS_PER_S;
    int result = 0;
    (void)ctx;
    nsm_tasks_enter(tasks);
    pthread_mutex_lock(&tasks->mutex);
    tasks->n_arrived++;
    if (tasks->n_arrived % tasks->n_expected == 0)
        pthread_cond_broadcast(&tasks->cond);
    const size_t goal =
        (tasks->n_arrived + tasks->n_expected - 1) / tasks->n_expected * tasks->n_expected;
    while (tasks->n_arrived < goal && result == 0)
        result = pthread_cond_timedwait(&tasks->cond, &tasks->mutex, &end);
    pthread_mutex_unlock(&tasks->mutex);
    nsm_tasks_leave(tasks);
    return result ? nsm_error_new(NSM_E_TIMEOUT, "the others did not come") : NULL;
}

struct nsm_error *nsm_task_block(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const tasks = arg;
    nsm_tasks_enter(tasks);
    struct nsm_error *const error = nsm_sleep(ctx, NSM_HANG_NS);
    nsm_tasks_leave(tasks);
    return nsm_error_wrap(error, "sibling");
}
