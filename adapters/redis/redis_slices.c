/*
 * A key too big for memory is read piece by piece: strings by ranges of bytes, lists and zsets by
 * ranks, streams by ids, hashes and sets by their own SCAN. One item more than is needed is asked
 * for where that tells whether there are more. A slice is as many pieces as make its bytes, so a
 * key of many small items is often whole after all.
 *
 * A key that changes meanwhile is read as it is at each moment, as any reader of it would see it:
 * there are no snapshots in Redis. One that is deleted meanwhile is an error that is tried again,
 * so that no half of a key is ever taken for the whole.
 */
#include "adapters/redis/redis_reader.h"

#include "adapters/redis/redis_router.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

/* Items that one reply has: the first, when their size is not known, at least and at most. */
#define FIRST_ITEMS 128
#define MIN_ITEMS   16
#define MAX_ITEMS   16384
/* Collections in lane record: as much as can be had at once, because many stores take whole keys
 * only; and the same whatever the plan says, because the slices of lists and streams count one by
 * one in the digest, and what was written by one plan is compared by another. */
#define RECORD_SLICE_BYTES ((size_t)16 << 20)

static struct nsm_redis_slot *slot_of(struct nsm_redis_reader *reader)
{
    return &reader->slots[reader->head];
}

static struct nsm_str key_of(struct nsm_redis_reader *reader)
{
    return nsm_buf_view(&slot_of(reader)->key);
}

static bool is_dump(const struct nsm_redis_reader *reader)
{
    return reader->base.request->lane == NSM_LANE_REDIS_DUMP;
}

static size_t slice_bytes(const struct nsm_redis_reader *reader)
{
    const bool is_string = reader->slicing.kind == NSM_KIND_STRING;
    return is_string || is_dump(reader) ? reader->base.request->batch_bytes : RECORD_SLICE_BYTES;
}

/* Gives up slicing the key, which is then dumped like a small one. */
static void fetch_whole(struct nsm_redis_reader *reader)
{
    slot_of(reader)->is_fetched_whole = true;
    reader->slicing.is_active = false;
}

static void leave(struct nsm_redis_reader *reader)
{
    reader->slicing.is_active = false;
    reader->head = (reader->head + 1) % reader->cap_slots;
    reader->n_known--;
    reader->n_late -= reader->n_late > 0;
}

static void queue_range(struct nsm_redis_reader *reader, const char *command, bool with_scores,
                        uint64_t n_more)
{
    struct nsm_redis_conn *const conn = reader->conn;
    const uint64_t position = reader->slicing.position;
    nsm_redis_begin(conn, with_scores ? 5 : 4);
    nsm_redis_arg_cstr(conn, command);
    nsm_redis_arg(conn, key_of(reader));
    nsm_redis_arg_i64(conn, (int64_t)position);
    nsm_redis_arg_i64(conn, (int64_t)(position + n_more));
    if (with_scores)
        nsm_redis_arg_cstr(conn, "WITHSCORES");
}

/* Asks for the next piece, and whether the key is still there. */
static struct nsm_error *ask(struct nsm_redis_reader *reader, struct nsm_context *ctx)
{
    struct nsm_redis_conn *const conn = reader->conn;
    const struct nsm_str key = key_of(reader);
    const struct nsm_str cursor = nsm_buf_view(&reader->slicing.cursor);
    char text[20];
    const struct nsm_str count = {.ptr = text,
                                  .len = nsm_format_u64(reader->slicing.n_items, text)};
    switch (reader->slicing.kind) {
    case NSM_KIND_STRING:
        queue_range(reader, "GETRANGE", false, slice_bytes(reader));
        break;
    case NSM_KIND_LIST:
        queue_range(reader, "LRANGE", false, reader->slicing.n_items);
        break;
    case NSM_KIND_ZSET:
        queue_range(reader, "ZRANGE", true, reader->slicing.n_items);
        break;
    case NSM_KIND_HASH:
        NSM_REDIS_COMMAND(conn, "HSCAN", key, cursor, NSM_STR_LIT("COUNT"), count);
        break;
    case NSM_KIND_SET:
        NSM_REDIS_COMMAND(conn, "SSCAN", key, cursor, NSM_STR_LIT("COUNT"), count);
        break;
    case NSM_KIND_STREAM:
        nsm_redis_begin(conn, 6);
        nsm_redis_arg_cstr(conn, "XRANGE");
        nsm_redis_arg(conn, key);
        nsm_redis_arg(conn, cursor);
        nsm_redis_arg_cstr(conn, "+");
        nsm_redis_arg_cstr(conn, "COUNT");
        nsm_redis_arg_i64(conn, (int64_t)reader->slicing.n_items + 1);
        break;
    case NSM_KIND_ROW:
    case NSM_KIND_DUMP:
        break;
    }
    NSM_REDIS_COMMAND(conn, "EXISTS", key);
    return nsm_redis_flush(conn, ctx);
}

/* Asks for the first items, once the groups of a stream are read. */
static struct nsm_error *ask_first(struct nsm_redis_reader *reader, struct nsm_context *ctx)
{
    if (reader->slicing.is_asked || reader->slicing.grouping.groups)
        return NULL;
    reader->slicing.is_asked = true;
    return ask(reader, ctx);
}

/* ---- beginning ---- */

static struct nsm_error *module_type(struct nsm_redis_reader *reader, struct nsm_str type)
{
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf type_name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(key_of(reader), &name);
    nsm_redis_key_write(type, &type_name);
    return nsm_error_new(NSM_E_UNSUPPORTED, "key %s is of a module's type, %s", name.ptr,
                         type_name.ptr);
}

/* What of a stream is asked once. */
static struct nsm_error *begin_stream(struct nsm_redis_reader *reader, struct nsm_context *ctx)
{
    struct nsm_redis_slicing *const slicing = &reader->slicing;
    const struct nsm_redis_reply *groups;
    NSM_REDIS_COMMAND(reader->conn, "XINFO", NSM_STR_LIT("STREAM"), key_of(reader));
    NSM_REDIS_COMMAND(reader->conn, "XINFO", NSM_STR_LIT("GROUPS"), key_of(reader));
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &slicing->arena, &slicing->info));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &slicing->arena, &groups));
    nsm_buf_append_cstr(&slicing->cursor, "-");
    if (nsm_redis_is_no_such_key(slicing->info) || nsm_redis_is_no_such_key(groups))
        return NULL; /* what is asked next tells it */
    if (slicing->info->type != NSM_REDIS_ARRAY)
        return nsm_redis_reply_error(slicing->info, "XINFO STREAM", key_of(reader));
    if (groups->type != NSM_REDIS_ARRAY)
        return nsm_redis_reply_error(groups, "XINFO GROUPS", key_of(reader));
    nsm_redis_groups_begin(&slicing->grouping, groups);
    return NULL;
}

struct nsm_error *nsm_redis_slices_begin(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                         struct nsm_batch *batch)
{
    struct nsm_redis_slicing *const slicing = &reader->slicing;
    nsm_arena_clear(&slicing->arena);
    nsm_buf_clear(&slicing->cursor);
    slicing->position = 0;
    slicing->n_items = FIRST_ITEMS;
    slicing->is_active = true;
    slicing->is_begun = false;
    slicing->is_asked = false;
    slicing->info = NULL;
    slicing->grouping.groups = NULL;
    slicing->grouping.n_items = 0;
    NSM_REDIS_COMMAND(reader->conn, "TYPE", key_of(reader));
    nsm_redis_expiry_queue(reader, key_of(reader));
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    const struct nsm_redis_reply *type;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &slicing->arena, &type));
    bool is_gone;
    NSM_TRY(nsm_redis_expiry_take(reader, ctx, key_of(reader), &slicing->expires_at_ms, &is_gone));
    if (type->type != NSM_REDIS_STATUS)
        return nsm_redis_reply_error(type, "TYPE", key_of(reader));
    if (is_gone || nsm_str_equals(type->str, NSM_STR_LIT("none"))) {
        batch->n_vanished++;
        leave(reader);
        return NULL;
    }
    if (!nsm_redis_kind_parse(type->str, &slicing->kind)) {
        if (!is_dump(reader))
            return module_type(reader, type->str);
        fetch_whole(reader);
        return NULL;
    }
    if (slicing->kind == NSM_KIND_HASH && reader->server.n_field_expiry && is_dump(reader)) {
        fetch_whole(reader); /* slices would lose when its fields expire */
        return NULL;
    }
    if (slicing->kind == NSM_KIND_STREAM)
        NSM_TRY(begin_stream(reader, ctx));
    else
        nsm_buf_append_cstr(&slicing->cursor, "0");
    NSM_TRY(ask_first(reader, ctx));
    slicing->n_detours = nsm_redis_n_detours(reader->conn);
    return NULL;
}

/* ---- taking ---- */

/* A reply as it came: how many items of it are ours, and whether there are more behind them. */
struct cut {
    struct nsm_redis_items items;
    bool has_more;
};

static struct nsm_error *unexpected(struct nsm_redis_reader *reader,
                                    const struct nsm_redis_reply *reply)
{
    return nsm_redis_reply_error(reply, "read a slice of", key_of(reader));
}

static struct nsm_error *cut_scan(struct nsm_redis_reader *reader,
                                  const struct nsm_redis_reply *reply, struct cut *ret)
{
    if (reply->type != NSM_REDIS_ARRAY || reply->n_elements != 2 ||
        reply->elements[1].type != NSM_REDIS_ARRAY)
        return unexpected(reader, reply);
    if (reader->slicing.kind == NSM_KIND_HASH && reply->elements[1].n_elements % 2)
        return unexpected(reader, reply);
    const struct nsm_str cursor = reply->elements[0].str;
    nsm_buf_clear(&reader->slicing.cursor);
    nsm_buf_append_str(&reader->slicing.cursor, cursor);
    *ret = (struct cut){
        .items = {reply->elements[1].elements, reply->elements[1].n_elements},
        .has_more = !nsm_str_equals(cursor, NSM_STR_LIT("0")),
    };
    return NULL;
}

/* `width`: elements per item. */
static struct nsm_error *cut_range(struct nsm_redis_reader *reader,
                                   const struct nsm_redis_reply *reply, size_t width,
                                   struct cut *ret)
{
    if (reply->type != NSM_REDIS_ARRAY || reply->n_elements % width)
        return unexpected(reader, reply);
    const size_t most = (size_t)reader->slicing.n_items * width;
    const bool has_more = reply->n_elements > most;
    reader->slicing.position += reader->slicing.n_items;
    *ret = (struct cut){
        .items = {reply->elements, has_more ? most : reply->n_elements},
        .has_more = has_more,
    };
    return NULL;
}

/* A string's reply is one item, and one byte too long where there is more. */
static struct nsm_error *cut_string(struct nsm_redis_reader *reader,
                                    const struct nsm_redis_reply *reply, struct cut *ret)
{
    if (reply->type != NSM_REDIS_STRING)
        return unexpected(reader, reply);
    reader->slicing.position += slice_bytes(reader);
    *ret = (struct cut){
        .items = {reply, 1},
        .has_more = reply->str.len > slice_bytes(reader),
    };
    return NULL;
}

static struct nsm_error *cut_stream(struct nsm_redis_reader *reader,
                                    const struct nsm_redis_reply *reply, struct cut *ret)
{
    struct cut cut = {0};
    NSM_TRY(cut_range(reader, reply, 1, &cut));
    if (cut.has_more) {
        /* The entry too many is the first of the next reply. */
        const struct nsm_redis_reply *const next = &cut.items.elements[cut.items.n_elements];
        if (next->type != NSM_REDIS_ARRAY || next->n_elements != 2)
            return unexpected(reader, reply);
        nsm_buf_clear(&reader->slicing.cursor);
        nsm_buf_append_str(&reader->slicing.cursor, next->elements[0].str);
    }
    *ret = cut;
    return NULL;
}

static struct nsm_error *cut_reply(struct nsm_redis_reader *reader,
                                   const struct nsm_redis_reply *reply, struct cut *ret)
{
    switch (reader->slicing.kind) {
    case NSM_KIND_STRING:
        return cut_string(reader, reply, ret);
    case NSM_KIND_STREAM:
        return cut_stream(reader, reply, ret);
    case NSM_KIND_HASH:
    case NSM_KIND_SET:
        return cut_scan(reader, reply, ret);
    case NSM_KIND_LIST:
        return cut_range(reader, reply, 1, ret);
    case NSM_KIND_ZSET:
        return cut_range(reader, reply, 2, ret);
    case NSM_KIND_ROW:
    case NSM_KIND_DUMP:
        break;
    }
    return unexpected(reader, reply);
}

/* What it takes in memory. */
static uint64_t bytes_of(const struct nsm_redis_reply *reply)
{
    uint64_t n_bytes = reply->str.len + NSM_REDIS_ITEM_BYTES;
    for (size_t index = 0; index < reply->n_elements; index++)
        n_bytes += bytes_of(&reply->elements[index]);
    return n_bytes;
}

/* Makes the next reply a quarter of a slice, whatever the size of the items. It follows from the
 * items alone, so that the same key is cut alike at any server. */
static void adapt(struct nsm_redis_reader *reader, uint64_t n_bytes)
{
    if (n_bytes == 0)
        return;
    struct nsm_redis_slicing *const slicing = &reader->slicing;
    const uint64_t n_fitting = slicing->n_items * (slice_bytes(reader) / 4) / n_bytes;
    slicing->n_items = n_fitting < MIN_ITEMS   ? MIN_ITEMS
                       : n_fitting > MAX_ITEMS ? MAX_ITEMS
                                               : n_fitting;
}

static struct nsm_error *receive_reply(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                       struct nsm_batch *batch, const struct nsm_redis_reply **ret,
                                       bool *ret_exists)
{
    nsm_arena_clear(&reader->scratch);
    const struct nsm_redis_reply *exists = NULL;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &batch->arena, ret));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &exists));
    if (exists->type != NSM_REDIS_INTEGER)
        return nsm_redis_reply_error(exists, "EXISTS", key_of(reader));
    *ret_exists = exists->integer != 0;
    return NULL;
}

/* A place in HSCAN or SSCAN means nothing to another server. */
static struct nsm_error *check_same_server(struct nsm_redis_reader *reader)
{
    const bool is_scan =
        reader->slicing.kind == NSM_KIND_HASH || reader->slicing.kind == NSM_KIND_SET;
    if (!is_scan || reader->slicing.n_detours == nsm_redis_n_detours(reader->conn))
        return NULL;
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(key_of(reader), &name);
    return nsm_error_new(NSM_E_UNAVAILABLE,
                         "slots of the Cluster moved while slices of key %s were read", name.ptr);
}

/* Takes one reply, keeps its items and asks for the next. *ret_exists: false when the key is gone.
 */
static struct nsm_error *gather(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                struct nsm_batch *batch, bool *ret_has_more, bool *ret_exists)
{
    struct nsm_redis_slicing *const slicing = &reader->slicing;
    const struct nsm_redis_reply *reply = NULL;
    NSM_TRY(receive_reply(reader, ctx, batch, &reply, ret_exists));
    if (!*ret_exists)
        return NULL;
    NSM_TRY(check_same_server(reader));
    struct cut cut = {0};
    NSM_TRY(cut_reply(reader, reply, &cut));
    uint64_t n_bytes = 0;
    for (size_t index = 0; index < cut.items.n_elements; index++)
        n_bytes += bytes_of(&cut.items.elements[index]);
    NSM_GROW(slicing->pieces, slicing->n_pieces, slicing->cap_pieces);
    slicing->pieces[slicing->n_pieces++] = cut.items;
    slicing->n_bytes += n_bytes;
    adapt(reader, n_bytes);
    *ret_has_more = cut.has_more;
    return cut.has_more ? ask(reader, ctx) : NULL;
}

static struct nsm_error *add_record(struct nsm_redis_reader *reader, struct nsm_batch *batch,
                                    bool has_more)
{
    const struct nsm_redis_slicing *const slicing = &reader->slicing;
    if (slicing->kind == NSM_KIND_STREAM)
        return nsm_redis_stream_add(batch, &(const struct nsm_redis_stream){
                                               .info = slicing->is_begun ? NULL : slicing->info,
                                               .groups = slicing->grouping.items,
                                               .n_groups = slicing->grouping.n_items,
                                               .entries = slicing->pieces,
                                               .n_entries = slicing->n_pieces,
                                           });
    struct nsm_record *const record =
        nsm_redis_record_add(batch, slicing->kind, slicing->pieces, slicing->n_pieces);
    if (slicing->kind == NSM_KIND_STRING && has_more)
        record->items[0].bytes.len = slice_bytes(reader);
    return slicing->kind == NSM_KIND_ZSET ? nsm_redis_scores_mend(batch, record) : NULL;
}

static struct nsm_error *finish_record(struct nsm_redis_reader *reader, struct nsm_batch *batch,
                                       bool has_more)
{
    struct nsm_redis_slicing *const slicing = &reader->slicing;
    NSM_TRY(add_record(reader, batch, has_more));
    struct nsm_record *const record = &batch->records[batch->n_records - 1];
    record->key = nsm_batch_copy(batch, key_of(reader));
    record->expires_at_ms = slicing->expires_at_ms;
    record->flags =
        (has_more ? NSM_RECORD_MORE : 0U) | (slicing->is_begun ? NSM_RECORD_CONTINUED : 0U);
    slicing->is_begun = true;
    nsm_batch_account(batch);
    return NULL;
}

static struct nsm_error *is_gone(struct nsm_redis_reader *reader, struct nsm_batch *batch)
{
    if (!reader->slicing.is_begun) {
        batch->n_vanished++;
        leave(reader);
        return NULL;
    }
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(key_of(reader), &name);
    return nsm_error_new(NSM_E_UNAVAILABLE, "key %s was deleted while its slices were read",
                         name.ptr);
}

struct nsm_error *nsm_redis_slices_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                        struct nsm_batch *batch)
{
    struct nsm_redis_slicing *const slicing = &reader->slicing;
    slicing->n_pieces = 0;
    slicing->n_bytes = 0;
    slicing->grouping.n_items = 0;
    bool has_more = true;
    if (slicing->grouping.groups)
        NSM_TRY(nsm_redis_groups_gather(reader, ctx, batch, slice_bytes(reader)));
    NSM_TRY(ask_first(reader, ctx));
    while (has_more && slicing->n_bytes < slice_bytes(reader)) {
        bool exists = false;
        NSM_TRY(gather(reader, ctx, batch, &has_more, &exists));
        if (!exists)
            return is_gone(reader, batch);
    }
    NSM_TRY(finish_record(reader, batch, has_more));
    if (!has_more)
        leave(reader);
    return NULL;
}
