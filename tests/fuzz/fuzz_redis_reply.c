/* Replies of a hostile server: whatever the bytes, and however they are cut, parsing ends in replies
 * or in one error, and every reply can be walked. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "adapters/redis/redis_reply.h"
#include "migrate/base/buf.h"

#define MAX_REPLIES 10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte that a reply claims to have. */
static size_t walk(const struct nsm_redis_reply *reply)
{
    size_t sum = 0;
    for (size_t at = 0; at < reply->str.len; at++)
        sum += (unsigned char)reply->str.ptr[at];
    for (size_t index = 0; index < reply->n_elements; index++)
        sum += walk(&reply->elements[index]);
    return sum;
}

static bool take_replies(struct nsm_redis_parser *parser, struct nsm_arena *arena)
{
    for (size_t n = 0; n < MAX_REPLIES; n++) {
        const struct nsm_redis_reply *reply;
        struct nsm_error *error NSM_CLEANUP(nsm_error_freep) =
            nsm_redis_parser_next(parser, arena, &reply);
        if (error)
            return false;
        if (!reply)
            return true;
        volatile size_t sum = walk(reply);
        (void)sum;
        (void)nsm_redis_reply_field(reply, "length");
        struct nsm_error *const told =
            nsm_redis_reply_error(reply, "COMMAND", (struct nsm_str){.ptr = "k\x01y", .len = 3});
        nsm_error_free(told);
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* The first byte says how the rest is cut into pieces. */
    const size_t piece = data[0] ? data[0] : size;
    struct nsm_redis_parser *parser NSM_CLEANUP(nsm_redis_parser_freep) = nsm_redis_parser_new();
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    for (size_t at = 1; at < size; at += piece) {
        const size_t n = size - at < piece ? size - at : piece;
        const struct nsm_str bytes = {.ptr = (const char *)data + at, .len = n};
        struct nsm_error *error NSM_CLEANUP(nsm_error_freep) = nsm_redis_parser_feed(parser, bytes);
        if (error || !take_replies(parser, &arena))
            return 0;
    }
    return 0;
}
