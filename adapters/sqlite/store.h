/*
 * The backend of the adapter `sqlite`: the file, the connections that rest between two operations
 * (opening one parses the whole schema, which for ten thousand tables costs more than reading one
 * of them), and the turn to write.
 *
 * SQLite lets one connection write at a time. Within the process writers take turns here, under
 * their contexts, rather than by polling the file's lock.
 *
 * Threads: internally locked; a connection belongs to whoever acquired it.
 */
#ifndef NSM_ADAPTERS_SQLITE_STORE_H
#define NSM_ADAPTERS_SQLITE_STORE_H

#include "adapters/sqlite/db.h"

#include <pthread.h>

/* Ours in a destination's file: checkpoints, and which objects are ours. */
#define SQLITE_CHECKPOINT_TABLE "nsmigrate_checkpoint"

struct sqlite_backend {
    struct nsm_backend base;
    const char *path;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t turn_ended;
    bool is_writing; /* someone has the turn to write */
    bool made_file;  /* this process made the file, or took over one so made */
    struct sqlite_db *idle_readers;
    struct sqlite_db *idle_writers;
};

static inline struct sqlite_backend *sqlite_backend_of(struct nsm_backend *backend)
{
    return (struct sqlite_backend *)backend;
}

/* A connection that rests, or a new one. */
struct nsm_error *sqlite_acquire(struct sqlite_backend *backend, struct nsm_context *ctx,
                                 enum sqlite_mode mode, struct sqlite_db **ret) NSM_MUST_USE;
/* Ends an open transaction without committing it. Accepts NULL. */
void sqlite_release(struct sqlite_backend *backend, struct sqlite_db *db);
/* Closes all connections that rest. A file that we made is left in one piece. */
void sqlite_close_idle(struct sqlite_backend *backend);
void sqlite_set_made_file(struct sqlite_backend *backend);

/* Waits for the turn to write, and begins a transaction. */
struct nsm_error *sqlite_begin(struct sqlite_backend *backend, struct sqlite_db *db) NSM_MUST_USE;
/* Commits; the turn is over on success. After an error the transaction still has to be abandoned. */
struct nsm_error *sqlite_commit(struct sqlite_backend *backend, struct sqlite_db *db) NSM_MUST_USE;
/* Rolls back; the turn is over. */
void sqlite_abandon(struct sqlite_backend *backend, struct sqlite_db *db);

/* A writing connection for the time of one call of `fn`, in one transaction that is committed when
 * it succeeds. `before` (may be NULL) is called in our turn but outside of the transaction. */
typedef struct nsm_error *sqlite_transaction_fn(struct sqlite_db *db, void *arg);
struct sqlite_work {
    enum sqlite_mode mode;
    sqlite_transaction_fn *before, *fn;
    void *arg;
};
struct nsm_error *sqlite_transaction(struct sqlite_backend *backend, struct nsm_context *ctx,
                                     const struct sqlite_work *work) NSM_MUST_USE;

#endif
