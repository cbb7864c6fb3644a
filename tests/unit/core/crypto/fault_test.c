/* Runs every public call of core/crypto again and again, letting its first, second, third ...
 * libcrypto call or allocation fail: each run must end in an error status (or, for an
 * allocation that libcrypto can do without, in the right result), leave the outputs alone,
 * and leak nothing (the address sanitizer sees to that). */
#include "core/base/fault.h"
#include "core/crypto/dh.h"
#include "core/crypto/hash.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "core/crypto/sign.h"
#include "core/crypto/test_hooks.h"
#include "tests/unit/core/crypto/context.h"

#ifdef EMK_FAULTS

#define OUT_MAX   4096u
#define UNTOUCHED 0xa5
#define CALLS_MAX 5000u

/* Made once, used by the scenarios. */
static struct {
    uint8_t p256[32], p256_pub[65], x25519[32], x25519_pub[32], sig[64], tag[16], cipher[64];
    uint8_t sealed[65 + 32 + 16], pq_sealed[EMK_KEM_ENC_MAX + 48];
    emk_sha256_ctx *sha;
    emk_aead *aead;
    emk_sign_key *ed, *es;
    emk_verify_key *es_pub;
    emk_kem_private *key, *pq;
} g;

static const uint8_t TEXT[32] = "thirty-two bytes of public text";

typedef emk_status (*scenario_fn)(uint8_t *out, emk_error *e);

static emk_status new_context(uint8_t *out, emk_error *e)
{
    emk_crypto *c = NULL;
    emk_status st = emk_crypto_new(NULL, "provider=default", &c, e);

    (void)out;
    /* a failed fetch must not pass for an algorithm that is absent */
    for (int a = 0; st == EMK_OK && a < EMK_CRYPTO_ABILITIES; a++)
        assert_int_equal(emk_crypto_has(c, (emk_crypto_ability)a),
                         emk_crypto_has(test_crypto(), (emk_crypto_ability)a));
    emk_crypto_free(c);
    return st;
}

static emk_status sha256(uint8_t *out, emk_error *e)
{
    const emk_span parts[] = {SPAN(TEXT), SPAN(TEXT)};

    return emk_sha256(test_crypto(), parts, 2, out, e);
}

static emk_status sha3_256(uint8_t *out, emk_error *e)
{
    const emk_span part = SPAN(TEXT);

    return emk_sha3_256(test_crypto(), &part, 1, out, e);
}

static emk_status shake256(uint8_t *out, emk_error *e)
{
    return emk_shake256(test_crypto(), SPAN(TEXT), out, 64, e);
}

static emk_status sha256_steps(uint8_t *out, emk_error *e)
{
    emk_sha256_ctx *h;
    emk_status st = emk_sha256_ctx_new(test_crypto(), &h, e);

    if (st != EMK_OK)
        return st;
    st = emk_sha256_ctx_reset(h, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, SPAN(TEXT), e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_finish(h, out, e);
    emk_sha256_ctx_free(h);
    return st;
}

static emk_status hmac(uint8_t *out, emk_error *e)
{
    static const uint8_t key[100];
    const emk_span part = SPAN(TEXT);

    return emk_hmac_sha256(test_crypto(), SPAN(key), &part, 1, out, e);
}

static emk_status hkdf_extract(uint8_t *out, emk_error *e)
{
    return emk_hkdf_extract(test_crypto(), NONE, SPAN(TEXT), out, e);
}

static emk_status x25519_generate(uint8_t *out, emk_error *e)
{
    return emk_x25519_generate(test_crypto(), out, out + 32, e);
}

static emk_status p256_generate(uint8_t *out, emk_error *e)
{
    return emk_p256_generate(test_crypto(), out, out + 32, e);
}

static emk_status p256_public(uint8_t *out, emk_error *e)
{
    return emk_p256_public(test_crypto(), g.p256, out, e);
}

static emk_status x25519_public(uint8_t *out, emk_error *e)
{
    return emk_x25519_public(test_crypto(), g.x25519, out, e);
}

static emk_status p256_check(uint8_t *out, emk_error *e)
{
    (void)out;
    return emk_p256_check_public(test_crypto(), g.p256_pub, e);
}

static emk_status dh_p384_once(uint8_t *out, emk_error *e)
{
    uint8_t g384[EMK_P384_PUBLIC_LEN];

    emk_unhex(TEST_P384_G, g384, sizeof g384);
    return emk_dh_p384_once(test_crypto(), g384, out, out + EMK_P384_PUBLIC_LEN, e);
}

static emk_status dh_p256(uint8_t *out, emk_error *e)
{
    return emk_dh_p256(test_crypto(), g.p256, g.p256_pub, out, e);
}

static emk_status dh_x25519(uint8_t *out, emk_error *e)
{
    return emk_dh_x25519(test_crypto(), g.x25519, g.x25519_pub, out, e);
}

static emk_status aead_new(uint8_t *out, emk_error *e)
{
    emk_aead *a = NULL;
    emk_status st = emk_aead_new(test_crypto(), EMK_AEAD_CHACHA20_POLY1305, &a, e);

    (void)out;
    if (st == EMK_OK)
        st = emk_aead_set_key(a, TEXT, e);
    emk_aead_free(a);
    return st;
}

static emk_status sign_generate_ed25519(uint8_t *out, emk_error *e)
{
    return emk_sign_generate(test_crypto(), EMK_SIGN_ED25519, out, out + 32, e);
}

static emk_status sign_generate_es256(uint8_t *out, emk_error *e)
{
    return emk_sign_generate(test_crypto(), EMK_SIGN_ES256, out, out + 32, e);
}

static emk_status key_round(emk_sign_alg alg, const uint8_t *priv, emk_error *e)
{
    emk_verify_key *v = NULL;
    emk_sign_key *k = NULL;
    emk_status st = emk_sign_key_new(test_crypto(), alg, emk_span_of(priv, 32), &k, e);

    if (st == EMK_OK)
        st = emk_verify_key_new(test_crypto(), alg, emk_sign_key_public(k), &v, e);
    emk_verify_key_free(v);
    emk_sign_key_free(k);
    return st;
}

static emk_status ed25519_keys(uint8_t *out, emk_error *e)
{
    (void)out;
    return key_round(EMK_SIGN_ED25519, g.x25519, e);
}

static emk_status es256_keys(uint8_t *out, emk_error *e)
{
    (void)out;
    return key_round(EMK_SIGN_ES256, g.p256, e);
}

static emk_status sign_ed25519(uint8_t *out, emk_error *e)
{
    return emk_sign_make(g.ed, SPAN(TEXT), out, e);
}

static emk_status sign_es256(uint8_t *out, emk_error *e)
{
    return emk_sign_make(g.es, SPAN(TEXT), out, e);
}

static emk_status verify_es256(uint8_t *out, emk_error *e)
{
    (void)out;
    return emk_sign_verify(g.es_pub, SPAN(TEXT), SPAN(g.sig), e);
}

static emk_status verify_der(uint8_t *out, emk_error *e)
{
    uint8_t der[EMK_SIGN_DER_MAX];
    size_t len;
    emk_status st = emk_sign_to_der(g.sig, der, &len, e);

    (void)out;
    return st == EMK_OK ? emk_sign_verify_der(g.es_pub, SPAN(TEXT), emk_span_of(der, len), e) : st;
}

static emk_status kem_generate(uint16_t kem, uint8_t *out, emk_error *e)
{
    if (!emk_kem_is_supported(test_crypto(), kem))
        return EMK_OK;
    return emk_kem_generate(test_crypto(), kem, out, out + EMK_KEM_PRIVATE_MAX, e);
}

static emk_status kem_generate_p256(uint8_t *out, emk_error *e)
{
    return kem_generate(EMK_KEM_P256, out, e);
}

static emk_status kem_generate_xwing(uint8_t *out, emk_error *e)
{
    return kem_generate(EMK_KEM_XWING, out, e);
}

static emk_status kem_derive_p256(uint8_t *out, emk_error *e)
{
    return emk_kem_derive(test_crypto(), EMK_KEM_P256, SPAN(TEXT), out, out + 64, e);
}

static emk_status kem_derive_x25519(uint8_t *out, emk_error *e)
{
    return emk_kem_derive(test_crypto(), EMK_KEM_X25519, SPAN(TEXT), out, out + 64, e);
}

static emk_status kem_derive_hybrid(uint8_t *out, emk_error *e)
{
    if (!g.pq)
        return EMK_OK;
    return emk_kem_derive(test_crypto(), EMK_KEM_MLKEM768_P256, SPAN(TEXT), out, out + 64, e);
}

static emk_status kem_private_p256(uint8_t *out, emk_error *e)
{
    emk_kem_private *k = NULL;
    emk_status st = emk_kem_private_new(test_crypto(), EMK_KEM_P256, SPAN(g.p256), &k, e);

    (void)out;
    emk_kem_private_free(k);
    return st;
}

static emk_status software_dh(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    (void)self;
    return emk_dh_p256(test_crypto(), g.p256, peer, x, e);
}

static emk_status kem_hardware(uint8_t *out, emk_error *e)
{
    emk_kem_hardware hw = {software_dh, NULL, SPAN(g.p256_pub), NONE};
    emk_kem_private *k = NULL;
    emk_status st = emk_kem_private_new_hardware(test_crypto(), EMK_KEM_P256, &hw, &k, e);

    if (st == EMK_OK)
        st = emk_kem_decap(k, emk_span_of(g.sealed, 65), out, e);
    emk_kem_private_free(k);
    return st;
}

static emk_status kem_private_hybrid(uint8_t *out, emk_error *e)
{
    emk_kem_private *k = NULL;
    emk_status st = EMK_OK;

    (void)out;
    if (g.pq)
        st = emk_kem_private_new(test_crypto(), EMK_KEM_MLKEM768_P256, SPAN(TEXT), &k, e);
    emk_kem_private_free(k);
    return st;
}

static emk_status kem_encap_hybrid(uint8_t *out, emk_error *e)
{
    if (!g.pq)
        return EMK_OK;
    return emk_kem_encap(test_crypto(), EMK_KEM_XWING, emk_kem_private_public(g.pq), out + 32, out,
                         e);
}

static emk_hpke_in in_of(uint16_t kem)
{
    return (emk_hpke_in){.suite = {kem, 1, EMK_AEAD_AES_256_GCM}, .info = SPAN(TEXT)};
}

static emk_status hpke_sender(uint8_t *out, emk_error *e)
{
    emk_hpke_in in = in_of(EMK_KEM_P256);
    emk_hpke *h = NULL;
    emk_status st;

    st = emk_hpke_sender_new(test_crypto(), &in, emk_kem_private_public(g.key), out, &h, e);
    emk_hpke_free(h);
    return st;
}

static emk_status hpke_receiver(uint8_t *out, emk_error *e)
{
    emk_hpke_in in = in_of(EMK_KEM_P256);
    emk_hpke *h = NULL;
    emk_status st = emk_hpke_receiver_new(&in, g.key, emk_span_of(g.sealed, 65), &h, e);

    (void)out;
    emk_hpke_free(h);
    return st;
}

static emk_status hpke_auth(uint8_t *out, emk_error *e)
{
    emk_hpke_in in = in_of(EMK_KEM_P256);
    emk_hpke *h = NULL;
    emk_status st;

    in.mode = EMK_HPKE_AUTH;
    in.sender_key = g.key;
    st = emk_hpke_sender_new(test_crypto(), &in, emk_kem_private_public(g.key), out, &h, e);
    emk_hpke_free(h);
    return st;
}

static const struct {
    const char *name;
    scenario_fn run;
} SCENARIOS[] = {
    {"new_context", new_context},
    {"sha256", sha256},
    {"sha3_256", sha3_256},
    {"shake256", shake256},
    {"sha256_steps", sha256_steps},
    {"hmac", hmac},
    {"hkdf_extract", hkdf_extract},
    {"x25519_generate", x25519_generate},
    {"p256_generate", p256_generate},
    {"x25519_public", x25519_public},
    {"p256_public", p256_public},
    {"p256_check", p256_check},
    {"dh_p256", dh_p256},
    {"dh_p384_once", dh_p384_once},
    {"dh_x25519", dh_x25519},
    {"aead_new", aead_new},
    {"sign_generate_ed25519", sign_generate_ed25519},
    {"sign_generate_es256", sign_generate_es256},
    {"ed25519_keys", ed25519_keys},
    {"es256_keys", es256_keys},
    {"sign_ed25519", sign_ed25519},
    {"sign_es256", sign_es256},
    {"verify_es256", verify_es256},
    {"verify_der", verify_der},
    {"kem_generate_p256", kem_generate_p256},
    {"kem_generate_xwing", kem_generate_xwing},
    {"kem_derive_p256", kem_derive_p256},
    {"kem_derive_x25519", kem_derive_x25519},
    {"kem_derive_hybrid", kem_derive_hybrid},
    {"kem_private_p256", kem_private_p256},
    {"kem_private_hybrid", kem_private_hybrid},
    {"kem_hardware", kem_hardware},
    {"kem_encap_hybrid", kem_encap_hybrid},
    {"hpke_sender", hpke_sender},
    {"hpke_receiver", hpke_receiver},
    {"hpke_auth", hpke_auth},
};

/* Outputs whose length the caller chose come back zeroed, not untouched. */
static emk_status hkdf_expand(uint8_t *out, emk_error *e)
{
    return emk_hkdf_expand(test_crypto(), TEXT, SPAN(TEXT), out, 100, e);
}

static emk_status random_bytes(uint8_t *out, emk_error *e)
{
    emk_status st = emk_random_secret(test_crypto(), out, 50, e);

    return st == EMK_OK ? emk_random_public(test_crypto(), out + 50, 50, e) : st;
}

static emk_status pbkdf2(uint8_t *out, emk_error *e)
{
    emk_pbkdf2 p = {SPAN(TEXT), SPAN(TEXT), 2};

    return emk_pbkdf2_derive(test_crypto(), &p, out, 100, e);
}

static emk_status scrypt(uint8_t *out, emk_error *e)
{
    emk_scrypt s = {SPAN(TEXT), SPAN(TEXT), 16, 8, 1, 1 << 20};

    return emk_scrypt_derive(test_crypto(), &s, out, 100, e);
}

static emk_status aead_seal(uint8_t *out, emk_error *e)
{
    uint8_t tag[16];

    return emk_aead_seal(g.aead, TEXT, SPAN(TEXT), SPAN(TEXT), out, tag, e);
}

static emk_status aead_prefix(uint8_t *out, emk_error *e)
{
    return emk_aead_seal_prefix(g.aead, TEXT, SPAN(TEXT), out, e);
}

static emk_status aead_open(uint8_t *out, emk_error *e)
{
    return emk_aead_open(g.aead, TEXT, SPAN(TEXT), emk_span_of(g.cipher, 32), g.tag, out, e);
}

static emk_status seal_once(uint8_t *out, emk_error *e)
{
    emk_hpke_in in = in_of(EMK_KEM_P256);

    return emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(g.key), SPAN(TEXT), out,
                              e);
}

static emk_status open_once(uint8_t *out, emk_error *e)
{
    emk_hpke_in in = in_of(EMK_KEM_P256);

    return emk_hpke_open_once(&in, g.key, emk_span_of(g.sealed, 65), emk_span_of(g.sealed + 65, 48),
                              out, e);
}

static emk_status open_once_hybrid(uint8_t *out, emk_error *e)
{
    emk_hpke_in in = in_of(EMK_KEM_XWING);

    if (!g.pq)
        return EMK_OK;
    return emk_hpke_open_once(&in, g.pq, emk_span_of(g.pq_sealed, 1120),
                              emk_span_of(g.pq_sealed + 1120, 48), out, e);
}

static const struct {
    const char *name;
    scenario_fn run;
} ZEROING[] = {
    {"hkdf_expand", hkdf_expand}, {"random_bytes", random_bytes},
    {"pbkdf2", pbkdf2},           {"scrypt", scrypt},
    {"aead_seal", aead_seal},     {"aead_prefix", aead_prefix},
    {"aead_open", aead_open},     {"seal_once", seal_once},
    {"open_once", open_once},     {"open_once_hybrid", open_once_hybrid},
};

static void check_outputs(const char *name, const uint8_t *out, bool zeroing, uint64_t n)
{
    for (size_t i = 0; i < OUT_MAX; i++) {
        if (out[i] == UNTOUCHED || (zeroing && out[i] == 0))
            continue;
        /* random_bytes: the first half was a success of its own */
        if (zeroing && strcmp(name, "random_bytes") == 0 && i < 50)
            continue;
        fail_msg("%s: output byte %zu was written although call %llu failed", name, i,
                 (unsigned long long)n);
    }
}

/* Returns the number of calls that could fail. */
static uint64_t fail_each(emk_fault_kind kind, const char *name, scenario_fn run, bool zeroing)
{
    static uint8_t out[OUT_MAX];

    for (uint64_t n = 1; n < CALLS_MAX; n++) {
        emk_error e = {EMK_OK, NULL, 0};
        emk_status st;
        uint64_t calls;

        memset(out, UNTOUCHED, sizeof out);
        emk_fault_fail_at(kind, n);
        st = run(out, &e);
        calls = emk_fault_count(kind);
        emk_fault_fail_at(kind, 0);
        if (calls < n) {
            assert_ok(st, &e);
            return n - 1;
        }
        if (st == EMK_OK && kind == EMK_FAULT_ALLOC)
            continue; /* libcrypto got along without that one */
        /* out of memory libcrypto cannot always say that it is: any refusal will do then */
        if (kind == EMK_FAULT_CRYPTO)
            assert_int_equal(st, EMK_E_CRYPTO);
        check_outputs(name, out, zeroing, n);
    }
    fail_msg("%s: no end", name);
    return 0;
}

static void fail_all(emk_fault_kind kind)
{
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof SCENARIOS[0]; i++)
        fail_each(kind, SCENARIOS[i].name, SCENARIOS[i].run, false);
    for (size_t i = 0; i < sizeof ZEROING / sizeof ZEROING[0]; i++)
        fail_each(kind, ZEROING[i].name, ZEROING[i].run, true);
}

static void survives_the_failure_of_any_libcrypto_call(void **state)
{
    (void)state;
    fail_all(EMK_FAULT_CRYPTO);
}

static void survives_the_failure_of_any_allocation(void **state)
{
    (void)state;
    fail_all(EMK_FAULT_ALLOC);
}

static void counts_calls_that_can_fail(void **state)
{
    (void)state;
    assert_true(fail_each(EMK_FAULT_CRYPTO, "dh_p256", dh_p256, false) >= 8);
    assert_true(fail_each(EMK_FAULT_ALLOC, "hpke_sender", hpke_sender, false) >= 2);
}

static void a_sender_whose_seal_failed_refuses_to_go_on(void **state)
{
    emk_hpke_in in = in_of(EMK_KEM_P256);
    uint8_t enc[65], cipher[48];
    emk_hpke *h;
    emk_error e;

    (void)state;
    assert_ok(emk_hpke_sender_new(test_crypto(), &in, emk_kem_private_public(g.key), enc, &h, &e),
              &e);
    emk_fault_fail_at(EMK_FAULT_CRYPTO, 3);
    assert_status(emk_hpke_seal(h, SPAN(TEXT), SPAN(TEXT), cipher, &e), EMK_E_CRYPTO, &e);
    emk_fault_fail_at(EMK_FAULT_CRYPTO, 0);
    assert_status(emk_hpke_seal(h, SPAN(TEXT), SPAN(TEXT), cipher, &e), EMK_E_USAGE, &e);
    emk_hpke_free(h);
}

static int make_things(void **state)
{
    emk_hpke_in in = in_of(EMK_KEM_P256), pq_in = in_of(EMK_KEM_XWING);
    emk_error e;

    (void)state;
    assert_ok(emk_p256_generate(test_crypto(), g.p256, g.p256_pub, &e), &e);
    assert_ok(emk_x25519_generate(test_crypto(), g.x25519, g.x25519_pub, &e), &e);
    assert_ok(emk_aead_new(test_crypto(), EMK_AEAD_AES_256_GCM, &g.aead, &e), &e);
    assert_ok(emk_aead_set_key(g.aead, TEXT, &e), &e);
    assert_ok(emk_aead_seal(g.aead, TEXT, SPAN(TEXT), SPAN(TEXT), g.cipher, g.tag, &e), &e);
    assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ED25519, SPAN(g.x25519), &g.ed, &e), &e);
    assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(g.p256), &g.es, &e), &e);
    assert_ok(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(g.p256_pub), &g.es_pub, &e),
              &e);
    assert_ok(emk_sign_make(g.es, SPAN(TEXT), g.sig, &e), &e);
    assert_ok(emk_kem_private_new(test_crypto(), EMK_KEM_P256, SPAN(g.p256), &g.key, &e), &e);
    assert_ok(emk_hpke_seal_once(test_crypto(), &in, SPAN(g.p256_pub), SPAN(TEXT), g.sealed, &e),
              &e);
    if (!emk_kem_is_supported(test_crypto(), EMK_KEM_XWING))
        return 0;
    assert_ok(emk_kem_private_new(test_crypto(), EMK_KEM_XWING, SPAN(TEXT), &g.pq, &e), &e);
    assert_ok(emk_hpke_seal_once(test_crypto(), &pq_in, emk_kem_private_public(g.pq), SPAN(TEXT),
                                 g.pq_sealed, &e),
              &e);
    return 0;
}

static void unmake_things(void)
{
    emk_aead_free(g.aead);
    emk_sign_key_free(g.ed);
    emk_sign_key_free(g.es);
    emk_verify_key_free(g.es_pub);
    emk_kem_private_free(g.key);
    emk_kem_private_free(g.pq);
    emk_crypto_free(test_crypto());
}

/* Everything once without failures: libcrypto fills its caches, and a rule that never worked
 * shows here. */
static void every_scenario_works_without_failures(void **state)
{
    static uint8_t out[OUT_MAX];
    emk_error e;

    make_things(state);
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof SCENARIOS[0]; i++)
        assert_ok(SCENARIOS[i].run(out, &e), &e);
    for (size_t i = 0; i < sizeof ZEROING / sizeof ZEROING[0]; i++)
        assert_ok(ZEROING[i].run(out, &e), &e);
}

int main(void)
{
    int failed;

    if (!emk_crypto_hook_heap()) {
        print_message("SKIP libcrypto would not take the allocator\n");
        return EMK_TEST_SKIP;
    }
    failed = EMK_RUN(emk_rule(every_scenario_works_without_failures),
                     emk_rule(survives_the_failure_of_any_libcrypto_call),
                     emk_rule(survives_the_failure_of_any_allocation),
                     emk_rule(counts_calls_that_can_fail),
                     emk_rule(a_sender_whose_seal_failed_refuses_to_go_on));
    unmake_things();
    return failed;
}

#else
int main(void)
{
    print_message("SKIP built without EMK_FAULTS\n");
    return EMK_TEST_SKIP;
}
#endif
