#include "tests/unit/core/seal/pieces.h"

#include "core/base/bytes.h"
#include "core/crypto/hash.h"

#define ROOM ((size_t)1 << 24)

static int compare_keys(int64_t a, int64_t b)
{
    uint8_t x[9], y[9];
    emk_writer wx, wy;
    size_t n;
    int diff;

    emk_writer_init(&wx, x, sizeof x);
    emk_writer_init(&wy, y, sizeof y);
    emk_cbor_put_int(&wx, a);
    emk_cbor_put_int(&wy, b);
    n = wx.pos < wy.pos ? wx.pos : wy.pos;
    diff = memcmp(x, y, n);
    return diff ? diff : (int)wx.pos - (int)wy.pos;
}

void pieces_raw(pieces *p, int64_t key, emk_span raw)
{
    size_t at = 0;

    assert_true(raw.len <= PIECE_LEN_MAX);
    while (at < p->n && compare_keys(p->v[at].key, key) < 0)
        at++;
    if (at == p->n || p->v[at].key != key) {
        assert_true(p->n < PIECES_MAX);
        memmove(&p->v[at + 1], &p->v[at], (p->n - at) * sizeof p->v[0]);
        p->n++;
    }
    p->v[at].key = key;
    p->v[at].len = raw.len;
    memcpy(p->v[at].raw, raw.p, raw.len);
}

void pieces_hex(pieces *p, int64_t key, const char *hex)
{
    uint8_t raw[PIECE_LEN_MAX];

    pieces_raw(p, key, emk_span_of(raw, emk_unhex(hex, raw, sizeof raw)));
}

void pieces_int(pieces *p, int64_t key, int64_t value)
{
    uint8_t raw[9];
    emk_writer w;

    emk_writer_init(&w, raw, sizeof raw);
    emk_cbor_put_int(&w, value);
    pieces_raw(p, key, emk_writer_span(&w));
}

void pieces_bytes(pieces *p, int64_t key, emk_span value)
{
    uint8_t raw[PIECE_LEN_MAX];
    emk_writer w;

    emk_writer_init(&w, raw, sizeof raw);
    emk_cbor_put_bytes(&w, value);
    pieces_raw(p, key, emk_writer_span(&w));
}

void pieces_text(pieces *p, int64_t key, const char *value)
{
    uint8_t raw[PIECE_LEN_MAX];
    emk_writer w;

    emk_writer_init(&w, raw, sizeof raw);
    emk_cbor_put_text(&w, emk_span_str(value));
    pieces_raw(p, key, emk_writer_span(&w));
}

void pieces_drop(pieces *p, int64_t key)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].key != key)
            continue;
        memmove(&p->v[i], &p->v[i + 1], (p->n - i - 1) * sizeof p->v[0]);
        p->n--;
        return;
    }
    fail_msg("no key %lld to drop", (long long)key);
}

void pieces_write(const pieces *p, emk_writer *w)
{
    emk_cbor_put_map(w, p->n);
    for (size_t i = 0; i < p->n; i++) {
        emk_cbor_put_int(w, p->v[i].key);
        emk_cbor_put_raw(w, emk_span_of(p->v[i].raw, p->v[i].len));
    }
}

void pieces_encode(const pieces *p, emk_buf *out)
{
    emk_writer count, w;
    uint8_t *room;
    emk_error e;

    emk_writer_init(&count, NULL, 0);
    pieces_write(p, &count);
    emk_buf_init(out, ROOM);
    assert_ok(emk_buf_grow(out, count.pos, &room, &e), &e);
    emk_writer_init(&w, room, count.pos);
    pieces_write(p, &w);
}

/* ---- headers ---- */

static void put_suite(pieces *core, const emk_hpke_suite *s)
{
    uint8_t raw[16];
    emk_writer w;

    emk_writer_init(&w, raw, sizeof raw);
    emk_cbor_put_array(&w, 4);
    emk_cbor_put_uint(&w, s->kem);
    emk_cbor_put_uint(&w, s->kdf);
    emk_cbor_put_uint(&w, s->aead);
    emk_cbor_put_uint(&w, 0);
    pieces_raw(core, 6, emk_writer_span(&w));
}

static void put_weights_core(pieces *core, world *w)
{
    uint8_t raw[64], zeros[32] = {0};
    emk_writer wr;

    pieces_bytes(core, 12, emk_span_of(w->ticket_id, 16));
    pieces_bytes(core, 13, emk_span_of(w->ticket_hash, 32));
    pieces_bytes(core, 14, emk_buf_span(&w->policy_bytes));
    emk_writer_init(&wr, raw, sizeof raw);
    emk_cbor_put_array(&wr, 2);
    emk_cbor_put_uint(&wr, 100);
    emk_cbor_put_bytes(&wr, emk_span_of(zeros, 32));
    pieces_raw(core, 15, emk_writer_span(&wr));
}

void bent_header_init(bent_header *b, world *w, emk_layer layer)
{
    bool weights = layer == EMK_LAYER_WEIGHTS;
    emk_kem_private *key = weights ? w->device_key : w->request_key;
    uint8_t id[16] = {0xF1}, enc[EMK_KEM_ENC_MAX] = {0}, hint[4] = {0};
    emk_hpke_suite suite;
    emk_error e;
    int64_t alg;

    memset(b, 0, sizeof *b);
    b->layer = layer;
    b->signer = &w->issuer;
    b->version = 1;
    b->n_recipients = 1;
    b->cipher_len = 48;
    b->preamble_at = -1;
    assert_ok(emk_recipient_alg(emk_kem_private_id(key), &alg, &suite, &e), &e);
    pieces_bytes(&b->core, 1, emk_span_of(id, 16));
    pieces_int(&b->core, 2, layer);
    pieces_int(&b->core, 3, weights ? EMK_CONTENT_WEIGHTS_AES : EMK_CONTENT_FILE_AES);
    pieces_int(&b->core, 4, weights ? EMK_SEGMENT_LEN : EMK_CHUNK_LEN);
    pieces_int(&b->core, 5, 5000);
    put_suite(&b->core, &suite);
    pieces_bytes(&b->core, 7, emk_span_of(w->issuer.kid, 8));
    pieces_int(&b->core, 9, WORLD_NOW / 86400);
    if (weights)
        put_weights_core(&b->core, w);
    else
        pieces_bytes(&b->core, 11, emk_span_of(w->request_hash, 32));
    pieces_int(&b->recipient_protected, 1, alg);
    pieces_bytes(&b->recipient_unprotected, -4, emk_span_of(enc, emk_kem_enc_len(suite.kem)));
    if (weights)
        pieces_bytes(&b->recipient_unprotected, -65541, emk_span_of(hint, 4));
}

static void put_recipient(const bent_header *b, world *w, emk_span core, emk_writer *out)
{
    bool weights = b->layer == EMK_LAYER_WEIGHTS;
    emk_kem_private *key = weights ? w->device_key : w->request_key;
    emk_agree_key to = {emk_kem_private_id(key), emk_kem_private_public(key)};
    uint8_t hash[32];
    emk_envelope_context ctx = {.content_alg =
                                    weights ? EMK_CONTENT_WEIGHTS_AES : EMK_CONTENT_FILE_AES,
                                .extra = hash,
                                .hint = weights};
    emk_buf protected_bytes;
    emk_error e;

    if (b->real) {
        assert_ok(emk_sha256(w->crypto, &core, 1, hash, &e), &e);
        assert_ok(emk_recipient_wrap(w->crypto, &ctx, &to, b->cek, out, &e), &e);
        return;
    }
    pieces_encode(&b->recipient_protected, &protected_bytes);
    emk_cbor_put_array(out, 3);
    emk_cbor_put_bytes(out, emk_buf_span(&protected_bytes));
    pieces_write(&b->recipient_unprotected, out);
    emk_cbor_put_bytes(out, emk_span_of(b->cipher, b->cipher_len));
    emk_buf_done(&protected_bytes);
}

void bent_header_make(const bent_header *b, world *w, emk_buf *out, uint8_t *hh)
{
    static uint8_t payload[EMK_HEADER_MAX * 4];
    uint8_t preamble[16] = {0x89, 'E', 'A', 'R', 'M', 0x0D, 0x0A, 0x1A, 1};
    emk_cose_in in = {.type = (emk_cose_type)b->layer};
    emk_writer wr;
    emk_buf core;
    emk_error e;

    pieces_encode(&b->core, &core);
    emk_writer_init(&wr, payload, sizeof payload);
    emk_cbor_put_array(&wr, 3);
    emk_cbor_put_uint(&wr, b->version);
    emk_cbor_put_bytes(&wr, emk_buf_span(&core));
    emk_cbor_put_array(&wr, b->n_recipients);
    for (unsigned i = 0; i < b->n_recipients; i++)
        put_recipient(b, w, emk_buf_span(&core), &wr);
    assert_false(wr.full);
    in.payload = emk_writer_span(&wr);
    preamble[9] = (uint8_t)b->layer;
    emk_store_u32be(preamble + 12, (uint32_t)((int)emk_cose_signed_len(&in) + b->length_change));
    if (b->preamble_at >= 0)
        preamble[b->preamble_at] = b->preamble_to;
    in.external_aad = emk_span_of(preamble, 16);
    emk_buf_init(out, ROOM);
    assert_ok(emk_buf_append(out, in.external_aad, &e), &e);
    assert_ok(emk_cose_sign(w->crypto, b->signer, &in, out, hh, &e), &e);
    emk_buf_done(&core);
}
