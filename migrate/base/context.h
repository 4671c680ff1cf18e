/*
 * A context: cancellation with its cause, a deadline, a parent; and a file descriptor that becomes
 * readable on cancellation, so that whatever blocks waits on its own descriptor and on this one,
 * and wakes at once.
 *
 * Two strengths. A *stop* asks everyone to come to rest at the next checkpoint; loops look at
 * nsm_context_is_stopping() between batches. A *cancel* ends every wait now. Both reach all
 * descendants; neither can be taken back.
 *
 * Threads: internally locked; all functions may be called from any thread. A child keeps its parent
 * alive.
 */
#ifndef NSM_BASE_CONTEXT_H
#define NSM_BASE_CONTEXT_H

#include "migrate/base/error.h"

#include <pthread.h>
#include <stdint.h>

struct nsm_context;

/* A child of `parent` (NULL: a root). Inherits its deadline, and its cancellation also when that
 * has already happened. */
NSM_API struct nsm_context *nsm_context_new(struct nsm_context *parent) NSM_MUST_USE NSM_NONNULL;

/* Drops the caller's hold. The context must not be waited on any more; children may still exist. */
NSM_API void nsm_context_free(struct nsm_context *ctx);
NSM_DEFINE_CLEANUP(struct nsm_context, nsm_context_free)

/* Cancels ctx and its descendants. Consumes `cause`; the first cause is kept, a later one is
 * dropped. NULL: no cause known. */
NSM_API void nsm_context_cancel(struct nsm_context *ctx, struct nsm_error *cause);

/* Asks ctx and its descendants to rest at the next checkpoint. */
NSM_API void nsm_context_stop(struct nsm_context *ctx);

/* Never later than the parent's. At the deadline every wait ends with NSM_E_TIMEOUT. `at_ns` as
 * nsm_now_ns(). */
NSM_API void nsm_context_set_deadline(struct nsm_context *ctx, int64_t at_ns);
NSM_API int64_t
nsm_context_deadline(const struct nsm_context *ctx); /* NSM_NEVER when there is none */

/* One atomic load each; cheap enough for every batch. Canceled includes a passed deadline. */
NSM_API bool nsm_context_is_canceled(const struct nsm_context *ctx);
NSM_API bool nsm_context_is_stopping(const struct nsm_context *ctx); /* stop or cancel */

/* NULL while ctx runs; else a new error: NSM_E_CANCELED "canceled" or NSM_E_TIMEOUT "deadline
 * exceeded". The cause is not part of it: it belongs to whoever failed, and is printed once. */
NSM_API struct nsm_error *nsm_context_error(const struct nsm_context *ctx) NSM_MUST_USE;

/* A copy of the cause (the nearest ancestor's that was cancelled), NULL when there is none; the
 * caller frees. */
NSM_API struct nsm_error *nsm_context_cause(const struct nsm_context *ctx) NSM_MUST_USE;

/* Readable from cancellation on; owned by ctx. A deadline does not make it readable: waits below
 * take it as a timeout. Made at first use, so that ten thousand contexts cost no descriptor. -1
 * when the process has no descriptor left. */
NSM_API int nsm_context_fd(struct nsm_context *ctx);

/* Waits until `fd` has one of `events` (POLLIN, POLLOUT), the context ends, or `timeout_ns` from
 * now has passed (NSM_NEVER: no timeout). NSM_E_CANCELED; NSM_E_TIMEOUT for either of the two
 * times. *ret_revents may be NULL. This is the one function under which all network I/O of the
 * program blocks. */
NSM_API struct nsm_error *nsm_wait_fd(struct nsm_context *ctx, int fd, short events,
                                      int64_t timeout_ns, short *ret_revents) NSM_MUST_USE;

/* Sleeps, or returns NSM_E_CANCELED / NSM_E_TIMEOUT (the context's deadline) as soon as the context
 * ends. A stop wakes it too, with NSM_E_CANCELED: who sleeps holds no batch. */
NSM_API struct nsm_error *nsm_sleep(struct nsm_context *ctx, int64_t ns) NSM_MUST_USE;

/*
 * Waiting on a condition variable under a context: register the pair once, then wait in a loop on
 * your predicate and on nsm_context_is_canceled(). Cancellation locks the mutex and broadcasts.
 * Both must outlive the registration. Neither register nor unregister may be called with the mutex
 * held.
 */
struct nsm_waker {
    struct nsm_context *ctx;
    pthread_mutex_t *mutex;
    pthread_cond_t *cond;
    struct nsm_waker *next, *prev; /* the context's own */
};
NSM_API void nsm_waker_register(struct nsm_waker *waker, struct nsm_context *ctx,
                                pthread_mutex_t *mutex, pthread_cond_t *cond);
NSM_API void nsm_waker_unregister(struct nsm_waker *waker);

#endif
