/* Both curves behind one small set of calls.
 *
 * Secret operations go through EVP, so that the providers chosen by the application do them.
 * The one exception is a P-256 public key from a private one, for which EVP 3.0 has no call:
 * EC_POINT_mul.  Scalars reach libcrypto as a little array in an OSSL_PARAM or in a
 * BN_secure_new: an ordinary BIGNUM would leave its copy in freed memory. */
#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

size_t emk_curve_public_len(emk_curve curve)
{
    return curve == EMK_CURVE_P256 ? EMK_P256_PUBLIC_LEN : EMK_X25519_LEN;
}

static emk_status check_curve(const emk_crypto *c, emk_curve curve, emk_error *e)
{
    if (curve == EMK_CURVE_P256 && c->p256_params)
        return EMK_OK;
    if (curve == EMK_CURVE_X25519 && c->has[EMK_CRYPTO_X25519])
        return EMK_OK;
    return emk_fail(e, EMK_E_UNSUPPORTED, "dh: this libcrypto context lacks the curve", curve);
}

/* n - 1 - priv and priv - 1 must not borrow; all bytes are always looked at. */
bool emk_p256_private_is_valid(const uint8_t priv[32])
{
    static const uint8_t ORDER[P256_LEN] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                            0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    uint32_t borrow = 0, any = 0;

    for (size_t i = P256_LEN; i-- > 0;) {
        borrow = ((uint32_t)priv[i] - ORDER[i] - borrow) >> 31;
        any |= priv[i];
    }
    return (borrow & ((any + 0xff) >> 8)) != 0;
}

static emk_status check_scalar(emk_curve curve, const uint8_t priv[32], emk_error *e)
{
    if (curve == EMK_CURVE_P256 && !emk_p256_private_is_valid(priv))
        return emk_fail(e, EMK_E_FORMAT, "p256: private key outside 1..n-1", 0);
    return EMK_OK;
}

static EVP_PKEY *generate(EVP_PKEY_CTX *ctx)
{
    EVP_PKEY *key = NULL;

    if (emk_lib_hit() || EVP_PKEY_keygen_init(ctx) != 1 || emk_lib_hit() ||
        EVP_PKEY_generate(ctx, &key) != 1)
        return NULL;
    return key;
}

static bool read_public(emk_curve curve, const EVP_PKEY *key, uint8_t *pub)
{
    const char *name =
        curve == EMK_CURVE_P256 ? OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY : OSSL_PKEY_PARAM_PUB_KEY;
    size_t want = emk_curve_public_len(curve), len = 0;

    return !emk_lib_hit() && EVP_PKEY_get_octet_string_param(key, name, pub, want, &len) == 1 &&
           len == want && (curve != EMK_CURVE_P256 || pub[0] == 0x04);
}

emk_status emk_ec_generate(const emk_crypto *c, emk_curve curve, EVP_PKEY **out, uint8_t *pub,
                           emk_error *e)
{
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    emk_status st;

    st = check_curve(c, curve, e);
    if (st != EMK_OK)
        return st;
    if (!emk_lib_hit())
        ctx = curve == EMK_CURVE_P256 ? EVP_PKEY_CTX_new_from_pkey(c->lib, c->p256_params, c->propq)
                                      : EVP_PKEY_CTX_new_from_name(c->lib, "X25519", c->propq);
    if (ctx)
        key = generate(ctx);
    EVP_PKEY_CTX_free(ctx);
    emk_lib_wipe_stack();
    if (!key || !read_public(curve, key, pub)) {
        EVP_PKEY_free(key);
        return emk_lib_fail(e, "dh: key generation");
    }
    *out = key;
    return EMK_OK;
}

/* OSSL_PARAM integers are in the host's byte order. */
static void scalar_to_native(const uint8_t priv[32], uint8_t native[32])
{
    for (size_t i = 0; i < P256_LEN; i++)
        native[i] = priv[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? P256_LEN - 1 - i : i];
}

/* pub may be NULL: ECDH does without. */
static EVP_PKEY *p256_from_scalar(const emk_crypto *c, const uint8_t priv[32], const uint8_t *pub)
{
    char group[] = SN_X9_62_prime256v1;
    uint8_t native[P256_LEN], point[EMK_P256_PUBLIC_LEN];
    OSSL_PARAM params[4] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, sizeof native),
        OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_name(c->lib, "EC", c->propq);
    EVP_PKEY *key = NULL;

    scalar_to_native(priv, native);
    if (pub) {
        memcpy(point, pub, sizeof point);
        params[2] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point);
    }
    if (ctx && !emk_lib_hit() && EVP_PKEY_fromdata_init(ctx) == 1 && !emk_lib_hit() &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    emk_wipe(native, sizeof native);
    return key;
}

emk_status emk_ec_import(const emk_crypto *c, emk_curve curve, const uint8_t priv[32],
                         EVP_PKEY **out, emk_error *e)
{
    EVP_PKEY *key = NULL;
    emk_status st;

    st = check_curve(c, curve, e);
    if (st == EMK_OK)
        st = check_scalar(curve, priv, e);
    if (st != EMK_OK)
        return st;
    if (curve == EMK_CURVE_P256)
        key = p256_from_scalar(c, priv, NULL);
    else if (!emk_lib_hit())
        key = EVP_PKEY_new_raw_private_key_ex(c->lib, "X25519", c->propq, priv, EMK_X25519_LEN);
    if (!key)
        return emk_lib_fail(e, "dh: private key");
    *out = key;
    return EMK_OK;
}

emk_status emk_ec_import_pair(const emk_crypto *c, const uint8_t priv[32], const uint8_t pub[65],
                              EVP_PKEY **out, emk_error *e)
{
    EVP_PKEY *key;
    emk_status st;

    st = check_curve(c, EMK_CURVE_P256, e);
    if (st == EMK_OK)
        st = check_scalar(EMK_CURVE_P256, priv, e);
    if (st != EMK_OK)
        return st;
    key = p256_from_scalar(c, priv, pub);
    if (!key)
        return emk_lib_fail(e, "p256: private key");
    *out = key;
    return EMK_OK;
}

/* libcrypto would also take compressed and hybrid points and the point at infinity; what it
 * does check is x, y < p and the equation of the curve. */
static emk_status import_point(const emk_crypto *c, const uint8_t *pub, EVP_PKEY **out,
                               emk_error *e)
{
    EVP_PKEY *key;

    if (pub[0] != 0x04)
        return emk_fail(e, EMK_E_FORMAT, "p256: not an uncompressed point", pub[0]);
    key = emk_lib_hit() ? NULL : EVP_PKEY_dup(c->p256_params);
    if (!key)
        return emk_lib_fail(e, "p256: public key");
    if (emk_lib_hit()) {
        EVP_PKEY_free(key);
        return emk_lib_fail(e, "p256: public key");
    }
    if (EVP_PKEY_set1_encoded_public_key(key, pub, EMK_P256_PUBLIC_LEN) != 1) {
        EVP_PKEY_free(key);
        return emk_lib_refuse(e, EMK_E_FORMAT, "p256: not a point on the curve");
    }
    *out = key;
    return EMK_OK;
}

emk_status emk_ec_import_public(const emk_crypto *c, emk_curve curve, const uint8_t *pub,
                                EVP_PKEY **out, emk_error *e)
{
    EVP_PKEY *key = NULL;
    emk_status st;

    st = check_curve(c, curve, e);
    if (st != EMK_OK)
        return st;
    if (curve == EMK_CURVE_P256)
        return import_point(c, pub, out, e);
    if (!emk_lib_hit())
        key = EVP_PKEY_new_raw_public_key_ex(c->lib, "X25519", c->propq, pub, EMK_X25519_LEN);
    if (!key)
        return emk_lib_fail(e, "x25519: public key");
    *out = key;
    return EMK_OK;
}

static bool multiply_generator(const emk_crypto *c, const BIGNUM *k, uint8_t pub[65])
{
    BN_CTX *bn = emk_lib_hit() ? NULL : BN_CTX_secure_new_ex(c->lib);
    EC_POINT *point = emk_lib_hit() ? NULL : EC_POINT_new(c->p256);
    bool ok;

    ok = bn && point && !emk_lib_hit() && EC_POINT_mul(c->p256, point, k, NULL, NULL, bn) == 1 &&
         !emk_lib_hit() &&
         EC_POINT_point2oct(c->p256, point, POINT_CONVERSION_UNCOMPRESSED, pub, EMK_P256_PUBLIC_LEN,
                            bn) == EMK_P256_PUBLIC_LEN;
    EC_POINT_free(point);
    BN_CTX_free(bn);
    return ok;
}

static emk_status p256_public(const emk_crypto *c, const uint8_t priv[32], uint8_t pub[65],
                              emk_error *e)
{
    BIGNUM *k = emk_lib_hit() ? NULL : BN_secure_new();
    bool ok = k != NULL;

    if (ok) {
        BN_set_flags(k, BN_FLG_CONSTTIME);
        ok = !emk_lib_hit() && BN_bin2bn(priv, (int)P256_LEN, k) && multiply_generator(c, k, pub);
    }
    BN_clear_free(k);
    emk_lib_wipe_stack();
    return ok ? EMK_OK : emk_lib_fail(e, "p256: public key from private");
}

emk_status emk_ec_public(const emk_crypto *c, emk_curve curve, const uint8_t priv[32], uint8_t *pub,
                         emk_error *e)
{
    EVP_PKEY *key;
    emk_status st;

    st = check_curve(c, curve, e);
    if (st == EMK_OK)
        st = check_scalar(curve, priv, e);
    if (st != EMK_OK)
        return st;
    if (curve == EMK_CURVE_P256)
        return p256_public(c, priv, pub, e);
    st = emk_ec_import(c, curve, priv, &key, e);
    if (st != EMK_OK)
        return st;
    if (!read_public(curve, key, pub))
        st = emk_lib_fail(e, "x25519: public key from private");
    EVP_PKEY_free(key);
    return st;
}

/* libcrypto 3.0 and 3.5 refuse a result of zeros themselves, other providers may not. */
static bool all_zero(const uint8_t x[32])
{
    static const uint8_t ZERO[32];

    return emk_ct_equal(x, ZERO, sizeof ZERO);
}

/* A result of zeros: on X25519 a low-order peer, refused [RFC 9180 7.1.4]; on P-256 the x of an
 * honest point. */
static emk_status derive(EVP_PKEY_CTX *ctx, EVP_PKEY *peer, bool may_be_zero, uint8_t x[32],
                         emk_error *e)
{
    uint8_t shared[32];
    size_t len = sizeof shared;
    emk_status st = EMK_OK;

    if (emk_lib_hit() || EVP_PKEY_derive_init(ctx) != 1 || emk_lib_hit() ||
        EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1 || emk_lib_hit())
        st = emk_lib_fail(e, "dh: derive");
    else if (EVP_PKEY_derive(ctx, shared, &len) != 1)
        st = emk_lib_refuse(e, EMK_E_FORMAT, "dh: peer key gives no secret");
    else if (len != sizeof shared || (!may_be_zero && all_zero(shared)))
        st = emk_fail(e, EMK_E_FORMAT, "dh: peer key gives no secret", len);
    if (st == EMK_OK)
        memcpy(x, shared, sizeof shared);
    emk_wipe(shared, sizeof shared);
    return st;
}

emk_status emk_ec_derive(const emk_crypto *c, emk_curve curve, EVP_PKEY *mine, const uint8_t *peer,
                         uint8_t x[32], emk_error *e)
{
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *theirs;
    emk_status st;

    st = emk_ec_import_public(c, curve, peer, &theirs, e);
    if (st != EMK_OK)
        return st;
    ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_pkey(c->lib, mine, c->propq);
    st = ctx ? derive(ctx, theirs, curve == EMK_CURVE_P256, x, e) : emk_lib_fail(e, "dh: derive");
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(theirs);
    emk_lib_wipe_stack();
    return st;
}
