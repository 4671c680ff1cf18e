/* SQLite files under test. */
#include "tests/support/sqlite_rig.h"

#include <sqlite3.h>

/* ---- backends ---- */

void lite_open(struct lite *lite, const char *folder, const char *name, const char *tables,
               const char *table)
{
    const struct nsm_adapter *const adapter = &nsm_adapter_sqlite;
    *lite = (struct lite){
        .path = nsm_xasprintf("%s/%s", folder, name),
        .work_dir = nsm_xstrdup(folder),
        .ctx = nsm_context_new(NULL),
    };
    const char *const pairs[] = {"path", lite->path, NULL};
    const char *const source[] = {tables ? "tables" : NULL, tables, NULL};
    const char *const destination[] = {table ? "table" : NULL, table, NULL};
    lite->settings = conf_make_settings(adapter->backend_options, pairs);
    lite->source_settings = conf_make_settings(adapter->source_options, source);
    lite->destination_settings = conf_make_settings(adapter->destination_options, destination);
    lite->backend = nsm_xcalloc(1, adapter->backend_size);
    lite->backend->adapter = adapter;
    lite->backend->name = "lite";
    lite->backend->settings = lite->settings;
    lite->backend->work_dir = lite->work_dir;
    lite->backend->run_id = "run";
    assert_ok(adapter->open(lite->backend));
}

void lite_close(struct lite *lite)
{
    nsm_adapter_sqlite.close(lite->backend);
    free(lite->backend);
    nsm_context_free(lite->ctx);
    nsm_settings_free(lite->settings);
    nsm_settings_free(lite->source_settings);
    nsm_settings_free(lite->destination_settings);
    free(lite->path);
    free(lite->work_dir);
}

/* ---- SQLite itself ---- */

static sqlite3 *open_plain(const char *folder, const char *name)
{
    NSM_CLEANUP(nsm_freep) char *path = nsm_xasprintf("%s/%s", folder, name);
    sqlite3 *handle = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    return handle;
}

void lite_exec(const char *folder, const char *name, const char *sql)
{
    sqlite3 *const handle = open_plain(folder, name);
    char *message = NULL;
    if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(handle);
}

static int on_row(void *arg, int n_columns, char **values, char **names)
{
    struct nsm_buf *const text = arg;
    (void)names;
    assert_true(n_columns > 0);
    nsm_buf_printf(text, "%s%s", text->len ? "|" : "", values[0] ? values[0] : "NULL");
    return 0;
}

char *lite_value(const char *folder, const char *name, const char *sql)
{
    sqlite3 *const handle = open_plain(folder, name);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    char *message = NULL;
    if (sqlite3_exec(handle, sql, on_row, &text, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(handle);
    return nsm_buf_detach(&text);
}

void lite_expect(const char *folder, const char *name, const char *sql, const char *expected)
{
    NSM_CLEANUP(nsm_freep) char *found = lite_value(folder, name, sql);
    assert_string_equal(found, expected);
}

/* ---- reading ---- */

struct nsm_error *lite_survey(struct lite *lite, struct nsm_source *source, unsigned flags,
                              size_t part_bytes)
{
    *source = (struct nsm_source){
        .backend = lite->backend,
        .namespace_name = "ns",
        .selection = lite->source_settings,
        .flags = flags,
        .part_bytes = part_bytes,
    };
    return nsm_adapter_sqlite.survey(lite->backend, lite->ctx, &source, 1);
}

void lite_release_source(struct nsm_source *source)
{
    nsm_adapter_sqlite.release_source(source);
    nsm_census_release(&source->census);
}

struct reading {
    struct nsm_read_request request;
    struct nsm_reader *reader;
};

static struct nsm_error *reading_open(struct lite *lite, const struct nsm_source *source,
                                      size_t part, struct reading *reading)
{
    *reading = (struct reading){
        .request = {.source = source,
                    .part = &source->census.parts[part],
                    .object = &source->census.objects[source->census.parts[part].object],
                    .batch_records = 50,
                    .batch_bytes = 1 << 20},
        .reader = nsm_xcalloc(1, nsm_adapter_sqlite.reader_size),
    };
    reading->reader->backend = lite->backend;
    reading->reader->request = &reading->request;
    struct nsm_error *const error = nsm_adapter_sqlite.reader_open(reading->reader, lite->ctx);
    if (error)
        free(reading->reader);
    return error;
}

static void reading_close(struct reading *reading)
{
    nsm_adapter_sqlite.reader_close(reading->reader);
    free(reading->reader);
}

static struct nsm_error *read_part(struct lite *lite, const struct nsm_source *source, size_t part,
                                   struct nsm_batch *into)
{
    struct reading reading;
    struct nsm_error *error = NULL;
    bool is_end = false;
    NSM_TRY(reading_open(lite, source, part, &reading));
    while (!is_end && !error)
        error = nsm_adapter_sqlite.read(reading.reader, lite->ctx, into, &is_end);
    reading_close(&reading);
    return error;
}

struct nsm_error *lite_read(struct lite *lite, const struct nsm_source *source,
                            struct nsm_batch *into)
{
    nsm_batch_init(into, NSM_LANE_RECORD);
    for (size_t i = 0; i < source->census.n_parts; i++)
        NSM_TRY(read_part(lite, source, i, into));
    return NULL;
}

bool lite_finds(const struct nsm_findings *findings, enum nsm_finding_kind kind, const char *words)
{
    for (size_t i = 0; i < findings->n_items; i++) {
        if (findings->items[i].kind == kind && strstr(findings->items[i].text, words))
            return true;
    }
    return false;
}

void lite_expect_error(struct nsm_error *error, enum nsm_code code, const char *words)
{
    assert_non_null(error);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
    const enum nsm_code found = nsm_error_code(error);
    nsm_error_free(error);
    if (found != code || !strstr(text, words))
        fail_msg("expected %s with \"%s\", found %s: %s", nsm_code_name(code), words,
                 nsm_code_name(found), text);
}

/* ---- copying ---- */

/* What would make the core stop before it writes. */
static struct nsm_error *first_obstacle(const struct nsm_findings *findings,
                                        enum nsm_if_exists if_exists)
{
    for (size_t i = 0; i < findings->n_items; i++) {
        const struct nsm_finding *const finding = &findings->items[i];
        if (finding->kind == NSM_FINDING_REFUSAL)
            return nsm_error_new(NSM_E_UNSUPPORTED, "%s", finding->text);
        if (finding->kind == NSM_FINDING_CONFLICT && if_exists == NSM_IF_EXISTS_FAIL)
            return nsm_error_new(NSM_E_CONFLICT, "%s", finding->text);
    }
    return NULL;
}

static struct nsm_error *write_batch(struct lite *to, struct nsm_writer *writer,
                                     const struct nsm_batch *batch)
{
    const struct nsm_checkpoint checkpoint = {.part_id = writer->request->part_id, .is_done = true};
    NSM_TRY(nsm_adapter_sqlite.write(writer, to->ctx, batch));
    return nsm_adapter_sqlite.checkpoint(writer, to->ctx, &checkpoint);
}

static struct nsm_error *copy_part(struct lite *from, const struct nsm_source *source, size_t part,
                                   struct lite *to, const struct nsm_destination *destination)
{
    struct nsm_batch batch;
    const size_t object = source->census.parts[part].object;
    NSM_CLEANUP(nsm_freep) char *part_id = nsm_xasprintf("ns/%zu", part);
    const struct nsm_write_request request = {
        .destination = destination,
        .object = &destination->target.objects[object],
        .object_index = object,
        .part_id = nsm_str_of(part_id),
    };
    NSM_CLEANUP(nsm_freep)
    struct nsm_writer *writer = nsm_xcalloc(1, nsm_adapter_sqlite.writer_size);
    writer->backend = to->backend;
    writer->request = &request;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_error *error = read_part(from, source, part, &batch);
    if (!error)
        error = nsm_adapter_sqlite.writer_open(writer, to->ctx);
    if (!error) {
        error = write_batch(to, writer, &batch);
        nsm_adapter_sqlite.writer_close(writer);
    }
    nsm_batch_release(&batch);
    return error;
}

static struct nsm_error *finish(struct lite *to, struct nsm_destination *destination)
{
    struct nsm_finish_plan plan = {0};
    NSM_TRY(nsm_adapter_sqlite.plan_finish(destination, to->ctx, &plan));
    struct nsm_error *error = NULL;
    for (unsigned phase = 0; phase < 4; phase++) {
        for (size_t i = 0; i < plan.n_steps && !error; i++) {
            if (plan.steps[i].phase == phase)
                error = nsm_adapter_sqlite.finish_step(destination, to->ctx, &plan.steps[i]);
        }
    }
    nsm_arena_release(&plan.arena);
    return error;
}

static struct nsm_error *copy_to(struct lite *from, struct nsm_source *source, struct lite *to,
                                 struct nsm_destination *destination)
{
    struct nsm_destination *at = destination;
    NSM_TRY(nsm_adapter_sqlite.define(source, from->ctx, destination->definition));
    NSM_TRY(nsm_adapter_sqlite.inspect(to->backend, to->ctx, &at, 1));
    NSM_TRY(first_obstacle(&destination->target.findings, destination->if_exists));
    NSM_TRY(nsm_adapter_sqlite.prepare(destination, to->ctx));
    for (size_t i = 0; i < source->census.n_parts; i++)
        NSM_TRY(copy_part(from, source, i, to, destination));
    NSM_TRY(finish(to, destination));
    return nsm_adapter_sqlite.complete(destination, to->ctx);
}

struct nsm_error *lite_copy(struct lite *from, struct lite *to, enum nsm_if_exists if_exists)
{
    struct nsm_source source;
    NSM_CLEANUP(nsm_freep) char *definition = nsm_xasprintf("%s/definition", from->work_dir);
    const bool is_new = if_exists == NSM_IF_EXISTS_FAIL || if_exists == NSM_IF_EXISTS_REPLACE;
    struct nsm_error *error = lite_survey(from, &source, is_new ? NSM_SURVEY_KEEP_PLACES : 0, 2000);
    if (!error) {
        struct nsm_destination destination = {
            .backend = to->backend,
            .namespace_name = "ns",
            .selection = to->destination_settings,
            .if_exists = if_exists,
            .shape = &source.census,
            .source_adapter = "sqlite",
            .definition = definition,
            .source = &source,
        };
        error = first_obstacle(&source.census.findings, if_exists);
        if (!error)
            error = copy_to(from, &source, to, &destination);
        nsm_adapter_sqlite.release_destination(&destination);
        nsm_census_release(&destination.target);
    }
    lite_release_source(&source);
    return error;
}
