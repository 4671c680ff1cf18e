/*
 * pg_dump and pg_restore of the installed client carry definitions, because they know every kind of
 * object of every version, and nsmigrate need not. They get the connection's own parameters, but
 * never a password as an argument: that goes through the environment.
 */
#include "adapters/postgres/pg_definition.h"

#include <errno.h>

#include "adapters/postgres/pg_facts.h"
#include "adapters/postgres/pg_process.h"
#include "adapters/postgres/pg_snapshot.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

/* Parameters that are given otherwise, or that are secret. */
static bool is_left_out(const char *keyword)
{
    static const char *const keywords[] = {"host",
                                           "hostaddr",
                                           "port",
                                           "password",
                                           "sslpassword",
                                           "replication",
                                           "application_name",
                                           "fallback_application_name",
                                           "client_encoding",
                                           "options"};
    for (size_t i = 0; i < NSM_COUNT_OF(keywords); i++) {
        if (strcmp(keywords[i], keyword) == 0)
            return true;
    }
    return false;
}

static void append_pair(struct nsm_buf *out, const char *keyword, const char *value)
{
    nsm_buf_printf(out, "%s%s='", out->len ? " " : "", keyword);
    for (const char *at = value; *at; at++) {
        if (*at == '\'' || *at == '\\')
            nsm_buf_append_char(out, '\\');
        nsm_buf_append_char(out, *at);
    }
    nsm_buf_append_char(out, '\'');
}

/* The very server that the connection leads to, also when url names several hosts. */
static void write_conninfo(const struct nsm_pg_conn *conn, struct nsm_buf *out)
{
    PQconninfoOption *const options = PQconninfo(conn->pq);
    for (const PQconninfoOption *option = options; option && option->keyword; option++) {
        if (option->val && *option->val && !is_left_out(option->keyword))
            append_pair(out, option->keyword, option->val);
    }
    PQconninfoFree(options);
    const char *const host = PQhost(conn->pq);
    const char *const address = PQhostaddr(conn->pq);
    if (host && *host)
        append_pair(out, "host", host);
    if (address && *address && host && host[0] != '/')
        append_pair(out, "hostaddr", address);
    append_pair(out, "port", PQport(conn->pq));
}

static void add_pattern(struct nsm_pg_args *args, const char *option,
                        const struct nsm_pg_name *name)
{
    struct nsm_buf pattern NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_qualified(&pattern, name->schema, name->name);
    nsm_pg_args_add(args, "--%s=%s", option, pattern.ptr);
}

static void add_dump_args(struct nsm_pg_args *args, const struct nsm_pg_dump_request *request,
                          const char *path)
{
    nsm_pg_args_add(args, "--format=custom");
    nsm_pg_args_add(args, "--schema-only");
    nsm_pg_args_add(args, "--no-password");
    nsm_pg_args_add(args, "--no-publications");
    nsm_pg_args_add(args, "--no-subscriptions");
    nsm_pg_args_add(args, "--lock-wait-timeout=30s");
    nsm_pg_args_add(args, "--file=%s", path);
    if (request->snapshot_id)
        nsm_pg_args_add(args, "--snapshot=%s", request->snapshot_id);
    if (request->schema) {
        struct nsm_buf pattern NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_pg_quote_ident(&pattern, request->schema);
        nsm_pg_args_add(args, "--schema=%s", pattern.ptr);
    }
    for (size_t i = 0; !request->schema && i < request->n_tables; i++)
        add_pattern(args, "table", &request->tables[i]);
    for (size_t i = 0; i < request->n_excluded; i++)
        add_pattern(args, "exclude-table", &request->excluded[i]);
}

struct nsm_error *nsm_pg_dump(struct nsm_context *ctx, const struct nsm_pg_dump_request *request)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_args args NSM_CLEANUP(nsm_pg_args_release) = {.arena = &arena};
    struct nsm_pg_args env NSM_CLEANUP(nsm_pg_args_release) = {.arena = &arena};
    const char *program = NULL;
    NSM_TRY(nsm_pg_find_program(&arena, "pg_dump", &program));
    const char *const path = nsm_arena_printf(&arena, "%s.part", request->path);
    nsm_pg_args_add(&args, "%s", program);
    add_dump_args(&args, request, path);
    struct nsm_buf conninfo NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    write_conninfo(request->conn, &conninfo);
    nsm_pg_args_add(&args, "--dbname=%s", conninfo.ptr);
    const struct nsm_pg_watch watch = {
        .backend = request->conn->backend,
        .application_name = nsm_arena_printf(&arena, "nsmigrate dump %016llx",
                                             (unsigned long long)nsm_random_below(UINT64_MAX)),
    };
    nsm_pg_args_add(&env, "PGAPPNAME=%s", watch.application_name);
    nsm_pg_args_add(&env, "PGCONNECT_TIMEOUT=%lld",
                    (long long)(watch.backend->connect_timeout_ns / NSM_NS_PER_S));
    nsm_pg_args_add(&env, "LC_ALL=C");
    const char *const password = PQpass(request->conn->pq);
    if (password && *password)
        nsm_pg_args_add(&env, "PGPASSWORD=%s", password);
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_error *const error = nsm_pg_run(ctx, &args, &env, &watch, &out);
    if (error) {
        (void)unlink(path);
        return error;
    }
    if (request->source)
        NSM_TRY(nsm_pg_facts_append(request->source, request->census, path));
    if (rename(path, request->path) != 0)
        return nsm_error_new(NSM_E_IO, "rename %s: %m", path);
    return NULL;
}

struct nsm_error *nsm_pg_define(struct nsm_source *source, struct nsm_context *ctx,
                                const char *path)
{
    const struct nsm_pg_source *const state = source->state;
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    struct nsm_pg_backend *const pg = (struct nsm_pg_backend *)source->backend;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_snapshot snapshot = {0};
    NSM_TRY(nsm_pg_take_snapshot(pg, ctx, &arena, &snapshot));
    NSM_TRY(nsm_pg_acquire(pg, ctx, &conn));
    const struct nsm_pg_dump_request request = {
        .conn = conn,
        .snapshot_id = snapshot.id,
        .schema = state->selection.schema,
        .tables = state->relations,
        .n_tables = state->n_relations,
        .excluded = state->foreign_tables,
        .n_excluded = state->n_foreign_tables,
        .path = path,
        .source = state,
        .census = &source->census,
    };
    return nsm_error_wrap(nsm_pg_dump(ctx, &request), "read the definitions");
}

struct nsm_error *nsm_pg_restore_script(struct nsm_context *ctx,
                                        const struct nsm_pg_restore_request *request,
                                        struct nsm_arena *arena, struct nsm_pg_script *ret)
{
    struct nsm_arena local NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_args args NSM_CLEANUP(nsm_pg_args_release) = {.arena = &local};
    struct nsm_pg_args env NSM_CLEANUP(nsm_pg_args_release) = {.arena = &local};
    const char *program = NULL;
    NSM_TRY(nsm_pg_find_program(&local, "pg_restore", &program));
    nsm_pg_args_add(&args, "%s", program);
    nsm_pg_args_add(&args, "--verbose");
    nsm_pg_args_add(&args, "--section=%s", request->section);
    nsm_pg_args_add(&args, "--no-tablespaces");
    nsm_pg_args_add(&args, "--no-publications");
    nsm_pg_args_add(&args, "--no-subscriptions");
    if (!request->keeps_owners)
        nsm_pg_args_add(&args, "--no-owner");
    nsm_pg_args_add(&args, "--file=-");
    nsm_pg_args_add(&args, "%s", request->archive);
    nsm_pg_args_add(&env, "LC_ALL=C");
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    NSM_TRY(nsm_pg_run(ctx, &args, &env, NULL, &text));
    return nsm_pg_script_parse(arena, nsm_arena_copy(arena, nsm_buf_view(&text)), ret);
}
