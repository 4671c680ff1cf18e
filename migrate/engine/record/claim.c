/*
 * What keeps two runs out of one file or folder, for the adapters of stores that have no locks of their own: a lock file.
 */
#include "adapters/adapter.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/lock_file.h"

/* A process that was killed lets its locks go when its memory is free again. */
#define GRACE_NS      NSM_NS_PER_S
#define GRACE_STEP_NS (50 * NSM_NS_PER_MS)

#define MAX_HOLDER_BYTES 200

static struct nsm_error *refusal(const char *what, const char *held)
{
    char *holder NSM_CLEANUP(nsm_freep) = nsm_lock_file_holder(held);
    return nsm_error_new(NSM_E_CONFLICT,
                         "%s is being written by another run (%s): wait for it, or stop it", what,
                         holder[0] ? holder : "which has just begun");
}

struct nsm_error *nsm_backend_lock(const struct nsm_backend *backend, struct nsm_context *ctx,
                                   const char *path, const char *what, struct nsm_lock_file **ret)
{
    const int64_t until_ns = nsm_now_ns() + GRACE_NS;
    char *holder NSM_CLEANUP(nsm_freep) = nsm_backend_holder(backend, MAX_HOLDER_BYTES);
    char *text NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("%s\n%s\n", holder, backend->run_id ? backend->run_id : "");
    for (;;) {
        char *held NSM_CLEANUP(nsm_freep) = NULL;
        struct nsm_error *const error = nsm_lock_file_take(path, text, ret, &held);
        if (!nsm_error_is(error, NSM_E_CONFLICT))
            return error;
        nsm_error_ignore(error);
        if (strcmp(held, text) == 0)
            return NULL;
        if (nsm_now_ns() >= until_ns)
            return refusal(what, held);
        NSM_TRY(nsm_sleep(ctx, GRACE_STEP_NS));
    }
}
