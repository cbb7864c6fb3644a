#include "server/attest/cbor.h"
#include "tests/support/test.h"

static uint8_t store[1024];

static emk_lax_cbor reader(const char *hex)
{
    emk_lax_cbor c;

    emk_lax_init(&c, emk_span_of(store, emk_unhex(hex, store, sizeof store)));
    return c;
}

static void assert_skip(const char *hex, emk_status want)
{
    emk_lax_cbor c = reader(hex);
    emk_error e;

    emk_lax_skip(&c);
    assert_status(emk_lax_finish(&c, &e), want, &e);
}

static void reads_lengths_that_are_not_the_shortest(void **state)
{
    emk_lax_cbor c = reader("1b0000000000000005 39 0006 590001aa");
    emk_error e;

    (void)state;
    assert_int_equal(emk_lax_int(&c), 5);
    assert_int_equal(emk_lax_int(&c), -7);
    assert_int_equal(emk_lax_bytes(&c).len, 1);
    assert_ok(emk_lax_finish(&c, &e), &e);
}

static void skips_whole_items(void **state)
{
    (void)state;
    assert_skip("a2 01 82 03 04 02 a1 61 61 80", EMK_OK);
    assert_skip("8181818181818100", EMK_OK);
    assert_skip("80", EMK_OK);
}

static void rejects_nesting_beyond_the_limit(void **state)
{
    (void)state;
    assert_skip("818181818181818100", EMK_OK);
    assert_skip("81818181818181818100", EMK_E_LIMIT);
}

static void rejects_items_beyond_the_limit(void **state)
{
    emk_lax_cbor c = reader("9821");
    emk_error e;

    (void)state;
    assert_skip("9821", EMK_E_LIMIT);
    assert_int_equal(emk_lax_array(&c), 0);
    assert_status(emk_lax_finish(&c, &e), EMK_E_LIMIT, &e);
}

static void rejects_indefinite_lengths_tags_floats_and_simple_values(void **state)
{
    (void)state;
    assert_skip("9fff", EMK_E_FORMAT);
    assert_skip("5fff", EMK_E_FORMAT);
    assert_skip("c100", EMK_E_FORMAT);
    assert_skip("f90000", EMK_E_FORMAT);
    assert_skip("f6", EMK_E_FORMAT);
    assert_skip("1c", EMK_E_FORMAT);
}

static void rejects_what_is_cut_short(void **state)
{
    (void)state;
    assert_skip("", EMK_E_FORMAT);
    assert_skip("1901", EMK_E_FORMAT);
    assert_skip("43aabb", EMK_E_FORMAT);
    assert_skip("5bffffffffffffffff", EMK_E_FORMAT);
    assert_skip("8201", EMK_E_FORMAT);
}

static void rejects_bytes_behind_the_item(void **state)
{
    (void)state;
    assert_skip("0000", EMK_E_FORMAT);
}

static void rejects_integer_beyond_63_bits(void **state)
{
    emk_lax_cbor c = reader("1b8000000000000000");
    emk_error e;

    (void)state;
    assert_int_equal(emk_lax_int(&c), 0);
    assert_status(emk_lax_finish(&c, &e), EMK_E_LIMIT, &e);
}

static void rejects_another_kind(void **state)
{
    emk_lax_cbor c = reader("41aa");
    emk_error e;

    (void)state;
    assert_int_equal(emk_lax_text(&c).len, 0);
    assert_status(emk_lax_finish(&c, &e), EMK_E_FORMAT, &e);
}

static void rejects_known_key_that_comes_twice(void **state)
{
    static const char *const NAMES[] = {"a", "b"};
    emk_lax_cbor c = reader("6162 6163 6162");
    uint32_t seen = 0;
    emk_error e;

    (void)state;
    assert_int_equal(emk_lax_key(&c, NAMES, 2, &seen), 1);
    assert_int_equal(emk_lax_key(&c, NAMES, 2, &seen), 2);
    (void)emk_lax_key(&c, NAMES, 2, &seen);
    assert_status(emk_lax_finish(&c, &e), EMK_E_FORMAT, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(reads_lengths_that_are_not_the_shortest), emk_rule(skips_whole_items),
                   emk_rule(rejects_nesting_beyond_the_limit),
                   emk_rule(rejects_items_beyond_the_limit),
                   emk_rule(rejects_indefinite_lengths_tags_floats_and_simple_values),
                   emk_rule(rejects_what_is_cut_short), emk_rule(rejects_bytes_behind_the_item),
                   emk_rule(rejects_integer_beyond_63_bits), emk_rule(rejects_another_kind),
                   emk_rule(rejects_known_key_that_comes_twice));
}
