#include "core/seal/segment.h"

#include "core/crypto/hash.h"

#define NO_REGION UINT32_MAX

static const emk_span NOTHING = {NULL, 0};

emk_status emk_segment_cipher_init(emk_segment_cipher *sc, const emk_schedule *schedule,
                                   uint16_t aead, emk_error *e)
{
    sc->schedule = schedule;
    sc->region = NO_REGION;
    sc->aead = NULL;
    return emk_aead_new(schedule->crypto, aead, &sc->aead, e);
}

void emk_segment_cipher_done(emk_segment_cipher *sc)
{
    emk_aead_free(sc->aead);
    sc->aead = NULL;
}

static emk_status prepare(emk_segment_cipher *sc, const emk_segment *seg,
                          uint8_t nonce[EMK_AEAD_NONCE_LEN], emk_error *e)
{
    emk_status st = EMK_OK;

    emk_nonce(seg->in_region, seg->last, nonce);
    if (sc->region != seg->region) {
        sc->region = NO_REGION;
        st = emk_schedule_region_key(sc->schedule, seg->region, sc->aead, e);
        if (st == EMK_OK)
            sc->region = seg->region;
    }
    return st;
}

emk_status emk_segment_seal(emk_segment_cipher *sc, const emk_segment *seg, const uint8_t *plain,
                            uint8_t *cipher, uint8_t tag[EMK_AEAD_TAG_LEN], emk_error *e)
{
    emk_span bytes = emk_span_of(plain, seg->len);
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    st = prepare(sc, seg, nonce, e);
    if (st != EMK_OK)
        return st;
    if (seg->kind != EMK_REGION_CLEAR)
        return emk_aead_seal(sc->aead, nonce, NOTHING, bytes, cipher, tag, e);
    st = emk_aead_seal(sc->aead, nonce, bytes, NOTHING, cipher, tag, e);
    if (st == EMK_OK && cipher != plain)
        memcpy(cipher, plain, seg->len);
    return st;
}

emk_status emk_segment_seal_prefix(emk_segment_cipher *sc, const emk_segment *seg,
                                   const uint8_t *plain, uint8_t *cipher, size_t len, emk_error *e)
{
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    st = prepare(sc, seg, nonce, e);
    if (st != EMK_OK)
        return st;
    if (seg->kind != EMK_REGION_CLEAR)
        return emk_aead_seal_prefix(sc->aead, nonce, emk_span_of(plain, len), cipher, e);
    if (cipher != plain)
        memcpy(cipher, plain, len);
    return EMK_OK;
}

emk_status emk_segment_open(emk_segment_cipher *sc, const emk_segment *seg, const uint8_t *cipher,
                            const uint8_t tag[EMK_AEAD_TAG_LEN], uint8_t *plain, emk_error *e)
{
    emk_span bytes = emk_span_of(cipher, seg->len);
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    st = prepare(sc, seg, nonce, e);
    if (st == EMK_OK && seg->kind != EMK_REGION_CLEAR) {
        st = emk_aead_open(sc->aead, nonce, NOTHING, bytes, tag, plain, e);
    } else if (st == EMK_OK) {
        st = emk_aead_open(sc->aead, nonce, bytes, NOTHING, tag, plain, e);
        if (st == EMK_OK && plain != cipher)
            memcpy(plain, cipher, seg->len);
        else if (st != EMK_OK)
            memset(plain, 0, seg->len);
    }
    return st == EMK_E_SEALED ? emk_fail_sealed(e) : st;
}

static emk_status open_clear_part(emk_segment_cipher *sc, const emk_segment *seg,
                                  const uint8_t nonce[EMK_AEAD_NONCE_LEN], emk_span bytes,
                                  const emk_aead_part *part, emk_error *e)
{
    uint8_t none = 0;
    emk_status st;

    if (part->from > seg->len || part->len > seg->len - part->from)
        return emk_fail(e, EMK_E_USAGE, "segment: a part outside", part->from);
    st = emk_aead_open(sc->aead, nonce, bytes, NOTHING, part->tag, &none, e);
    if (st == EMK_OK)
        memcpy(part->out, bytes.p + part->from, part->len);
    else
        memset(part->out, 0, part->len);
    return st;
}

emk_status emk_segment_open_part(emk_segment_cipher *sc, const emk_segment *seg,
                                 const uint8_t *cipher, const emk_aead_part *part, emk_error *e)
{
    const emk_span bytes = emk_span_of(cipher, seg->len);
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    st = prepare(sc, seg, nonce, e);
    if (st == EMK_OK && seg->kind != EMK_REGION_CLEAR)
        st = emk_aead_open_part(sc->aead, nonce, bytes, part, e);
    else if (st == EMK_OK)
        st = open_clear_part(sc, seg, nonce, bytes, part, e);
    return st == EMK_E_SEALED ? emk_fail_sealed(e) : st;
}

static emk_status region_0(const emk_sealed_part *p, emk_layout *l, emk_segment_cipher *cipher,
                           emk_error *e)
{
    emk_plan no_regions = {0};
    emk_status st;

    l->regions = NULL;
    cipher->aead = NULL;
    st = emk_layout_init(l, &no_regions, p->len, e);
    if (st == EMK_OK)
        st = emk_segment_cipher_init(cipher, p->schedule, p->aead, e);
    return st;
}

emk_status emk_sealed_part_seal(const emk_sealed_part *p, const uint8_t *plain, uint8_t *stored,
                                emk_error *e)
{
    emk_segment_cipher cipher;
    emk_layout l;
    emk_status st = region_0(p, &l, &cipher, e);

    for (uint32_t i = 0; st == EMK_OK && i < l.n_segments; i++) {
        emk_segment seg = emk_layout_segment(&l, i);
        uint8_t *to = stored + emk_layout_delivered(&l, i);

        st = emk_segment_seal(&cipher, &seg, plain + seg.at, to, to + seg.len, e);
    }
    emk_segment_cipher_done(&cipher);
    emk_layout_done(&l);
    return st;
}

emk_status emk_sealed_part_open(const emk_sealed_part *p, const uint8_t *stored, uint8_t *plain,
                                emk_error *e)
{
    emk_span part = emk_span_of(plain, (size_t)p->len);
    emk_segment_cipher cipher;
    uint8_t hash[EMK_HASH_LEN];
    emk_layout l;
    emk_status st = region_0(p, &l, &cipher, e);

    for (uint32_t i = 0; st == EMK_OK && i < l.n_segments; i++) {
        emk_segment seg = emk_layout_segment(&l, i);
        const uint8_t *from = stored + emk_layout_delivered(&l, i);

        st = emk_segment_open(&cipher, &seg, from, from + seg.len, plain + seg.at, e);
    }
    emk_segment_cipher_done(&cipher);
    emk_layout_done(&l);
    if (st != EMK_OK)
        return emk_notice(p->noticed, EMK_NOTICED_REGION, st);
    st = emk_sha256(p->schedule->crypto, &part, 1, hash, e);
    if (st == EMK_OK && memcmp(hash, p->hash, EMK_HASH_LEN) != 0)
        st = emk_notice(p->noticed, EMK_NOTICED_DIGEST, emk_fail_sealed(e));
    return st;
}

emk_status emk_chunk_cipher_init(emk_chunk_cipher *cc, const emk_schedule *schedule, uint16_t aead,
                                 uint64_t plain_len, emk_error *e)
{
    emk_status st;

    cc->plain_len = plain_len;
    cc->aead = NULL;
    st = emk_aead_new(schedule->crypto, aead, &cc->aead, e);
    if (st == EMK_OK)
        st = emk_schedule_file_key(schedule, cc->aead, e);
    return st;
}

void emk_chunk_cipher_done(emk_chunk_cipher *cc)
{
    emk_aead_free(cc->aead);
    cc->aead = NULL;
}

uint64_t emk_chunks_of(uint64_t plain_len)
{
    return plain_len ? (plain_len + EMK_CHUNK_LEN - 1) / EMK_CHUNK_LEN : 1;
}

size_t emk_chunk_len(uint64_t plain_len, uint64_t i)
{
    uint64_t left = plain_len - i * EMK_CHUNK_LEN;

    return left < EMK_CHUNK_LEN ? (size_t)left : EMK_CHUNK_LEN;
}

emk_status emk_chunk_seal(emk_chunk_cipher *cc, uint64_t i, const uint8_t *plain, uint8_t *out,
                          emk_error *e)
{
    size_t len = emk_chunk_len(cc->plain_len, i);
    uint8_t nonce[EMK_AEAD_NONCE_LEN];

    emk_nonce(i, i + 1 == emk_chunks_of(cc->plain_len), nonce);
    return emk_aead_seal(cc->aead, nonce, NOTHING, emk_span_of(plain, len), out, out + len, e);
}

emk_status emk_chunk_open(emk_chunk_cipher *cc, uint64_t i, const uint8_t *in, uint8_t *out,
                          emk_error *e)
{
    size_t len = emk_chunk_len(cc->plain_len, i);
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    emk_nonce(i, i + 1 == emk_chunks_of(cc->plain_len), nonce);
    st = emk_aead_open(cc->aead, nonce, NOTHING, emk_span_of(in, len), in + len, out, e);
    return st == EMK_E_SEALED ? emk_fail_sealed(e) : st;
}
