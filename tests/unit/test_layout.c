/*
 * layout.c and layout_apply.c: what records of the one model are in the other, that they come back
 * as they were, and that what can't be laid out is refused by name.
 */
#include "migrate/base/alloc.h"
#include "migrate/engine/layout.h"
#include "migrate/engine/record/digest.h"
#include "tests/support/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define BOTH_MODELS ((unsigned)NSM_CAP_ROWS | (unsigned)NSM_CAP_KEYS)

/* ---- what the tests share ---- */

static size_t count_refusals(const struct nsm_findings *findings, const char *wanted)
{
    size_t n = 0;
    for (size_t at = 0; at < findings->n_items; at++)
        n += findings->items[at].kind == NSM_FINDING_REFUSAL &&
             strstr(findings->items[at].text, wanted) != NULL;
    return n;
}

static struct nsm_census keys_census(void)
{
    struct nsm_census census = {.prefix = NSM_STR_LIT("s:"), .identity = "a"};
    struct nsm_object *const object = nsm_census_add_object(&census);
    object->model = NSM_MODEL_KEYS;
    object->n_records = 3;
    object->n_bytes = 30;
    return census;
}

static struct nsm_object *add_table(struct nsm_census *census, const char *name,
                                    struct nsm_column *columns, size_t n_columns)
{
    struct nsm_object *const table = nsm_census_add_object(census);
    table->name = name;
    table->model = NSM_MODEL_ROWS;
    table->columns = columns;
    table->n_columns = n_columns;
    return table;
}

static struct nsm_record *add_key(struct nsm_batch *batch, enum nsm_kind kind, struct nsm_str key,
                                  size_t n_items)
{
    struct nsm_record *const record = nsm_batch_add(batch, kind, n_items);
    record->key = key;
    return record;
}

static struct nsm_value bytes(const char *text)
{
    return (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_str_of(text)};
}

static struct nsm_value typed(enum nsm_type type, const char *text)
{
    return (struct nsm_value){.type = type, .bytes = nsm_str_of(text)};
}

/* A stage whose destination takes the shape as it is. */
static void make_stage(struct nsm_layout_stage *stage, enum nsm_layout layout,
                       const struct nsm_census *source, unsigned models)
{
    nsm_assert_ok(nsm_layout_init(stage, layout, source, models, "sessions"));
    if (!nsm_layout_needs_fields(stage))
        nsm_layout_bind(stage, &stage->shape, 0, NULL);
}

static struct nsm_error *apply(const struct nsm_layout_stage *stage, const struct nsm_batch *in,
                               struct nsm_batch *out)
{
    nsm_batch_clear(out);
    return nsm_layout_apply(stage, 0, in, out);
}

/* ---- which layout ---- */

static void test_resolve(void **state)
{
    (void)state;
    struct nsm_census keys = keys_census();
    struct nsm_census rows = {.identity = "b"};
    (void)add_table(&rows, "users", NULL, 0);
    const struct {
        const struct nsm_census *source;
        enum nsm_layout layout;
        unsigned models;
        int wanted; /* -1: refused */
    } cases[] = {
        {&keys, NSM_LAYOUT_DEFAULT, NSM_CAP_KEYS, NSM_LAYOUT_DEFAULT},
        {&keys, NSM_LAYOUT_DEFAULT, NSM_CAP_ROWS, NSM_LAYOUT_KV},
        {&keys, NSM_LAYOUT_DEFAULT, BOTH_MODELS, NSM_LAYOUT_DEFAULT},
        {&keys, NSM_LAYOUT_KV, NSM_CAP_ROWS, NSM_LAYOUT_KV},
        {&keys, NSM_LAYOUT_KV, BOTH_MODELS, NSM_LAYOUT_KV},
        {&keys, NSM_LAYOUT_COLUMNS, NSM_CAP_ROWS, NSM_LAYOUT_COLUMNS},
        {&keys, NSM_LAYOUT_KV, NSM_CAP_KEYS, -1},
        {&keys, NSM_LAYOUT_HASH, NSM_CAP_ROWS, -1},
        {&keys, NSM_LAYOUT_JSON, BOTH_MODELS, -1},
        {&rows, NSM_LAYOUT_DEFAULT, NSM_CAP_ROWS, NSM_LAYOUT_DEFAULT},
        {&rows, NSM_LAYOUT_DEFAULT, NSM_CAP_KEYS, NSM_LAYOUT_HASH},
        {&rows, NSM_LAYOUT_DEFAULT, BOTH_MODELS, NSM_LAYOUT_DEFAULT},
        {&rows, NSM_LAYOUT_JSON, BOTH_MODELS, NSM_LAYOUT_JSON},
        {&rows, NSM_LAYOUT_KV, NSM_CAP_KEYS, NSM_LAYOUT_KV},
        {&rows, NSM_LAYOUT_HASH, NSM_CAP_ROWS, -1},
        {&rows, NSM_LAYOUT_COLUMNS, NSM_CAP_KEYS, -1},
        {&rows, NSM_LAYOUT_COLUMNS, NSM_CAP_ROWS, -1},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        struct nsm_layout_stage stage;
        struct nsm_error *const error = nsm_layout_init(&stage, cases[at].layout, cases[at].source,
                                                        cases[at].models, "sessions");
        if (cases[at].wanted < 0)
            nsm_assert_error(error, NSM_E_INVALID, nsm_layout_name(cases[at].layout));
        else
            nsm_assert_ok(error);
        assert_true(cases[at].wanted < 0 || (int)stage.layout == cases[at].wanted);
        nsm_layout_release(&stage);
    }
    nsm_census_release(&keys);
    nsm_census_release(&rows);
}

/* ---- kv ---- */

static void add_all_kinds(struct nsm_batch *batch)
{
    struct nsm_record *record = add_key(batch, NSM_KIND_STRING, (struct nsm_str){"s:\0\xff", 4}, 1);
    record->items[0] =
        (struct nsm_value){.type = NSM_BYTES, .bytes = (struct nsm_str){"v\0\xfe", 3}};
    record->expires_at_ms = 1769860800123;
    record = add_key(batch, NSM_KIND_STRING, NSM_STR_LIT("s:empty"), 1);
    record->items[0] = bytes("");
    record = add_key(batch, NSM_KIND_HASH, NSM_STR_LIT("s:hash"), 4);
    record->items[0] = bytes("\xff");
    record->items[1] = bytes("");
    record->items[2] = bytes("name");
    record->items[3] = bytes("gr\xc3\xbc\xc3\x9f");
    record->expires_at_ms = -1;
    record = add_key(batch, NSM_KIND_LIST, NSM_STR_LIT("s:list"), 2);
    record->items[0] = bytes("b");
    record->items[1] = bytes("a");
    record = add_key(batch, NSM_KIND_SET, NSM_STR_LIT("s:set"), 1);
    record->items[0] = bytes("only");
    record = add_key(batch, NSM_KIND_ZSET, NSM_STR_LIT("s:zset"), 4);
    record->items[0] = bytes("m");
    record->items[1] = typed(NSM_FLOAT, "-inf");
    record->items[2] = bytes("n");
    record->items[3] = typed(NSM_FLOAT, "0.1");
    record = add_key(batch, NSM_KIND_STREAM, NSM_STR_LIT("s:stream"), 7);
    record->items[0] = bytes("5-0");
    record->items[1] = typed(NSM_INT, "9");
    record->items[2] = bytes("3-0");
    record->items[3] = bytes("5-0");
    record->items[4] = typed(NSM_INT, "1");
    record->items[5] = bytes("field");
    record->items[6] = bytes("value");
}

/* Lays keys out as kv rows and back, through columns of these types. */
static void check_kv(const enum nsm_type types[4])
{
    struct nsm_census keys = keys_census();
    struct nsm_layout_stage there;
    nsm_assert_ok(nsm_layout_init(&there, NSM_LAYOUT_DEFAULT, &keys, NSM_CAP_ROWS, "sessions"));
    const struct nsm_object *const shape = &there.shape.objects[0];
    assert_string_equal(shape->name, "sessions");
    assert_int_equal(shape->n_columns, 4);
    assert_int_equal(shape->n_key_columns, 1);
    assert_int_equal(shape->key_columns[0], 0);
    assert_int_equal(shape->n_records, 3);

    struct nsm_column columns[4];
    memcpy(columns, shape->columns, sizeof(columns));
    for (size_t at = 0; at < 4; at++) {
        columns[at].type = types[at];
        columns[at].type_name = types[at] == NSM_TIME ? "timestamptz" : "";
    }
    struct nsm_census table = {.identity = "t"};
    (void)add_table(&table, "sessions", columns, 4);
    struct nsm_findings findings = {0};
    nsm_layout_bind(&there, &table, 0, &findings);
    assert_int_equal(findings.n_items, 0);
    assert_false(there.is_identity);
    struct nsm_layout_stage back;
    make_stage(&back, NSM_LAYOUT_KV, &table, NSM_CAP_KEYS);
    assert_int_equal(back.shape.findings.n_items, 0);

    struct nsm_batch in;
    struct nsm_batch rows;
    struct nsm_batch out;
    nsm_batch_init(&in, NSM_LANE_RECORD);
    nsm_batch_init(&rows, NSM_LANE_RECORD);
    nsm_batch_init(&out, NSM_LANE_RECORD);
    add_all_kinds(&in);
    nsm_assert_ok(apply(&there, &in, &rows));
    assert_int_equal(rows.n_records, in.n_records);
    nsm_assert_ok(apply(&back, &rows, &out));
    assert_int_equal(out.n_records, in.n_records);
    for (size_t at = 0; at < in.n_records; at++) {
        const struct nsm_hash wanted = nsm_record_hash(&in.records[at], 0, 0);
        const struct nsm_hash got = nsm_record_hash(&out.records[at], 0, 0);
        assert_int_equal(out.records[at].kind, in.records[at].kind);
        assert_true(nsm_str_equals(out.records[at].key, in.records[at].key));
        assert_true(out.records[at].expires_at_ms == in.records[at].expires_at_ms);
        assert_true(wanted.low == got.low && wanted.high == got.high);
    }
    nsm_batch_release(&in);
    nsm_batch_release(&rows);
    nsm_batch_release(&out);
    nsm_layout_release(&there);
    nsm_layout_release(&back);
    nsm_census_release(&keys);
    nsm_census_release(&table);
}

static void test_kv_there_and_back(void **state)
{
    (void)state;
    static const enum nsm_type postgres[] = {NSM_BYTES, NSM_TEXT, NSM_BYTES, NSM_TIME};
    static const enum nsm_type sqlite[] = {NSM_BYTES, NSM_TEXT, NSM_BYTES, NSM_TEXT};
    check_kv(postgres);
    check_kv(sqlite);
}

static void test_kv_row(void **state)
{
    (void)state;
    struct nsm_census keys = keys_census();
    struct nsm_layout_stage stage;
    make_stage(&stage, NSM_LAYOUT_KV, &keys, NSM_CAP_ROWS);
    struct nsm_batch in;
    struct nsm_batch out;
    nsm_batch_init(&in, NSM_LANE_RECORD);
    nsm_batch_init(&out, NSM_LANE_RECORD);
    struct nsm_record *record = add_key(&in, NSM_KIND_STRING, NSM_STR_LIT("s:1"), 1);
    record->items[0] = bytes("value");
    record->expires_at_ms = 0;
    record = add_key(&in, NSM_KIND_LIST, NSM_STR_LIT("s:2"), 2);
    record->items[0] = bytes("a");
    record->items[1] = bytes("b");
    in.resume = NSM_STR_LIT("token");
    in.n_vanished = 3;
    nsm_assert_ok(apply(&stage, &in, &out));
    const struct nsm_value *row = out.records[0].items;
    assert_int_equal(out.records[0].kind, NSM_KIND_ROW);
    assert_int_equal(out.records[0].n_items, 4);
    /* Nothing is copied that can be pointed to. */
    assert_ptr_equal(row[0].bytes.ptr, in.records[0].key.ptr);
    assert_ptr_equal(row[2].bytes.ptr, in.records[0].items[0].bytes.ptr);
    assert_true(nsm_str_equals(row[1].bytes, NSM_STR_LIT("string")));
    assert_true(nsm_str_equals(row[3].bytes, NSM_STR_LIT("1970-01-01 00:00:00+00")));
    row = out.records[1].items;
    assert_true(nsm_str_equals(row[1].bytes, NSM_STR_LIT("list")));
    assert_true(nsm_str_equals(row[2].bytes, NSM_STR_LIT("[\"a\",\"b\"]")));
    assert_int_equal(row[3].type, NSM_NULL);
    assert_true(nsm_str_equals(out.resume, NSM_STR_LIT("token")));
    assert_int_equal(out.n_vanished, 3);
    assert_int_equal(out.n_bytes, 3 + 6 + 5 + 22 + 3 + 4 + 9);

    /* What no row can be. */
    in.records[0].expires_at_ms = INT64_MAX - 1;
    nsm_assert_error(apply(&stage, &in, &out), NSM_E_UNSUPPORTED, "key s:1: its expiry");
    in.records[0].expires_at_ms = NSM_NO_EXPIRY;
    in.records[1].flags = NSM_RECORD_MORE;
    nsm_assert_error(apply(&stage, &in, &out), NSM_E_UNSUPPORTED,
                     "key s:2: this list is too large");
    nsm_batch_release(&in);
    nsm_batch_release(&out);
    nsm_layout_release(&stage);
    nsm_census_release(&keys);
}

static void test_kv_rows_refused(void **state)
{
    (void)state;
    struct nsm_column columns[] = {
        {.name = "expires_at", .type = NSM_TIME, .type_name = "timestamptz"},
        {.name = "value", .type = NSM_BYTES, .type_name = ""},
        {.name = "kind", .type = NSM_TEXT, .type_name = ""},
        {.name = "key", .type = NSM_BYTES, .type_name = ""},
    };
    struct nsm_census table = {.identity = "t"};
    (void)add_table(&table, "kv", columns, 4);
    struct nsm_layout_stage stage;
    make_stage(&stage, NSM_LAYOUT_KV, &table, NSM_CAP_KEYS);
    assert_int_equal(stage.shape.findings.n_items, 0); /* the order of columns is free */
    const struct {
        const char *expiry, *value, *kind, *key; /* NULL: null */
        enum nsm_code code;
        const char *wanted;
    } cases[] = {
        {NULL, "v", "string", NULL, NSM_E_UNSUPPORTED, "key, kind or value is null"},
        {NULL, NULL, "string", "k", NSM_E_UNSUPPORTED, "key, kind or value is null"},
        {NULL, "v", "row", "k", NSM_E_UNSUPPORTED, "kind is none of"},
        {NULL, "v", "dump", "k", NSM_E_UNSUPPORTED, "kind is none of"},
        {NULL, "v", "String", "k", NSM_E_UNSUPPORTED, "kind is none of"},
        {"tomorrow", "v", "string", "k", NSM_E_UNSUPPORTED, "expires_at"},
        {"2026-01-31 12:00:00.123456+00", "v", "string", "k", NSM_E_UNSUPPORTED, "expires_at"},
        {NULL, "[1", "list", "k", NSM_E_CORRUPT, "kv"},
        {NULL, "{}", "set", "k", NSM_E_CORRUPT, "kv"},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        struct nsm_batch in;
        struct nsm_batch out;
        nsm_batch_init(&in, NSM_LANE_RECORD);
        nsm_batch_init(&out, NSM_LANE_RECORD);
        struct nsm_record *const row = nsm_batch_add(&in, NSM_KIND_ROW, 4);
        const char *const texts[] = {cases[at].expiry, cases[at].value, cases[at].kind,
                                     cases[at].key};
        for (size_t column = 0; column < 4; column++) {
            if (texts[column])
                row->items[column] = typed(columns[column].type, texts[column]);
        }
        nsm_assert_error(apply(&stage, &in, &out), cases[at].code, cases[at].wanted);
        nsm_batch_release(&in);
        nsm_batch_release(&out);
    }
    nsm_layout_release(&stage);

    columns[3].name = "id";
    make_stage(&stage, NSM_LAYOUT_KV, &table, NSM_CAP_KEYS);
    assert_int_equal(count_refusals(&stage.shape.findings, "key, kind, value and expires_at"), 1);
    nsm_layout_release(&stage);
    nsm_census_release(&table);
}

/* ---- tables to tables ---- */

static void test_rows_to_rows(void **state)
{
    (void)state;
    struct nsm_column from[] = {
        {.name = "id", .type = NSM_INT, .type_name = "INTEGER"},
        {.name = "is_on", .type = NSM_INT, .type_name = "INTEGER"},
        {.name = "note", .type = NSM_TEXT, .type_name = "TEXT"},
    };
    struct nsm_column to[] = {
        {.name = "id", .type = NSM_INT, .type_name = "bigint"},
        {.name = "is_on", .type = NSM_BOOL, .type_name = "boolean"},
        {.name = "note", .type = NSM_TEXT, .type_name = "text", .is_not_null = true},
    };
    size_t key[] = {0};
    struct nsm_census source = {.identity = "a"};
    struct nsm_census target = {.identity = "b"};
    struct nsm_object *const table = add_table(&source, "users", from, 3);
    table->key_columns = key;
    table->n_key_columns = 1;
    (void)add_table(&target, "users", to, 3);
    struct nsm_layout_stage stage;
    nsm_assert_ok(nsm_layout_init(&stage, NSM_LAYOUT_DEFAULT, &source, NSM_CAP_ROWS, "x"));
    assert_int_equal(stage.shape.n_objects, 1);
    assert_string_equal(stage.shape.objects[0].name, "users");
    struct nsm_findings findings = {0};
    nsm_layout_bind(&stage, &target, NSM_LAYOUT_SAME_ADAPTER, &findings);
    assert_true(stage.is_identity);
    nsm_layout_bind(&stage, &target, 0, &findings);
    assert_false(stage.is_identity);
    assert_int_equal(findings.n_items, 0);

    struct nsm_batch in;
    struct nsm_batch out;
    nsm_batch_init(&in, NSM_LANE_RECORD);
    nsm_batch_init(&out, NSM_LANE_RECORD);
    struct nsm_record *const row = nsm_batch_add(&in, NSM_KIND_ROW, 3);
    row->items[0] = typed(NSM_INT, "42");
    row->items[1] = typed(NSM_INT, "1");
    row->items[2] = typed(NSM_TEXT, "hunter2");
    nsm_assert_ok(apply(&stage, &in, &out));
    assert_int_equal(out.records[0].items[1].type, NSM_BOOL);
    assert_true(nsm_str_equals(out.records[0].items[1].bytes, NSM_STR_LIT("t")));
    assert_ptr_equal(out.records[0].items[2].bytes.ptr, row->items[2].bytes.ptr);

    row->items[1] = typed(NSM_INT, "2");
    nsm_assert_error(apply(&stage, &in, &out), NSM_E_UNSUPPORTED, "users id=42: column is_on: ");
    row->items[1] = typed(NSM_INT, "0");
    row->items[2] = (struct nsm_value){.type = NSM_NULL};
    nsm_assert_error(apply(&stage, &in, &out), NSM_E_UNSUPPORTED, "column note: ");
    nsm_batch_release(&in);
    nsm_batch_release(&out);
    nsm_layout_release(&stage);
    nsm_census_release(&source);
    nsm_census_release(&target);
}

static void test_pairs_of_types(void **state)
{
    (void)state;
    const struct {
        enum nsm_type from;
        const char *from_name;
        enum nsm_type to;
        const char *to_name;
        bool is_refused;
    } cases[] = {
        {NSM_INT, "int", NSM_TEXT, "text", false},
        {NSM_INT, "int", NSM_UUID, "uuid", true},
        {NSM_BYTES, "bytea", NSM_INT, "bigint", true},
        {NSM_TIME, "date", NSM_TIME, "date", false},
        {NSM_TIME, "date", NSM_TIME, "timestamptz", true},
        {NSM_OTHER, "inet", NSM_OTHER, "inet", false},
        {NSM_OTHER, "inet", NSM_OTHER, "point", true},
        {NSM_JSON, "json", NSM_JSON, "jsonb", true},
        {NSM_JSON, "jsonb", NSM_JSON, "jsonb", false},
        {NSM_JSON, "jsonb", NSM_JSON, "json", false},
        {NSM_TEXT, "text", NSM_JSON, "jsonb", true},
        {NSM_TEXT, "text", NSM_JSON, "json", false},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        struct nsm_column from = {
            .name = "c", .type = cases[at].from, .type_name = cases[at].from_name};
        struct nsm_column to = {.name = "c", .type = cases[at].to, .type_name = cases[at].to_name};
        struct nsm_census source = {.identity = "a"};
        struct nsm_census target = {.identity = "b"};
        (void)add_table(&source, "t", &from, 1);
        (void)add_table(&target, "t", &to, 1);
        struct nsm_layout_stage stage;
        struct nsm_findings findings = {0};
        nsm_assert_ok(nsm_layout_init(&stage, NSM_LAYOUT_DEFAULT, &source, NSM_CAP_ROWS, "x"));
        nsm_layout_bind(&stage, &target, 0, &findings);
        if (findings.n_items != cases[at].is_refused)
            print_error("%s to %s\n", cases[at].from_name, cases[at].to_name);
        assert_int_equal(count_refusals(&findings, "column t.c: "), cases[at].is_refused);
        nsm_findings_release(&findings);
        nsm_layout_release(&stage);
        nsm_census_release(&source);
        nsm_census_release(&target);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve),      cmocka_unit_test(test_kv_there_and_back),
        cmocka_unit_test(test_kv_row),       cmocka_unit_test(test_kv_rows_refused),
        cmocka_unit_test(test_rows_to_rows), cmocka_unit_test(test_pairs_of_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
