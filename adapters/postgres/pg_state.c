/*
 * Schema nsmigrate. Its tables are made by whichever namespace prepares first, under an advisory
 * lock of the transaction, and dropped by whichever completes last under the same lock.
 */
#include "adapters/postgres/pg_target.h"

#include "adapters/postgres/pg_claim.h"
#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_items.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

/* "nsmigrat" as a number: the key of the advisory lock. */
#define LOCK_KEY "7959087069513081204"

static struct nsm_error *is_there(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                  const char *sql, bool *ret)
{
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, NULL, 0, &result));
    *ret = nsm_pg_get_bool(result, 0, 0);
    return NULL;
}

/* The catalogs themselves are asked: to_regclass() and its like may answer from the session's cache, which a wait for an
 * advisory lock does not bring up to date. */
#define HAS_SCHEMA "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'nsmigrate')"
#define HAS_TABLES                                                                        \
    "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
    " WHERE n.nspname = 'nsmigrate' AND c.relname = 'done')"

static struct nsm_error *make_state(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    static const char tables[] =
        "CREATE TABLE nsmigrate.checkpoint (run_id text, part_id text, object text NOT NULL,"
        " resume bytea,"
        " is_done boolean NOT NULL, n_records bigint NOT NULL, n_bytes bigint NOT NULL,"
        " n_skipped bigint NOT NULL, n_vanished bigint NOT NULL, digest text NOT NULL,"
        " digest_records bigint NOT NULL, PRIMARY KEY (run_id, part_id));"
        "CREATE TABLE nsmigrate.done (run_id text, namespace text, kind text,"
        " name text, PRIMARY KEY (run_id, namespace, kind, name));"
        "CREATE TABLE nsmigrate.later (run_id text, namespace text, depth int, schema text,"
        " tab text, name text, definition text NOT NULL, comment text,"
        " PRIMARY KEY (run_id, namespace, tab, name))";
    bool is_standing = false;
    NSM_TRY(is_there(conn, ctx, HAS_TABLES, &is_standing));
    if (is_standing)
        return NULL;
    /* CREATE ... IF NOT EXISTS asks for the right to create even where the schema stands. */
    NSM_TRY(is_there(conn, ctx, HAS_SCHEMA, &is_standing));
    if (!is_standing)
        NSM_TRY(nsm_pg_exec(conn, ctx, "CREATE SCHEMA nsmigrate"));
    return nsm_pg_exec(conn, ctx, tables);
}

struct nsm_error *nsm_pg_state_ensure(struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    NSM_TRY_WRAP(nsm_pg_exec(conn, ctx, "SELECT pg_advisory_xact_lock(" LOCK_KEY ")"),
                 "wait for another namespace's preparation");
    struct nsm_error *const error = make_state(conn, ctx);
    if (error && nsm_error_is(error, NSM_E_AUTH))
        return nsm_error_wrap(error, "make schema nsmigrate, which holds the checkpoints (GRANT "
                                     "CREATE ON DATABASE to this role, or create the schema with "
                                     "the role as its owner)");
    return nsm_error_wrap(error, "make schema nsmigrate");
}

struct nsm_error *nsm_pg_state_add(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                   const struct nsm_destination *destination, const char *kind,
                                   const char *name)
{
    const char *const params[] = {destination->backend->run_id, destination->namespace_name, kind,
                                  name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    return nsm_pg_query(conn, ctx,
                        "INSERT INTO nsmigrate.done VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                        params, 4, &result);
}

struct nsm_error *nsm_pg_state_has(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                   const struct nsm_destination *destination, const char *kind,
                                   const char *name, bool *ret)
{
    const char *const params[] = {destination->backend->run_id, destination->namespace_name, kind,
                                  name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "SELECT FROM nsmigrate.done WHERE run_id = $1 AND namespace = $2"
                         " AND kind = $3 AND name = $4",
                         params, 4, &result));
    *ret = PQntuples(result) > 0;
    return NULL;
}

struct nsm_error *nsm_pg_state_load(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const struct nsm_backend *backend, PGresult **ret)
{
    bool is_standing = false;
    NSM_TRY(is_there(conn, ctx, HAS_TABLES, &is_standing));
    *ret = NULL;
    if (!is_standing)
        return NULL;
    const char *const params[] = {backend->run_id};
    return nsm_error_wrap(
        nsm_pg_query(conn, ctx,
                     "SELECT namespace, kind, name FROM nsmigrate.done WHERE run_id = $1"
                     " ORDER BY namespace COLLATE \"C\", kind COLLATE \"C\", name COLLATE \"C\"",
                     params, 1, ret),
        "read what this run has done");
}

/* ---- checkpoints ---- */

static void append_hex(struct nsm_buf *out, struct nsm_str bytes)
{
    nsm_buf_append_cstr(out, "\\x");
    for (size_t i = 0; i < bytes.len; i++)
        nsm_buf_printf(out, "%02x", (unsigned)(unsigned char)bytes.ptr[i]);
}

struct nsm_error *nsm_pg_state_checkpoint(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                          const struct nsm_write_request *request,
                                          const struct nsm_checkpoint *checkpoint,
                                          const uint64_t *last)
{
    /* The row that stands there must be the one that this writer goes on from: the answer to an
     * earlier COMMIT may have been lost, and its session may still have been at work since. */
    static const char first[] =
        "INSERT INTO nsmigrate.checkpoint (run_id, part_id, object, resume, is_done, n_records,"
        " n_bytes, n_skipped, n_vanished, digest, digest_records)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
    static const char next[] =
        "UPDATE nsmigrate.checkpoint SET object = $3, resume = $4, is_done = $5, n_records = $6,"
        " n_bytes = $7, n_skipped = $8, n_vanished = $9, digest = $10, digest_records = $11"
        " WHERE run_id = $1 AND part_id = $2 AND NOT is_done AND n_records = $12";
    struct nsm_buf resume NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf object NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    append_hex(&resume, checkpoint->resume);
    nsm_pg_quote_qualified(&object, request->object->schema, request->object->name);
    char *part_id NSM_CLEANUP(nsm_freep) = nsm_xstrndup(checkpoint->part_id);
    const uint64_t numbers[] = {checkpoint->n_records,        checkpoint->n_bytes,
                                checkpoint->n_skipped,        checkpoint->n_vanished,
                                checkpoint->digest.n_records, last ? *last : 0};
    char texts[NSM_COUNT_OF(numbers)][24];
    for (size_t i = 0; i < NSM_COUNT_OF(numbers); i++)
        (void)snprintf(texts[i], sizeof(texts[i]), "%llu", (unsigned long long)numbers[i]);
    char digest[33];
    nsm_digest_format(&checkpoint->digest, digest);
    const char *const run_id = request->destination->backend->run_id;
    const char *const is_done = checkpoint->is_done ? "t" : "f";
    const char *const params[] = {run_id,   part_id,  object.ptr, resume.ptr, is_done,  texts[0],
                                  texts[1], texts[2], texts[3],   digest,     texts[4], texts[5]};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, last ? next : first, params, last ? 12 : 11, &result));
    if (strcmp(PQcmdTuples(result), "1") != 0)
        return nsm_error_new(NSM_E_UNAVAILABLE,
                             "another session has committed part %s meanwhile: its checkpoint must "
                             "be read again",
                             part_id);
    return NULL;
}

static void report_row(const PGresult *result, int row, nsm_checkpoint_fn *fn, void *arg)
{
    char *resume NSM_CLEANUP(nsm_freep) = nsm_xstrdup(PQgetvalue(result, row, 1));
    struct nsm_str token = nsm_str_of(resume);
    if (!nsm_pg_bytea_decode(&token))
        token.len = 0;
    struct nsm_checkpoint checkpoint = {
        .part_id = nsm_str_of(PQgetvalue(result, row, 0)),
        .resume = token,
        .is_done = nsm_pg_get_bool(result, row, 2),
        .n_records = nsm_pg_get_u64(result, row, 3),
        .n_bytes = nsm_pg_get_u64(result, row, 4),
        .n_skipped = nsm_pg_get_u64(result, row, 5),
        .n_vanished = nsm_pg_get_u64(result, row, 6),
    };
    if (!nsm_digest_parse(nsm_str_of(PQgetvalue(result, row, 7)), &checkpoint.digest))
        return;
    checkpoint.digest.n_records = nsm_pg_get_u64(result, row, 8);
    fn(arg, &checkpoint);
}

struct nsm_error *nsm_pg_load_checkpoints(struct nsm_backend *backend, struct nsm_context *ctx,
                                          nsm_checkpoint_fn *fn, void *arg)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)backend, ctx, &conn));
    bool is_standing = false;
    NSM_TRY(is_there(conn, ctx, HAS_TABLES, &is_standing));
    if (!is_standing)
        return NULL;
    const char *const params[] = {backend->run_id};
    NSM_TRY_WRAP(nsm_pg_query(conn, ctx,
                              "SELECT part_id, resume, is_done, n_records, n_bytes, n_skipped,"
                              " n_vanished, digest, digest_records FROM nsmigrate.checkpoint"
                              " WHERE run_id = $1",
                              params, 1, &result),
                 "read the checkpoints");
    for (int row = 0; row < PQntuples(result); row++)
        report_row(result, row, fn, arg);
    return NULL;
}

/* ---- undoing and forgetting ---- */

static struct nsm_error *reset(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                               const struct nsm_destination *destination, const char *table,
                               bool is_partitioned)
{
    bool is_made = false;
    NSM_TRY(nsm_pg_exec(conn, ctx, "BEGIN"));
    NSM_TRY(nsm_pg_state_has(conn, ctx, destination, NSM_PG_DONE_TABLE, table, &is_made));
    /* A table that stood there before holds rows that are not ours; into it, rows are merged, which
     * can be done again. TRUNCATE waits for a session of an earlier attempt that is still at work. */
    if (is_made) {
        struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_buf_printf(&sql, "TRUNCATE %s%s", is_partitioned ? "" : "ONLY ", table);
        NSM_TRY(nsm_pg_exec(conn, ctx, sql.ptr));
    }
    const char *const params[] = {destination->backend->run_id, table};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "DELETE FROM nsmigrate.checkpoint WHERE run_id = $1 AND object = $2",
                         params, 2, &result));
    return nsm_pg_exec(conn, ctx, "COMMIT");
}

struct nsm_error *nsm_pg_reset_object(struct nsm_destination *destination, struct nsm_context *ctx,
                                      size_t object_index)
{
    const struct nsm_object *const object = &destination->target.objects[object_index];
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    struct nsm_buf table NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_qualified(&table, object->schema, object->name);
    NSM_TRY(nsm_pg_claim(destination, ctx));
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)destination->backend, ctx, &conn));
    const struct nsm_pg_destination *const state = destination->state;
    return nsm_error_wrap(
        reset(conn, ctx, destination, table.ptr, state->tables[object_index].is_partitioned),
        "empty table %s.%s", object->schema, object->name);
}

/* A part's id is "<namespace>/<index>". */
static const char delete_parts[] = "DELETE FROM nsmigrate.checkpoint WHERE run_id = $1"
                                   " AND left(part_id, length($2) + 1) = $2 || '/'"
                                   " AND substr(part_id, length($2) + 2) ~ '^[0-9]+$'";

static struct nsm_error *forget(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                const struct nsm_destination *destination)
{
    const char *const params[] = {destination->backend->run_id, destination->namespace_name};
    PGresult *parts NSM_CLEANUP(nsm_pg_resultp) = NULL;
    PGresult *done NSM_CLEANUP(nsm_pg_resultp) = NULL;
    PGresult *later NSM_CLEANUP(nsm_pg_resultp) = NULL;
    PGresult *left NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, delete_parts, params, 2, &parts));
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "DELETE FROM nsmigrate.done WHERE run_id = $1 AND namespace = $2", params,
                         2, &done));
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "DELETE FROM nsmigrate.later WHERE run_id = $1 AND namespace = $2", params,
                         2, &later));
    /* A run that was given up must not keep ours from tidying up; but its rows are its own. */
    NSM_TRY(nsm_pg_query(conn, ctx,
                         "SELECT EXISTS (SELECT FROM nsmigrate.checkpoint)"
                         " OR EXISTS (SELECT FROM nsmigrate.done)"
                         " OR NOT pg_has_role((SELECT nspowner FROM pg_namespace"
                         "  WHERE nspname = 'nsmigrate'), 'USAGE')",
                         NULL, 0, &left));
    if (nsm_pg_get_bool(left, 0, 0))
        return NULL;
    return nsm_pg_exec(conn, ctx,
                       "DROP TABLE nsmigrate.checkpoint, nsmigrate.done, nsmigrate.later;"
                       " DROP SCHEMA nsmigrate");
}

struct nsm_error *nsm_pg_complete(struct nsm_destination *destination, struct nsm_context *ctx)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)destination->backend, ctx, &conn));
    bool is_standing = false;
    /* The lock first: who drops the schema waits for those who are about to use it. */
    NSM_TRY(nsm_pg_exec(conn, ctx, "BEGIN; SELECT pg_advisory_xact_lock(" LOCK_KEY ")"));
    NSM_TRY(is_there(conn, ctx, HAS_TABLES, &is_standing));
    if (is_standing)
        NSM_TRY_WRAP(forget(conn, ctx, destination), "remove the checkpoints");
    NSM_TRY(nsm_pg_exec(conn, ctx, "COMMIT"));
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    (void)unlink(nsm_pg_renamed_archive(destination, &arena));
    nsm_pg_definition_forget(destination);
    nsm_pg_claim_drop(destination, ctx);
    return NULL;
}
