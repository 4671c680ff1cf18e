/*
 * Values of one store as values of another: the conversions that lose nothing, and no others. A value that the column's type can't
 * hold exactly is an error, never a near miss; and what comes out is in the canonical form in which the destination gives it back, so
 * that digests of both sides agree.
 */
#include "migrate/engine/layout.h"

#include "migrate/base/parse.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Integers up to here are doubles exactly. */
#define MAX_EXACT_INT (INT64_C(1) << 53)

static struct nsm_error *refuse(const struct nsm_value *value, const struct nsm_column *to,
                                const char *why)
{
    return nsm_error_new(
        NSM_E_UNSUPPORTED, "column %s: a value of type %s can't be stored as %s%s%s", to->name,
        nsm_type_name(value->type), to->type_name[0] ? to->type_name : nsm_type_name(to->type),
        why[0] ? ": " : "", why);
}

static bool is_text(struct nsm_str bytes)
{
    return nsm_is_utf8(bytes) && (bytes.len == 0 || !memchr(bytes.ptr, '\0', bytes.len));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Skips up to `max` digits from `at`; how many there were. */
static size_t skip_digits(struct nsm_str text, size_t *at, size_t max)
{
    const size_t begin = *at;
    while (*at < text.len && *at - begin < max && is_digit(text.ptr[*at]))
        (*at)++;
    return *at - begin;
}

static bool skip_char(struct nsm_str text, size_t *at, char c)
{
    if (*at >= text.len || text.ptr[*at] != c)
        return false;
    (*at)++;
    return true;
}

/* ---- numbers ---- */

/* Digits, perhaps a sign before and a fraction behind, no zeros in front: what no store would write otherwise. */
static bool is_canonical_decimal(struct nsm_str text)
{
    size_t at = 0;
    (void)skip_char(text, &at, '-');
    const size_t begin = at;
    const size_t n_digits = skip_digits(text, &at, SIZE_MAX);
    if (n_digits == 0 || (n_digits > 1 && text.ptr[begin] == '0'))
        return false;
    if (skip_char(text, &at, '.') && skip_digits(text, &at, SIZE_MAX) == 0)
        return false;
    return at == text.len;
}

static bool is_canonical_int(struct nsm_str text)
{
    int64_t number;
    if (!nsm_parse_i64(text, &number))
        return false;
    char canonical[24];
    const int len = snprintf(canonical, sizeof(canonical), "%" PRId64, number);
    return nsm_str_equals(text, (struct nsm_str){.ptr = canonical, .len = (size_t)len});
}

static bool is_canonical_float(struct nsm_str text)
{
    double number;
    if (!nsm_parse_double(text, &number))
        return false;
    char canonical[32];
    const size_t len = nsm_format_double(number, canonical);
    return nsm_str_equals(text, (struct nsm_str){.ptr = canonical, .len = len});
}

static bool is_exact_as_double(struct nsm_str text)
{
    int64_t number;
    return nsm_parse_i64(text, &number) && number <= MAX_EXACT_INT && number >= -MAX_EXACT_INT;
}

/* "1.5e-07" as "0.00000015": a numeric has no exponent. At most 17 digits and an exponent of three. */
static struct nsm_str expand_exponent(struct nsm_arena *arena, struct nsm_str text)
{
    const char *const mark = memchr(text.ptr, 'e', text.len);
    if (!mark)
        return text;
    const size_t n_mantissa = (size_t)(mark - text.ptr);
    int64_t exponent = 0;
    const size_t n_sign = mark[1] == '+' ? 2 : 1;
    if (!nsm_parse_i64(nsm_str_skip(text, n_mantissa + n_sign), &exponent))
        return text;
    char digits[32];
    size_t n_digits = 0;
    int64_t point = 0; /* digits before the point */
    bool has_point = false;
    for (size_t at = 0; at < n_mantissa && n_digits < sizeof(digits); at++) {
        if (text.ptr[at] == '.')
            has_point = true;
        else if (is_digit(text.ptr[at]))
            digits[n_digits++] = text.ptr[at];
        if (!has_point && is_digit(text.ptr[at]))
            point++;
    }
    point += exponent;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_INIT(1024);
    if (text.ptr[0] == '-')
        nsm_buf_append_char(&out, '-');
    if (point <= 0)
        nsm_buf_append_cstr(&out, "0.");
    for (int64_t at = point; at < 0; at++)
        nsm_buf_append_char(&out, '0');
    for (size_t at = 0; at < n_digits; at++) {
        if (at > 0 && (int64_t)at == point)
            nsm_buf_append_char(&out, '.');
        nsm_buf_append_char(&out, digits[at]);
    }
    for (int64_t at = (int64_t)n_digits; at < point; at++)
        nsm_buf_append_char(&out, '0');
    return nsm_arena_copy(arena, nsm_buf_view(&out));
}

static struct nsm_str float_as_numeric(struct nsm_arena *arena, struct nsm_str text)
{
    double number = 0.0;
    if (!nsm_parse_double(text, &number))
        return text;
    if (isnan(number))
        return NSM_STR_LIT("NaN");
    if (isinf(number))
        return number > 0 ? NSM_STR_LIT("Infinity") : NSM_STR_LIT("-Infinity");
    return expand_exponent(arena, text);
}

/* ---- times ---- */

/* "2026-01-31", as many digits of the year as it has, but at least four. */
static bool skip_date(struct nsm_str text, size_t *at)
{
    return skip_digits(text, at, 7) >= 4 && skip_char(text, at, '-') &&
           skip_digits(text, at, 2) == 2 && skip_char(text, at, '-') &&
           skip_digits(text, at, 2) == 2;
}

/* "12:00:00.5": no zeros at the end of the fraction. */
static bool skip_time(struct nsm_str text, size_t *at)
{
    if (skip_digits(text, at, 2) != 2 || !skip_char(text, at, ':') ||
        skip_digits(text, at, 2) != 2 || !skip_char(text, at, ':') || skip_digits(text, at, 2) != 2)
        return false;
    if (!skip_char(text, at, '.'))
        return true;
    return skip_digits(text, at, 6) > 0 && text.ptr[*at - 1] != '0';
}

static bool is_canonical_time(struct nsm_str text, const char *type_name)
{
    size_t at = 0;
    const bool has_date = strcmp(type_name, "time") != 0 && strcmp(type_name, "timetz") != 0;
    const bool has_time = strcmp(type_name, "date") != 0;
    const bool has_zone = strcmp(type_name, "timestamptz") == 0 || strcmp(type_name, "timetz") == 0;
    if (has_date && !skip_date(text, &at))
        return false;
    if (has_date && has_time && !skip_char(text, &at, ' '))
        return false;
    if (has_time && !skip_time(text, &at))
        return false;
    if (has_zone &&
        !(skip_char(text, &at, '+') && skip_char(text, &at, '0') && skip_char(text, &at, '0')))
        return false;
    return at == text.len;
}

static bool is_canonical_uuid(struct nsm_str text)
{
    if (text.len != 36)
        return false;
    for (size_t at = 0; at < text.len; at++) {
        const bool is_hyphen = at == 8 || at == 13 || at == 18 || at == 23;
        const char c = text.ptr[at];
        if (is_hyphen ? c != '-' : !(is_digit(c) || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

/* ---- one function per type of the destination ---- */

static bool to_bool(const struct nsm_value *from, struct nsm_str *ret)
{
    const struct nsm_str text = from->bytes;
    if (from->type != NSM_INT && from->type != NSM_TEXT)
        return false;
    if (nsm_str_equals(text, NSM_STR_LIT("1")) || nsm_str_equals(text, NSM_STR_LIT("t")))
        *ret = NSM_STR_LIT("t");
    else if (nsm_str_equals(text, NSM_STR_LIT("0")) || nsm_str_equals(text, NSM_STR_LIT("f")))
        *ret = NSM_STR_LIT("f");
    else
        return false;
    return true;
}

static bool to_int(const struct nsm_value *from, struct nsm_str *ret)
{
    if (from->type == NSM_BOOL) {
        *ret = nsm_str_equals(from->bytes, NSM_STR_LIT("t")) ? NSM_STR_LIT("1") : NSM_STR_LIT("0");
        return true;
    }
    return (from->type == NSM_TEXT || from->type == NSM_NUMERIC) && is_canonical_int(from->bytes);
}

static bool to_float(const struct nsm_value *from)
{
    if (from->type == NSM_INT)
        return is_exact_as_double(from->bytes);
    return (from->type == NSM_TEXT || from->type == NSM_NUMERIC) && is_canonical_float(from->bytes);
}

static bool to_numeric(struct nsm_arena *arena, const struct nsm_value *from, struct nsm_str *ret)
{
    if (from->type == NSM_FLOAT)
        *ret = float_as_numeric(arena, from->bytes);
    return from->type == NSM_INT || from->type == NSM_FLOAT ||
           (from->type == NSM_TEXT && is_canonical_decimal(from->bytes));
}

/* What the destination gives back for the value, in `ret`, preset with the value's own bytes. */
static bool convert_bytes(struct nsm_arena *arena, const struct nsm_value *from,
                          const struct nsm_column *to, struct nsm_str *ret)
{
    switch (to->type) {
    case NSM_BOOL:
        return to_bool(from, ret);
    case NSM_INT:
        return to_int(from, ret);
    case NSM_FLOAT:
        return to_float(from);
    case NSM_NUMERIC:
        return to_numeric(arena, from, ret);
    case NSM_TEXT:
        return from->type != NSM_BYTES || is_text(from->bytes);
    case NSM_BYTES:
        return from->type == NSM_TEXT || from->type == NSM_JSON;
    case NSM_TIME:
        return from->type == NSM_TEXT && is_canonical_time(from->bytes, to->type_name);
    case NSM_UUID:
        return from->type == NSM_TEXT && is_canonical_uuid(from->bytes);
    case NSM_JSON:
        /* jsonb would give it back in another spelling */
        return from->type == NSM_TEXT && strcmp(to->type_name, "jsonb") != 0;
    case NSM_NULL:
    case NSM_OTHER:
        break;
    }
    return false;
}

struct nsm_error *nsm_value_convert(struct nsm_arena *arena, const struct nsm_value *value,
                                    const struct nsm_column *to, struct nsm_value *ret)
{
    if (value->type == NSM_NULL) {
        if (to->is_not_null)
            return refuse(value, to, "the column is not null");
        *ret = *value;
        return NULL;
    }
    if (value->type == to->type) {
        if (value->type == NSM_TEXT && !is_text(value->bytes))
            return refuse(value, to, "it is not UTF-8, or holds a NUL");
        *ret = *value;
        return NULL;
    }
    struct nsm_value converted = {.type = to->type, .bytes = value->bytes};
    if (!convert_bytes(arena, value, to, &converted.bytes))
        return refuse(value, to, "it would not come back as it is");
    *ret = converted;
    return NULL;
}

bool nsm_type_may_convert(enum nsm_type from, enum nsm_type to)
{
    if (from == to || from == NSM_NULL || to == NSM_TEXT)
        return true;
    switch (to) {
    case NSM_BOOL:
        return from == NSM_INT || from == NSM_TEXT;
    case NSM_INT:
        return from == NSM_BOOL || from == NSM_TEXT || from == NSM_NUMERIC;
    case NSM_FLOAT:
        return from == NSM_INT || from == NSM_TEXT || from == NSM_NUMERIC;
    case NSM_NUMERIC:
        return from == NSM_INT || from == NSM_FLOAT || from == NSM_TEXT;
    case NSM_BYTES:
        return from == NSM_TEXT || from == NSM_JSON;
    case NSM_TIME:
    case NSM_UUID:
    case NSM_JSON:
        return from == NSM_TEXT;
    case NSM_NULL:
    case NSM_TEXT:
    case NSM_OTHER:
        break;
    }
    return false;
}
