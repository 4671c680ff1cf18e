/*
 * The types of Postgres: which canonical type a column has, whether its binary form may pass from
 * one server to another, and which type a column of another store's table gets here.
 *
 * Threads: immutable after load.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_TYPES_H
#define NSM_ADAPTERS_POSTGRES_PG_TYPES_H

#include "adapters/postgres/pg_conn.h"

struct nsm_pg_type {
    uint32_t oid;
    uint32_t base;    /* of a domain, else 0 */
    uint32_t element; /* of an array, subtype of a range, else 0 */
    char kind;        /* typtype */
    bool is_array;
    bool has_binary; /* send and receive functions */
    const char *name, *schema;
};

struct nsm_pg_types {
    struct nsm_pg_type *items; /* by oid */
    size_t n_items;
};

/* Those that the columns of all these relations use, with their bases and elements. `oids` is an
 * array literal of the types' oids. */
struct nsm_error *nsm_pg_types_load(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const char *oids, struct nsm_arena *arena,
                                    struct nsm_pg_types *ret) NSM_MUST_USE;
/* NULL when it was not loaded. */
const struct nsm_pg_type *nsm_pg_types_find(const struct nsm_pg_types *types, uint32_t oid);

/* The canonical type of a column, and its name as other stores know it: domains are their base,
 * times have their short names. `format_type` is the name as the server writes it. */
enum nsm_type nsm_pg_type_canonical(const struct nsm_pg_types *types, uint32_t oid,
                                    const char *format_type, const char **ret_name);

/* NULL when the binary form is the same on any server; else why it is not, in `arena`. */
const char *nsm_pg_type_text_reason(const struct nsm_pg_types *types, uint32_t oid,
                                    struct nsm_arena *arena);

/* The type of a column that is made here for one of another store. */
const char *nsm_pg_type_for(const struct nsm_column *column);

#endif
