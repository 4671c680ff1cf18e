/* The short way between doubles and decimals says what the C library says, or that it can't tell. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/base/clock.h"
#include "migrate/base/decimal.h"

/* What the C library finds: the fewest of 15, 16 and 17 digits that read back. */
static void write_slowly(double value, char *out)
{
    for (int n_digits = DBL_DIG; n_digits <= DBL_DECIMAL_DIG; n_digits++) {
        (void)snprintf(out, 32, "%.*g", n_digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

/* Not so where a long double is short, as on some machines and under valgrind. */
static bool decides_anything(void)
{
    double found = 0.0;
    return nsm_decimal_to_double(15, -1, &found);
}

static bool check_writing(double value)
{
    char found[32];
    char expected[32];
    const size_t len = nsm_decimal_from_double(value, found);
    if (len == 0)
        return false;
    write_slowly(value, expected);
    assert_string_equal(found, expected);
    assert_int_equal(len, strlen(found));
    return true;
}

static uint64_t any_bits(void)
{
    return nsm_random_below(UINT64_MAX);
}

static double any_double(void)
{
    const uint64_t bits = any_bits();
    double value = 0.0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void what_is_written_is_what_printf_writes(void **state)
{
    (void)state;
    size_t n_written = 0;
    for (size_t round = 0; round < 20000; round++) {
        const double power = pow(10.0, (double)nsm_random_below(18));
        n_written += check_writing((double)nsm_random_below(100000000) / power);
        n_written += check_writing(-(double)any_bits() / 1e18 / power);
        n_written += check_writing(nextafter((double)nsm_random_below(1000000) / 64.0, -1.0));
        n_written += check_writing((double)(any_bits() >> 10) / 8.0); /* many lie in the middle */
        (void)check_writing(any_double());
    }
    if (decides_anything())
        assert_true(n_written > 40000);
}

static void ends_of_the_range_are_right(void **state)
{
    (void)state;
    static const double ends[] = {1e-4,
                                  1e-3,
                                  0.01,
                                  0.1,
                                  1.0,
                                  10.0,
                                  1e14,
                                  1e15,
                                  1e16,
                                  1e-5,
                                  9.5e14,
                                  1e17,
                                  0.0,
                                  DBL_MIN,
                                  DBL_MAX,
                                  0.5,
                                  0.3e-3,
                                  2.5e-4,
                                  0.25e15,
                                  1e22,
                                  1e23,
                                  5e-324,
                                  9007199254740993.0};
    for (size_t at = 0; at < sizeof(ends) / sizeof(ends[0]); at++) {
        for (double sign = -1.0; sign <= 1.0; sign += 2.0) {
            (void)check_writing(sign * ends[at]);
            (void)check_writing(sign * nextafter(ends[at], 0.0));
            (void)check_writing(sign * nextafter(ends[at], HUGE_VAL));
        }
    }
    char text[32];
    assert_int_equal(nsm_decimal_from_double((double)NAN, text), 0);
    assert_int_equal(nsm_decimal_from_double(HUGE_VAL, text), 0);
    assert_int_equal(nsm_decimal_from_double(-0.0, text), 2);
    assert_string_equal(text, "-0");
}

static void what_is_read_is_what_strtod_reads(void **state)
{
    (void)state;
    size_t n_read = 0;
    for (size_t round = 0; round < 100000; round++) {
        const uint64_t mantissa = any_bits() >> nsm_random_below(64);
        const int exponent = (int)nsm_random_below(60) - 30;
        char text[64];
        double found = 0.5;
        (void)snprintf(text, sizeof(text), "%jue%d", (uintmax_t)mantissa, exponent);
        if (!nsm_decimal_to_double(mantissa, exponent, &found))
            continue;
        n_read++;
        assert_true(found == strtod(text, NULL));
    }
    /* 2^53 + 1 lies in the middle between two doubles: strtod() takes the even one. */
    double found = 0.5;
    assert_false(nsm_decimal_to_double(UINT64_C(9007199254740993), 0, &found));
    assert_false(nsm_decimal_to_double(1, 28, &found));
    assert_false(nsm_decimal_to_double(1, -28, &found));
    assert_true(found == 0.5);
    if (decides_anything())
        assert_true(n_read > 75000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_what_printf_writes),
        cmocka_unit_test(ends_of_the_range_are_right),
        cmocka_unit_test(what_is_read_is_what_strtod_reads),
    };
    return cmocka_run_group_tests_name("decimal", tests, NULL, NULL);
}
