/*
 * Reading a part: one COPY TO STDOUT in a transaction on the source's snapshot, passed through raw
 * (lane pgcopy) or unescaped into values (lane record).
 *
 * Threads: one.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_READER_H
#define NSM_ADAPTERS_POSTGRES_PG_READER_H

#include "adapters/postgres/pg_source.h"

/* "(4294967295,65535)" and a NUL. */
#define NSM_PG_PLACE_BYTES 24

struct nsm_pg_reader {
    struct nsm_reader base;
    struct nsm_pg_conn *conn;
    const struct nsm_pg_file *file; /* the source's */
    bool is_binary;                 /* the form that COPY sends */
    bool has_begun;                 /* the first piece, with the header, has come */
    bool is_end;
    char place[NSM_PG_PLACE_BYTES]; /* of the last row, as the server writes a tid; "" before it */
};

struct nsm_error *nsm_pg_reader_open(struct nsm_reader *reader, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_pg_read(struct nsm_reader *reader, struct nsm_context *ctx,
                              struct nsm_batch *batch, bool *ret_is_end) NSM_MUST_USE;
void nsm_pg_reader_close(struct nsm_reader *reader);

/* One message of COPY data, as the server sent it, goes to the batch: a row in the form of the reader's
 * lane, or nothing (a header, a trailer). `data`, at least one byte, is written to. NSM_E_INTERNAL when
 * it is neither. */
struct nsm_error *nsm_pg_add_copy_data(struct nsm_pg_reader *pg, struct nsm_batch *batch,
                                       char *data, size_t len) NSM_MUST_USE;

/* One row of COPY text becomes a record of the batch; `object` names its columns. NSM_E_INTERNAL
 * when the row has not as many fields. */
struct nsm_error *nsm_pg_read_row(struct nsm_batch *batch, const struct nsm_object *object,
                                  struct nsm_str row) NSM_MUST_USE;

/* Which rows of a table. */
struct nsm_pg_piece {
    const struct nsm_pg_name *table; /* NULL: the object's own */
    struct nsm_str range;            /* of blocks, "a-b" or "a-"; empty: all */
    struct nsm_str behind;           /* only rows behind this place; empty: all of the range */
    const char *where;               /* NULL: all */
};
/* Appends the COPY statement; its last column is the row's place. NSM_E_CORRUPT for a range or a place
 * that is none. */
struct nsm_error *nsm_pg_write_copy_out(struct nsm_buf *sql, const struct nsm_object *object,
                                        const struct nsm_pg_piece *piece, bool is_binary)
    NSM_MUST_USE;

/* Cut the last column, the place, off a row of COPY data, in its memory; false when there is none. */
bool nsm_pg_cut_place_binary(char *row, size_t *len, char *ret_place) NSM_MUST_USE;
bool nsm_pg_cut_place_text(char *row, size_t *len, char *ret_place) NSM_MUST_USE;

#endif
