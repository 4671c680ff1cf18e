/*
 * layout_apply.c: rows as keys (hash, json) and hashes as rows (columns), with all that has no place
 * on the other side.
 */
#include "migrate/base/alloc.h"
#include "migrate/engine/layout.h"
#include "tests/support/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct nsm_value typed(enum nsm_type type, const char *text)
{
    return (struct nsm_value){.type = type, .bytes = nsm_str_of(text)};
}

static bool is_text(const struct nsm_value *value, const char *text)
{
    return value->type != NSM_NULL && nsm_str_equals(value->bytes, nsm_str_of(text));
}

static size_t count_refusals(const struct nsm_findings *findings, const char *wanted)
{
    size_t n = 0;
    for (size_t at = 0; at < findings->n_items; at++)
        n += findings->items[at].kind == NSM_FINDING_REFUSAL &&
             strstr(findings->items[at].text, wanted) != NULL;
    return n;
}

/* ---- rows to keys ---- */

struct tables {
    struct nsm_column columns[4];
    size_t key[2];
    struct nsm_census census;
    struct nsm_layout_stage stage;
    struct nsm_batch in, out;
};

/* One table "a:b" of (id int, at text, note text, data bytes) with a key of `n_key_columns`. */
static void make_tables(struct tables *tables, enum nsm_layout layout, size_t n_key_columns)
{
    *tables = (struct tables){
        .columns =
            {
                {.name = "id", .type = NSM_INT, .type_name = "bigint"},
                {.name = "at", .type = NSM_TEXT, .type_name = "text"},
                {.name = "note", .type = NSM_TEXT, .type_name = "text"},
                {.name = "data", .type = NSM_BYTES, .type_name = "bytea"},
            },
        .key = {0, 1},
        .census = {.identity = "t"},
    };
    struct nsm_object *const table = nsm_census_add_object(&tables->census);
    *table = (struct nsm_object){
        .name = "a:b",
        .schema = "app",
        .model = NSM_MODEL_ROWS,
        .columns = tables->columns,
        .n_columns = 4,
        .key_columns = tables->key,
        .n_key_columns = n_key_columns,
        .version = "",
        .n_records = 5,
    };
    nsm_assert_ok(
        nsm_layout_init(&tables->stage, layout, &tables->census, NSM_CAP_KEYS, "sessions"));
    nsm_layout_bind(&tables->stage, &tables->stage.shape, 0, NULL);
    nsm_batch_init(&tables->in, NSM_LANE_RECORD);
    nsm_batch_init(&tables->out, NSM_LANE_RECORD);
}

static void release_tables(struct tables *tables)
{
    nsm_batch_release(&tables->in);
    nsm_batch_release(&tables->out);
    nsm_layout_release(&tables->stage);
    nsm_census_release(&tables->census);
}

static struct nsm_record *add_row(struct tables *tables)
{
    struct nsm_record *const row = nsm_batch_add(&tables->in, NSM_KIND_ROW, 4);
    row->items[0] = typed(NSM_INT, "7");
    row->items[1] = typed(NSM_TEXT, "12:30 100%");
    row->items[3] = (struct nsm_value){.type = NSM_BYTES, .bytes = {"\0\xff", 2}};
    return row;
}

static struct nsm_error *apply_tables(struct tables *tables)
{
    nsm_batch_clear(&tables->out);
    return nsm_layout_apply(&tables->stage, 0, &tables->in, &tables->out);
}

static void test_hash(void **state)
{
    (void)state;
    struct tables tables;
    make_tables(&tables, NSM_LAYOUT_HASH, 1);
    assert_int_equal(tables.stage.shape.n_objects, 1);
    assert_int_equal(tables.stage.shape.objects[0].model, NSM_MODEL_KEYS);
    assert_int_equal(tables.stage.shape.objects[0].n_records, 5);
    assert_int_equal(nsm_layout_target_object(&tables.stage, 3), 0);
    const struct nsm_record *const row = add_row(&tables);
    nsm_assert_ok(apply_tables(&tables));
    const struct nsm_record *const record = &tables.out.records[0];
    assert_int_equal(record->kind, NSM_KIND_HASH);
    assert_true(nsm_str_equals(record->key, NSM_STR_LIT("a%3Ab:7")));
    assert_true(record->expires_at_ms == NSM_NO_EXPIRY);
    /* The null is absent; a value is the row's own memory. */
    assert_int_equal(record->n_items, 6);
    assert_true(is_text(&record->items[0], "id") && is_text(&record->items[1], "7"));
    assert_true(is_text(&record->items[2], "at") && is_text(&record->items[4], "data"));
    assert_ptr_equal(record->items[3].bytes.ptr, row->items[1].bytes.ptr);
    assert_int_equal(record->items[5].bytes.len, 2);
    assert_int_equal(tables.out.n_bytes, 7 + 2 + 1 + 2 + 10 + 4 + 2);
    release_tables(&tables);

    make_tables(&tables, NSM_LAYOUT_HASH, 2);
    (void)add_row(&tables);
    nsm_assert_ok(apply_tables(&tables));
    assert_true(nsm_str_equals(tables.out.records[0].key, NSM_STR_LIT("a%3Ab:7:12%3A30 100%25")));
    tables.in.records[0].items[1] = (struct nsm_value){.type = NSM_NULL};
    nsm_assert_error(apply_tables(&tables), NSM_E_UNSUPPORTED, "its key column at is null");
    release_tables(&tables);
}

static void test_json(void **state)
{
    (void)state;
    struct tables tables;
    make_tables(&tables, NSM_LAYOUT_JSON, 1);
    (void)add_row(&tables);
    nsm_assert_ok(apply_tables(&tables));
    const struct nsm_record *const record = &tables.out.records[0];
    assert_int_equal(record->kind, NSM_KIND_STRING);
    assert_true(nsm_str_equals(record->key, NSM_STR_LIT("a%3Ab:7")));
    assert_true(is_text(&record->items[0],
                        "{\"id\":7,\"at\":\"12:30 100%\",\"note\":null,\"data\":{\"$binary\":"
                        "{\"base64\":\"AP8=\",\"subType\":\"00\"}}}"));
    release_tables(&tables);
}

static void test_rows_without_a_name(void **state)
{
    (void)state;
    struct tables tables;
    make_tables(&tables, NSM_LAYOUT_HASH, 0);
    assert_int_equal(count_refusals(&tables.stage.shape.findings, "a:b has no primary key"), 1);
    nsm_layout_release(&tables.stage);

    const struct nsm_object table = tables.census.objects[0];
    struct nsm_object *const namesake = nsm_census_add_object(&tables.census);
    *namesake = table;
    namesake->schema = "other";
    for (size_t at = 0; at < 2; at++)
        tables.census.objects[at].n_key_columns = 1;
    nsm_assert_ok(
        nsm_layout_init(&tables.stage, NSM_LAYOUT_JSON, &tables.census, NSM_CAP_KEYS, "sessions"));
    assert_int_equal(tables.stage.shape.n_objects, 1);
    assert_int_equal(tables.stage.shape.findings.n_items, 1);
    assert_int_equal(count_refusals(&tables.stage.shape.findings, "two tables are called a:b"), 1);
    release_tables(&tables);
}

/* ---- hashes to rows ---- */

struct hashes {
    struct nsm_census census;
    struct nsm_layout_stage stage;
    struct nsm_batch in, out;
};

static void make_hashes(struct hashes *hashes)
{
    *hashes = (struct hashes){.census = {.identity = "k"}};
    struct nsm_object *const keys = nsm_census_add_object(&hashes->census);
    keys->model = NSM_MODEL_KEYS;
    nsm_assert_ok(nsm_layout_init(&hashes->stage, NSM_LAYOUT_COLUMNS, &hashes->census, NSM_CAP_ROWS,
                                  "sessions"));
    assert_true(nsm_layout_needs_fields(&hashes->stage));
    nsm_batch_init(&hashes->in, NSM_LANE_RECORD);
    nsm_batch_init(&hashes->out, NSM_LANE_RECORD);
}

static void release_hashes(struct hashes *hashes)
{
    nsm_batch_release(&hashes->in);
    nsm_batch_release(&hashes->out);
    nsm_layout_release(&hashes->stage);
    nsm_census_release(&hashes->census);
}

static struct nsm_record *add_hash(struct hashes *hashes, const char *key, const char *field,
                                   struct nsm_str value)
{
    struct nsm_record *const record = nsm_batch_add(&hashes->in, NSM_KIND_HASH, 4);
    record->key = nsm_str_of(key);
    record->items[0] = typed(NSM_BYTES, "name");
    record->items[1] = typed(NSM_BYTES, "x");
    record->items[2] = typed(NSM_BYTES, field);
    record->items[3] = (struct nsm_value){.type = NSM_BYTES, .bytes = value};
    return record;
}

static void learn(struct hashes *hashes)
{
    nsm_assert_ok(nsm_layout_learn(&hashes->stage, &hashes->in));
    nsm_layout_end_learning(&hashes->stage);
    nsm_layout_bind(&hashes->stage, &hashes->stage.shape, 0, NULL);
}

static struct nsm_error *apply_hashes(struct hashes *hashes)
{
    nsm_batch_clear(&hashes->out);
    return nsm_layout_apply(&hashes->stage, 0, &hashes->in, &hashes->out);
}

static void test_columns(void **state)
{
    (void)state;
    struct hashes hashes;
    make_hashes(&hashes);
    (void)add_hash(&hashes, "s:1", "zip", NSM_STR_LIT("1010"));
    add_hash(&hashes, "s:2", "age", NSM_STR_LIT("7"))->expires_at_ms = 5;
    learn(&hashes);
    const struct nsm_object *const shape = &hashes.stage.shape.objects[0];
    static const char *const names[] = {"key", "age", "name", "zip", "expires_at"};
    assert_string_equal(shape->name, "sessions");
    assert_int_equal(shape->n_columns, 5);
    for (size_t at = 0; at < 5; at++) {
        assert_string_equal(shape->columns[at].name, names[at]);
        assert_int_equal(shape->columns[at].type, at == 4 ? NSM_TIME : NSM_TEXT);
        assert_true(shape->columns[at].is_not_null == (at == 0));
    }
    assert_int_equal(shape->n_key_columns, 1);

    nsm_assert_ok(apply_hashes(&hashes));
    const struct nsm_value *row = hashes.out.records[0].items;
    assert_int_equal(hashes.out.records[0].n_items, 5);
    assert_true(is_text(&row[0], "s:1") && row[0].type == NSM_TEXT);
    assert_int_equal(row[1].type, NSM_NULL);
    assert_true(is_text(&row[2], "x") && is_text(&row[3], "1010"));
    assert_int_equal(row[4].type, NSM_NULL);
    row = hashes.out.records[1].items;
    assert_true(is_text(&row[1], "7"));
    assert_int_equal(row[3].type, NSM_NULL);
    assert_true(is_text(&row[4], "1970-01-01 00:00:00.005+00"));
    release_hashes(&hashes);
}

static void test_columns_of_bytes(void **state)
{
    (void)state;
    struct hashes hashes;
    make_hashes(&hashes);
    (void)add_hash(&hashes, "s:1", "zip", (struct nsm_str){"a\0b", 3});
    learn(&hashes);
    const struct nsm_object *const shape = &hashes.stage.shape.objects[0];
    assert_int_equal(shape->n_columns, 3); /* no key expires, so there is no column for it */
    assert_int_equal(shape->columns[0].type, NSM_TEXT);
    assert_int_equal(shape->columns[1].type, NSM_BYTES);
    assert_int_equal(shape->columns[2].type, NSM_BYTES);
    nsm_assert_ok(apply_hashes(&hashes));
    assert_int_equal(hashes.out.records[0].items[2].bytes.len, 3);
    release_hashes(&hashes);
}

static void test_columns_refused(void **state)
{
    (void)state;
    static const struct {
        const char *field, *wanted;
    } cases[] = {
        {"", "key s:1: a field's name is empty"},
        {"\xff", "key s:1: a field's name is empty or not UTF-8"},
        {"key", "key s:1: the field key has the name of a column"},
        {"expires_at", "the field expires_at has the name of a column"},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        struct hashes hashes;
        make_hashes(&hashes);
        (void)add_hash(&hashes, "s:1", cases[at].field, NSM_STR_LIT("v"));
        nsm_assert_error(nsm_layout_learn(&hashes.stage, &hashes.in), NSM_E_UNSUPPORTED,
                         cases[at].wanted);
        release_hashes(&hashes);
    }
    struct hashes hashes;
    make_hashes(&hashes);
    struct nsm_record *const list = nsm_batch_add(&hashes.in, NSM_KIND_LIST, 1);
    list->key = NSM_STR_LIT("s:list");
    nsm_assert_error(nsm_layout_learn(&hashes.stage, &hashes.in), NSM_E_UNSUPPORTED,
                     "key s:list: it is a list");
    release_hashes(&hashes);
}

static void test_too_many_fields(void **state)
{
    (void)state;
    struct hashes hashes;
    make_hashes(&hashes);
    struct nsm_arena arena = NSM_ARENA_INIT;
    /* "name" is one of them; in falling order, each goes before all others. */
    for (unsigned at = 0; at < NSM_LAYOUT_MAX_FIELDS - 3; at++)
        (void)add_hash(&hashes, "s:1", nsm_arena_printf(&arena, "f%04u", 9999 - at),
                       NSM_STR_LIT("v"));
    nsm_assert_ok(nsm_layout_learn(&hashes.stage, &hashes.in));
    nsm_batch_clear(&hashes.in);
    (void)add_hash(&hashes, "s:2", "one more", NSM_STR_LIT("v"));
    nsm_assert_error(nsm_layout_learn(&hashes.stage, &hashes.in), NSM_E_UNSUPPORTED,
                     "key s:2: the hashes have more than 1598 different fields");
    nsm_batch_clear(&hashes.in);
    (void)add_hash(&hashes, "s:3", "f9000", NSM_STR_LIT("v"));
    learn(&hashes);
    const struct nsm_object *const shape = &hashes.stage.shape.objects[0];
    assert_int_equal(shape->n_columns, NSM_LAYOUT_MAX_FIELDS - 1);
    for (size_t at = 2; at < shape->n_columns; at++)
        assert_true(strcmp(shape->columns[at - 1].name, shape->columns[at].name) < 0);
    nsm_assert_ok(apply_hashes(&hashes));
    nsm_arena_release(&arena);
    release_hashes(&hashes);
}

static void test_source_that_changes(void **state)
{
    (void)state;
    struct hashes hashes;
    make_hashes(&hashes);
    (void)add_hash(&hashes, "s:1", "zip", NSM_STR_LIT("v"));
    learn(&hashes);
    nsm_batch_clear(&hashes.in);
    (void)add_hash(&hashes, "s:2", "new", NSM_STR_LIT("v"));
    nsm_assert_error(apply_hashes(&hashes), NSM_E_CONFLICT, "key s:2: it has a field");
    nsm_batch_clear(&hashes.in);
    (void)add_hash(&hashes, "s:2", "zip", (struct nsm_str){"\xff", 1});
    nsm_assert_error(apply_hashes(&hashes), NSM_E_UNSUPPORTED, "key s:2: column zip");
    nsm_batch_clear(&hashes.in);
    struct nsm_record *const set = nsm_batch_add(&hashes.in, NSM_KIND_SET, 1);
    set->key = NSM_STR_LIT("s:3");
    nsm_assert_error(apply_hashes(&hashes), NSM_E_UNSUPPORTED, "key s:3: it is a set");
    nsm_batch_clear(&hashes.in);
    /* Any key may be given an expiry after the fields were looked for. */
    add_hash(&hashes, "s:4", "zip", NSM_STR_LIT("v"))->expires_at_ms = 5;
    nsm_assert_error(apply_hashes(&hashes), NSM_E_CONFLICT, "key s:4: it has an expiry");
    nsm_batch_clear(&hashes.in);
    add_hash(&hashes, "s:5", "zip", NSM_STR_LIT("v"))->flags = NSM_RECORD_CONTINUED;
    nsm_assert_error(apply_hashes(&hashes), NSM_E_UNSUPPORTED, "key s:5: this hash is too large");
    release_hashes(&hashes);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_rows_without_a_name),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_columns_of_bytes),
        cmocka_unit_test(test_columns_refused),
        cmocka_unit_test(test_too_many_fields),
        cmocka_unit_test(test_source_that_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
