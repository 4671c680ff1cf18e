/*
 * The values of one table of options. A value is parsed once, when the plan gives it, and kept with
 * the text it came from, so that getters only look up. Lookup is a walk along the table: tables
 * have a dozen options, and nobody asks per record.
 */
#include "migrate/engine/record/settings.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"
#include "migrate/engine/record/url.h"

#include <assert.h>

/* A plan is bounded itself; this bounds what one key of it may come to. */
#define LIST_MAX ((size_t)1 << 20)

/* Small, because a plan of ten thousand namespaces has one per option and side. */
struct value {
    bool is_given;  /* by the plan */
    bool has_value; /* given, or a default */
    bool is_list;
    union {
        struct {
            char *ptr;       /* NUL-terminated, may hold NUL */
            size_t len;      /* bytes */
            uint64_t number; /* BOOL, U64, DURATION, SIZE */
        } text;              /* all but LIST */
        struct {
            char **items;
            size_t n_items, cap_items;
        } list;
    };
};

struct nsm_settings {
    const struct nsm_option *table;
    size_t n_options;
    struct value values[];
};

static size_t count_options(const struct nsm_option *table)
{
    size_t n = 0;
    while (table && table[n].key)
        n++;
    return n;
}

struct nsm_settings *nsm_settings_new(const struct nsm_option *table)
{
    const size_t n_options = count_options(table);
    struct nsm_settings *settings =
        nsm_xcalloc(1, sizeof(*settings) + n_options * sizeof(settings->values[0]));
    settings->table = table;
    settings->n_options = n_options;
    return settings;
}

static void clear_value(struct value *value)
{
    if (!value->is_list) {
        free(value->text.ptr);
    } else {
        for (size_t i = 0; i < value->list.n_items; i++)
            free(value->list.items[i]);
        free(value->list.items);
    }
    *value = (struct value){0};
}

void nsm_settings_free(struct nsm_settings *settings)
{
    if (!settings)
        return;
    for (size_t i = 0; i < settings->n_options; i++)
        clear_value(&settings->values[i]);
    free(settings);
}

const struct nsm_option *nsm_option_find(const struct nsm_option *table, const char *key)
{
    for (const struct nsm_option *option = table; option && option->key; option++) {
        if (strcmp(option->key, key) == 0)
            return option;
    }
    return NULL;
}

static void write_choices(const char *choices, struct nsm_buf *out)
{
    struct nsm_str word;
    const char *separator = "one of ";
    while (nsm_next_word(&choices, &word)) {
        nsm_buf_append_cstr(out, separator);
        nsm_buf_append_str(out, word);
        separator = ", ";
    }
}

void nsm_option_expected(const struct nsm_option *option, struct nsm_buf *out)
{
    switch (option->type) {
    case NSM_OPTION_STRING:
        nsm_buf_append_cstr(out, "a string");
        break;
    case NSM_OPTION_URL:
        nsm_buf_append_cstr(out, "a URL");
        break;
    case NSM_OPTION_PATH:
        nsm_buf_append_cstr(out, "a path");
        break;
    case NSM_OPTION_BOOL:
        nsm_buf_append_cstr(out, "true or false");
        break;
    case NSM_OPTION_U64:
        nsm_buf_append_cstr(out, "a whole number");
        break;
    case NSM_OPTION_DURATION:
        nsm_buf_append_cstr(out, "a duration like 200ms");
        break;
    case NSM_OPTION_SIZE:
        nsm_buf_append_cstr(out, "a size like 4MiB");
        break;
    case NSM_OPTION_ENUM:
        write_choices(option->choices, out);
        break;
    case NSM_OPTION_LIST:
        nsm_buf_append_cstr(out, "a sequence of strings");
        break;
    }
}

static bool has_nul(struct nsm_str text)
{
    return text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL;
}

static bool is_choice(const char *choices, struct nsm_str text)
{
    struct nsm_str word;
    while (nsm_next_word(&choices, &word)) {
        if (nsm_str_equals(word, text))
            return true;
    }
    return false;
}

/* Whether `text` is a value of the option; its number, where it has one. */
static bool parse_value(const struct nsm_option *option, struct nsm_str text, uint64_t *ret_number)
{
    int64_t ms = 0;
    switch (option->type) {
    case NSM_OPTION_STRING:
        return (option->flags & NSM_OPTION_BYTES) || !has_nul(text);
    case NSM_OPTION_URL:
    case NSM_OPTION_PATH:
        return text.len > 0 && !has_nul(text);
    case NSM_OPTION_BOOL:
        *ret_number = nsm_str_equals(text, NSM_STR_LIT("true"));
        return *ret_number || nsm_str_equals(text, NSM_STR_LIT("false"));
    case NSM_OPTION_U64:
        return nsm_parse_u64(text, ret_number);
    case NSM_OPTION_DURATION:
        if (!nsm_parse_duration_ms(text, &ms) || ms < 0)
            return false;
        *ret_number = (uint64_t)ms;
        return true;
    case NSM_OPTION_SIZE:
        return nsm_parse_size(text, ret_number);
    case NSM_OPTION_ENUM:
        return is_choice(option->choices, text);
    case NSM_OPTION_LIST:
        return !has_nul(text);
    }
    return false;
}

static struct nsm_error *value_error(const struct nsm_option *option, struct nsm_str text)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&message, "expected ");
    nsm_option_expected(option, &message);
    if (has_nul(text)) {
        nsm_buf_append_cstr(&message, ", found a NUL byte");
    } else if (text.len == 0) {
        nsm_buf_append_cstr(&message, ", found nothing");
    } else if (!(option->flags & NSM_OPTION_SECRET)) {
        nsm_buf_append_cstr(&message, ", found ");
        nsm_quote(text, &message);
        if (option->type == NSM_OPTION_ENUM) {
            struct nsm_nearest nearest = nsm_nearest_to(text);
            nsm_nearest_offer_words(&nearest, option->choices);
            nsm_nearest_write(&nearest, &message);
        }
    }
    return nsm_error_new(NSM_E_INVALID, "%s", message.ptr);
}

static void add_item(struct value *value, char *item)
{
    NSM_GROW(value->list.items, value->list.n_items, value->list.cap_items);
    value->list.items[value->list.n_items++] = item;
}

/* A value without an option of type LIST has no items, and the other way round. */
static struct nsm_str text_of(const struct value *value)
{
    if (value->is_list)
        return (struct nsm_str){0};
    return (struct nsm_str){.ptr = value->text.ptr, .len = value->text.len};
}

static size_t count_items(const struct value *value)
{
    return value->is_list ? value->list.n_items : 0;
}

static uint64_t number_of(const struct value *value)
{
    return value->is_list ? 0 : value->text.number;
}

static struct nsm_error *set_value(const struct nsm_option *option, struct value *value,
                                   struct nsm_str text)
{
    uint64_t number = 0;
    if (!parse_value(option, text, &number))
        return value_error(option, text);
    if (option->type == NSM_OPTION_LIST) {
        if (value->list.n_items >= LIST_MAX)
            return nsm_error_new(NSM_E_INVALID, "expected at most %zu strings", LIST_MAX);
        value->is_list = true;
        add_item(value, nsm_xstrndup(text));
    } else {
        clear_value(value);
        value->text.ptr = nsm_xstrndup(text);
        value->text.len = text.len;
        value->text.number = number;
    }
    value->has_value = true;
    return NULL;
}

struct nsm_error *nsm_settings_set(struct nsm_settings *settings, const char *key,
                                   struct nsm_str text)
{
    const struct nsm_option *const option = nsm_option_find(settings->table, key);
    if (!option)
        return nsm_error_new(NSM_E_NOTFOUND, "no option \"%s\"", key);
    struct value *const value = &settings->values[option - settings->table];
    NSM_TRY(set_value(option, value, text));
    value->is_given = true;
    return NULL;
}

static bool excludes(const struct nsm_option *option, const struct nsm_option *other)
{
    return is_choice(option->excludes, nsm_str_of(other->key)) ||
           is_choice(other->excludes, nsm_str_of(option->key));
}

/* The first given option that may not stand beside option `i`; NULL when there is none. */
static const struct nsm_option *find_excluding(const struct nsm_settings *settings, size_t i)
{
    for (size_t j = 0; j < settings->n_options; j++) {
        if (j != i && settings->values[j].is_given &&
            excludes(&settings->table[i], &settings->table[j]))
            return &settings->table[j];
    }
    return NULL;
}

/* Of a required option that is absent: "needs `url`", with those that may stand in its place. */
static struct nsm_error *missing_error(const struct nsm_settings *settings, size_t i)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    nsm_buf_printf(&message, "\"%s\"", settings->table[i].key);
    for (size_t j = 0; j < settings->n_options; j++) {
        if (j != i && (settings->table[j].flags & NSM_OPTION_REQUIRED) &&
            excludes(&settings->table[i], &settings->table[j]))
            nsm_buf_printf(&message, " or \"%s\"", settings->table[j].key);
    }
    return nsm_error_new(NSM_E_INVALID, "missing key %s: %s", message.ptr, settings->table[i].help);
}

struct nsm_error *nsm_settings_finish(struct nsm_settings *settings)
{
    for (size_t i = 0; i < settings->n_options; i++) {
        const struct nsm_option *const option = &settings->table[i];
        struct value *const value = &settings->values[i];
        const struct nsm_option *const other = find_excluding(settings, i);
        if (value->is_given && other)
            return nsm_error_new(NSM_E_INVALID, "\"%s\" can't stand beside \"%s\"", option->key,
                                 other->key);
        if (value->is_given || other)
            continue;
        if (option->flags & NSM_OPTION_REQUIRED)
            return missing_error(settings, i);
        if (option->default_text && !value->has_value)
            NSM_TRY_WRAP(set_value(option, value, nsm_str_of(option->default_text)),
                         "default of \"%s\"", option->key);
    }
    return NULL;
}

static const struct value *find_value(const struct nsm_settings *settings, const char *key)
{
    const struct nsm_option *const option = nsm_option_find(settings->table, key);
    assert(option);
    return &settings->values[option - settings->table];
}

bool nsm_settings_has(const struct nsm_settings *settings, const char *key)
{
    return find_value(settings, key)->has_value;
}

const char *nsm_settings_string(const struct nsm_settings *settings, const char *key)
{
    return text_of(find_value(settings, key)).ptr;
}

struct nsm_str nsm_settings_bytes(const struct nsm_settings *settings, const char *key)
{
    return text_of(find_value(settings, key));
}

bool nsm_settings_bool(const struct nsm_settings *settings, const char *key)
{
    return number_of(find_value(settings, key)) != 0;
}

uint64_t nsm_settings_u64(const struct nsm_settings *settings, const char *key)
{
    return number_of(find_value(settings, key));
}

size_t nsm_settings_list_size(const struct nsm_settings *settings, const char *key)
{
    return count_items(find_value(settings, key));
}

const char *nsm_settings_list_at(const struct nsm_settings *settings, const char *key, size_t index)
{
    const struct value *const value = find_value(settings, key);
    assert(index < count_items(value));
    return value->list.items[index];
}

/* In quotes, with lengths no reader could mistake: what ends a value is escaped inside it. */
static void write_text(struct nsm_str text, struct nsm_buf *out)
{
    nsm_buf_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            nsm_buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            nsm_buf_printf(out, "\\x%02x", (unsigned)c);
        else
            nsm_buf_append_char(out, (char)c);
    }
    nsm_buf_append_char(out, '"');
}

static void write_value(const struct nsm_option *option, const struct value *value,
                        struct nsm_buf *out)
{
    const struct nsm_str text = text_of(value);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf url = NSM_BUF_TEXT;
    switch (option->type) {
    case NSM_OPTION_BOOL:
    case NSM_OPTION_U64:
    case NSM_OPTION_DURATION:
    case NSM_OPTION_SIZE:
        nsm_buf_append_u64(out, number_of(value));
        break;
    case NSM_OPTION_URL:
        nsm_url_strip(text, &url);
        write_text(nsm_buf_view(&url), out);
        break;
    case NSM_OPTION_LIST:
        nsm_buf_append_char(out, '[');
        for (size_t i = 0; i < count_items(value); i++) {
            nsm_buf_append_cstr(out, i ? "," : "");
            write_text(nsm_str_of(value->list.items[i]), out);
        }
        nsm_buf_append_char(out, ']');
        break;
    case NSM_OPTION_STRING:
    case NSM_OPTION_PATH:
    case NSM_OPTION_ENUM:
        write_text(text, out);
        break;
    }
}

void nsm_settings_write(const struct nsm_settings *settings, struct nsm_buf *out)
{
    const char *separator = "";
    for (size_t i = 0; i < settings->n_options; i++) {
        const struct nsm_option *const option = &settings->table[i];
        const struct value *const value = &settings->values[i];
        if (!value->has_value || (option->flags & NSM_OPTION_SECRET))
            continue;
        nsm_buf_printf(out, "%s%s=", separator, option->key);
        write_value(option, value, out);
        separator = " ";
    }
}

/* A heap copy of `text` with every `placeholder` replaced by `value`; *ret_len counts its bytes. */
static char *replace_all(struct nsm_str text, struct nsm_str placeholder, struct nsm_str value,
                         size_t *ret_len)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    while (text.len > 0) {
        const char *const at = memmem(text.ptr, text.len, placeholder.ptr, placeholder.len);
        const size_t n = at ? (size_t)(at - text.ptr) : text.len;
        nsm_buf_append(&out, text.ptr, n);
        if (at)
            nsm_buf_append_str(&out, value);
        text = nsm_str_skip(text, at ? n + placeholder.len : n);
    }
    *ret_len = out.len;
    return nsm_buf_detach(&out);
}

struct nsm_settings *nsm_settings_substitute(const struct nsm_settings *settings, const char *name,
                                             const char *value)
{
    NSM_CLEANUP(nsm_freep) char *placeholder = nsm_xasprintf("{%s}", name);
    const struct nsm_str from = nsm_str_of(placeholder);
    const struct nsm_str to = nsm_str_of(value);
    struct nsm_settings *copy = nsm_settings_new(settings->table);
    for (size_t i = 0; i < settings->n_options; i++) {
        const struct value *const old = &settings->values[i];
        struct value *const new = &copy->values[i];
        *new = (struct value){
            .is_given = old->is_given, .has_value = old->has_value, .is_list = old->is_list};
        size_t len = 0;
        for (size_t j = 0; j < count_items(old); j++)
            add_item(new, replace_all(nsm_str_of(old->list.items[j]), from, to, &len));
        if (old->is_list || !old->text.ptr)
            continue;
        new->text.ptr = replace_all(text_of(old), from, to, &new->text.len);
        new->text.number = old->text.number;
    }
    return copy;
}
