/*
 * Contexts form a tree, and one lock guards the whole tree: a cancellation and the birth or death of a child can't
 * miss each other, and there is no order of locks to get wrong. What is asked often (is it cancelled?) reads an
 * atomic.
 *
 * A waker's mutex belongs to someone else, who may call in here with it held. So it is locked only while the tree's
 * lock is not: the waker is then marked as being broadcast to, and unregistering waits for that mark to go.
 */
#include "migrate/base/context.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/futex.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    STATE_STOPPING = 1 << 0,
    STATE_CANCELED = 1 << 1,
    STATE_HAS_DEADLINE = 1 << 2,
};

enum {
    NO_FD = -1,
    /* A deadline that is set while someone polls is seen after this time at the latest. */
    POLL_SLICE_MS = 250,
    /* The same for a cancellation, when there was no descriptor left to make it visible. */
    POLL_SLICE_NO_FD_MS = 50,
};

/* A broadcast that is under way, on the stack of its thread. */
struct broadcast {
    struct broadcast *next;
    const struct nsm_waker *current;
};

/* What all contexts below one root share. */
struct tree {
    /* Guards all links, holds, causes and wakers of the tree, and changes of the atomics. */
    pthread_mutex_t lock;
    pthread_cond_t broadcast_moved_on;
    struct broadcast *broadcasts;
};

struct nsm_context {
    atomic_uint state;
    atomic_int fd;
    _Atomic int64_t deadline_ns; /* the earliest of ours and all ancestors' */
    int64_t own_deadline_ns;
    struct tree *tree;
    struct nsm_context *parent;
    struct nsm_context *first_child;
    struct nsm_context *next_sibling;
    struct nsm_context *prev_sibling;
    size_t n_holds; /* the owner and each child */
    struct nsm_error *cause;
    struct nsm_waker wakers; /* the head of a ring */
    atomic_uint n_changes;   /* of state or deadline; a futex for sleepers */
};

static struct tree *tree_new(void)
{
    struct tree *const tree = nsm_xcalloc(1, sizeof *tree);
    pthread_mutex_init(&tree->lock, NULL);
    pthread_cond_init(&tree->broadcast_moved_on, NULL);
    return tree;
}

static void tree_free(struct tree *tree)
{
    pthread_cond_destroy(&tree->broadcast_moved_on);
    pthread_mutex_destroy(&tree->lock);
    free(tree);
}

static void ring_init(struct nsm_waker *head)
{
    head->next = head;
    head->prev = head;
}

static void ring_add(struct nsm_waker *head, struct nsm_waker *waker)
{
    waker->prev = head->prev;
    waker->next = head;
    head->prev->next = waker;
    head->prev = waker;
}

static void ring_remove(struct nsm_waker *waker)
{
    waker->prev->next = waker->next;
    waker->next->prev = waker->prev;
}

static void link_child(struct nsm_context *parent, struct nsm_context *child)
{
    child->parent = parent;
    child->next_sibling = parent->first_child;
    if (parent->first_child)
        parent->first_child->prev_sibling = child;
    parent->first_child = child;
    parent->n_holds++;
}

static void unlink_child(struct nsm_context *child)
{
    if (child->prev_sibling)
        child->prev_sibling->next_sibling = child->next_sibling;
    else
        child->parent->first_child = child->next_sibling;
    if (child->next_sibling)
        child->next_sibling->prev_sibling = child->prev_sibling;
}

struct nsm_context *nsm_context_new(struct nsm_context *parent)
{
    struct nsm_context *const ctx = nsm_xcalloc(1, sizeof *ctx);
    ctx->fd = NO_FD;
    ctx->deadline_ns = NSM_NEVER;
    ctx->own_deadline_ns = NSM_NEVER;
    ctx->n_holds = 1;
    ring_init(&ctx->wakers);

    if (!parent) {
        ctx->tree = tree_new();
        return ctx;
    }
    ctx->tree = parent->tree;
    pthread_mutex_lock(&ctx->tree->lock);
    link_child(parent, ctx);
    ctx->state = parent->state;
    ctx->deadline_ns = parent->deadline_ns;
    pthread_mutex_unlock(&ctx->tree->lock);
    return ctx;
}

static void destroy(struct nsm_context *ctx)
{
    nsm_error_free(ctx->cause);
    free(ctx);
}

void nsm_context_free(struct nsm_context *ctx)
{
    if (!ctx)
        return;
    struct tree *const tree = ctx->tree;
    pthread_mutex_lock(&tree->lock);
    assert(ctx->wakers.next == &ctx->wakers);
    const int fd = atomic_exchange(&ctx->fd, NO_FD);

    /* The last hold of a context gives back the one that it has on its parent. */
    struct nsm_context *dead = NULL;
    while (ctx && --ctx->n_holds == 0) {
        struct nsm_context *const parent = ctx->parent;
        if (parent)
            unlink_child(ctx);
        ctx->next_sibling = dead;
        dead = ctx;
        ctx = parent;
    }
    const bool is_root_dead = !ctx;
    pthread_mutex_unlock(&tree->lock);

    if (fd != NO_FD)
        close(fd);
    while (dead) {
        struct nsm_context *const next = dead->next_sibling;
        destroy(dead);
        dead = next;
    }
    if (is_root_dead)
        tree_free(tree);
}

/* The context after `ctx` in a walk of the descendants of `top`, NULL at the end; `ctx` itself is left with all
 * below it. */
static struct nsm_context *skip_below(const struct nsm_context *ctx, const struct nsm_context *top)
{
    while (ctx != top && !ctx->next_sibling)
        ctx = ctx->parent;
    return ctx == top ? NULL : ctx->next_sibling;
}

static struct nsm_context *walk(const struct nsm_context *ctx, const struct nsm_context *top)
{
    return ctx->first_child ? ctx->first_child : skip_below(ctx, top);
}

/* Wakes who sleeps on `ctx`, and puts its wakers aside for broadcast_to(). */
static void collect_waiters(struct nsm_context *ctx, struct nsm_waker *ret_pending)
{
    atomic_fetch_add(&ctx->n_changes, 1);
    nsm_futex_wake(&ctx->n_changes, INT_MAX);
    while (ctx->wakers.next != &ctx->wakers) {
        struct nsm_waker *const waker = ctx->wakers.next;
        ring_remove(waker);
        ring_add(ret_pending, waker);
    }
}

static void leave_broadcasts(struct tree *tree, const struct broadcast *broadcast)
{
    struct broadcast **at = &tree->broadcasts;
    while (*at != broadcast)
        at = &(*at)->next;
    *at = broadcast->next;
}

/* Called with the tree's lock, which is released around each broadcast. Each waker is back with its context
 * before. */
static void broadcast_to(struct tree *tree, struct nsm_waker *pending)
{
    if (pending->next == pending)
        return;
    struct broadcast broadcast = {.next = tree->broadcasts};
    tree->broadcasts = &broadcast;
    while (pending->next != pending) {
        struct nsm_waker *const waker = pending->next;
        ring_remove(waker);
        ring_add(&waker->ctx->wakers, waker);
        broadcast.current = waker;
        pthread_mutex_unlock(&tree->lock);

        pthread_mutex_lock(waker->mutex);
        pthread_cond_broadcast(waker->cond);
        pthread_mutex_unlock(waker->mutex);

        pthread_mutex_lock(&tree->lock);
        broadcast.current = NULL;
        pthread_cond_broadcast(&tree->broadcast_moved_on);
    }
    leave_broadcasts(tree, &broadcast);
}

/* Sets `bits` in ctx and all descendants and wakes whoever waits. Called with the tree's lock. */
static void set_state(struct nsm_context *top, unsigned bits)
{
    struct tree *const tree = top->tree;
    struct nsm_waker pending;
    ring_init(&pending);
    struct nsm_context *ctx = top;
    while (ctx) {
        const unsigned old = atomic_fetch_or(&ctx->state, bits);
        /* Whatever lies below has inherited them already. */
        if ((old & bits) == bits) {
            ctx = skip_below(ctx, top);
            continue;
        }
        if ((bits & STATE_CANCELED) && ctx->fd != NO_FD)
            (void)eventfd_write(ctx->fd, 1);
        collect_waiters(ctx, &pending);
        ctx = walk(ctx, top);
    }
    broadcast_to(tree, &pending);
}

/* The nearest cause, from ctx upwards; called with the tree's lock. */
static const struct nsm_error *find_cause(const struct nsm_context *ctx)
{
    for (; ctx; ctx = ctx->parent)
        if (ctx->cause)
            return ctx->cause;
    return NULL;
}

void nsm_context_cancel(struct nsm_context *ctx, struct nsm_error *cause)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *unused = cause;
    pthread_mutex_lock(&ctx->tree->lock);
    const bool was_canceled = ctx->state & STATE_CANCELED;
    const bool has_cause = ctx->cause || (was_canceled && find_cause(ctx));
    if (!has_cause)
        ctx->cause = NSM_STEAL(unused);
    if (!was_canceled)
        set_state(ctx, STATE_STOPPING | STATE_CANCELED);
    pthread_mutex_unlock(&ctx->tree->lock);
}

void nsm_context_stop(struct nsm_context *ctx)
{
    pthread_mutex_lock(&ctx->tree->lock);
    set_state(ctx, STATE_STOPPING);
    pthread_mutex_unlock(&ctx->tree->lock);
}

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

void nsm_context_set_deadline(struct nsm_context *top, int64_t at_ns)
{
    struct nsm_waker pending;
    ring_init(&pending);
    pthread_mutex_lock(&top->tree->lock);
    top->own_deadline_ns = at_ns;
    struct nsm_context *ctx = top;
    while (ctx) {
        const int64_t parents = ctx->parent ? ctx->parent->deadline_ns : NSM_NEVER;
        const int64_t deadline = earlier(ctx->own_deadline_ns, parents);
        if (deadline == ctx->deadline_ns) {
            ctx = skip_below(ctx, top);
            continue;
        }
        /* The time before the bit, so that who sees the bit sees the time. */
        ctx->deadline_ns = deadline;
        atomic_fetch_or(&ctx->state, STATE_HAS_DEADLINE);
        collect_waiters(ctx, &pending);
        ctx = walk(ctx, top);
    }
    broadcast_to(top->tree, &pending);
    pthread_mutex_unlock(&top->tree->lock);
}

int64_t nsm_context_deadline(const struct nsm_context *ctx)
{
    return atomic_load_explicit(&ctx->deadline_ns, memory_order_acquire);
}

static bool has_state(const struct nsm_context *ctx, unsigned bits)
{
    const unsigned state = atomic_load_explicit(&ctx->state, memory_order_acquire);
    if (state & bits)
        return true;
    return (state & STATE_HAS_DEADLINE) && nsm_now_ns() >= nsm_context_deadline(ctx);
}

bool nsm_context_is_canceled(const struct nsm_context *ctx)
{
    return has_state(ctx, STATE_CANCELED);
}

bool nsm_context_is_stopping(const struct nsm_context *ctx)
{
    return has_state(ctx, STATE_CANCELED | STATE_STOPPING);
}

/* What ends a wait that a state with one of `bits`, or the deadline, ends; NULL while nothing does. */
static struct nsm_error *end_of_wait(const struct nsm_context *ctx, unsigned bits)
{
    if (!has_state(ctx, bits))
        return NULL;
    if (atomic_load_explicit(&ctx->state, memory_order_acquire) & bits)
        return nsm_error_new(NSM_E_CANCELED, "canceled");
    return nsm_error_new(NSM_E_TIMEOUT, "deadline exceeded");
}

struct nsm_error *nsm_context_error(const struct nsm_context *ctx)
{
    return end_of_wait(ctx, STATE_CANCELED);
}

struct nsm_error *nsm_context_cause(const struct nsm_context *ctx)
{
    pthread_mutex_lock(&ctx->tree->lock);
    const bool is_canceled = ctx->state & STATE_CANCELED;
    struct nsm_error *const cause = is_canceled ? nsm_error_clone(find_cause(ctx)) : NULL;
    pthread_mutex_unlock(&ctx->tree->lock);
    return cause;
}

int nsm_context_fd(struct nsm_context *ctx)
{
    int fd = atomic_load_explicit(&ctx->fd, memory_order_acquire);
    if (fd != NO_FD)
        return fd;
    pthread_mutex_lock(&ctx->tree->lock);
    fd = ctx->fd;
    if (fd == NO_FD) {
        const unsigned readable = ctx->state & STATE_CANCELED ? 1 : 0;
        fd = eventfd(readable, EFD_CLOEXEC | EFD_NONBLOCK);
        ctx->fd = fd;
    }
    pthread_mutex_unlock(&ctx->tree->lock);
    return fd;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NSM_NS_PER_S, .tv_nsec = ns % NSM_NS_PER_S};
}

/* `ns` from now, as an absolute time; a time that can't be counted is never. */
static int64_t after(int64_t ns)
{
    int64_t at_ns = NSM_NEVER;
    if (__builtin_add_overflow(nsm_now_ns(), ns, &at_ns))
        return NSM_NEVER;
    return at_ns;
}

/* How long one poll may last. */
static struct timespec poll_time(const struct nsm_context *ctx, bool has_fd, int64_t timeout_at_ns)
{
    const int64_t slice_ns = (has_fd ? POLL_SLICE_MS : POLL_SLICE_NO_FD_MS) * NSM_NS_PER_MS;
    const int64_t end_ns = earlier(timeout_at_ns, nsm_context_deadline(ctx));
    const int64_t now_ns = nsm_now_ns();
    if (end_ns <= now_ns)
        return timespec_of(0);
    return timespec_of(earlier(end_ns - now_ns, slice_ns));
}

struct nsm_error *nsm_wait_fd(struct nsm_context *ctx, int fd, short events, int64_t timeout_ns,
                              short *ret_revents)
{
    const int64_t timeout_at_ns = after(timeout_ns);
    for (;;) {
        NSM_TRY(nsm_context_error(ctx));
        struct pollfd fds[] = {
            {.fd = fd, .events = events},
            {.fd = nsm_context_fd(ctx), .events = POLLIN},
        };
        const struct timespec time = poll_time(ctx, fds[1].fd != NO_FD, timeout_at_ns);
        const int n = ppoll(fds, NSM_COUNT_OF(fds), &time, NULL);
        if (n < 0 && errno != EINTR)
            return nsm_error_new(NSM_E_IO, "poll: %m");
        if (n > 0 && fds[1].revents)
            continue;
        if (n > 0 && (fds[0].revents & POLLNVAL))
            return nsm_error_new(NSM_E_INTERNAL, "descriptor %d is not open", fd);
        if (n > 0) {
            if (ret_revents)
                *ret_revents = fds[0].revents;
            return NULL;
        }
        if (nsm_now_ns() >= timeout_at_ns)
            return nsm_error_new(NSM_E_TIMEOUT, "no answer within %lld ms",
                                 (long long)(timeout_ns / NSM_NS_PER_MS));
    }
}

struct nsm_error *nsm_sleep(struct nsm_context *ctx, int64_t ns)
{
    const int64_t until_ns = after(ns);
    for (;;) {
        /* Read before the state: a change in between makes the futex return at once. */
        const unsigned n_changes = atomic_load(&ctx->n_changes);
        NSM_TRY(end_of_wait(ctx, STATE_CANCELED | STATE_STOPPING));
        if (nsm_now_ns() >= until_ns)
            return NULL;
        nsm_futex_wait(&ctx->n_changes, n_changes, earlier(until_ns, nsm_context_deadline(ctx)));
    }
}

void nsm_waker_register(struct nsm_waker *waker, struct nsm_context *ctx, pthread_mutex_t *mutex,
                        pthread_cond_t *cond)
{
    *waker = (struct nsm_waker){.ctx = ctx, .mutex = mutex, .cond = cond};
    pthread_mutex_lock(&ctx->tree->lock);
    ring_add(&ctx->wakers, waker);
    pthread_mutex_unlock(&ctx->tree->lock);
}

static bool is_being_broadcast(const struct tree *tree, const struct nsm_waker *waker)
{
    for (const struct broadcast *b = tree->broadcasts; b; b = b->next)
        if (b->current == waker)
            return true;
    return false;
}

void nsm_waker_unregister(struct nsm_waker *waker)
{
    struct tree *const tree = waker->ctx->tree;
    pthread_mutex_lock(&tree->lock);
    /* Out first, so that no second broadcast can begin while the first is waited for. */
    ring_remove(waker);
    while (is_being_broadcast(tree, waker))
        pthread_cond_wait(&tree->broadcast_moved_on, &tree->lock);
    pthread_mutex_unlock(&tree->lock);
}
