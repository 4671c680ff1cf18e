/*
 * The backend of the adapter `sqlite`: the file, connections that read and rest between two uses,
 * and the one connection that writes.
 *
 * SQLite lets one connection write at a time, so there is one, and whoever writes takes turns with
 * it, under their contexts. That also saves what a change of the schema costs: it makes every other
 * connection read the whole schema anew, which with ten thousand tables takes longer than copying
 * one of them.
 *
 * Threads: internally locked; a reading connection belongs to whoever acquired it, the writing one
 * to whoever has the turn.
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
    bool has_turn;   /* someone has the turn to write */
    bool has_writer; /* there is a writing connection */
    bool made_file;  /* a run of ours made the file */
    struct sqlite_db *idle_readers;
    struct sqlite_db *writer; /* NULL until it is needed; its owner's who has the turn */
    struct nsm_lock_file
        *lock; /* keeps other runs out; from the first turn to the end; as the writer's */
};

static inline struct sqlite_backend *sqlite_backend_of(struct nsm_backend *backend)
{
    return (struct sqlite_backend *)backend;
}

/* Closes all connections, which rest. A file that we made is left in one piece. */
void sqlite_close_all(struct sqlite_backend *backend);
void sqlite_set_made_file(struct sqlite_backend *backend);

/* ---- reading ---- */

/* A connection that rests, or a new one; for reading. */
struct nsm_error *sqlite_acquire(struct sqlite_backend *backend, struct nsm_context *ctx,
                                 struct sqlite_db **ret) NSM_MUST_USE;
/* Accepts NULL. */
void sqlite_release(struct sqlite_backend *backend, struct sqlite_db *db);

/* Whether this process has written to the file, so that short reads are cheaper in a turn. */
bool sqlite_has_writer(struct sqlite_backend *backend);

/* ---- turns ---- */

/* Waits for the turn, without a transaction. `mode`: WRITE or CREATE. */
struct nsm_error *sqlite_take_turn(struct sqlite_backend *backend, struct nsm_context *ctx,
                                   enum sqlite_mode mode, struct sqlite_db **ret) NSM_MUST_USE;
/* Ends a turn, and rolls back what it left uncommitted. */
void sqlite_end_turn(struct sqlite_backend *backend);

/* Inside of a turn: begins a transaction, with a fresh look at the schema; or commits it. */
struct nsm_error *sqlite_begin(struct sqlite_db *db) NSM_MUST_USE;
struct nsm_error *sqlite_commit(struct sqlite_db *db) NSM_MUST_USE;

/* One turn, one transaction for one call of `fn`, committed when it succeeds. `before` (may be NULL)
 * is called in the turn but outside of the transaction. */
typedef struct nsm_error *sqlite_transaction_fn(struct sqlite_db *db, void *arg);
struct sqlite_work {
    enum sqlite_mode mode;
    /* What a power cut may undo, because a run that goes on does it again: saves a sync of the disk.
     * The order of commits is kept in any case. */
    bool is_repeatable;
    sqlite_transaction_fn *before, *fn;
    void *arg;
};
struct nsm_error *sqlite_transaction(struct sqlite_backend *backend, struct nsm_context *ctx,
                                     const struct sqlite_work *work) NSM_MUST_USE;

#endif
