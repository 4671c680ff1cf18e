/*
 * The arena: a list of blocks in use, newest first, of which only the newest is filled; and the blocks that a clear has
 * emptied, which are used again before a new one is allocated.
 */
#include "migrate/base/arena.h"

#include "migrate/base/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

enum {
    FIRST_BLOCK_BYTES = 1 << 10,
    LARGEST_BLOCK_BYTES = 1 << 20,
    /* A block made for one huge value is not kept: one such record must not hold its memory for the rest of a run. */
    KEPT_BLOCK_BYTES = 16 << 20,
};

struct nsm_arena_block {
    struct nsm_arena_block *older; /* in use; for a spare block: the next spare one */
    struct nsm_arena_block *spare; /* meaningful in the newest block only */
    size_t size;                   /* of bytes[] */
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

static void free_list(struct nsm_arena_block *block)
{
    while (block) {
        struct nsm_arena_block *const next = block->older;
        free(block);
        block = next;
    }
}

void nsm_arena_release(struct nsm_arena *arena)
{
    if (arena->blocks)
        free_list(arena->blocks->spare);
    free_list(arena->blocks);
    *arena = NSM_ARENA_INIT;
}

void nsm_arena_clear(struct nsm_arena *arena)
{
    struct nsm_arena_block *spare = arena->blocks ? arena->blocks->spare : NULL;
    struct nsm_arena_block *block = arena->blocks;
    while (block) {
        struct nsm_arena_block *const older = block->older;
        if (block->size > KEPT_BLOCK_BYTES) {
            free(block);
        } else {
            block->used = 0;
            block->older = spare;
            spare = block;
        }
        block = older;
    }

    arena->blocks = spare;
    arena->used_bytes = 0;
    if (spare) {
        spare->spare = spare->older;
        spare->older = NULL;
    }
}

static struct nsm_arena_block *take_spare(struct nsm_arena *arena, size_t size)
{
    if (!arena->blocks)
        return NULL;
    for (struct nsm_arena_block **at = &arena->blocks->spare; *at; at = &(*at)->older) {
        struct nsm_arena_block *const block = *at;
        if (block->size >= size) {
            *at = block->older;
            return block;
        }
    }
    return NULL;
}

static struct nsm_arena_block *new_block(const struct nsm_arena *arena, size_t size)
{
    size_t block_size = FIRST_BLOCK_BYTES;
    while (block_size < LARGEST_BLOCK_BYTES && block_size < arena->used_bytes)
        block_size *= 2;
    if (block_size < size)
        block_size = size;
    if (block_size > SIZE_MAX - sizeof(struct nsm_arena_block))
        abort();
    struct nsm_arena_block *const block = nsm_xmalloc(sizeof *block + block_size);
    block->size = block_size;
    block->used = 0;
    return block;
}

/* Makes a block with room for `size` bytes the newest. */
static void add_block(struct nsm_arena *arena, size_t size)
{
    struct nsm_arena_block *block = take_spare(arena, size);
    if (!block)
        block = new_block(arena, size);
    block->spare = arena->blocks ? arena->blocks->spare : NULL;
    block->older = arena->blocks;
    arena->blocks = block;
}

/* `align` is a power of two, at most that of max_align_t, to which every block is aligned. */
static void *take(struct nsm_arena *arena, size_t size, size_t align)
{
    const struct nsm_arena_block *const newest = arena->blocks;
    size_t at = newest ? (newest->used + align - 1) & ~(align - 1) : 0;
    if (!newest || at > newest->size || size > newest->size - at) {
        add_block(arena, size);
        at = 0;
    }
    arena->blocks->used = at + size;
    arena->used_bytes += size;
    return arena->blocks->bytes + at;
}

void *nsm_arena_alloc(struct nsm_arena *arena, size_t size)
{
    return take(arena, size, _Alignof(max_align_t));
}

void *nsm_arena_calloc(struct nsm_arena *arena, size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total))
        abort();
    return memset(nsm_arena_alloc(arena, total), 0, total);
}

struct nsm_str nsm_arena_copy(struct nsm_arena *arena, struct nsm_str s)
{
    if (s.len == SIZE_MAX)
        abort();
    char *const copy = take(arena, s.len + 1, 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct nsm_str){.ptr = copy, .len = s.len};
}

char *nsm_arena_strdup(struct nsm_arena *arena, const char *s)
{
    const size_t size = strlen(s) + 1;
    return memcpy(take(arena, size, 1), s, size);
}

char *nsm_arena_printf(struct nsm_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(len >= 0);
    char *const text = take(arena, (size_t)len + 1, 1);
    (void)vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}
