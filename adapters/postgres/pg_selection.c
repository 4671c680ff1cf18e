/*
 * Selections. Names are taken as they are written: a plan is not SQL, so nothing is folded to lower
 * case.
 */
#include "adapters/postgres/pg_selection.h"

#include "adapters/postgres/pg_text.h"
#include "migrate/base/parse.h"

/* Cuts one part off: up to a dot, or a quoted name. *ret_is_quoted tells whether it was quoted. */
static bool next_part(struct nsm_str *rest, struct nsm_buf *part, bool *ret_is_quoted)
{
    nsm_buf_clear(part);
    *ret_is_quoted = rest->len && rest->ptr[0] == '"';
    if (!*ret_is_quoted) {
        const char *const dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
        const size_t len = dot ? (size_t)(dot - rest->ptr) : rest->len;
        nsm_buf_append(part, rest->ptr, len);
        *rest = nsm_str_skip(*rest, len);
        return part->len > 0;
    }
    size_t i = 1;
    for (; i < rest->len; i++) {
        if (rest->ptr[i] == '"') {
            if (i + 1 >= rest->len || rest->ptr[i + 1] != '"')
                break;
            i++;
        }
        nsm_buf_append_char(part, rest->ptr[i]);
    }
    if (i >= rest->len)
        return false;
    *rest = nsm_str_skip(*rest, i + 1);
    return part->len > 0;
}

static bool is_glob(const char *text)
{
    return strpbrk(text, "*?[\\") != NULL;
}

struct nsm_error *nsm_pg_pattern_parse(struct nsm_arena *arena, const char *text, bool allow_globs,
                                       struct nsm_pg_pattern *ret)
{
    struct nsm_buf part NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_str rest = nsm_str_of(text);
    const char *parts[2] = {NULL, NULL};
    bool globs[2] = {false, false};
    size_t n = 0;
    bool is_good = true;
    while (is_good && n < 2) {
        bool is_quoted = false;
        is_good = next_part(&rest, &part, &is_quoted);
        parts[n] = nsm_arena_copy(arena, nsm_buf_view(&part)).ptr;
        globs[n] = allow_globs && !is_quoted && is_glob(parts[n]);
        n++;
        if (!rest.len || n == 2)
            break;
        is_good = is_good && rest.ptr[0] == '.';
        rest = nsm_str_skip(rest, 1);
    }
    if (!is_good || rest.len)
        return nsm_error_new(NSM_E_INVALID,
                             "\"%s\" is not a table's name: expected schema.table, a part that "
                             "holds a dot in double quotes",
                             text);
    *ret = (struct nsm_pg_pattern){
        .text = text,
        .schema = n == 2 ? parts[0] : "public",
        .is_schema_glob = n == 2 && globs[0],
        .name = parts[n - 1],
        .is_name_glob = globs[n - 1],
    };
    return NULL;
}

struct nsm_error *nsm_pg_selection_parse(struct nsm_arena *arena,
                                         const struct nsm_settings *settings,
                                         struct nsm_pg_selection *ret)
{
    *ret = (struct nsm_pg_selection){
        .schema = nsm_settings_string(settings, "schema"),
        .where = nsm_settings_string(settings, "where"),
    };
    const char *const table = nsm_settings_string(settings, "table");
    const size_t n_list = nsm_settings_list_size(settings, "tables");
    const size_t n = n_list + (table ? 1 : 0);
    if (!ret->schema && !n)
        return nsm_error_new(NSM_E_INVALID,
                             "the source selects nothing: give one of schema, table, tables");
    if (ret->schema && nsm_pg_is_system_schema(ret->schema))
        return nsm_error_new(NSM_E_INVALID, "schema %s is the server's or nsmigrate's own",
                             ret->schema);
    ret->patterns = nsm_arena_calloc(arena, n, sizeof(*ret->patterns));
    if (table)
        NSM_TRY_WRAP(nsm_pg_pattern_parse(arena, table, false, &ret->patterns[ret->n_patterns++]),
                     "option table");
    for (size_t i = 0; i < n_list; i++)
        NSM_TRY_WRAP(nsm_pg_pattern_parse(arena, nsm_settings_list_at(settings, "tables", i), true,
                                          &ret->patterns[ret->n_patterns++]),
                     "option tables");
    return NULL;
}

bool nsm_pg_selection_schemas(const struct nsm_pg_selection *selection, struct nsm_buf *schemas)
{
    if (selection->schema) {
        nsm_pg_array_add(schemas, selection->schema);
        return true;
    }
    for (size_t i = 0; i < selection->n_patterns; i++) {
        if (selection->patterns[i].is_schema_glob)
            return false;
        nsm_pg_array_add(schemas, selection->patterns[i].schema);
    }
    return true;
}

/* ---- matching ---- */

static bool is_table(const struct nsm_pg_relation *relation)
{
    return relation->kind == 'r' || relation->kind == 'p' || relation->kind == 'f';
}

static const char *kind_name(const struct nsm_pg_relation *relation)
{
    switch (relation->kind) {
    case 'v':
        return "a view";
    case 'm':
        return "a materialized view";
    case 'S':
        return "a sequence";
    default:
        return "no table";
    }
}

/* Marks those of relations[begin, begin + n) that match; returns how many. */
static size_t mark(const struct nsm_pg_pattern *pattern, const struct nsm_pg_catalog *catalog,
                   const struct nsm_pg_relation *begin, size_t n, bool *is_selected)
{
    size_t n_marked = 0;
    for (const struct nsm_pg_relation *relation = begin; relation < begin + n; relation++) {
        if (!is_table(relation) || relation->is_of_extension)
            continue;
        if (pattern && pattern->is_schema_glob &&
            !nsm_glob_matches(nsm_str_of(pattern->schema), nsm_str_of(relation->schema)))
            continue;
        if (pattern && !nsm_glob_matches(nsm_str_of(pattern->name), nsm_str_of(relation->name)))
            continue;
        is_selected[relation - catalog->relations] = true;
        n_marked++;
    }
    return n_marked;
}

static struct nsm_error *match_name(const struct nsm_pg_pattern *pattern,
                                    const struct nsm_pg_catalog *catalog, bool *is_selected)
{
    const struct nsm_pg_relation *const relation =
        nsm_pg_catalog_find(catalog, pattern->schema, pattern->name);
    if (!relation)
        return nsm_error_new(NSM_E_NOTFOUND, "table %s.%s does not exist in database %s",
                             pattern->schema, pattern->name, catalog->database);
    if (!is_table(relation))
        return nsm_error_new(NSM_E_UNSUPPORTED, "%s.%s is %s: only tables are copied",
                             pattern->schema, pattern->name, kind_name(relation));
    is_selected[relation - catalog->relations] = true;
    return NULL;
}

static struct nsm_error *match_pattern(const struct nsm_pg_pattern *pattern,
                                       const struct nsm_pg_catalog *catalog, bool *is_selected,
                                       struct nsm_findings *findings)
{
    if (!pattern->is_schema_glob && !pattern->is_name_glob)
        return match_name(pattern, catalog, is_selected);
    size_t n = catalog->n_relations;
    const struct nsm_pg_relation *begin = catalog->relations;
    if (!pattern->is_schema_glob)
        begin = nsm_pg_catalog_of_schema(catalog, pattern->schema, &n);
    if (mark(pattern, catalog, begin, n, is_selected) == 0)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1, "no table matches %s", pattern->text);
    return NULL;
}

static void mark_partitions(const struct nsm_pg_catalog *catalog, bool *is_selected)
{
    for (size_t i = 0; i < catalog->n_relations; i++) {
        const struct nsm_pg_relation *at = catalog->relations[i].parent;
        while (at && !is_selected[i]) {
            is_selected[i] = is_selected[at - catalog->relations];
            at = at->parent;
        }
    }
}

static struct nsm_error *match_schema(const struct nsm_pg_selection *selection,
                                      const struct nsm_pg_catalog *catalog, bool *is_selected,
                                      struct nsm_findings *findings)
{
    if (!nsm_pg_catalog_schema(catalog, selection->schema))
        return nsm_error_new(NSM_E_NOTFOUND, "schema %s does not exist in database %s",
                             selection->schema, catalog->database);
    size_t n = 0;
    const struct nsm_pg_relation *const begin =
        nsm_pg_catalog_of_schema(catalog, selection->schema, &n);
    if (mark(NULL, catalog, begin, n, is_selected) == 0)
        nsm_findings_add(findings, NSM_FINDING_NOTE, "", 1, "schema %s holds no tables",
                         selection->schema);
    return NULL;
}

struct nsm_error *nsm_pg_selection_match(const struct nsm_pg_selection *selection,
                                         const struct nsm_pg_catalog *catalog, bool *is_selected,
                                         struct nsm_findings *findings)
{
    if (selection->schema)
        return match_schema(selection, catalog, is_selected, findings);
    for (size_t i = 0; i < selection->n_patterns; i++)
        NSM_TRY(match_pattern(&selection->patterns[i], catalog, is_selected, findings));
    mark_partitions(catalog, is_selected);
    return NULL;
}

/* ---- names for for_each ---- */

struct nsm_error *nsm_pg_list(struct nsm_backend *backend, struct nsm_context *ctx, const char *key,
                              const char *glob, nsm_name_fn *fn, void *arg)
{
    static const char schemas[] =
        "SELECT n.nspname FROM pg_namespace n WHERE n.nspname !~ '^pg_'"
        " AND n.nspname NOT IN ('information_schema', 'nsmigrate') ORDER BY 1";
    static const char tables[] =
        "SELECT n.nspname || '.' || c.relname FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_'"
        " AND n.nspname NOT IN ('information_schema', 'nsmigrate') AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition AND strpos(n.nspname || c.relname, '.') = 0"
        " AND strpos(n.nspname || c.relname, '\"') = 0 ORDER BY n.nspname, c.relname";
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)backend, ctx, &conn));
    NSM_TRY(
        nsm_pg_query(conn, ctx, strcmp(key, "schema") == 0 ? schemas : tables, NULL, 0, &result));
    for (int row = 0; row < PQntuples(result); row++) {
        const char *const name = PQgetvalue(result, row, 0);
        if (nsm_glob_matches(nsm_str_of(glob), nsm_str_of(name)))
            fn(arg, name);
    }
    return NULL;
}
