/*
 * Both sides compared. Right after a copy, and in lane pgcopy, first by digests, an object at a time: those of the source are then those
 * of what was copied, so that it is read once. Where they differ, or else at once, both sides are compared by key, and compare.c tells
 * which records differ.
 *
 * What is compared is what the destination's reader gives, in the lane of the copy; keys that were copied as DUMP payloads are compared
 * by their contents, because a payload depends on the server's hash seed and settings: the parts that hold such keys are read again.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/engine/side.h"

#include <stdio.h>

/* How many differing records are named; all are counted. */
#define MAX_NAMED 1000

struct verify {
    struct nsm_ns *ns;
    struct nsm_source written; /* the destination, as a source */
    enum nsm_lane lane;
    bool has_digest;             /* false: only counted */
    struct nsm_compare *outcome; /* NULL: the digests were equal */
    struct nsm_compare *compare; /* the outcome while records are added to it, else NULL */
    size_t n_kept;               /* differences to be found again */
    int64_t dead_ms;             /* see struct nsm_side; when a pass over both sides began */
    struct nsm_digest *of_source, *of_destination; /* by target object, under ns->mutex */
};

/* One part of one side. */
struct side_part {
    struct verify *verify;
    struct nsm_side side;
    struct nsm_digest digest;
};

/* ---- a part of a side ---- */

static void digest_batch(struct side_part *part, const struct nsm_batch *batch)
{
    const struct nsm_side *const side = &part->side;
    if (!part->verify->has_digest) {
        part->digest.n_records += nsm_batch_count(batch);
        return;
    }
    if (batch->lane == NSM_LANE_PGCOPY) {
        nsm_digest_merge(&part->digest, &batch->digest);
        return;
    }
    const size_t skip = nsm_prefix_bytes(side->ns, side->is_destination);
    const unsigned flags = nsm_digest_flags(side->ns);
    for (size_t at = 0; at < batch->n_records; at++)
        nsm_digest_add_record(&part->digest, &batch->records[at], skip, flags);
}

static struct nsm_error *take_batch(void *arg, struct nsm_context *ctx,
                                    const struct nsm_batch *batch)
{
    struct side_part *const part = arg;
    struct nsm_compare *const compare = part->verify->compare;
    (void)ctx;
    if (!compare) {
        digest_batch(part, batch);
        return NULL;
    }
    const struct nsm_compare_object object = nsm_side_object(&part->side);
    nsm_compare_add(compare,
                    part->side.is_destination ? NSM_COMPARE_DESTINATION : NSM_COMPARE_SOURCE, batch,
                    &object);
    return NULL;
}

static struct nsm_error *read_part(struct nsm_context *ctx, void *arg)
{
    struct side_part *const part = arg;
    part->digest = (struct nsm_digest){0};
    return nsm_side_read(ctx, &part->side);
}

/* ---- all parts of one side or both ---- */

/* A job's index: a part of the source, or behind those a part of the destination. */
static struct nsm_error *run_job(struct nsm_context *ctx, void *arg, const struct nsm_job *job)
{
    struct verify *const verify = arg;
    struct nsm_ns *const ns = verify->ns;
    const size_t n_source_parts = ns->source.census.n_parts;
    const bool is_destination = job->index >= n_source_parts;
    struct side_part part = {
        .verify = verify,
        .side =
            {
                .ns = ns,
                .source = is_destination ? &verify->written : &ns->source,
                .is_destination = is_destination,
                .lane = verify->lane,
                .flags = NSM_READ_VERIFY,
                .wants_digest = verify->has_digest,
                .dead_ms = verify->dead_ms,
                .take = take_batch,
                .arg = &part,
            },
    };
    struct nsm_side *const side = &part.side;
    side->part =
        &side->source->census.parts[is_destination ? job->index - n_source_parts : job->index];
    side->target = is_destination ? side->part->object
                                  : nsm_layout_target_object(&ns->stage, side->part->object);
    NSM_TRY(verify->compare ? read_part(ctx, &part)
                            : nsm_attempt(ns->migration, ns, ctx, read_part, &part));
    pthread_mutex_lock(&ns->mutex);
    nsm_digest_merge(is_destination ? &verify->of_destination[side->target]
                                    : &verify->of_source[side->target],
                     &part.digest);
    pthread_mutex_unlock(&ns->mutex);
    return NULL;
}

enum sides {
    SIDES_SOURCE = 1 << 0,
    SIDES_DESTINATION = 1 << 1,
    SIDES_BOTH = SIDES_SOURCE | SIDES_DESTINATION,
    SIDES_UNDIGESTED = 1 << 2, /* of the source, the parts that have no digest of what was copied */
};

/* Whether the digest of what was copied is one of all its records, in the form in which they are found again. Some of a part may have been
 * copied as payloads although it now goes in lane record: a right was taken away since. */
static bool is_digested(const struct nsm_ns *ns, const struct nsm_checkpoint *checkpoint)
{
    const bool may_hold_payloads =
        nsm_adapter_reads(ns->source_store->adapter, NSM_LANE_REDIS_DUMP) &&
        nsm_adapter_writes(ns->destination_store->adapter, NSM_LANE_REDIS_DUMP);
    return !may_hold_payloads || checkpoint->digest.n_records == checkpoint->n_records;
}

static bool is_part_digested(const struct nsm_ns *ns, size_t part)
{
    const struct nsm_ledger_parts *const parts = &ns->parts;
    return parts->n_parts == ns->source.census.n_parts &&
           nsm_str_equals(parts->parts[part].range, ns->source.census.parts[part].range) &&
           is_digested(ns, &parts->parts[part].checkpoint);
}

static size_t drop_digested(const struct nsm_ns *ns, struct nsm_job *jobs, size_t n_jobs)
{
    size_t n = 0;
    for (size_t at = 0; at < n_jobs; at++) {
        if (!is_part_digested(ns, jobs[at].index))
            jobs[n++] = jobs[at];
    }
    return n;
}

static void add_jobs(struct nsm_job *jobs, size_t *n, const struct nsm_census *census,
                     struct nsm_budget *budget, size_t first_index)
{
    for (size_t at = 0; at < census->n_parts; at++) {
        jobs[(*n)++] = (struct nsm_job){
            .object = NSM_JOB_NO_OBJECT,
            .weight = census->parts[at].n_bytes,
            .index = first_index + at,
            .reads_from = budget,
        };
    }
}

static struct nsm_error *read_sides(struct verify *verify, struct nsm_context *ctx,
                                    enum sides sides)
{
    struct nsm_ns *const ns = verify->ns;
    const struct nsm_census *const source = &ns->source.census;
    const struct nsm_census *const written = &verify->written.census;
    NSM_CLEANUP(nsm_freep)
    struct nsm_job *jobs = nsm_xcalloc(source->n_parts + written->n_parts + 1, sizeof(*jobs));
    size_t n = 0;
    if (sides & (SIDES_SOURCE | SIDES_UNDIGESTED))
        add_jobs(jobs, &n, source, &ns->source_store->budget, 0);
    if (sides & SIDES_UNDIGESTED)
        n = drop_digested(ns, jobs, n);
    if (sides & SIDES_DESTINATION)
        add_jobs(jobs, &n, written, &ns->destination_store->budget, source->n_parts);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *jobs_ctx = nsm_context_new(ctx);
    struct nsm_work work = {
        .jobs = jobs, .n_jobs = n, .run = run_job, .arg = verify, .ctx = jobs_ctx};
    return nsm_board_run(&ns->migration->board, &work);
}

/* ---- by key ---- */

static const char *object_name(const struct nsm_ns *ns, size_t target)
{
    return ns->destination.target.objects[target].name;
}

void nsm_ns_add_difference(struct nsm_ns *ns, const struct nsm_difference *difference)
{
    NSM_GROW(ns->differences, ns->n_differences, ns->cap_differences);
    struct nsm_difference *const added = &ns->differences[ns->n_differences++];
    *added = *difference;
    added->object = nsm_xstrdup(difference->object);
    added->key = nsm_xstrdup(difference->key);
}

/* Below a prefix that rows became keys of, and that several namespaces may share, others' keys are no surprise. */
static bool may_share_prefix(const struct nsm_ns *ns)
{
    return ns->stage.layout != NSM_LAYOUT_DEFAULT && ns->destination.target.n_objects > 0 &&
           ns->destination.target.objects[0].model == NSM_MODEL_KEYS;
}

static enum nsm_compare_mode compare_mode(const struct nsm_ns *ns)
{
    switch (ns->plan->if_exists) {
    case NSM_IF_EXISTS_MERGE:
        return NSM_COMPARE_MERGE;
    case NSM_IF_EXISTS_SKIP:
        return NSM_COMPARE_SKIP;
    case NSM_IF_EXISTS_FAIL:
    case NSM_IF_EXISTS_REPLACE:
        break;
    }
    return may_share_prefix(ns) ? NSM_COMPARE_MERGE : NSM_COMPARE_EXACT;
}

/* A key whose time has come is gone from a store that takes it away, and stands where none does. The same keys count on both
 * sides. */
static int64_t dead_now(const struct nsm_ns *ns)
{
    const unsigned caps = ns->source_store->adapter->caps | ns->destination_store->adapter->caps;
    return caps & NSM_CAP_EXPIRES ? nsm_wall_ms() : 0;
}

/* In the first pass the source goes first where others' records are told from ours by it. A record that was added can't be taken
 * back, so a lost connection costs the pass. */
static struct nsm_error *make_pass(struct nsm_context *ctx, void *arg)
{
    struct verify *const verify = arg;
    nsm_compare_begin_anew(verify->compare);
    verify->dead_ms = dead_now(verify->ns);
    if (compare_mode(verify->ns) == NSM_COMPARE_EXACT)
        return read_sides(verify, ctx, SIDES_BOTH);
    NSM_TRY(read_sides(verify, ctx, SIDES_SOURCE));
    return read_sides(verify, ctx, SIDES_DESTINATION);
}

static struct nsm_error *run_passes(struct verify *verify, struct nsm_context *ctx)
{
    struct nsm_ns *const ns = verify->ns;
    verify->lane = NSM_LANE_RECORD;
    do {
        NSM_TRY(nsm_attempt(ns->migration, ns, ctx, make_pass, verify));
    } while (nsm_compare_end_pass(verify->compare));
    return NULL;
}

static struct nsm_error *compare_by_key(struct verify *verify, struct nsm_context *ctx,
                                        unsigned flags)
{
    struct nsm_ns *const ns = verify->ns;
    verify->outcome = nsm_compare_new(compare_mode(ns), MAX_NAMED);
    if (verify->n_kept > MAX_NAMED)
        nsm_compare_keep(verify->outcome, verify->n_kept);
    verify->compare = verify->outcome;
    struct nsm_error *const error = run_passes(verify, ctx);
    verify->compare = NULL;
    NSM_TRY(error);
    const struct nsm_compare_result *const result = nsm_compare_result(verify->outcome);
    if (!(flags & NSM_VERIFY_AFTER_COPY))
        atomic_store(&ns->n_records, result->n_records[NSM_COMPARE_DESTINATION]);
    return NULL;
}

void nsm_verify_tell(struct nsm_ns *ns, const struct nsm_compare_result *result)
{
    ns->n_missing += result->n_missing;
    ns->n_extra += result->n_extra;
    ns->n_different += result->n_different;
    for (size_t at = 0; at < result->n_differences; at++) {
        const struct nsm_compare_difference *const found = &result->differences[at];
        if (found->key)
            nsm_ns_add_difference(ns, &(struct nsm_difference){
                                          .mark = found->mark,
                                          .object = object_name(ns, found->object_index),
                                          .key = found->key,
                                      });
    }
}

/* ---- all of it ---- */

static void expect_what_was_copied(struct verify *verify)
{
    const struct nsm_ns *const ns = verify->ns;
    for (size_t at = 0; at < ns->parts.n_parts; at++) {
        if (!is_digested(ns, &ns->parts.parts[at].checkpoint))
            continue;
        const size_t target = nsm_layout_target_object(&ns->stage, ns->object_of_part[at]);
        nsm_digest_merge(&verify->of_source[target], &ns->parts.parts[at].checkpoint.digest);
    }
}

static bool is_equal(const struct verify *verify)
{
    for (size_t at = 0; at < verify->ns->destination.target.n_objects; at++) {
        const struct nsm_digest *const source = &verify->of_source[at];
        const struct nsm_digest *const destination = &verify->of_destination[at];
        if (source->n_records != destination->n_records ||
            (verify->has_digest && !nsm_digest_equals(source, destination)))
            return false;
    }
    return true;
}

/* Sums of all can't agree where the destination may hold more than ours. Where they can, and records are read that tell their keys,
 * the sums by key are made at once: nothing is read twice to find what differs. */
static bool is_by_key(const struct verify *verify, unsigned flags)
{
    if (verify->ns->plan->if_exists == NSM_IF_EXISTS_MERGE ||
        verify->ns->plan->if_exists == NSM_IF_EXISTS_SKIP)
        return true;
    return !(flags & NSM_VERIFY_AFTER_COPY) && verify->has_digest &&
           verify->lane == NSM_LANE_RECORD;
}

static struct nsm_error *compare_sides(struct verify *verify, struct nsm_context *ctx,
                                       unsigned flags)
{
    struct nsm_ns *const ns = verify->ns;
    if (is_by_key(verify, flags))
        return compare_by_key(verify, ctx, flags);
    enum sides sides = SIDES_BOTH;
    verify->dead_ms = dead_now(ns);
    if (flags & NSM_VERIFY_AFTER_COPY) {
        expect_what_was_copied(verify);
        sides = SIDES_DESTINATION;
        if (ns->lane == NSM_LANE_REDIS_DUMP)
            sides |= SIDES_UNDIGESTED;
    }
    NSM_TRY(read_sides(verify, ctx, sides));
    uint64_t n_records = 0;
    for (size_t at = 0; at < ns->destination.target.n_objects; at++)
        n_records += verify->of_destination[at].n_records;
    if (!(flags & NSM_VERIFY_AFTER_COPY))
        atomic_store(&ns->n_records, n_records);
    return is_equal(verify) ? NULL : compare_by_key(verify, ctx, flags);
}

struct survey_call {
    struct verify *verify;
    unsigned flags;
};

static struct nsm_error *survey_once(struct nsm_context *ctx, void *arg)
{
    const struct survey_call *const call = arg;
    nsm_source_close(&call->verify->written); /* what an attempt before left */
    return nsm_survey_written(call->verify->ns, ctx, call->flags, &call->verify->written);
}

struct nsm_error *nsm_compare_ns(struct nsm_ns *ns, struct nsm_context *ctx, unsigned flags,
                                 size_t n_kept, struct nsm_compare **ret)
{
    struct verify verify = {
        .ns = ns,
        .lane = ns->lane == NSM_LANE_REDIS_DUMP ? NSM_LANE_RECORD : ns->lane,
        .has_digest = ns->plan->verify != NSM_VERIFY_COUNT || (flags & NSM_VERIFY_RECORDS),
        .n_kept = n_kept,
    };
    const size_t n_objects = ns->destination.target.n_objects;
    NSM_CLEANUP(nsm_freep)
    struct nsm_digest *of_source = nsm_xcalloc(n_objects + 1, sizeof(*of_source));
    NSM_CLEANUP(nsm_freep)
    struct nsm_digest *of_destination = nsm_xcalloc(n_objects + 1, sizeof(*of_destination));
    verify.of_source = of_source;
    verify.of_destination = of_destination;
    struct survey_call call = {
        .verify = &verify,
        .flags = flags & NSM_VERIFY_AFTER_COPY ? NSM_SURVEY_SAME_KEYS : 0,
    };
    struct nsm_error *error = nsm_attempt(ns->migration, ns, ctx, survey_once, &call);
    if (!error)
        error = compare_sides(&verify, ctx, flags);
    nsm_source_close(&verify.written);
    NSM_CLEANUP(nsm_compare_freep) struct nsm_compare *outcome = verify.outcome;
    NSM_TRY(error);
    *ret = NSM_STEAL(outcome);
    return NULL;
}

struct nsm_error *nsm_verify_ns(struct nsm_ns *ns, struct nsm_context *ctx, unsigned flags)
{
    NSM_CLEANUP(nsm_compare_freep) struct nsm_compare *outcome = NULL;
    NSM_TRY(nsm_compare_ns(ns, ctx, flags, 0, &outcome));
    if (outcome)
        nsm_verify_tell(ns, nsm_compare_result(outcome));
    return NULL;
}
