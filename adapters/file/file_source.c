/*
 * Namespaces in files, seen from the side that is read: the manifest is the census, every data file
 * a part. A file is believed only when it has been read to its end: then lines, records and
 * checksum must be those of the manifest.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "adapters/file/file_internal.h"
#include "adapters/file/file_path.h"
#include "migrate/base/parse.h"

/* In the census's arena. */
struct file_source {
    const char *folder;
    struct file_manifest manifest;
    unsigned left_out; /* enum file_left_out */
};

/* ---- survey ---- */

static struct nsm_error *not_found(const struct nsm_source *source, const char *folder)
{
    struct file_names names NSM_CLEANUP(file_names_release) = {0};
    nsm_error_ignore(file_list(folder, &names));
    bool is_unfinished = false;
    for (size_t index = 0; index < names.n_names; index++)
        is_unfinished |= file_name_ends_with(names.names[index], FILE_JOURNAL_SUFFIX);
    return nsm_error_new(NSM_E_NOTFOUND, "no export of namespace %s at %s: %s is missing%s",
                         source->namespace_name, folder, FILE_MANIFEST_NAME,
                         is_unfinished ? ", as the export did not come to its end" : "");
}

/* ---- what is for its own kind of store alone ---- */

static bool is_for(const struct nsm_source *source, const char *adapter)
{
    return source->destination_adapter && adapter &&
           strcmp(source->destination_adapter, adapter) == 0;
}

/* Another archive takes everything. */
static unsigned choose_left_out(const struct nsm_source *source,
                                const struct file_manifest *manifest)
{
    if (source->written || is_for(source, source->backend->adapter->name))
        return 0;
    const bool is_own = is_for(source, manifest->maker);
    const bool keeps_places = is_own && source->flags & NSM_SURVEY_KEEP_PLACES;
    return (keeps_places ? 0U : FILE_LEFT_OUT_PLACES) | (is_own ? FILE_LEFT_OUT_GENERATED : 0U);
}

static void leave_out(struct nsm_arena *arena, struct nsm_object *object, unsigned left_out)
{
    size_t *const places = nsm_arena_calloc(arena, object->n_columns, sizeof(*places));
    struct nsm_column *const columns = nsm_arena_calloc(arena, object->n_columns, sizeof(*columns));
    size_t *const keys = nsm_arena_calloc(arena, object->n_key_columns, sizeof(*keys));
    size_t n_columns = 0;
    bool is_key_whole = true;
    for (size_t index = 0; index < object->n_columns; index++) {
        const bool is_out = file_is_left_out(&object->columns[index], left_out);
        places[index] = is_out ? SIZE_MAX : n_columns;
        if (!is_out)
            columns[n_columns++] = object->columns[index];
    }
    for (size_t index = 0; index < object->n_key_columns; index++) {
        keys[index] = places[object->key_columns[index]];
        is_key_whole &= keys[index] != SIZE_MAX;
    }
    object->columns = columns;
    object->n_columns = n_columns;
    object->key_columns = keys;
    object->n_key_columns = is_key_whole ? object->n_key_columns : 0;
}

static void look_at_columns(struct nsm_findings *findings, const struct nsm_object *object,
                            const char *maker)
{
    for (size_t index = 0; index < object->n_columns; index++) {
        if (object->columns[index].has_own_values)
            nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                             "table %s: column %s holds values of several types, or texts that are "
                             "not valid UTF-8 or have a NUL inside, which no column of another "
                             "store than %s holds unchanged",
                             object->name, object->columns[index].name, maker);
    }
}

static struct nsm_error *look_at_maker(struct nsm_source *source, const struct file_source *state)
{
    const struct file_manifest *const manifest = &state->manifest;
    struct nsm_census *const census = &source->census;
    census->maker = manifest->maker;
    if (manifest->definition.name && !source->written) {
        NSM_TRY(file_definition_check(state->folder, &manifest->definition));
        census->definition =
            nsm_arena_printf(&census->arena, "%s/%s", state->folder, manifest->definition.name);
    }
    if (source->written || is_for(source, source->backend->adapter->name) ||
        is_for(source, manifest->maker))
        return NULL;
    for (size_t index = 0; index < census->n_objects && manifest->maker; index++)
        look_at_columns(&census->findings, &census->objects[index], manifest->maker);
    if (manifest->definition.name)
        nsm_findings_add(
            &census->findings, NSM_FINDING_NOTE, "", 1,
            "rows, columns and primary keys go to another kind of store; all else that "
            "the archive has of %s stays behind",
            manifest->maker);
    return NULL;
}

/* ---- a namespace ---- */

static struct nsm_error *survey_one(struct nsm_backend *backend, struct nsm_source *source)
{
    struct nsm_census *const census = &source->census;
    const struct nsm_destination *const written = source->written;
    struct file_source *const state = nsm_arena_calloc(&census->arena, 1, sizeof(*state));
    NSM_TRY(file_folder_path(backend, &census->arena,
                             written ? written->selection : source->selection,
                             source->namespace_name, &state->folder));
    struct nsm_error *const error =
        file_manifest_read(state->folder, &census->arena, &state->manifest);
    if (nsm_error_is(error, NSM_E_NOTFOUND)) {
        nsm_error_free(error);
        return not_found(source, state->folder);
    }
    NSM_TRY(error);
    const struct file_manifest *const manifest = &state->manifest;
    state->left_out = choose_left_out(source, manifest);
    for (size_t index = 0; index < manifest->n_objects; index++) {
        struct nsm_object *const object = nsm_census_add_object(census);
        *object = manifest->objects[index];
        if (state->left_out)
            leave_out(&census->arena, object, state->left_out);
    }
    NSM_TRY(look_at_maker(source, state));
    for (size_t index = 0; index < manifest->n_entries && !(source->flags & NSM_SURVEY_COUNT_ONLY);
         index++) {
        const struct file_entry *const entry = &manifest->entries[index];
        if (entry->n_lines > 0) {
            nsm_census_add_part(census, entry->object, nsm_str_of(entry->name), entry->n_records,
                                entry->n_data_bytes);
        }
    }
    census->prefix = manifest->prefix;
    census->identity = file_identity(file_backend_of(backend), &census->arena, state->folder);
    source->state = state;
    return NULL;
}

struct nsm_error *file_survey(struct nsm_backend *backend, struct nsm_context *ctx,
                              struct nsm_source **sources, size_t n_sources)
{
    for (size_t index = 0; index < n_sources; index++) {
        NSM_TRY(nsm_context_error(ctx));
        NSM_TRY(survey_one(backend, sources[index]));
    }
    return NULL;
}

/* The state lies in the census's arena. */
void file_release_source(struct nsm_source *source)
{
    source->state = NULL;
}

/* ---- resume tokens ---- */

static struct nsm_str make_token(struct nsm_arena *arena, const struct file_reader *reader)
{
    const struct file_position *const position = &reader->lines.position;
    char checksum[33];
    file_checksum_format(position->checksum, checksum);
    return nsm_str_of(nsm_arena_printf(arena, "%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%s",
                                       position->offset, position->skip, position->n_lines,
                                       reader->n_records, checksum));
}

/* Takes the piece of `text` before the next '/', and the '/'. */
static struct nsm_str take_piece(struct nsm_str *text)
{
    const char *const slash = text->len ? memchr(text->ptr, '/', text->len) : NULL;
    const size_t len = slash ? (size_t)(slash - text->ptr) : text->len;
    const struct nsm_str piece = {.ptr = text->ptr, .len = len};
    *text = nsm_str_skip(*text, slash ? len + 1 : len);
    return piece;
}

static bool parse_token(struct nsm_str token, struct file_position *ret, uint64_t *ret_n_records)
{
    struct file_position position;
    uint64_t n_records;
    if (!nsm_parse_u64(take_piece(&token), &position.offset) ||
        !nsm_parse_u64(take_piece(&token), &position.skip) ||
        !nsm_parse_u64(take_piece(&token), &position.n_lines) ||
        !nsm_parse_u64(take_piece(&token), &n_records) ||
        !file_checksum_parse(token, &position.checksum) || position.offset > INT64_MAX)
        return false;
    *ret = position;
    *ret_n_records = n_records;
    return true;
}

/* ---- reader ---- */

static struct nsm_error *find_entry(const struct file_source *source, struct nsm_str name,
                                    const struct file_entry **ret)
{
    for (size_t index = 0; index < source->manifest.n_entries; index++) {
        if (nsm_str_equals(nsm_str_of(source->manifest.entries[index].name), name)) {
            *ret = &source->manifest.entries[index];
            return NULL;
        }
    }
    return nsm_error_new(NSM_E_CORRUPT, "%s/%s: the file %.*s is not in it any more",
                         source->folder, FILE_MANIFEST_NAME, NSM_STR_ARG(name));
}

static struct nsm_error *check_size(const struct file_reader *reader, int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return file_error(reader->path);
    if (!S_ISREG(info.st_mode))
        return nsm_error_new(NSM_E_CORRUPT, "%s: not a regular file", reader->path);
    if ((uint64_t)info.st_size != reader->entry->n_bytes) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: holds %" PRIu64 " bytes, but the manifest says %" PRIu64,
                             reader->path, (uint64_t)info.st_size, reader->entry->n_bytes);
    }
    return NULL;
}

static struct nsm_error *open_lines(struct file_reader *reader)
{
    const struct nsm_str token = reader->base.request->resume;
    const unsigned flags =
        file_name_ends_with(reader->path, FILE_ZSTD_SUFFIX) ? FILE_LINES_ZSTD : 0;
    struct file_position from = {0};
    if (token.len > 0 && !parse_token(token, &from, &reader->n_records))
        return nsm_error_new(NSM_E_CORRUPT, "%s: the place to go on at is not one of ours",
                             reader->path);
    int fd = -1;
    struct nsm_error *const error = file_open(reader->path, O_RDONLY, &fd);
    if (nsm_error_is(error, NSM_E_NOTFOUND)) {
        nsm_error_free(error);
        return nsm_error_new(NSM_E_CORRUPT, "%s: is missing, but the manifest names it",
                             reader->path);
    }
    NSM_TRY(error);
    reader->lines.fd = fd;
    NSM_TRY(check_size(reader, fd));
    return file_lines_open(&reader->lines, fd, reader->path, flags, &from);
}

void file_reader_close(struct nsm_reader *base)
{
    struct file_reader *const reader = (struct file_reader *)base;
    file_lines_close(&reader->lines);
    file_recut_release(&reader->recut);
    nsm_buf_release(&reader->key);
    nsm_arena_release(&reader->arena);
}

struct nsm_error *file_reader_open(struct nsm_reader *base, struct nsm_context *ctx)
{
    struct file_reader *const reader = (struct file_reader *)base;
    const struct nsm_read_request *const request = base->request;
    const struct file_source *const source = request->source->state;
    NSM_TRY(nsm_context_error(ctx));
    if (request->lane != NSM_LANE_RECORD)
        return nsm_error_new(NSM_E_UNSUPPORTED, "files have no lane %s",
                             nsm_lane_name(request->lane));
    NSM_TRY(find_entry(source, request->part->range, &reader->entry));
    reader->lines.fd = -1;
    reader->lines.text = NSM_BUF_INIT(0);
    reader->key = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    file_recut_init(&reader->recut, request->batch_bytes);
    reader->path = nsm_arena_printf(&reader->arena, "%s/%s", source->folder, reader->entry->name);
    file_shape_init(&reader->shape, &reader->arena,
                    &source->manifest.objects[reader->entry->object], source->manifest.prefix);
    reader->shape.left_out = source->left_out;
    struct nsm_error *const error = open_lines(reader);
    if (error)
        file_reader_close(base);
    return error;
}

/* Slices of one key must come one after the other, from a first to a last. */
static struct nsm_error *check_slices(struct file_reader *reader, const struct nsm_record *record)
{
    const bool is_continued = record->flags & NSM_RECORD_CONTINUED;
    const bool has_more = record->flags & NSM_RECORD_MORE;
    if (is_continued != reader->is_in_key) {
        return nsm_error_new(NSM_E_CORRUPT, is_continued ? "continues a key that was not begun"
                                                         : "the key before it is not continued");
    }
    if (is_continued && !nsm_str_equals(record->key, nsm_buf_view(&reader->key)))
        return nsm_error_new(NSM_E_CORRUPT, "continues another key than the one before it");
    if (has_more && !is_continued) {
        nsm_buf_clear(&reader->key);
        nsm_buf_append_str(&reader->key, record->key);
        NSM_TRY(nsm_buf_error(&reader->key));
    }
    reader->is_in_key = has_more;
    reader->n_records += !is_continued;
    return NULL;
}

static struct nsm_error *read_line(struct file_reader *reader, struct nsm_batch *batch,
                                   struct nsm_str line)
{
    NSM_TRY(file_line_read(batch, &reader->shape, line));
    NSM_TRY(check_slices(reader, &batch->records[batch->n_records - 1]));
    return file_recut_take(&reader->recut, batch);
}

static struct nsm_error *check_end(const struct file_reader *reader)
{
    const struct file_position *const position = &reader->lines.position;
    const struct file_entry *const entry = reader->entry;
    if (reader->is_in_key)
        return nsm_error_new(NSM_E_CORRUPT, "%s: line %" PRIu64 ": the key is not continued",
                             reader->path, position->n_lines);
    if (position->n_lines != entry->n_lines || reader->n_records != entry->n_records) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: line %" PRIu64 ": ends with %" PRIu64 " records in %" PRIu64
                             " lines, but the manifest says %" PRIu64 " in %" PRIu64,
                             reader->path, position->n_lines, reader->n_records, position->n_lines,
                             entry->n_records, entry->n_lines);
    }
    if (!file_checksum_equals(position->checksum, entry->checksum)) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: up to line %" PRIu64
                             ": the checksum is not the manifest's: the file was changed or "
                             "damaged, and what was read of it can't be trusted",
                             reader->path, position->n_lines);
    }
    return NULL;
}

/* The next record or slice; or a line that is kept, for a slice to come. */
static struct nsm_error *read_next(struct file_reader *reader, struct nsm_context *ctx,
                                   struct nsm_batch *batch, bool *ret_is_end)
{
    *ret_is_end = false;
    if (file_recut_has_slice(&reader->recut)) {
        file_recut_add_slice(&reader->recut, batch);
        return NULL;
    }
    struct nsm_str line = {0};
    NSM_TRY(file_lines_next(&reader->lines, ctx, &line, ret_is_end));
    if (*ret_is_end)
        return check_end(reader);
    return nsm_error_wrap(read_line(reader, batch, line), "%s: line %" PRIu64, reader->path,
                          reader->lines.position.n_lines);
}

struct nsm_error *file_read(struct nsm_reader *base, struct nsm_context *ctx,
                            struct nsm_batch *batch, bool *ret_is_end)
{
    struct file_reader *const reader = (struct file_reader *)base;
    const struct nsm_read_request *const request = base->request;
    NSM_TRY(nsm_context_error(ctx));
    bool is_end = false;
    while (!is_end && batch->n_records < request->batch_records &&
           batch->n_bytes < request->batch_bytes)
        NSM_TRY(read_next(reader, ctx, batch, &is_end));
    /* A key that was begun must be written from its beginning again: no place to go on at. */
    if (!reader->is_in_key && !reader->recut.is_active)
        batch->resume = make_token(&batch->arena, reader);
    *ret_is_end = is_end;
    return NULL;
}
