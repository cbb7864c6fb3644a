/* P-256 and Ed25519 are core/crypto/sign.h's; P-384 and RSA are here.  libcrypto gets a
 * SubjectPublicKeyInfo whose form was checked, and ECDSA signatures in the DER made here. */
#include "core/crypto/pubkey.h"

#include "core/base/alloc.h"
#include "core/base/writer.h"
#include "core/crypto/internal.h"
#include "core/crypto/sign.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

#define P384_LEN    48u
#define DER_ROOM    (2 * (P384_LEN + 3) + 2)
#define PSS_SALT    32
#define RSA_SIG_MAX EMK_X509_RSA_MAX

struct emk_pubkey {
    const emk_crypto *c;
    emk_x509_key kind;
    emk_verify_key *small; /* P256, ED25519; else NULL */
    EVP_PKEY *key;         /* P384, RSA; else NULL */
};

bool emk_pubkey_fits(emk_x509_key kind, emk_pubkey_alg alg)
{
    switch (alg) {
    case EMK_PUBKEY_ES256:
        return kind == EMK_X509_KEY_P256;
    case EMK_PUBKEY_ES384:
        return kind == EMK_X509_KEY_P384;
    case EMK_PUBKEY_ED25519:
        return kind == EMK_X509_KEY_ED25519;
    case EMK_PUBKEY_RS256:
    case EMK_PUBKEY_PS256:
        return kind == EMK_X509_KEY_RSA;
    }
    return false;
}

static emk_status make(const emk_crypto *c, emk_span spki, emk_span bits, emk_pubkey *k,
                       emk_error *e)
{
    const unsigned char *p = spki.p;

    switch (k->kind) {
    case EMK_X509_KEY_P256:
        return emk_verify_key_new(c, EMK_SIGN_ES256, bits, &k->small, e);
    case EMK_X509_KEY_ED25519:
        return emk_verify_key_new(c, EMK_SIGN_ED25519, bits, &k->small, e);
    case EMK_X509_KEY_P384:
    case EMK_X509_KEY_RSA:
        break;
    default:
        return emk_fail(e, EMK_E_UNSUPPORTED, "pubkey: kind of key", 0);
    }
    if (emk_lib_hit())
        return emk_lib_fail(e, "pubkey: key");
    k->key = d2i_PUBKEY_ex(NULL, &p, (long)spki.len, c->lib, c->propq);
    return k->key ? EMK_OK : emk_lib_refuse(e, EMK_E_FORMAT, "pubkey: key");
}

emk_status emk_pubkey_new(const emk_crypto *c, emk_span spki, emk_pubkey **out, emk_error *e)
{
    emk_pubkey *k;
    emk_span bits;
    emk_x509_key kind;
    emk_status st = emk_x509_read_key(spki, &kind, &bits, e);

    if (st != EMK_OK)
        return st;
    k = emk_alloc(1, sizeof *k);
    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "pubkey: key", sizeof *k);
    k->c = c;
    k->kind = kind;
    st = make(c, spki, bits, k, e);
    if (st != EMK_OK) {
        emk_pubkey_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

emk_x509_key emk_pubkey_kind(const emk_pubkey *k)
{
    return k->kind;
}

void emk_pubkey_free(emk_pubkey *k)
{
    if (!k)
        return;
    emk_verify_key_free(k->small);
    EVP_PKEY_free(k->key);
    emk_free(k);
}

/* --- P-384 ---------------------------------------------------------------------------- */

/* A positive INTEGER in its shortest form; false for zero. */
static bool put_integer(emk_writer *w, emk_span v)
{
    size_t skip = 0, sign;

    while (skip < v.len && v.p[skip] == 0)
        skip++;
    if (skip == v.len)
        return false;
    sign = v.p[skip] >> 7;
    emk_write_u8(w, 0x02);
    emk_write_u8(w, (uint8_t)(v.len - skip + sign));
    if (sign)
        emk_write_u8(w, 0);
    emk_write_bytes(w, emk_span_of(v.p + skip, v.len - skip));
    return true;
}

/* r || s of P-384 into DER; the whole is below 128 bytes, so lengths are one byte. */
static bool to_der(emk_span raw, uint8_t out[DER_ROOM], size_t *len)
{
    emk_writer w;

    if (raw.len != 2 * (size_t)P384_LEN)
        return false;
    emk_writer_init(&w, out + 2, DER_ROOM - 2);
    if (!put_integer(&w, emk_span_of(raw.p, P384_LEN)) ||
        !put_integer(&w, emk_span_of(raw.p + P384_LEN, P384_LEN)))
        return false;
    out[0] = 0x30;
    out[1] = (uint8_t)w.pos;
    *len = w.pos + 2;
    return true;
}

/* --- verify ----------------------------------------------------------------------------- */

static bool start(EVP_MD_CTX *ctx, const emk_pubkey *k, emk_pubkey_alg alg)
{
    EVP_PKEY_CTX *pc = NULL; /* ctx's */
    const char *hash = alg == EMK_PUBKEY_ES384 ? "SHA384" : "SHA256";

    if (emk_lib_hit() ||
        EVP_DigestVerifyInit_ex(ctx, &pc, hash, k->c->lib, k->c->propq, k->key, NULL) != 1)
        return false;
    if (alg != EMK_PUBKEY_PS256)
        return true;
    return !emk_lib_hit() && EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PSS_PADDING) == 1 &&
           !emk_lib_hit() && EVP_PKEY_CTX_set_rsa_pss_saltlen(pc, PSS_SALT) == 1;
}

static emk_status verify(const emk_pubkey *k, emk_pubkey_alg alg, emk_span msg, emk_span sig,
                         emk_error *e)
{
    EVP_MD_CTX *ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    emk_status st = EMK_OK;

    if (!ctx || !start(ctx, k, alg) || emk_lib_hit())
        st = emk_lib_fail(e, "pubkey: verification could not start");
    else if (EVP_DigestVerify(ctx, sig.p, sig.len, msg.len ? msg.p : (const uint8_t *)"",
                              msg.len) != 1)
        st = emk_lib_refuse(e, EMK_E_SIGNATURE, "pubkey: signature does not fit");
    EVP_MD_CTX_free(ctx);
    return st;
}

emk_status emk_pubkey_verify(const emk_pubkey *k, emk_pubkey_alg alg, emk_span msg, emk_span sig,
                             emk_error *e)
{
    uint8_t der[DER_ROOM];
    size_t len = 0;

    if (!emk_pubkey_fits(k->kind, alg))
        return emk_fail(e, EMK_E_SIGNATURE, "pubkey: algorithm of another kind of key",
                        (unsigned)alg);
    if (k->small)
        return emk_sign_verify(k->small, msg, sig, e);
    if (alg != EMK_PUBKEY_ES384)
        return sig.len <= RSA_SIG_MAX
                   ? verify(k, alg, msg, sig, e)
                   : emk_fail(e, EMK_E_SIGNATURE, "pubkey: length of a signature", sig.len);
    if (!to_der(sig, der, &len))
        return emk_fail(e, EMK_E_SIGNATURE, "pubkey: length of a signature, or a zero", sig.len);
    return verify(k, alg, msg, emk_span_of(der, len), e);
}
