/*
 * The census of a Redis: what survey leaves for readers, and for the inspection of a destination
 * whose source is a Redis too.
 *
 * Threads: a source's state is immutable after its survey, but for the guesses, which readers share.
 */
#ifndef NSM_ADAPTERS_REDIS_SURVEY_H
#define NSM_ADAPTERS_REDIS_SURVEY_H

#include "adapters/redis/redis_backend.h"
#include "adapters/redis/redis_guess.h"
#include "adapters/redis/redis_select.h"

/* The keys of one object. */
struct nsm_redis_list {
    const char *path; /* NULL: they were only counted */
    uint64_t n_keys;
    /* A key of the list with its first bytes replaced is the key that is read: a list of the
     * source, used to read what was written from it. */
    size_t n_replaced;
    struct nsm_str replacement;
    bool is_fresh;                     /* made by this process, not taken from an earlier run */
    struct nsm_redis_guesses *guesses; /* what is known of the types; of both sides of a copy */
};

struct nsm_redis_source {
    struct nsm_arena arena;
    struct nsm_redis_list *lists; /* index by index the census's objects */
    size_t n_lists;
    unsigned payload_version; /* of the server's DUMP */
};

struct nsm_error *nsm_redis_survey(struct nsm_backend *base, struct nsm_context *ctx,
                                   struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;
void nsm_redis_release_source(struct nsm_source *source);

/* One pass over all keys of the database: calls `fn` for each; a key may come more than once. Keys
 * of our own are left out. `match`: a pattern for the server, or empty. */
typedef struct nsm_error *nsm_redis_key_fn(void *arg, struct nsm_str key);
struct nsm_error *nsm_redis_scan(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                 struct nsm_str match, nsm_redis_key_fn *fn, void *arg)
    NSM_MUST_USE;

#endif
