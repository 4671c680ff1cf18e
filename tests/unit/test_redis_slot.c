#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "adapters/redis/redis_slot.h"

/* As CLUSTER KEYSLOT of a Redis tells them. */
static void test_slots_are_those_of_redis(void **state)
{
    (void)state;
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("")), 0);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("123456789")), 12739);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("foo")), 12182);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("\0\xff\r\n")), 6261);
}

static void test_a_tag_is_what_the_first_braces_hold(void **state)
{
    (void)state;
    const unsigned foo = nsm_redis_slot_of(NSM_STR_LIT("foo"));
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("{foo}")), foo);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("a{foo}{b}")), foo);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("}{foo}}")), foo);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("{{foo}}")),
                     nsm_redis_slot_of(NSM_STR_LIT("{foo")));
    /* An empty tag is none, and no other is looked for. */
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("{}{foo}")), 2263);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("{foo")), 13308);
    assert_int_equal(nsm_redis_slot_of(NSM_STR_LIT("foo}")), 15679);
}

static void test_every_slot_has_a_tag(void **state)
{
    (void)state;
    char tag[NSM_REDIS_TAG_BYTES];
    char key[64];
    for (unsigned slot = 0; slot < NSM_REDIS_SLOTS; slot += slot < 97 ? 1 : 97) {
        nsm_redis_slot_tag(slot, tag);
        const int len = snprintf(key, sizeof(key), "nsmigrate:tmp:run:0{%s}", tag);
        assert_int_equal(nsm_redis_slot_of((struct nsm_str){.ptr = key, .len = (size_t)len}), slot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_are_those_of_redis),
        cmocka_unit_test(test_a_tag_is_what_the_first_braces_hold),
        cmocka_unit_test(test_every_slot_has_a_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
