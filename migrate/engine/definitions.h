/*
 * What stands around the records, compared by definition: two lists in order, merged.
 *
 * Threads: no state.
 */
#ifndef NSM_ENGINE_DEFINITIONS_H
#define NSM_ENGINE_DEFINITIONS_H

#include "migrate/engine/internal.h"

/* `mark`: '+' missing at the destination, '-' extra there, '*' different; then `definition` is the source's. */
typedef void nsm_definitions_fn(void *arg, char mark, const struct nsm_definition *definition);

/* Calls `fn` for each difference, in order of kind and name. Sorts both. */
void nsm_definitions_merge(struct nsm_description *source, struct nsm_description *destination,
                           nsm_definitions_fn *fn, void *arg);

/* Whether the namespace's definitions are compared: both sides are of one kind, which describes them, and what stands at the
 * destination was made from the source, not merged into, and with all its columns. Counting alone compares none. */
bool nsm_definitions_are_compared(const struct nsm_ns *ns);

/* Compares those of one namespace and puts what differs where the report takes it from. */
struct nsm_error *nsm_definitions_compare(struct nsm_ns *ns, struct nsm_context *ctx) NSM_MUST_USE;

/* Brings those that differ to the destination, as far as its adapter can, and counts what still differs. */
struct nsm_error *nsm_definitions_mend(struct nsm_ns *ns, struct nsm_context *ctx,
                                       uint64_t *ret_n_left) NSM_MUST_USE;

/* The same as compare for all that were inspected, hundreds with one question to each store; what is wrong with one alone is its survey_error. */
struct nsm_error *nsm_definitions_compare_all(struct nsm_migration *migration,
                                              struct nsm_context *ctx) NSM_MUST_USE;

#endif
