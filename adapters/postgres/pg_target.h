/*
 * A namespace of Postgres as it is written: what inspect finds out, and what prepare, the writers
 * and finish go by. And the tables of schema nsmigrate, in which the destination itself keeps what
 * this run has made and done, so that its own word counts and not a file's:
 *
 *   nsmigrate.checkpoint   how far each part is, in the transactions of the rows
 *   nsmigrate.done         what was prepared and finished, in the transactions that did it
 *   nsmigrate.later        constraints that come back after the rows (pg_later.h)
 *
 * They are dropped when the last run's last namespace is complete.
 *
 * Threads: the state is immutable after inspect but for what prepare adds, which happens before any
 * writer.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_TARGET_H
#define NSM_ADAPTERS_POSTGRES_PG_TARGET_H

#include "adapters/postgres/pg_source.h"

struct nsm_pg_definition;

/* One per object of the target. */
struct nsm_pg_target {
    struct nsm_pg_name from; /* the shape's */
    struct nsm_pg_name to;
    bool is_partitioned; /* read and written as a whole: see nsm_pg_table */
    bool is_standing;    /* exists already, and not by this run */
    bool is_ours;        /* this run made it */
    bool is_kept;        /* standing, and rows go into it: if_exists is merge or skip */
};

/* An object of any kind that stands where one of ours would go. */
struct nsm_pg_standing {
    uint32_t class_oid, oid; /* as pg_depend has them */
    const char *type;        /* "table", "function", ...: the server's word */
    const char *identity;    /* quoted, with the arguments' types */
};

struct nsm_pg_destination {
    struct nsm_arena arena;
    struct nsm_pg_target *tables; /* index by index the target's objects */
    size_t n_tables;
    struct nsm_pg_standing *in_the_way; /* to be dropped by replace */
    size_t n_in_the_way;
    bool has_definition; /* the source is a Postgres: pg_dump brings its objects */
    bool has_begun;      /* this run has made objects here, says the destination */
    bool is_superuser;
    const char *from_schema; /* the one schema that becomes another; NULL: none is renamed */
    const char *to_schema;
    bool renames_table;
    const char *identity;           /* of server and database */
    struct nsm_pg_source *archived; /* what an archive has of its source (pg_facts.h); NULL: none */
    /* the definition that was loaded last (pg_items.h); NULL: none */
    struct nsm_arena definition_arena;
    struct nsm_pg_definition *definition;
    const char *definition_archive;
    struct nsm_pg_claim *claim; /* pg_claim.h; NULL: none yet */
};

/* What survey left of a source that is a Postgres, or once was; NULL: it is none, the core does not show it,
 * or its definition is not used. */
const struct nsm_pg_source *nsm_pg_source_of(const struct nsm_destination *destination);

/* The adapter's operations on destinations. */
struct nsm_error *nsm_pg_inspect(struct nsm_backend *backend, struct nsm_context *ctx,
                                 struct nsm_destination **destinations, size_t n_destinations)
    NSM_MUST_USE;
void nsm_pg_release_destination(struct nsm_destination *destination);
struct nsm_error *nsm_pg_prepare(struct nsm_destination *destination, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_pg_plan_finish(struct nsm_destination *destination, struct nsm_context *ctx,
                                     struct nsm_finish_plan *plan) NSM_MUST_USE;
struct nsm_error *nsm_pg_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                     const struct nsm_finish_step *step) NSM_MUST_USE;
struct nsm_error *nsm_pg_load_checkpoints(struct nsm_backend *backend, struct nsm_context *ctx,
                                          nsm_checkpoint_fn *fn, void *arg) NSM_MUST_USE;
struct nsm_error *nsm_pg_reset_object(struct nsm_destination *destination, struct nsm_context *ctx,
                                      size_t object_index) NSM_MUST_USE;
struct nsm_error *nsm_pg_complete(struct nsm_destination *destination, struct nsm_context *ctx)
    NSM_MUST_USE;

/* Where prepare leaves the definition under its new names; finish takes it from there. */
const char *nsm_pg_renamed_archive(const struct nsm_destination *destination,
                                   struct nsm_arena *arena);

/* ---- schema nsmigrate ---- */

/* Kinds of nsmigrate.done. */
#define NSM_PG_DONE_PREPARED "prepared" /* name: "" */
#define NSM_PG_DONE_TABLE    "table"    /* name: the table's quoted name */
#define NSM_PG_DONE_TEMPLATE "template" /* an object made only to learn its renamed definition */
#define NSM_PG_DONE_STEP     "step"     /* name: the step's title */

/* Takes the lock under which schemas are made and renamed, for the transaction that is open, and
 * makes the schema nsmigrate and its tables if they are not there. */
struct nsm_error *nsm_pg_state_ensure(struct nsm_pg_conn *conn, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_pg_state_add(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                   const struct nsm_destination *destination, const char *kind,
                                   const char *name) NSM_MUST_USE;
struct nsm_error *nsm_pg_state_has(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                   const struct nsm_destination *destination, const char *kind,
                                   const char *name, bool *ret) NSM_MUST_USE;
/* All of this run: columns namespace, kind, name, in order. *ret NULL when there is no such table.
 */
struct nsm_error *nsm_pg_state_load(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const struct nsm_backend *backend, PGresult **ret) NSM_MUST_USE;
/* Writes a checkpoint in the open transaction, over the one with `*last` records (NULL: none).
 * NSM_E_UNAVAILABLE when another stands there. */
struct nsm_error *nsm_pg_state_checkpoint(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                          const struct nsm_write_request *request,
                                          const struct nsm_checkpoint *checkpoint,
                                          const uint64_t *last) NSM_MUST_USE;

#endif
