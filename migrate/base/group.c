/* The group as its users see it: submission under the limit, cancellation, joining, results. */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/futex.h"
#include "migrate/base/group_internal.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

size_t nsm_online_cpus(void)
{
    /* The kernel's mask may be longer than cpu_set_t; it refuses a set that is too short. */
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

static int make_default_thread(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
    return pthread_create(ret_thread, NULL, fn, arg);
}

static size_t effective_limit(size_t limit)
{
    if (limit == 0)
        return nsm_online_cpus();
    return limit < INT_MAX ? limit : INT_MAX;
}

struct nsm_group *nsm_group_new(struct nsm_context *parent, size_t limit)
{
    /* Plain malloc() does not align to a line of cache. */
    struct nsm_group *const group = aligned_alloc(NSM_CACHE_LINE_BYTES, sizeof *group);
    if (!group)
        abort();
    memset(group, 0, sizeof *group);
    group->ctx = nsm_context_new(parent);
    group->make_thread = make_default_thread;
    group->limit = effective_limit(limit);
    nsm_group_record_outer(group);

    /* Adaptive: what the lock guards is shorter than a futex call. */
    pthread_mutexattr_t adaptive;
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&group->lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&group->slot_free, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&group->all_done, NULL);

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
    assert(!group->is_joined && "set_limit after wait");
    assert(nsm_group_is_done(group) && "set_limit while tasks run");
    group->limit = effective_limit(limit);
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

/* A submitter looks for a free slot for a few microseconds before it sleeps. */
static void spin_for_slot(const struct nsm_group *group)
{
    enum {
        SPINS = 100
    };
    for (int i = 0; i < SPINS && nsm_group_slots_in_use(group) >= group->limit; i++)
        nsm_group_spin();
}

/* With the lock. Returns also for no reason. */
static void sleep_for_slot(struct nsm_group *group)
{
    uint64_t slots = atomic_load(&group->slots);
    /* The wish is set only while no slot is free, so that the one who frees it sees the wish. */
    do {
        if ((slots & NSM_SLOTS_COUNT) < group->limit)
            return;
    } while (!atomic_compare_exchange_weak(&group->slots, &slots, slots | NSM_SLOTS_WANTED));

    const int64_t deadline_ns = nsm_context_deadline(group->ctx);
    if (deadline_ns == NSM_NEVER) {
        pthread_cond_wait(&group->slot_free, &group->lock);
    } else {
        const struct timespec deadline = {.tv_sec = deadline_ns / NSM_NS_PER_S,
                                          .tv_nsec = deadline_ns % NSM_NS_PER_S};
        (void)pthread_cond_timedwait(&group->slot_free, &group->lock, &deadline);
    }
}

/* With the lock. Returns when a slot is free, or the group is ending. */
static void wait_for_slot(struct nsm_group *group)
{
    if (nsm_group_slots_in_use(group) < group->limit)
        return;
    group->n_submitters++;
    while (nsm_group_slots_in_use(group) >= group->limit && !nsm_group_is_ending(group)) {
        pthread_mutex_unlock(&group->lock);
        spin_for_slot(group);
        pthread_mutex_lock(&group->lock);
        if (!nsm_group_is_ending(group))
            sleep_for_slot(group);
    }
    group->n_submitters--;
}

/* With the lock. */
static size_t run_inline(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    const size_t index = nsm_group_add_record(group, NULL, NULL);
    group->n_inline++;
    nsm_group_run_here(group, index, fn, arg);
    group->n_inline--;
    nsm_group_announce_done(group);
    return index;
}

/* With the lock. */
static size_t do_not_start(struct nsm_group *group)
{
    atomic_fetch_add(&group->n_not_started, 1);
    nsm_group_announce_done(group);
    return nsm_group_add_record(group, NULL, NULL);
}

/* With the lock, and a slot that is free: the task goes to the threads. */
static size_t submit(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    const size_t index = nsm_group_add_record(group, fn, arg);
    nsm_group_find_threads(group);
    return index;
}

size_t nsm_group_go(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    size_t index = 0;
    pthread_mutex_lock(&group->lock);
    assert(!group->is_joined && "go after wait");
    if (nsm_group_slots_in_use(group) >= group->limit && nsm_group_is_within(group)) {
        index = run_inline(group, fn, arg);
    } else {
        wait_for_slot(group);
        index = nsm_group_is_ending(group) ? do_not_start(group) : submit(group, fn, arg);
    }
    pthread_mutex_unlock(&group->lock);
    return index;
}

bool nsm_group_try_go(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    pthread_mutex_lock(&group->lock);
    assert(!group->is_joined && "try_go after wait");
    const bool is_possible =
        nsm_group_slots_in_use(group) < group->limit && !nsm_group_is_ending(group);
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
    const bool is_cancellation = nsm_error_is(error, NSM_E_CANCELED) && nsm_group_is_ending(group);
    const bool is_to_cancel = !is_cancellation && nsm_group_keep_first(group, error);
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
        (void)nsm_group_keep_first(group, cause);
    pthread_mutex_unlock(&group->lock);
    nsm_context_cancel(group->ctx, cause);
}

/* Why tasks were cut short though none failed; before the group ends its context itself. */
static struct nsm_error *end_of_context(const struct nsm_group *group)
{
    struct nsm_error *const error = nsm_context_error(group->ctx);
    return error ? error : nsm_error_new(NSM_E_CANCELED, "canceled");
}

struct nsm_error *nsm_group_wait(struct nsm_group *group)
{
    pthread_mutex_lock(&group->lock);
    assert(!group->is_joined && "wait after wait");
    assert(!nsm_group_is_within(group) && "a task waits for its own end");
    atomic_fetch_or(&group->slots, NSM_SLOTS_JOINED);
    while (!nsm_group_is_done(group))
        pthread_cond_wait(&group->all_done, &group->lock);
    group->is_joined = true;
    const size_t n_cut_short = group->n_canceled + group->n_not_started;
    struct nsm_error *error = nsm_error_clone(group->first_error);
    pthread_mutex_unlock(&group->lock);

    if (!error && n_cut_short > 0)
        error = end_of_context(group);
    nsm_context_cancel(group->ctx, NULL);
    /* The threads end by themselves; nsm_group_free() joins them. */
    atomic_fetch_or(&group->wakes, NSM_WAKES_CLOSING);
    nsm_futex_wake(&group->wakes, INT_MAX);
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

    const size_t n_records = group->tail;
    for (size_t i = 0; i < n_records; i++)
        nsm_error_free(nsm_group_record_at(group, i)->error);
    for (size_t i = 0; i < NSM_GROUP_N_CHUNKS; i++)
        free(group->chunks[i]);
    nsm_error_free(group->first_error);
    pthread_cond_destroy(&group->all_done);
    pthread_cond_destroy(&group->slot_free);
    pthread_mutex_destroy(&group->lock);
    free(group->threads);
    free(group->outer);
    free(group);
}

size_t nsm_group_size(const struct nsm_group *group)
{
    assert(group->is_joined);
    return group->tail;
}

/* The record of a task, once all are joined. */
static const struct nsm_group_record *result(const struct nsm_group *group, size_t index)
{
    assert(index < nsm_group_size(group));
    return nsm_group_record_at(group, index);
}

enum nsm_outcome nsm_group_outcome(const struct nsm_group *group, size_t index)
{
    return result(group, index)->outcome;
}

const struct nsm_error *nsm_group_task_error(const struct nsm_group *group, size_t index)
{
    return result(group, index)->error;
}

struct nsm_group_counts nsm_group_counts(const struct nsm_group *group)
{
    assert(group->is_joined);
    struct nsm_group_counts counts = {
        .n_failed = group->n_failed,
        .n_canceled = group->n_canceled,
        .n_not_started = group->n_not_started,
    };
    counts.n_ok = group->tail - counts.n_failed - counts.n_canceled - counts.n_not_started;
    return counts;
}
