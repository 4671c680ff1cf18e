/*
 * What is written to files comes back, and a writer goes on from any checkpoint.
 */
#include "tests/support/file_rig.h"

#include <sys/stat.h>

static const char *const compressions[] = {"none", "zstd"};

static void rows_come_back(void **state)
{
    (void)state;
    for (size_t variant = 0; variant < NSM_COUNT_OF(compressions); variant++) {
        struct rig rig;
        rig_begin(&rig, compressions[variant]);
        rig_shape_table(&rig, "users");
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
        assert_int_equal(rig_count_findings(&rig, NSM_FINDING_CREATE), 1);
        assert_int_equal(rig.destination.target.findings.n_items, 1);
        rig_export_rows(&rig, "app", 1000);

        struct nsm_batch batch;
        nsm_batch_init(&batch, NSM_LANE_RECORD);
        struct nsm_digest expected = {0};
        for (uint64_t id = 0; id < 1000; id++) {
            nsm_batch_clear(&batch);
            rig_add_row(&batch, id);
            nsm_digest_add_record(&expected, &batch.records[0], 0, NSM_DIGEST_TYPED);
        }
        nsm_batch_release(&batch);

        for (size_t n_batch = 1; n_batch < 2000; n_batch = n_batch * 7 + 3) {
            struct rig_reading reading;
            rig_assert_ok(rig_survey(&rig, "app", &reading));
            assert_int_equal(reading.source.census.n_parts, 1);
            rig_assert_ok(rig_read_part(&rig, &reading, 0, n_batch, n_batch > 5));
            assert_true(nsm_digest_equals(&expected, &reading.digest));
            assert_int_equal(reading.digest.n_records, 1000);
            rig_end_reading(&reading);
        }
        rig_end(&rig);
    }
}

static void census_is_what_was_written(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_shape_table(&rig, "empty");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "app", 10);
    struct rig_reading reading;
    rig_assert_ok(rig_survey(&rig, "app", &reading));
    const struct nsm_census *const census = &reading.source.census;
    assert_int_equal(census->n_objects, 2);
    assert_int_equal(census->n_parts, 1);
    assert_string_equal(census->identity, rig.destination.target.identity);
    const struct nsm_object *const users = &census->objects[0];
    assert_string_equal(users->name, "users");
    assert_string_equal(users->schema, "public");
    assert_int_equal(users->model, NSM_MODEL_ROWS);
    assert_int_equal(users->n_records, 10);
    assert_true(users->is_exact);
    assert_int_equal(users->n_columns, 4);
    assert_string_equal(users->columns[1].name, "na\"me");
    assert_int_equal(users->columns[2].type, NSM_TIME);
    assert_string_equal(users->columns[2].type_name, "timestamptz");
    assert_true(users->columns[0].is_not_null);
    assert_false(users->columns[1].is_not_null);
    assert_int_equal(users->n_key_columns, 1);
    assert_int_equal(users->key_columns[0], 0);
    assert_string_not_equal(users->version, census->objects[1].version);
    assert_int_equal(census->objects[1].n_records, 0);
    rig_end_reading(&reading);
    rig_end(&rig);
}

static void keys_come_back(void **state)
{
    (void)state;
    for (size_t variant = 0; variant < NSM_COUNT_OF(compressions); variant++) {
        struct rig rig;
        rig_begin(&rig, compressions[variant]);
        rig_shape_keys(&rig, NSM_STR_LIT("p:"));
        rig_inspect(&rig, "keys", NSM_IF_EXISTS_FAIL, false);
        rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
        struct nsm_batch batch;
        nsm_batch_init(&batch, NSM_LANE_RECORD);
        rig_add_keys(&batch);
        struct nsm_digest expected = {0};
        for (size_t index = 0; index < batch.n_records; index++)
            nsm_digest_add_hash(&expected,
                                nsm_record_hash(&batch.records[index], 0, NSM_DIGEST_TYPED));
        struct rig_writing writing;
        rig_open_writer(&rig, 0, "keys/0", NULL, &writing);
        rig_write_batch(&rig, &writing, &batch);
        rig_checkpoint(&rig, &writing, "", true);
        rig_close_writer(&writing);
        rig_finish(&rig);
        for (size_t n_batch = 1; n_batch < 20; n_batch++) {
            struct rig_reading reading;
            rig_assert_ok(rig_survey(&rig, "keys", &reading));
            assert_true(nsm_str_equals(reading.source.census.prefix, NSM_STR_LIT("p:")));
            assert_int_equal(reading.source.census.objects[0].model, NSM_MODEL_KEYS);
            assert_int_equal(reading.source.census.objects[0].n_records, 7);
            rig_assert_ok(rig_read_part(&rig, &reading, 0, n_batch, true));
            assert_true(nsm_digest_equals(&expected, &reading.digest));
            rig_end_reading(&reading);
        }
        nsm_batch_release(&batch);
        rig_end(&rig);
    }
}

/* A key that was begun must be begun again: between its slices there is no place to go on at. */
static void no_resume_within_a_key(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_keys(&rig, NSM_STR_LIT("p:"));
    rig_inspect(&rig, "keys", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    rig_add_keys(&batch);
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "keys/0", NULL, &writing);
    rig_write_batch(&rig, &writing, &batch);
    rig_checkpoint(&rig, &writing, "", true);
    rig_close_writer(&writing);
    rig_finish(&rig);
    struct rig_reading reading;
    rig_assert_ok(rig_survey(&rig, "keys", &reading));
    const struct nsm_read_request request = {
        .source = &reading.source,
        .part = &reading.source.census.parts[0],
        .object = &reading.source.census.objects[0],
        .batch_records = 1,
        .batch_bytes = 1 << 20,
    };
    struct nsm_reader *reader NSM_CLEANUP(nsm_freep) = nsm_xcalloc(1, nsm_adapter_file.reader_size);
    reader->backend = rig.backend;
    reader->request = &request;
    rig_assert_ok(nsm_adapter_file.reader_open(reader, rig.ctx));
    for (size_t index = 0; index < batch.n_records; index++) {
        bool is_end = true;
        nsm_batch_clear(&reading.batch);
        rig_assert_ok(nsm_adapter_file.read(reader, rig.ctx, &reading.batch, &is_end));
        assert_false(is_end);
        const bool has_more = batch.records[index].flags & NSM_RECORD_MORE;
        assert_int_equal(reading.batch.resume.len == 0, has_more);
    }
    nsm_adapter_file.reader_close(reader);
    nsm_batch_release(&batch);
    rig_end_reading(&reading);
    rig_end(&rig);
}

/* Writes one string of `n_bytes` in slices of `n_slice`. */
static void export_string(struct rig *rig, size_t n_bytes, size_t n_slice)
{
    static char bytes[100];
    for (size_t at = 0; at < sizeof(bytes); at++)
        bytes[at] = (char)(at * 7);
    rig_inspect(rig, "keys", NSM_IF_EXISTS_FAIL, true);
    rig_assert_ok(nsm_adapter_file.prepare(&rig->destination, rig->ctx));
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    size_t at = 0;
    do {
        const size_t len = n_bytes - at < n_slice ? n_bytes - at : n_slice;
        struct nsm_record *const record = nsm_batch_add(&batch, NSM_KIND_STRING, 1);
        record->key = NSM_STR_LIT("big");
        record->expires_at_ms = 99;
        record->flags =
            (at > 0 ? NSM_RECORD_CONTINUED : 0U) | (at + len < n_bytes ? NSM_RECORD_MORE : 0U);
        record->items[0] = (struct nsm_value){NSM_BYTES, {.ptr = bytes + at, .len = len}};
        nsm_batch_account(&batch);
        at += len;
    } while (at < n_bytes);
    struct rig_writing writing;
    rig_open_writer(rig, 0, "keys/0", NULL, &writing);
    rig_write_batch(rig, &writing, &batch);
    rig_checkpoint(rig, &writing, "", true);
    rig_close_writer(&writing);
    rig_finish(rig);
    nsm_batch_release(&batch);
}

/* What is read does not depend on the slices that were written, only on the request. */
static void strings_are_cut_anew(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_keys(&rig, NSM_STR_LIT(""));
    for (size_t n_bytes = 0; n_bytes < 100; n_bytes += 9) {
        struct nsm_digest digests[6] = {0};
        static const size_t slices[] = {100, 40, 9};
        static const size_t cuts[] = {7, 9};
        for (size_t slice = 0; slice < NSM_COUNT_OF(slices); slice++) {
            export_string(&rig, n_bytes, slices[slice]);
            for (size_t cut = 0; cut < NSM_COUNT_OF(cuts); cut++) {
                struct rig_reading reading;
                rig_assert_ok(rig_survey(&rig, "keys", &reading));
                reading.batch_bytes = cuts[cut];
                rig_assert_ok(rig_read_part(&rig, &reading, 0, 3, true));
                const size_t n_pieces = n_bytes ? (n_bytes - 1) / cuts[cut] + 1 : 1;
                assert_int_equal(reading.digest.n_records, n_pieces);
                digests[2 * slice + cut] = reading.ordered;
                rig_end_reading(&reading);
            }
        }
        for (size_t index = 2; index < NSM_COUNT_OF(digests); index++)
            assert_true(nsm_digest_equals(&digests[index], &digests[index % 2]));
    }
    rig_end(&rig);
}

/* Whatever was written behind a checkpoint is gone when the writer goes on from it; and it may go
 * on from any, not only from the last. */
static void cut_back_to_any_checkpoint(void **state)
{
    (void)state;
    for (size_t variant = 0; variant < 2 * NSM_COUNT_OF(compressions); variant++) {
        struct rig rig;
        rig_begin(&rig, compressions[variant % 2]);
        rig_shape_table(&rig, "users");
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
        rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
        struct rig_writing writing;
        rig_open_writer(&rig, 0, "app/0", NULL, &writing);
        rig_write_rows(&rig, &writing, 0, 100);
        rig_checkpoint(&rig, &writing, "at 100", false);
        const struct nsm_checkpoint first = writing.now;
        rig_write_rows(&rig, &writing, 100, 150);
        rig_checkpoint(&rig, &writing, "at 150", false);
        const struct nsm_checkpoint second = writing.now;
        rig_write_rows(&rig, &writing, 777, 10000);
        rig_close_writer(&writing);

        const bool is_first = variant >= 2;
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, true);
        assert_int_equal(rig_count_findings(&rig, NSM_FINDING_CONFLICT), 0);
        rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
        rig_open_writer(&rig, 0, "app/0", is_first ? &first : &second, &writing);
        rig_write_rows(&rig, &writing, is_first ? 100 : 150, 200);
        rig_checkpoint(&rig, &writing, "", true);
        rig_close_writer(&writing);
        rig_finish(&rig);
        struct nsm_digest digest = {0};
        rig_assert_ok(rig_read_all(&rig, "app", &digest));
        assert_int_equal(digest.n_records, 200);

        struct rig whole;
        rig_begin(&whole, "none");
        rig_shape_table(&whole, "users");
        rig_inspect(&whole, "app", NSM_IF_EXISTS_FAIL, false);
        rig_export_rows(&whole, "app", 200);
        struct nsm_digest expected = {0};
        rig_assert_ok(rig_read_all(&whole, "app", &expected));
        assert_true(nsm_digest_equals(&digest, &expected));
        rig_end(&whole);
        rig_end(&rig);
    }
}

static void canceled_work_says_so(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "app/0", NULL, &writing);
    nsm_context_cancel(rig.ctx, NULL);
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    rig_add_row(&batch, 1);
    rig_assert_error(nsm_adapter_file.write(writing.writer, rig.ctx, &batch), NSM_E_CANCELED,
                     "canceled");
    nsm_batch_release(&batch);
    rig_close_writer(&writing);
    rig_end(&rig);
}

static void wrong_records_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_shape_keys(&rig, NSM_STR_LIT("p:"));
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (size_t object = 0; object < 2; object++) {
        struct rig_writing writing;
        rig_open_writer(&rig, object, "app/0", NULL, &writing);
        nsm_batch_clear(&batch);
        assert_non_null(nsm_batch_add(&batch, NSM_KIND_ROW, 1));
        rig_assert_error(nsm_adapter_file.write(writing.writer, rig.ctx, &batch), NSM_E_INTERNAL,
                         "row");
        rig_close_writer(&writing);
    }
    nsm_batch_release(&batch);
    rig_end(&rig);
}

static void files_are_private(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "app", 2);
    static const struct {
        const char *name;
        mode_t mode;
    } cases[] = {{"app", 0700}, {"app/users.0.jsonl", 0600}, {"app/manifest.json", 0600}};
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        char *const path = rig_path_of(&rig, cases[index].name);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, cases[index].mode);
        free(path);
    }
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),        cmocka_unit_test(census_is_what_was_written),
        cmocka_unit_test(keys_come_back),        cmocka_unit_test(no_resume_within_a_key),
        cmocka_unit_test(strings_are_cut_anew),  cmocka_unit_test(cut_back_to_any_checkpoint),
        cmocka_unit_test(canceled_work_says_so), cmocka_unit_test(wrong_records_are_refused),
        cmocka_unit_test(files_are_private),
    };
    return cmocka_run_group_tests_name("file_adapter", tests, NULL, NULL);
}
