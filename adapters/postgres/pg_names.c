/*
 * Names at the destination: those of the source where the plan gives no others.
 */
#include "adapters/postgres/pg_names.h"

#include "adapters/postgres/pg_facts.h"
#include "migrate/base/alloc.h"

bool nsm_pg_is_from_postgres(const struct nsm_destination *destination)
{
    return strcmp(destination->source_adapter, "postgres") == 0;
}

const struct nsm_pg_source *nsm_pg_source_of(const struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    if (!destination->definition)
        return NULL;
    return destination->source ? destination->source->state : state->archived;
}

/* The one schema of all that is selected at the source; NULL: several, or none. */
static const char *only_schema(const struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    if (source && source->selection.schema)
        return source->selection.schema;
    const struct nsm_census *const shape = destination->shape;
    for (size_t i = 1; i < shape->n_objects; i++) {
        if (strcmp(shape->objects[i].schema, shape->objects[0].schema) != 0)
            return NULL;
    }
    return shape->n_objects ? shape->objects[0].schema : NULL;
}

static struct nsm_error *name_target(struct nsm_destination *destination,
                                     struct nsm_pg_destination *state,
                                     const struct nsm_pg_pattern *table, size_t i)
{
    const struct nsm_object *const from = &destination->shape->objects[i];
    struct nsm_pg_target *const target = &state->tables[i];
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const char *const schema = nsm_settings_string(destination->selection, "schema");
    target->from = (struct nsm_pg_name){.schema = from->schema, .name = from->name};
    target->to = target->from;
    target->is_partitioned = source && source->tables[i].is_partitioned;
    if (table->name)
        target->to = (struct nsm_pg_name){.schema = table->schema, .name = table->name};
    else if (schema)
        target->to.schema = schema;
    else if (!nsm_pg_is_from_postgres(destination) || !*from->schema)
        target->to.schema = "public";
    if (!*target->to.name)
        target->to.name = destination->namespace_name;
    if (nsm_pg_is_system_schema(target->to.schema))
        return nsm_error_new(NSM_E_INVALID, "schema %s is the server's or nsmigrate's own",
                             target->to.schema);
    if (strlen(target->to.name) > NSM_PG_NAME_BYTES ||
        strlen(target->to.schema) > NSM_PG_NAME_BYTES)
        REFUSE(destination,
               "%s.%s: a name in PostgreSQL has at most 63 bytes; give another with table or "
               "schema",
               target->to.schema, target->to.name);
    return NULL;
}

static void decide_rename(struct nsm_destination *destination, struct nsm_pg_destination *state,
                          const char *to_schema)
{
    state->has_definition = nsm_pg_is_from_postgres(destination) && destination->definition;
    const char *const from = only_schema(destination);
    for (size_t i = 0; i < state->n_tables; i++)
        state->renames_table = state->renames_table ||
                               strcmp(state->tables[i].from.name, state->tables[i].to.name) != 0;
    if (!state->has_definition || !to_schema)
        return;
    if (!from) {
        if (state->n_tables)
            REFUSE(destination,
                   "tables of several schemas can't go to the one schema %s: select one schema per "
                   "namespace",
                   to_schema);
        return;
    }
    if (strcmp(from, to_schema) != 0 || state->renames_table) {
        state->from_schema = nsm_arena_strdup(&state->arena, from);
        state->to_schema = nsm_arena_strdup(&state->arena, to_schema);
    }
}

struct nsm_error *nsm_pg_name_targets(struct nsm_destination *destination)
{
    struct nsm_pg_destination *const state = nsm_xcalloc(1, sizeof(*state));
    destination->state = state;
    const size_t n = destination->shape->n_objects;
    if (!destination->source && destination->definition)
        NSM_TRY(nsm_pg_facts_load(destination->definition, n, &state->archived));
    state->n_tables = n;
    state->tables = nsm_arena_calloc(&state->arena, n, sizeof(*state->tables));
    struct nsm_pg_pattern table = {0};
    const char *const text = nsm_settings_string(destination->selection, "table");
    if (text)
        NSM_TRY_WRAP(nsm_pg_pattern_parse(&state->arena, text, false, &table), "option table");
    if (text && n > 1)
        REFUSE(destination, "table names one table, but the source has %zu: use schema", n);
    for (size_t i = 0; i < n; i++)
        NSM_TRY(name_target(destination, state, &table, i));
    decide_rename(destination, state,
                  text ? table.schema : nsm_settings_string(destination->selection, "schema"));
    return NULL;
}

struct nsm_pg_name nsm_pg_target_name(const struct nsm_pg_destination *state,
                                      const struct nsm_pg_name *from)
{
    const bool is_renamed = state->from_schema && strcmp(from->schema, state->from_schema) == 0;
    for (size_t i = 0; state->renames_table && i < state->n_tables; i++) {
        if (strcmp(state->tables[i].from.name, from->name) == 0 &&
            strcmp(state->tables[i].from.schema, from->schema) == 0)
            return state->tables[i].to;
    }
    return (struct nsm_pg_name){is_renamed ? state->to_schema : from->schema, from->name};
}

/* ---- two to one ---- */

struct claim {
    const struct nsm_pg_name *name;
    struct nsm_destination *destination;
};

static int compare_claims(const void *a, const void *b)
{
    const struct claim *const left = a;
    const struct claim *const right = b;
    const int order = strcmp(left->name->schema, right->name->schema);
    return order ? order : strcmp(left->name->name, right->name->name);
}

void nsm_pg_find_collisions(struct nsm_destination **destinations, size_t n_destinations)
{
    size_t n = 0;
    for (size_t i = 0; i < n_destinations; i++)
        n += ((const struct nsm_pg_destination *)destinations[i]->state)->n_tables;
    struct claim *claims NSM_CLEANUP(nsm_freep) = nsm_xcalloc(n + 1, sizeof(*claims));
    size_t at = 0;
    for (size_t i = 0; i < n_destinations; i++) {
        const struct nsm_pg_destination *const state = destinations[i]->state;
        for (size_t k = 0; k < state->n_tables; k++)
            claims[at++] = (struct claim){&state->tables[k].to, destinations[i]};
    }
    qsort(claims, n, sizeof(*claims), compare_claims);
    for (size_t i = 1; i < n; i++) {
        if (compare_claims(&claims[i - 1], &claims[i]) == 0)
            REFUSE(claims[i].destination,
                   "table %s.%s is the destination of two tables (namespaces "
                   "%s and %s)",
                   claims[i].name->schema, claims[i].name->name,
                   claims[i - 1].destination->namespace_name,
                   claims[i].destination->namespace_name);
    }
}
