/*
 * The columns that a plan chooses: the source's tables as they are from then on, with those columns alone, in the plan's order and
 * under the names of the destination. Where the reader can leave the others out itself (NSM_CAP_COLUMNS) the census is cut to them;
 * elsewhere they are taken out of each record (layout_apply.c).
 *
 * Threads: immutable once chosen.
 */
#ifndef NSM_ENGINE_COLUMNS_H
#define NSM_ENGINE_COLUMNS_H

#include "migrate/engine/plan.h"

/* Of one table, where its records come with all columns. */
struct nsm_pick {
    size_t *
        from; /* index by index the chosen columns: where they are in a record; NULL: come as chosen */
    size_t n;
    size_t n_read; /* columns of a record */
};

struct nsm_columns {
    struct nsm_census census; /* borrows the source's strings, and the plan's */
    struct nsm_pick *picks;   /* by object, in the census's arena */
};

/* Chooses ns->columns from what was surveyed. NSM_E_INVALID with the place in the plan: there is no such table or column. What is
 * left out is a NOTE. `ret` is to be released whatever the result. */
struct nsm_error *nsm_columns_choose(const struct nsm_plan *plan,
                                     const struct nsm_plan_namespace *ns, struct nsm_census *source,
                                     struct nsm_columns *ret, struct nsm_findings *findings)
    NSM_MUST_USE;
void nsm_columns_release(struct nsm_columns *columns);

#endif
