/*
 * A migration: a plan with its backends opened, and the things that can be done with it. What the
 * commands of the command line call.
 *
 *     nsm_migration_open      opens the backends, expands for_each, applies --only
 *     nsm_migration_check     health of all backends, in parallel
 *     nsm_migration_preview   survey alone
 *     nsm_migration_run       all steps; takes up an interrupted run
 *     nsm_migration_verify    compares both sides
 *     nsm_migration_repair    brings the destination to the source in what differs
 *     nsm_migration_free
 *
 * One of check, preview, run, verify and repair per migration object. Each fills a report whatever happens;
 * its error is the first one, which the report holds too (as text).
 *
 * Threads: one, but for nsm_migration_progress(), which any thread may call at any time between
 * open and free.
 */
#ifndef NSM_ENGINE_MIGRATION_H
#define NSM_ENGINE_MIGRATION_H

#include "migrate/engine/events.h"
#include "migrate/engine/plan.h"

struct nsm_migration;

struct nsm_migration_options {
    const struct nsm_events *events; /* may be NULL */
    const char *const *only;         /* names; NULL: all */
    size_t n_only;
    bool is_fresh;   /* run: forget an interrupted run */
    bool is_dry_run; /* repair: change nothing */
};

/* `plan` stays the caller's and is changed (expanded, reduced to `only`); it and `options` outlive
 * the migration. Connects only for for_each. */
struct nsm_error *nsm_migration_open(struct nsm_plan *plan, struct nsm_context *ctx,
                                     const struct nsm_migration_options *options,
                                     struct nsm_migration **ret) NSM_MUST_USE;
void nsm_migration_free(struct nsm_migration *migration);
NSM_DEFINE_CLEANUP(struct nsm_migration, nsm_migration_free)

enum nsm_status {
    NSM_STATUS_SKIPPED, /* not begun: it was cancelled before its turn */
    NSM_STATUS_RUNNING,
    NSM_STATUS_OK,
    NSM_STATUS_FAILED,
    NSM_STATUS_CANCELLED,   /* stopped because a sibling failed */
    NSM_STATUS_INTERRUPTED, /* of the whole run: by a signal */
};
/* "skipped", "running", "ok", "failed", "cancelled", "interrupted"; static. */
const char *nsm_status_name(enum nsm_status status);

/* ---- check ---- */

struct nsm_check_row {
    const char *backend, *adapter;
    struct nsm_health health; /* zeros when there is an error */
    struct nsm_error *error;
    double seconds;
};
struct nsm_check_report {
    struct nsm_check_row *rows; /* in plan order */
    size_t n_rows;
    size_t n_bad; /* with an error or a REFUSAL */
};
/* All at once, at most `workers`. An error only when the context ended; what is wrong with a
 * backend is in its row. */
struct nsm_error *nsm_migration_check(struct nsm_migration *migration, struct nsm_context *ctx,
                                      struct nsm_check_report *ret) NSM_MUST_USE;
void nsm_check_report_release(struct nsm_check_report *report);

/* ---- preview, run, verify ---- */

/* A record or a definition that differs: '+' missing at the destination, '-' extra there, '*' different. */
struct nsm_difference {
    char mark;
    bool is_definition;
    const char
        *object; /* of a record: its table, "" for keys; of a definition: its kind, as "index" */
    const char *key; /* for people; of a definition: its name */
};

struct nsm_report_object {
    const char *name;   /* as at the source: "app.users", or "" for keys */
    const char *target; /* as at the destination */
    const char *form; /* how the lane carries it: "binary", "text: column x has type hstore", "" */
    uint64_t n_records, n_bytes;
    bool is_exact;
};

struct nsm_report_namespace {
    const char *name;
    const char *source, *destination; /* backend names */
    enum nsm_status status;
    bool was_done;      /* an earlier run completed it */
    const char *lane;   /* "" before it was chosen */
    const char *layout; /* "" when records pass as they are */
    uint64_t n_records,
        n_bytes; /* preview: of the census; run: copied, by all runs; verify: compared */
    uint64_t n_skipped,
        n_vanished; /* stood there already (if_exists: skip); gone or expired when read */
    double seconds;
    char *error; /* NULL: none */
    /* preview (and run that refuses): */
    struct nsm_report_object *objects;
    size_t n_objects;
    const struct nsm_findings *source_findings, *destination_findings,
        *layout_findings; /* borrowed from the migration */
    bool would_fail; /* conflicts under if_exists: fail, refusals, losses that the plan does not
                        allow */
    double estimate_seconds;
    /* verify, repair: */
    struct nsm_difference *differences; /* the first ones */
    size_t n_differences;
    uint64_t n_missing, n_extra, n_different;
    uint64_t n_left; /* repair: of these, still there in the end */
};

struct nsm_report {
    struct nsm_arena arena;
    const char *plan;
    enum nsm_status status;
    double seconds;
    double estimate_seconds; /* preview: with the plan's workers */
    char *error;             /* the first one's whole chain, NULL: none */
    bool is_resumed;
    struct nsm_report_namespace *namespaces; /* in plan order */
    size_t n_namespaces;
    size_t n_would_fail;    /* preview */
    uint64_t n_differences; /* verify, repair: of all namespaces */
    uint64_t n_left;        /* repair */
};
/* Frees what the report owns; must come before the migration is freed. */
void nsm_report_release(struct nsm_report *report);

/* What run would do, without any change anywhere. A namespace that would fail is in the report, not
 * an error. */
struct nsm_error *nsm_migration_preview(struct nsm_migration *migration, struct nsm_context *ctx,
                                        struct nsm_report *ret) NSM_MUST_USE;

/*
 * Migrates. Errors: of the first namespace that failed (exit code 1); NSM_E_CANCELED when the
 * context was cancelled or stopped from outside; *ret_is_locked tells NSM_E_CONFLICT of a plan that
 * another process runs (exit code 5) from others.
 */
struct nsm_error *nsm_migration_run(struct nsm_migration *migration, struct nsm_context *ctx,
                                    struct nsm_report *ret, bool *ret_is_locked) NSM_MUST_USE;

/* Differences are in the report, not an error. */
struct nsm_error *nsm_migration_verify(struct nsm_migration *migration, struct nsm_context *ctx,
                                       struct nsm_report *ret) NSM_MUST_USE;

/*
 * Brings each destination to its source in the records that differ, and in definitions as far as its adapter can: missing ones are written, different ones replaced, extra ones
 * taken away (none under if_exists: merge; only missing ones are written under skip). Then compares again; what differs still, because
 * someone writes, is in n_left, not an error. Locked like run; NSM_E_INVALID when a run of the plan is not finished; NSM_E_UNSUPPORTED
 * when a destination can't take single records away.
 */
struct nsm_error *nsm_migration_repair(struct nsm_migration *migration, struct nsm_context *ctx,
                                       struct nsm_report *ret, bool *ret_is_locked) NSM_MUST_USE;

/* ---- progress ---- */

struct nsm_progress {
    const char *name;
    enum nsm_status status;
    const char *step;                    /* survey, prepare, copy, finish, verify, repair, or "" */
    uint64_t n_records, n_bytes;         /* so far, with what earlier runs copied */
    uint64_t total_records, total_bytes; /* of the census; 0: not known yet */
    int64_t started_ns;                  /* 0: not yet */
    int64_t ended_ns;                    /* 0: not yet */
};
size_t nsm_migration_size(const struct nsm_migration *migration); /* namespaces */
void nsm_migration_progress(const struct nsm_migration *migration, size_t index,
                            struct nsm_progress *ret);

#endif
