/*
 * The program: what it owes its surroundings (signals, secrets, exit codes), and the only place that
 * prints an error. All else is in commands, which are libraries as far as this file is concerned.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/cli/cli.h"
#include "migrate/cli/signals.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A core file, a debugger or a readable dump would hold passwords and other people's data. */
static void guard_secrets(void)
{
    const struct rlimit none = {0};
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)umask(077);
}

/* A standard stream that the caller has closed must not become the number of a file of ours. What
 * stands in for it fails on use, as the closed one would. */
static void hold_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", modes[fd]); /* the lowest free number: fd */
    }
}

/* Runs on the thread that waits for signals. Each further signal is stronger by one: stop, cancel,
 * end. Who has not come to rest by the end of the grace is cancelled. What it does comes before what it says: a paused terminal
 * must not keep a program from stopping. */
static void on_signal(void *arg, int number, unsigned nth)
{
    struct nsm_cli *const cli = arg;
    if (nth == 0) {
        if (nsm_context_is_canceled(cli->ctx))
            return;
        nsm_context_cancel(cli->ctx, NULL);
        nsm_console_line(cli->console, "%s: no checkpoint is near: stopping at once",
                         nsm_signal_name(number));
        return;
    }
    const unsigned begin = (unsigned)(NSM_ON_SIGNAL_STOP - atomic_load(&cli->on_signal));
    switch (begin + nth) {
    case 1:
        nsm_context_stop(cli->ctx);
        nsm_console_line(cli->console,
                         "%s: stopping at the next checkpoint; once more stops at once",
                         nsm_signal_name(number));
        break;
    case 2:
        nsm_context_cancel(cli->ctx, NULL);
        nsm_console_line(cli->console, "%s: stopping at once", nsm_signal_name(number));
        break;
    default:
        _exit(NSM_EXIT_SIGNAL + number);
    }
}

static const struct nsm_adapter *find_adapter(void *arg, const char *name)
{
    return nsm_registry_find(arg, name);
}

static const struct nsm_adapter *adapter_at(void *arg, size_t index)
{
    const struct nsm_registry *const registry = arg;
    return index < nsm_registry_size(registry) ? nsm_registry_at(registry, index) : NULL;
}

static struct nsm_error *load_adapters(struct nsm_cli *cli)
{
    for (size_t i = 0; i < cli->options->n_loads; i++)
        NSM_TRY_WRAP(nsm_registry_load(cli->registry, cli->options->loads[i]), "--load %s",
                     cli->options->loads[i]);
    return NULL;
}

/* The one place that prints an error. */
static int conclude(struct nsm_cli *cli, const struct nsm_error *error, int exit_code,
                    int signal_number)
{
    if (signal_number != 0 && nsm_error_is(error, NSM_E_CANCELED)) {
        nsm_console_problem(cli->console, "stopped by %s; the same command takes it up",
                            nsm_signal_name(signal_number));
        return NSM_EXIT_SIGNAL + signal_number;
    }
    if (error) {
        NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
        nsm_console_problem(cli->console, "%s", text);
        return exit_code ? exit_code : NSM_EXIT_FAILED;
    }
    return exit_code;
}

/* Results that nobody could be given are no success. */
static int check_output(struct nsm_cli *cli, int exit_code)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = nsm_output_error(cli->output);
    if (error) {
        NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
        nsm_console_problem(cli->console, "%s", text);
    }
    const bool is_lost = nsm_output_is_broken(cli->output) && exit_code == NSM_EXIT_OK;
    return is_lost ? NSM_EXIT_FAILED : exit_code;
}

static int run_command(struct nsm_cli *cli)
{
    NSM_CLEANUP(nsm_signals_freep) struct nsm_signals *signals = NULL;
    int exit_code = 0;
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_signals_start(on_signal, cli, &signals);
    if (!error) {
        error = load_adapters(cli);
        exit_code = error ? NSM_EXIT_USAGE : NSM_EXIT_OK;
    }
    if (!error)
        error = nsm_cli_run(cli, &exit_code);
    exit_code = conclude(cli, error, exit_code, signals ? nsm_signals_received(signals) : 0);
    return check_output(cli, exit_code);
}

/* What is asked of the program itself: help, its version, or nothing. False: a command. */
static bool answer(struct nsm_cli *cli, int *ret_exit_code)
{
    const struct nsm_cli_options *const options = cli->options;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    if (options->wants_help && options->command)
        nsm_cli_write_command_help(options->command, &text);
    else if (options->wants_help)
        nsm_cli_write_help(nsm_cli_commands, &text);
    else if (options->wants_version)
        nsm_buf_append_cstr(&text, "nsmigrate " NSM_VERSION "\n");
    if (text.len > 0) {
        nsm_output_write(cli->output, nsm_buf_view(&text));
        *ret_exit_code = check_output(cli, NSM_EXIT_OK);
        return true;
    }
    if (options->command)
        return false;
    nsm_cli_write_usage(nsm_cli_commands, &text);
    nsm_console_text(cli->console, nsm_buf_view(&text));
    *ret_exit_code = NSM_EXIT_USAGE;
    return true;
}

static unsigned console_flags(const struct nsm_cli_options *options)
{
    /* JSON lines and a live area on one terminal would overwrite each other. */
    const bool is_shared = options->is_json && isatty(STDOUT_FILENO) == 1;
    return (options->is_quiet ? NSM_CONSOLE_QUIET : 0u) |
           (options->no_color ? NSM_CONSOLE_NO_COLOR : 0u) | (is_shared ? NSM_CONSOLE_NO_LIVE : 0u);
}

static void cli_release(struct nsm_cli *cli)
{
    nsm_context_free(cli->ctx);
    nsm_registry_free(cli->registry);
    nsm_console_free(cli->console);
    nsm_output_free(cli->output);
    nsm_cli_options_free(cli->options);
    free(cli->plan_name);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    guard_secrets();
    nsm_signals_block();
    NSM_CLEANUP(cli_release)
    struct nsm_cli cli = {.output = nsm_output_new(STDOUT_FILENO), .started_ns = nsm_now_ns()};
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *usage = nsm_cli_options_parse(nsm_cli_commands, argc, argv, &cli.options);
    cli.console = nsm_console_new(STDERR_FILENO, usage ? 0 : console_flags(cli.options));
    if (usage)
        return conclude(&cli, usage, NSM_EXIT_USAGE, 0);

    int exit_code = 0;
    if (answer(&cli, &exit_code))
        return exit_code;
    cli.registry = nsm_registry_new();
    cli.adapters = (struct nsm_adapter_source){
        .find = find_adapter,
        .at = adapter_at,
        .arg = cli.registry,
    };
    cli.ctx = nsm_context_new(NULL);
    return run_command(&cli);
}
