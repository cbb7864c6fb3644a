#include "core/jose/jwe.h"

#include "core/crypto/keywrap.h"
#include "tests/unit/core/crypto/context.h"

static const uint8_t KEK[32] = {7};
static const char HEADER[] = "{\"alg\":\"A256KW\",\"enc\":\"A256GCM\"}";

static void what_is_sealed_opens(void **state)
{
    emk_buf token, out;
    emk_error e;

    (void)state;
    emk_buf_init(&token, 4096);
    emk_buf_init(&out, 4096);
    assert_ok(emk_jwe_seal(test_crypto(), SPAN(KEK), emk_span_str(HEADER), emk_span_str("hello"),
                           &token, &e),
              &e);
    assert_ok(emk_jwe_open(test_crypto(), SPAN(KEK), emk_buf_span(&token), &out, &e), &e);
    assert_bytes(emk_buf_span(&out), emk_span_str("hello"));
    emk_buf_done(&out);
    emk_buf_done(&token);
}

static void every_failure_to_decrypt_says_the_same_and_gives_nothing(void **state)
{
    uint8_t other[32] = {8};
    emk_buf token, out;
    emk_error e;

    (void)state;
    emk_buf_init(&token, 4096);
    emk_buf_init(&out, 4096);
    assert_ok(emk_jwe_seal(test_crypto(), SPAN(KEK), emk_span_str(HEADER), emk_span_str("hello"),
                           &token, &e),
              &e);
    assert_status(emk_jwe_open(test_crypto(), SPAN(other), emk_buf_span(&token), &out, &e),
                  EMK_E_SEALED, &e);
    assert_string_equal(e.what, "jwe: cannot be decrypted");
    for (size_t i = sizeof HEADER + 20; i < token.len; i++) {
        uint8_t was = token.p[i];
        emk_status st;

        if (was == '.')
            continue;
        token.p[i] = was == 'A' ? 'B' : 'A';
        st = emk_jwe_open(test_crypto(), SPAN(KEK), emk_buf_span(&token), &out, &e);
        assert_true(st == EMK_E_SEALED || st == EMK_E_FORMAT);
        if (st == EMK_E_SEALED)
            assert_string_equal(e.what, "jwe: cannot be decrypted");
        token.p[i] = was;
    }
    assert_int_equal(out.len, 0);
    emk_buf_done(&out);
    emk_buf_done(&token);
}

static void the_key_has_one_length(void **state)
{
    emk_buf out;
    emk_error e;

    (void)state;
    emk_buf_init(&out, 64);
    assert_status(emk_jwe_open(test_crypto(), emk_span_of(KEK, 16), emk_span_str("...."), &out, &e),
                  EMK_E_USAGE, &e);
}

/* RFC 3394 4.6, and lengths around the limits. */
static void wraps_keys_as_rfc_3394(void **state)
{
    uint8_t kek[32], key[32], want[40], made[72], back[64];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 32; i++)
        kek[i] = (uint8_t)i;
    (void)emk_unhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f", key, 32);
    (void)emk_unhex(
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21", want,
        40);
    assert_ok(emk_keywrap_wrap(test_crypto(), SPAN(kek), SPAN(key), made, &e), &e);
    assert_bytes(emk_span_of(made, 40), SPAN(want));
    assert_ok(emk_keywrap_unwrap(test_crypto(), SPAN(kek), SPAN(want), back, &e), &e);
    assert_bytes(emk_span_of(back, 32), SPAN(key));
    want[3] ^= 1;
    assert_status(emk_keywrap_unwrap(test_crypto(), SPAN(kek), SPAN(want), back, &e), EMK_E_SEALED,
                  &e);
    for (size_t n = 0; n <= sizeof made; n++) {
        bool fits = n >= 24 && n <= 72 && n % 8 == 0;

        memset(made, 0, sizeof made);
        assert_status(emk_keywrap_unwrap(test_crypto(), SPAN(kek), emk_span_of(made, n), back, &e),
                      EMK_E_SEALED, &e);
        assert_status(emk_keywrap_wrap(test_crypto(), SPAN(kek), emk_span_of(kek, 0), made, &e),
                      EMK_E_USAGE, &e);
        (void)fits;
    }
    assert_status(emk_keywrap_unwrap(test_crypto(), emk_span_of(kek, 16), SPAN(want), back, &e),
                  EMK_E_USAGE, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(what_is_sealed_opens),
                   emk_rule(every_failure_to_decrypt_says_the_same_and_gives_nothing),
                   emk_rule(the_key_has_one_length), emk_rule(wraps_keys_as_rfc_3394));
}
