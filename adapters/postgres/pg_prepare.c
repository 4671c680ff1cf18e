/*
 * What must exist before the rows: schemas, types, functions, tables. All of it is made in one
 * transaction, together with the note that it is ours, so there is never a half.
 *
 * Where the source is a Postgres, the objects come from its definition, item by item. A definition
 * names its schema everywhere, so a rename is left to the server: in the transaction, a standing
 * schema of the original name steps aside, the script makes its own, and both get their final names;
 * nobody else ever sees it. What comes after the rows (indexes, constraints, triggers) would need
 * the same while it runs for hours; so after a rename the whole definition is first made on empty
 * tables, dumped from there under its new name, and made again from that.
 */
#include "adapters/postgres/pg_claim.h"
#include "adapters/postgres/pg_definition.h"
#include "adapters/postgres/pg_items.h"
#include "adapters/postgres/pg_later.h"
#include "adapters/postgres/pg_replace.h"
#include "adapters/postgres/pg_rights.h"

#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"

/* Only ever seen inside of one transaction. */
#define ASIDE_SCHEMA "nsmigrate_aside"
#define MADE_SCHEMA  "nsmigrate_made"

struct preparation {
    struct nsm_destination *destination;
    struct nsm_pg_destination *state;
    struct nsm_context *ctx;
    struct nsm_pg_conn *conn;
    const char *from_schema, *to_schema; /* the rename that is asked for; NULL: none */
};

static struct nsm_error *exec_buf(const struct preparation *preparation, const struct nsm_buf *sql)
{
    NSM_TRY(nsm_buf_error(sql));
    return nsm_pg_exec(preparation->conn, preparation->ctx, sql->ptr);
}

/* ---- schemas ---- */

static struct nsm_error *has_schema(const struct preparation *preparation, const char *name,
                                    bool *ret)
{
    const char *const params[] = {name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(preparation->conn, preparation->ctx,
                         "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", params, 1,
                         &result));
    *ret = nsm_pg_get_bool(result, 0, 0);
    return NULL;
}

static struct nsm_error *make_schema(const struct preparation *preparation, const char *name)
{
    bool is_standing = false;
    NSM_TRY(has_schema(preparation, name, &is_standing));
    if (is_standing)
        return NULL;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "CREATE SCHEMA ");
    nsm_pg_quote_ident(&sql, name);
    return nsm_error_wrap(exec_buf(preparation, &sql), "make schema %s", name);
}

static struct nsm_error *rename_schema(const struct preparation *preparation, const char *from,
                                       const char *to)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "ALTER SCHEMA ");
    nsm_pg_quote_ident(&sql, from);
    nsm_buf_append_cstr(&sql, " RENAME TO ");
    nsm_pg_quote_ident(&sql, to);
    return nsm_error_wrap(exec_buf(preparation, &sql), "rename schema %s", from);
}

/* ---- the definition ---- */

/* An item's own text has blanks for line ends. */
static const char *schema_of_item(const struct preparation *preparation,
                                  const struct nsm_pg_item *item)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(preparation->destination);
    const char *const names[] = {source ? source->selection.schema : NULL, preparation->to_schema};
    for (size_t i = 0; i < NSM_COUNT_OF(names); i++) {
        if (names[i] && nsm_pg_item_is_named(item, names[i]))
            return names[i];
    }
    return item->name;
}

static struct nsm_error *run_script(const struct preparation *preparation,
                                    const struct nsm_pg_script *script)
{
    for (size_t i = 0; i < script->n_items; i++) {
        const struct nsm_pg_item *const item = &script->items[i];
        if (item->is_left_out)
            continue;
        if (strcmp(item->type, "SCHEMA") == 0)
            NSM_TRY(make_schema(preparation, schema_of_item(preparation, item)));
        NSM_TRY(
            nsm_pg_run_item(preparation->conn, preparation->ctx, preparation->destination, item));
    }
    return NULL;
}

/* What comes after the rows is tried on the empty tables and taken back: what is missing for it, a
 * table that a foreign key refers to, a trigger's function, must be known before hours of copying. */
static struct nsm_error *rehearse(const struct preparation *preparation,
                                  const struct nsm_pg_script *script)
{
    NSM_TRY(nsm_pg_exec(preparation->conn, preparation->ctx, "SAVEPOINT nsmigrate_rehearsal"));
    NSM_TRY(run_script(preparation, script));
    return nsm_pg_exec(preparation->conn, preparation->ctx,
                       "ROLLBACK TO SAVEPOINT nsmigrate_rehearsal;"
                       " RELEASE SAVEPOINT nsmigrate_rehearsal");
}

/* A definition of single tables does not bring their schemas. */
static struct nsm_error *make_schemas(const struct preparation *preparation)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(preparation->destination);
    for (size_t i = 0; source && i < source->n_relations; i++) {
        const char *schema = source->relations[i].schema;
        if (preparation->from_schema && strcmp(schema, preparation->from_schema) == 0)
            schema = preparation->to_schema;
        if (i == 0 || strcmp(source->relations[i].schema, source->relations[i - 1].schema) != 0)
            NSM_TRY(make_schema(preparation, schema));
    }
    return NULL;
}

static struct nsm_error *load(const struct preparation *preparation, const char *archive,
                              const struct nsm_pg_definition **ret)
{
    return nsm_pg_definition_load(preparation->destination, preparation->ctx, archive, ret);
}

/* The tables under their final names: those of the census, and the partitioned ones over them. */
static struct nsm_pg_name *made_tables(const struct preparation *preparation,
                                       struct nsm_arena *arena, size_t *ret_n)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(preparation->destination);
    const struct nsm_pg_destination *const state = preparation->state;
    struct nsm_pg_name *const names = nsm_arena_calloc(arena, source->n_relations, sizeof(*names));
    size_t n = 0;
    size_t at = 0; /* the census is in the order of the relations */
    for (size_t i = 0; i < source->n_relations; i++) {
        const struct nsm_pg_name *const from = &source->relations[i];
        const struct nsm_pg_target *const target = at < state->n_tables ? &state->tables[at] : NULL;
        if (target && strcmp(target->from.name, from->name) == 0 &&
            strcmp(target->from.schema, from->schema) == 0) {
            at++;
            if (!target->is_kept)
                names[n++] = target->to;
            continue;
        }
        names[n] = *from;
        if (preparation->to_schema)
            names[n].schema = preparation->to_schema;
        n++;
    }
    *ret_n = n;
    return names;
}

/* Of what was made, not of what stood there: all tables, also partitioned ones. */
static struct nsm_error *take_checks_off(const struct preparation *preparation)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_buf tables NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    size_t n = 0;
    if (!nsm_pg_source_of(preparation->destination))
        return NULL;
    const struct nsm_pg_name *const names = made_tables(preparation, &arena, &n);
    nsm_pg_array_begin(&tables);
    for (size_t i = 0; i < n; i++) {
        nsm_buf_clear(&name);
        nsm_pg_quote_qualified(&name, names[i].schema, names[i].name);
        nsm_pg_array_add(&tables, name.ptr);
    }
    nsm_pg_array_end(&tables);
    NSM_TRY(nsm_buf_error(&tables));
    return nsm_pg_later_take_off(preparation->conn, preparation->ctx, preparation->destination,
                                 tables.ptr);
}

/* A whole schema has no other rights than at the source. */
static struct nsm_error *run_before(const struct preparation *preparation,
                                    const struct nsm_pg_script *script)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(preparation->destination);
    const char *schema = source ? source->selection.schema : NULL;
    PGresult *taken NSM_CLEANUP(nsm_pg_resultp) = NULL;
    if (!schema)
        return run_script(preparation, script);
    schema = preparation->to_schema ? preparation->to_schema : schema;
    NSM_TRY(nsm_pg_defaults_take(preparation->conn, preparation->ctx, schema, &taken));
    NSM_TRY(run_script(preparation, script));
    return nsm_pg_defaults_give_back(preparation->conn, preparation->ctx, taken);
}

static struct nsm_error *make_defined(const struct preparation *preparation, const char *archive)
{
    const struct nsm_pg_definition *definition = NULL;
    NSM_TRY(load(preparation, archive, &definition));
    NSM_TRY(make_schemas(preparation));
    NSM_TRY(run_before(preparation, &definition->before));
    NSM_TRY(take_checks_off(preparation));
    return rehearse(preparation, &definition->after);
}

/* ---- a rename ---- */

static struct nsm_error *note_template(const struct preparation *preparation, const char *name)
{
    return nsm_pg_state_add(preparation->conn, preparation->ctx, preparation->destination,
                            NSM_PG_DONE_TEMPLATE, name);
}

/* As it is called by now: moving a type changes the names of functions that take it. */
static struct nsm_error *identify(const struct preparation *preparation, const PGresult *objects,
                                  int row, PGresult **ret)
{
    const char *const object[] = {PQgetvalue(objects, row, 0), PQgetvalue(objects, row, 1)};
    return nsm_pg_query(preparation->conn, preparation->ctx,
                        "SELECT type, identity FROM pg_identify_object($1, $2, 0)", object,
                        NSM_COUNT_OF(object), ret);
}

static struct nsm_error *move_object(const struct preparation *preparation, const char *type,
                                     const char *identity)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&sql, "ALTER %s %s SET SCHEMA ", nsm_pg_object_word(type), identity);
    nsm_pg_quote_ident(&sql, preparation->to_schema);
    return nsm_error_wrap(exec_buf(preparation, &sql), "move %s to schema %s", identity,
                          preparation->to_schema);
}

/* A type that has a name and nothing else can't be moved, only made again. */
static struct nsm_error *move_shell(const struct preparation *preparation, const char *identity,
                                    const char *name)
{
    struct nsm_buf made NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_qualified(&made, preparation->to_schema, name);
    nsm_buf_printf(&sql, "DROP TYPE %s; CREATE TYPE %s", identity, made.ptr);
    NSM_TRY_WRAP(exec_buf(preparation, &sql), "move %s to schema %s", identity,
                 preparation->to_schema);
    nsm_buf_clear(&sql);
    nsm_buf_printf(&sql, "TYPE IF EXISTS %s", made.ptr);
    NSM_TRY(nsm_buf_error(&sql));
    return note_template(preparation, sql.ptr);
}

static struct nsm_error *note_moved(const struct preparation *preparation, const PGresult *objects)
{
    for (int row = 0; row < PQntuples(objects); row++) {
        PGresult *named NSM_CLEANUP(nsm_pg_resultp) = NULL;
        struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        /* A range's functions go with it, and not without. */
        if (!PQgetisnull(objects, row, 2) || nsm_pg_get_bool(objects, row, 3))
            continue;
        NSM_TRY(identify(preparation, objects, row, &named));
        nsm_buf_printf(&sql, "%s IF EXISTS %s", nsm_pg_object_word(PQgetvalue(named, 0, 0)),
                       PQgetvalue(named, 0, 1));
        NSM_TRY(nsm_buf_error(&sql));
        NSM_TRY(note_template(preparation, sql.ptr));
    }
    return NULL;
}

/* Moves all objects of a schema that was just made to one that stands; the rest of the first,
 * nothing, is dropped. */
static struct nsm_error *move_objects(const struct preparation *preparation, const char *from)
{
    static const char sql[] =
        "SELECT d.classid, d.objid, (SELECT t.typname FROM pg_type t"
        "  WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND NOT t.typisdefined),"
        " EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid"
        "  AND o.objsubid = 0 AND o.deptype = 'i')"
        " FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass"
        " AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND d.deptype = 'n'"
        " AND d.classid <> 'pg_default_acl'::regclass"
        " AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_depend o"
        "  WHERE o.classid = d.classid AND o.objid = d.objid AND o.deptype IN ('a', 'i')"
        "  AND o.refclassid = 'pg_class'::regclass AND o.refobjsubid > 0))"
        " ORDER BY d.objid";
    const char *const params[] = {from};
    PGresult *objects NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(preparation->conn, preparation->ctx, sql, params, 1, &objects));
    for (int row = 0; row < PQntuples(objects); row++) {
        PGresult *named NSM_CLEANUP(nsm_pg_resultp) = NULL;
        NSM_TRY(identify(preparation, objects, row, &named));
        const char *const identity = PQgetvalue(named, 0, 1);
        if (PQgetisnull(objects, row, 2))
            NSM_TRY(move_object(preparation, PQgetvalue(named, 0, 0), identity));
        else
            NSM_TRY(move_shell(preparation, identity, PQgetvalue(objects, row, 2)));
    }
    NSM_TRY(note_moved(preparation, objects));
    struct nsm_buf statement NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&statement, "DROP SCHEMA ");
    nsm_pg_quote_ident(&statement, from);
    return exec_buf(preparation, &statement);
}

static struct nsm_error *rename_tables(const struct preparation *preparation)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t i = 0; i < preparation->state->n_tables; i++) {
        const struct nsm_pg_target *const target = &preparation->state->tables[i];
        if (target->is_kept || strcmp(target->from.name, target->to.name) == 0)
            continue;
        nsm_buf_clear(&sql);
        nsm_buf_append_cstr(&sql, "ALTER TABLE ");
        nsm_pg_quote_qualified(&sql, target->from.schema, target->from.name);
        nsm_buf_append_cstr(&sql, " RENAME TO ");
        nsm_pg_quote_ident(&sql, target->to.name);
        NSM_TRY(exec_buf(preparation, &sql));
    }
    return NULL;
}

static struct nsm_error *note_schema(const struct preparation *preparation, const char *name)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&text, "SCHEMA IF EXISTS ");
    nsm_pg_quote_ident(&text, name);
    return note_template(preparation, text.ptr);
}

/* Only a table is renamed: what was made moves to the schema that stood there. */
static struct nsm_error *settle_table(const struct preparation *preparation, bool is_standing)
{
    const char *const schema = preparation->to_schema;
    if (!is_standing)
        return note_schema(preparation, schema);
    NSM_TRY(rename_schema(preparation, schema, MADE_SCHEMA));
    NSM_TRY(rename_schema(preparation, ASIDE_SCHEMA, schema));
    return move_objects(preparation, MADE_SCHEMA);
}

static struct nsm_error *settle_schema(const struct preparation *preparation)
{
    bool is_to_standing = false;
    NSM_TRY(has_schema(preparation, preparation->to_schema, &is_to_standing));
    if (is_to_standing) {
        NSM_TRY(nsm_pg_rights_pass_on(preparation->conn, preparation->ctx, preparation->from_schema,
                                      preparation->to_schema));
        return move_objects(preparation, preparation->from_schema);
    }
    NSM_TRY(rename_schema(preparation, preparation->from_schema, preparation->to_schema));
    return note_schema(preparation, preparation->to_schema);
}

/* Gives what was made under the original schema's name its place. `is_standing`: the schema that
 * stood under that name waits aside. */
static struct nsm_error *settle(const struct preparation *preparation, bool is_standing)
{
    if (strcmp(preparation->from_schema, preparation->to_schema) == 0)
        return settle_table(preparation, is_standing);
    NSM_TRY(settle_schema(preparation));
    return is_standing ? rename_schema(preparation, ASIDE_SCHEMA, preparation->from_schema) : NULL;
}

/* Runs both sections of the definition under the original name, and gives everything its new one.
 */
static struct nsm_error *make_templates(const struct preparation *preparation)
{
    const struct nsm_pg_definition *definition = NULL;
    NSM_TRY(load(preparation, preparation->destination->definition, &definition));
    bool is_standing = false;
    NSM_TRY(has_schema(preparation, preparation->from_schema, &is_standing));
    if (is_standing)
        NSM_TRY(rename_schema(preparation, preparation->from_schema, ASIDE_SCHEMA));
    NSM_TRY(make_schema(preparation, preparation->from_schema));
    NSM_TRY(run_script(preparation, &definition->before));
    NSM_TRY(run_script(preparation, &definition->after));
    NSM_TRY(rename_tables(preparation));
    NSM_TRY(settle(preparation, is_standing));
    return note_template(preparation, "");
}

/* The archive of a renamed definition. Any bytes may stand in a namespace's name. */
const char *nsm_pg_renamed_archive(const struct nsm_destination *destination,
                                   struct nsm_arena *arena)
{
    struct nsm_digest digest = {0};
    char text[33];
    nsm_digest_add_raw(&digest, nsm_str_of(destination->namespace_name));
    nsm_digest_format(&digest, text);
    return nsm_arena_printf(arena, "%s/postgres-%s.renamed", destination->backend->work_dir, text);
}

static struct nsm_error *dump_templates(const struct preparation *preparation, const char *path)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const struct nsm_pg_source *const source = nsm_pg_source_of(preparation->destination);
    struct nsm_pg_dump_request request = {
        .conn = preparation->conn,
        .schema = source->selection.schema ? preparation->to_schema : NULL,
        .path = path,
    };
    request.tables = made_tables(preparation, &arena, &request.n_tables);
    return nsm_error_wrap(nsm_pg_dump(preparation->ctx, &request), "read the renamed definitions");
}

static struct nsm_error *drop_templates(const struct preparation *preparation)
{
    const char *const params[] = {preparation->destination->backend->run_id,
                                  preparation->destination->namespace_name};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(preparation->conn, preparation->ctx,
                         "DELETE FROM nsmigrate.done WHERE run_id = $1 AND namespace = $2"
                         " AND kind = 'template' RETURNING name",
                         params, 2, &result));
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (int row = 0; row < PQntuples(result); row++) {
        const char *const name = PQgetvalue(result, row, 0);
        if (!*name)
            continue;
        nsm_buf_clear(&sql);
        nsm_buf_printf(&sql, "DROP %s CASCADE", name);
        NSM_TRY_WRAP(exec_buf(preparation, &sql), "drop the empty %s", name);
    }
    return NULL;
}

/* ---- tables made from columns ---- */

static struct nsm_error *make_table(const struct preparation *preparation, size_t index)
{
    const struct nsm_object *const object = &preparation->destination->target.objects[index];
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    NSM_TRY(make_schema(preparation, object->schema));
    nsm_buf_append_cstr(&sql, "CREATE TABLE ");
    nsm_pg_quote_qualified(&sql, object->schema, object->name);
    nsm_buf_append_cstr(&sql, " (");
    for (size_t i = 0; i < object->n_columns; i++) {
        nsm_buf_append_cstr(&sql, i ? ", " : "");
        nsm_pg_quote_ident(&sql, object->columns[i].name);
        nsm_buf_printf(&sql, " %s%s", object->columns[i].type_name,
                       object->columns[i].is_not_null ? " NOT NULL" : "");
    }
    nsm_buf_append_char(&sql, ')');
    return nsm_error_wrap(exec_buf(preparation, &sql), "make table %s.%s", object->schema,
                          object->name);
}

static struct nsm_error *make_tables(const struct preparation *preparation)
{
    for (size_t i = 0; i < preparation->state->n_tables; i++) {
        if (!preparation->state->tables[i].is_kept)
            NSM_TRY(make_table(preparation, i));
    }
    return NULL;
}

/* ---- the whole ---- */

static bool keeps_all(const struct nsm_pg_destination *state)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        if (!state->tables[i].is_kept)
            return false;
    }
    return state->n_tables > 0;
}

static struct nsm_error *begin(const struct preparation *preparation)
{
    NSM_TRY(nsm_pg_exec(preparation->conn, preparation->ctx,
                        "BEGIN; SET LOCAL check_function_bodies = false"));
    return nsm_pg_state_ensure(preparation->conn, preparation->ctx);
}

static struct nsm_error *note_tables(const struct preparation *preparation)
{
    const struct nsm_pg_destination *const state = preparation->state;
    for (size_t i = 0; i < state->n_tables; i++) {
        if (state->tables[i].is_kept)
            continue;
        struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_pg_quote_qualified(&name, state->tables[i].to.schema, state->tables[i].to.name);
        NSM_TRY(nsm_pg_state_add(preparation->conn, preparation->ctx, preparation->destination,
                                 NSM_PG_DONE_TABLE, name.ptr));
    }
    return NULL;
}

static struct nsm_error *finish(const struct preparation *preparation)
{
    NSM_TRY(note_tables(preparation));
    NSM_TRY(nsm_pg_state_add(preparation->conn, preparation->ctx, preparation->destination,
                             NSM_PG_DONE_PREPARED, ""));
    return nsm_pg_exec(preparation->conn, preparation->ctx, "COMMIT");
}

/* Makes the objects in the open transaction. *ret_is_template: they are templates still. */
static struct nsm_error *make_objects(const struct preparation *preparation, bool *ret_is_template)
{
    const struct nsm_destination *const destination = preparation->destination;
    *ret_is_template = false;
    if (destination->if_exists == NSM_IF_EXISTS_REPLACE)
        NSM_TRY(nsm_pg_replace_drop(preparation->conn, preparation->ctx, destination));
    if (!destination->definition)
        return make_tables(preparation);
    if (keeps_all(preparation->state))
        return NULL;
    *ret_is_template = preparation->from_schema != NULL;
    if (*ret_is_template)
        return make_templates(preparation);
    return make_defined(preparation, destination->definition);
}

static struct nsm_error *replace_templates(const struct preparation *preparation)
{
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    const char *const path = nsm_pg_renamed_archive(preparation->destination, &arena);
    nsm_pg_definition_forget(preparation->destination);
    NSM_TRY(dump_templates(preparation, path));
    NSM_TRY(begin(preparation));
    NSM_TRY(drop_templates(preparation));
    NSM_TRY(make_defined(preparation, path));
    return finish(preparation);
}

static struct nsm_error *prepare(const struct preparation *preparation)
{
    bool is_done = false;
    bool is_template = false;
    NSM_TRY(begin(preparation));
    NSM_TRY(nsm_pg_state_has(preparation->conn, preparation->ctx, preparation->destination,
                             NSM_PG_DONE_PREPARED, "", &is_done));
    if (is_done)
        return nsm_pg_exec(preparation->conn, preparation->ctx, "COMMIT");
    NSM_TRY(nsm_pg_state_has(preparation->conn, preparation->ctx, preparation->destination,
                             NSM_PG_DONE_TEMPLATE, "", &is_template));
    if (!is_template)
        NSM_TRY(make_objects(preparation, &is_template));
    if (!is_template)
        return finish(preparation);
    NSM_TRY(note_tables(preparation));
    NSM_TRY(nsm_pg_exec(preparation->conn, preparation->ctx, "COMMIT"));
    return replace_templates(preparation);
}

struct nsm_error *nsm_pg_prepare(struct nsm_destination *destination, struct nsm_context *ctx)
{
    struct nsm_pg_destination *const state = destination->state;
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_claim(destination, ctx));
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)destination->backend, ctx, &conn));
    const struct preparation preparation = {
        .destination = destination,
        .state = state,
        .ctx = ctx,
        .conn = conn,
        .from_schema = state->from_schema,
        .to_schema = state->to_schema,
    };
    return prepare(&preparation);
}
