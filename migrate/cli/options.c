/*
 * See options.h. getopt_long does the splitting (--name=value, a unique beginning of a name, short
 * forms); what each flag means, who takes it and what its help says is in the table here. Its
 * messages are ours: its own go to standard error at once and know no commands.
 */
#include "migrate/cli/options.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"
#include "migrate/cli/cli.h"

#include <assert.h>
#include <getopt.h>

#define FIRST_LONG 256 /* getopt's value of flag 0: beyond every short form */
#define OPERAND    1   /* getopt's value of what is no flag, in the order of the command line */

static const struct flag {
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *help;
} flags[NSM_N_FLAGS] = {
    [NSM_FLAG_ONLY] = {"only", "NAME[,NAME]", "only these namespaces of the plan"},
    [NSM_FLAG_WORKERS] = {"workers", "N", "tasks at a time, 1 to 1024, instead of the plan's"},
    [NSM_FLAG_ON_ERROR] = {"on-error", "cancel|continue", "what a failure does to the siblings"},
    [NSM_FLAG_FRESH] = {"fresh", NULL, "forget an interrupted run and begin anew"},
    [NSM_FLAG_DRY_RUN] = {"dry-run", NULL, "change nothing, only show what would be done"},
    [NSM_FLAG_LOAD] = {"load", "PATH", "an adapter in a shared object; may be given again"},
    [NSM_FLAG_JSON] = {"json", NULL, "results as JSON, one object a line, a summary last"},
    [NSM_FLAG_QUIET] = {"quiet", NULL, "no progress and no notices, only errors"},
    [NSM_FLAG_VERBOSE] = {"verbose", NULL, "tell also every part and every object"},
    [NSM_FLAG_NO_COLOR] = {"no-color", NULL, "no colours; so does NO_COLOR in the environment"},
    [NSM_FLAG_HELP] = {"help", NULL, "this text; after a command, that command's"},
    [NSM_FLAG_VERSION] = {"version", NULL, "the program's version"},
};

static const struct exit_meaning {
    unsigned bit;
    const char *code, *meaning;
} exit_meanings[] = {
    {NSM_EXIT_BIT(NSM_EXIT_OK), "0", "done"},
    {NSM_EXIT_BIT(NSM_EXIT_FAILED), "1", "a namespace failed, or what was asked can't be done"},
    {NSM_EXIT_BIT(NSM_EXIT_USAGE), "2", "usage, or the plan is not valid"},
    {NSM_EXIT_BIT(NSM_EXIT_WOULD_FAIL), "3", "something was found that would make run fail"},
    {NSM_EXIT_BIT(NSM_EXIT_DIFFERS), "4", "the two sides differ"},
    {NSM_EXIT_BIT(NSM_EXIT_LOCKED), "5", "another run of this plan is at work"},
    {NSM_EXIT_BIT(NSM_EXIT_SIGNAL), "128+n", "stopped by signal n; the same command takes it up"},
};

static bool takes(const struct nsm_cli_command *command, size_t flag)
{
    return flag >= NSM_FLAG_LOAD || (command->flags & NSM_FLAG_BIT(flag));
}

/* ---- parsing ---- */

/* What is read before it is known what is asked for. */
struct reading {
    const struct nsm_cli_command *const *commands;
    struct nsm_cli_options *options;
    unsigned given; /* NSM_FLAG_BIT() of each flag that was given */
    const char **words;
    size_t n_words, cap_words;
};

static void reading_release(struct reading *reading)
{
    nsm_cli_options_free(reading->options);
    free(reading->words);
}

static struct nsm_error *unknown_flag(const char *word)
{
    const struct nsm_str name = {.ptr = word + 2, .len = strcspn(word + 2, "=")};
    struct nsm_nearest nearest = nsm_nearest_to(name);
    for (size_t i = 0; i < NSM_N_FLAGS; i++)
        nsm_nearest_offer(&nearest, nsm_str_of(flags[i].name));
    if (nearest.best.ptr)
        return nsm_error_new(NSM_E_INVALID, "unknown flag --%.*s; did you mean --%.*s?",
                             NSM_STR_ARG(name), NSM_STR_ARG(nearest.best));
    return nsm_error_new(NSM_E_INVALID, "unknown flag --%.*s; nsmigrate --help lists them",
                         NSM_STR_ARG(name));
}

static struct nsm_error *bad_flag(int found, char **argv)
{
    if (found == ':')
        return nsm_error_new(NSM_E_INVALID, "--%s needs a value: --%s %s",
                             flags[optopt - FIRST_LONG].name, flags[optopt - FIRST_LONG].name,
                             flags[optopt - FIRST_LONG].argument);
    if (optopt >= FIRST_LONG)
        return nsm_error_new(NSM_E_INVALID, "--%s takes no value", flags[optopt - FIRST_LONG].name);
    if (optopt != 0)
        return nsm_error_new(NSM_E_INVALID, "unknown flag -%c; nsmigrate --help lists them",
                             optopt);
    return unknown_flag(argv[optind - 1]);
}

static struct nsm_error *set_only(struct nsm_cli_options *options, const char *list)
{
    for (const char *at = list;; at++) {
        const size_t len = strcspn(at, ",");
        if (len == 0)
            return nsm_error_new(NSM_E_INVALID,
                                 "--only takes names with commas between, found "
                                 "\"%s\"",
                                 list);
        NSM_GROW(options->only, options->n_only, options->cap_only);
        const struct nsm_str name = {.ptr = at, .len = len};
        options->only[options->n_only++] = nsm_arena_copy(&options->arena, name).ptr;
        at += len;
        if (*at == '\0')
            return NULL;
    }
}

static struct nsm_error *set_workers(struct nsm_cli_options *options, const char *text)
{
    uint64_t workers = 0;
    if (!nsm_parse_u64(nsm_str_of(text), &workers) || workers < 1 || workers > NSM_MAX_WORKERS)
        return nsm_error_new(NSM_E_INVALID, "--workers takes a number from 1 to %d, found \"%s\"",
                             NSM_MAX_WORKERS, text);
    options->workers = (size_t)workers;
    return NULL;
}

static struct nsm_error *set_on_error(struct nsm_cli_options *options, const char *text)
{
    const bool is_cancel = strcmp(text, "cancel") == 0;
    if (!is_cancel && strcmp(text, "continue") != 0)
        return nsm_error_new(NSM_E_INVALID, "--on-error takes cancel or continue, found \"%s\"",
                             text);
    options->has_on_error = true;
    options->on_error = is_cancel ? NSM_ON_ERROR_CANCEL : NSM_ON_ERROR_CONTINUE;
    return NULL;
}

static void add_load(struct nsm_cli_options *options, const char *path)
{
    NSM_GROW(options->loads, options->n_loads, options->cap_loads);
    options->loads[options->n_loads++] = path;
}

static struct nsm_error *set_flag(struct nsm_cli_options *options, enum nsm_flag flag)
{
    switch (flag) {
    case NSM_FLAG_ONLY:
        return set_only(options, optarg);
    case NSM_FLAG_WORKERS:
        return set_workers(options, optarg);
    case NSM_FLAG_ON_ERROR:
        return set_on_error(options, optarg);
    case NSM_FLAG_FRESH:
        options->is_fresh = true;
        break;
    case NSM_FLAG_DRY_RUN:
        options->is_dry_run = true;
        break;
    case NSM_FLAG_LOAD:
        add_load(options, optarg);
        break;
    case NSM_FLAG_JSON:
        options->is_json = true;
        break;
    case NSM_FLAG_QUIET:
        options->is_quiet = true;
        break;
    case NSM_FLAG_VERBOSE:
        options->is_verbose = true;
        break;
    case NSM_FLAG_NO_COLOR:
        options->no_color = true;
        break;
    case NSM_FLAG_HELP:
        options->wants_help = true;
        break;
    case NSM_FLAG_VERSION:
        options->wants_version = true;
        break;
    }
    return NULL;
}

static void add_word(struct reading *reading, const char *word)
{
    NSM_GROW(reading->words, reading->n_words, reading->cap_words);
    reading->words[reading->n_words++] = word;
}

static struct nsm_error *read_words(struct reading *reading, int argc, char **argv)
{
    struct option longs[NSM_N_FLAGS + 1] = {0};
    for (int i = 0; i < NSM_N_FLAGS; i++)
        longs[i] = (struct option){.name = flags[i].name,
                                   .has_arg = flags[i].argument ? required_argument : no_argument,
                                   .val = FIRST_LONG + i};
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (;;) {
        /* '-': operands come in order as OPERAND, whatever POSIXLY_CORRECT says; ':': a missing
         * value is ':'. Called before any thread is made. */
        const int found =
            getopt_long(argc, argv, "-:h", longs, NULL); /* NOLINT(concurrency-mt-unsafe) */
        if (found == -1)
            break;
        if (found == OPERAND) {
            add_word(reading, optarg);
            continue;
        }
        if (found == '?' || found == ':')
            return bad_flag(found, argv);
        const enum nsm_flag flag =
            found == 'h' ? NSM_FLAG_HELP : (enum nsm_flag)(found - FIRST_LONG);
        reading->given |= NSM_FLAG_BIT(flag);
        NSM_TRY(set_flag(reading->options, flag));
    }
    while (optind < argc)
        add_word(reading, argv[optind++]);
    return NULL;
}

static struct nsm_error *find_command(struct reading *reading)
{
    if (reading->n_words == 0)
        return NULL;
    const char *const word = reading->words[0];
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(word));
    for (size_t i = 0; reading->commands[i]; i++) {
        const struct nsm_cli_command *const command = reading->commands[i];
        if (strcmp(word, command->name) == 0) {
            reading->options->command = command;
            return NULL;
        }
        nsm_nearest_offer(&nearest, nsm_str_of(command->name));
    }
    if (nearest.best.ptr)
        return nsm_error_new(NSM_E_INVALID, "unknown command %s; did you mean %.*s?", word,
                             NSM_STR_ARG(nearest.best));
    return nsm_error_new(NSM_E_INVALID, "unknown command %s; nsmigrate --help lists them", word);
}

static struct nsm_error *check_flags(const struct reading *reading)
{
    const struct nsm_cli_command *const command = reading->options->command;
    for (size_t i = 0; i < NSM_N_FLAGS; i++) {
        if ((reading->given & NSM_FLAG_BIT(i)) && !takes(command, i))
            return nsm_error_new(NSM_E_INVALID,
                                 "%s does not take --%s; nsmigrate %s --help lists what it takes",
                                 command->name, flags[i].name, command->name);
    }
    if (reading->options->is_quiet && reading->options->is_verbose)
        return nsm_error_new(NSM_E_INVALID, "--quiet and --verbose exclude each other");
    return NULL;
}

static struct nsm_error *check_operands(const struct reading *reading)
{
    const struct nsm_cli_command *const command = reading->options->command;
    const size_t n_operands = reading->n_words - 1;
    if (n_operands < command->min_operands)
        return nsm_error_new(NSM_E_INVALID, "%s needs %s: nsmigrate %s %s", command->name,
                             command->operands, command->name, command->operands);
    if (n_operands > command->max_operands)
        return nsm_error_new(NSM_E_INVALID, "\"%s\" is too much: nsmigrate %s%s%s",
                             reading->words[command->max_operands + 1], command->name,
                             command->operands[0] ? " " : "", command->operands);
    if (n_operands > 0)
        reading->options->operand = reading->words[1];
    return NULL;
}

struct nsm_error *nsm_cli_options_parse(const struct nsm_cli_command *const *commands, int argc,
                                        char **argv, struct nsm_cli_options **ret)
{
    NSM_CLEANUP(reading_release)
    struct reading reading = {.commands = commands,
                              .options = nsm_xcalloc(1, sizeof(struct nsm_cli_options))};
    NSM_TRY(read_words(&reading, argc, argv));
    NSM_TRY(find_command(&reading));
    const bool is_only_asking = reading.options->wants_help || reading.options->wants_version;
    if (reading.options->command && !is_only_asking) {
        NSM_TRY(check_flags(&reading));
        NSM_TRY(check_operands(&reading));
    }
    *ret = NSM_STEAL(reading.options);
    return NULL;
}

void nsm_cli_options_free(struct nsm_cli_options *options)
{
    if (!options)
        return;
    free(options->only);
    free(options->loads);
    nsm_arena_release(&options->arena);
    free(options);
}

/* ---- help ---- */

static void write_flags(unsigned mask, struct nsm_buf *out)
{
    for (size_t i = 0; i < NSM_N_FLAGS; i++) {
        if (!(mask & NSM_FLAG_BIT(i)))
            continue;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf left = NSM_BUF_TEXT;
        nsm_buf_printf(&left, "--%s", flags[i].name);
        if (flags[i].argument)
            nsm_buf_printf(&left, " %s", flags[i].argument);
        nsm_buf_printf(out, "  %-27s %s\n", left.ptr, flags[i].help);
    }
}

static void write_exits(unsigned mask, struct nsm_buf *out)
{
    for (size_t i = 0; i < NSM_COUNT_OF(exit_meanings); i++) {
        if (mask & exit_meanings[i].bit)
            nsm_buf_printf(out, "  %-6s %s\n", exit_meanings[i].code, exit_meanings[i].meaning);
    }
}

static void write_commands(const struct nsm_cli_command *const *commands, struct nsm_buf *out)
{
    for (size_t i = 0; commands[i]; i++)
        nsm_buf_printf(out, "  %-9s %-7s %s\n", commands[i]->name, commands[i]->operands,
                       commands[i]->summary);
}

void nsm_cli_write_command_help(const struct nsm_cli_command *command, struct nsm_buf *out)
{
    unsigned mask = 0;
    for (size_t i = 0; i < NSM_N_FLAGS; i++)
        mask |= takes(command, i) ? NSM_FLAG_BIT(i) : 0;
    nsm_buf_printf(out, "usage: nsmigrate %s%s%s [FLAGS]\n\n%s\n\nflags:\n", command->name,
                   command->operands[0] ? " " : "", command->operands, command->purpose);
    write_flags(mask, out);
    nsm_buf_append_cstr(out, "\nexit codes:\n");
    write_exits(command->exits, out);
    nsm_buf_printf(out, "\nexample:\n%s\n", command->example);
}

void nsm_cli_write_help(const struct nsm_cli_command *const *commands, struct nsm_buf *out)
{
    nsm_buf_append_cstr(
        out, "usage: nsmigrate COMMAND [PLAN] [FLAGS]\n\n"
             "Moves namespaces between stores (PostgreSQL, Redis, SQLite, files), as a plan\n"
             "lists them. What was interrupted is taken up by the same command.\n\n"
             "commands:\n");
    write_commands(commands, out);
    nsm_buf_append_cstr(out, "\nflags (nsmigrate COMMAND --help tells which a command takes):\n");
    write_flags(~0u, out);
    nsm_buf_append_cstr(out, "\nexit codes:\n");
    write_exits(~0u, out);
    nsm_buf_append_cstr(out,
                        "\nResults go to standard output, progress and errors to standard error.\n"
                        "The usual order:\n"
                        "  nsmigrate validate move.yaml\n"
                        "  nsmigrate check    move.yaml\n"
                        "  nsmigrate preview  move.yaml\n"
                        "  nsmigrate run      move.yaml\n");
}

void nsm_cli_write_usage(const struct nsm_cli_command *const *commands, struct nsm_buf *out)
{
    nsm_buf_append_cstr(out, "usage: nsmigrate COMMAND [PLAN] [FLAGS]\n\n");
    write_commands(commands, out);
    nsm_buf_append_cstr(out, "\nnsmigrate --help tells more.\n");
}
