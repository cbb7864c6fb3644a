/* Nothing of a secret is left in this process once it was used and freed. */
#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "core/crypto/sign.h"
#include "tests/support/memory_scan.h"
#include "tests/unit/core/crypto/context.h"

/* Runs `use` on a fresh secret of len bytes in `buf`, wipes that, and scans. */
typedef void (*use_fn)(uint8_t *secret);

/* What is looked for besides the secret itself is worked out afterwards, on another stack. */
typedef struct job {
    use_fn use;
    uint8_t *secret;
} job;

static void run_job(void *self)
{
    const job *j = self;

    j->use(j->secret);
}

static void apart(use_fn use, uint8_t *secret)
{
    job j = {use, secret};

    emk_scan_run_apart(run_job, &j);
}

static size_t residue_of(use_fn use, use_fn also, size_t len)
{
    static uint8_t buf[64];
    size_t hits;
    emk_error e;

    emk_scan_forget();
    assert_ok(emk_random_secret(test_crypto(), buf, len, &e), &e);
    buf[0] &= 0x7f; /* a P-256 scalar too */
    emk_scan_look_for(buf, len);
    apart(use, buf);
    if (also)
        also(buf);
    emk_wipe(buf, sizeof buf);
    hits = emk_scan_count();
    emk_scan_forget();
    return hits;
}

static void finds_what_was_left_behind(void **state)
{
    static uint8_t copy[32];
    uint8_t secret[32];
    emk_error e;

    (void)state;
    emk_scan_forget();
    assert_ok(emk_random_secret(test_crypto(), secret, sizeof secret, &e), &e);
    emk_scan_look_for(secret, sizeof secret);
    memcpy(copy, secret + 7, 12);
    emk_wipe(secret, sizeof secret);
    assert_true(emk_scan_count() >= 1);
    emk_wipe(copy, sizeof copy);
    assert_int_equal(emk_scan_count(), 0);
}

/* Everything public that the uses need, made beforehand. */
static struct {
    uint8_t peer_p256[65], peer_x25519[32], x[32], out[64], sig[64], buf[32], tag[16];
    uint8_t sealed[EMK_KEM_ENC_MAX + 48];
    uint16_t kem;
} g;

/* cmocka's asserts jump, which must not happen on the other stack. */
static void need(emk_status st)
{
    if (st != EMK_OK)
        abort();
}

static void use_p256_public(uint8_t *secret)
{
    need(emk_p256_public(test_crypto(), secret, g.peer_p256, NULL));
}

static void use_p256(uint8_t *secret)
{
    need(emk_dh_p256(test_crypto(), secret, g.peer_p256, g.x, NULL));
    emk_wipe(g.x, sizeof g.x);
}

static void use_x25519_public(uint8_t *secret)
{
    need(emk_x25519_public(test_crypto(), secret, g.peer_x25519, NULL));
}

static void use_x25519(uint8_t *secret)
{
    need(emk_dh_x25519(test_crypto(), secret, g.peer_x25519, g.x, NULL));
    emk_wipe(g.x, sizeof g.x);
}

static void expect_p256_secret(uint8_t *secret)
{
    need(emk_dh_p256(test_crypto(), secret, g.peer_p256, g.x, NULL));
    emk_scan_look_for(g.x, sizeof g.x);
    emk_wipe(g.x, sizeof g.x);
}

static void expect_x25519_secret(uint8_t *secret)
{
    need(emk_dh_x25519(test_crypto(), secret, g.peer_x25519, g.x, NULL));
    emk_scan_look_for(g.x, sizeof g.x);
    emk_wipe(g.x, sizeof g.x);
}

static void use_sign(emk_sign_alg alg, uint8_t *secret)
{
    emk_sign_key *k;

    need(emk_sign_key_new(test_crypto(), alg, emk_span_of(secret, 32), &k, NULL));
    need(emk_sign_make(k, emk_span_str("text"), g.sig, NULL));
    emk_sign_key_free(k);
}

static void use_ed25519(uint8_t *secret)
{
    use_sign(EMK_SIGN_ED25519, secret);
}

static void use_es256(uint8_t *secret)
{
    use_sign(EMK_SIGN_ES256, secret);
}

static void use_hmac(uint8_t *secret)
{
    emk_span part = emk_span_str("text");

    need(emk_hmac_sha256(test_crypto(), emk_span_of(secret, 32), &part, 1, g.out, NULL));
    emk_wipe(g.out, sizeof g.out);
}

static void use_expand(uint8_t *secret)
{
    need(emk_hkdf_expand(test_crypto(), secret, NONE, g.out, 64, NULL));
    emk_wipe(g.out, sizeof g.out);
}

/* The key as HMAC mixes it, and what came out. */
static void expect_kdf(uint8_t *secret)
{
    uint8_t padded[32];
    emk_span part = emk_span_str("text");

    for (unsigned pad = 0x36; pad <= 0x5c; pad += 0x26) {
        for (size_t i = 0; i < sizeof padded; i++)
            padded[i] = (uint8_t)(secret[i] ^ pad);
        emk_scan_look_for(padded, sizeof padded);
    }
    need(emk_hmac_sha256(test_crypto(), emk_span_of(secret, 32), &part, 1, g.out, NULL));
    emk_scan_look_for(g.out, 32);
    need(emk_hkdf_expand(test_crypto(), secret, NONE, g.out, 64, NULL));
    emk_scan_look_for(g.out, 64);
    emk_wipe(g.out, sizeof g.out);
    emk_wipe(padded, sizeof padded);
}

static void use_pbkdf2(uint8_t *secret)
{
    emk_pbkdf2 p = {emk_span_of(secret, 32), emk_span_str("salt"), 2};

    need(emk_pbkdf2_derive(test_crypto(), &p, g.out, 32, NULL));
    emk_wipe(g.out, sizeof g.out);
}

static void use_scrypt(uint8_t *secret)
{
    emk_scrypt s = {emk_span_of(secret, 32), emk_span_str("salt"), 1024, 8, 1, 1 << 21};

    need(emk_scrypt_derive(test_crypto(), &s, g.out, 32, NULL));
    emk_wipe(g.out, sizeof g.out);
}

static void expect_passphrase(uint8_t *secret)
{
    emk_pbkdf2 p = {emk_span_of(secret, 32), emk_span_str("salt"), 2};
    emk_scrypt s = {emk_span_of(secret, 32), emk_span_str("salt"), 1024, 8, 1, 1 << 21};

    need(emk_pbkdf2_derive(test_crypto(), &p, g.out, 32, NULL));
    emk_scan_look_for(g.out, 32);
    need(emk_scrypt_derive(test_crypto(), &s, g.out, 32, NULL));
    emk_scan_look_for(g.out, 32);
    emk_wipe(g.out, sizeof g.out);
}

/* What the failed opening decrypts is the secret itself. */
static void use_aead(uint8_t *secret)
{
    static const uint8_t nonce[12];

    for (uint16_t id = 1; id <= EMK_AEAD_CHACHA20_POLY1305; id++) {
        emk_aead *a;

        need(emk_aead_new(test_crypto(), id, &a, NULL));
        need(emk_aead_set_key(a, secret, NULL));
        need(emk_aead_seal(a, nonce, NONE, emk_span_of(secret, 32), g.buf, g.tag, NULL));
        g.tag[0] ^= 1;
        if (emk_aead_open(a, nonce, NONE, SPAN(g.buf), g.tag, g.buf, NULL) != EMK_E_SEALED)
            abort();
        emk_aead_free(a);
    }
}

static emk_hpke_in hpke_in(void)
{
    return (emk_hpke_in){.suite = {g.kem, 1, EMK_AEAD_AES_256_GCM}, .info = emk_span_str("info")};
}

static emk_kem_private *hpke_key(const uint8_t *secret)
{
    emk_kem_private *k;

    need(emk_kem_private_new(test_crypto(), g.kem, emk_span_of(secret, emk_kem_private_len(g.kem)),
                             &k, NULL));
    return k;
}

/* Seals the first 32 bytes of the secret to the secret as a private key. */
static void use_hpke_seal(uint8_t *secret)
{
    emk_kem_private *k = hpke_key(secret);
    emk_hpke_in in = hpke_in();

    need(emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k), emk_span_of(secret, 32),
                            g.sealed, NULL));
    emk_kem_private_free(k);
}

static void use_hpke_open(uint8_t *secret)
{
    size_t n = emk_kem_enc_len(g.kem);
    emk_kem_private *k = hpke_key(secret);
    emk_hpke_in in = hpke_in();

    need(emk_hpke_open_once(&in, k, emk_span_of(g.sealed, n), emk_span_of(g.sealed + n, 48), g.out,
                            NULL));
    emk_wipe(g.out, sizeof g.out);
    emk_kem_private_free(k);
}

/* The shared secret and the key schedule of what was sealed or opened. */
static void expect_hpke(uint8_t *secret)
{
    emk_kem_private *k = hpke_key(secret);
    emk_span enc = emk_span_of(g.sealed, emk_kem_enc_len(g.kem));
    emk_hpke_in in = hpke_in();
    emk_hpke_schedule seen;
    emk_hpke *h;

    need(emk_kem_decap(k, enc, g.x, NULL));
    emk_scan_look_for(g.x, sizeof g.x);
    need(emk_hpke_receiver_new(&in, k, enc, &h, NULL));
    emk_hpke_peek(h, &seen);
    emk_scan_look_for(seen.key, sizeof seen.key);
    emk_scan_look_for(seen.base_nonce, sizeof seen.base_nonce);
    emk_scan_look_for(seen.exporter_secret, sizeof seen.exporter_secret);
    emk_wipe(&seen, sizeof seen);
    emk_wipe(g.x, sizeof g.x);
    emk_hpke_free(h);
    emk_kem_private_free(k);
}

static void prepare_opening(uint8_t *secret)
{
    use_hpke_seal(secret);
    apart(use_hpke_open, secret);
    expect_hpke(secret);
}

static void diffie_hellman_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(residue_of(use_p256_public, NULL, 32), 0);
    assert_int_equal(residue_of(use_p256, expect_p256_secret, 32), 0);
    assert_int_equal(residue_of(use_x25519_public, NULL, 32), 0);
    assert_int_equal(residue_of(use_x25519, expect_x25519_secret, 32), 0);
}

static void p384_once(void *self)
{
    uint8_t peer[EMK_P384_PUBLIC_LEN], pub[EMK_P384_PUBLIC_LEN];

    emk_unhex(TEST_P384_G, peer, sizeof peer);
    need(emk_dh_p384_once(test_crypto(), peer, pub, self, NULL)); /* another peer than G */
    need(emk_dh_p384_once(test_crypto(), pub, peer, self, NULL));
    emk_scan_look_for(self, EMK_P384_SHARED_LEN);
    emk_wipe(self, EMK_P384_SHARED_LEN);
}

static void a_p384_secret_leaves_nothing(void **state)
{
    static uint8_t x[EMK_P384_SHARED_LEN];

    (void)state;
    emk_scan_forget();
    emk_scan_run_apart(p384_once, x);
    assert_int_equal(emk_scan_count(), 0);
    emk_scan_forget();
}

static void signing_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(residue_of(use_ed25519, NULL, 32), 0);
    assert_int_equal(residue_of(use_es256, NULL, 32), 0);
}

static void key_derivation_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(residue_of(use_hmac, expect_kdf, 32), 0);
    assert_int_equal(residue_of(use_expand, expect_kdf, 32), 0);
}

static void passphrases_leave_nothing(void **state)
{
    (void)state;
    assert_int_equal(residue_of(use_pbkdf2, expect_passphrase, 32), 0);
    assert_int_equal(residue_of(use_scrypt, expect_passphrase, 32), 0);
}

static void encryption_leaves_nothing_even_when_it_fails(void **state)
{
    (void)state;
    assert_int_equal(residue_of(use_aead, NULL, 32), 0);
}

static void hpke_leaves_nothing(void **state)
{
    static const uint16_t kems[] = {EMK_KEM_P256, EMK_KEM_X25519, EMK_KEM_ML_KEM_768,
                                    EMK_KEM_MLKEM768_P256, EMK_KEM_XWING};

    (void)state;
    for (size_t i = 0; i < sizeof kems / sizeof kems[0]; i++) {
        size_t len = emk_kem_private_len(kems[i]);

        if (!emk_kem_is_supported(test_crypto(), kems[i]))
            continue;
        g.kem = kems[i];
        assert_int_equal(residue_of(use_hpke_seal, expect_hpke, len), 0);
        assert_int_equal(residue_of(use_hpke_seal, prepare_opening, len), 0);
    }
}

int main(void)
{
    if (!emk_scan_works()) {
        print_message("SKIP a sanitizer keeps freed memory and maps terabytes\n");
        return EMK_TEST_SKIP;
    }
    return EMK_RUN(emk_rule(finds_what_was_left_behind), emk_rule(diffie_hellman_leaves_nothing),
                   emk_rule(a_p384_secret_leaves_nothing), emk_rule(signing_leaves_nothing),
                   emk_rule(key_derivation_leaves_nothing), emk_rule(passphrases_leave_nothing),
                   emk_rule(encryption_leaves_nothing_even_when_it_fails),
                   emk_rule(hpke_leaves_nothing));
}
