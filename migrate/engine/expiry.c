/*
 * Milliseconds of Unix time as the text of a timestamptz and back. By hand, since the C library's calendar needs a time zone, knows no
 * "BC" and parses no fraction; the civil calendar is computed in eras of 400 years that begin in March, so that a leap day is a year's
 * last.
 */
#include "migrate/engine/layout.h"

#include "migrate/base/parse.h"

#include <inttypes.h>
#include <stdio.h>

#define MS_PER_DAY   INT64_C(86400000)
#define DAYS_PER_ERA 146097
/* From 0000-03-01 to 1970-01-01. */
#define EPOCH_DAYS 719468
/* 4714-11-24 BC (Julian day 0) to the end of 294276. */
#define MIN_MS (-INT64_C(210866803200000))
#define MAX_MS INT64_C(9224318015999999)

struct date {
    int64_t year; /* astronomical: 0 is 1 BC */
    int64_t month, day;
};

static struct date date_of(int64_t days)
{
    const int64_t shifted = days + EPOCH_DAYS;
    const int64_t era = (shifted >= 0 ? shifted : shifted - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    const int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_ERA - 1)) /
        365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month_from_march = (5 * day_of_year + 2) / 153;
    const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (struct date){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
    };
}

static int64_t days_of(struct date date)
{
    const int64_t year = date.year - (date.month <= 2);
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
    const int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    const int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - EPOCH_DAYS;
}

bool nsm_expiry_format(int64_t expires_at_ms, char *out, size_t *ret_len)
{
    if (expires_at_ms < MIN_MS || expires_at_ms > MAX_MS)
        return false;
    int64_t days = expires_at_ms / MS_PER_DAY;
    int64_t ms = expires_at_ms % MS_PER_DAY;
    if (ms < 0) {
        ms += MS_PER_DAY;
        days--;
    }
    const struct date date = date_of(days);
    const bool is_bc = date.year <= 0;
    char fraction[8] = "";
    if (ms % 1000) {
        int n = snprintf(fraction, sizeof(fraction), ".%03d", (int)(ms % 1000));
        while (fraction[n - 1] == '0')
            fraction[--n] = '\0';
    }
    const int len = snprintf(out, 40, "%04" PRId64 "-%02d-%02d %02d:%02d:%02d%s+00%s",
                             is_bc ? 1 - date.year : date.year, (int)date.month, (int)date.day,
                             (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60),
                             fraction, is_bc ? " BC" : "");
    *ret_len = (size_t)len;
    return true;
}

static bool take_number(struct nsm_str *text, size_t min_digits, size_t max_digits, int64_t *ret)
{
    size_t n = 0;
    *ret = 0;
    while (n < text->len && n < max_digits && text->ptr[n] >= '0' && text->ptr[n] <= '9')
        *ret = *ret * 10 + (text->ptr[n++] - '0');
    *text = nsm_str_skip(*text, n);
    return n >= min_digits;
}

static bool take(struct nsm_str *text, struct nsm_str wanted)
{
    if (!nsm_str_starts_with(*text, wanted))
        return false;
    *text = nsm_str_skip(*text, wanted.len);
    return true;
}

/* Up to three digits behind the point: more would be lost as milliseconds. */
static bool take_fraction(struct nsm_str *text, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (!take(text, NSM_STR_LIT(".")))
        return true;
    const size_t before = text->len;
    if (!take_number(text, 1, 3, ret_ms))
        return false;
    for (size_t n = before - text->len; n < 3; n++)
        *ret_ms *= 10;
    return true;
}

bool nsm_expiry_parse(struct nsm_str text, int64_t *ret_ms)
{
    const struct nsm_str whole = text;
    struct date date;
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    int64_t ms = 0;
    if (!take_number(&text, 4, 6, &date.year) || !take(&text, NSM_STR_LIT("-")) ||
        !take_number(&text, 2, 2, &date.month) || !take(&text, NSM_STR_LIT("-")) ||
        !take_number(&text, 2, 2, &date.day) || !take(&text, NSM_STR_LIT(" ")))
        return false;
    if (!take_number(&text, 2, 2, &hour) || !take(&text, NSM_STR_LIT(":")) ||
        !take_number(&text, 2, 2, &minute) || !take(&text, NSM_STR_LIT(":")) ||
        !take_number(&text, 2, 2, &second) || !take_fraction(&text, &ms) ||
        !take(&text, NSM_STR_LIT("+00")))
        return false;
    if (take(&text, NSM_STR_LIT(" BC")))
        date.year = 1 - date.year;
    const int64_t at_ms =
        days_of(date) * MS_PER_DAY + hour * 3600000 + minute * 60000 + second * 1000 + ms;
    /* a day that does not exist, a zero too many, a rest: written back, it would be another text */
    char canonical[40];
    size_t len = 0;
    if (!nsm_expiry_format(at_ms, canonical, &len) ||
        !nsm_str_equals(whole, (struct nsm_str){.ptr = canonical, .len = len}))
        return false;
    *ret_ms = at_ms;
    return true;
}
