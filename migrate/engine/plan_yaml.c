/*
 * libyaml's events to a bounded tree. Its document API would expand aliases and look keys up
 * nowhere, and tells no duplicates; the events leave limits and refusals to us, so that a bomb is
 * refused at its first anchor, and not after it went off. What libyaml itself would only notice
 * late or describe by a byte offset (encodings, control characters), or handles in quadratic time
 * (tag directives), a scan of the bytes finds before.
 */
#include "migrate/engine/plan_yaml.h"

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"
#include "migrate/base/hint.h"
#include "migrate/base/parse.h"

#include <stdarg.h>
#include <yaml.h>

struct nsm_error *nsm_yaml_error(const char *path, unsigned line, unsigned column, const char *fmt,
                                 ...)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    va_list args;
    va_start(args, fmt);
    nsm_buf_vprintf(&message, fmt, args);
    va_end(args);
    return nsm_error_new(NSM_E_INVALID, "%s:%u:%u: %s", path, line, column, message.ptr);
}

bool nsm_yaml_is_null(const struct nsm_yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != NSM_YAML_SCALAR || !node->is_plain)
        return false;
    for (size_t i = 0; i < NSM_COUNT_OF(nulls); i++) {
        if (nsm_str_equals(node->text, nsm_str_of(nulls[i])))
            return true;
    }
    return false;
}

void nsm_yaml_describe(const struct nsm_yaml_node *node, struct nsm_buf *out)
{
    if (node->kind == NSM_YAML_MAPPING)
        nsm_buf_append_cstr(out, "a mapping");
    else if (node->kind == NSM_YAML_SEQUENCE)
        nsm_buf_append_cstr(out, "a sequence");
    else if (nsm_yaml_is_null(node))
        nsm_buf_append_cstr(out, "nothing");
    else
        nsm_quote(node->text, out);
}

/* ---- the bytes ---- */

/* A reader's place in the text, in characters as an editor counts them. */
struct scan {
    const char *path;
    struct nsm_str rest;
    unsigned line, column;
};

static size_t sequence_length(unsigned char first)
{
    return first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

static bool is_sequence(struct nsm_str s, const char *bytes)
{
    return nsm_str_starts_with(s, nsm_str_of(bytes));
}

/* Checks the character at the scan's place and steps over it. */
static struct nsm_error *scan_character(struct scan *scan)
{
    const unsigned char c = (unsigned char)scan->rest.ptr[0];
    const size_t n = sequence_length(c);
    const struct nsm_str character = {.ptr = scan->rest.ptr, .len = n};
    if (c == '\0')
        return nsm_yaml_error(scan->path, scan->line, scan->column,
                              "a NUL byte; expected YAML in UTF-8");
    if (n > scan->rest.len || !nsm_is_utf8(character))
        return nsm_yaml_error(scan->path, scan->line, scan->column,
                              "byte 0x%02x is not valid UTF-8", (unsigned)c);
    const bool is_c1 = c == 0xc2 && (unsigned char)scan->rest.ptr[1] < 0xa0;
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f || is_c1)
        return nsm_yaml_error(scan->path, scan->line, scan->column,
                              "control character 0x%02x; write it as an escape in double quotes",
                              (unsigned)(is_c1 ? (unsigned char)scan->rest.ptr[1] : c));
    if (is_sequence(character, "\xef\xbb\xbf") || is_sequence(character, "\xef\xbf\xbe") ||
        is_sequence(character, "\xef\xbf\xbf"))
        return nsm_yaml_error(scan->path, scan->line, scan->column,
                              "a byte order mark or noncharacter inside the text");
    if (c == '%' && scan->column == 1)
        return nsm_yaml_error(scan->path, scan->line, scan->column,
                              "a line that begins with %% is a YAML directive; a plan has none");
    const bool is_crlf = c == '\r' && scan->rest.len > 1 && scan->rest.ptr[1] == '\n';
    const bool is_break = c == '\n' || (c == '\r' && !is_crlf);
    scan->line += is_break;
    scan->column = is_break ? 1 : scan->column + 1;
    scan->rest = nsm_str_skip(scan->rest, n);
    return NULL;
}

static bool is_utf16_or_32(struct nsm_str yaml)
{
    if (yaml.len < 2)
        return false;
    const unsigned char a = (unsigned char)yaml.ptr[0];
    const unsigned char b = (unsigned char)yaml.ptr[1];
    /* A byte order mark; or ASCII in one of the two orders, without one. */
    return (a == 0xff && b == 0xfe) || (a == 0xfe && b == 0xff) || (a == 0 && b != 0) ||
           (a != 0 && b == 0);
}

static struct nsm_error *check_bytes(struct nsm_str yaml, const char *path)
{
    if (yaml.len > NSM_YAML_MAX_BYTES)
        return nsm_yaml_error(path, 1, 1, "larger than %zu MiB, the most a plan may have",
                              NSM_YAML_MAX_BYTES >> 20);
    if (is_utf16_or_32(yaml))
        return nsm_yaml_error(path, 1, 1, "encoded in UTF-16 or UTF-32; save it as UTF-8");
    struct scan scan = {.path = path, .rest = yaml, .line = 1, .column = 1};
    while (scan.rest.len > 0)
        NSM_TRY(scan_character(&scan));
    return NULL;
}

/* ---- the tree ---- */

/* A mapping or sequence that is still open. */
struct frame {
    struct nsm_yaml_node *node;
    struct nsm_yaml_node **children; /* heap; moves to the arena when the node is complete */
    size_t n_children, cap_children;
};

struct builder {
    const char *path;
    struct nsm_str yaml;
    struct nsm_arena *arena;
    yaml_parser_t parser;
    struct frame frames[NSM_YAML_MAX_DEPTH];
    size_t depth;
    size_t n_nodes;
    struct nsm_yaml_node *root;
};

static void builder_release(struct builder *builder)
{
    for (size_t i = 0; i < builder->depth; i++)
        free(builder->frames[i].children);
    yaml_parser_delete(&builder->parser);
}

static struct nsm_error *mark_error(const struct builder *builder, yaml_mark_t mark,
                                    const char *message)
{
    return nsm_yaml_error(builder->path, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s",
                          message);
}

/* Line `line`, counted from 0; empty when there is none. */
static struct nsm_str find_line(struct nsm_str yaml, size_t line)
{
    struct nsm_str rest = yaml;
    for (size_t i = 0; i < line && rest.len > 0; i++) {
        const char *const end = memchr(rest.ptr, '\n', rest.len);
        rest = nsm_str_skip(rest, end ? (size_t)(end - rest.ptr) + 1 : rest.len);
    }
    const char *const end = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
    return (struct nsm_str){.ptr = rest.ptr, .len = end ? (size_t)(end - rest.ptr) : rest.len};
}

static bool is_indented_with_tab(struct nsm_str line)
{
    size_t n_spaces = 0;
    while (n_spaces < line.len && line.ptr[n_spaces] == ' ')
        n_spaces++;
    return n_spaces < line.len && line.ptr[n_spaces] == '\t';
}

static struct nsm_error *parser_error(const struct builder *builder)
{
    const yaml_parser_t *const parser = &builder->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return nsm_error_new(NSM_E_NOMEM, "%s: no memory left", builder->path);
    const struct nsm_str line = find_line(builder->yaml, parser->problem_mark.line);
    if (is_indented_with_tab(line))
        return mark_error(builder, parser->problem_mark,
                          "a tab can't indent YAML; use spaces instead");
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&message, parser->problem ? parser->problem : "not valid YAML");
    if (parser->context)
        nsm_buf_printf(&message, " %s that begins in line %zu", parser->context,
                       parser->context_mark.line + 1);
    if (line.len > 0 && memmem(line.ptr, line.len, "${", 2))
        nsm_buf_append_cstr(&message, "; inside { } or [ ], a value with ${...} needs quotes");
    return mark_error(builder, parser->problem_mark, message.ptr);
}

static struct nsm_error *check_node_properties(const struct builder *builder,
                                               const yaml_event_t *event, const yaml_char_t *anchor,
                                               const yaml_char_t *tag)
{
    if (anchor)
        return mark_error(builder, event->start_mark,
                          "anchors and aliases (&, *) are no part of a plan; repeat the value, or "
                          "put it into double quotes");
    if (tag)
        return mark_error(builder, event->start_mark,
                          "tags (!) are no part of a plan; put the value into double quotes");
    return NULL;
}

/* Hangs `node` into the innermost open node. */
static struct nsm_error *attach(struct builder *builder, struct nsm_yaml_node *node)
{
    if (builder->depth == 0) {
        builder->root = node;
        return NULL;
    }
    struct frame *const frame = &builder->frames[builder->depth - 1];
    const bool is_key = frame->node->kind == NSM_YAML_MAPPING && frame->n_children % 2 == 0;
    if (is_key && node->kind != NSM_YAML_SCALAR) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf found = NSM_BUF_TEXT;
        nsm_yaml_describe(node, &found);
        return nsm_yaml_error(builder->path, node->line, node->column, "expected a key, found %s",
                              found.ptr);
    }
    if (is_key && node->is_plain && nsm_str_equals(node->text, NSM_STR_LIT("<<")))
        return nsm_yaml_error(builder->path, node->line, node->column,
                              "merge keys (<<) are no part of a plan; repeat the keys");
    if (frame->n_children == frame->cap_children) {
        frame->cap_children = frame->cap_children ? frame->cap_children * 2 : 8;
        frame->children =
            nsm_xreallocarray(frame->children, frame->cap_children, sizeof(struct nsm_yaml_node *));
    }
    frame->children[frame->n_children++] = node;
    return NULL;
}

static struct nsm_error *check_count(const struct builder *builder, const yaml_event_t *event)
{
    if (builder->n_nodes < NSM_YAML_MAX_NODES)
        return NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    nsm_buf_printf(&message, "more than %zu keys and values, the most a plan may have",
                   NSM_YAML_MAX_NODES);
    return mark_error(builder, event->start_mark, message.ptr);
}

static struct nsm_yaml_node *add_node(struct builder *builder, const yaml_event_t *event,
                                      enum nsm_yaml_kind kind)
{
    struct nsm_yaml_node *const node = nsm_arena_calloc(builder->arena, 1, sizeof(*node));
    node->kind = kind;
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    builder->n_nodes++;
    return node;
}

static struct nsm_error *add_scalar(struct builder *builder, const yaml_event_t *event)
{
    NSM_TRY(
        check_node_properties(builder, event, event->data.scalar.anchor, event->data.scalar.tag));
    NSM_TRY(check_count(builder, event));
    struct nsm_yaml_node *const node = add_node(builder, event, NSM_YAML_SCALAR);
    const struct nsm_str text = {.ptr = (const char *)event->data.scalar.value,
                                 .len = event->data.scalar.length};
    node->text = nsm_arena_copy(builder->arena, text);
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return attach(builder, node);
}

static struct nsm_error *open_node(struct builder *builder, const yaml_event_t *event,
                                   enum nsm_yaml_kind kind)
{
    if (kind == NSM_YAML_MAPPING)
        NSM_TRY(check_node_properties(builder, event, event->data.mapping_start.anchor,
                                      event->data.mapping_start.tag));
    else
        NSM_TRY(check_node_properties(builder, event, event->data.sequence_start.anchor,
                                      event->data.sequence_start.tag));
    if (builder->depth == NSM_YAML_MAX_DEPTH)
        return nsm_yaml_error(builder->path, (unsigned)event->start_mark.line + 1,
                              (unsigned)event->start_mark.column + 1,
                              "nested deeper than %d levels, the most a plan may have",
                              NSM_YAML_MAX_DEPTH);
    NSM_TRY(check_count(builder, event));
    struct nsm_yaml_node *const node = add_node(builder, event, kind);
    NSM_TRY(attach(builder, node));
    builder->frames[builder->depth++] = (struct frame){.node = node};
    return NULL;
}

static int compare_keys(const void *a, const void *b)
{
    const struct nsm_yaml_node *const x = *(const struct nsm_yaml_node *const *)a;
    const struct nsm_yaml_node *const y = *(const struct nsm_yaml_node *const *)b;
    const int order = nsm_str_compare(x->text, y->text);
    if (order != 0)
        return order;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

/* By sorting: a mapping may have hundreds of thousands of keys. Names the first that comes again.
 */
static struct nsm_error *check_duplicates(const struct builder *builder, const struct frame *frame)
{
    const size_t n_keys = frame->n_children / 2;
    NSM_CLEANUP(nsm_freep)
    struct nsm_yaml_node **keys = nsm_xcalloc(n_keys + 1, sizeof(struct nsm_yaml_node *));
    for (size_t i = 0; i < n_keys; i++)
        keys[i] = frame->children[2 * i];
    qsort(keys, n_keys, sizeof(struct nsm_yaml_node *), compare_keys);
    const struct nsm_yaml_node *first = NULL;
    const struct nsm_yaml_node *again = NULL;
    for (size_t i = 1; i < n_keys; i++) {
        const bool is_earlier = !again || keys[i]->line < again->line ||
                                (keys[i]->line == again->line && keys[i]->column < again->column);
        if (nsm_str_equals(keys[i - 1]->text, keys[i]->text) && is_earlier) {
            first = keys[i - 1];
            again = keys[i];
        }
    }
    if (!again)
        return NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf name = NSM_BUF_TEXT;
    nsm_quote(again->text, &name);
    return nsm_yaml_error(builder->path, again->line, again->column,
                          "duplicate key %s; it stands in line %u already", name.ptr, first->line);
}

static struct nsm_error *close_node(struct builder *builder)
{
    struct frame *const frame = &builder->frames[builder->depth - 1];
    struct nsm_yaml_node *const node = frame->node;
    if (node->kind == NSM_YAML_MAPPING)
        NSM_TRY(check_duplicates(builder, frame));
    const size_t size = frame->n_children * sizeof(struct nsm_yaml_node *);
    if (frame->n_children > 0) {
        node->children = nsm_arena_alloc(builder->arena, size);
        memcpy(node->children, frame->children, size);
    }
    node->n_children = frame->n_children;
    free(frame->children);
    builder->depth--;
    return NULL;
}

static struct nsm_error *handle_event(struct builder *builder, const yaml_event_t *event,
                                      bool *ret_is_end)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return add_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(builder, event, NSM_YAML_SEQUENCE);
    case YAML_MAPPING_START_EVENT:
        return open_node(builder, event, NSM_YAML_MAPPING);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(builder);
    case YAML_ALIAS_EVENT:
        return check_node_properties(builder, event, event->data.alias.anchor, NULL);
    case YAML_DOCUMENT_START_EVENT:
        return builder->root ? mark_error(builder, event->start_mark,
                                          "a second document begins here; a plan is one document")
                             : NULL;
    case YAML_STREAM_END_EVENT:
        *ret_is_end = true;
        return NULL;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return NULL;
    }
    return NULL;
}

struct nsm_error *nsm_yaml_parse(struct nsm_str yaml, const char *path, struct nsm_arena *arena,
                                 struct nsm_yaml_node **ret)
{
    if (nsm_str_starts_with(yaml, NSM_STR_LIT("\xef\xbb\xbf")))
        yaml = nsm_str_skip(yaml, 3);
    NSM_TRY(check_bytes(yaml, path));
    NSM_CLEANUP(builder_release)
    struct builder builder = {.path = path, .yaml = yaml, .arena = arena};
    if (!yaml_parser_initialize(&builder.parser))
        return nsm_error_new(NSM_E_NOMEM, "%s: no memory left", path);
    yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&builder.parser,
                                 (const unsigned char *)(yaml.len > 0 ? yaml.ptr : ""), yaml.len);

    bool is_end = false;
    while (!is_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&builder.parser, &event))
            return parser_error(&builder);
        struct nsm_error *const error = handle_event(&builder, &event, &is_end);
        yaml_event_delete(&event);
        NSM_TRY(error);
    }
    if (!builder.root)
        return nsm_yaml_error(path, 1, 1,
                              "empty; expected a plan with version, backends and "
                              "namespaces");
    *ret = builder.root;
    return NULL;
}
