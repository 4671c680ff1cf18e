/*
 * Plans that are wrong: each mistake gets its line and column, what was expected, and the name that
 * was probably meant.
 */
#include "migrate/base/alloc.h"
#include "tests/support/plan_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A text in which a backtick stands before the place that the message must name. */
struct mistake {
    const char *yaml;
    const char *expected; /* behind the place */
};

/* Takes the backtick out of `yaml` and tells its place. */
static void take_mark(char *yaml, size_t *ret_line, size_t *ret_column)
{
    char *const mark = strchr(yaml, '`');
    assert_non_null(mark);
    const char *line = yaml;
    *ret_line = 1;
    for (const char *at = yaml; at < mark; at++) {
        if (*at == '\n') {
            line = at + 1;
            (*ret_line)++;
        }
    }
    *ret_column = (size_t)(mark - line) + 1;
    memmove(mark, mark + 1, strlen(mark));
}

static void assert_mistake(const char *before, const struct mistake *mistake, const char *after)
{
    NSM_CLEANUP(nsm_freep) char *yaml = nsm_xasprintf("%s%s%s", before, mistake->yaml, after);
    size_t line = 0;
    size_t column = 0;
    take_mark(yaml, &line, &column);
    NSM_CLEANUP(nsm_freep)
    char *expected = nsm_xasprintf("move.yaml:%zu:%zu: %s", line, column, mistake->expected);
    nsm_test_assert_invalid(nsm_str_of(yaml), expected);
}

#define ASSERT_MISTAKES(before, mistakes, after)                \
    do {                                                        \
        for (size_t i_ = 0; i_ < NSM_COUNT_OF(mistakes); i_++)  \
            assert_mistake((before), &(mistakes)[i_], (after)); \
    } while (0)

/* ---- the plan's own keys ---- */

#define REST                                                                 \
    "\nbackends: {c: {adapter: keys, url: u}, d: {adapter: rows, url: u}}\n" \
    "namespaces: [{name: a, source: {backend: c}, destination: {backend: d}}]\n"

static void test_structure(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"`", "empty; expected a plan with version, backends and namespaces"},
        {"`# nothing\n", "empty; expected a plan with version, backends and namespaces"},
        {"---\n`", "the plan: expected a mapping, found nothing"},
        {"`just text", "the plan: expected a mapping, found \"just text\""},
        {"\n`- a\n", "the plan: expected a mapping, found a sequence"},
        {"`{}", "the plan: missing key \"version\"; this program reads \"version: 1\""},
        {"`workers: 1", "the plan: missing key \"version\"; this program reads \"version: 1\""},
        {"`version: 1\n",
         "the plan: missing key \"backends\": the stores, each under a name of its own"},
        {"`version: 1\nbackends: {c: {adapter: keys, url: u}}\n",
         "the plan: missing key \"namespaces\": what is moved, in this order"},
        {"version: 1\nbackends: `5\nnamespaces: []\n", "backends: expected a mapping, found \"5\""},
        {"version: 1\nbackends:`\nnamespaces: []\n", "backends: expected a mapping, found nothing"},
        {"version: 1\nbackends: `{}\nnamespaces: []\n", "backends: expected at least one backend"},
        {"version: 1\nbackends: {c: {adapter: keys, url: u}}\nnamespaces: `[]\n",
         "namespaces: expected at least one namespace"},
        {"version: 1\nbackends: {c: {adapter: keys, url: u}}\nnamespaces: `{a: b}\n",
         "namespaces: expected a sequence, found a mapping"},
        {"version: 1\nbackends: {c: {adapter: keys, url: u}}\nnamespaces: [`a]\n",
         "namespace: expected a mapping, found \"a\""},
    };
    ASSERT_MISTAKES("", mistakes, "");
}

static void test_own_keys(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"version: `2", "version: expected 1, the version that this program reads, found \"2\""},
        {"version: `[1]", "version: expected 1, found a sequence"},
        {"version:`", "version: expected 1, found nothing"},
        {"version: `~", "version: expected 1, found nothing"},
        {"version: 1\n`versoin: 2",
         "unknown key \"versoin\" in the plan; did you mean \"version\"?"},
        {"version: 1\n`timeout: 2",
         "unknown key \"timeout\" in the plan; expected one of version, name, workers, on_error, batch, retry, backends, namespaces"},
        {"version: 1\nworkers: 1\nname: a\n`workers: 2",
         "duplicate key \"workers\"; it stands in line 2 already"},
        {"version: 1\nworkers: `0", "workers: expected 1 to 1024, found \"0\""},
        {"version: 1\nworkers: `1025", "workers: expected 1 to 1024, found \"1025\""},
        {"version: 1\nworkers: `many", "workers: expected a whole number, found \"many\""},
        {"version: 1\nworkers: `-1", "workers: expected a whole number, found \"-1\""},
        {"version: 1\nworkers: `{a: b}", "workers: expected a whole number, found a mapping"},
        {"version: 1\non_error: `cancle",
         "on_error: expected one of cancel, continue, found \"cancle\"; did you mean \"cancel\"?"},
        {"version: 1\non_error: `ignore",
         "on_error: expected one of cancel, continue, found \"ignore\""},
        {"version: 1\nbatch: `5", "batch: expected a mapping, found \"5\""},
        {"version: 1\nbatch: {`record: 5}",
         "unknown key \"record\" in batch; did you mean \"records\"?"},
        {"version: 1\nbatch: {records: `0}", "records: expected 1 to 1000000, found \"0\""},
        {"version: 1\nbatch: {bytes: `4 MB}", "bytes: expected a size like 4MiB, found \"4 MB\""},
        {"version: 1\nbatch: {bytes: `1}",
         "bytes: expected 1024 bytes to 1073741824 bytes, found \"1\""},
        {"version: 1\nretry: {attempts: `0}", "attempts: expected 1 to 1000, found \"0\""},
        {"version: 1\nretry: {backoff: `200}",
         "backoff: expected a duration like 200ms, found \"200\""},
        {"version: 1\nretry: {max_backoff: `2d}",
         "max_backoff: expected 0ms to 86400000ms, found \"2d\""},
        {"version: 1\nretry: `{backoff: 20s}",
         "retry: max_backoff (10s) is shorter than backoff (20s)"},
        {"version: 1\nretry: {max_backoff: `1s, backoff: 2s}",
         "retry: max_backoff (1s) is shorter than backoff (2s)"},
    };
    ASSERT_MISTAKES("", mistakes, REST);
}

static void test_plan_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "../up", "a/b", "..", ".", "a.b", "Move", "a b", "\xc3\xbc", "a_b", "'a\\x00b'", "/etc/x",
    };
    for (size_t i = 0; i < NSM_COUNT_OF(names); i++) {
        NSM_CLEANUP(nsm_freep) char *yaml = nsm_xasprintf("version: 1\nname: %s" REST, names[i]);
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = NULL;
        struct nsm_plan *plan = NULL;
        error = nsm_plan_parse(nsm_str_of(yaml), "move.yaml", &nsm_fake_adapters, &plan);
        assert_true(nsm_error_is(error, NSM_E_INVALID));
        NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
        const char *const start = "move.yaml:2:7: name: expected lower case letters, digits and "
                                  "hyphens, at most 64, found \"";
        assert_memory_equal(text, start, strlen(start));
    }
    static const struct mistake mistakes[] = {
        {"version: 1\nname: `''",
         "name: expected lower case letters, digits and hyphens, at most 64, found \"\""},
        {"version: 1\nname:`", "name: expected a string, found nothing"},
        {"version: 1\nname: `null", "name: expected a string, found nothing"},
        {"version: 1\nname: `\"a\\0b\"", "name: expected a string, found a NUL byte"},
        {"version: 1\nname: `01234567890123456789012345678901234567890123456789012345678901234",
         "name: expected lower case letters, digits and hyphens, at most 64, found \"012345678901234567890123456789012345678901234567890123456789...\""},
    };
    ASSERT_MISTAKES("", mistakes, REST);
}

/* ---- backends ---- */

static void test_backends(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"c: `{}", "backend c: missing key \"adapter\": the kind of store, see nsmigrate adapters"},
        {"c: `keys", "backend c: expected a mapping, found \"keys\""},
        {"c: {adapter: `kyes}", "adapter: no adapter \"kyes\"; did you mean \"keys\"?"},
        {"c: {adapter: `oracle}",
         "adapter: no adapter \"oracle\"; expected one of feed, files, keys, rows, sink"},
        {"c: {adapter: `\"keys\\0\"}", "adapter: no adapter \"keys\\x00\"; did you mean \"keys\"?"},
        {"c: {adapter: `[keys]}", "adapter: expected the name of an adapter, found a sequence"},
        {"c: `{adapter: keys}",
         "backend c (keys): missing key \"url\": where it is, like redis://127.0.0.1:6379/0"},
        {"c: {adapter: keys, url: u, `adress: x}",
         "unknown key \"adress\" in backend c (keys); expected one of adapter, max_connections, url, password, tls, database, timeout, slice_bytes"},
        {"c: {adapter: keys, url: u, `timout: 5s}",
         "unknown key \"timout\" in backend c (keys); did you mean \"timeout\"?"},
        {"c: {adapter: keys, url: u, `max_conections: 5}",
         "unknown key \"max_conections\" in backend c (keys); did you mean \"max_connections\"?"},
        {"c: {adapter: keys, url: u, max_connections: `0}",
         "max_connections: expected 1 to 10000, found \"0\""},
        {"c: {adapter: keys, url: u, tls: `yes}", "tls: expected true or false, found \"yes\""},
        {"c: {adapter: keys, url: u, database: `x}",
         "database: expected a whole number, found \"x\""},
        {"c: {adapter: keys, url: u, timeout: `soon}",
         "timeout: expected a duration like 200ms, found \"soon\""},
        {"c: {adapter: keys, url: u, slice_bytes: `big}",
         "slice_bytes: expected a size like 4MiB, found \"big\""},
        {"c: {adapter: keys, url: `''}", "url: expected a URL, found nothing"},
        {"c: {adapter: keys, url: `[a]}", "url: expected a URL, found a sequence"},
        {"c: {adapter: keys, url: `}", "url: expected a URL, found nothing"},
        {"c: {adapter: files, path: a, compress: `zst}",
         "compress: expected one of none, zstd, found \"zst\"; did you mean \"zstd\"?"},
        {"c: {adapter: files, path: `\"a\\0b\"}", "path: expected a path, found a NUL byte"},
        {"`'a b': {adapter: sink}",
         "backends: expected a name of letters, digits, \"-\", \"_\" and \".\", at most 64, found \"a b\""},
        {"`'': {adapter: sink}",
         "backends: expected a name of letters, digits, \"-\", \"_\" and \".\", at most 64, found \"\""},
        {"`${NSM_T_X}: {adapter: sink}",
         "backends: expected a name of letters, digits, \"-\", \"_\" and \".\", at most 64, found \"${NSM_T_X}\""},
        {"c: {adapter: sink}\n  d: {adapter: sink}\n  `c: {adapter: feed}",
         "duplicate key \"c\"; it stands in line 3 already"},
        {"? `{a: b}\n  : {adapter: sink}", "expected a key, found a mapping"},
        {"? `[a]\n  : {adapter: sink}", "expected a key, found a sequence"},
    };
    ASSERT_MISTAKES("version: 1\nbackends:\n  ", mistakes, "\nnamespaces: []\n");
}

/* ---- namespaces ---- */

static void test_namespace_keys(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"`{source: {backend: cache}, destination: {backend: app}}",
         "namespace: missing key \"name\": a name of its own, for progress, ledger and --only"},
        {"`{name: a, destination: {backend: app}}",
         "namespace: missing key \"source\": what is read"},
        {"`{name: a, source: {backend: cache}}",
         "namespace: missing key \"destination\": where it is written; what is left out is as in the source"},
        {"{name: a, `sorce: {backend: cache}, destination: {backend: app}}",
         "unknown key \"sorce\" in namespace; did you mean \"source\"?"},
        {"{name: a, source: `cache, destination: {backend: app}}",
         "source: expected a mapping, found \"cache\""},
        {"{name: a, source: {backend: cache}, destination: `}",
         "destination: expected a mapping, found nothing"},
        {"{name: a, if_exists: `overwrite, source: {backend: cache}, destination: {backend: app}}",
         "if_exists: expected one of fail, replace, merge, skip, found \"overwrite\""},
        {"{name: a, if_exists: `replce, source: {backend: cache}, destination: {backend: app}}",
         "if_exists: expected one of fail, replace, merge, skip, found \"replce\"; did you mean \"replace\"?"},
        {"{name: a, verify: `hash, source: {backend: cache}, destination: {backend: app}}",
         "verify: expected one of digest, count, none, found \"hash\""},
        {"{name: a, allow_loss: [a, `B c], source: {backend: cache}, destination: {backend: app}}",
         "allow_loss: expected a word that preview names, like consumer-groups, found \"B c\""},
        {"{name: a, allow_loss: `[], source: {backend: cache}, destination: {backend: app}}",
         "allow_loss: expected at least one string; leave the key out for none"},
        {"{name: a, allow_loss: [a, `[b]], source: {backend: cache}, destination: {backend: app}}",
         "allow_loss: expected a string, found a sequence"},
        {"{name: a, allow_loss: `{a: b}, source: {backend: cache}, destination: {backend: app}}",
         "allow_loss: expected a sequence of strings, found a mapping"},
        {"{name: `'', source: {backend: cache}, destination: {backend: app}}",
         "name: expected a name, found nothing"},
        {"{name: `\"a\\nb\", source: {backend: cache}, destination: {backend: app}}",
         "name: expected a name without control characters, found 0x0a"},
        {"{name: `\"a\\x9bb\", source: {backend: cache}, destination: {backend: app}}",
         "name: expected a name without control characters, found 0x9b"},
        {"{name: `\"a\\0b\", source: {backend: cache}, destination: {backend: app}}",
         "name: expected a string, found a NUL byte"},
    };
    ASSERT_MISTAKES(NSM_TEST_PLAN_HEAD "  - ", mistakes, "\n");
}

static void test_long_namespace_name(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *name = nsm_xmalloc(202);
    memset(name, 'n', 201);
    name[201] = '\0';
    NSM_CLEANUP(nsm_freep)
    char *yaml = nsm_xasprintf(NSM_TEST_PLAN_HEAD
                               "  - {name: %s, source: {backend: cache}, destination: {backend: "
                               "app}}\n",
                               name);
    nsm_test_assert_invalid(nsm_str_of(yaml),
                            "move.yaml:9:12: name: expected a name of at most 200 bytes, found 201 "
                            "bytes");
}

static void test_sides(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"source: `{prefix: x}, destination: {backend: app}",
         "source: missing key \"backend\": the store that is read, by its name under backends"},
        {"source: {backend: cache}, destination: `{table: x}",
         "destination: missing key \"backend\": the store that is written, by its name under backends"},
        {"source: {backend: `cahce}, destination: {backend: app}",
         "backend: no backend \"cahce\"; did you mean \"cache\"?"},
        {"source: {backend: `production}, destination: {backend: app}",
         "backend: no backend \"production\" under backends"},
        {"source: {backend: `\"cache\\0\"}, destination: {backend: app}",
         "backend: no backend \"cache\\x00\"; did you mean \"cache\"?"},
        {"source: {backend: `[cache]}, destination: {backend: app}",
         "backend: expected the name of a backend, found a sequence"},
        {"source: {backend: cache, `prefx: x}, destination: {backend: app}",
         "unknown key \"prefx\" in source (keys); did you mean \"prefix\"?"},
        {"source: {backend: cache, `schema: x}, destination: {backend: app}",
         "unknown key \"schema\" in source (keys); expected one of backend, prefix, match"},
        {"source: {backend: cache, `layout: kv}, destination: {backend: app}",
         "unknown key \"layout\" in source (keys); expected one of backend, prefix, match"},
        {"source: {backend: cache}, destination: {backend: app, layout: `colums}",
         "layout: expected one of kv, columns, hash, json, found \"colums\"; did you mean \"columns\"?"},
        {"source: {backend: cache, match: a, `prefix: b}, destination: {backend: app}",
         "\"prefix\" can't stand beside \"match\" in source (keys)"},
        {"source: {backend: cache, prefix: a, `match: b}, destination: {backend: app}",
         "\"match\" can't stand beside \"prefix\" in source (keys)"},
        {"source: `{backend: app}, destination: {backend: dr}",
         "source (rows): missing key \"schema\" or \"table\" or \"tables\": all tables of a schema"},
        {"source: `{backend: app, where: x}, destination: {backend: dr}",
         "source (rows): missing key \"table\" or \"schema\" or \"tables\": one table"},
        {"source: {backend: app, schema: s, `where: x}, destination: {backend: dr}",
         "\"where\" can't stand beside \"schema\" in source (rows)"},
        {"source: {backend: app, tables: `[]}, destination: {backend: dr}",
         "tables: expected at least one string; leave the key out for none"},
        {"source: {backend: app, schema: `}, destination: {backend: dr}",
         "schema: expected a string, found nothing"},
        {"source: {backend: app, schema: `\"a\\0\"}, destination: {backend: dr}",
         "schema: expected a string, found a NUL byte"},
    };
    ASSERT_MISTAKES(NSM_TEST_PLAN_HEAD "  - {name: a, ", mistakes, "}\n");
}

static void test_one_way_adapters(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"- {name: a, source: {backend: `s}, destination: {backend: c}}",
         "backend: s can't be a source: its adapter, sink, can't read"},
        {"- {name: a, source: {backend: c}, destination: {backend: `f}}",
         "backend: f can't be a destination: its adapter, feed, can't write"},
    };
    ASSERT_MISTAKES("version: 1\n"
                    "backends:\n"
                    "  {f: {adapter: feed}, s: {adapter: sink}, c: {adapter: keys, url: u}}\n"
                    "namespaces:\n",
                    mistakes, "\n");
}

static void test_onto_itself(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"source: {backend: cache, prefix: x}, destination: `{backend: cache}",
         "the destination is the source; give another backend, or another name in it"},
        {"source: {backend: cache, prefix: x}, destination: `{backend: cache, prefix: x}",
         "the destination is the source; give another backend, or another name in it"},
        {"source: {backend: cache}, destination: `{backend: cache}",
         "the destination is the source; give another backend, or another name in it"},
        {"source: {backend: app, schema: s}, destination: `{backend: app, schema: s}",
         "the destination is the source; give another backend, or another name in it"},
        {"source: {backend: app, tables: [s.a]}, destination: `{backend: app}",
         "the destination is the source; give another backend, or another name in it"},
        {"source: {backend: dump}, destination: `{backend: dump}",
         "the destination is the source; give another backend, or another name in it"},
        {"for_each: {backend: app, schema: t*}, source: {backend: app, schema: '{schema}'}, destination: `{backend: app, schema: '{schema}'}",
         "the destination is the source; give another backend, or another name in it"},
    };
    ASSERT_MISTAKES(NSM_TEST_PLAN_HEAD "  - {name: '{schema}', ", mistakes, "}\n");
}

static void test_two_of_one_name(void **state)
{
    (void)state;
    nsm_test_assert_invalid(
        NSM_STR_LIT(NSM_TEST_PLAN_HEAD
                    "  - {name: a, source: {backend: cache}, destination: {backend: app}}\n"
                    "  - {name: b, source: {backend: cache}, destination: {backend: app}}\n"
                    "  - {name: c, source: {backend: cache}, destination: {backend: app}}\n"
                    "  - {name: c, source: {backend: other}, destination: {backend: app}}\n"
                    "  - {name: b, source: {backend: other}, destination: {backend: app}}\n"),
        "move.yaml:12:5: two namespaces have the name \"c\"; the other is in line 11");
}

static void test_two_of_one_destination(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        /* Named alike. */
        {"source: {backend: cache, prefix: x}, destination: {backend: app, table: kv.s}",
         "source: {backend: cache, prefix: y}, destination: {backend: app, table: kv.s}"},
        {"source: {backend: cache, prefix: x}, destination: {backend: other, prefix: z}",
         "source: {backend: cache, prefix: y}, destination: {backend: other, prefix: z}"},
        /* One names what the other has from its source. */
        {"source: {backend: cache, prefix: x}, destination: {backend: other}",
         "source: {backend: cache, prefix: y}, destination: {backend: other, prefix: x}"},
        /* Both have it from their sources. */
        {"source: {backend: app, table: s.t, where: a}, destination: {backend: dr}",
         "source: {backend: app, table: s.t, where: b}, destination: {backend: dr}"},
        {"source: {backend: app, schema: s}, destination: {backend: cache, prefix: x}",
         "source: {backend: dr, schema: s}, destination: {backend: cache, prefix: x}"},
        {"source: {backend: dr, tables: [s.t]}, destination: {backend: app, schema: x}",
         "source: {backend: dr, tables: [s.t]}, destination: {backend: app, schema: x}"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(pairs); i++) {
        NSM_CLEANUP(nsm_freep)
        char *yaml = nsm_xasprintf(NSM_TEST_PLAN_HEAD "  - {name: a, %s}\n"
                                                      "\n"
                                                      "  - {name: b, %s}\n",
                                   pairs[i][0], pairs[i][1]);
        const char *const at = strstr(pairs[i][1], "destination: ") + strlen("destination: ");
        NSM_CLEANUP(nsm_freep)
        char *expected = nsm_xasprintf("move.yaml:11:%zu: the destination is that of namespace "
                                       "\"a\" too, in line 9; give one of them another",
                                       strlen("  - {name: b, ") + (size_t)(at - pairs[i][1]) + 1);
        nsm_test_assert_invalid(nsm_str_of(yaml), expected);
    }
}

static void test_for_each(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{name: `x, for_each: {backend: app, schema: t*},",
         "name: expected \"{schema}\" in it, because of for_each, found \"x\""},
        {"{name: `'{shcema}', for_each: {backend: app, schema: t*},",
         "name: expected \"{schema}\" in it, because of for_each, found \"{shcema}\""},
        {"{name: '{schema}', for_each: `{schema: t*},",
         "for_each: missing key \"backend\": the store whose names are listed"},
        {"{name: '{schema}', for_each: `{backend: app},",
         "for_each: missing key \"schema\" or \"table\": a glob of the names to list"},
        {"{name: '{schema}', for_each: {backend: app, `schmea: t*},",
         "unknown key \"schmea\" in for_each (rows); did you mean \"schema\"?"},
        {"{name: '{schema}', for_each: {backend: app, `where: t*},",
         "unknown key \"where\" in for_each (rows); expected one of backend, schema, table"},
        {"{name: '{schema}', for_each: {backend: app, table: `t, schema: t*},",
         "for_each: \"table\" can't stand beside \"schema\""},
        {"{name: '{schema}', for_each: {backend: `cache, schema: t*},",
         "backend: cache can't be used in for_each: its adapter, keys, lists no names"},
        {"{name: '{schema}', for_each: {backend: `ap, schema: t*},",
         "backend: no backend \"ap\"; did you mean \"app\"?"},
        {"{name: '{schema}', for_each: {backend: app, schema: `''},",
         "schema: expected a glob like \"tenant_*\", found nothing"},
        {"{name: '{schema}', for_each: {backend: app, schema: `\"a\\0\"},",
         "schema: expected a glob like \"tenant_*\", found a NUL byte"},
        {"{name: '{schema}', for_each: {backend: app, schema: `[a]},",
         "schema: expected a glob like \"tenant_*\", found a sequence"},
        {"{name: '{schema}', for_each: `app,", "for_each: expected a mapping, found \"app\""},
    };
    ASSERT_MISTAKES(NSM_TEST_PLAN_HEAD "  - ", mistakes,
                    " source: {backend: app, schema: '{schema}'}, destination: {backend: dr}}\n");
}

/* ---- variables ---- */

static void test_variable_mistakes(void **state)
{
    (void)state;
    unsetenv("NSM_T_UNSET");
    static const struct mistake mistakes[] = {
        {"`'${NSM_T_UNSET}'",
         "prefix: environment variable \"NSM_T_UNSET\" is not set; set it, or give a default "
         "as in ${NAME:-default}"},
        {"`'${NSM_T_UNSET'", "prefix: \"${\" has no \"}\"; write $$ for a dollar sign"},
        {"`'a${'", "prefix: \"${\" has no \"}\"; write $$ for a dollar sign"},
        {"`'${}'", "prefix: expected ${NAME} or ${NAME:-default}, found \"\" in the braces; "
                   "write $$ for a dollar sign"},
        {"`'${1a}'", "prefix: expected ${NAME} or ${NAME:-default}, found \"1a\" in the "
                     "braces; write $$ for a dollar sign"},
        {"`'${a b}'", "prefix: expected ${NAME} or ${NAME:-default}, found \"a b\" in the "
                      "braces; write $$ for a dollar sign"},
        {"`'${A:+x}'", "prefix: expected ${NAME} or ${NAME:-default}, found \"A:+x\" in the "
                       "braces; write $$ for a dollar sign"},
        {"`'${A:-${B}}'", "prefix: expected ${NAME} or ${NAME:-default}, found \"A:-${B\" in "
                          "the braces; write $$ for a dollar sign"},
        {"$`{A}",
         "did not find expected ',' or '}' while parsing a flow mapping that begins in line 9; inside { } or [ ], a value with ${...} needs quotes"},
    };
    ASSERT_MISTAKES(NSM_TEST_PLAN_HEAD "  - {name: a, source: {backend: cache, prefix: ", mistakes,
                    "}, destination: {backend: app}}\n");
}

/* A variable may hold a password, in the wrong place too. */
static void test_values_of_variables_are_not_shown(void **state)
{
    (void)state;
    assert_int_equal(setenv("NSM_T_SECRET", "Hunter2", 1), 0);
    static const struct mistake mistakes[] = {
        {"version: `${NSM_T_SECRET}",
         "version: expected 1, the version that this program reads, found \"${NSM_T_SECRET}\""},
        {"version: 1\nname: `${NSM_T_SECRET}",
         "name: expected lower case letters, digits and hyphens, at most 64, found \"${NSM_T_SECRET}\""},
        {"version: 1\nworkers: `${NSM_T_SECRET}",
         "workers: expected a whole number, found something else with the environment's value in \"${NSM_T_SECRET}\""},
        {"version: 1\nworkers: `${NSM_T_UNSET:-0}",
         "workers: expected 1 to 1024, found \"${NSM_T_UNSET:-0}\""},
        {"version: 1\non_error: `${NSM_T_SECRET}",
         "on_error: expected one of cancel, continue, found something else with the environment's value in \"${NSM_T_SECRET}\""},
    };
    ASSERT_MISTAKES("", mistakes, REST);
    static const struct mistake in_backends[] = {
        {"c: {adapter: `'${NSM_T_SECRET}'}",
         "adapter: no adapter \"${NSM_T_SECRET}\"; expected one of feed, files, keys, rows, sink"},
    };
    ASSERT_MISTAKES("version: 1\nbackends:\n  ", in_backends, "\nnamespaces: []\n");
    static const struct mistake in_namespaces[] = {
        {"source: {backend: `'${NSM_T_SECRET}'}, destination: {backend: app}",
         "backend: no backend \"${NSM_T_SECRET}\" under backends"},
        {"source: {backend: cache}, destination: {backend: app}, allow_loss: `'${NSM_T_SECRET}'",
         "allow_loss: expected a word that preview names, like consumer-groups, found \"${NSM_T_SECRET}\""},
    };
    ASSERT_MISTAKES(NSM_TEST_PLAN_HEAD "  - {name: a, ", in_namespaces, "}\n");
    /* Nor is what stands in the place of a secret. */
    static const struct mistake in_secrets[] = {
        {"c: {adapter: keys, url: u, password: `[hunter2]}",
         "password: expected a string, found a sequence"},
        {"c: {adapter: keys, url: u, password: `\"hunter2\\0\"}",
         "password: expected a string, found a NUL byte"},
    };
    ASSERT_MISTAKES("version: 1\nbackends:\n  ", in_secrets, "\nnamespaces: []\n");
}

/* ---- files ---- */

static void assert_load_error(const char *path, enum nsm_code code, const char *expected)
{
    struct nsm_plan *plan = NULL;
    struct nsm_error *const error = nsm_plan_load(path, &nsm_fake_adapters, &plan);
    assert_null(plan);
    nsm_test_assert_error(error, code, expected);
}

static void test_files(void **state)
{
    (void)state;
    assert_load_error("/no/such/plan.yaml", NSM_E_NOTFOUND,
                      "plan /no/such/plan.yaml: No such file or directory");
    assert_load_error("/dev/null/plan.yaml", NSM_E_NOTFOUND,
                      "plan /dev/null/plan.yaml: Not a directory");
    assert_load_error("/tmp", NSM_E_INVALID, "/tmp: is a folder; expected a plan, a YAML file");
    assert_load_error(
        "/dev/null", NSM_E_INVALID,
        "/dev/null:1:1: empty; expected a plan with version, backends and namespaces");
    assert_load_error("/dev/zero", NSM_E_INVALID,
                      "/dev/zero:1:1: larger than 8 MiB, the most a plan may have");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_own_keys),
        cmocka_unit_test(test_plan_names),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_namespace_keys),
        cmocka_unit_test(test_long_namespace_name),
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_one_way_adapters),
        cmocka_unit_test(test_onto_itself),
        cmocka_unit_test(test_two_of_one_name),
        cmocka_unit_test(test_two_of_one_destination),
        cmocka_unit_test(test_for_each),
        cmocka_unit_test(test_variable_mistakes),
        cmocka_unit_test(test_values_of_variables_are_not_shown),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests_name("plan_errors", tests, NULL, NULL);
}
