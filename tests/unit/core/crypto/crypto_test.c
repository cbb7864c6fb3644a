#include "core/base/os_parallel.h"
#include "core/crypto/hpke.h"
#include "core/crypto/random.h"
#include "core/crypto/sign.h"
#include "tests/unit/core/crypto/context.h"

static void finds_what_every_openssl_3_has(void **state)
{
    (void)state;
    for (int a = 0; a < EMK_CRYPTO_ML_KEM_768; a++)
        assert_true(emk_crypto_has(test_crypto(), (emk_crypto_ability)a));
    assert_false(emk_crypto_has(test_crypto(), EMK_CRYPTO_ABILITIES));
    assert_false(emk_crypto_has(test_crypto(), (emk_crypto_ability)-1));
}

static void ml_kem_follows_the_library_that_runs(void **state)
{
    static const char name[] = "OpenSSL ";
    const char *version = emk_crypto_version();
    unsigned long major, minor;
    char *rest;

    (void)state;
    assert_memory_equal(version, name, strlen(name));
    major = strtoul(version + strlen(name), &rest, 10);
    assert_int_equal(*rest, '.');
    minor = strtoul(rest + 1, NULL, 10);
    assert_int_equal(emk_crypto_has(test_crypto(), EMK_CRYPTO_ML_KEM_768),
                     major > 3 || (major == 3 && minor >= 5));
}

static void refuses_a_property_query_that_leaves_nothing(void **state)
{
    emk_crypto *c = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_crypto_new(NULL, "provider=nobody", &c, &e), EMK_E_UNSUPPORTED, &e);
    assert_status(emk_crypto_new(NULL, "fips=yes", &c, &e), EMK_E_UNSUPPORTED, &e);
    assert_null(c);
}

static void answers_per_context_not_per_process(void **state)
{
    emk_crypto *all = test_crypto(), *c = NULL;
    emk_error e;

    (void)state;
    assert_ok(emk_crypto_new(NULL, "provider=default", &c, &e), &e);
    assert_true(emk_crypto_has(c, EMK_CRYPTO_X25519));
    assert_true(emk_crypto_has(all, EMK_CRYPTO_X25519));
    emk_crypto_free(c);
}

static void free_takes_null(void **state)
{
    (void)state;
    emk_crypto_free(NULL);
}

static void random_bytes_differ_and_zero_of_them_are_fine(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    emk_error e;

    (void)state;
    assert_ok(emk_random_secret(test_crypto(), a, sizeof a, &e), &e);
    assert_ok(emk_random_public(test_crypto(), b, sizeof b, &e), &e);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
    assert_memory_not_equal(b, zero, sizeof b);
    assert_ok(emk_random_secret(test_crypto(), NULL, 0, &e), &e);
    assert_ok(emk_random_public(test_crypto(), NULL, 0, &e), &e);
}

typedef struct shared_keys {
    emk_sign_key *sign;
    emk_verify_key *verify;
    emk_kem_private *kem;
} shared_keys;

static emk_status round_trip(const shared_keys *k, emk_error *e)
{
    static const uint8_t text[] = "one context, many threads";
    emk_hpke_in in = {.suite = {EMK_KEM_P256, 1, EMK_AEAD_AES_256_GCM}, .info = SPAN(text)};
    uint8_t sig[64], sealed[65 + sizeof text + 16], plain[sizeof text];
    emk_status st;

    st = emk_sign_make(k->sign, SPAN(text), sig, e);
    if (st == EMK_OK)
        st = emk_sign_verify(k->verify, SPAN(text), SPAN(sig), e);
    if (st == EMK_OK)
        st = emk_hpke_seal_once(test_crypto(), &in, emk_kem_private_public(k->kem), SPAN(text),
                                sealed, e);
    if (st == EMK_OK)
        st = emk_hpke_open_once(&in, k->kem, emk_span_of(sealed, 65),
                                emk_span_of(sealed + 65, sizeof sealed - 65), plain, e);
    return st;
}

static emk_status many_round_trips(void *self, unsigned worker, emk_error *e)
{
    emk_status st = EMK_OK;

    (void)worker;
    for (int i = 0; st == EMK_OK && i < 50; i++)
        st = round_trip(self, e);
    return st;
}

static void many_threads_share_one_context_and_its_keys(void **state)
{
    uint8_t priv[32], pub[65];
    shared_keys k;
    emk_error e;

    (void)state;
    assert_ok(emk_sign_generate(test_crypto(), EMK_SIGN_ES256, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(priv), &k.sign, &e), &e);
    assert_ok(emk_verify_key_new(test_crypto(), EMK_SIGN_ES256, SPAN(pub), &k.verify, &e), &e);
    assert_ok(emk_kem_private_new(test_crypto(), EMK_KEM_P256, SPAN(priv), &k.kem, &e), &e);
    assert_ok(emk_parallel_run(4, many_round_trips, &k, &e), &e);
    emk_kem_private_free(k.kem);
    emk_verify_key_free(k.verify);
    emk_sign_key_free(k.sign);
}

int main(void)
{
    return EMK_RUN(emk_rule(finds_what_every_openssl_3_has),
                   emk_rule(ml_kem_follows_the_library_that_runs),
                   emk_rule(refuses_a_property_query_that_leaves_nothing),
                   emk_rule(answers_per_context_not_per_process), emk_rule(free_takes_null),
                   emk_rule(random_bytes_differ_and_zero_of_them_are_fine),
                   emk_rule(many_threads_share_one_context_and_its_keys));
}
