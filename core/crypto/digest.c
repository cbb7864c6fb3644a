#include "core/crypto/digest.h"

#include "core/base/secret.h"
#include "core/crypto/internal.h"

#define BLOCK_MAX 128u /* bytes of a SHA-512 block */

static const struct row {
    emk_digest_alg alg;
    const char *name;
    size_t len, block;
} ROWS[] = {
    {EMK_DIGEST_SHA256, "SHA2-256", 32, 64},
    {EMK_DIGEST_SHA384, "SHA2-384", 48, 128},
    {EMK_DIGEST_SHA512, "SHA2-512", 64, 128},
    {EMK_DIGEST_SHA1_LEGACY, "SHA1", 20, 64},
};

static const struct row *find(emk_digest_alg alg)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (ROWS[i].alg == alg)
            return &ROWS[i];
    return NULL;
}

size_t emk_digest_len(emk_digest_alg alg)
{
    const struct row *row = find(alg);

    return row ? row->len : 0;
}

/* One algorithm, fetched, and a context to run it in. */
typedef struct engine {
    const struct row *row;
    EVP_MD *md;
    EVP_MD_CTX *ctx;
} engine;

static void engine_done(engine *g)
{
    EVP_MD_CTX_free(g->ctx);
    EVP_MD_free(g->md);
}

static emk_status engine_init(engine *g, const emk_crypto *c, emk_digest_alg alg, emk_error *e)
{
    *g = (engine){.row = find(alg)};
    if (!g->row)
        return emk_fail(e, EMK_E_UNSUPPORTED, "digest: algorithm", (unsigned)alg);
    g->md = emk_lib_hit() ? NULL : EVP_MD_fetch(c->lib, g->row->name, c->propq);
    g->ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    if (g->md && g->ctx)
        return EMK_OK;
    engine_done(g);
    return emk_lib_fail(e, "digest: start");
}

/* front may be empty. */
static bool run(const engine *g, emk_span front, const emk_span *parts, size_t n_parts,
                uint8_t *out)
{
    bool ok = !emk_lib_hit() && EVP_DigestInit_ex2(g->ctx, g->md, NULL) == 1;

    if (front.len > 0)
        ok = ok && !emk_lib_hit() && EVP_DigestUpdate(g->ctx, front.p, front.len) == 1;
    for (size_t i = 0; i < n_parts; i++)
        if (parts[i].len > 0)
            ok = ok && !emk_lib_hit() && EVP_DigestUpdate(g->ctx, parts[i].p, parts[i].len) == 1;
    return ok && !emk_lib_hit() && EVP_DigestFinal_ex(g->ctx, out, NULL) == 1;
}

emk_status emk_digest(const emk_crypto *c, emk_digest_alg alg, const emk_span *parts,
                      size_t n_parts, uint8_t *out, emk_error *e)
{
    uint8_t made[EMK_DIGEST_MAX];
    engine g;
    emk_status st = engine_init(&g, c, alg, e);

    if (st != EMK_OK)
        return st;
    if (run(&g, emk_span_of(NULL, 0), parts, n_parts, made))
        memcpy(out, made, g.row->len);
    else
        st = emk_lib_fail(e, "digest: failed");
    engine_done(&g);
    return st;
}

/* [RFC 2104 2] */
static bool run_hmac(const engine *g, emk_span key, const emk_span *parts, size_t n_parts,
                     uint8_t *out)
{
    uint8_t block[BLOCK_MAX] = {0}, inner[EMK_DIGEST_MAX];
    emk_span pad = {block, g->row->block}, digest = {inner, g->row->len};
    bool ok = true;

    if (key.len > g->row->block)
        ok = run(g, key, NULL, 0, block);
    else if (key.len > 0)
        memcpy(block, key.p, key.len);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36;
    ok = ok && run(g, pad, parts, n_parts, inner);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    ok = ok && run(g, pad, &digest, 1, out);
    emk_wipe(block, sizeof block);
    emk_wipe(inner, sizeof inner);
    return ok;
}

emk_status emk_hmac(const emk_crypto *c, const emk_hmac_key *key, const emk_span *parts,
                    size_t n_parts, uint8_t *out, emk_error *e)
{
    uint8_t made[EMK_DIGEST_MAX];
    engine g;
    emk_status st = engine_init(&g, c, key->alg, e);

    if (st != EMK_OK)
        return st;
    if (run_hmac(&g, key->bytes, parts, n_parts, made))
        memcpy(out, made, g.row->len);
    else
        st = emk_lib_fail(e, "digest: HMAC");
    emk_wipe(made, sizeof made);
    engine_done(&g);
    return st;
}
