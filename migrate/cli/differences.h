/*
 * The differences that verify and repair have found, as JSON events and as text.
 *
 * Threads: no state.
 */
#ifndef NSM_CLI_DIFFERENCES_H
#define NSM_CLI_DIFFERENCES_H

#include "migrate/cli/cli.h"
#include "migrate/engine/migration.h"

uint64_t nsm_differences_count(const struct nsm_report_namespace *ns);
/* A line `{"event":"difference",...}` for each that was named. */
void nsm_differences_write_events(struct nsm_cli *cli, const struct nsm_report *report);
/* Those of all namespaces, each below its namespace's name; nothing when there are none. */
void nsm_differences_write_text(struct nsm_buf *out, const struct nsm_report *report);

#endif
