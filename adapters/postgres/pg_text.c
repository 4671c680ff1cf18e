/*
 * Quoting and the forms of COPY data. The escapes are those of the server's CopyAttributeOutText()
 * and CopyReadAttributesText(): reading takes all of them, writing uses the few that COPY FROM
 * needs.
 */
#include "adapters/postgres/pg_text.h"

void nsm_pg_quote_ident(struct nsm_buf *out, const char *name)
{
    nsm_buf_append_char(out, '"');
    for (const char *at = name; *at; at++) {
        if (*at == '"')
            nsm_buf_append_char(out, '"');
        nsm_buf_append_char(out, *at);
    }
    nsm_buf_append_char(out, '"');
}

void nsm_pg_quote_qualified(struct nsm_buf *out, const char *schema, const char *name)
{
    nsm_pg_quote_ident(out, schema);
    nsm_buf_append_char(out, '.');
    nsm_pg_quote_ident(out, name);
}

void nsm_pg_quote_literal(struct nsm_buf *out, struct nsm_str text)
{
    nsm_buf_append_char(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            nsm_buf_append_char(out, '\'');
        nsm_buf_append_char(out, text.ptr[i]);
    }
    nsm_buf_append_char(out, '\'');
}

void nsm_pg_array_begin(struct nsm_buf *out)
{
    nsm_buf_append_char(out, '{');
}

void nsm_pg_array_add(struct nsm_buf *out, const char *element)
{
    if (out->len && out->ptr[out->len - 1] != '{')
        nsm_buf_append_char(out, ',');
    nsm_buf_append_char(out, '"');
    for (const char *at = element; *at; at++) {
        if (*at == '"' || *at == '\\')
            nsm_buf_append_char(out, '\\');
        nsm_buf_append_char(out, *at);
    }
    nsm_buf_append_char(out, '"');
}

void nsm_pg_array_end(struct nsm_buf *out)
{
    nsm_buf_append_char(out, '}');
}

/* ---- COPY, text ---- */

static const char hex_digits[] = "0123456789abcdef";

static void write_bytea(struct nsm_buf *out, struct nsm_str bytes)
{
    nsm_buf_append(out, "\\\\x", 3);
    char *const at = nsm_buf_reserve(out, 2 * bytes.len);
    if (!at)
        return;
    for (size_t i = 0; i < bytes.len; i++) {
        const unsigned char byte = (unsigned char)bytes.ptr[i];
        at[2 * i] = hex_digits[byte >> 4];
        at[2 * i + 1] = hex_digits[byte & 15];
    }
    nsm_buf_commit(out, 2 * bytes.len);
}

/* What stands behind the backslash for a byte that can't stand for itself; 0: it can. */
static char escape_of(char c)
{
    switch (c) {
    case '\\':
        return '\\';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

struct nsm_error *nsm_pg_copy_write_field(struct nsm_buf *out, const struct nsm_value *value,
                                          bool is_bytea)
{
    if (value->type == NSM_NULL) {
        nsm_buf_append(out, "\\N", 2);
        return NULL;
    }
    if (is_bytea) {
        write_bytea(out, value->bytes);
        return NULL;
    }
    const struct nsm_str bytes = value->bytes;
    if (bytes.len && memchr(bytes.ptr, '\0', bytes.len))
        return nsm_error_new(NSM_E_UNSUPPORTED, "a text value holds a NUL byte, which PostgreSQL "
                                                "can't store in text");
    size_t begin = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        const char escape = escape_of(bytes.ptr[i]);
        if (!escape)
            continue;
        nsm_buf_append(out, bytes.ptr + begin, i - begin);
        nsm_buf_append_char(out, '\\');
        nsm_buf_append_char(out, escape);
        begin = i + 1;
    }
    if (begin < bytes.len)
        nsm_buf_append(out, bytes.ptr + begin, bytes.len - begin);
    return NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte of \NNN or \xHH; `*i` stands on the first digit, and is left on the last one. */
static char read_number(struct nsm_str text, size_t *i, unsigned base, size_t max_digits)
{
    unsigned value = 0;
    size_t n = 0;
    while (n < max_digits && *i + n < text.len) {
        const int digit = hex_value(text.ptr[*i + n]);
        if (digit < 0 || (unsigned)digit >= base)
            break;
        value = value * base + (unsigned)digit;
        n++;
    }
    *i += n - 1;
    return (char)(unsigned char)value;
}

/* The byte that the escape at text[*i], behind the backslash, stands for; leaves *i on its last
 * byte. */
static char read_escape(struct nsm_str text, size_t *i)
{
    const char c = text.ptr[*i];
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'v':
        return '\v';
    case 'x':
        if (*i + 1 >= text.len || hex_value(text.ptr[*i + 1]) < 0)
            return c;
        ++*i;
        return read_number(text, i, 16, 2);
    default:
        return c >= '0' && c <= '7' ? read_number(text, i, 8, 3) : c;
    }
}

bool nsm_pg_copy_read_field(struct nsm_str *line, char **at, struct nsm_str *ret_field,
                            bool *ret_is_null)
{
    if (!line->ptr)
        return false;
    struct nsm_str text = *line;
    const char *const tab = text.len ? memchr(text.ptr, '\t', text.len) : NULL;
    if (tab) {
        text.len = (size_t)(tab - text.ptr);
        *line = nsm_str_skip(*line, text.len + 1);
    } else {
        if (text.len && text.ptr[text.len - 1] == '\n')
            text.len--;
        *line = (struct nsm_str){0};
    }
    *ret_is_null = text.len == 2 && text.ptr[0] == '\\' && text.ptr[1] == 'N';
    char *to = *at;
    ret_field->ptr = to;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' && i + 1 < text.len) {
            i++;
            c = read_escape(text, &i);
        }
        *to++ = c;
    }
    ret_field->len = *ret_is_null ? 0 : (size_t)(to - ret_field->ptr);
    *at = to;
    return true;
}

bool nsm_pg_bytea_decode(struct nsm_str *field)
{
    if (field->len < 2 || field->len % 2 || field->ptr[0] != '\\' || field->ptr[1] != 'x')
        return false;
    /* The field lies in memory that the caller just wrote: see nsm_pg_copy_read_field(). */
    char *const bytes = (char *)(uintptr_t)field->ptr;
    const size_t n = field->len / 2 - 1;
    for (size_t i = 0; i < n; i++) {
        const int high = hex_value(bytes[2 * i + 2]);
        const int low = hex_value(bytes[2 * i + 3]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (char)(unsigned char)(high << 4 | low);
    }
    field->len = n;
    return true;
}

/* ---- COPY, binary ---- */

bool nsm_pg_binary_skip_header(struct nsm_str *data)
{
    const struct nsm_str header = NSM_PG_BINARY_HEADER;
    const size_t n_signature = 11;
    if (data->len < header.len || memcmp(data->ptr, header.ptr, n_signature) != 0)
        return false;
    size_t n_extension = 0;
    for (size_t i = header.len - 4; i < header.len; i++)
        n_extension = n_extension << 8 | (unsigned char)data->ptr[i];
    if (n_extension > data->len - header.len)
        return false;
    *data = nsm_str_skip(*data, header.len + n_extension);
    return true;
}

bool nsm_pg_binary_is_trailer(struct nsm_str data)
{
    return nsm_str_equals(data, NSM_PG_BINARY_TRAILER);
}
