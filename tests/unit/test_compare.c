/* compare.h: every kind of difference is found and named, whatever the order and the memory, and equal sides cost one pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/engine/compare.h"

#include <stdio.h>

static void add_key(struct nsm_batch *batch, unsigned number, const char *value)
{
    char key[32];
    const int len = snprintf(key, sizeof(key), "key:%u", number);
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_STRING, 1);
    record->key = nsm_batch_copy(batch, (struct nsm_str){.ptr = key, .len = (size_t)len});
    record->items[0] =
        (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_batch_copy(batch, nsm_str_of(value))};
}

/* Drives all passes over the two batches; returns how many there were. */
static unsigned drive(struct nsm_compare *compare, const struct nsm_batch *source,
                      const struct nsm_batch *destination, const struct nsm_object *object)
{
    const struct nsm_compare_object how = {.object = object};
    unsigned n_passes = 0;
    do {
        nsm_compare_add(compare, NSM_COMPARE_SOURCE, source, &how);
        nsm_compare_add(compare, NSM_COMPARE_DESTINATION, destination, &how);
        n_passes++;
    } while (nsm_compare_end_pass(compare));
    return n_passes;
}

static void make_sides(struct nsm_batch *source, struct nsm_batch *destination)
{
    nsm_batch_init(source, NSM_LANE_RECORD);
    nsm_batch_init(destination, NSM_LANE_RECORD);
    for (unsigned number = 0; number < 1000; number++) {
        if (number != 400)
            add_key(source, number, "v");
        if (number != 100 && number != 101)
            add_key(destination, 999 - number, 999 - number == 7 ? "changed" : "v");
    }
}

static const char *mark_of(const struct nsm_compare_result *result, const char *key)
{
    static const char marks[][2] = {"+", "-", "*"};
    for (size_t at = 0; at < result->n_differences; at++) {
        for (size_t mark = 0; mark < NSM_COUNT_OF(marks); mark++) {
            if (strcmp(result->differences[at].key, key) == 0 &&
                result->differences[at].mark == marks[mark][0])
                return marks[mark];
        }
    }
    return "=";
}

static const struct nsm_object keys = {.name = "", .schema = "", .model = NSM_MODEL_KEYS};

static void check_modes(size_t capacity)
{
    static const enum nsm_compare_mode modes[] = {NSM_COMPARE_EXACT, NSM_COMPARE_MERGE,
                                                  NSM_COMPARE_SKIP};
    for (size_t at = 0; at < NSM_COUNT_OF(modes); at++) {
        NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
        NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
        make_sides(&source, &destination);
        NSM_CLEANUP(nsm_compare_freep)
        struct nsm_compare *compare = nsm_compare_new(modes[at], 100);
        nsm_compare_set_capacity(compare, capacity);
        (void)drive(compare, &source, &destination, &keys);
        const struct nsm_compare_result *const result = nsm_compare_result(compare);
        assert_int_equal(result->n_missing, 2);
        assert_int_equal(result->n_extra, modes[at] == NSM_COMPARE_EXACT ? 1 : 0);
        assert_int_equal(result->n_different, modes[at] == NSM_COMPARE_SKIP ? 0 : 1);
        assert_string_equal(mark_of(result, "key:899"), "+");
        assert_string_equal(mark_of(result, "key:898"), "+");
        assert_string_equal(mark_of(result, "key:400"), modes[at] == NSM_COMPARE_EXACT ? "-" : "=");
        assert_string_equal(mark_of(result, "key:7"), modes[at] == NSM_COMPARE_SKIP ? "=" : "*");
        assert_string_equal(mark_of(result, "key:8"), "=");
    }
}

static void test_finds_and_names(void **state)
{
    (void)state;
    check_modes((size_t)1 << 20);
}

static void test_in_little_memory(void **state)
{
    (void)state;
    check_modes(1);
    check_modes(3);
}

static void test_equal_sides_take_one_pass(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    nsm_batch_init(&source, NSM_LANE_RECORD);
    for (unsigned number = 0; number < 500; number++)
        add_key(&source, number, "v");
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *compare = nsm_compare_new(NSM_COMPARE_EXACT, 10);
    assert_int_equal(drive(compare, &source, &source, &keys), 1);
    assert_int_equal(nsm_compare_result(compare)->n_missing, 0);
}

static void test_few_differences_take_two_passes(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
    make_sides(&source, &destination);
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *compare = nsm_compare_new(NSM_COMPARE_EXACT, 10);
    assert_int_equal(drive(compare, &source, &destination, &keys), 2);
    const struct nsm_compare_result *const result = nsm_compare_result(compare);
    assert_string_equal(mark_of(result, "key:899"), "+");
    assert_int_equal(result->n_records[NSM_COMPARE_SOURCE], 999);
    assert_int_equal(result->n_records[NSM_COMPARE_DESTINATION], 998);
}

/* Others' keys, in every bucket, and for skip other values of the same keys: neither memory nor another pass. */
static void test_what_stands_beside_takes_no_pass(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
    nsm_batch_init(&source, NSM_LANE_RECORD);
    nsm_batch_init(&destination, NSM_LANE_RECORD);
    for (unsigned number = 0; number < 200000; number++) {
        if (number < 1000)
            add_key(&source, number, "v");
        add_key(&destination, number, number < 500 ? "w" : "v");
    }
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *skip = nsm_compare_new(NSM_COMPARE_SKIP, 1000);
    assert_int_equal(drive(skip, &source, &destination, &keys), 1);
    assert_int_equal(nsm_compare_result(skip)->n_records[NSM_COMPARE_DESTINATION], 1000);
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *merge = nsm_compare_new(NSM_COMPARE_MERGE, 1000);
    assert_int_equal(drive(merge, &source, &destination, &keys), 2);
    assert_int_equal(nsm_compare_result(merge)->n_different, 500);
    assert_int_equal(nsm_compare_result(merge)->n_extra, 0);
}

/* A pass that a lost connection cut short counts for nothing. */
static void test_a_pass_begins_anew(void **state)
{
    (void)state;
    static const enum nsm_compare_mode modes[] = {NSM_COMPARE_EXACT, NSM_COMPARE_MERGE};
    const struct nsm_compare_object how = {.object = &keys};
    for (size_t at = 0; at < NSM_COUNT_OF(modes); at++) {
        NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
        NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
        make_sides(&source, &destination);
        NSM_CLEANUP(nsm_compare_freep)
        struct nsm_compare *compare = nsm_compare_new(modes[at], 10);
        do {
            nsm_compare_add(compare, NSM_COMPARE_SOURCE, &source, &how);
            nsm_compare_begin_anew(compare);
            nsm_compare_add(compare, NSM_COMPARE_SOURCE, &source, &how);
            nsm_compare_add(compare, NSM_COMPARE_DESTINATION, &destination, &how);
        } while (nsm_compare_end_pass(compare));
        const struct nsm_compare_result *const result = nsm_compare_result(compare);
        assert_int_equal(result->n_records[NSM_COMPARE_SOURCE], 999);
        assert_int_equal(result->n_missing, 2);
        assert_int_equal(result->n_different, 1);
    }
}

static void test_all_are_counted_when_few_are_named(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
    nsm_batch_init(&source, NSM_LANE_RECORD);
    nsm_batch_init(&destination, NSM_LANE_RECORD);
    for (unsigned number = 0; number < 500; number++)
        add_key(&source, number, "v");
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *compare = nsm_compare_new(NSM_COMPARE_EXACT, 10);
    (void)drive(compare, &source, &destination, &keys);
    const struct nsm_compare_result *const result = nsm_compare_result(compare);
    assert_int_equal(result->n_missing, 500);
    assert_int_equal(result->n_differences, 10);
    for (size_t at = 0; at < 10; at++)
        assert_memory_equal(result->differences[at].key, "key:", 4);
}

static struct nsm_record *add_row(struct nsm_batch *batch, const char *id, const char *name)
{
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_ROW, 2);
    record->items[0] =
        (struct nsm_value){.type = NSM_INT, .bytes = nsm_batch_copy(batch, nsm_str_of(id))};
    if (name)
        record->items[1] =
            (struct nsm_value){.type = NSM_TEXT, .bytes = nsm_batch_copy(batch, nsm_str_of(name))};
    return record;
}

static struct nsm_column columns[] = {{.name = "id", .type = NSM_INT, .type_name = ""},
                                      {.name = "name", .type = NSM_TEXT, .type_name = ""}};
static size_t key_columns[] = {0};

static void test_rows_are_named_by_their_key(void **state)
{
    (void)state;
    const struct nsm_object table = {.name = "t",
                                     .schema = "",
                                     .columns = columns,
                                     .n_columns = 2,
                                     .key_columns = key_columns,
                                     .n_key_columns = 1};
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
    nsm_batch_init(&source, NSM_LANE_RECORD);
    nsm_batch_init(&destination, NSM_LANE_RECORD);
    add_row(&source, "1", "a");
    add_row(&destination, "1", NULL);
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *compare = nsm_compare_new(NSM_COMPARE_EXACT, 10);
    (void)drive(compare, &source, &destination, &table);
    const struct nsm_compare_result *const result = nsm_compare_result(compare);
    assert_int_equal(result->n_different, 1);
    assert_string_equal(result->differences[0].key, "id=1");
}

/* Without a key a row is its own key, so a doubled row is a key that differs. */
static void test_doubled_rows_without_a_key(void **state)
{
    (void)state;
    const struct nsm_object table = {.name = "t", .schema = "", .columns = columns, .n_columns = 2};
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
    nsm_batch_init(&source, NSM_LANE_RECORD);
    nsm_batch_init(&destination, NSM_LANE_RECORD);
    add_row(&source, "1", "a");
    add_row(&source, "2", "b");
    add_row(&destination, "1", "a");
    add_row(&destination, "2", "b");
    add_row(&destination, "2", "b");
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *compare = nsm_compare_new(NSM_COMPARE_EXACT, 10);
    (void)drive(compare, &source, &destination, &table);
    const struct nsm_compare_result *const result = nsm_compare_result(compare);
    assert_int_equal(result->n_missing + result->n_extra + result->n_different, 1);
    assert_string_equal(result->differences[0].key, "id=2 name=b");
}

/* Thousands of records of one key in a memory of eight: they are folded into one, on each side. */
static void test_many_equal_rows(void **state)
{
    (void)state;
    const struct nsm_object table = {.name = "t", .schema = "", .columns = columns, .n_columns = 2};
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch source;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch destination;
    nsm_batch_init(&source, NSM_LANE_RECORD);
    nsm_batch_init(&destination, NSM_LANE_RECORD);
    for (unsigned at = 0; at < 5000; at++) {
        add_row(&source, "1", "a");
        if (at > 0)
            add_row(&destination, "1", "a");
    }
    add_row(&source, "2", "b");
    NSM_CLEANUP(nsm_compare_freep)
    struct nsm_compare *compare = nsm_compare_new(NSM_COMPARE_EXACT, 10);
    nsm_compare_set_capacity(compare, 8);
    (void)drive(compare, &source, &destination, &table);
    const struct nsm_compare_result *const result = nsm_compare_result(compare);
    assert_int_equal(result->n_different, 1);
    assert_int_equal(result->n_missing, 1);
    assert_int_equal(result->n_extra, 0);
}

static void test_hostile_keys_are_printable(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_record *const record = nsm_batch_add(&batch, NSM_KIND_STRING, 1);
    record->key = NSM_STR_LIT("a\0b\n\\\xff\x1b[2J");
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_record_describe_key(record, &keys, &text);
    assert_string_equal(text.ptr, "a\\x00b\\x0a\\\\\\xff\\x1b[2J");
    NSM_CLEANUP(nsm_freep) char *long_key = nsm_xcalloc(1, 5000);
    for (size_t at = 0; at + 2 < 5000; at++)
        long_key[at] = "\xc3\xa9"[at % 2];
    record->key = nsm_str_of(long_key);
    nsm_buf_clear(&text);
    nsm_record_describe_key(record, &keys, &text);
    assert_true(text.len < 210);
    assert_memory_equal(text.ptr + text.len - 5, "\xc3\xa9...", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_and_names),
        cmocka_unit_test(test_in_little_memory),
        cmocka_unit_test(test_equal_sides_take_one_pass),
        cmocka_unit_test(test_few_differences_take_two_passes),
        cmocka_unit_test(test_what_stands_beside_takes_no_pass),
        cmocka_unit_test(test_a_pass_begins_anew),
        cmocka_unit_test(test_all_are_counted_when_few_are_named),
        cmocka_unit_test(test_rows_are_named_by_their_key),
        cmocka_unit_test(test_doubled_rows_without_a_key),
        cmocka_unit_test(test_many_equal_rows),
        cmocka_unit_test(test_hostile_keys_are_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
