/*
 * Writing a part: COPY FROM STDIN in a transaction that ends with the checkpoint.
 *
 * Threads: one.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_WRITER_H
#define NSM_ADAPTERS_POSTGRES_PG_WRITER_H

#include "adapters/postgres/pg_share.h"

struct nsm_pg_writer {
    struct nsm_writer base;
    struct nsm_pg_conn *conn;
    struct nsm_pg_share share;
    struct nsm_buf sql;   /* the COPY statement */
    struct nsm_buf rows;  /* lane record: rows as COPY text */
    struct nsm_buf merge; /* the INSERT from the staging table; empty: COPY goes into the table */
    struct nsm_buf begin; /* begins the transaction */
    struct nsm_buf stage; /* makes the staging table */
    struct nsm_buf erase; /* the DELETE by the keys in another one; empty before the first */
    bool is_binary;
    bool is_in_transaction, is_in_copy;
    bool has_keys_table; /* in this transaction */
    bool is_partitioned; /* a repair's table, whose rows lie in others */
    bool has_last;       /* a checkpoint of this part stands at the destination */
    uint64_t last;       /* its records */
};

struct nsm_error *nsm_pg_writer_open(struct nsm_writer *writer, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_pg_write(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *nsm_pg_checkpoint(struct nsm_writer *writer, struct nsm_context *ctx,
                                    const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;
void nsm_pg_writer_close(struct nsm_writer *writer);

/* ---- pg_erase.c ---- */

struct nsm_error *nsm_pg_erase(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch) NSM_MUST_USE;
/* After BEGIN of a repair: nothing that the table would do by itself acts until the transaction ends. */
struct nsm_error *nsm_pg_erase_prelude(struct nsm_pg_writer *pg, struct nsm_context *ctx)
    NSM_MUST_USE;

/* ---- of pg_writer.c, for pg_erase.c ---- */

/* Begins the transaction if none is open. */
struct nsm_error *nsm_pg_writer_begin(struct nsm_pg_writer *pg, struct nsm_context *ctx)
    NSM_MUST_USE;
/* Copies the rows into a table that has the target's columns, after what is on its way. */
struct nsm_error *nsm_pg_writer_copy(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                     const char *sql, const struct nsm_batch *batch) NSM_MUST_USE;
void nsm_pg_append_columns(struct nsm_buf *sql, const struct nsm_object *object);

#endif
