/*
 * One run at a time writes a namespace, whatever plan it is of: while it does, it holds advisory locks on
 * what it writes, a whole schema or its tables, which die with their session. All claims of a backend are
 * on one connection, so that they never keep each other out; when that is lost, each is taken again, on
 * the next, by whoever writes next.
 *
 * Threads: internally locked.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_CLAIM_H
#define NSM_ADAPTERS_POSTGRES_PG_CLAIM_H

#include "adapters/postgres/pg_conn.h"

/* Makes sure that the destination, which was inspected, is claimed: costs a system call when it is. Blocks for
 * a second at most on another's claim, whose session may be ending; then NSM_E_CONFLICT, with who holds it. */
struct nsm_error *nsm_pg_claim(const struct nsm_destination *destination, struct nsm_context *ctx)
    NSM_MUST_USE;

/* Gives the claim back at once. None is no error, nor is a lost connection: that has given it back. */
void nsm_pg_claim_drop(const struct nsm_destination *destination, struct nsm_context *ctx);

/* Leaves it to be given back with the next claim, or the end of the backend; for a destination that is released. */
void nsm_pg_claim_abandon(const struct nsm_destination *destination);

/* Ends with the backend. */
void nsm_pg_claims_close(struct nsm_pg_backend *backend);

#endif
