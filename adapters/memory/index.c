/*
 * The index of a memory store. Slots keep whole hashes, so that growing needs no key and most
 * probes no comparison.
 */
#include "adapters/memory/index.h"

#include "migrate/base/alloc.h"

#include <assert.h>

/* FNV-1a with a final mix, because its low bits alone choose the slot. */
uint64_t memory_hash(struct nsm_str bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

size_t memory_index_find(const struct memory_index *index, struct nsm_str key,
                         memory_index_equals_fn *equals, const void *owner)
{
    if (index->n_slots == 0)
        return MEMORY_INDEX_NONE;
    const uint64_t hash = memory_hash(key);
    const size_t mask = index->n_slots - 1;
    for (size_t at = hash & mask; index->slots[at].id_plus_one; at = (at + 1) & mask) {
        const struct memory_index_slot *const slot = &index->slots[at];
        if (slot->hash == hash && equals(owner, slot->id_plus_one - 1, key))
            return slot->id_plus_one - 1;
    }
    return MEMORY_INDEX_NONE;
}

static void place(struct memory_index_slot *slots, size_t n_slots, struct memory_index_slot slot)
{
    size_t at = slot.hash & (n_slots - 1);
    while (slots[at].id_plus_one)
        at = (at + 1) & (n_slots - 1);
    slots[at] = slot;
}

void memory_index_add(struct memory_index *index, struct nsm_str key, size_t id)
{
    if ((index->n_used + 1) * 4 > index->n_slots * 3) {
        const size_t n_slots = index->n_slots ? index->n_slots * 2 : 16;
        struct memory_index_slot *const slots = nsm_xcalloc(n_slots, sizeof(*slots));
        for (size_t i = 0; i < index->n_slots; i++) {
            if (index->slots[i].id_plus_one)
                place(slots, n_slots, index->slots[i]);
        }
        free(index->slots);
        index->slots = slots;
        index->n_slots = n_slots;
    }
    assert(id < SIZE_MAX);
    const struct memory_index_slot slot = {.hash = memory_hash(key), .id_plus_one = id + 1};
    place(index->slots, index->n_slots, slot);
    index->n_used++;
}

void memory_index_release(struct memory_index *index)
{
    free(index->slots);
    *index = (struct memory_index){0};
}
