/*
 * A backend of the adapter `file` in a folder of its own, one namespace on it, and what it takes to
 * write, read and damage it through the adapter's operations.
 *
 * Threads: one; all checks are cmocka's, so only a test's main thread may call.
 */
#ifndef NSM_TESTS_SUPPORT_FILE_RIG_H
#define NSM_TESTS_SUPPORT_FILE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/file/file.h"
#include "migrate/base/alloc.h"
#include "migrate/engine/record/settings.h"

struct rig {
    char *path;
    struct nsm_context *ctx;
    struct nsm_settings *settings;
    struct nsm_settings *side;
    struct nsm_backend *backend;
    struct nsm_census shape;
    struct nsm_destination destination;
};

struct rig_writing {
    struct nsm_writer *writer;
    struct nsm_write_request request;
    struct nsm_checkpoint now;
};

struct rig_reading {
    struct nsm_source source;
    struct nsm_batch batch;    /* the last one read */
    struct nsm_digest digest;  /* of all records */
    struct nsm_digest ordered; /* of all records with their place */
    size_t batch_bytes;        /* 1 MiB, unless the test says otherwise after the survey */
};

/* Fails the test with the error's text. */
void rig_assert_ok(struct nsm_error *error);
/* Fails the test unless the error has that code and says that; frees it. */
void rig_assert_error(struct nsm_error *error, enum nsm_code code, const char *expected);

/* ---- the backend and its folder ---- */

/* In a folder of its own, as run "run-1"; `compress` as in a plan. */
void rig_begin(struct rig *rig, const char *compress);
void rig_end(struct rig *rig);
/* Opens rig->path; rig_begin() has done so. */
void rig_open_backend(struct rig *rig, const char *compress, const char *run_id);
void rig_close_backend(struct rig *rig);
void rig_remove_tree(const char *path);

/* Names are relative to the backend's path; the caller frees. */
char *rig_path_of(const struct rig *rig, const char *name);
bool rig_exists(const struct rig *rig, const char *name);
/* Whole files of less than `size` bytes. */
size_t rig_load(const char *path, char *bytes, size_t size);
void rig_save(const char *path, const char *bytes, size_t len);

/* ---- shapes and records ---- */

/* Adds a table of four columns to what is to be written; `name` is borrowed. */
void rig_shape_table(struct rig *rig, const char *name);
void rig_shape_keys(struct rig *rig, struct nsm_str prefix);
/* A row of that table. */
void rig_add_row(struct nsm_batch *batch, uint64_t id);
/* Seven keys in ten records: of all kinds, with odd bytes, expiries and slices; prefix "p:". */
void rig_add_keys(struct nsm_batch *batch);

/* ---- writing ---- */

void rig_inspect(struct rig *rig, const char *name, enum nsm_if_exists if_exists, bool is_ours);
void rig_close_destination(struct rig *rig);
size_t rig_count_findings(const struct rig *rig, enum nsm_finding_kind kind);

struct nsm_error *rig_try_open_writer(struct rig *rig, size_t object, const char *part_id,
                                      const struct nsm_checkpoint *from,
                                      struct rig_writing *writing) NSM_MUST_USE;
void rig_open_writer(struct rig *rig, size_t object, const char *part_id,
                     const struct nsm_checkpoint *from, struct rig_writing *writing);
void rig_close_writer(struct rig_writing *writing);
void rig_write_batch(struct rig *rig, struct rig_writing *writing, const struct nsm_batch *batch);
/* Rows `first` to `behind` - 1. */
void rig_write_rows(struct rig *rig, struct rig_writing *writing, uint64_t first, uint64_t behind);
void rig_checkpoint(struct rig *rig, struct rig_writing *writing, const char *resume, bool is_done);
void rig_finish(struct rig *rig);
/* All of it, after inspect: rows of object 0 in one part with a checkpoint in its middle. */
void rig_export_rows(struct rig *rig, const char *name, uint64_t n_rows);

/* ---- reading ---- */

/* The reading must be ended also when this fails. */
struct nsm_error *rig_survey(struct rig *rig, const char *name, struct rig_reading *reading)
    NSM_MUST_USE;
void rig_end_reading(struct rig_reading *reading);
/* In batches of `n_batch`; with `reopens` a new reader goes on after each. */
struct nsm_error *rig_read_part(struct rig *rig, struct rig_reading *reading, size_t part,
                                size_t n_batch, bool reopens) NSM_MUST_USE;
/* *ret is set in any case: of what was read, in its order. */
struct nsm_error *rig_read_all(struct rig *rig, const char *name, struct nsm_digest *ret)
    NSM_MUST_USE;

#endif
