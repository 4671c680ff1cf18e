/* The group under stress: many submitters, tasks that submit, nesting, threads that can't be made, a thousand times. */
#include "tests/support/group_tasks.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const size_t limits[] = NSM_TEST_LIMITS;

static void try_go_never_waits(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 2);
    assert_true(nsm_group_try_go(group, nsm_task_block, &shared));
    assert_true(nsm_group_try_go(group, nsm_task_block, &shared));
    assert_false(nsm_group_try_go(group, nsm_task_block, &shared));
    nsm_group_cancel(group, NULL);
    while (nsm_group_slots_in_use(group) > 0)
        sched_yield();
    assert_false(nsm_group_try_go(group, nsm_task_succeed, &shared));
    nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "canceled");
    assert_int_equal(nsm_group_size(group), 2);
}

struct submitter {
    struct nsm_tasks *shared;
    pthread_t thread;
    size_t n_submitted;
};

static void *submit_many(void *arg)
{
    struct submitter *const submitter = arg;
    for (size_t k = 0; k < 500; k++) {
        if (k % 7 == 0) {
            submitter->n_submitted +=
                nsm_group_try_go(submitter->shared->group, nsm_task_yield, submitter->shared);
        } else {
            nsm_group_go(submitter->shared->group, nsm_task_succeed, submitter->shared);
            submitter->n_submitted++;
        }
    }
    return NULL;
}

static void many_threads_may_submit(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        shared.group = group;
        struct submitter submitters[6];
        for (size_t k = 0; k < NSM_COUNT_OF(submitters); k++) {
            submitters[k] = (struct submitter){.shared = &shared};
            assert_int_equal(
                pthread_create(&submitters[k].thread, NULL, submit_many, &submitters[k]), 0);
        }
        size_t n_submitted = 0;
        for (size_t k = 0; k < NSM_COUNT_OF(submitters); k++) {
            assert_int_equal(pthread_join(submitters[k].thread, NULL), 0);
            n_submitted += submitters[k].n_submitted;
        }
        assert_null(nsm_group_wait(group));
        assert_int_equal(shared.n_ended, n_submitted);
        assert_in_range(shared.n_most, 1, limits[i]);
        nsm_expect_counts(group, (struct nsm_group_counts){.n_ok = n_submitted});
    }
}

static void many_waiting_submitters_wake_on_cancellation(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *parent = nsm_context_new(NULL);
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(parent, 2);
        shared.group = group;
        nsm_group_go(group, nsm_task_block, &shared);
        nsm_group_go(group, nsm_task_block, &shared);
        struct submitter submitters[4];
        for (size_t k = 0; k < NSM_COUNT_OF(submitters); k++) {
            submitters[k] = (struct submitter){.shared = &shared};
            assert_int_equal(
                pthread_create(&submitters[k].thread, NULL, submit_many, &submitters[k]), 0);
        }
        for (int i = 0; i < round; i++)
            sched_yield();
        nsm_context_cancel(parent, NULL);
        for (size_t k = 0; k < NSM_COUNT_OF(submitters); k++)
            assert_int_equal(pthread_join(submitters[k].thread, NULL), 0);
        nsm_expect_error(nsm_group_wait(group), NSM_E_CANCELED, "canceled");
        assert_true(shared.n_begun <= 2);
    }
}

struct tree {
    struct nsm_tasks *shared;
    size_t depth;
};

static struct nsm_error *grow_tree(struct nsm_context *ctx, void *arg)
{
    const struct tree *const tree = arg;
    nsm_task_succeed(ctx, tree->shared);
    if (tree->depth == 0)
        return NULL;
    /* The children are all alike, so that one argument serves them; it lives as long as the process. */
    static const size_t n_children = 3;
    const struct tree *const child = tree + 1;
    for (size_t k = 0; k < n_children; k++)
        nsm_group_go(tree->shared->group, grow_tree, (void *)(uintptr_t)child);
    return NULL;
}

static void tasks_may_submit_to_their_own_group(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        struct tree levels[7];
        for (size_t k = 0; k < NSM_COUNT_OF(levels); k++)
            levels[k] = (struct tree){.shared = &shared, .depth = 6 - k};
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        shared.group = group;
        nsm_group_go(group, grow_tree, &levels[0]);
        assert_null(nsm_group_wait(group));
        assert_int_equal(shared.n_ended, (2187 - 1) / 2);
        assert_in_range(shared.n_most, 1, limits[i]);
    }
}

static struct nsm_error *submit_deeply(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    (void)ctx;
    if (atomic_fetch_add(&shared->n_begun, 1) < 2000)
        nsm_group_go(shared->group, submit_deeply, shared);
    atomic_fetch_add(&shared->n_ended, 1);
    return NULL;
}

static void a_task_at_the_limit_runs_its_own_submission(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 1);
    shared.group = group;
    nsm_group_go(group, submit_deeply, &shared);
    assert_null(nsm_group_wait(group));
    assert_int_equal(shared.n_ended, 2001);
}

static struct nsm_error *submit_failures(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    (void)ctx;
    const size_t failing = nsm_group_go(shared->group, nsm_task_fail, shared);
    const size_t late = nsm_group_go(shared->group, nsm_task_succeed, shared);
    return failing == 1 && late == 2 ? NULL : nsm_error_new(NSM_E_INTERNAL, "wrong order");
}

static void a_submission_run_at_once_counts_like_any_other(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 1);
    shared.group = group;
    nsm_group_go(group, submit_failures, &shared);
    nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "disk full");
    assert_int_equal(nsm_group_outcome(group, 0), NSM_OUTCOME_OK);
    assert_int_equal(nsm_group_outcome(group, 1), NSM_OUTCOME_FAILED);
    assert_int_equal(nsm_group_outcome(group, 2), NSM_OUTCOME_NOT_STARTED);
    assert_int_equal(shared.n_begun, 1);
}

static struct nsm_error *run_inner_group(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *inner = nsm_group_new(ctx, 4);
    for (int k = 0; k < 20; k++)
        nsm_group_go(inner, nsm_task_yield, shared);
    return nsm_error_wrap(nsm_group_wait(inner), "inner");
}

static void groups_nest(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
        for (int k = 0; k < 50; k++)
            nsm_group_go(group, run_inner_group, &shared);
        assert_null(nsm_group_wait(group));
        assert_int_equal(shared.n_ended, 1000);
    }
}

static struct nsm_error *run_failing_inner_group(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *inner = nsm_group_new(ctx, 4);
    for (int k = 0; k < 3; k++)
        nsm_group_go(inner, nsm_task_block, shared);
    nsm_group_go(inner, nsm_task_fail, shared);
    return nsm_error_wrap(nsm_group_wait(inner), "inner");
}

static struct nsm_error *run_blocking_inner_group(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *inner = nsm_group_new(ctx, 4);
    for (int k = 0; k < 6; k++)
        nsm_group_go(inner, nsm_task_block, shared);
    return nsm_error_wrap(nsm_group_wait(inner), "inner");
}

/* An error within one inner group ends all the others through the outer one, and is the one that is told. */
static void an_inner_error_goes_out_and_cancellation_goes_in(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 5);
        for (int k = 0; k < 4; k++)
            nsm_group_go(group, run_blocking_inner_group, &shared);
        nsm_group_go(group, run_failing_inner_group, &shared);
        nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "inner: disk full");
        assert_int_equal(shared.n_running, 0);
        assert_int_equal(nsm_group_counts(group).n_failed, 1);
    }
}

static struct nsm_error *submit_outwards(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    (void)ctx;
    nsm_group_go(shared->group, nsm_task_succeed, shared);
    return NULL;
}

static struct nsm_error *submit_outwards_from_within(struct nsm_context *ctx, void *arg)
{
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *inner = nsm_group_new(ctx, 2);
    for (int k = 0; k < 10; k++)
        nsm_group_go(inner, submit_outwards, arg);
    return nsm_group_wait(inner);
}

static struct nsm_error *nest_twice(struct nsm_context *ctx, void *arg)
{
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *inner = nsm_group_new(ctx, 1);
    nsm_group_go(inner, submit_outwards_from_within, arg);
    return nsm_group_wait(inner);
}

/* The outer group's only slot is held by the task that waits for the inner groups: waiting for it would never end. */
static void an_inner_task_may_submit_to_the_outer_group(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 1);
    shared.group = group;
    nsm_group_go(group, submit_outwards_from_within, &shared);
    nsm_group_go(group, nest_twice, &shared);
    assert_null(nsm_group_wait(group));
    assert_int_equal(shared.n_ended, 20);
}

static atomic_int n_threads_allowed;

static int make_some_threads(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
    if (atomic_fetch_sub(&n_threads_allowed, 1) <= 0)
        return EAGAIN;
    return pthread_create(ret_thread, NULL, fn, arg);
}

static int make_every_other_thread(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
    if (atomic_fetch_add(&n_threads_allowed, 1) % 2)
        return EAGAIN;
    return pthread_create(ret_thread, NULL, fn, arg);
}

static void a_starved_group_is_slower_and_not_stuck(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        for (int n_allowed = 0; n_allowed < 4; n_allowed++) {
            struct nsm_tasks shared = NSM_TASKS_INIT;
            NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limits[i]);
            nsm_group_set_thread_maker(group, make_some_threads);
            atomic_store(&n_threads_allowed, n_allowed);
            shared.group = group;
            for (int k = 0; k < 1000; k++)
                nsm_group_go(group, k % 3 ? nsm_task_yield : submit_outwards, &shared);
            assert_null(nsm_group_wait(group));
            assert_int_equal(shared.n_ended, 1000);
            /* The submitter itself works only where no thread does. */
            assert_in_range(shared.n_most, 1, n_allowed ? n_allowed : 1);
        }
    }
}

/* Ends when as many tasks as expected have been let go, which the main thread counts in n_arrived. */
static struct nsm_error *await_submission(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    nsm_tasks_enter(shared);
    const int64_t end = nsm_now_ns() + NSM_HANG_NS;
    bool is_over = false;
    while (!is_over && nsm_now_ns() < end && !nsm_context_is_canceled(ctx)) {
        nsm_error_ignore(nsm_sleep(ctx, NSM_NS_PER_MS));
        pthread_mutex_lock(&shared->mutex);
        is_over = shared->n_arrived >= shared->n_expected;
        pthread_mutex_unlock(&shared->mutex);
    }
    nsm_tasks_leave(shared);
    return is_over ? NULL : nsm_error_new(NSM_E_TIMEOUT, "the submitter is stuck");
}

/* Ends soon after all slots are in use, when the submitter sleeps until one is free. */
static struct nsm_error *end_when_full(struct nsm_context *ctx, void *arg)
{
    struct nsm_tasks *const shared = arg;
    while (nsm_group_slots_in_use(shared->group) < shared->n_expected - 1)
        sched_yield();
    return nsm_sleep(ctx, 5 * NSM_NS_PER_MS);
}

/* Two threads, and a slot that is given back by a thread that goes on with a task which waits for the submitter. */
static void a_slot_is_free_though_tasks_are_queued_for_few_threads(void **state)
{
    (void)state;
    for (size_t limit = 4; limit <= 64; limit *= 4) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limit);
        nsm_group_set_thread_maker(group, make_some_threads);
        atomic_store(&n_threads_allowed, 2);
        shared.group = group;
        shared.n_expected = limit + 1;
        for (size_t k = 0; k < limit + 1; k++) {
            nsm_group_go(group, k == 1 ? end_when_full : await_submission, &shared);
            pthread_mutex_lock(&shared.mutex);
            shared.n_arrived++;
            pthread_mutex_unlock(&shared.mutex);
        }
        assert_null(nsm_group_wait(group));
    }
}

static void a_starved_group_has_the_same_results(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 4);
    nsm_group_set_thread_maker(group, make_some_threads);
    atomic_store(&n_threads_allowed, 0);
    assert_int_equal(nsm_group_go(group, nsm_task_succeed, &shared), 0);
    assert_int_equal(shared.n_ended, 1); /* on this thread */
    assert_true(nsm_group_try_go(group, nsm_task_succeed, &shared));
    assert_int_equal(nsm_group_go(group, nsm_task_fail, &shared), 2);
    assert_int_equal(nsm_group_go(group, nsm_task_succeed, &shared), 3);
    nsm_expect_error(nsm_group_wait(group), NSM_E_IO, "disk full");
    nsm_expect_counts(group,
                      (struct nsm_group_counts){.n_ok = 2, .n_failed = 1, .n_not_started = 1});
    assert_int_equal(nsm_group_outcome(group, 3), NSM_OUTCOME_NOT_STARTED);
}

static void starved_groups_nest(void **state)
{
    (void)state;
    struct nsm_tasks shared = NSM_TASKS_INIT;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 1);
    nsm_group_set_thread_maker(group, make_some_threads);
    atomic_store(&n_threads_allowed, 0);
    shared.group = group;
    nsm_group_go(group, submit_outwards_from_within, &shared);
    nsm_group_go(group, nest_twice, &shared);
    assert_null(nsm_group_wait(group));
    assert_int_equal(shared.n_ended, 20);
}

static void many_submitters_of_a_starved_group(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 3);
        nsm_group_set_thread_maker(group, round % 2 ? make_every_other_thread : make_some_threads);
        atomic_store(&n_threads_allowed, round / 2 % 2);
        shared.group = group;
        struct submitter submitters[6];
        for (size_t k = 0; k < NSM_COUNT_OF(submitters); k++) {
            submitters[k] = (struct submitter){.shared = &shared};
            assert_int_equal(
                pthread_create(&submitters[k].thread, NULL, submit_many, &submitters[k]), 0);
        }
        size_t n_submitted = 0;
        for (size_t k = 0; k < NSM_COUNT_OF(submitters); k++) {
            assert_int_equal(pthread_join(submitters[k].thread, NULL), 0);
            n_submitted += submitters[k].n_submitted;
        }
        assert_null(nsm_group_wait(group));
        assert_int_equal(shared.n_ended, n_submitted);
        assert_in_range(shared.n_most, 1, 3);
    }
}

static void short_lives_a_thousand_times(void **state)
{
    (void)state;
    for (size_t round = 0; round < 1000; round++) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        const size_t limit = limits[round % 4];
        struct nsm_group *const group = nsm_group_new(NULL, limit);
        for (size_t k = 0; k < round % 23; k++)
            nsm_group_go(group, round % 2 ? nsm_task_succeed : nsm_task_yield, &shared);
        if (round % 5 == 0)
            nsm_group_go(group, nsm_task_fail, &shared);
        struct nsm_error *const error = nsm_group_wait(group);
        assert_int_equal(error != NULL, round % 5 == 0);
        nsm_error_free(error);
        const struct nsm_group_counts counts = nsm_group_counts(group);
        assert_int_equal(shared.n_ended, counts.n_ok + counts.n_failed);
        assert_int_equal(counts.n_failed, round % 5 == 0);
        if (round % 5)
            assert_int_equal(counts.n_ok, round % 23);
        nsm_group_free(group);
    }
}

/* Single tasks with pauses between, so that threads are met on every step of their way to sleep and back. */
static void sparse_tasks_find_sleeping_threads(void **state)
{
    (void)state;
    for (size_t limit = 1; limit <= 4; limit *= 2) {
        struct nsm_tasks shared = NSM_TASKS_INIT;
        NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limit);
        for (size_t k = 0; k < 6000; k++) {
            nsm_group_go(group, nsm_task_succeed, &shared);
            const int64_t end = nsm_now_ns() + NSM_HANG_NS;
            while (atomic_load(&shared.n_ended) < k + 1 && nsm_now_ns() < end)
                sched_yield();
            assert_int_equal(shared.n_ended, k + 1);
            /* From no pause to one in which the threads have long gone to sleep. */
            for (size_t i = 0; i < k * 7 % (3 * NSM_GROUP_SPINS); i++)
                nsm_group_spin();
        }
        assert_null(nsm_group_wait(group));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(try_go_never_waits),
        cmocka_unit_test(many_threads_may_submit),
        cmocka_unit_test(many_waiting_submitters_wake_on_cancellation),
        cmocka_unit_test(tasks_may_submit_to_their_own_group),
        cmocka_unit_test(a_task_at_the_limit_runs_its_own_submission),
        cmocka_unit_test(a_submission_run_at_once_counts_like_any_other),
        cmocka_unit_test(groups_nest),
        cmocka_unit_test(an_inner_error_goes_out_and_cancellation_goes_in),
        cmocka_unit_test(an_inner_task_may_submit_to_the_outer_group),
        cmocka_unit_test(a_starved_group_is_slower_and_not_stuck),
        cmocka_unit_test(a_slot_is_free_though_tasks_are_queued_for_few_threads),
        cmocka_unit_test(a_starved_group_has_the_same_results),
        cmocka_unit_test(starved_groups_nest),
        cmocka_unit_test(many_submitters_of_a_starved_group),
        cmocka_unit_test(short_lives_a_thousand_times),
        cmocka_unit_test(sparse_tasks_find_sleeping_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
