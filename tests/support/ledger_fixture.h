/*
 * A plan of four namespaces in a folder of its own, for the tests of the ledger, and what these do
 * again and again. All of it on the test's main thread.
 */
#ifndef NSM_TESTS_SUPPORT_LEDGER_FIXTURE_H
#define NSM_TESTS_SUPPORT_LEDGER_FIXTURE_H

#include "migrate/engine/ledger.h"
#include "tests/support/expect.h"

#include <sys/types.h>

/* Namespaces ns0, ns1, ...; the plan has the first four. */
struct nsm_ledger_fixture {
    char folder[64];
    struct nsm_plan plan;
    char names[16][16];
    struct nsm_plan_namespace namespaces[16];
};
int nsm_fixture_set_up(void **state);
int nsm_fixture_tear_down(void **state);

struct nsm_ledger *nsm_fixture_open(struct nsm_ledger_fixture *fx, unsigned flags);
/* Opens and begins. */
struct nsm_ledger *nsm_fixture_begin(struct nsm_ledger_fixture *fx, unsigned flags);
/* A path in the ledger's folder, which the caller frees. */
char *nsm_fixture_path(const struct nsm_ledger_fixture *fx, const char *name);
void nsm_fixture_write_file(const char *path, const void *bytes, size_t len);
mode_t nsm_fixture_mode(const struct nsm_ledger_fixture *fx, const char *name);
enum nsm_step nsm_fixture_step(struct nsm_ledger *ledger, const char *name);

/* Two tables, users and orders, in three parts. */
struct nsm_census nsm_fixture_census(void);
void nsm_fixture_set_parts(struct nsm_ledger *ledger, const char *name);
struct nsm_checkpoint nsm_fixture_checkpoint(const char *part_id, uint64_t n, bool is_done);
/* ns1 surveyed and prepared, part 1 at seven records, part 2 done, then failed. */
void nsm_fixture_note_progress(struct nsm_ledger *ledger);

/* A child process that runs `fn` and ends; what fn writes to its descriptor is read from *ret_fd.
 */
pid_t nsm_fixture_start_child(struct nsm_ledger_fixture *fx,
                              void (*fn)(struct nsm_ledger_fixture *fx, int ready_fd), int *ret_fd);
/* Its wait status. */
int nsm_fixture_reap(pid_t pid);

#endif
