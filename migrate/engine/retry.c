/* See retry.h. */
#include "migrate/engine/retry.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

struct nsm_retry nsm_retry_of(const struct nsm_plan *plan)
{
    return (struct nsm_retry){
        .max_attempts = plan->retry_attempts,
        .backoff_ms = plan->retry_backoff_ms,
        .max_backoff_ms = plan->retry_max_backoff_ms,
        .started_ns = nsm_now_ns(),
    };
}

void nsm_retry_progress(struct nsm_retry *retry)
{
    retry->n_attempts = 0;
    retry->started_ns = nsm_now_ns();
}

/* backoff * 2^(attempts - 1), capped; then anything between half of it and all of it, so that many who failed together don't
 * come back together. */
static int64_t pause_ns(const struct nsm_retry *retry)
{
    int64_t pause_ms = retry->backoff_ms;
    for (unsigned n = 1; n < retry->n_attempts && pause_ms < retry->max_backoff_ms; n++)
        pause_ms *= 2;
    if (pause_ms > retry->max_backoff_ms)
        pause_ms = retry->max_backoff_ms;
    const int64_t whole_ns = pause_ms * NSM_NS_PER_MS;
    return whole_ns / 2 + (int64_t)nsm_random_below((uint64_t)(whole_ns / 2) + 1);
}

struct nsm_error *nsm_retry_decide(struct nsm_retry *retry, struct nsm_error *error,
                                   int64_t *ret_pause_ns, char **ret_text)
{
    retry->n_attempts++;
    if (!nsm_code_is_retryable(nsm_error_code(error)))
        return error;
    if (retry->n_attempts >= retry->max_attempts) {
        if (retry->n_attempts <= 1)
            return error;
        const double seconds = (double)(nsm_now_ns() - retry->started_ns) / (double)NSM_NS_PER_S;
        return nsm_error_wrap(error, "after %u attempts in %.1f s", retry->n_attempts, seconds);
    }
    *ret_pause_ns = pause_ns(retry);
    if (ret_text)
        *ret_text = nsm_error_text(error);
    nsm_error_free(error);
    return NULL;
}
