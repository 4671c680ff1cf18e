/* Batches out, acknowledgements in. What each record's commands are is redis_store.c's. */
#include "adapters/redis/redis_writer.h"

#include <assert.h>
#include <xxhash.h>

#include "adapters/redis/redis_router.h"
#include "adapters/redis/redis_survey.h"
#include "migrate/base/alloc.h"

/* Commands are sent whenever this much is queued: the server works while we encode. */
#define SEND_BYTES ((size_t)256 << 10)
/* A key's beginning, for messages. */
#define NAME_BYTES 80

static struct nsm_redis_writer *writer_of(struct nsm_writer *base)
{
    return (struct nsm_redis_writer *)base;
}

struct nsm_str nsm_redis_key_rest(const struct nsm_redis_writer *writer, struct nsm_str key)
{
    return nsm_str_skip(key, writer->n_replaced < key.len ? writer->n_replaced : key.len);
}

struct nsm_redis_ack *nsm_redis_expect(struct nsm_redis_writer *writer, const char *command,
                                       struct nsm_str key, size_t n_replies)
{
    struct nsm_redis_acks *const acks = &writer->acks[writer->current];
    NSM_GROW(acks->items, acks->n_items, acks->cap_items);
    struct nsm_redis_ack *const ack = &acks->items[acks->n_items++];
    const struct nsm_str rest = nsm_redis_key_rest(writer, key);
    const size_t n_rest = rest.len < NAME_BYTES ? rest.len : NAME_BYTES;
    *ack = (struct nsm_redis_ack){
        .command = command,
        .name_at = acks->names.len,
        .name_len = (uint32_t)n_rest,
        .n_replies = (uint32_t)n_replies,
    };
    nsm_buf_append(&acks->names, rest.ptr, n_rest);
    return ack;
}

/* ---- acknowledgements ---- */

static struct nsm_error *ack_error(const struct nsm_redis_writer *writer,
                                   const struct nsm_redis_acks *acks,
                                   const struct nsm_redis_ack *ack,
                                   const struct nsm_redis_reply *reply)
{
    struct nsm_buf key NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    nsm_buf_append_str(&key, writer->prefix);
    nsm_buf_append(&key, acks->names.ptr + ack->name_at, ack->name_len);
    return nsm_redis_reply_error(reply, ack->command, nsm_buf_view(&key));
}

static bool is_refusal(const struct nsm_redis_reply *reply)
{
    return reply->type == NSM_REDIS_NIL ||
           (reply->type == NSM_REDIS_INTEGER && reply->integer == 0) ||
           nsm_redis_reply_is_error(reply, "BUSYKEY");
}

static bool is_no_such_key(const struct nsm_redis_reply *reply)
{
    return reply->type == NSM_REDIS_ERROR &&
           nsm_str_starts_with(reply->str, NSM_STR_LIT("ERR no such key"));
}

/* One reply: a plain one, or EXEC's array of them. */
static struct nsm_error *take_reply(struct nsm_redis_writer *writer,
                                    const struct nsm_redis_acks *acks,
                                    const struct nsm_redis_ack *ack,
                                    const struct nsm_redis_reply *reply)
{
    if (ack->is_refusable && is_refusal(reply)) {
        writer->base.n_skipped++;
        return NULL;
    }
    if (ack->may_be_gone && is_no_such_key(reply))
        return NULL;
    if (reply->type == NSM_REDIS_ERROR)
        return ack_error(writer, acks, ack, reply);
    for (size_t index = 0; index < reply->n_elements; index++) {
        if (reply->elements[index].type == NSM_REDIS_ERROR)
            return ack_error(writer, acks, ack, &reply->elements[index]);
    }
    return NULL;
}

static struct nsm_error *settle(struct nsm_redis_writer *writer, struct nsm_context *ctx,
                                struct nsm_redis_acks *acks)
{
    for (size_t index = 0; index < acks->n_items; index++) {
        const struct nsm_redis_ack *const ack = &acks->items[index];
        for (uint32_t n = 0; n < ack->n_replies; n++) {
            const struct nsm_redis_reply *reply;
            nsm_arena_clear(&writer->arena);
            NSM_TRY(nsm_redis_receive(writer->conn, ctx, &writer->arena, &reply));
            NSM_TRY(take_reply(writer, acks, ack, reply));
        }
    }
    acks->n_items = 0;
    nsm_buf_clear(&acks->names);
    return NULL;
}

struct nsm_error *nsm_redis_writer_settle(struct nsm_redis_writer *writer, struct nsm_context *ctx)
{
    NSM_TRY(nsm_redis_flush(writer->conn, ctx));
    NSM_TRY(settle(writer, ctx, &writer->acks[!writer->current]));
    return settle(writer, ctx, &writer->acks[writer->current]);
}

/* ---- under if_exists: skip ---- */

/* RESTORE and SET know by themselves whether the key stands there; what needs several commands has
 * to ask before. */
static bool must_ask(const struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    const bool is_slice = record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED);
    const bool knows = record->kind == NSM_KIND_DUMP || record->kind == NSM_KIND_STRING;
    const bool knows_expiry = record->kind != NSM_KIND_STRING ||
                              record->expires_at_ms == NSM_NO_EXPIRY ||
                              writer->server.version >= NSM_REDIS_VERSION(6, 2);
    return writer->is_skipping && !is_slice && !(knows && knows_expiry);
}

/* For each record of the batch that must be asked for, whether it stands there. */
static struct nsm_error *ask_existing(struct nsm_redis_writer *writer, struct nsm_context *ctx,
                                      const struct nsm_batch *batch, bool *exists)
{
    size_t n_asked = 0;
    for (size_t index = 0; index < batch->n_records; index++) {
        const struct nsm_record *const record = &batch->records[index];
        if (!must_ask(writer, record))
            continue;
        nsm_redis_begin(writer->conn, 2);
        nsm_redis_arg_cstr(writer->conn, "EXISTS");
        nsm_redis_arg_joined(writer->conn, writer->prefix, nsm_redis_key_rest(writer, record->key));
        n_asked++;
    }
    if (n_asked == 0)
        return NULL;
    NSM_TRY(nsm_redis_writer_settle(writer, ctx));
    for (size_t index = 0; index < batch->n_records; index++) {
        if (!must_ask(writer, &batch->records[index]))
            continue;
        const struct nsm_redis_reply *reply;
        nsm_arena_clear(&writer->arena);
        NSM_TRY(nsm_redis_receive(writer->conn, ctx, &writer->arena, &reply));
        if (reply->type != NSM_REDIS_INTEGER)
            return nsm_redis_reply_error(reply, "EXISTS", batch->records[index].key);
        exists[index] = reply->integer != 0;
        writer->base.n_skipped += exists[index];
    }
    return NULL;
}

/* ---- the operations ---- */

static struct nsm_error *queue_record(struct nsm_redis_writer *writer, struct nsm_context *ctx,
                                      const struct nsm_record *record)
{
    if (record->flags & (NSM_RECORD_MORE | NSM_RECORD_CONTINUED))
        NSM_TRY(nsm_redis_store_queue_slice(writer, ctx, record));
    else
        NSM_TRY(nsm_redis_store_queue(writer, record));
    return nsm_redis_unsent(writer->conn) < SEND_BYTES ? NULL : nsm_redis_flush(writer->conn, ctx);
}

struct nsm_error *nsm_redis_write(struct nsm_writer *base, struct nsm_context *ctx,
                                  const struct nsm_batch *batch)
{
    struct nsm_redis_writer *const writer = writer_of(base);
    NSM_TRY(nsm_redis_claim_hold(nsm_redis_backend_of(base->backend), writer->claim, ctx));
    writer->current = !writer->current;
    bool *exists NSM_CLEANUP(nsm_freep) = NULL;
    if (writer->is_skipping) {
        exists = nsm_xcalloc(batch->n_records + 1, sizeof(*exists));
        NSM_TRY(ask_existing(writer, ctx, batch, exists));
    }
    for (size_t index = 0; index < batch->n_records; index++) {
        if (!exists || !exists[index])
            NSM_TRY(queue_record(writer, ctx, &batch->records[index]));
    }
    NSM_TRY(nsm_redis_flush(writer->conn, ctx));
    NSM_TRY(settle(writer, ctx, &writer->acks[!writer->current]));
    return nsm_redis_is_stale(writer->conn) ? settle(writer, ctx, &writer->acks[writer->current])
                                            : NULL;
}

struct nsm_error *nsm_redis_erase(struct nsm_writer *base, struct nsm_context *ctx,
                                  const struct nsm_batch *batch)
{
    struct nsm_redis_writer *const writer = writer_of(base);
    NSM_TRY(nsm_redis_claim_hold(nsm_redis_backend_of(base->backend), writer->claim, ctx));
    for (size_t index = 0; index < batch->n_records; index++) {
        const struct nsm_str key = batch->records[index].key;
        if (batch->records[index].flags & NSM_RECORD_CONTINUED)
            continue;
        nsm_redis_begin(writer->conn, 2);
        nsm_redis_arg_cstr(writer->conn, "UNLINK");
        nsm_redis_arg(writer->conn, key);
        nsm_redis_expect(writer, "UNLINK", key, 1);
    }
    return nsm_redis_writer_settle(writer, ctx);
}

struct nsm_error *nsm_redis_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                       const struct nsm_checkpoint *checkpoint)
{
    (void)checkpoint; /* Redis has no place for it: the ledger's is the one */
    return nsm_redis_writer_settle(writer_of(base), ctx);
}

static struct nsm_error *connect_writer(struct nsm_redis_writer *writer, struct nsm_context *ctx)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(writer->base.backend);
    NSM_TRY(nsm_redis_claim(writer->base.request->destination, ctx, &writer->claim));
    NSM_TRY(nsm_redis_take(backend, ctx, &writer->conn));
    return nsm_redis_server_known(backend, writer->conn, ctx, &writer->server);
}

struct nsm_error *nsm_redis_writer_open(struct nsm_writer *base, struct nsm_context *ctx)
{
    struct nsm_redis_writer *const writer = writer_of(base);
    const struct nsm_write_request *const request = base->request;
    const struct nsm_destination *const destination = request->destination;
    writer->prefix = nsm_redis_destination_prefix(destination);
    writer->n_replaced = destination->shape->prefix.len;
    writer->is_skipping = destination->if_exists == NSM_IF_EXISTS_SKIP && !request->is_repair;
    for (size_t index = 0; index < NSM_COUNT_OF(writer->acks); index++)
        writer->acks[index].names = NSM_BUF_INIT(NSM_BUF_TEXT_MAX);
    writer->temp_name =
        nsm_xasprintf(NSM_REDIS_TEMP_PREFIX "%s:%016llx", base->backend->run_id,
                      (unsigned long long)XXH3_64bits(request->part_id.ptr, request->part_id.len));
    writer->temp_key = nsm_xstrdup(writer->temp_name);
    struct nsm_error *const error = connect_writer(writer, ctx);
    if (error) {
        nsm_redis_writer_close(base);
        return error;
    }
    if (writer->conn->router)
        return NULL; /* its name depends on the key's, and whoever writes that one begins with this */
    /* What an interrupted attempt left; the reply is taken with those of the first batch. */
    nsm_redis_begin(writer->conn, 2);
    nsm_redis_arg_cstr(writer->conn, "UNLINK");
    nsm_redis_arg_cstr(writer->conn, writer->temp_key);
    nsm_redis_expect(writer, "UNLINK", (struct nsm_str){0}, 1);
    return NULL;
}

void nsm_redis_writer_close(struct nsm_writer *base)
{
    struct nsm_redis_writer *const writer = writer_of(base);
    nsm_redis_give(nsm_redis_backend_of(base->backend), writer->conn);
    nsm_redis_claim_leave(nsm_redis_backend_of(base->backend), writer->claim);
    for (size_t index = 0; index < NSM_COUNT_OF(writer->acks); index++) {
        free(writer->acks[index].items);
        nsm_buf_release(&writer->acks[index].names);
    }
    nsm_arena_release(&writer->arena);
    nsm_arena_release(&writer->slice_arena);
    free(writer->temp_name);
    free(writer->temp_key);
}
