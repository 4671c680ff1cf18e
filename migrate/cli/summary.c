/* See summary.h. */
#include "migrate/cli/summary.h"

void nsm_summary_begin(struct nsm_json_writer *json, const char *plan, const char *status,
                       double seconds, const char *error)
{
    nsm_json_writer_object(json, NULL);
    nsm_json_writer_string(json, "event", "summary");
    nsm_json_writer_string(json, "plan", plan);
    nsm_json_writer_string(json, "status", status);
    nsm_json_writer_number(json, "seconds", seconds);
    nsm_json_writer_string(json, "error", error);
}

void nsm_summary_end(struct nsm_json_writer *json)
{
    nsm_json_writer_end(json);
    nsm_buf_append_char(json->out, '\n');
}

const char *nsm_summary_status(enum nsm_status status)
{
    const bool was_stopped = status == NSM_STATUS_INTERRUPTED || status == NSM_STATUS_RUNNING;
    return nsm_status_name(was_stopped ? NSM_STATUS_CANCELLED : status);
}

void nsm_summary_namespace(struct nsm_json_writer *json, const struct nsm_report_namespace *ns)
{
    nsm_json_writer_object(json, NULL);
    nsm_json_writer_string(json, "name", ns->name);
    nsm_json_writer_string(json, "status", nsm_summary_status(ns->status));
    nsm_json_writer_string(json, "lane", ns->lane && ns->lane[0] ? ns->lane : NULL);
    nsm_json_writer_u64(json, "records", ns->n_records);
    nsm_json_writer_u64(json, "bytes", ns->n_bytes);
    nsm_json_writer_number(json, "seconds", ns->seconds);
    nsm_json_writer_string(json, "error", ns->error);
}

void nsm_summary_write(struct nsm_buf *out, const struct nsm_report *report)
{
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_summary_begin(&json, report->plan, nsm_status_name(report->status), report->seconds,
                      report->error);
    nsm_json_writer_array(&json, "namespaces");
    for (size_t i = 0; i < report->n_namespaces; i++) {
        nsm_summary_namespace(&json, &report->namespaces[i]);
        nsm_json_writer_end(&json);
    }
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
}

const char *nsm_summary_state(const struct nsm_report_namespace *ns)
{
    if (ns->status == NSM_STATUS_OK && ns->was_done)
        return "ok, done before";
    if (ns->status == NSM_STATUS_SKIPPED)
        return "not started";
    return nsm_summary_status(ns->status);
}

enum nsm_style nsm_summary_style(enum nsm_status status)
{
    switch (status) {
    case NSM_STATUS_OK:
        return NSM_STYLE_GOOD;
    case NSM_STATUS_FAILED:
        return NSM_STYLE_BAD;
    case NSM_STATUS_CANCELLED:
    case NSM_STATUS_INTERRUPTED:
        return NSM_STYLE_WARN;
    case NSM_STATUS_SKIPPED:
        return NSM_STYLE_DIM;
    case NSM_STATUS_RUNNING:
        break;
    }
    return NSM_STYLE_PLAIN;
}

/* The report's error is a namespace's with words before it. */
static bool ends_with(const char *text, const char *end)
{
    const size_t text_len = strlen(text);
    const size_t end_len = strlen(end);
    return end_len <= text_len && strcmp(text + text_len - end_len, end) == 0;
}

void nsm_summary_tell_errors(struct nsm_console *console, const struct nsm_report *report)
{
    bool is_first_told = false;
    for (size_t i = 0; i < report->n_namespaces; i++) {
        const struct nsm_report_namespace *const ns = &report->namespaces[i];
        if (ns->status != NSM_STATUS_FAILED || !ns->error)
            continue;
        if (!is_first_told && report->error && ends_with(report->error, ns->error)) {
            is_first_told = true;
            continue;
        }
        nsm_console_problem(console, "also failed: namespace %s: %s", ns->name, ns->error);
    }
}
