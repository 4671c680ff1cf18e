/* The adapter `redis`: Redis: spaces of keys. The registry is the only one to include this. */
#ifndef NSM_ADAPTERS_REDIS_H
#define NSM_ADAPTERS_REDIS_H

#include "adapters/adapter.h"

extern const struct nsm_adapter nsm_adapter_redis;

#endif
