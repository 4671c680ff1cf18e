/*
 * The life of stores, those of one backend and those that live as long as the process, and what is
 * counted in them.
 */
#include "adapters/memory/store_internal.h"

#include "migrate/base/alloc.h"

/* The stores that have a name. The mutex guards the list; a store is freed only by
 * nsm_memory_store_drop(). */
static struct {
    pthread_mutex_t mutex;
    struct memory_store *first;
} stores = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- stores ---- */

static struct memory_store *store_new(const char *name)
{
    struct memory_store *const store = nsm_xcalloc(1, sizeof(*store));
    store->name = name ? nsm_xstrdup(name) : NULL;
    pthread_mutex_init(&store->mutex, NULL);
    return store;
}

void memory_object_clear(struct memory_object *object)
{
    for (size_t i = 0; i < object->n_entries; i++)
        memory_slice_free_all(object->entries[i].first);
    object->n_entries = 0;
    memory_index_release(&object->by_key);
    object->version++;
}

void memory_checkpoint_release(struct memory_checkpoint *held)
{
    free((void *)(uintptr_t)held->checkpoint.part_id.ptr);
    free((void *)(uintptr_t)held->checkpoint.resume.ptr);
}

static void namespace_release(struct memory_namespace *ns)
{
    for (size_t i = 0; i < ns->n_objects; i++) {
        memory_object_clear(&ns->objects[i]);
        free(ns->objects[i].entries);
    }
    for (size_t i = 0; i < ns->n_checkpoints; i++)
        memory_checkpoint_release(&ns->checkpoints[i]);
    free(ns->checkpoints);
    memory_index_release(&ns->by_id);
    free(ns->objects);
    free(ns->name);
}

static void store_free(struct memory_store *store)
{
    for (size_t i = 0; i < store->n_namespaces; i++)
        namespace_release(&store->namespaces[i]);
    memory_index_release(&store->by_name);
    nsm_arena_release(&store->arena);
    free(store->namespaces);
    free(store->name);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

static struct memory_store *find_locked(const char *name)
{
    struct memory_store *store = stores.first;
    while (store && strcmp(store->name, name) != 0)
        store = store->next;
    return store;
}

struct memory_store *memory_stores_find(const char *name)
{
    pthread_mutex_lock(&stores.mutex);
    struct memory_store *const store = find_locked(name);
    pthread_mutex_unlock(&stores.mutex);
    return store;
}

struct memory_store *memory_store_open(const char *name)
{
    if (!name)
        return store_new(NULL);
    pthread_mutex_lock(&stores.mutex);
    struct memory_store *store = find_locked(name);
    if (!store) {
        store = store_new(name);
        store->next = stores.first;
        stores.first = store;
    }
    pthread_mutex_unlock(&stores.mutex);
    return store;
}

void memory_store_close(struct memory_store *store)
{
    if (store && !store->name)
        store_free(store);
}

void nsm_memory_store_drop(const char *name)
{
    pthread_mutex_lock(&stores.mutex);
    struct memory_store **at = &stores.first;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct memory_store *const store = *at;
    if (store)
        *at = store->next;
    pthread_mutex_unlock(&stores.mutex);
    if (store)
        store_free(store);
}

/* ---- counts ---- */

void memory_store_count(struct memory_store *store, enum memory_count what, uint64_t n)
{
    pthread_mutex_lock(&store->mutex);
    switch (what) {
    case MEMORY_COUNT_READ:
        store->counts.n_read += n;
        break;
    case MEMORY_COUNT_DISCARDED:
        store->counts.n_discarded += n;
        break;
    case MEMORY_COUNT_FINISH_STEPS:
        store->counts.n_finish_steps += n;
        break;
    }
    pthread_mutex_unlock(&store->mutex);
}

static void count_open(struct memory_store *store, uint64_t *n, uint64_t *max, int change)
{
    pthread_mutex_lock(&store->mutex);
    *n += (uint64_t)(int64_t)change;
    *max = *max < *n ? *n : *max;
    pthread_mutex_unlock(&store->mutex);
}

void memory_store_count_reader(struct memory_store *store, int change)
{
    count_open(store, &store->counts.n_readers, &store->counts.max_readers, change);
}

void memory_store_count_writer(struct memory_store *store, int change)
{
    count_open(store, &store->counts.n_writers, &store->counts.max_writers, change);
}

void nsm_memory_store_counts(const char *name, struct nsm_memory_counts *ret)
{
    struct memory_store *const store = memory_stores_find(name);
    *ret = (struct nsm_memory_counts){0};
    if (!store)
        return;
    pthread_mutex_lock(&store->mutex);
    *ret = store->counts;
    pthread_mutex_unlock(&store->mutex);
}
