/*
 * Tables that stood at the destination before, under if_exists: merge and skip.
 */
#include "adapters/postgres/pg_kept.h"

#include "adapters/postgres/pg_names.h"

/* Rows of other runs stand there, so nothing about the table is changed for ours: what would swallow or
 * change rows, or act on them, is to be taken away by who knows what it is for. */
void nsm_pg_look_at_kept(struct nsm_destination *destination,
                         const struct nsm_pg_relation *relation)
{
    const bool needs_update = destination->if_exists == NSM_IF_EXISTS_MERGE;
    if (!relation->is_insertable || !relation->is_readable ||
        (needs_update && !relation->is_updatable))
        REFUSE(destination, "no right to write to table %s.%s: GRANT SELECT, INSERT, UPDATE on it",
               relation->schema, relation->name);
    if (relation->hides_rows)
        REFUSE(
            destination,
            "row security of table %s.%s holds for this role: connect as its owner, or as a role "
            "with BYPASSRLS",
            relation->schema, relation->name);
    if (relation->fires_triggers)
        REFUSE(destination,
               "table %s.%s has triggers, which rows that are merged would fire: ALTER TABLE ... "
               "DISABLE TRIGGER USER for the time of the run",
               relation->schema, relation->name);
    if (relation->has_rules)
        REFUSE(
            destination,
            "table %s.%s has rules on INSERT or UPDATE, which would act on rows that are merged: "
            "ALTER TABLE ... DISABLE RULE for the time of the run",
            relation->schema, relation->name);
}

/* ---- columns ---- */

/* Whether a type of the source is the same after the rename: "app.mood" and "app_2.mood". */
static bool is_renamed_type(const struct nsm_pg_destination *state, const char *from,
                            const char *to)
{
    if (!state->from_schema)
        return false;
    const size_t from_len = strlen(state->from_schema);
    const size_t to_len = strlen(state->to_schema);
    return strncmp(from, state->from_schema, from_len) == 0 && from[from_len] == '.' &&
           strncmp(to, state->to_schema, to_len) == 0 && to[to_len] == '.' &&
           strcmp(from + from_len, to + to_len) == 0;
}

/* A column of a kept table: what it is there decides. Where the type's name differs but the kind of
 * value does not, rows go by lane record, and the server checks each. */
void nsm_pg_match_column(const struct nsm_pg_catalog *catalog, struct nsm_destination *destination,
                         const struct nsm_pg_relation *relation, struct nsm_column *column)
{
    const struct nsm_pg_column *const there = nsm_pg_relation_column(relation, column->name);
    if (!there) {
        REFUSE(destination, "table %s.%s stands there without column %s", relation->schema,
               relation->name, column->name);
        return;
    }
    if (there->is_generated) {
        REFUSE(destination, "column %s of table %s.%s is computed there and can't be written",
               column->name, relation->schema, relation->name);
        return;
    }
    const char *type_name = NULL;
    const enum nsm_type type =
        nsm_pg_type_canonical(&catalog->types, there->type_oid, there->format_type, &type_name);
    if (nsm_pg_is_from_postgres(destination) && type != column->type)
        REFUSE(destination,
               "column %s of table %s.%s has type %s there and %s at the source: change the one or "
               "the other",
               column->name, relation->schema, relation->name, type_name, column->type_name);
    column->type = type;
    if (!is_renamed_type(destination->state, column->type_name, type_name))
        column->type_name = nsm_arena_strdup(&destination->target.arena, type_name);
}

/* ---- the key ---- */

/* Columns of a kept table that the source does not have. */
static void look_at_other_columns(struct nsm_destination *destination,
                                  const struct nsm_object *shape,
                                  const struct nsm_pg_relation *relation)
{
    for (size_t i = 0; i < relation->n_columns; i++) {
        const struct nsm_pg_column *const there = &relation->columns[i];
        bool is_written = there->is_generated || there->has_default || !there->is_not_null;
        for (size_t k = 0; k < shape->n_columns && !is_written; k++)
            is_written = strcmp(shape->columns[k].name, there->name) == 0;
        if (!is_written)
            REFUSE(
                destination,
                "column %s of table %s.%s is NOT NULL there, has no default, and the source does "
                "not have it",
                there->name, relation->schema, relation->name);
    }
}

/* Rows of a kept table are told apart by a key that the destination enforces. */
void nsm_pg_take_standing_key(struct nsm_destination *destination, size_t index,
                              const struct nsm_pg_relation *relation)
{
    struct nsm_object *const object = &destination->target.objects[index];
    look_at_other_columns(destination, &destination->shape->objects[index], relation);
    object->n_key_columns = 0;
    object->key_columns =
        nsm_arena_calloc(&destination->target.arena, relation->n_key, sizeof(size_t));
    for (size_t i = 0; i < relation->n_key; i++) {
        size_t at = SIZE_MAX;
        for (size_t k = 0; k < relation->n_columns; k++) {
            if (relation->columns[k].number != relation->key[i])
                continue;
            for (size_t c = 0; c < object->n_columns; c++)
                at = strcmp(object->columns[c].name, relation->columns[k].name) == 0 ? c : at;
        }
        if (at == SIZE_MAX) {
            object->n_key_columns = 0;
            break;
        }
        object->key_columns[object->n_key_columns++] = at;
    }
    if (!object->n_key_columns)
        REFUSE(destination,
               "table %s.%s has no primary key or unique not null columns that the source has too: "
               "its rows can't be told apart for if_exists: merge or skip",
               relation->schema, relation->name);
}
