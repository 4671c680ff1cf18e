/*
 * The adapter is driven as the core drives it: instances of its sizes, zeroed, one request each.
 */
#include "tests/support/file_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct nsm_adapter *const adapter = &nsm_adapter_file;

/* ---- errors ---- */

void rig_assert_ok(struct nsm_error *error)
{
    if (!error)
        return;
    char *const text = nsm_error_text(error);
    nsm_error_free(error);
    fail_msg("%s", text);
}

void rig_assert_error(struct nsm_error *error, enum nsm_code code, const char *expected)
{
    assert_non_null(error);
    char *const text = nsm_error_text(error);
    if (!nsm_error_is(error, code) || !strstr(text, expected)) {
        fail_msg("expected %s: \"%s\", found %s: \"%s\"", nsm_code_name(code), expected,
                 nsm_code_name(nsm_error_code(error)), text);
    }
    free(text);
    nsm_error_free(error);
}

/* ---- the backend and its folder ---- */

void rig_open_backend(struct rig *rig, const char *compress, const char *run_id)
{
    rig->settings = nsm_settings_new(adapter->backend_options);
    rig_assert_ok(nsm_settings_set(rig->settings, "path", nsm_str_of(rig->path)));
    rig_assert_ok(nsm_settings_set(rig->settings, "compress", nsm_str_of(compress)));
    rig_assert_ok(nsm_settings_finish(rig->settings));
    rig->backend = nsm_xcalloc(1, adapter->backend_size);
    *rig->backend = (struct nsm_backend){
        .adapter = adapter, .name = "dump", .settings = rig->settings, .run_id = run_id};
    rig_assert_ok(adapter->open(rig->backend));
}

void rig_begin(struct rig *rig, const char *compress)
{
    char path[] = "/tmp/nsm-file-XXXXXX";
    *rig = (struct rig){0};
    assert_non_null(mkdtemp(path));
    rig->path = nsm_xstrdup(path);
    rig->ctx = nsm_context_new(NULL);
    rig->side = nsm_settings_new(adapter->destination_options);
    rig_assert_ok(nsm_settings_finish(rig->side));
    rig_open_backend(rig, compress, "run-1");
}

void rig_remove_tree(const char *path)
{
    DIR *const dir = opendir(path);
    if (!dir)
        return;
    for (;;) {
        /* one stream, one thread */
        const struct dirent *const entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe) */
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *const child = nsm_xasprintf("%s/%s", path, entry->d_name);
        if (unlink(child) != 0)
            rig_remove_tree(child); /* NOLINT(misc-no-recursion) */
        free(child);
    }
    (void)closedir(dir);
    (void)rmdir(path);
}

void rig_close_backend(struct rig *rig)
{
    adapter->close(rig->backend);
    free(rig->backend);
    nsm_settings_free(rig->settings);
}

void rig_close_destination(struct rig *rig)
{
    if (rig->destination.state)
        adapter->release_destination(&rig->destination);
    nsm_census_release(&rig->destination.target);
    rig->destination = (struct nsm_destination){0};
}

void rig_end(struct rig *rig)
{
    rig_close_destination(rig);
    nsm_census_release(&rig->shape);
    rig_close_backend(rig);
    nsm_settings_free(rig->side);
    nsm_context_free(rig->ctx);
    rig_remove_tree(rig->path);
    free(rig->path);
}

char *rig_path_of(const struct rig *rig, const char *name)
{
    return nsm_xasprintf("%s/%s", rig->path, name);
}

size_t rig_load(const char *path, char *bytes, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    const ssize_t len = read(fd, bytes, size);
    (void)close(fd);
    assert_true(len >= 0 && (size_t)len < size);
    return (size_t)len;
}

void rig_save(const char *path, const char *bytes, size_t len)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    (void)close(fd);
}

bool rig_exists(const struct rig *rig, const char *name)
{
    char *const path = rig_path_of(rig, name);
    const bool is_there = access(path, F_OK) == 0;
    free(path);
    return is_there;
}

/* ---- shapes and records ---- */

void rig_shape_table(struct rig *rig, const char *name)
{
    static struct nsm_column columns[] = {
        {.name = "id", .type = NSM_INT, .type_name = "bigint", .is_not_null = true},
        {.name = "na\"me", .type = NSM_TEXT, .type_name = "text"},
        {.name = "at", .type = NSM_TIME, .type_name = "timestamptz"},
        {.name = "data", .type = NSM_BYTES, .type_name = "bytea"},
    };
    static size_t key_columns[] = {0};
    struct nsm_object *const object = nsm_census_add_object(&rig->shape);
    object->name = name;
    object->schema = "public";
    object->columns = columns;
    object->n_columns = NSM_COUNT_OF(columns);
    object->key_columns = key_columns;
    object->n_key_columns = 1;
}

void rig_shape_keys(struct rig *rig, struct nsm_str prefix)
{
    nsm_census_add_object(&rig->shape)->model = NSM_MODEL_KEYS;
    rig->shape.prefix = prefix;
}

void rig_add_row(struct nsm_batch *batch, uint64_t id)
{
    static const char bytes[] = "\0\xff\x80 bytes";
    struct nsm_record *const row = nsm_batch_add(batch, NSM_KIND_ROW, 4);
    const char *const number = nsm_arena_printf(&batch->arena, "%" PRIu64, id);
    const char *const text = nsm_arena_printf(&batch->arena, "row \"%" PRIu64 "\"\n", id);
    row->items[0] = (struct nsm_value){NSM_INT, nsm_str_of(number)};
    row->items[1] = (struct nsm_value){NSM_TEXT, nsm_str_of(text)};
    if (id % 3 != 0)
        row->items[2] = (struct nsm_value){NSM_TIME, NSM_STR_LIT("2026-01-31 12:00:00.5+00")};
    row->items[3] = (struct nsm_value){NSM_BYTES, {.ptr = bytes, .len = id % (sizeof(bytes) - 1)}};
    nsm_batch_account(batch);
}

/* Adds a copy of `model`, whose items are borrowed. */
static void add_key(struct nsm_batch *batch, const struct nsm_record *model)
{
    struct nsm_record *const record = nsm_batch_add(batch, model->kind, model->n_items);
    record->key = nsm_batch_copy(batch, model->key);
    record->flags = model->flags;
    record->expires_at_ms = model->expires_at_ms;
    for (size_t index = 0; index < model->n_items; index++)
        record->items[index] = model->items[index];
    nsm_batch_account(batch);
}

void rig_add_keys(struct nsm_batch *batch)
{
    struct nsm_value plain = {NSM_BYTES, NSM_STR_LIT("plain")};
    struct nsm_value odd = {NSM_BYTES, NSM_STR_LIT("\0\xff")};
    struct nsm_value empty = {NSM_BYTES, NSM_STR_LIT("")};
    const struct nsm_value one = {NSM_INT, NSM_STR_LIT("1")};
    const struct nsm_value score = {NSM_FLOAT, NSM_STR_LIT("-inf")};
    const struct nsm_value id = {NSM_BYTES, NSM_STR_LIT("5-1")};
    struct nsm_value pairs[] = {plain, odd, odd, empty};
    struct nsm_value scores[] = {plain, score, odd, {NSM_FLOAT, NSM_STR_LIT("1.5")}};
    struct nsm_value stream[] = {id, one, id, id, one, plain, odd};
    const unsigned more = NSM_RECORD_MORE;
    const unsigned continued = NSM_RECORD_CONTINUED;
    const struct nsm_record models[] = {
        {NSM_KIND_STRING, 0, NSM_STR_LIT("p:string"), NSM_NO_EXPIRY, &odd, 1, NULL},
        {NSM_KIND_STRING, 0, NSM_STR_LIT("p:\0\xfe{\"$"), -5, &empty, 1, NULL},
        {NSM_KIND_HASH, 0, NSM_STR_LIT("p:hash"), 4102444800123, pairs, 4, NULL},
        {NSM_KIND_LIST, more, NSM_STR_LIT("p:list"), 7, pairs, 4, NULL},
        {NSM_KIND_LIST, more | continued, NSM_STR_LIT("p:list"), 7, pairs, 2, NULL},
        {NSM_KIND_LIST, continued, NSM_STR_LIT("p:list"), 7, pairs, 1, NULL},
        {NSM_KIND_SET, 0, NSM_STR_LIT("p:set"), NSM_NO_EXPIRY, pairs, 3, NULL},
        {NSM_KIND_ZSET, 0, NSM_STR_LIT("p:zset"), NSM_NO_EXPIRY, scores, 4, NULL},
        {NSM_KIND_STREAM, more, NSM_STR_LIT("p:stream"), NSM_NO_EXPIRY, stream, 7, NULL},
        {NSM_KIND_STREAM, continued, NSM_STR_LIT("p:stream"), NSM_NO_EXPIRY, stream + 3, 4, NULL},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(models); index++)
        add_key(batch, &models[index]);
}

/* ---- writing ---- */

void rig_inspect(struct rig *rig, const char *name, enum nsm_if_exists if_exists, bool is_ours)
{
    rig_close_destination(rig);
    rig->destination = (struct nsm_destination){
        .backend = rig->backend,
        .namespace_name = name,
        .selection = rig->side,
        .if_exists = if_exists,
        .shape = &rig->shape,
        .source_adapter = "memory",
        .is_ours = is_ours,
    };
    struct nsm_destination *destinations[] = {&rig->destination};
    rig_assert_ok(adapter->inspect(rig->backend, rig->ctx, destinations, 1));
}

size_t rig_count_findings(const struct rig *rig, enum nsm_finding_kind kind)
{
    const struct nsm_findings *const findings = &rig->destination.target.findings;
    size_t count = 0;
    for (size_t index = 0; index < findings->n_items; index++)
        count += findings->items[index].kind == kind;
    return count;
}

struct nsm_error *rig_try_open_writer(struct rig *rig, size_t object, const char *part_id,
                                      const struct nsm_checkpoint *from,
                                      struct rig_writing *writing)
{
    *writing = (struct rig_writing){
        .request = {.destination = &rig->destination,
                    .object = &rig->destination.target.objects[object],
                    .object_index = object,
                    .part_id = nsm_str_of(part_id),
                    .from = from},
        .now = from ? *from : (struct nsm_checkpoint){.part_id = nsm_str_of(part_id)},
        .writer = nsm_xcalloc(1, adapter->writer_size),
    };
    writing->writer->backend = rig->backend;
    writing->writer->request = &writing->request;
    struct nsm_error *const error = adapter->writer_open(writing->writer, rig->ctx);
    if (error)
        free(writing->writer);
    return error;
}

void rig_open_writer(struct rig *rig, size_t object, const char *part_id,
                     const struct nsm_checkpoint *from, struct rig_writing *writing)
{
    rig_assert_ok(rig_try_open_writer(rig, object, part_id, from, writing));
}

void rig_close_writer(struct rig_writing *writing)
{
    adapter->writer_close(writing->writer);
    free(writing->writer);
}

void rig_write_batch(struct rig *rig, struct rig_writing *writing, const struct nsm_batch *batch)
{
    rig_assert_ok(adapter->write(writing->writer, rig->ctx, batch));
    writing->now.n_records += nsm_batch_count(batch);
    writing->now.n_bytes += batch->n_bytes;
}

void rig_write_rows(struct rig *rig, struct rig_writing *writing, uint64_t first, uint64_t behind)
{
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (uint64_t id = first; id < behind; id++)
        rig_add_row(&batch, id);
    rig_write_batch(rig, writing, &batch);
    nsm_batch_release(&batch);
}

void rig_checkpoint(struct rig *rig, struct rig_writing *writing, const char *resume, bool is_done)
{
    writing->now.resume = nsm_str_of(resume);
    writing->now.is_done = is_done;
    rig_assert_ok(adapter->checkpoint(writing->writer, rig->ctx, &writing->now));
}

void rig_finish(struct rig *rig)
{
    struct nsm_finish_plan plan = {0};
    rig_assert_ok(adapter->plan_finish(&rig->destination, rig->ctx, &plan));
    assert_int_equal(plan.n_steps, 1);
    rig_assert_ok(adapter->finish_step(&rig->destination, rig->ctx, &plan.steps[0]));
    nsm_arena_release(&plan.arena);
}

void rig_export_rows(struct rig *rig, const char *name, uint64_t n_rows)
{
    char *const part_id = nsm_xasprintf("%s/0", name);
    rig_assert_ok(adapter->prepare(&rig->destination, rig->ctx));
    struct rig_writing writing;
    rig_open_writer(rig, 0, part_id, NULL, &writing);
    rig_write_rows(rig, &writing, 0, n_rows / 2);
    rig_checkpoint(rig, &writing, "half", false);
    rig_write_rows(rig, &writing, n_rows / 2, n_rows);
    rig_checkpoint(rig, &writing, "", true);
    rig_close_writer(&writing);
    rig_finish(rig);
    rig_assert_ok(adapter->complete(&rig->destination, rig->ctx));
    free(part_id);
}

/* ---- reading ---- */

struct nsm_error *rig_survey(struct rig *rig, const char *name, struct rig_reading *reading)
{
    *reading = (struct rig_reading){
        .source = {.backend = rig->backend, .namespace_name = name, .selection = rig->side},
        .batch_bytes = 1 << 20,
    };
    nsm_batch_init(&reading->batch, NSM_LANE_RECORD);
    struct nsm_source *sources[] = {&reading->source};
    return adapter->survey(rig->backend, rig->ctx, sources, 1);
}

void rig_end_reading(struct rig_reading *reading)
{
    adapter->release_source(&reading->source);
    nsm_census_release(&reading->source.census);
    nsm_batch_release(&reading->batch);
}

static void take_records(struct rig_reading *reading)
{
    for (size_t index = 0; index < reading->batch.n_records; index++) {
        struct nsm_hash hash = nsm_record_hash(&reading->batch.records[index], 0, NSM_DIGEST_TYPED);
        nsm_digest_add_hash(&reading->digest, hash);
        hash.low *= 2 * reading->ordered.n_records + 1;
        nsm_digest_add_hash(&reading->ordered, hash);
    }
}

/* Reads until the end, or with `reopens` to the next place where another reader can go on. */
static struct nsm_error *read_some(struct rig *rig, struct rig_reading *reading,
                                   const struct nsm_read_request *request, bool reopens,
                                   bool *ret_is_end)
{
    struct nsm_reader *reader NSM_CLEANUP(nsm_freep) = nsm_xcalloc(1, adapter->reader_size);
    reader->backend = rig->backend;
    reader->request = request;
    NSM_TRY(adapter->reader_open(reader, rig->ctx));
    struct nsm_error *error = NULL;
    bool is_end = false;
    do {
        nsm_batch_clear(&reading->batch);
        error = adapter->read(reader, rig->ctx, &reading->batch, &is_end);
        if (!error)
            take_records(reading);
    } while (!error && !is_end && !(reopens && reading->batch.resume.len > 0));
    adapter->reader_close(reader);
    *ret_is_end = is_end;
    return error;
}

struct nsm_error *rig_read_part(struct rig *rig, struct rig_reading *reading, size_t part,
                                size_t n_batch, bool reopens)
{
    const struct nsm_part *const from = &reading->source.census.parts[part];
    char resume[256] = "";
    struct nsm_read_request request = {
        .source = &reading->source,
        .part = from,
        .object = &reading->source.census.objects[from->object],
        .resume = {.ptr = resume},
        .batch_records = n_batch,
        .batch_bytes = reading->batch_bytes,
    };
    for (bool is_end = false; !is_end;) {
        NSM_TRY(read_some(rig, reading, &request, reopens, &is_end));
        request.resume.len = reading->batch.resume.len;
        assert_true(request.resume.len < sizeof(resume));
        if (request.resume.len > 0)
            memcpy(resume, reading->batch.resume.ptr, request.resume.len);
    }
    return NULL;
}

struct nsm_error *rig_read_all(struct rig *rig, const char *name, struct nsm_digest *ret)
{
    struct rig_reading reading;
    struct nsm_error *error = rig_survey(rig, name, &reading);
    for (size_t part = 0; !error && part < reading.source.census.n_parts; part++)
        error = rig_read_part(rig, &reading, part, 100, false);
    *ret = reading.ordered;
    rig_end_reading(&reading);
    return error;
}
