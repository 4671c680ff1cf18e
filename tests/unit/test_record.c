/*
 * Names, batches and the lists of the adapters' interface.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/adapter.h"

static void names_come_back(void **state)
{
    (void)state;
    for (unsigned index = 0; index < NSM_N_TYPES; index++) {
        enum nsm_type type = NSM_NULL;
        assert_true(nsm_type_parse(nsm_str_of(nsm_type_name((enum nsm_type)index)), &type));
        assert_int_equal(type, index);
    }
    for (unsigned index = 0; index < NSM_N_KINDS; index++) {
        enum nsm_kind kind = NSM_KIND_ROW;
        assert_true(nsm_kind_parse(nsm_str_of(nsm_kind_name((enum nsm_kind)index)), &kind));
        assert_int_equal(kind, index);
    }
    enum nsm_type type = NSM_UUID;
    assert_false(nsm_type_parse(NSM_STR_LIT("Int"), &type));
    assert_false(nsm_type_parse(NSM_STR_LIT("int "), &type));
    assert_false(nsm_type_parse((struct nsm_str){0}, &type));
    assert_int_equal(type, NSM_UUID);
    enum nsm_kind kind = NSM_KIND_SET;
    assert_false(nsm_kind_parse(NSM_STR_LIT("hashes"), &kind));
    assert_int_equal(kind, NSM_KIND_SET);
    assert_string_equal(nsm_lane_name(NSM_LANE_REDIS_DUMP), "redis-dump");
}

static void batch_keeps_records(void **state)
{
    (void)state;
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned index = 0; index < 1000; index++) {
            struct nsm_record *const record = nsm_batch_add(&batch, NSM_KIND_SET, 2);
            assert_int_equal(record->items[1].type, NSM_NULL);
            assert_int_equal(record->expires_at_ms, NSM_NO_EXPIRY);
            assert_int_equal(record->flags, 0);
            assert_int_equal(record->key.len, 0);
            record->key = nsm_batch_copy(&batch, NSM_STR_LIT("k\0y"));
            record->items[0] = (struct nsm_value){NSM_BYTES, NSM_STR_LIT("four")};
            if (index % 2)
                record->flags = NSM_RECORD_CONTINUED;
            nsm_batch_account(&batch);
        }
        assert_int_equal(batch.n_records, 1000);
        assert_int_equal(nsm_batch_count(&batch), 500);
        assert_int_equal(batch.n_bytes, 7000);
        assert_memory_equal(batch.records[999].key.ptr, "k\0y", 3);
        batch.resume = nsm_batch_copy(&batch, NSM_STR_LIT("here"));
        batch.n_vanished = 3;
        nsm_batch_clear(&batch);
        assert_int_equal(nsm_batch_count(&batch), 0);
        assert_int_equal(batch.n_bytes + batch.resume.len + batch.n_vanished, 0);
    }
    nsm_batch_release(&batch);
    nsm_batch_release(&batch);
}

static void batch_counts_raw_rows(void **state)
{
    (void)state;
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_PGCOPY);
    batch.wants_digest = true;
    assert_null(nsm_batch_add_raw(&batch, NSM_STR_LIT("one\n")));
    assert_null(nsm_batch_add_raw(&batch, NSM_STR_LIT("two\n")));
    assert_int_equal(nsm_batch_count(&batch), 2);
    assert_int_equal(batch.n_bytes, 8);
    assert_memory_equal(batch.raw.ptr, "one\ntwo\n", 8);
    struct nsm_digest digest = {0};
    nsm_digest_add_raw(&digest, NSM_STR_LIT("two\n"));
    nsm_digest_add_raw(&digest, NSM_STR_LIT("one\n"));
    assert_true(nsm_digest_equals(&digest, &batch.digest));
    assert_int_equal(batch.digest.n_records, 2);

    nsm_batch_clear(&batch);
    assert_true(batch.wants_digest);
    assert_int_equal(batch.lane, NSM_LANE_PGCOPY);
    assert_int_equal(batch.raw.len, 0);
    assert_int_equal(batch.digest.low | batch.digest.high | batch.digest.n_records, 0);

    const struct nsm_str huge = {.ptr = "", .len = NSM_MAX_VALUE_BYTES + 1};
    struct nsm_error *const error = nsm_batch_add_raw(&batch, huge);
    assert_true(nsm_error_is(error, NSM_E_NOMEM));
    nsm_error_free(error);
    assert_int_equal(nsm_batch_count(&batch), 0);
    nsm_batch_release(&batch);
}

static void census_grows(void **state)
{
    (void)state;
    struct nsm_census census = {0};
    for (uint64_t index = 0; index < 20; index++) {
        struct nsm_object *const object = nsm_census_add_object(&census);
        assert_string_equal(object->name, "");
        assert_string_equal(object->schema, "");
        assert_string_equal(object->version, "");
        assert_string_equal(object->format, "");
        assert_string_equal(object->format_reason, "");
        object->n_records = index;
        char range[] = "range";
        nsm_census_add_part(&census, index, nsm_str_of(range), index, 2 * index);
        range[0] = 'X';
    }
    assert_int_equal(census.n_objects, 20);
    assert_int_equal(census.objects[19].n_records, 19);
    assert_int_equal(census.parts[7].object, 7);
    assert_int_equal(census.parts[7].n_bytes, 14);
    assert_true(nsm_str_equals(census.parts[7].range, NSM_STR_LIT("range")));
    nsm_findings_add(&census.findings, NSM_FINDING_NOTE, NULL, 0, "a %s", "note");
    nsm_findings_add(&census.findings, NSM_FINDING_LOSS, "groups", 3, "%d%%", 5);
    assert_int_equal(census.findings.n_items, 2);
    assert_string_equal(census.findings.items[0].what, "");
    assert_string_equal(census.findings.items[0].text, "a note");
    assert_int_equal(census.findings.items[0].count, 1);
    assert_string_equal(census.findings.items[1].what, "groups");
    assert_string_equal(census.findings.items[1].text, "5%");
    assert_int_equal(census.findings.items[1].count, 3);
    nsm_census_release(&census);
    assert_int_equal(census.n_objects + census.findings.n_items, 0);
    nsm_census_release(&census);
}

static void lanes_are_found(void **state)
{
    (void)state;
    static const struct nsm_lane_use lanes[] = {
        {NSM_LANE_PGCOPY, .reads = true},
        {NSM_LANE_RECORD, .reads = true, .writes = true},
    };
    const struct nsm_adapter adapter = {.lanes = lanes, .n_lanes = NSM_COUNT_OF(lanes)};
    assert_true(nsm_adapter_reads(&adapter, NSM_LANE_PGCOPY));
    assert_false(nsm_adapter_writes(&adapter, NSM_LANE_PGCOPY));
    assert_true(nsm_adapter_writes(&adapter, NSM_LANE_RECORD));
    assert_false(nsm_adapter_reads(&adapter, NSM_LANE_REDIS_DUMP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_back),       cmocka_unit_test(batch_keeps_records),
        cmocka_unit_test(batch_counts_raw_rows), cmocka_unit_test(census_grows),
        cmocka_unit_test(lanes_are_found),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
