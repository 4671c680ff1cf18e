/*
 * A growing byte buffer with Git's strbuf invariants and curl's hard limit: `ptr` is never NULL and
 * always ends in a NUL that `len` does not count; `len` is the truth; a buffer is created with the
 * most that it may hold. Growing past the limit is an error that sticks: appends go on to do
 * nothing, and nsm_buf_error() tells at the end, so a writer of many pieces checks once.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_BASE_BUF_H
#define NSM_BASE_BUF_H

#include "migrate/base/error.h"
#include "migrate/base/str.h"

#include <stdarg.h>
#include <stdint.h>

struct nsm_buf {
    char *ptr;
    size_t len;
    size_t cap;       /* bytes behind ptr, 0 while nothing is allocated */
    size_t max_bytes; /* len never exceeds it */
    bool is_over;     /* an append was refused */
};

/* For text that we make ourselves: messages, statements, names. */
#define NSM_BUF_TEXT_MAX ((size_t)64 << 20)

NSM_API extern char nsm_buf_empty[1];
#define NSM_BUF_INIT(max) ((struct nsm_buf){.ptr = nsm_buf_empty, .max_bytes = (max)})
#define NSM_BUF_TEXT      NSM_BUF_INIT(NSM_BUF_TEXT_MAX)

NSM_API void nsm_buf_release(struct nsm_buf *buf);

/* len = 0, the memory kept for what comes next, is_over forgotten. */
NSM_API void nsm_buf_clear(struct nsm_buf *buf);

/* NULL, or NSM_E_NOMEM when an append was refused. */
NSM_API struct nsm_error *nsm_buf_error(const struct nsm_buf *buf) NSM_MUST_USE;

NSM_API void nsm_buf_append(struct nsm_buf *buf, const void *bytes, size_t len);
NSM_API void nsm_buf_append_cstr(struct nsm_buf *buf, const char *s);
NSM_API void nsm_buf_append_char(struct nsm_buf *buf, char c);
NSM_API void nsm_buf_append_u64(struct nsm_buf *buf, uint64_t n);
NSM_API void nsm_buf_append_i64(struct nsm_buf *buf, int64_t n);
NSM_API void nsm_buf_printf(struct nsm_buf *buf, const char *fmt, ...) NSM_PRINTF(2, 3);
NSM_API void nsm_buf_vprintf(struct nsm_buf *buf, const char *fmt, va_list args) NSM_PRINTF(2, 0);

static inline void nsm_buf_append_str(struct nsm_buf *buf, struct nsm_str s)
{
    nsm_buf_append(buf, s.ptr, s.len);
}

/* Room for `extra` more bytes at ptr + len (NULL when over the limit); whoever fills it then calls
 * nsm_buf_commit(). */
NSM_API char *nsm_buf_reserve(struct nsm_buf *buf, size_t extra) NSM_MUST_USE;
NSM_API void nsm_buf_commit(struct nsm_buf *buf, size_t added);

/* Drops bytes from the end, or from the front (moves the rest down). */
NSM_API void nsm_buf_truncate(struct nsm_buf *buf, size_t len);
NSM_API void nsm_buf_consume(struct nsm_buf *buf, size_t len);

/* The only way out for the memory: a string that the caller frees; the buffer is as new. */
NSM_API char *nsm_buf_detach(struct nsm_buf *buf) NSM_MUST_USE NSM_NONNULL;

static inline struct nsm_str nsm_buf_view(const struct nsm_buf *buf)
{
    return (struct nsm_str){.ptr = buf->ptr, .len = buf->len};
}

#endif
