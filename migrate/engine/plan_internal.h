/*
 * What the files of the plan share and nobody else needs.
 *
 * Threads: one thread at a time, while the plan is made.
 */
#ifndef NSM_ENGINE_PLAN_INTERNAL_H
#define NSM_ENGINE_PLAN_INTERNAL_H

#include "migrate/engine/plan.h"
#include "migrate/engine/plan_keys.h"
#include "migrate/engine/plan_yaml.h"

/* An empty plan at that path: folder, default name, nothing else. Never NULL. */
struct nsm_plan *nsm_plan_new(const char *path) NSM_MUST_USE NSM_NONNULL;

/* Frees what a namespace owns outside of the plan's arena. */
void nsm_plan_namespace_release(struct nsm_plan_namespace *ns);
/* The same for all templates; there are none afterwards. */
void nsm_plan_drop_templates(struct nsm_plan *plan);

/* ---- plan_values.c: the values of one mapping ---- */

/* What is at work while a plan is loaded. */
struct nsm_plan_loader {
    const char *path;
    const struct nsm_adapter_source *adapters;
    struct nsm_plan *plan;
    struct nsm_arena scratch; /* until the plan is loaded: the tree, substituted texts */
    size_t substituted_bytes; /* that variables have brought so far */
    const struct nsm_plan_backend **by_name; /* the backends, sorted; in scratch */
};

/* One mapping and the two tables that its keys come from. */
struct nsm_plan_mapping {
    const struct nsm_yaml_node *node;
    const char *what;                  /* for messages: "source of redis" */
    const struct nsm_plan_table *core; /* the plan's own keys */
    const struct nsm_option *extra;    /* the adapter's; NULL: none */
    const char *extra_words;           /* "a|b": further keys, read by the caller; NULL: none */
};

/* The value of `key` in a mapping, NULL when it has none. */
const struct nsm_yaml_node *nsm_plan_find(const struct nsm_yaml_node *mapping, const char *key);

/* NSM_E_INVALID at the node's place unless it is of that kind. */
struct nsm_error *nsm_plan_expect(const struct nsm_plan_loader *loader,
                                  const struct nsm_yaml_node *node, const char *key,
                                  enum nsm_yaml_kind kind) NSM_MUST_USE;

/* The text of a scalar with its variables substituted, in scratch. An error names `key` and
 * `expected`. */
struct nsm_error *nsm_plan_text(struct nsm_plan_loader *loader, const struct nsm_yaml_node *node,
                                const char *key, const char *expected, struct nsm_str *ret)
    NSM_MUST_USE;

/* Reads all keys of a mapping: each must be known, given once, and its value be one. Sections are
 * only checked to be there when they must. *ret_extra is empty without an extra table. The caller
 * owns both. */
struct nsm_error *nsm_plan_read(struct nsm_plan_loader *loader,
                                const struct nsm_plan_mapping *mapping,
                                struct nsm_settings **ret_core, struct nsm_settings **ret_extra)
    NSM_MUST_USE;

/* ---- plan_load.c ---- */

/* Fills loader->plan from the tree. */
struct nsm_error *nsm_plan_load_tree(struct nsm_plan_loader *loader,
                                     const struct nsm_yaml_node *root) NSM_MUST_USE;

/* ---- plan_columns.c ---- */

/* The namespace's `columns`; `node` may be NULL. */
struct nsm_error *nsm_plan_load_columns(struct nsm_plan_loader *loader,
                                        const struct nsm_yaml_node *node,
                                        struct nsm_plan_namespace *ns) NSM_MUST_USE;
/* The destination's `key`, whose value is `text`. */
struct nsm_error *nsm_plan_load_key(struct nsm_plan_loader *loader,
                                    const struct nsm_yaml_node *node, struct nsm_str text,
                                    struct nsm_plan_namespace *ns) NSM_MUST_USE;
/* Once all names are filled in: whether the keys tell rows apart. */
struct nsm_error *nsm_plan_check_key(const struct nsm_plan *plan,
                                     const struct nsm_plan_namespace *ns) NSM_MUST_USE;
/* Appends both, for the fingerprint. */
void nsm_plan_write_columns(const struct nsm_plan_namespace *ns, struct nsm_buf *out);

/* ---- plan_check.c: what no single key can tell ---- */

/* NULL, or why `name` can't be a namespace's. */
struct nsm_error *nsm_plan_check_namespace_name(struct nsm_str name) NSM_MUST_USE;

/* No two namespaces may have one name or one destination; NSM_E_INVALID with both places. */
struct nsm_error *nsm_plan_check_unique(const struct nsm_plan *plan) NSM_MUST_USE;

/* Whether the namespace would be written to where it is read from. */
bool nsm_plan_is_onto_itself(const struct nsm_plan *plan, const struct nsm_plan_namespace *ns);

/* Fills plan->fingerprint. */
void nsm_plan_set_fingerprint(struct nsm_plan *plan);

#endif
