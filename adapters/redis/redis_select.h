/*
 * Which namespaces a key belongs to: a prefix tree, laid out as a sorted array in which each prefix
 * points to the longest shorter one that it begins with. A key is found by one binary search and a
 * walk up; where prefixes nest, it belongs to all of them.
 *
 * Threads: immutable after nsm_redis_tree_build().
 */
#ifndef NSM_ADAPTERS_REDIS_SELECT_H
#define NSM_ADAPTERS_REDIS_SELECT_H

#include "adapters/adapter.h"
#include "migrate/base/buf.h"
#include "migrate/base/str.h"

/* The keys that begin with `prefix` and whose rest matches `glob` (if there is one). Both
 * borrowed. */
struct nsm_redis_selector {
    struct nsm_str prefix;
    struct nsm_str glob; /* of the rest of the key; ptr NULL: any rest */
};

/* What a plan's `source` selects. */
struct nsm_redis_selector nsm_redis_source_selector(const struct nsm_settings *selection);

/* What a destination writes: everything under its prefix, as far as is known. */
struct nsm_redis_selector nsm_redis_destination_selector(const struct nsm_destination *destination);
/* The prefix that the keys of a destination begin with. */
struct nsm_str nsm_redis_destination_prefix(const struct nsm_destination *destination);

bool nsm_redis_selector_matches(const struct nsm_redis_selector *selector, struct nsm_str key);

/* The pattern for SCAN MATCH; empty when every key is selected. */
void nsm_redis_selector_pattern(const struct nsm_redis_selector *selector, struct nsm_buf *out);

struct nsm_redis_tree {
    struct nsm_redis_node *nodes; /* in order of prefix; equal ones beside each other */
    size_t n_nodes;
};

/* `selectors` must outlive the tree. */
void nsm_redis_tree_build(struct nsm_redis_tree *tree, const struct nsm_redis_selector *selectors,
                          size_t n_selectors);
void nsm_redis_tree_release(struct nsm_redis_tree *tree);

/* Called with the index of each selector that matches. */
typedef void nsm_redis_match_fn(void *arg, size_t selector, struct nsm_str key);
void nsm_redis_tree_find(const struct nsm_redis_tree *tree, struct nsm_str key,
                         nsm_redis_match_fn *fn, void *arg);

#endif
