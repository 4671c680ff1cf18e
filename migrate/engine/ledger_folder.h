/*
 * Where a ledger lives: `<plan folder>/.nsmigrate/<plan name>/` with ledger.db, lock and work/, and
 * the lock that keeps a second run of the plan out. Internal to the ledger.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_ENGINE_LEDGER_FOLDER_H
#define NSM_ENGINE_LEDGER_FOLDER_H

#include "migrate/engine/plan.h"

struct nsm_ledger_folder {
    char *plan_name;
    char *parent;               /* <plan folder>/.nsmigrate */
    char *path;                 /* <parent>/<plan name> */
    char *db_path;              /* <path>/ledger.db */
    char *lock_path;            /* <path>/lock */
    char *work_path;            /* <path>/work */
    struct nsm_lock_file *lock; /* NULL: not ours */
};

/* The paths alone; touches nothing. */
void nsm_ledger_folder_init(struct nsm_ledger_folder *folder, const struct nsm_plan *plan);
/* Lets the lock go, if we hold it. */
void nsm_ledger_folder_release(struct nsm_ledger_folder *folder);

/* Makes the folders, mode 0700. NSM_E_IO names the one that can't be made. */
struct nsm_error *nsm_ledger_folder_make(struct nsm_ledger_folder *folder) NSM_MUST_USE;

/* Takes the lock, without waiting. NSM_E_CONFLICT says who holds it. */
struct nsm_error *nsm_ledger_folder_lock(struct nsm_ledger_folder *folder) NSM_MUST_USE;
/* Whether someone, we too, holds it now. */
bool nsm_ledger_folder_is_locked(const struct nsm_ledger_folder *folder);

/* Makes an empty ledger.db of mode 0600 where there is none. Only before the database is opened:
 * closing a descriptor of the file would drop SQLite's own locks on it. */
struct nsm_error *nsm_ledger_folder_touch_db(const struct nsm_ledger_folder *folder) NSM_MUST_USE;
/* Removes a database that is beyond use, with what SQLite keeps beside it. */
struct nsm_error *nsm_ledger_folder_remove_db(const struct nsm_ledger_folder *folder) NSM_MUST_USE;

/* Removes all that lies in a folder, and keeps the folder. */
struct nsm_error *nsm_folder_clear(const char *path) NSM_MUST_USE;

#endif
