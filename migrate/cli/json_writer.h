/*
 * A streaming JSON writer: commas, brackets and escapes are its own business, so that no command
 * can print a line that a parser refuses. Whatever bytes come in, valid UTF-8 comes out: what isn't
 * becomes U+FFFD.
 *
 *     struct nsm_json_writer json = nsm_json_writer_on(&buf);
 *     nsm_json_writer_object(&json, NULL);
 *     nsm_json_writer_string(&json, "event", "summary");
 *     nsm_json_writer_array(&json, "namespaces");
 *     ...
 *     nsm_json_writer_end(&json);
 *     nsm_json_writer_end(&json);
 *
 * `key` names the member in an object and is NULL in an array and at the top. A wrong use is an
 * assertion.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_CLI_JSON_WRITER_H
#define NSM_CLI_JSON_WRITER_H

#include "migrate/base/buf.h"

#include <stdint.h>

#define NSM_JSON_WRITER_MAX_DEPTH 32

struct nsm_json_writer {
    struct nsm_buf *out;
    unsigned depth;
    uint32_t array_bits; /* bit i: the container at depth i is an array */
    bool has_items;      /* the innermost container has some */
};

struct nsm_json_writer nsm_json_writer_on(struct nsm_buf *out);

void nsm_json_writer_object(struct nsm_json_writer *json, const char *key);
void nsm_json_writer_array(struct nsm_json_writer *json, const char *key);
/* Ends the innermost object or array. */
void nsm_json_writer_end(struct nsm_json_writer *json);

/* NULL is written as null. */
void nsm_json_writer_string(struct nsm_json_writer *json, const char *key, const char *value);
void nsm_json_writer_bytes(struct nsm_json_writer *json, const char *key, struct nsm_str value);
void nsm_json_writer_u64(struct nsm_json_writer *json, const char *key, uint64_t value);
void nsm_json_writer_i64(struct nsm_json_writer *json, const char *key, int64_t value);
/* To three decimals; null when it is no number. */
void nsm_json_writer_number(struct nsm_json_writer *json, const char *key, double value);
void nsm_json_writer_bool(struct nsm_json_writer *json, const char *key, bool value);
/* Unix time in milliseconds as "2026-01-31T12:00:00.500Z"; 0 is written as null. */
void nsm_json_writer_time(struct nsm_json_writer *json, const char *key, int64_t unix_ms);

#endif
