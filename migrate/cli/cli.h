/*
 * What a command is, and what it gets. Each cmd_*.c exports one `const struct nsm_cli_command`;
 * commands.c lists them. A command prints its results and returns its error, which main prints, once.
 *
 * Threads: a command runs on the main thread; the console and the output lock internally.
 */
#ifndef NSM_CLI_CLI_H
#define NSM_CLI_CLI_H

#include "adapters/registry.h"
#include "migrate/base/context.h"
#include "migrate/cli/console.h"
#include "migrate/cli/options.h"
#include "migrate/cli/output.h"
#include "migrate/engine/plan.h"

#include <stdatomic.h>

/* An interface: scripts rely on them. README.md has the same table. */
enum nsm_exit {
    NSM_EXIT_OK = 0,
    NSM_EXIT_FAILED = 1,
    NSM_EXIT_USAGE = 2,
    NSM_EXIT_WOULD_FAIL = 3,
    NSM_EXIT_DIFFERS = 4,
    NSM_EXIT_LOCKED = 5,
    NSM_EXIT_SIGNAL = 128, /* + the signal's number */
};

/* What the first SIGINT, SIGTERM or SIGHUP does; any later one is stronger by one. */
enum nsm_on_signal {
    NSM_ON_SIGNAL_EXIT,   /* nothing is open: end at once */
    NSM_ON_SIGNAL_CANCEL, /* end every wait, unwind, report */
    NSM_ON_SIGNAL_STOP,   /* let each part reach a checkpoint */
};

struct nsm_cli {
    struct nsm_cli_options *options;
    struct nsm_registry *registry;
    struct nsm_adapter_source adapters;
    struct nsm_context *ctx; /* the root, which signals stop and cancel */
    struct nsm_console *console;
    struct nsm_output *output;
    atomic_int on_signal; /* enum nsm_on_signal */
    int64_t started_ns;
    char *plan_name;  /* once a plan is loaded */
    bool has_summary; /* the summary line was written */
};

/* `*exit_code` is 0 on entry. With an error it is the command's word on it where the command sets
 * it; else main takes NSM_EXIT_FAILED. */
typedef struct nsm_error *nsm_cli_command_fn(struct nsm_cli *cli, int *exit_code);

struct nsm_cli_command {
    const char *name;
    const char *operands; /* as a usage line shows them: "PLAN", "[NAME]" or "" */
    size_t min_operands, max_operands;
    const char *summary; /* one line, for the list of commands */
    const char *purpose; /* a paragraph, in lines of at most 80 columns */
    const char *example; /* a command line and what it is for */
    unsigned flags;      /* of its own, besides those that all commands take: NSM_FLAG_BIT() */
    unsigned exits;      /* the codes it can give: NSM_EXIT_BIT() */
    nsm_cli_command_fn *run;
};
#define NSM_FLAG_BIT(flag)  (1u << (flag))
#define NSM_EXIT_BIT(code)  (1u << ((code) == NSM_EXIT_SIGNAL ? 31 : (code)))
#define NSM_EXIT_BITS_USUAL (NSM_EXIT_BIT(NSM_EXIT_OK) | NSM_EXIT_BIT(NSM_EXIT_USAGE))

/* All commands, in the order in which an operator needs them; ends in NULL. */
extern const struct nsm_cli_command *const nsm_cli_commands[];

/* Runs the command that the options name. With --json, an error that kept a command from its summary
 * still gets one, so that the last line is a summary whatever happens. */
struct nsm_error *nsm_cli_run(struct nsm_cli *cli, int *exit_code) NSM_MUST_USE;

/* Loads the plan that the operand names. Any error is one of the plan: exit code 2. */
struct nsm_error *nsm_cli_load_plan(struct nsm_cli *cli, struct nsm_plan **ret, int *exit_code)
    NSM_MUST_USE;

/* Writes the line that ends JSON output. */
void nsm_cli_summary(struct nsm_cli *cli, struct nsm_str line);

/* Since the program's start. */
double nsm_cli_seconds(const struct nsm_cli *cli);

/* Tables on standard output: coloured where it is a terminal and nobody minds. */
bool nsm_cli_is_colored(const struct nsm_cli *cli);

#endif
