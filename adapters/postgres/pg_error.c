/*
 * SQLSTATEs to codes, and messages of the server and of libpq to one line. A connection that can't
 * be made has no SQLSTATE in libpq's interface; it is taken from the verbose text, because the
 * message itself may be in any language.
 */
#include "adapters/postgres/pg_error.h"

#include <ctype.h>

struct state_code {
    const char *prefix; /* of the SQLSTATE */
    enum nsm_code code;
};

/* The longer prefix first. */
static const struct state_code state_codes[] = {
    {"08", NSM_E_UNAVAILABLE},    /* connection exceptions */
    {"57014", NSM_E_UNAVAILABLE}, /* query canceled, and not by us: that ends with the context */
    {"57P", NSM_E_UNAVAILABLE},   /* shutdown, crash, can't connect now */
    {"40", NSM_E_UNAVAILABLE},    /* deadlock, serialization */
    {"53300", NSM_E_UNAVAILABLE}, /* too many connections */
    {"53400", NSM_E_UNAVAILABLE}, /* a configured limit */
    {"53200", NSM_E_IO},          /* out of memory */
    {"53", NSM_E_IO},             /* disk full */
    {"58", NSM_E_IO},             /* system errors */
    {"55P03", NSM_E_UNAVAILABLE}, /* lock not available */
    {"55006", NSM_E_UNAVAILABLE}, /* object in use */
    {"72", NSM_E_UNAVAILABLE},    /* snapshot too old */
    {"25P03", NSM_E_UNAVAILABLE}, /* idle in transaction timeout */
    {"25006", NSM_E_AUTH},        /* read-only transaction: a standby */
    {"28", NSM_E_AUTH},
    {"42501", NSM_E_AUTH}, /* insufficient privilege */
    {"3D000", NSM_E_NOTFOUND},
    {"3F000", NSM_E_NOTFOUND},
    {"42P01", NSM_E_NOTFOUND}, /* undefined table */
    {"42704", NSM_E_NOTFOUND}, /* undefined object */
    {"23", NSM_E_CONFLICT},    /* constraint violations */
    {"42P07", NSM_E_CONFLICT}, /* duplicate table */
    {"42P06", NSM_E_CONFLICT}, /* duplicate schema */
    {"42710", NSM_E_CONFLICT}, /* duplicate object */
    {"42723", NSM_E_CONFLICT}, /* duplicate function */
    {"2BP01", NSM_E_CONFLICT}, /* dependent objects still exist */
    {"0A000", NSM_E_UNSUPPORTED},
    {"22", NSM_E_INVALID}, /* data exceptions */
    {"21", NSM_E_INVALID},
    {"42", NSM_E_INVALID},
    {"54", NSM_E_UNSUPPORTED}, /* program limits: too many columns */
    {"XX001", NSM_E_CORRUPT},
    {"XX002", NSM_E_CORRUPT},
};

enum nsm_code nsm_pg_code(const char *sqlstate)
{
    if (!sqlstate)
        return NSM_E_UNAVAILABLE;
    for (size_t i = 0; i < NSM_COUNT_OF(state_codes); i++) {
        if (strncmp(sqlstate, state_codes[i].prefix, strlen(state_codes[i].prefix)) == 0)
            return state_codes[i].code;
    }
    return NSM_E_INTERNAL;
}

bool nsm_pg_has_state(const PGresult *result, const char *sqlstate)
{
    const char *const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state && strcmp(state, sqlstate) == 0;
}

void nsm_pg_one_line(struct nsm_buf *out, const char *text)
{
    const size_t begin = out->len;
    bool is_blank = false;
    for (const char *at = text ? text : ""; *at; at++) {
        const unsigned char c = (unsigned char)*at;
        if (c <= ' ' || c == 127) {
            is_blank = out->len > begin;
            continue;
        }
        if (is_blank)
            nsm_buf_append_char(out, ' ');
        is_blank = false;
        nsm_buf_append_char(out, (char)c);
    }
    while (out->len > begin && out->ptr[out->len - 1] == '.')
        nsm_buf_truncate(out, out->len - 1);
}

/* What an operator can do, for the failures that are met most. */
static const char *advice_for(const char *sqlstate)
{
    static const struct {
        const char *prefix, *text;
    } advice[] = {
        {"42501", "grant the right, or connect as a role that has it"},
        {"53100", "free space on the server's disk"},
        {"53300", "lower max_connections in the plan, or raise it on the server"},
        {"25006", "the server is a standby or read-only: name the primary in url"},
        {"55P03", "someone holds a lock on the object"},
    };
    for (size_t i = 0; sqlstate && i < NSM_COUNT_OF(advice); i++) {
        if (strncmp(sqlstate, advice[i].prefix, strlen(advice[i].prefix)) == 0)
            return advice[i].text;
    }
    return NULL;
}

static void append_field(struct nsm_buf *out, const char *before, const char *text)
{
    if (!text || !*text)
        return;
    nsm_buf_append_cstr(out, before);
    nsm_pg_one_line(out, text);
}

struct nsm_error *nsm_pg_result_error(const PGresult *result)
{
    const char *const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const char *const primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    nsm_pg_one_line(&text, primary ? primary : PQresultErrorMessage(result));
    const bool quotes_rows =
        state && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0);
    if (!quotes_rows)
        append_field(&text, "; ", PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
    else if (strncmp(state, "23", 2) == 0) {
        append_field(&text, "; in ", PQresultErrorField(result, PG_DIAG_SCHEMA_NAME));
        append_field(&text, ".", PQresultErrorField(result, PG_DIAG_TABLE_NAME));
    }
    append_field(&text, "; hint: ", PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
    append_field(&text, "; ", advice_for(state));
    if (state)
        nsm_buf_printf(&text, " (SQLSTATE %s)", state);
    enum nsm_code code = nsm_pg_code(state);
    /* Two sessions changed one catalog row: an internal error to the server, which never translates
     * its text, and gone when tried again. */
    if (primary && strstr(primary, "concurrently"))
        code = NSM_E_UNAVAILABLE;
    return nsm_error_new(code, "%s", text.len ? text.ptr : "no answer");
}

struct nsm_error *nsm_pg_lost_error(const PGconn *pq)
{
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_one_line(&text, PQerrorMessage(pq));
    return nsm_error_new(NSM_E_UNAVAILABLE, "connection lost: %s",
                         text.len ? text.ptr : "the server closed it");
}

/* Finds "SEVERITY:  SQLSTATE: message" as verbose errors have it; copies the state and returns the
 * message, or NULL. */
static const char *find_state(const char *text, char *ret_state)
{
    for (const char *at = strstr(text, ":  "); at; at = strstr(at + 1, ":  ")) {
        const char *const state = at + 3;
        size_t n = 0;
        while (n < 5 && (isdigit((unsigned char)state[n]) || isupper((unsigned char)state[n])))
            n++;
        if (n == 5 && state[5] == ':' && state[6] == ' ') {
            memcpy(ret_state, state, 5);
            ret_state[5] = '\0';
            return state + 7;
        }
    }
    return NULL;
}

struct connect_hint {
    const char *state; /* prefix of the SQLSTATE, or NULL: by the text */
    const char *text;
    enum nsm_code code;
    const char *advice;
};

static const struct connect_hint connect_hints[] = {
    {"28P01", NULL, NSM_E_AUTH, "check user and password: in url, in PGPASSWORD or in ~/.pgpass"},
    {"28000", NULL, NSM_E_AUTH,
     "check the user in url, and the server's pg_hba.conf for this host, user and database"},
    {"3D000", NULL, NSM_E_NOTFOUND, "check the database's name in url, or create it"},
    {"57P03", NULL, NSM_E_UNAVAILABLE, "the server is starting or stopping"},
    {"53300", NULL, NSM_E_UNAVAILABLE,
     "lower max_connections in the plan, or raise it on the server"},
    {NULL, "no password supplied", NSM_E_AUTH, "give one in url, in PGPASSWORD or in ~/.pgpass"},
    {NULL, "Connection refused", NSM_E_UNAVAILABLE,
     "is the server running, and are host and port in url right?"},
    {NULL, "No such file or directory", NSM_E_UNAVAILABLE,
     "is the server running, and are host and port in url right?"},
    {NULL, "could not translate host name", NSM_E_UNAVAILABLE, "check the host's name in url"},
    {NULL, "certificate", NSM_E_AUTH, "check sslmode, sslrootcert, sslcert and sslkey in url"},
    {NULL, "SSL", NSM_E_AUTH, "check sslmode in url, and whether the server has TLS on"},
};

static const struct connect_hint *find_hint(const char *state, const char *text)
{
    for (size_t i = 0; i < NSM_COUNT_OF(connect_hints); i++) {
        const struct connect_hint *const hint = &connect_hints[i];
        if (hint->state ? strcmp(state, hint->state) == 0 : strstr(text, hint->text) != NULL)
            return hint;
    }
    return NULL;
}

struct nsm_error *nsm_pg_connect_text_error(const char *text, const char *place)
{
    char state[6] = "";
    const char *const message = find_state(text, state);
    struct nsm_buf line NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const char *const failed = strstr(text, " failed: ");
    const char *const said = message ? message : (failed ? failed + strlen(" failed: ") : text);
    /* Behind the first line come DETAIL and LOCATION, libpq's own advice, other addresses. */
    struct nsm_buf first NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append(&first, said, strcspn(said, "\n"));
    nsm_pg_one_line(&line, first.ptr);
    const struct connect_hint *const hint = find_hint(state, text);
    const enum nsm_code code =
        hint ? hint->code : (state[0] ? nsm_pg_code(state) : NSM_E_UNAVAILABLE);
    return nsm_error_new(code, "connect to %s: %s%s%s", place, line.len ? line.ptr : "no answer",
                         hint ? "; " : "", hint ? hint->advice : "");
}

struct nsm_error *nsm_pg_connect_error(const PGconn *pq, const char *place)
{
    return nsm_pg_connect_text_error(PQerrorMessage(pq), place);
}

void nsm_pg_connect_state(const PGconn *pq, char *ret_state)
{
    ret_state[0] = '\0';
    if (pq)
        (void)find_state(PQerrorMessage(pq), ret_state);
}
