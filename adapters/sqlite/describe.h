/*
 * The definitions of both sides, for verify: see `describe` in adapter.h. The statements word for word, the numbers of AUTOINCREMENT
 * tables, and of a whole file user_version and application_id.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_SQLITE_DESCRIBE_H
#define NSM_ADAPTERS_SQLITE_DESCRIBE_H

#include "adapters/sqlite/definition.h"

struct nsm_error *sqlite_describe(struct nsm_backend *base, struct nsm_context *ctx,
                                  struct nsm_description **descriptions, size_t n_descriptions)
    NSM_MUST_USE;
/* See `mend` in adapter.h: missing indexes, views and triggers, and numbers. */
struct nsm_error *sqlite_mend(struct nsm_destination *destination, struct nsm_context *ctx,
                              const struct nsm_change *changes, size_t n_changes) NSM_MUST_USE;

#endif
