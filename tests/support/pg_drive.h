/*
 * Drives the operations of the postgres adapter as the core does, one namespace at a time and on
 * one thread, so that a test can stop anywhere.
 */
#ifndef NSM_TESTS_SUPPORT_PG_DRIVE_H
#define NSM_TESTS_SUPPORT_PG_DRIVE_H

#include "adapters/postgres/pg_conn.h"
#include "adapters/postgres/postgres.h"
#include "migrate/engine/record/settings.h"

/* One namespace between two backends. */
struct pg_drive {
    struct nsm_context *ctx;
    struct nsm_pg_backend from, to;
    struct nsm_settings *from_url, *to_url, *selection, *target_selection;
    struct nsm_source source;
    struct nsm_destination destination;
    struct nsm_finish_plan plan;
    char *work_dir, *definition;
    enum nsm_lane lane;
    bool has_definition;
    uint64_t n_records, n_skipped;
    struct nsm_digest digest;
};

/* `selection` and `target` are "key=value" texts, NULL at the end. */
void pg_drive_init(struct pg_drive *drive, const char *from_url, const char *const *selection,
                   const char *to_url, const char *const *target);
void pg_drive_release(struct pg_drive *drive);

/* The steps. */
struct nsm_error *pg_drive_survey(struct pg_drive *drive)
    NSM_MUST_USE; /* survey, define, inspect */
struct nsm_error *pg_drive_prepare(struct pg_drive *drive) NSM_MUST_USE; /* and plan_finish */
/* Copies part `index` of the census in one transaction. */
struct nsm_error *pg_drive_copy_part(struct pg_drive *drive, size_t index) NSM_MUST_USE;
struct nsm_error *pg_drive_copy(struct pg_drive *drive) NSM_MUST_USE;
struct nsm_error *pg_drive_finish(struct pg_drive *drive) NSM_MUST_USE;
/* Reads what was written and compares the digests: *ret_equal. */
struct nsm_error *pg_drive_verify(struct pg_drive *drive, bool *ret_equal) NSM_MUST_USE;
/* All of them, and complete. NSM_E_CORRUPT when verify finds a difference. */
struct nsm_error *pg_drive_run(struct pg_drive *drive) NSM_MUST_USE;

/* Reads all rows of a part into the digest and the count, and hands batches to a writer if there is
 * one. */
struct nsm_error *pg_drive_read(struct pg_drive *drive, const struct nsm_source *source,
                                const struct nsm_part *part, struct nsm_writer *writer,
                                struct nsm_digest *digest) NSM_MUST_USE;

/* How many findings of this kind, whose text holds `text` (NULL: any). */
size_t pg_drive_count(const struct nsm_findings *findings, enum nsm_finding_kind kind,
                      const char *text);

#endif
