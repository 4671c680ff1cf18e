/*
 * What is cheaper after the rows. Each step commits together with the note that it is done, so a
 * step that is run again sees by the destination's own word that there is nothing to do.
 *
 *   phase 0   keys and indexes, a step each: several at once, each as soon as its table is full
 *   phase 1   partitions of indexes, then foreign keys, one after the other: each locks two tables
 *   phase 2   the checks that may look into other tables
 *   phase 3   everything else of the definition in its order: triggers, rules, policies, comments,
 *             then the sequences' values
 *   phase 4   materialized views in the order in which they build on each other
 *   phase 5   ANALYZE, a step per table
 */
#include "adapters/postgres/pg_claim.h"
#include "adapters/postgres/pg_items.h"
#include "adapters/postgres/pg_later.h"
#include "adapters/postgres/pg_matview.h"
#include "adapters/postgres/pg_names.h"
#include "adapters/postgres/pg_share.h"

#include "adapters/postgres/pg_text.h"
#include "migrate/base/alloc.h"

enum step_kind {
    STEP_ITEMS, /* of the definition, one after the other */
    STEP_KEY,   /* the primary key of a table made from columns */
    STEP_CHECKS,
    STEP_SEQUENCES,
    STEP_MATVIEWS,
    STEP_ANALYZE,
};

struct step_state {
    enum step_kind kind;
    const struct nsm_pg_item *items;     /* STEP_ITEMS */
    const char **keys;                   /* of the items, in nsmigrate.done */
    const struct nsm_pg_name **matviews; /* STEP_MATVIEWS: the source's */
    size_t n_items;
};

/* ---- the plan ---- */

struct planning {
    const struct nsm_destination *destination;
    const struct nsm_pg_destination *state;
    struct nsm_finish_plan *plan;
    size_t cap_steps;
    const struct nsm_pg_definition *definition;
};

static struct nsm_finish_step *add_step(struct planning *planning, unsigned phase, size_t object,
                                        enum step_kind kind)
{
    struct nsm_finish_plan *const plan = planning->plan;
    if (plan->n_steps == planning->cap_steps) {
        const size_t cap = planning->cap_steps ? planning->cap_steps * 2 : 64;
        struct nsm_finish_step *const steps = nsm_arena_calloc(&plan->arena, cap, sizeof(*steps));
        if (plan->n_steps)
            memcpy(steps, plan->steps, plan->n_steps * sizeof(*steps));
        plan->steps = steps;
        planning->cap_steps = cap;
    }
    struct step_state *const state = nsm_arena_calloc(&plan->arena, 1, sizeof(*state));
    state->kind = kind;
    struct nsm_finish_step *const step = &plan->steps[plan->n_steps++];
    *step = (struct nsm_finish_step){.phase = phase, .object = object, .state = state};
    if (object != NSM_NO_OBJECT)
        step->weight = planning->destination->shape->objects[object].n_bytes;
    return step;
}

/* A title can come twice (overloaded functions' comments); so its place among its like is in the
 * key. */
static const char *item_key(const struct planning *planning, const struct nsm_pg_item *item)
{
    size_t n_before = 0;
    for (const struct nsm_pg_item *at = planning->definition->after.items; at < item; at++)
        n_before += strcmp(at->title, item->title) == 0;
    return nsm_arena_printf(&planning->plan->arena, "%zu %s", n_before, item->title);
}

/* The object whose table has this dump id. After a rename the archive has the new names. */
static size_t object_of_table(const struct planning *planning, uint64_t dump_id)
{
    const struct nsm_pg_item *table = NULL;
    for (size_t i = 0; i < planning->definition->before.n_items && !table; i++) {
        if (planning->definition->before.items[i].dump_id == dump_id &&
            strcmp(planning->definition->before.items[i].type, "TABLE") == 0)
            table = &planning->definition->before.items[i];
    }
    for (size_t i = 0; table && i < planning->state->n_tables; i++) {
        const struct nsm_pg_target *const target = &planning->state->tables[i];
        const struct nsm_pg_name *const name =
            planning->state->from_schema ? &target->to : &target->from;
        if (nsm_pg_item_is_named(table, name->name) && nsm_pg_item_is_in(table, name->schema))
            return i;
    }
    return NSM_NO_OBJECT;
}

static size_t object_of(const struct planning *planning, const struct nsm_pg_item *item)
{
    for (size_t i = 0; i < item->n_needs; i++) {
        const size_t object = object_of_table(planning, item->needs[i]);
        if (object != NSM_NO_OBJECT)
            return object;
    }
    return NSM_NO_OBJECT;
}

static unsigned phase_of(const struct nsm_pg_item *item)
{
    if (strcmp(item->type, "INDEX") == 0 || strcmp(item->type, "CONSTRAINT") == 0)
        return 0;
    if (strcmp(item->type, "INDEX ATTACH") == 0 || strcmp(item->type, "FK CONSTRAINT") == 0)
        return 1;
    return 3;
}

static void add_index_step(struct planning *planning, const struct nsm_pg_item *item)
{
    struct nsm_finish_step *const step =
        add_step(planning, 0, object_of(planning, item), STEP_ITEMS);
    struct step_state *const state = step->state;
    state->items = item;
    state->n_items = 1;
    state->keys = nsm_arena_calloc(&planning->plan->arena, 1, sizeof(char *));
    state->keys[0] = item_key(planning, item);
    step->text = nsm_arena_printf(&planning->plan->arena, "%s %s.%s",
                                  strcmp(item->type, "INDEX") == 0 ? "index" : "constraint",
                                  item->schema, item->name);
}

/* One step for all items of a phase, in their order. */
static void add_sequential_step(struct planning *planning, unsigned phase, const char *text)
{
    struct nsm_arena *const arena = &planning->plan->arena;
    const size_t n_all = planning->definition->after.n_items;
    struct nsm_pg_item *const items = nsm_arena_calloc(arena, n_all, sizeof(*items));
    const char **const keys = nsm_arena_calloc(arena, n_all, sizeof(*keys));
    size_t n = 0;
    for (size_t i = 0; i < n_all; i++) {
        const struct nsm_pg_item *const item = &planning->definition->after.items[i];
        if (phase_of(item) != phase || item->is_left_out)
            continue;
        keys[n] = item_key(planning, item);
        items[n++] = *item;
    }
    if (!n)
        return;
    struct nsm_finish_step *const step = add_step(planning, phase, NSM_NO_OBJECT, STEP_ITEMS);
    struct step_state *const state = step->state;
    state->items = items;
    state->keys = keys;
    state->n_items = n;
    step->text = nsm_arena_printf(arena, "%s (%zu)", text, n);
}

static struct nsm_error *add_checks(struct planning *planning, struct nsm_context *ctx)
{
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    size_t n = 0;
    NSM_TRY(nsm_pg_acquire((struct nsm_pg_backend *)planning->destination->backend, ctx, &conn));
    NSM_TRY(nsm_pg_later_count(conn, ctx, planning->destination, &n));
    if (n)
        add_step(planning, 2, NSM_NO_OBJECT, STEP_CHECKS)->text =
            nsm_arena_printf(&planning->plan->arena, "checks (%zu)", n);
    return NULL;
}

static void add_matviews(struct planning *planning)
{
    struct nsm_arena *const arena = &planning->plan->arena;
    const struct nsm_pg_source *const source = nsm_pg_source_of(planning->destination);
    const struct nsm_pg_name **const matviews =
        nsm_arena_calloc(arena, source->n_matviews, sizeof(struct nsm_pg_name *));
    bool *const is_found = nsm_arena_calloc(arena, source->n_matviews, sizeof(bool));
    size_t n = 0;
    for (size_t i = 0; i < planning->definition->before.n_items; i++) {
        const struct nsm_pg_item *const item = &planning->definition->before.items[i];
        for (size_t k = 0; k < source->n_matviews; k++) {
            if (is_found[k] || strcmp(item->type, "MATERIALIZED VIEW") != 0 ||
                !nsm_pg_item_is_named(item, source->matviews[k].name))
                continue;
            matviews[n++] = &source->matviews[k];
            is_found[k] = true;
            break;
        }
    }
    if (!n)
        return;
    struct nsm_finish_step *const step = add_step(planning, 4, NSM_NO_OBJECT, STEP_MATVIEWS);
    struct step_state *const state = step->state;
    state->matviews = matviews;
    state->n_items = n;
    step->text = nsm_arena_printf(arena, "materialized views (%zu)", n);
}

static struct nsm_error *plan_definition(struct planning *planning, struct nsm_context *ctx,
                                         const char *archive)
{
    NSM_TRY(nsm_pg_definition_load(planning->destination, ctx, archive, &planning->definition));
    for (size_t i = 0; i < planning->definition->after.n_items; i++) {
        const struct nsm_pg_item *const item = &planning->definition->after.items[i];
        if (phase_of(item) == 0 && !item->is_left_out)
            add_index_step(planning, item);
    }
    add_sequential_step(planning, 1, "foreign keys");
    NSM_TRY(add_checks(planning, ctx));
    add_sequential_step(planning, 3, "triggers, rules, policies, comments");
    if (nsm_pg_source_of(planning->destination))
        add_matviews(planning);
    return NULL;
}

static void plan_keys(struct planning *planning)
{
    for (size_t i = 0; i < planning->state->n_tables; i++) {
        const struct nsm_object *const object = &planning->destination->target.objects[i];
        if (planning->state->tables[i].is_kept || !object->n_key_columns)
            continue;
        struct nsm_finish_step *const step = add_step(planning, 0, i, STEP_KEY);
        struct step_state *const state = step->state;
        state->keys = nsm_arena_calloc(&planning->plan->arena, 1, sizeof(char *));
        step->text = nsm_arena_printf(&planning->plan->arena, "primary key of %s.%s",
                                      object->schema, object->name);
        state->keys[0] = step->text;
    }
}

static void plan_analyze(struct planning *planning)
{
    for (size_t i = 0; i < planning->state->n_tables; i++) {
        const struct nsm_object *const object = &planning->destination->target.objects[i];
        add_step(planning, 5, i, STEP_ANALYZE)->text =
            nsm_arena_printf(&planning->plan->arena, "analyze %s.%s", object->schema, object->name);
    }
}

static bool keeps_all(const struct nsm_pg_destination *state)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        if (!state->tables[i].is_kept)
            return false;
    }
    return state->n_tables > 0;
}

struct nsm_error *nsm_pg_plan_finish(struct nsm_destination *destination, struct nsm_context *ctx,
                                     struct nsm_finish_plan *plan)
{
    const struct nsm_pg_destination *const state = destination->state;
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    struct planning planning = {.destination = destination, .state = state, .plan = plan};
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    if (!destination->definition) {
        plan_keys(&planning);
    } else if (!keeps_all(state)) {
        const char *const archive = state->from_schema ? nsm_pg_renamed_archive(destination, &arena)
                                                       : destination->definition;
        NSM_TRY(plan_definition(&planning, ctx, archive));
    }
    if (source && source->n_sequences)
        add_step(&planning, 3, NSM_NO_OBJECT, STEP_SEQUENCES)->text =
            nsm_arena_printf(&plan->arena, "sequences (%zu)", source->n_sequences);
    plan_analyze(&planning);
    return NULL;
}

/* ---- the steps ---- */

static struct nsm_error *begin(struct nsm_pg_conn *conn, struct nsm_context *ctx,
                               const struct nsm_pg_share *share)
{
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(
        &sql, "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL check_function_bodies = false; ");
    nsm_pg_share_append_settings(&sql, share);
    NSM_TRY(nsm_buf_error(&sql));
    return nsm_pg_exec(conn, ctx, sql.ptr);
}

/* A session at work on a step. */
struct work {
    const struct nsm_destination *destination;
    struct nsm_pg_conn *conn;
    struct nsm_pg_share share;
};

/* Runs `item`, or `sql`, in a transaction with the note that it is done; nothing when it was. */
static struct nsm_error *run_once(const struct work *work, struct nsm_context *ctx, const char *key,
                                  const struct nsm_pg_item *item, const char *sql)
{
    const struct nsm_destination *const destination = work->destination;
    struct nsm_pg_conn *const conn = work->conn;
    bool is_done = false;
    NSM_TRY(begin(conn, ctx, &work->share));
    NSM_TRY(nsm_pg_state_has(conn, ctx, destination, NSM_PG_DONE_STEP, key, &is_done));
    if (!is_done) {
        NSM_TRY(item ? nsm_pg_run_item(conn, ctx, destination, item) : nsm_pg_exec(conn, ctx, sql));
        NSM_TRY(nsm_pg_state_add(conn, ctx, destination, NSM_PG_DONE_STEP, key));
    }
    return nsm_pg_exec(conn, ctx, "COMMIT");
}

static struct nsm_error *run_key(const struct work *work, struct nsm_context *ctx,
                                 const struct nsm_finish_step *step)
{
    const struct step_state *const state = step->state;
    const struct nsm_object *const object = &work->destination->target.objects[step->object];
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "ALTER TABLE ");
    nsm_pg_quote_qualified(&sql, object->schema, object->name);
    nsm_buf_append_cstr(&sql, " ADD PRIMARY KEY (");
    for (size_t i = 0; i < object->n_key_columns; i++) {
        nsm_buf_append_cstr(&sql, i ? ", " : "");
        nsm_pg_quote_ident(&sql, object->columns[object->key_columns[i]].name);
    }
    nsm_buf_append_char(&sql, ')');
    return run_once(work, ctx, state->keys[0], NULL, sql.ptr);
}

/* One statement for all: where tables were kept, their sequences never go back. */
static struct nsm_error *run_sequences(const struct nsm_destination *destination,
                                       struct nsm_pg_conn *conn, struct nsm_context *ctx)
{
    const struct nsm_pg_destination *const state = destination->state;
    const struct nsm_pg_source *const source = nsm_pg_source_of(destination);
    const bool may_stand = destination->if_exists == NSM_IF_EXISTS_MERGE ||
                           destination->if_exists == NSM_IF_EXISTS_SKIP;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    struct nsm_buf name NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    NSM_TRY(nsm_pg_exec(conn, ctx, "BEGIN"));
    for (size_t i = 0; i < source->n_sequences; i++) {
        const struct nsm_pg_sequence *const sequence = &source->sequences[i];
        if (!sequence->last_value)
            continue;
        nsm_buf_clear(&sql);
        nsm_buf_clear(&name);
        const struct nsm_pg_name to = nsm_pg_target_name(state, &sequence->name);
        nsm_pg_quote_qualified(&name, to.schema, to.name);
        nsm_buf_append_cstr(&sql, "SELECT setval(x.oid, ");
        nsm_buf_printf(&sql, "%s, %s) FROM (SELECT to_regclass(", sequence->last_value,
                       sequence->is_called ? "true" : "false");
        nsm_pg_quote_literal(&sql, nsm_buf_view(&name));
        nsm_buf_append_cstr(&sql, ") AS oid) x WHERE x.oid IS NOT NULL");
        if (may_stand)
            nsm_buf_printf(&sql,
                           " AND %s > COALESCE(pg_sequence_last_value(x.oid), "
                           "-9223372036854775808)",
                           sequence->last_value);
        NSM_TRY_WRAP(nsm_pg_exec(conn, ctx, sql.ptr), "set sequence %s", name.ptr);
    }
    return nsm_pg_exec(conn, ctx, "COMMIT");
}

static struct nsm_error *run_matviews(const struct nsm_destination *destination,
                                      struct nsm_pg_conn *conn, struct nsm_context *ctx,
                                      const struct step_state *state)
{
    const struct nsm_pg_destination *const target = destination->state;
    for (size_t i = 0; i < state->n_items; i++) {
        const struct nsm_pg_name *const from = state->matviews[i];
        const struct nsm_pg_name to = nsm_pg_target_name(target, from);
        NSM_TRY(nsm_pg_matview_fill(destination, conn, ctx, from, &to));
    }
    return NULL;
}

static struct nsm_error *run_step(const struct work *work, struct nsm_context *ctx,
                                  const struct nsm_finish_step *step)
{
    const struct nsm_destination *const destination = work->destination;
    const struct step_state *const state = step->state;
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    switch (state->kind) {
    case STEP_ITEMS:
        for (size_t i = 0; i < state->n_items; i++)
            NSM_TRY(run_once(work, ctx, state->keys[i], &state->items[i], NULL));
        return NULL;
    case STEP_KEY:
        return run_key(work, ctx, step);
    case STEP_CHECKS:
        return nsm_pg_later_put_back(work->conn, ctx, destination);
    case STEP_SEQUENCES:
        return run_sequences(destination, work->conn, ctx);
    case STEP_MATVIEWS:
        return run_matviews(destination, work->conn, ctx, state);
    case STEP_ANALYZE:
        nsm_buf_append_cstr(&sql, "ANALYZE ");
        nsm_pg_quote_qualified(&sql, destination->target.objects[step->object].schema,
                               destination->target.objects[step->object].name);
        return nsm_pg_exec(work->conn, ctx, sql.ptr);
    }
    return NULL;
}

struct nsm_error *nsm_pg_finish_step(struct nsm_destination *destination, struct nsm_context *ctx,
                                     const struct nsm_finish_step *step)
{
    struct nsm_pg_backend *const backend = (struct nsm_pg_backend *)destination->backend;
    struct nsm_pg_conn *conn NSM_CLEANUP(nsm_pg_releasep) = NULL;
    NSM_TRY(nsm_pg_claim(destination, ctx));
    NSM_TRY(nsm_pg_acquire(backend, ctx, &conn));
    /* A step of several objects: foreign keys, whose checks join tables in the same memory. */
    const uint64_t bytes = step->object == NSM_NO_OBJECT ? UINT64_MAX : step->weight;
    struct work work = {
        .destination = destination,
        .conn = conn,
        .share = nsm_pg_share_take(backend, bytes),
    };
    struct nsm_error *const error = run_step(&work, ctx, step);
    nsm_pg_share_give_back(&work.share);
    return error;
}
