/* The ring and its order; what is asked per key is redis_fetch.c's. */
#include "adapters/redis/redis_reader.h"

#include <assert.h>
#include <inttypes.h>

#include "migrate/base/alloc.h"

#define MAX_BATCH_RECORDS ((size_t)65536)
/* A key's buffer that grew larger is given back. */
#define KEEP_KEY_BYTES 4096
/* What a string is taken to have before any was seen. */
#define FIRST_GUESS_BYTES 256

static struct nsm_redis_reader *reader_of(struct nsm_reader *base)
{
    return (struct nsm_redis_reader *)base;
}

static bool is_dump(const struct nsm_redis_reader *reader)
{
    return reader->base.request->lane == NSM_LANE_REDIS_DUMP;
}

static struct nsm_redis_slot *slot_at(struct nsm_redis_reader *reader, size_t index)
{
    return &reader->slots[(reader->head + index) % reader->cap_slots];
}

static size_t batch_records(const struct nsm_redis_reader *reader)
{
    const size_t n = reader->base.request->batch_records;
    return n < MAX_BATCH_RECORDS ? n : MAX_BATCH_RECORDS;
}

/* ---- probing ---- */

/* Takes the next key off the list and into a slot. */
static struct nsm_error *list_key(struct nsm_redis_reader *reader, struct nsm_redis_slot *slot)
{
    const struct nsm_redis_list *const list = reader->list;
    const uint64_t offset = nsm_redis_cursor_offset(&reader->cursor);
    struct nsm_str key;
    NSM_TRY(nsm_redis_cursor_next(&reader->cursor, &key));
    if (slot->key.cap > KEEP_KEY_BYTES)
        nsm_buf_release(&slot->key);
    struct nsm_buf text = slot->key.cap ? slot->key : NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    nsm_buf_clear(&text);
    nsm_buf_append_str(&text, list->replacement);
    nsm_buf_append_str(&text,
                       nsm_str_skip(key, list->n_replaced < key.len ? list->n_replaced : key.len));
    *slot = (struct nsm_redis_slot){
        .key = text,
        .offset = offset,
        .kind = NSM_KIND_DUMP,
        .shape = nsm_redis_shape(key),
    };
    NSM_TRY(nsm_buf_error(&text));
    reader->n_unlisted--;
    return NULL;
}

static void queue_probe(struct nsm_redis_reader *reader, const struct nsm_redis_slot *slot)
{
    const struct nsm_str key = nsm_buf_view(&slot->key);
    if (!is_dump(reader))
        NSM_REDIS_COMMAND(reader->conn, "TYPE", key);
    NSM_REDIS_COMMAND(reader->conn, "MEMORY", NSM_STR_LIT("USAGE"), key);
}

/* Of collections nothing but the whole can be asked for: they are guessed where a copy just read them all, and none was large. */
static bool may_guess(const struct nsm_redis_reader *reader, enum nsm_kind kind)
{
    const struct nsm_redis_guesses *const guesses = reader->list->guesses;
    if (kind == NSM_KIND_STRING)
        return true;
    return kind != NSM_KIND_DUMP && reader->base.request->flags & NSM_READ_VERIFY &&
           !is_dump(reader) && guesses->is_largest_of_all &&
           atomic_load_explicit(&guesses->largest_bytes, memory_order_relaxed) <=
               nsm_redis_max_guess_bytes(reader);
}

/* Whether the key is taken for a small one of a kind. */
static bool guess(const struct nsm_redis_reader *reader, struct nsm_redis_slot *slot)
{
    const enum nsm_kind kind = nsm_redis_guess(reader->list->guesses, slot->shape);
    if (!may_guess(reader, kind))
        return false;
    slot->kind = kind;
    slot->is_guessed = true;
    slot->n_bytes = reader->guess_bytes;
    return true;
}

static struct nsm_error *queue_probes(struct nsm_redis_reader *reader)
{
    size_t n_bytes = 0;
    while (reader->n_unlisted && reader->n_known + reader->n_probing < batch_records(reader) &&
           n_bytes < reader->base.request->batch_bytes) {
        struct nsm_redis_slot *const slot =
            slot_at(reader, reader->n_fetching + reader->n_known + reader->n_probing);
        NSM_TRY(list_key(reader, slot));
        if (!guess(reader, slot))
            queue_probe(reader, slot);
        reader->n_probing++;
        n_bytes += slot->key.len;
    }
    return NULL;
}

static struct nsm_error *module_type(const struct nsm_redis_slot *slot, struct nsm_str type)
{
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf type_name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(nsm_buf_view(&slot->key), &name);
    nsm_redis_key_write(type, &type_name);
    return nsm_error_new(NSM_E_UNSUPPORTED,
                         "key %s is of a module's type, %s, which lane record can't carry",
                         name.ptr, type_name.ptr);
}

static struct nsm_error *take_type(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                   struct nsm_redis_slot *slot)
{
    const struct nsm_redis_reply *type;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &type));
    if (type->type != NSM_REDIS_STATUS)
        return nsm_redis_reply_error(type, "TYPE", nsm_buf_view(&slot->key));
    if (nsm_str_equals(type->str, NSM_STR_LIT("none"))) {
        slot->is_gone = true;
        return NULL;
    }
    return nsm_redis_kind_parse(type->str, &slot->kind) ? NULL : module_type(slot, type->str);
}

/* What is big: in lane redis-dump what the server says takes more memory than slice_bytes. Between
 * records, lists, streams and strings are judged by what is the same at any server. */
static void judge(const struct nsm_redis_reader *reader, struct nsm_redis_slot *slot)
{
    switch (slot->kind) {
    case NSM_KIND_DUMP:
    case NSM_KIND_ROW:
        slot->is_sliced = slot->n_bytes > reader->slice_bytes;
        return;
    case NSM_KIND_LIST:
    case NSM_KIND_STREAM:
        slot->measure = NSM_REDIS_MEASURE_WANTED;
        return;
    case NSM_KIND_STRING:
        if (slot->n_bytes > reader->base.request->batch_bytes)
            slot->measure = NSM_REDIS_MEASURE_WANTED;
        return;
    case NSM_KIND_HASH:
    case NSM_KIND_SET:
    case NSM_KIND_ZSET:
        slot->is_sliced = slot->n_bytes > reader->base.request->batch_bytes;
        return;
    }
}

static struct nsm_error *take_probe(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                    struct nsm_redis_slot *slot)
{
    if (slot->is_guessed)
        return NULL;
    nsm_arena_clear(&reader->scratch);
    if (!is_dump(reader))
        NSM_TRY(take_type(reader, ctx, slot));
    const struct nsm_redis_reply *usage;
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &usage));
    if (usage->type == NSM_REDIS_NIL)
        slot->is_gone = true;
    else if (usage->type == NSM_REDIS_INTEGER)
        slot->n_bytes = (uint64_t)usage->integer;
    else
        return nsm_redis_reply_error(usage, "MEMORY USAGE", nsm_buf_view(&slot->key));
    nsm_redis_guess_measured(reader->list->guesses, slot->n_bytes);
    if (!slot->is_gone)
        judge(reader, slot);
    return NULL;
}

/* ---- measuring ---- */

static const char *measure_command(enum nsm_kind kind)
{
    if (kind == NSM_KIND_STRING)
        return "STRLEN";
    return kind == NSM_KIND_LIST ? "LLEN" : "XINFO STREAM";
}

static void queue_measures(struct nsm_redis_reader *reader)
{
    for (size_t index = 0; index < reader->n_known; index++) {
        struct nsm_redis_slot *const slot = slot_at(reader, reader->n_fetching + index);
        if (slot->measure != NSM_REDIS_MEASURE_WANTED)
            continue;
        const struct nsm_str key = nsm_buf_view(&slot->key);
        if (slot->kind == NSM_KIND_STREAM)
            NSM_REDIS_COMMAND(reader->conn, "XINFO", NSM_STR_LIT("STREAM"), key);
        else
            nsm_redis_command(reader->conn, measure_command(slot->kind), 1, &key);
        slot->measure = NSM_REDIS_MEASURE_ASKED;
    }
}

/* A stream with consumer groups is read piece by piece, whatever its length. */
static struct nsm_error *judge_stream(struct nsm_redis_slot *slot,
                                      const struct nsm_redis_reply *info)
{
    if (nsm_redis_is_no_such_key(info))
        return NULL; /* which fetching it will find */
    const struct nsm_redis_reply *const length =
        info->type == NSM_REDIS_ARRAY ? nsm_redis_reply_field(info, "length") : NULL;
    if (!length || length->type != NSM_REDIS_INTEGER)
        return nsm_redis_reply_error(info, "XINFO STREAM", nsm_buf_view(&slot->key));
    slot->is_sliced = length->integer > NSM_REDIS_BULK_ITEMS || nsm_redis_stream_has_groups(info);
    return NULL;
}

static struct nsm_error *judge_length(const struct nsm_redis_reader *reader,
                                      struct nsm_redis_slot *slot,
                                      const struct nsm_redis_reply *length)
{
    if (length->type != NSM_REDIS_INTEGER)
        return nsm_redis_reply_error(length, measure_command(slot->kind), nsm_buf_view(&slot->key));
    const uint64_t most =
        slot->kind == NSM_KIND_STRING ? reader->base.request->batch_bytes : NSM_REDIS_BULK_ITEMS;
    slot->is_sliced = (uint64_t)length->integer > most;
    return NULL;
}

static struct nsm_error *take_measures(struct nsm_redis_reader *reader, struct nsm_context *ctx)
{
    for (size_t index = 0; index < reader->n_known; index++) {
        struct nsm_redis_slot *const slot = slot_at(reader, index);
        if (slot->measure != NSM_REDIS_MEASURE_ASKED)
            continue;
        nsm_arena_clear(&reader->scratch);
        const struct nsm_redis_reply *reply;
        NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &reply));
        slot->measure = NSM_REDIS_MEASURE_NONE;
        NSM_TRY(slot->kind == NSM_KIND_STREAM ? judge_stream(slot, reply)
                                              : judge_length(reader, slot, reply));
    }
    return NULL;
}

/* ---- the round trip ---- */

static bool is_for_slices(const struct nsm_redis_slot *slot)
{
    return slot->is_sliced && !slot->is_fetched_whole && !slot->is_gone;
}

static bool is_fetchable(const struct nsm_redis_slot *slot)
{
    return slot->measure == NSM_REDIS_MEASURE_NONE && !is_for_slices(slot);
}

/* Takes the first `n` off the ring, but those that are missed, which become its first. Returns how many they are. */
static size_t leave_missed(struct nsm_redis_reader *reader, size_t n)
{
    size_t n_missed = 0;
    for (size_t index = n; index > 0; index--) {
        struct nsm_redis_slot *const slot = slot_at(reader, index - 1);
        if (!slot->is_missed)
            continue;
        n_missed++;
        struct nsm_redis_slot *const last = slot_at(reader, n - n_missed);
        const struct nsm_redis_slot kept = *slot;
        *slot = *last;
        *last = kept;
    }
    reader->head = (reader->head + n - n_missed) % reader->cap_slots;
    return n_missed;
}

/* Fetches of the first `n` known keys those that are small, now. */
static struct nsm_error *fetch_missed(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                      size_t n, struct nsm_batch *batch)
{
    uint64_t n_bytes = 0;
    for (size_t index = 0; index < n; index++) {
        struct nsm_redis_slot *const slot = slot_at(reader, index);
        slot->is_missed = !is_fetchable(slot) || n_bytes >= reader->base.request->batch_bytes;
        if (slot->is_missed)
            continue;
        nsm_redis_fetch_queue(reader, slot);
        n_bytes += slot->n_bytes;
    }
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    for (size_t index = 0; index < n; index++) {
        struct nsm_redis_slot *const slot = slot_at(reader, index);
        if (!slot->is_missed)
            NSM_TRY(nsm_redis_fetch_take(reader, ctx, slot, batch));
    }
    return NULL;
}

/* The first `n` known keys were guessed wrongly: what they are is asked now. Those that still can't be fetched stay the first of the
 * ring, although keys behind them were handed out. */
static struct nsm_error *mend_missed(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                     size_t n, struct nsm_batch *batch)
{
    for (size_t index = 0; index < n; index++) {
        struct nsm_redis_slot *const slot = slot_at(reader, index);
        slot->is_guessed = false;
        slot->kind = NSM_KIND_DUMP;
        queue_probe(reader, slot);
    }
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    for (size_t index = 0; index < n; index++)
        NSM_TRY(take_probe(reader, ctx, slot_at(reader, index)));
    queue_measures(reader);
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    NSM_TRY(take_measures(reader, ctx));
    NSM_TRY(fetch_missed(reader, ctx, n, batch));
    const size_t n_left = leave_missed(reader, n);
    reader->n_known -= n - n_left;
    reader->n_late += n_left;
    for (size_t index = 0; index < n_left; index++)
        slot_at(reader, index)->is_missed = false;
    return NULL;
}

/* Takes all replies that are on the way. */
static struct nsm_error *collect(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                 struct nsm_batch *batch)
{
    const size_t n_fetched = reader->n_fetching;
    for (size_t index = 0; index < n_fetched; index++)
        NSM_TRY(nsm_redis_fetch_take(reader, ctx, slot_at(reader, index), batch));
    reader->n_late -= n_fetched < reader->n_late ? n_fetched : reader->n_late;
    const size_t n_missed = leave_missed(reader, n_fetched);
    reader->n_fetching = 0;
    reader->n_known += n_missed;
    NSM_TRY(take_measures(reader, ctx));
    for (size_t index = 0; index < reader->n_probing; index++)
        NSM_TRY(take_probe(reader, ctx, slot_at(reader, reader->n_known + index)));
    reader->n_known += reader->n_probing;
    reader->n_probing = 0;
    return n_missed ? mend_missed(reader, ctx, n_missed, batch) : NULL;
}

/* Asks for the values of the next batch: as many known keys as fit. */
static void queue_fetches(struct nsm_redis_reader *reader)
{
    uint64_t n_bytes = 0;
    while (reader->n_known && reader->n_fetching < batch_records(reader) &&
           n_bytes < reader->base.request->batch_bytes) {
        struct nsm_redis_slot *const slot = slot_at(reader, reader->n_fetching);
        if (!is_fetchable(slot))
            return;
        nsm_redis_fetch_queue(reader, slot);
        n_bytes += slot->n_bytes;
        reader->n_fetching++;
        reader->n_known--;
    }
}

/* Puts the next requests on their way. */
static struct nsm_error *issue(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                               struct nsm_batch *batch)
{
    while (reader->n_known && is_for_slices(slot_at(reader, 0))) {
        NSM_TRY(nsm_redis_slices_begin(reader, ctx, batch));
        if (reader->slicing.is_active)
            return NULL;
    }
    queue_fetches(reader);
    queue_measures(reader);
    NSM_TRY(queue_probes(reader));
    return nsm_redis_flush(reader->conn, ctx);
}

static bool is_at_end(const struct nsm_redis_reader *reader)
{
    return !reader->n_fetching && !reader->n_known && !reader->n_probing && !reader->n_unlisted;
}

/* Where a reader opened anew begins: at the first key that was not handed out; nowhere in the
 * middle of one. */
static void set_resume(struct nsm_redis_reader *reader, struct nsm_batch *batch)
{
    const uint64_t n_in_ring = reader->n_fetching + reader->n_known + reader->n_probing;
    if (is_at_end(reader) || reader->n_late ||
        (reader->slicing.is_active && reader->slicing.is_begun))
        return;
    const uint64_t offset =
        n_in_ring ? slot_at(reader, 0)->offset : nsm_redis_cursor_offset(&reader->cursor);
    char text[48];
    const int len = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, offset,
                             n_in_ring + reader->n_unlisted);
    batch->resume = nsm_batch_copy(batch, (struct nsm_str){.ptr = text, .len = (size_t)len});
}

struct nsm_error *nsm_redis_read(struct nsm_reader *base, struct nsm_context *ctx,
                                 struct nsm_batch *batch, bool *ret_is_end)
{
    struct nsm_redis_reader *const reader = reader_of(base);
    while (!is_at_end(reader)) {
        if (reader->slicing.is_active)
            NSM_TRY(nsm_redis_slices_take(reader, ctx, batch));
        else
            NSM_TRY(collect(reader, ctx, batch));
        if (!reader->slicing.is_active)
            NSM_TRY(issue(reader, ctx, batch));
        if (batch->n_records || batch->n_vanished >= batch_records(reader))
            break;
    }
    set_resume(reader, batch);
    *ret_is_end = is_at_end(reader);
    return NULL;
}

/* ---- open and close ---- */

static struct nsm_error *find_part(struct nsm_redis_reader *reader)
{
    const struct nsm_read_request *const request = reader->base.request;
    const struct nsm_redis_source *const state = request->source->state;
    assert(state && request->part->object < state->n_lists);
    reader->list = &state->lists[request->part->object];
    if (!reader->list->path)
        return nsm_error_new(NSM_E_INTERNAL, "the keys were only counted");
    const struct nsm_str where = request->resume.len ? request->resume : request->part->range;
    uint64_t offset;
    if (!nsm_redis_range_parse(where, &offset, &reader->n_unlisted))
        return nsm_error_new(NSM_E_CORRUPT, "the place in the key list is not one: start the run "
                                            "anew with --fresh");
    return nsm_redis_cursor_open(&reader->cursor, reader->list->path, offset);
}

/* The fields of a hash may expire on their own since Redis 7.4: DUMP carries that, a record can't.
 * Which hashes have such fields is not told, so all are refused that might. */
static struct nsm_error *check_fields(const struct nsm_redis_reader *reader)
{
    if (is_dump(reader) || reader->base.request->flags & NSM_READ_VERIFY ||
        reader->server.n_field_expiry == 0)
        return NULL;
    return nsm_error_new(NSM_E_UNSUPPORTED,
                         "%" PRIu64 " hashes of the database have fields that expire, which lane "
                         "record can't carry: copy from Redis to Redis, or HPERSIST the fields",
                         reader->server.n_field_expiry);
}

static struct nsm_error *begin(struct nsm_redis_reader *reader, struct nsm_context *ctx)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(reader->base.backend);
    NSM_TRY(find_part(reader));
    NSM_TRY(nsm_redis_take(backend, ctx, &reader->conn));
    NSM_TRY(nsm_redis_server_known(backend, reader->conn, ctx, &reader->server));
    /* Whether fields expire is asked anew. */
    if (!is_dump(reader) && reader->server.version >= NSM_REDIS_VERSION(7, 4))
        NSM_TRY(nsm_redis_server_ask(backend, reader->conn, ctx, &reader->server));
    NSM_TRY(check_fields(reader));
    NSM_TRY(queue_probes(reader));
    return nsm_redis_flush(reader->conn, ctx);
}

struct nsm_error *nsm_redis_reader_open(struct nsm_reader *base, struct nsm_context *ctx)
{
    struct nsm_redis_reader *const reader = reader_of(base);
    reader->slice_bytes = nsm_redis_backend_of(base->backend)->slice_bytes;
    reader->slicing.cursor = NSM_BUF_INIT(4096);
    reader->slicing.grouping.next_id = NSM_BUF_INIT(4096);
    reader->cap_slots = batch_records(reader) * 2;
    reader->slots = nsm_xcalloc(reader->cap_slots, sizeof(*reader->slots));
    for (size_t index = 0; index < reader->cap_slots; index++)
        reader->slots[index].key = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    reader->guess_bytes = FIRST_GUESS_BYTES;
    struct nsm_error *const error = begin(reader, ctx);
    if (error)
        nsm_redis_reader_close(base);
    return error;
}

void nsm_redis_reader_close(struct nsm_reader *base)
{
    struct nsm_redis_reader *const reader = reader_of(base);
    nsm_redis_give(nsm_redis_backend_of(base->backend), reader->conn);
    nsm_redis_cursor_close(&reader->cursor);
    for (size_t index = 0; index < reader->cap_slots; index++)
        nsm_buf_release(&reader->slots[index].key);
    free(reader->slots);
    nsm_buf_release(&reader->slicing.cursor);
    free(reader->slicing.pieces);
    nsm_redis_groups_release(&reader->slicing.grouping);
    nsm_arena_release(&reader->slicing.arena);
    nsm_arena_release(&reader->scratch);
}
