/*
 * What stands at the destination, and what is missing there: conflicts and the four ways to meet
 * them, rights, roles, types; and what a source can't give.
 */
#include "tests/support/pg_drive.h"
#include "tests/support/pg_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Needs what is above. */
#include <cmocka.h>

#include "migrate/base/alloc.h"

static const char *const shop_schema[] = {"schema=shop", NULL};

static const char shop[] =
    "CREATE SCHEMA shop; CREATE TABLE shop.item (id int PRIMARY KEY, name text, n int);"
    "CREATE TABLE shop.sale (id serial PRIMARY KEY, item int REFERENCES shop.item);"
    "CREATE VIEW shop.names AS SELECT name FROM shop.item;"
    "INSERT INTO shop.item SELECT i, 'ours' || i, i FROM generate_series(1, 10) i;"
    "INSERT INTO shop.sale (item) SELECT i FROM generate_series(1, 10) i";

static const char standing_item[] =
    "CREATE SCHEMA shop; CREATE TABLE shop.item (n int, name text, id int PRIMARY KEY,"
    " more text DEFAULT 'x'); INSERT INTO shop.item (id, name)"
    " SELECT i, 'theirs' || i FROM generate_series(6, 15) i; ANALYZE shop.item;";

static char *app_url(const struct pg_fixture *fixture, const char *database)
{
    return nsm_xasprintf("postgresql://app:secret@127.0.0.1:%d/%s", pg_server_port(fixture->server),
                         database);
}

static size_t count_target(const struct pg_drive *drive, enum nsm_finding_kind kind,
                           const char *text)
{
    return pg_drive_count(&drive->destination.target.findings, kind, text);
}

/* ---- if_exists ---- */

static void test_conflict(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(
        count_target(&drive, NSM_FINDING_CONFLICT, "table shop.item holds about 10 rows"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_CREATE, "table shop.sale"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, NULL), 0);
    /* Even if the core did not look: nothing of ours is left behind. */
    pg_check_error(pg_drive_prepare(&drive), NSM_E_CONFLICT, "already exists");
    pg_check_value(fixture, fixture->to, "SELECT to_regclass('shop.sale') IS NULL", "t");
    pg_check_value(fixture, fixture->to, "SELECT to_regnamespace('nsmigrate') IS NULL", "t");
    pg_drive_release(&drive);
}

static void test_merge(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_MERGE;
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, NULL), 0);
    pg_check_ok(pg_drive_prepare(&drive));
    pg_check_ok(pg_drive_copy(&drive));
    pg_check_ok(pg_drive_finish(&drive));
    pg_check_value(fixture, fixture->to,
                   "SELECT string_agg(name || COALESCE(n::text, '-') || more, ' ' ORDER BY id)"
                   " FROM shop.item WHERE id IN (1, 10, 11, 15)",
                   "ours11x ours1010x theirs11-x theirs15-x");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM shop.item", "15");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM shop.sale", "10");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'",
                   "1");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM shop.names", "15");
    assert_int_equal(drive.n_skipped, 0);
    pg_check_ok(nsm_adapter_postgres.complete(&drive.destination, drive.ctx));
    pg_drive_release(&drive);
}

static void test_skip(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"table=shop.item", NULL},
                  fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_SKIP;
    drive.lane = NSM_LANE_RECORD;
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_ok(pg_drive_prepare(&drive));
    pg_check_ok(pg_drive_copy(&drive));
    assert_int_equal(drive.n_records, 10);
    assert_int_equal(drive.n_skipped, 5);
    pg_check_value(fixture, fixture->to,
                   "SELECT string_agg(name, ' ' ORDER BY id) FROM shop.item"
                   " WHERE id IN (5, 6, 15)",
                   "ours5 theirs6 theirs15");
    /* Undoing ours never touches theirs. */
    pg_check_ok(nsm_adapter_postgres.reset_object(&drive.destination, drive.ctx, 0));
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM shop.item", "15");
    pg_drive_release(&drive);
}

static void test_merge_needs_key(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to,
                   "CREATE SCHEMA shop; CREATE TABLE shop.item (id text, name text)");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"table=shop.item", NULL},
                  fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_MERGE;
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "no primary key"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "without column n"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "has type text there and integer"),
                     1);
    pg_drive_release(&drive);
}

/* What would act on rows that are merged, or refuse them one by one, is told before. */
static void test_merge_needs_quiet(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_server_exec(
        fixture->server, fixture->to,
        "TRUNCATE shop.item; ALTER TABLE shop.item ADD needed int NOT NULL, ADD filled int NOT NULL DEFAULT 1;"
        "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER eat BEFORE INSERT ON shop.item FOR EACH ROW"
        " EXECUTE FUNCTION shop.f();"
        "CREATE RULE also AS ON INSERT TO shop.item DO ALSO SELECT 1");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"table=shop.item", NULL},
                  fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_SKIP;
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "column needed of table"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "column filled"), 0);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "has triggers"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "has rules"), 1);
    pg_drive_release(&drive);
    pg_server_exec(fixture->server, fixture->to,
                   "ALTER TABLE shop.item DISABLE TRIGGER USER; DROP RULE also ON shop.item;"
                   "ALTER TABLE shop.item DROP needed");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"table=shop.item", NULL},
                  fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_SKIP;
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, NULL), 0);
    pg_drive_release(&drive);
}

static void test_replace(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_server_exec(fixture->server, fixture->to,
                   "CREATE VIEW shop.names AS SELECT id FROM shop.item;"
                   "CREATE TABLE shop.other (keep int); INSERT INTO shop.other VALUES (1)");
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_REPLACE;
    pg_check_ok(pg_drive_run(&drive));
    pg_check_same(fixture, "SELECT string_agg(t::text, '|' ORDER BY id) FROM shop.item t", "", "");
    pg_check_same(fixture, "SELECT string_agg(t::text, '|' ORDER BY name) FROM shop.names t", "",
                  "");
    pg_check_value(fixture, fixture->to, "SELECT keep FROM shop.other", "1");
    pg_drive_release(&drive);
}

/* What someone else built on a table is not ours to drop. */
static void test_replace_keeps_dependents(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_server_exec(fixture->server, fixture->to,
                   "CREATE VIEW public.theirs AS SELECT id FROM shop.item");
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->to_url, NULL);
    drive.destination.if_exists = NSM_IF_EXISTS_REPLACE;
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_error(pg_drive_prepare(&drive), NSM_E_CONFLICT, "theirs depends on table shop.item");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM public.theirs", "10");
    pg_drive_release(&drive);
}

static void test_rename_into_used_schema(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, "CREATE SCHEMA used; CREATE TABLE used.x (a int)");
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->to_url,
                  (const char *const[]){"schema=used", NULL});
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "schema used holds other objects"),
                     1);
    pg_drive_release(&drive);
}

static void test_own_source(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->from_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    assert_string_equal(drive.source.census.identity, drive.destination.target.identity);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "is its own source"), 2);
    pg_drive_release(&drive);
}

/* ---- rights ---- */

static void test_rights(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    char *from NSM_CLEANUP(nsm_freep) = app_url(fixture, fixture->from);
    char *to NSM_CLEANUP(nsm_freep) = app_url(fixture, fixture->to);
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->from,
                   "GRANT USAGE ON SCHEMA shop TO app; GRANT SELECT ON shop.item TO app;"
                   "ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY");
    pg_drive_init(&drive, from, shop_schema, to, NULL);
    drive.has_definition = false;
    pg_check_ok(pg_drive_survey(&drive));
    const struct nsm_findings *const source = &drive.source.census.findings;
    assert_int_equal(
        pg_drive_count(source, NSM_FINDING_REFUSAL, "no right to read table shop.sale"), 1);
    assert_int_equal(
        pg_drive_count(source, NSM_FINDING_REFUSAL, "no right to read sequence shop.sale_id_seq"),
        1);
    assert_int_equal(pg_drive_count(source, NSM_FINDING_REFUSAL, "row security hides rows"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "can't create it: GRANT CREATE"), 1);
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "schema nsmigrate"), 1);
    pg_check_error(pg_drive_prepare(&drive), NSM_E_AUTH, "GRANT CREATE ON DATABASE");
    pg_drive_release(&drive);
}

/* An ordinary role copies what it owns; owners that are missing are named and passed over. */
static void test_ordinary_role(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    char *to NSM_CLEANUP(nsm_freep) = app_url(fixture, fixture->to);
    char *grant NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("GRANT CREATE ON DATABASE %s TO app", fixture->to);
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->from,
                   "GRANT SELECT ON shop.item TO app; GRANT SELECT ON shop.item TO postgres");
    pg_server_exec(fixture->server, fixture->to, grant);
    pg_drive_init(&drive, fixture->from_url, shop_schema, to,
                  (const char *const[]){"schema=mine", NULL});
    pg_check_ok(pg_drive_run(&drive));
    pg_check_value(fixture, fixture->to,
                   "SELECT string_agg(tableowner || tablename, ',' ORDER BY tablename)"
                   " FROM pg_tables WHERE schemaname = 'mine'",
                   "appitem,appsale");
    assert_int_equal(count_target(&drive, NSM_FINDING_NOTE, "will belong to app"), 1);
    pg_drive_release(&drive);
}

static void test_owners(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->from,
                   "ALTER SCHEMA shop OWNER TO app; ALTER TABLE shop.item OWNER TO app;"
                   "GRANT SELECT ON shop.sale TO app");
    pg_drive_init(&drive, fixture->from_url, shop_schema, fixture->to_url,
                  (const char *const[]){"schema=renamed", NULL});
    pg_check_ok(pg_drive_run(&drive));
    pg_check_value(fixture, fixture->to,
                   "SELECT string_agg(tableowner || tablename, ',' ORDER BY tablename)"
                   " FROM pg_tables WHERE schemaname = 'renamed'",
                   "appitem,postgressale");
    pg_check_value(fixture, fixture->to,
                   "SELECT has_table_privilege('app', 'renamed.sale', 'SELECT')", "t");
    pg_check_value(fixture, fixture->to,
                   "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'renamed'", "app");
    pg_drive_release(&drive);
}

/* ---- what is missing, or can't be carried ---- */

static void test_missing_type(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE EXTENSION hstore; CREATE TABLE t (id int, h hstore[])");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"table=t", NULL},
                  fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(
        count_target(&drive, NSM_FINDING_REFUSAL, "type \"public\".\"hstore\" does not exist"), 1);
    pg_drive_release(&drive);
}

/* A foreign key's other table is missed in preview; whatever else is missing for what comes after the
 * rows, before the first row. */
static void test_missing_neighbours(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
                   " 'BEGIN RETURN NEW; END';"
                   "CREATE TRIGGER t BEFORE INSERT ON shop.item EXECUTE FUNCTION f()");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"table=shop.sale", NULL},
                  fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL,
                                  "foreign key sale_item_fkey of table shop.sale refers to table "
                                  "\"shop\".\"item\""),
                     1);
    pg_check_error(pg_drive_prepare(&drive), NSM_E_NOTFOUND, "make FK CONSTRAINT shop.sale");
    pg_drive_release(&drive);
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"tables=shop.*", NULL},
                  fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, NULL), 0);
    pg_check_error(pg_drive_prepare(&drive), NSM_E_INVALID, "make TRIGGER shop.item t");
    pg_check_value(fixture, fixture->to, "SELECT to_regnamespace('shop') IS NULL", "t");
    pg_drive_release(&drive);
}

/* Merge into tables under other names: all of them stand, or none. */
static void test_merge_renamed(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, shop);
    pg_server_exec(fixture->server, fixture->to, standing_item);
    pg_server_exec(fixture->server, fixture->to, "ALTER SCHEMA shop RENAME TO s2");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"tables=shop.*", NULL},
                  fixture->to_url, (const char *const[]){"schema=s2", NULL});
    drive.destination.if_exists = NSM_IF_EXISTS_MERGE;
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, "of the 2 tables"), 1);
    pg_server_exec(fixture->server, fixture->to,
                   "CREATE TABLE s2.sale (id int PRIMARY KEY, item int)");
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(count_target(&drive, NSM_FINDING_REFUSAL, NULL), 0);
    pg_check_ok(pg_drive_prepare(&drive));
    pg_check_ok(pg_drive_copy(&drive));
    pg_check_ok(pg_drive_finish(&drive));
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM s2.item", "15");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM s2.sale", "10");
    pg_check_value(fixture, fixture->to, "SELECT to_regnamespace('shop') IS NULL", "t");
    pg_drive_release(&drive);
}

static void test_losses(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
                   "CREATE SCHEMA l; CREATE FOREIGN TABLE l.far (a int) SERVER s;"
                   "CREATE TABLE l.blob (id int, o oid); INSERT INTO l.blob"
                   " VALUES (1, lo_create(0))");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"schema=l", NULL},
                  fixture->to_url, NULL);
    pg_check_ok(pg_drive_run(&drive));
    const struct nsm_findings *const findings = &drive.source.census.findings;
    assert_int_equal(pg_drive_count(findings, NSM_FINDING_LOSS, "foreign table l.far"), 1);
    assert_int_equal(pg_drive_count(findings, NSM_FINDING_LOSS, "large objects"), 1);
    pg_check_value(fixture, fixture->to, "SELECT to_regclass('l.far') IS NULL", "t");
    pg_drive_release(&drive);
}

static void survey_fails(const struct pg_fixture *fixture, const char *selection,
                         enum nsm_code code, const char *part)
{
    struct pg_drive drive;
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){selection, NULL},
                  fixture->to_url, NULL);
    pg_check_error(pg_drive_survey(&drive), code, part);
    pg_drive_release(&drive);
}

static void test_selections(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, "CREATE SCHEMA void; CREATE VIEW v AS SELECT 1");
    survey_fails(fixture, "schema=nope", NSM_E_NOTFOUND, "schema nope does not exist");
    survey_fails(fixture, "table=nope", NSM_E_NOTFOUND, "table public.nope does not exist");
    survey_fails(fixture, "table=v", NSM_E_UNSUPPORTED, "public.v is a view");
    survey_fails(fixture, "table=a.b.c", NSM_E_INVALID, "expected schema.table");
    survey_fails(fixture, "schema=pg_catalog", NSM_E_INVALID, "server's or nsmigrate's own");
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE TABLE small (a int); INSERT INTO small VALUES (1);"
                   "CREATE TABLE large AS SELECT i AS a FROM generate_series(1, 100000) i");
    for (int i = 0; i < 2; i++) {
        pg_drive_init(&drive, fixture->from_url,
                      (const char *const[]){i ? "table=large" : "table=small", "where=b > 1", NULL},
                      fixture->to_url, NULL);
        pg_check_error(pg_drive_survey(&drive), NSM_E_INVALID, "option where, for table public.");
        pg_drive_release(&drive);
    }
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"tables=void.*", NULL},
                  fixture->to_url, NULL);
    drive.has_definition = false;
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(drive.source.census.n_objects, 0);
    assert_int_equal(
        pg_drive_count(&drive.source.census.findings, NSM_FINDING_NOTE, "no table matches void.*"),
        1);
    pg_drive_release(&drive);
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"schema=void", NULL},
                  fixture->to_url, NULL);
    pg_check_ok(pg_drive_run(&drive));
    pg_check_value(fixture, fixture->to, "SELECT to_regnamespace('void') IS NOT NULL", "t");
    pg_drive_release(&drive);
}

/* ---- for_each and check ---- */

static void collect(void *arg, const char *name)
{
    struct nsm_buf *const names = arg;
    nsm_buf_printf(names, "%s ", name);
}

static void test_list(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_buf names NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE SCHEMA tenant_b; CREATE SCHEMA tenant_a; CREATE SCHEMA nsmigrate;"
                   "CREATE TABLE tenant_a.t1 (a int); CREATE VIEW tenant_a.t2 AS SELECT 1");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"schema=public", NULL},
                  fixture->to_url, NULL);
    pg_check_ok(nsm_adapter_postgres.list(&drive.from.base, drive.ctx, "schema", "tenant_*",
                                          collect, &names));
    assert_string_equal(names.ptr, "tenant_a tenant_b ");
    nsm_buf_clear(&names);
    pg_check_ok(
        nsm_adapter_postgres.list(&drive.from.base, drive.ctx, "schema", "*", collect, &names));
    assert_string_equal(names.ptr, "public tenant_a tenant_b ");
    nsm_buf_clear(&names);
    pg_check_ok(nsm_adapter_postgres.list(&drive.from.base, drive.ctx, "table", "tenant_?.*",
                                          collect, &names));
    assert_string_equal(names.ptr, "tenant_a.t1 ");
    pg_drive_release(&drive);
}

static void test_check(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_health health = {0};
    char *url NSM_CLEANUP(nsm_freep) = app_url(fixture, fixture->from);
    pg_drive_init(&drive, url, (const char *const[]){"schema=public", NULL}, fixture->to_url, NULL);
    pg_check_ok(nsm_adapter_postgres.check(&drive.from.base, drive.ctx, &health));
    assert_non_null(strstr(health.version, "PostgreSQL 1"));
    assert_non_null(strstr(health.details, "as app, primary, no TLS"));
    assert_int_equal(pg_drive_count(&health.findings, NSM_FINDING_NOTE, "may not create schemas"),
                     1);
    assert_true(health.latency_ns > 0);
    assert_in_range(health.clock_offset_ms + 5000, 0, 10000);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    pg_drive_release(&drive);
}

#define WITH_DATABASES(test) \
    cmocka_unit_test_setup_teardown(test, pg_fixture_setup, pg_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DATABASES(test_conflict),
        WITH_DATABASES(test_merge),
        WITH_DATABASES(test_skip),
        WITH_DATABASES(test_merge_needs_key),
        WITH_DATABASES(test_merge_needs_quiet),
        WITH_DATABASES(test_replace),
        WITH_DATABASES(test_replace_keeps_dependents),
        WITH_DATABASES(test_rename_into_used_schema),
        WITH_DATABASES(test_own_source),
        WITH_DATABASES(test_rights),
        WITH_DATABASES(test_ordinary_role),
        WITH_DATABASES(test_owners),
        WITH_DATABASES(test_missing_type),
        WITH_DATABASES(test_missing_neighbours),
        WITH_DATABASES(test_merge_renamed),
        WITH_DATABASES(test_losses),
        WITH_DATABASES(test_selections),
        WITH_DATABASES(test_list),
        WITH_DATABASES(test_check),
    };
    return cmocka_run_group_tests_name("postgres_standing", tests, pg_fixture_group_setup,
                                       pg_fixture_group_teardown);
}
