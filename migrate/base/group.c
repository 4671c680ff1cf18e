/*
 * The group: a bounded queue of tasks, threads that take from it, and a result per task.
 *
 * A slot is held from go() to the end of the task, so the queue never holds more than `limit` tasks. One lock guards all; it
 * is held for a few dozen instructions at a time, and threads that find nothing to do look again for a moment before they
 * sleep, since waking a thread costs more than most of what the lock guards.
 *
 * Who wakes whom: while tasks are queued and a thread sleeps (or may still be made), at least one thread is a *searcher*: on
 * its way to the queue. A searcher that takes a task and leaves others behind appoints the next searcher before it runs its
 * task. So a submitter wakes nobody while a searcher is on its way, however many tasks it submits, and still every task
 * finds a thread.
 */
#include "migrate/base/group.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/group_internal.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

enum {
    /* How often an idle thread looks again before it sleeps: a few microseconds. */
    SPINS = 200,
    /* After a thread could not be made, none is tried for this time. */
    MAKE_AGAIN_MS = 100,
};

struct task {
    nsm_task_fn *fn;
    void *arg;
    size_t index;
};

struct result {
    struct nsm_error *error;
    enum nsm_outcome outcome;
};

struct nsm_group {
    struct nsm_context *ctx;
    struct nsm_waker waker; /* of slot_free, for submitters when the context ends */
    nsm_thread_maker_fn *make_thread;
    /* The groups within whose tasks this one was made; compared, never followed. */
    const struct nsm_group **outer;
    size_t n_outer;
    size_t limit;
    enum nsm_on_error on_error;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;  /* a task is queued, or the group closes */
    pthread_cond_t slot_free;
    pthread_cond_t all_done;

    struct task *queue; /* a ring */
    size_t queue_cap;   /* a power of two */
    size_t queue_head;
    atomic_size_t n_queued;

    atomic_size_t n_active; /* slots in use: queued and running tasks */
    size_t n_inline;        /* tasks that run without a slot, within another task */

    size_t n_submitters; /* that wait in go() for a slot */
    size_t n_submitters_sleeping;
    size_t n_submitters_woken; /* of the sleeping ones */
    size_t n_searchers;
    size_t n_workers_sleeping;
    size_t n_workers_woken; /* of the sleeping ones; each is a searcher already */
    bool is_waiting;
    bool is_joined;
    bool is_closing;

    pthread_t *threads;
    size_t n_threads;
    size_t threads_cap;
    size_t n_making; /* threads between the decision and pthread_create()'s answer */
    int64_t make_again_ns;

    struct result *results;
    size_t n_results;
    size_t results_cap;
    struct nsm_group_counts counts;
    struct nsm_error *first_error;
};

/* The tasks that the current thread is in, innermost first. */
struct frame {
    const struct nsm_group *group;
    const struct frame *outer;
};
static _Thread_local const struct frame *current_frame;

static int make_default_thread(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
    return pthread_create(ret_thread, NULL, fn, arg);
}

size_t nsm_online_cpus(void)
{
    /* The kernel's mask may be longer than cpu_set_t; it refuses one that is too short. */
    for (size_t n_cpus = CPU_SETSIZE; n_cpus <= (size_t)CPU_SETSIZE << 8; n_cpus *= 2) {
        const size_t size = CPU_ALLOC_SIZE(n_cpus);
        NSM_CLEANUP(nsm_freep) cpu_set_t *set = nsm_xcalloc(1, size);
        if (sched_getaffinity(0, size, set) == 0) {
            const int n = CPU_COUNT_S(size, set);
            return n > 0 ? (size_t)n : 1;
        }
    }
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (size_t)n : 1;
}

static bool has_outer(const struct nsm_group *group, const struct nsm_group *outer)
{
    for (size_t i = 0; i < group->n_outer; i++) {
        if (group->outer[i] == outer)
            return true;
    }
    return false;
}

/* Whether the calling thread is in a task of the group, also by way of a group made within one. */
static bool is_within(const struct nsm_group *group)
{
    for (const struct frame *frame = current_frame; frame; frame = frame->outer) {
        if (frame->group == group || has_outer(frame->group, group))
            return true;
    }
    return false;
}

static void add_outer(struct nsm_group *group, const struct nsm_group *outer, size_t *cap)
{
    if (has_outer(group, outer))
        return;
    NSM_GROW(group->outer, group->n_outer, *cap);
    group->outer[group->n_outer++] = outer;
}

static void record_outer_groups(struct nsm_group *group)
{
    size_t cap = 0;
    for (const struct frame *frame = current_frame; frame; frame = frame->outer) {
        add_outer(group, frame->group, &cap);
        for (size_t i = 0; i < frame->group->n_outer; i++)
            add_outer(group, frame->group->outer[i], &cap);
    }
}

struct nsm_group *nsm_group_new(struct nsm_context *parent, size_t limit)
{
    struct nsm_group *const group = nsm_xcalloc(1, sizeof *group);
    group->ctx = nsm_context_new(parent);
    group->make_thread = make_default_thread;
    group->limit = limit ? limit : nsm_online_cpus();
    record_outer_groups(group);

    pthread_mutexattr_t adaptive;
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&group->lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&group->work, &monotonic);
    pthread_cond_init(&group->slot_free, &monotonic);
    pthread_cond_init(&group->all_done, &monotonic);
    pthread_condattr_destroy(&monotonic);

    nsm_waker_register(&group->waker, group->ctx, &group->lock, &group->slot_free);
    return group;
}

void nsm_group_set_thread_maker(struct nsm_group *group, nsm_thread_maker_fn *maker)
{
    group->make_thread = maker;
}

void nsm_group_set_limit(struct nsm_group *group, size_t limit)
{
    pthread_mutex_lock(&group->lock);
    assert(group->n_active == 0 && group->n_inline == 0 && group->n_submitters == 0);
    assert(!group->is_joined);
    group->limit = limit ? limit : nsm_online_cpus();
    pthread_mutex_unlock(&group->lock);
}

void nsm_group_set_on_error(struct nsm_group *group, enum nsm_on_error on_error)
{
    pthread_mutex_lock(&group->lock);
    group->on_error = on_error;
    pthread_mutex_unlock(&group->lock);
}

struct nsm_context *nsm_group_context(struct nsm_group *group)
{
    return group->ctx;
}

/* No task begins any more: the context was cancelled, asked to rest, or its deadline has passed. */
static bool is_ending(const struct nsm_group *group)
{
    return nsm_context_is_stopping(group->ctx);
}

/* The following are called with the lock held unless they say otherwise. */

static size_t add_result(struct nsm_group *group)
{
    NSM_GROW(group->results, group->n_results, group->results_cap);
    group->results[group->n_results] = (struct result){.outcome = NSM_OUTCOME_NOT_STARTED};
    return group->n_results++;
}

static void grow_queue(struct nsm_group *group)
{
    const size_t cap = group->queue_cap ? group->queue_cap * 2 : 16;
    struct task *const queue = nsm_xreallocarray(NULL, cap, sizeof *queue);
    for (size_t i = 0; i < group->n_queued; i++)
        queue[i] = group->queue[(group->queue_head + i) & (group->queue_cap - 1)];
    free(group->queue);
    group->queue = queue;
    group->queue_cap = cap;
    group->queue_head = 0;
}

static void enqueue(struct nsm_group *group, struct task task)
{
    if (group->n_queued == group->queue_cap)
        grow_queue(group);
    group->queue[(group->queue_head + group->n_queued) & (group->queue_cap - 1)] = task;
    group->n_queued++;
}

static struct task dequeue(struct nsm_group *group)
{
    const struct task task = group->queue[group->queue_head];
    group->queue_head = (group->queue_head + 1) & (group->queue_cap - 1);
    group->n_queued--;
    return task;
}

/* Keeps the first error by time. Returns whether the context is to be cancelled for it. */
static bool keep_first_error(struct nsm_group *group, const struct nsm_error *error)
{
    if (group->first_error)
        return false;
    group->first_error = nsm_error_clone(error);
    return group->on_error == NSM_ON_ERROR_CANCEL;
}

static bool is_all_done(const struct nsm_group *group)
{
    return group->n_active == 0 && group->n_inline == 0 && group->n_submitters == 0 &&
           group->n_making == 0;
}

static void announce_all_done(struct nsm_group *group)
{
    if (group->is_waiting && is_all_done(group))
        pthread_cond_broadcast(&group->all_done);
}

/* Takes in what a task returned. Returns whether the context is to be cancelled for it. */
static bool take_result(struct nsm_group *group, size_t index, struct nsm_error *error)
{
    struct result *const result = &group->results[index];
    result->error = error;
    if (!error) {
        result->outcome = NSM_OUTCOME_OK;
        group->counts.n_ok++;
        return false;
    }
    if (nsm_error_is(error, NSM_E_CANCELED) && is_ending(group)) {
        result->outcome = NSM_OUTCOME_CANCELED;
        group->counts.n_canceled++;
        return false;
    }
    result->outcome = NSM_OUTCOME_FAILED;
    group->counts.n_failed++;
    return keep_first_error(group, error);
}

/* Releases the lock while the task runs. A slot that the task holds is still held after. */
static void run_task(struct nsm_group *group, struct task task)
{
    if (is_ending(group)) {
        group->counts.n_not_started++;
        return;
    }
    group->results[task.index].outcome = NSM_OUTCOME_RUNNING;
    pthread_mutex_unlock(&group->lock);

    struct nsm_error *const error = task.fn(group->ctx, task.arg);

    pthread_mutex_lock(&group->lock);
    if (take_result(group, task.index, error)) {
        /* Before the slot is free, so that no further task begins after the error. */
        struct nsm_error *const cause = nsm_error_clone(error);
        pthread_mutex_unlock(&group->lock);
        nsm_context_cancel(group->ctx, cause);
        pthread_mutex_lock(&group->lock);
    }
}

static void run_in_slot(struct nsm_group *group, struct task task)
{
    run_task(group, task);
    group->n_active--;
    announce_all_done(group);
}

/* The same on the thread of a submitter, which is then within the task. */
static void run_on_submitter(struct nsm_group *group, struct task task)
{
    const struct frame frame = {.group = group, .outer = current_frame};
    current_frame = &frame;
    run_task(group, task);
    current_frame = frame.outer;
}

/* Wakes a submitter when a slot is free; but not while a searcher is on its way to tasks that are queued already: it will
 * look again. So a submitter that runs ahead sleeps once per handful of tasks and not once per task. */
static void let_submitter_in(struct nsm_group *group)
{
    if (group->n_submitters_sleeping == group->n_submitters_woken ||
        group->n_active >= group->limit)
        return;
    if (group->n_searchers > 0 && group->n_queued > 0)
        return;
    group->n_submitters_woken++;
    pthread_cond_signal(&group->slot_free);
}

static void *run_worker(void *arg);

static bool may_make_thread(const struct nsm_group *group)
{
    if (group->n_threads + group->n_making >= group->limit)
        return false;
    return group->make_again_ns == 0 || nsm_now_ns() >= group->make_again_ns;
}

/* Makes a thread, which is a searcher from the start. Releases the lock meanwhile. */
static void make_thread(struct nsm_group *group)
{
    group->n_making++;
    group->n_searchers++;
    pthread_mutex_unlock(&group->lock);
    pthread_t thread;
    const bool is_made = group->make_thread(&thread, run_worker, group) == 0;
    pthread_mutex_lock(&group->lock);
    group->n_making--;
    if (is_made) {
        NSM_GROW(group->threads, group->n_threads, group->threads_cap);
        group->threads[group->n_threads++] = thread;
        return;
    }
    group->n_searchers--;
    group->make_again_ns = nsm_now_ns() + MAKE_AGAIN_MS * NSM_NS_PER_MS;
}

/* Sees to it that queued tasks have a searcher. May release the lock meanwhile. */
static void appoint_searcher(struct nsm_group *group)
{
    if (group->n_queued == 0 || group->n_searchers > 0)
        return;
    if (group->n_workers_sleeping > group->n_workers_woken) {
        group->n_workers_woken++;
        group->n_searchers++;
        pthread_cond_signal(&group->work);
        return;
    }
    if (may_make_thread(group))
        make_thread(group);
}

/* Where no thread can be made at all, submitters do the work; the last one that failed to make a thread does it all. */
static void work_without_threads(struct nsm_group *group)
{
    while (group->n_queued > 0 && group->n_threads == 0 && group->n_making == 0) {
        run_on_submitter(group, dequeue(group));
        group->n_active--;
        let_submitter_in(group);
    }
    announce_all_done(group);
}

/* Looks at a counter that others change, without the lock, for a moment. */
static bool spin_until_not(const atomic_size_t *counter, size_t value)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(counter, memory_order_relaxed) != value)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

/* A searcher sleeps, and is one again when it returns. */
static void sleep_for_task(struct nsm_group *group)
{
    group->n_searchers--;
    group->n_workers_sleeping++;
    while (group->n_workers_woken == 0 && !group->is_closing)
        pthread_cond_wait(&group->work, &group->lock);
    group->n_workers_sleeping--;
    if (group->n_workers_woken > 0)
        group->n_workers_woken--;
    else
        group->n_searchers++;
}

/* Waits for a task, as a searcher; false when the group closes. */
static bool wait_for_task(struct nsm_group *group)
{
    bool has_spun = false;
    while (group->n_queued == 0) {
        if (group->is_closing)
            return false;
        if (has_spun || group->n_searchers > 1) {
            sleep_for_task(group);
            has_spun = false;
            continue;
        }
        pthread_mutex_unlock(&group->lock);
        (void)spin_until_not(&group->n_queued, 0);
        pthread_mutex_lock(&group->lock);
        has_spun = true;
    }
    return true;
}

static void *run_worker(void *arg)
{
    struct nsm_group *const group = arg;
    const struct frame frame = {.group = group};
    current_frame = &frame;

    pthread_mutex_lock(&group->lock);
    while (wait_for_task(group)) {
        const struct task task = dequeue(group);
        group->n_searchers--;
        appoint_searcher(group);
        let_submitter_in(group);
        run_in_slot(group, task);
        group->n_searchers++;
        let_submitter_in(group);
    }
    group->n_searchers--;
    pthread_mutex_unlock(&group->lock);
    current_frame = NULL;
    return NULL;
}

static void sleep_for_slot(struct nsm_group *group)
{
    const int64_t deadline_ns = nsm_context_deadline(group->ctx);
    group->n_submitters_sleeping++;
    if (deadline_ns == NSM_NEVER) {
        pthread_cond_wait(&group->slot_free, &group->lock);
    } else {
        const struct timespec at = {.tv_sec = deadline_ns / NSM_NS_PER_S,
                                    .tv_nsec = deadline_ns % NSM_NS_PER_S};
        pthread_cond_timedwait(&group->slot_free, &group->lock, &at);
    }
    group->n_submitters_sleeping--;
    if (group->n_submitters_woken > 0)
        group->n_submitters_woken--;
}

/* Returns when a slot is free, or the group is ending. */
static void wait_for_slot(struct nsm_group *group)
{
    bool has_spun = false;
    group->n_submitters++;
    while (group->n_active >= group->limit && !is_ending(group)) {
        if (has_spun) {
            sleep_for_slot(group);
            has_spun = false;
            continue;
        }
        pthread_mutex_unlock(&group->lock);
        (void)spin_until_not(&group->n_active, group->limit);
        pthread_mutex_lock(&group->lock);
        has_spun = true;
    }
    group->n_submitters--;
}

/* A slot is free: the task goes to the threads. */
static size_t submit(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    const size_t index = add_result(group);
    group->n_active++;
    enqueue(group, (struct task){.fn = fn, .arg = arg, .index = index});
    appoint_searcher(group);
    work_without_threads(group);
    let_submitter_in(group);
    return index;
}

static size_t run_inline(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    const size_t index = add_result(group);
    group->n_inline++;
    run_on_submitter(group, (struct task){.fn = fn, .arg = arg, .index = index});
    group->n_inline--;
    announce_all_done(group);
    return index;
}

static size_t do_not_start(struct nsm_group *group)
{
    group->counts.n_not_started++;
    announce_all_done(group);
    return add_result(group);
}

size_t nsm_group_go(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    pthread_mutex_lock(&group->lock);
    assert(!group->is_joined && "go after wait");
    size_t index = 0;
    if (group->n_active >= group->limit && is_within(group)) {
        index = run_inline(group, fn, arg);
    } else {
        wait_for_slot(group);
        index = is_ending(group) ? do_not_start(group) : submit(group, fn, arg);
    }
    pthread_mutex_unlock(&group->lock);
    return index;
}

bool nsm_group_try_go(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    pthread_mutex_lock(&group->lock);
    assert(!group->is_joined && "go after wait");
    const bool is_possible = group->n_active < group->limit && !is_ending(group);
    if (is_possible)
        (void)submit(group, fn, arg);
    pthread_mutex_unlock(&group->lock);
    return is_possible;
}

void nsm_group_fail(struct nsm_group *group, struct nsm_error *error)
{
    if (!error)
        return;
    pthread_mutex_lock(&group->lock);
    const bool is_cancellation = nsm_error_is(error, NSM_E_CANCELED) && is_ending(group);
    const bool is_to_cancel = !is_cancellation && keep_first_error(group, error);
    pthread_mutex_unlock(&group->lock);
    if (is_to_cancel)
        nsm_context_cancel(group->ctx, error);
    else
        nsm_error_ignore(error);
}

void nsm_group_cancel(struct nsm_group *group, struct nsm_error *cause)
{
    pthread_mutex_lock(&group->lock);
    if (cause)
        (void)keep_first_error(group, cause);
    pthread_mutex_unlock(&group->lock);
    nsm_context_cancel(group->ctx, cause);
}

/* Why tasks were cut short though none failed. Without the lock; before the group ends its context itself. */
static struct nsm_error *end_of_context(const struct nsm_group *group)
{
    struct nsm_error *const error = nsm_context_error(group->ctx);
    if (error || !is_ending(group))
        return error;
    return nsm_error_new(NSM_E_CANCELED, "canceled");
}

struct nsm_error *nsm_group_wait(struct nsm_group *group)
{
    pthread_mutex_lock(&group->lock);
    assert(!group->is_joined && "wait after wait");
    assert(!is_within(group) && "a task waits for its own end");
    group->is_waiting = true;
    while (!is_all_done(group))
        pthread_cond_wait(&group->all_done, &group->lock);
    group->is_joined = true;
    group->is_closing = true;
    pthread_cond_broadcast(&group->work);
    const bool is_cut_short = group->counts.n_canceled + group->counts.n_not_started > 0;
    struct nsm_error *error = nsm_error_clone(group->first_error);
    pthread_mutex_unlock(&group->lock);

    if (!error && is_cut_short)
        error = end_of_context(group);
    nsm_context_cancel(group->ctx, NULL);
    return error;
}

struct nsm_error *nsm_group_stop(struct nsm_group *group)
{
    nsm_group_cancel(group, NULL);
    return nsm_group_wait(group);
}

void nsm_group_free(struct nsm_group *group)
{
    if (!group)
        return;
    if (!group->is_joined)
        nsm_error_ignore(nsm_group_stop(group));
    for (size_t i = 0; i < group->n_threads; i++)
        pthread_join(group->threads[i], NULL);
    nsm_waker_unregister(&group->waker);
    nsm_context_free(group->ctx);

    for (size_t i = 0; i < group->n_results; i++)
        nsm_error_free(group->results[i].error);
    nsm_error_free(group->first_error);
    pthread_cond_destroy(&group->all_done);
    pthread_cond_destroy(&group->slot_free);
    pthread_cond_destroy(&group->work);
    pthread_mutex_destroy(&group->lock);
    free(group->results);
    free(group->threads);
    free(group->queue);
    free(group->outer);
    free(group);
}

size_t nsm_group_size(const struct nsm_group *group)
{
    assert(group->is_joined);
    return group->n_results;
}

enum nsm_outcome nsm_group_outcome(const struct nsm_group *group, size_t index)
{
    assert(group->is_joined && index < group->n_results);
    return group->results[index].outcome;
}

const struct nsm_error *nsm_group_task_error(const struct nsm_group *group, size_t index)
{
    assert(group->is_joined && index < group->n_results);
    return group->results[index].error;
}

struct nsm_group_counts nsm_group_counts(const struct nsm_group *group)
{
    assert(group->is_joined);
    return group->counts;
}
