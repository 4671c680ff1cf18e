/*
 * The file of a list: a header of eight little-endian numbers, then for each key its length in four
 * bytes and its bytes. It is written beside its place and renamed when it is whole. Its way to the disk begins then; who has made many
 * waits for all of them at the end, when the first one's wait has brought most of the others there.
 */
#include "adapters/redis/redis_keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#define MAGIC               UINT64_C(0x0179656b6d736e01) /* "\1nsmkey\1" */
#define HEADER_BYTES        64
#define LENGTH_BYTES        4
#define READ_BYTES          ((size_t)256 << 10)
#define MAX_KEY_BYTES       ((size_t)1 << 30)
#define MAX_BUCKETS         1024
#define BUCKET_BUFFER_BYTES ((size_t)16 << 10)
/* How often long loops look at the context. */
#define KEYS_PER_LOOK 4096

static void close_fdp(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void put_number(unsigned char *at, uint64_t number, size_t n_bytes)
{
    for (size_t index = 0; index < n_bytes; index++)
        at[index] = (unsigned char)(number >> (8 * index));
}

static uint64_t get_number(const unsigned char *at, size_t n_bytes)
{
    uint64_t number = 0;
    for (size_t index = 0; index < n_bytes; index++)
        number |= (uint64_t)at[index] << (8 * index);
    return number;
}

static struct nsm_error *write_all(int fd, const char *path, struct nsm_str bytes)
{
    while (bytes.len) {
        const ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nsm_error_new(NSM_E_IO, "write key list %s: %m", path);
        bytes = nsm_str_skip(bytes, (size_t)n);
    }
    return NULL;
}

/* ---- spools ---- */

void nsm_redis_spool_init(struct nsm_redis_spool *spool, const char *path, size_t buffer_bytes)
{
    *spool = (struct nsm_redis_spool){
        .path = nsm_xstrdup(path),
        .buf = NSM_BUF_INIT(MAX_KEY_BYTES + buffer_bytes),
        .buffer_bytes = buffer_bytes,
    };
}

void nsm_redis_spool_release(struct nsm_redis_spool *spool)
{
    if (spool->is_begun)
        unlink(spool->path);
    nsm_buf_release(&spool->buf);
    free(spool->path);
    *spool = (struct nsm_redis_spool){.buf = NSM_BUF_INIT(0)};
}

struct nsm_error *nsm_redis_spool_flush(struct nsm_redis_spool *spool)
{
    NSM_TRY(nsm_buf_error(&spool->buf));
    const int how = spool->is_begun ? O_APPEND : O_CREAT | O_TRUNC;
    const int fd NSM_CLEANUP(close_fdp) = open(spool->path, O_WRONLY | O_CLOEXEC | how, 0600);
    if (fd < 0)
        return nsm_error_new(NSM_E_IO, "key list %s: %m", spool->path);
    spool->is_begun = true;
    NSM_TRY(write_all(fd, spool->path, nsm_buf_view(&spool->buf)));
    nsm_buf_clear(&spool->buf);
    return NULL;
}

struct nsm_error *nsm_redis_spool_add(struct nsm_redis_spool *spool, struct nsm_str key)
{
    unsigned char length[LENGTH_BYTES];
    if (key.len > MAX_KEY_BYTES)
        return nsm_error_new(NSM_E_NOMEM, "a key of %zu bytes", key.len);
    put_number(length, key.len, LENGTH_BYTES);
    nsm_buf_append(&spool->buf, length, sizeof(length));
    nsm_buf_append_str(&spool->buf, key);
    spool->n_keys++;
    return spool->buf.len >= spool->buffer_bytes ? nsm_redis_spool_flush(spool) : NULL;
}

/* ---- reading ---- */

struct nsm_error *nsm_redis_cursor_open(struct nsm_redis_cursor *cursor, const char *path,
                                        uint64_t offset)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nsm_error_new(errno == ENOENT ? NSM_E_NOTFOUND : NSM_E_IO, "key list %s: %m", path);
    *cursor = (struct nsm_redis_cursor){
        .fd = fd,
        .path = nsm_xstrdup(path),
        .buf = NSM_BUF_INIT(MAX_KEY_BYTES + READ_BYTES + LENGTH_BYTES),
        .buf_offset = offset,
    };
    return NULL;
}

void nsm_redis_cursor_close(struct nsm_redis_cursor *cursor)
{
    if (!cursor->path)
        return;
    close(cursor->fd);
    free(cursor->path);
    nsm_buf_release(&cursor->buf);
    *cursor = (struct nsm_redis_cursor){.fd = -1, .buf = NSM_BUF_INIT(0)};
}

uint64_t nsm_redis_cursor_offset(const struct nsm_redis_cursor *cursor)
{
    return cursor->buf_offset + cursor->buf_pos;
}

/* Makes `n_bytes` available behind the position. */
static struct nsm_error *fill(struct nsm_redis_cursor *cursor, size_t n_bytes)
{
    if (cursor->buf.len - cursor->buf_pos >= n_bytes)
        return NULL;
    cursor->buf_offset += cursor->buf_pos;
    nsm_buf_consume(&cursor->buf, cursor->buf_pos);
    cursor->buf_pos = 0;
    while (cursor->buf.len < n_bytes) {
        const size_t n_wanted = n_bytes - cursor->buf.len;
        const size_t n_room = n_wanted > READ_BYTES ? n_wanted : READ_BYTES;
        char *const at = nsm_buf_reserve(&cursor->buf, n_room);
        if (!at)
            return nsm_buf_error(&cursor->buf);
        const ssize_t n =
            pread(cursor->fd, at, n_room, (off_t)(cursor->buf_offset + cursor->buf.len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nsm_error_new(NSM_E_IO, "read key list %s: %m", cursor->path);
        if (n == 0)
            return nsm_error_new(NSM_E_CORRUPT, "key list %s ends early", cursor->path);
        nsm_buf_commit(&cursor->buf, (size_t)n);
    }
    return NULL;
}

struct nsm_error *nsm_redis_cursor_next(struct nsm_redis_cursor *cursor, struct nsm_str *ret_key)
{
    NSM_TRY(fill(cursor, LENGTH_BYTES));
    const unsigned char *const at = (const unsigned char *)cursor->buf.ptr + cursor->buf_pos;
    const size_t len = (size_t)get_number(at, LENGTH_BYTES);
    if (len > MAX_KEY_BYTES)
        return nsm_error_new(NSM_E_CORRUPT, "key list %s is damaged", cursor->path);
    NSM_TRY(fill(cursor, LENGTH_BYTES + len));
    *ret_key =
        (struct nsm_str){.ptr = cursor->buf.ptr + cursor->buf_pos + LENGTH_BYTES, .len = len};
    cursor->buf_pos += LENGTH_BYTES + len;
    return NULL;
}

/* The next of many: `index` counts them. */
static struct nsm_error *next_key(struct nsm_context *ctx, struct nsm_redis_cursor *cursor,
                                  uint64_t index, struct nsm_str *ret_key)
{
    if (index % KEYS_PER_LOOK == 0)
        NSM_TRY(nsm_context_error(ctx));
    return nsm_redis_cursor_next(cursor, ret_key);
}

bool nsm_redis_range_parse(struct nsm_str text, uint64_t *ret_offset, uint64_t *ret_count)
{
    const char *const space = text.len ? memchr(text.ptr, ' ', text.len) : NULL;
    if (!space)
        return false;
    const size_t n = (size_t)(space - text.ptr);
    return nsm_parse_u64((struct nsm_str){.ptr = text.ptr, .len = n}, ret_offset) &&
           nsm_parse_u64(nsm_str_skip(text, n + 1), ret_count);
}

/* ---- making a list ---- */

struct table {
    XXH128_hash_t *slots; /* zero: free */
    uint64_t mask;
};

static void table_release(struct table *table)
{
    free(table->slots);
}

static XXH128_hash_t hash_key(struct nsm_str key)
{
    XXH128_hash_t hash = XXH3_128bits(key.ptr, key.len);
    if (hash.low64 == 0 && hash.high64 == 0)
        hash.low64 = 1;
    return hash;
}

/* False when the hash was there already. The table is never more than half full. */
static bool table_add(struct table *table, XXH128_hash_t hash)
{
    uint64_t at = hash.low64 & table->mask;
    while (table->slots[at].low64 || table->slots[at].high64) {
        if (XXH128_isEqual(table->slots[at], hash))
            return false;
        at = (at + 1) & table->mask;
    }
    table->slots[at] = hash;
    return true;
}

/* A list that is being written. */
struct maker {
    struct nsm_context *ctx;
    int fd;
    const char *path;
    struct nsm_buf buf;
    XXH3_state_t *state;
    uint64_t n_keys;
};

static void maker_release(struct maker *maker)
{
    close_fdp(&maker->fd);
    nsm_buf_release(&maker->buf);
    XXH3_freeState(maker->state);
}

static struct nsm_error *maker_flush(struct maker *maker)
{
    NSM_TRY(nsm_buf_error(&maker->buf));
    XXH3_64bits_update(maker->state, maker->buf.ptr, maker->buf.len);
    NSM_TRY(write_all(maker->fd, maker->path, nsm_buf_view(&maker->buf)));
    nsm_buf_clear(&maker->buf);
    return NULL;
}

static struct nsm_error *maker_add(struct maker *maker, struct nsm_str key)
{
    unsigned char length[LENGTH_BYTES];
    put_number(length, key.len, LENGTH_BYTES);
    nsm_buf_append(&maker->buf, length, sizeof(length));
    nsm_buf_append_str(&maker->buf, key);
    maker->n_keys++;
    return maker->buf.len >= READ_BYTES ? maker_flush(maker) : NULL;
}

/* Adds the keys of a spool that fits one table. */
static struct nsm_error *add_distinct(struct maker *maker, const struct nsm_redis_spool *spool)
{
    if (spool->n_keys == 0)
        return NULL;
    uint64_t n_slots = 16;
    while (n_slots < spool->n_keys * 2)
        n_slots *= 2;
    struct table table NSM_CLEANUP(table_release) = {
        .slots = nsm_xcalloc(n_slots, sizeof(XXH128_hash_t)),
        .mask = n_slots - 1,
    };
    struct nsm_redis_cursor cursor NSM_CLEANUP(nsm_redis_cursor_close) = {.fd = -1};
    NSM_TRY(nsm_redis_cursor_open(&cursor, spool->path, 0));
    for (uint64_t index = 0; index < spool->n_keys; index++) {
        struct nsm_str key = {0};
        NSM_TRY(next_key(maker->ctx, &cursor, index, &key));
        if (table_add(&table, hash_key(key)))
            NSM_TRY(maker_add(maker, key));
    }
    return NULL;
}

struct buckets {
    struct nsm_redis_spool *spools;
    size_t n_spools;
};

static void buckets_release(struct buckets *buckets)
{
    for (size_t index = 0; index < buckets->n_spools; index++)
        nsm_redis_spool_release(&buckets->spools[index]);
    free(buckets->spools);
}

static struct nsm_error *split(struct maker *maker, const struct nsm_redis_spool *spool,
                               struct buckets *buckets)
{
    const size_t n_spools = buckets->n_spools;
    assert(n_spools > 0);
    struct nsm_redis_cursor cursor NSM_CLEANUP(nsm_redis_cursor_close) = {.fd = -1};
    NSM_TRY(nsm_redis_cursor_open(&cursor, spool->path, 0));
    for (uint64_t index = 0; index < spool->n_keys; index++) {
        struct nsm_str key = {0};
        NSM_TRY(next_key(maker->ctx, &cursor, index, &key));
        const size_t bucket = (size_t)(hash_key(key).high64 % n_spools);
        NSM_TRY(nsm_redis_spool_add(&buckets->spools[bucket], key));
    }
    for (size_t index = 0; index < buckets->n_spools; index++)
        NSM_TRY(nsm_redis_spool_flush(&buckets->spools[index]));
    return NULL;
}

static struct nsm_error *add_in_buckets(struct maker *maker, const struct nsm_redis_spool *spool,
                                        uint64_t bucket_keys)
{
    uint64_t n_buckets = (spool->n_keys + bucket_keys - 1) / bucket_keys;
    if (n_buckets > MAX_BUCKETS)
        n_buckets = MAX_BUCKETS;
    struct buckets buckets NSM_CLEANUP(buckets_release) = {
        .spools = nsm_xcalloc(n_buckets, sizeof(*buckets.spools)),
        .n_spools = n_buckets,
    };
    for (size_t index = 0; index < n_buckets; index++) {
        char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s.%zu", spool->path, index);
        nsm_redis_spool_init(&buckets.spools[index], path, BUCKET_BUFFER_BYTES);
    }
    NSM_TRY(split(maker, spool, &buckets));
    for (size_t index = 0; index < n_buckets; index++) {
        NSM_TRY(add_distinct(maker, &buckets.spools[index]));
        nsm_redis_spool_release(&buckets.spools[index]);
    }
    return NULL;
}

/* The header, by position. */
enum field {
    FIELD_MAGIC,
    FIELD_FINGERPRINT,
    FIELD_N_KEYS,
    FIELD_BYTES_PER_KEY,
    FIELD_KEYS_PER_PART,
    FIELD_BODY_BYTES,
    FIELD_BODY_CHECKSUM,
    FIELD_HEADER_CHECKSUM,
    N_FIELDS,
};

static struct nsm_error *finish(struct maker *maker, const char *path,
                                const struct nsm_redis_list_info *info)
{
    NSM_TRY(maker_flush(maker));
    const off_t end = lseek(maker->fd, 0, SEEK_CUR);
    unsigned char header[HEADER_BYTES];
    const uint64_t fields[N_FIELDS - 1] = {
        MAGIC,
        info->fingerprint,
        info->n_keys,
        info->bytes_per_key,
        info->keys_per_part,
        (uint64_t)end - HEADER_BYTES,
        XXH3_64bits_digest(maker->state),
    };
    for (size_t index = 0; index < NSM_COUNT_OF(fields); index++)
        put_number(header + 8 * index, fields[index], 8);
    put_number(header + (size_t)8 * FIELD_HEADER_CHECKSUM, XXH3_64bits(header, HEADER_BYTES - 8),
               8);
    if (pwrite(maker->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        rename(maker->path, path) != 0)
        return nsm_error_new(NSM_E_IO, "key list %s: %m", path);
    /* A file system that can't is asked by nsm_redis_list_sync alone. */
    (void)sync_file_range(maker->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return NULL;
}

struct nsm_error *nsm_redis_list_sync(const char *path)
{
    const int fd NSM_CLEANUP(close_fdp) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return nsm_error_new(NSM_E_IO, "key list %s: %m", path);
    return NULL;
}

struct nsm_error *nsm_redis_list_make(struct nsm_context *ctx, const struct nsm_redis_spool *spool,
                                      const struct nsm_redis_list_options *options,
                                      struct nsm_redis_list_info *info)
{
    char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s.new", options->path);
    struct maker maker NSM_CLEANUP(maker_release) = {
        .ctx = ctx,
        .fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
        .path = path,
        .buf = NSM_BUF_INIT(MAX_KEY_BYTES + READ_BYTES + LENGTH_BYTES),
        .state = XXH3_createState(),
    };
    if (maker.fd < 0)
        return nsm_error_new(NSM_E_IO, "key list %s: %m", path);
    if (!maker.state)
        abort();
    XXH3_64bits_reset(maker.state);
    static const char empty_header[HEADER_BYTES];
    NSM_TRY(write_all(maker.fd, path, (struct nsm_str){.ptr = empty_header, .len = HEADER_BYTES}));
    if (spool->n_keys <= options->bucket_keys)
        NSM_TRY(add_distinct(&maker, spool));
    else
        NSM_TRY(add_in_buckets(&maker, spool, options->bucket_keys));
    info->n_keys = maker.n_keys;
    info->keys_per_part = options->keys_per_part(info, options->part_bytes);
    return finish(&maker, options->path, info);
}

/* ---- checking a list ---- */

static struct nsm_error *not_a_list(const char *path)
{
    return nsm_error_new(NSM_E_CORRUPT, "%s is not a whole key list of this namespace", path);
}

static struct nsm_error *read_header(int fd, const char *path, uint64_t *ret_fields)
{
    unsigned char header[HEADER_BYTES];
    if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return not_a_list(path);
    for (size_t index = 0; index < N_FIELDS; index++)
        ret_fields[index] = get_number(header + 8 * index, 8);
    struct stat status;
    if (ret_fields[FIELD_MAGIC] != MAGIC ||
        ret_fields[FIELD_HEADER_CHECKSUM] != XXH3_64bits(header, HEADER_BYTES - 8) ||
        fstat(fd, &status) != 0 ||
        (uint64_t)status.st_size - HEADER_BYTES != ret_fields[FIELD_BODY_BYTES] ||
        ret_fields[FIELD_KEYS_PER_PART] == 0)
        return not_a_list(path);
    return NULL;
}

static void state_freep(XXH3_state_t **at)
{
    XXH3_freeState(*at);
}

/* Walks the keys, adding what stands in the file to the checksum, and tells the parts. */
static struct nsm_error *walk(struct nsm_context *ctx, struct nsm_redis_cursor *cursor,
                              const struct nsm_redis_list_info *info, XXH3_state_t *state,
                              nsm_redis_list_part_fn *fn, void *arg)
{
    uint64_t n_left = info->n_keys;
    while (n_left) {
        const uint64_t offset = nsm_redis_cursor_offset(cursor);
        const uint64_t n_part = n_left < info->keys_per_part ? n_left : info->keys_per_part;
        for (uint64_t index = 0; index < n_part; index++) {
            struct nsm_str key = {0};
            NSM_TRY(next_key(ctx, cursor, index, &key));
            XXH3_64bits_update(state, key.ptr - LENGTH_BYTES, key.len + LENGTH_BYTES);
        }
        if (fn)
            fn(arg, offset, n_part);
        n_left -= n_part;
    }
    return NULL;
}

struct nsm_error *nsm_redis_list_check(struct nsm_context *ctx, const char *path,
                                       uint64_t fingerprint, struct nsm_redis_list_info *ret_info,
                                       nsm_redis_list_part_fn *fn, void *arg)
{
    struct nsm_redis_cursor cursor NSM_CLEANUP(nsm_redis_cursor_close) = {.fd = -1};
    NSM_TRY(nsm_redis_cursor_open(&cursor, path, HEADER_BYTES));
    uint64_t fields[N_FIELDS] = {0};
    NSM_TRY(read_header(cursor.fd, path, fields));
    if (fields[FIELD_FINGERPRINT] != fingerprint)
        return not_a_list(path);
    const struct nsm_redis_list_info info = {
        .fingerprint = fingerprint,
        .n_keys = fields[FIELD_N_KEYS],
        .bytes_per_key = fields[FIELD_BYTES_PER_KEY],
        .keys_per_part = fields[FIELD_KEYS_PER_PART],
    };
    XXH3_state_t *state NSM_CLEANUP(state_freep) = XXH3_createState();
    if (!state)
        abort();
    XXH3_64bits_reset(state);
    NSM_TRY(walk(ctx, &cursor, &info, state, fn, arg));
    if (nsm_redis_cursor_offset(&cursor) - HEADER_BYTES != fields[FIELD_BODY_BYTES] ||
        XXH3_64bits_digest(state) != fields[FIELD_BODY_CHECKSUM])
        return not_a_list(path);
    *ret_info = info;
    return NULL;
}
