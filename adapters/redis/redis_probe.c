/* A payload is a type, a value, two bytes of version and eight of checksum; a server looks at these
 * first. */
#include "adapters/redis/redis_probe.h"

#define VERSION_BYTES  2
#define CHECKSUM_BYTES 8
/* A type that no value has. */
#define NO_TYPE 0xff

/* CRC-64 of Jones, bit by bit: few bytes, once. */
static uint64_t checksum_of(const unsigned char *bytes, size_t len)
{
    uint64_t crc = 0;
    for (size_t at = 0; at < len; at++) {
        crc ^= bytes[at];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT64_C(0x95ac9329ac4bc9b5) : crc >> 1;
    }
    return crc;
}

unsigned nsm_redis_payload_version(const struct nsm_redis_server *server)
{
    if (server->version >= NSM_REDIS_VERSION(7, 4))
        return 12;
    if (server->version >= NSM_REDIS_VERSION(7, 2))
        return 11;
    return server->version >= NSM_REDIS_VERSION(7, 0) ? 10 : 9;
}

/* Why a command is refused, whatever its arguments; NULL: it is not. */
static const char *refusal_of(const struct nsm_redis_probe *probe, const char *side,
                              const char *command, const struct nsm_redis_reply *reply)
{
    if (nsm_redis_reply_is_error(reply, "NOPERM"))
        return nsm_arena_printf(probe->arena, "the user at the %s has no right to %s", side,
                                command);
    if (reply->type == NSM_REDIS_ERROR &&
        nsm_str_starts_with(reply->str, NSM_STR_LIT("ERR unknown command")))
        return nsm_arena_printf(probe->arena, "the %s has no command %s", side, command);
    return NULL;
}

static struct nsm_error *ask(const struct nsm_redis_probe *probe, struct nsm_arena *arena,
                             const struct nsm_redis_reply **ret)
{
    NSM_TRY(nsm_redis_flush(probe->conn, probe->ctx));
    return nsm_redis_receive(probe->conn, probe->ctx, arena, ret);
}

struct nsm_error *nsm_redis_probe_dump(const struct nsm_redis_probe *probe, struct nsm_str key,
                                       const char **ret_reason, unsigned *ret_version)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply;
    NSM_REDIS_COMMAND(probe->conn, "DUMP", key);
    NSM_TRY(ask(probe, &arena, &reply));
    *ret_reason = refusal_of(probe, "source", "DUMP", reply);
    *ret_version = 0;
    if (reply->type != NSM_REDIS_STRING || reply->str.len < VERSION_BYTES + CHECKSUM_BYTES)
        return NULL;
    const unsigned char *const footer =
        (const unsigned char *)reply->str.ptr + reply->str.len - VERSION_BYTES - CHECKSUM_BYTES;
    *ret_version = footer[0] | (unsigned)footer[1] << 8;
    return NULL;
}

struct nsm_error *nsm_redis_probe_restore(const struct nsm_redis_probe *probe, struct nsm_str key,
                                          unsigned version, const char **ret_reason)
{
    unsigned char payload[1 + VERSION_BYTES + CHECKSUM_BYTES] = {NO_TYPE, (unsigned char)version,
                                                                 (unsigned char)(version >> 8)};
    const uint64_t checksum = checksum_of(payload, 1 + VERSION_BYTES);
    for (size_t at = 0; at < CHECKSUM_BYTES; at++)
        payload[1 + VERSION_BYTES + at] = (unsigned char)(checksum >> (8 * at));
    const struct nsm_str bytes = {.ptr = (const char *)payload, .len = sizeof(payload)};
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_reply *reply;
    NSM_REDIS_COMMAND(probe->conn, "RESTORE", key, NSM_STR_LIT("0"), bytes);
    NSM_TRY(ask(probe, &arena, &reply));
    *ret_reason = refusal_of(probe, "destination", "RESTORE", reply);
    if (reply->type == NSM_REDIS_ERROR &&
        nsm_str_starts_with(reply->str, NSM_STR_LIT("ERR DUMP payload version")))
        *ret_reason = nsm_arena_printf(
            probe->arena, "the destination can't load the source's payloads, of version %u",
            version);
    return NULL;
}
