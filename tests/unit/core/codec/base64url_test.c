#include "core/codec/base64url.h"
#include "tests/support/test.h"

static void assert_pair(const char *hex, const char *text)
{
    uint8_t bytes[64], back[64];
    char out[80];
    size_t n = emk_unhex(hex, bytes, sizeof bytes), len;
    emk_error e;

    assert_ok(emk_base64url_encode(emk_span_of(bytes, n), out, sizeof out, &len, &e), &e);
    assert_string_equal(out, text);
    assert_int_equal(len, strlen(text));
    assert_int_equal(len, EMK_BASE64URL_CHARS(n));
    assert_ok(emk_base64url_decode(emk_span_str(text), back, sizeof back, &len, &e), &e);
    assert_bytes(emk_span_of(back, len), emk_span_of(bytes, n));
}

static void text_and_bytes_are_one_to_one(void **state)
{
    (void)state;
    assert_pair("", "");
    assert_pair("66", "Zg");
    assert_pair("666f", "Zm8");
    assert_pair("666f6f", "Zm9v");
    assert_pair("666f6f62", "Zm9vYg");
    assert_pair("fbff", "-_8");
    assert_pair("00108310518720928b30d38f41149351559761969b71d79f8218a39259a7a29aabb2dbafc31cb3d3"
                "5db7e39ebbf3dfbf",
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
}

static void assert_rejected(const char *text, size_t len, uint64_t where)
{
    uint8_t out[64] = {0x55};
    size_t n = 99;
    emk_error e;

    assert_status(emk_base64url_decode(emk_span_of(text, len), out, sizeof out, &n, &e),
                  EMK_E_FORMAT, &e);
    assert_int_equal(e.where, where);
    assert_int_equal(n, 99);
    assert_int_equal(out[0], 0x55);
}

static void rejects_padding(void **state)
{
    (void)state;
    assert_rejected("Zg==", 4, 2);
}

static void rejects_white_space(void **state)
{
    (void)state;
    assert_rejected("Zm 9v", 5, 2);
    assert_rejected("Zm9v\n", 5, 4);
}

static void rejects_the_other_alphabet(void **state)
{
    (void)state;
    assert_rejected("+/8A", 4, 0);
    assert_rejected("Zm/v", 4, 2);
}

static void rejects_every_other_byte(void **state)
{
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int accepted = 0;

    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[2] = {(char)c, 'A'};
        uint8_t out[4];
        size_t n;
        bool in = c && strchr(alphabet, c);

        /* the second character ends in zero bits, so only the first can be wrong */
        assert_int_equal(emk_base64url_decode(emk_span_of(text, 2), out, 4, &n, NULL),
                         in ? EMK_OK : EMK_E_FORMAT);
        accepted += in;
    }
    assert_int_equal(accepted, 64);
}

static void rejects_length_of_one_over_four(void **state)
{
    (void)state;
    assert_rejected("A", 1, 1);
    assert_rejected("Zm9vA", 5, 5);
}

static void rejects_left_over_bits_that_are_not_zero(void **state)
{
    (void)state;
    assert_rejected("Zh", 2, 1);
    assert_rejected("Zm9", 3, 2);
    assert_rejected("Zm-", 3, 2);
    assert_rejected("Zm9vZo", 6, 5);
}

static void rejects_storage_that_is_too_small(void **state)
{
    uint8_t bytes[3] = {1, 2, 3};
    char text[5] = "xxxx";
    size_t n = 7;

    (void)state;
    assert_int_equal(emk_base64url_decode(emk_span_str("Zm9v"), bytes, 2, &n, NULL), EMK_E_LIMIT);
    assert_int_equal(emk_base64url_encode(emk_span_of("foo", 3), text, 4, &n, NULL), EMK_E_LIMIT);
    assert_int_equal(emk_base64url_encode(emk_span_of("foo", 0), text, 0, &n, NULL), EMK_E_LIMIT);
    assert_int_equal(n, 7);
    assert_int_equal(bytes[0], 1);
    assert_string_equal(text, "xxxx");
    assert_int_equal(emk_base64url_decode(emk_span_str("Zm9v"), bytes, 3, &n, NULL), EMK_OK);
    assert_int_equal(emk_base64url_encode(emk_span_of("foo", 3), text, 5, &n, NULL), EMK_OK);
}

static void exact_storage_is_enough_for_every_length(void **state)
{
    uint8_t bytes[32] = {0xff, 1, 2, 3};
    char text[64];
    size_t n;

    (void)state;
    for (size_t len = 0; len <= sizeof bytes; len++) {
        emk_span in = emk_span_of(bytes, len);
        size_t chars = EMK_BASE64URL_CHARS(len);

        assert_int_equal(emk_base64url_encode(in, text, chars, &n, NULL), EMK_E_LIMIT);
        assert_int_equal(emk_base64url_encode(in, text, chars + 1, &n, NULL), EMK_OK);
        assert_int_equal(n, chars);
    }
}

int main(void)
{
    return EMK_RUN(emk_rule(text_and_bytes_are_one_to_one), emk_rule(rejects_padding),
                   emk_rule(rejects_white_space), emk_rule(rejects_the_other_alphabet),
                   emk_rule(rejects_every_other_byte), emk_rule(rejects_length_of_one_over_four),
                   emk_rule(rejects_left_over_bits_that_are_not_zero),
                   emk_rule(rejects_storage_that_is_too_small),
                   emk_rule(exact_storage_is_enough_for_every_length));
}
