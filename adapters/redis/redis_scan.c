/* SCAN over a database: the next page is asked for before this one is worked on. */
#include "adapters/redis/redis_router.h"
#include "adapters/redis/redis_survey.h"

#include <xxhash.h>

#define KEYS_PER_PAGE 1000

static struct nsm_error *ask(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                             struct nsm_str position, struct nsm_str match)
{
    nsm_redis_begin(conn, match.len ? 6 : 4);
    nsm_redis_arg_cstr(conn, "SCAN");
    nsm_redis_arg(conn, position);
    if (match.len) {
        nsm_redis_arg_cstr(conn, "MATCH");
        nsm_redis_arg(conn, match);
    }
    nsm_redis_arg_cstr(conn, "COUNT");
    nsm_redis_arg_i64(conn, KEYS_PER_PAGE);
    return nsm_redis_flush(conn, ctx);
}

static bool is_page(const struct nsm_redis_reply *reply)
{
    return reply->type == NSM_REDIS_ARRAY && reply->n_elements == 2 &&
           reply->elements[0].type == NSM_REDIS_STRING &&
           reply->elements[1].type == NSM_REDIS_ARRAY;
}

static struct nsm_error *receive_page(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                      struct nsm_arena *arena, const struct nsm_redis_reply **ret)
{
    NSM_TRY(nsm_redis_receive(conn, ctx, arena, ret));
    return is_page(*ret) ? NULL : nsm_redis_reply_error(*ret, "SCAN", (struct nsm_str){0});
}

static struct nsm_error *give_out(const struct nsm_redis_reply *keys, nsm_redis_key_fn *fn,
                                  void *arg)
{
    for (size_t index = 0; index < keys->n_elements; index++) {
        const struct nsm_redis_reply *const key = &keys->elements[index];
        if (key->type != NSM_REDIS_STRING)
            return nsm_redis_reply_error(key, "SCAN", (struct nsm_str){0});
        if (!nsm_str_starts_with(key->str, NSM_STR_LIT(NSM_REDIS_TEMP_PREFIX)))
            NSM_TRY(fn(arg, key->str));
    }
    return NULL;
}

static struct nsm_error *scan_one(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                  struct nsm_str match, nsm_redis_key_fn *fn, void *arg)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    NSM_TRY(ask(conn, ctx, NSM_STR_LIT("0"), match));
    bool is_end = false;
    while (!is_end) {
        nsm_arena_clear(&arena);
        const struct nsm_redis_reply *page;
        NSM_TRY(receive_page(conn, ctx, &arena, &page));
        const struct nsm_str position = page->elements[0].str;
        is_end = nsm_str_equals(position, NSM_STR_LIT("0"));
        if (!is_end)
            NSM_TRY(ask(conn, ctx, position, match));
        NSM_TRY(give_out(&page->elements[1], fn, arg));
    }
    return NULL;
}

/* ---- a Cluster ---- */

/* What the masters say of their own slots. */
struct holdings {
    uint64_t hash;
    bool are_moving;
};

/* The line of CLUSTER NODES about the server itself: from its ninth word on, "0-5460 7000
 * [93->-id]". */
static struct nsm_str own_slots(struct nsm_str nodes)
{
    const char *const mark = nodes.len ? memmem(nodes.ptr, nodes.len, " myself,", 8) : NULL;
    if (!mark)
        return (struct nsm_str){0};
    struct nsm_str line = nsm_str_skip(nodes, (size_t)(mark - nodes.ptr) + 1);
    const char *const end = memchr(line.ptr, '\n', line.len);
    line.len = end ? (size_t)(end - line.ptr) : line.len;
    for (int n_words = 0; n_words < 6; n_words++) {
        const char *const space = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
        if (!space)
            return (struct nsm_str){0};
        line = nsm_str_skip(line, (size_t)(space - line.ptr) + 1);
    }
    return line;
}

static struct nsm_error *ask_holdings(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                      struct holdings *ret)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct holdings holdings = {0};
    for (size_t index = 0; index < nsm_redis_n_masters(conn); index++) {
        struct nsm_redis_conn *const master = nsm_redis_master(conn, index);
        const struct nsm_redis_reply *reply;
        NSM_REDIS_COMMAND(master, "CLUSTER", NSM_STR_LIT("NODES"));
        NSM_TRY(nsm_redis_call(master, ctx, &arena, "CLUSTER NODES", &reply));
        const struct nsm_str slots = own_slots(reply->str);
        holdings.hash = XXH3_64bits_withSeed(slots.ptr, slots.len, holdings.hash);
        holdings.are_moving |= slots.len && memchr(slots.ptr, '[', slots.len);
    }
    *ret = holdings;
    return NULL;
}

static struct nsm_error *scan_all(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                  struct nsm_str match, nsm_redis_key_fn *fn, void *arg)
{
    for (size_t index = 0; index < nsm_redis_n_masters(conn); index++)
        NSM_TRY(scan_one(nsm_redis_master(conn, index), ctx, match, fn, arg));
    return NULL;
}

/* A key that moves behind our back, from a master that we have not read yet to one that we have,
 * is found by a second pass: there it stands by then. */
struct nsm_error *nsm_redis_scan(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                 struct nsm_str match, nsm_redis_key_fn *fn, void *arg)
{
    if (!conn->router)
        return scan_one(conn, ctx, match, fn, arg);
    struct holdings before;
    struct holdings after;
    NSM_TRY(ask_holdings(conn, ctx, &before));
    NSM_TRY(scan_all(conn, ctx, match, fn, arg));
    NSM_TRY(ask_holdings(conn, ctx, &after));
    if (before.hash == after.hash && !before.are_moving && !after.are_moving)
        return NULL;
    NSM_TRY(nsm_redis_router_renew(conn, ctx));
    return scan_all(conn, ctx, match, fn, arg);
}
