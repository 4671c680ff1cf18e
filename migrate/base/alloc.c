/* Allocation that aborts: see alloc.h for why running out of memory is a crash and a resume here. */
#include "migrate/base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* malloc(0) may return NULL; one byte keeps the promise of the header. */
static size_t at_least_one(size_t size)
{
    return size ? size : 1;
}

void *nsm_xmalloc(size_t size)
{
    return checked(malloc(at_least_one(size)));
}

void *nsm_xcalloc(size_t count, size_t size)
{
    return checked(calloc(at_least_one(count), at_least_one(size)));
}

void *nsm_xreallocarray(void *old, size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total))
        abort();
    return checked(realloc(old, at_least_one(total)));
}

char *nsm_xstrdup(const char *s)
{
    return checked(strdup(s));
}

char *nsm_xstrndup(struct nsm_str s)
{
    if (s.len == SIZE_MAX)
        abort();
    char *const copy = nsm_xmalloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *nsm_xasprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    const int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    return checked(text);
}

void nsm_freep(void *at)
{
    /* Copied, not cast: `at` is a pointer to any pointer type, and reading it as void * would alias. */
    void *memory;
    memcpy(&memory, at, sizeof memory);
    free(memory);
}
