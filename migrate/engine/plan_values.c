/*
 * One mapping of a plan to settings: every key known, every value of its option's type, each
 * mistake told with its place. A message quotes what stands in the plan, never what an environment
 * variable holds: that may be a password in the wrong place.
 */
#include "migrate/base/hint.h"
#include "migrate/engine/plan_internal.h"
#include "migrate/engine/plan_variables.h"

#include <inttypes.h>

/* What all variables together may add to a plan, which may name one a million times. */
#define SUBSTITUTED_MAX ((size_t)4 << 20)

const struct nsm_yaml_node *nsm_plan_find(const struct nsm_yaml_node *mapping, const char *key)
{
    const struct nsm_str wanted = nsm_str_of(key);
    for (size_t i = 0; i + 1 < mapping->n_children; i += 2) {
        if (nsm_str_equals(mapping->children[i]->text, wanted))
            return mapping->children[i + 1];
    }
    return NULL;
}

/* "KEY: expected EXPECTED, found FOUND" at the node's place. */
static struct nsm_error *unexpected(const struct nsm_plan_loader *loader,
                                    const struct nsm_yaml_node *node, const char *key,
                                    const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
    nsm_yaml_describe(node, &found);
    return nsm_yaml_error(loader->path, node->line, node->column, "%s: expected %s, found %s", key,
                          expected, found.ptr);
}

struct nsm_error *nsm_plan_expect(const struct nsm_plan_loader *loader,
                                  const struct nsm_yaml_node *node, const char *key,
                                  enum nsm_yaml_kind kind)
{
    static const char *const kinds[] = {
        [NSM_YAML_SCALAR] = "a single value",
        [NSM_YAML_SEQUENCE] = "a sequence",
        [NSM_YAML_MAPPING] = "a mapping",
    };
    return node->kind == kind ? NULL : unexpected(loader, node, key, kinds[kind]);
}

static bool has_variable(const struct nsm_yaml_node *node)
{
    return node->text.len > 0 && memmem(node->text.ptr, node->text.len, "${", 2);
}

struct nsm_error *nsm_plan_text(struct nsm_plan_loader *loader, const struct nsm_yaml_node *node,
                                const char *key, const char *expected, struct nsm_str *ret)
{
    if (node->kind != NSM_YAML_SCALAR || nsm_yaml_is_null(node))
        return unexpected(loader, node, key, expected);
    if (node->text.len == 0 || !memchr(node->text.ptr, '$', node->text.len)) {
        *ret = node->text;
        return NULL;
    }
    NSM_CLEANUP(nsm_buf_release)
    struct nsm_buf text = NSM_BUF_INIT(SUBSTITUTED_MAX - loader->substituted_bytes);
    struct nsm_error *const error = nsm_plan_substitute(node->text, &text);
    if (nsm_error_is(error, NSM_E_NOMEM)) {
        nsm_error_ignore(error);
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "%s: more than %zu MiB from environment variables", key,
                              SUBSTITUTED_MAX >> 20);
    }
    NSM_TRY_WRAP(error, "%s:%u:%u: %s", loader->path, node->line, node->column, key);
    loader->substituted_bytes += text.len;
    *ret = nsm_arena_copy(&loader->scratch, nsm_buf_view(&text));
    return NULL;
}

static const struct nsm_option *find_option(const struct nsm_option *table, struct nsm_str key)
{
    for (const struct nsm_option *option = table; option && option->key; option++) {
        if (nsm_str_equals(key, nsm_str_of(option->key)))
            return option;
    }
    return NULL;
}

static bool is_section(const struct nsm_plan_table *table, struct nsm_str key)
{
    for (const struct nsm_plan_section *section = table->sections; section->key; section++) {
        if (nsm_str_equals(key, nsm_str_of(section->key)))
            return true;
    }
    return false;
}

static bool is_word(const char *words, struct nsm_str key)
{
    struct nsm_str word;
    while (nsm_next_word(&words, &word)) {
        if (nsm_str_equals(word, key))
            return true;
    }
    return false;
}

/* Offers a key as what was meant, and lists it as what was expected. */
static void offer_key(struct nsm_nearest *nearest, struct nsm_buf *all, struct nsm_str key)
{
    nsm_nearest_offer(nearest, key);
    nsm_buf_append_cstr(all, all->len > 0 ? ", " : "");
    nsm_buf_append_str(all, key);
}

static struct nsm_error *unknown_key(const struct nsm_plan_loader *loader,
                                     const struct nsm_plan_mapping *mapping,
                                     const struct nsm_yaml_node *key)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf all = NSM_BUF_TEXT;
    struct nsm_nearest nearest = nsm_nearest_to(key->text);
    for (const struct nsm_option *option = mapping->core->options; option->key; option++)
        offer_key(&nearest, &all, nsm_str_of(option->key));
    for (const struct nsm_plan_section *section = mapping->core->sections; section->key; section++)
        offer_key(&nearest, &all, nsm_str_of(section->key));
    for (const struct nsm_option *option = mapping->extra; option && option->key; option++)
        offer_key(&nearest, &all, nsm_str_of(option->key));
    const char *words = mapping->extra_words;
    struct nsm_str word;
    while (nsm_next_word(&words, &word))
        offer_key(&nearest, &all, word);

    nsm_buf_append_cstr(&message, "unknown key ");
    nsm_quote(key->text, &message);
    nsm_buf_printf(&message, " in %s", mapping->what);
    if (nearest.best.ptr)
        nsm_nearest_write(&nearest, &message);
    else
        nsm_buf_printf(&message, "; expected one of %s", all.ptr);
    return nsm_yaml_error(loader->path, key->line, key->column, "%s", message.ptr);
}

/* Puts the place before the error of a setting, or, where a variable's value is in it, another
 * error that doesn't show it. */
static struct nsm_error *setting_error(const struct nsm_plan_loader *loader,
                                       const struct nsm_yaml_node *node,
                                       const struct nsm_option *option, struct nsm_error *cause)
{
    if (!cause || !has_variable(node))
        return nsm_error_wrap(cause, "%s:%u:%u: %s", loader->path, node->line, node->column,
                              option->key);
    nsm_error_ignore(cause);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    nsm_option_expected(option, &message);
    nsm_buf_append_cstr(&message, ", found something else with the environment's value in ");
    nsm_quote(node->text, &message);
    return nsm_yaml_error(loader->path, node->line, node->column, "%s: expected %s", option->key,
                          message.ptr);
}

static struct nsm_error *set_text(struct nsm_plan_loader *loader, struct nsm_settings *settings,
                                  const struct nsm_option *option, const struct nsm_yaml_node *node,
                                  const char *expected)
{
    struct nsm_str text = {0};
    NSM_TRY(nsm_plan_text(loader, node, option->key, expected, &text));
    return setting_error(loader, node, option, nsm_settings_set(settings, option->key, text));
}

static struct nsm_error *set_value(struct nsm_plan_loader *loader, struct nsm_settings *settings,
                                   const struct nsm_option *option,
                                   const struct nsm_yaml_node *node)
{
    if (option->type != NSM_OPTION_LIST || node->kind != NSM_YAML_SEQUENCE) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf expected = NSM_BUF_TEXT;
        nsm_option_expected(option, &expected);
        return set_text(loader, settings, option, node, expected.ptr);
    }
    if (node->n_children == 0)
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "%s: expected at least one string; leave the key out for none",
                              option->key);
    for (size_t i = 0; i < node->n_children; i++)
        NSM_TRY(set_text(loader, settings, option, node->children[i], "a string"));
    return NULL;
}

static void write_bound(enum nsm_option_type type, uint64_t n, struct nsm_buf *out)
{
    nsm_buf_append_u64(out, n);
    if (type == NSM_OPTION_DURATION)
        nsm_buf_append_cstr(out, "ms");
    else if (type == NSM_OPTION_SIZE)
        nsm_buf_append_cstr(out, " bytes");
}

static struct nsm_error *check_range(const struct nsm_plan_loader *loader,
                                     const struct nsm_plan_table *table,
                                     const struct nsm_option *option, uint64_t n,
                                     const struct nsm_yaml_node *node)
{
    const struct nsm_plan_range *const range = nsm_plan_range_find(table, option->key);
    if (!range || (n >= range->min && n <= range->max))
        return NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf expected = NSM_BUF_TEXT;
    write_bound(option->type, range->min, &expected);
    if (range->min != range->max) {
        nsm_buf_append_cstr(&expected, " to ");
        write_bound(option->type, range->max, &expected);
    }
    return unexpected(loader, node, option->key, expected.ptr);
}

static bool excludes(const struct nsm_option *option, const struct nsm_option *other)
{
    return is_word(option->excludes, nsm_str_of(other->key)) ||
           is_word(other->excludes, nsm_str_of(option->key));
}

/* nsm_settings_finish() would find it too, but doesn't know the place. */
static struct nsm_error *check_excluding(const struct nsm_plan_loader *loader,
                                         const struct nsm_plan_mapping *mapping)
{
    const struct nsm_yaml_node *const node = mapping->node;
    for (size_t i = 2; i < node->n_children; i += 2) {
        const struct nsm_option *const option =
            find_option(mapping->extra, node->children[i]->text);
        for (size_t j = 0; option && j < i; j += 2) {
            const struct nsm_option *const other =
                find_option(mapping->extra, node->children[j]->text);
            if (other && excludes(option, other))
                return nsm_yaml_error(loader->path, node->children[i]->line,
                                      node->children[i]->column,
                                      "\"%s\" can't stand beside \"%s\" in %s", option->key,
                                      other->key, mapping->what);
        }
    }
    return NULL;
}

static struct nsm_error *check_sections(const struct nsm_plan_loader *loader,
                                        const struct nsm_plan_mapping *mapping)
{
    for (const struct nsm_plan_section *section = mapping->core->sections; section->key;
         section++) {
        if (section->is_required && !nsm_plan_find(mapping->node, section->key))
            return nsm_yaml_error(loader->path, mapping->node->line, mapping->node->column,
                                  "%s: missing key \"%s\": %s", mapping->what, section->key,
                                  section->help);
    }
    return NULL;
}

/* Makes every PATH absolute, defaults too; after finish, which fills those in. */
static void resolve_paths(const struct nsm_plan *plan, struct nsm_settings *settings,
                          const struct nsm_option *table)
{
    for (const struct nsm_option *option = table; option && option->key; option++) {
        const char *path =
            option->type == NSM_OPTION_PATH ? nsm_settings_string(settings, option->key) : NULL;
        if (!path || path[0] == '/')
            continue;
        while (path[0] == '.' && path[1] == '/')
            path += path[2] == '/' ? 3 : 2;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf full = NSM_BUF_TEXT;
        const bool is_root = strcmp(plan->folder, "/") == 0;
        nsm_buf_printf(&full, "%s/%s", is_root ? "" : plan->folder, path);
        /* What was a path stays one: it has no NUL and is not empty. */
        nsm_error_ignore(nsm_settings_set(settings, option->key, nsm_buf_view(&full)));
    }
}

static struct nsm_error *read_key(struct nsm_plan_loader *loader,
                                  const struct nsm_plan_mapping *mapping,
                                  const struct nsm_yaml_node *const *pair,
                                  struct nsm_settings *core, struct nsm_settings *extra)
{
    const struct nsm_str key = pair[0]->text;
    const struct nsm_option *option = find_option(mapping->core->options, key);
    if (option) {
        NSM_TRY(set_value(loader, core, option, pair[1]));
        return check_range(loader, mapping->core, option, nsm_settings_u64(core, option->key),
                           pair[1]);
    }
    if (is_section(mapping->core, key) || is_word(mapping->extra_words, key))
        return NULL;
    option = find_option(mapping->extra, key);
    return option ? set_value(loader, extra, option, pair[1])
                  : unknown_key(loader, mapping, pair[0]);
}

struct nsm_error *nsm_plan_read(struct nsm_plan_loader *loader,
                                const struct nsm_plan_mapping *mapping,
                                struct nsm_settings **ret_core, struct nsm_settings **ret_extra)
{
    const struct nsm_yaml_node *const node = mapping->node;
    NSM_CLEANUP(nsm_settings_freep)
    struct nsm_settings *core = nsm_settings_new(mapping->core->options);
    NSM_CLEANUP(nsm_settings_freep)
    struct nsm_settings *extra = nsm_settings_new(mapping->extra);
    NSM_TRY(nsm_plan_expect(loader, node, mapping->what, NSM_YAML_MAPPING));
    for (size_t i = 0; i + 1 < node->n_children; i += 2) {
        const struct nsm_yaml_node *const pair[] = {node->children[i], node->children[i + 1]};
        NSM_TRY(read_key(loader, mapping, pair, core, extra));
    }
    NSM_TRY(check_excluding(loader, mapping));
    NSM_TRY_WRAP(nsm_settings_finish(core), "%s:%u:%u: %s", loader->path, node->line, node->column,
                 mapping->what);
    NSM_TRY(check_sections(loader, mapping));
    NSM_TRY_WRAP(nsm_settings_finish(extra), "%s:%u:%u: %s", loader->path, node->line, node->column,
                 mapping->what);
    resolve_paths(loader->plan, extra, mapping->extra);
    *ret_core = NSM_STEAL(core);
    *ret_extra = NSM_STEAL(extra);
    return NULL;
}
