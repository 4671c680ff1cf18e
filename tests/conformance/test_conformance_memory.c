/* The adapter `memory` under the conformance suite, with rows and with keys. */
#include "adapters/memory/memory.h"

#include "tests/support/conformance.h"

static void fresh(struct conformance_fixture *fixture)
{
    (void)fixture;
    nsm_memory_store_drop("conformance");
}

int main(void)
{
    struct conformance_fixture rows = {
        .name = "memory, rows",
        .adapter = &nsm_adapter_memory,
        .backend = {"store", "conformance"},
        .model = NSM_CAP_ROWS,
        .fresh = fresh,
        .done = fresh,
    };
    struct conformance_fixture keys = rows;
    keys.name = "memory, keys";
    keys.model = NSM_CAP_KEYS;
    return conformance_run(&rows) + conformance_run(&keys);
}
