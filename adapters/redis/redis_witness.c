/*
 * What tells that a server may have lost writes that it had acknowledged: another process or another history than before (a restart,
 * a failover, a time as another's replica), or keys that it evicted. One line for each master, sorted: a Cluster tells its masters in
 * any order.
 */
#include "adapters/redis/redis_witness.h"

#include "adapters/redis/redis_backend.h"
#include "adapters/redis/redis_router.h"

#include <stdlib.h>

/* Of an id of 40 hexadecimal digits: enough to tell two apart, and to be read. */
#define ID_DIGITS 10

static struct nsm_str short_id(struct nsm_str id)
{
    return (struct nsm_str){id.ptr, id.len < ID_DIGITS ? id.len : ID_DIGITS};
}

static struct nsm_error *ask_master(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                    struct nsm_arena *arena, const char **ret)
{
    static const char *const sections[] = {"server", "replication", "stats"};
    struct nsm_str infos[NSM_COUNT_OF(sections)];
    for (size_t at = 0; at < NSM_COUNT_OF(sections); at++)
        NSM_REDIS_COMMAND(conn, "INFO", nsm_str_of(sections[at]));
    NSM_TRY(nsm_redis_flush(conn, ctx));
    for (size_t at = 0; at < NSM_COUNT_OF(sections); at++) {
        const struct nsm_redis_reply *reply;
        NSM_TRY(nsm_redis_receive(conn, ctx, arena, &reply));
        if (reply->type != NSM_REDIS_STRING)
            return nsm_redis_reply_error(reply, "INFO", (struct nsm_str){0});
        infos[at] = reply->str;
    }
    const struct nsm_str run = short_id(nsm_redis_info_field(infos[0], "run_id"));
    const struct nsm_str history = short_id(nsm_redis_info_field(infos[1], "master_replid"));
    const struct nsm_str evicted = nsm_redis_info_field(infos[2], "evicted_keys");
    *ret = nsm_arena_printf(arena, "process %.*s, history %.*s, %.*s keys evicted",
                            NSM_STR_ARG(run), NSM_STR_ARG(history), NSM_STR_ARG(evicted));
    return NULL;
}

static int by_text(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

struct nsm_error *nsm_redis_witness(struct nsm_backend *base, struct nsm_context *ctx,
                                    struct nsm_buf *text)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(base);
    struct nsm_redis_loan loan NSM_CLEANUP(nsm_redis_loan_return) = {.backend = backend};
    NSM_TRY(nsm_redis_take(backend, ctx, &loan.conn));
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const size_t n_masters = nsm_redis_n_masters(loan.conn);
    const char **const lines = nsm_arena_alloc(&arena, n_masters * sizeof(*lines));
    for (size_t at = 0; at < n_masters; at++)
        NSM_TRY(ask_master(nsm_redis_master(loan.conn, at), ctx, &arena, &lines[at]));
    qsort(lines, n_masters, sizeof(*lines), by_text);
    for (size_t at = 0; at < n_masters; at++)
        nsm_buf_printf(text, "%s%s", at ? "; " : "", lines[at]);
    return NULL;
}
