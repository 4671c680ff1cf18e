/*
 * SQLite files for tests of the adapter `sqlite`: what is in them is made and looked at by SQLite
 * itself, the adapter is driven as the core does.
 *
 * Threads: one; all checks are cmocka's.
 */
#ifndef NSM_TESTS_SUPPORT_SQLITE_RIG_H
#define NSM_TESTS_SUPPORT_SQLITE_RIG_H

#include "adapters/sqlite/sqlite.h"
#include "tests/support/conformance_drive.h"

/* A backend on a file. */
struct lite {
    char *path, *work_dir;
    struct nsm_context *ctx;
    struct nsm_settings *settings, *source_settings, *destination_settings;
    struct nsm_backend *backend;
};

/* On `folder`/`name`, as run "run". `tables`: what the source selects, NULL for all; `table`: what
 * the destination is called, NULL for its own name. */
void lite_open(struct lite *lite, const char *folder, const char *name, const char *tables,
               const char *table);
void lite_close(struct lite *lite);

/* ---- SQLite itself ---- */

void lite_exec(const char *folder, const char *name, const char *sql);
/* The first column of all rows, joined by '|'; the caller frees. */
char *lite_value(const char *folder, const char *name, const char *sql);
void lite_expect(const char *folder, const char *name, const char *sql, const char *expected);

/* ---- the adapter ---- */

/* With flags of enum nsm_survey_flag; release with lite_release_source(), whatever it returns. */
struct nsm_error *lite_survey(struct lite *lite, struct nsm_source *source, unsigned flags,
                              size_t part_bytes) NSM_MUST_USE;
void lite_release_source(struct nsm_source *source);

/* All records of the source, in one batch that the caller releases. */
struct nsm_error *lite_read(struct lite *lite, const struct nsm_source *source,
                            struct nsm_batch *into) NSM_MUST_USE;

/* Whether there is a finding of that kind whose text holds `words`. */
bool lite_finds(const struct nsm_findings *findings, enum nsm_finding_kind kind, const char *words);

/* A namespace's whole way between two files, up to complete; stops with NSM_E_CONFLICT or
 * NSM_E_UNSUPPORTED at the first CONFLICT (under fail) or REFUSAL, as the core does. */
struct nsm_error *lite_copy(struct lite *from, struct lite *to, enum nsm_if_exists if_exists)
    NSM_MUST_USE;

/* Fails unless the error has that code and its text holds `words`; frees it. */
void lite_expect_error(struct nsm_error *error, enum nsm_code code, const char *words);

#endif
