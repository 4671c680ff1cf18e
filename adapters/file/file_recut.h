/*
 * Strings, cut anew: a file holds them in the slices in which they came, while a reader must give
 * them in slices of its request's batch_bytes, so that whoever reads the same string elsewhere cuts
 * it alike and the digests agree.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_FILE_RECUT_H
#define NSM_ADAPTERS_FILE_RECUT_H

#include "migrate/engine/record/batch.h"

struct file_recut {
    size_t max_bytes; /* of a slice */
    struct nsm_buf key, bytes;
    size_t at; /* bytes before it were given out */
    int64_t expires_at_ms;
    bool is_active; /* holds a string, or a piece of one */
    bool is_begun;  /* a slice of it was given out */
    bool is_whole;  /* its last line was taken */
};
void file_recut_init(struct file_recut *recut, size_t max_bytes);
void file_recut_release(struct file_recut *recut);

/* Looks at the record that was added to the batch last: takes it out when it is a string that must
 * be cut otherwise, else accounts for it. */
struct nsm_error *file_recut_take(struct file_recut *recut, struct nsm_batch *batch) NSM_MUST_USE;

/* Whether a slice can be given out before the next line is read; and gives it out. */
bool file_recut_has_slice(const struct file_recut *recut);
void file_recut_add_slice(struct file_recut *recut, struct nsm_batch *batch);

#endif
