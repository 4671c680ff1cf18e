/* nsmigrate verify: both sides compared, and what differs named. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/differences.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

/* ---- JSON ---- */

/* A namespace that differs is "failed" for who reads JSON: "ok" beside exit code 4 would be a trap. */
static void write_summary_namespace(struct nsm_json_writer *json,
                                    const struct nsm_report_namespace *ns)
{
    struct nsm_report_namespace shown = *ns;
    if (nsm_differences_count(ns) > 0 && shown.status == NSM_STATUS_OK)
        shown.status = NSM_STATUS_FAILED;
    nsm_summary_namespace(json, &shown);
    nsm_json_writer_u64(json, "missing", ns->n_missing);
    nsm_json_writer_u64(json, "extra", ns->n_extra);
    nsm_json_writer_u64(json, "different", ns->n_different);
    nsm_json_writer_end(json);
}

static void write_summary(struct nsm_buf *out, const struct nsm_report *report)
{
    const bool differs = report->n_differences > 0 && report->status == NSM_STATUS_OK;
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_summary_begin(&json, report->plan,
                      nsm_status_name(differs ? NSM_STATUS_FAILED : report->status),
                      report->seconds, report->error);
    nsm_json_writer_u64(&json, "differences", report->n_differences);
    nsm_json_writer_array(&json, "namespaces");
    for (size_t i = 0; i < report->n_namespaces; i++)
        write_summary_namespace(&json, &report->namespaces[i]);
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
}

static void write_json(struct nsm_cli *cli, const struct nsm_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_differences_write_events(cli, report);
    write_summary(&out, report);
    nsm_cli_summary(cli, nsm_buf_view(&out));
}

/* ---- text ---- */

static const struct nsm_table_column columns[] = {
    {"namespace", NSM_ALIGN_LEFT}, {"state", NSM_ALIGN_LEFT},  {"records", NSM_ALIGN_RIGHT},
    {"missing", NSM_ALIGN_RIGHT},  {"extra", NSM_ALIGN_RIGHT}, {"different", NSM_ALIGN_RIGHT},
    {"time", NSM_ALIGN_RIGHT},
};

static void add_namespace(struct nsm_table *table, const struct nsm_report_namespace *ns)
{
    const bool differs = ns->status == NSM_STATUS_OK && nsm_differences_count(ns) > 0;
    const bool is_same = ns->status == NSM_STATUS_OK && !differs;
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->name);
    nsm_table_add(table, differs ? NSM_STYLE_BAD : nsm_summary_style(ns->status), "%s",
                  differs   ? "differs"
                  : is_same ? "same"
                            : nsm_summary_state(ns));
    nsm_table_add_count(table, ns->n_records);
    nsm_table_add_count_if(table, ns->n_missing);
    nsm_table_add_count_if(table, ns->n_extra);
    nsm_table_add_count_if(table, ns->n_different);
    nsm_table_add_seconds(table, ns->seconds);
}

static void write_text(struct nsm_cli *cli, const struct nsm_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    nsm_differences_write_text(&out, report);
    for (size_t i = 0; i < report->n_namespaces; i++)
        add_namespace(table, &report->namespaces[i]);
    const struct nsm_table_look look = {.is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, &out);
    nsm_output_write(cli->output, nsm_buf_view(&out));
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_session_release) struct nsm_session session = {0};
    NSM_TRY(nsm_session_open(&session, cli, 0, exit_code));
    NSM_CLEANUP(nsm_report_release) struct nsm_report report = {0};
    struct nsm_error *const error = nsm_migration_verify(session.migration, cli->ctx, &report);
    nsm_session_settle(&session);
    if (!error && report.n_differences > 0)
        *exit_code = NSM_EXIT_DIFFERS;
    if (cli->options->is_json)
        write_json(cli, &report);
    else if (report.n_namespaces > 0)
        write_text(cli, &report);
    nsm_summary_tell_errors(cli->console, &report);
    return error;
}

const struct nsm_cli_command nsm_cmd_verify = {
    .name = "verify",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "compare both sides; names the keys that differ",
    .purpose = "Reads both sides of every namespace, compares them record by record, and names\n"
               "what differs: + is missing at the destination, - is only there, * is\n"
               "different. Changes nothing.",
    .example = "  nsmigrate verify move.yaml --json | jq -r 'select(.event == \"difference\").key'",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED) | NSM_EXIT_BIT(NSM_EXIT_DIFFERS) |
             NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = run,
};
