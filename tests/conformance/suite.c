#include "tests/conformance/suite.h"

typedef struct named_suite {
    const char *name;
    int64_t cose;    /* integrated encryption */
    int64_t cose_ke; /* key encryption */
    emk_hpke_suite suite;
} named_suite;

#define SUITE(kem, aead)                                         \
    {                                                            \
        EMK_KEM_##kem, EMK_HPKE_KDF_HKDF_SHA256, EMK_AEAD_##aead \
    }

static const named_suite named[] = {
    {"HPKE-0", 35, 46, SUITE(P256, AES_128_GCM)},
    {"HPKE-3", 41, 49, SUITE(X25519, AES_128_GCM)},
    {"HPKE-4", 42, 50, SUITE(X25519, CHACHA20_POLY1305)},
    {"HPKE-7", 45, 53, SUITE(P256, AES_256_GCM)},
};
static const size_t n_named = sizeof named / sizeof named[0];

static bool is_classic(uint16_t kem)
{
    return kem == EMK_KEM_P256 || kem == EMK_KEM_X25519;
}

static bool is_post_quantum(uint16_t kem)
{
    return kem == EMK_KEM_ML_KEM_768 || kem == EMK_KEM_MLKEM768_P256 || kem == EMK_KEM_XWING;
}

static bool must_work(emk_vec *v, emk_hpke_suite suite)
{
    if (suite.kdf != EMK_HPKE_KDF_HKDF_SHA256)
        emk_vec_skip(v, "unsupported: HPKE with KDF 0x%04x", suite.kdf);
    else if (!is_classic(suite.kem) && !is_post_quantum(suite.kem))
        emk_vec_skip(v, "unsupported: HPKE with KEM 0x%04x", suite.kem);
    else if (suite.aead != EMK_AEAD_EXPORT_ONLY && emk_aead_key_len(suite.aead) == 0)
        emk_vec_skip(v, "unsupported: HPKE with AEAD 0x%04x", suite.aead);
    else if (is_post_quantum(suite.kem) && !emk_crypto_has(v->crypto, EMK_CRYPTO_ML_KEM_768))
        emk_vec_skip(v, "libcrypto has no ML-KEM");
    else
        return true;
    return false;
}

bool emk_suite_is_run(emk_vec *v, emk_hpke_suite suite)
{
    emk_status st = emk_hpke_check_suite(v->crypto, suite, NULL);

    if (must_work(v, suite))
        return emk_vec_status(v, "suite", st, EMK_OK);
    emk_vec_status(v, "suite", st, EMK_E_UNSUPPORTED);
    return false;
}

bool emk_suite_from_name(emk_span name, emk_hpke_suite *out, bool *key_encryption)
{
    size_t len = name.len;

    *key_encryption = len > 3 && memcmp(name.p + len - 3, "-KE", 3) == 0;
    if (*key_encryption)
        len -= 3;
    for (size_t i = 0; i < n_named; i++)
        if (emk_span_equal(emk_span_of(name.p, len), emk_span_str(named[i].name))) {
            *out = named[i].suite;
            return true;
        }
    return false;
}

bool emk_suite_from_cose(int64_t alg, emk_hpke_suite *out, bool *key_encryption)
{
    for (size_t i = 0; i < n_named; i++)
        if (alg == named[i].cose || alg == named[i].cose_ke) {
            *out = named[i].suite;
            *key_encryption = alg == named[i].cose_ke;
            return true;
        }
    return false;
}
