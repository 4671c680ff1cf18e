/*
 * The short way between doubles and their decimal digits, in one long double operation where that is exact enough to decide; what it
 * can't decide the caller asks the C library, which always knows and takes ten times as long.
 *
 * Threads: no state.
 */
#ifndef NSM_BASE_DECIMAL_H
#define NSM_BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/base/cleanup.h"

/* The double nearest to mantissa * 10^exponent, as strtod() has it; false: not decided. */
bool nsm_decimal_to_double(uint64_t mantissa, int exponent, double *ret) NSM_MUST_USE;

/* What printf()'s %.15g, %.16g or %.17g gives, the first of them that reads back as `value`, into at least 32 bytes with a NUL
 * behind; 0: not decided. Only for numbers that all three write without an exponent: from 1e-4 to below 1e15, and 0. */
size_t nsm_decimal_from_double(double value, char *out) NSM_MUST_USE;

#endif
