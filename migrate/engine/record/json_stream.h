/*
 * Streams as JSON, for json.c (json.h has the forms).
 *
 * Threads: no state.
 */
#ifndef NSM_ENGINE_RECORD_JSON_STREAM_H
#define NSM_ENGINE_RECORD_JSON_STREAM_H

#include "migrate/engine/record/json.h"

void nsm_json_write_stream(struct nsm_buf *out, const struct nsm_record *record);
struct nsm_error *nsm_json_read_stream(struct nsm_batch *batch, struct nsm_record *record,
                                       const struct json_t *json) NSM_MUST_USE;

#endif
