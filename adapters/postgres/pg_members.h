/*
 * What a schema holds, of every kind that has a name in it, by the name that it takes there: two objects with one
 * name in one space can't stand side by side.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_MEMBERS_H
#define NSM_ADAPTERS_POSTGRES_PG_MEMBERS_H

#include "adapters/postgres/pg_source.h"
#include "migrate/base/buf.h"

/*
 * Appends a part of a query: the table expressions typed, for itself, and member(ns, classid, objid, space, key) of the
 * schemas in the table expression wanted(oid, nspname). `space` is the kind, or "row", "relation" and "type": a table
 * takes a name from both relations and types. `key` is without the schema's own name, so that it is the same after a
 * rename. Arrays and the rows' types of tables, which come with others, are left out.
 */
void nsm_pg_members_sql(struct nsm_buf *sql);

/* Lists the members of whole schemas that are copied by their definition. For sources whose state is filled. */
struct nsm_error *nsm_pg_members_survey(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;

#endif
