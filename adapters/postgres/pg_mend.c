/*
 * Definitions that repair brings to the destination: the values of sequences, and missing indexes and constraints, whose texts
 * (pg_describe_sql.c) are statements for a search_path that leads to their schema. All else, and what is there but different, is left to
 * people.
 */
#include "adapters/postgres/pg_describe.h"

#include "adapters/postgres/pg_names.h"
#include "adapters/postgres/pg_text.h"

static const char *kind_of(const struct nsm_change *change)
{
    return change->wanted->kind;
}

/* The one schema that all of it is in; NULL: there are several, or texts that name the table by another name. */
static const char *only_schema(const struct nsm_destination *destination)
{
    const struct nsm_pg_source *const source = destination->source->state;
    const struct nsm_pg_destination *const state = destination->state;
    if (state->renames_table || source->n_relations == 0)
        return NULL;
    for (size_t i = 1; i < source->n_relations; i++) {
        if (strcmp(source->relations[i].schema, source->relations[0].schema) != 0)
            return NULL;
    }
    return nsm_pg_target_name(state, &source->relations[0]).schema;
}

/* ---- sequences ---- */

/* "41 false" */
static void write_setval(struct nsm_buf *sql, const char *schema, const struct nsm_change *change)
{
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const char *const text = change->wanted->text;
    const size_t digits = strcspn(text, " ");
    nsm_pg_quote_qualified(&name, schema, change->wanted->name);
    nsm_buf_append_cstr(sql, "SELECT setval(");
    nsm_pg_quote_literal(sql, nsm_buf_view(&name));
    nsm_buf_printf(sql, "::regclass, %.*s,%s)", (int)digits, text, text + digits);
}

/* ---- indexes and constraints ---- */

/* A partitioned table's are made of those of its partitions, which takes more than one statement. */
static bool is_statement(const struct nsm_change *change)
{
    return change->is_missing && change->wanted->text[0] &&
           !strstr(change->wanted->text, " ON ONLY ") &&
           (strcmp(kind_of(change), "index") == 0 || strcmp(kind_of(change), "constraint") == 0);
}

/* A parent's may have brought it. */
static void write_statement(struct nsm_buf *sql, const char *schema,
                            const struct nsm_change *change)
{
    struct nsm_buf block NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&block, "BEGIN EXECUTE ");
    nsm_pg_quote_literal(&block, nsm_str_of(change->wanted->text));
    nsm_buf_append_cstr(&block, "; EXCEPTION WHEN duplicate_object OR duplicate_table OR"
                                " invalid_table_definition THEN NULL; END");
    nsm_buf_append_cstr(sql, "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL search_path = ");
    nsm_pg_quote_ident(sql, schema);
    nsm_buf_append_cstr(sql, ", pg_catalog; DO ");
    nsm_pg_quote_literal(sql, nsm_buf_view(&block));
    nsm_buf_append_cstr(sql, "; COMMIT");
}

/* ---- the whole ---- */

/* In this order: values; then what foreign keys need; then these. */
enum turn {
    TURN_VALUES,
    TURN_KEYS,
    TURN_FOREIGN_KEYS,
    TURN_NEVER,
};

static enum turn turn_of(const struct nsm_change *change)
{
    if (strcmp(kind_of(change), "sequence value") == 0)
        return TURN_VALUES;
    if (!is_statement(change))
        return TURN_NEVER;
    return strstr(change->wanted->text, " FOREIGN KEY (") ? TURN_FOREIGN_KEYS : TURN_KEYS;
}

static struct nsm_error *mend_one(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                  const char *schema, const struct nsm_change *change)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    if (turn_of(change) == TURN_VALUES)
        write_setval(&sql, schema, change);
    else
        write_statement(&sql, schema, change);
    NSM_TRY(nsm_buf_error(&sql));
    return nsm_error_wrap(nsm_pg_exec(conn, ctx, sql.ptr), "%s %s", kind_of(change),
                          change->wanted->name);
}

struct nsm_error *nsm_pg_mend(struct nsm_destination *destination, struct nsm_context *ctx,
                              const struct nsm_change *changes, size_t n_changes)
{
    const char *const schema = only_schema(destination);
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    if (!schema)
        return NULL;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)destination->backend, ctx, &conn));
    for (enum turn turn = TURN_VALUES; turn < TURN_NEVER; turn++) {
        for (size_t i = 0; i < n_changes; i++) {
            if (turn_of(&changes[i]) == turn)
                NSM_TRY(mend_one(conn, ctx, schema, &changes[i]));
        }
    }
    return NULL;
}
