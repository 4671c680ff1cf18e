/* Payloads of DUMP: whatever the bytes, reading ends in a record that can be walked, or in none. */
#include <stddef.h>
#include <stdint.h>

#include "adapters/redis/redis_payload.h"
#include "migrate/engine/record/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_record record = {.kind = NSM_KIND_DUMP};
    const struct nsm_str payload = {.ptr = (const char *)data, .len = size};
    if (!nsm_redis_payload_read(payload, &arena, &record)) {
        /* A record that was not told is as it was. */
        if (record.kind != NSM_KIND_DUMP || record.items)
            __builtin_trap();
        return 0;
    }
    volatile struct nsm_hash hash = nsm_record_hash(&record, 0, 0);
    (void)hash;
    return 0;
}
