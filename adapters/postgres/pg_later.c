/*
 * Among tables that inherit from each other a constraint is taken off the parents first, and put back on
 * the children first, which keeps what is their own apart from what they inherit.
 *
 * The functions find their tables as they do for an application: by a search_path that leads to the
 * schema.
 */
#include "adapters/postgres/pg_later.h"

#include "adapters/postgres/pg_text.h"

static struct nsm_error *take_one_off(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_destination *destination,
                                      const PGresult *found, int row)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const char *const params[] = {
        destination->backend->run_id, destination->namespace_name,
        PQgetvalue(found, row, 0),    PQgetvalue(found, row, 1),
        PQgetvalue(found, row, 2),    PQgetvalue(found, row, 3),
        PQgetvalue(found, row, 4),    PQgetisnull(found, row, 5) ? NULL : PQgetvalue(found, row, 5),
    };
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "INSERT INTO nsmigrate.later VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                         params, NSM_COUNT_OF(params), &result));
    nsm_buf_printf(&sql, "ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", params[4], params[5]);
    NSM_TRY(nsm_buf_error(&sql));
    return nsm_pg_exec(conn, ctx, sql.ptr);
}

struct nsm_error *nsm_pg_later_take_off(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const struct nsm_destination *destination,
                                        const char *tables)
{
    static const char sql[] =
        "WITH RECURSIVE made AS (SELECT to_regclass(x)::oid AS oid FROM unnest($1::text[]) x),"
        " tree(oid, depth) AS ("
        " SELECT m.oid, 0 FROM made m"
        "  WHERE NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = m.oid)"
        " UNION SELECT i.inhrelid, t.depth + 1 FROM tree t JOIN pg_inherits i"
        "  ON i.inhparent = t.oid),"
        " user_function AS (SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
        "  WHERE l.lanname NOT IN ('internal', 'c')) "
        "SELECT COALESCE((SELECT max(t.depth) FROM tree t WHERE t.oid = c.oid), 0) AS depth,"
        " quote_ident(n.nspname), c.oid::regclass, quote_ident(k.conname),"
        " pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint') "
        "FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE k.conrelid IN (SELECT oid FROM made) AND k.contype = 'c' AND k.conislocal"
        " AND k.convalidated AND EXISTS (SELECT FROM pg_depend d"
        "  LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid"
        "  JOIN user_function f ON f.oid = CASE d.refclassid WHEN 'pg_proc'::regclass"
        "   THEN d.refobjid ELSE o.oprcode END"
        "  WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid) "
        "ORDER BY depth, k.oid";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &tables, 1, &result));
    for (int row = 0; row < PQntuples(result); row++)
        NSM_TRY_WRAP(take_one_off(conn, ctx, destination, result, row),
                     "take check %s off table %s", PQgetvalue(result, row, 3),
                     PQgetvalue(result, row, 2));
    return NULL;
}

struct nsm_error *nsm_pg_later_count(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     const struct nsm_destination *destination, size_t *ret)
{
    const char *const params[] = {destination->backend->run_id, destination->namespace_name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "SELECT count(*) FROM nsmigrate.later WHERE run_id = $1"
                         " AND namespace = $2",
                         params, 2, &result));
    *ret = (size_t)nsm_pg_get_u64(result, 0, 0);
    return NULL;
}

static void write_return(struct nsm_buf *sql, const PGresult *later, int row)
{
    const char *const schema = PQgetvalue(later, row, 0);
    const char *const table = PQgetvalue(later, row, 1);
    const char *const name = PQgetvalue(later, row, 2);
    nsm_buf_printf(sql,
                   "ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID;"
                   "SET LOCAL search_path = %s; ALTER TABLE %s VALIDATE CONSTRAINT %s;"
                   "SET LOCAL search_path = '';",
                   table, name, PQgetvalue(later, row, 3), schema, table, name);
    if (PQgetisnull(later, row, 4))
        return;
    nsm_buf_printf(sql, "COMMENT ON CONSTRAINT %s ON %s IS ", name, table);
    nsm_pg_quote_literal(sql, nsm_str_of(PQgetvalue(later, row, 4)));
}

static struct nsm_error *put_one_back(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_destination *destination,
                                      const PGresult *later, int row)
{
    const char *const params[] = {destination->backend->run_id, destination->namespace_name,
                                  PQgetvalue(later, row, 1), PQgetvalue(later, row, 2)};
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    write_return(&sql, later, row);
    NSM_TRY(nsm_buf_error(&sql));
    NSM_TRY(nsm_pg_exec(conn, ctx, "BEGIN; SET LOCAL lock_timeout = 0"));
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "DELETE FROM nsmigrate.later WHERE run_id = $1 AND namespace = $2"
                         " AND tab = $3 AND name = $4 RETURNING 1",
                         params, 4, &result));
    if (PQntuples(result))
        NSM_TRY(nsm_pg_exec(conn, ctx, sql.ptr));
    return nsm_pg_exec(conn, ctx, "COMMIT");
}

struct nsm_error *nsm_pg_later_put_back(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const struct nsm_destination *destination)
{
    const char *const params[] = {destination->backend->run_id, destination->namespace_name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "SELECT schema, tab, name, definition, comment FROM nsmigrate.later"
                         " WHERE run_id = $1 AND namespace = $2 ORDER BY depth DESC, tab, name",
                         params, 2, &result));
    for (int row = 0; row < PQntuples(result); row++)
        NSM_TRY_WRAP(put_one_back(conn, ctx, destination, result, row), "check %s of table %s",
                     PQgetvalue(result, row, 2), PQgetvalue(result, row, 1));
    return NULL;
}
