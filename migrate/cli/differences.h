/*
 * The differences that verify and repair have found, as JSON events and as text.
 *
 * Threads: no state.
 */
#ifndef NSM_CLI_DIFFERENCES_H
#define NSM_CLI_DIFFERENCES_H

#include "migrate/cli/cli.h"
#include "migrate/cli/json_writer.h"
#include "migrate/engine/migration.h"

uint64_t nsm_differences_count(const struct nsm_report_namespace *ns);
/* A line `{"event":"difference",...}` for each that was named. */
void nsm_differences_write_events(struct nsm_cli *cli, const struct nsm_report *report);
/* Those of all namespaces, each below its namespace's name, and a table of the namespaces. `n_left` says how many a namespace still
 * has: it differs when there are some, and is repaired when there were. */
typedef uint64_t nsm_differences_left_fn(const struct nsm_report_namespace *ns);
void nsm_differences_write_text(struct nsm_cli *cli, const struct nsm_report *report,
                                nsm_differences_left_fn *n_left);
/* A namespace in the summary line, with what was missing, extra and different; leaves the object open. One that still differs is
 * "failed" for who reads JSON: "ok" beside exit code 4 would be a trap. */
void nsm_differences_write_namespace(struct nsm_json_writer *json,
                                     const struct nsm_report_namespace *ns, uint64_t n_left);

#endif
