/*
 * Reading a part of a table.
 *
 * Threads: one reader, one thread.
 */
#ifndef NSM_ADAPTERS_SQLITE_READER_H
#define NSM_ADAPTERS_SQLITE_READER_H

#include "adapters/sqlite/source.h"

struct sqlite_reader {
    struct nsm_reader base;
    struct sqlite_db *db; /* its own, or with takes_turns the backend's: only in a turn */
    sqlite3_stmt *statement;
    const struct sqlite_access *access;
    struct sqlite_range range; /* what is still to come */
    struct nsm_buf behind; /* SQLITE_ORDER_KEY: the key of the last row, as in the resume token */
    bool is_running;       /* the statement stands behind the last row that was read */
    bool is_short;         /* no transaction lasts over a batch */
    bool takes_turns;      /* reads on the connection that writes, a batch a turn */
    bool is_raw;
    bool is_utf16;
};

struct nsm_error *sqlite_reader_open(struct nsm_reader *base, struct nsm_context *ctx) NSM_MUST_USE;
struct nsm_error *sqlite_read(struct nsm_reader *base, struct nsm_context *ctx,
                              struct nsm_batch *batch, bool *ret_is_end) NSM_MUST_USE;
void sqlite_reader_close(struct nsm_reader *base);

#endif
