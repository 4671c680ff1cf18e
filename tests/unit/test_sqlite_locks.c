/* The adapter `sqlite` where it has to wait: other programs' locks, long statements, turns. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>

#include "migrate/base/clock.h"
#include "tests/support/sqlite_rig.h"

/* Generous: the machine may be busy. What is canceled would else last for minutes. */
#define SOON_NS (5 * NSM_NS_PER_S)

static int setup(void **state)
{
    *state = conformance_make_folder();
    return 0;
}

static int teardown(void **state)
{
    conformance_remove_folder(*state);
    return 0;
}

static void *cancel_later(void *arg)
{
    const struct timespec delay = {.tv_nsec = 50 * NSM_NS_PER_MS};
    (void)nanosleep(&delay, NULL);
    nsm_context_cancel(arg, NULL);
    return NULL;
}

/* Cancels the context a little later; join the thread. */
static pthread_t start_canceler(struct nsm_context *ctx)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, ctx), 0);
    return thread;
}

static void a_long_statement_ends_with_its_context(void **state)
{
    struct lite lite;
    struct nsm_source source;
    /* Each row takes about a millisecond to compute: minutes in all. */
    lite_exec(*state, "a.db",
              "CREATE TABLE t (a INTEGER PRIMARY KEY);"
              "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
              " WHERE i < 200000) SELECT i FROM n;"
              "ALTER TABLE t ADD COLUMN slow AS (length(hex(zeroblob(1000000 + a))))");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    const pthread_t canceler = start_canceler(lite.ctx);
    const int64_t start_ns = nsm_now_ns();
    lite_expect_error(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0), NSM_E_CANCELED, "");
    assert_true(nsm_now_ns() - start_ns < SOON_NS);
    pthread_join(canceler, NULL);
    lite_release_source(&source);
    lite_close(&lite);
}

/* A writer at work: the destination of a table `t (a)` that stands in b.db as ours. */
struct work {
    struct lite lite;
    struct nsm_census shape;
    struct nsm_destination destination;
    struct nsm_write_request request;
    struct nsm_writer *writer;
    struct nsm_batch batch;
};

static void work_begin(struct work *work, const char *folder)
{
    *work = (struct work){0};
    lite_open(&work->lite, folder, "b.db", NULL, NULL);
    struct nsm_object *const object = nsm_census_add_object(&work->shape);
    object->name = "t";
    object->columns = nsm_arena_calloc(&work->shape.arena, 1, sizeof(*object->columns));
    object->columns[0] = (struct nsm_column){.name = "a", .type = NSM_INT, .type_name = "bigint"};
    object->n_columns = 1;
    work->destination = (struct nsm_destination){
        .backend = work->lite.backend,
        .namespace_name = "ns",
        .selection = work->lite.destination_settings,
        .shape = &work->shape,
        .source_adapter = "other",
    };
    struct nsm_destination *at = &work->destination;
    assert_ok(nsm_adapter_sqlite.inspect(work->lite.backend, work->lite.ctx, &at, 1));
    assert_ok(nsm_adapter_sqlite.prepare(&work->destination, work->lite.ctx));
    work->request = (struct nsm_write_request){
        .destination = &work->destination,
        .object = &work->destination.target.objects[0],
        .part_id = NSM_STR_LIT("ns/0"),
    };
    work->writer = nsm_xcalloc(1, nsm_adapter_sqlite.writer_size);
    work->writer->backend = work->lite.backend;
    work->writer->request = &work->request;
    assert_ok(nsm_adapter_sqlite.writer_open(work->writer, work->lite.ctx));
    nsm_batch_init(&work->batch, NSM_LANE_RECORD);
    struct nsm_record *const record = nsm_batch_add(&work->batch, NSM_KIND_ROW, 1);
    record->items[0] = (struct nsm_value){NSM_INT, NSM_STR_LIT("1")};
}

static void work_end(struct work *work)
{
    nsm_adapter_sqlite.writer_close(work->writer);
    free(work->writer);
    nsm_batch_release(&work->batch);
    nsm_adapter_sqlite.release_destination(&work->destination);
    nsm_census_release(&work->destination.target);
    nsm_census_release(&work->shape);
    lite_close(&work->lite);
}

static void a_wait_for_someone_elses_lock_ends_with_its_context(void **state)
{
    struct work work;
    sqlite3 *other = NULL;
    work_begin(&work, *state);
    assert_int_equal(sqlite3_open(work.lite.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    const pthread_t canceler = start_canceler(work.lite.ctx);
    const int64_t start_ns = nsm_now_ns();
    lite_expect_error(nsm_adapter_sqlite.write(work.writer, work.lite.ctx, &work.batch),
                      NSM_E_CANCELED, "");
    assert_true(nsm_now_ns() - start_ns < SOON_NS);
    pthread_join(canceler, NULL);
    sqlite3_close(other);
    work_end(&work);
    lite_expect(*state, "b.db", "SELECT count(*) FROM t", "0");
}

static void *unlock_later(void *arg)
{
    const struct timespec delay = {.tv_nsec = 50 * NSM_NS_PER_MS};
    (void)nanosleep(&delay, NULL);
    (void)sqlite3_exec(arg, "COMMIT", NULL, NULL, NULL);
    return NULL;
}

static void someone_elses_lock_is_waited_for(void **state)
{
    struct work work;
    sqlite3 *other = NULL;
    pthread_t thread;
    const struct nsm_checkpoint checkpoint = {.part_id = NSM_STR_LIT("ns/0"), .is_done = true};
    work_begin(&work, *state);
    assert_int_equal(sqlite3_open(work.lite.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pthread_create(&thread, NULL, unlock_later, other), 0);
    assert_ok(nsm_adapter_sqlite.write(work.writer, work.lite.ctx, &work.batch));
    assert_ok(nsm_adapter_sqlite.checkpoint(work.writer, work.lite.ctx, &checkpoint));
    pthread_join(thread, NULL);
    sqlite3_close(other);
    work_end(&work);
    lite_expect(*state, "b.db", "SELECT count(*) FROM t", "1");
}

/* While a writer is between its first row and its checkpoint, others wait for their turn, and their
 * wait ends with their context. */
static void a_wait_for_the_turn_ends_with_its_context(void **state)
{
    struct work work;
    const struct nsm_checkpoint checkpoint = {.part_id = NSM_STR_LIT("ns/0"), .is_done = true};
    work_begin(&work, *state);
    assert_ok(nsm_adapter_sqlite.write(work.writer, work.lite.ctx, &work.batch));
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    const pthread_t canceler = start_canceler(ctx);
    const int64_t start_ns = nsm_now_ns();
    lite_expect_error(nsm_adapter_sqlite.prepare(&work.destination, ctx), NSM_E_CANCELED, "");
    assert_true(nsm_now_ns() - start_ns < SOON_NS);
    pthread_join(canceler, NULL);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *late = nsm_context_new(NULL);
    nsm_context_set_deadline(late, nsm_now_ns() + 20 * NSM_NS_PER_MS);
    lite_expect_error(nsm_adapter_sqlite.prepare(&work.destination, late), NSM_E_TIMEOUT, "");
    assert_ok(nsm_adapter_sqlite.checkpoint(work.writer, work.lite.ctx, &checkpoint));
    assert_ok(nsm_adapter_sqlite.prepare(&work.destination, work.lite.ctx));
    work_end(&work);
    lite_expect(*state, "b.db", "SELECT count(*) FROM t", "1");
}

/* ---- many at once ---- */

struct crowd {
    struct work *work;
    atomic_size_t n_done;
    atomic_bool has_failed;
};

/* Prepares, writes and reads back a table of its own, as a task would; asserts nothing, because it
 * is not the main thread. */
static struct nsm_error *one_of_many(struct crowd *crowd, size_t number)
{
    struct lite *const lite = &crowd->work->lite;
    struct nsm_destination destination = crowd->work->destination;
    NSM_CLEANUP(nsm_freep) char *table = nsm_xasprintf("t%zu", number);
    NSM_CLEANUP(nsm_freep) char *name = nsm_xasprintf("ns%zu", number);
    struct nsm_object object = crowd->work->destination.target.objects[0];
    object.name = table;
    destination.namespace_name = name;
    destination.target.objects = &object;
    const struct nsm_write_request request = {
        .destination = &destination, .object = &object, .part_id = nsm_str_of(name)};
    const struct nsm_checkpoint checkpoint = {.part_id = request.part_id, .is_done = true};
    NSM_CLEANUP(nsm_freep)
    struct nsm_writer *writer = nsm_xcalloc(1, nsm_adapter_sqlite.writer_size);
    writer->backend = lite->backend;
    writer->request = &request;
    NSM_TRY(nsm_adapter_sqlite.prepare(&destination, lite->ctx));
    NSM_TRY(nsm_adapter_sqlite.writer_open(writer, lite->ctx));
    struct nsm_error *error = nsm_adapter_sqlite.write(writer, lite->ctx, &crowd->work->batch);
    if (!error)
        error = nsm_adapter_sqlite.checkpoint(writer, lite->ctx, &checkpoint);
    nsm_adapter_sqlite.writer_close(writer);
    NSM_TRY(error);
    struct nsm_source source = {
        .backend = lite->backend, .namespace_name = name, .written = &destination};
    struct nsm_source *at = &source;
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    error = nsm_adapter_sqlite.survey(lite->backend, lite->ctx, &at, 1);
    if (!error)
        error = lite_read(lite, &source, &batch);
    if (!error && batch.n_records != 1)
        error = nsm_error_new(NSM_E_INTERNAL, "%zu records", batch.n_records);
    nsm_batch_release(&batch);
    lite_release_source(&source);
    return error ? error : nsm_adapter_sqlite.complete(&destination, lite->ctx);
}

static void *crowd_thread(void *arg)
{
    struct crowd *const crowd = arg;
    for (size_t i = 0; i < 20; i++) {
        NSM_CLEANUP(nsm_error_freep)
        struct nsm_error *error = one_of_many(crowd, atomic_fetch_add(&crowd->n_done, 1));
        if (error)
            atomic_store(&crowd->has_failed, true);
    }
    return NULL;
}

static void many_take_turns(void **state)
{
    struct work work;
    pthread_t threads[4];
    work_begin(&work, *state);
    struct crowd crowd = {.work = &work};
    for (size_t i = 0; i < NSM_COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_thread, &crowd), 0);
    for (size_t i = 0; i < NSM_COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_false(atomic_load(&crowd.has_failed));
    work_end(&work);
    lite_expect(*state, "b.db", "SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]*'",
                "80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_long_statement_ends_with_its_context, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_for_someone_elses_lock_ends_with_its_context, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(someone_elses_lock_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_for_the_turn_ends_with_its_context, setup, teardown),
        cmocka_unit_test_setup_teardown(many_take_turns, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
