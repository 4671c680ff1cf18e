/*
 * What the destinations themselves say of the parts of an interrupted run: one question to each, then looked up by part. A
 * destination's own word wins over the ledger's.
 */
#include "migrate/engine/internal.h"

#include "migrate/base/alloc.h"

struct nsm_checkpoint_index {
    struct nsm_arena arena;
    struct nsm_checkpoint *items; /* sorted by part_id */
    size_t n_items, cap_items;
};

static struct nsm_checkpoint copy_checkpoint(struct nsm_arena *arena,
                                             const struct nsm_checkpoint *from)
{
    struct nsm_checkpoint copy = *from;
    copy.part_id = nsm_arena_copy(arena, from->part_id);
    copy.resume = nsm_arena_copy(arena, from->resume);
    return copy;
}

static void collect(void *arg, const struct nsm_checkpoint *checkpoint)
{
    struct nsm_checkpoint_index *const index = arg;
    NSM_GROW(index->items, index->n_items, index->cap_items);
    index->items[index->n_items++] = copy_checkpoint(&index->arena, checkpoint);
}

static int by_part_id(const void *a, const void *b)
{
    const struct nsm_checkpoint *const left = a;
    const struct nsm_checkpoint *const right = b;
    return nsm_str_compare(left->part_id, right->part_id);
}

struct question {
    const struct nsm_store *store;
    struct nsm_checkpoint_index *index;
    size_t n_before;
};

static struct nsm_error *load_once(struct nsm_context *ctx, void *arg)
{
    const struct question *const question = arg;
    question->index->n_items = question->n_before;
    return nsm_error_wrap(question->store->adapter->load_checkpoints(question->store->backend, ctx,
                                                                     collect, question->index),
                          "backend %s", question->store->plan->name);
}

struct nsm_error *nsm_checkpoints_load(struct nsm_migration *migration, struct nsm_context *ctx)
{
    struct nsm_checkpoint_index *const index = nsm_xcalloc(1, sizeof(*index));
    migration->checkpoints = index;
    for (size_t at = 0; at < migration->plan->n_backends; at++) {
        const struct nsm_store *const store = &migration->stores[at];
        if (store->is_destination && (store->adapter->caps & NSM_CAP_TX_CHECKPOINT)) {
            struct question question = {.store = store, .index = index, .n_before = index->n_items};
            NSM_TRY(nsm_attempt(migration, NULL, ctx, load_once, &question));
        }
    }
    if (index->n_items > 0)
        qsort(index->items, index->n_items, sizeof(*index->items), by_part_id);
    return NULL;
}

const struct nsm_checkpoint *nsm_checkpoints_find(const struct nsm_migration *migration,
                                                  struct nsm_str part_id)
{
    const struct nsm_checkpoint_index *const index = migration->checkpoints;
    if (!index || index->n_items == 0)
        return NULL;
    const struct nsm_checkpoint wanted = {.part_id = part_id};
    return bsearch(&wanted, index->items, index->n_items, sizeof(*index->items), by_part_id);
}

void nsm_checkpoints_free(struct nsm_checkpoint_index *index)
{
    if (!index)
        return;
    nsm_arena_release(&index->arena);
    free(index->items);
    free(index);
}

struct search {
    struct nsm_str part_id;
    struct nsm_arena *arena;
    struct nsm_checkpoint *found;
    bool is_found;
};

static void look(void *arg, const struct nsm_checkpoint *checkpoint)
{
    struct search *const search = arg;
    if (nsm_str_equals(checkpoint->part_id, search->part_id)) {
        *search->found = copy_checkpoint(search->arena, checkpoint);
        search->is_found = true;
    }
}

struct nsm_error *nsm_checkpoint_ask(struct nsm_ns *ns, struct nsm_context *ctx,
                                     struct nsm_str part_id, struct nsm_arena *arena,
                                     struct nsm_checkpoint *ret, bool *ret_is_found)
{
    const struct nsm_store *const store = ns->destination_store;
    struct nsm_checkpoint found = {0};
    struct search search = {.part_id = part_id, .arena = arena, .found = &found};
    NSM_TRY_WRAP(store->adapter->load_checkpoints(store->backend, ctx, look, &search), "backend %s",
                 store->plan->name);
    *ret = found;
    *ret_is_found = search.is_found;
    return NULL;
}
