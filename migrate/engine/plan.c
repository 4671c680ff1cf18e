/*
 * The plan as others see it: made from a file or from bytes, cut down to some of its namespaces,
 * freed.
 *
 * Arrays and strings lie in the plan's arena and are never freed on their own: what an expansion
 * leaves behind goes with the plan. Settings are on the heap, and each namespace frees its own.
 */
#include "migrate/engine/plan.h"

#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/engine/plan_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

const char *nsm_layout_name(enum nsm_layout layout)
{
    static const char *const names[] = {
        [NSM_LAYOUT_DEFAULT] = "default", [NSM_LAYOUT_KV] = "kv",
        [NSM_LAYOUT_COLUMNS] = "columns", [NSM_LAYOUT_HASH] = "hash",
        [NSM_LAYOUT_JSON] = "json",
    };
    return names[layout];
}

const char *nsm_if_exists_name(enum nsm_if_exists if_exists)
{
    static const char *const names[] = {
        [NSM_IF_EXISTS_FAIL] = "fail",
        [NSM_IF_EXISTS_REPLACE] = "replace",
        [NSM_IF_EXISTS_MERGE] = "merge",
        [NSM_IF_EXISTS_SKIP] = "skip",
    };
    return names[if_exists];
}

const char *nsm_verify_mode_name(enum nsm_verify_mode mode)
{
    static const char *const names[] = {
        [NSM_VERIFY_DIGEST] = "digest",
        [NSM_VERIFY_COUNT] = "count",
        [NSM_VERIFY_NONE] = "none",
    };
    return names[mode];
}

/* ---- making and freeing ---- */

static bool is_stdin(const char *path)
{
    return strcmp(path, "-") == 0;
}

/* Absolute, with its symbolic links resolved when it exists. The last component of `path` is the
 * file's own: a link to a plan has its ledger beside the link. */
static char *folder_of(struct nsm_arena *arena, const char *path)
{
    const char *const slash = is_stdin(path) ? NULL : strrchr(path, '/');
    char working[PATH_MAX] = ".";
    if (path[0] != '/' && !getcwd(working, sizeof(working)))
        return nsm_arena_strdup(arena, ".");
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf folder = NSM_BUF_TEXT;
    if (path[0] != '/')
        nsm_buf_append_cstr(&folder, working);
    if (slash && path[0] != '/')
        nsm_buf_append_char(&folder, '/');
    if (slash)
        nsm_buf_append(&folder, path, slash > path ? (size_t)(slash - path) : 1);
    NSM_CLEANUP(nsm_freep) char *resolved = realpath(folder.ptr, NULL);
    return nsm_arena_strdup(arena, resolved ? resolved : folder.ptr);
}

/* The file's name without its folder and ending, made to fit [a-z0-9-]+. */
static char *default_name(struct nsm_arena *arena, const char *path)
{
    const char *const slash = strrchr(path, '/');
    const char *const base = is_stdin(path) ? "stdin" : slash ? slash + 1 : path;
    const char *const dot = strrchr(base, '.');
    size_t len = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    if (len > NSM_PLAN_NAME_MAX)
        len = NSM_PLAN_NAME_MAX;
    if (len == 0)
        return nsm_arena_strdup(arena, "plan");
    char *const name = nsm_arena_printf(arena, "%.*s", (int)len, base);
    for (char *c = name; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
        else if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9')))
            *c = '-';
    }
    return name;
}

struct nsm_plan *nsm_plan_new(const char *path)
{
    struct nsm_plan *const plan = nsm_xcalloc(1, sizeof(*plan));
    plan->path = nsm_arena_strdup(&plan->arena, path);
    plan->folder = folder_of(&plan->arena, path);
    plan->name = default_name(&plan->arena, path);
    return plan;
}

void nsm_plan_namespace_release(struct nsm_plan_namespace *ns)
{
    nsm_settings_free(ns->source.selection);
    nsm_settings_free(ns->destination.selection);
    ns->source.selection = NULL;
    ns->destination.selection = NULL;
}

void nsm_plan_drop_templates(struct nsm_plan *plan)
{
    for (size_t i = 0; i < plan->n_templates; i++)
        nsm_plan_namespace_release(&plan->templates[i].namespace);
    plan->n_templates = 0;
}

void nsm_plan_free(struct nsm_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->n_backends; i++)
        nsm_settings_free(plan->backends[i].settings);
    for (size_t i = 0; i < plan->n_namespaces; i++)
        nsm_plan_namespace_release(&plan->namespaces[i]);
    nsm_plan_drop_templates(plan);
    nsm_arena_release(&plan->arena);
    free(plan);
}

/* ---- from a file or from bytes ---- */

static void loader_release(struct nsm_plan_loader *loader)
{
    nsm_arena_release(&loader->scratch);
    nsm_plan_free(loader->plan);
}

struct nsm_error *nsm_plan_parse(struct nsm_str yaml, const char *path,
                                 const struct nsm_adapter_source *adapters, struct nsm_plan **ret)
{
    NSM_CLEANUP(loader_release)
    struct nsm_plan_loader loader = {.path = path, .adapters = adapters};
    struct nsm_yaml_node *root = NULL;
    NSM_TRY(nsm_yaml_parse(yaml, path, &loader.scratch, &root));
    loader.plan = nsm_plan_new(path);
    NSM_TRY(nsm_plan_load_tree(&loader, root));
    nsm_plan_set_fingerprint(loader.plan);
    *ret = NSM_STEAL(loader.plan);
    return NULL;
}

static void close_fd(const int *fd)
{
    if (*fd > STDERR_FILENO)
        close(*fd);
}

static struct nsm_error *read_file(int fd, const char *path, struct nsm_buf *out)
{
    for (;;) {
        const size_t left = NSM_YAML_MAX_BYTES + 1 - out->len;
        char *const at = nsm_buf_reserve(out, left < 65536 ? left : 65536);
        if (left == 0 || !at)
            return nsm_yaml_error(path, 1, 1, "larger than %zu MiB, the most a plan may have",
                                  NSM_YAML_MAX_BYTES >> 20);
        const ssize_t n = read(fd, at, left < 65536 ? left : 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EISDIR)
            return nsm_error_new(NSM_E_INVALID, "%s: is a folder; expected a plan, a YAML file",
                                 path);
        if (n < 0)
            return nsm_error_new(NSM_E_IO, "%s: read: %m", path);
        if (n == 0)
            return NULL;
        nsm_buf_commit(out, (size_t)n);
    }
}

struct nsm_error *nsm_plan_load(const char *path, const struct nsm_adapter_source *adapters,
                                struct nsm_plan **ret)
{
    NSM_CLEANUP(close_fd)
    int fd = is_stdin(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return nsm_error_new(errno == ENOENT || errno == ENOTDIR ? NSM_E_NOTFOUND : NSM_E_IO,
                             "plan %s: %m", path);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf yaml = NSM_BUF_INIT(NSM_YAML_MAX_BYTES + 65536);
    NSM_TRY(read_file(fd, path, &yaml));
    return nsm_plan_parse(nsm_buf_view(&yaml), path, adapters, ret);
}

/* ---- only some namespaces ---- */

static int compare_namespaces(const void *a, const void *b)
{
    const struct nsm_plan_namespace *const x = *(const struct nsm_plan_namespace *const *)a;
    const struct nsm_plan_namespace *const y = *(const struct nsm_plan_namespace *const *)b;
    return strcmp(x->name, y->name);
}

static struct nsm_error *no_namespace(const struct nsm_plan *plan, const char *name)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf message = NSM_BUF_TEXT;
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(name));
    for (size_t i = 0; i < plan->n_namespaces; i++)
        nsm_nearest_offer(&nearest, nsm_str_of(plan->namespaces[i].name));
    nsm_quote(nsm_str_of(name), &message);
    nsm_nearest_write(&nearest, &message);
    return nsm_error_new(NSM_E_INVALID, "%s: no namespace %s", plan->path, message.ptr);
}

static void keep_wanted(struct nsm_plan *plan, const bool *is_wanted)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < plan->n_namespaces; i++) {
        if (is_wanted[i])
            plan->namespaces[n_kept++] = plan->namespaces[i];
        else
            nsm_plan_namespace_release(&plan->namespaces[i]);
    }
    plan->n_namespaces = n_kept;
}

static struct nsm_error *keep_only(struct nsm_plan *plan, const char *const *names, size_t n_names)
{
    NSM_CLEANUP(nsm_freep)
    const struct nsm_plan_namespace **by_name =
        nsm_xcalloc(plan->n_namespaces + 1, sizeof(struct nsm_plan_namespace *));
    NSM_CLEANUP(nsm_freep) bool *is_wanted = nsm_xcalloc(plan->n_namespaces + 1, sizeof(bool));
    for (size_t i = 0; i < plan->n_namespaces; i++)
        by_name[i] = &plan->namespaces[i];
    qsort(by_name, plan->n_namespaces, sizeof(struct nsm_plan_namespace *), compare_namespaces);
    for (size_t i = 0; i < n_names; i++) {
        const struct nsm_plan_namespace key = {.name = names[i]};
        const struct nsm_plan_namespace *const wanted = &key;
        const struct nsm_plan_namespace *const *const found =
            bsearch(&wanted, by_name, plan->n_namespaces, sizeof(struct nsm_plan_namespace *),
                    compare_namespaces);
        if (!found)
            return no_namespace(plan, names[i]);
        is_wanted[*found - plan->namespaces] = true;
    }
    keep_wanted(plan, is_wanted);
    return NULL;
}

struct nsm_error *nsm_plan_only(struct nsm_plan *plan, const char *const *names, size_t n_names)
{
    if (plan->n_templates == 0)
        return keep_only(plan, names, n_names);
    /* The names may be those of matches: nsm_plan_expand() calls again. */
    const char **const copies = nsm_arena_calloc(&plan->arena, n_names + 1, sizeof(char *));
    for (size_t i = 0; i < n_names; i++)
        copies[i] = nsm_arena_strdup(&plan->arena, names[i]);
    plan->only = copies;
    plan->n_only = n_names;
    return NULL;
}
