/* CLUSTER SLOTS and not CLUSTER SHARDS: every version has it, and it says all that is needed. */
#include "adapters/redis/redis_topology.h"

#include <assert.h>

#include "migrate/base/alloc.h"

#define NO_OWNER UINT16_MAX
/* Far more servers than a Cluster can have. */
#define MAX_NODES ((size_t)16384)

struct nsm_redis_topology *nsm_redis_topology_ref(struct nsm_redis_topology *topology)
{
    atomic_fetch_add(&topology->n_refs, 1);
    return topology;
}

void nsm_redis_topology_unref(struct nsm_redis_topology *topology)
{
    if (!topology || atomic_fetch_sub(&topology->n_refs, 1) > 1)
        return;
    nsm_arena_release(&topology->arena);
    free(topology->nodes);
    free(topology);
}

static struct nsm_error *unexpected(void)
{
    return nsm_error_new(NSM_E_INTERNAL, "CLUSTER SLOTS: the server's answer is not of slots");
}

struct found {
    struct nsm_redis_topology *topology;
    size_t cap_nodes;
    const char *host; /* for servers that don't tell theirs */
};

static bool is_same(const struct nsm_redis_node *node, struct nsm_str host, uint16_t port)
{
    return node->port == port && nsm_str_equals(nsm_str_of(node->host), host);
}

/* A server as [host, port, id, ...]; *ret_node: its index, old or new. */
static struct nsm_error *take_node(struct found *found, const struct nsm_redis_reply *reply,
                                   size_t *ret_node)
{
    struct nsm_redis_topology *const topology = found->topology;
    if (reply->type != NSM_REDIS_ARRAY || reply->n_elements < 3 ||
        reply->elements[1].type != NSM_REDIS_INTEGER || reply->elements[1].integer <= 0 ||
        reply->elements[1].integer > UINT16_MAX || topology->n_nodes >= MAX_NODES)
        return unexpected();
    struct nsm_str host = reply->elements[0].str;
    if (host.len == 0 || nsm_str_equals(host, NSM_STR_LIT("?")))
        host = nsm_str_of(found->host);
    const uint16_t port = (uint16_t)reply->elements[1].integer;
    const struct nsm_str id = reply->elements[2].str;
    if (!topology->id[0] || nsm_str_compare(id, nsm_str_of(topology->id)) < 0)
        snprintf(topology->id, sizeof(topology->id), "%.*s", NSM_STR_ARG(id));
    for (size_t index = 0; index < topology->n_nodes; index++) {
        if (is_same(&topology->nodes[index], host, port)) {
            *ret_node = index;
            return NULL;
        }
    }
    NSM_GROW(topology->nodes, topology->n_nodes, found->cap_nodes);
    topology->nodes[topology->n_nodes] = (struct nsm_redis_node){
        .host = nsm_arena_copy(&topology->arena, host).ptr,
        .port = port,
    };
    *ret_node = topology->n_nodes++;
    return NULL;
}

/* Slots as [first, last, master, replicas...]. */
static struct nsm_error *take_master(struct found *found, const struct nsm_redis_reply *range)
{
    if (range->type != NSM_REDIS_ARRAY || range->n_elements < 3 ||
        range->elements[0].type != NSM_REDIS_INTEGER ||
        range->elements[1].type != NSM_REDIS_INTEGER || range->elements[0].integer < 0 ||
        range->elements[1].integer >= NSM_REDIS_SLOTS)
        return unexpected();
    size_t node = 0;
    NSM_TRY(take_node(found, &range->elements[2], &node));
    for (int64_t slot = range->elements[0].integer; slot <= range->elements[1].integer; slot++)
        found->topology->owner[slot] = (uint16_t)node;
    return NULL;
}

static struct nsm_error *take_slots(struct found *found, const struct nsm_redis_reply *ranges)
{
    for (size_t index = 0; index < ranges->n_elements; index++)
        NSM_TRY(take_master(found, &ranges->elements[index]));
    found->topology->n_masters = found->topology->n_nodes;
    for (size_t index = 0; index < ranges->n_elements; index++) {
        const struct nsm_redis_reply *const range = &ranges->elements[index];
        for (size_t at = 3; at < range->n_elements; at++) {
            size_t node;
            NSM_TRY(take_node(found, &range->elements[at], &node));
        }
    }
    return NULL;
}

/* What no master has can be neither read nor written: to go on would be to lose it. */
static struct nsm_error *check_all_owned(const struct nsm_redis_topology *topology)
{
    for (size_t slot = 0; slot < NSM_REDIS_SLOTS; slot++) {
        if (topology->owner[slot] == NO_OWNER)
            return nsm_error_new(NSM_E_IO,
                                 "slot %zu of the Cluster has no master: redis-cli --cluster check "
                                 "tells more",
                                 slot);
    }
    return NULL;
}

struct nsm_error *nsm_redis_topology_ask(struct nsm_redis_conn *conn, struct nsm_context *ctx,
                                         const char *host, struct nsm_redis_topology **ret)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *ranges;
    NSM_REDIS_COMMAND(conn, "CLUSTER", NSM_STR_LIT("SLOTS"));
    NSM_TRY(nsm_redis_call(conn, ctx, &arena, "CLUSTER SLOTS", &ranges));
    if (ranges->type != NSM_REDIS_ARRAY)
        return unexpected();
    struct nsm_redis_topology *topology NSM_CLEANUP(nsm_redis_topology_unrefp) =
        nsm_xcalloc(1, sizeof(*topology));
    atomic_init(&topology->n_refs, 1);
    for (size_t slot = 0; slot < NSM_REDIS_SLOTS; slot++)
        topology->owner[slot] = NO_OWNER;
    struct found found = {.topology = topology, .host = host};
    NSM_TRY(take_slots(&found, ranges));
    NSM_TRY(check_all_owned(topology));
    *ret = NSM_STEAL(topology);
    return NULL;
}
