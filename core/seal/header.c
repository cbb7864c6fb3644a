#include "core/seal/header.h"

#include "core/base/bytes.h"
#include "core/crypto/hash.h"

#define PAYLOAD_VERSION 1u
#define CORE_MAX        (EMK_HEADER_MAX)

static const uint8_t MAGIC[8] = {0x89, 'E', 'A', 'R', 'M', 0x0D, 0x0A, 0x1A};

emk_status emk_notice(emk_noticed *noticed, emk_noticed what, emk_status st)
{
    if (noticed && st != EMK_OK && *noticed == EMK_NOTICED_NOTHING)
        *noticed = what;
    return st;
}

emk_status emk_fail_sealed(emk_error *e)
{
    return emk_fail(e, EMK_E_SEALED, "sealed: cannot be opened with the keys held here", 0);
}

uint16_t emk_content_aead(emk_layer layer, int64_t content_alg)
{
    if (layer == EMK_LAYER_FILE) {
        if (content_alg == EMK_CONTENT_FILE_AES)
            return EMK_AEAD_AES_256_GCM;
        return content_alg == EMK_CONTENT_FILE_CHACHA ? EMK_AEAD_CHACHA20_POLY1305 : 0;
    }
    if (content_alg == EMK_CONTENT_WEIGHTS_AES)
        return EMK_AEAD_AES_256_GCM;
    return content_alg == EMK_CONTENT_WEIGHTS_CHACHA ? EMK_AEAD_CHACHA20_POLY1305 : 0;
}

static uint64_t unit_of(emk_layer layer)
{
    return layer == EMK_LAYER_FILE ? EMK_CHUNK_LEN : EMK_SEGMENT_LEN;
}

/* ---- writing ---- */

static void put_suite(emk_writer *w, const emk_core *core)
{
    emk_cbor_put_array(w, 4);
    emk_cbor_put_uint(w, core->suite.kem);
    emk_cbor_put_uint(w, core->suite.kdf);
    emk_cbor_put_uint(w, core->suite.aead);
    emk_cbor_put_uint(w, core->mode);
}

static void put_weights_fields(emk_writer *w, const emk_core *core)
{
    emk_cbor_put_uint(w, 12);
    emk_cbor_put_bytes(w, emk_span_of(core->ticket_id, EMK_ID_LEN));
    emk_cbor_put_uint(w, 13);
    emk_cbor_put_bytes(w, emk_span_of(core->ticket_hash, EMK_HASH_LEN));
    emk_cbor_put_uint(w, 14);
    emk_cbor_put_bytes(w, core->policy);
    emk_cbor_put_uint(w, 15);
    emk_cbor_put_array(w, 2);
    emk_cbor_put_uint(w, core->sealed_part_len);
    emk_cbor_put_bytes(w, emk_span_of(core->sealed_part_hash, EMK_HASH_LEN));
}

/* [container 3.2] */
static void put_core(emk_writer *w, const emk_core *core)
{
    bool weights = core->layer == EMK_LAYER_WEIGHTS;

    emk_cbor_put_map(w, 8u + (core->certificate.len ? 1u : 0u) + (core->lease_key.len ? 1u : 0u) +
                            (weights ? 4u : 1u));
    emk_cbor_put_uint(w, 1);
    emk_cbor_put_bytes(w, emk_span_of(core->file_id, EMK_ID_LEN));
    emk_cbor_put_uint(w, 2);
    emk_cbor_put_uint(w, (uint64_t)core->layer);
    emk_cbor_put_uint(w, 3);
    emk_cbor_put_int(w, core->content_alg);
    emk_cbor_put_uint(w, 4);
    emk_cbor_put_uint(w, unit_of(core->layer));
    emk_cbor_put_uint(w, 5);
    emk_cbor_put_uint(w, core->plain_len);
    emk_cbor_put_uint(w, 6);
    put_suite(w, core);
    emk_cbor_put_uint(w, 7);
    emk_cbor_put_bytes(w, emk_span_of(core->signer, EMK_COSE_KID_LEN));
    if (core->certificate.len) {
        emk_cbor_put_uint(w, 8);
        emk_cbor_put_bytes(w, core->certificate);
    }
    emk_cbor_put_uint(w, 9);
    emk_cbor_put_uint(w, core->created_day);
    if (core->lease_key.len) {
        emk_cbor_put_uint(w, 10);
        emk_cbor_put_bytes(w, core->lease_key);
    }
    if (weights) {
        put_weights_fields(w, core);
    } else {
        emk_cbor_put_uint(w, 11);
        emk_cbor_put_bytes(w, emk_span_of(core->request_hash, EMK_HASH_LEN));
    }
}

static emk_status encode_payload(const emk_crypto *c, const emk_header_in *in, const emk_core *core,
                                 emk_buf *out, emk_error *e)
{
    uint8_t recipient[EMK_RECIPIENT_MAX], core_hash[EMK_HASH_LEN];
    emk_envelope_context ctx = {.content_alg = core->content_alg,
                                .extra = core_hash,
                                .hint = core->layer == EMK_LAYER_WEIGHTS,
                                .lease_key = core->lease_key,
                                .lease = {.ticket_id = core->ticket_id}};
    uint8_t *core_room, *room;
    emk_writer count, w;
    emk_span core_bytes;
    emk_status st;
    emk_buf core_buf;

    emk_writer_init(&count, NULL, 0);
    put_core(&count, core);
    emk_buf_init(&core_buf, CORE_MAX);
    st = emk_buf_grow(&core_buf, count.pos, &core_room, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, core_room, count.pos);
    put_core(&w, core);
    core_bytes = emk_writer_span(&w);
    st = emk_sha256(c, &core_bytes, 1, core_hash, e);
    emk_writer_init(&w, recipient, sizeof recipient);
    if (st == EMK_OK)
        st = emk_recipient_wrap(c, &ctx, &in->to, in->cek, &w, e);
    if (st == EMK_OK)
        st = emk_buf_grow(out, core_bytes.len + w.pos + 16, &room, e);
    if (st == EMK_OK) {
        emk_span wrapped = emk_writer_span(&w);

        emk_writer_init(&w, room, core_bytes.len + wrapped.len + 16);
        emk_cbor_put_array(&w, 3);
        emk_cbor_put_uint(&w, PAYLOAD_VERSION);
        emk_cbor_put_bytes(&w, core_bytes);
        emk_cbor_put_array(&w, 1);
        emk_cbor_put_raw(&w, wrapped);
        out->len -= core_bytes.len + wrapped.len + 16 - w.pos;
    }
    emk_buf_done(&core_buf);
    return st;
}

static void put_preamble(uint8_t p[EMK_PREAMBLE_LEN], emk_layer layer, uint32_t header_len)
{
    memcpy(p, MAGIC, sizeof MAGIC);
    p[8] = 1;
    p[9] = (uint8_t)layer;
    p[10] = 0;
    p[11] = 0;
    emk_store_u32be(p + 12, header_len);
}

emk_status emk_header_make(const emk_crypto *c, const emk_header_in *in, emk_buf *out,
                           uint8_t hh[EMK_HASH_LEN], emk_error *e)
{
    emk_cose_in cose = {.type = (emk_cose_type)in->core.layer};
    uint8_t preamble[EMK_PREAMBLE_LEN];
    emk_core core = in->core;
    size_t before = out->len;
    emk_buf payload;
    int64_t alg;
    emk_status st;

    emk_buf_init(&payload, EMK_HEADER_MAX);
    core.mode = core.lease_key.len ? EMK_HPKE_PSK : EMK_HPKE_BASE;
    memcpy(core.signer, in->signer->kid, EMK_COSE_KID_LEN);
    st = emk_recipient_alg(in->to.kem, &alg, &core.suite, e);
    if (st == EMK_OK)
        st = encode_payload(c, in, &core, &payload, e);
    if (st == EMK_OK) {
        cose.payload = emk_buf_span(&payload);
        put_preamble(preamble, core.layer, (uint32_t)emk_cose_signed_len(&cose));
        cose.external_aad = emk_span_of(preamble, sizeof preamble);
        st = emk_buf_append(out, cose.external_aad, e);
    }
    if (st == EMK_OK)
        st = emk_cose_sign(c, in->signer, &cose, out, hh, e);
    if (st != EMK_OK)
        out->len = before;
    emk_buf_done(&payload);
    return st;
}

/* ---- reading ---- */

emk_status emk_preamble_read(const uint8_t preamble[EMK_PREAMBLE_LEN], emk_layer want,
                             uint32_t *header_len, emk_error *e)
{
    uint32_t len = emk_load_u32be(preamble + 12);

    if (memcmp(preamble, MAGIC, sizeof MAGIC) != 0)
        return emk_fail(e, EMK_E_FORMAT, "preamble: not an Earmark file", 0);
    if (preamble[8] != 1)
        return emk_fail(e, EMK_E_UNSUPPORTED, "preamble: version", preamble[8]);
    if (preamble[9] != (uint8_t)want)
        return emk_fail(e, EMK_E_FORMAT, "preamble: layer", preamble[9]);
    if (preamble[10] || preamble[11])
        return emk_fail(e, EMK_E_UNSUPPORTED, "preamble: flags", 10);
    if (len == 0 || len > EMK_HEADER_MAX)
        return emk_fail(e, EMK_E_LIMIT, "preamble: length of the header", len);
    *header_len = len;
    return EMK_OK;
}

static void read_suite(emk_cbor_reader *r, emk_core *core)
{
    uint64_t kem, kdf, aead;

    if (emk_cbor_enter_array(r) != 4)
        emk_cbor_fail(r, EMK_E_FORMAT, "header: suite", 0);
    kem = emk_cbor_read_uint(r);
    kdf = emk_cbor_read_uint(r);
    aead = emk_cbor_read_uint(r);
    core->mode = emk_cbor_read_uint(r);
    emk_cbor_leave(r);
    if (kem > UINT16_MAX || kdf > UINT16_MAX || aead > UINT16_MAX)
        emk_cbor_fail(r, EMK_E_FORMAT, "header: suite", 0);
    core->suite.kem = (uint16_t)kem;
    core->suite.kdf = (uint16_t)kdf;
    core->suite.aead = (uint16_t)aead;
}

static void read_sealed_part(emk_cbor_reader *r, emk_core *core)
{
    if (emk_cbor_enter_array(r) != 2)
        emk_cbor_fail(r, EMK_E_FORMAT, "header: sealed part", 0);
    core->sealed_part_len = emk_cbor_read_uint(r);
    emk_cbor_read_fixed(r, core->sealed_part_hash, EMK_HASH_LEN);
    emk_cbor_leave(r);
}

static void read_unit(emk_cbor_reader *r, emk_layer layer)
{
    if (emk_cbor_read_uint(r) != unit_of(layer))
        emk_cbor_fail(r, EMK_E_FORMAT, "header: unit", unit_of(layer));
}

/* One field; false for a key that this layer does not have. */
static bool read_field(emk_cbor_reader *r, int64_t key, emk_core *core)
{
    bool weights = core->layer == EMK_LAYER_WEIGHTS;

    switch (key) {
    case 1:
        emk_cbor_read_fixed(r, core->file_id, EMK_ID_LEN);
        return true;
    case 2:
        if (emk_cbor_read_uint(r) != (uint64_t)core->layer)
            emk_cbor_fail(r, EMK_E_FORMAT, "header: layer", 2);
        return true;
    case 3:
        core->content_alg = emk_cbor_read_int(r);
        return true;
    case 4:
        read_unit(r, core->layer);
        return true;
    case 5:
        core->plain_len = emk_cbor_read_uint(r);
        return true;
    case 6:
        read_suite(r, core);
        return true;
    case 7:
        emk_cbor_read_fixed(r, core->signer, EMK_COSE_KID_LEN);
        return true;
    case 8:
        core->certificate = emk_cbor_read_bytes(r);
        if (core->certificate.len == 0 || core->certificate.len > EMK_CERTIFICATE_MAX)
            emk_cbor_fail(r, EMK_E_FORMAT, "header: sealing certificate", core->certificate.len);
        return true;
    case 9:
        core->created_day = emk_cbor_read_uint(r);
        return true;
    case 10:
        core->lease_key = emk_cbor_read_bytes(r);
        if (core->lease_key.len != EMK_LEASE_KEY_LEN)
            emk_cbor_fail(r, EMK_E_FORMAT, "header: lease key", core->lease_key.len);
        return weights;
    case 11:
        emk_cbor_read_fixed(r, core->request_hash, EMK_HASH_LEN);
        return !weights;
    case 12:
        emk_cbor_read_fixed(r, core->ticket_id, EMK_ID_LEN);
        return weights;
    case 13:
        emk_cbor_read_fixed(r, core->ticket_hash, EMK_HASH_LEN);
        return weights;
    case 14:
        core->policy = emk_cbor_read_bytes(r);
        return weights;
    case 15:
        read_sealed_part(r, core);
        return weights;
    default:
        return false;
    }
}

static emk_status check_core(const emk_core *core, emk_error *e)
{
    uint64_t max = core->layer == EMK_LAYER_WEIGHTS ? EMK_MODEL_LEN_MAX : EMK_MODEL_LEN_MAX * 2;

    if (emk_content_aead(core->layer, core->content_alg) == 0)
        return emk_fail(e, EMK_E_FORMAT, "header: content algorithm", (uint64_t)core->content_alg);
    if (core->plain_len > max)
        return emk_fail(e, EMK_E_LIMIT,
                        core->layer == EMK_LAYER_WEIGHTS ? "header: length of the model"
                                                         : "header: length of the weights layer",
                        core->plain_len);
    if (core->layer == EMK_LAYER_WEIGHTS &&
        (core->sealed_part_len == 0 || core->sealed_part_len > EMK_SEALED_PART_MAX))
        return emk_fail(e, EMK_E_LIMIT, "header: length of the sealed part", core->sealed_part_len);
    if (core->layer == EMK_LAYER_WEIGHTS && core->policy.len > EMK_POLICY_MAX)
        return emk_fail(e, EMK_E_LIMIT, "header: length of the policy", core->policy.len);
    return EMK_OK;
}

/* Keys that may be absent: sealing certificate, lease key. */
#define MAY ((1u << 8) | (1u << 10))

static emk_status parse_core(emk_span in, emk_core *core, emk_error *e)
{
    uint32_t seen = 0, want = core->layer == EMK_LAYER_WEIGHTS ? 0xF2FEu : 0x0AFEu;
    emk_cbor_reader r;
    int64_t key;
    emk_status st;

    emk_cbor_reader_init(&r, in);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        if (key < 1 || key > 15 || !read_field(&r, key, core))
            emk_cbor_fail(&r, EMK_E_FORMAT, "header: unknown key", (uint64_t)key);
        else
            seen |= 1u << key;
    }
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st != EMK_OK)
        return st;
    if ((seen & ~MAY) != (want & ~MAY))
        return emk_fail(e, EMK_E_FORMAT, "header: a key is missing", seen);
    return check_core(core, e);
}

static bool same_suite(const emk_hpke_suite *a, const emk_hpke_suite *b)
{
    return a->kem == b->kem && a->kdf == b->kdf && a->aead == b->aead;
}

static bool layer_allows(emk_layer layer, uint16_t kem)
{
    if (kem == EMK_KEM_P256 || kem == EMK_KEM_MLKEM768_P256)
        return true;
    return layer == EMK_LAYER_FILE && (kem == EMK_KEM_X25519 || kem == EMK_KEM_XWING);
}

static emk_status parse_payload(emk_span payload, emk_header *h, emk_span *core_bytes, emk_error *e)
{
    emk_cbor_reader r;
    size_t n;

    emk_cbor_reader_init(&r, payload);
    if (emk_cbor_enter_array(&r) != 3)
        emk_cbor_fail(&r, EMK_E_FORMAT, "header: payload", 0);
    if (emk_cbor_read_uint(&r) != PAYLOAD_VERSION)
        emk_cbor_fail(&r, EMK_E_UNSUPPORTED, "header: payload version", 0);
    *core_bytes = emk_cbor_read_bytes(&r);
    n = emk_cbor_enter_array(&r);
    if (n == 0 || n > EMK_RECIPIENTS_MAX)
        emk_cbor_fail(&r, n ? EMK_E_LIMIT : EMK_E_FORMAT, "header: number of recipients", n);
    for (size_t i = 0; emk_cbor_ok(&r) && i < n; i++)
        emk_recipient_read(&r, h->core.layer == EMK_LAYER_WEIGHTS, &h->recipients[i]);
    emk_cbor_leave(&r);
    emk_cbor_leave(&r);
    h->n_recipients = n;
    return emk_cbor_finish(&r, e);
}

/* What the layer may use comes before what the envelopes say: a suite of a later version is
 * unsupported, not damaged. */
static emk_status check_suite(emk_header *h, emk_error *e)
{
    emk_hpke_suite listed;
    emk_error why;
    int64_t alg;

    if (h->core.mode != EMK_HPKE_BASE && (h->core.mode != EMK_HPKE_PSK || !h->core.lease_key.len))
        return emk_notice(&h->noticed, EMK_NOTICED_UNSUPPORTED,
                          emk_fail(e, EMK_E_UNSUPPORTED, "header: HPKE mode", h->core.mode));
    if (!layer_allows(h->core.layer, h->core.suite.kem) ||
        emk_recipient_alg(h->core.suite.kem, &alg, &listed, &why) != EMK_OK ||
        !same_suite(&listed, &h->core.suite))
        return emk_notice(&h->noticed, EMK_NOTICED_UNSUPPORTED,
                          emk_fail(e, EMK_E_UNSUPPORTED, "header: suite", h->core.suite.kem));
    if (h->core.mode == EMK_HPKE_BASE && h->core.lease_key.len)
        return emk_fail(e, EMK_E_FORMAT, "header: a lease key without psk mode", 10);
    for (size_t i = 0; i < h->n_recipients; i++) {
        if ((h->recipients[i].psk_id.len != 0) != (h->core.mode == EMK_HPKE_PSK))
            return emk_fail(e, EMK_E_FORMAT, "header: an envelope in another mode", i);
        if (!same_suite(&h->recipients[i].suite, &h->core.suite))
            return emk_fail(e, EMK_E_FORMAT, "header: an envelope has another suite", i);
    }
    return EMK_OK;
}

emk_status emk_header_parse(const emk_crypto *c, emk_span in, emk_layer want, emk_header *out,
                            emk_error *e)
{
    uint32_t header_len;
    emk_span core_bytes;
    emk_status st;

    memset(out, 0, sizeof *out);
    if (in.len < EMK_PREAMBLE_LEN)
        return emk_fail(e, EMK_E_FORMAT, "preamble: cut short", in.len);
    st = emk_preamble_read(in.p, want, &header_len, e);
    if (st != EMK_OK)
        return st;
    if (header_len != in.len - EMK_PREAMBLE_LEN)
        return emk_fail(e, EMK_E_FORMAT, "header: length", in.len);
    out->bytes = in;
    out->core.layer = want;
    st = emk_cose_parse(emk_span_of(in.p + EMK_PREAMBLE_LEN, header_len), (emk_cose_type)want,
                        &out->cose, e);
    if (st == EMK_E_SIGNATURE)
        (void)emk_notice(&out->noticed, EMK_NOTICED_SIGNATURE, st);
    if (st == EMK_OK)
        st = parse_payload(out->cose.payload, out, &core_bytes, e);
    if (st == EMK_OK)
        st = parse_core(core_bytes, &out->core, e);
    if (st == EMK_OK)
        st = check_suite(out, e);
    if (st == EMK_OK)
        st = emk_sha256(c, &core_bytes, 1, out->core_hash, e);
    return emk_notice(&out->noticed, EMK_NOTICED_CBOR, st);
}

emk_status emk_header_verify(const emk_crypto *c, const emk_header *h, const emk_verify_key *issuer,
                             uint64_t now, uint8_t hh[EMK_HASH_LEN], emk_error *e)
{
    emk_signer_chain chain = {.issuer = issuer,
                              .certificate = h->core.certificate,
                              .now = now,
                              .created_day = h->core.created_day};
    emk_verify_key *key;
    emk_status st;

    if (memcmp(h->core.signer, h->cose.kid, EMK_COSE_KID_LEN) != 0)
        return emk_fail(e, EMK_E_SIGNATURE, "header: two signers named", 0);
    st = emk_signer_chain_verify(c, &chain, &key, e);
    if (st != EMK_OK)
        return st;
    st = emk_cose_verify(c, &h->cose, emk_span_of(h->bytes.p, EMK_PREAMBLE_LEN), key, hh, e);
    emk_verify_key_free(key);
    return st;
}

/* The recipients whose hint fits are tried in turn; several can only be a hint's collision or
 * a trap, so the number is bounded by the header's. */
static emk_status find_and_open(const emk_crypto *c, const emk_unseal_in *in,
                                uint8_t cek[EMK_CEK_LEN], emk_error *e)
{
    bool tried = false;

    for (size_t i = 0; i < in->n_recipients; i++) {
        const emk_recipient *r = &in->recipients[i];
        bool matches = false;
        emk_status st;

        if (r->suite.kem != emk_kem_private_id(in->key))
            continue;
        st = emk_recipient_matches(c, r, emk_kem_private_public(in->key), &matches, e);
        if (st != EMK_OK)
            return st;
        if (!matches)
            continue;
        tried = true;
        st = emk_recipient_unwrap(r, &in->context, in->key, cek, e);
        if (st != EMK_E_SEALED)
            return st;
    }
    emk_notice(in->noticed, tried ? EMK_NOTICED_HPKE : EMK_NOTICED_RECIPIENT, EMK_E_SEALED);
    return emk_fail_sealed(e);
}

emk_status emk_unseal(const emk_crypto *c, const emk_unseal_in *in, emk_schedule *out, emk_error *e)
{
    uint8_t cek[EMK_CEK_LEN];
    emk_schedule s;
    emk_status st;

    st = find_and_open(c, in, cek, e);
    if (st == EMK_OK)
        st = emk_schedule_init(&s, c, in->layer, cek, in->hh, e);
    if (st == EMK_OK) {
        st = emk_schedule_check_commit(&s, in->commit, e);
        if (st != EMK_OK)
            emk_schedule_done(&s);
        (void)emk_notice(in->noticed, EMK_NOTICED_COMMIT, st);
    }
    if (st == EMK_OK) {
        if (in->cek)
            memcpy(in->cek, cek, sizeof cek);
        *out = s;
    }
    emk_wipe(cek, sizeof cek);
    return st;
}
