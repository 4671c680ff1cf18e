/*
 * Connections of the adapter `sqlite`. A statement is ended from its own thread, by the progress
 * handler that looks at the context: sqlite3_interrupt() from another thread would need one, and a
 * lock that keeps the connection alive for it.
 */
#include "adapters/sqlite/db.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

/* Instructions of SQLite's virtual machine between two looks at the context: well under a
 * millisecond. */
#define PROGRESS_STEPS 1000
/* How long someone else's lock is waited for before the core hears of it and tries again. */
#define BUSY_LIMIT_NS (10 * NSM_NS_PER_S)
#define BUSY_POLL_MS  5

/* ---- the context ---- */

static int on_progress(void *arg)
{
    const struct sqlite_db *const db = arg;
    return db->ctx && nsm_context_is_canceled(db->ctx);
}

static int on_busy(void *arg, int n_calls)
{
    struct sqlite_db *const db = arg;
    const int64_t now_ns = nsm_now_ns();
    if (n_calls == 0)
        db->busy_since_ns = now_ns;
    if (!db->ctx || nsm_context_is_canceled(db->ctx) || now_ns - db->busy_since_ns > BUSY_LIMIT_NS)
        return 0;
    /* Nobody tells when a lock on a file is free. */
    struct pollfd canceled = {.fd = nsm_context_fd(db->ctx), .events = POLLIN};
    (void)poll(&canceled, 1, BUSY_POLL_MS);
    return 1;
}

/* ---- errors ---- */

struct result_use {
    int result; /* SQLite's, primary */
    enum nsm_code code;
    const char *advice; /* what to do; "" when SQLite's own words say all */
};

static const struct result_use result_uses[] = {
    {SQLITE_BUSY, NSM_E_UNAVAILABLE, ": someone else holds the file"},
    {SQLITE_LOCKED, NSM_E_UNAVAILABLE, ""},
    {SQLITE_SCHEMA, NSM_E_UNAVAILABLE, ""},
    {SQLITE_PROTOCOL, NSM_E_UNAVAILABLE, ""},
    {SQLITE_FULL, NSM_E_IO, ": make room on the disk and run again"},
    {SQLITE_IOERR, NSM_E_IO, ""},
    {SQLITE_CANTOPEN, NSM_E_IO, ": check that the folder exists and that its rights let us in"},
    {SQLITE_READONLY, NSM_E_IO, ": check the rights of the file and of its folder"},
    {SQLITE_PERM, NSM_E_IO, ""},
    {SQLITE_AUTH, NSM_E_AUTH, ""},
    {SQLITE_NOTADB, NSM_E_CORRUPT, ": not a SQLite database, or an encrypted one: check the path"},
    {SQLITE_CORRUPT, NSM_E_CORRUPT, SQLITE_DAMAGE_ADVICE},
    {SQLITE_CONSTRAINT, NSM_E_CONFLICT, ""},
    {SQLITE_TOOBIG, NSM_E_NOMEM, ": larger than SQLite can hold"},
    {SQLITE_NOMEM, NSM_E_NOMEM, ""},
    {SQLITE_INTERRUPT, NSM_E_CANCELED, ""},
    {SQLITE_ERROR, NSM_E_INVALID, ""},
};

struct nsm_error *sqlite_db_error(struct sqlite_db *db, int result, const char *what)
{
    const int primary = result & 0xff;
    if (db->ctx && (primary == SQLITE_INTERRUPT || primary == SQLITE_BUSY))
        NSM_TRY(nsm_context_error(db->ctx));
    enum nsm_code code = NSM_E_INTERNAL;
    const char *advice = "";
    for (size_t i = 0; i < NSM_COUNT_OF(result_uses); i++) {
        if (result_uses[i].result == primary) {
            code = result_uses[i].code;
            advice = result_uses[i].advice;
        }
    }
    const char *const words = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(result);
    errno = db->handle ? sqlite3_system_errno(db->handle) : 0;
    if (code == NSM_E_IO && errno != 0)
        return nsm_error_new(code, "%s: %s%s%s (%m)%s", db->path, what, *what ? ": " : "", words,
                             advice);
    return nsm_error_new(code, "%s: %s%s%s%s", db->path, what, *what ? ": " : "", words, advice);
}

/* ---- opening ---- */

char *sqlite_folder_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    if (!slash)
        return nsm_xstrdup(".");
    const size_t len = slash == path ? 1 : (size_t)(slash - path);
    return nsm_xstrndup((struct nsm_str){.ptr = path, .len = len});
}

static struct nsm_error *check_path(const char *path, enum sqlite_mode mode)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        if (errno == ENOENT && mode == SQLITE_MODE_CREATE)
            return NULL;
        return nsm_error_new(errno == ENOENT ? NSM_E_NOTFOUND : NSM_E_IO, "%s: %m", path);
    }
    if (!S_ISREG(info.st_mode))
        return nsm_error_new(NSM_E_INVALID, "%s: not a file", path);
    return NULL;
}

/* What another program left in the log stays there: a reader changes nothing. */
static bool has_log(const char *path)
{
    NSM_CLEANUP(nsm_freep) char *log = nsm_xasprintf("%s-wal", path);
    struct stat info;
    return stat(log, &info) == 0 && info.st_size > 0;
}

/* Nothing in a file that we read is trusted to run code; what we write is taken as it comes. */
static struct nsm_error *configure(struct sqlite_db *db)
{
    static const char *const read_pragmas[] = {
        "PRAGMA query_only=ON",
        "PRAGMA cell_size_check=ON",
        "PRAGMA ignore_check_constraints=ON",
    };
    static const char *const write_pragmas[] = {
        "PRAGMA synchronous=FULL",
        "PRAGMA cache_size=-16384",
        "PRAGMA ignore_check_constraints=ON",
        "PRAGMA foreign_keys=OFF",
    };
    const bool is_reader = db->mode == SQLITE_MODE_READ;
    const char *const *const pragmas = is_reader ? read_pragmas : write_pragmas;
    const size_t n_pragmas = is_reader ? NSM_COUNT_OF(read_pragmas) : NSM_COUNT_OF(write_pragmas);
    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (is_reader)
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log(db->path),
                                NULL);
    (void)sqlite3_busy_handler(db->handle, on_busy, db);
    sqlite3_progress_handler(db->handle, PROGRESS_STEPS, on_progress, db);
    for (size_t i = 0; i < n_pragmas; i++)
        NSM_TRY(sqlite_run(db, pragmas[i], ""));
    /* The first statement that looks into the file: says whether it is a database at all. */
    return sqlite_refresh(db);
}

struct nsm_error *sqlite_db_open(const char *path, enum sqlite_mode mode, struct nsm_context *ctx,
                                 struct sqlite_db **ret)
{
    NSM_TRY(check_path(path, mode));
    NSM_CLEANUP(sqlite_db_closep) struct sqlite_db *db = nsm_xcalloc(1, sizeof(*db));
    db->path = path;
    db->mode = mode;
    db->ctx = ctx;
    /* Also for reading: SQLite then removes the log that it makes beside the file, and opens for
     * reading alone where it may not write. query_only sees to it that nothing is written. */
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE |
                      (mode == SQLITE_MODE_READ ? SQLITE_OPEN_NOMUTEX : SQLITE_OPEN_FULLMUTEX) |
                      (mode == SQLITE_MODE_CREATE ? SQLITE_OPEN_CREATE : 0);
    const int result = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (result != SQLITE_OK)
        return sqlite_db_error(db, result, "");
    NSM_TRY(configure(db));
    *ret = NSM_STEAL(db);
    return NULL;
}

void sqlite_db_close(struct sqlite_db *db)
{
    if (!db)
        return;
    db->ctx = NULL;
    (void)sqlite3_close_v2(db->handle);
    free(db);
}

/* ---- statements ---- */

struct nsm_error *sqlite_prepare(struct sqlite_db *db, const char *sql, const char *what,
                                 sqlite3_stmt **ret)
{
    sqlite3_stmt *statement = NULL;
    const int result =
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (result != SQLITE_OK)
        return sqlite_db_error(db, result, what);
    *ret = statement;
    return NULL;
}

struct nsm_error *sqlite_step(struct sqlite_db *db, sqlite3_stmt *statement, const char *what,
                              bool *ret_has_row)
{
    /* A row that is big or costly takes few instructions, so the progress handler would not look
     * for many rows. */
    if (db->ctx)
        NSM_TRY(nsm_context_error(db->ctx));
    const int result = sqlite3_step(statement);
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        return sqlite_db_error(db, result, what);
    *ret_has_row = result == SQLITE_ROW;
    return NULL;
}

struct nsm_error *sqlite_refresh(struct sqlite_db *db)
{
    return sqlite_run(db, "SELECT 1 FROM sqlite_schema LIMIT 1", "");
}

bool sqlite_has_table(struct sqlite_db *db, const char *name)
{
    return sqlite3_table_column_metadata(db->handle, "main", name, NULL, NULL, NULL, NULL, NULL,
                                         NULL) == SQLITE_OK;
}

struct nsm_error *sqlite_run(struct sqlite_db *db, const char *sql, const char *what)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db, sql, what, &statement));
    bool has_row = true;
    while (has_row)
        NSM_TRY(sqlite_step(db, statement, what, &has_row));
    return NULL;
}

/* Prepares, binds and takes the first step. */
static struct nsm_error *query(struct sqlite_db *db, const char *sql, const char *first,
                               const char *second, sqlite3_stmt **ret, bool *ret_has_row)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db, sql, "", &statement));
    if (first)
        sqlite_bind_str(statement, 1, nsm_str_of(first));
    if (second)
        sqlite_bind_str(statement, 2, nsm_str_of(second));
    NSM_TRY(sqlite_step(db, statement, "", ret_has_row));
    *ret = NSM_STEAL(statement);
    return NULL;
}

struct nsm_error *sqlite_get_i64(struct sqlite_db *db, const char *sql, const char *first,
                                 const char *second, bool *ret_found, int64_t *ret)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    bool has_row = false;
    NSM_TRY(query(db, sql, first, second, &statement, &has_row));
    if (has_row)
        *ret = sqlite3_column_int64(statement, 0);
    *ret_found = has_row;
    return NULL;
}

struct nsm_error *sqlite_get_text(struct sqlite_db *db, struct nsm_arena *arena, const char *sql,
                                  const char *first, const char **ret)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    bool has_row = false;
    NSM_TRY(query(db, sql, first, NULL, &statement, &has_row));
    *ret = has_row ? nsm_arena_copy(arena, sqlite_column_str(statement, 0)).ptr : "";
    return NULL;
}

void sqlite_bind_str(sqlite3_stmt *statement, int index, struct nsm_str text)
{
    (void)sqlite3_bind_text64(statement, index, text.ptr ? text.ptr : "", text.len, SQLITE_STATIC,
                              SQLITE_UTF8);
}

struct nsm_str sqlite_column_str(sqlite3_stmt *statement, int column)
{
    const void *const bytes = sqlite3_column_type(statement, column) == SQLITE_BLOB
                                  ? sqlite3_column_blob(statement, column)
                                  : sqlite3_column_text(statement, column);
    return (struct nsm_str){.ptr = bytes ? bytes : "",
                            .len = (size_t)sqlite3_column_bytes(statement, column)};
}

void sqlite_append_name(struct nsm_buf *out, const char *name)
{
    nsm_buf_append_char(out, '"');
    for (const char *at = name; *at; at++) {
        if (*at == '"')
            nsm_buf_append_char(out, '"');
        nsm_buf_append_char(out, *at);
    }
    nsm_buf_append_char(out, '"');
}
