/*
 * Stores that may lose what they have acknowledged (a Redis that is restarted, fails over or evicts) are asked before the first row and
 * after the last one what they say of themselves. Where that differs nothing is called done before it was compared: this run fails, and
 * the next one compares what is finished and copies anew what is not as it was.
 */
#include "migrate/base/alloc.h"
#include "migrate/engine/internal.h"

#include <string.h>

struct question {
    struct nsm_store *store;
    struct nsm_buf *answer;
};

static struct nsm_error *ask_once(struct nsm_context *ctx, void *arg)
{
    const struct question *const question = arg;
    nsm_buf_clear(question->answer);
    return nsm_error_wrap(
        question->store->adapter->witness(question->store->backend, ctx, question->answer),
        "backend %s", question->store->plan->name);
}

static struct nsm_error *ask(const struct nsm_migration *migration, struct nsm_context *ctx,
                             struct nsm_store *store, struct nsm_buf *answer)
{
    struct question question = {.store = store, .answer = answer};
    return nsm_attempt(migration, NULL, ctx, ask_once, &question);
}

struct nsm_error *nsm_witness_begin(struct nsm_migration *migration, struct nsm_context *ctx)
{
    for (size_t at = 0; at < migration->plan->n_backends; at++) {
        struct nsm_store *const store = &migration->stores[at];
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf answer = NSM_BUF_TEXT;
        if (!store->is_destination || !store->adapter->witness)
            continue;
        NSM_TRY(ask(migration, ctx, store, &answer));
        store->witness = nsm_xstrdup(answer.ptr);
    }
    return NULL;
}

void nsm_witness_recall(struct nsm_ns *ns, struct nsm_ledger_namespace *known)
{
    const char *const now = ns->destination_store->witness;
    if (!now || known->step < NSM_STEP_PREPARED || !known->witness ||
        strcmp(known->witness, now) == 0)
        return;
    nsm_emit_text(ns, NSM_EVENT_WARNING,
                  "backend %s may have lost what it had acknowledged (before: %s; now: %s); %s",
                  ns->destination_store->plan->name, known->witness, now,
                  known->step >= NSM_STEP_FINISHED ? "both sides are compared"
                                                   : "the copy begins anew");
    nsm_ledger_doubt(ns->migration->ledger, ns->plan->name, now);
    if (known->step > NSM_STEP_FINISHED)
        known->step = NSM_STEP_FINISHED;
}

void nsm_witness_note(const struct nsm_ns *ns)
{
    if (ns->destination_store->witness)
        nsm_ledger_set_witness(ns->migration->ledger, ns->plan->name,
                               ns->destination_store->witness);
}

static void doubt_namespaces(struct nsm_migration *migration, const struct nsm_store *store,
                             const char *now)
{
    for (size_t at = 0; at < migration->n_namespaces; at++) {
        struct nsm_ns *const ns = &migration->namespaces[at];
        if (ns->destination_store != store)
            continue;
        nsm_ledger_doubt(migration->ledger, ns->plan->name, now);
        atomic_store(&ns->status, NSM_STATUS_FAILED);
    }
}

struct nsm_error *nsm_witness_end(struct nsm_migration *migration, struct nsm_context *ctx)
{
    for (size_t at = 0; at < migration->plan->n_backends; at++) {
        struct nsm_store *const store = &migration->stores[at];
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf now = NSM_BUF_TEXT;
        if (!store->witness)
            continue;
        NSM_TRY(ask(migration, ctx, store, &now));
        if (strcmp(store->witness, now.ptr) == 0)
            continue;
        doubt_namespaces(migration, store, now.ptr);
        return nsm_error_new(
            NSM_E_CORRUPT,
            "backend %s may have lost what it had acknowledged during the run (before: %s; now: %s): "
            "the same command compares both sides and copies anew what is not as it was",
            store->plan->name, store->witness, now.ptr);
    }
    return NULL;
}
