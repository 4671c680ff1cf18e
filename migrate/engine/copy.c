/*
 * One part, from where the last checkpoint left it to its end: reader -> batch -> layout -> digest -> writer -> checkpoint.
 *
 * One thread per part and two batches in memory, whatever the data: adapters overlap reading and writing by keeping their next
 * request on the wire and by collecting acknowledgements late.
 */
#include "migrate/engine/internal.h"
#include "migrate/engine/retry.h"
#include "migrate/engine/side.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

/* A checkpoint costs the destination a commit, and a lost one costs a repetition: a second's worth of work is a fair price for
 * either, and it bounds how long a stop waits. */
#define CHECKPOINT_INTERVAL_NS NSM_NS_PER_S
#define CHECKPOINT_BYTES       (UINT64_C(256) << 20)
/* How long a part that can't be taken up in its middle may go on after a stop, to reach its end. */
#define STOP_GRACE_NS (NSM_NS_PER_S * 3 / 2)

/* A key that expires sooner may be gone before it is verified. */
#define EXPIRES_SOON_MS (INT64_C(24) * 3600 * 1000)

struct copy {
    struct nsm_ns *ns;
    struct nsm_ledger_part *part;
    const struct nsm_part *source_part; /* as the reader takes it */
    size_t object;                      /* of the source's census */
    struct nsm_batch in, out;           /* out: what the layout made of in */
    struct nsm_checkpoint now;          /* of all that was written, with the tokens below */
    struct nsm_buf resume;              /* bytes of now.resume */
    uint64_t bytes_since;               /* since the last checkpoint */
    int64_t checkpoint_ns;              /* when that was */
    int64_t stopping_ns;                /* when the stop was seen; 0: none */
    bool has_progress;                  /* a checkpoint was made since the last attempt began */
};

struct endpoints {
    const struct nsm_adapter *source, *destination;
    struct nsm_reader *reader;
    struct nsm_writer *writer;
    struct nsm_read_request read_request;
    struct nsm_write_request write_request;
};

static bool wants_digest(const struct nsm_ns *ns)
{
    return ns->plan->verify == NSM_VERIFY_DIGEST;
}

/* What is read of a copy is its contents, so a payload of DUMP that can't be told and a slice that is cut as they are have no digest to
 * be found there. Nor has a key that may expire before. The digest then has fewer records than the part, whose source is read again by
 * verify. */
static bool is_found_again(const struct nsm_ns *ns, const struct nsm_record *record,
                           int64_t expires_after_ms)
{
    if (ns->lane != NSM_LANE_REDIS_DUMP)
        return true;
    return record->kind != NSM_KIND_DUMP &&
           !(record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED)) &&
           (record->expires_at_ms == NSM_NO_EXPIRY || record->expires_at_ms > expires_after_ms);
}

/* ---- a batch on its way ---- */

static void digest_records(struct copy *copy, const struct nsm_batch *batch)
{
    const struct nsm_ns *const ns = copy->ns;
    if (!wants_digest(ns)) {
        copy->now.digest.n_records += nsm_batch_count(batch);
        return;
    }
    if (batch->lane == NSM_LANE_PGCOPY) {
        nsm_digest_merge(&copy->now.digest, &batch->digest);
        return;
    }
    const size_t skip = nsm_prefix_bytes(ns, false);
    const unsigned flags = nsm_digest_flags(ns);
    const int64_t expires_after_ms = nsm_wall_ms() + EXPIRES_SOON_MS;
    for (size_t at = 0; at < batch->n_records; at++) {
        const struct nsm_record *const record =
            batch->records[at].contents ? batch->records[at].contents : &batch->records[at];
        if (is_found_again(ns, record, expires_after_ms))
            nsm_digest_add_record(&copy->now.digest, record, skip, flags);
    }
}

static struct nsm_error *write_batch(struct copy *copy, struct nsm_context *ctx,
                                     struct endpoints *ends)
{
    struct nsm_ns *const ns = copy->ns;
    const struct nsm_batch *batch = &copy->in;
    if (!ns->stage.is_identity) {
        nsm_batch_clear(&copy->out);
        NSM_TRY(nsm_layout_apply(&ns->stage, copy->object, &copy->in, &copy->out));
        batch = &copy->out;
    }
    digest_records(copy, batch);
    const uint64_t n_skipped_before = ends->writer->n_skipped;
    NSM_TRY_WRAP(ends->destination->write(ends->writer, ctx, batch), "backend %s",
                 ns->destination_store->plan->name);
    const uint64_t n_records = nsm_batch_count(batch);
    copy->now.n_records += n_records;
    copy->now.n_bytes += batch->n_bytes;
    copy->now.n_vanished += copy->in.n_vanished;
    copy->now.n_skipped += ends->writer->n_skipped - n_skipped_before;
    copy->bytes_since += batch->n_bytes;
    atomic_fetch_add(&ns->n_records, n_records);
    atomic_fetch_add(&ns->n_bytes, batch->n_bytes);
    return NULL;
}

/* ---- checkpoints ---- */

static struct nsm_error *make_checkpoint(struct copy *copy, struct nsm_context *ctx,
                                         struct endpoints *ends, bool is_end)
{
    copy->now.is_done = is_end;
    nsm_buf_clear(&copy->resume);
    nsm_buf_append_str(&copy->resume, is_end ? NSM_STR_LIT("") : copy->in.resume);
    NSM_TRY(nsm_buf_error(&copy->resume));
    copy->now.resume = nsm_buf_view(&copy->resume);
    const uint64_t n_skipped_before = ends->writer->n_skipped;
    NSM_TRY_WRAP(ends->destination->checkpoint(ends->writer, ctx, &copy->now), "backend %s",
                 copy->ns->destination_store->plan->name);
    copy->now.n_skipped += ends->writer->n_skipped - n_skipped_before;
    struct nsm_arena *const arena = &copy->ns->parts.arena;
    struct nsm_checkpoint *const kept = &copy->part->checkpoint;
    pthread_mutex_lock(&copy->ns->mutex);
    atomic_fetch_add(&copy->ns->n_skipped, copy->now.n_skipped - kept->n_skipped);
    atomic_fetch_add(&copy->ns->n_vanished, copy->now.n_vanished - kept->n_vanished);
    *kept = copy->now;
    kept->resume = nsm_arena_copy(arena, copy->now.resume);
    pthread_mutex_unlock(&copy->ns->mutex);
    nsm_ledger_put_checkpoint(copy->ns->migration->ledger, kept);
    copy->bytes_since = 0;
    copy->checkpoint_ns = nsm_now_ns();
    copy->has_progress = true;
    return NULL;
}

static bool is_checkpoint_due(const struct copy *copy)
{
    return copy->bytes_since >= CHECKPOINT_BYTES ||
           nsm_now_ns() - copy->checkpoint_ns >= CHECKPOINT_INTERVAL_NS;
}

/* Between two batches: a checkpoint when it is time for one, and the end of the way when a stop was asked for. */
static struct nsm_error *pause_here(struct copy *copy, struct nsm_context *ctx,
                                    struct endpoints *ends)
{
    const bool can_resume = copy->in.resume.len > 0;
    const bool is_stopping = nsm_context_is_stopping(ctx);
    if (can_resume && (is_stopping || is_checkpoint_due(copy)))
        NSM_TRY(make_checkpoint(copy, ctx, ends, false));
    if (!is_stopping)
        return NULL;
    if (copy->stopping_ns == 0)
        copy->stopping_ns = nsm_now_ns();
    if (can_resume || nsm_now_ns() - copy->stopping_ns >= STOP_GRACE_NS)
        return nsm_error_new(NSM_E_CANCELED, "stopped");
    return NULL;
}

/* ---- one attempt ---- */

static struct nsm_error *stream(struct copy *copy, struct nsm_context *ctx, struct endpoints *ends)
{
    for (bool is_end = false; !is_end;) {
        nsm_batch_clear(&copy->in);
        NSM_TRY_WRAP(ends->source->read(ends->reader, ctx, &copy->in, &is_end), "backend %s",
                     copy->ns->source_store->plan->name);
        if (copy->in.n_records > 0 || copy->in.n_raw_records > 0)
            NSM_TRY(write_batch(copy, ctx, ends));
        else
            copy->now.n_vanished += copy->in.n_vanished;
        if (!is_end)
            NSM_TRY(pause_here(copy, ctx, ends));
    }
    return make_checkpoint(copy, ctx, ends, true);
}

static void take_back_progress(struct copy *copy)
{
    const struct nsm_checkpoint *const kept = &copy->part->checkpoint;
    atomic_fetch_sub(&copy->ns->n_records, copy->now.n_records - kept->n_records);
    atomic_fetch_sub(&copy->ns->n_bytes, copy->now.n_bytes - kept->n_bytes);
    copy->now = *kept;
}

static struct nsm_error *open_writer(struct copy *copy, struct nsm_context *ctx,
                                     struct endpoints *ends)
{
    struct nsm_ns *const ns = copy->ns;
    const size_t target = nsm_layout_target_object(&ns->stage, copy->object);
    const struct nsm_checkpoint *const kept = &copy->part->checkpoint;
    ends->write_request = (struct nsm_write_request){
        .destination = &ns->destination,
        .object = &ns->destination.target.objects[target],
        .object_index = target,
        .part_id = kept->part_id,
        .lane = ns->lane,
        .from = kept->n_records > 0 || kept->resume.len > 0 ? kept : NULL,
    };
    ends->writer->backend = ns->destination_store->backend;
    ends->writer->request = &ends->write_request;
    return nsm_error_wrap(ends->destination->writer_open(ends->writer, ctx), "backend %s",
                          ns->destination_store->plan->name);
}

static struct nsm_error *open_reader(struct copy *copy, struct nsm_context *ctx,
                                     struct endpoints *ends)
{
    const struct nsm_ns *const ns = copy->ns;
    ends->read_request = (struct nsm_read_request){
        .source = &ns->source,
        .part = copy->source_part,
        .object = &ns->source.census.objects[copy->object],
        .lane = ns->lane,
        .resume = copy->part->checkpoint.resume,
        .batch_records = ns->migration->plan->batch_records,
        .batch_bytes = ns->migration->plan->batch_bytes,
    };
    ends->reader->backend = ns->source_store->backend;
    ends->reader->request = &ends->read_request;
    return nsm_error_wrap(ends->source->reader_open(ends->reader, ctx), "backend %s",
                          ns->source_store->plan->name);
}

static struct nsm_error *attempt(struct copy *copy, struct nsm_context *ctx)
{
    const struct nsm_ns *const ns = copy->ns;
    struct endpoints ends = {.source = ns->source_store->adapter,
                             .destination = ns->destination_store->adapter};
    NSM_CLEANUP(nsm_freep) struct nsm_reader *reader = nsm_xcalloc(1, ends.source->reader_size);
    NSM_CLEANUP(nsm_freep)
    struct nsm_writer *writer = nsm_xcalloc(1, ends.destination->writer_size);
    ends.reader = reader;
    ends.writer = writer;
    copy->now = copy->part->checkpoint;
    copy->has_progress = false;
    copy->bytes_since = 0;
    copy->checkpoint_ns = nsm_now_ns();
    NSM_TRY(open_reader(copy, ctx, &ends));
    struct nsm_error *error = open_writer(copy, ctx, &ends);
    if (!error) {
        error = stream(copy, ctx, &ends);
        ends.destination->writer_close(writer);
    }
    ends.source->reader_close(reader);
    if (error)
        take_back_progress(copy);
    return error;
}

/* ---- all attempts ---- */

/* After a lost answer only the destination knows whether the last checkpoint was taken; its word wins. */
static struct nsm_error *settle_with_destination(struct copy *copy, struct nsm_context *ctx)
{
    struct nsm_ns *const ns = copy->ns;
    if (!(ns->destination_store->adapter->caps & NSM_CAP_TX_CHECKPOINT))
        return NULL;
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    struct nsm_checkpoint said;
    bool is_found = false;
    NSM_TRY(nsm_checkpoint_ask(ns, ctx, copy->part->checkpoint.part_id, &arena, &said, &is_found));
    if (!is_found || said.n_records + said.n_vanished <= copy->part->checkpoint.n_records)
        return NULL;
    pthread_mutex_lock(&ns->mutex);
    struct nsm_checkpoint *const kept = &copy->part->checkpoint;
    const struct nsm_str part_id = kept->part_id;
    atomic_fetch_add(&ns->n_records, said.n_records - kept->n_records);
    atomic_fetch_add(&ns->n_bytes, said.n_bytes - kept->n_bytes);
    *kept = said;
    kept->part_id = part_id;
    kept->resume = nsm_arena_copy(&ns->parts.arena, said.resume);
    pthread_mutex_unlock(&ns->mutex);
    nsm_ledger_put_checkpoint(ns->migration->ledger, kept);
    return NULL;
}

static struct nsm_error *pause_and_settle(struct copy *copy, struct nsm_context *ctx,
                                          struct nsm_retry *retry, struct nsm_error *error)
{
    int64_t pause_ns = 0;
    NSM_CLEANUP(nsm_freep) char *text = NULL;
    NSM_TRY(nsm_retry_decide(retry, error, &pause_ns, &text));
    nsm_emit_text(copy->ns, NSM_EVENT_RETRY, "%s; attempt %u of %u in %.1f s", text,
                  retry->n_attempts + 1, retry->max_attempts,
                  (double)pause_ns / (double)NSM_NS_PER_S);
    NSM_TRY(nsm_sleep(ctx, pause_ns));
    struct nsm_error *const unsettled = settle_with_destination(copy, ctx);
    if (unsettled && nsm_code_is_retryable(nsm_error_code(unsettled)))
        return pause_and_settle(copy, ctx, retry, unsettled);
    return unsettled;
}

static struct nsm_error *copy_with_retries(struct copy *copy, struct nsm_context *ctx)
{
    struct nsm_retry retry = nsm_retry_of(copy->ns->migration->plan);
    while (!copy->part->checkpoint.is_done) {
        struct nsm_error *const error = attempt(copy, ctx);
        if (copy->has_progress)
            nsm_retry_progress(&retry);
        if (!error)
            break;
        if (nsm_context_is_canceled(ctx) && !nsm_error_is(error, NSM_E_CANCELED) &&
            nsm_code_is_retryable(nsm_error_code(error))) {
            /* what a cancelled statement or a closed socket says is the cancellation's doing */
            nsm_error_ignore(error);
            return nsm_context_error(ctx);
        }
        NSM_TRY(pause_and_settle(copy, ctx, &retry, error));
    }
    return NULL;
}

struct nsm_error *nsm_copy_part(struct nsm_ns *ns, struct nsm_context *ctx, size_t index)
{
    struct nsm_ledger_part *const part = &ns->parts.parts[index];
    const struct nsm_part source_part = {
        .object = ns->object_of_part[index],
        .range = part->range,
        .n_records = part->n_records,
        .n_bytes = part->n_bytes,
    };
    struct copy copy = {
        .ns = ns,
        .part = part,
        .source_part = &source_part,
        .object = source_part.object,
        .resume = NSM_BUF_INIT((size_t)1 << 20),
    };
    nsm_batch_init(&copy.in, ns->lane);
    nsm_batch_init(&copy.out, NSM_LANE_RECORD);
    copy.in.wants_digest = wants_digest(ns);
    const int64_t started_ns = nsm_now_ns();
    struct nsm_error *const error = copy_with_retries(&copy, ctx);
    nsm_batch_release(&copy.in);
    nsm_batch_release(&copy.out);
    nsm_buf_release(&copy.resume);
    if (error)
        return nsm_error_wrap(error, "copy part %zu/%zu", index + 1, ns->parts.n_parts);
    NSM_CLEANUP(nsm_freep)
    char *text = nsm_xasprintf("%s%s%zu/%zu", part->object_name,
                               part->object_name[0] ? " " : "part ", index + 1, ns->parts.n_parts);
    nsm_emit(ns->migration,
             &(struct nsm_event){
                 .kind = NSM_EVENT_PART_DONE,
                 .namespace_name = ns->plan->name,
                 .text = text,
                 .n_records = part->checkpoint.n_records,
                 .n_bytes = part->checkpoint.n_bytes,
                 .seconds = (double)(nsm_now_ns() - started_ns) / (double)NSM_NS_PER_S,
             });
    return NULL;
}
