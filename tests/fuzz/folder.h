/*
 * A folder for fuzz targets of what reads files: in memory where the machine has such a place, and removed at the end.
 *
 * Threads: one.
 */
#ifndef NSM_TESTS_FUZZ_FOLDER_H
#define NSM_TESTS_FUZZ_FOLDER_H

#include "migrate/base/str.h"

/* Its path; made at the first call. */
const char *fuzz_folder(void);

/* "<folder>/<name>" with these bytes in place of what was there. */
void fuzz_write_file(const char *name, struct nsm_str bytes);

/* Removes what lies in the folder. */
void fuzz_clear_folder(void);

#endif
