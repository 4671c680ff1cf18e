/*
 * The census of all namespaces on one database: one exported snapshot, a fixed number of catalog
 * queries, and then only memory.
 */
#include "adapters/postgres/pg_source.h"

#include "adapters/postgres/pg_border.h"
#include "adapters/postgres/pg_matview.h"
#include "adapters/postgres/pg_members.h"
#include "adapters/postgres/pg_object.h"
#include "adapters/postgres/pg_snapshot.h"
#include "adapters/postgres/pg_text.h"
#include "adapters/postgres/pg_values.h"
#include "migrate/base/alloc.h"

#define MAX_PARTS 100000

/* ---- objects ---- */

struct survey {
    struct nsm_pg_backend *pg;
    struct nsm_context *ctx;
    struct nsm_pg_conn *conn;
    struct nsm_pg_catalog catalog;
    bool *is_selected; /* a flag per relation of the catalog; all false between namespaces */
};

static bool is_other_kind(const struct nsm_source *source)
{
    return source->flags & NSM_SURVEY_VALUE_TYPES;
}

static bool reads_generated(const struct nsm_source *source)
{
    return source->flags & (NSM_SURVEY_VALUE_TYPES | NSM_SURVEY_ARCHIVE);
}

static struct nsm_pg_name copy_name(struct nsm_arena *arena, const struct nsm_pg_relation *relation)
{
    return (struct nsm_pg_name){
        .schema = nsm_arena_strdup(arena, relation->schema),
        .name = nsm_arena_strdup(arena, relation->name),
    };
}

/* The uppermost partitioned table over a relation, or the relation itself, that must be read and written
 * as a whole; NULL: none. */
static const struct nsm_pg_relation *whole_over(const struct survey *survey,
                                                const struct nsm_source *source,
                                                const struct nsm_pg_relation *relation)
{
    const struct nsm_pg_relation *found = NULL;
    for (const struct nsm_pg_relation *at = relation; at; at = at->parent) {
        if (!source->written && !survey->is_selected[at - survey->catalog.relations])
            break;
        if (at->kind == 'p' && at->has_own_hashes)
            found = at;
    }
    return found;
}

static struct nsm_pg_file make_file(const struct survey *survey, struct nsm_source *source,
                                    const struct nsm_pg_relation *relation)
{
    struct nsm_pg_source *const state = source->state;
    return (struct nsm_pg_file){
        .oid = relation->oid,
        .filenode = relation->filenode,
        .n_blocks = relation->heap_bytes / survey->catalog.block_bytes,
        .version = nsm_pg_version(&survey->catalog, relation, &state->arena),
        .name = copy_name(&state->arena, relation),
    };
}

static void add_object(const struct survey *survey, struct nsm_source *source,
                       const struct nsm_pg_relation *relation)
{
    struct nsm_pg_source *const state = source->state;
    struct nsm_object *const object = nsm_census_add_object(&source->census);
    struct nsm_pg_table *const table = &state->tables[source->census.n_objects - 1];
    nsm_pg_object_fill(&survey->catalog, relation, reads_generated(source), &source->census.arena,
                       object);
    table->files = nsm_arena_calloc(&state->arena, 1, sizeof(*table->files));
    table->files[table->n_files++] = make_file(survey, source, relation);
}

/* A partitioned table with all its leaves. */
static void add_whole(const struct survey *survey, struct nsm_source *source,
                      const struct nsm_pg_relation *relation)
{
    struct nsm_pg_source *const state = source->state;
    const struct nsm_pg_catalog *const catalog = &survey->catalog;
    add_object(survey, source, relation);
    struct nsm_object *const object = &source->census.objects[source->census.n_objects - 1];
    struct nsm_pg_table *const table = &state->tables[source->census.n_objects - 1];
    struct nsm_digest versions = {0};
    size_t n = 0;
    for (size_t i = 0; i < catalog->n_relations; i++)
        n += catalog->relations[i].kind == 'r' && catalog->relations[i].parent;
    *table = (struct nsm_pg_table){
        .is_partitioned = true,
        .files = nsm_arena_calloc(&state->arena, n, sizeof(*table->files)),
    };
    object->is_exact = true;
    for (const struct nsm_pg_relation *leaf = catalog->relations;
         leaf < catalog->relations + catalog->n_relations; leaf++) {
        struct nsm_object of_leaf = {0};
        if (leaf->kind != 'r' || whole_over(survey, source, leaf) != relation)
            continue;
        table->files[table->n_files] = make_file(survey, source, leaf);
        nsm_pg_object_fill(catalog, leaf, reads_generated(source), &state->arena, &of_leaf);
        object->n_bytes += of_leaf.n_bytes;
        object->n_records += of_leaf.n_records;
        object->is_exact = object->is_exact && of_leaf.is_exact;
        nsm_digest_add_raw(&versions, nsm_str_of(table->files[table->n_files++].version));
    }
    char text[33];
    nsm_digest_format(&versions, text);
    object->version = nsm_arena_strdup(&source->census.arena, text);
}

/* ---- parts ---- */

/* A range of blocks as "a-b", the last one open: "a-", for rows that came since. */
static void add_parts_of_file(const struct survey *survey, struct nsm_source *source, size_t index,
                              const struct nsm_pg_file *file)
{
    const struct nsm_pg_source *const state = source->state;
    const struct nsm_object *const object = &source->census.objects[index];
    const uint64_t n_blocks = file->n_blocks;
    const uint64_t n_all = nsm_pg_count_blocks(&state->tables[index]);
    const uint64_t n_bytes = object->n_bytes / n_all * n_blocks;
    uint64_t n_parts = 1;
    /* Older servers read the whole table for each range of ctid. */
    if (source->part_bytes && PQserverVersion(survey->conn->pq) >= 140000)
        n_parts = (n_bytes + source->part_bytes - 1) / source->part_bytes;
    n_parts = n_parts > n_blocks ? n_blocks : n_parts;
    n_parts = n_parts > MAX_PARTS ? MAX_PARTS : (n_parts ? n_parts : 1);
    for (uint64_t i = 0; i < n_parts; i++) {
        char range[64] = "";
        size_t len = 0;
        const uint64_t begin = n_blocks * i / n_parts;
        const uint64_t end = n_blocks * (i + 1) / n_parts;
        if (state->tables[index].is_partitioned)
            len = (size_t)snprintf(range, sizeof(range), "%u:", file->oid);
        if (n_parts > 1 && i + 1 < n_parts)
            (void)snprintf(range + len, sizeof(range) - len, "%llu-%llu", (unsigned long long)begin,
                           (unsigned long long)end);
        else if (n_parts > 1)
            (void)snprintf(range + len, sizeof(range) - len, "%llu-", (unsigned long long)begin);
        nsm_census_add_part(&source->census, index, nsm_str_of(range),
                            object->n_records * (end - begin) / n_all,
                            object->n_bytes * (end - begin) / n_all);
    }
}

static void add_parts(const struct survey *survey, struct nsm_source *source, size_t index)
{
    const struct nsm_pg_source *const state = source->state;
    for (size_t i = 0; i < state->tables[index].n_files; i++) {
        if (state->tables[index].files[i].n_blocks)
            add_parts_of_file(survey, source, index, &state->tables[index].files[i]);
    }
}

/* ---- what can't be carried ---- */

static void add_table_findings(const struct survey *survey, struct nsm_source *source,
                               const struct nsm_pg_relation *relation)
{
    struct nsm_findings *const findings = &source->census.findings;
    if (!relation->is_readable)
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "no right to read table %s.%s: GRANT SELECT on it and USAGE on its schema",
                         relation->schema, relation->name);
    else if (relation->hides_rows)
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "row security hides rows of table %s.%s from this role: connect as its "
                         "owner, or as a role with BYPASSRLS",
                         relation->schema, relation->name);
    const bool has_parent =
        relation->parent && survey->is_selected[relation->parent - survey->catalog.relations];
    if (relation->is_partition && !source->written && !has_parent)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "table %s.%s is a partition of a table that is not selected: it becomes a "
                         "table of its own",
                         relation->schema, relation->name);
}

static bool has_oid_column(const struct nsm_pg_relation *relation, const struct nsm_pg_types *types)
{
    for (size_t i = 0; i < relation->n_columns; i++) {
        const struct nsm_pg_type *const type =
            nsm_pg_types_find(types, relation->columns[i].type_oid);
        if (type && (strcmp(type->name, "oid") == 0 || strcmp(type->name, "lo") == 0))
            return true;
    }
    return false;
}

/* Types that the destination must have already: those that the definition does not bring. */
static void note_types(const struct survey *survey, struct nsm_source *source,
                       const struct nsm_pg_relation *relation)
{
    struct nsm_pg_source *const state = source->state;
    for (size_t i = 0; i < relation->n_columns; i++) {
        const struct nsm_pg_type *type =
            nsm_pg_types_find(&survey->catalog.types, relation->columns[i].type_oid);
        const struct nsm_pg_type *const element =
            type && type->is_array ? nsm_pg_types_find(&survey->catalog.types, type->element)
                                   : NULL;
        type = element ? element : type;
        if (!type || strcmp(type->schema, "pg_catalog") == 0)
            continue;
        if (state->selection.schema && strcmp(type->schema, state->selection.schema) == 0)
            continue;
        struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_pg_quote_qualified(&name, type->schema, type->name);
        bool is_known = false;
        for (size_t k = 0; k < state->n_type_names && !is_known; k++)
            is_known = strcmp(state->type_names[k], name.ptr) == 0;
        if (!is_known)
            state->type_names[state->n_type_names++] =
                nsm_arena_copy(&state->arena, nsm_buf_view(&name)).ptr;
    }
}

/* Foreign keys to tables outside of the selection: those must stand at the destination. */
static void note_outside(const struct survey *survey, struct nsm_source *source,
                         const struct nsm_pg_relation *relation)
{
    struct nsm_pg_source *const state = source->state;
    for (size_t i = 0; i < relation->n_references; i++) {
        const struct nsm_pg_reference *const reference = &relation->references[i];
        if (reference->to && survey->is_selected[reference->to - survey->catalog.relations])
            continue;
        struct nsm_buf to NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_pg_quote_qualified(&to, reference->to_schema, reference->to_name);
        state->outside[state->n_outside++] = (struct nsm_pg_outside){
            .from = nsm_arena_printf(&state->arena, "%s.%s", relation->schema, relation->name),
            .key = nsm_arena_strdup(&state->arena, reference->name),
            .to = nsm_arena_copy(&state->arena, nsm_buf_view(&to)).ptr,
        };
    }
}

static void note_owner(struct nsm_pg_source *state, const char *owner)
{
    for (size_t i = 0; i < state->n_owners; i++) {
        if (strcmp(state->owners[i], owner) == 0)
            return;
    }
    state->owners[state->n_owners++] = nsm_arena_strdup(&state->arena, owner);
}

/* ---- one namespace ---- */

/* Room for all that the relations [begin, end) can bring. */
static void make_room(struct nsm_pg_source *state, const struct nsm_pg_relation *begin, size_t n)
{
    size_t n_columns = 0;
    size_t n_references = 0;
    for (size_t i = 0; i < n; i++) {
        n_columns += begin[i].n_columns;
        n_references += begin[i].n_references;
    }
    struct nsm_arena *const arena = &state->arena;
    state->tables = nsm_arena_calloc(arena, n, sizeof(*state->tables));
    state->relations = nsm_arena_calloc(arena, n, sizeof(*state->relations));
    state->sequences = nsm_arena_calloc(arena, n, sizeof(*state->sequences));
    state->foreign_tables = nsm_arena_calloc(arena, n, sizeof(*state->foreign_tables));
    state->others = nsm_arena_calloc(arena, n, sizeof(*state->others));
    state->matviews = nsm_arena_calloc(arena, n, sizeof(*state->matviews));
    state->type_names = nsm_arena_calloc(arena, n_columns, sizeof(*state->type_names));
    state->outside = nsm_arena_calloc(arena, n_references, sizeof(*state->outside));
    state->owners = nsm_arena_calloc(arena, n, sizeof(*state->owners));
}

static void add_selected(struct survey *survey, struct nsm_source *source,
                         const struct nsm_pg_relation *relation)
{
    struct nsm_pg_source *const state = source->state;
    if (relation->kind == 'f') {
        state->foreign_tables[state->n_foreign_tables++] = copy_name(&state->arena, relation);
        nsm_findings_add(&source->census.findings, NSM_FINDING_LOSS, "foreign-tables", 1,
                         "foreign table %s.%s stays behind: its rows are on another server",
                         relation->schema, relation->name);
        return;
    }
    state->relations[state->n_relations++] = copy_name(&state->arena, relation);
    note_types(survey, source, relation);
    note_outside(survey, source, relation);
    note_owner(state, relation->owner);
    const struct nsm_pg_relation *const whole = whole_over(survey, source, relation);
    if (whole == relation)
        add_whole(survey, source, relation);
    if (relation->kind != 'r')
        return;
    add_table_findings(survey, source, relation);
    if (survey->catalog.n_large_objects && has_oid_column(relation, &survey->catalog.types))
        nsm_findings_add(&source->census.findings, NSM_FINDING_LOSS, "large-objects", 1,
                         "table %s.%s has a column of type oid that may point to large objects, "
                         "which are not copied",
                         relation->schema, relation->name);
    if (!whole)
        add_object(survey, source, relation);
}

static bool owns_sequence(const struct survey *survey, const struct nsm_pg_relation *begin,
                          size_t n, const struct nsm_pg_relation *sequence)
{
    for (size_t i = 0; i < n; i++) {
        if (begin[i].oid == sequence->owned_by)
            return survey->is_selected[&begin[i] - survey->catalog.relations];
    }
    return false;
}

/* Sequences and materialized views: of a whole schema all, else the sequences of the tables. */
static void add_others(const struct survey *survey, struct nsm_source *source,
                       const struct nsm_pg_relation *begin, size_t n)
{
    struct nsm_pg_source *const state = source->state;
    const bool is_schema = state->selection.schema != NULL;
    for (const struct nsm_pg_relation *relation = begin; relation < begin + n; relation++) {
        if (relation->is_of_extension)
            continue;
        if (is_schema && strchr("vmS", relation->kind) && !relation->owned_by)
            state->others[state->n_others++] = copy_name(&state->arena, relation);
        if (relation->kind == 'm' && is_schema && relation->is_populated && !relation->is_readable)
            nsm_findings_add(&source->census.findings, NSM_FINDING_REFUSAL, "", 1,
                             "no right to read materialized view %s.%s: GRANT SELECT on it",
                             relation->schema, relation->name);
        else if (relation->kind == 'm' && is_schema && relation->is_populated)
            state->matviews[state->n_matviews++] = copy_name(&state->arena, relation);
        if (relation->kind != 'S')
            continue;
        if (!is_schema && (!relation->owned_by || !owns_sequence(survey, begin, n, relation)))
            continue;
        if (!relation->is_readable)
            nsm_findings_add(&source->census.findings, NSM_FINDING_REFUSAL, "", 1,
                             "no right to read sequence %s.%s: GRANT SELECT on it",
                             relation->schema, relation->name);
        else
            state->sequences[state->n_sequences++].name = copy_name(&state->arena, relation);
    }
}

static void set_identity(const struct survey *survey, struct nsm_source *source)
{
    const struct nsm_pg_source *const state = source->state;
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "%s/", survey->catalog.identity);
    if (state->selection.schema) {
        nsm_pg_quote_ident(&text, state->selection.schema);
    } else {
        for (size_t i = 0; i < source->census.n_objects; i++) {
            if (i)
                nsm_buf_append_char(&text, ',');
            nsm_pg_quote_qualified(&text, source->census.objects[i].schema,
                                   source->census.objects[i].name);
        }
    }
    source->census.identity = nsm_arena_copy(&source->census.arena, nsm_buf_view(&text)).ptr;
}

static void note_other_kind(struct nsm_source *source)
{
    if (is_other_kind(source) && source->census.n_objects)
        nsm_findings_add(&source->census.findings, NSM_FINDING_NOTE, "", 1,
                         "rows, columns and primary keys go to another kind of store; indexes, "
                         "other constraints, defaults, sequences, triggers, views and functions "
                         "stay behind");
}

static struct nsm_error *survey_selected(struct survey *survey, struct nsm_source *source)
{
    struct nsm_pg_source *const state = source->state;
    const struct nsm_pg_catalog *const catalog = &survey->catalog;
    const struct nsm_pg_relation *begin = catalog->relations;
    size_t n = catalog->n_relations;
    if (state->selection.schema)
        begin = nsm_pg_catalog_of_schema(catalog, state->selection.schema, &n);
    NSM_TRY(nsm_pg_selection_match(&state->selection, catalog, survey->is_selected,
                                   &source->census.findings));
    make_room(state, begin, n);
    for (size_t i = 0; i < n; i++) {
        if (survey->is_selected[&begin[i] - catalog->relations])
            add_selected(survey, source, &begin[i]);
    }
    add_others(survey, source, begin, n);
    if (n)
        memset(&survey->is_selected[begin - catalog->relations], 0, n * sizeof(bool));
    state->identity = nsm_arena_strdup(&state->arena, catalog->identity);
    set_identity(survey, source);
    note_other_kind(source);
    return NULL;
}

/* ---- what a destination wrote ---- */

/* Columns, key and format as the target and the shape have them, so that both sides' rows are
 * hashed alike. */
static void copy_target_columns(struct nsm_source *source, size_t index,
                                const struct nsm_object *target, const struct nsm_object *shape)
{
    struct nsm_arena *const arena = &source->census.arena;
    struct nsm_object *const object = &source->census.objects[index];
    object->n_columns = target->n_columns;
    object->columns = nsm_arena_calloc(arena, target->n_columns, sizeof(*object->columns));
    for (size_t i = 0; i < target->n_columns; i++) {
        object->columns[i] = target->columns[i];
        object->columns[i].name = nsm_arena_strdup(arena, target->columns[i].name);
        object->columns[i].type_name = nsm_arena_strdup(arena, target->columns[i].type_name);
    }
    object->n_key_columns = target->n_key_columns;
    object->key_columns = nsm_arena_calloc(arena, target->n_key_columns, sizeof(size_t));
    for (size_t i = 0; i < target->n_key_columns; i++)
        object->key_columns[i] = target->key_columns[i];
    if (shape->format && *shape->format) {
        object->format = nsm_arena_strdup(arena, shape->format);
        object->format_reason = "";
    }
}

static struct nsm_error *survey_written(struct survey *survey, struct nsm_source *source)
{
    const struct nsm_destination *const written = source->written;
    struct nsm_pg_source *const state = source->state;
    const size_t n = written->target.n_objects;
    state->tables = nsm_arena_calloc(&state->arena, n, sizeof(*state->tables));
    for (size_t i = 0; i < n; i++) {
        const struct nsm_object *const target = &written->target.objects[i];
        const struct nsm_pg_relation *const relation =
            nsm_pg_catalog_find(&survey->catalog, target->schema, target->name);
        if (!relation ||
            (relation->kind != 'r' && whole_over(survey, source, relation) != relation))
            return nsm_error_new(NSM_E_NOTFOUND, "table %s.%s does not exist in database %s",
                                 target->schema, target->name, survey->catalog.database);
        add_table_findings(survey, source, relation);
        if (relation->kind == 'p')
            add_whole(survey, source, relation);
        else
            add_object(survey, source, relation);
        copy_target_columns(source, i, target, &written->shape->objects[i]);
    }
    state->identity = nsm_arena_strdup(&state->arena, survey->catalog.identity);
    const char *const identity = written->target.identity;
    source->census.identity =
        nsm_arena_strdup(&source->census.arena, identity ? identity : survey->catalog.identity);
    return NULL;
}

/* ---- the pass ---- */

static struct nsm_error *load_catalog(struct survey *survey, struct nsm_source **sources,
                                      size_t n_sources)
{
    struct nsm_buf schemas NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    bool is_bounded = true;
    nsm_pg_array_begin(&schemas);
    for (size_t i = 0; i < n_sources; i++) {
        const struct nsm_pg_source *const state = sources[i]->state;
        if (!sources[i]->written) {
            is_bounded = nsm_pg_selection_schemas(&state->selection, &schemas) && is_bounded;
            continue;
        }
        const struct nsm_census *const target = &sources[i]->written->target;
        for (size_t k = 0; k < target->n_objects; k++) {
            if (k == 0 || strcmp(target->objects[k].schema, target->objects[k - 1].schema) != 0)
                nsm_pg_array_add(&schemas, target->objects[k].schema);
        }
    }
    nsm_pg_array_end(&schemas);
    NSM_TRY(nsm_buf_error(&schemas));
    NSM_TRY(nsm_pg_catalog_load(survey->conn, survey->ctx, is_bounded ? schemas.ptr : NULL,
                                &survey->catalog));
    survey->is_selected = nsm_xcalloc(survey->catalog.n_relations + 1, sizeof(bool));
    return NULL;
}

static struct nsm_error *survey_one(struct survey *survey, struct nsm_source *source)
{
    return source->written ? survey_written(survey, source) : survey_selected(survey, source);
}

static void cut_parts(const struct survey *survey, struct nsm_source *source)
{
    if (source->flags & NSM_SURVEY_COUNT_ONLY)
        return;
    for (size_t i = 0; i < source->census.n_objects; i++)
        add_parts(survey, source, i);
}

/* What is asked about all of them at once. */
static struct nsm_error *survey_rest(const struct survey *survey, struct nsm_source **sources,
                                     size_t n_sources)
{
    NSM_TRY(nsm_pg_read_values(survey->conn, survey->ctx, sources, n_sources,
                               survey->catalog.block_bytes));
    NSM_TRY(nsm_pg_border_survey(survey->conn, survey->ctx, sources, n_sources));
    NSM_TRY(nsm_pg_members_survey(survey->conn, survey->ctx, sources, n_sources));
    return nsm_pg_matview_survey(survey->conn, survey->ctx, sources, n_sources);
}

static struct nsm_error *survey_all(struct survey *survey, struct nsm_source **sources,
                                    size_t n_sources, const char *snapshot_id)
{
    NSM_TRY(nsm_pg_acquire(survey->pg, survey->ctx, &survey->conn));
    NSM_TRY(nsm_pg_begin_read(survey->conn, survey->ctx, snapshot_id));
    NSM_TRY(load_catalog(survey, sources, n_sources));
    for (size_t i = 0; i < n_sources; i++)
        NSM_TRY(survey_one(survey, sources[i]));
    NSM_TRY(survey_rest(survey, sources, n_sources));
    for (size_t i = 0; i < n_sources; i++)
        cut_parts(survey, sources[i]);
    return nsm_pg_exec(survey->conn, survey->ctx, "COMMIT");
}

static struct nsm_error *make_states(struct nsm_pg_backend *pg, struct nsm_context *ctx,
                                     struct nsm_source **sources, size_t n_sources,
                                     struct nsm_arena *arena, struct nsm_pg_snapshot *ret)
{
    bool needs_snapshot = false;
    bool is_resumed = false;
    for (size_t i = 0; i < n_sources; i++) {
        struct nsm_pg_source *const state = nsm_xcalloc(1, sizeof(*state));
        sources[i]->state = state;
        if (sources[i]->written)
            continue;
        needs_snapshot = true;
        is_resumed = is_resumed || (sources[i]->flags & NSM_SURVEY_RESUME);
        NSM_TRY(nsm_pg_selection_parse(&state->arena, sources[i]->selection, &state->selection));
    }
    if (!needs_snapshot)
        return NULL;
    NSM_TRY(nsm_pg_take_snapshot(pg, ctx, arena, ret));
    for (size_t i = 0; i < n_sources; i++) {
        struct nsm_pg_source *const state = sources[i]->state;
        if (!sources[i]->written)
            state->snapshot_number = ret->number;
    }
    return is_resumed ? nsm_pg_wait_for_statistics(pg, ctx) : NULL;
}

static void survey_release(struct survey *survey)
{
    nsm_pg_release(survey->conn);
    nsm_pg_catalog_release(&survey->catalog);
    free(survey->is_selected);
}

struct nsm_error *nsm_pg_survey(struct nsm_backend *backend, struct nsm_context *ctx,
                                struct nsm_source **sources, size_t n_sources)
{
    struct nsm_pg_backend *const pg = (struct nsm_pg_backend *)backend;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_snapshot snapshot = {0};
    NSM_TRY(make_states(pg, ctx, sources, n_sources, &arena, &snapshot));
    struct survey survey NSM_CLEANUP(survey_release) = {.pg = pg, .ctx = ctx};
    return survey_all(&survey, sources, n_sources, snapshot.id);
}

uint64_t nsm_pg_count_blocks(const struct nsm_pg_table *table)
{
    uint64_t n = 0;
    for (size_t i = 0; i < table->n_files; i++)
        n += table->files[i].n_blocks;
    return n;
}

void nsm_pg_source_free(struct nsm_pg_source *source)
{
    if (!source)
        return;
    nsm_arena_release(&source->arena);
    free(source);
}

void nsm_pg_release_source(struct nsm_source *source)
{
    nsm_pg_source_free(source->state);
    source->state = NULL;
}
