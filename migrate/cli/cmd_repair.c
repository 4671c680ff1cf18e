/* nsmigrate repair: the destination brought to the source in what differs. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/differences.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

/* What was found first and is not there any more; others may have added meanwhile. */
static uint64_t count_repaired(const struct nsm_report_namespace *ns)
{
    const uint64_t n_found = nsm_differences_count(ns);
    return n_found > ns->n_left ? n_found - ns->n_left : 0;
}

/* ---- JSON ---- */

static void write_summary_namespace(struct nsm_json_writer *json,
                                    const struct nsm_report_namespace *ns)
{
    struct nsm_report_namespace shown = *ns;
    if (ns->n_left > 0 && shown.status == NSM_STATUS_OK)
        shown.status = NSM_STATUS_FAILED;
    nsm_summary_namespace(json, &shown);
    nsm_json_writer_u64(json, "missing", ns->n_missing);
    nsm_json_writer_u64(json, "extra", ns->n_extra);
    nsm_json_writer_u64(json, "different", ns->n_different);
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

/* ---- text ---- */

static const struct nsm_table_column columns[] = {
    {"namespace", NSM_ALIGN_LEFT}, {"state", NSM_ALIGN_LEFT},  {"records", NSM_ALIGN_RIGHT},
    {"missing", NSM_ALIGN_RIGHT},  {"extra", NSM_ALIGN_RIGHT}, {"different", NSM_ALIGN_RIGHT},
    {"left", NSM_ALIGN_RIGHT},     {"time", NSM_ALIGN_RIGHT},
};

static const char *state_of(const struct nsm_report_namespace *ns)
{
    if (ns->status != NSM_STATUS_OK)
        return nsm_summary_state(ns);
    if (ns->n_left > 0)
        return "differs";
    return nsm_differences_count(ns) > 0 ? "repaired" : "same";
}

static void add_namespace(struct nsm_table *table, const struct nsm_report_namespace *ns)
{
    const bool differs = ns->status == NSM_STATUS_OK && ns->n_left > 0;
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->name);
    nsm_table_add(table, differs ? NSM_STYLE_BAD : nsm_summary_style(ns->status), "%s",
                  state_of(ns));
    nsm_table_add_count(table, ns->n_records);
    nsm_table_add_count_if(table, ns->n_missing);
    nsm_table_add_count_if(table, ns->n_extra);
    nsm_table_add_count_if(table, ns->n_different);
    nsm_table_add_count_if(table, ns->n_left);
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
        write_text(cli, &report);
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
               "With --dry-run it changes nothing, and shows what it would.",
    .example = "  nsmigrate repair move.yaml --dry-run",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR) | NSM_FLAG_BIT(NSM_FLAG_DRY_RUN),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED) | NSM_EXIT_BIT(NSM_EXIT_DIFFERS) |
             NSM_EXIT_BIT(NSM_EXIT_LOCKED) | NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = run,
};
