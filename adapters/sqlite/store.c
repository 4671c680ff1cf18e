/*
 * The connections of a SQLite backend and the turn to write. The turn is a flag with a condition,
 * not a mutex: a writer keeps it from its first row to its checkpoint, over many calls.
 */
#include "adapters/sqlite/store.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/lock_file.h"

#include <assert.h>
#include <time.h>

/* ---- reading ---- */

struct nsm_error *sqlite_acquire(struct sqlite_backend *backend, struct nsm_context *ctx,
                                 struct sqlite_db **ret)
{
    NSM_TRY(nsm_context_error(ctx));
    pthread_mutex_lock(&backend->mutex);
    struct sqlite_db *const db = backend->idle_readers;
    if (db)
        backend->idle_readers = db->next;
    pthread_mutex_unlock(&backend->mutex);
    if (!db)
        return sqlite_db_open(backend->path, SQLITE_MODE_READ, ctx, ret);
    db->next = NULL;
    db->ctx = ctx;
    *ret = db;
    return NULL;
}

void sqlite_release(struct sqlite_backend *backend, struct sqlite_db *db)
{
    if (!db)
        return;
    db->ctx = NULL;
    pthread_mutex_lock(&backend->mutex);
    db->next = backend->idle_readers;
    backend->idle_readers = db;
    pthread_mutex_unlock(&backend->mutex);
}

bool sqlite_has_writer(struct sqlite_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    const bool has_writer = backend->has_writer;
    pthread_mutex_unlock(&backend->mutex);
    return has_writer;
}

void sqlite_set_made_file(struct sqlite_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    backend->made_file = true;
    pthread_mutex_unlock(&backend->mutex);
}

void sqlite_close_all(struct sqlite_backend *backend)
{
    while (backend->idle_readers) {
        struct sqlite_db *const next = backend->idle_readers->next;
        sqlite_db_close(backend->idle_readers);
        backend->idle_readers = next;
    }
    /* Fails when another program has the file open: then its log stays, which does no harm. */
    if (backend->writer && backend->made_file)
        (void)sqlite3_exec(backend->writer->handle, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    sqlite_db_close(backend->writer);
    backend->writer = NULL;
    nsm_lock_file_drop(NSM_STEAL(backend->lock));
}

/* ---- turns ---- */

/* With the mutex held. */
static void wait_for_turn(struct sqlite_backend *backend, const struct nsm_context *ctx)
{
    const int64_t deadline_ns = nsm_context_deadline(ctx);
    while (backend->has_turn && !nsm_context_is_canceled(ctx)) {
        if (deadline_ns == NSM_NEVER) {
            pthread_cond_wait(&backend->turn_ended, &backend->mutex);
            continue;
        }
        const struct timespec until = {.tv_sec = deadline_ns / NSM_NS_PER_S,
                                       .tv_nsec = deadline_ns % NSM_NS_PER_S};
        (void)pthread_cond_clockwait(&backend->turn_ended, &backend->mutex, CLOCK_MONOTONIC,
                                     &until);
    }
}

/* The file as SQLite calls it: through links. One run at a time writes to it, whatever tables: they all wait for the same lock anyway. */
static struct nsm_error *keep_others_out(struct sqlite_backend *backend, struct sqlite_db *db,
                                         struct nsm_context *ctx)
{
    if (backend->lock)
        return NULL;
    NSM_CLEANUP(nsm_freep)
    char *path = nsm_xasprintf("%s-nsmigrate", sqlite3_db_filename(db->handle, "main"));
    return nsm_backend_lock(&backend->base, ctx, path, backend->path, &backend->lock);
}

/* Opened when it is needed first; outside of the mutex, as that may take a while. */
static struct nsm_error *need_writer(struct sqlite_backend *backend, struct nsm_context *ctx,
                                     enum sqlite_mode mode)
{
    if (backend->writer)
        return NULL;
    NSM_CLEANUP(sqlite_db_closep) struct sqlite_db *writer = NULL;
    NSM_TRY(sqlite_db_open(backend->path, mode, ctx, &writer));
    NSM_TRY(keep_others_out(backend, writer, ctx));
    backend->writer = NSM_STEAL(writer);
    pthread_mutex_lock(&backend->mutex);
    backend->has_writer = true;
    pthread_mutex_unlock(&backend->mutex);
    return NULL;
}

struct nsm_error *sqlite_take_turn(struct sqlite_backend *backend, struct nsm_context *ctx,
                                   enum sqlite_mode mode, struct sqlite_db **ret)
{
    NSM_TRY(nsm_context_error(ctx));
    struct nsm_waker waker = {0};
    nsm_waker_register(&waker, ctx, &backend->mutex, &backend->turn_ended);
    pthread_mutex_lock(&backend->mutex);
    wait_for_turn(backend, ctx);
    const bool is_ours = !backend->has_turn;
    backend->has_turn = true;
    pthread_mutex_unlock(&backend->mutex);
    nsm_waker_unregister(&waker);
    if (!is_ours) {
        struct nsm_error *const ended = nsm_context_error(ctx);
        assert(ended && "only the end of the context ends the wait");
        return ended;
    }
    struct nsm_error *const error = need_writer(backend, ctx, mode);
    if (error) {
        sqlite_end_turn(backend);
        return error;
    }
    backend->writer->ctx = ctx;
    *ret = backend->writer;
    return NULL;
}

/* Leaves the writing connection as the next one wants it. */
static void tidy_writer(struct sqlite_backend *backend)
{
    struct sqlite_db *const db = backend->writer;
    if (!db)
        return;
    db->ctx = NULL; /* under a cancelled context a rollback would be interrupted too */
    if (!sqlite3_get_autocommit(db->handle) &&
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK) {
        sqlite_db_close(db);
        backend->writer = NULL;
        return;
    }
    if (db->is_lax)
        (void)sqlite3_exec(db->handle, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    db->is_lax = false;
}

void sqlite_end_turn(struct sqlite_backend *backend)
{
    tidy_writer(backend);
    pthread_mutex_lock(&backend->mutex);
    assert(backend->has_turn);
    backend->has_turn = false;
    pthread_cond_broadcast(&backend->turn_ended);
    pthread_mutex_unlock(&backend->mutex);
}

struct nsm_error *sqlite_begin(struct sqlite_db *db)
{
    NSM_TRY(sqlite_run(db, "BEGIN IMMEDIATE", ""));
    return sqlite_refresh(db);
}

struct nsm_error *sqlite_commit(struct sqlite_db *db)
{
    return sqlite_run(db, "COMMIT", "commit");
}

/* Only a log keeps the order of commits without a sync after each. Holds until the turn ends. */
static struct nsm_error *allow_undoing(struct sqlite_db *db)
{
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    const char *mode = NULL;
    NSM_TRY(sqlite_get_text(db, &arena, "PRAGMA journal_mode", NULL, &mode));
    if (strcmp(mode, "wal") != 0)
        return NULL;
    db->is_lax = true;
    return sqlite_run(db, "PRAGMA synchronous=NORMAL", "");
}

static struct nsm_error *transact(struct sqlite_db *db, const struct sqlite_work *work)
{
    if (work->before)
        NSM_TRY(work->before(db, work->arg));
    if (work->is_repeatable)
        NSM_TRY(allow_undoing(db));
    NSM_TRY(sqlite_begin(db));
    NSM_TRY(work->fn(db, work->arg));
    return sqlite_commit(db);
}

struct nsm_error *sqlite_transaction(struct sqlite_backend *backend, struct nsm_context *ctx,
                                     const struct sqlite_work *work)
{
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_take_turn(backend, ctx, work->mode, &db));
    struct nsm_error *const error = transact(db, work);
    sqlite_end_turn(backend);
    return error;
}
