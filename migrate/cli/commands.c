/* The commands that there are, and what they share. Each has a file of its own. */
#include "migrate/cli/commands.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/cli/cli.h"
#include "migrate/cli/summary.h"

const struct nsm_cli_command *const nsm_cli_commands[] = {
    &nsm_cmd_validate, &nsm_cmd_check,  &nsm_cmd_preview,  &nsm_cmd_run,    &nsm_cmd_verify,
    &nsm_cmd_repair,   &nsm_cmd_status, &nsm_cmd_adapters, &nsm_cmd_schema, NULL,
};

/* The summary of a command that came to none of its own. */
static void summarize_error(struct nsm_cli *cli, const struct nsm_error *error)
{
    const bool was_stopped = nsm_error_is(error, NSM_E_CANCELED);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf line = NSM_BUF_TEXT;
    struct nsm_json_writer json = nsm_json_writer_on(&line);
    nsm_summary_begin(&json, cli->plan_name, was_stopped ? "interrupted" : "failed",
                      nsm_cli_seconds(cli), text);
    nsm_json_writer_array(&json, "namespaces");
    nsm_json_writer_end(&json);
    nsm_summary_end(&json);
    nsm_cli_summary(cli, nsm_buf_view(&line));
}

struct nsm_error *nsm_cli_run(struct nsm_cli *cli, int *exit_code)
{
    struct nsm_error *const error = cli->options->command->run(cli, exit_code);
    if (error && cli->options->is_json && !cli->has_summary)
        summarize_error(cli, error);
    return error;
}

struct nsm_error *nsm_cli_load_plan(struct nsm_cli *cli, struct nsm_plan **ret, int *exit_code)
{
    struct nsm_error *const error = nsm_plan_load(cli->options->operand, &cli->adapters, ret);
    if (error) {
        *exit_code = NSM_EXIT_USAGE;
        return error;
    }
    cli->plan_name = nsm_xstrdup((*ret)->name);
    return NULL;
}

void nsm_cli_summary(struct nsm_cli *cli, struct nsm_str line)
{
    cli->has_summary = true;
    nsm_output_write(cli->output, line);
}

double nsm_cli_seconds(const struct nsm_cli *cli)
{
    return (double)(nsm_now_ns() - cli->started_ns) / (double)NSM_NS_PER_S;
}

bool nsm_cli_is_colored(const struct nsm_cli *cli)
{
    return nsm_output_is_terminal(cli->output) && nsm_console_wants_color(cli->console);
}
