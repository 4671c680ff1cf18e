/*
 * See lock_file.h. The file is removed by its holder only, while it holds it; so whoever has locked it looks
 * whether it is still the one of that name, and begins again if it is not.
 */
#include "migrate/base/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/base/alloc.h"

/* What is read of what a holder has written. */
#define MAX_TEXT_BYTES 400

static struct nsm_error *io_error(const char *path)
{
    return nsm_error_new(NSM_E_IO, "lock file %s: %m", path);
}

static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static char *read_text(int fd)
{
    char text[MAX_TEXT_BYTES];
    const ssize_t got = pread(fd, text, sizeof(text), 0);
    return nsm_xstrndup((struct nsm_str){text, got > 0 ? (size_t)got : 0});
}

static bool is_of_that_name(int fd, const char *path)
{
    struct stat opened;
    struct stat named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

static struct nsm_error *lock(int fd, const char *path, char **ret_held)
{
    struct flock whole = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return NULL;
    if (errno != EAGAIN && errno != EACCES)
        return io_error(path);
    *ret_held = read_text(fd);
    return nsm_error_new(NSM_E_CONFLICT, "lock file %s: another has it", path);
}

/* *ret stays NULL where the file was removed meanwhile. */
static struct nsm_error *try_take(const char *path, struct nsm_lock_file **ret, char **ret_held)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nsm_error_new(NSM_E_IO, "lock file %s: %m: %s", path,
                             errno == EMFILE
                                 ? "raise their limit (ulimit -n), or take fewer workers"
                                 : "make it possible to write there");
    struct nsm_error *const error = lock(fd, path, ret_held);
    if (error || !is_of_that_name(fd, path)) {
        (void)close(fd);
        return error;
    }
    struct nsm_lock_file *const taken = nsm_xcalloc(1, sizeof(*taken));
    taken->path = nsm_xstrdup(path);
    taken->fd = fd;
    *ret = taken;
    return NULL;
}

struct nsm_error *nsm_lock_file_take(const char *path, const char *text, struct nsm_lock_file **ret,
                                     char **ret_held)
{
    struct nsm_lock_file *taken = NULL;
    while (!taken)
        NSM_TRY(try_take(path, &taken, ret_held));
    const size_t len = strlen(text);
    if (ftruncate(taken->fd, 0) != 0 || pwrite(taken->fd, text, len, 0) != (ssize_t)len) {
        struct nsm_error *const error = io_error(path);
        nsm_lock_file_drop(taken);
        return error;
    }
    *ret = taken;
    return NULL;
}

bool nsm_lock_file_is_held(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct flock whole = whole_file(F_RDLCK);
    const bool is_held = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    (void)close(fd);
    return is_held;
}

char *nsm_lock_file_holder(const char *text)
{
    size_t len = 0;
    while (text[len] >= ' ' && text[len] <= '~')
        len++;
    return nsm_xstrndup((struct nsm_str){text, len});
}

void nsm_lock_file_drop(struct nsm_lock_file *lock)
{
    if (!lock)
        return;
    (void)unlink(lock->path);
    (void)close(lock->fd);
    free(lock->path);
    free(lock);
}
