/* See pg_members.h. One query for all namespaces on a database. */
#include "adapters/postgres/pg_members.h"

#include "adapters/postgres/pg_text.h"

/* A composite type is its type, not the relation behind it. In names of functions and operators an array stands by
 * its element, and a type of the same schema without that. */
static const char odd_kinds[] =
    "typed AS NOT MATERIALIZED (SELECT t.oid, n.nspname, COALESCE(e.typname || '[]', t.typname) "
    "AS name FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid "
    "JOIN pg_namespace n ON n.oid = COALESCE(e.typnamespace, t.typnamespace)), "
    "member(ns, classid, objid, space, key) AS ( "
    "SELECT c.relnamespace, CASE c.relkind WHEN 'c' THEN 'pg_type'::regclass "
    "ELSE 'pg_class'::regclass END, CASE c.relkind WHEN 'c' THEN c.reltype ELSE c.oid END, "
    "CASE WHEN c.relkind IN ('i', 'I', 'S') THEN 'relation' ELSE 'row' END, c.relname::text "
    "FROM pg_class c JOIN wanted w ON w.oid = c.relnamespace WHERE c.relkind <> 't' "
    "UNION ALL SELECT t.typnamespace, 'pg_type'::regclass, t.oid, 'type', t.typname "
    "FROM pg_type t JOIN wanted w ON w.oid = t.typnamespace WHERE t.typrelid = 0 "
    "AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid) "
    "UNION ALL SELECT p.pronamespace, 'pg_proc'::regclass, p.oid, 'function', "
    "p.proname || '(' || COALESCE((SELECT string_agg(COALESCE(NULLIF(t.nspname, w.nspname), '') "
    "|| '.' || t.name, ',' ORDER BY a.at) FROM unnest(p.proargtypes) WITH ORDINALITY a(type, at) "
    "JOIN typed t ON t.oid = a.type), '') || ')' "
    "FROM pg_proc p JOIN wanted w ON w.oid = p.pronamespace "
    "UNION ALL SELECT o.oprnamespace, 'pg_operator'::regclass, o.oid, 'operator', "
    "concat(o.oprname, '(', NULLIF(l.nspname, w.nspname), '.', l.name, ',', "
    "NULLIF(r.nspname, w.nspname), '.', r.name, ')') "
    "FROM pg_operator o JOIN wanted w ON w.oid = o.oprnamespace "
    "LEFT JOIN typed l ON l.oid = o.oprleft LEFT JOIN typed r ON r.oid = o.oprright "
    "UNION ALL SELECT o.opcnamespace, 'pg_opclass'::regclass, o.oid, 'operator class', "
    "o.opcname || ' ' || m.amname FROM pg_opclass o JOIN wanted w ON w.oid = o.opcnamespace "
    "JOIN pg_am m ON m.oid = o.opcmethod "
    "UNION ALL SELECT o.opfnamespace, 'pg_opfamily'::regclass, o.oid, 'operator family', "
    "o.opfname || ' ' || m.amname FROM pg_opfamily o JOIN wanted w ON w.oid = o.opfnamespace "
    "JOIN pg_am m ON m.oid = o.opfmethod ";

struct plain_kind {
    const char *catalog, *prefix; /* of the columns' names */
};

void nsm_pg_members_sql(struct nsm_buf *sql)
{
    static const struct plain_kind kinds[] = {
        {"pg_collation", "coll"},    {"pg_conversion", "con"}, {"pg_ts_config", "cfg"},
        {"pg_ts_dict", "dict"},      {"pg_ts_parser", "prs"},  {"pg_ts_template", "tmpl"},
        {"pg_statistic_ext", "stx"},
    };
    nsm_buf_append_cstr(sql, odd_kinds);
    for (size_t i = 0; i < NSM_COUNT_OF(kinds); i++)
        nsm_buf_printf(
            sql,
            "UNION ALL SELECT x.%2$snamespace, '%1$s'::regclass, x.oid, '%1$s', x.%2$sname "
            "FROM %1$s x JOIN wanted w ON w.oid = x.%2$snamespace ",
            kinds[i].catalog, kinds[i].prefix);
    nsm_buf_append_cstr(sql, ") ");
}

/* ---- the source ---- */

static bool has_members(const struct nsm_source *source)
{
    const struct nsm_pg_source *const state = source->state;
    return !source->written && state->selection.schema && !(source->flags & NSM_SURVEY_VALUE_TYPES);
}

/* The rows come in the order of the questions. */
static void take_members(struct nsm_pg_source *source, const PGresult *result, int *row, size_t at)
{
    const int begin = *row;
    while (*row < PQntuples(result) && nsm_pg_get_u64(result, *row, 0) == at)
        (*row)++;
    source->n_members = (size_t)(*row - begin);
    source->members = nsm_arena_calloc(&source->arena, source->n_members, sizeof(*source->members));
    for (size_t i = 0; i < source->n_members; i++)
        source->members[i] = (struct nsm_pg_member){
            .space = nsm_arena_strdup(&source->arena, PQgetvalue(result, begin + (int)i, 1)),
            .key = nsm_arena_strdup(&source->arena, PQgetvalue(result, begin + (int)i, 2)),
        };
}

/* Foreign tables and what belongs to an extension are in no definition. */
static struct nsm_error *ask(struct nsm_pg_conn *conn, struct nsm_context *ctx, const char *schemas,
                             PGresult **ret)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const char *const params[] = {schemas};
    nsm_buf_append_cstr(&sql,
                        "WITH asked AS (SELECT n.oid, n.nspname, x.at FROM unnest($1::text[]) "
                        "WITH ORDINALITY x(name, at) JOIN pg_namespace n ON n.nspname = x.name), "
                        "wanted AS (SELECT DISTINCT oid, nspname FROM asked), ");
    nsm_pg_members_sql(&sql);
    nsm_buf_append_cstr(
        &sql, "SELECT a.at, m.space, m.key FROM asked a JOIN member m ON m.ns = a.oid "
              "WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = m.classid "
              "AND d.objid = m.objid AND d.deptype = 'e') "
              "AND NOT EXISTS (SELECT FROM pg_class c WHERE m.classid = 'pg_class'::regclass "
              "AND c.oid = m.objid AND c.relkind = 'f') ORDER BY a.at");
    NSM_TRY(nsm_buf_error(&sql));
    return nsm_error_wrap(nsm_pg_query(conn, ctx, sql.ptr, params, 1, ret),
                          "list what the schemas hold");
}

struct nsm_error *nsm_pg_members_survey(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        struct nsm_source **sources, size_t n_sources)
{
    struct nsm_buf schemas NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    size_t n_whole = 0;
    nsm_pg_array_begin(&schemas);
    for (size_t i = 0; i < n_sources; i++) {
        const struct nsm_pg_source *const state = sources[i]->state;
        if (!has_members(sources[i]))
            continue;
        nsm_pg_array_add(&schemas, state->selection.schema);
        n_whole++;
    }
    nsm_pg_array_end(&schemas);
    NSM_TRY(nsm_buf_error(&schemas));
    if (!n_whole)
        return NULL;
    NSM_TRY(ask(conn, ctx, schemas.ptr, &result));
    int row = 0;
    size_t at = 0;
    for (size_t i = 0; i < n_sources; i++) {
        if (has_members(sources[i]))
            take_members(sources[i]->state, result, &row, ++at);
    }
    return NULL;
}
