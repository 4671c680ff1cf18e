/*
 * Why one binary search suffices: let p be the greatest prefix of the array that is not greater
 * than the key, and q any prefix of the array that the key begins with. Then q <= p <= key, and
 * everything between q and a key that begins with q begins with q. So q is among p's ancestors.
 */
#include "adapters/redis/redis_select.h"

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#define NO_PARENT SIZE_MAX

struct nsm_redis_node {
    struct nsm_str head; /* the selector's prefix and the literal beginning of its glob */
    char *owned;         /* what `head` lies in when it is both */
    const struct nsm_redis_selector *selector;
    size_t index;
    size_t parent; /* the nearest node before this one whose head this head begins with */
};

/* ---- what a plan selects ---- */

struct nsm_redis_selector nsm_redis_source_selector(const struct nsm_settings *selection)
{
    struct nsm_redis_selector selector = {0};
    if (nsm_settings_has(selection, "prefix"))
        selector.prefix = nsm_settings_bytes(selection, "prefix");
    if (nsm_settings_has(selection, "match"))
        selector.glob = nsm_settings_bytes(selection, "match");
    return selector;
}

struct nsm_str nsm_redis_destination_prefix(const struct nsm_destination *destination)
{
    if (nsm_settings_has(destination->selection, "prefix"))
        return nsm_settings_bytes(destination->selection, "prefix");
    return destination->shape->prefix;
}

struct nsm_redis_selector nsm_redis_destination_selector(const struct nsm_destination *destination)
{
    struct nsm_redis_selector selector = {.prefix = nsm_redis_destination_prefix(destination)};
    /* A glob is matched against what the source has behind the prefix that is replaced. */
    if (destination->source)
        selector.glob = nsm_redis_source_selector(destination->source->selection).glob;
    return selector;
}

/* ---- one selector ---- */

static bool is_special(char c)
{
    return c == '*' || c == '?' || c == '[' || c == ']' || c == '\\';
}

bool nsm_redis_selector_matches(const struct nsm_redis_selector *selector, struct nsm_str key)
{
    if (!nsm_str_starts_with(key, selector->prefix))
        return false;
    return !selector->glob.ptr ||
           nsm_glob_matches(selector->glob, nsm_str_skip(key, selector->prefix.len));
}

void nsm_redis_selector_pattern(const struct nsm_redis_selector *selector, struct nsm_buf *out)
{
    if (selector->prefix.len == 0 && !selector->glob.ptr)
        return;
    for (size_t at = 0; at < selector->prefix.len; at++) {
        if (is_special(selector->prefix.ptr[at]))
            nsm_buf_append_char(out, '\\');
        nsm_buf_append_char(out, selector->prefix.ptr[at]);
    }
    if (selector->glob.ptr)
        nsm_buf_append_str(out, selector->glob);
    else
        nsm_buf_append_char(out, '*');
}

static void make_head(struct nsm_redis_node *node)
{
    const struct nsm_redis_selector *const selector = node->selector;
    size_t n_literal = 0;
    while (n_literal < selector->glob.len && !is_special(selector->glob.ptr[n_literal]))
        n_literal++;
    node->head = selector->prefix;
    if (n_literal == 0)
        return;
    node->owned = nsm_xmalloc(selector->prefix.len + n_literal);
    if (selector->prefix.len)
        memcpy(node->owned, selector->prefix.ptr, selector->prefix.len);
    memcpy(node->owned + selector->prefix.len, selector->glob.ptr, n_literal);
    node->head = (struct nsm_str){.ptr = node->owned, .len = selector->prefix.len + n_literal};
}

static int compare_nodes(const void *a, const void *b)
{
    const struct nsm_redis_node *const node_a = a;
    const struct nsm_redis_node *const node_b = b;
    const int order = nsm_str_compare(node_a->head, node_b->head);
    return order ? order : (node_a->index > node_b->index) - (node_a->index < node_b->index);
}

void nsm_redis_tree_build(struct nsm_redis_tree *tree, const struct nsm_redis_selector *selectors,
                          size_t n_selectors)
{
    tree->nodes = nsm_xcalloc(n_selectors ? n_selectors : 1, sizeof(*tree->nodes));
    tree->n_nodes = n_selectors;
    for (size_t index = 0; index < n_selectors; index++) {
        tree->nodes[index].selector = &selectors[index];
        tree->nodes[index].index = index;
        make_head(&tree->nodes[index]);
    }
    qsort(tree->nodes, n_selectors, sizeof(*tree->nodes), compare_nodes);
    for (size_t index = 0; index < n_selectors; index++) {
        size_t parent = index ? index - 1 : NO_PARENT;
        while (parent != NO_PARENT &&
               !nsm_str_starts_with(tree->nodes[index].head, tree->nodes[parent].head))
            parent = tree->nodes[parent].parent;
        tree->nodes[index].parent = parent;
    }
}

void nsm_redis_tree_release(struct nsm_redis_tree *tree)
{
    for (size_t index = 0; index < tree->n_nodes; index++)
        free(tree->nodes[index].owned);
    free(tree->nodes);
    *tree = (struct nsm_redis_tree){0};
}

/* The last node whose head is not greater than `key`. */
static size_t last_not_greater(const struct nsm_redis_tree *tree, struct nsm_str key)
{
    size_t low = 0;
    size_t high = tree->n_nodes;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (nsm_str_compare(tree->nodes[middle].head, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : NO_PARENT;
}

void nsm_redis_tree_find(const struct nsm_redis_tree *tree, struct nsm_str key,
                         nsm_redis_match_fn *fn, void *arg)
{
    size_t at = last_not_greater(tree, key);
    while (at != NO_PARENT) {
        const struct nsm_redis_node *const node = &tree->nodes[at];
        if (nsm_redis_selector_matches(node->selector, key))
            fn(arg, node->index, key);
        at = node->parent;
    }
}
