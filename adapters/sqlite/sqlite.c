/*
 * The adapter `sqlite`: the tables of a SQLite file as a namespace.
 *
 * One connection per reader and writer, none shared. A destination's checkpoints lie in the file
 * itself, in the transaction of their rows. Rowids are not part of a row, but what is made anew from another SQLite file keeps
 * them.
 */
#include "adapters/sqlite/sqlite.h"

#include "adapters/sqlite/checkpoint.h"
#include "adapters/sqlite/describe.h"
#include "adapters/sqlite/destination.h"
#include "adapters/sqlite/reader.h"
#include "adapters/sqlite/writer.h"
#include "migrate/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/base/alloc.h"

static const struct nsm_option backend_options[] = {
    {.key = "path",
     .type = NSM_OPTION_PATH,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the file; as a destination it is made when it is not there"},
    {0},
};

static const struct nsm_option source_options[] = {
    {.key = "tables",
     .type = NSM_OPTION_LIST,
     .help = "names or globs of the tables; default: all, with the views"},
    {0},
};

static const struct nsm_option destination_options[] = {
    {.key = "table",
     .type = NSM_OPTION_STRING,
     .help = "name of the table, where there is only one; default: as in the source"},
    {0},
};

static const struct nsm_lane_use lanes[] = {
    {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
};

static struct nsm_error *sqlite_open(struct nsm_backend *base)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    backend->path = nsm_settings_string(base->settings, "path");
    if (!backend->path || !*backend->path)
        return nsm_error_new(NSM_E_INVALID, "path: expected the name of a file");
    assert(sqlite3_threadsafe() && "libsqlite3 is built without threads");
    pthread_mutex_init(&backend->mutex, NULL);
    pthread_cond_init(&backend->turn_ended, NULL);
    return NULL;
}

static void sqlite_close(struct nsm_backend *base)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    assert(!backend->has_turn);
    sqlite_close_all(backend);
    pthread_cond_destroy(&backend->turn_ended);
    pthread_mutex_destroy(&backend->mutex);
}

/* ---- check ---- */

/* No file is no fault in a destination; a source says so itself, at its survey. */
static struct nsm_error *check_missing(const char *path, struct nsm_health *health)
{
    NSM_CLEANUP(nsm_freep) char *folder = sqlite_folder_of(path);
    if (access(folder, F_OK) != 0)
        return nsm_error_new(NSM_E_NOTFOUND, "%s: there is no such file, nor its folder", path);
    health->details = "no such file yet";
    nsm_findings_add(&health->findings,
                     access(folder, W_OK | X_OK) == 0 ? NSM_FINDING_NOTE : NSM_FINDING_REFUSAL, "",
                     1, "%s is not there: a destination would make it%s", path,
                     access(folder, W_OK | X_OK) == 0 ? "" : ", but its folder can't be written");
    return NULL;
}

static struct nsm_error *check_file(struct sqlite_db *db, const struct stat *info,
                                    struct nsm_health *health)
{
    const char *mode = NULL;
    bool is_found = false;
    int64_t n_tables = 0;
    const int64_t start_ns = nsm_now_ns();
    NSM_TRY(sqlite_get_i64(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'", NULL,
                           NULL, &is_found, &n_tables));
    health->latency_ns = nsm_now_ns() - start_ns;
    NSM_TRY(sqlite_get_text(db, &health->arena, "PRAGMA journal_mode", NULL, &mode));
    const bool is_read_only =
        access(db->path, W_OK) != 0 || sqlite3_db_readonly(db->handle, "main") == 1;
    health->details = nsm_arena_printf(&health->arena, "%jd bytes, %jd tables, journal mode %s, %s",
                                       (intmax_t)info->st_size, (intmax_t)n_tables, mode,
                                       is_read_only ? "read-only" : "writable");
    return NULL;
}

static struct nsm_error *sqlite_check(struct nsm_backend *base, struct nsm_context *ctx,
                                      struct nsm_health *health)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    struct sqlite_db *db = NULL;
    struct stat info = {0};
    NSM_TRY(nsm_context_error(ctx));
    health->version = nsm_arena_printf(&health->arena, "SQLite %s", sqlite3_libversion());
    if (stat(backend->path, &info) != 0 && errno == ENOENT)
        return check_missing(backend->path, health);
    NSM_TRY(sqlite_acquire(backend, ctx, &db));
    struct nsm_error *const error = check_file(db, &info, health);
    sqlite_release(backend, db);
    return error;
}

const struct nsm_adapter nsm_adapter_sqlite = {
    .abi = NSM_ADAPTER_ABI,
    .struct_size = sizeof(struct nsm_adapter),
    .name = "sqlite",
    .summary = "tables of a SQLite file",
    .caps = NSM_CAP_ROWS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION | NSM_CAP_TX_CHECKPOINT |
            NSM_CAP_SINGLE_WRITER,
    .backend_size = sizeof(struct sqlite_backend),
    .reader_size = sizeof(struct sqlite_reader),
    .writer_size = sizeof(struct sqlite_writer),
    .backend_options = backend_options,
    .source_options = source_options,
    .destination_options = destination_options,
    .lanes = lanes,
    .n_lanes = NSM_COUNT_OF(lanes),
    .control_connections = 1,
    .open = sqlite_open,
    .close = sqlite_close,
    .check = sqlite_check,
    .survey = sqlite_survey,
    .release_source = sqlite_release_source,
    .reader_open = sqlite_reader_open,
    .read = sqlite_read,
    .reader_close = sqlite_reader_close,
    .inspect = sqlite_inspect,
    .release_destination = sqlite_release_destination,
    .prepare = sqlite_destination_prepare,
    .writer_open = sqlite_writer_open,
    .write = sqlite_write,
    .checkpoint = sqlite_writer_checkpoint,
    .writer_close = sqlite_writer_close,
    .list = sqlite_list,
    .list_keys = "tables",
    .define = sqlite_define,
    .load_checkpoints = sqlite_load_checkpoints,
    .reset_object = sqlite_reset_object,
    .plan_finish = sqlite_plan_finish,
    .finish_step = sqlite_finish_step,
    .complete = sqlite_complete,
    .erase = sqlite_erase,
    .describe = sqlite_describe,
    .mend = sqlite_mend,
};
