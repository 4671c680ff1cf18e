/*
 * Taking rows away, for repair: the keys go to a table of their own by COPY, and one DELETE takes what has them. Rows that are
 * repaired have passed all triggers, rules and foreign keys at their source, and between the erasing and the writing of a row
 * others may refer to it: so nothing of that acts, as in a replica.
 */
#include "adapters/postgres/pg_writer.h"

#include "adapters/postgres/pg_text.h"

#define KEYS_TABLE "nsmigrate_keys"

static void append_same(struct nsm_buf *sql, const struct nsm_object *object, size_t column)
{
    const char *const name = object->columns[column].name;
    const bool has_key = object->n_key_columns > 0;
    nsm_buf_append_cstr(sql, "t.");
    nsm_pg_quote_ident(sql, name);
    nsm_buf_append_cstr(sql, has_key ? " = k." : "::text IS NOT DISTINCT FROM k.");
    nsm_pg_quote_ident(sql, name);
    nsm_buf_append_cstr(sql, has_key ? "" : "::text");
}

/* Without a key, rows are the same when all their values read the same: not every type has an equality. */
static void write_delete(struct nsm_pg_writer *pg)
{
    const struct nsm_object *const object = pg->base.request->object;
    const size_t n = object->n_key_columns ? object->n_key_columns : object->n_columns;
    struct nsm_buf *const sql = &pg->erase;
    nsm_buf_append_cstr(sql, pg->is_partitioned ? "DELETE FROM " : "DELETE FROM ONLY ");
    nsm_pg_quote_qualified(sql, object->schema, object->name);
    nsm_buf_append_cstr(sql, " t USING pg_temp." KEYS_TABLE " k WHERE ");
    for (size_t i = 0; i < n; i++) {
        nsm_buf_append_cstr(sql, i ? " AND " : "");
        append_same(sql, object, object->n_key_columns ? object->key_columns[i] : i);
    }
    nsm_buf_append_cstr(sql, n ? "" : "true");
}

static struct nsm_error *make_keys_table(struct nsm_pg_writer *pg, struct nsm_context *ctx)
{
    const struct nsm_object *const object = pg->base.request->object;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "CREATE TEMPORARY TABLE " KEYS_TABLE " ON COMMIT DROP AS SELECT ");
    nsm_pg_append_columns(&sql, object);
    nsm_buf_append_cstr(&sql, " FROM ");
    nsm_pg_quote_qualified(&sql, object->schema, object->name);
    nsm_buf_append_cstr(&sql, " WITH NO DATA");
    NSM_TRY(nsm_buf_error(&sql));
    NSM_TRY(nsm_pg_exec(pg->conn, ctx, sql.ptr));
    pg->has_keys_table = true;
    return NULL;
}

static struct nsm_error *erase(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                               const struct nsm_batch *batch)
{
    const struct nsm_object *const object = pg->base.request->object;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    if (batch->n_records == 0)
        return nsm_context_error(ctx);
    NSM_TRY(nsm_pg_writer_begin(pg, ctx));
    if (!pg->erase.len)
        write_delete(pg);
    NSM_TRY(nsm_buf_error(&pg->erase));
    if (!pg->has_keys_table)
        NSM_TRY(make_keys_table(pg, ctx));
    nsm_buf_append_cstr(&sql, "COPY pg_temp." KEYS_TABLE);
    if (object->n_columns) {
        nsm_buf_append_cstr(&sql, " (");
        nsm_pg_append_columns(&sql, object);
        nsm_buf_append_char(&sql, ')');
    }
    nsm_buf_append_cstr(&sql, " FROM STDIN (FORMAT text)");
    NSM_TRY(nsm_buf_error(&sql));
    NSM_TRY(nsm_pg_writer_copy(pg, ctx, sql.ptr, batch));
    NSM_TRY(nsm_pg_exec(pg->conn, ctx, pg->erase.ptr));
    return nsm_pg_exec(pg->conn, ctx, "TRUNCATE pg_temp." KEYS_TABLE);
}

struct nsm_error *nsm_pg_erase(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch)
{
    struct nsm_pg_writer *const pg = (struct nsm_pg_writer *)writer;
    const struct nsm_object *const object = writer->request->object;
    return nsm_error_wrap(erase(pg, ctx, batch), "erase rows of table %s.%s", object->schema,
                          object->name);
}

/* ---- what must not act ---- */

struct nsm_error *nsm_pg_erase_prelude(struct nsm_pg_writer *pg, struct nsm_context *ctx)
{
    static const char sql[] =
        "WITH t(oid) AS (SELECT $1::regclass UNION SELECT relid FROM pg_partition_tree($1::regclass)),"
        " x(enabled) AS (SELECT tgenabled FROM pg_trigger JOIN t ON tgrelid = t.oid"
        "  UNION ALL SELECT ev_enabled FROM pg_rewrite JOIN t ON ev_class = t.oid)"
        "SELECT EXISTS (SELECT FROM x WHERE enabled = 'O'),"
        " EXISTS (SELECT FROM x WHERE enabled IN ('A', 'R')),"
        " (SELECT relkind = 'p' FROM pg_class WHERE oid = $1::regclass)";
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_qualified(&name, pg->base.request->object->schema, pg->base.request->object->name);
    const char *const params[] = {name.ptr};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(pg->conn, ctx, sql, params, 1, &result));
    pg->is_partitioned = nsm_pg_get_bool(result, 0, 2);
    if (nsm_pg_get_bool(result, 0, 1))
        return nsm_error_new(
            NSM_E_UNSUPPORTED,
            "triggers or rules of %s are enabled always or for replicas, and would "
            "act on repaired rows: disable them for the repair",
            name.ptr);
    if (!nsm_pg_get_bool(result, 0, 0))
        return NULL;
    return nsm_error_wrap(
        nsm_pg_exec(pg->conn, ctx, "SET LOCAL session_replication_role = replica"),
        "%s has triggers, rules or foreign keys, which must not act on repaired rows (that takes a "
        "superuser, or GRANT SET ON PARAMETER session_replication_role)",
        name.ptr);
}
