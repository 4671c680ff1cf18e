/*
 * Rows into tables that stood at the destination before: by the names of columns, told apart by a key that
 * the destination enforces, and with a refusal for what does not fit.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_KEPT_H
#define NSM_ADAPTERS_POSTGRES_PG_KEPT_H

#include "adapters/postgres/pg_target.h"

/* Rights, triggers, rules and row security. */
void nsm_pg_look_at_kept(struct nsm_destination *destination,
                         const struct nsm_pg_relation *relation);
/* Gives a column of the source the type that it has in the kept table. */
void nsm_pg_match_column(const struct nsm_pg_catalog *catalog, struct nsm_destination *destination,
                         const struct nsm_pg_relation *relation, struct nsm_column *column);
/* Gives the target object the kept table's key; looks at the columns that the source has not. */
void nsm_pg_take_standing_key(struct nsm_destination *destination, size_t index,
                              const struct nsm_pg_relation *relation);

#endif
