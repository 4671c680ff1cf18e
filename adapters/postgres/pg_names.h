/*
 * Which table each object goes to.
 *
 * Threads: one per destination.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_NAMES_H
#define NSM_ADAPTERS_POSTGRES_PG_NAMES_H

#include "adapters/postgres/pg_target.h"

/* The server cuts longer names in silence (NAMEDATALEN). */
#define NSM_PG_NAME_BYTES 63

/* Adds a finding to a destination. */
#define REFUSE(destination, ...) \
    nsm_findings_add(&(destination)->target.findings, NSM_FINDING_REFUSAL, "", 1, __VA_ARGS__)
#define NOTE(destination, ...) \
    nsm_findings_add(&(destination)->target.findings, NSM_FINDING_NOTE, "", 1, __VA_ARGS__)

bool nsm_pg_is_from_postgres(const struct nsm_destination *destination);

/* Makes the destination's state, with the names of all tables and the rename that leads to them. What
 * can't be named so is a REFUSAL; NSM_E_INVALID for an option that is none. */
struct nsm_error *nsm_pg_name_targets(struct nsm_destination *destination) NSM_MUST_USE;

/* What a relation of the source is called at the destination. */
struct nsm_pg_name nsm_pg_target_name(const struct nsm_pg_destination *state,
                                      const struct nsm_pg_name *from);

/* A REFUSAL for each table that two objects go to, of whatever namespaces. */
void nsm_pg_find_collisions(struct nsm_destination **destinations, size_t n_destinations);

#endif
