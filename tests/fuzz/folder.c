#include "tests/fuzz/folder.h"

#include "migrate/base/alloc.h"

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64];

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    return walk->level > 0 ? remove(path) : 0;
}

void fuzz_clear_folder(void)
{
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_folder(void)
{
    fuzz_clear_folder();
    (void)rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (folder[0])
        return folder;
    const char *const parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof(folder), "%s/nsm_fuzz_XXXXXX", parent);
    const char *const made = mkdtemp(folder);
    assert(made);
    (void)made;
    (void)atexit(remove_folder);
    return folder;
}

void fuzz_write_file(const char *name, struct nsm_str bytes)
{
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/%s", fuzz_folder(), name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0);
    const ssize_t written = bytes.len ? write(fd, bytes.ptr, bytes.len) : 0;
    assert(written == (ssize_t)bytes.len);
    (void)written;
    (void)close(fd);
}
