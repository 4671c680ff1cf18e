/*
 * A writer to a Redis. Commands of a batch are sent at once, their replies taken when the next
 * batch has been sent, or at a checkpoint.
 *
 * A key is never torn: a string is one command, a dump is one, a collection is written inside
 * MULTI; a key in slices grows under a temporary name and is renamed when it is whole. The
 * temporary name expires by itself, so that what an interrupted run leaves goes away.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_REDIS_WRITER_H
#define NSM_ADAPTERS_REDIS_WRITER_H

#include "adapters/redis/redis_backend.h"

/* What the replies to a record's commands must be. */
struct nsm_redis_ack {
    const char *command; /* static, for messages */
    size_t name_at;      /* of the key's beginning, in the names */
    uint32_t name_len;
    uint32_t n_replies;
    bool is_refusable; /* nil, zero or BUSYKEY: the key stood there and was skipped */
    bool may_be_gone;  /* "no such key" is what became of an expiry in the past */
};

/* The commands of one batch. */
struct nsm_redis_acks {
    struct nsm_redis_ack *items;
    size_t n_items, cap_items;
    struct nsm_buf names;
};

struct nsm_redis_writer {
    struct nsm_writer base;
    struct nsm_redis_conn *conn;
    struct nsm_redis_claim *claim;
    struct nsm_redis_server server;
    struct nsm_str prefix; /* of the keys that are written; in the place of that of the records */
    size_t n_replaced;
    bool is_skipping;
    struct nsm_redis_acks acks[2]; /* of this batch, of the one before */
    size_t current;
    struct nsm_arena arena; /* of replies */
    char *temp_name;
    char *temp_key; /* the same; in a Cluster with a tag that puts it into the slot of the key */
    /* Of the key in slices that is being written. */
    bool is_sliced_skipped; /* it stands there, under if_exists: skip */
    struct nsm_arena slice_arena;
    struct nsm_str last_id, entries_added, max_deleted_id;
    struct nsm_str group; /* of a stream: that was written last */
};

struct nsm_error *nsm_redis_writer_open(struct nsm_writer *base, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_redis_write(struct nsm_writer *base, struct nsm_context *ctx,
                                  const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *nsm_redis_erase(struct nsm_writer *base, struct nsm_context *ctx,
                                  const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *nsm_redis_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                       const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;
void nsm_redis_writer_close(struct nsm_writer *base);

/* ---- redis_store.c: the commands of one record ---- */

/* Queues what writes a record that is no slice. */
struct nsm_error *nsm_redis_store_queue(struct nsm_redis_writer *writer,
                                        const struct nsm_record *record) NSM_MUST_USE;
/* The same for a slice. */
struct nsm_error *nsm_redis_store_queue_slice(struct nsm_redis_writer *writer,
                                              struct nsm_context *ctx,
                                              const struct nsm_record *record) NSM_MUST_USE;

/* Where a record's items go: the argument that is its key, or the temporary one. */
void nsm_redis_put_target(struct nsm_redis_writer *writer, const struct nsm_record *record,
                          bool is_temp);
/* "key K: a stream WHAT". */
struct nsm_error *nsm_redis_corrupt(const struct nsm_record *record, const char *what) NSM_MUST_USE;

/* ---- redis_store_stream.c ---- */

/* Queues what adds the pieces of a stream's record, whole or a slice, to its key or the temporary one. */
struct nsm_error *nsm_redis_store_queue_stream(struct nsm_redis_writer *writer,
                                               const struct nsm_record *record, bool is_temp,
                                               size_t *ret_n_commands) NSM_MUST_USE;

/* Notes what the next `n_replies` replies are of. */
struct nsm_redis_ack *nsm_redis_expect(struct nsm_redis_writer *writer, const char *command,
                                       struct nsm_str key, size_t n_replies);
/* The part of a record's key that stays. */
struct nsm_str nsm_redis_key_rest(const struct nsm_redis_writer *writer, struct nsm_str key);
/* Takes the replies of all that was sent. */
struct nsm_error *nsm_redis_writer_settle(struct nsm_redis_writer *writer, struct nsm_context *ctx)
    NSM_MUST_USE;

#endif
