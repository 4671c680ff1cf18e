/*
 * The JSON Schema of plans, for editors: from the tables that parsing reads too, so that an editor
 * can't accept a key that the program refuses. Any value may come from an environment variable, so
 * every type also admits a string with ${...} in it.
 */
#include "migrate/base/hint.h"
#include "migrate/engine/plan_internal.h"

#include <inttypes.h>

/* A JSON text that is being written, pretty-printed. */
struct writer {
    struct nsm_buf *out;
    unsigned depth;
    bool is_first; /* nothing stands in the innermost object or array yet */
};

static void new_line(struct writer *w)
{
    nsm_buf_append_char(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++)
        nsm_buf_append_cstr(w->out, "  ");
}

/* Begins the next item of the innermost array. */
static void item(struct writer *w)
{
    if (!w->is_first)
        nsm_buf_append_char(w->out, ',');
    if (w->depth > 0)
        new_line(w);
    w->is_first = false;
}

static void text(struct writer *w, struct nsm_str s)
{
    nsm_buf_append_char(w->out, '"');
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            nsm_buf_printf(w->out, "\\%c", c);
        else if (c < 0x20)
            nsm_buf_printf(w->out, "\\u%04x", (unsigned)c);
        else
            nsm_buf_append_char(w->out, (char)c);
    }
    nsm_buf_append_char(w->out, '"');
}

static void key(struct writer *w, const char *name)
{
    item(w);
    text(w, nsm_str_of(name));
    nsm_buf_append_cstr(w->out, ": ");
}

static void open_with(struct writer *w, char bracket)
{
    nsm_buf_append_char(w->out, bracket);
    w->depth++;
    w->is_first = true;
}

static void close_with(struct writer *w, char bracket)
{
    w->depth--;
    if (!w->is_first)
        new_line(w);
    nsm_buf_append_char(w->out, bracket);
    w->is_first = false;
}

static void key_text(struct writer *w, const char *name, const char *value)
{
    key(w, name);
    text(w, nsm_str_of(value));
}

/* `json` as it is: a number, true, or a short array. */
static void key_raw(struct writer *w, const char *name, const char *json)
{
    key(w, name);
    nsm_buf_append_cstr(w->out, json);
}

static void key_u64(struct writer *w, const char *name, uint64_t value)
{
    key(w, name);
    nsm_buf_append_u64(w->out, value);
}

/* "a|b" as ["a", "b"]. */
static void key_words(struct writer *w, const char *name, const char *words)
{
    struct nsm_str word;
    const char *separator = "[";
    key(w, name);
    while (nsm_next_word(&words, &word)) {
        nsm_buf_append_cstr(w->out, separator);
        text(w, word);
        separator = ", ";
    }
    nsm_buf_append_char(w->out, ']');
}

static void variable_item(struct writer *w)
{
    item(w);
    nsm_buf_append_cstr(w->out, "{\"$ref\": \"#/$defs/variable\"}");
}

/* ---- one option ---- */

static const struct nsm_plan_pattern *find_pattern(const struct nsm_plan_table *table,
                                                   const char *name)
{
    for (const struct nsm_plan_pattern *p = table ? table->patterns : NULL; p && p->key; p++) {
        if (strcmp(p->key, name) == 0)
            return p;
    }
    return NULL;
}

/* YAML reads 2026 and true as no strings; here they are text like any other. */
static void write_text_type(struct writer *w, const struct nsm_plan_table *table,
                            const struct nsm_option *option)
{
    const struct nsm_plan_pattern *const pattern = find_pattern(table, option->key);
    key_raw(w, "type", "[\"string\", \"number\", \"boolean\"]");
    if (!pattern)
        return;
    if (pattern->pattern)
        key_text(w, "pattern", pattern->pattern);
    key_u64(w, "minLength", 1);
    key_u64(w, "maxLength", pattern->max_bytes);
}

static void write_integer_type(struct writer *w, const struct nsm_plan_table *table,
                               const struct nsm_option *option)
{
    const struct nsm_plan_range *const range =
        table ? nsm_plan_range_find(table, option->key) : NULL;
    key_text(w, "type", "integer");
    key_u64(w, "minimum", range ? range->min : 0);
    if (range)
        key_u64(w, "maximum", range->max);
}

static void write_scalar_type(struct writer *w, const struct nsm_plan_table *table,
                              const struct nsm_option *option)
{
    switch (option->type) {
    case NSM_OPTION_STRING:
    case NSM_OPTION_URL:
    case NSM_OPTION_PATH:
    case NSM_OPTION_LIST:
        write_text_type(w, table, option);
        break;
    case NSM_OPTION_BOOL:
        key_text(w, "type", "boolean");
        break;
    case NSM_OPTION_U64:
        write_integer_type(w, table, option);
        break;
    case NSM_OPTION_DURATION:
        key_raw(w, "type", "[\"string\", \"integer\"]");
        key_text(w, "pattern", "^(0|[0-9]+(ms|s|m|h|d))$");
        key_u64(w, "maximum", 0);
        key_u64(w, "minimum", 0);
        break;
    case NSM_OPTION_SIZE:
        key_raw(w, "type", "[\"string\", \"integer\"]");
        key_text(w, "pattern", "^[0-9]+(B|[KMGT]i?B)?$");
        key_u64(w, "minimum", 0);
        break;
    case NSM_OPTION_ENUM:
        key_words(w, "enum", option->choices);
        break;
    }
}

static void write_default(struct writer *w, const struct nsm_option *option)
{
    const bool is_json = option->type == NSM_OPTION_BOOL || option->type == NSM_OPTION_U64;
    if (option->default_text && is_json)
        key_raw(w, "default", option->default_text);
    else if (option->default_text)
        key_text(w, "default", option->default_text);
}

/* The schemas of one value: the option's own type, or a variable. */
static void write_alternatives(struct writer *w, const struct nsm_plan_table *table,
                               const struct nsm_option *option)
{
    item(w);
    open_with(w, '{');
    write_scalar_type(w, table, option);
    close_with(w, '}');
    variable_item(w);
}

/* "key": {...}; `table` is the plan's when the option is one of its own, NULL for an adapter's. */
static void write_option(struct writer *w, const struct nsm_plan_table *table,
                         const struct nsm_option *option)
{
    key(w, option->key);
    open_with(w, '{');
    key_text(w, "description", option->help);
    write_default(w, option);
    const bool is_any_text = option->type == NSM_OPTION_STRING || option->type == NSM_OPTION_URL ||
                             option->type == NSM_OPTION_PATH;
    if (is_any_text && !find_pattern(table, option->key)) {
        write_text_type(w, table, option);
    } else {
        key(w, "anyOf");
        open_with(w, '[');
        write_alternatives(w, table, option);
        if (option->type == NSM_OPTION_LIST) {
            item(w);
            open_with(w, '{');
            key_text(w, "type", "array");
            key_u64(w, "minItems", 1);
            key(w, "items");
            open_with(w, '{');
            key(w, "anyOf");
            open_with(w, '[');
            write_alternatives(w, table, option);
            close_with(w, ']');
            close_with(w, '}');
            close_with(w, '}');
        }
        close_with(w, ']');
    }
    close_with(w, '}');
}

static void write_options(struct writer *w, const struct nsm_plan_table *table,
                          const struct nsm_option *options)
{
    for (const struct nsm_option *option = options; option && option->key; option++)
        write_option(w, table, option);
}

/* ---- what must, and must not, stand together ---- */

static bool excludes(const struct nsm_option *option, const struct nsm_option *other)
{
    const char *words = option->excludes;
    struct nsm_str word;
    while (nsm_next_word(&words, &word)) {
        if (nsm_str_equals(word, nsm_str_of(other->key)))
            return true;
    }
    return false;
}

static bool are_excluding(const struct nsm_option *a, const struct nsm_option *b)
{
    return a != b && (excludes(a, b) || excludes(b, a));
}

static bool has_excluding(const struct nsm_option *options, const struct nsm_option *option)
{
    for (const struct nsm_option *other = options; other->key; other++) {
        if (are_excluding(option, other))
            return true;
    }
    return false;
}

static void required_item(struct writer *w, const char *name)
{
    item(w);
    nsm_buf_append_cstr(w->out, "{\"required\": [");
    text(w, nsm_str_of(name));
    nsm_buf_append_cstr(w->out, "]}");
}

static void not_both_item(struct writer *w, const char *a, const char *b)
{
    item(w);
    nsm_buf_append_cstr(w->out, "{\"not\": {\"required\": [");
    text(w, nsm_str_of(a));
    nsm_buf_append_cstr(w->out, ", ");
    text(w, nsm_str_of(b));
    nsm_buf_append_cstr(w->out, "]}}");
}

/* A required option, or one that stands in its place. */
static void one_of_item(struct writer *w, const struct nsm_option *options,
                        const struct nsm_option *option)
{
    item(w);
    open_with(w, '{');
    key(w, "anyOf");
    open_with(w, '[');
    required_item(w, option->key);
    for (const struct nsm_option *other = options; other->key; other++) {
        if (are_excluding(option, other))
            required_item(w, other->key);
    }
    close_with(w, ']');
    close_with(w, '}');
}

static void word_in_list(struct writer *w, const char *word, bool *is_first)
{
    nsm_buf_append_cstr(w->out, *is_first ? "" : ", ");
    text(w, nsm_str_of(word));
    *is_first = false;
}

static void write_required(struct writer *w, const struct nsm_plan_table *table,
                           const struct nsm_option *options)
{
    const struct nsm_option *const both[] = {table->options, options};
    bool is_first = true;
    key(w, "required");
    nsm_buf_append_char(w->out, '[');
    for (size_t i = 0; i < NSM_COUNT_OF(both); i++) {
        for (const struct nsm_option *option = both[i]; option->key; option++) {
            if ((option->flags & NSM_OPTION_REQUIRED) && !has_excluding(both[i], option))
                word_in_list(w, option->key, &is_first);
        }
    }
    for (const struct nsm_plan_section *section = table->sections; section->key; section++) {
        if (section->is_required)
            word_in_list(w, section->key, &is_first);
    }
    nsm_buf_append_char(w->out, ']');
}

/* Only an adapter's options exclude each other. */
static void write_exclusions(struct writer *w, const struct nsm_option *options)
{
    bool is_any = false;
    for (const struct nsm_option *option = options; option->key; option++)
        is_any = is_any || has_excluding(options, option);
    if (!is_any)
        return;
    key(w, "allOf");
    open_with(w, '[');
    for (const struct nsm_option *option = options; option->key; option++) {
        for (const struct nsm_option *other = option + 1; other->key; other++) {
            if (are_excluding(option, other))
                not_both_item(w, option->key, other->key);
        }
        if ((option->flags & NSM_OPTION_REQUIRED) && has_excluding(options, option))
            one_of_item(w, options, option);
    }
    close_with(w, ']');
}

/* ---- the sections ---- */

static const struct nsm_option no_options[] = {{0}};

static void key_ref(struct writer *w, const char *name, const char *definition)
{
    key(w, name);
    nsm_buf_printf(w->out, "{\"$ref\": \"#/$defs/%s\"}", definition);
}

/* "NAME": an object with the plan's own keys and an adapter's, and nothing else. */
static void key_object(struct writer *w, const char *name, const struct nsm_plan_table *table,
                       const struct nsm_option *options)
{
    key(w, name);
    open_with(w, '{');
    key_text(w, "type", "object");
    key_text(w, "description", table->help);
    key(w, "properties");
    open_with(w, '{');
    write_options(w, table, table->options);
    write_options(w, NULL, options);
    close_with(w, '}');
    write_required(w, table, options ? options : no_options);
    write_exclusions(w, options ? options : no_options);
    key_raw(w, "additionalProperties", "false");
    close_with(w, '}');
}

/* The adapters that have that capability, or all with 0. */
static const struct nsm_adapter *next_adapter(const struct nsm_adapter_source *adapters,
                                              unsigned cap, size_t *index)
{
    const struct nsm_adapter *adapter = adapters->at(adapters->arg, (*index)++);
    while (adapter && (adapter->caps & cap) != cap)
        adapter = adapters->at(adapters->arg, (*index)++);
    return adapter;
}

static void write_backend_choice(struct writer *w, const struct nsm_adapter *adapter)
{
    item(w);
    open_with(w, '{');
    key(w, "if");
    nsm_buf_append_cstr(w->out, "{\"properties\": {\"adapter\": {\"const\": ");
    text(w, nsm_str_of(adapter->name));
    nsm_buf_append_cstr(w->out, "}}, \"required\": [\"adapter\"]}");
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf definition = NSM_BUF_TEXT;
    nsm_buf_printf(&definition, "backend-%s", adapter->name);
    key_ref(w, "then", definition.ptr);
    close_with(w, '}');
}

/* Which options a backend has, its adapter says: one `if` for each. */
static void write_backends(struct writer *w, const struct nsm_adapter_source *adapters)
{
    const struct nsm_adapter *adapter = NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf name = NSM_BUF_TEXT;
    key(w, "backend");
    open_with(w, '{');
    key_text(w, "type", "object");
    key_text(w, "description", nsm_plan_backend_keys.help);
    key(w, "properties");
    nsm_buf_append_cstr(w->out, "{\"adapter\": {\"anyOf\": [{\"enum\": [");
    bool is_first = true;
    for (size_t i = 0; (adapter = next_adapter(adapters, 0, &i));)
        word_in_list(w, adapter->name, &is_first);
    nsm_buf_append_cstr(w->out, "]}, {\"$ref\": \"#/$defs/variable\"}]}}");
    key_raw(w, "required", "[\"adapter\"]");
    key(w, "allOf");
    open_with(w, '[');
    for (size_t i = 0; (adapter = next_adapter(adapters, 0, &i));)
        write_backend_choice(w, adapter);
    close_with(w, ']');
    close_with(w, '}');
    for (size_t i = 0; (adapter = next_adapter(adapters, 0, &i));) {
        nsm_buf_clear(&name);
        nsm_buf_printf(&name, "backend-%s", adapter->name);
        key_object(w, name.ptr, &nsm_plan_backend_keys, adapter->backend_options);
    }
}

/* Which adapter a side is of, its backend's name says, elsewhere: any that fits. */
static void write_sides(struct writer *w, const struct nsm_adapter_source *adapters,
                        const struct nsm_plan_table *table, unsigned cap)
{
    const struct nsm_adapter *adapter = NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf name = NSM_BUF_TEXT;
    key(w, table->what);
    open_with(w, '{');
    key_text(w, "description", table->help);
    key(w, "anyOf");
    open_with(w, '[');
    for (size_t i = 0; (adapter = next_adapter(adapters, cap, &i));) {
        item(w);
        nsm_buf_printf(w->out, "{\"$ref\": \"#/$defs/%s-%s\"}", table->what, adapter->name);
    }
    close_with(w, ']');
    close_with(w, '}');
    for (size_t i = 0; (adapter = next_adapter(adapters, cap, &i));) {
        nsm_buf_clear(&name);
        nsm_buf_printf(&name, "%s-%s", table->what, adapter->name);
        key_object(w, name.ptr, table,
                   cap == NSM_CAP_SOURCE ? adapter->source_options : adapter->destination_options);
    }
}

/* The keys that any adapter lists; exactly one of them stands beside `backend`. */
static void write_for_each(struct writer *w, const struct nsm_adapter_source *adapters)
{
    const struct nsm_plan_table *const table = &nsm_plan_for_each_keys;
    const struct nsm_adapter *adapter = NULL;
    key(w, "for_each");
    open_with(w, '{');
    key_text(w, "type", "object");
    key_text(w, "description", table->help);
    key(w, "properties");
    open_with(w, '{');
    write_options(w, table, table->options);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf seen = NSM_BUF_TEXT;
    nsm_buf_append_char(&seen, '|');
    for (size_t i = 0; (adapter = next_adapter(adapters, 0, &i));) {
        const char *words = adapter->list_keys;
        struct nsm_str word;
        while (nsm_next_word(&words, &word)) {
            NSM_CLEANUP(nsm_buf_release) struct nsm_buf name = NSM_BUF_TEXT;
            nsm_buf_printf(&name, "|%.*s|", NSM_STR_ARG(word));
            if (strstr(seen.ptr, name.ptr))
                continue;
            nsm_buf_append_cstr(&seen, name.ptr + 1);
            nsm_buf_truncate(&name, name.len - 1);
            write_option(w, NULL,
                         &(struct nsm_option){.key = name.ptr + 1,
                                              .type = NSM_OPTION_STRING,
                                              .help = "a glob of the names to list"});
        }
    }
    close_with(w, '}');
    write_required(w, table, no_options);
    key_raw(w, "minProperties", "2");
    key_raw(w, "maxProperties", "2");
    key_raw(w, "additionalProperties", "false");
    close_with(w, '}');
}

static void write_namespace(struct writer *w)
{
    const struct nsm_plan_table *const table = &nsm_plan_namespace_keys;
    key(w, "namespace");
    open_with(w, '{');
    key_text(w, "type", "object");
    key_text(w, "description", table->help);
    key(w, "properties");
    open_with(w, '{');
    write_options(w, table, table->options);
    for (const struct nsm_plan_section *section = table->sections; section->key; section++)
        key_ref(w, section->key, section->key);
    close_with(w, '}');
    write_required(w, table, no_options);
    key_raw(w, "additionalProperties", "false");
    close_with(w, '}');
}

static void write_columns(struct writer *w)
{
    static const char name[] = "{\"type\": [\"string\", \"number\", \"boolean\"]}";
    key(w, "columns");
    nsm_buf_append_cstr(w->out, "{\"anyOf\": [{\"$ref\": \"#/$defs/table-columns\"}, "
                                "{\"type\": \"object\", \"additionalProperties\": "
                                "{\"$ref\": \"#/$defs/table-columns\"}}]}");
    key(w, "table-columns");
    nsm_buf_printf(w->out,
                   "{\"type\": [\"array\", \"object\"], \"minItems\": 1, \"maxItems\": %d, "
                   "\"items\": %s, \"minProperties\": 1, \"maxProperties\": %d, "
                   "\"additionalProperties\": %s}",
                   NSM_PLAN_COLUMNS_MAX, name, NSM_PLAN_COLUMNS_MAX, name);
}

static void write_backends_key(struct writer *w)
{
    key(w, "backends");
    open_with(w, '{');
    key_text(w, "type", "object");
    key_text(w, "description", "the stores, each under a name of its own");
    key_raw(w, "minProperties", "1");
    key(w, "propertyNames");
    open_with(w, '{');
    key_text(w, "pattern", NSM_PLAN_BACKEND_PATTERN);
    key_u64(w, "maxLength", NSM_PLAN_BACKEND_MAX);
    close_with(w, '}');
    key_ref(w, "additionalProperties", "backend");
    close_with(w, '}');
}

static void write_namespaces_key(struct writer *w)
{
    key(w, "namespaces");
    open_with(w, '{');
    key_text(w, "type", "array");
    key_text(w, "description", "what is moved, in this order");
    key_raw(w, "minItems", "1");
    key_ref(w, "items", "namespace");
    close_with(w, '}');
}

static void write_definitions(struct writer *w, const struct nsm_adapter_source *adapters)
{
    key(w, "$defs");
    open_with(w, '{');
    key(w, "variable");
    open_with(w, '{');
    key_text(w, "type", "string");
    key_text(w, "description", "a value with ${NAME} or ${NAME:-default} from the environment");
    key_text(w, "pattern", "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}");
    close_with(w, '}');
    write_namespace(w);
    write_sides(w, adapters, &nsm_plan_source_keys, NSM_CAP_SOURCE);
    write_sides(w, adapters, &nsm_plan_destination_keys, NSM_CAP_DESTINATION);
    write_for_each(w, adapters);
    write_columns(w);
    write_backends(w, adapters);
    close_with(w, '}');
}

void nsm_plan_write_schema(const struct nsm_adapter_source *adapters, struct nsm_buf *out)
{
    const struct nsm_plan_table *const table = &nsm_plan_keys;
    struct writer w = {.out = out, .is_first = true};
    open_with(&w, '{');
    key_text(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    key_text(&w, "title", "nsmigrate plan");
    key_text(&w, "description", table->help);
    key_text(&w, "type", "object");
    key(&w, "properties");
    open_with(&w, '{');
    write_options(&w, table, table->options);
    key_object(&w, "batch", &nsm_plan_batch_keys, NULL);
    key_object(&w, "retry", &nsm_plan_retry_keys, NULL);
    write_backends_key(&w);
    write_namespaces_key(&w);
    close_with(&w, '}');
    write_required(&w, table, no_options);
    key_raw(&w, "additionalProperties", "false");
    write_definitions(&w, adapters);
    close_with(&w, '}');
    nsm_buf_append_char(out, '\n');
}
