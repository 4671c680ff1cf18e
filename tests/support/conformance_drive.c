/*
 * Driving an adapter as the core does. Slices of a key are put together before they are compared,
 * because how a key is cut is its reader's business.
 */
#include "tests/support/conformance_drive.h"

#include <unistd.h>

#define NAMESPACE     "conf"
#define SOURCE_PREFIX "from:"

/* ---- errors in tests ---- */

void conf_assert_ok_at(struct nsm_error *error, const char *what, int line)
{
    if (!error)
        return;
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    nsm_error_free(error);
    fail_msg("line %d: %s: %s", line, what, text);
}

void conf_assert_code_at(struct nsm_error *error, enum nsm_code code, const char *what, int line)
{
    if (!error)
        fail_msg("line %d: %s: expected an error of code %s", line, what, nsm_code_name(code));
    const enum nsm_code found = nsm_error_code(error);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    nsm_error_free(error);
    if (found != code)
        fail_msg("line %d: %s: expected %s, found %s: %s", line, what, nsm_code_name(code),
                 nsm_code_name(found), text);
}

/* ---- fixtures ---- */

void conformance_set(const char **pairs, const char *key, const char *value)
{
    size_t i = 0;
    while (pairs[i] && strcmp(pairs[i], key) != 0)
        i += 2;
    assert_true(i + 2 < CONFORMANCE_PAIRS);
    pairs[i] = key;
    pairs[i + 1] = value;
}

char *conformance_make_folder(void)
{
    const char *const parent = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    char *const folder = nsm_xasprintf("%s/nsm-conformance-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

void conformance_remove_folder(char *folder)
{
    NSM_CLEANUP(nsm_freep) char *command = nsm_xasprintf("rm -rf '%s'", folder);
    assert_int_equal(system(command), 0); /* NOLINT: the path is our own */
    free(folder);
}

struct nsm_settings *conf_make_settings(const struct nsm_option *table, const char *const *pairs)
{
    struct nsm_settings *const settings = nsm_settings_new(table);
    for (size_t i = 0; pairs[i]; i += 2)
        assert_ok(nsm_settings_set(settings, pairs[i], nsm_str_of(pairs[i + 1])));
    assert_ok(nsm_settings_finish(settings));
    return settings;
}

/* ---- a run: a backend and what a plan would know ---- */

static struct nsm_settings *settings_or_null(const struct nsm_option *table,
                                             const char *const *pairs)
{
    return table ? conf_make_settings(table, pairs) : NULL;
}

void conf_run_begin(struct conf_run *run, struct conformance_fixture *fixture, const char *run_id)
{
    const struct nsm_adapter *const adapter = fixture->adapter;
    *run = (struct conf_run){
        .fixture = fixture,
        .adapter = adapter,
        .ctx = nsm_context_new(NULL),
        .work_dir = conformance_make_folder(),
        .backend_settings = conf_make_settings(adapter->backend_options, fixture->backend),
        .source_settings = settings_or_null(adapter->source_options, fixture->source),
        .destination_settings =
            settings_or_null(adapter->destination_options, fixture->destination),
    };
    run->backend = nsm_xcalloc(1, adapter->backend_size);
    run->backend->adapter = adapter;
    run->backend->name = "store";
    run->backend->settings = run->backend_settings;
    run->backend->work_dir = run->work_dir;
    run->backend->run_id = run_id;
    assert_ok(adapter->open(run->backend));
}

void conf_run_end(struct conf_run *run)
{
    nsm_arena_release(&run->finish.arena);
    run->adapter->close(run->backend);
    free(run->backend);
    nsm_context_free(run->ctx);
    nsm_settings_free(run->backend_settings);
    nsm_settings_free(run->source_settings);
    nsm_settings_free(run->destination_settings);
    conformance_remove_folder(run->work_dir);
}

/* ---- data: what is written ---- */

static bool takes(unsigned mask, unsigned bit)
{
    return mask == 0 || mask & 1U << bit;
}

void conf_data_init(struct conf_data *data, const struct conformance_fixture *fixture,
                    const char *seed)
{
    const bool is_keys = fixture->model == NSM_CAP_KEYS;
    *data = (struct conf_data){
        .generator = {.namespace_name = seed,
                      .model = is_keys ? NSM_MODEL_KEYS : NSM_MODEL_ROWS,
                      .n_records = 100,
                      .value_bytes = 40},
        .model = fixture->model,
        .kinds = fixture->kinds,
    };
    struct nsm_object *const object = nsm_census_add_object(&data->shape);
    memory_generator_describe(&data->generator, &data->shape.arena, 0, object);
    data->shape.identity = "generated";
    if (is_keys) {
        data->generator.prefix = data->shape.prefix = nsm_str_of(SOURCE_PREFIX);
        return;
    }
    size_t n_kept = 0;
    for (size_t i = 0; i < object->n_columns; i++) {
        if (!takes(fixture->types, object->columns[i].type))
            continue;
        data->kept[n_kept] = i;
        object->columns[n_kept++] = object->columns[i];
    }
    object->n_columns = n_kept;
}

/* A value in the form of a target's column, as the core's layout would have made it. */
static struct nsm_value convert(const struct nsm_value *value, enum nsm_type type)
{
    if (value->type == NSM_NULL || value->type == type)
        return *value;
    if (value->type == NSM_BOOL && type == NSM_INT)
        return (struct nsm_value){NSM_INT, nsm_str_equals(value->bytes, NSM_STR_LIT("t"))
                                               ? NSM_STR_LIT("1")
                                               : NSM_STR_LIT("0")};
    assert_int_equal(type, NSM_TEXT);
    return (struct nsm_value){NSM_TEXT, value->bytes};
}

/* Adds the records of these ordinals to the batch, in the form of `target` (NULL: as they are). */
void conf_data_add(const struct conf_data *data, const struct nsm_object *target, uint64_t first,
                   uint64_t count, struct nsm_batch *batch)
{
    for (uint64_t ordinal = first; ordinal < first + count; ordinal++) {
        const size_t at = batch->n_records;
        memory_generator_add(&data->generator, 0, ordinal, batch);
        struct nsm_record *const record = &batch->records[at];
        if (record->kind != NSM_KIND_ROW) {
            batch->n_records -= !takes(data->kinds, record->kind);
            continue;
        }
        record->n_items = data->shape.objects[0].n_columns;
        for (size_t i = 0; i < record->n_items; i++) {
            record->items[i] = record->items[data->kept[i]];
            if (target)
                record->items[i] = convert(&record->items[i], target->columns[i].type);
        }
    }
}

/* ---- collecting: what was read ---- */

void conf_collection_init(struct conf_collection *collection, size_t skip)
{
    nsm_batch_init(&collection->batch, NSM_LANE_RECORD);
    collection->skip = skip;
}

static void append_items(struct conf_collection *collection, struct nsm_record *to,
                         const struct nsm_record *from)
{
    struct nsm_arena *const arena = &collection->batch.arena;
    const bool is_string = to->kind == NSM_KIND_STRING;
    if (is_string) {
        struct nsm_str *const bytes = &to->items[0].bytes;
        char *const joined = nsm_arena_alloc(arena, bytes->len + from->items[0].bytes.len);
        memcpy(joined, bytes->ptr, bytes->len);
        memcpy(joined + bytes->len, from->items[0].bytes.ptr, from->items[0].bytes.len);
        *bytes = (struct nsm_str){joined, bytes->len + from->items[0].bytes.len};
        return;
    }
    const size_t n_items = to->n_items + from->n_items;
    struct nsm_value *const items = nsm_arena_calloc(arena, n_items, sizeof(*items));
    memcpy(items, to->items, to->n_items * sizeof(*items));
    for (size_t i = 0; i < from->n_items; i++) {
        items[to->n_items + i].type = from->items[i].type;
        items[to->n_items + i].bytes = nsm_arena_copy(arena, from->items[i].bytes);
    }
    to->items = items;
    to->n_items = n_items;
}

static void collect(struct conf_collection *collection, const struct nsm_batch *batch)
{
    struct nsm_batch *const all = &collection->batch;
    for (size_t i = 0; i < batch->n_records; i++) {
        const struct nsm_record *const from = &batch->records[i];
        if (from->flags & NSM_RECORD_CONTINUED) {
            struct nsm_record *const last = &all->records[all->n_records - 1];
            assert_true(all->n_records > 0 && nsm_str_equals(last->key, from->key));
            append_items(collection, last, from);
            continue;
        }
        struct nsm_record *const to = nsm_batch_add(all, from->kind, from->n_items);
        to->key = nsm_batch_copy(all, from->key);
        to->expires_at_ms = from->expires_at_ms;
        for (size_t j = 0; j < from->n_items; j++) {
            to->items[j].type = from->items[j].type;
            to->items[j].bytes = nsm_batch_copy(all, from->items[j].bytes);
        }
    }
}

struct nsm_digest conf_digest_of(const struct conf_collection *collection)
{
    struct nsm_digest digest = {0};
    for (size_t i = 0; i < collection->batch.n_records; i++)
        nsm_digest_add_hash(&digest,
                            nsm_record_hash(&collection->batch.records[i], collection->skip, 0));
    return digest;
}

void conf_assert_same(const struct conf_collection *found, const struct conf_collection *expected)
{
    const struct nsm_digest a = conf_digest_of(found);
    const struct nsm_digest b = conf_digest_of(expected);
    assert_int_equal(found->batch.n_records, expected->batch.n_records);
    assert_true(nsm_digest_equals(&a, &b));
}

void conf_expect(const struct conf_data *data, const struct nsm_object *target, uint64_t first,
                 uint64_t count, struct conf_collection *into)
{
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    conf_data_add(data, target, first, count, &batch);
    collect(into, &batch);
    nsm_batch_release(&batch);
}

void conf_collection_release(struct conf_collection *collection)
{
    nsm_batch_release(&collection->batch);
}

/* ---- the source's side ---- */

void conf_source_init(struct nsm_source *source, struct conf_run *run,
                      const struct nsm_destination *written)
{
    *source = (struct nsm_source){
        .backend = run->backend,
        .namespace_name = NAMESPACE,
        .selection = written ? NULL : run->source_settings,
        .written = written,
        .part_bytes = 600,
    };
}

struct nsm_error *conf_survey(struct conf_run *run, struct nsm_source *source)
{
    return run->adapter->survey(run->backend, run->ctx, &source, 1);
}

void conf_source_release(struct conf_run *run, struct nsm_source *source)
{
    run->adapter->release_source(source);
    nsm_census_release(&source->census);
}

void conf_request_init(struct nsm_read_request *request, const struct nsm_source *source,
                       size_t part, struct nsm_str resume)
{
    *request = (struct nsm_read_request){
        .source = source,
        .part = &source->census.parts[part],
        .object = &source->census.objects[source->census.parts[part].object],
        .lane = NSM_LANE_RECORD,
        .resume = resume,
        .batch_records = 4,
        .batch_bytes = 1 << 20,
    };
}

struct nsm_reader *conf_new_reader(struct conf_run *run, const struct nsm_read_request *request)
{
    struct nsm_reader *const reader = nsm_xcalloc(1, run->adapter->reader_size);
    reader->backend = run->backend;
    reader->request = request;
    return reader;
}

/* Reads the part from `place` on, at most `max_batches`; moves the place. */
void conf_read_part(struct conf_run *run, const struct nsm_source *source, size_t part,
                    size_t max_batches, struct conf_place *place, struct conf_collection *into)
{
    struct nsm_read_request request;
    conf_request_init(&request, source, part, (struct nsm_str){place->token, place->len});
    struct nsm_reader *const reader = conf_new_reader(run, &request);
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    assert_ok(run->adapter->reader_open(reader, run->ctx));
    for (size_t i = 0; i < max_batches && !place->is_end; i++) {
        nsm_batch_clear(&batch);
        assert_ok(run->adapter->read(reader, run->ctx, &batch, &place->is_end));
        assert_true(place->is_end || batch.n_records > 0);
        collect(into, &batch);
    }
    run->adapter->reader_close(reader);
    free(reader);
    free(place->token);
    place->token = nsm_xstrndup(batch.resume);
    place->len = batch.resume.len;
    nsm_batch_release(&batch);
}

void conf_read_whole(struct conf_run *run, const struct nsm_source *source, size_t part,
                     struct conf_collection *into)
{
    struct conf_place place = {0};
    conf_read_part(run, source, part, SIZE_MAX, &place, into);
    assert_true(place.is_end);
    free(place.token);
}

void conf_read_all(struct conf_run *run, const struct nsm_source *source,
                   struct conf_collection *into)
{
    for (size_t i = 0; i < source->census.n_parts; i++)
        conf_read_whole(run, source, i, into);
}

/* Everything that `written` (or, with NULL, the fixture's source) holds. */
void conf_read_back(struct conf_run *run, const struct nsm_destination *written,
                    struct conf_collection *into)
{
    struct nsm_source source;
    conf_source_init(&source, run, written);
    assert_ok(conf_survey(run, &source));
    into->skip = source.census.prefix.len;
    conf_read_all(run, &source, into);
    conf_source_release(run, &source);
}

/* ---- the destination's side ---- */

void conf_destination_init(struct nsm_destination *destination, struct conf_run *run,
                           const struct conf_data *data, enum nsm_if_exists if_exists)
{
    *destination = (struct nsm_destination){
        .backend = run->backend,
        .namespace_name = NAMESPACE,
        .selection = run->destination_settings,
        .if_exists = if_exists,
        .shape = &data->shape,
        .source_adapter = "conformance",
    };
}

struct nsm_error *conf_inspect(struct conf_run *run, struct nsm_destination *destination)
{
    return run->adapter->inspect(run->backend, run->ctx, &destination, 1);
}

size_t conf_count_findings(const struct nsm_destination *destination, enum nsm_finding_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < destination->target.findings.n_items; i++) {
        const struct nsm_finding *const finding = &destination->target.findings.items[i];
        assert_true(finding->text[0] != '\0' && finding->count >= 1);
        n += finding->kind == kind;
    }
    return n;
}

void conf_destination_release(struct conf_run *run, struct nsm_destination *destination)
{
    run->adapter->release_destination(destination);
    nsm_census_release(&destination->target);
}

static struct nsm_error *open_writer(struct conf_run *run, struct conf_writing *writing)
{
    writing->writer = nsm_xcalloc(1, run->adapter->writer_size);
    writing->writer->backend = run->backend;
    writing->writer->request = &writing->request;
    struct nsm_error *const error = run->adapter->writer_open(writing->writer, run->ctx);
    if (error)
        free(writing->writer);
    return error;
}

struct nsm_error *conf_writing_open(struct conf_run *run, struct nsm_destination *destination,
                                    const struct nsm_checkpoint *from, struct conf_writing *writing)
{
    *writing = (struct conf_writing){
        .request = {.destination = destination,
                    .object = &destination->target.objects[0],
                    .part_id = NSM_STR_LIT("conf/0"),
                    .lane = NSM_LANE_RECORD,
                    .from = from},
        .checkpoint = {.part_id = NSM_STR_LIT("conf/0")},
    };
    if (from)
        writing->checkpoint = *from;
    return open_writer(run, writing);
}

struct nsm_error *conf_repair_open(struct conf_run *run, struct nsm_destination *destination,
                                   struct conf_writing *writing)
{
    *writing = (struct conf_writing){
        .request = {.destination = destination,
                    .object = &destination->target.objects[0],
                    .part_id = NSM_STR_LIT("repair"),
                    .lane = NSM_LANE_RECORD,
                    .is_repair = true},
        .checkpoint = {.part_id = NSM_STR_LIT("repair")},
    };
    return open_writer(run, writing);
}

void conf_writing_close(struct conf_run *run, struct conf_writing *writing)
{
    run->adapter->writer_close(writing->writer);
    free(writing->writer);
}

void conf_write_some(struct conf_run *run, struct conf_writing *writing,
                     const struct conf_data *data, uint64_t first, uint64_t count)
{
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    conf_data_add(data, writing->request.object, first, count, &batch);
    assert_ok(run->adapter->write(writing->writer, run->ctx, &batch));
    writing->checkpoint.n_records += nsm_batch_count(&batch);
    writing->checkpoint.n_bytes += batch.n_bytes;
    for (size_t i = 0; i < batch.n_records; i++)
        nsm_digest_add_hash(&writing->checkpoint.digest,
                            nsm_record_hash(&batch.records[i], data->shape.prefix.len, 0));
    nsm_batch_release(&batch);
}

/* The resume token tells how many ordinals are done, with a NUL and a high byte in it. */
void conf_put_checkpoint(struct conf_run *run, struct conf_writing *writing, const char *token,
                         bool is_done)
{
    writing->checkpoint.resume =
        is_done ? (struct nsm_str){0} : (struct nsm_str){.ptr = token, .len = 4};
    writing->checkpoint.is_done = is_done;
    writing->checkpoint.n_skipped = writing->writer->n_skipped;
    assert_ok(run->adapter->checkpoint(writing->writer, run->ctx, &writing->checkpoint));
}

/* The life of a destination up to its completion, with `count` records in batches of five. */
void conf_write_all(struct conf_run *run, struct nsm_destination *destination,
                    const struct conf_data *data, uint64_t first, uint64_t count)
{
    struct conf_writing writing;
    conf_prepare(run, destination);
    assert_ok(conf_writing_open(run, destination, NULL, &writing));
    for (uint64_t at = 0; at < count; at += 5) {
        conf_write_some(run, &writing, data, first + at, count - at < 5 ? count - at : 5);
        conf_put_checkpoint(run, &writing, "t\0\xff!", false);
    }
    conf_put_checkpoint(run, &writing, NULL, true);
    conf_writing_close(run, &writing);
}

void conf_prepare(struct conf_run *run, struct nsm_destination *destination)
{
    const struct nsm_adapter *const adapter = run->adapter;
    assert_ok(adapter->prepare(destination, run->ctx));
    nsm_arena_release(&run->finish.arena);
    run->finish = (struct nsm_finish_plan){0};
    if (adapter->plan_finish)
        assert_ok(adapter->plan_finish(destination, run->ctx, &run->finish));
}

void conf_finish(struct conf_run *run, struct nsm_destination *destination)
{
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < run->finish.n_steps; i++)
            assert_ok(run->adapter->finish_step(destination, run->ctx, &run->finish.steps[i]));
    }
}

void conf_complete(struct conf_run *run, struct nsm_destination *destination)
{
    if (!run->adapter->complete)
        return;
    assert_ok(run->adapter->complete(destination, run->ctx));
    assert_ok(run->adapter->complete(destination, run->ctx));
}

bool conf_is_destination(const struct conformance_fixture *fixture)
{
    return fixture->adapter->caps & NSM_CAP_DESTINATION;
}

/* A store that an earlier, completed run has filled with records 0 to `count`. */
void conf_fill(struct conformance_fixture *fixture, const struct conf_data *data, uint64_t count)
{
    struct conf_run run;
    struct nsm_destination destination;
    conf_run_begin(&run, fixture, "earlier");
    conf_destination_init(&destination, &run, data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    assert_int_equal(conf_count_findings(&destination, NSM_FINDING_CONFLICT), 0);
    assert_int_equal(conf_count_findings(&destination, NSM_FINDING_REFUSAL), 0);
    conf_write_all(&run, &destination, data, 0, count);
    conf_finish(&run, &destination);
    conf_complete(&run, &destination);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
}
