/* Contexts: who is cancelled by whom, why, when; and that whatever waits wakes up. */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/context.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Far longer than any step takes, on any machine; a test that waits so long has failed. */
#define LONG_NS (60 * NSM_NS_PER_S)

static void assert_error(struct nsm_error *error, enum nsm_code code)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *owned = error;
    assert_non_null(owned);
    assert_int_equal(nsm_error_code(owned), code);
}

static void assert_cause(const struct nsm_context *ctx, const char *expected)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *cause = nsm_context_cause(ctx);
    NSM_CLEANUP(nsm_freep) char *text = cause ? nsm_error_text(cause) : NULL;
    if (expected) {
        assert_non_null(text);
        assert_string_equal(text, expected);
    } else {
        assert_null(text);
    }
}

static bool is_readable(struct nsm_context *ctx)
{
    struct pollfd fd = {.fd = nsm_context_fd(ctx), .events = POLLIN};
    assert_true(fd.fd >= 0);
    return poll(&fd, 1, 0) == 1;
}

static void a_new_context_runs(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    assert_false(nsm_context_is_canceled(ctx));
    assert_false(nsm_context_is_stopping(ctx));
    assert_null(nsm_context_error(ctx));
    assert_cause(ctx, NULL);
    assert_true(nsm_context_deadline(ctx) == NSM_NEVER);
    assert_false(is_readable(ctx));
    nsm_context_free(NULL);
}

static void the_first_cause_is_kept(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    nsm_context_cancel(ctx, NULL);
    assert_cause(ctx, NULL);
    nsm_context_cancel(ctx, nsm_error_new(NSM_E_IO, "disk full"));
    nsm_context_cancel(ctx, nsm_error_new(NSM_E_IO, "later"));
    assert_cause(ctx, "disk full");
    assert_error(nsm_context_error(ctx), NSM_E_CANCELED);
    assert_true(nsm_context_is_stopping(ctx));
    assert_true(is_readable(ctx));
}

static void cancellation_goes_down_and_not_up_or_aside(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *root = nsm_context_new(NULL);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *a = nsm_context_new(root);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *b = nsm_context_new(root);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *a1 = nsm_context_new(a);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *a11 = nsm_context_new(a1);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *a2 = nsm_context_new(a);
    const int fd_before = nsm_context_fd(a11);
    nsm_context_cancel(a, nsm_error_new(NSM_E_IO, "a failed"));
    assert_false(nsm_context_is_canceled(root));
    assert_false(nsm_context_is_canceled(b));
    assert_true(nsm_context_is_canceled(a1));
    assert_true(nsm_context_is_canceled(a11));
    assert_true(nsm_context_is_canceled(a2));
    assert_int_equal(nsm_context_fd(a11), fd_before);
    assert_true(is_readable(a11));
    assert_true(is_readable(a2)); /* its descriptor is made only now */
    assert_false(is_readable(b));
    assert_cause(a11, "a failed");
    assert_cause(b, NULL);

    NSM_CLEANUP(nsm_context_freep) struct nsm_context *late = nsm_context_new(a11);
    assert_true(nsm_context_is_canceled(late));
    assert_true(is_readable(late));
    assert_cause(late, "a failed");
}

static void the_nearest_cause_is_told(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *root = nsm_context_new(NULL);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *child = nsm_context_new(root);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *other = nsm_context_new(root);
    nsm_context_cancel(child, nsm_error_new(NSM_E_IO, "child's"));
    nsm_context_cancel(root, nsm_error_new(NSM_E_IO, "root's"));
    nsm_context_cancel(other, nsm_error_new(NSM_E_IO, "too late"));
    assert_cause(child, "child's");
    assert_cause(other, "root's");
    assert_cause(root, "root's");
}

static void a_stop_is_no_cancel(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *root = nsm_context_new(NULL);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *child = nsm_context_new(root);
    nsm_context_stop(root);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *late = nsm_context_new(root);
    struct nsm_context *const all[] = {root, child, late};
    for (size_t i = 0; i < NSM_COUNT_OF(all); i++) {
        assert_true(nsm_context_is_stopping(all[i]));
        assert_false(nsm_context_is_canceled(all[i]));
        assert_null(nsm_context_error(all[i]));
        assert_false(is_readable(all[i]));
        /* I/O of the last batch goes on; only who sleeps rests at once. */
        assert_error(nsm_wait_fd(all[i], -1, 0, NSM_NS_PER_MS, NULL), NSM_E_TIMEOUT);
        assert_error(nsm_sleep(all[i], LONG_NS), NSM_E_CANCELED);
    }
    nsm_context_cancel(root, NULL);
    for (size_t i = 0; i < NSM_COUNT_OF(all); i++)
        assert_true(nsm_context_is_canceled(all[i]) && is_readable(all[i]));
}

static void deadlines_are_inherited_and_never_later_than_the_parents(void **state)
{
    (void)state;
    const int64_t now = nsm_now_ns();
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *root = nsm_context_new(NULL);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *before = nsm_context_new(root);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *below = nsm_context_new(before);
    nsm_context_set_deadline(root, now + 5 * LONG_NS);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *after = nsm_context_new(root);
    assert_true(nsm_context_deadline(below) == now + 5 * LONG_NS);
    assert_true(nsm_context_deadline(after) == now + 5 * LONG_NS);

    nsm_context_set_deadline(before, now + 9 * LONG_NS);
    assert_true(nsm_context_deadline(before) == now + 5 * LONG_NS);
    nsm_context_set_deadline(before, now + 2 * LONG_NS);
    assert_true(nsm_context_deadline(below) == now + 2 * LONG_NS);
    assert_true(nsm_context_deadline(after) == now + 5 * LONG_NS);

    nsm_context_set_deadline(root, now);
    assert_true(nsm_context_is_canceled(below));
    assert_true(nsm_context_is_stopping(after));
    assert_error(nsm_context_error(below), NSM_E_TIMEOUT);
    assert_cause(below, NULL);
    assert_error(nsm_sleep(below, LONG_NS), NSM_E_TIMEOUT);
    assert_error(nsm_wait_fd(below, -1, 0, NSM_NEVER, NULL), NSM_E_TIMEOUT);
    assert_false(is_readable(below));
    nsm_context_cancel(root, NULL);
    assert_error(nsm_context_error(below), NSM_E_CANCELED);
}

static void a_child_keeps_its_parent(void **state)
{
    (void)state;
    struct nsm_context *root = nsm_context_new(NULL);
    struct nsm_context *middle = nsm_context_new(root);
    struct nsm_context *leaf = nsm_context_new(middle);
    struct nsm_context *second = nsm_context_new(middle);
    assert_false(is_readable(middle));
    nsm_context_cancel(middle, nsm_error_new(NSM_E_IO, "kept"));
    nsm_context_free(middle);
    nsm_context_free(second);
    assert_cause(leaf, "kept");
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *late = nsm_context_new(leaf);
    nsm_context_free(root);
    nsm_context_free(leaf);
    assert_cause(late, "kept");
}

static void contexts_without_waits_cost_no_descriptor(void **state)
{
    (void)state;
    enum {
        N = 10000
    };
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *root = nsm_context_new(NULL);
    NSM_CLEANUP(nsm_freep) struct nsm_context **all = nsm_xcalloc(N, sizeof(struct nsm_context *));
    const int probe_before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(probe_before);
    for (int i = 0; i < N; i++)
        all[i] = nsm_context_new(i % 3 ? all[i - 1] : root);
    nsm_context_cancel(root, NULL);
    const int probe_after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(probe_after);
    assert_int_equal(probe_after, probe_before);
    for (int i = 0; i < N; i++) {
        assert_true(nsm_context_is_canceled(all[i]));
        nsm_context_free(all[i]);
    }
}

static void a_chain_of_any_depth_is_walked(void **state)
{
    (void)state;
    enum {
        DEPTH = 100000
    };
    struct nsm_context *const root = nsm_context_new(NULL);
    struct nsm_context *leaf = nsm_context_new(root);
    for (int i = 0; i < DEPTH; i++) {
        struct nsm_context *const next = nsm_context_new(leaf);
        nsm_context_free(leaf);
        leaf = next;
    }
    nsm_context_cancel(root, nsm_error_new(NSM_E_IO, "far away"));
    assert_cause(leaf, "far away");
    nsm_context_free(root);
    nsm_context_free(leaf);
}

static void a_ready_descriptor_is_told(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    short revents = 0;
    assert_null(nsm_wait_fd(ctx, ends[0], POLLIN | POLLOUT, NSM_NEVER, &revents));
    assert_int_equal(revents, POLLOUT);
    assert_error(nsm_wait_fd(ctx, ends[0], POLLIN, 0, NULL), NSM_E_TIMEOUT);
    assert_error(nsm_wait_fd(ctx, ends[0], POLLIN, 5 * NSM_NS_PER_MS, NULL), NSM_E_TIMEOUT);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_null(nsm_wait_fd(ctx, ends[0], POLLIN, 0, NULL));
    assert_null(nsm_wait_fd(ctx, ends[0], POLLIN, NSM_NEVER, &revents));
    assert_int_equal(revents, POLLIN);
    close(ends[1]);
    assert_null(nsm_wait_fd(ctx, ends[0], POLLOUT, NSM_NEVER, &revents));
    assert_true(revents & POLLHUP);

    revents = 0;
    nsm_context_cancel(ctx, NULL);
    assert_error(nsm_wait_fd(ctx, ends[0], POLLIN, NSM_NEVER, &revents), NSM_E_CANCELED);
    assert_int_equal(revents, 0);
    close(ends[0]);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *other = nsm_context_new(NULL);
    const int closed = nsm_context_fd(other) + 100;
    assert_error(nsm_wait_fd(other, closed, POLLIN, NSM_NEVER, NULL), NSM_E_INTERNAL);
}

static void a_sleep_lasts_as_long_as_asked(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    const int64_t start = nsm_now_ns();
    assert_null(nsm_sleep(ctx, 20 * NSM_NS_PER_MS));
    assert_true(nsm_now_ns() - start >= 20 * NSM_NS_PER_MS);
    assert_null(nsm_sleep(ctx, 0));
    assert_null(nsm_sleep(ctx, -5));
}

/* A thread that waits in one of the ways, and what ended it. */
enum way {
    WAY_SLEEP,
    WAY_FD,
    WAY_FD_TIMEOUT,
    WAY_COND,
    N_WAYS,
};

struct waiter {
    struct nsm_context *ctx;
    enum way way;
    pthread_t thread;
    struct nsm_error *error;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    atomic_int *n_started;
};

static struct nsm_error *wait_on_cond(struct waiter *waiter)
{
    struct nsm_waker waker;
    nsm_waker_register(&waker, waiter->ctx, &waiter->mutex, &waiter->cond);
    pthread_mutex_lock(&waiter->mutex);
    while (!nsm_context_is_canceled(waiter->ctx))
        pthread_cond_wait(&waiter->cond, &waiter->mutex);
    pthread_mutex_unlock(&waiter->mutex);
    nsm_waker_unregister(&waker);
    return nsm_context_error(waiter->ctx);
}

static void *run_waiter(void *arg)
{
    struct waiter *const waiter = arg;
    atomic_fetch_add(waiter->n_started, 1);
    switch (waiter->way) {
    case WAY_SLEEP:
        waiter->error = nsm_sleep(waiter->ctx, LONG_NS);
        break;
    case WAY_FD:
        waiter->error = nsm_wait_fd(waiter->ctx, -1, 0, NSM_NEVER, NULL);
        break;
    case WAY_FD_TIMEOUT:
        waiter->error = nsm_wait_fd(waiter->ctx, -1, 0, LONG_NS, NULL);
        break;
    case WAY_COND:
        waiter->error = wait_on_cond(waiter);
        break;
    case N_WAYS:
        break;
    }
    return NULL;
}

enum {
    N_WAITERS = 3 * N_WAYS
};

static void start_waiters(struct waiter *waiters, struct nsm_context *const ctx[3],
                          atomic_int *n_started)
{
    for (size_t i = 0; i < N_WAITERS; i++) {
        struct waiter *const waiter = &waiters[i];
        *waiter = (struct waiter){
            .ctx = ctx[i / N_WAYS], .way = (enum way)(i % N_WAYS), .n_started = n_started};
        pthread_mutex_init(&waiter->mutex, NULL);
        pthread_cond_init(&waiter->cond, NULL);
        assert_int_equal(pthread_create(&waiter->thread, NULL, run_waiter, waiter), 0);
    }
}

static void join_waiters(struct waiter *waiters, enum nsm_code code)
{
    for (size_t i = 0; i < N_WAITERS; i++) {
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
        assert_error(waiters[i].error, code);
        pthread_cond_destroy(&waiters[i].cond);
        pthread_mutex_destroy(&waiters[i].mutex);
    }
}

/* Cancels at any moment of the waiters' way into their waits. */
static void whatever_waits_wakes(void **state)
{
    (void)state;
    for (int round = 0; round < 150; round++) {
        struct nsm_context *const root = nsm_context_new(NULL);
        struct nsm_context *const middle = nsm_context_new(root);
        struct nsm_context *const ctx[3] = {root, middle, nsm_context_new(middle)};
        struct waiter waiters[N_WAITERS];
        atomic_int n_started = 0;
        start_waiters(waiters, ctx, &n_started);
        while (atomic_load(&n_started) < round % (N_WAITERS + 1))
            sched_yield();
        nsm_context_cancel(root, nsm_error_new(NSM_E_IO, "cause"));
        join_waiters(waiters, NSM_E_CANCELED);
        for (size_t i = 0; i < 3; i++)
            nsm_context_free(ctx[i]);
    }
}

static void a_stop_wakes_sleepers(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct nsm_context *const ctx = nsm_context_new(NULL);
        struct waiter waiter = {.ctx = ctx, .way = WAY_SLEEP};
        atomic_int n_started = 0;
        waiter.n_started = &n_started;
        assert_int_equal(pthread_create(&waiter.thread, NULL, run_waiter, &waiter), 0);
        while (round % 2 && atomic_load(&n_started) == 0)
            sched_yield();
        nsm_context_stop(ctx);
        assert_int_equal(pthread_join(waiter.thread, NULL), 0);
        assert_error(waiter.error, NSM_E_CANCELED);
        nsm_context_free(ctx);
    }
}

/* One that is set while they wait; the wakers are called so that they can look at it. */
static void a_deadline_ends_waits_that_began_before(void **state)
{
    (void)state;
    struct nsm_context *const root = nsm_context_new(NULL);
    struct nsm_context *const middle = nsm_context_new(root);
    struct nsm_context *const ctx[3] = {root, middle, nsm_context_new(middle)};
    struct waiter waiters[N_WAITERS];
    atomic_int n_started = 0;
    start_waiters(waiters, ctx, &n_started);
    while (atomic_load(&n_started) < N_WAITERS)
        sched_yield();
    nsm_context_set_deadline(root, nsm_now_ns());
    join_waiters(waiters, NSM_E_TIMEOUT);
    for (size_t i = 0; i < 3; i++)
        nsm_context_free(ctx[i]);
}

struct closer {
    struct nsm_context *ctx;
    atomic_bool is_done;
};

static void *cancel_soon(void *arg)
{
    struct closer *const closer = arg;
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *own = nsm_context_new(NULL);
    nsm_error_ignore(nsm_sleep(own, 20 * NSM_NS_PER_MS));
    nsm_context_cancel(closer->ctx, NULL);
    atomic_store(&closer->is_done, true);
    return NULL;
}

static void cancellation_is_seen_without_a_descriptor(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(NULL);
    const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = before.rlim_max};
    close(lowest);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

    const int fd = nsm_context_fd(ctx);
    struct closer closer = {.ctx = ctx};
    pthread_t thread;
    const int made = pthread_create(&thread, NULL, cancel_soon, &closer);
    struct nsm_error *const error = nsm_wait_fd(ctx, -1, 0, LONG_NS, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    assert_int_equal(made, 0);
    assert_int_equal(fd, -1);
    assert_error(error, NSM_E_CANCELED);
    assert_true(is_readable(ctx)); /* once there are descriptors again */
}

/* Wakers that come and go while others cancel, stop and set deadlines: a freed one must never be touched. */
struct churn {
    struct nsm_context *root;
    atomic_bool is_over;
};

static void *register_and_leave(void *arg)
{
    struct churn *const churn = arg;
    while (!atomic_load(&churn->is_over)) {
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *ctx = nsm_context_new(churn->root);
        /* On the heap, so that a sanitizer sees a late use. */
        NSM_CLEANUP(nsm_freep) struct nsm_waker *waker = nsm_xcalloc(1, sizeof *waker);
        NSM_CLEANUP(nsm_freep) pthread_mutex_t *mutex = nsm_xcalloc(1, sizeof *mutex);
        NSM_CLEANUP(nsm_freep) pthread_cond_t *cond = nsm_xcalloc(1, sizeof *cond);
        pthread_mutex_init(mutex, NULL);
        pthread_cond_init(cond, NULL);
        nsm_waker_register(waker, ctx, mutex, cond);
        sched_yield();
        nsm_waker_unregister(waker);
        pthread_cond_destroy(cond);
        pthread_mutex_destroy(mutex);
    }
    return NULL;
}

static void *set_deadlines(void *arg)
{
    struct churn *const churn = arg;
    for (int64_t i = 0; !atomic_load(&churn->is_over); i++)
        nsm_context_set_deadline(churn->root, nsm_now_ns() + LONG_NS + i);
    return NULL;
}

static void wakers_leave_while_they_are_called(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct churn churn = {.root = nsm_context_new(NULL)};
        pthread_t threads[6];
        for (size_t i = 0; i < NSM_COUNT_OF(threads); i++) {
            void *(*const fn)(void *) = i < 4 ? register_and_leave : set_deadlines;
            assert_int_equal(pthread_create(&threads[i], NULL, fn, &churn), 0);
        }
        NSM_CLEANUP(nsm_context_freep) struct nsm_context *own = nsm_context_new(NULL);
        assert_null(nsm_sleep(own, 10 * NSM_NS_PER_MS));
        nsm_context_stop(churn.root);
        nsm_context_cancel(churn.root, nsm_error_new(NSM_E_IO, "cause"));
        atomic_store(&churn.is_over, true);
        for (size_t i = 0; i < NSM_COUNT_OF(threads); i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        nsm_context_free(churn.root);
    }
}

/* Children are born while the root is cancelled: none may be missed. */
struct birth {
    struct nsm_context *root;
    size_t n_missed;
};

static void *bear_children(void *arg)
{
    struct birth *const birth = arg;
    enum {
        N = 50
    };
    struct nsm_context *children[N];
    for (size_t i = 0; i < N; i++)
        children[i] = nsm_context_new(i % 4 ? children[i - 1] : birth->root);
    for (size_t i = 0; i < N; i++) {
        /* Ends in time only if the cancellation arrives. */
        struct nsm_error *const error = nsm_wait_fd(children[i], -1, 0, LONG_NS, NULL);
        if (!nsm_error_is(error, NSM_E_CANCELED))
            birth->n_missed++;
        nsm_error_free(error);
        nsm_context_free(children[i]);
    }
    return NULL;
}

static void no_child_misses_a_cancellation(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct nsm_context *const root = nsm_context_new(NULL);
        struct birth births[4];
        pthread_t threads[4];
        for (size_t i = 0; i < NSM_COUNT_OF(threads); i++) {
            births[i] = (struct birth){.root = root};
            assert_int_equal(pthread_create(&threads[i], NULL, bear_children, &births[i]), 0);
        }
        for (int i = 0; i < round; i++)
            sched_yield();
        nsm_context_cancel(root, NULL);
        for (size_t i = 0; i < NSM_COUNT_OF(threads); i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(births[i].n_missed, 0);
        }
        nsm_context_free(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_context_runs),
        cmocka_unit_test(the_first_cause_is_kept),
        cmocka_unit_test(cancellation_goes_down_and_not_up_or_aside),
        cmocka_unit_test(the_nearest_cause_is_told),
        cmocka_unit_test(a_stop_is_no_cancel),
        cmocka_unit_test(deadlines_are_inherited_and_never_later_than_the_parents),
        cmocka_unit_test(a_child_keeps_its_parent),
        cmocka_unit_test(contexts_without_waits_cost_no_descriptor),
        cmocka_unit_test(a_chain_of_any_depth_is_walked),
        cmocka_unit_test(a_ready_descriptor_is_told),
        cmocka_unit_test(a_sleep_lasts_as_long_as_asked),
        cmocka_unit_test(whatever_waits_wakes),
        cmocka_unit_test(a_stop_wakes_sleepers),
        cmocka_unit_test(a_deadline_ends_waits_that_began_before),
        cmocka_unit_test(cancellation_is_seen_without_a_descriptor),
        cmocka_unit_test(wakers_leave_while_they_are_called),
        cmocka_unit_test(no_child_misses_a_cancellation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
