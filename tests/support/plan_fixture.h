/*
 * Plans for tests, made from text with the fake adapters.
 */
#ifndef NSM_TESTS_PLAN_FIXTURE_H
#define NSM_TESTS_PLAN_FIXTURE_H

#include "migrate/base/error.h"
#include "migrate/engine/plan.h"
#include "tests/support/fake_adapters.h"

/* Eight lines; what follows begins at line 9, with "  - ". */
#define NSM_TEST_PLAN_HEAD                                    \
    "version: 1\n"                                            \
    "backends:\n"                                             \
    "  cache: {adapter: keys, url: \"redis://c\"}\n"          \
    "  other: {adapter: keys, url: \"redis://o\"}\n"          \
    "  app: {adapter: rows, url: \"postgresql://app@h/a\"}\n" \
    "  dr: {adapter: rows, url: \"postgresql://h/dr\"}\n"     \
    "  dump: {adapter: files, path: ./dump}\n"                \
    "namespaces:\n"

#define NSM_TEST_PLAN_ONE \
    NSM_TEST_PLAN_HEAD "  - {name: a, source: {backend: cache}, destination: {backend: app}}\n"

/* The plan of that text, which must be a right one; owned by the caller. The path of the first is
 * move.yaml. */
struct nsm_plan *nsm_test_parse(const char *yaml) NSM_MUST_USE;
struct nsm_plan *nsm_test_parse_at(const char *yaml, const char *path) NSM_MUST_USE;

/* NSM_E_INVALID with exactly that message, for a text at move.yaml. */
void nsm_test_assert_invalid(struct nsm_str yaml, const char *expected);

/* Consumes the error. */
void nsm_test_assert_error(struct nsm_error *error, enum nsm_code code, const char *expected);

#endif
