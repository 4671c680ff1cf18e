/* Slots are moved by hand, step by step, so that a test can look at what lies between. */
#include "tests/support/redis_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"

#define WAIT_TRIES 600
#define PAUSE_NS   20000000L

static const char *const args[] = {
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1500",
    "--enable-debug-command",
    "yes",
    "--appendonly",
    "no",
    "--repl-diskless-sync-delay",
    "0",
    NULL,
};

static void pause_a_little(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

/* Whether a command's reply has that text in it. */
static bool says(redisContext *client, const char *command, const char *text)
{
    redisReply *const reply = redisCommand(client, command);
    const bool is_so = reply && reply->str && strstr(reply->str, text);
    if (reply)
        freeReplyObject(reply);
    return is_so;
}

/* All six agree, and every replica has its master's data. */
static bool is_settled(const struct redis_cluster *cluster)
{
    for (size_t index = 0; index < CLUSTER_SERVERS; index++) {
        redisContext *const client = cluster->clients[index];
        const bool is_ready = says(client, "INFO replication", "role:master")
                                  ? says(client, "INFO replication", "state=online")
                                  : says(client, "INFO replication", "master_link_status:up");
        if (!is_ready || !says(client, "CLUSTER INFO", "cluster_state:ok") ||
            !says(client, "CLUSTER INFO", "cluster_known_nodes:6"))
            return false;
    }
    return true;
}

void redis_cluster_start(struct redis_cluster *cluster)
{
    char command[512] = "redis-cli --cluster create";
    for (size_t index = 0; index < CLUSTER_SERVERS; index++) {
        redis_server_start(&cluster->servers[index], 0, args);
        cluster->clients[index] = redis_server_client(&cluster->servers[index]);
        const size_t len = strlen(command);
        snprintf(command + len, sizeof(command) - len, " 127.0.0.1:%u",
                 (unsigned)cluster->servers[index].port);
        redisReply *const id = redisCommand(cluster->clients[index], "CLUSTER MYID");
        snprintf(cluster->ids[index], sizeof(cluster->ids[index]), "%s", id->str);
        freeReplyObject(id);
    }
    const size_t len = strlen(command);
    snprintf(command + len, sizeof(command) - len,
             " --cluster-replicas 1 --cluster-yes >%s/create.log 2>&1", cluster->servers[0].dir);
    /* Tests run one thread when they start a server. */
    assert_int_equal(system(command), 0); /* NOLINT(concurrency-mt-unsafe,cert-env33-c) */
    for (int n = 0; !is_settled(cluster); n++) {
        assert_true(n < WAIT_TRIES);
        pause_a_little();
    }
}

void redis_cluster_stop(struct redis_cluster *cluster)
{
    for (size_t index = 0; index < CLUSTER_SERVERS; index++) {
        if (cluster->clients[index])
            redisFree(cluster->clients[index]);
        redis_server_stop(&cluster->servers[index]);
    }
}

bool redis_cluster_is_master(const struct redis_cluster *cluster, size_t server)
{
    return cluster->servers[server].pid > 0 &&
           says(cluster->clients[server], "INFO replication", "role:master");
}

/* Whether what a server says of itself holds the slot. */
static bool has_slot(redisContext *client, const char *id, unsigned slot)
{
    redisReply *const ranges = redisCommand(client, "CLUSTER SLOTS");
    bool is_found = false;
    for (size_t index = 0; index < ranges->elements; index++) {
        const redisReply *const range = ranges->element[index];
        is_found |= range->element[0]->integer <= slot && range->element[1]->integer >= slot &&
                    strcmp(range->element[2]->element[2]->str, id) == 0;
    }
    freeReplyObject(ranges);
    return is_found;
}

size_t redis_cluster_owner(const struct redis_cluster *cluster, unsigned slot)
{
    for (size_t index = 0; index < CLUSTER_SERVERS; index++) {
        if (redis_cluster_is_master(cluster, index) &&
            has_slot(cluster->clients[index], cluster->ids[index], slot))
            return index;
    }
    fail_msg("slot %u has no master", slot);
    return 0;
}

void redis_cluster_flush(const struct redis_cluster *cluster)
{
    for (size_t index = 0; index < CLUSTER_SERVERS; index++) {
        if (redis_cluster_is_master(cluster, index))
            redis_do(cluster->clients[index], "FLUSHALL");
    }
}

/* ---- moving a slot ---- */

static void migrate_keys(const struct redis_cluster *cluster, unsigned slot, size_t from, size_t to,
                         size_t n_keys)
{
    redisReply *const keys =
        redisCommand(cluster->clients[from], "CLUSTER GETKEYSINSLOT %u %u", slot, (unsigned)n_keys);
    assert_int_equal(keys->type, REDIS_REPLY_ARRAY);
    for (size_t index = 0; index < keys->elements; index++)
        redis_do(cluster->clients[from], "MIGRATE 127.0.0.1 %u %b 0 5000",
                 (unsigned)cluster->servers[to].port, keys->element[index]->str,
                 keys->element[index]->len);
    freeReplyObject(keys);
}

void redis_cluster_move_begin(const struct redis_cluster *cluster, unsigned slot, size_t to,
                              size_t n_keys)
{
    const size_t from = redis_cluster_owner(cluster, slot);
    redis_do(cluster->clients[to], "CLUSTER SETSLOT %u IMPORTING %s", slot, cluster->ids[from]);
    redis_do(cluster->clients[from], "CLUSTER SETSLOT %u MIGRATING %s", slot, cluster->ids[to]);
    migrate_keys(cluster, slot, from, to, n_keys);
}

void redis_cluster_move_end(const struct redis_cluster *cluster, unsigned slot, size_t from,
                            size_t to)
{
    migrate_keys(cluster, slot, from, to, 1000000);
    redis_do(cluster->clients[to], "CLUSTER SETSLOT %u NODE %s", slot, cluster->ids[to]);
    redis_do(cluster->clients[from], "CLUSTER SETSLOT %u NODE %s", slot, cluster->ids[to]);
}

long long redis_cluster_do(const struct redis_cluster *cluster, unsigned slot, const char *format,
                           ...)
{
    va_list list;
    va_start(list, format);
    redisReply *const reply =
        redisvCommand(cluster->clients[redis_cluster_owner(cluster, slot)], format, list);
    va_end(list);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    const long long result = reply->integer;
    freeReplyObject(reply);
    return result;
}

/* ---- contents ---- */

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *describe(redisContext *client, const redisReply *key, size_t n_prefix)
{
    redisReply *const type = redisCommand(client, "TYPE %b", key->str, key->len);
    redisReply *const expiry = redisCommand(client, "PEXPIRETIME %b", key->str, key->len);
    redisReply *const digest = redisCommand(client, "DEBUG DIGEST-VALUE %b", key->str, key->len);
    assert_int_equal(digest->type, REDIS_REPLY_ARRAY);
    struct nsm_buf line NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t at = n_prefix; at < key->len; at++)
        nsm_buf_printf(&line, "%02x", (unsigned)(unsigned char)key->str[at]);
    nsm_buf_printf(&line, " %s %lld %s\n", type->str, expiry->integer, digest->element[0]->str);
    freeReplyObject(type);
    freeReplyObject(expiry);
    freeReplyObject(digest);
    return nsm_buf_detach(&line);
}

char *redis_cluster_list(redisContext *const *clients, size_t n_clients, const char *prefix)
{
    char **lines = NULL;
    size_t n_lines = 0;
    size_t cap_lines = 0;
    for (size_t client = 0; client < n_clients; client++) {
        redisReply *const keys = redisCommand(clients[client], "KEYS %s*", prefix);
        for (size_t index = 0; index < keys->elements; index++) {
            NSM_GROW(lines, n_lines, cap_lines);
            lines[n_lines++] = describe(clients[client], keys->element[index], strlen(prefix));
        }
        freeReplyObject(keys);
    }
    if (n_lines)
        qsort(lines, n_lines, sizeof(*lines), compare_lines);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t index = 0; index < n_lines; index++) {
        nsm_buf_append_cstr(&text, lines[index]);
        free(lines[index]);
    }
    free(lines);
    return nsm_buf_detach(&text);
}

char *redis_cluster_contents(const struct redis_cluster *cluster, const char *prefix)
{
    redisContext *masters[CLUSTER_SERVERS];
    size_t n_masters = 0;
    for (size_t index = 0; index < CLUSTER_SERVERS; index++) {
        if (redis_cluster_is_master(cluster, index))
            masters[n_masters++] = cluster->clients[index];
    }
    return redis_cluster_list(masters, n_masters, prefix);
}
