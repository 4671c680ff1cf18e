/* See file_definition.h. A definition is read whole: it has no rows. */
#include "adapters/file/file_definition.h"

#include <inttypes.h>

#include "adapters/file/file_path.h"
#include "migrate/base/alloc.h"

#define MAX_DEFINITION_BYTES ((size_t)512 << 20)

const char *file_definition_name(struct nsm_arena *arena, const char *maker)
{
    return nsm_arena_printf(arena, FILE_DEFINITION_PREFIX "%s", maker);
}

/* Data files have a part between their table's name and the suffix. */
bool file_definition_is_name(const char *name)
{
    const size_t len = sizeof(FILE_DEFINITION_PREFIX) - 1;
    if (strncmp(name, FILE_DEFINITION_PREFIX, len) != 0)
        return false;
    const char *const dot = strchr(name + len, '.');
    return !dot || strcmp(dot, FILE_ASIDE_SUFFIX) == 0;
}

static struct file_checksum checksum_of(const struct nsm_buf *bytes)
{
    struct file_checksum checksum = {0};
    file_checksum_add(&checksum, nsm_buf_view(bytes));
    return checksum;
}

struct nsm_error *file_definition_keep(struct nsm_arena *arena, const char *folder,
                                       const char *maker, const char *from,
                                       struct file_definition *ret)
{
    struct nsm_buf bytes NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(MAX_DEFINITION_BYTES);
    const char *const name = file_definition_name(arena, maker);
    NSM_TRY(file_read_all(from, &bytes));
    NSM_TRY(file_replace(folder, name, nsm_buf_view(&bytes)));
    *ret = (struct file_definition){
        .name = name,
        .n_bytes = bytes.len,
        .checksum = checksum_of(&bytes),
    };
    return NULL;
}

struct nsm_error *file_definition_check(const char *folder,
                                        const struct file_definition *definition)
{
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/%s", folder, definition->name);
    struct nsm_buf bytes NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(MAX_DEFINITION_BYTES);
    struct nsm_error *const error = file_read_all(path, &bytes);
    if (nsm_error_is(error, NSM_E_NOTFOUND)) {
        nsm_error_free(error);
        return nsm_error_new(NSM_E_CORRUPT, "%s: is missing, but the manifest names it", path);
    }
    NSM_TRY(error);
    if (bytes.len != definition->n_bytes) {
        return nsm_error_new(NSM_E_CORRUPT, "%s: holds %zu bytes, but the manifest says %" PRIu64,
                             path, bytes.len, definition->n_bytes);
    }
    if (!file_checksum_equals(checksum_of(&bytes), definition->checksum)) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: the checksum is not the manifest's: the file was changed or "
                             "damaged",
                             path);
    }
    return NULL;
}
