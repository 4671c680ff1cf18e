/*
 * Tables as objects.
 *
 * A table's version is its file (new after a rewrite or TRUNCATE) and the number of row changes
 * that the statistics count. A backend reports its counts up to ten seconds after it committed, so
 * a survey that resumes waits for that long where others were active: a change that a version does
 * not show yet would be lost, while one too many only means a part is copied again.
 */
#include "adapters/postgres/pg_object.h"

static void fill_columns(const struct nsm_pg_catalog *catalog,
                         const struct nsm_pg_relation *relation, bool has_generated,
                         struct nsm_arena *arena, struct nsm_object *object)
{
    object->columns = nsm_arena_calloc(arena, relation->n_columns, sizeof(*object->columns));
    for (size_t i = 0; i < relation->n_columns; i++) {
        const struct nsm_pg_column *const from = &relation->columns[i];
        /* The destination computes it itself, if it is a Postgres. */
        if (from->is_generated && !has_generated)
            continue;
        struct nsm_column *const column = &object->columns[object->n_columns++];
        const char *type_name = NULL;
        column->type =
            nsm_pg_type_canonical(&catalog->types, from->type_oid, from->format_type, &type_name);
        column->type_name = nsm_arena_strdup(arena, type_name);
        column->name = nsm_arena_strdup(arena, from->name);
        column->is_not_null = from->is_not_null;
        column->is_generated = from->is_generated;
    }
}

static size_t find_column(const struct nsm_object *object, const char *name)
{
    for (size_t i = 0; i < object->n_columns; i++) {
        if (strcmp(object->columns[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

static const char *column_of_number(const struct nsm_pg_relation *relation, int number)
{
    for (size_t i = 0; i < relation->n_columns; i++) {
        if (relation->columns[i].number == number)
            return relation->columns[i].name;
    }
    return "";
}

static void fill_key(const struct nsm_pg_relation *relation, struct nsm_arena *arena,
                     struct nsm_object *object)
{
    object->key_columns = nsm_arena_calloc(arena, relation->n_key, sizeof(size_t));
    for (size_t i = 0; i < relation->n_key; i++) {
        const size_t at = find_column(object, column_of_number(relation, relation->key[i]));
        if (at == SIZE_MAX) {
            object->n_key_columns = 0; /* a generated column is part of it */
            return;
        }
        object->key_columns[object->n_key_columns++] = at;
    }
}

static void fill_format(const struct nsm_pg_catalog *catalog,
                        const struct nsm_pg_relation *relation, struct nsm_arena *arena,
                        struct nsm_object *object)
{
    object->format = "binary";
    for (size_t i = 0; i < relation->n_columns; i++) {
        if (relation->columns[i].is_generated)
            continue;
        const char *const reason =
            nsm_pg_type_text_reason(&catalog->types, relation->columns[i].type_oid, arena);
        if (!reason)
            continue;
        object->format = "text";
        object->format_reason =
            nsm_arena_printf(arena, "column %s %s", relation->columns[i].name, reason);
        return;
    }
}

/* Rows as the planner estimates them: the density of the last ANALYZE, times the size of now. */
static uint64_t estimate_rows(const struct nsm_pg_relation *relation, size_t block_bytes)
{
    const uint64_t n_blocks = relation->heap_bytes / block_bytes;
    if (relation->reltuples >= 0 && relation->relpages > 0)
        return (uint64_t)(relation->reltuples / (double)relation->relpages * (double)n_blocks);
    const uint64_t row_bytes = 28 + 12 * (uint64_t)relation->n_columns;
    return n_blocks * (block_bytes - 24) / row_bytes;
}

/* Where the server does not count, any transaction anywhere may have changed it. */
const char *nsm_pg_version(const struct nsm_pg_catalog *catalog,
                           const struct nsm_pg_relation *relation, struct nsm_arena *arena)
{
    return catalog->counts_changes
               ? nsm_arena_printf(arena, "%llu/%llu", (unsigned long long)relation->filenode,
                                  (unsigned long long)relation->n_changes)
               : nsm_arena_printf(arena, "xid %s", catalog->next_xid);
}

void nsm_pg_object_fill(const struct nsm_pg_catalog *catalog,
                        const struct nsm_pg_relation *relation, bool has_generated,
                        struct nsm_arena *arena, struct nsm_object *object)
{
    object->name = nsm_arena_strdup(arena, relation->name);
    object->schema = nsm_arena_strdup(arena, relation->schema);
    object->model = NSM_MODEL_ROWS;
    fill_columns(catalog, relation, has_generated, arena, object);
    fill_key(relation, arena, object);
    fill_format(catalog, relation, arena, object);
    object->n_bytes = relation->table_bytes;
    object->n_records = estimate_rows(relation, catalog->block_bytes);
    object->is_exact = relation->heap_bytes == 0;
    /* Where the server does not count, any transaction anywhere may have changed it. */
    object->version = nsm_pg_version(catalog, relation, arena);
}
