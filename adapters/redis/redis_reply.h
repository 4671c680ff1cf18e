/*
 * Replies of a Redis, parsed by hiredis's reader straight into an arena: the batch's, so that a
 * value is copied once between the socket and the record that carries it. What a hostile or broken
 * server sends is bounded and ends as an error.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ADAPTERS_REDIS_REPLY_H
#define NSM_ADAPTERS_REDIS_REPLY_H

#include "migrate/base/arena.h"
#include "migrate/base/error.h"
#include "migrate/base/str.h"

#include <stdint.h>

enum nsm_redis_type {
    NSM_REDIS_NIL,
    NSM_REDIS_STATUS,
    NSM_REDIS_ERROR,
    NSM_REDIS_INTEGER,
    NSM_REDIS_STRING,
    NSM_REDIS_ARRAY,
};

/* Small, as there is one for each item of a collection. What does not belong to the type is empty,
 * so that a hostile server gains nothing where a type is not looked at. */
struct nsm_redis_reply {
    enum nsm_redis_type type;
    uint32_t n_elements;
    union {
        int64_t integer;
        struct nsm_redis_reply *elements; /* where n_elements is not 0 */
    };
    struct nsm_str str; /* status, error, string: ends in a NUL that is not counted */
};

struct nsm_redis_parser;

struct nsm_redis_parser *nsm_redis_parser_new(void) NSM_MUST_USE NSM_NONNULL;
void nsm_redis_parser_free(struct nsm_redis_parser *parser);
NSM_DEFINE_CLEANUP(struct nsm_redis_parser, nsm_redis_parser_free)

/* Takes bytes from the server; small pieces (64 KiB), each followed by parsing, keep hiredis from
 * moving its buffer over and over. NSM_E_NOMEM: one reply larger than we take. */
struct nsm_error *nsm_redis_parser_feed(struct nsm_redis_parser *parser, struct nsm_str bytes)
    NSM_MUST_USE;

/* The next whole reply, in `arena`; *ret is NULL when more bytes are needed, and the next call must
 * then be for the same arena. NSM_E_CORRUPT: not the protocol; the parser is then good for nothing.
 */
struct nsm_error *nsm_redis_parser_next(struct nsm_redis_parser *parser, struct nsm_arena *arena,
                                        const struct nsm_redis_reply **ret) NSM_MUST_USE;

/* The error of an error reply (or of a reply that is not what `command` answers), as the one place
 * that gives each of Redis's error words its code:
 * "RESTORE session:9f2: OOM command not allowed ...; raise maxmemory ...". `key` may be empty. */
struct nsm_error *nsm_redis_reply_error(const struct nsm_redis_reply *reply, const char *command,
                                        struct nsm_str key) NSM_MUST_USE NSM_NONNULL;

struct nsm_buf;
/* A key for messages: as it is where printable, else escaped; cut behind 64 bytes. */
void nsm_redis_key_write(struct nsm_str key, struct nsm_buf *out);

/* Whether an error reply begins with that word. */
bool nsm_redis_reply_is_error(const struct nsm_redis_reply *reply, const char *word);

/* The value behind `name` in a flat array of names and values (XINFO); NULL when it is not there. */
const struct nsm_redis_reply *nsm_redis_reply_field(const struct nsm_redis_reply *reply,
                                                    const char *name);

#endif
