/* The adapter `file` under the conformance suite: rows and keys, plain and compressed. */
#include "adapters/file/file.h"

#include "migrate/base/alloc.h"
#include "tests/support/conformance.h"

struct place {
    char *folder, *path;
};

static void fresh(struct conformance_fixture *fixture)
{
    struct place *const place = fixture->state;
    place->folder = conformance_make_folder();
    place->path = nsm_xasprintf("%s/dump", place->folder);
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
    static const struct {
        const char *name, *compress;
        unsigned model;
    } runs[] = {
        {"file, rows", "none", NSM_CAP_ROWS},
        {"file, keys", "none", NSM_CAP_KEYS},
        {"file, rows, zstd", "zstd", NSM_CAP_ROWS},
        {"file, keys, zstd", "zstd", NSM_CAP_KEYS},
    };
    int n_failed = 0;
    for (size_t i = 0; i < NSM_COUNT_OF(runs); i++) {
        struct place place = {0};
        struct conformance_fixture fixture = {
            .name = runs[i].name,
            .adapter = &nsm_adapter_file,
            .backend = {"compress", runs[i].compress},
            .missing = {"folder", "no-such-folder"},
            .model = runs[i].model,
            .fresh = fresh,
            .done = done,
            .state = &place,
        };
        n_failed += conformance_run(&fixture);
    }
    return n_failed;
}
