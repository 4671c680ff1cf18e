/* See signals.h. SIGUSR1 of our own making wakes the thread for its end. */
#include "migrate/cli/signals.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct nsm_signals {
    pthread_t thread;
    sigset_t set;
    nsm_signal_fn *fn;
    void *arg;
    atomic_bool is_ending;
    atomic_int received;
};

static sigset_t awaited(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    struct sigaction hangup;
    const bool is_ignored = sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    if (!is_ignored)
        sigaddset(&set, SIGHUP);
    return set;
}

void nsm_signals_block(void)
{
    const sigset_t set = awaited();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

/* The number of the next signal; 0 when none came before `until_ns`. */
static int next_signal(const struct nsm_signals *signals, int64_t until_ns)
{
    const int64_t left_ns = until_ns - nsm_now_ns();
    if (until_ns != NSM_NEVER && left_ns <= 0)
        return 0;
    const struct timespec left = {.tv_sec = left_ns / NSM_NS_PER_S,
                                  .tv_nsec = left_ns % NSM_NS_PER_S};
    const int number = until_ns == NSM_NEVER ? sigwaitinfo(&signals->set, NULL)
                                             : sigtimedwait(&signals->set, NULL, &left);
    return number > 0 ? number : 0;
}

static void *wait_for_signals(void *arg)
{
    struct nsm_signals *const signals = arg;
    unsigned nth = 0;
    int64_t grace_ends_ns = NSM_NEVER;
    while (!atomic_load(&signals->is_ending)) {
        const int number = next_signal(signals, grace_ends_ns);
        if (number == 0 && nsm_now_ns() >= grace_ends_ns) {
            grace_ends_ns = NSM_NEVER;
            signals->fn(signals->arg, atomic_load(&signals->received), 0);
        }
        if (number == 0 || number == SIGUSR1)
            continue;
        if (nth++ == 0) {
            atomic_store(&signals->received, number);
            grace_ends_ns = nsm_now_ns() + NSM_SIGNAL_GRACE_MS * NSM_NS_PER_MS;
        }
        signals->fn(signals->arg, number, nth);
    }
    return NULL;
}

struct nsm_error *nsm_signals_start(nsm_signal_fn *fn, void *arg, struct nsm_signals **ret)
{
    struct nsm_signals *const signals = nsm_xcalloc(1, sizeof(*signals));
    signals->set = awaited();
    signals->fn = fn;
    signals->arg = arg;
    const int error = pthread_create(&signals->thread, NULL, wait_for_signals, signals);
    if (error) {
        free(signals);
        errno = error;
        return nsm_error_new(NSM_E_IO, "make a thread for signals: %m");
    }
    *ret = signals;
    return NULL;
}

void nsm_signals_free(struct nsm_signals *signals)
{
    if (!signals)
        return;
    atomic_store(&signals->is_ending, true);
    pthread_kill(signals->thread, SIGUSR1);
    pthread_join(signals->thread, NULL);
    free(signals);
}

int nsm_signals_received(const struct nsm_signals *signals)
{
    return atomic_load(&signals->received);
}

const char *nsm_signal_name(int number)
{
    switch (number) {
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    case SIGHUP:
        return "SIGHUP";
    default:
        return "a signal";
    }
}
