/* See differences.h. */
#include "migrate/cli/differences.h"

#include "migrate/cli/human.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

#include <inttypes.h>

uint64_t nsm_differences_count(const struct nsm_report_namespace *ns)
{
    return ns->n_missing + ns->n_extra + ns->n_different;
}

static void write_difference(struct nsm_buf *out, const struct nsm_report_namespace *ns,
                             const struct nsm_difference *difference)
{
    const char mark[] = {difference->mark, '\0'};
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_json_writer_object(&json, NULL);
    nsm_json_writer_string(&json, "event", "difference");
    nsm_json_writer_string(&json, "namespace", ns->name);
    nsm_json_writer_string(&json, "mark", mark);
    nsm_json_writer_string(&json, "what", difference->is_definition ? "definition" : "record");
    nsm_json_writer_string(&json, "object", difference->object);
    nsm_json_writer_string(&json, "key", difference->key);
    nsm_json_writer_end(&json);
    nsm_buf_append_char(out, '\n');
}

void nsm_differences_write_events(struct nsm_cli *cli, const struct nsm_report *report)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    for (size_t i = 0; i < report->n_namespaces; i++) {
        const struct nsm_report_namespace *const ns = &report->namespaces[i];
        nsm_buf_clear(&out);
        for (size_t j = 0; j < ns->n_differences; j++)
            write_difference(&out, ns, &ns->differences[j]);
        nsm_output_write(cli->output, nsm_buf_view(&out));
    }
}

static void write_namespace(struct nsm_buf *out, const struct nsm_report_namespace *ns)
{
    if (ns->n_differences == 0)
        return;
    nsm_human_text(out, nsm_str_of(ns->name));
    nsm_buf_append_cstr(out, ":\n");
    for (size_t i = 0; i < ns->n_differences; i++) {
        const struct nsm_difference *const difference = &ns->differences[i];
        nsm_buf_printf(out, "  %c ", difference->mark);
        nsm_human_text(out, nsm_str_of(difference->object));
        if (difference->object[0])
            nsm_buf_append_char(out, ' ');
        nsm_human_text(out, nsm_str_of(difference->key));
        nsm_buf_append_char(out, '\n');
    }
    if (nsm_differences_count(ns) > ns->n_differences)
        nsm_buf_printf(out, "  ... and %" PRIu64 " more\n",
                       nsm_differences_count(ns) - ns->n_differences);
}

void nsm_differences_write_namespace(struct nsm_json_writer *json,
                                     const struct nsm_report_namespace *ns, uint64_t n_left)
{
    struct nsm_report_namespace shown = *ns;
    if (n_left > 0 && shown.status == NSM_STATUS_OK)
        shown.status = NSM_STATUS_FAILED;
    nsm_summary_namespace(json, &shown);
    nsm_json_writer_u64(json, "missing", ns->n_missing);
    nsm_json_writer_u64(json, "extra", ns->n_extra);
    nsm_json_writer_u64(json, "different", ns->n_different);
}

/* ---- the table ---- */

static const struct nsm_table_column columns[] = {
    {"namespace", NSM_ALIGN_LEFT}, {"state", NSM_ALIGN_LEFT},  {"records", NSM_ALIGN_RIGHT},
    {"missing", NSM_ALIGN_RIGHT},  {"extra", NSM_ALIGN_RIGHT}, {"different", NSM_ALIGN_RIGHT},
    {"left", NSM_ALIGN_RIGHT},     {"time", NSM_ALIGN_RIGHT},
};

static const char *state_of(const struct nsm_report_namespace *ns, uint64_t n_left)
{
    if (ns->status != NSM_STATUS_OK)
        return nsm_summary_state(ns);
    if (n_left > 0)
        return "differs";
    return nsm_differences_count(ns) > 0 ? "repaired" : "same";
}

static void add_row(struct nsm_table *table, const struct nsm_report_namespace *ns, uint64_t n_left)
{
    const bool differs = ns->status == NSM_STATUS_OK && n_left > 0;
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ns->name);
    nsm_table_add(table, differs ? NSM_STYLE_BAD : nsm_summary_style(ns->status), "%s",
                  state_of(ns, n_left));
    nsm_table_add_count(table, ns->n_records);
    nsm_table_add_count_if(table, ns->n_missing);
    nsm_table_add_count_if(table, ns->n_extra);
    nsm_table_add_count_if(table, ns->n_different);
    nsm_table_add_count_if(table, ns->n_left);
    nsm_table_add_seconds(table, ns->seconds);
}

void nsm_differences_write_text(struct nsm_cli *cli, const struct nsm_report *report,
                                nsm_differences_left_fn *n_left)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(columns, NSM_COUNT_OF(columns));
    for (size_t i = 0; i < report->n_namespaces; i++) {
        write_namespace(&out, &report->namespaces[i]);
        add_row(table, &report->namespaces[i], n_left(&report->namespaces[i]));
    }
    if (report->n_differences > 0)
        nsm_buf_append_cstr(&out, "(+ missing at the destination, - only there, * different)\n\n");
    const struct nsm_table_look look = {.is_colored = nsm_cli_is_colored(cli)};
    nsm_table_write(table, &look, &out);
    nsm_output_write(cli->output, nsm_buf_view(&out));
}
