/*
 * What differs, brought to the destination, and nothing else. In rounds: both sides are compared, the first differences kept by the
 * hash of their keys, their records found again and mended; until a comparison finds none, which is the proof, or no fewer than the
 * one before, because someone else writes.
 *
 * In a round, extra records go first, for what is written may need their place. Then, object by object and in one transaction where
 * the destination has them: rows that differ are taken away, all of them before the first is written, since they may have exchanged
 * what must be unique; then what is missing and different is written from the source. Keys are replaced by writing them.
 *
 * One thread per namespace: differences are few, or the plan should be run again.
 */
#include "migrate/engine/definitions.h"
#include "migrate/engine/ledger_folder.h"
#include "migrate/engine/side.h"

#include "migrate/base/alloc.h"

#include <unistd.h>

/* Kept for a round: 16 MiB. */
#define MAX_KEPT ((size_t)1 << 18)
/* Of extra records, held until their reader is closed: a SQLite file can't be written much while it is read. */
#define MAX_HELD_BYTES ((size_t)64 << 20)

struct repair {
    struct nsm_ns *ns;
    struct nsm_source written; /* the destination, as a source */
    const struct nsm_compare_result *found;
};

/* What happens to the records of one object while a side of it is read. */
struct mending {
    struct repair *repair;
    struct nsm_side side;
    size_t target;
    const char *marks;       /* which differences are wanted: "-", "*", "+*" */
    struct nsm_batch chosen; /* borrows from the batch that is read */
    struct nsm_batch held;   /* extra records, copied */
    bool is_full;            /* of held; there are more */
    struct nsm_write_request request;
    struct nsm_writer *writer;
    bool is_open, is_erasing;
};

/* ---- the writer of one object ---- */

static const struct nsm_adapter *adapter_of(const struct nsm_ns *ns)
{
    return ns->destination_store->adapter;
}

/* Opened for the first record that needs it. */
static struct nsm_error *need_writer(struct mending *mending, struct nsm_context *ctx)
{
    struct nsm_ns *const ns = mending->repair->ns;
    if (mending->is_open)
        return NULL;
    mending->request = (struct nsm_write_request){
        .destination = &ns->destination,
        .object = &ns->destination.target.objects[mending->target],
        .object_index = mending->target,
        .part_id = nsm_str_of("repair"),
        .lane = mending->side.lane,
        .is_repair = true,
    };
    mending->writer = nsm_xcalloc(1, adapter_of(ns)->writer_size);
    mending->writer->backend = ns->destination_store->backend;
    mending->writer->request = &mending->request;
    NSM_TRY(adapter_of(ns)->writer_open(mending->writer, ctx));
    mending->is_open = true;
    return NULL;
}

static struct nsm_error *commit(struct mending *mending, struct nsm_context *ctx)
{
    const struct nsm_checkpoint end = {.part_id = mending->request.part_id, .is_done = true};
    if (!mending->is_open)
        return NULL;
    return adapter_of(mending->repair->ns)->checkpoint(mending->writer, ctx, &end);
}

static void mending_init(struct mending *mending, struct repair *repair, size_t target)
{
    const enum nsm_lane lane =
        repair->ns->lane == NSM_LANE_REDIS_DUMP ? NSM_LANE_REDIS_DUMP : NSM_LANE_RECORD;
    *mending = (struct mending){
        .repair = repair,
        .target = target,
        .side = {.ns = repair->ns, .target = target, .lane = lane, .arg = mending},
    };
    nsm_batch_init(&mending->chosen, lane);
    nsm_batch_init(&mending->held, NSM_LANE_RECORD);
}

static void mending_release(struct mending *mending)
{
    if (mending->is_open)
        adapter_of(mending->repair->ns)->writer_close(mending->writer);
    free(mending->writer);
    nsm_batch_release(&mending->chosen);
    nsm_batch_release(&mending->held);
}

/* ---- records ---- */

static bool is_wanted(const struct mending *mending, const struct nsm_record *record)
{
    const struct nsm_compare_object object = nsm_side_object(&mending->side);
    const struct nsm_compare_difference *const difference =
        nsm_compare_find(mending->repair->found, nsm_compare_hash(record, &object));
    return difference && strchr(mending->marks, difference->mark);
}

/* From the destination: what is to go is copied. */
static struct nsm_error *hold_extra(void *arg, struct nsm_context *ctx,
                                    const struct nsm_batch *batch)
{
    struct mending *const mending = arg;
    struct nsm_batch *const held = &mending->held;
    (void)ctx;
    for (size_t at = 0; at < batch->n_records && !mending->is_full; at++) {
        const struct nsm_record *const record = &batch->records[at];
        if ((record->flags & NSM_RECORD_CONTINUED) || !is_wanted(mending, record))
            continue;
        const bool is_row = record->kind == NSM_KIND_ROW;
        struct nsm_record *const copy = nsm_batch_add(held, is_row ? NSM_KIND_ROW : NSM_KIND_STRING,
                                                      is_row ? record->n_items : 0);
        copy->key = nsm_batch_copy(held, record->key);
        for (size_t item = 0; item < copy->n_items; item++) {
            copy->items[item].type = record->items[item].type;
            copy->items[item].bytes = nsm_batch_copy(held, record->items[item].bytes);
        }
        nsm_batch_account(held);
        mending->is_full = held->n_bytes >= MAX_HELD_BYTES;
    }
    return NULL;
}

/* From the source: what is wanted is erased, or written. */
static struct nsm_error *mend_batch(void *arg, struct nsm_context *ctx,
                                    const struct nsm_batch *batch)
{
    struct mending *const mending = arg;
    const struct nsm_adapter *const adapter = adapter_of(mending->repair->ns);
    nsm_batch_clear(&mending->chosen);
    mending->chosen.lane = batch->lane;
    for (size_t at = 0; at < batch->n_records; at++) {
        if (!is_wanted(mending, &batch->records[at]))
            continue;
        struct nsm_record *const chosen = nsm_batch_add(&mending->chosen, NSM_KIND_STRING, 0);
        *chosen = batch->records[at];
        nsm_batch_account(&mending->chosen);
    }
    if (mending->chosen.n_records == 0)
        return NULL;
    NSM_TRY(need_writer(mending, ctx));
    return mending->is_erasing ? adapter->erase(mending->writer, ctx, &mending->chosen)
                               : adapter->write(mending->writer, ctx, &mending->chosen);
}

/* ---- one object ---- */

static struct nsm_error *read_object(struct mending *mending, struct nsm_context *ctx,
                                     const struct nsm_source *source)
{
    struct nsm_side *const side = &mending->side;
    const struct nsm_ns *const ns = mending->repair->ns;
    side->source = source;
    side->is_destination = source == &mending->repair->written;
    for (size_t at = 0; at < source->census.n_parts; at++) {
        side->part = &source->census.parts[at];
        const size_t target = side->is_destination
                                  ? side->part->object
                                  : nsm_layout_target_object(&ns->stage, side->part->object);
        if (target == mending->target)
            NSM_TRY(nsm_side_read(ctx, side));
    }
    return NULL;
}

static struct nsm_error *erase_extra(struct mending *mending, struct nsm_context *ctx)
{
    const struct repair *const repair = mending->repair;
    mending->marks = "-";
    mending->side.take = hold_extra;
    if (repair->found->n_extra == 0)
        return NULL;
    do {
        mending->is_full = false;
        nsm_batch_clear(&mending->held);
        NSM_TRY(read_object(mending, ctx, &repair->written));
        if (mending->held.n_records == 0)
            break;
        NSM_TRY(need_writer(mending, ctx));
        NSM_TRY(adapter_of(repair->ns)->erase(mending->writer, ctx, &mending->held));
        NSM_TRY(commit(mending, ctx));
    } while (mending->is_full);
    return NULL;
}

static struct nsm_error *write_missing(struct mending *mending, struct nsm_context *ctx)
{
    const struct repair *const repair = mending->repair;
    const struct nsm_source *const source = &repair->ns->source;
    const bool has_rows =
        repair->ns->destination.target.objects[mending->target].model == NSM_MODEL_ROWS;
    mending->side.take = mend_batch;
    if (has_rows && repair->found->n_different > 0) {
        mending->marks = "*";
        mending->is_erasing = true;
        NSM_TRY(read_object(mending, ctx, source));
        mending->is_erasing = false;
    }
    mending->marks = "+*";
    if (repair->found->n_missing + repair->found->n_different > 0)
        NSM_TRY(read_object(mending, ctx, source));
    return commit(mending, ctx);
}

static struct nsm_error *mend_object(struct repair *repair, struct nsm_context *ctx, size_t target)
{
    struct mending mending;
    mending_init(&mending, repair, target);
    struct nsm_error *error = erase_extra(&mending, ctx);
    if (!error)
        error = write_missing(&mending, ctx);
    mending_release(&mending);
    return error;
}

/* ---- one round ---- */

static struct nsm_error *mend(struct repair *repair, struct nsm_context *ctx)
{
    struct nsm_ns *const ns = repair->ns;
    NSM_TRY(nsm_survey_written(ns, ctx, 0, &repair->written));
    for (size_t at = 0; at < ns->destination.target.n_objects; at++)
        NSM_TRY(mend_object(repair, ctx, at));
    return NULL;
}

static struct nsm_error *mend_found(struct nsm_ns *ns, struct nsm_context *ctx,
                                    const struct nsm_compare_result *found)
{
    struct repair repair = {.ns = ns, .found = found};
    struct nsm_board *const board = &ns->migration->board;
    struct nsm_budget *const from = &ns->source_store->budget;
    struct nsm_budget *const to = &ns->destination_store->budget;
    NSM_TRY(nsm_board_acquire(board, ctx, from, to));
    struct nsm_error *const error = mend(&repair, ctx);
    nsm_board_give_back(board, from, to);
    nsm_source_close(&repair.written);
    return error;
}

static uint64_t count(const struct nsm_compare_result *result)
{
    return result->n_missing + result->n_extra + result->n_different;
}

struct rounds {
    struct nsm_ns *ns;
    uint64_t n_before; /* differences that the last comparison found */
    bool is_told, is_end;
};

/* After a lost connection nobody knows what was committed: the comparison tells. */
static struct nsm_error *make_round(struct nsm_context *ctx, void *arg)
{
    struct rounds *const rounds = arg;
    struct nsm_ns *const ns = rounds->ns;
    const bool is_dry = ns->migration->options->is_dry_run;
    NSM_CLEANUP(nsm_compare_freep) struct nsm_compare *compare = NULL;
    nsm_ns_enter(ns, "verify");
    NSM_TRY_WRAP(nsm_compare_ns(ns, ctx, NSM_VERIFY_RECORDS, is_dry ? 0 : MAX_KEPT, &compare),
                 "verify");
    const struct nsm_compare_result *const found = compare ? nsm_compare_result(compare) : NULL;
    ns->n_left = found ? count(found) : 0;
    if (!rounds->is_told && found)
        nsm_verify_tell(ns, found);
    rounds->is_told = true;
    rounds->is_end = is_dry || ns->n_left == 0 || ns->n_left >= rounds->n_before;
    if (rounds->is_end)
        return NULL;
    nsm_ns_enter(ns, "repair");
    NSM_TRY_WRAP(mend_found(ns, ctx, found), "repair");
    rounds->n_before = ns->n_left;
    return NULL;
}

/* When the rows are what they should be, for a unique index needs that. */
static struct nsm_error *mend_definitions(struct nsm_ns *ns, struct nsm_context *ctx,
                                          uint64_t *ret_n_left)
{
    struct nsm_board *const board = &ns->migration->board;
    struct nsm_budget *const from = &ns->source_store->budget;
    struct nsm_budget *const to = &ns->destination_store->budget;
    NSM_TRY(nsm_board_acquire(board, ctx, from, to));
    struct nsm_error *const error = nsm_definitions_mend(ns, ctx, ret_n_left);
    nsm_board_give_back(board, from, to);
    return error;
}

struct nsm_error *nsm_repair_ns(struct nsm_ns *ns, struct nsm_context *ctx)
{
    NSM_TRY(nsm_ns_repair_refusal(ns));
    if (!adapter_of(ns)->erase) {
        return nsm_error_new(NSM_E_UNSUPPORTED,
                             "backend %s: adapter %s can't change single records: run the plan "
                             "again, with --fresh and if_exists: replace",
                             ns->destination_store->plan->name, adapter_of(ns)->name);
    }
    struct rounds rounds = {.ns = ns, .n_before = UINT64_MAX};
    while (!rounds.is_end)
        NSM_TRY(nsm_attempt(ns->migration, ns, ctx, make_round, &rounds));
    uint64_t n_left = ns->n_definitions;
    if (n_left > 0 && !ns->migration->options->is_dry_run)
        NSM_TRY_WRAP(mend_definitions(ns, ctx, &n_left), "repair");
    ns->n_left += n_left;
    return NULL;
}

/* ---- beside runs ---- */

/* A run that was interrupted is taken up by itself, and its checkpoints would not know what was repaired. */
static struct nsm_error *refuse_unfinished(const struct nsm_migration *migration,
                                           const struct nsm_ledger_folder *folder)
{
    if (access(folder->db_path, F_OK) != 0)
        return NULL;
    NSM_CLEANUP(nsm_ledger_freep) struct nsm_ledger *ledger = NULL;
    NSM_TRY(nsm_ledger_open(migration->plan, NSM_LEDGER_READ_ONLY, &ledger));
    if (nsm_ledger_is_complete(ledger))
        return NULL;
    return nsm_error_new(NSM_E_INVALID,
                         "the run of plan %s is not finished: nsmigrate run takes it up",
                         migration->plan->name);
}

static struct nsm_error *keep_runs_out(const struct nsm_migration *migration,
                                       struct nsm_ledger_folder *folder, bool *ret_is_locked)
{
    NSM_TRY(nsm_ledger_folder_make(folder));
    struct nsm_error *const error = nsm_ledger_folder_lock(folder);
    if (error) {
        *ret_is_locked = nsm_error_is(error, NSM_E_CONFLICT);
        return error;
    }
    return refuse_unfinished(migration, folder);
}

struct nsm_error *nsm_migration_repair(struct nsm_migration *migration, struct nsm_context *ctx,
                                       struct nsm_report *ret, bool *ret_is_locked)
{
    NSM_CLEANUP(nsm_ledger_folder_release) struct nsm_ledger_folder folder;
    nsm_ledger_folder_init(&folder, migration->plan);
    *ret_is_locked = false;
    *ret = (struct nsm_report){0};
    if (!migration->options->is_dry_run)
        NSM_TRY(keep_runs_out(migration, &folder, ret_is_locked));
    return nsm_compare_all(migration, ctx, nsm_repair_ns, ret);
}
