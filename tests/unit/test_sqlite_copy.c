/* The adapter `sqlite` from file to file: definitions word for word, and what stands in the way. */
#include <sys/stat.h>
#include <unistd.h>

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

static struct nsm_error *copy(const char *folder, const char *tables, enum nsm_if_exists if_exists)
{
    struct lite from;
    struct lite to;
    lite_open(&from, folder, "a.db", tables, NULL);
    lite_open(&to, folder, "b.db", NULL, NULL);
    struct nsm_error *const error = lite_copy(&from, &to, if_exists);
    lite_close(&to);
    lite_close(&from);
    return error;
}

/* Whether a query gives the same on both files. */
static void expect_same(const char *folder, const char *sql)
{
    NSM_CLEANUP(nsm_freep) char *expected = lite_value(folder, "a.db", sql);
    assert_true(expected[0] != '\0');
    lite_expect(folder, "b.db", sql, expected);
}

static const char schema_sql[] =
    "SELECT type || name || tbl_name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1";

static void everything_arrives_word_for_word(void **state)
{
    lite_exec(
        *state, "a.db",
        "PRAGMA user_version = 42; PRAGMA application_id = 7;"
        "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  name TEXT NOT NULL COLLATE NOCASE, age INT CHECK (age > 0), any_, d DECIMAL(5, 2));"
        "CREATE TABLE  \"odd \"\" name\" ( k text /* why */ , PRIMARY KEY ( k ) ) WITHOUT ROWID;"
        "CREATE TABLE child (user_id REFERENCES users (id));"
        "CREATE TABLE sum (a INT, b AS (a + 1) STORED);"
        "CREATE TABLE hard (a INT, b ANY) STRICT;"
        "CREATE TABLE empty (x);"
        "CREATE UNIQUE INDEX by_name ON users (name, id) WHERE age > 1;"
        "CREATE INDEX by_sum ON sum (b);"
        "CREATE VIEW grown AS SELECT * FROM users WHERE age > 17;"
        "INSERT INTO users VALUES (1, '\xc3\xa4', 20, 1, 1.5), (5, 'B', 3, 1.0, '12'),"
        "  (6, 'C', 4, x'00', 'x'), (7, 'D', 5, NULL, 9e300), (8, 'E', 6, 'text', -1);"
        "INSERT INTO \"odd \"\" name\" VALUES ('key'); INSERT INTO sum (a) VALUES (1), (2);"
        "INSERT INTO hard VALUES (1, '2'), (2, 2.0);"
        "CREATE TRIGGER log AFTER INSERT ON users BEGIN INSERT INTO empty VALUES (new.id);"
        " END;"
        "UPDATE sqlite_sequence SET seq = 1000; INSERT INTO child VALUES (999);"
        "PRAGMA ignore_check_constraints = ON;"
        "UPDATE users SET age = -1 WHERE id = 8; ANALYZE;");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    expect_same(*state, schema_sql);
    expect_same(*state, "SELECT quote(id) || quote(name) || quote(age) || quote(any_) || quote(d)"
                        " FROM users ORDER BY id");
    expect_same(*state, "SELECT quote(a) || quote(b) FROM hard");
    expect_same(*state, "SELECT a || b FROM sum");
    expect_same(*state, "SELECT quote(k) FROM \"odd \"\" name\"");
    expect_same(*state, "SELECT user_id FROM child");
    expect_same(*state, "SELECT count(*) FROM empty"); /* the trigger saw nothing */
    expect_same(*state, "SELECT name || seq FROM sqlite_sequence");
    expect_same(*state, "SELECT tbl || idx || stat FROM sqlite_stat1 ORDER BY 1");
    expect_same(*state, "PRAGMA user_version");
    expect_same(*state, "PRAGMA application_id");
}

static void encodings_are_kept(void **state)
{
    lite_exec(*state, "a.db",
              "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a); CREATE INDEX i ON t (a);"
              "INSERT INTO t VALUES ('\xc3\xa4\xf0\x9f\x98\x80'), (x'01')");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    expect_same(*state, "PRAGMA encoding");
    expect_same(*state, "SELECT quote(a) FROM t");
    /* Half of a surrogate pair would become another character on its way. */
    lite_exec(*state, "a.db", "INSERT INTO t VALUES (CAST(x'3dd8' AS TEXT))");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_REPLACE), NSM_E_UNSUPPORTED,
                      "table t: column a");
}

/* Indexes and triggers go with their tables, views and settings with the whole file. */
static void a_selection_takes_what_is_its_own(void **state)
{
    struct lite lite;
    struct nsm_source source;
    lite_exec(*state, "a.db",
              "PRAGMA user_version = 9; CREATE TABLE t1 (a); CREATE TABLE t2 (a);"
              "CREATE TABLE other (a); CREATE INDEX i1 ON t1 (a); CREATE INDEX io ON other (a);"
              "CREATE VIEW v AS SELECT * FROM t1; INSERT INTO t1 VALUES (1)");
    lite_open(&lite, *state, "a.db", "t?", NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_int_equal(source.census.n_objects, 2);
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_NOTE, "1 view"));
    lite_release_source(&source);
    lite_close(&lite);
    assert_ok(copy(*state, "t?", NSM_IF_EXISTS_FAIL));
    lite_expect(*state, "b.db", "SELECT name FROM sqlite_schema ORDER BY 1", "i1|t1|t2");
    lite_expect(*state, "b.db", "PRAGMA user_version", "0");
}

/* Their modules keep the rows in tables of their own, which go as they are. */
static void virtual_tables_arrive(void **state)
{
    lite_exec(
        *state, "a.db",
        "CREATE TABLE t (a); CREATE VIRTUAL TABLE f USING fts5(x);"
        "CREATE VIRTUAL TABLE \"it's\" USING rtree(id, low, high); CREATE VIEW v AS SELECT * FROM f;"
        "INSERT INTO f VALUES ('some words'), ('and others');"
        "INSERT INTO \"it's\" VALUES (1, 0.5, 2.5)");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    expect_same(*state, schema_sql);
    lite_expect(*state, "b.db", "SELECT x FROM f WHERE f MATCH 'others'", "and others");
    lite_expect(*state, "b.db", "SELECT x FROM v", "some words|and others");
    lite_expect(*state, "b.db", "SELECT low FROM \"it's\" WHERE high > 2", "0.5");
    lite_expect(*state, "b.db", "PRAGMA integrity_check", "ok");
    lite_exec(*state, "b.db",
              "INSERT INTO f VALUES ('new'); INSERT INTO f(f) VALUES ('integrity-check')");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_REPLACE), NSM_E_UNSUPPORTED,
                      "a virtual table that stands there keeps its rows in it");
}

/* One that is named brings the tables behind it; those alone are nothing. */
static void a_selected_virtual_table_is_whole(void **state)
{
    lite_exec(
        *state, "a.db",
        "CREATE TABLE t (a); CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE g USING fts5(x);"
        "INSERT INTO f VALUES ('some words'); CREATE VIEW v AS SELECT 1");
    assert_ok(copy(*state, "f", NSM_IF_EXISTS_FAIL));
    lite_expect(*state, "b.db", "SELECT x FROM f WHERE f MATCH 'words'", "some words");
    lite_expect(*state, "b.db", "SELECT count(*) FROM sqlite_schema WHERE name GLOB '[gtv]*'", "0");
    struct lite lite;
    struct nsm_source source;
    lite_open(&lite, *state, "a.db", "f_*", NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_int_equal(source.census.n_objects, 0);
    lite_release_source(&source);
    lite_close(&lite);
}

static void virtual_tables_are_a_loss_elsewhere(void **state)
{
    struct lite lite;
    struct nsm_source source;
    lite_exec(*state, "a.db", "CREATE TABLE t (a); CREATE VIRTUAL TABLE f USING fts5(x)");
    lite_open(&lite, *state, "a.db", NULL, NULL);
    assert_ok(lite_survey(&lite, &source, NSM_SURVEY_VALUE_TYPES, 0));
    assert_int_equal(source.census.n_objects, 1); /* nor the tables behind it */
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_LOSS, "virtual table f"));
    assert_string_equal(source.census.findings.items[0].what, "virtual-tables");
    lite_release_source(&source);
    lite_close(&lite);
}

/* Where no column stands for it, in whatever kind of table. */
static void rowids_are_kept(void **state)
{
    static const char *const queries[] = {
        "SELECT rowid || a FROM plain ORDER BY rowid",
        "SELECT rowid || k FROM keyed ORDER BY rowid",
        "SELECT rowid || id FROM backwards ORDER BY rowid",
        "SELECT oid || rowid FROM hidden ORDER BY oid",
    };
    lite_exec(
        *state, "a.db",
        "CREATE TABLE plain (a); CREATE TABLE keyed (k TEXT PRIMARY KEY);"
        "CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC); CREATE TABLE hidden (rowid, _rowid_);"
        "CREATE TABLE none (k PRIMARY KEY) WITHOUT ROWID; CREATE TABLE alias (id INTEGER PRIMARY KEY);"
        "CREATE TABLE taken (rowid, _rowid_, oid); INSERT INTO taken VALUES (1, 2, 3);"
        "INSERT INTO plain (rowid, a) VALUES (7, 'x'), (-3, 'y'), (9223372036854775807, 'z');"
        "INSERT INTO keyed (rowid, k) VALUES (10, 'a'), (5, 'b'), (7, 'c');"
        "INSERT INTO backwards (rowid, id) VALUES (4, 1), (2, 2); INSERT INTO hidden VALUES (3, 4);"
        "INSERT INTO hidden (oid, rowid) VALUES (12, 5); INSERT INTO none VALUES (1);"
        "INSERT INTO alias VALUES (8)");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    for (size_t i = 0; i < NSM_COUNT_OF(queries); i++)
        expect_same(*state, queries[i]);
    expect_same(*state, "SELECT rowid || oid FROM taken");
    expect_same(*state, "SELECT id FROM alias");
    /* A row that is merged into others goes where there is room. */
    lite_exec(*state, "b.db",
              "DELETE FROM keyed; INSERT INTO keyed (rowid, k) VALUES (10, 'other')");
    assert_ok(copy(*state, "keyed", NSM_IF_EXISTS_MERGE));
    lite_expect(*state, "b.db", "SELECT k FROM keyed ORDER BY k", "a|b|c|other");
}

static void old_statistics_stay_old(void **state)
{
    lite_exec(
        *state, "a.db",
        "CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1), (2);"
        "CREATE TABLE u (a); INSERT INTO u VALUES (1); ANALYZE;"
        "INSERT INTO t VALUES (3), (4), (5); UPDATE sqlite_stat1 SET stat = '77 3' WHERE tbl = 't'");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    expect_same(*state, "SELECT rowid || tbl || coalesce(idx, '') || stat FROM sqlite_stat1");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_REPLACE));
    expect_same(*state, "SELECT tbl || coalesce(idx, '') || stat FROM sqlite_stat1 ORDER BY 1");
}

static void a_source_without_what_was_named(void **state)
{
    struct lite lite;
    struct nsm_source source;
    lite_exec(*state, "a.db", "CREATE TABLE customers (a)");
    lite_open(&lite, *state, "a.db", "customer", NULL);
    lite_expect_error(lite_survey(&lite, &source, 0, 0), NSM_E_NOTFOUND,
                      "did you mean \"customers\"");
    lite_release_source(&source);
    lite_close(&lite);
    lite_open(&lite, *state, "a.db", "x*", NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    assert_int_equal(source.census.n_objects, 0);
    assert_true(lite_finds(&source.census.findings, NSM_FINDING_NOTE, "\"x*\""));
    lite_release_source(&source);
    lite_close(&lite);
}

/* ---- what stands at the destination ---- */

static void conflicts_stop_before_anything(void **state)
{
    lite_exec(*state, "a.db", "CREATE TABLE t (a); CREATE VIEW v AS SELECT 1");
    lite_exec(*state, "b.db", "CREATE TABLE t (b); INSERT INTO t VALUES (1), (2)");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_FAIL), NSM_E_CONFLICT,
                      "table t holds 2 rows");
    lite_exec(*state, "b.db", "DROP TABLE t; CREATE VIEW v AS SELECT 2");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_FAIL), NSM_E_CONFLICT, "view v");
    lite_expect(*state, "b.db", "SELECT sql FROM sqlite_schema", "CREATE VIEW v AS SELECT 2");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_REPLACE));
    expect_same(*state, schema_sql);
}

static void names_that_mean_something_else_are_refused(void **state)
{
    lite_exec(*state, "a.db", "CREATE TABLE t (a); CREATE INDEX i ON t (a)");
    lite_exec(*state, "b.db", "CREATE TABLE x (a); CREATE INDEX i ON x (a)");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_REPLACE), NSM_E_UNSUPPORTED,
                      "index i: there is one of that name, on x");
    lite_exec(*state, "b.db", "DROP INDEX i; CREATE VIEW t AS SELECT 1");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_REPLACE), NSM_E_UNSUPPORTED,
                      "there is a view of that name");
    lite_exec(*state, "b.db", "DROP VIEW t; CREATE TABLE i (a)");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_REPLACE), NSM_E_UNSUPPORTED,
                      "index i: a table of that name stands there");
}

static void replace_makes_anew(void **state)
{
    lite_exec(*state, "a.db", "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2)");
    lite_exec(*state, "b.db",
              "CREATE TABLE t (z); INSERT INTO t VALUES (9); CREATE TABLE keep (a);"
              "CREATE INDEX gone ON t (z)");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_REPLACE));
    lite_expect(*state, "b.db", "SELECT a || b FROM t", "12");
    lite_expect(*state, "b.db", "SELECT name FROM sqlite_schema ORDER BY 1", "keep|t");
}

static void merge_needs_the_same_table(void **state)
{
    lite_exec(*state, "a.db", "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)");
    lite_exec(*state, "b.db", "CREATE TABLE t (k INTEGER PRIMARY KEY, v INT)");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_MERGE), NSM_E_UNSUPPORTED,
                      "column v stands there as \"INT\"");
    lite_exec(*state, "b.db", "DROP TABLE t; CREATE TABLE t (k INTEGER PRIMARY KEY)");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_SKIP), NSM_E_UNSUPPORTED, "has no column v");
    lite_exec(*state, "b.db", "DROP TABLE t; CREATE TABLE t (k INTEGER, v TEXT)");
    lite_expect_error(copy(*state, NULL, NSM_IF_EXISTS_MERGE), NSM_E_UNSUPPORTED,
                      "same primary key");
}

static void merge_fires_no_trigger(void **state)
{
    lite_exec(*state, "a.db",
              "CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES"
              " ('a', 1), ('b', 2)");
    lite_exec(*state, "b.db",
              "CREATE TABLE t (k TEXT PRIMARY KEY, v, more DEFAULT 'm');"
              "CREATE TABLE log (k); INSERT INTO t VALUES ('b', 0, 'old');"
              "CREATE TRIGGER tr AFTER UPDATE ON t BEGIN"
              " INSERT INTO log VALUES (new.k); END");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_MERGE));
    lite_expect(*state, "b.db", "SELECT k || v || more FROM t ORDER BY k", "a1m|b2old");
    lite_expect(*state, "b.db", "SELECT count(*) FROM log", "0");
}

static void a_table_is_not_copied_onto_itself(void **state)
{
    struct lite from;
    struct lite to;
    lite_exec(*state, "a.db", "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    lite_open(&from, *state, "a.db", NULL, NULL);
    lite_open(&to, *state, "./a.db", NULL, NULL);
    lite_expect_error(lite_copy(&from, &to, NSM_IF_EXISTS_REPLACE), NSM_E_UNSUPPORTED,
                      "table t is the source itself");
    lite_close(&to);
    lite_close(&from);
    lite_expect(*state, "a.db", "SELECT a FROM t", "1");
}

/* A name for the one table is for what comes from elsewhere. */
static void a_table_keeps_its_name_between_files(void **state)
{
    struct lite from;
    struct lite to;
    lite_exec(*state, "a.db", "CREATE TABLE t (a)");
    lite_open(&from, *state, "a.db", NULL, NULL);
    lite_open(&to, *state, "b.db", NULL, "other");
    lite_expect_error(lite_copy(&from, &to, NSM_IF_EXISTS_FAIL), NSM_E_UNSUPPORTED,
                      "tables keep their names");
    lite_close(&to);
    lite_close(&from);
}

/* ---- files ---- */

static bool has_log(const char *folder, const char *name)
{
    NSM_CLEANUP(nsm_freep) char *log = nsm_xasprintf("%s/%s-wal", folder, name);
    return access(log, F_OK) == 0;
}

static void a_file_that_we_made_is_in_one_piece(void **state)
{
    lite_exec(*state, "a.db", "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    assert_false(has_log(*state, "b.db"));
    lite_expect(*state, "b.db", "PRAGMA journal_mode", "delete");
    lite_expect(*state, "b.db", "PRAGMA integrity_check", "ok");
    lite_exec(*state, "b.db", "PRAGMA journal_mode = WAL"); /* what stood there stays as it was */
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_REPLACE));
    lite_expect(*state, "b.db", "PRAGMA journal_mode", "wal");
}

static void overwrite(const char *folder, const char *name, long offset, const char *bytes,
                      size_t len)
{
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/%s", folder, name);
    FILE *const file = fopen(path, offset < 0 ? "w" : "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset < 0 ? 0 : offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void expect_survey_error(const char *folder, const char *name, enum nsm_code code,
                                const char *words)
{
    struct lite lite;
    struct nsm_source source;
    lite_open(&lite, folder, name, NULL, NULL);
    lite_expect_error(lite_survey(&lite, &source, 0, 0), code, words);
    lite_release_source(&source);
    lite_close(&lite);
}

static void files_that_are_no_database(void **state)
{
    char page[4096];
    memset(page, 0x5a, sizeof(page));
    overwrite(*state, "text.db", -1, "just some text, long enough for a header of a file\n", 51);
    expect_survey_error(*state, "text.db", NSM_E_CORRUPT, "text.db: ");
    overwrite(*state, "text.db", -1, page, sizeof(page));
    expect_survey_error(*state, "text.db", NSM_E_CORRUPT, "not a SQLite database");
    overwrite(*state, "empty.db", -1, "", 0);
    expect_survey_error(*state, "empty.db", NSM_E_NOTFOUND, "no table in it");
    expect_survey_error(*state, "missing.db", NSM_E_NOTFOUND, "missing.db");
    expect_survey_error(*state, ".", NSM_E_INVALID, "not a file");
    NSM_CLEANUP(nsm_freep) char *missing = nsm_xasprintf("%s/missing.db", (char *)*state);
    assert_int_not_equal(access(missing, F_OK), 0); /* looking makes nothing */
}

static void damage_is_named(void **state)
{
    char junk[4096];
    memset(junk, 0xd7, sizeof(junk));
    lite_exec(*state, "a.db",
              "CREATE TABLE t (a TEXT); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
              " SELECT i + 1 FROM n WHERE i < 2000) SELECT printf('%050d', i) FROM n");
    overwrite(*state, "a.db", 8192, junk, sizeof(junk));
    overwrite(*state, "a.db", 12288, junk, sizeof(junk));
    expect_survey_error(*state, "a.db", NSM_E_CORRUPT, ".recover");
    expect_survey_error(*state, "a.db", NSM_E_CORRUPT, "table t");
}

/* A wrong key in the page that leads to the others: a scan still finds all rows, a seek does not, and neither says so. */
static void damage_that_reading_passes_over_is_named(void **state)
{
    unsigned char page[4096];
    lite_exec(
        *state, "a.db",
        "PRAGMA page_size = 4096; CREATE TABLE t (a TEXT); CREATE TABLE whole (a);"
        "INSERT INTO whole VALUES (1); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
        " SELECT i + 1 FROM n WHERE i < 5000) SELECT printf('%050d', i) FROM n");
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/a.db", (char *)*state);
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    assert_int_equal(fread(page, 1, sizeof(page), file), sizeof(page));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(page[0],
                     5); /* an inner page of a table, whose cells are a page's number and a key */
    const long cell = page[16] << 8 | page[17]; /* the third of them */
    const char key = (char)(page[cell + 4] ^ 0x40);
    overwrite(*state, "a.db", 4096 + cell + 4, &key, 1);
    lite_expect(*state, "a.db", "SELECT count(*) FROM t", "5000");
    expect_survey_error(*state, "a.db", NSM_E_CORRUPT, "table t: ");
    expect_survey_error(*state, "a.db", NSM_E_CORRUPT, ".recover");
    struct lite lite; /* another table of the file is none the worse for it */
    struct nsm_source source;
    lite_open(&lite, *state, "a.db", "whole", NULL);
    assert_ok(lite_survey(&lite, &source, 0, 0));
    lite_release_source(&source);
    lite_close(&lite);
}

/* Rows that break a constraint are no damage. */
static void broken_constraints_are_no_damage(void **state)
{
    lite_exec(
        *state, "a.db",
        "CREATE TABLE t (a INT NOT NULL, b INT CHECK (b > 0), c TEXT UNIQUE);"
        "PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (1, -1, 'x'), (2, 2, 'y');"
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql ="
        " replace(sql, 'b INT CHECK', 'b INT NOT NULL CHECK') WHERE name = 't'");
    assert_ok(copy(*state, NULL, NSM_IF_EXISTS_FAIL));
    expect_same(*state, "SELECT a || b || c FROM t ORDER BY a");
}

static void a_destination_needs_its_folder(void **state)
{
    struct lite from;
    struct lite to;
    lite_exec(*state, "a.db", "CREATE TABLE t (a)");
    lite_open(&from, *state, "a.db", NULL, NULL);
    lite_open(&to, *state, "no/such/b.db", NULL, NULL);
    lite_expect_error(lite_copy(&from, &to, NSM_IF_EXISTS_FAIL), NSM_E_NOTFOUND, "make it first");
    struct nsm_health health = {0};
    lite_expect_error(nsm_adapter_sqlite.check(to.backend, to.ctx, &health), NSM_E_NOTFOUND,
                      "no/such/b.db");
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    lite_close(&to);
    lite_close(&from);
}

static void a_cut_definition_is_refused(void **state)
{
    struct lite from;
    struct lite to;
    struct nsm_source source;
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/definition", (char *)*state);
    lite_exec(*state, "a.db", "CREATE TABLE t (a); CREATE INDEX i ON t (a)");
    lite_open(&from, *state, "a.db", NULL, NULL);
    lite_open(&to, *state, "b.db", NULL, NULL);
    assert_ok(lite_survey(&from, &source, 0, 0));
    assert_ok(nsm_adapter_sqlite.define(&source, from.ctx, path));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    struct nsm_destination destination = {
        .backend = to.backend,
        .namespace_name = "ns",
        .selection = to.destination_settings,
        .shape = &source.census,
        .source_adapter = "sqlite",
        .definition = path,
    };
    struct nsm_destination *at = &destination;
    assert_ok(nsm_adapter_sqlite.inspect(to.backend, to.ctx, &at, 1));
    for (off_t size = info.st_size - 1; size >= 0; size -= 7) {
        assert_int_equal(truncate(path, size), 0);
        lite_expect_error(nsm_adapter_sqlite.prepare(&destination, to.ctx), NSM_E_CORRUPT,
                          "definition");
    }
    nsm_adapter_sqlite.release_destination(&destination);
    nsm_census_release(&destination.target);
    lite_release_source(&source);
    lite_close(&to);
    lite_close(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_arrives_word_for_word, setup, teardown),
        cmocka_unit_test_setup_teardown(encodings_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_selection_takes_what_is_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(virtual_tables_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(a_selected_virtual_table_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(virtual_tables_are_a_loss_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(rowids_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(old_statistics_stay_old, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_without_what_was_named, setup, teardown),
        cmocka_unit_test_setup_teardown(conflicts_stop_before_anything, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_mean_something_else_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(replace_makes_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(merge_needs_the_same_table, setup, teardown),
        cmocka_unit_test_setup_teardown(merge_fires_no_trigger, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_is_not_copied_onto_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_keeps_its_name_between_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_we_made_is_in_one_piece, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_no_database, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_that_reading_passes_over_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_constraints_are_no_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(a_destination_needs_its_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_definition_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
