/* The adapter's table, its options, and check. */
#include "adapters/redis/redis.h"

#include "adapters/redis/redis_inspect.h"
#include "adapters/redis/redis_reader.h"
#include "adapters/redis/redis_router.h"
#include "adapters/redis/redis_survey.h"
#include "adapters/redis/redis_witness.h"
#include "adapters/redis/redis_writer.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

static const struct nsm_option backend_options[] = {
    {.key = "url",
     .type = NSM_OPTION_URL,
     .flags = NSM_OPTION_REQUIRED,
     .help = "redis://[user][:password]@host[:port][,...][/db], rediss:// for TLS, "
             "redis+sentinel://host[:port][,...]/master-name[/db], or unix:///path[?db=N]; without "
             "a password, REDISCLI_AUTH"},
    {.key = "sentinel_password",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_SECRET,
     .help = "the password of the Sentinels, where they have one"},
    {.key = "tls_ca",
     .type = NSM_OPTION_PATH,
     .help = "certificates of the authorities to trust, in PEM; default: the system's"},
    {.key = "tls_cert", .type = NSM_OPTION_PATH, .help = "our own certificate, in PEM"},
    {.key = "tls_key", .type = NSM_OPTION_PATH, .help = "the key of tls_cert, in PEM"},
    {.key = "tls_verify",
     .type = NSM_OPTION_BOOL,
     .default_text = "true",
     .help = "whether the server's certificate must be valid for its host"},
    {.key = "connect_timeout",
     .type = NSM_OPTION_DURATION,
     .default_text = "10s",
     .help = "how long connecting may take"},
    {.key = "timeout",
     .type = NSM_OPTION_DURATION,
     .default_text = "60s",
     .help = "how long the server may stay silent before the connection counts as lost"},
    {.key = "slice_bytes",
     .type = NSM_OPTION_SIZE,
     .default_text = "16MiB",
     .help = "keys that take more memory than this are copied in slices"},
    {.key = "dump",
     .type = NSM_OPTION_BOOL,
     .default_text = "true",
     .help =
         "whether keys may travel as DUMP payloads; false: always by their types, in lane record"},
    {0},
};

static const struct nsm_option source_options[] = {
    {.key = "prefix",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_BYTES,
     .help = "the keys that begin with these bytes; without prefix and match, all keys",
     .excludes = "match"},
    {.key = "match",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_BYTES,
     .help = "the keys that match this glob",
     .excludes = "prefix"},
    {0},
};

static const struct nsm_option destination_options[] = {
    {.key = "prefix",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_BYTES,
     .help = "what the keys begin with, in the place of the source's prefix; default: the same"},
    {0},
};

static const struct nsm_lane_use lanes[] = {
    {.lane = NSM_LANE_REDIS_DUMP, .reads = true, .writes = true},
    {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
};

/* ---- check ---- */

static struct nsm_error *measure_latency(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                         struct nsm_arena *arena, struct nsm_health *health)
{
    const struct nsm_redis_reply *reply;
    const int64_t begin_ns = nsm_now_ns();
    NSM_REDIS_COMMAND(conn, "PING", );
    NSM_TRY(nsm_redis_call(conn, ctx, arena, "PING", &reply));
    health->latency_ns = nsm_now_ns() - begin_ns;
    const int64_t before_ms = nsm_wall_ms();
    NSM_REDIS_COMMAND(conn, "TIME", );
    NSM_TRY(nsm_redis_call(conn, ctx, arena, "TIME", &reply));
    const int64_t after_ms = nsm_wall_ms();
    int64_t seconds;
    int64_t microseconds;
    if (reply->type == NSM_REDIS_ARRAY && reply->n_elements == 2 &&
        nsm_parse_i64(reply->elements[0].str, &seconds) &&
        nsm_parse_i64(reply->elements[1].str, &microseconds))
        health->clock_offset_ms = seconds * 1000 + microseconds / 1000 - (before_ms + after_ms) / 2;
    return NULL;
}

static struct nsm_error *check(struct nsm_backend *base, struct nsm_context *ctx,
                               struct nsm_health *health)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(base);
    struct nsm_redis_loan loan NSM_CLEANUP(nsm_redis_loan_return) = {.backend = backend};
    NSM_TRY(nsm_redis_take(backend, ctx, &loan.conn));
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_redis_server server;
    uint64_t n_keys = 0;
    NSM_TRY(nsm_redis_server_ask(backend, loan.conn, ctx, &server));
    health->version = nsm_arena_strdup(&health->arena, server.version_text);
    nsm_redis_tell_server(&server, &health->findings);
    if (nsm_redis_server_refusal(&server))
        return NULL;
    NSM_TRY(measure_latency(nsm_redis_master(loan.conn, 0), ctx, &arena, health));
    NSM_TRY(nsm_redis_count_keys(loan.conn, ctx, &n_keys));
    const char *role = server.is_replica ? "replica" : "master";
    if (loan.conn->router)
        role = nsm_arena_printf(&arena, "Cluster of %zu masters", nsm_redis_n_masters(loan.conn));
    health->details = nsm_arena_printf(
        &health->arena, "%s, db %u, %llu keys, %s, maxmemory %llu (%s)", role, backend->url.db,
        (unsigned long long)n_keys, backend->tls ? "TLS" : "no TLS",
        (unsigned long long)server.max_memory_bytes,
        server.eviction[0] ? server.eviction : "unknown policy");
    if (server.is_replica)
        nsm_findings_add(&health->findings, NSM_FINDING_NOTE, "", 1,
                         "the server is a replica: it can be read, not written");
    return NULL;
}

/* ---- before and after the keys ---- */

/* Keys need nothing made before them, and replace is each key's own. */
static struct nsm_error *prepare(struct nsm_destination *destination, struct nsm_context *ctx)
{
    struct nsm_redis_claim *claim = NULL;
    NSM_TRY(nsm_redis_claim(destination, ctx, &claim));
    nsm_redis_claim_leave(nsm_redis_backend_of(destination->backend), claim);
    return NULL;
}

static struct nsm_error *complete(struct nsm_destination *destination, struct nsm_context *ctx)
{
    nsm_redis_claim_drop(destination, ctx);
    return NULL;
}

static void release_destination(struct nsm_destination *destination)
{
    (void)destination;
}

const struct nsm_adapter nsm_adapter_redis = {
    .abi = NSM_ADAPTER_ABI,
    .struct_size = sizeof(struct nsm_adapter),
    .name = "redis",
    .summary = "Redis: spaces of keys, of all types, with their expiries",
    .caps = NSM_CAP_KEYS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION | NSM_CAP_EXPIRES,
    .backend_size = sizeof(struct nsm_redis_backend),
    .reader_size = sizeof(struct nsm_redis_reader),
    .writer_size = sizeof(struct nsm_redis_writer),
    .backend_options = backend_options,
    .source_options = source_options,
    .destination_options = destination_options,
    .lanes = lanes,
    .n_lanes = NSM_COUNT_OF(lanes),
    .control_connections = 2,
    .open = nsm_redis_backend_open,
    .close = nsm_redis_backend_close,
    .check = check,
    .survey = nsm_redis_survey,
    .release_source = nsm_redis_release_source,
    .reader_open = nsm_redis_reader_open,
    .read = nsm_redis_read,
    .reader_close = nsm_redis_reader_close,
    .inspect = nsm_redis_inspect,
    .release_destination = release_destination,
    .prepare = prepare,
    .writer_open = nsm_redis_writer_open,
    .write = nsm_redis_write,
    .checkpoint = nsm_redis_checkpoint,
    .writer_close = nsm_redis_writer_close,
    .complete = complete,
    .erase = nsm_redis_erase,
    .witness = nsm_redis_witness,
};
