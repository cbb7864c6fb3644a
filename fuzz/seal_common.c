#include "fuzz/seal_common.h"

#include "core/base/bytes.h"
#include "core/crypto/hash.h"
#include "fuzz/check.h"

#define OK(call) must((call) == EMK_OK, #call)

static void make_keys(seal_world *w)
{
    uint8_t priv[3][32];

    for (unsigned i = 0; i < 3; i++)
        memset(priv[i], 0x11 * (int)(i + 1), 32);
    OK(emk_crypto_new(NULL, NULL, &w->crypto, NULL));
    OK(emk_sign_key_new(w->crypto, EMK_SIGN_ED25519, emk_span_of(priv[0], 32), &w->issuer_key,
                        NULL));
    OK(emk_signer_from_key(w->crypto, w->issuer_key, &w->issuer, NULL));
    OK(emk_cose_verify_key(w->crypto, emk_sign_key_public(w->issuer_key), &w->issuer_public, NULL));
    OK(emk_kem_private_new(w->crypto, EMK_KEM_P256, emk_span_of(priv[1], 32), &w->device_key,
                           NULL));
    OK(emk_kem_private_new(w->crypto, EMK_KEM_X25519, emk_span_of(priv[2], 32), &w->request_key,
                           NULL));
}

static void make_names(seal_world *w)
{
    emk_policy policy = {.expires = SEAL_NOW + 1000};
    emk_identity identity = {0};

    identity.model = emk_span_str("model");
    identity.user = emk_span_str("user");
    emk_buf_init(&w->policy, EMK_POLICY_MAX);
    emk_buf_init(&w->identity, EMK_IDENTITY_MAX);
    OK(emk_policy_encode(&policy, &w->policy, NULL));
    OK(emk_identity_encode(&identity, &w->identity, NULL));
}

static void make_plan(seal_world *w, const emk_source *model, emk_plan *plan)
{
    static const emk_region regions[3] = {{50000, 0}, {10000, 1}, {10000, 2}};
    emk_index_entry entry = {.offset = 50000, .length = 10000, .rank = 1, .dims = {10000}};
    uint8_t space[64];
    emk_writer wr;
    emk_buf part;

    OK(emk_plan_init(plan, w->crypto, SEAL_MODEL_LEN, 3, NULL));
    memcpy(plan->regions, regions, sizeof regions);
    OK(emk_plan_digest(plan, w->crypto, model, 1, NULL, NULL));
    entry.name = emk_span_str("weights");
    entry.dtype = emk_span_str("u8");
    emk_writer_init(&wr, space, sizeof space);
    emk_index_put(&wr, &entry);
    OK(emk_buf_append(&plan->index, emk_writer_span(&wr), NULL));
    plan->n_index = 1;
    emk_buf_init(&part, sizeof w->part);
    OK(emk_sealed_part_encode(plan, emk_buf_span(&w->identity), &part, NULL));
    memcpy(w->part, part.p, part.len);
    w->part_len = part.len;
    emk_buf_done(&part);
}

/* The weights layer, whose head has no length of its own. */
static void open_file_layer(seal_world *w)
{
    static emk_header h;
    const uint8_t *file = w->sealed.p;
    size_t at = 16 + emk_load_u32be(file + 12);
    uint8_t hh[32], *room;
    emk_unseal_in in = {.layer = EMK_LAYER_FILE,
                        .recipients = h.recipients,
                        .n_recipients = 1,
                        .key = w->request_key,
                        .hh = hh,
                        .commit = file + at};
    emk_chunk_cipher cipher;
    emk_schedule keys;

    OK(emk_header_parse(w->crypto, emk_span_of(file, at), EMK_LAYER_FILE, &h, NULL));
    OK(emk_header_verify(w->crypto, &h, w->issuer_public, SEAL_NOW, hh, NULL));
    in.context = (emk_envelope_context){.content_alg = h.core.content_alg, .extra = h.core_hash};
    OK(emk_unseal(w->crypto, &in, &keys, NULL));
    OK(emk_chunk_cipher_init(&cipher, &keys, EMK_AEAD_AES_256_GCM, h.core.plain_len, NULL));
    emk_buf_init(&w->inner, SEAL_FILE_MAX);
    OK(emk_buf_grow(&w->inner, (size_t)h.core.plain_len, &room, NULL));
    at += 32;
    for (uint64_t i = 0; i < emk_chunks_of(h.core.plain_len); i++) {
        OK(emk_chunk_open(&cipher, i, file + at, room + i * EMK_CHUNK_LEN, NULL));
        at += emk_chunk_len(h.core.plain_len, i) + 16;
    }
    emk_chunk_cipher_done(&cipher);
    emk_schedule_done(&keys);
}

static void make_files(seal_world *w)
{
    emk_source model = emk_source_from_span(emk_span_of(w->model, SEAL_MODEL_LEN)), file;
    emk_seal_in in = {.model = &model, .signer = &w->issuer, .now = SEAL_NOW};
    emk_accept_out out = {.accepted = SEAL_NOW, .floor = SEAL_NOW, .threads = 1};
    uint8_t *room, id[16];
    emk_accept_in accept_in;
    emk_sealing *s;
    emk_accept *a;
    emk_plan plan;
    emk_sink sink;

    make_plan(w, &model, &plan);
    in.plan = &plan;
    in.policy = emk_buf_span(&w->policy);
    in.identity = emk_buf_span(&w->identity);
    in.device_key = (emk_agree_key){EMK_KEM_P256, emk_kem_private_public(w->device_key)};
    in.request_key = (emk_agree_key){EMK_KEM_X25519, emk_kem_private_public(w->request_key)};
    OK(emk_sealing_new(w->crypto, &in, &s, NULL));
    emk_buf_init(&w->sealed, SEAL_FILE_MAX);
    OK(emk_buf_grow(&w->sealed, (size_t)emk_sealing_len(s), &room, NULL));
    sink = emk_sink_from_memory(room, w->sealed.len);
    OK(emk_sealing_write(s, &sink, 1, NULL, NULL));
    emk_sealing_free(s);
    emk_plan_done(&plan);
    file = emk_source_from_span(emk_buf_span(&w->sealed));
    seal_accept_in(w, &file, &accept_in);
    OK(emk_accept_new(w->crypto, &accept_in, &a, NULL));
    emk_buf_init(&w->vault, SEAL_FILE_MAX);
    OK(emk_buf_grow(&w->vault, (size_t)emk_accept_vault_len(a), &room, NULL));
    sink = emk_sink_from_memory(room, w->vault.len);
    out.vault = &sink;
    OK(emk_accept_write(a, &out, id, NULL));
    emk_accept_free(a);
}

seal_world *seal_world_get(void)
{
    static seal_world w;

    if (w.crypto)
        return &w;
    make_keys(&w);
    make_names(&w);
    for (size_t i = 0; i < SEAL_MODEL_LEN; i++)
        w.model[i] = (uint8_t)(i * i >> 7 ^ i);
    make_files(&w);
    open_file_layer(&w);
    return &w;
}

void seal_accept_in(seal_world *w, const emk_source *sealed, emk_accept_in *in)
{
    *in = (emk_accept_in){.sealed = sealed,
                          .issuer = w->issuer_public,
                          .request_key = w->request_key,
                          .device_key = w->device_key,
                          .policy = emk_buf_span(&w->policy),
                          .identity = emk_buf_span(&w->identity),
                          .now = SEAL_NOW};
}

void seal_patched(emk_span bytes, emk_span patches, emk_buf *out)
{
    emk_buf_init(out, bytes.len);
    OK(emk_buf_append(out, bytes, NULL));
    for (size_t i = 0; i + 5 < patches.len;) {
        size_t at = emk_load_u32be(patches.p + i) % bytes.len, n = patches.p[i + 4];

        i += 5;
        for (; n > 0 && i < patches.len && at < bytes.len; n--)
            out->p[at++] = patches.p[i++];
    }
}

static void make_head(seal_world *w, emk_header_in *in, emk_buf *out, emk_schedule *keys)
{
    static const uint8_t cek[32] = {0x44};
    uint8_t hh[32];

    in->signer = &w->issuer;
    in->cek = cek;
    in->core.created_day = SEAL_NOW / 86400;
    emk_buf_init(out, SEAL_FILE_MAX * 10);
    OK(emk_header_make(w->crypto, in, out, hh, NULL));
    OK(emk_schedule_init(keys, w->crypto, in->core.layer, cek, hh, NULL));
    OK(emk_buf_append(out, emk_span_of(keys->commit, 32), NULL));
}

void seal_wrap(seal_world *w, emk_span inner, emk_buf *out)
{
    emk_header_in in = {.to = {EMK_KEM_X25519, emk_kem_private_public(w->request_key)}};
    emk_chunk_cipher cipher;
    emk_schedule keys;
    uint8_t *room;

    in.core.layer = EMK_LAYER_FILE;
    in.core.content_alg = EMK_CONTENT_FILE_AES;
    in.core.plain_len = inner.len;
    make_head(w, &in, out, &keys);
    OK(emk_buf_grow(out, inner.len + 16 * (size_t)emk_chunks_of(inner.len), &room, NULL));
    OK(emk_chunk_cipher_init(&cipher, &keys, EMK_AEAD_AES_256_GCM, inner.len, NULL));
    for (uint64_t i = 0; i < emk_chunks_of(inner.len); i++)
        OK(emk_chunk_seal(&cipher, i, inner.p + i * EMK_CHUNK_LEN, room + i * (EMK_CHUNK_LEN + 16),
                          NULL));
    emk_chunk_cipher_done(&cipher);
    emk_schedule_done(&keys);
}

void seal_layer_around(seal_world *w, emk_span part, uint64_t model_len, emk_buf *out)
{
    emk_header_in in = {.to = {EMK_KEM_P256, emk_kem_private_public(w->device_key)}};
    emk_sealed_part stored = {.aead = EMK_AEAD_AES_256_GCM, .len = part.len};
    emk_schedule keys;
    uint8_t *room;

    in.core.layer = EMK_LAYER_WEIGHTS;
    in.core.content_alg = EMK_CONTENT_WEIGHTS_AES;
    in.core.plain_len = model_len;
    in.core.policy = emk_buf_span(&w->policy);
    in.core.sealed_part_len = part.len;
    OK(emk_sha256(w->crypto, &part, 1, in.core.sealed_part_hash, NULL));
    make_head(w, &in, out, &keys);
    stored.schedule = &keys;
    OK(emk_buf_grow(out, (size_t)emk_sealed_part_stored(part.len), &room, NULL));
    OK(emk_sealed_part_seal(&stored, part.p, room, NULL));
    OK(emk_buf_grow(out, (size_t)model_len + 48, &room, NULL));
    emk_schedule_done(&keys);
}

void seal_header(seal_world *w, emk_layer layer, emk_span payload, emk_buf *out)
{
    uint8_t preamble[16] = {0x89, 'E', 'A', 'R', 'M', 0x0D, 0x0A, 0x1A, 1, (uint8_t)layer};
    emk_cose_in in = {.type = (emk_cose_type)layer, .payload = payload};

    emk_store_u32be(preamble + 12, (uint32_t)emk_cose_signed_len(&in));
    in.external_aad = emk_span_of(preamble, 16);
    emk_buf_init(out, SEAL_FILE_MAX);
    OK(emk_buf_append(out, in.external_aad, NULL));
    OK(emk_cose_sign(w->crypto, &w->issuer, &in, out, NULL, NULL));
}
