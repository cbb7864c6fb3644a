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
    assert_ok(
        emk_kem_private_new(w->crypto, kem, emk_span_of(priv, emk_kem_private_len(kem)), key, &e),
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
    assert_ok(
        emk_cose_verify_key(w->crypto, emk_sign_key_public(w->issuer_key), &w->issuer_public, &e),
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

void world_seal_in(world *w, const emk_source *model, const emk_plan *plan, emk_seal_in *in)
{
    *in = (emk_seal_in){
        .model = model,
        .plan = plan,
        .signer = &w->sealer,
        .certificate = emk_buf_span(&w->certificate),
        .policy = emk_buf_span(&w->policy_bytes),
        .identity = emk_buf_span(&w->identity_bytes),
        .device_key = {emk_kem_private_id(w->device_key), emk_kem_private_public(w->device_key)},
        .request_key = {emk_kem_private_id(w->request_key), emk_kem_private_public(w->request_key)},
        .now = WORLD_NOW,
        .chacha = w->chacha};
    memcpy(in->ticket_id, w->ticket_id, 16);
    memcpy(in->ticket_hash, w->ticket_hash, 32);
    memcpy(in->request_hash, w->request_hash, 32);
}

emk_status world_seal(world *w, emk_span model, const emk_plan *plan, emk_buf *out, emk_error *e)
{
    emk_source source = emk_source_from_span(model);
    emk_seal_in in;
    emk_sealing *s;
    emk_sink sink;
    uint8_t *room;
    emk_status st;

    world_seal_in(w, &source, plan, &in);
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

void world_accept_in(world *w, const emk_source *sealed, emk_accept_in *in)
{
    *in = (emk_accept_in){.sealed = sealed,
                          .issuer = w->issuer_public,
                          .request_key = w->request_key,
                          .device_key = w->device_key,
                          .policy = emk_buf_span(&w->policy_bytes),
                          .identity = emk_buf_span(&w->identity_bytes),
                          .now = WORLD_NOW};
    memcpy(in->ticket_id, w->ticket_id, 16);
    memcpy(in->ticket_hash, w->ticket_hash, 32);
    memcpy(in->request_hash, w->request_hash, 32);
}

emk_status world_accept(world *w, emk_span sealed, emk_buf *vault, emk_noticed *noticed,
                        emk_error *e)
{
    emk_source source = emk_source_from_span(sealed);
    emk_accept_out out = {.accepted = WORLD_NOW, .floor = WORLD_NOW, .threads = w->threads};
    uint8_t vault_id[16], *room;
    emk_accept_in in;
    emk_accept *a;
    emk_sink sink;
    emk_status st;

    world_accept_in(w, &source, &in);
    in.noticed = noticed;
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

void world_vault_in(world *w, const emk_source *file, emk_vault_in *in)
{
    *in = (emk_vault_in){.file = file, .issuer = w->issuer_public, .device_key = w->device_key};
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

void world_unwrap(world *w, emk_span sealed, emk_buf *inner)
{
    static emk_header h;
    uint8_t hh[32], commit[32], *room;
    emk_unseal_in in = {.layer = EMK_LAYER_FILE, .key = w->request_key, .hh = hh};
    emk_chunk_cipher cipher;
    emk_schedule keys;
    uint32_t len;
    size_t at;
    emk_error e;

    assert_ok(emk_preamble_read(sealed.p, EMK_LAYER_FILE, &len, &e), &e);
    at = 16 + len;
    assert_ok(emk_header_parse(w->crypto, emk_span_of(sealed.p, at), EMK_LAYER_FILE, &h, &e), &e);
    assert_ok(emk_header_verify(w->crypto, &h, w->issuer_public, WORLD_NOW, hh, &e), &e);
    memcpy(commit, sealed.p + at, 32);
    at += 32;
    in.recipients = h.recipients;
    in.n_recipients = h.n_recipients;
    in.context = (emk_envelope_context){.content_alg = h.core.content_alg, .extra = h.core_hash};
    in.commit = commit;
    assert_ok(emk_unseal(w->crypto, &in, &keys, &e), &e);
    assert_ok(emk_chunk_cipher_init(&cipher, &keys,
                                    emk_content_aead(EMK_LAYER_FILE, h.core.content_alg),
                                    h.core.plain_len, &e),
              &e);
    emk_buf_init(inner, BIG);
    assert_ok(emk_buf_grow(inner, (size_t)h.core.plain_len, &room, &e), &e);
    for (uint64_t i = 0; i < emk_chunks_of(h.core.plain_len); i++) {
        assert_ok(emk_chunk_open(&cipher, i, sealed.p + at, room, &e), &e);
        room += emk_chunk_len(h.core.plain_len, i);
        at += emk_chunk_len(h.core.plain_len, i) + 16;
    }
    emk_chunk_cipher_done(&cipher);
    emk_schedule_done(&keys);
}

void world_wrap(world *w, emk_span inner, const emk_signer *signer, emk_span certificate,
                emk_buf *sealed)
{
    uint8_t cek[32] = {0x77}, hh[32], *room;
    emk_header_in in = {.signer = signer, .cek = cek};
    emk_chunk_cipher cipher;
    emk_schedule keys;
    size_t at;
    emk_error e;

    in.core.layer = EMK_LAYER_FILE;
    in.core.content_alg = EMK_CONTENT_FILE_AES;
    in.core.plain_len = inner.len;
    in.core.certificate = certificate;
    in.core.created_day = WORLD_NOW / 86400;
    memcpy(in.core.request_hash, w->request_hash, 32);
    in.to =
        (emk_agree_key){emk_kem_private_id(w->request_key), emk_kem_private_public(w->request_key)};
    emk_buf_init(sealed, BIG);
    assert_ok(emk_header_make(w->crypto, &in, sealed, hh, &e), &e);
    assert_ok(emk_schedule_init(&keys, w->crypto, EMK_LAYER_FILE, cek, hh, &e), &e);
    assert_ok(emk_buf_append(sealed, emk_span_of(keys.commit, 32), &e), &e);
    at = sealed->len;
    assert_ok(emk_buf_grow(sealed, inner.len + 16 * (size_t)emk_chunks_of(inner.len), &room, &e),
              &e);
    assert_ok(emk_chunk_cipher_init(&cipher, &keys, EMK_AEAD_AES_256_GCM, inner.len, &e), &e);
    for (uint64_t i = 0; i < emk_chunks_of(inner.len); i++) {
        assert_ok(emk_chunk_seal(&cipher, i, inner.p + i * EMK_CHUNK_LEN, sealed->p + at, &e), &e);
        at += emk_chunk_len(inner.len, i) + 16;
    }
    emk_chunk_cipher_done(&cipher);
    emk_schedule_done(&keys);
}

static emk_status io_read(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    world_io *io = self;

    if (++io->calls == io->fail_at)
        return emk_fail(e, EMK_E_IO, "test: this read fails", io->calls);
    if (io->shrink_at && io->calls >= io->shrink_at && off + len > io->from.len / 2)
        return emk_fail(e, EMK_E_FORMAT, "file: ends too early", off);
    assert_true(off <= io->from.len && len <= io->from.len - off);
    memcpy(out, io->from.p + off, len);
    return EMK_OK;
}

static emk_status io_write(void *self, uint64_t off, const uint8_t *p, size_t len, emk_error *e)
{
    world_io *io = self;

    if (++io->calls == io->fail_at)
        return emk_fail(e, EMK_E_IO, "test: this write fails", io->calls);
    assert_true(off <= io->cap && len <= io->cap - off);
    if (len)
        memcpy(io->to + off, p, len);
    return EMK_OK;
}

emk_source world_io_source(world_io *io)
{
    emk_source s = {.len = io->from.len, .read = io_read, .self = io};
    return s;
}

emk_sink world_io_sink(world_io *io)
{
    emk_sink s = {.write = io_write, .self = io};
    return s;
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
