/*
 * What a memory backend holds: namespaces of objects of records, with their checkpoints. Records
 * are kept slice by slice as they were written, so that a big key reads back in the slices in which
 * it came, and its digest is the same.
 *
 * Threads: internally locked, one mutex per store. No function calls back while it holds it.
 */
#ifndef NSM_ADAPTERS_MEMORY_STORE_H
#define NSM_ADAPTERS_MEMORY_STORE_H

#include "adapters/adapter.h"
#include "adapters/memory/memory.h"
#include "adapters/memory/slice.h"

struct memory_store;

/* `name` NULL: a store of its own, freed by close. Else the process's store of that name, made when
 * there is none. */
struct memory_store *memory_store_open(const char *name) NSM_MUST_USE NSM_NONNULL;
void memory_store_close(struct memory_store *store);

/* ---- counts ---- */

enum memory_count {
    MEMORY_COUNT_READ,
    MEMORY_COUNT_DISCARDED,
    MEMORY_COUNT_FINISH_STEPS,
};
void memory_store_count(struct memory_store *store, enum memory_count what, uint64_t n);
/* `change` is 1 or -1: a reader or writer was opened or closed. */
void memory_store_count_reader(struct memory_store *store, int change);
void memory_store_count_writer(struct memory_store *store, int change);

/* ---- looking ---- */

/* Adds the namespace's objects to the census, with exact counts; false when there is no such
 * namespace. With `only`, just those objects, in that order, empty where they are missing. */
bool memory_store_describe(struct memory_store *store, const char *namespace_name,
                           const struct nsm_census *only, struct nsm_census *census) NSM_MUST_USE;

/* Of an object that stands there: how many records it holds, and whether this run made it. */
bool memory_store_find(struct memory_store *store, const char *namespace_name,
                       const struct nsm_object *object, const char *run_id, uint64_t *ret_n_records,
                       bool *ret_is_ours) NSM_MUST_USE;

/* Calls fn with the namespaces whose names match, in order of name; no lock is held then. */
void memory_store_list(struct memory_store *store, const char *glob, nsm_name_fn *fn, void *arg);

/* Copies records of the object from ordinal `from` on, up to `end` or to the request's batch size,
 * into the batch. Returns the ordinal behind them. */
uint64_t memory_store_read(struct memory_store *store, const char *namespace_name,
                           const struct nsm_read_request *request, uint64_t from, uint64_t end,
                           struct nsm_batch *batch);

/* ---- changing ---- */

/* Makes the objects of the destination's target that are missing; empties and takes over those that
 * another run left when if_exists is replace. */
void memory_store_prepare(struct memory_store *store, const char *namespace_name,
                          const struct nsm_destination *destination);

/* Whether the object holds a record of that slice's key that this run did not write. */
bool memory_store_holds_foreign(struct memory_store *store, const char *namespace_name,
                                const struct nsm_write_request *request,
                                const struct memory_slice *slice) NSM_MUST_USE;

/* Slices of one writer that no checkpoint has committed yet; owned by it. */
struct memory_pending {
    struct memory_slice *first, *last; /* in the order in which they came */
    uint64_t n_slices;
};

/* Puts the pending records and the checkpoint in place, all at once; empties `pending`.
 * NSM_E_NOTFOUND when the object is gone; NSM_E_INTERNAL for a slice whose beginning is not there. */
struct nsm_error *memory_store_commit(struct memory_store *store, const char *namespace_name,
                                      const struct nsm_write_request *request,
                                      struct memory_pending *pending,
                                      const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;

/* Removes what `run_id` wrote to the object, and its checkpoints. */
void memory_store_reset(struct memory_store *store, const char *namespace_name,
                        const struct nsm_object *object, const char *run_id);

/* Removes the checkpoints of `run_id` from the namespace. */
void memory_store_complete(struct memory_store *store, const char *namespace_name,
                           const char *run_id);

/* Calls fn with each checkpoint of `run_id`; no lock is held then. */
void memory_store_checkpoints(struct memory_store *store, const char *run_id, nsm_checkpoint_fn *fn,
                              void *arg);

#endif
