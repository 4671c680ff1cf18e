/*
 * A writer inserts row by row into one transaction, from its first row after a checkpoint to the
 * next checkpoint, which goes into the same transaction. Triggers, foreign keys and checks do not
 * look at the rows (db.c): they have passed them at their source.
 */
#include "adapters/sqlite/writer.h"

#include "adapters/sqlite/checkpoint.h"
#include "migrate/base/parse.h"

#include <math.h>

/* ---- the statement ---- */

static void append_key(struct nsm_buf *sql, const struct nsm_object *object)
{
    nsm_buf_append_cstr(sql, " ON CONFLICT (");
    for (size_t i = 0; i < object->n_key_columns; i++) {
        nsm_buf_append_cstr(sql, i ? ", " : "");
        sqlite_append_name(sql, object->columns[object->key_columns[i]].name);
    }
    nsm_buf_append_cstr(sql, ") DO ");
}

static bool is_key_column(const struct nsm_object *object, size_t column)
{
    for (size_t i = 0; i < object->n_key_columns; i++) {
        if (object->key_columns[i] == column)
            return true;
    }
    return false;
}

static void append_update(struct nsm_buf *sql, const struct nsm_object *object)
{
    bool is_first = true;
    for (size_t i = 0; i < object->n_columns; i++) {
        if (is_key_column(object, i))
            continue;
        nsm_buf_append_cstr(sql, is_first ? "UPDATE SET " : ", ");
        sqlite_append_name(sql, object->columns[i].name);
        nsm_buf_append_cstr(sql, " = excluded.");
        sqlite_append_name(sql, object->columns[i].name);
        is_first = false;
    }
    if (is_first)
        nsm_buf_append_cstr(sql, "NOTHING"); /* nothing but the key, which is the same */
}

static struct nsm_error *prepare_insert(struct sqlite_writer *writer)
{
    const struct nsm_write_request *const request = writer->base.request;
    const struct nsm_object *const object = request->object;
    const enum nsm_if_exists if_exists =
        request->is_repair ? NSM_IF_EXISTS_FAIL : request->destination->if_exists;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "INSERT INTO ");
    sqlite_append_name(&sql, object->name);
    for (size_t i = 0; i < object->n_columns; i++) {
        nsm_buf_append_cstr(&sql, i ? ", " : " (");
        sqlite_append_name(&sql, object->columns[i].name);
    }
    for (size_t i = 0; i < object->n_columns; i++)
        nsm_buf_append_cstr(&sql, i ? ", ?" : ") VALUES (?");
    nsm_buf_append_cstr(&sql, ")");
    if (object->n_key_columns > 0 && if_exists == NSM_IF_EXISTS_MERGE) {
        append_key(&sql, object);
        append_update(&sql, object);
    } else if (object->n_key_columns > 0 && if_exists == NSM_IF_EXISTS_SKIP) {
        append_key(&sql, object);
        nsm_buf_append_cstr(&sql, "NOTHING");
        writer->counts_skipped = true;
    }
    NSM_TRY(nsm_buf_error(&sql));
    return sqlite_prepare(writer->db, sql.ptr, object->name, &writer->insert);
}

/* A key is compared as its index is. Without one, rows are the same only if all bytes and storage classes are. */
static struct nsm_error *prepare_erase(struct sqlite_writer *writer)
{
    const struct nsm_object *const object = writer->base.request->object;
    const size_t n = object->n_key_columns ? object->n_key_columns : object->n_columns;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "DELETE FROM ");
    sqlite_append_name(&sql, object->name);
    for (size_t i = 0; i < n; i++) {
        const size_t column = object->n_key_columns ? object->key_columns[i] : i;
        nsm_buf_append_cstr(&sql, i ? " AND " : " WHERE ");
        sqlite_append_name(&sql, object->columns[column].name);
        if (object->n_key_columns) {
            nsm_buf_printf(&sql, " IS ?%zu", column + 1);
            continue;
        }
        nsm_buf_printf(&sql, " COLLATE BINARY IS ?%zu AND typeof(", column + 1);
        sqlite_append_name(&sql, object->columns[column].name);
        nsm_buf_printf(&sql, ") = typeof(?%zu)", column + 1);
    }
    NSM_TRY(nsm_buf_error(&sql));
    return sqlite_prepare(writer->db, sql.ptr, object->name, &writer->erase);
}

/* ---- values ---- */

/* Where a value goes: a statement's parameter of its column's number. */
struct slot {
    struct sqlite_writer *writer;
    sqlite3_stmt *statement;
    size_t column;
};

static struct nsm_error *refuse(const struct slot *slot, enum nsm_code code, const char *reason)
{
    const struct nsm_object *const object = slot->writer->base.request->object;
    return nsm_error_new(code, "table %s: column %s: %s", object->name,
                         object->columns[slot->column].name, reason);
}

static struct nsm_error *bind_float(const struct slot *slot, struct nsm_str text)
{
    const struct nsm_write_request *const request = slot->writer->base.request;
    double number = 0;
    if (!nsm_parse_double(text, &number))
        return refuse(slot, NSM_E_CORRUPT, "a float that is no number");
    if (isnan(number))
        return refuse(slot, NSM_E_UNSUPPORTED,
                      "a float that is not a number (nan), for which SQLite has only NULL");
    /* a column declared REAL has integers on disk where they will do, and those have one zero */
    if (number == 0 && signbit(number) && !sqlite_is_same_kind(request->destination))
        return refuse(slot, NSM_E_UNSUPPORTED, "minus zero, whose sign SQLite does not keep");
    (void)sqlite3_bind_double(slot->statement, (int)slot->column + 1, number);
    return NULL;
}

static struct nsm_error *bind_value(const struct slot *slot, const struct nsm_value *value)
{
    sqlite3_stmt *const statement = slot->statement;
    const int index = (int)slot->column + 1;
    const struct nsm_str bytes = value->bytes;
    int64_t number = 0;
    int result = SQLITE_OK;
    switch (value->type) {
    case NSM_NULL:
        result = sqlite3_bind_null(statement, index);
        break;
    case NSM_BOOL:
        result = sqlite3_bind_int(statement, index, bytes.len && bytes.ptr[0] == 't');
        break;
    case NSM_INT:
        if (!nsm_parse_i64(bytes, &number))
            return refuse(slot, NSM_E_CORRUPT, "an int that is no number");
        result = sqlite3_bind_int64(statement, index, number);
        break;
    case NSM_FLOAT:
        return bind_float(slot, bytes);
    case NSM_BYTES:
        result = sqlite3_bind_blob64(statement, index, bytes.ptr ? bytes.ptr : "", bytes.len,
                                     SQLITE_STATIC);
        break;
    case NSM_NUMERIC:
    case NSM_TEXT:
    case NSM_TIME:
    case NSM_UUID:
    case NSM_JSON:
    case NSM_OTHER:
        result = sqlite3_bind_text64(statement, index, bytes.ptr ? bytes.ptr : "", bytes.len,
                                     SQLITE_STATIC, SQLITE_UTF8);
        break;
    }
    return result == SQLITE_OK ? NULL
                               : sqlite_db_error(slot->writer->db, result,
                                                 slot->writer->base.request->object->name);
}

static struct nsm_error *bind_row(struct sqlite_writer *writer, sqlite3_stmt *statement,
                                  const struct nsm_record *record)
{
    const struct nsm_object *const object = writer->base.request->object;
    if (record->n_items != object->n_columns)
        return nsm_error_new(NSM_E_INTERNAL, "table %s: a row of %zu values for %zu columns",
                             object->name, record->n_items, object->n_columns);
    for (size_t i = 0; i < record->n_items; i++) {
        const struct slot slot = {.writer = writer, .statement = statement, .column = i};
        if ((int)i < sqlite3_bind_parameter_count(statement))
            NSM_TRY(bind_value(&slot, &record->items[i]));
    }
    return NULL;
}

static struct nsm_error *insert_row(struct sqlite_writer *writer, const struct nsm_record *record)
{
    const struct nsm_object *const object = writer->base.request->object;
    bool has_row = false;
    NSM_TRY(bind_row(writer, writer->insert, record));
    NSM_TRY(sqlite_step(writer->db, writer->insert, object->name, &has_row));
    if (writer->counts_skipped && sqlite3_changes(writer->db->handle) == 0)
        writer->base.n_skipped++;
    (void)sqlite3_reset(writer->insert);
    return NULL;
}

/* ---- the operations ---- */

/* What an earlier attempt wrote behind its last checkpoint was never committed. */
struct nsm_error *sqlite_writer_open(struct nsm_writer *base, struct nsm_context *ctx)
{
    (void)base;
    return nsm_context_error(ctx);
}

/* Takes the turn and begins a transaction, if none is open. */
static struct nsm_error *begin(struct sqlite_writer *writer, struct nsm_context *ctx)
{
    NSM_TRY(nsm_context_error(ctx));
    if (writer->is_open) {
        writer->db->ctx = ctx;
        return NULL;
    }
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_take_turn(sqlite_backend_of(writer->base.backend), ctx, SQLITE_MODE_WRITE, &db));
    writer->is_open = true;
    if (db != writer->db) { /* the first time, or the connection had to be made anew */
        (void)sqlite3_finalize(writer->insert);
        (void)sqlite3_finalize(writer->erase);
        writer->insert = NULL;
        writer->erase = NULL;
        writer->db = db;
    }
    NSM_TRY(sqlite_begin(db));
    return writer->insert ? NULL : prepare_insert(writer);
}

struct nsm_error *sqlite_write(struct nsm_writer *base, struct nsm_context *ctx,
                               const struct nsm_batch *batch)
{
    struct sqlite_writer *const writer = (struct sqlite_writer *)base;
    NSM_TRY(begin(writer, ctx));
    for (size_t i = 0; i < batch->n_records; i++)
        NSM_TRY(insert_row(writer, &batch->records[i]));
    return NULL;
}

struct nsm_error *sqlite_erase(struct nsm_writer *base, struct nsm_context *ctx,
                               const struct nsm_batch *batch)
{
    struct sqlite_writer *const writer = (struct sqlite_writer *)base;
    const char *const name = base->request->object->name;
    NSM_TRY(begin(writer, ctx));
    if (!writer->erase)
        NSM_TRY(prepare_erase(writer));
    for (size_t i = 0; i < batch->n_records; i++) {
        bool has_row = false;
        NSM_TRY(bind_row(writer, writer->erase, &batch->records[i]));
        NSM_TRY(sqlite_step(writer->db, writer->erase, name, &has_row));
        (void)sqlite3_reset(writer->erase);
    }
    return NULL;
}

struct nsm_error *sqlite_writer_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                           const struct nsm_checkpoint *checkpoint)
{
    struct sqlite_writer *const writer = (struct sqlite_writer *)base;
    NSM_TRY(begin(writer, ctx));
    if (!base->request->is_repair)
        NSM_TRY(
            sqlite_checkpoint_put(writer->db, base->backend->run_id, base->request, checkpoint));
    NSM_TRY(sqlite_commit(writer->db));
    writer->is_open = false;
    sqlite_end_turn(sqlite_backend_of(base->backend));
    return NULL;
}

void sqlite_writer_close(struct nsm_writer *base)
{
    struct sqlite_writer *const writer = (struct sqlite_writer *)base;
    (void)sqlite3_finalize(writer->insert);
    (void)sqlite3_finalize(writer->erase);
    if (writer->is_open)
        sqlite_end_turn(sqlite_backend_of(base->backend));
}
