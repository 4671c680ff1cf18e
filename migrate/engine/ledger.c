/*
 * The ledger as the engine sees it: each function makes a note or a call of its arguments and hands
 * it to the writer. What survives what is decided here, per function; see the header.
 */
#include "migrate/engine/ledger.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"
#include "migrate/engine/ledger_folder.h"
#include "migrate/engine/ledger_rows.h"
#include "migrate/engine/ledger_writer.h"

#include <stdatomic.h>
#include <unistd.h>

#define RUN_ID_LEN 16

struct nsm_ledger {
    struct nsm_ledger_folder folder;
    struct nsm_ledger_db db;
    struct nsm_ledger_writer writer;
    bool has_writer;
    bool is_read_only;
    bool is_resumed;
    atomic_bool is_complete;
    char run_id[RUN_ID_LEN + 1];
};

/* ---- opening and closing ---- */

/* `kin`: the run that this one takes the place of (nsm_run_id_is_kin), or NULL. */
static void make_run_id(const char *kin, char *out)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < RUN_ID_LEN; i++)
        out[i] = kin && i < NSM_RUN_ID_KIN_LEN ? kin[i]
                                               : alphabet[nsm_random_below(sizeof(alphabet) - 1)];
    out[RUN_ID_LEN] = '\0';
}

static struct nsm_error *start_new_run(struct nsm_ledger *ledger, const struct nsm_plan *plan,
                                       const char *kin)
{
    char run_id[RUN_ID_LEN + 1];
    make_run_id(kin, run_id);
    NSM_CLEANUP(nsm_freep)
    char *fingerprint = nsm_xstrdup(plan->fingerprint);
    const int64_t now_ms = nsm_wall_ms();
    struct nsm_ledger_run run = {
        .run_id = run_id, .fingerprint = fingerprint, .started_ms = now_ms, .updated_ms = now_ms};
    NSM_TRY(nsm_folder_clear(ledger->folder.work_path));
    NSM_TRY(nsm_ledger_db_begin(&ledger->db));
    nsm_error_ignore(nsm_ledger_apply_new_run(&ledger->db, &run)); /* commit reports it */
    NSM_TRY(nsm_ledger_db_commit(&ledger->db));
    NSM_TRY(nsm_ledger_db_sync(&ledger->db));
    memcpy(ledger->run_id, run_id, sizeof(run_id));
    return NULL;
}

static struct nsm_error *refuse_other_plan(const struct nsm_ledger *ledger,
                                           const struct nsm_plan *plan, int64_t started_ms)
{
    const time_t started = (time_t)(started_ms / 1000);
    struct tm tm;
    char since[32] = "";
    if (gmtime_r(&started, &tm))
        (void)strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S UTC", &tm);
    return nsm_error_new(NSM_E_INVALID,
                         "plan %s has changed since its run of %s, which was interrupted (ledger "
                         "%s): finish that run with the plan as it was, or pass --fresh to forget "
                         "it",
                         plan->name, since, ledger->folder.db_path);
}

/* Takes the run in the ledger up, or begins a new one. */
static struct nsm_error *choose_run(struct nsm_ledger *ledger, const struct nsm_plan *plan,
                                    bool is_fresh)
{
    struct nsm_ledger_run_call call = {0};
    struct nsm_error *error = nsm_ledger_apply_read_run(&ledger->db, &call);
    if (error && !is_fresh)
        return error;
    nsm_error_free(error);
    error = NULL;
    const bool is_known = call.run.run_id && strlen(call.run.run_id) == RUN_ID_LEN;
    if (is_fresh) {
        error = start_new_run(ledger, plan, is_known && !call.is_complete ? call.run.run_id : NULL);
    } else if (is_known && strcmp(call.run.fingerprint, plan->fingerprint) == 0) {
        memcpy(ledger->run_id, call.run.run_id, RUN_ID_LEN + 1);
        ledger->is_resumed = !call.is_complete;
        atomic_store(&ledger->is_complete, call.is_complete);
    } else if (!call.run.run_id || call.is_complete || !call.has_prepared) {
        /* There is none, or nothing of it is half done at a destination. */
        error = start_new_run(ledger, plan, NULL);
    } else {
        error = refuse_other_plan(ledger, plan, call.run.started_ms);
    }
    nsm_ledger_run_release(&call.run);
    return error;
}

static struct nsm_error *open_db(struct nsm_ledger *ledger, bool is_fresh)
{
    NSM_TRY(nsm_ledger_folder_touch_db(&ledger->folder));
    struct nsm_error *const error = nsm_ledger_db_open(&ledger->db, ledger->folder.db_path, 0);
    if (!is_fresh ||
        !(nsm_error_is(error, NSM_E_CORRUPT) || nsm_error_is(error, NSM_E_UNSUPPORTED)))
        return error;
    /* Only such a file is removed: a reader may still have a good one open, and SQLite finds the
     * write-ahead log by its name. */
    nsm_error_free(error);
    NSM_TRY(nsm_ledger_folder_remove_db(&ledger->folder));
    NSM_TRY(nsm_ledger_folder_touch_db(&ledger->folder));
    return nsm_ledger_db_open(&ledger->db, ledger->folder.db_path, 0);
}

static struct nsm_error *open_for_run(struct nsm_ledger *ledger, const struct nsm_plan *plan,
                                      bool is_fresh)
{
    NSM_TRY(nsm_ledger_folder_make(&ledger->folder));
    NSM_TRY(nsm_ledger_folder_lock(&ledger->folder));
    NSM_TRY(open_db(ledger, is_fresh));
    NSM_TRY(choose_run(ledger, plan, is_fresh));
    nsm_ledger_writer_start(&ledger->writer, &ledger->db, 0);
    ledger->has_writer = true;
    return NULL;
}

static struct nsm_error *open_read_only(struct nsm_ledger *ledger)
{
    if (access(ledger->folder.db_path, F_OK) != 0) {
        return nsm_error_new(NSM_E_NOTFOUND, "plan %s has not been run yet (no ledger at %s)",
                             ledger->folder.plan_name, ledger->folder.db_path);
    }
    NSM_TRY(nsm_ledger_db_open(&ledger->db, ledger->folder.db_path, NSM_LEDGER_DB_READ_ONLY));
    struct nsm_ledger_run_call call = {0};
    NSM_TRY(nsm_ledger_apply_read_run(&ledger->db, &call));
    if (!call.run.run_id) {
        return nsm_error_new(NSM_E_NOTFOUND, "plan %s has not been run yet (ledger %s is empty)",
                             ledger->folder.plan_name, ledger->folder.db_path);
    }
    (void)snprintf(ledger->run_id, sizeof(ledger->run_id), "%s", call.run.run_id);
    atomic_store(&ledger->is_complete, call.is_complete);
    nsm_ledger_run_release(&call.run);
    nsm_ledger_writer_start(&ledger->writer, &ledger->db, NSM_LEDGER_NO_THREAD);
    ledger->has_writer = true;
    return NULL;
}

struct nsm_error *nsm_ledger_open(const struct nsm_plan *plan, unsigned flags,
                                  struct nsm_ledger **ret)
{
    NSM_CLEANUP(nsm_ledger_freep)
    struct nsm_ledger *ledger = nsm_xcalloc(1, sizeof(*ledger));
    nsm_ledger_folder_init(&ledger->folder, plan);
    if (flags & NSM_LEDGER_READ_ONLY) {
        ledger->is_read_only = true;
        NSM_TRY(open_read_only(ledger));
    } else {
        NSM_TRY(open_for_run(ledger, plan, flags & NSM_LEDGER_FRESH));
    }
    *ret = NSM_STEAL(ledger);
    return NULL;
}

struct nsm_error *nsm_ledger_close(struct nsm_ledger *ledger)
{
    struct nsm_error *error = NULL;
    if (ledger->has_writer)
        error = nsm_ledger_writer_stop(&ledger->writer);
    if (ledger->db.handle)
        nsm_ledger_db_close(&ledger->db);
    /* Last: until here nobody else may write. */
    nsm_ledger_folder_release(&ledger->folder);
    free(ledger);
    return error;
}

void nsm_ledger_free(struct nsm_ledger *ledger)
{
    if (ledger)
        nsm_error_ignore(nsm_ledger_close(ledger));
}

const char *nsm_ledger_run_id(const struct nsm_ledger *ledger)
{
    return ledger->run_id;
}

const char *nsm_ledger_work_dir(const struct nsm_ledger *ledger)
{
    return ledger->folder.work_path;
}

bool nsm_ledger_is_resumed(const struct nsm_ledger *ledger)
{
    return ledger->is_resumed;
}

/* ---- namespaces ---- */

const char *nsm_step_name(enum nsm_step step)
{
    static const char *const names[] = {
        [NSM_STEP_NEW] = "new",
        [NSM_STEP_SURVEYED] = "surveyed",
        [NSM_STEP_PREPARING] = "preparing",
        [NSM_STEP_PREPARED] = "prepared",
        [NSM_STEP_COPIED] = "copied",
        [NSM_STEP_FINISHED] = "finished",
        [NSM_STEP_DONE] = "done",
    };
    return (size_t)step < NSM_COUNT_OF(names) ? names[step] : "unknown";
}

void nsm_ledger_namespace_release(struct nsm_ledger_namespace *ns)
{
    free(ns->name);
    free(ns->lane);
    free(ns->status);
    free(ns->error);
    free(ns->witness);
    *ns = (struct nsm_ledger_namespace){0};
}

struct nsm_error *nsm_ledger_get(struct nsm_ledger *ledger, const char *name,
                                 struct nsm_ledger_namespace *ret)
{
    struct nsm_ledger_get_call call = {.name = name, .ret = ret};
    return nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_get, &call, 0);
}

/* Copies `text` behind what is at *at, NULL for NULL, and moves *at past it. */
static const char *pack_text(char **at, const char *text)
{
    if (!text)
        return NULL;
    char *const copy = *at;
    const size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

static struct nsm_str pack_bytes(char **at, struct nsm_str bytes)
{
    char *const copy = *at;
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    *at += bytes.len;
    return (struct nsm_str){copy, bytes.len};
}

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static void note_status(struct nsm_ledger *ledger, const char *name, const char *status,
                        const char *error, double seconds)
{
    const size_t size = sizeof(struct nsm_ledger_status_note) + text_size(name) +
                        text_size(status) + text_size(error);
    struct nsm_ledger_status_note *const note = nsm_xmalloc(size);
    char *at = (char *)(note + 1);
    note->name = pack_text(&at, name);
    note->status = pack_text(&at, status);
    note->error = pack_text(&at, error);
    note->seconds = seconds;
    nsm_ledger_writer_note(&ledger->writer, nsm_ledger_apply_status, note, size,
                           (struct nsm_str){0});
}

void nsm_ledger_set_status(struct nsm_ledger *ledger, const char *name, const char *status,
                           const char *error, double seconds)
{
    note_status(ledger, name, status, error, seconds);
}

void nsm_ledger_set_lane(struct nsm_ledger *ledger, const char *name, const char *lane)
{
    const size_t size = sizeof(struct nsm_ledger_lane_note) + text_size(name) + text_size(lane);
    struct nsm_ledger_lane_note *const note = nsm_xmalloc(size);
    char *at = (char *)(note + 1);
    note->name = pack_text(&at, name);
    note->lane = pack_text(&at, lane);
    nsm_ledger_writer_note(&ledger->writer, nsm_ledger_apply_lane, note, size, (struct nsm_str){0});
}

static void note_witness(struct nsm_ledger *ledger, const char *name, const char *witness,
                         bool is_doubt)
{
    const size_t size =
        sizeof(struct nsm_ledger_witness_note) + text_size(name) + text_size(witness);
    struct nsm_ledger_witness_note *const note = nsm_xmalloc(size);
    char *at = (char *)(note + 1);
    note->name = pack_text(&at, name);
    note->witness = pack_text(&at, witness);
    note->is_doubt = is_doubt;
    nsm_ledger_writer_note(&ledger->writer, nsm_ledger_apply_witness, note, size,
                           (struct nsm_str){0});
}

void nsm_ledger_set_witness(struct nsm_ledger *ledger, const char *name, const char *witness)
{
    note_witness(ledger, name, witness, false);
}

void nsm_ledger_doubt(struct nsm_ledger *ledger, const char *name, const char *witness)
{
    note_witness(ledger, name, witness, true);
}

struct nsm_error *nsm_ledger_set_step(struct nsm_ledger *ledger, const char *name,
                                      enum nsm_step step)
{
    struct nsm_ledger_step_call call = {.name = name, .step = step};
    unsigned flags = NSM_LEDGER_CALL_WRITES;
    if (step == NSM_STEP_PREPARED || step == NSM_STEP_FINISHED)
        flags |= NSM_LEDGER_CALL_POWER_SAFE;
    return nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_step, &call, flags);
}

/* ---- parts ---- */

void nsm_ledger_parts_release(struct nsm_ledger_parts *parts)
{
    free(parts->parts);
    nsm_arena_release(&parts->arena);
    *parts = (struct nsm_ledger_parts){0};
}

struct nsm_str nsm_part_id(struct nsm_arena *arena, const char *namespace_name, size_t index)
{
    return nsm_str_of(nsm_arena_printf(arena, "%s/%zu", namespace_name, index));
}

struct nsm_error *nsm_ledger_get_parts(struct nsm_ledger *ledger, const char *name,
                                       struct nsm_ledger_parts *ret)
{
    struct nsm_ledger_get_parts_call call = {.name = name, .ret = ret};
    return nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_get_parts, &call, 0);
}

struct nsm_error *nsm_ledger_set_parts(struct nsm_ledger *ledger, const char *name,
                                       const struct nsm_census *census)
{
    struct nsm_ledger_parts_call call = {.name = name, .census = census};
    return nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_parts, &call,
                                  NSM_LEDGER_CALL_WRITES);
}

/* The reverse of nsm_part_id; a name may itself hold slashes. False: no id of ours. */
static bool split_part_id(struct nsm_str part_id, size_t *ret_name_len, uint64_t *ret_index)
{
    const char *const slash = part_id.len ? memrchr(part_id.ptr, '/', part_id.len) : NULL;
    if (!slash)
        return false;
    *ret_name_len = (size_t)(slash - part_id.ptr);
    return nsm_parse_u64(nsm_str_skip(part_id, *ret_name_len + 1), ret_index);
}

void nsm_ledger_put_checkpoint(struct nsm_ledger *ledger, const struct nsm_checkpoint *checkpoint)
{
    size_t name_len = 0;
    uint64_t index = 0;
    if (!split_part_id(checkpoint->part_id, &name_len, &index))
        return; /* of no part that we know */
    const size_t size = sizeof(struct nsm_ledger_checkpoint_note) + checkpoint->part_id.len +
                        checkpoint->resume.len;
    struct nsm_ledger_checkpoint_note *const note = nsm_xmalloc(size);
    char *at = (char *)(note + 1);
    note->index = (size_t)index;
    note->checkpoint = *checkpoint;
    note->checkpoint.part_id = pack_bytes(&at, checkpoint->part_id);
    note->checkpoint.resume = pack_bytes(&at, checkpoint->resume);
    note->name = (struct nsm_str){note->checkpoint.part_id.ptr, name_len};
    nsm_ledger_writer_note(&ledger->writer, nsm_ledger_apply_checkpoint, note, size,
                           note->checkpoint.part_id);
}

struct nsm_error *nsm_ledger_reset_object(struct nsm_ledger *ledger, const char *name,
                                          const char *object_schema, const char *object_name)
{
    struct nsm_ledger_reset_call call = {
        .name = name, .object_schema = object_schema, .object_name = object_name};
    return nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_reset, &call,
                                  NSM_LEDGER_CALL_WRITES | NSM_LEDGER_CALL_POWER_SAFE);
}

/* ---- the run ---- */

struct nsm_error *nsm_ledger_begin(struct nsm_ledger *ledger, const struct nsm_plan *plan)
{
    struct nsm_ledger_begin_call call = {.plan = plan};
    NSM_TRY(nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_begin, &call,
                                   NSM_LEDGER_CALL_WRITES | NSM_LEDGER_CALL_POWER_SAFE));
    if (call.has_work)
        atomic_store(&ledger->is_complete, false);
    return NULL;
}

struct nsm_error *nsm_ledger_set_complete(struct nsm_ledger *ledger)
{
    NSM_TRY(nsm_ledger_writer_call(&ledger->writer, nsm_ledger_apply_complete, NULL,
                                   NSM_LEDGER_CALL_WRITES | NSM_LEDGER_CALL_POWER_SAFE));
    atomic_store(&ledger->is_complete, true);
    return nsm_folder_clear(ledger->folder.work_path);
}

bool nsm_ledger_is_complete(const struct nsm_ledger *ledger)
{
    return atomic_load(&ledger->is_complete);
}

void nsm_ledger_set_run_status(struct nsm_ledger *ledger, const char *status, const char *error)
{
    note_status(ledger, NULL, status, error, 0);
}

static struct nsm_error *apply_flush(struct nsm_ledger_db *db, void *unused)
{
    (void)db;
    (void)unused;
    return NULL;
}

struct nsm_error *nsm_ledger_flush(struct nsm_ledger *ledger)
{
    return nsm_ledger_writer_call(&ledger->writer, apply_flush, NULL,
                                  NSM_LEDGER_CALL_WRITES | NSM_LEDGER_CALL_POWER_SAFE);
}

static struct nsm_error *read_whole_run(struct nsm_ledger_db *db, void *run_call)
{
    NSM_TRY(nsm_ledger_apply_read_run(db, run_call));
    return nsm_ledger_apply_read_namespaces(db, run_call);
}

/* Who held the lock and did not say how it ended was stopped in the midst of it. */
static void mark_interrupted(struct nsm_ledger_run *run)
{
    if (!run->status)
        run->status = nsm_xstrdup("interrupted");
    for (size_t i = 0; i < run->n_namespaces; i++) {
        struct nsm_ledger_namespace *const ns = &run->namespaces[i];
        if (!ns->status && ns->step != NSM_STEP_NEW && ns->step != NSM_STEP_DONE)
            ns->status = nsm_xstrdup("interrupted");
    }
}

struct nsm_error *nsm_ledger_read_run(struct nsm_ledger *ledger, struct nsm_ledger_run *ret)
{
    struct nsm_ledger_run_call call = {0};
    /* Asked before and after: a run that begins or ends in between is told as running, never as
     * interrupted. */
    const bool was_running = nsm_ledger_folder_is_locked(&ledger->folder);
    struct nsm_error *const error =
        nsm_ledger_writer_call(&ledger->writer, read_whole_run, &call, 0);
    if (error) {
        nsm_ledger_run_release(&call.run);
        return error;
    }
    call.run.is_running = was_running || nsm_ledger_folder_is_locked(&ledger->folder);
    if (!call.run.is_running)
        mark_interrupted(&call.run);
    *ret = call.run;
    return NULL;
}

void nsm_ledger_run_release(struct nsm_ledger_run *run)
{
    for (size_t i = 0; i < run->n_namespaces; i++)
        nsm_ledger_namespace_release(&run->namespaces[i]);
    free(run->namespaces);
    free(run->run_id);
    free(run->fingerprint);
    free(run->status);
    free(run->error);
    *run = (struct nsm_ledger_run){0};
}
