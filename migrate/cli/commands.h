/*
 * Every command's table, for commands.c alone.
 *
 * Threads: static const data.
 */
#ifndef NSM_CLI_COMMANDS_H
#define NSM_CLI_COMMANDS_H

struct nsm_cli_command;
struct nsm_cli;
struct nsm_error;

extern const struct nsm_cli_command nsm_cmd_validate;
extern const struct nsm_cli_command nsm_cmd_check;
extern const struct nsm_cli_command nsm_cmd_preview;
extern const struct nsm_cli_command nsm_cmd_run;
extern const struct nsm_cli_command nsm_cmd_verify;
extern const struct nsm_cli_command nsm_cmd_repair;
extern const struct nsm_cli_command nsm_cmd_status;
extern const struct nsm_cli_command nsm_cmd_adapters;
extern const struct nsm_cli_command nsm_cmd_schema;

/* What `run --dry-run` does; a nsm_cli_command_fn. */
struct nsm_error *nsm_cli_preview(struct nsm_cli *cli, int *exit_code)
    __attribute__((warn_unused_result));

#endif
