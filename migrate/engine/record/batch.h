/*
 * A bounded run of records on its way from a reader to a writer, in one lane: records in the
 * batch's arena, or for a raw lane (pgcopy) the bytes as the store sent them.
 *
 * Threads: one thread at a time. Memory: everything belongs to the batch; a batch is cleared and
 * used again.
 */
#ifndef NSM_ENGINE_RECORD_BATCH_H
#define NSM_ENGINE_RECORD_BATCH_H

#include "migrate/base/buf.h"
#include "migrate/engine/record/digest.h"
#include "migrate/engine/record/record.h"

/* The form in which a batch travels. `record` is understood by all. */
enum nsm_lane {
    NSM_LANE_RECORD, /* struct nsm_record, canonical values */
    NSM_LANE_PGCOPY, /* raw: whole rows of COPY data, binary tuples or text lines as object->format
                        says, without the header and the trailer of the stream */
    NSM_LANE_REDIS_DUMP, /* struct nsm_record of kind DUMP or STRING; big keys as typed slices */
};
#define NSM_N_LANES (NSM_LANE_REDIS_DUMP + 1)
/* "record", "pgcopy", "redis-dump"; static. */
NSM_API const char *nsm_lane_name(enum nsm_lane lane);

/* No key, value or raw row may be larger: what PostgreSQL can hold in a field, and twice what Redis
 * can. */
#define NSM_MAX_VALUE_BYTES ((size_t)1 << 30)

struct nsm_batch {
    enum nsm_lane lane;
    struct nsm_arena arena;
    struct nsm_record *records; /* on the heap, kept over nsm_batch_clear() */
    size_t n_records;
    size_t cap_records;
    struct nsm_buf raw; /* NSM_LANE_PGCOPY */
    uint64_t n_raw_records;
    uint64_t n_bytes;  /* of keys and values, or raw: what limits and progress count */
    bool wants_digest; /* set by the core: raw rows are added to `digest` as they are added to the
                          batch */
    struct nsm_digest digest; /* of the raw rows in this batch */
    /* Where a reader opened anew continues behind this batch: opaque bytes of the source's adapter,
     * in the arena. Empty: the part can't be taken up here, only from its beginning. */
    struct nsm_str resume;
    uint64_t n_vanished; /* keys of the census that were gone or expired when they were read */
};

NSM_API void nsm_batch_init(struct nsm_batch *batch, enum nsm_lane lane);
NSM_API void nsm_batch_release(struct nsm_batch *batch);
/* Empties it; keeps lane, wants_digest and the memory. */
NSM_API void nsm_batch_clear(struct nsm_batch *batch);

/* Records in it, of whatever lane; a key's continued slices do not count again. */
NSM_API uint64_t nsm_batch_count(const struct nsm_batch *batch);

/* Appends a record with room for `n_items` values, to be filled by the caller: key, flags,
 * expires_at_ms are empty, none, NSM_NO_EXPIRY, the values NSM_NULL. The pointer is valid until the
 * next add. The caller counts n_bytes with nsm_batch_account(). */
NSM_API struct nsm_record *nsm_batch_add(struct nsm_batch *batch, enum nsm_kind kind,
                                         size_t n_items) NSM_MUST_USE;
/* Adds the bytes of the key and values of the record added last to n_bytes. */
NSM_API void nsm_batch_account(struct nsm_batch *batch);

/* Copies bytes into the arena. */
NSM_API struct nsm_str nsm_batch_copy(struct nsm_batch *batch, struct nsm_str bytes);

/* Appends one raw row; adds it to the digest if that is wanted. NSM_E_NOMEM when the batch is over
 * its hard limit. */
NSM_API struct nsm_error *nsm_batch_add_raw(struct nsm_batch *batch, struct nsm_str row)
    NSM_MUST_USE;

#endif
