/*
 * Records and values as JSON, one way for all who need it: the file adapter's lines, the value
 * column of the kv layout, the json layout. A person can read it and jq can process it.
 *
 *   null, bool, int   as JSON has them (int: all of 64 bits, as digits)
 *   float             a number with a point or an exponent; nan and infinities {"$float":"nan"}
 *   numeric           {"$numeric":"1.10"}, so that no reader makes a double of it
 *   text              a string; what is not valid UTF-8 or holds NUL: as bytes, but subType "80"
 *   bytes             {"$binary":{"base64":"...","subType":"00"}} (MongoDB Extended JSON v2)
 *   time, uuid        a string (the column's type says what it is)
 *   json              {"$json":"..."}: as text, so that its spelling (spaces, big numbers) is kept
 *   other             {"$other":"..."}
 *
 * Bytes that are valid UTF-8 without NUL are a string where the context says that they are bytes
 * anyway (keys, fields and values of key spaces): NSM_JSON_BYTES_AS_TEXT. An object of one key that
 * begins with "$" can thus only be one of ours.
 *
 * Threads: no state.
 */
#ifndef NSM_ENGINE_RECORD_JSON_H
#define NSM_ENGINE_RECORD_JSON_H

#include "migrate/base/buf.h"
#include "migrate/engine/record/batch.h"

enum nsm_json_flag {
    NSM_JSON_BYTES_AS_TEXT =
        1 << 0, /* bytes that are valid UTF-8 become strings, and strings are read as NSM_BYTES */
};

/* The longest JSON text that is read: the largest value in its longest usual spelling. */
#define NSM_JSON_MAX_BYTES (2 * NSM_MAX_VALUE_BYTES)

/* A JSON string with its quotes; `s` must be valid UTF-8. */
NSM_API void nsm_json_write_string(struct nsm_buf *out, struct nsm_str s);
/* Any value gives valid JSON: one that has not the form of its type is written as {"$<type>":...},
 * text that is not valid UTF-8 or holds NUL as $binary of subType 80. */
NSM_API void nsm_json_write_value(struct nsm_buf *out, const struct nsm_value *value,
                                  unsigned flags);
/* The same, in a column of that type: text, time or uuid that a reader would take for another of
 * them there is written as {"$text":"..."}, {"$time":"..."} or {"$uuid":"..."}. */
NSM_API void nsm_json_write_column_value(struct nsm_buf *out, const struct nsm_value *value,
                                         enum nsm_type column_type);

/*
 * The items of a key's record as one JSON value, as the kv layout and the file adapter's lines hold
 * them:
 *
 *   string   the value
 *   hash     [[field, value], ...]
 *   list     [element, ...]
 *   set      [member, ...]
 *   zset     [[member, score], ...], the score a JSON number or {"$float":...}
 *   stream   {"last_id":..., "entries_added":..., "max_deleted_id":..., "groups":[...],
 *            "entries":[...]}, an entry [id, [field, value, ...]]; a continued slice: the array of
 *            entries alone, or an object of groups and entries. Without groups there is no member
 *            of that name. A group: {"name":..., "last_delivered_id":..., "entries_read":...,
 *            "consumers":[name, ...], "pending":[[id, consumer, delivered_at_ms, times], ...]},
 *            empty arrays left out; where a continued slice goes on with one, only these arrays
 *
 * Not for rows and dumps.
 */
NSM_API void nsm_json_write_items(struct nsm_buf *out, const struct nsm_record *record);

/* The reverse: fills record->items in the batch's arena for record->kind and record->flags.
 * NSM_E_CORRUPT with what was expected. */
NSM_API struct nsm_error *nsm_json_read_items(struct nsm_batch *batch, struct nsm_record *record,
                                              struct nsm_str text) NSM_MUST_USE;

/* ---- for callers that parse whole lines themselves, with jansson ---- */

struct json_t; /* jansson's */

/* Parses one JSON text of at most NSM_JSON_MAX_BYTES; the caller calls json_decref(). NSM_E_CORRUPT
 * says what is wrong and where, without quoting the data: also for a key that stands twice, a
 * string with NUL, an integer beyond 64 bits, too deep a nesting. */
NSM_API struct nsm_error *nsm_json_parse(struct nsm_str text, struct json_t **ret) NSM_MUST_USE;

/* "expected WHAT, found an array". */
NSM_API struct nsm_error *nsm_json_expected(const char *what, const struct json_t *found)
    NSM_MUST_USE NSM_NONNULL;

/* A string is NSM_TIME or NSM_UUID in a column of that type, else NSM_TEXT (NSM_BYTES with
 * NSM_JSON_BYTES_AS_TEXT); everything else says itself what it is. */
NSM_API struct nsm_error *nsm_json_read_value(struct nsm_batch *batch, const struct json_t *json,
                                              enum nsm_type column_type, unsigned flags,
                                              struct nsm_value *ret) NSM_MUST_USE;
/* An item of a key's record: NSM_JSON_BYTES_AS_TEXT. */
NSM_API struct nsm_error *nsm_json_read_item(struct nsm_batch *batch, const struct json_t *json,
                                             struct nsm_value *ret) NSM_MUST_USE;
NSM_API struct nsm_error *nsm_json_read_items_of(struct nsm_batch *batch, struct nsm_record *record,
                                                 const struct json_t *json) NSM_MUST_USE;

#endif
