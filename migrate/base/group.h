/*
 * errgroup in C: tasks, a limit, a context. The first error cancels the rest; wait joins all and
 * returns it. The semantics are those of golang.org/x/sync/errgroup, with what its users ask for
 * besides:
 *
 *   - a task that has not begun when the group is cancelled does not begin (golang/go#61611);
 *   - a submitter that waits for a slot wakes on cancellation (golang/go#27837);
 *   - the first real error by time is the one that is returned: a sibling's "canceled", or a later
 * error, never takes its place; the others are counted and each task's outcome is kept, in the
 * order of submission;
 *   - misuse (go after wait, a limit changed while tasks run) is an assertion instead of a hang;
 *   - nsm_group_stop() is cancel and join.
 *
 * Tasks run on threads that the group makes as it needs them, at most `limit`, and reuses. When a
 * thread can't be made, the threads there are do the work; when there is none, go() runs the task
 * on the caller's thread: a group of a starved process is slower, never stuck.
 *
 * A slot comes back after a task whatever its end. No task outlives wait. A task may itself make a
 * group (nesting), and may call go and try_go of its own group; go from inside a task of the same
 * group with no slot free would wait for itself, so it then runs the task at once on the calling
 * thread.
 *
 * Lock order: a group's lock before its context's lock. A task's function is called with no lock
 * held; `arg` stays the submitter's and must live until wait returns.
 *
 * Threads: go, try_go, fail and cancel from any thread; new, set_limit, wait, stop, free and the
 * results from one.
 */
#ifndef NSM_BASE_GROUP_H
#define NSM_BASE_GROUP_H

#include "migrate/base/context.h"

#include <stddef.h>

struct nsm_group;

/* Runs without any lock held. Its error, if any, is the group's from then on. `ctx` is the group's
 * context. */
typedef struct nsm_error *nsm_task_fn(struct nsm_context *ctx, void *arg);

enum nsm_outcome {
    NSM_OUTCOME_NOT_STARTED, /* cancelled before it began */
    NSM_OUTCOME_RUNNING,
    NSM_OUTCOME_OK,
    NSM_OUTCOME_FAILED,
    NSM_OUTCOME_CANCELED, /* returned NSM_E_CANCELED after the group was cancelled */
};

enum nsm_on_error {
    NSM_ON_ERROR_CANCEL,   /* the first error cancels the group's context */
    NSM_ON_ERROR_CONTINUE, /* the siblings go on; wait still returns the first error */
};

/* `limit` tasks at a time, 0: the online CPUs. The group's context is a child of `parent` (NULL: a
 * root). */
NSM_API struct nsm_group *nsm_group_new(struct nsm_context *parent, size_t limit)
    NSM_MUST_USE NSM_NONNULL;

/* Joins what still runs after cancelling it, and frees everything. */
NSM_API void nsm_group_free(struct nsm_group *group);
NSM_DEFINE_CLEANUP(struct nsm_group, nsm_group_free)

/* Only while no task is running or waiting. */
NSM_API void nsm_group_set_limit(struct nsm_group *group, size_t limit);
NSM_API void nsm_group_set_on_error(struct nsm_group *group, enum nsm_on_error on_error);

NSM_API struct nsm_context *nsm_group_context(struct nsm_group *group); /* borrowed */

/* Starts a task, after waiting for a free slot. Returns its index, also when the group was
 * cancelled meanwhile and the task therefore will not begin (its outcome stays NOT_STARTED). */
NSM_API size_t nsm_group_go(struct nsm_group *group, nsm_task_fn *fn, void *arg);

/* The same without waiting: false when no slot is free or the group is cancelled; then nothing was
 * submitted. */
NSM_API bool nsm_group_try_go(struct nsm_group *group, nsm_task_fn *fn, void *arg) NSM_MUST_USE;

/* Records an error as a task's return would, without a task: for a worker that fails on behalf of
 * another. Consumes it. */
NSM_API void nsm_group_fail(struct nsm_group *group, struct nsm_error *error);

/* Cancels the group's context; `cause` is consumed and becomes the group's error if none came first
 * (may be NULL). */
NSM_API void nsm_group_cancel(struct nsm_group *group, struct nsm_error *cause);

/* Joins all tasks, cancels the context, and returns the first error by time (owned by the caller).
 * When all errors were cancellations that came from outside, returns NSM_E_CANCELED. After it only
 * the results and free may be used. */
NSM_API struct nsm_error *nsm_group_wait(struct nsm_group *group) NSM_MUST_USE;

/* nsm_group_cancel(NULL) and nsm_group_wait(). */
NSM_API struct nsm_error *nsm_group_stop(struct nsm_group *group) NSM_MUST_USE;

/* After wait: the outcomes, in the order of submission. */
struct nsm_group_counts {
    size_t n_ok, n_failed, n_canceled, n_not_started;
};
NSM_API size_t nsm_group_size(const struct nsm_group *group);
NSM_API enum nsm_outcome nsm_group_outcome(const struct nsm_group *group, size_t index);
NSM_API const struct nsm_error *nsm_group_task_error(const struct nsm_group *group,
                                                     size_t index); /* borrowed, or NULL */
NSM_API struct nsm_group_counts nsm_group_counts(const struct nsm_group *group);

/* The online CPUs, at least 1; respects the process's affinity mask. */
NSM_API size_t nsm_online_cpus(void);

#endif
