/* SCAN over a database: the next page is asked for before this one is worked on. */
#include "adapters/redis/redis_survey.h"

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

struct nsm_error *nsm_redis_scan(struct nsm_redis_conn *conn, struct nsm_context *ctx,
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
