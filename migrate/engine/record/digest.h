/*
 * An order-independent checksum of records, computed alike on both sides: the sum, modulo 2^128, of
 * the XXH3-128 of each record. A sum and not an exclusive or, because two equal rows must not
 * cancel out. Integrity, not security.
 *
 * Threads: one thread at a time; the functions that take no digest from anywhere.
 */
#ifndef NSM_ENGINE_RECORD_DIGEST_H
#define NSM_ENGINE_RECORD_DIGEST_H

#include "migrate/engine/record/record.h"

struct nsm_digest {
    uint64_t low, high;
    uint64_t n_records;
};

struct nsm_hash {
    uint64_t low, high;
};

enum nsm_digest_flag {
    /* The types of values count too: between stores of one kind, where 1 and '1' are different
     * things. */
    NSM_DIGEST_TYPED = 1 << 0,
};

NSM_API void nsm_digest_add_hash(struct nsm_digest *digest, struct nsm_hash hash);
/* One row of a native lane, as it travels. */
NSM_API void nsm_digest_add_raw(struct nsm_digest *digest, struct nsm_str row);
/* digest += other */
NSM_API void nsm_digest_merge(struct nsm_digest *digest, const struct nsm_digest *other);
/* Whether the sums are equal. n_records is a count for people and not compared: how a key was
 * sliced must not matter. */
NSM_API bool nsm_digest_equals(const struct nsm_digest *a, const struct nsm_digest *b);

/* 32 lower case hexadecimal digits and a NUL into `out` (33 bytes). And back; n_records is no part of
 * the text. */
NSM_API void nsm_digest_format(const struct nsm_digest *digest, char *out);
NSM_API bool nsm_digest_parse(struct nsm_str text, struct nsm_digest *ret) NSM_MUST_USE;

/*
 * The hash of a record. The first `skip_key_bytes` of its key, the namespace's prefix, do not
 * count. The order of the items of sets, hashes and zsets does not count (stores return it as they
 * like); that of lists, streams and rows does. A FLOAT counts as its number, so that "1" and "1.0"
 * are the same. A big key's slices each count on their own for lists and streams too, so the
 * slicing must be the same on both sides: readers slice at fixed item counts (see adapter.h); for
 * sets, hashes and zsets the hash of a slice is the sum of the hashes of its items, so slicing does
 * not matter.
 */
NSM_API struct nsm_hash nsm_record_hash(const struct nsm_record *record, size_t skip_key_bytes,
                                        unsigned flags);

/* Adds the record's hash; a key in several slices counts as one record. */
NSM_API void nsm_digest_add_record(struct nsm_digest *digest, const struct nsm_record *record,
                                   size_t skip_key_bytes, unsigned flags);

/* The hash of what identifies the record alone: the rest of its key, or its values in the object's
 * key columns (all columns where there is no key). */
NSM_API struct nsm_hash nsm_record_key_hash(const struct nsm_record *record,
                                            const struct nsm_object *object, size_t skip_key_bytes);

#endif
