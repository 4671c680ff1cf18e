/*
 * The conformance suite's runner: picks the tests that an adapter can be put to, and runs each on a
 * fresh store.
 */
#include "tests/support/conformance.h"

#include "tests/support/conformance_drive.h"
#include "tests/support/conformance_internal.h"

#define MAX_TESTS 64

static int test_setup(void **state)
{
    struct conformance_fixture *const fixture = *state;
    if (fixture->fresh)
        fixture->fresh(fixture);
    return 0;
}

static int test_teardown(void **state)
{
    struct conformance_fixture *const fixture = *state;
    if (fixture->done)
        fixture->done(fixture);
    return 0;
}

static bool has(const struct conformance_fixture *fixture, enum conf_need need)
{
    switch (need) {
    case CONF_NEED_DESTINATION:
        return conf_is_destination(fixture);
    case CONF_NEED_TX_CHECKPOINT:
        return fixture->adapter->caps & NSM_CAP_TX_CHECKPOINT;
    case CONF_NEED_RESET:
        return fixture->adapter->reset_object;
    case CONF_NEED_MISSING:
        return fixture->missing[0];
    case CONF_NEED_LIST:
        return fixture->adapter->list;
    case CONF_NEED_ERASE:
        return fixture->adapter->erase;
    case CONF_NEED_NOTHING:
        break;
    }
    return true;
}

int conformance_run(struct conformance_fixture *fixture)
{
    static const struct conf_test *const lists[] = {conf_reading_tests, conf_writing_tests};
    struct CMUnitTest tests[MAX_TESTS];
    size_t n_tests = 0;
    for (size_t i = 0; i < NSM_COUNT_OF(lists); i++) {
        for (const struct conf_test *test = lists[i]; test->name; test++) {
            assert_true(n_tests < MAX_TESTS);
            if (has(fixture, test->need))
                tests[n_tests++] =
                    (struct CMUnitTest){test->name, test->run, test_setup, test_teardown, fixture};
        }
    }
    return _cmocka_run_group_tests(fixture->name, tests, n_tests, NULL, NULL);
}
