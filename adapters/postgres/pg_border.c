/*
 * Everything is taken from pg_depend and pg_shdepend, so that no kind of object is forgotten; the server
 * says how it is called.
 */
#include "adapters/postgres/pg_border.h"

#include "adapters/postgres/pg_text.h"

/* The schema of an object of any kind, or of the table it belongs to; NULL: it has none. */
#define SCHEMA_OF(class, object)                                                                   \
    " (SELECT s FROM (SELECT CASE " class                                                          \
        " WHEN 'pg_class'::regclass THEN"                                                          \
        "  (SELECT relnamespace FROM pg_class WHERE oid = " object ")"                             \
        " WHEN 'pg_type'::regclass THEN (SELECT typnamespace FROM pg_type WHERE oid = " object ")" \
        " WHEN 'pg_proc'::regclass THEN (SELECT pronamespace FROM pg_proc WHERE oid = " object ")" \
        " WHEN 'pg_operator'::regclass THEN"                                                       \
        "  (SELECT oprnamespace FROM pg_operator WHERE oid = " object ")"                          \
        " WHEN 'pg_opclass'::regclass THEN"                                                        \
        "  (SELECT opcnamespace FROM pg_opclass WHERE oid = " object ")"                           \
        " WHEN 'pg_opfamily'::regclass THEN"                                                       \
        "  (SELECT opfnamespace FROM pg_opfamily WHERE oid = " object ")"                          \
        " WHEN 'pg_collation'::regclass THEN"                                                      \
        "  (SELECT collnamespace FROM pg_collation WHERE oid = " object ")"                        \
        " WHEN 'pg_ts_config'::regclass THEN"                                                      \
        "  (SELECT cfgnamespace FROM pg_ts_config WHERE oid = " object ")"                         \
        " WHEN 'pg_ts_dict'::regclass THEN"                                                        \
        "  (SELECT dictnamespace FROM pg_ts_dict WHERE oid = " object ")"                          \
        " WHEN 'pg_constraint'::regclass THEN"                                                     \
        "  (SELECT connamespace FROM pg_constraint WHERE oid = " object ")"                        \
        " WHEN 'pg_trigger'::regclass THEN (SELECT relnamespace FROM pg_trigger x"                 \
        "  JOIN pg_class c ON c.oid = tgrelid WHERE x.oid = " object ")"                           \
        " WHEN 'pg_rewrite'::regclass THEN (SELECT relnamespace FROM pg_rewrite x"                 \
        "  JOIN pg_class c ON c.oid = ev_class WHERE x.oid = " object ")"                          \
        " WHEN 'pg_policy'::regclass THEN (SELECT relnamespace FROM pg_policy x"                   \
        "  JOIN pg_class c ON c.oid = polrelid WHERE x.oid = " object ")"                          \
        " WHEN 'pg_attrdef'::regclass THEN (SELECT relnamespace FROM pg_attrdef x"                 \
        "  JOIN pg_class c ON c.oid = adrelid WHERE x.oid = " object ")"                           \
        " END AS s) y WHERE s NOT IN (SELECT oid FROM pg_namespace"                                \
        "  WHERE nspname ~ '^pg_' OR nspname = 'information_schema'))"

#define OF_SCHEMA(class, column)                      \
    " UNION ALL SELECT x." column                     \
    ", '" class "'::regclass, x.oid FROM " class " x" \
                                                 " JOIN wanted w ON w.oid = x." column
#define OF_TABLE(class, column)                                                  \
    " UNION ALL SELECT c.relnamespace, '" class "'::regclass, x.oid FROM " class \
        " x"                                                                     \
        " JOIN pg_class c ON c.oid = x." column " JOIN wanted w ON w.oid = c.relnamespace"

/* A rule is called by its view, an index by its table's kind. */
#define NAME_OF(class, object)                                                                    \
    " CASE WHEN " class " = 'pg_rewrite'::regclass THEN pg_describe_object('pg_class'::regclass," \
                        " (SELECT ev_class FROM pg_rewrite WHERE oid = " object "), 0)"           \
                        " ELSE pg_describe_object(" class ", " object ", 0) END"

#define EXTENSION_OF(class, object)                                                 \
    " (SELECT e.extname FROM pg_depend x JOIN pg_extension e ON e.oid = x.refobjid" \
    "  WHERE x.classid = " class " AND x.objid = " object " AND x.deptype = 'e' LIMIT 1)"

/* The objects of the schemas, without those that belong to an extension. */
#define INSIDE                                                                                               \
    "WITH wanted AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY($1::text[])),"                \
    " member(ns, classid, objid) AS ("                                                                       \
    " SELECT oid, 'pg_namespace'::regclass, oid FROM wanted" OF_SCHEMA(                                      \
        "pg_class", "relnamespace") OF_SCHEMA("pg_type", "typnamespace")                                     \
        OF_SCHEMA("pg_proc", "pronamespace") OF_SCHEMA("pg_operator", "oprnamespace") OF_SCHEMA(             \
            "pg_opclass", "opcnamespace") OF_SCHEMA("pg_opfamily",                                           \
                                                    "opfnamespace") OF_SCHEMA("pg_collation",                \
                                                                              "collnamespace")               \
            OF_SCHEMA("pg_ts_config", "cfgnamespace") OF_SCHEMA(                                             \
                "pg_ts_dict", "dictnamespace") OF_SCHEMA("pg_conversion", "connamespace")                    \
                OF_SCHEMA("pg_constraint", "connamespace") OF_SCHEMA(                                        \
                    "pg_default_acl",                                                                        \
                    "defaclnamespace") OF_SCHEMA("pg_statistic_ext",                                         \
                                                 "stxnamespace") OF_TABLE("pg_trigger", "tgrelid")           \
                    OF_TABLE("pg_rewrite", "ev_class") OF_TABLE("pg_policy", "polrelid") OF_TABLE(           \
                        "pg_attrdef",                                                                        \
                        "adrelid") "),"                                                                      \
                                   " inside AS MATERIALIZED (SELECT m.* FROM member m"                       \
                                   "  WHERE NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = m.classid" \
                                   "   AND x.objid = m.objid AND x.deptype = 'e'))"

/* What the schemas need: the type under an array in its place; partitions do without their parents. */
#define OUTGOING                                                                                                                                                \
    ", outgoing AS (SELECT i.ns, i.classid, i.objid, d.refclassid, COALESCE((SELECT t.typelem"                                                                  \
    "  FROM pg_type t WHERE d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid"                                                                          \
    "   AND t.typcategory = 'A' AND t.typelem <> 0), d.refobjid) AS refobjid"                                                                                   \
    " FROM inside i JOIN pg_depend d ON d.classid = i.classid AND d.objid = i.objid"                                                                            \
    " WHERE d.deptype IN ('n', 'a') AND d.refclassid <> 'pg_namespace'::regclass"                                                                               \
    "  AND NOT (d.classid = 'pg_class'::regclass AND d.refclassid = d.classid"                                                                                  \
    "   AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relispartition))),"                                                                      \
    " needed AS (SELECT ns, refclassid, refobjid,"                                                                                                              \
    "  min(" NAME_OF(                                                                                                                                           \
        "classid",                                                                                                                                              \
        "objid") ") AS by,"                                                                                                                                     \
                 "  bool_and(classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint k"                                                       \
                 "   WHERE k.oid = objid AND k.contype = 'f')) AS is_key FROM outgoing GROUP BY 1, 2, 3)"                                                       \
                 " SELECT w.nspname, 'need', id.type, id.identity, n.by, n.is_key FROM needed n"                                                                \
                 "  JOIN wanted w ON w.oid = n.ns, LATERAL pg_identify_object(n.refclassid, n.refobjid, 0) id"                                                  \
                 "  WHERE " SCHEMA_OF(                                                                                                                          \
                     "n.refclassid",                                                                                                                            \
                     "n.refobjid") " <> n.ns"                                                                                                                   \
                                   "  AND" EXTENSION_OF(                                                                                                        \
                                       "n.refclassid",                                                                                                          \
                                       "n.refobjid") " IS NULL"                                                                                                 \
                                                     " UNION ALL SELECT w.nspname, 'extension', min(m.nspname), e, min(n.by), false"                            \
                                                     "  FROM needed n JOIN wanted w ON w.oid = n.ns,"                                                           \
                                                     "  LATERAL (SELECT" EXTENSION_OF(                                                                          \
                                                         "n.refclassid",                                                                                        \
                                                         "n.refobjid") " AS e) x"                                                                               \
                                                                       "  JOIN pg_extension p ON p.extname = x.e JOIN pg_namespace m ON m.oid = p.extnamespace" \
                                                                       "  WHERE x.e <> 'plpgsql' GROUP BY 1, 4"

/* What elsewhere needs the schemas, and what belongs to the database and works on them. */
#define INCOMING                                                                                              \
    " UNION ALL SELECT DISTINCT w.nspname, CASE WHEN d.classid = 'pg_cast'::regclass THEN 'cast'"             \
    "  WHEN EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass"                            \
    "   AND c.oid = d.objid AND c.relispartition) THEN 'partition' ELSE 'used' END, '',"                      \
    "  " NAME_OF("d.classid", "d.objid") ", " NAME_OF(                                                        \
        "i.classid",                                                                                          \
        "i.objid") ", false"                                                                                  \
                   " FROM inside i JOIN wanted w ON w.oid = i.ns"                                             \
                   "  JOIN pg_depend d ON d.refclassid = i.classid AND d.refobjid = i.objid"                  \
                   " WHERE d.deptype IN ('n', 'a') AND d.classid <> 'pg_extension'::regclass"                 \
                   "  AND i.classid <> 'pg_namespace'::regclass"                                              \
                   "  AND NOT EXISTS (SELECT FROM member m WHERE m.classid = d.classid AND m.objid = d.objid" \
                   "   AND m.ns = i.ns)"                                                                      \
                   "  AND (d.classid IN ('pg_cast'::regclass, 'pg_event_trigger'::regclass,"                  \
                   "    'pg_transform'::regclass, 'pg_language'::regclass, 'pg_am'::regclass)"                \
                   "   OR " SCHEMA_OF("d.classid", "d.objid") " <> i.ns)"

#define SURROUNDINGS                                                                                             \
    " UNION ALL SELECT w.nspname, CASE d.deptype WHEN 'a' THEN 'grant' WHEN 'r' THEN 'policy'"                   \
    "  ELSE 'owner' END, '', r.rolname, min(" NAME_OF(                                                           \
        "i.classid",                                                                                             \
        "i.objid") "), false"                                                                                    \
                   "  FROM inside i JOIN wanted w ON w.oid = i.ns JOIN pg_shdepend d ON d.classid = i.classid"   \
                   "   AND d.objid = i.objid AND d.refclassid = 'pg_authid'::regclass"                           \
                   "   AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"            \
                   "  JOIN pg_roles r ON r.oid = d.refobjid WHERE d.deptype IN ('a', 'r', 'o') GROUP BY 1, 2, 4" \
                   " UNION ALL SELECT w.nspname, 'tablespace', '', t.spcname,"                                   \
                   "  min(pg_describe_object('pg_class'::regclass, c.oid, 0)), false FROM pg_class c"            \
                   "  JOIN wanted w ON w.oid = c.relnamespace JOIN pg_tablespace t ON t.oid = c.reltablespace"   \
                   "  GROUP BY 1, 4"                                                                             \
                   " UNION ALL SELECT w.nspname, 'publication', '', p.pubname,"                                  \
                   "  min(pg_describe_object('pg_class'::regclass, c.oid, 0)), false FROM pg_publication_rel r"  \
                   "  JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid"           \
                   "  JOIN wanted w ON w.oid = c.relnamespace GROUP BY 1, 4"                                     \
                   " UNION ALL SELECT w.nspname, 'publication', '', p.pubname, 'all tables', false"              \
                   "  FROM pg_publication p, wanted w WHERE p.puballtables"

/* Texts that a rename does not reach, and that hold the schema's name as a word. */
#define HOLDS_NAME(text)                                                                 \
    " strpos(lower(" text "), lower(w.nspname)) > 0 AND (w.nspname !~ '^\\w+$' OR " text \
    " ~* ('\\m' || w.nspname || '\\M'))"
#define TEXTS                                                                                                                                                                              \
    " UNION ALL SELECT w.nspname, 'text', '', pg_describe_object(i.classid, i.objid, 0), '',"                                                                                              \
    "  false FROM inside i JOIN wanted w ON w.oid = i.ns JOIN pg_proc p ON p.oid = i.objid"                                                                                                \
    "  JOIN pg_language l ON l.oid = p.prolang WHERE i.classid = 'pg_proc'::regclass"                                                                                                      \
    "  AND l.lanname NOT IN ('c', 'internal') AND (" HOLDS_NAME(                                                                                                                           \
        "p.prosrc") " OR "                                                                                                                                                                 \
                    "  " HOLDS_NAME(                                                                                                                                                       \
                        "array_to_string(p.proconfig, ' ')") ")"                                                                                                                           \
                                                             " UNION ALL SELECT w.nspname, 'text', '', pg_describe_object(i.classid, i.objid, 0), '',"                                     \
                                                             "  false FROM inside i JOIN wanted w ON w.oid = i.ns JOIN pg_trigger t ON t.oid = i.objid"                                    \
                                                             "  WHERE i.classid = 'pg_trigger'::regclass AND" HOLDS_NAME(                                                                  \
                                                                 "encode(t.tgargs, 'escape')") " UNION ALL SELECT w.nspname, 'text', '', pg_describe_object(i.classid, i.objid, 0), '',"   \
                                                                                               "  false FROM inside i JOIN wanted w ON w.oid = i.ns JOIN pg_attrdef t ON t.oid = i.objid," \
                                                                                               "  LATERAL (SELECT string_agg(x[1], ' ') AS s FROM regexp_matches(pg_get_expr(t.adbin,"     \
                                                                                               "   t.adrelid), '(''(?:[^'']|'''')*''(?!::reg))', 'g') x) q"                                \
                                                                                               "  WHERE i.classid = 'pg_attrdef'::regclass AND" HOLDS_NAME(                                \
                                                                                                   "q.s")

static bool is_whole_schema(const struct nsm_source *source)
{
    const struct nsm_pg_source *const state = source->state;
    return !source->written && state->selection.schema && !(source->flags & NSM_SURVEY_VALUE_TYPES);
}

/* ---- the source ---- */

static void note(struct nsm_source *source, const struct nsm_pg_crossing *crossing)
{
    struct nsm_findings *const findings = &source->census.findings;
    const char *const name = crossing->name;
    const char *const by = crossing->by;
    switch (crossing->kind) {
    case NSM_PG_NEED:
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "%s depends on %s %s, in another schema", by, crossing->type, name);
        return;
    case NSM_PG_EXTENSION:
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1, "%s needs extension %s", by, name);
        return;
    case NSM_PG_USED:
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "%s depends on %s from outside of the schema, and stays behind", name, by);
        return;
    case NSM_PG_CAST:
        nsm_findings_add(findings, NSM_FINDING_LOSS, "casts", 1,
                         "%s stays behind: it is in no schema", name);
        return;
    case NSM_PG_PARTITION:
        nsm_findings_add(findings, NSM_FINDING_LOSS, "partitions", 1,
                         "%s, with its rows, stays behind: a partition of %s in another schema",
                         name, by);
        return;
    case NSM_PG_TABLESPACE:
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "%s is in tablespace %s: what is made goes to the default one", by, name);
        return;
    case NSM_PG_PUBLICATION:
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "publication %s, of %s, does not publish what is made", name, by);
        return;
    case NSM_PG_GRANT:
    case NSM_PG_POLICY:
    case NSM_PG_OWNER:
    case NSM_PG_TEXT:
        return;
    }
}

static const char *const crossing_words[] = {
    [NSM_PG_NEED] = "need",           [NSM_PG_EXTENSION] = "extension",
    [NSM_PG_USED] = "used",           [NSM_PG_CAST] = "cast",
    [NSM_PG_PARTITION] = "partition", [NSM_PG_TABLESPACE] = "tablespace",
    [NSM_PG_GRANT] = "grant",         [NSM_PG_PUBLICATION] = "publication",
    [NSM_PG_POLICY] = "policy",       [NSM_PG_OWNER] = "owner",
    [NSM_PG_TEXT] = "text",
};

const char *nsm_pg_crossing_word(enum nsm_pg_crossing_kind kind)
{
    return crossing_words[kind];
}

bool nsm_pg_crossing_parse(const char *word, enum nsm_pg_crossing_kind *ret)
{
    for (size_t i = 0; i < NSM_COUNT_OF(crossing_words); i++) {
        if (strcmp(crossing_words[i], word) != 0)
            continue;
        *ret = (enum nsm_pg_crossing_kind)i;
        return true;
    }
    return false;
}

static void take_crossing(struct nsm_source *source, const PGresult *result, int row)
{
    struct nsm_pg_source *const state = source->state;
    struct nsm_pg_crossing *const crossing = &state->crossings[state->n_crossings++];
    *crossing = (struct nsm_pg_crossing){
        .type = nsm_arena_strdup(&state->arena, PQgetvalue(result, row, 2)),
        .name = nsm_arena_strdup(&state->arena, PQgetvalue(result, row, 3)),
        .by = nsm_arena_strdup(&state->arena, PQgetvalue(result, row, 4)),
        .is_foreign_key = nsm_pg_get_bool(result, row, 5),
    };
    (void)nsm_pg_crossing_parse(PQgetvalue(result, row, 1), &crossing->kind);
    /* Owners of tables are known already. */
    for (size_t i = 0; i < state->n_owners && crossing->kind == NSM_PG_OWNER; i++) {
        if (strcmp(state->owners[i], crossing->name) == 0) {
            state->n_crossings--;
            return;
        }
    }
    note(source, crossing);
}

/* The rows come in bytewise order of the schemas. */
static int first_row(const PGresult *result, const char *schema)
{
    int low = 0;
    int high = PQntuples(result);
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (strcmp(PQgetvalue(result, middle, 0), schema) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void take_crossings(struct nsm_source *source, const PGresult *result)
{
    struct nsm_pg_source *const state = source->state;
    const int begin = first_row(result, state->selection.schema);
    int end = begin;
    while (end < PQntuples(result) &&
           strcmp(PQgetvalue(result, end, 0), state->selection.schema) == 0)
        end++;
    state->crossings =
        nsm_arena_calloc(&state->arena, (size_t)(end - begin), sizeof(*state->crossings));
    for (int row = begin; row < end; row++)
        take_crossing(source, result, row);
}

struct nsm_error *nsm_pg_border_survey(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                       struct nsm_source **sources, size_t n_sources)
{
    static const char sql[] = INSIDE OUTGOING INCOMING SURROUNDINGS TEXTS " ORDER BY 1, 2, 3, 4, 5";
    struct nsm_buf schemas NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    size_t n_whole = 0;
    nsm_pg_array_begin(&schemas);
    for (size_t i = 0; i < n_sources; i++) {
        if (!is_whole_schema(sources[i]))
            continue;
        nsm_pg_array_add(&schemas,
                         ((const struct nsm_pg_source *)sources[i]->state)->selection.schema);
        n_whole++;
    }
    nsm_pg_array_end(&schemas);
    NSM_TRY(nsm_buf_error(&schemas));
    if (!n_whole)
        return NULL;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    const char *const params[] = {schemas.ptr};
    NSM_TRY_WRAP(nsm_pg_query(conn, ctx, sql, params, 1, &result),
                 "look at what crosses the schemas' borders");
    for (size_t i = 0; i < n_sources; i++) {
        if (is_whole_schema(sources[i]))
            take_crossings(sources[i], result);
    }
    return NULL;
}

/* ---- the destination ---- */

/* The crossings of a destination that makes something; NULL: none. */
static const struct nsm_pg_source *crossings_of(const struct nsm_destination *destination)
{
    const struct nsm_pg_destination *const state = destination->state;
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    bool makes_any = state->n_tables == 0;
    for (size_t i = 0; i < state->n_tables; i++)
        makes_any = makes_any || !state->tables[i].is_kept;
    return source && state->has_definition && makes_any ? source : NULL;
}

static bool is_renamed(const struct nsm_pg_destination *state)
{
    return state->from_schema && strcmp(state->from_schema, state->to_schema) != 0;
}

static void add_missing(struct nsm_destination *destination, const char *database,
                        const struct nsm_pg_crossing *crossing)
{
    struct nsm_findings *const findings = &destination->target.findings;
    switch (crossing->kind) {
    case NSM_PG_NEED:
        if (!crossing->is_foreign_key)
            nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                             "%s %s does not exist in database %s, and %s needs it: bring it there "
                             "first",
                             crossing->type, crossing->name, database, crossing->by);
        return;
    case NSM_PG_EXTENSION:
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "extension %s is not in schema %s of database %s, and %s needs it: CREATE "
                         "EXTENSION %s SCHEMA %s",
                         crossing->name, crossing->type, database, crossing->by, crossing->name,
                         crossing->type);
        return;
    case NSM_PG_GRANT:
        nsm_findings_add(findings, NSM_FINDING_LOSS, "grants", 1,
                         "role %s does not exist there: its rights, as on %s, are lost",
                         crossing->name, crossing->by);
        return;
    case NSM_PG_POLICY:
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "role %s does not exist there, and %s is for it: create it first",
                         crossing->name, crossing->by);
        return;
    case NSM_PG_OWNER:
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "role %s does not exist there: what it owns, as %s, will belong to who "
                         "makes it",
                         crossing->name, crossing->by);
        return;
    case NSM_PG_USED:
    case NSM_PG_CAST:
    case NSM_PG_PARTITION:
    case NSM_PG_TABLESPACE:
    case NSM_PG_PUBLICATION:
    case NSM_PG_TEXT:
        return;
    }
}

/* What a new name does not reach. */
static void look_at_rename(struct nsm_destination *destination,
                           const struct nsm_pg_crossing *crossing)
{
    const struct nsm_pg_destination *const state = destination->state;
    struct nsm_findings *const findings = &destination->target.findings;
    if (!is_renamed(state))
        return;
    if (crossing->kind == NSM_PG_TEXT)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1,
                         "%s has the name of schema %s in its text, which stays as it is: look "
                         "after it when the schema is %s",
                         crossing->name, state->from_schema, state->to_schema);
    if (crossing->kind == NSM_PG_EXTENSION && strcmp(crossing->type, state->from_schema) == 0)
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "extension %s, which %s needs, lies in schema %s itself, and can't get "
                         "another name with it: ALTER EXTENSION %s SET SCHEMA first",
                         crossing->name, crossing->by, state->from_schema, crossing->name);
}

struct wishes {
    struct nsm_buf kinds, names, schemas; /* arrays, index by index */
};

static void wishes_release(struct wishes *wishes)
{
    nsm_buf_release(&wishes->kinds);
    nsm_buf_release(&wishes->names);
    nsm_buf_release(&wishes->schemas);
}

static void add_wish(struct wishes *wishes, const struct nsm_pg_crossing *crossing)
{
    const char *kind = "role";
    if (crossing->kind == NSM_PG_NEED)
        kind = crossing->type;
    else if (crossing->kind == NSM_PG_EXTENSION)
        kind = "extension";
    nsm_pg_array_add(&wishes->kinds, kind);
    nsm_pg_array_add(&wishes->names, crossing->name);
    nsm_pg_array_add(&wishes->schemas, crossing->type);
}

static bool is_wish(const struct nsm_pg_crossing *crossing)
{
    static const bool wishes[] = {
        [NSM_PG_NEED] = true,   [NSM_PG_EXTENSION] = true, [NSM_PG_GRANT] = true,
        [NSM_PG_POLICY] = true, [NSM_PG_OWNER] = true,     [NSM_PG_PUBLICATION] = false,
    };
    return wishes[crossing->kind];
}

static struct nsm_error *find_missing(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      struct wishes *wishes, PGresult **ret)
{
    static const char sql[] =
        "SELECT CASE WHEN kind = 'role' THEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)"
        " WHEN kind = 'extension' THEN NOT EXISTS (SELECT FROM pg_extension e JOIN pg_namespace n"
        "  ON n.oid = e.extnamespace WHERE e.extname = name AND n.nspname = schema)"
        " WHEN kind IN ('function', 'procedure', 'aggregate') THEN to_regprocedure(name) IS NULL"
        " WHEN kind = 'operator' THEN to_regoperator(name) IS NULL"
        " WHEN kind = 'type' THEN to_regtype(name) IS NULL"
        " WHEN kind IN ('table', 'view', 'materialized view', 'sequence', 'foreign table',"
        "  'composite type') THEN to_regclass(name) IS NULL ELSE false END, current_database() "
        "FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY x(kind, name, schema, at)"
        " ORDER BY at";
    nsm_pg_array_end(&wishes->kinds);
    nsm_pg_array_end(&wishes->names);
    nsm_pg_array_end(&wishes->schemas);
    NSM_TRY(nsm_buf_error(&wishes->kinds));
    NSM_TRY(nsm_buf_error(&wishes->names));
    NSM_TRY(nsm_buf_error(&wishes->schemas));
    const char *const params[] = {wishes->kinds.ptr, wishes->names.ptr, wishes->schemas.ptr};
    return nsm_error_wrap(nsm_pg_query(conn, ctx, sql, params, NSM_COUNT_OF(params), ret),
                          "look for what must be there");
}

struct nsm_error *nsm_pg_border_inspect(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                        struct nsm_destination **destinations,
                                        size_t n_destinations)
{
    struct wishes wishes NSM_CLEANUP(wishes_release) = {NSM_BUF_TEXT, NSM_BUF_TEXT, NSM_BUF_TEXT};
    nsm_pg_array_begin(&wishes.kinds);
    nsm_pg_array_begin(&wishes.names);
    nsm_pg_array_begin(&wishes.schemas);
    for (size_t i = 0; i < n_destinations; i++) {
        const struct nsm_pg_source *const source = crossings_of(destinations[i]);
        for (size_t k = 0; source && k < source->n_crossings; k++) {
            look_at_rename(destinations[i], &source->crossings[k]);
            if (is_wish(&source->crossings[k]))
                add_wish(&wishes, &source->crossings[k]);
        }
    }
    PGresult *missing NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(find_missing(conn, ctx, &wishes, &missing));
    int row = 0;
    for (size_t i = 0; i < n_destinations; i++) {
        const struct nsm_pg_source *const source = crossings_of(destinations[i]);
        for (size_t k = 0; source && k < source->n_crossings; k++) {
            if (!is_wish(&source->crossings[k]))
                continue;
            if (nsm_pg_get_bool(missing, row, 0))
                add_missing(destinations[i], PQgetvalue(missing, row, 1), &source->crossings[k]);
            row++;
        }
    }
    return NULL;
}
