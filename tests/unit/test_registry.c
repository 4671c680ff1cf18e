/* The registry: which tables it takes, what it says of others, and what it loads. */
#include "adapters/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "adapters/memory/memory.h"
#include "migrate/base/alloc.h"

static const struct nsm_option no_options[] = {{0}};

/* Fails unless the error has that code and its text holds `words`. */
static void expect_error(struct nsm_error *error, enum nsm_code code, const char *words)
{
    assert_non_null(error);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    const enum nsm_code found = nsm_error_code(error);
    nsm_error_free(error);
    if (found != code || !strstr(text, words))
        fail_msg("expected %s with \"%s\", found %s: %s", nsm_code_name(code), words,
                 nsm_code_name(found), text);
}

/* A table that is in order, under another name than any that is built in. */
static struct nsm_adapter good_table(void)
{
    struct nsm_adapter table = nsm_adapter_memory;
    table.name = "other";
    return table;
}

static int setup(void **state)
{
    *state = nsm_registry_new();
    return 0;
}

static int teardown(void **state)
{
    nsm_registry_free(*state);
    return 0;
}

static void refuse(void **state, const struct nsm_adapter *table, const char *words)
{
    const size_t n_before = nsm_registry_size(*state);
    expect_error(nsm_registry_add(*state, table), NSM_E_INVALID, words);
    assert_int_equal(nsm_registry_size(*state), n_before);
}

static void built_in_ones_are_there_in_order(void **state)
{
    static const char *const names[] = {"file", "memory", "postgres", "redis", "sqlite"};
    assert_int_equal(nsm_registry_size(*state), NSM_COUNT_OF(names));
    for (size_t i = 0; i < NSM_COUNT_OF(names); i++) {
        assert_string_equal(nsm_registry_at(*state, i)->name, names[i]);
        assert_ptr_equal(nsm_registry_find(*state, names[i]), nsm_registry_at(*state, i));
    }
    assert_null(nsm_registry_find(*state, "oracle"));
    assert_null(nsm_registry_find(*state, ""));
    nsm_registry_free(NULL);
}

static void a_good_table_is_added_in_its_place(void **state)
{
    const struct nsm_adapter table = good_table();
    const struct nsm_adapter *const memory = nsm_registry_find(*state, "memory");
    assert_null(nsm_registry_add(*state, &table));
    assert_string_equal(nsm_registry_at(*state, 2)->name, "other");
    assert_ptr_equal(nsm_registry_find(*state, "memory"), memory); /* pointers last */
    assert_true(nsm_registry_find(*state, "other")->survey == table.survey);
}

static void a_taken_name_is_a_conflict(void **state)
{
    const struct nsm_adapter table = nsm_adapter_memory;
    expect_error(nsm_registry_add(*state, &table), NSM_E_CONFLICT, "memory");
}

static void another_abi_is_refused(void **state)
{
    struct nsm_adapter table = good_table();
    table.abi = NSM_ADAPTER_ABI + 1;
    refuse(state, &table, "abi 2");
    table.abi = 0;
    refuse(state, &table, "abi 0");
    table = good_table();
    table.struct_size = 16;
    refuse(state, &table, "16 bytes");
    table.struct_size = sizeof(table) + 8;
    refuse(state, &table, "bytes");
}

static void names_and_summaries_are_checked(void **state)
{
    struct nsm_adapter table = good_table();
    static const char *const bad[] = {NULL, "", "Other", "a b", "a/b", "\xc3\xa4"};
    for (size_t i = 0; i < NSM_COUNT_OF(bad); i++) {
        table.name = bad[i];
        refuse(state, &table, "name");
    }
    table = good_table();
    table.summary = NULL;
    refuse(state, &table, "summary");
    table.summary = "two\nlines";
    refuse(state, &table, "summary");
}

static void capabilities_are_checked(void **state)
{
    struct nsm_adapter table = good_table();
    table.caps |= 1U << 30;
    refuse(state, &table, "unknown capabilities 0x40000000");
    table.caps = NSM_CAP_SOURCE;
    refuse(state, &table, "NSM_CAP_ROWS");
    table.caps = NSM_CAP_ROWS;
    refuse(state, &table, "NSM_CAP_SOURCE");
    table.caps = NSM_CAP_ROWS | NSM_CAP_SOURCE | NSM_CAP_TX_CHECKPOINT;
    refuse(state, &table, "NSM_CAP_DESTINATION");
}

static void sizes_are_checked(void **state)
{
    struct nsm_adapter table = good_table();
    table.backend_size = 1;
    refuse(state, &table, "backend_size");
    table = good_table();
    table.reader_size = sizeof(struct nsm_reader) - 1;
    refuse(state, &table, "reader_size");
    table = good_table();
    table.writer_size = 0;
    refuse(state, &table, "writer_size");
}

/* Each required operation is missed by its name. */
static void missing_operations_are_named(void **state)
{
#define MISSING(op)                                            \
    do {                                                       \
        struct nsm_adapter table = good_table();               \
        table.op = NULL;                                       \
        refuse(state, &table, "operation " #op " is missing"); \
    } while (0)
    MISSING(open);
    MISSING(close);
    MISSING(check);
    MISSING(survey);
    MISSING(release_source);
    MISSING(reader_open);
    MISSING(read);
    MISSING(reader_close);
    MISSING(inspect);
    MISSING(release_destination);
    MISSING(prepare);
    MISSING(writer_open);
    MISSING(write);
    MISSING(checkpoint);
    MISSING(writer_close);
    MISSING(load_checkpoints);
}

static void operations_go_with_capabilities(void **state)
{
    struct nsm_adapter table = good_table();
    table.caps &= ~(unsigned)NSM_CAP_TX_CHECKPOINT;
    refuse(state, &table, "operation load_checkpoints is there without NSM_CAP_TX_CHECKPOINT");
    table.caps = NSM_CAP_ROWS | NSM_CAP_SOURCE;
    refuse(state, &table, "is there without NSM_CAP_DESTINATION");
    table = good_table();
    table.list_keys = NULL;
    refuse(state, &table, "list_keys");
    table = good_table();
    table.finish_step = NULL;
    refuse(state, &table, "finish_step");
    table = good_table();
    table.reset_object = NULL;
    table.plan_finish = NULL;
    table.finish_step = NULL;
    table.complete = NULL;
    table.list = NULL;
    table.list_keys = NULL;
    assert_null(nsm_registry_add(*state, &table));
}

static void lanes_are_checked(void **state)
{
    static const struct nsm_lane_use unknown[] = {{.lane = (enum nsm_lane)9, .reads = true}};
    static const struct nsm_lane_use idle[] = {{.lane = NSM_LANE_RECORD}};
    static const struct nsm_lane_use half[] = {{.lane = NSM_LANE_RECORD, .reads = true}};
    static const struct nsm_lane_use twice[] = {
        {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
        {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
    };
    static const struct {
        const struct nsm_lane_use *lanes;
        size_t n;
        const char *words;
    } bad[] = {
        {NULL, 0, "no lanes"},
        {unknown, 1, "lane 9 is unknown"},
        {idle, 1, "neither read nor written"},
        {half, 1, "lane record is missing"},
        {twice, 2, "stands twice"},
    };
    struct nsm_adapter table = good_table();
    for (size_t i = 0; i < NSM_COUNT_OF(bad); i++) {
        table.lanes = bad[i].lanes;
        table.n_lanes = bad[i].n;
        refuse(state, &table, bad[i].words);
    }
}

static void refuse_option(void **state, struct nsm_option option, const char *words)
{
    const struct nsm_option table_of_two[] = {
        {.key = "first", .type = NSM_OPTION_STRING, .help = "the first"}, option, {0}};
    struct nsm_adapter table = good_table();
    table.backend_options = table_of_two;
    refuse(state, &table, words);
}

static void options_are_checked(void **state)
{
    const struct nsm_option good = {.key = "second", .type = NSM_OPTION_U64, .help = "the second"};
    struct nsm_option option = good;
    option.key = "Second";
    refuse_option(state, option, "\"Second\"");
    option.key = "first";
    refuse_option(state, option, "stands twice");
    option.key = "max_connections";
    refuse_option(state, option, "the plan's own");
    option = good;
    option.type = (enum nsm_option_type)77;
    refuse_option(state, option, "type 77");
    option = good;
    option.flags = 1U << 20;
    refuse_option(state, option, "flags");
    option.flags = NSM_OPTION_BYTES;
    refuse_option(state, option, "NSM_OPTION_BYTES");
    option = good;
    option.help = "";
    refuse_option(state, option, "help");
    option = good;
    option.default_text = "many";
    refuse_option(state, option, "second: default: ");
    option.default_text = "7";
    option.flags = NSM_OPTION_REQUIRED;
    refuse_option(state, option, "required");
    option = good;
    option.choices = "a|b";
    refuse_option(state, option, "choices");
    option.type = NSM_OPTION_ENUM;
    option.choices = "a||b";
    refuse_option(state, option, "empty word");
    option.choices = NULL;
    refuse_option(state, option, "choices");
    option = good;
    option.excludes = "first|third";
    refuse_option(state, option, "\"third\"");
    option.excludes = "second";
    refuse_option(state, option, "\"second\"");
}

static void reserved_keys_depend_on_the_table(void **state)
{
    static const struct nsm_option layout[] = {
        {.key = "layout", .type = NSM_OPTION_STRING, .help = "a layout"}, {0}};
    struct nsm_adapter table = good_table();
    table.destination_options = layout;
    refuse(state, &table, "destination_options: key layout");
    table.destination_options = NULL;
    refuse(state, &table, "destination_options is NULL");
    table = good_table();
    table.backend_options = layout;
    table.source_options = no_options;
    assert_null(nsm_registry_add(*state, &table));
}

/* ---- loading ---- */

static void what_is_no_library_is_refused(void **state)
{
    char path[] = "/tmp/nsm-registry-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "not a library\n", 14), 14);
    close(fd);
    expect_error(nsm_registry_load(*state, path), NSM_E_INVALID, path);
    assert_int_equal(unlink(path), 0);
    expect_error(nsm_registry_load(*state, path), NSM_E_NOTFOUND, path);
    expect_error(nsm_registry_load(*state, "/tmp"), NSM_E_INVALID, "not a file");
    /* Without a slash the loader would search its own folders for it, and find it. */
    expect_error(nsm_registry_load(*state, "libc.so.6"), NSM_E_NOTFOUND, "libc.so.6");
}

static void a_library_without_the_entry_is_no_adapter(void **state)
{
    Dl_info info = {0};
    void (*const known)(void *, size_t, size_t, int (*)(const void *, const void *)) = qsort;
    void *address = NULL;
    memcpy(&address, &known, sizeof(address));
    assert_true(dladdr(address, &info) != 0 && info.dli_fname);
    /* Under a sanitizer this may be the program itself, which is no adapter either. */
    expect_error(nsm_registry_load(*state, info.dli_fname), NSM_E_INVALID, info.dli_fname);
}

static void the_template_loads_once(void **state)
{
    const char *const path = getenv("NSM_TEMPLATE"); /* NOLINT(concurrency-mt-unsafe) */
    assert_non_null(path);
    assert_null(nsm_registry_load(*state, path));
    const struct nsm_adapter *const found = nsm_registry_find(*state, "template");
    assert_non_null(found);
    assert_int_equal(found->caps, NSM_CAP_ROWS | NSM_CAP_SOURCE);
    expect_error(nsm_registry_load(*state, path), NSM_E_CONFLICT, "template");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(built_in_ones_are_there_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_good_table_is_added_in_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(a_taken_name_is_a_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(another_abi_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_summaries_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(capabilities_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_operations_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(operations_go_with_capabilities, setup, teardown),
        cmocka_unit_test_setup_teardown(lanes_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(options_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(reserved_keys_depend_on_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_library_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_library_without_the_entry_is_no_adapter, setup, teardown),
        cmocka_unit_test_setup_teardown(the_template_loads_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
