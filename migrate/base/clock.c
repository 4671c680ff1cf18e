/* Time and chance from the operating system. */
#include "migrate/base/clock.h"

#include <assert.h>
#include <stdbool.h>
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

/* SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014), per thread, from a seed of the
 * system's: arc4random_buf() asks the kernel each time, which a sample of a million keys can't afford. */
static uint64_t draw(void)
{
    static _Thread_local uint64_t state;
    static _Thread_local bool is_seeded;
    if (!is_seeded) {
        arc4random_buf(&state, sizeof state);
        is_seeded = true;
    }
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = state;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

uint64_t nsm_random_below(uint64_t bound)
{
    assert(bound > 0);
    /* What lies below 2^64 mod bound is drawn again, so that no remainder is likelier than another. */
    const uint64_t uneven = -bound % bound;
    uint64_t drawn = 0;
    do {
        drawn = draw();
    } while (drawn < uneven);
    return drawn % bound;
}
