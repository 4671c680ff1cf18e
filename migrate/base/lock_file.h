/*
 * A file that is locked as long as its holder lives, and says who that is. The lock is an
 * open-file-description lock because that is the only kind that both dies with its holder and conflicts
 * within one process too; a classic POSIX lock would be dropped by whoever closes any descriptor of the file.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_BASE_LOCK_FILE_H
#define NSM_BASE_LOCK_FILE_H

#include "migrate/base/error.h"

struct nsm_lock_file {
    char *path;
    int fd;
};

/* Makes the file (0600) and locks it, without waiting; `text` goes into it. When another has it: NSM_E_CONFLICT, and
 * *ret_held is what that one has put there, at most some hundred bytes, perhaps none; the caller frees. */
struct nsm_error *nsm_lock_file_take(const char *path, const char *text, struct nsm_lock_file **ret,
                                     char **ret_held) NSM_MUST_USE;

/* Whether someone, we too, holds it now. */
bool nsm_lock_file_is_held(const char *path);

/* The first line of such a text, made fit for a message: printable characters. The caller frees. */
char *nsm_lock_file_holder(const char *text) NSM_MUST_USE NSM_NONNULL;

/* Removes the file and lets it go. Accepts NULL. */
NSM_API void nsm_lock_file_drop(struct nsm_lock_file *lock);

#endif
