/* HMAC is built here from SHA-256 instead of by EVP_MAC or EVP_KDF: the same result at a third
 * and a quarter of their cost, and sealing one model takes about twenty of them. */
#include "core/crypto/kdf.h"

#include "core/base/secret.h"
#include "core/crypto/internal.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define BLOCK_LEN    64u /* bytes of a SHA-256 block */
#define PASS_OUT_MAX 1024u

static bool start(EVP_MD_CTX *md, const emk_crypto *c)
{
    return !emk_lib_hit() && EVP_DigestInit_ex2(md, c->sha256, NULL) == 1;
}

static bool update(EVP_MD_CTX *md, const void *p, size_t len)
{
    return len == 0 || (!emk_lib_hit() && EVP_DigestUpdate(md, p, len) == 1);
}

static bool finish(EVP_MD_CTX *md, uint8_t out[32])
{
    return !emk_lib_hit() && EVP_DigestFinal_ex(md, out, NULL) == 1;
}

/* Fills block with the key as HMAC wants it.  [RFC 2104 2] */
static bool key_block(EVP_MD_CTX *md, const emk_crypto *c, emk_span key, uint8_t block[BLOCK_LEN])
{
    memset(block, 0, BLOCK_LEN);
    if (key.len > BLOCK_LEN)
        return start(md, c) && update(md, key.p, key.len) && finish(md, block);
    if (key.len)
        memcpy(block, key.p, key.len);
    return true;
}

static void mix(uint8_t block[BLOCK_LEN], uint8_t v)
{
    for (size_t i = 0; i < BLOCK_LEN; i++)
        block[i] ^= v;
}

static bool update_parts(EVP_MD_CTX *md, emk_kdf_parts parts)
{
    for (size_t i = 0; i < parts.n; i++) {
        if (!update(md, parts.v[i].p, parts.v[i].len))
            return false;
    }
    return true;
}

static bool hmac(EVP_MD_CTX *md, const emk_crypto *c, emk_span key, emk_kdf_parts parts,
                 uint8_t mac[32])
{
    uint8_t block[BLOCK_LEN], inner[32];
    bool ok;

    ok = key_block(md, c, key, block);
    mix(block, 0x36);
    ok = ok && start(md, c) && update(md, block, sizeof block) && update_parts(md, parts) &&
         finish(md, inner);
    mix(block, 0x36 ^ 0x5c);
    ok = ok && start(md, c) && update(md, block, sizeof block) && update(md, inner, sizeof inner) &&
         finish(md, mac);
    emk_wipe(block, sizeof block);
    emk_wipe(inner, sizeof inner);
    return ok;
}

emk_status emk_hmac_sha256(const emk_crypto *c, emk_span key, const emk_span *parts, size_t n_parts,
                           uint8_t mac[32], emk_error *e)
{
    EVP_MD_CTX *md = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    uint8_t result[32];
    bool ok;

    ok = md && hmac(md, c, key, (emk_kdf_parts){parts, n_parts}, result);
    EVP_MD_CTX_free(md);
    if (ok)
        memcpy(mac, result, sizeof result);
    emk_wipe(result, sizeof result);
    return ok ? EMK_OK : emk_lib_fail(e, "hmac: failed");
}

emk_status emk_hkdf_extract_parts(const emk_crypto *c, emk_span salt, emk_kdf_parts ikm,
                                  uint8_t prk[32], emk_error *e)
{
    /* no salt means 32 zeros, which HMAC's padding makes equal to an empty key */
    return emk_hmac_sha256(c, salt, ikm.v, ikm.n, prk, e);
}

emk_status emk_hkdf_extract(const emk_crypto *c, emk_span salt, emk_span ikm, uint8_t prk[32],
                            emk_error *e)
{
    return emk_hkdf_extract_parts(c, salt, (emk_kdf_parts){&ikm, 1}, prk, e);
}

/* T(i) = HMAC(PRK, T(i-1) || info || i), into out.  [RFC 5869 2.3] */
static bool expand(EVP_MD_CTX *md, const emk_crypto *c, emk_span prk, emk_kdf_parts info,
                   uint8_t *out, size_t len)
{
    emk_span v[EMK_KDF_PARTS_MAX + 2];
    uint8_t t[32], counter = 0;
    size_t done = 0;
    bool ok = true;

    for (size_t i = 0; i < info.n; i++)
        v[i + 1] = info.v[i];
    v[info.n + 1] = emk_span_of(&counter, 1);
    while (ok && done < len) {
        size_t take = len - done < sizeof t ? len - done : sizeof t;

        v[0] = emk_span_of(t, counter ? sizeof t : 0);
        counter++;
        ok = hmac(md, c, prk, (emk_kdf_parts){v, info.n + 2}, t);
        if (ok)
            memcpy(out + done, t, take);
        done += take;
    }
    emk_wipe(t, sizeof t);
    return ok;
}

emk_status emk_hkdf_expand_parts(const emk_crypto *c, const uint8_t prk[32], emk_kdf_parts info,
                                 uint8_t *out, size_t len, emk_error *e)
{
    EVP_MD_CTX *md;
    bool ok;

    if (len > EMK_HKDF_OUT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "hkdf: output length", len);
    if (info.n > EMK_KDF_PARTS_MAX)
        return emk_fail(e, EMK_E_USAGE, "hkdf: parts of info", info.n);
    if (len == 0)
        return EMK_OK;
    md = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    ok = md && expand(md, c, emk_span_of(prk, 32), info, out, len);
    EVP_MD_CTX_free(md);
    if (ok)
        return EMK_OK;
    emk_wipe(out, len);
    return emk_lib_fail(e, "hkdf: failed");
}

emk_status emk_hkdf_expand(const emk_crypto *c, const uint8_t prk[32], emk_span info, uint8_t *out,
                           size_t len, emk_error *e)
{
    return emk_hkdf_expand_parts(c, prk, (emk_kdf_parts){&info, 1}, out, len, e);
}

/* libcrypto takes parameters as void *, but only reads these. */
static OSSL_PARAM bytes_param(const char *name, emk_span s)
{
    union {
        const uint8_t *in;
        void *out;
    } p = {s.len ? s.p : (const uint8_t *)""};

    return OSSL_PARAM_construct_octet_string(name, p.out, s.len);
}

static emk_status run_kdf(EVP_KDF *kdf, const OSSL_PARAM *params, uint8_t *out, size_t out_len,
                          emk_error *e)
{
    EVP_KDF_CTX *ctx;
    bool ok;

    if (!kdf)
        return emk_fail(e, EMK_E_UNSUPPORTED, "kdf: algorithm is absent", 0);
    ctx = emk_lib_hit() ? NULL : EVP_KDF_CTX_new(kdf);
    ok = ctx && !emk_lib_hit() && EVP_KDF_derive(ctx, out, out_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    emk_lib_wipe_stack();
    if (ok)
        return EMK_OK;
    emk_wipe(out, out_len);
    return emk_lib_fail(e, "kdf: failed");
}

emk_status emk_pbkdf2_derive(const emk_crypto *c, const emk_pbkdf2 *p, uint8_t *out, size_t out_len,
                             emk_error *e)
{
    uint64_t iterations = p->iterations;
    char digest[] = "SHA2-256";
    int lax = 1; /* RFC 8018, without SP 800-132's minima: the caller chose the parameters */
    OSSL_PARAM params[] = {
        bytes_param(OSSL_KDF_PARAM_PASSWORD, p->pass),
        bytes_param(OSSL_KDF_PARAM_SALT, p->salt),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_ITER, &iterations),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &lax),
        OSSL_PARAM_construct_end(),
    };

    if (p->iterations == 0 || p->iterations > EMK_PBKDF2_ITER_MAX)
        return emk_fail(e, EMK_E_LIMIT, "pbkdf2: iterations", p->iterations);
    if (out_len == 0 || out_len > PASS_OUT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "pbkdf2: output length", out_len);
    return run_kdf(c->pbkdf2, params, out, out_len, e);
}

static emk_status check_scrypt(const emk_scrypt *s, size_t out_len, emk_error *e)
{
    uint64_t blocks;

    if (out_len == 0 || out_len > PASS_OUT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "scrypt: output length", out_len);
    if (s->mem_max > EMK_SCRYPT_MEM_LIMIT)
        return emk_fail(e, EMK_E_LIMIT, "scrypt: memory cap", s->mem_max);
    if (s->n < 2 || (s->n & (s->n - 1)) != 0 || s->n > EMK_SCRYPT_MEM_LIMIT / 128)
        return emk_fail(e, EMK_E_LIMIT, "scrypt: n", s->n);
    if (s->r == 0 || (s->r < 4 && s->n >= UINT64_C(1) << ((uint64_t)16 * s->r)))
        return emk_fail(e, EMK_E_LIMIT, "scrypt: r", s->r);
    if (s->p == 0 || s->p > EMK_SCRYPT_P_MAX)
        return emk_fail(e, EMK_E_LIMIT, "scrypt: p", s->p);
    blocks = s->n + 2 + s->p; /* V, and the working blocks: no overflow after the tests above */
    if (s->r > EMK_SCRYPT_MEM_LIMIT / 128 || 128 * (uint64_t)s->r > s->mem_max / blocks)
        return emk_fail(e, EMK_E_LIMIT, "scrypt: more memory than the cap", s->n);
    return EMK_OK;
}

emk_status emk_scrypt_derive(const emk_crypto *c, const emk_scrypt *s, uint8_t *out, size_t out_len,
                             emk_error *e)
{
    uint64_t n = s->n, r = s->r, p = s->p, mem = s->mem_max;
    OSSL_PARAM params[] = {
        bytes_param(OSSL_KDF_PARAM_PASSWORD, s->pass),
        bytes_param(OSSL_KDF_PARAM_SALT, s->salt),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &mem),
        OSSL_PARAM_construct_end(),
    };
    emk_status st = check_scrypt(s, out_len, e);

    return st == EMK_OK ? run_kdf(c->scrypt, params, out, out_len, e) : st;
}
