/*
 * The canonical form in which any two stores understand each other: a record is a key, a kind, its
 * items and an expiry; values are byte slices with a type. All of it lies in the arena of the batch
 * that carries it: no allocation per record.
 *
 * Values are kept as canonical text (bytes for NSM_BYTES), because that is what most stores send
 * and take, so most values are never decoded on their way:
 *
 *   type          bytes
 *   NSM_NULL      none
 *   NSM_BOOL      "t" or "f"
 *   NSM_INT       decimal, -9223372036854775808 to 9223372036854775807, no plus sign, no leading
 * zero NSM_FLOAT     as nsm_format_double() writes it; also nan, inf, -inf NSM_NUMERIC   decimal of
 * any length as the store wrote it ("1.10" keeps its zero); also NaN, Infinity, -Infinity NSM_TEXT
 * UTF-8 without NUL NSM_BYTES     anything NSM_TIME      ISO 8601 as PostgreSQL writes it with
 * DateStyle ISO and TimeZone UTC: "2026-01-31", "2026-01-31 12:00:00.5", "2026-01-31
 * 12:00:00.5+00"; infinity; a trailing " BC" NSM_UUID      lower case with hyphens NSM_JSON JSON
 * text as the store wrote it NSM_OTHER     the store's own text form; the column's type_name says
 * of what
 *
 * Threads: a record belongs to its batch, and a batch to one thread at a time.
 */
#ifndef NSM_ENGINE_RECORD_RECORD_H
#define NSM_ENGINE_RECORD_RECORD_H

#include "migrate/base/arena.h"
#include "migrate/base/str.h"

#include <stdint.h>

enum nsm_type {
    NSM_NULL,
    NSM_BOOL,
    NSM_INT,
    NSM_FLOAT,
    NSM_NUMERIC,
    NSM_TEXT,
    NSM_BYTES,
    NSM_TIME,
    NSM_UUID,
    NSM_JSON,
    NSM_OTHER,
};
#define NSM_N_TYPES (NSM_OTHER + 1)

/* "null", "bool", ...; static. And back: false when there is no such type. */
NSM_API const char *nsm_type_name(enum nsm_type type);
NSM_API bool nsm_type_parse(struct nsm_str name, enum nsm_type *ret);

struct nsm_value {
    enum nsm_type type;
    struct nsm_str bytes;
};

enum nsm_kind {
    NSM_KIND_ROW,    /* items: a value per column of the object, in the order of its columns */
    NSM_KIND_STRING, /* items: one value */
    NSM_KIND_HASH,   /* items: field, value, field, value, ... */
    NSM_KIND_LIST,   /* items: the elements, first to last */
    NSM_KIND_SET,    /* items: the members */
    NSM_KIND_ZSET,   /* items: member, score (NSM_FLOAT), member, score, ... */
    NSM_KIND_STREAM, /* items: last id, entries added (NSM_INT), max deleted id, not in a continued
                        slice (below); then pieces (stream.h): consumer groups, then entries */
    NSM_KIND_DUMP,   /* lane redis-dump only; items: one value, the payload of DUMP */
};
#define NSM_N_KINDS (NSM_KIND_DUMP + 1)

/* "row", "string", ...; static. And back. */
NSM_API const char *nsm_kind_name(enum nsm_kind kind);
NSM_API bool nsm_kind_parse(struct nsm_str name, enum nsm_kind *ret);

/* No expiry; else Unix time in milliseconds, which may lie before 1970 or after 2106. */
#define NSM_NO_EXPIRY INT64_MAX

/* A big key travels in slices, so that no key, whatever its size, sits in memory whole: the first
 * has no flag or MORE, the following CONTINUED and MORE, the last CONTINUED alone. Slices of one
 * key come one after the other from one reader. A string's slice continues its bytes; a
 * collection's its items. The expiry is the same on all. */
enum nsm_record_flag {
    NSM_RECORD_MORE = 1 << 0,
    NSM_RECORD_CONTINUED = 1 << 1,
};

struct nsm_record {
    enum nsm_kind kind;
    unsigned flags;
    struct nsm_str key; /* the whole key with the source's prefix; empty for rows, whose key is in
                           their columns */
    int64_t expires_at_ms; /* or NSM_NO_EXPIRY */
    struct nsm_value *items;
    size_t n_items;
    const struct nsm_record *
        contents; /* NSM_KIND_DUMP: what the payload holds, of the batch's memory, where its reader can tell and was
                                          asked for digests; else NULL */
};

/* A namespace holds either tables of rows or a space of keys. */
enum nsm_model {
    NSM_MODEL_ROWS,
    NSM_MODEL_KEYS,
};

struct nsm_column {
    const char *name;
    enum nsm_type type;
    const char
        *type_name; /* as the store calls it: "numeric(10,2)", "timestamptz"; for NSM_TIME one of
                      date, time, timetz, timestamp, timestamptz, interval; never NULL, may be "" */
    bool is_not_null;
    bool
        is_generated; /* computed by its store, and never written there; read only for other kinds of stores and archives */
    bool is_place;    /* no part of a record but where its store keeps it (a rowid) */
    bool
        has_own_values; /* only its own kind of store holds all of its values: they are of several types, or text that is none
                            elsewhere */
};

/* One table, or a space of keys; owned by whoever made it, all strings in the same arena. */
struct nsm_object {
    const char *name;   /* the table's bare name; "" for keys */
    const char *schema; /* what it lies in at its store ("" when there is no such thing) */
    enum nsm_model model;
    struct nsm_column *columns; /* rows only */
    size_t n_columns;
    size_t *key_columns; /* indexes into columns of the primary key (or what stands for it), in its
                            order */
    size_t n_key_columns;
    uint64_t n_records; /* counted or estimated */
    uint64_t n_bytes;
    bool is_exact;       /* n_records was counted */
    const char *version; /* changes whenever the data does; "" when the store has no such thing */
    const char *format;  /* how the native lane carries this object, if there are several ways:
                            adapters of that lane agree */
    const char *format_reason; /* why this format, for people; may be "" */
};

#endif
