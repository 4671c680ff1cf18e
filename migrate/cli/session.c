/* See session.h. An event becomes a line on standard error, with --json also one on standard output. */
#include "migrate/cli/session.h"

#include "migrate/cli/json_writer.h"
#include "migrate/cli/progress.h"

/* The member that an event's text becomes; NULL: it has none. */
static const char *text_member(enum nsm_event_kind kind)
{
    switch (kind) {
    case NSM_EVENT_NAMESPACE_STARTED:
        return "lane";
    case NSM_EVENT_STEP:
        return "step";
    case NSM_EVENT_PART_DONE:
        return "part";
    case NSM_EVENT_NAMESPACE_ENDED:
    case NSM_EVENT_RUN_ENDED:
        return "status";
    case NSM_EVENT_RUN_STARTED:
    case NSM_EVENT_RETRY:
    case NSM_EVENT_WARNING:
        return "text";
    case NSM_EVENT_SURVEYED:
        break;
    }
    return NULL;
}

static void write_event(struct nsm_buf *out, const struct nsm_event *event)
{
    const bool is_end = event->kind == NSM_EVENT_NAMESPACE_ENDED;
    const bool has_counts =
        is_end || event->kind == NSM_EVENT_PART_DONE || event->kind == NSM_EVENT_NAMESPACE_STARTED;
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_json_writer_object(&json, NULL);
    nsm_json_writer_string(&json, "event", nsm_event_name(event->kind));
    nsm_json_writer_time(&json, "time", event->at_ms);
    if (event->namespace_name)
        nsm_json_writer_string(&json, "namespace", event->namespace_name);
    if (text_member(event->kind))
        nsm_json_writer_string(&json, text_member(event->kind), event->text);
    if (has_counts) {
        nsm_json_writer_u64(&json, "records", event->n_records);
        nsm_json_writer_u64(&json, "bytes", event->n_bytes);
    }
    if (is_end || event->kind == NSM_EVENT_PART_DONE)
        nsm_json_writer_number(&json, "seconds", event->seconds);
    if (is_end || event->error)
        nsm_json_writer_string(&json, "error", event->error);
    nsm_json_writer_end(&json);
    nsm_buf_append_char(out, '\n');
}

static void take_event(void *arg, const struct nsm_event *event)
{
    const struct nsm_session *const session = arg;
    const struct nsm_cli *const cli = session->cli;
    nsm_progress_tell(cli->console, event, cli->options->is_verbose);
    if (!cli->options->is_json)
        return;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf line = NSM_BUF_TEXT;
    write_event(&line, event);
    nsm_output_write(cli->output, nsm_buf_view(&line));
}

static void apply_flags(struct nsm_plan *plan, const struct nsm_cli_options *options)
{
    if (options->workers > 0)
        plan->workers = options->workers;
    if (options->has_on_error)
        plan->on_error = options->on_error;
}

/* No for_each is expanded, which would need a connection before any is checked; and one that does not
 * answer keeps none of the others waiting. */
static void look_at_backends_only(struct nsm_session *session,
                                  const struct nsm_cli_options *options)
{
    struct nsm_plan *const plan = session->plan;
    session->n_hidden_templates = plan->n_templates;
    plan->n_templates = 0;
    const size_t n_wanted = plan->n_backends < NSM_MAX_WORKERS ? plan->n_backends : NSM_MAX_WORKERS;
    if (options->workers == 0 && plan->workers < n_wanted)
        plan->workers = n_wanted;
}

struct nsm_error *nsm_session_open(struct nsm_session *session, struct nsm_cli *cli, unsigned flags,
                                   int *exit_code)
{
    const struct nsm_cli_options *const options = cli->options;
    session->cli = cli;
    NSM_TRY(nsm_cli_load_plan(cli, &session->plan, exit_code));
    apply_flags(session->plan, options);
    if (flags & NSM_SESSION_BACKENDS_ONLY)
        look_at_backends_only(session, options);

    session->events = (struct nsm_events){.emit = take_event, .arg = session};
    session->options = (struct nsm_migration_options){
        .events = &session->events,
        .only = options->only,
        .n_only = options->n_only,
        .is_fresh = options->is_fresh,
        .is_dry_run = options->is_dry_run,
    };
    atomic_store(&cli->on_signal, NSM_ON_SIGNAL_CANCEL);
    struct nsm_error *const error =
        nsm_migration_open(session->plan, cli->ctx, &session->options, &session->migration);
    if (error) {
        if (nsm_error_is(error, NSM_E_INVALID))
            *exit_code = NSM_EXIT_USAGE;
        return error;
    }
    if (flags & NSM_SESSION_STOPS_GENTLY)
        atomic_store(&cli->on_signal, NSM_ON_SIGNAL_STOP);
    if (!(flags & NSM_SESSION_BACKENDS_ONLY))
        session->view = nsm_progress_view_new(session->migration, cli->console);
    return NULL;
}

void nsm_session_settle(struct nsm_session *session)
{
    nsm_progress_view_free(NSM_STEAL(session->view));
}

void nsm_session_release(struct nsm_session *session)
{
    nsm_session_settle(session);
    nsm_migration_free(session->migration);
    if (session->n_hidden_templates > 0)
        session->plan->n_templates = session->n_hidden_templates;
    nsm_plan_free(session->plan);
}
