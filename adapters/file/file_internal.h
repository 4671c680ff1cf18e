/*
 * The operations of the adapter `file`, shared by the files that hold its table, its source and its
 * destination, and by nobody else.
 */
#ifndef NSM_ADAPTERS_FILE_INTERNAL_H
#define NSM_ADAPTERS_FILE_INTERNAL_H

#include "adapters/adapter.h"
#include "adapters/file/file_journal.h"
#include "adapters/file/file_line.h"
#include "adapters/file/file_manifest.h"
#include "adapters/file/file_recut.h"
#include "adapters/file/file_stream.h"

#define FILE_PLAIN_SUFFIX ".jsonl"
#define FILE_ZSTD_SUFFIX  ".jsonl.zst"

struct file_backend {
    struct nsm_backend base;
    const char *path; /* the settings' */
    bool is_zstd;     /* new files are compressed */
};

struct file_reader {
    struct nsm_reader base;
    struct nsm_arena arena;
    const char *path;
    const struct file_entry *entry; /* of the manifest */
    struct file_shape shape;
    struct file_lines lines;
    struct file_recut recut;
    uint64_t n_records; /* before the next line */
    bool is_in_key;     /* the line before was a slice with more to come */
    struct nsm_buf key; /* whose slice it was */
};

struct file_writer {
    struct nsm_writer base;
    struct nsm_arena arena;
    const char *path;
    struct file_shape shape;
    struct file_sink sink;
    struct file_journal journal;
};

static inline struct file_backend *file_backend_of(struct nsm_backend *backend)
{
    return (struct file_backend *)backend;
}

/* "" where there is no run: no export is of it. */
static inline const char *file_run_id(const struct nsm_backend *backend)
{
    return backend->run_id ? backend->run_id : "";
}

/* The path of a namespace's folder, in the arena; `selection` is of either side. */
struct nsm_error *file_folder_path(struct nsm_backend *backend, struct nsm_arena *arena,
                                   const struct nsm_settings *selection, const char *namespace_name,
                                   const char **ret) NSM_MUST_USE;

/* "<device>:<inode>/<folder>" of the backend's path: the same data has the same identity, however
 * its path is spelt. */
const char *file_identity(const struct file_backend *backend, struct nsm_arena *arena,
                          const char *folder_path);

/* ---- file_source.c ---- */

struct nsm_error *file_survey(struct nsm_backend *backend, struct nsm_context *ctx,
                              struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;
void file_release_source(struct nsm_source *source);
struct nsm_error *file_reader_open(struct nsm_reader *base, struct nsm_context *ctx) NSM_MUST_USE;
struct nsm_error *file_read(struct nsm_reader *base, struct nsm_context *ctx,
                            struct nsm_batch *batch, bool *ret_is_end) NSM_MUST_USE;
void file_reader_close(struct nsm_reader *base);

/* ---- file_inspect.c, file_target.h ---- */

struct nsm_error *file_inspect(struct nsm_backend *backend, struct nsm_context *ctx,
                               struct nsm_destination **destinations, size_t n_destinations)
    NSM_MUST_USE;
void file_release_destination(struct nsm_destination *destination);

/* ---- file_destination.c ---- */

struct nsm_error *file_prepare(struct nsm_destination *destination, struct nsm_context *ctx)
    NSM_MUST_USE;
struct nsm_error *file_reset_object(struct nsm_destination *destination, struct nsm_context *ctx,
                                    size_t object_index) NSM_MUST_USE;
struct nsm_error *file_plan_finish(struct nsm_destination *destination, struct nsm_context *ctx,
                                   struct nsm_finish_plan *plan) NSM_MUST_USE;
struct nsm_error *file_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                   const struct nsm_finish_step *step) NSM_MUST_USE;
struct nsm_error *file_complete(struct nsm_destination *destination, struct nsm_context *ctx)
    NSM_MUST_USE;

/* ---- file_writer.c ---- */

struct nsm_error *file_writer_open(struct nsm_writer *base, struct nsm_context *ctx) NSM_MUST_USE;
struct nsm_error *file_write(struct nsm_writer *base, struct nsm_context *ctx,
                             const struct nsm_batch *batch) NSM_MUST_USE;
struct nsm_error *file_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                  const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;
void file_writer_close(struct nsm_writer *base);

#endif
