#include "core/crypto/rsa.h"

#include "cli/json_dom.h"
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "tests/unit/core/crypto/context.h"

#define FILE_MAX ((size_t)1 << 20)

static emk_rsa_private *key;

static const emk_rsa_public *pub(void)
{
    return emk_rsa_private_public(key);
}

static const emk_rsa_scheme ALL[] = {
    EMK_RSA_PKCS1_SHA256, EMK_RSA_PKCS1_SHA384, EMK_RSA_PKCS1_SHA512, EMK_RSA_PKCS1_SHA1_LEGACY,
    EMK_RSA_PSS_SHA256,   EMK_RSA_PSS_SHA384,   EMK_RSA_PSS_SHA512,   EMK_RSA_PSS_SHA1_LEGACY,
};

#define N_ALL (sizeof ALL / sizeof ALL[0])

static void verifies_its_own_scheme_and_no_other(void **state)
{
    uint8_t sig[EMK_RSA_MODULUS_MAX];
    emk_span msg = emk_span_str("what is signed");
    emk_error e;

    (void)state;
    for (size_t i = 0; i < N_ALL; i++) {
        emk_span s = emk_span_of(sig, emk_rsa_public_len(pub()));

        assert_ok(emk_rsa_sign(key, ALL[i], msg, sig, &e), &e);
        for (size_t j = 0; j < N_ALL; j++)
            assert_status(emk_rsa_verify(pub(), ALL[j], msg, s, &e),
                          i == j ? EMK_OK : EMK_E_SIGNATURE, &e);
        flip(sig, 77);
        assert_status(emk_rsa_verify(pub(), ALL[i], msg, s, &e), EMK_E_SIGNATURE, &e);
        flip(sig, 77);
        s.len--;
        assert_status(emk_rsa_verify(pub(), ALL[i], msg, s, &e), EMK_E_SIGNATURE, &e);
    }
    assert_status(emk_rsa_verify(pub(), (emk_rsa_scheme)99, msg, SPAN(sig), &e), EMK_E_UNSUPPORTED,
                  &e);
}

static void key_survives_its_spki(void **state)
{
    uint8_t spki[EMK_RSA_SPKI_MAX];
    emk_rsa_public *again = NULL;
    emk_error e;
    size_t len;

    (void)state;
    assert_ok(emk_rsa_public_to_spki(pub(), spki, &len, &e), &e);
    assert_ok(emk_rsa_public_from_spki(test_crypto(), emk_span_of(spki, len), &again, &e), &e);
    assert_bytes(emk_rsa_public_modulus(again), emk_rsa_public_modulus(pub()));
    assert_int_equal(emk_rsa_public_exponent(again), 65537);
    emk_rsa_public_free(again);
    for (size_t i = 0; i < len; i++) {
        again = NULL;
        assert_int_not_equal(
            emk_rsa_public_from_spki(test_crypto(), emk_span_of(spki, i), &again, &e), EMK_OK);
    }
}

static void rejects_keys_beyond_the_limits(void **state)
{
    static uint8_t n[EMK_RSA_MODULUS_MAX + 1];
    static const uint8_t F4[] = {0, 0, 0, 1, 0, 1}, ONE[] = {1}, EVEN[] = {4},
                         LONG[] = {1, 0, 0, 0, 1};
    static const struct {
        size_t n_len;
        uint8_t last;
        emk_span exponent;
        emk_status want;
    } ROWS[] = {
        {256, 1, {F4, 6}, EMK_OK},        {1024, 1, {F4, 6}, EMK_OK},
        {255, 1, {F4, 6}, EMK_E_LIMIT},   {1025, 1, {F4, 6}, EMK_E_LIMIT},
        {0, 1, {F4, 6}, EMK_E_LIMIT},     {256, 0, {F4, 6}, EMK_E_FORMAT},
        {256, 1, {ONE, 1}, EMK_E_FORMAT}, {256, 1, {EVEN, 1}, EMK_E_FORMAT},
        {256, 1, {LONG, 5}, EMK_E_LIMIT}, {256, 1, {NULL, 0}, EMK_E_FORMAT},
        {256, 1, {F4, 3}, EMK_E_FORMAT},
    };

    (void)state;
    memset(n, 0xff, sizeof n);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        emk_rsa_public *k = NULL;
        emk_error e;

        if (ROWS[i].n_len > 0)
            n[ROWS[i].n_len - 1] = (uint8_t)(0xfe | ROWS[i].last);
        assert_status(emk_rsa_public_new(test_crypto(), emk_span_of(n, ROWS[i].n_len),
                                         ROWS[i].exponent, &k, &e),
                      ROWS[i].want, &e);
        emk_rsa_public_free(k);
        n[ROWS[i].n_len ? ROWS[i].n_len - 1 : 0] = 0xff;
    }
}

/* 65537 to the power 128: 257 bytes, and a power of 65537 by every prime. */
static void rejects_key_that_can_be_factored(void **state)
{
    static const uint8_t F4[] = {1, 0, 1};
    uint8_t n[257] = {0};
    emk_span modulus = SPAN(n);
    emk_rsa_public *k = NULL;
    emk_error e;

    (void)state;
    n[256] = 1;
    for (int i = 0; i < 128; i++) { /* n += n << 16 */
        uint8_t old[sizeof n];
        unsigned carry = 0;

        memcpy(old, n, sizeof n);
        for (size_t j = sizeof n; j-- > 0;) {
            carry += old[j] + (j + 2 < sizeof n ? old[j + 2] : 0u);
            n[j] = (uint8_t)carry;
            carry >>= 8;
        }
    }
    assert_true(emk_rsa_is_roca(modulus));
    assert_status(emk_rsa_public_new(test_crypto(), modulus, SPAN(F4), &k, &e), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, "rsa: a key that can be factored (ROCA)");
    n[255] ^= 1;
    assert_false(emk_rsa_is_roca(modulus));
    assert_false(emk_rsa_is_roca(emk_rsa_public_modulus(pub())));
}

static void oaep_opens_with_the_same_hash_and_label_only(void **state)
{
    static const emk_rsa_oaep_hash HASHES[] = {EMK_RSA_OAEP_SHA256, EMK_RSA_OAEP_SHA384,
                                               EMK_RSA_OAEP_SHA1};
    static const uint8_t LABEL[] = "IDENTITY";
    uint8_t cipher[EMK_RSA_MODULUS_MAX], plain[EMK_RSA_MODULUS_MAX];
    emk_span msg = emk_span_str("sixteen bytes...");
    emk_error e;
    size_t len;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        emk_rsa_oaep how = {HASHES[i], SPAN(LABEL)}, other = how;
        emk_span sealed = emk_span_of(cipher, emk_rsa_public_len(pub()));

        assert_ok(emk_rsa_oaep_encrypt(pub(), &how, msg, cipher, &e), &e);
        assert_ok(emk_rsa_oaep_decrypt(key, &how, sealed, plain, &len, &e), &e);
        assert_bytes(emk_span_of(plain, len), msg);
        other.label.len--;
        assert_status(emk_rsa_oaep_decrypt(key, &other, sealed, plain, &len, &e), EMK_E_SEALED, &e);
        other = how;
        other.hash = HASHES[(i + 1) % 3];
        assert_status(emk_rsa_oaep_decrypt(key, &other, sealed, plain, &len, &e), EMK_E_SEALED, &e);
        sealed.len--;
        assert_status(emk_rsa_oaep_decrypt(key, &how, sealed, plain, &len, &e), EMK_E_SEALED, &e);
    }
}

static void oaep_refuses_what_does_not_fit(void **state)
{
    static const uint8_t LONG[256];
    emk_rsa_oaep how = {EMK_RSA_OAEP_SHA256, {LONG, EMK_RSA_LABEL_MAX}};
    uint8_t cipher[EMK_RSA_MODULUS_MAX];
    emk_error e;

    (void)state;
    assert_ok(emk_rsa_oaep_encrypt(pub(), &how, emk_span_of(LONG, 190), cipher, &e), &e);
    assert_status(emk_rsa_oaep_encrypt(pub(), &how, emk_span_of(LONG, 191), cipher, &e),
                  EMK_E_USAGE, &e);
    how.label.len++;
    assert_status(emk_rsa_oaep_encrypt(pub(), &how, emk_span_of(LONG, 1), cipher, &e), EMK_E_USAGE,
                  &e);
    how = (emk_rsa_oaep){(emk_rsa_oaep_hash)9, {NULL, 0}};
    assert_status(emk_rsa_oaep_encrypt(pub(), &how, emk_span_of(LONG, 1), cipher, &e), EMK_E_USAGE,
                  &e);
}

/* --- Wycheproof ------------------------------------------------------------------------------ */

static size_t hex_of(const emk_dom *node, const char *name, uint8_t *out, size_t cap)
{
    const emk_dom *text = emk_dom_get_kind(node, name, EMK_DOM_STRING);

    assert_non_null(text);
    return emk_unhex((const char *)text->text.p, out, cap);
}

typedef void (*run_fn)(const emk_dom *group, const emk_dom *test, bool valid, bool acceptable);

static void run_file(const char *rel, run_fn run, size_t at_least)
{
    char *path = emk_test_shared(rel);
    const emk_dom *root = NULL, *groups;
    emk_arena arena;
    emk_buf json;
    emk_error e;
    size_t n = 0;

    if (!path)
        skip();
    emk_arena_init(&arena, 64 * FILE_MAX);
    emk_buf_init(&json, FILE_MAX);
    assert_ok(emk_os_read_file(path, FILE_MAX, &json, &e), &e);
    assert_ok(emk_dom_parse(&arena, emk_buf_span(&json), &root, &e), &e);
    groups = emk_dom_get_kind(root, "testGroups", EMK_DOM_ARRAY);
    for (const emk_dom *g = groups->first; g; g = g->next)
        for (const emk_dom *t = emk_dom_get(g, "tests")->first; t; t = t->next) {
            const emk_dom *result = emk_dom_get(t, "result");

            run(g, t, emk_dom_is_text(result, "valid"), emk_dom_is_text(result, "acceptable"));
            n++;
        }
    assert_true(n >= at_least);
    printf("%s: %zu cases\n", rel, n);
    emk_buf_done(&json);
    emk_arena_reset(&arena);
    free(path);
}

static void run_pss(const emk_dom *group, const emk_dom *test, bool valid, bool acceptable)
{
    uint8_t spki[EMK_RSA_SPKI_MAX], msg[1024], sig[2048];
    emk_rsa_public *k = NULL;
    size_t spki_len = hex_of(group, "publicKeyDer", spki, sizeof spki);
    size_t msg_len = hex_of(test, "msg", msg, sizeof msg);
    size_t sig_len = hex_of(test, "sig", sig, sizeof sig);
    emk_error e;
    emk_status st;

    assert_ok(emk_rsa_public_from_spki(test_crypto(), emk_span_of(spki, spki_len), &k, &e), &e);
    st = emk_rsa_verify(k, EMK_RSA_PSS_SHA256, emk_span_of(msg, msg_len), emk_span_of(sig, sig_len),
                        &e);
    if (!acceptable)
        assert_status(st, valid ? EMK_OK : EMK_E_SIGNATURE, &e);
    emk_rsa_public_free(k);
}

static void run_oaep(const emk_dom *group, const emk_dom *test, bool valid, bool acceptable)
{
    uint8_t pkcs8[4096], msg[1024], cipher[2048], label[1024], plain[EMK_RSA_MODULUS_MAX];
    emk_rsa_private *k = NULL;
    size_t len = hex_of(group, "privateKeyPkcs8", pkcs8, sizeof pkcs8), plain_len = 0;
    emk_span want = {msg, hex_of(test, "msg", msg, sizeof msg)};
    emk_span sealed = {cipher, hex_of(test, "ct", cipher, sizeof cipher)};
    emk_rsa_oaep how = {EMK_RSA_OAEP_SHA1, {label, hex_of(test, "label", label, sizeof label)}};
    emk_error e;
    emk_status st;

    assert_ok(emk_rsa_private_from_pkcs8(test_crypto(), emk_span_of(pkcs8, len), &k, &e), &e);
    st = emk_rsa_oaep_decrypt(k, &how, sealed, plain, &plain_len, &e);
    if (!acceptable && how.label.len <= EMK_RSA_LABEL_MAX)
        assert_status(st, valid ? EMK_OK : EMK_E_SEALED, &e);
    if (st == EMK_OK)
        assert_bytes(emk_span_of(plain, plain_len), want);
    emk_rsa_private_free(k);
}

static void agrees_with_wycheproof_on_pss(void **state)
{
    (void)state;
    run_file("vectors/crypto/wycheproof/rsa_pss_2048_sha256_mgf1_32_test.json", run_pss, 70);
}

static void agrees_with_wycheproof_on_oaep(void **state)
{
    (void)state;
    run_file("vectors/crypto/wycheproof/rsa_oaep_2048_sha1_mgf1sha1_test.json", run_oaep, 20);
}

static void every_failing_call_ends_in_an_error(void **state)
{
#ifdef EMK_FAULTS
    static const emk_fault_kind KINDS[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};
    static const emk_rsa_oaep HOW = {EMK_RSA_OAEP_SHA256, {NULL, 0}};
    uint8_t sig[EMK_RSA_MODULUS_MAX], cipher[EMK_RSA_MODULUS_MAX];
    static const uint8_t F4[] = {1, 0, 1};
    emk_span msg = emk_span_str("m");
    emk_error e;

    (void)state;
    assert_ok(emk_rsa_sign(key, EMK_RSA_PSS_SHA256, msg, sig, &e), &e);
    for (size_t k = 0; k < 2; k++) {
        emk_status st;
        uint64_t n = 0;

        do {
            emk_rsa_public *p = NULL;

            emk_fault_fail_at(KINDS[k], ++n);
            st = emk_rsa_public_new(test_crypto(), emk_rsa_public_modulus(pub()), SPAN(F4), &p, &e);
            if (st == EMK_OK)
                st = emk_rsa_verify(p, EMK_RSA_PSS_SHA256, msg,
                                    emk_span_of(sig, emk_rsa_public_len(p)), &e);
            if (st == EMK_OK)
                st = emk_rsa_oaep_encrypt(p, &HOW, msg, cipher, &e);
            assert_true(st == EMK_OK || st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO);
            emk_rsa_public_free(p);
        } while (emk_fault_count(KINDS[k]) >= n);
        assert_int_equal(st, EMK_OK);
        emk_fault_fail_at(KINDS[k], 0);
    }
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    int rc;

    if (emk_rsa_private_generate(test_crypto(), 2048, &key, NULL) != EMK_OK)
        return 1;
    rc = EMK_RUN(
        emk_rule(verifies_its_own_scheme_and_no_other), emk_rule(key_survives_its_spki),
        emk_rule(rejects_keys_beyond_the_limits), emk_rule(rejects_key_that_can_be_factored),
        emk_rule(oaep_opens_with_the_same_hash_and_label_only),
        emk_rule(oaep_refuses_what_does_not_fit), emk_rule(agrees_with_wycheproof_on_pss),
        emk_rule(agrees_with_wycheproof_on_oaep), emk_rule(every_failing_call_ends_in_an_error));
    emk_rsa_private_free(key);
    return rc;
}
