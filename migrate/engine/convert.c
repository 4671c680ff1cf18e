/*
 * Values of one store as values of another: the conversions that lose nothing, and no others. A value that the column's type can't
 * hold exactly is an error, never a near miss; and what comes out is in the canonical form in which the destination gives it back, so
 * that digests of both sides agree.
 */
#include "migrate/engine/layout.h"

#include "migrate/base/parse.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

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

static bool is_zero(struct nsm_str decimal)
{
    for (size_t at = 0; at < decimal.len; at++) {
        if (decimal.ptr[at] >= '1' && decimal.ptr[at] <= '9')
            return false;
    }
    return true;
}

/* Digits, perhaps a sign before and a fraction behind, no zeros in front, zero without a sign: what no store would write otherwise. */
static bool is_canonical_decimal(struct nsm_str text)
{
    size_t at = 0;
    const bool is_negative = skip_char(text, &at, '-');
    const size_t begin = at;
    const size_t n_digits = skip_digits(text, &at, SIZE_MAX);
    if (n_digits == 0 || (n_digits > 1 && text.ptr[begin] == '0'))
        return false;
    if (skip_char(text, &at, '.') && skip_digits(text, &at, SIZE_MAX) == 0)
        return false;
    return at == text.len && !(is_negative && is_zero(text));
}

/* What a numeric may be besides a decimal. */
static bool is_special_numeric(struct nsm_str text)
{
    return nsm_str_equals(text, NSM_STR_LIT("NaN")) ||
           nsm_str_equals(text, NSM_STR_LIT("Infinity")) ||
           nsm_str_equals(text, NSM_STR_LIT("-Infinity"));
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

/* In the form of a FLOAT; false when the nearest double is another number. */
static bool int_as_float(struct nsm_arena *arena, struct nsm_str text, struct nsm_str *ret)
{
    int64_t number = 0;
    if (!nsm_parse_i64(text, &number))
        return false;
    const double nearest = (double)number;
    /* 2^63 itself is no int64_t, and what rounds up to it is not exact */
    if (nearest >= 0x1p63 || (int64_t)nearest != number)
        return false;
    char out[32];
    const struct nsm_str written = {.ptr = out, .len = nsm_format_double(nearest, out)};
    *ret = nsm_str_equals(written, text) ? text : nsm_arena_copy(arena, written);
    return true;
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

/* False for -0, whose sign a numeric has no place for. */
static bool float_as_numeric(struct nsm_arena *arena, struct nsm_str text, struct nsm_str *ret)
{
    double number = 0.0;
    if (!nsm_parse_double(text, &number) || (number == 0.0 && signbit(number)))
        return false;
    if (isnan(number))
        *ret = NSM_STR_LIT("NaN");
    else if (isinf(number))
        *ret = number > 0 ? NSM_STR_LIT("Infinity") : NSM_STR_LIT("-Infinity");
    else
        *ret = expand_exponent(arena, text);
    return true;
}

/* ---- times ---- */

/* Two digits that say a number from `low` to `high`. */
static bool skip_pair(struct nsm_str text, size_t *at, int low, int high)
{
    if (skip_digits(text, at, 2) != 2)
        return false;
    const int number = (text.ptr[*at - 2] - '0') * 10 + (text.ptr[*at - 1] - '0');
    return number >= low && number <= high;
}

/* "2026-01-31"; a year of more than four digits has no zero in front. Whether the day exists the store knows. */
static bool skip_date(struct nsm_str text, size_t *at)
{
    const size_t begin = *at;
    const size_t n_digits = skip_digits(text, at, 7);
    if (n_digits < 4 || (n_digits > 4 && text.ptr[begin] == '0'))
        return false;
    return skip_char(text, at, '-') && skip_pair(text, at, 1, 12) && skip_char(text, at, '-') &&
           skip_pair(text, at, 1, 31);
}

/* "12:00:00.5": no zeros at the end of the fraction, no leap second. */
static bool skip_time(struct nsm_str text, size_t *at)
{
    if (!skip_pair(text, at, 0, 23) || !skip_char(text, at, ':') || !skip_pair(text, at, 0, 59) ||
        !skip_char(text, at, ':') || !skip_pair(text, at, 0, 59))
        return false;
    if (!skip_char(text, at, '.'))
        return true;
    return skip_digits(text, at, 6) > 0 && text.ptr[*at - 1] != '0';
}

static bool skip_text(struct nsm_str text, size_t *at, struct nsm_str wanted)
{
    if (text.len - *at < wanted.len || memcmp(text.ptr + *at, wanted.ptr, wanted.len) != 0)
        return false;
    *at += wanted.len;
    return true;
}

struct time_form {
    const char *type_name;
    bool has_date, has_time, has_zone;
};

/* NULL for what has no form of ours, as an interval. */
static const struct time_form *form_of(const char *type_name)
{
    static const struct time_form forms[] = {
        {"date", true, false, false},      {"time", false, true, false},
        {"timetz", false, true, true},     {"timestamp", true, true, false},
        {"timestamptz", true, true, true},
    };
    for (size_t at = 0; at < NSM_COUNT_OF(forms); at++) {
        if (strcmp(forms[at].type_name, type_name) == 0)
            return &forms[at];
    }
    return NULL;
}

static bool is_canonical_time(struct nsm_str text, const char *type_name)
{
    const struct time_form *const form = form_of(type_name);
    if (!form)
        return false;
    if (form->has_date && (nsm_str_equals(text, NSM_STR_LIT("infinity")) ||
                           nsm_str_equals(text, NSM_STR_LIT("-infinity"))))
        return true;
    size_t at = 0;
    if (form->has_date && !skip_date(text, &at))
        return false;
    if (form->has_date && form->has_time && !skip_char(text, &at, ' '))
        return false;
    if (form->has_time && !skip_time(text, &at))
        return false;
    if (form->has_zone && !skip_text(text, &at, NSM_STR_LIT("+00")))
        return false;
    if (form->has_date)
        (void)skip_text(text, &at, NSM_STR_LIT(" BC"));
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
    if (from->type == NSM_TEXT)
        return nsm_str_equals(text, NSM_STR_LIT("t")) || nsm_str_equals(text, NSM_STR_LIT("f"));
    if (from->type != NSM_INT)
        return false;
    *ret = nsm_str_equals(text, NSM_STR_LIT("1")) ? NSM_STR_LIT("t") : NSM_STR_LIT("f");
    return nsm_str_equals(text, NSM_STR_LIT("0")) || nsm_str_equals(text, NSM_STR_LIT("1"));
}

static bool to_int(const struct nsm_value *from, struct nsm_str *ret)
{
    if (from->type == NSM_BOOL) {
        *ret = nsm_str_equals(from->bytes, NSM_STR_LIT("t")) ? NSM_STR_LIT("1") : NSM_STR_LIT("0");
        return true;
    }
    return (from->type == NSM_TEXT || from->type == NSM_NUMERIC) && is_canonical_int(from->bytes);
}

static bool to_float(struct nsm_arena *arena, const struct nsm_value *from, struct nsm_str *ret)
{
    if (from->type == NSM_INT)
        return int_as_float(arena, from->bytes, ret);
    return (from->type == NSM_TEXT || from->type == NSM_NUMERIC) && is_canonical_float(from->bytes);
}

static bool to_numeric(struct nsm_arena *arena, const struct nsm_value *from, struct nsm_str *ret)
{
    if (from->type == NSM_FLOAT)
        return float_as_numeric(arena, from->bytes, ret);
    return from->type == NSM_INT || (from->type == NSM_TEXT && (is_canonical_decimal(from->bytes) ||
                                                                is_special_numeric(from->bytes)));
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
        return to_float(arena, from, ret);
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

/* ---- what a column's own type would cut off, pad or round without a word ---- */

/* The numbers in "numeric(10,2)", "character(4)"; how many there are, at most two. */
static size_t modifiers_of(const char *type_name, int64_t *ret)
{
    const char *const open = strchr(type_name, '(');
    const char *const close = open ? strchr(open, ')') : NULL;
    if (!close)
        return 0;
    const char *const comma = memchr(open, ',', (size_t)(close - open));
    const char *const end = comma ? comma : close;
    if (!nsm_parse_i64((struct nsm_str){open + 1, (size_t)(end - open - 1)}, &ret[0]))
        return 0;
    return comma && nsm_parse_i64((struct nsm_str){comma + 1, (size_t)(close - comma - 1)}, &ret[1])
               ? 2
               : 1;
}

/* numeric(10,2) gives all numbers back with two digits behind the point. */
static bool keeps_scale(struct nsm_str text, const char *type_name)
{
    int64_t modifiers[2] = {0, 0};
    if (modifiers_of(type_name, modifiers) == 0 || text.len == 0 ||
        !is_digit(text.ptr[text.len - 1]))
        return true; /* or no number: what of NaN and Infinity it takes, the store says */
    const char *const point = memchr(text.ptr, '.', text.len);
    const int64_t n_fraction = point ? (int64_t)(text.ptr + text.len - point) - 1 : 0;
    int64_t n_zeros = 0;
    while (n_zeros < (int64_t)text.len && text.ptr[text.len - 1 - (size_t)n_zeros] == '0')
        n_zeros++;
    return modifiers[1] >= 0 ? n_fraction == modifiers[1]
                             : n_fraction == 0 && (n_zeros >= -modifiers[1] || is_zero(text));
}

/* The number that a 4-byte float gives back is its shortest decimal, read as a double. */
static bool survives_as_real(struct nsm_str text)
{
    double number = 0.0;
    if (!nsm_parse_double(text, &number) || !isfinite(number))
        return true;
    if (fabs(number) >= 0x1.ffffffp127) /* half a step above FLT_MAX: rounds to infinity */
        return false;
    const float nearest = (float)number;
    char shortest[32];
    for (int digits = 1; digits <= FLT_DECIMAL_DIG; digits++) {
        const int len = snprintf(shortest, sizeof(shortest), "%.*g", digits, (double)nearest);
        double again = 0.0;
        if (nsm_parse_double((struct nsm_str){shortest, (size_t)len}, &again) &&
            (float)again == nearest)
            return again == number;
    }
    return false;
}

static bool keeps_text(struct nsm_str text, const char *type_name)
{
    int64_t modifiers[2] = {0, 0};
    if (strncmp(type_name, "character(", 10) == 0 && modifiers_of(type_name, modifiers) == 1) {
        int64_t n_characters = 0;
        for (size_t at = 0; at < text.len; at++)
            n_characters += ((unsigned char)text.ptr[at] & 0xc0) != 0x80;
        return n_characters == modifiers[0];
    }
    if (strcmp(type_name, "name") == 0)
        return text.len < 64;
    return strcmp(type_name, "\"char\"") != 0 || text.len <= 1;
}

static bool comes_back(const struct nsm_value *value, const char *type_name)
{
    if (value->type == NSM_NUMERIC)
        return keeps_scale(value->bytes, type_name);
    if (value->type == NSM_FLOAT)
        return strcmp(type_name, "real") != 0 || survives_as_real(value->bytes);
    if (value->type == NSM_TEXT)
        return keeps_text(value->bytes, type_name);
    return true;
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
    struct nsm_value converted = {.type = to->type, .bytes = value->bytes};
    if (value->type != to->type && !convert_bytes(arena, value, to, &converted.bytes))
        return refuse(value, to, "it would not come back as it is");
    if (value->type == NSM_TEXT && to->type == NSM_TEXT && !is_text(value->bytes))
        return refuse(value, to, "it is not UTF-8, or holds a NUL");
    if (to->type_name[0] && !comes_back(&converted, to->type_name))
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
