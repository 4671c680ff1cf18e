/*
 * Writing the rows of a part.
 *
 * Threads: one writer, one thread.
 */
#ifndef NSM_ADAPTERS_SQLITE_WRITER_H
#define NSM_ADAPTERS_SQLITE_WRITER_H

#include "adapters/sqlite/destination.h"

struct sqlite_writer {
    struct nsm_writer base;
    struct sqlite_db *db; /* the backend's writing one; ours while is_open */
    sqlite3_stmt *insert;
    sqlite3_stmt *erase; /* NULL before the first */
    bool is_open;        /* a transaction, and with it the turn to write */
    bool counts_skipped;
};

/* For repair. */
struct nsm_error *sqlite_erase(struct nsm_writer *base, struct nsm_context *ctx,
                               const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *sqlite_writer_open(struct nsm_writer *base, struct nsm_context *ctx) NSM_MUST_USE;
struct nsm_error *sqlite_write(struct nsm_writer *base, struct nsm_context *ctx,
                               const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *sqlite_writer_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                           const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;
void sqlite_writer_close(struct nsm_writer *base);

#endif
