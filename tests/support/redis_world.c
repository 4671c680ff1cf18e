/* What the tests of the adapter `redis` share. */
#include "tests/support/redis_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"

const char *const redis_world_args[] = {"--enable-debug-command", "yes", NULL};

int redis_world_start(void **state)
{
    struct redis_world *const world = nsm_xcalloc(1, sizeof(*world));
    redis_server_start(&world->a, 0, redis_world_args);
    redis_server_start(&world->b, 0, redis_world_args);
    snprintf(world->from_url, sizeof(world->from_url), "redis://127.0.0.1:%u/0", world->a.port);
    snprintf(world->to_url, sizeof(world->to_url), "redis://127.0.0.1:%u/0", world->b.port);
    *state = world;
    return 0;
}

int redis_world_stop(void **state)
{
    struct redis_world *const world = *state;
    redis_server_stop(&world->a);
    redis_server_stop(&world->b);
    free(world);
    return 0;
}

static void restart(struct redis_server *server)
{
    redis_server_kill(server);
    redis_server_revive(server);
}

/* Each test finds two empty servers as they start, and a folder of its own. */
int redis_world_set_up(void **state)
{
    struct redis_world *const world = *state;
    if (world->is_dirty) {
        restart(&world->a);
        restart(&world->b);
    }
    world->is_dirty = false;
    world->from_client = redis_server_client(&world->a);
    world->to_client = redis_server_client(&world->b);
    redis_do(world->from_client, "FLUSHALL");
    redis_do(world->to_client, "FLUSHALL");
    snprintf(world->work_dir, sizeof(world->work_dir), "%s/XXXXXX", world->a.dir);
    assert_non_null(mkdtemp(world->work_dir));
    world->from = drive_open(world->work_dir, (const char *const[]){"url", world->from_url, NULL});
    world->to = drive_open(world->work_dir, (const char *const[]){"url", world->to_url, NULL});
    world->ctx = nsm_context_new(NULL);
    return 0;
}

int redis_world_tear_down(void **state)
{
    struct redis_world *const world = *state;
    drive_close(world->from);
    drive_close(world->to);
    nsm_context_free(world->ctx);
    redisFree(world->from_client);
    redisFree(world->to_client);
    return 0;
}

/* For tests that change how a server runs. */
void redis_world_set_dirty(void **state)
{
    ((struct redis_world *)*state)->is_dirty = true;
}

void run_drive(struct drive *drive, struct nsm_context *ctx)
{
    struct nsm_error *const error = drive_run(drive, ctx);
    if (error) {
        char *const text = nsm_error_text(error);
        nsm_error_free(error);
        fail_msg("%s", text);
    }
}

void expect_error(struct nsm_error *error, enum nsm_code code, const char *part)
{
    if (!error)
        fail_msg("no error, expected %s", part);
    char *const text = nsm_error_text(error);
    if (nsm_error_code(error) != code || !strstr(text, part))
        fail_msg("expected %s: ...%s..., got %s: %s", nsm_code_name(code), part,
                 nsm_code_name(nsm_error_code(error)), text);
    free(text);
    nsm_error_free(error);
}

/* A key's type, expiry and digest of its value, as text; "" when there is no such key. */
static void describe(redisContext *client, const char *key, size_t len, char *out, size_t size)
{
    redisReply *const type = redisCommand(client, "TYPE %b", key, len);
    redisReply *const expiry = redisCommand(client, "PEXPIRETIME %b", key, len);
    redisReply *const digest = redisCommand(client, "DEBUG DIGEST-VALUE %b", key, len);
    assert_int_equal(digest->type, REDIS_REPLY_ARRAY);
    snprintf(out, size, "%s %lld %s", type->str, expiry->integer, digest->element[0]->str);
    freeReplyObject(type);
    freeReplyObject(expiry);
    freeReplyObject(digest);
}

/* Every key of `from` that begins with `from_prefix` stands in `to` under `to_prefix`, alike, and
 * nothing else does. */
void expect_same(const struct redis_world *world, const char *from_prefix, const char *to_prefix)
{
    redisReply *const keys = redisCommand(world->from_client, "KEYS %s*", from_prefix);
    redisReply *const others = redisCommand(world->to_client, "KEYS %s*", to_prefix);
    assert_int_equal(keys->elements, others->elements);
    for (size_t index = 0; index < keys->elements; index++) {
        const redisReply *const key = keys->element[index];
        char want[256];
        char got[256];
        describe(world->from_client, key->str, key->len, want, sizeof(want));
        struct nsm_buf other NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_buf_append_cstr(&other, to_prefix);
        nsm_buf_append(&other, key->str + strlen(from_prefix), key->len - strlen(from_prefix));
        describe(world->to_client, other.ptr, other.len, got, sizeof(got));
        if (strcmp(want, got) != 0)
            fail_msg("key %s: %s, expected %s", key->str, got, want);
    }
    freeReplyObject(keys);
    freeReplyObject(others);
}

/* Both servers hold the same, by the digest of all that they have. */
void expect_equal_servers(const struct redis_world *world)
{
    redisReply *const from = redisCommand(world->from_client, "DEBUG DIGEST");
    redisReply *const to = redisCommand(world->to_client, "DEBUG DIGEST");
    assert_string_equal(from->str, to->str);
    freeReplyObject(from);
    freeReplyObject(to);
}

/* Some of every type, with binary keys and values, expiries to the millisecond. */
void fill_all_types(redisContext *client)
{
    redis_do(client, "SET p:string value");
    redis_do(client, "SET p:empty %b", "", (size_t)0);
    redis_do(client, "SET p:binary %b", "\0\r\n\xff*3", (size_t)6);
    redis_do(client, "SET %b x", "p:\0\r\n\xff key", (size_t)9);
    redis_do(client, "SET p:expiring v PXAT %lld", (long long)FAR_MS);
    redis_do(client, "SET p:int 12345678901234567");
    redis_do(client, "HSET p:hash f1 v1 f2 %b %b v3", "\0", (size_t)1, "\xfe\0", (size_t)2);
    redis_do(client, "PEXPIREAT p:hash %lld", (long long)FAR_MS + 7);
    redis_do(client, "RPUSH p:list a b a %b", "\0c", (size_t)2);
    redis_do(client, "SADD p:set a b c");
    redis_do(client, "SADD p:intset 1 2 3");
    redis_do(client, "ZADD p:zset 1.1 a inf b -inf c 3 d -0.1 e 1e300 f");
    redis_do(client, "XADD p:stream 5-1 f v g w");
    redis_do(client, "XADD p:stream 5-2 f v");
    redis_do(client, "XADD p:stream 6-0 only one");
    redis_do(client, "XDEL p:stream 5-2");
    redis_do(client, "XADD p:emptied 9-9 f v");
    redis_do(client, "XDEL p:emptied 9-9");
    redis_do(client, "SET other:key not-ours");
    redis_do(client, "DEBUG POPULATE 500 p:many 20");
}

void fails_to_check(const struct redis_world *world, const char *const *pairs, enum nsm_code code,
                    const char *part)
{
    struct nsm_backend *const backend = drive_open(world->work_dir, pairs);
    struct nsm_health health = {0};
    expect_error(backend->adapter->check(backend, world->ctx, &health), code, part);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    drive_close(backend);
}

void passes_check(const struct redis_world *world, const char *const *pairs, const char *part)
{
    struct nsm_backend *const backend = drive_open(world->work_dir, pairs);
    struct nsm_health health = {0};
    struct nsm_error *const error = backend->adapter->check(backend, world->ctx, &health);
    if (error)
        fail_msg("%s", nsm_error_text(error));
    assert_true(health.latency_ns > 0);
    assert_true(health.clock_offset_ms > -1000 && health.clock_offset_ms < 1000);
    assert_non_null(strstr(health.version, "Redis "));
    if (!strstr(health.details, part))
        fail_msg("%s, expected ...%s...", health.details, part);
    nsm_findings_release(&health.findings);
    nsm_arena_release(&health.arena);
    drive_close(backend);
}
