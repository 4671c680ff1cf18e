/*
 * A lexer of as much SQL as it takes to know where a statement begins: strings, quoted names,
 * dollar quotes, comments, and psql's own commands (\restrict), which stand on lines of their own.
 */
#include "adapters/postgres/pg_script.h"

#include <ctype.h>

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#define ENTRY "-- TOC entry "
#define NEEDS "-- Dependencies:"
#define TITLE "-- Name: "

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 128;
}

/* Each skip_ function takes the index of the first byte of what it skips, and returns the index
 * behind it, or text.len when it does not end. */

static size_t skip_line(struct nsm_str text, size_t at)
{
    const char *const end = memchr(text.ptr + at, '\n', text.len - at);
    return end ? (size_t)(end - text.ptr) + 1 : text.len;
}

static size_t skip_quoted(struct nsm_str text, size_t at, char quote, bool has_backslash)
{
    for (size_t i = at + 1; i < text.len; i++) {
        if (has_backslash && text.ptr[i] == '\\') {
            i++;
            continue;
        }
        if (text.ptr[i] != quote)
            continue;
        if (i + 1 >= text.len || text.ptr[i + 1] != quote)
            return i + 1;
        i++;
    }
    return text.len;
}

static size_t skip_comment(struct nsm_str text, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i + 1 < text.len; i++) {
        if (text.ptr[i] == '/' && text.ptr[i + 1] == '*') {
            depth++;
            i++;
        } else if (text.ptr[i] == '*' && text.ptr[i + 1] == '/') {
            i++;
            if (--depth == 0)
                return i + 1;
        }
    }
    return text.len;
}

/* $tag$ ... $tag$; at + 1 when it is no dollar quote. */
static size_t skip_dollar(struct nsm_str text, size_t at)
{
    size_t end = at + 1;
    while (end < text.len && is_word(text.ptr[end]) && text.ptr[end] != '$')
        end++;
    if (end >= text.len || text.ptr[end] != '$' || isdigit((unsigned char)text.ptr[at + 1]))
        return at + 1;
    const size_t len = end - at + 1;
    const char *const close = memmem(text.ptr + end + 1, text.len - end - 1, text.ptr + at, len);
    return close ? (size_t)(close - text.ptr) + len : text.len;
}

static size_t skip_word(struct nsm_str text, size_t at)
{
    size_t end = at;
    while (end < text.len && is_word(text.ptr[end]))
        end++;
    /* E'...' is the one form of string with backslashes. */
    if (end - at == 1 && (text.ptr[at] == 'E' || text.ptr[at] == 'e') && end < text.len &&
        text.ptr[end] == '\'')
        return skip_quoted(text, end, '\'', true);
    return end;
}

static bool has_at(struct nsm_str text, size_t at, const char *what)
{
    const size_t len = strlen(what);
    return text.len - at >= len && memcmp(text.ptr + at, what, len) == 0;
}

/* Skips one token of any kind. */
static size_t skip_token(struct nsm_str text, size_t at)
{
    const char c = text.ptr[at];
    if (has_at(text, at, "--"))
        return skip_line(text, at);
    if (has_at(text, at, "/*"))
        return skip_comment(text, at);
    if (c == '\'' || c == '"')
        return skip_quoted(text, at, c, false);
    if (c == '$')
        return skip_dollar(text, at);
    if (is_word(c))
        return skip_word(text, at);
    return at + 1;
}

/* Skips what may stand before a statement; stops at a comment that begins an item. */
static size_t skip_blank(struct nsm_str text, size_t at, bool stops_at_entry)
{
    while (at < text.len) {
        if (stops_at_entry && has_at(text, at, ENTRY))
            return at;
        if (isspace((unsigned char)text.ptr[at]))
            at++;
        else if (has_at(text, at, "--") || text.ptr[at] == '\\')
            at = skip_line(text, at);
        else if (has_at(text, at, "/*"))
            at = skip_comment(text, at);
        else
            return at;
    }
    return at;
}

static size_t skip_statement(struct nsm_str text, size_t at)
{
    while (at < text.len) {
        if (text.ptr[at] == ';')
            return at + 1;
        at = skip_token(text, at);
    }
    return at;
}

static struct nsm_str slice(struct nsm_str text, size_t begin, size_t end)
{
    return (struct nsm_str){.ptr = text.ptr + begin, .len = end - begin};
}

bool nsm_pg_next_statement(struct nsm_str *text, struct nsm_str *ret_statement)
{
    const size_t begin = skip_blank(*text, 0, false);
    if (begin >= text->len)
        return false;
    const size_t end = skip_statement(*text, begin);
    *ret_statement = slice(*text, begin, end);
    *text = nsm_str_skip(*text, end);
    return true;
}

/* ---- the head of an item ---- */

/* The number that a line holds behind `at`, up to a blank or its end. */
static bool read_number(struct nsm_str line, size_t *at, uint64_t *ret)
{
    while (*at < line.len && line.ptr[*at] == ' ')
        ++*at;
    size_t end = *at;
    while (end < line.len && isdigit((unsigned char)line.ptr[end]))
        end++;
    const struct nsm_str digits = slice(line, *at, end);
    *at = end;
    return digits.len && nsm_parse_u64(digits, ret);
}

static void read_needs(struct nsm_arena *arena, struct nsm_str line, struct nsm_pg_item *item)
{
    size_t at = strlen(NEEDS);
    item->needs = nsm_arena_calloc(arena, line.len / 2 + 1, sizeof(*item->needs));
    while (read_number(line, &at, &item->needs[item->n_needs]))
        item->n_needs++;
}

/* "Name: users; Type: TABLE; Schema: app; Owner: joe". The name comes first and may hold anything,
 * so the marks are looked for from the end. */
static const char *find_last(const char *text, const char *what)
{
    const char *last = NULL;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        last = at;
    return last;
}

static void read_title(struct nsm_arena *arena, struct nsm_str line, struct nsm_pg_item *item)
{
    item->title = nsm_arena_copy(arena, nsm_str_skip(line, strlen(TITLE))).ptr;
    const char *const type = find_last(item->title, "; Type: ");
    if (!type)
        return;
    const char *const schema = strstr(type, "; Schema: ");
    const char *const owner = schema ? find_last(schema, "; Owner: ") : NULL;
    item->name =
        nsm_arena_copy(arena, (struct nsm_str){item->title, (size_t)(type - item->title)}).ptr;
    const char *const type_begin = type + strlen("; Type: ");
    const size_t type_len = schema ? (size_t)(schema - type_begin) : strlen(type_begin);
    item->type = nsm_arena_copy(arena, (struct nsm_str){type_begin, type_len}).ptr;
    if (!schema)
        return;
    const char *const schema_begin = schema + strlen("; Schema: ");
    const size_t schema_len = owner ? (size_t)(owner - schema_begin) : strlen(schema_begin);
    item->schema = nsm_arena_copy(arena, (struct nsm_str){schema_begin, schema_len}).ptr;
}

/* Reads the lines of comments that begin an item; returns the index behind them. */
static size_t read_head(struct nsm_arena *arena, struct nsm_str text, size_t at,
                        struct nsm_pg_item *item)
{
    *item = (struct nsm_pg_item){.name = "", .type = "", .schema = "", .title = ""};
    while (at < text.len && has_at(text, at, "--")) {
        const size_t end = skip_line(text, at);
        struct nsm_str line = slice(text, at, end);
        if (line.len && line.ptr[line.len - 1] == '\n')
            line.len--;
        size_t digits = strlen(ENTRY);
        if (has_at(line, 0, ENTRY))
            (void)read_number(line, &digits, &item->dump_id);
        else if (has_at(line, 0, NEEDS))
            read_needs(arena, line, item);
        else if (has_at(line, 0, TITLE))
            read_title(arena, line, item);
        at = end;
    }
    return at;
}

const char *nsm_pg_skip_title_name(const char *text, const char *name)
{
    for (; *name; name++, text++) {
        const char c = *name == '\n' || *name == '\r' ? ' ' : *name;
        if (*text != c)
            return NULL;
    }
    return text;
}

bool nsm_pg_item_is_named(const struct nsm_pg_item *item, const char *name)
{
    const char *const rest = nsm_pg_skip_title_name(item->name, name);
    return rest && !*rest;
}

bool nsm_pg_item_is_in(const struct nsm_pg_item *item, const char *schema)
{
    const char *const rest = nsm_pg_skip_title_name(item->schema, schema);
    return rest && !*rest;
}

/* ---- items ---- */

static bool is_owner_statement(struct nsm_str statement)
{
    if (!has_at(statement, 0, "ALTER "))
        return false;
    for (size_t at = 0; at < statement.len; at = skip_token(statement, at)) {
        if (has_at(statement, at, "OWNER TO ") && at > 0 && statement.ptr[at - 1] == ' ')
            return true;
    }
    return false;
}

/* Reads the statements of an item that begins at `begin` up to the next item. Settings at its end
 * (SET default_table_access_method) belong to the next one: *ret_next is where that begins. */
static size_t read_body(struct nsm_str text, size_t begin, struct nsm_pg_item *item,
                        size_t *ret_next)
{
    size_t at = begin;
    size_t end_sql = begin;
    size_t owner = 0;
    *ret_next = SIZE_MAX;
    for (at = skip_blank(text, at, true); at < text.len && !has_at(text, at, ENTRY);
         at = skip_blank(text, at, true)) {
        const size_t end = skip_statement(text, at);
        const struct nsm_str statement = slice(text, at, end);
        const bool is_setting = has_at(statement, 0, "SET ");
        if (!is_setting) {
            *ret_next = SIZE_MAX;
            if (!owner && is_owner_statement(statement))
                owner = at;
            end_sql = end;
        } else if (*ret_next == SIZE_MAX) {
            *ret_next = at;
        }
        at = end;
    }
    item->sql = slice(text, begin, owner ? owner : end_sql);
    if (owner)
        item->owner_sql = slice(text, owner, end_sql);
    return at;
}

struct nsm_error *nsm_pg_script_parse(struct nsm_arena *arena, struct nsm_str text,
                                      struct nsm_pg_script *ret)
{
    struct nsm_pg_item *items NSM_CLEANUP(nsm_freep) = NULL;
    size_t n = 0;
    size_t cap = 0;
    struct nsm_pg_item preamble = {0};
    size_t next = SIZE_MAX;
    size_t at = read_body(text, 0, &preamble, &next);
    /* What the preamble sets, prepare sets itself. */
    next = SIZE_MAX;
    while (at < text.len) {
        NSM_GROW(items, n, cap);
        struct nsm_pg_item *const item = &items[n++];
        const size_t settings = next;
        const size_t begin = read_head(arena, text, at, item);
        if (!item->dump_id)
            return nsm_error_new(NSM_E_CORRUPT, "pg_restore wrote an item without a number");
        at = read_body(text, begin, item, &next);
        if (settings != SIZE_MAX && item->sql.len)
            item->sql = slice(text, settings, (size_t)(item->sql.ptr - text.ptr) + item->sql.len);
    }
    ret->items = nsm_arena_calloc(arena, n, sizeof(*ret->items));
    if (n)
        memcpy(ret->items, items, n * sizeof(*items));
    ret->n_items = n;
    return NULL;
}
