/*
 * The postgres adapter when things break: servers that are not there or go away, wrong passwords,
 * killed sessions, cancelled statements, lost answers, interrupted runs.
 */
#include "adapters/postgres/pg_target.h"
#include "tests/support/pg_drive.h"
#include "tests/support/pg_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
/* Needs what is above. */
#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

static const struct nsm_adapter *const adapter = &nsm_adapter_postgres;

static const char rows[] =
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat(md5(i::text), 20)"
    " FROM generate_series(1, 20000) i;";
static const char *const table_t[] = {"table=t", NULL};

/* ---- connecting ---- */

static void check_fails(const char *url, enum nsm_code code, const char *part)
{
    struct pg_drive drive;
    struct nsm_health health = {0};
    pg_drive_init(&drive, url, table_t, url, NULL);
    struct nsm_error *const error = adapter->check(&drive.from.base, drive.ctx, &health);
    char *const text = error ? nsm_error_text(error) : NULL;
    if (text)
        assert_null(strstr(text, "sesame"));
    free(text);
    pg_check_error(error, code, part);
    pg_drive_release(&drive);
}

static void test_connect(void **state)
{
    const struct pg_fixture *const fixture = *state;
    const int port = pg_server_port(fixture->server);
    char *wrong NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("postgresql://app:sesame@127.0.0.1:%d/%s", port, fixture->from);
    char *none NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("postgresql://app@127.0.0.1:%d/%s?passfile=/none", port, fixture->from);
    char *database NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("postgresql://postgres@127.0.0.1:%d/nope", port);
    char *role NSM_CLEANUP(nsm_freep) = nsm_xasprintf(
        "host=127.0.0.1 port=%d user=nobody_here password=sesame dbname=%s", port, fixture->from);
    char *tls NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("postgresql://postgres@127.0.0.1:%d/%s?sslmode=require", port, fixture->from);
    check_fails(wrong, NSM_E_AUTH, "password authentication failed for user \"app\"; check user");
    check_fails(none, NSM_E_AUTH, "give one in url, in PGPASSWORD or in ~/.pgpass");
    check_fails(database, NSM_E_NOTFOUND, "database \"nope\" does not exist");
    check_fails(role, NSM_E_AUTH, "nobody_here");
    check_fails(tls, NSM_E_AUTH, "does not support SSL");
    check_fails("postgresql://app:sesame@127.0.0.1:1/x", NSM_E_UNAVAILABLE,
                "connect to 127.0.0.1:1/x: Connection refused; is the server running");
    check_fails("postgresql:///x?host=/nonexistent", NSM_E_UNAVAILABLE, "is the server running");
}

static char *tls_url(const struct pg_fixture *fixture, const char *database, const char *root)
{
    return nsm_xasprintf(
        "postgresql://app:secret@127.0.0.1:%d/%s?sslmode=verify-full&sslrootcert=%s",
        pg_server_port(fixture->server), database, root);
}

/* All connections, pg_dump's too, go by TLS when the url says so, and know whom they trust. */
static void test_tls(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_health health = {0};
    const char *const certificate = pg_server_use_tls(fixture->server);
    char *from NSM_CLEANUP(nsm_freep) = tls_url(fixture, fixture->from, certificate);
    char *to NSM_CLEANUP(nsm_freep) = tls_url(fixture, fixture->to, certificate);
    char *untrusted NSM_CLEANUP(nsm_freep) = tls_url(fixture, fixture->to, "/none.pem");
    char *grant NSM_CLEANUP(nsm_freep) = nsm_xasprintf(
        "GRANT CREATE ON DATABASE %s TO app; GRANT CREATE ON SCHEMA public TO app", fixture->to);
    check_fails(untrusted, NSM_E_AUTH, "sslrootcert");
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_server_exec(fixture->server, fixture->from, "GRANT SELECT ON t TO app");
    pg_server_exec(fixture->server, fixture->to, grant);
    pg_drive_init(&drive, from, table_t, to, NULL);
    pg_check_ok(adapter->check(&drive.from.base, drive.ctx, &health));
    assert_non_null(strstr(health.details, "as app, primary, TLS"));
    pg_check_ok(pg_drive_run(&drive));
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM t", "20000");
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    pg_drive_release(&drive);
}

/* A server that takes the connection and says nothing. */
static void test_silent_server(void **state)
{
    (void)state;
    struct pg_drive drive;
    struct nsm_health health = {0};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char *url NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("postgresql://app@127.0.0.1:%d/x?connect_timeout=1", ntohs(address.sin_port));
    pg_drive_init(&drive, url, table_t, url, NULL);
    pg_check_error(adapter->check(&drive.from.base, drive.ctx, &health), NSM_E_UNAVAILABLE,
                   "no answer within 1 s");
    nsm_context_set_deadline(drive.ctx, nsm_now_ns() + 50 * NSM_NS_PER_MS);
    pg_check_error(adapter->check(&drive.from.base, drive.ctx, &health), NSM_E_TIMEOUT, "deadline");
    pg_drive_release(&drive);
    close(fd);
}

/* ---- watching the server from another thread ---- */

/* Waits for up to a minute; worker threads must not assert. */
static bool wait_for(const struct pg_fixture *fixture, const char *database, const char *sql)
{
    for (int tries = 0; tries < 6000; tries++) {
        char *value NSM_CLEANUP(nsm_freep) = pg_server_value(fixture->server, database, sql);
        if (strcmp(value, "t") == 0)
            return true;
        (void)poll(NULL, 0, 10);
    }
    return false;
}

static bool wait_until(const struct pg_fixture *fixture, const char *sql)
{
    return wait_for(fixture, "postgres", sql);
}

struct watcher {
    const struct pg_fixture *fixture;
    struct nsm_context *ctx; /* cancelled when the time has come; or NULL */
    const char *until;       /* a query */
    const char *then;        /* statements; or NULL */
    int64_t done_ns;
    bool has_come;
    pthread_t thread;
};

static void *watch(void *arg)
{
    struct watcher *const watcher = arg;
    watcher->has_come = wait_until(watcher->fixture, watcher->until);
    watcher->done_ns = nsm_now_ns();
    if (watcher->then)
        pg_server_exec(watcher->fixture->server, "postgres", watcher->then);
    if (watcher->ctx)
        nsm_context_cancel(watcher->ctx, NULL);
    return NULL;
}

static void watch_start(struct watcher *watcher)
{
    assert_int_equal(pthread_create(&watcher->thread, NULL, watch, watcher), 0);
}

/* Ends the watch and returns how long after it the watched operation ended. */
static int64_t watch_end(struct watcher *watcher)
{
    const int64_t ended_ns = nsm_now_ns();
    pthread_join(watcher->thread, NULL);
    assert_true(watcher->has_come);
    return ended_ns - watcher->done_ns;
}

/* The contract says 50 ms; a loaded machine gets more. */
#define CANCEL_LIMIT_NS (1000 * NSM_NS_PER_MS)

/* Statements of ours that are at work. */
#define OURS(condition)                                                                    \
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'nsmigrate%'" \
    " AND state = 'active' AND " condition ")"
#define NONE_OF_OURS                                                                           \
    "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'nsmigrate%'" \
    " AND state = 'active')"

/* ---- cancellation ---- */

static void test_cancel_query(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, "CREATE TABLE t AS SELECT 1 AS id");
    pg_drive_init(&drive, fixture->from_url,
                  (const char *const[]){"table=t", "where=pg_sleep(600) IS NULL", NULL},
                  fixture->to_url, NULL);
    struct watcher watcher = {
        .fixture = fixture, .ctx = drive.ctx, .until = OURS("wait_event = 'PgSleep'")};
    watch_start(&watcher);
    pg_check_error(pg_drive_survey(&drive), NSM_E_CANCELED, "cancel");
    assert_in_range(watch_end(&watcher), 0, CANCEL_LIMIT_NS);
    assert_true(wait_until(fixture, NONE_OF_OURS));
    pg_drive_release(&drive);
}

static void test_cancel_reader(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_digest digest = {0};
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(
        &drive, fixture->from_url,
        (const char *const[]){"table=t", "where=id < 19999 OR pg_sleep(600) IS NULL", NULL},
        fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    struct watcher watcher = {
        .fixture = fixture, .ctx = drive.ctx, .until = OURS("wait_event = 'PgSleep'")};
    watch_start(&watcher);
    pg_check_error(
        pg_drive_read(&drive, &drive.source, &drive.source.census.parts[0], NULL, &digest),
        NSM_E_CANCELED, "cancel");
    assert_in_range(watch_end(&watcher), 0, CANCEL_LIMIT_NS);
    assert_in_range(digest.n_records, 1000, 20000);
    assert_true(wait_until(fixture, NONE_OF_OURS));
    pg_drive_release(&drive);
}

static void test_cancel_writer(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_ok(pg_drive_prepare(&drive));
    PGconn *const other = PQconnectdb(fixture->to_url);
    PQclear(PQexec(other, "BEGIN; LOCK TABLE t"));
    struct watcher watcher = {
        .fixture = fixture, .ctx = drive.ctx, .until = OURS("wait_event_type = 'Lock'")};
    watch_start(&watcher);
    pg_check_error(pg_drive_copy(&drive), NSM_E_CANCELED, "cancel");
    assert_in_range(watch_end(&watcher), 0, CANCEL_LIMIT_NS);
    assert_true(wait_until(fixture, NONE_OF_OURS));
    PQfinish(other);
    pg_drive_release(&drive);
}

/* pg_dump waits for a lock; it is killed with the context. */
static void test_cancel_definition(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    assert_int_equal(unlink(drive.definition), 0);
    PGconn *const other = PQconnectdb(fixture->from_url);
    PQclear(PQexec(other, "BEGIN; LOCK TABLE t"));
    struct watcher watcher = {
        .fixture = fixture, .ctx = drive.ctx, .until = OURS("query LIKE 'LOCK%'")};
    watch_start(&watcher);
    pg_check_error(adapter->define(&drive.source, drive.ctx, drive.definition), NSM_E_CANCELED,
                   "cancel");
    assert_in_range(watch_end(&watcher), 0, CANCEL_LIMIT_NS);
    PQfinish(other);
    assert_int_not_equal(access(drive.definition, F_OK), 0);
    pg_drive_release(&drive);
}

/* ---- lost sessions and servers ---- */

static void test_killed_reader(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_digest digest = {0};
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(
        &drive, fixture->from_url,
        (const char *const[]){"table=t", "where=id < 19999 OR pg_sleep(600) IS NULL", NULL},
        fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    struct watcher watcher = {
        .fixture = fixture,
        .until = OURS("wait_event = 'PgSleep'"),
        .then = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event = 'PgSleep'",
    };
    watch_start(&watcher);
    pg_check_error(
        pg_drive_read(&drive, &drive.source, &drive.source.census.parts[0], NULL, &digest),
        NSM_E_UNAVAILABLE, "terminating connection due to administrator command");
    (void)watch_end(&watcher);
    pg_drive_release(&drive);
}

static void test_killed_writer(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_ok(pg_drive_prepare(&drive));
    PGconn *const other = PQconnectdb(fixture->to_url);
    PQclear(PQexec(other, "BEGIN; LOCK TABLE t"));
    struct watcher watcher = {
        .fixture = fixture,
        .until = OURS("wait_event_type = 'Lock'"),
        .then = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'nsmigrate' AND wait_event_type = 'Lock'",
    };
    watch_start(&watcher);
    pg_check_error(pg_drive_copy(&drive), NSM_E_UNAVAILABLE, "terminating connection");
    (void)watch_end(&watcher);
    PQfinish(other);
    /* The same drive goes on with a new connection. */
    pg_check_ok(pg_drive_copy(&drive));
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM t", "20000");
    pg_drive_release(&drive);
}

/* After a restart the snapshot is gone. Readers go on with a new one where the table is what it was;
 * where it may have changed, only a new survey helps. */
static void test_restart(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_digest before = {0};
    struct nsm_digest after = {0};
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    /* The session that made the rows reports them when it ends, which may be a moment later. */
    assert_true(wait_for(fixture, fixture->from,
                         "SELECT n_tup_ins = 20000 FROM pg_stat_user_tables WHERE relname = 't'"));
    pg_check_ok(pg_drive_survey(&drive));
    const struct nsm_part *const part = &drive.source.census.parts[0];
    pg_check_ok(pg_drive_read(&drive, &drive.source, part, NULL, &before));
    pg_server_stop(fixture->server);
    pg_check_error(pg_drive_read(&drive, &drive.source, part, NULL, &after), NSM_E_UNAVAILABLE,
                   "connect to");
    pg_server_start(fixture->server);
    pg_check_ok(pg_drive_read(&drive, &drive.source, part, NULL, &after));
    assert_true(nsm_digest_equals(&before, &after));
    pg_server_exec(fixture->server, fixture->from, "UPDATE t SET v = 'later' WHERE id = 7");
    pg_server_stop(fixture->server);
    pg_server_start(fixture->server);
    pg_check_error(pg_drive_read(&drive, &drive.source, part, NULL, &after), NSM_E_CONFLICT,
                   "run again");
    pg_check_ok(pg_drive_run(&drive));
    pg_check_value(fixture, fixture->to,
                   "SELECT count(*) || ',' || count(*) FILTER (WHERE v = 'later') FROM t",
                   "20000,1");
    pg_drive_release(&drive);
}

static void test_changed_under_the_copy(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_ok(pg_drive_prepare(&drive));
    /* Rows that change later are not seen. */
    pg_server_exec(fixture->server, fixture->from, "UPDATE t SET v = 'later'; DELETE FROM t");
    pg_check_ok(pg_drive_copy(&drive));
    pg_check_value(fixture, fixture->to,
                   "SELECT count(*) || ',' || count(*) FILTER (WHERE v = 'later') FROM t",
                   "20000,0");
    pg_check_ok(adapter->reset_object(&drive.destination, drive.ctx, 0));
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM t", "0");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM nsmigrate.checkpoint", "0");
    /* A table that was emptied under the snapshot looks empty to it. */
    pg_server_exec(fixture->server, fixture->from, "TRUNCATE t");
    pg_check_error(pg_drive_copy(&drive), NSM_E_CONFLICT, "rewritten or truncated");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM t", "0");
    pg_drive_release(&drive);
}

/* ---- exactly once ---- */

static void count_checkpoint(void *arg, const struct nsm_checkpoint *checkpoint)
{
    struct nsm_checkpoint *const kept = arg;
    assert_true(nsm_str_equals(checkpoint->part_id, NSM_STR_LIT("ns/0")));
    *kept = *checkpoint;
}

/* The answer to a commit was lost: the part is tried again, and must not be there twice. */
static void test_lost_commit(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_checkpoint kept = {0};
    pg_server_exec(fixture->server, fixture->from, rows);
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(adapter->load_checkpoints(&drive.to.base, drive.ctx, count_checkpoint, &kept));
    assert_false(kept.is_done);
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_ok(pg_drive_prepare(&drive));
    pg_check_ok(pg_drive_copy_part(&drive, 0));
    const struct nsm_digest digest = drive.digest;
    pg_check_error(pg_drive_copy_part(&drive, 0), NSM_E_UNAVAILABLE,
                   "another session has committed part ns/0");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM t", "20000");
    pg_check_ok(adapter->load_checkpoints(&drive.to.base, drive.ctx, count_checkpoint, &kept));
    assert_true(kept.is_done);
    assert_int_equal(kept.n_records, 20000);
    assert_true(nsm_digest_equals(&kept.digest, &digest));
    pg_drive_release(&drive);
}

/* Prepare and finish, interrupted anywhere, can be done again; what is ours is no conflict. */
static void test_again(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE SCHEMA s; CREATE TABLE s.a (id serial PRIMARY KEY, v text UNIQUE);"
                   "CREATE TABLE s.b (a int REFERENCES s.a); CREATE INDEX by_a ON s.b (a);"
                   "INSERT INTO s.a (v) SELECT i FROM generate_series(1, 100) i;"
                   "INSERT INTO s.b SELECT i FROM generate_series(1, 100) i");
    pg_drive_init(&drive, fixture->from_url, (const char *const[]){"schema=s", NULL},
                  fixture->to_url, (const char *const[]){"schema=s2", NULL});
    for (int round = 0; round < 3; round++) {
        pg_check_ok(pg_drive_survey(&drive));
        assert_int_equal(
            pg_drive_count(&drive.destination.target.findings, NSM_FINDING_CONFLICT, NULL), 0);
        assert_int_equal(
            pg_drive_count(&drive.destination.target.findings, NSM_FINDING_REFUSAL, NULL), 0);
        pg_check_ok(pg_drive_prepare(&drive));
        if (round == 0)
            pg_check_ok(pg_drive_copy(&drive));
        pg_check_ok(pg_drive_finish(&drive));
    }
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM s2.a", "100");
    pg_check_value(fixture, fixture->to,
                   "SELECT string_agg(contype::text, '' ORDER BY contype) FROM pg_constraint"
                   " WHERE connamespace = 's2'::regnamespace",
                   "fpu");
    pg_check_ok(adapter->complete(&drive.destination, drive.ctx));
    pg_check_ok(adapter->complete(&drive.destination, drive.ctx));
    pg_check_value(fixture, fixture->to, "SELECT to_regnamespace('nsmigrate') IS NULL", "t");
    pg_drive_release(&drive);
}

/* Another namespace that completes drops the schema of the checkpoints while this one waits for its turn to make it: a session's cache
 * may say that it stands. */
static void test_checkpoints_dropped_meanwhile(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    struct nsm_pg_conn *conn = NULL;
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(nsm_pg_acquire(&drive.to, drive.ctx, &conn));
    pg_check_ok(nsm_pg_exec(conn, drive.ctx, "BEGIN"));
    pg_check_ok(nsm_pg_state_ensure(conn, drive.ctx));
    pg_check_ok(nsm_pg_exec(conn, drive.ctx, "COMMIT; BEGIN"));
    pg_server_exec(fixture->server, fixture->to, "DROP SCHEMA nsmigrate CASCADE");
    pg_check_ok(nsm_pg_state_ensure(conn, drive.ctx));
    pg_check_ok(nsm_pg_exec(conn, drive.ctx, "COMMIT"));
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM nsmigrate.done", "0");
    nsm_pg_release(conn);
    pg_drive_release(&drive);
}

/* Values that the destination refuses fail without quoting a row, and leave nothing. */
static void test_refused_row(void **state)
{
    const struct pg_fixture *const fixture = *state;
    struct pg_drive drive;
    pg_server_exec(fixture->server, fixture->from,
                   "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'secret')");
    pg_drive_init(&drive, fixture->from_url, table_t, fixture->to_url, NULL);
    pg_check_ok(pg_drive_survey(&drive));
    pg_check_ok(pg_drive_prepare(&drive));
    pg_server_exec(fixture->server, fixture->to, "ALTER TABLE t ADD CHECK (v <> 'secret')");
    struct nsm_error *const error = pg_drive_copy(&drive);
    assert_non_null(error);
    char *text NSM_CLEANUP(nsm_freep) = nsm_error_text(error);
    assert_null(strstr(text, "secret"));
    pg_check_error(error, NSM_E_CONFLICT,
                   "write table public.t: new row for relation \"t\" "
                   "violates check constraint \"t_v_check\"");
    pg_check_value(fixture, fixture->to, "SELECT count(*) FROM t", "0");
    pg_drive_release(&drive);
}

#define WITH_DATABASES(test) \
    cmocka_unit_test_setup_teardown(test, pg_fixture_setup, pg_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DATABASES(test_connect),
        WITH_DATABASES(test_tls),
        WITH_DATABASES(test_silent_server),
        WITH_DATABASES(test_cancel_query),
        WITH_DATABASES(test_cancel_reader),
        WITH_DATABASES(test_cancel_writer),
        WITH_DATABASES(test_cancel_definition),
        WITH_DATABASES(test_killed_reader),
        WITH_DATABASES(test_killed_writer),
        WITH_DATABASES(test_restart),
        WITH_DATABASES(test_changed_under_the_copy),
        WITH_DATABASES(test_lost_commit),
        WITH_DATABASES(test_again),
        WITH_DATABASES(test_checkpoints_dropped_meanwhile),
        WITH_DATABASES(test_refused_row),
    };
    return cmocka_run_group_tests_name("postgres_faults", tests, pg_fixture_group_setup,
                                       pg_fixture_group_teardown);
}
