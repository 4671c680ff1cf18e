/*
 * Running the items of a definition, each for itself, so that one can be left out where something
 * stands already, and rights fail alone.
 */
#include "adapters/postgres/pg_items.h"

#include "adapters/postgres/pg_error.h"
#include "migrate/base/alloc.h"

/* SQLSTATEs, NULL at the end. */
struct tolerated {
    const char *states[8];
};

static bool is_tolerable(const PGresult *result, const struct tolerated *tolerated)
{
    for (size_t i = 0; tolerated->states[i]; i++) {
        if (nsm_pg_has_state(result, tolerated->states[i]))
            return true;
    }
    return false;
}

/* Runs a statement; one that fails with one of these states is as if it had not been there. */
static struct nsm_error *exec_tolerant(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       struct nsm_str sql, const struct tolerated *tolerated,
                                       bool *ret_is_done)
{
    char *text NSM_CLEANUP(nsm_freep) = nsm_xstrndup(sql);
    NSM_TRY(nsm_pg_exec(conn, ctx, "SAVEPOINT nsmigrate_item"));
    NSM_TRY(nsm_pg_send(conn, ctx, text));
    struct nsm_error *error NSM_CLEANUP(nsm_error_freep) = NULL;
    bool is_tolerated = false;
    for (;;) {
        PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
        NSM_TRY(nsm_pg_next_result(conn, ctx, &result));
        if (!result)
            break;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && !error) {
            error = nsm_pg_result_error(result);
            is_tolerated = is_tolerable(result, tolerated);
        }
    }
    *ret_is_done = !error;
    if (error && !is_tolerated)
        return NSM_STEAL(error);
    return nsm_pg_exec(conn, ctx,
                       error ? "ROLLBACK TO SAVEPOINT nsmigrate_item"
                             : "RELEASE SAVEPOINT nsmigrate_item");
}

/* Rights and owners name roles that the destination may not have; inspect has said so. */
static struct nsm_error *exec_rights(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     struct nsm_str sql)
{
    static const struct tolerated tolerated = {{"42704", "42501", "0LP01"}};
    struct nsm_str rest = sql;
    struct nsm_str statement = {0};
    bool is_done = false;
    while (nsm_pg_next_statement(&rest, &statement))
        NSM_TRY(exec_tolerant(conn, ctx, statement, &tolerated, &is_done));
    return NULL;
}

static bool keeps_rows(const struct nsm_destination *destination)
{
    return destination->if_exists == NSM_IF_EXISTS_MERGE ||
           destination->if_exists == NSM_IF_EXISTS_SKIP;
}

static bool is_rights_item(const struct nsm_pg_item *item)
{
    return strcmp(item->type, "ACL") == 0 || strcmp(item->type, "DEFAULT ACL") == 0;
}

static struct nsm_error *run_item(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                  const struct nsm_destination *destination,
                                  const struct nsm_pg_item *item)
{
    static const struct tolerated duplicates = {{"42P07", "42710", "42723", "42P06", "42P16"}};
    bool is_done = true;
    if (is_rights_item(item))
        return exec_rights(conn, ctx, item->sql);
    if (strcmp(item->type, "SCHEMA") != 0 && item->sql.len) {
        char *sql NSM_CLEANUP(nsm_freep) = nsm_xstrndup(item->sql);
        /* What stands is kept under merge and skip, whatever it is. */
        if (keeps_rows(destination))
            NSM_TRY(exec_tolerant(conn, ctx, item->sql, &duplicates, &is_done));
        else
            NSM_TRY(nsm_pg_exec(conn, ctx, sql));
    }
    return is_done ? exec_rights(conn, ctx, item->owner_sql) : NULL;
}

struct nsm_error *nsm_pg_run_item(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                  const struct nsm_destination *destination,
                                  const struct nsm_pg_item *item)
{
    const bool has_schema = *item->schema && strcmp(item->schema, "-") != 0;
    return nsm_error_wrap(run_item(conn, ctx, destination, item), "make %s %s%s%s", item->type,
                          has_schema ? item->schema : "", has_schema ? "." : "", item->name);
}

/* ---- which items ---- */

static bool is_kept_table(const struct nsm_pg_destination *state, const struct nsm_pg_item *item)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct nsm_pg_target *const target = &state->tables[i];
        if (target->is_kept && nsm_pg_item_is_named(item, target->from.name) &&
            nsm_pg_item_is_in(item, target->from.schema))
            return true;
    }
    return false;
}

/* Whether a foreign key, whose item is named "table constraint" and needs both tables, is one of a
 * kept table, and not only one that refers to it. */
static bool is_kept_foreign_key(const struct nsm_pg_destination *state,
                                const struct nsm_pg_item *item)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct nsm_pg_target *const target = &state->tables[i];
        const char *const rest = nsm_pg_skip_title_name(item->name, target->from.name);
        if (target->is_kept && rest && *rest == ' ' && nsm_pg_item_is_in(item, target->from.schema))
            return true;
    }
    return false;
}

static bool is_in(uint64_t id, const uint64_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

/* Whether an item is about another one and has no sense without it. A sequence or a view that a table
 * needs is not about it. */
static bool is_about(const struct nsm_pg_item *item)
{
    static const char *const types[] = {"DEFAULT",          "COMMENT",      "ACL",
                                        "CONSTRAINT",       "TABLE ATTACH", "SEQUENCE OWNED BY",
                                        "CHECK CONSTRAINT", "SEQUENCE",     "INDEX",
                                        "TRIGGER",          "RULE",         "POLICY",
                                        "ROW SECURITY",     "STATISTICS",   "INDEX ATTACH"};
    for (size_t i = 0; i < NSM_COUNT_OF(types); i++) {
        if (strcmp(item->type, types[i]) == 0)
            return true;
    }
    return false;
}

/* Dump ids, while a definition's items are gone through in their order. */
struct marks {
    uint64_t *kept; /* tables that stood there before, and what is about them */
    size_t n_kept;
    uint64_t *indexes; /* also of constraints */
    size_t n_indexes;
};

static bool needs_any(const struct nsm_pg_item *item, const uint64_t *ids, size_t n)
{
    for (size_t i = 0; i < item->n_needs; i++) {
        if (is_in(item->needs[i], ids, n))
            return true;
    }
    return false;
}

static bool is_kept(const struct nsm_pg_destination *state, const struct nsm_pg_item *item,
                    const struct marks *marks)
{
    if (strcmp(item->type, "TABLE") == 0)
        return is_kept_table(state, item);
    if (strcmp(item->type, "FK CONSTRAINT") == 0)
        return is_kept_foreign_key(state, item);
    return is_about(item) && needs_any(item, marks->kept, marks->n_kept);
}

/* Whether an item ties a partition, or its index, to a parent that was not selected: then of the two
 * that it needs, the archive has only the one. The partition becomes a table of its own. */
static bool is_orphan(const struct nsm_pg_item *item, const struct marks *marks)
{
    const bool is_index = strcmp(item->type, "INDEX ATTACH") == 0;
    uint64_t first = 0;
    if (!is_index && strcmp(item->type, "TABLE ATTACH") != 0)
        return false;
    for (size_t i = 0; i < item->n_needs; i++) {
        const uint64_t id = item->needs[i];
        if (is_index && !is_in(id, marks->indexes, marks->n_indexes))
            continue;
        if (first && id != first)
            return false;
        first = id;
    }
    return true;
}

static void mark(const struct nsm_pg_destination *state, struct nsm_pg_item *item,
                 struct marks *marks)
{
    item->is_left_out = is_kept(state, item, marks);
    if (item->is_left_out)
        marks->kept[marks->n_kept++] = item->dump_id;
    else
        item->is_left_out = is_orphan(item, marks);
}

static struct nsm_error *load(const struct nsm_pg_destination *state, struct nsm_context *ctx,
                              const char *archive, struct nsm_arena *arena,
                              struct nsm_pg_definition *ret)
{
    struct nsm_pg_restore_request request = {
        .archive = archive,
        .section = "pre-data",
        .keeps_owners = state->is_superuser,
    };
    NSM_TRY_WRAP(nsm_pg_restore_script(ctx, &request, arena, &ret->before), "read the definitions");
    request.section = "post-data";
    NSM_TRY_WRAP(nsm_pg_restore_script(ctx, &request, arena, &ret->after), "read the definitions");
    const size_t n = ret->before.n_items + ret->after.n_items;
    struct marks marks = {
        .kept = nsm_arena_calloc(arena, n, sizeof(uint64_t)),
        .indexes = nsm_arena_calloc(arena, n, sizeof(uint64_t)),
    };
    for (size_t i = 0; i < ret->after.n_items; i++) {
        const struct nsm_pg_item *const item = &ret->after.items[i];
        if (strcmp(item->type, "INDEX") == 0 || strcmp(item->type, "CONSTRAINT") == 0)
            marks.indexes[marks.n_indexes++] = item->dump_id;
    }
    for (size_t i = 0; i < ret->before.n_items; i++)
        mark(state, &ret->before.items[i], &marks);
    for (size_t i = 0; i < ret->after.n_items; i++)
        mark(state, &ret->after.items[i], &marks);
    return NULL;
}

void nsm_pg_definition_forget(const struct nsm_destination *destination)
{
    struct nsm_pg_destination *const state = destination->state;
    state->definition = NULL;
    state->definition_archive = NULL;
    nsm_arena_release(&state->definition_arena);
    state->definition_arena = NSM_ARENA_INIT;
}

struct nsm_error *nsm_pg_definition_load(const struct nsm_destination *destination,
                                         struct nsm_context *ctx, const char *archive,
                                         const struct nsm_pg_definition **ret)
{
    struct nsm_pg_destination *const state = destination->state;
    if (!state->definition || strcmp(state->definition_archive, archive) != 0) {
        nsm_pg_definition_forget(destination);
        struct nsm_arena *const arena = &state->definition_arena;
        struct nsm_pg_definition *const definition =
            nsm_arena_calloc(arena, 1, sizeof(*definition));
        NSM_TRY(load(state, ctx, archive, arena, definition));
        state->definition = definition;
        state->definition_archive = nsm_arena_strdup(arena, archive);
    }
    *ret = state->definition;
    return NULL;
}
