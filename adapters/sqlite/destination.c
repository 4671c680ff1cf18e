/*
 * Destinations in a SQLite file. What a survey of the source found goes in under the tables' bare
 * names: between two SQLite files word for word, from other stores in columns whose affinity never
 * changes a value (INTEGER, REAL and BLOB for what they hold, TEXT for all else).
 */
#include "adapters/sqlite/destination.h"

#include "adapters/sqlite/checkpoint.h"
#include "migrate/base/alloc.h"

#include <inttypes.h>
#include <unistd.h>

/* ---- inspect: the shape as it will stand ---- */

/* The declared type that holds values of `type` unchanged; *ret: what a reader gives back. */
static const char *declare(enum nsm_type type, enum nsm_type *ret)
{
    switch (type) {
    case NSM_BOOL: /* as 0 and 1 */
    case NSM_INT:
        *ret = NSM_INT;
        return "INTEGER";
    case NSM_FLOAT:
        *ret = NSM_FLOAT;
        return "REAL";
    case NSM_BYTES:
        *ret = NSM_BYTES;
        return "BLOB";
    case NSM_NULL:
    case NSM_NUMERIC:
    case NSM_TEXT:
    case NSM_TIME:
    case NSM_UUID:
    case NSM_JSON:
    case NSM_OTHER:
        break;
    }
    *ret = NSM_TEXT;
    return "TEXT";
}

static void make_target(struct nsm_destination *destination, const struct nsm_object *from,
                        const char *name)
{
    struct nsm_arena *const arena = &destination->target.arena;
    struct nsm_object *const to = nsm_census_add_object(&destination->target);
    sqlite_copy_object(arena, from, to);
    to->name = nsm_arena_strdup(arena, name);
    to->model = NSM_MODEL_ROWS;
    for (size_t i = 0; !sqlite_is_same_kind(destination) && i < to->n_columns; i++)
        to->columns[i].type_name = declare(to->columns[i].type, &to->columns[i].type);
}

static void refuse(struct nsm_destination *destination, const char *fmt, ...) NSM_PRINTF(2, 3);
static void refuse(struct nsm_destination *destination, const char *fmt, ...)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    va_list args;
    va_start(args, fmt);
    nsm_buf_vprintf(&text, fmt, args);
    va_end(args);
    nsm_findings_add(&destination->target.findings, NSM_FINDING_REFUSAL, "", 1, "%s", text.ptr);
}

/* Names that SQLite would not take, or take for one another. */
static void check_names(struct nsm_destination *destination)
{
    const struct nsm_census *const target = &destination->target;
    for (size_t i = 0; i < target->n_objects; i++) {
        const struct nsm_object *const object = &target->objects[i];
        const char *const reason = sqlite_reserved_name(object->name);
        if (reason)
            refuse(destination, "table %s: %s", object->name, reason);
        if (object->name[0] == '\0')
            refuse(destination, "a table without a name: say table: in destination");
        if (object->n_columns == 0)
            refuse(destination, "table %s has no columns, which SQLite does not know",
                   object->name);
        for (size_t j = 0; j < i; j++) {
            if (sqlite3_stricmp(target->objects[j].name, object->name) == 0)
                refuse(destination, "two tables would both be called %s", object->name);
        }
        for (size_t j = 0; j < object->n_columns; j++) {
            for (size_t k = 0; k < j; k++) {
                if (sqlite3_stricmp(object->columns[j].name, object->columns[k].name) == 0)
                    refuse(destination, "table %s: columns %s and %s have one name in SQLite",
                           object->name, object->columns[k].name, object->columns[j].name);
            }
        }
    }
}

static void make_targets(struct nsm_destination *destination)
{
    const struct nsm_census *const shape = destination->shape;
    const char *const table = nsm_settings_string(destination->selection, "table");
    if (table && shape->n_objects != 1)
        refuse(destination, "table: %s names one table, and there are %zu", table,
               shape->n_objects);
    if (table && destination->definition && shape->n_objects == 1 &&
        strcmp(table, shape->objects[0].name) != 0)
        refuse(destination, "table: %s: between SQLite files tables keep their names", table);
    for (size_t i = 0; i < shape->n_objects; i++)
        make_target(destination, &shape->objects[i],
                    table && shape->n_objects == 1 ? table : shape->objects[i].name);
    check_names(destination);
}

/* ---- inspect: what stands there ---- */

struct inspection {
    struct sqlite_db *db; /* NULL: there is no file yet */
    struct sqlite_catalog catalog;
    bool has_checkpoints;
    const char *run_id, *path;
};

static bool needs_key(const struct nsm_destination *destination)
{
    return destination->if_exists == NSM_IF_EXISTS_MERGE ||
           destination->if_exists == NSM_IF_EXISTS_SKIP;
}

static const struct nsm_column *find_column(const struct nsm_object *object, const char *name)
{
    for (size_t i = 0; i < object->n_columns; i++) {
        if (sqlite3_stricmp(object->columns[i].name, name) == 0)
            return &object->columns[i];
    }
    return NULL;
}

static bool is_same_key(const struct nsm_object *one, const struct nsm_object *other)
{
    bool is_same = one->n_key_columns == other->n_key_columns && one->n_key_columns > 0;
    for (size_t i = 0; is_same && i < one->n_key_columns; i++) {
        const char *const name = one->columns[one->key_columns[i]].name;
        bool is_found = false;
        for (size_t j = 0; j < other->n_key_columns; j++)
            is_found |= sqlite3_stricmp(other->columns[other->key_columns[j]].name, name) == 0;
        is_same = is_found;
    }
    return is_same;
}

/* Whether values for the one declared type stand unchanged in a column of the other. */
static bool keeps_values(const char *wanted, const char *standing)
{
    const enum sqlite_affinity from = sqlite_affinity_of(wanted);
    const enum sqlite_affinity to = sqlite_affinity_of(standing);
    return from == to || to == SQLITE_AFFINITY_BLOB ||
           (from == SQLITE_AFFINITY_INTEGER && to == SQLITE_AFFINITY_NUMERIC);
}

/* Rows can be merged only into a table that has the same columns, types and key. */
static struct nsm_error *check_merge(const struct inspection *inspection,
                                     struct nsm_destination *destination,
                                     const struct nsm_object *object)
{
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    struct nsm_object standing = {.name = object->name};
    size_t n_computed = 0;
    NSM_TRY(sqlite_describe_columns(inspection->db, &arena, 0, &standing, &n_computed));
    for (size_t i = 0; i < object->n_columns; i++) {
        const struct nsm_column *const column = &object->columns[i];
        const struct nsm_column *const other = find_column(&standing, column->name);
        if (!other)
            refuse(destination, "table %s that stands there has no column %s", object->name,
                   column->name);
        else if (!keeps_values(column->type_name, other->type_name))
            refuse(destination,
                   "table %s: column %s stands there as \"%s\", which would change values of "
                   "\"%s\"",
                   object->name, column->name, other->type_name, column->type_name);
    }
    if (!is_same_key(object, &standing))
        refuse(destination,
               "table %s: rows can be told apart for if_exists: %s only by the same primary key on "
               "both sides",
               object->name, destination->if_exists == NSM_IF_EXISTS_SKIP ? "skip" : "merge");
    return NULL;
}

static struct nsm_error *is_table_ours(const struct inspection *inspection,
                                       struct nsm_destination *destination, const char *table,
                                       bool *ret)
{
    const char *owner = NULL;
    if (inspection->has_checkpoints)
        NSM_TRY(sqlite_checkpoint_owner(inspection->db, &destination->target.arena,
                                        inspection->run_id, table, &owner));
    *ret = destination->is_ours || owner;
    if (owner && strcmp(owner, destination->namespace_name) != 0)
        refuse(destination, "table %s is written by namespace %s of this plan", table, owner);
    return NULL;
}

static struct nsm_error *inspect_standing(const struct inspection *inspection,
                                          struct nsm_destination *destination,
                                          const struct nsm_object *object)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    bool is_ours = false;
    bool is_found = false;
    int64_t n_rows = 0;
    NSM_TRY(is_table_ours(inspection, destination, object->name, &is_ours));
    if (is_ours)
        return NULL;
    nsm_buf_append_cstr(&sql, "SELECT count(*) FROM ");
    sqlite_append_name(&sql, object->name);
    NSM_TRY(sqlite_get_i64(inspection->db, sql.ptr, NULL, NULL, &is_found, &n_rows));
    nsm_findings_add(&destination->target.findings, NSM_FINDING_CONFLICT, "", 1,
                     "table %s holds %" PRId64 " rows", object->name, n_rows);
    return needs_key(destination) ? check_merge(inspection, destination, object) : NULL;
}

static struct nsm_error *inspect_object(const struct inspection *inspection,
                                        struct nsm_destination *destination,
                                        const struct nsm_object *object)
{
    const struct sqlite_table *const table =
        sqlite_catalog_find(&inspection->catalog, object->name);
    const struct sqlite_item *const item =
        sqlite_catalog_find_item(&inspection->catalog, object->name);
    bool is_ours = false;
    if (table && table->is_shadow)
        NSM_TRY(is_table_ours(inspection, destination, object->name, &is_ours));
    if (item)
        refuse(destination, "table %s: there is %s %s of that name", object->name,
               item->type[0] == 'i' ? "an" : "a", sqlite_item_words(item));
    else if (table && table->is_shadow && !is_ours)
        refuse(destination, "table %s: a virtual table that stands there keeps its rows in it",
               object->name);
    else if (table)
        return inspect_standing(inspection, destination, object);
    else
        nsm_findings_add(&destination->target.findings, NSM_FINDING_CREATE, "", 1, "table %s",
                         object->name);
    return NULL;
}

/* The number of objects when there is none of that name. */
static size_t find_target(const struct nsm_destination *destination, const char *table)
{
    const size_t n = destination->target.n_objects;
    size_t at = 0;
    while (at < n && sqlite3_stricmp(destination->target.objects[at].name, table) != 0)
        at++;
    return at;
}

static bool is_target(const struct nsm_destination *destination, const char *table)
{
    return find_target(destination, table) < destination->target.n_objects;
}

static void inspect_item(const struct inspection *inspection, struct nsm_destination *destination,
                         const struct sqlite_item *item)
{
    const struct sqlite_item *const other =
        sqlite_catalog_find_item(&inspection->catalog, item->name);
    const bool is_view = strcmp(item->type, "view") == 0;
    if (other && strcmp(other->sql, item->sql) == 0)
        return;
    if (sqlite_catalog_find(&inspection->catalog, item->name)) {
        refuse(destination, "%s %s: a table of that name stands there", sqlite_item_words(item),
               item->name);
        return;
    }
    if (!other)
        return;
    if (is_view && strcmp(other->type, "view") == 0)
        nsm_findings_add(&destination->target.findings, NSM_FINDING_CONFLICT, "", 1,
                         "view %s is another one", item->name);
    else if (strcmp(other->type, item->type) != 0 || !is_target(destination, other->table))
        refuse(destination, "%s %s: there is one of that name, on %s", sqlite_item_words(item),
               item->name, other->table);
}

/* What the source has besides tables may meet something of the same name: better found now than
 * after the rows. */
static struct nsm_error *inspect_items(const struct inspection *inspection,
                                       struct nsm_destination *destination)
{
    static const char *const types[] = {"index", "view", "trigger", "virtual"};
    const struct sqlite_source *const source =
        destination->source ? destination->source->state : NULL;
    if (!destination->definition)
        return NULL;
    for (size_t i = 0; source && i < source->n_items; i++)
        inspect_item(inspection, destination, &source->items[i]);
    if (source)
        return NULL;
    NSM_CLEANUP(sqlite_definition_release) struct sqlite_definition archived = {0};
    NSM_TRY(sqlite_definition_load(destination->definition, &archived));
    for (size_t i = 0; i < archived.n_items; i++) {
        for (size_t t = 0; t < NSM_COUNT_OF(types); t++) {
            if (strcmp(archived.items[i].type, types[t]) == 0)
                inspect_item(inspection, destination, &archived.items[i]);
        }
    }
    return NULL;
}

/* Reading and writing one table would end in neither. */
static void check_not_source(struct nsm_destination *destination, const char *path)
{
    struct nsm_arena *const arena = &destination->target.arena;
    const struct nsm_source *const source = destination->source;
    if (!source)
        return;
    const char *const read_path = sqlite_backend_of(source->backend)->path;
    if (strcmp(sqlite_file_identity(arena, read_path), sqlite_file_identity(arena, path)) != 0)
        return;
    for (size_t i = 0; i < source->census.n_objects; i++) {
        if (is_target(destination, source->census.objects[i].name))
            refuse(destination, "table %s is the source itself", source->census.objects[i].name);
    }
}

static void set_identity(struct nsm_census *target, const char *path)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_buf_printf(&text, "%s/", sqlite_file_identity(&target->arena, path));
    for (size_t i = 0; i < target->n_objects; i++)
        nsm_buf_printf(&text, "%s%s", i ? "," : "", target->objects[i].name);
    target->identity = nsm_arena_copy(&target->arena, nsm_buf_view(&text)).ptr;
}

static struct nsm_error *inspect_namespace(struct inspection *inspection,
                                           struct nsm_destination *destination)
{
    struct nsm_census *const target = &destination->target;
    make_targets(destination);
    set_identity(target, inspection->path);
    if (!inspection->db)
        nsm_findings_add(&target->findings, NSM_FINDING_CREATE, "", 1, "file %s", inspection->path);
    for (size_t i = 0; i < target->n_objects; i++)
        NSM_TRY(inspect_object(inspection, destination, &target->objects[i]));
    if (!sqlite_is_same_kind(destination))
        return NULL;
    NSM_TRY(inspect_items(inspection, destination));
    check_not_source(destination, inspection->path);
    return NULL;
}

static struct nsm_error *inspect_all(struct inspection *inspection,
                                     struct nsm_destination **destinations, size_t n_destinations)
{
    if (inspection->db) {
        NSM_TRY(sqlite_catalog_read(inspection->db, &inspection->catalog));
        inspection->has_checkpoints = sqlite_has_table(inspection->db, SQLITE_CHECKPOINT_TABLE);
    }
    for (size_t i = 0; i < n_destinations; i++)
        NSM_TRY_WRAP(inspect_namespace(inspection, destinations[i]), "namespace %s",
                     destinations[i]->namespace_name);
    return NULL;
}

/* The folder must let us make the file, its log and its journal. */
static struct nsm_error *check_folder(const char *path)
{
    NSM_CLEANUP(nsm_freep) char *folder = sqlite_folder_of(path);
    if (access(folder, F_OK) != 0)
        return nsm_error_new(NSM_E_NOTFOUND, "folder %s: %m: make it first", folder);
    if (access(folder, W_OK | X_OK) != 0)
        return nsm_error_new(NSM_E_IO, "folder %s: %m: SQLite must be able to make files in it",
                             folder);
    if (access(path, F_OK) == 0 && access(path, W_OK) != 0)
        return nsm_error_new(NSM_E_IO, "%s: %m", path);
    return NULL;
}

struct nsm_error *sqlite_inspect(struct nsm_backend *base, struct nsm_context *ctx,
                                 struct nsm_destination **destinations, size_t n_destinations)
{
    struct sqlite_backend *const backend = sqlite_backend_of(base);
    struct inspection inspection = {.run_id = base->run_id, .path = backend->path};
    NSM_TRY(nsm_context_error(ctx));
    NSM_TRY(check_folder(backend->path));
    if (access(backend->path, F_OK) == 0)
        NSM_TRY(sqlite_acquire(backend, ctx, &inspection.db));
    struct nsm_error *const error = inspect_all(&inspection, destinations, n_destinations);
    sqlite_catalog_release(&inspection.catalog);
    sqlite_release(backend, inspection.db);
    return error;
}

void sqlite_release_destination(struct nsm_destination *destination)
{
    destination->state = NULL;
}

/* ---- prepare ---- */

struct preparation {
    struct nsm_destination *destination;
    struct sqlite_definition definition; /* empty: tables are made from the target's columns */
    bool is_new_file, made_file;
};

/* What can only be set while the file is empty, or outside of a transaction. */
static struct nsm_error *prepare_file(struct sqlite_db *db, void *arg)
{
    struct preparation *const preparation = arg;
    const struct sqlite_item *const encoding =
        sqlite_definition_find(&preparation->definition, "setting", "encoding");
    bool is_found = false;
    int64_t n_pages = 0;
    NSM_TRY(sqlite_get_i64(db, "PRAGMA page_count", NULL, NULL, &is_found, &n_pages));
    preparation->is_new_file = n_pages == 0;
    if (n_pages > 0)
        return NULL;
    if (encoding) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
        nsm_buf_append_cstr(&sql, "PRAGMA encoding = ");
        sqlite_append_name(&sql, encoding->sql);
        NSM_TRY(sqlite_run(db, sql.ptr, "encoding"));
    }
    /* One sync of the disk per checkpoint instead of three. Where it can't be had, on file systems
     * without shared memory, SQLite stays with its journal. */
    return sqlite_run(db, "PRAGMA journal_mode = WAL", "");
}

static void append_columns(struct nsm_buf *sql, const struct nsm_object *object)
{
    for (size_t i = 0; i < object->n_columns; i++) {
        const struct nsm_column *const column = &object->columns[i];
        nsm_buf_append_cstr(sql, i ? ", " : "");
        sqlite_append_name(sql, column->name);
        nsm_buf_printf(sql, " %s%s", column->type_name, column->is_not_null ? " NOT NULL" : "");
    }
    for (size_t i = 0; i < object->n_key_columns; i++) {
        nsm_buf_append_cstr(sql, i ? ", " : ", PRIMARY KEY (");
        sqlite_append_name(sql, object->columns[object->key_columns[i]].name);
    }
    nsm_buf_append_cstr(sql, object->n_key_columns ? ")" : "");
}

static struct nsm_error *create_table(struct sqlite_db *db, const struct preparation *preparation,
                                      const struct nsm_object *object)
{
    const struct sqlite_item *const item =
        sqlite_definition_find(&preparation->definition, "table", object->name);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    if (item)
        return sqlite_run(db, item->sql, object->name);
    nsm_buf_append_cstr(&sql, "CREATE TABLE ");
    sqlite_append_name(&sql, object->name);
    nsm_buf_append_cstr(&sql, " (");
    append_columns(&sql, object);
    nsm_buf_append_cstr(&sql, ")");
    NSM_TRY(nsm_buf_error(&sql));
    return sqlite_run(db, sql.ptr, object->name);
}

static struct nsm_error *drop_table(struct sqlite_db *db, const char *table)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&sql, "DROP TABLE ");
    sqlite_append_name(&sql, table);
    return sqlite_run(db, sql.ptr, table);
}

static struct nsm_error *prepare_table(struct sqlite_db *db, struct preparation *preparation,
                                       const struct nsm_object *object)
{
    struct nsm_destination *const destination = preparation->destination;
    const char *const run_id = destination->backend->run_id;
    const char *owner = NULL;
    const bool is_there = sqlite_has_table(db, object->name);
    NSM_TRY(sqlite_checkpoint_owner(db, &destination->target.arena, run_id, object->name, &owner));
    if (owner && strcmp(owner, destination->namespace_name) != 0)
        return nsm_error_new(NSM_E_CONFLICT, "table %s was made by namespace %s of this plan",
                             object->name, owner);
    if (is_there && (owner || destination->is_ours || needs_key(destination)))
        return NULL;
    if (is_there && destination->if_exists != NSM_IF_EXISTS_REPLACE)
        return nsm_error_new(NSM_E_CONFLICT, "table %s has appeared since the survey",
                             object->name);
    if (is_there)
        NSM_TRY(drop_table(db, object->name));
    NSM_TRY(create_table(db, preparation, object));
    return owner ? NULL
                 : sqlite_checkpoint_own(db, run_id, destination->namespace_name, object->name);
}

/* In the order in which the source made them. */
static struct nsm_error *prepare_tables(struct sqlite_db *db, void *arg)
{
    struct preparation *const preparation = arg;
    struct nsm_destination *const destination = preparation->destination;
    NSM_TRY(sqlite_checkpoint_init(db, preparation->is_new_file, &preparation->made_file));
    NSM_TRY(sqlite_checkpoint_join(db, destination->backend->run_id, destination->namespace_name));
    const size_t n_objects = destination->target.n_objects;
    NSM_CLEANUP(nsm_freep) bool *is_done = nsm_xcalloc(n_objects + 1, 1);
    for (size_t i = 0; i < preparation->definition.n_items; i++) {
        const struct sqlite_item *const item = &preparation->definition.items[i];
        const size_t at =
            strcmp(item->type, "table") == 0 ? find_target(destination, item->name) : n_objects;
        if (at == n_objects)
            continue;
        NSM_TRY(prepare_table(db, preparation, &destination->target.objects[at]));
        is_done[at] = true;
    }
    for (size_t i = 0; i < n_objects; i++) {
        if (!is_done[i])
            NSM_TRY(prepare_table(db, preparation, &destination->target.objects[i]));
    }
    return NULL;
}

struct nsm_error *sqlite_destination_prepare(struct nsm_destination *destination,
                                             struct nsm_context *ctx)
{
    struct sqlite_backend *const backend = sqlite_backend_of(destination->backend);
    struct preparation preparation = {.destination = destination};
    const struct sqlite_work work = {
        .mode = SQLITE_MODE_CREATE,
        .is_repeatable = true,
        .before = prepare_file,
        .fn = prepare_tables,
        .arg = &preparation,
    };
    if (sqlite_is_same_kind(destination) && destination->definition)
        NSM_TRY(sqlite_definition_load(destination->definition, &preparation.definition));
    struct nsm_error *const error = sqlite_transaction(backend, ctx, &work);
    sqlite_definition_release(&preparation.definition);
    if (!error && preparation.made_file)
        sqlite_set_made_file(backend);
    return error;
}

/* ---- undoing and completing ---- */

struct reset {
    const struct nsm_destination *destination;
    const char *table;
};

/* Rows that were merged into a table of someone else stay: the same rows will be merged again. */
static struct nsm_error *reset_table(struct sqlite_db *db, void *arg)
{
    const struct reset *const reset = arg;
    const char *const run_id = reset->destination->backend->run_id;
    NSM_CLEANUP(nsm_arena_release) struct nsm_arena arena = NSM_ARENA_INIT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf sql = NSM_BUF_TEXT;
    const char *owner = NULL;
    if (!sqlite_has_table(db, SQLITE_CHECKPOINT_TABLE))
        return NULL;
    NSM_TRY(sqlite_checkpoint_owner(db, &arena, run_id, reset->table, &owner));
    nsm_buf_append_cstr(&sql, "DELETE FROM ");
    sqlite_append_name(&sql, reset->table);
    if (owner)
        NSM_TRY(sqlite_run(db, sql.ptr, reset->table));
    return sqlite_checkpoint_reset(db, run_id, reset->table);
}

struct nsm_error *sqlite_reset_object(struct nsm_destination *destination, struct nsm_context *ctx,
                                      size_t object_index)
{
    struct reset reset = {
        .destination = destination,
        .table = destination->target.objects[object_index].name,
    };
    const struct sqlite_work work = {.mode = SQLITE_MODE_WRITE, .fn = reset_table, .arg = &reset};
    return sqlite_transaction(sqlite_backend_of(destination->backend), ctx, &work);
}

static struct nsm_error *forget_namespace(struct sqlite_db *db, void *arg)
{
    const struct nsm_destination *const destination = arg;
    return sqlite_has_table(db, SQLITE_CHECKPOINT_TABLE)
               ? sqlite_checkpoint_complete(db, destination->backend->run_id,
                                            destination->namespace_name)
               : NULL;
}

struct nsm_error *sqlite_complete(struct nsm_destination *destination, struct nsm_context *ctx)
{
    const struct sqlite_work work = {
        .mode = SQLITE_MODE_WRITE,
        .is_repeatable = true, /* what stays then is our own table, not needed any more */
        .fn = forget_namespace,
        .arg = destination,
    };
    return sqlite_transaction(sqlite_backend_of(destination->backend), ctx, &work);
}
