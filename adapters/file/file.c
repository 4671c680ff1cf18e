/*
 * The table of the adapter `file`, and what it says of a backend: a directory with a folder per
 * namespace.
 */
#include "adapters/file/file.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "adapters/file/file_internal.h"
#include "adapters/file/file_path.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

static const struct nsm_option backend_options[] = {
    {.key = "path",
     .type = NSM_OPTION_PATH,
     .flags = NSM_OPTION_REQUIRED,
     .help = "directory that holds a folder per namespace; made when it is written to"},
    {.key = "compress",
     .type = NSM_OPTION_ENUM,
     .default_text = "none",
     .choices = "none|zstd",
     .help = "how new files are compressed; files that are read say so themselves"},
    {0},
};

static const struct nsm_option side_options[] = {
    {.key = "folder",
     .type = NSM_OPTION_STRING,
     .help = "folder below the backend's path; default: the namespace's name"},
    {0},
};

static const struct nsm_lane_use lanes[] = {
    {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
};

/* ---- names ---- */

struct nsm_error *file_folder_path(struct nsm_backend *backend, struct nsm_arena *arena,
                                   const struct nsm_settings *selection, const char *namespace_name,
                                   const char **ret)
{
    const char *name = NULL;
    NSM_TRY(
        file_folder_name(arena, nsm_settings_string(selection, "folder"), namespace_name, &name));
    *ret = nsm_arena_printf(arena, "%s/%s", file_backend_of(backend)->path, name);
    return NULL;
}

const char *file_identity(const struct file_backend *backend, struct nsm_arena *arena,
                          const char *folder_path)
{
    const char *const folder = strrchr(folder_path, '/') + 1;
    struct stat info;
    if (stat(backend->path, &info) != 0)
        return nsm_arena_printf(arena, "%s/%s", backend->path, folder);
    return nsm_arena_printf(arena, "%" PRIu64 ":%" PRIu64 "/%s", (uint64_t)info.st_dev,
                            (uint64_t)info.st_ino, folder);
}

/* ---- the backend ---- */

static struct nsm_error *open_backend(struct nsm_backend *base)
{
    struct file_backend *const backend = file_backend_of(base);
    backend->path = nsm_settings_string(base->settings, "path");
    if (backend->path[0] == '\0')
        return nsm_error_new(NSM_E_INVALID, "path: expected the path of a directory");
    backend->is_zstd = strcmp(nsm_settings_string(base->settings, "compress"), "zstd") == 0;
    return NULL;
}

static void close_backend(struct nsm_backend *base)
{
    (void)base; /* holds nothing open */
}

/* The directory itself, or where it would be made. */
static struct nsm_error *check_directory(const char *path, struct nsm_health *health)
{
    struct stat info;
    if (stat(path, &info) != 0 && errno != ENOENT)
        return file_error(path);
    char *above NSM_CLEANUP(nsm_freep) = nsm_xstrdup(path);
    const char *existing = path;
    while (stat(existing, &info) != 0 && errno == ENOENT) {
        char *const slash = strrchr(above, '/');
        if (!slash)
            return nsm_error_new(NSM_E_NOTFOUND, "%s: no such directory", path);
        slash[slash == above] = '\0';
        existing = above;
    }
    if (!S_ISDIR(info.st_mode))
        return nsm_error_new(NSM_E_IO, "%s: not a directory", existing);
    if (existing != path) {
        nsm_findings_add(&health->findings, NSM_FINDING_NOTE, "", 1,
                         "%s does not exist yet; it is made when it is written to", path);
    }
    const bool is_writable = access(existing, W_OK | X_OK) == 0;
    if (existing == path && access(path, R_OK | X_OK) != 0)
        return file_error(path);
    if (!is_writable) {
        nsm_findings_add(&health->findings, NSM_FINDING_NOTE, "", 1,
                         "%s can't be written to by this user", existing);
    }
    struct statvfs space;
    if (statvfs(existing, &space) != 0)
        return file_error(existing);
    health->details =
        nsm_arena_printf(&health->arena, "%s, %s, %" PRIu64 " MiB free", path,
                         is_writable ? "writable" : "read only",
                         (uint64_t)space.f_bavail * space.f_frsize / (UINT64_C(1) << 20));
    return NULL;
}

static struct nsm_error *check_backend(struct nsm_backend *base, struct nsm_context *ctx,
                                       struct nsm_health *health)
{
    const int64_t start_ns = nsm_now_ns();
    NSM_TRY(nsm_context_error(ctx));
    NSM_TRY(check_directory(file_backend_of(base)->path, health));
    health->version = "files of format 2";
    health->latency_ns = nsm_now_ns() - start_ns;
    return NULL;
}

static struct nsm_error *list_folders(struct nsm_backend *base, struct nsm_context *ctx,
                                      const char *key, const char *glob, nsm_name_fn *fn, void *arg)
{
    (void)key; /* there is only "folder" */
    const char *const path = file_backend_of(base)->path;
    struct file_names names NSM_CLEANUP(file_names_release) = {0};
    NSM_TRY(file_list(path, &names));
    for (size_t index = 0; index < names.n_names; index++) {
        NSM_TRY(nsm_context_error(ctx));
        const char *const name = names.names[index];
        char *manifest NSM_CLEANUP(nsm_freep) =
            nsm_xasprintf("%s/%s/%s", path, name, FILE_MANIFEST_NAME);
        if (nsm_glob_matches(nsm_str_of(glob), nsm_str_of(name)) && access(manifest, F_OK) == 0)
            fn(arg, name);
    }
    return NULL;
}

const struct nsm_adapter nsm_adapter_file = {
    .abi = NSM_ADAPTER_ABI,
    .struct_size = sizeof(struct nsm_adapter),
    .name = "file",
    .summary = "directories of JSON Lines, plain or compressed",
    .caps = NSM_CAP_ROWS | NSM_CAP_KEYS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION | NSM_CAP_ARCHIVE,
    .backend_size = sizeof(struct file_backend),
    .reader_size = sizeof(struct file_reader),
    .writer_size = sizeof(struct file_writer),
    .backend_options = backend_options,
    .source_options = side_options,
    .destination_options = side_options,
    .lanes = lanes,
    .n_lanes = NSM_COUNT_OF(lanes),
    .open = open_backend,
    .close = close_backend,
    .check = check_backend,
    .survey = file_survey,
    .release_source = file_release_source,
    .reader_open = file_reader_open,
    .read = file_read,
    .reader_close = file_reader_close,
    .inspect = file_inspect,
    .release_destination = file_release_destination,
    .prepare = file_prepare,
    .writer_open = file_writer_open,
    .write = file_write,
    .checkpoint = file_checkpoint,
    .writer_close = file_writer_close,
    .list = list_folders,
    .list_keys = "folder",
    .reset_object = file_reset_object,
    .plan_finish = file_plan_finish,
    .finish_step = file_finish_step,
    .complete = file_complete,
};
