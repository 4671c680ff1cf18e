/* nsmigrate adapters: what stores there are, what each can do, and what a plan may say of it; all of
 * it from the adapters' own tables. */
#include "migrate/base/hint.h"
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

static const struct capability {
    unsigned bit;
    const char *name, *meaning;
} capabilities[] = {
    {NSM_CAP_ROWS, "rows", "holds tables"},
    {NSM_CAP_KEYS, "keys", "holds keys"},
    {NSM_CAP_SOURCE, "source", "can be read"},
    {NSM_CAP_DESTINATION, "destination", "can be written"},
    {NSM_CAP_TX_CHECKPOINT, "tx-checkpoint", "checkpoints commit with the rows: exactly once"},
    {NSM_CAP_SINGLE_WRITER, "single-writer", "one writer at a time"},
    {NSM_CAP_EXPIRES, "expires", "takes keys away when their time has come"},
    {NSM_CAP_ARCHIVE, "archive", "keeps what any store has, with its definition"},
    {NSM_CAP_COLUMNS, "columns", "reads chosen columns without the others"},
};

static const char *type_name(enum nsm_option_type type)
{
    static const char *const names[] = {
        [NSM_OPTION_STRING] = "string",     [NSM_OPTION_URL] = "url",
        [NSM_OPTION_PATH] = "path",         [NSM_OPTION_BOOL] = "true|false",
        [NSM_OPTION_U64] = "number",        [NSM_OPTION_DURATION] = "duration",
        [NSM_OPTION_SIZE] = "size",         [NSM_OPTION_ENUM] = "choice",
        [NSM_OPTION_LIST] = "list of text",
    };
    return names[type];
}

static struct nsm_error *find(struct nsm_cli *cli, const char *name, const struct nsm_adapter **ret)
{
    const struct nsm_adapter *const adapter = nsm_registry_find(cli->registry, name);
    if (adapter) {
        *ret = adapter;
        return NULL;
    }
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(name));
    for (size_t i = 0; i < nsm_registry_size(cli->registry); i++)
        nsm_nearest_offer(&nearest, nsm_str_of(nsm_registry_at(cli->registry, i)->name));
    if (nearest.best.ptr)
        return nsm_error_new(NSM_E_INVALID, "unknown adapter %s; did you mean %.*s?", name,
                             NSM_STR_ARG(nearest.best));
    return nsm_error_new(NSM_E_INVALID, "unknown adapter %s; nsmigrate adapters lists them", name);
}

/* ---- JSON ---- */

static void write_option(struct nsm_json_writer *json, const struct nsm_option *option)
{
    nsm_json_writer_object(json, NULL);
    nsm_json_writer_string(json, "key", option->key);
    nsm_json_writer_string(json, "type", type_name(option->type));
    nsm_json_writer_bool(json, "required", option->flags & NSM_OPTION_REQUIRED);
    nsm_json_writer_bool(json, "secret", option->flags & NSM_OPTION_SECRET);
    nsm_json_writer_string(json, "default", option->default_text);
    nsm_json_writer_string(json, "choices", option->choices);
    nsm_json_writer_string(json, "excludes", option->excludes);
    nsm_json_writer_string(json, "help", option->help);
    nsm_json_writer_end(json);
}

static void write_options(struct nsm_json_writer *json, const char *key,
                          const struct nsm_option *options)
{
    nsm_json_writer_array(json, key);
    for (; options && options->key; options++)
        write_option(json, options);
    nsm_json_writer_end(json);
}

static void write_lanes(struct nsm_json_writer *json, const struct nsm_adapter *adapter)
{
    nsm_json_writer_array(json, "lanes");
    for (size_t i = 0; i < adapter->n_lanes; i++) {
        nsm_json_writer_object(json, NULL);
        nsm_json_writer_string(json, "lane", nsm_lane_name(adapter->lanes[i].lane));
        nsm_json_writer_bool(json, "reads", adapter->lanes[i].reads);
        nsm_json_writer_bool(json, "writes", adapter->lanes[i].writes);
        nsm_json_writer_end(json);
    }
    nsm_json_writer_end(json);
}

static void write_json_adapter(struct nsm_buf *out, const struct nsm_adapter *adapter)
{
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_json_writer_object(&json, NULL);
    nsm_json_writer_string(&json, "event", "adapter");
    nsm_json_writer_string(&json, "name", adapter->name);
    nsm_json_writer_string(&json, "summary", adapter->summary);
    nsm_json_writer_array(&json, "capabilities");
    for (size_t i = 0; i < NSM_COUNT_OF(capabilities); i++) {
        if (adapter->caps & capabilities[i].bit)
            nsm_json_writer_string(&json, NULL, capabilities[i].name);
    }
    nsm_json_writer_end(&json);
    write_lanes(&json, adapter);
    nsm_json_writer_string(&json, "for_each", adapter->list_keys);
    write_options(&json, "backend", adapter->backend_options);
    write_options(&json, "source", adapter->source_options);
    write_options(&json, "destination", adapter->destination_options);
    nsm_json_writer_end(&json);
    nsm_buf_append_char(out, '\n');
}

static void write_json_summary(struct nsm_cli *cli, struct nsm_buf *out,
                               const struct nsm_adapter *only)
{
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_summary_begin(&json, NULL, "ok", nsm_cli_seconds(cli), NULL);
    nsm_json_writer_array(&json, "adapters");
    for (size_t i = 0; i < nsm_registry_size(cli->registry); i++) {
        const struct nsm_adapter *const adapter = nsm_registry_at(cli->registry, i);
        if (!only || only == adapter)
            nsm_json_writer_string(&json, NULL, adapter->name);
    }
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
}

static void write_json(struct nsm_cli *cli, const struct nsm_adapter *only)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    for (size_t i = 0; i < nsm_registry_size(cli->registry); i++) {
        const struct nsm_adapter *const adapter = nsm_registry_at(cli->registry, i);
        if (!only || only == adapter)
            write_json_adapter(&out, adapter);
    }
    write_json_summary(cli, &out, only);
    nsm_cli_summary(cli, nsm_buf_view(&out));
}

/* ---- text ---- */

#define MAX_TYPE_WIDTH 24

/* "pgcopy, record (reads)": a lane of both ways stands alone. */
static void write_lane_list(struct nsm_buf *out, const struct nsm_adapter *adapter)
{
    for (size_t i = 0; i < adapter->n_lanes; i++) {
        const struct nsm_lane_use *const use = &adapter->lanes[i];
        const char *const way = use->reads && use->writes ? ""
                                : use->reads              ? " (reads)"
                                                          : " (writes)";
        nsm_buf_printf(out, "%s%s%s", i ? ", " : "", nsm_lane_name(use->lane), way);
    }
}

static void write_list(struct nsm_buf *out, const struct nsm_cli *cli)
{
    static const struct nsm_table_column columns[] = {
        {"adapter", NSM_ALIGN_LEFT}, {"reads", NSM_ALIGN_LEFT},      {"writes", NSM_ALIGN_LEFT},
        {"lanes", NSM_ALIGN_LEFT},   {"what it is", NSM_ALIGN_LEFT},
    };
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    for (size_t i = 0; i < nsm_registry_size(cli->registry); i++) {
        const struct nsm_adapter *const adapter = nsm_registry_at(cli->registry, i);
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf lanes = NSM_BUF_TEXT;
        write_lane_list(&lanes, adapter);
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", adapter->name);
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", adapter->caps & NSM_CAP_SOURCE ? "yes" : "no");
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s",
                      adapter->caps & NSM_CAP_DESTINATION ? "yes" : "no");
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", lanes.ptr);
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", adapter->summary);
    }
    const struct nsm_table_look look = {.is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, out);
}

/* What besides its type a value must heed. */
static void write_rules(struct nsm_buf *out, const struct nsm_option *option)
{
    if (option->choices && strlen(option->choices) > MAX_TYPE_WIDTH)
        nsm_buf_printf(out, "; one of %s", option->choices);
    if (option->flags & NSM_OPTION_REQUIRED)
        nsm_buf_append_cstr(out, "; required");
    if (option->flags & NSM_OPTION_SECRET)
        nsm_buf_append_cstr(out, "; never shown");
    if (option->default_text)
        nsm_buf_printf(out, "; default %s", option->default_text);
    if (option->excludes)
        nsm_buf_printf(out, "; not beside %s", option->excludes);
}

/* A short list of choices says more than the word. */
static const char *type_text(const struct nsm_option *option)
{
    const bool is_short = option->choices && strlen(option->choices) <= MAX_TYPE_WIDTH;
    return is_short ? option->choices : type_name(option->type);
}

static void write_option_table(struct nsm_buf *out, const char *title,
                               const struct nsm_option *options, const struct nsm_cli *cli)
{
    static const struct nsm_table_column columns[] = {
        {"", NSM_ALIGN_LEFT},
        {"", NSM_ALIGN_LEFT},
        {"", NSM_ALIGN_LEFT},
    };
    nsm_buf_printf(out, "\n%s:\n", title);
    if (!options || !options->key) {
        nsm_buf_append_cstr(out, "  nothing\n");
        return;
    }
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    for (; options->key; options++) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf rules = NSM_BUF_TEXT;
        write_rules(&rules, options);
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", options->key);
        nsm_table_add(table, NSM_STYLE_DIM, "%s", type_text(options));
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s%s", options->help ? options->help : "",
                      rules.ptr);
    }
    const struct nsm_table_look look = {.indent = 2, .is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, out);
}

static void write_adapter(struct nsm_buf *out, const struct nsm_adapter *adapter,
                          const struct nsm_cli *cli)
{
    nsm_buf_printf(out, "%s: %s\n\nlanes: ", adapter->name, adapter->summary);
    write_lane_list(out, adapter);
    nsm_buf_append_cstr(out, "\n");
    if (adapter->list && adapter->list_keys)
        nsm_buf_printf(out, "for_each: %s\n", adapter->list_keys);
    nsm_buf_append_cstr(out, "\nwhat it can do:\n");
    for (size_t i = 0; i < NSM_COUNT_OF(capabilities); i++) {
        if (adapter->caps & capabilities[i].bit)
            nsm_buf_printf(out, "  %-14s %s\n", capabilities[i].name, capabilities[i].meaning);
    }
    write_option_table(out, "in a backend, besides adapter and max_connections",
                       adapter->backend_options, cli);
    if (adapter->caps & NSM_CAP_SOURCE)
        write_option_table(out, "in a source, besides backend", adapter->source_options, cli);
    if (adapter->caps & NSM_CAP_DESTINATION)
        write_option_table(out, "in a destination, besides backend and layout",
                           adapter->destination_options, cli);
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    const struct nsm_adapter *only = NULL;
    if (cli->options->operand) {
        struct nsm_error *const error = find(cli, cli->options->operand, &only);
        if (error)
            *exit_code = NSM_EXIT_USAGE;
        NSM_TRY(error);
    }
    if (cli->options->is_json) {
        write_json(cli, only);
        return NULL;
    }
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    if (only)
        write_adapter(&out, only, cli);
    else
        write_list(&out, cli);
    nsm_output_write(cli->output, nsm_buf_view(&out));
    return NULL;
}

const struct nsm_cli_command nsm_cmd_adapters = {
    .name = "adapters",
    .operands = "[NAME]",
    .max_operands = 1,
    .summary = "adapters, what they can do, their options",
    .purpose = "Without NAME, lists the kinds of stores that nsmigrate can read and write.\n"
               "With NAME, prints what one can do and what a plan may say of it: in a backend,\n"
               "in a source and in a destination.",
    .example = "  nsmigrate adapters postgres",
    .exits = NSM_EXIT_BITS_USUAL,
    .run = run,
};
