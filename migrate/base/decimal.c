/*
 * A long double of 64 bits holds every power of ten up to 10^27 and every mantissa that is asked for exactly, so one multiplication
 * or division is off by half of its last place at most. That decides on which side of the middle between two doubles, or two
 * decimals, the exact number lies, unless it is very near to the middle. Where a long double is no longer than a double nothing
 * is ever decided here, and nothing is wrong.
 */
#include "migrate/base/decimal.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const long double powers_of_ten[] = {
    1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
    1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L,
    1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L,
};
#define MAX_POWER ((int)(sizeof(powers_of_ten) / sizeof(powers_of_ten[0])) - 1)

bool nsm_decimal_to_double(uint64_t mantissa, int exponent, double *ret)
{
    if (LDBL_MANT_DIG < 64 || exponent < -MAX_POWER || exponent > MAX_POWER)
        return false;
    const long double whole = (long double)mantissa;
    const long double nearest =
        exponent < 0 ? whole / powers_of_ten[-exponent] : whole * powers_of_ten[exponent];
    /* One or two last places away: the exact number lies between them. Not so under an emulation that has fewer places, as
     * valgrind's. */
    const long double lower = nearest * (1.0L - LDBL_EPSILON);
    const long double upper = nearest * (1.0L + LDBL_EPSILON);
    const bool is_between = lower < nearest && nearest < upper;
    if ((!is_between && mantissa != 0) || (double)lower != (double)upper)
        return false;
    *ret = (double)nearest;
    return true;
}

/* The decimal exponent of a number from 1e-4 to below 1e15. The doubles next to the negative powers lie above them, so the comparisons
 * are exact. */
static int exponent_of(double magnitude)
{
    static const double small[] = {1e0, 1e-1, 1e-2, 1e-3};
    int exponent = 0;
    while (exponent > -4 && magnitude < small[-exponent])
        exponent--;
    while (exponent >= 0 && (long double)magnitude >= powers_of_ten[exponent + 1])
        exponent++;
    return exponent;
}

/* The first `n_digits` digits, rounded; false: not decided, or rounded up to one digit more. */
static bool round_to_digits(double magnitude, int scale, int n_digits, uint64_t *ret)
{
    const long double scaled = (long double)magnitude * powers_of_ten[scale];
    const long double whole = rintl(scaled);
    /* 17 digits are less than 2^57, whose error is less than 2^-7. */
    if (fabsl(fabsl(scaled - whole) - 0.5L) < 0.01L || whole >= powers_of_ten[n_digits])
        return false;
    *ret = (uint64_t)whole;
    return true;
}

/* digits * 10^-scale without an exponent and without zeros at its end. */
static size_t write_fixed(bool is_negative, uint64_t digits, int scale, char *out)
{
    char reversed[32];
    size_t n = 0;
    size_t len = 0;
    for (; scale > 0 && digits % 10 == 0; scale--)
        digits /= 10;
    for (int place = 0; digits > 0 || place <= scale; place++) {
        if (place > 0 && place == scale)
            reversed[n++] = '.';
        reversed[n++] = (char)('0' + digits % 10);
        digits /= 10;
    }
    if (is_negative)
        out[len++] = '-';
    while (n > 0)
        out[len++] = reversed[--n];
    out[len] = '\0';
    return len;
}

size_t nsm_decimal_from_double(double value, char *out)
{
    const double magnitude = fabs(value);
    const bool is_negative = signbit(value) != 0;
    if (magnitude == 0.0)
        return write_fixed(is_negative, 0, 0, out);
    if (LDBL_MANT_DIG < 64 || !(magnitude >= 1e-4 && magnitude < 1e15))
        return 0;
    const int exponent = exponent_of(magnitude);
    for (int n_digits = DBL_DIG; n_digits <= DBL_DECIMAL_DIG; n_digits++) {
        const int scale = n_digits - 1 - exponent;
        uint64_t digits = 0;
        double again = 0.0;
        if (!round_to_digits(magnitude, scale, n_digits, &digits) ||
            !nsm_decimal_to_double(digits, -scale, &again))
            return 0;
        if (again == magnitude)
            return write_fixed(is_negative, digits, scale, out);
    }
    return 0;
}
