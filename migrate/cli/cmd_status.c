/*
 * nsmigrate status: where a run stands, from its ledger alone: no store is asked, no lock is taken,
 * so it can be called while the run is at work and after it was killed.
 */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"
#include "migrate/engine/ledger.h"

static double run_seconds(const struct nsm_ledger_run *run)
{
    return (double)(run->updated_ms - run->started_ms) / 1000;
}

/* A run that says nothing of its end and that nobody holds was killed. */
static const char *run_status(const struct nsm_ledger_run *run)
{
    if (run->is_running)
        return "running";
    const bool has_ended = run->status && strcmp(run->status, "running") != 0;
    return has_ended ? run->status : "interrupted";
}

static const char *namespace_status(const struct nsm_ledger_run *run,
                                    const struct nsm_ledger_namespace *ns)
{
    if (ns->step == NSM_STEP_DONE)
        return "ok";
    if (ns->status)
        return ns->status;
    if (ns->step == NSM_STEP_NEW)
        return run->is_running ? "waiting" : "skipped";
    return run->is_running ? "running" : "interrupted";
}

/* ---- JSON ---- */

static void write_namespace(struct nsm_json_writer *json, const struct nsm_ledger_run *run,
                            const struct nsm_ledger_namespace *ns)
{
    nsm_json_writer_string(json, "name", ns->name);
    nsm_json_writer_string(json, "status", namespace_status(run, ns));
    nsm_json_writer_string(json, "step", nsm_step_name(ns->step));
    nsm_json_writer_string(json, "lane", ns->lane);
    nsm_json_writer_u64(json, "records", ns->n_records);
    nsm_json_writer_u64(json, "bytes", ns->n_bytes);
    nsm_json_writer_u64(json, "total_records", ns->total_records);
    nsm_json_writer_u64(json, "total_bytes", ns->total_bytes);
    nsm_json_writer_u64(json, "parts", ns->n_parts);
    nsm_json_writer_u64(json, "parts_done", ns->n_parts_done);
    nsm_json_writer_number(json, "seconds", ns->seconds);
    nsm_json_writer_string(json, "error", ns->error);
}

static void write_json(struct nsm_cli *cli, const struct nsm_ledger_run *run)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf lines = NSM_BUF_TEXT;
    for (size_t i = 0; i < run->n_namespaces; i++) {
        struct nsm_json_writer json = nsm_json_writer_on(&lines);
        nsm_json_writer_object(&json, NULL);
        nsm_json_writer_string(&json, "event", "namespace");
        write_namespace(&json, run, &run->namespaces[i]);
        nsm_json_writer_end(&json);
        nsm_buf_append_char(&lines, '\n');
    }
    struct nsm_json_writer json = nsm_json_writer_on(&lines);
    nsm_summary_begin(&json, cli->plan_name, run_status(run), run_seconds(run), run->error);
    nsm_json_writer_string(&json, "run_id", run->run_id);
    nsm_json_writer_time(&json, "started", run->started_ms);
    nsm_json_writer_time(&json, "updated", run->updated_ms);
    nsm_json_writer_array(&json, "namespaces");
    for (size_t i = 0; i < run->n_namespaces; i++) {
        nsm_json_writer_object(&json, NULL);
        write_namespace(&json, run, &run->namespaces[i]);
        nsm_json_writer_end(&json);
    }
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
    nsm_cli_summary(cli, nsm_buf_view(&lines));
}

/* ---- text ---- */

static const struct nsm_table_column columns[] = {
    {"namespace", NSM_ALIGN_LEFT}, {"state", NSM_ALIGN_LEFT},    {"step", NSM_ALIGN_LEFT},
    {"lane", NSM_ALIGN_LEFT},      {"records", NSM_ALIGN_RIGHT}, {"of", NSM_ALIGN_RIGHT},
    {"bytes", NSM_ALIGN_RIGHT},    {"parts", NSM_ALIGN_RIGHT},   {"time", NSM_ALIGN_RIGHT},
};

static enum nsm_style status_style(const char *status)
{
    static const struct {
        const char *status;
        enum nsm_style style;
    } styles[] = {
        {"ok", NSM_STYLE_GOOD},          {"failed", NSM_STYLE_BAD},  {"cancelled", NSM_STYLE_WARN},
        {"interrupted", NSM_STYLE_WARN}, {"skipped", NSM_STYLE_DIM}, {"waiting", NSM_STYLE_DIM},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(styles); i++) {
        if (strcmp(status, styles[i].status) == 0)
            return styles[i].style;
    }
    return NSM_STYLE_PLAIN;
}

static void add_namespace(struct nsm_table *table, const struct nsm_ledger_run *run,
                          const struct nsm_ledger_namespace *ns)
{
    const char *const status = namespace_status(run, ns);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->name);
    nsm_table_add(table, status_style(status), "%s",
                  strcmp(status, "skipped") == 0 ? "not started" : status);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", nsm_step_name(ns->step));
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->lane ? ns->lane : "");
    nsm_table_add_count(table, ns->n_records);
    nsm_table_add_count_if(table, ns->total_records);
    nsm_table_add_bytes(table, ns->n_bytes);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%llu/%llu", (unsigned long long)ns->n_parts_done,
                  (unsigned long long)ns->n_parts);
    nsm_table_add_seconds(table, ns->seconds);
}

static void write_head(struct nsm_buf *out, const char *plan, const struct nsm_ledger_run *run)
{
    size_t n_done = 0;
    for (size_t i = 0; i < run->n_namespaces; i++)
        n_done += run->namespaces[i].step == NSM_STEP_DONE;
    nsm_buf_printf(out, "plan %s: %s; ", plan, run_status(run));
    nsm_human_count(out, n_done);
    nsm_buf_append_cstr(out, " of ");
    nsm_human_count_of(out, run->n_namespaces, "namespace");
    nsm_buf_append_cstr(out, " done\nstarted ");
    nsm_human_timestamp(out, run->started_ms);
    nsm_buf_append_cstr(out, ", last heard of ");
    nsm_human_timestamp(out, run->updated_ms);
    nsm_buf_append_cstr(out, "\n\n");
}

static void write_errors(struct nsm_buf *out, const struct nsm_ledger_run *run)
{
    for (size_t i = 0; i < run->n_namespaces; i++) {
        const struct nsm_ledger_namespace *const ns = &run->namespaces[i];
        if (!ns->error)
            continue;
        nsm_human_text(out, nsm_str_of(ns->name));
        nsm_buf_append_cstr(out, ": ");
        nsm_human_text(out, nsm_str_of(ns->error));
        nsm_buf_append_char(out, '\n');
    }
}

static void write_text(struct nsm_cli *cli, const struct nsm_ledger_run *run)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    for (size_t i = 0; i < run->n_namespaces; i++)
        add_namespace(table, run, &run->namespaces[i]);
    const struct nsm_table_look look = {.is_colored = nsm_cli_is_colored(cli)};
    write_head(&out, cli->plan_name, run);
    nsm_table_write(table, &look, &out);
    write_errors(&out, run);
    nsm_output_write(cli->output, nsm_buf_view(&out));
}

/* No ledger: there was no run, which is an answer and no error. */
static void tell_none(struct nsm_cli *cli)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    if (!cli->options->is_json) {
        nsm_buf_printf(&out, "no run of plan %s yet\n", cli->plan_name);
        nsm_output_write(cli->output, nsm_buf_view(&out));
        return;
    }
    struct nsm_json_writer json = nsm_json_writer_on(&out);
    nsm_summary_begin(&json, cli->plan_name, "none", 0, NULL);
    nsm_json_writer_array(&json, "namespaces");
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
    nsm_cli_summary(cli, nsm_buf_view(&out));
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = NULL;
    NSM_TRY(nsm_cli_load_plan(cli, &plan, exit_code));
    NSM_CLEANUP(nsm_ledger_freep) struct nsm_ledger *ledger = NULL;
    struct nsm_error *const error = nsm_ledger_open(plan, NSM_LEDGER_READ_ONLY, &ledger);
    if (nsm_error_is(error, NSM_E_NOTFOUND)) {
        nsm_error_ignore(error);
        tell_none(cli);
        return NULL;
    }
    NSM_TRY(error);
    NSM_CLEANUP(nsm_ledger_run_release) struct nsm_ledger_run found = {0};
    NSM_TRY(nsm_ledger_read_run(ledger, &found));
    if (cli->options->is_json)
        write_json(cli, &found);
    else
        write_text(cli, &found);
    return NULL;
}

const struct nsm_cli_command nsm_cmd_status = {
    .name = "status",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "where a run stands, while it runs or after",
    .purpose = "Reads the ledger beside the plan and prints how far each namespace has come.\n"
               "Asks no store, takes no lock and changes nothing: call it as often as you\n"
               "like.",
    .example = "  nsmigrate status move.yaml",
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED),
    .run = run,
};
