/*
 * hiredis 0.14's redisReader with object functions of our own. An array's elements are one block in
 * the arena, and a child's place in it is known from the reader's task, so that a reply of a
 * thousand strings costs one block and a thousand copies. The block is not touched before its
 * elements arrive: a header that promises millions of elements costs address space only, and the
 * sum of promises in one reply is bounded.
 */
#include "adapters/redis/redis_reply.h"

#include <assert.h>
#include <hiredis/read.h>

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"

/* Elements in one reply, however nested. The largest that we ask for is a slice of a stream. */
#define MAX_ELEMENTS ((size_t)4 << 20)
/* Bytes of one reply that hiredis may hold before it is whole. */
#define MAX_REPLY_BYTES ((size_t)2 << 30)
/* An idle buffer larger than this is given back. */
#define MAX_IDLE_BYTES ((size_t)1 << 20)

struct nsm_redis_parser {
    redisReader *reader;
    struct nsm_arena *arena; /* of the reply that is being parsed */
    bool is_partial;
    bool is_over; /* a reply had too many elements */
    size_t n_elements;
};

static struct nsm_redis_parser *parser_of(const redisReadTask *task)
{
    return task->privdata;
}

/* Where the object of a task goes: its place among its parent's elements, or a place of its own. */
static struct nsm_redis_reply *place(const redisReadTask *task, enum nsm_redis_type type)
{
    struct nsm_redis_reply *reply;
    if (task->parent) {
        struct nsm_redis_reply *const parent = task->parent->obj;
        reply = &parent->elements[task->idx];
    } else {
        reply = nsm_arena_alloc(parser_of(task)->arena, sizeof(*reply));
    }
    *reply = (struct nsm_redis_reply){.type = type};
    return reply;
}

/* hiredis's type has no const. NOLINTNEXTLINE(readability-non-const-parameter) */
static void *create_string(const redisReadTask *task, char *bytes, size_t len)
{
    const enum nsm_redis_type type = task->type == REDIS_REPLY_ERROR    ? NSM_REDIS_ERROR
                                     : task->type == REDIS_REPLY_STATUS ? NSM_REDIS_STATUS
                                                                        : NSM_REDIS_STRING;
    struct nsm_redis_reply *const reply = place(task, type);
    reply->str = nsm_arena_copy(parser_of(task)->arena, (struct nsm_str){.ptr = bytes, .len = len});
    return reply;
}

static void *create_array(const redisReadTask *task, int n_elements)
{
    struct nsm_redis_parser *const parser = parser_of(task);
    const size_t n = (size_t)n_elements;
    if (n_elements < 0 || n > MAX_ELEMENTS - parser->n_elements) {
        parser->is_over = true;
        return NULL;
    }
    parser->n_elements += n;
    struct nsm_redis_reply *const reply = place(task, NSM_REDIS_ARRAY);
    reply->n_elements = (uint32_t)n;
    if (n)
        reply->elements = nsm_arena_alloc(parser->arena, n * sizeof(*reply->elements));
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct nsm_redis_reply *const reply = place(task, NSM_REDIS_INTEGER);
    reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return place(task, NSM_REDIS_NIL);
}

/* Everything belongs to the arena. */
static void free_object(void *object)
{
    (void)object;
}

struct nsm_redis_parser *nsm_redis_parser_new(void)
{
    /* hiredis does not write to it, but takes no const. */
    static redisReplyObjectFunctions functions = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createNil = create_nil,
        .freeObject = free_object,
    };
    struct nsm_redis_parser *const parser = nsm_xcalloc(1, sizeof(*parser));
    parser->reader = redisReaderCreateWithFunctions(&functions);
    if (!parser->reader)
        abort();
    parser->reader->maxbuf = MAX_IDLE_BYTES;
    parser->reader->privdata = parser;
    return parser;
}

void nsm_redis_parser_free(struct nsm_redis_parser *parser)
{
    if (!parser)
        return;
    redisReaderFree(parser->reader);
    free(parser);
}

struct nsm_error *nsm_redis_parser_feed(struct nsm_redis_parser *parser, struct nsm_str bytes)
{
    if (parser->reader->len - parser->reader->pos > MAX_REPLY_BYTES)
        return nsm_error_new(NSM_E_NOMEM, "a reply of more than %zu bytes", MAX_REPLY_BYTES);
    if (redisReaderFeed(parser->reader, bytes.ptr, bytes.len) != REDIS_OK)
        return nsm_error_new(NSM_E_CORRUPT, "reply: %s", parser->reader->errstr);
    return NULL;
}

struct nsm_error *nsm_redis_parser_next(struct nsm_redis_parser *parser, struct nsm_arena *arena,
                                        const struct nsm_redis_reply **ret)
{
    assert(!parser->is_partial || parser->arena == arena);
    if (!parser->is_partial)
        parser->n_elements = 0;
    parser->arena = arena;
    void *reply = NULL;
    if (redisReaderGetReply(parser->reader, &reply) != REDIS_OK) {
        if (parser->is_over)
            return nsm_error_new(NSM_E_NOMEM, "a reply of more than %zu elements", MAX_ELEMENTS);
        return nsm_error_new(NSM_E_CORRUPT,
                             "not a Redis, or a broken connection: the reply is not its protocol");
    }
    /* The reader's stack is empty (-1) between replies. */
    parser->is_partial = parser->reader->ridx >= 0;
    *ret = reply;
    return NULL;
}

/* ---- errors ---- */

#define MAX_KEY_BYTES  64
#define MAX_TEXT_BYTES 300

/* Which error words mean what, and what the operator can do about it. */
static const struct {
    const char *word;
    enum nsm_code code;
    const char *advice; /* "" when the server's own words say it */
} error_words[] = {
    {"LOADING", NSM_E_UNAVAILABLE, ""},
    {"BUSY", NSM_E_UNAVAILABLE, ""},
    {"TRYAGAIN", NSM_E_UNAVAILABLE, ""},
    {"CLUSTERDOWN", NSM_E_UNAVAILABLE, ""},
    {"MASTERDOWN", NSM_E_UNAVAILABLE, ""},
    {"READONLY", NSM_E_UNAVAILABLE, "; name the master as the destination"},
    {"NOREPLICAS", NSM_E_UNAVAILABLE, ""},
    {"UNKILLABLE", NSM_E_UNAVAILABLE, ""},
    {"NOAUTH", NSM_E_AUTH,
     "; put a password into the backend's url, or into the environment as REDISCLI_AUTH"},
    {"WRONGPASS", NSM_E_AUTH, "; mend user and password in the backend's url, or REDISCLI_AUTH"},
    {"NOPERM", NSM_E_AUTH, "; give the user this right with ACL SETUSER"},
    {"DENIED", NSM_E_AUTH, ""},
    {"OOM", NSM_E_IO, "; raise maxmemory at the destination or make room"},
    {"MISCONF", NSM_E_IO, ""},
    {"BUSYKEY", NSM_E_CONFLICT, ""},
    {"MOVED", NSM_E_UNAVAILABLE, ""},
    {"ASK", NSM_E_UNAVAILABLE, ""},
    {"CROSSSLOT", NSM_E_INTERNAL, ""},
    {"WRONGTYPE", NSM_E_UNAVAILABLE, "; the key was replaced while it was copied"},
};

/* And those that begin with the general word ERR. */
static const struct {
    const char *text;
    enum nsm_code code;
    const char *advice;
} error_texts[] = {
    {"ERR max number of clients reached", NSM_E_UNAVAILABLE,
     "; lower the backend's max_connections or raise maxclients"},
    {"ERR DUMP payload version or checksum are wrong", NSM_E_UNSUPPORTED,
     "; the destination is older than the source: upgrade it, or set dump: false in the backend"},
    {"ERR Bad data format", NSM_E_UNSUPPORTED,
     "; the destination can't load what the source dumps: set dump: false in the backend, to copy "
     "by type"},
    {"ERR DB index is out of range", NSM_E_INVALID, "; mend the database in the backend's url"},
    {"ERR SELECT is not allowed in cluster mode", NSM_E_INVALID,
     "; a Cluster has database 0 only: mend the one in the backend's url"},
    {"ERR invalid DB index", NSM_E_INVALID, "; mend the database in the backend's url"},
    {"ERR invalid password", NSM_E_AUTH,
     "; mend the password in the backend's url, or REDISCLI_AUTH"},
    {"ERR AUTH ", NSM_E_AUTH, ""},
    {"ERR Client sent AUTH, but no password is set", NSM_E_AUTH,
     "; take the password out of the backend's url and REDISCLI_AUTH"},
    {"ERR unknown command", NSM_E_UNSUPPORTED, "; a Redis from 5.0 on is needed"},
    {"ERR invalid expire", NSM_E_UNSUPPORTED, ""},
};

void nsm_redis_key_write(struct nsm_str key, struct nsm_buf *out)
{
    for (size_t at = 0; at < key.len && at < MAX_KEY_BYTES; at++) {
        const unsigned char c = (unsigned char)key.ptr[at];
        if (c == '\\')
            nsm_buf_append_cstr(out, "\\\\");
        else if (c > 0x20 && c < 0x7f)
            nsm_buf_append_char(out, (char)c);
        else
            nsm_buf_printf(out, "\\x%02x", (unsigned)c);
    }
    if (key.len > MAX_KEY_BYTES)
        nsm_buf_append_cstr(out, "...");
}

/* The server's own words, but not the arguments that some messages repeat: they may hold values. */
static void write_text(struct nsm_str text, struct nsm_buf *out)
{
    static const char args[] = ", with args";
    const char *const end = text.len ? memmem(text.ptr, text.len, args, sizeof(args) - 1) : NULL;
    if (end)
        text.len = (size_t)(end - text.ptr);
    for (size_t at = 0; at < text.len && at < MAX_TEXT_BYTES; at++) {
        const char c = text.ptr[at];
        nsm_buf_append_char(out, c >= 0x20 && c < 0x7f ? c : '?');
    }
    while (out->len && (out->ptr[out->len - 1] == '.' || out->ptr[out->len - 1] == ' '))
        nsm_buf_truncate(out, out->len - 1);
}

static bool begins_with_word(struct nsm_str text, const char *word)
{
    const struct nsm_str w = nsm_str_of(word);
    return nsm_str_starts_with(text, w) &&
           (text.len == w.len || text.ptr[w.len] == ' ' || text.ptr[w.len] == '\r');
}

bool nsm_redis_reply_is_error(const struct nsm_redis_reply *reply, const char *word)
{
    return reply->type == NSM_REDIS_ERROR && begins_with_word(reply->str, word);
}

static enum nsm_code classify(struct nsm_str text, const char **ret_advice)
{
    for (size_t index = 0; index < NSM_COUNT_OF(error_words); index++) {
        if (begins_with_word(text, error_words[index].word)) {
            *ret_advice = error_words[index].advice;
            return error_words[index].code;
        }
    }
    for (size_t index = 0; index < NSM_COUNT_OF(error_texts); index++) {
        if (nsm_str_starts_with(text, nsm_str_of(error_texts[index].text))) {
            *ret_advice = error_texts[index].advice;
            return error_texts[index].code;
        }
    }
    *ret_advice = "";
    return NSM_E_IO;
}

struct nsm_error *nsm_redis_reply_error(const struct nsm_redis_reply *reply, const char *command,
                                        struct nsm_str key)
{
    struct nsm_buf what NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_append_cstr(&what, command);
    if (key.len) {
        nsm_buf_append_char(&what, ' ');
        nsm_redis_key_write(key, &what);
    }
    if (reply->type != NSM_REDIS_ERROR)
        return nsm_error_new(NSM_E_INTERNAL, "%s: the server's answer is of an unexpected type",
                             what.ptr);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    write_text(reply->str, &text);
    const char *advice;
    const enum nsm_code code = classify(reply->str, &advice);
    return nsm_error_new(code, "%s: %s%s", what.ptr, text.ptr, advice);
}

const struct nsm_redis_reply *nsm_redis_reply_field(const struct nsm_redis_reply *reply,
                                                    const char *name)
{
    if (reply->type != NSM_REDIS_ARRAY)
        return NULL;
    for (size_t index = 0; index + 1 < reply->n_elements; index += 2) {
        if (nsm_str_equals(reply->elements[index].str, nsm_str_of(name)))
            return &reply->elements[index + 1];
    }
    return NULL;
}
