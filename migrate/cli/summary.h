/*
 * A report as the line that ends JSON output, whose members are an interface, and as the table that
 * people get.
 *
 * Threads: no state.
 */
#ifndef NSM_CLI_SUMMARY_H
#define NSM_CLI_SUMMARY_H

#include "migrate/cli/cli.h"
#include "migrate/cli/human.h"
#include "migrate/cli/json_writer.h"
#include "migrate/engine/migration.h"

/* Writes `{"event":"summary","plan":...,"status":...,"seconds":...,"error":...` and leaves the object
 * open for the command's own list. */
void nsm_summary_begin(struct nsm_json_writer *json, const char *plan, const char *status,
                       double seconds, const char *error);
/* Ends it, and the line. */
void nsm_summary_end(struct nsm_json_writer *json);

/* name, status, lane, records, bytes, seconds, error of a namespace; leaves the object open. */
void nsm_summary_namespace(struct nsm_json_writer *json, const struct nsm_report_namespace *ns);

/* The whole line, of run. */
void nsm_summary_write(struct nsm_buf *out, const struct nsm_report *report);

/* ok, failed, cancelled or skipped, whatever a namespace's status is. */
const char *nsm_summary_status(enum nsm_status status);

/* What people are told of a status, and how it looks. */
const char *nsm_summary_state(const struct nsm_report_namespace *ns);
enum nsm_style nsm_summary_style(enum nsm_status status);

/* Tells on standard error what else failed than the first error, which main prints: with on_error:
 * continue there can be many. */
void nsm_summary_tell_errors(struct nsm_console *console, const struct nsm_report *report);

#endif
