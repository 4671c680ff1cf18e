/*
 * Our own writer, because the record's values are bytes and jansson's strings are not; jansson's
 * reader, because hostile JSON is its trade. Whatever the writer is given comes out as valid JSON:
 * a value that has not the form of its type is marked with its type's name, never passed through.
 */
#include "migrate/engine/record/json.h"

#include <assert.h>
#include <jansson.h>

#include "migrate/base/parse.h"
#include "migrate/engine/record/json_stream.h"

/* ---- writing ---- */

/* NUL is legal in a JSON string, but few readers (jansson's among them) take it. */
static bool is_plain_text(struct nsm_str s)
{
    return (s.len == 0 || !memchr(s.ptr, 0, s.len)) && nsm_is_utf8(s);
}

static void write_escape(struct nsm_buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        nsm_buf_append_cstr(out, "\\\"");
        return;
    case '\\':
        nsm_buf_append_cstr(out, "\\\\");
        return;
    case '\n':
        nsm_buf_append_cstr(out, "\\n");
        return;
    case '\r':
        nsm_buf_append_cstr(out, "\\r");
        return;
    case '\t':
        nsm_buf_append_cstr(out, "\\t");
        return;
    default:
        nsm_buf_printf(out, "\\u%04x", (unsigned)c);
    }
}

void nsm_json_write_string(struct nsm_buf *out, struct nsm_str s)
{
    nsm_buf_append_char(out, '"');
    size_t begin = 0;
    for (size_t at = 0; at < s.len; at++) {
        const unsigned char c = (unsigned char)s.ptr[at];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        nsm_buf_append(out, s.ptr + begin, at - begin);
        write_escape(out, c);
        begin = at + 1;
    }
    if (begin < s.len)
        nsm_buf_append(out, s.ptr + begin, s.len - begin);
    nsm_buf_append_char(out, '"');
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void write_base64(struct nsm_buf *out, struct nsm_str s)
{
    char *const to = nsm_buf_reserve(out, (s.len + 2) / 3 * 4);
    if (!to)
        return; /* the error sticks to the buffer */
    size_t len = 0;
    for (size_t at = 0; at < s.len; at += 3) {
        const size_t n_bytes = s.len - at < 3 ? s.len - at : 3;
        uint32_t bits = 0;
        for (size_t index = 0; index < 3; index++)
            bits = bits << 8 | (index < n_bytes ? (unsigned char)s.ptr[at + index] : 0U);
        to[len++] = base64_digits[bits >> 18];
        to[len++] = base64_digits[bits >> 12 & 63];
        to[len++] = '=';
        to[len++] = '=';
        if (n_bytes > 1)
            to[len - 2] = base64_digits[bits >> 6 & 63];
        if (n_bytes > 2)
            to[len - 1] = base64_digits[bits & 63];
    }
    nsm_buf_commit(out, len);
}

/* `sub_type`: "00" for bytes, "80" (the user's own) for text that is not valid UTF-8. */
static void write_binary(struct nsm_buf *out, struct nsm_str bytes, const char *sub_type)
{
    nsm_buf_append_cstr(out, "{\"$binary\":{\"base64\":\"");
    write_base64(out, bytes);
    nsm_buf_append_cstr(out, "\",\"subType\":\"");
    nsm_buf_append_cstr(out, sub_type);
    nsm_buf_append_cstr(out, "\"}}");
}

static void write_marked(struct nsm_buf *out, const struct nsm_value *value)
{
    nsm_buf_append_cstr(out, "{\"$");
    nsm_buf_append_cstr(out, nsm_type_name(value->type));
    nsm_buf_append_cstr(out, "\":");
    if (is_plain_text(value->bytes))
        nsm_json_write_string(out, value->bytes);
    else
        write_binary(out, value->bytes, "00");
    nsm_buf_append_char(out, '}');
}

static void write_bool(struct nsm_buf *out, const struct nsm_value *value)
{
    if (nsm_str_equals(value->bytes, NSM_STR_LIT("t")))
        nsm_buf_append_cstr(out, "true");
    else if (nsm_str_equals(value->bytes, NSM_STR_LIT("f")))
        nsm_buf_append_cstr(out, "false");
    else
        write_marked(out, value);
}

/* Digits without a leading zero or plus, within 64 bits: what JSON and the record both take. */
static bool is_canonical_int(struct nsm_str text)
{
    const bool is_negative = text.len > 0 && text.ptr[0] == '-';
    const struct nsm_str digits = nsm_str_skip(text, is_negative);
    int64_t number;
    if (digits.len == 0 || digits.ptr[0] < '0' || digits.ptr[0] > '9')
        return false;
    return nsm_parse_i64(text, &number) &&
           (digits.ptr[0] != '0' || (digits.len == 1 && !is_negative));
}

static void write_int(struct nsm_buf *out, const struct nsm_value *value)
{
    if (is_canonical_int(value->bytes))
        nsm_buf_append_str(out, value->bytes);
    else
        write_marked(out, value);
}

/* With a point or an exponent always, so that it is read as a float again. */
static void write_float(struct nsm_buf *out, const struct nsm_value *value)
{
    double number;
    if (!nsm_parse_double(value->bytes, &number) || !__builtin_isfinite(number)) {
        write_marked(out, value);
        return;
    }
    char text[32];
    const size_t len = nsm_format_double(number, text);
    nsm_buf_append(out, text, len);
    if (!memchr(text, '.', len) && !memchr(text, 'e', len) && !memchr(text, 'E', len))
        nsm_buf_append_cstr(out, ".0");
}

static void write_text(struct nsm_buf *out, const struct nsm_value *value, unsigned flags)
{
    const bool is_text_of_bytes = value->type == NSM_BYTES && !(flags & NSM_JSON_BYTES_AS_TEXT);
    if (!is_text_of_bytes && is_plain_text(value->bytes)) {
        nsm_json_write_string(out, value->bytes);
        return;
    }
    const bool is_bytes = value->type == NSM_BYTES || (flags & NSM_JSON_BYTES_AS_TEXT);
    write_binary(out, value->bytes, is_bytes ? "00" : "80");
}

void nsm_json_write_value(struct nsm_buf *out, const struct nsm_value *value, unsigned flags)
{
    switch (value->type) {
    case NSM_NULL:
        nsm_buf_append_cstr(out, "null");
        return;
    case NSM_BOOL:
        write_bool(out, value);
        return;
    case NSM_INT:
        write_int(out, value);
        return;
    case NSM_FLOAT:
        write_float(out, value);
        return;
    case NSM_TEXT:
    case NSM_BYTES:
        write_text(out, value, flags);
        return;
    case NSM_TIME:
    case NSM_UUID:
        if (is_plain_text(value->bytes))
            nsm_json_write_string(out, value->bytes);
        else
            write_marked(out, value);
        return;
    case NSM_NUMERIC:
    case NSM_JSON:
    case NSM_OTHER:
        write_marked(out, value);
        return;
    }
}

/* What a plain string stands for in a column of that type. */
static enum nsm_type type_of_string(enum nsm_type column_type, unsigned flags)
{
    if (flags & NSM_JSON_BYTES_AS_TEXT)
        return NSM_BYTES;
    return column_type == NSM_TIME || column_type == NSM_UUID ? column_type : NSM_TEXT;
}

void nsm_json_write_column_value(struct nsm_buf *out, const struct nsm_value *value,
                                 enum nsm_type column_type)
{
    const bool is_string =
        value->type == NSM_TEXT || value->type == NSM_TIME || value->type == NSM_UUID;
    if (is_string && value->type != type_of_string(column_type, 0) && is_plain_text(value->bytes))
        write_marked(out, value);
    else
        nsm_json_write_value(out, value, 0);
}

void nsm_json_write_item(struct nsm_buf *out, const struct nsm_value *value)
{
    nsm_json_write_value(out, value, NSM_JSON_BYTES_AS_TEXT);
}

void nsm_json_write_array(struct nsm_buf *out, const struct nsm_value *items, size_t n_items)
{
    nsm_buf_append_char(out, '[');
    for (size_t index = 0; index < n_items; index++) {
        if (index > 0)
            nsm_buf_append_char(out, ',');
        nsm_json_write_item(out, &items[index]);
    }
    nsm_buf_append_char(out, ']');
}

static void write_pairs(struct nsm_buf *out, const struct nsm_record *record)
{
    assert(record->n_items % 2 == 0);
    nsm_buf_append_char(out, '[');
    for (size_t index = 0; index < record->n_items; index += 2) {
        if (index > 0)
            nsm_buf_append_char(out, ',');
        nsm_json_write_array(out, &record->items[index], 2);
    }
    nsm_buf_append_char(out, ']');
}

void nsm_json_write_items(struct nsm_buf *out, const struct nsm_record *record)
{
    assert(record->kind != NSM_KIND_ROW && record->kind != NSM_KIND_DUMP);
    switch (record->kind) {
    case NSM_KIND_STRING:
        assert(record->n_items == 1);
        nsm_json_write_item(out, &record->items[0]);
        return;
    case NSM_KIND_HASH:
    case NSM_KIND_ZSET:
        write_pairs(out, record);
        return;
    case NSM_KIND_LIST:
    case NSM_KIND_SET:
        nsm_json_write_array(out, record->items, record->n_items);
        return;
    case NSM_KIND_STREAM:
        nsm_json_write_stream(out, record);
        return;
    case NSM_KIND_ROW:
    case NSM_KIND_DUMP:
        break;
    }
}

/* ---- reading ---- */

/* Not jansson's own text, which quotes the data. */
static const char *describe_json_error(const json_error_t *error)
{
    static const struct {
        enum json_error_code code;
        const char *text;
    } descriptions[] = {
        {json_error_invalid_utf8, "not valid UTF-8"},
        {json_error_premature_end_of_input, "ends too early"},
        {json_error_end_of_input_expected, "something follows the value"},
        {json_error_numeric_overflow, "a number is too large"},
        {json_error_null_character, "a string holds a NUL"},
        {json_error_null_byte_in_key, "a string holds a NUL"},
        {json_error_duplicate_key, "a key stands twice in one object"},
        {json_error_stack_overflow, "nested too deep"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(descriptions); index++) {
        if (descriptions[index].code == json_error_code(error))
            return descriptions[index].text;
    }
    return "not valid JSON";
}

struct nsm_error *nsm_json_parse(struct nsm_str text, struct json_t **ret)
{
    if (text.len > NSM_JSON_MAX_BYTES) {
        return nsm_error_new(NSM_E_CORRUPT, "%zu bytes of JSON are more than the most of %zu",
                             text.len, NSM_JSON_MAX_BYTES);
    }
    json_error_t error;
    json_t *const json = json_loadb(text.len ? text.ptr : "", text.len,
                                    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        return nsm_error_new(NSM_E_CORRUPT, "%s (at byte %d)", describe_json_error(&error),
                             error.position);
    }
    *ret = json;
    return NULL;
}

static const char *describe(const json_t *json)
{
    if (!json)
        return "nothing";
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

struct nsm_error *nsm_json_expected(const char *what, const json_t *found)
{
    return nsm_error_new(NSM_E_CORRUPT, "expected %s, found %s", what, describe(found));
}

static struct nsm_str string_view(const json_t *json)
{
    return (struct nsm_str){.ptr = json_string_value(json), .len = json_string_length(json)};
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits to up to three bytes; `n_digits` of them count, the rest is padding. Bits that no
 * byte takes must be zero, so that bytes have one spelling only. */
static bool decode_group(const char *digits, size_t n_digits, unsigned char *out)
{
    uint32_t bits = 0;
    for (size_t index = 0; index < 4; index++) {
        const int value = index < n_digits ? base64_value(digits[index]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    for (size_t index = 0; index < n_digits - 1; index++)
        out[index] = (unsigned char)(bits >> (16 - 8 * index));
    return (bits & ((UINT32_C(1) << (8 * (4 - n_digits))) - 1)) == 0;
}

static struct nsm_error *read_base64(struct nsm_arena *arena, struct nsm_str text,
                                     struct nsm_str *ret)
{
    if (text.len % 4 != 0)
        return nsm_error_new(NSM_E_CORRUPT, "base64 of %zu characters is cut off", text.len);
    unsigned char *const bytes = nsm_arena_alloc(arena, text.len / 4 * 3 + 1);
    size_t len = 0;
    for (size_t at = 0; at < text.len; at += 4) {
        size_t n_digits = 4;
        const bool is_last = at + 4 == text.len;
        while (is_last && n_digits > 2 && text.ptr[at + n_digits - 1] == '=')
            n_digits--;
        if (!decode_group(text.ptr + at, n_digits, bytes + len))
            return nsm_error_new(NSM_E_CORRUPT, "not valid base64 (at character %zu)", at);
        len += n_digits - 1;
    }
    *ret = (struct nsm_str){.ptr = (const char *)bytes, .len = len};
    return NULL;
}

static struct nsm_error *read_binary(struct nsm_arena *arena, const json_t *json,
                                     struct nsm_value *ret)
{
    const json_t *const base64 = json_object_get(json, "base64");
    const json_t *const sub_type = json_object_get(json, "subType");
    if (json_object_size(json) != 2 || !json_is_string(base64) || !json_is_string(sub_type)) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "expected {\"base64\":\"...\",\"subType\":\"...\"} in $binary");
    }
    const bool is_text = nsm_str_equals(string_view(sub_type), NSM_STR_LIT("80"));
    if (!is_text && !nsm_str_equals(string_view(sub_type), NSM_STR_LIT("00")))
        return nsm_error_new(NSM_E_CORRUPT, "expected the subType 00 or 80 in $binary");
    NSM_TRY(read_base64(arena, string_view(base64), &ret->bytes));
    ret->type = is_text ? NSM_TEXT : NSM_BYTES;
    return NULL;
}

/* {"$binary":{...}}, {"$numeric":"1.10"}, ... */
static struct nsm_error *read_marked(struct nsm_arena *arena, const json_t *json, unsigned flags,
                                     struct nsm_value *ret)
{
    const char *const mark = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)json));
    if (json_object_size(json) != 1 || mark[0] != '$')
        return nsm_json_expected("a value", json);
    const json_t *const content = json_object_get(json, mark);
    if (strcmp(mark, "$binary") == 0) {
        NSM_TRY(read_binary(arena, content, ret));
        if (flags & NSM_JSON_BYTES_AS_TEXT)
            ret->type = NSM_BYTES;
        return NULL;
    }
    enum nsm_type type;
    if (!nsm_type_parse(nsm_str_of(mark + 1), &type) || type == NSM_NULL || type == NSM_BYTES)
        return nsm_error_new(NSM_E_CORRUPT, "expected a value, found an object with a mark that "
                                            "is none of ours");
    struct nsm_value value = {.type = type};
    if (json_is_string(content)) {
        value.bytes = nsm_arena_copy(arena, string_view(content));
    } else {
        const json_t *const binary = json_object_get(content, "$binary");
        if (json_object_size(content) != 1 || !binary)
            return nsm_json_expected("a string behind the type's mark", content);
        NSM_TRY(read_binary(arena, binary, &value));
        value.type = type;
    }
    *ret = value;
    return NULL;
}

struct nsm_error *nsm_json_read_value(struct nsm_batch *batch, const struct json_t *json,
                                      enum nsm_type column_type, unsigned flags,
                                      struct nsm_value *ret)
{
    struct nsm_arena *const arena = &batch->arena;
    char text[32];
    size_t len;
    if (json_is_null(json)) {
        *ret = (struct nsm_value){.type = NSM_NULL};
        return NULL;
    }
    if (json_is_boolean(json)) {
        *ret = (struct nsm_value){
            .type = NSM_BOOL,
            .bytes = json_is_true(json) ? NSM_STR_LIT("t") : NSM_STR_LIT("f"),
        };
        return NULL;
    }
    if (json_is_integer(json)) {
        len = (size_t)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(json));
        ret->type = NSM_INT;
    } else if (json_is_real(json)) {
        len = nsm_format_double(json_real_value(json), text);
        ret->type = NSM_FLOAT;
    } else if (json_is_string(json)) {
        ret->type = type_of_string(column_type, flags);
        ret->bytes = nsm_arena_copy(arena, string_view(json));
        return NULL;
    } else if (json_is_object(json) && json_object_size(json) > 0) {
        return read_marked(arena, json, flags, ret);
    } else {
        return nsm_json_expected("a value", json);
    }
    ret->bytes = nsm_arena_copy(arena, (struct nsm_str){.ptr = text, .len = len});
    return NULL;
}

struct nsm_error *nsm_json_read_item(struct nsm_batch *batch, const struct json_t *json,
                                     struct nsm_value *ret)
{
    return nsm_json_read_value(batch, json, NSM_BYTES, NSM_JSON_BYTES_AS_TEXT, ret);
}

static void make_items(struct nsm_batch *batch, struct nsm_record *record, size_t n_items)
{
    record->items = nsm_arena_calloc(&batch->arena, n_items, sizeof(struct nsm_value));
    record->n_items = n_items;
}

static struct nsm_error *read_array(struct nsm_batch *batch, struct nsm_record *record,
                                    const json_t *json)
{
    if (!json_is_array(json))
        return nsm_json_expected("an array", json);
    make_items(batch, record, json_array_size(json));
    for (size_t index = 0; index < record->n_items; index++) {
        NSM_TRY_WRAP(nsm_json_read_item(batch, json_array_get(json, index), &record->items[index]),
                     "element %zu", index);
    }
    return NULL;
}

static struct nsm_error *read_score(struct nsm_batch *batch, const json_t *json,
                                    struct nsm_value *ret)
{
    struct nsm_value value;
    NSM_TRY(nsm_json_read_item(batch, json, &value));
    if (value.type == NSM_INT)
        value.type = NSM_FLOAT; /* 1 for 1.0, as other tools write it */
    double number;
    if (value.type != NSM_FLOAT || !nsm_parse_double(value.bytes, &number))
        return nsm_json_expected("a number as the score", json);
    *ret = value;
    return NULL;
}

static struct nsm_error *read_pairs(struct nsm_batch *batch, struct nsm_record *record,
                                    const json_t *json)
{
    if (!json_is_array(json))
        return nsm_json_expected("an array of pairs", json);
    const size_t n_pairs = json_array_size(json);
    make_items(batch, record, 2 * n_pairs);
    for (size_t index = 0; index < n_pairs; index++) {
        const json_t *const pair = json_array_get(json, index);
        if (json_array_size(pair) != 2)
            return nsm_error_wrap(nsm_json_expected("an array of two", pair), "element %zu", index);
        struct nsm_value *const items = &record->items[2 * index];
        NSM_TRY_WRAP(nsm_json_read_item(batch, json_array_get(pair, 0), &items[0]), "element %zu",
                     index);
        const json_t *const second = json_array_get(pair, 1);
        NSM_TRY_WRAP(record->kind == NSM_KIND_ZSET ? read_score(batch, second, &items[1])
                                                   : nsm_json_read_item(batch, second, &items[1]),
                     "element %zu", index);
    }
    return NULL;
}

struct nsm_error *nsm_json_read_items_of(struct nsm_batch *batch, struct nsm_record *record,
                                         const struct json_t *json)
{
    switch (record->kind) {
    case NSM_KIND_STRING:
        make_items(batch, record, 1);
        return nsm_json_read_item(batch, json, &record->items[0]);
    case NSM_KIND_HASH:
    case NSM_KIND_ZSET:
        return read_pairs(batch, record, json);
    case NSM_KIND_LIST:
    case NSM_KIND_SET:
        return read_array(batch, record, json);
    case NSM_KIND_STREAM:
        return nsm_json_read_stream(batch, record, json);
    case NSM_KIND_ROW:
    case NSM_KIND_DUMP:
        break;
    }
    return nsm_error_new(NSM_E_CORRUPT, "a %s has no items in JSON", nsm_kind_name(record->kind));
}

struct nsm_error *nsm_json_read_items(struct nsm_batch *batch, struct nsm_record *record,
                                      struct nsm_str text)
{
    json_t *json NSM_CLEANUP(json_decrefp) = NULL;
    NSM_TRY(nsm_json_parse(text, &json));
    return nsm_json_read_items_of(batch, record, json);
}
