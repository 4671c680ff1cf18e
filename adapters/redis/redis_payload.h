/*
 * What DUMP answers: a value as it stands in an RDB file, between a type and eight bytes of checksum behind two of version. RESTORE
 * takes it as it is; it is read here only so that what was copied can be told without asking the source for it again.
 *
 * The format: https://github.com/redis/redis/blob/7.0.15/src/rdb.h and rdb.c; of packed lists, listpack.c; of sets of integers, intset.c.
 *
 * Threads: all functions may be called from any thread.
 */
#ifndef NSM_ADAPTERS_REDIS_PAYLOAD_H
#define NSM_ADAPTERS_REDIS_PAYLOAD_H

#include "migrate/base/arena.h"
#include "migrate/engine/record/record.h"

/* NSM_KIND_DUMP: it can't be told, as of a module's value. */
enum nsm_kind nsm_redis_dump_kind(struct nsm_str payload);

/* Kind and items as lane record has them; key and expiry stay. The items point into the payload or are in the arena. False, with
 * `record` as it was: the payload is damaged, or of a form that is not read here: streams, modules' values, hashes whose fields
 * expire, and the packed forms of servers before Redis 7. */
bool nsm_redis_payload_read(struct nsm_str payload, struct nsm_arena *arena,
                            struct nsm_record *record) NSM_MUST_USE;

#endif
