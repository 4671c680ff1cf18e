/*
 * SQLite under the ledger: one connection, write-ahead log, so that a reader (status) never waits
 * for the writer nor the writer for it. STRICT tables: a value of a wrong type is an error here and
 * not a surprise at the next resume.
 */
#include "migrate/engine/ledger_db.h"

#include "migrate/base/alloc.h"
#include "migrate/engine/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* "nsml" */
#define APPLICATION_ID 0x6e736d6c
#define SCHEMA_VERSION 2
#define VERSION_TEXT   "2"
/* How long a statement waits for another process's short locks (recovery, checkpoint). */
#define BUSY_TIMEOUT_MS 10000

/* With the last step, the application id and the version to be filled in. */
#define SCHEMA                                                        \
    "CREATE TABLE run ("                                              \
    " id INTEGER PRIMARY KEY CHECK (id = 1),"                         \
    " run_id TEXT NOT NULL,"                                          \
    " fingerprint TEXT NOT NULL,"                                     \
    " status TEXT,"                                                   \
    " error TEXT,"                                                    \
    " is_complete INTEGER NOT NULL DEFAULT 0,"                        \
    " started_ms INTEGER NOT NULL,"                                   \
    " updated_ms INTEGER NOT NULL) STRICT;"                           \
    "CREATE TABLE namespace ("                                        \
    " id INTEGER PRIMARY KEY,"                                        \
    " name TEXT NOT NULL UNIQUE,"                                     \
    " position INTEGER NOT NULL,"                                     \
    " step INTEGER NOT NULL DEFAULT 0 CHECK (step BETWEEN 0 AND %d)," \
    " lane TEXT,"                                                     \
    " witness TEXT,"                                                  \
    " status TEXT,"                                                   \
    " error TEXT,"                                                    \
    " seconds REAL NOT NULL DEFAULT 0,"                               \
    " total_records INTEGER NOT NULL DEFAULT 0,"                      \
    " total_bytes INTEGER NOT NULL DEFAULT 0) STRICT;"                \
    "CREATE TABLE part ("                                             \
    " namespace INTEGER NOT NULL REFERENCES namespace (id),"          \
    " number INTEGER NOT NULL,"                                       \
    " object_schema TEXT NOT NULL,"                                   \
    " object_name TEXT NOT NULL,"                                     \
    " object_version TEXT NOT NULL,"                                  \
    " range BLOB NOT NULL,"                                           \
    " estimated_records INTEGER NOT NULL,"                            \
    " estimated_bytes INTEGER NOT NULL,"                              \
    " resume BLOB NOT NULL DEFAULT x'',"                              \
    " is_done INTEGER NOT NULL DEFAULT 0,"                            \
    " n_records INTEGER NOT NULL DEFAULT 0,"                          \
    " n_bytes INTEGER NOT NULL DEFAULT 0,"                            \
    " n_skipped INTEGER NOT NULL DEFAULT 0,"                          \
    " n_vanished INTEGER NOT NULL DEFAULT 0,"                         \
    " digest TEXT NOT NULL DEFAULT '',"                               \
    " digest_records INTEGER NOT NULL DEFAULT 0,"                     \
    " PRIMARY KEY (namespace, number)) STRICT, WITHOUT ROWID;"        \
    "PRAGMA application_id = %d; PRAGMA user_version = %d;"

/* SQLite's last error as one of ours, and what to do about it. */
static struct nsm_error *translate_error(const struct nsm_ledger_db *db)
{
    const int code = sqlite3_errcode(db->handle) & 0xff;
    const char *const text = sqlite3_errmsg(db->handle);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_CONSTRAINT ||
        code == SQLITE_MISMATCH || code == SQLITE_ERROR) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "ledger %s is damaged: %s: --fresh forgets it and begins anew",
                             db->path, text);
    }
    if (code == SQLITE_FULL) {
        return nsm_error_new(NSM_E_IO,
                             "ledger %s: %s: make room there, then run the same command again",
                             db->path, text);
    }
    if (code == SQLITE_NOMEM)
        return nsm_error_new(NSM_E_NOMEM, "ledger %s: %s", db->path, text);
    errno = sqlite3_system_errno(db->handle);
    if (errno)
        return nsm_error_new(NSM_E_IO, "ledger %s: %s: %m", db->path, text);
    return nsm_error_new(NSM_E_IO, "ledger %s: %s", db->path, text);
}

static struct nsm_error *db_error(struct nsm_ledger_db *db)
{
    struct nsm_error *const error = translate_error(db);
    if (!db->failure)
        db->failure = nsm_error_clone(error);
    return error;
}

static struct nsm_error *execute(struct nsm_ledger_db *db, const char *sql)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? NULL : db_error(db);
}

struct nsm_error *nsm_ledger_db_prepare(struct nsm_ledger_db *db, const char *sql,
                                        sqlite3_stmt **ret)
{
    for (size_t i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql) {
            (void)sqlite3_reset(db->statements[i].stmt);
            (void)sqlite3_clear_bindings(db->statements[i].stmt);
            *ret = db->statements[i].stmt;
            return NULL;
        }
    }
    assert(db->n_statements < NSM_LEDGER_MAX_STATEMENTS);
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
        SQLITE_OK)
        return db_error(db);
    db->statements[db->n_statements].sql = sql;
    db->statements[db->n_statements].stmt = stmt;
    db->n_statements++;
    *ret = stmt;
    return NULL;
}

struct nsm_error *nsm_ledger_db_step(struct nsm_ledger_db *db, sqlite3_stmt *stmt,
                                     bool *ret_has_row)
{
    const int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        struct nsm_error *const error = db_error(db);
        (void)sqlite3_reset(stmt);
        return error;
    }
    if (rc == SQLITE_DONE)
        (void)sqlite3_reset(stmt);
    if (ret_has_row)
        *ret_has_row = rc == SQLITE_ROW;
    return NULL;
}

static struct nsm_error *read_pragma(struct nsm_ledger_db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL) != SQLITE_OK)
        return db_error(db);
    struct nsm_error *error = NULL;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    else
        error = db_error(db);
    (void)sqlite3_finalize(stmt);
    return error;
}

static struct nsm_error *check_undamaged(struct nsm_ledger_db *db)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK)
        return db_error(db);
    struct nsm_error *error = NULL;
    if (sqlite3_step(stmt) != SQLITE_ROW) {
        error = db_error(db);
    } else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
        error = nsm_error_new(NSM_E_CORRUPT,
                              "ledger %s is damaged: %s: --fresh forgets it and begins anew",
                              db->path, (const char *)sqlite3_column_text(stmt, 0));
    }
    (void)sqlite3_finalize(stmt);
    return error;
}

static char *write_schema(void)
{
    return nsm_xasprintf(SCHEMA, NSM_STEP_DONE, APPLICATION_ID, SCHEMA_VERSION);
}

static struct nsm_error *make_tables(struct nsm_ledger_db *db)
{
    NSM_TRY(nsm_ledger_db_begin(db));
    NSM_CLEANUP(nsm_freep) char *sql = write_schema();
    nsm_error_ignore(execute(db, sql)); /* commit reports it */
    return nsm_ledger_db_commit(db);
}

/* Our tables word for word, and nothing else: their constraints are what later reading relies on, and
 * a trigger or view would act on our statements. */
static struct nsm_error *check_tables(struct nsm_ledger_db *db)
{
    NSM_CLEANUP(nsm_freep) char *schema = write_schema();
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db->handle,
                           "SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL"
                           " ORDER BY rowid",
                           -1, &stmt, NULL) != SQLITE_OK)
        return db_error(db);
    const char *expected = schema;
    int rc = sqlite3_step(stmt);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(stmt)) {
        const char *const sql = (const char *)sqlite3_column_text(stmt, 0);
        const size_t len = sql ? strlen(sql) : 0;
        if (len == 0 || strncmp(expected, sql, len) != 0)
            break;
        expected += len;
    }
    struct nsm_error *error = NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        error = db_error(db);
    else if (rc == SQLITE_ROW || strncmp(expected, "PRAGMA ", 7) != 0)
        error = nsm_error_new(NSM_E_CORRUPT,
                              "ledger %s is damaged: its tables are not those of a ledger: --fresh "
                              "forgets it and begins anew",
                              db->path);
    (void)sqlite3_finalize(stmt);
    return error;
}

static struct nsm_error *check_schema(struct nsm_ledger_db *db, unsigned flags)
{
    int64_t n_tables = 0;
    int64_t application_id = 0;
    int64_t version = 0;
    NSM_TRY(read_pragma(db, "SELECT count(*) FROM sqlite_schema", &n_tables));
    NSM_TRY(read_pragma(db, "PRAGMA application_id", &application_id));
    NSM_TRY(read_pragma(db, "PRAGMA user_version", &version));
    if (n_tables == 0 && application_id == 0) {
        return flags & NSM_LEDGER_DB_READ_ONLY
                   ? nsm_error_new(NSM_E_NOTFOUND, "ledger %s is empty", db->path)
                   : make_tables(db);
    }
    if (application_id != APPLICATION_ID) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s is not a ledger of nsmigrate: move it away, or pass --fresh to "
                             "replace it",
                             db->path);
    }
    if (version != SCHEMA_VERSION) {
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "ledger %s has version %lld, this nsmigrate knows %d: finish the run "
                             "with the nsmigrate that began it, or pass --fresh",
                             db->path, (long long)version, SCHEMA_VERSION);
    }
    NSM_TRY(check_tables(db));
    return check_undamaged(db);
}

/* With a write-ahead log, commits are not synced by SQLite: nsm_ledger_db_sync does that where it
 * matters, while others go on. Where a file system can't have one (no shared memory), every commit
 * is synced, and a reader may have to wait for the writer. */
static struct nsm_error *choose_journal(struct nsm_ledger_db *db)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode = WAL", -1, &stmt, NULL) != SQLITE_OK)
        return db_error(db);
    struct nsm_error *error = NULL;
    bool has_wal = false;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        has_wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    else
        error = db_error(db);
    (void)sqlite3_finalize(stmt);
    NSM_TRY(error);
    return execute(db, has_wal ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL");
}

/* Its first frames are in it, with its name in the folder: from now on a sync is of this file. */
static struct nsm_error *open_wal(struct nsm_ledger_db *db)
{
    NSM_TRY(execute(db, "BEGIN IMMEDIATE; PRAGMA user_version = " VERSION_TEXT "; COMMIT"));
    NSM_CLEANUP(nsm_freep)
    char *path = nsm_xasprintf("%s-wal", db->path);
    db->wal_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (db->wal_fd < 0 && errno != ENOENT)
        return nsm_error_new(NSM_E_IO, "ledger %s: %m", path);
    return NULL;
}

static struct nsm_error *open_checked(struct nsm_ledger_db *db, unsigned flags)
{
    if (flags & NSM_LEDGER_DB_READ_ONLY) {
        NSM_TRY(execute(db, "PRAGMA query_only = 1"));
        return check_schema(db, flags);
    }
    NSM_TRY(choose_journal(db));
    NSM_TRY(check_schema(db, flags));
    return open_wal(db);
}

struct nsm_error *nsm_ledger_db_open(struct nsm_ledger_db *db, const char *path, unsigned flags)
{
    *db = (struct nsm_ledger_db){.path = path, .wal_fd = -1};
    const int mode = flags & NSM_LEDGER_DB_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    struct nsm_error *error = NULL;
    if (sqlite3_open_v2(path, &db->handle, mode | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        error = db->handle ? db_error(db) : nsm_error_new(NSM_E_NOMEM, "ledger %s", path);
    } else {
        (void)sqlite3_extended_result_codes(db->handle, 1);
        (void)sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
        error = open_checked(db, flags);
    }
    if (error)
        nsm_ledger_db_close(db);
    return error;
}

void nsm_ledger_db_close(struct nsm_ledger_db *db)
{
    nsm_ledger_db_rollback(db);
    for (size_t i = 0; i < db->n_statements; i++)
        (void)sqlite3_finalize(db->statements[i].stmt);
    const int rc = sqlite3_close(db->handle);
    assert(rc != SQLITE_BUSY);
    (void)rc;
    if (db->wal_fd >= 0)
        (void)close(db->wal_fd);
    nsm_error_free(db->failure);
    *db = (struct nsm_ledger_db){.wal_fd = -1};
}

struct nsm_error *nsm_ledger_db_begin(struct nsm_ledger_db *db)
{
    static const char sql[] = "BEGIN IMMEDIATE";
    assert(!db->is_in_transaction);
    nsm_error_free(NSM_STEAL(db->failure));
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    NSM_TRY(nsm_ledger_db_step(db, stmt, NULL));
    db->is_in_transaction = true;
    return NULL;
}

struct nsm_error *nsm_ledger_db_commit(struct nsm_ledger_db *db)
{
    static const char sql[] = "COMMIT";
    assert(db->is_in_transaction);
    struct nsm_error *error = NULL;
    if (db->failure) {
        error = NSM_STEAL(db->failure);
    } else {
        sqlite3_stmt *stmt = NULL;
        error = nsm_ledger_db_prepare(db, sql, &stmt);
        error = error ? error : nsm_ledger_db_step(db, stmt, NULL);
    }
    if (error) {
        nsm_ledger_db_rollback(db);
        return error;
    }
    db->is_in_transaction = false;
    return NULL;
}

void nsm_ledger_db_rollback(struct nsm_ledger_db *db)
{
    /* SQLite itself has rolled back after some errors. */
    if (db->is_in_transaction && !sqlite3_get_autocommit(db->handle))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    db->is_in_transaction = false;
}

struct nsm_error *nsm_ledger_db_sync(const struct nsm_ledger_db *db)
{
    /* What has left the log for the database was synced by SQLite on the way. */
    if (db->wal_fd >= 0 && fdatasync(db->wal_fd) != 0)
        return nsm_error_new(NSM_E_IO, "ledger %s: fdatasync: %m", db->path);
    return NULL;
}

void nsm_ledger_bind_str(sqlite3_stmt *stmt, int index, struct nsm_str text)
{
    (void)sqlite3_bind_text64(stmt, index, text.len ? text.ptr : "", text.len, SQLITE_STATIC,
                              SQLITE_UTF8);
}

void nsm_ledger_bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    if (text)
        nsm_ledger_bind_str(stmt, index, nsm_str_of(text));
}

void nsm_ledger_bind_bytes(sqlite3_stmt *stmt, int index, struct nsm_str bytes)
{
    (void)sqlite3_bind_blob64(stmt, index, bytes.len ? bytes.ptr : "", bytes.len, SQLITE_STATIC);
}

void nsm_ledger_bind_u64(sqlite3_stmt *stmt, int index, uint64_t n)
{
    (void)sqlite3_bind_int64(stmt, index, (int64_t)n);
}

char *nsm_ledger_column_text(sqlite3_stmt *stmt, int index)
{
    const char *const text = (const char *)sqlite3_column_text(stmt, index);
    return text ? nsm_xstrdup(text) : NULL;
}

struct nsm_str nsm_ledger_column_bytes(sqlite3_stmt *stmt, int index)
{
    const void *const bytes = sqlite3_column_blob(stmt, index);
    return (struct nsm_str){bytes, bytes ? (size_t)sqlite3_column_bytes(stmt, index) : 0};
}

uint64_t nsm_ledger_column_u64(sqlite3_stmt *stmt, int index)
{
    return (uint64_t)sqlite3_column_int64(stmt, index);
}
