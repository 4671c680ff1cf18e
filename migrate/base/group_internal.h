/*
 * What the two halves of the group share: group.c submits tasks and joins them, group_run.c runs them on threads.
 * And how threads are made, so that a test can have the making fail.
 *
 * A task is a record in an array that grows without moving. Its index is its place in the order of submission, and
 * the queue is no more than two indices into that array: `head` is the next task to begin, `tail` the next to be
 * submitted.
 *
 * Who wakes whom: while tasks are queued and a thread sleeps (or may still be made), at least one thread is a
 * *searcher*, on its way to the queue. Only the taking of a task by a searcher, or a submission, can leave queued
 * tasks without one; each then appoints the next. So a submitter wakes nobody while a searcher is on its way,
 * however many tasks it submits; a thread that ends a task takes the next one without a word to anyone; and still
 * every task finds a thread.
 *
 * Waking a thread costs far more than running a short task. So a searcher that finds on arrival that all it was
 * called for has been begun by others does not join in, but watches: it sleeps for a moment, and looks whether what
 * is queued then has been begun a moment later. As long as that is so, the others keep up; when it is not, it takes
 * a task and calls the next.
 */
#ifndef NSM_BASE_GROUP_INTERNAL_H
#define NSM_BASE_GROUP_INTERNAL_H

#include "migrate/base/group.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* As pthread_create() with default attributes: 0 or an error number. Called without any lock held, from any
 * thread. */
typedef int nsm_thread_maker_fn(pthread_t *ret_thread, void *(*fn)(void *), void *arg);

/* Before the first task. */
void nsm_group_set_thread_maker(struct nsm_group *group, nsm_thread_maker_fn *maker);

struct nsm_group_record {
    enum nsm_outcome outcome;
    bool
        is_queued; /* holds a slot, and whoever takes it runs it; else it only has its place in the order */
    union {
        nsm_task_fn *fn;         /* until the task begins */
        struct nsm_error *error; /* once it has ended */
    };
    void *arg;
};

enum {
    /* Chunk k of the records has this many times 2^k, so that a few dozen chunks hold whatever memory does. */
    NSM_GROUP_FIRST_CHUNK = 64,
    NSM_GROUP_N_CHUNKS = 48,
    NSM_CACHE_LINE_BYTES = 64,
    /* How often a thread looks for what it waits for before it sleeps. */
    NSM_GROUP_SPINS = 500,
};

/* `slots`: the slots in use, by tasks that are queued or run, and who wants to hear of it. In one word, so that
 * whoever gives a slot back learns at once whether someone waits. */
#define NSM_SLOTS_WANTED UINT64_C(0x100000000) /* a submitter sleeps until one is free */
#define NSM_SLOTS_JOINED UINT64_C(0x200000000) /* wait() sleeps until none is in use */
#define NSM_SLOTS_COUNT  UINT64_C(0x0ffffffff)

/* `idle`: the threads that sleep, and whether there is a searcher, and whether it only watches. */
#define NSM_IDLE_SEARCHER UINT64_C(0x100000000)
#define NSM_IDLE_WATCHING UINT64_C(0x200000000)
#define NSM_IDLE_SLEEPERS UINT64_C(0x0ffffffff)

/* `wakes`: threads that were appointed and have not risen yet; they no longer count as sleeping. */
#define NSM_WAKES_CLOSING 0x80000000U /* all may go home */

struct nsm_group {
    struct nsm_context *ctx;
    struct nsm_waker waker; /* of slot_free, for submitters when the context ends */
    nsm_thread_maker_fn *make_thread;
    /* The groups within whose tasks this one was made; compared, never followed. */
    const void **outer;
    size_t n_outer;
    atomic_size_t limit;
    struct nsm_group_record *chunks[NSM_GROUP_N_CHUNKS];

    /* Written by submitters, by threads, and by both: each apart from the others, as a line of cache that two
     * cores write is slow. */
    _Alignas(NSM_CACHE_LINE_BYTES) atomic_size_t tail;
    _Alignas(NSM_CACHE_LINE_BYTES) atomic_size_t head;
    _Alignas(NSM_CACHE_LINE_BYTES) _Atomic uint64_t slots;

    _Alignas(NSM_CACHE_LINE_BYTES) _Atomic uint64_t idle;
    atomic_uint wakes;           /* a futex for the sleepers */
    atomic_uint pokes;           /* a futex for the searcher when it watches */
    atomic_size_t called_tail;   /* `tail` when the searcher was called */
    atomic_bool is_spinning;     /* some thread without office looks at the queue */
    atomic_size_t n_canceled;    /* outcomes */
    atomic_size_t n_not_started; /* outcomes */

    /* Guards the rest, and `tail`, and each increment of `slots`. */
    _Alignas(NSM_CACHE_LINE_BYTES) pthread_mutex_t lock;
    pthread_cond_t slot_free;
    pthread_cond_t all_done;
    size_t n_submitters;
    size_t n_inline; /* tasks that run without a slot, within another task */
    bool is_joined;

    pthread_t *threads;
    atomic_size_t n_threads;
    size_t threads_cap;
    size_t n_making; /* threads between the decision and the answer of make_thread */
    int64_t make_again_ns;

    enum nsm_on_error on_error;
    struct nsm_error *first_error;
    size_t n_failed;
};

/* One look of many at a word that another core will change. */
static inline void nsm_group_spin(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* No task begins any more: the context was cancelled, asked to rest, or its deadline has passed. */
bool nsm_group_is_ending(const struct nsm_group *group);

/* Whether the calling thread is in a task of the group, also by way of a group made within one. */
bool nsm_group_is_within(const struct nsm_group *group);

/* Notes the groups that the calling thread is within. */
void nsm_group_record_outer(struct nsm_group *group);

size_t nsm_group_slots_in_use(const struct nsm_group *group);

struct nsm_group_record *nsm_group_record_at(const struct nsm_group *group, size_t index);

/* The following are called with the lock held. */

/* Adds a record, NOT_STARTED; with a function, the task is queued and holds a slot. Returns its index. */
size_t nsm_group_add_record(struct nsm_group *group, nsm_task_fn *fn, void *arg);

/* Keeps the first error by time. Returns whether the context is to be cancelled for it. */
bool nsm_group_keep_first(struct nsm_group *group, const struct nsm_error *error);

/* Whether nothing runs, waits or is about to. */
bool nsm_group_is_done(const struct nsm_group *group);

/* Tells wait() if so. */
void nsm_group_announce_done(struct nsm_group *group);

/* Sees to it that what is queued finds a thread; runs it on the spot when there can be none. May release the lock. */
void nsm_group_find_threads(struct nsm_group *group);

/* Runs a task on the calling thread, for the record at `index`. Releases the lock meanwhile. */
void nsm_group_run_here(struct nsm_group *group, size_t index, nsm_task_fn *fn, void *arg);

#endif
