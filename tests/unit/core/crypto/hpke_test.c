#include "core/crypto/dh.h"
#include "core/crypto/hpke.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/kdf.h"
#include "tests/unit/core/crypto/context.h"

#include <sys/wait.h>
#include <unistd.h>

static const uint8_t PSK[32] = {1, 2, 3, 4};

static emk_kem_private *make_key(uint16_t kem)
{
    uint8_t priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    emk_kem_private *k;
    emk_error e;

    assert_ok(emk_kem_generate(test_crypto(), kem, priv, pub, &e), &e);
    assert_ok(emk_kem_private_new(test_crypto(), kem, emk_span_of(priv, emk_kem_private_len(kem)),
                                  &k, &e),
              &e);
    return k;
}

static emk_hpke_in base_in(uint16_t kem, uint16_t aead)
{
    return (emk_hpke_in){.suite = {kem, EMK_HPKE_KDF_HKDF_SHA256, aead},
                         .info = emk_span_str("info")};
}

/* Both ends of one conversation; the key is the receiver's. */
typedef struct ends {
    emk_kem_private *key;
    emk_hpke *sender;
    emk_hpke *receiver;
} ends;

static ends connect(uint16_t kem, uint16_t aead)
{
    emk_hpke_in in = base_in(kem, aead);
    uint8_t enc[EMK_KEM_ENC_MAX];
    ends x;
    emk_error e;

    x.key = make_key(kem);
    assert_ok(
        emk_hpke_sender_new(test_crypto(), &in, emk_kem_private_public(x.key), enc, &x.sender, &e),
        &e);
    assert_ok(
        emk_hpke_receiver_new(&in, x.key, emk_span_of(enc, emk_kem_enc_len(kem)), &x.receiver, &e),
        &e);
    return x;
}

static void disconnect(ends *x)
{
    emk_hpke_free(x->sender);
    emk_hpke_free(x->receiver);
    emk_kem_private_free(x->key);
}

typedef struct rfc_row {
    uint16_t kem;
    const char *priv, *fixed, *enc, *key, *nonce, *cipher;
} rfc_row;

/* RFC 9180 A.1.1 and A.3.1, message 0. */
static const rfc_row RFC_ROWS[] = {
    {EMK_KEM_X25519, "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
     "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
     "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
     "4531685d41d65f03dc48f6b8302c05b0", "56d890e5accaaf011cff4b7d",
     "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
     "6d8770ac83d07bea87e13c512a"},
    {EMK_KEM_P256, "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
     "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
     "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9"
     "8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
     "868c066ef58aae6dc589b6cfdd18f97e", "4e0bc5018beba4bf004cca59",
     "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f"
     "9076ac232e3ab2523f39513434"},
};

static void check_rfc_row(const rfc_row *row)
{
    emk_hpke_in in = base_in(row->kem, EMK_AEAD_AES_128_GCM);
    uint8_t priv[32], fixed[32], want[128], enc[65], cipher[64];
    emk_span plain = emk_span_str("Beauty is truth, truth beauty"), aad = emk_span_str("Count-0");
    emk_hpke_schedule seen;
    emk_kem_private *k;
    emk_hpke *s;
    emk_error e;

    in.info = emk_span_str("Ode on a Grecian Urn");
    emk_unhex(row->priv, priv, sizeof priv);
    emk_unhex(row->fixed, fixed, sizeof fixed);
    assert_ok(emk_kem_private_new(test_crypto(), row->kem, SPAN(priv), &k, &e), &e);
    assert_ok(emk_hpke_sender_new_fixed(test_crypto(), &in, emk_kem_private_public(k), SPAN(fixed),
                                        enc, &s, &e),
              &e);
    assert_bytes(emk_span_of(enc, emk_kem_enc_len(row->kem)),
                 emk_span_of(want, emk_unhex(row->enc, want, sizeof want)));
    emk_hpke_peek(s, &seen);
    assert_bytes(emk_span_of(seen.key, seen.key_len),
                 emk_span_of(want, emk_unhex(row->key, want, sizeof want)));
    assert_bytes(SPAN(seen.base_nonce),
                 emk_span_of(want, emk_unhex(row->nonce, want, sizeof want)));
    assert_ok(emk_hpke_seal(s, aad, plain, cipher, &e), &e);
    assert_bytes(emk_span_of(cipher, plain.len + 16),
                 emk_span_of(want, emk_unhex(row->cipher, want, sizeof want)));
    emk_hpke_free(s);
    emk_kem_private_free(k);
}

static void seals_as_rfc_9180_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof RFC_ROWS / sizeof RFC_ROWS[0]; i++)
        check_rfc_row(&RFC_ROWS[i]);
}

static void one_message_opens_in_every_suite(void **state)
{
    static const uint16_t kems[] = {EMK_KEM_P256, EMK_KEM_X25519, EMK_KEM_ML_KEM_768,
                                    EMK_KEM_MLKEM768_P256, EMK_KEM_XWING};
    static const uint8_t text[] = "thirty-two bytes of content key!";
    uint8_t out[EMK_KEM_ENC_MAX + sizeof text + 16], plain[sizeof text];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 15; i++) {
        uint16_t kem = kems[i / 3];
        emk_hpke_in in = base_in(kem, (uint16_t)(1 + i % 3));
        size_t n = emk_kem_enc_len(kem);
        emk_kem_private *k;

        in.aad = emk_span_str("aad");
        if (!emk_kem_is_supported(test_crypto(), kem)) {
            assert_status(emk_hpke_check_suite(test_crypto(), in.suite, &e), EMK_E_UNSUPPORTED, &e);
            assert_status(emk_hpke_seal_once(test_crypto(), &in, NONE, SPAN(text), out, &e),
                          EMK_E_UNSUPPORTED, &e);
            continue;
        }
        k = make_key(kem);
        assert_ok(emk_hpke_check_suite(test_crypto(), in.suite, &e), &e);
        assert_ok(
            emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k), SPAN(text), out, &e),
            &e);
        assert_ok(emk_hpke_open_once(&in, k, emk_span_of(out, n),
                                     emk_span_of(out + n, sizeof text + 16), plain, &e),
                  &e);
        assert_bytes(SPAN(plain), SPAN(text));
        emk_kem_private_free(k);
    }
}

static void refuses_unknown_suites(void **state)
{
    static const emk_hpke_suite bad[] = {
        {0x0011, 1, 1}, {0x0012, 1, 1}, {0x0021, 1, 1}, {0x0040, 1, 1},   {0x0042, 1, 1},
        {0, 1, 1},      {0x20, 2, 1},   {0x20, 3, 1},   {0x20, 0x10, 1},  {0x20, 0x11, 1},
        {0x20, 0, 1},   {0x20, 1, 0},   {0x20, 1, 4},   {0x20, 1, 0xfffe}};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(emk_hpke_check_suite(test_crypto(), bad[i], &e), EMK_E_UNSUPPORTED, &e);
}

static void every_failure_to_open_looks_the_same(void **state)
{
    emk_hpke_in in = base_in(EMK_KEM_P256, EMK_AEAD_AES_256_GCM), other = in;
    emk_kem_private *k = make_key(EMK_KEM_P256), *stranger = make_key(EMK_KEM_P256);
    uint8_t out[65 + 32 + 16], plain[32] = {0}, bad[sizeof out];
    emk_error e;

    (void)state;
    assert_ok(
        emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k), SPAN(plain), out, &e),
        &e);
    other.info = emk_span_str("other");
    for (int i = 0; i < 9; i++) {
        size_t enc_len = i == 5 ? 64 : i == 6 ? 0 : 65, len = i == 7 ? 15 : i == 8 ? 0 : 48;

        memcpy(bad, out, sizeof bad);
        if (i < 3)
            bad[i == 0 ? 0 : i == 1 ? 40 : 70] ^= 1; /* form, point, ciphertext */
        assert_status(emk_hpke_open_once(i == 3 ? &other : &in, i == 4 ? stranger : k,
                                         emk_span_of(bad, enc_len), emk_span_of(bad + 65, len),
                                         plain, &e),
                      EMK_E_SEALED, &e);
        assert_string_equal(e.what, "hpke: cannot be opened");
        assert_int_equal(e.where, 0);
    }
    emk_kem_private_free(stranger);
    emk_kem_private_free(k);
}

static void sender_status(const emk_hpke_in *in, const emk_kem_private *k, emk_status want)
{
    uint8_t enc[EMK_KEM_ENC_MAX] = {0x77}, out[EMK_KEM_ENC_MAX + 16];
    emk_hpke *h = NULL;
    emk_error e;

    assert_status(emk_hpke_sender_new(test_crypto(), in, emk_kem_private_public(k), enc, &h, &e),
                  want, &e);
    assert_status(emk_hpke_seal_once(test_crypto(), in, emk_kem_private_public(k), NONE, out, &e),
                  want, &e);
    if (want != EMK_OK) {
        assert_null(h);
        assert_int_equal(enc[0], 0x77);
    }
    emk_hpke_free(h);
}

static void psk_and_psk_id_must_go_together_and_with_the_mode(void **state)
{
    emk_kem_private *k = make_key(EMK_KEM_X25519);
    emk_hpke_in in = base_in(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);

    (void)state;
    in.psk = SPAN(PSK);
    in.psk_id = emk_span_str("id");
    sender_status(&in, k, EMK_E_USAGE); /* psk in base mode */
    in.mode = EMK_HPKE_PSK;
    sender_status(&in, k, EMK_OK);
    in.psk.len = 31;
    sender_status(&in, k, EMK_E_USAGE); /* too short */
    in.psk = NONE;
    sender_status(&in, k, EMK_E_USAGE);
    in.psk_id = NONE;
    sender_status(&in, k, EMK_E_USAGE);
    in.psk = SPAN(PSK);
    sender_status(&in, k, EMK_E_USAGE);
    in.mode = EMK_HPKE_BASE;
    sender_status(&in, k, EMK_E_USAGE);
    in.psk = NONE;
    in.psk_id = emk_span_str("id");
    sender_status(&in, k, EMK_E_USAGE);
    emk_kem_private_free(k);
}

static void refuses_unknown_modes(void **state)
{
    emk_kem_private *k = make_key(EMK_KEM_X25519);
    emk_hpke_in in = base_in(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);

    (void)state;
    in.mode = (emk_hpke_mode)4;
    sender_status(&in, k, EMK_E_UNSUPPORTED);
    in.mode = (emk_hpke_mode)-1;
    sender_status(&in, k, EMK_E_UNSUPPORTED);
    emk_kem_private_free(k);
}

static void auth_modes_prove_the_sender_and_need_its_key(void **state)
{
    emk_kem_private *k = make_key(EMK_KEM_P256), *alice = make_key(EMK_KEM_P256);
    emk_kem_private *mallory = make_key(EMK_KEM_P256), *x = make_key(EMK_KEM_X25519);
    emk_hpke_in in = base_in(EMK_KEM_P256, EMK_AEAD_AES_128_GCM), rin = in;
    uint8_t out[65 + 5 + 16], plain[5];
    emk_error e;

    (void)state;
    in.sender_key = alice;
    sender_status(&in, k, EMK_E_USAGE); /* in base mode */
    in.mode = rin.mode = EMK_HPKE_AUTH;
    in.sender_key = NULL;
    sender_status(&in, k, EMK_E_USAGE);
    in.sender_key = x;
    sender_status(&in, k, EMK_E_USAGE); /* of another KEM */
    in.sender_key = alice;
    assert_ok(emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k),
                                 emk_span_str("hello"), out, &e),
              &e);
    emk_span enc = emk_span_of(out, 65), ct = emk_span_of(out + 65, 21);
    assert_status(emk_hpke_open_once(&rin, k, enc, ct, plain, &e), EMK_E_USAGE, &e);
    rin.sender_public = emk_kem_private_public(mallory);
    assert_status(emk_hpke_open_once(&rin, k, enc, ct, plain, &e), EMK_E_SEALED, &e);
    rin.sender_public.len = 64;
    assert_status(emk_hpke_open_once(&rin, k, enc, ct, plain, &e), EMK_E_FORMAT, &e);
    rin.sender_public = emk_kem_private_public(alice);
    assert_ok(emk_hpke_open_once(&rin, k, enc, ct, plain, &e), &e);
    assert_bytes(SPAN(plain), emk_span_str("hello"));
    rin.mode = EMK_HPKE_BASE;
    assert_status(emk_hpke_open_once(&rin, k, enc, ct, plain, &e), EMK_E_USAGE, &e);
    rin.mode = in.mode = EMK_HPKE_AUTH_PSK;
    rin.psk = in.psk = SPAN(PSK);
    rin.psk_id = in.psk_id = emk_span_str("id");
    assert_ok(emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k),
                                 emk_span_str("hello"), out, &e),
              &e);
    assert_ok(emk_hpke_open_once(&rin, k, enc, ct, plain, &e), &e);
    emk_kem_private_free(x);
    emk_kem_private_free(mallory);
    emk_kem_private_free(alice);
    emk_kem_private_free(k);
}

static void post_quantum_kems_have_no_auth_mode(void **state)
{
    emk_kem_private *k;
    emk_hpke_in in = base_in(EMK_KEM_XWING, EMK_AEAD_AES_128_GCM);

    (void)state;
    if (!emk_kem_is_supported(test_crypto(), EMK_KEM_XWING))
        return;
    k = make_key(EMK_KEM_XWING);
    in.mode = EMK_HPKE_AUTH;
    in.sender_key = k;
    sender_status(&in, k, EMK_E_UNSUPPORTED);
    emk_kem_private_free(k);
}

static void refuses_a_key_of_another_kem(void **state)
{
    emk_hpke_in in = base_in(EMK_KEM_P256, EMK_AEAD_AES_128_GCM);
    emk_kem_private *k = make_key(EMK_KEM_X25519);
    uint8_t enc[65] = {4}, plain[1];
    emk_hpke *h = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_hpke_receiver_new(&in, k, SPAN(enc), &h, &e), EMK_E_USAGE, &e);
    assert_status(emk_hpke_open_once(&in, k, SPAN(enc), SPAN(enc), plain, &e), EMK_E_USAGE, &e);
    assert_status(emk_hpke_sender_new(test_crypto(), &in, emk_kem_private_public(k), enc, &h, &e),
                  EMK_E_FORMAT, &e);
    assert_null(h);
    emk_kem_private_free(k);
}

static void each_message_has_its_own_nonce_and_order_matters(void **state)
{
    ends x = connect(EMK_KEM_X25519, EMK_AEAD_CHACHA20_POLY1305);
    uint8_t cipher[300][17], plain[1];
    emk_error e;

    (void)state;
    for (int i = 0; i < 300; i++) {
        assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher[i], &e), &e);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(cipher[i], cipher[j], 17);
    }
    assert_status(emk_hpke_open(x.receiver, NONE, SPAN(cipher[1]), plain, &e), EMK_E_SEALED, &e);
    for (int i = 0; i < 300; i++)
        assert_ok(emk_hpke_open(x.receiver, NONE, SPAN(cipher[i]), plain, &e), &e);
    assert_status(emk_hpke_open(x.receiver, NONE, SPAN(cipher[0]), plain, &e), EMK_E_SEALED, &e);
    disconnect(&x);
}

static void a_failed_open_leaves_the_sequence_where_it_is(void **state)
{
    ends x = connect(EMK_KEM_P256, EMK_AEAD_AES_256_GCM);
    uint8_t cipher[20], bad[20], plain[4];
    emk_error e;

    (void)state;
    assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("text"), cipher, &e), &e);
    memcpy(bad, cipher, sizeof bad);
    bad[0] ^= 1;
    for (int i = 0; i < 3; i++) {
        assert_status(emk_hpke_open(x.receiver, NONE, SPAN(bad), plain, &e), EMK_E_SEALED, &e);
        assert_status(emk_hpke_open(x.receiver, NONE, emk_span_of(bad, 15), plain, &e),
                      EMK_E_SEALED, &e);
        assert_status(emk_hpke_open(x.receiver, NONE, NONE, plain, &e), EMK_E_SEALED, &e);
    }
    assert_ok(emk_hpke_open(x.receiver, NONE, SPAN(cipher), plain, &e), &e);
    disconnect(&x);
}

static void receiver_may_set_the_sequence_and_sender_may_not(void **state)
{
    ends x = connect(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);
    static const uint8_t two[12] = {[11] = 2};
    uint8_t cipher[4][17], plain[1];
    emk_error e;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher[i], &e), &e);
    assert_status(emk_hpke_set_seq(x.sender, two, &e), EMK_E_USAGE, &e);
    assert_ok(emk_hpke_set_seq(x.receiver, two, &e), &e);
    assert_ok(emk_hpke_open(x.receiver, NONE, SPAN(cipher[2]), plain, &e), &e);
    assert_ok(emk_hpke_open(x.receiver, NONE, SPAN(cipher[3]), plain, &e), &e);
    disconnect(&x);
}

static void the_sequence_carries_through_all_its_bytes_and_never_wraps(void **state)
{
    ends x = connect(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);
    uint8_t seq[12], last[12], cipher[17], plain[1] = {0x77}, after[17];
    emk_error e;

    (void)state;
    for (size_t ones = 1; ones < 12; ones++) { /* ..00 ff ff -> ..01 00 00 */
        memset(seq, 0, sizeof seq);
        memset(seq + 12 - ones, 0xff, ones);
        emk_hpke_force_seq(x.sender, seq);
        assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher, &e), &e);
        assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher, &e), &e);
        memset(seq, 0, sizeof seq);
        seq[11 - ones] = 1;
        assert_ok(emk_hpke_set_seq(x.receiver, seq, &e), &e);
        assert_ok(emk_hpke_open(x.receiver, NONE, SPAN(cipher), plain, &e), &e);
    }
    memset(last, 0xff, sizeof last);
    last[11] = 0xfe; /* 2^96-2 is the last one [RFC 9180 5.2] */
    emk_hpke_force_seq(x.sender, last);
    assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher, &e), &e);
    memset(after, 0x77, sizeof after);
    for (int i = 0; i < 3; i++)
        assert_status(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), after, &e), EMK_E_LIMIT, &e);
    for (size_t i = 0; i < sizeof after; i++)
        assert_int_equal(after[i], 0x77);
    assert_ok(emk_hpke_set_seq(x.receiver, last, &e), &e);
    assert_ok(emk_hpke_open(x.receiver, NONE, SPAN(cipher), plain, &e), &e);
    assert_status(emk_hpke_open(x.receiver, NONE, SPAN(cipher), plain, &e), EMK_E_LIMIT, &e);
    disconnect(&x);
}

static void contexts_work_in_one_direction(void **state)
{
    ends x = connect(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);
    uint8_t cipher[17] = {0}, plain[1];
    emk_error e;

    (void)state;
    assert_status(emk_hpke_seal(x.receiver, NONE, emk_span_str("x"), cipher, &e), EMK_E_USAGE, &e);
    assert_status(emk_hpke_open(x.sender, NONE, SPAN(cipher), plain, &e), EMK_E_USAGE, &e);
    disconnect(&x);
    emk_hpke_free(NULL);
}

static void export_only_exports_and_refuses_messages(void **state)
{
    ends x = connect(EMK_KEM_P256, EMK_AEAD_EXPORT_ONLY);
    emk_hpke_in in = base_in(EMK_KEM_P256, EMK_AEAD_EXPORT_ONLY);
    uint8_t buf[100] = {4}, a[32], b[32];
    emk_hpke_schedule seen;
    emk_error e;

    (void)state;
    assert_status(emk_hpke_seal(x.sender, NONE, NONE, buf, &e), EMK_E_USAGE, &e);
    assert_status(emk_hpke_open(x.receiver, NONE, SPAN(buf), buf, &e), EMK_E_USAGE, &e);
    assert_status(
        emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(x.key), NONE, buf, &e),
        EMK_E_USAGE, &e);
    assert_status(emk_hpke_open_once(&in, x.key, emk_span_of(buf, 65), NONE, buf, &e), EMK_E_USAGE,
                  &e);
    assert_ok(emk_hpke_export(x.sender, emk_span_str("c"), a, sizeof a, &e), &e);
    assert_ok(emk_hpke_export(x.receiver, emk_span_str("c"), b, sizeof b, &e), &e);
    assert_bytes(SPAN(a), SPAN(b));
    emk_hpke_peek(x.sender, &seen);
    assert_int_equal(seen.key_len, 0);
    disconnect(&x);
}

static void exports_0_to_8160_bytes_and_no_more(void **state)
{
    ends x = connect(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);
    static uint8_t a[EMK_HKDF_OUT_MAX + 1], b[EMK_HKDF_OUT_MAX];
    emk_error e;

    (void)state;
    a[0] = 0x77;
    assert_ok(emk_hpke_export(x.sender, NONE, a, 0, &e), &e);
    assert_status(emk_hpke_export(x.sender, NONE, a, sizeof a, &e), EMK_E_LIMIT, &e);
    assert_status(emk_hpke_export(x.sender, NONE, a, 65536 + 32, &e), EMK_E_LIMIT, &e);
    assert_int_equal(a[0], 0x77);
    assert_ok(emk_hpke_export(x.sender, NONE, a, EMK_HKDF_OUT_MAX, &e), &e);
    assert_ok(emk_hpke_export(x.receiver, NONE, b, EMK_HKDF_OUT_MAX, &e), &e);
    assert_memory_equal(a, b, sizeof b);
    assert_ok(emk_hpke_export(x.receiver, NONE, b, 32, &e), &e);
    assert_memory_not_equal(a, b, 32); /* the length is part of the label */
    disconnect(&x);
}

static void info_and_psk_id_may_be_long(void **state)
{
    static uint8_t info[100000];
    emk_kem_private *k = make_key(EMK_KEM_P256);
    emk_hpke_in in = base_in(EMK_KEM_P256, EMK_AEAD_AES_256_GCM);
    uint8_t out[65 + 1 + 16], plain[1];
    emk_error e;

    (void)state;
    in.info = in.psk = in.psk_id = SPAN(info);
    in.mode = EMK_HPKE_PSK;
    assert_ok(emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k), emk_span_str("x"),
                                 out, &e),
              &e);
    assert_ok(
        emk_hpke_open_once(&in, k, emk_span_of(out, 65), emk_span_of(out + 65, 17), plain, &e), &e);
    info[99999] = 1;
    assert_status(
        emk_hpke_open_once(&in, k, emk_span_of(out, 65), emk_span_of(out + 65, 17), plain, &e),
        EMK_E_SEALED, &e);
    emk_kem_private_free(k);
}

static void a_forked_child_cannot_seal_with_the_parents_context(void **state)
{
    ends x = connect(EMK_KEM_X25519, EMK_AEAD_AES_128_GCM);
    uint8_t cipher[17];
    emk_error e;
    int status = -1;
    pid_t child;

    (void)state;
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher, NULL) == EMK_E_USAGE ? 0
                                                                                            : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(emk_hpke_seal(x.sender, NONE, emk_span_str("x"), cipher, &e), &e);
    disconnect(&x);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(seals_as_rfc_9180_does), emk_rule(one_message_opens_in_every_suite),
        emk_rule(refuses_unknown_suites), emk_rule(every_failure_to_open_looks_the_same),
        emk_rule(psk_and_psk_id_must_go_together_and_with_the_mode),
        emk_rule(refuses_unknown_modes), emk_rule(auth_modes_prove_the_sender_and_need_its_key),
        emk_rule(post_quantum_kems_have_no_auth_mode), emk_rule(refuses_a_key_of_another_kem),
        emk_rule(each_message_has_its_own_nonce_and_order_matters),
        emk_rule(a_failed_open_leaves_the_sequence_where_it_is),
        emk_rule(receiver_may_set_the_sequence_and_sender_may_not),
        emk_rule(the_sequence_carries_through_all_its_bytes_and_never_wraps),
        emk_rule(contexts_work_in_one_direction),
        emk_rule(export_only_exports_and_refuses_messages),
        emk_rule(exports_0_to_8160_bytes_and_no_more), emk_rule(info_and_psk_id_may_be_long),
        emk_rule(a_forked_child_cannot_seal_with_the_parents_context));
}
