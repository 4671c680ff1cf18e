/* Quoting, COPY data as text and as binary, and the rows that become records. */
#include "adapters/postgres/pg_reader.h"
#include "adapters/postgres/pg_selection.h"
#include "adapters/postgres/pg_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Needs what is above. */
#include <cmocka.h>

#include "migrate/base/alloc.h"
#include "migrate/engine/record/batch.h"

static void assert_str(struct nsm_str actual, const char *bytes, size_t len)
{
    assert_int_equal(actual.len, len);
    if (len)
        assert_memory_equal(actual.ptr, bytes, len);
}

#define ASSERT_STR(actual, literal) assert_str((actual), literal, sizeof(literal) - 1)

static void assert_code(struct nsm_error *error, enum nsm_code code, const char *part)
{
    assert_non_null(error);
    char *text NSM_CLEANUP(nsm_freep) = nsm_error_text(error);
    assert_int_equal(nsm_error_code(error), code);
    assert_non_null(strstr(text, part));
    nsm_error_free(error);
}

static void test_quotes(void **state)
{
    (void)state;
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_pg_quote_ident(&out, "a\"b");
    assert_string_equal(out.ptr, "\"a\"\"b\"");
    nsm_buf_clear(&out);
    nsm_pg_quote_qualified(&out, "S.x", "");
    assert_string_equal(out.ptr, "\"S.x\".\"\"");
    nsm_buf_clear(&out);
    nsm_pg_quote_literal(&out, nsm_str_of("it's \\ all"));
    assert_string_equal(out.ptr, "'it''s \\ all'");
    nsm_buf_clear(&out);
    nsm_pg_array_begin(&out);
    nsm_pg_array_add(&out, "a");
    nsm_pg_array_add(&out, "b\"c\\d,{}");
    nsm_pg_array_add(&out, "");
    nsm_pg_array_end(&out);
    assert_string_equal(out.ptr, "{\"a\",\"b\\\"c\\\\d,{}\",\"\"}");
}

static void check_field(enum nsm_type type, const char *bytes, size_t len, bool is_bytea,
                        const char *expected)
{
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const struct nsm_value value = {.type = type, .bytes = {.ptr = bytes, .len = len}};
    assert_null(nsm_pg_copy_write_field(&out, &value, is_bytea));
    assert_string_equal(out.ptr, expected);
}

static void test_write_field(void **state)
{
    (void)state;
    check_field(NSM_TEXT, "plain", 5, false, "plain");
    check_field(NSM_TEXT, "", 0, false, "");
    check_field(NSM_NULL, NULL, 0, false, "\\N");
    check_field(NSM_NULL, NULL, 0, true, "\\N");
    check_field(NSM_TEXT, "\\N", 2, false, "\\\\N");
    check_field(NSM_TEXT, "a\tb\nc\rd\\", 8, false, "a\\tb\\nc\\rd\\\\");
    check_field(NSM_TEXT, "\\.", 2, false, "\\\\.");
    check_field(NSM_BYTES, "\0\xff\n", 3, true, "\\\\x00ff0a");
    check_field(NSM_BYTES, "", 0, true, "\\\\x");
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const struct nsm_value nul = {.type = NSM_TEXT, .bytes = {.ptr = "a\0b", .len = 3}};
    assert_code(nsm_pg_copy_write_field(&out, &nul, false), NSM_E_UNSUPPORTED, "NUL");
}

static void test_read_field(void **state)
{
    (void)state;
    char memory[256];
    char *at = memory;
    struct nsm_str line = NSM_STR_LIT("1\t\\N\t\ta\\tb\\\\\\N\t\\b\\f\\n\\r\\v\\q\\101\\x41\\\n");
    struct nsm_str field = {0};
    bool is_null = false;
    assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    ASSERT_STR(field, "1");
    assert_false(is_null);
    assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    assert_true(is_null);
    assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    assert_false(is_null);
    assert_int_equal(field.len, 0);
    assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    ASSERT_STR(field, "a\tb\\N");
    assert_false(is_null);
    assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    ASSERT_STR(field, "\b\f\n\r\vqAA\\");
    assert_false(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    line = NSM_STR_LIT("\n");
    assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
    assert_int_equal(field.len, 0);
    assert_false(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
}

/* Whatever is written is read back. */
static void test_round_trip(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char bytes[] = {(char)c, 'N', (char)c, '\\', (char)c};
        const struct nsm_value value = {.type = NSM_TEXT, .bytes = {bytes, sizeof(bytes)}};
        struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
        assert_null(nsm_pg_copy_write_field(&out, &value, false));
        nsm_buf_append_char(&out, '\n');
        assert_null(memchr(out.ptr, '\t', out.len));
        assert_ptr_equal(memchr(out.ptr, '\n', out.len), out.ptr + out.len - 1);
        struct nsm_str line = nsm_buf_view(&out);
        char memory[64];
        char *at = memory;
        struct nsm_str field = {0};
        bool is_null = false;
        assert_true(nsm_pg_copy_read_field(&line, &at, &field, &is_null));
        assert_str(field, bytes, sizeof(bytes));
    }
}

static void test_bytea(void **state)
{
    (void)state;
    char good[] = "\\x00Ff5c";
    struct nsm_str field = {good, strlen(good)};
    assert_true(nsm_pg_bytea_decode(&field));
    ASSERT_STR(field, "\0\xff\\");
    char empty[] = "\\x";
    field = (struct nsm_str){empty, 2};
    assert_true(nsm_pg_bytea_decode(&field));
    assert_int_equal(field.len, 0);
    const char *const bad[] = {"", "\\", "x00", "\\x0", "\\x0g", "\\000", "ab"};
    for (size_t i = 0; i < NSM_COUNT_OF(bad); i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%s", bad[i]);
        field = (struct nsm_str){text, strlen(text)};
        assert_false(nsm_pg_bytea_decode(&field));
    }
}

static void test_binary(void **state)
{
    (void)state;
    assert_int_equal(NSM_PG_BINARY_HEADER.len, 19);
    struct nsm_str data = NSM_STR_LIT("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\3abc\0\1");
    assert_true(nsm_pg_binary_skip_header(&data));
    ASSERT_STR(data, "\0\1");
    data = NSM_PG_BINARY_HEADER;
    assert_true(nsm_pg_binary_skip_header(&data));
    assert_int_equal(data.len, 0);
    data = NSM_STR_LIT("PGCOPY\n\377\r\n\0\0\0\0\0\377\377\377\377abc");
    assert_false(nsm_pg_binary_skip_header(&data));
    data = NSM_STR_LIT("PGCOPY\n\377\r\n\0\0\0");
    assert_false(nsm_pg_binary_skip_header(&data));
    data = NSM_STR_LIT("1\tan ordinary line of text\n");
    assert_false(nsm_pg_binary_skip_header(&data));
    assert_true(nsm_pg_binary_is_trailer(NSM_STR_LIT("\377\377")));
    assert_false(nsm_pg_binary_is_trailer(NSM_STR_LIT("\0\1")));
    assert_false(nsm_pg_binary_is_trailer(NSM_STR_LIT("\377\377\377")));
}

static void test_rows(void **state)
{
    (void)state;
    struct nsm_column columns[] = {
        {.name = "i", .type = NSM_INT, .type_name = "integer"},
        {.name = "f", .type = NSM_FLOAT, .type_name = "double precision"},
        {.name = "b", .type = NSM_BYTES, .type_name = "bytea"},
    };
    const struct nsm_object object = {.name = "t", .columns = columns, .n_columns = 3};
    struct nsm_batch batch;
    nsm_batch_init(&batch, NSM_LANE_RECORD);
    assert_null(nsm_pg_read_row(&batch, &object, NSM_STR_LIT("-7\tInfinity\t\\\\x6100\n")));
    assert_null(nsm_pg_read_row(&batch, &object, NSM_STR_LIT("\\N\t1e+20\t\\N\n")));
    assert_int_equal(batch.n_records, 2);
    ASSERT_STR(batch.records[0].items[0].bytes, "-7");
    ASSERT_STR(batch.records[0].items[1].bytes, "inf");
    ASSERT_STR(batch.records[0].items[2].bytes, "a\0");
    assert_int_equal(batch.records[1].items[0].type, NSM_NULL);
    assert_int_equal(batch.records[1].items[1].type, NSM_FLOAT);
    assert_int_equal(batch.records[1].items[2].type, NSM_NULL);
    assert_code(nsm_pg_read_row(&batch, &object, NSM_STR_LIT("1\t2\n")), NSM_E_INTERNAL,
                "2 columns instead of 3");
    assert_code(nsm_pg_read_row(&batch, &object, NSM_STR_LIT("1\t2\t\\\\x\t4\n")), NSM_E_INTERNAL,
                "more than 3");
    assert_code(nsm_pg_read_row(&batch, &object, NSM_STR_LIT("1\tx\t\\\\x\n")), NSM_E_INTERNAL,
                "column f");
    assert_code(nsm_pg_read_row(&batch, &object, NSM_STR_LIT("1\t1\tx\n")), NSM_E_INTERNAL,
                "column b");
    nsm_batch_release(&batch);
}

static void check_copy_out(const struct nsm_pg_piece *piece, const char *expected)
{
    struct nsm_column columns[] = {{.name = "a\"b"}, {.name = "c"}};
    const struct nsm_object object = {
        .schema = "s", .name = "t", .columns = columns, .n_columns = 2};
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    assert_null(nsm_pg_write_copy_out(&sql, &object, piece, true));
    struct nsm_buf whole NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_buf_printf(&whole,
                   "COPY (SELECT \"a\"\"b\", \"c\", ctid FROM ONLY \"s\".\"t\"%s) TO STDOUT "
                   "(FORMAT binary)",
                   expected);
    assert_string_equal(sql.ptr, whole.ptr);
}

static void test_copy_statement(void **state)
{
    (void)state;
    check_copy_out(&(struct nsm_pg_piece){0}, "");
    check_copy_out(&(struct nsm_pg_piece){.range = NSM_STR_LIT("10-20"), .where = "c > 1 -- x"},
                   " WHERE ctid >= '(10,0)'::tid AND ctid < '(20,0)'::tid AND (c > 1 -- x\n)");
    check_copy_out(&(struct nsm_pg_piece){.range = NSM_STR_LIT("20-")},
                   " WHERE ctid >= '(20,0)'::tid");
    check_copy_out(
        &(struct nsm_pg_piece){.range = NSM_STR_LIT("20-"), .behind = NSM_STR_LIT("(21,7)")},
        " WHERE ctid > '(21,7)'::tid");
    check_copy_out(&(struct nsm_pg_piece){.range = NSM_STR_LIT("20-30"),
                                          .behind = NSM_STR_LIT("(21,7)"),
                                          .where = "x"},
                   " WHERE ctid > '(21,7)'::tid AND ctid < '(30,0)'::tid AND (x\n)");
    check_copy_out(&(struct nsm_pg_piece){.where = "x"}, " WHERE (x\n)");
}

static void test_bad_pieces(void **state)
{
    (void)state;
    const struct nsm_object object = {.schema = "s", .name = "t"};
    struct nsm_buf sql NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    const char *const ranges[] = {"x", "1", "-", "1-x", "-2", "1;2-3"};
    for (size_t i = 0; i < NSM_COUNT_OF(ranges); i++)
        assert_code(nsm_pg_write_copy_out(&sql, &object,
                                          &(struct nsm_pg_piece){.range = nsm_str_of(ranges[i])},
                                          false),
                    NSM_E_CORRUPT, "range");
    const char *const places[] = {"(",    "()",     "(1)",       "(1,)",           "(,1)",
                                  "1,1",  "(1,1)'", "(1,65536)", "(4294967296,1)", "(-1,1)",
                                  "(1,1", ",",      "(1,1,1)"};
    for (size_t i = 0; i < NSM_COUNT_OF(places); i++)
        assert_code(nsm_pg_write_copy_out(&sql, &object,
                                          &(struct nsm_pg_piece){.behind = nsm_str_of(places[i])},
                                          false),
                    NSM_E_CORRUPT, "place");
}

static void test_places(void **state)
{
    (void)state;
    char place[NSM_PG_PLACE_BYTES];
    char binary[] = "\0\2\0\0\0\1x\0\0\0\6\0\1\0\2\1\3";
    size_t len = sizeof(binary) - 1;
    assert_true(nsm_pg_cut_place_binary(binary, &len, place));
    assert_str((struct nsm_str){binary, len}, "\0\1\0\0\0\1x", 7);
    assert_string_equal(place, "(65538,259)");
    assert_false(nsm_pg_cut_place_binary(binary, &len, place));
    char no_place[] = "\0\1\377\377\377\377123456";
    len = sizeof(no_place) - 1;
    assert_false(nsm_pg_cut_place_binary(no_place, &len, place));
    char text[] = "a\t\\t\t(4294967295,65535)\n";
    len = strlen(text);
    assert_true(nsm_pg_cut_place_text(text, &len, place));
    assert_str((struct nsm_str){text, len}, "a\t\\t\n", 5);
    assert_string_equal(place, "(4294967295,65535)");
    char alone[] = "(0,1)\n";
    len = strlen(alone);
    assert_true(nsm_pg_cut_place_text(alone, &len, place));
    assert_str((struct nsm_str){alone, len}, "\n", 1);
    assert_string_equal(place, "(0,1)");
    len = 0;
    assert_false(nsm_pg_cut_place_text(alone, &len, place));
    char longer[] = "a\tsomething that is no place at all\n";
    len = strlen(longer);
    assert_false(nsm_pg_cut_place_text(longer, &len, place));
}

static void test_patterns(void **state)
{
    (void)state;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_pattern pattern;
    assert_null(nsm_pg_pattern_parse(&arena, "app.user*", true, &pattern));
    assert_string_equal(pattern.schema, "app");
    assert_string_equal(pattern.name, "user*");
    assert_true(pattern.is_name_glob);
    assert_false(pattern.is_schema_glob);
    assert_null(nsm_pg_pattern_parse(&arena, "\"a.b\"\"c\".\"d*\"", true, &pattern));
    assert_string_equal(pattern.schema, "a.b\"c");
    assert_string_equal(pattern.name, "d*");
    assert_false(pattern.is_name_glob);
    assert_null(nsm_pg_pattern_parse(&arena, "Users", false, &pattern));
    assert_string_equal(pattern.schema, "public");
    assert_string_equal(pattern.name, "Users");
    assert_null(nsm_pg_pattern_parse(&arena, "a*.b?", false, &pattern));
    assert_false(pattern.is_schema_glob || pattern.is_name_glob);
    const char *const bad[] = {"", ".", "a.", ".b", "a.b.c", "\"a", "\"a\"b", "\"\".x", "a.b."};
    for (size_t i = 0; i < NSM_COUNT_OF(bad); i++)
        assert_code(nsm_pg_pattern_parse(&arena, bad[i], true, &pattern), NSM_E_INVALID,
                    "expected schema.table");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotes),     cmocka_unit_test(test_write_field),
        cmocka_unit_test(test_read_field), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bytea),      cmocka_unit_test(test_binary),
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_copy_statement),
        cmocka_unit_test(test_bad_pieces), cmocka_unit_test(test_places),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests_name("pg_text", tests, NULL, NULL);
}
