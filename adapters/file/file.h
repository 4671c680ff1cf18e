/* The adapter `file`: directories of JSON Lines. The registry is the only one to include this. */
#ifndef NSM_ADAPTERS_FILE_H
#define NSM_ADAPTERS_FILE_H

#include "adapters/adapter.h"

extern const struct nsm_adapter nsm_adapter_file;

#endif
