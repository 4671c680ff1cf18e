/*
 * The core's part, played for the conformance suite and for tests of one adapter: a backend with
 * what a plan would know, records that are made up, reading and writing as the contract says, and
 * comparing by the digests that the core compares by.
 *
 * Threads: one; all checks are cmocka's.
 */
#ifndef NSM_TESTS_SUPPORT_CONFORMANCE_DRIVE_H
#define NSM_TESTS_SUPPORT_CONFORMANCE_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/memory/generate.h"
#include "migrate/base/alloc.h"
#include "migrate/engine/record/settings.h"
#include "tests/support/conformance.h"

#define CONF_MAX_COLUMNS 32

#define assert_ok(expr)         conf_assert_ok_at((expr), #expr, __LINE__)
#define assert_code(expr, code) conf_assert_code_at((expr), (code), #expr, __LINE__)

/* A process of a plan: its backend, and the settings of both sides. */
struct conf_run {
    struct conformance_fixture *fixture;
    const struct nsm_adapter *adapter;
    struct nsm_context *ctx;
    struct nsm_backend *backend;
    struct nsm_settings *backend_settings, *source_settings, *destination_settings;
    char *work_dir;
    struct nsm_finish_plan finish; /* made by conf_prepare() */
};

/* Records `first` to `first + count` of a made-up namespace, in the shape of the fixture. */
struct conf_data {
    struct memory_generator generator;
    struct nsm_census shape;
    size_t kept[CONF_MAX_COLUMNS]; /* columns of the generator that the fixture's store takes */
    unsigned model, kinds;
};

/* Records with slices put together; `skip` bytes of each key do not count. */
struct conf_collection {
    struct nsm_batch batch;
    size_t skip;
};

/* Where a reader has come to: nowhere, at a token, or at the end of its part. */
struct conf_place {
    char *token; /* malloc'd */
    size_t len;
    bool is_end;
};

/* A writer at work, and the checkpoint that counts what it was given. */
struct conf_writing {
    struct nsm_write_request request;
    struct nsm_writer *writer;
    struct nsm_checkpoint checkpoint;
};

/* Use the macros above. */
void conf_assert_ok_at(struct nsm_error *error, const char *what, int line);
void conf_assert_code_at(struct nsm_error *error, enum nsm_code code, const char *what, int line);
/* The caller frees. */
struct nsm_settings *conf_make_settings(const struct nsm_option *table, const char *const *pairs);
/* Opens a backend as the run `run_id`. */
void conf_run_begin(struct conf_run *run, struct conformance_fixture *fixture, const char *run_id);
void conf_run_end(struct conf_run *run);
/* `seed`: records of different seeds have the same keys and different values. The caller releases
 * data->shape. */
void conf_data_init(struct conf_data *data, const struct conformance_fixture *fixture,
                    const char *seed);
/* Adds the records of these ordinals to the batch, in the form of `target` (NULL: as they are). */
void conf_data_add(const struct conf_data *data, const struct nsm_object *target, uint64_t first,
                   uint64_t count, struct nsm_batch *batch);
void conf_collection_init(struct conf_collection *collection, size_t skip);
/* Of all records, put together. */
struct nsm_digest conf_digest_of(const struct conf_collection *collection);
void conf_assert_same(const struct conf_collection *found, const struct conf_collection *expected);
/* Adds what conf_data_add() would write. */
void conf_expect(const struct conf_data *data, const struct nsm_object *target, uint64_t first,
                 uint64_t count, struct conf_collection *into);
void conf_collection_release(struct conf_collection *collection);
/* ---- reading ---- */

/* The fixture's source, or what `written` has written. Parts of 600 bytes. */
void conf_source_init(struct nsm_source *source, struct conf_run *run,
                      const struct nsm_destination *written);
struct nsm_error *conf_survey(struct conf_run *run, struct nsm_source *source) NSM_MUST_USE;
void conf_source_release(struct conf_run *run, struct nsm_source *source);
/* Batches of four records. */
void conf_request_init(struct nsm_read_request *request, const struct nsm_source *source,
                       size_t part, struct nsm_str resume);
/* The caller frees. */
struct nsm_reader *conf_new_reader(struct conf_run *run, const struct nsm_read_request *request);
/* Reads the part from `place` on, at most `max_batches`; moves the place. */
void conf_read_part(struct conf_run *run, const struct nsm_source *source, size_t part,
                    size_t max_batches, struct conf_place *place, struct conf_collection *into);
/* From beginning to end. */
void conf_read_whole(struct conf_run *run, const struct nsm_source *source, size_t part,
                     struct conf_collection *into);
void conf_read_all(struct conf_run *run, const struct nsm_source *source,
                   struct conf_collection *into);
/* Everything that `written` (or, with NULL, the fixture's source) holds. */
void conf_read_back(struct conf_run *run, const struct nsm_destination *written,
                    struct conf_collection *into);
/* ---- writing ---- */

void conf_destination_init(struct nsm_destination *destination, struct conf_run *run,
                           const struct conf_data *data, enum nsm_if_exists if_exists);
struct nsm_error *conf_inspect(struct conf_run *run, struct nsm_destination *destination)
    NSM_MUST_USE;
size_t conf_count_findings(const struct nsm_destination *destination, enum nsm_finding_kind kind);
void conf_destination_release(struct conf_run *run, struct nsm_destination *destination);
/* Opens a writer of the first object, from a checkpoint or the beginning. */
struct nsm_error *conf_writing_open(struct conf_run *run, struct nsm_destination *destination,
                                    const struct nsm_checkpoint *from, struct conf_writing *writing)
    NSM_MUST_USE;
/* The same for repair. */
struct nsm_error *conf_repair_open(struct conf_run *run, struct nsm_destination *destination,
                                   struct conf_writing *writing) NSM_MUST_USE;
void conf_writing_close(struct conf_run *run, struct conf_writing *writing);
void conf_write_some(struct conf_run *run, struct conf_writing *writing,
                     const struct conf_data *data, uint64_t first, uint64_t count);
/* `token` has four bytes, a NUL and a high byte among them; none with `is_done`. */
void conf_put_checkpoint(struct conf_run *run, struct conf_writing *writing, const char *token,
                         bool is_done);
/* The life of a destination up to its completion, with `count` records in batches of five. */
void conf_write_all(struct conf_run *run, struct nsm_destination *destination,
                    const struct conf_data *data, uint64_t first, uint64_t count);
/* And plans what conf_finish() does, as the core does it: before the rows. */
void conf_prepare(struct conf_run *run, struct nsm_destination *destination);
/* All finish steps, twice. */
void conf_finish(struct conf_run *run, struct nsm_destination *destination);
/* Twice. */
void conf_complete(struct conf_run *run, struct nsm_destination *destination);
bool conf_is_destination(const struct conformance_fixture *fixture);
/* A store that an earlier, completed run has filled with records 0 to `count`. */
void conf_fill(struct conformance_fixture *fixture, const struct conf_data *data, uint64_t count);

#endif
