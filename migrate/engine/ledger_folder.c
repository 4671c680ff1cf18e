/*
 * The ledger's folder and its lock. The lock is an open-file-description lock because that is the
 * only kind that both dies with its holder and conflicts within one process too; a classic POSIX
 * lock would be dropped by whoever closes any descriptor of the file.
 */
#include "migrate/engine/ledger_folder.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a lock file may say, and what is read of it. */
#define MAX_HOLDER_BYTES 200

void nsm_ledger_folder_init(struct nsm_ledger_folder *folder, const struct nsm_plan *plan)
{
    /* The plan has refused such a name with its place; here it would leave the folder. */
    assert(plan->name[0] != '\0' && plan->name[0] != '.' && !strchr(plan->name, '/'));
    folder->plan_name = nsm_xstrdup(plan->name);
    folder->parent = nsm_xasprintf("%s/.nsmigrate", plan->folder);
    folder->path = nsm_xasprintf("%s/%s", folder->parent, plan->name);
    folder->db_path = nsm_xasprintf("%s/ledger.db", folder->path);
    folder->lock_path = nsm_xasprintf("%s/lock", folder->path);
    folder->work_path = nsm_xasprintf("%s/work", folder->path);
    folder->lock_fd = -1;
}

void nsm_ledger_folder_release(struct nsm_ledger_folder *folder)
{
    if (folder->lock_fd >= 0)
        (void)close(folder->lock_fd);
    free(folder->plan_name);
    free(folder->parent);
    free(folder->path);
    free(folder->db_path);
    free(folder->lock_path);
    free(folder->work_path);
    *folder = (struct nsm_ledger_folder){.lock_fd = -1};
}

/* A new name in a folder is durable when the folder is. */
static void sync_folder_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    NSM_CLEANUP(nsm_freep)
    char *parent = nsm_xstrndup((struct nsm_str){path, slash ? (size_t)(slash - path) : 0});
    const int fd = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

static struct nsm_error *make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0) {
        sync_folder_of(path);
        return NULL;
    }
    const int mkdir_errno = errno;
    struct stat st;
    if (mkdir_errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return NULL;
    errno = mkdir_errno == EEXIST ? ENOTDIR : mkdir_errno;
    return nsm_error_new(NSM_E_IO,
                         "ledger folder %s: %m: make it possible to write there, or put the plan "
                         "in a folder of its own that can be written",
                         path);
}

struct nsm_error *nsm_ledger_folder_make(struct nsm_ledger_folder *folder)
{
    NSM_TRY(make_folder(folder->parent));
    NSM_TRY(make_folder(folder->path));
    return make_folder(folder->work_path);
}

/* What the holder wrote about itself, made fit for a message: one line of printable characters. */
static void read_holder(int fd, char *out, size_t out_bytes)
{
    const ssize_t got = pread(fd, out, out_bytes - 1, 0);
    size_t len = 0;
    while (got > 0 && len < (size_t)got && out[len] >= ' ' && out[len] <= '~')
        len++;
    out[len] = '\0';
}

static struct nsm_error *write_holder(int fd, const char *path)
{
    char host[65] = "";
    (void)gethostname(host, sizeof(host) - 1);
    const time_t now = (time_t)(nsm_wall_ms() / 1000);
    struct tm tm;
    char since[32] = "";
    if (gmtime_r(&now, &tm))
        (void)strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S UTC", &tm);
    NSM_CLEANUP(nsm_freep)
    char *text = nsm_xasprintf("pid %ld on host %s since %s\n", (long)getpid(), host, since);
    const ssize_t len = (ssize_t)strlen(text);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        return nsm_error_new(NSM_E_IO, "lock file %s: %m", path);
    return NULL;
}

static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

struct nsm_error *nsm_ledger_folder_lock(struct nsm_ledger_folder *folder)
{
    const int fd = open(folder->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return nsm_error_new(NSM_E_IO, "lock file %s: %m: make it possible to write there",
                             folder->lock_path);
    }
    struct flock lock = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        folder->lock_fd = fd;
        return write_holder(fd, folder->lock_path);
    }
    struct nsm_error *error = NULL;
    if (errno == EAGAIN || errno == EACCES) {
        char holder[MAX_HOLDER_BYTES];
        read_holder(fd, holder, sizeof(holder));
        error = nsm_error_new(NSM_E_CONFLICT, "plan %s is being run by %s: wait for it or stop it",
                              folder->plan_name, holder[0] ? holder : "another process");
    } else {
        error = nsm_error_new(NSM_E_IO, "lock file %s: %m", folder->lock_path);
    }
    (void)close(fd);
    return error;
}

bool nsm_ledger_folder_is_locked(const struct nsm_ledger_folder *folder)
{
    if (folder->lock_fd >= 0)
        return true;
    const int fd = open(folder->lock_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct flock lock = whole_file(F_RDLCK);
    const bool is_held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd);
    return is_held;
}

struct nsm_error *nsm_ledger_folder_touch_db(const struct nsm_ledger_folder *folder)
{
    const int fd = open(folder->db_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
        return NULL;
    }
    return errno == EEXIST ? NULL : nsm_error_new(NSM_E_IO, "ledger %s: %m", folder->db_path);
}

static struct nsm_error *remove_file(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return NULL;
    return nsm_error_new(NSM_E_IO, "remove %s: %m", path);
}

struct nsm_error *nsm_ledger_folder_remove_db(const struct nsm_ledger_folder *folder)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ""};
    for (size_t i = 0; i < NSM_COUNT_OF(suffixes); i++) {
        NSM_CLEANUP(nsm_freep)
        char *path = nsm_xasprintf("%s%s", folder->db_path, suffixes[i]);
        NSM_TRY(remove_file(path));
    }
    return NULL;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level == 0 ? 0 : remove(path);
}

struct nsm_error *nsm_folder_clear(const char *path)
{
    /* Children before their folder; symbolic links are removed, never followed. It is unsafe only
     * where it changes the working directory. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return nsm_error_new(NSM_E_IO, "clear folder %s: %m", path);
    return NULL;
}
