/* See pg_rights.h. What a schema adds to the default privileges are only ever grants. */
#include "adapters/postgres/pg_rights.h"

#define GRANTEE \
    "CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END"
#define WITH_OPTION "CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
#define OBJECTS                                                              \
    "CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' " \
    "WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END"
#define DEFAULTS \
    "pg_default_acl a JOIN pg_namespace n ON n.oid = a.defaclnamespace, aclexplode(a.defaclacl) x "

static struct nsm_error *exec_column(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     const PGresult *statements, int column)
{
    for (int row = 0; row < PQntuples(statements); row++)
        NSM_TRY(nsm_pg_exec(conn, ctx, PQgetvalue(statements, row, column)));
    return NULL;
}

struct nsm_error *nsm_pg_defaults_take(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       const char *schema, PGresult **ret)
{
    static const char sql[] =
        "SELECT format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE %s ON %s FROM %s', $1::text, "
        "x.privilege_type, " OBJECTS ", " GRANTEE "), "
        "format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT %s ON %s TO %s%s', $1::text, "
        "x.privilege_type, " OBJECTS ", " GRANTEE ", " WITH_OPTION ") FROM " DEFAULTS
        "WHERE n.nspname = $1 AND a.defaclrole = (SELECT oid FROM pg_roles "
        "WHERE rolname = current_user)";
    const char *const params[] = {schema};
    NSM_TRY(nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), ret));
    return nsm_error_wrap(exec_column(conn, ctx, *ret, 0), "set default privileges aside");
}

struct nsm_error *nsm_pg_defaults_give_back(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                            const PGresult *taken)
{
    return nsm_error_wrap(exec_column(conn, ctx, taken, 1), "give default privileges back");
}

struct nsm_error *nsm_pg_rights_pass_on(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const char *from, const char *to)
{
    static const char sql[] =
        "SELECT format('GRANT %s ON SCHEMA %I TO %s%s', x.privilege_type, $2::text, " GRANTEE
        ", " WITH_OPTION ") FROM pg_namespace n, aclexplode(n.nspacl) x "
        "WHERE n.nspname = $1 AND x.grantee <> n.nspowner UNION ALL "
        "SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %s%s', "
        "pg_get_userbyid(a.defaclrole), $2::text, x.privilege_type, " OBJECTS ", " GRANTEE
        ", " WITH_OPTION ") FROM " DEFAULTS "WHERE n.nspname = $1 UNION ALL "
        "SELECT format('COMMENT ON SCHEMA %I IS %L', $2::text, d.description) FROM pg_namespace n "
        "JOIN pg_description d ON d.classoid = 'pg_namespace'::regclass AND d.objoid = n.oid "
        "WHERE n.nspname = $1";
    const char *const params[] = {from, to};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), &result));
    return nsm_error_wrap(exec_column(conn, ctx, result, 0), "give schema %s its rights", to);
}
