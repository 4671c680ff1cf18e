/* The adapter `redis` under the conformance suite, on a server of its own. */
#include "adapters/redis/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "tests/support/conformance.h"
#include "tests/support/redis_server.h"

struct place {
    struct redis_server server;
    char *url;
};

/* The server is started by the first test, so that its failure is a test's. */
static void fresh(struct conformance_fixture *fixture)
{
    struct place *const place = fixture->state;
    if (!place->url) {
        redis_server_start(&place->server, 0, NULL);
        place->url = nsm_xasprintf("redis://127.0.0.1:%u/0", place->server.port);
        conformance_set(fixture->backend, "url", place->url);
    }
    redisContext *const client = redis_server_client(&place->server);
    (void)redis_do(client, "FLUSHALL");
    redisFree(client);
}

int main(void)
{
    struct place place = {0};
    struct conformance_fixture fixture = {
        .name = "redis",
        .adapter = &nsm_adapter_redis,
        .source = {"prefix", "to:"},
        .destination = {"prefix", "to:"},
        .model = NSM_CAP_KEYS,
        .replaces_by_key = true,
        .fresh = fresh,
        .state = &place,
    };
    const int n_failed = conformance_run(&fixture);
    if (place.url)
        redis_server_stop(&place.server);
    free(place.url);
    return n_failed;
}
