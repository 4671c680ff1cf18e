/*
 * The one interface between nsmigrate and a kind of store; also for adapters that come as shared
 * objects.
 *
 * An adapter is a static const table: a name, the options a plan may give, the lanes it reads and
 * writes, and operations. Three lifetimes:
 *
 *   adapter          static; no state.
 *   backend          a store named in the plan: opened once, shared by all threads, locks internally.
 *   reader, writer   one part of one namespace, on one thread.
 *
 * The core allocates the instances (backend_size, reader_size, writer_size zeroed bytes, each
 * beginning with the base struct below), so there is no constructor to get wrong. The life of a
 * namespace:
 *
 *   source:       survey -> [define] -> per part: reader_open, read..., reader_close
 *                 -> release_source
 *   destination:  inspect -> prepare -> [plan_finish]
 *                 -> per part: writer_open, (write..., checkpoint)..., writer_close
 *                 -> finish_step... -> complete -> release_destination
 *   verify:       survey of the destination (nsm_source.written) -> readers on it
 *
 * Rules for all operations:
 *   - They block only under the context they are given (nsm_wait_fd, nsm_sleep, or an interrupt of
 *     the library's own that a waker triggers), and return NSM_E_CANCELED within 50 ms of its
 *     cancellation; what runs on a server for them is cancelled there too.
 *   - They don't retry: they return an error whose code says whether that helps, and the core
 *     retries from the last checkpoint. Everything before `inspect` ends leaves the destination as
 *     it was.
 *   - They print nothing. Errors name the object or key and the server's own words; the core puts
 *     the namespace and the backend's name before them. No error, finding or description holds a
 *     password.
 *   - An operation that failed leaves its instance good for nothing but close; close is called if
 *     and only if open succeeded, and never fails: what must be durable was made so by checkpoint.
 *
 * Compatibility: members are only appended, with "since abi N"; the core reads the missing tail of
 * an older table as NULL.
 */
#ifndef NSM_ADAPTERS_ADAPTER_H
#define NSM_ADAPTERS_ADAPTER_H

#include "migrate/base/buf.h"
#include "migrate/base/context.h"
#include "migrate/base/error.h"
#include "migrate/base/str.h"
#include "migrate/engine/record/batch.h"
#include "migrate/engine/record/record.h"

#define NSM_ADAPTER_ABI 1
/* The one symbol of a shared object: `const struct nsm_adapter *nsm_adapter_entry(unsigned
 * host_abi)`; NULL: no such abi. */
#define NSM_ADAPTER_ENTRY "nsm_adapter_entry"

/* ---- options: what a plan may say ---- */

enum nsm_option_type {
    NSM_OPTION_STRING,
    NSM_OPTION_URL,  /* a string whose user:password@ part is never shown */
    NSM_OPTION_PATH, /* made absolute from the plan's folder */
    NSM_OPTION_BOOL, /* true, false */
    NSM_OPTION_U64,
    NSM_OPTION_DURATION, /* milliseconds */
    NSM_OPTION_SIZE,     /* bytes */
    NSM_OPTION_ENUM,     /* one of `choices` */
    NSM_OPTION_LIST,     /* a sequence of strings; a single string is a list of one */
};

enum nsm_option_flag {
    NSM_OPTION_REQUIRED = 1 << 0,
    NSM_OPTION_SECRET = 1 << 1, /* never shown */
    NSM_OPTION_BYTES = 1 << 2,  /* a STRING that may hold NUL: read with nsm_settings_bytes();
                                   anywhere else a NUL is refused */
};

struct nsm_option {
    const char *key; /* NULL ends a table */
    enum nsm_option_type type;
    unsigned flags;
    const char *default_text; /* as it would stand in a plan; NULL: none */
    const char *choices;      /* NSM_OPTION_ENUM: "a|b|c" */
    const char *help;         /* one line, lower case, no period */
    const char *excludes;     /* "a|b": keys that may not stand beside this one; NULL: none */
};

/* The values for one table of options, made by the plan; immutable. Getters take a key of the table
 * (else: assertion). */
struct nsm_settings;
NSM_API bool nsm_settings_has(const struct nsm_settings *settings,
                              const char *key); /* given, or has a default */
NSM_API const char *nsm_settings_string(const struct nsm_settings *settings,
                                        const char *key); /* NULL when absent; also for
                                                              URL, PATH, ENUM */
NSM_API struct nsm_str nsm_settings_bytes(const struct nsm_settings *settings,
                                          const char *key); /* may hold NUL */
NSM_API bool nsm_settings_bool(const struct nsm_settings *settings, const char *key);
NSM_API uint64_t nsm_settings_u64(const struct nsm_settings *settings,
                                  const char *key); /* also DURATION, SIZE; 0 when absent */
NSM_API size_t nsm_settings_list_size(const struct nsm_settings *settings, const char *key);
NSM_API const char *nsm_settings_list_at(const struct nsm_settings *settings, const char *key,
                                         size_t index);

/* ---- instances: each adapter's own struct begins with one of these ---- */

struct nsm_adapter;

/* Whether two runs are of one plan, of which the one took the place of the other, perhaps with more between them, because that was
 * given up unfinished (--fresh): what only the other made may give way. The run ids then begin alike. */
#define NSM_RUN_ID_KIN_LEN 8
NSM_API bool nsm_run_id_is_kin(const char *run_id, const char *other);

struct nsm_backend {
    const struct nsm_adapter *adapter;
    const char *name;                    /* the plan's */
    const struct nsm_settings *settings; /* of backend_options */
    const char
        *work_dir; /* a folder of this run's own, for spilled key lists and definitions; survives
                      until the run is complete, so an interrupted run finds it again */
    const char
        *run_id; /* [a-z0-9-]+, the same for an interrupted run that goes on; marks what is ours */
    const char *plan_name; /* for nsm_backend_holder(); NULL where there is no plan */
};

/* Who we are, for those whom we keep out: "plan NAME, pid N on HOST", in at most `max_bytes` bytes (at least 40), for
 * which the names are cut. The caller frees. */
NSM_API char *nsm_backend_holder(const struct nsm_backend *backend, size_t max_bytes);

/* Keeps other runs out, for stores that have no locks of their own: takes the lock file `path`, which ends with nsm_lock_file_drop() or
 * with the process. Waits for a second at most, for one that is just ending; then NSM_E_CONFLICT, which says who is writing `what`. *ret
 * stays NULL where another backend of this run has it: that one keeps it until all of the run's backends are closed. */
struct nsm_lock_file;
NSM_API struct nsm_error *nsm_backend_lock(const struct nsm_backend *backend,
                                           struct nsm_context *ctx, const char *path,
                                           const char *what, struct nsm_lock_file **ret)
    NSM_MUST_USE;

/* What a survey, inspection or definition has to say to the operator about a namespace. */
enum nsm_finding_kind {
    NSM_FINDING_CREATE,   /* would be created: "table app.users" */
    NSM_FINDING_CONFLICT, /* stands at the destination: "table app.users holds 12 rows"; what
                             if_exists is about */
    NSM_FINDING_LOSS,     /* would not arrive, or not as it was; `what` is the word that allow_loss
                             takes */
    NSM_FINDING_REFUSAL,  /* can't be done at all, whatever the plan allows */
    NSM_FINDING_NOTE,     /* good to know */
};
struct nsm_finding {
    enum nsm_finding_kind kind;
    const char *what; /* for LOSS: a short word, "consumer-groups"; else "" */
    const char *text; /* lower case, names the object */
    uint64_t count;   /* of things it speaks for, at least 1 */
};

/* A list that grows; strings live in `arena`. */
struct nsm_findings {
    struct nsm_arena arena;
    struct nsm_finding *items;
    size_t n_items, cap_items;
};
NSM_API void nsm_findings_add(struct nsm_findings *findings, enum nsm_finding_kind kind,
                              const char *what, uint64_t count, const char *fmt, ...)
    NSM_PRINTF(5, 6);
NSM_API void nsm_findings_release(struct nsm_findings *findings);

/* A piece of a namespace that is copied on its own. */
struct nsm_part {
    size_t object;        /* index into the census's objects */
    struct nsm_str range; /* which piece of it: opaque bytes of the source's adapter, valid in a
                             later run too */
    uint64_t n_records;   /* estimates */
    uint64_t n_bytes;
};

/* What a source holds, counted and listed before copying. Filled by survey through the functions
 * below. */
struct nsm_census {
    struct nsm_arena arena; /* of all that follows */
    struct nsm_object *objects;
    size_t n_objects, cap_objects;
    struct nsm_part
        *parts; /* together they are every record exactly once; none for an empty object */
    size_t n_parts, cap_parts;
    struct nsm_str prefix; /* keys: the prefix that all of them have (bytes); it is replaced by the
                              destination's */
    const char *identity;  /* of what is read, comparable between backends of one adapter: "<server
                              or file id>/<schema or  prefix>"; two equal ones are the same data.
                              Never NULL after a survey */
    const char *maker; /* of an archive: the adapter whose objects and values it holds; NULL: the
                              source's own */
    const char
        *definition; /* of an archive that has one: path of the maker's definition of the objects
                               (see define), found whole; NULL: none */
    struct nsm_findings findings; /* LOSS, REFUSAL, NOTE: what can't be read */
    const char *
        only_record; /* why lane record must do, although the adapter has another: a right that is missing, versions that
                                disagree; NULL: nothing stands against it */
};
/* Appends a zeroed object whose strings are "" ; the pointer is valid until the next add. */
NSM_API struct nsm_object *nsm_census_add_object(struct nsm_census *census);
/* Copies `range`. */
NSM_API void nsm_census_add_part(struct nsm_census *census, size_t object, struct nsm_str range,
                                 uint64_t n_records, uint64_t n_bytes);
NSM_API void nsm_census_release(struct nsm_census *census);

struct nsm_destination;

enum nsm_survey_flag {
    NSM_SURVEY_RESUME = 1 << 0, /* this namespace was begun by an earlier run: reuse what it left in
                                   work_dir, if it is there */
    NSM_SURVEY_VALUE_TYPES =
        1 << 1, /* the destination is of another kind: where columns have no fixed types, look what
                   types their values have and set column types that hold them all */
    NSM_SURVEY_COUNT_ONLY = 1 << 2, /* for preview: no key list is kept, no parts are needed */
    NSM_SURVEY_KEEP_PLACES =
        1
        << 4, /* the destination is of the same kind and its objects are made anew: what tells a record's place and is
                   no part of it otherwise (a rowid) is kept, as one more column */
    NSM_SURVEY_ARCHIVE =
        1
        << 5, /* instead of VALUE_TYPES, the destination is an archive: values are read as they are, into whatever column; columns
                 say what is in them (is_generated, has_own_values), and computed ones are read too */
    NSM_SURVEY_SAME_KEYS =
        1
        << 3, /* with `written`, right after a copy: what the source's census lists is what is to be
                                       read; no search for anything else is needed (written->source has the list) */
};

/* A namespace, seen from the side that is read. */
struct nsm_source {
    struct nsm_backend *backend;
    const char *namespace_name;
    const struct nsm_settings *selection; /* of source_options; NULL when `written` is set */
    const struct nsm_destination
        *written; /* survey what that destination wrote (for verify), not a selection */
    const char *destination_adapter; /* its name; NULL when `written` is set */
    unsigned flags;                  /* enum nsm_survey_flag */
    size_t part_bytes;               /* about how large parts should be; 0: do not split */
    struct nsm_census census;        /* out */
    void *state;                     /* the adapter's own, freed by release_source */
};

enum nsm_if_exists {
    NSM_IF_EXISTS_FAIL,
    NSM_IF_EXISTS_REPLACE,
    NSM_IF_EXISTS_MERGE,
    NSM_IF_EXISTS_SKIP,
};

/* A namespace, seen from the side that is written. */
struct nsm_destination {
    struct nsm_backend *backend;
    const char *namespace_name;
    const struct nsm_settings *selection; /* of destination_options */
    enum nsm_if_exists if_exists;
    const struct nsm_census
        *shape; /* what will be written: the source's census as the layout has it; outlives this */
    const char *
        source_adapter; /* its name, or that of what the source is an archive of: equal to ours, names and types are the
                                   store's own */
    const char *definition; /* path of the source's own definition of the objects (see define);
                                   NULL: make the objects from the columns of `shape`; for an archive: there is none to keep */
    bool
        is_ours; /* an earlier run of this plan has prepared it: what stands there is no conflict */
    const struct nsm_source
        *source; /* the namespace's source when it is of the same adapter, else NULL */
    /* out, by inspect: objects as they will stand there, index by index those of shape; their
     * columns name and type what a writer takes and a reader of what was written gives back. For
     * each object the columns are those of shape, in that order. */
    struct nsm_census target; /* objects, prefix, identity, findings (CREATE, CONFLICT, LOSS,
                                 REFUSAL, NOTE); no parts */
    void *state;              /* the adapter's own, freed by release_destination */
};

/* How far a part has come. The core makes it, a transactional destination stores it with the rows.
 */
struct nsm_checkpoint {
    struct nsm_str part_id; /* unique in the plan, the same in a later run; text */
    struct nsm_str resume;  /* the source's token; empty at the end or where there is none */
    bool is_done;
    uint64_t n_records, n_bytes, n_skipped, n_vanished;
    struct nsm_digest digest; /* of all that was written of this part, in the destination's form */
};
typedef void nsm_checkpoint_fn(void *arg, const struct nsm_checkpoint *checkpoint);

enum nsm_read_flag {
    NSM_READ_VERIFY =
        1
        << 0, /* records are compared, not written: what a record can't hold is left out, not refused */
};

struct nsm_read_request {
    unsigned flags; /* enum nsm_read_flag */
    const struct nsm_source *source;
    const struct nsm_part *part;
    const struct nsm_object *object; /* the part's */
    enum nsm_lane lane;
    struct nsm_str resume; /* a token of an earlier batch, or empty: from the beginning */
    size_t batch_records;  /* about how much a batch should hold; both > 0 */
    size_t batch_bytes;
};

struct nsm_reader {
    struct nsm_backend *backend;
    const struct nsm_read_request *request; /* lives as long as the reader */
};

struct nsm_write_request {
    const struct nsm_destination *destination;
    const struct nsm_object *object; /* of destination->target */
    size_t object_index;
    struct nsm_str part_id;
    enum nsm_lane lane;
    const struct nsm_checkpoint
        *from; /* where an earlier attempt came to: what lies behind it at the destination is undone
                  by writer_open where that is needed (files are cut); NULL: from the beginning */
    bool is_repair; /* some records of a destination that stands are taken away (erase) and written
                       anew, whatever if_exists says and prepare was not called: no checkpoint is
                       kept, and nothing that the store would do by itself (triggers, rules) may act
                       on them */
};

struct nsm_writer {
    struct nsm_backend *backend;
    const struct nsm_write_request *request; /* lives as long as the writer */
    uint64_t n_skipped; /* records that stood there under if_exists: skip; the adapter counts up */
};

/* ---- check ---- */

struct nsm_health {
    struct nsm_arena arena;
    const char *version;          /* "PostgreSQL 15.18", "Redis 7.0.15" */
    const char *details;          /* one line: role, database, rights, TLS, ... */
    int64_t latency_ns;           /* of one round trip, after connecting */
    int64_t clock_offset_ms;      /* the store's clock minus ours; 0 where it has none */
    struct nsm_findings findings; /* NOTE and REFUSAL: what would make a run fail */
};

/* ---- definitions: what stands around the records ---- */

struct nsm_definition {
    const char *kind, *name; /* "index", "users_email_idx": together unique in a description */
    const char *text; /* equal on both sides when they are alike; "" where being there is all */
    bool is_alone; /* belongs to nothing that was copied: one that only the destination has may be
                      another's, and is no difference */
};

/* One that repair wants at the destination. */
struct nsm_change {
    const struct nsm_definition *wanted; /* the source's */
    bool is_missing;                     /* else another of that name is there */
};

/* What one side of a namespace has. */
struct nsm_description {
    const struct nsm_destination *destination; /* the namespace's; its source is known */
    bool is_source; /* of the source; else of what the destination wrote */
    struct nsm_arena arena;
    struct nsm_definition *items;
    size_t n_items, cap_items;
};
/* Copies. */
NSM_API void nsm_description_add(struct nsm_description *description,
                                 const struct nsm_definition *definition);
NSM_API void nsm_description_release(struct nsm_description *description);

/* ---- the adapter ---- */

enum nsm_cap {
    NSM_CAP_ROWS = 1 << 0, /* holds tables */
    NSM_CAP_KEYS = 1 << 1, /* holds keys */
    NSM_CAP_SOURCE = 1 << 2,
    NSM_CAP_DESTINATION = 1 << 3,
    /* A checkpoint commits in one transaction with the rows before it: exactly once. Else writes
     * must be idempotent, or be undone by writer_open up to request->from. */
    NSM_CAP_TX_CHECKPOINT = 1 << 4,
    /* Only one writer at a time on a backend (a SQLite file): the core gives it only one. */
    NSM_CAP_SINGLE_WRITER = 1 << 5,
    /* A namespace of two models (rows, keys) at once can be held: files, memory. Implied by ROWS |
     * KEYS. */
    /* Takes keys away by itself when their time has come: to be written then is not to be there. */
    NSM_CAP_EXPIRES = 1 << 8,
    NSM_CAP_ARCHIVE =
        1
        << 6, /* keeps every record as it is, whatever its column says, and the source's definition beside them */
    /* A reader gives the columns of request->object, in their order, which may be some of those that
     * survey listed: the plan chose them. Without it the core takes them out of the records. */
    NSM_CAP_COLUMNS = 1 << 7,
};

struct nsm_lane_use {
    enum nsm_lane lane;
    bool reads, writes;
};

/* finish is cut into steps that free workers share: steps of a lower phase end before those of a
 * higher begin; a step of phase 0 that names an object may begin as soon as that object's parts
 * have all been written. */
struct nsm_finish_step {
    unsigned phase;
    size_t object;    /* or NSM_NO_OBJECT */
    uint64_t weight;  /* bytes that it works on: the heaviest first */
    const char *text; /* "index app.users_email_idx"; in the arena given to plan_finish */
    void *state;      /* the adapter's own, in the arena */
};
#define NSM_NO_OBJECT SIZE_MAX
struct nsm_finish_plan {
    struct nsm_arena arena;
    struct nsm_finish_step *steps; /* in the arena */
    size_t n_steps;
};

typedef void nsm_name_fn(void *arg, const char *name);

struct nsm_adapter {
    unsigned abi; /* NSM_ADAPTER_ABI it was compiled with */
    size_t struct_size;
    const char *name;    /* [a-z0-9-]+ */
    const char *summary; /* one line */
    unsigned caps;
    size_t backend_size, reader_size, writer_size;
    const struct nsm_option *backend_options; /* the core adds `adapter` and `max_connections` */
    const struct nsm_option *source_options;  /* the core adds `backend` */
    const struct nsm_option *destination_options; /* the core adds `backend` and `layout` */
    const struct nsm_lane_use *lanes;             /* the best first; RECORD is among them */
    size_t n_lanes;
    size_t control_connections; /* that a backend holds besides one for each reader and writer */

    /* -- required -- */

    /* Checks the settings (NSM_E_INVALID names the option); connects to nothing and creates
     * nothing. */
    struct nsm_error *(*open)(struct nsm_backend *backend);
    void (*close)(struct nsm_backend *backend);

    /* Reaches the store. An error: it can't be used at all. `health` is zeroed; the core releases
     * it. */
    struct nsm_error *(*check)(struct nsm_backend *backend, struct nsm_context *ctx,
                               struct nsm_health *health);

    /* -- required with NSM_CAP_SOURCE -- */

    /* The census of all these namespaces in as few passes over the store as it takes: one. Fills
     * each source's census. What can't be carried is a finding of its namespace, not an error; a
     * selection that matches nothing is NSM_E_NOTFOUND (for a `prefix` or glob: an empty object and
     * a NOTE). On error the core calls release_source on all of them. */
    struct nsm_error *(*survey)(struct nsm_backend *backend, struct nsm_context *ctx,
                                struct nsm_source **sources, size_t n_sources);
    void (*release_source)(
        struct nsm_source *source); /* frees source->state (may be NULL); not the census */

    struct nsm_error *(*reader_open)(struct nsm_reader *reader, struct nsm_context *ctx);
    /* Fills an empty batch, whole records, about as much as the request says; sets batch->resume
     * where it can. Ends with *ret_is_end (the batch may still hold records). The next request is
     * on its way to the store before it returns. Big keys are cut into slices of
     * request->batch_bytes bytes (strings) or of a number of items fixed by the adapter. */
    struct nsm_error *(*read)(struct nsm_reader *reader, struct nsm_context *ctx,
                              struct nsm_batch *batch, bool *ret_is_end);
    void (*reader_close)(struct nsm_reader *reader);

    /* -- required with NSM_CAP_DESTINATION -- */

    /* Looks, changes nothing. Fills each destination's target with what would stand there, and
     * findings. All namespaces of the plan on this backend at once. */
    struct nsm_error *(*inspect)(struct nsm_backend *backend, struct nsm_context *ctx,
                                 struct nsm_destination **destinations, size_t n_destinations);
    void (*release_destination)(struct nsm_destination *destination);

    /* Makes what must exist before the rows; does what if_exists: replace asks for. Idempotent:
     * what an earlier attempt of this run made is taken up (destination->is_ours), never dropped.
     */
    struct nsm_error *(*prepare)(struct nsm_destination *destination, struct nsm_context *ctx);

    struct nsm_error *(*writer_open)(struct nsm_writer *writer, struct nsm_context *ctx);
    /* Takes all of the batch before it returns (the batch is then reused), but may collect
     * acknowledgements later: at the next write or checkpoint. */
    struct nsm_error *(*write)(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch);
    /* All that was written before is durable when it returns, and so is the checkpoint with
     * NSM_CAP_TX_CHECKPOINT. */
    struct nsm_error *(*checkpoint)(struct nsm_writer *writer, struct nsm_context *ctx,
                                    const struct nsm_checkpoint *checkpoint);
    /* What was written since the last checkpoint may or may not stand. */
    void (*writer_close)(struct nsm_writer *writer);

    /* -- optional: NULL, and the core does without -- */

    /* For for_each: calls fn with each name that matches `glob` for the selection key `key`
     * (postgres: schema). */
    struct nsm_error *(*list)(struct nsm_backend *backend, struct nsm_context *ctx, const char *key,
                              const char *glob, nsm_name_fn *fn, void *arg);

    /* The selection keys that list understands, "schema|table"; NULL without list. */
    const char *list_keys;

    /* Writes the store's own definition of the namespace's objects to `path`, for a destination of
     * the same adapter, now or out of an archive, when there is no source any more: it holds all that the
     * destination must know of it. */
    struct nsm_error *(*define)(struct nsm_source *source, struct nsm_context *ctx,
                                const char *path);

    /* With NSM_CAP_TX_CHECKPOINT (required then): the checkpoints of this run_id that stand in the
     * store, which win over the ledger's. */
    struct nsm_error *(*load_checkpoints)(struct nsm_backend *backend, struct nsm_context *ctx,
                                          nsm_checkpoint_fn *fn, void *arg);

    /* Undoes the rows of one object as far as this run wrote them, for a new beginning (the source
     * has changed); with TX_CHECKPOINT its checkpoints go in the same transaction. NULL: writes are
     * idempotent, nothing to undo. */
    struct nsm_error *(*reset_object)(struct nsm_destination *destination, struct nsm_context *ctx,
                                      size_t object_index);

    /* Called after prepare and before the rows: what is cheaper after them: keys, indexes, constraints, sequences, statistics. `plan` is
     * zeroed. */
    struct nsm_error *(*plan_finish)(struct nsm_destination *destination, struct nsm_context *ctx,
                                     struct nsm_finish_plan *plan);
    /* Idempotent: what stands already is no error. */
    struct nsm_error *(*finish_step)(struct nsm_destination *destination, struct nsm_context *ctx,
                                     const struct nsm_finish_step *step);

    /* The namespace is complete and verified: removes what only the run needed (its checkpoints,
     * temporary objects). Idempotent. */
    struct nsm_error *(*complete)(struct nsm_destination *destination, struct nsm_context *ctx);

    /* For repair, on a writer that was opened with is_repair: takes away every record that has the
     * key of one of the batch, in lane record and in the target's form: rows by their key columns, or
     * by all columns where the object has no key; keys by the whole key, with the destination's
     * prefix; what is not there is no error. What was written before stays. In one transaction with
     * what is written until the next checkpoint, where the store has them. NULL: single records can't be
     * taken away. */
    struct nsm_error *(*erase)(struct nsm_writer *writer, struct nsm_context *ctx,
                               const struct nsm_batch *batch);

    /* For verify, where source and destination are of this adapter and its objects were made anew: lists the
     * definitions of what the namespaces have on this backend, in as few passes as it takes: of the selected
     * tables and what belongs to them; of a whole schema or file, what else is in it. All of one side. Names are
     * those of the source, whatever the destination calls them; what the destination can't have or preview says
     * that it does not get is left out on both sides. On error the core releases the descriptions. NULL: only
     * records are compared. */
    struct nsm_error *(*describe)(struct nsm_backend *backend, struct nsm_context *ctx,
                                  struct nsm_description **descriptions, size_t n_descriptions);

    /* For repair, with describe: brings those of the definitions to the destination that one statement brings, and
     * passes over the others, which the core tells by describing both sides again. When its rows are mended already.
     * NULL: it can bring none. */
    struct nsm_error *(*mend)(struct nsm_destination *destination, struct nsm_context *ctx,
                              const struct nsm_change *changes, size_t n_changes);

    /* Appends one line, made for people: what changes when the store may have lost what it had acknowledged (it was restarted, failed
     * over, evicted keys). Asked before a run's first row and after its last one; where the two differ, what stands there is compared
     * before anything is called done. NULL: what was made durable stays. Not together with NSM_CAP_TX_CHECKPOINT. */
    struct nsm_error *(*witness)(struct nsm_backend *backend, struct nsm_context *ctx,
                                 struct nsm_buf *text);
};

/* Whether the adapter declares that lane for that direction. */
NSM_API bool nsm_adapter_reads(const struct nsm_adapter *adapter, enum nsm_lane lane);
NSM_API bool nsm_adapter_writes(const struct nsm_adapter *adapter, enum nsm_lane lane);

#endif
