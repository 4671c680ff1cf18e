/*
 * plan_columns.c and columns.c: what a plan says of columns and keys, and what is chosen of a census by it.
 */
#include "migrate/base/alloc.h"
#include "migrate/engine/columns.h"
#include "migrate/engine/layout.h"
#include "tests/support/expect.h"
#include "tests/support/plan_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What is given stands in line 12, behind four blanks. */
#define ROWS(rest)                                                   \
    NSM_TEST_PLAN_HEAD "  - name: a\n"                               \
                       "    source: {backend: app, schema: s}\n"     \
                       "    destination: {backend: dr, schema: t}\n" \
                       "    " rest "\n"
/* In line 11, behind "    destination: {backend: cache, ". */
#define KEYS(rest)                                               \
    NSM_TEST_PLAN_HEAD "  - name: a\n"                           \
                       "    source: {backend: app, schema: s}\n" \
                       "    destination: {backend: cache, " rest "}\n"

static void test_forms(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *list = nsm_test_parse(ROWS("columns: [id, 'true']"));
    const struct nsm_plan_namespace *ns = &list->namespaces[0];
    assert_int_equal(ns->n_columns, 1);
    assert_null(ns->columns[0].table);
    assert_int_equal(ns->columns[0].n_items, 2);
    assert_string_equal(ns->columns[0].items[1].name, "true");
    assert_string_equal(ns->columns[0].items[1].to, "true");
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *map = nsm_test_parse(ROWS("columns: {id: uid, b: id}"));
    assert_string_equal(map->namespaces[0].columns[0].items[0].to, "uid");
    assert_string_equal(map->namespaces[0].columns[0].items[1].name, "b");
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *tables = nsm_test_parse(ROWS("columns: {app.u: [id], v: {x: y}}"));
    ns = &tables->namespaces[0];
    assert_int_equal(ns->n_columns, 2);
    assert_string_equal(ns->columns[0].table, "app.u");
    assert_string_equal(ns->columns[1].items[0].to, "y");
    /* each of them decides what is moved */
    assert_string_not_equal(list->fingerprint, map->fingerprint);
    assert_string_not_equal(tables->fingerprint, map->fingerprint);
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *key = nsm_test_parse(KEYS("key: 'u:{id}'"));
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *other = nsm_test_parse(KEYS("key: 'v:{id}'"));
    assert_int_equal(key->namespaces[0].key.n_pieces, 2);
    assert_string_not_equal(key->fingerprint, other->fingerprint);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {ROWS("columns: []"),
         "move.yaml:12:14: columns: expected 1 to 2000 columns, as [id, name] or {id: user_id}"},
        {ROWS("columns: id"),
         "move.yaml:12:14: columns: expected 1 to 2000 columns, as [id, name] or {id: user_id}"},
        {ROWS("columns: {t: {}}"),
         "move.yaml:12:18: columns: expected 1 to 2000 columns, as [id, name] or {id: user_id}"},
        {ROWS("columns: {t: [a], u: b}"),
         "move.yaml:12:26: columns: expected 1 to 2000 columns, as [id, name] or {id: user_id}"},
        {ROWS("columns: [a, b, a]"), "move.yaml:12:21: columns: \"a\" stands there twice"},
        {ROWS("columns: {a: c, b: c}"),
         "move.yaml:12:21: columns: two columns would be called \"c\""},
        {ROWS("columns: [a, '']"),
         "move.yaml:12:18: columns: expected a column's name, found \"\""},
        {ROWS("columns: [[a]]"),
         "move.yaml:12:15: columns: expected a column's name, found a sequence"},
        {ROWS("columns: {a: }"),
         "move.yaml:12:18: columns: expected the column's name at the destination, found nothing"},
        {NSM_TEST_PLAN_HEAD
         "  - {name: a, source: {backend: cache}, destination: {backend: dr}, columns: [a]}\n",
         "move.yaml:9:78: columns: they are chosen of tables, and keys has none"},
        {KEYS("key: 'u'"),
         "move.yaml:11:40: key: expected columns in braces, as in \"user:{id}\", found none"},
        {KEYS("key: ''"),
         "move.yaml:11:40: key: expected columns in braces, as in \"user:{id}\", found nothing"},
        {KEYS("key: 'u:{id'"),
         "move.yaml:11:40: key: the { at byte 2 has no }; a brace itself is written {{ or }}"},
        {KEYS("layout: kv, key: 'u:{id}'"),
         "move.yaml:11:52: key: it is for rows that become keys, in layout hash or json"},
        {NSM_TEST_PLAN_HEAD
         "  - {name: a, source: {backend: app, schema: s}, destination: {backend: dr, schema: t, key: '{a}'}}\n",
         "move.yaml:9:93: key: it is for rows that become keys, in layout hash or json"},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++)
        nsm_test_assert_invalid(nsm_str_of(cases[at].yaml), cases[at].message);
}

static void test_too_many(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_INIT(1 << 20);
    nsm_buf_append_cstr(
        &yaml, NSM_TEST_PLAN_HEAD
        "  - {name: a, source: {backend: app, schema: s}, destination: {backend: dr}, columns: [");
    for (int at = 0; at < 2001; at++)
        nsm_buf_printf(&yaml, "c%d, ", at);
    nsm_buf_append_cstr(&yaml, "]}\n");
    nsm_test_assert_invalid(
        nsm_buf_view(&yaml),
        "move.yaml:9:87: columns: expected 1 to 2000 columns, as [id, name] or {id: user_id}");
}

static struct nsm_error *list_one(void *arg, const struct nsm_plan_template *tmpl, nsm_name_fn *fn,
                                  void *fn_arg)
{
    (void)tmpl;
    fn(fn_arg, arg);
    return NULL;
}

static void test_for_each(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep)
    struct nsm_plan *plan = nsm_test_parse(
        NSM_TEST_PLAN_HEAD "  - name: '{schema}'\n"
                           "    for_each: {backend: app, schema: t*}\n"
                           "    source: {backend: app, schema: '{schema}'}\n"
                           "    destination: {backend: cache, key: '{id}{schema}{at}'}\n"
                           "    columns: {'{schema}.u': [id, at]}\n");
    char minus[] = "-t";
    assert_null(nsm_plan_expand(plan, list_one, minus));
    const struct nsm_plan_namespace *const ns = &plan->namespaces[0];
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_key_template_write(&ns->key, &text);
    assert_string_equal(text.ptr, "{id}-t{at}");
    assert_string_equal(ns->columns[0].table, "-t.u");
}

/* ---- what is chosen ---- */

struct choice {
    struct nsm_column columns[3];
    size_t key[2];
    struct nsm_census census;
    struct nsm_columns chosen;
    struct nsm_findings findings;
};

static struct nsm_error *choose(const char *yaml, struct nsm_plan **ret_plan, struct choice *choice)
{
    *choice = (struct choice){
        .columns = {{.name = "id", .type = NSM_INT, .type_name = "bigint"},
                    {.name = "name", .type = NSM_TEXT, .type_name = "text"},
                    {.name = "part", .type = NSM_INT, .type_name = "bigint"}},
        .key = {0, 2},
        .census = {.identity = "t"},
    };
    static const char *const schemas[] = {"app", "old"};
    for (size_t at = 0; at < 2; at++)
        *nsm_census_add_object(&choice->census) = (struct nsm_object){.name = "u",
                                                                      .schema = schemas[at],
                                                                      .model = NSM_MODEL_ROWS,
                                                                      .columns = choice->columns,
                                                                      .n_columns = 3,
                                                                      .key_columns = choice->key,
                                                                      .n_key_columns = 2,
                                                                      .version = ""};
    *ret_plan = nsm_test_parse(yaml);
    return nsm_columns_choose(*ret_plan, &(*ret_plan)->namespaces[0], &choice->census,
                              &choice->chosen, &choice->findings);
}

static void release(struct choice *choice)
{
    nsm_columns_release(&choice->chosen);
    nsm_findings_release(&choice->findings);
    nsm_census_release(&choice->census);
}

static void test_choice(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = NULL;
    NSM_CLEANUP(release) struct choice choice;
    nsm_assert_ok(choose(ROWS("columns: {app.u: {part: p, id: id}}"), &plan, &choice));
    const struct nsm_object *const table = &choice.chosen.census.objects[0];
    assert_int_equal(table->n_columns, 2);
    assert_string_equal(table->columns[0].name, "p");
    assert_int_equal(table->n_key_columns, 2);
    assert_int_equal(table->key_columns[0], 1);
    assert_int_equal(table->key_columns[1], 0);
    assert_int_equal(choice.chosen.census.objects[1].n_columns, 3);
    assert_string_equal(choice.findings.items[0].text,
                        "table u: 2 of 3 columns are chosen; left out: name");
    assert_int_equal(choice.findings.items[0].kind, NSM_FINDING_NOTE);
    /* this reader gives all columns, and the layout takes the chosen ones out */
    assert_int_equal(choice.census.objects[0].n_columns, 3);
    NSM_CLEANUP(nsm_layout_release) struct nsm_layout_stage stage;
    nsm_assert_ok(
        nsm_layout_init(&stage, NSM_LAYOUT_DEFAULT, &choice.chosen.census, NSM_CAP_ROWS, "x"));
    stage.picks = choice.chosen.picks;
    nsm_layout_bind(&stage, &stage.shape, NSM_LAYOUT_SAME_ADAPTER, &choice.findings);
    assert_false(stage.is_identity);
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch in;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch out;
    nsm_batch_init(&in, NSM_LANE_RECORD);
    nsm_batch_init(&out, NSM_LANE_RECORD);
    struct nsm_record *const row = nsm_batch_add(&in, NSM_KIND_ROW, 3);
    row->items[0] = (struct nsm_value){.type = NSM_INT, .bytes = NSM_STR_LIT("7")};
    row->items[2] = (struct nsm_value){.type = NSM_BYTES, .bytes = NSM_STR_LIT("as it is")};
    nsm_assert_ok(nsm_layout_apply(&stage, 0, &in, &out));
    assert_int_equal(out.records[0].n_items, 2);
    assert_int_equal(out.records[0].items[0].type, NSM_BYTES);
    assert_true(nsm_str_equals(out.records[0].items[1].bytes, NSM_STR_LIT("7")));
    /* a reader that gives something else is found out */
    nsm_batch_clear(&in);
    assert_non_null(nsm_batch_add(&in, NSM_KIND_ROW, 2));
    struct nsm_error *const error = nsm_layout_apply(&stage, 0, &in, &out);
    assert_int_equal(nsm_error_code(error), NSM_E_INTERNAL);
    nsm_error_free(error);
}

static void test_wrong_choices(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {ROWS("columns: [id]"), "the source has 2 tables, so say of which"},
        {ROWS("columns: {u: [id]}"), "several tables are called u"},
        {ROWS("columns: {ap.u: [id]}"), "no table \"ap.u\"; did you mean \"app.u\"?"},
        {ROWS("columns: {app.u: [id, nmae]}"),
         "move.yaml:12:27: columns: table u has no column \"nmae\"; did you mean \"name\"?"},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(cases); at++) {
        NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = NULL;
        NSM_CLEANUP(release) struct choice choice;
        struct nsm_error *const error = choose(cases[at].yaml, &plan, &choice);
        assert_non_null(error);
        NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
        if (!strstr(text, cases[at].message))
            fail_msg("%s", text);
        nsm_error_free(error);
    }
}

static void test_key_left_out(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_plan_freep) struct nsm_plan *plan = NULL;
    NSM_CLEANUP(release) struct choice choice;
    nsm_assert_ok(choose(ROWS("columns: {app.u: [id, name]}"), &plan, &choice));
    assert_int_equal(choice.chosen.census.objects[0].n_key_columns, 0);
    assert_string_equal(
        choice.findings.items[0].text,
        "table u: column part of its primary key is left out, so what is written has no key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_too_many),     cmocka_unit_test(test_for_each),
        cmocka_unit_test(test_choice),       cmocka_unit_test(test_wrong_choices),
        cmocka_unit_test(test_key_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
