/* The ledger's folder and its lock. */
#include "migrate/engine/ledger_folder.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/lock_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

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
    folder->lock = NULL;
}

void nsm_ledger_folder_release(struct nsm_ledger_folder *folder)
{
    nsm_lock_file_drop(folder->lock);
    free(folder->plan_name);
    free(folder->parent);
    free(folder->path);
    free(folder->db_path);
    free(folder->lock_path);
    free(folder->work_path);
    *folder = (struct nsm_ledger_folder){0};
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

/* What is told of us to whom we keep out. */
static char *describe_us(void)
{
    char host[65] = "";
    (void)gethostname(host, sizeof(host) - 1);
    const time_t now = (time_t)(nsm_wall_ms() / 1000);
    struct tm tm;
    char since[32] = "";
    if (gmtime_r(&now, &tm))
        (void)strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S UTC", &tm);
    return nsm_xasprintf("pid %ld on host %s since %s\n", (long)getpid(), host, since);
}

struct nsm_error *nsm_ledger_folder_lock(struct nsm_ledger_folder *folder)
{
    NSM_CLEANUP(nsm_freep) char *text = describe_us();
    NSM_CLEANUP(nsm_freep) char *held = NULL;
    struct nsm_error *const error =
        nsm_lock_file_take(folder->lock_path, text, &folder->lock, &held);
    if (!nsm_error_is(error, NSM_E_CONFLICT))
        return error;
    nsm_error_ignore(error);
    NSM_CLEANUP(nsm_freep) char *holder = nsm_lock_file_holder(held);
    return nsm_error_new(NSM_E_CONFLICT, "plan %s is being run by %s: wait for it or stop it",
                         folder->plan_name, holder[0] ? holder : "another process");
}

bool nsm_ledger_folder_is_locked(const struct nsm_ledger_folder *folder)
{
    return folder->lock || nsm_lock_file_is_held(folder->lock_path);
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
