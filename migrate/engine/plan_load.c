/*
 * The tree of a plan's YAML to a plan: what each section means. The keys themselves are read by
 * plan_values.c, along the tables of plan_keys.c and of the adapters.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/engine/plan_internal.h"

#include <assert.h>

/* ---- small pieces ---- */

static bool is_made_of(struct nsm_str text, size_t max_bytes, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        const bool is_common = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
        if (!is_common && (c == '\0' || !strchr(others, c)))
            return false;
    }
    return text.len > 0 && text.len <= max_bytes;
}

/* Lower case letters, digits and hyphens. */
static bool is_word(struct nsm_str text, size_t max_bytes)
{
    return is_made_of(text, max_bytes, "");
}

static bool is_backend_name(struct nsm_str text)
{
    return is_made_of(text, NSM_PLAN_BACKEND_MAX, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.");
}

/* Which of its option's choices a setting has; the enums list theirs in the order of the tables. */
static unsigned choice_of(const struct nsm_plan_table *table, const struct nsm_settings *settings,
                          const char *key)
{
    const struct nsm_option *const option = nsm_option_find(table->options, key);
    assert(option);
    const struct nsm_str chosen = nsm_settings_bytes(settings, key);
    const char *words = option->choices;
    struct nsm_str word;
    unsigned index = 0;
    while (nsm_next_word(&words, &word) && !nsm_str_equals(word, chosen))
        index++;
    return index;
}

/* The node of a key that was read already; its mapping where only a default stands for it. */
static const struct nsm_yaml_node *place_of(const struct nsm_yaml_node *mapping, const char *key)
{
    const struct nsm_yaml_node *const node = nsm_plan_find(mapping, key);
    return node ? node : mapping;
}

/* Reads a section with no keys but the plan's own; an absent one is all defaults. */
static struct nsm_error *read_own(struct nsm_plan_loader *loader, const struct nsm_yaml_node *root,
                                  const struct nsm_plan_table *table, struct nsm_settings **ret)
{
    const struct nsm_yaml_node empty = {
        .kind = NSM_YAML_MAPPING, .line = root->line, .column = root->column};
    const struct nsm_yaml_node *const node = nsm_plan_find(root, table->what);
    const struct nsm_plan_mapping mapping = {
        .node = node ? node : &empty, .what = table->what, .core = table};
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *none = NULL;
    return nsm_plan_read(loader, &mapping, ret, &none);
}

/* ---- the plan's own keys ---- */

static struct nsm_error *load_batch(struct nsm_plan_loader *loader,
                                    const struct nsm_yaml_node *root)
{
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *batch = NULL;
    NSM_TRY(read_own(loader, root, &nsm_plan_batch_keys, &batch));
    loader->plan->batch_records = nsm_settings_u64(batch, "records");
    loader->plan->batch_bytes = nsm_settings_u64(batch, "bytes");
    return NULL;
}

static struct nsm_error *load_retry(struct nsm_plan_loader *loader,
                                    const struct nsm_yaml_node *root)
{
    struct nsm_plan *const plan = loader->plan;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *retry = NULL;
    NSM_TRY(read_own(loader, root, &nsm_plan_retry_keys, &retry));
    plan->retry_attempts = (unsigned)nsm_settings_u64(retry, "attempts");
    plan->retry_backoff_ms = (int64_t)nsm_settings_u64(retry, "backoff");
    plan->retry_max_backoff_ms = (int64_t)nsm_settings_u64(retry, "max_backoff");
    if (plan->retry_backoff_ms <= plan->retry_max_backoff_ms)
        return NULL;
    const struct nsm_yaml_node *const max = place_of(place_of(root, "retry"), "max_backoff");
    return nsm_yaml_error(loader->path, max->line, max->column,
                          "retry: max_backoff (%s) is shorter than backoff (%s)",
                          nsm_settings_string(retry, "max_backoff"),
                          nsm_settings_string(retry, "backoff"));
}

/* Before anything else: a plan of another version may have other keys. */
static struct nsm_error *check_version(struct nsm_plan_loader *loader,
                                       const struct nsm_yaml_node *root)
{
    const struct nsm_yaml_node *const node = nsm_plan_find(root, "version");
    if (!node)
        return nsm_yaml_error(
            loader->path, root->line, root->column,
            "the plan: missing key \"version\"; this program reads \"version: %d\"",
            NSM_PLAN_VERSION);
    struct nsm_str text = {0};
    NSM_TRY(nsm_plan_text(loader, node, "version", "1", &text));
    if (nsm_str_equals(text, NSM_STR_LIT("1")))
        return NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
    nsm_quote(node->text, &found);
    return nsm_yaml_error(loader->path, node->line, node->column,
                          "version: expected %d, the version that this program reads, found %s",
                          NSM_PLAN_VERSION, found.ptr);
}

static struct nsm_error *load_own_keys(struct nsm_plan_loader *loader,
                                       const struct nsm_yaml_node *root)
{
    struct nsm_plan *const plan = loader->plan;
    const struct nsm_plan_mapping mapping = {
        .node = root, .what = nsm_plan_keys.what, .core = &nsm_plan_keys};
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *own = NULL;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *none = NULL;
    NSM_TRY(nsm_plan_expect(loader, root, nsm_plan_keys.what, NSM_YAML_MAPPING));
    NSM_TRY(check_version(loader, root));
    NSM_TRY(nsm_plan_read(loader, &mapping, &own, &none));
    plan->workers =
        nsm_settings_has(own, "workers") ? nsm_settings_u64(own, "workers") : nsm_online_cpus();
    plan->on_error = choice_of(&nsm_plan_keys, own, "on_error");
    if (nsm_settings_has(own, "name")) {
        const struct nsm_yaml_node *const node = place_of(root, "name");
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_quote(node->text, &found);
        if (!is_word(nsm_settings_bytes(own, "name"), NSM_PLAN_NAME_MAX))
            return nsm_yaml_error(loader->path, node->line, node->column,
                                  "name: expected lower case letters, digits and hyphens, at most "
                                  "%d, found %s",
                                  NSM_PLAN_NAME_MAX, found.ptr);
        plan->name = nsm_arena_strdup(&plan->arena, nsm_settings_string(own, "name"));
    }
    NSM_TRY(load_batch(loader, root));
    return load_retry(loader, root);
}

/* ---- backends ---- */

static struct nsm_error *unknown_adapter(const struct nsm_plan_loader *loader,
                                         const struct nsm_yaml_node *node)
{
    const struct nsm_adapter_source *const adapters = loader->adapters;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf all = NSM_BUF_TEXT;
    struct nsm_nearest nearest = nsm_nearest_to(node->text);
    const struct nsm_adapter *adapter = adapters->at(adapters->arg, 0);
    for (size_t i = 1; adapter; i++) {
        nsm_nearest_offer(&nearest, nsm_str_of(adapter->name));
        nsm_buf_printf(&all, "%s%s", all.len > 0 ? ", " : "", adapter->name);
        adapter = adapters->at(adapters->arg, i);
    }
    nsm_buf_append_cstr(&message, "adapter: no adapter ");
    nsm_quote(node->text, &message);
    if (nearest.best.ptr)
        nsm_nearest_write(&nearest, &message);
    else
        nsm_buf_printf(&message, "; expected one of %s", all.ptr);
    return nsm_yaml_error(loader->path, node->line, node->column, "%s", message.ptr);
}

/* The adapter that a backend's mapping names. */
static struct nsm_error *find_adapter(struct nsm_plan_loader *loader,
                                      const struct nsm_yaml_node *mapping, const char *what,
                                      const struct nsm_adapter **ret)
{
    const struct nsm_yaml_node *const node = nsm_plan_find(mapping, "adapter");
    if (!node)
        return nsm_yaml_error(loader->path, mapping->line, mapping->column,
                              "%s: missing key \"adapter\": %s", what,
                              nsm_plan_backend_keys.options[0].help);
    struct nsm_str name = {0};
    NSM_TRY(nsm_plan_text(loader, node, "adapter", "the name of an adapter", &name));
    const bool is_text = name.len == 0 || !memchr(name.ptr, '\0', name.len);
    *ret = is_text ? loader->adapters->find(loader->adapters->arg, name.ptr) : NULL;
    return *ret ? NULL : unknown_adapter(loader, node);
}

static struct nsm_error *load_backend(struct nsm_plan_loader *loader,
                                      const struct nsm_yaml_node *key,
                                      const struct nsm_yaml_node *node)
{
    struct nsm_plan *const plan = loader->plan;
    if (!is_backend_name(key->text)) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_quote(key->text, &found);
        return nsm_yaml_error(loader->path, key->line, key->column,
                              "backends: expected a name of letters, digits, \"-\", \"_\" and "
                              "\".\", at most %d, found %s",
                              NSM_PLAN_BACKEND_MAX, found.ptr);
    }
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf what = NSM_BUF_TEXT;
    nsm_buf_printf(&what, "backend %s", key->text.ptr);
    NSM_TRY(nsm_plan_expect(loader, node, what.ptr, NSM_YAML_MAPPING));
    const struct nsm_adapter *adapter = NULL;
    NSM_TRY(find_adapter(loader, node, what.ptr, &adapter));
    assert(adapter);
    nsm_buf_printf(&what, " (%s)", adapter->name);

    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *core = NULL;
    const struct nsm_plan_mapping mapping = {.node = node,
                                             .what = what.ptr,
                                             .core = &nsm_plan_backend_keys,
                                             .extra = adapter->backend_options};
    struct nsm_plan_backend *const backend = &plan->backends[plan->n_backends];
    NSM_TRY(nsm_plan_read(loader, &mapping, &core, &backend->settings));
    backend->name = nsm_arena_copy(&plan->arena, key->text).ptr;
    backend->adapter = adapter;
    backend->max_connections = nsm_settings_u64(core, "max_connections");
    backend->line = key->line;
    backend->column = key->column;
    plan->n_backends++;
    return NULL;
}

static int compare_backends(const void *a, const void *b)
{
    const struct nsm_plan_backend *const x = *(const struct nsm_plan_backend *const *)a;
    const struct nsm_plan_backend *const y = *(const struct nsm_plan_backend *const *)b;
    return strcmp(x->name, y->name);
}

static struct nsm_error *load_backends(struct nsm_plan_loader *loader,
                                       const struct nsm_yaml_node *node)
{
    struct nsm_plan *const plan = loader->plan;
    NSM_TRY(nsm_plan_expect(loader, node, "backends", NSM_YAML_MAPPING));
    if (node->n_children == 0)
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "backends: expected at least one backend");
    const size_t n = node->n_children / 2;
    plan->backends = nsm_arena_calloc(&plan->arena, n, sizeof(plan->backends[0]));
    for (size_t i = 0; i < node->n_children; i += 2)
        NSM_TRY(load_backend(loader, node->children[i], node->children[i + 1]));
    loader->by_name =
        nsm_arena_calloc(&loader->scratch, n, sizeof(const struct nsm_plan_backend *));
    for (size_t i = 0; i < n; i++)
        loader->by_name[i] = &plan->backends[i];
    qsort(loader->by_name, n, sizeof(const struct nsm_plan_backend *), compare_backends);
    return NULL;
}

/* ---- namespaces ---- */

static struct nsm_error *unknown_backend(const struct nsm_plan_loader *loader,
                                         const struct nsm_yaml_node *node)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    struct nsm_nearest nearest = nsm_nearest_to(node->text);
    for (size_t i = 0; i < loader->plan->n_backends; i++)
        nsm_nearest_offer(&nearest, nsm_str_of(loader->plan->backends[i].name));
    nsm_quote(node->text, &message);
    if (nearest.best.ptr)
        nsm_nearest_write(&nearest, &message);
    else
        nsm_buf_append_cstr(&message, " under backends");
    return nsm_yaml_error(loader->path, node->line, node->column, "backend: no backend %s",
                          message.ptr);
}

/* The backend that a mapping's key "backend" names. */
static struct nsm_error *find_backend(struct nsm_plan_loader *loader,
                                      const struct nsm_yaml_node *mapping,
                                      const struct nsm_plan_table *table, size_t *ret)
{
    NSM_TRY(nsm_plan_expect(loader, mapping, table->what, NSM_YAML_MAPPING));
    const struct nsm_yaml_node *const node = nsm_plan_find(mapping, "backend");
    if (!node)
        return nsm_yaml_error(loader->path, mapping->line, mapping->column,
                              "%s: missing key \"backend\": %s", table->what,
                              nsm_option_find(table->options, "backend")->help);
    struct nsm_str name = {0};
    NSM_TRY(nsm_plan_text(loader, node, "backend", "the name of a backend", &name));
    if (name.len > 0 && memchr(name.ptr, '\0', name.len))
        return unknown_backend(loader, node);
    const struct nsm_plan_backend wanted = {.name = name.ptr};
    const struct nsm_plan_backend *const key = &wanted;
    const struct nsm_plan_backend *const *const found =
        bsearch(&key, loader->by_name, loader->plan->n_backends,
                sizeof(const struct nsm_plan_backend *), compare_backends);
    if (!found)
        return unknown_backend(loader, node);
    *ret = (size_t)(*found - loader->plan->backends);
    return NULL;
}

/* Reads source or destination; *ret_core holds the plan's own keys of it. */
static struct nsm_error *load_side(struct nsm_plan_loader *loader, const struct nsm_yaml_node *node,
                                   const struct nsm_plan_table *table, struct nsm_plan_side *side,
                                   struct nsm_settings **ret_core)
{
    const bool is_source = table == &nsm_plan_source_keys;
    NSM_TRY(find_backend(loader, node, table, &side->backend));
    const struct nsm_plan_backend *const backend = &loader->plan->backends[side->backend];
    const struct nsm_adapter *const adapter = backend->adapter;
    const struct nsm_yaml_node *const place = place_of(node, "backend");
    if (!(adapter->caps & (is_source ? NSM_CAP_SOURCE : NSM_CAP_DESTINATION)))
        return nsm_yaml_error(loader->path, place->line, place->column,
                              "backend: %s can't be a %s: its adapter, %s, can't %s", backend->name,
                              table->what, adapter->name, is_source ? "read" : "write");
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf what = NSM_BUF_TEXT;
    nsm_buf_printf(&what, "%s (%s)", table->what, adapter->name);
    const struct nsm_plan_mapping mapping = {.node = node,
                                             .what = what.ptr,
                                             .core = table,
                                             .extra = is_source ? adapter->source_options
                                                                : adapter->destination_options};
    NSM_TRY(nsm_plan_read(loader, &mapping, ret_core, &side->selection));
    side->line = node->line;
    side->column = node->column;
    return NULL;
}

static struct nsm_error *load_allow_loss(struct nsm_plan_loader *loader,
                                         const struct nsm_yaml_node *node,
                                         const struct nsm_settings *own,
                                         struct nsm_plan_namespace *ns)
{
    struct nsm_arena *const arena = &loader->plan->arena;
    const size_t n = nsm_settings_list_size(own, "allow_loss");
    if (n == 0)
        return NULL;
    const struct nsm_yaml_node *const list = place_of(node, "allow_loss");
    ns->allow_loss = nsm_arena_calloc(arena, n, sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        const char *const word = nsm_settings_list_at(own, "allow_loss", i);
        const struct nsm_yaml_node *const item =
            list->kind == NSM_YAML_SEQUENCE ? list->children[i] : list;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_quote(item->text, &found);
        if (!is_word(nsm_str_of(word), NSM_PLAN_ALLOW_LOSS_MAX))
            return nsm_yaml_error(loader->path, item->line, item->column,
                                  "allow_loss: expected a word that preview names, like "
                                  "consumer-groups, found %s",
                                  found.ptr);
        ns->allow_loss[i] = nsm_arena_strdup(arena, word);
    }
    ns->n_allow_loss = n;
    return NULL;
}

static struct nsm_error *load_namespace_keys(struct nsm_plan_loader *loader,
                                             const struct nsm_yaml_node *node,
                                             struct nsm_plan_namespace *ns)
{
    const struct nsm_plan_table *const table = &nsm_plan_namespace_keys;
    const struct nsm_plan_mapping mapping = {.node = node, .what = table->what, .core = table};
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *own = NULL;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *none = NULL;
    NSM_TRY(nsm_plan_read(loader, &mapping, &own, &none));
    const struct nsm_yaml_node *const name = place_of(node, "name");
    NSM_TRY_WRAP(nsm_plan_check_namespace_name(nsm_settings_bytes(own, "name")), "%s:%u:%u: name",
                 loader->path, name->line, name->column);
    ns->name = nsm_arena_strdup(&loader->plan->arena, nsm_settings_string(own, "name"));
    ns->if_exists = choice_of(table, own, "if_exists");
    ns->verify = choice_of(table, own, "verify");
    ns->line = node->line;
    ns->column = node->column;
    return load_allow_loss(loader, node, own, ns);
}

static struct nsm_error *load_sides(struct nsm_plan_loader *loader,
                                    const struct nsm_yaml_node *node, struct nsm_plan_namespace *ns)
{
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *source = NULL;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *destination = NULL;
    const struct nsm_plan_table *const table = &nsm_plan_destination_keys;
    NSM_TRY(load_side(loader, nsm_plan_find(node, "source"), &nsm_plan_source_keys, &ns->source,
                      &source));
    NSM_TRY(load_side(loader, nsm_plan_find(node, "destination"), table, &ns->destination,
                      &destination));
    ns->layout = nsm_settings_has(destination, "layout")
                     ? NSM_LAYOUT_KV + choice_of(table, destination, "layout")
                     : NSM_LAYOUT_DEFAULT;
    NSM_TRY(nsm_plan_load_columns(loader, nsm_plan_find(node, "columns"), ns));
    if (nsm_settings_has(destination, "key"))
        NSM_TRY(nsm_plan_load_key(loader, place_of(nsm_plan_find(node, "destination"), "key"),
                                  nsm_settings_bytes(destination, "key"), ns));
    if (!nsm_plan_is_onto_itself(loader->plan, ns))
        return NULL;
    return nsm_yaml_error(loader->path, ns->destination.line, ns->destination.column,
                          "the destination is the source; give another backend, or another name in "
                          "it");
}

/* The key of for_each beside "backend", which must be one that the adapter lists, and its glob. */
static struct nsm_error *load_glob(struct nsm_plan_loader *loader, const struct nsm_yaml_node *node,
                                   const char *list_keys, struct nsm_plan_template *tmpl)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf keys = NSM_BUF_TEXT;
    struct nsm_str word;
    const struct nsm_yaml_node *value = NULL;
    for (const char *words = list_keys; nsm_next_word(&words, &word);) {
        nsm_buf_printf(&keys, "%s\"%.*s\"", keys.len > 0 ? " or " : "", NSM_STR_ARG(word));
        NSM_CLEANUP(nsm_freep) char *key = nsm_xstrndup(word);
        const struct nsm_yaml_node *const found = nsm_plan_find(node, key);
        if (found && value)
            return nsm_yaml_error(loader->path, found->line, found->column,
                                  "for_each: \"%s\" can't stand beside \"%s\"", key, tmpl->key);
        if (found) {
            value = found;
            tmpl->key = nsm_arena_strdup(&loader->plan->arena, key);
        }
    }
    if (!value)
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "for_each: missing key %s: a glob of the names to list", keys.ptr);
    struct nsm_str glob = {0};
    NSM_TRY(nsm_plan_text(loader, value, tmpl->key, "a glob like \"tenant_*\"", &glob));
    if (glob.len == 0 || memchr(glob.ptr, '\0', glob.len))
        return nsm_yaml_error(loader->path, value->line, value->column,
                              "%s: expected a glob like \"tenant_*\", found %s", tmpl->key,
                              glob.len == 0 ? "nothing" : "a NUL byte");
    tmpl->glob = nsm_arena_copy(&loader->plan->arena, glob).ptr;
    return NULL;
}

static struct nsm_error *load_for_each(struct nsm_plan_loader *loader,
                                       const struct nsm_yaml_node *node,
                                       struct nsm_plan_template *tmpl)
{
    const struct nsm_plan_table *const table = &nsm_plan_for_each_keys;
    NSM_TRY(find_backend(loader, node, table, &tmpl->backend));
    const struct nsm_plan_backend *const backend = &loader->plan->backends[tmpl->backend];
    const struct nsm_yaml_node *const place = place_of(node, "backend");
    if (!backend->adapter->list || !backend->adapter->list_keys)
        return nsm_yaml_error(loader->path, place->line, place->column,
                              "backend: %s can't be used in for_each: its adapter, %s, lists no "
                              "names",
                              backend->name, backend->adapter->name);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf what = NSM_BUF_TEXT;
    nsm_buf_printf(&what, "%s (%s)", table->what, backend->adapter->name);
    const struct nsm_plan_mapping mapping = {
        .node = node, .what = what.ptr, .core = table, .extra_words = backend->adapter->list_keys};
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *core = NULL;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *none = NULL;
    NSM_TRY(nsm_plan_read(loader, &mapping, &core, &none));
    return load_glob(loader, node, backend->adapter->list_keys, tmpl);
}

/* What a template's name must hold, or all of its namespaces would have one name. */
static struct nsm_error *check_placeholder(const struct nsm_plan_loader *loader,
                                           const struct nsm_yaml_node *node,
                                           const struct nsm_plan_template *tmpl)
{
    NSM_CLEANUP(nsm_freep) char *placeholder = nsm_xasprintf("{%s}", tmpl->key);
    if (strstr(tmpl->namespace.name, placeholder))
        return NULL;
    const struct nsm_yaml_node *const name = place_of(node, "name");
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
    nsm_quote(name->text, &found);
    return nsm_yaml_error(loader->path, name->line, name->column,
                          "name: expected \"%s\" in it, because of for_each, found %s", placeholder,
                          found.ptr);
}

static struct nsm_error *load_namespace(struct nsm_plan_loader *loader,
                                        const struct nsm_yaml_node *node)
{
    struct nsm_plan *const plan = loader->plan;
    NSM_TRY(nsm_plan_expect(loader, node, "namespace", NSM_YAML_MAPPING));
    const struct nsm_yaml_node *const for_each = nsm_plan_find(node, "for_each");
    if (!for_each) {
        /* Counted first: what it owns is then freed with the plan, also after an error. */
        struct nsm_plan_namespace *const ns = &plan->namespaces[plan->n_namespaces++];
        NSM_TRY(load_namespace_keys(loader, node, ns));
        NSM_TRY(load_sides(loader, node, ns));
        return nsm_plan_check_key(plan, ns);
    }
    struct nsm_plan_template *const tmpl = &plan->templates[plan->n_templates++];
    tmpl->position = plan->n_namespaces;
    NSM_TRY(load_namespace_keys(loader, node, &tmpl->namespace));
    NSM_TRY(load_for_each(loader, for_each, tmpl));
    NSM_TRY(check_placeholder(loader, node, tmpl));
    return load_sides(loader, node, &tmpl->namespace);
}

static struct nsm_error *load_namespaces(struct nsm_plan_loader *loader,
                                         const struct nsm_yaml_node *node)
{
    struct nsm_plan *const plan = loader->plan;
    NSM_TRY(nsm_plan_expect(loader, node, "namespaces", NSM_YAML_SEQUENCE));
    if (node->n_children == 0)
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "namespaces: expected at least one namespace");
    size_t n_templates = 0;
    for (size_t i = 0; i < node->n_children; i++) {
        const struct nsm_yaml_node *const child = node->children[i];
        n_templates += child->kind == NSM_YAML_MAPPING && nsm_plan_find(child, "for_each");
    }
    plan->namespaces = nsm_arena_calloc(&plan->arena, node->n_children - n_templates + 1,
                                        sizeof(plan->namespaces[0]));
    plan->templates = nsm_arena_calloc(&plan->arena, n_templates + 1, sizeof(plan->templates[0]));
    for (size_t i = 0; i < node->n_children; i++)
        NSM_TRY(load_namespace(loader, node->children[i]));
    return NULL;
}

struct nsm_error *nsm_plan_load_tree(struct nsm_plan_loader *loader,
                                     const struct nsm_yaml_node *root)
{
    NSM_TRY(load_own_keys(loader, root));
    NSM_TRY(load_backends(loader, nsm_plan_find(root, "backends")));
    NSM_TRY(load_namespaces(loader, nsm_plan_find(root, "namespaces")));
    return nsm_plan_check_unique(loader->plan);
}
