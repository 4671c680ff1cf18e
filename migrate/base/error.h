/*
 * Errors are values: every fallible function returns a `struct nsm_error *`, NULL for success. A
 * value crosses threads, survives until nsm_group_wait(), and chains like Go's %w:
 *
 *     namespace sessions: copy part 3/8: redis cache: RESTORE session:9f2: OOM command not allowed
 *
 * A message is lower case, without final period or newline, and without "failed to": the pieces
 * join with ": ". A function wraps only where it knows something that its callee does not. No
 * secret ever goes into a message.
 *
 * Threads: one thread at a time; an error may be handed from thread to thread.
 */
#ifndef NSM_BASE_ERROR_H
#define NSM_BASE_ERROR_H

#include "migrate/base/cleanup.h"

#include <stdbool.h>

struct nsm_buf;
struct nsm_error;

/* What the caller may do about it. 0 is no code: a success. */
enum nsm_code {
    NSM_E_NOMEM = 1,   /* a limit on memory or size was reached: ask for less */
    NSM_E_INVALID,     /* bad input: mend the plan, option or argument */
    NSM_E_NOTFOUND,    /* what was named does not exist */
    NSM_E_CONFLICT,    /* something stands where ours would go; or someone else holds it */
    NSM_E_AUTH,        /* wrong credentials, or a missing right */
    NSM_E_UNAVAILABLE, /* connection lost, server starting, deadlock, serialization: try again */
    NSM_E_TIMEOUT,     /* a deadline passed: try again */
    NSM_E_CANCELED,    /* someone asked us to stop */
    NSM_E_CORRUPT,     /* bytes from outside are not what they must be */
    NSM_E_UNSUPPORTED, /* can't be carried or done here; refused by name, never coerced */
    NSM_E_IO,          /* the operating system said no: disk full, permission, ... */
    NSM_E_INTERNAL,    /* a bug, or a server that broke its own protocol */
};

/* "unavailable", ...; static. */
NSM_API const char *nsm_code_name(enum nsm_code code);

/* Whether doing the same again may succeed: UNAVAILABLE and TIMEOUT. */
NSM_API bool nsm_code_is_retryable(enum nsm_code code);

/* A new error, owned by the caller. `%m` works as in syslog(3). */
NSM_API struct nsm_error *nsm_error_new(enum nsm_code code, const char *fmt, ...) NSM_PRINTF(2, 3)
    NSM_MUST_USE;

/* Puts context before `cause`, which it consumes; keeps the code of the cause. NULL in, NULL out:
 * wraps a call directly. */
NSM_API struct nsm_error *nsm_error_wrap(struct nsm_error *cause, const char *fmt, ...)
    NSM_PRINTF(2, 3) NSM_MUST_USE;

/* A deep copy, owned by the caller; NULL for NULL. */
NSM_API struct nsm_error *nsm_error_clone(const struct nsm_error *error) NSM_MUST_USE;

/* The code of the innermost error; `error` must not be NULL. */
NSM_API enum nsm_code nsm_error_code(const struct nsm_error *error);

/* Whether `error` is not NULL and has that code. */
NSM_API bool nsm_error_is(const struct nsm_error *error, enum nsm_code code);

/* Appends the whole chain, outermost first, joined by ": ". */
NSM_API void nsm_error_write(const struct nsm_error *error, struct nsm_buf *out);

/* The whole chain as a string that the caller frees. */
NSM_API char *nsm_error_text(const struct nsm_error *error) NSM_MUST_USE NSM_NONNULL;

NSM_API void nsm_error_free(struct nsm_error *error);
NSM_DEFINE_CLEANUP(struct nsm_error, nsm_error_free)

/* Frees an error that is of no consequence; says so in the code where it stands. */
static inline void nsm_error_ignore(struct nsm_error *error)
{
    nsm_error_free(error);
}

/* Returns from the caller with the error of `expr`, unchanged. */
#define NSM_TRY(expr)                              \
    do {                                           \
        struct nsm_error *const nsm_try_ = (expr); \
        if (nsm_try_)                              \
            return nsm_try_;                       \
    } while (0)

/* The same, with context before it: NSM_TRY_WRAP(read_header(f), "file %s", path). */
#define NSM_TRY_WRAP(expr, ...)                           \
    do {                                                  \
        struct nsm_error *const nsm_try_ = (expr);        \
        if (nsm_try_)                                     \
            return nsm_error_wrap(nsm_try_, __VA_ARGS__); \
    } while (0)

#endif
