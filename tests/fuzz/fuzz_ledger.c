/*
 * Any bytes as a ledger: status and a run either read it or refuse it with what is the matter; and a run that took it up can
 * go on to its end, or says why not.
 */
#include <assert.h>
#include <stdint.h>
#include <sys/stat.h>

#include "migrate/base/alloc.h"
#include "migrate/engine/ledger.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char first_name[] = "ns0";
static char second_name[] = "ns1";
static struct nsm_plan_namespace namespaces[] = {{.name = first_name}, {.name = second_name}};

static struct nsm_plan make_plan(char *folder)
{
    struct nsm_plan plan = {
        .path = "plan.yaml",
        .folder = folder,
        .name = "fuzz",
        .namespaces = namespaces,
        .n_namespaces = NSM_COUNT_OF(namespaces),
    };
    memset(plan.fingerprint, 'a', 32);
    return plan;
}

/* Consumes the error; false when there is one. An error of ours would be the user's riddle. */
static bool holds(struct nsm_error *error)
{
    assert(!nsm_error_is(error, NSM_E_INTERNAL) && !nsm_error_is(error, NSM_E_NOMEM));
    nsm_error_free(error);
    return !error;
}

static void read_namespace(struct nsm_ledger *ledger, const char *name)
{
    struct nsm_ledger_namespace ns = {0};
    struct nsm_ledger_parts parts = {0};
    if (holds(nsm_ledger_get(ledger, name, &ns))) {
        assert(ns.step <= NSM_STEP_DONE);
        nsm_ledger_namespace_release(&ns);
    }
    if (holds(nsm_ledger_get_parts(ledger, name, &parts))) {
        for (size_t index = 0; index < parts.n_parts; index++)
            assert(parts.parts[index].object_name && parts.parts[index].object_schema);
        nsm_ledger_parts_release(&parts);
    }
}

static void read_all(struct nsm_ledger *ledger)
{
    struct nsm_ledger_run run = {0};
    if (holds(nsm_ledger_read_run(ledger, &run))) {
        assert(run.run_id && run.fingerprint);
        for (size_t index = 0; index < run.n_namespaces; index++)
            assert(run.namespaces[index].name);
        nsm_ledger_run_release(&run);
    }
    read_namespace(ledger, first_name);
    read_namespace(ledger, second_name);
}

static void look(const struct nsm_plan *plan)
{
    struct nsm_ledger *ledger = NULL;
    if (!holds(nsm_ledger_open(plan, NSM_LEDGER_READ_ONLY, &ledger)))
        return;
    read_all(ledger);
    (void)holds(nsm_ledger_close(ledger));
}

static void go_on(const struct nsm_plan *plan)
{
    struct nsm_ledger *ledger = NULL;
    if (!holds(nsm_ledger_open(plan, 0, &ledger)))
        return;
    assert(strlen(nsm_ledger_run_id(ledger)) == 16);
    if (holds(nsm_ledger_begin(ledger, plan))) {
        read_all(ledger);
        const struct nsm_checkpoint checkpoint = {
            .part_id = NSM_STR_LIT("ns0/1"),
            .resume = {.ptr = "t\0k", .len = 3},
            .n_records = 7,
        };
        nsm_ledger_put_checkpoint(ledger, &checkpoint);
        nsm_ledger_set_status(ledger, second_name, "failed", "why", 0.5);
        (void)holds(nsm_ledger_set_step(ledger, first_name, NSM_STEP_DONE));
        read_all(ledger);
    }
    (void)holds(nsm_ledger_close(ledger));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *folder NSM_CLEANUP(nsm_freep) = nsm_xstrdup(fuzz_folder());
    const struct nsm_plan plan = make_plan(folder);
    static const char *const folders[] = {".nsmigrate", ".nsmigrate/fuzz"};
    fuzz_clear_folder();
    for (size_t index = 0; index < NSM_COUNT_OF(folders); index++) {
        char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/%s", folder, folders[index]);
        const int made = mkdir(path, 0700);
        assert(made == 0);
        (void)made;
    }
    fuzz_write_file(".nsmigrate/fuzz/ledger.db",
                    (struct nsm_str){.ptr = (const char *)data, .len = size});
    look(&plan);
    go_on(&plan);
    look(&plan);
    return 0;
}
