/*
 * Our own table in a destination's file: how far each part has come, written in the transaction of
 * its rows; which tables the run made; and whether it made the file.
 *
 * Threads: as the connection.
 */
#ifndef NSM_ADAPTERS_SQLITE_CHECKPOINT_H
#define NSM_ADAPTERS_SQLITE_CHECKPOINT_H

#include "adapters/sqlite/store.h"

/* All but the loading run in the caller's transaction, and all but sqlite_checkpoint_init() want the
 * table to be there: sqlite_has_table(db, SQLITE_CHECKPOINT_TABLE). */

/* The namespace of this run that made `table`, in the arena; NULL: none. */
struct nsm_error *sqlite_checkpoint_owner(struct sqlite_db *db, struct nsm_arena *arena,
                                          const char *run_id, const char *table, const char **ret)
    NSM_MUST_USE;

/* Makes the table if it is not there; *ret_made_file: a run of ours has made the file. */
struct nsm_error *sqlite_checkpoint_init(struct sqlite_db *db, bool is_new_file,
                                         bool *ret_made_file) NSM_MUST_USE;

/* Notes that the namespace is at work: until it is complete the table stays. */
struct nsm_error *sqlite_checkpoint_join(struct sqlite_db *db, const char *run_id,
                                         const char *namespace_name) NSM_MUST_USE;

/* Notes that the run made `table`; forgets what other runs noted of it. */
struct nsm_error *sqlite_checkpoint_own(struct sqlite_db *db, const char *run_id,
                                        const char *namespace_name, const char *table) NSM_MUST_USE;

struct nsm_error *sqlite_checkpoint_put(struct sqlite_db *db, const char *run_id,
                                        const struct nsm_write_request *request,
                                        const struct nsm_checkpoint *checkpoint) NSM_MUST_USE;

/* Forgets the parts of one table. */
struct nsm_error *sqlite_checkpoint_reset(struct sqlite_db *db, const char *run_id,
                                          const char *table) NSM_MUST_USE;

/* Forgets the namespace; drops the table when nothing is left in it. */
struct nsm_error *sqlite_checkpoint_complete(struct sqlite_db *db, const char *run_id,
                                             const char *namespace_name) NSM_MUST_USE;

/* nsm_adapter.load_checkpoints. */
struct nsm_error *sqlite_load_checkpoints(struct nsm_backend *base, struct nsm_context *ctx,
                                          nsm_checkpoint_fn *fn, void *arg) NSM_MUST_USE;

#endif
