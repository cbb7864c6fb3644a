#include "core/codec/der.h"
#include "tests/support/test.h"

static uint8_t store[4096];

static emk_der reader(const char *hex)
{
    emk_der d;

    emk_der_init(&d, emk_span_of(store, emk_unhex(hex, store, sizeof store)));
    return d;
}

static void assert_refused(emk_der *d, emk_status want, uint64_t where)
{
    emk_error e;

    assert_status(emk_der_finish(d, &e), want, &e);
    assert_int_equal(e.where, where);
}

static void reads_nested_values(void **state)
{
    emk_der d = reader("300d 020105 0c026162 a104 0402ffee"), in, tagged;
    emk_error e;

    (void)state;
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    assert_int_equal(emk_der_read_uint(&in), 5);
    assert_bytes(emk_der_read(&in, EMK_DER_UTF8), emk_span_str("ab"));
    assert_int_equal(emk_der_peek(&in), EMK_DER_CONTEXT(1));
    emk_der_enter(&in, EMK_DER_CONTEXT(1), &tagged);
    assert_int_equal(emk_der_read(&tagged, EMK_DER_OCTETS).len, 2);
    emk_der_leave(&in, &tagged);
    assert_int_equal(emk_der_peek(&in), 0);
    emk_der_leave(&d, &in);
    assert_ok(emk_der_finish(&d, &e), &e);
}

static void reads_long_tags(void **state)
{
    emk_der d = reader("bf8545 02 0500 9f1f 00");
    emk_error e;

    (void)state;
    assert_int_equal(emk_der_peek(&d), EMK_DER_CONTEXT(709));
    assert_int_equal(emk_der_read_raw(&d).len, 6);
    assert_int_equal(emk_der_read(&d, EMK_DER_CONTEXT_PRIMITIVE(31)).len, 0);
    assert_ok(emk_der_finish(&d, &e), &e);
}

static void refuse_raw(const char *hex, emk_status want, uint64_t where)
{
    emk_der d = reader(hex);

    assert_int_equal(emk_der_read_raw(&d).len, 0);
    assert_refused(&d, want, where);
}

static void rejects_nothing(void **state)
{
    (void)state;
    refuse_raw("", EMK_E_FORMAT, 0);
}

static void rejects_indefinite_length(void **state)
{
    (void)state;
    refuse_raw("3080 0000", EMK_E_FORMAT, 1);
}

static void rejects_length_that_is_not_the_shortest(void **state)
{
    (void)state;
    refuse_raw("04810100", EMK_E_FORMAT, 1);
    refuse_raw("0482000100", EMK_E_FORMAT, 1);
}

static void rejects_length_of_five_bytes(void **state)
{
    (void)state;
    refuse_raw("0485 0100000000", EMK_E_FORMAT, 1);
}

static void rejects_value_that_is_cut_short(void **state)
{
    (void)state;
    refuse_raw("0402aa", EMK_E_FORMAT, 1);
    refuse_raw("0484ffffffff", EMK_E_FORMAT, 1);
    refuse_raw("0482ff", EMK_E_FORMAT, 1);
    refuse_raw("04", EMK_E_FORMAT, 1);
}

static void rejects_tag_zero(void **state)
{
    (void)state;
    refuse_raw("0000", EMK_E_FORMAT, 0);
    refuse_raw("2000", EMK_E_FORMAT, 0);
}

static void rejects_long_tag_that_is_not_the_shortest(void **state)
{
    (void)state;
    refuse_raw("bf1e00", EMK_E_FORMAT, 0);
    refuse_raw("bf808500", EMK_E_FORMAT, 0);
}

static void rejects_long_tag_that_is_cut_short(void **state)
{
    (void)state;
    refuse_raw("bf85", EMK_E_FORMAT, 0);
}

static void rejects_tag_number_beyond_the_limit(void **state)
{
    (void)state;
    refuse_raw("bf8180808000 00", EMK_E_LIMIT, 0);
}

static void rejects_another_tag(void **state)
{
    emk_der d = reader("0101ff");

    (void)state;
    assert_int_equal(emk_der_read(&d, EMK_DER_OCTETS).len, 0);
    assert_refused(&d, EMK_E_FORMAT, 0);
}

static void rejects_bytes_behind_the_value(void **state)
{
    emk_der d = reader("0500 00");

    (void)state;
    emk_der_read_null(&d);
    assert_refused(&d, EMK_E_FORMAT, 2);
}

static void rejects_more_in_a_value_than_expected(void **state)
{
    emk_der d = reader("3004 0500 0500"), in;

    (void)state;
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    emk_der_read_null(&in);
    emk_der_leave(&d, &in);
    assert_refused(&d, EMK_E_FORMAT, 4);
}

static void first_failure_stays_and_gives_zeros(void **state)
{
    emk_der d = reader("3003 0101ff 020105"), in;

    (void)state;
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    assert_int_equal(emk_der_read_uint(&in), 0);
    assert_false(emk_der_read_bool(&in));
    assert_false(emk_der_more(&in));
    emk_der_leave(&d, &in);
    assert_int_equal(emk_der_read_uint(&d), 0);
    emk_der_fail(&d, EMK_E_LIMIT, "later");
    assert_refused(&d, EMK_E_FORMAT, 2);
}

static void reads_whole_numbers(void **state)
{
    emk_der d = reader("020100 02020080 0209 00ffffffffffffffff 0a0102 020180");
    emk_error e;

    (void)state;
    assert_int_equal(emk_der_read_uint(&d), 0);
    assert_int_equal(emk_der_read_uint(&d), 128);
    assert_true(emk_der_read_uint(&d) == UINT64_MAX);
    assert_int_equal(emk_der_read_enum(&d), 2);
    assert_int_equal(emk_der_read_integer(&d).len, 1);
    assert_ok(emk_der_finish(&d, &e), &e);
}

static void refuse_uint(const char *hex, emk_status want)
{
    emk_der d = reader(hex);

    assert_int_equal(emk_der_read_uint(&d), 0);
    assert_refused(&d, want, 2);
}

static void rejects_integer_without_a_byte(void **state)
{
    (void)state;
    refuse_uint("0200", EMK_E_FORMAT);
}

static void rejects_integer_that_is_not_the_shortest(void **state)
{
    (void)state;
    refuse_uint("0202007f", EMK_E_FORMAT);
    refuse_uint("0202ff80", EMK_E_FORMAT);
}

static void rejects_negative_integer(void **state)
{
    (void)state;
    refuse_uint("0201ff", EMK_E_FORMAT);
}

static void rejects_integer_beyond_64_bits(void **state)
{
    (void)state;
    refuse_uint("0209010000000000000000", EMK_E_LIMIT);
    refuse_uint("020a00ffffffffffffffffff", EMK_E_LIMIT);
}

static void rejects_boolean_other_than_00_and_ff(void **state)
{
    emk_der d = reader("010101");

    (void)state;
    assert_false(emk_der_read_bool(&d));
    assert_refused(&d, EMK_E_FORMAT, 2);
    d = reader("0102ffff");
    assert_false(emk_der_read_bool(&d));
    assert_refused(&d, EMK_E_FORMAT, 2);
}

static void rejects_null_with_contents(void **state)
{
    emk_der d = reader("050100");

    (void)state;
    emk_der_read_null(&d);
    assert_refused(&d, EMK_E_FORMAT, 2);
}

static void rejects_malformed_oids(void **state)
{
    static const char *const BAD[] = {"0600", "060180", "06032a8686", "06042a808601"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        emk_der d = reader(BAD[i]);

        assert_int_equal(emk_der_read_oid(&d).len, 0);
        assert_refused(&d, EMK_E_FORMAT, 2);
    }
}

static void reads_bit_strings(void **state)
{
    emk_der d = reader("030205a0 030100");
    uint8_t unused = 9;
    emk_error e;

    (void)state;
    assert_int_equal(emk_der_read_bits(&d, &unused).len, 1);
    assert_int_equal(unused, 5);
    assert_int_equal(emk_der_read_bits(&d, &unused).len, 0);
    assert_int_equal(unused, 0);
    assert_ok(emk_der_finish(&d, &e), &e);
}

static void rejects_malformed_bit_strings(void **state)
{
    static const char *const BAD[] = {"0300", "030208ff", "030101", "03020501"};
    uint8_t unused;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        emk_der d = reader(BAD[i]);

        assert_int_equal(emk_der_read_bits(&d, &unused).len, 0);
        assert_refused(&d, EMK_E_FORMAT, 2);
    }
}

static int64_t time_of(uint8_t tag, const char *text, emk_status want)
{
    uint8_t bytes[64] = {tag, (uint8_t)strlen(text)};
    emk_error e;
    emk_der d;
    int64_t t;

    memcpy(bytes + 2, text, strlen(text));
    emk_der_init(&d, emk_span_of(bytes, 2 + strlen(text)));
    t = emk_der_read_time(&d);
    assert_status(emk_der_finish(&d, &e), want, &e);
    return t;
}

static void reads_times(void **state)
{
    (void)state;
    assert_int_equal(time_of(0x17, "700101000000Z", EMK_OK), 0);
    assert_int_equal(time_of(0x17, "270115080000Z", EMK_OK), 1800000000);
    assert_int_equal(time_of(0x17, "500101000000Z", EMK_OK), -631152000);
    assert_int_equal(time_of(0x18, "20480101000000Z", EMK_OK), 2461449600);
    assert_int_equal(time_of(0x18, "20000229235959Z", EMK_OK), 951868799);
    assert_int_equal(time_of(0x18, "99991231235959Z", EMK_OK), 253402300799);
}

static void rejects_times_that_are_none(void **state)
{
    static const char *const UTC[] = {"700101000000",  "7001010000Z",   "701301000000Z",
                                      "700100000000Z", "700132000000Z", "710229000000Z",
                                      "700101240000Z", "700101006000Z", "700101000060Z",
                                      "70010100000aZ", "700101000000+", "7a0101000000Z"};
    static const char *const GENERALIZED[] = {"20480101000000.5Z", "19000229000000Z",
                                              "2048010100000Z", "-0480101000000Z"};

    (void)state;
    for (size_t i = 0; i < sizeof UTC / sizeof UTC[0]; i++)
        (void)time_of(0x17, UTC[i], EMK_E_FORMAT);
    for (size_t i = 0; i < sizeof GENERALIZED / sizeof GENERALIZED[0]; i++)
        (void)time_of(0x18, GENERALIZED[i], EMK_E_FORMAT);
    (void)time_of(0x04, "700101000000Z", EMK_E_FORMAT);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(reads_nested_values), emk_rule(reads_long_tags), emk_rule(rejects_nothing),
        emk_rule(rejects_indefinite_length), emk_rule(rejects_length_that_is_not_the_shortest),
        emk_rule(rejects_length_of_five_bytes), emk_rule(rejects_value_that_is_cut_short),
        emk_rule(rejects_tag_zero), emk_rule(rejects_long_tag_that_is_not_the_shortest),
        emk_rule(rejects_long_tag_that_is_cut_short), emk_rule(rejects_tag_number_beyond_the_limit),
        emk_rule(rejects_another_tag), emk_rule(rejects_bytes_behind_the_value),
        emk_rule(rejects_more_in_a_value_than_expected),
        emk_rule(first_failure_stays_and_gives_zeros), emk_rule(reads_whole_numbers),
        emk_rule(rejects_integer_without_a_byte),
        emk_rule(rejects_integer_that_is_not_the_shortest), emk_rule(rejects_negative_integer),
        emk_rule(rejects_integer_beyond_64_bits), emk_rule(rejects_boolean_other_than_00_and_ff),
        emk_rule(rejects_null_with_contents), emk_rule(rejects_malformed_oids),
        emk_rule(reads_bit_strings), emk_rule(rejects_malformed_bit_strings), emk_rule(reads_times),
        emk_rule(rejects_times_that_are_none));
}
