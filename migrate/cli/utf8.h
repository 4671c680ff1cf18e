/*
 * One step through UTF-8. Whatever we print or write as JSON may come from a server or a file, so
 * every text goes through here, and none of it is trusted to be what it should.
 *
 * Threads: no state.
 */
#ifndef NSM_CLI_UTF8_H
#define NSM_CLI_UTF8_H

#include "migrate/base/str.h"

#include <stdint.h>

/* The length (1 to 4) of the sequence that `s`, which is not empty, begins with, and its code
 * point. 0 when it begins with none (RFC 3629): whoever asks replaces one byte and goes on behind
 * it. */
size_t nsm_utf8_next(struct nsm_str s, uint32_t *ret_code);

#endif
