/*
 * Looks at the destination and says what would happen there: which tables would be made, what
 * stands in the way, which rights, types and roles are missing. One catalog for all namespaces.
 *
 * What this run made itself is no conflict. The destination says so (nsmigrate.done), because the
 * ledger may have been written after or before the crash.
 */
#include "adapters/postgres/pg_border.h"
#include "adapters/postgres/pg_claim.h"
#include "adapters/postgres/pg_items.h"
#include "adapters/postgres/pg_kept.h"
#include "adapters/postgres/pg_names.h"
#include "adapters/postgres/pg_replace.h"

#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"

/* Of pg_class itself, on all servers. */
#define PG_CLASS_OID 1259

struct inspection {
    struct nsm_context *ctx;
    struct nsm_pg_conn *conn;
    struct nsm_pg_catalog catalog;
    PGresult *done;   /* what this run has done, or NULL */
    PGresult *types;  /* missing types */
    PGresult *roles;  /* missing roles */
    PGresult *tables; /* missing tables that foreign keys refer to */
};

static bool is_same_name(const struct nsm_pg_name *a, const struct nsm_pg_name *b)
{
    return strcmp(a->schema, b->schema) == 0 && strcmp(a->name, b->name) == 0;
}

/* ---- what stands there ---- */

static bool has_done(const struct inspection *inspection, const struct nsm_destination *destination,
                     const char *kind, const char *name)
{
    const PGresult *const done = inspection->done;
    const char *const key[] = {destination->namespace_name, kind, name};
    int low = 0;
    int high = done ? PQntuples(done) : 0;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        int order = 0;
        for (int i = 0; i < 3 && order == 0; i++)
            order = strcmp(PQgetvalue(done, middle, i), key[i]);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static const char *kind_of(const struct nsm_pg_relation *relation)
{
    switch (relation->kind) {
    case 'v':
        return "view";
    case 'm':
        return "materialized view";
    case 'S':
        return "sequence";
    case 'f':
        return "foreign table";
    default:
        return "table";
    }
}

static void add_in_the_way(struct nsm_destination *destination,
                           const struct nsm_pg_relation *relation)
{
    struct nsm_pg_destination *const state = destination->state;
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_qualified(&name, relation->schema, relation->name);
    state->in_the_way[state->n_in_the_way++] = (struct nsm_pg_standing){
        .class_oid = PG_CLASS_OID,
        .oid = relation->oid,
        .type = kind_of(relation),
        .identity = nsm_arena_copy(&state->arena, nsm_buf_view(&name)).ptr,
    };
    if (destination->if_exists == NSM_IF_EXISTS_REPLACE && !relation->is_owned)
        REFUSE(destination, "no right to replace %s.%s: only its owner can drop it",
               relation->schema, relation->name);
}

static void add_conflict(struct nsm_destination *destination,
                         const struct nsm_pg_relation *relation)
{
    struct nsm_findings *const findings = &destination->target.findings;
    if (relation->kind == 'r' && relation->reltuples > 0)
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1, "table %s.%s holds about %.0f rows",
                         relation->schema, relation->name, relation->reltuples);
    else if (relation->kind == 'r' && relation->heap_bytes)
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1, "table %s.%s holds rows (%llu KiB)",
                         relation->schema, relation->name,
                         (unsigned long long)(relation->heap_bytes >> 10));
    else
        nsm_findings_add(findings, NSM_FINDING_CONFLICT, "", 1, "%s %s.%s stands there",
                         relation->kind == 'r' || relation->kind == 'p' ? "table" : "relation",
                         relation->schema, relation->name);
    add_in_the_way(destination, relation);
}

static bool makes_any(const struct nsm_pg_destination *state)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        if (!state->tables[i].is_kept && !state->tables[i].is_ours)
            return true;
    }
    return false;
}

static bool keeps_rows(const struct nsm_destination *destination)
{
    return destination->if_exists == NSM_IF_EXISTS_MERGE ||
           destination->if_exists == NSM_IF_EXISTS_SKIP;
}

static void look_at_standing(struct nsm_destination *destination, struct nsm_pg_target *target,
                             const struct nsm_pg_relation *relation)
{
    target->is_standing = true;
    add_conflict(destination, relation);
    if (destination->if_exists == NSM_IF_EXISTS_REPLACE)
        return;
    if (relation->kind != 'r') {
        REFUSE(destination, "%s.%s is no plain table at the destination", relation->schema,
               relation->name);
        return;
    }
    target->is_kept = keeps_rows(destination);
    if (target->is_kept)
        nsm_pg_look_at_kept(destination, relation);
}

/* ---- columns ---- */

static void make_column(const struct nsm_destination *destination, struct nsm_arena *arena,
                        const struct nsm_column *from, struct nsm_column *column)
{
    *column = *from;
    column->name = nsm_arena_strdup(arena, from->name);
    column->type_name = nsm_arena_strdup(arena, from->type_name);
    if (nsm_pg_is_from_postgres(destination))
        return;
    const char *const type_name = nsm_pg_type_for(from);
    column->type_name = type_name;
    if (strcmp(type_name, "text") == 0)
        column->type = NSM_TEXT;
}

static void add_target(const struct inspection *inspection, struct nsm_destination *destination,
                       size_t index, const struct nsm_pg_relation *relation)
{
    const struct nsm_pg_destination *const state = destination->state;
    const struct nsm_object *const shape = &destination->shape->objects[index];
    struct nsm_arena *const arena = &destination->target.arena;
    struct nsm_object *const object = nsm_census_add_object(&destination->target);
    *object = *shape;
    object->schema = nsm_arena_strdup(arena, state->tables[index].to.schema);
    object->name = nsm_arena_strdup(arena, state->tables[index].to.name);
    object->model = NSM_MODEL_ROWS;
    object->n_records = 0;
    object->n_bytes = 0;
    object->version = "";
    object->format = nsm_arena_strdup(arena, shape->format);
    object->format_reason = "";
    object->columns = nsm_arena_calloc(arena, shape->n_columns, sizeof(*object->columns));
    object->key_columns = nsm_arena_calloc(arena, shape->n_key_columns, sizeof(size_t));
    for (size_t i = 0; i < shape->n_columns; i++) {
        make_column(destination, arena, &shape->columns[i], &object->columns[i]);
        if (strlen(shape->columns[i].name) > NSM_PG_NAME_BYTES)
            REFUSE(destination,
                   "column %s of table %s.%s: a name in PostgreSQL has at most 63 bytes",
                   shape->columns[i].name, object->schema, object->name);
        if (relation)
            nsm_pg_match_column(&inspection->catalog, destination, relation, &object->columns[i]);
    }
    for (size_t i = 0; i < shape->n_key_columns; i++)
        object->key_columns[i] = shape->key_columns[i];
}

/* ---- rights and surroundings ---- */

static void look_at_schema(const struct inspection *inspection, struct nsm_destination *destination,
                           const char *name)
{
    const struct nsm_pg_schema *const schema = nsm_pg_catalog_schema(&inspection->catalog, name);
    if (!schema && !inspection->catalog.can_create_schema)
        REFUSE(destination,
               "schema %s does not exist and this role can't create it: GRANT CREATE ON DATABASE "
               "%s to %s",
               name, inspection->catalog.database, inspection->catalog.user);
    else if (!schema)
        nsm_findings_add(&destination->target.findings, NSM_FINDING_CREATE, "", 1, "schema %s",
                         name);
    else if (!schema->can_create)
        REFUSE(destination, "no right to make tables in schema %s: GRANT CREATE ON SCHEMA %s to %s",
               name, name, inspection->catalog.user);
}

static void look_at_schemas(const struct inspection *inspection,
                            struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    bool makes_any = state->n_tables == 0 && state->has_definition;
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct nsm_pg_target *const target = &state->tables[i];
        if (target->is_kept || target->is_ours)
            continue;
        makes_any = true;
        bool is_known = false;
        for (size_t k = 0; k < i && !is_known; k++)
            is_known = strcmp(state->tables[k].to.schema, target->to.schema) == 0;
        if (!is_known)
            look_at_schema(inspection, destination, target->to.schema);
    }
    const struct nsm_pg_schema *const standing =
        state->from_schema ? nsm_pg_catalog_schema(&inspection->catalog, state->from_schema) : NULL;
    if (standing && makes_any && strcmp(state->from_schema, state->to_schema) != 0 &&
        !standing->is_owned)
        REFUSE(destination,
               "schema %s stands at the destination and is not ours: to make %s from its "
               "definition it is renamed for a moment, which only its owner can do",
               state->from_schema, state->to_schema);
}

static void look_at_server(const struct inspection *inspection, struct nsm_destination *destination)
{
    const struct nsm_pg_catalog *const catalog = &inspection->catalog;
    if (catalog->is_standby || catalog->is_read_only)
        REFUSE(destination, "the server is %s: name a primary that can be written to in url",
               catalog->is_standby ? "a standby" : "read-only");
    if (catalog->has_state_schema ? !catalog->can_use_state_schema : !catalog->can_create_schema)
        REFUSE(destination,
               "no right to make schema nsmigrate, which holds the checkpoints: GRANT CREATE ON "
               "DATABASE %s to %s",
               catalog->database, catalog->user);
}

/* After a rename, what is made is read back from the destination on its own: it can't be tied to what
 * stands there already. */
static void look_at_mixture(struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    size_t n_kept = 0;
    for (size_t i = 0; i < state->n_tables; i++)
        n_kept += state->tables[i].is_kept;
    if (state->from_schema && n_kept && n_kept < state->n_tables && !state->has_begun)
        REFUSE(destination,
               "of the %zu tables that get another name, %zu stand at the destination: with merge "
               "and skip it must be all of them or none",
               state->n_tables, n_kept);
}

static bool is_listed(const PGresult *result, const char *name)
{
    for (int row = 0; result && row < PQntuples(result); row++) {
        if (strcmp(PQgetvalue(result, row, 0), name) == 0)
            return true;
    }
    return false;
}

/* The types' names are a Postgres's own then. */
static bool makes_of_columns(const struct nsm_destination *destination)
{
    return nsm_pg_is_from_postgres(destination) && !destination->definition;
}

static void look_at_source(const struct inspection *inspection, struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const struct nsm_pg_destination *const state = destination->state;
    if (!source)
        return;
    for (size_t i = 0; i < source->n_type_names; i++) {
        if (is_listed(inspection->types, source->type_names[i]))
            REFUSE(destination,
                   "type %s does not exist in database %s: create it, or the extension that "
                   "brings it, first",
                   source->type_names[i], inspection->catalog.database);
    }
    for (size_t i = 0; i < source->n_outside && makes_any(state); i++) {
        if (is_listed(inspection->tables, source->outside[i].to))
            REFUSE(destination,
                   "foreign key %s of table %s refers to table %s, which is not selected and does "
                   "not exist at the destination: select it too, or bring it there first",
                   source->outside[i].key, source->outside[i].from, source->outside[i].to);
    }
    for (size_t i = 0; i < source->n_owners; i++) {
        if (is_listed(inspection->roles, source->owners[i]))
            NOTE(destination, "role %s does not exist there: what it owns will belong to %s",
                 source->owners[i], inspection->catalog.user);
    }
    if (!inspection->catalog.is_superuser && source->n_owners)
        NOTE(destination, "all that is made will belong to %s, who is no superuser",
             inspection->catalog.user);
}

static void look_at_itself(const struct inspection *inspection, struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source =
        destination->source ? destination->source->state : NULL;
    const struct nsm_pg_destination *const state = destination->state;
    if (!source || strcmp(source->identity, inspection->catalog.identity) != 0)
        return;
    for (size_t i = 0; i < state->n_tables; i++) {
        if (is_same_name(&state->tables[i].from, &state->tables[i].to))
            REFUSE(destination, "table %s.%s is its own source: give another schema or table",
                   state->tables[i].to.schema, state->tables[i].to.name);
    }
}

/* Tables that are made from their columns bring no types. */
static void look_at_column_types(const struct inspection *inspection,
                                 struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    for (size_t i = 0; makes_of_columns(destination) && i < state->n_tables; i++) {
        const struct nsm_object *const object = &destination->shape->objects[i];
        for (size_t k = 0; k < object->n_columns; k++) {
            if (is_listed(inspection->types, object->columns[k].type_name))
                REFUSE(destination,
                       "type %s of column %s of table %s.%s does not exist in database %s: create "
                       "it first, or leave the column out",
                       object->columns[k].type_name, object->columns[k].name,
                       state->tables[i].to.schema, state->tables[i].to.name,
                       inspection->catalog.database);
        }
    }
}

static void look_at_other(const struct inspection *inspection, struct nsm_destination *destination,
                          struct nsm_pg_name name)
{
    const struct nsm_pg_destination *const state = destination->state;
    if (state->to_schema)
        name.schema = state->to_schema;
    const struct nsm_pg_relation *const relation =
        nsm_pg_catalog_find(&inspection->catalog, name.schema, name.name);
    if (relation)
        add_conflict(destination, relation);
}

/* Partitioned tables, and views, sequences and the like of a whole schema, whose names are taken. */
static void look_at_others(const struct inspection *inspection, struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const struct nsm_pg_destination *const state = destination->state;
    if (!source || state->has_begun || keeps_rows(destination))
        return;
    size_t at = 0; /* the targets are in the order of the relations */
    for (size_t i = 0; i < source->n_relations; i++) {
        if (at < state->n_tables && is_same_name(&state->tables[at].from, &source->relations[i]))
            at++;
        else
            look_at_other(inspection, destination, source->relations[i]);
    }
    for (size_t i = 0; i < source->n_others; i++)
        look_at_other(inspection, destination, source->others[i]);
}

/* ---- one destination ---- */

static void look_at_table(const struct inspection *inspection, struct nsm_destination *destination,
                          size_t i)
{
    struct nsm_pg_destination *const state = destination->state;
    struct nsm_pg_target *const target = &state->tables[i];
    const struct nsm_pg_relation *relation =
        nsm_pg_catalog_find(&inspection->catalog, target->to.schema, target->to.name);
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_qualified(&name, target->to.schema, target->to.name);
    /* The ledger's word is enough where nothing could be dropped or mixed up because of it. */
    target->is_ours =
        relation && (has_done(inspection, destination, NSM_PG_DONE_TABLE, name.ptr) ||
                     (destination->is_ours && destination->if_exists == NSM_IF_EXISTS_FAIL));
    if (relation && !target->is_ours)
        look_at_standing(destination, target, relation);
    if (!relation)
        nsm_findings_add(&destination->target.findings, NSM_FINDING_CREATE, "", 1, "table %s.%s",
                         target->to.schema, target->to.name);
    /* What this run made is as the shape says, also when the run goes on: else the lane could
     * change in its middle. */
    const struct nsm_pg_relation *const kept = target->is_kept ? relation : NULL;
    add_target(inspection, destination, i, kept);
    if (kept)
        nsm_pg_take_standing_key(destination, i, kept);
}

static void set_identity(const struct inspection *inspection, struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const struct nsm_pg_destination *const state = destination->state;
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "%s/", inspection->catalog.identity);
    if (source && source->selection.schema) {
        nsm_pg_quote_ident(&text, state->to_schema ? state->to_schema : source->selection.schema);
    } else {
        for (size_t i = 0; i < state->n_tables; i++) {
            if (i)
                nsm_buf_append_char(&text, ',');
            nsm_pg_quote_qualified(&text, state->tables[i].to.schema, state->tables[i].to.name);
        }
    }
    destination->target.identity =
        nsm_arena_copy(&destination->target.arena, nsm_buf_view(&text)).ptr;
}

static void inspect_one(const struct inspection *inspection, struct nsm_destination *destination)
{
    struct nsm_pg_destination *const state = destination->state;
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const size_t n_most = state->n_tables + (source ? source->n_relations + source->n_others : 0);
    state->in_the_way = nsm_arena_calloc(&state->arena, n_most, sizeof(*state->in_the_way));
    state->has_begun = has_done(inspection, destination, NSM_PG_DONE_PREPARED, "") ||
                       has_done(inspection, destination, NSM_PG_DONE_TEMPLATE, "");
    state->is_superuser = inspection->catalog.is_superuser;
    state->identity = nsm_arena_strdup(&state->arena, inspection->catalog.identity);
    for (size_t i = 0; i < state->n_tables; i++)
        look_at_table(inspection, destination, i);
    look_at_others(inspection, destination);
    look_at_mixture(destination);
    look_at_server(inspection, destination);
    look_at_schemas(inspection, destination);
    look_at_source(inspection, destination);
    look_at_itself(inspection, destination);
    look_at_column_types(inspection, destination);
    set_identity(inspection, destination);
}

/* ---- the pass ---- */

static struct nsm_error *load_catalog(struct inspection *inspection,
                                      struct nsm_destination **destinations, size_t n_destinations)
{
    struct nsm_buf schemas NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_array_begin(&schemas);
    for (size_t i = 0; i < n_destinations; i++) {
        const struct nsm_pg_destination *const state = destinations[i]->state;
        const struct nsm_pg_source *const source = nsm_pg_source_of(destinations[i]);
        const char *last = "";
        for (size_t k = 0; k < state->n_tables; k++) {
            if (strcmp(state->tables[k].to.schema, last) != 0)
                nsm_pg_array_add(&schemas, state->tables[k].to.schema);
            last = state->tables[k].to.schema;
        }
        if (state->from_schema)
            nsm_pg_array_add(&schemas, state->from_schema);
        if (state->to_schema)
            nsm_pg_array_add(&schemas, state->to_schema);
        else if (source && source->selection.schema)
            nsm_pg_array_add(&schemas, source->selection.schema);
    }
    nsm_pg_array_end(&schemas);
    NSM_TRY(nsm_buf_error(&schemas));
    return nsm_pg_catalog_load(inspection->conn, inspection->ctx, schemas.ptr,
                               &inspection->catalog);
}

/* Those of the names that a query does not find. */
static struct nsm_error *find_missing(struct inspection *inspection, const struct nsm_buf *names,
                                      const char *sql, PGresult **ret)
{
    NSM_TRY(nsm_buf_error(names));
    const char *const params[] = {names->ptr};
    return nsm_error_wrap(nsm_pg_query(inspection->conn, inspection->ctx, sql, params, 1, ret),
                          "look for what must be there");
}

static void add_column_types(const struct nsm_destination *destination, struct nsm_buf *types)
{
    const struct nsm_census *const shape = destination->shape;
    for (size_t i = 0; makes_of_columns(destination) && i < shape->n_objects; i++) {
        for (size_t k = 0; k < shape->objects[i].n_columns; k++)
            nsm_pg_array_add(types, shape->objects[i].columns[k].type_name);
    }
}

static struct nsm_error *load_missing(struct inspection *inspection,
                                      struct nsm_destination **destinations, size_t n_destinations)
{
    struct nsm_buf types NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf roles NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf tables NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_array_begin(&types);
    nsm_pg_array_begin(&roles);
    nsm_pg_array_begin(&tables);
    for (size_t i = 0; i < n_destinations; i++) {
        const struct nsm_pg_source *const source = nsm_pg_source_of(destinations[i]);
        for (size_t k = 0; source && k < source->n_type_names; k++)
            nsm_pg_array_add(&types, source->type_names[k]);
        add_column_types(destinations[i], &types);
        for (size_t k = 0; source && k < source->n_owners; k++)
            nsm_pg_array_add(&roles, source->owners[k]);
        for (size_t k = 0; source && k < source->n_outside; k++)
            nsm_pg_array_add(&tables, source->outside[k].to);
    }
    nsm_pg_array_end(&types);
    nsm_pg_array_end(&roles);
    nsm_pg_array_end(&tables);
    NSM_TRY(find_missing(inspection, &types,
                         "SELECT DISTINCT x FROM unnest($1::text[]) x WHERE to_regtype(x) IS NULL",
                         &inspection->types));
    NSM_TRY(find_missing(inspection, &tables,
                         "SELECT DISTINCT x FROM unnest($1::text[]) x WHERE to_regclass(x) IS NULL",
                         &inspection->tables));
    return find_missing(inspection, &roles,
                        "SELECT DISTINCT x FROM unnest($1::text[]) x WHERE NOT EXISTS"
                        " (SELECT FROM pg_roles r WHERE r.rolname = x)",
                        &inspection->roles);
}

static void inspection_release(struct inspection *inspection)
{
    PQclear(inspection->done);
    PQclear(inspection->types);
    PQclear(inspection->roles);
    PQclear(inspection->tables);
    nsm_pg_catalog_release(&inspection->catalog);
    nsm_pg_release(inspection->conn);
}

/* In a transaction of its own, so that all of it is of one moment. */
static struct nsm_error *inspect_all(struct inspection *inspection, struct nsm_backend *backend,
                                     struct nsm_destination **destinations, size_t n_destinations)
{
    struct nsm_pg_conn *const conn = inspection->conn;
    NSM_TRY(nsm_pg_exec(conn, inspection->ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    NSM_TRY(load_catalog(inspection, destinations, n_destinations));
    NSM_TRY(nsm_pg_state_load(conn, inspection->ctx, backend, &inspection->done));
    NSM_TRY(load_missing(inspection, destinations, n_destinations));
    for (size_t i = 0; i < n_destinations; i++)
        inspect_one(inspection, destinations[i]);
    NSM_TRY(nsm_pg_replace_inspect(conn, inspection->ctx, destinations, n_destinations));
    NSM_TRY(nsm_pg_border_inspect(conn, inspection->ctx, destinations, n_destinations));
    return nsm_pg_exec(conn, inspection->ctx, "COMMIT");
}

struct nsm_error *nsm_pg_inspect(struct nsm_backend *backend, struct nsm_context *ctx,
                                 struct nsm_destination **destinations, size_t n_destinations)
{
    struct inspection inspection NSM_CLEANUP(inspection_release) = {.ctx = ctx};
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)backend, ctx, &inspection.conn));
    for (size_t i = 0; i < n_destinations; i++)
        NSM_TRY(nsm_pg_name_targets(destinations[i]));
    NSM_TRY(inspect_all(&inspection, backend, destinations, n_destinations));
    nsm_pg_find_collisions(destinations, n_destinations);
    return NULL;
}

void nsm_pg_release_destination(struct nsm_destination *destination)
{
    struct nsm_pg_destination *const state = destination->state;
    if (!state)
        return;
    nsm_pg_claim_abandon(destination);
    nsm_pg_definition_forget(destination);
    nsm_pg_source_free(state->archived);
    nsm_arena_release(&state->arena);
    free(state);
    destination->state = NULL;
}
