/*
 * Time and chance, in one place so that tests need neither sleep nor luck. Inside the program time
 * is monotonic nanoseconds in an int64_t; at the edges (plan, messages, stores) it is milliseconds.
 *
 * Threads: all functions may be called from any thread.
 */
#ifndef NSM_BASE_CLOCK_H
#define NSM_BASE_CLOCK_H

#include "migrate/base/cleanup.h"

#include <stdint.h>

#define NSM_NS_PER_MS INT64_C(1000000)
#define NSM_NS_PER_S  INT64_C(1000000000)
#define NSM_NEVER     INT64_MAX

/* Monotonic, from an arbitrary start. */
NSM_API int64_t nsm_now_ns(void);

/* Unix time. */
NSM_API int64_t nsm_wall_ms(void);

/* Uniform in [0, bound), for jitter and temporary names; not for secrets. `bound` > 0. */
NSM_API uint64_t nsm_random_below(uint64_t bound);

#endif
