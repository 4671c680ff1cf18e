/* The adapter `sqlite` as a source: types that follow values, keys, orders and places. */
#include "tests/support/sqlite_rig.h"

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

static void check_value(const struct nsm_batch *batch, size_t record, size_t item,
                        enum nsm_type type, const char *text)
{
    const struct nsm_value *const value = &batch->records[record].items[item];
    assert_int_equal(value->type, type);
    assert_int_equal(value->bytes.len, strlen(text));
    assert_memory_equal(value->bytes.ptr, text, value->bytes.len);
}

/* For another kind of store a column has the one type that holds all its values. */
static void types_follow_the_values(void **state)
{
    struct lite lite;
    struct nsm_source source;
    struct nsm_batch batch;
    lite_exec(*state, "a.db",
              "CREATE TABLE t (i, r, f, n, t INTEGER, b TEXT, nulls REAL, untyped);"
              "INSERT INTO t VALUES (1, 1.5, 2, 9007199254740993, 'x', x'00ff', NULL, NULL),"
              " (-9223372036854775808, -0.5, 0.25, 0.1, 'yy', x'', NULL, NULL),"
              " (NULL, 9e999, NULL, NULL, NULL, NULL, NULL, NULL)");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0));
    static const enum nsm_type expected[] = {NSM_INT,  NSM_FLOAT, NSM_FLOAT, NSM_NUMERIC,
                                             NSM_TEXT, NSM_BYTES, NSM_FLOAT, NSM_TEXT};
    for (size_t i = 0; i < NSM_COUNT_OF(expected); i++)
        assert_int_equal(source.census.objects[0].columns[i].type, expected[i]);
    assert_int_equal(source.census.objects[0].n_records, 3);
    assert_true(source.census.objects[0].is_exact);
    assert_ok(lite_read(&lite, &source, &batch));
    check_value(&batch, 0, 0, NSM_INT, "1");
    check_value(&batch, 1, 0, NSM_INT, "-9223372036854775808");
    check_value(&batch, 2, 0, NSM_NULL, "");
    check_value(&batch, 2, 1, NSM_FLOAT, "inf");
    check_value(&batch, 0, 2, NSM_FLOAT, "2");
    check_value(&batch, 0, 3, NSM_NUMERIC, "9007199254740993");
    check_value(&batch, 1, 3, NSM_NUMERIC, "0.1");
    check_value(&batch, 1, 5, NSM_BYTES, "");
    nsm_batch_release(&batch);
    lite_release_source(&source);
    lite_close(&lite);
}

static void mixed_columns_are_refused_by_name(void **state)
{
    struct lite lite;
    struct nsm_source source;
    lite_exec(*state, "a.db",
              "CREATE TABLE t (a, b, c, d);"
              "INSERT INTO t VALUES (1, 'x', 1.5, 'ok'), ('two', x'01', x'02', 'ok')");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0));
    const struct nsm_findings *const findings = &source.census.findings;
    assert_true(lite_finds(findings, NSM_FINDING_REFUSAL, "column a"));
    assert_true(lite_finds(findings, NSM_FINDING_REFUSAL, "1 integer, 1 text"));
    assert_true(lite_finds(findings, NSM_FINDING_REFUSAL, "column b"));
    assert_true(lite_finds(findings, NSM_FINDING_REFUSAL, "column c"));
    assert_false(lite_finds(findings, NSM_FINDING_REFUSAL, "column d"));
    lite_release_source(&source);
    assert_ok(lite_survey(&lite, &source, 0, 0)); /* SQLite takes it as it is */
    assert_int_equal(source.census.findings.n_items, 0);
    lite_release_source(&source);
    lite_close(&lite);
}

/* Texts that are no UTF-8 or hold a NUL go only to another SQLite file. */
static void bad_texts_are_refused_by_name(void **state)
{
    struct lite lite;
    struct nsm_source source;
    struct nsm_batch batch;
    lite_exec(*state, "a.db",
              "CREATE TABLE t (a TEXT, b TEXT, c TEXT);"
              "INSERT INTO t VALUES (CAST(x'ff' AS TEXT), CAST(x'610062' AS TEXT), 'fine')");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0));
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_REFUSAL, "column a"));
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_REFUSAL, "column b"));
    assert_false(lite_finds(&source.census.findings, NSM_FINDING_REFUSAL, "column c"));
    lite_expect_error(lite_read(&lite, &source, &batch), NSM_E_UNSUPPORTED, "column a");
    nsm_batch_release(&batch);
    lite_release_source(&source);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_ok(lite_read(&lite, &source, &batch));
    assert_int_equal(batch.records[0].items[1].type, NSM_TEXT);
    assert_int_equal(batch.records[0].items[1].bytes.len, 3);
    nsm_batch_release(&batch);
    lite_release_source(&source);
    lite_close(&lite);
}

/* A file that was written after the survey may hold what no column was made for. */
static void a_new_type_is_refused(void **state)
{
    struct lite lite;
    struct nsm_source source;
    struct nsm_batch batch;
    lite_exec(*state, "a.db", "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0));
    NSM_CLEANUP(nsm_freep) char *version = nsm_xstrdup(source.census.objects[0].version);
    lite_exec(*state, "a.db", "INSERT INTO t VALUES ('text')");
    lite_expect_error(lite_read(&lite, &source, &batch), NSM_E_UNSUPPORTED, "table t: column a");
    nsm_batch_release(&batch);
    lite_release_source(&source);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_string_not_equal(source.census.objects[0].version, version);
    lite_release_source(&source);
    lite_close(&lite);
}

static void computed_columns_go_where_they_must(void **state)
{
    struct lite lite;
    struct nsm_source source;
    lite_exec(*state, "a.db",
              "CREATE TABLE t (a INTEGER PRIMARY KEY, b AS (a * 2) STORED, c AS (a || 'x'));"
              "INSERT INTO t (a) VALUES (7)");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_int_equal(source.census.objects[0].n_columns, 1); /* the definition brings the others */
    lite_release_source(&source);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0));
    assert_int_equal(source.census.objects[0].n_columns, 3);
    assert_int_equal(source.census.objects[0].columns[2].type, NSM_TEXT);
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_NOTE, "2 computed columns"));
    lite_release_source(&source);
    lite_close(&lite);
}

static void keys_are_told(void **state)
{
    struct lite lite;
    struct nsm_source source;
    lite_exec(*state, "a.db",
              "CREATE TABLE a (x, y TEXT, z INT, PRIMARY KEY (z, x));"
              "CREATE TABLE b (x PRIMARY KEY); INSERT INTO b VALUES (NULL), (NULL), (1);"
              "CREATE TABLE c (x)");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    const struct nsm_object *const objects = source.census.objects;
    assert_int_equal(objects[0].n_key_columns, 2);
    assert_int_equal(objects[0].key_columns[0], 2);
    assert_int_equal(objects[0].key_columns[1], 0);
    assert_int_equal(objects[1].n_key_columns, 0); /* NULLs, twice: no key */
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_NOTE, "column x"));
    assert_int_equal(objects[2].n_key_columns, 0);
    lite_release_source(&source);
    lite_close(&lite);
}

/* ---- order and places ---- */

static void read_some(struct lite *lite, const struct nsm_source *source, struct nsm_str resume,
                      size_t n_records, struct nsm_batch *batch)
{
    const struct nsm_read_request request = {
        .source = source,
        .part = &source->census.parts[0],
        .object = &source->census.objects[0],
        .resume = resume,
        .batch_records = n_records,
        .batch_bytes = 1 << 20,
    };
    bool is_end = false;
    NSM_CLEANUP(nsm_freep)
    struct nsm_reader *reader = nsm_xcalloc(1, nsm_adapter_sqlite.reader_size);
    reader->backend = lite->backend;
    reader->request = &request;
    nsm_batch_init(batch, NSM_LANE_RECORD);
    assert_ok(nsm_adapter_sqlite.reader_open(reader, lite->ctx));
    assert_ok(nsm_adapter_sqlite.read(reader, lite->ctx, batch, &is_end));
    nsm_adapter_sqlite.reader_close(reader);
}

static struct nsm_digest digest(const struct nsm_batch *batch)
{
    struct nsm_digest sum = {0};
    for (size_t i = 0; i < batch->n_records; i++)
        nsm_digest_add_hash(&sum, nsm_record_hash(&batch->records[i], 0, NSM_DIGEST_TYPED));
    return sum;
}

/* The table `t`, read up to each row and from there on, is the whole table. */
static void check_places(const char *folder, const char *sql)
{
    struct lite lite;
    struct nsm_source source;
    struct nsm_batch whole;
    lite_exec(folder, "a.db", sql);
    lite_open(&lite, folder, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_ok(lite_read(&lite, &source, &whole));
    assert_int_equal(whole.n_records, source.census.objects[0].n_records);
    for (size_t n = 1; n < whole.n_records; n++) {
        struct nsm_batch head;
        struct nsm_batch tail;
        read_some(&lite, &source, (struct nsm_str){0}, n, &head);
        assert_int_equal(head.n_records, n);
        assert_true(head.resume.len > 0);
        read_some(&lite, &source, head.resume, 1000, &tail);
        struct nsm_digest sum = digest(&head);
        const struct nsm_digest rest = digest(&tail);
        const struct nsm_digest all = digest(&whole);
        nsm_digest_merge(&sum, &rest);
        assert_int_equal(sum.n_records, all.n_records);
        assert_true(nsm_digest_equals(&sum, &all));
        nsm_batch_release(&head);
        nsm_batch_release(&tail);
    }
    nsm_batch_release(&whole);
    lite_release_source(&source);
    lite_close(&lite);
    lite_exec(folder, "a.db", "DROP TABLE t");
}

static void places_hold_in_every_order(void **state)
{
    static const char rows[] =
        "INSERT INTO t SELECT value % 3, printf('%c%d', 65 + 32 * (value % 2), value / 4), value"
        " FROM (WITH RECURSIVE n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n"
        " WHERE value < 40) SELECT value FROM n)";
    static const char *const tables[] = {
        "CREATE TABLE t (a INT, b TEXT, c INT)",
        "CREATE TABLE t (a INT, b TEXT, c INT PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE t (a INT, b TEXT, c INT, PRIMARY KEY (a, b, c)) WITHOUT ROWID",
        "CREATE TABLE t (a INT, b TEXT, c INT, PRIMARY KEY (a DESC, c DESC)) WITHOUT ROWID",
        "CREATE TABLE t (a INT, b TEXT, c INT, PRIMARY KEY (a, c DESC)) WITHOUT ROWID",
        "CREATE TABLE t (a INT, b TEXT, c INT, PRIMARY KEY (a DESC, b, c DESC)) WITHOUT ROWID",
        "CREATE TABLE t (a INT, b TEXT COLLATE NOCASE, c INT, PRIMARY KEY (b, c)) WITHOUT ROWID",
        "CREATE TABLE t (a INT, b TEXT, c INT, PRIMARY KEY (b COLLATE NOCASE, c)) WITHOUT ROWID",
        "CREATE TABLE t (rowid INT, b TEXT, c INT)",
        "CREATE TABLE t (rowid INT, _rowid_ TEXT, c INT)",
    };
    for (size_t i = 0; i < NSM_COUNT_OF(tables); i++) {
        NSM_CLEANUP(nsm_freep) char *sql = nsm_xasprintf("%s; %s", tables[i], rows);
        check_places(*state, sql);
    }
    /* Values of all classes in a key, and the ends of what a rowid can be. */
    check_places(*state, "CREATE TABLE t (k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES"
                         " (1, 1), (1.5, 2), ('1', 3), (x'31', 4), ('', 5), (x'', 6), (-7e300, 7),"
                         " (9223372036854775807, 8)");
    check_places(*state, "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES"
                         " (-9223372036854775808, 1), (9223372036854775807, 2), (0, 3), (-1, 4)");
}

/* A table whose columns have all names of the rowid is one part that is never taken up in between. */
static void a_hidden_rowid_gives_no_place(void **state)
{
    struct lite lite;
    struct nsm_source source;
    struct nsm_batch batch;
    lite_exec(*state, "a.db",
              "CREATE TABLE t (rowid, _rowid_, oid); INSERT INTO t VALUES (1, 2, 3), (4, 5, 6)");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, 0, 1));
    assert_int_equal(source.census.n_parts, 1);
    read_some(&lite, &source, (struct nsm_str){0}, 1, &batch);
    assert_int_equal(batch.n_records, 1);
    assert_int_equal(batch.resume.len, 0);
    nsm_batch_release(&batch);
    lite_release_source(&source);
    lite_close(&lite);
}

/* Parts are even however the rowids lie, and reach to both ends for rows that come later. */
static void parts_are_even(void **state)
{
    struct lite lite;
    struct nsm_source source;
    struct nsm_batch batch;
    lite_exec(*state, "a.db",
              "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
              "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
              " WHERE i < 1000) SELECT i * i * i, 'some text of a length' FROM n;"
              "INSERT INTO t VALUES (9223372036854775807, 'far away')");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, 0, 5000));
    assert_true(source.census.n_parts >= 4);
    uint64_t n_records = 0;
    for (size_t i = 0; i < source.census.n_parts; i++) {
        const struct nsm_part *const part = &source.census.parts[i];
        n_records += part->n_records;
        assert_true(part->n_records <= 1001 / source.census.n_parts + 2);
    }
    assert_int_equal(n_records, 1001);
    lite_exec(*state, "a.db", "INSERT INTO t VALUES (-5, 'came later')");
    assert_ok(lite_read(&lite, &source, &batch));
    assert_int_equal(batch.n_records, 1002);
    nsm_batch_release(&batch);
    lite_release_source(&source);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_COUNT_ONLY, 5000));
    assert_int_equal(source.census.n_parts, 0);
    assert_int_equal(source.census.objects[0].n_records, 1002);
    lite_release_source(&source);
    lite_close(&lite);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types_follow_the_values, setup, teardown),
        cmocka_unit_test_setup_teardown(mixed_columns_are_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_texts_are_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_type_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(computed_columns_go_where_they_must, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(places_hold_in_every_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hidden_rowid_gives_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_are_even, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
