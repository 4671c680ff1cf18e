/*
 * The progress of a migration on standard error, as it happens. On a terminal: a line per namespace
 * (state, records, rate, time to go from the census) and a line for all, painted over a few times a
 * second. Elsewhere: plain lines, one for each begin and end and every few seconds one for each
 * namespace that moves, so that a log of hours stays short.
 *
 * It only looks at the migration (nsm_migration_progress) and listens to its events; how fast it is
 * read never slows the work.
 *
 * Threads: new and free from one; event from any.
 */
#ifndef NSM_CLI_PROGRESS_H
#define NSM_CLI_PROGRESS_H

#include "migrate/cli/console.h"
#include "migrate/engine/migration.h"

struct nsm_progress_view;

/* Begins to show. All three outlive it. */
struct nsm_progress_view *nsm_progress_view_new(const struct nsm_migration *migration,
                                                struct nsm_console *console)
    NSM_MUST_USE NSM_NONNULL;
/* Ends it: the live area goes, lines stay. */
void nsm_progress_view_free(struct nsm_progress_view *view);
NSM_DEFINE_CLEANUP(struct nsm_progress_view, nsm_progress_view_free)

/* Tells an event as a line, where it is worth one. Independent of any view: events come before the
 * migration is open. `is_verbose`: every part and step too. */
void nsm_progress_tell(struct nsm_console *console, const struct nsm_event *event, bool is_verbose);

#endif
