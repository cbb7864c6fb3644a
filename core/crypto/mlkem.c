/* ML-KEM-768 from libcrypto 3.5 on, found at run time.  [FIPS 203]
 * The names are spelled out: the 3.0 headers do not have them. */
#include "core/base/secret.h"
#include "core/crypto/internal.h"

#include <openssl/params.h>

#define SECRET_LEN 32u

static emk_status check_there(const emk_crypto *c, emk_error *e)
{
    if (c->has[EMK_CRYPTO_ML_KEM_768])
        return EMK_OK;
    return emk_fail(e, EMK_E_UNSUPPORTED, "ml-kem: this libcrypto has none", 0);
}

static emk_status import_seed(const emk_crypto *c, const uint8_t seed[ML_KEM_SEED_LEN],
                              EVP_PKEY **out, emk_error *e)
{
    uint8_t copy[ML_KEM_SEED_LEN];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string("seed", copy, sizeof copy),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx =
        emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_name(c->lib, "ML-KEM-768", c->propq);
    EVP_PKEY *key = NULL;

    memcpy(copy, seed, sizeof copy);
    if (ctx && !emk_lib_hit() && EVP_PKEY_fromdata_init(ctx) == 1 && !emk_lib_hit() &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    emk_wipe(copy, sizeof copy);
    if (!key)
        return emk_lib_fail(e, "ml-kem: seed");
    *out = key;
    return EMK_OK;
}

emk_status emk_mlkem_public(const emk_crypto *c, const uint8_t seed[ML_KEM_SEED_LEN],
                            uint8_t ek[ML_KEM_PUBLIC_LEN], emk_error *e)
{
    size_t len = ML_KEM_PUBLIC_LEN;
    EVP_PKEY *key;
    emk_status st;

    st = check_there(c, e);
    if (st == EMK_OK)
        st = import_seed(c, seed, &key, e);
    if (st != EMK_OK)
        return st;
    if (emk_lib_hit() || EVP_PKEY_get_raw_public_key(key, ek, &len) != 1 ||
        len != ML_KEM_PUBLIC_LEN)
        st = emk_lib_fail(e, "ml-kem: public key");
    EVP_PKEY_free(key);
    emk_lib_wipe_stack();
    return st;
}

static emk_status import_public(const emk_crypto *c, const uint8_t ek[ML_KEM_PUBLIC_LEN],
                                EVP_PKEY **out, emk_error *e)
{
    EVP_PKEY *key;
    emk_status st = check_there(c, e);

    if (st != EMK_OK)
        return st;
    if (emk_lib_hit())
        return emk_lib_fail(e, "ml-kem: public key");
    key = EVP_PKEY_new_raw_public_key_ex(c->lib, "ML-KEM-768", c->propq, ek, ML_KEM_PUBLIC_LEN);
    if (!key)
        return emk_lib_refuse(e, EMK_E_FORMAT, "ml-kem: public key is not reduced");
    *out = key;
    return EMK_OK;
}

emk_status emk_mlkem_check_public(const emk_crypto *c, const uint8_t ek[ML_KEM_PUBLIC_LEN],
                                  emk_error *e)
{
    EVP_PKEY *key = NULL;
    emk_status st = import_public(c, ek, &key, e);

    if (st == EMK_OK)
        EVP_PKEY_free(key);
    return st;
}

static bool encapsulate(EVP_PKEY_CTX *ctx, const uint8_t *m, uint8_t enc[ML_KEM_ENC_LEN],
                        uint8_t secret[SECRET_LEN])
{
    uint8_t copy[32];
    OSSL_PARAM fixed[] = {
        OSSL_PARAM_construct_octet_string("ikme", copy, sizeof copy),
        OSSL_PARAM_construct_end(),
    };
    size_t enc_len = ML_KEM_ENC_LEN, secret_len = SECRET_LEN;
    bool ok;

    if (m)
        memcpy(copy, m, sizeof copy);
    ok = !emk_lib_hit() && EVP_PKEY_encapsulate_init(ctx, m ? fixed : NULL) == 1 &&
         !emk_lib_hit() && EVP_PKEY_encapsulate(ctx, enc, &enc_len, secret, &secret_len) == 1 &&
         enc_len == ML_KEM_ENC_LEN && secret_len == SECRET_LEN;
    if (m)
        emk_wipe(copy, sizeof copy);
    return ok;
}

emk_status emk_mlkem_encap(const emk_crypto *c, const uint8_t ek[ML_KEM_PUBLIC_LEN],
                           const uint8_t *m, uint8_t enc[ML_KEM_ENC_LEN], uint8_t secret[32],
                           emk_error *e)
{
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;
    emk_status st = import_public(c, ek, &key, e);

    if (st != EMK_OK)
        return st;
    ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_pkey(c->lib, key, c->propq);
    if (!ctx || !encapsulate(ctx, m, enc, secret)) {
        emk_wipe(secret, SECRET_LEN);
        st = emk_lib_fail(e, "ml-kem: encapsulation");
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    emk_lib_wipe_stack();
    return st;
}

emk_status emk_mlkem_decap(const emk_crypto *c, const uint8_t seed[ML_KEM_SEED_LEN],
                           const uint8_t enc[ML_KEM_ENC_LEN], uint8_t secret[32], emk_error *e)
{
    size_t len = SECRET_LEN;
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key;
    emk_status st;

    st = check_there(c, e);
    if (st == EMK_OK)
        st = import_seed(c, seed, &key, e);
    if (st != EMK_OK)
        return st;
    ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_pkey(c->lib, key, c->propq);
    if (!ctx || emk_lib_hit() || EVP_PKEY_decapsulate_init(ctx, NULL) != 1 || emk_lib_hit() ||
        EVP_PKEY_decapsulate(ctx, secret, &len, enc, ML_KEM_ENC_LEN) != 1 || len != SECRET_LEN) {
        emk_wipe(secret, SECRET_LEN);
        st = emk_lib_fail(e, "ml-kem: decapsulation");
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    emk_lib_wipe_stack();
    return st;
}
