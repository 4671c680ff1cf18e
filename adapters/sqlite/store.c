/*
 * The connections of a SQLite backend and the turn to write. The turn is a flag with a condition,
 * not a mutex: a writer keeps it from its first row to its checkpoint, over many calls.
 */
#include "adapters/sqlite/store.h"

#include "migrate/base/clock.h"

#include <assert.h>
#include <time.h>

static struct sqlite_db **idle_of(struct sqlite_backend *backend, enum sqlite_mode mode)
{
    return mode == SQLITE_MODE_READ ? &backend->idle_readers : &backend->idle_writers;
}

struct nsm_error *sqlite_acquire(struct sqlite_backend *backend, struct nsm_context *ctx,
                                 enum sqlite_mode mode, struct sqlite_db **ret)
{
    NSM_TRY(nsm_context_error(ctx));
    pthread_mutex_lock(&backend->mutex);
    struct sqlite_db **const idle = idle_of(backend, mode);
    struct sqlite_db *const db = *idle;
    if (db)
        *idle = db->next;
    pthread_mutex_unlock(&backend->mutex);
    if (!db)
        return sqlite_db_open(backend->path, mode, ctx, ret);
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
    if (!sqlite3_get_autocommit(db->handle) &&
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK) {
        sqlite_db_close(db);
        return;
    }
    pthread_mutex_lock(&backend->mutex);
    struct sqlite_db **const idle = idle_of(backend, db->mode);
    db->next = *idle;
    *idle = db;
    pthread_mutex_unlock(&backend->mutex);
}

static void close_all(struct sqlite_db *first)
{
    while (first) {
        struct sqlite_db *const next = first->next;
        sqlite_db_close(first);
        first = next;
    }
}

void sqlite_close_idle(struct sqlite_backend *backend)
{
    close_all(backend->idle_readers);
    struct sqlite_db *const last = backend->idle_writers;
    if (last) {
        close_all(last->next);
        /* Fails when another program has the file open: then its log stays, which does no harm. */
        if (backend->made_file)
            (void)sqlite3_exec(last->handle, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
        sqlite_db_close(last);
    }
    backend->idle_readers = backend->idle_writers = NULL;
}

void sqlite_set_made_file(struct sqlite_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    backend->made_file = true;
    pthread_mutex_unlock(&backend->mutex);
}

/* ---- the turn to write ---- */

static void wait_turn(struct sqlite_backend *backend, const struct nsm_context *ctx)
{
    const int64_t deadline_ns = nsm_context_deadline(ctx);
    while (backend->is_writing && !nsm_context_is_canceled(ctx)) {
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

static struct nsm_error *take_turn(struct sqlite_backend *backend, struct nsm_context *ctx)
{
    struct nsm_waker waker = {0};
    nsm_waker_register(&waker, ctx, &backend->mutex, &backend->turn_ended);
    pthread_mutex_lock(&backend->mutex);
    wait_turn(backend, ctx);
    const bool is_ours = !backend->is_writing;
    backend->is_writing = true;
    pthread_mutex_unlock(&backend->mutex);
    nsm_waker_unregister(&waker);
    return is_ours ? NULL : nsm_context_error(ctx);
}

static void end_turn(struct sqlite_backend *backend)
{
    pthread_mutex_lock(&backend->mutex);
    assert(backend->is_writing);
    backend->is_writing = false;
    pthread_cond_broadcast(&backend->turn_ended);
    pthread_mutex_unlock(&backend->mutex);
}

struct nsm_error *sqlite_begin(struct sqlite_backend *backend, struct sqlite_db *db)
{
    NSM_TRY(take_turn(backend, db->ctx));
    struct nsm_error *const error = sqlite_run(db, "BEGIN IMMEDIATE", "");
    if (error)
        end_turn(backend);
    return error;
}

struct nsm_error *sqlite_commit(struct sqlite_backend *backend, struct sqlite_db *db)
{
    NSM_TRY(sqlite_run(db, "COMMIT", "commit"));
    end_turn(backend);
    return NULL;
}

void sqlite_abandon(struct sqlite_backend *backend, struct sqlite_db *db)
{
    /* Under a cancelled context the rollback would be interrupted too. */
    db->ctx = NULL;
    if (!sqlite3_get_autocommit(db->handle))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    end_turn(backend);
}

static struct nsm_error *work_in_turn(struct sqlite_db *db, const struct sqlite_work *work)
{
    if (work->before)
        NSM_TRY(work->before(db, work->arg));
    NSM_TRY(sqlite_run(db, "BEGIN IMMEDIATE", ""));
    return work->fn(db, work->arg);
}

static struct nsm_error *transact(struct sqlite_backend *backend, struct sqlite_db *db,
                                  const struct sqlite_work *work)
{
    NSM_TRY(take_turn(backend, db->ctx));
    struct nsm_error *error = work_in_turn(db, work);
    if (!error)
        error = sqlite_commit(backend, db);
    if (error)
        sqlite_abandon(backend, db);
    return error;
}

struct nsm_error *sqlite_transaction(struct sqlite_backend *backend, struct nsm_context *ctx,
                                     const struct sqlite_work *work)
{
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_acquire(backend, ctx, work->mode, &db));
    struct nsm_error *const error = transact(backend, db, work);
    sqlite_release(backend, db);
    return error;
}
