/* The board: every job once, phases in order, budgets kept, no worker idle while a job is left, nothing left running. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/group.h"
#include "migrate/engine/board.h"

#include <stdatomic.h>

#define N_PARTS   400
#define N_OBJECTS 7

struct bench {
    struct nsm_board board;
    struct nsm_budget source, destination;
    _Atomic size_t n_source_now, n_destination_now, n_most_source, n_most_destination;
    _Atomic size_t n_runs[N_PARTS];
    _Atomic size_t n_open_of_object[N_OBJECTS];
    _Atomic size_t n_open_of_phase[4];
    _Atomic size_t n_wrong_order;
    size_t fail_at; /* index of the job that fails; SIZE_MAX: none */
    enum nsm_code fail_code;
    int64_t job_ns;
};

static void note_most(_Atomic size_t *most, size_t now)
{
    size_t seen = atomic_load(most);
    while (now > seen && !atomic_compare_exchange_weak(most, &seen, now))
        continue;
}

static struct nsm_error *run_job(struct nsm_context *ctx, void *arg, const struct nsm_job *job)
{
    struct bench *const bench = arg;
    if (job->reads_from)
        note_most(&bench->n_most_source, atomic_fetch_add(&bench->n_source_now, 1) + 1);
    if (job->writes_to)
        note_most(&bench->n_most_destination, atomic_fetch_add(&bench->n_destination_now, 1) + 1);
    const bool is_early = job->phase == 1 && job->object != NSM_JOB_NO_OBJECT;
    for (unsigned phase = 0; phase < job->phase; phase++) {
        if (!(is_early && phase == 0) && atomic_load(&bench->n_open_of_phase[phase]) > 0)
            bench->n_wrong_order++;
    }
    if (is_early && atomic_load(&bench->n_open_of_object[job->object]) > 0)
        bench->n_wrong_order++;
    struct nsm_error *error = bench->job_ns ? nsm_sleep(ctx, bench->job_ns) : NULL;
    if (!error && job->index == bench->fail_at)
        error = nsm_error_new(bench->fail_code, "job %zu", job->index);
    bench->n_runs[job->index]++;
    if (job->reads_from)
        bench->n_source_now--;
    if (job->writes_to)
        bench->n_destination_now--;
    if (job->phase == 0 && job->object != NSM_JOB_NO_OBJECT)
        bench->n_open_of_object[job->object]--;
    bench->n_open_of_phase[job->phase]--;
    return error;
}

/* Three quarters are parts of objects, the rest finish steps of phases 1 to 3, some of them of an object. */
static struct nsm_job *make_jobs(struct bench *bench)
{
    struct nsm_job *const jobs = nsm_xcalloc(N_PARTS, sizeof(*jobs));
    for (size_t at = 0; at < N_PARTS; at++) {
        const bool is_part = at % 4 != 0;
        jobs[at] = (struct nsm_job){
            .phase = is_part ? 0 : 1 + (unsigned)(at / 4 % 3),
            .object = is_part || at % 8 == 0 ? at % N_OBJECTS : NSM_JOB_NO_OBJECT,
            .weight = at * 37 % 101,
            .index = at,
            .reads_from = is_part ? &bench->source : NULL,
            .writes_to = &bench->destination,
        };
        bench->n_open_of_phase[jobs[at].phase]++;
        if (is_part)
            bench->n_open_of_object[jobs[at].object]++;
    }
    return jobs;
}

static struct nsm_error *help(struct nsm_context *ctx, void *arg)
{
    nsm_board_help(arg, ctx);
    return NULL;
}

static void init_bench(struct bench *bench, size_t n_connections)
{
    *bench = (struct bench){.fail_at = SIZE_MAX};
    bench->source.n_free = n_connections;
    bench->destination.n_free = n_connections;
    nsm_board_init(&bench->board, 1);
}

/* Runs the jobs with `n_helpers` threads besides this one. */
static struct nsm_error *run_bench(struct bench *bench, struct nsm_context *ctx, size_t n_helpers)
{
    NSM_CLEANUP(nsm_freep) struct nsm_job *jobs = make_jobs(bench);
    struct nsm_work work = {.jobs = jobs,
                            .n_jobs = N_PARTS,
                            .n_objects = N_OBJECTS,
                            .run = run_job,
                            .arg = bench,
                            .ctx = ctx};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, n_helpers + 1);
    for (size_t at = 0; at < n_helpers; at++)
        nsm_group_go(group, help, &bench->board);
    struct nsm_error *const error = nsm_board_run(&bench->board, &work);
    nsm_board_retire(&bench->board);
    assert_null(nsm_group_wait(group));
    return error;
}

static void test_every_job_once_in_order(void **state)
{
    (void)state;
    static const size_t n_helpers[] = {0, 1, 2, 7};
    for (size_t at = 0; at < NSM_COUNT_OF(n_helpers); at++) {
        struct bench bench;
        init_bench(&bench, 100);
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
        assert_null(run_bench(&bench, ctx, n_helpers[at]));
        for (size_t job = 0; job < N_PARTS; job++)
            assert_int_equal(bench.n_runs[job], 1);
        assert_int_equal(bench.n_wrong_order, 0);
        nsm_board_release(&bench.board);
    }
}

static void test_budgets_are_kept(void **state)
{
    (void)state;
    struct bench bench;
    init_bench(&bench, 3);
    bench.job_ns = NSM_NS_PER_MS / 10;
    bench.destination.is_single_writer = true;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    assert_null(run_bench(&bench, ctx, 7));
    assert_int_equal(bench.n_most_destination, 1);
    assert_int_equal(bench.source.n_free, 3);
    assert_int_equal(bench.destination.n_free, 3);
    assert_false(bench.destination.has_writer);
    nsm_board_release(&bench.board);
}

static void test_one_store_on_both_sides_needs_two(void **state)
{
    (void)state;
    struct bench bench;
    init_bench(&bench, 5);
    bench.job_ns = NSM_NS_PER_MS / 10;
    struct nsm_job jobs[20];
    for (size_t at = 0; at < NSM_COUNT_OF(jobs); at++) {
        jobs[at] = (struct nsm_job){.object = NSM_JOB_NO_OBJECT,
                                    .index = at,
                                    .reads_from = &bench.source,
                                    .writes_to = &bench.source};
        bench.n_open_of_phase[0]++;
    }
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    struct nsm_work work = {
        .jobs = jobs, .n_jobs = NSM_COUNT_OF(jobs), .run = run_job, .arg = &bench, .ctx = ctx};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 8);
    for (size_t at = 0; at < 7; at++)
        nsm_group_go(group, help, &bench.board);
    assert_null(nsm_board_run(&bench.board, &work));
    nsm_board_retire(&bench.board);
    assert_null(nsm_group_wait(group));
    assert_true(bench.n_most_source <= 2);
    assert_int_equal(bench.source.n_free, 5);
    nsm_board_release(&bench.board);
}

static void test_a_failure_ends_the_work_and_is_its_error(void **state)
{
    (void)state;
    for (size_t fail_at = 1; fail_at < N_PARTS; fail_at += 57) {
        struct bench bench;
        init_bench(&bench, 100);
        bench.job_ns = NSM_NS_PER_MS / 100;
        bench.fail_at = fail_at;
        bench.fail_code = NSM_E_IO;
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = run_bench(&bench, ctx, 3);
        assert_true(nsm_error_is(error, NSM_E_IO));
        assert_int_equal(bench.n_source_now, 0);
        assert_int_equal(bench.source.n_free, 100);
        nsm_board_release(&bench.board);
    }
}

static void test_a_stop_lets_running_jobs_end_and_begins_no_more(void **state)
{
    (void)state;
    struct bench bench;
    init_bench(&bench, 100);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    nsm_context_stop(ctx);
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = run_bench(&bench, ctx, 3);
    assert_true(nsm_error_is(error, NSM_E_CANCELED));
    for (size_t job = 0; job < N_PARTS; job++)
        assert_int_equal(bench.n_runs[job], 0);
    nsm_board_release(&bench.board);
}

static void test_no_jobs_is_done_at_once(void **state)
{
    (void)state;
    struct nsm_board board;
    nsm_board_init(&board, 0);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    struct nsm_work work = {.run = run_job, .ctx = ctx};
    assert_null(nsm_board_run(&board, &work));
    nsm_board_help(&board, ctx);
    nsm_board_release(&board);
}

static struct nsm_error *cancel_soon(struct nsm_context *ctx, void *arg)
{
    struct nsm_error *const error = nsm_sleep(ctx, 5 * NSM_NS_PER_MS);
    nsm_context_cancel(arg, NULL);
    return error;
}

static void test_acquire_wakes_on_cancellation(void **state)
{
    (void)state;
    struct nsm_board board;
    nsm_board_init(&board, 0);
    struct nsm_budget budget = {.n_free = 1};
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    assert_null(nsm_board_acquire(&board, ctx, NULL, &budget));
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, 1);
    nsm_group_go(group, cancel_soon, ctx);
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_board_acquire(&board, ctx, NULL, &budget);
    assert_true(nsm_error_is(error, NSM_E_CANCELED));
    assert_null(nsm_group_wait(group));
    nsm_board_give_back(&board, NULL, &budget);
    assert_int_equal(budget.n_free, 1);
    nsm_board_release(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_once_in_order),
        cmocka_unit_test(test_budgets_are_kept),
        cmocka_unit_test(test_one_store_on_both_sides_needs_two),
        cmocka_unit_test(test_a_failure_ends_the_work_and_is_its_error),
        cmocka_unit_test(test_a_stop_lets_running_jobs_end_and_begins_no_more),
        cmocka_unit_test(test_no_jobs_is_done_at_once),
        cmocka_unit_test(test_acquire_wakes_on_cancellation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
