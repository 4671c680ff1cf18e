/*
 * The command line, read: what is taken, what is refused and with which words, and the help texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/cli/cli.h"

static const struct nsm_cli_command run_command = {
    .name = "run",
    .operands = "PLAN",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "migrate",
    .purpose = "Migrates.",
    .example = "  nsmigrate run move.yaml",
    .flags = NSM_FLAG_BIT(NSM_FLAG_ONLY) | NSM_FLAG_BIT(NSM_FLAG_WORKERS) |
             NSM_FLAG_BIT(NSM_FLAG_ON_ERROR) | NSM_FLAG_BIT(NSM_FLAG_FRESH),
    .exits = NSM_EXIT_BITS_USUAL | NSM_EXIT_BIT(NSM_EXIT_LOCKED) | NSM_EXIT_BIT(NSM_EXIT_SIGNAL),
};
static const struct nsm_cli_command list_command = {
    .name = "list",
    .operands = "[NAME]",
    .max_operands = 1,
    .summary = "lists",
    .purpose = "Lists.",
    .example = "  nsmigrate list",
    .exits = NSM_EXIT_BITS_USUAL,
};
static const struct nsm_cli_command *const commands[] = {&run_command, &list_command, NULL};

#define MAX_WORDS 16

/* `words` ends in NULL, without the program's name. */
static struct nsm_error *parse(const char *const *words, struct nsm_cli_options **ret)
{
    static char text[MAX_WORDS][64];
    char *argv[MAX_WORDS + 2] = {text[0]};
    int argc = 1;
    for (; words[argc - 1]; argc++) {
        assert_true(argc < MAX_WORDS);
        snprintf(text[argc], sizeof(text[argc]), "%s", words[argc - 1]);
        argv[argc] = text[argc];
    }
    return nsm_cli_options_parse(commands, argc, argv, ret);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_ok(const char *const *words, struct nsm_cli_options **ret)
{
    struct nsm_error *const error = parse(words, ret);
    assert_null(error);
}

static void expect_refused(const char *const *words, const char *expected)
{
    struct nsm_cli_options *options = NULL;
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = parse(words, &options);
    assert_non_null(error);
    assert_null(options);
    assert_int_equal(nsm_error_code(error), NSM_E_INVALID);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    assert_string_equal(text, expected);
}

static void flags_may_stand_anywhere(void **state)
{
    (void)state;
    const char *const *const orders[] = {
        WORDS("run", "move.yaml", "--workers", "4", "--json"),
        WORDS("--workers", "4", "run", "--json", "move.yaml"),
        WORDS("--json", "--workers=4", "run", "move.yaml"),
        WORDS("run", "--workers=4", "--json", "--", "move.yaml"),
    };
    for (size_t i = 0; i < NSM_COUNT_OF(orders); i++) {
        NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *options = NULL;
        expect_ok(orders[i], &options);
        assert_ptr_equal(options->command, &run_command);
        assert_string_equal(options->operand, "move.yaml");
        assert_int_equal(options->workers, 4);
        assert_true(options->is_json);
        assert_false(options->is_fresh);
        assert_null(options->only);
    }
}

static void lists_add_up(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *options = NULL;
    expect_ok(WORDS("run", "p", "--only", "a,b", "--only=c d", "--load", "./x.so", "--load",
                    "./y.so", "--on-error", "continue"),
              &options);
    assert_int_equal(options->n_only, 3);
    assert_string_equal(options->only[0], "a");
    assert_string_equal(options->only[1], "b");
    assert_string_equal(options->only[2], "c d");
    assert_int_equal(options->n_loads, 2);
    assert_string_equal(options->loads[1], "./y.so");
    assert_true(options->has_on_error);
    assert_int_equal(options->on_error, NSM_ON_ERROR_CONTINUE);
}

static void what_looks_like_a_flag_can_be_an_operand(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *options = NULL;
    expect_ok(WORDS("run", "--", "--json"), &options);
    assert_string_equal(options->operand, "--json");
    assert_false(options->is_json);
    NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *standard = NULL;
    expect_ok(WORDS("run", "-"), &standard);
    assert_string_equal(standard->operand, "-");
}

static void nothing_is_no_command(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *options = NULL;
    expect_ok((const char *const[]){NULL}, &options);
    assert_null(options->command);
}

static void help_asks_for_nothing_else(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *options = NULL;
    expect_ok(WORDS("run", "-h"), &options);
    assert_true(options->wants_help);
    NSM_CLEANUP(nsm_cli_options_freep) struct nsm_cli_options *version = NULL;
    expect_ok(WORDS("--version"), &version);
    assert_true(version->wants_version);
}

static void refuses_with_the_nearest_name(void **state)
{
    (void)state;
    expect_refused(WORDS("rnu", "p"), "unknown command rnu; did you mean run?");
    expect_refused(WORDS("frobnicate"), "unknown command frobnicate; nsmigrate --help lists them");
    expect_refused(WORDS("run", "p", "--wrokers", "4"),
                   "unknown flag --wrokers; did you mean --workers?");
    expect_refused(WORDS("run", "p", "--frobnicate=4"),
                   "unknown flag --frobnicate; nsmigrate --help lists them");
    expect_refused(WORDS("run", "p", "-x"), "unknown flag -x; nsmigrate --help lists them");
}

static void refuses_wrong_values(void **state)
{
    (void)state;
    expect_refused(WORDS("run", "p", "--workers", "0"),
                   "--workers takes a number from 1 to 1024, found \"0\"");
    expect_refused(WORDS("run", "p", "--workers", "1025"),
                   "--workers takes a number from 1 to 1024, found \"1025\"");
    expect_refused(WORDS("run", "p", "--workers=-1"),
                   "--workers takes a number from 1 to 1024, found \"-1\"");
    expect_refused(WORDS("run", "p", "--workers", "4x"),
                   "--workers takes a number from 1 to 1024, found \"4x\"");
    expect_refused(WORDS("run", "p", "--workers"), "--workers needs a value: --workers N");
    expect_refused(WORDS("run", "p", "--on-error", "stop"),
                   "--on-error takes cancel or continue, found \"stop\"");
    expect_refused(WORDS("run", "p", "--only", "a,,b"),
                   "--only takes names with commas between, found \"a,,b\"");
    expect_refused(WORDS("run", "p", "--only="),
                   "--only takes names with commas between, found \"\"");
    expect_refused(WORDS("run", "p", "--json=yes"), "--json takes no value");
    expect_refused(WORDS("run", "p", "--quiet", "--verbose"),
                   "--quiet and --verbose exclude each other");
}

static void refuses_what_the_command_does_not_take(void **state)
{
    (void)state;
    expect_refused(WORDS("list", "--fresh"),
                   "list does not take --fresh; nsmigrate list --help lists what it takes");
    expect_refused(WORDS("run"), "run needs PLAN: nsmigrate run PLAN");
    expect_refused(WORDS("run", "a", "b"), "\"b\" is too much: nsmigrate run PLAN");
    expect_refused(WORDS("list", "a", "b"), "\"b\" is too much: nsmigrate list [NAME]");
}

static void help_is_made_of_the_tables(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf help = NSM_BUF_TEXT;
    nsm_cli_write_command_help(&run_command, &help);
    assert_non_null(strstr(help.ptr, "usage: nsmigrate run PLAN [FLAGS]\n"));
    assert_non_null(strstr(help.ptr, "--workers N "));
    assert_non_null(strstr(help.ptr, "--json "));
    assert_null(strstr(help.ptr, "--dry-run"));
    assert_non_null(strstr(help.ptr, "  5      another run"));
    assert_non_null(strstr(help.ptr, "  128+n  stopped"));
    assert_null(strstr(help.ptr, "  4      "));
    assert_non_null(strstr(help.ptr, "nsmigrate run move.yaml"));

    NSM_CLEANUP(nsm_buf_release) struct nsm_buf whole = NSM_BUF_TEXT;
    nsm_cli_write_help(commands, &whole);
    assert_non_null(strstr(whole.ptr, "  run       PLAN    migrate\n"));
    assert_non_null(strstr(whole.ptr, "--dry-run"));
    assert_non_null(strstr(whole.ptr, "  4      "));
}

/* Every line of every help text fits a terminal of 80 columns. */
static void help_fits_a_terminal(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf help = NSM_BUF_TEXT;
    nsm_cli_write_help(nsm_cli_commands, &help);
    nsm_cli_write_usage(nsm_cli_commands, &help);
    for (size_t i = 0; nsm_cli_commands[i]; i++)
        nsm_cli_write_command_help(nsm_cli_commands[i], &help);
    for (const char *line = help.ptr; *line; line = strchr(line, '\n') + 1) {
        if (strcspn(line, "\n") > 80)
            fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_may_stand_anywhere),
        cmocka_unit_test(lists_add_up),
        cmocka_unit_test(what_looks_like_a_flag_can_be_an_operand),
        cmocka_unit_test(nothing_is_no_command),
        cmocka_unit_test(help_asks_for_nothing_else),
        cmocka_unit_test(refuses_with_the_nearest_name),
        cmocka_unit_test(refuses_wrong_values),
        cmocka_unit_test(refuses_what_the_command_does_not_take),
        cmocka_unit_test(help_is_made_of_the_tables),
        cmocka_unit_test(help_fits_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
