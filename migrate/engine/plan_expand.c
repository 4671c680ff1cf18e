/*
 * for_each: a template becomes one namespace for each name that its backend lists. The names come
 * from a server, so their number and what they may do to a path is bounded here.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/engine/plan_internal.h"

#include <assert.h>

/* Of one template; and the bytes that all its namespaces' selections may have together. */
#define MATCHES_MAX        ((size_t)100000)
#define SELECTIONS_MAX_SUM ((size_t)256 << 20)

/* The names that a template's backend lists. */
struct matches {
    struct nsm_arena *arena;
    char **names;
    size_t n_names, cap_names;
    bool is_over;
};

static void matches_release(struct matches *matches)
{
    free(matches->names);
}

static void add_match(void *arg, const char *name)
{
    struct matches *const matches = arg;
    if (matches->n_names == MATCHES_MAX) {
        matches->is_over = true;
        return;
    }
    NSM_GROW(matches->names, matches->n_names, matches->cap_names);
    matches->names[matches->n_names++] = nsm_arena_strdup(matches->arena, name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What the templates became so far. */
struct expansion {
    struct nsm_plan *plan;
    struct nsm_plan_namespace *items;
    size_t n_items, cap_items;
};

/* Items that the plan has taken over are none any more. */
static void expansion_release(struct expansion *expansion)
{
    for (size_t i = 0; i < expansion->n_items; i++)
        nsm_plan_namespace_release(&expansion->items[i]);
    free(expansion->items);
}

/* Whether a PATH of the selection holds "{key}". */
static bool has_path_placeholder(const struct nsm_option *table,
                                 const struct nsm_settings *selection, const char *placeholder)
{
    for (const struct nsm_option *option = table; option && option->key; option++) {
        const char *const path =
            option->type == NSM_OPTION_PATH ? nsm_settings_string(selection, option->key) : NULL;
        if (path && strstr(path, placeholder))
            return true;
    }
    return false;
}

/* A name with a '/' in it, or "..", would lead to another folder than the plan says. */
static bool is_harmful_in_path(const struct nsm_plan *plan, const struct nsm_plan_namespace *ns,
                               const char *match, const char *placeholder)
{
    if (match[0] != '.' && match[0] != '\0' && !strchr(match, '/'))
        return false;
    return has_path_placeholder(plan->backends[ns->source.backend].adapter->source_options,
                                ns->source.selection, placeholder) ||
           has_path_placeholder(
               plan->backends[ns->destination.backend].adapter->destination_options,
               ns->destination.selection, placeholder);
}

/* `text` with every placeholder replaced, in the arena. */
static const char *replace_placeholder(struct nsm_arena *arena, const char *text,
                                       const char *placeholder, const char *value)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    const char *rest = text;
    for (const char *at = strstr(rest, placeholder); at; at = strstr(rest, placeholder)) {
        nsm_buf_append(&out, rest, (size_t)(at - rest));
        nsm_buf_append_cstr(&out, value);
        rest = at + strlen(placeholder);
    }
    nsm_buf_append_cstr(&out, rest);
    return nsm_arena_copy(arena, nsm_buf_view(&out)).ptr;
}

/* The names of tables, and the text of keys. */
static void substitute_mapping(struct nsm_plan *plan, const struct nsm_plan_template *tmpl,
                               const char *match, struct nsm_plan_namespace *ns)
{
    NSM_CLEANUP(nsm_freep) char *placeholder = nsm_xasprintf("{%s}", tmpl->key);
    ns->key = nsm_key_template_substitute(&plan->arena, &ns->key, tmpl->key, match);
    if (ns->n_columns == 0)
        return;
    ns->columns = nsm_arena_calloc(&plan->arena, ns->n_columns, sizeof(*ns->columns));
    for (size_t i = 0; i < ns->n_columns; i++) {
        ns->columns[i] = tmpl->namespace.columns[i];
        if (ns->columns[i].table)
            ns->columns[i].table =
                replace_placeholder(&plan->arena, ns->columns[i].table, placeholder, match);
    }
}

static struct nsm_error *add_namespace(struct expansion *expansion,
                                       const struct nsm_plan_template *tmpl, const char *match)
{
    struct nsm_plan *const plan = expansion->plan;
    NSM_CLEANUP(nsm_freep) char *placeholder = nsm_xasprintf("{%s}", tmpl->key);
    struct nsm_plan_namespace ns = tmpl->namespace;
    ns.name = replace_placeholder(&plan->arena, ns.name, placeholder, match);
    struct nsm_error *error = nsm_plan_check_namespace_name(nsm_str_of(ns.name));
    if (!error && is_harmful_in_path(plan, &tmpl->namespace, match, placeholder))
        error = nsm_error_new(NSM_E_INVALID, "can't be a part of a path");
    if (error) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf quoted = NSM_BUF_TEXT;
        nsm_quote(nsm_str_of(match), &quoted);
        return nsm_error_wrap(error, "%s:%u:%u: for_each: %s %s", plan->path, ns.line, ns.column,
                              tmpl->key, quoted.ptr);
    }
    substitute_mapping(plan, tmpl, match, &ns);
    NSM_TRY(nsm_plan_check_key(plan, &ns));
    ns.source.selection = nsm_settings_substitute(ns.source.selection, tmpl->key, match);
    ns.destination.selection = nsm_settings_substitute(ns.destination.selection, tmpl->key, match);
    NSM_GROW(expansion->items, expansion->n_items, expansion->cap_items);
    expansion->items[expansion->n_items++] = ns;
    return NULL;
}

static struct nsm_error *check_size(const struct nsm_plan *plan,
                                    const struct nsm_plan_template *tmpl,
                                    const struct matches *matches)
{
    const struct nsm_plan_namespace *const ns = &tmpl->namespace;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_settings_write(ns->source.selection, &text);
    nsm_settings_write(ns->destination.selection, &text);
    if (!matches->is_over && !text.is_over &&
        text.len <= SELECTIONS_MAX_SUM / (matches->n_names + 1))
        return NULL;
    nsm_buf_clear(&text);
    nsm_quote(nsm_str_of(tmpl->glob), &text);
    return nsm_yaml_error(plan->path, ns->line, ns->column,
                          "for_each: %zu%s names match %s, too many for one plan", matches->n_names,
                          matches->is_over ? " and more" : "", text.ptr);
}

static struct nsm_error *expand_one(struct expansion *expansion,
                                    const struct nsm_plan_template *tmpl, nsm_plan_list_fn *list,
                                    void *arg)
{
    struct nsm_plan *const plan = expansion->plan;
    NSM_CLEANUP(matches_release) struct matches matches = {.arena = &plan->arena};
    NSM_TRY_WRAP(list(arg, tmpl, add_match, &matches), "%s:%u:%u: for_each", plan->path,
                 tmpl->namespace.line, tmpl->namespace.column);
    NSM_TRY(check_size(plan, tmpl, &matches));
    if (matches.n_names > 0)
        qsort(matches.names, matches.n_names, sizeof(char *), compare_names);
    for (size_t i = 0; i < matches.n_names; i++)
        NSM_TRY(add_namespace(expansion, tmpl, matches.names[i]));
    return NULL;
}

/* Puts the new namespaces between the plain ones; n_of holds how many each template has. */
static void merge(struct expansion *expansion, const size_t *n_of)
{
    struct nsm_plan *const plan = expansion->plan;
    const size_t n_all = plan->n_namespaces + expansion->n_items;
    struct nsm_plan_namespace *const all =
        nsm_arena_calloc(&plan->arena, n_all + 1, sizeof(plan->namespaces[0]));
    size_t n = 0;
    size_t n_plain = 0;
    size_t n_new = 0;
    for (size_t i = 0; i < plan->n_templates; i++) {
        while (n_plain < plan->templates[i].position)
            all[n++] = plan->namespaces[n_plain++];
        for (size_t end = n_new + n_of[i]; n_new < end; n_new++) {
            assert(expansion->items);
            all[n++] = expansion->items[n_new];
        }
    }
    while (n_plain < plan->n_namespaces)
        all[n++] = plan->namespaces[n_plain++];
    expansion->n_items = 0;
    plan->namespaces = all;
    plan->n_namespaces = n_all;
}

struct nsm_error *nsm_plan_expand(struct nsm_plan *plan, nsm_plan_list_fn *list, void *arg)
{
    if (plan->n_templates == 0)
        return NULL;
    NSM_CLEANUP(expansion_release) struct expansion expansion = {.plan = plan};
    NSM_CLEANUP(nsm_freep) size_t *n_of = nsm_xcalloc(plan->n_templates, sizeof(size_t));
    for (size_t i = 0; i < plan->n_templates; i++) {
        const size_t n_before = expansion.n_items;
        NSM_TRY(expand_one(&expansion, &plan->templates[i], list, arg));
        n_of[i] = expansion.n_items - n_before;
    }
    merge(&expansion, n_of);
    if (plan->n_namespaces == 0) {
        const struct nsm_plan_template *const first = &plan->templates[0];
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf glob = NSM_BUF_TEXT;
        nsm_quote(nsm_str_of(first->glob), &glob);
        return nsm_error_new(NSM_E_NOTFOUND, "%s:%u:%u: for_each: no %s matches %s", plan->path,
                             first->namespace.line, first->namespace.column, first->key, glob.ptr);
    }
    nsm_plan_drop_templates(plan);
    NSM_TRY(nsm_plan_check_unique(plan));
    return plan->only ? nsm_plan_only(plan, plan->only, plan->n_only) : NULL;
}
