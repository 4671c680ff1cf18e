/*
 * Any bytes as a plan: what is refused is refused with a place and a code, what is taken is a plan
 * in which every name and index holds, also after its templates were expanded.
 */
#include "migrate/base/buf.h"
#include "migrate/base/parse.h"
#include "migrate/engine/plan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every type of option, so that every way a value can take is open. */
static const struct nsm_option backend_options[] = {
    {.key = "url", .type = NSM_OPTION_URL, .help = "where"},
    {.key = "path", .type = NSM_OPTION_PATH, .default_text = "./x", .help = "a file"},
    {.key = "password", .type = NSM_OPTION_STRING, .flags = NSM_OPTION_SECRET, .help = "secret"},
    {.key = "tls", .type = NSM_OPTION_BOOL, .default_text = "false", .help = "whether"},
    {.key = "number", .type = NSM_OPTION_U64, .help = "a number"},
    {.key = "timeout", .type = NSM_OPTION_DURATION, .default_text = "5s", .help = "how long"},
    {.key = "slice", .type = NSM_OPTION_SIZE, .default_text = "1MiB", .help = "how much"},
    {.key = "mode", .type = NSM_OPTION_ENUM, .choices = "a|b", .help = "how"},
    {0},
};
static const struct nsm_option side_options[] = {
    {.key = "prefix",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_BYTES,
     .help = "bytes",
     .excludes = "tables"},
    {.key = "schema", .type = NSM_OPTION_STRING, .help = "a schema"},
    {.key = "table", .type = NSM_OPTION_STRING, .help = "a table", .excludes = "schema"},
    {.key = "tables", .type = NSM_OPTION_LIST, .help = "tables"},
    {.key = "file", .type = NSM_OPTION_PATH, .help = "a file"},
    {0},
};

static struct nsm_error *list_nothing(struct nsm_backend *backend, struct nsm_context *ctx,
                                      const char *key, const char *glob, nsm_name_fn *fn, void *arg)
{
    (void)backend;
    (void)ctx;
    (void)key;
    (void)glob;
    (void)fn;
    (void)arg;
    return NULL;
}

static const struct nsm_adapter adapters[] = {
    {.name = "keys",
     .caps = NSM_CAP_KEYS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION,
     .backend_options = backend_options,
     .source_options = side_options,
     .destination_options = side_options},
    {.name = "rows",
     .caps = NSM_CAP_ROWS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION,
     .backend_options = backend_options,
     .source_options = side_options,
     .destination_options = side_options,
     .list = list_nothing,
     .list_keys = "schema|table"},
    {.name = "sink", .caps = NSM_CAP_ROWS | NSM_CAP_KEYS | NSM_CAP_DESTINATION},
};

static const struct nsm_adapter *find(void *arg, const char *name)
{
    (void)arg;
    for (size_t i = 0; i < NSM_COUNT_OF(adapters); i++) {
        if (strcmp(adapters[i].name, name) == 0)
            return &adapters[i];
    }
    return NULL;
}

static const struct nsm_adapter *at(void *arg, size_t index)
{
    (void)arg;
    return index < NSM_COUNT_OF(adapters) ? &adapters[index] : NULL;
}

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* Consumes the error: a place, text without control characters, not too long. */
static void check_error(struct nsm_error *error, bool has_place)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *owned = error;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_error_write(owned, &text);
    unsigned line = 0;
    unsigned column = 0;
    require(nsm_error_is(owned, NSM_E_INVALID) || nsm_error_is(owned, NSM_E_NOTFOUND), "the code");
    require(!has_place || sscanf(text.ptr, "fuzz.yaml:%u:%u: ", &line, &column) == 2, "the place");
    require(text.len < 4000, "a short message");
    require(nsm_is_utf8(nsm_buf_view(&text)), "UTF-8 in the message");
    for (size_t i = 0; i < text.len; i++)
        require((unsigned char)text.ptr[i] >= 0x20, "no control character in the message");
}

static void check_plan(const struct nsm_plan *plan)
{
    require(strlen(plan->name) > 0 &&
                strspn(plan->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(plan->name),
            "the plan's name");
    require(strlen(plan->fingerprint) == 32, "the fingerprint");
    require(plan->workers > 0 && plan->batch_records > 0 && plan->batch_bytes > 0, "numbers");
    for (size_t i = 0; i < plan->n_namespaces; i++) {
        const struct nsm_plan_namespace *const ns = &plan->namespaces[i];
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
        require(strlen(ns->name) > 0 && strlen(ns->name) <= 200, "a namespace's name");
        require(ns->source.backend < plan->n_backends, "a source's backend");
        require(ns->destination.backend < plan->n_backends, "a destination's backend");
        nsm_settings_write(ns->source.selection, &text);
        nsm_settings_write(ns->destination.selection, &text);
    }
    for (size_t i = 0; i < plan->n_backends; i++) {
        const struct nsm_plan_backend *const backend = &plan->backends[i];
        if (!nsm_option_find(backend->adapter->backend_options, "path"))
            continue;
        const char *const path = nsm_settings_string(backend->settings, "path");
        require(path && path[0] == '/', "an absolute path");
    }
}

/* Names as a server may send them. */
static struct nsm_error *list(void *arg, const struct nsm_plan_template *tmpl, nsm_name_fn *fn,
                              void *fn_arg)
{
    (void)arg;
    fn(fn_arg, "b");
    fn(fn_arg, "a");
    fn(fn_arg, tmpl->glob);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct nsm_adapter_source source = {.find = find, .at = at};
    const struct nsm_str yaml = {.ptr = (const char *)data, .len = size};
    struct nsm_plan *parsed = NULL;
    struct nsm_error *error = nsm_plan_parse(yaml, "fuzz.yaml", &source, &parsed);
    require((error == NULL) == (parsed != NULL), "an error or a plan");
    if (error) {
        check_error(error, true);
        return 0;
    }
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = parsed;
    check_plan(plan);
    error = nsm_plan_expand(plan, list, NULL);
    if (error) {
        check_error(error, true);
        return 0;
    }
    check_plan(plan);
    const char *const names[] = {plan->namespaces[0].name};
    error = nsm_plan_only(plan, names, 1);
    require(error == NULL && plan->n_namespaces == 1, "one namespace is left");
    return 0;
}
