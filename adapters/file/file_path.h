/*
 * Names, folders and small files of the adapter `file`: every name that comes from a plan or a
 * store becomes one path component that can't leave its folder, and what must survive a crash is
 * written aside, synced and renamed.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_FILE_PATH_H
#define NSM_ADAPTERS_FILE_PATH_H

#include <stdint.h>

#include "migrate/base/arena.h"
#include "migrate/base/buf.h"
#include "migrate/base/error.h"

/* Leaves room for suffixes within the 255 bytes of a file name. */
#define FILE_NAME_BYTES 180

/* What to do when a folder is not as this run left it. */
#define FILE_BEGIN_ANEW "begin anew, with --fresh and if_exists: replace"

/* Appends `name` with all but letters, digits, '_', '-' and the bytes in `also` as %XX; non-ASCII
 * bytes stay where the whole is UTF-8. At most FILE_NAME_BYTES are appended; false: it was cut. */
bool file_name_encode(struct nsm_buf *out, struct nsm_str name, const char *also);

/* The folder of a namespace below a backend's path: `folder` as it is when given, else the encoded
 * name. NSM_E_INVALID when `folder` would not be one visible component of a path. */
struct nsm_error *file_folder_name(struct nsm_arena *arena, const char *folder,
                                   const char *namespace_name, const char **ret) NSM_MUST_USE;

/* What errno says about that path: NSM_E_NOTFOUND when it is not there, else NSM_E_IO. */
struct nsm_error *file_error(const char *path) NSM_MUST_USE;

/* Whether the folder, or where it does not exist the nearest one above it, can be written to. */
bool file_is_writable(const char *path);

/* Makes the folder and what is missing above it, 0700. */
struct nsm_error *file_make_folders(const char *path) NSM_MUST_USE;

/* Makes what was created, renamed or removed in the folder durable. */
struct nsm_error *file_sync_folder(const char *folder) NSM_MUST_USE;

/* Opens a file of ours in its folder: never through a link. */
struct nsm_error *file_open(const char *path, int flags, int *ret_fd) NSM_MUST_USE;

/* All of `bytes`, in as many calls as it takes. `path` is for the message. */
struct nsm_error *file_write_all(int fd, const char *path, struct nsm_str bytes) NSM_MUST_USE;

/* Replaces `folder`/`name` by `bytes`: whole or not at all, durable on return; written aside under
 * this suffix. */
#define FILE_ASIDE_SUFFIX ".tmp"
struct nsm_error *file_replace(const char *folder, const char *name, struct nsm_str bytes)
    NSM_MUST_USE;

/* Appends a whole file to `ret`, whose limit is that of the file. */
struct nsm_error *file_read_all(const char *path, struct nsm_buf *ret) NSM_MUST_USE;

/* The lock of who writes to a folder; what a killed run leaves of it says nothing. */
#define FILE_LOCK_NAME ".nsmigrate-lock"

/* The names in a folder but ".", ".." and the lock, sorted: shorter first, then bytewise, so that part 10
 * comes after part 9. */
struct file_names {
    struct nsm_arena arena;
    const char **names;
    size_t n_names, cap_names;
};
struct nsm_error *file_list(const char *folder, struct file_names *ret) NSM_MUST_USE;
/* The index of a name, n_names when it is none of them. */
size_t file_names_find(const struct file_names *names, const char *name);
void file_names_release(struct file_names *names);

/* Removes `folder`/`name`; that it is not there is no error. */
struct nsm_error *file_remove(const char *folder, const char *name) NSM_MUST_USE;

bool file_name_ends_with(const char *name, const char *suffix);

/* Closes a descriptor that is held in a local: for NSM_CLEANUP. */
void file_closep(const int *fd);

#endif
