/*
 * The reading side of data files. A frame's content is taken up wholly before the next frame is
 * begun, so a position is a frame and a distance into it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "adapters/file/file_path.h"
#include "adapters/file/file_stream.h"
#include "migrate/base/alloc.h"

#define READ_BYTES ((size_t)256 << 10)
/* A line that grew the buffer far beyond what others need gives the memory back. */
#define KEEP_BYTES ((size_t)8 << 20)

struct nsm_error *file_lines_open(struct file_lines *lines, int fd, const char *path,
                                  unsigned flags, const struct file_position *from)
{
    lines->fd = fd;
    lines->path = path;
    lines->text = NSM_BUF_INIT(FILE_LINE_BYTES + 1 + READ_BYTES);
    if (from)
        lines->position = *from;
    lines->next_frame = lines->position.offset;
    lines->to_skip = lines->position.skip;
    if (flags & FILE_LINES_ZSTD) {
        lines->zstd = ZSTD_createDCtx();
        if (!lines->zstd)
            return nsm_error_new(NSM_E_NOMEM, "%s: no memory for a decompressor", path);
        lines->input = nsm_xmalloc(READ_BYTES);
    }
    if (lseek(fd, (off_t)lines->position.offset, SEEK_SET) < 0)
        return file_error(path);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return NULL;
}

static struct nsm_error *corrupt(const struct file_lines *lines, const char *what)
{
    return nsm_error_new(NSM_E_CORRUPT, "%s: line %" PRIu64 ": %s", lines->path,
                         lines->position.n_lines + 1, what);
}

/* *ret_len 0 is the end of the file. */
static struct nsm_error *read_some(const struct file_lines *lines, char *to, size_t *ret_len)
{
    for (;;) {
        const ssize_t n_read = read(lines->fd, to, READ_BYTES);
        if (n_read >= 0) {
            *ret_len = (size_t)n_read;
            return NULL;
        }
        if (errno != EINTR)
            return file_error(lines->path);
    }
}

static void make_room(struct file_lines *lines)
{
    nsm_buf_consume(&lines->text, lines->at);
    lines->at = 0;
    if (lines->text.len == 0 && lines->text.cap > KEEP_BYTES) {
        const size_t max_bytes = lines->text.max_bytes;
        nsm_buf_release(&lines->text);
        lines->text = NSM_BUF_INIT(max_bytes);
    }
}

static struct nsm_error *refill_input(struct file_lines *lines)
{
    if (lines->input_at < lines->input_len)
        return NULL;
    lines->input_at = 0;
    NSM_TRY(read_some(lines, lines->input, &lines->input_len));
    lines->is_end_of_file = lines->input_len == 0 && !lines->is_in_frame;
    return NULL;
}

static void pass_over(struct file_lines *lines)
{
    const size_t n_left = lines->text.len;
    const size_t n_skipped = lines->to_skip < n_left ? (size_t)lines->to_skip : n_left;
    nsm_buf_consume(&lines->text, n_skipped);
    lines->to_skip -= n_skipped;
}

/* Adds some of a frame's content to `text`; begins a frame only when all before it was taken. */
static struct nsm_error *decompress_some(struct file_lines *lines)
{
    NSM_TRY(refill_input(lines));
    if (lines->is_end_of_file)
        return NULL;
    if (!lines->is_in_frame) {
        if (lines->text.len > 0)
            return corrupt(lines, "a zstd frame ends in the middle of the line");
        const bool is_first = lines->next_frame == lines->position.offset;
        lines->position.offset = lines->next_frame;
        lines->position.skip = is_first ? lines->position.skip : 0;
        lines->is_in_frame = true;
    }
    char *const to = nsm_buf_reserve(&lines->text, READ_BYTES);
    if (!to)
        return corrupt(lines, "longer than a line can be");
    ZSTD_inBuffer in = {.src = lines->input, .size = lines->input_len, .pos = lines->input_at};
    ZSTD_outBuffer out = {.dst = to, .size = READ_BYTES};
    const size_t left = ZSTD_decompressStream(lines->zstd, &out, &in);
    if (ZSTD_isError(left)) {
        return nsm_error_wrap(nsm_error_new(NSM_E_CORRUPT, "zstd: %s", ZSTD_getErrorName(left)),
                              "%s: line %" PRIu64, lines->path, lines->position.n_lines + 1);
    }
    const bool is_input_over = in.size == 0 && out.pos == 0 && left != 0;
    if (is_input_over)
        return corrupt(lines, "the file ends in the middle of a zstd frame");
    nsm_buf_commit(&lines->text, out.pos);
    lines->next_frame += in.pos - lines->input_at;
    lines->input_at = in.pos;
    lines->is_in_frame = left != 0;
    if (lines->to_skip > 0) {
        pass_over(lines);
        if (!lines->is_in_frame && lines->to_skip > 0)
            return corrupt(lines, "the zstd frame is shorter than it was");
    }
    return NULL;
}

static struct nsm_error *read_plain(struct file_lines *lines)
{
    char *const to = nsm_buf_reserve(&lines->text, READ_BYTES);
    if (!to)
        return corrupt(lines, "longer than a line can be");
    size_t len = 0;
    NSM_TRY(read_some(lines, to, &len));
    nsm_buf_commit(&lines->text, len);
    lines->is_end_of_file = len == 0;
    return NULL;
}

static struct nsm_error *refill(struct file_lines *lines, struct nsm_context *ctx)
{
    NSM_TRY(nsm_context_error(ctx));
    make_room(lines);
    return lines->zstd ? decompress_some(lines) : read_plain(lines);
}

struct nsm_error *file_lines_next(struct file_lines *lines, struct nsm_context *ctx,
                                  struct nsm_str *ret, bool *ret_is_end)
{
    for (;;) {
        const char *const begin = lines->text.ptr + lines->at;
        const size_t len = lines->text.len - lines->at;
        const char *const newline = memchr(begin + lines->n_scanned, '\n', len - lines->n_scanned);
        if (newline) {
            *ret = (struct nsm_str){.ptr = begin, .len = (size_t)(newline - begin)};
            *ret_is_end = false;
            break;
        }
        lines->n_scanned = len;
        if (len > FILE_LINE_BYTES)
            return corrupt(lines, "longer than a line can be");
        if (lines->is_end_of_file && len > 0)
            return corrupt(lines, "cut off: the file ends without a newline");
        if (lines->is_end_of_file) {
            *ret = (struct nsm_str){0};
            *ret_is_end = true;
            return NULL;
        }
        NSM_TRY(refill(lines, ctx));
    }
    lines->at += ret->len + 1;
    lines->n_scanned = 0;
    lines->position.n_lines++;
    file_checksum_add(&lines->position.checksum, *ret);
    if (lines->zstd)
        lines->position.skip += ret->len + 1;
    else
        lines->position.offset += ret->len + 1;
    return NULL;
}

void file_lines_close(struct file_lines *lines)
{
    if (lines->fd >= 0)
        (void)close(lines->fd);
    lines->fd = -1;
    (void)ZSTD_freeDCtx(lines->zstd);
    lines->zstd = NULL;
    free(lines->input);
    lines->input = NULL;
    nsm_buf_release(&lines->text);
}
