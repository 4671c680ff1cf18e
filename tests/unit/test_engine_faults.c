/*
 * The engine where anything fails at any time: each operation of the memory adapter at each of its
 * calls in turn, for a moment or for good, and cancellations and stops at pseudo-random moments.
 * What the store then holds is each record once, and nothing was copied twice that had been
 * committed: the store counts what its checkpoints commit.
 *
 * Eight namespaces from three backends with one, two and three tables each: fifteen parts.
 */
#include "adapters/memory/memory.h"
#include "adapters/registry.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/engine/ledger_folder.h"
#include "migrate/engine/migration.h"
#include "tests/support/expect.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define N_NAMESPACES 8
#define N_PARTS      15
#define N_PER_PART   25 /* three batches of ten */
#define N_RECORDS    ((uint64_t)N_PARTS * N_PER_PART)
#define STORE        "engine-faults"

/* ---- the world ---- */

struct world {
    struct nsm_registry *registry;
    struct nsm_adapter_source adapters;
    char folder[64]; /* of the plan and its ledger */
    uint64_t seed, random;
};

/* How one run is to go. */
struct setup {
    unsigned workers;
    bool goes_on; /* on_error: continue */
    bool
        is_at_source; /* whose operation fails: of the backend with three tables, or of the destination */
    const char *op;     /* NULL: none */
    unsigned at, times; /* as the adapter's options; times 0: all from then on */
    const char *code;   /* of the failure */
    unsigned delay_ms;  /* of each batch */
};

/* What it came to. */
struct outcome {
    struct nsm_error *error;
    struct nsm_report report;
    unsigned n_retries;
};

static const struct nsm_adapter *find_adapter(void *arg, const char *name)
{
    return nsm_registry_find(arg, name);
}

static const struct nsm_adapter *adapter_at(void *arg, size_t index)
{
    return index < nsm_registry_size(arg) ? nsm_registry_at(arg, index) : NULL;
}

static int make_world(void **state)
{
    struct world *const world = nsm_xcalloc(1, sizeof(*world));
    world->registry = nsm_registry_new();
    world->adapters =
        (struct nsm_adapter_source){.find = find_adapter, .at = adapter_at, .arg = world->registry};
    const char *const seed = getenv("NSM_SEED");
    world->seed = world->random = seed ? strtoull(seed, NULL, 10) : 20260117;
    /* Thousands of ledgers are synced here; what a disk makes of that is no matter of this test. */
    const char *const parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(world->folder, sizeof(world->folder), "%s/nsm-engine-faults-XXXXXX", parent);
    if (!mkdtemp(world->folder))
        return -1;
    *state = world;
    return 0;
}

static int remove_world(void **state)
{
    struct world *const world = *state;
    nsm_assert_ok(nsm_folder_clear(world->folder));
    (void)rmdir(world->folder);
    nsm_registry_free(world->registry);
    free(world);
    return 0;
}

/* From 0 to bound - 1, the same for the same seed. */
static unsigned random_below(struct world *world, unsigned bound)
{
    world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((world->random >> 33) % bound);
}

/* Neither ledger nor store know anything. */
static void start_anew(struct world *world)
{
    nsm_assert_ok(nsm_folder_clear(world->folder));
    nsm_memory_store_drop(STORE);
}

/* ---- plans ---- */

static void write_backend(struct nsm_buf *out, const struct setup *setup, const char *name,
                          unsigned n_objects)
{
    nsm_buf_printf(out, "  %s: {adapter: memory, objects: %u, records: %d, delay: %ums", name,
                   n_objects, N_PER_PART, setup->delay_ms);
    const bool is_destination = strcmp(name, "d") == 0;
    if (is_destination)
        nsm_buf_append_cstr(out, ", store: " STORE);
    if (setup->op && (setup->is_at_source ? strcmp(name, "c") == 0 : is_destination)) {
        nsm_buf_printf(out, ", fail_op: %s, fail_at: %u, fail_times: %u, fail_code: %s", setup->op,
                       setup->at, setup->times, setup->code);
    }
    nsm_buf_append_cstr(out, "}\n");
}

static struct nsm_plan *make_plan(const struct world *world, const struct setup *setup)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_buf_printf(&text,
                   "version: 1\nname: faults\nworkers: %u\non_error: %s\nbatch: {records: 10}\n"
                   "retry: {attempts: 3, backoff: 1ms, max_backoff: 2ms}\nbackends:\n",
                   setup->workers, setup->goes_on ? "continue" : "cancel");
    write_backend(&text, setup, "a", 1);
    write_backend(&text, setup, "b", 2);
    write_backend(&text, setup, "c", 3);
    write_backend(&text, setup, "d", 1);
    nsm_buf_append_cstr(&text, "namespaces:\n");
    for (unsigned i = 0; i < N_NAMESPACES; i++) {
        nsm_buf_printf(&text, "  - {name: n%u, source: {backend: %c}, destination: {backend: d}}\n",
                       i, "abc"[i % 3]);
    }
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/plan.yaml", world->folder);
    struct nsm_plan *plan = NULL;
    nsm_assert_ok(nsm_plan_parse(nsm_buf_view(&text), path, &world->adapters, &plan));
    /* The faults are options of backends: the next run, without them, is to be one of the same plan. */
    memset(plan->fingerprint, '0', sizeof(plan->fingerprint) - 1);
    return plan;
}

/* ---- runs ---- */

static void count_retries(void *arg, const struct nsm_event *event)
{
    if (event->kind == NSM_EVENT_RETRY)
        atomic_fetch_add((atomic_uint *)arg, 1);
}

static void check_at_rest(const struct nsm_report *report)
{
    struct nsm_memory_counts counts;
    nsm_memory_store_counts(STORE, &counts);
    assert_int_equal(counts.n_readers, 0);
    assert_int_equal(counts.n_writers, 0);
    assert_int_equal(report->n_namespaces, N_NAMESPACES);
    for (size_t at = 0; at < report->n_namespaces; at++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "n%zu", at);
        assert_string_equal(report->namespaces[at].name, name);
        assert_int_not_equal(report->namespaces[at].status, NSM_STATUS_RUNNING);
    }
}

static struct outcome run_under(const struct world *world, const struct setup *setup,
                                struct nsm_context *ctx)
{
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = make_plan(world, setup);
    atomic_uint n_retries = 0;
    const struct nsm_events events = {.emit = count_retries, .arg = &n_retries};
    const struct nsm_migration_options options = {.events = &events};
    NSM_CLEANUP(nsm_migration_freep) struct nsm_migration *migration = NULL;
    nsm_assert_ok(nsm_migration_open(plan, ctx, &options, &migration));
    struct outcome outcome = {0};
    bool is_locked = false;
    outcome.error = nsm_migration_run(migration, ctx, &outcome.report, &is_locked);
    assert_false(is_locked);
    check_at_rest(&outcome.report);
    outcome.n_retries = atomic_load(&n_retries);
    return outcome;
}

static struct outcome run(const struct world *world, const struct setup *setup)
{
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    return run_under(world, setup, ctx);
}

/* The report's names are the plan's, which is gone: statuses and numbers alone are looked at after the run. */
static void release(struct outcome *outcome)
{
    nsm_report_release(&outcome->report);
    nsm_error_free(NSM_STEAL(outcome->error));
}

static size_t count_status(const struct outcome *outcome, enum nsm_status status)
{
    size_t n = 0;
    for (size_t at = 0; at < N_NAMESPACES; at++)
        n += outcome->report.namespaces[at].status == status;
    return n;
}

static void check_verified(const struct world *world)
{
    const struct setup setup = {.workers = 2};
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = make_plan(world, &setup);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    const struct nsm_migration_options options = {0};
    NSM_CLEANUP(nsm_migration_freep) struct nsm_migration *migration = NULL;
    nsm_assert_ok(nsm_migration_open(plan, ctx, &options, &migration));
    struct nsm_report report;
    nsm_assert_ok(nsm_migration_verify(migration, ctx, &report));
    assert_int_equal(report.n_differences, 0);
    for (size_t at = 0; at < N_NAMESPACES; at++)
        assert_int_equal(report.namespaces[at].n_records, (at % 3 + 1) * N_PER_PART);
    nsm_report_release(&report);
}

/* Each record stands there, and each was committed once, by whichever run. */
static void check_copied_once(const struct outcome *outcome)
{
    assert_int_equal(outcome->report.status, NSM_STATUS_OK);
    for (size_t at = 0; at < N_NAMESPACES; at++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "n%zu", at);
        const uint64_t n_wanted = (at % 3 + 1) * N_PER_PART;
        assert_int_equal(outcome->report.namespaces[at].status, NSM_STATUS_OK);
        assert_int_equal(outcome->report.namespaces[at].n_records, n_wanted);
        assert_int_equal(nsm_memory_store_records(STORE, name), n_wanted);
    }
    struct nsm_memory_counts counts;
    nsm_memory_store_counts(STORE, &counts);
    assert_int_equal(counts.n_written, N_RECORDS);
}

static void finish(const struct world *world, unsigned workers)
{
    const struct setup healthy = {.workers = workers};
    struct outcome outcome = run(world, &healthy);
    nsm_assert_ok(NSM_STEAL(outcome.error));
    check_copied_once(&outcome);
    release(&outcome);
}

/* ---- one failure ---- */

struct target {
    bool is_at_source;
    const char *op;
};

static const struct target targets[] = {
    {true, "survey"},       {true, "reader_open"},  {true, "read"},      {false, "inspect"},
    {false, "prepare"},     {false, "writer_open"}, {false, "write"},    {false, "checkpoint"},
    {false, "plan_finish"}, {false, "finish_step"}, {false, "complete"}, {false, "survey"},
    {false, "reader_open"}, {false, "read"},
};

/* A failure that passes: the run goes on by itself. False: it met none, `at` is behind the last call. */
static bool passes(struct world *world, const struct setup *setup)
{
    start_anew(world);
    struct outcome outcome = run(world, setup);
    nsm_assert_ok(NSM_STEAL(outcome.error));
    check_copied_once(&outcome);
    const bool is_met = outcome.n_retries > 0;
    release(&outcome);
    return is_met;
}

static void check_failed(const struct setup *setup, const struct outcome *outcome)
{
    const size_t n_ok = count_status(outcome, NSM_STATUS_OK);
    const size_t n_failed = count_status(outcome, NSM_STATUS_FAILED);
    assert_int_equal(nsm_error_code(outcome->error), NSM_E_IO);
    assert_int_equal(outcome->report.status, NSM_STATUS_FAILED);
    assert_non_null(strstr(outcome->report.error, "that fail_op ordered"));
    assert_int_equal(outcome->n_retries, 0);
    assert_true(n_failed >= 1);
    if (setup->goes_on)
        assert_int_equal(n_ok + n_failed, N_NAMESPACES);
    for (size_t at = 0; at < N_NAMESPACES; at++) {
        const struct nsm_report_namespace *const row = &outcome->report.namespaces[at];
        if (row->status == NSM_STATUS_FAILED)
            assert_non_null(row->error);
        if (row->status == NSM_STATUS_OK)
            assert_null(row->error);
    }
}

/* A failure that lasts, from that call on: the run ends with it, the next one completes. False as above. */
static bool fails(struct world *world, const struct setup *setup)
{
    start_anew(world);
    struct outcome outcome = run(world, setup);
    const bool is_met = outcome.error != NULL;
    if (is_met)
        check_failed(setup, &outcome);
    else
        check_copied_once(&outcome);
    release(&outcome);
    if (is_met)
        finish(world, setup->workers);
    return is_met;
}

typedef bool trial_fn(struct world *world, const struct setup *setup);

/* Every call of every operation, in turn; with `step` > 1 only each step-th. */
static void sweep(struct world *world, struct setup setup, trial_fn *trial, unsigned step)
{
    for (size_t i = 0; i < NSM_COUNT_OF(targets); i++) {
        setup.is_at_source = targets[i].is_at_source;
        setup.op = targets[i].op;
        unsigned n_met = 0;
        setup.at = 1;
        while (trial(world, &setup)) {
            n_met++;
            setup.at += step;
            assert_true(n_met < 200);
        }
        if (n_met == 0)
            print_error("%s of the %s was never called\n", setup.op,
                        setup.is_at_source ? "source" : "destination");
        assert_true(n_met > 0);
    }
}

static void test_passing_failure(void **state)
{
    sweep(*state, (struct setup){.workers = 1, .times = 1, .code = "unavailable"}, passes, 1);
    sweep(*state, (struct setup){.workers = 2, .times = 1, .code = "timeout"}, passes, 4);
    sweep(*state, (struct setup){.workers = 8, .times = 1, .code = "unavailable"}, passes, 3);
}

static void test_lasting_failure(void **state)
{
    sweep(*state, (struct setup){.workers = 1, .code = "io"}, fails, 1);
    sweep(*state, (struct setup){.workers = 2, .code = "io"}, fails, 4);
    sweep(*state, (struct setup){.workers = 8, .code = "io"}, fails, 3);
}

static void test_lasting_failure_continue(void **state)
{
    sweep(*state, (struct setup){.workers = 1, .goes_on = true, .code = "io"}, fails, 3);
    sweep(*state, (struct setup){.workers = 8, .goes_on = true, .code = "io"}, fails, 4);
}

/* Retries come to an end, and say how many there were. */
static void test_failure_that_outlasts_retries(void **state)
{
    struct world *const world = *state;
    for (size_t i = 0; i < NSM_COUNT_OF(targets); i++) {
        start_anew(world);
        const struct setup setup = {
            .workers = 2,
            .is_at_source = targets[i].is_at_source,
            .op = targets[i].op,
            .at = 1,
            .code = "unavailable",
        };
        struct outcome outcome = run(world, &setup);
        assert_non_null(outcome.error);
        assert_int_equal(nsm_error_code(outcome.error), NSM_E_UNAVAILABLE);
        assert_non_null(strstr(outcome.report.error, "after 3 attempts"));
        release(&outcome);
        finish(world, 2);
    }
}

/* What is asked only where a run is taken up. */
static void test_failure_when_taken_up(void **state)
{
    struct world *const world = *state;
    static const char *const codes[] = {"io", "unavailable"};
    for (size_t i = 0; i < NSM_COUNT_OF(codes); i++) {
        start_anew(world);
        struct setup setup = {.workers = 2, .op = "write", .at = 20, .times = 1, .code = "io"};
        struct outcome outcome = run(world, &setup);
        nsm_assert_error(NSM_STEAL(outcome.error), NSM_E_IO, "fail_op");
        release(&outcome);
        setup.op = "load_checkpoints";
        setup.at = 1;
        setup.code = codes[i];
        outcome = run(world, &setup);
        if (i == 0)
            nsm_assert_error(NSM_STEAL(outcome.error), NSM_E_IO, "fail_op");
        else
            nsm_assert_ok(NSM_STEAL(outcome.error));
        assert_int_equal(outcome.n_retries, i);
        release(&outcome);
        finish(world, 2);
    }
}

/* One failure after the other, at moments that no order gives, in runs of any width. */
static void test_failures_one_after_the_other(void **state)
{
    struct world *const world = *state;
    static const unsigned widths[] = {1, 2, 8};
    for (unsigned round = 0; round < 20; round++) {
        start_anew(world);
        for (unsigned i = random_below(world, 6) + 2; i > 0; i--) {
            const struct target *const target =
                &targets[random_below(world, NSM_COUNT_OF(targets))];
            const struct setup setup = {
                .workers = widths[random_below(world, 3)],
                .goes_on = random_below(world, 2) == 0,
                .is_at_source = target->is_at_source,
                .op = target->op,
                .at = random_below(world, 30) + 1,
                .times = random_below(world, 3),
                .code = random_below(world, 2) ? "io" : "unavailable",
            };
            struct outcome outcome = run(world, &setup);
            release(&outcome);
        }
        finish(world, widths[random_below(world, 3)]);
    }
    check_verified(world);
}

/* ---- cancellations and stops ---- */

struct interruption {
    struct nsm_context *ctx;
    int64_t after_ns;
    bool is_stop;
};

static void *interrupt(void *arg)
{
    const struct interruption *const it = arg;
    const struct timespec pause = {.tv_nsec = (long)it->after_ns};
    (void)nanosleep(&pause, NULL);
    if (it->is_stop)
        nsm_context_stop(it->ctx);
    else
        nsm_context_cancel(it->ctx, NULL);
    return NULL;
}

/* True: the run was complete before the moment had come. */
static bool run_interrupted(const struct world *world, const struct setup *setup, int64_t after_ns,
                            bool is_stop)
{
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    struct interruption interruption = {.ctx = ctx, .after_ns = after_ns, .is_stop = is_stop};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &interruption), 0);
    struct outcome outcome = run_under(world, setup, ctx);
    assert_int_equal(pthread_join(thread, NULL), 0);
    const bool is_complete = outcome.error == NULL;
    if (!is_complete) {
        assert_int_equal(nsm_error_code(outcome.error), NSM_E_CANCELED);
        assert_int_equal(outcome.report.status, NSM_STATUS_INTERRUPTED);
        assert_int_equal(count_status(&outcome, NSM_STATUS_FAILED), 0);
    }
    release(&outcome);
    return is_complete;
}

/* Interrupted at moments that grow until a run is through; every part is committed once all the same. */
static void interrupt_until_done(struct world *world, unsigned workers, bool is_stop)
{
    const struct setup setup = {.workers = workers, .delay_ms = 1};
    start_anew(world);
    unsigned n_interrupted = 0;
    int64_t reach_ns = 5 * NSM_NS_PER_MS;
    bool is_complete = false;
    while (!is_complete) {
        const int64_t after_ns = (int64_t)random_below(world, (unsigned)reach_ns);
        is_complete = run_interrupted(world, &setup, after_ns, is_stop);
        n_interrupted += !is_complete;
        reach_ns += reach_ns / 4;
        if (reach_ns > NSM_NS_PER_S - 1)
            reach_ns = NSM_NS_PER_S - 1;
        assert_true(n_interrupted < 1000);
    }
    finish(world, workers);
    struct nsm_memory_counts counts;
    nsm_memory_store_counts(STORE, &counts);
    if (is_stop)
        assert_int_equal(counts.n_discarded, 0);
}

static void test_cancel(void **state)
{
    struct world *const world = *state;
    for (unsigned round = 0; round < 5; round++) {
        interrupt_until_done(world, 1, false);
        interrupt_until_done(world, 2, false);
        interrupt_until_done(world, 8, false);
    }
    check_verified(world);
}

/* A stop loses nothing: what was given to a writer is committed before it rests. */
static void test_stop(void **state)
{
    struct world *const world = *state;
    for (unsigned round = 0; round < 5; round++) {
        interrupt_until_done(world, 1, true);
        interrupt_until_done(world, 2, true);
        interrupt_until_done(world, 8, true);
    }
    check_verified(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passing_failure, make_world, remove_world),
        cmocka_unit_test_setup_teardown(test_lasting_failure, make_world, remove_world),
        cmocka_unit_test_setup_teardown(test_lasting_failure_continue, make_world, remove_world),
        cmocka_unit_test_setup_teardown(test_failure_that_outlasts_retries, make_world,
                                        remove_world),
        cmocka_unit_test_setup_teardown(test_failure_when_taken_up, make_world, remove_world),
        cmocka_unit_test_setup_teardown(test_failures_one_after_the_other, make_world,
                                        remove_world),
        cmocka_unit_test_setup_teardown(test_cancel, make_world, remove_world),
        cmocka_unit_test_setup_teardown(test_stop, make_world, remove_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
