/*
 * Plans that are meant to hurt: each ends in a message that says where, within two seconds and 256
 * MiB. The memory is that of this process, so it is limited before the tests begin, and what goes
 * over it aborts.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "tests/support/plan_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

/* Sanitizers need several times as much of both. */
#define MAX_NS    ((IS_SANITIZED ? 20 : 2) * NSM_NS_PER_S)
#define MAX_BYTES ((rlim_t)256 << 20)

/* Of this process: other processes may hold the machine up. */
static int64_t cpu_ns(void)
{
    struct timespec now = {0};
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return now.tv_sec * NSM_NS_PER_S + now.tv_nsec;
}

static void append_times(struct nsm_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        nsm_buf_append_cstr(out, text);
}

/* Parses, checks code, place and time; *ret_message is what follows the file's name. */
static char *refuse(struct nsm_str yaml)
{
    struct nsm_plan *plan = NULL;
    const int64_t start_ns = cpu_ns();
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_plan_parse(yaml, "p.yaml", &nsm_fake_adapters, &plan);
    const int64_t took_ns = cpu_ns() - start_ns;
    assert_null(plan);
    assert_true(nsm_error_is(error, NSM_E_INVALID));
    assert_true(took_ns < MAX_NS);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    unsigned line = 0;
    unsigned column = 0;
    int n = 0;
    assert_int_equal(sscanf(text, "p.yaml:%u:%u: %n", &line, &column, &n), 2);
    assert_true(line > 0 && column > 0 && n > 0);
    assert_true(strlen(text) < 2000);
    return nsm_xstrdup(text + strlen("p.yaml:"));
}

static void assert_refused(struct nsm_str yaml, const char *expected)
{
    NSM_CLEANUP(nsm_freep) char *message = refuse(yaml);
    assert_string_equal(message, expected);
}

/* `text` n times over, between two others. */
static void assert_many_refused(const char *before, const char *text, size_t n, const char *after,
                                const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, before);
    append_times(&yaml, text, n);
    nsm_buf_append_cstr(&yaml, after);
    assert_refused(nsm_buf_view(&yaml), expected);
}

/* ---- aliases, tags, directives, documents ---- */

static void test_alias_bomb(void **state)
{
    (void)state;
    assert_refused(
        NSM_STR_LIT("a: &a [x, x, x, x, x, x, x, x, x]\n"
                    "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                    "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
                    "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n"),
        "1:4: anchors and aliases (&, *) are no part of a plan; repeat the value, or put "
        "it into double quotes");
}

static void test_anchors_and_aliases(void **state)
{
    (void)state;
    static const char *const texts[] = {"&a {b: *a}", "*a", "&a x", "&a [*a]"};
    for (size_t i = 0; i < NSM_COUNT_OF(texts); i++) {
        NSM_CLEANUP(nsm_freep) char *yaml = nsm_xasprintf("version: %s\n", texts[i]);
        assert_refused(nsm_str_of(yaml),
                       "1:10: anchors and aliases (&, *) are no part of a plan; repeat the value, "
                       "or put it into double quotes");
    }
    /* A glob without quotes looks like an alias. */
    assert_refused(
        NSM_STR_LIT("match: *x\n"),
        "1:8: anchors and aliases (&, *) are no part of a plan; repeat the value, or put "
        "it into double quotes");
}

static void test_merge_keys(void **state)
{
    (void)state;
    assert_refused(NSM_STR_LIT("version: 1\n<<: {workers: 3}\n"),
                   "2:1: merge keys (<<) are no part of a plan; repeat the keys");
    assert_refused(NSM_STR_LIT("version: 1\n\"<<\": 3\n"),
                   "2:1: unknown key \"<<\" in the plan; expected one of version, name, workers, "
                   "on_error, batch, retry, backends, namespaces");
}

static void test_tags(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "!!binary aGk=", "! x", "!local {a: b}", "!!int \"1\"", "!<tag:yaml.org,2002:str> x",
        "!!set [a]"};
    for (size_t i = 0; i < NSM_COUNT_OF(texts); i++) {
        NSM_CLEANUP(nsm_freep) char *yaml = nsm_xasprintf("version: %s\n", texts[i]);
        assert_refused(nsm_str_of(yaml),
                       "1:10: tags (!) are no part of a plan; put the value into double quotes");
    }
}

static void test_directives(void **state)
{
    (void)state;
    const char *const message = "a line that begins with % is a YAML directive; a plan has none";
    NSM_CLEANUP(nsm_freep) char *first = nsm_xasprintf("1:1: %s", message);
    assert_refused(NSM_STR_LIT("%YAML 1.2\n---\nversion: 1\n"), first);
    /* libyaml compares each with all before it. */
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    for (unsigned i = 0; yaml.len < (7 << 20); i++)
        nsm_buf_printf(&yaml, "%%TAG !%u! a\n", i);
    nsm_buf_append_cstr(&yaml, "---\na: b\n");
    assert_refused(nsm_buf_view(&yaml), first);
    NSM_CLEANUP(nsm_freep) char *second = nsm_xasprintf("2:1: %s", message);
    assert_refused(NSM_STR_LIT("# x\r%TAG ! a\n"), second);
}

static void test_documents(void **state)
{
    (void)state;
    assert_refused(NSM_STR_LIT("version: 1\n---\nversion: 1\n"),
                   "2:1: a second document begins here; a plan is one document");
    assert_refused(NSM_STR_LIT("version: 1\n...\n---\n"),
                   "3:1: a second document begins here; a plan is one document");
    assert_many_refused("version: 1\n", "---\n", 1 << 20, "",
                        "2:1: a second document begins here; a plan is one document");
}

static void test_empty(void **state)
{
    (void)state;
    const char *const message = "1:1: empty; expected a plan with version, backends and namespaces";
    assert_refused((struct nsm_str){0}, message);
    assert_refused(NSM_STR_LIT("\xef\xbb\xbf"), message);
    assert_many_refused("", "# nothing but a remark\n", 300000, "", message);
    assert_many_refused("", "\n", 8 << 20, "", message);
    assert_many_refused("", " ", 8 << 20, "", message);
}

/* ---- depth and number ---- */

static void test_deep_nesting(void **state)
{
    (void)state;
    const char *const deep = "1:33: nested deeper than 32 levels, the most a plan may have";
    assert_many_refused("", "[", 100000, "", deep);
    assert_many_refused("", "{", 100000, "", "1:2: expected a key, found a mapping");
    assert_many_refused("", "{a: ", 100000, "",
                        "1:129: nested deeper than 32 levels, the most a plan may have");
    assert_many_refused("", "- ", 100000, "",
                        "1:65: nested deeper than 32 levels, the most a plan may have");
    assert_many_refused("", "? ", 100000, "", "1:3: expected a key, found a mapping");
    assert_many_refused("", ": ", 100000, "",
                        "1:1: did not find expected key while parsing a block mapping that begins "
                        "in line 1");
    assert_many_refused("", "[", 4 << 20, "]", deep);
    assert_many_refused("", "[{", 2 << 20, "", "1:3: expected a key, found a sequence");
    assert_many_refused("a: ", "[", 100000, "",
                        "1:35: nested deeper than 32 levels, the most a plan may have");
    /* Each line one blank deeper. */
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    for (size_t i = 0; i < 2000; i++) {
        append_times(&yaml, " ", i);
        nsm_buf_append_cstr(&yaml, "a:\n");
    }
    assert_refused(nsm_buf_view(&yaml),
                   "33:33: nested deeper than 32 levels, the most a plan may have");
}

static void test_closing_brackets(void **state)
{
    (void)state;
    assert_many_refused("", "]", 100000, "",
                        "1:1: did not find expected node content while parsing a block node that "
                        "begins in line 1");
    assert_many_refused("", "}", 100000, "",
                        "1:1: did not find expected node content while parsing a block node that "
                        "begins in line 1");
}

static void test_many_keys(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    for (unsigned i = 0; i < 400000; i++)
        nsm_buf_printf(&yaml, "key-%u: x\n", i);
    NSM_CLEANUP(nsm_freep) char *unknown = refuse(nsm_buf_view(&yaml));
    assert_string_equal(unknown, "1:1: the plan: missing key \"version\"; this program reads "
                                 "\"version: 1\"");

    nsm_buf_append_cstr(&yaml, "key-7: x\n");
    assert_refused(nsm_buf_view(&yaml),
                   "400001:1: duplicate key \"key-7\"; it stands in line 8 already");
}

static void test_many_equal_keys(void **state)
{
    (void)state;
    assert_many_refused("version: 1\n", "a: b\n", 500000, "",
                        "3:1: duplicate key \"a\"; it stands in line 2 already");
    assert_many_refused("{version: 1", ", a", 500000, "}",
                        "1:17: duplicate key \"a\"; it stands in line 1 already");
}

static void test_many_backends(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, "version: 1\nnamespaces: [{name: a, source: {backend: b}}]\n"
                               "backends:\n");
    unsigned n = 0;
    for (; n < 200000; n++)
        nsm_buf_printf(&yaml, " b%u: {adapter: feed}\n", n);
    NSM_CLEANUP(nsm_freep) char *message = refuse(nsm_buf_view(&yaml));
    assert_string_equal(message,
                        "2:14: namespace: missing key \"destination\": where it is written; "
                        "what is left out is as in the source");
}

static void test_too_many_nodes(void **state)
{
    (void)state;
    assert_many_refused("version: [", "a,", 1 << 20, "]",
                        "1:2097157: more than 1048576 keys and values, the most a plan may have");
    assert_many_refused("", "- \n", 2 << 20, "",
                        "1048576:2: more than 1048576 keys and values, the most a plan may have");
}

/* ---- long things ---- */

static void test_too_large(void **state)
{
    (void)state;
    assert_many_refused("name: ", "0123456789abcdef", 2 << 20, "\n",
                        "1:1: larger than 8 MiB, the most a plan may have");
    assert_many_refused("name: \"", "\\x00", 8 << 20, "\"\n",
                        "1:1: larger than 8 MiB, the most a plan may have");
}

static void test_long_scalars(void **state)
{
    (void)state;
    static const char *const starts[] = {"version: ",     "version: '",    "version: \"",
                                         "version: |\n ", "version: >\n ", "version: \"\\\n"};
    for (size_t i = 0; i < NSM_COUNT_OF(starts); i++) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
        nsm_buf_append_cstr(&yaml, starts[i]);
        append_times(&yaml, "0123456789abcde ", 7 << 16);
        const char quote = starts[i][9];
        if (quote == '\'' || quote == '"')
            nsm_buf_append_char(&yaml, quote);
        nsm_buf_append_char(&yaml, '\n');
        NSM_CLEANUP(nsm_freep) char *message = refuse(nsm_buf_view(&yaml));
        const char *const expected = "1:10: version: expected 1, the version that this program "
                                     "reads, found \"0123456789abcde ";
        assert_memory_equal(message, expected, strlen(expected));
    }
}

static void test_long_keys(void **state)
{
    (void)state;
    assert_many_refused("", "0123456789abcdef", 7 << 16, ": x\n",
                        "1:7340033: mapping values are not allowed in this context");
    assert_many_refused("\"", "0123456789abcdef", 7 << 16, "\": x\n",
                        "1:7340035: mapping values are not allowed in this context");
    assert_many_refused(
        "? ", "0123456789abcdef", 7 << 16, "\n: x\n",
        "1:1: the plan: missing key \"version\"; this program reads \"version: 1\"");
    assert_many_refused(
        "version: 1\n? ", "0123456789abcdef", 7 << 16, "\n: x\n",
        "2:3: unknown key "
        "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab...\" in the "
        "plan; expected one of version, name, workers, on_error, batch, retry, "
        "backends, namespaces");
}

static void test_long_lines_of_breaks(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, "version: \"");
    append_times(&yaml, "\n\n \t", 1 << 20);
    nsm_buf_append_cstr(&yaml, "\"\n");
    NSM_CLEANUP(nsm_freep) char *message = refuse(nsm_buf_view(&yaml));
    assert_non_null(strstr(message, "1:10: version: expected 1"));
}

static void test_unclosed(void **state)
{
    (void)state;
    assert_many_refused("version: \"", "a b ", 1 << 20, "",
                        "1:4194315: found unexpected end of stream while scanning a quoted scalar "
                        "that begins in line 1");
    assert_many_refused("[", "a, ", 100000, "",
                        "2:1: did not find expected node content while parsing a flow node that "
                        "begins in line 2");
}

static void test_many_anchors_of_one_name(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, "- &");
    append_times(&yaml, "a", 7 << 20);
    nsm_buf_append_cstr(&yaml, " x\n");
    assert_refused(
        nsm_buf_view(&yaml),
        "1:3: anchors and aliases (&, *) are no part of a plan; repeat the value, or put "
        "it into double quotes");
}

/* ---- bytes ---- */

static void test_bytes(void **state)
{
    (void)state;
    assert_refused(NSM_STR_LIT("version: 1\nname: a\0b\n"),
                   "2:8: a NUL byte; expected YAML in UTF-8");
    assert_refused(NSM_STR_LIT("version: 1\nname: \xff\n"), "2:7: byte 0xff is not valid UTF-8");
    assert_refused(NSM_STR_LIT("# \xc3\xa9\xc3\n"), "1:4: byte 0xc3 is not valid UTF-8");
    assert_refused(NSM_STR_LIT("name: \xc3"), "1:7: byte 0xc3 is not valid UTF-8");
    assert_refused(NSM_STR_LIT("name: \xc0\x80"), "1:7: byte 0xc0 is not valid UTF-8");
    assert_refused(NSM_STR_LIT("name: \xed\xa0\x80"), "1:7: byte 0xed is not valid UTF-8");
    assert_refused(NSM_STR_LIT("name: \xf4\x90\x80\x80"), "1:7: byte 0xf4 is not valid UTF-8");
    assert_refused(NSM_STR_LIT("name: \x80"), "1:7: byte 0x80 is not valid UTF-8");
    assert_refused(NSM_STR_LIT("name: \x1b[31m"),
                   "1:7: control character 0x1b; write it as an escape in double quotes");
    assert_refused(NSM_STR_LIT("name: \x7f"),
                   "1:7: control character 0x7f; write it as an escape in double quotes");
    assert_refused(NSM_STR_LIT("name: \xc2\x85"),
                   "1:7: control character 0x85; write it as an escape in double quotes");
    assert_refused(NSM_STR_LIT("name: a\xef\xbb\xbf"),
                   "1:8: a byte order mark or noncharacter inside the text");
    assert_refused(NSM_STR_LIT("name: \xef\xbf\xbf"),
                   "1:7: a byte order mark or noncharacter inside the text");
    assert_refused(NSM_STR_LIT("version:\n\tname: a\n"),
                   "2:1: a tab can't indent YAML; use spaces instead");
    assert_refused(NSM_STR_LIT("a: @b\n"),
                   "1:4: found character that cannot start any token while scanning for the next "
                   "token that begins in line 1");
}

static void test_encodings(void **state)
{
    (void)state;
    const char *const message = "1:1: encoded in UTF-16 or UTF-32; save it as UTF-8";
    assert_refused(NSM_STR_LIT("\xff\xfev\0e\0r\0"), message);
    assert_refused(NSM_STR_LIT("\xfe\xff\0v\0e\0r"), message);
    assert_refused(NSM_STR_LIT("v\0e\0r\0"), message);
    assert_refused(NSM_STR_LIT("\0v\0e\0r"), message);
    assert_refused(NSM_STR_LIT("\xff\xfe\0\0v\0\0\0"), message);
    assert_refused(NSM_STR_LIT("\0\0\0"), "1:1: a NUL byte; expected YAML in UTF-8");
}

static void test_random_bytes(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    uint64_t x = 88172645463325252U;
    for (size_t i = 0; i < (1 << 20); i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        nsm_buf_append_char(&yaml, (char)x);
    }
    NSM_CLEANUP(nsm_freep) char *message = refuse(nsm_buf_view(&yaml));
    assert_non_null(message);
}

/* ---- variables ---- */

static void test_variable_bomb(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *value = nsm_xmalloc(100001);
    memset(value, 'v', 100000);
    value[100000] = '\0';
    assert_int_equal(setenv("NSM_T_BOMB", value, 1), 0);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, NSM_TEST_PLAN_HEAD "  - {name: a, source: {backend: app, tables: [");
    append_times(&yaml, "'${NSM_T_BOMB}',", 100000);
    nsm_buf_append_cstr(&yaml, "]}, destination: {backend: cache}}\n");
    NSM_CLEANUP(nsm_freep) char *message = refuse(nsm_buf_view(&yaml));
    assert_non_null(strstr(message, "tables: more than 4 MiB from environment variables"));
    assert_int_equal(unsetenv("NSM_T_BOMB"), 0);
}

/* Settings that are long and named by many: nothing may look at them once for each. */
static void test_long_settings_of_many(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, "version: 1\nbackends:\n  s: {adapter: feed}\n"
                               "  d: {adapter: keys, url: \"");
    append_times(&yaml, "u", 3 << 20);
    nsm_buf_append_cstr(&yaml, "\"}\nnamespaces:\n");
    for (unsigned i = 0; i < 60000; i++)
        nsm_buf_printf(&yaml,
                       "- {name: n%u, source: {backend: s}, destination: {backend: d, "
                       "prefix: p%u}}\n",
                       i, i);
    const int64_t start_ns = cpu_ns();
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(yaml.ptr);
    assert_true(cpu_ns() - start_ns < MAX_NS);
    assert_int_equal(plan->n_namespaces, 60000);
}

/* ---- large and right ---- */

static void test_ten_thousand_namespaces(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&yaml, NSM_TEST_PLAN_HEAD);
    for (unsigned i = 0; i < 10000; i++)
        nsm_buf_printf(&yaml,
                       "  - name: namespace-%u\n"
                       "    source: {backend: cache, prefix: \"tenant:%u:\"}\n"
                       "    destination:\n"
                       "      backend: app\n"
                       "      table: kv.tenant_%u\n"
                       "      layout: kv\n"
                       "    if_exists: merge\n"
                       "    verify: digest\n"
                       "    allow_loss: [expiry]\n",
                       i, i, i);
    const int64_t start_ns = cpu_ns();
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(yaml.ptr);
    assert_true(cpu_ns() - start_ns < MAX_NS);
    assert_int_equal(plan->n_namespaces, 10000);
    assert_string_equal(plan->namespaces[9999].name, "namespace-9999");
}

int main(void)
{
    const struct rlimit limit = {.rlim_cur = MAX_BYTES, .rlim_max = MAX_BYTES};
    if (!IS_SANITIZED && setrlimit(RLIMIT_AS, &limit) != 0) {
        perror("setrlimit");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alias_bomb),
        cmocka_unit_test(test_anchors_and_aliases),
        cmocka_unit_test(test_merge_keys),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_closing_brackets),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_many_equal_keys),
        cmocka_unit_test(test_many_backends),
        cmocka_unit_test(test_too_many_nodes),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_long_scalars),
        cmocka_unit_test(test_long_keys),
        cmocka_unit_test(test_long_lines_of_breaks),
        cmocka_unit_test(test_unclosed),
        cmocka_unit_test(test_many_anchors_of_one_name),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_variable_bomb),
        cmocka_unit_test(test_long_settings_of_many),
        cmocka_unit_test(test_ten_thousand_namespaces),
    };
    return cmocka_run_group_tests_name("plan_hostile", tests, NULL, NULL);
}
