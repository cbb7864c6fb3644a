#include "tests/unit/core/seal/world.h"

#include "core/crypto/random.h"

#include <string.h>

#define BIG ((size_t)1 << 30)

static void make_signer(world *w, emk_sign_alg alg, emk_sign_key **key, emk_signer *signer)
{
    uint8_t priv[32], pub[65];
    emk_error e;

    assert_ok(emk_sign_generate(w->crypto, alg, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(w->crypto, alg, emk_span_of(priv, 32), key, &e), &e);
    assert_ok(emk_signer_from_key(w->crypto, *key, signer, &e), &e);
}

static void make_kem(world *w, uint16_t kem, emk_kem_private **key)
{
    uint8_t priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    emk_error e;

    assert_ok(emk_kem_generate(w->crypto, kem, priv, pub, &e), &e);
    assert_ok(emk_kem_private_new(w->crypto, kem, emk_span_of(priv, emk_kem_private_len(kem)), key,
                                  &e),
              &e);
}

void world_init(world *w, uint16_t request_kem)
{
    emk_sealing_certificate cert = {.not_before = WORLD_NOW - 1000, .not_after = WORLD_NOW + 1000};
    emk_error e;

    memset(w, 0, sizeof *w);
    w->threads = 1;
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    make_signer(w, EMK_SIGN_ED25519, &w->issuer_key, &w->issuer);
    make_signer(w, EMK_SIGN_ED25519, &w->sealer_key, &w->sealer);
    assert_ok(emk_cose_verify_key(w->crypto, emk_sign_key_public(w->issuer_key), &w->issuer_public,
                                  &e),
              &e);
    memcpy(cert.public_key, w->sealer.public_key, w->sealer.public_len);
    cert.public_len = w->sealer.public_len;
    emk_buf_init(&w->certificate, EMK_MESSAGE_MAX);
    assert_ok(emk_sealing_certificate_make(w->crypto, &w->issuer, &cert, &w->certificate, &e), &e);
    make_kem(w, EMK_KEM_P256, &w->device_key);
    make_kem(w, request_kem, &w->request_key);
    memset(w->ticket_id, 7, sizeof w->ticket_id);
    memset(w->ticket_hash, 8, sizeof w->ticket_hash);
    memset(w->request_hash, 9, sizeof w->request_hash);
    memset(w->device_id, 10, sizeof w->device_id);
    w->policy.expires = WORLD_NOW + 86400;
    w->identity.model = emk_span_str("cat-ears");
    w->identity.user = emk_span_str("alice");
    memcpy(w->identity.device, w->device_id, 32);
    emk_buf_init(&w->policy_bytes, EMK_POLICY_MAX);
    emk_buf_init(&w->identity_bytes, EMK_IDENTITY_MAX);
    assert_ok(emk_policy_encode(&w->policy, &w->policy_bytes, &e), &e);
    assert_ok(emk_identity_encode(&w->identity, &w->identity_bytes, &e), &e);
}

void world_done(world *w)
{
    emk_buf_done(&w->policy_bytes);
    emk_buf_done(&w->identity_bytes);
    emk_buf_done(&w->certificate);
    emk_kem_private_free(w->device_key);
    emk_kem_private_free(w->request_key);
    emk_verify_key_free(w->issuer_public);
    emk_sign_key_free(w->issuer_key);
    emk_sign_key_free(w->sealer_key);
    emk_crypto_free(w->crypto);
}

void world_plan(world *w, emk_span model, const emk_region *regions, uint32_t n, emk_plan *plan)
{
    emk_region whole = {.length = model.len, .kind = EMK_REGION_SEALED};
    emk_source source = emk_source_from_span(model);
    emk_error e;

    if (!regions) {
        regions = &whole;
        n = model.len ? 1 : 0;
    }
    assert_ok(emk_plan_init(plan, w->crypto, model.len, n, &e), &e);
    if (n)
        memcpy(plan->regions, regions, n * sizeof *regions);
    assert_ok(emk_plan_digest(plan, w->crypto, &source, w->threads, NULL, &e), &e);
}

emk_status world_seal(world *w, emk_span model, const emk_plan *plan, emk_buf *out, emk_error *e)
{
    emk_source source = emk_source_from_span(model);
    emk_seal_in in = {.model = &source,
                      .plan = plan,
                      .signer = &w->sealer,
                      .certificate = emk_buf_span(&w->certificate),
                      .policy = emk_buf_span(&w->policy_bytes),
                      .identity = emk_buf_span(&w->identity_bytes),
                      .device_key = {emk_kem_private_id(w->device_key),
                                     emk_kem_private_public(w->device_key)},
                      .request_key = {emk_kem_private_id(w->request_key),
                                      emk_kem_private_public(w->request_key)},
                      .now = WORLD_NOW,
                      .chacha = w->chacha};
    emk_sealing *s;
    emk_sink sink;
    uint8_t *room;
    emk_status st;

    memcpy(in.ticket_id, w->ticket_id, 16);
    memcpy(in.ticket_hash, w->ticket_hash, 32);
    memcpy(in.request_hash, w->request_hash, 32);
    emk_buf_init(out, BIG);
    st = emk_sealing_new(w->crypto, &in, &s, e);
    if (st != EMK_OK)
        return st;
    st = emk_buf_grow(out, (size_t)emk_sealing_len(s), &room, e);
    if (st == EMK_OK) {
        sink = emk_sink_from_memory(room, out->len);
        st = emk_sealing_write(s, &sink, w->threads, NULL, e);
    }
    emk_sealing_free(s);
    if (st != EMK_OK)
        emk_buf_done(out);
    return st;
}

emk_status world_accept(world *w, emk_span sealed, emk_buf *vault, emk_noticed *noticed,
                        emk_error *e)
{
    emk_source source = emk_source_from_span(sealed);
    emk_accept_in in = {.sealed = &source,
                        .issuer = w->issuer_public,
                        .request_key = w->request_key,
                        .device_key = w->device_key,
                        .policy = emk_buf_span(&w->policy_bytes),
                        .identity = emk_buf_span(&w->identity_bytes),
                        .now = WORLD_NOW,
                        .noticed = noticed};
    emk_accept_out out = {.accepted = WORLD_NOW, .floor = WORLD_NOW, .threads = w->threads};
    uint8_t vault_id[16], *room;
    emk_accept *a;
    emk_sink sink;
    emk_status st;

    memcpy(in.ticket_id, w->ticket_id, 16);
    memcpy(in.ticket_hash, w->ticket_hash, 32);
    memcpy(in.request_hash, w->request_hash, 32);
    emk_buf_init(vault, BIG);
    st = emk_accept_new(w->crypto, &in, &a, e);
    if (st != EMK_OK)
        return st;
    st = emk_buf_grow(vault, (size_t)emk_accept_vault_len(a), &room, e);
    if (st == EMK_OK) {
        sink = emk_sink_from_memory(room, vault->len);
        out.vault = &sink;
        st = emk_accept_write(a, &out, vault_id, e);
    }
    emk_accept_free(a);
    if (st != EMK_OK)
        emk_buf_done(vault);
    return st;
}

emk_status world_open(world *w, emk_span vault, emk_buf *model, emk_noticed *noticed, emk_error *e)
{
    emk_source source = emk_source_from_span(vault);
    emk_vault_in in = {.file = &source,
                       .issuer = w->issuer_public,
                       .device_key = w->device_key,
                       .noticed = noticed};
    emk_vault *v;
    uint8_t *room;
    emk_status st;

    emk_buf_init(model, BIG);
    st = emk_vault_open(w->crypto, &in, &v, e);
    if (st != EMK_OK)
        return st;
    st = emk_buf_grow(model, (size_t)emk_vault_plan(v)->model_len, &room, e);
    if (st == EMK_OK)
        st = emk_vault_read_all(v, room, w->threads, NULL, e);
    if (st == EMK_OK)
        st = emk_vault_verify(v, w->threads, NULL, e);
    emk_vault_close(v);
    if (st != EMK_OK)
        emk_buf_done(model);
    return st;
}

void world_fill(uint8_t *p, size_t len)
{
    uint64_t x = 0x9E3779B97F4A7C15u;

    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)(x >> 32);
    }
}
