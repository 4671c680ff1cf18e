/*
 * Figures and text for people: 1,234,567, 12.3 MiB, 4.2 s, 812k/s; and text of unknown origin made
 * safe for a terminal, whose escape sequences a key or an error message must not reach.
 *
 * Threads: no state.
 */
#ifndef NSM_CLI_HUMAN_H
#define NSM_CLI_HUMAN_H

#include "migrate/base/buf.h"

#include <stdint.h>

/* What a text means, which decides its colour where there is colour. */
enum nsm_style {
    NSM_STYLE_PLAIN,
    NSM_STYLE_GOOD,
    NSM_STYLE_BAD,
    NSM_STYLE_WARN,
    NSM_STYLE_DIM,
    NSM_STYLE_HEAD,
};
/* The escape sequence that begins the style ("" for PLAIN), and the one that ends any. */
const char *nsm_style_begin(enum nsm_style style);
#define NSM_STYLE_END "\x1b[0m"

void nsm_human_count(struct nsm_buf *out, uint64_t count);      /* 1,234,567 */
void nsm_human_bytes(struct nsm_buf *out, uint64_t bytes);      /* 12.3 MiB */
void nsm_human_seconds(struct nsm_buf *out, double seconds);    /* 0.04 s, 4.2 s, 3m 05s */
void nsm_human_rate(struct nsm_buf *out, double per_second);    /* 812k/s */
void nsm_human_timestamp(struct nsm_buf *out, int64_t unix_ms); /* 2026-01-31T12:00:00.500Z */
void nsm_human_count_of(struct nsm_buf *out, uint64_t count, const char *noun); /* 1 key, 2 keys */

/* `text` with control characters as \n, \t or \x1b and what is not UTF-8 as U+FFFD. */
void nsm_human_text(struct nsm_buf *out, struct nsm_str text);

/* The columns that clean text takes on a terminal: 0 for combining marks, 2 for wide characters. */
size_t nsm_human_width(struct nsm_str text);

/* As much of clean text as `columns` can show; where it is cut, it ends in '~'. */
void nsm_human_clip(struct nsm_buf *out, struct nsm_str text, size_t columns);

#endif
