/*
 * CHECK constraints that call functions of a user may look into other tables, which need not be full
 * while rows come into theirs. So they are taken off the empty tables, and put back, and validated,
 * when all rows are there. What brings them back lies in nsmigrate.later, from the same transaction,
 * in the server's own words (pg_get_constraintdef).
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_LATER_H
#define NSM_ADAPTERS_POSTGRES_PG_LATER_H

#include "adapters/postgres/pg_target.h"

/* Takes them off `tables`, an array literal of quoted names, in the open transaction. */
struct nsm_error *nsm_pg_later_take_off(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const struct nsm_destination *destination,
                                        const char *tables) NSM_MUST_USE;
/* How many are to be put back. */
struct nsm_error *nsm_pg_later_count(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     const struct nsm_destination *destination, size_t *ret)
    NSM_MUST_USE;
/* Puts them back, each in a transaction with the note that it is done. */
struct nsm_error *nsm_pg_later_put_back(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const struct nsm_destination *destination) NSM_MUST_USE;

#endif
