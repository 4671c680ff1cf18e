/* nsmigrate run: migrates, and takes up what was interrupted. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

static const struct nsm_table_column columns[] = {
    {"namespace", NSM_ALIGN_LEFT}, {"state", NSM_ALIGN_LEFT},  {"lane", NSM_ALIGN_LEFT},
    {"records", NSM_ALIGN_RIGHT},  {"bytes", NSM_ALIGN_RIGHT}, {"rate", NSM_ALIGN_RIGHT},
    {"time", NSM_ALIGN_RIGHT},     {"kept", NSM_ALIGN_RIGHT},  {"vanished", NSM_ALIGN_RIGHT},
};

static void add_namespace(struct nsm_table *table, const struct nsm_report_namespace *ns)
{
    const bool has_begun = ns->status != NSM_STATUS_SKIPPED;
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->name);
    nsm_table_add(table, nsm_summary_style(ns->status), "%s", nsm_summary_state(ns));
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->lane ? ns->lane : "");
    nsm_table_add_count(table, ns->n_records);
    nsm_table_add_bytes(table, ns->n_bytes);
    nsm_table_add_rate(table, ns->n_records, has_begun && !ns->was_done ? ns->seconds : 0);
    nsm_table_add_seconds(table, ns->seconds);
    nsm_table_add_count_if(table, ns->n_skipped);
    nsm_table_add_count_if(table, ns->n_vanished);
}

static void add_total(struct nsm_table *table, const struct nsm_report *report)
{
    uint64_t n_records = 0;
    uint64_t n_bytes = 0;
    uint64_t n_new = 0; /* copied by this run, as far as whole namespaces tell */
    size_t n_ok = 0;
    for (size_t i = 0; i < report->n_namespaces; i++) {
        const struct nsm_report_namespace *const ns = &report->namespaces[i];
        n_records += ns->n_records;
        n_bytes += ns->n_bytes;
        n_new += ns->was_done ? 0 : ns->n_records;
        n_ok += ns->status == NSM_STATUS_OK;
    }
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf ok = NSM_BUF_TEXT;
    nsm_human_count(&ok, n_ok);
    nsm_buf_append_cstr(&ok, " of ");
    nsm_human_count(&ok, report->n_namespaces);
    nsm_table_add(table, NSM_STYLE_HEAD, "total");
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s ok", ok.ptr);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "");
    nsm_table_add_count(table, n_records);
    nsm_table_add_bytes(table, n_bytes);
    nsm_table_add_rate(table, n_new, report->seconds);
    nsm_table_add_seconds(table, report->seconds);
    nsm_table_add_count_if(table, 0);
    nsm_table_add_count_if(table, 0);
}

static void write_text(struct nsm_cli *cli, const struct nsm_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    for (size_t i = 0; i < report->n_namespaces; i++)
        add_namespace(table, &report->namespaces[i]);
    add_total(table, report);
    const struct nsm_table_look look = {.is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, &out);
    nsm_output_write(cli->output, nsm_buf_view(&out));
}

/* Refused before anything began: the error says it all. */
static bool has_begun(const struct nsm_report *report)
{
    for (size_t i = 0; i < report->n_namespaces; i++) {
        if (report->namespaces[i].status != NSM_STATUS_SKIPPED)
            return true;
    }
    return false;
}

static void write_report(struct nsm_cli *cli, const struct nsm_report *report)
{
    if (cli->options->is_json) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf line = NSM_BUF_TEXT;
        nsm_summary_write(&line, report);
        nsm_cli_summary(cli, nsm_buf_view(&line));
    } else if (!cli->options->is_quiet && (has_begun(report) || !report->error)) {
        write_text(cli, report);
    }
    nsm_summary_tell_errors(cli->console, report);
}

static bool has_failed(const struct nsm_report *report)
{
    for (size_t i = 0; i < report->n_namespaces; i++) {
        if (report->namespaces[i].status == NSM_STATUS_FAILED)
            return true;
    }
    return false;
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    if (cli->options->is_dry_run)
        return nsm_cli_preview(cli, exit_code);

    NSM_CLEANUP(nsm_session_release) struct nsm_session session = {0};
    NSM_TRY(nsm_session_open(&session, cli, NSM_SESSION_STOPS_GENTLY, exit_code));
    NSM_CLEANUP(nsm_report_release) struct nsm_report report = {0};
    bool is_locked = false;
    struct nsm_error *const error =
        nsm_migration_run(session.migration, cli->ctx, &report, &is_locked);
    nsm_session_settle(&session);
    if (is_locked)
        *exit_code = NSM_EXIT_LOCKED;
    else if (error && !has_failed(&report) && nsm_error_is(error, NSM_E_INVALID))
        *exit_code = NSM_EXIT_USAGE; /* nothing began: the plan and its ledger don't agree */
    write_report(cli, &report);
    return error;
}

const struct nsm_cli_command nsm_cmd_run = {
    .name = "run",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "migrate; takes up an interrupted run",
    .purpose = "Migrates all namespaces of the plan: survey, prepare, copy, finish, verify.\n"
               "The first failure cancels the siblings (--on-error continue lets them go on).\n"
               "Whatever stopped it, the same command takes up where it was: what is done is\n"
               "not done again. A first SIGINT or SIGTERM stops at the next checkpoint\n"
               "(or after 1.5 s), a second at once.",
    .example = "  nsmigrate run move.yaml --workers 16",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR) | NSM_FLAG_BIT(NSM_FLAG_FRESH) |
             NSM_FLAG_BIT(NSM_FLAG_DRY_RUN),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED) |
             NSM_EXIT_BIT(NSM_EXIT_WOULD_FAIL) | NSM_EXIT_BIT(NSM_EXIT_LOCKED) |
             NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = run,
};
