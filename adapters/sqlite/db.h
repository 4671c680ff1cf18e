/*
 * A connection to a SQLite file whose every call runs under a context: the progress handler ends a
 * statement, the busy handler a wait for someone else's lock, as soon as the context is cancelled.
 * And SQLite's results as our errors.
 *
 * Threads: one thread at a time; only finalizing a statement of a connection that writes may happen
 * beside its use (it has SQLite's own mutex, those that read have none).
 */
#ifndef NSM_ADAPTERS_SQLITE_DB_H
#define NSM_ADAPTERS_SQLITE_DB_H

#include "adapters/adapter.h"
#include "migrate/base/buf.h"

#include <sqlite3.h>

#define SQLITE_DAMAGE_ADVICE \
    ": the file is damaged: save what is left with the command .recover of sqlite3, and migrate that"

enum sqlite_mode {
    SQLITE_MODE_READ,   /* the file must exist; nothing is ever written */
    SQLITE_MODE_WRITE,  /* the file must exist */
    SQLITE_MODE_CREATE, /* as WRITE, but a missing file is made */
};

struct sqlite_db {
    sqlite3 *handle;
    const char *path; /* borrowed; for messages */
    enum sqlite_mode mode;
    struct nsm_context *ctx; /* of the operation at work, borrowed; NULL between operations */
    int64_t busy_since_ns;
    bool is_lax;            /* commits are not synced to the disk */
    struct sqlite_db *next; /* the pool's */
};

/* `path` outlives it. NSM_E_NOTFOUND, NSM_E_CORRUPT (not a database, or damaged), NSM_E_IO. */
struct nsm_error *sqlite_db_open(const char *path, enum sqlite_mode mode, struct nsm_context *ctx,
                                 struct sqlite_db **ret) NSM_MUST_USE;
void sqlite_db_close(struct sqlite_db *db);
NSM_DEFINE_CLEANUP(struct sqlite_db, sqlite_db_close)

/* The error for a result code of a call on this connection; `what` says of what: "table users". */
struct nsm_error *sqlite_db_error(struct sqlite_db *db, int result, const char *what) NSM_MUST_USE;

/* The folder of a path, on the heap: "." when it names none. */
char *sqlite_folder_of(const char *path) NSM_MUST_USE NSM_NONNULL;

/* ---- statements ---- */

static inline void sqlite_finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

struct nsm_error *sqlite_prepare(struct sqlite_db *db, const char *sql, const char *what,
                                 sqlite3_stmt **ret) NSM_MUST_USE;

/* *ret_has_row: there is a row; else the statement has ended. */
struct nsm_error *sqlite_step(struct sqlite_db *db, sqlite3_stmt *statement, const char *what,
                              bool *ret_has_row) NSM_MUST_USE;

/* Takes note of changes of the schema that other connections have made. */
struct nsm_error *sqlite_refresh(struct sqlite_db *db) NSM_MUST_USE;
/* Whether there is a table (no view) of that name, as of the last refresh; costs no query. */
bool sqlite_has_table(struct sqlite_db *db, const char *name);

/* Runs one statement to its end, whatever rows it gives. */
struct nsm_error *sqlite_run(struct sqlite_db *db, const char *sql, const char *what) NSM_MUST_USE;

/* Runs a statement with up to two text parameters (NULL: none) and takes the first column of its
 * first row: *ret_found is false, and *ret untouched, when there is none. */
struct nsm_error *sqlite_get_i64(struct sqlite_db *db, const char *sql, const char *first,
                                 const char *second, bool *ret_found, int64_t *ret) NSM_MUST_USE;
/* The same for text, copied into the arena; NULL becomes "". */
struct nsm_error *sqlite_get_text(struct sqlite_db *db, struct nsm_arena *arena, const char *sql,
                                  const char *first, const char **ret) NSM_MUST_USE;

/* A text parameter that outlives the statement's next reset. */
void sqlite_bind_str(sqlite3_stmt *statement, int index, struct nsm_str text);
/* A column's bytes, as the connection holds them until the next step. */
struct nsm_str sqlite_column_str(sqlite3_stmt *statement, int column);

/* Appends a name in double quotes. */
void sqlite_append_name(struct nsm_buf *out, const char *name);

#endif
