/*
 * The conformance suite. It plays the core's part: it makes the records, drives reader and writer
 * as the contract says, and compares by the digests that the core compares by. Slices of a key are
 * put together before they are compared, because how a key is cut is its reader's business.
 */
#include "tests/support/conformance.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/memory/generate.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/engine/record/settings.h"

#define NAMESPACE     "conf"
#define SOURCE_PREFIX "from:"
#define MAX_COLUMNS   32

/* ---- errors in tests ---- */

static void assert_ok_at(struct nsm_error *error, const char *what, int line)
{
    if (!error)
        return;
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    nsm_error_free(error);
    fail_msg("line %d: %s: %s", line, what, text);
}
#define assert_ok(expr) assert_ok_at((expr), #expr, __LINE__)

static void assert_code_at(struct nsm_error *error, enum nsm_code code, const char *what, int line)
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
#define assert_code(expr, code) assert_code_at((expr), (code), #expr, __LINE__)

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

static struct nsm_settings *make_settings(const struct nsm_option *table, const char *const *pairs)
{
    struct nsm_settings *const settings = nsm_settings_new(table);
    for (size_t i = 0; pairs[i]; i += 2)
        assert_ok(nsm_settings_set(settings, pairs[i], nsm_str_of(pairs[i + 1])));
    assert_ok(nsm_settings_finish(settings));
    return settings;
}

/* ---- a run: a backend and what a plan would know ---- */

struct run {
    struct conformance_fixture *fixture;
    const struct nsm_adapter *adapter;
    struct nsm_context *ctx;
    struct nsm_backend *backend;
    struct nsm_settings *backend_settings, *source_settings, *destination_settings;
    char *work_dir;
};

static struct nsm_settings *settings_or_null(const struct nsm_option *table,
                                             const char *const *pairs)
{
    return table ? make_settings(table, pairs) : NULL;
}

static void run_begin(struct run *run, struct conformance_fixture *fixture, const char *run_id)
{
    const struct nsm_adapter *const adapter = fixture->adapter;
    *run = (struct run){
        .fixture = fixture,
        .adapter = adapter,
        .ctx = nsm_context_new(NULL),
        .work_dir = conformance_make_folder(),
        .backend_settings = make_settings(adapter->backend_options, fixture->backend),
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

static void run_end(struct run *run)
{
    run->adapter->close(run->backend);
    free(run->backend);
    nsm_context_free(run->ctx);
    nsm_settings_free(run->backend_settings);
    nsm_settings_free(run->source_settings);
    nsm_settings_free(run->destination_settings);
    conformance_remove_folder(run->work_dir);
}

/* ---- data: what is written ---- */

/* Records `first` to `first + count` of a made-up namespace, in the shape of the fixture. */
struct data {
    struct memory_generator generator;
    struct nsm_census shape;
    size_t kept[MAX_COLUMNS]; /* columns of the generator that the fixture's store takes */
    unsigned model, kinds;
};

static bool takes(unsigned mask, unsigned bit)
{
    return mask == 0 || mask & 1U << bit;
}

static void data_init(struct data *data, const struct conformance_fixture *fixture,
                      const char *seed)
{
    const bool is_keys = fixture->model == NSM_CAP_KEYS;
    *data = (struct data){
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
static void data_add(const struct data *data, const struct nsm_object *target, uint64_t first,
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

/* Records with slices put together; `skip` bytes of each key do not count. */
struct collection {
    struct nsm_batch batch;
    size_t skip;
};

static void collection_init(struct collection *collection, size_t skip)
{
    nsm_batch_init(&collection->batch, NSM_LANE_RECORD);
    collection->skip = skip;
}

static void append_items(struct collection *collection, struct nsm_record *to,
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

static void collect(struct collection *collection, const struct nsm_batch *batch)
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

static struct nsm_digest digest_of(const struct collection *collection)
{
    struct nsm_digest digest = {0};
    for (size_t i = 0; i < collection->batch.n_records; i++)
        nsm_digest_add_hash(&digest,
                            nsm_record_hash(&collection->batch.records[i], collection->skip, 0));
    return digest;
}

static void assert_same(const struct collection *found, const struct collection *expected)
{
    const struct nsm_digest a = digest_of(found);
    const struct nsm_digest b = digest_of(expected);
    assert_int_equal(found->batch.n_records, expected->batch.n_records);
    assert_true(nsm_digest_equals(&a, &b));
}

static void expect(const struct data *data, const struct nsm_object *target, uint64_t first,
                   uint64_t count, struct collection *into)
{
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    data_add(data, target, first, count, &batch);
    collect(into, &batch);
    nsm_batch_release(&batch);
}

static void collection_release(struct collection *collection)
{
    nsm_batch_release(&collection->batch);
}

/* ---- the source's side ---- */

static void source_init(struct nsm_source *source, struct run *run,
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

static struct nsm_error *survey(struct run *run, struct nsm_source *source)
{
    return run->adapter->survey(run->backend, run->ctx, &source, 1);
}

static void source_release(struct run *run, struct nsm_source *source)
{
    run->adapter->release_source(source);
    nsm_census_release(&source->census);
}

static void request_init(struct nsm_read_request *request, const struct nsm_source *source,
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

static struct nsm_reader *new_reader(struct run *run, const struct nsm_read_request *request)
{
    struct nsm_reader *const reader = nsm_xcalloc(1, run->adapter->reader_size);
    reader->backend = run->backend;
    reader->request = request;
    return reader;
}

/* Reads from `resume` on, at most `max_batches`; returns the last batch's token in *ret_resume
 * (malloc'd, NULL when the end was reached). */
static void read_part(struct run *run, const struct nsm_source *source, size_t part,
                      struct nsm_str resume, size_t max_batches, struct collection *into,
                      char **ret_resume, size_t *ret_len)
{
    struct nsm_read_request request;
    request_init(&request, source, part, resume);
    struct nsm_reader *const reader = new_reader(run, &request);
    struct nsm_batch batch;
    bool is_end = false;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    assert_ok(run->adapter->reader_open(reader, run->ctx));
    *ret_resume = NULL;
    *ret_len = 0;
    for (size_t i = 0; i < max_batches && !is_end; i++) {
        nsm_batch_clear(&batch);
        assert_ok(run->adapter->read(reader, run->ctx, &batch, &is_end));
        assert_true(is_end || batch.n_records > 0);
        collect(into, &batch);
    }
    if (!is_end) {
        *ret_resume = nsm_xstrndup(batch.resume);
        *ret_len = batch.resume.len;
    }
    run->adapter->reader_close(reader);
    free(reader);
    nsm_batch_release(&batch);
}

static void read_all(struct run *run, const struct nsm_source *source, struct collection *into)
{
    for (size_t i = 0; i < source->census.n_parts; i++) {
        char *resume = NULL;
        size_t len = 0;
        read_part(run, source, i, (struct nsm_str){0}, SIZE_MAX, into, &resume, &len);
        assert_null(resume);
    }
}

/* Everything that `written` (or, with NULL, the fixture's source) holds. */
static void read_back(struct run *run, const struct nsm_destination *written,
                      struct collection *into)
{
    struct nsm_source source;
    source_init(&source, run, written);
    assert_ok(survey(run, &source));
    into->skip = source.census.prefix.len;
    read_all(run, &source, into);
    source_release(run, &source);
}

/* ---- the destination's side ---- */

static void destination_init(struct nsm_destination *destination, struct run *run,
                             const struct data *data, enum nsm_if_exists if_exists)
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

static struct nsm_error *inspect(struct run *run, struct nsm_destination *destination)
{
    return run->adapter->inspect(run->backend, run->ctx, &destination, 1);
}

static size_t count_findings(const struct nsm_destination *destination, enum nsm_finding_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < destination->target.findings.n_items; i++) {
        const struct nsm_finding *const finding = &destination->target.findings.items[i];
        assert_true(finding->text[0] != '\0' && finding->count >= 1);
        n += finding->kind == kind;
    }
    return n;
}

static void destination_release(struct run *run, struct nsm_destination *destination)
{
    run->adapter->release_destination(destination);
    nsm_census_release(&destination->target);
}

struct writing {
    struct nsm_write_request request;
    struct nsm_writer *writer;
    struct nsm_checkpoint checkpoint;
};

static struct nsm_error *writing_open(struct run *run, struct nsm_destination *destination,
                                      const struct nsm_checkpoint *from, struct writing *writing)
{
    *writing = (struct writing){
        .request = {.destination = destination,
                    .object = &destination->target.objects[0],
                    .part_id = NSM_STR_LIT("conf/0"),
                    .lane = NSM_LANE_RECORD,
                    .from = from},
        .checkpoint = {.part_id = NSM_STR_LIT("conf/0")},
    };
    if (from)
        writing->checkpoint = *from;
    writing->writer = nsm_xcalloc(1, run->adapter->writer_size);
    writing->writer->backend = run->backend;
    writing->writer->request = &writing->request;
    struct nsm_error *const error = run->adapter->writer_open(writing->writer, run->ctx);
    if (error)
        free(writing->writer);
    return error;
}

static void writing_close(struct run *run, struct writing *writing)
{
    run->adapter->writer_close(writing->writer);
    free(writing->writer);
}

static void write_some(struct run *run, struct writing *writing, const struct data *data,
                       uint64_t first, uint64_t count)
{
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    data_add(data, writing->request.object, first, count, &batch);
    assert_ok(run->adapter->write(writing->writer, run->ctx, &batch));
    writing->checkpoint.n_records += nsm_batch_count(&batch);
    writing->checkpoint.n_bytes += batch.n_bytes;
    for (size_t i = 0; i < batch.n_records; i++)
        nsm_digest_add_hash(&writing->checkpoint.digest,
                            nsm_record_hash(&batch.records[i], data->shape.prefix.len, 0));
    nsm_batch_release(&batch);
}

/* The resume token tells how many ordinals are done, with a NUL and a high byte in it. */
static void put_checkpoint(struct run *run, struct writing *writing, const char *token,
                           bool is_done)
{
    writing->checkpoint.resume =
        is_done ? (struct nsm_str){0} : (struct nsm_str){.ptr = token, .len = 4};
    writing->checkpoint.is_done = is_done;
    writing->checkpoint.n_skipped = writing->writer->n_skipped;
    assert_ok(run->adapter->checkpoint(writing->writer, run->ctx, &writing->checkpoint));
}

/* The life of a destination up to its completion, with `count` records in batches of five. */
static void write_all(struct run *run, struct nsm_destination *destination, const struct data *data,
                      uint64_t first, uint64_t count)
{
    struct writing writing;
    assert_ok(run->adapter->prepare(destination, run->ctx));
    assert_ok(writing_open(run, destination, NULL, &writing));
    for (uint64_t at = 0; at < count; at += 5) {
        write_some(run, &writing, data, first + at, count - at < 5 ? count - at : 5);
        put_checkpoint(run, &writing, "t\0\xff!", false);
    }
    put_checkpoint(run, &writing, NULL, true);
    writing_close(run, &writing);
}

static void finish(struct run *run, struct nsm_destination *destination)
{
    const struct nsm_adapter *const adapter = run->adapter;
    struct nsm_finish_plan plan = {0};
    if (adapter->plan_finish) {
        assert_ok(adapter->plan_finish(destination, run->ctx, &plan));
        for (unsigned round = 0; round < 2; round++) { /* each is idempotent */
            for (size_t i = 0; i < plan.n_steps; i++)
                assert_ok(adapter->finish_step(destination, run->ctx, &plan.steps[i]));
        }
        nsm_arena_release(&plan.arena);
    }
}

static void complete(struct run *run, struct nsm_destination *destination)
{
    if (!run->adapter->complete)
        return;
    assert_ok(run->adapter->complete(destination, run->ctx));
    assert_ok(run->adapter->complete(destination, run->ctx));
}

static bool is_destination(const struct conformance_fixture *fixture)
{
    return fixture->adapter->caps & NSM_CAP_DESTINATION;
}

/* A store that an earlier, completed run has filled with records 0 to `count`. */
static void fill(struct conformance_fixture *fixture, const struct data *data, uint64_t count)
{
    struct run run;
    struct nsm_destination destination;
    run_begin(&run, fixture, "earlier");
    destination_init(&destination, &run, data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    assert_int_equal(count_findings(&destination, NSM_FINDING_CONFLICT), 0);
    assert_int_equal(count_findings(&destination, NSM_FINDING_REFUSAL), 0);
    write_all(&run, &destination, data, 0, count);
    finish(&run, &destination);
    complete(&run, &destination);
    destination_release(&run, &destination);
    run_end(&run);
}

static int test_setup(void **state)
{
    struct conformance_fixture *const fixture = *state;
    if (fixture->fresh)
        fixture->fresh(fixture);
    return 0;
}

static int test_teardown(void **state)
{
    struct conformance_fixture *const fixture = *state;
    if (fixture->done)
        fixture->done(fixture);
    return 0;
}

/* ---- the tests ---- */

static void check_tells_a_version(void **state)
{
    struct run run;
    struct nsm_health health = {0};
    run_begin(&run, *state, "run");
    assert_ok(run.adapter->check(run.backend, run.ctx, &health));
    assert_true(health.version && health.version[0]);
    assert_true(health.latency_ns >= 0);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    run_end(&run);
}

/* What was written is what is read, with all types or kinds, over several checkpoints. */
static void written_reads_back(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_destination destination;
    struct collection found;
    struct collection expected;
    data_init(&data, fixture, "one");
    run_begin(&run, fixture, "run");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    assert_int_equal(count_findings(&destination, NSM_FINDING_CONFLICT), 0);
    assert_int_equal(destination.target.n_objects, 1);
    assert_non_null(destination.target.identity);
    write_all(&run, &destination, &data, 0, 23);
    finish(&run, &destination);
    collection_init(&found, 0);
    collection_init(&expected, data.shape.prefix.len);
    expect(&data, &destination.target.objects[0], 0, 23, &expected);
    read_back(&run, &destination, &found);
    assert_same(&found, &expected);
    complete(&run, &destination);
    collection_release(&found);
    collection_init(&found, 0);
    read_back(&run, &destination, &found); /* completing takes nothing away */
    assert_same(&found, &expected);
    collection_release(&found);
    collection_release(&expected);
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* A part's range is opaque bytes that mean the same in a later run; an object without records has
 * no part; together the parts are each record once. */
static void parts_cover_all_once(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_source source;
    struct collection found;
    struct collection whole;
    data_init(&data, fixture, "one");
    if (is_destination(fixture))
        fill(fixture, &data, 40);
    run_begin(&run, fixture, "run");
    source_init(&source, &run, NULL);
    assert_ok(survey(&run, &source));
    assert_non_null(source.census.identity);
    assert_true(source.census.n_parts >= 1);
    for (size_t i = 0; i < source.census.n_parts; i++)
        assert_true(source.census.parts[i].object < source.census.n_objects);
    collection_init(&found, source.census.prefix.len);
    read_all(&run, &source, &found);
    source_release(&run, &source);

    source_init(&source, &run, NULL);
    source.part_bytes = 0;
    assert_ok(survey(&run, &source));
    collection_init(&whole, source.census.prefix.len);
    read_all(&run, &source, &whole);
    assert_same(&found, &whole);
    if (!is_destination(fixture))
        assert_int_equal(found.batch.n_records, fixture->n_served);
    source_release(&run, &source);
    collection_release(&found);
    collection_release(&whole);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* From each token of each part on, a reader opened anew gives exactly the rest. */
static void tokens_continue_exactly(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_source source;
    data_init(&data, fixture, "one");
    if (is_destination(fixture))
        fill(fixture, &data, 40);
    run_begin(&run, fixture, "run");
    source_init(&source, &run, NULL);
    assert_ok(survey(&run, &source));
    for (size_t part = 0; part < source.census.n_parts; part++) {
        struct collection whole;
        collection_init(&whole, source.census.prefix.len);
        char *token = NULL;
        size_t len = 0;
        read_part(&run, &source, part, (struct nsm_str){0}, SIZE_MAX, &whole, &token, &len);
        for (size_t n_batches = 1;; n_batches++) {
            struct collection cut;
            collection_init(&cut, source.census.prefix.len);
            read_part(&run, &source, part, (struct nsm_str){0}, n_batches, &cut, &token, &len);
            char *end = NULL;
            size_t end_len = 0;
            const bool is_whole = token == NULL;
            if (token && len > 0)
                read_part(&run, &source, part, (struct nsm_str){token, len}, SIZE_MAX, &cut, &end,
                          &end_len);
            if (is_whole || len > 0)
                assert_same(&cut, &whole);
            free(token);
            collection_release(&cut);
            if (is_whole)
                break;
        }
        collection_release(&whole);
    }
    source_release(&run, &source);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* Writers that ended without a checkpoint leave nothing that a writer from the last one does not
 * mend. */
static void uncommitted_is_mended(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_destination destination;
    struct writing writing;
    struct collection found;
    struct collection expected;
    data_init(&data, fixture, "one");
    run_begin(&run, fixture, "run");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    assert_ok(run.adapter->prepare(&destination, run.ctx));

    assert_ok(writing_open(&run, &destination, NULL, &writing)); /* none at all */
    write_some(&run, &writing, &data, 0, 7);
    writing_close(&run, &writing);

    assert_ok(writing_open(&run, &destination, NULL, &writing));
    write_some(&run, &writing, &data, 0, 7);
    put_checkpoint(&run, &writing, "t\0\xff!", false);
    const struct nsm_checkpoint last = writing.checkpoint;
    write_some(&run, &writing, &data, 7, 6);
    writing_close(&run, &writing);

    assert_ok(writing_open(&run, &destination, &last, &writing));
    write_some(&run, &writing, &data, 7, 9);
    put_checkpoint(&run, &writing, NULL, true);
    writing_close(&run, &writing);

    finish(&run, &destination);
    collection_init(&found, 0);
    collection_init(&expected, data.shape.prefix.len);
    expect(&data, &destination.target.objects[0], 0, 16, &expected);
    read_back(&run, &destination, &found);
    assert_same(&found, &expected);
    collection_release(&found);
    collection_release(&expected);
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* A later process of the same run finds what is ours: no conflict, and nothing is made anew. */
static void prepare_takes_up(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_destination destination;
    struct writing writing;
    struct collection found;
    struct collection expected;
    data_init(&data, fixture, "one");
    run_begin(&run, fixture, "run");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
    assert_ok(inspect(&run, &destination));
    assert_ok(run.adapter->prepare(&destination, run.ctx));
    assert_ok(writing_open(&run, &destination, NULL, &writing));
    write_some(&run, &writing, &data, 0, 8);
    put_checkpoint(&run, &writing, "t\0\xff!", false);
    const struct nsm_checkpoint last = writing.checkpoint;
    writing_close(&run, &writing);
    destination_release(&run, &destination);
    run_end(&run);

    run_begin(&run, fixture, "run");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
    destination.is_ours = true;
    assert_ok(inspect(&run, &destination));
    assert_int_equal(count_findings(&destination, NSM_FINDING_CONFLICT), 0);
    assert_ok(run.adapter->prepare(&destination, run.ctx));
    assert_ok(writing_open(&run, &destination, &last, &writing));
    write_some(&run, &writing, &data, 8, 4);
    put_checkpoint(&run, &writing, NULL, true);
    writing_close(&run, &writing);
    finish(&run, &destination);
    collection_init(&found, 0);
    collection_init(&expected, data.shape.prefix.len);
    expect(&data, &destination.target.objects[0], 0, 12, &expected);
    read_back(&run, &destination, &found);
    assert_same(&found, &expected);
    collection_release(&found);
    collection_release(&expected);
    complete(&run, &destination);
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

struct loaded {
    size_t n;
    struct nsm_checkpoint last;
    char token[16];
};

static void on_checkpoint(void *arg, const struct nsm_checkpoint *checkpoint)
{
    struct loaded *const loaded = arg;
    loaded->n++;
    loaded->last = *checkpoint;
    assert_true(nsm_str_equals(checkpoint->part_id, NSM_STR_LIT("conf/0")));
    assert_true(checkpoint->resume.len <= sizeof(loaded->token));
    memcpy(loaded->token, checkpoint->resume.ptr, checkpoint->resume.len);
}

static size_t load(struct run *run, struct loaded *loaded)
{
    *loaded = (struct loaded){0};
    assert_ok(run->adapter->load_checkpoints(run->backend, run->ctx, on_checkpoint, loaded));
    return loaded->n;
}

/* A transactional destination keeps the checkpoint with the rows, for this run alone. */
static void checkpoints_are_kept(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct run other;
    struct data data;
    struct nsm_destination destination;
    struct writing writing;
    struct loaded loaded;
    data_init(&data, fixture, "one");
    run_begin(&run, fixture, "run");
    assert_int_equal(load(&run, &loaded), 0); /* nothing there yet, not even the store's file */
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    assert_ok(run.adapter->prepare(&destination, run.ctx));
    assert_int_equal(load(&run, &loaded), 0);
    assert_ok(writing_open(&run, &destination, NULL, &writing));
    write_some(&run, &writing, &data, 0, 5);
    put_checkpoint(&run, &writing, "t\0\xff!", false);
    write_some(&run, &writing, &data, 5, 5);
    writing_close(&run, &writing);
    assert_int_equal(load(&run, &loaded), 1);
    assert_int_equal(loaded.last.resume.len, 4);
    assert_memory_equal(loaded.token, "t\0\xff!", 4);
    assert_false(loaded.last.is_done);
    assert_int_equal(loaded.last.n_records, writing.checkpoint.n_records / 2);
    run_begin(&other, fixture, "other");
    assert_int_equal(load(&other, &loaded), 0);
    run_end(&other);
    complete(&run, &destination);
    assert_int_equal(load(&run, &loaded), 0);
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* reset_object: what this run wrote is gone, and its checkpoints with it. */
static void reset_undoes(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_destination destination;
    struct collection found;
    struct collection expected;
    struct loaded loaded;
    data_init(&data, fixture, "one");
    run_begin(&run, fixture, "run");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    write_all(&run, &destination, &data, 0, 10);
    assert_ok(run.adapter->reset_object(&destination, run.ctx, 0));
    assert_ok(run.adapter->reset_object(&destination, run.ctx, 0));
    if (run.adapter->load_checkpoints)
        assert_int_equal(load(&run, &loaded), 0);
    write_all(&run, &destination, &data, 3, 4); /* prepare, once more, is part of it */
    finish(&run, &destination);
    collection_init(&found, 0);
    collection_init(&expected, data.shape.prefix.len);
    expect(&data, &destination.target.objects[0], 3, 4, &expected);
    read_back(&run, &destination, &found);
    assert_same(&found, &expected);
    collection_release(&found);
    collection_release(&expected);
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

static void empty_object_stands(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_destination destination;
    struct nsm_source source;
    data_init(&data, fixture, "one");
    data.shape.objects[0].n_records = data.shape.objects[0].n_bytes = 0;
    run_begin(&run, fixture, "run");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    assert_ok(run.adapter->prepare(&destination, run.ctx));
    finish(&run, &destination);
    source_init(&source, &run, &destination);
    assert_ok(survey(&run, &source));
    assert_int_equal(source.census.n_parts, 0);
    assert_int_equal(source.census.n_objects, 1);
    source_release(&run, &source);
    complete(&run, &destination);
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

static void missing_selection_is_not_found(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_source source;
    data_init(&data, fixture, "one");
    if (is_destination(fixture))
        fill(fixture, &data, 3);
    run_begin(&run, fixture, "run");
    nsm_settings_free(run.source_settings);
    run.source_settings = make_settings(fixture->adapter->source_options, fixture->missing);
    source_init(&source, &run, NULL);
    assert_code(survey(&run, &source), NSM_E_NOTFOUND);
    source_release(&run, &source);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* Reads back what stands after 0 to 10 of one seed met 5 to 15 of another under `if_exists`. */
static bool meet(struct conformance_fixture *fixture, enum nsm_if_exists if_exists,
                 struct collection *found, struct data *old, struct data *new)
{
    struct run run;
    struct nsm_destination destination;
    data_init(old, fixture, "old");
    data_init(new, fixture, "new");
    fill(fixture, old, 10);
    run_begin(&run, fixture, "later");
    destination_init(&destination, &run, new, if_exists);
    assert_ok(inspect(&run, &destination));
    const bool can = count_findings(&destination, NSM_FINDING_REFUSAL) == 0;
    if (if_exists == NSM_IF_EXISTS_FAIL || if_exists == NSM_IF_EXISTS_REPLACE)
        assert_true(count_findings(&destination, NSM_FINDING_CONFLICT) > 0);
    if (can && if_exists != NSM_IF_EXISTS_FAIL) {
        write_all(&run, &destination, new, 5, 10);
        finish(&run, &destination);
        read_back(&run, &destination, found);
        complete(&run, &destination);
    }
    destination_release(&run, &destination);
    run_end(&run);
    return can;
}

static void expect_as_written(const struct conformance_fixture *fixture, const struct data *data,
                              uint64_t first, uint64_t count, struct collection *into)
{
    struct run run;
    struct nsm_destination destination;
    run_begin(&run, (struct conformance_fixture *)(uintptr_t)fixture, "later");
    destination_init(&destination, &run, data, NSM_IF_EXISTS_FAIL);
    assert_ok(inspect(&run, &destination));
    into->skip = data->shape.prefix.len;
    expect(data, &destination.target.objects[0], first, count, into);
    destination_release(&run, &destination);
    run_end(&run);
}

static void check_meeting(struct conformance_fixture *fixture, enum nsm_if_exists if_exists,
                          uint64_t n_old, uint64_t first_new)
{
    struct data old;
    struct data new;
    struct collection found;
    struct collection expected;
    collection_init(&found, 0);
    collection_init(&expected, 0);
    if (meet(fixture, if_exists, &found, &old, &new) && if_exists != NSM_IF_EXISTS_FAIL) {
        expect_as_written(fixture, &old, 0, n_old, &expected);
        expect_as_written(fixture, &new, first_new, 15 - first_new, &expected);
        assert_same(&found, &expected);
    }
    collection_release(&found);
    collection_release(&expected);
    nsm_census_release(&old.shape);
    nsm_census_release(&new.shape);
}

static void fail_finds_the_conflict(void **state)
{
    check_meeting(*state, NSM_IF_EXISTS_FAIL, 10, 15);
}

static void replace_puts_ours_in_place(void **state)
{
    const struct conformance_fixture *const fixture = *state;
    check_meeting(*state, NSM_IF_EXISTS_REPLACE, fixture->replaces_by_key ? 5 : 0, 5);
}

static void merge_overwrites_the_same(void **state)
{
    check_meeting(*state, NSM_IF_EXISTS_MERGE, 5, 5);
}

static void skip_adds_the_missing(void **state)
{
    check_meeting(*state, NSM_IF_EXISTS_SKIP, 10, 10);
}

/* Under skip the writer counts what stood there. */
static void skip_counts(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_destination destination;
    struct writing writing;
    data_init(&data, fixture, "one");
    fill(fixture, &data, 10);
    run_begin(&run, fixture, "later");
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_SKIP);
    assert_ok(inspect(&run, &destination));
    if (count_findings(&destination, NSM_FINDING_REFUSAL) == 0) {
        struct nsm_batch batch;
        nsm_batch_init(&batch, NSM_LANE_RECORD);
        data_add(&data, &destination.target.objects[0], 5, 5, &batch);
        const uint64_t n_standing = batch.n_records;
        nsm_batch_release(&batch);
        assert_ok(run.adapter->prepare(&destination, run.ctx));
        assert_ok(writing_open(&run, &destination, NULL, &writing));
        write_some(&run, &writing, &data, 5, 10);
        put_checkpoint(&run, &writing, NULL, true);
        assert_int_equal(writing.writer->n_skipped, n_standing);
        writing_close(&run, &writing);
        complete(&run, &destination);
    }
    destination_release(&run, &destination);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* ---- cancellation ---- */

/* A cancelled operation says so, or was done before it noticed. */
static void allow_canceled(struct nsm_error *error)
{
    if (error)
        assert_code(error, NSM_E_CANCELED);
}

static struct nsm_context *canceled_context(void)
{
    struct nsm_context *const ctx = nsm_context_new(NULL);
    nsm_context_cancel(ctx, NULL);
    return ctx;
}

static void cancel_reading(struct run *run, struct nsm_context *canceled)
{
    struct nsm_source source;
    source_init(&source, run, NULL);
    assert_ok(survey(run, &source));
    struct nsm_read_request request;
    struct nsm_batch batch;
    bool is_end = false;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    request_init(&request, &source, 0, (struct nsm_str){0});
    struct nsm_reader *reader = new_reader(run, &request);
    struct nsm_error *error = run->adapter->reader_open(reader, canceled);
    if (!error)
        run->adapter->reader_close(reader);
    allow_canceled(error);
    free(reader);
    reader = new_reader(run, &request);
    assert_ok(run->adapter->reader_open(reader, run->ctx));
    allow_canceled(run->adapter->read(reader, canceled, &batch, &is_end));
    run->adapter->reader_close(reader);
    free(reader);
    nsm_batch_release(&batch);
    source_release(run, &source);

    struct nsm_source *other = &source;
    source_init(&source, run, NULL);
    allow_canceled(run->adapter->survey(run->backend, canceled, &other, 1));
    source_release(run, &source);
}

static void cancel_writing(struct run *run, struct nsm_destination *destination,
                           const struct data *data, struct nsm_context *canceled)
{
    struct writing writing;
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    data_add(data, &destination->target.objects[0], 0, 5, &batch);
    assert_ok(writing_open(run, destination, NULL, &writing));
    struct nsm_error *error = run->adapter->write(writing.writer, canceled, &batch);
    if (!error)
        error = run->adapter->checkpoint(writing.writer, canceled, &writing.checkpoint);
    allow_canceled(error);
    writing_close(run, &writing);
    nsm_batch_release(&batch);
}

/* Each operation ends promptly under a cancelled context, and closing after it leaks nothing. */
static void cancellation_ends_each_operation(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_health health = {0};
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *canceled = canceled_context();
    data_init(&data, fixture, "one");
    if (is_destination(fixture))
        fill(fixture, &data, 10);
    run_begin(&run, fixture, "run");
    const int64_t start_ns = nsm_now_ns();
    allow_canceled(run.adapter->check(run.backend, canceled, &health));
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    cancel_reading(&run, canceled);
    if (is_destination(fixture)) {
        struct nsm_destination destination;
        struct nsm_destination *at = &destination;
        destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
        allow_canceled(run.adapter->inspect(run.backend, canceled, &at, 1));
        destination_release(&run, &destination);
        destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
        assert_ok(inspect(&run, &destination));
        allow_canceled(run.adapter->prepare(&destination, canceled));
        assert_ok(run.adapter->prepare(&destination, run.ctx));
        cancel_writing(&run, &destination, &data, canceled);
        write_all(&run, &destination, &data, 0, 10); /* the next run of it goes through */
        finish(&run, &destination);
        if (run.adapter->complete)
            allow_canceled(run.adapter->complete(&destination, canceled));
        complete(&run, &destination);
        destination_release(&run, &destination);
    }
    assert_true(nsm_now_ns() - start_ns < 10 * NSM_NS_PER_S);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* ---- what is refused ---- */

/* A token or a range that no reader gave is an error, not a wrong place. */
static void bad_places_are_refused(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_source source;
    struct nsm_read_request request;
    struct nsm_batch batch;
    bool is_end = false;
    data_init(&data, fixture, "one");
    if (is_destination(fixture))
        fill(fixture, &data, 10);
    run_begin(&run, fixture, "run");
    source_init(&source, &run, NULL);
    assert_ok(survey(&run, &source));
    request_init(&request, &source, 0, NSM_STR_LIT("\x7fnot a token\x01"));
    struct nsm_reader *const reader = new_reader(&run, &request);
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_error *error = run.adapter->reader_open(reader, run.ctx);
    if (!error) {
        error = run.adapter->read(reader, run.ctx, &batch, &is_end);
        run.adapter->reader_close(reader);
    }
    assert_code(error, NSM_E_CORRUPT);
    free(reader);
    nsm_batch_release(&batch);
    source_release(&run, &source);
    run_end(&run);
    nsm_census_release(&data.shape);
}

static void on_name(void *arg, const char *name)
{
    size_t *const n_names = arg;
    assert_true(name && name[0]);
    ++*n_names;
}

static void list_calls_back(void **state)
{
    struct conformance_fixture *const fixture = *state;
    const struct nsm_adapter *const adapter = fixture->adapter;
    struct run run;
    struct data data;
    size_t n_names = 0;
    data_init(&data, fixture, "one");
    if (is_destination(fixture))
        fill(fixture, &data, 3);
    run_begin(&run, fixture, "run");
    const char *const end = strchr(adapter->list_keys, '|');
    const size_t len = end ? (size_t)(end - adapter->list_keys) : strlen(adapter->list_keys);
    NSM_CLEANUP(nsm_freep) char *key = nsm_xstrndup((struct nsm_str){adapter->list_keys, len});
    assert_ok(adapter->list(run.backend, run.ctx, key, "*", on_name, &n_names));
    assert_true(n_names > 0);
    n_names = 0;
    assert_ok(adapter->list(run.backend, run.ctx, key, "no-such-name-*", on_name, &n_names));
    assert_int_equal(n_names, 0);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* Source and destination of one namespace are told to be the same data. */
static void identity_is_shared(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct run run;
    struct data data;
    struct nsm_source source;
    struct nsm_destination destination;
    data_init(&data, fixture, "one");
    fill(fixture, &data, 3);
    run_begin(&run, fixture, "run");
    source_init(&source, &run, NULL);
    assert_ok(survey(&run, &source));
    destination_init(&destination, &run, &data, NSM_IF_EXISTS_MERGE);
    assert_ok(inspect(&run, &destination));
    assert_string_equal(source.census.identity, destination.target.identity);
    destination_release(&run, &destination);
    source_release(&run, &source);
    run_end(&run);
    nsm_census_release(&data.shape);
}

/* ---- running ---- */

/* What a test needs of an adapter; those that it can't have are not run. */
enum need {
    NEED_NOTHING,
    NEED_DESTINATION,
    NEED_TX_CHECKPOINT,
    NEED_RESET,
    NEED_MISSING,
    NEED_LIST,
};

static const struct {
    enum need need;
    struct CMUnitTest test;
} all_tests[] = {
#define CONFORMANCE_TEST(need, name)            \
 {                                              \
  need,                                         \
  {                                             \
#   name, name, test_setup, test_teardown, NULL \
  }                                             \
 }
    CONFORMANCE_TEST(NEED_NOTHING, check_tells_a_version),
    CONFORMANCE_TEST(NEED_NOTHING, parts_cover_all_once),
    CONFORMANCE_TEST(NEED_NOTHING, tokens_continue_exactly),
    CONFORMANCE_TEST(NEED_NOTHING, bad_places_are_refused),
    CONFORMANCE_TEST(NEED_NOTHING, cancellation_ends_each_operation),
    CONFORMANCE_TEST(NEED_MISSING, missing_selection_is_not_found),
    CONFORMANCE_TEST(NEED_LIST, list_calls_back),
    CONFORMANCE_TEST(NEED_DESTINATION, written_reads_back),
    CONFORMANCE_TEST(NEED_DESTINATION, uncommitted_is_mended),
    CONFORMANCE_TEST(NEED_DESTINATION, prepare_takes_up),
    CONFORMANCE_TEST(NEED_DESTINATION, empty_object_stands),
    CONFORMANCE_TEST(NEED_DESTINATION, identity_is_shared),
    CONFORMANCE_TEST(NEED_DESTINATION, fail_finds_the_conflict),
    CONFORMANCE_TEST(NEED_DESTINATION, replace_puts_ours_in_place),
    CONFORMANCE_TEST(NEED_DESTINATION, merge_overwrites_the_same),
    CONFORMANCE_TEST(NEED_DESTINATION, skip_adds_the_missing),
    CONFORMANCE_TEST(NEED_DESTINATION, skip_counts),
    CONFORMANCE_TEST(NEED_TX_CHECKPOINT, checkpoints_are_kept),
    CONFORMANCE_TEST(NEED_RESET, reset_undoes),
};

static bool has(const struct conformance_fixture *fixture, enum need need)
{
    switch (need) {
    case NEED_DESTINATION:
        return is_destination(fixture);
    case NEED_TX_CHECKPOINT:
        return fixture->adapter->caps & NSM_CAP_TX_CHECKPOINT;
    case NEED_RESET:
        return fixture->adapter->reset_object;
    case NEED_MISSING:
        return fixture->missing[0];
    case NEED_LIST:
        return fixture->adapter->list;
    case NEED_NOTHING:
        break;
    }
    return true;
}

int conformance_run(struct conformance_fixture *fixture)
{
    struct CMUnitTest tests[NSM_COUNT_OF(all_tests)];
    size_t n_tests = 0;
    for (size_t i = 0; i < NSM_COUNT_OF(all_tests); i++) {
        if (!has(fixture, all_tests[i].need))
            continue;
        tests[n_tests] = all_tests[i].test;
        tests[n_tests++].initial_state = fixture;
    }
    return _cmocka_run_group_tests(fixture->name, tests, n_tests, NULL, NULL);
}
