/*
 * A hash table from bytes to the index of an element in an array that its owner keeps: open
 * addressing, no removal (an owner that removes elements builds its index anew).
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_MEMORY_INDEX_H
#define NSM_ADAPTERS_MEMORY_INDEX_H

#include "migrate/base/str.h"

#include <stdint.h>

#define MEMORY_INDEX_NONE SIZE_MAX

struct memory_index_slot {
    uint64_t hash;
    size_t id_plus_one; /* 0: free */
};

struct memory_index {
    struct memory_index_slot *slots;
    size_t n_slots, n_used;
};

uint64_t memory_hash(struct nsm_str bytes);

/* Whether the element `id` of `owner` is the one of that key. */
typedef bool memory_index_equals_fn(const void *owner, size_t id, struct nsm_str key);

/* The element's index, or MEMORY_INDEX_NONE. */
size_t memory_index_find(const struct memory_index *index, struct nsm_str key,
                         memory_index_equals_fn *equals, const void *owner);
/* The key must not be there yet. */
void memory_index_add(struct memory_index *index, struct nsm_str key, size_t id);
void memory_index_release(struct memory_index *index);

#endif
