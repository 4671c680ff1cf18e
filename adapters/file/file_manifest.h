/*
 * What a namespace's folder holds: `manifest.json`, written last, so that an export that has one is
 * whole. It ends in a checksum of its own text: a manifest that was edited is refused, because
 * everything else is checked against it.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_FILE_MANIFEST_H
#define NSM_ADAPTERS_FILE_MANIFEST_H

#include "adapters/adapter.h"
#include "adapters/file/file_definition.h"

#define FILE_MANIFEST_NAME "manifest.json"

struct file_entry {
    const char *name; /* in the folder */
    size_t object;    /* index into the manifest's objects */
    uint64_t n_records, n_lines;
    uint64_t n_bytes;      /* of the file */
    uint64_t n_data_bytes; /* of keys and values, as progress counts them */
    struct file_checksum checksum;
};

struct file_manifest {
    const char *namespace_name; /* that was exported */
    const char *run_id;         /* of the run that did */
    const char *maker;          /* the adapter whose objects these are; NULL: not known */
    struct file_definition definition;
    struct nsm_str prefix; /* of all keys */
    struct nsm_object *objects;
    size_t n_objects;
    struct file_entry *entries; /* object by object */
    size_t n_entries;
};

/* Writes it, durably, in place of any that is there. */
struct nsm_error *file_manifest_write(const char *folder, const struct file_manifest *manifest)
    NSM_MUST_USE;

/* Everything in `ret` lies in the arena; n_records, n_bytes and version of its objects are filled
 * in. NSM_E_NOTFOUND: there is none. NSM_E_CORRUPT, NSM_E_UNSUPPORTED (a later format) name the
 * file. */
struct nsm_error *file_manifest_read(const char *folder, struct nsm_arena *arena,
                                     struct file_manifest *ret) NSM_MUST_USE;

#endif
