/*
 * A namespace of Postgres as it is read: what survey leaves for the readers, for the definition and
 * for the destination.
 *
 * Threads: immutable after survey.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_SOURCE_H
#define NSM_ADAPTERS_POSTGRES_PG_SOURCE_H

#include "adapters/postgres/pg_selection.h"

/* A relation by its name. */
struct nsm_pg_name {
    const char *schema, *name;
};

/* What a part is read from: a table, or a leaf of a partitioned one. */
struct nsm_pg_file {
    uint32_t oid;
    uint64_t filenode;
    uint64_t n_blocks;
    const char *version; /* as of an object */
    struct nsm_pg_name name;
};

/* One per object of the census. A table has one file. Only a partitioned table whose rows may belong to
 * other partitions at the destination is an object itself: its leaves are its files, and the ranges of
 * its parts begin with "<oid>:". */
struct nsm_pg_table {
    bool is_partitioned;
    struct nsm_pg_file *files;
    size_t n_files;
};

struct nsm_pg_sequence {
    struct nsm_pg_name name;
    const char *last_value; /* decimal */
    bool is_called;
};

struct nsm_pg_outside {
    const char *from, *key; /* the table and its foreign key, for people */
    const char *to;         /* quoted */
};

/* Something that crosses the border of a schema: see pg_border.h. */
enum nsm_pg_crossing_kind {
    NSM_PG_NEED,      /* an object of another schema that something in it depends on */
    NSM_PG_EXTENSION, /* `type` is the schema that it is in */
    NSM_PG_GRANT,     /* a role with rights in it */
    NSM_PG_POLICY,    /* a role that a policy is for */
    NSM_PG_OWNER,
    NSM_PG_TEXT, /* a text, as of a function, that holds the schema's name */
    NSM_PG_USED, /* an object of another schema, or of none, that depends on it */
    NSM_PG_CAST,
    NSM_PG_PARTITION, /* in another schema, of a table in this */
    NSM_PG_TABLESPACE,
    NSM_PG_PUBLICATION,
};
/* "need", ...; static. And back: false when there is no such kind. */
const char *nsm_pg_crossing_word(enum nsm_pg_crossing_kind kind);
bool nsm_pg_crossing_parse(const char *word, enum nsm_pg_crossing_kind *ret);

struct nsm_pg_crossing {
    enum nsm_pg_crossing_kind kind;
    const char *type, *name; /* "function", "public.f(integer)" */
    const char *by;          /* one of those in the schema that it is about, for people */
    bool is_foreign_key;     /* only foreign keys need it */
};

/* What a schema holds, by the name that it takes there: see pg_members.h. */
struct nsm_pg_member {
    const char *space, *key;
};

struct nsm_pg_source {
    struct nsm_arena arena;
    struct nsm_pg_selection selection;
    uint64_t snapshot_number;      /* which snapshot the survey saw; 0: each statement its own */
    struct nsm_pg_table *tables;   /* index by index the census's objects */
    struct nsm_pg_name *relations; /* all tables, also partitioned ones: for the definition */
    size_t n_relations;
    struct nsm_pg_sequence *sequences;
    size_t n_sequences;
    struct nsm_pg_name *foreign_tables; /* left out of the definition */
    size_t n_foreign_tables;
    struct nsm_pg_name *others; /* views, materialized views and sequences of a whole schema */
    size_t n_others;
    struct nsm_pg_name *matviews; /* to be filled after the rows */
    size_t n_matviews;
    const char **type_names; /* of a user's or an extension's types outside of the schema that is
                                copied whole: the destination must have them */
    size_t n_type_names;
    struct nsm_pg_outside *outside; /* what foreign keys refer to and the selection has not */
    size_t n_outside;
    struct nsm_pg_crossing *crossings; /* of a whole schema */
    size_t n_crossings;
    struct nsm_pg_member *members; /* of a whole schema */
    size_t n_members;
    const char **owners; /* roles that own what is copied */
    size_t n_owners;
    const char *identity; /* of server and database */
};

struct nsm_error *nsm_pg_survey(struct nsm_backend *backend, struct nsm_context *ctx,
                                struct nsm_source **sources, size_t n_sources) NSM_MUST_USE;
uint64_t nsm_pg_count_blocks(const struct nsm_pg_table *table);
void nsm_pg_release_source(struct nsm_source *source);
/* NULL: nothing to do. */
void nsm_pg_source_free(struct nsm_pg_source *source);

#endif
