/* The adapter `memory`: the faults that are ordered come, the store outlives its backends, and what
 * tests count is right. */
#include "adapters/memory/memory.h"

#include <pthread.h>
#include <time.h>

#include "migrate/base/clock.h"
#include "tests/support/conformance_drive.h"

#define STORE "test_memory_adapter"

static int setup(void **state)
{
    static struct conformance_fixture fixture;
    fixture = (struct conformance_fixture){
        .adapter = &nsm_adapter_memory,
        .backend = {"store", STORE},
        .model = NSM_CAP_ROWS,
    };
    nsm_memory_store_drop(STORE);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nsm_memory_store_drop(STORE);
    return 0;
}

static void sources_are_made_up_alike(void **state)
{
    struct conf_run run;
    struct nsm_source source;
    struct conf_collection first;
    struct conf_collection second;
    conformance_set(((struct conformance_fixture *)*state)->backend, "records", "25");
    conf_run_begin(&run, *state, "run");
    conf_collection_init(&first, 0);
    conf_collection_init(&second, 0);
    conf_read_back(&run, NULL, &first);
    conf_read_back(&run, NULL, &second);
    assert_int_equal(first.batch.n_records, 25);
    conf_assert_same(&first, &second);
    conf_source_init(&source, &run, NULL);
    source.namespace_name = "another";
    conf_collection_release(&second);
    conf_collection_init(&second, 0);
    assert_ok(conf_survey(&run, &source));
    conf_read_all(&run, &source, &second);
    const struct nsm_digest one = conf_digest_of(&first);
    const struct nsm_digest other = conf_digest_of(&second);
    assert_false(nsm_digest_equals(&one, &other));
    conf_source_release(&run, &source);
    conf_collection_release(&first);
    conf_collection_release(&second);
    conf_run_end(&run);
}

static void a_named_store_outlives_its_backend(void **state)
{
    struct conf_run run;
    struct conf_data data;
    struct conf_collection found;
    struct nsm_memory_counts counts;
    conf_data_init(&data, *state, "one");
    conf_fill(*state, &data, 12);
    assert_int_equal(nsm_memory_store_records(STORE, "conf"), 12);
    nsm_memory_store_counts(STORE, &counts);
    assert_int_equal(counts.n_written, 12);
    assert_int_equal(counts.n_prepared, 1);
    assert_int_equal(counts.n_writers, 0);
    assert_int_equal(counts.max_writers, 1);
    assert_int_equal(counts.n_completed, 2); /* the suite completes twice */
    conf_run_begin(&run, *state, "later");
    conf_collection_init(&found, 0);
    conf_read_back(&run, NULL, &found);
    assert_int_equal(found.batch.n_records, 12);
    conf_collection_release(&found);
    conf_run_end(&run);
    nsm_memory_store_counts(STORE, &counts);
    assert_int_equal(counts.n_read, 12);
    nsm_memory_store_drop(STORE);
    assert_int_equal(nsm_memory_store_records(STORE, "conf"), 0);
    nsm_census_release(&data.shape);
}

/* Surveys until the Nth; tells which failed, as bits. */
static unsigned failed_surveys(struct conformance_fixture *fixture, size_t n, const char *name)
{
    struct conf_run run;
    unsigned failed = 0;
    conf_run_begin(&run, fixture, "run");
    for (size_t i = 0; i < n; i++) {
        struct nsm_source source;
        conf_source_init(&source, &run, NULL);
        source.namespace_name = name;
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = conf_survey(&run, &source);
        assert_true(!error || nsm_error_is(error, NSM_E_UNAVAILABLE));
        failed |= (error ? 1U : 0U) << i;
        conf_source_release(&run, &source);
    }
    conf_run_end(&run);
    return failed;
}

static void faults_come_as_ordered(void **state)
{
    struct conformance_fixture *const fixture = *state;
    conformance_set(fixture->backend, "fail_op", "survey");
    conformance_set(fixture->backend, "fail_code", "unavailable");
    assert_int_equal(failed_surveys(fixture, 5, "a"), 0x01);
    conformance_set(fixture->backend, "fail_at", "3");
    assert_int_equal(failed_surveys(fixture, 5, "a"), 0x04);
    conformance_set(fixture->backend, "fail_times", "2");
    assert_int_equal(failed_surveys(fixture, 5, "a"), 0x0c);
    conformance_set(fixture->backend, "fail_times", "0");
    assert_int_equal(failed_surveys(fixture, 5, "a"), 0x1c);
    conformance_set(fixture->backend, "fail_namespace", "b");
    assert_int_equal(failed_surveys(fixture, 5, "a"), 0);
    assert_int_equal(failed_surveys(fixture, 5, "b"), 0x1c);
    conformance_set(fixture->backend, "fail_op", "read");
    assert_int_equal(failed_surveys(fixture, 5, "b"), 0);
}

static void *cancel_later(void *arg)
{
    const struct timespec delay = {.tv_nsec = 30 * NSM_NS_PER_MS};
    (void)nanosleep(&delay, NULL);
    nsm_context_cancel(arg, NULL);
    return NULL;
}

static void a_stall_ends_with_its_context(void **state)
{
    struct conf_run run;
    struct nsm_source source;
    pthread_t thread;
    conformance_set(((struct conformance_fixture *)*state)->backend, "stall_op", "survey");
    conf_run_begin(&run, *state, "run");
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, run.ctx), 0);
    conf_source_init(&source, &run, NULL);
    assert_code(conf_survey(&run, &source), NSM_E_CANCELED);
    conf_source_release(&run, &source);
    pthread_join(thread, NULL);
    conf_run_end(&run);
}

static void a_delay_takes_its_time(void **state)
{
    struct conf_run run;
    struct conf_collection found;
    conformance_set(((struct conformance_fixture *)*state)->backend, "delay", "20ms");
    conf_run_begin(&run, *state, "run");
    conf_collection_init(&found, 0);
    const int64_t start_ns = nsm_now_ns();
    conf_read_back(&run, NULL, &found); /* ten records, at most four a batch: three at least */
    assert_true(nsm_now_ns() - start_ns >= 60 * NSM_NS_PER_MS);
    assert_int_equal(found.batch.n_records, 10);
    conf_collection_release(&found);
    conf_run_end(&run);
}

/* Adds a slice of a list of two elements. */
static void add_slice(struct nsm_batch *batch, const char *key, unsigned flags)
{
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_LIST, 2);
    record->key = nsm_str_of(key);
    record->flags = flags;
    record->items[0] = (struct nsm_value){NSM_BYTES, NSM_STR_LIT("x")};
    record->items[1] = (struct nsm_value){NSM_BYTES, NSM_STR_LIT("y")};
}

/* A big key comes back in the slices in which it was written, over a checkpoint too. */
static void slices_stay_slices(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_writing writing;
    struct nsm_batch batch;
    struct conf_collection found;
    fixture->model = NSM_CAP_KEYS;
    conf_data_init(&data, fixture, "one");
    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    conf_prepare(&run, &destination);
    assert_ok(conf_writing_open(&run, &destination, NULL, &writing));
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    add_slice(&batch, "from:big", NSM_RECORD_MORE);
    add_slice(&batch, "from:big", NSM_RECORD_MORE | NSM_RECORD_CONTINUED);
    assert_ok(run.adapter->write(writing.writer, run.ctx, &batch));
    conf_put_checkpoint(&run, &writing, "t\0\xff!", false);
    nsm_batch_clear(&batch);
    add_slice(&batch, "from:big", NSM_RECORD_CONTINUED);
    add_slice(&batch, "from:small", 0);
    assert_ok(run.adapter->write(writing.writer, run.ctx, &batch));
    conf_put_checkpoint(&run, &writing, NULL, true);
    conf_writing_close(&run, &writing);
    assert_int_equal(nsm_memory_store_records(STORE, "conf"), 2);
    conf_collection_init(&found, 0);
    conf_read_back(&run, &destination, &found);
    assert_int_equal(found.batch.n_records, 2);
    assert_int_equal(found.batch.records[0].n_items, 6);
    assert_int_equal(found.batch.records[1].n_items, 2);
    assert_true(nsm_str_equals(found.batch.records[0].key, NSM_STR_LIT("conf:big")));
    conf_collection_release(&found);
    nsm_batch_clear(&batch);
    add_slice(&batch, "from:unknown", NSM_RECORD_CONTINUED);
    assert_ok(conf_writing_open(&run, &destination, NULL, &writing));
    assert_ok(run.adapter->write(writing.writer, run.ctx, &batch));
    assert_code(run.adapter->checkpoint(writing.writer, run.ctx, &writing.checkpoint),
                NSM_E_INTERNAL);
    conf_writing_close(&run, &writing);
    nsm_batch_release(&batch);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

static void bad_settings_are_refused(void **state)
{
    static const char *const bad[][5] = {
        {"objects", "0", NULL},
        {"objects", "2", "model", "keys", NULL},
        {"value_bytes", "2GiB", NULL},
    };
    (void)state;
    for (size_t i = 0; i < NSM_COUNT_OF(bad); i++) {
        NSM_CLEANUP(nsm_settings_freep)
        struct nsm_settings *settings =
            conf_make_settings(nsm_adapter_memory.backend_options, bad[i]);
        NSM_CLEANUP(nsm_freep)
        struct nsm_backend *backend = nsm_xcalloc(1, nsm_adapter_memory.backend_size);
        backend->settings = settings;
        assert_code(nsm_adapter_memory.open(backend), NSM_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sources_are_made_up_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(a_named_store_outlives_its_backend, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_come_as_ordered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stall_ends_with_its_context, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delay_takes_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(slices_stay_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_settings_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
