/*
 * The adapter `memory`, for tests: a source of deterministic records, a destination in the memory
 * of the process, and faults to order in both.
 *
 * A backend with the option `store: NAME` works on a store that lives as long as the process, so
 * that a second run in the process finds what the first one wrote. The functions below look at such
 * a store from a test.
 *
 * Threads: all functions may be called from any thread.
 */
#ifndef NSM_ADAPTERS_MEMORY_H
#define NSM_ADAPTERS_MEMORY_H

#include "adapters/adapter.h"

extern const struct nsm_adapter nsm_adapter_memory;

/* What the backends of a store have done since it was made. */
struct nsm_memory_counts {
    uint64_t n_read;         /* records handed out by readers, generated or stored */
    uint64_t n_written;      /* records that checkpoints have committed */
    uint64_t n_discarded;    /* records that writers were given and closed without a checkpoint */
    uint64_t n_checkpoints;  /* committed */
    uint64_t n_prepared;     /* namespaces, each time */
    uint64_t n_finish_steps; /* done, each time */
    uint64_t n_completed;    /* namespaces, each time */
    uint64_t n_readers, n_writers;     /* that are open now */
    uint64_t max_readers, max_writers; /* that were open at once */
};

/* Zeros when there is no store of that name. */
void nsm_memory_store_counts(const char *name, struct nsm_memory_counts *ret);

/* How many records stand in a namespace of the store, over all its objects; 0 when there is none. */
uint64_t nsm_memory_store_records(const char *name, const char *namespace_name);

/* Forgets the store and all that is in it. No backend may be open on it. */
void nsm_memory_store_drop(const char *name);

#endif
