/*
 * What the contract promises of every adapter, be it a source alone: its census, its parts, its
 * tokens, and that it ends when its context does. One promise a test.
 */
#include "migrate/base/clock.h"
#include "tests/support/conformance_drive.h"
#include "tests/support/conformance_internal.h"

static void check_tells_a_version(void **state)
{
    struct conf_run run;
    struct nsm_health health = {0};
    conf_run_begin(&run, *state, "run");
    assert_ok(run.adapter->check(run.backend, run.ctx, &health));
    assert_true(health.version && health.version[0]);
    assert_true(health.latency_ns >= 0);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    conf_run_end(&run);
}

/* A part's range is opaque bytes that mean the same in a later run; an object without records has
 * no part; together the parts are each record once. */
static void parts_cover_all_once(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_source source;
    struct conf_collection found;
    struct conf_collection whole;
    conf_data_init(&data, fixture, "one");
    if (conf_is_destination(fixture))
        conf_fill(fixture, &data, 40);
    conf_run_begin(&run, fixture, "run");
    conf_source_init(&source, &run, NULL);
    assert_ok(conf_survey(&run, &source));
    assert_non_null(source.census.identity);
    assert_true(source.census.n_parts >= 1);
    for (size_t i = 0; i < source.census.n_parts; i++)
        assert_true(source.census.parts[i].object < source.census.n_objects);
    conf_collection_init(&found, source.census.prefix.len);
    conf_read_all(&run, &source, &found);
    conf_source_release(&run, &source);

    conf_source_init(&source, &run, NULL);
    source.part_bytes = 0;
    assert_ok(conf_survey(&run, &source));
    conf_collection_init(&whole, source.census.prefix.len);
    conf_read_all(&run, &source, &whole);
    conf_assert_same(&found, &whole);
    if (!conf_is_destination(fixture))
        assert_int_equal(found.batch.n_records, fixture->n_served);
    conf_source_release(&run, &source);
    conf_collection_release(&found);
    conf_collection_release(&whole);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* Reads `n_batches`, and the rest by a reader that begins at their token. False when there was no
 * rest, or no token. */
static bool read_in_two(struct conf_run *run, const struct nsm_source *source, size_t part,
                        size_t n_batches, struct conf_collection *into)
{
    struct conf_place place = {0};
    conf_read_part(run, source, part, n_batches, &place, into);
    const bool is_cut = !place.is_end && place.len > 0;
    if (is_cut)
        conf_read_part(run, source, part, SIZE_MAX, &place, into);
    free(place.token);
    return is_cut;
}

/* From each token of each part on, a reader opened anew gives exactly the rest. */
static void tokens_continue_exactly(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_source source;
    size_t n_cuts = 0;
    conf_data_init(&data, fixture, "one");
    if (conf_is_destination(fixture))
        conf_fill(fixture, &data, 40);
    conf_run_begin(&run, fixture, "run");
    conf_source_init(&source, &run, NULL);
    source.part_bytes = 2000;
    assert_ok(conf_survey(&run, &source));
    for (size_t part = 0; part < source.census.n_parts; part++) {
        struct conf_collection whole;
        bool is_cut = true;
        conf_collection_init(&whole, source.census.prefix.len);
        conf_read_whole(&run, &source, part, &whole);
        for (size_t n_batches = 1; is_cut; n_batches++) {
            struct conf_collection cut;
            conf_collection_init(&cut, source.census.prefix.len);
            is_cut = read_in_two(&run, &source, part, n_batches, &cut);
            n_cuts += is_cut;
            if (is_cut)
                conf_assert_same(&cut, &whole);
            conf_collection_release(&cut);
        }
        conf_collection_release(&whole);
    }
    assert_true(n_cuts > 0);
    conf_source_release(&run, &source);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

static void missing_selection_is_not_found(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_source source;
    conf_data_init(&data, fixture, "one");
    if (conf_is_destination(fixture))
        conf_fill(fixture, &data, 3);
    conf_run_begin(&run, fixture, "run");
    nsm_settings_free(run.source_settings);
    run.source_settings = conf_make_settings(fixture->adapter->source_options, fixture->missing);
    conf_source_init(&source, &run, NULL);
    assert_code(conf_survey(&run, &source), NSM_E_NOTFOUND);
    conf_source_release(&run, &source);
    conf_run_end(&run);
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
    struct conf_run run;
    struct conf_data data;
    size_t n_names = 0;
    conf_data_init(&data, fixture, "one");
    if (conf_is_destination(fixture))
        conf_fill(fixture, &data, 3);
    conf_run_begin(&run, fixture, "run");
    const char *const end = strchr(adapter->list_keys, '|');
    const size_t len = end ? (size_t)(end - adapter->list_keys) : strlen(adapter->list_keys);
    NSM_CLEANUP(nsm_freep) char *key = nsm_xstrndup((struct nsm_str){adapter->list_keys, len});
    assert_ok(adapter->list(run.backend, run.ctx, key, "*", on_name, &n_names));
    assert_true(n_names > 0);
    n_names = 0;
    assert_ok(adapter->list(run.backend, run.ctx, key, "no-such-name-*", on_name, &n_names));
    assert_int_equal(n_names, 0);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* A token or a range that no reader gave is an error, not a wrong place. */
static void bad_places_are_refused(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_source source;
    struct nsm_read_request request;
    struct nsm_batch batch;
    bool is_end = false;
    conf_data_init(&data, fixture, "one");
    if (conf_is_destination(fixture))
        conf_fill(fixture, &data, 10);
    conf_run_begin(&run, fixture, "run");
    conf_source_init(&source, &run, NULL);
    assert_ok(conf_survey(&run, &source));
    conf_request_init(&request, &source, 0, NSM_STR_LIT("\x7fnot a token\x01"));
    struct nsm_reader *const reader = conf_new_reader(&run, &request);
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_error *error = run.adapter->reader_open(reader, run.ctx);
    if (!error) {
        error = run.adapter->read(reader, run.ctx, &batch, &is_end);
        run.adapter->reader_close(reader);
    }
    assert_code(error, NSM_E_CORRUPT);
    free(reader);
    nsm_batch_release(&batch);
    conf_source_release(&run, &source);
    conf_run_end(&run);
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

static void cancel_reading(struct conf_run *run, struct nsm_context *canceled)
{
    struct nsm_source source;
    conf_source_init(&source, run, NULL);
    assert_ok(conf_survey(run, &source));
    struct nsm_read_request request;
    struct nsm_batch batch;
    bool is_end = false;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    conf_request_init(&request, &source, 0, (struct nsm_str){0});
    struct nsm_reader *reader = conf_new_reader(run, &request);
    struct nsm_error *error = run->adapter->reader_open(reader, canceled);
    if (!error)
        run->adapter->reader_close(reader);
    allow_canceled(error);
    free(reader);
    reader = conf_new_reader(run, &request);
    assert_ok(run->adapter->reader_open(reader, run->ctx));
    allow_canceled(run->adapter->read(reader, canceled, &batch, &is_end));
    run->adapter->reader_close(reader);
    free(reader);
    nsm_batch_release(&batch);
    conf_source_release(run, &source);

    struct nsm_source *other = &source;
    conf_source_init(&source, run, NULL);
    allow_canceled(run->adapter->survey(run->backend, canceled, &other, 1));
    conf_source_release(run, &source);
}

static void cancel_writing(struct conf_run *run, struct nsm_destination *destination,
                           const struct conf_data *data, struct nsm_context *canceled)
{
    struct conf_writing writing;
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    conf_data_add(data, &destination->target.objects[0], 0, 5, &batch);
    assert_ok(conf_writing_open(run, destination, NULL, &writing));
    struct nsm_error *error = run->adapter->write(writing.writer, canceled, &batch);
    if (!error)
        error = run->adapter->checkpoint(writing.writer, canceled, &writing.checkpoint);
    allow_canceled(error);
    conf_writing_close(run, &writing);
    nsm_batch_release(&batch);
}

/* Each operation ends promptly under a cancelled context, and closing after it leaks nothing. */
static void cancellation_ends_each_operation(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_health health = {0};
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *canceled = canceled_context();
    conf_data_init(&data, fixture, "one");
    if (conf_is_destination(fixture))
        conf_fill(fixture, &data, 10);
    conf_run_begin(&run, fixture, "run");
    const int64_t start_ns = nsm_now_ns();
    allow_canceled(run.adapter->check(run.backend, canceled, &health));
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    cancel_reading(&run, canceled);
    if (conf_is_destination(fixture)) {
        struct nsm_destination destination;
        struct nsm_destination *at = &destination;
        conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
        allow_canceled(run.adapter->inspect(run.backend, canceled, &at, 1));
        conf_destination_release(&run, &destination);
        conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
        assert_ok(conf_inspect(&run, &destination));
        allow_canceled(run.adapter->prepare(&destination, canceled));
        conf_prepare(&run, &destination);
        cancel_writing(&run, &destination, &data, canceled);
        conf_write_all(&run, &destination, &data, 0, 10); /* the next run of it goes through */
        conf_finish(&run, &destination);
        if (run.adapter->complete)
            allow_canceled(run.adapter->complete(&destination, canceled));
        conf_complete(&run, &destination);
        conf_destination_release(&run, &destination);
    }
    assert_true(nsm_now_ns() - start_ns < 10 * NSM_NS_PER_S);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

const struct conf_test conf_reading_tests[] = {
    {"check_tells_a_version", check_tells_a_version, CONF_NEED_NOTHING},
    {"parts_cover_all_once", parts_cover_all_once, CONF_NEED_NOTHING},
    {"tokens_continue_exactly", tokens_continue_exactly, CONF_NEED_NOTHING},
    {"missing_selection_is_not_found", missing_selection_is_not_found, CONF_NEED_MISSING},
    {"list_calls_back", list_calls_back, CONF_NEED_LIST},
    {"bad_places_are_refused", bad_places_are_refused, CONF_NEED_NOTHING},
    {"cancellation_ends_each_operation", cancellation_ends_each_operation, CONF_NEED_NOTHING},
    {0},
};
