/*
 * The engine's own view of a running migration, shared by its files and by nobody else:
 *
 *   migration.c   open, check, progress, reports
 *   survey.c      census of all sources, inspection of all destinations, lanes, findings
 *   run.c         ledger, group, order of things
 *   task.c        one namespace from its parts to its end
 *   copy.c        one part
 *   verify.c      both sides compared
 *   witness.c     what destinations may have lost that was acknowledged
 *   definitions.c what stands around the records, compared
 *   side.c        one of them read
 *   repair.c      what differs, mended
 */
#ifndef NSM_ENGINE_INTERNAL_H
#define NSM_ENGINE_INTERNAL_H

#include "migrate/engine/board.h"
#include "migrate/engine/layout.h"
#include "migrate/engine/ledger.h"
#include "migrate/engine/migration.h"

#include <stdatomic.h>

/* A backend of the plan, opened. */
struct nsm_store {
    const struct nsm_plan_backend *plan;
    const struct nsm_adapter *adapter;
    struct nsm_backend *backend; /* adapter->backend_size bytes */
    struct nsm_budget budget;    /* under the board's lock */
    bool is_open;
    bool is_source, is_destination; /* of some namespace */
    char *witness; /* run: what the adapter's `witness` said at the begin; NULL: none */
};

/* A namespace of the plan on its way. One thread at a time (its task's), but for the atomics and what `mutex` guards. */
struct nsm_ns {
    struct nsm_migration *migration;
    const struct nsm_plan_namespace *plan;
    struct nsm_store *source_store, *destination_store;

    /* survey */
    struct nsm_source source;
    struct nsm_columns columns; /* where the plan chooses some */
    struct nsm_layout_stage stage;
    struct nsm_destination destination;
    struct nsm_findings layout_findings;
    enum nsm_lane lane;
    const char *lane_name, *layout_name; /* for the report; "" while not chosen */
    bool is_surveyed, is_laid_out, is_inspected;
    bool
        is_as_it_was; /* rows that no conversion touches: to their own kind of store or an archive */
    struct nsm_error *survey_error; /* what was wrong with this one alone */

    /* run */
    enum nsm_step step; /* as the ledger has it */
    struct nsm_ledger_parts parts;
    size_t *object_of_part; /* index into the census */
    struct nsm_finish_plan finish;
    char *definition_path;
    struct nsm_context *ctx;
    struct nsm_group *group; /* the run's, to fail on its behalf */
    struct nsm_error *(*compare)(struct nsm_ns *ns, struct nsm_context *ctx); /* verify or repair */
    double earlier_seconds;

    /* for progress, read from any thread */
    _Atomic(const char *) step_text;
    _Atomic enum nsm_status status;
    _Atomic uint64_t n_records, n_bytes, n_skipped, n_vanished;
    _Atomic uint64_t total_records, total_bytes;
    _Atomic int64_t started_ns, ended_ns;
    _Atomic size_t n_copies_open; /* parts that are not done */

    pthread_mutex_t mutex;
    struct nsm_error *error; /* what it ended with; set once by the task */

    /* verify */
    struct nsm_difference *differences; /* strings on the heap */
    size_t n_differences, cap_differences;
    uint64_t n_missing, n_extra, n_different;
    uint64_t n_definitions; /* of these, not of records */
    uint64_t n_left;        /* repair: differences that are still there */
    bool was_done;
};

struct nsm_migration {
    struct nsm_plan *plan;
    const struct nsm_migration_options *options;
    struct nsm_store *stores; /* index by index the plan's backends */
    struct nsm_ns *namespaces;
    size_t n_namespaces;
    struct nsm_board board;
    struct nsm_ledger *ledger; /* run only */
    char *work_dir;            /* owned: a temporary one, without a ledger */
    char *run_id;
    bool is_resumed;
    struct nsm_group *group;                  /* of the run */
    struct nsm_checkpoint_index *checkpoints; /* what the destinations say, of an interrupted run */
};

/* ---- events ---- */

void nsm_emit(const struct nsm_migration *migration, const struct nsm_event *event);
/* STEP, WARNING and RETRY events of a namespace. */
void nsm_emit_text(const struct nsm_ns *ns, enum nsm_event_kind kind, const char *fmt, ...)
    NSM_PRINTF(3, 4);
/* Sets the step that progress shows, and tells it. `step` is static. */
void nsm_ns_enter(struct nsm_ns *ns, const char *step);

/* Calls `fn` until it succeeds, fails for good, or the plan's attempts are used up; tells RETRY events. `ns` may be NULL. */
typedef struct nsm_error *nsm_attempt_fn(struct nsm_context *ctx, void *arg);
struct nsm_error *nsm_attempt(const struct nsm_migration *migration, const struct nsm_ns *ns,
                              struct nsm_context *ctx, nsm_attempt_fn *fn, void *arg) NSM_MUST_USE;

/* Releases the destination of a namespace that has ended, and with it the claim that keeps other runs from it. */
void nsm_ns_give_up(struct nsm_ns *ns);

/* Frees what only the way of a namespace needed (census, parts, plans): ten thousand that have ended must not fill the memory. What the
 * report tells of an ended one stays. */
void nsm_ns_release(struct nsm_ns *ns);
/* What verify found is of no consequence any more. */
void nsm_ns_forget_differences(struct nsm_ns *ns);

/* ---- survey.c ---- */

/* Surveys the sources and inspects the destinations of all namespaces that are not done. An error ends everything; what is
 * wrong with one namespace alone is its survey_error. */
struct nsm_error *nsm_survey_all(struct nsm_migration *migration, struct nsm_context *ctx)
    NSM_MUST_USE;

/* NULL when run may go on with this namespace; else why not, all reasons in one error. */
struct nsm_error *nsm_ns_refusal(const struct nsm_ns *ns) NSM_MUST_USE;
/* The same for repair, which writes records alone. */
struct nsm_error *nsm_ns_repair_refusal(const struct nsm_ns *ns) NSM_MUST_USE;

/* Surveys what a destination wrote, into `ret` (zeroed by the caller, released with nsm_source_close). */
struct nsm_error *nsm_survey_written(struct nsm_ns *ns, struct nsm_context *ctx, unsigned flags,
                                     struct nsm_source *ret) NSM_MUST_USE;
void nsm_source_close(struct nsm_source *source);

/* The lane that both adapters have, the best first, when nothing is laid out; else record. */
enum nsm_lane nsm_lane_choose(const struct nsm_adapter *source,
                              const struct nsm_adapter *destination, bool is_laid_out);

/* ---- witness.c ---- */

/* Run only: what destinations say of themselves now, for what follows. */
struct nsm_error *nsm_witness_begin(struct nsm_migration *migration, struct nsm_context *ctx)
    NSM_MUST_USE;
/* Compares it with what was noted for the namespace by an earlier run, and takes `known` back where that differs. */
void nsm_witness_recall(struct nsm_ns *ns, struct nsm_ledger_namespace *known);
/* Notes it for the namespace, before its first row. */
void nsm_witness_note(const struct nsm_ns *ns);
/* After the last row: asks again. NSM_E_CORRUPT: a store says something else than at the begin. */
struct nsm_error *nsm_witness_end(struct nsm_migration *migration, struct nsm_context *ctx)
    NSM_MUST_USE;

/* ---- task.c, copy.c, verify.c ---- */

/* An nsm_task_fn; `arg` is the struct nsm_ns. */
struct nsm_error *nsm_task_run(struct nsm_context *ctx, void *arg) NSM_MUST_USE;
/* What a namespace that ended with `error` (NULL: none) came to: OK, CANCELLED or FAILED. */
enum nsm_status nsm_status_of(const struct nsm_error *error);

/* Copies what is left of a part, with retries. */
struct nsm_error *nsm_copy_part(struct nsm_ns *ns, struct nsm_context *ctx, size_t index)
    NSM_MUST_USE;

/* Compares both sides and fills the namespace's differences. NSM_VERIFY_AFTER_COPY: the source's digests are those of the copy. */
enum nsm_verify_flag {
    NSM_VERIFY_AFTER_COPY = 1 << 0,
    NSM_VERIFY_RECORDS = 1 << 1, /* also where the plan says that counting will do */
};
struct nsm_error *nsm_verify_ns(struct nsm_ns *ns, struct nsm_context *ctx, unsigned flags)
    NSM_MUST_USE;

struct nsm_compare;
struct nsm_compare_result;
/* The same, but changes nothing of the namespace but what was counted; keeps the first `n_kept` differences (0: as many as are
 * named). *ret NULL: both sides have the same digests; else the caller frees it. */
struct nsm_error *nsm_compare_ns(struct nsm_ns *ns, struct nsm_context *ctx, unsigned flags,
                                 size_t n_kept, struct nsm_compare **ret) NSM_MUST_USE;
/* Brings the destination to the source in what differs. */
struct nsm_error *nsm_repair_ns(struct nsm_ns *ns, struct nsm_context *ctx) NSM_MUST_USE;
/* Surveys all, calls `fn` for each namespace as a task, and fills the report. */
typedef struct nsm_error *nsm_compare_fn(struct nsm_ns *ns, struct nsm_context *ctx);
struct nsm_error *nsm_compare_all(struct nsm_migration *migration, struct nsm_context *ctx,
                                  nsm_compare_fn *fn, struct nsm_report *ret) NSM_MUST_USE;
/* Copies. */
void nsm_ns_add_difference(struct nsm_ns *ns, const struct nsm_difference *difference);
/* Puts what was found where the report takes it from, behind what it has of definitions. */
void nsm_verify_tell(struct nsm_ns *ns, const struct nsm_compare_result *result);

/* ---- checkpoints of the destinations ---- */

struct nsm_error *nsm_checkpoints_load(struct nsm_migration *migration, struct nsm_context *ctx)
    NSM_MUST_USE;
/* NULL when the destination has none for that part. */
const struct nsm_checkpoint *nsm_checkpoints_find(const struct nsm_migration *migration,
                                                  struct nsm_str part_id);
void nsm_checkpoints_free(struct nsm_checkpoint_index *index);
/* Asks the destination anew for one part, after a lost answer: copies into `arena`. *ret_is_found tells. */
struct nsm_error *nsm_checkpoint_ask(struct nsm_ns *ns, struct nsm_context *ctx,
                                     struct nsm_str part_id, struct nsm_arena *arena,
                                     struct nsm_checkpoint *ret, bool *ret_is_found) NSM_MUST_USE;

#endif
