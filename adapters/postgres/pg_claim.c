/*
 * See pg_claim.h. The connection is used in turns: the turn is a flag with a condition, because who waits for
 * it waits under a context. Which session a claim stands in is known by its number: those of a session that
 * was lost are void by themselves.
 */
#include "adapters/postgres/pg_claim.h"

#include "adapters/postgres/pg_target.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

/* The session of a process that was killed ends within this. */
#define GRACE_NS      NSM_NS_PER_S
#define GRACE_STEP_NS (50 * NSM_NS_PER_MS)

/* With more tables than this, their schema is claimed instead: all locks of a server share one table. */
#define MAX_TABLES 32

/* The server keeps 63 bytes of application_name. */
#define NAME_PREFIX "nsmigrate "
#define MAX_HOLDER  (63 - (sizeof(NAME_PREFIX) - 1))

struct nsm_pg_claim {
    struct nsm_pg_claim *next;   /* of the abandoned ones */
    char *names, *are_exclusive; /* arrays as the server reads them */
    uint64_t session;            /* in which it stands; 0: in none */
};

static void claim_free(struct nsm_pg_claim *claim)
{
    if (!claim)
        return;
    free(claim->names);
    free(claim->are_exclusive);
    free(claim);
}

/* ---- what is claimed ---- */

struct listing {
    struct nsm_buf names, are_exclusive, name;
};

static void listing_release(struct listing *listing)
{
    nsm_buf_release(&listing->names);
    nsm_buf_release(&listing->are_exclusive);
    nsm_buf_release(&listing->name);
}

/* `table` NULL: the schema. Names are not quoted, as they are told to people: two that look alike stand for both. */
static void list(struct listing *listing, const char *schema, const char *table, bool is_exclusive)
{
    nsm_buf_clear(&listing->name);
    if (table)
        nsm_buf_printf(&listing->name, "nsmigrate table %s.%s", schema, table);
    else
        nsm_buf_printf(&listing->name, "nsmigrate schema %s", schema);
    nsm_pg_array_add(&listing->names, listing->name.ptr);
    nsm_pg_array_add(&listing->are_exclusive, is_exclusive ? "t" : "f");
}

/* A whole schema, with all that is in it besides tables; NULL: tables only. */
static const char *whole_schema(const struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    if (!source || !source->selection.schema)
        return NULL;
    return state->to_schema ? state->to_schema : source->selection.schema;
}

static void list_all(struct listing *listing, const struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    const char *const whole = whole_schema(destination);
    const bool is_by_schema = whole || state->n_tables > MAX_TABLES;
    if (whole)
        list(listing, whole, NULL, true);
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct nsm_pg_name *const name = &state->tables[i].to;
        const bool is_listed = (whole && strcmp(whole, name->schema) == 0) ||
                               (i > 0 && strcmp(state->tables[i - 1].to.schema, name->schema) == 0);
        if (!is_listed)
            list(listing, name->schema, NULL, is_by_schema);
        if (!is_by_schema)
            list(listing, name->schema, name->name, true);
    }
}

static struct nsm_error *claim_new(const struct nsm_destination *destination,
                                   struct nsm_pg_claim **ret)
{
    struct listing listing NSM_CLEANUP(listing_release) = {
        .names = NSM_BUF_TEXT, .are_exclusive = NSM_BUF_TEXT, .name = NSM_BUF_TEXT};
    nsm_pg_array_begin(&listing.names);
    nsm_pg_array_begin(&listing.are_exclusive);
    list_all(&listing, destination);
    nsm_pg_array_end(&listing.names);
    nsm_pg_array_end(&listing.are_exclusive);
    NSM_TRY(nsm_buf_error(&listing.names));
    struct nsm_pg_claim *const claim = nsm_xcalloc(1, sizeof(*claim));
    claim->names = nsm_xstrdup(listing.names.ptr);
    claim->are_exclusive = nsm_xstrdup(listing.are_exclusive.ptr);
    *ret = claim;
    return NULL;
}

/* ---- the connection and its turns ---- */

static struct nsm_error *take_turn(struct nsm_pg_claims *claims, struct nsm_context *ctx)
{
    struct nsm_waker waker = {0};
    nsm_waker_register(&waker, ctx, &claims->mutex, &claims->turn_ended);
    pthread_mutex_lock(&claims->mutex);
    while (claims->has_turn && !nsm_context_is_canceled(ctx))
        pthread_cond_wait(&claims->turn_ended, &claims->mutex);
    const bool is_ours = !claims->has_turn;
    claims->has_turn = true;
    pthread_mutex_unlock(&claims->mutex);
    nsm_waker_unregister(&waker);
    return is_ours ? NULL : nsm_context_error(ctx);
}

static void end_turn(struct nsm_pg_claims *claims)
{
    pthread_mutex_lock(&claims->mutex);
    claims->has_turn = false;
    pthread_cond_broadcast(&claims->turn_ended);
    pthread_mutex_unlock(&claims->mutex);
}

/* In a turn: what stood in that session is void. */
static void lose_session(struct nsm_pg_claims *claims)
{
    if (!claims->conn)
        return;
    claims->conn->is_broken = true;
    nsm_pg_release(NSM_STEAL(claims->conn));
}

/* In a turn. */
static struct nsm_error *need_session(struct nsm_pg_backend *backend, struct nsm_context *ctx)
{
    struct nsm_pg_claims *const claims = &backend->claims;
    if (claims->conn && nsm_pg_is_alive(claims->conn))
        return NULL;
    lose_session(claims);
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_acquire(backend, ctx, &conn));
    char *holder NSM_CLEANUP(nsm_freep) = nsm_backend_holder(&backend->base, MAX_HOLDER);
    char *name NSM_CLEANUP(nsm_freep) = nsm_xasprintf(NAME_PREFIX "%s", holder);
    const char *const params[] = {name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, "SELECT set_config('application_name', $1, false)", params, 1,
                         &result));
    claims->conn = NSM_STEAL(conn);
    pthread_mutex_lock(&claims->mutex);
    claims->session++;
    pthread_mutex_unlock(&claims->mutex);
    return NULL;
}

/* ---- the locks: all in a turn ---- */

#define KEY "hashtextextended(name COLLATE \"C\", 0)"

/* `which` (NULL: all) tells which of them were taken. */
static struct nsm_error *unlock(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                const struct nsm_pg_claim *claim, const char *which)
{
    static const char sql[] =
        "SELECT CASE WHEN is_exclusive THEN pg_advisory_unlock(" KEY ")"
        " ELSE pg_advisory_unlock_shared(" KEY ") END"
        " FROM unnest($1::text[], $2::bool[], $3::bool[]) AS l (name, is_exclusive, is_taken)"
        " WHERE coalesce(is_taken, $3 IS NULL)";
    const char *const params[] = {claim->names, claim->are_exclusive, which};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    return nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), &result);
}

/* All of them or none. */
static struct nsm_error *lock(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                              const struct nsm_pg_claim *claim, bool *ret)
{
    static const char sql[] =
        "SELECT coalesce(bool_and(is_taken), true), array_agg(is_taken ORDER BY place)"
        " FROM (SELECT place, CASE WHEN is_exclusive THEN pg_try_advisory_lock(" KEY ")"
        " ELSE pg_try_advisory_lock_shared(" KEY ") END AS is_taken"
        " FROM unnest($1::text[], $2::bool[]) WITH ORDINALITY AS l (name, is_exclusive, place)"
        " OFFSET 0) t";
    const char *const params[] = {claim->names, claim->are_exclusive};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), &result));
    *ret = nsm_pg_get_bool(result, 0, 0);
    return *ret ? NULL : unlock(conn, ctx, claim, PQgetvalue(result, 0, 1));
}

/* Who stands in the way: columns what, holder, is_own. Another backend of ours is the last to be named. */
static struct nsm_error *find_holder(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     const struct nsm_pg_claim *claim, PGresult **ret)
{
    static const char sql[] =
        "SELECT substr(l.name, 11), coalesce(nullif(substr(a.application_name, 11), ''),"
        " 'session ' || h.pid), a.application_name = current_setting('application_name')"
        " FROM unnest($1::text[], $2::bool[]) AS l (name, is_exclusive) JOIN pg_locks h"
        " ON h.locktype = 'advisory' AND h.objsubid = 1 AND h.granted"
        " AND h.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (h.classid::bigint << 32 | h.objid::bigint) = " KEY
        " AND (l.is_exclusive OR h.mode = 'ExclusiveLock')"
        " LEFT JOIN pg_stat_activity a ON a.pid = h.pid WHERE h.pid <> pg_backend_pid()"
        " ORDER BY 3 NULLS FIRST, 1 LIMIT 1";
    const char *const params[] = {claim->names, claim->are_exclusive};
    return nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), ret);
}

/* Tries once. Whoever is told apart from us by nothing is this run, by another backend of the plan. An error with *ret_may_end set is
 * worth another try. */
static struct nsm_error *lock_once(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                   const struct nsm_pg_claim *claim, bool *ret_may_end)
{
    bool is_taken = false;
    NSM_TRY(lock(conn, ctx, claim, &is_taken));
    if (is_taken)
        return NULL;
    PGresult *holder NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(find_holder(conn, ctx, claim, &holder));
    const bool is_known = PQntuples(holder) > 0;
    if (is_known && nsm_pg_get_bool(holder, 0, 2))
        return NULL;
    *ret_may_end = true;
    return nsm_error_new(NSM_E_CONFLICT,
                         "%s is being written by another run (%s): wait for it, or stop it",
                         is_known ? PQgetvalue(holder, 0, 0) : "the namespace",
                         is_known ? PQgetvalue(holder, 0, 1) : "which has just ended");
}

static struct nsm_error *lock_or_tell(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_pg_claim *claim)
{
    const int64_t until_ns = nsm_now_ns() + GRACE_NS;
    for (;;) {
        bool may_end = false;
        struct nsm_error *const error = lock_once(conn, ctx, claim, &may_end);
        if (!error || !may_end || nsm_now_ns() >= until_ns)
            return error;
        nsm_error_ignore(error);
        NSM_TRY(nsm_sleep(ctx, GRACE_STEP_NS));
    }
}

static struct nsm_pg_claim *pop_abandoned(struct nsm_pg_claims *claims)
{
    pthread_mutex_lock(&claims->mutex);
    struct nsm_pg_claim *const claim = claims->abandoned;
    if (claim)
        claims->abandoned = claim->next;
    pthread_mutex_unlock(&claims->mutex);
    return claim;
}

static struct nsm_error *drop_abandoned(struct nsm_pg_claims *claims, struct nsm_context *ctx)
{
    struct nsm_error *error = NULL;
    for (struct nsm_pg_claim *claim = pop_abandoned(claims); claim && !error;
         claim = error ? NULL : pop_abandoned(claims)) {
        if (claim->session == claims->session)
            error = unlock(claims->conn, ctx, claim, NULL);
        claim_free(claim);
    }
    return error;
}

static struct nsm_error *claim_in_turn(struct nsm_pg_backend *backend, struct nsm_context *ctx,
                                       struct nsm_pg_claim *claim)
{
    struct nsm_pg_claims *const claims = &backend->claims;
    NSM_TRY(need_session(backend, ctx));
    if (claim->session == claims->session)
        return NULL;
    struct nsm_error *error = drop_abandoned(claims, ctx);
    if (!error)
        error = lock_or_tell(claims->conn, ctx, claim);
    /* After any other error it is not known which locks stand: they go with the session. */
    if (error && !nsm_error_is(error, NSM_E_CONFLICT))
        lose_session(claims);
    if (error)
        return error;
    pthread_mutex_lock(&claims->mutex);
    claim->session = claims->session;
    pthread_mutex_unlock(&claims->mutex);
    return NULL;
}

/* ---- the operations ---- */

/* The destination's, made when it is first asked for. */
static struct nsm_error *need_claim(const struct nsm_destination *destination,
                                    struct nsm_pg_claims *claims, bool *ret_stands)
{
    struct nsm_pg_destination *const state = destination->state;
    struct nsm_error *error = NULL;
    pthread_mutex_lock(&claims->mutex);
    if (!state->claim)
        error = claim_new(destination, &state->claim);
    *ret_stands = !error && state->claim->session != 0 &&
                  state->claim->session == claims->session &&
                  (claims->has_turn || (claims->conn && nsm_pg_is_alive(claims->conn)));
    pthread_mutex_unlock(&claims->mutex);
    return error;
}

struct nsm_error *nsm_pg_claim(const struct nsm_destination *destination, struct nsm_context *ctx)
{
    struct nsm_pg_backend *const backend = (struct nsm_pg_backend *)destination->backend;
    const struct nsm_pg_destination *const state = destination->state;
    bool is_standing = false;
    NSM_TRY(need_claim(destination, &backend->claims, &is_standing));
    if (is_standing)
        return NULL;
    NSM_TRY(take_turn(&backend->claims, ctx));
    struct nsm_error *const error = claim_in_turn(backend, ctx, state->claim);
    end_turn(&backend->claims);
    return error;
}

void nsm_pg_claim_drop(const struct nsm_destination *destination, struct nsm_context *ctx)
{
    struct nsm_pg_claims *const claims = &((struct nsm_pg_backend *)destination->backend)->claims;
    nsm_pg_claim_abandon(destination);
    struct nsm_error *error = take_turn(claims, ctx);
    if (!error) {
        error = claims->conn ? drop_abandoned(claims, ctx) : NULL;
        if (error)
            lose_session(claims);
        end_turn(claims);
    }
    nsm_error_ignore(error);
}

void nsm_pg_claim_abandon(const struct nsm_destination *destination)
{
    struct nsm_pg_claims *const claims = &((struct nsm_pg_backend *)destination->backend)->claims;
    struct nsm_pg_destination *const state = destination->state;
    struct nsm_pg_claim *const claim = NSM_STEAL(state->claim);
    if (!claim)
        return;
    pthread_mutex_lock(&claims->mutex);
    claim->next = claims->abandoned;
    claims->abandoned = claim;
    pthread_mutex_unlock(&claims->mutex);
}

void nsm_pg_claims_close(struct nsm_pg_backend *backend)
{
    struct nsm_pg_claims *const claims = &backend->claims;
    nsm_pg_release(NSM_STEAL(claims->conn));
    for (struct nsm_pg_claim *claim = pop_abandoned(claims); claim; claim = pop_abandoned(claims))
        claim_free(claim);
    pthread_cond_destroy(&claims->turn_ended);
    pthread_mutex_destroy(&claims->mutex);
}
