/*
 * The adapter `memory`: the contract of adapter.h in its plainest form, on stores in the process's
 * own memory (store.h), with a source that makes records up (generate.h) and faults to order
 * (fault.h).
 */
#include "adapters/memory/memory.h"

#include <assert.h>
#include <inttypes.h>

#include "adapters/memory/fault.h"
#include "adapters/memory/generate.h"
#include "adapters/memory/store.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

struct memory_backend {
    struct nsm_backend base;
    struct memory_store *store;
    struct memory_faults faults;
    enum nsm_model model;
    uint64_t n_records, n_objects, value_bytes;
};

/* nsm_source.state: where its records come from. */
struct memory_source {
    const char *name; /* of the namespace in the store, or that is made up */
    bool is_generated;
    struct memory_generator generator;
};

struct memory_reader {
    struct nsm_reader base;
    uint64_t at, end; /* ordinals in the object */
};

struct memory_writer {
    struct nsm_writer base;
    struct memory_pending pending;
};

static const struct nsm_option backend_options[] = {
    {.key = "store",
     .type = NSM_OPTION_STRING,
     .help = "name of a store that lives as long as the process; default: one of its own"},
    {.key = "model",
     .type = NSM_OPTION_ENUM,
     .default_text = "rows",
     .choices = "rows|keys",
     .help = "what the records that are made up are"},
    {.key = "records",
     .type = NSM_OPTION_U64,
     .default_text = "10",
     .help = "records of each object that are made up for a namespace that is not in the store"},
    {.key = "objects",
     .type = NSM_OPTION_U64,
     .default_text = "1",
     .help = "tables that are made up for a namespace"},
    {.key = "value_bytes",
     .type = NSM_OPTION_SIZE,
     .default_text = "16B",
     .help = "size of the largest value of each record"},
    {.key = "namespaces",
     .type = NSM_OPTION_LIST,
     .help = "names that for_each finds besides those in the store"},
    {.key = "delay",
     .type = NSM_OPTION_DURATION,
     .default_text = "0",
     .help = "how long each batch takes to read or write"},
    {.key = "fail_op",
     .type = NSM_OPTION_ENUM,
     .default_text = "none",
     .choices = MEMORY_OPS,
     .help = "operation that fails"},
    {.key = "fail_at",
     .type = NSM_OPTION_U64,
     .default_text = "1",
     .help = "the call of fail_op that fails first, counted from 1"},
    {.key = "fail_times",
     .type = NSM_OPTION_U64,
     .default_text = "1",
     .help = "how many calls fail; 0: all from then on"},
    {.key = "fail_code",
     .type = NSM_OPTION_ENUM,
     .default_text = "io",
     .choices = MEMORY_CODES,
     .help = "what kind of failure it is"},
    {.key = "fail_namespace",
     .type = NSM_OPTION_STRING,
     .help = "only calls for this namespace count"},
    {.key = "stall_op",
     .type = NSM_OPTION_ENUM,
     .default_text = "none",
     .choices = MEMORY_OPS,
     .help = "operation that waits until it is cancelled"},
    {.key = "stall_at",
     .type = NSM_OPTION_U64,
     .default_text = "1",
     .help = "the call of stall_op that waits, counted from 1"},
    {.key = "stall_namespace",
     .type = NSM_OPTION_STRING,
     .help = "only calls for this namespace count"},
    {0},
};

static const struct nsm_option side_options[] = {
    {.key = "name",
     .type = NSM_OPTION_STRING,
     .help = "name in the store; default: the namespace's name"},
    {0},
};

static const struct nsm_lane_use lanes[] = {
    {.lane = NSM_LANE_RECORD, .reads = true, .writes = true},
};

static struct memory_backend *backend_of(struct nsm_backend *backend)
{
    return (struct memory_backend *)backend;
}

static struct nsm_error *enter(struct nsm_backend *backend, struct nsm_context *ctx,
                               enum memory_op op, const char *namespace_name)
{
    return memory_faults_enter(&backend_of(backend)->faults, ctx, op, namespace_name);
}

/* ---- the backend ---- */

static struct nsm_error *memory_open(struct nsm_backend *base)
{
    struct memory_backend *const backend = backend_of(base);
    const struct nsm_settings *const settings = base->settings;
    backend->model = strcmp(nsm_settings_string(settings, "model"), "keys") == 0 ? NSM_MODEL_KEYS
                                                                                 : NSM_MODEL_ROWS;
    backend->n_records = nsm_settings_u64(settings, "records");
    backend->n_objects = nsm_settings_u64(settings, "objects");
    backend->value_bytes = nsm_settings_u64(settings, "value_bytes");
    if (backend->n_objects == 0 || (backend->model == NSM_MODEL_KEYS && backend->n_objects > 1))
        return nsm_error_new(NSM_E_INVALID, "objects: expected 1 or more, and 1 with model: keys");
    if (backend->value_bytes > NSM_MAX_VALUE_BYTES)
        return nsm_error_new(NSM_E_INVALID, "value_bytes: at most %zu bytes", NSM_MAX_VALUE_BYTES);
    NSM_TRY(memory_faults_init(&backend->faults, settings));
    backend->store = memory_store_open(nsm_settings_string(settings, "store"));
    return NULL;
}

static void memory_close(struct nsm_backend *base)
{
    struct memory_backend *const backend = backend_of(base);
    memory_store_close(backend->store);
    memory_faults_release(&backend->faults);
}

static struct nsm_error *memory_check(struct nsm_backend *base, struct nsm_context *ctx,
                                      struct nsm_health *health)
{
    const int64_t start_ns = nsm_now_ns();
    NSM_TRY(enter(base, ctx, MEMORY_OP_CHECK, NULL));
    const char *const store = nsm_settings_string(base->settings, "store");
    health->version = "memory";
    health->details = nsm_arena_printf(&health->arena, "store %s", store ? store : "of its own");
    health->latency_ns = nsm_now_ns() - start_ns;
    return NULL;
}

static struct nsm_error *memory_list(struct nsm_backend *base, struct nsm_context *ctx,
                                     const char *key, const char *glob, nsm_name_fn *fn, void *arg)
{
    assert(strcmp(key, "name") == 0);
    NSM_TRY(enter(base, ctx, MEMORY_OP_LIST, NULL));
    for (size_t i = 0; i < nsm_settings_list_size(base->settings, "namespaces"); i++) {
        const char *const name = nsm_settings_list_at(base->settings, "namespaces", i);
        if (nsm_glob_matches(nsm_str_of(glob), nsm_str_of(name)))
            fn(arg, name);
    }
    memory_store_list(backend_of(base)->store, glob, fn, arg);
    return NULL;
}

/* ---- the source ---- */

static const char *name_in_store(const struct nsm_settings *selection, const char *namespace_name)
{
    const char *const name = nsm_settings_string(selection, "name");
    return name ? name : namespace_name;
}

static const char *make_identity(struct nsm_backend *base, struct nsm_arena *arena,
                                 const char *name)
{
    const char *const store = nsm_settings_string(base->settings, "store");
    return nsm_arena_printf(arena, "%s %s/%s", store ? "store" : "backend",
                            store ? store : base->name, name);
}

/* Cuts an object into parts of about part_bytes; a part's range is "first-end" in ordinals. */
static void add_parts(struct nsm_source *source, size_t object_index)
{
    const struct nsm_object *const object = &source->census.objects[object_index];
    const uint64_t n_records = object->n_records;
    uint64_t step = n_records;
    if (source->part_bytes > 0 && object->n_bytes > source->part_bytes) {
        const uint64_t n_parts = object->n_bytes / source->part_bytes + 1;
        step = n_records / n_parts + 1;
    }
    for (uint64_t first = 0; first < n_records; first += step) {
        char range[48];
        const uint64_t end = n_records - first > step ? first + step : n_records;
        const int len = snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, first, end);
        nsm_census_add_part(&source->census, object_index,
                            (struct nsm_str){.ptr = range, .len = (size_t)len}, end - first,
                            object->n_bytes / n_records * (end - first));
    }
}

static void generate_objects(struct memory_backend *backend, struct nsm_source *source,
                             struct memory_source *state)
{
    struct nsm_arena *const arena = &source->census.arena;
    state->is_generated = true;
    state->generator = (struct memory_generator){
        .namespace_name = state->name,
        .model = backend->model,
        .n_records = backend->n_records,
        .value_bytes = backend->value_bytes,
    };
    if (backend->model == NSM_MODEL_KEYS)
        state->generator.prefix = nsm_str_of(nsm_arena_printf(arena, "%s:", state->name));
    for (size_t i = 0; i < backend->n_objects; i++)
        memory_generator_describe(&state->generator, arena, i,
                                  nsm_census_add_object(&source->census));
}

/* The prefix of all keys of a namespace in the store: its writer put it there. */
static void set_prefix(struct nsm_census *census, const char *name)
{
    if (census->n_objects > 0 && census->objects[0].model == NSM_MODEL_KEYS)
        census->prefix = nsm_str_of(nsm_arena_printf(&census->arena, "%s:", name));
}

static struct nsm_error *survey_one(struct nsm_backend *base, struct nsm_context *ctx,
                                    struct nsm_source *source)
{
    struct memory_backend *const backend = backend_of(base);
    const struct nsm_destination *const written = source->written;
    NSM_TRY(enter(base, ctx, MEMORY_OP_SURVEY, source->namespace_name));
    struct memory_source *const state = nsm_arena_calloc(&source->census.arena, 1, sizeof(*state));
    source->state = state;
    state->name =
        name_in_store(written ? written->selection : source->selection, source->namespace_name);
    source->census.identity = make_identity(base, &source->census.arena, state->name);
    const bool is_stored = memory_store_describe(
        backend->store, state->name, written ? &written->target : NULL, &source->census);
    if (written && !is_stored)
        return nsm_error_new(NSM_E_NOTFOUND, "nothing was written to \"%s\"", state->name);
    if (!is_stored)
        generate_objects(backend, source, state);
    set_prefix(&source->census, state->name);
    for (size_t i = 0; !(source->flags & NSM_SURVEY_COUNT_ONLY) && i < source->census.n_objects;
         i++)
        add_parts(source, i);
    return NULL;
}

static struct nsm_error *memory_survey(struct nsm_backend *base, struct nsm_context *ctx,
                                       struct nsm_source **sources, size_t n_sources)
{
    for (size_t i = 0; i < n_sources; i++)
        NSM_TRY_WRAP(survey_one(base, ctx, sources[i]), "namespace %s", sources[i]->namespace_name);
    return NULL;
}

/* The state lies in the census's arena. */
static void memory_release_source(struct nsm_source *source)
{
    source->state = NULL;
}

static bool parse_range(struct nsm_str range, uint64_t *ret_first, uint64_t *ret_end)
{
    const char *const dash = range.len ? memchr(range.ptr, '-', range.len) : NULL;
    if (!dash)
        return false;
    const struct nsm_str first = {.ptr = range.ptr, .len = (size_t)(dash - range.ptr)};
    return nsm_parse_u64(first, ret_first) &&
           nsm_parse_u64(nsm_str_skip(range, first.len + 1), ret_end);
}

static struct nsm_error *memory_reader_open(struct nsm_reader *base, struct nsm_context *ctx)
{
    struct memory_reader *const reader = (struct memory_reader *)base;
    const struct nsm_read_request *const request = base->request;
    NSM_TRY(enter(base->backend, ctx, MEMORY_OP_READER_OPEN, request->source->namespace_name));
    if (!parse_range(request->part->range, &reader->at, &reader->end))
        return nsm_error_new(NSM_E_CORRUPT, "part range is not \"first-end\"");
    if (request->resume.len && !nsm_parse_u64(request->resume, &reader->at))
        return nsm_error_new(NSM_E_CORRUPT, "resume token is not an ordinal");
    memory_store_count_reader(backend_of(base->backend)->store, 1);
    return NULL;
}

static struct nsm_error *memory_read(struct nsm_reader *base, struct nsm_context *ctx,
                                     struct nsm_batch *batch, bool *ret_is_end)
{
    struct memory_reader *const reader = (struct memory_reader *)base;
    const struct nsm_read_request *const request = base->request;
    struct memory_store *const store = backend_of(base->backend)->store;
    const struct memory_source *const state = request->source->state;
    NSM_TRY(enter(base->backend, ctx, MEMORY_OP_READ, request->source->namespace_name));
    if (state->is_generated) {
        while (reader->at < reader->end && batch->n_records < request->batch_records &&
               batch->n_bytes < request->batch_bytes)
            memory_generator_add(&state->generator, request->part->object, reader->at++, batch);
    } else {
        reader->at = memory_store_read(store, state->name, request, reader->at, reader->end, batch);
    }
    memory_store_count(store, MEMORY_COUNT_READ, nsm_batch_count(batch));
    batch->resume = nsm_str_of(nsm_arena_printf(&batch->arena, "%" PRIu64, reader->at));
    *ret_is_end = reader->at >= reader->end;
    return NULL;
}

static void memory_reader_close(struct nsm_reader *base)
{
    memory_store_count_reader(backend_of(base->backend)->store, -1);
}

/* ---- the destination ---- */

static const char *destination_name(const struct nsm_destination *destination)
{
    return name_in_store(destination->selection, destination->namespace_name);
}

static void copy_columns(struct nsm_arena *arena, const struct nsm_object *from,
                         struct nsm_object *to)
{
    to->columns = nsm_arena_calloc(arena, from->n_columns, sizeof(*to->columns));
    for (size_t i = 0; i < from->n_columns; i++) {
        to->columns[i] = from->columns[i];
        to->columns[i].name = nsm_arena_strdup(arena, from->columns[i].name);
        to->columns[i].type_name = nsm_arena_strdup(arena, from->columns[i].type_name);
    }
    to->n_columns = from->n_columns;
    to->key_columns = nsm_arena_calloc(arena, from->n_key_columns, sizeof(*to->key_columns));
    for (size_t i = 0; i < from->n_key_columns; i++)
        to->key_columns[i] = from->key_columns[i];
    to->n_key_columns = from->n_key_columns;
}

/* What an object is called in a finding. */
static const char *describe(struct nsm_arena *arena, const struct nsm_object *object)
{
    return object->model == NSM_MODEL_KEYS
               ? "keys"
               : nsm_arena_printf(arena, "table %s%s%s", object->schema,
                                  object->schema[0] ? "." : "", object->name);
}

static void add_findings(struct nsm_backend *base, struct nsm_destination *destination,
                         const char *name, const struct nsm_object *object)
{
    struct nsm_findings *const findings = &destination->target.findings;
    const char *const what = describe(&destination->target.arena, object);
    uint64_t n_records = 0;
    bool is_ours = false;
    if (!memory_store_find(backend_of(base)->store, name, object, base->run_id, &n_records,
                           &is_ours)) {
        nsm_findings_add(findings, NSM_FINDING_CREATE, "", 1, "%s", what);
        return;
    }
    if (is_ours || destination->is_ours)
        return;
    nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1,
                     "%s in namespace \"%s\" holds %" PRIu64 " records", what, name, n_records);
    const bool needs_key = destination->if_exists == NSM_IF_EXISTS_MERGE ||
                           destination->if_exists == NSM_IF_EXISTS_SKIP;
    if (needs_key && object->model == NSM_MODEL_ROWS && object->n_key_columns == 0)
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "%s has no key by which its rows could be merged or skipped", what);
}

static struct nsm_error *memory_inspect(struct nsm_backend *base, struct nsm_context *ctx,
                                        struct nsm_destination **destinations,
                                        size_t n_destinations)
{
    for (size_t i = 0; i < n_destinations; i++) {
        struct nsm_destination *const destination = destinations[i];
        struct nsm_census *const target = &destination->target;
        const char *const name = destination_name(destination);
        NSM_TRY_WRAP(enter(base, ctx, MEMORY_OP_INSPECT, destination->namespace_name),
                     "namespace %s", destination->namespace_name);
        for (size_t j = 0; j < destination->shape->n_objects; j++) {
            const struct nsm_object *const from = &destination->shape->objects[j];
            struct nsm_object *const to = nsm_census_add_object(target);
            to->name = nsm_arena_strdup(&target->arena, from->name);
            to->schema = nsm_arena_strdup(&target->arena, from->schema);
            to->model = from->model;
            copy_columns(&target->arena, from, to);
            add_findings(base, destination, name, to);
        }
        target->identity = make_identity(base, &target->arena, name);
        set_prefix(target, name);
    }
    return NULL;
}

static void memory_release_destination(struct nsm_destination *destination)
{
    destination->state = NULL;
}

static struct nsm_error *memory_prepare(struct nsm_destination *destination,
                                        struct nsm_context *ctx)
{
    NSM_TRY(enter(destination->backend, ctx, MEMORY_OP_PREPARE, destination->namespace_name));
    memory_store_prepare(backend_of(destination->backend)->store, destination_name(destination),
                         destination);
    return NULL;
}

static struct nsm_error *memory_writer_open(struct nsm_writer *base, struct nsm_context *ctx)
{
    NSM_TRY(enter(base->backend, ctx, MEMORY_OP_WRITER_OPEN,
                  base->request->destination->namespace_name));
    memory_store_count_writer(backend_of(base->backend)->store, 1);
    return NULL;
}

static void add_pending(struct memory_pending *pending, struct memory_slice *slice)
{
    if (pending->last)
        pending->last->next = slice;
    else
        pending->first = slice;
    pending->last = slice;
    pending->n_slices++;
}

static struct nsm_error *memory_write(struct nsm_writer *base, struct nsm_context *ctx,
                                      const struct nsm_batch *batch)
{
    struct memory_writer *const writer = (struct memory_writer *)base;
    const struct nsm_destination *const destination = base->request->destination;
    const char *const name = destination_name(destination);
    NSM_TRY(enter(base->backend, ctx, MEMORY_OP_WRITE, destination->namespace_name));
    for (size_t i = 0; i < batch->n_records; i++) {
        const struct nsm_record *const record = &batch->records[i];
        struct memory_slice *const slice =
            memory_slice_new(record, base->request->object, destination->shape->prefix.len,
                             destination->target.prefix);
        if (destination->if_exists == NSM_IF_EXISTS_SKIP &&
            memory_store_holds_foreign(backend_of(base->backend)->store, name, base->request,
                                       slice)) {
            base->n_skipped += !(record->flags & NSM_RECORD_CONTINUED);
            free(slice);
            continue;
        }
        add_pending(&writer->pending, slice);
    }
    return NULL;
}

static struct nsm_error *memory_checkpoint(struct nsm_writer *base, struct nsm_context *ctx,
                                           const struct nsm_checkpoint *checkpoint)
{
    struct memory_writer *const writer = (struct memory_writer *)base;
    const struct nsm_destination *const destination = base->request->destination;
    NSM_TRY(enter(base->backend, ctx, MEMORY_OP_CHECKPOINT, destination->namespace_name));
    return memory_store_commit(backend_of(base->backend)->store, destination_name(destination),
                               base->request, &writer->pending, checkpoint);
}

static void memory_writer_close(struct nsm_writer *base)
{
    struct memory_writer *const writer = (struct memory_writer *)base;
    struct memory_store *const store = backend_of(base->backend)->store;
    memory_store_count(store, MEMORY_COUNT_DISCARDED, writer->pending.n_slices);
    memory_slice_free_all(writer->pending.first);
    memory_store_count_writer(store, -1);
}

static struct nsm_error *memory_load_checkpoints(struct nsm_backend *base, struct nsm_context *ctx,
                                                 nsm_checkpoint_fn *fn, void *arg)
{
    NSM_TRY(enter(base, ctx, MEMORY_OP_LOAD_CHECKPOINTS, NULL));
    memory_store_checkpoints(backend_of(base)->store, base->run_id, fn, arg);
    return NULL;
}

static struct nsm_error *memory_reset_object(struct nsm_destination *destination,
                                             struct nsm_context *ctx, size_t object_index)
{
    struct nsm_backend *const base = destination->backend;
    NSM_TRY(enter(base, ctx, MEMORY_OP_RESET_OBJECT, destination->namespace_name));
    memory_store_reset(backend_of(base)->store, destination_name(destination),
                       &destination->target.objects[object_index], base->run_id);
    return NULL;
}

/* There is nothing to build: the steps are there so that tests see the core go through them. */
static struct nsm_error *memory_plan_finish(struct nsm_destination *destination,
                                            struct nsm_context *ctx, struct nsm_finish_plan *plan)
{
    const struct nsm_census *const target = &destination->target;
    NSM_TRY(enter(destination->backend, ctx, MEMORY_OP_PLAN_FINISH, destination->namespace_name));
    plan->steps = nsm_arena_calloc(&plan->arena, target->n_objects + 1, sizeof(*plan->steps));
    for (size_t i = 0; i < target->n_objects; i++) {
        const char *const what = describe(&plan->arena, &target->objects[i]);
        plan->steps[plan->n_steps++] = (struct nsm_finish_step){
            .phase = 0,
            .object = i,
            .weight = destination->shape->objects[i].n_bytes,
            .text = nsm_arena_printf(&plan->arena, "%s", what),
        };
    }
    plan->steps[plan->n_steps++] =
        (struct nsm_finish_step){.phase = 1, .object = NSM_NO_OBJECT, .text = "namespace"};
    return NULL;
}

static struct nsm_error *memory_finish_step(struct nsm_destination *destination,
                                            struct nsm_context *ctx,
                                            const struct nsm_finish_step *step)
{
    (void)step;
    NSM_TRY(enter(destination->backend, ctx, MEMORY_OP_FINISH_STEP, destination->namespace_name));
    memory_store_count(backend_of(destination->backend)->store, MEMORY_COUNT_FINISH_STEPS, 1);
    return NULL;
}

static struct nsm_error *memory_complete(struct nsm_destination *destination,
                                         struct nsm_context *ctx)
{
    struct nsm_backend *const base = destination->backend;
    NSM_TRY(enter(base, ctx, MEMORY_OP_COMPLETE, destination->namespace_name));
    memory_store_complete(backend_of(base)->store, destination_name(destination), base->run_id);
    return NULL;
}

const struct nsm_adapter nsm_adapter_memory = {
    .abi = NSM_ADAPTER_ABI,
    .struct_size = sizeof(struct nsm_adapter),
    .name = "memory",
    .summary = "records made up or kept in the process's memory, with faults to order, for tests",
    .caps =
        NSM_CAP_ROWS | NSM_CAP_KEYS | NSM_CAP_SOURCE | NSM_CAP_DESTINATION | NSM_CAP_TX_CHECKPOINT,
    .backend_size = sizeof(struct memory_backend),
    .reader_size = sizeof(struct memory_reader),
    .writer_size = sizeof(struct memory_writer),
    .backend_options = backend_options,
    .source_options = side_options,
    .destination_options = side_options,
    .lanes = lanes,
    .n_lanes = NSM_COUNT_OF(lanes),
    .open = memory_open,
    .close = memory_close,
    .check = memory_check,
    .survey = memory_survey,
    .release_source = memory_release_source,
    .reader_open = memory_reader_open,
    .read = memory_read,
    .reader_close = memory_reader_close,
    .inspect = memory_inspect,
    .release_destination = memory_release_destination,
    .prepare = memory_prepare,
    .writer_open = memory_writer_open,
    .write = memory_write,
    .checkpoint = memory_checkpoint,
    .writer_close = memory_writer_close,
    .list = memory_list,
    .list_keys = "name",
    .load_checkpoints = memory_load_checkpoints,
    .reset_object = memory_reset_object,
    .plan_finish = memory_plan_finish,
    .finish_step = memory_finish_step,
    .complete = memory_complete,
};
