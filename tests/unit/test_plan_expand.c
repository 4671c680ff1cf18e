/*
 * for_each and --only: which namespaces a plan has once its templates are expanded, and which of
 * them are left.
 */
#include "migrate/base/alloc.h"
#include "tests/support/plan_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- templates ---- */

#define TEMPLATES                                                                    \
    NSM_TEST_PLAN_HEAD                                                               \
    "  - {name: a, source: {backend: app, schema: a},\n"                             \
    "     destination: {backend: dr}}\n"                                             \
    "  - name: \"{schema}/{schema}\"\n"                                              \
    "    for_each: {backend: app, schema: \"tenant_*\"}\n"                           \
    "    source: {backend: app, schema: \"{schema}\"}\n"                             \
    "    destination: {backend: dr, schema: \"{schema}_x\"}\n"                       \
    "    if_exists: merge\n"                                                         \
    "  - {name: b, source: {backend: app, schema: b}, destination: {backend: dr}}\n" \
    "  - name: \"t-{table}\"\n"                                                      \
    "    for_each: {backend: app, table: \"kv.*\"}\n"                                \
    "    source: {backend: app, tables: [\"{table}\"]}\n"                            \
    "    destination: {backend: cache, prefix: \"{table}:\"}\n"

/* What a backend would list: for schema and for table. */
struct listing {
    const char *const *schemas, *const *tables;
    size_t n_calls;
    struct nsm_error *error;
};

static struct nsm_error *list(void *arg, const struct nsm_plan_template *tmpl, nsm_name_fn *fn,
                              void *fn_arg)
{
    struct listing *const listing = arg;
    listing->n_calls++;
    const bool is_schema = strcmp(tmpl->key, "schema") == 0;
    assert_string_equal(tmpl->glob, is_schema ? "tenant_*" : "kv.*");
    assert_int_equal(tmpl->backend, 2);
    for (const char *const *name = is_schema ? listing->schemas : listing->tables; *name; name++)
        fn(fn_arg, *name);
    return NSM_STEAL(listing->error);
}

static const char *const no_names[] = {NULL};

static void assert_names(const struct nsm_plan *plan, const char *const *names, size_t n_names)
{
    assert_int_equal(plan->n_namespaces, n_names);
    for (size_t i = 0; i < n_names; i++)
        assert_string_equal(plan->namespaces[i].name, names[i]);
}

static void test_template(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    assert_int_equal(plan->n_namespaces, 2);
    assert_int_equal(plan->n_templates, 2);
    assert_int_equal(plan->templates[0].position, 1);
    assert_int_equal(plan->templates[1].position, 2);
    assert_int_equal(plan->templates[0].backend, 2);
    assert_string_equal(plan->templates[0].key, "schema");
    assert_string_equal(plan->templates[0].glob, "tenant_*");
    assert_string_equal(plan->templates[0].namespace.name, "{schema}/{schema}");
}

static void test_expand(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    NSM_CLEANUP(nsm_freep) char *fingerprint = nsm_xstrdup(plan->fingerprint);
    static const char *const schemas[] = {"tenant_2", "tenant_10", "tenant_1", NULL};
    static const char *const tables[] = {"kv.t", NULL};
    struct listing listing = {.schemas = schemas, .tables = tables};
    assert_null(nsm_plan_expand(plan, list, &listing));
    static const char *const names[] = {
        "a", "tenant_1/tenant_1", "tenant_10/tenant_10", "tenant_2/tenant_2", "b", "t-kv.t"};
    assert_names(plan, names, NSM_COUNT_OF(names));
    assert_int_equal(listing.n_calls, 2);
    assert_int_equal(plan->n_templates, 0);
    const struct nsm_plan_namespace *const ns = &plan->namespaces[2];
    assert_string_equal(nsm_settings_string(ns->source.selection, "schema"), "tenant_10");
    assert_string_equal(nsm_settings_string(ns->destination.selection, "schema"), "tenant_10_x");
    assert_int_equal(ns->if_exists, NSM_IF_EXISTS_MERGE);
    assert_int_equal(ns->line, 11);
    assert_string_equal(nsm_settings_list_at(plan->namespaces[5].source.selection, "tables", 0),
                        "kv.t");
    /* What a run is about is the plan, not what stood in the store when it began. */
    assert_string_equal(plan->fingerprint, fingerprint);
    assert_null(nsm_plan_expand(plan, list, &listing));
    assert_int_equal(listing.n_calls, 2);
}

static void test_expand_to_nothing(void **state)
{
    (void)state;
    struct listing listing = {.schemas = no_names, .tables = no_names};
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    assert_null(nsm_plan_expand(plan, list, &listing));
    static const char *const names[] = {"a", "b"};
    assert_names(plan, names, NSM_COUNT_OF(names));

    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *empty =
        nsm_test_parse(NSM_TEST_PLAN_HEAD "  - name: '{schema}'\n"
                                          "    for_each: {backend: app, schema: tenant_*}\n"
                                          "    source: {backend: app, schema: '{schema}'}\n"
                                          "    destination: {backend: dr}\n");
    nsm_test_assert_error(nsm_plan_expand(empty, list, &listing), NSM_E_NOTFOUND,
                          "move.yaml:9:5: for_each: no schema matches \"tenant_*\"");
}

static void assert_expand_error(const char *const *schemas, const char *const *tables,
                                const char *expected)
{
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    struct listing listing = {.schemas = schemas, .tables = tables};
    nsm_test_assert_error(nsm_plan_expand(plan, list, &listing), NSM_E_INVALID, expected);
}

static void test_expand_errors(void **state)
{
    (void)state;
    static const char *const twice[] = {"tenant_1", "tenant_1", NULL};
    assert_expand_error(twice, no_names,
                        "move.yaml:11:5: two namespaces have the name \"tenant_1/tenant_1\"; the "
                        "other is in line 11");
    static const char *const newline[] = {"x\ny", NULL};
    assert_expand_error(newline, no_names,
                        "move.yaml:11:5: for_each: schema \"x\\ny\": expected a name without "
                        "control characters, found 0x0a");
}

static void test_expand_passes_errors_on(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    static const char *const schemas[] = {"tenant_1", NULL};
    struct listing listing = {.schemas = schemas,
                              .tables = no_names,
                              .error = nsm_error_new(NSM_E_UNAVAILABLE, "connection refused")};
    nsm_test_assert_error(nsm_plan_expand(plan, list, &listing), NSM_E_UNAVAILABLE,
                          "move.yaml:11:5: for_each: connection refused");
}

static void test_same_destination_after_expansion(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *plan =
        nsm_test_parse(NSM_TEST_PLAN_HEAD "  - name: '{schema}'\n"
                                          "    for_each: {backend: app, schema: tenant_*}\n"
                                          "    source: {backend: app, schema: '{schema}'}\n"
                                          "    destination: {backend: cache, prefix: x}\n"
                                          "  - name: k-{schema}\n"
                                          "    for_each: {backend: app, schema: tenant_*}\n"
                                          "    source: {backend: app, schema: '{schema}'}\n"
                                          "    destination: {backend: cache, prefix: x}\n");
    static const char *const schemas[] = {"tenant_1", NULL};
    struct listing listing = {.schemas = schemas, .tables = no_names};
    nsm_test_assert_error(
        nsm_plan_expand(plan, list, &listing), NSM_E_INVALID,
        "move.yaml:16:18: the destination is that of namespace \"tenant_1\" too, in line "
        "12; give one of them another");
}

static void test_name_in_path(void **state)
{
    (void)state;
    static const char *const harmful[] = {"../../etc", "..", ".", ".hidden", "/x", ""};
    for (size_t i = 0; i < NSM_COUNT_OF(harmful); i++) {
        NSM_CLEANUP(nsm_plan_freep)
        struct nsm_plan *plan = nsm_test_parse(
            NSM_TEST_PLAN_HEAD "  - name: 'n-{schema}'\n"
                               "    for_each: {backend: app, schema: tenant_*}\n"
                               "    source: {backend: app, schema: '{schema}'}\n"
                               "    destination: {backend: dump, file: '{schema}'}\n");
        const char *const schemas[] = {harmful[i], NULL};
        struct listing listing = {.schemas = schemas, .tables = no_names};
        NSM_CLEANUP(nsm_freep)
        char *expected = nsm_xasprintf(
            "move.yaml:9:5: for_each: schema \"%s\": can't be a part of a path", harmful[i]);
        nsm_test_assert_error(nsm_plan_expand(plan, list, &listing), NSM_E_INVALID, expected);
    }
}

static struct nsm_error *list_too_many(void *arg, const struct nsm_plan_template *tmpl,
                                       nsm_name_fn *fn, void *fn_arg)
{
    (void)arg;
    (void)tmpl;
    for (unsigned i = 0; i < 100001; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "t%u", i);
        fn(fn_arg, name);
    }
    return NULL;
}

static void test_too_many_matches(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    nsm_test_assert_error(
        nsm_plan_expand(plan, list_too_many, NULL), NSM_E_INVALID,
        "move.yaml:11:5: for_each: 100000 and more names match \"tenant_*\", too many for "
        "one plan");
}

/* ---- only ---- */

#define FOUR                                                                                \
    NSM_TEST_PLAN_HEAD                                                                      \
    "  - {name: a, source: {backend: cache, prefix: a}, destination: {backend: app}}\n"     \
    "  - {name: bravo, source: {backend: cache, prefix: b}, destination: {backend: app}}\n" \
    "  - {name: c, source: {backend: cache, prefix: c}, destination: {backend: app}}\n"     \
    "  - {name: d, source: {backend: cache, prefix: d}, destination: {backend: app}}\n"

static void test_only(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(FOUR);
    NSM_CLEANUP(nsm_freep) char *fingerprint = nsm_xstrdup(plan->fingerprint);
    const char *const wanted[] = {"d", "bravo", "d"};
    assert_null(nsm_plan_only(plan, wanted, NSM_COUNT_OF(wanted)));
    const char *const names[] = {"bravo", "d"};
    assert_names(plan, names, NSM_COUNT_OF(names));
    assert_string_equal(nsm_settings_string(plan->namespaces[1].source.selection, "prefix"), "d");
    assert_string_equal(plan->fingerprint, fingerprint);
}

static void test_only_unknown(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(FOUR);
    const char *const near[] = {"a", "brvao"};
    nsm_test_assert_error(nsm_plan_only(plan, near, NSM_COUNT_OF(near)), NSM_E_INVALID,
                          "move.yaml: no namespace \"brvao\"; did you mean \"bravo\"?");
    const char *const far[] = {"something else"};
    nsm_test_assert_error(nsm_plan_only(plan, far, NSM_COUNT_OF(far)), NSM_E_INVALID,
                          "move.yaml: no namespace \"something else\"");
    assert_int_equal(plan->n_namespaces, 4);
}

static void test_only_before_expansion(void **state)
{
    (void)state;
    static const char *const schemas[] = {"tenant_1", "tenant_2", NULL};
    struct listing listing = {.schemas = schemas, .tables = no_names};
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = nsm_test_parse(TEMPLATES);
    const char *const wanted[] = {"tenant_2/tenant_2", "a"};
    assert_null(nsm_plan_only(plan, wanted, NSM_COUNT_OF(wanted)));
    assert_null(nsm_plan_expand(plan, list, &listing));
    const char *const names[] = {"a", "tenant_2/tenant_2"};
    assert_names(plan, names, NSM_COUNT_OF(names));

    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *other = nsm_test_parse(TEMPLATES);
    const char *const unknown[] = {"tenant_3/tenant_3"};
    assert_null(nsm_plan_only(other, unknown, NSM_COUNT_OF(unknown)));
    nsm_test_assert_error(nsm_plan_expand(other, list, &listing), NSM_E_INVALID,
                          "move.yaml: no namespace \"tenant_3/tenant_3\"; did you mean "
                          "\"tenant_1/tenant_1\"?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_expand_to_nothing),
        cmocka_unit_test(test_expand_errors),
        cmocka_unit_test(test_expand_passes_errors_on),
        cmocka_unit_test(test_same_destination_after_expansion),
        cmocka_unit_test(test_name_in_path),
        cmocka_unit_test(test_too_many_matches),
        cmocka_unit_test(test_only),
        cmocka_unit_test(test_only_unknown),
        cmocka_unit_test(test_only_before_expansion),
    };
    return cmocka_run_group_tests_name("plan_expand", tests, NULL, NULL);
}
