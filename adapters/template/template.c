/*
 * The smallest adapter that works: a source of ten fixed rows. It is built as a shared object of
 * its own, the way a third party's adapter would be, and goes through the same conformance suite as
 * the built-in ones.
 *
 * To make your own from it:
 *
 *   (1) Copy this folder, and give `template` the name of your store everywhere.
 *   (2) Say in the options tables what a plan may write, and take the values in open (of the
 *       backend) or survey (of a namespace).
 *   (3) Connect in survey and reader_open, never in open. Whatever waits, waits under the context
 *       that it is given: nsm_wait_fd() for descriptors, nsm_sleep() for time.
 *   (4) Fill the census in survey: objects with their columns and keys, and parts that together are
 *       every record exactly once. What can't be carried becomes a finding, not an error.
 *   (5) In read, add whole records to the batch up to about the size that the request says, and set
 *       batch->resume to what reader_open needs to go on behind the batch.
 *   (6) To be a destination too, add NSM_CAP_DESTINATION and the operations that adapter.h names
 *       for it. If your store has transactions, take NSM_CAP_TX_CHECKPOINT.
 *   (7) Run it: nsmigrate --load ./yourstore.so run plan.yaml. And test it: see README.md here.
 *
 * Threads: nothing here has state, but the backend of a real store is used from many threads.
 */
#include "adapters/adapter.h"

#include <inttypes.h>

#include "migrate/base/parse.h"

#define N_ROWS 10

/* ---- (2) options ---- */

static const struct nsm_option backend_options[] = {
    {.key = "greeting",
     .type = NSM_OPTION_STRING,
     .default_text = "hello",
     .help = "what the second column of each row begins with"},
    {0},
};

static const struct nsm_option source_options[] = {{0}};

/* Each instance begins with the core's own struct; the core allocates it, zeroed. */
struct template_backend {
    struct nsm_backend base;
    const char *greeting;
};

static struct nsm_error *template_open(struct nsm_backend *base)
{
    struct template_backend *const backend = (struct template_backend *)base;
    backend->greeting = nsm_settings_string(base->settings, "greeting");
    if (!nsm_is_utf8(nsm_str_of(backend->greeting)))
        return nsm_error_new(NSM_E_INVALID, "greeting: expected valid UTF-8");
    return NULL;
}

/* Called if and only if open succeeded. */
static void template_close(struct nsm_backend *base)
{
    (void)base;
}

static struct nsm_error *template_check(struct nsm_backend *base, struct nsm_context *ctx,
                                        struct nsm_health *health)
{
    (void)base;
    NSM_TRY(nsm_context_error(ctx));
    health->version = "template 1";
    health->details = nsm_arena_printf(&health->arena, "%d rows", N_ROWS);
    return NULL;
}

/* ---- (4) survey ---- */

static const struct nsm_column columns[] = {
    {.name = "id", .type = NSM_INT, .type_name = "bigint", .is_not_null = true},
    {.name = "greeting", .type = NSM_TEXT, .type_name = "text"},
};

/* A part's range is opaque to the core, which hands it to reader_open, perhaps in a later run. This
 * one is "first-end" in row numbers, counted from 0. */
static void add_part(struct nsm_census *census, unsigned first, unsigned end)
{
    char range[32];
    const int len = snprintf(range, sizeof(range), "%u-%u", first, end);
    nsm_census_add_part(census, 0, (struct nsm_str){.ptr = range, .len = (size_t)len}, end - first,
                        (uint64_t)(end - first) * 20);
}

static void survey_one(struct nsm_source *source)
{
    struct nsm_census *const census = &source->census;
    struct nsm_object *const object = nsm_census_add_object(census);
    object->name = "greetings";
    object->model = NSM_MODEL_ROWS;
    object->n_columns = NSM_COUNT_OF(columns);
    object->columns = nsm_arena_alloc(&census->arena, sizeof(columns));
    memcpy(object->columns, columns, sizeof(columns));
    object->key_columns = nsm_arena_calloc(&census->arena, 1, sizeof(*object->key_columns));
    object->n_key_columns = 1; /* column 0 */
    object->n_records = N_ROWS;
    object->is_exact = true;
    object->version = "1"; /* changes whenever the data does */
    census->identity = "template/greetings";
    add_part(census, 0, N_ROWS / 2);
    add_part(census, N_ROWS / 2, N_ROWS);
}

/* All namespaces of the plan on this backend at once, so that one pass over a store can serve
 * them. */
static struct nsm_error *template_survey(struct nsm_backend *base, struct nsm_context *ctx,
                                         struct nsm_source **sources, size_t n_sources)
{
    (void)base;
    NSM_TRY(nsm_context_error(ctx));
    for (size_t i = 0; i < n_sources; i++)
        survey_one(sources[i]);
    return NULL;
}

/* For what survey put into source->state. */
static void template_release_source(struct nsm_source *source)
{
    (void)source;
}

/* ---- (5) reading ---- */

struct template_reader {
    struct nsm_reader base;
    uint64_t next, end; /* rows */
};

static struct nsm_error *template_reader_open(struct nsm_reader *base, struct nsm_context *ctx)
{
    struct template_reader *const reader = (struct template_reader *)base;
    const struct nsm_str range = base->request->part->range;
    const struct nsm_str resume = base->request->resume;
    NSM_TRY(nsm_context_error(ctx));
    const char *const dash = range.len ? memchr(range.ptr, '-', range.len) : NULL;
    const size_t first_len = dash ? (size_t)(dash - range.ptr) : 0;
    /* It may come from the ledger of an earlier run: bytes from outside. */
    if (!dash || !nsm_parse_u64((struct nsm_str){range.ptr, first_len}, &reader->next) ||
        !nsm_parse_u64(nsm_str_skip(range, first_len + 1), &reader->end))
        return nsm_error_new(NSM_E_CORRUPT, "the part's range is not \"first-end\"");
    if (resume.len && !nsm_parse_u64(resume, &reader->next))
        return nsm_error_new(NSM_E_CORRUPT, "the resume token is not a row number");
    return NULL;
}

static void add_row(struct nsm_batch *batch, const char *greeting, uint64_t number)
{
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_ROW, NSM_COUNT_OF(columns));
    /* All memory of a record lies in the batch's arena. A value that stays NSM_NULL is NULL. */
    record->items[0].type = NSM_INT;
    record->items[0].bytes = nsm_str_of(nsm_arena_printf(&batch->arena, "%" PRIu64, number));
    record->items[1].type = NSM_TEXT;
    record->items[1].bytes =
        nsm_str_of(nsm_arena_printf(&batch->arena, "%s, number %" PRIu64, greeting, number));
    nsm_batch_account(batch);
}

static struct nsm_error *template_read(struct nsm_reader *base, struct nsm_context *ctx,
                                       struct nsm_batch *batch, bool *ret_is_end)
{
    struct template_reader *const reader = (struct template_reader *)base;
    const struct template_backend *const backend = (const struct template_backend *)base->backend;
    NSM_TRY(nsm_context_error(ctx));
    while (reader->next < reader->end && batch->n_records < base->request->batch_records &&
           batch->n_bytes < base->request->batch_bytes)
        add_row(batch, backend->greeting, reader->next++);
    batch->resume = nsm_str_of(nsm_arena_printf(&batch->arena, "%" PRIu64, reader->next));
    *ret_is_end = reader->next >= reader->end;
    return NULL;
}

static void template_reader_close(struct nsm_reader *base)
{
    (void)base;
}

/* ---- the table ---- */

static const struct nsm_lane_use lanes[] = {
    {.lane = NSM_LANE_RECORD, .reads = true},
};

static const struct nsm_adapter adapter = {
    .abi = NSM_ADAPTER_ABI,
    .struct_size = sizeof(struct nsm_adapter),
    .name = "template",
    .summary = "ten fixed rows: the example to make an adapter from",
    .caps = NSM_CAP_ROWS | NSM_CAP_SOURCE,
    .backend_size = sizeof(struct template_backend),
    .reader_size = sizeof(struct template_reader),
    .backend_options = backend_options,
    .source_options = source_options,
    .lanes = lanes,
    .n_lanes = NSM_COUNT_OF(lanes),
    .open = template_open,
    .close = template_close,
    .check = template_check,
    .survey = template_survey,
    .release_source = template_release_source,
    .reader_open = template_reader_open,
    .read = template_read,
    .reader_close = template_reader_close,
};

/* The one symbol that nsmigrate looks for. */
NSM_API const struct nsm_adapter *nsm_adapter_entry(unsigned host_abi);
const struct nsm_adapter *nsm_adapter_entry(unsigned host_abi)
{
    return host_abi >= NSM_ADAPTER_ABI ? &adapter : NULL;
}
