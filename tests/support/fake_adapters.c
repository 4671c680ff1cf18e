/* Tables of options like those of real adapters, and one adapter of each capability. */
#include "tests/support/fake_adapters.h"

static const struct nsm_option none[] = {{0}};

static const struct nsm_option files_backend[] = {
    {.key = "path",
     .type = NSM_OPTION_PATH,
     .flags = NSM_OPTION_REQUIRED,
     .help = "the folder of the files"},
    {.key = "index", .type = NSM_OPTION_PATH, .default_text = "index.db", .help = "an index"},
    {.key = "compress",
     .type = NSM_OPTION_ENUM,
     .default_text = "none",
     .choices = "none|zstd",
     .help = "how files are compressed"},
    {0},
};

static const struct nsm_option files_side[] = {
    {.key = "file", .type = NSM_OPTION_PATH, .help = "one file, instead of a folder"},
    {0},
};

static const struct nsm_option keys_backend[] = {
    {.key = "url",
     .type = NSM_OPTION_URL,
     .flags = NSM_OPTION_REQUIRED,
     .help = "where it is, like redis://127.0.0.1:6379/0"},
    {.key = "password",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_SECRET,
     .help = "the password"},
    {.key = "tls", .type = NSM_OPTION_BOOL, .default_text = "false", .help = "whether to use TLS"},
    {.key = "database", .type = NSM_OPTION_U64, .help = "the number of the database"},
    {.key = "timeout",
     .type = NSM_OPTION_DURATION,
     .default_text = "5s",
     .help = "how long to wait for the server"},
    {.key = "slice_bytes",
     .type = NSM_OPTION_SIZE,
     .default_text = "16MiB",
     .help = "how much of a big key travels at once"},
    {0},
};

static const struct nsm_option keys_source[] = {
    {.key = "prefix",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_BYTES,
     .help = "the keys that begin with it",
     .excludes = "match"},
    {.key = "match", .type = NSM_OPTION_STRING, .help = "the keys that match it"},
    {0},
};

static const struct nsm_option keys_destination[] = {
    {.key = "prefix",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_BYTES,
     .help = "what the keys begin with"},
    {0},
};

static const struct nsm_option rows_backend[] = {
    {.key = "url",
     .type = NSM_OPTION_URL,
     .flags = NSM_OPTION_REQUIRED,
     .help = "where it is, like postgresql://app@127.0.0.1/app"},
    {0},
};

static const struct nsm_option rows_source[] = {
    {.key = "schema",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "all tables of a schema",
     .excludes = "table|tables"},
    {.key = "table",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "one table",
     .excludes = "tables"},
    {.key = "tables",
     .type = NSM_OPTION_LIST,
     .flags = NSM_OPTION_REQUIRED,
     .help = "tables by their names or globs"},
    {.key = "where", .type = NSM_OPTION_STRING, .help = "only these rows", .excludes = "schema"},
    {0},
};

static const struct nsm_option rows_destination[] = {
    {.key = "schema", .type = NSM_OPTION_STRING, .help = "the schema", .excludes = "table"},
    {.key = "table", .type = NSM_OPTION_STRING, .help = "the table"},
    {0},
};

static struct nsm_error *list_nothing(struct nsm_backend *backend, struct nsm_context *ctx,
                                      const char *key, const char *glob, nsm_name_fn *fn, void *arg)
{
    (void)backend;
    (void)ctx;
    (void)key;
    (void)glob;
    (void)fn;
    (void)arg;
    return NULL;
}

#define BOTH (NSM_CAP_SOURCE | NSM_CAP_DESTINATION)

static const struct nsm_adapter adapters[] = {
    {.name = "feed",
     .summary = "is read only",
     .caps = NSM_CAP_ROWS | NSM_CAP_SOURCE,
     .backend_options = none,
     .source_options = none},
    {.name = "files",
     .summary = "files in a folder",
     .caps = NSM_CAP_ROWS | NSM_CAP_KEYS | BOTH,
     .backend_options = files_backend,
     .source_options = files_side,
     .destination_options = files_side},
    {.name = "keys",
     .summary = "a store of keys",
     .caps = NSM_CAP_KEYS | BOTH,
     .backend_options = keys_backend,
     .source_options = keys_source,
     .destination_options = keys_destination},
    {.name = "rows",
     .summary = "a store of tables",
     .caps = NSM_CAP_ROWS | BOTH,
     .backend_options = rows_backend,
     .source_options = rows_source,
     .destination_options = rows_destination,
     .list = list_nothing,
     .list_keys = "schema|table"},
    {.name = "sink",
     .summary = "is written only",
     .caps = NSM_CAP_ROWS | NSM_CAP_DESTINATION,
     .backend_options = none,
     .destination_options = none},
};

static const struct nsm_adapter *find(void *arg, const char *name)
{
    (void)arg;
    for (size_t i = 0; i < NSM_COUNT_OF(adapters); i++) {
        if (strcmp(adapters[i].name, name) == 0)
            return &adapters[i];
    }
    return NULL;
}

static const struct nsm_adapter *at(void *arg, size_t index)
{
    (void)arg;
    return index < NSM_COUNT_OF(adapters) ? &adapters[index] : NULL;
}

const struct nsm_adapter_source nsm_fake_adapters = {.find = find, .at = at};
