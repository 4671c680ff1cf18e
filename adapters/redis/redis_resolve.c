/* One lookup is shared by the caller and its thread; whoever leaves last frees it. */
#include "adapters/redis/redis_resolve.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "migrate/base/alloc.h"

struct lookup {
    atomic_uint n_holders;
    char *host;
    char port[8];
    int done_fd;         /* readable once it is done */
    atomic_bool is_done; /* the fields below are set */
    int status;          /* of getaddrinfo() */
    struct addrinfo *addresses;
};

static void lookup_drop(struct lookup *lookup)
{
    if (!lookup || atomic_fetch_sub(&lookup->n_holders, 1) > 1)
        return;
    if (lookup->addresses)
        freeaddrinfo(lookup->addresses);
    if (lookup->done_fd >= 0)
        close(lookup->done_fd);
    free(lookup->host);
    free(lookup);
}
NSM_DEFINE_CLEANUP(struct lookup, lookup_drop)

static int ask(const char *host, const char *port, int flags, struct addrinfo **ret)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = flags | AI_NUMERICSERV,
    };
    return getaddrinfo(host, port, &hints, ret);
}

static void *run_lookup(void *arg)
{
    struct lookup *lookup NSM_CLEANUP(lookup_dropp) = arg;
    lookup->status = ask(lookup->host, lookup->port, AI_ADDRCONFIG, &lookup->addresses);
    atomic_store(&lookup->is_done, true);
    if (eventfd_write(lookup->done_fd, 1) != 0)
        abort(); /* of a descriptor that is ours and nobody else's */
    return NULL;
}

static struct nsm_error *start_thread(struct lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    atomic_fetch_add(&lookup->n_holders, 1);
    pthread_t thread;
    const int status = pthread_create(&thread, &attributes, run_lookup, lookup);
    pthread_attr_destroy(&attributes);
    if (status == 0)
        return NULL;
    lookup_drop(lookup);
    return nsm_error_new(NSM_E_UNAVAILABLE, "no thread to look up the host");
}

static struct nsm_error *status_error(const char *host, int status)
{
    if (status == 0)
        return NULL;
    const enum nsm_code code =
        status == EAI_AGAIN || status == EAI_MEMORY ? NSM_E_UNAVAILABLE : NSM_E_NOTFOUND;
    return nsm_error_new(code, "host %s: %s", host, gai_strerror(status));
}

struct nsm_error *nsm_redis_resolve(struct nsm_context *ctx, const char *host, unsigned port,
                                    int64_t timeout_ns, struct addrinfo **ret)
{
    struct lookup *lookup NSM_CLEANUP(lookup_dropp) = nsm_xcalloc(1, sizeof(*lookup));
    atomic_init(&lookup->n_holders, 1);
    lookup->done_fd = -1;
    lookup->host = nsm_xstrdup(host);
    snprintf(lookup->port, sizeof(lookup->port), "%u", port);
    if (ask(lookup->host, lookup->port, AI_NUMERICHOST, &lookup->addresses) != 0) {
        lookup->done_fd = eventfd(0, EFD_CLOEXEC);
        if (lookup->done_fd < 0)
            return nsm_error_new(NSM_E_IO, "eventfd: %m");
        NSM_TRY(start_thread(lookup));
        NSM_TRY_WRAP(nsm_wait_fd(ctx, lookup->done_fd, POLLIN, timeout_ns, NULL), "host %s", host);
        if (!atomic_load(&lookup->is_done))
            return nsm_error_new(NSM_E_INTERNAL, "host %s: the lookup ended early", host);
        NSM_TRY(status_error(host, lookup->status));
    }
    *ret = NSM_STEAL(lookup->addresses);
    return NULL;
}
