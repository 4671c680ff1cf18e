/*
 * The adapter's table and options, and what needs no namespace: opening, closing, checking.
 */
#include "adapters/postgres/postgres.h"

#include "adapters/postgres/pg_definition.h"
#include "adapters/postgres/pg_describe.h"
#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_reader.h"
#include "adapters/postgres/pg_source.h"
#include "adapters/postgres/pg_target.h"
#include "adapters/postgres/pg_writer.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

static const struct nsm_option backend_options[] = {
    {
        .key = "url",
        .type = NSM_OPTION_URL,
        .flags = NSM_OPTION_REQUIRED,
        .help = "postgresql://user@host:port/database?sslmode=require, or key=value pairs as libpq "
                "takes them",
    },
    {
        .key = "timeout",
        .type = NSM_OPTION_DURATION,
        .default_text = "60s",
        .help = "how long the server may stay silent before it is asked, by another connection, "
                "whether it is at work for us; if not, the connection counts as lost",
    },
    {0},
};

static const struct nsm_option source_options[] = {
    {
        .key = "schema",
        .type = NSM_OPTION_STRING,
        .help = "a whole schema: its tables with all that belongs to them, views, functions, types",
        .excludes = "table|tables",
    },
    {
        .key = "table",
        .type = NSM_OPTION_STRING,
        .help = "one table, as schema.table",
        .excludes = "schema|tables",
    },
    {
        .key = "tables",
        .type = NSM_OPTION_LIST,
        .help = "tables, as schema.table; * and ? match",
        .excludes = "schema|table",
    },
    {
        .key = "where",
        .type = NSM_OPTION_STRING,
        .help = "only the rows for which this SQL condition holds",
    },
    {0},
};

static const struct nsm_option destination_options[] = {
    {
        .key = "schema",
        .type = NSM_OPTION_STRING,
        .help = "the schema that the tables go to; default: the source's name for it, else public",
        .excludes = "table",
    },
    {
        .key = "table",
        .type = NSM_OPTION_STRING,
        .help = "the one table that the rows go to, as schema.table",
        .excludes = "schema",
    },
    {0},
};

static const struct nsm_lane_use lanes[] = {
    {.lane = NSM_LANE_PGCOPY, .reads = true, .writes = true},
    {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
};

static struct nsm_error *open_backend(struct nsm_backend *backend)
{
    return nsm_pg_backend_open((struct nsm_pg_backend *)backend);
}

static void close_backend(struct nsm_backend *backend)
{
    nsm_pg_backend_close((struct nsm_pg_backend *)backend);
}

/* ---- check ---- */

static void describe(const struct nsm_pg_conn *conn, const PGresult *result,
                     struct nsm_health *health)
{
    const bool is_standby = nsm_pg_get_bool(result, 0, 3);
    const bool can_create = nsm_pg_get_bool(result, 0, 4);
    health->details = nsm_arena_printf(
        &health->arena, "database %s as %s%s, %s, %s", PQgetvalue(result, 0, 1),
        PQgetvalue(result, 0, 2), nsm_pg_get_bool(result, 0, 5) ? " (superuser)" : "",
        is_standby ? "standby" : "primary", PQsslInUse(conn->pq) ? "TLS" : "no TLS");
    if (is_standby)
        nsm_findings_add(&health->findings, NSM_FINDING_NOTE, "", 1,
                         "the server is a standby: it can be a source only");
    else if (nsm_pg_get_bool(result, 0, 6))
        nsm_findings_add(&health->findings, NSM_FINDING_NOTE, "", 1,
                         "the server is read-only: it can be a source only");
    else if (!can_create)
        nsm_findings_add(&health->findings, NSM_FINDING_NOTE, "", 1,
                         "%s may not create schemas in %s: as a destination it needs schema "
                         "nsmigrate and each target schema to stand, with CREATE on them",
                         PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 1));
}

static struct nsm_error *check(struct nsm_backend *backend, struct nsm_context *ctx,
                               struct nsm_health *health)
{
    static const char sql[] =
        "SELECT current_setting('server_version'), current_database(), current_user,"
        " pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'),"
        " current_setting('is_superuser') = 'on',"
        " current_setting('default_transaction_read_only') = 'on',"
        " (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)backend, ctx, &conn));
    const int64_t begin_ns = nsm_now_ns();
    NSM_TRY(nsm_pg_exec(conn, ctx, "SELECT 1"));
    health->latency_ns = nsm_now_ns() - begin_ns;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, NULL, 0, &result));
    int64_t server_ms = 0;
    if (nsm_parse_i64(nsm_str_of(PQgetvalue(result, 0, 7)), &server_ms))
        health->clock_offset_ms =
            server_ms - (nsm_wall_ms() - health->latency_ns / 2 / NSM_NS_PER_MS);
    /* "15.20 (Debian ...)": the packager's name says nothing that helps. */
    const char *const version = PQgetvalue(result, 0, 0);
    health->version =
        nsm_arena_printf(&health->arena, "PostgreSQL %.*s", (int)strcspn(version, " "), version);
    describe(conn, result, health);
    return NULL;
}

const struct nsm_adapter nsm_adapter_postgres = {
    .abi = NSM_ADAPTER_ABI,
    .struct_size = sizeof(struct nsm_adapter),
    .name = "postgres",
    .summary = "PostgreSQL databases: schemas and tables",
    .caps = NSM_CAP_ROWS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION | NSM_CAP_TX_CHECKPOINT |
            NSM_CAP_COLUMNS,
    .backend_size = sizeof(struct nsm_pg_backend),
    .reader_size = sizeof(struct nsm_pg_reader),
    .writer_size = sizeof(struct nsm_pg_writer),
    .backend_options = backend_options,
    .source_options = source_options,
    .destination_options = destination_options,
    .lanes = lanes,
    .n_lanes = NSM_COUNT_OF(lanes),
    .control_connections = 3,
    .open = open_backend,
    .close = close_backend,
    .check = check,
    .survey = nsm_pg_survey,
    .release_source = nsm_pg_release_source,
    .reader_open = nsm_pg_reader_open,
    .read = nsm_pg_read,
    .reader_close = nsm_pg_reader_close,
    .inspect = nsm_pg_inspect,
    .release_destination = nsm_pg_release_destination,
    .prepare = nsm_pg_prepare,
    .writer_open = nsm_pg_writer_open,
    .write = nsm_pg_write,
    .checkpoint = nsm_pg_checkpoint,
    .writer_close = nsm_pg_writer_close,
    .list = nsm_pg_list,
    .list_keys = "schema|table",
    .define = nsm_pg_define,
    .load_checkpoints = nsm_pg_load_checkpoints,
    .reset_object = nsm_pg_reset_object,
    .plan_finish = nsm_pg_plan_finish,
    .finish_step = nsm_pg_finish_step,
    .complete = nsm_pg_complete,
    .erase = nsm_pg_erase,
    .describe = nsm_pg_describe,
    .mend = nsm_pg_mend,
};
