/*
 * The names of types and kinds: one table each, so that what is written and what is read cannot
 * drift apart.
 */
#include "migrate/engine/record/record.h"

#include <assert.h>

static const char *const type_names[NSM_N_TYPES] = {
    [NSM_NULL] = "null", [NSM_BOOL] = "bool",   [NSM_INT] = "int",         [NSM_FLOAT] = "float",
    [NSM_TEXT] = "text", [NSM_BYTES] = "bytes", [NSM_NUMERIC] = "numeric", [NSM_TIME] = "time",
    [NSM_UUID] = "uuid", [NSM_JSON] = "json",   [NSM_OTHER] = "other",
};

static const char *const kind_names[NSM_N_KINDS] = {
    [NSM_KIND_ROW] = "row",       [NSM_KIND_STRING] = "string", [NSM_KIND_HASH] = "hash",
    [NSM_KIND_LIST] = "list",     [NSM_KIND_SET] = "set",       [NSM_KIND_ZSET] = "zset",
    [NSM_KIND_STREAM] = "stream", [NSM_KIND_DUMP] = "dump",
};

/* The index of `name` in `names`, `n_names` when it is none of them. */
static size_t find_name(const char *const *names, size_t n_names, struct nsm_str name)
{
    for (size_t index = 0; index < n_names; index++) {
        if (nsm_str_equals(nsm_str_of(names[index]), name))
            return index;
    }
    return n_names;
}

const char *nsm_type_name(enum nsm_type type)
{
    assert((size_t)type < NSM_N_TYPES);
    return type_names[type];
}

bool nsm_type_parse(struct nsm_str name, enum nsm_type *ret)
{
    const size_t index = find_name(type_names, NSM_N_TYPES, name);
    if (index == NSM_N_TYPES)
        return false;
    *ret = (enum nsm_type)index;
    return true;
}

const char *nsm_kind_name(enum nsm_kind kind)
{
    assert((size_t)kind < NSM_N_KINDS);
    return kind_names[kind];
}

bool nsm_kind_parse(struct nsm_str name, enum nsm_kind *ret)
{
    const size_t index = find_name(kind_names, NSM_N_KINDS, name);
    if (index == NSM_N_KINDS)
        return false;
    *ret = (enum nsm_kind)index;
    return true;
}
