/* Signatures on the outside are 64 raw bytes; libcrypto's ECDSA speaks DER, so both directions
 * pass through the strict encoding below.  A key holds a libcrypto key made once: parsing one
 * per signature would cost more than verifying it. */
#include "core/crypto/sign.h"

#include "core/base/alloc.h"
#include "core/base/reader.h"
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/crypto/dh.h"
#include "core/crypto/internal.h"
#include "core/crypto/random.h"

#define ED25519_LEN   32u
#define DER_SEQUENCE  0x30u
#define DER_INTEGER   0x02u
#define DER_MAX_FRESH 80u /* room for what libcrypto makes */

typedef struct key_core {
    const emk_crypto *c;
    emk_sign_alg alg;
    EVP_PKEY *key;
    uint8_t pub[EMK_SIGN_PUBLIC_MAX];
} key_core;

struct emk_verify_key {
    key_core core;
};

struct emk_sign_key {
    key_core core;
};

size_t emk_sign_public_len(emk_sign_alg alg)
{
    switch (alg) {
    case EMK_SIGN_ED25519:
        return ED25519_LEN;
    case EMK_SIGN_ES256:
        return EMK_P256_PUBLIC_LEN;
    default:
        return 0;
    }
}

static emk_status check_alg(const emk_crypto *c, emk_sign_alg alg, emk_error *e)
{
    if (alg == EMK_SIGN_ED25519 && c->has[EMK_CRYPTO_ED25519])
        return EMK_OK;
    if (alg == EMK_SIGN_ES256 && c->has[EMK_CRYPTO_ES256])
        return EMK_OK;
    return emk_fail(e, EMK_E_UNSUPPORTED, "sign: algorithm", (unsigned)alg);
}

/* --- DER ---------------------------------------------------------------------------- */

/* INTEGER of 1..2^256-1 in its one shortest form, into 32 bytes. */
static bool read_integer(emk_reader *r, uint8_t out[P256_LEN])
{
    uint8_t tag = emk_read_u8(r);
    uint8_t len = emk_read_u8(r);
    emk_span v = emk_read_bytes(r, len);

    if (r->cut || tag != DER_INTEGER || len == 0 || len > P256_LEN + 1 || (v.p[0] & 0x80) != 0)
        return false;
    if (v.p[0] == 0) {
        if (len == 1 || (v.p[1] & 0x80) == 0)
            return false; /* zero, or a zero in front that nothing needs */
        v = emk_span_of(v.p + 1, v.len - 1);
    }
    if (v.len > P256_LEN)
        return false;
    memset(out, 0, P256_LEN);
    memcpy(out + P256_LEN - v.len, v.p, v.len);
    return true;
}

emk_status emk_sign_from_der(emk_span der, uint8_t sig[64], emk_error *e)
{
    uint8_t raw[EMK_SIGN_LEN];
    emk_reader r;
    uint8_t tag, len;

    emk_reader_init(&r, der);
    tag = emk_read_u8(&r);
    len = emk_read_u8(&r); /* at most 70 here: the long form is never right */
    if (r.cut || tag != DER_SEQUENCE || len != emk_reader_left(&r) || !read_integer(&r, raw) ||
        !read_integer(&r, raw + P256_LEN) || !emk_reader_at_end(&r))
        return emk_fail(e, EMK_E_FORMAT, "sign: not a DER ECDSA signature", r.pos);
    memcpy(sig, raw, sizeof raw);
    return EMK_OK;
}

/* Returns false for zero. */
static bool write_integer(emk_writer *w, const uint8_t v[P256_LEN])
{
    size_t skip = 0;
    uint8_t sign;

    while (skip < P256_LEN && v[skip] == 0)
        skip++;
    if (skip == P256_LEN)
        return false;
    sign = v[skip] >> 7;
    emk_write_u8(w, DER_INTEGER);
    emk_write_u8(w, (uint8_t)(P256_LEN - skip + sign));
    if (sign)
        emk_write_u8(w, 0);
    emk_write_bytes(w, emk_span_of(v + skip, P256_LEN - skip));
    return true;
}

emk_status emk_sign_to_der(const uint8_t sig[64], uint8_t out[EMK_SIGN_DER_MAX], size_t *out_len,
                           emk_error *e)
{
    uint8_t body[EMK_SIGN_DER_MAX];
    emk_writer w;

    emk_writer_init(&w, body, sizeof body);
    if (!write_integer(&w, sig) || !write_integer(&w, sig + P256_LEN) || w.full)
        return emk_fail(e, EMK_E_FORMAT, "sign: r or s is zero", 0);
    out[0] = DER_SEQUENCE;
    out[1] = (uint8_t)w.pos;
    memcpy(out + 2, body, w.pos);
    *out_len = w.pos + 2;
    return EMK_OK;
}

/* --- keys --------------------------------------------------------------------------- */

static emk_status ed25519_from_public(const emk_crypto *c, const uint8_t *pub, EVP_PKEY **out,
                                      emk_error *e)
{
    EVP_PKEY *key = emk_lib_hit() ? NULL
                                  : EVP_PKEY_new_raw_public_key_ex(c->lib, "ED25519", c->propq, pub,
                                                                   ED25519_LEN);

    if (!key)
        return emk_lib_fail(e, "sign: public key");
    *out = key;
    return EMK_OK;
}

emk_status emk_verify_key_new(const emk_crypto *c, emk_sign_alg alg, emk_span pub,
                              emk_verify_key **out, emk_error *e)
{
    emk_verify_key *k;
    emk_status st;

    st = check_alg(c, alg, e);
    if (st != EMK_OK)
        return st;
    if (pub.len != emk_sign_public_len(alg))
        return emk_fail(e, EMK_E_FORMAT, "sign: length of a public key", pub.len);
    k = emk_alloc(1, sizeof *k);
    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "sign: key", sizeof *k);
    k->core.c = c;
    k->core.alg = alg;
    memcpy(k->core.pub, pub.p, pub.len);
    st = alg == EMK_SIGN_ES256 ? emk_ec_import_public(c, EMK_CURVE_P256, pub.p, &k->core.key, e)
                               : ed25519_from_public(c, pub.p, &k->core.key, e);
    if (st != EMK_OK) {
        emk_verify_key_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

emk_sign_alg emk_verify_key_alg(const emk_verify_key *k)
{
    return k->core.alg;
}

emk_span emk_verify_key_public(const emk_verify_key *k)
{
    return emk_span_of(k->core.pub, emk_sign_public_len(k->core.alg));
}

void emk_verify_key_free(emk_verify_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->core.key);
    emk_free(k);
}

static emk_status ed25519_from_private(const emk_crypto *c, const uint8_t priv[32], EVP_PKEY **out,
                                       uint8_t *pub, emk_error *e)
{
    size_t len = ED25519_LEN;
    EVP_PKEY *key = emk_lib_hit() ? NULL
                                  : EVP_PKEY_new_raw_private_key_ex(c->lib, "ED25519", c->propq,
                                                                    priv, ED25519_LEN);

    if (!key || emk_lib_hit() || EVP_PKEY_get_raw_public_key(key, pub, &len) != 1 ||
        len != ED25519_LEN) {
        EVP_PKEY_free(key);
        return emk_lib_fail(e, "sign: private key");
    }
    *out = key;
    return EMK_OK;
}

static emk_status from_private(const emk_crypto *c, emk_sign_alg alg, const uint8_t priv[32],
                               EVP_PKEY **out, uint8_t *pub, emk_error *e)
{
    emk_status st;

    if (alg == EMK_SIGN_ED25519)
        return ed25519_from_private(c, priv, out, pub, e);
    st = emk_ec_public(c, EMK_CURVE_P256, priv, pub, e);
    return st == EMK_OK ? emk_ec_import_pair(c, priv, pub, out, e) : st;
}

emk_status emk_sign_key_new(const emk_crypto *c, emk_sign_alg alg, emk_span priv,
                            emk_sign_key **out, emk_error *e)
{
    emk_sign_key *k;
    emk_status st;

    st = check_alg(c, alg, e);
    if (st != EMK_OK)
        return st;
    if (priv.len != EMK_SIGN_PRIVATE_LEN)
        return emk_fail(e, EMK_E_FORMAT, "sign: length of a private key", priv.len);
    k = emk_alloc(1, sizeof *k);
    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "sign: key", sizeof *k);
    k->core.c = c;
    k->core.alg = alg;
    st = from_private(c, alg, priv.p, &k->core.key, k->core.pub, e);
    if (st != EMK_OK) {
        emk_sign_key_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

emk_sign_alg emk_sign_key_alg(const emk_sign_key *k)
{
    return k->core.alg;
}

emk_span emk_sign_key_public(const emk_sign_key *k)
{
    return emk_span_of(k->core.pub, emk_sign_public_len(k->core.alg));
}

void emk_sign_key_free(emk_sign_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->core.key);
    emk_free(k);
}

static emk_status generate_ed25519(const emk_crypto *c, uint8_t priv[32], uint8_t *pub,
                                   emk_error *e)
{
    uint8_t drawn[ED25519_LEN], made[ED25519_LEN];
    EVP_PKEY *key = NULL;
    emk_status st;

    st = emk_random_secret(c, drawn, sizeof drawn, e);
    if (st == EMK_OK)
        st = ed25519_from_private(c, drawn, &key, made, e);
    if (st == EMK_OK) {
        memcpy(priv, drawn, sizeof drawn);
        memcpy(pub, made, sizeof made);
    }
    EVP_PKEY_free(key);
    emk_wipe(drawn, sizeof drawn);
    return st;
}

emk_status emk_sign_generate(const emk_crypto *c, emk_sign_alg alg, uint8_t priv[32], uint8_t *pub,
                             emk_error *e)
{
    emk_status st = check_alg(c, alg, e);

    if (st != EMK_OK)
        return st;
    if (alg == EMK_SIGN_ES256)
        return emk_p256_generate(c, priv, pub, e);
    return generate_ed25519(c, priv, pub, e);
}

/* --- sign and verify ---------------------------------------------------------------- */

static const char *digest_name(emk_sign_alg alg)
{
    return alg == EMK_SIGN_ES256 ? "SHA2-256" : NULL; /* Ed25519 hashes by itself */
}

/* libcrypto wants a pointer even to nothing. */
static const uint8_t *data_of(emk_span msg)
{
    return msg.len ? msg.p : (const uint8_t *)"";
}

/* sig as libcrypto takes it: raw for Ed25519, DER for ECDSA. */
static emk_status verify(const key_core *k, emk_span msg, emk_span sig, emk_error *e)
{
    EVP_MD_CTX *ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    emk_status st = EMK_OK;

    if (!ctx || emk_lib_hit() ||
        EVP_DigestVerifyInit_ex(ctx, NULL, digest_name(k->alg), k->c->lib, k->c->propq, k->key,
                                NULL) != 1 ||
        emk_lib_hit())
        st = emk_lib_fail(e, "sign: verification could not start");
    else if (EVP_DigestVerify(ctx, sig.p, sig.len, data_of(msg), msg.len) != 1)
        st = emk_lib_refuse(e, EMK_E_SIGNATURE, "sign: signature does not fit");
    EVP_MD_CTX_free(ctx);
    return st;
}

emk_status emk_sign_verify(const emk_verify_key *k, emk_span msg, emk_span sig, emk_error *e)
{
    uint8_t der[EMK_SIGN_DER_MAX];
    size_t len;

    if (sig.len != EMK_SIGN_LEN)
        return emk_fail(e, EMK_E_SIGNATURE, "sign: length of a signature", sig.len);
    if (k->core.alg == EMK_SIGN_ED25519)
        return verify(&k->core, msg, sig, e);
    if (!emk_p256_private_is_valid(sig.p) || !emk_p256_private_is_valid(sig.p + P256_LEN) ||
        emk_sign_to_der(sig.p, der, &len, e) != EMK_OK)
        return emk_fail(e, EMK_E_SIGNATURE, "sign: r or s outside 1..n-1", 0);
    return verify(&k->core, msg, emk_span_of(der, len), e);
}

emk_status emk_sign_verify_der(const emk_verify_key *k, emk_span msg, emk_span sig, emk_error *e)
{
    uint8_t raw[EMK_SIGN_LEN];

    if (k->core.alg != EMK_SIGN_ES256)
        return emk_fail(e, EMK_E_USAGE, "sign: DER is for ES256", (unsigned)k->core.alg);
    if (emk_sign_from_der(sig, raw, e) != EMK_OK)
        return emk_fail(e, EMK_E_SIGNATURE, "sign: not a DER ECDSA signature", 0);
    return emk_sign_verify(k, msg, emk_span_of(raw, sizeof raw), e);
}

emk_status emk_sign_make(const emk_sign_key *k, emk_span msg, uint8_t sig[64], emk_error *e)
{
    const key_core *core = &k->core;
    uint8_t made[DER_MAX_FRESH];
    size_t len = sizeof made;
    EVP_MD_CTX *ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    bool ok;

    ok = ctx && !emk_lib_hit() &&
         EVP_DigestSignInit_ex(ctx, NULL, digest_name(core->alg), core->c->lib, core->c->propq,
                               core->key, NULL) == 1 &&
         !emk_lib_hit() && EVP_DigestSign(ctx, made, &len, data_of(msg), msg.len) == 1;
    EVP_MD_CTX_free(ctx);
    emk_lib_wipe_stack(); /* ECDSA's nonce is as good as the key */
    if (!ok)
        return emk_lib_fail(e, "sign: signing");
    if (core->alg == EMK_SIGN_ES256)
        return emk_sign_from_der(emk_span_of(made, len), sig, e) == EMK_OK
                   ? EMK_OK
                   : emk_fail(e, EMK_E_CRYPTO, "sign: libcrypto's signature", len);
    if (len != EMK_SIGN_LEN)
        return emk_fail(e, EMK_E_CRYPTO, "sign: libcrypto's signature", len);
    memcpy(sig, made, EMK_SIGN_LEN);
    return EMK_OK;
}
