/*
 * Looking before anything is touched: every store is asked once for all its namespaces, all stores at the same time. What is
 * wrong with one namespace alone stays with it, so that preview can show the others and on_error: continue can run them.
 */
#include "migrate/engine/internal.h"

#include "migrate/base/alloc.h"

#include <assert.h>

/* The namespaces of one store, seen from one side. */
struct store_side {
    struct nsm_migration *migration;
    struct nsm_store *store;
    struct nsm_ns **namespaces;
    size_t n;
};

typedef struct nsm_error *ask_fn(struct nsm_context *ctx, struct store_side *side);

/* ---- asking all stores at once ---- */

static struct nsm_error *ask_sources(struct nsm_context *ctx, struct store_side *side)
{
    NSM_CLEANUP(nsm_freep)
    struct nsm_source **sources = nsm_xcalloc(side->n, sizeof(struct nsm_source *));
    for (size_t at = 0; at < side->n; at++) {
        sources[at] = &side->namespaces[at]->source;
        nsm_source_close(sources[at]);
    }
    return side->store->adapter->survey(side->store->backend, ctx, sources, side->n);
}

static void close_destination(struct nsm_destination *destination)
{
    if (destination->state) {
        destination->backend->adapter->release_destination(destination);
        destination->state = NULL;
    }
    nsm_census_release(&destination->target);
    destination->target = (struct nsm_census){0};
}

static struct nsm_error *ask_destinations(struct nsm_context *ctx, struct store_side *side)
{
    NSM_CLEANUP(nsm_freep)
    struct nsm_destination **destinations = nsm_xcalloc(side->n, sizeof(struct nsm_destination *));
    for (size_t at = 0; at < side->n; at++) {
        destinations[at] = &side->namespaces[at]->destination;
        close_destination(destinations[at]);
    }
    return side->store->adapter->inspect(side->store->backend, ctx, destinations, side->n);
}

struct question {
    ask_fn *ask;
    struct store_side *side;
};

static struct nsm_error *ask_once(struct nsm_context *ctx, void *arg)
{
    const struct question *const question = arg;
    return nsm_error_wrap(question->ask(ctx, question->side), "backend %s",
                          question->side->store->plan->name);
}

/* Asks for all of the side's namespaces. When that fails for a reason of the data, each is asked for alone, to find whose it
 * is; a store that can't be used fails all of them. */
static struct nsm_error *ask_store(struct nsm_context *ctx, struct store_side *side, ask_fn *ask)
{
    struct question question = {.ask = ask, .side = side};
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_attempt(side->migration, NULL, ctx, ask_once, &question);
    if (!error)
        return NULL;
    if (nsm_context_is_canceled(ctx))
        return NSM_STEAL(error);
    const bool is_the_store =
        nsm_code_is_retryable(nsm_error_code(error)) || nsm_error_is(error, NSM_E_AUTH);
    for (size_t at = 0; at < side->n; at++) {
        struct nsm_ns *ns = side->namespaces[at];
        struct store_side alone = {
            .migration = side->migration, .store = side->store, .namespaces = &ns, .n = 1};
        question.side = &alone;
        ns->survey_error = side->n == 1 || is_the_store
                               ? nsm_error_clone(error)
                               : nsm_attempt(side->migration, ns, ctx, ask_once, &question);
    }
    return nsm_context_error(ctx);
}

static struct nsm_error *ask_sources_of_store(struct nsm_context *ctx, void *arg)
{
    return ask_store(ctx, arg, ask_sources);
}

static struct nsm_error *ask_destinations_of_store(struct nsm_context *ctx, void *arg)
{
    return ask_store(ctx, arg, ask_destinations);
}

static void free_sides(struct store_side *sides, size_t n)
{
    for (size_t at = 0; at < n; at++)
        free(sides[at].namespaces);
    free(sides);
}

enum side_of {
    SIDE_SOURCE,
    SIDE_DESTINATION,
};

static struct store_side *make_sides(struct nsm_migration *migration, enum side_of which)
{
    struct store_side *const sides = nsm_xcalloc(migration->plan->n_backends, sizeof(*sides));
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        if (ns->was_done || ns->survey_error || (which == SIDE_DESTINATION && !ns->is_laid_out))
            continue;
        struct nsm_store *const store =
            which == SIDE_SOURCE ? ns->source_store : ns->destination_store;
        struct store_side *const side = &sides[store - migration->stores];
        side->migration = migration;
        side->store = store;
        if (!side->namespaces)
            side->namespaces = nsm_xcalloc(migration->n_namespaces, sizeof(struct nsm_ns *));
        side->namespaces[side->n++] = ns;
    }
    return sides;
}

static struct nsm_error *ask_all(struct nsm_migration *migration, struct nsm_context *ctx,
                                 enum side_of which)
{
    struct store_side *const sides = make_sides(migration, which);
    NSM_CLEANUP(nsm_group_freep)
    struct nsm_group *group = nsm_group_new(ctx, migration->plan->workers);
    for (size_t at = 0; at < migration->plan->n_backends; at++) {
        if (sides[at].n > 0) {
            nsm_group_go(group,
                         which == SIDE_SOURCE ? ask_sources_of_store : ask_destinations_of_store,
                         &sides[at]);
        }
    }
    struct nsm_error *const error = nsm_group_wait(group);
    free_sides(sides, migration->plan->n_backends);
    return error;
}

/* ---- between source and destination ---- */

enum nsm_lane nsm_lane_choose(const struct nsm_adapter *source,
                              const struct nsm_adapter *destination, bool is_laid_out)
{
    for (size_t at = 0; at < source->n_lanes && !is_laid_out; at++) {
        const enum nsm_lane lane = source->lanes[at].lane;
        if (source->lanes[at].reads && nsm_adapter_writes(destination, lane))
            return lane;
    }
    return NSM_LANE_RECORD;
}

/* A raw row can only pass where the columns are of the same types. */
static bool has_same_columns(const struct nsm_object *a, const struct nsm_object *b)
{
    if (a->n_columns != b->n_columns)
        return false;
    for (size_t at = 0; at < a->n_columns; at++)
        if (strcmp(a->columns[at].type_name, b->columns[at].type_name) != 0)
            return false;
    return true;
}

static enum nsm_lane lane_of(struct nsm_ns *ns)
{
    const struct nsm_layout_stage *const stage = &ns->stage;
    const char *const at_source = ns->source.census.only_record;
    const char *const only_record = at_source ? at_source : ns->destination.target.only_record;
    const enum nsm_lane lane =
        nsm_lane_choose(ns->source_store->adapter, ns->destination_store->adapter,
                        stage->layout != NSM_LAYOUT_DEFAULT);
    if (lane != NSM_LANE_RECORD && only_record) {
        nsm_findings_add(&ns->layout_findings, NSM_FINDING_NOTE, "", 1,
                         "goes in lane record instead of %s: %s", nsm_lane_name(lane), only_record);
        return NSM_LANE_RECORD;
    }
    if (lane != NSM_LANE_PGCOPY)
        return lane;
    for (size_t at = 0; at < stage->shape.n_objects; at++)
        if (!has_same_columns(&stage->shape.objects[at], &ns->destination.target.objects[at]))
            return NSM_LANE_RECORD;
    return lane;
}

/* The layout `columns` makes a column of every field, so all hashes are looked at once before. */
static struct nsm_error *learn_fields(struct nsm_ns *ns, struct nsm_context *ctx)
{
    const struct nsm_adapter *const adapter = ns->source_store->adapter;
    NSM_CLEANUP(nsm_batch_release) struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (size_t at = 0; at < ns->source.census.n_parts; at++) {
        const struct nsm_part *const part = &ns->source.census.parts[at];
        const struct nsm_read_request request = {
            .source = &ns->source,
            .part = part,
            .object = &ns->source.census.objects[part->object],
            .lane = NSM_LANE_RECORD,
            .batch_records = ns->migration->plan->batch_records,
            .batch_bytes = ns->migration->plan->batch_bytes,
        };
        NSM_CLEANUP(nsm_freep)
        struct nsm_reader *reader = nsm_xcalloc(1, adapter->reader_size);
        reader->backend = ns->source_store->backend;
        reader->request = &request;
        NSM_TRY(adapter->reader_open(reader, ctx));
        struct nsm_error *error = NULL;
        for (bool is_end = false; !is_end && !error;) {
            nsm_batch_clear(&batch);
            error = adapter->read(reader, ctx, &batch, &is_end);
            if (!error)
                error = nsm_layout_learn(&ns->stage, &batch);
        }
        adapter->reader_close(reader);
        NSM_TRY(error);
    }
    return NULL;
}

static struct nsm_error *learn_once(struct nsm_context *ctx, void *arg)
{
    return learn_fields(arg, ctx);
}

static bool has_rows(const struct nsm_census *census)
{
    return census->n_objects == 0 || census->objects[0].model == NSM_MODEL_ROWS;
}

/* An archive may hold what another kind of store has: then it is as if that store itself were the source. */
static void choose_definition(struct nsm_ns *ns)
{
    const struct nsm_adapter *const source = ns->source_store->adapter;
    const struct nsm_adapter *const destination = ns->destination_store->adapter;
    const struct nsm_census *const census = &ns->source.census;
    const char *const maker = census->maker ? census->maker : source->name;
    const bool is_own = strcmp(maker, destination->name) == 0;
    const bool is_archived = destination->caps & NSM_CAP_ARCHIVE;
    ns->destination.source_adapter = maker;
    ns->is_as_it_was =
        has_rows(census) && (is_own || is_archived) && ns->stage.layout == NSM_LAYOUT_DEFAULT;
    ns->destination.definition = NULL;
    if (ns->plan->n_columns > 0 && ns->is_as_it_was && (census->definition || source->define))
        nsm_findings_add(&ns->layout_findings, NSM_FINDING_NOTE, "", 1,
                         "with chosen columns, tables that are made have their columns and primary "
                         "keys alone: indexes, other constraints, defaults, computed columns, "
                         "sequences, triggers, views, comments and rights stay behind");
    else if (ns->is_as_it_was && census->definition)
        ns->destination.definition = census->definition;
    else if (ns->is_as_it_was && source->define)
        ns->destination.definition = ns->definition_path;
}

/* The layout as the plan has it, with its columns and keys. */
static struct nsm_error *begin_layout(struct nsm_ns *ns)
{
    const struct nsm_plan *const plan = ns->migration->plan;
    const struct nsm_census *source = &ns->source.census;
    if (ns->plan->n_columns > 0) {
        NSM_TRY(nsm_columns_choose(plan, ns->plan, &ns->source.census, &ns->columns,
                                   &ns->layout_findings));
        source = &ns->columns.census;
    }
    ns->is_laid_out = true;
    NSM_TRY(nsm_layout_init(&ns->stage, ns->plan->layout, source,
                            ns->destination_store->adapter->caps, ns->plan->name));
    ns->stage.picks = ns->columns.picks;
    if (ns->plan->key.n_pieces == 0)
        return NULL;
    return nsm_error_wrap(nsm_layout_set_key(&ns->stage, &ns->plan->key), "%s:%u:%u: key",
                          plan->path, ns->plan->key_line, ns->plan->key_column);
}

static struct nsm_error *lay_out(struct nsm_ns *ns, struct nsm_context *ctx)
{
    NSM_TRY(begin_layout(ns));
    if (nsm_layout_needs_fields(&ns->stage)) {
        NSM_TRY_WRAP(nsm_attempt(ns->migration, ns, ctx, learn_once, ns),
                     "look for the fields of all hashes");
        nsm_layout_end_learning(&ns->stage);
    }
    const bool is_same_adapter = ns->source_store->adapter == ns->destination_store->adapter;
    ns->destination.shape = &ns->stage.shape;
    ns->destination.source = is_same_adapter ? &ns->source : NULL;
    choose_definition(ns);
    return NULL;
}

static void lay_out_all(struct nsm_migration *migration, struct nsm_context *ctx)
{
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        if (ns->was_done || ns->survey_error)
            continue;
        ns->is_surveyed = true;
        ns->survey_error = lay_out(ns, ctx);
        uint64_t records = 0;
        uint64_t bytes = 0;
        for (size_t object = 0; object < ns->source.census.n_objects; object++) {
            records += ns->source.census.objects[object].n_records;
            bytes += ns->source.census.objects[object].n_bytes;
        }
        atomic_store(&ns->total_records, records);
        atomic_store(&ns->total_bytes, bytes);
    }
}

/* ---- what several namespaces would do to each other ---- */

/* A table, or a space of keys, that a namespace writes. */
struct claim {
    const struct nsm_store *store;
    const char *schema, *name;
    struct nsm_str prefix;
    struct nsm_ns *ns;
};

struct claims {
    struct claim *items;
    size_t n, cap;
};

static int by_target(const void *a, const void *b)
{
    const struct claim *const left = a;
    const struct claim *const right = b;
    if (left->store != right->store)
        return left->store < right->store ? -1 : 1;
    int order = strcmp(left->schema, right->schema);
    order = order ? order : strcmp(left->name, right->name);
    order = order ? order : nsm_str_compare(left->prefix, right->prefix);
    if (order)
        return order;
    return (left->ns > right->ns) - (left->ns < right->ns);
}

static bool is_same_target(const struct claim *a, const struct claim *b)
{
    return a->store == b->store && strcmp(a->schema, b->schema) == 0 &&
           strcmp(a->name, b->name) == 0 && nsm_str_equals(a->prefix, b->prefix) &&
           strcmp(a->ns->destination.target.identity, b->ns->destination.target.identity) == 0;
}

/* What all keys of a template begin with, without the ':' that a table's name has behind it too. */
static const char *head_of(const struct nsm_ns *ns)
{
    const struct nsm_key_piece *const first = &ns->plan->key.pieces[0];
    const struct nsm_str head = first->is_column ? (struct nsm_str){0} : first->text;
    const size_t n_colon = head.len > 0 && head.ptr[head.len - 1] == ':';
    return nsm_arena_copy(&ns->migration->plan->arena,
                          (struct nsm_str){.ptr = head.ptr, .len = head.len - n_colon})
        .ptr;
}

/* Rows that become keys lie below their table's name; of what other keys are called only the prefix is known. */
static void claim_all(struct nsm_ns *ns, struct claims *claims)
{
    const bool is_by_table =
        ns->stage.layout == NSM_LAYOUT_HASH || ns->stage.layout == NSM_LAYOUT_JSON;
    const struct nsm_census *const census =
        is_by_table ? &ns->source.census : &ns->destination.target;
    for (size_t at = 0; at < census->n_objects; at++) {
        NSM_GROW(claims->items, claims->n, claims->cap);
        claims->items[claims->n++] = (struct claim){
            .store = ns->destination_store,
            .schema = is_by_table ? "" : census->objects[at].schema,
            .name = ns->stage.key ? head_of(ns) : census->objects[at].name,
            .prefix = ns->destination.target.prefix,
            .ns = ns,
        };
    }
}

/* Who says merge or skip expects that others write there too. */
static bool expects_others(const struct nsm_ns *ns)
{
    return ns->plan->if_exists == NSM_IF_EXISTS_MERGE || ns->plan->if_exists == NSM_IF_EXISTS_SKIP;
}

static void refuse_common_targets(struct nsm_migration *migration)
{
    struct claims claims = {0};
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        if (ns->is_inspected && !expects_others(ns))
            claim_all(ns, &claims);
    }
    if (claims.n > 0)
        qsort(claims.items, claims.n, sizeof(*claims.items), by_target);
    for (size_t at = 1; at < claims.n; at++) {
        const struct claim *const one = &claims.items[at - 1];
        const struct claim *const other = &claims.items[at];
        if (!is_same_target(one, other) || one->ns == other->ns)
            continue;
        if (other->name[0])
            nsm_findings_add(&other->ns->layout_findings, NSM_FINDING_REFUSAL, "", 1,
                             "namespace %s writes %s too: give one of them another place",
                             one->ns->plan->name, other->name);
        else
            nsm_findings_add(
                &other->ns->layout_findings, NSM_FINDING_REFUSAL, "", 1,
                "namespace %s writes keys below the same prefix: give each a prefix of its own",
                one->ns->plan->name);
    }
    free(claims.items);
}

static void refuse_itself(struct nsm_ns *ns)
{
    const char *const read = ns->source.census.identity;
    const char *const written = ns->destination.target.identity;
    if (ns->destination.source && read && written && strcmp(read, written) == 0) {
        nsm_findings_add(
            &ns->layout_findings, NSM_FINDING_REFUSAL, "", 1,
            "source and destination are the same data: give the destination another name or backend");
    }
}

static void conclude(struct nsm_ns *ns)
{
    ns->is_inspected = true;
    nsm_layout_bind(&ns->stage, &ns->destination.target,
                    ns->destination.source || ns->is_as_it_was ? NSM_LAYOUT_SAME_ADAPTER : 0,
                    &ns->layout_findings);
    ns->lane = lane_of(ns);
    ns->lane_name = nsm_lane_name(ns->lane);
    ns->layout_name =
        ns->stage.layout != NSM_LAYOUT_DEFAULT ? nsm_layout_name(ns->stage.layout) : "";
    refuse_itself(ns);
}

struct nsm_error *nsm_survey_all(struct nsm_migration *migration, struct nsm_context *ctx)
{
    NSM_TRY(ask_all(migration, ctx, SIDE_SOURCE));
    lay_out_all(migration, ctx);
    NSM_TRY(ask_all(migration, ctx, SIDE_DESTINATION));
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        if (!ns->was_done && !ns->survey_error)
            conclude(ns);
    }
    refuse_common_targets(migration);
    nsm_emit(migration, &(struct nsm_event){.kind = NSM_EVENT_SURVEYED});
    return nsm_context_error(ctx);
}

/* ---- what stands against a run ---- */

struct reasons {
    const struct nsm_finding *first;
    const char *backend; /* whose finding it is; NULL: of both */
    size_t n;
};

static bool is_allowed_loss(const struct nsm_ns *ns, const char *what)
{
    for (size_t at = 0; at < ns->plan->n_allow_loss; at++)
        if (strcmp(ns->plan->allow_loss[at], what) == 0)
            return true;
    return false;
}

static bool stands_against(const struct nsm_ns *ns, const struct nsm_finding *finding)
{
    switch (finding->kind) {
    case NSM_FINDING_CONFLICT:
        return ns->plan->if_exists == NSM_IF_EXISTS_FAIL && !ns->destination.is_ours;
    case NSM_FINDING_LOSS:
        return !is_allowed_loss(ns, finding->what);
    case NSM_FINDING_REFUSAL:
        return true;
    case NSM_FINDING_CREATE:
    case NSM_FINDING_NOTE:
        break;
    }
    return false;
}

static void collect(const struct nsm_ns *ns, const struct nsm_findings *findings,
                    const char *backend, struct reasons *reasons)
{
    for (size_t at = 0; at < findings->n_items; at++) {
        if (!stands_against(ns, &findings->items[at]))
            continue;
        if (reasons->n++ == 0) {
            reasons->first = &findings->items[at];
            reasons->backend = backend;
        }
    }
}

static const char *advice(const struct nsm_finding *finding)
{
    if (finding->kind == NSM_FINDING_CONFLICT)
        return "; if_exists is fail: empty the destination, or choose replace, merge or skip";
    return finding->kind == NSM_FINDING_LOSS ? "; to go on without it, name it in allow_loss" : "";
}

/* What a destination has to say is of making its objects, which repair does not. */
enum purpose {
    PURPOSE_RUN,
    PURPOSE_REPAIR,
};

static struct nsm_error *refusal(const struct nsm_ns *ns, enum purpose purpose)
{
    if (ns->survey_error)
        return nsm_error_clone(ns->survey_error);
    struct reasons reasons = {0};
    collect(ns, &ns->layout_findings, NULL, &reasons);
    collect(ns, &ns->stage.shape.findings, NULL, &reasons);
    collect(ns, &ns->source.census.findings, ns->source_store->plan->name, &reasons);
    if (purpose == PURPOSE_RUN)
        collect(ns, &ns->destination.target.findings, ns->destination_store->plan->name, &reasons);
    if (reasons.n == 0)
        return NULL;
    const struct nsm_finding *const first = reasons.first;
    const enum nsm_code code =
        first->kind == NSM_FINDING_CONFLICT ? NSM_E_CONFLICT : NSM_E_UNSUPPORTED;
    NSM_CLEANUP(nsm_freep)
    char *what =
        first->kind == NSM_FINDING_LOSS ? nsm_xasprintf(" (%s)", first->what) : nsm_xstrdup("");
    NSM_CLEANUP(nsm_freep)
    char *more = reasons.n > 1
                     ? nsm_xasprintf(" (and %zu more: nsmigrate preview lists them)", reasons.n - 1)
                     : nsm_xstrdup("");
    struct nsm_error *const error =
        nsm_error_new(code, "%s%s%s%s", first->text, what, advice(first), more);
    return reasons.backend ? nsm_error_wrap(error, "backend %s", reasons.backend) : error;
}

struct nsm_error *nsm_ns_refusal(const struct nsm_ns *ns)
{
    return refusal(ns, PURPOSE_RUN);
}

struct nsm_error *nsm_ns_repair_refusal(const struct nsm_ns *ns)
{
    return refusal(ns, PURPOSE_REPAIR);
}

/* ---- the destination as a source ---- */

void nsm_source_close(struct nsm_source *source)
{
    if (source->state) {
        source->backend->adapter->release_source(source);
        source->state = NULL;
    }
    nsm_census_release(&source->census);
    source->census = (struct nsm_census){0};
}

struct nsm_error *nsm_survey_written(struct nsm_ns *ns, struct nsm_context *ctx, unsigned flags,
                                     struct nsm_source *ret)
{
    *ret = (struct nsm_source){
        .backend = ns->destination_store->backend,
        .namespace_name = ns->plan->name,
        .written = &ns->destination,
        .flags = flags,
        .part_bytes = ns->source.part_bytes,
    };
    struct nsm_source *sources[] = {ret};
    return nsm_error_wrap(ret->backend->adapter->survey(ret->backend, ctx, sources, 1),
                          "backend %s", ret->backend->name);
}
