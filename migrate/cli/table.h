/*
 * Aligned columns of text. Cells are added one after the other; a column of which no cell holds
 * anything is left out, so that a table shows "vanished" or "error" only where there is such a
 * thing.
 *
 * Threads: one thread at a time.
 */
#ifndef NSM_CLI_TABLE_H
#define NSM_CLI_TABLE_H

#include "migrate/base/buf.h"
#include "migrate/cli/human.h"

struct nsm_table;

enum nsm_align {
    NSM_ALIGN_LEFT,
    NSM_ALIGN_RIGHT, /* numbers */
};
struct nsm_table_column {
    const char *title; /* "" everywhere: no header line */
    enum nsm_align align;
};

/* `columns` must outlive the table. */
struct nsm_table *nsm_table_new(const struct nsm_table_column *columns, size_t n_columns)
    NSM_MUST_USE NSM_NONNULL;
void nsm_table_free(struct nsm_table *table);
NSM_DEFINE_CLEANUP(struct nsm_table, nsm_table_free)

/* The next cell of the row; after the last column a new row begins. The text is cleaned (human.h).
 */
void nsm_table_add(struct nsm_table *table, enum nsm_style style, const char *fmt, ...)
    NSM_PRINTF(3, 4);
void nsm_table_add_count(struct nsm_table *table, uint64_t count);
/* Nothing for 0. */
void nsm_table_add_count_if(struct nsm_table *table, uint64_t count);
void nsm_table_add_bytes(struct nsm_table *table, uint64_t bytes);
void nsm_table_add_seconds(struct nsm_table *table, double seconds);
/* Nothing when nothing came or no time passed. */
void nsm_table_add_rate(struct nsm_table *table, uint64_t count, double seconds);

struct nsm_table_look {
    unsigned indent;    /* blanks before each line */
    bool is_colored;    /* escape sequences for styles */
    size_t max_columns; /* lines are cut there; 0: never */
};
/* Whole rows only, and nothing when there is none; each line ends in a newline. */
void nsm_table_write(const struct nsm_table *table, const struct nsm_table_look *look,
                     struct nsm_buf *out);

#endif
