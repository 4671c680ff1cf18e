/* The commands that make one record a key. Every key is written so that doing it again, after an
 * interruption, ends in the same. */
#include "adapters/redis/redis_writer.h"

#include <assert.h>

#include "adapters/redis/redis_slot.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

/* How long what an interrupted run left under a temporary name lives on. */
#define TEMP_LIFE_MS INT64_C(86400000)
/* Arguments of one command at most: what Redis takes is bounded, and so is the time it needs. */
#define MAX_ITEMS_PER_COMMAND 8192

static bool has_expiry(const struct nsm_record *record)
{
    return record->expires_at_ms != NSM_NO_EXPIRY;
}

/* An expiry that Redis would refuse as no time: before 1970. Such a key is gone already. */
static bool is_before_time(const struct nsm_record *record)
{
    return has_expiry(record) && record->expires_at_ms <= 0;
}

static void put_key(struct nsm_redis_writer *writer, struct nsm_str key)
{
    nsm_redis_arg_joined(writer->conn, writer->prefix, nsm_redis_key_rest(writer, key));
}

void nsm_redis_put_target(struct nsm_redis_writer *writer, const struct nsm_record *record,
                          bool is_temp)
{
    if (is_temp)
        nsm_redis_arg_cstr(writer->conn, writer->temp_key);
    else
        put_key(writer, record->key);
}

static void queue_bare(struct nsm_redis_writer *writer, const char *command)
{
    nsm_redis_begin(writer->conn, 1);
    nsm_redis_arg_cstr(writer->conn, command);
}

struct nsm_error *nsm_redis_corrupt(const struct nsm_record *record, const char *what)
{
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(record->key, &name);
    return nsm_error_new(NSM_E_CORRUPT, "key %s: a %s %s", name.ptr, nsm_kind_name(record->kind),
                         what);
}

/* ---- dumps and strings: one command ---- */

static void queue_dump(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    struct nsm_redis_conn *const conn = writer->conn;
    nsm_redis_begin(conn, writer->is_skipping ? 5 : 6);
    nsm_redis_arg_cstr(conn, "RESTORE");
    put_key(writer, record->key);
    nsm_redis_arg_i64(conn, has_expiry(record) ? record->expires_at_ms : 0);
    nsm_redis_arg(conn, record->items[0].bytes);
    nsm_redis_arg_cstr(conn, "ABSTTL");
    if (!writer->is_skipping)
        nsm_redis_arg_cstr(conn, "REPLACE");
    struct nsm_redis_ack *const ack = nsm_redis_expect(writer, "RESTORE", record->key, 1);
    ack->is_refusable = writer->is_skipping;
}

static void queue_string(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    struct nsm_redis_conn *const conn = writer->conn;
    nsm_redis_begin(conn, 3 + (has_expiry(record) ? 2U : 0U) + (writer->is_skipping ? 1U : 0U));
    nsm_redis_arg_cstr(conn, "SET");
    put_key(writer, record->key);
    nsm_redis_arg(conn, record->items[0].bytes);
    if (has_expiry(record)) {
        nsm_redis_arg_cstr(conn, "PXAT");
        nsm_redis_arg_i64(conn, record->expires_at_ms);
    }
    if (writer->is_skipping)
        nsm_redis_arg_cstr(conn, "NX");
    struct nsm_redis_ack *const ack = nsm_redis_expect(writer, "SET", record->key, 1);
    ack->is_refusable = writer->is_skipping;
}

/* ---- collections: commands that add items ---- */

/* How the items of a kind are added: the command, and how many items make one. */
struct adder {
    const char *command;
    size_t width;
};

static struct adder adder_of(enum nsm_kind kind)
{
    switch (kind) {
    case NSM_KIND_HASH:
        return (struct adder){"HSET", 2};
    case NSM_KIND_LIST:
        return (struct adder){"RPUSH", 1};
    case NSM_KIND_SET:
        return (struct adder){"SADD", 1};
    case NSM_KIND_ZSET:
        return (struct adder){"ZADD", 2};
    case NSM_KIND_STRING:
    case NSM_KIND_STREAM:
    case NSM_KIND_ROW:
    case NSM_KIND_DUMP:
        break;
    }
    return (struct adder){"APPEND", 1};
}

/* Queues the adding of all items and returns how many commands that took. */
static size_t queue_items(struct nsm_redis_writer *writer, const struct nsm_record *record,
                          bool is_temp)
{
    struct nsm_redis_conn *const conn = writer->conn;
    const struct adder adder = adder_of(record->kind);
    const bool is_zset = record->kind == NSM_KIND_ZSET;
    size_t n_commands = 0;
    for (size_t at = 0; at < record->n_items;) {
        const size_t n_left = record->n_items - at;
        const size_t n = n_left < MAX_ITEMS_PER_COMMAND ? n_left : MAX_ITEMS_PER_COMMAND;
        nsm_redis_begin(conn, 2 + n);
        nsm_redis_arg_cstr(conn, adder.command);
        nsm_redis_put_target(writer, record, is_temp);
        for (size_t index = at; index < at + n; index++)
            /* ZADD takes the score before its member. */
            nsm_redis_arg(conn, record->items[is_zset ? index ^ 1 : index].bytes);
        n_commands++;
        at += n;
    }
    return n_commands;
}

/* ---- whole records ---- */

static struct nsm_error *check_items(const struct nsm_record *record)
{
    const bool is_single = record->kind == NSM_KIND_STRING || record->kind == NSM_KIND_DUMP;
    if (record->kind == NSM_KIND_ROW)
        return nsm_error_new(NSM_E_INTERNAL, "a row for a space of keys");
    if (is_single && record->n_items != 1)
        return nsm_redis_corrupt(record, "of not one value");
    if (adder_of(record->kind).width == 2 && record->n_items % 2)
        return nsm_redis_corrupt(record, "with an odd number of items");
    return NULL;
}

static void queue_del(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    nsm_redis_begin(writer->conn, 2);
    nsm_redis_arg_cstr(writer->conn, "UNLINK");
    put_key(writer, record->key);
}

static void queue_expiry(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    nsm_redis_begin(writer->conn, 3);
    nsm_redis_arg_cstr(writer->conn, "PEXPIREAT");
    put_key(writer, record->key);
    nsm_redis_arg_i64(writer->conn, record->expires_at_ms);
}

/* MULTI, the old key away, the items, the expiry, EXEC: all or nothing, and never half of it. */
static struct nsm_error *queue_collection(struct nsm_redis_writer *writer,
                                          const struct nsm_record *record)
{
    queue_bare(writer, "MULTI");
    queue_del(writer, record);
    size_t n_commands = 0;
    const char *command = "XADD";
    if (record->kind == NSM_KIND_STREAM) {
        NSM_TRY(nsm_redis_store_queue_stream(writer, record, false, &n_commands));
    } else {
        command = adder_of(record->kind).command;
        n_commands = queue_items(writer, record, false);
    }
    if (has_expiry(record)) {
        queue_expiry(writer, record);
        n_commands++;
    }
    queue_bare(writer, "EXEC");
    nsm_redis_expect(writer, command, record->key, n_commands + 3);
    return NULL;
}

struct nsm_error *nsm_redis_store_queue(struct nsm_redis_writer *writer,
                                        const struct nsm_record *record)
{
    NSM_TRY(check_items(record));
    /* PXAT is younger than Redis 6.2's other options of SET. */
    const bool needs_multi = record->kind == NSM_KIND_STRING && has_expiry(record) &&
                             writer->server.version < NSM_REDIS_VERSION(6, 2);
    if (is_before_time(record)) {
        if (!writer->is_skipping) {
            queue_del(writer, record);
            nsm_redis_expect(writer, "UNLINK", record->key, 1);
        }
        return NULL;
    }
    if (record->kind == NSM_KIND_DUMP)
        queue_dump(writer, record);
    else if (record->kind == NSM_KIND_STRING && !needs_multi)
        queue_string(writer, record);
    else
        return queue_collection(writer, record);
    return NULL;
}

/* ---- slices ---- */

/* Under if_exists: skip, whether the key stands there is asked before its first slice. */
static struct nsm_error *ask_whether_skipped(struct nsm_redis_writer *writer,
                                             struct nsm_context *ctx,
                                             const struct nsm_record *record)
{
    writer->is_sliced_skipped = false;
    if (!writer->is_skipping)
        return NULL;
    NSM_TRY(nsm_redis_flush(writer->conn, ctx));
    NSM_TRY(nsm_redis_writer_settle(writer, ctx));
    nsm_redis_begin(writer->conn, 2);
    nsm_redis_arg_cstr(writer->conn, "EXISTS");
    put_key(writer, record->key);
    const struct nsm_redis_reply *reply;
    NSM_TRY(nsm_redis_call(writer->conn, ctx, &writer->arena, "EXISTS", &reply));
    writer->is_sliced_skipped = reply->integer != 0;
    if (writer->is_sliced_skipped)
        writer->base.n_skipped++;
    return NULL;
}

/* What is renamed must be in one slot with what it becomes. */
static void tag_temp_key(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    if (!writer->conn->router)
        return;
    struct nsm_buf key NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    nsm_buf_append_str(&key, writer->prefix);
    nsm_buf_append_str(&key, nsm_redis_key_rest(writer, record->key));
    char tag[NSM_REDIS_TAG_BYTES];
    nsm_redis_slot_tag(nsm_redis_slot_of(nsm_buf_view(&key)), tag);
    free(writer->temp_key);
    writer->temp_key = nsm_xasprintf("%s{%s}", writer->temp_name, tag);
}

static void queue_temp(struct nsm_redis_writer *writer, const char *command)
{
    nsm_redis_begin(writer->conn, 2);
    nsm_redis_arg_cstr(writer->conn, command);
    nsm_redis_arg_cstr(writer->conn, writer->temp_key);
}

static void queue_temp_expiry(struct nsm_redis_writer *writer, const char *command, int64_t ms)
{
    nsm_redis_begin(writer->conn, 3);
    nsm_redis_arg_cstr(writer->conn, command);
    nsm_redis_arg_cstr(writer->conn, writer->temp_key);
    nsm_redis_arg_i64(writer->conn, ms);
}

static void queue_rename(struct nsm_redis_writer *writer, const struct nsm_record *record,
                         const char *command)
{
    nsm_redis_begin(writer->conn, 3);
    nsm_redis_arg_cstr(writer->conn, command);
    nsm_redis_arg_cstr(writer->conn, writer->temp_key);
    put_key(writer, record->key);
}

/* The whole key takes its name and its expiry at once. An expiry in the past takes the key away,
 * as it did at the source. */
static void queue_end(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    if (!writer->is_skipping) {
        queue_bare(writer, "MULTI");
        queue_rename(writer, record, "RENAME");
        if (has_expiry(record)) {
            queue_expiry(writer, record);
        } else {
            nsm_redis_begin(writer->conn, 2);
            nsm_redis_arg_cstr(writer->conn, "PERSIST");
            put_key(writer, record->key);
        }
        queue_bare(writer, "EXEC");
        nsm_redis_expect(writer, "RENAME", record->key, 4);
        return;
    }
    /* Another's key must not get our expiry, so the temporary one has it before it is renamed. */
    if (has_expiry(record))
        queue_temp_expiry(writer, "PEXPIREAT", record->expires_at_ms);
    else
        queue_temp(writer, "PERSIST");
    nsm_redis_expect(writer, "PEXPIREAT", record->key, 1);
    queue_rename(writer, record, "RENAMENX");
    struct nsm_redis_ack *const ack = nsm_redis_expect(writer, "RENAMENX", record->key, 1);
    ack->is_refusable = true;
    ack->may_be_gone = has_expiry(record);
    queue_temp(writer, "UNLINK");
    nsm_redis_expect(writer, "UNLINK", record->key, 1);
}

struct nsm_error *nsm_redis_store_queue_slice(struct nsm_redis_writer *writer,
                                              struct nsm_context *ctx,
                                              const struct nsm_record *record)
{
    NSM_TRY(check_items(record));
    const bool is_first = !(record->flags & NSM_RECORD_CONTINUED);
    if (is_first)
        NSM_TRY(ask_whether_skipped(writer, ctx, record));
    if (writer->is_sliced_skipped)
        return NULL;
    size_t n_commands = 0;
    if (is_first) {
        tag_temp_key(writer, record);
        queue_temp(writer, "UNLINK");
    }
    if (record->kind == NSM_KIND_STREAM)
        NSM_TRY(nsm_redis_store_queue_stream(writer, record, true, &n_commands));
    else
        n_commands = queue_items(writer, record, true);
    queue_temp_expiry(writer, "PEXPIRE", TEMP_LIFE_MS);
    nsm_redis_expect(writer, "write a slice of", record->key, n_commands + (is_first ? 2 : 1));
    if (!(record->flags & NSM_RECORD_MORE))
        queue_end(writer, record);
    return NULL;
}
