/*
 * The journal is appended to, never rewritten: an append that a crash cut off fails its checksum
 * and is as if it had not been made.
 */
#include "adapters/file/file_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

#include "adapters/file/file_path.h"
#include "migrate/base/alloc.h"
#include "migrate/engine/record/json.h"

/* Days of checkpoints, one a second, with tokens of moderate size. */
#define JOURNAL_BYTES ((size_t)256 << 20)
#define FORMAT        "nsmigrate-progress-1"
/* ` #`, 32 digits and the newline behind each line's JSON */
#define TAIL_BYTES ((size_t)35)

/* ---- lines ---- */

/* Ends the line that `out` holds from `begin` on. */
static void seal_line(struct nsm_buf *out, size_t begin)
{
    struct file_checksum checksum = {0};
    file_checksum_add(&checksum, nsm_str_skip(nsm_buf_view(out), begin));
    char text[33];
    file_checksum_format(checksum, text);
    nsm_buf_printf(out, " #%s\n", text);
}

/* The JSON of the sealed line at the beginning of `text`; false: no whole line, or a damaged one.
 */
static bool open_line(struct nsm_str text, struct nsm_str *ret_json, size_t *ret_len)
{
    const char *const newline = text.ptr && text.len ? memchr(text.ptr, '\n', text.len) : NULL;
    const size_t len = newline ? (size_t)(newline - text.ptr) + 1 : 0;
    if (len <= TAIL_BYTES)
        return false;
    const struct nsm_str json = {.ptr = text.ptr, .len = len - TAIL_BYTES};
    const struct nsm_str digits = {.ptr = text.ptr + json.len + 2, .len = 32};
    struct file_checksum expected;
    struct file_checksum found = {0};
    file_checksum_add(&found, json);
    if (memcmp(text.ptr + json.len, " #", 2) != 0 || !file_checksum_parse(digits, &expected) ||
        !file_checksum_equals(expected, found))
        return false;
    *ret_json = json;
    *ret_len = len;
    return true;
}

static void write_text(struct nsm_buf *out, struct nsm_str text)
{
    nsm_json_write_value(out, &(struct nsm_value){.type = NSM_BYTES, .bytes = text},
                         NSM_JSON_BYTES_AS_TEXT);
}

static bool read_text(struct nsm_batch *batch, const json_t *json, const char *key,
                      struct nsm_str *ret)
{
    struct nsm_value value = {0};
    struct nsm_error *const error = nsm_json_read_value(batch, json_object_get(json, key),
                                                        NSM_BYTES, NSM_JSON_BYTES_AS_TEXT, &value);
    if (error || value.type != NSM_BYTES) {
        nsm_error_ignore(error);
        return false;
    }
    *ret = value.bytes;
    return true;
}

static bool read_count(const json_t *json, const char *key, uint64_t *ret)
{
    const json_t *const count = json_object_get(json, key);
    if (!json_is_integer(count) || json_integer_value(count) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(count);
    return true;
}

static void write_mark(struct nsm_buf *out, const struct file_mark *mark)
{
    const size_t begin = out->len;
    char checksum[33];
    file_checksum_format(mark->checksum, checksum);
    nsm_buf_printf(out,
                   "{\"records\":%" PRIu64 ",\"data_bytes\":%" PRIu64 ",\"vanished\":%" PRIu64
                   ",\"offset\":%" PRIu64 ",\"lines\":%" PRIu64
                   ",\"checksum\":\"%s\",\"done\":%s,\"resume\":",
                   mark->n_records, mark->n_data_bytes, mark->n_vanished, mark->offset,
                   mark->n_lines, checksum, mark->is_done ? "true" : "false");
    write_text(out, mark->resume);
    nsm_buf_append_char(out, '}');
    seal_line(out, begin);
}

static bool read_mark(struct nsm_batch *batch, const json_t *json, struct file_mark *ret)
{
    struct nsm_str checksum = {0};
    struct file_mark mark = {.is_done = json_is_true(json_object_get(json, "done"))};
    if (!read_count(json, "records", &mark.n_records) ||
        !read_count(json, "data_bytes", &mark.n_data_bytes) ||
        !read_count(json, "vanished", &mark.n_vanished) ||
        !read_count(json, "offset", &mark.offset) || !read_count(json, "lines", &mark.n_lines) ||
        !read_text(batch, json, "resume", &mark.resume) ||
        !read_text(batch, json, "checksum", &checksum) ||
        !file_checksum_parse(checksum, &mark.checksum))
        return false;
    *ret = mark;
    return true;
}

/* ---- a journal's content ---- */

/* Walks through a journal; strings lie in `batch`. */
struct walk {
    struct nsm_buf text;
    struct nsm_batch batch;
    size_t at; /* behind the line read last */
    struct nsm_str run_id, part_id;
};

static void walk_release(struct walk *walk)
{
    nsm_buf_release(&walk->text);
    nsm_batch_release(&walk->batch);
}

/* False at the end, which is also where the lines are damaged. */
static bool walk_next(struct walk *walk, json_t **ret)
{
    struct nsm_str line = {0};
    size_t len = 0;
    if (!open_line(nsm_str_skip(nsm_buf_view(&walk->text), walk->at), &line, &len))
        return false;
    struct nsm_error *const error = nsm_json_parse(line, ret);
    nsm_error_ignore(error);
    if (!error)
        walk->at += len;
    return !error;
}

static struct nsm_error *walk_begin(struct walk *walk, const char *path)
{
    walk->text = NSM_BUF_INIT(JOURNAL_BYTES);
    nsm_batch_init(&walk->batch, NSM_LANE_RECORD);
    NSM_TRY(file_read_all(path, &walk->text));
    json_t *header NSM_CLEANUP(json_decrefp) = NULL;
    struct nsm_str format = {0};
    if (!walk_next(walk, &header) || !read_text(&walk->batch, header, "format", &format) ||
        !nsm_str_equals(format, NSM_STR_LIT(FORMAT)) ||
        !read_text(&walk->batch, header, "run", &walk->run_id) ||
        !read_text(&walk->batch, header, "part", &walk->part_id))
        return nsm_error_new(NSM_E_CORRUPT, "%s: not a journal of ours, or damaged", path);
    return NULL;
}

static bool walk_mark(struct walk *walk, struct file_mark *ret)
{
    const size_t begin = walk->at;
    json_t *json NSM_CLEANUP(json_decrefp) = NULL;
    if (walk_next(walk, &json) && read_mark(&walk->batch, json, ret))
        return true;
    walk->at = begin;
    return false;
}

/* ---- public ---- */

static struct nsm_error *append(const struct file_journal *journal, const struct nsm_buf *text)
{
    NSM_TRY_WRAP(nsm_buf_error(text), "%s", journal->path);
    NSM_TRY(file_write_all(journal->fd, journal->path, nsm_buf_view(text)));
    if (fdatasync(journal->fd) != 0)
        return file_error(journal->path);
    return NULL;
}

struct nsm_error *file_journal_begin(struct file_journal *journal, const char *data_path,
                                     const char *run_id, struct nsm_str part_id)
{
    journal->fd = -1;
    journal->path = nsm_xasprintf("%s%s", data_path, FILE_JOURNAL_SUFFIX);
    NSM_TRY(file_open(journal->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, &journal->fd));
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&text, "{\"format\":\"" FORMAT "\",\"run\":");
    write_text(&text, nsm_str_of(run_id));
    nsm_buf_append_cstr(&text, ",\"part\":");
    write_text(&text, part_id);
    nsm_buf_append_char(&text, '}');
    seal_line(&text, 0);
    return append(journal, &text);
}

static bool is_mark_of(const struct file_mark *mark, const struct nsm_checkpoint *checkpoint)
{
    return mark->n_records == checkpoint->n_records && mark->n_data_bytes == checkpoint->n_bytes &&
           mark->n_vanished == checkpoint->n_vanished &&
           nsm_str_equals(mark->resume, checkpoint->resume);
}

struct nsm_error *file_journal_go_on(struct file_journal *journal, const char *data_path,
                                     const char *run_id, const struct nsm_write_request *request,
                                     struct file_mark *ret)
{
    journal->fd = -1;
    journal->path = nsm_xasprintf("%s%s", data_path, FILE_JOURNAL_SUFFIX);
    struct walk walk NSM_CLEANUP(walk_release) = {0};
    NSM_TRY_WRAP(walk_begin(&walk, journal->path), "the export can't go on; " FILE_BEGIN_ANEW);
    if (!nsm_str_equals(walk.run_id, nsm_str_of(run_id)) ||
        !nsm_str_equals(walk.part_id, request->part_id)) {
        return nsm_error_new(NSM_E_CONFLICT, "%s: belongs to another run; " FILE_BEGIN_ANEW,
                             journal->path);
    }
    struct file_mark mark;
    size_t end = 0;
    while (walk_mark(&walk, &mark)) {
        if (!is_mark_of(&mark, request->from))
            continue;
        *ret = mark;
        end = walk.at;
    }
    if (end == 0) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "%s: holds no checkpoint at %" PRIu64
                             " records, where the run would go on; " FILE_BEGIN_ANEW,
                             journal->path, request->from->n_records);
    }
    ret->resume = (struct nsm_str){0};
    NSM_TRY(file_open(journal->path, O_WRONLY | O_APPEND, &journal->fd));
    if (ftruncate(journal->fd, (off_t)end) != 0)
        return file_error(journal->path);
    return NULL;
}

struct nsm_error *file_journal_add(struct file_journal *journal, const struct file_mark *mark)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    write_mark(&text, mark);
    return append(journal, &text);
}

void file_journal_close(struct file_journal *journal)
{
    if (journal->fd >= 0)
        (void)close(journal->fd);
    journal->fd = -1;
    free(journal->path);
    journal->path = NULL;
}

struct nsm_error *file_journal_read_end(const char *path, struct nsm_arena *arena,
                                        struct file_journal_end *ret)
{
    struct walk walk NSM_CLEANUP(walk_release) = {0};
    NSM_TRY(walk_begin(&walk, path));
    struct file_journal_end end = {.run_id = nsm_arena_copy(arena, walk.run_id).ptr};
    while (walk_mark(&walk, &end.mark))
        continue;
    end.mark.resume = (struct nsm_str){0};
    *ret = end;
    return NULL;
}
