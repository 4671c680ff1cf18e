/*
 * The checkpoints of a destination's file. One table for all runs and namespaces, so that whoever
 * finds it there knows it by one name; the last namespace that is complete takes it away.
 */
#include "adapters/sqlite/checkpoint.h"

#include <sys/stat.h>

#define TABLE SQLITE_CHECKPOINT_TABLE

/* kind: part, namespace (one at work), table (one that the run made), file (a row without a run, that
 * says that we made the file). */
static const char create_sql[] =
    "CREATE TABLE IF NOT EXISTS " TABLE " ("
    "run_id TEXT NOT NULL, namespace TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,"
    " object TEXT NOT NULL, resume BLOB, is_done INTEGER, n_records INTEGER, n_bytes INTEGER,"
    " n_skipped INTEGER, n_vanished INTEGER, digest TEXT, digest_records INTEGER,"
    " PRIMARY KEY (run_id, namespace, kind, id)) WITHOUT ROWID";
static const char create_index_sql[] =
    "CREATE INDEX IF NOT EXISTS " TABLE "_object ON " TABLE " (object)";

/* Runs a statement with text parameters, a NULL-terminated list. */
static struct nsm_error *run_with(struct sqlite_db *db, const char *sql,
                                  const char *const *parameters)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    bool has_row = false;
    NSM_TRY(sqlite_prepare(db, sql, TABLE, &statement));
    for (int i = 0; parameters[i]; i++)
        sqlite_bind_str(statement, i + 1, nsm_str_of(parameters[i]));
    return sqlite_step(db, statement, TABLE, &has_row);
}

struct nsm_error *sqlite_checkpoint_owner(struct sqlite_db *db, struct nsm_arena *arena,
                                          const char *run_id, const char *table, const char **ret)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    bool has_row = false;
    NSM_TRY(sqlite_prepare(
        db, "SELECT namespace FROM " TABLE " WHERE run_id = ?1 AND kind = 'table' AND id = ?2",
        TABLE, &statement));
    sqlite_bind_str(statement, 1, nsm_str_of(run_id));
    sqlite_bind_str(statement, 2, nsm_str_of(table));
    NSM_TRY(sqlite_step(db, statement, TABLE, &has_row));
    *ret = has_row ? nsm_arena_copy(arena, sqlite_column_str(statement, 0)).ptr : NULL;
    return NULL;
}

struct nsm_error *sqlite_checkpoint_init(struct sqlite_db *db, bool is_new_file,
                                         bool *ret_made_file)
{
    int64_t one = 0;
    if (!sqlite_has_table(db, TABLE)) {
        NSM_TRY(sqlite_run(db, create_sql, TABLE));
        NSM_TRY(sqlite_run(db, create_index_sql, TABLE));
    }
    if (is_new_file)
        NSM_TRY(sqlite_run(db,
                           "INSERT INTO " TABLE " (run_id, kind, id, namespace, object)"
                           " VALUES ('', 'file', '', '', '')",
                           TABLE));
    return sqlite_get_i64(db, "SELECT 1 FROM " TABLE " WHERE run_id = '' AND kind = 'file'", NULL,
                          NULL, ret_made_file, &one);
}

struct nsm_error *sqlite_checkpoint_join(struct sqlite_db *db, const char *run_id,
                                         const char *namespace_name)
{
    return run_with(db,
                    "INSERT OR IGNORE INTO " TABLE " (run_id, kind, id, namespace, object)"
                    " VALUES (?1, 'namespace', ?2, ?2, '')",
                    (const char *const[]){run_id, namespace_name, NULL});
}

struct nsm_error *sqlite_checkpoint_own(struct sqlite_db *db, const char *run_id,
                                        const char *namespace_name, const char *table)
{
    NSM_TRY(run_with(db, "DELETE FROM " TABLE " WHERE run_id NOT IN (?1, '') AND object = ?2",
                     (const char *const[]){run_id, table, NULL}));
    return run_with(db,
                    "INSERT INTO " TABLE " (run_id, kind, id, namespace, object)"
                    " VALUES (?1, 'table', ?2, ?3, ?2)",
                    (const char *const[]){run_id, table, namespace_name, NULL});
}

struct nsm_error *sqlite_checkpoint_put(struct sqlite_db *db, const char *run_id,
                                        const struct nsm_write_request *request,
                                        const struct nsm_checkpoint *checkpoint)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db,
                           "INSERT OR REPLACE INTO " TABLE
                           " VALUES (?1, ?3, 'part', ?2, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                           TABLE, &statement));
    char digest[33];
    bool has_row = false;
    nsm_digest_format(&checkpoint->digest, digest);
    sqlite_bind_str(statement, 1, nsm_str_of(run_id));
    sqlite_bind_str(statement, 2, checkpoint->part_id);
    sqlite_bind_str(statement, 3, nsm_str_of(request->destination->namespace_name));
    sqlite_bind_str(statement, 4, nsm_str_of(request->object->name));
    (void)sqlite3_bind_blob64(statement, 5, checkpoint->resume.ptr ? checkpoint->resume.ptr : "",
                              checkpoint->resume.len, SQLITE_STATIC);
    const uint64_t numbers[] = {checkpoint->is_done, checkpoint->n_records, checkpoint->n_bytes,
                                checkpoint->n_skipped, checkpoint->n_vanished};
    for (int i = 0; i < (int)NSM_COUNT_OF(numbers); i++)
        (void)sqlite3_bind_int64(statement, 6 + i, (int64_t)numbers[i]);
    sqlite_bind_str(statement, 11, nsm_str_of(digest));
    (void)sqlite3_bind_int64(statement, 12, (int64_t)checkpoint->digest.n_records);
    return sqlite_step(db, statement, TABLE, &has_row);
}

struct nsm_error *sqlite_checkpoint_reset(struct sqlite_db *db, const char *run_id,
                                          const char *table)
{
    return run_with(db, "DELETE FROM " TABLE " WHERE run_id = ?1 AND kind = 'part' AND object = ?2",
                    (const char *const[]){run_id, table, NULL});
}

struct nsm_error *sqlite_checkpoint_complete(struct sqlite_db *db, const char *run_id,
                                             const char *namespace_name)
{
    bool is_used = false;
    int64_t one = 0;
    NSM_TRY(run_with(db, "DELETE FROM " TABLE " WHERE run_id = ?1 AND namespace = ?2",
                     (const char *const[]){run_id, namespace_name, NULL}));
    NSM_TRY(sqlite_get_i64(db, "SELECT 1 FROM " TABLE " WHERE kind <> 'file' LIMIT 1", NULL, NULL,
                           &is_used, &one));
    return is_used ? NULL : sqlite_run(db, "DROP TABLE " TABLE, TABLE);
}

/* ---- loading ---- */

static struct nsm_error *take_checkpoint(sqlite3_stmt *statement, nsm_checkpoint_fn *fn, void *arg)
{
    struct nsm_checkpoint checkpoint = {
        .part_id = sqlite_column_str(statement, 0),
        .resume = sqlite_column_str(statement, 1),
        .is_done = sqlite3_column_int(statement, 2) != 0,
        .n_records = (uint64_t)sqlite3_column_int64(statement, 3),
        .n_bytes = (uint64_t)sqlite3_column_int64(statement, 4),
        .n_skipped = (uint64_t)sqlite3_column_int64(statement, 5),
        .n_vanished = (uint64_t)sqlite3_column_int64(statement, 6),
    };
    if (!nsm_digest_parse(sqlite_column_str(statement, 7), &checkpoint.digest))
        return nsm_error_new(NSM_E_CORRUPT, "table " TABLE ": the digest of part %.*s is none",
                             NSM_STR_ARG(checkpoint.part_id));
    checkpoint.digest.n_records = (uint64_t)sqlite3_column_int64(statement, 8);
    fn(arg, &checkpoint);
    return NULL;
}

static struct nsm_error *load(struct sqlite_db *db, const char *run_id, nsm_checkpoint_fn *fn,
                              void *arg)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_refresh(db));
    if (!sqlite_has_table(db, TABLE))
        return NULL;
    NSM_TRY(sqlite_prepare(db,
                           "SELECT id, resume, is_done, n_records, n_bytes, n_skipped, n_vanished,"
                           " digest, digest_records FROM " TABLE
                           " WHERE run_id = ?1 AND kind = 'part'",
                           TABLE, &statement));
    sqlite_bind_str(statement, 1, nsm_str_of(run_id));
    for (;;) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, TABLE, &has_row));
        if (!has_row)
            return NULL;
        NSM_TRY(take_checkpoint(statement, fn, arg));
    }
}

struct nsm_error *sqlite_load_checkpoints(struct nsm_backend *base, struct nsm_context *ctx,
                                          nsm_checkpoint_fn *fn, void *arg)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    struct stat info;
    struct sqlite_db *db = NULL;
    if (stat(backend->path, &info) != 0)
        return nsm_context_error(ctx); /* no file yet, so no checkpoints */
    NSM_TRY(sqlite_acquire(backend, ctx, &db));
    struct nsm_error *const error = load(db, base->run_id, fn, arg);
    sqlite_release(backend, db);
    return error;
}
