/*
 * What type a key probably has, told by its name: in most databases all keys that look alike ("user:17:name", "user:42:name") have one
 * type. Where that was so many times in a row, a reader asks for the value at once instead of asking for type and size first. A wrong
 * guess costs a round trip, never a value.
 *
 * Threads: all functions may be called from any thread. What threads learn at once may be lost, which makes guesses fewer, not wrong.
 */
#ifndef NSM_ADAPTERS_REDIS_GUESS_H
#define NSM_ADAPTERS_REDIS_GUESS_H

#include <stdatomic.h>

#include "migrate/engine/record/record.h"

#define NSM_REDIS_SHAPES 256

/* Zeroed: nothing is known. */
struct nsm_redis_guesses {
    _Atomic uint16_t shapes[NSM_REDIS_SHAPES];
    _Atomic uint64_t largest_bytes; /* of the keys that were probed */
    bool
        is_largest_of_all; /* every key of the list was read by this process; set between its readers */
};

/* The look of a key: words of it that hold digits all look alike. */
uint8_t nsm_redis_shape(struct nsm_str key);

/* NSM_KIND_DUMP: it can't be told. */
enum nsm_kind nsm_redis_guess(const struct nsm_redis_guesses *guesses, uint8_t shape);
/* A key of that shape was of that kind; NSM_KIND_DUMP: of none that can be guessed. */
void nsm_redis_guess_learn(struct nsm_redis_guesses *guesses, uint8_t shape, enum nsm_kind kind);

/* Whether the key of some shape that was looked at last was of that kind. */
bool nsm_redis_guess_knows(const struct nsm_redis_guesses *guesses, enum nsm_kind kind);

void nsm_redis_guess_measured(struct nsm_redis_guesses *guesses, uint64_t n_bytes);

/* What TYPE answers. False for what is no type of record: a module's, or "none". */
bool nsm_redis_kind_parse(struct nsm_str type, enum nsm_kind *ret);

#endif
