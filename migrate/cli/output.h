/*
 * Standard output: whole tables and lines, from any thread. A reader that went away (a closed pipe)
 * ends the output and not the work: a migration is worth more than its report.
 *
 * Threads: internally locked.
 */
#ifndef NSM_CLI_OUTPUT_H
#define NSM_CLI_OUTPUT_H

#include "migrate/base/error.h"
#include "migrate/base/str.h"

struct nsm_output;

/* `fd` stays the caller's. */
struct nsm_output *nsm_output_new(int fd) NSM_MUST_USE NSM_NONNULL;
void nsm_output_free(struct nsm_output *output);
NSM_DEFINE_CLEANUP(struct nsm_output, nsm_output_free)

/* Writes all of it, not interleaved with another thread's. Does nothing after an error. */
void nsm_output_write(struct nsm_output *output, struct nsm_str text);

bool nsm_output_is_terminal(const struct nsm_output *output);

/* Whether something could not be written; and why, NULL when the reader just went away. */
bool nsm_output_is_broken(struct nsm_output *output);
struct nsm_error *nsm_output_error(struct nsm_output *output) NSM_MUST_USE;

#endif
