/*
 * SQLite's columns have no types, their values have: what another store's column must hold is only
 * known after all values were looked at. That pass costs about as much as a count, because types
 * and lengths stand in the rows' heads.
 */
#include "adapters/sqlite/scan.h"

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

#include <inttypes.h>

/* Integers up to here are doubles, exactly. */
#define MAX_EXACT_INT (INT64_C(1) << 53)

/* Rows that are looked at for an estimate of the size of all. */
#define SAMPLE_SPOTS 16
#define SAMPLE_ROWS  8
#define SAMPLE_BYTES ((uint64_t)1 << 20)

/* What the check says of damage begins so, before anything else; a line for each place follows. */
#define DAMAGE "*** in database main ***\n"

struct nsm_error *sqlite_scan_damage(struct sqlite_db *db, const char *table)
{
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    const char *words = NULL;
    nsm_buf_append_cstr(&sql, "PRAGMA quick_check(");
    sqlite_append_name(&sql, table);
    nsm_buf_append_char(&sql, ')');
    NSM_TRY(sqlite_get_text(db, &arena, sql.ptr, NULL, &words));
    if (strncmp(words, DAMAGE, strlen(DAMAGE)) != 0)
        return NULL;
    words += strlen(DAMAGE);
    return nsm_error_new(NSM_E_CORRUPT, "%s: %.*s" SQLITE_DAMAGE_ADVICE, db->path,
                         (int)strcspn(words, "\n"), words);
}

/* What occurs in a column. */
struct classes {
    uint64_t n_ints, n_reals, n_texts, n_blobs;
    uint64_t n_big_ints;  /* that no double holds */
    uint64_t n_bad_texts; /* not UTF-8, or with a NUL inside */
};

static uint64_t cell_bytes(sqlite3_stmt *statement, int column)
{
    const int type = sqlite3_column_type(statement, column);
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
        return 8;
    return type == SQLITE_NULL ? 0 : (uint64_t)sqlite3_column_bytes(statement, column);
}

static void classify(sqlite3_stmt *statement, int column, struct classes *classes)
{
    const int type = sqlite3_column_type(statement, column);
    if (type == SQLITE_INTEGER) {
        const int64_t number = sqlite3_column_int64(statement, column);
        classes->n_ints++;
        classes->n_big_ints += number > MAX_EXACT_INT || number < -MAX_EXACT_INT;
    } else if (type == SQLITE_TEXT) {
        const struct nsm_str text = sqlite_column_str(statement, column);
        const bool is_good = nsm_is_utf8(text) && !memchr(text.ptr, '\0', text.len);
        classes->n_texts++;
        classes->n_bad_texts += !is_good;
    } else {
        classes->n_reals += type == SQLITE_FLOAT;
        classes->n_blobs += type == SQLITE_BLOB;
    }
}

/* "3 integers and 2 texts" */
static void describe_classes(const struct classes *classes, struct nsm_buf *out)
{
    const struct {
        uint64_t n;
        const char *one, *many;
    } kinds[] = {
        {classes->n_ints, "integer", "integers"},
        {classes->n_reals, "real", "reals"},
        {classes->n_texts, "text", "texts"},
        {classes->n_blobs, "blob", "blobs"},
    };
    for (size_t i = 0; i < NSM_COUNT_OF(kinds); i++) {
        if (kinds[i].n)
            nsm_buf_printf(out, "%s%" PRIu64 " %s", out->len ? ", " : "", kinds[i].n,
                           kinds[i].n == 1 ? kinds[i].one : kinds[i].many);
    }
}

/* The one type that holds all values of the column; false: there is none. */
static bool common_type(const struct classes *classes, struct nsm_column *column)
{
    const bool has_numbers = classes->n_ints || classes->n_reals;
    if (has_numbers + (classes->n_texts > 0) + (classes->n_blobs > 0) > 1)
        return false;
    if (classes->n_texts)
        column->type = NSM_TEXT;
    else if (classes->n_blobs)
        column->type = NSM_BYTES;
    else if (classes->n_reals)
        column->type = classes->n_big_ints ? NSM_NUMERIC : NSM_FLOAT;
    else if (classes->n_ints)
        column->type = NSM_INT;
    return true;
}

static void conclude(struct nsm_object *object, const struct classes *classes,
                     struct nsm_findings *findings)
{
    for (size_t i = 0; i < object->n_columns; i++) {
        struct nsm_column *const column = &object->columns[i];
        if (!findings) {
            column->has_own_values =
                !common_type(&classes[i], column) || classes[i].n_bad_texts > 0;
            continue;
        }
        if (classes[i].n_bad_texts)
            nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", classes[i].n_bad_texts,
                             "table %s: column %s holds %" PRIu64 " texts that are not valid "
                             "UTF-8 or have a NUL inside, which only SQLite takes",
                             object->name, column->name, classes[i].n_bad_texts);
        if (common_type(&classes[i], column))
            continue;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
        describe_classes(&classes[i], &text);
        nsm_findings_add(findings, NSM_FINDING_REFUSAL, "", 1,
                         "table %s: column %s mixes types that no column of another store holds "
                         "unchanged: %s",
                         object->name, column->name, text.ptr);
    }
}

static void bind_all(sqlite3_stmt *statement, const struct sqlite_access *access)
{
    if (access->order != SQLITE_ORDER_ROWID)
        return;
    (void)sqlite3_bind_int64(statement, 1, INT64_MIN);
    (void)sqlite3_bind_int64(statement, 2, INT64_MAX);
}

struct nsm_error *sqlite_scan_values(struct sqlite_db *db, const struct sqlite_access *access,
                                     struct nsm_object *object, struct nsm_findings *findings)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_CLEANUP(nsm_freep)
    struct classes *classes = nsm_xcalloc(object->n_columns + 1, sizeof(*classes));
    uint64_t n_records = 0;
    uint64_t n_bytes = 0;
    NSM_TRY(sqlite_prepare(db, access->select, object->name, &statement));
    bind_all(statement, access);
    for (;;) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, object->name, &has_row));
        if (!has_row)
            break;
        n_records++;
        for (size_t i = 0; i < object->n_columns; i++) {
            classify(statement, (int)i, &classes[i]);
            n_bytes += cell_bytes(statement, (int)i);
        }
    }
    object->n_records = n_records;
    object->n_bytes = n_bytes;
    object->is_exact = true;
    conclude(object, classes, findings);
    return NULL;
}

/* ---- counts ---- */

struct sample {
    uint64_t n_rows, n_bytes;
};

static struct nsm_error *sample_some(struct sqlite_db *db, sqlite3_stmt *statement,
                                     const struct nsm_object *object, uint64_t max_rows,
                                     struct sample *sample)
{
    for (uint64_t i = 0; i < max_rows && sample->n_bytes < SAMPLE_BYTES; i++) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, object->name, &has_row));
        if (!has_row)
            break;
        sample->n_rows++;
        for (size_t column = 0; column < object->n_columns; column++)
            sample->n_bytes += cell_bytes(statement, (int)column);
    }
    sqlite3_reset(statement);
    return NULL;
}

/* The lowest and the highest rowid; false for an empty table. */
static struct nsm_error *rowid_span(struct sqlite_db *db, const struct sqlite_access *access,
                                    const struct nsm_object *object, bool *ret_found,
                                    struct sqlite_range *ret)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    static const char *const ends[] = {"min", "max"};
    int64_t found[2] = {0};
    for (size_t i = 0; i < NSM_COUNT_OF(ends); i++) {
        nsm_buf_clear(&sql);
        nsm_buf_printf(&sql, "SELECT %s(%s) FROM ", ends[i], access->rowid);
        sqlite_append_name(&sql, object->name);
        NSM_TRY(sqlite_get_i64(db, sql.ptr, NULL, NULL, ret_found, &found[i]));
    }
    *ret = (struct sqlite_range){.first = found[0], .last = found[1]};
    return NULL;
}

/* Rows from all over the table, as old and new ones may differ in size. */
static struct nsm_error *sample_spots(struct sqlite_db *db, const struct sqlite_access *access,
                                      const struct nsm_object *object, sqlite3_stmt *statement,
                                      struct sample *sample)
{
    bool is_found = false;
    struct sqlite_range span = {0};
    NSM_TRY(rowid_span(db, access, object, &is_found, &span));
    const uint64_t step = ((uint64_t)span.last - (uint64_t)span.first) / SAMPLE_SPOTS;
    for (uint64_t spot = 0; is_found && spot < SAMPLE_SPOTS; spot++) {
        const int64_t first = (int64_t)((uint64_t)span.first + spot * step);
        (void)sqlite3_bind_int64(statement, 1, first);
        (void)sqlite3_bind_int64(statement, 2, INT64_MAX);
        NSM_TRY(sample_some(db, statement, object, SAMPLE_ROWS, sample));
    }
    return NULL;
}

static struct nsm_error *take_sample(struct sqlite_db *db, const struct sqlite_access *access,
                                     const struct nsm_object *object, struct sample *sample)
{
    const uint64_t n_enough = (uint64_t)SAMPLE_SPOTS * SAMPLE_ROWS;
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db, access->select, object->name, &statement));
    if (access->order == SQLITE_ORDER_ROWID && object->n_records > n_enough)
        return sample_spots(db, access, object, statement, sample);
    bind_all(statement, access);
    return sample_some(db, statement, object, n_enough, sample);
}

struct nsm_error *sqlite_scan_counts(struct sqlite_db *db, const struct sqlite_access *access,
                                     struct nsm_object *object)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_found = false;
    int64_t count = 0;
    nsm_buf_append_cstr(&sql, "SELECT count(*) FROM ");
    sqlite_append_name(&sql, object->name);
    NSM_TRY(sqlite_get_i64(db, sql.ptr, NULL, NULL, &is_found, &count));
    object->n_records = (uint64_t)count;
    object->is_exact = true;
    if (object->n_records == 0)
        return NULL;
    struct sample sample = {0};
    NSM_TRY(take_sample(db, access, object, &sample));
    if (sample.n_rows)
        object->n_bytes =
            (uint64_t)((double)sample.n_bytes / (double)sample.n_rows * (double)object->n_records);
    return NULL;
}

/* ---- parts ---- */

static void add_part(struct nsm_census *census, size_t object_index, struct sqlite_range range,
                     uint64_t n_records)
{
    const struct nsm_object *const object = &census->objects[object_index];
    char text[64];
    const int len = snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64, range.first, range.last);
    const double share = (double)n_records / (double)object->n_records;
    nsm_census_add_part(census, object_index, (struct nsm_str){.ptr = text, .len = (size_t)len},
                        n_records, (uint64_t)(share * (double)object->n_bytes));
}

static struct nsm_error *prepare_boundary(struct sqlite_db *db, const struct sqlite_access *access,
                                          const struct nsm_object *object, sqlite3_stmt **ret)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    nsm_buf_printf(&sql, "SELECT %s FROM ", access->rowid);
    sqlite_append_name(&sql, object->name);
    nsm_buf_printf(&sql, " WHERE %s >= ?1 ORDER BY %s LIMIT 1 OFFSET ?2", access->rowid,
                   access->rowid);
    return sqlite_prepare(db, sql.ptr, object->name, ret);
}

struct nsm_error *sqlite_scan_parts(struct sqlite_db *db, const struct sqlite_access *access,
                                    size_t part_bytes, size_t object_index,
                                    struct nsm_census *census)
{
    const struct nsm_object *const object = &census->objects[object_index];
    const uint64_t n_parts =
        part_bytes && access->order == SQLITE_ORDER_ROWID ? object->n_bytes / part_bytes + 1 : 1;
    const uint64_t n_each = object->n_records / n_parts + 1;
    uint64_t n_left = object->n_records;
    struct sqlite_range range = SQLITE_RANGE_ALL;
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    if (n_left > n_each)
        NSM_TRY(prepare_boundary(db, access, object, &statement));
    /* Each boundary is found by walking from the last one: one pass in all, and even parts however
     * the rowids lie. The first and last part reach to the ends, for rows that come later. */
    while (n_left > n_each) {
        bool has_row = false;
        (void)sqlite3_bind_int64(statement, 1, range.first);
        (void)sqlite3_bind_int64(statement, 2, (int64_t)n_each);
        NSM_TRY(sqlite_step(db, statement, object->name, &has_row));
        if (!has_row)
            break;
        const int64_t boundary = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
        add_part(census, object_index,
                 (struct sqlite_range){.first = range.first, .last = boundary - 1}, n_each);
        range.first = boundary;
        n_left -= n_each;
    }
    if (object->n_records > 0)
        add_part(census, object_index, range, n_left);
    return NULL;
}
