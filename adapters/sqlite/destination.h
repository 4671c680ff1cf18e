/*
 * A namespace that is written to a SQLite file: what would stand there, and what must exist before
 * its rows.
 *
 * Threads: a destination belongs to one thread at a time, but writers and finish steps of it run on
 * many; they only read it.
 */
#ifndef NSM_ADAPTERS_SQLITE_DESTINATION_H
#define NSM_ADAPTERS_SQLITE_DESTINATION_H

#include "adapters/sqlite/definition.h"

/* Whether the source is a SQLite file too: names, types and values are kept as they are. */
static inline bool sqlite_is_same_kind(const struct nsm_destination *destination)
{
    return strcmp(destination->source_adapter, "sqlite") == 0;
}

struct nsm_error *sqlite_inspect(struct nsm_backend *base, struct nsm_context *ctx,
                                 struct nsm_destination **destinations, size_t n_destinations)
    NSM_MUST_USE;
void sqlite_release_destination(struct nsm_destination *destination);
struct nsm_error *sqlite_destination_prepare(struct nsm_destination *destination,
                                             struct nsm_context *ctx) NSM_MUST_USE;
struct nsm_error *sqlite_reset_object(struct nsm_destination *destination, struct nsm_context *ctx,
                                      size_t object_index) NSM_MUST_USE;
struct nsm_error *sqlite_complete(struct nsm_destination *destination, struct nsm_context *ctx)
    NSM_MUST_USE;

/* finish.c */
struct nsm_error *sqlite_plan_finish(struct nsm_destination *destination, struct nsm_context *ctx,
                                     struct nsm_finish_plan *plan) NSM_MUST_USE;
struct nsm_error *sqlite_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                     const struct nsm_finish_step *step) NSM_MUST_USE;

#endif
