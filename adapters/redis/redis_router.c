/* Commands are taken apart as redis_conn.c has encoded them: only their lengths and the names of a
 * few have to be looked at. */
#include "adapters/redis/redis_router.h"

#include <assert.h>

#include "adapters/redis/redis_reach.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

/* From server to server at most so many times: more is a Cluster that contradicts itself. */
#define MAX_HOPS 16
/* How long a server is left alone that has answered TRYAGAIN. */
#define PAUSE_NS (100 * NSM_NS_PER_MS)
/* All that is sent and not answered, kept to be sent again: as much as a connection queues. */
#define MAX_LOG_BYTES  ((size_t)2 << 30)
#define KEEP_LOG_BYTES ((size_t)1 << 20)

/* A server that commands went to. Units name links by index, so they are never taken away. */
struct link {
    char *host;
    uint16_t port;
    struct nsm_redis_conn *conn;
    struct nsm_redis_conn *side; /* for detours: on it no reply is outstanding */
};

struct unit {
    size_t len; /* of its bytes in the log */
    uint32_t n_commands;
    uint32_t link;
};

struct nsm_redis_router {
    struct nsm_redis_backend *backend;
    struct nsm_redis_topology *topology;
    struct nsm_redis_topology *next; /* takes its place once no reply is outstanding */
    struct link *links;
    size_t n_links, cap_links;
    uint32_t *link_of_master;
    struct unit *units; /* from `first` on: those whose replies were not taken */
    size_t first, n_units, cap_units;
    struct nsm_buf log; /* their bytes, from log_pos on */
    size_t log_pos;
    /* Of the first unit when it has several replies: what was not handed out. */
    struct nsm_arena arena;
    const struct nsm_redis_reply **replies;
    size_t n_replies, n_given;
    uint64_t n_detours;
};

/* ---- links ---- */

static uint32_t link_to(struct nsm_redis_router *router, const char *host, uint16_t port)
{
    for (size_t index = 0; index < router->n_links; index++) {
        if (router->links[index].port == port && strcmp(router->links[index].host, host) == 0)
            return (uint32_t)index;
    }
    NSM_GROW(router->links, router->n_links, router->cap_links);
    router->links[router->n_links] = (struct link){.host = nsm_xstrdup(host), .port = port};
    return (uint32_t)router->n_links++;
}

static struct nsm_error *connect_link(struct nsm_redis_router *router, struct nsm_context *ctx,
                                      const struct link *link, struct nsm_redis_conn **at)
{
    if (*at)
        return NULL;
    return nsm_redis_connect(router->backend, ctx,
                             &(const struct nsm_redis_node){.host = link->host, .port = link->port},
                             at);
}

/* Takes over `topology`, which is the router's from then on. */
static void set_topology(struct nsm_redis_router *router, struct nsm_redis_topology *topology)
{
    nsm_redis_topology_unref(router->topology);
    router->topology = topology;
    free(router->link_of_master);
    router->link_of_master = nsm_xcalloc(topology->n_masters, sizeof(uint32_t));
    for (size_t index = 0; index < topology->n_masters; index++)
        router->link_of_master[index] =
            link_to(router, topology->nodes[index].host, topology->nodes[index].port);
}

static struct nsm_error *connect_masters(struct nsm_redis_router *router, struct nsm_context *ctx)
{
    for (size_t index = 0; index < router->topology->n_masters; index++) {
        struct link *const link = &router->links[router->link_of_master[index]];
        NSM_TRY(connect_link(router, ctx, link, &link->conn));
    }
    return NULL;
}

struct nsm_error *nsm_redis_router_open(struct nsm_redis_backend *backend, struct nsm_context *ctx,
                                        struct nsm_redis_topology *topology,
                                        struct nsm_redis_conn **ret)
{
    struct nsm_redis_conn *conn NSM_CLEANUP(nsm_redis_conn_freep) = nsm_redis_conn_new();
    struct nsm_redis_router *const router = nsm_xcalloc(1, sizeof(*router));
    conn->router = router;
    router->backend = backend;
    router->log = NSM_BUF_INIT(MAX_LOG_BYTES);
    set_topology(router, nsm_redis_topology_ref(topology));
    NSM_TRY(connect_masters(router, ctx));
    *ret = NSM_STEAL(conn);
    return NULL;
}

void nsm_redis_router_free(struct nsm_redis_router *router)
{
    if (!router)
        return;
    for (size_t index = 0; index < router->n_links; index++) {
        nsm_redis_conn_free(router->links[index].conn);
        nsm_redis_conn_free(router->links[index].side);
        free(router->links[index].host);
    }
    free(router->links);
    free(router->link_of_master);
    free(router->units);
    free(router->replies);
    nsm_buf_release(&router->log);
    nsm_arena_release(&router->arena);
    nsm_redis_topology_unref(router->topology);
    nsm_redis_topology_unref(router->next);
    free(router);
}

struct nsm_error *nsm_redis_router_renew(struct nsm_redis_conn *conn, struct nsm_context *ctx)
{
    struct nsm_redis_router *const router = conn->router;
    assert(router->n_units == 0);
    struct nsm_redis_topology *topology;
    const struct link *const link = &router->links[router->link_of_master[0]];
    NSM_TRY(nsm_redis_topology_ask(link->conn, ctx, link->host, &topology));
    nsm_redis_topology_set(router->backend, topology);
    nsm_redis_topology_unref(NSM_STEAL(router->next));
    set_topology(router, topology);
    router->n_detours++;
    return connect_masters(router, ctx);
}

bool nsm_redis_router_is_idle(const struct nsm_redis_router *router)
{
    if (router->n_units || router->next ||
        !nsm_redis_topology_is_current(router->backend, router->topology))
        return false;
    for (size_t index = 0; index < router->n_links; index++) {
        const struct link *const link = &router->links[index];
        if ((link->conn && !nsm_redis_conn_is_idle(link->conn)) ||
            (link->side && !nsm_redis_conn_is_idle(link->side)))
            return false;
    }
    return true;
}

size_t nsm_redis_n_masters(const struct nsm_redis_conn *conn)
{
    return conn->router ? conn->router->topology->n_masters : 1;
}

struct nsm_redis_conn *nsm_redis_master(struct nsm_redis_conn *conn, size_t index)
{
    const struct nsm_redis_router *const router = conn->router;
    return router ? router->links[router->link_of_master[index]].conn : conn;
}

const char *nsm_redis_cluster_id(const struct nsm_redis_conn *conn)
{
    return conn->router ? conn->router->topology->id : NULL;
}

bool nsm_redis_is_stale(const struct nsm_redis_conn *conn)
{
    return conn->router && conn->router->next;
}

uint64_t nsm_redis_n_detours(const struct nsm_redis_conn *conn)
{
    return conn->router ? conn->router->n_detours : 0;
}

/* ---- taking commands apart ---- */

struct command {
    struct nsm_str name, key;
    bool has_key;
};

/* "*3\r\n" or "$12\r\n": the number; *at is then behind it. */
static size_t take_number(const char **at)
{
    size_t number = 0;
    const char *p = *at + 1;
    for (; *p != '\r'; p++)
        number = number * 10 + (size_t)(*p - '0');
    *at = p + 2;
    return number;
}

static struct nsm_str take_argument(const char **at)
{
    const size_t len = take_number(at);
    const struct nsm_str argument = {.ptr = *at, .len = len};
    *at += len + 2;
    return argument;
}

/* Which argument is the key: 1, or 2 where a word stands before it. 0: none is. */
static size_t key_position(struct nsm_str name, size_t n_args)
{
    static const struct nsm_str keyless[] = {
        NSM_STR_LIT("MULTI"), NSM_STR_LIT("EXEC"), NSM_STR_LIT("TIME"),   NSM_STR_LIT("PING"),
        NSM_STR_LIT("INFO"),  NSM_STR_LIT("SCAN"), NSM_STR_LIT("DBSIZE"),
    };
    static const struct nsm_str worded[] = {
        NSM_STR_LIT("MEMORY"),
        NSM_STR_LIT("XINFO"),
        NSM_STR_LIT("XGROUP"),
        NSM_STR_LIT("OBJECT"),
    };
    for (size_t index = 0; index < NSM_COUNT_OF(keyless); index++) {
        if (nsm_str_equals(name, keyless[index]))
            return 0;
    }
    for (size_t index = 0; index < NSM_COUNT_OF(worded); index++) {
        if (nsm_str_equals(name, worded[index]))
            return n_args > 2 ? 2 : 0;
    }
    return n_args > 1 ? 1 : 0;
}

static struct command take_command(const char **at)
{
    struct command command = {0};
    const size_t n_args = take_number(at);
    command.name = take_argument(at);
    const size_t position = key_position(command.name, n_args);
    for (size_t index = 1; index < n_args; index++) {
        const struct nsm_str argument = take_argument(at);
        if (index == position) {
            command.key = argument;
            command.has_key = true;
        }
    }
    return command;
}

/* The unit that begins at *at, which is then behind it. */
static struct unit take_unit(const struct nsm_redis_router *router, const char **at,
                             const char *end)
{
    const char *const begin = *at;
    struct unit unit = {.link = router->link_of_master[0]};
    bool has_key = false;
    bool is_transaction = false;
    bool is_whole = false;
    while (!is_whole && *at < end) {
        const struct command command = take_command(at);
        unit.n_commands++;
        if (command.has_key && !has_key) {
            has_key = true;
            unit.link =
                router->link_of_master[router->topology->owner[nsm_redis_slot_of(command.key)]];
        }
        is_transaction |= nsm_str_equals(command.name, NSM_STR_LIT("MULTI"));
        is_whole = is_transaction ? nsm_str_equals(command.name, NSM_STR_LIT("EXEC")) : has_key;
    }
    unit.len = (size_t)(*at - begin);
    return unit;
}

/* ---- sending ---- */

static void append_unit(struct nsm_redis_conn *conn, struct nsm_str bytes, uint32_t n_commands)
{
    nsm_buf_append_str(&conn->out, bytes);
    conn->n_pending += n_commands;
}

static struct nsm_error *dispatch(struct nsm_redis_router *router, struct nsm_context *ctx,
                                  struct nsm_str commands)
{
    const char *at = commands.ptr;
    const char *const end = commands.ptr + commands.len;
    while (at < end) {
        const char *const begin = at;
        const struct unit unit = take_unit(router, &at, end);
        struct link *const link = &router->links[unit.link];
        NSM_TRY(connect_link(router, ctx, link, &link->conn));
        const struct nsm_str bytes = {.ptr = begin, .len = unit.len};
        append_unit(link->conn, bytes, unit.n_commands);
        nsm_buf_append_str(&router->log, bytes);
        const size_t n_used = router->first + router->n_units;
        NSM_GROW(router->units, n_used, router->cap_units);
        router->units[n_used] = unit;
        router->n_units++;
    }
    return nsm_buf_error(&router->log);
}

static struct nsm_error *send_all(struct nsm_redis_router *router, struct nsm_context *ctx)
{
    for (size_t index = 0; index < router->n_links; index++) {
        struct nsm_redis_conn *const conn = router->links[index].conn;
        if (conn && nsm_redis_unsent(conn))
            NSM_TRY(nsm_redis_flush(conn, ctx));
    }
    return NULL;
}

/* A server that is lost may have been replaced: the next connection asks who has which slots. */
static struct nsm_error *fail(struct nsm_redis_conn *conn, struct nsm_error *error)
{
    conn->is_broken = true;
    nsm_redis_topology_expire(conn->router->backend);
    return error;
}

struct nsm_error *nsm_redis_router_flush(struct nsm_redis_conn *conn, struct nsm_context *ctx)
{
    struct nsm_redis_router *const router = conn->router;
    if (router->next && router->n_units == 0) {
        set_topology(router, NSM_STEAL(router->next));
        router->n_detours++;
    }
    struct nsm_error *error = nsm_buf_error(&conn->out);
    if (!error)
        error = dispatch(router, ctx, nsm_buf_view(&conn->out));
    if (!error)
        error = send_all(router, ctx);
    nsm_buf_clear(&conn->out);
    return error ? fail(conn, error) : NULL;
}

/* ---- detours ---- */

static struct nsm_error *receive_unit(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                      struct nsm_arena *arena, size_t n_replies,
                                      const struct nsm_redis_reply **replies)
{
    for (size_t index = 0; index < n_replies; index++)
        NSM_TRY(nsm_redis_receive(conn, ctx, arena, &replies[index]));
    return NULL;
}

enum detour {
    DETOUR_NONE,
    DETOUR_MOVED,
    DETOUR_ASK,
    DETOUR_LATER,
};

static enum detour detour_of(const struct nsm_redis_reply *reply)
{
    if (reply->type != NSM_REDIS_ERROR)
        return DETOUR_NONE;
    if (nsm_redis_reply_is_error(reply, "MOVED"))
        return DETOUR_MOVED;
    if (nsm_redis_reply_is_error(reply, "ASK"))
        return DETOUR_ASK;
    return nsm_redis_reply_is_error(reply, "TRYAGAIN") ||
                   nsm_redis_reply_is_error(reply, "CLUSTERDOWN")
               ? DETOUR_LATER
               : DETOUR_NONE;
}

/* The reply that makes the whole unit go again; NULL: it was done. */
static const struct nsm_redis_reply *find_detour(const struct nsm_redis_reply *const *replies,
                                                 size_t n_replies)
{
    for (size_t index = 0; index < n_replies; index++) {
        if (detour_of(replies[index]) != DETOUR_NONE)
            return replies[index];
    }
    return NULL;
}

/* "MOVED 3999 127.0.0.1:6381"; a host that is left out is that of `from`. */
static struct nsm_error *find_target(struct nsm_redis_router *router,
                                     const struct nsm_redis_reply *reply, uint32_t from,
                                     uint32_t *ret)
{
    const char *const space = memrchr(reply->str.ptr, ' ', reply->str.len);
    const struct nsm_str where = nsm_str_skip(reply->str, (size_t)(space - reply->str.ptr) + 1);
    const char *const colon = where.len ? memrchr(where.ptr, ':', where.len) : NULL;
    uint64_t port;
    if (!colon || !nsm_parse_u64(nsm_str_skip(where, (size_t)(colon - where.ptr) + 1), &port) ||
        port == 0 || port > UINT16_MAX)
        return nsm_redis_reply_error(reply, "find the server of a slot", (struct nsm_str){0});
    const struct nsm_str host = {.ptr = where.ptr, .len = (size_t)(colon - where.ptr)};
    char *name NSM_CLEANUP(nsm_freep) =
        host.len ? nsm_xstrndup(host) : nsm_xstrdup(router->links[from].host);
    *ret = link_to(router, name, (uint16_t)port);
    return NULL;
}

/* Sends the first unit to `target`, alone. */
static struct nsm_error *send_aside(struct nsm_redis_router *router, struct nsm_context *ctx,
                                    uint32_t target, bool is_asking)
{
    struct link *const link = &router->links[target];
    NSM_TRY(connect_link(router, ctx, link, &link->side));
    const struct unit *const unit = &router->units[router->first];
    if (is_asking)
        NSM_REDIS_COMMAND(link->side, "ASKING", );
    append_unit(link->side,
                (struct nsm_str){.ptr = router->log.ptr + router->log_pos, .len = unit->len},
                unit->n_commands);
    NSM_TRY(nsm_redis_flush(link->side, ctx));
    if (!is_asking)
        return NULL;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply;
    return nsm_redis_receive(link->side, ctx, &arena, &reply);
}

/* Asks a server that was told to have a slot who has all the others. */
static struct nsm_error *look_up_slots(struct nsm_redis_router *router, struct nsm_context *ctx,
                                       uint32_t target)
{
    if (router->next)
        return NULL;
    const struct link *const link = &router->links[target];
    NSM_TRY(nsm_redis_topology_ask(link->side, ctx, link->host, &router->next));
    nsm_redis_topology_set(router->backend, router->next);
    return NULL;
}

/* The first unit's way from server to server. */
struct trip {
    uint32_t target;
    size_t n_hops;
    int64_t end_ns; /* until then it waits for servers that are not ready */
};

/* Where `reply` sends it. */
static struct nsm_error *choose_target(struct nsm_redis_router *router, struct nsm_context *ctx,
                                       const struct nsm_redis_reply *reply, struct trip *trip)
{
    if (detour_of(reply) == DETOUR_LATER) {
        trip->target = router->units[router->first].link;
        return nsm_sleep(ctx, PAUSE_NS);
    }
    if (++trip->n_hops > MAX_HOPS)
        return nsm_error_new(NSM_E_UNAVAILABLE,
                             "the servers of the Cluster send a key to each other");
    return find_target(router, reply, trip->target, &trip->target);
}

/* Sends the first unit to where `reply` says, and takes what comes from there. */
static struct nsm_error *hop(struct nsm_redis_router *router, struct nsm_context *ctx,
                             struct nsm_arena *arena, struct trip *trip,
                             const struct nsm_redis_reply **replies)
{
    const struct unit *const unit = &router->units[router->first];
    const struct nsm_redis_reply *const reply = find_detour(replies, unit->n_commands);
    const enum detour detour = detour_of(reply);
    router->n_detours++;
    NSM_TRY(choose_target(router, ctx, reply, trip));
    NSM_TRY(send_aside(router, ctx, trip->target, detour == DETOUR_ASK));
    NSM_TRY(receive_unit(router->links[trip->target].side, ctx, arena, unit->n_commands, replies));
    return detour == DETOUR_MOVED ? look_up_slots(router, ctx, trip->target) : NULL;
}

/* Sends the first unit to where it is wanted, until it is done or there is no hope: then whoever
 * takes the reply makes an error of it. */
static struct nsm_error *follow(struct nsm_redis_router *router, struct nsm_context *ctx,
                                struct nsm_arena *arena, const struct nsm_redis_reply **replies)
{
    const struct unit *const unit = &router->units[router->first];
    struct trip trip = {.target = unit->link, .end_ns = NSM_NEVER};
    for (;;) {
        const struct nsm_redis_reply *const reply = find_detour(replies, unit->n_commands);
        if (!reply || (detour_of(reply) == DETOUR_LATER && nsm_now_ns() > trip.end_ns))
            return NULL;
        if (trip.end_ns == NSM_NEVER)
            trip.end_ns = nsm_now_ns() + router->backend->timeout_ns;
        NSM_TRY(hop(router, ctx, arena, &trip, replies));
    }
}

/* ---- replies ---- */

static void leave_unit(struct nsm_redis_router *router)
{
    router->log_pos += router->units[router->first].len;
    router->first++;
    router->n_units--;
    router->n_replies = 0;
    if (router->n_units == 0) {
        const bool is_large = router->log.cap > KEEP_LOG_BYTES * 8;
        nsm_buf_clear(&router->log);
        if (is_large) {
            nsm_buf_release(&router->log);
            router->log = NSM_BUF_INIT(MAX_LOG_BYTES);
        }
        router->log_pos = 0;
        router->first = 0;
    } else if (router->log_pos > KEEP_LOG_BYTES && router->log_pos > router->log.len / 2) {
        nsm_buf_consume(&router->log, router->log_pos);
        router->log_pos = 0;
        memmove(router->units, router->units + router->first,
                router->n_units * sizeof(*router->units));
        router->first = 0;
    }
}

static void copy_reply(struct nsm_arena *arena, const struct nsm_redis_reply *from,
                       struct nsm_redis_reply *to)
{
    *to = *from;
    to->str = nsm_arena_copy(arena, from->str);
    if (from->type != NSM_REDIS_ARRAY || from->n_elements == 0)
        return;
    to->elements = nsm_arena_calloc(arena, from->n_elements, sizeof(*to->elements));
    for (size_t index = 0; index < from->n_elements; index++)
        copy_reply(arena, &from->elements[index], &to->elements[index]);
}

/* All replies of the first unit: only together they tell whether it was done. */
static struct nsm_error *take_replies(struct nsm_redis_router *router, struct nsm_context *ctx)
{
    const struct unit *const unit = &router->units[router->first];
    nsm_arena_clear(&router->arena);
    const size_t size = sizeof(*router->replies); /* NOLINT(bugprone-sizeof-expression) */
    router->replies = nsm_xreallocarray(router->replies, unit->n_commands, size);
    NSM_TRY(receive_unit(router->links[unit->link].conn, ctx, &router->arena, unit->n_commands,
                         router->replies));
    NSM_TRY(follow(router, ctx, &router->arena, router->replies));
    router->n_replies = unit->n_commands;
    router->n_given = 0;
    return NULL;
}

static struct nsm_error *receive(struct nsm_redis_router *router, struct nsm_context *ctx,
                                 struct nsm_arena *arena, const struct nsm_redis_reply **ret)
{
    const struct unit *const unit = &router->units[router->first];
    if (unit->n_commands == 1) {
        NSM_TRY(nsm_redis_receive(router->links[unit->link].conn, ctx, arena, ret));
        NSM_TRY(follow(router, ctx, arena, ret));
        leave_unit(router);
        return NULL;
    }
    if (router->n_replies == 0)
        NSM_TRY(take_replies(router, ctx));
    struct nsm_redis_reply *const copy = nsm_arena_alloc(arena, sizeof(*copy));
    copy_reply(arena, router->replies[router->n_given++], copy);
    *ret = copy;
    if (router->n_given == router->n_replies)
        leave_unit(router);
    return NULL;
}

struct nsm_error *nsm_redis_router_receive(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                           struct nsm_arena *arena,
                                           const struct nsm_redis_reply **ret)
{
    assert(conn->router->n_units > 0);
    struct nsm_error *const error = receive(conn->router, ctx, arena, ret);
    return error ? fail(conn, error) : NULL;
}
