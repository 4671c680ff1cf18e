/*
 * What no single key of a plan can tell: whether two namespaces get in each other's way, and
 * whether the plan is still the one that an interrupted run began with.
 *
 * Whether two destinations are one is judged from the plan's text alone, before any store is
 * reached. What only the stores can tell (two URLs of one server, tables that two selections share)
 * is found at survey and inspection.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"
#include "migrate/engine/plan_internal.h"

#include <inttypes.h>
#include <xxhash.h>

struct nsm_error *nsm_plan_check_namespace_name(struct nsm_str name)
{
    if (name.len == 0)
        return nsm_error_new(NSM_E_INVALID, "expected a name, found nothing");
    if (name.len > NSM_PLAN_NAMESPACE_MAX)
        return nsm_error_new(NSM_E_INVALID, "expected a name of at most %d bytes, found %zu bytes",
                             NSM_PLAN_NAMESPACE_MAX, name.len);
    if (!nsm_is_utf8(name))
        return nsm_error_new(NSM_E_INVALID, "expected a name in UTF-8, found other bytes");
    for (size_t i = 0; i < name.len; i++) {
        const unsigned char c = (unsigned char)name.ptr[i];
        const bool is_c1 = c == 0xc2 && (unsigned char)name.ptr[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || is_c1)
            return nsm_error_new(NSM_E_INVALID,
                                 "expected a name without control characters, found 0x%02x",
                                 (unsigned)(is_c1 ? (unsigned char)name.ptr[i + 1] : c));
    }
    return NULL;
}

/* ---- destinations ---- */

/* Appends one value so that no two different ones look alike. */
static void write_value(const struct nsm_option *option, const struct nsm_settings *settings,
                        struct nsm_buf *out)
{
    nsm_buf_printf(out, "%s=", option->key);
    const struct nsm_str text = nsm_settings_bytes(settings, option->key);
    if (option->type != NSM_OPTION_LIST) {
        nsm_buf_printf(out, "%zu:", text.len);
        nsm_buf_append_str(out, text);
    }
    for (size_t i = 0; i < nsm_settings_list_size(settings, option->key); i++) {
        const char *const item = nsm_settings_list_at(settings, option->key, i);
        nsm_buf_printf(out, "%zu:%s,", strlen(item), item);
    }
    nsm_buf_append_char(out, ';');
}

static bool has_word(const char *words, const char *key)
{
    struct nsm_str word;
    while (nsm_next_word(&words, &word)) {
        if (nsm_str_equals(word, nsm_str_of(key)))
            return true;
    }
    return false;
}

/* Whether a key that the destination gives may not stand beside `option`. */
static bool is_excluded(const struct nsm_option *table, const struct nsm_settings *settings,
                        const struct nsm_option *option)
{
    for (const struct nsm_option *other = table; other->key; other++) {
        if (other != option && nsm_settings_has(settings, other->key) &&
            (has_word(other->excludes, option->key) || has_word(option->excludes, other->key)))
            return true;
    }
    return false;
}

/* The destination's selection with what it leaves out taken from the source: the values of the
 * destination's own keys. *ret_has_table: a key "table" is among them. */
static void write_effective(const struct nsm_plan *plan, const struct nsm_plan_namespace *ns,
                            struct nsm_buf *out, bool *ret_has_table)
{
    static const struct nsm_option no_options[] = {{0}};
    const struct nsm_option *const to =
        plan->backends[ns->destination.backend].adapter->destination_options;
    const struct nsm_option *const from =
        plan->backends[ns->source.backend].adapter->source_options;
    *ret_has_table = false;
    for (const struct nsm_option *option = to ? to : no_options; option->key; option++) {
        const struct nsm_settings *giver = NULL;
        if (nsm_settings_has(ns->destination.selection, option->key))
            giver = ns->destination.selection;
        else if (nsm_option_find(from, option->key) &&
                 nsm_settings_has(ns->source.selection, option->key) &&
                 !is_excluded(to, ns->destination.selection, option))
            giver = ns->source.selection;
        if (!giver)
            continue;
        write_value(option, giver, out);
        *ret_has_table = *ret_has_table || strcmp(option->key, "table") == 0;
    }
}

/*
 * One text for the place that a namespace is written to: two namespaces with the same text are
 * written to the same place. Where the destination's keys name only what holds the objects (a
 * schema, a file, a prefix before the tables' names), the objects' names come from the source, so
 * its selection belongs to the text; where an object is named after the namespace, so does that
 * name.
 */
static void write_target(const struct nsm_plan *plan, const struct nsm_plan_namespace *ns,
                         struct nsm_buf *out)
{
    const unsigned from = plan->backends[ns->source.backend].adapter->caps;
    const unsigned to = plan->backends[ns->destination.backend].adapter->caps;
    bool has_table = false;
    nsm_buf_printf(out, "%zu;", ns->destination.backend);
    const size_t n_before = out->len;
    write_effective(plan, ns, out, &has_table);
    const bool is_empty = out->len == n_before;
    const bool has_keys_on_both = (from & NSM_CAP_KEYS) && (to & NSM_CAP_KEYS);
    const bool is_named_by_source =
        is_empty || (!has_table && (from & NSM_CAP_ROWS) && !has_keys_on_both);
    const bool is_named_by_namespace =
        (to & NSM_CAP_ROWS) &&
        ((to & NSM_CAP_KEYS) ? is_empty : (from & NSM_CAP_KEYS) && !has_table);
    if (is_named_by_source)
        nsm_settings_write(ns->source.selection, out);
    if (is_named_by_namespace)
        nsm_buf_printf(out, ";%s", ns->name);
    nsm_key_template_write(&ns->key, out);
}

bool nsm_plan_is_onto_itself(const struct nsm_plan *plan, const struct nsm_plan_namespace *ns)
{
    if (ns->source.backend != ns->destination.backend)
        return false;
    const struct nsm_adapter *const adapter = plan->backends[ns->source.backend].adapter;
    for (const struct nsm_option *option = adapter->destination_options; option && option->key;
         option++) {
        const struct nsm_settings *const to = ns->destination.selection;
        const bool is_source_key = nsm_option_find(adapter->source_options, option->key) != NULL;
        if (!nsm_settings_has(to, option->key))
            continue;
        /* A key of the destination alone, at its default, moves nothing elsewhere. */
        const struct nsm_str text = nsm_settings_bytes(to, option->key);
        if (!is_source_key && option->default_text &&
            nsm_str_equals(text, nsm_str_of(option->default_text)))
            continue;
        if (!is_source_key || !nsm_settings_has(ns->source.selection, option->key))
            return false;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf read = NSM_BUF_TEXT;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf written = NSM_BUF_TEXT;
        write_value(option, ns->source.selection, &read);
        write_value(option, to, &written);
        if (!nsm_str_equals(nsm_buf_view(&read), nsm_buf_view(&written)))
            return false;
    }
    return true;
}

/* ---- uniqueness ---- */

/* A namespace under a text that no other may have: its name, or its target's digest. */
struct claim {
    XXH128_hash_t digest;
    size_t index;
};

static int compare_claims(const void *a, const void *b)
{
    const struct claim *const x = a;
    const struct claim *const y = b;
    const int order = XXH128_cmp(&x->digest, &y->digest);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Finds the first namespace in plan order whose claim an earlier one has. 128 bits stand for the
 * text: two that are equal by chance do not happen. */
static bool find_clash(struct claim *claims, size_t n_claims, size_t *ret_first, size_t *ret_again)
{
    bool is_found = false;
    qsort(claims, n_claims, sizeof(claims[0]), compare_claims);
    for (size_t i = 1; i < n_claims; i++) {
        if (!XXH128_isEqual(claims[i - 1].digest, claims[i].digest) ||
            (is_found && claims[i].index > *ret_again))
            continue;
        *ret_first = claims[i - 1].index;
        *ret_again = claims[i].index;
        is_found = true;
    }
    return is_found;
}

struct nsm_error *nsm_plan_check_unique(const struct nsm_plan *plan)
{
    const size_t n = plan->n_namespaces;
    NSM_CLEANUP(nsm_freep) struct claim *names = nsm_xcalloc(n + 1, sizeof(*names));
    NSM_CLEANUP(nsm_freep) struct claim *targets = nsm_xcalloc(n + 1, sizeof(*targets));
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    for (size_t i = 0; i < n; i++) {
        const struct nsm_plan_namespace *const ns = &plan->namespaces[i];
        nsm_buf_clear(&text);
        write_target(plan, ns, &text);
        targets[i] = (struct claim){.digest = XXH3_128bits(text.ptr, text.len), .index = i};
        names[i] = (struct claim){.digest = XXH3_128bits(ns->name, strlen(ns->name)), .index = i};
    }
    size_t first = 0;
    size_t again = 0;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf quoted = NSM_BUF_TEXT;
    if (find_clash(names, n, &first, &again)) {
        nsm_quote(nsm_str_of(plan->namespaces[again].name), &quoted);
        return nsm_yaml_error(plan->path, plan->namespaces[again].line,
                              plan->namespaces[again].column,
                              "two namespaces have the name %s; the other is in line %u",
                              quoted.ptr, plan->namespaces[first].line);
    }
    if (find_clash(targets, n, &first, &again)) {
        const struct nsm_plan_side *const side = &plan->namespaces[again].destination;
        nsm_quote(nsm_str_of(plan->namespaces[first].name), &quoted);
        return nsm_yaml_error(plan->path, side->line, side->column,
                              "the destination is that of namespace %s too, in line %u; give one "
                              "of them another",
                              quoted.ptr, plan->namespaces[first].destination.line);
    }
    return NULL;
}

/* ---- fingerprint ---- */

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_digest(XXH128_hash_t digest, struct nsm_buf *out)
{
    nsm_buf_printf(out, "%016" PRIx64 "%016" PRIx64, digest.high64, digest.low64);
}

/* A digest for each backend: its settings may be long, and every namespace names two. */
static XXH128_hash_t *digest_backends(const struct nsm_plan *plan)
{
    XXH128_hash_t *const digests = nsm_xcalloc(plan->n_backends + 1, sizeof(digests[0]));
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    for (size_t i = 0; i < plan->n_backends; i++) {
        const struct nsm_plan_backend *const backend = &plan->backends[i];
        nsm_buf_clear(&text);
        nsm_buf_printf(&text, "backend %s adapter %s ", backend->name, backend->adapter->name);
        nsm_settings_write(backend->settings, &text);
        digests[i] = XXH3_128bits(text.ptr, text.len);
    }
    return digests;
}

static void write_side(const XXH128_hash_t *backends, const struct nsm_plan_side *side,
                       struct nsm_buf *out)
{
    write_digest(backends[side->backend], out);
    nsm_buf_append_cstr(out, " selection ");
    nsm_settings_write(side->selection, out);
    nsm_buf_append_char(out, '\n');
}

static void write_namespace(const XXH128_hash_t *backends, const struct nsm_plan_namespace *ns,
                            struct nsm_buf *out)
{
    nsm_buf_printf(out, "namespace %zu:%s\n", strlen(ns->name), ns->name);
    write_side(backends, &ns->source, out);
    write_side(backends, &ns->destination, out);
    nsm_buf_printf(out, "layout %s if_exists %s verify %s\n", nsm_layout_name(ns->layout),
                   nsm_if_exists_name(ns->if_exists), nsm_verify_mode_name(ns->verify));
    NSM_CLEANUP(nsm_freep) const char **words = nsm_xcalloc(ns->n_allow_loss + 1, sizeof(char *));
    for (size_t i = 0; i < ns->n_allow_loss; i++)
        words[i] = ns->allow_loss[i];
    qsort(words, ns->n_allow_loss, sizeof(char *), compare_words);
    for (size_t i = 0; i < ns->n_allow_loss; i++)
        nsm_buf_printf(out, "allow_loss %s\n", words[i]);
    nsm_plan_write_columns(ns, out);
}

/* The order of the namespaces decides nothing, and backends that none of them names neither, so
 * that they are no part of it: the digests of the namespaces go in in an order of their own. */
void nsm_plan_set_fingerprint(struct nsm_plan *plan)
{
    const size_t n_all = plan->n_namespaces + plan->n_templates;
    NSM_CLEANUP(nsm_freep) XXH128_hash_t *backends = digest_backends(plan);
    NSM_CLEANUP(nsm_freep) struct claim *parts = nsm_xcalloc(n_all + 1, sizeof(*parts));
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    for (size_t i = 0; i < n_all; i++) {
        const bool is_plain = i < plan->n_namespaces;
        const struct nsm_plan_template *const tmpl =
            is_plain ? NULL : &plan->templates[i - plan->n_namespaces];
        nsm_buf_clear(&text);
        if (tmpl) {
            nsm_buf_append_cstr(&text, "for_each ");
            write_digest(backends[tmpl->backend], &text);
            nsm_buf_printf(&text, " %s %zu:%s\n", tmpl->key, strlen(tmpl->glob), tmpl->glob);
        }
        write_namespace(backends, tmpl ? &tmpl->namespace : &plan->namespaces[i], &text);
        parts[i].digest = XXH3_128bits(text.ptr, text.len);
    }
    qsort(parts, n_all, sizeof(parts[0]), compare_claims);
    nsm_buf_clear(&text);
    nsm_buf_printf(&text, "plan %d\n", NSM_PLAN_VERSION);
    for (size_t i = 0; i < n_all; i++)
        write_digest(parts[i].digest, &text);
    const XXH128_hash_t digest = XXH3_128bits(text.ptr, text.len);
    (void)snprintf(plan->fingerprint, sizeof(plan->fingerprint), "%016" PRIx64 "%016" PRIx64,
                   digest.high64, digest.low64);
}
