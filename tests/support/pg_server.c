/*
 * Servers for tests. PostgreSQL refuses to run as root, so that root's tests run it as the user that
 * Debian's package made for it.
 */
#include "tests/support/pg_server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "migrate/base/alloc.h"
#include "migrate/base/parse.h"

struct pg_server {
    char *dir, *data, *bin, *log, *certificate;
    int port;
    pid_t pid; /* 0: it does not run */
    uid_t uid; /* who runs it; 0: we ourselves are no root */
    gid_t gid;
};

#define FAIL(...)                             \
    do {                                      \
        (void)fprintf(stderr, "pg_server: "); \
        (void)fprintf(stderr, __VA_ARGS__);   \
        (void)fprintf(stderr, "\n");          \
        abort();                              \
    } while (0)

/* Starts a program as the server's user; its output goes to the log. It dies with us, at once. */
static pid_t start(const struct pg_server *server, const char *const *argv)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0)
        FAIL("fork: %m");
    if (pid > 0)
        return pid;
    const int log = open(server->log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    const int null = open("/dev/null", O_RDONLY);
    (void)dup2(null, 0);
    (void)dup2(log, 1);
    (void)dup2(log, 2);
    if (server->uid && (setgid(server->gid) != 0 || setuid(server->uid) != 0))
        _exit(126);
    /* SIGQUIT is the server's word for "stop at once". */
    if (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent || chdir("/") != 0)
        _exit(126);
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int run(const struct pg_server *server, const char *const *argv)
{
    return wait_for(start(server, argv));
}

static char *find_bin(void)
{
    DIR *const dir = opendir("/usr/lib/postgresql");
    uint64_t best = 0;
    /* One thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        uint64_t version = 0;
        if (nsm_parse_u64(nsm_str_of(entry->d_name), &version) && version > best)
            best = version;
    }
    if (dir)
        closedir(dir);
    if (!best)
        FAIL("no PostgreSQL under /usr/lib/postgresql: apt-get install postgresql");
    return nsm_xasprintf("/usr/lib/postgresql/%llu/bin", (unsigned long long)best);
}

static int free_port(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        FAIL("find a free port: %m");
    close(fd);
    return ntohs(address.sin_port);
}

static void choose_user(struct pg_server *server)
{
    if (getuid() != 0)
        return;
    /* One thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const struct passwd *user = getpwnam("postgres");
    if (!user)
        user = getpwnam("nobody"); /* NOLINT(concurrency-mt-unsafe) */
    if (!user)
        FAIL("neither user postgres nor nobody exists");
    server->uid = user->pw_uid;
    server->gid = user->pw_gid;
}

static void make_dir(struct pg_server *server)
{
    char template[] = "/tmp/nsm-pg-XXXXXX";
    if (!mkdtemp(template))
        FAIL("make a directory: %m");
    server->dir = nsm_xstrdup(template);
    server->data = nsm_xasprintf("%s/data", template);
    server->log = nsm_xasprintf("%s/log", template);
    if (server->uid && chown(template, server->uid, server->gid) != 0)
        FAIL("give %s away: %m", template);
    const int log = open(server->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (log < 0 || fchmod(log, 0666) != 0)
        FAIL("make %s: %m", server->log);
    close(log);
}

static void append_file(const char *path, const char *text)
{
    FILE *const file = fopen(path, "ae");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        FAIL("write %s: %m", path);
}

static void show_log(const struct pg_server *server)
{
    FILE *const file = fopen(server->log, "re");
    char line[1024];
    while (file && fgets(line, sizeof(line), file))
        (void)fputs(line, stderr);
    if (file)
        (void)fclose(file);
}

static void init(struct pg_server *server)
{
    char *program NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/initdb", server->bin);
    const char *const argv[] = {program,    "--pgdata", server->data, "--username", "postgres",
                                "--auth",   "trust",    "--no-sync",  "--encoding", "UTF8",
                                "--locale", "C.UTF-8",  NULL};
    if (run(server, argv) != 0) {
        show_log(server);
        FAIL("initdb failed");
    }
    char *config NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/postgresql.conf", server->data);
    char *hba NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/pg_hba.conf", server->data);
    append_file(config, "fsync = off\nmax_connections = 60\nshared_buffers = 32MB\n"
                        "listen_addresses = '127.0.0.1'\nautovacuum_naptime = 1h\n");
    char *text NSM_CLEANUP(nsm_freep) =
        nsm_xasprintf("unix_socket_directories = '%s'\n", server->dir);
    append_file(config, text);
    FILE *const file = fopen(hba, "we");
    if (!file ||
        fputs("host all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
              "local all all trust\n",
              file) < 0 ||
        fclose(file) != 0)
        FAIL("write %s: %m", hba);
}

void pg_server_start(struct pg_server *server)
{
    if (server->pid)
        return;
    char *program NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/postgres", server->bin);
    char *port NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%d", server->port);
    char *url NSM_CLEANUP(nsm_freep) = pg_server_url(server, "postgres");
    const char *const argv[] = {program, "-D", server->data, "-p", port, NULL};
    server->pid = start(server, argv);
    for (int tries = 0; tries < 6000; tries++) {
        if (PQping(url) == PQPING_OK)
            return;
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            break;
        (void)poll(NULL, 0, 10);
    }
    show_log(server);
    FAIL("the server did not start");
}

static void stop(struct pg_server *server, int signal)
{
    if (!server->pid)
        return;
    (void)kill(server->pid, signal);
    (void)wait_for(server->pid);
    server->pid = 0;
}

void pg_server_stop(struct pg_server *server)
{
    stop(server, SIGINT);
}

void pg_server_kill(struct pg_server *server)
{
    stop(server, SIGQUIT);
}

struct pg_server *pg_server_new(void)
{
    struct pg_server *const server = nsm_xcalloc(1, sizeof(*server));
    choose_user(server);
    server->bin = find_bin();
    server->port = free_port();
    make_dir(server);
    init(server);
    pg_server_start(server);
    pg_server_exec(server, "postgres", "CREATE ROLE app LOGIN PASSWORD 'secret'");
    return server;
}

void pg_server_free(struct pg_server *server)
{
    if (!server)
        return;
    stop(server, SIGQUIT);
    const char *const argv[] = {"/bin/rm", "-rf", server->dir, NULL};
    char *const dir = server->dir;
    server->uid = 0;
    (void)run(server, argv);
    free(dir);
    free(server->data);
    free(server->bin);
    free(server->log);
    free(server->certificate);
    free(server);
}

const char *pg_server_use_tls(struct pg_server *server)
{
    char *key NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/server.key", server->dir);
    char *config NSM_CLEANUP(nsm_freep) = nsm_xasprintf("%s/postgresql.conf", server->data);
    server->certificate = nsm_xasprintf("%s/server.crt", server->dir);
    const char *const argv[] = {"/usr/bin/openssl",
                                "req",
                                "-x509",
                                "-newkey",
                                "rsa:2048",
                                "-nodes",
                                "-days",
                                "2",
                                "-subj",
                                "/CN=localhost",
                                "-addext",
                                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                                "-keyout",
                                key,
                                "-out",
                                server->certificate,
                                NULL};
    if (run(server, argv) != 0) {
        show_log(server);
        FAIL("openssl made no certificate");
    }
    char *text NSM_CLEANUP(nsm_freep) = nsm_xasprintf(
        "ssl = on\nssl_cert_file = '%s'\nssl_key_file = '%s'\n", server->certificate, key);
    append_file(config, text);
    pg_server_stop(server);
    pg_server_start(server);
    return server->certificate;
}

int pg_server_port(const struct pg_server *server)
{
    return server->port;
}

const char *pg_server_bin(const struct pg_server *server)
{
    return server->bin;
}

char *pg_server_url(const struct pg_server *server, const char *database)
{
    return nsm_xasprintf("postgresql://postgres@127.0.0.1:%d/%s", server->port, database);
}

/* The last result of the statements. */
static PGresult *query(const struct pg_server *server, const char *database, const char *sql,
                       PGconn **ret_conn)
{
    char *url NSM_CLEANUP(nsm_freep) = pg_server_url(server, database);
    PGconn *const conn = PQconnectdb(url);
    if (PQstatus(conn) != CONNECTION_OK)
        FAIL("%s", PQerrorMessage(conn));
    PQclear(PQexec(conn, "SET client_min_messages = warning"));
    PGresult *const result = PQexec(conn, sql);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        FAIL("%s: %s", sql, PQerrorMessage(conn));
    *ret_conn = conn;
    return result;
}

void pg_server_exec(const struct pg_server *server, const char *database, const char *sql)
{
    PGconn *conn = NULL;
    PQclear(query(server, database, sql, &conn));
    PQfinish(conn);
}

char *pg_server_value(const struct pg_server *server, const char *database, const char *sql)
{
    PGconn *conn = NULL;
    PGresult *const result = query(server, database, sql, &conn);
    char *const value = nsm_xstrdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return value;
}
