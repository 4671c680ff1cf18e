/*
 * What a schema itself has: rights, default privileges, a comment. A definition brings its own, beside those of a schema that
 * stands at the destination.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_RIGHTS_H
#define NSM_ADAPTERS_POSTGRES_PG_RIGHTS_H

#include "adapters/postgres/pg_conn.h"

/* Takes the default privileges that stand in a schema, which would give what is made there other rights than the definition does, away
 * from this role until they are given back, in the same transaction. *ret, which the caller clears, is for that. */
struct nsm_error *nsm_pg_defaults_take(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       const char *schema, PGresult **ret) NSM_MUST_USE;
struct nsm_error *nsm_pg_defaults_give_back(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                            const PGresult *taken) NSM_MUST_USE;

/* Gives a schema what another has, too. */
struct nsm_error *nsm_pg_rights_pass_on(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const char *from, const char *to) NSM_MUST_USE;

#endif
