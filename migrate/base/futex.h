/*
 * Linux's futex: sleeping until a word changes, with nothing to lock on waking up. A condition variable makes each
 * of a thousand threads that it wakes take its mutex, one after the other; these sleepers just go.
 *
 * The word carries the truth and the sleeper looks at it again: both calls may wake too often, never too rarely.
 */
#ifndef NSM_BASE_FUTEX_H
#define NSM_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word is `value`, until woken or until `until_ns` (as nsm_now_ns(), NSM_NEVER: no end). Returns
 * also for no reason; errno is as before. */
void nsm_futex_wait(const atomic_uint *word, unsigned value, int64_t until_ns);

/* Wakes up to `n_sleepers` that sleep on `word`, which was changed before. */
void nsm_futex_wake(const atomic_uint *word, int n_sleepers);

#endif
