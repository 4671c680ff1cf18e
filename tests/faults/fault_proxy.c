/*
 * A TCP proxy that does harm at chosen byte counts: what stands between nsmigrate and a server in the tests of faults.
 *
 *   fault_proxy --to HOST:PORT [--listen PORT] [--fault KIND] [--at N] [--way up|down] [--times N] [--seed N] [--rate BYTES]
 *               [--delay MS] [--down MS] [--latency US] [--all]
 *
 * Bytes are counted over all connections, each way for itself: `up` is from the client to the server. When the N-th byte (from 0) of
 * the way is due, the connection that carries it suffers, or with --all every connection that stands:
 *
 *   reset       both ends get a RST            close       both ends get a FIN
 *   half        the client's end is closed, the server's stays open and silent
 *   delay       nothing passes for --delay     trickle     from now on --rate bytes a second
 *   stop        from now on nothing is taken   swallow     from now on all is taken and nothing passes on
 *   corrupt     the byte is altered            none        bytes pass, and are counted
 *
 * After each of --times faults the count begins again, with a byte count from the seed between N/2 and N*3/2. With --down nobody can
 * connect for so long after a fault. With --latency every byte is so many microseconds on its way, each way, however many there are, and
 * a connection takes a round trip before it carries the first: a long wire. It prints "port N" when it listens and "fault KIND WAY AT" for each fault; on SIGTERM "passed
 * UP DOWN". One thread, one loop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "migrate/base/clock.h"
#include "migrate/base/parse.h"

#define MAX_LINKS    1024
#define BUFFER_BYTES 16384
/* Of one way of a connection on a long wire, before no more is taken. */
#define MAX_CHUNKS 256

enum fault {
    NONE,
    RESET,
    CLOSE,
    HALF,
    DELAY,
    TRICKLE,
    STOP,
    SWALLOW,
    CORRUPT
};
static const char *const fault_names[] = {"none",    "reset", "close",   "half",   "delay",
                                          "trickle", "stop",  "swallow", "corrupt"};
enum way {
    UP,
    DOWN
};
static const char *const way_names[] = {"up", "down"};

/* What is on a long wire; no bytes: the sender has closed. */
struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t len;
    char bytes[];
};

/* One way of a connection: what was read and waits to be written. */
struct pipe {
    int *from, *to;
    char bytes[BUFFER_BYTES];
    size_t pos, len;
    bool is_at_end; /* the sender has closed */
    int64_t resume_ns;
    struct chunk *first, *last; /* behind `bytes` */
    size_t n_chunks;
};

struct link {
    int client, server; /* -1: closed */
    bool is_connecting;
    int64_t opened_ns;
    enum fault state; /* NONE, HALF, TRICKLE, STOP or SWALLOW */
    struct pipe pipes[2];
};

static struct options {
    struct sockaddr_in to;
    uint16_t listen_port;
    enum fault fault;
    enum way way;
    uint64_t at, n_times, seed, rate;
    int64_t delay_ns, down_ns, latency_ns;
    bool takes_all;
} options = {.n_times = 1, .rate = 1000, .delay_ns = NSM_NS_PER_S};

static struct link *links[MAX_LINKS];
static size_t n_links;
static uint64_t passed[2], since[2]; /* since the last fault */
static uint64_t due;                 /* the byte of `since` that suffers */
static uint64_t n_faults;
static int64_t down_until_ns;
static int listener = -1;
static volatile sig_atomic_t is_ended;

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "fault_proxy: %s: %m\n", what);
    exit(2);
}

/* splitmix64 */
static uint64_t draw(void)
{
    options.seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = options.seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- closing ---- */

static void shut(int *fd, bool is_reset)
{
    if (*fd < 0)
        return;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (is_reset)
        (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(*fd);
    *fd = -1;
}

static void shut_both(struct link *link, bool is_reset)
{
    shut(&link->client, is_reset);
    shut(&link->server, is_reset);
}

static void free_chunks(struct pipe *pipe)
{
    for (struct chunk *chunk; (chunk = pipe->first) != NULL;) {
        pipe->first = chunk->next;
        free(chunk);
    }
}

static void drop_closed(void)
{
    for (size_t at = n_links; at-- > 0;) {
        struct link *const link = links[at];
        if (link->client >= 0 || (link->state == HALF && link->server >= 0))
            continue;
        shut_both(link, false);
        free_chunks(&link->pipes[UP]);
        free_chunks(&link->pipes[DOWN]);
        links[at] = links[--n_links];
        free(link);
    }
}

/* ---- harm ---- */

static void suffer(struct link *link, struct pipe *pipe)
{
    switch (options.fault) {
    case RESET:
    case CLOSE:
        shut_both(link, options.fault == RESET);
        break;
    case HALF:
        shut(&link->client, false);
        link->state = HALF;
        break;
    case DELAY:
        link->pipes[UP].resume_ns = link->pipes[DOWN].resume_ns = nsm_now_ns() + options.delay_ns;
        break;
    case CORRUPT:
        pipe->bytes[pipe->pos] = (char)(pipe->bytes[pipe->pos] ^ (1 + draw() % 255));
        break;
    case TRICKLE:
    case STOP:
    case SWALLOW:
        link->state = options.fault;
        break;
    case NONE:
        break;
    }
}

/* The byte that is due stands at the pipe's head. */
static void strike(struct link *link, struct pipe *pipe)
{
    n_faults++;
    printf("fault %s %s %llu\n", fault_names[options.fault], way_names[options.way],
           (unsigned long long)passed[options.way]);
    since[options.way] = 0;
    due = options.at / 2 + draw() % (options.at + 1);
    for (size_t at = 0; options.takes_all && at < n_links; at++)
        if (links[at] != link)
            suffer(links[at], &links[at]->pipes[options.way]);
    suffer(link, pipe);
    if (options.down_ns && listener >= 0) {
        shut(&listener, false);
        down_until_ns = nsm_now_ns() + options.down_ns;
    }
}

/* ---- passing on ---- */

static size_t may_pass(const struct link *link, const struct pipe *pipe, enum way way)
{
    size_t n = pipe->len - pipe->pos;
    const uint64_t n_before = due - since[way];
    if (options.fault != NONE && way == options.way && n_faults < options.n_times && n_before < n)
        n = n_before;
    const size_t slice = options.rate / 20 + 1;
    return link->state == TRICKLE && n > slice ? slice : n;
}

static void pass(struct link *link, enum way way)
{
    struct pipe *const pipe = &link->pipes[way];
    while (*pipe->to >= 0 && pipe->pos < pipe->len && nsm_now_ns() >= pipe->resume_ns) {
        const size_t n = may_pass(link, pipe, way);
        if (n == 0) {
            strike(link, pipe);
            if (link->state == STOP || link->state == SWALLOW)
                return;
            continue;
        }
        const ssize_t sent = send(*pipe->to, pipe->bytes + pipe->pos, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            shut_both(link, false);
        if (sent <= 0)
            return;
        pipe->pos += (size_t)sent;
        passed[way] += (uint64_t)sent;
        since[way] += (uint64_t)sent;
        if (link->state == TRICKLE)
            pipe->resume_ns = nsm_now_ns() + sent * NSM_NS_PER_S / (int64_t)options.rate;
    }
    if (pipe->is_at_end && pipe->pos == pipe->len && *pipe->to >= 0)
        (void)shutdown(*pipe->to, SHUT_WR);
}

/* What has come to the wire's other end. */
static bool arrive(struct link *link, enum way way)
{
    struct pipe *const pipe = &link->pipes[way];
    struct chunk *const chunk = pipe->first;
    if (!chunk || pipe->pos < pipe->len || nsm_now_ns() < chunk->due_ns)
        return false;
    memcpy(pipe->bytes, chunk->bytes, chunk->len);
    pipe->pos = 0;
    pipe->len = chunk->len;
    pipe->is_at_end = chunk->len == 0;
    pipe->first = chunk->next;
    pipe->n_chunks--;
    free(chunk);
    if (pipe->is_at_end && link->pipes[!way].is_at_end)
        shut_both(link, false);
    return true;
}

/* A closed connection is readable for ever: its end is taken once. */
static bool takes_more(const struct pipe *pipe)
{
    return pipe->n_chunks < MAX_CHUNKS && !(pipe->first && pipe->last->len == 0);
}

static void take_onto_wire(struct link *link, enum way way)
{
    struct pipe *const pipe = &link->pipes[way];
    char bytes[BUFFER_BYTES];
    if (!takes_more(pipe))
        return;
    const ssize_t n = recv(*pipe->from, bytes, sizeof(bytes), 0);
    if (n < 0 && errno == EAGAIN)
        return;
    struct chunk *const chunk = n < 0 ? NULL : malloc(sizeof(*chunk) + (size_t)n);
    if (!chunk) {
        shut_both(link, true);
        return;
    }
    const int64_t now_ns = nsm_now_ns();
    *chunk = (struct chunk){.len = (size_t)n};
    chunk->due_ns = (now_ns > link->opened_ns ? now_ns : link->opened_ns) + options.latency_ns;
    memcpy(chunk->bytes, bytes, (size_t)n);
    if (pipe->first)
        pipe->last->next = chunk;
    else
        pipe->first = chunk;
    pipe->last = chunk;
    pipe->n_chunks++;
}

static void take(struct link *link, enum way way)
{
    struct pipe *const pipe = &link->pipes[way];
    if (options.latency_ns) {
        take_onto_wire(link, way);
        return;
    }
    if (link->state != SWALLOW && pipe->pos < pipe->len)
        return;
    const ssize_t n = recv(*pipe->from, pipe->bytes, BUFFER_BYTES, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0) {
        shut_both(link, true);
        return;
    }
    pipe->is_at_end = n == 0;
    pipe->pos = 0;
    pipe->len = link->state == SWALLOW ? 0 : (size_t)n;
    if (n == 0 && (link->state == SWALLOW || link->pipes[!way].is_at_end))
        shut_both(link, false);
}

/* ---- connections ---- */

static void listen_again(void)
{
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.listen_port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 128) != 0)
        die("listen");
    socklen_t len = sizeof(address);
    (void)getsockname(listener, (struct sockaddr *)&address, &len);
    options.listen_port = ntohs(address.sin_port);
}

static void admit(void)
{
    const int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr *const to = (const struct sockaddr *)&options.to;
    if (n_links == MAX_LINKS || server < 0 ||
        (connect(server, to, sizeof(options.to)) != 0 && errno != EINPROGRESS)) {
        close(client);
        if (server >= 0)
            close(server);
        return;
    }
    struct link *const link = calloc(1, sizeof(*link));
    if (!link)
        die("calloc");
    link->client = client;
    link->server = server;
    link->is_connecting = true;
    link->opened_ns = nsm_now_ns() + 2 * options.latency_ns;
    link->pipes[UP].from = link->pipes[DOWN].to = &link->client;
    link->pipes[UP].to = link->pipes[DOWN].from = &link->server;
    links[n_links++] = link;
}

/* ---- the loop ---- */

/* What there is to wait for on the end that `in` comes from and `out` goes to. */
static short events_of(const struct link *link, const struct pipe *in, const struct pipe *out)
{
    short events = 0;
    const bool is_free = options.latency_ns       ? takes_more(in)
                         : link->state == SWALLOW ? true
                                                  : in->pos == in->len;
    if (link->state != STOP && is_free && !in->is_at_end)
        events |= POLLIN;
    if (link->state != STOP && out->pos < out->len && nsm_now_ns() >= out->resume_ns)
        events |= POLLOUT;
    return events;
}

static void finish_connecting(struct link *link, short revents)
{
    int status = 0;
    socklen_t len = sizeof(status);
    if (!revents)
        return;
    (void)getsockopt(link->server, SOL_SOCKET, SO_ERROR, &status, &len);
    link->is_connecting = false;
    if (status)
        shut_both(link, true);
}

/* An end that waits for nothing is watched for nothing: a stopped link would else wake us again and again. */
static struct pollfd watch(int fd, short events)
{
    return (struct pollfd){.fd = events ? fd : -1, .events = events};
}

static void serve(struct link *link, const struct pollfd *client, const struct pollfd *server)
{
    if (link->is_connecting) {
        finish_connecting(link, server->revents);
        return;
    }
    if (client->revents & (POLLIN | POLLHUP | POLLERR))
        take(link, UP);
    if (link->server >= 0 && (server->revents & (POLLIN | POLLHUP | POLLERR)))
        take(link, DOWN);
    for (enum way way = UP; way <= DOWN; way++)
        if (link->state != STOP && link->state != SWALLOW) {
            pass(link, way);
            while (arrive(link, way))
                pass(link, way);
        }
}

/* Delays end and trickles drip by this clock; what is on a long wire has its own. */
static struct timespec time_to_wait(void)
{
    int64_t until_ns = nsm_now_ns() + 20 * NSM_NS_PER_MS;
    for (size_t at = 0; at < n_links; at++) {
        for (enum way way = UP; way <= DOWN; way++) {
            const struct pipe *const pipe = &links[at]->pipes[way];
            if (pipe->first && pipe->pos == pipe->len && pipe->first->due_ns < until_ns)
                until_ns = pipe->first->due_ns;
        }
    }
    const int64_t wait_ns = until_ns - nsm_now_ns();
    return (struct timespec){.tv_nsec = wait_ns > 0 ? wait_ns : 0};
}

static void turn(void)
{
    static struct pollfd fds[1 + 2 * MAX_LINKS];
    const size_t n = n_links;
    fds[0] = watch(listener, POLLIN);
    for (size_t at = 0; at < n; at++) {
        struct link *const link = links[at];
        struct pipe *const up = &link->pipes[UP];
        struct pipe *const down = &link->pipes[DOWN];
        fds[1 + 2 * at] = watch(link->client, link->is_connecting ? 0 : events_of(link, up, down));
        fds[2 + 2 * at] =
            watch(link->server, link->is_connecting ? POLLOUT : events_of(link, down, up));
    }
    const struct timespec wait = time_to_wait();
    if (ppoll(fds, 1 + 2 * n, &wait, NULL) < 0 && errno != EINTR)
        die("poll");
    for (size_t at = 0; at < n; at++)
        serve(links[at], &fds[1 + 2 * at], &fds[2 + 2 * at]);
    if (listener >= 0 && fds[0].revents)
        admit();
    if (listener < 0 && nsm_now_ns() >= down_until_ns)
        listen_again();
    drop_closed();
}

/* ---- options ---- */

static uint64_t number(const char *text)
{
    uint64_t value = 0;
    if (!nsm_parse_u64(nsm_str_of(text), &value)) {
        fprintf(stderr, "fault_proxy: \"%s\" is not a number\n", text);
        exit(2);
    }
    return value;
}

static size_t choice(const char *text, const char *const *names, size_t n)
{
    for (size_t at = 0; at < n; at++)
        if (strcmp(text, names[at]) == 0)
            return at;
    fprintf(stderr, "fault_proxy: \"%s\" is not known\n", text);
    exit(2);
}

static void read_to(const char *text)
{
    char host[64];
    const char *const colon = strrchr(text, ':');
    snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - text) : 0, text);
    options.to.sin_family = AF_INET;
    options.to.sin_port = htons((uint16_t)number(colon ? colon + 1 : ""));
    if (inet_pton(AF_INET, host, &options.to.sin_addr) != 1) {
        fprintf(stderr, "fault_proxy: \"%s\" is not an address\n", host);
        exit(2);
    }
}

static void set_option(char name, const char *text)
{
    static const char letters[] = "anrs";
    uint64_t *const numbers[] = {&options.at, &options.n_times, &options.rate, &options.seed};
    const char *const letter = strchr(letters, name);
    if (name == 't')
        read_to(text);
    else if (name == 'f')
        options.fault = (enum fault)choice(text, fault_names, NSM_COUNT_OF(fault_names));
    else if (name == 'w')
        options.way = (enum way)choice(text, way_names, NSM_COUNT_OF(way_names));
    else if (name == 'l')
        options.listen_port = (uint16_t)number(text);
    else if (name == 'd')
        options.delay_ns = (int64_t)number(text) * NSM_NS_PER_MS;
    else if (name == 'D')
        options.down_ns = (int64_t)number(text) * NSM_NS_PER_MS;
    else if (name == 'L')
        options.latency_ns = (int64_t)number(text) * (NSM_NS_PER_MS / 1000);
    else if (name == 'A')
        options.takes_all = true;
    else if (letter)
        *numbers[letter - letters] = number(text);
    else
        exit(2);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"to", 1, NULL, 't'},
        {"listen", 1, NULL, 'l'},
        {"fault", 1, NULL, 'f'},
        {"at", 1, NULL, 'a'},
        {"way", 1, NULL, 'w'},
        {"times", 1, NULL, 'n'},
        {"seed", 1, NULL, 's'},
        {"rate", 1, NULL, 'r'},
        {"delay", 1, NULL, 'd'},
        {"down", 1, NULL, 'D'},
        {"latency", 1, NULL, 'L'},
        {"all", 0, NULL, 'A'},
        {0},
    };
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;)
        set_option((char)name, optarg);
    if (optind < argc || !options.to.sin_port) {
        fprintf(stderr, "usage: fault_proxy --to HOST:PORT [...]: see fault_proxy.c\n");
        exit(2);
    }
}

static void end(int signal_number)
{
    (void)signal_number;
    is_ended = 1;
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    const struct sigaction action = {.sa_handler = end};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    due = options.at;
    listen_again();
    printf("port %u\n", options.listen_port);
    while (!is_ended)
        turn();
    printf("passed %llu %llu\n", (unsigned long long)passed[UP], (unsigned long long)passed[DOWN]);
    for (size_t at = 0; at < n_links; at++)
        shut_both(links[at], false);
    drop_closed();
    return 0;
}
