/* The growing byte buffer. The shared empty string is never written to: it stands for "nothing allocated yet". */
#include "migrate/base/buf.h"

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum {
    FIRST_CAP = 64
};

char nsm_buf_empty[1];

void nsm_buf_release(struct nsm_buf *buf)
{
    if (buf->cap)
        free(buf->ptr);
    *buf = NSM_BUF_INIT(buf->max_bytes);
}

/* The one place where a length is set, so that the NUL behind it can't be forgotten. */
static void set_len(struct nsm_buf *buf, size_t len)
{
    buf->len = len;
    if (buf->cap)
        buf->ptr[len] = '\0';
}

void nsm_buf_clear(struct nsm_buf *buf)
{
    set_len(buf, 0);
    buf->is_over = false;
}

struct nsm_error *nsm_buf_error(const struct nsm_buf *buf)
{
    if (!buf->is_over)
        return NULL;
    return nsm_error_new(NSM_E_NOMEM, "more than %zu bytes", buf->max_bytes);
}

/* Doubles, so that n appends cost O(n); never past the limit and its NUL. */
static void grow(struct nsm_buf *buf, size_t needed)
{
    const size_t most = buf->max_bytes < SIZE_MAX ? buf->max_bytes + 1 : SIZE_MAX;
    size_t cap = buf->cap ? buf->cap : FIRST_CAP;
    while (cap < needed)
        cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
    if (cap > most)
        cap = most;

    char *const ptr = nsm_xreallocarray(buf->cap ? buf->ptr : NULL, cap, 1);
    buf->ptr = ptr;
    buf->cap = cap;
    buf->ptr[buf->len] = '\0';
}

char *nsm_buf_reserve(struct nsm_buf *buf, size_t extra)
{
    if (buf->is_over || extra > buf->max_bytes - buf->len || extra > SIZE_MAX - 1 - buf->len) {
        buf->is_over = true;
        return NULL;
    }
    if (buf->len + extra + 1 > buf->cap)
        grow(buf, buf->len + extra + 1);
    return buf->ptr + buf->len;
}

void nsm_buf_commit(struct nsm_buf *buf, size_t added)
{
    assert(added == 0 || added < buf->cap - buf->len);
    set_len(buf, buf->len + added);
}

void nsm_buf_append(struct nsm_buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    char *const at = nsm_buf_reserve(buf, len);
    if (!at)
        return;
    memcpy(at, bytes, len);
    nsm_buf_commit(buf, len);
}

void nsm_buf_append_cstr(struct nsm_buf *buf, const char *s)
{
    nsm_buf_append(buf, s, strlen(s));
}

void nsm_buf_append_char(struct nsm_buf *buf, char c)
{
    nsm_buf_append(buf, &c, 1);
}

void nsm_buf_append_u64(struct nsm_buf *buf, uint64_t n)
{
    char text[20];
    nsm_buf_append(buf, text, nsm_format_u64(n, text));
}

void nsm_buf_append_i64(struct nsm_buf *buf, int64_t n)
{
    char text[20];
    nsm_buf_append(buf, text, nsm_format_i64(n, text));
}

void nsm_buf_vprintf(struct nsm_buf *buf, const char *fmt, va_list args)
{
    if (buf->is_over)
        return;
    /* The text is measured by a first try into the room there is; %m must read the caller's errno in both tries. */
    const int caller_errno = errno;
    const size_t room = buf->cap ? buf->cap - buf->len : 0;
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(room ? buf->ptr + buf->len : NULL, room, fmt, args);
    assert(len >= 0);
    if (buf->cap)
        buf->ptr[buf->len] = '\0';

    char *const at = nsm_buf_reserve(buf, (size_t)len);
    if (at && len > 0) {
        errno = caller_errno;
        (void)vsnprintf(at, (size_t)len + 1, fmt, again);
        nsm_buf_commit(buf, (size_t)len);
    }
    va_end(again);
    errno = caller_errno;
}

void nsm_buf_printf(struct nsm_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    nsm_buf_vprintf(buf, fmt, args);
    va_end(args);
}

void nsm_buf_truncate(struct nsm_buf *buf, size_t len)
{
    if (len < buf->len)
        set_len(buf, len);
}

void nsm_buf_consume(struct nsm_buf *buf, size_t len)
{
    if (len == 0)
        return;
    const size_t rest = len < buf->len ? buf->len - len : 0;
    if (rest)
        memmove(buf->ptr, buf->ptr + len, rest);
    set_len(buf, rest);
}

char *nsm_buf_detach(struct nsm_buf *buf)
{
    char *const text = buf->cap ? buf->ptr : nsm_xstrdup("");
    *buf = NSM_BUF_INIT(buf->max_bytes);
    return text;
}
