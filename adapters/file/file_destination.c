/*
 * Namespaces in files, seen from the side that is written: folders before the records, the manifest
 * after them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/file/file_internal.h"
#include "adapters/file/file_path.h"
#include "adapters/file/file_target.h"
#include "migrate/base/alloc.h"

/* ---- before the records ---- */

/* The manifest goes last: it says which of the others are ours, should this be interrupted. */
static struct nsm_error *remove_ours(const char *folder, const struct file_standing *standing)
{
    for (size_t index = 0; index < standing->names.n_names; index++) {
        const char *const name = standing->names.names[index];
        if (standing->is_ours[index] && strcmp(name, FILE_MANIFEST_NAME) != 0 &&
            !file_name_ends_with(name, FILE_JOURNAL_SUFFIX))
            NSM_TRY(file_remove(folder, name));
    }
    for (size_t index = 0; index < standing->names.n_names; index++) {
        if (standing->is_ours[index])
            NSM_TRY(file_remove(folder, standing->names.names[index]));
    }
    return file_sync_folder(folder);
}

struct nsm_error *file_prepare(struct nsm_destination *destination, struct nsm_context *ctx)
{
    const struct file_target *const target = destination->state;
    NSM_TRY(nsm_context_error(ctx));
    NSM_TRY(file_make_folders(target->folder));
    NSM_TRY(file_target_lock(destination, ctx));
    struct file_standing standing NSM_CLEANUP(file_standing_release) = {0};
    NSM_TRY(file_look(target->folder, file_run_id(destination->backend), &standing));
    if (standing.names.n_names == 0 || standing.is_of_run)
        return NULL;
    if (standing.is_of_kin)
        return remove_ours(target->folder, &standing);
    if (destination->is_ours)
        return NULL;
    if (destination->if_exists != NSM_IF_EXISTS_REPLACE || standing.foreign) {
        return nsm_error_new(NSM_E_CONFLICT, "folder %s holds %s", target->folder,
                             standing.foreign ? standing.foreign : "another export");
    }
    return remove_ours(target->folder, &standing);
}

/* A journal and the data file beside it. */
static struct nsm_error *remove_part(const char *folder, const char *journal_name)
{
    const size_t len = strlen(journal_name) - (sizeof(FILE_JOURNAL_SUFFIX) - 1);
    char *data_name NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%.*s", (int)len, journal_name);
    NSM_TRY(file_remove(folder, data_name));
    return file_remove(folder, journal_name);
}

/* The manifest speaks of the old files: it goes before them. */
struct nsm_error *file_reset_object(struct nsm_destination *destination, struct nsm_context *ctx,
                                    size_t object_index)
{
    const struct file_target *const target = destination->state;
    NSM_TRY(nsm_context_error(ctx));
    struct file_names names NSM_CLEANUP(file_names_release) = {0};
    struct nsm_error *const error = file_list(target->folder, &names);
    if (nsm_error_is(error, NSM_E_NOTFOUND)) {
        nsm_error_free(error);
        return NULL;
    }
    NSM_TRY(error);
    NSM_TRY(file_target_lock(destination, ctx));
    NSM_TRY(file_remove(target->folder, FILE_MANIFEST_NAME));
    for (size_t index = 0; index < names.n_names; index++) {
        const char *const name = names.names[index];
        if (file_has_base(name, target->bases[object_index]) &&
            file_name_ends_with(name, FILE_JOURNAL_SUFFIX))
            NSM_TRY(remove_part(target->folder, name));
    }
    return file_sync_folder(target->folder);
}

/* ---- after the records ---- */

struct nsm_error *file_plan_finish(struct nsm_destination *destination, struct nsm_context *ctx,
                                   struct nsm_finish_plan *plan)
{
    NSM_TRY(nsm_context_error(ctx));
    plan->steps = nsm_arena_calloc(&plan->arena, 1, sizeof(*plan->steps));
    plan->n_steps = 1;
    plan->steps[0] = (struct nsm_finish_step){
        .object = NSM_NO_OBJECT,
        .weight = 1,
        .text = nsm_arena_printf(&plan->arena, "manifest of %s", destination->namespace_name),
    };
    return NULL;
}

/* The entries of a manifest, as they are found. */
struct gathering {
    struct nsm_arena arena;
    struct file_entry *entries;
    size_t n_entries, cap_entries;
};

static void gathering_release(struct gathering *gathering)
{
    free(gathering->entries);
    nsm_arena_release(&gathering->arena);
}

static struct nsm_error *check_length(const char *path, uint64_t n_bytes)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return file_error(path);
    if ((uint64_t)info.st_size != n_bytes) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: holds %" PRIu64 " bytes, but %" PRIu64
                             " were written: something else wrote to it; " FILE_BEGIN_ANEW,
                             path, (uint64_t)info.st_size, n_bytes);
    }
    return NULL;
}

static struct nsm_error *gather_one(struct gathering *gathering, const char *folder,
                                    const char *journal_name, size_t object)
{
    struct nsm_arena *const arena = &gathering->arena;
    struct file_journal_end end = {0};
    NSM_TRY(
        file_journal_read_end(nsm_arena_printf(arena, "%s/%s", folder, journal_name), arena, &end));
    const size_t len = strlen(journal_name) - (sizeof(FILE_JOURNAL_SUFFIX) - 1);
    const char *const name = nsm_arena_printf(arena, "%.*s", (int)len, journal_name);
    const char *const path = nsm_arena_printf(arena, "%s/%s", folder, name);
    if (!end.mark.is_done)
        return nsm_error_new(NSM_E_INTERNAL, "%s: the file is not complete", path);
    NSM_TRY(check_length(path, end.mark.offset));
    NSM_GROW(gathering->entries, gathering->n_entries, gathering->cap_entries);
    gathering->entries[gathering->n_entries++] = (struct file_entry){
        .name = name,
        .object = object,
        .n_records = end.mark.n_records,
        .n_lines = end.mark.n_lines,
        .n_bytes = end.mark.offset,
        .n_data_bytes = end.mark.n_data_bytes,
        .checksum = end.mark.checksum,
    };
    return NULL;
}

static struct nsm_error *gather(struct gathering *gathering, const struct file_target *target,
                                size_t n_objects, const struct file_names *names)
{
    for (size_t object = 0; object < n_objects; object++) {
        for (size_t index = 0; index < names->n_names; index++) {
            const char *const name = names->names[index];
            if (file_name_ends_with(name, FILE_JOURNAL_SUFFIX) &&
                file_has_base(name, target->bases[object]))
                NSM_TRY(gather_one(gathering, target->folder, name, object));
        }
    }
    return NULL;
}

struct nsm_error *file_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                   const struct nsm_finish_step *step)
{
    const struct file_target *const target = destination->state;
    (void)step; /* there is only the manifest's */
    NSM_TRY(nsm_context_error(ctx));
    struct file_names names NSM_CLEANUP(file_names_release) = {0};
    NSM_TRY(file_list(target->folder, &names));
    struct gathering gathering NSM_CLEANUP(gathering_release) = {0};
    NSM_TRY(gather(&gathering, target, destination->target.n_objects, &names));
    if (gathering.n_entries == 0 && file_names_find(&names, FILE_MANIFEST_NAME) < names.n_names)
        return NULL; /* done before, and completed */
    struct file_manifest manifest = {
        .namespace_name = destination->namespace_name,
        .run_id = file_run_id(destination->backend),
        .maker = destination->source_adapter,
        .prefix = destination->target.prefix,
        .objects = destination->target.objects,
        .n_objects = destination->target.n_objects,
        .entries = gathering.entries,
        .n_entries = gathering.n_entries,
    };
    if (destination->definition)
        NSM_TRY_WRAP(file_definition_keep(&gathering.arena, target->folder, manifest.maker,
                                          destination->definition, &manifest.definition),
                     "keep the definition");
    return file_manifest_write(target->folder, &manifest);
}

struct nsm_error *file_complete(struct nsm_destination *destination, struct nsm_context *ctx)
{
    const struct file_target *const target = destination->state;
    NSM_TRY(nsm_context_error(ctx));
    struct file_names names NSM_CLEANUP(file_names_release) = {0};
    NSM_TRY(file_list(target->folder, &names));
    if (file_names_find(&names, FILE_MANIFEST_NAME) == names.n_names) {
        return nsm_error_new(NSM_E_CORRUPT, "%s: %s is gone; " FILE_BEGIN_ANEW, target->folder,
                             FILE_MANIFEST_NAME);
    }
    for (size_t index = 0; index < names.n_names; index++) {
        if (file_name_ends_with(names.names[index], FILE_JOURNAL_SUFFIX))
            NSM_TRY(file_remove(target->folder, names.names[index]));
    }
    file_target_unlock(destination);
    return file_sync_folder(target->folder);
}
