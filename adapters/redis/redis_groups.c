/*
 * The consumer groups of a stream, read in pages, so that a group in which millions of entries are pending is no more in memory than a
 * slice of it.
 *
 * XPENDING alone has pages, and tells how long ago an entry was delivered, not when. Between two looks at the server's clock that show the
 * same millisecond both are the same; where they don't, a smaller page is asked for.
 */
#include <assert.h>
#include <inttypes.h>

#include "adapters/redis/redis_reader.h"
#include "adapters/redis/redis_router.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"
#include "migrate/engine/record/stream.h"

/* Pieces that are gathered before a slice may end: always as many, so that the same group is cut alike at any server. */
#define PAGE_CONSUMERS 1024
#define PAGE_PENDING   512
/* Pages of a single entry between two milliseconds, before we give up on the server. */
#define MAX_TRIES 1000

static struct nsm_str key_of(struct nsm_redis_reader *reader)
{
    return nsm_buf_view(&reader->slots[reader->head].key);
}

static struct nsm_redis_grouping *grouping_of(struct nsm_redis_reader *reader)
{
    return &reader->slicing.grouping;
}

static const struct nsm_redis_reply *group_of(struct nsm_redis_reader *reader)
{
    const struct nsm_redis_grouping *const grouping = grouping_of(reader);
    return &grouping->groups->elements[grouping->at];
}

static void set_group(struct nsm_redis_grouping *grouping, size_t at)
{
    grouping->at = at;
    grouping->step = NSM_REDIS_GROUP_ITSELF;
    if (at == grouping->groups->n_elements)
        grouping->groups = NULL;
}

void nsm_redis_groups_begin(struct nsm_redis_grouping *grouping,
                            const struct nsm_redis_reply *groups)
{
    grouping->groups = groups;
    grouping->page_entries = PAGE_PENDING;
    set_group(grouping, 0);
}

void nsm_redis_groups_release(struct nsm_redis_grouping *grouping)
{
    nsm_arena_release(&grouping->arena);
    nsm_buf_release(&grouping->next_id);
    free(grouping->items);
}

/* ---- pieces ---- */

static void put(struct nsm_redis_reader *reader, struct nsm_value value)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    NSM_GROW(grouping->items, grouping->n_items, grouping->cap_items);
    grouping->items[grouping->n_items++] = value;
    reader->slicing.n_bytes += value.bytes.len + NSM_REDIS_ITEM_BYTES;
}

static struct nsm_value copied(struct nsm_batch *batch, struct nsm_str bytes)
{
    return (struct nsm_value){.type = NSM_BYTES, .bytes = nsm_batch_copy(batch, bytes)};
}

/* The group was destroyed, or the stream deleted. */
static bool is_gone(const struct nsm_redis_reply *reply)
{
    return nsm_redis_reply_is_error(reply, "NOGROUP") || nsm_redis_is_no_such_key(reply);
}

/* ---- the group itself, and its consumers ---- */

static struct nsm_error *take_group(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                    struct nsm_batch *batch)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    const struct nsm_redis_reply *const group = group_of(reader);
    const struct nsm_redis_reply *const name = nsm_redis_reply_field(group, "name");
    const struct nsm_redis_reply *const last = nsm_redis_reply_field(group, "last-delivered-id");
    const struct nsm_redis_reply *const n_read = nsm_redis_reply_field(group, "entries-read");
    if (!name || !last)
        return nsm_error_new(NSM_E_INTERNAL, "XINFO GROUPS: the server's answer lacks fields");
    nsm_arena_clear(&grouping->arena);
    NSM_REDIS_COMMAND(reader->conn, "XINFO", NSM_STR_LIT("CONSUMERS"), key_of(reader), name->str);
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &grouping->arena, &grouping->consumers));
    if (is_gone(grouping->consumers)) {
        set_group(grouping, grouping->at + 1);
        return NULL;
    }
    if (grouping->consumers->type != NSM_REDIS_ARRAY)
        return nsm_redis_reply_error(grouping->consumers, "XINFO CONSUMERS", key_of(reader));
    put(reader, nsm_stream_word(NSM_STREAM_GROUP));
    put(reader, copied(batch, name->str));
    put(reader, copied(batch, last->str));
    const bool is_known = n_read && n_read->type == NSM_REDIS_INTEGER;
    put(reader,
        is_known ? nsm_redis_number(batch, n_read->integer) : (struct nsm_value){.type = NSM_NULL});
    grouping->consumer_at = 0;
    grouping->step = NSM_REDIS_GROUP_CONSUMERS;
    return NULL;
}

static struct nsm_error *take_consumers(struct nsm_redis_reader *reader, struct nsm_batch *batch)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    const size_t n_left = grouping->consumers->n_elements - grouping->consumer_at;
    const size_t n = n_left < PAGE_CONSUMERS ? n_left : PAGE_CONSUMERS;
    for (size_t index = 0; index < n; index++) {
        const struct nsm_redis_reply *const name =
            nsm_redis_reply_field(&grouping->consumers->elements[grouping->consumer_at++], "name");
        if (!name)
            return nsm_error_new(NSM_E_INTERNAL,
                                 "XINFO CONSUMERS: the server's answer lacks names");
        put(reader, nsm_stream_word(NSM_STREAM_CONSUMER));
        put(reader, copied(batch, name->str));
    }
    if (n < n_left)
        return NULL;
    nsm_buf_clear(&grouping->next_id);
    nsm_buf_append_cstr(&grouping->next_id, "-");
    grouping->step = NSM_REDIS_GROUP_PENDING;
    return NULL;
}

/* ---- what is pending ---- */

/* The id behind `id`: before Redis 6.2 there are no ranges that leave out their beginning. */
static struct nsm_error *set_next_id(struct nsm_redis_grouping *grouping, struct nsm_str id)
{
    const char *const dash = id.len ? memchr(id.ptr, '-', id.len) : NULL;
    const size_t n_ms = dash ? (size_t)(dash - id.ptr) : 0;
    uint64_t ms;
    uint64_t sequence;
    if (!nsm_parse_u64((struct nsm_str){.ptr = id.ptr, .len = n_ms}, &ms) ||
        !nsm_parse_u64(nsm_str_skip(id, n_ms + 1), &sequence))
        return nsm_error_new(NSM_E_INTERNAL, "XPENDING: an id that is none");
    sequence++;
    nsm_buf_clear(&grouping->next_id);
    nsm_buf_printf(&grouping->next_id, "%" PRIu64 "-%" PRIu64, ms + (sequence == 0), sequence);
    return nsm_buf_error(&grouping->next_id);
}

static bool is_pending(const struct nsm_redis_reply *entry)
{
    return entry->type == NSM_REDIS_ARRAY && entry->n_elements == 4 &&
           entry->elements[0].type == NSM_REDIS_STRING &&
           entry->elements[1].type == NSM_REDIS_STRING &&
           entry->elements[2].type == NSM_REDIS_INTEGER &&
           entry->elements[3].type == NSM_REDIS_INTEGER;
}

static struct nsm_error *put_page(struct nsm_redis_reader *reader, struct nsm_batch *batch,
                                  const struct nsm_redis_reply *page, int64_t now_ms)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    for (size_t index = 0; index < page->n_elements; index++) {
        const struct nsm_redis_reply *const entry = &page->elements[index];
        if (!is_pending(entry))
            return nsm_redis_reply_error(entry, "XPENDING", key_of(reader));
        const struct nsm_redis_reply *const of = entry->elements;
        put(reader, nsm_stream_word(NSM_STREAM_PENDING));
        put(reader, copied(batch, of[0].str));
        put(reader, copied(batch, of[1].str));
        put(reader, nsm_redis_number(batch, now_ms - of[2].integer));
        put(reader, nsm_redis_number(batch, of[3].integer));
    }
    return page->n_elements
               ? set_next_id(grouping, page->elements[page->n_elements - 1].elements[0].str)
               : NULL;
}

/* In a Cluster TIME goes to where the next key is; so one stands behind the second, too. */
static void queue_page(struct nsm_redis_reader *reader, size_t n_entries)
{
    struct nsm_redis_conn *const conn = reader->conn;
    NSM_REDIS_COMMAND(conn, "TIME", );
    nsm_redis_begin(conn, 6);
    nsm_redis_arg_cstr(conn, "XPENDING");
    nsm_redis_arg(conn, key_of(reader));
    nsm_redis_arg(conn, nsm_redis_reply_field(group_of(reader), "name")->str);
    nsm_redis_arg(conn, nsm_buf_view(&grouping_of(reader)->next_id));
    nsm_redis_arg_cstr(conn, "+");
    nsm_redis_arg_i64(conn, (int64_t)n_entries);
    NSM_REDIS_COMMAND(conn, "TIME", );
    NSM_REDIS_COMMAND(conn, "EXISTS", key_of(reader));
}

/* *ret_now_ms: 0 where the clock went on meanwhile. */
static struct nsm_error *ask_page(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                  size_t n_entries, const struct nsm_redis_reply **ret,
                                  int64_t *ret_now_ms)
{
    const uint64_t n_detours = nsm_redis_n_detours(reader->conn);
    int64_t before_ms = 0;
    int64_t after_ms = 0;
    const struct nsm_redis_reply *exists;
    nsm_arena_clear(&reader->scratch);
    queue_page(reader, n_entries);
    NSM_TRY(nsm_redis_flush(reader->conn, ctx));
    NSM_TRY(nsm_redis_time_take(reader, ctx, &before_ms));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, ret));
    NSM_TRY(nsm_redis_time_take(reader, ctx, &after_ms));
    NSM_TRY(nsm_redis_receive(reader->conn, ctx, &reader->scratch, &exists));
    const bool is_exact = before_ms == after_ms && n_detours == nsm_redis_n_detours(reader->conn);
    *ret_now_ms = is_exact ? before_ms : 0;
    return NULL;
}

static struct nsm_error *no_luck(struct nsm_redis_reader *reader)
{
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(key_of(reader), &name);
    return nsm_error_new(NSM_E_UNAVAILABLE,
                         "stream %s: the server is too busy to tell when its pending entries were "
                         "delivered",
                         name.ptr);
}

/* Asks for a page of at most `most` entries until the answer is exact. *ret_is_end: there are no more behind it. */
static struct nsm_error *take_page(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                   struct nsm_batch *batch, size_t most, size_t *ret_n,
                                   bool *ret_is_end)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    for (unsigned n_tries = 0; n_tries < MAX_TRIES; n_tries++) {
        const size_t n = most < grouping->page_entries ? most : grouping->page_entries;
        const struct nsm_redis_reply *page;
        int64_t now_ms;
        NSM_TRY(ask_page(reader, ctx, n, &page, &now_ms));
        if (page->type != NSM_REDIS_ARRAY && !is_gone(page))
            return nsm_redis_reply_error(page, "XPENDING", key_of(reader));
        *ret_n = page->n_elements;
        *ret_is_end = page->n_elements < n;
        if (page->n_elements == 0)
            return NULL;
        if (now_ms) {
            grouping->page_entries = n < PAGE_PENDING ? n * 2 : n;
            return put_page(reader, batch, page, now_ms);
        }
        grouping->page_entries = n > 1 ? n / 2 : 1;
    }
    return no_luck(reader);
}

static struct nsm_error *take_pending(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                      struct nsm_batch *batch)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    bool is_end = false;
    for (size_t n_gathered = 0; !is_end && n_gathered < PAGE_PENDING;) {
        size_t n = 0;
        NSM_TRY(take_page(reader, ctx, batch, PAGE_PENDING - n_gathered, &n, &is_end));
        n_gathered += n;
    }
    if (is_end)
        set_group(grouping, grouping->at + 1);
    return NULL;
}

/* ---- all of it ---- */

struct nsm_error *nsm_redis_groups_gather(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                          struct nsm_batch *batch, uint64_t max_bytes)
{
    struct nsm_redis_grouping *const grouping = grouping_of(reader);
    while (grouping->groups && reader->slicing.n_bytes < max_bytes) {
        switch (grouping->step) {
        case NSM_REDIS_GROUP_ITSELF:
            NSM_TRY(take_group(reader, ctx, batch));
            break;
        case NSM_REDIS_GROUP_CONSUMERS:
            NSM_TRY(take_consumers(reader, batch));
            break;
        case NSM_REDIS_GROUP_PENDING:
            NSM_TRY(take_pending(reader, ctx, batch));
            break;
        }
    }
    return NULL;
}
