/*
 * The threads of a group: how tasks are taken from the queue, run, and accounted for; and how threads come and
 * rest. See group_internal.h for the idea.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/futex.h"
#include "migrate/base/group_internal.h"

#include <assert.h>
#include <limits.h>

/* How long a watching searcher looks away; about what it takes to wake a thread and have it run. */
#define MOMENT_NS (50 * INT64_C(1000))
/* After a thread could not be made, none is tried for this time. */
#define MAKE_AGAIN_NS (100 * NSM_NS_PER_MS)

/* The tasks that the calling thread is in, innermost first. */
struct frame {
    const struct nsm_group *group;
    const struct frame *outer;
};
static _Thread_local const struct frame *current_frame;

static bool has_outer(const struct nsm_group *group, const void *outer)
{
    for (size_t i = 0; i < group->n_outer; i++)
        if (group->outer[i] == outer)
            return true;
    return false;
}

bool nsm_group_is_within(const struct nsm_group *group)
{
    for (const struct frame *frame = current_frame; frame; frame = frame->outer)
        if (frame->group == group || has_outer(frame->group, group))
            return true;
    return false;
}

static void add_outer(struct nsm_group *group, const void *outer, size_t *cap)
{
    if (has_outer(group, outer))
        return;
    NSM_GROW(group->outer, group->n_outer, *cap);
    group->outer[group->n_outer++] = outer;
}

void nsm_group_record_outer(struct nsm_group *group)
{
    size_t cap = 0;
    for (const struct frame *frame = current_frame; frame; frame = frame->outer) {
        add_outer(group, frame->group, &cap);
        for (size_t i = 0; i < frame->group->n_outer; i++)
            add_outer(group, frame->group->outer[i], &cap);
    }
}

bool nsm_group_is_ending(const struct nsm_group *group)
{
    return nsm_context_is_stopping(group->ctx);
}

/* Chunk k begins at index FIRST * (2^k - 1). */
static size_t chunk_of(size_t index)
{
    return (size_t)(63 - __builtin_clzll(index / NSM_GROUP_FIRST_CHUNK + 1));
}

static size_t chunk_start(size_t chunk)
{
    return NSM_GROUP_FIRST_CHUNK * (((size_t)1 << chunk) - 1);
}

struct nsm_group_record *nsm_group_record_at(const struct nsm_group *group, size_t index)
{
    const size_t chunk = chunk_of(index);
    return &group->chunks[chunk][index - chunk_start(chunk)];
}

size_t nsm_group_add_record(struct nsm_group *group, nsm_task_fn *fn, void *arg)
{
    const size_t index = atomic_load_explicit(&group->tail, memory_order_relaxed);
    const size_t chunk = chunk_of(index);
    if (!group->chunks[chunk])
        group->chunks[chunk] = nsm_xreallocarray(NULL, (size_t)NSM_GROUP_FIRST_CHUNK << chunk,
                                                 sizeof(struct nsm_group_record));
    *nsm_group_record_at(group, index) = (struct nsm_group_record){
        .outcome = NSM_OUTCOME_NOT_STARTED, .is_queued = fn, .fn = fn, .arg = arg};
    if (fn)
        atomic_fetch_add(&group->slots, 1);
    atomic_store(&group->tail, index + 1);
    return index;
}

static bool is_queue_empty(const struct nsm_group *group)
{
    return atomic_load(&group->head) == atomic_load(&group->tail);
}

/* Takes the next task that is queued; any thread may, without the lock. */
static bool take_task(struct nsm_group *group, size_t *ret_index)
{
    size_t head = atomic_load(&group->head);
    while (head != atomic_load(&group->tail)) {
        if (!atomic_compare_exchange_weak(&group->head, &head, head + 1))
            continue;
        if (nsm_group_record_at(group, head)->is_queued) {
            *ret_index = head;
            return true;
        }
        head++;
    }
    return false;
}

bool nsm_group_keep_first(struct nsm_group *group, const struct nsm_error *error)
{
    if (group->first_error)
        return false;
    group->first_error = nsm_error_clone(error);
    return group->on_error == NSM_ON_ERROR_CANCEL;
}

/* Accounts for a task that ended otherwise than well. Without the lock. */
static void take_error(struct nsm_group *group, struct nsm_group_record *record,
                       struct nsm_error *error)
{
    const bool is_cancellation = nsm_error_is(error, NSM_E_CANCELED) && nsm_group_is_ending(group);
    record->error = error;
    record->outcome = is_cancellation ? NSM_OUTCOME_CANCELED : NSM_OUTCOME_FAILED;

    if (is_cancellation) {
        atomic_fetch_add(&group->n_canceled, 1);
        return;
    }
    pthread_mutex_lock(&group->lock);
    group->n_failed++;
    const bool is_to_cancel = nsm_group_keep_first(group, error);
    pthread_mutex_unlock(&group->lock);
    /* The caller still holds the slot, so no further task begins between the error and this. */
    if (is_to_cancel)
        nsm_context_cancel(group->ctx, nsm_error_clone(error));
}

/* Runs a task, or doesn't if the group is ending. Without the lock. */
static void run_task(struct nsm_group *group, size_t index, nsm_task_fn *fn, void *arg)
{
    struct nsm_group_record *const record = nsm_group_record_at(group, index);
    record->error = NULL;
    if (nsm_group_is_ending(group)) {
        atomic_fetch_add(&group->n_not_started, 1);
        return;
    }
    struct nsm_error *const error = fn(group->ctx, arg);
    if (error)
        take_error(group, record, error);
    else
        record->outcome = NSM_OUTCOME_OK;
}

static void run_queued(struct nsm_group *group, size_t index)
{
    const struct nsm_group_record *const record = nsm_group_record_at(group, index);
    run_task(group, index, record->fn, record->arg);
}

void nsm_group_run_here(struct nsm_group *group, size_t index, nsm_task_fn *fn, void *arg)
{
    const struct frame frame = {.group = group, .outer = current_frame};
    pthread_mutex_unlock(&group->lock);
    current_frame = &frame;
    run_task(group, index, fn, arg);
    current_frame = frame.outer;
    pthread_mutex_lock(&group->lock);
}

size_t nsm_group_slots_in_use(const struct nsm_group *group)
{
    return atomic_load(&group->slots) & NSM_SLOTS_COUNT;
}

bool nsm_group_is_done(const struct nsm_group *group)
{
    return nsm_group_slots_in_use(group) == 0 && group->n_inline == 0 && group->n_submitters == 0 &&
           group->n_making == 0;
}

void nsm_group_announce_done(struct nsm_group *group)
{
    if (nsm_group_is_done(group))
        pthread_cond_broadcast(&group->all_done);
}

/* Without the lock. */
static void give_slot_back(struct nsm_group *group)
{
    const uint64_t before = atomic_fetch_sub(&group->slots, 1);
    if ((before & NSM_SLOTS_JOINED) && (before & NSM_SLOTS_COUNT) == 1) {
        pthread_mutex_lock(&group->lock);
        nsm_group_announce_done(group);
        pthread_mutex_unlock(&group->lock);
    }
}

/*
 * Wakes submitters when a slot is free; but not while the queue is well filled and a searcher is on its way to it,
 * who will look here again. So a submitter that runs ahead sleeps once per handful of tasks and not once per task.
 * Without the lock.
 */
static void let_submitters_in(struct nsm_group *group)
{
    const uint64_t slots = atomic_load(&group->slots);
    if (!(slots & NSM_SLOTS_WANTED) || (slots & NSM_SLOTS_COUNT) >= group->limit)
        return;
    const size_t n_queued = atomic_load(&group->tail) - atomic_load(&group->head);
    if (n_queued > group->limit / 4 && atomic_load(&group->idle) >= NSM_IDLE_SEARCHER)
        return;
    pthread_mutex_lock(&group->lock);
    atomic_fetch_and(&group->slots, ~NSM_SLOTS_WANTED);
    pthread_cond_broadcast(&group->slot_free);
    pthread_mutex_unlock(&group->lock);
}

static void *run_worker(void *arg);

static bool may_make_thread(const struct nsm_group *group)
{
    if (group->n_threads + group->n_making >= group->limit)
        return false;
    return group->make_again_ns == 0 || nsm_now_ns() >= group->make_again_ns;
}

/* Calls the watching searcher to the queue. */
static void poke_watcher(struct nsm_group *group)
{
    /* Once: until it is awake, every submission finds it still watching. */
    if (!(atomic_fetch_and(&group->idle, ~NSM_IDLE_WATCHING) & NSM_IDLE_WATCHING))
        return;
    atomic_fetch_add(&group->pokes, 1);
    nsm_futex_wake(&group->pokes, 1);
}

/* With `idle` of which the searcher is part: whether no other thread is awake that could take a task. */
static bool is_alone(const struct nsm_group *group, uint64_t idle)
{
    return (idle & NSM_IDLE_SLEEPERS) + 1 >= atomic_load(&group->n_threads);
}

/* Notes what the searcher is called for. By whoever appoints it, or by itself when it sees a task. */
static void call(struct nsm_group *group)
{
    atomic_store(&group->called_tail, atomic_load(&group->tail));
}

/* Makes a sleeping thread the searcher if tasks are queued and there is none. Returns false when no thread sleeps. */
static bool wake_searcher(struct nsm_group *group)
{
    uint64_t idle = atomic_load(&group->idle);
    for (;;) {
        if (is_queue_empty(group))
            return true;
        if (idle >= NSM_IDLE_SEARCHER) {
            if ((idle & NSM_IDLE_WATCHING) && is_alone(group, idle))
                poke_watcher(group);
            return true;
        }
        if (idle == 0)
            return false;
        if (atomic_compare_exchange_weak(&group->idle, &idle, idle - 1 + NSM_IDLE_SEARCHER))
            break;
    }
    call(group);
    atomic_fetch_add(&group->wakes, 1);
    nsm_futex_wake(&group->wakes, 1);
    return true;
}

/* Makes a thread; the searcher's office, which the caller holds, is the thread's then. With the lock, which is
 * released meanwhile. */
static void make_thread(struct nsm_group *group)
{
    group->n_making++;
    pthread_mutex_unlock(&group->lock);
    pthread_t thread;
    const bool is_made = group->make_thread(&thread, run_worker, group) == 0;
    pthread_mutex_lock(&group->lock);
    group->n_making--;
    if (is_made) {
        const size_t n_threads = group->n_threads;
        NSM_GROW(group->threads, n_threads, group->threads_cap);
        group->threads[n_threads] = thread;
        group->n_threads = n_threads + 1;
        return;
    }
    group->make_again_ns = nsm_now_ns() + MAKE_AGAIN_NS;
    /* Threads that went to sleep, and submitters that were not let in, relied on the searcher that does not come. */
    atomic_fetch_sub(&group->idle, NSM_IDLE_SEARCHER);
    (void)wake_searcher(group);
    pthread_cond_broadcast(&group->slot_free);
}

/* The same, by a new thread where none sleeps. With the lock, which may be released meanwhile. */
static void make_searcher(struct nsm_group *group)
{
    uint64_t none = 0;
    if (!may_make_thread(group) ||
        !atomic_compare_exchange_strong(&group->idle, &none, NSM_IDLE_SEARCHER))
        return;
    call(group);
    make_thread(group);
    nsm_group_announce_done(group);
}

void nsm_group_find_threads(struct nsm_group *group)
{
    if (!wake_searcher(group))
        make_searcher(group);
    /* No thread at all, and none to come: the last of the submitters that find this does all the work. */
    size_t index = 0;
    while (group->n_threads == 0 && group->n_making == 0 && take_task(group, &index)) {
        const struct nsm_group_record *const record = nsm_group_record_at(group, index);
        nsm_group_run_here(group, index, record->fn, record->arg);
        atomic_fetch_sub(&group->slots, 1);
        pthread_cond_broadcast(&group->slot_free);
        nsm_group_announce_done(group);
    }
}

/* A searcher has taken a task. */
static void stop_searching(struct nsm_group *group)
{
    atomic_fetch_sub(&group->idle, NSM_IDLE_SEARCHER);
    if (wake_searcher(group) || atomic_load(&group->n_threads) >= group->limit)
        return;
    pthread_mutex_lock(&group->lock);
    make_searcher(group);
    pthread_mutex_unlock(&group->lock);
}

/* Looks at the queue for a few microseconds: waking a thread takes longer than that. */
static bool spin_for_task(const struct nsm_group *group)
{
    for (int i = 0; i < NSM_GROUP_SPINS; i++) {
        if (!is_queue_empty(group))
            return true;
        nsm_group_spin();
    }
    return false;
}

/* The same for a thread without office; one of them at a time. */
static bool spin_without_office(struct nsm_group *group)
{
    if (atomic_exchange(&group->is_spinning, true))
        return false;
    const bool is_seen = spin_for_task(group);
    atomic_store(&group->is_spinning, false);
    return is_seen;
}

/* For the searcher: returns when it has to take a task, or when there is nothing to do for anyone. */
static void watch(struct nsm_group *group)
{
    size_t tail = atomic_load(&group->called_tail);
    size_t head = atomic_load(&group->head);
    if (head < tail)
        return;
    atomic_fetch_or(&group->idle, NSM_IDLE_WATCHING);
    for (;;) {
        const unsigned pokes = atomic_load(&group->pokes);
        if (is_alone(group, atomic_load(&group->idle)))
            break;
        tail = atomic_load(&group->tail);
        nsm_futex_wait(&group->pokes, pokes, nsm_now_ns() + MOMENT_NS);
        const size_t head_before = head;
        head = atomic_load(&group->head);
        const bool is_idle = head == head_before && is_queue_empty(group);
        if (head < tail || is_idle || atomic_load(&group->pokes) != pokes)
            break;
    }
    atomic_fetch_and(&group->idle, ~NSM_IDLE_WATCHING);
}

/* Sleeps until it is made a searcher; false when the group closes. */
static bool sleep_until_appointed(struct nsm_group *group)
{
    unsigned wakes = atomic_load(&group->wakes);
    for (;;) {
        if (wakes & NSM_WAKES_CLOSING)
            return false;
        if (wakes == 0) {
            nsm_futex_wait(&group->wakes, 0, NSM_NEVER);
            wakes = atomic_load(&group->wakes);
        } else if (atomic_compare_exchange_weak(&group->wakes, &wakes, wakes - 1)) {
            return true;
        }
    }
}

/* Becomes the searcher when there is none, else a sleeper. Returns whether it is the searcher. */
static bool become_searcher(struct nsm_group *group)
{
    uint64_t idle = atomic_load(&group->idle);
    for (;;) {
        const bool is_searcher = idle < NSM_IDLE_SEARCHER;
        const uint64_t added = is_searcher ? NSM_IDLE_SEARCHER : 1;
        if (atomic_compare_exchange_weak(&group->idle, &idle, idle + added))
            return is_searcher;
    }
}

/* The queue was empty. Returns when it may not be any more; false when the group closes. */
static bool look_for_task(struct nsm_group *group, bool *is_searcher)
{
    if (!*is_searcher && spin_without_office(group))
        return true;
    *is_searcher = *is_searcher || become_searcher(group);
    if (*is_searcher) {
        if (spin_for_task(group)) {
            call(group);
            return true;
        }
        atomic_fetch_sub(&group->idle, NSM_IDLE_SEARCHER - 1);
    }
    /* A task that came before we slept may have called nobody, as we were there. */
    (void)wake_searcher(group);
    *is_searcher = true;
    return sleep_until_appointed(group);
}

static void *run_worker(void *arg)
{
    struct nsm_group *const group = arg;
    const struct frame frame = {.group = group};
    current_frame = &frame;
    bool is_searcher = true;
    for (;;) {
        if (is_searcher)
            watch(group);
        size_t index = 0;
        const bool has_task = take_task(group, &index);
        if (has_task && is_searcher) {
            stop_searching(group);
            is_searcher = false;
        }
        let_submitters_in(group);
        if (has_task) {
            run_queued(group, index);
            give_slot_back(group);
        } else if (!look_for_task(group, &is_searcher)) {
            break;
        }
    }
    current_frame = NULL;
    return NULL;
}
