/*
 * What the digest must tell apart, and what it must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/engine/record/digest.h"

#define ITEM(t, text)                                                   \
    {                                                                   \
        .type = (t), .bytes = {.ptr = (text), .len = sizeof(text) - 1 } \
    }

static struct nsm_record make_record(enum nsm_kind kind, const char *key, struct nsm_value *items,
                                     size_t n_items)
{
    return (struct nsm_record){
        .kind = kind,
        .key = nsm_str_of(key),
        .expires_at_ms = NSM_NO_EXPIRY,
        .items = items,
        .n_items = n_items,
    };
}

static bool hashes_equal(struct nsm_hash a, struct nsm_hash b)
{
    return a.low == b.low && a.high == b.high;
}

static bool same(const struct nsm_record *a, const struct nsm_record *b)
{
    return hashes_equal(nsm_record_hash(a, 0, 0), nsm_record_hash(b, 0, 0));
}

static struct nsm_hash row_hash(struct nsm_value value, unsigned flags)
{
    const struct nsm_record row = make_record(NSM_KIND_ROW, "", &value, 1);
    return nsm_record_hash(&row, 0, flags);
}

static void order_of_records_does_not_count(void **state)
{
    (void)state;
    const struct nsm_hash a = row_hash((struct nsm_value)ITEM(NSM_TEXT, "a"), 0);
    const struct nsm_hash b = row_hash((struct nsm_value)ITEM(NSM_TEXT, "b"), 0);
    struct nsm_digest ab = {0};
    nsm_digest_add_hash(&ab, a);
    nsm_digest_add_hash(&ab, b);
    struct nsm_digest ba = {0};
    nsm_digest_add_hash(&ba, b);
    nsm_digest_add_hash(&ba, a);
    assert_true(nsm_digest_equals(&ab, &ba));
    assert_int_equal(ab.n_records, 2);

    struct nsm_digest aa = {0};
    nsm_digest_add_hash(&aa, a);
    nsm_digest_add_hash(&aa, a);
    const struct nsm_digest none = {0};
    assert_false(nsm_digest_equals(&aa, &none));
    struct nsm_digest bb = {0};
    nsm_digest_add_hash(&bb, b);
    nsm_digest_add_hash(&bb, b);
    assert_false(nsm_digest_equals(&aa, &bb));
}

static void merge_is_addition_with_carry(void **state)
{
    (void)state;
    struct nsm_digest left = {.low = UINT64_MAX, .high = 5, .n_records = 7};
    const struct nsm_digest right = {.low = 2, .high = UINT64_MAX, .n_records = 3};
    nsm_digest_merge(&left, &right);
    assert_int_equal(left.low, 1);
    assert_int_equal(left.high, 5);
    assert_int_equal(left.n_records, 10);
}

static void text_comes_back(void **state)
{
    (void)state;
    const struct nsm_digest digest = {.low = 0x0123456789abcdef, .high = 0xf0, .n_records = 9};
    char text[33];
    nsm_digest_format(&digest, text);
    assert_string_equal(text, "00000000000000f00123456789abcdef");
    struct nsm_digest back = {0};
    assert_true(nsm_digest_parse(nsm_str_of(text), &back));
    assert_true(nsm_digest_equals(&digest, &back));
    text[3] = 'g';
    assert_false(nsm_digest_parse(nsm_str_of(text), &back));
    assert_false(nsm_digest_parse(NSM_STR_LIT("00"), &back));
    assert_false(nsm_digest_parse((struct nsm_str){0}, &back));
}

static void item_order_counts_where_it_means_something(void **state)
{
    (void)state;
    static const struct {
        enum nsm_kind kind;
        bool counts;
    } cases[] = {
        {NSM_KIND_SET, false}, {NSM_KIND_HASH, false},  {NSM_KIND_ZSET, false},
        {NSM_KIND_LIST, true}, {NSM_KIND_STREAM, true}, {NSM_KIND_ROW, true},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(cases); index++) {
        struct nsm_value one[] = {ITEM(NSM_BYTES, "a"), ITEM(NSM_FLOAT, "1"), ITEM(NSM_BYTES, "b"),
                                  ITEM(NSM_FLOAT, "2")};
        struct nsm_value two[] = {one[2], one[3], one[0], one[1]};
        const struct nsm_record a = make_record(cases[index].kind, "k", one, 4);
        const struct nsm_record b = make_record(cases[index].kind, "k", two, 4);
        assert_int_equal(!same(&a, &b), cases[index].counts);
    }
}

static void pairs_are_not_torn(void **state)
{
    (void)state;
    struct nsm_value one[] = {ITEM(NSM_BYTES, "a"), ITEM(NSM_BYTES, "1"), ITEM(NSM_BYTES, "b"),
                              ITEM(NSM_BYTES, "2")};
    struct nsm_value two[] = {one[0], one[3], one[2], one[1]};
    const struct nsm_record a = make_record(NSM_KIND_HASH, "k", one, 4);
    const struct nsm_record b = make_record(NSM_KIND_HASH, "k", two, 4);
    assert_false(same(&a, &b));
}

static void items_belong_to_their_key(void **state)
{
    (void)state;
    /* x: {1, 2}, y: {3} is not x: {1, 3}, y: {2}, though the items are the same ones. */
    struct nsm_value v1[] = {ITEM(NSM_BYTES, "1"), ITEM(NSM_BYTES, "2")};
    struct nsm_value v2[] = {ITEM(NSM_BYTES, "3")};
    struct nsm_value w1[] = {v1[0], v2[0]};
    struct nsm_value w2[] = {v1[1]};
    const struct nsm_record left[] = {make_record(NSM_KIND_SET, "x", v1, 2),
                                      make_record(NSM_KIND_SET, "y", v2, 1)};
    const struct nsm_record right[] = {make_record(NSM_KIND_SET, "x", w1, 2),
                                       make_record(NSM_KIND_SET, "y", w2, 1)};
    struct nsm_digest a = {0};
    struct nsm_digest b = {0};
    for (size_t index = 0; index < 2; index++) {
        nsm_digest_add_hash(&a, nsm_record_hash(&left[index], 0, 0));
        nsm_digest_add_hash(&b, nsm_record_hash(&right[index], 0, 0));
    }
    assert_false(nsm_digest_equals(&a, &b));
}

static void slices_sum_up_to_the_whole(void **state)
{
    (void)state;
    static const enum nsm_kind kinds[] = {NSM_KIND_SET, NSM_KIND_HASH, NSM_KIND_ZSET};
    struct nsm_value items[] = {ITEM(NSM_BYTES, "a"), ITEM(NSM_FLOAT, "1"), ITEM(NSM_BYTES, "b"),
                                ITEM(NSM_FLOAT, "2"), ITEM(NSM_BYTES, "c"), ITEM(NSM_FLOAT, "3")};
    for (size_t index = 0; index < NSM_COUNT_OF(kinds); index++) {
        struct nsm_record whole = make_record(kinds[index], "key", items, 6);
        whole.expires_at_ms = 1234;
        struct nsm_record first = whole;
        first.n_items = 2;
        first.flags = NSM_RECORD_MORE;
        struct nsm_record middle = first;
        middle.flags |= NSM_RECORD_CONTINUED;
        middle.items += 4;
        struct nsm_record last = middle;
        last.flags = NSM_RECORD_CONTINUED;
        last.items -= 2;
        struct nsm_digest a = {0};
        nsm_digest_add_hash(&a, nsm_record_hash(&whole, 0, 0));
        struct nsm_digest b = {0};
        nsm_digest_add_hash(&b, nsm_record_hash(&first, 0, 0));
        nsm_digest_add_hash(&b, nsm_record_hash(&middle, 0, 0));
        nsm_digest_add_hash(&b, nsm_record_hash(&last, 0, 0));
        assert_true(nsm_digest_equals(&a, &b));
    }
}

static void everything_of_a_record_counts(void **state)
{
    (void)state;
    struct nsm_value items[] = {ITEM(NSM_BYTES, "ab"), ITEM(NSM_BYTES, "c")};
    struct nsm_value shifted[] = {ITEM(NSM_BYTES, "a"), ITEM(NSM_BYTES, "bc")};
    const struct nsm_record record = make_record(NSM_KIND_LIST, "key", items, 2);
    struct nsm_record other = record;
    assert_true(same(&record, &other));
    other.items = shifted;
    assert_false(same(&record, &other));
    other = record;
    other.kind = NSM_KIND_SET;
    assert_false(same(&record, &other));
    other = record;
    other.key = NSM_STR_LIT("kez");
    assert_false(same(&record, &other));
    other = record;
    other.expires_at_ms = 0;
    assert_false(same(&record, &other));
    other = record;
    other.n_items = 1;
    assert_false(same(&record, &other));

    struct nsm_record set = make_record(NSM_KIND_SET, "key", items, 2);
    struct nsm_record expiring = set;
    expiring.expires_at_ms = 1;
    assert_false(same(&set, &expiring));
    set.n_items = 0;
    expiring = set;
    expiring.key = NSM_STR_LIT("kez");
    assert_false(same(&set, &expiring));
}

static void prefixes_do_not_count(void **state)
{
    (void)state;
    static const enum nsm_kind kinds[] = {NSM_KIND_STRING, NSM_KIND_SET};
    struct nsm_value value = ITEM(NSM_BYTES, "v");
    for (size_t index = 0; index < NSM_COUNT_OF(kinds); index++) {
        const struct nsm_record a = make_record(kinds[index], "old:key", &value, 1);
        const struct nsm_record b = make_record(kinds[index], "newer:key", &value, 1);
        assert_true(hashes_equal(nsm_record_hash(&a, 4, 0), nsm_record_hash(&b, 6, 0)));
        assert_false(hashes_equal(nsm_record_hash(&a, 4, 0), nsm_record_hash(&b, 4, 0)));
        assert_true(
            hashes_equal(nsm_record_key_hash(&a, NULL, 4), nsm_record_key_hash(&b, NULL, 6)));
    }
}

static void values_are_told_apart(void **state)
{
    (void)state;
    const struct nsm_value null = {.type = NSM_NULL};
    const struct nsm_value empty = ITEM(NSM_TEXT, "");
    const struct nsm_value one_text = ITEM(NSM_TEXT, "1");
    const struct nsm_value one_int = ITEM(NSM_INT, "1");
    const struct nsm_value one_float = ITEM(NSM_FLOAT, "1.0");
    const struct nsm_value one_exponent = ITEM(NSM_FLOAT, "1e0");
    const struct nsm_value numeric = ITEM(NSM_NUMERIC, "1.0");
    assert_false(hashes_equal(row_hash(null, 0), row_hash(empty, 0)));
    assert_true(hashes_equal(row_hash(one_text, 0), row_hash(one_int, 0)));
    assert_true(hashes_equal(row_hash(one_float, 0), row_hash(one_int, 0)));
    assert_true(hashes_equal(row_hash(one_float, 0), row_hash(one_exponent, 0)));
    assert_false(hashes_equal(row_hash(numeric, 0), row_hash(one_float, 0)));

    const unsigned typed = NSM_DIGEST_TYPED;
    assert_false(hashes_equal(row_hash(one_text, typed), row_hash(one_int, typed)));
    assert_false(hashes_equal(row_hash(one_float, typed), row_hash(one_int, typed)));
    assert_true(hashes_equal(row_hash(one_float, typed), row_hash(one_exponent, typed)));
}

static void floats_count_as_numbers(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"0.1", "0.1000000000000000055511151231257827"},
        {"-0", "0"},
        {"1e300", "1E+300"},
        {"nan", "NaN"},
        {"inf", "Infinity"},
    };
    for (size_t index = 0; index < NSM_COUNT_OF(pairs); index++) {
        const struct nsm_value a = {NSM_FLOAT, nsm_str_of(pairs[index][0])};
        const struct nsm_value b = {NSM_FLOAT, nsm_str_of(pairs[index][1])};
        assert_true(hashes_equal(row_hash(a, 0), row_hash(b, 0)));
    }
    const struct nsm_value up = ITEM(NSM_FLOAT, "inf");
    const struct nsm_value down = ITEM(NSM_FLOAT, "-inf");
    assert_false(hashes_equal(row_hash(up, 0), row_hash(down, 0)));
    const struct nsm_value broken = ITEM(NSM_FLOAT, "1.0x");
    const struct nsm_value other = ITEM(NSM_FLOAT, "1x");
    assert_false(hashes_equal(row_hash(broken, 0), row_hash(other, 0)));
}

static void keys_of_rows_are_their_key_columns(void **state)
{
    (void)state;
    struct nsm_value one[] = {ITEM(NSM_INT, "1"), ITEM(NSM_TEXT, "x"), ITEM(NSM_INT, "2")};
    struct nsm_value two[] = {ITEM(NSM_INT, "1"), ITEM(NSM_TEXT, "y"), ITEM(NSM_INT, "2")};
    const struct nsm_record a = make_record(NSM_KIND_ROW, "", one, 3);
    const struct nsm_record b = make_record(NSM_KIND_ROW, "", two, 3);
    size_t columns[] = {2, 0};
    const struct nsm_object keyed = {.key_columns = columns, .n_key_columns = 2};
    assert_true(
        hashes_equal(nsm_record_key_hash(&a, &keyed, 0), nsm_record_key_hash(&b, &keyed, 0)));
    const struct nsm_object keyless = {0};
    assert_false(
        hashes_equal(nsm_record_key_hash(&a, &keyless, 0), nsm_record_key_hash(&b, &keyless, 0)));
}

/* Around the size at which hashing goes from one call to streaming, every byte still counts. */
static void long_values_count_to_the_last_byte(void **state)
{
    (void)state;
    static char text[5000];
    for (size_t len = 900; len < sizeof(text); len += 13) {
        const struct nsm_value value = {NSM_BYTES, {.ptr = text, .len = len}};
        const struct nsm_hash before = row_hash(value, 0);
        text[len - 1] ^= 1;
        assert_false(hashes_equal(before, row_hash(value, 0)));
        text[len - 1] ^= 1;
        assert_true(hashes_equal(before, row_hash(value, 0)));
    }
}

/* Digests are kept in ledgers and files: a change of the encoding would disown them all. */
static void encoding_is_frozen(void **state)
{
    (void)state;
    struct nsm_value items[] = {ITEM(NSM_BYTES, "a"), ITEM(NSM_FLOAT, "1.50")};
    const struct nsm_record row = make_record(NSM_KIND_ROW, "", items, 2);
    const struct nsm_record zset = make_record(NSM_KIND_ZSET, "k", items, 2);
    struct nsm_digest digest = {0};
    nsm_digest_add_hash(&digest, nsm_record_hash(&row, 0, 0));
    nsm_digest_add_hash(&digest, nsm_record_hash(&zset, 0, NSM_DIGEST_TYPED));
    char text[33];
    nsm_digest_format(&digest, text);
    assert_string_equal(text, "c5a4e385c93085b6d0d131206a7fb3be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_records_does_not_count),
        cmocka_unit_test(merge_is_addition_with_carry),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(item_order_counts_where_it_means_something),
        cmocka_unit_test(pairs_are_not_torn),
        cmocka_unit_test(items_belong_to_their_key),
        cmocka_unit_test(slices_sum_up_to_the_whole),
        cmocka_unit_test(everything_of_a_record_counts),
        cmocka_unit_test(prefixes_do_not_count),
        cmocka_unit_test(values_are_told_apart),
        cmocka_unit_test(floats_count_as_numbers),
        cmocka_unit_test(keys_of_rows_are_their_key_columns),
        cmocka_unit_test(long_values_count_to_the_last_byte),
        cmocka_unit_test(encoding_is_frozen),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
