/*
 * One namespace from its parts to its end. Each step is idempotent and noted in the ledger before the next begins, so that a run
 * that was killed anywhere goes on here:
 *
 *   surveyed    its parts are fixed: a later run copies these and no others
 *   preparing   from here on what stands at the destination may be ours
 *   prepared    and from here on it is
 *   finished    all rows, keys and indexes are there
 *   done        both sides were compared, and what only the run needed is gone
 */
#include "migrate/engine/definitions.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <unistd.h>

/* ---- parts ---- */

static size_t find_object(const struct nsm_census *census, const char *schema, const char *name,
                          size_t hint)
{
    for (size_t n = 0; n < census->n_objects; n++) {
        const size_t at = (hint + n) % census->n_objects;
        const struct nsm_object *const object = &census->objects[at];
        if (strcmp(object->name, name) == 0 && strcmp(object->schema, schema) == 0)
            return at;
    }
    return SIZE_MAX;
}

/* Which object of today's census each part of the ledger belongs to. */
static struct nsm_error *match_parts(struct nsm_ns *ns)
{
    ns->object_of_part = nsm_xcalloc(ns->parts.n_parts + 1, sizeof(*ns->object_of_part));
    size_t hint = 0;
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        const struct nsm_ledger_part *const part = &ns->parts.parts[at];
        hint = find_object(&ns->source.census, part->object_schema, part->object_name, hint);
        if (hint == SIZE_MAX) {
            return nsm_error_new(
                NSM_E_CONFLICT,
                "%s was at the source when this run began and is gone now: bring it back, or begin "
                "anew with --fresh",
                part->object_name);
        }
        ns->object_of_part[at] = hint;
    }
    return NULL;
}

/* Where the destination keeps checkpoints with the rows, they are the truth, also where they say that there is nothing; until the
 * namespace is finished, when complete() may have removed them. */
static void ask_destination(struct nsm_ns *ns)
{
    if (!(ns->destination_store->adapter->caps & NSM_CAP_TX_CHECKPOINT) ||
        ns->step >= NSM_STEP_FINISHED)
        return;
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        struct nsm_checkpoint *const kept = &ns->parts.parts[at].checkpoint;
        const struct nsm_checkpoint *const said =
            nsm_checkpoints_find(ns->migration, kept->part_id);
        const struct nsm_str part_id = kept->part_id;
        *kept = said ? *said : (struct nsm_checkpoint){0};
        kept->part_id = part_id;
    }
}

/* What is known of the parts of one object. */
struct object_state {
    size_t n_parts, n_done;
    bool is_begun, has_changed;
};

static struct object_state *object_states(const struct nsm_ns *ns)
{
    struct object_state *const states =
        nsm_xcalloc(ns->source.census.n_objects + 1, sizeof(*states));
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        const struct nsm_ledger_part *const part = &ns->parts.parts[at];
        struct object_state *const state = &states[ns->object_of_part[at]];
        const char *const version = ns->source.census.objects[ns->object_of_part[at]].version;
        state->n_parts++;
        state->n_done += part->checkpoint.is_done;
        state->is_begun =
            state->is_begun || part->checkpoint.is_done || part->checkpoint.n_records > 0;
        state->has_changed = strcmp(version, part->object_version) != 0;
    }
    return states;
}

static void forget_progress(struct nsm_ns *ns, size_t object)
{
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        if (ns->object_of_part[at] == object) {
            struct nsm_checkpoint *const kept = &ns->parts.parts[at].checkpoint;
            *kept = (struct nsm_checkpoint){.part_id = kept->part_id};
        }
    }
}

/* A table of which a part was copied before it changed, and a part after, is neither the one nor the other: it is begun anew. One
 * that was copied whole stays as it was, and the operator is told. */
static struct nsm_error *settle_changes(struct nsm_ns *ns, struct nsm_context *ctx)
{
    const struct nsm_adapter *const adapter = ns->destination_store->adapter;
    NSM_CLEANUP(nsm_freep) struct object_state *states = object_states(ns);
    for (size_t object = 0; object < ns->source.census.n_objects; object++) {
        const struct object_state *const state = &states[object];
        const struct nsm_object *const it = &ns->source.census.objects[object];
        if (!state->has_changed || !state->is_begun)
            continue;
        if (state->n_done == state->n_parts) {
            nsm_emit_text(ns, NSM_EVENT_WARNING,
                          "%s has changed since it was copied; what was copied stays",
                          it->name[0] ? it->name : "the source");
            continue;
        }
        nsm_emit_text(ns, NSM_EVENT_WARNING,
                      "%s has changed since its copy began; it is copied anew",
                      it->name[0] ? it->name : "the source");
        if (adapter->reset_object) {
            NSM_TRY_WRAP(adapter->reset_object(&ns->destination, ctx,
                                               nsm_layout_target_object(&ns->stage, object)),
                         "backend %s", ns->destination_store->plan->name);
        }
        NSM_TRY(
            nsm_ledger_reset_object(ns->migration->ledger, ns->plan->name, it->schema, it->name));
        forget_progress(ns, object);
    }
    return NULL;
}

static void count_progress(struct nsm_ns *ns)
{
    uint64_t n_records = 0;
    uint64_t n_bytes = 0;
    uint64_t n_skipped = 0;
    uint64_t n_vanished = 0;
    size_t n_open = 0;
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        const struct nsm_checkpoint *const kept = &ns->parts.parts[at].checkpoint;
        n_records += kept->n_records;
        n_bytes += kept->n_bytes;
        n_skipped += kept->n_skipped;
        n_vanished += kept->n_vanished;
        n_open += !kept->is_done;
    }
    atomic_store(&ns->n_records, n_records);
    atomic_store(&ns->n_bytes, n_bytes);
    atomic_store(&ns->n_skipped, n_skipped);
    atomic_store(&ns->n_vanished, n_vanished);
    atomic_store(&ns->n_copies_open, n_open);
}

static struct nsm_error *settle_parts(struct nsm_ns *ns, struct nsm_context *ctx)
{
    struct nsm_ledger *const ledger = ns->migration->ledger;
    const bool is_begun = ns->step >= NSM_STEP_PREPARED;
    if (!is_begun)
        NSM_TRY(nsm_ledger_set_parts(ledger, ns->plan->name, &ns->source.census));
    NSM_TRY(nsm_ledger_get_parts(ledger, ns->plan->name, &ns->parts));
    NSM_TRY(match_parts(ns));
    if (is_begun) {
        ask_destination(ns);
        NSM_TRY(settle_changes(ns, ctx));
    }
    count_progress(ns);
    return NULL;
}

/* ---- prepare ---- */

/* What is made at a destination is made once. In an archive the definition goes last, and must not be older than rows that
 * a later run brings: the numbers of sequences are in it. */
static bool needs_definition(const struct nsm_ns *ns)
{
    const char *const path = ns->destination.definition;
    const bool is_archived = ns->destination_store->adapter->caps & NSM_CAP_ARCHIVE;
    if (!path || path != ns->definition_path)
        return false;
    return (is_archived && ns->step < NSM_STEP_FINISHED) || access(path, R_OK) != 0;
}

static struct nsm_error *define_and_prepare(struct nsm_context *ctx, void *arg)
{
    struct nsm_ns *const ns = arg;
    const struct nsm_adapter *const source = ns->source_store->adapter;
    if (needs_definition(ns)) {
        NSM_TRY_WRAP(source->define(&ns->source, ctx, ns->destination.definition), "backend %s",
                     ns->source_store->plan->name);
    }
    return nsm_error_wrap(ns->destination_store->adapter->prepare(&ns->destination, ctx),
                          "backend %s", ns->destination_store->plan->name);
}

static struct nsm_error *plan_finish(struct nsm_context *ctx, void *arg)
{
    struct nsm_ns *const ns = arg;
    const struct nsm_adapter *const adapter = ns->destination_store->adapter;
    nsm_arena_release(&ns->finish.arena);
    ns->finish = (struct nsm_finish_plan){0};
    if (!adapter->plan_finish)
        return NULL;
    return nsm_error_wrap(adapter->plan_finish(&ns->destination, ctx, &ns->finish), "backend %s",
                          ns->destination_store->plan->name);
}

static struct nsm_error *prepare_within_budget(struct nsm_ns *ns, struct nsm_context *ctx)
{
    struct nsm_ledger *const ledger = ns->migration->ledger;
    nsm_ns_enter(ns, "prepare");
    if (ns->step < NSM_STEP_PREPARED) {
        nsm_ledger_set_lane(ledger, ns->plan->name, nsm_lane_name(ns->lane));
        nsm_witness_note(ns);
        NSM_TRY(nsm_ledger_set_step(ledger, ns->plan->name, NSM_STEP_PREPARING));
    }
    NSM_TRY_WRAP(nsm_attempt(ns->migration, ns, ctx, define_and_prepare, ns), "prepare");
    if (ns->step < NSM_STEP_PREPARED) {
        NSM_TRY(nsm_ledger_set_step(ledger, ns->plan->name, NSM_STEP_PREPARED));
        ns->step = NSM_STEP_PREPARED;
    }
    return nsm_error_wrap(nsm_attempt(ns->migration, ns, ctx, plan_finish, ns), "plan the finish");
}

static struct nsm_error *prepare(struct nsm_ns *ns, struct nsm_context *ctx)
{
    struct nsm_board *const board = &ns->migration->board;
    struct nsm_budget *const budget = &ns->destination_store->budget;
    NSM_TRY(nsm_board_acquire(board, ctx, NULL, budget));
    struct nsm_error *const error = prepare_within_budget(ns, ctx);
    nsm_board_give_back(board, NULL, budget);
    return error;
}

/* ---- copy and finish: the jobs ---- */

/* A job's index: a part, or behind the parts a finish step. */
struct finish_call {
    struct nsm_ns *ns;
    const struct nsm_finish_step *step;
};

static struct nsm_error *finish_once(struct nsm_context *ctx, void *arg)
{
    const struct finish_call *const call = arg;
    const struct nsm_store *const store = call->ns->destination_store;
    return nsm_error_wrap(store->adapter->finish_step(&call->ns->destination, ctx, call->step),
                          "backend %s", store->plan->name);
}

static struct nsm_error *finish_step(struct nsm_ns *ns, struct nsm_context *ctx,
                                     const struct nsm_finish_step *step)
{
    struct finish_call call = {.ns = ns, .step = step};
    return nsm_error_wrap(nsm_attempt(ns->migration, ns, ctx, finish_once, &call), "finish %s",
                          step->text);
}

static struct nsm_error *copy_part(struct nsm_ns *ns, struct nsm_context *ctx, size_t part)
{
    NSM_TRY(nsm_copy_part(ns, ctx, part));
    if (atomic_fetch_sub(&ns->n_copies_open, 1) == 1) {
        NSM_TRY(nsm_ledger_set_step(ns->migration->ledger, ns->plan->name, NSM_STEP_COPIED));
        nsm_ns_enter(ns, "finish");
    }
    return NULL;
}

/* Runs on whatever worker is free. A failure cancels the siblings from here: the namespace's own thread may be deep in the part of
 * another. */
static struct nsm_error *run_job(struct nsm_context *ctx, void *arg, const struct nsm_job *job)
{
    struct nsm_ns *const ns = arg;
    const size_t n_parts = ns->parts.n_parts;
    struct nsm_error *const error =
        job->index < n_parts ? copy_part(ns, ctx, job->index)
                             : finish_step(ns, ctx, &ns->finish.steps[job->index - n_parts]);
    if (error && !nsm_error_is(error, NSM_E_CANCELED)) {
        nsm_group_fail(ns->group,
                       nsm_error_wrap(nsm_error_clone(error), "namespace %s", ns->plan->name));
    }
    return error;
}

static struct nsm_job *make_jobs(struct nsm_ns *ns, size_t *ret_n)
{
    struct nsm_job *const jobs =
        nsm_xcalloc(ns->parts.n_parts + ns->finish.n_steps + 1, sizeof(*jobs));
    size_t n = 0;
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        const struct nsm_ledger_part *const part = &ns->parts.parts[at];
        if (part->checkpoint.is_done)
            continue;
        jobs[n++] = (struct nsm_job){
            .phase = 0,
            .object = nsm_layout_target_object(&ns->stage, ns->object_of_part[at]),
            .weight = part->n_bytes,
            .index = at,
            .reads_from = &ns->source_store->budget,
            .writes_to = &ns->destination_store->budget,
        };
    }
    for (size_t at = 0; at < ns->finish.n_steps; at++) {
        const struct nsm_finish_step *const step = &ns->finish.steps[at];
        jobs[n++] = (struct nsm_job){
            .phase = 1 + step->phase,
            .object = step->object == NSM_NO_OBJECT ? NSM_JOB_NO_OBJECT : step->object,
            .weight = step->weight,
            .index = ns->parts.n_parts + at,
            .writes_to = &ns->destination_store->budget,
        };
    }
    *ret_n = n;
    return jobs;
}

static struct nsm_error *copy_and_finish(struct nsm_ns *ns, struct nsm_context *ctx)
{
    size_t n_jobs = 0;
    NSM_CLEANUP(nsm_freep) struct nsm_job *jobs = make_jobs(ns, &n_jobs);
    nsm_ns_enter(ns, atomic_load(&ns->n_copies_open) > 0 ? "copy" : "finish");
    /* a context of its own: a failed job must end its siblings here, not what comes after under on_error: continue */
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *jobs_ctx = nsm_context_new(ctx);
    struct nsm_work work = {
        .jobs = jobs,
        .n_jobs = n_jobs,
        .n_objects = ns->destination.target.n_objects,
        .run = run_job,
        .arg = ns,
        .ctx = jobs_ctx,
    };
    return nsm_board_run(&ns->migration->board, &work);
}

/* ---- the end ---- */

static struct nsm_error *complete_once(struct nsm_context *ctx, void *arg)
{
    struct nsm_ns *const ns = arg;
    const struct nsm_store *const store = ns->destination_store;
    return nsm_error_wrap(store->adapter->complete(&ns->destination, ctx), "backend %s",
                          store->plan->name);
}

/* The destination first, the ledger second: a run that is killed between the two finds the namespace finished, trusts the ledger in
 * that, compares both sides once more and completes again. */
static struct nsm_error *complete(struct nsm_ns *ns, struct nsm_context *ctx)
{
    if (ns->destination_store->adapter->complete) {
        struct nsm_budget *const budget = &ns->destination_store->budget;
        NSM_TRY(nsm_board_acquire(&ns->migration->board, ctx, NULL, budget));
        struct nsm_error *const error = nsm_attempt(ns->migration, ns, ctx, complete_once, ns);
        nsm_board_give_back(&ns->migration->board, NULL, budget);
        NSM_TRY_WRAP(error, "clean up");
    }
    NSM_TRY(nsm_ledger_set_step(ns->migration->ledger, ns->plan->name, NSM_STEP_DONE));
    ns->step = NSM_STEP_DONE;
    (void)unlink(ns->definition_path);
    return NULL;
}

static struct nsm_error *verify_definitions(struct nsm_ns *ns, struct nsm_context *ctx)
{
    struct nsm_board *const board = &ns->migration->board;
    struct nsm_budget *const from = &ns->source_store->budget;
    struct nsm_budget *const to = &ns->destination_store->budget;
    if (!nsm_definitions_are_compared(ns))
        return NULL;
    NSM_TRY(nsm_board_acquire(board, ctx, from, to));
    struct nsm_error *const error = nsm_definitions_compare(ns, ctx);
    nsm_board_give_back(board, from, to);
    return error;
}

static struct nsm_error *verify_copy(struct nsm_ns *ns, struct nsm_context *ctx)
{
    if (ns->plan->verify == NSM_VERIFY_NONE)
        return NULL;
    nsm_ns_enter(ns, "verify");
    NSM_TRY_WRAP(verify_definitions(ns, ctx), "verify");
    NSM_TRY_WRAP(nsm_verify_ns(ns, ctx, NSM_VERIFY_AFTER_COPY), "verify");
    const uint64_t n = ns->n_missing + ns->n_extra + ns->n_different;
    if (n == 0)
        return NULL;
    const struct nsm_difference *const first = ns->n_differences ? &ns->differences[0] : NULL;
    return nsm_error_new(
        NSM_E_CORRUPT,
        "verify: %llu %s differ (%llu missing, %llu extra, %llu different)%s%s%s%s; nsmigrate verify "
        "names them; was the source %s meanwhile?",
        (unsigned long long)n,
        ns->n_definitions == n  ? "definitions"
        : ns->n_definitions > 0 ? "records and definitions"
                                : "records",
        (unsigned long long)ns->n_missing, (unsigned long long)ns->n_extra,
        (unsigned long long)ns->n_different, first ? ", first " : "",
        first && first->is_definition ? first->object : "",
        first && first->is_definition ? " " : "", first ? first->key : "",
        ns->n_definitions == n ? "changed" : "written to");
}

static struct nsm_error *copy_anew(struct nsm_ns *ns, struct nsm_context *ctx)
{
    for (size_t object = 0; object < ns->source.census.n_objects; object++) {
        const struct nsm_object *const it = &ns->source.census.objects[object];
        NSM_TRY(
            nsm_ledger_reset_object(ns->migration->ledger, ns->plan->name, it->schema, it->name));
        forget_progress(ns, object);
    }
    count_progress(ns);
    return copy_and_finish(ns, ctx);
}

/* An earlier run has finished it, and the store may have lost rows since: both sides are compared, whatever the plan asks for. What is
 * not as it was is written anew, since writes are idempotent there. */
static struct nsm_error *mend_finished(struct nsm_ns *ns, struct nsm_context *ctx)
{
    if (!ns->destination_store->adapter->witness)
        return NULL;
    nsm_ns_enter(ns, "verify");
    NSM_TRY_WRAP(nsm_verify_ns(ns, ctx, NSM_VERIFY_RECORDS), "verify");
    count_progress(ns);
    const uint64_t n = ns->n_missing + ns->n_extra + ns->n_different;
    if (n == 0)
        return NULL;
    nsm_emit_text(ns, NSM_EVENT_WARNING, "%llu records are not as they were copied: copied anew",
                  (unsigned long long)n);
    nsm_ns_forget_differences(ns);
    return copy_anew(ns, ctx);
}

static struct nsm_error *bring_to_finished(struct nsm_ns *ns, struct nsm_context *ctx)
{
    if (ns->step >= NSM_STEP_FINISHED)
        return mend_finished(ns, ctx);
    NSM_TRY(copy_and_finish(ns, ctx));
    NSM_TRY(nsm_ledger_set_step(ns->migration->ledger, ns->plan->name, NSM_STEP_FINISHED));
    ns->step = NSM_STEP_FINISHED;
    return NULL;
}

static struct nsm_error *run_steps(struct nsm_ns *ns, struct nsm_context *ctx)
{
    NSM_TRY(nsm_ns_refusal(ns));
    NSM_TRY(settle_parts(ns, ctx));
    NSM_TRY(prepare(ns, ctx));
    NSM_TRY(bring_to_finished(ns, ctx));
    NSM_TRY(verify_copy(ns, ctx));
    return complete(ns, ctx);
}

enum nsm_status nsm_status_of(const struct nsm_error *error)
{
    if (!error)
        return NSM_STATUS_OK;
    return nsm_error_is(error, NSM_E_CANCELED) ? NSM_STATUS_CANCELLED : NSM_STATUS_FAILED;
}

static void tell_end(struct nsm_ns *ns, enum nsm_status status, const struct nsm_error *error)
{
    const int64_t now_ns = nsm_now_ns();
    const double seconds = (double)(now_ns - atomic_load(&ns->started_ns)) / (double)NSM_NS_PER_S;
    NSM_CLEANUP(nsm_freep) char *text = error ? nsm_error_text(error) : NULL;
    nsm_ledger_set_status(ns->migration->ledger, ns->plan->name, nsm_status_name(status), text,
                          ns->earlier_seconds + seconds);
    atomic_store(&ns->ended_ns, now_ns);
    atomic_store(&ns->status, status);
    atomic_store(&ns->step_text, "");
    nsm_emit(ns->migration, &(struct nsm_event){
                                .kind = NSM_EVENT_NAMESPACE_ENDED,
                                .namespace_name = ns->plan->name,
                                .text = nsm_status_name(status),
                                .error = text,
                                .n_records = atomic_load(&ns->n_records),
                                .n_bytes = atomic_load(&ns->n_bytes),
                                .seconds = seconds,
                            });
}

/* Who came to rest because a stop was asked for is no failure: it must not cancel siblings that are on the way to their own
 * checkpoints. run.c sees from the statuses that not all is done. */
static bool is_at_rest(const struct nsm_context *ctx, const struct nsm_error *error)
{
    return nsm_error_is(error, NSM_E_CANCELED) && nsm_context_is_stopping(ctx) &&
           !nsm_context_is_canceled(ctx);
}

struct nsm_error *nsm_task_run(struct nsm_context *ctx, void *arg)
{
    struct nsm_ns *const ns = arg;
    if (nsm_context_is_stopping(ctx)) {
        nsm_board_retire(&ns->migration->board);
        return NULL;
    }
    atomic_store(&ns->started_ns, nsm_now_ns());
    atomic_store(&ns->status, NSM_STATUS_RUNNING);
    nsm_emit(ns->migration, &(struct nsm_event){
                                .kind = NSM_EVENT_NAMESPACE_STARTED,
                                .namespace_name = ns->plan->name,
                                .text = nsm_lane_name(ns->lane),
                                .n_records = atomic_load(&ns->total_records),
                                .n_bytes = atomic_load(&ns->total_bytes),
                            });
    struct nsm_error *const error = run_steps(ns, ctx);
    tell_end(ns, nsm_status_of(error), error);
    nsm_board_retire(&ns->migration->board);
    if (!error)
        nsm_ns_release(ns);
    else
        nsm_ns_give_up(ns);
    ns->error = error;
    if (!error || is_at_rest(ctx, error))
        return NULL;
    return nsm_error_wrap(nsm_error_clone(error), "namespace %s", ns->plan->name);
}
