/*
 * What the records' own store has said of their objects (struct nsm_adapter.define), kept beside them
 * as it is: `definition.<adapter>`. Only that adapter reads it; here it is bytes that must be whole.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_FILE_DEFINITION_H
#define NSM_ADAPTERS_FILE_DEFINITION_H

#include "adapters/adapter.h"
#include "adapters/file/file_stream.h"

#define FILE_DEFINITION_PREFIX "definition."

struct file_definition {
    const char *name; /* in the folder; NULL: there is none */
    uint64_t n_bytes;
    struct file_checksum checksum; /* XXH3-128 of the bytes */
};

/* Its name in the folder for what that adapter has written. */
const char *file_definition_name(struct nsm_arena *arena, const char *maker);

/* Whether that may be the name of one, or of one that is being written, and not of a data file. */
bool file_definition_is_name(const char *name);

/* Puts a copy of the file `from` there, durable on return; the name lies in the arena. */
struct nsm_error *file_definition_keep(struct nsm_arena *arena, const char *folder,
                                       const char *maker, const char *from,
                                       struct file_definition *ret) NSM_MUST_USE;

/* NSM_E_CORRUPT, naming the file, when it is gone or not as it was written. */
struct nsm_error *file_definition_check(const char *folder,
                                        const struct file_definition *definition) NSM_MUST_USE;

#endif
