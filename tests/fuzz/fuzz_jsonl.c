/*
 * Data files of the adapter `file` with any content: the reader must refuse it or understand it, in
 * bounded memory; and what it understood, written and read again, must be the same.
 *
 * The first byte of the input says how the rest is read: bit 0 zstd, bit 1 keys instead of rows,
 * bit 2 taken up in the middle.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapters/file/file_line.h"
#include "adapters/file/file_path.h"
#include "adapters/file/file_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum how {
    HOW_ZSTD = 1,
    HOW_KEYS = 2,
    HOW_IN_THE_MIDDLE = 4,
};

static struct nsm_column columns[] = {
    {.name = "id", .type = NSM_INT, .type_name = "bigint"},
    {.name = "text", .type = NSM_TEXT, .type_name = "text"},
    {.name = "at", .type = NSM_TIME, .type_name = "timestamptz"},
    {.name = "any", .type = NSM_OTHER, .type_name = "any"},
};

/* Of keys without types: what someone has marked as text is bytes when it comes back. */
static bool is_same(const struct nsm_record *a, const struct nsm_record *b)
{
    const unsigned flags = a->kind == NSM_KIND_ROW ? NSM_DIGEST_TYPED : 0;
    const struct nsm_hash left = nsm_record_hash(a, 0, flags);
    const struct nsm_hash right = nsm_record_hash(b, 0, flags);
    return left.low == right.low && left.high == right.high && a->flags == b->flags &&
           a->expires_at_ms == b->expires_at_ms;
}

static void check_round_trip(const struct file_shape *shape, const struct nsm_record *record)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_batch batch NSM_CLEANUP(nsm_batch_release);
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_error *error = file_line_write(&text, shape, record);
    assert(!error);
    const struct nsm_str line = {.ptr = text.ptr, .len = text.len - 1};
    assert(memchr(text.ptr, '\n', text.len) == line.ptr + line.len);
    error = file_line_read(&batch, shape, line);
    assert(!error);
    assert(is_same(record, &batch.records[0]));
}

/* Every line, until the stream says that it is broken; a line that is refused ends nothing. */
static void read_lines(struct file_lines *lines, struct nsm_context *ctx,
                       const struct file_shape *shape)
{
    struct nsm_batch batch NSM_CLEANUP(nsm_batch_release);
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (bool is_end = false; !is_end;) {
        struct nsm_str line = {0};
        struct nsm_error *const broken = file_lines_next(lines, ctx, &line, &is_end);
        if (broken) {
            nsm_error_free(broken);
            return;
        }
        nsm_batch_clear(&batch);
        struct nsm_error *const refused = is_end ? NULL : file_line_read(&batch, shape, line);
        if (!refused && !is_end)
            check_round_trip(shape, &batch.records[0]);
        nsm_error_free(refused);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const unsigned how = data[0];
    const int fd = memfd_create("jsonl", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    const struct nsm_str content = {.ptr = (const char *)data + 1, .len = size - 1};
    struct nsm_error *error = file_write_all(fd, "input", content);
    assert(!error);

    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_context *ctx NSM_CLEANUP(nsm_context_freep) = nsm_context_new(NULL);
    const struct nsm_object object = {
        .name = "t",
        .model = how & HOW_KEYS ? NSM_MODEL_KEYS : NSM_MODEL_ROWS,
        .columns = columns,
        .n_columns = how & HOW_KEYS ? 0 : NSM_COUNT_OF(columns),
    };
    struct file_shape shape;
    file_shape_init(&shape, &arena, &object, NSM_STR_LIT("p:"));
    struct file_position from = {0};
    if (how & HOW_IN_THE_MIDDLE)
        from.offset = how & HOW_ZSTD ? 0 : size / 2;
    if ((how & HOW_IN_THE_MIDDLE) && (how & HOW_ZSTD))
        from.skip = size / 2;
    struct file_lines lines = {.fd = -1};
    error = file_lines_open(&lines, fd, "input", how & HOW_ZSTD ? FILE_LINES_ZSTD : 0, &from);
    assert(!error);
    read_lines(&lines, ctx, &shape);
    file_lines_close(&lines);
    return 0;
}
