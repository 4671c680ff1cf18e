/*
 * What happens in a migration, told to whoever listens: the command line's lines, its JSON, a test.
 * Numbers that change all the time are not events: nsm_migration_progress() has them whenever
 * someone looks.
 *
 * Threads: emit is called from any thread, with no lock of the engine held; events of one namespace
 * come in order. Strings live until emit returns. No event holds a secret.
 */
#ifndef NSM_ENGINE_EVENTS_H
#define NSM_ENGINE_EVENTS_H

#include <stdint.h>

enum nsm_event_kind {
    NSM_EVENT_RUN_STARTED,       /* text: "new run" or "taking up the run of <time>" */
    NSM_EVENT_SURVEYED,          /* all sources and destinations were looked at */
    NSM_EVENT_NAMESPACE_STARTED, /* text: its lane; n_records, n_bytes: of the census */
    NSM_EVENT_STEP,              /* text: prepare, copy, finish, verify */
    NSM_EVENT_PART_DONE, /* text: "table app.users 3/8"; n_records, n_bytes, seconds of the part */
    NSM_EVENT_RETRY,     /* text: the error, attempt and pause */
    NSM_EVENT_WARNING,   /* text */
    NSM_EVENT_NAMESPACE_ENDED, /* text: ok, failed, cancelled, skipped; error: its text or NULL;
                                  n_records, n_bytes, seconds */
    NSM_EVENT_RUN_ENDED,       /* text: ok, failed, cancelled, interrupted */
};
/* "run_started", ...; static: the names that the JSON lines carry as "event". */
const char *nsm_event_name(enum nsm_event_kind kind);

struct nsm_event {
    enum nsm_event_kind kind;
    int64_t at_ms;              /* Unix time */
    const char *namespace_name; /* NULL: of the run */
    const char *text;
    const char *error; /* NULL: none */
    uint64_t n_records, n_bytes;
    double seconds;
};

struct nsm_events {
    void (*emit)(void *arg, const struct nsm_event *event);
    void *arg;
};

#endif
