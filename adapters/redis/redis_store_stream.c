/*
 * The commands that make a record a stream: its consumer groups, its entries, and at the end what it remembers besides them.
 *
 * What is pending in a group can be set by XCLAIM alone, and only for an entry that stands there; but the entry may have been deleted since
 * it was delivered. So before the entries of its own the stream gets one for each pending id, which is claimed, and is trimmed to nothing
 * again, which leaves what is pending as it is. The last id then goes back, so that older ids can be added.
 */
#include "adapters/redis/redis_writer.h"

#include "migrate/base/parse.h"
#include "migrate/engine/record/stream.h"

/* Ids in one XCLAIM at most. */
#define MAX_CLAIMS 1024
/* Entries that stand there for pending ids at most. */
#define MAX_STAND_INS 8192

/* One record on its way. */
struct storing {
    struct nsm_redis_writer *writer;
    const struct nsm_record *record;
    bool is_temp;
    size_t n_commands, n_entries;
    size_t n_stand_ins; /* entries that stand there for pending ids */
    /* Pending ids that one XCLAIM takes: items of one consumer, time and count, `n_claims` pieces. */
    const struct nsm_value *claims;
    size_t n_claims;
};

static void begin(struct storing *storing, const char *command, size_t n_args)
{
    nsm_redis_begin(storing->writer->conn, n_args);
    nsm_redis_arg_cstr(storing->writer->conn, command);
    storing->n_commands++;
}

static void put(struct storing *storing, struct nsm_str arg)
{
    nsm_redis_arg(storing->writer->conn, arg);
}

static void put_word(struct storing *storing, const char *word)
{
    nsm_redis_arg_cstr(storing->writer->conn, word);
}

static void put_target(struct storing *storing)
{
    nsm_redis_put_target(storing->writer, storing->record, storing->is_temp);
}

static bool has_counts(const struct storing *storing)
{
    return storing->writer->server.version >= NSM_REDIS_VERSION(7, 0);
}

static struct nsm_error *cannot_hold(const struct storing *storing, const char *what,
                                     const char *since)
{
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(storing->record->key, &name);
    return nsm_error_new(NSM_E_UNSUPPORTED,
                         "stream %s %s, which %s can't hold; a Redis from %s on can", name.ptr,
                         what, storing->writer->server.version_text, since);
}

/* ---- what a stream remembers besides its entries ---- */

static struct nsm_error *keep_head(struct nsm_redis_writer *writer, const struct nsm_record *record)
{
    if (record->n_items < NSM_STREAM_HEAD)
        return nsm_redis_corrupt(record, "without its last id");
    nsm_arena_clear(&writer->slice_arena);
    writer->last_id = nsm_arena_copy(&writer->slice_arena, record->items[0].bytes);
    writer->entries_added = nsm_arena_copy(&writer->slice_arena, record->items[1].bytes);
    writer->max_deleted_id = nsm_arena_copy(&writer->slice_arena, record->items[2].bytes);
    writer->group = (struct nsm_str){0};
    return NULL;
}

/* Before Redis 7 a stream knows neither how many entries it ever had nor the last that was deleted.
 */
static struct nsm_error *check_head(const struct storing *storing)
{
    const struct nsm_redis_writer *const writer = storing->writer;
    uint64_t n_added = 0;
    const bool is_plain =
        nsm_str_equals(writer->max_deleted_id, NSM_STR_LIT("0-0")) &&
        nsm_parse_u64(writer->entries_added, &n_added) &&
        (n_added == storing->n_entries || storing->record->flags & NSM_RECORD_MORE);
    return has_counts(storing) || is_plain
               ? NULL
               : cannot_hold(storing, "counts entries that were deleted", "7.0");
}

static void queue_head(struct storing *storing, struct nsm_str last_id,
                       struct nsm_str max_deleted_id)
{
    begin(storing, "XSETID", has_counts(storing) ? 7 : 3);
    put_target(storing);
    put(storing, last_id);
    if (!has_counts(storing))
        return;
    put_word(storing, "ENTRIESADDED");
    put(storing, storing->writer->entries_added);
    put_word(storing, "MAXDELETEDID");
    put(storing, max_deleted_id);
}

/* As a stream is before its first entry, but for how many it will have been given: so that a group may have read as many. */
static void queue_no_head(struct storing *storing)
{
    queue_head(storing, NSM_STR_LIT("0-0"), NSM_STR_LIT("0-0"));
}

/* An empty stream is made by a group that goes at once. */
static void queue_empty(struct storing *storing)
{
    begin(storing, "XGROUP", 6);
    put_word(storing, "CREATE");
    put_target(storing);
    put_word(storing, "nsmigrate");
    put_word(storing, "0");
    put_word(storing, "MKSTREAM");
    begin(storing, "XGROUP", 4);
    put_word(storing, "DESTROY");
    put_target(storing);
    put_word(storing, "nsmigrate");
}

/* ---- groups ---- */

static struct nsm_error *queue_group(struct storing *storing, const struct nsm_stream_piece *piece)
{
    const bool has_read = piece->values[2].type != NSM_NULL;
    if (has_read && !has_counts(storing))
        return cannot_hold(storing, "counts what its consumer groups have read", "7.0");
    storing->writer->group = nsm_arena_copy(&storing->writer->slice_arena, piece->values[0].bytes);
    begin(storing, "XGROUP", has_read ? 8 : 6);
    put_word(storing, "CREATE");
    put_target(storing);
    put(storing, piece->values[0].bytes);
    put(storing, piece->values[1].bytes);
    put_word(storing, "MKSTREAM");
    if (has_read) {
        put_word(storing, "ENTRIESREAD");
        put(storing, piece->values[2].bytes);
    }
    return NULL;
}

static struct nsm_error *queue_consumer(struct storing *storing,
                                        const struct nsm_stream_piece *piece)
{
    if (storing->writer->server.version < NSM_REDIS_VERSION(6, 2))
        return cannot_hold(storing, "has consumers that are told by name", "6.2");
    begin(storing, "XGROUP", 5);
    put_word(storing, "CREATECONSUMER");
    put_target(storing);
    put(storing, storing->writer->group);
    put(storing, piece->values[0].bytes);
    return NULL;
}

static void queue_claims(struct storing *storing)
{
    const struct nsm_value *const first = storing->claims;
    if (storing->n_claims == 0)
        return;
    begin(storing, "XCLAIM", 5 + storing->n_claims + 6);
    put_target(storing);
    put(storing, storing->writer->group);
    put(storing, first[1].bytes);
    put_word(storing, "0");
    for (size_t index = 0; index < storing->n_claims; index++)
        put(storing, first[index * NSM_STREAM_PENDING_ITEMS].bytes);
    put_word(storing, "TIME");
    put(storing, first[2].bytes);
    put_word(storing, "RETRYCOUNT");
    put(storing, first[3].bytes);
    put_word(storing, "FORCE");
    put_word(storing, "JUSTID");
    storing->n_claims = 0;
}

/* Takes what stood there for pending ids away again. */
static void end_pending(struct storing *storing)
{
    queue_claims(storing);
    if (storing->n_stand_ins == 0)
        return;
    begin(storing, "XTRIM", 4);
    put_target(storing);
    put_word(storing, "MAXLEN");
    put_word(storing, "0");
    queue_no_head(storing);
    storing->n_stand_ins = 0;
}

static bool is_claimed_alike(const struct nsm_value *a, const struct nsm_value *b)
{
    return nsm_str_equals(a[1].bytes, b[1].bytes) && nsm_str_equals(a[2].bytes, b[2].bytes) &&
           nsm_str_equals(a[3].bytes, b[3].bytes);
}

static void queue_pending(struct storing *storing, const struct nsm_stream_piece *piece)
{
    if (storing->n_stand_ins == MAX_STAND_INS)
        end_pending(storing);
    begin(storing, "XADD", 5);
    put_target(storing);
    put(storing, piece->values[0].bytes);
    put_word(storing, "");
    put_word(storing, "");
    storing->n_stand_ins++;
    if (storing->n_claims == MAX_CLAIMS ||
        (storing->n_claims && !is_claimed_alike(storing->claims, piece->values)))
        queue_claims(storing);
    if (storing->n_claims == 0)
        storing->claims = piece->values;
    storing->n_claims++;
}

/* ---- pieces ---- */

static struct nsm_error *queue_piece(struct storing *storing, const struct nsm_stream_piece *piece)
{
    if (piece->kind != NSM_STREAM_PENDING)
        end_pending(storing);
    if ((piece->kind == NSM_STREAM_CONSUMER || piece->kind == NSM_STREAM_PENDING) &&
        !storing->writer->group.ptr)
        return nsm_redis_corrupt(storing->record, "with consumers of no group");
    switch (piece->kind) {
    case NSM_STREAM_GROUP:
        return queue_group(storing, piece);
    case NSM_STREAM_CONSUMER:
        return queue_consumer(storing, piece);
    case NSM_STREAM_PENDING:
        queue_pending(storing, piece);
        return NULL;
    case NSM_STREAM_ENTRY:
        break;
    }
    begin(storing, "XADD", 2 + piece->n_values - 1);
    put_target(storing);
    put(storing, piece->values[0].bytes);
    for (size_t index = 2; index < piece->n_values; index++)
        put(storing, piece->values[index].bytes);
    storing->n_entries++;
    return NULL;
}

static struct nsm_error *queue_pieces(struct storing *storing, size_t first)
{
    const struct nsm_record *const record = storing->record;
    size_t at = first;
    struct nsm_stream_piece piece;
    while (nsm_stream_next(record, &at, &piece))
        NSM_TRY(queue_piece(storing, &piece));
    if (at < record->n_items)
        return nsm_redis_corrupt(record, "whose entries are not whole");
    end_pending(storing);
    return NULL;
}

/* XSETID refuses 0-0 on some servers; a new stream has it anyway. */
static bool has_head(const struct nsm_redis_writer *writer)
{
    return !nsm_str_equals(writer->last_id, NSM_STR_LIT("0-0"));
}

/* Whether the first piece is of a group, or there is none at all. */
static bool begins_without_entry(const struct nsm_record *record)
{
    return record->n_items == NSM_STREAM_HEAD || record->items[NSM_STREAM_HEAD].type == NSM_TEXT;
}

struct nsm_error *nsm_redis_store_queue_stream(struct nsm_redis_writer *writer,
                                               const struct nsm_record *record, bool is_temp,
                                               size_t *ret_n_commands)
{
    const bool is_first = !(record->flags & NSM_RECORD_CONTINUED);
    struct storing storing = {.writer = writer, .record = record, .is_temp = is_temp};
    if (is_first)
        NSM_TRY(keep_head(writer, record));
    if (is_first && begins_without_entry(record)) {
        queue_empty(&storing);
        if (has_counts(&storing))
            queue_no_head(&storing);
    }
    NSM_TRY(queue_pieces(&storing, is_first ? NSM_STREAM_HEAD : 0));
    if (is_first)
        NSM_TRY(check_head(&storing));
    if (!(record->flags & NSM_RECORD_MORE) && has_head(writer))
        queue_head(&storing, writer->last_id, writer->max_deleted_id);
    *ret_n_commands = storing.n_commands;
    return NULL;
}
