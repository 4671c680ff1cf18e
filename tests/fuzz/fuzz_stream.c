/*
 * The items of a key as JSON (files, the kv and json layouts), streams above all: what is read has pieces to its end, and
 * written and read again it is the same. And records of any items: looking for pieces stays within them.
 *
 * The first byte of the input: bits 0 to 2 the kind, bit 3 a continued slice, bit 4 not JSON but items, of which each is a
 * type (one byte), a length (one byte) and its bytes.
 */
#include <assert.h>
#include <stdint.h>

#include "migrate/engine/record/digest.h"
#include "migrate/engine/record/json.h"
#include "migrate/engine/record/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum how {
    HOW_KIND = 7,
    HOW_CONTINUED = 8,
    HOW_ITEMS = 16,
};

static const enum nsm_kind kinds[] = {
    NSM_KIND_STREAM, NSM_KIND_STRING, NSM_KIND_HASH,   NSM_KIND_LIST,
    NSM_KIND_SET,    NSM_KIND_ZSET,   NSM_KIND_STREAM, NSM_KIND_STREAM,
};

static void touch(struct nsm_str bytes)
{
    volatile unsigned sum = 0;
    for (size_t at = 0; at < bytes.len; at++)
        sum += (unsigned char)bytes.ptr[at];
    (void)sum;
}

/* Where the pieces end. */
static size_t walk(const struct nsm_record *record)
{
    size_t at = record->flags & NSM_RECORD_CONTINUED ? 0 : NSM_STREAM_HEAD;
    struct nsm_stream_piece piece;
    while (nsm_stream_next(record, &at, &piece)) {
        assert(at <= record->n_items);
        for (size_t index = 0; index < piece.n_values; index++)
            touch(piece.values[index].bytes);
    }
    return at;
}

/* Without types: what someone has marked as text is bytes when it comes back. */
static struct nsm_hash hash_of(const struct nsm_record *record)
{
    return nsm_record_hash(record, 0, 0);
}

static void check_round_trip(const struct nsm_record *record)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(NSM_JSON_MAX_BYTES);
    struct nsm_batch batch NSM_CLEANUP(nsm_batch_release);
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    nsm_json_write_items(&text, record);
    struct nsm_record *const again = nsm_batch_add(&batch, record->kind, 0);
    again->flags = record->flags;
    struct nsm_error *const error = nsm_json_read_items(&batch, again, nsm_buf_view(&text));
    assert(!error);
    assert(again->n_items == record->n_items);
    const struct nsm_hash left = hash_of(record);
    const struct nsm_hash right = hash_of(again);
    assert(left.low == right.low && left.high == right.high);
}

static void read_json(struct nsm_batch *batch, struct nsm_record *record, struct nsm_str text)
{
    struct nsm_error *const error = nsm_json_read_items(batch, record, text);
    if (!error && record->kind == NSM_KIND_STREAM)
        assert(walk(record) == record->n_items);
    if (!error)
        check_round_trip(record);
    nsm_error_free(error);
}

static void read_items(struct nsm_batch *batch, struct nsm_record *record, struct nsm_str text)
{
    record->items = nsm_arena_calloc(&batch->arena, text.len / 2 + 1, sizeof(*record->items));
    while (text.len >= 2) {
        const size_t wanted = (unsigned char)text.ptr[1];
        struct nsm_value *const item = &record->items[record->n_items++];
        item->type = (enum nsm_type)((unsigned char)text.ptr[0] % NSM_N_TYPES);
        text = nsm_str_skip(text, 2);
        item->bytes = (struct nsm_str){text.ptr, wanted < text.len ? wanted : text.len};
        text = nsm_str_skip(text, item->bytes.len);
    }
    (void)walk(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct nsm_str text = {.ptr = (const char *)data + 1, .len = size - 1};
    struct nsm_batch batch NSM_CLEANUP(nsm_batch_release);
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    const bool is_items = data[0] & HOW_ITEMS;
    const enum nsm_kind kind = is_items ? NSM_KIND_STREAM : kinds[data[0] & HOW_KIND];
    struct nsm_record *const record = nsm_batch_add(&batch, kind, 0);
    record->flags = data[0] & HOW_CONTINUED ? NSM_RECORD_CONTINUED : 0;
    if (is_items)
        read_items(&batch, record, text);
    else
        read_json(&batch, record, text);
    return 0;
}
