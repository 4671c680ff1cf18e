/*
 * Text to numbers, the whole text or nothing: no leading blanks, no trailing rest, no overflow, no
 * locale. Each returns false and leaves *ret alone when the text is not wholly such a number.
 */
#ifndef NSM_BASE_PARSE_H
#define NSM_BASE_PARSE_H

#include "migrate/base/cleanup.h"
#include "migrate/base/str.h"

#include <stdint.h>

NSM_API bool nsm_parse_u64(struct nsm_str text, uint64_t *ret) NSM_MUST_USE;
NSM_API bool nsm_parse_i64(struct nsm_str text, int64_t *ret) NSM_MUST_USE;
/* Decimal or exponent form, nan, inf, infinity; in the C locale whatever the process has. */
NSM_API bool nsm_parse_double(struct nsm_str text, double *ret) NSM_MUST_USE;
/* "200ms", "10s", "5m", "2h", "1d"; a bare "0" is zero. To milliseconds. */
NSM_API bool nsm_parse_duration_ms(struct nsm_str text, int64_t *ret_ms) NSM_MUST_USE;
/* "4MiB", "512KiB", "1GiB", "10B", "100" (bytes), "4MB" (powers of ten). */
NSM_API bool nsm_parse_size(struct nsm_str text, uint64_t *ret_bytes) NSM_MUST_USE;
/* Shell globs: * ? [set], \ escapes; the whole of `text` must match. Linear in practice, no
 * recursion. */
NSM_API bool nsm_glob_matches(struct nsm_str pattern, struct nsm_str text) NSM_MUST_USE;
/* Whether the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF).
 */
NSM_API bool nsm_is_utf8(struct nsm_str text) NSM_MUST_USE;

/* Shortest decimal text that reads back as the same double; "nan", "inf", "-inf". `out` holds at
 * least 32 bytes. */
NSM_API size_t nsm_format_double(double value, char *out);
/* Decimal, without a NUL: what a format string costs shows where it is done for each record. `out` holds at least 20 bytes. */
NSM_API size_t nsm_format_u64(uint64_t number, char *out);
NSM_API size_t nsm_format_i64(int64_t number, char *out);

#endif
