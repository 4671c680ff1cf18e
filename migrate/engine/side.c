/* See side.h. */
#include "migrate/engine/side.h"

#include "migrate/base/alloc.h"

size_t nsm_prefix_bytes(const struct nsm_ns *ns, bool is_destination)
{
    return is_destination ? ns->destination.target.prefix.len : ns->stage.shape.prefix.len;
}

unsigned nsm_digest_flags(const struct nsm_ns *ns)
{
    return ns->destination.source || ns->is_as_it_was ? NSM_DIGEST_TYPED : 0;
}

struct nsm_compare_object nsm_side_object(const struct nsm_side *side)
{
    return (struct nsm_compare_object){
        .object = &side->ns->destination.target.objects[side->target],
        .index = side->target,
        .skip_key_bytes = nsm_prefix_bytes(side->ns, side->is_destination),
        .digest_flags = nsm_digest_flags(side->ns),
    };
}

static void drop_dead(struct nsm_batch *batch, int64_t dead_ms)
{
    size_t n = 0;
    for (size_t at = 0; at < batch->n_records; at++) {
        const struct nsm_record *const record = &batch->records[at];
        if (record->kind == NSM_KIND_ROW || record->expires_at_ms > dead_ms)
            batch->records[n++] = *record;
    }
    batch->n_records = n;
}

static struct nsm_error *give_batch(struct nsm_context *ctx, const struct nsm_side *side,
                                    struct nsm_batch *in, struct nsm_batch *out)
{
    const struct nsm_ns *const ns = side->ns;
    struct nsm_batch *given = in;
    if (!side->is_destination && !ns->stage.is_identity) {
        nsm_batch_clear(out);
        NSM_TRY(nsm_layout_apply(&ns->stage, side->part->object, in, out));
        given = out;
    }
    if (side->dead_ms > 0)
        drop_dead(given, side->dead_ms);
    return side->take(side->arg, ctx, given);
}

static struct nsm_error *read_all(struct nsm_context *ctx, const struct nsm_side *side,
                                  struct nsm_reader *reader)
{
    const struct nsm_adapter *const adapter = reader->backend->adapter;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch in;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch out;
    nsm_batch_init(&in, side->lane);
    nsm_batch_init(&out, NSM_LANE_RECORD);
    in.wants_digest = side->wants_digest;
    for (bool is_end = false; !is_end;) {
        nsm_batch_clear(&in);
        NSM_TRY_WRAP(adapter->read(reader, ctx, &in, &is_end), "backend %s", reader->backend->name);
        NSM_TRY(give_batch(ctx, side, &in, &out));
        if (nsm_context_is_stopping(ctx))
            return nsm_error_new(NSM_E_CANCELED, "stopped");
    }
    return NULL;
}

struct nsm_error *nsm_side_read(struct nsm_context *ctx, const struct nsm_side *side)
{
    const struct nsm_ns *const ns = side->ns;
    const struct nsm_adapter *const adapter = side->source->backend->adapter;
    struct nsm_object object = side->source->census.objects[side->part->object];
    if (side->is_destination && side->lane == NSM_LANE_PGCOPY) {
        object.format =
            ns->stage.shape.objects[side->target].format; /* rows compare only in one form */
    }
    const struct nsm_read_request request = {
        .flags = side->flags,
        .source = side->source,
        .part = side->part,
        .object = &object,
        .lane = side->lane,
        .batch_records = ns->migration->plan->batch_records,
        .batch_bytes = ns->migration->plan->batch_bytes,
    };
    NSM_CLEANUP(nsm_freep) struct nsm_reader *reader = nsm_xcalloc(1, adapter->reader_size);
    reader->backend = side->source->backend;
    reader->request = &request;
    NSM_TRY_WRAP(adapter->reader_open(reader, ctx), "backend %s", reader->backend->name);
    struct nsm_error *const error = read_all(ctx, side, reader);
    adapter->reader_close(reader);
    return error;
}
