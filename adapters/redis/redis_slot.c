/* CRC-16 as Redis has it: polynomial 0x1021, from zero, the high bit first. */
#include "adapters/redis/redis_slot.h"

#include <assert.h>
#include <stdio.h>

/* More texts than it ever takes: the last slot of all is found among the first 200,000. */
#define MAX_TAGS 0x1000000U

static unsigned crc_add_nibble(unsigned crc, unsigned nibble)
{
    unsigned rest = ((crc >> 12) ^ nibble) << 12;
    for (int bit = 0; bit < 4; bit++)
        rest = rest & 0x8000U ? (rest << 1) ^ 0x1021U : rest << 1;
    return ((crc << 4) ^ rest) & 0xffffU;
}

static unsigned crc_of(struct nsm_str text)
{
    unsigned crc = 0;
    for (size_t at = 0; at < text.len; at++) {
        const unsigned byte = (unsigned char)text.ptr[at];
        crc = crc_add_nibble(crc_add_nibble(crc, byte >> 4), byte & 15U);
    }
    return crc;
}

unsigned nsm_redis_slot_of(struct nsm_str key)
{
    const char *const open = key.len ? memchr(key.ptr, '{', key.len) : NULL;
    if (open) {
        const struct nsm_str rest = nsm_str_skip(key, (size_t)(open - key.ptr) + 1);
        const char *const close = rest.len ? memchr(rest.ptr, '}', rest.len) : NULL;
        if (close && close > rest.ptr)
            key = (struct nsm_str){.ptr = rest.ptr, .len = (size_t)(close - rest.ptr)};
    }
    return crc_of(key) % NSM_REDIS_SLOTS;
}

void nsm_redis_slot_tag(unsigned slot, char out[NSM_REDIS_TAG_BYTES])
{
    assert(slot < NSM_REDIS_SLOTS);
    for (unsigned n = 0; n < MAX_TAGS; n++) {
        const int len = snprintf(out, NSM_REDIS_TAG_BYTES, "%x", n);
        if (crc_of((struct nsm_str){.ptr = out, .len = (size_t)len}) % NSM_REDIS_SLOTS == slot)
            return;
    }
    assert(0 && "a slot without a text");
}
