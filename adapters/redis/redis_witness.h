/* See nsm_adapter.witness. */
#ifndef NSM_ADAPTERS_REDIS_WITNESS_H
#define NSM_ADAPTERS_REDIS_WITNESS_H

#include "adapters/adapter.h"

struct nsm_error *nsm_redis_witness(struct nsm_backend *base, struct nsm_context *ctx,
                                    struct nsm_buf *text) NSM_MUST_USE;

#endif
