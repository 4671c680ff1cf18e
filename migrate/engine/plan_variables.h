/*
 * ${NAME} and ${NAME:-default} in a plan's values, from the environment. It comes after YAML was
 * parsed, so what a variable holds can't become keys or structure.
 *
 * Threads: reads the environment, which nobody may change meanwhile; the program never does.
 */
#ifndef NSM_ENGINE_PLAN_VARIABLES_H
#define NSM_ENGINE_PLAN_VARIABLES_H

#include "migrate/base/buf.h"

/* Appends `text` with every variable replaced and "$$" as one dollar sign; any other dollar sign
 * stays. The default also stands for a variable that is empty. NSM_E_INVALID says what is wrong,
 * without a place and without what any variable holds; NSM_E_NOMEM: `out` is full. */
struct nsm_error *nsm_plan_substitute(struct nsm_str text, struct nsm_buf *out) NSM_MUST_USE;

#endif
