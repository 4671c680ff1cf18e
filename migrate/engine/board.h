/*
 * The board: where the tasks of a run publish their jobs (parts to copy, finish steps, parts to verify), so that no worker
 * idles while any job is left. The task that published them works on them; workers that no namespace waits for help with
 * whatever is there, the heaviest first. A task whose jobs are all in other hands helps with others' jobs meanwhile.
 *
 * Jobs of a work are ordered by phases: a phase begins when the one before is done. A job of phase 1 that names an object
 * may begin as soon as that object's jobs of phase 0 are done (an index is built while other tables are still copied).
 *
 * Connections are budgeted here: a job is only handed out when every store that it touches has one free, all or none, so
 * that no set of jobs can wait for each other in a circle.
 *
 * Threads: internally locked. A job is run with no lock held.
 */
#ifndef NSM_ENGINE_BOARD_H
#define NSM_ENGINE_BOARD_H

#include "migrate/base/context.h"

#include <stddef.h>

/* What a store can serve at once; changed under the board's lock only. */
struct nsm_budget {
    size_t n_free; /* connections */
    bool is_single_writer;
    bool has_writer; /* with is_single_writer: someone writes now */
};

#define NSM_JOB_NO_OBJECT SIZE_MAX

struct nsm_job {
    unsigned phase;
    size_t object;                             /* or NSM_JOB_NO_OBJECT */
    uint64_t weight;                           /* bytes, or whatever is comparable between works */
    size_t index;                              /* the owner's own */
    struct nsm_budget *reads_from, *writes_to; /* NULL: does not */
    bool is_queued;                            /* the board's: it is ready, or was */
};

struct nsm_work;
typedef struct nsm_error *nsm_job_fn(struct nsm_context *ctx, void *arg, const struct nsm_job *job);

/* The jobs of one task. Zeroed, then filled by the owner up to `ctx`; the rest is the board's. */
struct nsm_work {
    struct nsm_job *jobs; /* sorted by the board: by phase */
    size_t n_jobs;
    size_t n_objects; /* all jobs' objects are below it */
    nsm_job_fn *run;
    void *arg;
    struct nsm_context *ctx; /* what the jobs run under; cancelled when one of them fails */

    struct nsm_error *error; /* the first; the owner's after nsm_board_run */
    struct nsm_job **ready;  /* a heap: the latest phase first, then the heaviest */
    size_t n_ready;
    size_t n_running, n_open; /* jobs at work; jobs not done */
    unsigned phase;           /* the lowest that is not done */
    size_t phase_end;         /* index behind its last job */
    size_t n_open_in_phase;
    size_t n_done_early;      /* of the phase after it */
    size_t *n_open_of_object; /* phase 0 */
    size_t *early_at;         /* object -> where its jobs of phase 1 begin in `early` */
    size_t *early;            /* indexes of the jobs of phase 1 that name an object, by object */
    struct nsm_work *next;
};

struct nsm_board {
    pthread_mutex_t mutex; /* guards all below, and all works and budgets on it */
    pthread_cond_t changed;
    struct nsm_work *works;
    size_t n_tasks; /* namespaces that have not ended: helpers stay until there is none */
};

void nsm_board_init(struct nsm_board *board, size_t n_tasks);
void nsm_board_release(struct nsm_board *board);

/* Publishes `work` and returns when all its jobs are done, or one failed (its error), or the context ended or a stop was asked
 * for (NSM_E_CANCELED); none of its jobs runs any more then. Meanwhile works on jobs, its own first. */
struct nsm_error *nsm_board_run(struct nsm_board *board, struct nsm_work *work) NSM_MUST_USE;

/* Works on whatever is there until all tasks have ended or `ctx` ends. */
void nsm_board_help(struct nsm_board *board, struct nsm_context *ctx);

/* A task has ended. */
void nsm_board_retire(struct nsm_board *board);

/* Takes one connection of each store outside of a job (prepare, complete), waiting for it; either may be NULL. */
struct nsm_error *nsm_board_acquire(struct nsm_board *board, struct nsm_context *ctx,
                                    struct nsm_budget *reads_from, struct nsm_budget *writes_to)
    NSM_MUST_USE;
void nsm_board_give_back(struct nsm_board *board, struct nsm_budget *reads_from,
                         struct nsm_budget *writes_to);

#endif
