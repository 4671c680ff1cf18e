/* nsmigrate schema: the plan's JSON Schema, for editors. */
#include "migrate/cli/cli.h"
#include "migrate/cli/commands.h"

static struct nsm_error *run(struct nsm_cli *cli, int *exit_code)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_plan_write_schema(&cli->adapters, &out);
    NSM_TRY(nsm_buf_error(&out));
    nsm_output_write(cli->output, nsm_buf_view(&out));
    *exit_code = NSM_EXIT_OK;
    return NULL;
}

const struct nsm_cli_command nsm_cmd_schema = {
    .name = "schema",
    .operands = "",
    .summary = "the plan's JSON Schema",
    .purpose = "Prints the JSON Schema (draft 2020-12) of plans, with the options of all\n"
               "adapters, also of those that --load names. Editors complete and check a plan\n"
               "with it.",
    .example = "  nsmigrate schema > nsmigrate.schema.json",
    .exits = NSM_EXIT_BITS_USUAL,
    .run = run,
};
