/*
 * What stands is compared by the names that it takes (pg_members.h). All that is replaced is dropped with CASCADE, because
 * functions, types and tables may need each other in a circle; before that pg_depend has told that nothing else
 * would go with it. Tables are locked by then, so that nobody makes another view of them meanwhile.
 */
#include "adapters/postgres/pg_replace.h"

#include "adapters/postgres/pg_members.h"
#include "adapters/postgres/pg_names.h"
#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"

/* Of the query's parameters; index by index each group. */
enum {
    SCHEMA_AT, /* schemas that a definition goes to */
    SCHEMA_NAME,
    MEMBER_AT, /* what the definition brings */
    MEMBER_SPACE,
    MEMBER_KEY,
    KNOWN_AT, /* what is replaced, as far as it is known already */
    KNOWN_CLASS,
    KNOWN_OID,
    N_ARRAYS,
};

struct question {
    struct nsm_buf arrays[N_ARRAYS];
    struct nsm_arena arena;
};

static void question_init(struct question *question)
{
    for (size_t i = 0; i < N_ARRAYS; i++) {
        question->arrays[i] = NSM_BUF_TEXT;
        nsm_pg_array_begin(&question->arrays[i]);
    }
    question->arena = NSM_ARENA_INIT;
}

static void question_release(struct question *question)
{
    for (size_t i = 0; i < N_ARRAYS; i++)
        nsm_buf_release(&question->arrays[i]);
    nsm_arena_release(&question->arena);
}

static void add_known(struct question *question, const char *at,
                      const struct nsm_pg_destination *state)
{
    for (size_t i = 0; i < state->n_in_the_way; i++) {
        const struct nsm_pg_standing *const standing = &state->in_the_way[i];
        nsm_pg_array_add(&question->arrays[KNOWN_AT], at);
        nsm_pg_array_add(&question->arrays[KNOWN_CLASS],
                         nsm_arena_printf(&question->arena, "%u", standing->class_oid));
        nsm_pg_array_add(&question->arrays[KNOWN_OID],
                         nsm_arena_printf(&question->arena, "%u", standing->oid));
    }
}

static const char asked[] =
    "WITH RECURSIVE asked AS (SELECT x.at, n.oid, n.nspname, n.nspowner "
    "FROM unnest($1::int[], $2::text[]) x(at, name) JOIN pg_namespace n ON n.nspname = x.name), "
    "wanted AS (SELECT DISTINCT oid, nspname FROM asked), ";

/* What is a part of something else, as an index or a column's sequence, goes with it. So do a partition and an operator
 * class, but these have names of their own that someone must have named. */
static const char compared[] =
    ", link AS NOT MATERIALIZED (SELECT d.*, d.deptype IN ('a', 'i', 'P', 'S') AND d.objsubid = 0 "
    "AND d.classid <> 'pg_opclass'::regclass AND NOT (d.classid = 'pg_class'::regclass AND "
    "EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relispartition "
    "AND c.relkind IN ('r', 'p', 'f'))) AS is_part FROM pg_depend d), "
    "standing AS MATERIALIZED (SELECT a.at, a.nspowner, m.classid, m.objid, m.space, m.key, "
    "EXISTS (SELECT FROM link d WHERE d.classid = m.classid AND d.objid = m.objid AND d.is_part "
    "AND d.refclassid IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_constraint'::regclass)) "
    "AS is_part, (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid "
    "WHERE d.classid = m.classid AND d.objid = m.objid AND d.deptype = 'e' LIMIT 1) AS extension "
    "FROM asked a JOIN member m ON m.ns = a.oid), "
    "known AS (SELECT * FROM unnest($6::int[], $7::oid[], $8::oid[]) x(at, classid, objid)), "
    "hit AS MATERIALIZED (SELECT DISTINCT s.at, s.classid, s.objid, s.is_part, s.extension, "
    "s.nspowner FROM standing s JOIN unnest($3::int[], $4::text[], $5::text[]) x(at, space, key) "
    "ON x.at = s.at AND x.key = s.key AND (x.space = s.space "
    "OR x.space = 'row' AND s.space IN ('relation', 'type') "
    "OR s.space = 'row' AND x.space IN ('relation', 'type'))), "
    "gone(at, classid, objid) AS (SELECT at, classid, objid FROM hit WHERE NOT is_part "
    "UNION SELECT at, classid, objid FROM known UNION SELECT g.at, d.classid, d.objid "
    "FROM gone g JOIN link d ON d.refclassid = g.classid AND d.refobjid = g.objid "
    "WHERE d.is_part) ";

/* A rule is called by its view. Columns: number, what, type, name, another's name, class, oid, whether it was known, whether
 * it may be dropped. */
static const char found[] =
    "SELECT h.at, 'hit', i.type, i.identity, COALESCE(h.extension, ''), h.classid, h.objid, "
    "EXISTS (SELECT FROM known k WHERE (k.at, k.classid, k.objid) = (h.at, h.classid, h.objid)), "
    "pg_has_role(h.nspowner, 'USAGE') OR COALESCE((SELECT bool_or(pg_has_role(o.refobjid, "
    "'USAGE')) FROM pg_shdepend o WHERE o.dbid = (SELECT oid FROM pg_database "
    "WHERE datname = current_database()) AND o.classid = h.classid AND o.objid = h.objid "
    "AND o.deptype = 'o'), (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)) "
    "FROM hit h, LATERAL pg_identify_object(h.classid, h.objid, 0) i WHERE NOT h.is_part "
    "UNION ALL SELECT h.at, 'part', i.type, i.identity, '', 0, 0, false, false "
    "FROM hit h, LATERAL pg_identify_object(h.classid, h.objid, 0) i WHERE h.is_part "
    "AND NOT EXISTS (SELECT FROM gone g WHERE (g.at, g.classid, g.objid) = "
    "(h.at, h.classid, h.objid)) "
    "UNION ALL SELECT DISTINCT g.at, 'outside', '', CASE d.classid "
    "WHEN 'pg_rewrite'::regclass THEN pg_describe_object('pg_class'::regclass, "
    "(SELECT ev_class FROM pg_rewrite WHERE oid = d.objid), 0) "
    "ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END, "
    "pg_describe_object(g.classid, g.objid, 0), 0, 0, false, false FROM gone g "
    "JOIN link d ON d.refclassid = g.classid AND d.refobjid = g.objid WHERE NOT d.is_part "
    "AND d.deptype IN ('n', 'a') AND d.classid <> 'pg_extension'::regclass AND NOT EXISTS (SELECT "
    "FROM gone o WHERE (o.at, o.classid, o.objid) = (g.at, d.classid, d.objid)) "
    "UNION ALL (SELECT DISTINCT ON (s.at) s.at, 'other', i.type, i.identity, '', 0, 0, false, "
    "false FROM standing s, LATERAL pg_identify_object(s.classid, s.objid, 0) i "
    "WHERE NOT s.is_part AND s.extension IS NULL AND NOT EXISTS (SELECT FROM gone g "
    "WHERE (g.at, g.classid, g.objid) = (s.at, s.classid, s.objid)) ORDER BY s.at, i.identity) "
    "ORDER BY 1, 2, 4, 5";

static struct nsm_error *question_end(struct question *question)
{
    for (size_t i = 0; i < N_ARRAYS; i++) {
        nsm_pg_array_end(&question->arrays[i]);
        NSM_TRY(nsm_buf_error(&question->arrays[i]));
    }
    return NULL;
}

static struct nsm_error *ask(const struct question *question, struct nsm_pg_conn *conn,
                             struct nsm_context *ctx, PGresult **ret)
{
    const char *params[N_ARRAYS] = {0};
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t i = 0; i < N_ARRAYS; i++)
        params[i] = question->arrays[i].ptr;
    nsm_buf_append_cstr(&sql, asked);
    nsm_pg_members_sql(&sql);
    nsm_buf_append_cstr(&sql, compared);
    nsm_buf_append_cstr(&sql, found);
    NSM_TRY(nsm_buf_error(&sql));
    return nsm_error_wrap(nsm_pg_query(conn, ctx, sql.ptr, params, N_ARRAYS, ret),
                          "look at what stands in the way");
}

/* ---- inspect ---- */

static bool keeps_rows(const struct nsm_destination *destination)
{
    return destination->if_exists == NSM_IF_EXISTS_MERGE ||
           destination->if_exists == NSM_IF_EXISTS_SKIP;
}

static bool is_replaced(const struct nsm_destination *destination)
{
    return destination->if_exists == NSM_IF_EXISTS_REPLACE;
}

/* The schema that a whole schema's definition goes to; NULL: there is none, or this run has made it already. */
static const char *schema_of(const struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const struct nsm_pg_destination *const state = destination->state;
    if (!source || !source->selection.schema || state->has_begun ||
        (destination->is_ours && destination->if_exists == NSM_IF_EXISTS_FAIL))
        return NULL;
    return state->to_schema ? state->to_schema : source->selection.schema;
}

static void ask_about(struct question *question, const struct nsm_destination *destination,
                      size_t index)
{
    const char *const at = nsm_arena_printf(&question->arena, "%zu", index);
    const char *const schema = schema_of(destination);
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    if (is_replaced(destination))
        add_known(question, at, destination->state);
    if (!schema)
        return;
    nsm_pg_array_add(&question->arrays[SCHEMA_AT], at);
    nsm_pg_array_add(&question->arrays[SCHEMA_NAME], schema);
    for (size_t i = 0; i < source->n_members; i++) {
        nsm_pg_array_add(&question->arrays[MEMBER_AT], at);
        nsm_pg_array_add(&question->arrays[MEMBER_SPACE], source->members[i].space);
        nsm_pg_array_add(&question->arrays[MEMBER_KEY], source->members[i].key);
    }
}

static void take_hit(struct nsm_destination *destination, const PGresult *result, int row)
{
    struct nsm_pg_destination *const state = destination->state;
    const char *const type = PQgetvalue(result, row, 2);
    const char *const identity = PQgetvalue(result, row, 3);
    const char *const extension = PQgetvalue(result, row, 4);
    const bool is_known = nsm_pg_get_bool(result, row, 7);
    if (keeps_rows(destination))
        return;
    if (is_replaced(destination) && *extension)
        REFUSE(destination,
               "%s %s belongs to extension %s and can't be replaced: ALTER EXTENSION %s SET "
               "SCHEMA, or give another schema",
               type, identity, extension, extension);
    else if (is_replaced(destination) && !is_known && !nsm_pg_get_bool(result, row, 8))
        REFUSE(destination, "no right to replace %s %s: only its owner can drop it", type,
               identity);
    if (is_known)
        return;
    nsm_findings_add(&destination->target.findings, NSM_FINDING_CONFLICT, "", 1,
                     "%s %s stands there", type, identity);
    state->in_the_way[state->n_in_the_way++] = (struct nsm_pg_standing){
        .class_oid = (uint32_t)nsm_pg_get_u64(result, row, 5),
        .oid = (uint32_t)nsm_pg_get_u64(result, row, 6),
        .type = nsm_arena_strdup(&state->arena, type),
        .identity = nsm_arena_strdup(&state->arena, identity),
    };
}

static void take_part(struct nsm_destination *destination, const char *type, const char *identity)
{
    if (is_replaced(destination))
        REFUSE(destination,
               "%s %s has a name that is needed, and is part of something that is not replaced: "
               "rename or drop it first",
               type, identity);
    else if (!keeps_rows(destination))
        nsm_findings_add(&destination->target.findings, NSM_FINDING_CONFLICT, "", 1,
                         "%s %s stands there", type, identity);
}

/* After a rename the definition of a whole schema is read back from the destination: what else stands in it could not be
 * told from ours. */
static void take_other(struct nsm_destination *destination, const char *type, const char *identity)
{
    const struct nsm_pg_destination *const state = destination->state;
    bool keeps_all = state->n_tables > 0;
    for (size_t i = 0; i < state->n_tables; i++)
        keeps_all = keeps_all && state->tables[i].is_kept;
    if (state->to_schema && !keeps_all)
        REFUSE(destination,
               "schema %s holds other objects, as %s %s: a schema under a new name needs one that "
               "is empty or does not exist",
               state->to_schema, type, identity);
}

static void take_row(struct nsm_destination *destination, const PGresult *result, int row)
{
    const char *const what = PQgetvalue(result, row, 1);
    const char *const type = PQgetvalue(result, row, 2);
    const char *const name = PQgetvalue(result, row, 3);
    if (strcmp(what, "hit") == 0)
        take_hit(destination, result, row);
    else if (strcmp(what, "part") == 0)
        take_part(destination, type, name);
    else if (strcmp(what, "other") == 0)
        take_other(destination, type, name);
    else if (is_replaced(destination))
        REFUSE(destination,
               "%s depends on %s, which is replaced, and would go with it: drop it first, or "
               "bring it along",
               name, PQgetvalue(result, row, 4));
}

static void make_room(struct nsm_pg_destination *state, size_t n_more)
{
    struct nsm_pg_standing *const wider =
        nsm_arena_calloc(&state->arena, state->n_in_the_way + n_more, sizeof(*wider));
    for (size_t i = 0; i < state->n_in_the_way; i++)
        wider[i] = state->in_the_way[i];
    state->in_the_way = wider;
}

struct nsm_error *nsm_pg_replace_inspect(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                         struct nsm_destination **destinations,
                                         size_t n_destinations)
{
    struct question question NSM_CLEANUP(question_release);
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    question_init(&question);
    for (size_t i = 0; i < n_destinations; i++)
        ask_about(&question, destinations[i], i);
    NSM_TRY(question_end(&question));
    NSM_TRY(ask(&question, conn, ctx, &result));
    for (int row = 0; row < PQntuples(result);) {
        const uint64_t at = nsm_pg_get_u64(result, row, 0);
        int end = row;
        while (end < PQntuples(result) && nsm_pg_get_u64(result, end, 0) == at)
            end++;
        make_room(destinations[at]->state, (size_t)(end - row));
        for (; row < end; row++)
            take_row(destinations[at], result, row);
    }
    return NULL;
}

/* ---- drop ---- */

const char *nsm_pg_object_word(const char *type)
{
    static const char *const words[][2] = {
        {"statistics object", "STATISTICS"},
        {"aggregate", "ROUTINE"}, /* one without arguments has another form of its own */
        {"function", "ROUTINE"},
        {"procedure", "ROUTINE"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(words); i++) {
        if (strcmp(words[i][0], type) == 0)
            return words[i][1];
    }
    return type;
}

static struct nsm_error *exec_buf(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                  const struct nsm_buf *sql)
{
    NSM_TRY(nsm_buf_error(sql));
    return nsm_pg_exec(conn, ctx, sql->ptr);
}

/* A view's lock would be one on all that it reads, too. */
static struct nsm_error *lock(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                              const struct question *question)
{
    static const char sql[] =
        "SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid) FROM unnest($1::oid[], "
        "$2::oid[]) x(classid, objid) JOIN pg_class c ON c.oid = x.objid WHERE x.classid = "
        "'pg_class'::regclass AND c.relkind IN ('r', 'p')";
    const char *const params[] = {question->arrays[KNOWN_CLASS].ptr,
                                  question->arrays[KNOWN_OID].ptr};
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), &result));
    if (PQgetisnull(result, 0, 0))
        return NULL;
    struct nsm_buf statement NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&statement, "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", PQgetvalue(result, 0, 0));
    return exec_buf(conn, ctx, &statement);
}

static int by_type(const void *a, const void *b)
{
    return strcmp(((const struct nsm_pg_standing *)a)->type,
                  ((const struct nsm_pg_standing *)b)->type);
}

/* Most kinds take a list. */
static bool is_alone(const char *type)
{
    return strcmp(type, "operator class") == 0 || strcmp(type, "operator family") == 0;
}

static struct nsm_error *drop(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                              const struct nsm_pg_destination *state)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    qsort(state->in_the_way, state->n_in_the_way, sizeof(*state->in_the_way), by_type);
    for (size_t i = 0; i < state->n_in_the_way;) {
        const char *const type = state->in_the_way[i].type;
        nsm_buf_clear(&sql);
        nsm_buf_printf(&sql, "DROP %s IF EXISTS %s", nsm_pg_object_word(type),
                       state->in_the_way[i++].identity);
        for (; i < state->n_in_the_way && !is_alone(type) &&
               strcmp(state->in_the_way[i].type, type) == 0;
             i++)
            nsm_buf_printf(&sql, ", %s", state->in_the_way[i].identity);
        nsm_buf_append_cstr(&sql, " CASCADE");
        NSM_TRY(exec_buf(conn, ctx, &sql));
    }
    return NULL;
}

struct nsm_error *nsm_pg_replace_drop(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    struct question question NSM_CLEANUP(question_release);
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    question_init(&question);
    if (!state->n_in_the_way)
        return NULL;
    add_known(&question, "0", state);
    NSM_TRY(question_end(&question));
    NSM_TRY(lock(conn, ctx, &question));
    NSM_TRY(ask(&question, conn, ctx, &result));
    for (int row = 0; row < PQntuples(result); row++) {
        if (strcmp(PQgetvalue(result, row, 1), "outside") == 0)
            return nsm_error_new(NSM_E_CONFLICT,
                                 "replace what stands there: %s depends on %s and would go with it",
                                 PQgetvalue(result, row, 3), PQgetvalue(result, row, 4));
    }
    return nsm_error_wrap(drop(conn, ctx, state), "replace what stands there");
}
