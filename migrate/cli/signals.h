/*
 * Signals, taken by one thread that waits for them, so that no code of ours ever runs inside a
 * handler. They are blocked in main before any thread is made, and all threads inherit that.
 *
 * Threads: start and free from one; received from any.
 */
#ifndef NSM_CLI_SIGNALS_H
#define NSM_CLI_SIGNALS_H

#include "migrate/base/error.h"

struct nsm_signals;

/* Called on the waiting thread for each SIGINT, SIGTERM and SIGHUP; `nth` counts from 1. Once more with the first one's number and
 * nth 0 when NSM_SIGNAL_GRACE_MS have passed since and the program still runs. */
typedef void nsm_signal_fn(void *arg, int number, unsigned nth);

/* How long a first signal lets everyone come to rest: whoever sent it waits two seconds at most. */
#define NSM_SIGNAL_GRACE_MS 1500

/* Blocks them for the calling thread and all that it makes, and ignores SIGPIPE and SIGXFSZ: a write to a
 * closed pipe, or to a file that may not grow, is an error like any other. A SIGHUP that was ignored (nohup) stays so. */
void nsm_signals_block(void);

/* After nsm_signals_block(). */
struct nsm_error *nsm_signals_start(nsm_signal_fn *fn, void *arg, struct nsm_signals **ret)
    NSM_MUST_USE;
void nsm_signals_free(struct nsm_signals *signals);
NSM_DEFINE_CLEANUP(struct nsm_signals, nsm_signals_free)

/* The number of the first one that came, 0 for none. */
int nsm_signals_received(const struct nsm_signals *signals);

/* "SIGTERM"; static. */
const char *nsm_signal_name(int number);

#endif
