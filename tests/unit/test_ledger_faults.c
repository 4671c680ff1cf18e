/*
 * A ledger whose file or folder is no good: each way gets a message that says where and what to do,
 * and nothing is taken as written that was not.
 */
#include "migrate/base/alloc.h"
#include "tests/support/ledger_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check_corrupt(struct nsm_ledger_fixture *fx, enum nsm_code code, const char *holds)
{
    struct nsm_ledger *ledger = NULL;
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &ledger), code, holds);
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &ledger), code, "--fresh");
    nsm_assert_error(nsm_ledger_open(&fx->plan, NSM_LEDGER_READ_ONLY, &ledger), code, "ledger.db");
    assert_null(ledger);
    ledger = nsm_fixture_begin(fx, NSM_LEDGER_FRESH);
    nsm_assert_ok(nsm_ledger_set_step(ledger, "ns0", NSM_STEP_DONE));
    nsm_assert_ok(nsm_ledger_close(ledger));
    assert_int_equal(nsm_fixture_mode(fx, "ledger.db"), 0600);
}

static void run_sql(const struct nsm_ledger_fixture *fx, const char *sql)
{
    char *const path = nsm_fixture_path(fx, "ledger.db");
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    free(path);
}

static void test_corrupt(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    char *const path = nsm_fixture_path(fx, "ledger.db");
    nsm_assert_ok(nsm_ledger_close(nsm_fixture_begin(fx, 0)));
    static const char garbage[8192] = "this is a text file of some length and no database";
    nsm_fixture_write_file(path, garbage, sizeof(garbage));
    check_corrupt(fx, NSM_E_CORRUPT, "is damaged");

    assert_int_equal(unlink(path), 0);
    run_sql(fx, "CREATE TABLE other (x)");
    check_corrupt(fx, NSM_E_CORRUPT, "is not a ledger of nsmigrate");

    run_sql(fx, "PRAGMA user_version = 99");
    check_corrupt(fx, NSM_E_UNSUPPORTED, "has version 99");

    /* Cut in the middle, and a page overwritten. */
    struct nsm_ledger *const ledger = nsm_fixture_begin(fx, 0);
    nsm_fixture_note_progress(ledger);
    nsm_assert_ok(nsm_ledger_close(ledger));
    assert_int_equal(truncate(path, 8192), 0);
    check_corrupt(fx, NSM_E_CORRUPT, "is damaged");

    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, garbage, 4096, 4096), 4096);
    assert_int_equal(close(fd), 0);
    check_corrupt(fx, NSM_E_CORRUPT, "is damaged");
    free(path);
}

/* Tables that look like ours but would take anything, and what would act by itself on our statements. */
static void test_other_tables(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    static const char *const changes[] = {
        ("CREATE TABLE loose AS SELECT * FROM run; DROP TABLE run; ALTER TABLE loose RENAME TO run;"
         "UPDATE run SET fingerprint = NULL"),
        "CREATE TRIGGER t AFTER UPDATE ON run BEGIN DELETE FROM part; END",
        "DROP TABLE part",
    };
    for (size_t i = 0; i < NSM_COUNT_OF(changes); i++) {
        struct nsm_ledger *const ledger = nsm_fixture_begin(fx, 0);
        nsm_fixture_note_progress(ledger);
        nsm_assert_ok(nsm_ledger_close(ledger));
        run_sql(fx, changes[i]);
        check_corrupt(fx, NSM_E_CORRUPT, "its tables are not those of a ledger");
    }
}

static void test_no_folder(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = NULL;
    char *const parent = nsm_xasprintf("%s/.nsmigrate", fx->folder);
    nsm_fixture_write_file(parent, "x", 1);
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &ledger), NSM_E_IO, "Not a directory");
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &ledger), NSM_E_IO, parent);
    assert_int_equal(unlink(parent), 0);
    assert_int_equal(rmdir(fx->folder), 0);
    nsm_assert_error(nsm_ledger_open(&fx->plan, 0, &ledger), NSM_E_IO, "No such file");
    free(parent);
}

/* Opens as a user without rights; says what came of it by the exit status. */
static void open_without_rights(struct nsm_ledger_fixture *fx, int ready_fd)
{
    (void)ready_fd;
    if (geteuid() == 0 && seteuid(65534) != 0) {
        _exit(2);
    }
    struct nsm_ledger *ledger = NULL;
    struct nsm_error *const error = nsm_ledger_open(&fx->plan, 0, &ledger);
    char *const text = error ? nsm_error_text(error) : nsm_xstrdup("");
    const bool is_right = nsm_error_is(error, NSM_E_IO) && strstr(text, "Permission denied") &&
                          strstr(text, fx->folder) && strstr(text, "make it possible to write");
    _exit(is_right ? 0 : 1);
}

static void test_no_rights(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    int fd = -1;
    assert_int_equal(chmod(fx->folder, 0555), 0);
    assert_int_equal(nsm_fixture_reap(nsm_fixture_start_child(fx, open_without_rights, &fd)), 0);
    (void)close(fd);
    assert_int_equal(chmod(fx->folder, 0755), 0);
    nsm_assert_ok(nsm_ledger_close(nsm_fixture_begin(fx, 0)));
    assert_int_equal(nsm_fixture_reap(nsm_fixture_start_child(fx, open_without_rights, &fd)), 0);
    (void)close(fd);
}

/* Every connection that is opened from now on finds its disk full at 12 pages. */
static int limit_pages(sqlite3 *db, char **error, const struct sqlite3_api_routines *api)
{
    (void)error;
    (void)api;
    return sqlite3_exec(db, "PRAGMA max_page_count = 12", NULL, NULL, NULL);
}

static void test_full_disk(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    struct nsm_ledger *ledger = nsm_fixture_begin(fx, 0);
    nsm_assert_ok(nsm_ledger_set_step(ledger, "ns0", NSM_STEP_PREPARED));
    nsm_assert_ok(nsm_ledger_close(ledger));

    void (*entry)(void) = (void (*)(void))limit_pages;
    assert_int_equal(sqlite3_auto_extension(entry), SQLITE_OK);
    ledger = nsm_fixture_begin(fx, 0);
    assert_int_equal(sqlite3_cancel_auto_extension(entry), 1);

    struct nsm_census census = nsm_fixture_census();
    char range[30000];
    memset(range, 'k', sizeof(range));
    nsm_census_add_part(&census, 0, (struct nsm_str){range, sizeof(range)}, 1, 1);
    char *const path = nsm_fixture_path(fx, "ledger.db");
    nsm_assert_error(nsm_ledger_set_parts(ledger, "ns1", &census), NSM_E_IO, path);
    nsm_census_release(&census);
    /* It sticks, and close tells it too: no later note is taken as if all were well. */
    nsm_assert_error(nsm_ledger_set_step(ledger, "ns0", NSM_STEP_DONE), NSM_E_IO, "full");
    nsm_assert_error(nsm_ledger_close(ledger), NSM_E_IO, "make room there");

    ledger = nsm_fixture_begin(fx, 0);
    assert_int_equal(nsm_fixture_step(ledger, "ns0"), NSM_STEP_PREPARED);
    assert_int_equal(nsm_fixture_step(ledger, "ns1"), NSM_STEP_NEW);
    nsm_assert_ok(nsm_ledger_close(ledger));
    free(path);
}

/* Notes alone, whose error nobody waits for. */
static void write_notes_to_the_limit(struct nsm_ledger_fixture *fx, int ready_fd)
{
    (void)ready_fd;
    (void)signal(SIGXFSZ, SIG_IGN);
    struct nsm_ledger *ledger = NULL;
    struct nsm_error *error = nsm_ledger_open(&fx->plan, 0, &ledger);
    error = error ? error : nsm_ledger_begin(ledger, &fx->plan);
    const struct rlimit limit = {200000, 200000};
    if (error || setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        _exit(2);
    }
    char text[1000];
    memset(text, 'e', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < 20000; i++) {
        nsm_ledger_set_status(ledger, fx->names[i % 4], "failed", text, 0);
        if (i % 100 == 0) {
            nsm_error_ignore(nsm_ledger_flush(ledger));
        }
    }
    error = nsm_ledger_close(ledger);
    char *const message = error ? nsm_error_text(error) : nsm_xstrdup("");
    _exit(nsm_error_is(error, NSM_E_IO) && strstr(message, "ledger.db") ? 0 : 1);
}

static void test_write_error(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    int fd = -1;
    assert_int_equal(nsm_fixture_reap(nsm_fixture_start_child(fx, write_notes_to_the_limit, &fd)),
                     0);
    (void)close(fd);
    nsm_assert_ok(nsm_ledger_close(nsm_fixture_begin(fx, 0)));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_corrupt, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_other_tables, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_no_folder, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_no_rights, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, nsm_fixture_set_up, nsm_fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_write_error, nsm_fixture_set_up,
                                        nsm_fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
