/*
 * What the contract promises of destinations: what was written is there, exactly once, whatever died
 * in between; and the four meanings of if_exists. One promise a test.
 */
#include "tests/support/conformance_drive.h"
#include "tests/support/conformance_internal.h"

/* What was written is what is read, with all types or kinds, over several checkpoints. */
static void written_reads_back(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_collection found;
    struct conf_collection expected;
    conf_data_init(&data, fixture, "one");
    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    assert_int_equal(conf_count_findings(&destination, NSM_FINDING_CONFLICT), 0);
    assert_int_equal(destination.target.n_objects, 1);
    assert_non_null(destination.target.identity);
    conf_write_all(&run, &destination, &data, 0, 23);
    conf_finish(&run, &destination);
    conf_collection_init(&found, 0);
    conf_collection_init(&expected, data.shape.prefix.len);
    conf_expect(&data, &destination.target.objects[0], 0, 23, &expected);
    conf_read_back(&run, &destination, &found);
    conf_assert_same(&found, &expected);
    conf_complete(&run, &destination);
    conf_collection_release(&found);
    conf_collection_init(&found, 0);
    conf_read_back(&run, &destination, &found); /* completing takes nothing away */
    conf_assert_same(&found, &expected);
    conf_collection_release(&found);
    conf_collection_release(&expected);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* Writers that ended without a checkpoint leave nothing that a writer from the last one does not
 * mend. */
static void uncommitted_is_mended(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_writing writing;
    struct conf_collection found;
    struct conf_collection expected;
    conf_data_init(&data, fixture, "one");
    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    conf_prepare(&run, &destination);

    assert_ok(conf_writing_open(&run, &destination, NULL, &writing)); /* none at all */
    conf_write_some(&run, &writing, &data, 0, 7);
    conf_writing_close(&run, &writing);

    assert_ok(conf_writing_open(&run, &destination, NULL, &writing));
    conf_write_some(&run, &writing, &data, 0, 7);
    conf_put_checkpoint(&run, &writing, "t\0\xff!", false);
    const struct nsm_checkpoint last = writing.checkpoint;
    conf_write_some(&run, &writing, &data, 7, 6);
    conf_writing_close(&run, &writing);

    assert_ok(conf_writing_open(&run, &destination, &last, &writing));
    conf_write_some(&run, &writing, &data, 7, 9);
    conf_put_checkpoint(&run, &writing, NULL, true);
    conf_writing_close(&run, &writing);

    conf_finish(&run, &destination);
    conf_collection_init(&found, 0);
    conf_collection_init(&expected, data.shape.prefix.len);
    conf_expect(&data, &destination.target.objects[0], 0, 16, &expected);
    conf_read_back(&run, &destination, &found);
    conf_assert_same(&found, &expected);
    conf_collection_release(&found);
    conf_collection_release(&expected);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* A later process of the same run finds what is ours: no conflict, and nothing is made anew. */
static void prepare_takes_up(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_writing writing;
    struct conf_collection found;
    struct conf_collection expected;
    conf_data_init(&data, fixture, "one");
    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
    assert_ok(conf_inspect(&run, &destination));
    conf_prepare(&run, &destination);
    assert_ok(conf_writing_open(&run, &destination, NULL, &writing));
    conf_write_some(&run, &writing, &data, 0, 8);
    conf_put_checkpoint(&run, &writing, "t\0\xff!", false);
    const struct nsm_checkpoint last = writing.checkpoint;
    conf_writing_close(&run, &writing);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);

    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_REPLACE);
    destination.is_ours = true;
    assert_ok(conf_inspect(&run, &destination));
    assert_int_equal(conf_count_findings(&destination, NSM_FINDING_CONFLICT), 0);
    conf_prepare(&run, &destination);
    assert_ok(conf_writing_open(&run, &destination, &last, &writing));
    conf_write_some(&run, &writing, &data, 8, 4);
    conf_put_checkpoint(&run, &writing, NULL, true);
    conf_writing_close(&run, &writing);
    conf_finish(&run, &destination);
    conf_collection_init(&found, 0);
    conf_collection_init(&expected, data.shape.prefix.len);
    conf_expect(&data, &destination.target.objects[0], 0, 12, &expected);
    conf_read_back(&run, &destination, &found);
    conf_assert_same(&found, &expected);
    conf_collection_release(&found);
    conf_collection_release(&expected);
    conf_complete(&run, &destination);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
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

static size_t load(struct conf_run *run, struct loaded *loaded)
{
    *loaded = (struct loaded){0};
    assert_ok(run->adapter->load_checkpoints(run->backend, run->ctx, on_checkpoint, loaded));
    return loaded->n;
}

/* A transactional destination keeps the checkpoint with the rows, for this run alone. */
static void checkpoints_are_kept(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_run other;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_writing writing;
    struct loaded loaded;
    conf_data_init(&data, fixture, "one");
    conf_run_begin(&run, fixture, "run");
    assert_int_equal(load(&run, &loaded), 0); /* nothing there yet, not even the store's file */
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    conf_prepare(&run, &destination);
    assert_int_equal(load(&run, &loaded), 0);
    assert_ok(conf_writing_open(&run, &destination, NULL, &writing));
    conf_write_some(&run, &writing, &data, 0, 5);
    conf_put_checkpoint(&run, &writing, "t\0\xff!", false);
    conf_write_some(&run, &writing, &data, 5, 5);
    conf_writing_close(&run, &writing);
    assert_int_equal(load(&run, &loaded), 1);
    assert_int_equal(loaded.last.resume.len, 4);
    assert_memory_equal(loaded.token, "t\0\xff!", 4);
    assert_false(loaded.last.is_done);
    assert_int_equal(loaded.last.n_records, writing.checkpoint.n_records / 2);
    conf_run_begin(&other, fixture, "other");
    assert_int_equal(load(&other, &loaded), 0);
    conf_run_end(&other);
    conf_complete(&run, &destination);
    assert_int_equal(load(&run, &loaded), 0);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* reset_object: what this run wrote is gone, and its checkpoints with it. */
static void reset_undoes(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_collection found;
    struct conf_collection expected;
    struct loaded loaded;
    conf_data_init(&data, fixture, "one");
    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    conf_write_all(&run, &destination, &data, 0, 10);
    assert_ok(run.adapter->reset_object(&destination, run.ctx, 0));
    assert_ok(run.adapter->reset_object(&destination, run.ctx, 0));
    if (run.adapter->load_checkpoints)
        assert_int_equal(load(&run, &loaded), 0);
    conf_write_all(&run, &destination, &data, 3, 4); /* prepare, once more, is part of it */
    conf_finish(&run, &destination);
    conf_collection_init(&found, 0);
    conf_collection_init(&expected, data.shape.prefix.len);
    conf_expect(&data, &destination.target.objects[0], 3, 4, &expected);
    conf_read_back(&run, &destination, &found);
    conf_assert_same(&found, &expected);
    conf_collection_release(&found);
    conf_collection_release(&expected);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

static void empty_object_stands(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct nsm_source source;
    conf_data_init(&data, fixture, "one");
    data.shape.objects[0].n_records = data.shape.objects[0].n_bytes = 0;
    conf_run_begin(&run, fixture, "run");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    conf_prepare(&run, &destination);
    conf_finish(&run, &destination);
    conf_source_init(&source, &run, &destination);
    assert_ok(conf_survey(&run, &source));
    assert_int_equal(source.census.n_parts, 0);
    assert_int_equal(source.census.n_objects, 1);
    conf_source_release(&run, &source);
    conf_complete(&run, &destination);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* Source and destination of one namespace are told to be the same data. */
static void identity_is_shared(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data data;
    struct nsm_source source;
    struct nsm_destination destination;
    conf_data_init(&data, fixture, "one");
    conf_fill(fixture, &data, 3);
    conf_run_begin(&run, fixture, "run");
    conf_source_init(&source, &run, NULL);
    assert_ok(conf_survey(&run, &source));
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_MERGE);
    assert_ok(conf_inspect(&run, &destination));
    assert_string_equal(source.census.identity, destination.target.identity);
    conf_destination_release(&run, &destination);
    conf_source_release(&run, &source);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

/* Adds every second record, as it was read. */
static void add_halves(const struct conf_collection *from, struct nsm_batch *odd,
                       struct conf_collection *even)
{
    for (size_t at = 0; at < from->batch.n_records; at++) {
        struct nsm_batch *const to = at % 2 ? odd : &even->batch;
        struct nsm_record *const record = nsm_batch_add(to, NSM_KIND_STRING, 0);
        *record = from->batch.records[at];
    }
    even->skip = from->skip;
}

/* erase takes away what has these keys, and nothing else; what is written behind it is there; what is not there is no error; and
 * without a checkpoint of its own. */
static void erase_takes_away(void **state)
{
    struct conformance_fixture *const fixture = *state;
    struct conf_run run;
    struct conf_data old;
    struct conf_data new;
    struct nsm_destination destination;
    struct conf_writing writing;
    struct conf_collection before, even, after, added;
    struct nsm_batch odd;
    conf_data_init(&old, fixture, "old");
    conf_data_init(&new, fixture, "new");
    conf_fill(fixture, &old, 10);
    conf_run_begin(&run, fixture, "later");
    conf_destination_init(&destination, &run, &new, NSM_IF_EXISTS_FAIL);
    destination.is_ours = true;
    assert_ok(conf_inspect(&run, &destination));
    conf_collection_init(&before, 0);
    conf_collection_init(&even, 0);
    conf_collection_init(&after, 0);
    conf_collection_init(&added, new.shape.prefix.len);
    nsm_batch_init(&odd, NSM_LANE_RECORD);
    conf_read_back(&run, &destination, &before);
    add_halves(&before, &odd, &even);
    assert_ok(conf_repair_open(&run, &destination, &writing));
    assert_ok(run.adapter->erase(writing.writer, run.ctx, &odd));
    conf_write_some(&run, &writing, &new, 20, 5);
    assert_ok(run.adapter->erase(writing.writer, run.ctx, &odd));
    conf_put_checkpoint(&run, &writing, NULL, true);
    conf_writing_close(&run, &writing);
    conf_expect(&new, &destination.target.objects[0], 20, 5, &added);
    conf_read_back(&run, &destination, &after);
    struct nsm_digest expected = conf_digest_of(&even);
    const struct nsm_digest of_added = conf_digest_of(&added);
    const struct nsm_digest found = conf_digest_of(&after);
    nsm_digest_merge(&expected, &of_added);
    assert_true(nsm_digest_equals(&found, &expected));
    nsm_batch_release(&odd);
    conf_collection_release(&even);
    conf_collection_release(&added);
    conf_collection_release(&after);
    conf_collection_release(&before);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&old.shape);
    nsm_census_release(&new.shape);
}

/* ---- if_exists ---- */

/* Reads back what stands after 0 to 10 of one seed met 5 to 15 of another under `if_exists`. */
static bool meet(struct conformance_fixture *fixture, enum nsm_if_exists if_exists,
                 struct conf_collection *found, struct conf_data *old, struct conf_data *new)
{
    struct conf_run run;
    struct nsm_destination destination;
    conf_data_init(old, fixture, "old");
    conf_data_init(new, fixture, "new");
    conf_fill(fixture, old, 10);
    conf_run_begin(&run, fixture, "later");
    conf_destination_init(&destination, &run, new, if_exists);
    assert_ok(conf_inspect(&run, &destination));
    const bool can = conf_count_findings(&destination, NSM_FINDING_REFUSAL) == 0;
    if (if_exists == NSM_IF_EXISTS_FAIL || if_exists == NSM_IF_EXISTS_REPLACE)
        assert_true(conf_count_findings(&destination, NSM_FINDING_CONFLICT) > 0);
    if (can && if_exists != NSM_IF_EXISTS_FAIL) {
        conf_write_all(&run, &destination, new, 5, 10);
        conf_finish(&run, &destination);
        conf_read_back(&run, &destination, found);
        conf_complete(&run, &destination);
    }
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    return can;
}

static void expect_as_written(const struct conformance_fixture *fixture,
                              const struct conf_data *data, uint64_t first, uint64_t count,
                              struct conf_collection *into)
{
    struct conf_run run;
    struct nsm_destination destination;
    conf_run_begin(&run, (struct conformance_fixture *)(uintptr_t)fixture, "later");
    conf_destination_init(&destination, &run, data, NSM_IF_EXISTS_FAIL);
    assert_ok(conf_inspect(&run, &destination));
    into->skip = data->shape.prefix.len;
    conf_expect(data, &destination.target.objects[0], first, count, into);
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
}

static void check_meeting(struct conformance_fixture *fixture, enum nsm_if_exists if_exists,
                          uint64_t n_old, uint64_t first_new)
{
    struct conf_data old;
    struct conf_data new;
    struct conf_collection found;
    struct conf_collection expected;
    conf_collection_init(&found, 0);
    conf_collection_init(&expected, 0);
    if (meet(fixture, if_exists, &found, &old, &new) && if_exists != NSM_IF_EXISTS_FAIL) {
        expect_as_written(fixture, &old, 0, n_old, &expected);
        expect_as_written(fixture, &new, first_new, 15 - first_new, &expected);
        conf_assert_same(&found, &expected);
    }
    conf_collection_release(&found);
    conf_collection_release(&expected);
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
    struct conf_run run;
    struct conf_data data;
    struct nsm_destination destination;
    struct conf_writing writing;
    conf_data_init(&data, fixture, "one");
    conf_fill(fixture, &data, 10);
    conf_run_begin(&run, fixture, "later");
    conf_destination_init(&destination, &run, &data, NSM_IF_EXISTS_SKIP);
    assert_ok(conf_inspect(&run, &destination));
    if (conf_count_findings(&destination, NSM_FINDING_REFUSAL) == 0) {
        struct nsm_batch batch;
        nsm_batch_init(&batch, NSM_LANE_RECORD);
        conf_data_add(&data, &destination.target.objects[0], 5, 5, &batch);
        const uint64_t n_standing = batch.n_records;
        nsm_batch_release(&batch);
        conf_prepare(&run, &destination);
        assert_ok(conf_writing_open(&run, &destination, NULL, &writing));
        conf_write_some(&run, &writing, &data, 5, 10);
        conf_put_checkpoint(&run, &writing, NULL, true);
        assert_int_equal(writing.writer->n_skipped, n_standing);
        conf_writing_close(&run, &writing);
        conf_complete(&run, &destination);
    }
    conf_destination_release(&run, &destination);
    conf_run_end(&run);
    nsm_census_release(&data.shape);
}

const struct conf_test conf_writing_tests[] = {
    {"written_reads_back", written_reads_back, CONF_NEED_DESTINATION},
    {"uncommitted_is_mended", uncommitted_is_mended, CONF_NEED_DESTINATION},
    {"prepare_takes_up", prepare_takes_up, CONF_NEED_DESTINATION},
    {"checkpoints_are_kept", checkpoints_are_kept, CONF_NEED_TX_CHECKPOINT},
    {"reset_undoes", reset_undoes, CONF_NEED_RESET},
    {"empty_object_stands", empty_object_stands, CONF_NEED_DESTINATION},
    {"identity_is_shared", identity_is_shared, CONF_NEED_DESTINATION},
    {"fail_finds_the_conflict", fail_finds_the_conflict, CONF_NEED_DESTINATION},
    {"replace_puts_ours_in_place", replace_puts_ours_in_place, CONF_NEED_DESTINATION},
    {"merge_overwrites_the_same", merge_overwrites_the_same, CONF_NEED_DESTINATION},
    {"skip_adds_the_missing", skip_adds_the_missing, CONF_NEED_DESTINATION},
    {"skip_counts", skip_counts, CONF_NEED_DESTINATION},
    {"erase_takes_away", erase_takes_away, CONF_NEED_ERASE},
    {0},
};
