/*
 * How fast the group is: empty tasks per second at several limits, the best of a few runs each, as other work on the machine
 * only ever adds time; and the time from a task's error until all its blocked siblings are joined, the median and the 99th
 * percentile of many rounds.
 *
 *     cmake --build build --target bench_group && build/tests/bench_group [ROUNDS]
 */
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/group.h"
#include "migrate/base/parse.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    N_RUNS = 5
};

static struct nsm_error *do_nothing(struct nsm_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return NULL;
}

static int64_t time_empty_tasks(size_t limit, size_t n_tasks)
{
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, limit);
    const int64_t start = nsm_now_ns();
    for (size_t i = 0; i < n_tasks; i++)
        nsm_group_go(group, do_nothing, NULL);
    nsm_error_ignore(nsm_group_wait(group));
    return nsm_now_ns() - start;
}

struct siblings {
    size_t n_expected;
    atomic_size_t n_blocked;
    _Atomic int64_t failed_at_ns;
};

static struct nsm_error *sleep_to_the_end(struct nsm_context *ctx, void *arg)
{
    struct siblings *const siblings = arg;
    atomic_fetch_add(&siblings->n_blocked, 1);
    return nsm_sleep(ctx, NSM_NEVER);
}

static struct nsm_error *wait_on_descriptor_to_the_end(struct nsm_context *ctx, void *arg)
{
    struct siblings *const siblings = arg;
    atomic_fetch_add(&siblings->n_blocked, 1);
    return nsm_wait_fd(ctx, -1, POLLIN, NSM_NEVER, NULL);
}

static struct nsm_error *fail_when_all_block(struct nsm_context *ctx, void *arg)
{
    struct siblings *const siblings = arg;
    while (atomic_load(&siblings->n_blocked) < siblings->n_expected)
        sched_yield();
    /* What has been counted may still be on its last steps into the wait. */
    nsm_error_ignore(nsm_sleep(ctx, 20 * NSM_NS_PER_MS));
    atomic_store(&siblings->failed_at_ns, nsm_now_ns());
    return nsm_error_new(NSM_E_IO, "the first error");
}

static int64_t time_join(size_t n_siblings, nsm_task_fn *fn)
{
    struct siblings siblings = {.n_expected = n_siblings};
    NSM_CLEANUP(nsm_group_freep) struct nsm_group *group = nsm_group_new(NULL, n_siblings + 1);
    for (size_t i = 0; i < n_siblings; i++)
        nsm_group_go(group, fn, &siblings);
    nsm_group_go(group, fail_when_all_block, &siblings);
    nsm_error_ignore(nsm_group_wait(group));
    return nsm_now_ns() - siblings.failed_at_ns;
}

static void bench_tasks(size_t limit, size_t n_tasks)
{
    int64_t best_ns = INT64_MAX;
    for (int run = 0; run < N_RUNS; run++) {
        const int64_t ns = time_empty_tasks(limit, n_tasks);
        if (ns < best_ns)
            best_ns = ns;
    }
    printf("%-44s %8.2f M/s\n", "empty tasks", (double)n_tasks * 1e3 / (double)best_ns);
}

static int compare_ns(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void bench_join(const char *how, size_t n_siblings, nsm_task_fn *fn, size_t n_rounds)
{
    NSM_CLEANUP(nsm_freep) int64_t *all_ns = nsm_xcalloc(n_rounds, sizeof(*all_ns));
    for (size_t round = 0; round < n_rounds; round++)
        all_ns[round] = time_join(n_siblings, fn);
    qsort(all_ns, n_rounds, sizeof(*all_ns), compare_ns);
    printf("%-9zu %-44s %8.3f ms %8.3f ms\n", n_siblings, how, (double)all_ns[n_rounds / 2] / 1e6,
           (double)all_ns[n_rounds * 99 / 100] / 1e6);
}

int main(int argc, char **argv)
{
    static const size_t limits[] = {1, 8, 64};
    uint64_t n_rounds = 1000;
    if (argc > 1 && (!nsm_parse_u64(nsm_str_of(argv[1]), &n_rounds) || n_rounds == 0))
        return 2;
    for (size_t i = 0; i < NSM_COUNT_OF(limits); i++) {
        printf("limit %-3zu ", limits[i]);
        bench_tasks(limits[i], 200000);
    }
    static const size_t siblings[] = {64, 1024};
    printf("%-9s %-44s %11s %11s\n", "siblings", "first error to joined", "median", "99 %");
    for (size_t i = 0; i < NSM_COUNT_OF(siblings); i++) {
        bench_join("in a sleep", siblings[i], sleep_to_the_end, n_rounds);
        bench_join("in a poll", siblings[i], wait_on_descriptor_to_the_end, n_rounds);
    }
    return 0;
}
