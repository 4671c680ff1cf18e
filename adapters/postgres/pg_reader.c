/*
 * A reader asks once: COPY streams, so the next rows are always on their way. Nothing is decoded in
 * lane pgcopy; all that is taken off is the header and the trailer of the binary stream, and the last
 * column, which is ours: the row's place in the table (ctid). Scans are kept to those that go through
 * a table in that order, so a place tells what lies behind it, and a part can be taken up there.
 *
 * A table that was rewritten or truncated after the survey looks empty to an older snapshot. The
 * COPY's own lock keeps that from happening while it runs; what happened before is found at its end
 * by the table's file.
 */
#include "adapters/postgres/pg_reader.h"

#include <poll.h>

#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_snapshot.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

/* "a-b" or "a-". */
static struct nsm_error *parse_range(struct nsm_str range, uint64_t *ret_begin, uint64_t *ret_end,
                                     bool *ret_is_open)
{
    const char *const dash = range.len ? memchr(range.ptr, '-', range.len) : NULL;
    const size_t len = dash ? (size_t)(dash - range.ptr) : range.len;
    const struct nsm_str end = dash ? nsm_str_skip(range, len + 1) : (struct nsm_str){0};
    *ret_is_open = end.len == 0;
    if (!dash || !nsm_parse_u64((struct nsm_str){.ptr = range.ptr, .len = len}, ret_begin) ||
        (!*ret_is_open && !nsm_parse_u64(end, ret_end)))
        return nsm_error_new(NSM_E_CORRUPT, "the part's range is not one of blocks");
    return NULL;
}

/* "(block,offset)", and nothing else, because it becomes part of a statement. */
static struct nsm_error *check_place(struct nsm_str place)
{
    const char *const comma = place.len ? memchr(place.ptr, ',', place.len) : NULL;
    uint64_t block = 0;
    uint64_t offset = 0;
    if (!comma || place.ptr[0] != '(' || place.ptr[place.len - 1] != ')')
        return nsm_error_new(NSM_E_CORRUPT, "the place to continue from is none in a table");
    const struct nsm_str first = {place.ptr + 1, (size_t)(comma - place.ptr) - 1};
    const struct nsm_str second = {comma + 1, (size_t)(place.ptr + place.len - comma) - 2};
    if (!nsm_parse_u64(first, &block) || !nsm_parse_u64(second, &offset) || block > UINT32_MAX ||
        offset > UINT16_MAX)
        return nsm_error_new(NSM_E_CORRUPT, "the place to continue from is none in a table");
    return NULL;
}

static struct nsm_error *write_condition(struct nsm_buf *sql, const struct nsm_pg_piece *piece)
{
    const char *glue = " WHERE ";
    uint64_t begin = 0;
    uint64_t end = 0;
    bool is_open = true;
    if (piece->range.len)
        NSM_TRY(parse_range(piece->range, &begin, &end, &is_open));
    if (piece->behind.len) {
        NSM_TRY(check_place(piece->behind));
        nsm_buf_printf(sql, "%sctid > '%.*s'::tid", glue, NSM_STR_ARG(piece->behind));
        glue = " AND ";
    } else if (piece->range.len) {
        nsm_buf_printf(sql, "%sctid >= '(%llu,0)'::tid", glue, (unsigned long long)begin);
        glue = " AND ";
    }
    if (!is_open) {
        nsm_buf_printf(sql, "%sctid < '(%llu,0)'::tid", glue, (unsigned long long)end);
        glue = " AND ";
    }
    /* The line's end closes a comment in the plan's condition. */
    if (piece->where)
        nsm_buf_printf(sql, "%s(%s\n)", glue, piece->where);
    return NULL;
}

struct nsm_error *nsm_pg_write_copy_out(struct nsm_buf *sql, const struct nsm_object *object,
                                        const struct nsm_pg_piece *piece, bool is_binary)
{
    nsm_buf_append_cstr(sql, "COPY (SELECT ");
    for (size_t i = 0; i < object->n_columns; i++) {
        nsm_pg_quote_ident(sql, object->columns[i].name);
        nsm_buf_append_cstr(sql, ", ");
    }
    nsm_buf_append_cstr(sql, "ctid FROM ONLY ");
    if (piece->table)
        nsm_pg_quote_qualified(sql, piece->table->schema, piece->table->name);
    else
        nsm_pg_quote_qualified(sql, object->schema, object->name);
    NSM_TRY(write_condition(sql, piece));
    nsm_buf_printf(sql, ") TO STDOUT (FORMAT %s)", is_binary ? "binary" : "text");
    return nsm_buf_error(sql);
}

static void put_place(char *at, uint32_t block, uint32_t offset)
{
    *at++ = '(';
    at += nsm_format_u64(block, at);
    *at++ = ',';
    at += nsm_format_u64(offset, at);
    *at++ = ')';
    *at = '\0';
}

bool nsm_pg_cut_place_binary(char *row, size_t *len, char *ret_place)
{
    const size_t n_field = 4 + 6;
    if (*len < 2 + n_field)
        return false;
    const unsigned char *const head = (const unsigned char *)row;
    const unsigned char *const field = head + *len - n_field;
    const unsigned n_fields = (unsigned)head[0] << 8 | head[1];
    if (n_fields == 0 || n_fields > INT16_MAX || field[0] || field[1] || field[2] || field[3] != 6)
        return false;
    const unsigned char *const place = field + 4;
    put_place(ret_place,
              (uint32_t)place[0] << 24 | (uint32_t)place[1] << 16 | (uint32_t)place[2] << 8 |
                  place[3],
              (uint32_t)place[4] << 8 | place[5]);
    row[0] = (char)(unsigned char)((n_fields - 1) >> 8);
    row[1] = (char)(unsigned char)((n_fields - 1) & 255);
    *len -= n_field;
    return true;
}

bool nsm_pg_cut_place_text(char *row, size_t *len, char *ret_place)
{
    if (*len == 0 || row[*len - 1] != '\n')
        return false;
    const char *const tab = memrchr(row, '\t', *len);
    const size_t begin = tab ? (size_t)(tab - row) : 0;
    const size_t place = tab ? begin + 1 : 0;
    const size_t n = *len - 1 - place;
    if (n >= NSM_PG_PLACE_BYTES)
        return false;
    memcpy(ret_place, row + place, n);
    ret_place[n] = '\0';
    row[begin] = '\n';
    *len = begin + 1;
    return true;
}

/* Waits for the server to begin sending. */
static struct nsm_error *start_copy(struct nsm_pg_reader *pg, struct nsm_context *ctx,
                                    const char *sql)
{
    NSM_TRY(nsm_pg_send(pg->conn, ctx, sql));
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_next_result(pg->conn, ctx, &result));
    if (PQresultStatus(result) != PGRES_COPY_OUT)
        return nsm_pg_result_error(result);
    return NULL;
}

/* Whether the table is, under a snapshot that came in the place of the survey's, what it was. */
static struct nsm_error *check_version(struct nsm_pg_reader *pg, struct nsm_context *ctx)
{
    char oid[16];
    (void)snprintf(oid, sizeof(oid), "%u", pg->file->oid);
    const char *const params[] = {oid};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(pg->conn, ctx,
                         "SELECT pg_relation_filenode($1::oid) || '/' ||"
                         " pg_stat_get_tuples_inserted($1::oid)"
                         " + pg_stat_get_tuples_updated($1::oid)"
                         " + pg_stat_get_tuples_deleted($1::oid)",
                         params, 1, &result));
    if (strcmp(PQgetvalue(result, 0, 0), pg->file->version) == 0)
        return NULL;
    return nsm_error_new(
        NSM_E_CONFLICT,
        "the snapshot that all tables were read from was lost when the server ended "
        "its session, and the table may have changed since: run again");
}

static struct nsm_error *begin(struct nsm_pg_reader *pg, struct nsm_context *ctx)
{
    const struct nsm_pg_source *const state = pg->base.request->source->state;
    if (!state->snapshot_number)
        return nsm_pg_begin_read(pg->conn, ctx, NULL);
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_snapshot snapshot = {0};
    NSM_TRY(
        nsm_pg_take_snapshot((struct nsm_pg_backend *)pg->base.backend, ctx, &arena, &snapshot));
    NSM_TRY(nsm_pg_begin_read(pg->conn, ctx, snapshot.id));
    return snapshot.number == state->snapshot_number ? NULL : check_version(pg, ctx);
}

/* The file of a part, and the range of blocks in it. */
static struct nsm_error *find_file(const struct nsm_pg_source *source, const struct nsm_part *part,
                                   const struct nsm_pg_file **ret_file, struct nsm_str *ret_blocks)
{
    const struct nsm_pg_table *const table = &source->tables[part->object];
    const char *const colon =
        part->range.len ? memchr(part->range.ptr, ':', part->range.len) : NULL;
    const size_t len = colon ? (size_t)(colon - part->range.ptr) : 0;
    uint64_t oid = 0;
    *ret_file = table->files;
    *ret_blocks = part->range;
    if (!table->is_partitioned)
        return NULL;
    const bool is_number = nsm_parse_u64((struct nsm_str){part->range.ptr, len}, &oid);
    for (size_t i = 0; i < table->n_files && is_number; i++) {
        if (table->files[i].oid != oid)
            continue;
        *ret_file = &table->files[i];
        *ret_blocks = nsm_str_skip(part->range, len + 1);
        return NULL;
    }
    return nsm_error_new(NSM_E_CONFLICT, "a partition is gone since it was surveyed: run again");
}

static struct nsm_error *open_conn(struct nsm_pg_reader *pg, struct nsm_context *ctx)
{
    const struct nsm_read_request *const request = pg->base.request;
    const struct nsm_pg_source *const state = request->source->state;
    struct nsm_str blocks = {0};
    NSM_TRY(find_file(state, request->part, &pg->file, &blocks));
    const struct nsm_pg_piece piece = {
        .table = &pg->file->name,
        .range = blocks,
        .behind = request->resume,
        .where = state->selection.where,
    };
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    NSM_TRY(nsm_pg_write_copy_out(&sql, request->object, &piece, pg->is_binary));
    NSM_TRY(begin(pg, ctx));
    /* Nothing but scans in the order of the table; a bitmap's is one too. */
    NSM_TRY(nsm_pg_exec(pg->conn, ctx,
                        "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;"
                        "SET LOCAL max_parallel_workers_per_gather = 0"));
    return start_copy(pg, ctx, sql.ptr);
}

struct nsm_error *nsm_pg_reader_open(struct nsm_reader *reader, struct nsm_context *ctx)
{
    struct nsm_pg_reader *const pg = (struct nsm_pg_reader *)reader;
    const struct nsm_read_request *const request = reader->request;
    pg->is_binary =
        request->lane == NSM_LANE_PGCOPY && strcmp(request->object->format, "binary") == 0;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)reader->backend, ctx, &pg->conn));
    struct nsm_error *const error = open_conn(pg, ctx);
    if (!error)
        return NULL;
    nsm_pg_release(NSM_STEAL(pg->conn));
    return nsm_error_wrap(error, "read table %s.%s", request->object->schema,
                          request->object->name);
}

/* ---- rows ---- */

static struct nsm_error *read_float(struct nsm_batch *batch, struct nsm_value *value)
{
    double number = 0;
    if (!nsm_parse_double(value->bytes, &number))
        return nsm_error_new(NSM_E_INTERNAL, "the server sent a float that is none");
    char *const text = nsm_arena_alloc(&batch->arena, 32);
    value->bytes = (struct nsm_str){.ptr = text, .len = nsm_format_double(number, text)};
    return NULL;
}

static struct nsm_error *read_value(struct nsm_batch *batch, const struct nsm_column *column,
                                    struct nsm_value *value)
{
    value->type = column->type;
    if (column->type == NSM_FLOAT)
        return read_float(batch, value);
    if (column->type == NSM_BYTES && !nsm_pg_bytea_decode(&value->bytes))
        return nsm_error_new(NSM_E_INTERNAL, "the server sent a bytea that is not hexadecimal");
    return NULL;
}

struct nsm_error *nsm_pg_read_row(struct nsm_batch *batch, const struct nsm_object *object,
                                  struct nsm_str row)
{
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_ROW, object->n_columns);
    char *at = nsm_arena_alloc(&batch->arena, row.len + 1);
    struct nsm_str rest = row;
    size_t n = 0;
    struct nsm_str field = {0};
    bool is_null = false;
    while (object->n_columns && nsm_pg_copy_read_field(&rest, &at, &field, &is_null)) {
        if (n == object->n_columns)
            return nsm_error_new(NSM_E_INTERNAL, "the server sent more than %zu columns", n);
        struct nsm_value *const value = &record->items[n];
        if (!is_null) {
            value->bytes = field;
            NSM_TRY_WRAP(read_value(batch, &object->columns[n], value), "column %s",
                         object->columns[n].name);
        }
        n++;
    }
    if (n != object->n_columns)
        return nsm_error_new(NSM_E_INTERNAL, "the server sent %zu columns instead of %zu", n,
                             object->n_columns);
    nsm_batch_account(batch);
    return NULL;
}

struct nsm_error *nsm_pg_add_copy_data(struct nsm_pg_reader *pg, struct nsm_batch *batch,
                                       char *data, size_t len)
{
    struct nsm_str view = {.ptr = data, .len = len};
    if (pg->is_binary && !pg->has_begun && !nsm_pg_binary_skip_header(&view))
        return nsm_error_new(NSM_E_INTERNAL, "the server sent no header of binary COPY data");
    pg->has_begun = true;
    if (pg->is_binary && (nsm_pg_binary_is_trailer(view) || view.len == 0))
        return NULL;
    char *const begin = data + (len - view.len);
    const bool is_cut = pg->is_binary ? nsm_pg_cut_place_binary(begin, &view.len, pg->place)
                                      : nsm_pg_cut_place_text(begin, &view.len, pg->place);
    if (!is_cut)
        return nsm_error_new(NSM_E_INTERNAL, "the server sent a row without its place");
    if (pg->base.request->lane == NSM_LANE_PGCOPY)
        return nsm_batch_add_raw(batch, view);
    return nsm_pg_read_row(batch, pg->base.request->object, view);
}

/* ---- the end of a part ---- */

static struct nsm_error *check_file(struct nsm_pg_reader *pg, struct nsm_context *ctx)
{
    const struct nsm_read_request *const request = pg->base.request;
    const struct nsm_pg_source *const state = request->source->state;
    if (!state->snapshot_number)
        return NULL;
    char oid[16];
    (void)snprintf(oid, sizeof(oid), "%u", pg->file->oid);
    const char *const params[] = {oid};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(pg->conn, ctx, "SELECT COALESCE(pg_relation_filenode($1), 0)", params, 1,
                         &result));
    if (nsm_pg_get_u64(result, 0, 0) != pg->file->filenode)
        return nsm_error_new(
            NSM_E_CONFLICT,
            "the table was rewritten or truncated since it was surveyed: run again");
    return NULL;
}

static struct nsm_error *end_copy(struct nsm_pg_reader *pg, struct nsm_context *ctx)
{
    NSM_TRY(nsm_pg_finish_results(pg->conn, ctx));
    NSM_TRY(check_file(pg, ctx));
    NSM_TRY(nsm_pg_exec(pg->conn, ctx, "COMMIT"));
    pg->is_end = true;
    return NULL;
}

/* Takes rows until the batch is full, the part ends or libpq has no more. *ret_is_waiting: the
 * server must send more first. */
static struct nsm_error *take_rows(struct nsm_pg_reader *pg, struct nsm_batch *batch,
                                   bool *ret_is_waiting, bool *ret_is_over)
{
    const struct nsm_read_request *const request = pg->base.request;
    *ret_is_waiting = false;
    *ret_is_over = false;
    while (nsm_batch_count(batch) < request->batch_records &&
           batch->n_bytes < request->batch_bytes) {
        char *row = NULL;
        const int len = PQgetCopyData(pg->conn->pq, &row, 1);
        if (len == 0) {
            *ret_is_waiting = true;
            return NULL;
        }
        if (len == -2) {
            pg->conn->is_broken = true;
            return nsm_pg_lost_error(pg->conn->pq);
        }
        if (len == -1) {
            *ret_is_over = true;
            return NULL;
        }
        struct nsm_error *const error = nsm_pg_add_copy_data(pg, batch, row, (size_t)len);
        PQfreemem(row);
        if (error)
            return error;
    }
    return NULL;
}

static struct nsm_error *fill(struct nsm_pg_reader *pg, struct nsm_context *ctx,
                              struct nsm_batch *batch)
{
    struct nsm_error *const ended = nsm_context_error(ctx);
    if (ended)
        return ended;
    for (;;) {
        bool is_waiting = false;
        bool is_over = false;
        NSM_TRY(take_rows(pg, batch, &is_waiting, &is_over));
        if (is_over)
            return end_copy(pg, ctx);
        if (!is_waiting)
            return NULL;
        NSM_TRY(nsm_pg_wait(pg->conn, ctx, POLLIN));
        if (!PQconsumeInput(pg->conn->pq)) {
            pg->conn->is_broken = true;
            return nsm_pg_lost_error(pg->conn->pq);
        }
    }
}

struct nsm_error *nsm_pg_read(struct nsm_reader *reader, struct nsm_context *ctx,
                              struct nsm_batch *batch, bool *ret_is_end)
{
    struct nsm_pg_reader *const pg = (struct nsm_pg_reader *)reader;
    const struct nsm_object *const object = reader->request->object;
    if (!pg->is_end)
        NSM_TRY_WRAP(fill(pg, ctx, batch), "read table %s.%s", object->schema, object->name);
    const struct nsm_str place = nsm_str_of(pg->place);
    batch->resume = nsm_batch_copy(batch, place.len ? place : reader->request->resume);
    *ret_is_end = pg->is_end;
    return NULL;
}

void nsm_pg_reader_close(struct nsm_reader *reader)
{
    struct nsm_pg_reader *const pg = (struct nsm_pg_reader *)reader;
    nsm_pg_release(NSM_STEAL(pg->conn));
}
