/*
 * Postgres as text: quoted names, literals and arrays, and the two forms of COPY data. Names come
 * from databases and may hold anything but NUL, so every name is quoted always.
 *
 * Threads: no state.
 */
#ifndef NSM_ADAPTERS_POSTGRES_PG_TEXT_H
#define NSM_ADAPTERS_POSTGRES_PG_TEXT_H

#include "migrate/base/buf.h"
#include "migrate/engine/record/record.h"

void nsm_pg_quote_ident(struct nsm_buf *out, const char *name);
/* "schema"."name" */
void nsm_pg_quote_qualified(struct nsm_buf *out, const char *schema, const char *name);
/* A literal for standard_conforming_strings = on; `text` holds no NUL. */
void nsm_pg_quote_literal(struct nsm_buf *out, struct nsm_str text);

/* An array in its text form, {"a","b"}, for a parameter of type text[]: call begin, add..., end. */
void nsm_pg_array_begin(struct nsm_buf *out);
void nsm_pg_array_add(struct nsm_buf *out, const char *element);
void nsm_pg_array_end(struct nsm_buf *out);

/* ---- COPY, text ---- */

/* Appends one field as COPY FROM reads it, the columns' separator and the line's end not included.
 * `is_bytea`: the bytes become \x and hexadecimal digits. NUL in other values is NSM_E_UNSUPPORTED
 * (without the name of the column, which the caller knows). */
struct nsm_error *nsm_pg_copy_write_field(struct nsm_buf *out, const struct nsm_value *value,
                                          bool is_bytea) NSM_MUST_USE;

/* Cuts the next field off `line`, a row of COPY TO with or without its newline, and unescapes it to
 * `*at`, which it moves behind (never more bytes than the field had). *ret_is_null for \N. False
 * when there is no further field; a line has at least one, maybe empty, unless it was used up:
 * `line->ptr` NULL. */
bool nsm_pg_copy_read_field(struct nsm_str *line, char **at, struct nsm_str *ret_field,
                            bool *ret_is_null) NSM_MUST_USE;

/* Decodes the text form of bytea, \x and digits, in place; false when it is not that. */
bool nsm_pg_bytea_decode(struct nsm_str *field) NSM_MUST_USE;

/* ---- COPY, binary ---- */

/* The header that a stream begins with, without extension; and the trailer that ends it. */
#define NSM_PG_BINARY_HEADER  NSM_STR_LIT("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0")
#define NSM_PG_BINARY_TRAILER NSM_STR_LIT("\377\377")

/* Cuts the header, with its extension if there is one, off the first piece of a stream; false when
 * it is not whole or not a header. */
bool nsm_pg_binary_skip_header(struct nsm_str *data) NSM_MUST_USE;
/* Whether this piece is the trailer. */
bool nsm_pg_binary_is_trailer(struct nsm_str data);

#endif
