/* The adapter `postgres`: PostgreSQL databases: schemas and tables. The registry is the only one to include this. */
#ifndef NSM_ADAPTERS_POSTGRES_H
#define NSM_ADAPTERS_POSTGRES_H

#include "adapters/adapter.h"

extern const struct nsm_adapter nsm_adapter_postgres;

#endif
