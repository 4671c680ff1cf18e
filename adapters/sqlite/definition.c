/*
 * Definitions as a file of counted strings: names and statements hold any character, so no mark
 * could separate them. A last item "end" tells a whole file from one that was cut.
 *
 *     nsmigrate sqlite definition 2\n
 *     TYPE <length of name> <length of table> <length of sql>\n<name><table><sql>\n ...
 */
#include "adapters/sqlite/definition.h"

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER              "nsmigrate sqlite definition 2\n"
#define MAX_DEFINITION_SIZE ((size_t)256 << 20)

/* ---- writing ---- */

static void put_item(struct nsm_buf *out, const struct sqlite_item *item)
{
    nsm_buf_printf(out, "%s %zu %zu %zu\n%s%s%s\n", item->type, strlen(item->name),
                   strlen(item->table), strlen(item->sql), item->name, item->table, item->sql);
}

static void put_setting(struct nsm_buf *out, const char *name, const char *value)
{
    const struct sqlite_item item = {.type = "setting", .name = name, .table = "", .sql = value};
    put_item(out, &item);
}

static struct nsm_error *put_pragma(struct sqlite_db *db, const char *name, struct nsm_buf *out)
{
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    const char *const sql = nsm_arena_printf(&arena, "PRAGMA %s", name);
    const char *value = NULL;
    NSM_TRY(sqlite_get_text(db, &arena, sql, NULL, &value));
    put_setting(out, name, value);
    return NULL;
}

static bool is_selected(const struct nsm_source *source, const char *table)
{
    const struct sqlite_source *const state = source->state;
    for (size_t i = 0; !state->is_whole && i < source->census.n_objects; i++) {
        if (strcmp(table, source->census.objects[i].name) == 0)
            return true;
    }
    return state->is_whole && !sqlite_reserved_name(table);
}

/* SQLite's own tables about tables, of which only rows about the selected ones go along: where the numbers of AUTOINCREMENT tables
 * have come to; and what ANALYZE once found, which may not be what it would find today. */
static struct nsm_error *put_rows(struct sqlite_db *db, const struct nsm_source *source,
                                  const char *type, const char *sql, struct nsm_buf *out)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db, sql, type, &statement));
    for (;;) {
        NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, type, &has_row));
        if (!has_row)
            return NULL;
        const struct sqlite_item item = {
            .type = type,
            .name = nsm_arena_copy(&arena, sqlite_column_str(statement, 0)).ptr,
            .table = nsm_arena_copy(&arena, sqlite_column_str(statement, 1)).ptr,
            .sql = nsm_arena_copy(&arena, sqlite_column_str(statement, 2)).ptr,
        };
        if (is_selected(source, item.name))
            put_item(out, &item);
    }
}

static struct nsm_error *put_numbers(struct sqlite_db *db, const struct nsm_source *source,
                                     struct nsm_buf *out)
{
    if (sqlite_has_table(db, "sqlite_sequence"))
        NSM_TRY(put_rows(db, source, "sequence",
                         "SELECT name, name, seq FROM sqlite_sequence"
                         " WHERE name IS NOT NULL AND seq IS NOT NULL ORDER BY rowid",
                         out));
    if (sqlite_has_table(db, "sqlite_stat1"))
        NSM_TRY(put_rows(db, source, "stat",
                         "SELECT tbl, coalesce(idx, ''), stat FROM sqlite_stat1"
                         " WHERE tbl IS NOT NULL AND stat IS NOT NULL ORDER BY rowid",
                         out));
    return NULL;
}

struct placed {
    size_t place, object;
};

static int compare_places(const void *a, const void *b)
{
    const struct placed *const one = a;
    const struct placed *const other = b;
    return (one->place > other->place) - (one->place < other->place);
}

static void put_tables(const struct nsm_source *source, struct nsm_buf *out)
{
    const struct sqlite_source *const state = source->state;
    const size_t n = source->census.n_objects;
    NSM_CLEANUP(nsm_freep) struct placed *tables = nsm_xcalloc(n + 1, sizeof(*tables));
    for (size_t i = 0; i < n; i++)
        tables[i] = (struct placed){.place = state->places[i], .object = i};
    qsort(tables, n, sizeof(*tables), compare_places);
    for (size_t i = 0; i < n; i++) {
        const char *const name = source->census.objects[tables[i].object].name;
        const struct sqlite_item item = {.type = "table",
                                         .name = name,
                                         .table = name,
                                         .sql = state->table_sql[tables[i].object]};
        put_item(out, &item);
    }
}

static struct nsm_error *put_all(struct sqlite_db *db, const struct nsm_source *source,
                                 struct nsm_buf *out)
{
    const struct sqlite_source *const state = source->state;
    NSM_TRY(sqlite_refresh(db));
    nsm_buf_append_cstr(out, HEADER);
    put_setting(out, "encoding", state->encoding);
    if (state->is_whole) {
        NSM_TRY(put_pragma(db, "user_version", out));
        NSM_TRY(put_pragma(db, "application_id", out));
    }
    put_tables(source, out);
    for (size_t i = 0; i < state->n_items; i++)
        put_item(out, &state->items[i]);
    NSM_TRY(put_numbers(db, source, out));
    const struct sqlite_item end = {.type = "end", .name = "", .table = "", .sql = ""};
    put_item(out, &end);
    return nsm_buf_error(out);
}

static struct nsm_error *write_file(const char *path, struct nsm_str bytes)
{
    FILE *const file = fopen(path, "we");
    if (!file)
        return nsm_error_new(NSM_E_IO, "%s: %m", path);
    const bool is_written = fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len;
    const bool is_closed = fclose(file) == 0;
    return is_written && is_closed ? NULL : nsm_error_new(NSM_E_IO, "%s: %m", path);
}

static struct nsm_error *write_text(const struct nsm_source *source, struct nsm_context *ctx,
                                    struct nsm_buf *out)
{
    struct sqlite_backend *const backend = sqlite_backend_of(source->backend);
    struct sqlite_db *db = NULL;
    NSM_TRY(sqlite_acquire(backend, ctx, &db));
    struct nsm_error *const error = put_all(db, source, out);
    sqlite_release(backend, db);
    return error;
}

struct nsm_error *sqlite_define(struct nsm_source *source, struct nsm_context *ctx,
                                const char *path)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_INIT(MAX_DEFINITION_SIZE);
    NSM_TRY(write_text(source, ctx, &text));
    /* By another name first: a definition that is there is whole. */
    NSM_CLEANUP(nsm_freep) char *draft = nsm_xasprintf("%s.new", path);
    NSM_TRY(write_file(draft, nsm_buf_view(&text)));
    return rename(draft, path) == 0 ? NULL : nsm_error_new(NSM_E_IO, "%s: %m", path);
}

/* ---- reading ---- */

static struct nsm_error *read_file(const char *path, struct nsm_buf *out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nsm_error_new(errno == ENOENT ? NSM_E_NOTFOUND : NSM_E_IO, "%s: %m", path);
    struct nsm_error *error = NULL;
    for (;;) {
        char *const to = nsm_buf_reserve(out, (size_t)64 << 10);
        if (!to)
            break;
        const ssize_t n = read(fd, to, (size_t)64 << 10);
        if (n > 0) {
            nsm_buf_commit(out, (size_t)n);
            continue;
        }
        if (n < 0)
            error = nsm_error_new(NSM_E_IO, "%s: %m", path);
        break;
    }
    close(fd);
    return error ? error : nsm_buf_error(out);
}

/* Cuts the text before `mark` off; false when there is none. */
static bool cut(struct nsm_str *rest, char mark, struct nsm_str *ret)
{
    const char *const at = rest->len ? memchr(rest->ptr, mark, rest->len) : NULL;
    if (!at)
        return false;
    *ret = (struct nsm_str){.ptr = rest->ptr, .len = (size_t)(at - rest->ptr)};
    *rest = nsm_str_skip(*rest, ret->len + 1);
    return true;
}

static bool cut_number(struct nsm_str *rest, char mark, uint64_t *ret)
{
    struct nsm_str digits = {0};
    return cut(rest, mark, &digits) && nsm_parse_u64(digits, ret);
}

static bool cut_bytes(struct nsm_str *rest, uint64_t len, struct nsm_arena *arena, const char **ret)
{
    if (len > rest->len)
        return false;
    *ret = nsm_arena_copy(arena, (struct nsm_str){.ptr = rest->ptr, .len = len}).ptr;
    *rest = nsm_str_skip(*rest, len);
    return true;
}

static bool cut_item(struct nsm_str *rest, struct nsm_arena *arena, struct sqlite_item *ret)
{
    struct nsm_str type = {0};
    struct nsm_str nothing = {0};
    uint64_t lens[3] = {0};
    if (!cut(rest, ' ', &type) || !cut_number(rest, ' ', &lens[0]) ||
        !cut_number(rest, ' ', &lens[1]) || !cut_number(rest, '\n', &lens[2]))
        return false;
    ret->type = nsm_arena_copy(arena, type).ptr;
    return cut_bytes(rest, lens[0], arena, &ret->name) &&
           cut_bytes(rest, lens[1], arena, &ret->table) &&
           cut_bytes(rest, lens[2], arena, &ret->sql) && cut(rest, '\n', &nothing) &&
           nothing.len == 0;
}

static struct nsm_error *parse(const char *path, struct nsm_str rest,
                               struct sqlite_definition *definition)
{
    const struct nsm_str header = NSM_STR_LIT(HEADER);
    bool is_whole = nsm_str_starts_with(rest, header);
    rest = nsm_str_skip(rest, is_whole ? header.len : 0);
    while (is_whole) {
        struct sqlite_item item = {0};
        is_whole = cut_item(&rest, &definition->arena, &item);
        if (!is_whole || strcmp(item.type, "end") == 0)
            break;
        NSM_GROW(definition->items, definition->n_items, definition->cap_items);
        definition->items[definition->n_items++] = item;
    }
    if (is_whole && rest.len == 0)
        return NULL;
    return nsm_error_new(NSM_E_CORRUPT,
                         "%s: not a whole definition of SQLite tables: remove it "
                         "and run again with --fresh",
                         path);
}

struct nsm_error *sqlite_definition_take(const struct nsm_source *source, struct nsm_context *ctx,
                                         struct sqlite_definition *ret)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_INIT(MAX_DEFINITION_SIZE);
    NSM_TRY(write_text(source, ctx, &text));
    NSM_CLEANUP(sqlite_definition_release) struct sqlite_definition definition = {0};
    NSM_TRY(parse("the source", nsm_buf_view(&text), &definition));
    *ret = definition;
    definition = (struct sqlite_definition){0};
    return NULL;
}

struct nsm_error *sqlite_definition_load(const char *path, struct sqlite_definition *ret)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_INIT(MAX_DEFINITION_SIZE);
    NSM_TRY(read_file(path, &text));
    NSM_CLEANUP(sqlite_definition_release) struct sqlite_definition definition = {0};
    NSM_TRY(parse(path, nsm_buf_view(&text), &definition));
    *ret = definition;
    definition = (struct sqlite_definition){0};
    return NULL;
}

void sqlite_definition_release(struct sqlite_definition *definition)
{
    free(definition->items);
    nsm_arena_release(&definition->arena);
    *definition = (struct sqlite_definition){0};
}

const struct sqlite_item *sqlite_definition_find(const struct sqlite_definition *definition,
                                                 const char *type, const char *name)
{
    for (size_t i = 0; i < definition->n_items; i++) {
        const struct sqlite_item *const item = &definition->items[i];
        if (strcmp(item->type, type) == 0 && sqlite3_stricmp(item->name, name) == 0)
            return item;
    }
    return NULL;
}
