/*
 * Which records differ between two sides that are too large for memory and come in any order. Both sides are read several times, as
 * streams of records:
 *
 *   pass 1          sums of record hashes in 65,536 buckets of the key's hash, for each side
 *   passes 2 to n-1 of the buckets that differ: the hashes of their records, as many buckets at a time as memory allows
 *   pass n          the names of the keys that were found to differ, unless there were so few that they were kept before
 *
 * so memory is bounded whatever the sides hold, a pair of equal sides takes one pass, and one with few differences two.
 *
 * Where the destination may hold more than what is compared, the source's keys are kept in a filter, and what can't be one of them
 * is passed over: however much stands there beside ours, it takes neither memory nor another pass.
 *
 * The caller drives: add every record of both sides, in the first pass the source's before the destination's unless the mode is
 * EXACT, then end_pass, until that asks for no other pass.
 *
 * Threads: add from many at once; all else from one.
 */
#ifndef NSM_ENGINE_COMPARE_H
#define NSM_ENGINE_COMPARE_H

#include "migrate/engine/record/batch.h"

struct nsm_compare;

enum nsm_compare_mode {
    NSM_COMPARE_EXACT,
    NSM_COMPARE_MERGE, /* the destination may hold more */
    NSM_COMPARE_SKIP,  /* and other records of the same keys */
};

enum nsm_compare_side {
    NSM_COMPARE_SOURCE,
    NSM_COMPARE_DESTINATION,
};

/* How the records of a batch are told apart; see record/digest.h. */
struct nsm_compare_object {
    const struct nsm_object *object; /* the destination's; names its key columns */
    size_t index;                    /* of it: records of different objects are never the same */
    size_t skip_key_bytes;
    unsigned digest_flags;
};

struct nsm_compare_difference {
    char mark;            /* '+' missing at the destination, '-' extra there, '*' different */
    struct nsm_hash hash; /* as nsm_compare_hash() gives it */
    size_t object_index;  /* of named ones */
    char *
        key; /* for people; "" when the record was gone before it could be named; NULL beyond max_named */
};

struct nsm_compare_result {
    uint64_t n_records[2];                    /* of each side; of others' as far as known none */
    uint64_t n_missing, n_extra, n_different; /* keys */
    struct nsm_compare_difference
        *differences; /* by hash; the first `max_named`, or as many as are kept */
    size_t n_differences;
};

struct nsm_compare *nsm_compare_new(enum nsm_compare_mode mode, size_t max_named)
    NSM_MUST_USE NSM_NONNULL;
void nsm_compare_free(struct nsm_compare *compare);
NSM_DEFINE_CLEANUP(struct nsm_compare, nsm_compare_free)

/* Keeps the first `n` differences, at least max_named, for who wants to find their records again: 64 bytes each. Before the first pass. */
void nsm_compare_keep(struct nsm_compare *compare, size_t n);
/* By which a difference knows the records of its key, on either side. */
struct nsm_hash nsm_compare_hash(const struct nsm_record *record,
                                 const struct nsm_compare_object *object);
/* The difference of that hash, NULL: none was found or kept. */
const struct nsm_compare_difference *nsm_compare_find(const struct nsm_compare_result *result,
                                                      struct nsm_hash hash);

/* How many records a pass of the middle kind keeps at most (default: a million, 40 MiB); for tests. Before the first pass. */
void nsm_compare_set_capacity(struct nsm_compare *compare, size_t n_records);

void nsm_compare_add(struct nsm_compare *compare, enum nsm_compare_side side,
                     const struct nsm_batch *batch, const struct nsm_compare_object *object);
/* Forgets what was added in this pass, which a lost connection has cut short. */
void nsm_compare_begin_anew(struct nsm_compare *compare);
/* Whether both sides must be read again. */
bool nsm_compare_end_pass(struct nsm_compare *compare) NSM_MUST_USE;

/* After the last pass; owned by `compare`. */
const struct nsm_compare_result *nsm_compare_result(const struct nsm_compare *compare);

/* Appends what identifies a record, for people: "id=42" or the key; escaped, at most about 200 bytes. */
void nsm_record_describe_key(const struct nsm_record *record, const struct nsm_object *object,
                             struct nsm_buf *out);

#endif
