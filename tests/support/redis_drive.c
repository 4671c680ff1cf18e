/* The core's part of a copy, without threads, ledger and retries. */
#include "tests/support/redis_drive.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "adapters/redis/redis.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/engine/record/settings.h"

static const struct nsm_adapter *const adapter = &nsm_adapter_redis;

static struct nsm_settings *make_settings(const struct nsm_option *table, const char *const *pairs)
{
    struct nsm_settings *const settings = nsm_settings_new(table);
    for (; pairs && pairs[0]; pairs += 2)
        assert_null(nsm_settings_set(settings, pairs[0], nsm_str_of(pairs[1])));
    assert_null(nsm_settings_finish(settings));
    return settings;
}

struct nsm_error *drive_try_open(const char *work_dir, const char *const *pairs,
                                 struct nsm_backend **ret)
{
    struct nsm_backend *const backend = nsm_xcalloc(1, adapter->backend_size);
    struct nsm_settings *const settings = make_settings(adapter->backend_options, pairs);
    backend->adapter = adapter;
    backend->name = "store";
    backend->settings = settings;
    backend->work_dir = work_dir;
    backend->run_id = "run-1";
    struct nsm_error *const error = adapter->open(backend);
    if (error) {
        nsm_settings_free(settings);
        free(backend);
        return error;
    }
    *ret = backend;
    return NULL;
}

struct nsm_backend *drive_open(const char *work_dir, const char *const *pairs)
{
    struct nsm_backend *backend = NULL;
    struct nsm_error *const error = drive_try_open(work_dir, pairs, &backend);
    if (error)
        fail_msg("%s", nsm_error_text(error));
    return backend;
}

void drive_close(struct nsm_backend *backend)
{
    if (!backend)
        return;
    /* The settings are const to the adapter only. */
    const void *const constant = backend->settings;
    struct nsm_settings *const settings = (struct nsm_settings *)(uintptr_t)constant;
    adapter->close(backend);
    nsm_settings_free(settings);
    free(backend);
}

/* ---- one part ---- */

struct copy {
    struct drive *drive;
    struct nsm_context *ctx;
    const struct nsm_source *source;
    const struct nsm_destination *destination;
};

static void count(struct drive *drive, const struct nsm_batch *batch, size_t prefix_len)
{
    drive->n_records += nsm_batch_count(batch);
    drive->n_bytes += batch->n_bytes;
    drive->n_vanished += batch->n_vanished;
    drive->n_batches++;
    if (batch->n_bytes > drive->max_batch_bytes)
        drive->max_batch_bytes = batch->n_bytes;
    for (size_t index = 0; index < batch->n_records; index++) {
        const struct nsm_record *const record = &batch->records[index];
        drive->n_slices += (record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED)) != 0;
        nsm_digest_add_hash(&drive->digest, nsm_record_hash(record, prefix_len, NSM_DIGEST_TYPED));
    }
}

static struct nsm_reader *new_reader(const struct copy *copy,
                                     const struct nsm_read_request *request)
{
    struct nsm_reader *const reader = nsm_xcalloc(1, adapter->reader_size);
    reader->backend = copy->source->backend;
    reader->request = request;
    return reader;
}

static void close_reader(struct nsm_reader **at)
{
    if (*at)
        adapter->reader_close(*at);
    free(*at);
    *at = NULL;
}

static void close_writer(struct nsm_writer **at)
{
    if (*at)
        adapter->writer_close(*at);
    free(*at);
    *at = NULL;
}

static struct nsm_error *open_reader(const struct copy *copy,
                                     const struct nsm_read_request *request,
                                     struct nsm_reader **ret)
{
    struct nsm_reader *const reader = new_reader(copy, request);
    struct nsm_error *const error = adapter->reader_open(reader, copy->ctx);
    if (error)
        free(reader);
    else
        *ret = reader;
    return error;
}

static struct nsm_error *open_writer(const struct copy *copy,
                                     const struct nsm_write_request *request,
                                     struct nsm_writer **ret)
{
    struct nsm_writer *const writer = nsm_xcalloc(1, adapter->writer_size);
    writer->backend = copy->destination->backend;
    writer->request = request;
    struct nsm_error *const error = adapter->writer_open(writer, copy->ctx);
    if (error)
        free(writer);
    else
        *ret = writer;
    return error;
}

static void send_signal(const struct drive *drive)
{
    if (drive->n_batches == drive->signal_after_batches)
        assert_int_equal(kill(drive->signal_pid, drive->signal), 0);
}

/* Reads a part to its end into `writer` (NULL: reads only). */
static struct nsm_error *pump(const struct copy *copy, struct nsm_read_request *request,
                              struct nsm_writer *writer)
{
    struct drive *const drive = copy->drive;
    struct nsm_batch batch NSM_CLEANUP(nsm_batch_release);
    nsm_batch_init(&batch, request->lane);
    char token[64];
    struct nsm_reader *reader NSM_CLEANUP(close_reader) = NULL;
    NSM_TRY(open_reader(copy, request, &reader));
    bool is_end = false;
    for (size_t n = 1; !is_end; n++) {
        nsm_batch_clear(&batch);
        NSM_TRY(adapter->read(reader, copy->ctx, &batch, &is_end));
        count(drive, &batch, copy->source->census.prefix.len);
        if (writer)
            NSM_TRY(adapter->write(writer, copy->ctx, &batch));
        send_signal(drive);
        if (drive->on_batch)
            drive->on_batch(drive->on_batch_arg, drive->n_batches);
        if (n == drive->stop_after_batches && batch.resume.len && !is_end) {
            close_reader(&reader);
            snprintf(token, sizeof(token), "%.*s", NSM_STR_ARG(batch.resume));
            request->resume = nsm_str_of(token);
            NSM_TRY(open_reader(copy, request, &reader));
        }
    }
    return NULL;
}

static struct nsm_read_request read_request(const struct copy *copy, size_t part,
                                            enum nsm_lane lane, unsigned flags)
{
    const struct nsm_census *const census = &copy->source->census;
    const struct drive *const drive = copy->drive;
    return (struct nsm_read_request){
        .flags = flags,
        .source = copy->source,
        .part = &census->parts[part],
        .object = &census->objects[census->parts[part].object],
        .lane = lane,
        .batch_records = drive->batch_records ? drive->batch_records : 100,
        .batch_bytes = drive->batch_bytes ? drive->batch_bytes : (size_t)4 << 20,
    };
}

static struct nsm_error *copy_part(const struct copy *copy, size_t part)
{
    struct nsm_read_request reading = read_request(copy, part, copy->drive->lane, 0);
    char part_id[32];
    snprintf(part_id, sizeof(part_id), "test/%zu", part);
    const size_t object = copy->source->census.parts[part].object;
    const struct nsm_write_request writing = {
        .destination = copy->destination,
        .object = &copy->destination->target.objects[object],
        .object_index = object,
        .part_id = nsm_str_of(part_id),
        .lane = copy->drive->lane,
    };
    struct nsm_writer *writer NSM_CLEANUP(close_writer) = NULL;
    NSM_TRY(open_writer(copy, &writing, &writer));
    NSM_TRY(pump(copy, &reading, writer));
    const struct nsm_checkpoint checkpoint = {.part_id = writing.part_id, .is_done = true};
    NSM_TRY(adapter->checkpoint(writer, copy->ctx, &checkpoint));
    copy->drive->n_skipped += writer->n_skipped;
    return NULL;
}

/* ---- a namespace ---- */

static void note_findings(struct drive *drive, const struct nsm_findings *findings)
{
    for (size_t index = 0; index < findings->n_items; index++) {
        const struct nsm_finding *const finding = &findings->items[index];
        if (finding->kind == NSM_FINDING_CONFLICT)
            drive->n_conflicts += finding->count;
        else if (finding->kind == NSM_FINDING_REFUSAL)
            drive->n_refusals += finding->count;
        else
            continue;
        snprintf(drive->finding, sizeof(drive->finding), "%s", finding->text);
    }
}

struct namespace
{
    struct nsm_settings *selection, *destination_selection;
    struct nsm_source source;
    struct nsm_destination destination;
};

static void namespace_release(struct namespace *ns)
{
    if (ns->destination.backend) {
        struct nsm_context *ctx NSM_CLEANUP(nsm_context_freep) = nsm_context_new(NULL);
        nsm_context_set_deadline(ctx, nsm_now_ns() + 100 * NSM_NS_PER_MS);
        nsm_error_ignore(adapter->complete(&ns->destination, ctx));
    }
    if (ns->source.state)
        adapter->release_source(&ns->source);
    nsm_census_release(&ns->source.census);
    adapter->release_destination(&ns->destination);
    nsm_census_release(&ns->destination.target);
    nsm_settings_free(ns->selection);
    nsm_settings_free(ns->destination_selection);
}

static struct nsm_error *look(struct drive *drive, struct nsm_context *ctx, struct namespace *ns)
{
    ns->selection = make_settings(adapter->source_options, drive->selection);
    ns->destination_selection = make_settings(adapter->destination_options, drive->destination);
    ns->source = (struct nsm_source){
        .backend = drive->from,
        .namespace_name = drive->name ? drive->name : "test",
        .selection = ns->selection,
        .flags = drive->survey_flags,
        .part_bytes = drive->part_bytes,
    };
    NSM_TRY(adapter->survey(drive->from, ctx, &(struct nsm_source *){&ns->source}, 1));
    ns->destination = (struct nsm_destination){
        .backend = drive->to,
        .namespace_name = ns->source.namespace_name,
        .selection = ns->destination_selection,
        .if_exists = drive->if_exists,
        .shape = &ns->source.census,
        .source_adapter = "redis",
        .is_ours = drive->is_ours,
        .source = &ns->source,
    };
    NSM_TRY(adapter->inspect(drive->to, ctx, &(struct nsm_destination *){&ns->destination}, 1));
    note_findings(drive, &ns->source.census.findings);
    note_findings(drive, &ns->destination.target.findings);
    return NULL;
}

struct nsm_error *drive_run(struct drive *drive, struct nsm_context *ctx)
{
    struct namespace ns NSM_CLEANUP(namespace_release) = {0};
    NSM_TRY(look(drive, ctx, &ns));
    if (drive->n_refusals)
        return NULL;
    NSM_TRY(adapter->prepare(&ns.destination, ctx));
    const struct copy copy = {
        .drive = drive,
        .ctx = ctx,
        .source = &ns.source,
        .destination = &ns.destination,
    };
    drive->n_parts = ns.source.census.n_parts;
    for (size_t part = 0; part < drive->n_parts; part++)
        NSM_TRY(copy_part(&copy, part));
    return NULL;
}

/* The digest of all that a surveyed source has. */
static struct nsm_error *digest_of(struct drive *drive, struct nsm_context *ctx,
                                   const struct nsm_source *source, struct nsm_digest *ret)
{
    struct drive own = *drive;
    own.digest = (struct nsm_digest){0};
    own.stop_after_batches = 0;
    const struct copy copy = {.drive = &own, .ctx = ctx, .source = source};
    for (size_t part = 0; part < source->census.n_parts; part++) {
        struct nsm_read_request request =
            read_request(&copy, part, NSM_LANE_RECORD, NSM_READ_VERIFY);
        NSM_TRY(pump(&copy, &request, NULL));
    }
    *ret = own.digest;
    return NULL;
}

static void release_written(struct nsm_source *source)
{
    if (source->state)
        adapter->release_source(source);
    nsm_census_release(&source->census);
}

struct nsm_error *drive_verify(struct drive *drive, struct nsm_context *ctx, unsigned flags,
                               struct nsm_digest *ret_source, struct nsm_digest *ret_destination)
{
    struct namespace ns NSM_CLEANUP(namespace_release) = {0};
    NSM_TRY(look(drive, ctx, &ns));
    struct nsm_source written NSM_CLEANUP(release_written) = {
        .backend = drive->to,
        .namespace_name = ns.source.namespace_name,
        .written = &ns.destination,
        .flags = flags,
        .part_bytes = drive->part_bytes,
    };
    NSM_TRY(adapter->survey(drive->to, ctx, &(struct nsm_source *){&written}, 1));
    NSM_TRY(digest_of(drive, ctx, &ns.source, ret_source));
    return digest_of(drive, ctx, &written, ret_destination);
}
