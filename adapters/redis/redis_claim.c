/*
 * See redis_claim.h. A claim is announced first and then looked at beside the others, so that of two that come at
 * once at least one sees the other; who sees another takes its own back before it waits.
 */
#include "adapters/redis/redis_claim.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "adapters/redis/redis_survey.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#define CLAIMS_KEY NSM_REDIS_TEMP_PREFIX "claims"

/* The score of who was taken for dead: it stays below zero, and stands in nobody's way. */
#define PUSHED_OUT "-1000000000"

#define BEAT_NS  NSM_NS_PER_S
#define TRUST_NS (6 * NSM_NS_PER_S)
#define STALE_NS (10 * NSM_NS_PER_S)
/* How long the set stays when nobody beats any more. */
#define SET_TTL_MS 60000
/* Between two looks at a rival; the rest is chance, so that two who wait don't look at the same moments. */
#define LOOK_NS        (150 * NSM_NS_PER_MS)
#define LOOK_CHANCE_NS (150 * NSM_NS_PER_MS)
/* What giving back may delay the end of a run. */
#define FAREWELL_NS (300 * NSM_NS_PER_MS)

#define MAX_HOLDER_BYTES 200

struct nsm_redis_claim {
    struct nsm_redis_claim *next;
    char *member; /* "<holder>\n<run id>\n<length of prefix>\n<prefix><namespace>" */
    size_t member_len;
    size_t n_users;
    int64_t valid_until_ns; /* 0: not taken */
    bool is_dropped;
    bool is_pushed_out; /* another run has taken us for dead */
    bool is_forbidden;  /* this user may not keep such a key: nothing is claimed */
};

/* A member, taken apart. */
struct owner {
    struct nsm_str holder, run_id, prefix;
};

/* Who stands in the way, as it was seen first. */
struct rival {
    struct nsm_buf member, score;
    int64_t since_ns;
};

static void rival_release(struct rival *rival)
{
    nsm_buf_release(&rival->member);
    nsm_buf_release(&rival->score);
}

/* ---- members ---- */

static struct nsm_str take_line(struct nsm_str *rest)
{
    const char *const end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    const struct nsm_str line = {rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len};
    *rest = nsm_str_skip(*rest, end ? line.len + 1 : rest->len);
    return line;
}

static struct owner read_member(struct nsm_str member)
{
    struct owner owner = {.holder = take_line(&member), .run_id = take_line(&member)};
    uint64_t len = 0;
    if (!nsm_parse_u64(take_line(&member), &len) || len > member.len)
        len = member.len;
    owner.prefix = (struct nsm_str){member.ptr, len};
    return owner;
}

static struct nsm_str member_of(const struct nsm_redis_claim *claim)
{
    return (struct nsm_str){claim->member, claim->member_len};
}

/* Of a glob, what all keys that match it begin with. */
static size_t literal_len(struct nsm_str glob)
{
    size_t len = 0;
    while (len < glob.len && !strchr("*?[\\", glob.ptr[len]))
        len++;
    return len;
}

static void write_member(const struct nsm_destination *destination, struct nsm_buf *out)
{
    const struct nsm_backend *const backend = destination->backend;
    const struct nsm_redis_selector selector = nsm_redis_destination_selector(destination);
    const size_t glob_len = literal_len(selector.glob);
    char *holder NSM_CLEANUP(nsm_freep) = nsm_backend_holder(backend, MAX_HOLDER_BYTES);
    nsm_buf_printf(out, "%s\n%s\n%zu\n", holder, backend->run_id ? backend->run_id : "",
                   selector.prefix.len + glob_len);
    nsm_buf_append_str(out, selector.prefix);
    nsm_buf_append(out, selector.glob.ptr, glob_len);
    nsm_buf_append_cstr(out, destination->namespace_name);
}

static bool is_of_this_run(const struct owner *ours, const struct owner *other)
{
    char *run_id NSM_CLEANUP(nsm_freep) = nsm_xstrndup(ours->run_id);
    char *other_id NSM_CLEANUP(nsm_freep) = nsm_xstrndup(other->run_id);
    return strcmp(run_id, other_id) == 0 || nsm_run_id_is_kin(run_id, other_id);
}

static bool overlap(struct nsm_str one, struct nsm_str other)
{
    return nsm_str_starts_with(one, other) || nsm_str_starts_with(other, one);
}

/* ---- the set ---- */

static void queue_remove(struct nsm_redis_conn *conn, struct nsm_str member)
{
    NSM_REDIS_COMMAND(conn, "ZREM", NSM_STR_LIT(CLAIMS_KEY), member);
}

static void queue_ttl(struct nsm_redis_conn *conn)
{
    nsm_redis_begin(conn, 3);
    nsm_redis_arg_cstr(conn, "PEXPIRE");
    nsm_redis_arg_cstr(conn, CLAIMS_KEY);
    nsm_redis_arg_i64(conn, SET_TTL_MS);
}

/* The replies of what is queued: the last in *ret_last (may be NULL), whatever it is; an error of those before is returned. */
static struct nsm_error *settle(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                struct nsm_arena *arena, const struct nsm_redis_reply **ret_last)
{
    struct nsm_error *error = NULL;
    const struct nsm_redis_reply *reply = NULL;
    NSM_TRY(nsm_redis_flush(conn, ctx));
    while (conn->n_pending) {
        NSM_CLEANUP(nsm_error_freep)
        struct nsm_error *failed = nsm_redis_receive(conn, ctx, arena, &reply);
        if (failed) {
            nsm_error_ignore(error);
            return NSM_STEAL(failed);
        }
        if (reply->type == NSM_REDIS_ERROR && !error)
            error = nsm_redis_reply_error(reply, "claim the keys: ZADD", (struct nsm_str){0});
    }
    if (ret_last)
        *ret_last = reply;
    return error;
}

static void set_valid(struct nsm_redis_backend *backend, struct nsm_redis_claim *claim,
                      int64_t until_ns)
{
    pthread_mutex_lock(&backend->claims.mutex);
    claim->valid_until_ns = until_ns;
    pthread_mutex_unlock(&backend->claims.mutex);
}

static struct nsm_error *pushed_out_error(void)
{
    return nsm_error_new(
        NSM_E_CONFLICT,
        "another run has taken this one for dead, after ten seconds without a sign of it, and has "
        "written the same keys: look at both plans, and run again");
}

static struct nsm_error *push_out(struct nsm_redis_backend *backend, struct nsm_redis_claim *claim)
{
    pthread_mutex_lock(&backend->claims.mutex);
    claim->is_pushed_out = true;
    claim->valid_until_ns = 0;
    pthread_mutex_unlock(&backend->claims.mutex);
    return pushed_out_error();
}

/* Announces the claim and looks at the others. *ret_rival is the member, with its score behind it, that stands in the way;
 * NULL: the claim is taken. */
static struct nsm_error *announce(struct nsm_redis_backend *backend, struct nsm_redis_conn *conn,
                                  struct nsm_context *ctx, struct nsm_redis_claim *claim,
                                  struct nsm_arena *arena, const struct nsm_redis_reply **ret_rival)
{
    const struct nsm_redis_reply *all = NULL;
    const struct owner ours = read_member(member_of(claim));
    NSM_REDIS_COMMAND(conn, "ZINCRBY", NSM_STR_LIT(CLAIMS_KEY), NSM_STR_LIT("1"), member_of(claim));
    queue_ttl(conn);
    NSM_REDIS_COMMAND(conn, "ZRANGE", NSM_STR_LIT(CLAIMS_KEY), NSM_STR_LIT("0"), NSM_STR_LIT("-1"),
                      NSM_STR_LIT("WITHSCORES"));
    NSM_TRY(settle(conn, ctx, arena, &all));
    *ret_rival = NULL;
    if (all->type != NSM_REDIS_ARRAY)
        return nsm_redis_reply_error(all, "ZRANGE", (struct nsm_str){0});
    for (size_t at = 0; at + 1 < all->n_elements; at += 2) {
        const struct nsm_str member = all->elements[at].str;
        const struct owner other = read_member(member);
        const bool is_out = nsm_str_starts_with(all->elements[at + 1].str, NSM_STR_LIT("-"));
        if (is_out && nsm_str_equals(member, member_of(claim)))
            return push_out(backend, claim);
        if (!is_of_this_run(&ours, &other)) {
            if (!*ret_rival && !is_out && overlap(ours.prefix, other.prefix))
                *ret_rival = &all->elements[at];
        } else if (!nsm_str_equals(ours.holder, other.holder)) {
            queue_remove(conn, member); /* of a process that is gone: the ledger's lock is ours */
        }
    }
    if (*ret_rival)
        queue_remove(conn, member_of(claim));
    return conn->n_pending ? settle(conn, ctx, arena, NULL) : NULL;
}

/* One try; what it returns lies in `arena`. */
static struct nsm_error *try_take(struct nsm_redis_backend *backend, struct nsm_redis_conn *conn,
                                  struct nsm_context *ctx, struct nsm_redis_claim *claim,
                                  struct nsm_arena *arena, const struct nsm_redis_reply **ret_rival)
{
    const int64_t begin_ns = nsm_now_ns();
    NSM_TRY(announce(backend, conn, ctx, claim, arena, ret_rival));
    if (!*ret_rival)
        set_valid(backend, claim, begin_ns + TRUST_NS);
    return NULL;
}

/* ---- taking ---- */

static struct nsm_error *refusal(const struct nsm_redis_backend *backend,
                                 const struct nsm_redis_claim *claim, struct nsm_str rival)
{
    const struct owner ours = read_member(member_of(claim));
    const struct owner theirs = read_member(rival);
    struct nsm_buf what NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    if (ours.prefix.len) {
        nsm_buf_append_cstr(&what, "prefix ");
        nsm_redis_key_write(ours.prefix, &what);
    } else {
        nsm_buf_printf(&what, "database %u", backend->url.db);
    }
    nsm_buf_append_cstr(&what, " is being written by another run (");
    for (size_t at = 0; at < theirs.holder.len && at < MAX_HOLDER_BYTES; at++) {
        const char c = theirs.holder.ptr[at];
        nsm_buf_append_char(&what, c >= ' ' && c <= '~' ? c : '?');
    }
    return nsm_error_new(NSM_E_CONFLICT, "%s): wait for it, or stop it", what.ptr);
}

/* Whether the rival lives; *ret_is_dead: it has stood still long enough. Neither: look again. */
static bool is_alive(struct rival *rival, struct nsm_str member, struct nsm_str score,
                     bool *ret_is_dead)
{
    const int64_t now_ns = nsm_now_ns();
    const bool is_known = rival->since_ns && nsm_str_equals(nsm_buf_view(&rival->member), member);
    const bool has_moved = is_known && !nsm_str_equals(nsm_buf_view(&rival->score), score);
    /* Who only waits, as we do, announces itself again and again: to one. */
    if (has_moved && !nsm_str_equals(score, NSM_STR_LIT("1")))
        return true;
    if (!is_known || has_moved) {
        nsm_buf_clear(&rival->member);
        nsm_buf_append_str(&rival->member, member);
        nsm_buf_clear(&rival->score);
        nsm_buf_append_str(&rival->score, score);
        rival->since_ns = now_ns;
    }
    *ret_is_dead = now_ns - rival->since_ns >= STALE_NS;
    return false;
}

static struct nsm_error *take_on(struct nsm_redis_backend *backend, struct nsm_redis_conn *conn,
                                 struct nsm_context *ctx, struct nsm_redis_claim *claim)
{
    struct rival rival NSM_CLEANUP(rival_release) = {.member = NSM_BUF_TEXT, .score = NSM_BUF_TEXT};
    for (;;) {
        struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
        const struct nsm_redis_reply *found = NULL;
        bool is_dead = false;
        NSM_TRY(try_take(backend, conn, ctx, claim, &arena, &found));
        if (!found)
            return NULL;
        if (is_alive(&rival, found[0].str, found[1].str, &is_dead))
            return refusal(backend, claim, found[0].str);
        if (is_dead) {
            /* Should it live after all, it sees from its score what has happened. */
            NSM_REDIS_COMMAND(conn, "ZADD", NSM_STR_LIT(CLAIMS_KEY), NSM_STR_LIT("XX"),
                              NSM_STR_LIT(PUSHED_OUT), found[0].str);
            NSM_TRY(settle(conn, ctx, &arena, NULL));
            continue;
        }
        NSM_TRY(nsm_sleep(ctx, LOOK_NS + nsm_now_ns() % LOOK_CHANCE_NS));
    }
}

static struct nsm_error *take(struct nsm_redis_backend *backend, struct nsm_redis_claim *claim,
                              struct nsm_context *ctx)
{
    struct nsm_redis_loan loan NSM_CLEANUP(nsm_redis_loan_return) = {.backend = backend};
    NSM_TRY(nsm_redis_take(backend, ctx, &loan.conn));
    struct nsm_error *const error = take_on(backend, loan.conn, ctx, claim);
    if (!nsm_error_is(error, NSM_E_AUTH))
        return error;
    nsm_error_ignore(error);
    pthread_mutex_lock(&backend->claims.mutex);
    claim->is_forbidden = true;
    pthread_mutex_unlock(&backend->claims.mutex);
    return NULL;
}

/* ---- the thread ---- */

struct beat {
    struct nsm_redis_claim *claim;
    bool is_farewell, is_lost;
};

/* What is to be told to the server: of each claim that is taken, that we live, or that it is given back. */
static struct beat *list_beats(struct nsm_redis_claims *claims, size_t *ret_n)
{
    struct beat *beats = NULL;
    size_t n = 0;
    size_t cap = 0;
    pthread_mutex_lock(&claims->mutex);
    for (struct nsm_redis_claim *claim = claims->first; claim; claim = claim->next) {
        if (claim->valid_until_ns == 0 || claim->is_forbidden)
            continue;
        NSM_GROW(beats, n, cap);
        beats[n++] =
            (struct beat){.claim = claim, .is_farewell = claim->is_dropped || claims->is_ending};
    }
    pthread_mutex_unlock(&claims->mutex);
    *ret_n = n;
    return beats;
}

static void queue_beats(struct nsm_redis_conn *conn, const struct beat *beats, size_t n_beats)
{
    for (size_t at = 0; at < n_beats; at++) {
        const struct nsm_str member = member_of(beats[at].claim);
        if (beats[at].is_farewell)
            queue_remove(conn, member);
        else
            NSM_REDIS_COMMAND(conn, "ZADD", NSM_STR_LIT(CLAIMS_KEY), NSM_STR_LIT("XX"),
                              NSM_STR_LIT("INCR"), NSM_STR_LIT("1"), member);
    }
    queue_ttl(conn);
}

/* A claim that is not there any more, because the server lost it or another took us for dead, is taken again where nobody stands in
 * the way; else whoever writes next is refused. */
static struct nsm_error *send_beats(struct nsm_redis_backend *backend, struct nsm_redis_conn *conn,
                                    struct nsm_context *ctx, struct beat *beats, size_t n_beats)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply = NULL;
    const int64_t begin_ns = nsm_now_ns();
    queue_beats(conn, beats, n_beats);
    NSM_TRY(nsm_redis_flush(conn, ctx));
    for (size_t at = 0; at < n_beats; at++) {
        NSM_TRY(nsm_redis_receive(conn, ctx, &arena, &reply));
        if (reply->type == NSM_REDIS_ERROR)
            continue;
        beats[at].is_lost =
            !beats[at].is_farewell &&
            (reply->type == NSM_REDIS_NIL || nsm_str_starts_with(reply->str, NSM_STR_LIT("-")));
        set_valid(backend, beats[at].claim,
                  beats[at].is_lost || beats[at].is_farewell ? 0 : begin_ns + TRUST_NS);
    }
    NSM_TRY(nsm_redis_receive(conn, ctx, &arena, &reply));
    for (size_t at = 0; at < n_beats; at++) {
        const struct nsm_redis_reply *rival = NULL;
        if (beats[at].is_lost)
            NSM_TRY(try_take(backend, conn, ctx, beats[at].claim, &arena, &rival));
    }
    return NULL;
}

/* An error is of no consequence here: what can't be held runs out, and who writes then is told. */
static void beat_all(struct nsm_redis_backend *backend, bool is_ending)
{
    size_t n_beats = 0;
    struct beat *beats NSM_CLEANUP(nsm_freep) = list_beats(&backend->claims, &n_beats);
    if (n_beats == 0)
        return;
    struct nsm_context *ctx NSM_CLEANUP(nsm_context_freep) = nsm_context_new(NULL);
    nsm_context_set_deadline(ctx, nsm_now_ns() + (is_ending ? FAREWELL_NS : TRUST_NS));
    struct nsm_redis_loan loan NSM_CLEANUP(nsm_redis_loan_return) = {.backend = backend};
    struct nsm_error *error = nsm_redis_take(backend, ctx, &loan.conn);
    if (!error)
        error = send_beats(backend, loan.conn, ctx, beats, n_beats);
    nsm_error_ignore(error);
}

static void claim_free(struct nsm_redis_claim *claim)
{
    free(claim->member);
    free(claim);
}

/* Those that nobody uses, and that are given back. */
static void sweep(struct nsm_redis_claims *claims)
{
    pthread_mutex_lock(&claims->mutex);
    for (struct nsm_redis_claim **at = &claims->first; *at;) {
        struct nsm_redis_claim *const claim = *at;
        const bool is_over = claim->is_dropped && claim->n_users == 0 &&
                             (claim->valid_until_ns == 0 || claim->is_forbidden);
        if (is_over) {
            *at = claim->next;
            claim_free(claim);
        } else {
            at = &claim->next;
        }
    }
    pthread_mutex_unlock(&claims->mutex);
}

static bool wait_for_beat(struct nsm_redis_claims *claims)
{
    const int64_t at_ns = nsm_now_ns() + BEAT_NS;
    const struct timespec until = {.tv_sec = at_ns / NSM_NS_PER_S, .tv_nsec = at_ns % NSM_NS_PER_S};
    pthread_mutex_lock(&claims->mutex);
    while (!claims->is_ending && nsm_now_ns() < at_ns)
        (void)pthread_cond_clockwait(&claims->changed, &claims->mutex, CLOCK_MONOTONIC, &until);
    const bool is_ending = claims->is_ending;
    pthread_mutex_unlock(&claims->mutex);
    return is_ending;
}

static void *beat_on(void *arg)
{
    struct nsm_redis_backend *const backend = arg;
    bool is_ending = false;
    while (!is_ending) {
        is_ending = wait_for_beat(&backend->claims);
        beat_all(backend, is_ending);
        sweep(&backend->claims);
    }
    return NULL;
}

/* ---- the operations ---- */

void nsm_redis_claims_init(struct nsm_redis_backend *backend)
{
    pthread_mutex_init(&backend->claims.mutex, NULL);
    pthread_cond_init(&backend->claims.changed, NULL);
}

void nsm_redis_claims_close(struct nsm_redis_backend *backend)
{
    struct nsm_redis_claims *const claims = &backend->claims;
    pthread_mutex_lock(&claims->mutex);
    claims->is_ending = true;
    pthread_cond_broadcast(&claims->changed);
    pthread_mutex_unlock(&claims->mutex);
    if (claims->has_thread)
        (void)pthread_join(claims->thread, NULL);
    while (claims->first) {
        struct nsm_redis_claim *const claim = claims->first;
        claims->first = claim->next;
        claim_free(claim);
    }
    pthread_cond_destroy(&claims->changed);
    pthread_mutex_destroy(&claims->mutex);
}

/* With the mutex held. */
static struct nsm_redis_claim *find(const struct nsm_redis_claims *claims, struct nsm_str member)
{
    struct nsm_redis_claim *claim = claims->first;
    while (claim && !nsm_str_equals(member_of(claim), member))
        claim = claim->next;
    return claim;
}

/* With the mutex held. */
static struct nsm_error *need_thread(struct nsm_redis_backend *backend)
{
    struct nsm_redis_claims *const claims = &backend->claims;
    if (claims->has_thread)
        return NULL;
    errno = pthread_create(&claims->thread, NULL, beat_on, backend);
    if (errno != 0)
        return nsm_error_new(NSM_E_IO, "start a thread: %m");
    claims->has_thread = true;
    return NULL;
}

struct nsm_error *nsm_redis_claim(const struct nsm_destination *destination,
                                  struct nsm_context *ctx, struct nsm_redis_claim **ret)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(destination->backend);
    struct nsm_redis_claims *const claims = &backend->claims;
    struct nsm_buf member NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    write_member(destination, &member);
    NSM_TRY(nsm_buf_error(&member));
    pthread_mutex_lock(&claims->mutex);
    struct nsm_error *error = need_thread(backend);
    struct nsm_redis_claim *claim = error ? NULL : find(claims, nsm_buf_view(&member));
    if (!error && !claim) {
        claim = nsm_xcalloc(1, sizeof(*claim));
        claim->member_len = member.len;
        claim->member = nsm_buf_detach(&member);
        claim->next = claims->first;
        claims->first = claim;
    }
    if (claim) {
        claim->n_users++;
        claim->is_dropped = false;
    }
    pthread_mutex_unlock(&claims->mutex);
    if (!error)
        error = nsm_redis_claim_hold(backend, claim, ctx);
    if (error)
        nsm_redis_claim_leave(backend, claim);
    else
        *ret = claim;
    return error;
}

struct nsm_error *nsm_redis_claim_hold(struct nsm_redis_backend *backend,
                                       struct nsm_redis_claim *claim, struct nsm_context *ctx)
{
    pthread_mutex_lock(&backend->claims.mutex);
    const bool is_held = claim->is_forbidden || nsm_now_ns() < claim->valid_until_ns;
    const bool is_pushed_out = claim->is_pushed_out;
    pthread_mutex_unlock(&backend->claims.mutex);
    if (is_pushed_out)
        return pushed_out_error();
    return is_held ? NULL : take(backend, claim, ctx);
}

void nsm_redis_claim_leave(struct nsm_redis_backend *backend, struct nsm_redis_claim *claim)
{
    if (!claim)
        return;
    pthread_mutex_lock(&backend->claims.mutex);
    claim->n_users--;
    pthread_mutex_unlock(&backend->claims.mutex);
}

void nsm_redis_claim_drop(const struct nsm_destination *destination, struct nsm_context *ctx)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(destination->backend);
    struct nsm_redis_claims *const claims = &backend->claims;
    struct nsm_buf member NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    write_member(destination, &member);
    pthread_mutex_lock(&claims->mutex);
    struct nsm_redis_claim *const claim = find(claims, nsm_buf_view(&member));
    const bool stands = claim && claim->valid_until_ns != 0;
    if (claim)
        claim->is_dropped = true;
    pthread_mutex_unlock(&claims->mutex);
    if (!stands)
        return;
    struct nsm_redis_loan loan NSM_CLEANUP(nsm_redis_loan_return) = {.backend = backend};
    struct nsm_error *error = nsm_redis_take(backend, ctx, &loan.conn);
    if (!error) {
        queue_remove(loan.conn, nsm_buf_view(&member));
        struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
        error = settle(loan.conn, ctx, &arena, NULL);
    }
    nsm_error_ignore(error); /* then the thread does it */
}
