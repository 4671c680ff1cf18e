/*
 * Trying again: capped exponential backoff with jitter, in this one place and never inside an adapter. The attempts' errors fold
 * into one: "after 5 attempts in 31.2 s: ...".
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ENGINE_RETRY_H
#define NSM_ENGINE_RETRY_H

#include "migrate/engine/plan.h"

struct nsm_retry {
    unsigned max_attempts; /* in a row without progress; 1: never again */
    int64_t backoff_ms, max_backoff_ms;
    unsigned n_attempts;
    int64_t started_ns; /* of the first attempt without progress */
};

struct nsm_retry nsm_retry_of(const struct nsm_plan *plan);

/* There was progress since the last attempt: the count begins anew. */
void nsm_retry_progress(struct nsm_retry *retry);

/* Decides about a failed attempt. NULL: try again, after the pause that *ret_pause_ns gives (the caller sleeps, so that it can say so
 * first); `error` was consumed into `*ret_text` (may be NULL; the caller frees). Else the error to return. */
struct nsm_error *nsm_retry_decide(struct nsm_retry *retry, struct nsm_error *error,
                                   int64_t *ret_pause_ns, char **ret_text) NSM_MUST_USE;

#endif
