/*
 * How two models meet, and how a value of one store becomes a value of another: the stage between
 * reader and writer in lane `record`. It changes records, never the stores; nothing is coerced:
 * what the other side can't hold is an error that names the key, the column and the value's type
 * (never its content), or a REFUSAL at survey.
 *
 *   from \ to   rows                                   keys
 *   rows        values converted column by column      hash (a key per row), json (a string per
 * row), kv (rows in kv form back to the keys they came from) keys        kv (key, kind, value,
 * expires_at),     unchanged columns (a hash per row)
 *
 * The kv table: key bytes (primary key), kind text, value bytes, expires_at timestamptz (null:
 * none). `value` is the string itself for a string, else the items as JSON (record/json.h). In
 * hash, NULL is an absent field; the row's key is `{prefix}{table}:{primary key}`, a key of several
 * columns joined by ':' after '%' and ':' in its values were written as %25 and %3A.
 *
 * Threads: immutable after init; apply may be called from many threads at once, each with its own
 * batches.
 */
#ifndef NSM_ENGINE_LAYOUT_H
#define NSM_ENGINE_LAYOUT_H

#include "migrate/engine/plan.h"

struct nsm_layout_stage {
    enum nsm_layout layout; /* resolved: NSM_LAYOUT_DEFAULT when nothing is to be laid out */
    const struct nsm_census *source; /* borrowed */
    const struct nsm_census
        *target;      /* the destination's, after inspect; NULL until nsm_layout_bind */
    bool is_identity; /* records pass as they are */
    struct nsm_census
        shape; /* what inspect is given: the source's objects as the layout has them */
};

/* Resolves the layout for these two models and makes the shape. `destination_models`: NSM_CAP_ROWS
 * | NSM_CAP_KEYS of its adapter (with both, the source's model is kept unless a layout is named).
 * `namespace_name` is the kv table's default name. What can't be laid out (a table without a
 * primary key to keys, layout: hash between tables, ...) is a REFUSAL in shape.findings, with what
 * to do. NSM_E_INVALID: a layout that makes no sense for the two. */
struct nsm_error *nsm_layout_init(struct nsm_layout_stage *stage, enum nsm_layout layout,
                                  const struct nsm_census *source, unsigned destination_models,
                                  const char *namespace_name) NSM_MUST_USE;
void nsm_layout_release(struct nsm_layout_stage *stage);

/* After inspect: pairs shape and target columns; adds a REFUSAL to `findings` for each pair of
 * types that no value of the one can take in the other (conversions that hold for some values only
 * are checked value by value). `is_same_adapter`: values pass unchanged. */
void nsm_layout_bind(struct nsm_layout_stage *stage, const struct nsm_census *target,
                     bool is_same_adapter, struct nsm_findings *findings);

/* Turns the records of `in` (of source object `object`) into those of `out` (cleared by the caller,
 * lane RECORD), in target form. `out` may point into `in`, which therefore must live as long.
 * Copies resume, n_vanished, n_bytes is counted anew. A key in slices is gathered by the caller
 * first where the layout needs it whole (nsm_layout_needs_whole_keys). NSM_E_UNSUPPORTED names key
 * and column. */
struct nsm_error *nsm_layout_apply(const struct nsm_layout_stage *stage, size_t object,
                                   const struct nsm_batch *in, struct nsm_batch *out) NSM_MUST_USE;
bool nsm_layout_needs_whole_keys(const struct nsm_layout_stage *stage);

/* The target object that records of source object `object` go to. */
size_t nsm_layout_target_object(const struct nsm_layout_stage *stage, size_t object);

/* Converts one value to a column's type; the result may point to the input or into the arena.
 * NSM_E_UNSUPPORTED: "an int can't be a uuid", "2.5 ..." is never shown. */
struct nsm_error *nsm_value_convert(struct nsm_arena *arena, const struct nsm_value *value,
                                    const struct nsm_column *to, struct nsm_value *ret)
    NSM_MUST_USE;

#endif
