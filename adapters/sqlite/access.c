/*
 * Columns, keys and the SELECT statements of a table. The order of reading is that of the b-tree in
 * which the rows lie, so that no sort is ever needed.
 */
#include "adapters/sqlite/access.h"

#include "migrate/base/alloc.h"

/* How pragma_table_xinfo marks columns. */
enum {
    HIDDEN_NO = 0,
    HIDDEN_VIRTUAL = 2,
    HIDDEN_STORED = 3,
};

static bool has_word(const char *text, const char *word)
{
    const size_t len = strlen(word);
    for (; *text; text++) {
        if (sqlite3_strnicmp(text, word, (int)len) == 0)
            return true;
    }
    return false;
}

enum sqlite_affinity sqlite_affinity_of(const char *declared)
{
    if (has_word(declared, "INT"))
        return SQLITE_AFFINITY_INTEGER;
    if (has_word(declared, "CHAR") || has_word(declared, "CLOB") || has_word(declared, "TEXT"))
        return SQLITE_AFFINITY_TEXT;
    if (*declared == '\0' || has_word(declared, "BLOB"))
        return SQLITE_AFFINITY_BLOB;
    if (has_word(declared, "REAL") || has_word(declared, "FLOA") || has_word(declared, "DOUB"))
        return SQLITE_AFFINITY_REAL;
    return SQLITE_AFFINITY_NUMERIC;
}

enum nsm_type sqlite_declared_type(const char *declared)
{
    switch (sqlite_affinity_of(declared)) {
    case SQLITE_AFFINITY_INTEGER:
        return NSM_INT;
    case SQLITE_AFFINITY_REAL:
        return NSM_FLOAT;
    case SQLITE_AFFINITY_NUMERIC:
        return NSM_NUMERIC;
    case SQLITE_AFFINITY_BLOB:
        return *declared ? NSM_BYTES : NSM_TEXT;
    case SQLITE_AFFINITY_TEXT:
        break;
    }
    return NSM_TEXT;
}

/* ---- columns ---- */

static struct nsm_error *query_columns(struct sqlite_db *db, const char *table, sqlite3_stmt **ret)
{
    NSM_TRY(sqlite_prepare(
        db, "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?)", table, ret));
    sqlite_bind_str(*ret, 1, nsm_str_of(table));
    return NULL;
}

struct column_list {
    struct nsm_column *columns;
    size_t *places; /* in the primary key, from 1; 0: not in it */
    size_t n, cap_columns, cap_places;
};

static void column_list_release(struct column_list *list)
{
    free(list->columns);
    free(list->places);
}

/* Adds the row of pragma_table_xinfo that the statement stands on. */
static void add_column(struct column_list *list, struct nsm_arena *arena, sqlite3_stmt *statement)
{
    const char *const declared = nsm_arena_copy(arena, sqlite_column_str(statement, 1)).ptr;
    NSM_GROW(list->columns, list->n, list->cap_columns);
    NSM_GROW(list->places, list->n, list->cap_places);
    list->columns[list->n] = (struct nsm_column){
        .name = nsm_arena_copy(arena, sqlite_column_str(statement, 0)).ptr,
        .type = sqlite_declared_type(declared),
        .type_name = declared,
        .is_not_null = sqlite3_column_int(statement, 2) != 0,
        .is_generated = sqlite3_column_int(statement, 4) != HIDDEN_NO,
    };
    list->places[list->n++] = (size_t)sqlite3_column_int(statement, 3);
}

static void set_columns(struct nsm_arena *arena, struct nsm_object *object,
                        const struct column_list *list)
{
    object->columns = nsm_arena_calloc(arena, list->n, sizeof(*list->columns));
    object->key_columns = nsm_arena_calloc(arena, list->n, sizeof(*list->places));
    object->n_columns = list->n;
    object->n_key_columns = 0;
    for (size_t i = 0; i < list->n; i++) {
        object->columns[i] = list->columns[i];
        if (list->places[i] == 0)
            continue;
        object->key_columns[list->places[i] - 1] = i;
        object->n_key_columns++;
    }
}

struct nsm_error *sqlite_describe_columns(struct sqlite_db *db, struct nsm_arena *arena,
                                          unsigned flags, struct nsm_object *object,
                                          size_t *ret_n_computed)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_CLEANUP(column_list_release) struct column_list list = {0};
    size_t n_computed = 0;
    bool has_row = false;
    NSM_TRY(query_columns(db, object->name, &statement));
    for (;;) {
        NSM_TRY(sqlite_step(db, statement, object->name, &has_row));
        if (!has_row)
            break;
        const int hidden = sqlite3_column_int(statement, 4);
        const bool is_computed = hidden == HIDDEN_VIRTUAL || hidden == HIDDEN_STORED;
        n_computed += is_computed;
        if (hidden == HIDDEN_NO || (is_computed && flags & SQLITE_DESCRIBE_COMPUTED))
            add_column(&list, arena, statement);
    }
    set_columns(arena, object, &list);
    *ret_n_computed = n_computed;
    return NULL;
}

void sqlite_copy_object(struct nsm_arena *arena, const struct nsm_object *from,
                        struct nsm_object *to)
{
    to->name = nsm_arena_strdup(arena, from->name);
    to->model = from->model;
    to->columns = nsm_arena_calloc(arena, from->n_columns, sizeof(*to->columns));
    to->n_columns = from->n_columns;
    for (size_t i = 0; i < from->n_columns; i++) {
        to->columns[i] = from->columns[i];
        to->columns[i].name = nsm_arena_strdup(arena, from->columns[i].name);
        to->columns[i].type_name = nsm_arena_strdup(arena, from->columns[i].type_name);
    }
    to->key_columns = nsm_arena_calloc(arena, from->n_key_columns, sizeof(*to->key_columns));
    to->n_key_columns = from->n_key_columns;
    for (size_t i = 0; i < from->n_key_columns; i++)
        to->key_columns[i] = from->key_columns[i];
}

/* ---- statements ---- */

/* The first of the rowid's three names that is not a column's. */
static struct nsm_error *find_rowid_name(struct sqlite_db *db, const char *table, const char **ret)
{
    static const char *const names[] = {"rowid", "_rowid_", "oid"};
    bool is_taken[NSM_COUNT_OF(names)] = {false};
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(query_columns(db, table, &statement));
    for (;;) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, table, &has_row));
        if (!has_row)
            break;
        const char *const column = (const char *)sqlite3_column_text(statement, 0);
        for (size_t i = 0; i < NSM_COUNT_OF(names); i++)
            is_taken[i] |= column && sqlite3_stricmp(column, names[i]) == 0;
    }
    *ret = NULL;
    for (size_t i = NSM_COUNT_OF(names); i-- > 0;) {
        if (!is_taken[i])
            *ret = names[i];
    }
    return NULL;
}

/* A primary key that is the rowid has no index; any other has one. */
static struct nsm_error *stands_for_rowid(struct sqlite_db *db, const struct nsm_object *object,
                                          bool *ret)
{
    bool has_index = false;
    int64_t one = 0;
    *ret = false;
    if (object->n_key_columns != 1 ||
        sqlite3_stricmp(object->columns[object->key_columns[0]].type_name, "INTEGER") != 0)
        return NULL;
    NSM_TRY(sqlite_get_i64(db, "SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk'",
                           object->name, NULL, &has_index, &one));
    *ret = !has_index;
    return NULL;
}

struct nsm_error *sqlite_add_rowid(struct sqlite_db *db, struct nsm_arena *arena,
                                   struct nsm_object *object)
{
    const char *rowid = NULL;
    bool is_there = false;
    NSM_TRY(stands_for_rowid(db, object, &is_there));
    if (is_there)
        return NULL;
    NSM_TRY(find_rowid_name(db, object->name, &rowid));
    if (!rowid)
        return NULL;
    struct nsm_column *const columns =
        nsm_arena_calloc(arena, object->n_columns + 1, sizeof(*columns));
    if (object->n_columns)
        memcpy(columns, object->columns, object->n_columns * sizeof(*columns));
    columns[object->n_columns] = (struct nsm_column){
        .name = rowid,
        .type = NSM_INT,
        .type_name = "INTEGER",
        .is_place = true,
    };
    object->columns = columns;
    if (object->n_key_columns == 0) {
        object->key_columns = nsm_arena_calloc(arena, 1, sizeof(*object->key_columns));
        object->key_columns[0] = object->n_columns;
        object->n_key_columns = 1;
    }
    object->n_columns++;
    return NULL;
}

static void append_columns(struct nsm_buf *sql, const struct nsm_object *object)
{
    nsm_buf_append_cstr(sql, "SELECT ");
    for (size_t i = 0; i < object->n_columns; i++) {
        nsm_buf_append_cstr(sql, i ? ", " : "");
        sqlite_append_name(sql, object->columns[i].name);
    }
}

static void select_by_rowid(struct nsm_buf *sql, const struct nsm_object *object, const char *rowid)
{
    append_columns(sql, object);
    nsm_buf_printf(sql, "%s%s FROM ", object->n_columns ? ", " : "", rowid);
    sqlite_append_name(sql, object->name);
    nsm_buf_printf(sql, " WHERE %s BETWEEN ?1 AND ?2 ORDER BY %s", rowid, rowid);
}

/* A column of the b-tree's key, as the order needs it. */
struct key_column {
    const char *expression; /* "name" COLLATE "collation" */
    const char *name;
    bool is_descending;
};

static struct nsm_error *read_key(struct sqlite_db *db, struct nsm_arena *arena, const char *table,
                                  struct key_column **ret, size_t *ret_n)
{
    NSM_CLEANUP(sqlite_finalize) sqlite3_stmt *statement = NULL;
    NSM_TRY(sqlite_prepare(db,
                           "SELECT x.name, x.\"desc\", x.coll FROM pragma_index_list(?1) AS l,"
                           " pragma_index_xinfo(l.name) AS x"
                           " WHERE l.origin = 'pk' AND x.key = 1 ORDER BY x.seqno",
                           table, &statement));
    sqlite_bind_str(statement, 1, nsm_str_of(table));
    NSM_CLEANUP(nsm_freep) struct key_column *key = NULL;
    size_t n = 0;
    size_t cap = 0;
    for (;;) {
        bool has_row = false;
        NSM_TRY(sqlite_step(db, statement, table, &has_row));
        if (!has_row)
            break;
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf expression = NSM_BUF_TEXT;
        const char *const name = nsm_arena_copy(arena, sqlite_column_str(statement, 0)).ptr;
        sqlite_append_name(&expression, name);
        nsm_buf_append_cstr(&expression, " COLLATE ");
        const struct nsm_str collation = sqlite_column_str(statement, 2);
        sqlite_append_name(&expression, nsm_arena_copy(arena, collation).ptr);
        NSM_GROW(key, n, cap);
        key[n++] = (struct key_column){
            .expression = nsm_arena_copy(arena, nsm_buf_view(&expression)).ptr,
            .name = name,
            .is_descending = sqlite3_column_int(statement, 1) != 0,
        };
    }
    *ret = nsm_arena_calloc(arena, n, sizeof(*key));
    if (n)
        memcpy(*ret, key, n * sizeof(*key));
    *ret_n = n;
    return NULL;
}

static bool is_one_direction(const struct key_column *key, size_t n)
{
    bool is_one = true;
    for (size_t i = 1; i < n; i++)
        is_one &= key[i].is_descending == key[0].is_descending;
    return is_one;
}

/* Behind the key ?1, ?2, ...: a comparison of rows, which SQLite turns into a seek; with mixed
 * directions it has to be spelled out: a > ?1 OR (a = ?1 AND b < ?2) OR ... */
static void append_behind(struct nsm_buf *sql, const struct key_column *key, size_t n)
{
    nsm_buf_append_cstr(sql, " WHERE ");
    if (is_one_direction(key, n)) {
        for (size_t i = 0; i < n; i++)
            nsm_buf_printf(sql, "%s%s", i ? ", " : "(", key[i].expression);
        nsm_buf_append_cstr(sql, key[0].is_descending ? ") < " : ") > ");
        for (size_t i = 0; i < n; i++)
            nsm_buf_printf(sql, "%s?%zu", i ? ", " : "(", i + 1);
        nsm_buf_append_cstr(sql, ")");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        nsm_buf_append_cstr(sql, i ? " OR (" : "(");
        for (size_t j = 0; j < i; j++)
            nsm_buf_printf(sql, "%s = ?%zu AND ", key[j].expression, j + 1);
        nsm_buf_printf(sql, "%s %c ?%zu)", key[i].expression, key[i].is_descending ? '<' : '>',
                       i + 1);
    }
}

static void select_by_key(struct nsm_buf *sql, const struct nsm_object *object,
                          const struct key_column *key, size_t n, bool is_behind)
{
    append_columns(sql, object);
    for (size_t i = 0; i < n; i++) {
        nsm_buf_append_cstr(sql, i || object->n_columns ? ", " : "");
        sqlite_append_name(sql, key[i].name);
    }
    nsm_buf_append_cstr(sql, " FROM ");
    sqlite_append_name(sql, object->name);
    if (is_behind)
        append_behind(sql, key, n);
    nsm_buf_append_cstr(sql, " ORDER BY ");
    for (size_t i = 0; i < n; i++)
        nsm_buf_printf(sql, "%s%s%s", i ? ", " : "", key[i].expression,
                       key[i].is_descending ? " DESC" : "");
}

static const char *keep(struct nsm_arena *arena, const struct nsm_buf *sql)
{
    return nsm_arena_copy(arena, nsm_buf_view(sql)).ptr;
}

static struct nsm_error *make_by_key(struct sqlite_db *db, struct nsm_arena *arena,
                                     const struct nsm_object *object, struct sqlite_access *access)
{
    struct key_column *key = NULL;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    NSM_TRY(read_key(db, arena, object->name, &key, &access->n_key));
    access->order = SQLITE_ORDER_KEY;
    access->is_seekable = is_one_direction(key, access->n_key);
    select_by_key(&sql, object, key, access->n_key, false);
    access->select = keep(arena, &sql);
    nsm_buf_clear(&sql);
    select_by_key(&sql, object, key, access->n_key, true);
    access->after = keep(arena, &sql);
    return nsm_buf_error(&sql);
}

struct nsm_error *sqlite_access_make(struct sqlite_db *db, struct nsm_arena *arena,
                                     const struct nsm_object *object, struct sqlite_access *ret)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_without_rowid = false;
    int64_t one = 0;
    *ret = (struct sqlite_access){.n_columns = object->n_columns};
    /* Given a table's name instead of an index's, this pragma has rows for those alone. */
    NSM_TRY(sqlite_get_i64(db, "SELECT 1 FROM pragma_index_info(?1)", object->name, NULL,
                           &is_without_rowid, &one));
    if (is_without_rowid)
        return make_by_key(db, arena, object, ret);
    NSM_TRY(find_rowid_name(db, object->name, &ret->rowid));
    if (ret->rowid) {
        ret->order = SQLITE_ORDER_ROWID;
        ret->is_seekable = true;
        ret->n_key = 1;
        select_by_rowid(&sql, object, ret->rowid);
    } else {
        ret->order = SQLITE_ORDER_NONE;
        append_columns(&sql, object);
        nsm_buf_append_cstr(&sql, " FROM ");
        sqlite_append_name(&sql, object->name);
    }
    ret->select = keep(arena, &sql);
    return nsm_buf_error(&sql);
}
