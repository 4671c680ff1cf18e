/*
 * What the ledger notes and answers, as statements on its tables. All are nsm_ledger_apply_fn: they
 * run on the writer's thread, inside its transaction. Internal to the ledger.
 */
#ifndef NSM_ENGINE_LEDGER_ROWS_H
#define NSM_ENGINE_LEDGER_ROWS_H

#include "migrate/engine/ledger.h"
#include "migrate/engine/ledger_db.h"

/* ---- notes: one block of memory each, strings behind the struct ---- */

struct nsm_ledger_status_note {
    const char *name; /* NULL: the run's own */
    const char *status, *error;
    double seconds;
};
struct nsm_error *nsm_ledger_apply_status(struct nsm_ledger_db *db, void *status_note);

struct nsm_ledger_lane_note {
    const char *name, *lane;
};
struct nsm_error *nsm_ledger_apply_lane(struct nsm_ledger_db *db, void *lane_note);

struct nsm_ledger_witness_note {
    const char *name, *witness;
    bool is_doubt;
};
struct nsm_error *nsm_ledger_apply_witness(struct nsm_ledger_db *db, void *witness_note);

struct nsm_ledger_checkpoint_note {
    struct nsm_str name; /* the first part of the part's id */
    size_t index;
    struct nsm_checkpoint checkpoint;
};
struct nsm_error *nsm_ledger_apply_checkpoint(struct nsm_ledger_db *db, void *checkpoint_note);

/* ---- calls ---- */

struct nsm_ledger_step_call {
    const char *name;
    enum nsm_step step;
};
struct nsm_error *nsm_ledger_apply_step(struct nsm_ledger_db *db, void *step_call);

struct nsm_ledger_parts_call {
    const char *name;
    const struct nsm_census *census;
};
struct nsm_error *nsm_ledger_apply_parts(struct nsm_ledger_db *db, void *parts_call);

struct nsm_ledger_reset_call {
    const char *name, *object_schema, *object_name;
};
struct nsm_error *nsm_ledger_apply_reset(struct nsm_ledger_db *db, void *reset_call);

struct nsm_ledger_begin_call {
    const struct nsm_plan *plan;
    bool has_work; /* out: something of the plan is left to do */
};
struct nsm_error *nsm_ledger_apply_begin(struct nsm_ledger_db *db, void *begin_call);

struct nsm_error *nsm_ledger_apply_complete(struct nsm_ledger_db *db, void *unused);

/* Empties the ledger and writes a new run's first row; `run` has its run_id, fingerprint, times. */
struct nsm_error *nsm_ledger_apply_new_run(struct nsm_ledger_db *db, void *ledger_run);

/* ---- questions ---- */

struct nsm_ledger_get_call {
    const char *name;
    struct nsm_ledger_namespace *ret;
};
struct nsm_error *nsm_ledger_apply_get(struct nsm_ledger_db *db, void *get_call);

struct nsm_ledger_get_parts_call {
    const char *name;
    struct nsm_ledger_parts *ret;
};
struct nsm_error *nsm_ledger_apply_get_parts(struct nsm_ledger_db *db, void *get_parts_call);

struct nsm_ledger_run_call {
    struct nsm_ledger_run run; /* out; run_id NULL: there is no run */
    bool is_complete;          /* out */
    bool has_prepared;         /* out: something may stand at a destination */
};
/* The run's own row, without its namespaces. */
struct nsm_error *nsm_ledger_apply_read_run(struct nsm_ledger_db *db, void *run_call);
/* Its namespaces, into run_call->run. */
struct nsm_error *nsm_ledger_apply_read_namespaces(struct nsm_ledger_db *db, void *run_call);

#endif
