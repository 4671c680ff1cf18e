/*
 * Manifests of the adapter `file` with any content: refused, naming the file, or understood; and what was understood,
 * written and read again, is the same.
 *
 * The first byte of the input: bit 0 the input is sealed with its checksum first, which no chance would find.
 */
#include <assert.h>
#include <stdint.h>

#include "adapters/file/file_manifest.h"
#include "adapters/file/file_stream.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_input(const uint8_t *data, size_t size)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append(&text, (const char *)data + 1, size - 1);
    if (data[0] & 1) {
        struct file_checksum checksum = {0};
        char digits[33];
        file_checksum_add(&checksum, nsm_buf_view(&text));
        file_checksum_format(checksum, digits);
        nsm_buf_printf(&text, "\n  \"checksum\": \"%s\"\n}\n", digits);
    }
    fuzz_write_file(FILE_MANIFEST_NAME, nsm_buf_view(&text));
}

static void check_names(const struct file_manifest *manifest)
{
    for (size_t index = 0; index < manifest->n_entries; index++) {
        const struct file_entry *const entry = &manifest->entries[index];
        assert(entry->object < manifest->n_objects);
        assert(entry->name[0] != '.' && !strchr(entry->name, '/'));
    }
    for (size_t index = 0; index < manifest->n_objects; index++) {
        const struct nsm_object *const object = &manifest->objects[index];
        for (size_t key = 0; key < object->n_key_columns; key++)
            assert(object->key_columns[key] < object->n_columns);
    }
}

static void check_round_trip(const struct file_manifest *manifest)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct file_manifest again;
    struct nsm_error *error = file_manifest_write(fuzz_folder(), manifest);
    assert(!error);
    error = file_manifest_read(fuzz_folder(), &arena, &again);
    assert(!error);
    assert(again.n_objects == manifest->n_objects && again.n_entries == manifest->n_entries);
    assert(nsm_str_equals(again.prefix, manifest->prefix));
    assert(strcmp(again.namespace_name, manifest->namespace_name) == 0);
    for (size_t index = 0; index < again.n_objects; index++) {
        const struct nsm_object *const object = &again.objects[index];
        assert(strcmp(object->name, manifest->objects[index].name) == 0);
        assert(strcmp(object->version, manifest->objects[index].version) == 0);
        assert(object->n_columns == manifest->objects[index].n_columns);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct file_manifest manifest;
    write_input(data, size);
    struct nsm_error *const error = file_manifest_read(fuzz_folder(), &arena, &manifest);
    if (error) {
        assert(nsm_error_is(error, NSM_E_CORRUPT) || nsm_error_is(error, NSM_E_UNSUPPORTED));
        nsm_error_free(error);
        return 0;
    }
    check_names(&manifest);
    check_round_trip(&manifest);
    return 0;
}
