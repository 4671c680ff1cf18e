/*
 * Batches are filled, handed over and cleared over and over, so all of their memory is kept from
 * one filling to the next: the array of records on the heap, the rest in the arena.
 */
#include "migrate/engine/record/batch.h"

#include <assert.h>

#include "migrate/base/alloc.h"

/* A batch that is nearly full may still take one row of the largest size. */
#define MAX_RAW_BYTES (2 * NSM_MAX_VALUE_BYTES)

static const char *const lane_names[NSM_N_LANES] = {
    [NSM_LANE_RECORD] = "record",
    [NSM_LANE_PGCOPY] = "pgcopy",
    [NSM_LANE_REDIS_DUMP] = "redis-dump",
};

const char *nsm_lane_name(enum nsm_lane lane)
{
    assert((size_t)lane < NSM_N_LANES);
    return lane_names[lane];
}

void nsm_batch_init(struct nsm_batch *batch, enum nsm_lane lane)
{
    *batch = (struct nsm_batch){
        .lane = lane,
        .arena = NSM_ARENA_INIT,
        .raw = NSM_BUF_INIT(MAX_RAW_BYTES),
    };
}

void nsm_batch_release(struct nsm_batch *batch)
{
    if (!batch)
        return;
    nsm_arena_release(&batch->arena);
    nsm_buf_release(&batch->raw);
    free(batch->records);
    batch->records = NULL;
    batch->n_records = 0;
    batch->cap_records = 0;
}

void nsm_batch_clear(struct nsm_batch *batch)
{
    nsm_arena_clear(&batch->arena);
    nsm_buf_clear(&batch->raw);
    batch->n_records = 0;
    batch->n_raw_records = 0;
    batch->n_bytes = 0;
    batch->digest = (struct nsm_digest){0};
    batch->resume = (struct nsm_str){0};
    batch->n_vanished = 0;
}

uint64_t nsm_batch_count(const struct nsm_batch *batch)
{
    uint64_t count = batch->n_raw_records;
    for (size_t index = 0; index < batch->n_records; index++)
        count += !(batch->records[index].flags & NSM_RECORD_CONTINUED);
    return count;
}

struct nsm_record *nsm_batch_add(struct nsm_batch *batch, enum nsm_kind kind, size_t n_items)
{
    NSM_GROW(batch->records, batch->n_records, batch->cap_records);
    struct nsm_record *const record = &batch->records[batch->n_records++];
    *record = (struct nsm_record){
        .kind = kind,
        .key = {.ptr = "", .len = 0},
        .expires_at_ms = NSM_NO_EXPIRY,
        .items = nsm_arena_calloc(&batch->arena, n_items, sizeof(struct nsm_value)),
        .n_items = n_items,
    };
    static_assert(NSM_NULL == 0, "zeroed items are NULLs");
    return record;
}

void nsm_batch_account(struct nsm_batch *batch)
{
    assert(batch->n_records > 0);
    const struct nsm_record *const record = &batch->records[batch->n_records - 1];
    uint64_t n_bytes = record->key.len;
    for (size_t index = 0; index < record->n_items; index++)
        n_bytes += record->items[index].bytes.len;
    batch->n_bytes += n_bytes;
}

struct nsm_str nsm_batch_copy(struct nsm_batch *batch, struct nsm_str bytes)
{
    return nsm_arena_copy(&batch->arena, bytes);
}

struct nsm_error *nsm_batch_add_raw(struct nsm_batch *batch, struct nsm_str row)
{
    if (row.len > NSM_MAX_VALUE_BYTES) {
        return nsm_error_new(NSM_E_NOMEM, "a row of %zu bytes is larger than the most of %zu",
                             row.len, NSM_MAX_VALUE_BYTES);
    }
    nsm_buf_append_str(&batch->raw, row);
    NSM_TRY(nsm_buf_error(&batch->raw));
    batch->n_raw_records++;
    batch->n_bytes += row.len;
    if (batch->wants_digest)
        nsm_digest_add_raw(&batch->digest, row);
    return NULL;
}
