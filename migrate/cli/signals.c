/* See signals.h. SIGUSR1 of our own making wakes the thread for its end. */
#include "migrate/cli/signals.h"

#include "migrate/base/alloc.h"

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
}

static void *wait_for_signals(void *arg)
{
    struct nsm_signals *const signals = arg;
    unsigned nth = 0;
    while (!atomic_load(&signals->is_ending)) {
        int number = 0;
        if (sigwait(&signals->set, &number) != 0 || number == SIGUSR1)
            continue;
        int none = 0;
        atomic_compare_exchange_strong(&signals->received, &none, number);
        signals->fn(signals->arg, number, ++nth);
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
