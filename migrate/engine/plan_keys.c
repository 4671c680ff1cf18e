/*
 * The tables of the plan's own keys. Help is one line, lower case and without a period, like an
 * adapter's.
 */
#include "migrate/engine/plan_keys.h"

#include "migrate/engine/plan.h"

static const struct nsm_option plan_options[] = {
    {.key = "version",
     .type = NSM_OPTION_U64,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the version of the plan's format: 1"},
    {.key = "name",
     .type = NSM_OPTION_STRING,
     .help = "names the ledger; lower case letters, digits and hyphens; default: from the file's "
             "name"},
    {.key = "workers",
     .type = NSM_OPTION_U64,
     .help = "how many threads work at once; default: the online CPUs"},
    {.key = "on_error",
     .type = NSM_OPTION_ENUM,
     .default_text = "cancel",
     .choices = "cancel|continue",
     .help = "whether the first namespace that fails cancels the others"},
    {0},
};
static const struct nsm_plan_section plan_sections[] = {
    {.key = "batch", .help = "how much travels at once"},
    {.key = "retry", .help = "what happens when a store can't be reached for a moment"},
    {.key = "backends", .is_required = true, .help = "the stores, each under a name of its own"},
    {.key = "namespaces", .is_required = true, .help = "what is moved, in this order"},
    {0},
};
static const struct nsm_plan_range plan_ranges[] = {
    {.key = "version", .min = NSM_PLAN_VERSION, .max = NSM_PLAN_VERSION},
    {.key = "workers", .min = 1, .max = 1024},
    {0},
};
static const struct nsm_plan_pattern plan_patterns[] = {
    {.key = "name", .pattern = "^[a-z0-9-]+$", .max_bytes = NSM_PLAN_NAME_MAX},
    {0},
};
const struct nsm_plan_table nsm_plan_keys = {
    .what = "the plan",
    .help = "what is moved from where to where",
    .options = plan_options,
    .sections = plan_sections,
    .ranges = plan_ranges,
    .patterns = plan_patterns,
};

static const struct nsm_plan_section no_sections[] = {{0}};
static const struct nsm_plan_range no_ranges[] = {{0}};

static const struct nsm_option batch_options[] = {
    {.key = "records",
     .type = NSM_OPTION_U64,
     .default_text = "1000",
     .help = "about how many records a batch holds"},
    {.key = "bytes",
     .type = NSM_OPTION_SIZE,
     .default_text = "4MiB",
     .help = "about how many bytes a batch holds; memory is workers x 2 x this"},
    {0},
};
static const struct nsm_plan_range batch_ranges[] = {
    {.key = "records", .min = 1, .max = 1000000},
    {.key = "bytes", .min = 1 << 10, .max = 1 << 30},
    {0},
};
const struct nsm_plan_table nsm_plan_batch_keys = {
    .what = "batch",
    .help = "how much travels at once",
    .options = batch_options,
    .sections = no_sections,
    .ranges = batch_ranges,
};

static const struct nsm_option retry_options[] = {
    {.key = "attempts",
     .type = NSM_OPTION_U64,
     .default_text = "5",
     .help = "how often a step is tried, the first time included"},
    {.key = "backoff",
     .type = NSM_OPTION_DURATION,
     .default_text = "200ms",
     .help = "the wait before the second attempt; it doubles each time"},
    {.key = "max_backoff",
     .type = NSM_OPTION_DURATION,
     .default_text = "10s",
     .help = "the longest wait between two attempts"},
    {0},
};
static const struct nsm_plan_range retry_ranges[] = {
    {.key = "attempts", .min = 1, .max = 1000},
    {.key = "backoff", .min = 0, .max = 86400000},
    {.key = "max_backoff", .min = 0, .max = 86400000},
    {0},
};
const struct nsm_plan_table nsm_plan_retry_keys = {
    .what = "retry",
    .help = "what happens when a store can't be reached for a moment",
    .options = retry_options,
    .sections = no_sections,
    .ranges = retry_ranges,
};

static const struct nsm_option backend_options[] = {
    {.key = "adapter",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the kind of store, see nsmigrate adapters"},
    {.key = "max_connections",
     .type = NSM_OPTION_U64,
     .help = "the most connections to this store at a time; default: from the workers"},
    {0},
};
static const struct nsm_plan_range backend_ranges[] = {
    {.key = "max_connections", .min = 1, .max = 10000},
    {0},
};
const struct nsm_plan_table nsm_plan_backend_keys = {
    .what = "backend",
    .help = "a store: an adapter and how to reach it",
    .options = backend_options,
    .sections = no_sections,
    .ranges = backend_ranges,
};

static const struct nsm_option namespace_options[] = {
    {.key = "name",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "a name of its own, for progress, ledger and --only"},
    {.key = "if_exists",
     .type = NSM_OPTION_ENUM,
     .default_text = "fail",
     .choices = "fail|replace|merge|skip",
     .help = "what happens when something stands at the destination already"},
    {.key = "verify",
     .type = NSM_OPTION_ENUM,
     .default_text = "digest",
     .choices = "digest|count|none",
     .help = "how both sides are compared after the copy"},
    {.key = "allow_loss",
     .type = NSM_OPTION_LIST,
     .help = "losses that preview names and that are accepted here, by their words"},
    {0},
};
static const struct nsm_plan_section namespace_sections[] = {
    {.key = "source", .is_required = true, .help = "what is read"},
    {.key = "destination",
     .is_required = true,
     .help = "where it is written; what is left out is as in the source"},
    {.key = "for_each", .help = "one namespace for each name that matches"},
    {.key = "columns",
     .help = "the columns that are moved: a list, or a mapping of names to those at the "
             "destination; of several tables, one of these below each table's name"},
    {0},
};
static const struct nsm_plan_pattern namespace_patterns[] = {
    {.key = "name", .max_bytes = NSM_PLAN_NAMESPACE_MAX},
    {.key = "allow_loss", .pattern = "^[a-z0-9-]+$", .max_bytes = NSM_PLAN_ALLOW_LOSS_MAX},
    {0},
};
const struct nsm_plan_table nsm_plan_namespace_keys = {
    .what = "namespace",
    .help = "one logical data set that is moved",
    .options = namespace_options,
    .sections = namespace_sections,
    .ranges = no_ranges,
    .patterns = namespace_patterns,
};

static const struct nsm_option source_options[] = {
    {.key = "backend",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the store that is read, by its name under backends"},
    {0},
};
const struct nsm_plan_table nsm_plan_source_keys = {
    .what = "source",
    .help = "what is read",
    .options = source_options,
    .sections = no_sections,
    .ranges = no_ranges,
};

static const struct nsm_option destination_options[] = {
    {.key = "backend",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the store that is written, by its name under backends"},
    {.key = "layout",
     .type = NSM_OPTION_ENUM,
     .choices = "kv|columns|hash|json",
     .help = "how tables and keys meet; default: kv for keys to tables, hash for tables to keys"},
    {.key = "key",
     .type = NSM_OPTION_STRING,
     .help = "what rows are called as keys, behind the prefix, with columns in braces, as "
             "user:{id}; default: the table's name and the primary key"},
    {0},
};
const struct nsm_plan_table nsm_plan_destination_keys = {
    .what = "destination",
    .help = "where it is written; what is left out is as in the source",
    .options = destination_options,
    .sections = no_sections,
    .ranges = no_ranges,
};

static const struct nsm_option for_each_options[] = {
    {.key = "backend",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the store whose names are listed"},
    {0},
};
const struct nsm_plan_table nsm_plan_for_each_keys = {
    .what = "for_each",
    .help = "one namespace for each name that matches; {key} stands for the name",
    .options = for_each_options,
    .sections = no_sections,
    .ranges = no_ranges,
};

const struct nsm_plan_range *nsm_plan_range_find(const struct nsm_plan_table *table,
                                                 const char *key)
{
    for (const struct nsm_plan_range *range = table->ranges; range->key; range++) {
        if (strcmp(range->key, key) == 0)
            return range;
    }
    return NULL;
}
