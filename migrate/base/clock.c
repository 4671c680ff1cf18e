/* Time and chance from the operating system. */
#include "migrate/base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec now = {0};
    /* Can't fail: both clocks that are asked for exist on every Linux. */
    (void)clock_gettime(id, &now);
    return now;
}

int64_t nsm_now_ns(void)
{
    const struct timespec now = read_clock(CLOCK_MONOTONIC);
    return (int64_t)now.tv_sec * NSM_NS_PER_S + now.tv_nsec;
}

int64_t nsm_wall_ms(void)
{
    const struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NSM_NS_PER_MS;
}

uint64_t nsm_random_below(uint64_t bound)
{
    assert(bound > 0);
    /* What lies below 2^64 mod bound is drawn again, so that no remainder is likelier than another. */
    const uint64_t uneven = -bound % bound;
    uint64_t drawn = 0;
    do {
        arc4random_buf(&drawn, sizeof drawn);
    } while (drawn < uneven);
    return drawn % bound;
}
