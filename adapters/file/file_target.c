/*
 * Names of data files, and telling ours from others'. Only what a manifest lists or a journal
 * stands beside counts as ours: a file that merely looks like one is never removed.
 */
#include "adapters/file/file_target.h"

#include <stdlib.h>

#include "adapters/file/file_journal.h"
#include "adapters/file/file_manifest.h"
#include "migrate/base/alloc.h"
#include "migrate/base/lock_file.h"

struct nsm_error *file_target_lock(const struct nsm_destination *destination,
                                   struct nsm_context *ctx)
{
    struct file_target *const target = destination->state;
    if (target->lock)
        return NULL;
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/" FILE_LOCK_NAME, target->folder);
    char *what NSM_CLEANUP(nsm_freep) = nsm_xasprintf("folder %s", target->folder);
    return nsm_backend_lock(destination->backend, ctx, path, what, &target->lock);
}

void file_target_unlock(const struct nsm_destination *destination)
{
    struct file_target *const target = destination->state;
    nsm_lock_file_drop(NSM_STEAL(target->lock));
}

const char **file_bases(struct nsm_arena *arena, const struct nsm_census *census)
{
    const char **const bases = nsm_arena_calloc(arena, census->n_objects, sizeof(*bases));
    struct nsm_buf base NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t index = 0; index < census->n_objects; index++) {
        const char *const name = census->objects[index].name;
        nsm_buf_clear(&base);
        bool is_unique = file_name_encode(&base, nsm_str_of(name[0] == '\0' ? "keys" : name), "");
        for (size_t earlier = 0; earlier < index && is_unique; earlier++)
            is_unique = strcmp(bases[earlier], base.ptr) != 0;
        if (!is_unique)
            nsm_buf_printf(&base, "~%zu", index);
        bases[index] = nsm_arena_copy(arena, nsm_buf_view(&base)).ptr;
    }
    return bases;
}

bool file_has_base(const char *name, const char *base)
{
    const size_t len = strlen(base);
    return strncmp(name, base, len) == 0 && name[len] == '.';
}

const char *file_part_name(struct nsm_arena *arena, const char *base, const char *namespace_name,
                           struct nsm_str part_id, const char *suffix)
{
    const size_t namespace_len = strlen(namespace_name);
    const bool is_usual = part_id.len > namespace_len + 1 && part_id.ptr[namespace_len] == '/' &&
                          nsm_str_starts_with(part_id, nsm_str_of(namespace_name));
    struct nsm_buf part NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    /* part ids are "<namespace>/<index>"; another one is used whole, told apart by its '@' */
    if (!is_usual)
        nsm_buf_append_char(&part, '@');
    (void)file_name_encode(&part, is_usual ? nsm_str_skip(part_id, namespace_len + 1) : part_id,
                           "");
    return nsm_arena_printf(arena, "%s.%s%s", base, part.ptr, suffix);
}

/* ---- what stands there ---- */

static void claim(struct file_standing *standing, const char *name)
{
    const size_t index = file_names_find(&standing->names, name);
    if (index < standing->names.n_names)
        standing->is_ours[index] = true;
}

static void note_run(struct file_standing *standing, const char *found, const char *run_id)
{
    standing->is_of_run &= strcmp(found, run_id) == 0;
    standing->is_of_kin &= nsm_run_id_is_kin(run_id, found);
}

static struct nsm_error *claim_of_manifest(struct file_standing *standing, const char *folder,
                                           const char *run_id)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct file_manifest manifest = {0};
    struct nsm_error *const error = file_manifest_read(folder, &arena, &manifest);
    if (error) {
        /* what is there can't be told: then it is nobody's to remove */
        const bool is_harmless =
            nsm_error_is(error, NSM_E_CORRUPT) || nsm_error_is(error, NSM_E_UNSUPPORTED);
        if (!is_harmless)
            return error;
        nsm_error_free(error);
        return NULL;
    }
    standing->has_manifest = true;
    note_run(standing, manifest.run_id, run_id);
    claim(standing, FILE_MANIFEST_NAME);
    for (size_t index = 0; index < manifest.n_entries; index++) {
        claim(standing, manifest.entries[index].name);
        standing->n_records += manifest.entries[index].n_records;
    }
    if (manifest.definition.name)
        claim(standing, manifest.definition.name);
    return NULL;
}

/* A journal and the data file that it stands beside. */
static void claim_of_journal(struct file_standing *standing, const char *folder, const char *name,
                             const char *run_id)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct file_journal_end end = {0};
    const char *const path = nsm_arena_printf(&arena, "%s/%s", folder, name);
    struct nsm_error *const error = file_journal_read_end(path, &arena, &end);
    if (error) {
        nsm_error_free(error);
        return;
    }
    note_run(standing, end.run_id, run_id);
    claim(standing, name);
    const size_t len = strlen(name) - (sizeof(FILE_JOURNAL_SUFFIX) - 1);
    claim(standing, nsm_arena_printf(&arena, "%.*s", (int)len, name));
}

static void claim_definition(struct file_standing *standing)
{
    for (size_t index = 0; index < standing->names.n_names; index++)
        standing->is_ours[index] |= file_definition_is_name(standing->names.names[index]);
}

static struct nsm_error *look_into(struct file_standing *standing, const char *folder,
                                   const char *run_id)
{
    standing->is_ours = nsm_xcalloc(standing->names.n_names + 1, sizeof(*standing->is_ours));
    if (file_names_find(&standing->names, FILE_MANIFEST_NAME) < standing->names.n_names)
        NSM_TRY(claim_of_manifest(standing, folder, run_id));
    claim(standing, FILE_MANIFEST_NAME FILE_ASIDE_SUFFIX);
    bool has_journal = false;
    for (size_t index = 0; index < standing->names.n_names; index++) {
        if (!file_name_ends_with(standing->names.names[index], FILE_JOURNAL_SUFFIX))
            continue;
        claim_of_journal(standing, folder, standing->names.names[index], run_id);
        has_journal |= standing->is_ours[index];
    }
    /* Before its manifest is written, a definition stands beside the journals of its export. */
    if (has_journal && !standing->has_manifest)
        claim_definition(standing);
    for (size_t index = 0; index < standing->names.n_names; index++) {
        standing->n_ours += standing->is_ours[index];
        if (!standing->is_ours[index] && !standing->foreign)
            standing->foreign = standing->names.names[index];
    }
    const bool is_all_ours = standing->n_ours > 0 && !standing->foreign;
    standing->is_of_run &= is_all_ours;
    standing->is_of_kin &= is_all_ours;
    return NULL;
}

struct nsm_error *file_look(const char *folder, const char *run_id, struct file_standing *ret)
{
    struct file_standing standing = {.is_of_run = true, .is_of_kin = true};
    struct nsm_error *error = file_list(folder, &standing.names);
    if (nsm_error_is(error, NSM_E_NOTFOUND)) {
        nsm_error_free(error);
        *ret = (struct file_standing){0};
        return NULL;
    }
    NSM_TRY(error);
    standing.is_there = true;
    error = look_into(&standing, folder, run_id);
    if (error) {
        file_standing_release(&standing);
        return error;
    }
    *ret = standing;
    return NULL;
}

void file_standing_release(struct file_standing *standing)
{
    file_names_release(&standing->names);
    free(standing->is_ours);
    *standing = (struct file_standing){0};
}
