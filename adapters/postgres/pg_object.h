/*
 * A table of the catalog as an object of a census.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_OBJECT_H
#define NSM_ADAPTERS_POSTGRES_PG_OBJECT_H

#include "adapters/postgres/pg_catalog.h"

/* Fills all but the statistics' exactness. `has_generated`: with generated columns, for a destination
 * that is no Postgres and does not compute them itself. */
void nsm_pg_object_fill(const struct nsm_pg_catalog *catalog,
                        const struct nsm_pg_relation *relation, bool has_generated,
                        struct nsm_arena *arena, struct nsm_object *object);

/* Tells whether a table is what it was; in the arena. */
const char *nsm_pg_version(const struct nsm_pg_catalog *catalog,
                           const struct nsm_pg_relation *relation, struct nsm_arena *arena);

#endif
