/*
 * How the rows of a table are read in an order in which reading can be taken up again: by rowid, or
 * by the primary key where there is no rowid.
 *
 * Threads: immutable after it was made.
 */
#ifndef NSM_ADAPTERS_SQLITE_ACCESS_H
#define NSM_ADAPTERS_SQLITE_ACCESS_H

#include "adapters/sqlite/catalog.h"

enum sqlite_order {
    SQLITE_ORDER_ROWID, /* parameters: first and last rowid */
    SQLITE_ORDER_KEY,   /* WITHOUT ROWID; `after` has the key's values as parameters */
    SQLITE_ORDER_NONE,  /* the rowid can't be named: read as a whole, never taken up in between */
};

struct sqlite_access {
    enum sqlite_order order;
    bool is_seekable;   /* taking up costs a seek, not another pass */
    const char *select; /* the columns of the object, then the rowid or the key's columns */
    const char *after;  /* SQLITE_ORDER_KEY: the same, behind a key */
    const char *rowid;  /* SQLITE_ORDER_ROWID: its name in this table */
    size_t n_columns;   /* of the object */
    size_t n_key;       /* columns behind those: 1 for a rowid */
};

enum sqlite_affinity {
    SQLITE_AFFINITY_BLOB,
    SQLITE_AFFINITY_TEXT,
    SQLITE_AFFINITY_NUMERIC,
    SQLITE_AFFINITY_INTEGER,
    SQLITE_AFFINITY_REAL,
};
/* Of a declared type, by SQLite's rules (https://sqlite.org/datatype3.html#determination_of_column_affinity). */
enum sqlite_affinity sqlite_affinity_of(const char *declared);
/* What values of a column so declared are, as long as nobody looked. */
enum nsm_type sqlite_declared_type(const char *declared);

enum sqlite_describe_flag {
    /* Computed columns too, as if they were ordinary ones: for stores that can't compute them. */
    SQLITE_DESCRIBE_COMPUTED = 1 << 0,
};

/* Fills the columns and the key of `object` (in the arena), whose name is set; *ret_n_computed
 * counts computed columns. */
struct nsm_error *sqlite_describe_columns(struct sqlite_db *db, struct nsm_arena *arena,
                                          unsigned flags, struct nsm_object *object,
                                          size_t *ret_n_computed) NSM_MUST_USE;

/* Adds the rowid to the columns of a table that has one, where it can be named and no column stands for it; in a table without a
 * primary key it is the key. */
struct nsm_error *sqlite_add_rowid(struct sqlite_db *db, struct nsm_arena *arena,
                                   struct nsm_object *object) NSM_MUST_USE;

/* Fills a zeroed object with name, columns and key of another, all copied into the arena. */
void sqlite_copy_object(struct nsm_arena *arena, const struct nsm_object *from,
                        struct nsm_object *to);

/* For the object's columns. */
struct nsm_error *sqlite_access_make(struct sqlite_db *db, struct nsm_arena *arena,
                                     const struct nsm_object *object, struct sqlite_access *ret)
    NSM_MUST_USE;

#endif
