/*
 * The suite that every adapter passes: the contract of adapters/adapter.h, as far as it can be seen
 * from outside. A test program fills a fixture and calls conformance_run().
 *
 * The store is empty at the beginning of each test (fresh). What the suite writes lies in one
 * namespace, "conf", whose source and destination selections are the fixture's.
 *
 * Threads: one.
 */
#ifndef NSM_TESTS_SUPPORT_CONFORMANCE_H
#define NSM_TESTS_SUPPORT_CONFORMANCE_H

#include "adapters/adapter.h"

#define CONFORMANCE_PAIRS 24

struct conformance_fixture {
    const char *name; /* "sqlite rows": what the test report says */
    const struct nsm_adapter *adapter;
    /* Keys and values, as a plan would have them, up to a NULL. The strings live as long as the
     * fixture; fresh may set them. */
    const char *backend[CONFORMANCE_PAIRS];
    const char *source[CONFORMANCE_PAIRS]; /* reads what `destination` has written */
    const char *destination[CONFORMANCE_PAIRS];
    const char *missing[CONFORMANCE_PAIRS]; /* a source selection of something that is not there:
                                               NSM_E_NOTFOUND; empty: there is no such thing */
    unsigned model;       /* NSM_CAP_ROWS or NSM_CAP_KEYS; an adapter of both is run with each */
    unsigned types;       /* of columns: 1 << enum nsm_type; 0: all */
    unsigned kinds;       /* of keys: 1 << enum nsm_kind; 0: all */
    bool replaces_by_key; /* if_exists: replace leaves other keys alone, where a namespace is not
                             an object of the store */
    uint64_t n_served;    /* of an adapter that is a source alone: records that its namespace has */
    void (*fresh)(struct conformance_fixture *fixture); /* may be NULL */
    void (*done)(struct conformance_fixture *fixture);  /* after each test; may be NULL */
    void *state;                                        /* the fixture's own */
};

/* The number of tests that failed: the test program's exit code. */
int conformance_run(struct conformance_fixture *fixture);

/* For fixtures: sets a pair, replacing one of that key. */
void conformance_set(const char **pairs, const char *key, const char *value);

/* For fixtures of stores in files: a new folder (malloc'd path), and its removal with all in it. */
char *conformance_make_folder(void);
void conformance_remove_folder(char *folder);

#endif
