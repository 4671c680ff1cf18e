/*
 * COPY data of a hostile server: header, rows and trailer in either form, in either lane. What is taken has a place that a
 * later COPY can go on behind, or is refused then; what is not is one error.
 *
 * The first byte of the input says how the rest is read: bit 0 binary, bit 1 passed through raw. Each message is its length
 * (one byte; 255: all that is left) and its bytes.
 */
#include <assert.h>
#include <stdint.h>

#include "adapters/postgres/pg_reader.h"
#include "migrate/base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum how {
    HOW_BINARY = 1,
    HOW_RAW = 2,
};

static struct nsm_column columns[] = {
    {.name = "id", .type = NSM_INT, .type_name = "bigint"},
    {.name = "number", .type = NSM_FLOAT, .type_name = "double precision"},
    {.name = "bytes", .type = NSM_BYTES, .type_name = "bytea"},
    {.name = "text", .type = NSM_TEXT, .type_name = "text"},
};
static const struct nsm_object object = {
    .name = "t",
    .schema = "s",
    .columns = columns,
    .n_columns = NSM_COUNT_OF(columns),
};

static void touch(struct nsm_str bytes)
{
    volatile unsigned sum = 0;
    for (size_t at = 0; at < bytes.len; at++)
        sum += (unsigned char)bytes.ptr[at];
    (void)sum;
}

static void touch_batch(const struct nsm_batch *batch)
{
    if (batch->lane == NSM_LANE_PGCOPY)
        return;
    for (size_t index = 0; index < batch->n_records; index++) {
        const struct nsm_record *const record = &batch->records[index];
        assert(record->n_items == object.n_columns);
        for (size_t item = 0; item < record->n_items; item++)
            touch(record->items[item].bytes);
    }
}

/* The statement that goes on behind the last row: a place that is none must not get into it. */
static void go_on(const struct nsm_pg_reader *pg)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const struct nsm_str place = nsm_str_of(pg->place);
    assert(place.len < NSM_PG_PLACE_BYTES);
    const struct nsm_pg_piece piece = {.behind = place};
    struct nsm_error *const error = nsm_pg_write_copy_out(&sql, &object, &piece, pg->is_binary);
    if (!error && place.len)
        assert(place.ptr[strspn(place.ptr, "(,)0123456789")] == '\0');
    nsm_error_free(error);
}

/* In memory of its own, so that a byte too far is found. */
static bool add(struct nsm_pg_reader *pg, struct nsm_batch *batch, struct nsm_str message)
{
    char *copy NSM_CLEANUP(nsm_freep) = nsm_xmalloc(message.len);
    memcpy(copy, message.ptr, message.len);
    struct nsm_error *const error = nsm_pg_add_copy_data(pg, batch, copy, message.len);
    nsm_error_free(error);
    return !error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const enum nsm_lane lane = data[0] & HOW_RAW ? NSM_LANE_PGCOPY : NSM_LANE_RECORD;
    const struct nsm_read_request request = {.object = &object, .lane = lane};
    /* Binary data is only ever asked for to be passed through. */
    struct nsm_pg_reader pg = {
        .base = {.request = &request},
        .is_binary = (data[0] & HOW_BINARY) && lane == NSM_LANE_PGCOPY,
    };
    struct nsm_batch batch NSM_CLEANUP(nsm_batch_release);
    nsm_batch_init(&batch, lane);
    struct nsm_str rest = {.ptr = (const char *)data + 1, .len = size - 1};
    bool is_taken = true;
    while (is_taken && rest.len > 1) {
        const size_t wanted = (unsigned char)rest.ptr[0];
        rest = nsm_str_skip(rest, 1);
        const size_t len = wanted == 255 || wanted > rest.len ? rest.len : wanted;
        if (len) /* libpq drops empty messages */
            is_taken = add(&pg, &batch, (struct nsm_str){.ptr = rest.ptr, .len = len});
        rest = nsm_str_skip(rest, len);
    }
    touch_batch(&batch);
    go_on(&pg);
    return 0;
}
