/*
 * The registry: built-in tables and loaded ones pass the same checks, so that a wrong table is an
 * error at start and not at the millionth row. Each table is copied into one of our own size: the
 * tail that an older adapter does not have reads as NULL.
 */
#include "adapters/registry.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>

#include "adapters/file/file.h"
#include "adapters/memory/memory.h"
#include "adapters/postgres/postgres.h"
#include "adapters/redis/redis.h"
#include "adapters/sqlite/sqlite.h"
#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"
#include "migrate/engine/record/settings.h"

struct entry {
    struct nsm_adapter *table; /* each on its own, so that a pointer to it lasts */
};

struct nsm_registry {
    struct entry *entries; /* in order of name */
    size_t n_entries, cap_entries;
};

typedef const struct nsm_adapter *nsm_adapter_entry_fn(unsigned host_abi);

/* ---- the rules ---- */

/* What must be there, and what must not, depending on the capabilities. */
struct op_rule {
    const char *name;
    size_t offset;
    unsigned needs;   /* may only be there with this capability; 0: always */
    bool is_required; /* must be there with it */
    const char *cap_name;
};

#define OP(member, cap, required, text)                                                  \
    {                                                                                    \
        .name = #member, .offset = offsetof(struct nsm_adapter, member), .needs = (cap), \
        .is_required = (required), .cap_name = (text)                                    \
    }

static const struct op_rule op_rules[] = {
    OP(open, 0, true, ""),
    OP(close, 0, true, ""),
    OP(check, 0, true, ""),
    OP(survey, NSM_CAP_SOURCE, true, "NSM_CAP_SOURCE"),
    OP(release_source, NSM_CAP_SOURCE, true, "NSM_CAP_SOURCE"),
    OP(reader_open, NSM_CAP_SOURCE, true, "NSM_CAP_SOURCE"),
    OP(read, NSM_CAP_SOURCE, true, "NSM_CAP_SOURCE"),
    OP(reader_close, NSM_CAP_SOURCE, true, "NSM_CAP_SOURCE"),
    OP(list, NSM_CAP_SOURCE, false, "NSM_CAP_SOURCE"),
    OP(define, NSM_CAP_SOURCE, false, "NSM_CAP_SOURCE"),
    OP(inspect, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(release_destination, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(prepare, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(writer_open, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(write, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(checkpoint, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(writer_close, NSM_CAP_DESTINATION, true, "NSM_CAP_DESTINATION"),
    OP(load_checkpoints, NSM_CAP_TX_CHECKPOINT, true, "NSM_CAP_TX_CHECKPOINT"),
    OP(reset_object, NSM_CAP_DESTINATION, false, "NSM_CAP_DESTINATION"),
    OP(plan_finish, NSM_CAP_DESTINATION, false, "NSM_CAP_DESTINATION"),
    OP(finish_step, NSM_CAP_DESTINATION, false, "NSM_CAP_DESTINATION"),
    OP(complete, NSM_CAP_DESTINATION, false, "NSM_CAP_DESTINATION"),
    OP(describe, NSM_CAP_SOURCE | NSM_CAP_DESTINATION, false,
       "NSM_CAP_SOURCE and NSM_CAP_DESTINATION"),
};

#define ALL_CAPS                                                                                  \
    (NSM_CAP_ROWS | NSM_CAP_KEYS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION | NSM_CAP_TX_CHECKPOINT | \
     NSM_CAP_SINGLE_WRITER | NSM_CAP_ARCHIVE | NSM_CAP_COLUMNS | NSM_CAP_EXPIRES)

#define BROKEN(...) nsm_error_new(NSM_E_INVALID, __VA_ARGS__)

static bool is_made_of(const char *text, const char *set)
{
    return text && text[0] && text[strspn(text, set)] == '\0';
}

/* Whether `word` is one of "a|b|c". */
static bool is_choice(const char *choices, const char *word)
{
    const size_t len = strlen(word);
    for (const char *at = choices; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, word, len) == 0 && (at[len] == '|' || at[len] == '\0'))
            return true;
    }
    return false;
}

static bool has_op(const struct nsm_adapter *adapter, const struct op_rule *rule)
{
    void (*fn)(void) = NULL;
    memcpy(&fn, (const char *)adapter + rule->offset, sizeof(fn));
    return fn != NULL;
}

static struct nsm_error *check_ops(const struct nsm_adapter *adapter)
{
    for (size_t i = 0; i < NSM_COUNT_OF(op_rules); i++) {
        const struct op_rule *const rule = &op_rules[i];
        const bool is_allowed = (adapter->caps & rule->needs) == rule->needs;
        const bool is_there = has_op(adapter, rule);
        if (is_there && !is_allowed)
            return BROKEN("operation %s is there without %s", rule->name, rule->cap_name);
        if (!is_there && is_allowed && rule->is_required)
            return BROKEN("operation %s is missing%s%s", rule->name,
                          rule->needs ? ", which goes with " : "", rule->cap_name);
    }
    if (!adapter->list != !adapter->list_keys)
        return BROKEN("list and list_keys go together");
    if (adapter->mend && !adapter->describe)
        return BROKEN("mend goes with describe");
    if (!adapter->plan_finish != !adapter->finish_step)
        return BROKEN("plan_finish and finish_step go together");
    return NULL;
}

static struct nsm_error *check_caps(const struct nsm_adapter *adapter)
{
    const unsigned caps = adapter->caps;
    if (caps & ~(unsigned)ALL_CAPS)
        return BROKEN("unknown capabilities 0x%x", caps & ~(unsigned)ALL_CAPS);
    if (!(caps & (NSM_CAP_ROWS | NSM_CAP_KEYS)))
        return BROKEN("neither NSM_CAP_ROWS nor NSM_CAP_KEYS");
    if (!(caps & (NSM_CAP_SOURCE | NSM_CAP_DESTINATION)))
        return BROKEN("neither NSM_CAP_SOURCE nor NSM_CAP_DESTINATION");
    if (!(caps & NSM_CAP_DESTINATION) && (caps & (NSM_CAP_TX_CHECKPOINT | NSM_CAP_SINGLE_WRITER)))
        return BROKEN("NSM_CAP_TX_CHECKPOINT and NSM_CAP_SINGLE_WRITER need NSM_CAP_DESTINATION");
    return NULL;
}

static struct nsm_error *check_sizes(const struct nsm_adapter *adapter)
{
    if (adapter->backend_size < sizeof(struct nsm_backend))
        return BROKEN("backend_size is smaller than struct nsm_backend");
    if ((adapter->caps & NSM_CAP_SOURCE) && adapter->reader_size < sizeof(struct nsm_reader))
        return BROKEN("reader_size is smaller than struct nsm_reader");
    if ((adapter->caps & NSM_CAP_DESTINATION) && adapter->writer_size < sizeof(struct nsm_writer))
        return BROKEN("writer_size is smaller than struct nsm_writer");
    return NULL;
}

static struct nsm_error *check_lanes(const struct nsm_adapter *adapter)
{
    bool has_record = false;
    if (!adapter->lanes || adapter->n_lanes == 0)
        return BROKEN("no lanes");
    for (size_t i = 0; i < adapter->n_lanes; i++) {
        const struct nsm_lane_use *const use = &adapter->lanes[i];
        if ((unsigned)use->lane >= NSM_N_LANES)
            return BROKEN("lane %u is unknown", (unsigned)use->lane);
        if (!use->reads && !use->writes)
            return BROKEN("lane %s is neither read nor written", nsm_lane_name(use->lane));
        if (use->reads && !(adapter->caps & NSM_CAP_SOURCE))
            return BROKEN("lane %s is read without NSM_CAP_SOURCE", nsm_lane_name(use->lane));
        if (use->writes && !(adapter->caps & NSM_CAP_DESTINATION))
            return BROKEN("lane %s is written without NSM_CAP_DESTINATION",
                          nsm_lane_name(use->lane));
        for (size_t other = 0; other < i; other++) {
            if (adapter->lanes[other].lane == use->lane)
                return BROKEN("lane %s stands twice", nsm_lane_name(use->lane));
        }
        has_record |= use->lane == NSM_LANE_RECORD &&
                      use->reads == !!(adapter->caps & NSM_CAP_SOURCE) &&
                      use->writes == !!(adapter->caps & NSM_CAP_DESTINATION);
    }
    return has_record ? NULL : BROKEN("lane record is missing in a direction that it can go");
}

/* The default must be a value that a plan could give. */
static struct nsm_error *check_default(const struct nsm_option *option)
{
    struct nsm_option table[2] = {*option, {0}};
    table[0].excludes = NULL;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    return nsm_settings_set(settings, option->key, nsm_str_of(option->default_text));
}

static struct nsm_error *check_choices(const struct nsm_option *option)
{
    if ((option->type == NSM_OPTION_ENUM) != (option->choices != NULL))
        return BROKEN("choices go with NSM_OPTION_ENUM, and only with it");
    if (option->choices && (option->choices[0] == '\0' || is_choice(option->choices, "")))
        return BROKEN("choices hold an empty word");
    return NULL;
}

/* Every word of "a|b" in excludes is another key of the table. */
static struct nsm_error *check_excludes(const struct nsm_option *table,
                                        const struct nsm_option *option)
{
    for (const char *at = option->excludes; at && *at;) {
        const size_t len = strcspn(at, "|");
        bool is_known = false;
        for (const struct nsm_option *other = table; other->key; other++)
            is_known |=
                other != option && strlen(other->key) == len && memcmp(other->key, at, len) == 0;
        if (!is_known)
            return BROKEN("excludes \"%.*s\", which is no other option", (int)len, at);
        at += len + (at[len] == '|');
    }
    return NULL;
}

static struct nsm_error *check_option(const struct nsm_option *table,
                                      const struct nsm_option *option)
{
    if ((unsigned)option->type > NSM_OPTION_LIST)
        return BROKEN("type %u is unknown", (unsigned)option->type);
    if (option->flags & ~(unsigned)(NSM_OPTION_REQUIRED | NSM_OPTION_SECRET | NSM_OPTION_BYTES))
        return BROKEN("unknown flags 0x%x", option->flags);
    if ((option->flags & NSM_OPTION_BYTES) && option->type != NSM_OPTION_STRING)
        return BROKEN("NSM_OPTION_BYTES goes with NSM_OPTION_STRING only");
    if (!option->help || option->help[0] == '\0' || strchr(option->help, '\n'))
        return BROKEN("help must be one line");
    if ((option->flags & NSM_OPTION_REQUIRED) && option->default_text)
        return BROKEN("required and with a default");
    for (const struct nsm_option *other = table; other != option; other++) {
        if (strcmp(other->key, option->key) == 0)
            return BROKEN("stands twice");
    }
    NSM_TRY(check_choices(option));
    NSM_TRY(check_excludes(table, option));
    if (option->default_text)
        NSM_TRY_WRAP(check_default(option), "default");
    return NULL;
}

static struct nsm_error *check_options(const struct nsm_option *table, const char *table_name,
                                       const char *reserved)
{
    if (!table)
        return BROKEN("%s is NULL: an adapter without options has an empty table", table_name);
    for (const struct nsm_option *option = table; option->key; option++) {
        if (!is_made_of(option->key, "abcdefghijklmnopqrstuvwxyz0123456789_"))
            return BROKEN("%s: key \"%s\" is not of a-z, 0-9 and _", table_name, option->key);
        if (is_choice(reserved, option->key))
            return BROKEN("%s: key %s is the plan's own", table_name, option->key);
        NSM_TRY_WRAP(check_option(table, option), "%s: %s", table_name, option->key);
    }
    return NULL;
}

static struct nsm_error *check_table(const struct nsm_adapter *adapter)
{
    if (!is_made_of(adapter->name, "abcdefghijklmnopqrstuvwxyz0123456789-"))
        return BROKEN("its name is not of a-z, 0-9 and -");
    if (!adapter->summary || adapter->summary[0] == '\0' || strchr(adapter->summary, '\n'))
        return BROKEN("summary must be one line");
    NSM_TRY(check_caps(adapter));
    NSM_TRY(check_sizes(adapter));
    NSM_TRY(check_ops(adapter));
    NSM_TRY(check_lanes(adapter));
    NSM_TRY(check_options(adapter->backend_options, "backend_options", "adapter|max_connections"));
    if (adapter->caps & NSM_CAP_SOURCE)
        NSM_TRY(check_options(adapter->source_options, "source_options", "backend"));
    if (adapter->caps & NSM_CAP_DESTINATION)
        NSM_TRY(
            check_options(adapter->destination_options, "destination_options", "backend|layout"));
    return NULL;
}

/* Before anything else of the table is looked at: whether it is one that we can read. */
static struct nsm_error *check_abi(const struct nsm_adapter *adapter)
{
    const size_t abi1_size = offsetof(struct nsm_adapter, complete) + sizeof(adapter->complete);
    if (adapter->abi == 0 || adapter->abi > NSM_ADAPTER_ABI)
        return BROKEN("adapter table of abi %u, this program reads 1 to %d", adapter->abi,
                      NSM_ADAPTER_ABI);
    if (adapter->struct_size < abi1_size || adapter->struct_size > sizeof(*adapter))
        return BROKEN("adapter table of %zu bytes, abi %u has %zu", adapter->struct_size,
                      adapter->abi, sizeof(*adapter));
    return NULL;
}

/* ---- the registry ---- */

/* The index of `name`, or where it would stand. */
static bool locate(const struct nsm_registry *registry, const char *name, size_t *ret_index)
{
    size_t low = 0;
    size_t high = registry->n_entries;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(registry->entries[middle].table->name, name);
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return false;
}

struct nsm_error *nsm_registry_add(struct nsm_registry *registry, const struct nsm_adapter *adapter)
{
    NSM_TRY(check_abi(adapter));
    struct nsm_adapter table = {0};
    memcpy(&table, adapter, adapter->struct_size);
    NSM_TRY_WRAP(check_table(&table), "adapter %s", table.name ? table.name : "without a name");

    size_t at = 0;
    if (locate(registry, table.name, &at))
        return nsm_error_new(NSM_E_CONFLICT, "there is an adapter %s already", table.name);
    struct nsm_adapter *const copy = nsm_xmalloc(sizeof(*copy));
    *copy = table;
    NSM_GROW(registry->entries, registry->n_entries, registry->cap_entries);
    memmove(&registry->entries[at + 1], &registry->entries[at],
            (registry->n_entries - at) * sizeof(registry->entries[0]));
    registry->entries[at].table = copy;
    registry->n_entries++;
    return NULL;
}

struct nsm_registry *nsm_registry_new(void)
{
    static const struct nsm_adapter *const built_in[] = {
        &nsm_adapter_file,  &nsm_adapter_memory, &nsm_adapter_postgres,
        &nsm_adapter_redis, &nsm_adapter_sqlite,
    };
    struct nsm_registry *const registry = nsm_xcalloc(1, sizeof(*registry));
    for (size_t i = 0; i < NSM_COUNT_OF(built_in); i++) {
        NSM_CLEANUP(nsm_error_freep)
        struct nsm_error *error = nsm_registry_add(registry, built_in[i]);
        assert(!error && "a built-in adapter's table breaks a rule");
    }
    return registry;
}

void nsm_registry_free(struct nsm_registry *registry)
{
    if (!registry)
        return;
    for (size_t i = 0; i < registry->n_entries; i++)
        free(registry->entries[i].table);
    free(registry->entries);
    free(registry);
}

static struct nsm_error *load_error(const char *path)
{
    /* glibc keeps this text per thread. */
    const char *const text = dlerror(); /* NOLINT(concurrency-mt-unsafe) */
    return nsm_error_new(NSM_E_INVALID, "adapter %s: not a shared object that can be loaded: %s",
                         path, text ? text : "no reason given");
}

static struct nsm_error *add_from(struct nsm_registry *registry, void *handle, const char *path)
{
    void *const symbol = dlsym(handle, NSM_ADAPTER_ENTRY);
    if (!symbol)
        return nsm_error_new(NSM_E_INVALID,
                             "adapter %s: it has no function %s, so it is not an "
                             "adapter",
                             path, NSM_ADAPTER_ENTRY);
    nsm_adapter_entry_fn *entry = NULL;
    memcpy(&entry, &symbol, sizeof(entry)); /* POSIX: both have one representation */
    const struct nsm_adapter *const adapter = entry(NSM_ADAPTER_ABI);
    if (!adapter)
        return nsm_error_new(NSM_E_INVALID,
                             "adapter %s: it does not work with abi %d of this "
                             "program: build it anew",
                             path, NSM_ADAPTER_ABI);
    return nsm_error_wrap(nsm_registry_add(registry, adapter), "adapter %s", path);
}

struct nsm_error *nsm_registry_load(struct nsm_registry *registry, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return nsm_error_new(errno == ENOENT ? NSM_E_NOTFOUND : NSM_E_IO, "adapter %s: %m", path);
    if (!S_ISREG(info.st_mode))
        return nsm_error_new(NSM_E_INVALID, "adapter %s: not a file", path);
    /* A name without a slash would be searched for in the system's library folders. */
    NSM_CLEANUP(nsm_freep)
    char *place = nsm_xasprintf("%s%s", strchr(path, '/') ? "" : "./", path);
    void *const handle = dlopen(place, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return load_error(path);
    struct nsm_error *const error = add_from(registry, handle, path);
    if (error)
        dlclose(handle);
    return error;
}

const struct nsm_adapter *nsm_registry_find(const struct nsm_registry *registry, const char *name)
{
    size_t at = 0;
    return locate(registry, name, &at) ? registry->entries[at].table : NULL;
}

size_t nsm_registry_size(const struct nsm_registry *registry)
{
    return registry->n_entries;
}

const struct nsm_adapter *nsm_registry_at(const struct nsm_registry *registry, size_t index)
{
    assert(index < registry->n_entries);
    return registry->entries[index].table;
}
