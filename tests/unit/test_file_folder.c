/*
 * What stands in the folders of the adapter `file`: whose it is, what it is called, and what may be
 * removed.
 */
#include "tests/support/file_rig.h"

#include <unistd.h>

static void what_stands_is_a_conflict(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "app", 6);

    /* this run's own is none, nor what the core says is ours */
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_CONFLICT), 0);
    rig.backend->run_id = "run-2";
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, true);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_CONFLICT), 0);

    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_CONFLICT), 1);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_REFUSAL), 0);
    rig_assert_error(nsm_adapter_file.prepare(&rig.destination, rig.ctx), NSM_E_CONFLICT, "app");
    static const enum nsm_if_exists by_key[] = {NSM_IF_EXISTS_MERGE, NSM_IF_EXISTS_SKIP};
    for (size_t index = 0; index < NSM_COUNT_OF(by_key); index++) {
        rig_inspect(&rig, "app", by_key[index], false);
        assert_int_equal(rig_count_findings(&rig, NSM_FINDING_REFUSAL), 1);
        rig_assert_error(nsm_adapter_file.prepare(&rig.destination, rig.ctx), NSM_E_CONFLICT,
                         "app");
        rig_inspect(&rig, "fresh", by_key[index], false);
        assert_int_equal(rig_count_findings(&rig, NSM_FINDING_REFUSAL), 0);
    }
    struct nsm_digest digest = {0};
    rig_assert_ok(rig_read_all(&rig, "app", &digest));
    assert_int_equal(digest.n_records, 6);
    rig_end(&rig);
}

static void replace_removes_only_ours(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "app", 6);
    rig.backend->run_id = "run-2";

    char *const foreign = rig_path_of(&rig, "app/looks.like.ours.jsonl");
    rig_save(foreign, "{}\n", 3);
    rig_inspect(&rig, "app", NSM_IF_EXISTS_REPLACE, false);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_REFUSAL), 1);
    rig_assert_error(nsm_adapter_file.prepare(&rig.destination, rig.ctx), NSM_E_CONFLICT,
                     "looks.like.ours.jsonl");
    assert_true(rig_exists(&rig, "app/users.0.jsonl"));
    assert_int_equal(unlink(foreign), 0);
    free(foreign);

    rig_inspect(&rig, "app", NSM_IF_EXISTS_REPLACE, false);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_REFUSAL), 0);
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_CONFLICT), 1);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    assert_false(rig_exists(&rig, "app/users.0.jsonl"));
    assert_false(rig_exists(&rig, "app/manifest.json"));
    rig_export_rows(&rig, "app", 9);
    struct nsm_digest digest = {0};
    rig_assert_ok(rig_read_all(&rig, "app", &digest));
    assert_int_equal(digest.n_records, 9);

    /* an unfinished export of another run goes too */
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "app/1", NULL, &writing);
    rig_close_writer(&writing);
    rig.backend->run_id = "run-3";
    rig_inspect(&rig, "app", NSM_IF_EXISTS_REPLACE, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    assert_false(rig_exists(&rig, "app/users.1.jsonl"));
    assert_false(rig_exists(&rig, "app/users.1.jsonl.progress"));
    rig_end(&rig);
}

static void reset_removes_one_object(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_shape_table(&rig, "user");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    for (size_t object = 0; object < 2; object++) {
        struct rig_writing writing;
        rig_open_writer(&rig, object, object == 0 ? "app/0" : "app/1", NULL, &writing);
        rig_write_rows(&rig, &writing, 0, 5);
        rig_checkpoint(&rig, &writing, "", true);
        rig_close_writer(&writing);
    }
    rig_finish(&rig);
    char *const foreign = rig_path_of(&rig, "app/user.notes");
    rig_save(foreign, "mine", 4);
    rig_assert_ok(nsm_adapter_file.reset_object(&rig.destination, rig.ctx, 1));
    rig_assert_ok(nsm_adapter_file.reset_object(&rig.destination, rig.ctx, 1));
    assert_true(rig_exists(&rig, "app/user.notes"));
    free(foreign);
    assert_true(rig_exists(&rig, "app/users.0.jsonl"));
    assert_true(rig_exists(&rig, "app/users.0.jsonl.progress"));
    assert_false(rig_exists(&rig, "app/user.1.jsonl"));
    assert_false(rig_exists(&rig, "app/user.1.jsonl.progress"));
    assert_false(rig_exists(&rig, "app/manifest.json"));
    rig_finish(&rig);
    rig_finish(&rig);
    rig_assert_ok(nsm_adapter_file.complete(&rig.destination, rig.ctx));
    rig_assert_ok(nsm_adapter_file.complete(&rig.destination, rig.ctx));
    rig_finish(&rig);
    assert_false(rig_exists(&rig, "app/users.0.jsonl.progress"));
    struct nsm_digest digest = {0};
    rig_assert_ok(rig_read_all(&rig, "app", &digest));
    assert_int_equal(digest.n_records, 5);
    rig_end(&rig);
}

/* Names that would leave the folder, hide, collide or not fit. */
static void names_are_made_safe(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    char *const long_name = nsm_xmalloc(601);
    memset(long_name, 'x', 600);
    long_name[600] = '\0';
    const char *const names[] = {
        "../../etc/passwd", "..",   ".hidden", "a b*c.d", "gr\xc3\xbc\xc3\x9f",
        "\xff\xfe",         "same", "same",    long_name, "keys"};
    for (size_t index = 0; index < NSM_COUNT_OF(names); index++)
        rig_shape_table(&rig, names[index]);
    rig_shape_keys(&rig, NSM_STR_LIT(""));
    rig_inspect(&rig, "../up/.and", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    for (size_t object = 0; object < NSM_COUNT_OF(names); object++) {
        struct rig_writing writing;
        char *const part_id = nsm_xasprintf("../up/.and/%zu", object);
        rig_open_writer(&rig, object, part_id, NULL, &writing);
        rig_write_rows(&rig, &writing, 0, object + 1);
        rig_checkpoint(&rig, &writing, "", true);
        rig_close_writer(&writing);
        free(part_id);
    }
    rig_finish(&rig);
    assert_true(rig_exists(&rig, "%2E.%2Fup%2F.and/manifest.json"));
    assert_true(rig_exists(&rig, "%2E.%2Fup%2F.and/%2E%2E%2F%2E%2E%2Fetc%2Fpasswd.0.jsonl"));
    assert_true(rig_exists(&rig, "%2E.%2Fup%2F.and/same.6.jsonl"));
    assert_true(rig_exists(&rig, "%2E.%2Fup%2F.and/same~7.7.jsonl"));
    struct rig_reading reading;
    rig_assert_ok(rig_survey(&rig, "../up/.and", &reading));
    assert_int_equal(reading.source.census.n_parts, NSM_COUNT_OF(names));
    for (size_t part = 0; part < NSM_COUNT_OF(names); part++) {
        const struct nsm_part *const found = &reading.source.census.parts[part];
        assert_int_equal(found->n_records, found->object + 1);
        rig_assert_ok(rig_read_part(&rig, &reading, part, 100, false));
    }
    rig_end_reading(&reading);
    free(long_name);
    rig_end(&rig);
}

static void bad_folders_are_refused(void **state)
{
    (void)state;
    static const char *const folders[] = {"", "..", ".", "a/b", "/etc", ".x", "a\nb", "\xff"};
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    for (size_t index = 0; index < NSM_COUNT_OF(folders); index++) {
        struct nsm_settings *const side = nsm_settings_new(nsm_adapter_file.source_options);
        rig_assert_ok(nsm_settings_set(side, "folder", nsm_str_of(folders[index])));
        rig_assert_ok(nsm_settings_finish(side));
        struct nsm_source source = {
            .backend = rig.backend, .namespace_name = "app", .selection = side};
        struct nsm_source *sources[] = {&source};
        rig_assert_error(nsm_adapter_file.survey(rig.backend, rig.ctx, sources, 1), NSM_E_INVALID,
                         "folder:");
        nsm_adapter_file.release_source(&source);
        nsm_census_release(&source.census);
        nsm_settings_free(side);
    }
    rig_end(&rig);
}

static void two_namespaces_need_two_folders(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    struct nsm_settings *const side = nsm_settings_new(nsm_adapter_file.destination_options);
    rig_assert_ok(nsm_settings_set(side, "folder", NSM_STR_LIT("app")));
    rig_assert_ok(nsm_settings_finish(side));
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_close_destination(&rig);
    rig.destination = (struct nsm_destination){.backend = rig.backend,
                                               .namespace_name = "app",
                                               .selection = rig.side,
                                               .shape = &rig.shape};
    struct nsm_destination other = rig.destination;
    other.namespace_name = "other";
    other.selection = side;
    struct nsm_destination *both[] = {&other, &rig.destination};
    rig_assert_ok(nsm_adapter_file.inspect(rig.backend, rig.ctx, both, 2));
    assert_int_equal(rig_count_findings(&rig, NSM_FINDING_REFUSAL), 1);
    nsm_adapter_file.release_destination(&other);
    nsm_census_release(&other.target);
    nsm_settings_free(side);
    rig_end(&rig);
}

static void count_names(void *arg, const char *name)
{
    assert_string_equal(name, "tenant_1");
    ++*(size_t *)arg;
}

static void folders_are_listed_and_checked(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "tenant_1", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "tenant_1", 2);
    rig_inspect(&rig, "tenant_2", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    rig_inspect(&rig, "other", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "other", 2);
    size_t n_found = 0;
    rig_assert_ok(
        nsm_adapter_file.list(rig.backend, rig.ctx, "folder", "tenant_*", count_names, &n_found));
    assert_int_equal(n_found, 1);

    struct nsm_health health = {0};
    rig_assert_ok(nsm_adapter_file.check(rig.backend, rig.ctx, &health));
    assert_non_null(strstr(health.details, rig.path));
    assert_int_equal(health.findings.n_items, 0);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    rig_end(&rig);
}

static void missing_backends_are_made(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_close_backend(&rig);
    char *const above = rig.path;
    rig.path = nsm_xasprintf("%s/a/b", above);
    rig_open_backend(&rig, "none", "run-1");
    struct nsm_health health = {0};
    rig_assert_ok(nsm_adapter_file.check(rig.backend, rig.ctx, &health));
    assert_int_equal(health.findings.n_items, 1);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    assert_false(rig_exists(&rig, "app"));
    rig_export_rows(&rig, "app", 2);
    assert_true(rig_exists(&rig, "app/manifest.json"));
    rig_end(&rig);
    rig_remove_tree(above);
    free(above);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_is_a_conflict),
        cmocka_unit_test(replace_removes_only_ours),
        cmocka_unit_test(reset_removes_one_object),
        cmocka_unit_test(names_are_made_safe),
        cmocka_unit_test(bad_folders_are_refused),
        cmocka_unit_test(two_namespaces_need_two_folders),
        cmocka_unit_test(folders_are_listed_and_checked),
        cmocka_unit_test(missing_backends_are_made),
    };
    return cmocka_run_group_tests_name("file_folder", tests, NULL, NULL);
}
