/*
 * The ledger's writer thread and its queue. The queue is bounded by notes and bytes: whoever is
 * faster than the disk for long waits for it, instead of filling memory.
 */
#include "migrate/engine/ledger_writer.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>

#define MAX_QUEUED       4096
#define MAX_QUEUED_BYTES ((size_t)16 << 20)
/* Notes wait so long for others to share their commit. */
#define LINGER_NS (20 * NSM_NS_PER_MS)
/* A power of two. */
#define N_REPLACEABLE 1024

struct nsm_ledger_request {
    struct nsm_ledger_request *next;
    struct nsm_ledger_request *next_replaceable;
    nsm_ledger_apply_fn *apply;
    void *arg;
    size_t arg_bytes;
    struct nsm_str key; /* inside arg */
    unsigned flags;
    bool is_note;    /* on the heap, with its arg; else on the stack of a caller that waits */
    bool is_applied; /* of whoever runs the group */
    struct nsm_error *error;
    uint64_t commit; /* the one that it is part of */
    sem_t finished; /* a caller's own, so that a group's end wakes nobody in vain; once it is posted
                        the request may be gone */
};

static size_t slot_of(struct nsm_str key)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(1099511628211);
    return (size_t)(hash ^ (hash >> 32)) & (N_REPLACEABLE - 1);
}

static void forget_replaceable(struct nsm_ledger_writer *writer)
{
    memset(writer->replaceable, 0, N_REPLACEABLE * sizeof(struct nsm_ledger_request *));
}

/* ---- a group: what was queued when the thread came back ---- */

static bool needs(const struct nsm_ledger_request *group, unsigned flag)
{
    for (const struct nsm_ledger_request *request = group; request; request = request->next)
        if (request->flags & flag)
            return true;
    return false;
}

static struct nsm_error *note_time(struct nsm_ledger_db *db)
{
    static const char sql[] = "UPDATE run SET updated_ms = ?";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int64(stmt, 1, nsm_wall_ms());
    return nsm_ledger_db_step(db, stmt, NULL);
}

/* In one transaction if any of it writes. Returns the error that undid the group; a request's own
 * (not found, ...) is in the request and leaves the others alone. */
static struct nsm_error *apply_group(struct nsm_ledger_db *db, struct nsm_ledger_request *group)
{
    const bool is_write = needs(group, NSM_LEDGER_CALL_WRITES);
    if (is_write)
        NSM_TRY(nsm_ledger_db_begin(db));
    for (struct nsm_ledger_request *request = group; request && !db->failure;
         request = request->next) {
        request->error = request->apply(db, request->arg);
        request->is_applied = true;
    }
    if (!is_write)
        return NSM_STEAL(db->failure);
    nsm_error_ignore(note_time(db)); /* commit reports it */
    return nsm_ledger_db_commit(db);
}

/* Without the mutex: nobody else looks at the group or the database meanwhile. */
static struct nsm_error *run_group(struct nsm_ledger_db *db, struct nsm_ledger_request *group,
                                   const struct nsm_error *failure)
{
    struct nsm_error *const error = failure ? nsm_error_clone(failure) : apply_group(db, group);
    for (struct nsm_ledger_request *request = group; error && request; request = request->next) {
        /* A read that was answered stands, whatever became of the writes beside it. */
        const bool is_undone = !request->is_applied || request->flags & NSM_LEDGER_CALL_WRITES;
        if (is_undone && !request->error)
            request->error = nsm_error_clone(error);
    }
    return error;
}

/* The caller frees what is its own: notes here, the rest as soon as it is posted. */
static void finish_group(struct nsm_ledger_request *group, uint64_t commit)
{
    while (group) {
        struct nsm_ledger_request *const next = group->next;
        if (group->is_note) {
            nsm_error_free(group->error);
            free(group->arg);
            free(group);
        } else {
            group->commit = commit;
            (void)sem_post(&group->finished);
        }
        group = next;
    }
}

/* With the mutex held, which it gives up while the database works. */
static void run_queued(struct nsm_ledger_writer *writer)
{
    struct nsm_ledger_request *const group = writer->head;
    writer->head = NULL;
    writer->tail = NULL;
    writer->n_queued = 0;
    writer->queued_bytes = 0;
    writer->is_urgent = false;
    forget_replaceable(writer);
    (void)pthread_cond_broadcast(&writer->room);
    (void)pthread_mutex_unlock(&writer->mutex);

    struct nsm_error *const error = run_group(writer->db, group, writer->failure);
    if (!writer->failure)
        writer->failure = error;
    else
        nsm_error_free(error);
    finish_group(group, atomic_fetch_add(&writer->n_commits, 1) + 1);
    (void)pthread_mutex_lock(&writer->mutex);
}

/* ---- the thread ---- */

static void linger(struct nsm_ledger_writer *writer)
{
    const int64_t until_ns = nsm_now_ns() + LINGER_NS;
    const struct timespec until = {.tv_sec = until_ns / NSM_NS_PER_S,
                                   .tv_nsec = until_ns % NSM_NS_PER_S};
    int rc = 0;
    while (rc == 0 && !writer->is_urgent && !writer->is_stopping &&
           writer->n_queued < MAX_QUEUED / 2 && writer->queued_bytes < MAX_QUEUED_BYTES / 2)
        rc = pthread_cond_clockwait(&writer->work, &writer->mutex, CLOCK_MONOTONIC, &until);
}

static void *writer_main(void *arg)
{
    struct nsm_ledger_writer *const writer = arg;
    (void)pthread_mutex_lock(&writer->mutex);
    while (writer->head || !writer->is_stopping) {
        if (!writer->head) {
            (void)pthread_cond_wait(&writer->work, &writer->mutex);
            continue;
        }
        linger(writer);
        run_queued(writer);
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

void nsm_ledger_writer_start(struct nsm_ledger_writer *writer, struct nsm_ledger_db *db,
                             unsigned flags)
{
    *writer = (struct nsm_ledger_writer){.db = db};
    writer->replaceable = nsm_xcalloc(N_REPLACEABLE, sizeof(struct nsm_ledger_request *));
    (void)pthread_mutex_init(&writer->mutex, NULL);
    (void)pthread_mutex_init(&writer->sync_mutex, NULL);
    (void)pthread_cond_init(&writer->work, NULL);
    (void)pthread_cond_init(&writer->room, NULL);
    if (flags & NSM_LEDGER_NO_THREAD)
        return;
    /* Signals are for the thread that waits for them. */
    sigset_t all;
    sigset_t old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    writer->has_thread = pthread_create(&writer->thread, NULL, writer_main, writer) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct nsm_error *nsm_ledger_writer_stop(struct nsm_ledger_writer *writer)
{
    if (writer->has_thread) {
        (void)pthread_mutex_lock(&writer->mutex);
        writer->is_stopping = true;
        (void)pthread_cond_broadcast(&writer->work);
        (void)pthread_mutex_unlock(&writer->mutex);
        (void)pthread_join(writer->thread, NULL);
    }
    (void)pthread_cond_destroy(&writer->room);
    (void)pthread_cond_destroy(&writer->work);
    (void)pthread_mutex_destroy(&writer->sync_mutex);
    (void)pthread_mutex_destroy(&writer->mutex);
    free(writer->replaceable);
    return NSM_STEAL(writer->failure);
}

/* ---- submitting; all with the mutex held ---- */

static void enqueue(struct nsm_ledger_writer *writer, struct nsm_ledger_request *request)
{
    request->next = NULL;
    if (writer->tail)
        writer->tail->next = request;
    else
        writer->head = request;
    writer->tail = request;
    writer->n_queued++;
    writer->queued_bytes += request->arg_bytes;
    if (!request->is_note) {
        writer->is_urgent = true;
        forget_replaceable(writer);
    }
    (void)pthread_cond_signal(&writer->work);
}

/* Whether a queued note took the place of `arg`, which it then owns. */
static bool replace_queued(struct nsm_ledger_writer *writer, nsm_ledger_apply_fn *apply, void *arg,
                           size_t arg_bytes, struct nsm_str key)
{
    struct nsm_ledger_request *note = key.len ? writer->replaceable[slot_of(key)] : NULL;
    while (note && (note->apply != apply || !nsm_str_equals(note->key, key)))
        note = note->next_replaceable;
    if (!note)
        return false;
    free(note->arg);
    writer->queued_bytes += arg_bytes - note->arg_bytes;
    note->arg = arg;
    note->arg_bytes = arg_bytes;
    note->key = key;
    return true;
}

static void wait_for_room(struct nsm_ledger_writer *writer)
{
    while (writer->n_queued >= MAX_QUEUED || writer->queued_bytes >= MAX_QUEUED_BYTES)
        (void)pthread_cond_wait(&writer->room, &writer->mutex);
}

/* On the caller's thread, with the mutex held all along: there is no thread to hand it to. */
static struct nsm_error *run_here(struct nsm_ledger_writer *writer,
                                  struct nsm_ledger_request *request)
{
    struct nsm_error *const error = run_group(writer->db, request, writer->failure);
    request->commit = atomic_fetch_add(&writer->n_commits, 1) + 1;
    /* A read that fails, fails alone. */
    if (request->flags & NSM_LEDGER_CALL_WRITES && !writer->failure)
        writer->failure = error;
    else
        nsm_error_free(error);
    return request->error;
}

/* ---- submitting, without the mutex ---- */

/* Returns when commit number `wanted` is on the disk: by our fsync, or by one that began after that
 * commit while we waited for our turn. */
static struct nsm_error *sync_commit(struct nsm_ledger_writer *writer, uint64_t wanted)
{
    struct nsm_error *error = NULL;
    (void)pthread_mutex_lock(&writer->sync_mutex);
    if (writer->n_synced < wanted) {
        const uint64_t n_commits = atomic_load(&writer->n_commits);
        error = nsm_ledger_db_sync(writer->db);
        writer->n_synced = error ? writer->n_synced : n_commits;
    }
    (void)pthread_mutex_unlock(&writer->sync_mutex);
    return error;
}

struct nsm_error *nsm_ledger_writer_call(struct nsm_ledger_writer *writer,
                                         nsm_ledger_apply_fn *apply, void *arg, unsigned flags)
{
    struct nsm_ledger_request request = {.apply = apply, .arg = arg, .flags = flags};
    (void)sem_init(&request.finished, 0, 0);
    (void)pthread_mutex_lock(&writer->mutex);
    if (!writer->has_thread) {
        request.error = run_here(writer, &request);
        (void)sem_post(&request.finished);
    } else {
        enqueue(writer, &request);
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    while (sem_wait(&request.finished) != 0)
        assert(errno == EINTR);
    (void)sem_destroy(&request.finished);
    NSM_TRY(request.error);
    return flags & NSM_LEDGER_CALL_POWER_SAFE ? sync_commit(writer, request.commit) : NULL;
}

void nsm_ledger_writer_note(struct nsm_ledger_writer *writer, nsm_ledger_apply_fn *apply, void *arg,
                            size_t arg_bytes, struct nsm_str key)
{
    (void)pthread_mutex_lock(&writer->mutex);
    if (!writer->has_thread) {
        struct nsm_ledger_request request = {
            .apply = apply, .arg = arg, .flags = NSM_LEDGER_CALL_WRITES};
        nsm_error_ignore(run_here(writer, &request)); /* it sticks, later calls return it */
        (void)pthread_mutex_unlock(&writer->mutex);
        free(arg);
        return;
    }
    if (!replace_queued(writer, apply, arg, arg_bytes, key)) {
        wait_for_room(writer);
        struct nsm_ledger_request *const note = nsm_xcalloc(1, sizeof(*note));
        note->apply = apply;
        note->arg = arg;
        note->arg_bytes = arg_bytes;
        note->key = key;
        note->flags = NSM_LEDGER_CALL_WRITES;
        note->is_note = true;
        enqueue(writer, note);
        if (key.len) {
            note->next_replaceable = writer->replaceable[slot_of(key)];
            writer->replaceable[slot_of(key)] = note;
        }
    }
    (void)pthread_mutex_unlock(&writer->mutex);
}
