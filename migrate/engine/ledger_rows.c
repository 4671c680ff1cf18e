/*
 * The ledger's notes and questions as SQL. A namespace is found by its name in every statement,
 * rather than by an id that the engine would have to carry: the index makes it a matter of a
 * microsecond.
 */
#include "migrate/engine/ledger_rows.h"

#include "migrate/base/alloc.h"

/* ---- notes ---- */

static struct nsm_error *apply_run_status(struct nsm_ledger_db *db,
                                          const struct nsm_ledger_status_note *note)
{
    static const char sql[] = "UPDATE run SET status = ?1, error = ?2";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, note->status);
    nsm_ledger_bind_text(stmt, 2, note->error);
    return nsm_ledger_db_step(db, stmt, NULL);
}

struct nsm_error *nsm_ledger_apply_status(struct nsm_ledger_db *db, void *status_note)
{
    static const char sql[] = "UPDATE namespace SET status = ?2, error = ?3, "
                              "seconds = iif(?2 IS NULL, seconds, ?4) WHERE name = ?1";
    const struct nsm_ledger_status_note *const note = status_note;
    if (!note->name)
        return apply_run_status(db, note);
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, note->name);
    nsm_ledger_bind_text(stmt, 2, note->status);
    nsm_ledger_bind_text(stmt, 3, note->error);
    (void)sqlite3_bind_double(stmt, 4, note->seconds);
    return nsm_ledger_db_step(db, stmt, NULL);
}

struct nsm_error *nsm_ledger_apply_lane(struct nsm_ledger_db *db, void *lane_note)
{
    static const char sql[] = "UPDATE namespace SET lane = ?2 WHERE name = ?1";
    const struct nsm_ledger_lane_note *const note = lane_note;
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, note->name);
    nsm_ledger_bind_text(stmt, 2, note->lane);
    return nsm_ledger_db_step(db, stmt, NULL);
}

static struct nsm_error *doubt_namespace(struct nsm_ledger_db *db, const char *name)
{
    static const char step[] = "UPDATE namespace SET step = ?2 WHERE name = ?1 AND step > ?2";
    static const char parts[] =
        "UPDATE part SET resume = x'', is_done = 0, n_records = 0, n_bytes = 0, n_skipped = 0, "
        "n_vanished = 0, digest = '', digest_records = 0 "
        "WHERE namespace = (SELECT id FROM namespace WHERE name = ?1 AND step < ?2)";
    static const char *const statements[] = {step, parts};
    for (size_t at = 0; at < NSM_COUNT_OF(statements); at++) {
        sqlite3_stmt *stmt = NULL;
        NSM_TRY(nsm_ledger_db_prepare(db, statements[at], &stmt));
        nsm_ledger_bind_text(stmt, 1, name);
        (void)sqlite3_bind_int(stmt, 2, NSM_STEP_FINISHED);
        NSM_TRY(nsm_ledger_db_step(db, stmt, NULL));
    }
    return NULL;
}

struct nsm_error *nsm_ledger_apply_witness(struct nsm_ledger_db *db, void *witness_note)
{
    static const char sql[] = "UPDATE namespace SET witness = ?2 WHERE name = ?1";
    const struct nsm_ledger_witness_note *const note = witness_note;
    if (note->is_doubt)
        NSM_TRY(doubt_namespace(db, note->name));
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, note->name);
    nsm_ledger_bind_text(stmt, 2, note->witness);
    return nsm_ledger_db_step(db, stmt, NULL);
}

struct nsm_error *nsm_ledger_apply_checkpoint(struct nsm_ledger_db *db, void *checkpoint_note)
{
    static const char sql[] =
        "UPDATE part SET resume = ?3, is_done = ?4, n_records = ?5, n_bytes = ?6, n_skipped = ?7, "
        "n_vanished = ?8, digest = ?9, digest_records = ?10 "
        "WHERE namespace = (SELECT id FROM namespace WHERE name = ?1) AND number = ?2";
    const struct nsm_ledger_checkpoint_note *const note = checkpoint_note;
    const struct nsm_checkpoint *const checkpoint = &note->checkpoint;
    char digest[33];
    nsm_digest_format(&checkpoint->digest, digest);
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_str(stmt, 1, note->name);
    nsm_ledger_bind_u64(stmt, 2, note->index);
    nsm_ledger_bind_bytes(stmt, 3, checkpoint->resume);
    nsm_ledger_bind_u64(stmt, 4, checkpoint->is_done);
    nsm_ledger_bind_u64(stmt, 5, checkpoint->n_records);
    nsm_ledger_bind_u64(stmt, 6, checkpoint->n_bytes);
    nsm_ledger_bind_u64(stmt, 7, checkpoint->n_skipped);
    nsm_ledger_bind_u64(stmt, 8, checkpoint->n_vanished);
    nsm_ledger_bind_text(stmt, 9, digest);
    nsm_ledger_bind_u64(stmt, 10, checkpoint->digest.n_records);
    return nsm_ledger_db_step(db, stmt, NULL);
}

/* ---- calls ---- */

static struct nsm_error *namespace_id(struct nsm_ledger_db *db, const char *name, int64_t *ret)
{
    static const char sql[] = "SELECT id FROM namespace WHERE name = ?1";
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, name);
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    if (!has_row)
        return nsm_error_new(NSM_E_NOTFOUND, "ledger %s: no namespace %s in it", db->path, name);
    *ret = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_reset(stmt);
    return NULL;
}

struct nsm_error *nsm_ledger_apply_step(struct nsm_ledger_db *db, void *step_call)
{
    static const char sql[] = "UPDATE namespace SET step = ?2 WHERE id = ?1";
    const struct nsm_ledger_step_call *const call = step_call;
    int64_t id = 0;
    NSM_TRY(namespace_id(db, call->name, &id));
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int64(stmt, 1, id);
    (void)sqlite3_bind_int(stmt, 2, (int)call->step);
    return nsm_ledger_db_step(db, stmt, NULL);
}

static struct nsm_error *delete_parts(struct nsm_ledger_db *db, int64_t id)
{
    static const char sql[] = "DELETE FROM part WHERE namespace = ?1";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int64(stmt, 1, id);
    return nsm_ledger_db_step(db, stmt, NULL);
}

static struct nsm_error *insert_part(struct nsm_ledger_db *db, int64_t id,
                                     const struct nsm_census *census, size_t index)
{
    static const char sql[] = "INSERT INTO part (namespace, number, object_schema, object_name, "
                              "object_version, range, estimated_records, estimated_bytes) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    const struct nsm_part *const part = &census->parts[index];
    const struct nsm_object *const object = &census->objects[part->object];
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int64(stmt, 1, id);
    nsm_ledger_bind_u64(stmt, 2, index);
    nsm_ledger_bind_text(stmt, 3, object->schema);
    nsm_ledger_bind_text(stmt, 4, object->name);
    nsm_ledger_bind_text(stmt, 5, object->version ? object->version : "");
    nsm_ledger_bind_bytes(stmt, 6, part->range);
    nsm_ledger_bind_u64(stmt, 7, part->n_records);
    nsm_ledger_bind_u64(stmt, 8, part->n_bytes);
    return nsm_ledger_db_step(db, stmt, NULL);
}

struct nsm_error *nsm_ledger_apply_parts(struct nsm_ledger_db *db, void *parts_call)
{
    static const char sql[] =
        "UPDATE namespace SET step = ?2, total_records = ?3, total_bytes = ?4 WHERE id = ?1";
    const struct nsm_ledger_parts_call *const call = parts_call;
    uint64_t total_records = 0;
    uint64_t total_bytes = 0;
    for (size_t i = 0; i < call->census->n_objects; i++) {
        total_records += call->census->objects[i].n_records;
        total_bytes += call->census->objects[i].n_bytes;
    }
    int64_t id = 0;
    NSM_TRY(namespace_id(db, call->name, &id));
    NSM_TRY(delete_parts(db, id));
    for (size_t i = 0; i < call->census->n_parts; i++)
        NSM_TRY(insert_part(db, id, call->census, i));
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int64(stmt, 1, id);
    (void)sqlite3_bind_int(stmt, 2, NSM_STEP_SURVEYED);
    nsm_ledger_bind_u64(stmt, 3, total_records);
    nsm_ledger_bind_u64(stmt, 4, total_bytes);
    return nsm_ledger_db_step(db, stmt, NULL);
}

struct nsm_error *nsm_ledger_apply_reset(struct nsm_ledger_db *db, void *reset_call)
{
    static const char sql[] =
        "UPDATE part SET resume = x'', is_done = 0, n_records = 0, n_bytes = 0, n_skipped = 0, "
        "n_vanished = 0, digest = '', digest_records = 0 "
        "WHERE namespace = ?1 AND object_schema = ?2 AND object_name = ?3";
    const struct nsm_ledger_reset_call *const call = reset_call;
    int64_t id = 0;
    NSM_TRY(namespace_id(db, call->name, &id));
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int64(stmt, 1, id);
    nsm_ledger_bind_text(stmt, 2, call->object_schema);
    nsm_ledger_bind_text(stmt, 3, call->object_name);
    return nsm_ledger_db_step(db, stmt, NULL);
}

/* Whatever an earlier run said of it, it is taken up again now. */
static struct nsm_error *take_up_namespace(struct nsm_ledger_db *db, const char *name)
{
    static const char sql[] = "UPDATE namespace SET status = NULL, error = NULL "
                              "WHERE name = ?1 AND status IS NOT NULL";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, name);
    return nsm_ledger_db_step(db, stmt, NULL);
}

static struct nsm_error *count_namespaces(struct nsm_ledger_db *db, int64_t *ret)
{
    static const char sql[] = "SELECT count(*) FROM namespace";
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    *ret = has_row ? sqlite3_column_int64(stmt, 0) : 0;
    (void)sqlite3_reset(stmt);
    return NULL;
}

/* Adds a namespace at `*position` if it is new, else tells its own, and its step. */
static struct nsm_error *add_namespace(struct nsm_ledger_db *db, const char *name,
                                       int64_t *position, int64_t *ret_step)
{
    static const char insert[] = "INSERT INTO namespace (name, position) VALUES (?1, ?2)";
    static const char select[] = "SELECT position, step FROM namespace WHERE name = ?1";
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    NSM_TRY(nsm_ledger_db_prepare(db, select, &stmt));
    nsm_ledger_bind_text(stmt, 1, name);
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    if (has_row) {
        *position = sqlite3_column_int64(stmt, 0);
        *ret_step = sqlite3_column_int64(stmt, 1);
        (void)sqlite3_reset(stmt);
        return NULL;
    }
    *ret_step = NSM_STEP_NEW;
    NSM_TRY(nsm_ledger_db_prepare(db, insert, &stmt));
    nsm_ledger_bind_text(stmt, 1, name);
    (void)sqlite3_bind_int64(stmt, 2, *position);
    return nsm_ledger_db_step(db, stmt, NULL);
}

static struct nsm_error *set_position(struct nsm_ledger_db *db, const char *name, int64_t position)
{
    static const char sql[] = "UPDATE namespace SET position = ?2 WHERE name = ?1";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, name);
    (void)sqlite3_bind_int64(stmt, 2, position);
    return nsm_ledger_db_step(db, stmt, NULL);
}

static int compare_positions(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static struct nsm_error *take_up_run(struct nsm_ledger_db *db, bool has_work)
{
    static const char sql[] = "UPDATE run SET status = NULL, error = NULL, is_complete = 0 "
                              "WHERE ?1 OR NOT is_complete";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int(stmt, 1, has_work);
    return nsm_ledger_db_step(db, stmt, NULL);
}

/* Makes sure that all of the plan's namespaces are there; their positions, in plan order. */
static struct nsm_error *name_namespaces(struct nsm_ledger_db *db, const struct nsm_plan *plan,
                                         int64_t *positions, bool *ret_has_work)
{
    int64_t n_known = 0;
    NSM_TRY(count_namespaces(db, &n_known));
    for (size_t i = 0; i < plan->n_namespaces; i++) {
        int64_t step = 0;
        positions[i] = n_known;
        NSM_TRY(add_namespace(db, plan->namespaces[i].name, &positions[i], &step));
        n_known += positions[i] == n_known;
        if (step != NSM_STEP_DONE) {
            *ret_has_work = true;
            NSM_TRY(take_up_namespace(db, plan->namespaces[i].name));
        }
    }
    return NULL;
}

struct nsm_error *nsm_ledger_apply_begin(struct nsm_ledger_db *db, void *begin_call)
{
    struct nsm_ledger_begin_call *const call = begin_call;
    const size_t n = call->plan->n_namespaces;
    NSM_CLEANUP(nsm_freep)
    int64_t *old = nsm_xcalloc(n + 1, sizeof(*old));
    NSM_CLEANUP(nsm_freep)
    int64_t *new = nsm_xcalloc(n + 1, sizeof(*new));
    call->has_work = false;
    NSM_TRY(name_namespaces(db, call->plan, old, &call->has_work));
    /* A run may be of some of the namespaces only: these share out the places that they have, in
     * plan order, and leave the others where they are. */
    memcpy(new, old, n * sizeof(*new));
    qsort(new, n, sizeof(*new), compare_positions);
    for (size_t i = 0; i < n; i++)
        if (new[i] != old[i])
            NSM_TRY(set_position(db, call->plan->namespaces[i].name, new[i]));
    return take_up_run(db, call->has_work);
}

struct nsm_error *nsm_ledger_apply_complete(struct nsm_ledger_db *db, void *unused)
{
    /* what stores lose later is no matter of this run */
    static const char *const updates[] = {
        "UPDATE run SET is_complete = 1, status = 'ok', error = NULL",
        "UPDATE namespace SET witness = NULL WHERE witness IS NOT NULL",
    };
    (void)unused;
    for (size_t at = 0; at < NSM_COUNT_OF(updates); at++) {
        sqlite3_stmt *stmt = NULL;
        NSM_TRY(nsm_ledger_db_prepare(db, updates[at], &stmt));
        NSM_TRY(nsm_ledger_db_step(db, stmt, NULL));
    }
    return NULL;
}

static struct nsm_error *delete_all(struct nsm_ledger_db *db)
{
    static const char *const deletes[] = {"DELETE FROM part", "DELETE FROM namespace",
                                          "DELETE FROM run"};
    for (size_t i = 0; i < NSM_COUNT_OF(deletes); i++) {
        sqlite3_stmt *stmt = NULL;
        NSM_TRY(nsm_ledger_db_prepare(db, deletes[i], &stmt));
        NSM_TRY(nsm_ledger_db_step(db, stmt, NULL));
    }
    return NULL;
}

struct nsm_error *nsm_ledger_apply_new_run(struct nsm_ledger_db *db, void *ledger_run)
{
    static const char sql[] = "INSERT INTO run (id, run_id, fingerprint, started_ms, updated_ms) "
                              "VALUES (1, ?1, ?2, ?3, ?4)";
    const struct nsm_ledger_run *const run = ledger_run;
    NSM_TRY(delete_all(db));
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, run->run_id);
    nsm_ledger_bind_text(stmt, 2, run->fingerprint);
    (void)sqlite3_bind_int64(stmt, 3, run->started_ms);
    (void)sqlite3_bind_int64(stmt, 4, run->updated_ms);
    return nsm_ledger_db_step(db, stmt, NULL);
}

/* ---- questions ---- */

/* What a namespace's row holds, and the sums of its parts. */
#define NAMESPACE_COLUMNS                                                                    \
    "n.name, n.step, n.lane, n.status, n.error, n.seconds, n.total_records, n.total_bytes, " \
    "count(p.number), ifnull(sum(p.is_done), 0), ifnull(sum(p.n_records), 0), "              \
    "ifnull(sum(p.n_bytes), 0), n.witness FROM namespace n LEFT JOIN part p ON p.namespace = n.id "

static struct nsm_ledger_namespace read_namespace(sqlite3_stmt *stmt)
{
    return (struct nsm_ledger_namespace){
        .name = nsm_ledger_column_text(stmt, 0),
        .step = (enum nsm_step)sqlite3_column_int(stmt, 1),
        .lane = nsm_ledger_column_text(stmt, 2),
        .status = nsm_ledger_column_text(stmt, 3),
        .error = nsm_ledger_column_text(stmt, 4),
        .seconds = sqlite3_column_double(stmt, 5),
        .total_records = nsm_ledger_column_u64(stmt, 6),
        .total_bytes = nsm_ledger_column_u64(stmt, 7),
        .n_parts = nsm_ledger_column_u64(stmt, 8),
        .n_parts_done = nsm_ledger_column_u64(stmt, 9),
        .n_records = nsm_ledger_column_u64(stmt, 10),
        .n_bytes = nsm_ledger_column_u64(stmt, 11),
        .witness = nsm_ledger_column_text(stmt, 12),
    };
}

struct nsm_error *nsm_ledger_apply_get(struct nsm_ledger_db *db, void *get_call)
{
    static const char sql[] = "SELECT " NAMESPACE_COLUMNS "WHERE n.name = ?1 GROUP BY n.id";
    const struct nsm_ledger_get_call *const call = get_call;
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, call->name);
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    if (has_row) {
        *call->ret = read_namespace(stmt);
        (void)sqlite3_reset(stmt);
    } else {
        *call->ret = (struct nsm_ledger_namespace){.name = nsm_xstrdup(call->name)};
    }
    return NULL;
}

static const char *copy_text(struct nsm_arena *arena, sqlite3_stmt *stmt, int index)
{
    const char *const text = (const char *)sqlite3_column_text(stmt, index);
    return nsm_arena_strdup(arena, text ? text : "");
}

static struct nsm_error *read_part(const struct nsm_ledger_db *db, sqlite3_stmt *stmt,
                                   const char *name, struct nsm_arena *arena,
                                   struct nsm_ledger_part *ret)
{
    struct nsm_digest digest = {0};
    const struct nsm_str digest_text = nsm_ledger_column_bytes(stmt, 12);
    if (digest_text.len && !nsm_digest_parse(digest_text, &digest)) {
        return nsm_error_new(NSM_E_CORRUPT,
                             "ledger %s is damaged: a digest of namespace %s: --fresh forgets it "
                             "and begins anew",
                             db->path, name);
    }
    digest.n_records = nsm_ledger_column_u64(stmt, 13);
    const size_t index = (size_t)nsm_ledger_column_u64(stmt, 0);
    *ret = (struct nsm_ledger_part){
        .index = index,
        .object_schema = copy_text(arena, stmt, 1),
        .object_name = copy_text(arena, stmt, 2),
        .object_version = copy_text(arena, stmt, 3),
        .range = nsm_arena_copy(arena, nsm_ledger_column_bytes(stmt, 4)),
        .n_records = nsm_ledger_column_u64(stmt, 5),
        .n_bytes = nsm_ledger_column_u64(stmt, 6),
        .checkpoint = {.part_id = nsm_part_id(arena, name, index),
                       .resume = nsm_arena_copy(arena, nsm_ledger_column_bytes(stmt, 7)),
                       .is_done = nsm_ledger_column_u64(stmt, 8) != 0,
                       .n_records = nsm_ledger_column_u64(stmt, 9),
                       .n_bytes = nsm_ledger_column_u64(stmt, 10),
                       .n_skipped = nsm_ledger_column_u64(stmt, 11),
                       .n_vanished = nsm_ledger_column_u64(stmt, 14),
                       .digest = digest},
    };
    return NULL;
}

static struct nsm_error *read_part_rows(struct nsm_ledger_db *db, sqlite3_stmt *stmt,
                                        const char *name, struct nsm_ledger_parts *parts)
{
    bool has_row = false;
    size_t cap_parts = 0;
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    while (has_row) {
        NSM_GROW(parts->parts, parts->n_parts, cap_parts);
        NSM_TRY(read_part(db, stmt, name, &parts->arena, &parts->parts[parts->n_parts]));
        parts->n_parts++;
        NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    }
    return NULL;
}

static struct nsm_error *read_parts(struct nsm_ledger_db *db, const char *name,
                                    struct nsm_ledger_parts *parts)
{
    static const char sql[] =
        "SELECT p.number, p.object_schema, p.object_name, p.object_version, p.range, "
        "p.estimated_records, p.estimated_bytes, p.resume, p.is_done, p.n_records, p.n_bytes, "
        "p.n_skipped, p.digest, p.digest_records, p.n_vanished FROM namespace n "
        "JOIN part p ON p.namespace = n.id WHERE n.name = ?1 ORDER BY p.number";
    sqlite3_stmt *stmt = NULL;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    nsm_ledger_bind_text(stmt, 1, name);
    struct nsm_error *const error = read_part_rows(db, stmt, name, parts);
    (void)sqlite3_reset(stmt);
    return error;
}

struct nsm_error *nsm_ledger_apply_get_parts(struct nsm_ledger_db *db, void *get_parts_call)
{
    const struct nsm_ledger_get_parts_call *const call = get_parts_call;
    struct nsm_ledger_parts parts = {0};
    struct nsm_error *const error = read_parts(db, call->name, &parts);
    if (error) {
        nsm_ledger_parts_release(&parts);
        return error;
    }
    *call->ret = parts;
    return NULL;
}

struct nsm_error *nsm_ledger_apply_read_run(struct nsm_ledger_db *db, void *run_call)
{
    static const char sql[] =
        "SELECT run_id, fingerprint, status, error, started_ms, updated_ms, is_complete, "
        "EXISTS (SELECT 1 FROM namespace WHERE step >= ?1) FROM run";
    struct nsm_ledger_run_call *const call = run_call;
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    (void)sqlite3_bind_int(stmt, 1, NSM_STEP_PREPARING);
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    if (!has_row)
        return NULL;
    call->run = (struct nsm_ledger_run){
        .run_id = nsm_ledger_column_text(stmt, 0),
        .fingerprint = nsm_ledger_column_text(stmt, 1),
        .status = nsm_ledger_column_text(stmt, 2),
        .error = nsm_ledger_column_text(stmt, 3),
        .started_ms = sqlite3_column_int64(stmt, 4),
        .updated_ms = sqlite3_column_int64(stmt, 5),
    };
    call->is_complete = sqlite3_column_int(stmt, 6) != 0;
    call->has_prepared = sqlite3_column_int(stmt, 7) != 0;
    (void)sqlite3_reset(stmt);
    return NULL;
}

struct nsm_error *nsm_ledger_apply_read_namespaces(struct nsm_ledger_db *db, void *run_call)
{
    static const char sql[] = "SELECT " NAMESPACE_COLUMNS "GROUP BY n.id ORDER BY n.position, n.id";
    struct nsm_ledger_run *const run = &((struct nsm_ledger_run_call *)run_call)->run;
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    size_t cap_namespaces = 0;
    NSM_TRY(nsm_ledger_db_prepare(db, sql, &stmt));
    NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    while (has_row) {
        NSM_GROW(run->namespaces, run->n_namespaces, cap_namespaces);
        run->namespaces[run->n_namespaces++] = read_namespace(stmt);
        NSM_TRY(nsm_ledger_db_step(db, stmt, &has_row));
    }
    return NULL;
}
