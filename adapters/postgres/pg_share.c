#include "adapters/postgres/pg_share.h"

/* All sessions together, whatever the number of workers; one of them a quarter. */
#define ALL_BYTES (UINT64_C(1) << 30)
#define ONE_BYTES (ALL_BYTES / 4)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

struct nsm_pg_share nsm_pg_share_take(struct nsm_pg_backend *backend, uint64_t table_bytes)
{
    struct nsm_pg_share share = {.backend = backend};
    pthread_mutex_lock(&backend->mutex);
    share.is_alone = backend->n_shares++ == 0;
    share.memory_bytes = smaller(smaller(table_bytes, ONE_BYTES), ALL_BYTES - backend->share_bytes);
    backend->share_bytes += share.memory_bytes;
    pthread_mutex_unlock(&backend->mutex);
    return share;
}

void nsm_pg_share_give_back(struct nsm_pg_share *share)
{
    struct nsm_pg_backend *const backend = NSM_STEAL(share->backend);
    if (!backend)
        return;
    pthread_mutex_lock(&backend->mutex);
    backend->n_shares--;
    backend->share_bytes -= share->memory_bytes;
    pthread_mutex_unlock(&backend->mutex);
}

/* The server's own setting stays where it is larger. Its parallel workers are for a build that has the server to itself: beside
 * other sessions they take the processors that those need. Measured with tests/benchmark/compare.sh --only pg on two processors: with
 * them the server spent 1.4 times the processor time, and the run took 1.2 times as long. */
void nsm_pg_share_append_settings(struct nsm_buf *sql, const struct nsm_pg_share *share)
{
    if (!share->is_alone)
        nsm_buf_append_cstr(sql, "SET LOCAL max_parallel_maintenance_workers = 0; ");
    nsm_buf_printf(sql,
                   "SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes("
                   "current_setting('maintenance_work_mem')) / 1024, %llu)::text || 'kB', true); ",
                   (unsigned long long)(share->memory_bytes / 1024));
}
