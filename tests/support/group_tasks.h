/*
 * Tasks for the tests of the group, which record what they do in a struct that they share; and what is expected after.
 * Tasks only record: cmocka's assertions leave by longjmp and belong on the test's main thread.
 */
#ifndef NSM_TESTS_SUPPORT_GROUP_TASKS_H
#define NSM_TESTS_SUPPORT_GROUP_TASKS_H

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/group.h"
#include "migrate/base/group_internal.h"

#include <pthread.h>
#include <stdatomic.h>

/* What takes so long hangs, on any machine. */
#define NSM_HANG_NS (60 * NSM_NS_PER_S)

/* The limits that everything is tried at. */
#define NSM_TEST_LIMITS \
    {                   \
        1, 2, 4, 8, 64  \
    }

struct nsm_tasks {
    atomic_size_t n_running;
    atomic_size_t n_most; /* that ran at once */
    atomic_size_t n_begun;
    atomic_size_t n_ended;
    size_t n_expected; /* for those that wait for others */
    /* For tasks that work on what they belong to; borrowed. */
    struct nsm_group *group;
    struct nsm_context *parent;
    struct nsm_error *cause; /* that a task has seen; owned by the test */

    pthread_mutex_t mutex; /* guards n_arrived */
    pthread_cond_t cond;
    size_t n_arrived;
};

#define NSM_TASKS_INIT                                                       \
    {                                                                        \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER \
    }

/* Around the work of a task. */
void nsm_tasks_enter(struct nsm_tasks *tasks);
void nsm_tasks_leave(struct nsm_tasks *tasks);

/* Until as many tasks as expected have begun. */
void nsm_tasks_await_begun(const struct nsm_tasks *tasks);

/* Tasks; `arg` is the struct nsm_tasks. */
struct nsm_error *nsm_task_succeed(struct nsm_context *ctx, void *arg);
struct nsm_error *nsm_task_yield(struct nsm_context *ctx, void *arg);
struct nsm_error *nsm_task_fail(struct nsm_context *ctx, void *arg); /* NSM_E_IO "disk full" */
struct nsm_error *nsm_task_meet(struct nsm_context *ctx,
                                void *arg); /* returns when n_expected are in it at once */
struct nsm_error *nsm_task_block(struct nsm_context *ctx,
                                 void *arg); /* sleeps until the context ends */

/* Consumes the error, of which this is the whole text. */
void nsm_expect_error(struct nsm_error *error, enum nsm_code code, const char *text);

/* And that they are all there are. */
void nsm_expect_counts(const struct nsm_group *group, struct nsm_group_counts expected);

#endif
