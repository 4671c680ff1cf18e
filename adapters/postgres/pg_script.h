/*
 * The script that pg_restore writes, cut into the items of the archive: which is how nsmigrate can
 * run each at its own time, leave one out, or run several at once.
 *
 * With --verbose pg_restore begins each item with a comment of its number and dependencies. Those
 * comments are only taken where a statement could begin; inside of strings, dollar quotes and other
 * comments nothing is, so that no text stored in a database can pretend to be one.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SCRIPT_H
#define NSM_ADAPTERS_POSTGRES_PG_SCRIPT_H

#include "migrate/base/arena.h"
#include "migrate/base/error.h"

#include <stdint.h>

struct nsm_pg_item {
    uint64_t dump_id; /* in the archive */
    uint64_t *needs;  /* dump ids of what it depends on */
    size_t n_needs;
    const char *name, *type, *schema; /* "users_pkey", "CONSTRAINT", "app"; line ends are blanks */
    const char *title;                /* the whole line: name, type, schema, owner */
    struct nsm_str sql;               /* without what follows */
    struct nsm_str owner_sql;         /* ALTER ... OWNER TO ...; or empty */
    bool is_left_out;                 /* false; for who runs the items */
};

struct nsm_pg_script {
    struct nsm_pg_item *items;
    size_t n_items;
};

/* Cuts a script; the items lie in the arena and point into `text`, which must live as long.
 * NSM_E_CORRUPT when it is not such a script. */
struct nsm_error *nsm_pg_script_parse(struct nsm_arena *arena, struct nsm_str text,
                                      struct nsm_pg_script *ret) NSM_MUST_USE;

/* Whether an item has that name, or lies in that schema. Line ends of names are blanks in items, so two
 * names can be one. */
bool nsm_pg_item_is_named(const struct nsm_pg_item *item, const char *name);
bool nsm_pg_item_is_in(const struct nsm_pg_item *item, const char *schema);
/* What follows `name` at the beginning of an item's text; NULL when that begins with something else. */
const char *nsm_pg_skip_title_name(const char *text, const char *name);

/* Cuts the next statement, with its semicolon, off a text; false when only blanks and comments are
 * left. A function's body of BEGIN ATOMIC is cut at its semicolons: it is not for such items. */
bool nsm_pg_next_statement(struct nsm_str *text, struct nsm_str *ret_statement) NSM_MUST_USE;

#endif
