/*
 * The command line, read. One table of flags serves parsing, messages and help texts, and each
 * command names those it takes, so that none of them can disagree. Flags may stand before or after
 * the command and its operand; "--" ends them.
 *
 * Threads: parse from one thread (getopt_long keeps its state in globals); immutable afterwards.
 */
#ifndef NSM_CLI_OPTIONS_H
#define NSM_CLI_OPTIONS_H

#include "migrate/base/arena.h"
#include "migrate/base/buf.h"
#include "migrate/base/group.h"

struct nsm_cli_command;

enum nsm_flag {
    NSM_FLAG_ONLY,
    NSM_FLAG_WORKERS,
    NSM_FLAG_ON_ERROR,
    NSM_FLAG_FRESH,
    NSM_FLAG_DRY_RUN,
    /* from here on: taken by every command */
    NSM_FLAG_LOAD,
    NSM_FLAG_JSON,
    NSM_FLAG_QUIET,
    NSM_FLAG_VERBOSE,
    NSM_FLAG_NO_COLOR,
    NSM_FLAG_HELP,
    NSM_FLAG_VERSION,
};
#define NSM_N_FLAGS     (NSM_FLAG_VERSION + 1)
#define NSM_MAX_WORKERS 1024

struct nsm_cli_options {
    const struct nsm_cli_command *command; /* NULL: none was named */
    const char *operand;                   /* PLAN or NAME; NULL: none */
    const char **only;                     /* namespaces; NULL: all */
    size_t n_only, cap_only;
    const char **loads; /* shared objects, in the order given */
    size_t n_loads, cap_loads;
    size_t workers; /* 0: the plan's */
    bool has_on_error;
    enum nsm_on_error on_error;
    bool is_fresh, is_dry_run, is_json, is_quiet, is_verbose, no_color;
    bool wants_help, wants_version;
    struct nsm_arena arena;
};

/* `commands` ends in NULL; strings point into argv or the arena. NSM_E_INVALID says what is wrong
 * and what would be right. With --help or --version nothing is asked of the rest. */
struct nsm_error *nsm_cli_options_parse(const struct nsm_cli_command *const *commands, int argc,
                                        char **argv, struct nsm_cli_options **ret) NSM_MUST_USE;
void nsm_cli_options_free(struct nsm_cli_options *options);
NSM_DEFINE_CLEANUP(struct nsm_cli_options, nsm_cli_options_free)

/* Help: of one command, of the program; and the few lines for who calls it with nothing. */
void nsm_cli_write_command_help(const struct nsm_cli_command *command, struct nsm_buf *out);
void nsm_cli_write_help(const struct nsm_cli_command *const *commands, struct nsm_buf *out);
void nsm_cli_write_usage(const struct nsm_cli_command *const *commands, struct nsm_buf *out);

#endif
