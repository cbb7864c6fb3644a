#include "core/crypto/hash.h"

#include "core/base/alloc.h"
#include "core/crypto/internal.h"

#define SHAKE_OUT_MAX 65536u

/* State: `open` between a reset and the finish or failure that ends the message. */
struct emk_sha256_ctx {
    EVP_MD_CTX *md;
    bool open;
};

static bool absorb(EVP_MD_CTX *md, const emk_span *parts, size_t n_parts)
{
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].len == 0)
            continue;
        if (emk_lib_hit() || EVP_DigestUpdate(md, parts[i].p, parts[i].len) != 1)
            return false;
    }
    return true;
}

/* Runs one message through a fresh context; out_len is used by SHAKE only. */
static bool run(EVP_MD_CTX *md, const EVP_MD *alg, const emk_span *parts, size_t n_parts)
{
    return !emk_lib_hit() && EVP_DigestInit_ex2(md, alg, NULL) == 1 && absorb(md, parts, n_parts);
}

static emk_status hash(const EVP_MD *alg, const emk_span *parts, size_t n_parts, uint8_t out[32],
                       emk_error *e)
{
    EVP_MD_CTX *md;
    bool ok;

    if (!alg)
        return emk_fail(e, EMK_E_UNSUPPORTED, "hash: algorithm is absent", 0);
    md = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    ok = md && run(md, alg, parts, n_parts) && !emk_lib_hit() &&
         EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? EMK_OK : emk_lib_fail(e, "hash: failed");
}

emk_status emk_sha256(const emk_crypto *c, const emk_span *parts, size_t n_parts, uint8_t out[32],
                      emk_error *e)
{
    return hash(c->sha256, parts, n_parts, out, e);
}

emk_status emk_sha3_256(const emk_crypto *c, const emk_span *parts, size_t n_parts, uint8_t out[32],
                        emk_error *e)
{
    return hash(c->sha3_256, parts, n_parts, out, e);
}

emk_status emk_shake256(const emk_crypto *c, emk_span in, uint8_t *out, size_t out_len,
                        emk_error *e)
{
    EVP_MD_CTX *md;
    bool ok;

    if (out_len == 0 || out_len > SHAKE_OUT_MAX)
        return emk_fail(e, EMK_E_USAGE, "shake256: output length", out_len);
    if (!c->shake256)
        return emk_fail(e, EMK_E_UNSUPPORTED, "hash: algorithm is absent", 0);
    md = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    ok = md && run(md, c->shake256, &in, 1) && !emk_lib_hit() &&
         EVP_DigestFinalXOF(md, out, out_len) == 1;
    EVP_MD_CTX_free(md);
    return ok ? EMK_OK : emk_lib_fail(e, "hash: failed");
}

emk_status emk_sha256_ctx_new(const emk_crypto *c, emk_sha256_ctx **out, emk_error *e)
{
    emk_sha256_ctx *h = emk_alloc(1, sizeof *h);

    if (!h)
        return emk_fail(e, EMK_E_NO_MEMORY, "sha256: context", sizeof *h);
    h->md = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    if (!h->md || emk_lib_hit() || EVP_DigestInit_ex2(h->md, c->sha256, NULL) != 1) {
        emk_sha256_ctx_free(h);
        return emk_lib_fail(e, "sha256: context");
    }
    h->open = true;
    *out = h;
    return EMK_OK;
}

emk_status emk_sha256_ctx_reset(emk_sha256_ctx *h, emk_error *e)
{
    /* NULL for the algorithm: keep the one that is there, allocate nothing */
    h->open = !emk_lib_hit() && EVP_DigestInit_ex2(h->md, NULL, NULL) == 1;
    return h->open ? EMK_OK : emk_lib_fail(e, "sha256: reset");
}

emk_status emk_sha256_ctx_update(emk_sha256_ctx *h, emk_span data, emk_error *e)
{
    if (!h->open)
        return emk_fail(e, EMK_E_USAGE, "sha256: not reset", 0);
    h->open = absorb(h->md, &data, 1);
    return h->open ? EMK_OK : emk_lib_fail(e, "sha256: update");
}

emk_status emk_sha256_ctx_finish(emk_sha256_ctx *h, uint8_t out[32], emk_error *e)
{
    if (!h->open)
        return emk_fail(e, EMK_E_USAGE, "sha256: not reset", 0);
    h->open = false;
    if (emk_lib_hit() || EVP_DigestFinal_ex(h->md, out, NULL) != 1)
        return emk_lib_fail(e, "sha256: finish");
    return EMK_OK;
}

void emk_sha256_ctx_free(emk_sha256_ctx *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->md);
    emk_free(h);
}
