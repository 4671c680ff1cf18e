/*
 * What stands in a store, and how it comes there. A commit moves whole slices into place under the
 * store's mutex, so a reader sees all of a checkpoint or nothing, as in a database.
 */
#include "adapters/memory/store_internal.h"

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"
#include "migrate/base/parse.h"

#include <assert.h>
#include <inttypes.h>

static uint64_t run_hash(const char *run_id)
{
    return memory_hash(nsm_str_of(run_id));
}

/* ---- finding; all with the store's mutex held ---- */

static bool namespace_equals(const void *owner, size_t id, struct nsm_str key)
{
    const struct memory_store *const store = owner;
    return nsm_str_equals(nsm_str_of(store->namespaces[id].name), key);
}

static bool object_equals(const void *owner, size_t id, struct nsm_str key)
{
    const struct memory_namespace *const ns = owner;
    return nsm_str_equals(ns->objects[id].id, key);
}

static bool entry_equals(const void *owner, size_t id, struct nsm_str key)
{
    const struct memory_object *const object = owner;
    return nsm_str_equals(object->entries[id].first->key, key);
}

static struct memory_namespace *get_namespace(struct memory_store *store, const char *name)
{
    const size_t at = memory_index_find(&store->by_name, nsm_str_of(name), namespace_equals, store);
    return at == MEMORY_INDEX_NONE ? NULL : &store->namespaces[at];
}

static void write_object_id(const struct nsm_object *object, struct nsm_buf *out)
{
    nsm_buf_append(out, object->schema, strlen(object->schema) + 1);
    nsm_buf_append_cstr(out, object->name);
}

static struct memory_object *get_object(struct memory_namespace *ns,
                                        const struct nsm_object *object)
{
    if (!ns)
        return NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf id = NSM_BUF_TEXT;
    write_object_id(object, &id);
    const size_t at = memory_index_find(&ns->by_id, nsm_buf_view(&id), object_equals, ns);
    return at == MEMORY_INDEX_NONE ? NULL : &ns->objects[at];
}

static bool has_key(const struct memory_object *object)
{
    return object->shape.model == NSM_MODEL_KEYS || object->shape.n_key_columns > 0;
}

static struct memory_entry *get_entry(const struct memory_object *object, struct nsm_str key)
{
    if (!has_key(object))
        return NULL;
    const size_t at = memory_index_find(&object->by_key, key, entry_equals, object);
    return at == MEMORY_INDEX_NONE ? NULL : &object->entries[at];
}

/* ---- looking ---- */

static void copy_shape(struct nsm_arena *arena, const struct nsm_object *from,
                       struct nsm_object *to)
{
    *to = *from;
    to->name = nsm_arena_strdup(arena, from->name);
    to->schema = nsm_arena_strdup(arena, from->schema);
    to->version = "";
    to->format = "";
    to->format_reason = "";
    to->columns = nsm_arena_calloc(arena, from->n_columns, sizeof(*to->columns));
    for (size_t i = 0; i < from->n_columns; i++) {
        to->columns[i] = from->columns[i];
        to->columns[i].name = nsm_arena_strdup(arena, from->columns[i].name);
        to->columns[i].type_name = nsm_arena_strdup(arena, from->columns[i].type_name);
    }
    to->key_columns = nsm_arena_calloc(arena, from->n_key_columns, sizeof(*to->key_columns));
    for (size_t i = 0; i < from->n_key_columns; i++)
        to->key_columns[i] = from->key_columns[i];
}

static uint64_t entry_bytes(const struct memory_entry *entry)
{
    uint64_t n_bytes = 0;
    for (const struct memory_slice *slice = entry->first; slice; slice = slice->next) {
        n_bytes += slice->record.key.len;
        for (size_t i = 0; i < slice->record.n_items; i++)
            n_bytes += slice->record.items[i].bytes.len;
    }
    return n_bytes;
}

static void describe_object(const struct memory_object *held, struct nsm_census *census)
{
    struct nsm_object *const object = nsm_census_add_object(census);
    copy_shape(&census->arena, &held->shape, object);
    object->n_records = held->n_entries;
    object->n_bytes = 0;
    object->is_exact = true;
    object->version = nsm_arena_printf(&census->arena, "%" PRIu64, held->version);
    for (size_t i = 0; i < held->n_entries; i++)
        object->n_bytes += entry_bytes(&held->entries[i]);
}

/* An object of a target that the store has not: empty. */
static void describe_missing(const struct nsm_object *wanted, struct nsm_census *census)
{
    struct nsm_object *const object = nsm_census_add_object(census);
    copy_shape(&census->arena, wanted, object);
    object->n_records = object->n_bytes = 0;
    object->is_exact = true;
}

bool memory_store_describe(struct memory_store *store, const char *namespace_name,
                           const struct nsm_census *only, struct nsm_census *census)
{
    pthread_mutex_lock(&store->mutex);
    struct memory_namespace *const ns = get_namespace(store, namespace_name);
    for (size_t i = 0; !only && ns && i < ns->n_objects; i++)
        describe_object(&ns->objects[i], census);
    for (size_t i = 0; only && i < only->n_objects; i++) {
        const struct memory_object *const held = get_object(ns, &only->objects[i]);
        if (held)
            describe_object(held, census);
        else
            describe_missing(&only->objects[i], census);
    }
    pthread_mutex_unlock(&store->mutex);
    return ns != NULL;
}

bool memory_store_find(struct memory_store *store, const char *namespace_name,
                       const struct nsm_object *object, const char *run_id, uint64_t *ret_n_records,
                       bool *ret_is_ours)
{
    pthread_mutex_lock(&store->mutex);
    const struct memory_object *const held =
        get_object(get_namespace(store, namespace_name), object);
    if (held) {
        *ret_n_records = held->n_entries;
        *ret_is_ours = held->run == run_hash(run_id);
    }
    pthread_mutex_unlock(&store->mutex);
    return held != NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void memory_store_list(struct memory_store *store, const char *glob, nsm_name_fn *fn, void *arg)
{
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    size_t n_names = 0;
    pthread_mutex_lock(&store->mutex);
    const char **const names = nsm_arena_calloc(&arena, store->n_namespaces + 1, sizeof(*names));
    for (size_t i = 0; i < store->n_namespaces; i++) {
        const char *const name = store->namespaces[i].name;
        if (nsm_glob_matches(nsm_str_of(glob), nsm_str_of(name)))
            names[n_names++] = nsm_arena_strdup(&arena, name);
    }
    pthread_mutex_unlock(&store->mutex);
    qsort(names, n_names, sizeof(*names), compare_names);
    for (size_t i = 0; i < n_names; i++)
        fn(arg, names[i]);
}

uint64_t memory_store_read(struct memory_store *store, const char *namespace_name,
                           const struct nsm_read_request *request, uint64_t from, uint64_t end,
                           struct nsm_batch *batch)
{
    pthread_mutex_lock(&store->mutex);
    const struct memory_object *const object =
        get_object(get_namespace(store, namespace_name), request->object);
    uint64_t at = from;
    for (; object && at < end && at < object->n_entries; at++) {
        if (batch->n_records >= request->batch_records || batch->n_bytes >= request->batch_bytes)
            break;
        for (const struct memory_slice *slice = object->entries[at].first; slice;
             slice = slice->next)
            memory_slice_read(slice, batch);
    }
    const bool is_over = !object || at >= object->n_entries;
    pthread_mutex_unlock(&store->mutex);
    return is_over ? end : at;
}

uint64_t nsm_memory_store_records(const char *name, const char *namespace_name)
{
    struct memory_store *const store = memory_stores_find(name);
    uint64_t n_records = 0;
    if (!store)
        return 0;
    pthread_mutex_lock(&store->mutex);
    const struct memory_namespace *const ns = get_namespace(store, namespace_name);
    for (size_t i = 0; ns && i < ns->n_objects; i++)
        n_records += ns->objects[i].n_entries;
    pthread_mutex_unlock(&store->mutex);
    return n_records;
}

/* ---- changing ---- */

static struct memory_namespace *make_namespace(struct memory_store *store, const char *name)
{
    struct memory_namespace *const ns = get_namespace(store, name);
    if (ns)
        return ns;
    const size_t index = store->n_namespaces;
    NSM_GROW(store->namespaces, store->n_namespaces, store->cap_namespaces);
    assert(store->namespaces);
    store->namespaces[index] = (struct memory_namespace){.name = nsm_xstrdup(name)};
    memory_index_add(&store->by_name, nsm_str_of(name), index);
    store->n_namespaces++;
    return &store->namespaces[index];
}

static struct memory_object *make_object(struct memory_store *store, struct memory_namespace *ns,
                                         const struct nsm_object *shape)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    write_object_id(shape, &text);
    const struct nsm_str id = nsm_arena_copy(&store->arena, nsm_buf_view(&text));
    const size_t index = ns->n_objects;
    NSM_GROW(ns->objects, ns->n_objects, ns->cap_objects);
    assert(ns->objects);
    ns->objects[index] = (struct memory_object){.id = id};
    memory_index_add(&ns->by_id, id, index);
    ns->n_objects++;
    return &ns->objects[index];
}

void memory_store_prepare(struct memory_store *store, const char *namespace_name,
                          const struct nsm_destination *destination)
{
    const uint64_t run = run_hash(destination->backend->run_id);
    pthread_mutex_lock(&store->mutex);
    struct memory_namespace *const ns = make_namespace(store, namespace_name);
    for (size_t i = 0; i < destination->target.n_objects; i++) {
        const struct nsm_object *const shape = &destination->target.objects[i];
        struct memory_object *object = get_object(ns, shape);
        const bool is_ours = object && (object->run == run || destination->is_ours);
        if (object && (is_ours || destination->if_exists != NSM_IF_EXISTS_REPLACE))
            continue;
        if (object)
            memory_object_clear(object);
        else
            object = make_object(store, ns, shape);
        copy_shape(&store->arena, shape, &object->shape);
        object->run = run;
    }
    store->counts.n_prepared++;
    pthread_mutex_unlock(&store->mutex);
}

bool memory_store_holds_foreign(struct memory_store *store, const char *namespace_name,
                                const struct nsm_write_request *request,
                                const struct memory_slice *slice)
{
    pthread_mutex_lock(&store->mutex);
    const struct memory_object *const object =
        get_object(get_namespace(store, namespace_name), request->object);
    const struct memory_entry *const entry = object ? get_entry(object, slice->key) : NULL;
    const bool is_foreign = entry && entry->run != run_hash(request->destination->backend->run_id);
    pthread_mutex_unlock(&store->mutex);
    return is_foreign;
}

/* Takes the slice; false when it continues a key that is not there. */
static bool put_slice(struct memory_store *store, struct memory_object *object,
                      struct memory_slice *slice, uint64_t run)
{
    struct memory_entry *entry = get_entry(object, slice->key);
    const bool is_continued = slice->record.flags & NSM_RECORD_CONTINUED;
    if (is_continued && !entry) {
        free(slice);
        return false;
    }
    if (is_continued) {
        entry->last->next = slice;
        entry->last = slice;
        return true;
    }
    const struct memory_entry made = {.run = run, .first = slice, .last = slice};
    if (entry) {
        memory_slice_free_all(entry->first);
        *entry = made;
    } else {
        if (has_key(object))
            memory_index_add(&object->by_key, slice->key, object->n_entries);
        NSM_GROW(object->entries, object->n_entries, object->cap_entries);
        assert(object->entries);
        object->entries[object->n_entries++] = made;
    }
    store->counts.n_written++;
    return true;
}

static void put_checkpoint(struct memory_namespace *ns, size_t object, uint64_t run,
                           const struct nsm_checkpoint *checkpoint)
{
    struct memory_checkpoint *held = NULL;
    for (size_t i = 0; i < ns->n_checkpoints && !held; i++) {
        struct memory_checkpoint *const other = &ns->checkpoints[i];
        if (other->run == run && nsm_str_equals(other->checkpoint.part_id, checkpoint->part_id))
            held = other;
    }
    if (held) {
        memory_checkpoint_release(held);
    } else {
        NSM_GROW(ns->checkpoints, ns->n_checkpoints, ns->cap_checkpoints);
        held = &ns->checkpoints[ns->n_checkpoints++];
    }
    *held = (struct memory_checkpoint){.run = run, .object = object, .checkpoint = *checkpoint};
    held->checkpoint.part_id.ptr = nsm_xstrndup(checkpoint->part_id);
    held->checkpoint.resume.ptr = nsm_xstrndup(checkpoint->resume);
}

struct nsm_error *memory_store_commit(struct memory_store *store, const char *namespace_name,
                                      const struct nsm_write_request *request,
                                      struct memory_pending *pending,
                                      const struct nsm_checkpoint *checkpoint)
{
    const uint64_t run = run_hash(request->destination->backend->run_id);
    bool is_whole = true;
    pthread_mutex_lock(&store->mutex);
    struct memory_namespace *const ns = get_namespace(store, namespace_name);
    struct memory_object *const object = get_object(ns, request->object);
    while (object && pending->first) {
        struct memory_slice *const slice = pending->first;
        pending->first = slice->next;
        slice->next = NULL;
        is_whole &= put_slice(store, object, slice, run);
    }
    if (object) {
        put_checkpoint(ns, (size_t)(object - ns->objects), run, checkpoint);
        object->version++;
        store->counts.n_checkpoints++;
    }
    pthread_mutex_unlock(&store->mutex);

    memory_slice_free_all(pending->first);
    *pending = (struct memory_pending){0};
    if (!object)
        return nsm_error_new(NSM_E_NOTFOUND, "object \"%s\" is gone", request->object->name);
    return is_whole ? NULL
                    : nsm_error_new(NSM_E_INTERNAL,
                                    "object \"%s\": a slice of a key whose "
                                    "beginning was never written",
                                    request->object->name);
}

/* Moves the entries that stay down, and indexes them anew. */
static void remove_entries(struct memory_object *object, uint64_t run)
{
    size_t n_kept = 0;
    memory_index_release(&object->by_key);
    for (size_t i = 0; i < object->n_entries; i++) {
        const struct memory_entry entry = object->entries[i];
        if (entry.run == run) {
            memory_slice_free_all(entry.first);
            continue;
        }
        if (has_key(object))
            memory_index_add(&object->by_key, entry.first->key, n_kept);
        object->entries[n_kept++] = entry;
    }
    object->n_entries = n_kept;
    object->version++;
}

/* Of one object, or of all (NSM_NO_OBJECT). */
static void remove_checkpoints(struct memory_namespace *ns, size_t object, uint64_t run)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < ns->n_checkpoints; i++) {
        struct memory_checkpoint *const held = &ns->checkpoints[i];
        if (held->run == run && (object == NSM_NO_OBJECT || held->object == object))
            memory_checkpoint_release(held);
        else
            ns->checkpoints[n_kept++] = *held;
    }
    ns->n_checkpoints = n_kept;
}

void memory_store_reset(struct memory_store *store, const char *namespace_name,
                        const struct nsm_object *object, const char *run_id)
{
    pthread_mutex_lock(&store->mutex);
    struct memory_namespace *const ns = get_namespace(store, namespace_name);
    struct memory_object *const held = get_object(ns, object);
    if (held) {
        remove_entries(held, run_hash(run_id));
        remove_checkpoints(ns, (size_t)(held - ns->objects), run_hash(run_id));
    }
    pthread_mutex_unlock(&store->mutex);
}

void memory_store_complete(struct memory_store *store, const char *namespace_name,
                           const char *run_id)
{
    pthread_mutex_lock(&store->mutex);
    struct memory_namespace *const ns = get_namespace(store, namespace_name);
    if (ns)
        remove_checkpoints(ns, NSM_NO_OBJECT, run_hash(run_id));
    store->counts.n_completed++;
    pthread_mutex_unlock(&store->mutex);
}

struct found {
    struct nsm_arena arena;
    struct nsm_checkpoint *checkpoints;
    size_t n, cap;
};

static void find_checkpoints(const struct memory_namespace *ns, uint64_t run, struct found *found)
{
    for (size_t i = 0; i < ns->n_checkpoints; i++) {
        struct nsm_checkpoint copy = ns->checkpoints[i].checkpoint;
        if (ns->checkpoints[i].run != run)
            continue;
        copy.part_id = nsm_arena_copy(&found->arena, copy.part_id);
        copy.resume = nsm_arena_copy(&found->arena, copy.resume);
        NSM_GROW(found->checkpoints, found->n, found->cap);
        found->checkpoints[found->n++] = copy;
    }
}

void memory_store_checkpoints(struct memory_store *store, const char *run_id, nsm_checkpoint_fn *fn,
                              void *arg)
{
    struct found found = {0};
    pthread_mutex_lock(&store->mutex);
    for (size_t i = 0; i < store->n_namespaces; i++)
        find_checkpoints(&store->namespaces[i], run_hash(run_id), &found);
    pthread_mutex_unlock(&store->mutex);
    for (size_t i = 0; i < found.n; i++)
        fn(arg, &found.checkpoints[i]);
    free(found.checkpoints);
    nsm_arena_release(&found.arena);
}
