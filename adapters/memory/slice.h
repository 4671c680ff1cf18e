/*
 * A record, or a slice of one, in one piece of memory of its own, with the key under which it is
 * kept.
 *
 * Threads: immutable but for `next`, which belongs to whoever holds the slice.
 */
#ifndef NSM_ADAPTERS_MEMORY_SLICE_H
#define NSM_ADAPTERS_MEMORY_SLICE_H

#include "migrate/engine/record/batch.h"

struct memory_slice {
    struct memory_slice *next; /* of the same key */
    struct nsm_str key; /* rows: their values in the key columns; empty where there are none */
    struct nsm_record record; /* all pointers lead into this piece */
};

/* Copies the record; the first `skip_key_bytes` of its key are replaced by `prefix`. Free with
 * free(). */
struct memory_slice *memory_slice_new(const struct nsm_record *record,
                                      const struct nsm_object *object, size_t skip_key_bytes,
                                      struct nsm_str prefix) NSM_MUST_USE NSM_NONNULL;
/* Frees the slice and those behind it. */
void memory_slice_free_all(struct memory_slice *first);

/* Appends a copy of the slice's record to the batch. */
void memory_slice_read(const struct memory_slice *slice, struct nsm_batch *batch);

#endif
