/*
 * Writing a part: COPY FROM STDIN in a transaction that ends with the checkpoint.
 *
 * Threads: one.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_WRITER_H
#define NSM_ADAPTERS_POSTGRES_PG_WRITER_H

#include "adapters/postgres/pg_conn.h"

struct nsm_pg_writer {
    struct nsm_writer base;
    struct nsm_pg_conn *conn;
    struct nsm_buf sql;   /* the COPY statement */
    struct nsm_buf rows;  /* lane record: rows as COPY text */
    struct nsm_buf merge; /* the INSERT from the staging table; empty: COPY goes into the table */
    struct nsm_buf begin; /* begins the transaction */
    struct nsm_buf stage; /* makes the staging table */
    bool is_binary;
    bool is_in_transaction, is_in_copy;
    bool has_last; /* a checkpoint of this part stands at the destination */
    uint64_t last; /* its records */
};

struct nsm_error *nsm_pg_writer_open(struct nsm_writer *writer, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_pg_write(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *nsm_pg_checkpoint(struct nsm_writer *writer, struct nsm_context *ctx,
                                    const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;
void nsm_pg_writer_close(struct nsm_writer *writer);

#endif
