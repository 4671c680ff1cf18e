/*
 * A reader of a Redis: the keys of a slice of a key list, in lane redis-dump or record.
 *
 * The keys stand in a ring, in the order of the list, each in one of three states:
 *
 *     fetching   its value is on the way
 *     known      its size (and, for records, its type) is known
 *     probing    that is on the way
 *
 * Each read takes the replies, which come in this order, makes the batch of the fetched, asks for
 * the next values (as many as fit a batch by their known sizes) and probes the next keys. So one
 * round trip serves a batch, and it goes on while the batch is written.
 *
 * A key that by its name is probably a string is not probed: as much of it as a small string has is
 * asked for. What turns out to be something else, or larger, is probed and fetched then.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_REDIS_READER_H
#define NSM_ADAPTERS_REDIS_READER_H

#include "adapters/redis/redis_keys.h"
#include "adapters/redis/redis_survey.h"

/* Between records, lists and streams of more items than this are read piece by piece. */
#define NSM_REDIS_BULK_ITEMS 1024
/* What an item takes in memory besides its bytes: its reply, its value, its place in the arena. */
#define NSM_REDIS_ITEM_BYTES 72

/* Elements of an array reply. */
struct nsm_redis_items {
    const struct nsm_redis_reply *elements;
    size_t n_elements;
};

struct nsm_redis_slot {
    struct nsm_buf key; /* as it is at the server */
    uint64_t offset;    /* of the key in its list */
    uint64_t n_bytes;   /* MEMORY USAGE */
    enum nsm_kind kind; /* KIND_DUMP in lane redis-dump, but for what was guessed */
    uint8_t shape;
    bool is_guessed; /* `kind` is a guess, and nothing was asked */
    bool is_missed;  /* it was a wrong one */
    bool is_gone;
    bool is_sliced;        /* too big to be fetched as one */
    bool is_fetched_whole; /* although it is that big */
    enum nsm_redis_measure {
        NSM_REDIS_MEASURE_NONE,
        NSM_REDIS_MEASURE_WANTED, /* its number of items, or the length of a string */
        NSM_REDIS_MEASURE_ASKED,
    } measure;
};

/* The consumer groups of the stream that is read. */
struct nsm_redis_grouping {
    const struct nsm_redis_reply *groups; /* of XINFO GROUPS; NULL: none are left */
    size_t at;                            /* the group */
    enum nsm_redis_group_step {
        NSM_REDIS_GROUP_ITSELF,
        NSM_REDIS_GROUP_CONSUMERS,
        NSM_REDIS_GROUP_PENDING,
    } step;
    struct nsm_arena arena; /* of the group's consumers */
    const struct nsm_redis_reply *consumers;
    size_t consumer_at;
    struct nsm_buf next_id; /* of the next page of what is pending */
    size_t page_entries;    /* that were asked for last in one command */
    /* Of the slice that is being gathered; the strings are in the batch's arena. */
    struct nsm_value *items;
    size_t n_items, cap_items;
};

/* A key that is read in slices: the first of the ring. */
struct nsm_redis_slicing {
    bool is_active;
    bool is_begun; /* a slice was handed out */
    enum nsm_kind kind;
    int64_t expires_at_ms;
    uint64_t position;  /* of the next slice: bytes, items */
    uint64_t n_detours; /* of the connection, when the slice before was asked for */
    uint64_t n_items;   /* that the next reply is to have, but for strings */
    /* Of the slice that is being gathered: the replies so far, in the batch's arena. */
    struct nsm_redis_items *pieces;
    size_t n_pieces, cap_pieces;
    uint64_t n_bytes;
    struct nsm_buf cursor;  /* of HSCAN and SSCAN; the id of the next entry of a stream */
    struct nsm_arena arena; /* what follows */
    const struct nsm_redis_reply *info; /* of a stream */
    bool is_asked;                      /* for the first entries: its groups were read before */
    struct nsm_redis_grouping grouping;
};

struct nsm_redis_reader {
    struct nsm_reader base;
    struct nsm_redis_conn *conn;
    struct nsm_redis_server server;
    const struct nsm_redis_list *list;
    struct nsm_redis_cursor cursor;
    uint64_t n_unlisted; /* keys of the part that were not taken from the list yet */
    struct nsm_redis_slot *slots;
    size_t cap_slots, head;
    size_t n_fetching, n_known, n_probing;
    size_t n_late;        /* the first of the ring that stand before a key that was handed out */
    uint64_t guess_bytes; /* that a guessed value probably has */
    struct nsm_arena scratch; /* of replies that go into no record */
    struct nsm_redis_slicing slicing;
    uint64_t slice_bytes; /* keys larger than this travel in slices in lane redis-dump */
};

struct nsm_error *nsm_redis_reader_open(struct nsm_reader *base, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *nsm_redis_read(struct nsm_reader *base, struct nsm_context *ctx,
                                 struct nsm_batch *batch, bool *ret_is_end) NSM_MUST_USE;
void nsm_redis_reader_close(struct nsm_reader *base);

/* ---- redis_fetch.c: one key as one record ---- */

/* The largest key that is worth a guess: a batch of them is no more than four of its size. */
size_t nsm_redis_max_guess_bytes(const struct nsm_redis_reader *reader);
/* Queues what fetches a key's value and expiry. */
void nsm_redis_fetch_queue(struct nsm_redis_reader *reader, const struct nsm_redis_slot *slot);
/* Takes the replies; adds a record to the batch, or counts the key as vanished, or says in
 * slot->is_missed that it was guessed wrongly. */
struct nsm_error *nsm_redis_fetch_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                       struct nsm_redis_slot *slot, struct nsm_batch *batch)
    NSM_MUST_USE;

void nsm_redis_expiry_queue(struct nsm_redis_reader *reader, struct nsm_str key);
/* *ret_is_gone: there is no such key. */
struct nsm_error *nsm_redis_expiry_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                        struct nsm_str key, int64_t *ret_expires_at_ms,
                                        bool *ret_is_gone) NSM_MUST_USE;

/* Adds a record whose items are those of all pieces. */
struct nsm_record *nsm_redis_record_add(struct nsm_batch *batch, enum nsm_kind kind,
                                        const struct nsm_redis_items *pieces, size_t n_pieces);
/* Makes the scores of a zset's record canonical. */
struct nsm_error *nsm_redis_scores_mend(struct nsm_batch *batch, struct nsm_record *record)
    NSM_MUST_USE;
/* What a record of a stream is made of. */
struct nsm_redis_stream {
    const struct nsm_redis_reply *info; /* of XINFO STREAM; NULL: a continued slice has no head */
    const struct nsm_value *groups;     /* the items of its groups' pieces */
    size_t n_groups;
    const struct nsm_redis_items *entries;
    size_t n_entries; /* pieces of them */
};
struct nsm_error *nsm_redis_stream_add(struct nsm_batch *batch,
                                       const struct nsm_redis_stream *stream) NSM_MUST_USE;
/* Whether XINFO STREAM names consumer groups. */
bool nsm_redis_stream_has_groups(const struct nsm_redis_reply *info);
bool nsm_redis_is_no_such_key(const struct nsm_redis_reply *reply);
/* A number as an item. */
struct nsm_value nsm_redis_number(struct nsm_batch *batch, int64_t number);
/* What TIME tells, in milliseconds since 1970. */
struct nsm_error *nsm_redis_time_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                      int64_t *ret_ms) NSM_MUST_USE;

/* ---- redis_groups.c: the consumer groups of a stream ---- */

/* Begins with the groups that XINFO GROUPS told. */
void nsm_redis_groups_begin(struct nsm_redis_grouping *grouping,
                            const struct nsm_redis_reply *groups);
/* Gathers pieces until slicing.n_bytes is `max_bytes`, or no group is left (grouping.groups is NULL then). A group that goes away
 * meanwhile ends there; so does the stream, which whoever asks for its entries will see. */
struct nsm_error *nsm_redis_groups_gather(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                          struct nsm_batch *batch, uint64_t max_bytes) NSM_MUST_USE;
void nsm_redis_groups_release(struct nsm_redis_grouping *grouping);

/* ---- redis_slices.c: one key as several records ---- */

/* Begins with the first key of the ring, which is known and sliced, and asks for its first slice.
 * It may turn out to be gone (then it is off the ring, and counted), or to be fetched whole. */
struct nsm_error *nsm_redis_slices_begin(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                         struct nsm_batch *batch) NSM_MUST_USE;
/* Takes a slice into the batch and asks for the next; behind the last, the key is off the ring. */
struct nsm_error *nsm_redis_slices_take(struct nsm_redis_reader *reader, struct nsm_context *ctx,
                                        struct nsm_batch *batch) NSM_MUST_USE;

#endif
