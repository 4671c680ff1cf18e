/*
 * A view of bytes: never owned, never assumed to end in NUL. Record data is bytes, so NUL inside is
 * legal and strlen() on it is a bug. An empty view may have any pointer, also NULL.
 */
#ifndef NSM_BASE_STR_H
#define NSM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct nsm_str {
    const char *ptr;
    size_t len;
};

#define NSM_STR_LIT(literal) ((struct nsm_str){.ptr = (literal), .len = sizeof(literal) - 1})
/* For printf("%.*s", NSM_STR_ARG(s)). */
#define NSM_STR_ARG(s) (int)(s).len, (s).ptr

static inline struct nsm_str nsm_str_of(const char *cstr)
{
    return (struct nsm_str){.ptr = cstr, .len = cstr ? strlen(cstr) : 0};
}

static inline bool nsm_str_equals(struct nsm_str a, struct nsm_str b)
{
    return a.len == b.len && (!a.ptr || !b.ptr || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool nsm_str_starts_with(struct nsm_str s, struct nsm_str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline struct nsm_str nsm_str_skip(struct nsm_str s, size_t n)
{
    return (struct nsm_str){.ptr = s.ptr ? s.ptr + n : NULL, .len = s.len - n};
}

/* Bytewise order, the shorter first where one is a prefix of the other. */
static inline int nsm_str_compare(struct nsm_str a, struct nsm_str b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

#endif
