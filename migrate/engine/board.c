/* See board.h. One lock for all: it is held for list work only, and a job is a part of megabytes. */
#include "migrate/engine/board.h"

#include "migrate/base/alloc.h"

#include <assert.h>

void nsm_board_init(struct nsm_board *board, size_t n_tasks)
{
    *board = (struct nsm_board){.n_tasks = n_tasks};
    pthread_mutex_init(&board->mutex, NULL);
    pthread_cond_init(&board->changed, NULL);
}

void nsm_board_release(struct nsm_board *board)
{
    assert(board->works == NULL);
    pthread_cond_destroy(&board->changed);
    pthread_mutex_destroy(&board->mutex);
}

/* ---- budgets; all under the lock ---- */

static bool can_take(const struct nsm_budget *reads_from, const struct nsm_budget *writes_to)
{
    const size_t n_for_both = reads_from == writes_to ? 2 : 1;
    if (reads_from && reads_from->n_free < (writes_to ? n_for_both : 1))
        return false;
    if (writes_to && (writes_to->n_free < (reads_from ? n_for_both : 1) ||
                      (writes_to->is_single_writer && writes_to->has_writer)))
        return false;
    return true;
}

static void take_budget(struct nsm_budget *reads_from, struct nsm_budget *writes_to)
{
    if (reads_from)
        reads_from->n_free--;
    if (writes_to) {
        writes_to->n_free--;
        writes_to->has_writer = writes_to->is_single_writer;
    }
}

static void return_budget(struct nsm_budget *reads_from, struct nsm_budget *writes_to)
{
    if (reads_from)
        reads_from->n_free++;
    if (writes_to) {
        writes_to->n_free++;
        writes_to->has_writer = false;
    }
}

/* ---- the ready jobs of a work: a heap; all under the lock ---- */

/* A job of a later phase that is ready early goes first: whoever depends on it waits longest. */
static bool goes_before(const struct nsm_job *a, const struct nsm_job *b)
{
    if (a->phase != b->phase)
        return a->phase > b->phase;
    return a->weight != b->weight ? a->weight > b->weight : a->index < b->index;
}

static void push_ready(struct nsm_work *work, struct nsm_job *job)
{
    assert(!job->is_queued);
    job->is_queued = true;
    size_t at = work->n_ready++;
    while (at > 0 && goes_before(job, work->ready[(at - 1) / 2])) {
        work->ready[at] = work->ready[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    work->ready[at] = job;
}

static void pop_ready(struct nsm_work *work)
{
    struct nsm_job *const last = work->ready[--work->n_ready];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= work->n_ready)
            break;
        if (child + 1 < work->n_ready && goes_before(work->ready[child + 1], work->ready[child]))
            child++;
        if (!goes_before(work->ready[child], last))
            break;
        work->ready[at] = work->ready[child];
        at = child;
    }
    work->ready[at] = last;
}

/* ---- phases; all under the lock ---- */

/* Begins the phase whose first job is at `begin`, and queues those of its jobs that were not queued early. */
static void begin_phase(struct nsm_work *work, size_t begin)
{
    work->phase = work->jobs[begin].phase;
    size_t end = begin;
    while (end < work->n_jobs && work->jobs[end].phase == work->phase) {
        if (!work->jobs[end].is_queued)
            push_ready(work, &work->jobs[end]);
        end++;
    }
    work->phase_end = end;
}

static bool is_early(const struct nsm_job *job)
{
    return job->phase == 1 && job->object != NSM_JOB_NO_OBJECT;
}

static void queue_early(struct nsm_work *work, size_t object)
{
    for (size_t at = work->early_at[object]; at < work->early_at[object + 1]; at++) {
        struct nsm_job *const job = &work->jobs[work->early[at]];
        if (!job->is_queued)
            push_ready(work, job);
    }
}

/* Groups the jobs of phase 1 by object (a counting sort), so that the end of an object finds its own at once. */
static void index_early_jobs(struct nsm_work *work)
{
    work->early_at = nsm_xcalloc(work->n_objects + 2, sizeof(*work->early_at));
    work->early = nsm_xcalloc(work->n_jobs + 1, sizeof(*work->early));
    size_t *const begin = work->early_at + 1; /* shifted by one while filling */
    for (size_t at = 0; at < work->n_jobs; at++)
        if (is_early(&work->jobs[at]))
            begin[work->jobs[at].object]++;
    size_t sum = 0;
    for (size_t object = 0; object <= work->n_objects; object++) {
        const size_t n = begin[object];
        begin[object] = sum;
        sum += n;
    }
    for (size_t at = 0; at < work->n_jobs; at++)
        if (is_early(&work->jobs[at]))
            work->early[begin[work->jobs[at].object]++] = at;
}

static void count_open(struct nsm_work *work)
{
    work->n_open_of_object = nsm_xcalloc(work->n_objects + 1, sizeof(*work->n_open_of_object));
    for (size_t at = 0; at < work->n_jobs; at++) {
        const struct nsm_job *const job = &work->jobs[at];
        assert(job->object == NSM_JOB_NO_OBJECT || job->object < work->n_objects);
        if (job->phase == 0 && job->object != NSM_JOB_NO_OBJECT)
            work->n_open_of_object[job->object]++;
    }
}

static size_t n_of_phase(const struct nsm_work *work, unsigned phase)
{
    size_t n = 0;
    for (size_t at = 0; at < work->n_jobs && work->jobs[at].phase <= phase; at++)
        n += work->jobs[at].phase == phase;
    return n;
}

static int by_phase(const void *a, const void *b)
{
    const struct nsm_job *const left = a;
    const struct nsm_job *const right = b;
    if (left->phase != right->phase)
        return left->phase < right->phase ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* ---- works; all under the lock ---- */

static void publish(struct nsm_board *board, struct nsm_work *work)
{
    if (work->n_jobs > 0)
        qsort(work->jobs, work->n_jobs, sizeof(*work->jobs), by_phase);
    work->ready = nsm_xcalloc(work->n_jobs + 1, sizeof(struct nsm_job *));
    work->n_open = work->n_jobs;
    count_open(work);
    index_early_jobs(work);
    if (work->n_jobs > 0) {
        begin_phase(work, 0);
        work->n_open_in_phase = n_of_phase(work, work->phase);
        for (size_t object = 0; object < work->n_objects; object++)
            if (work->n_open_of_object[object] == 0 && work->phase == 0)
                queue_early(work, object);
    }
    work->next = board->works;
    board->works = work;
    pthread_cond_broadcast(&board->changed);
}

static void withdraw(struct nsm_board *board, struct nsm_work *work)
{
    struct nsm_work **at = &board->works;
    while (*at != work)
        at = &(*at)->next;
    *at = work->next;
    free(work->ready);
    free(work->n_open_of_object);
    free(work->early_at);
    free(work->early);
}

static bool accepts_workers(const struct nsm_work *work)
{
    return !work->error && !nsm_context_is_stopping(work->ctx);
}

/* The work's next job, when it can begin now. Only the top of the heap is looked at: a job that can't get its connections is
 * never above one that needs fewer (copying needs both sides, finishing one, and finishing goes first). */
static struct nsm_job *ready_job(const struct nsm_work *work)
{
    if (work->n_ready == 0 || !accepts_workers(work))
        return NULL;
    struct nsm_job *const job = work->ready[0];
    return can_take(job->reads_from, job->writes_to) ? job : NULL;
}

static struct nsm_work *heaviest_work(const struct nsm_board *board)
{
    struct nsm_work *best = NULL;
    for (struct nsm_work *work = board->works; work; work = work->next) {
        const struct nsm_job *const job = ready_job(work);
        if (job && (!best || job->weight > best->ready[0]->weight))
            best = work;
    }
    return best;
}

/* Goes on to the next phase that has anything left to do. */
static void advance_phase(struct nsm_work *work)
{
    while (work->n_open_in_phase == 0 && work->phase_end < work->n_jobs) {
        begin_phase(work, work->phase_end);
        work->n_open_in_phase = n_of_phase(work, work->phase) - work->n_done_early;
        work->n_done_early = 0;
    }
}

static void complete_job(struct nsm_work *work, const struct nsm_job *job)
{
    work->n_open--;
    if (job->phase == work->phase) {
        work->n_open_in_phase--;
        advance_phase(work);
    } else {
        work->n_done_early++;
    }
    if (job->phase == 0 && job->object != NSM_JOB_NO_OBJECT &&
        --work->n_open_of_object[job->object] == 0)
        queue_early(work, job->object);
}

/* Runs the top job of `work` with the lock released meanwhile. */
static void run_job(struct nsm_board *board, struct nsm_work *work)
{
    struct nsm_job *const job = work->ready[0];
    pop_ready(work);
    take_budget(job->reads_from, job->writes_to);
    work->n_running++;
    pthread_mutex_unlock(&board->mutex);
    struct nsm_error *const error = work->run(work->ctx, work->arg, job);
    const bool is_rest = nsm_error_is(error, NSM_E_CANCELED) && nsm_context_is_stopping(work->ctx);
    if (error && !is_rest) /* one that rests at a checkpoint leaves its siblings to theirs */
        nsm_context_cancel(work->ctx, NULL);
    pthread_mutex_lock(&board->mutex);
    work->n_running--;
    return_budget(job->reads_from, job->writes_to);
    if (!error) {
        complete_job(work, job);
    } else if (!work->error || (nsm_error_is(work->error, NSM_E_CANCELED) &&
                                !nsm_error_is(error, NSM_E_CANCELED))) {
        nsm_error_free(work->error);
        work->error = error;
    } else {
        nsm_error_ignore(error);
    }
    pthread_cond_broadcast(&board->changed);
}

static bool is_over(const struct nsm_work *work)
{
    return work->n_running == 0 && (work->n_open == 0 || !accepts_workers(work));
}

struct nsm_error *nsm_board_run(struct nsm_board *board, struct nsm_work *work)
{
    struct nsm_waker waker;
    nsm_waker_register(&waker, work->ctx, &board->mutex, &board->changed);
    pthread_mutex_lock(&board->mutex);
    publish(board, work);
    while (!is_over(work)) {
        struct nsm_work *const next = ready_job(work) ? work : heaviest_work(board);
        if (next)
            run_job(board, next);
        else
            pthread_cond_wait(&board->changed, &board->mutex);
    }
    withdraw(board, work);
    const bool is_done = work->n_open == 0;
    struct nsm_error *const error = NSM_STEAL(work->error);
    pthread_mutex_unlock(&board->mutex);
    nsm_waker_unregister(&waker);
    if (error || is_done)
        return error;
    return nsm_error_new(NSM_E_CANCELED, "stopped");
}

void nsm_board_help(struct nsm_board *board, struct nsm_context *ctx)
{
    struct nsm_waker waker;
    nsm_waker_register(&waker, ctx, &board->mutex, &board->changed);
    pthread_mutex_lock(&board->mutex);
    while (board->n_tasks > 0 && !nsm_context_is_stopping(ctx)) {
        struct nsm_work *const next = heaviest_work(board);
        if (next)
            run_job(board, next);
        else
            pthread_cond_wait(&board->changed, &board->mutex);
    }
    pthread_mutex_unlock(&board->mutex);
    nsm_waker_unregister(&waker);
}

void nsm_board_retire(struct nsm_board *board)
{
    pthread_mutex_lock(&board->mutex);
    assert(board->n_tasks > 0);
    board->n_tasks--;
    pthread_cond_broadcast(&board->changed);
    pthread_mutex_unlock(&board->mutex);
}

struct nsm_error *nsm_board_acquire(struct nsm_board *board, struct nsm_context *ctx,
                                    struct nsm_budget *reads_from, struct nsm_budget *writes_to)
{
    struct nsm_waker waker;
    nsm_waker_register(&waker, ctx, &board->mutex, &board->changed);
    pthread_mutex_lock(&board->mutex);
    while (!can_take(reads_from, writes_to) && !nsm_context_is_canceled(ctx))
        pthread_cond_wait(&board->changed, &board->mutex);
    struct nsm_error *const error = nsm_context_error(ctx);
    if (!error)
        take_budget(reads_from, writes_to);
    pthread_mutex_unlock(&board->mutex);
    nsm_waker_unregister(&waker);
    return error;
}

void nsm_board_give_back(struct nsm_board *board, struct nsm_budget *reads_from,
                         struct nsm_budget *writes_to)
{
    pthread_mutex_lock(&board->mutex);
    return_budget(reads_from, writes_to);
    pthread_cond_broadcast(&board->changed);
    pthread_mutex_unlock(&board->mutex);
}
