/* The futex system call, which the C library does not wrap. */
#include "migrate/base/futex.h"

#include "migrate/base/clock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void nsm_futex_wait(const atomic_uint *word, unsigned value, int64_t until_ns)
{
    const int caller_errno = errno;
    const struct timespec until = {.tv_sec = until_ns / NSM_NS_PER_S,
                                   .tv_nsec = until_ns % NSM_NS_PER_S};
    /* Of the two waits, the one with a mask takes an absolute time, of the monotonic clock. */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                  until_ns == NSM_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    errno = caller_errno;
}

void nsm_futex_wake(const atomic_uint *word, int n_sleepers)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n_sleepers);
}
