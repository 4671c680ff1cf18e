/*
 * A writer keeps one COPY open from checkpoint to checkpoint, so rows stream without a round trip;
 * the checkpoint ends it, notes how far the part is, and commits both together.
 *
 * Rows for a table that stood there before (if_exists: merge, skip) go to a staging table first and
 * from there, batch by batch, by INSERT ... ON CONFLICT: so the number of rows that stood there is
 * known before the checkpoint counts them.
 */
#include "adapters/postgres/pg_writer.h"

#include <poll.h>

#include "adapters/postgres/pg_claim.h"
#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_target.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

/* Handed to libpq at a time: it copies it and grows its buffer to it. */
#define PIECE_BYTES ((size_t)256 << 10)
#define MAX_ROWS    (2 * NSM_MAX_VALUE_BYTES)
#define STAGING     "pg_temp.nsmigrate_rows"

void nsm_pg_append_columns(struct nsm_buf *sql, const struct nsm_object *object)
{
    for (size_t i = 0; i < object->n_columns; i++) {
        nsm_buf_append_cstr(sql, i ? ", " : "");
        nsm_pg_quote_ident(sql, object->columns[i].name);
    }
}

static bool is_key(const struct nsm_object *object, size_t column)
{
    for (size_t i = 0; i < object->n_key_columns; i++) {
        if (object->key_columns[i] == column)
            return true;
    }
    return false;
}

static void write_merge(struct nsm_pg_writer *pg, enum nsm_if_exists if_exists)
{
    const struct nsm_object *const object = pg->base.request->object;
    struct nsm_buf *const sql = &pg->merge;
    nsm_buf_append_cstr(sql, "INSERT INTO ");
    nsm_pg_quote_qualified(sql, object->schema, object->name);
    nsm_buf_append_cstr(sql, " (");
    nsm_pg_append_columns(sql, object);
    nsm_buf_append_cstr(sql, ") OVERRIDING SYSTEM VALUE SELECT ");
    nsm_pg_append_columns(sql, object);
    nsm_buf_append_cstr(sql, " FROM " STAGING " ON CONFLICT (");
    for (size_t i = 0; i < object->n_key_columns; i++) {
        nsm_buf_append_cstr(sql, i ? ", " : "");
        nsm_pg_quote_ident(sql, object->columns[object->key_columns[i]].name);
    }
    nsm_buf_append_cstr(sql, ") DO ");
    size_t n_set = 0;
    for (size_t i = 0; i < object->n_columns && if_exists == NSM_IF_EXISTS_MERGE; i++) {
        if (is_key(object, i))
            continue;
        nsm_buf_append_cstr(sql, n_set++ ? ", " : "UPDATE SET ");
        nsm_pg_quote_ident(sql, object->columns[i].name);
        nsm_buf_append_cstr(sql, " = excluded.");
        nsm_pg_quote_ident(sql, object->columns[i].name);
    }
    if (!n_set)
        nsm_buf_append_cstr(sql, "NOTHING");
    nsm_buf_append_cstr(&pg->stage,
                        "CREATE TEMPORARY TABLE nsmigrate_rows ON COMMIT DROP AS SELECT ");
    nsm_pg_append_columns(&pg->stage, object);
    nsm_buf_append_cstr(&pg->stage, " FROM ");
    nsm_pg_quote_qualified(&pg->stage, object->schema, object->name);
    nsm_buf_append_cstr(&pg->stage, " WITH NO DATA");
}

struct nsm_error *nsm_pg_writer_open(struct nsm_writer *writer, struct nsm_context *ctx)
{
    struct nsm_pg_writer *const pg = (struct nsm_pg_writer *)writer;
    const struct nsm_write_request *const request = writer->request;
    const struct nsm_pg_destination *const state = request->destination->state;
    const struct nsm_object *const object = request->object;
    const bool is_kept = state->tables[request->object_index].is_kept && !request->is_repair;
    pg->sql = NSM_BUF_TEXT;
    pg->merge = NSM_BUF_TEXT;
    pg->stage = NSM_BUF_TEXT;
    pg->begin = NSM_BUF_TEXT;
    pg->erase = NSM_BUF_TEXT;
    pg->rows = NSM_BUF_INIT(MAX_ROWS);
    /* What functions of generated columns and domains find by an application's search_path, they
     * find in the table's schema. */
    nsm_buf_append_cstr(&pg->begin, "BEGIN; SET LOCAL search_path = ");
    nsm_pg_quote_ident(&pg->begin, object->schema);
    pg->has_last = request->from != NULL;
    pg->last = request->from ? request->from->n_records : 0;
    pg->is_binary =
        request->lane == NSM_LANE_PGCOPY &&
        strcmp(request->destination->shape->objects[request->object_index].format, "binary") == 0;
    if (is_kept)
        write_merge(pg, request->destination->if_exists);
    nsm_buf_append_cstr(&pg->sql, "COPY ");
    if (is_kept)
        nsm_buf_append_cstr(&pg->sql, STAGING);
    else
        nsm_pg_quote_qualified(&pg->sql, object->schema, object->name);
    if (object->n_columns) {
        nsm_buf_append_cstr(&pg->sql, " (");
        nsm_pg_append_columns(&pg->sql, object);
        nsm_buf_append_char(&pg->sql, ')');
    }
    nsm_buf_printf(&pg->sql, " FROM STDIN (FORMAT %s)", pg->is_binary ? "binary" : "text");
    struct nsm_error *error = nsm_pg_claim(request->destination, ctx);
    if (!error)
        error = nsm_pg_acquire((struct nsm_pg_backend *)writer->backend, ctx, &pg->conn);
    if (error) {
        nsm_pg_writer_close(writer);
        return error;
    }
    pg->share = nsm_pg_share_take((struct nsm_pg_backend *)writer->backend, 0);
    return NULL;
}

static struct nsm_error *lost(struct nsm_pg_writer *pg)
{
    pg->conn->is_broken = true;
    return nsm_pg_lost_error(pg->conn->pq);
}

/* ---- the stream ---- */

static struct nsm_error *put(struct nsm_pg_writer *pg, struct nsm_context *ctx, struct nsm_str data)
{
    while (data.len) {
        const size_t n = data.len < PIECE_BYTES ? data.len : PIECE_BYTES;
        const int status = PQputCopyData(pg->conn->pq, data.ptr, (int)n);
        if (status < 0)
            return lost(pg);
        if (status > 0)
            data = nsm_str_skip(data, n);
        NSM_TRY(nsm_pg_flush(pg->conn, ctx));
    }
    return NULL;
}

struct nsm_error *nsm_pg_writer_begin(struct nsm_pg_writer *pg, struct nsm_context *ctx)
{
    if (pg->is_in_transaction)
        return NULL;
    NSM_TRY(nsm_pg_exec(pg->conn, ctx, pg->begin.ptr));
    pg->is_in_transaction = true;
    pg->has_keys_table = false;
    if (pg->base.request->is_repair)
        NSM_TRY(nsm_pg_erase_prelude(pg, ctx));
    return pg->stage.len ? nsm_pg_exec(pg->conn, ctx, pg->stage.ptr) : NULL;
}

static struct nsm_error *begin_copy(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                    const char *sql)
{
    NSM_TRY(nsm_pg_writer_begin(pg, ctx));
    NSM_TRY(nsm_buf_error(&pg->sql));
    NSM_TRY(nsm_pg_send(pg->conn, ctx, sql));
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_next_result(pg->conn, ctx, &result));
    if (PQresultStatus(result) != PGRES_COPY_IN) {
        pg->conn->is_broken = true;
        return nsm_pg_result_error(result);
    }
    pg->is_in_copy = true;
    return pg->is_binary ? put(pg, ctx, NSM_PG_BINARY_HEADER) : NULL;
}

static struct nsm_error *end_copy(struct nsm_pg_writer *pg, struct nsm_context *ctx)
{
    if (!pg->is_in_copy)
        return NULL;
    if (pg->is_binary)
        NSM_TRY(put(pg, ctx, NSM_PG_BINARY_TRAILER));
    for (;;) {
        const int status = PQputCopyEnd(pg->conn->pq, NULL);
        if (status < 0)
            return lost(pg);
        NSM_TRY(nsm_pg_flush(pg->conn, ctx));
        if (status > 0)
            break;
    }
    pg->is_in_copy = false;
    return nsm_pg_finish_results(pg->conn, ctx);
}

/* While rows are sent, libpq does not show an error that the server has sent meanwhile. But the
 * server says nothing else during COPY: when something came, the COPY is ended, which brings the
 * error to light, instead of sending the rest of a part for nothing. */
static struct nsm_error *look_for_error(struct nsm_pg_writer *pg, struct nsm_context *ctx)
{
    struct pollfd fd = {.fd = PQsocket(pg->conn->pq), .events = POLLIN};
    if (!pg->is_in_copy || poll(&fd, 1, 0) == 0)
        return NULL;
    if (!PQconsumeInput(pg->conn->pq))
        return lost(pg);
    return end_copy(pg, ctx);
}

/* ---- rows ---- */

static struct nsm_error *append_record(struct nsm_pg_writer *pg, const struct nsm_record *record)
{
    const struct nsm_object *const object = pg->base.request->object;
    if (record->n_items != object->n_columns)
        return nsm_error_new(NSM_E_INTERNAL, "a row of %zu values for %zu columns", record->n_items,
                             object->n_columns);
    for (size_t i = 0; i < record->n_items; i++) {
        const struct nsm_value *const value = &record->items[i];
        const struct nsm_column *const column = &object->columns[i];
        const bool is_bytea = column->type == NSM_BYTES;
        if (value->type == NSM_BYTES && !is_bytea)
            return nsm_error_new(NSM_E_UNSUPPORTED, "column %s: bytes can't go into type %s",
                                 column->name, column->type_name);
        if (i)
            nsm_buf_append_char(&pg->rows, '\t');
        NSM_TRY_WRAP(nsm_pg_copy_write_field(&pg->rows, value, is_bytea), "column %s",
                     column->name);
    }
    nsm_buf_append_char(&pg->rows, '\n');
    return nsm_buf_error(&pg->rows);
}

static struct nsm_error *put_batch(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                   const struct nsm_batch *batch)
{
    if (batch->lane == NSM_LANE_PGCOPY)
        return put(pg, ctx, nsm_buf_view(&batch->raw));
    nsm_buf_clear(&pg->rows);
    for (size_t i = 0; i < batch->n_records; i++)
        NSM_TRY(append_record(pg, &batch->records[i]));
    return put(pg, ctx, nsm_buf_view(&pg->rows));
}

struct nsm_error *nsm_pg_writer_copy(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                     const char *sql, const struct nsm_batch *batch)
{
    NSM_TRY(end_copy(pg, ctx));
    NSM_TRY(begin_copy(pg, ctx, sql));
    NSM_TRY(put_batch(pg, ctx, batch));
    return end_copy(pg, ctx);
}

static struct nsm_error *merge_batch(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                     const struct nsm_batch *batch)
{
    NSM_TRY(end_copy(pg, ctx));
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(pg->conn, ctx, pg->merge.ptr, NULL, 0, &result));
    uint64_t n_written = 0;
    const uint64_t n = nsm_batch_count(batch);
    if (nsm_parse_u64(nsm_str_of(PQcmdTuples(result)), &n_written) && n_written < n &&
        pg->base.request->destination->if_exists == NSM_IF_EXISTS_SKIP)
        pg->base.n_skipped += n - n_written;
    return nsm_pg_exec(pg->conn, ctx, "TRUNCATE " STAGING);
}

static struct nsm_error *write_batch(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                     const struct nsm_batch *batch)
{
    if (nsm_batch_count(batch) == 0)
        return nsm_context_error(ctx);
    NSM_TRY(look_for_error(pg, ctx));
    if (!pg->is_in_copy)
        NSM_TRY(begin_copy(pg, ctx, pg->sql.ptr));
    NSM_TRY(put_batch(pg, ctx, batch));
    return pg->merge.len ? merge_batch(pg, ctx, batch) : NULL;
}

static struct nsm_error *wrap(const struct nsm_pg_writer *pg, struct nsm_error *error)
{
    const struct nsm_object *const object = pg->base.request->object;
    return nsm_error_wrap(error, "write table %s.%s", object->schema, object->name);
}

struct nsm_error *nsm_pg_write(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch)
{
    struct nsm_pg_writer *const pg = (struct nsm_pg_writer *)writer;
    return wrap(pg, write_batch(pg, ctx, batch));
}

static struct nsm_error *commit(struct nsm_pg_writer *pg, struct nsm_context *ctx,
                                const struct nsm_checkpoint *checkpoint)
{
    NSM_TRY(end_copy(pg, ctx));
    NSM_TRY(nsm_pg_writer_begin(pg, ctx));
    if (!pg->base.request->is_repair)
        NSM_TRY_WRAP(nsm_pg_state_checkpoint(pg->conn, ctx, pg->base.request, checkpoint,
                                             pg->has_last ? &pg->last : NULL),
                     "note the checkpoint");
    NSM_TRY(nsm_pg_claim(pg->base.request->destination, ctx));
    NSM_TRY_WRAP(nsm_pg_exec(pg->conn, ctx, "COMMIT"), "commit");
    pg->is_in_transaction = false;
    pg->has_last = true;
    pg->last = checkpoint->n_records;
    return NULL;
}

struct nsm_error *nsm_pg_checkpoint(struct nsm_writer *writer, struct nsm_context *ctx,
                                    const struct nsm_checkpoint *checkpoint)
{
    struct nsm_pg_writer *const pg = (struct nsm_pg_writer *)writer;
    return wrap(pg, commit(pg, ctx, checkpoint));
}

void nsm_pg_writer_close(struct nsm_writer *writer)
{
    struct nsm_pg_writer *const pg = (struct nsm_pg_writer *)writer;
    nsm_pg_share_give_back(&pg->share);
    nsm_pg_release(NSM_STEAL(pg->conn));
    nsm_buf_release(&pg->sql);
    nsm_buf_release(&pg->merge);
    nsm_buf_release(&pg->stage);
    nsm_buf_release(&pg->begin);
    nsm_buf_release(&pg->erase);
    nsm_buf_release(&pg->rows);
}
