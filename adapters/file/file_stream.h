/*
 * Data files as streams of lines, plain or as zstd frames, written and read front to back in bounded
 * memory. A zstd frame ends at every checkpoint, so that a file can be cut there and go on, and
 * every line goes into a running checksum, so that a reader can tell at the end whether all of it
 * was as it was written.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_FILE_STREAM_H
#define NSM_ADAPTERS_FILE_STREAM_H

#include <stdint.h>
#include <zstd.h>

#include "migrate/base/buf.h"
#include "migrate/base/context.h"
#include "migrate/base/error.h"
#include "migrate/engine/record/json.h"

/* No line may be longer, without its newline. */
#define FILE_LINE_BYTES NSM_JSON_MAX_BYTES

/* Over all lines in their order: XXH3-128 of each, seeded with the sum before it. Not a hash of the
 * file's bytes, because its state must be short enough to be kept at every checkpoint. */
struct file_checksum {
    uint64_t low, high;
};
void file_checksum_add(struct file_checksum *checksum, struct nsm_str line);
static inline bool file_checksum_equals(struct file_checksum a, struct file_checksum b)
{
    return a.low == b.low && a.high == b.high;
}
/* 32 lower case hexadecimal digits and a NUL into `out`. And back. */
void file_checksum_format(struct file_checksum checksum, char *out);
bool file_checksum_parse(struct nsm_str text, struct file_checksum *ret) NSM_MUST_USE;

/* ---- writing ---- */

struct file_sink {
    int fd;
    const char *path;     /* borrowed, for messages */
    struct nsm_buf lines; /* the caller appends whole lines here */
    size_t n_summed;      /* bytes of `lines` that are in the checksum */
    struct file_checksum checksum;
    uint64_t n_lines;
    uint64_t offset;      /* bytes in the file */
    ZSTD_CCtx *zstd;      /* NULL: plain */
    struct nsm_buf frame; /* compressed bytes on their way */
    bool is_in_frame;
};

enum file_sink_flag {
    FILE_SINK_ZSTD = 1 << 0,
};

/* Opens or creates the file and cuts it to `offset`, where `checksum` and `n_lines` were so.
 * NSM_E_CORRUPT when it is shorter. `sink` is zeroed; close it whatever this returns. */
struct nsm_error *file_sink_open(struct file_sink *sink, const char *path, unsigned flags)
    NSM_MUST_USE;
struct nsm_error *file_sink_cut(struct file_sink *sink, uint64_t offset) NSM_MUST_USE;

/* The caller has appended one line with its newline to sink->lines: counts it, and writes out when
 * enough is gathered. NSM_E_UNSUPPORTED when the line was too long. */
struct nsm_error *file_sink_end_line(struct file_sink *sink) NSM_MUST_USE;

/* Everything is in the file, at a frame's end, and durable. */
struct nsm_error *file_sink_sync(struct file_sink *sink) NSM_MUST_USE;
void file_sink_close(struct file_sink *sink);

/* ---- reading ---- */

/* Where a stream can be taken up again. */
struct file_position {
    uint64_t offset;  /* in the file: plain, of the next line; zstd, of a frame */
    uint64_t skip;    /* zstd: bytes of the frame's content before the next line */
    uint64_t n_lines; /* before the next line */
    struct file_checksum checksum;
};

struct file_lines {
    int fd;
    const char *path; /* borrowed, for messages */
    struct file_position position;
    struct nsm_buf text; /* content that was read; lines begin at `at` */
    size_t at;
    size_t n_scanned; /* bytes from `at` on that hold no newline */
    bool is_end_of_file;
    ZSTD_DCtx *zstd; /* NULL: plain */
    char *input; /* zstd: compressed bytes, of which those from input_at to input_len are left */
    size_t input_at, input_len;
    uint64_t next_frame; /* zstd: offset in the file of the byte at input_at, when not in a frame */
    bool is_in_frame;
    uint64_t to_skip; /* zstd: bytes of content still to pass over */
};

enum file_lines_flag {
    FILE_LINES_ZSTD = 1 << 0,
};

/* Takes the descriptor in any case. `from` NULL: from the beginning. `lines` is zeroed; close it
 * whatever this returns. */
struct nsm_error *file_lines_open(struct file_lines *lines, int fd, const char *path,
                                  unsigned flags, const struct file_position *from) NSM_MUST_USE;

/* The next line without its newline, valid until the next call; *ret_is_end instead at the end.
 * lines->position is behind it. NSM_E_CORRUPT for a line that is cut off or too long, or broken
 * compression; NSM_E_CANCELED. */
struct nsm_error *file_lines_next(struct file_lines *lines, struct nsm_context *ctx,
                                  struct nsm_str *ret, bool *ret_is_end) NSM_MUST_USE;
void file_lines_close(struct file_lines *lines);

#endif
