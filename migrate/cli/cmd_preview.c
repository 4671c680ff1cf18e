/* nsmigrate preview (and run --dry-run): what run would do, namespace by namespace. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/session.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

/* Of each list, without --verbose. */
#define MAX_SHOWN 20

static const struct kind {
    enum nsm_finding_kind kind;
    const char *member, *word;
    enum nsm_style style;
} kinds[] = {
    {NSM_FINDING_CREATE, "creates", "creates", NSM_STYLE_PLAIN},
    {NSM_FINDING_CONFLICT, "conflicts", "conflict", NSM_STYLE_WARN},
    {NSM_FINDING_LOSS, "losses", "loss", NSM_STYLE_WARN},
    {NSM_FINDING_REFUSAL, "refusals", "refusal", NSM_STYLE_BAD},
    {NSM_FINDING_NOTE, "notes", "note", NSM_STYLE_DIM},
};

/* The next finding of that kind, of the source's, the layout's and the destination's. `at` counts
 * through all three and begins at 0. */
static const struct nsm_finding *next_finding(const struct nsm_report_namespace *ns,
                                              enum nsm_finding_kind kind, size_t *at)
{
    const struct nsm_findings *const lists[] = {ns->source_findings, ns->layout_findings,
                                                ns->destination_findings};
    size_t base = 0;
    for (size_t i = 0; i < NSM_COUNT_OF(lists); i++) {
        const size_t n_items = lists[i] ? lists[i]->n_items : 0;
        while (*at < base + n_items) {
            const struct nsm_finding *const finding = &lists[i]->items[*at - base];
            (*at)++;
            if (finding->kind == kind)
                return finding;
        }
        base += n_items;
    }
    return NULL;
}

/* ---- JSON ---- */

static void write_objects(struct nsm_json_writer *json, const struct nsm_report_namespace *ns)
{
    nsm_json_writer_array(json, "objects");
    for (size_t i = 0; i < ns->n_objects; i++) {
        const struct nsm_report_object *const object = &ns->objects[i];
        nsm_json_writer_object(json, NULL);
        nsm_json_writer_string(json, "name", object->name);
        nsm_json_writer_string(json, "target", object->target);
        nsm_json_writer_string(json, "form", object->form);
        nsm_json_writer_u64(json, "records", object->n_records);
        nsm_json_writer_u64(json, "bytes", object->n_bytes);
        nsm_json_writer_bool(json, "exact", object->is_exact);
        nsm_json_writer_end(json);
    }
    nsm_json_writer_end(json);
}

static void write_findings(struct nsm_json_writer *json, const struct nsm_report_namespace *ns,
                           const struct kind *kind)
{
    nsm_json_writer_array(json, kind->member);
    size_t at = 0;
    for (const struct nsm_finding *finding; (finding = next_finding(ns, kind->kind, &at));) {
        nsm_json_writer_object(json, NULL);
        if (kind->kind == NSM_FINDING_LOSS)
            nsm_json_writer_string(json, "what", finding->what);
        nsm_json_writer_string(json, "text", finding->text);
        nsm_json_writer_u64(json, "count", finding->count);
        nsm_json_writer_end(json);
    }
    nsm_json_writer_end(json);
}

static void write_json_namespace(struct nsm_buf *out, const struct nsm_report_namespace *ns)
{
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_json_writer_object(&json, NULL);
    nsm_json_writer_string(&json, "event", "namespace");
    nsm_json_writer_string(&json, "name", ns->name);
    nsm_json_writer_string(&json, "source", ns->source);
    nsm_json_writer_string(&json, "destination", ns->destination);
    nsm_json_writer_string(&json, "lane", ns->lane && ns->lane[0] ? ns->lane : NULL);
    nsm_json_writer_string(&json, "layout", ns->layout && ns->layout[0] ? ns->layout : NULL);
    nsm_json_writer_bool(&json, "would_fail", ns->would_fail);
    nsm_json_writer_bool(&json, "done", ns->was_done);
    nsm_json_writer_u64(&json, "records", ns->n_records);
    nsm_json_writer_u64(&json, "bytes", ns->n_bytes);
    nsm_json_writer_number(&json, "estimate_seconds", ns->estimate_seconds);
    write_objects(&json, ns);
    for (size_t i = 0; i < NSM_COUNT_OF(kinds); i++)
        write_findings(&json, ns, &kinds[i]);
    nsm_json_writer_string(&json, "error", ns->error);
    nsm_json_writer_end(&json);
    nsm_buf_append_char(out, '\n');
}

/* Nothing ran, so nothing is skipped: the status is the answer to what would happen. */
static void write_summary(struct nsm_buf *out, const struct nsm_report *report)
{
    const bool would_fail = report->n_would_fail > 0 && report->status == NSM_STATUS_OK;
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_summary_begin(&json, report->plan,
                      nsm_status_name(would_fail ? NSM_STATUS_FAILED : report->status),
                      report->seconds, report->error);
    nsm_json_writer_number(&json, "estimate_seconds", report->estimate_seconds);
    nsm_json_writer_array(&json, "namespaces");
    for (size_t i = 0; i < report->n_namespaces; i++) {
        struct nsm_report_namespace shown = report->namespaces[i];
        if (report->status == NSM_STATUS_OK)
            shown.status = shown.would_fail || shown.error ? NSM_STATUS_FAILED : NSM_STATUS_OK;
        nsm_summary_namespace(&json, &shown);
        nsm_json_writer_end(&json);
    }
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
}

/* Namespace by namespace, so that ten thousand of them are never one text in memory. */
static void write_json(struct nsm_cli *cli, const struct nsm_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    for (size_t i = 0; i < report->n_namespaces; i++) {
        nsm_buf_clear(&out);
        write_json_namespace(&out, &report->namespaces[i]);
        nsm_output_write(cli->output, nsm_buf_view(&out));
    }
    nsm_buf_clear(&out);
    write_summary(&out, report);
    nsm_cli_summary(cli, nsm_buf_view(&out));
}

/* ---- text ---- */

static const struct nsm_table_column columns[] = {
    {"", NSM_ALIGN_LEFT},  {"", NSM_ALIGN_LEFT}, {"", NSM_ALIGN_RIGHT},
    {"", NSM_ALIGN_RIGHT}, {"", NSM_ALIGN_LEFT},
};

static void add_records(struct nsm_table *table, uint64_t n_records, bool is_exact)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    if (!is_exact)
        nsm_buf_append_cstr(&text, "about ");
    nsm_human_count_of(&text, n_records, "record");
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", text.ptr);
}

static void add_object(struct nsm_table *table, const struct nsm_report_object *object)
{
    const char *const name = object->name[0] ? object->name : "keys";
    const char *const target = object->target[0] ? object->target : "keys";
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", name);
    nsm_table_add(table, NSM_STYLE_PLAIN, "-> %s", target);
    add_records(table, object->n_records, object->is_exact);
    nsm_table_add_bytes(table, object->n_bytes);
    nsm_table_add(table, NSM_STYLE_DIM, "%s", object->form);
}

static void write_object_table(struct nsm_buf *out, const struct nsm_cli *cli,
                               const struct nsm_report_namespace *ns)
{
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    const size_t max = cli->options->is_verbose ? SIZE_MAX : MAX_SHOWN;
    for (size_t i = 0; i < ns->n_objects && i < max; i++)
        add_object(table, &ns->objects[i]);
    const struct nsm_table_look look = {.indent = 2, .is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, out);
    if (ns->n_objects > max)
        nsm_buf_printf(out, "  ... and %zu more objects; --verbose shows all\n",
                       ns->n_objects - max);
}

static void write_word(struct nsm_buf *out, const struct nsm_cli *cli, enum nsm_style style,
                       const char *word)
{
    const bool is_styled = nsm_cli_is_colored(cli) && style != NSM_STYLE_PLAIN;
    nsm_buf_printf(out, "%s%s%s", is_styled ? nsm_style_begin(style) : "", word,
                   is_styled ? NSM_STYLE_END : "");
}

static void write_finding(struct nsm_buf *out, const struct nsm_cli *cli, const struct kind *kind,
                          const struct nsm_finding *finding)
{
    nsm_buf_append_cstr(out, "  ");
    write_word(out, cli, kind->style, kind->word);
    nsm_buf_append_char(out, ' ');
    if (kind->kind == NSM_FINDING_LOSS)
        nsm_buf_printf(out, "%s: ", finding->what);
    nsm_human_text(out, nsm_str_of(finding->text));
    nsm_buf_append_char(out, '\n');
}

static void write_finding_list(struct nsm_buf *out, const struct nsm_cli *cli,
                               const struct nsm_report_namespace *ns, const struct kind *kind)
{
    const size_t max = cli->options->is_verbose ? SIZE_MAX : MAX_SHOWN;
    size_t at = 0;
    size_t n_found = 0;
    for (const struct nsm_finding *finding; (finding = next_finding(ns, kind->kind, &at));) {
        if (n_found++ < max)
            write_finding(out, cli, kind, finding);
    }
    if (n_found > max)
        nsm_buf_printf(out, "  ... and %zu more; --verbose shows all\n", n_found - max);
}

static void write_head(struct nsm_buf *out, const struct nsm_cli *cli,
                       const struct nsm_report_namespace *ns)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf name = NSM_BUF_TEXT;
    nsm_human_text(&name, nsm_str_of(ns->name));
    write_word(out, cli, NSM_STYLE_HEAD, name.ptr);
    nsm_buf_printf(out, ": %s -> %s", ns->source, ns->destination);
    if (ns->lane && ns->lane[0])
        nsm_buf_printf(out, ", lane %s", ns->lane);
    if (ns->layout && ns->layout[0])
        nsm_buf_printf(out, ", layout %s", ns->layout);
    nsm_buf_append_cstr(out, ", ");
    nsm_human_count_of(out, ns->n_records, "record");
    nsm_buf_append_cstr(out, ", ");
    nsm_human_bytes(out, ns->n_bytes);
    if (ns->was_done) {
        nsm_buf_append_cstr(out, ", done before: nothing to do");
    } else if (!ns->would_fail && !ns->error) {
        nsm_buf_append_cstr(out, ", about ");
        nsm_human_seconds(out, ns->estimate_seconds);
    }
    nsm_buf_append_char(out, '\n');
}

static void write_namespace(struct nsm_buf *out, const struct nsm_cli *cli,
                            const struct nsm_report_namespace *ns)
{
    write_head(out, cli, ns);
    write_object_table(out, cli, ns);
    for (size_t i = 0; i < NSM_COUNT_OF(kinds); i++)
        write_finding_list(out, cli, ns, &kinds[i]);
    if (ns->would_fail || ns->error) {
        nsm_buf_append_cstr(out, "  ");
        write_word(out, cli, NSM_STYLE_BAD, "run would fail");
        nsm_buf_append_cstr(out, ns->error ? ": " : "");
        nsm_human_text(out, nsm_str_of(ns->error));
        nsm_buf_append_char(out, '\n');
    }
    nsm_buf_append_char(out, '\n');
}

static void write_total(struct nsm_buf *out, const struct nsm_report *report, size_t n_workers)
{
    uint64_t n_records = 0;
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < report->n_namespaces; i++) {
        n_records += report->namespaces[i].n_records;
        n_bytes += report->namespaces[i].n_bytes;
    }
    nsm_human_count_of(out, report->n_namespaces, "namespace");
    nsm_buf_append_cstr(out, ", ");
    nsm_human_count_of(out, n_records, "record");
    nsm_buf_append_cstr(out, ", ");
    nsm_human_bytes(out, n_bytes);
    if (report->n_would_fail > 0) {
        nsm_buf_append_cstr(out, "; run would fail: ");
        nsm_human_count_of(out, report->n_would_fail, "namespace");
    } else {
        nsm_buf_append_cstr(out, "; about ");
        nsm_human_seconds(out, report->estimate_seconds);
        nsm_buf_append_cstr(out, " with ");
        nsm_human_count_of(out, n_workers, "worker");
    }
    nsm_buf_append_char(out, '\n');
}

static void write_text(struct nsm_cli *cli, const struct nsm_report *report, size_t n_workers)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    for (size_t i = 0; i < report->n_namespaces; i++) {
        nsm_buf_clear(&out);
        write_namespace(&out, cli, &report->namespaces[i]);
        nsm_output_write(cli->output, nsm_buf_view(&out));
    }
    nsm_buf_clear(&out);
    write_total(&out, report, n_workers);
    nsm_output_write(cli->output, nsm_buf_view(&out));
}

struct nsm_error *nsm_cli_preview(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_session_release) struct nsm_session session = {0};
    NSM_TRY(nsm_session_open(&session, cli, 0, exit_code));
    NSM_CLEANUP(nsm_report_release) struct nsm_report report = {0};
    struct nsm_error *const error = nsm_migration_preview(session.migration, cli->ctx, &report);
    nsm_session_settle(&session);
    if (error || report.n_would_fail > 0)
        *exit_code = NSM_EXIT_WOULD_FAIL;
    if (error && report.n_namespaces == 0)
        return error;
    if (cli->options->is_json)
        write_json(cli, &report);
    else
        write_text(cli, &report, session.plan->workers);
    return error;
}

const struct nsm_cli_command nsm_cmd_preview = {
    .name = "preview",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "dry run: what would be copied, created, in conflict, lost",
    .purpose = "Looks at both sides of every namespace and prints what run would do: the lane,\n"
               "the tables or keys with their records and bytes, what would be created, what\n"
               "stands in the way, what would be lost, and how long it may take. Changes\n"
               "nothing anywhere. Takes the flags of run, so that one word more or less tells\n"
               "the two apart.",
    .example = "  nsmigrate preview move.yaml --only sessions",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR) | NSM_FLAG_BIT(NSM_FLAG_FRESH),
    .exits =
        NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_WOULD_FAIL) | NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
    .run = nsm_cli_preview,
};
