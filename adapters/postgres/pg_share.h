/*
 * What one of our sessions may take of a server that others of ours load at the same time.
 *
 * Threads: nsm_pg_share_take() and nsm_pg_share_give_back() may be called from any.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SHARE_H
#define NSM_ADAPTERS_POSTGRES_PG_SHARE_H

#include "adapters/postgres/pg_conn.h"

/* Zeroed: none was taken. */
struct nsm_pg_share {
    struct nsm_pg_backend *backend;
    uint64_t memory_bytes; /* to sort in */
    bool is_alone;         /* no other session of ours loaded this server when it was taken */
};

/* For a session that writes rows (0) or builds indexes of a table of so many bytes. */
struct nsm_pg_share nsm_pg_share_take(struct nsm_pg_backend *backend, uint64_t table_bytes);
/* Once, or on a zeroed one. */
void nsm_pg_share_give_back(struct nsm_pg_share *share);

/* Statements for the open transaction; each ends with a semicolon. */
void nsm_pg_share_append_settings(struct nsm_buf *sql, const struct nsm_pg_share *share);

#endif
