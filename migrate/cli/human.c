/*
 * See human.h. The width of a character is our own short table and not wcwidth(3), which depends on
 * a locale that a cron job does not have.
 */
#include "migrate/cli/human.h"

#include "migrate/cli/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

const char *nsm_style_begin(enum nsm_style style)
{
    static const char *const begins[] = {
        [NSM_STYLE_PLAIN] = "",        [NSM_STYLE_GOOD] = "\x1b[32m", [NSM_STYLE_BAD] = "\x1b[31m",
        [NSM_STYLE_WARN] = "\x1b[33m", [NSM_STYLE_DIM] = "\x1b[2m",   [NSM_STYLE_HEAD] = "\x1b[1m",
    };
    return begins[style];
}

void nsm_human_count(struct nsm_buf *out, uint64_t count)
{
    char digits[24];
    const int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            nsm_buf_append_char(out, ',');
        nsm_buf_append_char(out, digits[i]);
    }
}

void nsm_human_count_of(struct nsm_buf *out, uint64_t count, const char *noun)
{
    nsm_human_count(out, count);
    nsm_buf_printf(out, " %s%s", noun, count == 1 ? "" : "s");
}

void nsm_human_bytes(struct nsm_buf *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    /* 1023.95 would be shown as 1024.0 */
    while (value >= 1023.95 && unit + 1 < NSM_COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    nsm_buf_printf(out, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

void nsm_human_seconds(struct nsm_buf *out, double seconds)
{
    if (!isfinite(seconds) || seconds < 0) {
        nsm_buf_append_char(out, '?');
        return;
    }
    if (seconds < 0.995) {
        nsm_buf_printf(out, "%.2f s", seconds);
        return;
    }
    if (seconds < 59.95) {
        nsm_buf_printf(out, "%.1f s", seconds);
        return;
    }
    /* Past a thousand years nobody wants to know. */
    const uint64_t whole = seconds < 3e10 ? (uint64_t)(seconds + 0.5) : UINT64_C(30000000000);
    if (whole < 3600)
        nsm_buf_printf(out, "%" PRIu64 "m %02" PRIu64 "s", whole / 60, whole % 60);
    else if (whole < 86400)
        nsm_buf_printf(out, "%" PRIu64 "h %02" PRIu64 "m", whole / 3600, whole / 60 % 60);
    else
        nsm_buf_printf(out, "%" PRIu64 "d %02" PRIu64 "h", whole / 86400, whole / 3600 % 24);
}

void nsm_human_rate(struct nsm_buf *out, double per_second)
{
    static const char *const units[] = {"", "k", "M", "G"};
    if (!isfinite(per_second) || per_second < 0) {
        nsm_buf_append_char(out, '?');
        return;
    }
    size_t unit = 0;
    while (per_second >= 999.5 && unit + 1 < NSM_COUNT_OF(units)) {
        per_second /= 1000;
        unit++;
    }
    nsm_buf_printf(out, "%.*f%s/s", per_second < 9.95 ? 1 : 0, per_second, units[unit]);
}

void nsm_human_timestamp(struct nsm_buf *out, int64_t unix_ms)
{
    const int64_t rest_ms = (unix_ms % 1000 + 1000) % 1000;
    const time_t seconds = (time_t)((unix_ms - rest_ms) / 1000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts)) {
        nsm_buf_append_i64(out, unix_ms);
        return;
    }
    nsm_buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                   (int)rest_ms);
}

/* C0 and C1 controls, and the marks that turn the direction of what follows them. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void write_control(struct nsm_buf *out, uint32_t code)
{
    if (code == '\n')
        nsm_buf_append_cstr(out, "\\n");
    else if (code == '\t')
        nsm_buf_append_cstr(out, "\\t");
    else
        nsm_buf_printf(out, code < 0x100 ? "\\x%02x" : "\\u%04x", code);
}

void nsm_human_text(struct nsm_buf *out, struct nsm_str text)
{
    while (text.len > 0) {
        uint32_t code = 0;
        const size_t len = nsm_utf8_next(text, &code);
        if (len == 0)
            nsm_buf_append_cstr(out, "\xef\xbf\xbd");
        else if (is_control(code))
            write_control(out, code);
        else
            nsm_buf_append(out, text.ptr, len);
        text = nsm_str_skip(text, len ? len : 1);
    }
}

struct code_range {
    uint32_t first, last;
};

static bool is_among(uint32_t code, const struct code_range *ranges, size_t n_ranges)
{
    for (size_t i = 0; i < n_ranges; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

static size_t code_width(uint32_t code)
{
    static const struct code_range combining[] = {
        {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},   {0x064b, 0x065f},
        {0x093c, 0x093c}, {0x0941, 0x0948}, {0x0e31, 0x0e31}, {0x0e34, 0x0e3a},   {0x0e47, 0x0e4e},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x2060, 0x2064},   {0x20d0, 0x20ff},
        {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
    };
    static const struct code_range wide[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},
        {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},
        {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
        {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
    };
    if (code < 0x300)
        return 1;
    if (is_among(code, combining, NSM_COUNT_OF(combining)))
        return 0;
    return is_among(code, wide, NSM_COUNT_OF(wide)) ? 2 : 1;
}

size_t nsm_human_width(struct nsm_str text)
{
    size_t width = 0;
    while (text.len > 0) {
        uint32_t code = 0;
        const size_t len = nsm_utf8_next(text, &code);
        width += len ? code_width(code) : 1;
        text = nsm_str_skip(text, len ? len : 1);
    }
    return width;
}

void nsm_human_clip(struct nsm_buf *out, struct nsm_str text, size_t columns)
{
    if (nsm_human_width(text) <= columns) {
        nsm_buf_append_str(out, text);
        return;
    }
    if (columns == 0)
        return;
    size_t used = 0;
    size_t at = 0;
    while (at < text.len) {
        uint32_t code = 0;
        const size_t len = nsm_utf8_next(nsm_str_skip(text, at), &code);
        const size_t width = len ? code_width(code) : 1;
        if (used + width > columns - 1)
            break;
        used += width;
        at += len ? len : 1;
    }
    nsm_buf_append(out, text.ptr, at);
    nsm_buf_append_char(out, '~');
}
