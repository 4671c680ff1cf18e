/*
 * Hash slots of a Redis Cluster: which one a key is in, and names that are in a wanted one.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_REDIS_SLOT_H
#define NSM_ADAPTERS_REDIS_SLOT_H

#include "migrate/base/str.h"

#include <stdint.h>

#define NSM_REDIS_SLOTS 16384

/* Of what stands between the key's first '{' and the next '}', where that is not empty; else of the
 * whole key. */
unsigned nsm_redis_slot_of(struct nsm_str key);

/* A text that is in that slot, and so is any key that has it as its tag: at most 7 characters out
 * of [0-9a-f], and a NUL. Always the same for a slot. It is searched for, in a few
 * milliseconds. */
#define NSM_REDIS_TAG_BYTES 8
void nsm_redis_slot_tag(unsigned slot, char out[NSM_REDIS_TAG_BYTES]);

#endif
