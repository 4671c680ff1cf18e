/*
 * A part on its way into its data file. At a checkpoint first the lines are made durable, then the
 * mark in the journal that says so; what lies behind the last mark is cut off by the next open.
 */
#include "adapters/file/file_internal.h"
#include "adapters/file/file_path.h"
#include "adapters/file/file_target.h"

static void release(struct file_writer *writer)
{
    file_sink_close(&writer->sink);
    file_journal_close(&writer->journal);
    nsm_arena_release(&writer->arena);
}

static struct nsm_error *open_files(struct file_writer *writer)
{
    const struct nsm_write_request *const request = writer->base.request;
    const struct file_target *const target = request->destination->state;
    const struct file_backend *const backend = file_backend_of(writer->base.backend);
    const char *const run_id = file_run_id(&backend->base);
    struct file_mark mark = {0};
    if (request->from) {
        NSM_TRY(file_journal_go_on(&writer->journal, writer->path, run_id, request, &mark));
    } else {
        NSM_TRY(file_journal_begin(&writer->journal, writer->path, run_id, request->part_id));
    }
    NSM_TRY(file_sink_open(&writer->sink, writer->path, backend->is_zstd ? FILE_SINK_ZSTD : 0));
    NSM_TRY(file_sink_cut(&writer->sink, mark.offset));
    writer->sink.checksum = mark.checksum;
    writer->sink.n_lines = mark.n_lines;
    return file_sync_folder(target->folder);
}

struct nsm_error *file_writer_open(struct nsm_writer *base, struct nsm_context *ctx)
{
    struct file_writer *const writer = (struct file_writer *)base;
    const struct nsm_write_request *const request = base->request;
    const struct nsm_destination *const destination = request->destination;
    const struct file_target *const target = destination->state;
    NSM_TRY(nsm_context_error(ctx));
    if (request->lane != NSM_LANE_RECORD)
        return nsm_error_new(NSM_E_UNSUPPORTED, "files have no lane %s",
                             nsm_lane_name(request->lane));
    writer->sink.fd = -1;
    writer->journal.fd = -1;
    const char *const name = file_part_name(
        &writer->arena, target->bases[request->object_index], destination->namespace_name,
        request->part_id,
        file_backend_of(base->backend)->is_zstd ? FILE_ZSTD_SUFFIX : FILE_PLAIN_SUFFIX);
    writer->path = nsm_arena_printf(&writer->arena, "%s/%s", target->folder, name);
    file_shape_init(&writer->shape, &writer->arena, request->object, destination->target.prefix);
    struct nsm_error *const error = open_files(writer);
    if (error)
        release(writer);
    return error;
}

struct nsm_error *file_write(struct nsm_writer *base, struct nsm_context *ctx,
                             const struct nsm_batch *batch)
{
    struct file_writer *const writer = (struct file_writer *)base;
    NSM_TRY(nsm_context_error(ctx));
    for (size_t index = 0; index < batch->n_records; index++) {
        NSM_TRY(file_line_write(&writer->sink.lines, &writer->shape, &batch->records[index]));
        NSM_TRY(file_sink_end_line(&writer->sink));
    }
    return NULL;
}

struct nsm_error *file_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                  const struct nsm_checkpoint *checkpoint)
{
    struct file_writer *const writer = (struct file_writer *)base;
    NSM_TRY(nsm_context_error(ctx));
    NSM_TRY(file_sink_sync(&writer->sink));
    const struct file_mark mark = {
        .n_records = checkpoint->n_records,
        .n_data_bytes = checkpoint->n_bytes,
        .n_vanished = checkpoint->n_vanished,
        .resume = checkpoint->resume,
        .offset = writer->sink.offset,
        .n_lines = writer->sink.n_lines,
        .checksum = writer->sink.checksum,
        .is_done = checkpoint->is_done,
    };
    return file_journal_add(&writer->journal, &mark);
}

void file_writer_close(struct nsm_writer *base)
{
    release((struct file_writer *)base);
}
