/* Wycheproof: X25519, ECDH, ECDSA, Ed25519, ML-KEM-768. */
#include "core/crypto/dh.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/sign.h"
#include "tests/conformance/jwk.h"
#include "tests/conformance/wycheproof.h"

/* A result of zeros is refused by HPKE, whatever the file finds acceptable. [RFC 9180 7.1.4] */
static bool must_be_zero(const emk_wp_test *t, emk_span shared)
{
    uint8_t any = 0;

    for (size_t i = 0; i < shared.len; i++)
        any |= shared.p[i];
    return emk_wp_has_flag(t, "ZeroSharedSecret") || emk_wp_has_flag(t, "LowOrderPublic") ||
           (shared.len > 0 && any == 0);
}

static void exchange_x25519(emk_vec *v, const emk_wp_test *t, emk_span priv, emk_span pub)
{
    emk_span shared = emk_vec_hex(v, t->test, "shared");
    uint8_t x[EMK_X25519_LEN];
    emk_error e = {0};
    emk_status st;

    if (!emk_vec_is_well(v))
        return;
    if (pub.len != EMK_X25519_LEN || priv.len != EMK_X25519_LEN) {
        st = emk_kem_check_public(v->crypto, EMK_KEM_X25519, pub, NULL);
        if (t->result == EMK_WP_INVALID && pub.len != EMK_X25519_LEN)
            emk_vec_status(v, "public key of another length", st, EMK_E_FORMAT);
        else
            emk_vec_malformed(v, "a key has not 32 bytes");
        return;
    }
    st = emk_dh_x25519(v->crypto, priv.p, pub.p, x, &e);
    if (t->result == EMK_WP_INVALID || must_be_zero(t, shared))
        emk_vec_status(v, "dh", st, EMK_E_FORMAT);
    else if (emk_vec_ok(v, "dh", st, &e))
        emk_vec_same(v, "shared", emk_span_of(x, sizeof x), shared);
}

static bool is_curve(emk_vec *v, const emk_dom *object, const char *key, const char *curve)
{
    emk_span got = emk_vec_text(v, object, key);

    if (emk_vec_is_well(v) && !emk_span_equal(got, emk_span_str(curve)))
        emk_vec_skip(v, "no such curve here: %.*s", EMK_VEC_SHOWN(got));
    return emk_vec_is_well(v);
}

void emk_wp_xdh(emk_vec *v, const emk_wp_test *t)
{
    if (is_curve(v, t->group, "curve", "curve25519"))
        exchange_x25519(v, t, emk_vec_hex(v, t->test, "private"),
                        emk_vec_hex(v, t->test, "public"));
}

/* The private key must be one we can read; a public key that is none is the refusal. */
static bool read_jwks(emk_vec *v, const emk_wp_test *t, emk_jwk_kind kind, emk_jwk *priv,
                      emk_jwk *pub)
{
    const emk_dom *d = emk_vec_object(v, t->test, "private");
    const emk_dom *q = emk_vec_object(v, t->test, "public");

    if (!emk_vec_is_well(v))
        return false;
    if (!emk_jwk_read(v, d, priv) || priv->kind != kind || priv->private_key.len == 0) {
        emk_vec_malformed(v, "the private JWK");
        return false;
    }
    if (emk_jwk_read(v, q, pub) && pub->kind == kind)
        return true;
    emk_vec_true(v, "the public JWK is not one", t->result != EMK_WP_VALID);
    return false;
}

void emk_wp_xdh_jwk(emk_vec *v, const emk_wp_test *t)
{
    emk_jwk priv, pub;

    if (is_curve(v, t->group, "curve", "curve25519") &&
        read_jwks(v, t, EMK_JWK_X25519, &priv, &pub))
        exchange_x25519(v, t, priv.private_key, pub.public_key);
}

/* Wycheproof writes scalars as ASN.1 integers: leading zeros too many, or left out. */
static bool scalar_of(emk_span in, uint8_t out[32])
{
    size_t from = in.len > 32 ? in.len - 32 : 0;

    for (size_t i = 0; i < from; i++)
        if (in.p[i] != 0)
            return false;
    memset(out, 0, 32);
    memcpy(out + 32 - (in.len - from), in.p + from, in.len - from);
    return true;
}

static void exchange_p256(emk_vec *v, const emk_wp_test *t, emk_span priv, emk_span pub)
{
    emk_span shared = emk_vec_hex(v, t->test, "shared");
    uint8_t d[EMK_P256_PRIVATE_LEN], x[EMK_P256_SHARED_LEN];
    emk_error e = {0};
    emk_status st;

    if (!scalar_of(priv, d))
        emk_vec_malformed(v, "the private key is too long");
    if (!emk_vec_is_well(v))
        return;
    if (pub.len != EMK_P256_PUBLIC_LEN) { /* compressed, infinity, cut: HPKE takes none of them */
        st = emk_kem_check_public(v->crypto, EMK_KEM_P256, pub, NULL);
        if (t->result == EMK_WP_VALID)
            emk_vec_malformed(v, "a valid public key of %zu bytes", pub.len);
        else
            emk_vec_status(v, "public key of another length", st, EMK_E_FORMAT);
        return;
    }
    st = emk_dh_p256(v->crypto, d, pub.p, x, &e);
    if (t->result != EMK_WP_VALID)
        emk_vec_status(v, "dh", st, EMK_E_FORMAT);
    else if (emk_vec_ok(v, "dh", st, &e))
        emk_vec_same(v, "shared", emk_span_of(x, sizeof x), shared);
}

void emk_wp_ecdh_point(emk_vec *v, const emk_wp_test *t)
{
    if (is_curve(v, t->group, "curve", "secp256r1"))
        exchange_p256(v, t, emk_vec_hex(v, t->test, "private"), emk_vec_hex(v, t->test, "public"));
}

void emk_wp_ecdh_jwk(emk_vec *v, const emk_wp_test *t)
{
    emk_jwk priv, pub;

    if (is_curve(v, t->group, "curve", "P-256") && read_jwks(v, t, EMK_JWK_P256, &priv, &pub))
        exchange_p256(v, t, priv.private_key, pub.public_key);
}

typedef emk_status (*verify_fn)(const emk_verify_key *k, emk_span msg, emk_span sig, emk_error *e);

static void verify(emk_vec *v, const emk_wp_test *t, emk_sign_alg alg, emk_span pub, verify_fn fn)
{
    emk_span msg = emk_vec_hex(v, t->test, "msg"), sig = emk_vec_hex(v, t->test, "sig");
    emk_verify_key *key = NULL;
    emk_error e = {0};
    emk_status st;

    if (!emk_vec_is_well(v))
        return;
    st = emk_verify_key_new(v->crypto, alg, pub, &key, &e);
    if (st != EMK_OK && t->result == EMK_WP_INVALID) {
        emk_vec_refused(v, "public key", st);
    } else if (emk_vec_ok(v, "public key", st, &e)) {
        st = fn(key, msg, sig, &e);
        if (t->result == EMK_WP_INVALID)
            emk_vec_status(v, "verify", st, EMK_E_SIGNATURE);
        else
            emk_vec_ok(v, "verify", st, &e);
    }
    emk_verify_key_free(key);
}

/* "publicKey" in version 1 of the schemas, "key" before. */
static const emk_dom *public_key(emk_vec *v, const emk_wp_test *t)
{
    const emk_dom *key = emk_dom_get_kind(t->group, "publicKey", EMK_DOM_OBJECT);

    return key ? key : emk_vec_object(v, t->group, "key");
}

void emk_wp_ecdsa(emk_vec *v, const emk_wp_test *t)
{
    const emk_dom *key = public_key(v, t);
    bool p1363 = emk_dom_is_text(emk_dom_get(t->group, "type"), "EcdsaP1363Verify");
    emk_span sha = emk_vec_text(v, t->group, "sha");

    if (!emk_vec_is_well(v) || !is_curve(v, key, "curve", "secp256r1"))
        return;
    if (!emk_span_equal(sha, emk_span_str("SHA-256"))) {
        emk_vec_skip(v, "ECDSA goes with SHA-256 only");
        return;
    }
    verify(v, t, EMK_SIGN_ES256, emk_vec_hex(v, key, "uncompressed"),
           p1363 ? emk_sign_verify : emk_sign_verify_der);
}

void emk_wp_eddsa(emk_vec *v, const emk_wp_test *t)
{
    const emk_dom *key = public_key(v, t);

    if (emk_vec_is_well(v) && is_curve(v, key, "curve", "edwards25519"))
        verify(v, t, EMK_SIGN_ED25519, emk_vec_hex(v, key, "pk"), emk_sign_verify);
}

static bool has_mlkem(emk_vec *v, const emk_wp_test *t)
{
    emk_span set = emk_vec_text(v, t->group, "parameterSet");

    if (!emk_vec_is_well(v))
        return false;
    if (!emk_span_equal(set, emk_span_str("ML-KEM-768")))
        emk_vec_skip(v, "no such parameter set here: %.*s", EMK_VEC_SHOWN(set));
    else if (!emk_crypto_has(v->crypto, EMK_CRYPTO_ML_KEM_768))
        emk_vec_skip(v, "libcrypto has no ML-KEM");
    return emk_vec_is_well(v);
}

static emk_kem_private *import_seed(emk_vec *v, const emk_wp_test *t, emk_span seed)
{
    emk_kem_private *key = NULL;
    emk_error e = {0};
    emk_status st = emk_kem_private_new(v->crypto, EMK_KEM_ML_KEM_768, seed, &key, &e);

    if (st == EMK_OK)
        return key;
    if (t->result == EMK_WP_INVALID)
        emk_vec_refused(v, "seed", st);
    else
        emk_vec_ok(v, "seed", st, &e);
    return NULL;
}

void emk_wp_mlkem(emk_vec *v, const emk_wp_test *t)
{
    emk_span seed = emk_vec_hex(v, t->test, "seed"), c = emk_vec_hex(v, t->test, "c");
    emk_span ek = emk_vec_hex_opt(v, t->test, "ek"), k = emk_vec_hex_opt(v, t->test, "K");
    uint8_t secret[EMK_KEM_SECRET_LEN];
    emk_kem_private *key;
    emk_error e = {0};
    emk_status st;

    if (!emk_vec_is_well(v) || !has_mlkem(v, t))
        return;
    key = import_seed(v, t, seed);
    if (!key)
        return;
    if (ek.len > 0)
        emk_vec_same(v, "ek", emk_kem_private_public(key), ek);
    st = emk_kem_decap(key, c, secret, &e);
    if (t->result == EMK_WP_INVALID)
        emk_vec_status(v, "decap", st, EMK_E_SEALED);
    else if (emk_vec_ok(v, "decap", st, &e))
        emk_vec_same(v, "K", emk_span_of(secret, sizeof secret), k);
    emk_kem_private_free(key);
}

void emk_wp_mlkem_encaps(emk_vec *v, const emk_wp_test *t)
{
    emk_span m = emk_vec_hex(v, t->test, "m"), ek = emk_vec_hex(v, t->test, "ek");
    emk_span c = emk_vec_hex_opt(v, t->test, "c"), k = emk_vec_hex_opt(v, t->test, "K");
    uint8_t enc[EMK_KEM_ENC_MAX], secret[EMK_KEM_SECRET_LEN];
    emk_error e = {0};
    emk_status st;

    if (!emk_vec_is_well(v) || !has_mlkem(v, t))
        return;
    if (t->result == EMK_WP_INVALID) {
        emk_vec_status(v, "public key",
                       emk_kem_check_public(v->crypto, EMK_KEM_ML_KEM_768, ek, NULL), EMK_E_FORMAT);
        st = emk_kem_encap_fixed(v->crypto, EMK_KEM_ML_KEM_768, ek, m, enc, secret, &e);
        emk_vec_status(v, "encap", st, EMK_E_FORMAT);
        return;
    }
    st = emk_kem_encap_fixed(v->crypto, EMK_KEM_ML_KEM_768, ek, m, enc, secret, &e);
    if (!emk_vec_ok(v, "encap", st, &e))
        return;
    emk_vec_same(v, "c", emk_span_of(enc, emk_kem_enc_len(EMK_KEM_ML_KEM_768)), c);
    emk_vec_same(v, "K", emk_span_of(secret, sizeof secret), k);
}

void emk_wp_mlkem_keygen(emk_vec *v, const emk_wp_test *t)
{
    emk_span seed = emk_vec_hex(v, t->test, "seed"), ek = emk_vec_hex(v, t->test, "ek");
    emk_kem_private *key;

    if (!emk_vec_is_well(v) || !has_mlkem(v, t))
        return;
    key = import_seed(v, t, seed);
    if (key && t->result == EMK_WP_INVALID)
        emk_vec_fail(v, "seed: expected a refusal");
    else if (key)
        emk_vec_same(v, "ek", emk_kem_private_public(key), ek);
    emk_kem_private_free(key);
}
