/*
 * Finds the secrets in a URL or a libpq connection string ("host=db password=x"). It errs on the
 * side of hiding: a password that was not percent-encoded, with '/', '?' or '@' in it, makes a URL
 * that no server takes, and the message about it must not show it either.
 */
#include "migrate/engine/record/url.h"

#include "migrate/engine/record/settings.h"

#include <strings.h>

static const char *const secret_parameters[] = {
    "password", "sslpassword", "pass", "passwd", "auth", "token", "secret",
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Whether a parameter is secret by its name, which libpq lets be percent-encoded. */
static bool is_secret_parameter(struct nsm_str name)
{
    char plain[16];
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '%' && i + 2 < name.len && hex_digit(name.ptr[i + 1]) >= 0 &&
            hex_digit(name.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(name.ptr[i + 1]) * 16 + hex_digit(name.ptr[i + 2]));
            i += 2;
        }
        if (n + 1 == sizeof(plain))
            return false;
        plain[n++] = c;
    }
    plain[n] = '\0';
    for (size_t i = 0; i < NSM_COUNT_OF(secret_parameters); i++) {
        if (strcasecmp(plain, secret_parameters[i]) == 0)
            return true;
    }
    return false;
}

static size_t span_until(struct nsm_str s, const char *stops)
{
    size_t n = 0;
    while (n < s.len && (s.ptr[n] == '\0' || !strchr(stops, s.ptr[n])))
        n++;
    return n;
}

static struct nsm_str cut(struct nsm_str s, size_t n)
{
    return (struct nsm_str){.ptr = s.ptr, .len = n};
}

/* The last '@' in `s`; s.len when there is none. */
static size_t find_last_at(struct nsm_str s)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == '@')
            return i - 1;
    }
    return s.len;
}

static size_t count_digits(struct nsm_str s)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

/* How much of `rest` (behind "scheme://") is "user:password": up to the '@', 0 when there is none.
 * Where the authority holds no '@' but what follows does, and what stands behind its ':' is no
 * port, a password with a '/' in it has split it. */
static size_t userinfo_length(struct nsm_str rest)
{
    const struct nsm_str authority = cut(rest, span_until(rest, "/?#"));
    const size_t at = find_last_at(authority);
    if (at < authority.len)
        return at;
    const size_t colon = span_until(authority, ":");
    if (colon == authority.len)
        return 0;
    const struct nsm_str port = nsm_str_skip(authority, colon + 1);
    const size_t n_digits = count_digits(port);
    const bool is_port = port.len > 0 && (n_digits == port.len || port.ptr[n_digits] == ',');
    const size_t far_at = find_last_at(rest);
    return far_at < rest.len && (!is_port || colon == 0) ? far_at : 0;
}

/* "?a=b&password=x": each parameter, the secret ones with `mask` for a value, or not at all. */
static void write_query(struct nsm_str query, const char *mask, struct nsm_buf *out)
{
    char separator = '?';
    struct nsm_str rest = nsm_str_skip(query, 1);
    while (rest.len > 0) {
        const struct nsm_str pair = cut(rest, span_until(rest, "&"));
        const struct nsm_str name = cut(pair, span_until(pair, "="));
        const bool is_secret = name.len < pair.len && is_secret_parameter(name);
        if (!is_secret || mask) {
            nsm_buf_append_char(out, separator);
            nsm_buf_append_str(out, is_secret ? name : pair);
            separator = '&';
        }
        if (is_secret && mask)
            nsm_buf_printf(out, "=%s", mask);
        rest = nsm_str_skip(rest, pair.len < rest.len ? pair.len + 1 : pair.len);
    }
}

static void write_url(struct nsm_str url, size_t scheme_len, const char *mask, struct nsm_buf *out)
{
    nsm_buf_append_str(out, cut(url, scheme_len));
    struct nsm_str rest = nsm_str_skip(url, scheme_len);
    const struct nsm_str userinfo = cut(rest, userinfo_length(rest));
    const size_t user_len = span_until(userinfo, ":");
    nsm_buf_append_str(out, cut(userinfo, user_len));
    if (user_len < userinfo.len && mask)
        nsm_buf_printf(out, ":%s", mask);
    rest = nsm_str_skip(rest, userinfo.len);
    const size_t query = span_until(rest, "?");
    nsm_buf_append_str(out, cut(rest, query));
    if (query < rest.len)
        write_query(nsm_str_skip(rest, query), mask, out);
}

static size_t count_blanks(struct nsm_str s)
{
    size_t n = 0;
    while (n < s.len && (s.ptr[n] == ' ' || (s.ptr[n] >= '\t' && s.ptr[n] <= '\r')))
        n++;
    return n;
}

/* The length of a connection string's value: in single quotes or up to a blank; a backslash takes
 * the next character with it. */
static size_t value_length(struct nsm_str s)
{
    const bool is_quoted = s.len > 0 && s.ptr[0] == '\'';
    size_t n = is_quoted;
    while (n < s.len) {
        if (is_quoted ? s.ptr[n] == '\'' : count_blanks(cut(nsm_str_skip(s, n), 1)) > 0)
            return n + is_quoted;
        n += s.ptr[n] == '\\' && n + 1 < s.len ? 2 : 1;
    }
    return s.len;
}

/* "host=db user = app password='x y'": what is no "name = value" is taken over as it is. */
static void write_conninfo(struct nsm_str text, const char *mask, struct nsm_buf *out)
{
    struct nsm_str rest = text;
    while (rest.len > 0) {
        const size_t n_blanks = count_blanks(rest);
        const struct nsm_str name =
            cut(nsm_str_skip(rest, n_blanks), span_until(nsm_str_skip(rest, n_blanks), "= \t\r\n"));
        size_t head = n_blanks + name.len;
        const size_t gap = count_blanks(nsm_str_skip(rest, head));
        const bool is_pair = head + gap < rest.len && rest.ptr[head + gap] == '=';
        if (is_pair) {
            head += gap + 1;
            head += count_blanks(nsm_str_skip(rest, head));
        }
        const size_t n_value = is_pair ? value_length(nsm_str_skip(rest, head)) : 0;
        const bool is_secret = is_pair && is_secret_parameter(name);
        if (!is_secret)
            nsm_buf_append_str(out, cut(rest, head + n_value));
        else if (mask) {
            nsm_buf_append_str(out, cut(rest, head));
            nsm_buf_append_cstr(out, mask);
        }
        rest = nsm_str_skip(rest, head + n_value);
    }
}

static void write_without_secrets(struct nsm_str url, const char *mask, struct nsm_buf *out)
{
    const char *const scheme = url.len > 0 ? memmem(url.ptr, url.len, "://", 3) : NULL;
    const size_t before = scheme ? (size_t)(scheme - url.ptr) : 0;
    const size_t equals = span_until(url, "=");
    /* "password=a://b" is a connection string all the same; "db:x@host" a URL without its head. */
    if (scheme && before < equals && span_until(url, " ") > before)
        write_url(url, before + 3, mask, out);
    else if (span_until(url, "@") < equals)
        write_url(url, 0, mask, out);
    else
        write_conninfo(url, mask, out);
}

void nsm_url_redact(struct nsm_str url, struct nsm_buf *out)
{
    write_without_secrets(url, "***", out);
}

void nsm_url_strip(struct nsm_str url, struct nsm_buf *out)
{
    write_without_secrets(url, NULL, out);
}
