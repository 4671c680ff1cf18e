/* The adapter `sqlite`: SQLite files. The registry is the only one to include this. */
#ifndef NSM_ADAPTERS_SQLITE_H
#define NSM_ADAPTERS_SQLITE_H

#include "adapters/adapter.h"

extern const struct nsm_adapter nsm_adapter_sqlite;

#endif
