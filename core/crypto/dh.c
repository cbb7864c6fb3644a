#include "core/crypto/dh.h"

#include "core/base/secret.h"
#include "core/crypto/internal.h"
#include "core/crypto/random.h"

/* A draw is refused with probability 2^-32; this many in a row mean a broken generator. */
#define DRAWS_MAX 8u

static emk_status draw_private(const emk_crypto *c, emk_curve curve, uint8_t priv[32], emk_error *e)
{
    for (unsigned i = 0; i < DRAWS_MAX; i++) {
        emk_status st = emk_random_secret(c, priv, 32, e);

        if (st != EMK_OK || curve != EMK_CURVE_P256 || emk_p256_private_is_valid(priv))
            return st;
    }
    return emk_fail(e, EMK_E_CRYPTO, "p256: generator yields no scalar", DRAWS_MAX);
}

static emk_status generate(const emk_crypto *c, emk_curve curve, uint8_t priv[32], uint8_t *pub,
                           emk_error *e)
{
    uint8_t drawn[32];
    emk_status st;

    st = draw_private(c, curve, drawn, e);
    if (st == EMK_OK)
        st = emk_ec_public(c, curve, drawn, pub, e);
    if (st == EMK_OK)
        memcpy(priv, drawn, sizeof drawn);
    emk_wipe(drawn, sizeof drawn);
    return st;
}

emk_status emk_x25519_generate(const emk_crypto *c, uint8_t priv[32], uint8_t pub[32], emk_error *e)
{
    return generate(c, EMK_CURVE_X25519, priv, pub, e);
}

emk_status emk_p256_generate(const emk_crypto *c, uint8_t priv[32], uint8_t pub[65], emk_error *e)
{
    return generate(c, EMK_CURVE_P256, priv, pub, e);
}

emk_status emk_x25519_public(const emk_crypto *c, const uint8_t priv[32], uint8_t pub[32],
                             emk_error *e)
{
    return emk_ec_public(c, EMK_CURVE_X25519, priv, pub, e);
}

emk_status emk_p256_public(const emk_crypto *c, const uint8_t priv[32], uint8_t pub[65],
                           emk_error *e)
{
    return emk_ec_public(c, EMK_CURVE_P256, priv, pub, e);
}

emk_status emk_p256_check_public(const emk_crypto *c, const uint8_t pub[65], emk_error *e)
{
    EVP_PKEY *key;
    emk_status st = emk_ec_import_public(c, EMK_CURVE_P256, pub, &key, e);

    if (st == EMK_OK)
        EVP_PKEY_free(key);
    return st;
}

static emk_status exchange(const emk_crypto *c, emk_curve curve, const uint8_t priv[32],
                           const uint8_t *peer, uint8_t x[32], emk_error *e)
{
    EVP_PKEY *mine;
    emk_status st = emk_ec_import(c, curve, priv, &mine, e);

    if (st != EMK_OK)
        return st;
    st = emk_ec_derive(c, curve, mine, peer, x, e);
    EVP_PKEY_free(mine);
    return st;
}

emk_status emk_dh_x25519(const emk_crypto *c, const uint8_t priv[32], const uint8_t peer[32],
                         uint8_t x[32], emk_error *e)
{
    return exchange(c, EMK_CURVE_X25519, priv, peer, x, e);
}

emk_status emk_dh_p256(const emk_crypto *c, const uint8_t priv[32], const uint8_t peer[65],
                       uint8_t x[32], emk_error *e)
{
    return exchange(c, EMK_CURVE_P256, priv, peer, x, e);
}
