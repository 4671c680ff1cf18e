/*
 * Which columns are moved, and what rows are called as keys. The tables themselves are known only at survey, which therefore gets the
 * places in the plan, for its own messages.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"
#include "migrate/engine/plan_internal.h"

/* Whether a text can be a name in any store. */
static struct nsm_error *read_name(struct nsm_plan_loader *loader, const struct nsm_yaml_node *node,
                                   const char *expected, const char **ret)
{
    struct nsm_str text = {0};
    NSM_TRY(nsm_plan_text(loader, node, "columns", expected, &text));
    if (text.len == 0 || memchr(text.ptr, '\0', text.len) || !nsm_is_utf8(text)) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_quote(node->text, &found);
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "columns: expected %s, found %s", expected, found.ptr);
    }
    *ret = nsm_arena_copy(&loader->plan->arena, text).ptr;
    return NULL;
}

static struct nsm_error *check_new(const struct nsm_plan_loader *loader,
                                   const struct nsm_plan_columns *columns)
{
    const struct nsm_plan_column *const last = &columns->items[columns->n_items - 1];
    for (size_t at = 0; at + 1 < columns->n_items; at++) {
        const struct nsm_plan_column *const other = &columns->items[at];
        const bool is_twice = strcmp(other->name, last->name) == 0;
        if (!is_twice && strcmp(other->to, last->to) != 0)
            continue;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf quoted = NSM_BUF_TEXT;
        nsm_quote(nsm_str_of(is_twice ? last->name : last->to), &quoted);
        return nsm_yaml_error(loader->path, last->line, last->column,
                              is_twice ? "columns: %s stands there twice"
                                       : "columns: two columns would be called %s",
                              quoted.ptr);
    }
    return NULL;
}

/* A list of names, or a mapping of names to new ones. */
static struct nsm_error *load_columns(struct nsm_plan_loader *loader,
                                      const struct nsm_yaml_node *node,
                                      struct nsm_plan_columns *ret)
{
    const size_t step = node->kind == NSM_YAML_MAPPING ? 2 : 1;
    const size_t n = node->n_children / step;
    if (node->kind == NSM_YAML_SCALAR || n == 0 || n > NSM_PLAN_COLUMNS_MAX)
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "columns: expected 1 to %d columns, as [id, name] or {id: user_id}",
                              NSM_PLAN_COLUMNS_MAX);
    ret->items = nsm_arena_calloc(&loader->plan->arena, n, sizeof(*ret->items));
    ret->line = node->line;
    ret->column = node->column;
    for (size_t at = 0; at < n; at++) {
        const struct nsm_yaml_node *const name = node->children[at * step];
        const struct nsm_yaml_node *const to = node->children[at * step + step - 1];
        struct nsm_plan_column *const item = &ret->items[ret->n_items++];
        item->line = name->line;
        item->column = name->column;
        NSM_TRY(read_name(loader, name, "a column's name", &item->name));
        NSM_TRY(read_name(loader, to, "the column's name at the destination", &item->to));
        NSM_TRY(check_new(loader, ret));
    }
    return NULL;
}

static bool is_by_table(const struct nsm_yaml_node *node)
{
    bool is_any = false;
    for (size_t at = 1; node->kind == NSM_YAML_MAPPING && at < node->n_children; at += 2)
        is_any = is_any || node->children[at]->kind != NSM_YAML_SCALAR;
    return is_any;
}

struct nsm_error *nsm_plan_load_columns(struct nsm_plan_loader *loader,
                                        const struct nsm_yaml_node *node,
                                        struct nsm_plan_namespace *ns)
{
    if (!node)
        return NULL;
    const bool has_tables = is_by_table(node);
    const size_t n = has_tables ? node->n_children / 2 : 1;
    const struct nsm_adapter *const adapter = loader->plan->backends[ns->source.backend].adapter;
    if (!(adapter->caps & NSM_CAP_ROWS))
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "columns: they are chosen of tables, and %s has none", adapter->name);
    ns->columns = nsm_arena_calloc(&loader->plan->arena, n, sizeof(*ns->columns));
    for (size_t at = 0; at < n; at++) {
        struct nsm_plan_columns *const columns = &ns->columns[ns->n_columns++];
        if (has_tables)
            NSM_TRY(read_name(loader, node->children[2 * at], "a table's name", &columns->table));
        NSM_TRY(load_columns(loader, has_tables ? node->children[2 * at + 1] : node, columns));
    }
    return NULL;
}

struct nsm_error *nsm_plan_check_key(const struct nsm_plan *plan,
                                     const struct nsm_plan_namespace *ns)
{
    if (ns->key.n_pieces == 0)
        return NULL;
    return nsm_error_wrap(nsm_key_template_check(&ns->key), "%s:%u:%u: key", plan->path,
                          ns->key_line, ns->key_column);
}

struct nsm_error *nsm_plan_load_key(struct nsm_plan_loader *loader,
                                    const struct nsm_yaml_node *node, struct nsm_str text,
                                    struct nsm_plan_namespace *ns)
{
    const struct nsm_plan_backend *const to = &loader->plan->backends[ns->destination.backend];
    ns->key_line = node->line;
    ns->key_column = node->column;
    if (!(to->adapter->caps & NSM_CAP_KEYS) || ns->layout == NSM_LAYOUT_KV ||
        ns->layout == NSM_LAYOUT_COLUMNS)
        return nsm_yaml_error(loader->path, node->line, node->column,
                              "key: it is for rows that become keys, in layout hash or json");
    NSM_TRY_WRAP(nsm_key_template_parse(&loader->plan->arena, text, &ns->key), "%s:%u:%u: key",
                 loader->path, node->line, node->column);
    if (ns->key.n_pieces == 0)
        return nsm_yaml_error(
            loader->path, node->line, node->column,
            "key: expected columns in braces, as in \"user:{id}\", found nothing");
    return NULL;
}

/* ---- what decides, for the fingerprint ---- */

static void write_text(const char *text, struct nsm_buf *out)
{
    nsm_buf_printf(out, " %zu:%s", strlen(text), text);
}

void nsm_plan_write_columns(const struct nsm_plan_namespace *ns, struct nsm_buf *out)
{
    for (size_t at = 0; at < ns->n_columns; at++) {
        const struct nsm_plan_columns *const columns = &ns->columns[at];
        nsm_buf_append_cstr(out, "columns");
        write_text(columns->table ? columns->table : "", out);
        for (size_t i = 0; i < columns->n_items; i++) {
            write_text(columns->items[i].name, out);
            write_text(columns->items[i].to, out);
        }
        nsm_buf_append_char(out, '\n');
    }
    if (ns->key.n_pieces == 0)
        return;
    nsm_buf_append_cstr(out, "key ");
    nsm_key_template_write(&ns->key, out);
    nsm_buf_append_char(out, '\n');
}
