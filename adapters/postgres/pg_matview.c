/*
 * Nobody may write to a materialized view, but while a session refreshes any of them CONCURRENTLY, which
 * is done with INSERT and DELETE, it may write to all that it owns. So a small one is made, and
 * refreshed, whose index calls a function that replaces the rows of the one that is meant. All of it is
 * gone at the transaction's end.
 */
#include "adapters/postgres/pg_matview.h"

#include <poll.h>

#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_snapshot.h"
#include "adapters/postgres/pg_text.h"

struct filling {
    const struct nsm_destination *destination;
    struct nsm_context *ctx;
    struct nsm_pg_conn *source, *target;
    struct nsm_buf from, to; /* quoted */
};

static void filling_release(struct filling *filling)
{
    nsm_pg_release(filling->source);
    nsm_buf_release(&filling->from);
    nsm_buf_release(&filling->to);
}

static struct nsm_error *exec_buf(const struct filling *filling, const struct nsm_buf *sql)
{
    NSM_TRY(nsm_buf_error(sql));
    return nsm_pg_exec(filling->target, filling->ctx, sql->ptr);
}

/* ---- compare ---- */

/* A digest of all rows, whatever their order. */
static struct nsm_error *digest(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                const char *matview, PGresult **ret)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&sql,
                   "SELECT count(*) || ' ' || COALESCE(sum(hashtextextended("
                   "nsmigrate_row::text, 0)::numeric), 0) FROM %s AS nsmigrate_row",
                   matview);
    NSM_TRY(nsm_buf_error(&sql));
    return nsm_pg_query(conn, ctx, sql.ptr, NULL, 0, ret);
}

static struct nsm_error *is_same(const struct filling *filling, bool *ret)
{
    PGresult *from NSM_CLEANUP(nsm_pg_resultp) = NULL;
    PGresult *to NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(digest(filling->source, filling->ctx, filling->from.ptr, &from));
    NSM_TRY(digest(filling->target, filling->ctx, filling->to.ptr, &to));
    *ret = strcmp(PQgetvalue(from, 0, 0), PQgetvalue(to, 0, 0)) == 0;
    return NULL;
}

/* ---- the source's rows ---- */

static struct nsm_error *begin_copy(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    const char *sql, ExecStatusType wanted)
{
    NSM_TRY(nsm_pg_send(conn, ctx, sql));
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_next_result(conn, ctx, &result));
    if (PQresultStatus(result) == wanted)
        return NULL;
    conn->is_broken = true;
    return nsm_pg_result_error(result);
}

static struct nsm_error *lost(struct nsm_pg_conn *conn)
{
    conn->is_broken = true;
    return nsm_pg_lost_error(conn->pq);
}

static struct nsm_error *put_row(const struct filling *filling, const char *row, int len)
{
    for (int status = 0; status == 0;) {
        status = PQputCopyData(filling->target->pq, row, len);
        if (status < 0)
            return lost(filling->target);
        NSM_TRY(nsm_pg_flush(filling->target, filling->ctx));
    }
    return NULL;
}

static struct nsm_error *copy_rows(const struct filling *filling)
{
    struct nsm_pg_conn *const source = filling->source;
    for (;;) {
        char *row = NULL;
        const int len = PQgetCopyData(source->pq, &row, 1);
        if (len == -1)
            return nsm_pg_finish_results(source, filling->ctx);
        if (len == -2)
            return lost(source);
        if (len > 0) {
            struct nsm_error *const error = put_row(filling, row, len);
            PQfreemem(row);
            if (error)
                return error;
            continue;
        }
        NSM_TRY(nsm_pg_wait(source, filling->ctx, POLLIN));
        if (!PQconsumeInput(source->pq))
            return lost(source);
    }
}

static struct nsm_error *end_copy(const struct filling *filling)
{
    for (int status = 0; status == 0;) {
        status = PQputCopyEnd(filling->target->pq, NULL);
        if (status < 0)
            return lost(filling->target);
        NSM_TRY(nsm_pg_flush(filling->target, filling->ctx));
    }
    return nsm_pg_finish_results(filling->target, filling->ctx);
}

static struct nsm_error *stage_rows(const struct filling *filling)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&sql, "CREATE TABLE nsmigrate.matview_%d AS SELECT * FROM %s WITH NO DATA",
                   PQbackendPID(filling->target->pq), filling->to.ptr);
    NSM_TRY(exec_buf(filling, &sql));
    nsm_buf_clear(&sql);
    nsm_buf_printf(&sql, "COPY (SELECT * FROM %s) TO STDOUT", filling->from.ptr);
    NSM_TRY(nsm_buf_error(&sql));
    NSM_TRY(begin_copy(filling->source, filling->ctx, sql.ptr, PGRES_COPY_OUT));
    nsm_buf_clear(&sql);
    nsm_buf_printf(&sql, "COPY nsmigrate.matview_%d FROM STDIN", PQbackendPID(filling->target->pq));
    NSM_TRY(begin_copy(filling->target, filling->ctx, sql.ptr, PGRES_COPY_IN));
    NSM_TRY(copy_rows(filling));
    return end_copy(filling);
}

/* ---- replace ---- */

static struct nsm_error *replace_rows(const struct filling *filling)
{
    const int id = PQbackendPID(filling->target->pq);
    struct nsm_buf body NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&body,
                   "BEGIN DELETE FROM %s; INSERT INTO %s SELECT * FROM nsmigrate.matview_%d; "
                   "RETURN n; END",
                   filling->to.ptr, filling->to.ptr, id);
    /* An index only calls what says that it is immutable, and that may not write; but what it calls
     * may. */
    nsm_buf_printf(
        &sql, "CREATE FUNCTION nsmigrate.replace_%d(n int) RETURNS int LANGUAGE plpgsql AS ", id);
    nsm_pg_quote_literal(&sql, nsm_buf_view(&body));
    nsm_buf_printf(
        &sql,
        "; CREATE FUNCTION nsmigrate.call_%d(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN RETURN nsmigrate.replace_%d(n); END';"
        "CREATE TABLE nsmigrate.lever_%d (n int);"
        "CREATE MATERIALIZED VIEW nsmigrate.moved_%d AS SELECT n FROM nsmigrate.lever_%d;"
        "CREATE UNIQUE INDEX ON nsmigrate.moved_%d (n);"
        "CREATE INDEX ON nsmigrate.moved_%d (nsmigrate.call_%d(n));"
        "INSERT INTO nsmigrate.lever_%d VALUES (1);"
        "REFRESH MATERIALIZED VIEW CONCURRENTLY nsmigrate.moved_%d;",
        id, id, id, id, id, id, id, id, id, id);
    nsm_buf_printf(&sql,
                   "DROP MATERIALIZED VIEW nsmigrate.moved_%d;"
                   "DROP FUNCTION nsmigrate.call_%d(int), nsmigrate.replace_%d(int);"
                   "DROP TABLE nsmigrate.lever_%d, nsmigrate.matview_%d",
                   id, id, id, id, id);
    return exec_buf(filling, &sql);
}

/* ---- the whole ---- */

static struct nsm_error *open_source(struct filling *filling)
{
    struct nsm_pg_backend *const backend =
        (struct nsm_pg_backend *)filling->destination->source->backend;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_snapshot snapshot = {0};
    NSM_TRY(nsm_pg_take_snapshot(backend, filling->ctx, &arena, &snapshot));
    NSM_TRY(nsm_pg_acquire(backend, filling->ctx, &filling->source));
    return nsm_pg_begin_read(filling->source, filling->ctx, snapshot.id);
}

static struct nsm_error *bring_rows(struct filling *filling)
{
    bool is_good = false;
    NSM_TRY(is_same(filling, &is_good));
    if (is_good)
        return NULL;
    NSM_TRY(stage_rows(filling));
    NSM_TRY(replace_rows(filling));
    NSM_TRY(is_same(filling, &is_good));
    return is_good ? NULL
                   : nsm_error_new(NSM_E_UNSUPPORTED, "the rows are not those of the source");
}

static struct nsm_error *fill(struct filling *filling)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&sql, "BEGIN; REFRESH MATERIALIZED VIEW %s", filling->to.ptr);
    NSM_TRY(exec_buf(filling, &sql));
    if (filling->destination->source) {
        NSM_TRY(open_source(filling));
        NSM_TRY(bring_rows(filling));
        NSM_TRY(nsm_pg_exec(filling->source, filling->ctx, "COMMIT"));
    }
    return nsm_pg_exec(filling->target, filling->ctx, "COMMIT");
}

struct nsm_error *nsm_pg_matview_fill(const struct nsm_destination *destination,
                                      struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_pg_name *from, const struct nsm_pg_name *to)
{
    struct filling filling NSM_CLEANUP(filling_release) = {
        .destination = destination,
        .ctx = ctx,
        .target = conn,
        .from = NSM_BUF_TEXT,
        .to = NSM_BUF_TEXT,
    };
    nsm_pg_quote_qualified(&filling.from, from->schema, from->name);
    nsm_pg_quote_qualified(&filling.to, to->schema, to->name);
    return nsm_error_wrap(fill(&filling), "fill materialized view %s.%s", to->schema, to->name);
}

/* ---- the survey ---- */

/* Whether the query gives the rows that stand there. It may fail: it reads what our role may have no right to. */
static struct nsm_error *look_at_query(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       const char *matview, bool *ret_is_stale)
{
    const char *const params[] = {matview};
    PGresult *query NSM_CLEANUP(nsm_pg_resultp) = NULL;
    PGresult *stands NSM_CLEANUP(nsm_pg_resultp) = NULL;
    PGresult *comes NSM_CLEANUP(nsm_pg_resultp) = NULL;
    struct nsm_buf from NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    NSM_TRY(nsm_pg_query(conn, ctx, "SELECT rtrim(pg_get_viewdef($1::regclass), ';')", params, 1,
                         &query));
    nsm_buf_printf(&from, "(%s\n)", PQgetvalue(query, 0, 0));
    NSM_TRY(digest(conn, ctx, matview, &stands));
    NSM_TRY(digest(conn, ctx, from.ptr, &comes));
    *ret_is_stale = strcmp(PQgetvalue(stands, 0, 0), PQgetvalue(comes, 0, 0)) != 0;
    return NULL;
}

static struct nsm_error *survey_one(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                    struct nsm_findings *findings, const struct nsm_pg_name *name)
{
    struct nsm_buf matview NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    bool is_stale = false;
    nsm_pg_quote_qualified(&matview, name->schema, name->name);
    NSM_TRY(nsm_pg_exec(conn, ctx, "SAVEPOINT nsmigrate_matview"));
    struct nsm_error *const error = look_at_query(conn, ctx, matview.ptr, &is_stale);
    if (error && (nsm_context_is_canceled(ctx) || nsm_code_is_retryable(nsm_error_code(error))))
        return error;
    if (error || is_stale)
        nsm_findings_add(findings, NSM_FINDING_LOSS, "stale-views", 1,
                         error ? "whether materialized view %s.%s holds what its query gives can't "
                                 "be told; it is filled anew from an archive"
                               : "materialized view %s.%s holds rows that its query does not give "
                                 "now; it is filled anew from an archive",
                         name->schema, name->name);
    nsm_error_free(error);
    return nsm_pg_exec(conn, ctx, "ROLLBACK TO SAVEPOINT nsmigrate_matview");
}

struct nsm_error *nsm_pg_matview_survey(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        struct nsm_source **sources, size_t n_sources)
{
    for (size_t i = 0; i < n_sources; i++) {
        const struct nsm_pg_source *const state = sources[i]->state;
        const bool is_archived = sources[i]->flags & NSM_SURVEY_ARCHIVE && !sources[i]->written;
        for (size_t k = 0; k < state->n_matviews && is_archived; k++)
            NSM_TRY(survey_one(conn, ctx, &sources[i]->census.findings, &state->matviews[k]));
    }
    return NULL;
}
