/* See pg_describe.h. One query for all namespaces, and one for each backend on the other side. */
#include "adapters/postgres/pg_describe.h"

#include "adapters/postgres/pg_describe_sql.h"
#include "adapters/postgres/pg_names.h"
#include "adapters/postgres/pg_snapshot.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"

#include <assert.h>
#include <ctype.h>

/* A backend on the other side. */
struct peer {
    struct nsm_pg_backend *backend;
    PGresult *roles; /* in order */
    const char *user, *encoding;
    int version;
};

struct describing {
    struct nsm_context *ctx;
    struct nsm_pg_conn *conn;
    const char *user;
    struct nsm_description **descriptions;
    size_t n;
    struct peer *peers;
    size_t n_peers;
    struct nsm_arena arena;
};

static void describing_release(struct describing *describing)
{
    for (size_t i = 0; i < describing->n_peers; i++)
        PQclear(describing->peers[i].roles);
    free(describing->peers);
    nsm_pg_release(describing->conn);
    nsm_arena_release(&describing->arena);
}

static const struct nsm_pg_source *source_of(const struct nsm_description *description)
{
    return description->destination->source->state;
}

static const struct nsm_pg_destination *target_of(const struct nsm_description *description)
{
    return description->destination->state;
}

/* ---- the other side ---- */

static struct nsm_pg_backend *peer_backend(const struct nsm_description *description)
{
    struct nsm_backend *const backend = description->is_source
                                            ? description->destination->backend
                                            : description->destination->source->backend;
    return (struct nsm_pg_backend *)backend;
}

static const struct peer *find_peer(const struct describing *describing,
                                    const struct nsm_description *description)
{
    const struct nsm_pg_backend *const backend = peer_backend(description);
    for (size_t i = 0; i < describing->n_peers; i++) {
        if (describing->peers[i].backend == backend)
            return &describing->peers[i];
    }
    return NULL;
}

static const struct peer *peer_of(const struct describing *describing,
                                  const struct nsm_description *description)
{
    const struct peer *const peer = find_peer(describing, description);
    assert(peer); /* all were asked */
    return peer;
}

static struct nsm_error *ask_peer(struct describing *describing, struct nsm_pg_backend *backend)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    PGresult *roles NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_acquire(backend, describing->ctx, &conn));
    NSM_TRY(nsm_pg_query(conn, describing->ctx, "SELECT rolname FROM pg_roles ORDER BY rolname",
                         NULL, 0, &roles));
    describing->peers[describing->n_peers++] = (struct peer){
        .backend = backend,
        .roles = NSM_STEAL(roles),
        .user = nsm_arena_strdup(&describing->arena, PQuser(conn->pq)),
        .encoding =
            nsm_arena_strdup(&describing->arena, PQparameterStatus(conn->pq, "server_encoding")),
        .version = PQserverVersion(conn->pq),
    };
    return NULL;
}

static bool has_role(const struct peer *peer, const char *name)
{
    int low = 0;
    int high = PQntuples(peer->roles);
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const int order = strcmp(PQgetvalue(peer->roles, middle, 0), name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* ---- what is asked for ---- */

struct question {
    struct nsm_buf relation_at, schemas, names, shown, prefixes; /* arrays, index by index */
    struct nsm_buf whole_at, wholes;
};

static void question_release(struct question *question)
{
    nsm_buf_release(&question->relation_at);
    nsm_buf_release(&question->schemas);
    nsm_buf_release(&question->names);
    nsm_buf_release(&question->shown);
    nsm_buf_release(&question->prefixes);
    nsm_buf_release(&question->whole_at);
    nsm_buf_release(&question->wholes);
}

/* Where tables of several schemas are selected, which then all keep their names, these tell them apart. */
static bool has_schemas(const struct nsm_pg_source *source)
{
    for (size_t i = 1; !source->selection.schema && i < source->n_relations; i++) {
        if (strcmp(source->relations[i].schema, source->relations[0].schema) != 0)
            return true;
    }
    return false;
}

static const char *prefix_of(struct nsm_arena *arena, bool has_schemas,
                             const struct nsm_pg_name *relation)
{
    return has_schemas ? nsm_arena_printf(arena, "%s.", relation->schema) : "";
}

static void ask_for_relation(struct question *question, const struct nsm_description *description,
                             const char *at, const struct nsm_pg_name *relation, const char *prefix)
{
    const struct nsm_pg_name name =
        description->is_source ? *relation : nsm_pg_target_name(target_of(description), relation);
    nsm_pg_array_add(&question->relation_at, at);
    nsm_pg_array_add(&question->schemas, name.schema);
    nsm_pg_array_add(&question->names, name.name);
    nsm_pg_array_add(&question->shown, relation->name);
    nsm_pg_array_add(&question->prefixes, prefix);
}

static void ask_for(struct describing *describing, struct question *question, size_t index)
{
    const struct nsm_description *const description = describing->descriptions[index];
    const struct nsm_pg_source *const source = source_of(description);
    const struct nsm_pg_destination *const target = target_of(description);
    const char *const at = nsm_arena_printf(&describing->arena, "%zu", index);
    const bool is_prefixed = has_schemas(source);
    for (size_t i = 0; i < source->n_relations; i++)
        ask_for_relation(question, description, at, &source->relations[i],
                         prefix_of(&describing->arena, is_prefixed, &source->relations[i]));
    for (size_t i = 0; i < source->n_others; i++)
        ask_for_relation(question, description, at, &source->others[i], "");
    if (!source->selection.schema)
        return;
    const bool is_renamed = !description->is_source && target->to_schema;
    nsm_pg_array_add(&question->whole_at, at);
    nsm_pg_array_add(&question->wholes, is_renamed ? target->to_schema : source->selection.schema);
}

static struct nsm_error *run_question(struct describing *describing, struct question *question,
                                      PGresult **ret)
{
    struct nsm_buf *const arrays[] = {
        &question->relation_at, &question->schemas,  &question->names, &question->shown,
        &question->prefixes,    &question->whole_at, &question->wholes};
    const char *params[NSM_COUNT_OF(arrays) + 1] = {0};
    for (size_t i = 0; i < NSM_COUNT_OF(arrays); i++)
        nsm_pg_array_begin(arrays[i]);
    for (size_t i = 0; i < describing->n; i++)
        ask_for(describing, question, i);
    for (size_t i = 0; i < NSM_COUNT_OF(arrays); i++) {
        nsm_pg_array_end(arrays[i]);
        NSM_TRY(nsm_buf_error(arrays[i]));
        params[i] = arrays[i]->ptr;
    }
    params[NSM_COUNT_OF(arrays)] = describing->descriptions[0]->is_source ? "false" : "true";
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_describe_sql(&sql);
    NSM_TRY(nsm_buf_error(&sql));
    /* Compiling it would take longer than running it. */
    NSM_TRY(nsm_pg_exec(describing->conn, describing->ctx, "SET LOCAL jit = off"));
    return nsm_pg_query(describing->conn, describing->ctx, sql.ptr, params, NSM_COUNT_OF(params),
                        ret);
}

/* ---- a table under another name ---- */

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* How much of `at` is the name, as SQL writes it; 0: it is another. */
static size_t match_name(const char *text, const char *at, const char *name)
{
    const bool is_quoted = *at == '"';
    const size_t len = strlen(name);
    if (at > text && (is_of_word(at[-1]) || at[-1] == '"'))
        return 0;
    if (strncmp(at + is_quoted, name, len) != 0)
        return 0;
    const char end = at[is_quoted + len];
    if (is_quoted ? end != '"' : is_of_word(end))
        return 0;
    return len + 2 * (size_t)is_quoted;
}

/* Both sides call the table by one word then. It is put in the place of both names on both sides, so that what only looks like a name
 * stays equal, too. */
static const char *blur(struct describing *describing, const struct nsm_pg_target *target,
                        const char *text)
{
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (const char *at = text; *at;) {
        size_t len = match_name(text, at, target->from.name);
        len = len ? len : match_name(text, at, target->to.name);
        if (len)
            nsm_buf_append_cstr(&out, "<table>");
        else
            nsm_buf_append_char(&out, *at);
        at += len ? len : 1;
    }
    return nsm_arena_copy(&describing->arena, nsm_buf_view(&out)).ptr;
}

/* ---- what is answered ---- */

/* Whether the copy carries owners and what is said for them: a superuser's does, for roles that the destination has. Other owners
 * stand alone there. */
static bool has_maker(const struct describing *describing,
                      const struct nsm_description *description, const char *maker)
{
    return target_of(description)->is_superuser &&
           (!description->is_source || has_role(peer_of(describing, description), maker));
}

static bool is_wanted(const struct describing *describing,
                      const struct nsm_description *description, const PGresult *result, int row)
{
    const struct peer *const peer = peer_of(describing, description);
    const char *const role = PQgetvalue(result, row, 5);
    const char *const user = description->is_source ? peer->user : describing->user;
    const bool has_owner = !PQgetisnull(result, row, 6);
    if (has_owner && !has_maker(describing, description, PQgetvalue(result, row, 6)))
        return false;
    if (PQgetisnull(result, row, 5) || !*role)
        return true;
    return has_role(peer, role) && (has_owner || strcmp(role, user) != 0);
}

/* Whether all versions write it in the same way. */
static bool is_steady(const char *kind)
{
    return strcmp(kind, "sequence value") == 0 || strcmp(kind, "comment") == 0 ||
           strcmp(kind, "owner") == 0 || strcmp(kind, "default privilege") == 0;
}

/* Rows are digested as text, in the server's own encoding. */
static bool is_comparable(const struct describing *describing,
                          const struct nsm_description *description, const char *kind)
{
    const struct peer *const peer = peer_of(describing, description);
    PGconn *const pq = describing->conn->pq;
    if (strcmp(kind, "materialized view rows") == 0 &&
        strcmp(peer->encoding, PQparameterStatus(pq, "server_encoding")) != 0)
        return false;
    return is_steady(kind) || peer->version / 10000 == PQserverVersion(pq) / 10000;
}

static void take_row(struct describing *describing, const PGresult *result, int row)
{
    const size_t at = (size_t)nsm_pg_get_u64(result, row, 0);
    if (at >= describing->n)
        return;
    struct nsm_description *const description = describing->descriptions[at];
    const struct nsm_pg_destination *const target = target_of(description);
    if (!is_wanted(describing, description, result, row))
        return;
    struct nsm_definition definition = {
        .kind = PQgetvalue(result, row, 1),
        .name = PQgetvalue(result, row, 2),
        .text = PQgetvalue(result, row, 3),
        .is_alone = nsm_pg_get_bool(result, row, 4),
    };
    if (!is_comparable(describing, description, definition.kind))
        definition.text = "";
    else if (target->renames_table)
        definition.text = blur(describing, &target->tables[0], definition.text);
    nsm_description_add(description, &definition);
}

/* What a sequence of the source had come to when its rows were read: it may have gone on since. */
static void add_sequences(struct nsm_description *description)
{
    const struct nsm_pg_source *const source = source_of(description);
    const bool is_prefixed = has_schemas(source);
    for (size_t i = 0; i < source->n_sequences; i++) {
        const struct nsm_pg_sequence *const sequence = &source->sequences[i];
        if (!sequence->last_value)
            continue;
        const struct nsm_definition definition = {
            .kind = "sequence value",
            .name = nsm_arena_printf(&description->arena, "%s%s",
                                     prefix_of(&description->arena, is_prefixed, &sequence->name),
                                     sequence->name.name),
            .text = nsm_arena_printf(&description->arena, "%s %s", sequence->last_value,
                                     sequence->is_called ? "true" : "false"),
        };
        nsm_description_add(description, &definition);
    }
}

/* ---- the whole ---- */

static struct nsm_error *ask_peers(struct describing *describing)
{
    describing->peers = nsm_xcalloc(describing->n, sizeof(*describing->peers));
    for (size_t i = 0; i < describing->n; i++) {
        if (!find_peer(describing, describing->descriptions[i]))
            NSM_TRY(ask_peer(describing, peer_backend(describing->descriptions[i])));
    }
    return NULL;
}

static struct nsm_error *begin(struct describing *describing, struct nsm_pg_backend *backend)
{
    struct nsm_pg_snapshot snapshot = {0};
    if (describing->descriptions[0]->is_source)
        NSM_TRY(nsm_pg_take_snapshot(backend, describing->ctx, &describing->arena, &snapshot));
    NSM_TRY(nsm_pg_acquire(backend, describing->ctx, &describing->conn));
    describing->user = PQuser(describing->conn->pq);
    return nsm_pg_begin_read(describing->conn, describing->ctx, snapshot.id);
}

struct nsm_error *nsm_pg_describe(struct nsm_backend *backend, struct nsm_context *ctx,
                                  struct nsm_description **descriptions, size_t n_descriptions)
{
    struct describing describing NSM_CLEANUP(describing_release) = {
        .ctx = ctx,
        .descriptions = descriptions,
        .n = n_descriptions,
    };
    struct question question NSM_CLEANUP(question_release) = {
        NSM_BUF_TEXT, NSM_BUF_TEXT, NSM_BUF_TEXT, NSM_BUF_TEXT,
        NSM_BUF_TEXT, NSM_BUF_TEXT, NSM_BUF_TEXT};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(ask_peers(&describing));
    NSM_TRY(begin(&describing, (struct nsm_pg_backend *)backend));
    NSM_TRY_WRAP(run_question(&describing, &question, &result), "read the definitions");
    for (int row = 0; row < PQntuples(result); row++)
        take_row(&describing, result, row);
    for (size_t i = 0; i < n_descriptions && descriptions[0]->is_source; i++)
        add_sequences(descriptions[i]);
    return nsm_pg_exec(describing.conn, ctx, "COMMIT");
}
