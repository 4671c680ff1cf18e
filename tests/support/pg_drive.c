/*
 * The core in small: each step fails as the adapter does, and the test decides what that means.
 */
#include "tests/support/pg_drive.h"

#include <sys/stat.h>

#include "migrate/base/alloc.h"

static const struct nsm_adapter *const adapter = &nsm_adapter_postgres;

static struct nsm_settings *make_settings(const struct nsm_option *table, const char *const *pairs)
{
    struct nsm_settings *const settings = nsm_settings_new(table);
    struct nsm_error *error = NULL;
    for (; pairs && *pairs && !error; pairs++) {
        const char *const equals = strchr(*pairs, '=');
        char *key NSM_CLEANUP(nsm_freep) =
            nsm_xstrndup((struct nsm_str){*pairs, (size_t)(equals - *pairs)});
        error = nsm_settings_set(settings, key, nsm_str_of(equals + 1));
    }
    if (!error)
        error = nsm_settings_finish(settings);
    if (error) {
        char *text NSM_CLEANUP(nsm_freep) = nsm_error_text(error);
        (void)fprintf(stderr, "settings: %s\n", text);
        abort();
    }
    return settings;
}

static void open_backend(struct nsm_pg_backend *backend, const char *name,
                         struct nsm_settings *settings, const char *work_dir)
{
    backend->base = (struct nsm_backend){
        .adapter = adapter,
        .name = name,
        .settings = settings,
        .work_dir = work_dir,
        .run_id = "testrun",
    };
    struct nsm_error *const error = adapter->open(&backend->base);
    if (error) {
        char *text NSM_CLEANUP(nsm_freep) = nsm_error_text(error);
        (void)fprintf(stderr, "open: %s\n", text);
        abort();
    }
}

void pg_drive_init(struct pg_drive *drive, const char *from_url, const char *const *selection,
                   const char *to_url, const char *const *target)
{
    *drive = (struct pg_drive){.lane = NSM_LANE_PGCOPY, .has_definition = true};
    char template[] = "/tmp/nsm-drive-XXXXXX";
    drive->work_dir = nsm_xstrdup(mkdtemp(template));
    drive->definition = nsm_xasprintf("%s/definition", template);
    drive->ctx = nsm_context_new(NULL);
    char *from NSM_CLEANUP(nsm_freep) = nsm_xasprintf("url=%s", from_url);
    char *to NSM_CLEANUP(nsm_freep) = nsm_xasprintf("url=%s", to_url);
    drive->from_url = make_settings(adapter->backend_options, (const char *const[]){from, NULL});
    drive->to_url = make_settings(adapter->backend_options, (const char *const[]){to, NULL});
    drive->selection = make_settings(adapter->source_options, selection);
    drive->target_selection = make_settings(adapter->destination_options, target);
    open_backend(&drive->from, "from", drive->from_url, drive->work_dir);
    open_backend(&drive->to, "to", drive->to_url, drive->work_dir);
    drive->source = (struct nsm_source){
        .backend = &drive->from.base,
        .namespace_name = "ns",
        .selection = drive->selection,
    };
    drive->destination = (struct nsm_destination){
        .backend = &drive->to.base,
        .namespace_name = "ns",
        .selection = drive->target_selection,
        .source_adapter = "postgres",
    };
}

static void release_destination(struct pg_drive *drive)
{
    adapter->release_destination(&drive->destination);
    nsm_census_release(&drive->destination.target);
    nsm_arena_release(&drive->plan.arena);
    drive->plan = (struct nsm_finish_plan){0};
}

static void release_source(struct nsm_source *source)
{
    adapter->release_source(source);
    nsm_census_release(&source->census);
}

void pg_drive_release(struct pg_drive *drive)
{
    release_destination(drive);
    release_source(&drive->source);
    adapter->close(&drive->from.base);
    adapter->close(&drive->to.base);
    nsm_settings_free(drive->from_url);
    nsm_settings_free(drive->to_url);
    nsm_settings_free(drive->selection);
    nsm_settings_free(drive->target_selection);
    nsm_context_free(drive->ctx);
    char *command NSM_CLEANUP(nsm_freep) = nsm_xasprintf("rm -rf %s", drive->work_dir);
    /* One thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (system(command) != 0)
        (void)fprintf(stderr, "%s failed\n", command);
    free(drive->work_dir);
    free(drive->definition);
}

struct nsm_error *pg_drive_survey(struct pg_drive *drive)
{
    struct nsm_source *source = &drive->source;
    struct nsm_destination *destination = &drive->destination;
    release_destination(drive);
    release_source(source);
    NSM_TRY(adapter->survey(source->backend, drive->ctx, &source, 1));
    if (drive->has_definition) {
        NSM_TRY(adapter->define(source, drive->ctx, drive->definition));
        destination->definition = drive->definition;
    }
    destination->shape = &source->census;
    destination->source = source;
    return adapter->inspect(destination->backend, drive->ctx, &destination, 1);
}

struct nsm_error *pg_drive_prepare(struct pg_drive *drive)
{
    NSM_TRY(adapter->prepare(&drive->destination, drive->ctx));
    return adapter->plan_finish(&drive->destination, drive->ctx, &drive->plan);
}

static struct nsm_error *read_batches(struct pg_drive *drive, struct nsm_reader *reader,
                                      struct nsm_writer *writer, struct nsm_batch *batch,
                                      struct nsm_digest *digest)
{
    bool is_end = false;
    while (!is_end) {
        nsm_batch_clear(batch);
        NSM_TRY(adapter->read(reader, drive->ctx, batch, &is_end));
        for (size_t i = 0; i < batch->n_records; i++)
            nsm_digest_add_hash(digest, nsm_record_hash(&batch->records[i], 0, NSM_DIGEST_TYPED));
        nsm_digest_merge(digest, &batch->digest);
        if (writer)
            NSM_TRY(adapter->write(writer, drive->ctx, batch));
    }
    return NULL;
}

struct nsm_error *pg_drive_read(struct pg_drive *drive, const struct nsm_source *source,
                                const struct nsm_part *part, struct nsm_writer *writer,
                                struct nsm_digest *digest)
{
    const struct nsm_read_request request = {
        .source = source,
        .part = part,
        .object = &source->census.objects[part->object],
        .lane = drive->lane,
        .batch_records = 1000,
        .batch_bytes = 1 << 20,
    };
    struct nsm_reader *const reader = nsm_xcalloc(1, adapter->reader_size);
    reader->backend = source->backend;
    reader->request = &request;
    struct nsm_error *error = adapter->reader_open(reader, drive->ctx);
    if (!error) {
        struct nsm_batch batch;
        nsm_batch_init(&batch, drive->lane);
        batch.wants_digest = true;
        error = read_batches(drive, reader, writer, &batch, digest);
        nsm_batch_release(&batch);
        adapter->reader_close(reader);
    }
    free(reader);
    return error;
}

static struct nsm_error *copy_to(struct pg_drive *drive, const struct nsm_part *part,
                                 struct nsm_writer *writer)
{
    struct nsm_digest digest = {0};
    NSM_TRY(pg_drive_read(drive, &drive->source, part, writer, &digest));
    const struct nsm_checkpoint checkpoint = {
        .part_id = writer->request->part_id,
        .is_done = true,
        .n_records = digest.n_records,
        .n_skipped = writer->n_skipped,
        .digest = digest,
    };
    NSM_TRY(adapter->checkpoint(writer, drive->ctx, &checkpoint));
    drive->n_records += digest.n_records;
    drive->n_skipped += writer->n_skipped;
    nsm_digest_merge(&drive->digest, &digest);
    return NULL;
}

struct nsm_error *pg_drive_copy_part(struct pg_drive *drive, size_t index)
{
    const struct nsm_part *const part = &drive->source.census.parts[index];
    char part_id[64];
    (void)snprintf(part_id, sizeof(part_id), "ns/%zu", index);
    const struct nsm_write_request request = {
        .destination = &drive->destination,
        .object = &drive->destination.target.objects[part->object],
        .object_index = part->object,
        .part_id = nsm_str_of(part_id),
        .lane = drive->lane,
    };
    struct nsm_writer *const writer = nsm_xcalloc(1, adapter->writer_size);
    writer->backend = drive->destination.backend;
    writer->request = &request;
    struct nsm_error *error = adapter->writer_open(writer, drive->ctx);
    if (!error) {
        error = copy_to(drive, part, writer);
        adapter->writer_close(writer);
    }
    free(writer);
    return error;
}

struct nsm_error *pg_drive_copy(struct pg_drive *drive)
{
    for (size_t i = 0; i < drive->source.census.n_parts; i++)
        NSM_TRY_WRAP(pg_drive_copy_part(drive, i), "part %zu", i);
    return NULL;
}

struct nsm_error *pg_drive_finish(struct pg_drive *drive)
{
    for (unsigned phase = 0; phase < 10; phase++) {
        for (size_t i = 0; i < drive->plan.n_steps; i++) {
            if (drive->plan.steps[i].phase == phase)
                NSM_TRY_WRAP(
                    adapter->finish_step(&drive->destination, drive->ctx, &drive->plan.steps[i]),
                    "%s", drive->plan.steps[i].text);
        }
    }
    return NULL;
}

static struct nsm_error *read_written(struct pg_drive *drive, struct nsm_source *written,
                                      struct nsm_digest *digest)
{
    struct nsm_source *source = written;
    NSM_TRY(adapter->survey(written->backend, drive->ctx, &source, 1));
    for (size_t i = 0; i < written->census.n_parts; i++)
        NSM_TRY(pg_drive_read(drive, written, &written->census.parts[i], NULL, digest));
    return NULL;
}

struct nsm_error *pg_drive_verify(struct pg_drive *drive, bool *ret_equal)
{
    struct nsm_source written = {
        .backend = drive->destination.backend,
        .namespace_name = "ns",
        .written = &drive->destination,
    };
    struct nsm_digest digest = {0};
    struct nsm_error *const error = read_written(drive, &written, &digest);
    release_source(&written);
    if (!error)
        *ret_equal = nsm_digest_equals(&digest, &drive->digest);
    return error;
}

struct nsm_error *pg_drive_run(struct pg_drive *drive)
{
    bool is_equal = false;
    NSM_TRY_WRAP(pg_drive_survey(drive), "survey");
    NSM_TRY_WRAP(pg_drive_prepare(drive), "prepare");
    NSM_TRY_WRAP(pg_drive_copy(drive), "copy");
    NSM_TRY_WRAP(pg_drive_finish(drive), "finish");
    NSM_TRY_WRAP(pg_drive_verify(drive, &is_equal), "verify");
    if (!is_equal)
        return nsm_error_new(NSM_E_CORRUPT, "the digests differ");
    return adapter->complete(&drive->destination, drive->ctx);
}

size_t pg_drive_count(const struct nsm_findings *findings, enum nsm_finding_kind kind,
                      const char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < findings->n_items; i++)
        n += findings->items[i].kind == kind &&
             (!text || strstr(findings->items[i].text, text) != NULL);
    return n;
}
