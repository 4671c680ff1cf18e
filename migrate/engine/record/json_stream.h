/*
 * Streams as JSON, for json.c (json.h has the forms), and what both write alike.
 *
 * Threads: no state.
 */
#ifndef NSM_ENGINE_RECORD_JSON_STREAM_H
#define NSM_ENGINE_RECORD_JSON_STREAM_H

#include "migrate/engine/record/json.h"

/* In json.c: a value of a key, bytes as text; and an array of them. */
void nsm_json_write_item(struct nsm_buf *out, const struct nsm_value *value);
void nsm_json_write_array(struct nsm_buf *out, const struct nsm_value *items, size_t n_items);

/* In json_stream.c. */
void nsm_json_write_stream(struct nsm_buf *out, const struct nsm_record *record);
struct nsm_error *nsm_json_read_stream(struct nsm_batch *batch, struct nsm_record *record,
                                       const struct json_t *json) NSM_MUST_USE;

#endif
