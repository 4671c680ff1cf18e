/*
 * What only the group itself and its tests see: how it makes threads, so that a test can have the making fail.
 */
#ifndef NSM_BASE_GROUP_INTERNAL_H
#define NSM_BASE_GROUP_INTERNAL_H

#include "migrate/base/group.h"

#include <pthread.h>

/* As pthread_create() with default attributes: 0 or an error number. Called without any lock held, from any thread. */
typedef int nsm_thread_maker_fn(pthread_t *ret_thread, void *(*fn)(void *), void *arg);

/* Before the first task. */
void nsm_group_set_thread_maker(struct nsm_group *group, nsm_thread_maker_fn *maker);

#endif
