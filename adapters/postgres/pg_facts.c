/*
 * Lists of rows, each row a list of strings: no fact needs more.
 *
 *     <archive of pg_dump>{"tables":[["f"],...],"sequences":[["app","s","12","t"],...],...}<length> nsmigrate postgres facts 1\n
 *
 * The length, in 16 digits, is that of the JSON. It is looked for from the end.
 */
#include "adapters/postgres/pg_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"
#include "migrate/engine/record/json.h"

#define MARK            " nsmigrate postgres facts 1\n"
#define LENGTH_DIGITS   16
#define TAIL_BYTES      (LENGTH_DIGITS + sizeof(MARK) - 1)
#define MAX_FACTS_BYTES ((size_t)256 << 20)
#define MAX_CELLS       5

static void closep(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* ---- writing ---- */

static void begin_list(struct nsm_buf *out, const char *name)
{
    nsm_buf_printf(out, "%s\"%s\":[", out->len > 1 ? ",\n" : "", name);
}

/* Names may be in any encoding. */
static void put_row(struct nsm_buf *out, bool is_first, const char *const *cells, size_t n_cells)
{
    nsm_buf_append_cstr(out, is_first ? "[" : ",[");
    for (size_t i = 0; i < n_cells; i++) {
        const struct nsm_value value = {.type = NSM_BYTES, .bytes = nsm_str_of(cells[i])};
        nsm_buf_append_cstr(out, i ? "," : "");
        nsm_json_write_value(out, &value, NSM_JSON_BYTES_AS_TEXT);
    }
    nsm_buf_append_char(out, ']');
}

static void put_names(struct nsm_buf *out, const char *name, const struct nsm_pg_name *names,
                      size_t n)
{
    begin_list(out, name);
    for (size_t i = 0; i < n; i++)
        put_row(out, i == 0, (const char *const[]){names[i].schema, names[i].name}, 2);
    nsm_buf_append_char(out, ']');
}

static void put_texts(struct nsm_buf *out, const char *name, const char *const *texts, size_t n)
{
    begin_list(out, name);
    for (size_t i = 0; i < n; i++)
        put_row(out, i == 0, &texts[i], 1);
    nsm_buf_append_char(out, ']');
}

static const char *flag(bool is_set)
{
    return is_set ? "t" : "f";
}

static void put_sequences(struct nsm_buf *out, const struct nsm_pg_source *source)
{
    bool is_first = true;
    begin_list(out, "sequences");
    for (size_t i = 0; i < source->n_sequences; i++) {
        const struct nsm_pg_sequence *const sequence = &source->sequences[i];
        if (!sequence->last_value)
            continue;
        put_row(out, is_first,
                (const char *const[]){sequence->name.schema, sequence->name.name,
                                      sequence->last_value, flag(sequence->is_called)},
                4);
        is_first = false;
    }
    nsm_buf_append_char(out, ']');
}

static void put_crossings(struct nsm_buf *out, const struct nsm_pg_source *source)
{
    begin_list(out, "crossings");
    for (size_t i = 0; i < source->n_crossings; i++) {
        const struct nsm_pg_crossing *const crossing = &source->crossings[i];
        put_row(out, i == 0,
                (const char *const[]){nsm_pg_crossing_word(crossing->kind), crossing->type,
                                      crossing->name, crossing->by, flag(crossing->is_foreign_key)},
                5);
    }
    nsm_buf_append_char(out, ']');
}

static void put_members(struct nsm_buf *out, const struct nsm_pg_source *source)
{
    begin_list(out, "members");
    for (size_t i = 0; i < source->n_members; i++)
        put_row(out, i == 0,
                (const char *const[]){source->members[i].space, source->members[i].key}, 2);
    nsm_buf_append_char(out, ']');
}

static void put_outside(struct nsm_buf *out, const struct nsm_pg_source *source)
{
    begin_list(out, "outside");
    for (size_t i = 0; i < source->n_outside; i++) {
        const struct nsm_pg_outside *const outside = &source->outside[i];
        put_row(out, i == 0, (const char *const[]){outside->from, outside->key, outside->to}, 3);
    }
    nsm_buf_append_char(out, ']');
}

static void put_tables(struct nsm_buf *out, const struct nsm_pg_source *source, size_t n_tables)
{
    begin_list(out, "tables");
    for (size_t i = 0; i < n_tables; i++)
        put_row(out, i == 0, (const char *const[]){flag(source->tables[i].is_partitioned)}, 1);
    nsm_buf_append_char(out, ']');
}

static void put_facts(struct nsm_buf *out, const struct nsm_pg_source *source,
                      const struct nsm_census *census)
{
    nsm_buf_append_char(out, '{');
    put_texts(out, "schema", &source->selection.schema, source->selection.schema ? 1 : 0);
    put_tables(out, source, census->n_objects);
    put_names(out, "relations", source->relations, source->n_relations);
    put_sequences(out, source);
    put_names(out, "others", source->others, source->n_others);
    put_names(out, "matviews", source->matviews, source->n_matviews);
    put_texts(out, "types", source->type_names, source->n_type_names);
    put_outside(out, source);
    put_crossings(out, source);
    put_members(out, source);
    put_texts(out, "owners", source->owners, source->n_owners);
    nsm_buf_append_char(out, '}');
}

static struct nsm_error *append(const char *path, struct nsm_str bytes)
{
    int fd NSM_CLEANUP(closep) = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return nsm_error_new(NSM_E_IO, "%s: %m", path);
    while (bytes.len > 0) {
        const ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno != EINTR)
            return nsm_error_new(NSM_E_IO, "%s: %m", path);
        bytes = nsm_str_skip(bytes, n > 0 ? (size_t)n : 0);
    }
    return NULL;
}

struct nsm_error *nsm_pg_facts_append(const struct nsm_pg_source *source,
                                      const struct nsm_census *census, const char *path)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(MAX_FACTS_BYTES);
    put_facts(&text, source, census);
    nsm_buf_printf(&text, "%0*zu" MARK, LENGTH_DIGITS, text.len);
    NSM_TRY_WRAP(nsm_buf_error(&text), "%s", path);
    return append(path, nsm_buf_view(&text));
}

/* ---- reading ---- */

struct reading {
    struct nsm_arena *arena; /* the source's */
    struct nsm_batch batch;  /* carries what the JSON reader makes */
    json_t *json;
};

static void reading_release(struct reading *reading)
{
    nsm_batch_release(&reading->batch);
    json_decref(reading->json);
}

static struct nsm_error *wrong(const char *name)
{
    return nsm_error_new(NSM_E_CORRUPT, "%s is not as it should be", name);
}

static size_t count(const struct reading *reading, const char *name)
{
    return json_array_size(json_object_get(reading->json, name));
}

/* The cells of a row, exactly so many, as strings in the arena. */
static struct nsm_error *get_row(struct reading *reading, const char *name, size_t row,
                                 const char **cells, size_t n_cells)
{
    const json_t *const json = json_array_get(json_object_get(reading->json, name), row);
    if (json_array_size(json) != n_cells)
        return wrong(name);
    for (size_t i = 0; i < n_cells; i++) {
        struct nsm_value value = {0};
        NSM_TRY_WRAP(nsm_json_read_value(&reading->batch, json_array_get(json, i), NSM_BYTES,
                                         NSM_JSON_BYTES_AS_TEXT, &value),
                     "%s", name);
        if (value.type != NSM_BYTES)
            return wrong(name);
        cells[i] = nsm_arena_copy(reading->arena, value.bytes).ptr;
    }
    return NULL;
}

static struct nsm_error *get_names(struct reading *reading, const char *name,
                                   struct nsm_pg_name **ret, size_t *ret_n)
{
    *ret_n = count(reading, name);
    *ret = nsm_arena_calloc(reading->arena, *ret_n, sizeof(**ret));
    for (size_t i = 0; i < *ret_n; i++) {
        const char *cells[2] = {0};
        NSM_TRY(get_row(reading, name, i, cells, NSM_COUNT_OF(cells)));
        (*ret)[i] = (struct nsm_pg_name){.schema = cells[0], .name = cells[1]};
    }
    return NULL;
}

static struct nsm_error *get_texts(struct reading *reading, const char *name, const char ***ret,
                                   size_t *ret_n)
{
    *ret_n = count(reading, name);
    *ret = nsm_arena_calloc(reading->arena, *ret_n, sizeof(**ret));
    for (size_t i = 0; i < *ret_n; i++)
        NSM_TRY(get_row(reading, name, i, &(*ret)[i], 1));
    return NULL;
}

static bool is_set(const char *cell)
{
    return strcmp(cell, "t") == 0;
}

static struct nsm_error *get_sequences(struct reading *reading, struct nsm_pg_source *source)
{
    source->n_sequences = count(reading, "sequences");
    source->sequences =
        nsm_arena_calloc(reading->arena, source->n_sequences, sizeof(*source->sequences));
    for (size_t i = 0; i < source->n_sequences; i++) {
        const char *cells[4] = {0};
        int64_t last_value = 0;
        NSM_TRY(get_row(reading, "sequences", i, cells, NSM_COUNT_OF(cells)));
        if (!nsm_parse_i64(nsm_str_of(cells[2]), &last_value))
            return wrong("sequences");
        source->sequences[i] = (struct nsm_pg_sequence){
            .name = {.schema = cells[0], .name = cells[1]},
            .last_value = cells[2],
            .is_called = is_set(cells[3]),
        };
    }
    return NULL;
}

static struct nsm_error *get_crossings(struct reading *reading, struct nsm_pg_source *source)
{
    source->n_crossings = count(reading, "crossings");
    source->crossings =
        nsm_arena_calloc(reading->arena, source->n_crossings, sizeof(*source->crossings));
    for (size_t i = 0; i < source->n_crossings; i++) {
        const char *cells[MAX_CELLS] = {0};
        struct nsm_pg_crossing *const crossing = &source->crossings[i];
        NSM_TRY(get_row(reading, "crossings", i, cells, NSM_COUNT_OF(cells)));
        if (!nsm_pg_crossing_parse(cells[0], &crossing->kind))
            return wrong("crossings");
        crossing->type = cells[1];
        crossing->name = cells[2];
        crossing->by = cells[3];
        crossing->is_foreign_key = is_set(cells[4]);
    }
    return NULL;
}

static struct nsm_error *get_members(struct reading *reading, struct nsm_pg_source *source)
{
    source->n_members = count(reading, "members");
    source->members = nsm_arena_calloc(reading->arena, source->n_members, sizeof(*source->members));
    for (size_t i = 0; i < source->n_members; i++) {
        const char *cells[2] = {0};
        NSM_TRY(get_row(reading, "members", i, cells, NSM_COUNT_OF(cells)));
        source->members[i] = (struct nsm_pg_member){.space = cells[0], .key = cells[1]};
    }
    return NULL;
}

static struct nsm_error *get_outside(struct reading *reading, struct nsm_pg_source *source)
{
    source->n_outside = count(reading, "outside");
    source->outside = nsm_arena_calloc(reading->arena, source->n_outside, sizeof(*source->outside));
    for (size_t i = 0; i < source->n_outside; i++) {
        const char *cells[3] = {0};
        NSM_TRY(get_row(reading, "outside", i, cells, NSM_COUNT_OF(cells)));
        source->outside[i] =
            (struct nsm_pg_outside){.from = cells[0], .key = cells[1], .to = cells[2]};
    }
    return NULL;
}

static struct nsm_error *get_tables(struct reading *reading, size_t n_objects,
                                    struct nsm_pg_source *source)
{
    if (count(reading, "tables") != n_objects)
        return wrong("tables");
    source->tables = nsm_arena_calloc(reading->arena, n_objects, sizeof(*source->tables));
    for (size_t i = 0; i < n_objects; i++) {
        const char *cell = NULL;
        NSM_TRY(get_row(reading, "tables", i, &cell, 1));
        source->tables[i].is_partitioned = is_set(cell);
    }
    return NULL;
}

/* What else is in the schema, and what crosses its border. */
static struct nsm_error *get_surroundings(struct reading *reading, struct nsm_pg_source *source)
{
    NSM_TRY(get_names(reading, "others", &source->others, &source->n_others));
    NSM_TRY(get_names(reading, "matviews", &source->matviews, &source->n_matviews));
    NSM_TRY(get_texts(reading, "types", &source->type_names, &source->n_type_names));
    NSM_TRY(get_outside(reading, source));
    NSM_TRY(get_crossings(reading, source));
    NSM_TRY(get_members(reading, source));
    return get_texts(reading, "owners", &source->owners, &source->n_owners);
}

static struct nsm_error *get_facts(struct reading *reading, size_t n_objects,
                                   struct nsm_pg_source *source)
{
    if (count(reading, "schema") > 0)
        NSM_TRY(get_row(reading, "schema", 0, &source->selection.schema, 1));
    source->identity = ""; /* of no server */
    NSM_TRY(get_tables(reading, n_objects, source));
    NSM_TRY(get_names(reading, "relations", &source->relations, &source->n_relations));
    NSM_TRY(get_sequences(reading, source));
    return get_surroundings(reading, source);
}

/* `n` bytes that end `behind` bytes before the end of the file. */
static struct nsm_error *read_from_end(int fd, size_t behind, size_t n, struct nsm_buf *ret)
{
    struct stat info;
    char *const to = nsm_buf_reserve(ret, n);
    if (!to)
        return nsm_buf_error(ret);
    if (fstat(fd, &info) != 0 || (uint64_t)info.st_size < behind + n ||
        pread(fd, to, n, info.st_size - (off_t)(behind + n)) != (ssize_t)n)
        return nsm_error_new(NSM_E_CORRUPT, "nothing stands behind the definition that tells of "
                                            "its sequences and rights");
    nsm_buf_commit(ret, n);
    return NULL;
}

static struct nsm_error *read_text(int fd, struct nsm_buf *ret)
{
    struct nsm_buf tail NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    uint64_t len = 0;
    NSM_TRY(read_from_end(fd, 0, TAIL_BYTES, &tail));
    const struct nsm_str digits = {.ptr = tail.ptr, .len = LENGTH_DIGITS};
    const struct nsm_str mark = nsm_str_skip(nsm_buf_view(&tail), LENGTH_DIGITS);
    if (!nsm_str_equals(mark, NSM_STR_LIT(MARK)) || !nsm_parse_u64(digits, &len) ||
        len > MAX_FACTS_BYTES)
        return wrong("what stands behind the definition");
    return read_from_end(fd, TAIL_BYTES, len, ret);
}

static struct nsm_error *load(const char *path, size_t n_objects, struct nsm_pg_source *source)
{
    struct reading reading NSM_CLEANUP(reading_release) = {.arena = &source->arena};
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(MAX_FACTS_BYTES);
    int fd NSM_CLEANUP(closep) = open(path, O_RDONLY | O_CLOEXEC);
    nsm_batch_init(&reading.batch, NSM_LANE_RECORD);
    if (fd < 0)
        return nsm_error_new(NSM_E_IO, "%m");
    NSM_TRY(read_text(fd, &text));
    NSM_TRY(nsm_json_parse(nsm_buf_view(&text), &reading.json));
    return get_facts(&reading, n_objects, source);
}

struct nsm_error *nsm_pg_facts_load(const char *path, size_t n_objects, struct nsm_pg_source **ret)
{
    struct nsm_pg_source *const source = nsm_xcalloc(1, sizeof(*source));
    struct nsm_error *const error = load(path, n_objects, source);
    if (error) {
        nsm_pg_source_free(source);
        return nsm_error_wrap(error, "%s", path);
    }
    *ret = source;
    return NULL;
}
