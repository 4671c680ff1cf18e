/*
 * Hundreds of tables or sequences are asked with one statement, of whatever namespaces. But tables
 * with a condition are asked one by one, because the condition is the plan's, and an error must say
 * for which table.
 *
 * Small tables are counted, because estimates of small tables that were never analyzed are poor and
 * the first thing that a new user compares. Sequences are under no snapshot, so what is read of them
 * is never behind the rows.
 */
#include "adapters/postgres/pg_values.h"

#include "adapters/postgres/pg_text.h"

#define MAX_COUNTED_BYTES  ((uint64_t)1 << 20)
#define MAX_COUNTED_TABLES 1000
#define MAX_PER_STATEMENT  200

struct question {
    struct nsm_source *source;
    size_t index; /* of an object, or a sequence */
};

struct asking {
    struct nsm_pg_conn *conn;
    struct nsm_context *ctx;
    size_t block_bytes;
    struct nsm_buf sql; /* a UNION of the questions */
    struct question questions[MAX_PER_STATEMENT];
    size_t n_questions, n_counted;
};

typedef void answer_fn(const struct question *question, const PGresult *result, int row);

static struct nsm_error *flush(struct asking *asking, answer_fn *answer)
{
    if (!asking->n_questions)
        return NULL;
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY(nsm_buf_error(&asking->sql));
    NSM_TRY(nsm_pg_query(asking->conn, asking->ctx, asking->sql.ptr, NULL, 0, &result));
    for (int row = 0; row < PQntuples(result); row++) {
        const size_t at = (size_t)nsm_pg_get_u64(result, row, 0);
        if (at < asking->n_questions)
            answer(&asking->questions[at], result, row);
    }
    asking->n_questions = 0;
    nsm_buf_clear(&asking->sql);
    return NULL;
}

/* Adds "SELECT <number of the question>, <columns> FROM <table>". */
static void ask(struct asking *asking, struct nsm_source *source, size_t index, const char *columns,
                const char *only, const struct nsm_pg_name *table)
{
    nsm_buf_printf(&asking->sql, "%sSELECT %zu, %s FROM %s",
                   asking->n_questions ? " UNION ALL " : "", asking->n_questions, columns, only);
    nsm_pg_quote_qualified(&asking->sql, table->schema, table->name);
    asking->questions[asking->n_questions++] = (struct question){source, index};
}

/* ---- sequences ---- */

static void take_sequence(const struct question *question, const PGresult *result, int row)
{
    struct nsm_pg_source *const state = question->source->state;
    struct nsm_pg_sequence *const sequence = &state->sequences[question->index];
    sequence->last_value = nsm_arena_strdup(&state->arena, PQgetvalue(result, row, 1));
    sequence->is_called = nsm_pg_get_bool(result, row, 2);
}

static struct nsm_error *ask_sequences(struct asking *asking, struct nsm_source *source)
{
    const struct nsm_pg_source *const state = source->state;
    if (source->written || (source->flags & (NSM_SURVEY_VALUE_TYPES | NSM_SURVEY_COUNT_ONLY)))
        return NULL;
    for (size_t i = 0; i < state->n_sequences; i++) {
        if (asking->n_questions == MAX_PER_STATEMENT)
            NSM_TRY(flush(asking, take_sequence));
        ask(asking, source, i, "last_value, is_called", "", &state->sequences[i].name);
    }
    return NULL;
}

/* ---- counts ---- */

static void take_count(const struct question *question, const PGresult *result, int row)
{
    struct nsm_object *const object = &question->source->census.objects[question->index];
    object->n_records = nsm_pg_get_u64(result, row, 1);
    object->is_exact = true;
}

/* Whether something is the matter with the source's tables: then they may not be readable. */
static bool has_refusal(const struct nsm_findings *findings)
{
    for (size_t i = 0; i < findings->n_items; i++) {
        if (findings->items[i].kind == NSM_FINDING_REFUSAL)
            return true;
    }
    return false;
}

static bool is_small(const struct asking *asking, const struct nsm_source *source, size_t i)
{
    const struct nsm_pg_source *const state = source->state;
    return nsm_pg_count_blocks(&state->tables[i]) * asking->block_bytes <= MAX_COUNTED_BYTES;
}

static struct nsm_error *ask_counts(struct asking *asking, struct nsm_source *source)
{
    const struct nsm_pg_source *const state = source->state;
    if (source->written || state->selection.where || has_refusal(&source->census.findings))
        return NULL;
    for (size_t i = 0; i < source->census.n_objects; i++) {
        const struct nsm_object *const object = &source->census.objects[i];
        if (object->is_exact || !is_small(asking, source, i) ||
            asking->n_counted >= MAX_COUNTED_TABLES)
            continue;
        if (asking->n_questions == MAX_PER_STATEMENT)
            NSM_TRY(flush(asking, take_count));
        const struct nsm_pg_name name = {object->schema, object->name};
        ask(asking, source, i, "count(*)", state->tables[i].is_partitioned ? "" : "ONLY ", &name);
        asking->n_counted++;
    }
    return NULL;
}

/* ---- conditions ---- */

/* Counts a small table; of a large one only looks whether the condition is one. */
static struct nsm_error *try_condition(struct asking *asking, struct nsm_source *source, size_t i)
{
    const struct nsm_pg_source *const state = source->state;
    struct nsm_object *const object = &source->census.objects[i];
    const bool is_counted = is_small(asking, source, i);
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&sql, "SELECT %s FROM %s", is_counted ? "0, count(*)" : "",
                   state->tables[i].is_partitioned ? "" : "ONLY ");
    nsm_pg_quote_qualified(&sql, object->schema, object->name);
    nsm_buf_printf(&sql, " WHERE (%s\n)%s", state->selection.where, is_counted ? "" : " LIMIT 0");
    PGresult *result NSM_CLEANUP(nsm_pg_resultp) = NULL;
    NSM_TRY_WRAP(nsm_pg_query(asking->conn, asking->ctx, sql.ptr, NULL, 0, &result),
                 "option where, for table %s.%s", object->schema, object->name);
    if (is_counted)
        take_count(&(struct question){source, i}, result, 0);
    return NULL;
}

static struct nsm_error *try_conditions(struct asking *asking, struct nsm_source *source)
{
    const struct nsm_pg_source *const state = source->state;
    if (source->written || !state->selection.where || has_refusal(&source->census.findings))
        return NULL;
    for (size_t i = 0; i < source->census.n_objects; i++)
        NSM_TRY(try_condition(asking, source, i));
    return NULL;
}

static void asking_release(struct asking *asking)
{
    nsm_buf_release(&asking->sql);
}

struct nsm_error *nsm_pg_read_values(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                     struct nsm_source **sources, size_t n_sources,
                                     size_t block_bytes)
{
    struct asking asking NSM_CLEANUP(asking_release) = {
        .conn = conn,
        .ctx = ctx,
        .block_bytes = block_bytes,
        .sql = NSM_BUF_TEXT,
    };
    for (size_t i = 0; i < n_sources; i++)
        NSM_TRY_WRAP(ask_sequences(&asking, sources[i]), "read the sequences");
    NSM_TRY_WRAP(flush(&asking, take_sequence), "read the sequences");
    for (size_t i = 0; i < n_sources; i++)
        NSM_TRY_WRAP(ask_counts(&asking, sources[i]), "count the rows of small tables");
    NSM_TRY_WRAP(flush(&asking, take_count), "count the rows of small tables");
    for (size_t i = 0; i < n_sources; i++)
        NSM_TRY(try_conditions(&asking, sources[i]));
    return NULL;
}
