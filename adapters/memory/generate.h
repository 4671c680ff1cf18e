/*
 * The records that a memory source makes up: the same ones each time, for a namespace's name, an
 * object and an ordinal, with every type and kind among them.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_MEMORY_GENERATE_H
#define NSM_ADAPTERS_MEMORY_GENERATE_H

#include "migrate/engine/record/batch.h"

struct memory_generator {
    const char *namespace_name;
    enum nsm_model model;
    uint64_t n_records;    /* of each object */
    uint64_t value_bytes;  /* of each record's largest value */
    struct nsm_str prefix; /* of keys */
};

/* Bytes of one record, about. */
uint64_t memory_generator_record_bytes(const struct memory_generator *generator);

/* Fills a zeroed object: its columns and key, its counts. */
void memory_generator_describe(const struct memory_generator *generator, struct nsm_arena *arena,
                               size_t object_index, struct nsm_object *object);

/* Appends the record of that ordinal, counted from 0, to the batch. */
void memory_generator_add(const struct memory_generator *generator, size_t object_index,
                          uint64_t ordinal, struct nsm_batch *batch);

#endif
