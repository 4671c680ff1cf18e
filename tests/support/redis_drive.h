/*
 * Drives the operations of the adapter `redis` as the core does, in one thread: enough of a
 * migration to test the adapter without the engine.
 *
 * Threads: one thread at a time. Failures of the setting up are assertions of cmocka; those of
 * operations are returned.
 */
#ifndef NSM_TESTS_REDIS_DRIVE_H
#define NSM_TESTS_REDIS_DRIVE_H

#include "adapters/adapter.h"

/* A backend from pairs of key and value that end in NULL; `work_dir` is its own. Freed with
 * drive_close(). */
struct nsm_backend *drive_open(const char *work_dir, const char *const *pairs);
struct nsm_error *drive_try_open(const char *work_dir, const char *const *pairs,
                                 struct nsm_backend **ret);
void drive_close(struct nsm_backend *backend);

struct drive {
    struct nsm_backend *from, *to;
    const char *name;               /* of the namespace; NULL: "test" */
    const char *const *selection;   /* of the source: pairs that end in NULL; NULL: none */
    const char *const *destination; /* the same */
    enum nsm_lane lane;
    enum nsm_if_exists if_exists;
    bool is_ours;
    unsigned survey_flags;
    size_t part_bytes, batch_records, batch_bytes; /* 0: defaults */
    /* After so many batches (0: never) a signal goes to a process. */
    size_t signal_after_batches;
    int signal;
    int signal_pid;
    void (*on_batch)(void *arg, size_t n_batches); /* after each; NULL: nothing */
    void *on_batch_arg;
    size_t stop_after_batches; /* of the first part: then reads on with a new reader; 0: never */
    /* out */
    uint64_t n_records, n_bytes, n_skipped, n_vanished, n_slices, n_conflicts, n_refusals;
    size_t n_parts, n_batches, max_batch_bytes;
    struct nsm_digest digest; /* of what was read */
    char finding[512];        /* the last CONFLICT or REFUSAL */
};

/* Survey, inspect, prepare, and all parts from reader to writer. */
struct nsm_error *drive_run(struct drive *drive, struct nsm_context *ctx);

/* The digest of what drive_run's destination holds under its selection (lane record, to verify), by
 * a survey of what was written; `flags` of the survey. Records that `from` has are hashed too. */
struct nsm_error *drive_verify(struct drive *drive, struct nsm_context *ctx, unsigned flags,
                               struct nsm_digest *ret_source, struct nsm_digest *ret_destination);

#endif
