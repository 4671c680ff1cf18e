/*
 * An exported snapshot is held by a connection of its own for as long as the backend is open; every
 * reader and pg_dump take it up, so all namespaces show one moment. When that connection is lost, so
 * is the moment: a new snapshot is made, and a reader goes on with that only where its table's version
 * says that it is what it was.
 */
#include "adapters/postgres/pg_snapshot.h"

#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

/* Statistics of an idle session are reported within this time (PGSTAT_IDLE_INTERVAL). */
#define STATISTICS_LAG_NS (10500 * NSM_NS_PER_MS)

static struct nsm_error *export_snapshot(struct nsm_pg_backend *pg, struct nsm_context *ctx,
                                         struct nsm_pg_conn **ret_conn, char **ret_id)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_acquire(pg, ctx, &conn));
    NSM_TRY(nsm_pg_exec(conn, ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY_WRAP(nsm_pg_query(conn, ctx, "SELECT pg_export_snapshot()", NULL, 0, &result),
                 "export a snapshot");
    *ret_id = nsm_xstrdup(PQgetvalue(result, 0, 0));
    *ret_conn = NSM_STEAL(conn);
    return NULL;
}

/* Whether other sessions changed something so lately that the statistics may not show it yet. */
struct nsm_error *nsm_pg_wait_for_statistics(struct nsm_pg_backend *pg, struct nsm_context *ctx)
{
    static const char sql[] =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        " AND application_name NOT LIKE 'nsmigrate%'"
        " AND (state_change IS NULL OR state_change > clock_timestamp() - interval '11 s'))";
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_acquire(pg, ctx, &conn));
    NSM_TRY(nsm_pg_query(conn, ctx, sql, NULL, 0, &result));
    return nsm_pg_get_bool(result, 0, 0) ? nsm_sleep(ctx, STATISTICS_LAG_NS) : NULL;
}

/* The living snapshot; number 0 when there is none. *ret_was_lost: there was one before. */
static struct nsm_pg_snapshot living_snapshot(struct nsm_pg_backend *pg, struct nsm_arena *arena,
                                              bool *ret_was_lost)
{
    struct nsm_pg_conn *dead NSM_CLEANUP(nsm_pg_releasep) = NULL;
    struct nsm_pg_snapshot snapshot = {0};
    pthread_mutex_lock(&pg->mutex);
    *ret_was_lost = pg->snapshot_number > 0;
    if (pg->snapshot_conn && nsm_pg_is_alive(pg->snapshot_conn)) {
        snapshot.id = nsm_arena_strdup(arena, pg->snapshot_id);
        snapshot.number = pg->snapshot_number;
    } else {
        dead = NSM_STEAL(pg->snapshot_conn);
    }
    pthread_mutex_unlock(&pg->mutex);
    if (dead)
        dead->is_broken = true;
    return snapshot;
}

struct nsm_error *nsm_pg_take_snapshot(struct nsm_pg_backend *pg, struct nsm_context *ctx,
                                       struct nsm_arena *arena, struct nsm_pg_snapshot *ret)
{
    bool was_lost = false;
    *ret = living_snapshot(pg, arena, &was_lost);
    if (ret->number)
        return NULL;
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    char *made NSM_CLEANUP(nsm_freep) = NULL;
    NSM_TRY(export_snapshot(pg, ctx, &conn, &made));
    if (was_lost)
        NSM_TRY(nsm_pg_wait_for_statistics(pg, ctx));
    pthread_mutex_lock(&pg->mutex);
    if (!pg->snapshot_conn) { /* else another thread was faster: its snapshot is everyone's */
        pg->snapshot_conn = NSM_STEAL(conn);
        free(pg->snapshot_id);
        pg->snapshot_id = NSM_STEAL(made);
        pg->snapshot_number++;
    }
    ret->id = nsm_arena_strdup(arena, pg->snapshot_id);
    ret->number = pg->snapshot_number;
    pthread_mutex_unlock(&pg->mutex);
    return NULL;
}

struct nsm_error *nsm_pg_begin_read(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const char *snapshot_id)
{
    NSM_TRY(nsm_pg_exec(conn, ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    if (!snapshot_id)
        return NULL;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "SET TRANSACTION SNAPSHOT ");
    nsm_pg_quote_literal(&sql, nsm_str_of(snapshot_id));
    struct nsm_error *const error = nsm_pg_exec(conn, ctx, sql.ptr);
    if (!error)
        return NULL;
    conn->is_broken = true;
    const enum nsm_code code = nsm_error_code(error);
    if (code != NSM_E_INVALID && code != NSM_E_NOTFOUND)
        return error;
    nsm_error_free(error);
    return nsm_error_new(NSM_E_UNAVAILABLE,
                         "the snapshot that all tables are read from is lost: the server restarted "
                         "or ended its session");
}
