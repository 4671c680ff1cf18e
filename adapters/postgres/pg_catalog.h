/*
 * The catalog of one database as far as a plan needs it: schemas, relations, their columns and
 * keys, read with a fixed number of queries for all namespaces together.
 *
 * Threads: immutable after load. All strings lie in the catalog's arena.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_CATALOG_H
#define NSM_ADAPTERS_POSTGRES_PG_CATALOG_H

#include "adapters/postgres/pg_types.h"

struct nsm_pg_column {
    const char *name;
    const char *format_type; /* as the server writes the type, schema-qualified */
    uint32_t type_oid;
    int number; /* attnum */
    bool is_not_null, is_generated;
    bool has_default; /* or is an identity */
};

/* A foreign key. */
struct nsm_pg_reference {
    const char *name, *to_schema, *to_name;
    const struct nsm_pg_relation *to; /* NULL when that was not loaded */
};

struct nsm_pg_relation {
    uint32_t oid;
    uint32_t parent_oid;                  /* of a partition, else 0 */
    uint32_t owned_by;                    /* of a sequence: the table it belongs to, else 0 */
    const struct nsm_pg_relation *parent; /* of a partition when that was loaded, else NULL */
    char kind; /* relkind: r table, p partitioned table, f foreign table, v, m, S */
    bool is_partition, is_readable, hides_rows, is_of_extension, is_owned, is_insertable;
    bool is_populated; /* a materialized view with rows */
    bool is_updatable;
    bool fires_triggers; /* on INSERT or UPDATE; a user's */
    bool has_rules;      /* on INSERT or UPDATE */
    bool has_own_hashes; /* partitioned by hashes that may differ in another database: of enums, and
                            of what may hold them */
    const char *schema, *name, *owner;
    double reltuples; /* -1: never counted */
    uint64_t relpages, heap_bytes, table_bytes;
    uint64_t filenode;  /* changes when the table is rewritten or truncated */
    uint64_t n_changes; /* rows inserted, updated and deleted so far, by the statistics */
    struct nsm_pg_column *columns;
    size_t n_columns;
    struct nsm_pg_reference *references;
    size_t n_references;
    int *key; /* attnums of the primary key or what stands for it, in its order */
    size_t n_key;
};

struct nsm_pg_schema {
    uint32_t oid;
    const char *name;
    bool can_create, is_owned;
};

struct nsm_pg_catalog {
    struct nsm_arena arena;
    struct nsm_pg_relation *relations; /* by schema, name (bytewise) */
    size_t n_relations;
    struct nsm_pg_schema *schemas; /* by name */
    size_t n_schemas;
    struct nsm_pg_types types;
    const char *identity; /* "<system identifier>/<oid of the database>" */
    const char *database, *user;
    bool is_superuser, can_create_schema, counts_changes, is_standby, is_read_only;
    bool has_state_schema, can_use_state_schema; /* schema nsmigrate */
    const char *next_xid;
    uint64_t n_large_objects;
    size_t block_bytes;
};

/* Reads the relations of these schemas (an array literal; NULL: all but the system's) and all
 * partitions of theirs wherever they lie. The connection's transaction decides the snapshot. */
struct nsm_error *nsm_pg_catalog_load(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const char *schemas, struct nsm_pg_catalog *catalog)
    NSM_MUST_USE;
void nsm_pg_catalog_release(struct nsm_pg_catalog *catalog);

const struct nsm_pg_relation *nsm_pg_catalog_find(const struct nsm_pg_catalog *catalog,
                                                  const char *schema, const char *name);
/* The first relation of a schema, and how many there are. */
const struct nsm_pg_relation *nsm_pg_catalog_of_schema(const struct nsm_pg_catalog *catalog,
                                                       const char *schema, size_t *ret_n);
const struct nsm_pg_schema *nsm_pg_catalog_schema(const struct nsm_pg_catalog *catalog,
                                                  const char *name);
const struct nsm_pg_column *nsm_pg_relation_column(const struct nsm_pg_relation *relation,
                                                   const char *name);
/* Whether it is one of the server's own schemas, or ours. */
bool nsm_pg_is_system_schema(const char *name);

#endif
