/* Cutting pg_restore's script into items, whatever texts it holds. */
#include "adapters/postgres/pg_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Needs what is above. */
#include <cmocka.h>

#include "migrate/base/alloc.h"

static void assert_str(struct nsm_str actual, const char *expected)
{
    char *text NSM_CLEANUP(nsm_freep) = nsm_xstrndup(actual);
    assert_string_equal(text, expected);
}

static const char script_text[] =
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Started on 2026-01-01\n\n"
    "SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n"
    "SET default_tablespace = '';\n\n"
    "--\n-- TOC entry 215 (class 1259 OID 16385)\n-- Name: users; Type: TABLE; Schema: app; Owner: "
    "joe\n--\n\n"
    "CREATE TABLE app.users (\n    id integer DEFAULT ';'::text\n);\n\n\n"
    "ALTER TABLE app.users OWNER TO joe;\n\n"
    "SET default_table_access_method = other;\n\n"
    "--\n-- TOC entry 3000 (class 2606 OID 16390)\n-- Dependencies: 215 7 99\n"
    "-- Name: users a; Type: b; Type: CONSTRAINT; Schema: app; Owner: joe\n--\n\n"
    "CREATE FUNCTION app.f() RETURNS text LANGUAGE plpgsql AS $_$\n"
    "-- TOC entry 1 (class 1 OID 1)\nBEGIN $$ ; ' \" /* $$ END; $_$;\n\n\n"
    "ALTER FUNCTION app.f() OWNER TO joe;\n\n"
    "--\n-- TOC entry 3001 (class 0 OID 0)\n-- Dependencies: 215\n"
    "-- Name: TABLE users; Type: COMMENT; Schema: app; Owner: joe\n--\n\n"
    "COMMENT ON TABLE app.users IS 'it''s OWNER TO\n-- TOC entry 5 (class 1 OID 1)\n;';\n\n"
    "/* a /* nested */\n-- TOC entry 6 (class 1 OID 1)\n*/\n"
    "COMMENT ON COLUMN app.users.\"x\n-- TOC entry 7\n\" IS E'a\\'\n-- TOC entry 8\n';\n\n"
    "-- Completed on 2026-01-01\n\n\\unrestrict abc\n\n--\n-- PostgreSQL database dump complete\n--\n";

static void test_items(void **state)
{
    (void)state;
    struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
    struct nsm_pg_script script = {0};
    assert_null(nsm_pg_script_parse(&arena, nsm_str_of(script_text), &script));
    assert_int_equal(script.n_items, 3);

    const struct nsm_pg_item *item = &script.items[0];
    assert_int_equal(item->dump_id, 215);
    assert_string_equal(item->name, "users");
    assert_string_equal(item->type, "TABLE");
    assert_string_equal(item->schema, "app");
    assert_int_equal(item->n_needs, 0);
    assert_non_null(memmem(item->sql.ptr, item->sql.len, "CREATE TABLE", 12));
    assert_null(memmem(item->sql.ptr, item->sql.len, "OWNER", 5));
    assert_str(item->owner_sql, "ALTER TABLE app.users OWNER TO joe;");

    item = &script.items[1];
    assert_int_equal(item->dump_id, 3000);
    assert_int_equal(item->n_needs, 3);
    assert_int_equal(item->needs[0], 215);
    assert_int_equal(item->needs[2], 99);
    assert_string_equal(item->name, "users a; Type: b");
    assert_string_equal(item->type, "CONSTRAINT");
    assert_true(
        nsm_str_starts_with(item->sql, NSM_STR_LIT("SET default_table_access_method = other;")));
    assert_non_null(memmem(item->sql.ptr, item->sql.len, "END; $_$;", 9));
    assert_str(item->owner_sql, "ALTER FUNCTION app.f() OWNER TO joe;");

    item = &script.items[2];
    assert_int_equal(item->dump_id, 3001);
    assert_string_equal(item->type, "COMMENT");
    assert_int_equal(item->owner_sql.len, 0);
    assert_true(item->sql.ptr[item->sql.len - 1] == ';');
    assert_non_null(memmem(item->sql.ptr, item->sql.len, "entry 8", 7));
    assert_null(memmem(item->sql.ptr, item->sql.len, "unrestrict", 10));
}

static void test_statements(void **state)
{
    (void)state;
    struct nsm_str rest = NSM_STR_LIT("-- x;\nGRANT SELECT ON a TO \"b;\"; \n/* ; */ REVOKE ALL ON "
                                      "$1 FROM x; SELECT 'a;' 'b\\'; SELECT 1$a$;$b$; last");
    const char *const expected[] = {"GRANT SELECT ON a TO \"b;\";", "REVOKE ALL ON $1 FROM x;",
                                    "SELECT 'a;' 'b\\';", "SELECT 1$a$;", "$b$; last"};
    struct nsm_str statement = {0};
    for (size_t i = 0; i < NSM_COUNT_OF(expected); i++) {
        assert_true(nsm_pg_next_statement(&rest, &statement));
        assert_str(statement, expected[i]);
    }
    assert_false(nsm_pg_next_statement(&rest, &statement));
}

/* What does not end, ends with the text; nothing is read behind it. */
static void test_open_ends(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 "'",
                                 "E'\\",
                                 "\"",
                                 "$$",
                                 "$a",
                                 "/*",
                                 "/* /* */",
                                 "--",
                                 "-",
                                 "/",
                                 "\\",
                                 "E'",
                                 "$a$ $b$",
                                 "-- TOC entry ",
                                 "-- TOC entry x\n",
                                 ";;",
                                 "SET x",
                                 "-- TOC entry 1 (class",
                                 "-- TOC entry 1\n-- Name: "};
    for (size_t i = 0; i < NSM_COUNT_OF(texts); i++) {
        struct nsm_arena arena NSM_CLEANUP(nsm_arena_release) = NSM_ARENA_INIT;
        const size_t len = strlen(texts[i]);
        char *copy NSM_CLEANUP(nsm_freep) = nsm_xmalloc(len + 1);
        memcpy(copy, texts[i], len);
        struct nsm_pg_script script = {0};
        nsm_error_free(nsm_pg_script_parse(&arena, (struct nsm_str){copy, len}, &script));
        struct nsm_str rest = {copy, len};
        struct nsm_str statement = {0};
        size_t n = 0;
        while (nsm_pg_next_statement(&rest, &statement))
            n++;
        assert_in_range(n, 0, 2);
        assert_in_range(script.n_items, 0, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_open_ends),
    };
    return cmocka_run_group_tests_name("pg_script", tests, NULL, NULL);
}
