/*
 * Journals of the adapter `file` with any content: the last whole mark is found, or the journal is refused; and what goes on
 * behind a mark ends with what is added then.
 *
 * The first byte of the input: bit 0 each line is sealed with its checksum first, which no chance would find.
 */
#include <assert.h>
#include <stdint.h>

#include "adapters/file/file_journal.h"
#include "migrate/base/alloc.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(struct nsm_buf *out, struct nsm_str line)
{
    struct file_checksum checksum = {0};
    char digits[33];
    file_checksum_add(&checksum, line);
    file_checksum_format(checksum, digits);
    nsm_buf_append(out, line.ptr, line.len);
    nsm_buf_printf(out, " #%s\n", digits);
}

static void write_input(const uint8_t *data, size_t size)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_str rest = {.ptr = (const char *)data + 1, .len = size - 1};
    while ((data[0] & 1) && rest.len) {
        const char *const newline = memchr(rest.ptr, '\n', rest.len);
        const size_t len = newline ? (size_t)(newline - rest.ptr) : rest.len;
        seal(&text, (struct nsm_str){.ptr = rest.ptr, .len = len});
        rest = nsm_str_skip(rest, newline ? len + 1 : len);
    }
    nsm_buf_append(&text, rest.ptr, rest.len);
    fuzz_write_file("data" FILE_JOURNAL_SUFFIX, nsm_buf_view(&text));
}

static bool is_same(const struct file_mark *a, const struct file_mark *b)
{
    return a->n_records == b->n_records && a->n_data_bytes == b->n_data_bytes &&
           a->n_vanished == b->n_vanished && a->offset == b->offset && a->n_lines == b->n_lines &&
           file_checksum_equals(a->checksum, b->checksum) && a->is_done == b->is_done;
}

/* Goes on behind what may be a mark of the journal, without a token of the source. */
static void go_on(const char *data_path, const struct file_journal_end *end)
{
    const struct nsm_checkpoint from = {
        .n_records = end->mark.n_records,
        .n_bytes = end->mark.n_data_bytes,
        .n_vanished = end->mark.n_vanished,
    };
    const struct nsm_write_request request = {.part_id = NSM_STR_LIT("n/0"), .from = &from};
    struct file_journal journal = {0};
    struct file_mark mark = {0};
    struct nsm_error *error = file_journal_go_on(&journal, data_path, end->run_id, &request, &mark);
    if (!error) {
        struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
        struct file_journal_end added;
        mark.resume = (struct nsm_str){.ptr = "\0\n\xff", .len = 3};
        mark.n_records /= 2;
        error = file_journal_add(&journal, &mark);
        assert(!error);
        error = file_journal_read_end(journal.path, &arena, &added);
        assert(!error);
        assert(is_same(&mark, &added.mark));
    }
    nsm_error_free(error);
    file_journal_close(&journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/data", fuzz_folder());
    char *journal NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s%s", path, FILE_JOURNAL_SUFFIX);
    struct file_journal_end end;
    write_input(data, size);
    struct nsm_error *const error = file_journal_read_end(journal, &arena, &end);
    if (error)
        assert(nsm_error_is(error, NSM_E_CORRUPT));
    else
        go_on(path, &end);
    nsm_error_free(error);
    return 0;
}
