/*
 * The order of things in preview, run and verify: ledger, survey, the group of tasks, the report.
 *
 * The group's tasks are the namespaces in plan order; behind them come as many helpers as there are workers, which take the slots
 * that become free when no namespace waits any more and work on the parts of those that still run.
 */
#include "migrate/engine/definitions.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- reports ---- */

static char *copy_text(const struct nsm_error *error)
{
    return error ? nsm_error_text(error) : NULL;
}

static const char *name_with_schema(struct nsm_arena *arena, const struct nsm_object *object)
{
    return object->schema[0] ? nsm_arena_printf(arena, "%s.%s", object->schema, object->name)
                             : object->name;
}

static void report_objects(struct nsm_report *report, const struct nsm_ns *ns,
                           struct nsm_report_namespace *row)
{
    const struct nsm_census *const census = &ns->source.census;
    row->objects = nsm_arena_calloc(&report->arena, census->n_objects + 1, sizeof(*row->objects));
    row->n_objects = census->n_objects;
    for (size_t at = 0; at < census->n_objects; at++) {
        const struct nsm_object *const object = &census->objects[at];
        const size_t target = ns->is_inspected ? nsm_layout_target_object(&ns->stage, at) : 0;
        const bool has_target = ns->is_inspected && target < ns->destination.target.n_objects;
        row->objects[at] = (struct nsm_report_object){
            .name = name_with_schema(&report->arena, object),
            .target = has_target ? name_with_schema(&report->arena,
                                                    &ns->destination.target.objects[target])
                                 : "",
            .form = ns->lane != NSM_LANE_PGCOPY ? ""
                    : object->format_reason[0]
                        ? nsm_arena_printf(&report->arena, "%s: %s", object->format,
                                           object->format_reason)
                        : object->format,
            .n_records = object->n_records,
            .n_bytes = object->n_bytes,
            .is_exact = object->is_exact,
        };
    }
}

static void fill_row(struct nsm_report *report, const struct nsm_ns *ns,
                     struct nsm_report_namespace *row)
{
    row->name = ns->plan->name;
    row->source = ns->source_store->plan->name;
    row->destination = ns->destination_store->plan->name;
    row->status = atomic_load(&ns->status);
    row->was_done = ns->was_done;
    row->lane = ns->lane_name;
    row->layout = ns->layout_name;
    row->n_records = atomic_load(&ns->n_records);
    row->n_bytes = atomic_load(&ns->n_bytes);
    row->n_skipped = atomic_load(&ns->n_skipped);
    row->n_vanished = atomic_load(&ns->n_vanished);
    const int64_t started_ns = atomic_load(&ns->started_ns);
    const int64_t ended_ns = atomic_load(&ns->ended_ns);
    row->seconds = ns->earlier_seconds;
    if (started_ns) {
        row->seconds +=
            (double)((ended_ns ? ended_ns : nsm_now_ns()) - started_ns) / (double)NSM_NS_PER_S;
    }
    row->error = copy_text(ns->error ? ns->error : ns->survey_error);
    row->source_findings = &ns->source.census.findings;
    row->destination_findings = &ns->destination.target.findings;
    row->layout_findings = &ns->layout_findings;
    row->differences = ns->differences;
    row->n_differences = ns->n_differences;
    row->n_missing = ns->n_missing;
    row->n_extra = ns->n_extra;
    row->n_different = ns->n_different;
    row->n_left = ns->n_left;
    if (ns->is_surveyed)
        report_objects(report, ns, row);
}

static void fill_report(const struct nsm_migration *migration, int64_t started_ns,
                        const struct nsm_error *error, struct nsm_report *report)
{
    *report = (struct nsm_report){
        .plan = migration->plan->name,
        .seconds = (double)(nsm_now_ns() - started_ns) / (double)NSM_NS_PER_S,
        .status = NSM_STATUS_OK,
        .error = copy_text(error),
        .is_resumed = migration->is_resumed,
        .n_namespaces = migration->n_namespaces,
        .namespaces = nsm_xcalloc(migration->n_namespaces, sizeof(*report->namespaces)),
    };
    if (error) {
        report->status =
            nsm_error_is(error, NSM_E_CANCELED) ? NSM_STATUS_INTERRUPTED : NSM_STATUS_FAILED;
    }
    for (size_t at = 0; at < migration->n_namespaces; at++)
        fill_row(report, &migration->namespaces[at], &report->namespaces[at]);
}

void nsm_report_release(struct nsm_report *report)
{
    for (size_t at = 0; at < report->n_namespaces; at++)
        free(report->namespaces[at].error);
    free(report->namespaces);
    free(report->error);
    nsm_arena_release(&report->arena);
    *report = (struct nsm_report){0};
}

/* ---- where backends work ---- */

static void give_work_dir(struct nsm_migration *migration, const char *work_dir, const char *run_id)
{
    for (size_t at = 0; at < migration->plan->n_backends; at++) {
        migration->stores[at].backend->work_dir = work_dir;
        migration->stores[at].backend->run_id = run_id;
        migration->stores[at].backend->plan_name = migration->plan->name;
    }
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        migration->namespaces[at].definition_path =
            nsm_xasprintf("%s/definition-%zu", work_dir, at);
    }
}

/* preview, verify and repair keep nothing: a folder that goes with them. */
static struct nsm_error *make_temporary_work_dir(struct nsm_migration *migration)
{
    migration->work_dir = nsm_xasprintf("%s/nsmigrate-XXXXXX", P_tmpdir);
    if (!mkdtemp(migration->work_dir)) {
        struct nsm_error *const error =
            nsm_error_new(NSM_E_IO, "make a folder for key lists: %s: %m", migration->work_dir);
        free(NSM_STEAL(migration->work_dir));
        return error;
    }
    migration->run_id = nsm_xasprintf("%016" PRIx64, nsm_random_below(UINT64_MAX));
    give_work_dir(migration, migration->work_dir, migration->run_id);
    return NULL;
}

/* ---- preview ---- */

/*
 * What a worker moves in a second where both servers are on one machine of today: measured with tests/benchmark; good for telling
 * minutes from hours.
 */
struct rate {
    double records, bytes;
};

static struct rate rate_of(enum nsm_lane lane)
{
    switch (lane) {
    case NSM_LANE_PGCOPY:
        return (struct rate){.records = 900e3, .bytes = 90e6};
    case NSM_LANE_REDIS_DUMP:
        return (struct rate){.records = 120e3, .bytes = 120e6};
    case NSM_LANE_RECORD:
        break;
    }
    return (struct rate){.records = 150e3, .bytes = 60e6};
}

static double estimate(const struct nsm_ns *ns)
{
    const struct rate rate = rate_of(ns->lane);
    const double by_records = (double)atomic_load(&ns->total_records) / rate.records;
    const double by_bytes = (double)atomic_load(&ns->total_bytes) / rate.bytes;
    return by_records > by_bytes ? by_records : by_bytes;
}

static void fill_preview(const struct nsm_migration *migration, struct nsm_report *report)
{
    double sum = 0.0;
    double longest = 0.0;
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        const struct nsm_ns *const ns = &migration->namespaces[at];
        struct nsm_report_namespace *const row = &report->namespaces[at];
        row->n_records = atomic_load(&ns->total_records);
        row->n_bytes = atomic_load(&ns->total_bytes);
        row->estimate_seconds = estimate(ns);
        sum += row->estimate_seconds;
        longest = row->estimate_seconds > longest ? row->estimate_seconds : longest;
        struct nsm_error *const refusal = nsm_ns_refusal(ns);
        row->would_fail = refusal != NULL;
        report->n_would_fail += row->would_fail;
        if (refusal && !row->error)
            row->error = nsm_error_text(refusal);
        nsm_error_free(refusal);
    }
    /* parts are shared by all workers: the longest namespace is no bound, but a part of it is */
    report->estimate_seconds = sum / (double)migration->plan->workers;
    if (report->estimate_seconds < longest / (double)migration->plan->workers)
        report->estimate_seconds = longest;
}

struct nsm_error *nsm_migration_preview(struct nsm_migration *migration, struct nsm_context *ctx,
                                        struct nsm_report *ret)
{
    const int64_t started_ns = nsm_now_ns();
    struct nsm_error *error = make_temporary_work_dir(migration);
    if (!error)
        error = nsm_survey_all(migration, ctx);
    fill_report(migration, started_ns, error, ret);
    fill_preview(migration, ret);
    return error;
}

/* ---- run ---- */

static struct nsm_error *open_ledger(struct nsm_migration *migration, bool *ret_is_locked)
{
    const unsigned flags = migration->options->is_fresh ? NSM_LEDGER_FRESH : 0;
    struct nsm_error *const error = nsm_ledger_open(migration->plan, flags, &migration->ledger);
    if (error) {
        *ret_is_locked = nsm_error_is(error, NSM_E_CONFLICT);
        return error;
    }
    migration->is_resumed = nsm_ledger_is_resumed(migration->ledger);
    give_work_dir(migration, nsm_ledger_work_dir(migration->ledger),
                  nsm_ledger_run_id(migration->ledger));
    return nsm_ledger_begin(migration->ledger, migration->plan);
}

/* What an earlier run came to. */
static struct nsm_error *recall(struct nsm_ns *ns)
{
    struct nsm_ledger_namespace known = {0};
    NSM_TRY(nsm_ledger_get(ns->migration->ledger, ns->plan->name, &known));
    nsm_witness_recall(ns, &known);
    ns->step = known.step;
    ns->earlier_seconds = known.seconds;
    ns->was_done = known.step == NSM_STEP_DONE;
    if (ns->was_done) {
        atomic_store(&ns->status, NSM_STATUS_OK);
        atomic_store(&ns->n_records, known.n_records);
        atomic_store(&ns->n_bytes, known.n_bytes);
        atomic_store(&ns->total_records, known.total_records);
        atomic_store(&ns->total_bytes, known.total_bytes);
    }
    if (ns->step >= NSM_STEP_SURVEYED)
        ns->source.flags |= NSM_SURVEY_RESUME;
    /* verify alone does not: another tool that copied the rows may have put them elsewhere */
    if (ns->plan->n_columns == 0 &&
        (ns->source_store->adapter == ns->destination_store->adapter ||
         ns->source_store->adapter->caps & NSM_CAP_ARCHIVE) &&
        (ns->plan->if_exists == NSM_IF_EXISTS_FAIL || ns->plan->if_exists == NSM_IF_EXISTS_REPLACE))
        ns->source.flags |= NSM_SURVEY_KEEP_PLACES;
    /* a prepare that was begun may have replaced what stood there, or not yet: then replace may do it again, since no row of
     * ours is there before it has ended */
    ns->destination.is_ours =
        ns->step >= NSM_STEP_PREPARED ||
        (ns->step == NSM_STEP_PREPARING && ns->plan->if_exists != NSM_IF_EXISTS_REPLACE);
    nsm_ledger_namespace_release(&known);
    return NULL;
}

static struct nsm_error *recall_all(struct nsm_migration *migration, struct nsm_context *ctx)
{
    if (!nsm_ledger_is_complete(migration->ledger))
        NSM_TRY(nsm_witness_begin(migration, ctx));
    for (size_t at = 0; at < migration->n_namespaces; at++)
        NSM_TRY(recall(&migration->namespaces[at]));
    return NULL;
}

/* With on_error: cancel nothing is written anywhere when one namespace can't go. */
static struct nsm_error *first_refusal(const struct nsm_migration *migration)
{
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        struct nsm_error *const refusal = ns->was_done ? NULL : nsm_ns_refusal(ns);
        if (refusal) {
            ns->error = nsm_error_clone(refusal);
            atomic_store(&ns->status, nsm_status_of(refusal));
            return nsm_error_wrap(refusal, "namespace %s", ns->plan->name);
        }
    }
    return NULL;
}

static struct nsm_error *help(struct nsm_context *ctx, void *arg)
{
    nsm_board_help(arg, ctx);
    return NULL;
}

/* After a stop tasks end without an error, at their checkpoints or before they began. */
static struct nsm_error *all_done(const struct nsm_migration *migration)
{
    for (size_t at = 0; at < migration->n_namespaces; at++)
        if (atomic_load(&migration->namespaces[at].status) != NSM_STATUS_OK)
            return nsm_error_new(NSM_E_CANCELED, "stopped");
    return NULL;
}

static struct nsm_error *run_tasks(struct nsm_migration *migration, struct nsm_context *ctx)
{
    const struct nsm_plan *const plan = migration->plan;
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(ctx, plan->workers);
    nsm_group_set_on_error(group, plan->on_error);
    migration->board.n_tasks = 0;
    for (size_t at = 0; at < migration->n_namespaces; at++)
        migration->board.n_tasks += !migration->namespaces[at].was_done;
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        if (!ns->was_done) {
            ns->group = group;
            nsm_group_go(group, nsm_task_run, ns);
        }
    }
    for (size_t at = 0; at < plan->workers; at++)
        nsm_group_go(group, help, &migration->board);
    NSM_TRY(nsm_group_wait(group));
    return all_done(migration);
}

static struct nsm_error *work(struct nsm_migration *migration, struct nsm_context *ctx)
{
    NSM_TRY(nsm_survey_all(migration, ctx));
    if (migration->plan->on_error == NSM_ON_ERROR_CANCEL)
        NSM_TRY(first_refusal(migration));
    if (migration->is_resumed)
        NSM_TRY(nsm_checkpoints_load(migration, ctx));
    NSM_TRY(run_tasks(migration, ctx));
    NSM_TRY(nsm_witness_end(migration, ctx));
    return nsm_ledger_set_complete(migration->ledger);
}

static struct nsm_error *close_ledger(struct nsm_migration *migration,
                                      const struct nsm_error *error)
{
    NSM_CLEANUP(nsm_freep) char *text = copy_text(error);
    const enum nsm_status status = !error                                ? NSM_STATUS_OK
                                   : nsm_error_is(error, NSM_E_CANCELED) ? NSM_STATUS_INTERRUPTED
                                                                         : NSM_STATUS_FAILED;
    nsm_ledger_set_run_status(migration->ledger, nsm_status_name(status), text);
    nsm_emit(migration, &(struct nsm_event){.kind = NSM_EVENT_RUN_ENDED,
                                            .text = nsm_status_name(status),
                                            .error = text});
    return nsm_ledger_close(NSM_STEAL(migration->ledger));
}

struct nsm_error *nsm_migration_run(struct nsm_migration *migration, struct nsm_context *ctx,
                                    struct nsm_report *ret, bool *ret_is_locked)
{
    const int64_t started_ns = nsm_now_ns();
    *ret_is_locked = false;
    struct nsm_error *error = open_ledger(migration, ret_is_locked);
    if (!error) {
        nsm_emit(migration,
                 &(struct nsm_event){
                     .kind = NSM_EVENT_RUN_STARTED,
                     .text = migration->is_resumed ? "taking up an interrupted run" : "new run",
                 });
        error = recall_all(migration, ctx);
    }
    if (!error)
        error = work(migration, ctx);
    if (migration->ledger) {
        struct nsm_error *const unwritten = close_ledger(migration, error);
        if (!error)
            error = unwritten;
        else
            nsm_error_ignore(unwritten); /* the first error is the cause */
    }
    fill_report(migration, started_ns, error, ret);
    return error;
}

/* ---- verify, repair ---- */

static struct nsm_error *compare_task(struct nsm_context *ctx, void *arg)
{
    struct nsm_ns *const ns = arg;
    atomic_store(&ns->started_ns, nsm_now_ns());
    atomic_store(&ns->status, NSM_STATUS_RUNNING);
    struct nsm_error *const error =
        ns->survey_error ? nsm_error_clone(ns->survey_error) : ns->compare(ns, ctx);
    atomic_store(&ns->ended_ns, nsm_now_ns());
    atomic_store(&ns->status, !error                                ? NSM_STATUS_OK
                              : nsm_error_is(error, NSM_E_CANCELED) ? NSM_STATUS_CANCELLED
                                                                    : NSM_STATUS_FAILED);
    ns->error = nsm_error_clone(error);
    nsm_board_retire(&ns->migration->board);
    return nsm_error_wrap(error, "namespace %s", ns->plan->name);
}

static struct nsm_error *survey_and_compare(struct nsm_migration *migration,
                                            struct nsm_context *ctx, nsm_compare_fn *fn)
{
    NSM_TRY(make_temporary_work_dir(migration));
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        migration->namespaces[at].destination.is_ours =
            true; /* what stands there is what is to be compared */
    }
    NSM_TRY(nsm_survey_all(migration, ctx));
    NSM_TRY(nsm_definitions_compare_all(migration, ctx));
    NSM_CLEANUP(nsm_group_freep)
    struct nsm_group *group = nsm_group_new(ctx, migration->plan->workers);
    nsm_group_set_on_error(group, migration->plan->on_error);
    migration->board.n_tasks = migration->n_namespaces;
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        migration->namespaces[at].group = group;
        migration->namespaces[at].compare = fn;
        nsm_group_go(group, compare_task, &migration->namespaces[at]);
    }
    for (size_t at = 0; at < migration->plan->workers; at++)
        nsm_group_go(group, help, &migration->board);
    return nsm_group_wait(group);
}

struct nsm_error *nsm_compare_all(struct nsm_migration *migration, struct nsm_context *ctx,
                                  nsm_compare_fn *fn, struct nsm_report *ret)
{
    const int64_t started_ns = nsm_now_ns();
    struct nsm_error *const error = survey_and_compare(migration, ctx, fn);
    fill_report(migration, started_ns, error, ret);
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        const struct nsm_ns *const ns = &migration->namespaces[at];
        ret->n_differences += ns->n_missing + ns->n_extra + ns->n_different;
        ret->n_left += ns->n_left;
    }
    return error;
}

static struct nsm_error *verify_one(struct nsm_ns *ns, struct nsm_context *ctx)
{
    nsm_ns_enter(ns, "verify");
    return nsm_verify_ns(ns, ctx, 0);
}

struct nsm_error *nsm_migration_verify(struct nsm_migration *migration, struct nsm_context *ctx,
                                       struct nsm_report *ret)
{
    return nsm_compare_all(migration, ctx, verify_one, ret);
}
