/*
 * The ledger: what is noted is there after whatever end of the process, and there is one run at a
 * time. Files that are no good: test_ledger_faults.c.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "tests/support/ledger_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 10000

/* ---- a run and its resume ---- */

static void test_new_run(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *const ledger = nsm_fixture_begin(fx, 0);
    assert_false(nsm_ledger_is_resumed(ledger));
    assert_false(nsm_ledger_is_complete(ledger));
    assert_int_equal(strlen(nsm_ledger_run_id(ledger)), 16);
    assert_int_equal(strspn(nsm_ledger_run_id(ledger), "abcdefghijklmnopqrstuvwxyz0123456789"), 16);
    assert_int_equal(nsm_fixture_mode(fx, ""), 0700);
    assert_int_equal(nsm_fixture_mode(fx, "work"), 0700);
    assert_int_equal(nsm_fixture_mode(fx, "ledger.db"), 0600);
    assert_int_equal(nsm_fixture_mode(fx, "ledger.db-wal"), 0600);
    assert_int_equal(nsm_fixture_mode(fx, "lock"), 0600);
    assert_int_equal(access(nsm_ledger_work_dir(ledger), W_OK), 0);
    assert_int_equal(nsm_fixture_step(ledger, "ns0"), NSM_STEP_NEW);
    assert_int_equal(nsm_fixture_step(ledger, "never named"), NSM_STEP_NEW);
    nsm_assert_error(nsm_ledger_set_step(ledger, "never named", NSM_STEP_DONE), NSM_E_NOTFOUND,
                     "no namespace never named");
    /* That was its own error, not the ledger's. */
    nsm_assert_ok(nsm_ledger_set_step(ledger, "ns0", NSM_STEP_PREPARED));
    nsm_assert_ok(nsm_ledger_close(ledger));
}

static void check_parts(struct nsm_ledger *ledger)
{
    struct nsm_ledger_parts parts = {0};
    nsm_assert_ok(nsm_ledger_get_parts(ledger, "ns1", &parts));
    assert_int_equal(parts.n_parts, 3);
    const struct nsm_ledger_part *const part = &parts.parts[1];
    assert_int_equal(part->index, 1);
    assert_string_equal(part->object_schema, "app");
    assert_string_equal(part->object_name, "orders");
    assert_string_equal(part->object_version, "v9");
    assert_true(nsm_str_equals(part->range, (struct nsm_str){"a\0b", 3}));
    assert_int_equal(part->n_records, 60);
    assert_int_equal(part->n_bytes, 600);
    assert_true(nsm_str_equals(part->checkpoint.part_id, NSM_STR_LIT("ns1/1")));
    assert_true(nsm_str_equals(part->checkpoint.resume, (struct nsm_str){"t\0k", 3}));
    assert_false(part->checkpoint.is_done);
    assert_int_equal(part->checkpoint.n_records, 7);
    assert_int_equal(part->checkpoint.n_bytes, 70);
    assert_int_equal(part->checkpoint.n_skipped, 2);
    assert_int_equal(part->checkpoint.n_vanished, 1);
    assert_int_equal(part->checkpoint.digest.low, 7);
    assert_int_equal(part->checkpoint.digest.high, UINT64_MAX);
    assert_int_equal(part->checkpoint.digest.n_records, 7);
    assert_true(parts.parts[2].checkpoint.is_done);
    assert_int_equal(parts.parts[0].range.len, 0);
    assert_int_equal(parts.parts[0].checkpoint.n_records, 0);
    nsm_ledger_parts_release(&parts);
}

/* Without an error, and with that status and time. */
static void check_status(struct nsm_ledger *ledger, const char *name, const char *status,
                         double seconds)
{
    struct nsm_ledger_namespace ns = {0};
    nsm_assert_ok(nsm_ledger_get(ledger, name, &ns));
    assert_null(ns.error);
    if (status) {
        assert_non_null(ns.status);
        assert_string_equal(ns.status, status);
    } else {
        assert_null(ns.status);
    }
    assert_true(ns.seconds > seconds - 0.01 && ns.seconds < seconds + 0.01);
    nsm_ledger_namespace_release(&ns);
}

static void test_resume(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = nsm_fixture_begin(fx, 0);
    char *const run_id = nsm_xstrdup(nsm_ledger_run_id(ledger));
    nsm_fixture_note_progress(ledger);
    check_parts(ledger); /* a question sees all notes before it */
    nsm_assert_ok(nsm_ledger_close(ledger));

    ledger = nsm_fixture_open(fx, 0);
    assert_true(nsm_ledger_is_resumed(ledger));
    assert_string_equal(nsm_ledger_run_id(ledger), run_id);
    check_parts(ledger);
    struct nsm_ledger_namespace ns = {0};
    nsm_assert_ok(nsm_ledger_get(ledger, "ns1", &ns));
    assert_string_equal(ns.name, "ns1");
    assert_int_equal(ns.step, NSM_STEP_PREPARED);
    assert_string_equal(ns.lane, "record");
    assert_string_equal(ns.status, "failed");
    assert_string_equal(ns.error, "disk on fire");
    assert_int_equal(ns.n_records, 47);
    assert_int_equal(ns.n_bytes, 470);
    assert_int_equal(ns.total_records, 111);
    assert_int_equal(ns.total_bytes, 1110);
    assert_int_equal(ns.n_parts, 3);
    assert_int_equal(ns.n_parts_done, 1);
    nsm_ledger_namespace_release(&ns);

    /* Taken up again: the old error is gone, the time is not. */
    nsm_ledger_set_status(ledger, "ns1", NULL, NULL, 0);
    nsm_ledger_set_status(ledger, "ns2", "cancelled", NULL, 0);
    check_status(ledger, "ns1", NULL, 1.5);
    check_status(ledger, "ns2", "cancelled", 0);
    nsm_assert_ok(nsm_ledger_begin(ledger, &fx->plan));
    check_status(ledger, "ns2", NULL, 0);
    nsm_ledger_set_status(ledger, "ns1", "ok", NULL, 2);
    check_status(ledger, "ns1", "ok", 2);
    free(run_id);
    nsm_assert_ok(nsm_ledger_close(ledger));
}

static void test_new_parts_and_reset(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *const ledger = nsm_fixture_begin(fx, 0);
    nsm_fixture_note_progress(ledger);
    nsm_assert_ok(nsm_ledger_reset_object(ledger, "ns1", "app", "orders"));
    struct nsm_ledger_parts parts = {0};
    nsm_assert_ok(nsm_ledger_get_parts(ledger, "ns1", &parts));
    assert_int_equal(parts.parts[1].checkpoint.n_records, 0);
    assert_int_equal(parts.parts[1].checkpoint.resume.len, 0);
    assert_int_equal(parts.parts[1].checkpoint.digest.high, 0);
    assert_false(parts.parts[2].checkpoint.is_done);
    nsm_ledger_parts_release(&parts);

    /* A note after a call is not folded into one before it. */
    const struct nsm_checkpoint again = nsm_fixture_checkpoint("ns1/2", 40, true);
    nsm_ledger_put_checkpoint(ledger, &again);
    nsm_assert_ok(nsm_ledger_reset_object(ledger, "ns1", "app", "users"));
    nsm_assert_ok(nsm_ledger_get_parts(ledger, "ns1", &parts));
    assert_true(parts.parts[2].checkpoint.is_done);
    nsm_ledger_parts_release(&parts);

    nsm_fixture_set_parts(ledger, "ns1");
    assert_int_equal(nsm_fixture_step(ledger, "ns1"), NSM_STEP_SURVEYED);
    nsm_assert_ok(nsm_ledger_get_parts(ledger, "ns1", &parts));
    assert_int_equal(parts.n_parts, 3);
    assert_false(parts.parts[2].checkpoint.is_done);
    nsm_ledger_parts_release(&parts);
    nsm_assert_ok(nsm_ledger_close(ledger));
}

static void test_complete(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = nsm_fixture_begin(fx, 0);
    char *const run_id = nsm_xstrdup(nsm_ledger_run_id(ledger));
    for (size_t i = 0; i < fx->plan.n_namespaces; i++) {
        nsm_assert_ok(nsm_ledger_set_step(ledger, fx->names[i], NSM_STEP_DONE));
    }
    char *const sub = nsm_xasprintf("%s/keys", nsm_ledger_work_dir(ledger));
    char *const file = nsm_xasprintf("%s/list", sub);
    assert_int_equal(mkdir(sub, 0700), 0);
    nsm_fixture_write_file(file, "x", 1);
    nsm_assert_ok(nsm_ledger_set_complete(ledger));
    assert_true(nsm_ledger_is_complete(ledger));
    assert_int_equal(access(sub, F_OK), -1);
    assert_int_equal(access(nsm_ledger_work_dir(ledger), W_OK), 0);
    nsm_assert_ok(nsm_ledger_close(ledger));

    /* Unchanged: all is done. */
    ledger = nsm_fixture_begin(fx, 0);
    assert_true(nsm_ledger_is_complete(ledger));
    assert_false(nsm_ledger_is_resumed(ledger));
    assert_string_equal(nsm_ledger_run_id(ledger), run_id);
    nsm_assert_ok(nsm_ledger_close(ledger));

    /* A namespace more (a template that matches another schema): no longer complete. */
    fx->plan.n_namespaces = 5;
    ledger = nsm_fixture_begin(fx, 0);
    assert_false(nsm_ledger_is_complete(ledger));
    assert_int_equal(nsm_fixture_step(ledger, "ns3"), NSM_STEP_DONE);
    assert_int_equal(nsm_fixture_step(ledger, "ns4"), NSM_STEP_NEW);
    nsm_assert_ok(nsm_ledger_close(ledger));
    free(sub);
    free(file);
    free(run_id);
}

static void test_changed_plan(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = nsm_fixture_begin(fx, 0);
    char *const first = nsm_xstrdup(nsm_ledger_run_id(ledger));
    nsm_fixture_set_parts(ledger, "ns0");
    nsm_assert_ok(nsm_ledger_close(ledger));

    /* Nothing was prepared: the changed plan begins anew. */
    fx->plan.fingerprint[0] = 'b';
    ledger = nsm_fixture_begin(fx, 0);
    assert_false(nsm_ledger_is_resumed(ledger));
    assert_string_not_equal(nsm_ledger_run_id(ledger), first);
    assert_int_equal(nsm_fixture_step(ledger, "ns0"), NSM_STEP_NEW);
    nsm_assert_ok(nsm_ledger_set_step(ledger, "ns0", NSM_STEP_PREPARED));
    char *const second = nsm_xstrdup(nsm_ledger_run_id(ledger));
    nsm_assert_ok(nsm_ledger_close(ledger));

    fx->plan.fingerprint[0] = 'c';
    struct nsm_ledger *none = NULL;
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &none), NSM_E_INVALID, "pass --fresh");
    assert_null(none);
    fx->plan.fingerprint[0] = 'b';
    ledger = nsm_fixture_begin(fx, 0);
    assert_string_equal(nsm_ledger_run_id(ledger), second);
    nsm_assert_ok(nsm_ledger_set_complete(ledger));
    nsm_assert_ok(nsm_ledger_close(ledger));

    fx->plan.fingerprint[0] = 'c';
    ledger = nsm_fixture_begin(fx, 0);
    assert_string_not_equal(nsm_ledger_run_id(ledger), second);
    nsm_assert_ok(nsm_ledger_close(ledger));
    free(first);
    free(second);
}

static void test_fresh(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = nsm_fixture_begin(fx, 0);
    char *const run_id = nsm_xstrdup(nsm_ledger_run_id(ledger));
    nsm_fixture_note_progress(ledger);
    char *const file = nsm_xasprintf("%s/spilled", nsm_ledger_work_dir(ledger));
    nsm_fixture_write_file(file, "x", 1);
    nsm_assert_ok(nsm_ledger_close(ledger));

    fx->plan.fingerprint[0] = 'z';
    ledger = nsm_fixture_begin(fx, NSM_LEDGER_FRESH);
    assert_string_not_equal(nsm_ledger_run_id(ledger), run_id);
    assert_true(nsm_run_id_is_kin(nsm_ledger_run_id(ledger), run_id));
    assert_false(nsm_ledger_is_resumed(ledger));
    assert_int_equal(nsm_fixture_step(ledger, "ns1"), NSM_STEP_NEW);
    assert_int_equal(access(file, F_OK), -1);
    struct nsm_ledger_parts parts = {0};
    nsm_assert_ok(nsm_ledger_get_parts(ledger, "ns1", &parts));
    assert_int_equal(parts.n_parts, 0);
    nsm_ledger_parts_release(&parts);
    nsm_assert_ok(nsm_ledger_close(ledger));
    free(file);
    free(run_id);
}

static void check_order(struct nsm_ledger *ledger, const char *expected)
{
    struct nsm_ledger_run run = {0};
    NSM_CLEANUP(nsm_buf_release)
    struct nsm_buf order = NSM_BUF_TEXT;
    nsm_assert_ok(nsm_ledger_read_run(ledger, &run));
    for (size_t i = 0; i < run.n_namespaces; i++) {
        nsm_buf_printf(&order, "%s ", run.namespaces[i].name);
    }
    assert_string_equal(order.ptr, expected);
    nsm_ledger_run_release(&run);
}

static void test_order(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = nsm_fixture_begin(fx, 0);
    check_order(ledger, "ns0 ns1 ns2 ns3 ");
    nsm_assert_ok(nsm_ledger_close(ledger));

    /* --only leaves the others where they are. */
    struct nsm_plan only = fx->plan;
    only.namespaces = &fx->namespaces[2];
    only.n_namespaces = 1;
    ledger = nsm_fixture_open(fx, 0);
    nsm_assert_ok(nsm_ledger_begin(ledger, &only));
    check_order(ledger, "ns0 ns1 ns2 ns3 ");
    nsm_assert_ok(nsm_ledger_close(ledger));

    /* An only run first, then all: plan order. */
    ledger = nsm_fixture_open(fx, NSM_LEDGER_FRESH);
    nsm_assert_ok(nsm_ledger_begin(ledger, &only));
    check_order(ledger, "ns2 ");
    nsm_assert_ok(nsm_ledger_begin(ledger, &fx->plan));
    check_order(ledger, "ns0 ns1 ns2 ns3 ");
    nsm_assert_ok(nsm_ledger_close(ledger));
}

/* ---- one run at a time ---- */

static void test_lock_within_process(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *const ledger = nsm_fixture_begin(fx, 0);
    struct nsm_ledger *second = NULL;
    char holder[64];
    (void)snprintf(holder, sizeof(holder), "plan move-sessions is being run by pid %ld on host ",
                   (long)getpid());
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &second), NSM_E_CONFLICT, holder);
    nsm_assert_error(nsm_ledger_open(&fx->plan, NSM_LEDGER_FRESH, &second), NSM_E_CONFLICT,
                     "wait for it or stop it");
    assert_null(second);
    /* The refused ones took nothing from the first. */
    nsm_assert_ok(nsm_ledger_set_step(ledger, "ns0", NSM_STEP_PREPARED));
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &second), NSM_E_CONFLICT, holder);
    nsm_assert_ok(nsm_ledger_close(ledger));
    nsm_assert_ok(nsm_ledger_close(nsm_fixture_begin(fx, 0)));
}

/* Waits until the child has said a byte. */
static void wait_ready(int fd)
{
    char byte = 0;
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'r');
}

static void run_until_killed(struct nsm_ledger_fixture *fx, int ready_fd)
{
    struct nsm_ledger *ledger = NULL;
    struct nsm_error *error = nsm_ledger_open(&fx->plan, 0, &ledger);
    error = error ? error : nsm_ledger_begin(ledger, &fx->plan);
    struct nsm_census census = nsm_fixture_census();
    error = error ? error : nsm_ledger_set_parts(ledger, "ns1", &census);
    error = error ? error : nsm_ledger_set_step(ledger, "ns1", NSM_STEP_COPIED);
    error = error ? error : nsm_ledger_set_step(ledger, "ns2", NSM_STEP_DONE);
    if (write(ready_fd, error ? "e" : "r", 1) == 1) {
        (void)pause();
    }
}

static void test_lock_dies_with_its_holder(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    int fd = -1;
    const pid_t pid = nsm_fixture_start_child(fx, run_until_killed, &fd);
    wait_ready(fd);
    struct nsm_ledger *ledger = NULL;
    char holder[64];
    (void)snprintf(holder, sizeof(holder), "run by pid %ld on host ", (long)pid);
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &ledger), NSM_E_CONFLICT, holder);

    /* Status works beside it, and sees what is committed. */
    ledger = nsm_fixture_open(fx, NSM_LEDGER_READ_ONLY);
    struct nsm_ledger_run run = {0};
    nsm_assert_ok(nsm_ledger_read_run(ledger, &run));
    assert_true(run.is_running);
    assert_null(run.status);
    assert_int_equal(run.n_namespaces, 4);
    assert_int_equal(run.namespaces[1].step, NSM_STEP_COPIED);
    assert_null(run.namespaces[1].status);
    nsm_ledger_run_release(&run);

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(WTERMSIG(nsm_fixture_reap(pid)), SIGKILL);
    (void)close(fd);
    nsm_assert_ok(nsm_ledger_read_run(ledger, &run));
    assert_false(run.is_running);
    assert_string_equal(run.status, "interrupted");
    assert_null(run.namespaces[0].status);
    assert_string_equal(run.namespaces[1].status, "interrupted");
    assert_null(run.namespaces[2].status);
    nsm_ledger_run_release(&run);
    nsm_assert_ok(nsm_ledger_close(ledger));

    ledger = nsm_fixture_begin(fx, 0);
    assert_true(nsm_ledger_is_resumed(ledger));
    assert_int_equal(nsm_fixture_step(ledger, "ns1"), NSM_STEP_COPIED);
    assert_int_equal(nsm_fixture_step(ledger, "ns2"), NSM_STEP_DONE);
    nsm_assert_ok(nsm_ledger_close(ledger));
}

/* ---- reading only ---- */

static void test_read_only(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = NULL;
    nsm_assert_error(nsm_ledger_open(&fx->plan, NSM_LEDGER_READ_ONLY, &ledger), NSM_E_NOTFOUND,
                     "has not been run yet");
    /* Nothing was made, so the folder can go and come. */
    assert_int_equal(rmdir(fx->folder), 0);
    assert_int_equal(mkdir(fx->folder, 0755), 0);

    struct nsm_ledger *const run_ledger = nsm_fixture_begin(fx, 0);
    nsm_fixture_note_progress(run_ledger);
    nsm_ledger_set_run_status(run_ledger, "failed", "first error");
    nsm_assert_ok(nsm_ledger_close(run_ledger));

    ledger = nsm_fixture_open(fx, NSM_LEDGER_READ_ONLY);
    struct nsm_ledger_run run = {0};
    nsm_assert_ok(nsm_ledger_read_run(ledger, &run));
    assert_false(run.is_running);
    assert_string_equal(run.status, "failed");
    assert_string_equal(run.error, "first error");
    assert_string_equal(run.fingerprint, fx->plan.fingerprint);
    assert_int_equal(strlen(run.run_id), 16);
    assert_true(run.started_ms <= run.updated_ms && run.updated_ms <= nsm_wall_ms());
    assert_int_equal(run.namespaces[1].n_records, 47);
    nsm_ledger_run_release(&run);

    /* It holds no lock: a run may begin, and is seen. */
    struct nsm_ledger *const second = nsm_fixture_begin(fx, 0);
    nsm_assert_ok(nsm_ledger_read_run(ledger, &run));
    assert_true(run.is_running);
    assert_null(run.status);
    nsm_ledger_run_release(&run);
    nsm_assert_ok(nsm_ledger_close(second));
    check_order(ledger, "ns0 ns1 ns2 ns3 ");
    nsm_assert_ok(nsm_ledger_close(ledger));
}

/* ---- many at once ---- */

struct worker {
    struct nsm_ledger *ledger;
    const struct nsm_plan *plan;
    size_t first, step;
    struct nsm_error *error;
};

static struct nsm_error *do_namespace(struct nsm_ledger *ledger, const char *name,
                                      const struct nsm_census *census)
{
    struct nsm_ledger_namespace ns = {0};
    NSM_TRY(nsm_ledger_get(ledger, name, &ns));
    nsm_ledger_namespace_release(&ns);
    nsm_ledger_set_status(ledger, name, NULL, NULL, 0);
    NSM_TRY(nsm_ledger_set_parts(ledger, name, census));
    nsm_ledger_set_lane(ledger, name, "record");
    NSM_TRY(nsm_ledger_set_step(ledger, name, NSM_STEP_PREPARED));
    for (size_t i = 0; i < census->n_parts; i++) {
        char id[64];
        (void)snprintf(id, sizeof(id), "%s/%zu", name, i);
        const struct nsm_checkpoint half = nsm_fixture_checkpoint(id, 1, false);
        const struct nsm_checkpoint done = nsm_fixture_checkpoint(id, 2, true);
        nsm_ledger_put_checkpoint(ledger, &half);
        nsm_ledger_put_checkpoint(ledger, &done);
    }
    NSM_TRY(nsm_ledger_set_step(ledger, name, NSM_STEP_COPIED));
    NSM_TRY(nsm_ledger_set_step(ledger, name, NSM_STEP_FINISHED));
    NSM_TRY(nsm_ledger_set_step(ledger, name, NSM_STEP_DONE));
    nsm_ledger_set_status(ledger, name, "ok", NULL, 0.25);
    return NULL;
}

static void *work(void *arg)
{
    struct worker *const worker = arg;
    struct nsm_census census = nsm_fixture_census();
    for (size_t i = worker->first; i < worker->plan->n_namespaces && !worker->error;
         i += worker->step) {
        worker->error = do_namespace(worker->ledger, worker->plan->namespaces[i].name, &census);
    }
    nsm_census_release(&census);
    return NULL;
}

static void run_workers(struct nsm_ledger *ledger, const struct nsm_plan *plan, size_t n_workers)
{
    struct worker workers[16] = {0};
    pthread_t threads[16];
    for (size_t i = 0; i < n_workers; i++) {
        workers[i] = (struct worker){.ledger = ledger, .plan = plan, .first = i, .step = n_workers};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < n_workers; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        nsm_assert_ok(workers[i].error);
    }
}

static void check_all_done(struct nsm_ledger *ledger, size_t n_namespaces)
{
    struct nsm_ledger_run run = {0};
    nsm_assert_ok(nsm_ledger_read_run(ledger, &run));
    assert_int_equal(run.n_namespaces, n_namespaces);
    for (size_t i = 0; i < n_namespaces; i++) {
        const struct nsm_ledger_namespace *const ns = &run.namespaces[i];
        assert_int_equal(ns->step, NSM_STEP_DONE);
        assert_string_equal(ns->status, "ok");
        assert_int_equal(ns->n_parts_done, 3);
        assert_int_equal(ns->n_records, 6);
    }
    nsm_ledger_run_release(&run);
}

/* Ten thousand namespaces on eight workers: figures with NSM_VERBOSE=1; the bound is that of a
 * machine ten times slower than it need be. */
static void test_ten_thousand(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_plan_namespace *const namespaces = nsm_xcalloc(MANY, sizeof(*namespaces));
    struct nsm_plan plan = fx->plan;
    plan.namespaces = namespaces;
    plan.n_namespaces = MANY;
    struct nsm_arena arena = NSM_ARENA_INIT;
    for (size_t i = 0; i < MANY; i++) {
        namespaces[i].name = nsm_arena_printf(&arena, "tenant/%zu", i);
    }
    struct nsm_ledger *ledger = NULL;
    const int64_t start_ns = nsm_now_ns();
    nsm_assert_ok(nsm_ledger_open(&plan, 0, &ledger));
    nsm_assert_ok(nsm_ledger_begin(ledger, &plan));
    const int64_t begun_ns = nsm_now_ns();
    run_workers(ledger, &plan, 8);
    nsm_assert_ok(nsm_ledger_set_complete(ledger));
    const int64_t end_ns = nsm_now_ns();
    check_all_done(ledger, MANY);
    nsm_assert_ok(nsm_ledger_close(ledger));
    if (getenv("NSM_VERBOSE")) { /* NOLINT(concurrency-mt-unsafe): the workers have ended */
        print_message("begin %.0f ms, %.1f us per namespace\n", (double)(begun_ns - start_ns) / 1e6,
                      (double)(end_ns - begun_ns) / 1e3 / MANY);
    }
    assert_true(end_ns - start_ns < 60 * NSM_NS_PER_S);
    nsm_arena_release(&arena);
    free(namespaces);
}

/* More notes than the queue holds, with large tokens: it waits, and the last word of each stands. */
static void test_queue_is_bounded(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *const ledger = nsm_fixture_begin(fx, 0);
    struct nsm_census census = {0};
    (void)nsm_census_add_object(&census);
    for (size_t i = 0; i < 6000; i++) {
        nsm_census_add_part(&census, 0, NSM_STR_LIT("r"), 1, 1);
    }
    nsm_assert_ok(nsm_ledger_set_parts(ledger, "ns0", &census));
    nsm_census_release(&census);
    static char token[8000];
    for (size_t i = 0; i < 12000; i++) {
        char id[64];
        (void)snprintf(id, sizeof(id), "ns0/%zu", i % 6000);
        struct nsm_checkpoint checkpoint = nsm_fixture_checkpoint(id, i, false);
        checkpoint.resume = (struct nsm_str){token, i % 2 ? sizeof(token) : 1};
        nsm_ledger_put_checkpoint(ledger, &checkpoint);
    }
    struct nsm_ledger_parts parts = {0};
    nsm_assert_ok(nsm_ledger_get_parts(ledger, "ns0", &parts));
    assert_int_equal(parts.n_parts, 6000);
    for (size_t i = 0; i < 6000; i++) {
        assert_int_equal(parts.parts[i].checkpoint.n_records, 6000 + i);
        assert_int_equal(parts.parts[i].checkpoint.resume.len, i % 2 ? sizeof(token) : 1);
    }
    nsm_ledger_parts_release(&parts);
    nsm_assert_ok(nsm_ledger_close(ledger));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(nsm_step_name(NSM_STEP_NEW), "new");
    assert_string_equal(nsm_step_name(NSM_STEP_DONE), "done");
    struct nsm_arena arena = NSM_ARENA_INIT;
    assert_true(nsm_str_equals(nsm_part_id(&arena, "a/b", 12), NSM_STR_LIT("a/b/12")));
    nsm_arena_release(&arena);
    nsm_ledger_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_run, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_resume, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_new_parts_and_reset, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_complete, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_changed_plan, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_fresh, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_order, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_lock_within_process, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_lock_dies_with_its_holder, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_read_only, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_ten_thousand, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
