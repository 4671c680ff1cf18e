/*
 * Paths and durability. The order in which names and contents become durable is what makes a crash
 * harmless: contents first (fsync), then the name (rename), then the folder.
 */
#include "adapters/file/file_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

/* ---- names ---- */

static bool is_safe(unsigned char c, const char *also, bool is_utf8)
{
    const bool is_alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return is_alphanumeric || c == '_' || c == '-' || (c >= 0x80 && is_utf8) ||
           (c != 0 && strchr(also, c));
}

bool file_name_encode(struct nsm_buf *out, struct nsm_str name, const char *also)
{
    const size_t begin = out->len;
    const bool is_utf8 = nsm_is_utf8(name);
    for (size_t at = 0; at < name.len; at++) {
        const unsigned char c = (unsigned char)name.ptr[at];
        if (out->len - begin > FILE_NAME_BYTES - 3)
            return false;
        if (is_safe(c, also, is_utf8))
            nsm_buf_append_char(out, (char)c);
        else
            nsm_buf_printf(out, "%%%02X", (unsigned)c);
    }
    return true;
}

static bool is_visible_component(struct nsm_str name)
{
    if (name.len == 0 || name.len > FILE_NAME_BYTES || name.ptr[0] == '.' || !nsm_is_utf8(name))
        return false;
    for (size_t at = 0; at < name.len; at++) {
        const unsigned char c = (unsigned char)name.ptr[at];
        if (c < 0x20 || c == 0x7f || c == '/')
            return false;
    }
    return true;
}

struct nsm_error *file_folder_name(struct nsm_arena *arena, const char *folder,
                                   const char *namespace_name, const char **ret)
{
    if (folder) {
        if (!is_visible_component(nsm_str_of(folder))) {
            return nsm_error_new(NSM_E_INVALID,
                                 "folder: expected one name below the backend's path, of at most "
                                 "%d bytes, without '/' and no '.' at its beginning",
                                 FILE_NAME_BYTES);
        }
        *ret = nsm_arena_strdup(arena, folder);
        return NULL;
    }
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const bool is_hidden = namespace_name[0] == '.';
    if (is_hidden)
        nsm_buf_append_cstr(&name, "%2E");
    const bool is_whole = file_name_encode(&name, nsm_str_of(namespace_name + is_hidden), ".");
    if (!is_whole || name.len == 0) {
        return nsm_error_new(NSM_E_INVALID,
                             "the namespace's name is %s for a folder: give one with folder:",
                             is_whole ? "empty" : "too long");
    }
    *ret = nsm_arena_copy(arena, nsm_buf_view(&name)).ptr;
    return NULL;
}

bool file_name_ends_with(const char *name, const char *suffix)
{
    const size_t name_len = strlen(name);
    const size_t suffix_len = strlen(suffix);
    return name_len > suffix_len && strcmp(name + name_len - suffix_len, suffix) == 0;
}

/* ---- files ---- */

struct nsm_error *file_error(const char *path)
{
    if (errno == EMFILE)
        return nsm_error_new(NSM_E_IO,
                             "%s: %m: raise their limit (ulimit -n), or take fewer workers", path);
    return nsm_error_new(errno == ENOENT ? NSM_E_NOTFOUND : NSM_E_IO, "%s: %m", path);
}

void file_closep(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

struct nsm_error *file_open(const char *path, int flags, int *ret_fd)
{
    const int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_error(path);
    *ret_fd = fd;
    return NULL;
}

struct nsm_error *file_sync_folder(const char *folder)
{
    const int fd NSM_CLEANUP(file_closep) = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return file_error(folder);
    return NULL;
}

bool file_is_writable(const char *path)
{
    char *part NSM_CLEANUP(nsm_freep) = nsm_xstrdup(path);
    while (access(part, F_OK) != 0 && errno == ENOENT) {
        char *const slash = strrchr(part, '/');
        if (!slash)
            return access(".", W_OK | X_OK) == 0;
        slash[slash == part] = '\0';
    }
    return access(part, W_OK | X_OK) == 0;
}

static struct nsm_error *make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0)
        return NULL;
    const int saved = errno;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return NULL;
    errno = saved;
    return file_error(path);
}

struct nsm_error *file_make_folders(const char *path)
{
    char *part NSM_CLEANUP(nsm_freep) = nsm_xstrdup(path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        NSM_TRY(make_folder(part));
        *slash = '/';
    }
    NSM_TRY(make_folder(part));
    char *const last = strrchr(part, '/');
    if (!last || last == part)
        return file_sync_folder("/");
    *last = '\0';
    return file_sync_folder(part);
}

struct nsm_error *file_write_all(int fd, const char *path, struct nsm_str bytes)
{
    while (bytes.len > 0) {
        const ssize_t n_written = write(fd, bytes.ptr, bytes.len);
        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written < 0)
            return file_error(path);
        bytes = nsm_str_skip(bytes, (size_t)n_written);
    }
    return NULL;
}

static struct nsm_error *write_synced(const char *path, struct nsm_str bytes)
{
    int fd NSM_CLEANUP(file_closep) = -1;
    NSM_TRY(file_open(path, O_WRONLY | O_CREAT | O_TRUNC, &fd));
    NSM_TRY(file_write_all(fd, path, bytes));
    if (fsync(fd) != 0)
        return file_error(path);
    return NULL;
}

struct nsm_error *file_replace(const char *folder, const char *name, struct nsm_str bytes)
{
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/%s", folder, name);
    char *aside NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s" FILE_ASIDE_SUFFIX, path);
    struct nsm_error *const error = write_synced(aside, bytes);
    if (error) {
        (void)unlink(aside);
        return error;
    }
    if (rename(aside, path) != 0)
        return file_error(path);
    return file_sync_folder(folder);
}

struct nsm_error *file_read_all(const char *path, struct nsm_buf *ret)
{
    int fd NSM_CLEANUP(file_closep) = -1;
    NSM_TRY(file_open(path, O_RDONLY, &fd));
    for (;;) {
        char *const to = nsm_buf_reserve(ret, 64 << 10);
        if (!to)
            return nsm_error_wrap(nsm_buf_error(ret), "%s", path);
        const ssize_t n_read = read(fd, to, 64 << 10);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read < 0)
            return file_error(path);
        if (n_read == 0)
            return NULL;
        nsm_buf_commit(ret, (size_t)n_read);
    }
}

struct nsm_error *file_remove(const char *folder, const char *name)
{
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/%s", folder, name);
    if (unlink(path) != 0 && errno != ENOENT)
        return file_error(path);
    return NULL;
}

/* ---- folders ---- */

static int compare_names(const void *a, const void *b)
{
    const char *const left = *(const char *const *)a;
    const char *const right = *(const char *const *)b;
    const size_t left_len = strlen(left);
    const size_t right_len = strlen(right);
    if (left_len != right_len)
        return left_len < right_len ? -1 : 1;
    return strcmp(left, right);
}

static void close_folderp(DIR **folder)
{
    if (*folder)
        (void)closedir(*folder);
}

struct nsm_error *file_list(const char *folder, struct file_names *ret)
{
    DIR *dir NSM_CLEANUP(close_folderp) = opendir(folder);
    if (!dir)
        return file_error(folder);
    struct file_names names = {0};
    for (;;) {
        errno = 0;
        /* one stream, one thread: readdir's buffer belongs to the stream */
        const struct dirent *const entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe) */
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, FILE_LOCK_NAME) == 0)
            continue;
        NSM_GROW(names.names, names.n_names, names.cap_names);
        names.names[names.n_names++] = nsm_arena_strdup(&names.arena, entry->d_name);
    }
    if (errno != 0) {
        struct nsm_error *const error = file_error(folder);
        file_names_release(&names);
        return error;
    }
    if (names.n_names > 0)
        qsort(names.names, names.n_names, sizeof(*names.names), compare_names);
    *ret = names;
    return NULL;
}

size_t file_names_find(const struct file_names *names, const char *name)
{
    size_t index = 0;
    while (index < names->n_names && strcmp(names->names[index], name) != 0)
        index++;
    return index;
}

void file_names_release(struct file_names *names)
{
    free(names->names);
    nsm_arena_release(&names->arena);
    *names = (struct file_names){0};
}
