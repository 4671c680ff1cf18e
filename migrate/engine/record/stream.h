/*
 * What a stream's record holds behind its head: pieces, in the order in which they can be written
 * again. First the consumer groups, each followed by its consumers and then by what is pending in
 * it; then the entries. A piece of a group begins with its word as NSM_TEXT, which no entry does:
 *
 *   group      "group", name, last delivered id, entries read (NSM_INT; NSM_NULL: not known)
 *   consumer   "consumer", name
 *   pending    "pending", id, consumer, when it was delivered (NSM_INT, Unix time in milliseconds),
 *              how many times (NSM_INT)
 *   entry      id, number of fields (NSM_INT), field, value, ...
 *
 * Consumers and what is pending are of the group before them, which in a continued slice may be one
 * of an earlier slice. A pending id need not be that of an entry: that may have been deleted.
 *
 * Threads: no state.
 */
#ifndef NSM_ENGINE_RECORD_STREAM_H
#define NSM_ENGINE_RECORD_STREAM_H

#include "migrate/engine/record/record.h"

/* Items before the first piece of a record that is no continued slice. */
#define NSM_STREAM_HEAD 3

enum nsm_stream_piece_kind {
    NSM_STREAM_GROUP,
    NSM_STREAM_CONSUMER,
    NSM_STREAM_PENDING,
    NSM_STREAM_ENTRY,
};

/* Items that a piece of a group has, with its word. */
#define NSM_STREAM_GROUP_ITEMS    4
#define NSM_STREAM_CONSUMER_ITEMS 2
#define NSM_STREAM_PENDING_ITEMS  5

struct nsm_stream_piece {
    enum nsm_stream_piece_kind kind;
    const struct nsm_value *values; /* behind the word; of an entry its id and all that follows */
    size_t n_values;
};

/* The word that such a piece begins with; not for entries. */
NSM_API struct nsm_value nsm_stream_word(enum nsm_stream_piece_kind kind);

/* Takes the piece at item *at, which is then behind it. False at the end, and where the items are not whole (then *at is before the
 * end). */
NSM_API bool nsm_stream_next(const struct nsm_record *record, size_t *at,
                             struct nsm_stream_piece *ret);

#endif
