/* See definitions.h. */
#include "migrate/engine/definitions.h"

#include "migrate/base/alloc.h"

/* How many differing definitions of a namespace are named; all are counted. */
#define MAX_NAMED 1000
/* How many namespaces are described at once: bounds the memory, and what a lost connection costs. */
#define MAX_AT_ONCE 256

/* ---- merge ---- */

static int by_name(const void *a, const void *b)
{
    const struct nsm_definition *const left = a;
    const struct nsm_definition *const right = b;
    const int order = strcmp(left->kind, right->kind);
    return order ? order : strcmp(left->name, right->name);
}

static void sort(struct nsm_description *description)
{
    if (description->n_items > 0)
        qsort(description->items, description->n_items, sizeof(*description->items), by_name);
}

/* Which of the two heads comes first: < 0, the source's; 0, both are of one name. One of them stands. */
static int order_of(const struct nsm_description *source, size_t here,
                    const struct nsm_description *destination, size_t there)
{
    if (here == source->n_items)
        return 1;
    if (there == destination->n_items)
        return -1;
    return by_name(&source->items[here], &destination->items[there]);
}

void nsm_definitions_merge(struct nsm_description *source, struct nsm_description *destination,
                           nsm_definitions_fn *fn, void *arg)
{
    sort(source);
    sort(destination);
    size_t here = 0;
    size_t there = 0;
    while (here < source->n_items || there < destination->n_items) {
        const int order = order_of(source, here, destination, there);
        if (order < 0)
            fn(arg, '+', &source->items[here]);
        else if (order > 0 && !destination->items[there].is_alone)
            fn(arg, '-', &destination->items[there]);
        else if (order == 0 &&
                 strcmp(source->items[here].text, destination->items[there].text) != 0)
            fn(arg, '*', &source->items[here]);
        here += order <= 0;
        there += order >= 0;
    }
}

/* ---- describe ---- */

/* Namespaces with the same source and the same destination. */
struct describing {
    struct nsm_ns **namespaces;
    size_t n;
    struct nsm_description *sources, *destinations;
};

static void forget(struct describing *describing)
{
    for (size_t at = 0; at < describing->n; at++) {
        nsm_description_release(&describing->sources[at]);
        nsm_description_release(&describing->destinations[at]);
    }
}

static struct nsm_error *describe_side(struct nsm_store *store, struct nsm_context *ctx,
                                       struct nsm_description *descriptions, size_t n)
{
    NSM_CLEANUP(nsm_freep)
    struct nsm_description **list = nsm_xcalloc(n, sizeof(struct nsm_description *));
    for (size_t at = 0; at < n; at++)
        list[at] = &descriptions[at];
    return nsm_error_wrap(store->adapter->describe(store->backend, ctx, list, n), "backend %s",
                          store->plan->name);
}

static struct nsm_error *describe_once(struct nsm_context *ctx, void *arg)
{
    struct describing *const describing = arg;
    const struct nsm_ns *const first = describing->namespaces[0];
    forget(describing); /* what an attempt before left */
    NSM_TRY(describe_side(first->source_store, ctx, describing->sources, describing->n));
    return describe_side(first->destination_store, ctx, describing->destinations, describing->n);
}

/* ---- tell ---- */

static void keep(void *arg, char mark, const struct nsm_definition *definition)
{
    struct nsm_ns *const ns = arg;
    ns->n_missing += mark == '+';
    ns->n_extra += mark == '-';
    ns->n_different += mark == '*';
    if (++ns->n_definitions > MAX_NAMED)
        return;
    nsm_ns_add_difference(ns, &(struct nsm_difference){
                                  .mark = mark,
                                  .is_definition = true,
                                  .object = definition->kind,
                                  .key = definition->name,
                              });
}

bool nsm_definitions_are_compared(const struct nsm_ns *ns)
{
    return ns->is_inspected && !ns->survey_error && ns->destination.source &&
           ns->destination_store->adapter->describe && ns->stage.layout == NSM_LAYOUT_DEFAULT &&
           ns->plan->verify != NSM_VERIFY_COUNT && ns->plan->n_columns == 0 &&
           (ns->plan->if_exists == NSM_IF_EXISTS_FAIL ||
            ns->plan->if_exists == NSM_IF_EXISTS_REPLACE);
}

/* ---- namespaces ---- */

static void begin(struct nsm_ns *ns, struct nsm_description *source,
                  struct nsm_description *destination)
{
    *source = (struct nsm_description){.destination = &ns->destination, .is_source = true};
    *destination = (struct nsm_description){.destination = &ns->destination};
}

static struct nsm_error *compare_some(struct nsm_ns **namespaces, size_t n, struct nsm_context *ctx)
{
    NSM_CLEANUP(nsm_freep)
    struct nsm_description *sources = nsm_xcalloc(n, sizeof(*sources));
    NSM_CLEANUP(nsm_freep)
    struct nsm_description *destinations = nsm_xcalloc(n, sizeof(*destinations));
    for (size_t at = 0; at < n; at++)
        begin(namespaces[at], &sources[at], &destinations[at]);
    struct describing describing = {namespaces, n, sources, destinations};
    struct nsm_error *const error = nsm_attempt(
        namespaces[0]->migration, n == 1 ? namespaces[0] : NULL, ctx, describe_once, &describing);
    for (size_t at = 0; at < n && !error; at++)
        nsm_definitions_merge(&sources[at], &destinations[at], keep, namespaces[at]);
    forget(&describing);
    return error;
}

struct nsm_error *nsm_definitions_compare(struct nsm_ns *ns, struct nsm_context *ctx)
{
    return nsm_error_wrap(compare_some(&ns, 1, ctx), "compare definitions");
}

/* What is wrong with one must not be the others' error. */
static struct nsm_error *compare_each(struct nsm_ns **namespaces, size_t n, struct nsm_context *ctx)
{
    for (size_t at = 0; at < n; at++) {
        namespaces[at]->survey_error = nsm_definitions_compare(namespaces[at], ctx);
        NSM_TRY(nsm_context_error(ctx));
    }
    return NULL;
}

static bool is_same_pair(const struct nsm_ns *one, const struct nsm_ns *other)
{
    return one->source_store == other->source_store &&
           one->destination_store == other->destination_store;
}

/* The next ones from `*at` on that have the stores of the first. */
static size_t take_some(struct nsm_migration *migration, size_t *at, struct nsm_ns **some)
{
    size_t n = 0;
    for (; *at < migration->n_namespaces && n < MAX_AT_ONCE; (*at)++) {
        struct nsm_ns *const ns = &migration->namespaces[*at];
        if (!nsm_definitions_are_compared(ns))
            continue;
        if (n > 0 && !is_same_pair(some[0], ns))
            break;
        some[n++] = ns;
    }
    return n;
}

struct nsm_error *nsm_definitions_compare_all(struct nsm_migration *migration,
                                              struct nsm_context *ctx)
{
    struct nsm_ns *some[MAX_AT_ONCE];
    size_t at = 0;
    for (size_t n = take_some(migration, &at, some); n > 0; n = take_some(migration, &at, some)) {
        NSM_CLEANUP(nsm_error_freep) struct nsm_error *error = compare_some(some, n, ctx);
        NSM_TRY(nsm_context_error(ctx));
        if (error)
            NSM_TRY(compare_each(some, n, ctx));
    }
    return NULL;
}

/* ---- repair ---- */

struct mending {
    struct describing describing;
    struct nsm_change *changes;
    size_t n, cap;
    uint64_t n_found; /* also those that only the destination has */
};

static void want(void *arg, char mark, const struct nsm_definition *definition)
{
    struct mending *const mending = arg;
    mending->n_found++;
    if (mark == '-')
        return;
    NSM_GROW(mending->changes, mending->n, mending->cap);
    mending->changes[mending->n++] =
        (struct nsm_change){.wanted = definition, .is_missing = mark == '+'};
}

static struct nsm_error *look(struct nsm_context *ctx, struct mending *mending)
{
    struct describing *const describing = &mending->describing;
    NSM_TRY(describe_once(ctx, describing));
    mending->n = 0;
    mending->n_found = 0;
    nsm_definitions_merge(describing->sources, describing->destinations, want, mending);
    return NULL;
}

static struct nsm_error *mend_once(struct nsm_context *ctx, void *arg)
{
    struct mending *const mending = arg;
    struct nsm_ns *const ns = mending->describing.namespaces[0];
    const struct nsm_store *const store = ns->destination_store;
    NSM_TRY(look(ctx, mending));
    if (!store->adapter->mend || mending->n == 0)
        return NULL;
    NSM_TRY_WRAP(store->adapter->mend(&ns->destination, ctx, mending->changes, mending->n),
                 "backend %s", store->plan->name);
    return look(ctx, mending);
}

struct nsm_error *nsm_definitions_mend(struct nsm_ns *ns, struct nsm_context *ctx,
                                       uint64_t *ret_n_left)
{
    struct nsm_description source;
    struct nsm_description destination;
    struct mending mending = {.describing = {&ns, 1, &source, &destination}};
    begin(ns, &source, &destination);
    struct nsm_error *const error = nsm_attempt(ns->migration, ns, ctx, mend_once, &mending);
    forget(&mending.describing);
    free(mending.changes);
    *ret_n_left = mending.n_found;
    return nsm_error_wrap(error, "bring definitions");
}
