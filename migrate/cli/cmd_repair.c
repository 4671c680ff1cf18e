/* nsmigrate repair: the destination brought to the source in what differs. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/differences.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"

/* What was found first and is not there any more; others may have added meanwhile. */
static uint64_t count_repaired(const struct nsm_report_namespace *ns)
{
    const uint64_t n_found = nsm_differences_count(ns);
    return n_found > ns->n_left ? n_found - ns->n_left : 0;
}

static uint64_t count_left(const struct nsm_report_namespace *ns)
{
    return ns->n_left;
}

/* ---- JSON ---- */

static void write_summary_namespace(struct nsm_json_writer *json,
                                    const struct nsm_report_namespace *ns)
{
    nsm_differences_write_namespace(json, ns, count_left(ns));
    nsm_json_writer_u64(json, "repaired", count_repaired(ns));
    nsm_json_writer_u64(json, "left", ns->n_left);
    nsm_json_writer_end(json);
}

static void write_json(struct nsm_cli *cli, const struct nsm_report *report)
{
    const bool differs = report->n_left > 0 && report->status == NSM_STATUS_OK;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    struct nsm_json_writer json = nsm_json_writer_on(&out);
    nsm_differences_write_events(cli, report);
    nsm_summary_begin(&json, report->plan,
                      nsm_status_name(differs ? NSM_STATUS_FAILED : report->status),
                      report->seconds, report->error);
    nsm_json_writer_u64(&json, "differences", report->n_differences);
    nsm_json_writer_u64(&json, "left", report->n_left);
    nsm_json_writer_array(&json, "namespaces");
    for (size_t i = 0; i < report->n_namespaces; i++)
        write_summary_namespace(&json, &report->namespaces[i]);
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
    nsm_cli_summary(cli, nsm_buf_view(&out));
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_session_release) struct nsm_session session = {0};
    NSM_TRY(nsm_session_open(&session, cli, 0, exit_code));
    NSM_CLEANUP(nsm_report_release) struct nsm_report report = {0};
    bool is_locked = false;
    struct nsm_error *const error =
        nsm_migration_repair(session.migration, cli->ctx, &report, &is_locked);
    nsm_session_settle(&session);
    if (is_locked)
        *exit_code = NSM_EXIT_LOCKED;
    else if (!error && report.n_left > 0)
        *exit_code = NSM_EXIT_DIFFERS;
    if (report.n_namespaces > 0 && cli->options->is_json)
        write_json(cli, &report);
    else if (report.n_namespaces > 0)
        nsm_differences_write_text(cli, &report, count_left);
    nsm_summary_tell_errors(cli->console, &report);
    return error;
}

const struct nsm_cli_command nsm_cmd_repair = {
    .name = "repair",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "bring the destination to the source in what differs",
    .purpose = "Compares both sides as verify does, also of what nsmigrate has not copied, and\n"
               "brings the destination to the source in just the records that differ: what is\n"
               "missing (+) is written, what is only there (-) is taken away, what is different\n"
               "(*) is replaced, expiries included. Then compares again. Where if_exists is\n"
               "merge nothing is taken away, where it is skip only what is missing is written.\n"
               "Sequences, missing indexes and constraints go along; other definitions that\n"
               "differ are only named. With --dry-run it changes nothing, and shows what it\n"
               "would.",
    .example = "  nsmigrate repair move.yaml --dry-run",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR) | NSM_FLAG_BIT(NSM_FLAG_DRY_RUN),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED) | NSM_EXIT_BIT(NSM_EXIT_DIFFERS) |
             NSM_EXIT_BIT(NSM_EXIT_LOCKED) | NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = run,
};
