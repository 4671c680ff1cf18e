/*
 * See json_writer.h. The state is the depth, one bit per level and whether a comma is due; there is
 * no tree, so a summary of ten thousand namespaces costs its text and no more.
 */
#include "migrate/cli/json_writer.h"

#include "migrate/cli/human.h"
#include "migrate/cli/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static void write_escape(struct nsm_buf *out, uint32_t code)
{
    switch (code) {
    case '"':
        nsm_buf_append_cstr(out, "\\\"");
        break;
    case '\\':
        nsm_buf_append_cstr(out, "\\\\");
        break;
    case '\n':
        nsm_buf_append_cstr(out, "\\n");
        break;
    case '\r':
        nsm_buf_append_cstr(out, "\\r");
        break;
    case '\t':
        nsm_buf_append_cstr(out, "\\t");
        break;
    default:
        nsm_buf_printf(out, "\\u%04x", code);
    }
}

/* Control characters beyond ASCII and the two line separators are valid JSON, but not in what
 * splits its input at "lines" in the wide sense of Unicode. */
static bool needs_escape(uint32_t code)
{
    return code < 0x20 || code == '"' || code == '\\' || (code >= 0x7f && code < 0xa0) ||
           code == 0x2028 || code == 0x2029;
}

static void write_quoted(struct nsm_buf *out, struct nsm_str s)
{
    nsm_buf_append_char(out, '"');
    size_t plain = 0; /* bytes before this one that need nothing */
    while (plain < s.len) {
        uint32_t code = 0;
        const size_t len = nsm_utf8_next(nsm_str_skip(s, plain), &code);
        if (len > 0 && !needs_escape(code)) {
            plain += len;
            continue;
        }
        nsm_buf_append(out, s.ptr, plain);
        if (len == 0)
            nsm_buf_append_cstr(out, "\xef\xbf\xbd");
        else
            write_escape(out, code);
        s = nsm_str_skip(s, plain + (len ? len : 1));
        plain = 0;
    }
    nsm_buf_append(out, s.ptr, plain);
    nsm_buf_append_char(out, '"');
}

static bool is_in_array(const struct nsm_json_writer *json)
{
    return json->depth > 0 && (json->array_bits >> (json->depth - 1) & 1);
}

/* What comes before any value: a comma when one is due, and the member's name. */
static void begin_value(struct nsm_json_writer *json, const char *key)
{
    assert((key != NULL) == (json->depth > 0 && !is_in_array(json)));
    if (json->has_items)
        nsm_buf_append_char(json->out, ',');
    json->has_items = true;
    if (!key)
        return;
    write_quoted(json->out, nsm_str_of(key));
    nsm_buf_append_char(json->out, ':');
}

static void begin_container(struct nsm_json_writer *json, const char *key, bool is_array)
{
    begin_value(json, key);
    assert(json->depth < NSM_JSON_WRITER_MAX_DEPTH);
    const uint32_t bit = UINT32_C(1) << json->depth;
    json->array_bits = is_array ? json->array_bits | bit : json->array_bits & ~bit;
    json->depth++;
    json->has_items = false;
    nsm_buf_append_char(json->out, is_array ? '[' : '{');
}

struct nsm_json_writer nsm_json_writer_on(struct nsm_buf *out)
{
    return (struct nsm_json_writer){.out = out};
}

void nsm_json_writer_object(struct nsm_json_writer *json, const char *key)
{
    begin_container(json, key, false);
}

void nsm_json_writer_array(struct nsm_json_writer *json, const char *key)
{
    begin_container(json, key, true);
}

void nsm_json_writer_end(struct nsm_json_writer *json)
{
    assert(json->depth > 0);
    nsm_buf_append_char(json->out, is_in_array(json) ? ']' : '}');
    json->depth--;
    json->has_items = true;
}

void nsm_json_writer_bytes(struct nsm_json_writer *json, const char *key, struct nsm_str value)
{
    begin_value(json, key);
    write_quoted(json->out, value);
}

void nsm_json_writer_string(struct nsm_json_writer *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value)
        write_quoted(json->out, nsm_str_of(value));
    else
        nsm_buf_append_cstr(json->out, "null");
}

void nsm_json_writer_u64(struct nsm_json_writer *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    nsm_buf_append_u64(json->out, value);
}

void nsm_json_writer_i64(struct nsm_json_writer *json, const char *key, int64_t value)
{
    begin_value(json, key);
    nsm_buf_append_i64(json->out, value);
}

void nsm_json_writer_number(struct nsm_json_writer *json, const char *key, double value)
{
    begin_value(json, key);
    if (isfinite(value))
        nsm_buf_printf(json->out, "%.3f", value);
    else
        nsm_buf_append_cstr(json->out, "null");
}

void nsm_json_writer_bool(struct nsm_json_writer *json, const char *key, bool value)
{
    begin_value(json, key);
    nsm_buf_append_cstr(json->out, value ? "true" : "false");
}

void nsm_json_writer_time(struct nsm_json_writer *json, const char *key, int64_t unix_ms)
{
    begin_value(json, key);
    if (unix_ms == 0) {
        nsm_buf_append_cstr(json->out, "null");
        return;
    }
    nsm_buf_append_char(json->out, '"');
    nsm_human_timestamp(json->out, unix_ms);
    nsm_buf_append_char(json->out, '"');
}
