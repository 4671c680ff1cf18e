/*
 * Records as lines of JSON and back (README.md has the forms). Lines of a table are objects of its
 * columns, lines of a key space objects of key, kind, value and what else there is to say.
 *
 * Threads: immutable after init; a shape may be used from many threads.
 */
#ifndef NSM_ADAPTERS_FILE_LINE_H
#define NSM_ADAPTERS_FILE_LINE_H

#include "adapters/adapter.h"

/* An object as its lines need it. */
struct file_shape {
    const struct nsm_object *object; /* borrowed */
    struct nsm_str prefix;           /* keys: that all of them have; borrowed */
    struct nsm_str *members;         /* rows: `"name":` of each column, in the arena */
    unsigned left_out; /* enum file_left_out: columns that are passed over in reading */
};

/* Columns that not every destination takes. */
enum file_left_out {
    FILE_LEFT_OUT_PLACES = 1 << 0,
    FILE_LEFT_OUT_GENERATED = 1 << 1,
};
static inline bool file_is_left_out(const struct nsm_column *column, unsigned left_out)
{
    return (column->is_place && left_out & FILE_LEFT_OUT_PLACES) ||
           (column->is_generated && left_out & FILE_LEFT_OUT_GENERATED);
}

void file_shape_init(struct file_shape *shape, struct nsm_arena *arena,
                     const struct nsm_object *object, struct nsm_str prefix);

/* Appends the record's line with its newline. NSM_E_INTERNAL when the record is not of this shape.
 */
struct nsm_error *file_line_write(struct nsm_buf *out, const struct file_shape *shape,
                                  const struct nsm_record *record) NSM_MUST_USE;

/* Adds the record of a line (without newline) to the batch, without accounting for it.
 * NSM_E_CORRUPT says what was expected, and does not quote data. */
struct nsm_error *file_line_read(struct nsm_batch *batch, const struct file_shape *shape,
                                 struct nsm_str line) NSM_MUST_USE;

#endif
