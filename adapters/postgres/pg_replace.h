/*
 * What stands where the objects of a definition would go, of every kind: told by preview, and dropped for
 * if_exists: replace. Nothing else ever goes with it: what depends on it from elsewhere is a refusal, by name.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_REPLACE_H
#define NSM_ADAPTERS_POSTGRES_PG_REPLACE_H

#include "adapters/postgres/pg_target.h"

/* Adds to what is in the way of whole schemas what is no table, and findings to the destinations. After the tables were
 * looked at, in the transaction that is open. */
struct nsm_error *nsm_pg_replace_inspect(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                         struct nsm_destination **destinations,
                                         size_t n_destinations) NSM_MUST_USE;

/* Drops what is in the way, in the open transaction. NSM_E_CONFLICT when something else has come to depend on it. */
struct nsm_error *nsm_pg_replace_drop(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_destination *destination) NSM_MUST_USE;

/* The word for ALTER and DROP of what the server calls `type`. */
const char *nsm_pg_object_word(const char *type);

#endif
