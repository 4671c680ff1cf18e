/*
 * What check, preview, run and verify have in common: the plan is loaded, the flags are applied, the
 * migration is opened, its events and progress are told, and signals reach its context.
 *
 * Threads: one; events come from any.
 */
#ifndef NSM_CLI_SESSION_H
#define NSM_CLI_SESSION_H

#include "migrate/cli/cli.h"
#include "migrate/engine/migration.h"

struct nsm_progress_view;

enum nsm_session_flag {
    NSM_SESSION_BACKENDS_ONLY = 1 << 0, /* namespaces are not looked at: nothing is connected */
    NSM_SESSION_STOPS_GENTLY = 1 << 1,  /* the first signal waits for checkpoints */
};

struct nsm_session {
    struct nsm_cli *cli;
    struct nsm_plan *plan;
    size_t
        n_hidden_templates; /* with BACKENDS_ONLY: the plan's, which gets them back for its end */
    struct nsm_events events;
    struct nsm_migration_options options;
    struct nsm_migration *migration;
    struct nsm_progress_view *view;
};

/* `session` is zeroed by the caller, who releases it also after an error, and does not move it. An
 * error of the plan or the flags sets the exit code to 2. */
struct nsm_error *nsm_session_open(struct nsm_session *session, struct nsm_cli *cli, unsigned flags,
                                   int *exit_code) NSM_MUST_USE;
/* The work is over: what follows is printed below what progress left. */
void nsm_session_settle(struct nsm_session *session);
void nsm_session_release(struct nsm_session *session);

#endif
