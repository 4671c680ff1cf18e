/*
 * A conflict is a key that stands where the plan would write one. Which keys those are is known
 * when the source is a Redis too: then either its list is looked up at the destination, or, where
 * the destination holds fewer keys than the list, these are looked up at the source. Otherwise
 * every key under the destination's prefix counts: which of them its rows will become is not known
 * before they are read.
 */
#include "adapters/redis/redis_inspect.h"

#include "adapters/redis/redis_keys.h"
#include "adapters/redis/redis_probe.h"
#include "adapters/redis/redis_survey.h"
#include "migrate/base/alloc.h"

/* Keys looked up in one round trip. */
#define LOOKUP_KEYS 1000
/* Of a key's name, what a message may need. */
#define NAME_BYTES ((size_t)80)

struct finding;

struct lookup_entry {
    struct finding *finding; /* whose conflict it is when the key exists */
    size_t name_len;
};

/* Looks keys up at a server, many at a time. */
struct lookup {
    struct nsm_redis_backend *backend; /* what `conn` is given back to */
    struct nsm_redis_conn *conn;
    struct nsm_buf names; /* of the keys on their way, as a conflict would be called */
    struct lookup_entry *entries;
    size_t n_entries;
    struct nsm_arena arena;
};

/* What was found at the destination of one namespace. */
struct finding {
    struct nsm_destination *destination;
    struct lookup *lookup; /* at its source; NULL: every key is a conflict */
    uint64_t n_conflicts;
    char example[256]; /* as it is to be shown */
};

struct inspection {
    struct nsm_redis_backend *backend;
    struct nsm_context *ctx;
    struct nsm_redis_conn *conn;
    struct nsm_redis_server server;
    uint64_t n_keys;          /* in the database */
    unsigned payload_version; /* that was tried last; 0: none */
    const char *only_record;  /* what came of it */
    struct finding *findings;
    size_t n_findings;
    struct lookup here;     /* borrows `conn` */
    struct lookup *sources; /* one for each backend that namespaces come from */
    size_t n_sources;
    /* of those whose keys are searched for by a pass */
    struct nsm_redis_selector *selectors;
    size_t *finding_of_selector;
    size_t n_selectors;
    struct nsm_redis_tree tree;
    struct nsm_arena arena;
    struct nsm_error *error;
};

static void lookup_init(struct lookup *lookup, struct nsm_redis_backend *backend,
                        struct nsm_redis_conn *conn)
{
    *lookup = (struct lookup){
        .backend = backend,
        .conn = conn,
        .names = NSM_BUF_TEXT,
        .entries = nsm_xcalloc(LOOKUP_KEYS, sizeof(*lookup->entries)),
    };
}

static void lookup_release(struct lookup *lookup)
{
    if (!lookup->entries)
        return;
    nsm_buf_release(&lookup->names);
    free(lookup->entries);
    nsm_arena_release(&lookup->arena);
}

static void inspection_release(struct inspection *inspection)
{
    for (size_t index = 0; index < inspection->n_sources; index++) {
        nsm_redis_give(inspection->sources[index].backend, inspection->sources[index].conn);
        lookup_release(&inspection->sources[index]);
    }
    lookup_release(&inspection->here);
    free(inspection->sources);
    free(inspection->findings);
    free(inspection->selectors);
    free(inspection->finding_of_selector);
    nsm_redis_tree_release(&inspection->tree);
    nsm_arena_release(&inspection->arena);
    nsm_error_free(inspection->error);
    nsm_redis_give(inspection->backend, inspection->conn);
}

/* ---- looking up ---- */

static void add_conflict(struct finding *finding, struct nsm_str key)
{
    if (finding->n_conflicts++ == 0) {
        struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_redis_key_write(key, &text);
        snprintf(finding->example, sizeof(finding->example), "%s", text.ptr);
    }
}

/* Takes the answers to all that was queued. */
static struct nsm_error *lookup_flush(struct lookup *lookup, struct nsm_context *ctx)
{
    NSM_TRY(nsm_redis_flush(lookup->conn, ctx));
    size_t at = 0;
    for (size_t index = 0; index < lookup->n_entries; index++) {
        const struct lookup_entry *const entry = &lookup->entries[index];
        const struct nsm_str name = {.ptr = lookup->names.ptr + at, .len = entry->name_len};
        at += entry->name_len;
        nsm_arena_clear(&lookup->arena);
        const struct nsm_redis_reply *reply;
        NSM_TRY(nsm_redis_receive(lookup->conn, ctx, &lookup->arena, &reply));
        if (reply->type != NSM_REDIS_INTEGER)
            return nsm_redis_reply_error(reply, "EXISTS", name);
        if (reply->integer)
            add_conflict(entry->finding, name);
    }
    lookup->n_entries = 0;
    nsm_buf_clear(&lookup->names);
    return NULL;
}

/* A key as two pieces. */
struct key {
    struct nsm_str head, tail;
};

/* Looks `key` up; a conflict is told as `shown`. */
static struct nsm_error *lookup_add(struct lookup *lookup, struct nsm_context *ctx,
                                    struct finding *finding, struct key key, struct key shown)
{
    nsm_redis_begin(lookup->conn, 2);
    nsm_redis_arg_cstr(lookup->conn, "EXISTS");
    nsm_redis_arg_joined(lookup->conn, key.head, key.tail);
    const size_t n_before = lookup->names.len;
    nsm_buf_append(&lookup->names, shown.head.ptr,
                   shown.head.len < NAME_BYTES ? shown.head.len : NAME_BYTES);
    nsm_buf_append(&lookup->names, shown.tail.ptr,
                   shown.tail.len < NAME_BYTES ? shown.tail.len : NAME_BYTES);
    lookup->entries[lookup->n_entries++] =
        (struct lookup_entry){.finding = finding, .name_len = lookup->names.len - n_before};
    return lookup->n_entries < LOOKUP_KEYS ? NULL : lookup_flush(lookup, ctx);
}

/* The source's keys, looked up at the destination. */
static struct nsm_error *look_up_list(struct inspection *inspection, struct finding *finding,
                                      const struct nsm_redis_list *list)
{
    const struct nsm_destination *const destination = finding->destination;
    const struct nsm_census *const census = &destination->source->census;
    uint64_t offset;
    uint64_t n_keys;
    if (census->n_parts == 0 || !nsm_redis_range_parse(census->parts[0].range, &offset, &n_keys))
        return nsm_error_new(NSM_E_INTERNAL, "a key list without its first part");
    struct nsm_redis_cursor cursor NSM_CLEANUP(nsm_redis_cursor_close) = {.fd = -1};
    NSM_TRY(nsm_redis_cursor_open(&cursor, list->path, offset));
    for (uint64_t index = 0; index < list->n_keys; index++) {
        struct nsm_str key;
        NSM_TRY(nsm_redis_cursor_next(&cursor, &key));
        const struct key there = {
            .head = nsm_redis_destination_prefix(destination),
            .tail = nsm_str_skip(key, destination->shape->prefix.len),
        };
        NSM_TRY(lookup_add(&inspection->here, inspection->ctx, finding, there, there));
    }
    return lookup_flush(&inspection->here, inspection->ctx);
}

/* ---- one pass over the destination ---- */

/* A key of the destination: whether the source has what would be written there. */
static struct nsm_error *judge(struct inspection *inspection, struct finding *finding,
                               struct nsm_str key)
{
    if (!finding->lookup) {
        add_conflict(finding, key);
        return NULL;
    }
    const struct nsm_destination *const destination = finding->destination;
    const struct nsm_str prefix = nsm_redis_destination_prefix(destination);
    const struct key at_source = {
        .head = destination->shape->prefix,
        .tail = nsm_str_skip(key, prefix.len),
    };
    return lookup_add(finding->lookup, inspection->ctx, finding, at_source,
                      (struct key){.head = key});
}

static void match(void *arg, size_t selector, struct nsm_str key)
{
    struct inspection *const inspection = arg;
    struct finding *const finding =
        &inspection->findings[inspection->finding_of_selector[selector]];
    if (!inspection->error)
        inspection->error = judge(inspection, finding, key);
}

static struct nsm_error *sort_key(void *arg, struct nsm_str key)
{
    struct inspection *const inspection = arg;
    nsm_redis_tree_find(&inspection->tree, key, match, inspection);
    return inspection->error ? NSM_STEAL(inspection->error) : NULL;
}

static struct nsm_error *run_pass(struct inspection *inspection)
{
    if (inspection->n_selectors == 0)
        return NULL;
    nsm_redis_tree_build(&inspection->tree, inspection->selectors, inspection->n_selectors);
    struct nsm_buf pattern NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    if (inspection->n_selectors == 1)
        nsm_redis_selector_pattern(&inspection->selectors[0], &pattern);
    NSM_TRY(nsm_redis_scan(inspection->conn, inspection->ctx, nsm_buf_view(&pattern), sort_key,
                           inspection));
    for (size_t index = 0; index < inspection->n_sources; index++)
        NSM_TRY(lookup_flush(&inspection->sources[index], inspection->ctx));
    return NULL;
}

/* ---- which way ---- */

static void add_selector(struct inspection *inspection, size_t finding)
{
    const size_t n = inspection->n_selectors++;
    inspection->selectors[n] =
        nsm_redis_destination_selector(inspection->findings[finding].destination);
    inspection->finding_of_selector[n] = finding;
}

/* The lookup at a source's backend, which is shared by all that come from there. */
static struct nsm_error *source_lookup(struct inspection *inspection,
                                       struct nsm_redis_backend *backend, struct lookup **ret)
{
    for (size_t index = 0; index < inspection->n_sources; index++) {
        if (inspection->sources[index].backend == backend) {
            *ret = &inspection->sources[index];
            return NULL;
        }
    }
    struct nsm_redis_conn *conn;
    NSM_TRY(nsm_redis_take(backend, inspection->ctx, &conn));
    struct lookup *const lookup = &inspection->sources[inspection->n_sources++];
    lookup_init(lookup, backend, conn);
    *ret = lookup;
    return NULL;
}

static struct nsm_error *choose(struct inspection *inspection, size_t index)
{
    struct finding *const finding = &inspection->findings[index];
    const struct nsm_destination *const destination = finding->destination;
    if (destination->is_ours || inspection->n_keys == 0)
        return NULL;
    if (destination->source) {
        const struct nsm_redis_source *const state = destination->source->state;
        if (!state || state->n_lists == 0 || state->lists[0].n_keys == 0)
            return NULL;
        const struct nsm_redis_list *const list = &state->lists[0];
        if (list->path && list->n_keys < inspection->n_keys)
            return look_up_list(inspection, finding, list);
        NSM_TRY(source_lookup(inspection, nsm_redis_backend_of(destination->source->backend),
                              &finding->lookup));
    }
    add_selector(inspection, index);
    return NULL;
}

/* ---- what is told ---- */

void nsm_redis_tell_server(const struct nsm_redis_server *server, struct nsm_findings *findings)
{
    const char *const refusal = nsm_redis_server_refusal(server);
    if (refusal)
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1, "the server %s", refusal);
    if (server->max_memory_bytes && server->eviction[0] &&
        strcmp(server->eviction, "noeviction") != 0)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "the server evicts keys under %s when it holds more than %llu bytes",
                         server->eviction, (unsigned long long)server->max_memory_bytes);
}

void nsm_redis_tell_streams(const struct nsm_redis_server *server, struct nsm_findings *findings)
{
    nsm_findings_add(
        findings, NSM_FINDING_NOTE, "", 1,
        "streams come by their types: when their consumers were last seen stays behind");
    if (server->version < NSM_REDIS_VERSION(7, 0))
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "%s can't hold what the groups of a stream have read, nor that entries of "
                         "it were deleted: a stream that has such is an error when it is reached",
                         server->version_text);
}

/* Whether a stream was seen among keys that don't go as payloads. */
static bool carries_streams(const struct nsm_destination *destination)
{
    if (!destination->source || strcmp(destination->source_adapter, "redis") != 0)
        return false;
    const struct nsm_redis_source *const source = destination->source->state;
    bool has_streams = false;
    for (size_t i = 0; source && i < source->n_lists && !has_streams; i++)
        has_streams = nsm_redis_guess_knows(source->lists[i].guesses, NSM_KIND_STREAM);
    return has_streams &&
           (destination->source->census.only_record || destination->target.only_record);
}

static void tell_memory(const struct nsm_redis_server *server, uint64_t n_bytes,
                        struct nsm_findings *findings)
{
    const uint64_t n_free = server->max_memory_bytes > server->used_memory_bytes
                                ? server->max_memory_bytes - server->used_memory_bytes
                                : 0;
    if (server->max_memory_bytes && n_bytes > n_free)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "about %llu bytes are to be written and %llu are free below maxmemory",
                         (unsigned long long)n_bytes, (unsigned long long)n_free);
}

static void make_target(struct inspection *inspection, struct nsm_destination *destination)
{
    struct nsm_census *const target = &destination->target;
    const struct nsm_census *const shape = destination->shape;
    target->prefix = nsm_arena_copy(&target->arena, nsm_redis_destination_prefix(destination));
    const struct nsm_redis_selector whole = {.prefix = target->prefix};
    target->identity =
        nsm_redis_identity(inspection->backend, &inspection->server, &whole, &target->arena);
    for (size_t index = 0; index < shape->n_objects; index++) {
        const struct nsm_object *const from = &shape->objects[index];
        struct nsm_object *const object = nsm_census_add_object(target);
        object->name = nsm_arena_strdup(&target->arena, from->name);
        object->model = NSM_MODEL_KEYS;
        object->n_records = from->n_records;
        object->n_bytes = from->n_bytes;
        object->is_exact = from->is_exact;
    }
}

/* ---- whether payloads are taken ---- */

static struct nsm_error *ask_restore(struct inspection *inspection, struct nsm_str prefix,
                                     unsigned version, const char **ret)
{
    const struct nsm_redis_probe probe = {inspection->conn, inspection->ctx, &inspection->arena};
    struct nsm_buf key NSM_CLEANUP(nsm_buf_release) = NSM_BUF_INIT(NSM_MAX_VALUE_BYTES);
    *ret = "the plan says so (dump: false)";
    if (inspection->backend->is_without_dump)
        return NULL;
    /* Not every master of a Cluster is asked. */
    *ret = "the Cluster has a server that can't load the source's payloads";
    if (inspection->conn->router && version > nsm_redis_payload_version(&inspection->server))
        return NULL;
    nsm_buf_append_str(&key, prefix);
    nsm_buf_append_cstr(&key, NSM_REDIS_TEMP_PREFIX "probe");
    NSM_TRY(nsm_buf_error(&key));
    return nsm_redis_probe_restore(&probe, nsm_buf_view(&key), version, ret);
}

/* Payloads of one version are tried once for all namespaces. */
static struct nsm_error *probe_restore(struct inspection *inspection,
                                       struct nsm_destination *destination)
{
    if (!destination->source || !destination->source->state ||
        destination->source->census.only_record)
        return NULL;
    const struct nsm_redis_source *const source = destination->source->state;
    if (inspection->payload_version != source->payload_version) {
        NSM_TRY(ask_restore(inspection, nsm_redis_destination_prefix(destination),
                            source->payload_version, &inspection->only_record));
        inspection->payload_version = source->payload_version;
    }
    if (inspection->only_record)
        destination->target.only_record =
            nsm_arena_strdup(&destination->target.arena, inspection->only_record);
    return NULL;
}

static void tell(struct inspection *inspection, const struct finding *finding)
{
    struct nsm_destination *const destination = finding->destination;
    struct nsm_findings *const findings = &destination->target.findings;
    uint64_t n_bytes = 0;
    uint64_t n_records = 0;
    for (size_t index = 0; index < destination->shape->n_objects; index++) {
        n_bytes += destination->shape->objects[index].n_bytes;
        n_records += destination->shape->objects[index].n_records;
    }
    nsm_redis_tell_server(&inspection->server, findings);
    if (inspection->server.is_replica)
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "the server is a replica, which takes no writes; name its master");
    if (carries_streams(destination))
        nsm_redis_tell_streams(&inspection->server, findings);
    if (!destination->is_ours)
        tell_memory(&inspection->server, n_bytes, findings);
    struct nsm_buf prefix NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_key_write(destination->target.prefix, &prefix);
    nsm_findings_add(findings, NSM_FINDING_CREATE, "", n_records ? n_records : 1,
                     prefix.len ? "keys under %s" : "keys%s", prefix.ptr);
    if (finding->n_conflicts)
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", finding->n_conflicts,
                         "%llu of the keys stand there already, such as %s",
                         (unsigned long long)finding->n_conflicts, finding->example);
}

static struct nsm_error *ask_server(struct inspection *inspection)
{
    struct nsm_context *const ctx = inspection->ctx;
    NSM_TRY(nsm_redis_take(inspection->backend, ctx, &inspection->conn));
    NSM_TRY(nsm_redis_server_ask(inspection->backend, inspection->conn, ctx, &inspection->server));
    if (nsm_redis_server_refusal(&inspection->server))
        return NULL;
    return nsm_redis_count_keys(inspection->conn, ctx, &inspection->n_keys);
}

struct nsm_error *nsm_redis_inspect(struct nsm_backend *base, struct nsm_context *ctx,
                                    struct nsm_destination **destinations, size_t n_destinations)
{
    struct inspection inspection NSM_CLEANUP(inspection_release) = {
        .backend = nsm_redis_backend_of(base),
        .ctx = ctx,
    };
    NSM_TRY(ask_server(&inspection));
    lookup_init(&inspection.here, inspection.backend, inspection.conn);
    /* As many as there can be, so that pointers to them last. */
    inspection.sources = nsm_xcalloc(n_destinations, sizeof(*inspection.sources));
    inspection.findings = nsm_xcalloc(n_destinations, sizeof(*inspection.findings));
    inspection.selectors = nsm_xcalloc(n_destinations, sizeof(*inspection.selectors));
    inspection.finding_of_selector = nsm_xcalloc(n_destinations, sizeof(size_t));
    inspection.n_findings = n_destinations;
    for (size_t index = 0; index < n_destinations; index++)
        inspection.findings[index].destination = destinations[index];
    for (size_t index = 0; index < n_destinations; index++) {
        make_target(&inspection, destinations[index]);
        NSM_TRY(probe_restore(&inspection, destinations[index]));
        NSM_TRY(choose(&inspection, index));
    }
    NSM_TRY(run_pass(&inspection));
    for (size_t index = 0; index < n_destinations; index++)
        tell(&inspection, &inspection.findings[index]);
    return NULL;
}
