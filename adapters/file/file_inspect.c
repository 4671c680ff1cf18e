/*
 * What would stand in the folders, and what stands there already. Nothing is changed here.
 */
#include <inttypes.h>
#include <sys/statvfs.h>

#include "adapters/file/file_internal.h"
#include "adapters/file/file_path.h"
#include "adapters/file/file_target.h"
#include "migrate/base/parse.h"

static void copy_object(struct nsm_arena *arena, const struct nsm_object *from,
                        struct nsm_object *to)
{
    to->name = nsm_arena_strdup(arena, from->name);
    to->schema = nsm_arena_strdup(arena, from->schema);
    to->model = from->model;
    to->n_columns = from->n_columns;
    to->columns = nsm_arena_calloc(arena, from->n_columns, sizeof(*to->columns));
    for (size_t index = 0; index < from->n_columns; index++) {
        to->columns[index] = from->columns[index];
        to->columns[index].name = nsm_arena_strdup(arena, from->columns[index].name);
        to->columns[index].type_name = nsm_arena_strdup(arena, from->columns[index].type_name);
    }
    to->n_key_columns = from->n_key_columns;
    to->key_columns = nsm_arena_calloc(arena, from->n_key_columns, sizeof(*to->key_columns));
    for (size_t index = 0; index < from->n_key_columns; index++)
        to->key_columns[index] = from->key_columns[index];
}

/* Column names become the members of a JSON object: they must be text, each its own. */
static void check_columns(struct nsm_findings *findings, const struct nsm_object *object)
{
    for (size_t index = 0; index < object->n_columns; index++) {
        const char *const name = object->columns[index].name;
        if (!nsm_is_utf8(nsm_str_of(name))) {
            nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                             "table %s: the name of column %zu is not valid UTF-8", object->name,
                             index + 1);
        }
        for (size_t other = 0; other < index; other++) {
            if (strcmp(object->columns[other].name, name) == 0) {
                nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                                 "table %s: two columns are called %s", object->name, name);
            }
        }
    }
}

static void describe_objects(struct nsm_destination *destination, const struct file_target *target,
                             const char *suffix)
{
    struct nsm_findings *const findings = &destination->target.findings;
    for (size_t index = 0; index < destination->target.n_objects; index++) {
        nsm_findings_add(findings, NSM_FINDING_CREATE, "", 1, "files %s/%s.*%s", target->folder,
                         target->bases[index], suffix);
        check_columns(findings, &destination->target.objects[index]);
    }
    if (destination->definition)
        nsm_findings_add(findings, NSM_FINDING_CREATE, "", 1,
                         "file %s/" FILE_DEFINITION_PREFIX "%s", target->folder,
                         destination->source_adapter);
}

static void describe_conflict(struct nsm_destination *destination,
                              const struct file_standing *standing, const char *folder)
{
    struct nsm_findings *const findings = &destination->target.findings;
    if (standing->has_manifest) {
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1,
                         "folder %s holds an export of %" PRIu64 " records", folder,
                         standing->n_records);
    } else if (standing->n_ours > 0) {
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1,
                         "folder %s holds an unfinished export of another run", folder);
    }
    if (standing->foreign) {
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1,
                         "folder %s holds files that no export made, as %s", folder,
                         standing->foreign);
    }
    if (standing->foreign && destination->if_exists == NSM_IF_EXISTS_REPLACE) {
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "folder %s can't be replaced: it holds %s, which no export made; move it "
                         "away, or name another folder",
                         folder, standing->foreign);
    }
    if (destination->if_exists == NSM_IF_EXISTS_MERGE ||
        destination->if_exists == NSM_IF_EXISTS_SKIP) {
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "folder %s: records in files are not found by their key, so nothing can "
                         "be merged or skipped; use if_exists: replace, or name another folder",
                         folder);
    }
}

/* A hint only: JSON takes more room than the data, compression less. */
static void compare_space(struct nsm_destination *destination, const char *path)
{
    uint64_t n_bytes = 0;
    for (size_t index = 0; index < destination->shape->n_objects; index++)
        n_bytes += destination->shape->objects[index].n_bytes;
    struct statvfs info;
    if (statvfs(path, &info) != 0)
        return;
    const uint64_t n_free = (uint64_t)info.f_bavail * info.f_frsize;
    if (n_bytes > n_free) {
        nsm_findings_add(&destination->target.findings, NSM_FINDING_NOTE, "", 1,
                         "%s has %" PRIu64 " bytes free, and about %" PRIu64
                         " bytes of data are to be written",
                         path, n_free, n_bytes);
    }
}

static struct nsm_error *inspect_one(struct nsm_backend *base, struct nsm_destination *destination)
{
    struct file_backend *const backend = file_backend_of(base);
    struct nsm_census *const target = &destination->target;
    struct file_target *const state = nsm_arena_calloc(&target->arena, 1, sizeof(*state));
    NSM_TRY(file_folder_path(base, &target->arena, destination->selection,
                             destination->namespace_name, &state->folder));
    for (size_t index = 0; index < destination->shape->n_objects; index++) {
        struct nsm_object *const to = nsm_census_add_object(target);
        copy_object(&target->arena, &destination->shape->objects[index], to);
    }
    state->bases = file_bases(&target->arena, target);
    target->prefix = nsm_arena_copy(&target->arena, destination->shape->prefix);
    target->identity = file_identity(backend, &target->arena, state->folder);
    destination->state = state;

    struct file_standing standing NSM_CLEANUP(file_standing_release) = {0};
    NSM_TRY(file_look(state->folder, file_run_id(base), &standing));
    describe_objects(destination, state, backend->is_zstd ? FILE_ZSTD_SUFFIX : FILE_PLAIN_SUFFIX);
    if (standing.names.n_names > 0 && !destination->is_ours && !standing.is_of_run &&
        !standing.is_of_kin)
        describe_conflict(destination, &standing, state->folder);
    if (!destination->is_ours && !file_is_writable(state->folder)) {
        nsm_findings_add(&target->findings, NSM_FINDING_REFUSAL, "", 1,
                         "folder %s can't be written to by this user", state->folder);
    }
    compare_space(destination, backend->path);
    return NULL;
}

/* Two namespaces of one plan in one folder would write over each other. */
static void refuse_shared_folders(struct nsm_destination **destinations, size_t n_destinations)
{
    for (size_t index = 0; index < n_destinations; index++) {
        const struct file_target *const state = destinations[index]->state;
        for (size_t other = 0; other < index; other++) {
            const struct file_target *const earlier = destinations[other]->state;
            if (strcmp(state->folder, earlier->folder) != 0)
                continue;
            nsm_findings_add(&destinations[index]->target.findings, NSM_FINDING_REFUSAL, "", 1,
                             "folder %s is also that of namespace %s: give each its own folder:",
                             state->folder, destinations[other]->namespace_name);
        }
    }
}

struct nsm_error *file_inspect(struct nsm_backend *backend, struct nsm_context *ctx,
                               struct nsm_destination **destinations, size_t n_destinations)
{
    for (size_t index = 0; index < n_destinations; index++) {
        NSM_TRY(nsm_context_error(ctx));
        NSM_TRY(inspect_one(backend, destinations[index]));
    }
    refuse_shared_folders(destinations, n_destinations);
    return NULL;
}

/* The state lies in the target's arena. */
void file_release_destination(struct nsm_destination *destination)
{
    if (destination->state)
        file_target_unlock(destination);
    destination->state = NULL;
}
