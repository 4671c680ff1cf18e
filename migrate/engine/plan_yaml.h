/*
 * YAML as far as a plan needs it: a tree of mappings, sequences and scalars, each with its line and
 * column. Whatever the bytes, parsing ends in time and memory that grow no faster than their
 * number, and with a message that says where: anchors and aliases, merge keys, tags, directives and
 * second documents are refused, depth and size are bounded, and duplicate keys are errors.
 *
 * Threads: no state; a tree is immutable.
 */
#ifndef NSM_ENGINE_PLAN_YAML_H
#define NSM_ENGINE_PLAN_YAML_H

#include "migrate/base/arena.h"
#include "migrate/base/error.h"

/* 10,000 namespaces, each with all keys, take about 3 MiB and 300,000 nodes. */
#define NSM_YAML_MAX_BYTES ((size_t)8 << 20)
#define NSM_YAML_MAX_NODES ((size_t)1 << 20)
#define NSM_YAML_MAX_DEPTH 32

enum nsm_yaml_kind {
    NSM_YAML_SCALAR,
    NSM_YAML_SEQUENCE,
    NSM_YAML_MAPPING,
};

struct nsm_yaml_node {
    enum nsm_yaml_kind kind;
    bool is_plain;         /* a scalar without quotes */
    unsigned line, column; /* from 1 */
    struct nsm_str text;   /* of a scalar; may hold NUL */
    /* A sequence's items, or a mapping's keys (scalars) and values by turns. */
    struct nsm_yaml_node **children;
    size_t n_children;
};

/* All of the tree lies in `arena`. NSM_E_INVALID: "PATH:LINE:COLUMN: what is wrong". */
struct nsm_error *nsm_yaml_parse(struct nsm_str yaml, const char *path, struct nsm_arena *arena,
                                 struct nsm_yaml_node **ret) NSM_MUST_USE;

/* NSM_E_INVALID with that place before the message. */
struct nsm_error *nsm_yaml_error(const char *path, unsigned line, unsigned column, const char *fmt,
                                 ...) NSM_PRINTF(4, 5) NSM_MUST_USE;

/* A scalar that YAML takes for no value: nothing at all, ~ or null, without quotes. */
bool nsm_yaml_is_null(const struct nsm_yaml_node *node);

/* "a mapping", "a sequence", "nothing", or the text in quotes: what was found, for messages. */
void nsm_yaml_describe(const struct nsm_yaml_node *node, struct nsm_buf *out);

#endif
