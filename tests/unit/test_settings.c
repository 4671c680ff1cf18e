/*
 * The values of an adapter's options, what messages say about a wrong one, and what is hidden of a
 * URL.
 */
#include "migrate/base/alloc.h"
#include "migrate/base/hint.h"
#include "migrate/engine/record/settings.h"
#include "migrate/engine/record/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct nsm_option table[] = {
    {.key = "host", .type = NSM_OPTION_STRING, .default_text = "localhost", .help = "a host"},
    {.key = "url", .type = NSM_OPTION_URL, .help = "where it is"},
    {.key = "password", .type = NSM_OPTION_STRING, .flags = NSM_OPTION_SECRET, .help = "a secret"},
    {.key = "pin", .type = NSM_OPTION_U64, .flags = NSM_OPTION_SECRET, .help = "a secret"},
    {.key = "prefix", .type = NSM_OPTION_STRING, .flags = NSM_OPTION_BYTES, .help = "bytes"},
    {.key = "file", .type = NSM_OPTION_PATH, .help = "a file"},
    {.key = "tls", .type = NSM_OPTION_BOOL, .default_text = "false", .help = "whether"},
    {.key = "port", .type = NSM_OPTION_U64, .default_text = "6379", .help = "a port"},
    {.key = "timeout", .type = NSM_OPTION_DURATION, .default_text = "5s", .help = "how long"},
    {.key = "slice", .type = NSM_OPTION_SIZE, .default_text = "16MiB", .help = "how much"},
    {.key = "mode", .type = NSM_OPTION_ENUM, .choices = "fast|careful", .help = "how"},
    {.key = "tables", .type = NSM_OPTION_LIST, .help = "which"},
    {0},
};

static const struct nsm_option either[] = {
    {.key = "schema",
     .type = NSM_OPTION_STRING,
     .flags = NSM_OPTION_REQUIRED,
     .help = "a schema",
     .excludes = "table|tables"},
    {.key = "table", .type = NSM_OPTION_STRING, .flags = NSM_OPTION_REQUIRED, .help = "a table"},
    {.key = "tables", .type = NSM_OPTION_LIST, .help = "tables", .excludes = "table"},
    {.key = "where",
     .type = NSM_OPTION_STRING,
     .default_text = "true",
     .help = "a condition",
     .excludes = "schema"},
    {0},
};

static void set(struct nsm_settings *settings, const char *key, const char *text)
{
    assert_null(nsm_settings_set(settings, key, nsm_str_of(text)));
}

static void assert_error(struct nsm_error *error, enum nsm_code code, const char *expected)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *owned = error;
    assert_non_null(owned);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(owned);
    assert_string_equal(text, expected);
    assert_int_equal(nsm_error_code(owned), code);
}

static void assert_refused(const char *key, struct nsm_str text, const char *expected)
{
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    assert_error(nsm_settings_set(settings, key, text), NSM_E_INVALID, expected);
    assert_false(nsm_settings_has(settings, key));
}

static void assert_finish_error(struct nsm_settings *settings, const char *expected)
{
    assert_error(nsm_settings_finish(settings), NSM_E_INVALID, expected);
}

/* ---- hints ---- */

static void assert_quoted(struct nsm_str text, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_quote(text, &out);
    assert_string_equal(out.ptr, expected);
}

static void test_quote(void **state)
{
    (void)state;
    assert_quoted(NSM_STR_LIT(""), "\"\"");
    assert_quoted(NSM_STR_LIT("plain"), "\"plain\"");
    assert_quoted(NSM_STR_LIT("a\"b\\c"), "\"a\\\"b\\\\c\"");
    assert_quoted(NSM_STR_LIT("\n\t\0\x1b[31m"), "\"\\n\\t\\x00\\x1b[31m\"");
    assert_quoted(NSM_STR_LIT("caf\xc3\xa9 \xf0\x9f\x90\x98"), "\"caf\xc3\xa9 \xf0\x9f\x90\x98\"");
    /* Control characters of Latin-1, broken and cut sequences. */
    assert_quoted(NSM_STR_LIT("\xc2\x9b"), "\"\\xc2\\x9b\"");
    assert_quoted(NSM_STR_LIT("\xff\xc3"), "\"\\xff\\xc3\"");
    assert_quoted(NSM_STR_LIT("0123456789012345678901234567890123456789012345678901234567891"),
                  "\"012345678901234567890123456789012345678901234567890123456789...\"");
}

static void assert_nearest(const char *text, const char *words, const char *expected)
{
    struct nsm_nearest nearest = nsm_nearest_to(nsm_str_of(text));
    nsm_nearest_offer_words(&nearest, words);
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_nearest_write(&nearest, &out);
    assert_string_equal(out.ptr, expected);
}

static void test_nearest(void **state)
{
    (void)state;
    const char *const words = "backend|prefix|match|url|on_error";
    assert_nearest("bakend", words, "; did you mean \"backend\"?");
    assert_nearest("backned", words, "; did you mean \"backend\"?");
    assert_nearest("Backend", words, "; did you mean \"backend\"?");
    assert_nearest("ulr", words, "; did you mean \"url\"?");
    assert_nearest("on-error", words, "; did you mean \"on_error\"?");
    assert_nearest("perfix", words, "; did you mean \"prefix\"?");
    assert_nearest("suffix", words, "");
    assert_nearest("where", words, "");
    assert_nearest("x", "y|zz", "");
    assert_nearest("", words, "");
    assert_nearest("anything", NULL, "");
    /* The nearer one, and the first of two that are equally near. */
    assert_nearest("cache2", "cache1|cache2|cache3", "; did you mean \"cache2\"?");
    assert_nearest("cache4", "cache1|cache2|cache3", "; did you mean \"cache1\"?");
}

static void test_nearest_looks_at_bounded_text(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_freep) char *longer = nsm_xmalloc(1 << 20);
    memset(longer, 'a', 1 << 20);
    const struct nsm_str text = {.ptr = longer, .len = 1 << 20};
    struct nsm_nearest nearest = nsm_nearest_to(text);
    nsm_nearest_offer(&nearest, text);
    assert_null(nearest.best.ptr);
}

/* ---- values ---- */

static void test_absent(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    assert_false(nsm_settings_has(settings, "host"));
    assert_null(nsm_settings_string(settings, "host"));
    assert_null(nsm_settings_bytes(settings, "prefix").ptr);
    assert_int_equal(nsm_settings_bytes(settings, "prefix").len, 0);
    assert_false(nsm_settings_bool(settings, "tls"));
    assert_int_equal(nsm_settings_u64(settings, "port"), 0);
    assert_int_equal(nsm_settings_list_size(settings, "tables"), 0);
    assert_null(nsm_settings_string(settings, "tables"));
    nsm_settings_free(NULL);
}

static void test_values(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    set(settings, "host", "db");
    set(settings, "host", "db2");
    set(settings, "url", "redis://h");
    set(settings, "file", "./x");
    set(settings, "tls", "true");
    set(settings, "port", "18446744073709551615");
    set(settings, "timeout", "2m");
    set(settings, "slice", "512KiB");
    set(settings, "mode", "careful");
    set(settings, "tables", "a");
    set(settings, "tables", "b");
    assert_null(nsm_settings_set(settings, "prefix", NSM_STR_LIT("a\0b")));
    assert_null(nsm_settings_finish(settings));

    assert_string_equal(nsm_settings_string(settings, "host"), "db2");
    assert_string_equal(nsm_settings_string(settings, "url"), "redis://h");
    assert_string_equal(nsm_settings_string(settings, "file"), "./x");
    assert_true(nsm_settings_bool(settings, "tls"));
    assert_true(nsm_settings_u64(settings, "port") == UINT64_MAX);
    assert_int_equal(nsm_settings_u64(settings, "timeout"), 120000);
    assert_int_equal(nsm_settings_u64(settings, "slice"), 524288);
    assert_string_equal(nsm_settings_string(settings, "mode"), "careful");
    assert_int_equal(nsm_settings_list_size(settings, "tables"), 2);
    assert_string_equal(nsm_settings_list_at(settings, "tables", 0), "a");
    assert_string_equal(nsm_settings_list_at(settings, "tables", 1), "b");
    assert_int_equal(nsm_settings_bytes(settings, "prefix").len, 3);
    assert_memory_equal(nsm_settings_bytes(settings, "prefix").ptr, "a\0b", 4);
}

static void test_defaults(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    assert_null(nsm_settings_finish(settings));
    assert_true(nsm_settings_has(settings, "host"));
    assert_string_equal(nsm_settings_string(settings, "host"), "localhost");
    assert_true(nsm_settings_has(settings, "tls"));
    assert_false(nsm_settings_bool(settings, "tls"));
    assert_int_equal(nsm_settings_u64(settings, "port"), 6379);
    assert_int_equal(nsm_settings_u64(settings, "timeout"), 5000);
    assert_int_equal(nsm_settings_u64(settings, "slice"), 16 << 20);
    assert_false(nsm_settings_has(settings, "url"));
    assert_false(nsm_settings_has(settings, "mode"));
    assert_false(nsm_settings_has(settings, "tables"));
}

static void test_wrong_values(void **state)
{
    (void)state;
    assert_refused("tls", NSM_STR_LIT("yes"), "expected true or false, found \"yes\"");
    assert_refused("port", NSM_STR_LIT("-1"), "expected a whole number, found \"-1\"");
    assert_refused("port", NSM_STR_LIT("18446744073709551616"),
                   "expected a whole number, found \"18446744073709551616\"");
    assert_refused("timeout", NSM_STR_LIT("fast"),
                   "expected a duration like 200ms, found \"fast\"");
    assert_refused("timeout", NSM_STR_LIT("5"), "expected a duration like 200ms, found \"5\"");
    assert_refused("slice", NSM_STR_LIT("4 MiB"), "expected a size like 4MiB, found \"4 MiB\"");
    assert_refused("mode", NSM_STR_LIT("carefull"),
                   "expected one of fast, careful, found \"carefull\"; did you mean \"careful\"?");
    assert_refused("mode", NSM_STR_LIT("wild"), "expected one of fast, careful, found \"wild\"");
    assert_refused("mode", NSM_STR_LIT(""), "expected one of fast, careful, found nothing");
    assert_refused("mode", NSM_STR_LIT("fast|careful"),
                   "expected one of fast, careful, found \"fast|careful\"");
    assert_refused("url", NSM_STR_LIT(""), "expected a URL, found nothing");
    assert_refused("file", NSM_STR_LIT(""), "expected a path, found nothing");
    assert_refused("host", NSM_STR_LIT("a\0b"), "expected a string, found a NUL byte");
    assert_refused("url", NSM_STR_LIT("a\0b"), "expected a URL, found a NUL byte");
    assert_refused("file", NSM_STR_LIT("a\0b"), "expected a path, found a NUL byte");
    assert_refused("tables", NSM_STR_LIT("a\0b"),
                   "expected a sequence of strings, found a NUL byte");
    /* What is secret is not shown. */
    assert_refused("pin", NSM_STR_LIT("hunter2"), "expected a whole number");
}

static void test_unknown_option(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    assert_error(nsm_settings_set(settings, "hots", NSM_STR_LIT("x")), NSM_E_NOTFOUND,
                 "no option \"hots\"");
    assert_null(nsm_option_find(table, "hots"));
    assert_null(nsm_option_find(NULL, "host"));
    assert_ptr_equal(nsm_option_find(table, "url"), &table[1]);
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *none = nsm_settings_new(NULL);
    assert_null(nsm_settings_finish(none));
}

static void test_required_and_excluding(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *none = nsm_settings_new(either);
    assert_finish_error(none, "missing key \"schema\" or \"table\": a schema");

    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *both = nsm_settings_new(either);
    set(both, "table", "t");
    set(both, "schema", "s");
    assert_finish_error(both, "\"schema\" can't stand beside \"table\"");

    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *one = nsm_settings_new(either);
    set(one, "table", "t");
    assert_null(nsm_settings_finish(one));
    assert_string_equal(nsm_settings_string(one, "where"), "true");

    /* A list stands for both required ones; a default doesn't come where it would be excluded. */
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *list = nsm_settings_new(either);
    set(list, "tables", "t");
    assert_null(nsm_settings_finish(list));
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *schema = nsm_settings_new(either);
    set(schema, "schema", "s");
    assert_null(nsm_settings_finish(schema));
    assert_false(nsm_settings_has(schema, "where"));
}

static void assert_written(const struct nsm_settings *settings, const char *expected)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_settings_write(settings, &out);
    assert_string_equal(out.ptr, expected);
}

static void test_write(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    assert_written(settings, "");
    set(settings, "tables", "a\"b");
    set(settings, "tables", "c");
    set(settings, "slice", "1MiB");
    set(settings, "timeout", "1s");
    set(settings, "tls", "true");
    set(settings, "mode", "fast");
    set(settings, "password", "hunter2");
    set(settings, "pin", "1234");
    set(settings, "url", "redis://u:hunter2@h/0?password=hunter2&tls=1");
    assert_null(nsm_settings_set(settings, "prefix", NSM_STR_LIT("\0\"\n\\")));
    assert_written(settings, "url=\"redis://u@h/0?tls=1\" prefix=\"\\x00\\\"\\x0a\\\\\" tls=1 "
                             "timeout=1000 slice=1048576 mode=\"fast\" tables=[\"a\\\"b\",\"c\"]");
}

static void test_substitute(void **state)
{
    (void)state;
    NSM_CLEANUP(nsm_settings_freep) struct nsm_settings *settings = nsm_settings_new(table);
    set(settings, "host", "{schema}.{schema}{other}");
    assert_null(nsm_settings_set(settings, "prefix", NSM_STR_LIT("\0{schema}\0")));
    set(settings, "tables", "{schema}.a");
    set(settings, "tables", "b");
    set(settings, "port", "1");
    assert_null(nsm_settings_finish(settings));
    NSM_CLEANUP(nsm_settings_freep)
    struct nsm_settings *copy = nsm_settings_substitute(settings, "schema", "tenant_1");
    assert_string_equal(nsm_settings_string(copy, "host"), "tenant_1.tenant_1{other}");
    assert_int_equal(nsm_settings_bytes(copy, "prefix").len, 10);
    assert_memory_equal(nsm_settings_bytes(copy, "prefix").ptr, "\0tenant_1\0", 10);
    assert_string_equal(nsm_settings_list_at(copy, "tables", 0), "tenant_1.a");
    assert_string_equal(nsm_settings_list_at(copy, "tables", 1), "b");
    assert_int_equal(nsm_settings_u64(copy, "port"), 1);
    assert_int_equal(nsm_settings_u64(copy, "timeout"), 5000);
    assert_false(nsm_settings_has(copy, "url"));
    /* What a value brings is not looked through again. */
    NSM_CLEANUP(nsm_settings_freep)
    struct nsm_settings *again = nsm_settings_substitute(settings, "schema", "{schema}");
    assert_string_equal(nsm_settings_string(again, "host"), "{schema}.{schema}{other}");
}

/* ---- URLs ---- */

static void assert_redacted(const char *url, const char *shown, const char *stripped)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    nsm_url_redact(nsm_str_of(url), &out);
    assert_string_equal(out.ptr, shown);
    nsm_buf_clear(&out);
    nsm_url_strip(nsm_str_of(url), &out);
    assert_string_equal(out.ptr, stripped);
}

static void test_urls(void **state)
{
    (void)state;
    assert_redacted("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0",
                    "redis://127.0.0.1:6379/0");
    assert_redacted("redis://:secret@h/0", "redis://:***@h/0", "redis://@h/0");
    assert_redacted("postgresql://app:secret@h:5432/db?sslmode=require",
                    "postgresql://app:***@h:5432/db?sslmode=require",
                    "postgresql://app@h:5432/db?sslmode=require");
    assert_redacted("postgresql://app@h/db", "postgresql://app@h/db", "postgresql://app@h/db");
    assert_redacted("postgresql://h/db?password=secret&user=app&sslpassword=x",
                    "postgresql://h/db?password=***&user=app&sslpassword=***",
                    "postgresql://h/db?user=app");
    assert_redacted("postgresql://h/db?PASSWORD=secret", "postgresql://h/db?PASSWORD=***",
                    "postgresql://h/db");
    assert_redacted("postgresql://h/db?pass%77ord=secret", "postgresql://h/db?pass%77ord=***",
                    "postgresql://h/db");
    assert_redacted("postgresql://u:p@h1:1,h2:2/db", "postgresql://u:***@h1:1,h2:2/db",
                    "postgresql://u@h1:1,h2:2/db");
    assert_redacted("postgresql://h1:1,h2:2/db?options=a@b",
                    "postgresql://h1:1,h2:2/db?options=a@b",
                    "postgresql://h1:1,h2:2/db?options=a@b");
    assert_redacted("postgresql:///db?host=/run", "postgresql:///db?host=/run",
                    "postgresql:///db?host=/run");
    assert_redacted("", "", "");
    assert_redacted("nonsense", "nonsense", "nonsense");
    assert_redacted("redis://h?", "redis://h", "redis://h");
}

static void test_urls_with_raw_passwords(void **state)
{
    (void)state;
    assert_redacted("redis://u:p@ss@h/0", "redis://u:***@h/0", "redis://u@h/0");
    assert_redacted("redis://u:p/ss@h/0", "redis://u:***@h/0", "redis://u@h/0");
    assert_redacted("redis://u:p?ss@h/0", "redis://u:***@h/0", "redis://u@h/0");
    assert_redacted("redis://u:p#ss@h/0", "redis://u:***@h/0", "redis://u@h/0");
    assert_redacted("redis://:12/34@h/0", "redis://:***@h/0", "redis://@h/0");
    assert_redacted("u:secret@h", "u:***@h", "u@h");
    assert_redacted("redis:/u:secret@h", "redis:***@h", "redis@h");
}

static void test_connection_strings(void **state)
{
    (void)state;
    assert_redacted("host=db user=app password=secret dbname=x",
                    "host=db user=app password=*** dbname=x", "host=db user=app dbname=x");
    assert_redacted("password = 'se cr\\'et' host=db", "password = *** host=db", " host=db");
    assert_redacted("password=se\\ cret", "password=***", "");
    assert_redacted("password='secret", "password=***", "");
    assert_redacted("password=a://b host=h", "password=*** host=h", " host=h");
    assert_redacted("host=h sslpassword=x", "host=h sslpassword=***", "host=h");
    assert_redacted("host=h passfile=/x", "host=h passfile=/x", "host=h passfile=/x");
    assert_redacted("=x", "=x", "=x");
    assert_redacted("password=", "password=***", "");
    assert_redacted(" host ", " host ", " host ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_nearest_looks_at_bounded_text),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_unknown_option),
        cmocka_unit_test(test_required_and_excluding),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_substitute),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_urls_with_raw_passwords),
        cmocka_unit_test(test_connection_strings),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
