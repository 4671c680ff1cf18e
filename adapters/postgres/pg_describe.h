/*
 * The definitions of both sides, for verify: see `describe` in adapter.h.
 *
 * Left out on both sides: rights of their owner, of roles that only one side has, and of the role that made the destination; owners and
 * default privileges of roles that the destination does not have, and all of them where it is not written by a superuser, whom the copy
 * takes for giving objects away; tablespaces and publications, which no copy carries; what belongs to an extension. The servers'
 * versions write some definitions differently: between two major versions most are only looked for by their names.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_DESCRIBE_H
#define NSM_ADAPTERS_POSTGRES_PG_DESCRIBE_H

#include "adapters/adapter.h"

struct nsm_error *nsm_pg_describe(struct nsm_backend *backend, struct nsm_context *ctx,
                                  struct nsm_description **descriptions, size_t n_descriptions)
    NSM_MUST_USE;
/* See `mend` in adapter.h: values of sequences, missing indexes and constraints, where all is in one schema and no table has another
 * name. */
struct nsm_error *nsm_pg_mend(struct nsm_destination *destination, struct nsm_context *ctx,
                              const struct nsm_change *changes, size_t n_changes) NSM_MUST_USE;

#endif
