/* Errors: a chain of messages, outermost first, each in one allocation; every walk is a loop, for chains of any
 * length. */
#include "migrate/base/error.h"

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct nsm_error {
    struct nsm_error *cause; /* owned; NULL in the innermost */
    enum nsm_code code;      /* the innermost's, copied outwards */
    char message[];
};

static const struct {
    const char *name;
    bool is_retryable;
} codes[] = {
    [NSM_E_NOMEM] = {"nomem", false},
    [NSM_E_INVALID] = {"invalid", false},
    [NSM_E_NOTFOUND] = {"notfound", false},
    [NSM_E_CONFLICT] = {"conflict", false},
    [NSM_E_AUTH] = {"auth", false},
    [NSM_E_UNAVAILABLE] = {"unavailable", true},
    [NSM_E_TIMEOUT] = {"timeout", true},
    [NSM_E_CANCELED] = {"canceled", false},
    [NSM_E_CORRUPT] = {"corrupt", false},
    [NSM_E_UNSUPPORTED] = {"unsupported", false},
    [NSM_E_IO] = {"io", false},
    [NSM_E_INTERNAL] = {"internal", false},
};

static bool is_code(enum nsm_code code)
{
    return (size_t)code < NSM_COUNT_OF(codes) && codes[code].name;
}

const char *nsm_code_name(enum nsm_code code)
{
    return is_code(code) ? codes[code].name : "unknown";
}

bool nsm_code_is_retryable(enum nsm_code code)
{
    return is_code(code) && codes[code].is_retryable;
}

static NSM_PRINTF(3, 0) struct nsm_error *make(enum nsm_code code, struct nsm_error *cause,
                                               const char *fmt, va_list args)
{
    /* Printed twice, to measure and to write; %m must read the caller's errno in both. */
    const int caller_errno = errno;
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, fmt, args);
    assert(len >= 0);
    struct nsm_error *const error = nsm_xmalloc(sizeof *error + (size_t)len + 1);
    error->cause = cause;
    error->code = code;
    errno = caller_errno;
    (void)vsnprintf(error->message, (size_t)len + 1, fmt, again);
    va_end(again);
    errno = caller_errno;
    return error;
}

struct nsm_error *nsm_error_new(enum nsm_code code, const char *fmt, ...)
{
    assert(is_code(code));
    va_list args;
    va_start(args, fmt);
    struct nsm_error *const error = make(code, NULL, fmt, args);
    va_end(args);
    return error;
}

struct nsm_error *nsm_error_wrap(struct nsm_error *cause, const char *fmt, ...)
{
    if (!cause)
        return NULL;
    va_list args;
    va_start(args, fmt);
    struct nsm_error *const error = make(cause->code, cause, fmt, args);
    va_end(args);
    return error;
}

struct nsm_error *nsm_error_clone(const struct nsm_error *error)
{
    struct nsm_error *clone = NULL;
    for (struct nsm_error **at = &clone; error; error = error->cause) {
        const size_t size = sizeof *error + strlen(error->message) + 1;
        *at = memcpy(nsm_xmalloc(size), error, size);
        at = &(*at)->cause;
    }
    return clone;
}

enum nsm_code nsm_error_code(const struct nsm_error *error)
{
    assert(error);
    return error->code;
}

bool nsm_error_is(const struct nsm_error *error, enum nsm_code code)
{
    return error && error->code == code;
}

void nsm_error_write(const struct nsm_error *error, struct nsm_buf *out)
{
    for (; error; error = error->cause) {
        nsm_buf_append_cstr(out, error->message);
        if (error->cause)
            nsm_buf_append_cstr(out, ": ");
    }
}

char *nsm_error_text(const struct nsm_error *error)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_error_write(error, &text);
    return nsm_buf_detach(&text);
}

void nsm_error_free(struct nsm_error *error)
{
    while (error) {
        struct nsm_error *const cause = error->cause;
        free(error);
        error = cause;
    }
}
