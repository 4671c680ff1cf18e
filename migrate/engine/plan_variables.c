/*
 * Environment variables in values. The grammar is a small part of the shell's: no nesting, and no
 * $NAME without braces, because a dollar sign is common in passwords and regular expressions.
 */
#include "migrate/engine/plan_variables.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"

#include <assert.h>

static bool is_name_char(char c, bool is_first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!is_first && c >= '0' && c <= '9');
}

static size_t name_length(struct nsm_str text)
{
    size_t n = 0;
    while (n < text.len && is_name_char(text.ptr[n], n == 0))
        n++;
    return n;
}

/* Of what stands between the braces: "NAME" or "NAME:-default". */
static struct nsm_error *substitute_one(struct nsm_str inner, struct nsm_buf *out)
{
    assert(inner.ptr);
    const struct nsm_str name = {.ptr = inner.ptr, .len = name_length(inner)};
    const struct nsm_str rest = nsm_str_skip(inner, name.len);
    const bool has_default = nsm_str_starts_with(rest, NSM_STR_LIT(":-"));
    const bool is_nested = rest.len > 0 && memmem(rest.ptr, rest.len, "${", 2);
    if (name.len == 0 || (rest.len > 0 && !has_default) || is_nested) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_quote(inner, &found);
        return nsm_error_new(NSM_E_INVALID,
                             "expected ${NAME} or ${NAME:-default}, found %s in the braces; write "
                             "$$ for a dollar sign",
                             found.ptr);
    }
    NSM_CLEANUP(nsm_freep) char *name_text = nsm_xstrndup(name);
    const char *const value = secure_getenv(name_text);
    if (value && (*value || !has_default)) {
        nsm_buf_append_cstr(out, value);
        return NULL;
    }
    if (!has_default) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_quote(name, &found);
        return nsm_error_new(NSM_E_INVALID,
                             "environment variable %s is not set; set it, or give a default as in "
                             "${NAME:-default}",
                             found.ptr);
    }
    return nsm_plan_substitute(nsm_str_skip(rest, 2), out);
}

struct nsm_error *nsm_plan_substitute(struct nsm_str text, struct nsm_buf *out)
{
    struct nsm_str rest = text;
    while (rest.len > 0) {
        const char *const dollar = memchr(rest.ptr, '$', rest.len);
        const size_t n = dollar ? (size_t)(dollar - rest.ptr) : rest.len;
        nsm_buf_append(out, rest.ptr, n);
        rest = nsm_str_skip(rest, n);
        if (nsm_str_starts_with(rest, NSM_STR_LIT("${"))) {
            const char *const end = memchr(rest.ptr, '}', rest.len);
            if (!end)
                return nsm_error_new(NSM_E_INVALID,
                                     "\"${\" has no \"}\"; write $$ for a dollar sign");
            const struct nsm_str inner = {.ptr = rest.ptr + 2, .len = (size_t)(end - rest.ptr) - 2};
            NSM_TRY(substitute_one(inner, out));
            rest = nsm_str_skip(rest, inner.len + 3);
        } else if (rest.len > 0) {
            nsm_buf_append_char(out, '$');
            rest = nsm_str_skip(rest, nsm_str_starts_with(rest, NSM_STR_LIT("$$")) ? 2 : 1);
        }
        NSM_TRY(nsm_buf_error(out));
    }
    return NULL;
}
