/*
 * The part of the adapters' interface that every adapter calls: lists that grow (findings, objects,
 * parts) and questions about an adapter's table. It lives beside the record, not in the engine, so
 * that an adapter links nothing above it.
 */
#include "adapters/adapter.h"

#include <assert.h>
#include <stdarg.h>
#include <unistd.h>

#include "migrate/base/alloc.h"

void nsm_findings_add(struct nsm_findings *findings, enum nsm_finding_kind kind, const char *what,
                      uint64_t count, const char *fmt, ...)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    va_list args;
    va_start(args, fmt);
    nsm_buf_vprintf(&text, fmt, args);
    va_end(args);

    NSM_GROW(findings->items, findings->n_items, findings->cap_items);
    findings->items[findings->n_items++] = (struct nsm_finding){
        .kind = kind,
        .what = nsm_arena_strdup(&findings->arena, what ? what : ""),
        .text = nsm_arena_copy(&findings->arena, nsm_buf_view(&text)).ptr,
        .count = count ? count : 1,
    };
}

void nsm_findings_release(struct nsm_findings *findings)
{
    if (!findings)
        return;
    free(findings->items);
    nsm_arena_release(&findings->arena);
    *findings = (struct nsm_findings){0};
}

struct nsm_object *nsm_census_add_object(struct nsm_census *census)
{
    NSM_GROW(census->objects, census->n_objects, census->cap_objects);
    struct nsm_object *const object = &census->objects[census->n_objects++];
    *object = (struct nsm_object){
        .name = "",
        .schema = "",
        .version = "",
        .format = "",
        .format_reason = "",
    };
    return object;
}

void nsm_census_add_part(struct nsm_census *census, size_t object, struct nsm_str range,
                         uint64_t n_records, uint64_t n_bytes)
{
    assert(object < census->n_objects);
    NSM_GROW(census->parts, census->n_parts, census->cap_parts);
    census->parts[census->n_parts++] = (struct nsm_part){
        .object = object,
        .range = nsm_arena_copy(&census->arena, range),
        .n_records = n_records,
        .n_bytes = n_bytes,
    };
}

void nsm_census_release(struct nsm_census *census)
{
    if (!census)
        return;
    free(census->objects);
    free(census->parts);
    nsm_findings_release(&census->findings);
    nsm_arena_release(&census->arena);
    *census = (struct nsm_census){0};
}

void nsm_description_add(struct nsm_description *description,
                         const struct nsm_definition *definition)
{
    struct nsm_arena *const arena = &description->arena;
    NSM_GROW(description->items, description->n_items, description->cap_items);
    description->items[description->n_items++] = (struct nsm_definition){
        .kind = nsm_arena_strdup(arena, definition->kind),
        .name = nsm_arena_strdup(arena, definition->name),
        .text = nsm_arena_strdup(arena, definition->text),
        .is_alone = definition->is_alone,
    };
}

void nsm_description_release(struct nsm_description *description)
{
    free(description->items);
    nsm_arena_release(&description->arena);
    description->items = NULL;
    description->n_items = 0;
    description->cap_items = 0;
}

bool nsm_run_id_is_kin(const char *run_id, const char *other)
{
    return strlen(run_id) > NSM_RUN_ID_KIN_LEN && strncmp(run_id, other, NSM_RUN_ID_KIN_LEN) == 0;
}

char *nsm_backend_holder(const struct nsm_backend *backend, size_t max_bytes)
{
    char host[65] = "";
    (void)gethostname(host, sizeof(host) - 1);
    const int host_bytes = (int)(max_bytes / 3);
    char *process NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("pid %ld on %.*s", (long)getpid(), host_bytes, host);
    const size_t rest = strlen("plan , ") + strlen(process);
    const int name_bytes = rest < max_bytes ? (int)(max_bytes - rest) : 0;
    return nsm_xasprintf("plan %.*s, %s", name_bytes, backend->plan_name ? backend->plan_name : "-",
                         process);
}

static const struct nsm_lane_use *find_lane(const struct nsm_adapter *adapter, enum nsm_lane lane)
{
    for (size_t index = 0; index < adapter->n_lanes; index++) {
        if (adapter->lanes[index].lane == lane)
            return &adapter->lanes[index];
    }
    return NULL;
}

bool nsm_adapter_reads(const struct nsm_adapter *adapter, enum nsm_lane lane)
{
    const struct nsm_lane_use *const use = find_lane(adapter, lane);
    return use && use->reads;
}

bool nsm_adapter_writes(const struct nsm_adapter *adapter, enum nsm_lane lane)
{
    const struct nsm_lane_use *const use = find_lane(adapter, lane);
    return use && use->writes;
}
