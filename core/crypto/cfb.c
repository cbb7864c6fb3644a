#include "core/crypto/cfb.h"

#include "core/base/secret.h"
#include "core/crypto/internal.h"

#define IV_LEN 16u

typedef enum direction { DECRYPT = 0, ENCRYPT = 1 } direction;

static bool run(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const uint8_t *key, direction dir)
{
    static const uint8_t IV[IV_LEN];

    return !emk_lib_hit() && EVP_CipherInit_ex2(ctx, cipher, key, IV, (int)dir, NULL) == 1;
}

static emk_status crypt(const emk_crypto *c, emk_span key, emk_span in, uint8_t *out, direction dir,
                        emk_error *e)
{
    uint8_t made[EMK_CFB_MSG_MAX];
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    int len = 0;
    bool ok;

    if ((key.len != 16 && key.len != 32) || in.len > EMK_CFB_MSG_MAX || in.len == 0)
        return emk_fail(e, EMK_E_USAGE, "cfb: length", in.len);
    cipher = emk_lib_hit() ? NULL
                           : EVP_CIPHER_fetch(c->lib, key.len == 16 ? "AES-128-CFB" : "AES-256-CFB",
                                              c->propq);
    ctx = emk_lib_hit() ? NULL : EVP_CIPHER_CTX_new();
    ok = cipher && ctx && run(ctx, cipher, key.p, dir) && !emk_lib_hit() &&
         EVP_CipherUpdate(ctx, made, &len, in.p, (int)in.len) == 1 && len == (int)in.len;
    if (ok)
        memcpy(out, made, in.len);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    emk_wipe(made, sizeof made);
    return ok ? EMK_OK : emk_lib_fail(e, "cfb: failed");
}

emk_status emk_aes_cfb_encrypt(const emk_crypto *c, emk_span key, emk_span in, uint8_t *out,
                               emk_error *e)
{
    return crypt(c, key, in, out, ENCRYPT, e);
}

emk_status emk_aes_cfb_decrypt(const emk_crypto *c, emk_span key, emk_span in, uint8_t *out,
                               emk_error *e)
{
    return crypt(c, key, in, out, DECRYPT, e);
}
