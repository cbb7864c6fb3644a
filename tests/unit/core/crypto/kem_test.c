#include "core/crypto/dh.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/kem.h"
#include "core/crypto/random.h"
#include "tests/unit/core/crypto/context.h"

static const uint16_t KEMS[] = {EMK_KEM_P256, EMK_KEM_X25519, EMK_KEM_ML_KEM_768,
                                EMK_KEM_MLKEM768_P256, EMK_KEM_XWING};
#define N_KEMS (sizeof KEMS / sizeof KEMS[0])

static bool is_pq(uint16_t kem)
{
    return kem != EMK_KEM_P256 && kem != EMK_KEM_X25519;
}

static bool have_pq(void)
{
    return emk_crypto_has(test_crypto(), EMK_CRYPTO_ML_KEM_768);
}

static emk_kem_private *make_key(uint16_t kem)
{
    uint8_t priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    emk_kem_private *k;
    emk_error e;

    assert_ok(emk_kem_generate(test_crypto(), kem, priv, pub, &e), &e);
    assert_ok(emk_kem_private_new(test_crypto(), kem, emk_span_of(priv, emk_kem_private_len(kem)),
                                  &k, &e),
              &e);
    assert_bytes(emk_kem_private_public(k), emk_span_of(pub, emk_kem_public_len(kem)));
    assert_int_equal(emk_kem_private_id(k), kem);
    return k;
}

static void knows_the_lengths_of_its_kems(void **state)
{
    static const size_t want[][3] = {
        {65, 32, 65}, {32, 32, 32}, {1184, 64, 1088}, {1249, 32, 1153}, {1216, 32, 1120}};

    (void)state;
    for (size_t i = 0; i < N_KEMS; i++) {
        assert_int_equal(emk_kem_public_len(KEMS[i]), want[i][0]);
        assert_int_equal(emk_kem_private_len(KEMS[i]), want[i][1]);
        assert_int_equal(emk_kem_enc_len(KEMS[i]), want[i][2]);
        assert_true(want[i][0] <= EMK_KEM_PUBLIC_MAX && want[i][2] <= EMK_KEM_ENC_MAX);
    }
    assert_int_equal(emk_kem_public_len(0x0011), 0);
    assert_int_equal(emk_kem_private_len(0x0040), 0);
    assert_int_equal(emk_kem_enc_len(0xffff), 0);
}

static void post_quantum_kems_are_there_exactly_with_ml_kem(void **state)
{
    uint8_t priv[EMK_KEM_PRIVATE_MAX] = {0}, pub[EMK_KEM_PUBLIC_MAX] = {0};
    uint8_t enc[EMK_KEM_ENC_MAX], secret[32];
    emk_kem_private *k = NULL;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < N_KEMS; i++) {
        emk_span p = emk_span_of(pub, emk_kem_public_len(KEMS[i]));
        emk_span s = emk_span_of(priv, emk_kem_private_len(KEMS[i]));

        assert_int_equal(emk_kem_is_supported(test_crypto(), KEMS[i]),
                         !is_pq(KEMS[i]) || have_pq());
        if (!is_pq(KEMS[i]) || have_pq())
            continue;
        assert_status(emk_kem_generate(test_crypto(), KEMS[i], priv, pub, &e), EMK_E_UNSUPPORTED,
                      &e);
        assert_status(emk_kem_derive(test_crypto(), KEMS[i], SPAN(priv), priv, pub, &e),
                      EMK_E_UNSUPPORTED, &e);
        assert_status(emk_kem_check_public(test_crypto(), KEMS[i], p, &e), EMK_E_UNSUPPORTED, &e);
        assert_status(emk_kem_private_new(test_crypto(), KEMS[i], s, &k, &e), EMK_E_UNSUPPORTED,
                      &e);
        assert_status(emk_kem_encap(test_crypto(), KEMS[i], p, enc, secret, &e), EMK_E_UNSUPPORTED,
                      &e);
    }
    assert_false(emk_kem_is_supported(test_crypto(), 0x0011));
    assert_false(emk_kem_is_supported(test_crypto(), 0));
    assert_null(k);
}

static void both_sides_get_the_same_secret(void **state)
{
    uint8_t enc[EMK_KEM_ENC_MAX], again[EMK_KEM_ENC_MAX], a[32], b[32];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < N_KEMS; i++) {
        size_t len = emk_kem_enc_len(KEMS[i]);
        emk_kem_private *k;

        if (!emk_kem_is_supported(test_crypto(), KEMS[i]))
            continue;
        k = make_key(KEMS[i]);
        assert_ok(emk_kem_check_public(test_crypto(), KEMS[i], emk_kem_private_public(k), &e), &e);
        assert_ok(emk_kem_encap(test_crypto(), KEMS[i], emk_kem_private_public(k), enc, a, &e), &e);
        assert_ok(emk_kem_decap(k, emk_span_of(enc, len), b, &e), &e);
        assert_bytes(SPAN(a), SPAN(b));
        assert_ok(emk_kem_encap(test_crypto(), KEMS[i], emk_kem_private_public(k), again, b, &e),
                  &e);
        assert_memory_not_equal(enc, again, len);
        assert_memory_not_equal(a, b, 32);
        emk_kem_private_free(k);
    }
}

static void refuses_keys_and_encs_of_other_lengths(void **state)
{
    static uint8_t bytes[EMK_KEM_PUBLIC_MAX + 1];
    uint8_t enc[EMK_KEM_ENC_MAX], secret[32];
    emk_kem_private *none = NULL;
    emk_error e;

    (void)state;
    bytes[0] = 4;
    for (size_t i = 0; i < N_KEMS; i++) {
        size_t priv = emk_kem_private_len(KEMS[i]), pub = emk_kem_public_len(KEMS[i]);
        emk_kem_private *k;

        if (!emk_kem_is_supported(test_crypto(), KEMS[i]))
            continue;
        k = make_key(KEMS[i]);
        for (size_t off = 0; off < 3; off += 2) {
            emk_span p = emk_span_of(bytes, pub - 1 + off);

            assert_status(emk_kem_private_new(test_crypto(), KEMS[i],
                                              emk_span_of(bytes, priv - 1 + off), &none, &e),
                          EMK_E_FORMAT, &e);
            assert_status(emk_kem_check_public(test_crypto(), KEMS[i], p, &e), EMK_E_FORMAT, &e);
            assert_status(emk_kem_encap(test_crypto(), KEMS[i], p, enc, secret, &e), EMK_E_FORMAT,
                          &e);
            assert_status(emk_kem_decap(k, emk_span_of(bytes, emk_kem_enc_len(KEMS[i]) - 1 + off),
                                        secret, &e),
                          EMK_E_SEALED, &e);
        }
        assert_status(emk_kem_decap(k, NONE, secret, &e), EMK_E_SEALED, &e);
        assert_null(none);
        emk_kem_private_free(k);
    }
    emk_kem_private_free(NULL);
}

/* RFC 9180 A.1.1 and A.3.1: ikmE to skEm and pkEm. */
static void derive_key_pair_of_rfc_9180(void **state)
{
    static const struct {
        uint16_t kem;
        const char *ikm, *priv, *pub;
    } rows[] = {
        {EMK_KEM_X25519, "7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234",
         "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
         "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"},
        {EMK_KEM_P256, "4270e54ffd08d79d5928020af4686d8f6b7d35dbe470265f1f5aa22816ce860e",
         "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
         "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9"
         "8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4"},
    };
    uint8_t ikm[32], priv[32], pub[65], want_priv[32], want_pub[65];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t len = emk_kem_public_len(rows[i].kem);

        emk_unhex(rows[i].ikm, ikm, sizeof ikm);
        emk_unhex(rows[i].priv, want_priv, sizeof want_priv);
        emk_unhex(rows[i].pub, want_pub, sizeof want_pub);
        assert_ok(emk_kem_derive(test_crypto(), rows[i].kem, SPAN(ikm), priv, pub, &e), &e);
        assert_bytes(SPAN(priv), SPAN(want_priv));
        assert_bytes(emk_span_of(pub, len), emk_span_of(want_pub, len));
    }
}

static void derive_refuses_too_little_or_too_much_material(void **state)
{
    static const uint8_t ikm[EMK_KEM_IKM_MAX + 1];
    uint8_t priv[EMK_KEM_PRIVATE_MAX] = {0x77}, pub[EMK_KEM_PUBLIC_MAX];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < N_KEMS; i++) {
        size_t min = emk_kem_private_len(KEMS[i]);

        if (!emk_kem_is_supported(test_crypto(), KEMS[i]))
            continue;
        assert_status(
            emk_kem_derive(test_crypto(), KEMS[i], emk_span_of(ikm, min - 1), priv, pub, &e),
            EMK_E_LIMIT, &e);
        assert_status(emk_kem_derive(test_crypto(), KEMS[i], SPAN(ikm), priv, pub, &e), EMK_E_LIMIT,
                      &e);
        assert_int_equal(priv[0], 0x77);
    }
    assert_ok(emk_kem_derive(test_crypto(), EMK_KEM_P256, emk_span_of(ikm, EMK_KEM_IKM_MAX), priv,
                             pub, &e),
              &e);
}

static void refuses_low_order_x25519_keys_and_encs(void **state)
{
    static const uint16_t kems[] = {EMK_KEM_X25519, EMK_KEM_XWING};
    uint8_t enc[EMK_KEM_ENC_MAX], pub[EMK_KEM_PUBLIC_MAX], secret[32] = {0x77};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t pub_len = emk_kem_public_len(kems[i]), enc_len = emk_kem_enc_len(kems[i]);
        emk_kem_private *k;

        if (!emk_kem_is_supported(test_crypto(), kems[i]))
            continue;
        k = make_key(kems[i]);
        memcpy(pub, emk_kem_private_public(k).p, pub_len);
        assert_ok(emk_kem_encap(test_crypto(), kems[i], emk_span_of(pub, pub_len), enc, secret, &e),
                  &e);
        secret[0] = 0x77;
        memset(pub + pub_len - 32, 0, 32);
        memset(enc + enc_len - 32, 0, 32);
        for (uint8_t u = 0; u < 2; u++) { /* u = 0 and 1 */
            pub[pub_len - 32] = u;
            enc[enc_len - 32] = u;
            assert_status(
                emk_kem_encap(test_crypto(), kems[i], emk_span_of(pub, pub_len), enc, secret, &e),
                EMK_E_FORMAT, &e);
            assert_status(emk_kem_decap(k, emk_span_of(enc, enc_len), secret, &e), EMK_E_SEALED,
                          &e);
            assert_int_equal(secret[0], 0x77);
        }
        emk_kem_private_free(k);
    }
}

static void binds_enc_as_it_was_sent(void **state)
{
    emk_kem_private *k = make_key(EMK_KEM_X25519);
    uint8_t enc[32], a[32], b[32];
    emk_error e;

    (void)state;
    assert_ok(emk_kem_encap(test_crypto(), EMK_KEM_X25519, emk_kem_private_public(k), enc, a, &e),
              &e);
    enc[31] |= 0x80; /* the same point for RFC 7748, another string for the key schedule */
    assert_ok(emk_kem_decap(k, SPAN(enc), b, &e), &e);
    assert_memory_not_equal(a, b, 32);
    emk_kem_private_free(k);
}

static void refuses_p256_encs_that_are_no_uncompressed_point(void **state)
{
    static const uint16_t kems[] = {EMK_KEM_P256, EMK_KEM_MLKEM768_P256};
    uint8_t enc[EMK_KEM_ENC_MAX], pub[EMK_KEM_PUBLIC_MAX], secret[32];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t enc_len = emk_kem_enc_len(kems[i]), pub_len = emk_kem_public_len(kems[i]);
        uint8_t *point = enc + enc_len - 65, *pub_point = pub + pub_len - 65;
        emk_kem_private *k;

        if (!emk_kem_is_supported(test_crypto(), kems[i]))
            continue;
        k = make_key(kems[i]);
        memcpy(pub, emk_kem_private_public(k).p, pub_len);
        assert_ok(emk_kem_encap(test_crypto(), kems[i], emk_span_of(pub, pub_len), enc, secret, &e),
                  &e);
        for (int first = 0; first < 9; first++) {
            if (first == 4)
                continue;
            point[0] = pub_point[0] = (uint8_t)first;
            assert_status(emk_kem_decap(k, emk_span_of(enc, enc_len), secret, &e), EMK_E_SEALED,
                          &e);
            assert_status(
                emk_kem_check_public(test_crypto(), kems[i], emk_span_of(pub, pub_len), &e),
                EMK_E_FORMAT, &e);
        }
        point[0] = 4;
        point[64] ^= 1;
        assert_status(emk_kem_decap(k, emk_span_of(enc, enc_len), secret, &e), EMK_E_SEALED, &e);
        emk_kem_private_free(k);
    }
}

static void ml_kem_refuses_unreduced_keys_and_answers_wrong_encs_at_random(void **state)
{
    uint8_t enc[EMK_KEM_ENC_MAX], pub[EMK_KEM_PUBLIC_MAX], a[32], b[32];
    emk_kem_private *k;
    emk_error e;

    (void)state;
    if (!have_pq())
        return; /* that it is refused then is tested above */
    for (size_t i = 2; i < N_KEMS; i++) {
        size_t pub_len = emk_kem_public_len(KEMS[i]), enc_len = emk_kem_enc_len(KEMS[i]);

        k = make_key(KEMS[i]);
        memcpy(pub, emk_kem_private_public(k).p, pub_len);
        assert_ok(emk_kem_encap(test_crypto(), KEMS[i], emk_span_of(pub, pub_len), enc, a, &e), &e);
        enc[0] ^= 1;
        assert_ok(emk_kem_decap(k, emk_span_of(enc, enc_len), b, &e), &e);
        assert_memory_not_equal(a, b, 32);
        pub[0] = pub[1] = 0xff; /* a coefficient of 4095, above q */
        assert_status(emk_kem_check_public(test_crypto(), KEMS[i], emk_span_of(pub, pub_len), &e),
                      EMK_E_FORMAT, &e);
        assert_status(emk_kem_encap(test_crypto(), KEMS[i], emk_span_of(pub, pub_len), enc, a, &e),
                      EMK_E_FORMAT, &e);
        emk_kem_private_free(k);
    }
}

static void refuses_p256_private_keys_outside_1_to_n_minus_1(void **state)
{
    uint8_t raw[32] = {0};
    emk_kem_private *k = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_kem_private_new(test_crypto(), EMK_KEM_P256, SPAN(raw), &k, &e), EMK_E_FORMAT,
                  &e);
    emk_unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", raw, 32);
    assert_status(emk_kem_private_new(test_crypto(), EMK_KEM_P256, SPAN(raw), &k, &e), EMK_E_FORMAT,
                  &e);
    assert_null(k);
}

/* A chip played by software; it counts and can refuse. */
typedef struct chip {
    uint8_t priv[32];
    unsigned calls;
    emk_status answer;
} chip;

static emk_status chip_dh(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    chip *c = self;

    c->calls++;
    if (c->answer != EMK_OK)
        return emk_fail(e, c->answer, "chip: refuses", 0);
    return emk_dh_p256(test_crypto(), c->priv, peer, x, e);
}

static void hardware_keys_open_what_software_sealed(void **state)
{
    uint8_t pub[65], seed[64], enc[EMK_KEM_ENC_MAX], a[32], b[32];
    chip c = {.answer = EMK_OK};
    emk_error e;

    (void)state;
    assert_ok(emk_p256_generate(test_crypto(), c.priv, pub, &e), &e);
    assert_ok(emk_random_secret(test_crypto(), seed, sizeof seed, &e), &e);
    for (size_t i = 0; i < N_KEMS; i++) {
        emk_kem_hardware hw = {chip_dh, &c, SPAN(pub), is_pq(KEMS[i]) ? SPAN(seed) : NONE};
        size_t enc_len = emk_kem_enc_len(KEMS[i]);
        emk_kem_private *k = NULL;

        if (!emk_kem_is_supported(test_crypto(), KEMS[i]))
            continue;
        if (KEMS[i] != EMK_KEM_P256 && KEMS[i] != EMK_KEM_MLKEM768_P256) {
            assert_status(emk_kem_private_new_hardware(test_crypto(), KEMS[i], &hw, &k, &e),
                          EMK_E_USAGE, &e);
            continue;
        }
        assert_ok(emk_kem_private_new_hardware(test_crypto(), KEMS[i], &hw, &k, &e), &e);
        assert_ok(emk_kem_encap(test_crypto(), KEMS[i], emk_kem_private_public(k), enc, a, &e), &e);
        assert_ok(emk_kem_decap(k, emk_span_of(enc, enc_len), b, &e), &e);
        assert_bytes(SPAN(a), SPAN(b));
        emk_kem_private_free(k);
    }
}

static void hardware_never_sees_a_point_off_the_curve(void **state)
{
    uint8_t pub[65], enc[65], secret[32];
    chip c = {.answer = EMK_OK};
    emk_kem_hardware hw = {chip_dh, &c, SPAN(pub), NONE};
    emk_kem_private *k;
    emk_error e;

    (void)state;
    assert_ok(emk_p256_generate(test_crypto(), c.priv, pub, &e), &e);
    assert_ok(emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &hw, &k, &e), &e);
    memcpy(enc, pub, 65);
    for (size_t bit = 0; bit < (size_t)8 * 65; bit += 3) {
        flip(enc, bit);
        assert_status(emk_kem_decap(k, SPAN(enc), secret, &e), EMK_E_SEALED, &e);
        flip(enc, bit);
    }
    assert_int_equal(c.calls, 0);
    assert_ok(emk_kem_decap(k, SPAN(enc), secret, &e), &e);
    assert_int_equal(c.calls, 1);
    emk_kem_private_free(k);
}

static void what_hardware_says_reaches_the_caller(void **state)
{
    uint8_t pub[65], secret[32] = {0x77};
    chip c = {.answer = EMK_E_KEY_LOST};
    emk_kem_hardware hw = {chip_dh, &c, SPAN(pub), NONE};
    emk_kem_private *k;
    emk_error e;

    (void)state;
    assert_ok(emk_p256_generate(test_crypto(), c.priv, pub, &e), &e);
    assert_ok(emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &hw, &k, &e), &e);
    assert_status(emk_kem_decap(k, SPAN(pub), secret, &e), EMK_E_KEY_LOST, &e);
    assert_string_equal(e.what, "chip: refuses");
    assert_int_equal(secret[0], 0x77);
    emk_kem_private_free(k);
}

static void refuses_hardware_keys_that_do_not_fit(void **state)
{
    uint8_t pub[65], seed[64] = {0};
    chip c = {.answer = EMK_OK};
    emk_kem_hardware good = {chip_dh, &c, SPAN(pub), NONE}, hw;
    emk_kem_private *k = NULL;
    emk_error e;

    (void)state;
    assert_ok(emk_p256_generate(test_crypto(), c.priv, pub, &e), &e);
    hw = good;
    hw.dh = NULL;
    assert_status(emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &hw, &k, &e),
                  EMK_E_USAGE, &e);
    hw = good;
    hw.seed = SPAN(seed);
    assert_status(emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &hw, &k, &e),
                  EMK_E_FORMAT, &e);
    hw = good;
    hw.public_key.len = 64;
    assert_status(emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &hw, &k, &e),
                  EMK_E_FORMAT, &e);
    pub[64] ^= 1;
    assert_status(emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &good, &k, &e),
                  EMK_E_FORMAT, &e);
    if (have_pq()) {
        pub[64] ^= 1;
        assert_status(
            emk_kem_private_new_hardware(test_crypto(), EMK_KEM_MLKEM768_P256, &good, &k, &e),
            EMK_E_FORMAT, &e);
    }
    assert_null(k);
}

static void fixed_input_is_repeatable_and_its_length_is_checked(void **state)
{
    static const size_t lens[][2] = {{32, 32}, {32, 32}, {32, 32}, {64, 160}, {64, 64}};
    uint8_t fixed[193], enc[EMK_KEM_ENC_MAX], again[EMK_KEM_ENC_MAX], a[32], b[32];
    emk_error e;

    (void)state;
    memset(fixed, 3, sizeof fixed);
    for (size_t i = 0; i < N_KEMS; i++) {
        emk_kem_private *k;

        if (!emk_kem_is_supported(test_crypto(), KEMS[i]))
            continue;
        k = make_key(KEMS[i]);
        for (size_t len = 0; len <= sizeof fixed; len++) {
            bool right = len >= lens[i][0] && len <= lens[i][1] && len % 32 == 0;
            emk_span pub = emk_kem_private_public(k), f = emk_span_of(fixed, len);

            assert_status(emk_kem_encap_fixed(test_crypto(), KEMS[i], pub, f, enc, a, &e),
                          right ? EMK_OK : EMK_E_USAGE, &e);
            if (!right)
                continue;
            assert_ok(emk_kem_encap_fixed(test_crypto(), KEMS[i], pub, f, again, b, &e), &e);
            assert_memory_equal(enc, again, emk_kem_enc_len(KEMS[i]));
            assert_memory_equal(a, b, 32);
        }
        emk_kem_private_free(k);
    }
}

int main(void)
{
    return EMK_RUN(
        emk_rule(knows_the_lengths_of_its_kems),
        emk_rule(post_quantum_kems_are_there_exactly_with_ml_kem),
        emk_rule(both_sides_get_the_same_secret), emk_rule(refuses_keys_and_encs_of_other_lengths),
        emk_rule(derive_key_pair_of_rfc_9180),
        emk_rule(derive_refuses_too_little_or_too_much_material),
        emk_rule(refuses_low_order_x25519_keys_and_encs), emk_rule(binds_enc_as_it_was_sent),
        emk_rule(refuses_p256_encs_that_are_no_uncompressed_point),
        emk_rule(ml_kem_refuses_unreduced_keys_and_answers_wrong_encs_at_random),
        emk_rule(refuses_p256_private_keys_outside_1_to_n_minus_1),
        emk_rule(hardware_keys_open_what_software_sealed),
        emk_rule(hardware_never_sees_a_point_off_the_curve),
        emk_rule(what_hardware_says_reaches_the_caller),
        emk_rule(refuses_hardware_keys_that_do_not_fit),
        emk_rule(fixed_input_is_repeatable_and_its_length_is_checked));
}
