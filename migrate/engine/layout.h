/*
 * How two models meet, and how a value of one store becomes a value of another: the stage between
 * reader and writer in lane `record`. It changes records, never the stores; nothing is coerced:
 * what the other side can't hold is an error that names the key, the column and the value's type
 * (never its content), or a REFUSAL at survey.
 *
 *   from \ to   rows                                      keys
 *   rows        values converted column by column         hash (a key per row), json (a string per
 *                                                         row), kv (rows in kv form back to keys)
 *   keys        kv (key, kind, value, expires_at),        unchanged
 *               columns (a hash per row)
 *
 * The kv table: key bytes (primary key), kind text, value bytes, expires_at timestamptz (null:
 * none). `value` is the string itself for a string, else the items as JSON (record/json.h). In
 * hash, NULL is an absent field; the row's key is `{table}:{primary key}`, a key of several
 * columns joined by ':' after '%' and ':' in its values (and in the table's name always) were
 * written as %25 and %3A; or what the plan's template makes of the row (key_template.h). The
 * destination's writer puts its prefix before every key.
 *
 * Threads: immutable once bound; apply may be called from many threads at once, each with its own
 * batches.
 */
#ifndef NSM_ENGINE_LAYOUT_H
#define NSM_ENGINE_LAYOUT_H

#include "migrate/engine/columns.h"

/* PostgreSQL's limit, and more than anyone reads. */
#define NSM_LAYOUT_MAX_FIELDS 1600

struct nsm_layout_stage {
    enum nsm_layout layout;          /* resolved: NSM_LAYOUT_DEFAULT when nothing is laid out */
    const struct nsm_census *source; /* borrowed; with the columns that the plan chose */
    const struct nsm_census *target; /* the destination's, after nsm_layout_bind */
    bool is_identity;                /* records pass as they are */
    bool is_same_adapter;            /* their values do */
    const struct nsm_pick
        *picks;              /* by object, of columns that the reader can't leave out; NULL: none */
    struct nsm_census shape; /* what inspect is given: the source as the layout has it */

    /* layout columns: the fields of all hashes, sorted once learning ends */
    struct nsm_arena field_arena;
    struct nsm_str *fields;
    size_t n_fields, cap_fields;
    bool has_expiry, has_binary_key, has_binary_value;

    /* layout kv from a table back to keys: where its columns are */
    size_t kv_columns[4];

    /* layouts hash and json: NULL: keys by the primary key */
    const struct nsm_key_template *key;
    size_t *key_columns; /* by piece */
    bool key_escapes[256];
};

/* Resolves the layout for these two models and makes the shape. `destination_models`: NSM_CAP_ROWS
 * | NSM_CAP_KEYS of its adapter (with both, the source's model is kept unless a layout is named).
 * `namespace_name` is the kv table's default name. What can't be laid out (a table without a
 * primary key to keys, ...) is a REFUSAL in shape.findings, with what to do. NSM_E_INVALID: a
 * layout that makes no sense for the two. The stage is to be released whatever the result. */
struct nsm_error *nsm_layout_init(struct nsm_layout_stage *stage, enum nsm_layout layout,
                                  const struct nsm_census *source, unsigned destination_models,
                                  const char *namespace_name) NSM_MUST_USE;
void nsm_layout_release(struct nsm_layout_stage *stage);

/* Keys by a template, which is borrowed, for layouts hash and json; after init. NSM_E_INVALID: it names no column of the table.
 * Where two rows could have one key: a REFUSAL in shape.findings. */
struct nsm_error *nsm_layout_set_key(struct nsm_layout_stage *stage,
                                     const struct nsm_key_template *key) NSM_MUST_USE;

/* Layout columns must see all hashes first, to know their fields: the caller reads the source once
 * and shows each batch, then ends. NSM_E_UNSUPPORTED names the key that is no hash, or whose field
 * can't name a column. */
bool nsm_layout_needs_fields(const struct nsm_layout_stage *stage);
struct nsm_error *nsm_layout_learn(struct nsm_layout_stage *stage, const struct nsm_batch *batch)
    NSM_MUST_USE;
void nsm_layout_end_learning(struct nsm_layout_stage *stage);

/* After inspect: pairs shape and target columns; adds a REFUSAL to `findings` for each pair of
 * types that no value of the one can take in the other (conversions that hold for some values only
 * are checked value by value). In TIME, OTHER and JSON the types' names count too. */
enum nsm_layout_flag {
    NSM_LAYOUT_SAME_ADAPTER = 1 << 0, /* values of like columns pass unchanged */
};
void nsm_layout_bind(struct nsm_layout_stage *stage, const struct nsm_census *target,
                     unsigned flags, struct nsm_findings *findings);

/* Turns the records of `in` (of source object `object`) into those of `out` (cleared by the caller,
 * lane RECORD), in target form. `out` may point into `in`, which therefore must live as long.
 * Copies resume and n_vanished; n_bytes is counted anew. NSM_E_UNSUPPORTED names key and column;
 * also for a key in slices (NSM_RECORD_MORE), which no layout can hold. */
struct nsm_error *nsm_layout_apply(const struct nsm_layout_stage *stage, size_t object,
                                   const struct nsm_batch *in, struct nsm_batch *out) NSM_MUST_USE;

/* The target object that records of source object `object` go to. */
size_t nsm_layout_target_object(const struct nsm_layout_stage *stage, size_t object);

/* ---- values (convert.c) ---- */

/* Converts one value to a column's type; the result may point to the input or into the arena.
 * NSM_E_UNSUPPORTED names the column and both types. */
struct nsm_error *nsm_value_convert(struct nsm_arena *arena, const struct nsm_value *value,
                                    const struct nsm_column *to, struct nsm_value *ret)
    NSM_MUST_USE;
/* Whether some value of the one type can be one of the other. */
bool nsm_type_may_convert(enum nsm_type from, enum nsm_type to);

/* An expiry as a timestamptz with milliseconds in canonical form, and back; false outside of what
 * a timestamptz holds (4713 BC to 294276 AD), or for a text that is not of that form. `out` holds
 * 40 bytes. */
bool nsm_expiry_format(int64_t expires_at_ms, char *out, size_t *ret_len);
bool nsm_expiry_parse(struct nsm_str text, int64_t *ret_ms);

#endif
