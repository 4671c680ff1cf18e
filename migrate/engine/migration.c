/*
 * A plan with its backends opened: making it, health, progress, and the small things that all of its steps share.
 */
#include "migrate/engine/internal.h"
#include "migrate/engine/ledger_folder.h"
#include "migrate/engine/retry.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <assert.h>
#include <unistd.h>

/* Parts are pieces of about this size: small enough that the last worker never works alone for long, large enough that opening one
 * costs nothing. */
#define PART_BYTES ((size_t)64 << 20)

/* ---- events ---- */

const char *nsm_event_name(enum nsm_event_kind kind)
{
    static const char *const names[] = {
        [NSM_EVENT_RUN_STARTED] = "run_started",
        [NSM_EVENT_SURVEYED] = "surveyed",
        [NSM_EVENT_NAMESPACE_STARTED] = "namespace_started",
        [NSM_EVENT_STEP] = "step",
        [NSM_EVENT_PART_DONE] = "part_done",
        [NSM_EVENT_RETRY] = "retry",
        [NSM_EVENT_WARNING] = "warning",
        [NSM_EVENT_NAMESPACE_ENDED] = "namespace_ended",
        [NSM_EVENT_RUN_ENDED] = "run_ended",
    };
    assert((size_t)kind < NSM_COUNT_OF(names));
    return names[kind];
}

void nsm_emit(const struct nsm_migration *migration, const struct nsm_event *event)
{
    const struct nsm_events *const events = migration->options->events;
    if (!events)
        return;
    struct nsm_event dated = *event;
    dated.at_ms = nsm_wall_ms();
    events->emit(events->arg, &dated);
}

static void emit_text(const struct nsm_migration *migration, const struct nsm_ns *ns,
                      enum nsm_event_kind kind, const char *text)
{
    nsm_emit(migration, &(struct nsm_event){
                            .kind = kind,
                            .namespace_name = ns ? ns->plan->name : NULL,
                            .text = text,
                        });
}

void nsm_emit_text(const struct nsm_ns *ns, enum nsm_event_kind kind, const char *fmt, ...)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    va_list args;
    va_start(args, fmt);
    nsm_buf_vprintf(&text, fmt, args);
    va_end(args);
    emit_text(ns->migration, ns, kind, text.ptr);
}

void nsm_ns_enter(struct nsm_ns *ns, const char *step)
{
    atomic_store(&ns->step_text, step);
    emit_text(ns->migration, ns, NSM_EVENT_STEP, step);
}

/* ---- trying again ---- */

struct nsm_error *nsm_attempt(const struct nsm_migration *migration, const struct nsm_ns *ns,
                              struct nsm_context *ctx, nsm_attempt_fn *fn, void *arg)
{
    struct nsm_retry retry = nsm_retry_of(migration->plan);
    for (;;) {
        struct nsm_error *error = fn(ctx, arg);
        if (!error)
            return NULL;
        if (nsm_context_is_canceled(ctx) && nsm_code_is_retryable(nsm_error_code(error))) {
            nsm_error_free(error);
            return nsm_context_error(ctx);
        }
        int64_t pause_ns = 0;
        NSM_CLEANUP(nsm_freep) char *text = NULL;
        NSM_TRY(nsm_retry_decide(&retry, error, &pause_ns, &text));
        NSM_CLEANUP(nsm_freep)
        char *told = nsm_xasprintf("%s; attempt %u of %u in %.1f s", text, retry.n_attempts + 1,
                                   retry.max_attempts, (double)pause_ns / (double)NSM_NS_PER_S);
        emit_text(migration, ns, NSM_EVENT_RETRY, told);
        NSM_TRY(nsm_sleep(ctx, pause_ns));
    }
}

/* ---- opening ---- */

static struct nsm_error *open_store(struct nsm_migration *migration, size_t index)
{
    struct nsm_store *const store = &migration->stores[index];
    store->plan = &migration->plan->backends[index];
    store->adapter = store->plan->adapter;
    store->backend = nsm_xcalloc(1, store->adapter->backend_size);
    store->backend->adapter = store->adapter;
    store->backend->name = store->plan->name;
    store->backend->settings = store->plan->settings;
    NSM_TRY_WRAP(store->adapter->open(store->backend), "backend %s", store->plan->name);
    store->is_open = true;
    return NULL;
}

struct listing {
    struct nsm_migration *migration;
    struct nsm_context *ctx;
};

static struct nsm_error *list_names(void *arg, const struct nsm_plan_template *template,
                                    nsm_name_fn *fn, void *fn_arg)
{
    const struct listing *const listing = arg;
    const struct nsm_store *const store = &listing->migration->stores[template->backend];
    return nsm_error_wrap(store->adapter->list(store->backend, listing->ctx, template->key,
                                               template->glob, fn, fn_arg),
                          "backend %s", store->plan->name);
}

static unsigned survey_flags(const struct nsm_ns *ns)
{
    const struct nsm_adapter *const destination = ns->destination_store->adapter;
    if (destination->caps & NSM_CAP_ARCHIVE && ns->plan->layout == NSM_LAYOUT_DEFAULT)
        return NSM_SURVEY_ARCHIVE | (ns->plan->n_columns ? 0 : NSM_SURVEY_KEEP_PLACES);
    return ns->source_store->adapter == destination ? 0 : NSM_SURVEY_VALUE_TYPES;
}

static void init_namespace(struct nsm_migration *migration, size_t index)
{
    struct nsm_ns *const ns = &migration->namespaces[index];
    const struct nsm_plan_namespace *const plan = &migration->plan->namespaces[index];
    ns->migration = migration;
    ns->plan = plan;
    ns->source_store = &migration->stores[plan->source.backend];
    ns->destination_store = &migration->stores[plan->destination.backend];
    ns->source_store->is_source = true;
    ns->destination_store->is_destination = true;
    ns->source = (struct nsm_source){
        .backend = ns->source_store->backend,
        .namespace_name = plan->name,
        .selection = plan->source.selection,
        .destination_adapter = ns->destination_store->adapter->name,
        .part_bytes = PART_BYTES,
    };
    ns->source.flags = survey_flags(ns);
    ns->destination = (struct nsm_destination){
        .backend = ns->destination_store->backend,
        .namespace_name = plan->name,
        .selection = plan->destination.selection,
        .if_exists = plan->if_exists,
    };
    pthread_mutex_init(&ns->mutex, NULL);
    atomic_store(&ns->step_text, "");
    ns->lane_name = "";
    ns->layout_name = "";
}

/* One connection for each worker and each side, besides those that the adapter needs for itself. */
static struct nsm_error *set_budget(const struct nsm_plan *plan, struct nsm_store *store)
{
    const size_t n_control = store->adapter->control_connections;
    const size_t n_sides = store->is_source && store->is_destination ? 2 : 1;
    const size_t max = store->plan->max_connections;
    if (max != 0 && max < n_control + n_sides) {
        return nsm_error_new(
            NSM_E_INVALID,
            "%s:%u:%u: backend %s: max_connections %zu is too few: at least %zu are needed here",
            plan->path, store->plan->line, store->plan->column, store->plan->name, max,
            n_control + n_sides);
    }
    store->budget = (struct nsm_budget){
        .n_free = max ? max - n_control : plan->workers * n_sides,
        .is_single_writer = store->adapter->caps & NSM_CAP_SINGLE_WRITER,
    };
    return NULL;
}

static struct nsm_error *open_all(struct nsm_migration *migration, struct nsm_context *ctx)
{
    struct nsm_plan *const plan = migration->plan;
    const struct nsm_migration_options *const options = migration->options;
    migration->stores = nsm_xcalloc(plan->n_backends, sizeof(*migration->stores));
    for (size_t at = 0; at < plan->n_backends; at++)
        NSM_TRY(open_store(migration, at));
    if (plan->n_templates > 0) {
        struct listing listing = {.migration = migration, .ctx = ctx};
        NSM_TRY(nsm_plan_expand(plan, list_names, &listing));
    }
    if (options->only)
        NSM_TRY(nsm_plan_only(plan, options->only, options->n_only));
    migration->n_namespaces = plan->n_namespaces;
    migration->namespaces = nsm_xcalloc(plan->n_namespaces, sizeof(*migration->namespaces));
    for (size_t at = 0; at < plan->n_namespaces; at++)
        init_namespace(migration, at);
    for (size_t at = 0; at < plan->n_backends; at++)
        NSM_TRY(set_budget(plan, &migration->stores[at]));
    return NULL;
}

struct nsm_error *nsm_migration_open(struct nsm_plan *plan, struct nsm_context *ctx,
                                     const struct nsm_migration_options *options,
                                     struct nsm_migration **ret)
{
    NSM_CLEANUP(nsm_migration_freep)
    struct nsm_migration *migration = nsm_xcalloc(1, sizeof(*migration));
    migration->plan = plan;
    migration->options = options;
    nsm_board_init(&migration->board, 0);
    NSM_TRY(open_all(migration, ctx));
    *ret = NSM_STEAL(migration);
    return NULL;
}

/* ---- freeing ---- */

void nsm_ns_give_up(struct nsm_ns *ns)
{
    if (ns->destination.state)
        ns->destination_store->adapter->release_destination(&ns->destination);
    ns->destination.state = NULL;
}

void nsm_ns_release(struct nsm_ns *ns)
{
    nsm_arena_release(&ns->finish.arena);
    ns->finish = (struct nsm_finish_plan){0};
    nsm_ns_give_up(ns);
    nsm_census_release(&ns->destination.target);
    ns->destination.target = (struct nsm_census){0};
    if (ns->is_laid_out)
        nsm_layout_release(&ns->stage);
    nsm_columns_release(&ns->columns);
    nsm_source_close(&ns->source);
    nsm_findings_release(&ns->layout_findings);
    ns->layout_findings = (struct nsm_findings){0};
    nsm_ledger_parts_release(&ns->parts);
    ns->parts = (struct nsm_ledger_parts){0};
    free(NSM_STEAL(ns->object_of_part));
    free(NSM_STEAL(ns->definition_path));
    ns->is_surveyed = false;
    ns->is_laid_out = false;
    ns->is_inspected = false;
}

void nsm_ns_forget_differences(struct nsm_ns *ns)
{
    for (size_t at = 0; at < ns->n_differences; at++) {
        nsm_freep(&ns->differences[at].object);
        nsm_freep(&ns->differences[at].key);
    }
    free(NSM_STEAL(ns->differences));
    ns->n_differences = 0;
    ns->cap_differences = 0;
    ns->n_missing = 0;
    ns->n_extra = 0;
    ns->n_different = 0;
    ns->n_definitions = 0;
}

static void free_namespace(struct nsm_ns *ns)
{
    nsm_ns_release(ns);
    nsm_error_free(ns->survey_error);
    nsm_error_free(ns->error);
    nsm_ns_forget_differences(ns);
    pthread_mutex_destroy(&ns->mutex);
}

void nsm_migration_free(struct nsm_migration *migration)
{
    if (!migration)
        return;
    for (size_t at = 0; at < migration->n_namespaces; at++)
        free_namespace(&migration->namespaces[at]);
    free(migration->namespaces);
    for (size_t at = 0; migration->stores && at < migration->plan->n_backends; at++) {
        struct nsm_store *const store = &migration->stores[at];
        if (store->is_open)
            store->adapter->close(store->backend);
        free(store->backend);
        free(store->witness);
    }
    free(migration->stores);
    nsm_checkpoints_free(migration->checkpoints);
    nsm_ledger_free(migration->ledger);
    if (migration->work_dir) {
        nsm_error_ignore(nsm_folder_clear(migration->work_dir)); /* a temporary one */
        (void)rmdir(migration->work_dir);
        free(migration->work_dir);
    }
    free(migration->run_id);
    nsm_board_release(&migration->board);
    free(migration);
}

/* ---- progress ---- */

const char *nsm_status_name(enum nsm_status status)
{
    static const char *const names[] = {
        [NSM_STATUS_SKIPPED] = "skipped",
        [NSM_STATUS_RUNNING] = "running",
        [NSM_STATUS_OK] = "ok",
        [NSM_STATUS_FAILED] = "failed",
        [NSM_STATUS_CANCELLED] = "cancelled",
        [NSM_STATUS_INTERRUPTED] = "interrupted",
    };
    assert((size_t)status < NSM_COUNT_OF(names));
    return names[status];
}

size_t nsm_migration_size(const struct nsm_migration *migration)
{
    return migration->n_namespaces;
}

void nsm_migration_progress(const struct nsm_migration *migration, size_t index,
                            struct nsm_progress *ret)
{
    assert(index < migration->n_namespaces);
    const struct nsm_ns *const ns = &migration->namespaces[index];
    *ret = (struct nsm_progress){
        .name = ns->plan->name,
        .status = atomic_load(&ns->status),
        .step = atomic_load(&ns->step_text),
        .n_records = atomic_load(&ns->n_records),
        .n_bytes = atomic_load(&ns->n_bytes),
        .total_records = atomic_load(&ns->total_records),
        .total_bytes = atomic_load(&ns->total_bytes),
        .started_ns = atomic_load(&ns->started_ns),
        .ended_ns = atomic_load(&ns->ended_ns),
    };
}

/* ---- check ---- */

struct check {
    const struct nsm_store *store;
    struct nsm_check_row *row;
};

static struct nsm_error *check_store(struct nsm_context *ctx, void *arg)
{
    const struct check *const check = arg;
    struct nsm_check_row *const row = check->row;
    const int64_t started_ns = nsm_now_ns();
    struct nsm_error *const error =
        check->store->adapter->check(check->store->backend, ctx, &row->health);
    row->seconds = (double)(nsm_now_ns() - started_ns) / (double)NSM_NS_PER_S;
    if (error && nsm_context_is_canceled(ctx))
        return error;
    row->error = error;
    return NULL;
}

static bool is_bad(const struct nsm_check_row *row)
{
    for (size_t at = 0; at < row->health.findings.n_items; at++)
        if (row->health.findings.items[at].kind == NSM_FINDING_REFUSAL)
            return true;
    return row->error != NULL;
}

struct nsm_error *nsm_migration_check(struct nsm_migration *migration, struct nsm_context *ctx,
                                      struct nsm_check_report *ret)
{
    const size_t n = migration->plan->n_backends;
    *ret = (struct nsm_check_report){.rows = nsm_xcalloc(n, sizeof(*ret->rows)), .n_rows = n};
    NSM_CLEANUP(nsm_freep) struct check *checks = nsm_xcalloc(n, sizeof(*checks));
    NSM_CLEANUP(nsm_group_freep)
    struct nsm_group *group = nsm_group_new(ctx, migration->plan->workers);
    for (size_t at = 0; at < n; at++) {
        const struct nsm_store *const store = &migration->stores[at];
        ret->rows[at].backend = store->plan->name;
        ret->rows[at].adapter = store->adapter->name;
        checks[at] = (struct check){.store = store, .row = &ret->rows[at]};
        nsm_group_go(group, check_store, &checks[at]);
    }
    struct nsm_error *const error = nsm_group_wait(group);
    for (size_t at = 0; at < n; at++)
        ret->n_bad += is_bad(&ret->rows[at]);
    return error;
}

void nsm_check_report_release(struct nsm_check_report *report)
{
    for (size_t at = 0; at < report->n_rows; at++) {
        nsm_findings_release(&report->rows[at].health.findings);
        nsm_arena_release(&report->rows[at].health.arena);
        nsm_error_free(report->rows[at].error);
    }
    free(report->rows);
    *report = (struct nsm_check_report){0};
}
