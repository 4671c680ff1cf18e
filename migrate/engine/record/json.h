/*
 * Records and values as JSON, one way for all who need it: the file adapter's lines, the value
 * column of the kv layout, the json layout. A person can read it and jq can process it.
 *
 *   null, bool, int                as JSON has them (int: all of 64 bits, as digits)
 *   float                          a number; nan and infinities as {"$float":"nan"}
 *   numeric                        {"$numeric":"1.10"}, so that no reader makes a double of it
 *   text that is valid UTF-8       a string
 *   bytes, and text that is not    {"$binary":{"base64":"...","subType":"00"}} (MongoDB Extended
 * JSON v2); bytes that are valid UTF-8 are written as a string only where the context says that
 * they are bytes anyway (keys, fields and values of key spaces), see NSM_JSON_BYTES_AS_TEXT time,
 * uuid                     a string (the column's type says what it is) json {"$json":"..."}: as
 * text, so that its spelling (spaces, duplicate keys, big numbers) is kept other {"$other":"..."}
 *   an object of one key that begins with "$" can thus only be one of ours.
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

/* A JSON string with its quotes; `s` must be valid UTF-8. */
NSM_API void nsm_json_write_string(struct nsm_buf *out, struct nsm_str s);
NSM_API void nsm_json_write_value(struct nsm_buf *out, const struct nsm_value *value,
                                  unsigned flags);

/*
 * The items of a key's record as one JSON value, as the kv layout and the file adapter's lines hold
 * them: string  the value          hash  [[field, value], ...]      list  [element, ...]     set
 * [member, ...] zset    [[member, score], ...] (score a JSON number or {"$float":...}) stream
 * {"last_id":..., "entries_added":..., "max_deleted_id":..., "entries":[[id, [field, value, ...]],
 * ...]} Not for rows, dumps and slices.
 */
NSM_API void nsm_json_write_items(struct nsm_buf *out, const struct nsm_record *record);

/* The reverse: fills record->items in the batch's arena for record->kind. NSM_E_CORRUPT with what
 * was expected. */
NSM_API struct nsm_error *nsm_json_read_items(struct nsm_batch *batch, struct nsm_record *record,
                                              struct nsm_str json) NSM_MUST_USE;

struct json_t; /* jansson's, for callers that parse whole lines themselves */
NSM_API struct nsm_error *nsm_json_read_value(struct nsm_batch *batch, const struct json_t *json,
                                              enum nsm_type column_type, unsigned flags,
                                              struct nsm_value *ret) NSM_MUST_USE;

#endif
