/*
 * The adapters that are there: those built in and those loaded with --load.
 *
 * Threads: loading from one thread, before any other use; immutable afterwards.
 */
#ifndef NSM_ADAPTERS_REGISTRY_H
#define NSM_ADAPTERS_REGISTRY_H

#include "adapters/adapter.h"

struct nsm_registry;

/* With all built-in adapters. Owned by the caller. */
struct nsm_registry *nsm_registry_new(void) NSM_MUST_USE NSM_NONNULL;
void nsm_registry_free(struct nsm_registry *registry);
NSM_DEFINE_CLEANUP(struct nsm_registry, nsm_registry_free)

/* Checks a table (abi, sizes, required operations, each capability against its operations, options)
 * and adds it. NSM_E_INVALID says which rule it breaks; NSM_E_CONFLICT: a name that is taken. */
struct nsm_error *nsm_registry_add(struct nsm_registry *registry, const struct nsm_adapter *adapter)
    NSM_MUST_USE;

/* Loads a shared object by its path (never by search), asks for its table and adds it. It stays
 * loaded. */
struct nsm_error *nsm_registry_load(struct nsm_registry *registry, const char *path) NSM_MUST_USE;

/* NULL when there is none of that name. */
const struct nsm_adapter *nsm_registry_find(const struct nsm_registry *registry, const char *name);

/* In order of name. */
size_t nsm_registry_size(const struct nsm_registry *registry);
const struct nsm_adapter *nsm_registry_at(const struct nsm_registry *registry, size_t index);

#endif
