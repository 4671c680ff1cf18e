/*
 * Faults of the adapter `memory`. Calls are counted in the backend, not by thread, so that "the
 * fifth write" means the same under any number of workers.
 */
#include "adapters/memory/fault.h"

#include <assert.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "migrate/base/clock.h"

/* The place of `word` in "a|b|c". */
static unsigned choice_index(const char *choices, const char *word)
{
    const size_t len = strlen(word);
    unsigned index = 0;
    for (const char *at = choices;; index++) {
        if (strncmp(at, word, len) == 0 && (at[len] == '|' || at[len] == '\0'))
            return index;
        at = strchr(at, '|');
        assert(at && "the plan lets only choices pass");
        at++;
    }
}

static enum memory_op op_setting(const struct nsm_settings *settings, const char *key)
{
    return (enum memory_op)choice_index(MEMORY_OPS, nsm_settings_string(settings, key));
}

struct nsm_error *memory_faults_init(struct memory_faults *faults,
                                     const struct nsm_settings *settings)
{
    faults->fail.op = op_setting(settings, "fail_op");
    faults->fail.at = nsm_settings_u64(settings, "fail_at");
    faults->fail.times = nsm_settings_u64(settings, "fail_times");
    faults->fail.namespace_name = nsm_settings_string(settings, "fail_namespace");
    faults->stall.op = op_setting(settings, "stall_op");
    faults->stall.at = nsm_settings_u64(settings, "stall_at");
    faults->stall.times = 1;
    faults->stall.namespace_name = nsm_settings_string(settings, "stall_namespace");
    faults->code = (enum nsm_code)(
        choice_index(MEMORY_CODES, nsm_settings_string(settings, "fail_code")) + NSM_E_NOMEM);
    faults->delay_ns = (int64_t)nsm_settings_u64(settings, "delay") * NSM_NS_PER_MS;
    faults->idle_fd = -1;
    if (faults->stall.op == MEMORY_OP_NONE && faults->delay_ns == 0)
        return NULL;
    faults->idle_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (faults->idle_fd < 0)
        return nsm_error_new(NSM_E_IO, "eventfd: %m");
    return NULL;
}

void memory_faults_release(struct memory_faults *faults)
{
    if (faults->idle_fd >= 0)
        close(faults->idle_fd);
}

static bool is_met(struct memory_fault *fault, enum memory_op op, const char *namespace_name)
{
    if (fault->op == MEMORY_OP_NONE || fault->op != op)
        return false;
    if (fault->namespace_name &&
        (!namespace_name || strcmp(fault->namespace_name, namespace_name) != 0))
        return false;
    const uint64_t call = atomic_fetch_add(&fault->n_calls, 1) + 1;
    return call >= fault->at && (fault->times == 0 || call - fault->at < fault->times);
}

/* Not nsm_sleep(): that wakes on a stop as well, and a reader or writer goes on until its
 * checkpoint. */
static struct nsm_error *wait_idle(struct memory_faults *faults, struct nsm_context *ctx,
                                   int64_t timeout_ns)
{
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_wait_fd(ctx, faults->idle_fd, POLLIN, timeout_ns, NULL);
    if (nsm_error_is(error, NSM_E_TIMEOUT) && !nsm_context_is_canceled(ctx))
        return NULL;
    return NSM_STEAL(error);
}

struct nsm_error *memory_faults_enter(struct memory_faults *faults, struct nsm_context *ctx,
                                      enum memory_op op, const char *namespace_name)
{
    NSM_TRY(nsm_context_error(ctx));
    if (faults->delay_ns > 0 && (op == MEMORY_OP_READ || op == MEMORY_OP_WRITE))
        NSM_TRY(wait_idle(faults, ctx, faults->delay_ns));
    if (is_met(&faults->stall, op, namespace_name))
        NSM_TRY(wait_idle(faults, ctx, NSM_NEVER));
    if (is_met(&faults->fail, op, namespace_name))
        return nsm_error_new(faults->code, "the %s that fail_op ordered",
                             nsm_code_name(faults->code));
    return NULL;
}
