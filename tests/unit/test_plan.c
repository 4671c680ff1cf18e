/*
 * Plans that are right: what the loaded plan holds, how variables, paths and templates become
 * values, and what its fingerprint depends on.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/arena.h"
#include "migrate/base/buf.h"
#include "migrate/engine/plan.h"
#include "tests/support/plan_fixture.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what a plan holds ---- */

static void test_defaults(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *plan =
        nsm_test_parse(NSM_TEST_PLAN_HEAD "  - name: sessions\n"
                                          "    source: {backend: cache, prefix: \"session:\"}\n"
                                          "    destination: {backend: app, table: kv.sessions}\n");
    assert_string_equal(plan->path, "move.yaml");
    assert_string_equal(plan->name, "move");
    assert_int_equal(plan->workers, nsm_online_cpus());
    assert_int_equal(plan->on_error, NSM_ON_ERROR_CANCEL);
    assert_int_equal(plan->batch_records, 1000);
    assert_int_equal(plan->batch_bytes, 4 << 20);
    assert_int_equal(plan->retry_attempts, 5);
    assert_int_equal(plan->retry_backoff_ms, 200);
    assert_int_equal(plan->retry_max_backoff_ms, 10000);
    assert_int_equal(plan->n_backends, 5);
    assert_int_equal(plan->n_templates, 0);
    assert_int_equal(plan->n_namespaces, 1);

    const struct nsm_plan_backend *const cache = &plan->backends[0];
    assert_string_equal(cache->name, "cache");
    assert_string_equal(cache->adapter->name, "keys");
    assert_int_equal(cache->max_connections, 0);
    assert_int_equal(nsm_settings_u64(cache->settings, "timeout"), 5000);
    assert_int_equal(cache->line, 3);
    assert_int_equal(cache->column, 3);

    const struct nsm_plan_namespace *const ns = &plan->namespaces[0];
    assert_string_equal(ns->name, "sessions");
    assert_int_equal(ns->source.backend, 0);
    assert_string_equal(nsm_settings_string(ns->source.selection, "prefix"), "session:");
    assert_int_equal(ns->destination.backend, 2);
    assert_string_equal(nsm_settings_string(ns->destination.selection, "table"), "kv.sessions");
    assert_int_equal(ns->layout, NSM_LAYOUT_DEFAULT);
    assert_int_equal(ns->if_exists, NSM_IF_EXISTS_FAIL);
    assert_int_equal(ns->verify, NSM_VERIFY_DIGEST);
    assert_int_equal(ns->n_allow_loss, 0);
    assert_int_equal(ns->line, 9);
    assert_int_equal(ns->column, 5);
    assert_int_equal(ns->destination.line, 11);
    assert_int_equal(ns->destination.column, 18);
}

static void test_all_keys(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *plan = nsm_test_parse(
        "version: 1\n"
        "name: 2026-move\n"
        "workers: 8\n"
        "on_error: continue\n"
        "batch: {records: 10, bytes: 64KiB}\n"
        "retry: {attempts: 3, backoff: 0, max_backoff: 1m}\n"
        "backends:\n"
        "  a.B_c-1: {adapter: keys, url: u, max_connections: 7, tls: true, timeout: 1s,\n"
        "    slice_bytes: 1MiB, database: 3, password: 12345}\n"
        "  to: {adapter: rows, url: v}\n"
        "namespaces:\n"
        "  - name: \"a name, with / and \\u00fc\"\n"
        "    source: {backend: a.B_c-1, match: 'x*'}\n"
        "    destination: {backend: to, schema: s, layout: columns}\n"
        "    if_exists: merge\n"
        "    verify: count\n"
        "    allow_loss: [expiry, consumer-groups]\n"
        "  - name: second\n"
        "    source: {backend: to, tables: [s.a, 's.b*'], where: id > 5}\n"
        "    destination: {backend: a.B_c-1, prefix: \"p\\0:\", layout: json}\n"
        "    if_exists: skip\n"
        "    verify: none\n"
        "    allow_loss: expiry\n");
    assert_string_equal(plan->name, "2026-move");
    assert_int_equal(plan->workers, 8);
    assert_int_equal(plan->on_error, NSM_ON_ERROR_CONTINUE);
    assert_int_equal(plan->batch_records, 10);
    assert_int_equal(plan->batch_bytes, 65536);
    assert_int_equal(plan->retry_attempts, 3);
    assert_int_equal(plan->retry_backoff_ms, 0);
    assert_int_equal(plan->retry_max_backoff_ms, 60000);
    const struct nsm_plan_backend *const backend = &plan->backends[0];
    assert_string_equal(backend->name, "a.B_c-1");
    assert_int_equal(backend->max_connections, 7);
    assert_true(nsm_settings_bool(backend->settings, "tls"));
    assert_int_equal(nsm_settings_u64(backend->settings, "slice_bytes"), 1 << 20);
    assert_string_equal(nsm_settings_string(backend->settings, "password"), "12345");

    const struct nsm_plan_namespace *const first = &plan->namespaces[0];
    assert_string_equal(first->name, "a name, with / and \xc3\xbc");
    assert_int_equal(first->layout, NSM_LAYOUT_COLUMNS);
    assert_int_equal(first->if_exists, NSM_IF_EXISTS_MERGE);
    assert_int_equal(first->verify, NSM_VERIFY_COUNT);
    assert_int_equal(first->n_allow_loss, 2);
    assert_string_equal(first->allow_loss[0], "expiry");
    assert_string_equal(first->allow_loss[1], "consumer-groups");
    const struct nsm_plan_namespace *const second = &plan->namespaces[1];
    assert_int_equal(second->layout, NSM_LAYOUT_JSON);
    assert_int_equal(second->if_exists, NSM_IF_EXISTS_SKIP);
    assert_int_equal(second->verify, NSM_VERIFY_NONE);
    assert_int_equal(second->n_allow_loss, 1);
    assert_int_equal(nsm_settings_list_size(second->source.selection, "tables"), 2);
    assert_string_equal(nsm_settings_list_at(second->source.selection, "tables", 1), "s.b*");
    assert_int_equal(nsm_settings_bytes(second->destination.selection, "prefix").len, 3);
}

static void test_names_of_enums(void **state)
{
    (void)state;
    static const char *const layouts[] = {"default", "kv", "columns", "hash", "json"};
    for (unsigned i = 0; i < NSM_COUNT_OF(layouts); i++)
        assert_string_equal(nsm_layout_name((enum nsm_layout)i), layouts[i]);
    static const char *const policies[] = {"fail", "replace", "merge", "skip"};
    for (unsigned i = 0; i < NSM_COUNT_OF(policies); i++)
        assert_string_equal(nsm_if_exists_name((enum nsm_if_exists)i), policies[i]);
    static const char *const modes[] = {"digest", "count", "none"};
    for (unsigned i = 0; i < NSM_COUNT_OF(modes); i++)
        assert_string_equal(nsm_verify_mode_name((enum nsm_verify_mode)i), modes[i]);
}

/* The enums list theirs in the order of the tables' words. */
static void test_words_mean_what_they_say(void **state)
{
    (void)state;
    static const char *const layouts[] = {"kv", "columns", "hash", "json"};
    for (unsigned i = 0; i < NSM_COUNT_OF(layouts); i++) {
        NSM_CLEANUP(nsm_freep)
        char *yaml =
            nsm_xasprintf(NSM_TEST_PLAN_HEAD "  - name: a\n"
                                             "    source: {backend: cache}\n"
                                             "    destination: {backend: app, layout: %s}\n",
                          layouts[i]);
        NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(yaml);
        assert_string_equal(nsm_layout_name(plan->namespaces[0].layout), layouts[i]);
    }
    static const char *const policies[] = {"fail", "replace", "merge", "skip"};
    static const char *const modes[] = {"digest", "count", "none", "digest"};
    for (unsigned i = 0; i < NSM_COUNT_OF(policies); i++) {
        NSM_CLEANUP(nsm_freep)
        char *yaml = nsm_xasprintf(NSM_TEST_PLAN_HEAD "  - name: a\n"
                                                      "    source: {backend: cache}\n"
                                                      "    destination: {backend: app}\n"
                                                      "    if_exists: %s\n"
                                                      "    verify: %s\n",
                                   policies[i], modes[i]);
        NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(yaml);
        assert_string_equal(nsm_if_exists_name(plan->namespaces[0].if_exists), policies[i]);
        assert_string_equal(nsm_verify_mode_name(plan->namespaces[0].verify), modes[i]);
    }
}

static void test_default_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"plan.yaml", "plan"},
        {"/tmp/My Plan.v2.yml", "my-plan-v2"},
        {"x/y/MOVE", "move"},
        {".hidden", "-hidden"},
        {"-", "stdin"},
        {"caf\xc3\xa9.yaml", "caf--"},
        {"dir/", "plan"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789.yaml",
         "0123456789012345678901234567890123456789012345678901234567890123"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(names); i++) {
        NSM_CLEANUP(nsm_plan_freep)
        struct nsm_plan *plan = nsm_test_parse_at(NSM_TEST_PLAN_ONE, names[i][0]);
        assert_string_equal(plan->name, names[i][1]);
    }
}

static void test_byte_order_mark_and_line_ends(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *plan =
        nsm_test_parse("\xef\xbb\xbfversion: 1\r\nbackends:\r\n  c: {adapter: keys, url: u}\r\n"
                       "  d: {adapter: keys, url: v}\r\n# a comment\r\nnamespaces:\r\n"
                       "- {name: a, source: {backend: c}, destination: {backend: d}}\r\n...\r\n");
    assert_int_equal(plan->namespaces[0].line, 7);
    assert_int_equal(plan->namespaces[0].column, 3);
}

/* ---- paths and variables ---- */

static void test_relative_paths(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"dump", "/plans/of/us/dump"},
        {"./dump/", "/plans/of/us/dump/"},
        {".//./x", "/plans/of/us/x"},
        {"../up", "/plans/of/us/../up"},
        {"/var/dump", "/var/dump"},
        {".hidden", "/plans/of/us/.hidden"},
        {"\"with space\"", "/plans/of/us/with space"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(cases); i++) {
        NSM_CLEANUP(nsm_freep)
        char *yaml = nsm_xasprintf(
            "version: 1\n"
            "backends: {f: {adapter: files, path: %s}}\n"
            "namespaces: [{name: a, source: {backend: f}, destination: {backend: f, file: x}}]\n",
            cases[i][0]);
        NSM_CLEANUP(nsm_plan_freep)
        struct nsm_plan *plan = nsm_test_parse_at(yaml, "/plans/of/us/p.yaml");
        const struct nsm_settings *const settings = plan->backends[0].settings;
        assert_string_equal(plan->folder, "/plans/of/us");
        assert_string_equal(nsm_settings_string(settings, "path"), cases[i][1]);
        assert_string_equal(nsm_settings_string(settings, "index"), "/plans/of/us/index.db");
        assert_string_equal(nsm_settings_string(plan->namespaces[0].destination.selection, "file"),
                            "/plans/of/us/x");
    }
}

static void test_folders(void **state)
{
    (void)state;
    char working[PATH_MAX];
    assert_non_null(getcwd(working, sizeof(working)));
    NSM_CLEANUP(nsm_freep) char *below = nsm_xasprintf("%s/no/such", working);
    const char *const folders[][2] = {
        {"/p.yaml", "/"},
        {"p.yaml", working},
        {"-", working},
        {"no/such/p.yaml", below},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(folders); i++) {
        NSM_CLEANUP(nsm_plan_freep)
        struct nsm_plan *plan = nsm_test_parse_at(NSM_TEST_PLAN_ONE, folders[i][0]);
        assert_string_equal(plan->folder, folders[i][1]);
    }
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *root = nsm_test_parse_at(NSM_TEST_PLAN_ONE, "/p.yaml");
    assert_string_equal(nsm_settings_string(root->backends[4].settings, "path"), "/dump");
}

static const char *prefix_of(const struct nsm_plan *plan)
{
    return nsm_settings_string(plan->namespaces[0].source.selection, "prefix");
}

static struct nsm_plan *parse_prefix(const char *prefix)
{
    NSM_CLEANUP(nsm_freep)
    char *yaml = nsm_xasprintf(NSM_TEST_PLAN_HEAD "  - name: a\n"
                                                  "    source: {backend: cache, prefix: %s}\n"
                                                  "    destination: {backend: app}\n",
                               prefix);
    return nsm_test_parse(yaml);
}

static void test_variables(void **state)
{
    (void)state;
    assert_int_equal(setenv("NSM_T_SET", "it", 1), 0);
    assert_int_equal(setenv("NSM_T_EMPTY", "", 1), 0);
    /* What a variable holds is a value, whatever it looks like. */
    assert_int_equal(setenv("NSM_T_YAML", "x, match: y}\n- [", 1), 0);
    assert_int_equal(setenv("NSM_T_DOLLAR", "${NSM_T_SET} $$", 1), 0);
    unsetenv("NSM_T_UNSET");
    static const char *const cases[][2] = {
        {"\"${NSM_T_SET}\"", "it"},
        {"'a${NSM_T_SET}b${NSM_T_SET}c'", "aitbitc"},
        {"\"${NSM_T_EMPTY}\"", ""},
        {"\"${NSM_T_EMPTY:-other}\"", "other"},
        {"\"${NSM_T_UNSET:-other}\"", "other"},
        {"\"${NSM_T_SET:-other}\"", "it"},
        {"\"${NSM_T_UNSET:-}\"", ""},
        {"\"${NSM_T_UNSET:-a:-b}\"", "a:-b"},
        {"\"${NSM_T_UNSET:-$$5}\"", "$5"},
        {"\"${NSM_T_YAML}\"", "x, match: y}\n- ["},
        {"\"${NSM_T_DOLLAR}\"", "${NSM_T_SET} $$"},
        {"'$${NSM_T_SET}'", "${NSM_T_SET}"},
        {"'$$'", "$"},
        {"'$$$'", "$$"},
        {"'a$b$'", "a$b$"},
        {"'$NSM_T_SET'", "$NSM_T_SET"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(cases); i++) {
        NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = parse_prefix(cases[i][0]);
        assert_string_equal(prefix_of(plan), cases[i][1]);
    }
}

static void test_variables_in_every_place(void **state)
{
    (void)state;
    assert_int_equal(setenv("NSM_T_A", "1", 1), 0);
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *plan =
        nsm_test_parse("version: ${NSM_T_A}\n"
                       "name: move-${NSM_T_A}\n"
                       "workers: ${NSM_T_A}\n"
                       "on_error: ${NSM_T_NONE:-continue}\n"
                       "batch: {records: '${NSM_T_A}0', bytes: '${NSM_T_A}MiB'}\n"
                       "backends:\n"
                       "  c: {adapter: '${NSM_T_NONE:-keys}', url: 'redis://h${NSM_T_A}'}\n"
                       "  d: {adapter: rows, url: u, max_connections: '${NSM_T_A}'}\n"
                       "namespaces:\n"
                       "  - name: n${NSM_T_A}\n"
                       "    source: {backend: '${NSM_T_NONE:-d}', tables: ['a${NSM_T_A}', b]}\n"
                       "    destination: {backend: c}\n"
                       "    allow_loss: loss-${NSM_T_A}\n"
                       "  - name: '{schema}-${NSM_T_A}'\n"
                       "    for_each: {backend: d, schema: 't${NSM_T_A}_*'}\n"
                       "    source: {backend: d, schema: '{schema}'}\n"
                       "    destination: {backend: c}\n");
    assert_string_equal(plan->name, "move-1");
    assert_int_equal(plan->workers, 1);
    assert_int_equal(plan->on_error, NSM_ON_ERROR_CONTINUE);
    assert_int_equal(plan->batch_records, 10);
    assert_string_equal(nsm_settings_string(plan->backends[0].settings, "url"), "redis://h1");
    assert_int_equal(plan->backends[1].max_connections, 1);
    assert_string_equal(plan->namespaces[0].name, "n1");
    assert_string_equal(nsm_settings_list_at(plan->namespaces[0].source.selection, "tables", 0),
                        "a1");
    assert_string_equal(plan->namespaces[0].allow_loss[0], "loss-1");
    assert_string_equal(plan->templates[0].namespace.name, "{schema}-1");
    assert_string_equal(plan->templates[0].glob, "t1_*");
}

/* ---- what is another destination ---- */

static void test_different_destinations(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        /* The objects' names come from the sources. */
        {"source: {backend: app, table: s.t}, destination: {backend: dr, schema: x}",
         "source: {backend: app, table: s.u}, destination: {backend: dr, schema: x}"},
        {"source: {backend: app, schema: s}, destination: {backend: dr}",
         "source: {backend: app, schema: t}, destination: {backend: dr}"},
        {"source: {backend: app, table: s.t}, destination: {backend: cache, prefix: x}",
         "source: {backend: app, table: s.u}, destination: {backend: cache, prefix: x}"},
        {"source: {backend: cache, match: x}, destination: {backend: other}",
         "source: {backend: cache, match: y}, destination: {backend: other}"},
        /* They are named after the namespaces. */
        {"source: {backend: cache}, destination: {backend: dump}",
         "source: {backend: other}, destination: {backend: dump}"},
        {"source: {backend: cache}, destination: {backend: app, schema: x}",
         "source: {backend: other}, destination: {backend: app, schema: x}"},
        {"source: {backend: cache}, destination: {backend: app}",
         "source: {backend: other}, destination: {backend: app}"},
        /* Two stores; two names. */
        {"source: {backend: cache, prefix: x}, destination: {backend: other}",
         "source: {backend: other, prefix: x}, destination: {backend: cache}"},
        {"source: {backend: cache}, destination: {backend: dump, file: a}",
         "source: {backend: cache}, destination: {backend: dump, file: b}"},
        /* A value that looks like two. */
        {"source: {backend: cache}, destination: {backend: other, prefix: 'a;prefix=1:b'}",
         "source: {backend: cache}, destination: {backend: other, prefix: a}"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(pairs); i++) {
        NSM_CLEANUP(nsm_freep)
        char *yaml = nsm_xasprintf(NSM_TEST_PLAN_HEAD "  - {name: a, %s}\n"
                                                      "  - {name: b, %s}\n",
                                   pairs[i][0], pairs[i][1]);
        NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(yaml);
        assert_int_equal(plan->n_namespaces, 2);
    }
}

static void test_within_one_backend(void **state)
{
    (void)state;
    static const char *const sides[] = {
        "source: {backend: app, schema: s}, destination: {backend: app, schema: t}",
        "source: {backend: app, schema: s}, destination: {backend: app, table: kv.t}",
        "source: {backend: app, table: s.t}, destination: {backend: app, schema: t}",
        "source: {backend: cache}, destination: {backend: cache, prefix: x}",
        "source: {backend: cache, prefix: x}, destination: {backend: cache, prefix: ''}",
        "source: {backend: dump}, destination: {backend: dump, file: x}",
    };
    for (size_t i = 0; i < NSM_COUNT_OF(sides); i++) {
        NSM_CLEANUP(nsm_freep)
        char *yaml = nsm_xasprintf(NSM_TEST_PLAN_HEAD "  - {name: a, %s}\n", sides[i]);
        NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(yaml);
        assert_int_equal(plan->n_namespaces, 1);
    }
}

/* ---- fingerprint ---- */

static char *fingerprint_of(const char *yaml)
{
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse_at(yaml, "/plans/move.yaml");
    assert_int_equal(strlen(plan->fingerprint), 32);
    assert_int_equal(strspn(plan->fingerprint, "0123456789abcdef"), 32);
    return nsm_xstrdup(plan->fingerprint);
}

#define BACKENDS \
    "backends: {c: {adapter: keys, url: 'redis://u:pw@h'}, d: {adapter: rows, url: v}}\n"
#define FIRST  "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d}}\n"
#define SECOND "  - {name: b, source: {backend: c, prefix: y}, destination: {backend: d}}\n"
#define EACH                                                                            \
    "  - {name: '{schema}', for_each: {backend: d, schema: t*}, source: {backend: d,\n" \
    "     schema: '{schema}'}, destination: {backend: c}}\n"
#define BASE "version: 1\n" BACKENDS "namespaces:\n" FIRST SECOND EACH

static void test_fingerprint_stays(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *base = fingerprint_of(BASE);
    static const char *const same[] = {
        BASE,
        "# how it runs\nversion: 1\nname: other\nworkers: 3\non_error: continue\n"
        "batch: {records: 5}\nretry: {attempts: 1}\n" BACKENDS "namespaces:\n" FIRST SECOND EACH,
        /* The order, and the defaults spelled out. */
        "version: 1\n" BACKENDS "namespaces:\n" EACH SECOND
        "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d},\n"
        "     if_exists: fail, verify: digest}\n",
        /* The password, the connections, a backend that nobody names, the backends' order. */
        "version: 1\nbackends: {d: {adapter: rows, url: v, max_connections: 3}, e: {adapter: sink},"
        " c: {adapter: keys, url: 'redis://u:new@h', password: x}}\n"
        "namespaces:\n" FIRST SECOND EACH,
    };
    for (size_t i = 0; i < NSM_COUNT_OF(same); i++) {
        NSM_CLEANUP(nsm_freep) char *other = fingerprint_of(same[i]);
        assert_string_equal(other, base);
    }
}

static void test_fingerprint_changes(void **state)
{
    (void)state;
    static const char *const different[] = {
        BASE,
        "version: 1\n" BACKENDS "namespaces:\n" FIRST SECOND,
        "version: 1\n" BACKENDS "namespaces:\n" FIRST EACH,
        "version: 1\nbackends: {c: {adapter: keys, url: 'redis://u:pw@h2'}, d: {adapter: rows, "
        "url: v}}\nnamespaces:\n" FIRST SECOND EACH,
        "version: 1\nbackends: {c: {adapter: keys, url: 'redis://u:pw@h', database: 1}, d: "
        "{adapter: rows, url: v}}\nnamespaces:\n" FIRST SECOND EACH,
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a2, source: {backend: c, prefix: x}, destination: {backend: d}}\n",
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a, source: {backend: c, prefix: x2}, destination: {backend: d}}\n",
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d, schema: s}}\n",
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d, layout: "
        "columns}}\n",
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d}, if_exists: "
        "skip}\n",
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d}, verify: none}\n",
        "version: 1\n" BACKENDS "namespaces:\n" SECOND EACH
        "  - {name: a, source: {backend: c, prefix: x}, destination: {backend: d}, allow_loss: "
        "expiry}\n",
        "version: 1\n" BACKENDS "namespaces:\n" FIRST SECOND
        "  - {name: '{schema}', for_each: {backend: d, schema: u*}, source: {backend: d,\n"
        "     schema: '{schema}'}, destination: {backend: c}}\n",
    };
    char *seen[NSM_COUNT_OF(different)] = {NULL};
    for (size_t i = 0; i < NSM_COUNT_OF(different); i++) {
        seen[i] = fingerprint_of(different[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
    }
    for (size_t i = 0; i < NSM_COUNT_OF(different); i++)
        free(seen[i]);
}

/* ---- files ---- */

static char *make_folder(void)
{
    char *const folder = nsm_xstrdup("/tmp/nsm-plan-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static void write_file(const char *path, const char *text)
{
    FILE *const file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_load(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *folder = make_folder();
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/My Move.yaml", folder);
    NSM_CLEANUP(nsm_freep) char *dump = nsm_xasprintf("%s/dump", folder);
    write_file(path, NSM_TEST_PLAN_ONE);
    struct nsm_plan *loaded = NULL;
    assert_null(nsm_plan_load(path, &nsm_fake_adapters, &loaded));
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = loaded;
    assert_string_equal(plan->path, path);
    assert_string_equal(plan->folder, folder);
    assert_string_equal(plan->name, "my-move");
    assert_string_equal(nsm_settings_string(plan->backends[4].settings, "path"), dump);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_load_through_a_link(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *folder = make_folder();
    NSM_CLEANUP(nsm_freep) char *real = nsm_xasprintf("%s/real", folder);
    NSM_CLEANUP(nsm_freep) char *link = nsm_xasprintf("%s/link", folder);
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/link/p.yaml", folder);
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink("real", link), 0);
    write_file(path, NSM_TEST_PLAN_ONE);
    struct nsm_plan *loaded = NULL;
    assert_null(nsm_plan_load(path, &nsm_fake_adapters, &loaded));
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = loaded;
    assert_string_equal(plan->folder, real);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(real), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_names_of_enums),
        cmocka_unit_test(test_words_mean_what_they_say),
        cmocka_unit_test(test_default_names),
        cmocka_unit_test(test_byte_order_mark_and_line_ends),
        cmocka_unit_test(test_relative_paths),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_variables_in_every_place),
        cmocka_unit_test(test_different_destinations),
        cmocka_unit_test(test_within_one_backend),
        cmocka_unit_test(test_fingerprint_stays),
        cmocka_unit_test(test_fingerprint_changes),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_through_a_link),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
