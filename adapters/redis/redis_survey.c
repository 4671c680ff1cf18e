/*
 * One SCAN serves all namespaces of a plan on a Redis: each key goes to the lists whose selection
 * it matches. Then each list is made, sized by a sample of its keys, and cut into parts.
 */
#include "adapters/redis/redis_survey.h"

#include <xxhash.h>

#include "adapters/redis/redis_keys.h"
#include "adapters/redis/redis_probe.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"

/* Of one list, and of all together. */
#define MAX_SAMPLES          ((size_t)128)
#define MIN_SAMPLES          ((size_t)8)
#define ALL_SAMPLES          ((size_t)65536)
#define MAX_SAMPLE_KEY_BYTES 4096
#define SAMPLES_AT_ONCE      2048 /* of many small lists, in one round trip */
/* A key that is dumped to see whether it can be takes no more memory. */
#define MAX_PROBE_BYTES ((uint64_t)1 << 20)
/* All buffers of keys together, and each. */
#define SPOOL_BYTES     ((size_t)16 << 20)
#define MIN_SPOOL_BYTES ((size_t)2 << 10)
#define MAX_SPOOL_BYTES ((size_t)64 << 10)
/* A list of many small keys is cut too, for all workers to take part. */
#define SMALL_PART_KEYS 8192
#define MIN_PARTS       16
#define MAX_PARTS       4096

/* ---- one list on its way ---- */

struct listing {
    struct nsm_source *source;
    size_t object;
    struct nsm_redis_selector selector;
    char *path;
    uint64_t fingerprint;
    struct nsm_redis_spool spool;
    struct nsm_str *samples; /* keys on the heap */
    size_t n_samples, max_samples;
    size_t smallest; /* of the samples, with the bytes that it takes */
    uint64_t smallest_bytes;
    uint64_t n_seen;
    bool is_whole; /* an earlier run's list stands */
    struct nsm_redis_list_info info;
};

struct survey {
    struct nsm_redis_backend *backend;
    struct nsm_context *ctx;
    struct nsm_redis_conn *conn;
    struct nsm_redis_server server;
    struct listing *listings;
    struct nsm_redis_selector *selectors; /* of those that are scanned for */
    size_t *listing_of_selector;
    size_t n_listings, cap_listings, n_selectors;
    struct nsm_error *error; /* of the listing that a key was added to */
};

static void survey_release(struct survey *survey)
{
    for (size_t index = 0; index < survey->n_listings; index++) {
        struct listing *const listing = &survey->listings[index];
        nsm_redis_spool_release(&listing->spool);
        for (size_t sample = 0; sample < listing->n_samples; sample++)
            nsm_freep(&listing->samples[sample].ptr);
        free(listing->samples);
        free(listing->path);
    }
    free(survey->listings);
    free(survey->selectors);
    free(survey->listing_of_selector);
    nsm_error_free(survey->error);
    nsm_redis_give(survey->backend, survey->conn);
}

static void append_safe(struct nsm_buf *out, const char *name)
{
    for (size_t at = 0; name[at] && at < 40; at++) {
        const char c = name[at];
        const bool is_safe =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        nsm_buf_append_char(out, is_safe ? c : '_');
    }
}

/* A file name of the namespace's own, whatever characters it has: the hash tells apart what looks
 * alike. */
static char *list_path(const struct listing *listing, const struct nsm_redis_backend *backend)
{
    const struct nsm_source *const source = listing->source;
    struct nsm_buf all NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&all, "%s/%s/%zu/%s", backend->base.name, source->namespace_name,
                   listing->object, source->written ? "written" : "source");
    struct nsm_buf path NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&path, "%s/redis-", backend->base.work_dir);
    append_safe(&path, source->namespace_name);
    nsm_buf_printf(&path, "-%016llx%s.keys", (unsigned long long)XXH3_64bits(all.ptr, all.len),
                   source->written ? "-written" : "");
    return nsm_buf_detach(&path);
}

static uint64_t fingerprint_of(const struct nsm_redis_backend *backend,
                               const struct nsm_redis_selector *selector)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "%u/%zu/", backend->url.db, selector->prefix.len);
    nsm_buf_append_str(&text, selector->prefix);
    nsm_buf_append_str(&text, selector->glob);
    return XXH3_64bits(text.ptr, text.len);
}

static uint64_t plan_keys_per_part(const struct nsm_redis_list_info *info, size_t part_bytes)
{
    uint64_t n_parts = 1;
    if (part_bytes) {
        n_parts = info->n_keys * info->bytes_per_key / part_bytes;
        const uint64_t n_small = info->n_keys / SMALL_PART_KEYS;
        const uint64_t n_least = n_small < MIN_PARTS ? n_small : MIN_PARTS;
        n_parts = n_parts < n_least ? n_least : n_parts;
        n_parts = n_parts > MAX_PARTS ? MAX_PARTS : n_parts;
    }
    n_parts = n_parts ? n_parts : 1;
    const uint64_t n_keys = (info->n_keys + n_parts - 1) / n_parts;
    return n_keys ? n_keys : 1;
}

/* ---- the pass ---- */

/* Each key is as likely to be in the sample as any other. */
static void take_sample(struct listing *listing, struct nsm_str key)
{
    listing->n_seen++;
    if (key.len > MAX_SAMPLE_KEY_BYTES)
        return;
    size_t at = listing->n_samples;
    if (at == listing->max_samples) {
        const uint64_t chosen = nsm_random_below(listing->n_seen);
        if (chosen >= listing->max_samples)
            return;
        at = (size_t)chosen;
        nsm_freep(&listing->samples[at].ptr);
    } else {
        listing->n_samples++;
    }
    listing->samples[at] = (struct nsm_str){.ptr = nsm_xstrndup(key), .len = key.len};
}

static void add_to_listing(void *arg, size_t selector, struct nsm_str key)
{
    struct survey *const survey = arg;
    struct listing *const listing = &survey->listings[survey->listing_of_selector[selector]];
    take_sample(listing, key);
    if (!(listing->source->flags & NSM_SURVEY_COUNT_ONLY) && !survey->error)
        survey->error = nsm_redis_spool_add(&listing->spool, key);
}

struct pass {
    struct survey *survey;
    struct nsm_redis_tree tree;
};

static void pass_release(struct pass *pass)
{
    nsm_redis_tree_release(&pass->tree);
}

static struct nsm_error *sort_key(void *arg, struct nsm_str key)
{
    struct pass *const pass = arg;
    nsm_redis_tree_find(&pass->tree, key, add_to_listing, pass->survey);
    return pass->survey->error ? NSM_STEAL(pass->survey->error) : NULL;
}

static struct nsm_error *run_pass(struct survey *survey)
{
    if (survey->n_selectors == 0)
        return NULL;
    struct pass pass NSM_CLEANUP(pass_release) = {.survey = survey};
    nsm_redis_tree_build(&pass.tree, survey->selectors, survey->n_selectors);
    struct nsm_buf pattern NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    if (survey->n_selectors == 1)
        nsm_redis_selector_pattern(&survey->selectors[0], &pattern);
    return nsm_redis_scan(survey->conn, survey->ctx, nsm_buf_view(&pattern), sort_key, &pass);
}

/* ---- after the pass ---- */

static void learn_type(const struct listing *listing, struct nsm_str key,
                       const struct nsm_redis_reply *type)
{
    const struct nsm_redis_source *const state = listing->source->state;
    enum nsm_kind kind;
    if (type->type == NSM_REDIS_STATUS && nsm_redis_kind_parse(type->str, &kind))
        nsm_redis_guess_learn(state->lists[listing->object].guesses, nsm_redis_shape(key), kind);
}

static void ask_for_samples(struct survey *survey, const struct listing *listing)
{
    for (size_t index = 0; index < listing->n_samples; index++) {
        NSM_REDIS_COMMAND(survey->conn, "TYPE", listing->samples[index]);
        NSM_REDIS_COMMAND(survey->conn, "MEMORY", NSM_STR_LIT("USAGE"), listing->samples[index]);
    }
}

static struct nsm_error *take_samples(struct survey *survey, struct listing *listing)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    uint64_t n_bytes = 0;
    uint64_t n_keys = 0;
    for (size_t index = 0; index < listing->n_samples; index++) {
        const struct nsm_redis_reply *reply;
        nsm_arena_clear(&arena);
        NSM_TRY(nsm_redis_receive(survey->conn, survey->ctx, &arena, &reply));
        learn_type(listing, listing->samples[index], reply);
        NSM_TRY(nsm_redis_receive(survey->conn, survey->ctx, &arena, &reply));
        if (reply->type == NSM_REDIS_ERROR)
            return nsm_redis_reply_error(reply, "MEMORY USAGE", listing->samples[index]);
        if (reply->type != NSM_REDIS_INTEGER)
            continue; /* gone since */
        if (n_keys == 0 || (uint64_t)reply->integer < listing->smallest_bytes) {
            listing->smallest = index;
            listing->smallest_bytes = (uint64_t)reply->integer;
        }
        n_bytes += (uint64_t)reply->integer;
        n_keys++;
    }
    listing->info.bytes_per_key = n_keys ? n_bytes / n_keys : 0;
    return NULL;
}

/* A round trip for many lists, not for each. */
static struct nsm_error *measure_all(struct survey *survey)
{
    for (size_t first = 0, end = 0; first < survey->n_listings; first = end) {
        size_t n_samples = 0;
        for (; end < survey->n_listings && n_samples < SAMPLES_AT_ONCE; end++) {
            ask_for_samples(survey, &survey->listings[end]);
            n_samples += survey->listings[end].n_samples;
        }
        NSM_TRY(nsm_redis_flush(survey->conn, survey->ctx));
        for (size_t index = first; index < end; index++)
            if (!survey->listings[index].is_whole)
                NSM_TRY(take_samples(survey, &survey->listings[index]));
    }
    return NULL;
}

struct parts {
    struct nsm_arena arena;
    struct nsm_part *items;
    size_t n_items, cap_items;
};

static void parts_release(struct parts *parts)
{
    free(parts->items);
    nsm_arena_release(&parts->arena);
}

static void add_part(void *arg, uint64_t offset, uint64_t n_keys)
{
    struct parts *const parts = arg;
    NSM_GROW(parts->items, parts->n_items, parts->cap_items);
    char *const range = nsm_arena_printf(&parts->arena, "%llu %llu", (unsigned long long)offset,
                                         (unsigned long long)n_keys);
    parts->items[parts->n_items++] =
        (struct nsm_part){.range = nsm_str_of(range), .n_records = n_keys};
}

/* Reads the list once: is it whole, where do its parts begin. */
static struct nsm_error *take_list(struct survey *survey, struct listing *listing)
{
    struct parts parts NSM_CLEANUP(parts_release) = {.arena = NSM_ARENA_INIT};
    struct nsm_redis_list_info info;
    NSM_TRY(nsm_redis_list_check(survey->ctx, listing->path, listing->fingerprint, &info, add_part,
                                 &parts));
    listing->info = info;
    for (size_t index = 0; index < parts.n_items; index++) {
        const struct nsm_part *const part = &parts.items[index];
        nsm_census_add_part(&listing->source->census, listing->object, part->range, part->n_records,
                            part->n_records * info.bytes_per_key);
    }
    return NULL;
}

static struct nsm_error *make_list(struct survey *survey, struct listing *listing)
{
    const struct nsm_redis_list_options options = {
        .path = listing->path,
        .bucket_keys = NSM_REDIS_BUCKET_KEYS,
        .keys_per_part = plan_keys_per_part,
        .part_bytes = listing->source->part_bytes,
    };
    listing->info.fingerprint = listing->fingerprint;
    NSM_TRY(nsm_redis_spool_flush(&listing->spool));
    NSM_TRY(nsm_redis_list_make(survey->ctx, &listing->spool, &options, &listing->info));
    return take_list(survey, listing);
}

static void tell_if_empty(const struct listing *listing)
{
    if (listing->info.n_keys)
        return;
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf pattern NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_selector_pattern(&listing->selector, &pattern);
    nsm_redis_key_write(nsm_buf_view(&pattern), &text);
    nsm_findings_add(&listing->source->census.findings, NSM_FINDING_NOTE, "", 1,
                     pattern.len ? "no key matches %s" : "the database has no keys%s", text.ptr);
}

static struct nsm_error *complete_listing(struct survey *survey, struct listing *listing)
{
    struct nsm_source *const source = listing->source;
    const bool is_counted_only = source->flags & NSM_SURVEY_COUNT_ONLY;
    if (!listing->is_whole) {
        listing->info.n_keys = listing->n_seen;
        if (!is_counted_only)
            NSM_TRY(make_list(survey, listing));
    }
    struct nsm_redis_source *const state = source->state;
    struct nsm_redis_list *const list = &state->lists[listing->object];
    list->n_keys = listing->info.n_keys;
    list->is_fresh = !listing->is_whole;
    if (!is_counted_only)
        list->path = nsm_arena_strdup(&state->arena, listing->path);
    struct nsm_object *const object = &source->census.objects[listing->object];
    object->n_records = listing->info.n_keys;
    object->n_bytes = listing->info.n_keys * listing->info.bytes_per_key;
    object->is_exact = !is_counted_only || listing->is_whole;
    if (!source->written)
        tell_if_empty(listing);
    return NULL;
}

/* Together: each alone would wait for the disk. */
static struct nsm_error *sync_lists(const struct survey *survey)
{
    for (size_t index = 0; index < survey->n_listings; index++) {
        const struct listing *const listing = &survey->listings[index];
        if (!listing->is_whole && !(listing->source->flags & NSM_SURVEY_COUNT_ONLY))
            NSM_TRY(nsm_redis_list_sync(listing->path));
    }
    return NULL;
}

/* ---- whether keys are dumped ---- */

/* The smallest key that is known; else one that is hardly there, which tells no version. */
static struct nsm_str key_to_dump(const struct survey *survey, struct nsm_arena *arena)
{
    const struct listing *best = NULL;
    for (size_t index = 0; index < survey->n_listings; index++) {
        const struct listing *const listing = &survey->listings[index];
        if (listing->smallest_bytes && (!best || listing->smallest_bytes < best->smallest_bytes))
            best = listing;
    }
    if (best && best->smallest_bytes <= MAX_PROBE_BYTES)
        return best->samples[best->smallest];
    const struct nsm_str prefix = survey->listings[0].selector.prefix;
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_str(&name, prefix);
    nsm_buf_append_cstr(&name, NSM_REDIS_TEMP_PREFIX "probe");
    return nsm_arena_copy(arena, nsm_buf_view(&name));
}

/* Once for all sources: the user and the server are the same. */
static struct nsm_error *probe_dump(struct survey *survey)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_redis_probe probe = {survey->conn, survey->ctx, &arena};
    const char *reason = "the plan says so (dump: false)";
    unsigned version = 0;
    if (survey->n_listings == 0 || survey->listings[0].source->written)
        return NULL;
    if (!survey->backend->is_without_dump)
        NSM_TRY(nsm_redis_probe_dump(&probe, key_to_dump(survey, &arena), &reason, &version));
    for (size_t index = 0; index < survey->n_listings; index++) {
        struct nsm_source *const source = survey->listings[index].source;
        struct nsm_redis_source *const state = source->state;
        state->payload_version = version ? version : nsm_redis_payload_version(&survey->server);
        if (reason)
            source->census.only_record = nsm_arena_strdup(&source->census.arena, reason);
    }
    return NULL;
}

/* ---- the sources ---- */

static void add_listing(struct survey *survey, struct nsm_source *source, size_t object,
                        struct nsm_redis_selector selector)
{
    NSM_GROW(survey->listings, survey->n_listings, survey->cap_listings);
    struct listing *const listing = &survey->listings[survey->n_listings++];
    *listing = (struct listing){
        .source = source,
        .object = object,
        .selector = selector,
        .fingerprint = fingerprint_of(survey->backend, &selector),
        .spool = {.buf = NSM_BUF_INIT(0)},
    };
    listing->path = list_path(listing, survey->backend);
}

static struct nsm_redis_source *make_state(struct nsm_source *source, size_t n_objects)
{
    struct nsm_redis_source *const state = nsm_xcalloc(1, sizeof(*state));
    state->lists =
        nsm_arena_calloc(&state->arena, n_objects ? n_objects : 1, sizeof(*state->lists));
    state->n_lists = n_objects;
    for (size_t index = 0; index < n_objects; index++)
        state->lists[index].guesses =
            nsm_arena_calloc(&state->arena, 1, sizeof(struct nsm_redis_guesses));
    source->state = state;
    return state;
}

static void add_keys_object(struct nsm_census *census, const struct nsm_object *like)
{
    struct nsm_object *const object = nsm_census_add_object(census);
    object->model = NSM_MODEL_KEYS;
    if (like)
        object->name = nsm_arena_strdup(&census->arena, like->name);
}

static void refuse(struct nsm_source *source, const char *why)
{
    nsm_findings_add(&source->census.findings, NSM_FINDING_REFUSAL, "", 1, "the source %s", why);
}

/* The source's own lists under the destination's prefix: no search is needed. False when they are
 * not there. */
static bool reuse_source_lists(struct nsm_source *source)
{
    const struct nsm_destination *const written = source->written;
    if (!(source->flags & NSM_SURVEY_SAME_KEYS) || !written->source || !written->source->state)
        return false;
    const struct nsm_redis_source *const from = written->source->state;
    const struct nsm_census *const census = &written->source->census;
    for (size_t index = 0; index < from->n_lists; index++) {
        if (!from->lists[index].path)
            return false;
    }
    struct nsm_redis_source *const state = make_state(source, from->n_lists);
    for (size_t index = 0; index < from->n_lists; index++) {
        add_keys_object(&source->census, &census->objects[index]);
        source->census.objects[index].n_records = census->objects[index].n_records;
        source->census.objects[index].n_bytes = census->objects[index].n_bytes;
        source->census.objects[index].is_exact = census->objects[index].is_exact;
        from->lists[index].guesses->is_largest_of_all = from->lists[index].is_fresh;
        state->lists[index] = (struct nsm_redis_list){
            .path = nsm_arena_strdup(&state->arena, from->lists[index].path),
            .n_keys = from->lists[index].n_keys,
            .n_replaced = census->prefix.len,
            .replacement = nsm_arena_copy(&state->arena, source->census.prefix),
            .guesses =
                from->lists[index].guesses, /* the source outlives what is read of its copy */
        };
    }
    for (size_t index = 0; index < census->n_parts; index++) {
        const struct nsm_part *const part = &census->parts[index];
        nsm_census_add_part(&source->census, part->object, part->range, part->n_records,
                            part->n_bytes);
    }
    return true;
}

static void add_written(struct survey *survey, struct nsm_source *source)
{
    const struct nsm_destination *const written = source->written;
    source->census.prefix =
        nsm_arena_copy(&source->census.arena, nsm_redis_destination_prefix(written));
    const struct nsm_redis_selector whole = {.prefix = source->census.prefix};
    source->census.identity =
        nsm_redis_identity(survey->backend, &survey->server, &whole, &source->census.arena);
    if (reuse_source_lists(source))
        return;
    make_state(source, written->shape->n_objects);
    for (size_t index = 0; index < written->shape->n_objects; index++)
        add_keys_object(&source->census, &written->shape->objects[index]);
    /* One space of keys is one object, whatever its source had. */
    if (written->shape->n_objects)
        add_listing(survey, source, 0, nsm_redis_destination_selector(written));
}

static void add_selected(struct survey *survey, struct nsm_source *source)
{
    const struct nsm_redis_selector selector = nsm_redis_source_selector(source->selection);
    source->census.prefix = nsm_arena_copy(&source->census.arena, selector.prefix);
    source->census.identity =
        nsm_redis_identity(survey->backend, &survey->server, &selector, &source->census.arena);
    make_state(source, 1);
    add_keys_object(&source->census, NULL);
    add_listing(survey, source, 0, selector);
}

static size_t clamp(size_t value, size_t least, size_t most)
{
    if (value < least)
        return least;
    return value > most ? most : value;
}

/* Takes what an earlier run left; prepares the search for the rest. */
static struct nsm_error *choose_listings(struct survey *survey)
{
    const size_t n = survey->n_listings + 1;
    survey->selectors = nsm_xcalloc(n, sizeof(*survey->selectors));
    survey->listing_of_selector = nsm_xcalloc(n, sizeof(size_t));
    const size_t buffer_bytes = clamp(SPOOL_BYTES / n, MIN_SPOOL_BYTES, MAX_SPOOL_BYTES);
    const size_t max_samples = clamp(ALL_SAMPLES / n, MIN_SAMPLES, MAX_SAMPLES);
    for (size_t index = 0; index < survey->n_listings; index++) {
        struct listing *const listing = &survey->listings[index];
        if ((listing->source->flags & NSM_SURVEY_RESUME) && !listing->source->written) {
            struct nsm_error *const error = take_list(survey, listing);
            listing->is_whole = !error;
            if (error && nsm_error_is(error, NSM_E_CANCELED))
                return error;
            /* A list that is missing or not whole is made anew. */
            nsm_error_ignore(error);
        }
        if (listing->is_whole)
            continue;
        char *path NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s.spool", listing->path);
        nsm_redis_spool_init(&listing->spool, path, buffer_bytes);
        listing->samples = nsm_xcalloc(max_samples, sizeof(*listing->samples));
        listing->max_samples = max_samples;
        survey->selectors[survey->n_selectors] = listing->selector;
        survey->listing_of_selector[survey->n_selectors++] = index;
    }
    return NULL;
}

/* A server that is asked about what was written has been asked as a destination. */
static struct nsm_error *ask_server(struct survey *survey, struct nsm_source **sources, size_t n)
{
    return n == 1 && sources[0]->written
               ? nsm_redis_server_known(survey->backend, survey->conn, survey->ctx, &survey->server)
               : nsm_redis_server_ask(survey->backend, survey->conn, survey->ctx, &survey->server);
}

static void add_sources(struct survey *survey, struct nsm_source **sources, size_t n,
                        const char *refusal)
{
    for (size_t index = 0; index < n; index++) {
        if (sources[index]->written)
            add_written(survey, sources[index]);
        else
            add_selected(survey, sources[index]);
        if (refusal)
            refuse(sources[index], refusal);
    }
}

struct nsm_error *nsm_redis_survey(struct nsm_backend *base, struct nsm_context *ctx,
                                   struct nsm_source **sources, size_t n_sources)
{
    struct nsm_redis_backend *const backend = nsm_redis_backend_of(base);
    struct survey survey NSM_CLEANUP(survey_release) = {.backend = backend, .ctx = ctx};
    NSM_TRY(nsm_redis_take(backend, ctx, &survey.conn));
    NSM_TRY(ask_server(&survey, sources, n_sources));
    const char *const refusal = nsm_redis_server_refusal(&survey.server);
    add_sources(&survey, sources, n_sources, refusal);
    if (refusal)
        return NULL;
    NSM_TRY(choose_listings(&survey));
    NSM_TRY(run_pass(&survey));
    NSM_TRY(measure_all(&survey));
    for (size_t index = 0; index < survey.n_listings; index++)
        NSM_TRY(complete_listing(&survey, &survey.listings[index]));
    NSM_TRY(sync_lists(&survey));
    return probe_dump(&survey);
}

void nsm_redis_release_source(struct nsm_source *source)
{
    struct nsm_redis_source *const state = source->state;
    if (!state)
        return;
    nsm_arena_release(&state->arena);
    free(state);
    source->state = NULL;
}
