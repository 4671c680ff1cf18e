/*
 * The one query that describes what stands in schemas and around tables, of any number of namespaces.
 *
 * The server's own functions (pg_get_indexdef and the like) write a name with its schema unless the search_path leads to it. So each
 * text is asked for under the search_path of its own schema, set in the same expression, whose order CASE guarantees: then it is
 * free of that schema's name, what it says of others is still there, and no text is searched for names.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_DESCRIBE_SQL_H
#define NSM_ADAPTERS_POSTGRES_PG_DESCRIBE_SQL_H

#include "migrate/base/buf.h"

/*
 * Appends it. Parameters: of the relations the numbers of their namespaces, their schemas, their names, the names to be shown, what
 * goes before these; of the whole schemas the numbers of their namespaces, their names; whether the sequences' values are asked for. Columns: number of the
 * namespace, kind, name, text, whether it stands alone (struct nsm_definition), the role that a grant is for ("": everybody; else
 * NULL); the role that owns it, or whose default privileges these are (else NULL).
 */
void nsm_pg_describe_sql(struct nsm_buf *sql);

#endif
