/*
 * What a destination must know of its source besides the definition: which tables are read as a whole,
 * how far sequences have come, which views are filled, what must stand there. Between two servers it is
 * in the source's state; so that an archive can be the source, it also stands behind the definition, as
 * JSON. pg_restore goes by the table of contents in front of an archive, and never comes to what lies
 * behind its last entry: the file is one of pg_dump still.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_FACTS_H
#define NSM_ADAPTERS_POSTGRES_PG_FACTS_H

#include "adapters/postgres/pg_source.h"

/* Appends them to a definition. */
struct nsm_error *nsm_pg_facts_append(const struct nsm_pg_source *source,
                                      const struct nsm_census *census, const char *path)
    NSM_MUST_USE;

/* A source as survey would have left it, on the heap, for a destination alone: it can't be read. The caller
 * calls nsm_pg_source_free(). NSM_E_CORRUPT when there are no facts behind the definition, or not of so many
 * tables. */
struct nsm_error *nsm_pg_facts_load(const char *path, size_t n_objects, struct nsm_pg_source **ret)
    NSM_MUST_USE;

#endif
