#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "adapters/redis/redis_select.h"
#include "migrate/base/clock.h"

#define MAX_SELECTORS 64

struct found {
    bool is_found[MAX_SELECTORS];
    size_t n_found;
};

static void note(void *arg, size_t selector, struct nsm_str key)
{
    (void)key;
    struct found *const found = arg;
    found->is_found[selector] = true;
    found->n_found++;
}

/* Every selector says of itself what the tree must find, each once. */
static void agrees(const struct nsm_redis_selector *selectors, size_t n_selectors,
                   struct nsm_str key)
{
    struct nsm_redis_tree tree = {0};
    nsm_redis_tree_build(&tree, selectors, n_selectors);
    struct found found = {0};
    nsm_redis_tree_find(&tree, key, note, &found);
    size_t n_matching = 0;
    for (size_t index = 0; index < n_selectors; index++) {
        const bool is_match = nsm_redis_selector_matches(&selectors[index], key);
        if (found.is_found[index] != is_match)
            fail_msg("selector %zu on %.*s", index, NSM_STR_ARG(key));
        n_matching += is_match;
    }
    assert_int_equal(found.n_found, n_matching);
    nsm_redis_tree_release(&tree);
}

static void test_nested_prefixes_and_globs(void **state)
{
    (void)state;
    static const struct nsm_redis_selector selectors[] = {
        {.prefix = {"a:", 2}},     {.prefix = {"a:b:", 4}},
        {.prefix = {"", 0}},       {.prefix = {"a:b:", 4}},
        {.prefix = {"b", 1}},      {.glob = {"a:*:x", 5}},
        {.glob = {"*x", 2}},       {.prefix = {"a:", 2}, .glob = {"b:?", 3}},
        {.prefix = {"\0\xff", 2}},
    };
    static const struct nsm_str keys[] = {
        {"a:b:c", 5}, {"a:b:x", 5}, {"a:", 2},       {"a", 1},  {"", 0},
        {"b", 1},     {"zzz", 3},   {"a:c:x", 5},    {"\0", 1}, {"\0\xff\0", 3},
        {"a:b", 3},   {"a:a", 3},   {"\xff\xff", 2},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(keys); index++)
        agrees(selectors, NSM_COUNT_OF(selectors), keys[index]);
    agrees(selectors, 0, keys[0]);
}

/* Short strings of two letters: every way in which prefixes can nest. */
static void test_random_prefixes(void **state)
{
    (void)state;
    char texts[MAX_SELECTORS][8];
    struct nsm_redis_selector selectors[MAX_SELECTORS];
    for (int round = 0; round < 300; round++) {
        const size_t n = nsm_random_below(MAX_SELECTORS) + 1;
        for (size_t index = 0; index < n; index++) {
            const size_t len = nsm_random_below(6);
            for (size_t at = 0; at < len; at++)
                texts[index][at] = (char)('a' + nsm_random_below(2));
            selectors[index] =
                (struct nsm_redis_selector){.prefix = {.ptr = texts[index], .len = len}};
        }
        char key[8];
        for (size_t at = 0; at < sizeof(key); at++)
            key[at] = (char)('a' + nsm_random_below(2));
        agrees(selectors, n, (struct nsm_str){.ptr = key, .len = nsm_random_below(8)});
    }
}

static void is_pattern(struct nsm_redis_selector selector, const char *expected)
{
    struct nsm_buf out NSM_CLEANUP(nsm_buf_release) = NSM_BUF_TEXT;
    nsm_redis_selector_pattern(&selector, &out);
    assert_string_equal(out.ptr, expected);
}

static void test_patterns_are_escaped(void **state)
{
    (void)state;
    is_pattern((struct nsm_redis_selector){0}, "");
    is_pattern((struct nsm_redis_selector){.prefix = {"a:", 2}}, "a:*");
    is_pattern((struct nsm_redis_selector){.prefix = {"a*[b]?\\", 7}}, "a\\*\\[b\\]\\?\\\\*");
    is_pattern((struct nsm_redis_selector){.glob = {"u:?*", 4}}, "u:?*");
    is_pattern((struct nsm_redis_selector){.prefix = {"*", 1}, .glob = {"u?", 2}}, "\\*u?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_prefixes_and_globs),
        cmocka_unit_test(test_random_prefixes),
        cmocka_unit_test(test_patterns_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
