/*
 * What is asked for a key and what becomes of the answer, type by type. Values are never copied:
 * the reply lies in the batch's arena, and the record's items point to it.
 */
#include "adapters/redis/redis_payload.h"
#include "adapters/redis/redis_reader.h"

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"
#include "migrate/engine/record/stream.h"

/* Of a key whose kind is guessed, at most. */
#define MAX_GUESS_BYTES ((size_t)16 << 10)

static struct nsm_str key_of(const struct nsm_redis_slot *slot)
{
    return nsm_buf_view(&slot->key);
}

/* ---- expiry ---- */

static bool has_pexpiretime(const struct nsm_redis_reader *reader)
{
    return reader->server.version >= NSM_REDIS_VERSION(7, 0);
}

/* Before Redis 7 there is only the time that is left: between two looks at the server's clock it
 * becomes the time that it ends, exactly where both show the same millisecond. */
void nsm_redis_expiry_queue(struct nsm_redis_reader *reader, struct nsm_str key)
{
    if (has_pexpiretime(reader)) {
        NSM_REDIS_COMMAND(reader->conn, "PEXPIRETIME", key);
        return;
    }
    NSM_REDIS_COMMAND(reader->conn, "TIME", );
    NSM_REDIS_COMMAND(reader->conn, "PTTL", key);
}

static struct nsm_error *receive(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                 enum nsm_redis_type type, const char *command,
                                 const struct nsm_redis_reply **ret)
{
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, ret));
    if ((*ret)->type != type)
        return nsm_redis_reply_error(*ret, command, (struct nsm_str){0});
    return NULL;
}

struct nsm_error *nsm_redis_time_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                      int64_t *ret_ms)
{
    const struct nsm_redis_reply *time;
    NSM_TRY(receive(reader, ctx, NSM_REDIS_ARRAY, "TIME", &time));
    int64_t seconds;
    int64_t microseconds;
    if (time->n_elements != 2 || !nsm_parse_i64(time->elements[0].str, &seconds) ||
        !nsm_parse_i64(time->elements[1].str, &microseconds))
        return nsm_error_new(NSM_E_INTERNAL, "TIME: the server's answer is not a time");
    *ret_ms = seconds * 1000 + microseconds / 1000;
    return NULL;
}

struct nsm_error *nsm_redis_expiry_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                        struct nsm_str key, int64_t *ret_expires_at_ms,
                                        bool *ret_is_gone)
{
    int64_t now_ms = 0;
    if (!has_pexpiretime(reader))
        NSM_TRY(nsm_redis_time_take(reader, ctx, &now_ms));
    const struct nsm_redis_reply *reply;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &reply));
    if (reply->type != NSM_REDIS_INTEGER)
        return nsm_redis_reply_error(reply, has_pexpiretime(reader) ? "PEXPIRETIME" : "PTTL", key);
    *ret_is_gone = reply->integer == -2;
    *ret_expires_at_ms = reply->integer < 0 ? NSM_NO_EXPIRY : now_ms + reply->integer;
    return NULL;
}

/* ---- asking ---- */

static void queue_value(struct nsm_redis_reader *reader, const struct nsm_redis_slot *slot)
{
    struct nsm_redis_conn *const conn = reader->conn;
    const struct nsm_str key = key_of(slot);
    const struct nsm_str first = NSM_STR_LIT("0");
    const struct nsm_str last = NSM_STR_LIT("-1");
    switch (slot->kind) {
    case NSM_KIND_STRING:
        NSM_REDIS_COMMAND(conn, "GET", key);
        return;
    case NSM_KIND_HASH:
        NSM_REDIS_COMMAND(conn, "HGETALL", key);
        return;
    case NSM_KIND_LIST:
        NSM_REDIS_COMMAND(conn, "LRANGE", key, first, last);
        return;
    case NSM_KIND_SET:
        NSM_REDIS_COMMAND(conn, "SMEMBERS", key);
        return;
    case NSM_KIND_ZSET:
        NSM_REDIS_COMMAND(conn, "ZRANGE", key, first, last, NSM_STR_LIT("WITHSCORES"));
        return;
    case NSM_KIND_STREAM:
        NSM_REDIS_COMMAND(conn, "XINFO", NSM_STR_LIT("STREAM"), key);
        NSM_REDIS_COMMAND(conn, "XRANGE", key, NSM_STR_LIT("-"), NSM_STR_LIT("+"));
        return;
    case NSM_KIND_DUMP:
    case NSM_KIND_ROW:
        NSM_REDIS_COMMAND(conn, "DUMP", key);
        return;
    }
}

size_t nsm_redis_max_guess_bytes(const struct nsm_redis_reader *reader)
{
    const struct nsm_read_request *const request = reader->base.request;
    const size_t n_share = request->batch_bytes / (request->batch_records / 4 + 1);
    const size_t n_least = n_share < request->batch_bytes ? n_share : request->batch_bytes;
    return n_least < MAX_GUESS_BYTES ? n_least : MAX_GUESS_BYTES;
}

static bool is_guessed_string(const struct nsm_redis_slot *slot)
{
    return slot->is_guessed && slot->kind == NSM_KIND_STRING;
}

/* One byte more than a small string has. */
static void queue_guess(struct nsm_redis_reader *reader, const struct nsm_redis_slot *slot)
{
    nsm_redis_begin(reader->conn, 4);
    nsm_redis_arg_cstr(reader->conn, "GETRANGE");
    nsm_redis_arg(reader->conn, key_of(slot));
    nsm_redis_arg_cstr(reader->conn, "0");
    nsm_redis_arg_i64(reader->conn, (int64_t)nsm_redis_max_guess_bytes(reader));
}

void nsm_redis_fetch_queue(struct nsm_redis_reader *reader, const struct nsm_redis_slot *slot)
{
    if (slot->is_gone)
        return;
    nsm_redis_expiry_queue(reader, key_of(slot));
    if (is_guessed_string(slot))
        queue_guess(reader, slot);
    else
        queue_value(reader, slot);
}

/* ---- records ---- */

bool nsm_redis_is_no_such_key(const struct nsm_redis_reply *reply)
{
    return reply->type == NSM_REDIS_ERROR &&
           nsm_str_starts_with(reply->str, NSM_STR_LIT("ERR no such key"));
}

bool nsm_redis_stream_has_groups(const struct nsm_redis_reply *info)
{
    if (info->type != NSM_REDIS_ARRAY)
        return false;
    const struct nsm_redis_reply *const groups = nsm_redis_reply_field(info, "groups");
    return groups && groups->integer > 0;
}

struct nsm_record *nsm_redis_record_add(struct nsm_batch *batch, enum nsm_kind kind,
                                        const struct nsm_redis_items *pieces, size_t n_pieces)
{
    size_t n_items = 0;
    for (size_t piece = 0; piece < n_pieces; piece++)
        n_items += pieces[piece].n_elements;
    struct nsm_record *const record = nsm_batch_add(batch, kind, n_items);
    struct nsm_value *at = record->items;
    for (size_t piece = 0; piece < n_pieces; piece++) {
        for (size_t index = 0; index < pieces[piece].n_elements; index++)
            *at++ =
                (struct nsm_value){.type = NSM_BYTES, .bytes = pieces[piece].elements[index].str};
    }
    return record;
}

struct nsm_error *nsm_redis_scores_mend(struct nsm_batch *batch, struct nsm_record *record)
{
    for (size_t index = 1; index < record->n_items; index += 2) {
        struct nsm_value *const score = &record->items[index];
        double number;
        if (!nsm_parse_double(score->bytes, &number))
            return nsm_error_new(NSM_E_INTERNAL, "a score that is no number");
        char text[32];
        const size_t len = nsm_format_double(number, text);
        score->type = NSM_FLOAT;
        score->bytes = nsm_batch_copy(batch, (struct nsm_str){.ptr = text, .len = len});
    }
    return NULL;
}

struct nsm_value nsm_redis_number(struct nsm_batch *batch, int64_t number)
{
    char text[20];
    const size_t len = nsm_format_i64(number, text);
    return (struct nsm_value){
        .type = NSM_INT,
        .bytes = nsm_batch_copy(batch, (struct nsm_str){.ptr = text, .len = len}),
    };
}

/* Before Redis 7 a stream counts neither what was added nor the last that was deleted: what it has
 * is what was added. */
static struct nsm_error *put_stream_head(struct nsm_batch *batch, struct nsm_value *items,
                                         const struct nsm_redis_reply *info)
{
    const struct nsm_redis_reply *const last = nsm_redis_reply_field(info, "last-generated-id");
    const struct nsm_redis_reply *const length = nsm_redis_reply_field(info, "length");
    const struct nsm_redis_reply *const added = nsm_redis_reply_field(info, "entries-added");
    const struct nsm_redis_reply *const deleted =
        nsm_redis_reply_field(info, "max-deleted-entry-id");
    if (!last || !length)
        return nsm_error_new(NSM_E_INTERNAL, "XINFO STREAM: the server's answer lacks fields");
    items[0] = (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_batch_copy(batch, last->str)};
    items[1] = nsm_redis_number(batch, added ? added->integer : length->integer);
    items[2] = (struct nsm_value){
        .type = NSM_BYTES,
        .bytes = deleted ? nsm_batch_copy(batch, deleted->str) : NSM_STR_LIT("0-0"),
    };
    return NULL;
}

static bool is_entry(const struct nsm_redis_reply *entry)
{
    return entry->type == NSM_REDIS_ARRAY && entry->n_elements == 2 &&
           entry->elements[1].type == NSM_REDIS_ARRAY && entry->elements[1].n_elements % 2 == 0;
}

static struct nsm_error *count_entry_items(const struct nsm_redis_items *entries, size_t *ret)
{
    size_t n_items = 0;
    for (size_t index = 0; index < entries->n_elements; index++) {
        if (!is_entry(&entries->elements[index]))
            return nsm_error_new(NSM_E_INTERNAL, "XRANGE: the server's answer is not of entries");
        n_items += 2 + entries->elements[index].elements[1].n_elements;
    }
    *ret = n_items;
    return NULL;
}

static struct nsm_value *put_entry(struct nsm_batch *batch, struct nsm_value *at,
                                   const struct nsm_redis_reply *entry)
{
    const struct nsm_redis_reply *const fields = &entry->elements[1];
    *at++ = (struct nsm_value){.type = NSM_BYTES, .bytes = entry->elements[0].str};
    *at++ = nsm_redis_number(batch, (int64_t)fields->n_elements / 2);
    for (size_t index = 0; index < fields->n_elements; index++)
        *at++ = (struct nsm_value){.type = NSM_BYTES, .bytes = fields->elements[index].str};
    return at;
}

struct nsm_error *nsm_redis_stream_add(struct nsm_batch *batch,
                                       const struct nsm_redis_stream *stream)
{
    const size_t n_head = stream->info ? NSM_STREAM_HEAD : 0;
    size_t n_items = n_head + stream->n_groups;
    for (size_t piece = 0; piece < stream->n_entries; piece++) {
        size_t n_piece = 0;
        NSM_TRY(count_entry_items(&stream->entries[piece], &n_piece));
        n_items += n_piece;
    }
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_STREAM, n_items);
    struct nsm_value *at = record->items + n_head;
    if (stream->info)
        NSM_TRY(put_stream_head(batch, record->items, stream->info));
    if (stream->n_groups)
        memcpy(at, stream->groups, stream->n_groups * sizeof(*at));
    at += stream->n_groups;
    for (size_t piece = 0; piece < stream->n_entries; piece++) {
        for (size_t index = 0; index < stream->entries[piece].n_elements; index++)
            at = put_entry(batch, at, &stream->entries[piece].elements[index]);
    }
    return NULL;
}

/* ---- taking ---- */

/* Whether a guessed key is of another kind after all, or one that is read piece by piece. */
static bool is_miss(const struct nsm_redis_slot *slot, const struct nsm_redis_reply *value)
{
    const bool has_pieces = slot->kind == NSM_KIND_LIST || slot->kind == NSM_KIND_STREAM;
    return slot->is_guessed && (nsm_redis_reply_is_error(value, "WRONGTYPE") ||
                                (has_pieces && value->n_elements > NSM_REDIS_BULK_ITEMS));
}

/* A stream with consumer groups is missed: these are read one by one, as slices are. */
static struct nsm_error *take_stream(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                     struct nsm_redis_slot *slot, struct nsm_batch *batch,
                                     bool *ret_is_gone)
{
    const struct nsm_redis_reply *info;
    const struct nsm_redis_reply *entries;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &info));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &batch->arena, &entries));
    if (nsm_redis_is_no_such_key(info)) {
        *ret_is_gone = true;
        return NULL;
    }
    slot->is_missed = is_miss(slot, entries) || nsm_redis_stream_has_groups(info);
    if (slot->is_missed)
        return NULL;
    if (info->type != NSM_REDIS_ARRAY)
        return nsm_redis_reply_error(info, "XINFO STREAM", key_of(slot));
    if (entries->type != NSM_REDIS_ARRAY)
        return nsm_redis_reply_error(entries, "XRANGE", key_of(slot));
    const struct nsm_redis_items items = {entries->elements, entries->n_elements};
    return nsm_redis_stream_add(
        batch, &(const struct nsm_redis_stream){.info = info, .entries = &items, .n_entries = 1});
}

static const char *command_of(enum nsm_kind kind)
{
    switch (kind) {
    case NSM_KIND_STRING:
        return "GET";
    case NSM_KIND_HASH:
        return "HGETALL";
    case NSM_KIND_LIST:
        return "LRANGE";
    case NSM_KIND_SET:
        return "SMEMBERS";
    case NSM_KIND_ZSET:
        return "ZRANGE";
    case NSM_KIND_STREAM:
    case NSM_KIND_ROW:
    case NSM_KIND_DUMP:
        break;
    }
    return "DUMP";
}

static struct nsm_error *take_value(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                    struct nsm_redis_slot *slot, struct nsm_batch *batch,
                                    bool *ret_is_gone)
{
    if (slot->kind == NSM_KIND_STREAM)
        return take_stream(reader, ctx, slot, batch, ret_is_gone);
    const struct nsm_redis_reply *reply;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &batch->arena, &reply));
    if (reply->type == NSM_REDIS_NIL ||
        (reply->type == NSM_REDIS_ARRAY && reply->n_elements == 0)) {
        *ret_is_gone = true;
        return NULL;
    }
    slot->is_missed = is_miss(slot, reply);
    if (slot->is_missed)
        return NULL;
    const bool is_array = slot->kind != NSM_KIND_STRING && slot->kind != NSM_KIND_DUMP;
    if (reply->type != (is_array ? NSM_REDIS_ARRAY : NSM_REDIS_STRING))
        return nsm_redis_reply_error(reply, command_of(slot->kind), key_of(slot));
    const bool is_paired = slot->kind == NSM_KIND_HASH || slot->kind == NSM_KIND_ZSET;
    if (is_paired && reply->n_elements % 2)
        return nsm_error_new(NSM_E_INTERNAL, "%s: an odd number of elements",
                             command_of(slot->kind));
    const struct nsm_redis_items items = {is_array ? reply->elements : reply,
                                          is_array ? reply->n_elements : 1};
    struct nsm_record *const record = nsm_redis_record_add(batch, slot->kind, &items, 1);
    return slot->kind == NSM_KIND_ZSET ? nsm_redis_scores_mend(batch, record) : NULL;
}

/* `is_expired`: the key was gone when its expiry was asked for. An empty answer is an empty string or a key that went away since:
 * that is looked at again. */
static struct nsm_error *take_guess(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                    struct nsm_redis_slot *slot, struct nsm_batch *batch,
                                    bool is_expired)
{
    const struct nsm_redis_reply *reply;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &batch->arena, &reply));
    if (reply->type != NSM_REDIS_STRING && !nsm_redis_reply_is_error(reply, "WRONGTYPE"))
        return nsm_redis_reply_error(reply, "GETRANGE", key_of(slot));
    if (reply->type == NSM_REDIS_STRING && reply->str.len == 0 && is_expired) {
        slot->is_gone = true;
        return NULL;
    }
    slot->is_missed = reply->type != NSM_REDIS_STRING || reply->str.len == 0 ||
                      reply->str.len > nsm_redis_max_guess_bytes(reader);
    if (slot->is_missed)
        return NULL;
    const struct nsm_redis_items items = {reply, 1};
    nsm_redis_record_add(batch, NSM_KIND_STRING, &items, 1);
    return NULL;
}

static void learn(const struct nsm_redis_reader *reader, const struct nsm_redis_slot *slot,
                  const struct nsm_record *record)
{
    const bool is_dump = record->kind == NSM_KIND_DUMP;
    nsm_redis_guess_learn(reader->list->guesses, slot->shape,
                          is_dump ? nsm_redis_dump_kind(record->items[0].bytes) : record->kind);
}

static void tell_contents(struct nsm_batch *batch, struct nsm_record *record)
{
    struct nsm_record *const contents = nsm_arena_alloc(&batch->arena, sizeof(*contents));
    *contents = *record;
    if (nsm_redis_payload_read(record->items[0].bytes, &batch->arena, contents))
        record->contents = contents;
}

struct nsm_error *nsm_redis_fetch_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                       struct nsm_redis_slot *slot, struct nsm_batch *batch)
{
    if (slot->is_gone) {
        batch->n_vanished++;
        return NULL;
    }
    nsm_arena_clear(&reader->scratch);
    int64_t expires_at_ms = NSM_NO_EXPIRY;
    bool is_expired = false;
    NSM_TRY(nsm_redis_expiry_take(reader, ctx, key_of(slot), &expires_at_ms, &is_expired));
    if (is_guessed_string(slot))
        NSM_TRY(take_guess(reader, ctx, slot, batch, is_expired));
    else
        NSM_TRY(take_value(reader, ctx, slot, batch, &slot->is_gone));
    batch->n_vanished += slot->is_gone;
    if (slot->is_missed)
        nsm_redis_guess_learn(reader->list->guesses, slot->shape, NSM_KIND_DUMP);
    if (slot->is_gone || slot->is_missed)
        return NULL;
    struct nsm_record *const record = &batch->records[batch->n_records - 1];
    learn(reader, slot, record);
    record->key = nsm_batch_copy(batch, key_of(slot));
    record->expires_at_ms = expires_at_ms;
    if (batch->wants_digest && record->kind == NSM_KIND_DUMP)
        tell_contents(batch, record);
    const uint64_t n_bytes_before = batch->n_bytes;
    nsm_batch_account(batch);
    if (slot->is_guessed)
        reader->guess_bytes = (reader->guess_bytes * 15 + batch->n_bytes - n_bytes_before) / 16;
    return NULL;
}
