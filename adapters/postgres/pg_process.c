/*
 * Child processes without a thread that waits for them: their pipes and a pidfd are waited on like
 * any other descriptor, so that a cancelled context ends the child at once.
 */
#include "adapters/postgres/pg_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "adapters/postgres/pg_error.h"
#include "adapters/postgres/pg_silence.h"
#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#define VERSIONS_DIR   "/usr/lib/postgresql"
#define MAX_STDERR     ((size_t)64 << 10)
#define READ_BYTES     ((size_t)64 << 10)
#define MAX_ERROR_TEXT 1000

/* ---- arguments ---- */

void nsm_pg_args_add(struct nsm_pg_args *args, const char *fmt, ...)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    va_list list;
    va_start(list, fmt);
    nsm_buf_vprintf(&text, fmt, list);
    va_end(list);
    if (args->n_items + 1 >= args->cap_items) {
        args->cap_items = args->cap_items ? args->cap_items * 2 : 16;
        args->items = nsm_xreallocarray(args->items, args->cap_items, sizeof(*args->items));
    }
    args->items[args->n_items++] = nsm_arena_strdup(args->arena, text.ptr);
    args->items[args->n_items] = NULL;
}

void nsm_pg_args_release(struct nsm_pg_args *args)
{
    free(args->items);
    args->items = NULL;
    args->n_items = 0;
    args->cap_items = 0;
}

/* ---- where programs are ---- */

static const char *search_versions(struct nsm_arena *arena, const char *name)
{
    DIR *const dir = opendir(VERSIONS_DIR);
    if (!dir)
        return NULL;
    const char *best = NULL;
    uint64_t best_version = 0;
    /* A DIR of one thread's own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        uint64_t version = 0;
        if (!nsm_parse_u64(nsm_str_of(entry->d_name), &version) || version <= best_version)
            continue;
        const char *const path =
            nsm_arena_printf(arena, VERSIONS_DIR "/%s/bin/%s", entry->d_name, name);
        if (access(path, X_OK) != 0)
            continue;
        best = path;
        best_version = version;
    }
    closedir(dir);
    return best;
}

static const char *search_path(struct nsm_arena *arena, const char *name)
{
    const char *path = NULL;
    for (char **entry = environ; *entry && !path; entry++) {
        if (strncmp(*entry, "PATH=", 5) == 0)
            path = *entry + 5;
    }
    while (path && *path) {
        const size_t len = strcspn(path, ":");
        const char *const file = nsm_arena_printf(arena, "%.*s/%s", (int)len, path, name);
        if (len && access(file, X_OK) == 0)
            return file;
        path += path[len] ? len + 1 : len;
    }
    return NULL;
}

struct nsm_error *nsm_pg_find_program(struct nsm_arena *arena, const char *name,
                                      const char **ret_path)
{
    const char *found = search_versions(arena, name);
    if (!found)
        found = search_path(arena, name);
    if (!found)
        return nsm_error_new(NSM_E_NOTFOUND,
                             "%s is not installed: it carries the definitions of tables; install "
                             "postgresql-client",
                             name);
    *ret_path = found;
    return NULL;
}

/* ---- one run ---- */

struct run {
    pid_t pid; /* 0: none, or reaped */
    int pid_fd, out_fd, err_fd;
    struct nsm_buf err;
    const struct nsm_pg_watch *watch;
    int64_t watched_ns; /* when it was last seen at work */
    uint64_t ticks;     /* of processor time that it had used by then */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int reap(struct run *run)
{
    int status = 0;
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    run->pid = 0;
    return status;
}

static void run_release(struct run *run)
{
    if (run->pid > 0) {
        kill(run->pid, SIGKILL);
        (void)reap(run);
    }
    close_fd(&run->pid_fd);
    close_fd(&run->out_fd);
    close_fd(&run->err_fd);
    nsm_buf_release(&run->err);
}

/* Our environment with the entries of `env` before it: the first of a name is the one that counts
 * for getenv(), so ours must not come first. */
static char **join_env(const struct nsm_pg_args *env)
{
    size_t n = 0;
    while (environ[n])
        n++;
    const size_t n_added = env ? env->n_items : 0;
    char **const joined = nsm_xcalloc(n + n_added + 1, sizeof(*joined));
    size_t at = 0;
    for (size_t i = 0; i < n_added; i++)
        joined[at++] = env->items[i];
    for (size_t i = 0; i < n; i++) {
        bool is_replaced = false;
        for (size_t k = 0; k < n_added && !is_replaced; k++) {
            const size_t len = strcspn(env->items[k], "=") + 1;
            is_replaced = strncmp(environ[i], env->items[k], len) == 0;
        }
        if (!is_replaced)
            joined[at++] = environ[i];
    }
    return joined;
}

/* SIGINT of a terminal goes to the whole foreground group; a child in a group of its own ends only
 * by our hand. Signals that our threads block are open in it again. */
static int spawn(struct run *run, char **argv, char **env, const int *fds)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    posix_spawn_file_actions_adddup2(&actions, fds[3], 2);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    const int status = posix_spawn(&run->pid, argv[0], &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (status)
        run->pid = 0;
    return status;
}

static struct nsm_error *start(struct run *run, const struct nsm_pg_args *args,
                               const struct nsm_pg_args *env)
{
    int fds[4] = {-1, -1, -1, -1};
    if (pipe2(fds, O_CLOEXEC) != 0)
        return nsm_error_new(NSM_E_IO, "make a pipe: %m");
    run->out_fd = fds[0];
    if (pipe2(fds + 2, O_CLOEXEC) != 0) {
        close(fds[1]);
        return nsm_error_new(NSM_E_IO, "make a pipe: %m");
    }
    run->err_fd = fds[2];
    (void)fcntl(run->out_fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(run->err_fd, F_SETFL, O_NONBLOCK);
    char **joined NSM_CLEANUP(nsm_freep) = join_env(env);
    const int status = spawn(run, args->items, joined, fds);
    close(fds[1]);
    close(fds[3]);
    if (status) {
        errno = status;
        return nsm_error_new(NSM_E_IO, "start %s: %m", args->items[0]);
    }
    run->pid_fd = pidfd_open(run->pid, 0);
    if (run->pid_fd < 0)
        return nsm_error_new(NSM_E_IO, "watch %s: %m", args->items[0]);
    return NULL;
}

/* Appends what is there; closes at the end. What is over the limit of stderr is dropped. */
static struct nsm_error *drain(int *fd, struct nsm_buf *out, bool is_bounded_by_dropping)
{
    char bytes[4096];
    for (size_t n = 0; *fd >= 0 && n < READ_BYTES; n += sizeof(bytes)) {
        const ssize_t got = read(*fd, bytes, sizeof(bytes));
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return NULL;
        if (got <= 0) {
            close_fd(fd);
            return NULL;
        }
        if (is_bounded_by_dropping && out->len + (size_t)got > MAX_STDERR)
            continue;
        nsm_buf_append(out, bytes, (size_t)got);
    }
    return nsm_buf_error(out);
}

/* Of a process' /proc/PID/stat: its name may hold anything, but not the last parenthesis. */
static uint64_t processor_ticks(pid_t pid)
{
    char path[64];
    char text[1024] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    /* After the program's name, which may hold anything, utime and stime are the 12th and 13th field: proc(5). */
    char *rest = n > 0 ? strrchr(text, ')') : NULL;
    uint64_t ticks = 0;
    for (unsigned field = 0; rest && field <= 13; field++) {
        const char *const word = strsep(&rest, " ");
        uint64_t value = 0;
        if (field >= 12 && nsm_parse_u64(nsm_str_of(word), &value))
            ticks += value;
    }
    return ticks;
}

/* A program of which nothing is heard works, or waits for the server: then the server must be at work for it. */
static struct nsm_error *look_after(struct run *run, struct nsm_context *ctx)
{
    if (!run->watch || nsm_now_ns() - run->watched_ns < run->watch->backend->timeout_ns)
        return NULL;
    const uint64_t ticks = processor_ticks(run->pid);
    if (ticks == run->ticks)
        NSM_TRY(nsm_pg_judge_sessions(run->watch->backend, ctx, run->watch->application_name));
    run->ticks = ticks;
    run->watched_ns = nsm_now_ns();
    return NULL;
}

/* The context's wait takes one descriptor: wait for the one that says most (stdout, then stderr,
 * then the process), and look at the others each time. A child that fills the other pipe meanwhile
 * is not stuck for longer than the step. */
static struct nsm_error *wait_step(struct run *run, struct nsm_context *ctx)
{
    const int fd = run->out_fd >= 0 ? run->out_fd : (run->err_fd >= 0 ? run->err_fd : run->pid_fd);
    struct nsm_error *const error = nsm_wait_fd(ctx, fd, POLLIN, 20 * NSM_NS_PER_MS, NULL);
    if (error && nsm_error_is(error, NSM_E_TIMEOUT) && !nsm_context_is_canceled(ctx)) {
        nsm_error_free(error);
        return look_after(run, ctx);
    }
    return error;
}

static struct nsm_error *drain_both(struct run *run, struct nsm_context *ctx, struct nsm_buf *out)
{
    while (run->out_fd >= 0 || run->err_fd >= 0) {
        NSM_TRY(wait_step(run, ctx));
        NSM_TRY(drain(&run->out_fd, out, false));
        NSM_TRY(drain(&run->err_fd, &run->err, true));
    }
    return NULL;
}

/* What the program said, and the code that it means: it has no other way to tell. */
static struct nsm_error *failure(const char *program, const struct nsm_buf *err, int status)
{
    static const struct {
        const char *text;
        enum nsm_code code;
    } codes[] = {
        {"permission denied", NSM_E_AUTH},
        {"password authentication failed", NSM_E_AUTH},
        {"server version mismatch", NSM_E_UNSUPPORTED},
        {"connection to server", NSM_E_UNAVAILABLE},
        {"server closed the connection", NSM_E_UNAVAILABLE},
        {"terminating connection", NSM_E_UNAVAILABLE},
        {"invalid snapshot identifier", NSM_E_UNAVAILABLE},
        {"lock timeout", NSM_E_UNAVAILABLE},
        {"No space left on device", NSM_E_IO},
        {"could not open output file", NSM_E_IO},
        {"no matching", NSM_E_NOTFOUND},
    };
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    /* Verbose programs tell their progress there too: the error is behind "error:". */
    const char *const error = strstr(err->ptr, "error: ");
    nsm_pg_one_line(&text, error ? error + strlen("error: ") : err->ptr);
    if (text.len > MAX_ERROR_TEXT)
        nsm_buf_truncate(&text, MAX_ERROR_TEXT);
    enum nsm_code code = NSM_E_INVALID;
    for (size_t i = 0; i < NSM_COUNT_OF(codes); i++) {
        if (strstr(text.ptr, codes[i].text)) {
            code = codes[i].code;
            break;
        }
    }
    if (WIFSIGNALED(status))
        return nsm_error_new(NSM_E_UNAVAILABLE, "%s was killed by signal %d", program,
                             WTERMSIG(status));
    return nsm_error_new(code, "%s: %s", program, text.len ? text.ptr : "ended without a message");
}

struct nsm_error *nsm_pg_run(struct nsm_context *ctx, const struct nsm_pg_args *args,
                             const struct nsm_pg_args *env, const struct nsm_pg_watch *watch,
                             struct nsm_buf *out)
{
    struct run run NSM_CLEANUP(run_release) = {
        .pid_fd = -1,
        .out_fd = -1,
        .err_fd = -1,
        .err = NSM_BUF_INIT(MAX_STDERR),
        .watch = watch,
        .watched_ns = nsm_now_ns(),
    };
    NSM_TRY(start(&run, args, env));
    NSM_TRY(drain_both(&run, ctx, out));
    NSM_TRY(nsm_wait_fd(ctx, run.pid_fd, POLLIN, NSM_NEVER, NULL));
    const int status = reap(&run);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    const char *const slash = strrchr(args->items[0], '/');
    return failure(slash ? slash + 1 : args->items[0], &run.err, status);
}
