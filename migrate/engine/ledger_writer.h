/*
 * The one thread that writes the ledger. What arrives while a commit is under way shares the next
 * one: a thousand workers cost as many commits as the disk can do, not a thousand. Notes wait a
 * moment for company; a call that someone waits for takes all notes before it along, in order.
 *
 * A call that must survive the loss of power syncs on its caller's thread, after the commit, so that
 * the others need not wait for the disk; those that wait for it together share one fsync.
 *
 * The first error of the database sticks: no later note is written as if nothing had happened, and
 * every later call returns it.
 *
 * When no thread can be made, or none is wanted (read-only), calls run on their caller's thread.
 *
 * Threads: call and note from any thread; start and stop from one.
 */
#ifndef NSM_ENGINE_LEDGER_WRITER_H
#define NSM_ENGINE_LEDGER_WRITER_H

#include "migrate/engine/ledger_db.h"

#include <pthread.h>
#include <stdatomic.h>

/* Works on the database, alone on it; `arg` is the submitter's. */
typedef struct nsm_error *nsm_ledger_apply_fn(struct nsm_ledger_db *db, void *arg);

struct nsm_ledger_request;

struct nsm_ledger_writer {
    struct nsm_ledger_db *db;
    pthread_mutex_t mutex; /* of what follows, down to `replaceable` */
    pthread_cond_t work;   /* something to do, or to stop */
    pthread_cond_t room;   /* the queue was emptied */
    pthread_t thread;
    bool has_thread, is_stopping;
    bool is_urgent; /* someone waits for what is queued */
    struct nsm_ledger_request *head, *tail;
    size_t n_queued, queued_bytes;
    struct nsm_ledger_request **replaceable; /* queued notes by the hash of their key */
    _Atomic uint64_t n_commits;
    /* The first of the database. The thread's own; the mutex's where there is none. */
    struct nsm_error *failure;
    pthread_mutex_t sync_mutex; /* of the next, held while the disk works; taken before `mutex` */
    uint64_t n_synced;          /* commits that are known to be on the disk */
};

enum nsm_ledger_writer_flag {
    NSM_LEDGER_NO_THREAD = 1 << 0,
};
void nsm_ledger_writer_start(struct nsm_ledger_writer *writer, struct nsm_ledger_db *db,
                             unsigned flags);
/* Writes what is queued, joins the thread, returns the error that stuck, if any. */
struct nsm_error *nsm_ledger_writer_stop(struct nsm_ledger_writer *writer) NSM_MUST_USE;

enum nsm_ledger_call_flag {
    NSM_LEDGER_CALL_WRITES = 1 << 0,     /* in a transaction, committed before it returns */
    NSM_LEDGER_CALL_POWER_SAFE = 1 << 1, /* and synced */
};
/* Runs `apply` after all that was submitted before, and returns its error or the commit's. */
struct nsm_error *nsm_ledger_writer_call(struct nsm_ledger_writer *writer,
                                         nsm_ledger_apply_fn *apply, void *arg, unsigned flags)
    NSM_MUST_USE;

/* Queues a write; `arg`, one block of `arg_bytes` from the heap, is freed after it. A note with a
 * `key` replaces a queued one with the same apply and key, if nobody called in between. Waits while
 * the queue is full. */
void nsm_ledger_writer_note(struct nsm_ledger_writer *writer, nsm_ledger_apply_fn *apply, void *arg,
                            size_t arg_bytes, struct nsm_str key);

#endif
