/*
 * What a store is made of, for the files that work on it.
 *
 * Threads: a store's mutex guards all of it; who is called with it held says so.
 */
#ifndef NSM_ADAPTERS_MEMORY_STORE_INTERNAL_H
#define NSM_ADAPTERS_MEMORY_STORE_INTERNAL_H

#include "adapters/memory/index.h"
#include "adapters/memory/store.h"

#include <pthread.h>

struct memory_entry {
    uint64_t run; /* hash of the run_id that wrote it */
    struct memory_slice *first, *last;
};

struct memory_object {
    struct nsm_object shape; /* in the store's arena */
    struct nsm_str id;       /* schema, NUL, name */
    uint64_t run;            /* hash of the run_id that made it */
    uint64_t version;
    struct memory_entry *entries; /* in the order in which they came: its index is the ordinal */
    size_t n_entries, cap_entries;
    struct memory_index by_key; /* of entries; unused when rows have no key */
};

struct memory_checkpoint {
    uint64_t run;
    size_t object;
    struct nsm_checkpoint checkpoint; /* strings on the heap */
};

struct memory_namespace {
    char *name;
    struct memory_object *objects;
    size_t n_objects, cap_objects;
    struct memory_index by_id; /* of objects */
    struct memory_checkpoint *checkpoints;
    size_t n_checkpoints, cap_checkpoints;
};

struct memory_store {
    char *name; /* NULL: of one backend alone */
    struct memory_store *next;
    pthread_mutex_t mutex; /* guards all below */
    struct memory_namespace *namespaces;
    size_t n_namespaces, cap_namespaces;
    struct memory_index by_name; /* of namespaces */
    struct nsm_arena arena;      /* of shapes */
    struct nsm_memory_counts counts;
};

/* The process's store of that name, NULL when there is none. */
struct memory_store *memory_stores_find(const char *name);

/* Frees the records; the object stays. With the mutex held. */
void memory_object_clear(struct memory_object *object);
void memory_checkpoint_release(struct memory_checkpoint *held);

#endif
