/*
 * What was damaged, cut, lost or edited in files is never taken for whole.
 */
#include "tests/support/file_rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

static const char *const compressions[] = {"none", "zstd"};

static void lost_journals_are_noticed(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "app/0", NULL, &writing);
    rig_write_rows(&rig, &writing, 0, 100);
    rig_checkpoint(&rig, &writing, "at 100", false);
    rig_close_writer(&writing);
    struct nsm_checkpoint from = writing.now;
    char *const data = rig_path_of(&rig, "app/users.0.jsonl");
    char *const journal = rig_path_of(&rig, "app/users.0.jsonl.progress");

    from.resume = NSM_STR_LIT("elsewhere");
    rig_assert_error(rig_try_open_writer(&rig, 0, "app/0", &from, &writing), NSM_E_CORRUPT,
                     "holds no checkpoint at 100 records");
    from = (struct nsm_checkpoint){
        .n_records = 100, .n_bytes = from.n_bytes, .resume = NSM_STR_LIT("at 100")};
    assert_int_equal(truncate(data, 50), 0);
    rig_assert_error(rig_try_open_writer(&rig, 0, "app/0", &from, &writing), NSM_E_CORRUPT,
                     "the last checkpoint is at");
    assert_int_equal(unlink(journal), 0);
    rig_assert_error(rig_try_open_writer(&rig, 0, "app/0", &from, &writing), NSM_E_NOTFOUND,
                     "the export can't go on");
    rig_save(journal, "rubbish\n", 8);
    rig_assert_error(rig_try_open_writer(&rig, 0, "app/0", &from, &writing), NSM_E_CORRUPT,
                     "not a journal of ours");
    free(data);
    free(journal);
    rig_end(&rig);
}

/* A crash may leave any part of the journal's last line. */
static void torn_journals_go_on_before_the_tear(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "app/0", NULL, &writing);
    rig_write_rows(&rig, &writing, 0, 10);
    rig_checkpoint(&rig, &writing, "at 10", false);
    const struct nsm_checkpoint first = writing.now;
    char *const journal = rig_path_of(&rig, "app/users.0.jsonl.progress");
    char before[4096];
    const size_t before_len = rig_load(journal, before, sizeof(before));
    rig_write_rows(&rig, &writing, 10, 20);
    rig_checkpoint(&rig, &writing, "at 20", false);
    const struct nsm_checkpoint second = writing.now;
    rig_close_writer(&writing);
    char after[4096];
    const size_t after_len = rig_load(journal, after, sizeof(after));
    for (size_t len = before_len; len < after_len; len++) {
        rig_save(journal, after, len);
        rig_assert_error(rig_try_open_writer(&rig, 0, "app/0", &second, &writing), NSM_E_CORRUPT,
                         "holds no checkpoint at 20 records");
        rig_open_writer(&rig, 0, "app/0", &first, &writing);
        rig_close_writer(&writing);
        char cut[4096];
        assert_int_equal(rig_load(journal, cut, sizeof(cut)), before_len);
    }
    free(journal);
    rig_end(&rig);
}

/* One flipped bit anywhere in a data file, manifest or compressed frame: an error, or the same
 * records; never others. */
static void flip_all(struct rig *rig, const char *name)
{
    struct nsm_digest expected = {0};
    rig_assert_ok(rig_read_all(rig, "app", &expected));
    char *const path = rig_path_of(rig, name);
    static char bytes[1 << 16];
    const size_t len = rig_load(path, bytes, sizeof(bytes));
    size_t n_errors = 0;
    for (size_t at = 0; at < len; at++) {
        const char mask = (char)(1 << at % 8);
        bytes[at] = (char)(bytes[at] ^ mask);
        rig_save(path, bytes, len);
        bytes[at] = (char)(bytes[at] ^ mask);
        struct nsm_digest found = {0};
        struct nsm_error *const error = rig_read_all(rig, "app", &found);
        n_errors += error != NULL;
        if (!error)
            assert_true(nsm_digest_equals(&expected, &found));
        nsm_error_free(error);
    }
    assert_true(n_errors >= len * 9 / 10);
    rig_save(path, bytes, len);
    rig_assert_ok(rig_read_all(rig, "app", &expected));
    free(path);
}

static void flipped_bits_are_found(void **state)
{
    (void)state;
    static const char *const names[] = {"app/users.0.jsonl", "app/users.0.jsonl.zst"};
    for (size_t variant = 0; variant < NSM_COUNT_OF(compressions); variant++) {
        struct rig rig;
        rig_begin(&rig, compressions[variant]);
        rig_shape_table(&rig, "users");
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
        rig_export_rows(&rig, "app", 12);
        flip_all(&rig, names[variant]);
        flip_all(&rig, "app/manifest.json");
        rig_end(&rig);
    }
}

static void truncated_files_are_found(void **state)
{
    (void)state;
    static const char *const names[] = {"app/users.0.jsonl", "app/users.0.jsonl.zst"};
    for (size_t variant = 0; variant < NSM_COUNT_OF(compressions); variant++) {
        struct rig rig;
        rig_begin(&rig, compressions[variant]);
        rig_shape_table(&rig, "users");
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
        rig_export_rows(&rig, "app", 12);
        char *const path = rig_path_of(&rig, names[variant]);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        for (off_t len = info.st_size - 1; len >= 0; len--) {
            assert_int_equal(truncate(path, len), 0);
            struct nsm_digest digest = {0};
            rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_CORRUPT, names[variant]);
        }
        assert_int_equal(unlink(path), 0);
        struct nsm_digest digest = {0};
        rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_CORRUPT, "is missing");
        free(path);
        rig_end(&rig);
    }
}

/* The bytes of a data file, compressed or not, from and to lines of text. */
static size_t unpack(const char *bytes, size_t len, bool is_zstd, char *out, size_t out_bytes)
{
    if (!is_zstd) {
        memcpy(out, bytes, len);
        return len;
    }
    const size_t n = ZSTD_decompress(out, out_bytes, bytes, len);
    assert_false(ZSTD_isError(n));
    return n;
}

static void save_packed(const char *path, const char *text, size_t len, bool is_zstd)
{
    static char packed[1 << 16];
    const size_t n = is_zstd ? ZSTD_compress(packed, sizeof(packed), text, len, 3) : 0;
    assert_false(ZSTD_isError(n));
    rig_save(path, is_zstd ? packed : text, is_zstd ? n : len);
}

/* Each line left out, and each one doubled. */
static void missing_lines_are_found(void **state)
{
    (void)state;
    static const char *const names[] = {"app/users.0.jsonl", "app/users.0.jsonl.zst"};
    for (size_t variant = 0; variant < NSM_COUNT_OF(compressions); variant++) {
        const bool is_zstd = variant == 1;
        struct rig rig;
        rig_begin(&rig, compressions[variant]);
        rig_shape_table(&rig, "users");
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
        rig_export_rows(&rig, "app", 12);
        char *const path = rig_path_of(&rig, names[variant]);
        static char bytes[1 << 16];
        static char text[1 << 16];
        const size_t packed_len = rig_load(path, bytes, sizeof(bytes));
        const size_t len = unpack(bytes, packed_len, is_zstd, text, sizeof(text));
        size_t n_lines = 0;
        for (size_t begin = 0; begin < len; n_lines++) {
            const size_t end = (size_t)((char *)memchr(text + begin, '\n', len - begin) - text) + 1;
            for (size_t n_copies = 0; n_copies <= 2; n_copies += 2) {
                struct nsm_buf changed NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
                nsm_buf_append(&changed, text, begin);
                for (size_t copy = 0; copy < n_copies; copy++)
                    nsm_buf_append(&changed, text + begin, end - begin);
                nsm_buf_append(&changed, text + end, len - end);
                save_packed(path, changed.ptr, changed.len, is_zstd);
                struct nsm_digest digest = {0};
                rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_CORRUPT, names[variant]);
            }
            begin = end;
        }
        assert_int_equal(n_lines, 12);
        free(path);
        rig_end(&rig);
    }
}

/* Edits that keep the file's length: the line or the end says it, with its number. */
static void edits_are_named_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *expected;
    } cases[] = {
        {"{\"id\":3", "{\"id\":4", "checksum is not the manifest's"},
        {"{\"id\":3", "{\"xd\":3", "line 4: column id is missing"},
        {"{\"id\":3", "{\"id\" 3", "line 4: not valid JSON"},
        {"\"at\":null", "\"at\":{}  ", "line 1: column at: expected a value"},
        {"}\n{\"id\":3", "} {\"id\":3", "line 3: something follows"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        struct rig rig;
        rig_begin(&rig, "none");
        rig_shape_table(&rig, "users");
        rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
        rig_export_rows(&rig, "app", 6);
        char *const path = rig_path_of(&rig, "app/users.0.jsonl");
        char bytes[4096] = "";
        const size_t len = rig_load(path, bytes, sizeof(bytes));
        char *const at = strstr(bytes, cases[index].from);
        assert_non_null(at);
        memcpy(at, cases[index].to, strlen(cases[index].to));
        rig_save(path, bytes, len);
        struct nsm_digest digest = {0};
        rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_CORRUPT, cases[index].expected);
        free(path);
        rig_end(&rig);
    }
}

/* Writes slices as no reader would give them. */
static void export_slices(struct rig *rig, const char *second_key, unsigned second_flags)
{
    rig_begin(rig, "none");
    rig_shape_keys(rig, NSM_STR_LIT(""));
    rig_inspect(rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig->destination, rig->ctx));
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (size_t index = 0; index < 2; index++) {
        struct nsm_record *const record = nsm_batch_add(&batch, NSM_KIND_LIST, 0);
        record->key = index == 0 ? NSM_STR_LIT("k") : nsm_str_of(second_key);
        record->flags = index == 0 ? NSM_RECORD_MORE : second_flags;
    }
    struct rig_writing writing;
    rig_open_writer(rig, 0, "app/0", NULL, &writing);
    rig_write_batch(rig, &writing, &batch);
    rig_checkpoint(rig, &writing, "", true);
    rig_close_writer(&writing);
    rig_finish(rig);
    nsm_batch_release(&batch);
}

static void torn_keys_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        unsigned flags;
        const char *expected;
    } cases[] = {
        {"k", 0, "line 2: the key before it is not continued"},
        {"l", NSM_RECORD_CONTINUED, "line 2: continues another key"},
        {"k", NSM_RECORD_CONTINUED | NSM_RECORD_MORE, "line 2: the key is not continued"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        struct rig rig;
        export_slices(&rig, cases[index].key, cases[index].flags);
        struct nsm_digest digest = {0};
        rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_CORRUPT, cases[index].expected);
        rig_end(&rig);
    }
}

static void missing_exports_are_not_found(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    struct nsm_digest digest = {0};
    rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_NOTFOUND,
                     "manifest.json is missing");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "app/0", NULL, &writing);
    rig_close_writer(&writing);
    rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_NOTFOUND, "did not come to its end");
    struct nsm_finish_plan plan = {0};
    rig_assert_ok(nsm_adapter_file.plan_finish(&rig.destination, rig.ctx, &plan));
    rig_assert_error(nsm_adapter_file.finish_step(&rig.destination, rig.ctx, &plan.steps[0]),
                     NSM_E_INTERNAL, "is not complete");
    nsm_arena_release(&plan.arena);
    rig_end(&rig);
}

static void later_versions_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_export_rows(&rig, "app", 6);
    char *const path = rig_path_of(&rig, "app/manifest.json");
    char bytes[8192] = "";
    const size_t len = rig_load(path, bytes, sizeof(bytes));
    char *const version = strstr(bytes, "\"version\": 2");
    assert_non_null(version);
    version[11] = '3';
    rig_save(path, bytes, len);
    struct nsm_digest digest = {0};
    rig_assert_error(rig_read_all(&rig, "app", &digest), NSM_E_UNSUPPORTED, "version 3");
    free(path);
    rig_end(&rig);
}

/* A link where a data file would go is not followed. */
static void links_are_not_followed(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    char *const victim = rig_path_of(&rig, "victim");
    char *const link = rig_path_of(&rig, "app/users.0.jsonl");
    rig_save(victim, "precious", 8);
    assert_int_equal(symlink(victim, link), 0);
    struct rig_writing writing;
    rig_assert_error(rig_try_open_writer(&rig, 0, "app/0", NULL, &writing), NSM_E_IO,
                     "users.0.jsonl");
    char bytes[16];
    assert_int_equal(rig_load(victim, bytes, sizeof(bytes)), 8);
    free(victim);
    free(link);
    rig_end(&rig);
}

static void full_disks_are_named(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig, "none");
    rig_shape_table(&rig, "users");
    rig_inspect(&rig, "app", NSM_IF_EXISTS_FAIL, false);
    rig_assert_ok(nsm_adapter_file.prepare(&rig.destination, rig.ctx));
    struct rig_writing writing;
    rig_open_writer(&rig, 0, "app/0", NULL, &writing);
    rig_write_rows(&rig, &writing, 0, 10);
    /* the data file becomes the device that is always full, behind the writer's back */
    char *const path = rig_path_of(&rig, "app/users.0.jsonl");
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    int found = -1;
    for (int fd = 3; fd < 64 && found < 0; fd++) {
        struct stat other;
        if (fstat(fd, &other) == 0 && other.st_ino == info.st_ino && other.st_dev == info.st_dev)
            found = fd;
    }
    assert_true(found >= 0);
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(dup2(full, found), found);
    (void)close(full);
    rig_assert_error(nsm_adapter_file.checkpoint(writing.writer, rig.ctx, &writing.now), NSM_E_IO,
                     "app/users.0.jsonl: No space left on device");
    rig_close_writer(&writing);
    free(path);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_journals_are_noticed),
        cmocka_unit_test(torn_journals_go_on_before_the_tear),
        cmocka_unit_test(flipped_bits_are_found),
        cmocka_unit_test(truncated_files_are_found),
        cmocka_unit_test(missing_lines_are_found),
        cmocka_unit_test(edits_are_named_by_line),
        cmocka_unit_test(torn_keys_are_found),
        cmocka_unit_test(missing_exports_are_not_found),
        cmocka_unit_test(later_versions_are_refused),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(full_disks_are_named),
    };
    return cmocka_run_group_tests_name("file_damage", tests, NULL, NULL);
}
