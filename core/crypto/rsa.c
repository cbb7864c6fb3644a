/* A key is held as libcrypto's object beside its own n and e: limits are checked on our side, on
 * bytes, before libcrypto sees them. */
#include "core/crypto/rsa.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/codec/der.h"
#include "core/crypto/internal.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define OAEP_OVERHEAD_HASHES 2u /* and two bytes more [RFC 8017 7.1.1] */
#define BITS_MIN             2048u
#define BITS_MAX             4096u
#define PKCS8_MAX            8192u

struct emk_rsa_public {
    const emk_crypto *c;
    EVP_PKEY *key; /* owned */
    size_t n_len;
    uint32_t exponent;
    uint8_t n[EMK_RSA_MODULUS_MAX];
};

struct emk_rsa_private {
    emk_rsa_public *pub; /* its key is the pair */
};

static const struct scheme_row {
    emk_rsa_scheme scheme;
    const char *hash;
    int padding;
    int salt; /* PSS: libcrypto's number */
} SCHEMES[] = {
    {EMK_RSA_PKCS1_SHA256, "SHA2-256", RSA_PKCS1_PADDING, 0},
    {EMK_RSA_PKCS1_SHA384, "SHA2-384", RSA_PKCS1_PADDING, 0},
    {EMK_RSA_PKCS1_SHA512, "SHA2-512", RSA_PKCS1_PADDING, 0},
    {EMK_RSA_PKCS1_SHA1_LEGACY, "SHA1", RSA_PKCS1_PADDING, 0},
    {EMK_RSA_PSS_SHA256, "SHA2-256", RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST},
    {EMK_RSA_PSS_SHA384, "SHA2-384", RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST},
    {EMK_RSA_PSS_SHA512, "SHA2-512", RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST},
    {EMK_RSA_PSS_SHA1_LEGACY, "SHA1", RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST},
    {EMK_RSA_PSS_SHA256_ANY_SALT, "SHA2-256", RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_AUTO},
    {EMK_RSA_PSS_SHA384_ANY_SALT, "SHA2-384", RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_AUTO},
};

static const struct scheme_row *find_scheme(emk_rsa_scheme scheme)
{
    for (size_t i = 0; i < sizeof SCHEMES / sizeof SCHEMES[0]; i++)
        if (SCHEMES[i].scheme == scheme)
            return &SCHEMES[i];
    return NULL;
}

static emk_span strip(emk_span v)
{
    while (v.len > 0 && v.p[0] == 0)
        v = emk_span_of(v.p + 1, v.len - 1);
    return v;
}

/* --- SubjectPublicKeyInfo -------------------------------------------------------------------- */

static const uint8_t OID_RSA[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t OID_OAEP[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07};

/* True for an algorithm that means an RSA key.  The parameters of id-RSAES-OAEP say how the key
 * would like to be used; whoever uses it decides that here. */
static bool read_algorithm(emk_der *spki)
{
    emk_der alg;
    emk_span oid;
    bool rsa, oaep;

    emk_der_enter(spki, EMK_DER_SEQUENCE, &alg);
    oid = emk_der_read_oid(&alg);
    rsa = emk_span_equal(oid, emk_span_of(OID_RSA, sizeof OID_RSA));
    oaep = emk_span_equal(oid, emk_span_of(OID_OAEP, sizeof OID_OAEP));
    if (rsa)
        emk_der_read_null(&alg);
    else if (emk_der_more(&alg))
        (void)emk_der_read_raw(&alg);
    emk_der_leave(spki, &alg);
    return rsa || oaep;
}

static emk_status read_key(emk_span key, emk_span *n, emk_span *exponent, emk_error *e)
{
    emk_der d, in;
    emk_status st;

    emk_der_init(&d, key);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    *n = emk_der_read_integer(&in);
    *exponent = emk_der_read_integer(&in);
    emk_der_leave(&d, &in);
    st = emk_der_finish(&d, e);
    if (st == EMK_OK && (n->p[0] >= 0x80 || exponent->p[0] >= 0x80))
        st = emk_fail(e, EMK_E_FORMAT, "rsa: negative number in a key", 0);
    return st;
}

emk_status emk_rsa_public_from_spki(const emk_crypto *c, emk_span spki, emk_rsa_public **out,
                                    emk_error *e)
{
    emk_der d, in;
    emk_span key, n, exponent;
    uint8_t unused;
    emk_status st;
    bool rsa;

    emk_der_init(&d, spki);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    rsa = read_algorithm(&in);
    key = emk_der_read_bits(&in, &unused);
    if (unused != 0)
        emk_der_fail(&in, EMK_E_FORMAT, "rsa: public key");
    emk_der_leave(&d, &in);
    st = emk_der_finish(&d, e);
    if (st != EMK_OK)
        return st;
    if (!rsa)
        return emk_fail(e, EMK_E_UNSUPPORTED, "rsa: not an RSA key", 0);
    st = read_key(key, &n, &exponent, e);
    return st == EMK_OK ? emk_rsa_public_new(c, n, exponent, out, e) : st;
}

static void put_length(emk_writer *w, size_t len)
{
    if (len < 0x80) {
        emk_write_u8(w, (uint8_t)len);
    } else if (len < 0x100) {
        emk_write_u8(w, 0x81);
        emk_write_u8(w, (uint8_t)len);
    } else {
        emk_write_u8(w, 0x82);
        emk_write_u16be(w, (uint16_t)len);
    }
}

static void put_integer(emk_writer *w, emk_span v)
{
    bool sign = (v.p[0] & 0x80) != 0;

    emk_write_u8(w, 0x02);
    put_length(w, v.len + sign);
    if (sign)
        emk_write_u8(w, 0);
    emk_write_bytes(w, v);
}

/* Wraps what w holds into tag and length (and for a BIT STRING the count of unused bits). */
static void put_wrapped(emk_writer *w, uint8_t tag, const emk_writer *in)
{
    bool bits = tag == 0x03;

    emk_write_u8(w, tag);
    put_length(w, in->pos + bits);
    if (bits)
        emk_write_u8(w, 0);
    emk_write_bytes(w, emk_writer_span(in));
}

emk_status emk_rsa_public_to_spki(const emk_rsa_public *k, uint8_t out[EMK_RSA_SPKI_MAX],
                                  size_t *len, emk_error *e)
{
    static const uint8_t ALGORITHM[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    uint8_t room[3][EMK_RSA_SPKI_MAX], exponent[4];
    emk_writer numbers, key, body, all;

    emk_store_u32be(exponent, k->exponent);
    emk_writer_init(&numbers, room[0], sizeof room[0]);
    emk_writer_init(&key, room[1], sizeof room[1]);
    emk_writer_init(&body, room[2], sizeof room[2]);
    emk_writer_init(&all, out, EMK_RSA_SPKI_MAX);
    put_integer(&numbers, emk_span_of(k->n, k->n_len));
    put_integer(&numbers, strip(emk_span_of(exponent, sizeof exponent)));
    put_wrapped(&key, 0x30, &numbers);
    emk_write_bytes(&body, emk_span_of(ALGORITHM, sizeof ALGORITHM));
    put_wrapped(&body, 0x03, &key);
    put_wrapped(&all, 0x30, &body);
    if (all.full || body.full || key.full)
        return emk_fail(e, EMK_E_LIMIT, "rsa: public key", k->n_len);
    *len = all.pos;
    return EMK_OK;
}

/* Keys of a library in smart cards and TPMs whose primes are k * M + 65537^a mod M: the modulus is
 * then a power of 65537 by every small prime, which of others one in 2^27 is.  They can be
 * factored.  [CVE-2017-15361] */
bool emk_rsa_is_roca(emk_span modulus)
{
    static const uint8_t PRIMES[] = {
        3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
        73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};

    for (size_t i = 0; i < sizeof PRIMES; i++) {
        uint32_t p = PRIMES[i], rest = 0, power = 1;
        bool found = false;

        for (size_t j = 0; j < modulus.len; j++)
            rest = (rest << 8 | modulus.p[j]) % p;
        for (uint32_t k = 0; k < p && !found; k++) {
            found = power == rest;
            power = power * (65537u % p) % p;
        }
        if (!found)
            return false;
    }
    return true;
}

/* --- public keys ----------------------------------------------------------------------------- */

static void to_native(emk_span v, uint8_t *native)
{
    for (size_t i = 0; i < v.len; i++)
        native[i] = v.p[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v.len - 1 - i : i];
}

static EVP_PKEY *make_key(const emk_crypto *c, emk_span n, emk_span exponent)
{
    uint8_t n_native[EMK_RSA_MODULUS_MAX], e_native[EMK_RSA_EXPONENT_MAX];
    OSSL_PARAM params[3] = {
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n_native, n.len),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, e_native, exponent.len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_name(c->lib, "RSA", c->propq);
    EVP_PKEY *key = NULL;

    to_native(n, n_native);
    to_native(exponent, e_native);
    if (ctx && !emk_lib_hit() && EVP_PKEY_fromdata_init(ctx) == 1 && !emk_lib_hit() &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* A modulus or exponent of any size would let a forger choose how long we work; an even one would
 * take libcrypto where nobody tested it. */
static emk_status check_numbers(emk_span n, emk_span exponent, emk_error *e)
{
    if (n.len < EMK_RSA_MODULUS_MIN || n.len > EMK_RSA_MODULUS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "rsa: size of the modulus", n.len);
    if (exponent.len > EMK_RSA_EXPONENT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "rsa: size of the exponent", exponent.len);
    if (!(n.p[n.len - 1] & 1))
        return emk_fail(e, EMK_E_FORMAT, "rsa: even modulus", 0);
    if (exponent.len == 0 || !(exponent.p[exponent.len - 1] & 1) ||
        (exponent.len == 1 && exponent.p[0] < 3))
        return emk_fail(e, EMK_E_FORMAT, "rsa: exponent", 0);
    return EMK_OK;
}

static emk_status new_holder(const emk_crypto *c, emk_span n, emk_span exponent,
                             emk_rsa_public **out, emk_error *e)
{
    emk_rsa_public *k;
    emk_status st = check_numbers(n, exponent, e);

    if (st != EMK_OK)
        return st;
    k = emk_alloc(1, sizeof *k);
    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "rsa: key", sizeof *k);
    k->c = c;
    k->n_len = n.len;
    memcpy(k->n, n.p, n.len);
    for (size_t i = 0; i < exponent.len; i++)
        k->exponent = k->exponent << 8 | exponent.p[i];
    *out = k;
    return EMK_OK;
}

emk_status emk_rsa_public_new(const emk_crypto *c, emk_span n, emk_span exponent,
                              emk_rsa_public **out, emk_error *e)
{
    emk_rsa_public *k = NULL;
    emk_status st;

    n = strip(n);
    exponent = strip(exponent);
    st = new_holder(c, n, exponent, &k, e);
    if (st != EMK_OK)
        return st;
    if (emk_rsa_is_roca(n)) {
        emk_rsa_public_free(k);
        return emk_fail(e, EMK_E_FORMAT, "rsa: a key that can be factored (ROCA)", 0);
    }
    k->key = make_key(c, n, exponent);
    if (!k->key) {
        emk_rsa_public_free(k);
        return emk_lib_fail(e, "rsa: public key");
    }
    *out = k;
    return EMK_OK;
}

size_t emk_rsa_public_len(const emk_rsa_public *k)
{
    return k->n_len;
}

emk_span emk_rsa_public_modulus(const emk_rsa_public *k)
{
    return emk_span_of(k->n, k->n_len);
}

uint32_t emk_rsa_public_exponent(const emk_rsa_public *k)
{
    return k->exponent;
}

void emk_rsa_public_free(emk_rsa_public *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key);
    emk_free(k);
}

/* --- signatures ------------------------------------------------------------------------------ */

/* libcrypto wants a pointer even to nothing. */
static const uint8_t *data_of(emk_span msg)
{
    return msg.len ? msg.p : (const uint8_t *)"";
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct scheme_row *row)
{
    if (emk_lib_hit() || EVP_PKEY_CTX_set_rsa_padding(ctx, row->padding) <= 0)
        return false;
    return row->padding != RSA_PKCS1_PSS_PADDING ||
           (!emk_lib_hit() && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, row->salt) > 0);
}

emk_status emk_rsa_verify(const emk_rsa_public *k, emk_rsa_scheme scheme, emk_span msg,
                          emk_span sig, emk_error *e)
{
    const struct scheme_row *row = find_scheme(scheme);
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx;
    emk_status st = EMK_OK;

    if (!row)
        return emk_fail(e, EMK_E_UNSUPPORTED, "rsa: scheme", (unsigned)scheme);
    if (sig.len != k->n_len)
        return emk_fail(e, EMK_E_SIGNATURE, "rsa: length of a signature", sig.len);
    ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    if (!ctx || emk_lib_hit() ||
        EVP_DigestVerifyInit_ex(ctx, &pctx, row->hash, k->c->lib, k->c->propq, k->key, NULL) != 1 ||
        !set_padding(pctx, row) || emk_lib_hit())
        st = emk_lib_fail(e, "rsa: verification could not start");
    else if (EVP_DigestVerify(ctx, sig.p, sig.len, data_of(msg), msg.len) != 1)
        st = emk_lib_refuse(e, EMK_E_SIGNATURE, "rsa: signature does not fit");
    EVP_MD_CTX_free(ctx);
    return st;
}

emk_status emk_rsa_sign(const emk_rsa_private *k, emk_rsa_scheme scheme, emk_span msg, uint8_t *sig,
                        emk_error *e)
{
    const struct scheme_row *row = find_scheme(scheme);
    const emk_rsa_public *pub = k->pub;
    size_t len = pub->n_len;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx;
    bool ok;

    if (!row)
        return emk_fail(e, EMK_E_UNSUPPORTED, "rsa: scheme", (unsigned)scheme);
    ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    ok = ctx && !emk_lib_hit() &&
         EVP_DigestSignInit_ex(ctx, &pctx, row->hash, pub->c->lib, pub->c->propq, pub->key, NULL) ==
             1 &&
         set_padding(pctx, row) && !emk_lib_hit() &&
         EVP_DigestSign(ctx, sig, &len, data_of(msg), msg.len) == 1 && len == pub->n_len;
    EVP_MD_CTX_free(ctx);
    return ok ? EMK_OK : emk_lib_fail(e, "rsa: signing");
}

/* --- OAEP ------------------------------------------------------------------------------------ */

static const struct oaep_row {
    emk_rsa_oaep_hash hash;
    const char *name;
    size_t len;
} OAEP_HASHES[] = {
    {EMK_RSA_OAEP_SHA256, "SHA2-256", 32},
    {EMK_RSA_OAEP_SHA384, "SHA2-384", 48},
    {EMK_RSA_OAEP_SHA1, "SHA1", 20},
};

static const struct oaep_row *find_oaep(const emk_rsa_oaep *how, emk_error *e)
{
    for (size_t i = 0; i < sizeof OAEP_HASHES / sizeof OAEP_HASHES[0]; i++)
        if (OAEP_HASHES[i].hash == how->hash && how->label.len <= EMK_RSA_LABEL_MAX)
            return &OAEP_HASHES[i];
    (void)emk_fail(e, EMK_E_USAGE, "rsa: OAEP hash or label", how->label.len);
    return NULL;
}

static bool set_oaep(EVP_PKEY_CTX *ctx, const struct oaep_row *row, emk_span label)
{
    char mode[] = OSSL_PKEY_RSA_PAD_MODE_OAEP, name[16] = {0};
    uint8_t copy[EMK_RSA_LABEL_MAX];
    OSSL_PARAM params[5], *p = params;

    memcpy(name, row->name, strlen(row->name));
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, mode, 0);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, name, 0);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, name, 0);
    if (label.len > 0) {
        memcpy(copy, label.p, label.len);
        *p++ =
            OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, copy, label.len);
    }
    *p = OSSL_PARAM_construct_end();
    return !emk_lib_hit() && EVP_PKEY_CTX_set_params(ctx, params) == 1;
}

emk_status emk_rsa_oaep_encrypt(const emk_rsa_public *k, const emk_rsa_oaep *how, emk_span msg,
                                uint8_t *out, emk_error *e)
{
    const struct oaep_row *row = find_oaep(how, e);
    uint8_t made[EMK_RSA_MODULUS_MAX];
    size_t len = sizeof made;
    EVP_PKEY_CTX *ctx;
    bool ok;

    if (!row)
        return EMK_E_USAGE;
    if (msg.len + OAEP_OVERHEAD_HASHES * row->len + 2 > k->n_len)
        return emk_fail(e, EMK_E_USAGE, "rsa: message is too long for the key", msg.len);
    ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_pkey(k->c->lib, k->key, k->c->propq);
    ok = ctx && !emk_lib_hit() && EVP_PKEY_encrypt_init(ctx) == 1 &&
         set_oaep(ctx, row, how->label) && !emk_lib_hit() &&
         EVP_PKEY_encrypt(ctx, made, &len, data_of(msg), msg.len) == 1 && len == k->n_len;
    EVP_PKEY_CTX_free(ctx);
    if (!ok)
        return emk_lib_fail(e, "rsa: OAEP");
    memcpy(out, made, len);
    return EMK_OK;
}

emk_status emk_rsa_oaep_decrypt(const emk_rsa_private *k, const emk_rsa_oaep *how, emk_span cipher,
                                uint8_t *out, size_t *len, emk_error *e)
{
    const struct oaep_row *row = find_oaep(how, e);
    const emk_rsa_public *pub = k->pub;
    uint8_t made[EMK_RSA_MODULUS_MAX];
    size_t made_len = sizeof made;
    emk_status st = EMK_OK;
    EVP_PKEY_CTX *ctx;

    if (!row)
        return EMK_E_USAGE;
    if (cipher.len != pub->n_len)
        return emk_fail(e, EMK_E_SEALED, "rsa: length of a ciphertext", cipher.len);
    ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_pkey(pub->c->lib, pub->key, pub->c->propq);
    if (!ctx || emk_lib_hit() || EVP_PKEY_decrypt_init(ctx) != 1 ||
        !set_oaep(ctx, row, how->label) || emk_lib_hit())
        st = emk_lib_fail(e, "rsa: OAEP");
    else if (EVP_PKEY_decrypt(ctx, made, &made_len, cipher.p, cipher.len) != 1)
        st = emk_lib_refuse(e, EMK_E_SEALED, "rsa: ciphertext cannot be opened");
    EVP_PKEY_CTX_free(ctx);
    if (st == EMK_OK) {
        memcpy(out, made, made_len);
        *len = made_len;
    }
    emk_wipe(made, sizeof made);
    return st;
}

/* --- private keys ---------------------------------------------------------------------------- */

static bool read_number(const EVP_PKEY *key, const char *name, uint8_t *out, size_t cap,
                        size_t *len)
{
    BIGNUM *v = NULL;
    int n;
    bool ok;

    ok = !emk_lib_hit() && EVP_PKEY_get_bn_param(key, name, &v) == 1;
    n = ok ? BN_num_bytes(v) : 0;
    ok = ok && n > 0 && (size_t)n <= cap && BN_bn2bin(v, out) == n;
    BN_free(v);
    *len = (size_t)n;
    return ok;
}

/* Takes key. */
static emk_status from_pair(const emk_crypto *c, EVP_PKEY *key, emk_rsa_private **out, emk_error *e)
{
    uint8_t n[EMK_RSA_MODULUS_MAX], exponent[EMK_RSA_EXPONENT_MAX];
    size_t n_len = 0, exponent_len = 0;
    emk_rsa_private *k = NULL;
    emk_rsa_public *pub = NULL;
    emk_status st;

    if (!read_number(key, OSSL_PKEY_PARAM_RSA_N, n, sizeof n, &n_len) ||
        !read_number(key, OSSL_PKEY_PARAM_RSA_E, exponent, sizeof exponent, &exponent_len))
        st = emk_lib_fail(e, "rsa: private key");
    else
        st = new_holder(c, emk_span_of(n, n_len), emk_span_of(exponent, exponent_len), &pub, e);
    if (st == EMK_OK && !(k = emk_alloc(1, sizeof *k)))
        st = emk_fail(e, EMK_E_NO_MEMORY, "rsa: key", sizeof *k);
    if (st != EMK_OK) {
        emk_rsa_public_free(pub);
        EVP_PKEY_free(key);
        return st;
    }
    pub->key = key;
    k->pub = pub;
    *out = k;
    return EMK_OK;
}

emk_status emk_rsa_private_generate(const emk_crypto *c, unsigned bits, emk_rsa_private **out,
                                    emk_error *e)
{
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;
    bool ok;

    if (bits < BITS_MIN || bits > BITS_MAX || bits % 8 != 0)
        return emk_fail(e, EMK_E_USAGE, "rsa: bits of a new key", bits);
    ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_name(c->lib, "RSA", c->propq);
    ok = ctx && !emk_lib_hit() && EVP_PKEY_keygen_init(ctx) == 1 && !emk_lib_hit() &&
         EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) > 0 && !emk_lib_hit() &&
         EVP_PKEY_generate(ctx, &key) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? from_pair(c, key, out, e) : emk_lib_fail(e, "rsa: key generation");
}

emk_status emk_rsa_private_from_pkcs8(const emk_crypto *c, emk_span der, emk_rsa_private **out,
                                      emk_error *e)
{
    const unsigned char *p = der.p;
    EVP_PKEY *key;

    if (der.len > PKCS8_MAX)
        return emk_fail(e, EMK_E_LIMIT, "rsa: private key", der.len);
    if (emk_lib_hit())
        return emk_lib_fail(e, "rsa: private key");
    key = d2i_AutoPrivateKey_ex(NULL, &p, (long)der.len, c->lib, c->propq);
    if (!key || !EVP_PKEY_is_a(key, "RSA")) {
        EVP_PKEY_free(key);
        return emk_lib_refuse(e, EMK_E_FORMAT, "rsa: not an RSA private key");
    }
    return from_pair(c, key, out, e);
}

const emk_rsa_public *emk_rsa_private_public(const emk_rsa_private *k)
{
    return k->pub;
}

void emk_rsa_private_free(emk_rsa_private *k)
{
    if (!k)
        return;
    emk_rsa_public_free(k->pub);
    emk_free(k);
}
