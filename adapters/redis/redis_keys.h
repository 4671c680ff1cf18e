/*
 * Key lists on disk: what a survey finds is written down once, so that parts are even, progress is
 * exact, and an interrupted run goes on with the same keys whatever became of the server's cursors.
 *
 * A *spool* takes keys as SCAN returns them, with the duplicates that it may return. A *list* is
 * the spool without them, and carries in its header what it is a list of and a checksum of all that
 * follows: a file that is not whole is never taken for one. The duplicates are found in bounded
 * memory: hashes of 128 bits in a table, and when there are too many keys for one table, the spool
 * is first split by hash into buckets that fit.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_REDIS_KEYS_H
#define NSM_ADAPTERS_REDIS_KEYS_H

#include "migrate/base/buf.h"
#include "migrate/base/context.h"
#include "migrate/base/str.h"

/* No descriptor is held between writes: a plan may have thousands of them. */
struct nsm_redis_spool {
    char *path;
    struct nsm_buf buf;
    size_t buffer_bytes;
    bool is_begun; /* the file is ours; before that, what stands there is an earlier run's */
    uint64_t n_keys;
};

void nsm_redis_spool_init(struct nsm_redis_spool *spool, const char *path, size_t buffer_bytes);
/* Deletes the file. */
void nsm_redis_spool_release(struct nsm_redis_spool *spool);
struct nsm_error *nsm_redis_spool_add(struct nsm_redis_spool *spool, struct nsm_str key)
    NSM_MUST_USE;
struct nsm_error *nsm_redis_spool_flush(struct nsm_redis_spool *spool) NSM_MUST_USE;

struct nsm_redis_list_info {
    uint64_t fingerprint; /* of what was selected */
    uint64_t n_keys;
    uint64_t bytes_per_key; /* an estimate */
    uint64_t keys_per_part; /* kept, so that a later run makes the same parts */
};

/* How many keys one table of hashes holds; smaller in tests. */
#define NSM_REDIS_BUCKET_KEYS ((uint64_t)512 << 10)

/* Makes the list at `path` from a flushed spool. `info`: all but n_keys and keys_per_part is
 * given; keys_per_part is computed by `plan_parts` once n_keys is known. */
struct nsm_redis_list_options {
    const char *path;
    uint64_t bucket_keys;
    uint64_t (*keys_per_part)(const struct nsm_redis_list_info *info, size_t part_bytes);
    size_t part_bytes;
};
struct nsm_error *nsm_redis_list_make(struct nsm_context *ctx, const struct nsm_redis_spool *spool,
                                      const struct nsm_redis_list_options *options,
                                      struct nsm_redis_list_info *info) NSM_MUST_USE;
/* Returns when a list that was made is on the disk. */
struct nsm_error *nsm_redis_list_sync(const char *path) NSM_MUST_USE;

/* Called with each part of a list: where it begins in the file, and how many keys it has. */
typedef void nsm_redis_list_part_fn(void *arg, uint64_t offset, uint64_t n_keys);

/* Reads all of a list, checks it, and tells its parts. NSM_E_NOTFOUND: no file; NSM_E_CORRUPT: not
 * a whole list, or not one of that fingerprint. */
struct nsm_error *nsm_redis_list_check(struct nsm_context *ctx, const char *path,
                                       uint64_t fingerprint, struct nsm_redis_list_info *ret_info,
                                       nsm_redis_list_part_fn *fn, void *arg) NSM_MUST_USE;

/* ---- reading ---- */

struct nsm_redis_cursor {
    int fd;
    char *path;
    struct nsm_buf buf; /* what was read and not given out; begins at file offset buf_offset */
    size_t buf_pos;
    uint64_t buf_offset;
};

struct nsm_error *nsm_redis_cursor_open(struct nsm_redis_cursor *cursor, const char *path,
                                        uint64_t offset) NSM_MUST_USE;
void nsm_redis_cursor_close(struct nsm_redis_cursor *cursor);
/* The key at the cursor, valid until the next call. NSM_E_CORRUPT at the end of the file. */
struct nsm_error *nsm_redis_cursor_next(struct nsm_redis_cursor *cursor, struct nsm_str *ret_key)
    NSM_MUST_USE;
/* Where the next key begins. */
uint64_t nsm_redis_cursor_offset(const struct nsm_redis_cursor *cursor);

/* "offset count", the range of a part and the token to continue at. */
bool nsm_redis_range_parse(struct nsm_str text, uint64_t *ret_offset, uint64_t *ret_count);

#endif
