/*
 * How far a data file is, in a journal beside it (`<data file>.progress`) while its part is being
 * written: a header line, then one line per checkpoint, each with its own checksum. The core may
 * come back to any checkpoint that was acknowledged, not only to the last one, so all of them stay
 * until the namespace is complete.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_FILE_JOURNAL_H
#define NSM_ADAPTERS_FILE_JOURNAL_H

#include "adapters/adapter.h"
#include "adapters/file/file_stream.h"

#define FILE_JOURNAL_SUFFIX ".progress"

/* A checkpoint and what the data file was at it. */
struct file_mark {
    uint64_t n_records, n_data_bytes, n_vanished; /* as the core counts */
    struct nsm_str resume;                        /* the source's token */
    uint64_t offset, n_lines;                     /* of the data file */
    struct file_checksum checksum;
    bool is_done;
};

struct file_journal {
    int fd;
    char *path; /* owned */
};

/* Begins a new journal in place of any that is there, and makes it durable. `journal` is zeroed;
 * close it whatever this returns. */
struct nsm_error *file_journal_begin(struct file_journal *journal, const char *data_path,
                                     const char *run_id, struct nsm_str part_id) NSM_MUST_USE;

/* Opens the journal for going on behind `from`: finds its mark, forgets later ones. NSM_E_CORRUPT
 * with what to do when there is no such mark, or the journal is not this part's. `journal` is
 * zeroed; close it whatever this returns. */
struct nsm_error *file_journal_go_on(struct file_journal *journal, const char *data_path,
                                     const char *run_id, const struct nsm_write_request *request,
                                     struct file_mark *ret) NSM_MUST_USE;

/* Adds a mark; durable on return. */
struct nsm_error *file_journal_add(struct file_journal *journal, const struct file_mark *mark)
    NSM_MUST_USE;
void file_journal_close(struct file_journal *journal);

/* The last mark of a journal that may have been cut off by a crash, and whose run it is; strings in
 * `arena`. Zeros for a journal without marks. */
struct file_journal_end {
    struct file_mark mark;
    const char *run_id;
};
struct nsm_error *file_journal_read_end(const char *path, struct nsm_arena *arena,
                                        struct file_journal_end *ret) NSM_MUST_USE;

#endif
