/*
 * Small structural allocations abort when memory is gone: nsmigrate must survive kill -9 anyway, so
 * running out of memory is a crash and a resume, and thousands of untestable error paths vanish.
 * Anything whose size comes from a plan, a file or a server goes through a bounded nsm_buf or
 * nsm_arena instead.
 */
#ifndef NSM_BASE_ALLOC_H
#define NSM_BASE_ALLOC_H

#include "migrate/base/cleanup.h"
#include "migrate/base/str.h"

#include <stddef.h>
#include <stdlib.h>

/* All abort on overflow or exhaustion, so they never return NULL. The caller frees with free(). */
NSM_API void *nsm_xmalloc(size_t size) NSM_MUST_USE NSM_NONNULL;
NSM_API void *nsm_xcalloc(size_t count, size_t size) NSM_MUST_USE NSM_NONNULL;
NSM_API void *nsm_xreallocarray(void *old, size_t count, size_t size) NSM_MUST_USE NSM_NONNULL;
NSM_API char *nsm_xstrdup(const char *s) NSM_MUST_USE NSM_NONNULL;
NSM_API char *nsm_xstrndup(struct nsm_str s)
    NSM_MUST_USE NSM_NONNULL; /* NUL-terminated copy of a view */
NSM_API char *nsm_xasprintf(const char *fmt, ...) NSM_PRINTF(1, 2) NSM_MUST_USE NSM_NONNULL;

/* Makes room for one more element in a heap array that grows by doubling; `*cap` counts elements.
 */
#define NSM_GROW(array, count, cap)                                        \
    do {                                                                   \
        if ((count) == (cap)) {                                            \
            (cap) = (cap) ? (cap)*2 : 8;                                   \
            (array) = nsm_xreallocarray((array), (cap), sizeof(*(array))); \
        }                                                                  \
    } while (0)

/* Frees what a `char *` or any other object pointer local points to. */
NSM_API void nsm_freep(void *at);

#endif
