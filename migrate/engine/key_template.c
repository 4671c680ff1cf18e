/* See key_template.h. A value ends at the first byte of the text behind it, which is why values never hold that byte unescaped, and
 * why it may be nothing that an escape is made of. */
#include "migrate/engine/key_template.h"

#include "migrate/base/alloc.h"

struct pieces {
    struct nsm_key_piece *items;
    size_t n, cap;
};

static void pieces_release(struct pieces *pieces)
{
    free(pieces->items);
}

static void add_piece(struct pieces *pieces, struct nsm_str text, bool is_column)
{
    if (text.len == 0)
        return;
    NSM_GROW(pieces->items, pieces->n, pieces->cap);
    pieces->items[pieces->n++] = (struct nsm_key_piece){.text = text, .is_column = is_column};
}

static void keep_pieces(struct nsm_arena *arena, const struct pieces *pieces,
                        struct nsm_key_template *ret)
{
    struct nsm_key_piece *const items = nsm_arena_calloc(arena, pieces->n + 1, sizeof(*items));
    for (size_t at = 0; at < pieces->n; at++) {
        items[at] = pieces->items[at];
        items[at].text = nsm_arena_copy(arena, items[at].text);
    }
    *ret = (struct nsm_key_template){.pieces = items, .n_pieces = pieces->n};
}

/* The column that begins behind the brace at `at`. */
static struct nsm_error *find_end(struct nsm_str text, size_t at, size_t *ret_end)
{
    const char *const end = memchr(text.ptr + at, '}', text.len - at);
    if (!end)
        return nsm_error_new(NSM_E_INVALID,
                             "the { at byte %zu has no }; a brace itself is written {{ or }}", at);
    *ret_end = (size_t)(end - text.ptr);
    if (*ret_end == at + 1)
        return nsm_error_new(NSM_E_INVALID, "the braces at byte %zu name no column", at);
    return NULL;
}

struct nsm_error *nsm_key_template_parse(struct nsm_arena *arena, struct nsm_str text,
                                         struct nsm_key_template *ret)
{
    NSM_CLEANUP(pieces_release) struct pieces pieces = {0};
    size_t begin = 0;
    size_t at = 0;
    while (at < text.len) {
        const char c = text.ptr[at];
        if (c != '{' && c != '}') {
            at++;
            continue;
        }
        const bool is_doubled = at + 1 < text.len && text.ptr[at + 1] == c;
        if (c == '}' && !is_doubled)
            return nsm_error_new(
                NSM_E_INVALID, "the } at byte %zu ends nothing; a brace itself is written }}", at);
        add_piece(&pieces, (struct nsm_str){text.ptr + begin, at - begin + is_doubled}, false);
        if (is_doubled) {
            at += 2;
        } else {
            size_t end = 0;
            NSM_TRY(find_end(text, at, &end));
            add_piece(&pieces, (struct nsm_str){text.ptr + at + 1, end - at - 1}, true);
            at = end + 1;
        }
        begin = at;
    }
    add_piece(&pieces, nsm_str_skip(text, begin), false);
    keep_pieces(arena, &pieces, ret);
    return NULL;
}

static bool is_of_escape(char c)
{
    return c == '%' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t count_columns(const struct nsm_key_template *tmpl)
{
    size_t n = 0;
    for (size_t at = 0; at < tmpl->n_pieces; at++)
        n += tmpl->pieces[at].is_column;
    return n;
}

/* Calls for each column but the last: what stands behind it. */
static const struct nsm_key_piece *next_border(const struct nsm_key_template *tmpl, size_t *at,
                                               size_t *n_left)
{
    while (*n_left > 1) {
        const struct nsm_key_piece *const piece = &tmpl->pieces[(*at)++];
        if (!piece->is_column)
            continue;
        (*n_left)--;
        return &tmpl->pieces[*at];
    }
    return NULL;
}

struct nsm_error *nsm_key_template_check(const struct nsm_key_template *tmpl)
{
    size_t n_left = count_columns(tmpl);
    size_t at = 0;
    if (n_left == 0)
        return nsm_error_new(NSM_E_INVALID,
                             "expected columns in braces, as in \"user:{id}\", found none");
    for (const struct nsm_key_piece *border; (border = next_border(tmpl, &at, &n_left));) {
        const struct nsm_str column = tmpl->pieces[at - 1].text;
        if (border->is_column)
            return nsm_error_new(NSM_E_INVALID,
                                 "{%.*s} and {%.*s} stand side by side: put a ':' between them",
                                 NSM_STR_ARG(column), NSM_STR_ARG(border->text));
        if (is_of_escape(border->text.ptr[0]))
            return nsm_error_new(NSM_E_INVALID,
                                 "behind {%.*s} stands '%c': put a ':' between them, so that its "
                                 "end is seen",
                                 NSM_STR_ARG(column), border->text.ptr[0]);
    }
    return NULL;
}

struct nsm_key_template nsm_key_template_substitute(struct nsm_arena *arena,
                                                    const struct nsm_key_template *tmpl,
                                                    const char *name, const char *value)
{
    NSM_CLEANUP(pieces_release) struct pieces pieces = {0};
    struct nsm_key_template ret;
    for (size_t at = 0; at < tmpl->n_pieces; at++) {
        const struct nsm_key_piece *const piece = &tmpl->pieces[at];
        if (piece->is_column && nsm_str_equals(piece->text, nsm_str_of(name)))
            add_piece(&pieces, nsm_str_of(value), false);
        else
            add_piece(&pieces, piece->text, piece->is_column);
    }
    keep_pieces(arena, &pieces, &ret);
    return ret;
}

void nsm_key_template_write(const struct nsm_key_template *tmpl, struct nsm_buf *out)
{
    for (size_t at = 0; at < tmpl->n_pieces; at++) {
        const struct nsm_key_piece *const piece = &tmpl->pieces[at];
        nsm_buf_append_cstr(out, piece->is_column ? "{" : "");
        for (size_t i = 0; i < piece->text.len; i++) {
            const char c = piece->text.ptr[i];
            nsm_buf_append_char(out, c);
            if (!piece->is_column && (c == '{' || c == '}'))
                nsm_buf_append_char(out, c);
        }
        nsm_buf_append_cstr(out, piece->is_column ? "}" : "");
    }
}

void nsm_key_template_escapes(const struct nsm_key_template *tmpl, bool *ret)
{
    memset(ret, 0, 256 * sizeof(*ret));
    size_t n_left = count_columns(tmpl);
    size_t at = 0;
    ret['%'] = ret[':'] = n_left > 1;
    for (const struct nsm_key_piece *border; (border = next_border(tmpl, &at, &n_left));)
        ret[(unsigned char)border->text.ptr[0]] = true;
}

void nsm_key_template_write_value(struct nsm_buf *out, const bool *is_escaped, struct nsm_str value)
{
    for (size_t at = 0; at < value.len; at++) {
        const unsigned char byte = (unsigned char)value.ptr[at];
        if (is_escaped[byte])
            nsm_buf_printf(out, "%%%02X", (unsigned)byte);
        else
            nsm_buf_append_char(out, value.ptr[at]);
    }
}
