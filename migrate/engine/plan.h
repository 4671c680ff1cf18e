/*
 * A plan: what an operator wrote, checked and with all defaults filled in. The format is described
 * in plans/README.md; the keys are in tables (plan_keys.c for the plan's own, each adapter's for
 * its options), from which parsing, messages, the JSON Schema and the documentation's test all
 * come.
 *
 * A message about a mistake begins with its place: "move.yaml:12:5: ...". Whatever bytes a plan
 * holds, loading ends within bounded time and memory.
 *
 * Threads: immutable after load.
 */
#ifndef NSM_ENGINE_PLAN_H
#define NSM_ENGINE_PLAN_H

#include "adapters/adapter.h"
#include "migrate/base/group.h"
#include "migrate/engine/key_template.h"
#include "migrate/engine/record/settings.h"

enum nsm_verify_mode {
    NSM_VERIFY_DIGEST,
    NSM_VERIFY_COUNT,
    NSM_VERIFY_NONE,
};

/* How models meet. DEFAULT: tables to keys hash, keys to tables kv, same model to same model
 * nothing to lay out. */
enum nsm_layout {
    NSM_LAYOUT_DEFAULT,
    NSM_LAYOUT_KV,
    NSM_LAYOUT_COLUMNS,
    NSM_LAYOUT_HASH,
    NSM_LAYOUT_JSON,
};

struct nsm_plan_backend {
    const char *name;
    const struct nsm_adapter *adapter;
    struct nsm_settings *settings; /* of adapter->backend_options */
    size_t max_connections;        /* 0: from the workers */
    unsigned line, column;
};

struct nsm_plan_side {
    size_t backend; /* index into plan->backends */
    struct nsm_settings *selection;
    unsigned line, column;
};

/* A column that is moved, and its name at the destination. */
struct nsm_plan_column {
    const char *name, *to;
    unsigned line, column;
};

/* The columns of one table that are moved, in the order in which they stand there. */
struct nsm_plan_columns {
    const char *table; /* "app.users" or "users"; NULL: the one table of the source */
    struct nsm_plan_column *items;
    size_t n_items;
    unsigned line, column;
};

struct nsm_plan_namespace {
    const char *name;
    struct nsm_plan_side source, destination;
    enum nsm_layout layout;
    enum nsm_if_exists if_exists;
    enum nsm_verify_mode verify;
    const char **allow_loss; /* the words of findings that are allowed here */
    size_t n_allow_loss;
    struct nsm_plan_columns *columns; /* tables that are not named go whole */
    size_t n_columns;
    struct nsm_key_template key; /* how keys are made of rows; n_pieces 0: by the primary key */
    unsigned key_line, key_column;
    unsigned line, column;
};

/* One namespace per name that matches, found when the backends are open; see nsm_plan_expand(). */
struct nsm_plan_template {
    struct nsm_plan_namespace namespace; /* its name and settings hold "{key}" */
    size_t backend;
    const char *key; /* "schema": what is listed, and the placeholder */
    const char *glob;
    size_t position; /* how many plain namespaces stand before it in the plan */
};

struct nsm_plan {
    const char *path;   /* as given */
    const char *folder; /* absolute, of the plan file */
    const char *name;
    size_t workers; /* > 0 */
    enum nsm_on_error on_error;
    size_t batch_records, batch_bytes;
    unsigned retry_attempts;
    int64_t retry_backoff_ms, retry_max_backoff_ms;
    struct nsm_plan_backend *backends;
    size_t n_backends;
    struct nsm_plan_namespace *namespaces;
    size_t n_namespaces;
    struct nsm_plan_template *templates;
    size_t n_templates;
    char fingerprint[33]; /* of all that decides what is moved where; not of workers, batch, retry,
                             secrets */
    const char *const *only; /* names given to nsm_plan_only() while there were templates */
    size_t n_only;
    struct nsm_arena arena;
};

/* Finds an adapter by name, NULL when there is none; the engine knows adapters only through this.
 */
struct nsm_adapter_source {
    const struct nsm_adapter *(*find)(void *arg, const char *name);
    const struct nsm_adapter *(*at)(void *arg,
                                    size_t index); /* NULL past the end; in order of name */
    void *arg;
};

/* Reads and checks the plan at `path` ("-": standard input, folder = the working directory).
 * NSM_E_INVALID with "FILE:LINE:COLUMN: ..." ; NSM_E_NOTFOUND / NSM_E_IO when it can't be read.
 * Environment variables are substituted. */
struct nsm_error *nsm_plan_load(const char *path, const struct nsm_adapter_source *adapters,
                                struct nsm_plan **ret) NSM_MUST_USE;
/* The same from bytes, `path` for messages. What the fuzzer calls. */
struct nsm_error *nsm_plan_parse(struct nsm_str yaml, const char *path,
                                 const struct nsm_adapter_source *adapters, struct nsm_plan **ret)
    NSM_MUST_USE;
void nsm_plan_free(struct nsm_plan *plan);
NSM_DEFINE_CLEANUP(struct nsm_plan, nsm_plan_free)

/* Called for each template before a run: `list` calls fn(arg, name) with each match (it wraps the
 * adapter's list). Replaces the templates by namespaces, in name order, at their positions.
 * NSM_E_INVALID: two of the same name or destination; NSM_E_NOTFOUND: no namespace is left, as
 * nothing matches. After an error the plan is good for nothing but free. */
typedef struct nsm_error *nsm_plan_list_fn(void *arg, const struct nsm_plan_template *tmpl,
                                           nsm_name_fn *fn, void *fn_arg);
struct nsm_error *nsm_plan_expand(struct nsm_plan *plan, nsm_plan_list_fn *list, void *arg)
    NSM_MUST_USE;

/* Keeps only the namespaces of these names, in plan order; while there are templates, once those
 * are expanded. NSM_E_INVALID names one that is not in the plan, and the nearest. */
struct nsm_error *nsm_plan_only(struct nsm_plan *plan, const char *const *names, size_t n_names)
    NSM_MUST_USE;

/* The JSON Schema (draft 2020-12) of plans with these adapters, from the same tables;
 * pretty-printed with a final newline. */
void nsm_plan_write_schema(const struct nsm_adapter_source *adapters, struct nsm_buf *out);

const char *nsm_layout_name(enum nsm_layout layout);
const char *nsm_if_exists_name(enum nsm_if_exists if_exists);
const char *nsm_verify_mode_name(enum nsm_verify_mode mode);

#endif
