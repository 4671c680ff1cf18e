/* Takes a Redis URL apart, strictly: what is not understood is refused, never guessed. */
#include "adapters/redis/redis_url.h"

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"
#include "migrate/base/parse.h"

#define DEFAULT_PORT          6379
#define DEFAULT_SENTINEL_PORT 26379
#define MAX_HOSTS             1000

void nsm_redis_url_release(struct nsm_redis_url *url)
{
    free(url->host);
    for (size_t index = 0; index < url->n_others; index++)
        free(url->others[index].name);
    free(url->others);
    free(url->master_name);
    free(url->socket_path);
    free(url->user);
    free(url->password);
    *url = (struct nsm_redis_url){0};
}

static struct nsm_error *invalid(const char *what)
{
    return nsm_error_new(NSM_E_INVALID,
                         "%s; expected redis://[user][:password]@host[:port][,...][/db], rediss:// "
                         "for TLS, redis+sentinel://host[:port][,...]/master-name[/db], or "
                         "unix:///path[?db=N]",
                         what);
}

/* Cuts `text` at the first `c`: returns what stands before it; *ret_rest is what stands behind. */
static bool cut(struct nsm_str text, char c, struct nsm_str *ret_head, struct nsm_str *ret_rest)
{
    const char *const at = text.len ? memchr(text.ptr, c, text.len) : NULL;
    if (!at)
        return false;
    const size_t n = (size_t)(at - text.ptr);
    *ret_head = (struct nsm_str){.ptr = text.ptr, .len = n};
    *ret_rest = nsm_str_skip(text, n + 1);
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static struct nsm_error *decode(struct nsm_str text, const char *what, char **ret)
{
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (size_t at = 0; at < text.len; at++) {
        if (text.ptr[at] != '%') {
            nsm_buf_append_char(&out, text.ptr[at]);
            continue;
        }
        const int high = at + 2 < text.len ? hex_digit(text.ptr[at + 1]) : -1;
        const int low = at + 2 < text.len ? hex_digit(text.ptr[at + 2]) : -1;
        if (high < 0 || low < 0)
            return nsm_error_new(NSM_E_INVALID,
                                 "the %s has a '%%' without two hexadecimal digits; write %%25 for "
                                 "the sign itself",
                                 what);
        nsm_buf_append_char(&out, (char)(high * 16 + low));
        at += 2;
    }
    if (memchr(out.ptr, '\0', out.len))
        return nsm_error_new(NSM_E_INVALID, "the %s has a NUL byte", what);
    NSM_TRY(nsm_buf_error(&out));
    *ret = nsm_buf_detach(&out);
    return NULL;
}

static struct nsm_error *parse_db(struct nsm_str text, uint32_t *ret)
{
    uint64_t db;
    if (!nsm_parse_u64(text, &db) || db > INT32_MAX)
        return invalid("the database is not a number");
    *ret = (uint32_t)db;
    return NULL;
}

static struct nsm_error *parse_user(struct nsm_str text, struct nsm_redis_url *url)
{
    struct nsm_str user = text;
    struct nsm_str password = {0};
    const bool has_password = cut(text, ':', &user, &password);
    if (user.len)
        NSM_TRY(decode(user, "user", &url->user));
    if (has_password)
        NSM_TRY(decode(password, "password", &url->password));
    return NULL;
}

static struct nsm_error *parse_port(struct nsm_str text, uint16_t *ret)
{
    uint64_t port;
    if (!nsm_parse_u64(text, &port) || port == 0 || port > UINT16_MAX)
        return invalid("the port is not a number from 1 to 65535 (a password stands before '@')");
    *ret = (uint16_t)port;
    return NULL;
}

static struct nsm_error *parse_host(struct nsm_str text, uint16_t default_port,
                                    struct nsm_redis_host *ret)
{
    struct nsm_str host = text;
    struct nsm_str port = {0};
    bool has_port = false;
    if (text.len && text.ptr[0] == '[') {
        struct nsm_str rest;
        if (!cut(nsm_str_skip(text, 1), ']', &host, &rest))
            return invalid("the host has '[' without ']'");
        has_port = rest.len && rest.ptr[0] == ':';
        if (rest.len && !has_port)
            return invalid("something stands between the host's ']' and its port");
        port = has_port ? nsm_str_skip(rest, 1) : rest;
    } else {
        has_port = cut(text, ':', &host, &port);
        if (has_port && memchr(port.ptr, ':', port.len))
            return invalid("the host has several ':'; an IPv6 address stands in brackets");
    }
    if (host.len == 0)
        return invalid("the host is missing");
    ret->port = default_port;
    if (has_port)
        NSM_TRY(parse_port(port, &ret->port));
    return decode(host, "host", &ret->name);
}

/* The first is the URL's host, those behind it are its others. */
static struct nsm_error *parse_hosts(struct nsm_str text, uint16_t default_port,
                                     struct nsm_redis_url *url)
{
    size_t cap_others = 0;
    for (bool has_more = true; has_more;) {
        struct nsm_str one = text;
        struct nsm_str rest = {0};
        has_more = cut(text, ',', &one, &rest);
        text = rest;
        struct nsm_redis_host host = {0};
        NSM_TRY(parse_host(one, default_port, &host));
        if (!url->host) {
            url->host = host.name;
            url->port = host.port;
            continue;
        }
        NSM_GROW(url->others, url->n_others, cap_others);
        url->others[url->n_others++] = host;
        if (url->n_others >= MAX_HOSTS)
            return invalid("too many hosts");
    }
    return NULL;
}

static struct nsm_error *parse_query(struct nsm_str query, struct nsm_redis_url *url)
{
    while (query.len) {
        struct nsm_str pair = query;
        struct nsm_str rest = {0};
        cut(query, '&', &pair, &rest);
        query = rest;
        struct nsm_str key;
        struct nsm_str value;
        if (!cut(pair, '=', &key, &value) || !nsm_str_equals(key, NSM_STR_LIT("db")))
            return invalid("the only parameter there is behind '?' is db=N");
        NSM_TRY(parse_db(value, &url->db));
    }
    return NULL;
}

/* `path` is without its first '/', which stands before it. */
static struct nsm_error *parse_socket(struct nsm_str authority, struct nsm_str path,
                                      struct nsm_redis_url *url)
{
    if (authority.len || path.len == 0)
        return invalid("the path of the Unix socket must be absolute");
    return decode((struct nsm_str){.ptr = path.ptr - 1, .len = path.len + 1}, "path",
                  &url->socket_path);
}

static struct nsm_error *parse_tcp(struct nsm_str authority, struct nsm_str path,
                                   struct nsm_redis_url *url)
{
    NSM_TRY(parse_hosts(authority, DEFAULT_PORT, url));
    return path.len ? parse_db(path, &url->db) : NULL;
}

static struct nsm_error *parse_sentinel(struct nsm_str authority, struct nsm_str path,
                                        struct nsm_redis_url *url)
{
    struct nsm_str name = path;
    struct nsm_str db = {0};
    cut(path, '/', &name, &db);
    if (name.len == 0)
        return invalid("the name of the master that the Sentinels watch is missing");
    NSM_TRY(parse_hosts(authority, DEFAULT_SENTINEL_PORT, url));
    NSM_TRY(decode(name, "name of the master", &url->master_name));
    return db.len ? parse_db(db, &url->db) : NULL;
}

typedef struct nsm_error *parse_fn(struct nsm_str authority, struct nsm_str path,
                                   struct nsm_redis_url *url);

static struct nsm_error *parse_rest(struct nsm_str rest, parse_fn *parse, struct nsm_redis_url *url)
{
    struct nsm_str query = {0};
    struct nsm_str before;
    if (cut(rest, '?', &before, &query))
        rest = before;
    struct nsm_str authority = rest;
    struct nsm_str path = {0};
    cut(rest, '/', &authority, &path);

    /* The last '@' ends the user: a password with an unescaped one is common. */
    const char *const at = authority.len ? memrchr(authority.ptr, '@', authority.len) : NULL;
    if (at) {
        const size_t n = (size_t)(at - authority.ptr);
        NSM_TRY(parse_user((struct nsm_str){.ptr = authority.ptr, .len = n}, url));
        authority = nsm_str_skip(authority, n + 1);
    }
    NSM_TRY(parse(authority, path, url));
    return parse_query(query, url);
}

struct nsm_error *nsm_redis_url_parse(struct nsm_str text, struct nsm_redis_url *ret)
{
    static const struct {
        struct nsm_str text;
        bool is_tls;
        parse_fn *parse;
    } schemes[] = {
        {NSM_STR_LIT("redis://"), false, parse_tcp},
        {NSM_STR_LIT("rediss://"), true, parse_tcp},
        {NSM_STR_LIT("redis+sentinel://"), false, parse_sentinel},
        {NSM_STR_LIT("rediss+sentinel://"), true, parse_sentinel},
        {NSM_STR_LIT("unix://"), false, parse_socket},
        {NSM_STR_LIT("redis+unix://"), false, parse_socket},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(schemes); index++) {
        if (!nsm_str_starts_with(text, schemes[index].text))
            continue;
        struct nsm_redis_url url NSM_CLEANUP(nsm_redis_url_release) = {.is_tls =
                                                                           schemes[index].is_tls};
        NSM_TRY(
            parse_rest(nsm_str_skip(text, schemes[index].text.len), schemes[index].parse, &url));
        *ret = url;
        url = (struct nsm_redis_url){0};
        return NULL;
    }
    return invalid("not the URL of a Redis");
}

char *nsm_redis_url_where(const struct nsm_redis_url *url)
{
    if (url->socket_path)
        return nsm_xstrdup(url->socket_path);
    if (strchr(url->host, ':'))
        return nsm_xasprintf("[%s]:%u", url->host, (unsigned)url->port);
    return nsm_xasprintf("%s:%u", url->host, (unsigned)url->port);
}
