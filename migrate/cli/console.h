/*
 * Standard error: lines that stay, and, where it is a terminal that can, a live area below them that
 * is painted over. All who write there go through this, so that none tears another's line.
 *
 * The cursor is never hidden and nothing else of the terminal is changed, so there is nothing to
 * restore, however the program ends: the cursor rests at the beginning of the line below the live
 * area.
 *
 * Threads: internally locked.
 */
#ifndef NSM_CLI_CONSOLE_H
#define NSM_CLI_CONSOLE_H

#include "migrate/base/error.h"
#include "migrate/base/str.h"

struct nsm_console;

enum nsm_console_flag {
    NSM_CONSOLE_QUIET = 1 << 0,    /* errors only */
    NSM_CONSOLE_NO_COLOR = 1 << 1, /* also by NO_COLOR in the environment */
    NSM_CONSOLE_NO_LIVE = 1 << 2,  /* no live area, also on a terminal; also by TERM=dumb */
};

/* `fd` stays the caller's. Looks at the environment: before any thread is made. */
struct nsm_console *nsm_console_new(int fd, unsigned flags) NSM_MUST_USE NSM_NONNULL;
/* Removes the live area. */
void nsm_console_free(struct nsm_console *console);
NSM_DEFINE_CLEANUP(struct nsm_console, nsm_console_free)

bool nsm_console_is_quiet(const struct nsm_console *console);
bool nsm_console_is_live(const struct nsm_console *console);
/* Whether nobody minds colours; and whether it is a terminal besides. */
bool nsm_console_wants_color(const struct nsm_console *console);
bool nsm_console_is_colored(const struct nsm_console *console);
/* Now; 80 x 24 when the terminal does not say. */
void nsm_console_size(const struct nsm_console *console, size_t *ret_columns, size_t *ret_rows);

/* A line that stays; not under QUIET. Its text is cleaned (human.h). */
void nsm_console_line(struct nsm_console *console, const char *fmt, ...) NSM_PRINTF(2, 3);
/* The same with "nsmigrate: " before it, also under QUIET: for what went wrong. */
void nsm_console_problem(struct nsm_console *console, const char *fmt, ...) NSM_PRINTF(2, 3);
/* Text of our own that is written as it is: a usage. */
void nsm_console_text(struct nsm_console *console, struct nsm_str text);

/* Makes `frame`, whole lines, each no wider than the terminal, the live area; "" removes it. */
void nsm_console_paint(struct nsm_console *console, struct nsm_str frame);

#endif
