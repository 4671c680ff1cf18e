/* The adapter `sqlite` under the conformance suite. */
#include "adapters/sqlite/sqlite.h"

#include "migrate/base/alloc.h"
#include "tests/support/conformance.h"

struct place {
    char *folder, *path;
};

static void fresh(struct conformance_fixture *fixture)
{
    struct place *const place = fixture->state;
    place->folder = conformance_make_folder();
    place->path = nsm_xasprintf("%s/store.db", place->folder);
    conformance_set(fixture->backend, "path", place->path);
}

static void done(struct conformance_fixture *fixture)
{
    struct place *const place = fixture->state;
    conformance_remove_folder(place->folder);
    free(place->path);
}

int main(void)
{
    struct place place = {0};
    struct conformance_fixture fixture = {
        .name = "sqlite",
        .adapter = &nsm_adapter_sqlite,
        .missing = {"tables", "no_such_table"},
        .model = NSM_CAP_ROWS,
        .fresh = fresh,
        .done = done,
        .state = &place,
    };
    return conformance_run(&fixture);
}
