/* See differences.h. */
#include "migrate/cli/differences.h"

#include "migrate/cli/human.h"
#include "migrate/cli/json_writer.h"

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

void nsm_differences_write_text(struct nsm_buf *out, const struct nsm_report *report)
{
    for (size_t i = 0; i < report->n_namespaces; i++)
        write_namespace(out, &report->namespaces[i]);
    if (report->n_differences > 0)
        nsm_buf_append_cstr(out, "(+ missing at the destination, - only there, * different)\n\n");
}
