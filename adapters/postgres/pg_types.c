/*
 * Types of Postgres. The binary form of a value passes between servers when it holds no oid of the
 * one server: oids below FIRST_NORMAL_OID are the same everywhere, those of a user's types are not.
 * An enum's binary form is its label, a domain's that of its base; arrays and composites carry
 * their elements' oids, the reg* types are oids.
 */
#include "adapters/postgres/pg_types.h"

#include "migrate/base/parse.h"

#define FIRST_NORMAL_OID 16384
/* A domain over an array of a domain ...: deeper than anyone builds, against cycles. */
#define MAX_TYPE_DEPTH 32

struct nsm_error *nsm_pg_types_load(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const char *oids, struct nsm_arena *arena,
                                    struct nsm_pg_types *ret)
{
    static const char sql[] =
        "WITH RECURSIVE used(oid) AS ("
        " SELECT x FROM unnest($1::oid[]) x"
        " UNION SELECT e.oid FROM used u JOIN pg_type t ON t.oid = u.oid"
        "  LEFT JOIN pg_range r ON r.rngtypid = t.oid,"
        "  LATERAL (VALUES (t.typbasetype), (t.typelem), (r.rngsubtype)) e(oid)"
        "  WHERE e.oid <> 0) "
        "SELECT t.oid, t.typbasetype,"
        " CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE COALESCE(r.rngsubtype, 0) END,"
        " t.typtype, t.typcategory = 'A', t.typsend <> 0 AND t.typreceive <> 0, t.typname,"
        " n.nspname "
        "FROM used u JOIN pg_type t ON t.oid = u.oid JOIN pg_namespace n ON n.oid = t.typnamespace "
        "LEFT JOIN pg_range r ON r.rngtypid = t.oid ORDER BY t.oid";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &oids, 1, &result));
    const size_t n = (size_t)PQntuples(result);
    ret->items = nsm_arena_calloc(arena, n, sizeof(*ret->items));
    ret->n_items = n;
    for (size_t i = 0; i < n; i++) {
        const int row = (int)i;
        ret->items[i] = (struct nsm_pg_type){
            .oid = (uint32_t)nsm_pg_get_u64(result, row, 0),
            .base = (uint32_t)nsm_pg_get_u64(result, row, 1),
            .element = (uint32_t)nsm_pg_get_u64(result, row, 2),
            .kind = PQgetvalue(result, row, 3)[0],
            .is_array = nsm_pg_get_bool(result, row, 4),
            .has_binary = nsm_pg_get_bool(result, row, 5),
            .name = nsm_arena_strdup(arena, PQgetvalue(result, row, 6)),
            .schema = nsm_arena_strdup(arena, PQgetvalue(result, row, 7)),
        };
    }
    return NULL;
}

const struct nsm_pg_type *nsm_pg_types_find(const struct nsm_pg_types *types, uint32_t oid)
{
    size_t low = 0;
    size_t high = types->n_items;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (types->items[middle].oid < oid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < types->n_items && types->items[low].oid == oid ? &types->items[low] : NULL;
}

struct canonical {
    const char *name; /* typname, in pg_catalog */
    enum nsm_type type;
    const char *canonical_name; /* NULL: as the server writes it */
};

static const struct canonical canonicals[] = {
    {"bool", NSM_BOOL, NULL},
    {"int2", NSM_INT, NULL},
    {"int4", NSM_INT, NULL},
    {"int8", NSM_INT, NULL},
    {"float4", NSM_FLOAT, NULL},
    {"float8", NSM_FLOAT, NULL},
    {"numeric", NSM_NUMERIC, NULL},
    {"text", NSM_TEXT, NULL},
    {"varchar", NSM_TEXT, NULL},
    {"bpchar", NSM_TEXT, NULL},
    {"name", NSM_TEXT, NULL},
    {"char", NSM_TEXT, NULL},
    {"bytea", NSM_BYTES, NULL},
    {"date", NSM_TIME, "date"},
    {"time", NSM_TIME, "time"},
    {"timetz", NSM_TIME, "timetz"},
    {"timestamp", NSM_TIME, "timestamp"},
    {"timestamptz", NSM_TIME, "timestamptz"},
    {"uuid", NSM_UUID, NULL},
    {"json", NSM_JSON, NULL},
    {"jsonb", NSM_JSON, NULL},
};

/* The type under all domains; NULL when it was not loaded. */
static const struct nsm_pg_type *base_of(const struct nsm_pg_types *types, uint32_t oid)
{
    const struct nsm_pg_type *type = nsm_pg_types_find(types, oid);
    for (size_t depth = 0; type && type->kind == 'd' && depth < MAX_TYPE_DEPTH; depth++)
        type = nsm_pg_types_find(types, type->base);
    return type;
}

enum nsm_type nsm_pg_type_canonical(const struct nsm_pg_types *types, uint32_t oid,
                                    const char *format_type, const char **ret_name)
{
    *ret_name = format_type;
    const struct nsm_pg_type *const type = base_of(types, oid);
    if (!type || strcmp(type->schema, "pg_catalog") != 0)
        return NSM_OTHER;
    for (size_t i = 0; i < NSM_COUNT_OF(canonicals); i++) {
        if (strcmp(canonicals[i].name, type->name) != 0)
            continue;
        if (canonicals[i].canonical_name)
            *ret_name = canonicals[i].canonical_name;
        else if (type->oid != oid)
            *ret_name = type->name;
        return canonicals[i].type;
    }
    return NSM_OTHER;
}

/* Types whose value is the oid of an object of one database. */
static bool is_reference(const struct nsm_pg_type *type)
{
    return type->oid < FIRST_NORMAL_OID && strncmp(type->name, "reg", 3) == 0;
}

const char *nsm_pg_type_text_reason(const struct nsm_pg_types *types, uint32_t oid,
                                    struct nsm_arena *arena)
{
    uint32_t at = oid;
    for (size_t depth = 0; depth < MAX_TYPE_DEPTH; depth++) {
        const struct nsm_pg_type *const type = nsm_pg_types_find(types, at);
        if (!type)
            return "has a type that is unknown";
        if (!type->has_binary)
            return nsm_arena_printf(arena, "has type %s, which has no binary form", type->name);
        if (is_reference(type))
            return nsm_arena_printf(arena, "has type %s, which is an oid of this database",
                                    type->name);
        if (type->kind == 'd') {
            at = type->base;
            continue;
        }
        /* Only at the top: as an array's element an enum's own oid would be in the data. */
        if (type->kind == 'e' && (depth == 0 || nsm_pg_types_find(types, oid)->kind == 'd') &&
            !nsm_pg_types_find(types, oid)->is_array)
            return NULL;
        if (type->oid >= FIRST_NORMAL_OID)
            return nsm_arena_printf(arena,
                                    "has type %s.%s, whose binary form differs between "
                                    "databases",
                                    type->schema, type->name);
        if (!type->element)
            return NULL;
        at = type->element;
    }
    return "has a type that is too deep";
}

const char *nsm_pg_type_for(const struct nsm_column *column)
{
    static const char *const times[] = {"date",      "time",        "timetz",
                                        "timestamp", "timestamptz", "interval"};
    switch (column->type) {
    case NSM_BOOL:
        return "boolean";
    case NSM_INT:
        return "bigint";
    case NSM_FLOAT:
        return "double precision";
    case NSM_NUMERIC:
        return "numeric";
    case NSM_BYTES:
        return "bytea";
    case NSM_UUID:
        return "uuid";
    case NSM_JSON:
        return strcmp(column->type_name, "jsonb") == 0 ? "jsonb" : "json";
    case NSM_TIME:
        for (size_t i = 0; i < NSM_COUNT_OF(times); i++) {
            if (strcmp(column->type_name, times[i]) == 0)
                return times[i];
        }
        return "text";
    case NSM_NULL:
    case NSM_TEXT:
    case NSM_OTHER:
        return "text";
    }
    return "text";
}
