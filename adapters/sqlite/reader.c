/*
 * A reader is one SELECT that is stepped batch by batch: its read transaction shows the file as it
 * was when the part began. Where the file is a destination of ours that is verified while other
 * namespaces are still written to it, each batch is a transaction of its own instead, so that in a
 * file without WAL no writer waits for the end of a part.
 */
#include "adapters/sqlite/reader.h"

#include "migrate/base/parse.h"

#include <inttypes.h>

/* A key in a resume token: per value its type in a byte, then a number's eight bytes, or length and
 * bytes. SQLite's own limit bounds it. */
#define MAX_TOKEN_BYTES NSM_MAX_VALUE_BYTES

/* Parts up to this size are read by the connection that wrote them: see store.h. */
#define MAX_TURN_BYTES ((uint64_t)1 << 20)

/* ---- resume tokens of keys ---- */

static void put_key_value(sqlite3_stmt *statement, int column, struct nsm_buf *out)
{
    const int type = sqlite3_column_type(statement, column);
    nsm_buf_append_char(out, (char)type);
    if (type == SQLITE_INTEGER) {
        const int64_t number = sqlite3_column_int64(statement, column);
        nsm_buf_append(out, &number, sizeof(number));
    } else if (type == SQLITE_FLOAT) {
        const double number = sqlite3_column_double(statement, column);
        nsm_buf_append(out, &number, sizeof(number));
    } else if (type != SQLITE_NULL) {
        const struct nsm_str bytes = sqlite_column_str(statement, column);
        const uint64_t len = bytes.len;
        nsm_buf_append(out, &len, sizeof(len));
        nsm_buf_append_str(out, bytes);
    }
}

static bool take(struct nsm_str *rest, void *to, size_t len)
{
    if (rest->len < len)
        return false;
    memcpy(to, rest->ptr, len);
    *rest = nsm_str_skip(*rest, len);
    return true;
}

static bool bind_bytes(sqlite3_stmt *statement, int index, char type, struct nsm_str *rest)
{
    uint64_t len = 0;
    if (!take(rest, &len, sizeof(len)) || rest->len < len)
        return false;
    const struct nsm_str bytes = {.ptr = rest->ptr, .len = len};
    *rest = nsm_str_skip(*rest, len);
    /* Copied: the buffer they come from is filled anew while the statement is still running. */
    const int result =
        type == SQLITE_TEXT
            ? sqlite3_bind_text64(statement, index, bytes.ptr, bytes.len, SQLITE_TRANSIENT,
                                  SQLITE_UTF8)
            : sqlite3_bind_blob64(statement, index, bytes.ptr, bytes.len, SQLITE_TRANSIENT);
    return result == SQLITE_OK;
}

static bool bind_key_value(sqlite3_stmt *statement, int index, struct nsm_str *rest)
{
    char type = 0;
    int64_t integer = 0;
    double real = 0;
    if (!take(rest, &type, 1))
        return false;
    switch (type) {
    case SQLITE_INTEGER:
        return take(rest, &integer, sizeof(integer)) &&
               sqlite3_bind_int64(statement, index, integer) == SQLITE_OK;
    case SQLITE_FLOAT:
        return take(rest, &real, sizeof(real)) &&
               sqlite3_bind_double(statement, index, real) == SQLITE_OK;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        return bind_bytes(statement, index, type, rest);
    default:
        return type == SQLITE_NULL && sqlite3_bind_null(statement, index) == SQLITE_OK;
    }
}

/* ---- opening ---- */

static struct nsm_error *bad_token(const char *object)
{
    return nsm_error_new(NSM_E_CORRUPT, "table %s: the resume token is not one of this table",
                         object);
}

static struct nsm_error *take_token(struct sqlite_reader *reader)
{
    const struct nsm_read_request *const request = reader->base.request;
    if (!sqlite_range_parse(request->part->range, &reader->range))
        return nsm_error_new(NSM_E_CORRUPT, "table %s: the part's range is not \"first:last\"",
                             request->object->name);
    if (request->resume.len == 0)
        return NULL;
    if (reader->access->order == SQLITE_ORDER_KEY) {
        nsm_buf_append_str(&reader->behind, request->resume);
        return nsm_buf_error(&reader->behind);
    }
    int64_t last = 0;
    if (!nsm_parse_i64(request->resume, &last))
        return bad_token(request->object->name);
    if (last == INT64_MAX)
        reader->range = (struct sqlite_range){.first = 1, .last = 0};
    else
        reader->range.first = last + 1;
    return NULL;
}

struct nsm_error *sqlite_reader_open(struct nsm_reader *base, struct nsm_context *ctx)
{
    struct sqlite_reader *const reader = (struct sqlite_reader *)base;
    const struct nsm_source *const source = base->request->source;
    const struct sqlite_source *const state = source->state;
    reader->access = &state->accesses[base->request->part->object];
    reader->behind = NSM_BUF_INIT(MAX_TOKEN_BYTES);
    reader->is_raw = state->is_raw;
    reader->is_utf16 = strcmp(state->encoding, "UTF-8") != 0;
    reader->is_short = source->written && reader->access->is_seekable;
    reader->takes_turns = reader->is_short && base->request->part->n_bytes <= MAX_TURN_BYTES &&
                          sqlite_has_writer(sqlite_backend_of(base->backend));
    struct nsm_error *error = take_token(reader);
    if (!error && !reader->takes_turns)
        error = sqlite_acquire(sqlite_backend_of(base->backend), ctx, &reader->db);
    if (error)
        nsm_buf_release(&reader->behind);
    return error;
}

void sqlite_reader_close(struct nsm_reader *base)
{
    struct sqlite_reader *const reader = (struct sqlite_reader *)base;
    (void)sqlite3_finalize(reader->statement);
    if (!reader->takes_turns)
        sqlite_release(sqlite_backend_of(base->backend), reader->db);
    nsm_buf_release(&reader->behind);
}

/* ---- values ---- */

static struct nsm_error *refuse(const struct sqlite_reader *reader, size_t column,
                                const char *reason)
{
    const struct nsm_object *const object = reader->base.request->object;
    return nsm_error_new(NSM_E_UNSUPPORTED, "table %s: column %s: %s", object->name,
                         object->columns[column].name, reason);
}

/* SQLite turns what is not valid UTF-16 into replacement characters on its way to UTF-8. */
static bool is_valid_utf16(sqlite3_stmt *statement, int column)
{
    const uint16_t *const text = sqlite3_column_text16(statement, column);
    const size_t n = (size_t)sqlite3_column_bytes16(statement, column) / sizeof(*text);
    for (size_t i = 0; text && i < n; i++) {
        const bool is_high = text[i] >= 0xd800 && text[i] <= 0xdbff;
        const bool is_low = text[i] >= 0xdc00 && text[i] <= 0xdfff;
        if (is_low || (is_high && (i + 1 == n || text[i + 1] < 0xdc00 || text[i + 1] > 0xdfff)))
            return false;
        i += is_high;
    }
    return true;
}

static struct nsm_error *take_text(struct sqlite_reader *reader, struct nsm_batch *batch,
                                   size_t column, struct nsm_value *value)
{
    if (reader->is_utf16 && !is_valid_utf16(reader->statement, (int)column))
        return refuse(reader, column, "a text that is not valid UTF-16");
    const struct nsm_str text = sqlite_column_str(reader->statement, (int)column);
    if (!reader->is_raw && (!nsm_is_utf8(text) || memchr(text.ptr, '\0', text.len)))
        return refuse(reader, column,
                      "a text that is not valid UTF-8 or has a NUL inside, which only SQLite "
                      "takes");
    value->type = NSM_TEXT;
    value->bytes = nsm_batch_copy(batch, text);
    return NULL;
}

static void set_text(struct nsm_batch *batch, struct nsm_value *value, enum nsm_type type,
                     const char *text)
{
    value->type = type;
    value->bytes = nsm_batch_copy(batch, nsm_str_of(text));
}

static void take_integer(struct sqlite_reader *reader, struct nsm_batch *batch, size_t column,
                         enum nsm_type type, struct nsm_value *value)
{
    char text[32];
    const int64_t number = sqlite3_column_int64(reader->statement, (int)column);
    if (!reader->is_raw && type == NSM_FLOAT)
        (void)nsm_format_double((double)number, text);
    else
        (void)snprintf(text, sizeof(text), "%" PRId64, number);
    const bool is_other = !reader->is_raw && (type == NSM_FLOAT || type == NSM_NUMERIC);
    set_text(batch, value, is_other ? type : NSM_INT, text);
}

static void take_real(struct sqlite_reader *reader, struct nsm_batch *batch, size_t column,
                      enum nsm_type type, struct nsm_value *value)
{
    char text[32];
    const double number = sqlite3_column_double(reader->statement, (int)column);
    (void)nsm_format_double(number, text);
    const bool is_numeric = !reader->is_raw && type == NSM_NUMERIC;
    if (is_numeric && __builtin_isinf(number))
        set_text(batch, value, NSM_NUMERIC, number < 0 ? "-Infinity" : "Infinity");
    else
        set_text(batch, value, is_numeric ? NSM_NUMERIC : NSM_FLOAT, text);
}

/* Whether a value of that class is one of those that the survey found in the column: the file may
 * have been written since. */
static bool fits(enum nsm_type column_type, int class)
{
    if (class == SQLITE_INTEGER)
        return column_type == NSM_INT || column_type == NSM_FLOAT || column_type == NSM_NUMERIC;
    if (class == SQLITE_FLOAT)
        return column_type == NSM_FLOAT || column_type == NSM_NUMERIC;
    return column_type == (class == SQLITE_TEXT ? NSM_TEXT : NSM_BYTES);
}

static struct nsm_error *take_value(struct sqlite_reader *reader, struct nsm_batch *batch,
                                    size_t column, struct nsm_value *value)
{
    const enum nsm_type type = reader->base.request->object->columns[column].type;
    const int class = sqlite3_column_type(reader->statement, (int)column);
    if (class == SQLITE_NULL)
        return NULL;
    if (!reader->is_raw && !fits(type, class))
        return refuse(reader, column,
                      "a value of a type that was not there at the survey: the "
                      "file has been written since");
    if (class == SQLITE_TEXT)
        return take_text(reader, batch, column, value);
    if (class == SQLITE_INTEGER) {
        take_integer(reader, batch, column, type, value);
    } else if (class == SQLITE_FLOAT) {
        take_real(reader, batch, column, type, value);
    } else {
        value->type = NSM_BYTES;
        value->bytes = nsm_batch_copy(batch, sqlite_column_str(reader->statement, (int)column));
    }
    return NULL;
}

static struct nsm_error *take_row(struct sqlite_reader *reader, struct nsm_batch *batch)
{
    const size_t n_columns = reader->access->n_columns;
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_ROW, n_columns);
    for (size_t i = 0; i < n_columns; i++)
        NSM_TRY(take_value(reader, batch, i, &record->items[i]));
    nsm_batch_account(batch);
    return NULL;
}

/* ---- batches ---- */

/* Prepares (which of the two statements it is changes at most once) and binds what stands in
 * range or behind. */
static struct nsm_error *start(struct sqlite_reader *reader)
{
    const struct sqlite_access *const access = reader->access;
    const char *const table = reader->base.request->object->name;
    const bool is_behind = access->order == SQLITE_ORDER_KEY && reader->behind.len > 0;
    const char *const sql = is_behind ? access->after : access->select;
    if (reader->statement && strcmp(sqlite3_sql(reader->statement), sql) != 0) {
        (void)sqlite3_finalize(reader->statement);
        reader->statement = NULL;
    }
    if (!reader->statement)
        NSM_TRY(sqlite_prepare(reader->db, sql, table, &reader->statement));
    if (access->order == SQLITE_ORDER_ROWID) {
        (void)sqlite3_bind_int64(reader->statement, 1, reader->range.first);
        (void)sqlite3_bind_int64(reader->statement, 2, reader->range.last);
    }
    struct nsm_str key = nsm_buf_view(&reader->behind);
    for (size_t i = 0; is_behind && i < access->n_key; i++) {
        if (!bind_key_value(reader->statement, (int)i + 1, &key))
            return bad_token(table);
    }
    reader->is_running = true;
    return is_behind && key.len ? bad_token(table) : NULL;
}

/* Notes the place behind the row that the statement stands on. */
static struct nsm_error *note_place(struct sqlite_reader *reader, struct nsm_batch *batch)
{
    const struct sqlite_access *const access = reader->access;
    const int key = (int)access->n_columns;
    if (access->order == SQLITE_ORDER_ROWID) {
        const int64_t last = sqlite3_column_int64(reader->statement, key);
        batch->resume = nsm_str_of(nsm_arena_printf(&batch->arena, "%" PRId64, last));
        if (last == INT64_MAX)
            reader->range = (struct sqlite_range){.first = 1, .last = 0};
        else
            reader->range.first = last + 1;
    } else if (access->order == SQLITE_ORDER_KEY) {
        nsm_buf_clear(&reader->behind);
        for (size_t i = 0; i < access->n_key; i++)
            put_key_value(reader->statement, key + (int)i, &reader->behind);
        NSM_TRY(nsm_buf_error(&reader->behind));
        batch->resume = nsm_batch_copy(batch, nsm_buf_view(&reader->behind));
    }
    return NULL;
}

static struct nsm_error *fill(struct sqlite_reader *reader, struct nsm_batch *batch,
                              bool *ret_is_end)
{
    const struct nsm_read_request *const request = reader->base.request;
    if (!reader->is_running)
        NSM_TRY(start(reader));
    for (;;) {
        bool has_row = false;
        NSM_TRY(sqlite_step(reader->db, reader->statement, request->object->name, &has_row));
        if (!has_row) {
            *ret_is_end = true;
            return NULL;
        }
        NSM_TRY(take_row(reader, batch));
        if (batch->n_records >= request->batch_records || batch->n_bytes >= request->batch_bytes)
            break;
    }
    NSM_TRY(note_place(reader, batch));
    if (reader->is_short) {
        (void)sqlite3_reset(reader->statement);
        reader->is_running = false;
    }
    *ret_is_end = false;
    return NULL;
}

static struct nsm_error *fill_in_turn(struct sqlite_reader *reader, struct nsm_context *ctx,
                                      struct nsm_batch *batch, bool *ret_is_end)
{
    struct sqlite_backend *const backend = sqlite_backend_of(reader->base.backend);
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_take_turn(backend, ctx, SQLITE_MODE_WRITE, &db));
    if (db != reader->db) { /* the first time, or the connection had to be made anew */
        (void)sqlite3_finalize(reader->statement);
        reader->statement = NULL;
        reader->db = db;
    }
    struct nsm_error *const error = fill(reader, batch, ret_is_end);
    if (reader->statement)
        (void)sqlite3_reset(reader->statement);
    sqlite_end_turn(backend);
    return error;
}

struct nsm_error *sqlite_read(struct nsm_reader *base, struct nsm_context *ctx,
                              struct nsm_batch *batch, bool *ret_is_end)
{
    struct sqlite_reader *const reader = (struct sqlite_reader *)base;
    NSM_TRY(nsm_context_error(ctx));
    if (reader->takes_turns)
        return fill_in_turn(reader, ctx, batch, ret_is_end);
    reader->db->ctx = ctx;
    struct nsm_error *const error = fill(reader, batch, ret_is_end);
    reader->db->ctx = NULL;
    return error;
}
