/*
 * A namespace's folder, seen from the side that is written: how its files are called, and which of
 * the files that stand there an export made.
 *
 * Threads: immutable after inspect, but for the lock, which is taken before the records and dropped after them.
 */
#ifndef NSM_ADAPTERS_FILE_TARGET_H
#define NSM_ADAPTERS_FILE_TARGET_H

#include "adapters/adapter.h"
#include "adapters/file/file_path.h"

/* nsm_destination.state; in the target's arena. */
struct file_target {
    const char *folder;
    const char *
        *bases; /* for each object: what its files' names begin with, before the first '.' */
    struct nsm_lock_file *lock; /* keeps other runs out; NULL: not taken */
};

/* Makes sure that the folder, which is there, is ours alone. */
struct nsm_error *file_target_lock(const struct nsm_destination *destination,
                                   struct nsm_context *ctx) NSM_MUST_USE;
void file_target_unlock(const struct nsm_destination *destination);

/* The names of the objects' files: the encoded name ("keys" where there is none), and "~<index>"
 * behind it where two objects would have the same, or where it had to be cut. */
const char **file_bases(struct nsm_arena *arena, const struct nsm_census *census);

/* Whether the file belongs to the object with that base. */
bool file_has_base(const char *name, const char *base);

/* "<base>.<part><suffix>", in the arena. */
const char *file_part_name(struct nsm_arena *arena, const char *base, const char *namespace_name,
                           struct nsm_str part_id, const char *suffix);

/* What stands in a folder. */
struct file_standing {
    struct file_names names; /* all */
    bool *is_ours;           /* index by index: made by an export of this format; on the heap */
    bool is_there;           /* the folder exists */
    bool has_manifest;       /* a readable one */
    bool is_of_run;          /* everything that says whose it is says: this run's */
    bool is_of_kin;          /* or that of one whose place this run took */
    uint64_t n_records;      /* of the manifest */
    const char *foreign;     /* the first file that is not ours, NULL when all are */
    size_t n_ours;
};
struct nsm_error *file_look(const char *folder, const char *run_id, struct file_standing *ret)
    NSM_MUST_USE;
void file_standing_release(struct file_standing *standing);

#endif
