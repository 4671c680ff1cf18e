/*
 * The ledger's SQLite file: opening and checking it, its tables, statements, transactions, and
 * what SQLite's errors mean for an operator. Internal to the ledger; what is noted and asked is in
 * ledger_rows.h.
 *
 * Threads: one thread at a time; sync from any, meanwhile too.
 */
#ifndef NSM_ENGINE_LEDGER_DB_H
#define NSM_ENGINE_LEDGER_DB_H

#include "migrate/base/error.h"
#include "migrate/base/str.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#define NSM_LEDGER_MAX_STATEMENTS 32

struct nsm_ledger_db {
    sqlite3 *handle;
    const char *path; /* borrowed */
    struct {
        const char *sql; /* the key: the address of the caller's own static text */
        sqlite3_stmt *stmt;
    } statements[NSM_LEDGER_MAX_STATEMENTS];
    size_t n_statements;
    int wal_fd; /* for sync alone; SQLite has its own. -1: no write-ahead log here */
    bool is_in_transaction;
    /* The first error of SQLite since the transaction began: nothing of it will stand. */
    struct nsm_error *failure;
};

enum nsm_ledger_db_flag {
    NSM_LEDGER_DB_READ_ONLY = 1 << 0,
};

/* Opens, checks that it is a ledger and undamaged, and makes the tables in an empty file.
 * NSM_E_CORRUPT, NSM_E_IO, NSM_E_UNSUPPORTED (of a newer nsmigrate); NSM_E_NOTFOUND: read-only, and
 * there is nothing in it yet. On error there is nothing to close. */
struct nsm_error *nsm_ledger_db_open(struct nsm_ledger_db *db, const char *path, unsigned flags)
    NSM_MUST_USE;
void nsm_ledger_db_close(struct nsm_ledger_db *db);

/* A write transaction. What is committed survives the death of the process at any instant. */
struct nsm_error *nsm_ledger_db_begin(struct nsm_ledger_db *db) NSM_MUST_USE;
/* Commits it; when that fails, or anything in it did, all of it is undone and the error returned. */
struct nsm_error *nsm_ledger_db_commit(struct nsm_ledger_db *db) NSM_MUST_USE;
void nsm_ledger_db_rollback(struct nsm_ledger_db *db);
/* Whatever was committed before survives the loss of power too: an fsync. */
struct nsm_error *nsm_ledger_db_sync(const struct nsm_ledger_db *db) NSM_MUST_USE;

/* The statement for `sql`, a static text, reset and without values; made at first use. */
struct nsm_error *nsm_ledger_db_prepare(struct nsm_ledger_db *db, const char *sql,
                                        sqlite3_stmt **ret) NSM_MUST_USE;
/* One step. *ret_has_row may be NULL where none is expected. After the last row the statement is
 * reset. */
struct nsm_error *nsm_ledger_db_step(struct nsm_ledger_db *db, sqlite3_stmt *stmt,
                                     bool *ret_has_row) NSM_MUST_USE;

/* Values are bound from 1; what is bound must live until the step. A value that SQLite can't take
 * stays NULL and fails on the column's NOT NULL, or is one that may be missing. */
void nsm_ledger_bind_str(sqlite3_stmt *stmt, int index, struct nsm_str text);
void nsm_ledger_bind_text(sqlite3_stmt *stmt, int index, const char *text); /* NULL: NULL */
void nsm_ledger_bind_bytes(sqlite3_stmt *stmt, int index, struct nsm_str bytes);
void nsm_ledger_bind_u64(sqlite3_stmt *stmt, int index, uint64_t n);
/* A copy that the caller frees, NULL for NULL. */
char *nsm_ledger_column_text(sqlite3_stmt *stmt, int index) NSM_MUST_USE;
/* Valid until the next step. */
struct nsm_str nsm_ledger_column_bytes(sqlite3_stmt *stmt, int index);
uint64_t nsm_ledger_column_u64(sqlite3_stmt *stmt, int index);

#endif
