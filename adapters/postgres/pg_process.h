/*
 * Running a client program (pg_dump, pg_restore) under a context: it is killed when the context
 * ends, what it prints is kept within bounds, and what it says on stderr becomes the error.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_PROCESS_H
#define NSM_ADAPTERS_POSTGRES_PG_PROCESS_H

#include "migrate/base/arena.h"
#include "migrate/base/buf.h"
#include "migrate/base/context.h"

/* A list of arguments or of environment entries; strings lie in its arena. */
struct nsm_pg_args {
    struct nsm_arena *arena;
    char **items; /* NULL at the end; on the heap */
    size_t n_items, cap_items;
};
void nsm_pg_args_add(struct nsm_pg_args *args, const char *fmt, ...) NSM_PRINTF(2, 3);
void nsm_pg_args_release(struct nsm_pg_args *args);

/* The newest installed client program of this name, in the arena: of Debian's
 * /usr/lib/postgresql/VERSION/bin, else of PATH. NSM_E_NOTFOUND says what to install. */
struct nsm_error *nsm_pg_find_program(struct nsm_arena *arena, const char *name,
                                      const char **ret_path) NSM_MUST_USE;

/* Whose sessions a program works with: when it rests for `timeout`, the server is asked (pg_silence.h). */
struct nsm_pg_watch {
    struct nsm_pg_backend *backend;
    const char *application_name; /* no other session's */
};

/* Runs args->items[0]. `env` (may be NULL) holds NAME=value entries that are added to our own
 * environment. What it writes to stdout is appended to `out`. `watch` is NULL for a program that needs no
 * server. */
struct nsm_error *nsm_pg_run(struct nsm_context *ctx, const struct nsm_pg_args *args,
                             const struct nsm_pg_args *env, const struct nsm_pg_watch *watch,
                             struct nsm_buf *out) NSM_MUST_USE;

#endif
