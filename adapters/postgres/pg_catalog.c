/*
 * A handful of queries reads what a plan needs of a database, however many namespaces it has. The rows come
 * in bytewise order of their names (type `name` has collation C), so that lookups are binary
 * searches.
 */
#include "adapters/postgres/pg_catalog.h"

#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#define NOT_SYSTEM "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'nsmigrate')"

bool nsm_pg_is_system_schema(const char *name)
{
    return strncmp(name, "pg_", 3) == 0 || strcmp(name, "information_schema") == 0 ||
           strcmp(name, "nsmigrate") == 0;
}

static struct nsm_error *load_facts(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    struct nsm_pg_catalog *catalog)
{
    static const char sql[] =
        "SELECT (SELECT system_identifier FROM pg_control_system()),"
        " (SELECT oid FROM pg_database WHERE datname = current_database()), current_database(),"
        " current_user, current_setting('is_superuser') = 'on',"
        " has_database_privilege(current_database(), 'CREATE'),"
        " current_setting('track_counts') = 'on',"
        " (SELECT count(*) FROM (SELECT FROM pg_largeobject_metadata LIMIT 100000) l),"
        " current_setting('block_size'), pg_is_in_recovery(),"
        " current_setting('default_transaction_read_only') = 'on',"
        " to_regnamespace('nsmigrate') IS NOT NULL,"
        " COALESCE(has_schema_privilege(to_regnamespace('nsmigrate')::oid, 'CREATE'), false)"
        " AND COALESCE(has_schema_privilege(to_regnamespace('nsmigrate')::oid, 'USAGE'), false),"
        " pg_snapshot_xmax(pg_current_snapshot())";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, NULL, 0, &result));
    struct nsm_arena *const arena = &catalog->arena;
    catalog->identity =
        nsm_arena_printf(arena, "%s/%s", PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
    catalog->database = nsm_arena_strdup(arena, PQgetvalue(result, 0, 2));
    catalog->user = nsm_arena_strdup(arena, PQgetvalue(result, 0, 3));
    catalog->is_superuser = nsm_pg_get_bool(result, 0, 4);
    catalog->can_create_schema = nsm_pg_get_bool(result, 0, 5);
    catalog->counts_changes = nsm_pg_get_bool(result, 0, 6);
    catalog->n_large_objects = nsm_pg_get_u64(result, 0, 7);
    catalog->block_bytes = (size_t)nsm_pg_get_u64(result, 0, 8);
    catalog->is_standby = nsm_pg_get_bool(result, 0, 9);
    catalog->is_read_only = nsm_pg_get_bool(result, 0, 10);
    catalog->has_state_schema = nsm_pg_get_bool(result, 0, 11);
    catalog->can_use_state_schema = nsm_pg_get_bool(result, 0, 12);
    catalog->next_xid = nsm_arena_strdup(arena, PQgetvalue(result, 0, 13));
    return NULL;
}

static struct nsm_error *load_schemas(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const char *schemas, struct nsm_pg_catalog *catalog)
{
    static const char sql[] =
        "SELECT n.oid, n.nspname, has_schema_privilege(n.oid, 'CREATE'),"
        " pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace n "
        "WHERE " NOT_SYSTEM " AND ($1::text[] IS NULL OR n.nspname = ANY($1)) ORDER BY n.nspname";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &schemas, 1, &result));
    const size_t n = (size_t)PQntuples(result);
    catalog->schemas = nsm_arena_calloc(&catalog->arena, n, sizeof(*catalog->schemas));
    catalog->n_schemas = n;
    for (size_t i = 0; i < n; i++) {
        const int row = (int)i;
        catalog->schemas[i] = (struct nsm_pg_schema){
            .oid = (uint32_t)nsm_pg_get_u64(result, row, 0),
            .name = nsm_arena_strdup(&catalog->arena, PQgetvalue(result, row, 1)),
            .can_create = nsm_pg_get_bool(result, row, 2),
            .is_owned = nsm_pg_get_bool(result, row, 3),
        };
    }
    return NULL;
}

/* The relations that are asked for, as a table expression `picked(oid)`. */
#define PICKED                                                                                        \
    "WITH RECURSIVE picked(oid) AS ("                                                                 \
    " SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                     \
    "  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't' AND " NOT_SYSTEM \
    "  AND ($1::text[] IS NULL OR n.nspname = ANY($1))"                                               \
    " UNION SELECT i.inhrelid FROM pg_inherits i JOIN picked p ON i.inhparent = p.oid"                \
    "  JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition) "

static void read_relation(const PGresult *result, int row, struct nsm_arena *arena,
                          struct nsm_pg_relation *relation)
{
    *relation = (struct nsm_pg_relation){
        .oid = (uint32_t)nsm_pg_get_u64(result, row, 0),
        .schema = nsm_arena_strdup(arena, PQgetvalue(result, row, 1)),
        .name = nsm_arena_strdup(arena, PQgetvalue(result, row, 2)),
        .kind = PQgetvalue(result, row, 3)[0],
        .is_partition = nsm_pg_get_bool(result, row, 4),
        .parent_oid = (uint32_t)nsm_pg_get_u64(result, row, 5),
        .reltuples = nsm_pg_get_double(result, row, 6),
        .relpages = nsm_pg_get_u64(result, row, 7),
        .heap_bytes = nsm_pg_get_u64(result, row, 8),
        .table_bytes = nsm_pg_get_u64(result, row, 9),
        .filenode = nsm_pg_get_u64(result, row, 10),
        .n_changes = nsm_pg_get_u64(result, row, 11),
        .is_readable = nsm_pg_get_bool(result, row, 12),
        .hides_rows = nsm_pg_get_bool(result, row, 13),
        .owner = nsm_arena_strdup(arena, PQgetvalue(result, row, 14)),
        .is_of_extension = nsm_pg_get_bool(result, row, 15),
        .owned_by = (uint32_t)nsm_pg_get_u64(result, row, 16),
        .is_owned = nsm_pg_get_bool(result, row, 17),
        .is_insertable = nsm_pg_get_bool(result, row, 18),
        .is_populated = nsm_pg_get_bool(result, row, 19),
        .has_own_hashes = nsm_pg_get_bool(result, row, 20),
        .is_updatable = nsm_pg_get_bool(result, row, 21),
        .fires_triggers = nsm_pg_get_bool(result, row, 22),
        .has_rules = nsm_pg_get_bool(result, row, 23),
    };
}

static struct nsm_error *load_relations(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        const char *schemas, struct nsm_pg_catalog *catalog)
{
    static const char sql[] = PICKED
        "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition,"
        " COALESCE((SELECT i.inhparent FROM pg_inherits i"
        "  WHERE i.inhrelid = c.oid AND c.relispartition LIMIT 1), 0),"
        " c.reltuples, c.relpages,"
        " CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) ELSE 0 END,"
        " CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE 0 END,"
        " COALESCE(pg_relation_filenode(c.oid), 0),"
        " CASE WHEN c.relkind = 'r' THEN pg_stat_get_tuples_inserted(c.oid)"
        "  + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) ELSE 0 END,"
        " has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),"
        " row_security_active(c.oid), pg_get_userbyid(c.relowner),"
        " EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass"
        "  AND d.objid = c.oid AND d.deptype = 'e'),"
        " COALESCE((SELECT d.refobjid FROM pg_depend d WHERE c.relkind = 'S'"
        "  AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')"
        "  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 LIMIT 1), 0),"
        " pg_has_role(c.relowner, 'USAGE'), has_table_privilege(c.oid, 'INSERT'),"
        " c.relispopulated, EXISTS (SELECT FROM pg_partitioned_table k"
        "  JOIN pg_opclass o ON o.oid = ANY(k.partclass) JOIN pg_type t ON t.oid = o.opcintype"
        "  WHERE k.partrelid = c.oid AND k.partstrat = 'h' AND (o.oid >= 16384 OR t.typname IN"
        "  ('anyenum', 'anyarray', 'anyrange', 'anymultirange', 'record'))),"
        " has_table_privilege(c.oid, 'UPDATE'),"
        " c.relhastriggers AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid"
        "  AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 20 <> 0),"
        " c.relhasrules AND EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid"
        "  AND r.ev_enabled IN ('O', 'A') AND r.ev_type IN ('2', '3')) "
        "FROM picked p JOIN pg_class c ON c.oid = p.oid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY n.nspname, c.relname";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &schemas, 1, &result));
    const size_t n = (size_t)PQntuples(result);
    catalog->relations = nsm_arena_calloc(&catalog->arena, n, sizeof(*catalog->relations));
    catalog->n_relations = n;
    for (size_t i = 0; i < n; i++)
        read_relation(result, (int)i, &catalog->arena, &catalog->relations[i]);
    return NULL;
}

/* Relations by oid, for the rows of the queries below. */
struct by_oid {
    uint32_t oid;
    struct nsm_pg_relation *relation;
};

static int compare_by_oid(const void *a, const void *b)
{
    const uint32_t left = ((const struct by_oid *)a)->oid;
    const uint32_t right = ((const struct by_oid *)b)->oid;
    return (left > right) - (left < right);
}

static struct by_oid *index_by_oid(const struct nsm_pg_catalog *catalog)
{
    struct by_oid *const index = nsm_xcalloc(catalog->n_relations + 1, sizeof(*index));
    for (size_t i = 0; i < catalog->n_relations; i++)
        index[i] = (struct by_oid){catalog->relations[i].oid, &catalog->relations[i]};
    qsort(index, catalog->n_relations, sizeof(*index), compare_by_oid);
    return index;
}

static struct nsm_pg_relation *lookup(const struct by_oid *index, size_t n, uint32_t oid)
{
    const struct by_oid key = {.oid = oid};
    const struct by_oid *const found = bsearch(&key, index, n, sizeof(*index), compare_by_oid);
    return found ? found->relation : NULL;
}

static void read_column(const PGresult *result, int row, struct nsm_arena *arena,
                        struct nsm_pg_column *column)
{
    int64_t number = 0;
    const bool is_number = nsm_parse_i64(nsm_str_of(PQgetvalue(result, row, 1)), &number);
    *column = (struct nsm_pg_column){
        .number = is_number ? (int)number : 0,
        .name = nsm_arena_strdup(arena, PQgetvalue(result, row, 2)),
        .type_oid = (uint32_t)nsm_pg_get_u64(result, row, 3),
        .format_type = nsm_arena_strdup(arena, PQgetvalue(result, row, 4)),
        .is_not_null = nsm_pg_get_bool(result, row, 5),
        .is_generated = nsm_pg_get_bool(result, row, 6),
        .has_default = nsm_pg_get_bool(result, row, 7),
    };
}

/* How many rows from `row` on have the same first column. */
static int count_same(const PGresult *result, int row)
{
    const int n = PQntuples(result);
    int end = row + 1;
    while (end < n && strcmp(PQgetvalue(result, end, 0), PQgetvalue(result, row, 0)) == 0)
        end++;
    return end - row;
}

static struct nsm_error *load_columns(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const char *schemas, const struct by_oid *index,
                                      struct nsm_pg_catalog *catalog)
{
    static const char sql[] = PICKED
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod),"
        " a.attnotnull, a.attgenerated <> '', a.atthasdef OR a.attidentity <> ''"
        "  OR EXISTS (SELECT FROM pg_type t WHERE t.oid = a.atttypid AND t.typdefault IS NOT NULL) "
        "FROM picked p JOIN pg_attribute a ON a.attrelid = p.oid "
        "JOIN pg_class c ON c.oid = p.oid "
        "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'S' "
        "ORDER BY a.attrelid, a.attnum";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &schemas, 1, &result));
    struct nsm_buf oids NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_array_begin(&oids);
    const int n_rows = PQntuples(result);
    for (int row = 0; row < n_rows;) {
        const int n = count_same(result, row);
        struct nsm_pg_column *const columns =
            nsm_arena_calloc(&catalog->arena, (size_t)n, sizeof(*columns));
        for (int i = 0; i < n; i++) {
            read_column(result, row + i, &catalog->arena, &columns[i]);
            nsm_pg_array_add(&oids, PQgetvalue(result, row + i, 3));
        }
        struct nsm_pg_relation *const relation =
            lookup(index, catalog->n_relations, (uint32_t)nsm_pg_get_u64(result, row, 0));
        if (relation) {
            relation->columns = columns;
            relation->n_columns = (size_t)n;
        }
        row += n;
    }
    nsm_pg_array_end(&oids);
    NSM_TRY(nsm_buf_error(&oids));
    return nsm_pg_types_load(conn, ctx, oids.ptr, &catalog->arena, &catalog->types);
}

/* "1 2 5" to numbers; at most n_most of them. */
static void read_numbers(const char *text, size_t n_most, struct nsm_arena *arena,
                         struct nsm_pg_relation *relation)
{
    relation->key = nsm_arena_calloc(arena, n_most, sizeof(*relation->key));
    relation->n_key = 0;
    struct nsm_str rest = nsm_str_of(text);
    while (rest.len && relation->n_key < n_most) {
        const char *const blank = memchr(rest.ptr, ' ', rest.len);
        const size_t len = blank ? (size_t)(blank - rest.ptr) : rest.len;
        int64_t number = 0;
        if (!nsm_parse_i64((struct nsm_str){.ptr = rest.ptr, .len = len}, &number))
            break;
        relation->key[relation->n_key++] = (int)number;
        rest = nsm_str_skip(rest, blank ? len + 1 : len);
    }
}

static struct nsm_error *load_keys(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                   const char *schemas, const struct by_oid *index,
                                   struct nsm_pg_catalog *catalog)
{
    /* The primary key, or the oldest unique index that can stand for it. */
    static const char sql[] =
        PICKED "SELECT DISTINCT ON (i.indrelid) i.indrelid, i.indkey, i.indnkeyatts "
               "FROM picked p JOIN pg_index i ON i.indrelid = p.oid "
               "WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL"
               " AND i.indexprs IS NULL AND NOT EXISTS ("
               "  SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull"
               "   AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])) "
               "ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &schemas, 1, &result));
    const int n_rows = PQntuples(result);
    for (int row = 0; row < n_rows; row++) {
        struct nsm_pg_relation *const relation =
            lookup(index, catalog->n_relations, (uint32_t)nsm_pg_get_u64(result, row, 0));
        if (relation)
            read_numbers(PQgetvalue(result, row, 1), (size_t)nsm_pg_get_u64(result, row, 2),
                         &catalog->arena, relation);
    }
    return NULL;
}

static struct nsm_error *load_references(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                         const char *schemas, const struct by_oid *index,
                                         struct nsm_pg_catalog *catalog)
{
    static const char sql[] = PICKED
        "SELECT f.conrelid, f.conname, n.nspname, c.relname, c.oid "
        "FROM picked p JOIN pg_constraint f ON f.conrelid = p.oid "
        "JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE f.contype = 'f' AND f.conparentid = 0 ORDER BY f.conrelid, f.conname";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, &schemas, 1, &result));
    struct nsm_arena *const arena = &catalog->arena;
    const int n_rows = PQntuples(result);
    for (int row = 0; row < n_rows;) {
        const int n = count_same(result, row);
        struct nsm_pg_reference *const references =
            nsm_arena_calloc(arena, (size_t)n, sizeof(*references));
        for (int i = 0; i < n; i++)
            references[i] = (struct nsm_pg_reference){
                .name = nsm_arena_strdup(arena, PQgetvalue(result, row + i, 1)),
                .to_schema = nsm_arena_strdup(arena, PQgetvalue(result, row + i, 2)),
                .to_name = nsm_arena_strdup(arena, PQgetvalue(result, row + i, 3)),
                .to = lookup(index, catalog->n_relations,
                             (uint32_t)nsm_pg_get_u64(result, row + i, 4)),
            };
        struct nsm_pg_relation *const relation =
            lookup(index, catalog->n_relations, (uint32_t)nsm_pg_get_u64(result, row, 0));
        if (relation) {
            relation->references = references;
            relation->n_references = (size_t)n;
        }
        row += n;
    }
    return NULL;
}

struct nsm_error *nsm_pg_catalog_load(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const char *schemas, struct nsm_pg_catalog *catalog)
{
    NSM_TRY_WRAP(load_facts(conn, ctx, catalog), "read the server's state");
    NSM_TRY_WRAP(load_schemas(conn, ctx, schemas, catalog), "list the schemas");
    NSM_TRY_WRAP(load_relations(conn, ctx, schemas, catalog), "list the tables");
    struct by_oid *index NSM_CLEANUP(nsm_freep) = index_by_oid(catalog);
    for (size_t i = 0; i < catalog->n_relations; i++) {
        struct nsm_pg_relation *const relation = &catalog->relations[i];
        relation->parent = lookup(index, catalog->n_relations, relation->parent_oid);
    }
    NSM_TRY_WRAP(load_columns(conn, ctx, schemas, index, catalog), "list the columns");
    NSM_TRY_WRAP(load_references(conn, ctx, schemas, index, catalog), "list the foreign keys");
    return nsm_error_wrap(load_keys(conn, ctx, schemas, index, catalog), "list the keys");
}

void nsm_pg_catalog_release(struct nsm_pg_catalog *catalog)
{
    nsm_arena_release(&catalog->arena);
}

/* ---- lookups ---- */

static int compare_names(const struct nsm_pg_relation *relation, const char *schema,
                         const char *name)
{
    const int order = strcmp(relation->schema, schema);
    return order ? order : strcmp(relation->name, name);
}

/* The first relation that is not before schema.name. */
static size_t lower_bound(const struct nsm_pg_catalog *catalog, const char *schema,
                          const char *name)
{
    size_t low = 0;
    size_t high = catalog->n_relations;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_names(&catalog->relations[middle], schema, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct nsm_pg_relation *nsm_pg_catalog_find(const struct nsm_pg_catalog *catalog,
                                                  const char *schema, const char *name)
{
    const size_t at = lower_bound(catalog, schema, name);
    if (at < catalog->n_relations && compare_names(&catalog->relations[at], schema, name) == 0)
        return &catalog->relations[at];
    return NULL;
}

const struct nsm_pg_relation *nsm_pg_catalog_of_schema(const struct nsm_pg_catalog *catalog,
                                                       const char *schema, size_t *ret_n)
{
    const size_t begin = lower_bound(catalog, schema, "");
    size_t end = begin;
    while (end < catalog->n_relations && strcmp(catalog->relations[end].schema, schema) == 0)
        end++;
    *ret_n = end - begin;
    return &catalog->relations[begin];
}

const struct nsm_pg_schema *nsm_pg_catalog_schema(const struct nsm_pg_catalog *catalog,
                                                  const char *name)
{
    size_t low = 0;
    size_t high = catalog->n_schemas;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(catalog->schemas[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const bool is_found = low < catalog->n_schemas && strcmp(catalog->schemas[low].name, name) == 0;
    return is_found ? &catalog->schemas[low] : NULL;
}

const struct nsm_pg_column *nsm_pg_relation_column(const struct nsm_pg_relation *relation,
                                                   const char *name)
{
    for (size_t i = 0; i < relation->n_columns; i++) {
        if (strcmp(relation->columns[i].name, name) == 0)
            return &relation->columns[i];
    }
    return NULL;
}
