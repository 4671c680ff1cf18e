/*
 * Text to numbers and back. strtod() and printf() do the digits, under the C locale; the grammar is checked here
 * first, since strtod() also takes blanks, hexadecimal and nan(...).
 */
#include "migrate/base/parse.h"

#include "migrate/base/decimal.h"

#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    /* The longest exact decimal form of a double has 1,077 characters; longer text is no number that anyone wrote. */
    DOUBLE_TEXT_MAX = 2048,
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(struct nsm_str s)
{
    size_t n = 0;
    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    return n;
}

bool nsm_parse_u64(struct nsm_str text, uint64_t *ret)
{
    if (text.len == 0 || count_digits(text) != text.len)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

bool nsm_parse_i64(struct nsm_str text, int64_t *ret)
{
    const bool is_negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude = 0;
    if (!nsm_parse_u64(nsm_str_skip(text, is_negative), &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret = (int64_t)(is_negative ? -magnitude : magnitude);
    return true;
}

static bool equals_ignoring_case(struct nsm_str s, const char *name)
{
    return s.len == strlen(name) && strncasecmp(s.ptr, name, s.len) == 0;
}

/* digits [. digits] [e [sign] digits], with a digit before or after the point. */
static bool is_decimal(struct nsm_str s)
{
    const size_t n_whole = count_digits(s);
    s = nsm_str_skip(s, n_whole);
    size_t n_fraction = 0;
    if (s.len > 0 && s.ptr[0] == '.') {
        s = nsm_str_skip(s, 1);
        n_fraction = count_digits(s);
        s = nsm_str_skip(s, n_fraction);
    }
    if (n_whole + n_fraction == 0)
        return false;
    if (s.len == 0)
        return true;
    if (s.ptr[0] != 'e' && s.ptr[0] != 'E')
        return false;
    s = nsm_str_skip(s, 1);
    if (s.len > 0 && (s.ptr[0] == '+' || s.ptr[0] == '-'))
        s = nsm_str_skip(s, 1);
    return s.len > 0 && count_digits(s) == s.len;
}

/* Whether a digit other than 0 stands before the exponent. */
static bool is_nonzero_decimal(struct nsm_str s)
{
    for (size_t i = 0; i < s.len && s.ptr[i] != 'e' && s.ptr[i] != 'E'; i++)
        if (s.ptr[i] >= '1' && s.ptr[i] <= '9')
            return true;
    return false;
}

/* glibc's "C" is a constant object: this neither allocates nor needs to be freed. */
static locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* A decimal of up to 19 digits without an exponent, as nearly all are; false for others, and where it is not decided. */
static bool parse_short_decimal(struct nsm_str s, double *ret)
{
    uint64_t mantissa = 0;
    int n_fraction = 0;
    bool has_point = false;
    if (s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (is_digit(s.ptr[i])) {
            mantissa = mantissa * 10 + (uint64_t)(s.ptr[i] - '0');
            n_fraction += has_point;
        } else if (s.ptr[i] == '.' && !has_point) {
            has_point = true;
        } else {
            return false;
        }
    }
    return s.len > has_point && s.len - has_point <= 19 &&
           nsm_decimal_to_double(mantissa, -n_fraction, ret);
}

bool nsm_parse_double(struct nsm_str text, double *ret)
{
    if (!text.ptr)
        return false;
    const bool has_sign = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+');
    const double sign = has_sign && text.ptr[0] == '-' ? -1.0 : 1.0;
    const struct nsm_str rest = nsm_str_skip(text, has_sign);

    double magnitude = 0.0;
    if (parse_short_decimal(rest, &magnitude)) {
        *ret = sign * magnitude;
        return true;
    }
    if (equals_ignoring_case(rest, "nan")) {
        *ret = copysign((double)NAN, sign);
        return true;
    }
    if (equals_ignoring_case(rest, "inf") || equals_ignoring_case(rest, "infinity")) {
        *ret = copysign((double)INFINITY, sign);
        return true;
    }
    if (rest.len >= DOUBLE_TEXT_MAX || !is_decimal(rest))
        return false;

    char digits[DOUBLE_TEXT_MAX];
    memcpy(digits, rest.ptr, rest.len);
    digits[rest.len] = '\0';
    const double value = strtod_l(digits, NULL, c_locale());
    /* Too large, or so small that nothing of it is left. */
    if (isinf(value) || (value == 0.0 && is_nonzero_decimal(rest)))
        return false;
    *ret = sign * value;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A whole number and one of `units`; an unlisted unit is no match. */
static bool parse_quantity(struct nsm_str text, const struct unit *units, size_t n_units,
                           uint64_t *ret)
{
    const size_t n_digits = count_digits(text);
    uint64_t number = 0;
    if (!nsm_parse_u64((struct nsm_str){.ptr = text.ptr, .len = n_digits}, &number))
        return false;
    const struct nsm_str unit = nsm_str_skip(text, n_digits);
    for (size_t i = 0; i < n_units; i++)
        if (nsm_str_equals(unit, nsm_str_of(units[i].name)))
            return !__builtin_mul_overflow(number, units[i].factor, ret);
    return false;
}

bool nsm_parse_duration_ms(struct nsm_str text, int64_t *ret_ms)
{
    static const struct unit units[] = {
        {"ms", 1},
        {"s", UINT64_C(1000)},
        {"m", UINT64_C(60) * 1000},
        {"h", UINT64_C(3600) * 1000},
        {"d", UINT64_C(24) * 3600 * 1000},
    };
    uint64_t ms = 0;
    if (nsm_str_equals(text, NSM_STR_LIT("0"))) {
        *ret_ms = 0;
        return true;
    }
    if (!parse_quantity(text, units, NSM_COUNT_OF(units), &ms) || ms > INT64_MAX)
        return false;
    *ret_ms = (int64_t)ms;
    return true;
}

bool nsm_parse_size(struct nsm_str text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", UINT64_C(1) << 10},
        {"MiB", UINT64_C(1) << 20},
        {"GiB", UINT64_C(1) << 30},
        {"TiB", UINT64_C(1) << 40},
        {"KB", UINT64_C(1000)},
        {"MB", UINT64_C(1000) * 1000},
        {"GB", UINT64_C(1000) * 1000 * 1000},
        {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    };
    uint64_t bytes = 0;
    if (!parse_quantity(text, units, NSM_COUNT_OF(units), &bytes))
        return false;
    *ret_bytes = bytes;
    return true;
}

/* Takes one character of a set, after its backslash if there is one. */
static unsigned char take_set_char(struct nsm_str set, size_t *at)
{
    if (set.ptr[*at] == '\\' && *at + 1 < set.len)
        (*at)++;
    return (unsigned char)set.ptr[(*at)++];
}

/* The length of the set that begins at `pattern`, with both brackets; 0 when it has no end, and is a plain '['. */
static size_t set_length(struct nsm_str pattern)
{
    size_t at = 1;
    if (at < pattern.len && (pattern.ptr[at] == '!' || pattern.ptr[at] == '^'))
        at++;
    if (at < pattern.len && pattern.ptr[at] == ']')
        at++; /* as the first of a set, it is a member */
    while (at < pattern.len && pattern.ptr[at] != ']')
        at += pattern.ptr[at] == '\\' ? 2 : 1;
    return at < pattern.len ? at + 1 : 0;
}

/* `set` is what stands between the brackets. */
static bool set_has(struct nsm_str set, unsigned char c)
{
    size_t at = 0;
    const bool is_negated = set.len > 0 && (set.ptr[0] == '!' || set.ptr[0] == '^');
    if (is_negated)
        at++;
    bool is_member = false;
    while (at < set.len) {
        const unsigned char low = take_set_char(set, &at);
        unsigned char high = low;
        if (at + 1 < set.len && set.ptr[at] == '-') {
            at++;
            high = take_set_char(set, &at);
        }
        if (c >= low && c <= high)
            is_member = true;
    }
    return is_member != is_negated;
}

/* How many bytes of `pattern` match the one character `c`; 0 when they don't. '*' is the caller's. */
static size_t match_one(struct nsm_str pattern, char c)
{
    if (pattern.ptr[0] == '?')
        return 1;
    const size_t n_set = pattern.ptr[0] == '[' ? set_length(pattern) : 0;
    if (n_set) {
        const struct nsm_str set = {.ptr = pattern.ptr + 1, .len = n_set - 2};
        return set_has(set, (unsigned char)c) ? n_set : 0;
    }
    if (pattern.ptr[0] == '\\' && pattern.len > 1)
        return pattern.ptr[1] == c ? 2 : 0;
    return pattern.ptr[0] == c ? 1 : 0;
}

bool nsm_glob_matches(struct nsm_str pattern, struct nsm_str text)
{
    /* Only the last star is ever tried again: what an earlier one could take, the last one can take too. */
    bool has_star = false;
    struct nsm_str after_star = {0};
    struct nsm_str retry_text = {0};

    for (;;) {
        if (pattern.len > 0 && pattern.ptr[0] == '*') {
            pattern = nsm_str_skip(pattern, 1);
            has_star = true;
            after_star = pattern;
            retry_text = text;
            continue;
        }
        if (pattern.len == 0 && text.len == 0)
            return true;
        const size_t n = pattern.len > 0 && text.len > 0 ? match_one(pattern, text.ptr[0]) : 0;
        if (n) {
            pattern = nsm_str_skip(pattern, n);
            text = nsm_str_skip(text, 1);
            continue;
        }
        if (!has_star || retry_text.len == 0)
            return false;
        retry_text = nsm_str_skip(retry_text, 1);
        text = retry_text;
        pattern = after_star;
    }
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* The length of the well-formed sequence at `p` that is not ASCII, or 0 (table 3-7 of the Unicode standard). */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    const size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (len < n)
        return 0;
    const unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (!is_continuation(p[i]))
            return 0;
    return n;
}

bool nsm_is_utf8(struct nsm_str text)
{
    const unsigned char *const p = (const unsigned char *)text.ptr;
    size_t at = 0;
    while (at < text.len) {
        uint64_t eight = 0;
        if (text.len - at >= sizeof eight) {
            memcpy(&eight, p + at, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        const size_t n = p[at] < 0x80 ? 1 : utf8_sequence(p + at, text.len - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

size_t nsm_format_u64(uint64_t number, char *out)
{
    char digits[20]; /* of UINT64_MAX */
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

size_t nsm_format_i64(int64_t number, char *out)
{
    if (number >= 0)
        return nsm_format_u64((uint64_t)number, out);
    out[0] = '-';
    /* INT64_MIN has no positive int64_t: negate as unsigned. */
    return 1 + nsm_format_u64(-(uint64_t)number, out + 1);
}

size_t nsm_format_double(double value, char *out)
{
    enum {
        OUT_BYTES = 32
    };
    const size_t n_short = nsm_decimal_from_double(value, out);
    if (n_short > 0)
        return n_short;
    /* Fifteen digits survive the way through a double, so a shorter text that reads back is found at fifteen
     * too, as its zeros are dropped. Subnormal numbers have fewer digits: all lengths are tried. */
    const bool is_subnormal = fpclassify(value) == FP_SUBNORMAL;
    const locale_t locale = c_locale();
    const locale_t outer = uselocale(locale);
    int len = 0;
    if (isnan(value)) {
        len = snprintf(out, OUT_BYTES, "nan");
    } else {
        for (int digits = is_subnormal ? 1 : DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
            len = snprintf(out, OUT_BYTES, "%.*g", digits, value);
            if (strtod_l(out, NULL, locale) == value)
                break;
        }
    }
    uselocale(outer);
    return (size_t)len;
}
