#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/redis/redis_keys.h"
#include "migrate/base/alloc.h"

struct place {
    char dir[64], spool[96], list[96];
    struct nsm_context *ctx;
};

static int set_up(void **state)
{
    struct place *const place = nsm_xcalloc(1, sizeof(*place));
    snprintf(place->dir, sizeof(place->dir), "/tmp/nsm-keys-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->spool, sizeof(place->spool), "%s/spool", place->dir);
    snprintf(place->list, sizeof(place->list), "%s/list", place->dir);
    place->ctx = nsm_context_new(NULL);
    *state = place;
    return 0;
}

/* Nothing but the list may be left. */
static int tear_down(void **state)
{
    struct place *const place = *state;
    unlink(place->list);
    assert_int_equal(rmdir(place->dir), 0);
    nsm_context_free(place->ctx);
    free(place);
    return 0;
}

static uint64_t seven_per_part(const struct nsm_redis_list_info *info, size_t part_bytes)
{
    (void)info;
    return part_bytes;
}

static struct nsm_str key_number(uint64_t n, char *out, size_t size)
{
    const int len = snprintf(out, size, "key-%llu", (unsigned long long)n);
    return (struct nsm_str){.ptr = out, .len = (size_t)len};
}

/* A list of the keys 0 to n_keys - 1, each of which the spool has twice but the first few. */
static struct nsm_redis_list_info make_list(const struct place *place, uint64_t n_keys,
                                            uint64_t bucket_keys)
{
    struct nsm_redis_spool spool;
    nsm_redis_spool_init(&spool, place->spool, 64);
    char text[32];
    for (uint64_t n = 0; n < n_keys; n++)
        assert_null(nsm_redis_spool_add(&spool, key_number(n, text, sizeof(text))));
    for (uint64_t n = 3; n < n_keys; n++)
        assert_null(nsm_redis_spool_add(&spool, key_number(n, text, sizeof(text))));
    assert_null(nsm_redis_spool_flush(&spool));
    const struct nsm_redis_list_options options = {
        .path = place->list,
        .bucket_keys = bucket_keys,
        .keys_per_part = seven_per_part,
        .part_bytes = 7,
    };
    struct nsm_redis_list_info info = {.fingerprint = 99, .bytes_per_key = 5};
    assert_null(nsm_redis_list_make(place->ctx, &spool, &options, &info));
    nsm_redis_spool_release(&spool);
    return info;
}

struct parts {
    uint64_t offsets[1000], counts[1000];
    size_t n_parts;
};

static void note_part(void *arg, uint64_t offset, uint64_t n_keys)
{
    struct parts *const parts = arg;
    parts->offsets[parts->n_parts] = offset;
    parts->counts[parts->n_parts++] = n_keys;
}

static void holds_each_once(const struct place *place, uint64_t n_keys, uint64_t bucket_keys)
{
    const struct nsm_redis_list_info made = make_list(place, n_keys, bucket_keys);
    assert_int_equal(made.n_keys, n_keys);
    struct nsm_redis_list_info info;
    struct parts parts = {0};
    assert_null(nsm_redis_list_check(place->ctx, place->list, 99, &info, note_part, &parts));
    assert_int_equal(info.n_keys, n_keys);
    assert_int_equal(info.bytes_per_key, 5);
    assert_int_equal(info.keys_per_part, 7);
    assert_int_equal(parts.n_parts, (n_keys + 6) / 7);
    bool *const is_seen = nsm_xcalloc(n_keys + 1, sizeof(*is_seen));
    for (size_t part = 0; part < parts.n_parts; part++) {
        struct nsm_redis_cursor cursor;
        assert_null(nsm_redis_cursor_open(&cursor, place->list, parts.offsets[part]));
        for (uint64_t index = 0; index < parts.counts[part]; index++) {
            struct nsm_str key;
            assert_null(nsm_redis_cursor_next(&cursor, &key));
            char text[32];
            snprintf(text, sizeof(text), "%.*s", NSM_STR_ARG(key));
            const uint64_t n = strtoull(text + 4, NULL, 10);
            assert_true(n < n_keys && !is_seen[n]);
            is_seen[n] = true;
        }
        if (part + 1 < parts.n_parts)
            assert_int_equal(nsm_redis_cursor_offset(&cursor), parts.offsets[part + 1]);
        nsm_redis_cursor_close(&cursor);
    }
    free(is_seen);
}

static void test_one_table(void **state)
{
    holds_each_once(*state, 500, NSM_REDIS_BUCKET_KEYS);
}

static void test_many_buckets(void **state)
{
    holds_each_once(*state, 2000, 100);
}

static void test_no_keys(void **state)
{
    holds_each_once(*state, 0, 100);
}

static void test_any_bytes(void **state)
{
    struct place *const place = *state;
    struct nsm_redis_spool spool;
    nsm_redis_spool_init(&spool, place->spool, 64);
    const size_t big_len = 700000;
    char *const big = nsm_xcalloc(1, big_len);
    static const struct nsm_str small[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"\xff\n", 2}};
    for (size_t index = 0; index < NSM_COUNT_OF(small); index++)
        assert_null(nsm_redis_spool_add(&spool, small[index]));
    assert_null(nsm_redis_spool_add(&spool, (struct nsm_str){.ptr = big, .len = big_len}));
    assert_null(nsm_redis_spool_flush(&spool));
    const struct nsm_redis_list_options options = {
        .path = place->list,
        .bucket_keys = 100,
        .keys_per_part = seven_per_part,
        .part_bytes = 7,
    };
    struct nsm_redis_list_info info = {.fingerprint = 1};
    assert_null(nsm_redis_list_make(place->ctx, &spool, &options, &info));
    assert_int_equal(info.n_keys, 5);
    struct parts parts = {0};
    assert_null(nsm_redis_list_check(place->ctx, place->list, 1, &info, note_part, &parts));
    struct nsm_redis_cursor cursor;
    assert_null(nsm_redis_cursor_open(&cursor, place->list, parts.offsets[0]));
    struct nsm_str key;
    for (size_t index = 0; index < NSM_COUNT_OF(small); index++) {
        assert_null(nsm_redis_cursor_next(&cursor, &key));
        assert_true(nsm_str_equals(key, small[index]));
    }
    assert_null(nsm_redis_cursor_next(&cursor, &key));
    assert_int_equal(key.len, big_len);
    struct nsm_error *const error = nsm_redis_cursor_next(&cursor, &key);
    assert_true(nsm_error_is(error, NSM_E_CORRUPT));
    nsm_error_free(error);
    nsm_redis_cursor_close(&cursor);
    nsm_redis_spool_release(&spool);
    free(big);
}

static void is_refused(const struct place *place, uint64_t fingerprint, enum nsm_code code)
{
    struct nsm_redis_list_info info;
    struct nsm_error *const error =
        nsm_redis_list_check(place->ctx, place->list, fingerprint, &info, NULL, NULL);
    assert_true(nsm_error_is(error, code));
    nsm_error_free(error);
}

static void flip_byte(const char *path, off_t at)
{
    const int fd = open(path, O_RDWR);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ 1);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Whatever is not the whole list as it was made is none. */
static void test_damage_is_found(void **state)
{
    struct place *const place = *state;
    is_refused(place, 99, NSM_E_NOTFOUND);
    make_list(place, 50, 100);
    is_refused(place, 98, NSM_E_CORRUPT);
    struct stat status;
    assert_int_equal(stat(place->list, &status), 0);
    for (off_t at = 0; at < status.st_size; at++) {
        flip_byte(place->list, at);
        is_refused(place, 99, NSM_E_CORRUPT);
        flip_byte(place->list, at);
    }
    struct nsm_redis_list_info info;
    assert_null(nsm_redis_list_check(place->ctx, place->list, 99, &info, NULL, NULL));
    assert_int_equal(truncate(place->list, status.st_size - 1), 0);
    is_refused(place, 99, NSM_E_CORRUPT);
    assert_int_equal(truncate(place->list, 10), 0);
    is_refused(place, 99, NSM_E_CORRUPT);
}

static void test_a_spool_begins_anew(void **state)
{
    struct place *const place = *state;
    const int fd = open(place->spool, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "left by a run that was killed", 29), 29);
    close(fd);
    const struct nsm_redis_list_info info = make_list(place, 10, 100);
    assert_int_equal(info.n_keys, 10);
}

static void test_ranges(void **state)
{
    (void)state;
    uint64_t offset;
    uint64_t n_keys;
    assert_true(nsm_redis_range_parse(NSM_STR_LIT("64 1000"), &offset, &n_keys));
    assert_int_equal(offset, 64);
    assert_int_equal(n_keys, 1000);
    assert_false(nsm_redis_range_parse(NSM_STR_LIT("64"), &offset, &n_keys));
    assert_false(nsm_redis_range_parse(NSM_STR_LIT(""), &offset, &n_keys));
    assert_false(nsm_redis_range_parse(NSM_STR_LIT("64 -1"), &offset, &n_keys));
    assert_false(nsm_redis_range_parse(NSM_STR_LIT("64 1 2"), &offset, &n_keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_buckets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_spool_begins_anew, set_up, tear_down),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
