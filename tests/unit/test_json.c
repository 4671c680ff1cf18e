/*
 * What is written as JSON must come back as it was, whatever bytes it holds; what is not ours must
 * be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <jansson.h>

#include "migrate/base/parse.h"
#include "migrate/engine/record/json.h"
#include "migrate/engine/record/stream.h"

/* ---- a generator of values: fixed seed, so that a failure repeats ---- */

struct random {
    uint64_t state;
};

static uint64_t below(struct random *random, uint64_t bound)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (random->state >> 11) % bound;
}

static struct nsm_str random_bytes(struct nsm_batch *batch, struct random *random)
{
    static const char *const nasty[] = {
        "",
        "{\"$binary\":{\"base64\":\"AAAA\",\"subType\":\"00\"}}",
        "{\"$float\":\"nan\"}",
        "$binary",
        "null",
        "\"quoted\" \\ back / slash",
        "line\nfeed\rtab\t\b\f\x01\x1f\x7f",
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
        "\xed\xa0\x80",     /* a surrogate */
        "\xc0\xaf",         /* overlong */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "cut \xe2\x82",
        "\xff\xfe",
    };
    const uint64_t choice = below(random, NSM_COUNT_OF(nasty) + 3);
    if (choice < NSM_COUNT_OF(nasty))
        return nsm_str_of(nasty[choice]);
    if (choice == NSM_COUNT_OF(nasty))
        return NSM_STR_LIT("a\0b");
    char bytes[64];
    const size_t len = below(random, sizeof(bytes));
    for (size_t index = 0; index < len; index++)
        bytes[index] = (char)(choice % 2 ? 'a' + below(random, 26) : below(random, 256));
    return nsm_batch_copy(batch, (struct nsm_str){.ptr = bytes, .len = len});
}

static struct nsm_str random_int(struct nsm_batch *batch, struct random *random)
{
    static const int64_t edges[] = {0, -1, INT64_MAX, INT64_MIN, INT64_C(9007199254740993)};
    const int64_t number =
        below(random, 2) ? edges[below(random, NSM_COUNT_OF(edges))] : (int64_t)random->state;
    return nsm_str_of(nsm_arena_printf(&batch->arena, "%" PRId64, number));
}

static struct nsm_str random_float(struct nsm_batch *batch, struct random *random)
{
    static const double edges[] = {0.0,
                                   -0.0,
                                   1.0,
                                   1e20,
                                   1e22,
                                   5e-324,
                                   1.7976931348623157e308,
                                   0.1,
                                   __builtin_inf(),
                                   -__builtin_inf(),
                                   __builtin_nan("")};
    double number;
    if (below(random, 2)) {
        number = edges[below(random, NSM_COUNT_OF(edges))];
    } else {
        memcpy(&number, &random->state, sizeof(number));
        if (!__builtin_isfinite(number))
            number = 2.5;
    }
    char text[32];
    const size_t len = nsm_format_double(number, text);
    return nsm_batch_copy(batch, (struct nsm_str){.ptr = text, .len = len});
}

static struct nsm_value random_value(struct nsm_batch *batch, struct random *random)
{
    static const char *const numerics[] = {"1.10", "-0.000", "NaN", "-Infinity",
                                           "123456789012345678901234567890.5"};
    struct nsm_value value = {.type = (enum nsm_type)below(random, NSM_N_TYPES)};
    switch (value.type) {
    case NSM_NULL:
        break;
    case NSM_BOOL:
        value.bytes = below(random, 2) ? NSM_STR_LIT("t") : NSM_STR_LIT("f");
        break;
    case NSM_INT:
        value.bytes = random_int(batch, random);
        break;
    case NSM_FLOAT:
        value.bytes = random_float(batch, random);
        break;
    case NSM_NUMERIC:
        value.bytes = nsm_str_of(numerics[below(random, NSM_COUNT_OF(numerics))]);
        break;
    case NSM_TEXT:
    case NSM_BYTES:
    case NSM_TIME:
    case NSM_UUID:
    case NSM_JSON:
    case NSM_OTHER:
        value.bytes = random_bytes(batch, random);
        break;
    }
    return value;
}

static struct nsm_value random_bytes_value(struct nsm_batch *batch, struct random *random)
{
    return (struct nsm_value){.type = NSM_BYTES, .bytes = random_bytes(batch, random)};
}

static void assert_same_value(const struct nsm_value *a, const struct nsm_value *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->bytes.len, b->bytes.len);
    if (a->bytes.len > 0)
        assert_memory_equal(a->bytes.ptr, b->bytes.ptr, a->bytes.len);
}

static void read_back(struct nsm_batch *batch, const struct nsm_buf *text, enum nsm_type column,
                      unsigned flags, struct nsm_value *ret)
{
    json_t *json NSM_CLEANUP(json_decrefp) = NULL;
    assert_null(nsm_json_parse(nsm_buf_view(text), &json));
    assert_null(nsm_json_read_value(batch, json, column, flags, ret));
}

/* ---- tests ---- */

static void column_values_come_back(void **state)
{
    (void)state;
    struct random random = {.state = 88172645463325252U};
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (unsigned round = 0; round < 20000; round++) {
        nsm_batch_clear(&batch);
        nsm_buf_clear(&text);
        const enum nsm_type column = (enum nsm_type)below(&random, NSM_N_TYPES);
        const struct nsm_value value = random_value(&batch, &random);
        nsm_json_write_column_value(&text, &value, column);
        assert_null(memchr(text.ptr, '\n', text.len));
        struct nsm_value back = {0};
        read_back(&batch, &text, column, 0, &back);
        assert_same_value(&value, &back);
    }
    nsm_batch_release(&batch);
}

static void plain_values_come_back_in_their_column(void **state)
{
    (void)state;
    struct random random = {.state = 362436069362436069U};
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (unsigned round = 0; round < 5000; round++) {
        nsm_batch_clear(&batch);
        nsm_buf_clear(&text);
        const struct nsm_value value = random_value(&batch, &random);
        nsm_json_write_value(&text, &value, 0);
        struct nsm_value back = {0};
        read_back(&batch, &text, value.type, 0, &back);
        assert_same_value(&value, &back);

        const struct nsm_value bytes = random_bytes_value(&batch, &random);
        nsm_buf_clear(&text);
        nsm_json_write_value(&text, &bytes, NSM_JSON_BYTES_AS_TEXT);
        read_back(&batch, &text, NSM_BYTES, NSM_JSON_BYTES_AS_TEXT, &back);
        assert_same_value(&bytes, &back);
    }
    nsm_batch_release(&batch);
}

static struct nsm_record *random_collection(struct nsm_batch *batch, struct random *random,
                                            enum nsm_kind kind)
{
    const size_t width = kind == NSM_KIND_HASH || kind == NSM_KIND_ZSET ? 2 : 1;
    const size_t n_items = kind == NSM_KIND_STRING ? 1 : width * below(random, 20);
    struct nsm_record *const record = nsm_batch_add(batch, kind, n_items);
    for (size_t index = 0; index < n_items; index++) {
        const bool is_score = kind == NSM_KIND_ZSET && index % 2;
        record->items[index] = is_score ? (struct nsm_value){NSM_FLOAT, random_float(batch, random)}
                                        : random_bytes_value(batch, random);
    }
    return record;
}

static struct nsm_value int_value(struct nsm_batch *batch, struct random *random)
{
    return (struct nsm_value){NSM_INT, random_int(batch, random)};
}

/* A group with up to two consumers and three pending ids; returns where the next piece goes. */
static struct nsm_value *random_group(struct nsm_batch *batch, struct random *random,
                                      struct nsm_value *item, bool is_named)
{
    if (is_named) {
        *item++ = nsm_stream_word(NSM_STREAM_GROUP);
        *item++ = random_bytes_value(batch, random);
        *item++ = random_bytes_value(batch, random);
        *item++ = below(random, 2) ? int_value(batch, random) : (struct nsm_value){0};
    }
    for (uint64_t n = below(random, 2) + !is_named; n > 0; n--) {
        *item++ = nsm_stream_word(NSM_STREAM_CONSUMER);
        *item++ = random_bytes_value(batch, random);
    }
    for (uint64_t n = below(random, 4); n > 0; n--) {
        *item++ = nsm_stream_word(NSM_STREAM_PENDING);
        *item++ = random_bytes_value(batch, random);
        *item++ = random_bytes_value(batch, random);
        *item++ = int_value(batch, random);
        *item++ = int_value(batch, random);
    }
    return item;
}

static struct nsm_record *random_stream(struct nsm_batch *batch, struct random *random)
{
    const bool is_continued = below(random, 2);
    struct nsm_record *const record = nsm_batch_add(batch, NSM_KIND_STREAM, 200);
    record->flags = is_continued ? NSM_RECORD_CONTINUED : 0;
    struct nsm_value *item = record->items;
    if (!is_continued) {
        *item++ = random_bytes_value(batch, random);
        *item++ = int_value(batch, random);
        *item++ = random_bytes_value(batch, random);
    }
    for (uint64_t n = below(random, 3); n > 0; n--)
        item = random_group(batch, random, item,
                            !is_continued || item > record->items || below(random, 2));
    const uint64_t n_fields = below(random, 4);
    for (uint64_t n = below(random, 5); n > 0; n--) {
        *item++ = random_bytes_value(batch, random);
        const char *const count = nsm_arena_printf(&batch->arena, "%" PRIu64, n_fields);
        *item++ = (struct nsm_value){NSM_INT, nsm_str_of(count)};
        for (uint64_t field = 0; field < 2 * n_fields; field++)
            *item++ = random_bytes_value(batch, random);
    }
    record->n_items = (size_t)(item - record->items);
    return record;
}

static void items_of_all_kinds_come_back(void **state)
{
    (void)state;
    struct random random = {.state = 521288629521288629U};
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    for (unsigned round = 0; round < 6000; round++) {
        nsm_batch_clear(&batch);
        nsm_buf_clear(&text);
        const enum nsm_kind kind =
            (enum nsm_kind)(NSM_KIND_STRING + round % (NSM_KIND_STREAM - NSM_KIND_STRING + 1));
        const struct nsm_record record = kind == NSM_KIND_STREAM
                                             ? *random_stream(&batch, &random)
                                             : *random_collection(&batch, &random, kind);
        nsm_json_write_items(&text, &record);
        struct nsm_record *const back = nsm_batch_add(&batch, kind, 0);
        back->flags = record.flags;
        assert_null(nsm_json_read_items(&batch, back, nsm_buf_view(&text)));
        assert_int_equal(record.n_items, back->n_items);
        for (size_t index = 0; index < record.n_items; index++)
            assert_same_value(&record.items[index], &back->items[index]);
    }
    nsm_batch_release(&batch);
}

static void spelling_is_as_documented(void **state)
{
    (void)state;
    static const struct {
        struct nsm_value value;
        enum nsm_type column;
        const char *json;
    } cases[] = {
        {{NSM_NULL, {0}}, NSM_INT, "null"},
        {{NSM_BOOL, {"t", 1}}, NSM_BOOL, "true"},
        {{NSM_BOOL, {"f", 1}}, NSM_BOOL, "false"},
        {{NSM_BOOL, {"yes", 3}}, NSM_BOOL, "{\"$bool\":\"yes\"}"},
        {{NSM_INT, {"-9223372036854775808", 20}}, NSM_INT, "-9223372036854775808"},
        {{NSM_INT, {"9223372036854775808", 19}}, NSM_INT, "{\"$int\":\"9223372036854775808\"}"},
        {{NSM_INT, {"0", 1}}, NSM_INT, "0"},
        {{NSM_INT, {"-0", 2}}, NSM_INT, "{\"$int\":\"-0\"}"},
        {{NSM_INT, {"007", 3}}, NSM_INT, "{\"$int\":\"007\"}"},
        {{NSM_INT, {"", 0}}, NSM_INT, "{\"$int\":\"\"}"},
        {{NSM_FLOAT, {"1", 1}}, NSM_FLOAT, "1.0"},
        {{NSM_FLOAT, {"0.5", 3}}, NSM_FLOAT, "0.5"},
        {{NSM_FLOAT, {"nan", 3}}, NSM_FLOAT, "{\"$float\":\"nan\"}"},
        {{NSM_NUMERIC, {"1.10", 4}}, NSM_NUMERIC, "{\"$numeric\":\"1.10\"}"},
        {{NSM_TEXT, {"a\"\\\n\x02", 5}}, NSM_TEXT, "\"a\\\"\\\\\\n\\u0002\""},
        {{NSM_TEXT, {"\xff", 1}},
         NSM_TEXT,
         "{\"$binary\":{\"base64\":\"/w==\",\"subType\":\"80\"}}"},
        {{NSM_TEXT, {"a\0", 2}},
         NSM_TEXT,
         "{\"$binary\":{\"base64\":\"YQA=\",\"subType\":\"80\"}}"},
        {{NSM_TEXT, {"a", 1}}, NSM_UUID, "{\"$text\":\"a\"}"},
        {{NSM_BYTES, {"abc", 3}},
         NSM_BYTES,
         "{\"$binary\":{\"base64\":\"YWJj\",\"subType\":\"00\"}}"},
        {{NSM_TIME, {"2026-01-31", 10}}, NSM_TIME, "\"2026-01-31\""},
        {{NSM_UUID, {"u", 1}}, NSM_UUID, "\"u\""},
        {{NSM_UUID, {"u", 1}}, NSM_TEXT, "{\"$uuid\":\"u\"}"},
        {{NSM_JSON, {"{\"a\": 1}", 8}}, NSM_JSON, "{\"$json\":\"{\\\"a\\\": 1}\"}"},
        {{NSM_OTHER, {"(1,2)", 5}}, NSM_OTHER, "{\"$other\":\"(1,2)\"}"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        struct nsm_buf text NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        nsm_json_write_column_value(&text, &cases[index].value, cases[index].column);
        assert_string_equal(text.ptr, cases[index].json);
    }
}

static void assert_refused(struct nsm_error *error, const char *expected)
{
    assert_true(nsm_error_is(error, NSM_E_CORRUPT));
    char *const text = nsm_error_text(error);
    if (!strstr(text, expected))
        fail_msg("expected \"%s\" in \"%s\"", expected, text);
    free(text);
    nsm_error_free(error);
}

static void hostile_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct nsm_str text;
        const char *expected;
    } cases[] = {
        {NSM_STR_LIT(""), ""},
        {NSM_STR_LIT("{"), "ends too early"},
        {NSM_STR_LIT("1 2"), "follows"},
        {NSM_STR_LIT("\"\xff\""), "UTF-8"},
        {NSM_STR_LIT("\"\\u0000\""), "NUL"},
        {NSM_STR_LIT("{\"a\\u0000\":1}"), "NUL"},
        {NSM_STR_LIT("\"a\0b\""), ""},
        {NSM_STR_LIT("9223372036854775808"), "too large"},
        {NSM_STR_LIT("1e999"), "too large"},
        {NSM_STR_LIT("{\"a\":1,\"a\":2}"), "twice"},
        {NSM_STR_LIT("nan"), "not valid JSON"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        json_t *json = NULL;
        assert_refused(nsm_json_parse(cases[index].text, &json), cases[index].expected);
        assert_null(json);
    }
    static char deep[100000];
    memset(deep, '[', sizeof(deep));
    json_t *json = NULL;
    assert_refused(nsm_json_parse((struct nsm_str){deep, sizeof(deep)}, &json), "deep");
    const struct nsm_str huge = {.ptr = "", .len = NSM_JSON_MAX_BYTES + 1};
    assert_refused(nsm_json_parse(huge, &json), "more than");
}

/* An error goes to logs; the data does not. */
static void errors_do_not_quote_data(void **state)
{
    (void)state;
    json_t *json = NULL;
    struct nsm_error *const error = nsm_json_parse(NSM_STR_LIT("{\"a\": hunter2}"), &json);
    char *const text = nsm_error_text(error);
    assert_null(strstr(text, "hunter2"));
    free(text);
    nsm_error_free(error);
}

static void values_not_ours_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"[1]", "found an array"},
        {"{}", "found an object"},
        {"{\"a\":1}", "found an object"},
        {"{\"$numeric\":\"1\",\"b\":2}", "found an object"},
        {"{\"$strange\":\"1\"}", "none of ours"},
        {"{\"$null\":\"1\"}", "none of ours"},
        {"{\"$bytes\":\"1\"}", "none of ours"},
        {"{\"$numeric\":1.5}", "found a real number"},
        {"{\"$numeric\":{\"a\":\"b\"}}", "found an object"},
        {"{\"$binary\":\"YQ==\"}", "base64"},
        {"{\"$binary\":{\"base64\":\"YQ==\"}}", "subType"},
        {"{\"$binary\":{\"base64\":\"YQ==\",\"subType\":\"05\"}}", "subType"},
        {"{\"$binary\":{\"base64\":\"YQ=\",\"subType\":\"00\"}}", "cut off"},
        {"{\"$binary\":{\"base64\":\"YR==\",\"subType\":\"00\"}}", "not valid base64"},
        {"{\"$binary\":{\"base64\":\"YWJ=\",\"subType\":\"00\"}}", "not valid base64"},
        {"{\"$binary\":{\"base64\":\"Y===\",\"subType\":\"00\"}}", "not valid base64"},
        {"{\"$binary\":{\"base64\":\"YQ==YQ==\",\"subType\":\"00\"}}", "not valid base64"},
        {"{\"$binary\":{\"base64\":\"Y Q=\",\"subType\":\"00\"}}", "not valid base64"},
    };
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        json_t *json NSM_CLEANUP(json_decrefp) = NULL;
        assert_null(nsm_json_parse(nsm_str_of(cases[index].text), &json));
        struct nsm_value value = {0};
        assert_refused(nsm_json_read_value(&batch, json, NSM_TEXT, 0, &value),
                       cases[index].expected);
    }
    nsm_batch_release(&batch);
}

#define GROUP "{\"name\":\"g\",\"last_delivered_id\":\"1-1\",\"entries_read\":null"
#define STREAM_WITH(groups)                                                                  \
    "{\"last_id\":\"1-0\",\"entries_added\":1,\"max_deleted_id\":\"0-0\",\"groups\":" groups \
    ",\"entries\":[]}"

static void items_not_ours_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum nsm_kind kind;
        const char *text;
        const char *expected;
    } cases[] = {
        {NSM_KIND_STRING, "[]", "found an array"},
        {NSM_KIND_LIST, "{}", "found an object"},
        {NSM_KIND_LIST, "[\"a\",[]]", "element 1"},
        {NSM_KIND_HASH, "[[\"a\"]]", "an array of two"},
        {NSM_KIND_HASH, "[[\"a\",\"b\",\"c\"]]", "an array of two"},
        {NSM_KIND_HASH, "\"a\"", "found a string"},
        {NSM_KIND_ZSET, "[[\"a\",\"1\"]]", "the score"},
        {NSM_KIND_ZSET, "[[\"a\",{\"$float\":\"x\"}]]", "the score"},
        {NSM_KIND_STREAM, "[]", "expected an object"},
        {NSM_KIND_STREAM, "{\"last_id\":\"1-0\",\"entries\":[]}", "expected an object"},
        {NSM_KIND_STREAM,
         "{\"last_id\":\"1-0\",\"entries_added\":1,\"max_deleted_id\":\"0-0\",\"entries\":[1]}",
         "entry 0"},
        {NSM_KIND_STREAM,
         "{\"last_id\":\"1-0\",\"entries_added\":1,\"max_deleted\":\"0-0\",\"entries\":[]}",
         "max_deleted_id"},
        {NSM_KIND_STREAM,
         "{\"last_id\":\"1-0\",\"entries_added\":1,\"max_deleted_id\":\"0-0\",\"entries\":"
         "[[\"1-0\",[\"a\"]]]}",
         "entry 0"},
        {NSM_KIND_STREAM, STREAM_WITH("[1]"), "group 0"},
        {NSM_KIND_STREAM, STREAM_WITH("{}"), "an array of groups"},
        {NSM_KIND_STREAM, STREAM_WITH("[{\"consumers\":[\"a\"]}]"), "group 0"},
        {NSM_KIND_STREAM, STREAM_WITH("[" GROUP ",\"pending\":[[\"1-1\",\"a\",1]]}]"), "pending 0"},
        {NSM_KIND_STREAM, STREAM_WITH("[" GROUP ",\"pending\":[[\"1-1\",\"a\",\"1\",1]]}]"),
         "an integer"},
        {NSM_KIND_STREAM, STREAM_WITH("[" GROUP ",\"more\":[]}]"), "group 0"},
        {NSM_KIND_STREAM, STREAM_WITH("[{\"name\":\"g\",\"entries_read\":1,\"pending\":[]}]"),
         "group 0"},
        {NSM_KIND_STREAM,
         "{\"last_id\":\"1-0\",\"entries_added\":1,\"max_deleted_id\":\"0-0\",\"entries\":"
         "[[{\"$text\":\"group\"},[]]]}",
         "an id"},
        {NSM_KIND_ROW, "[]", "has no items"},
        {NSM_KIND_DUMP, "[]", "has no items"},
    };
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        struct nsm_record *const record = nsm_batch_add(&batch, cases[index].kind, 0);
        assert_refused(nsm_json_read_items(&batch, record, nsm_str_of(cases[index].text)),
                       cases[index].expected);
    }
    nsm_batch_release(&batch);
}

static void whole_scores_are_read_as_floats(void **state)
{
    (void)state;
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    struct nsm_record *const record = nsm_batch_add(&batch, NSM_KIND_ZSET, 0);
    assert_null(nsm_json_read_items(&batch, record, NSM_STR_LIT("[[\"a\",7]]")));
    const struct nsm_value seven = {NSM_FLOAT, NSM_STR_LIT("7")};
    assert_same_value(&record->items[1], &seven);
    nsm_batch_release(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(column_values_come_back),
        cmocka_unit_test(plain_values_come_back_in_their_column),
        cmocka_unit_test(items_of_all_kinds_come_back),
        cmocka_unit_test(spelling_is_as_documented),
        cmocka_unit_test(hostile_json_is_refused),
        cmocka_unit_test(errors_do_not_quote_data),
        cmocka_unit_test(values_not_ours_are_refused),
        cmocka_unit_test(items_not_ours_are_refused),
        cmocka_unit_test(whole_scores_are_read_as_floats),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
