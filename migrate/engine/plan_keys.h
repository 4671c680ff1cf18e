/*
 * The plan's own keys, in tables like those that adapters bring for their options. Parsing,
 * messages, the JSON Schema and the test of the documentation all read these, so that none of them
 * can say something else.
 *
 * Threads: constant.
 */
#ifndef NSM_ENGINE_PLAN_KEYS_H
#define NSM_ENGINE_PLAN_KEYS_H

#include "adapters/adapter.h"

/* A key whose value is a mapping or a sequence with tables of its own. */
struct nsm_plan_section {
    const char *key; /* NULL ends a table */
    bool is_required;
    const char *help;
};

/* The values that a number, duration or size may take, both ends included. */
struct nsm_plan_range {
    const char *key; /* NULL ends a table */
    uint64_t min, max;
};

/* The names that a key may take, as a regular expression of JSON Schema (NULL: any), and the most
 * bytes of one. */
struct nsm_plan_pattern {
    const char *key; /* NULL ends a table */
    const char *pattern;
    size_t max_bytes;
};

struct nsm_plan_table {
    const char *what; /* what has these keys, for messages: "the plan", "source" */
    const char *help;
    const struct nsm_option *options;
    const struct nsm_plan_section *sections;
    const struct nsm_plan_range *ranges;
    const struct nsm_plan_pattern *patterns; /* NULL: none */
};

extern const struct nsm_plan_table nsm_plan_keys;
extern const struct nsm_plan_table nsm_plan_batch_keys;
extern const struct nsm_plan_table nsm_plan_retry_keys;
/* Beside the adapter's options. */
extern const struct nsm_plan_table nsm_plan_backend_keys;
extern const struct nsm_plan_table nsm_plan_namespace_keys;
/* Beside the selection's options. */
extern const struct nsm_plan_table nsm_plan_source_keys;
extern const struct nsm_plan_table nsm_plan_destination_keys;
/* Beside one of the keys that the adapter can list. */
extern const struct nsm_plan_table nsm_plan_for_each_keys;

#define NSM_PLAN_VERSION 1

/* Of the names that a plan gives, the most bytes. */
#define NSM_PLAN_NAME_MAX       64
#define NSM_PLAN_BACKEND_MAX    64
#define NSM_PLAN_NAMESPACE_MAX  200
#define NSM_PLAN_ALLOW_LOSS_MAX 64
/* How many columns of a table may be chosen: as many as SQLite's tables have at most. */
#define NSM_PLAN_COLUMNS_MAX 2000

/* The names of backends, which are keys. */
#define NSM_PLAN_BACKEND_PATTERN "^[A-Za-z0-9_.-]+$"

/* NULL when the table has no range for that key. */
const struct nsm_plan_range *nsm_plan_range_find(const struct nsm_plan_table *table,
                                                 const char *key);

#endif
