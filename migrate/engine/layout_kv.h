/* What layout.c and layout_apply.c share: the columns of the kv table, and how a key is named in an error. */
#ifndef NSM_ENGINE_LAYOUT_KV_H
#define NSM_ENGINE_LAYOUT_KV_H

#include "migrate/engine/layout.h"

enum nsm_kv_column {
    NSM_KV_KEY,
    NSM_KV_KIND,
    NSM_KV_VALUE,
    NSM_KV_EXPIRES_AT,
    NSM_KV_N_COLUMNS,
};

/* Puts the record's key before an error; NULL for NULL. `object` may be NULL for a record of a key space. */
struct nsm_error *nsm_layout_name_key(const struct nsm_record *record,
                                      const struct nsm_object *object, struct nsm_error *error)
    NSM_MUST_USE;

/* Where a field is among the sorted ones. */
bool nsm_layout_find_field(const struct nsm_layout_stage *stage, struct nsm_str name,
                           size_t *ret_at);

#endif
