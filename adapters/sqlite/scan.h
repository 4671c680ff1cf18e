/*
 * Looking at the rows of a table before it is copied: how many there are, of what types, and where
 * it can be cut.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_SQLITE_SCAN_H
#define NSM_ADAPTERS_SQLITE_SCAN_H

#include "adapters/sqlite/source.h"

/* NSM_E_CORRUPT when the b-trees of the table and its indexes are not whole, which reading it might pass over: where a key that
 * leads to rows is damaged, rows are missing without an error. What the rows hold is not looked at: old ones may break
 * constraints. SQLite does not look at the context meanwhile, a few seconds for each gigabyte. */
struct nsm_error *sqlite_scan_damage(struct sqlite_db *db, const char *table) NSM_MUST_USE;

/* One pass over all rows: sets each column's type to one that holds all its values, and the
 * object's counts. Where there is none, or a text that other stores do not take, a REFUSAL; without `findings`
 * the column is marked as has_own_values. */
struct nsm_error *sqlite_scan_values(struct sqlite_db *db, const struct sqlite_access *access,
                                     struct nsm_object *object, struct nsm_findings *findings)
    NSM_MUST_USE;

/* Counts the rows and estimates their bytes from a few of them. */
struct nsm_error *sqlite_scan_counts(struct sqlite_db *db, const struct sqlite_access *access,
                                     struct nsm_object *object) NSM_MUST_USE;

/* Adds the object's parts to the census: about `part_bytes` each, 0: one. */
struct nsm_error *sqlite_scan_parts(struct sqlite_db *db, const struct sqlite_access *access,
                                    size_t part_bytes, size_t object_index,
                                    struct nsm_census *census) NSM_MUST_USE;

#endif
