#include "core/base/secret.h"
#include "core/crypto/sign.h"
#include "tests/unit/core/crypto/context.h"

#define ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

/* RFC 8032 7.1, tests 1 and 2. */
static void ed25519_of_rfc_8032(void **state)
{
    static const struct {
        const char *priv, *pub, *msg, *sig;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
         "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    };
    uint8_t priv[32], pub[32], msg[8], want[64], sig[64];
    emk_verify_key *v;
    emk_sign_key *k;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        emk_span m = emk_span_of(msg, emk_unhex(rows[i].msg, msg, sizeof msg));

        emk_unhex(rows[i].priv, priv, sizeof priv);
        emk_unhex(rows[i].pub, pub, sizeof pub);
        emk_unhex(rows[i].sig, want, sizeof want);
        assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ED25519, SPAN(priv), &k, &e), &e);
        assert_bytes(emk_sign_key_public(k), SPAN(pub));
        assert_ok(emk_sign_make(k, m, sig, &e), &e);
        assert_bytes(SPAN(sig), SPAN(want));
        assert_ok(emk_verify_key_new(test_crypto(), EMK_SIGN_ED25519, SPAN(pub), &v, &e), &e);
        assert_ok(emk_sign_verify(v, m, SPAN(sig), &e), &e);
        emk_verify_key_free(v);
        emk_sign_key_free(k);
    }
}

/* RFC 6979 A.2.5, SHA-256, "sample". */
static const char ES256_PRIVATE[] =
    "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
static const char ES256_PUBLIC[] =
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
static const char ES256_SIGNATURE[] =
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

static emk_verify_key *es256_key(void)
{
    uint8_t pub[65];
    emk_verify_key *v;
    emk_error e;

    emk_unhex(ES256_PUBLIC, pub, sizeof pub);
    assert_ok(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(pub), &v, &e), &e);
    return v;
}

static void es256_of_rfc_6979_verifies(void **state)
{
    emk_verify_key *v = es256_key();
    uint8_t sig[64];
    emk_error e;

    (void)state;
    emk_unhex(ES256_SIGNATURE, sig, sizeof sig);
    assert_ok(emk_sign_verify(v, emk_span_str("sample"), SPAN(sig), &e), &e);
    assert_status(emk_sign_verify(v, emk_span_str("Sample"), SPAN(sig), &e), EMK_E_SIGNATURE, &e);
    emk_verify_key_free(v);
}

/* big-endian, 32 bytes: out = a - b */
static void subtract(const uint8_t *a, const uint8_t *b, uint8_t *out)
{
    int borrow = 0;

    for (int i = 31; i >= 0; i--) {
        int d = a[i] - b[i] - borrow;

        borrow = d < 0;
        out[i] = (uint8_t)(d & 0xff);
    }
}

static void accepts_both_values_of_s(void **state)
{
    emk_verify_key *v = es256_key();
    uint8_t sig[64], n[32];
    emk_error e;

    (void)state;
    emk_unhex(ES256_SIGNATURE, sig, sizeof sig);
    emk_unhex(ORDER, n, sizeof n);
    subtract(n, sig + 32, sig + 32);
    assert_ok(emk_sign_verify(v, emk_span_str("sample"), SPAN(sig), &e), &e);
    emk_verify_key_free(v);
}

static void refuses_r_or_s_of_zero_or_n_and_above(void **state)
{
    emk_verify_key *v = es256_key();
    uint8_t good[64], sig[64];
    emk_error e;

    (void)state;
    emk_unhex(ES256_SIGNATURE, good, sizeof good);
    for (size_t half = 0; half < 64; half += 32) {
        memcpy(sig, good, sizeof sig);
        memset(sig + half, 0, 32);
        assert_status(emk_sign_verify(v, emk_span_str("sample"), SPAN(sig), &e), EMK_E_SIGNATURE,
                      &e);
        emk_unhex(ORDER, sig + half, 32);
        assert_status(emk_sign_verify(v, emk_span_str("sample"), SPAN(sig), &e), EMK_E_SIGNATURE,
                      &e);
        memset(sig + half, 0xff, 32);
        assert_status(emk_sign_verify(v, emk_span_str("sample"), SPAN(sig), &e), EMK_E_SIGNATURE,
                      &e);
    }
    memset(sig, 0, sizeof sig);
    assert_status(emk_sign_verify(v, emk_span_str("sample"), SPAN(sig), &e), EMK_E_SIGNATURE, &e);
    emk_verify_key_free(v);
}

static void signs_and_verifies(emk_sign_alg alg)
{
    uint8_t priv[32], pub[65], sig[65];
    emk_span msg = emk_span_str("message");
    emk_verify_key *v;
    emk_sign_key *k;
    emk_error e;

    assert_ok(emk_sign_generate(test_crypto(), alg, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(test_crypto(), alg, SPAN(priv), &k, &e), &e);
    assert_bytes(emk_sign_key_public(k), emk_span_of(pub, emk_sign_public_len(alg)));
    assert_int_equal(emk_sign_key_alg(k), alg);
    assert_ok(emk_verify_key_new(test_crypto(), alg, emk_sign_key_public(k), &v, &e), &e);
    assert_int_equal(emk_verify_key_alg(v), alg);
    assert_bytes(emk_verify_key_public(v), emk_sign_key_public(k));
    for (int i = 0; i < 20; i++) {
        assert_ok(emk_sign_make(k, msg, sig, &e), &e);
        assert_ok(emk_sign_verify(v, msg, emk_span_of(sig, 64), &e), &e);
    }
    for (size_t bit = 0; bit < 512; bit += 5) {
        flip(sig, bit);
        assert_status(emk_sign_verify(v, msg, emk_span_of(sig, 64), &e), EMK_E_SIGNATURE, &e);
        flip(sig, bit);
    }
    for (size_t len = 0; len <= 65; len++) {
        if (len != 64)
            assert_status(emk_sign_verify(v, msg, emk_span_of(sig, len), &e), EMK_E_SIGNATURE, &e);
    }
    assert_status(emk_sign_verify(v, NONE, emk_span_of(sig, 64), &e), EMK_E_SIGNATURE, &e);
    assert_ok(emk_sign_make(k, NONE, sig, &e), &e);
    assert_ok(emk_sign_verify(v, NONE, emk_span_of(sig, 64), &e), &e);
    emk_verify_key_free(v);
    emk_sign_key_free(k);
}

static void ed25519_signs_and_refuses_changes(void **state)
{
    (void)state;
    signs_and_verifies(EMK_SIGN_ED25519);
}

static void es256_signs_and_refuses_changes(void **state)
{
    (void)state;
    signs_and_verifies(EMK_SIGN_ES256);
}

static void works_the_public_key_out_itself(void **state)
{
    uint8_t priv[32], want[65];
    emk_sign_key *k;
    emk_error e;

    (void)state;
    emk_unhex(ES256_PRIVATE, priv, sizeof priv);
    emk_unhex(ES256_PUBLIC, want, sizeof want);
    assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(priv), &k, &e), &e);
    assert_bytes(emk_sign_key_public(k), SPAN(want));
    emk_sign_key_free(k);
}

static void refuses_keys_that_are_none(void **state)
{
    uint8_t bytes[66] = {0}, n[32];
    emk_verify_key *v = NULL;
    emk_sign_key *k = NULL;
    emk_error e;

    (void)state;
    for (size_t len = 0; len <= sizeof bytes; len++) {
        emk_span s = emk_span_of(bytes, len);

        if (len != 32) {
            assert_status(emk_verify_key_new(test_crypto(), EMK_SIGN_ED25519, s, &v, &e),
                          EMK_E_FORMAT, &e);
            assert_status(emk_sign_key_new(test_crypto(), EMK_SIGN_ED25519, s, &k, &e),
                          EMK_E_FORMAT, &e);
        }
        assert_status(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, s, &v, &e), EMK_E_FORMAT,
                      &e);
        assert_status(emk_sign_key_new(test_crypto(), EMK_SIGN_ES256, s, &k, &e), EMK_E_FORMAT, &e);
    }
    emk_unhex(ES256_PUBLIC, bytes, 65);
    bytes[0] = 6;
    assert_status(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, emk_span_of(bytes, 65), &v, &e),
                  EMK_E_FORMAT, &e);
    bytes[0] = 2;
    assert_status(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, emk_span_of(bytes, 33), &v, &e),
                  EMK_E_FORMAT, &e);
    bytes[0] = 4;
    bytes[64] ^= 1;
    assert_status(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, emk_span_of(bytes, 65), &v, &e),
                  EMK_E_FORMAT, &e);
    emk_unhex(ORDER, n, sizeof n);
    assert_status(emk_sign_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(n), &k, &e), EMK_E_FORMAT,
                  &e);
    assert_null(v);
    assert_null(k);
}

static void refuses_unknown_algorithms(void **state)
{
    uint8_t priv[32] = {1}, pub[65];
    emk_verify_key *v = NULL;
    emk_sign_key *k = NULL;
    emk_error e;

    (void)state;
    assert_int_equal(emk_sign_public_len((emk_sign_alg)3), 0);
    assert_status(emk_verify_key_new(test_crypto(), (emk_sign_alg)0, SPAN(priv), &v, &e),
                  EMK_E_UNSUPPORTED, &e);
    assert_status(emk_sign_key_new(test_crypto(), (emk_sign_alg)3, SPAN(priv), &k, &e),
                  EMK_E_UNSUPPORTED, &e);
    assert_status(emk_sign_generate(test_crypto(), (emk_sign_alg)3, priv, pub, &e),
                  EMK_E_UNSUPPORTED, &e);
    emk_verify_key_free(NULL);
    emk_sign_key_free(NULL);
}

static void der_round_trips_in_every_length(void **state)
{
    uint8_t sig[64], der[EMK_SIGN_DER_MAX], back[64];
    size_t len;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 32; i++) {
        for (unsigned top = 1; top < 256; top += 127) {
            memset(sig, 0, sizeof sig);
            sig[i] = (uint8_t)top;
            sig[63 - i / 2] = 0x80;
            assert_ok(emk_sign_to_der(sig, der, &len, &e), &e);
            assert_ok(emk_sign_from_der(emk_span_of(der, len), back, &e), &e);
            assert_memory_equal(sig, back, sizeof sig);
        }
    }
    memset(sig, 0, sizeof sig);
    sig[0] = 1;
    len = 99;
    assert_status(emk_sign_to_der(sig, der, &len, &e), EMK_E_FORMAT, &e);
    assert_int_equal(len, 99);
}

static void refuses_der_that_is_not_strict(void **state)
{
    static const char *const bad[] = {
        "",
        "30",
        "3006",
        "3000",
        "300602010102010100",   /* something behind */
        "30060201010201",       /* cut short */
        "3007020101020101",     /* longer than what follows */
        "3005020101020101",     /* shorter */
        "30080201010201010000", /* something behind, inside */
        "3106020101020101",     /* a set */
        "308106020101020101",   /* long form of the length */
        "3080020101020101000",  /* padded below: indefinite length */
        "3006030101020101",     /* a bit string */
        "3006020101030101",     /* and as s */
        "3006020100020101",     /* r = 0 */
        "3006020101020100",     /* s = 0 */
        "3005020002010100",     /* r without bytes */
        "300702020001020101",   /* r with a zero in front */
        "300702010102020001",   /* s with a zero in front */
        "3006020181020101",     /* r negative */
        "3006020101020180",     /* s negative */
        "30070281010102010100", /* long form inside */
        "3003020101",           /* no s */
    };
    uint8_t der[160], sig[64] = {0x77};
    emk_verify_key *v = es256_key();
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char even[64];
        emk_span s;

        snprintf(even, sizeof even, "%s%s", bad[i], strlen(bad[i]) % 2 ? "0" : "");
        s = emk_span_of(der, emk_unhex(even, der, sizeof der));
        assert_status(emk_sign_from_der(s, sig, &e), EMK_E_FORMAT, &e);
        assert_status(emk_sign_verify_der(v, emk_span_str("sample"), s, &e), EMK_E_SIGNATURE, &e);
    }
    assert_int_equal(sig[0], 0x77);
    /* an integer of 33 bytes that is more than 2^256 */
    memset(der, 0, sizeof der);
    der[0] = 0x30;
    der[1] = 2 + 33 + 3;
    der[2] = 2;
    der[3] = 33;
    der[4] = 1;
    memcpy(der + 37, "\x02\x01\x01", 3);
    assert_status(emk_sign_from_der(emk_span_of(der, 40), sig, &e), EMK_E_FORMAT, &e);
    emk_verify_key_free(v);
}

static void verifies_der_of_an_es256_key_only(void **state)
{
    emk_verify_key *v = es256_key(), *ed;
    uint8_t sig[64], der[EMK_SIGN_DER_MAX], pub[32] = {1};
    size_t len;
    emk_error e;

    (void)state;
    emk_unhex(ES256_SIGNATURE, sig, sizeof sig);
    assert_ok(emk_sign_to_der(sig, der, &len, &e), &e);
    assert_ok(emk_sign_verify_der(v, emk_span_str("sample"), emk_span_of(der, len), &e), &e);
    assert_status(emk_sign_verify_der(v, emk_span_str("other"), emk_span_of(der, len), &e),
                  EMK_E_SIGNATURE, &e);
    assert_ok(emk_verify_key_new(test_crypto(), EMK_SIGN_ED25519, SPAN(pub), &ed, &e), &e);
    assert_status(emk_sign_verify_der(ed, emk_span_str("sample"), emk_span_of(der, len), &e),
                  EMK_E_USAGE, &e);
    emk_verify_key_free(ed);
    emk_verify_key_free(v);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(ed25519_of_rfc_8032), emk_rule(es256_of_rfc_6979_verifies),
        emk_rule(accepts_both_values_of_s), emk_rule(refuses_r_or_s_of_zero_or_n_and_above),
        emk_rule(ed25519_signs_and_refuses_changes), emk_rule(es256_signs_and_refuses_changes),
        emk_rule(works_the_public_key_out_itself), emk_rule(refuses_keys_that_are_none),
        emk_rule(refuses_unknown_algorithms), emk_rule(der_round_trips_in_every_length),
        emk_rule(refuses_der_that_is_not_strict), emk_rule(verifies_der_of_an_es256_key_only));
}
