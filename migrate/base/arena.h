/*
 * Memory that is freed all at once. A batch's records live in one; nsm_arena_clear() keeps the
 * blocks for the next batch, so that a copy that runs for hours allocates in its first seconds
 * only.
 *
 * Pointers stay valid until clear or release. Threads: one thread at a time.
 */
#ifndef NSM_BASE_ARENA_H
#define NSM_BASE_ARENA_H

#include "migrate/base/cleanup.h"
#include "migrate/base/str.h"

struct nsm_arena_block;

struct nsm_arena {
    struct nsm_arena_block *blocks; /* newest first */
    size_t used_bytes;              /* handed out since the last clear */
};

#define NSM_ARENA_INIT ((struct nsm_arena){0})

NSM_API void nsm_arena_release(struct nsm_arena *arena);
NSM_API void nsm_arena_clear(struct nsm_arena *arena);

/* Uninitialised, aligned for any type. Aborts when memory is gone: callers bound what they ask for.
 */
NSM_API void *nsm_arena_alloc(struct nsm_arena *arena, size_t size) NSM_MUST_USE NSM_NONNULL;
NSM_API void *nsm_arena_calloc(struct nsm_arena *arena, size_t count, size_t size)
    NSM_MUST_USE NSM_NONNULL;
/* Copies with a NUL behind that the view does not count. */
NSM_API struct nsm_str nsm_arena_copy(struct nsm_arena *arena, struct nsm_str s);
NSM_API char *nsm_arena_strdup(struct nsm_arena *arena, const char *s) NSM_MUST_USE;
NSM_API char *nsm_arena_printf(struct nsm_arena *arena, const char *fmt, ...) NSM_PRINTF(2, 3)
    NSM_MUST_USE;

#endif
