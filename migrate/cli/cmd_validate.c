/* nsmigrate validate: the plan alone, no connection. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"
#include "migrate/cli/summary.h"

static void write_json(struct nsm_buf *out, const struct nsm_plan *plan, double seconds)
{
    struct nsm_json_writer json = nsm_json_writer_on(out);
    nsm_summary_begin(&json, plan->name, "ok", seconds, NULL);
    nsm_json_writer_array(&json, "backends");
    for (size_t i = 0; i < plan->n_backends; i++)
        nsm_json_writer_string(&json, NULL, plan->backends[i].name);
    nsm_json_writer_end(&json);
    nsm_json_writer_array(&json, "namespaces");
    for (size_t i = 0; i < plan->n_namespaces; i++)
        nsm_json_writer_string(&json, NULL, plan->namespaces[i].name);
    nsm_json_writer_end(&json);
    nsm_json_writer_u64(&json, "for_each", plan->n_templates);
    nsm_summary_end(&json);
}

static void write_text(struct nsm_buf *out, const struct nsm_plan *plan)
{
    nsm_buf_printf(out, "plan %s is valid: ", plan->name);
    nsm_human_count_of(out, plan->n_backends, "backend");
    nsm_buf_append_cstr(out, ", ");
    nsm_human_count_of(out, plan->n_namespaces, "namespace");
    if (plan->n_templates > 0)
        nsm_buf_printf(out, " and %zu for_each, whose namespaces are found when it runs",
                       plan->n_templates);
    nsm_buf_append_char(out, '\n');
}

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = NULL;
    NSM_TRY(nsm_cli_load_plan(cli, &plan, exit_code));
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    if (cli->options->is_json) {
        write_json(&out, plan, nsm_cli_seconds(cli));
        nsm_cli_summary(cli, nsm_buf_view(&out));
    } else if (!cli->options->is_quiet) {
        write_text(&out, plan);
        nsm_output_write(cli->output, nsm_buf_view(&out));
    }
    return NULL;
}

const struct nsm_cli_command nsm_cmd_validate = {
    .name = "validate",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "parse and check the plan; no connection",
    .purpose = "Reads the plan, fills in its variables and defaults, and checks every key,\n"
               "value and name. Connects to nothing. A mistake is shown with file, line and\n"
               "column and with what was expected. PLAN may be - for standard input.",
    .example = "  nsmigrate validate move.yaml",
    .exits = NSM_EXIT_BITS_USUAL,
    .run = run,
};
