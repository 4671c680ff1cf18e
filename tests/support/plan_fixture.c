/* Parsing of plans for tests; the assertions are cmocka's. */
#include "tests/support/plan_fixture.h"

#include "migrate/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct nsm_plan *nsm_test_parse_at(const char *yaml, const char *path)
{
    struct nsm_plan *plan = NULL;
    NSM_CLEANUP(nsm_error_freep)
    struct nsm_error *error = nsm_plan_parse(nsm_str_of(yaml), path, &nsm_fake_adapters, &plan);
    if (error) {
        NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(error);
        print_error("%s\n", text);
    }
    assert_null(error);
    assert_non_null(plan);
    return plan;
}

struct nsm_plan *nsm_test_parse(const char *yaml)
{
    return nsm_test_parse_at(yaml, "move.yaml");
}

void nsm_test_assert_error(struct nsm_error *error, enum nsm_code code, const char *expected)
{
    NSM_CLEANUP(nsm_error_freep) struct nsm_error *owned = error;
    assert_non_null(owned);
    NSM_CLEANUP(nsm_freep) char *text = nsm_error_text(owned);
    assert_string_equal(text, expected);
    assert_int_equal(nsm_error_code(owned), code);
}

void nsm_test_assert_invalid(struct nsm_str yaml, const char *expected)
{
    struct nsm_plan *plan = NULL;
    struct nsm_error *const error = nsm_plan_parse(yaml, "move.yaml", &nsm_fake_adapters, &plan);
    assert_null(plan);
    nsm_test_assert_error(error, NSM_E_INVALID, expected);
}
