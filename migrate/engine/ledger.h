/*
 * The ledger: the durable account of a run. A SQLite database (WAL) at `<plan
 * folder>/.nsmigrate/<plan name>/ledger.db`, mode 0600, written by one thread of its own, so that
 * workers never wait for its disk except where a note must be durable before they go on. Beside it
 * lie what adapters spill (nsm_backend.work_dir) and the lock.
 *
 * The lock is an open-file-description lock (fcntl F_OFD_SETLK) on `<folder>/lock`: it dies with
 * its holder, however that dies. The file holds the holder's pid, host and start time, for the
 * message of whoever is refused.
 *
 * What the destination itself says of a part wins over the ledger (design: checkpoints).
 *
 * Durable means one of two things here. Everything that is committed survives the death of the
 * process at any instant (kill -9): that costs no fsync, and is enough where a lost note costs a
 * repetition. What would cost more is also synced, and so survives the loss of power, with all that
 * was noted before it:
 *   begin, a new run        the run_id marks what is ours at the destination;
 *   set_step PREPARED       with the parts: rows may follow, and what replace did must not be done
 *                           again under them;
 *   set_step FINISHED       from here on the destination may forget its own checkpoints;
 *   reset_object            else a part could seem done whose rows were undone;
 *   set_complete, flush.
 * An fsync is about half a millisecond; calls that wait at the same time share one. What a loss of
 * power during prepare costs is a refusal (a conflict with what prepare has made), never data.
 *
 * Threads: internally locked; all functions from any thread, but open and close from one.
 */
#ifndef NSM_ENGINE_LEDGER_H
#define NSM_ENGINE_LEDGER_H

#include "adapters/adapter.h"
#include "migrate/engine/plan.h"

struct nsm_ledger;

enum nsm_ledger_flag {
    NSM_LEDGER_READ_ONLY = 1 << 0, /* for status: no lock is taken, nothing is created;
                                      NSM_E_NOTFOUND when there is none */
    NSM_LEDGER_FRESH = 1 << 1,     /* forget an earlier run: a new run_id, nothing done */
};

/*
 * Opens or creates the plan's ledger. Errors: NSM_E_CONFLICT, another run of this plan is at work
 * (says whose); NSM_E_IO, the folder can't be written, the disk is full (names the path);
 * NSM_E_CORRUPT, not a ledger, or damaged (says what to do: --fresh); NSM_E_UNSUPPORTED, of another
 * version of nsmigrate; NSM_E_INVALID: an interrupted run of another content of the plan is there
 * (its fingerprint differs; says to finish it with the old plan or to pass --fresh). A complete run with
 * another fingerprint is no obstacle, nor is one that ended before it prepared anything at a
 * destination: a new run begins.
 */
struct nsm_error *nsm_ledger_open(const struct nsm_plan *plan, unsigned flags,
                                  struct nsm_ledger **ret) NSM_MUST_USE;
/* Writes out what is pending, and closes. What could not be written is an error. */
struct nsm_error *nsm_ledger_close(struct nsm_ledger *ledger) NSM_MUST_USE;
/* For paths on which the error is of no consequence any more; accepts NULL. */
void nsm_ledger_free(struct nsm_ledger *ledger);
NSM_DEFINE_CLEANUP(struct nsm_ledger, nsm_ledger_free)

const char *nsm_ledger_run_id(
    const struct nsm_ledger *ledger); /* [a-z0-9]+, 16 characters, random */
const char *nsm_ledger_work_dir(
    const struct nsm_ledger *ledger); /* made; `.nsmigrate/<plan name>/work` */
bool nsm_ledger_is_resumed(
    const struct nsm_ledger *ledger); /* an earlier, interrupted run goes on */

/* ---- namespaces ---- */

enum nsm_step {
    NSM_STEP_NEW,
    NSM_STEP_SURVEYED,  /* its parts are in the ledger */
    NSM_STEP_PREPARING, /* prepare was begun: what stands at the destination may be ours */
    NSM_STEP_PREPARED,  /* destination objects are ours from here on */
    NSM_STEP_COPIED,
    NSM_STEP_FINISHED,
    NSM_STEP_DONE, /* verified too, if that was asked */
};
const char *nsm_step_name(enum nsm_step step);

struct nsm_ledger_namespace {
    char *name;
    enum nsm_step step;
    char *lane;   /* NULL before it was chosen */
    char *status; /* NULL while running: ok, failed, cancelled, skipped, interrupted */
    char *
        error; /* the last run's error, NULL for none; kept until the namespace is taken up again */
    uint64_t n_records, n_bytes;         /* copied, of all parts */
    uint64_t total_records, total_bytes; /* of the census */
    double seconds;                      /* spent on it, over all runs */
    uint64_t n_parts, n_parts_done;
    char *witness; /* see nsm_adapter.witness; NULL: none noted, or the run is complete */
};
void nsm_ledger_namespace_release(struct nsm_ledger_namespace *ns);

/* What the ledger knows of a namespace; NSM_STEP_NEW and zeros when it is new. The caller releases.
 */
struct nsm_error *nsm_ledger_get(struct nsm_ledger *ledger, const char *name,
                                 struct nsm_ledger_namespace *ret) NSM_MUST_USE;

/* Notes that are queued and become durable soon, in order. `seconds` are those of all runs together;
 * a status of NULL takes the namespace up again and leaves them as they were. */
void nsm_ledger_set_status(struct nsm_ledger *ledger, const char *name, const char *status,
                           const char *error, double seconds);
void nsm_ledger_set_lane(struct nsm_ledger *ledger, const char *name, const char *lane);

/* What the destination said of itself before the namespace's first row. Queued. */
void nsm_ledger_set_witness(struct nsm_ledger *ledger, const char *name, const char *witness);
/* The destination may have lost what it had acknowledged, and says `witness` now: what is finished is to be compared (the namespace
 * goes back to NSM_STEP_FINISHED), what is not is to be copied from the beginning (the progress of its parts is forgotten). Queued. */
void nsm_ledger_doubt(struct nsm_ledger *ledger, const char *name, const char *witness);

/* Moves a namespace to `step`; returns when that is durable. NSM_E_NOTFOUND: begin has not named it.
 */
struct nsm_error *nsm_ledger_set_step(struct nsm_ledger *ledger, const char *name,
                                      enum nsm_step step) NSM_MUST_USE;

/* ---- parts ---- */

/* A part as the ledger holds it; strings belong to the array below. */
struct nsm_ledger_part {
    size_t index; /* in the namespace: 0, 1, ... */
    const char *object_schema, *object_name, *object_version;
    struct nsm_str range;
    uint64_t n_records, n_bytes;      /* estimates */
    struct nsm_checkpoint checkpoint; /* part_id, and how far it is */
};
struct nsm_ledger_parts {
    struct nsm_arena arena;
    struct nsm_ledger_part *parts;
    size_t n_parts;
};
void nsm_ledger_parts_release(struct nsm_ledger_parts *parts);

/* "<namespace>/<index>", in the arena: the part's name in ledger and destination. */
struct nsm_str nsm_part_id(struct nsm_arena *arena, const char *namespace_name, size_t index);

/* The parts noted for a namespace, by index. */
struct nsm_error *nsm_ledger_get_parts(struct nsm_ledger *ledger, const char *name,
                                       struct nsm_ledger_parts *ret) NSM_MUST_USE;

/* Replaces the namespace's parts by those of the census, none done, and moves it to
 * NSM_STEP_SURVEYED, with the census's totals: one transaction, durable on return. */
struct nsm_error *nsm_ledger_set_parts(struct nsm_ledger *ledger, const char *name,
                                       const struct nsm_census *census) NSM_MUST_USE;

/* Notes a checkpoint. Queued: the destination has the data already, and a lost note costs a
 * repetition, not a record. With `is_done` it is written soon, else when the thread comes to it
 * (the last one of a part replaces those still queued). */
void nsm_ledger_put_checkpoint(struct nsm_ledger *ledger, const struct nsm_checkpoint *checkpoint);

/* Forgets the progress of the parts of one object (its source has changed). Durable on return. */
struct nsm_error *nsm_ledger_reset_object(struct nsm_ledger *ledger, const char *name,
                                          const char *object_schema, const char *object_name)
    NSM_MUST_USE;

/* ---- the run ---- */

/* The whole run is complete: the next run of an unchanged plan finds all done. Removes the work
 * folder's files. */
struct nsm_error *nsm_ledger_set_complete(struct nsm_ledger *ledger) NSM_MUST_USE;
bool nsm_ledger_is_complete(const struct nsm_ledger *ledger);

struct nsm_ledger_run {
    char *run_id, *fingerprint;
    char *status, *error;           /* status NULL: it is running; "interrupted" when it is not, and
                                       did not say how it ended */
    int64_t started_ms, updated_ms; /* Unix time */
    bool is_running;                /* someone holds the lock now */
    struct nsm_ledger_namespace *namespaces; /* in plan order of the last run */
    size_t n_namespaces;
};
/* For status. The caller releases. */
struct nsm_error *nsm_ledger_read_run(struct nsm_ledger *ledger, struct nsm_ledger_run *ret)
    NSM_MUST_USE;
void nsm_ledger_run_release(struct nsm_ledger_run *run);
void nsm_ledger_set_run_status(struct nsm_ledger *ledger, const char *status, const char *error);
/* At the begin of a run: the namespaces in plan order; what is new is added as NSM_STEP_NEW, what
 * the plan leaves out (--only) stays as it is, what is not done yet is taken up again (its status and
 * error are forgotten). A complete run is none any more if one of the plan's
 * namespaces is not done. Durable on return. */
struct nsm_error *nsm_ledger_begin(struct nsm_ledger *ledger, const struct nsm_plan *plan)
    NSM_MUST_USE;

/* Returns when all notes are durable, or with the error that kept one from it. Such an error sticks:
 * every later call returns it, and later notes are dropped. */
struct nsm_error *nsm_ledger_flush(struct nsm_ledger *ledger) NSM_MUST_USE;

#endif
