/* The adapter in adapters/template/, loaded as the shared object that it is built as. */
#include "adapters/registry.h"

#include <stdio.h>

#include "tests/support/conformance.h"

int main(void)
{
    const char *const path = getenv("NSM_TEMPLATE"); /* NOLINT(concurrency-mt-unsafe) */
    NSM_CLEANUP(nsm_registry_freep) struct nsm_registry *registry = nsm_registry_new();
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error =
        path ? nsm_registry_load(registry, path)
             : nsm_error_new(NSM_E_INVALID, "NSM_TEMPLATE: expected the path of template.so");
    if (error) {
        char *text = nsm_error_text(error);
        (void)fprintf(stderr, "%s\n", text);
        free(text);
        return 1;
    }
    struct conformance_fixture fixture = {
        .name = "template",
        .adapter = nsm_registry_find(registry, "template"),
        .model = NSM_CAP_ROWS,
        .n_served = 10,
    };
    return conformance_run(&fixture);
}
