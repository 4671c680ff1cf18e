/*
 * The state of a namespace that is read from a SQLite file, between survey and release_source.
 *
 * Threads: immutable after the survey.
 */
#ifndef NSM_ADAPTERS_SQLITE_SOURCE_H
#define NSM_ADAPTERS_SQLITE_SOURCE_H

#include "adapters/sqlite/access.h"

/* In the census's arena. */
struct sqlite_source {
    struct sqlite_access *accesses; /* by object */
    struct sqlite_item *items;      /* that belong to the selected tables; views with all tables */
    size_t n_items;
    const char **table_sql;     /* by object: how the table was made */
    size_t *places;             /* by object: when, compared to the others */
    const char **virtual_names; /* of the selected virtual tables */
    size_t n_virtual;
    const char *encoding;
    bool is_whole; /* the namespace is the whole file: its settings and views belong to it */
    bool is_raw;   /* the reader on the other side is a SQLite file: texts pass as they are */
};

/* Where a part of a table begins and ends. */
struct sqlite_range {
    int64_t first, last; /* rowids, both included */
};
#define SQLITE_RANGE_ALL ((struct sqlite_range){.first = INT64_MIN, .last = INT64_MAX})
bool sqlite_range_parse(struct nsm_str text, struct sqlite_range *ret) NSM_MUST_USE;

/* "<device>:<inode>", or the folder's and the name while there is no such file: the same for any
 * spelling of a path. */
const char *sqlite_file_identity(struct nsm_arena *arena, const char *path);

struct nsm_error *sqlite_survey(struct nsm_backend *base, struct nsm_context *ctx,
                                struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;
void sqlite_release_source(struct nsm_source *source);
struct nsm_error *sqlite_list(struct nsm_backend *base, struct nsm_context *ctx, const char *key,
                              const char *glob, nsm_name_fn *fn, void *arg) NSM_MUST_USE;

#endif
