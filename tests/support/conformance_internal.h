/*
 * How the suite's tests are listed, and what each needs of an adapter.
 *
 * Threads: one.
 */
#ifndef NSM_TESTS_SUPPORT_CONFORMANCE_INTERNAL_H
#define NSM_TESTS_SUPPORT_CONFORMANCE_INTERNAL_H

#include <stddef.h>

/* A test of what an adapter can't have is not run on it. */
enum conf_need {
    CONF_NEED_NOTHING,
    CONF_NEED_DESTINATION,
    CONF_NEED_TX_CHECKPOINT,
    CONF_NEED_RESET,
    CONF_NEED_MISSING,
    CONF_NEED_LIST,
    CONF_NEED_ERASE,
};

struct conf_test {
    const char *name; /* NULL ends a list */
    void (*run)(void **state);
    enum conf_need need;
};

extern const struct conf_test conf_reading_tests[]; /* conformance_reading.c */
extern const struct conf_test conf_writing_tests[]; /* conformance_writing.c */

#endif
