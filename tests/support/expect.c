/* Expectations of errors, with the error's text where they are not met. */
#include "tests/support/expect.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void nsm_assert_ok(struct nsm_error *error)
{
    if (error) {
        char *const text = nsm_error_text(error);
        print_error("%s\n", text);
        free(text);
        nsm_error_free(error);
        fail();
    }
}

/* An error of this code whose text holds this. */
void nsm_assert_error(struct nsm_error *error, enum nsm_code code, const char *holds)
{
    assert_non_null(error);
    char *const text = nsm_error_text(error);
    if (nsm_error_code(error) != code || !strstr(text, holds)) {
        print_error("got %s: %s, wanted %s: %s\n", nsm_code_name(nsm_error_code(error)), text,
                    nsm_code_name(code), holds);
        fail();
    }
    free(text);
    nsm_error_free(error);
}
