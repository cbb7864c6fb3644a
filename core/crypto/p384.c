/* ECDH on P-384 with a key that lives for this one call: what sealing to such a key needs, and no
 * more.  Unlike on the curves of ec.c no private key ever has a form outside libcrypto. */
#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/internal.h"

#include <openssl/core_names.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

static EVP_PKEY_CTX *new_context(const emk_crypto *c)
{
    return emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_name(c->lib, "EC", c->propq);
}

static EVP_PKEY *fresh(const emk_crypto *c)
{
    char group[] = SN_secp384r1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = new_context(c);
    EVP_PKEY *key = NULL;

    if (ctx && !emk_lib_hit() && EVP_PKEY_keygen_init(ctx) == 1 && !emk_lib_hit() &&
        EVP_PKEY_CTX_set_params(ctx, params) == 1 && !emk_lib_hit() &&
        EVP_PKEY_generate(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    emk_lib_wipe_stack();
    return key;
}

/* libcrypto refuses coordinates that are no point when it reads them. */
static emk_status import_peer(const emk_crypto *c, const uint8_t peer[EMK_P384_PUBLIC_LEN],
                              EVP_PKEY **out, emk_error *e)
{
    char group[] = SN_secp384r1;
    uint8_t point[EMK_P384_PUBLIC_LEN];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;
    emk_status st = EMK_OK;

    if (peer[0] != 0x04)
        return emk_fail(e, EMK_E_FORMAT, "p384: not an uncompressed point", peer[0]);
    memcpy(point, peer, sizeof point);
    ctx = new_context(c);
    if (!ctx || emk_lib_hit() || EVP_PKEY_fromdata_init(ctx) != 1 || emk_lib_hit())
        st = emk_lib_fail(e, "p384: public key");
    else if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        st = emk_lib_refuse(e, EMK_E_FORMAT, "p384: not a point on the curve");
    EVP_PKEY_CTX_free(ctx);
    if (st == EMK_OK)
        *out = key;
    return st;
}

static bool read_point(const EVP_PKEY *key, uint8_t pub[EMK_P384_PUBLIC_LEN])
{
    size_t len = 0;

    return !emk_lib_hit() &&
           EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, pub,
                                           EMK_P384_PUBLIC_LEN, &len) == 1 &&
           len == EMK_P384_PUBLIC_LEN && pub[0] == 0x04;
}

static emk_status derive(const emk_crypto *c, EVP_PKEY *mine, EVP_PKEY *theirs,
                         uint8_t x[EMK_P384_SHARED_LEN], emk_error *e)
{
    EVP_PKEY_CTX *ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_pkey(c->lib, mine, c->propq);
    size_t len = EMK_P384_SHARED_LEN;
    bool ok = ctx && !emk_lib_hit() && EVP_PKEY_derive_init(ctx) == 1 && !emk_lib_hit() &&
              EVP_PKEY_derive_set_peer_ex(ctx, theirs, 0) == 1 && !emk_lib_hit() &&
              EVP_PKEY_derive(ctx, x, &len) == 1 && len == EMK_P384_SHARED_LEN;

    EVP_PKEY_CTX_free(ctx);
    emk_lib_wipe_stack();
    return ok ? EMK_OK : emk_lib_fail(e, "p384: derive");
}

emk_status emk_dh_p384_once(const emk_crypto *c, const uint8_t peer[EMK_P384_PUBLIC_LEN],
                            uint8_t pub[EMK_P384_PUBLIC_LEN], uint8_t x[EMK_P384_SHARED_LEN],
                            emk_error *e)
{
    uint8_t point[EMK_P384_PUBLIC_LEN], shared[EMK_P384_SHARED_LEN];
    EVP_PKEY *theirs = NULL, *mine;
    emk_status st = import_peer(c, peer, &theirs, e);

    if (st != EMK_OK)
        return st;
    mine = fresh(c);
    if (mine && read_point(mine, point))
        st = derive(c, mine, theirs, shared, e);
    else
        st = emk_lib_fail(e, "p384: key generation");
    EVP_PKEY_free(mine);
    EVP_PKEY_free(theirs);
    if (st == EMK_OK) {
        memcpy(pub, point, sizeof point);
        memcpy(x, shared, sizeof shared);
    }
    emk_wipe(shared, sizeof shared);
    return st;
}
