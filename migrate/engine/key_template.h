/*
 * What rows are called as keys: a text with columns in braces, "user:{id}:{name}"; {{ and }} are braces. No two different lists of
 * values make one key: with one column its value stands as it is, with several '%', ':' and the characters that end a value are
 * written as %25, %3A and the like, and no two columns stand side by side.
 *
 * Threads: immutable after parsing.
 */
#ifndef NSM_ENGINE_KEY_TEMPLATE_H
#define NSM_ENGINE_KEY_TEMPLATE_H

#include "migrate/base/arena.h"
#include "migrate/base/buf.h"
#include "migrate/base/error.h"

struct nsm_key_piece {
    struct nsm_str text; /* as it is, or the column's name */
    bool is_column;
};

struct nsm_key_template {
    struct nsm_key_piece *pieces;
    size_t n_pieces;
};

/* NSM_E_INVALID says what is wrong, and where in the text. What lies in `ret` is in the arena. */
struct nsm_error *nsm_key_template_parse(struct nsm_arena *arena, struct nsm_str text,
                                         struct nsm_key_template *ret) NSM_MUST_USE;

/* NSM_E_INVALID when two different rows could make one key, or all rows do. Not part of parsing, because for_each fills in names
 * before it. */
struct nsm_error *nsm_key_template_check(const struct nsm_key_template *tmpl) NSM_MUST_USE;

/* A copy with `value` in the place of the column `name`. */
struct nsm_key_template nsm_key_template_substitute(struct nsm_arena *arena,
                                                    const struct nsm_key_template *tmpl,
                                                    const char *name, const char *value);

/* Appends the template's own text, the same for equal templates. */
void nsm_key_template_write(const struct nsm_key_template *tmpl, struct nsm_buf *out);

/* The bytes of values that are written as %XX: none with a single column. `ret` holds 256. */
void nsm_key_template_escapes(const struct nsm_key_template *tmpl, bool *ret);
/* Appends a value. */
void nsm_key_template_write_value(struct nsm_buf *out, const bool *is_escaped,
                                  struct nsm_str value);

#endif
