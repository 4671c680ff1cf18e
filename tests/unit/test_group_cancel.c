/* How a group ends before its tasks are done: cancelled, stopped, timed out, freed, told to fail. */
#include "tests/support/group_tasks.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const size_t limits[] = NSM_TEST_LIMITS;

static struct nsm_error *cancel_parent(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    struct nsm_tasks *const shared = arg;
    nsm_tasks_await_begun(shared);
    nsm_context_cancel(shared->parent, nsm_error_new(NSM_E_IO, "from outside"));
    return NULL;
}

/* A submitter that waits for a slot wakes as well, and its task does not begin. */
static void a_cancelled_parent_ends_everything(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        const size_t limit = limits[i];
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
        struct nsm_tasks shared = NSM_TASKS_INIT;
        shared.n_expected = limit;
        shared.parent = parent;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *other = nsm_group_new(NULL, 1);
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, limit);
        nsm_group_go(other, cancel_parent, &shared);
        for (size_t k = 0; k < limit + 10; k++)
            assert_int_equal(nsm_group_go(group, nsm_task_block, &shared), k);
        assert_false(nsm_group_try_go(group, nsm_task_block, &shared));
        nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "canceled");
        nsm_expect_counts(group,
                          (struct nsm_group_counts){.n_canceled = limit, .n_not_started = 10});
        assert_null(nsm_group_wait(other));
        for (size_t k = 0; k < limit + 10; k++) {
            assert_int_equal(nsm_group_outcome(group, k),
                             k < limit ? NSM_OUTCOME_CANCELED : NSM_OUTCOME_NOT_STARTED);
        }
        assert_null(nsm_group_task_error(group, limit));
    }
}

static void a_cancelled_group_begins_nothing(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
    nsm_context_cancel(parent, NULL);
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, 4);
    for (size_t k = 0; k < 1000; k++)
        assert_int_equal(nsm_group_go(group, nsm_task_succeed, &shared), k);
    nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "canceled");
    assert_int_equal(shared.n_begun, 0);
    nsm_expect_counts(group, (struct nsm_group_counts){.n_not_started = 1000});
}

static void what_ended_well_before_the_cancellation_is_well(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    for (int k = 0; k < 10; k++)
        nsm_group_go(group, nsm_task_succeed, &shared);
    while (atomic_load(&shared.n_ended) < 10)
        sched_yield();
    nsm_group_cancel(group, NULL);
    assert_null(nsm_group_wait(group));
    nsm_expect_counts(group, (struct nsm_group_counts){.n_ok = 10});
}

static void a_deadline_ends_tasks_and_submitters(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        const size_t limit = limits[i];
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
        nsm_context_set_deadline(parent, nsm_now_ns() + 50 * NSM_NS_PER_MS);
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, limit);
        for (size_t k = 0; k < limit + 3; k++)
            nsm_group_go(group, nsm_task_block, &shared);
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_group_wait(group);
        assert_true(nsm_error_is(error, NSM_E_TIMEOUT));
        const struct nsm_group_counts counts = nsm_group_counts(group);
        assert_int_equal(counts.n_ok, 0);
        assert_true(counts.n_not_started >= 3);
    }
}

/* A stop lets who runs come to rest; what has not begun does not begin; and it is no failure of anyone. */
static struct nsm_error *rest_at_a_stop(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    nsm_tasks_enter(shared);
    while (!nsm_context_is_stopping(ctx))
        sched_yield();
    struct nsm_error *error =
        nsm_context_error(ctx); /* not cancelled: the last batch could be written */
    nsm_tasks_leave(shared);
    return error ? nsm_error_new(NSM_E_INTERNAL, "cancelled, not stopped")
                 : nsm_error_new(NSM_E_CANCELED, "stopped");
}

static struct nsm_error *stop_parent(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    struct nsm_tasks *const shared = arg;
    nsm_tasks_await_begun(shared);
    nsm_context_stop(shared->parent);
    return NULL;
}

static void a_stop_lets_tasks_rest_and_begins_none(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
    shared.n_expected = 4;
    shared.parent = parent;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *other = nsm_group_new(NULL, 1);
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, 4);
    nsm_group_go(other, stop_parent, &shared);
    for (int k = 0; k < 10; k++)
        nsm_group_go(group, rest_at_a_stop, &shared);
    nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "canceled");
    nsm_expect_counts(group, (struct nsm_group_counts){.n_canceled = 4, .n_not_started = 6});
    assert_null(nsm_group_wait(other));
}

static void stop_is_cancel_and_join(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 8);
    for (int k = 0; k < 8; k++)
        nsm_group_go(group, nsm_task_block, &shared);
    nsm_expect_error(nsm_group_stop(group), NSM_E_CANCELED, "canceled");
    assert_int_equal(shared.n_running, 0);
    const struct nsm_group_counts counts = nsm_group_counts(group);
    assert_int_equal(counts.n_canceled + counts.n_not_started, 8);
}

static void free_joins_what_still_runs(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        struct nsm_group *group = nsm_group_new(NULL, 4);
        for (int k = 0; k < 4; k++)
            nsm_group_go(group, nsm_task_block, &shared);
        nsm_group_free(group);
        assert_int_equal(shared.n_running, 0);
        assert_int_equal(shared.n_begun, shared.n_ended);
    }
}

static void a_failure_can_be_recorded_without_a_task(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    for (int k = 0; k < 4; k++)
        nsm_group_go(group, nsm_task_block, &shared);
    nsm_group_fail(group, NULL);
    assert_false(nsm_context_is_canceled(nsm_group_context(group)));
    nsm_group_fail(group, nsm_error_new(NSM_E_IO, "reported"));
    nsm_group_fail(group, nsm_error_new(NSM_E_IO, "later"));
    nsm_group_fail(group, nsm_error_new(NSM_E_CANCELED, "a consequence"));
    nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "reported");
}

static void a_cancellation_may_bring_the_error(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    nsm_group_set_on_error(group, NSM_ON_ERROR_CONTINUE);
    nsm_group_go(group, nsm_task_block, &shared);
    nsm_group_cancel(group, nsm_error_new(NSM_E_CANCELED, "interrupted by signal 2"));
    nsm_group_cancel(group, nsm_error_new(NSM_E_IO, "later"));
    nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "interrupted by signal 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_parent_ends_everything),
        cmocka_unit_test(a_cancelled_group_begins_nothing),
        cmocka_unit_test(what_ended_well_before_the_cancellation_is_well),
        cmocka_unit_test(a_deadline_ends_tasks_and_submitters),
        cmocka_unit_test(a_stop_lets_tasks_rest_and_begins_none),
        cmocka_unit_test(stop_is_cancel_and_join),
        cmocka_unit_test(free_joins_what_still_runs),
        cmocka_unit_test(a_failure_can_be_recorded_without_a_task),
        cmocka_unit_test(a_cancellation_may_bring_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
