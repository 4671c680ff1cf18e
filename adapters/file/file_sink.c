/*
 * The writing side of data files, and the checksum that both sides keep.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "adapters/file/file_path.h"
#include "adapters/file/file_stream.h"
#include "migrate/engine/record/digest.h"

/* Large enough for the disk, small enough for the cache. */
#define WRITE_BYTES ((size_t)256 << 10)

/* ---- checksum ---- */

void file_checksum_add(struct file_checksum *checksum, struct nsm_str line)
{
    const XXH128_hash_t hash =
        XXH3_128bits_withSeed(line.ptr, line.len, checksum->low ^ checksum->high);
    checksum->low += hash.low64;
    checksum->high += hash.high64;
}

void file_checksum_format(struct file_checksum checksum, char *out)
{
    nsm_digest_format(&(struct nsm_digest){.low = checksum.low, .high = checksum.high}, out);
}

bool file_checksum_parse(struct nsm_str text, struct file_checksum *ret)
{
    struct nsm_digest digest;
    if (!nsm_digest_parse(text, &digest))
        return false;
    *ret = (struct file_checksum){.low = digest.low, .high = digest.high};
    return true;
}

/* ---- writing ---- */

struct nsm_error *file_sink_open(struct file_sink *sink, const char *path, unsigned flags)
{
    sink->fd = -1;
    sink->path = path;
    sink->lines = NSM_BUF_INIT(FILE_LINE_BYTES + 1 + WRITE_BYTES);
    sink->frame = NSM_BUF_INIT(ZSTD_CStreamOutSize());
    if (flags & FILE_SINK_ZSTD) {
        sink->zstd = ZSTD_createCCtx();
        if (!sink->zstd)
            return nsm_error_new(NSM_E_NOMEM, "%s: no memory for a compressor", path);
        (void)ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_checksumFlag, 1);
    }
    return file_open(path, O_WRONLY | O_CREAT, &sink->fd);
}

struct nsm_error *file_sink_cut(struct file_sink *sink, uint64_t offset)
{
    struct stat info;
    if (fstat(sink->fd, &info) != 0)
        return file_error(sink->path);
    if (!S_ISREG(info.st_mode))
        return nsm_error_new(NSM_E_CONFLICT, "%s: not a regular file", sink->path);
    if ((uint64_t)info.st_size < offset) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: holds %" PRIu64 " bytes, but the last checkpoint is at %" PRIu64
                             ": it was cut since; " FILE_BEGIN_ANEW,
                             sink->path, (uint64_t)info.st_size, offset);
    }
    if (ftruncate(sink->fd, (off_t)offset) != 0 || lseek(sink->fd, (off_t)offset, SEEK_SET) < 0)
        return file_error(sink->path);
    sink->offset = offset;
    return NULL;
}

static struct nsm_error *write_out(struct file_sink *sink, struct nsm_str bytes)
{
    NSM_TRY(file_write_all(sink->fd, sink->path, bytes));
    sink->offset += bytes.len;
    return NULL;
}

static struct nsm_error *compress_out(struct file_sink *sink, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = {.src = sink->lines.ptr, .size = sink->lines.len};
    for (;;) {
        nsm_buf_clear(&sink->frame);
        char *const to = nsm_buf_reserve(&sink->frame, sink->frame.max_bytes);
        assert(to);
        ZSTD_outBuffer out = {.dst = to, .size = sink->frame.max_bytes};
        const size_t left = ZSTD_compressStream2(sink->zstd, &out, &in, directive);
        if (ZSTD_isError(left)) {
            return nsm_error_new(NSM_E_INTERNAL, "%s: zstd: %s", sink->path,
                                 ZSTD_getErrorName(left));
        }
        NSM_TRY(write_out(sink, (struct nsm_str){.ptr = to, .len = out.pos}));
        const bool is_done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
        if (is_done)
            break;
    }
    sink->is_in_frame = directive != ZSTD_e_end;
    return NULL;
}

static struct nsm_error *flush(struct file_sink *sink, ZSTD_EndDirective directive)
{
    if (!sink->zstd)
        NSM_TRY(write_out(sink, nsm_buf_view(&sink->lines)));
    else if (sink->lines.len > 0 || (sink->is_in_frame && directive == ZSTD_e_end))
        NSM_TRY(compress_out(sink, directive));
    nsm_buf_clear(&sink->lines);
    sink->n_summed = 0;
    return NULL;
}

struct nsm_error *file_sink_end_line(struct file_sink *sink)
{
    struct nsm_error *const error = nsm_buf_error(&sink->lines);
    if (error || sink->lines.len - sink->n_summed > FILE_LINE_BYTES + 1) {
        nsm_error_ignore(error);
        return nsm_error_new(NSM_E_UNSUPPORTED, "a line would be longer than %zu bytes",
                             FILE_LINE_BYTES);
    }
    assert(sink->lines.len > sink->n_summed && sink->lines.ptr[sink->lines.len - 1] == '\n');
    const struct nsm_str line = {.ptr = sink->lines.ptr + sink->n_summed,
                                 .len = sink->lines.len - sink->n_summed - 1};
    file_checksum_add(&sink->checksum, line);
    sink->n_lines++;
    sink->n_summed = sink->lines.len;
    return sink->lines.len >= WRITE_BYTES ? flush(sink, ZSTD_e_continue) : NULL;
}

struct nsm_error *file_sink_sync(struct file_sink *sink)
{
    NSM_TRY(flush(sink, ZSTD_e_end));
    if (fdatasync(sink->fd) != 0)
        return file_error(sink->path);
    return NULL;
}

void file_sink_close(struct file_sink *sink)
{
    if (sink->fd >= 0)
        (void)close(sink->fd);
    sink->fd = -1;
    (void)ZSTD_freeCCtx(sink->zstd);
    sink->zstd = NULL;
    nsm_buf_release(&sink->lines);
    nsm_buf_release(&sink->frame);
}
