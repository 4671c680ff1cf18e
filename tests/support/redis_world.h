/*
 * Two servers and a backend on each, for tests of the adapter `redis`: what arrives is compared by
 * the server's own digest of values, through a client that is not ours.
 *
 * Threads: one thread at a time. Failures are assertions of cmocka.
 */
#ifndef NSM_TESTS_REDIS_WORLD_H
#define NSM_TESTS_REDIS_WORLD_H

#include "tests/support/redis_drive.h"
#include "tests/support/redis_server.h"

#define FAR_MS INT64_C(4102444800123) /* in the year 2100, not on a whole second */

struct redis_world {
    struct redis_server a, b;
    redisContext *from_client, *to_client;
    char work_dir[96];
    char from_url[64], to_url[64];
    struct nsm_backend *from, *to;
    struct nsm_context *ctx;
    bool is_dirty; /* the servers are not as they were started */
};

/* Options of every server: DEBUG may be used. */
extern const char *const redis_world_args[];

/* For a group of tests, and for each: it finds two empty servers as they start, and a folder of its
 * own. */
int redis_world_start(void **state);
int redis_world_stop(void **state);
int redis_world_set_up(void **state);
int redis_world_tear_down(void **state);
/* For tests that change how a server runs: the next one gets new ones. */
void redis_world_set_dirty(void **state);

/* Some of every type under "p:", with binary keys and values, and expiries to the millisecond: 513
 * keys; and one key elsewhere. */
void fill_all_types(redisContext *client);

/* drive_run(), which must not fail. */
void run_drive(struct drive *drive, struct nsm_context *ctx);
/* Frees `error`, which must have that code and say `part`. */
void expect_error(struct nsm_error *error, enum nsm_code code, const char *part);

/* Every key of `from` that begins with `from_prefix` stands in `to` under `to_prefix`, alike, and
 * nothing else does. */
void expect_same(const struct redis_world *world, const char *from_prefix, const char *to_prefix);
/* Both servers hold the same, by the digest of all that they have. */
void expect_equal_servers(const struct redis_world *world);

/* Opens a backend from these options and checks it. */
void fails_to_check(const struct redis_world *world, const char *const *pairs, enum nsm_code code,
                    const char *part);
void passes_check(const struct redis_world *world, const char *const *pairs, const char *part);

#endif
