/*
 * What tests expect of an error. On the test's main thread: cmocka's assertions leave by longjmp.
 */
#ifndef NSM_TESTS_SUPPORT_EXPECT_H
#define NSM_TESTS_SUPPORT_EXPECT_H

#include "migrate/base/error.h"

/* Both consume the error; the second wants one of this code whose text holds this. */
void nsm_assert_ok(struct nsm_error *error);
void nsm_assert_error(struct nsm_error *error, enum nsm_code code, const char *holds);

#endif
