/* nsmigrate check: the health of every backend, asked at once. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

static bool is_refused(const struct nsm_check_row *row)
{
    for (size_t i = 0; i < row->health.findings.n_items; i++) {
        if (row->health.findings.items[i].kind == NSM_FINDING_REFUSAL)
            return true;
    }
    return false;
}

static bool is_bad(const struct nsm_check_row *row)
{
    return row->error || is_refused(row);
}

/* ---- JSON ---- */

static void write_findings(struct nsm_json_writer *json, const char *key,
                           const struct nsm_findings *findings, enum nsm_finding_kind kind)
{
    nsm_json_writer_array(json, key);
    for (size_t i = 0; i < findings->n_items; i++) {
        if (findings->items[i].kind == kind)
            nsm_json_writer_string(json, NULL, findings->items[i].text);
    }
    nsm_json_writer_end(json);
}

/* The members of a backend, in an open object. */
static void write_members(struct nsm_json_writer *json, const struct nsm_check_row *row)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf error = NSM_BUF_TEXT;
    if (row->error)
        nsm_error_write(row->error, &error);
    const struct nsm_health *const health = &row->health;
    nsm_json_writer_string(json, "name", row->backend);
    nsm_json_writer_string(json, "adapter", row->adapter);
    nsm_json_writer_string(json, "status", is_bad(row) ? "failed" : "ok");
    nsm_json_writer_string(json, "version", health->version);
    nsm_json_writer_string(json, "details", health->details);
    nsm_json_writer_number(json, "latency_ms", (double)health->latency_ns / 1e6);
    nsm_json_writer_i64(json, "clock_offset_ms", health->clock_offset_ms);
    nsm_json_writer_number(json, "seconds", row->seconds);
    nsm_json_writer_string(json, "error", row->error ? error.ptr : NULL);
    write_findings(json, "refusals", &health->findings, NSM_FINDING_REFUSAL);
    write_findings(json, "notes", &health->findings, NSM_FINDING_NOTE);
}

static void write_json(struct nsm_cli *cli, const struct nsm_check_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf lines = NSM_BUF_TEXT;
    for (size_t i = 0; i < report->n_rows; i++) {
        struct nsm_json_writer json = nsm_json_writer_on(&lines);
        nsm_json_writer_object(&json, NULL);
        nsm_json_writer_string(&json, "event", "backend");
        write_members(&json, &report->rows[i]);
        nsm_json_writer_end(&json);
        nsm_buf_append_char(&lines, '\n');
    }
    struct nsm_json_writer json = nsm_json_writer_on(&lines);
    nsm_summary_begin(&json, cli->plan_name, report->n_bad ? "failed" : "ok", nsm_cli_seconds(cli),
                      NULL);
    nsm_json_writer_array(&json, "backends");
    for (size_t i = 0; i < report->n_rows; i++) {
        nsm_json_writer_object(&json, NULL);
        write_members(&json, &report->rows[i]);
        nsm_json_writer_end(&json);
    }
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
    nsm_cli_summary(cli, nsm_buf_view(&lines));
}

/* ---- text ---- */

static const struct nsm_table_column columns[] = {
    {"backend", NSM_ALIGN_LEFT},  {"adapter", NSM_ALIGN_LEFT}, {"state", NSM_ALIGN_LEFT},
    {"latency", NSM_ALIGN_RIGHT}, {"clock", NSM_ALIGN_RIGHT},  {"version", NSM_ALIGN_LEFT},
    {"details", NSM_ALIGN_LEFT},
};

static void add_row(struct nsm_table *table, const struct nsm_check_row *row)
{
    const struct nsm_health *const health = &row->health;
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", row->backend);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", row->adapter);
    nsm_table_add(table, is_bad(row) ? NSM_STYLE_BAD : NSM_STYLE_GOOD, "%s",
                  is_bad(row) ? "failed" : "ok");
    if (health->latency_ns > 0)
        nsm_table_add(table, NSM_STYLE_PLAIN, "%.2f ms", (double)health->latency_ns / 1e6);
    else
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "");
    if (health->clock_offset_ms != 0)
        nsm_table_add(table, NSM_STYLE_PLAIN, "%+lld ms", (long long)health->clock_offset_ms);
    else
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "");
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", health->version ? health->version : "");
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", health->details ? health->details : "");
}

static void write_problem(struct nsm_buf *out, const char *backend, const char *word,
                          const char *text)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf line = NSM_BUF_TEXT;
    nsm_buf_printf(&line, "%s: %s%s", backend, word, text);
    nsm_human_text(out, nsm_buf_view(&line));
    nsm_buf_append_char(out, '\n');
}

static void write_problems(struct nsm_buf *out, const struct nsm_check_row *row)
{
    if (row->error) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf error = NSM_BUF_TEXT;
        nsm_error_write(row->error, &error);
        write_problem(out, row->backend, "error: ", error.ptr);
    }
    for (size_t i = 0; i < row->health.findings.n_items; i++) {
        const struct nsm_finding *const finding = &row->health.findings.items[i];
        const bool is_refusal = finding->kind == NSM_FINDING_REFUSAL;
        write_problem(out, row->backend, is_refusal ? "refusal: " : "note: ", finding->text);
    }
}

static void write_text(struct nsm_cli *cli, const struct nsm_check_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    for (size_t i = 0; i < report->n_rows; i++)
        add_row(table, &report->rows[i]);
    const struct nsm_table_look look = {.is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, &out);
    for (size_t i = 0; i < report->n_rows; i++)
        write_problems(&out, &report->rows[i]);
    nsm_output_write(cli->output, nsm_buf_view(&out));
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_session_release) struct nsm_session session = {0};
    NSM_TRY(nsm_session_open(&session, cli, NSM_SESSION_BACKENDS_ONLY, exit_code));
    NSM_CLEANUP(nsm_check_report_release) struct nsm_check_report report = {0};
    NSM_TRY(nsm_migration_check(session.migration, cli->ctx, &report));
    nsm_session_settle(&session);
    if (cli->options->is_json)
        write_json(cli, &report);
    else
        write_text(cli, &report);
    if (report.n_bad > 0)
        *exit_code = NSM_EXIT_WOULD_FAIL;
    return NULL;
}

const struct nsm_cli_command nsm_cmd_check = {
    .name = "check",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "health of every backend: reach, rights, latency, clock",
    .purpose = "Asks all backends of the plan at once and prints a table of what they say.\n"
               "Changes nothing. What would make a run fail is named, and the exit code is 3.",
    .example = "  nsmigrate check move.yaml --json | jq 'select(.event == \"backend\")'",
    .flags = NSM_FLAG_BIT(NSM_FLAG_WORKERS),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_FAILED) |
             NSM_EXIT_BIT(NSM_EXIT_WOULD_FAIL) | NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = run,
};
