#include "core/crypto/keywrap.h"

#include "core/crypto/internal.h"

#define ROOM (EMK_KEYWRAP_MAX + 2 * EMK_KEYWRAP_EXTRA) /* libcrypto may write a block more */

/* Fetched at each call: wrapping is rare.  The cipher must be asked for with a flag, or the context
 * refuses it. */
static bool run(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const uint8_t *kek, int encrypt)
{
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    return !emk_lib_hit() && EVP_CipherInit_ex2(ctx, cipher, kek, NULL, encrypt, NULL) == 1;
}

static emk_status wrap(const emk_crypto *c, emk_span kek, emk_span in, bool encrypt, uint8_t *out,
                       emk_error *e)
{
    EVP_CIPHER *cipher = emk_lib_hit() ? NULL : EVP_CIPHER_fetch(c->lib, "AES-256-WRAP", c->propq);
    EVP_CIPHER_CTX *ctx = cipher && !emk_lib_hit() ? EVP_CIPHER_CTX_new() : NULL;
    size_t want = encrypt ? in.len + EMK_KEYWRAP_EXTRA : in.len - EMK_KEYWRAP_EXTRA;
    uint8_t made[ROOM];
    emk_status st = EMK_OK;
    int n = 0;

    if (!ctx || !run(ctx, cipher, kek.p, encrypt) || emk_lib_hit())
        st = emk_lib_fail(e, "keywrap: could not start");
    else if (EVP_CipherUpdate(ctx, made, &n, in.p, (int)in.len) != 1 || n < 0 || (size_t)n != want)
        st = emk_lib_refuse(e, encrypt ? EMK_E_CRYPTO : EMK_E_SEALED, "keywrap: does not fit");
    if (st == EMK_OK)
        memcpy(out, made, want);
    emk_wipe(made, sizeof made);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return st;
}

static bool is_key_len(size_t len)
{
    return len >= EMK_KEYWRAP_MIN && len <= EMK_KEYWRAP_MAX && len % EMK_KEYWRAP_EXTRA == 0;
}

emk_status emk_keywrap_wrap(const emk_crypto *c, emk_span kek, emk_span key, uint8_t *out,
                            emk_error *e)
{
    if (kek.len != EMK_KEYWRAP_KEK_LEN || !is_key_len(key.len))
        return emk_fail(e, EMK_E_USAGE, "keywrap: length of a key", key.len);
    return wrap(c, kek, key, true, out, e);
}

emk_status emk_keywrap_unwrap(const emk_crypto *c, emk_span kek, emk_span wrapped, uint8_t *key,
                              emk_error *e)
{
    if (kek.len != EMK_KEYWRAP_KEK_LEN)
        return emk_fail(e, EMK_E_USAGE, "keywrap: length of a key", kek.len);
    if (wrapped.len < EMK_KEYWRAP_EXTRA || !is_key_len(wrapped.len - EMK_KEYWRAP_EXTRA))
        return emk_fail(e, EMK_E_SEALED, "keywrap: length of a wrapped key", wrapped.len);
    return wrap(c, kek, wrapped, false, key, e);
}
