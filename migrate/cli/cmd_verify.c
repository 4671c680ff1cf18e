/* nsmigrate verify: both sides compared, and what differs named. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/differences.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"

static void write_summary_namespace(struct nsm_json_writer *json,
                                    const struct nsm_report_namespace *ns)
{
    nsm_differences_write_namespace(json, ns, nsm_differences_count(ns));
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
        nsm_differences_write_text(cli, &report, nsm_differences_count);
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
               "different. Between stores of one kind definitions are compared too: indexes,\n"
               "constraints, sequences and the like. Changes nothing.",
    .example = "  nsmigrate verify move.yaml --json | jq -r 'select(.event == \"difference\").key'",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED) | NSM_EXIT_BIT(NSM_EXIT_DIFFERS) |
             NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = run,
};
