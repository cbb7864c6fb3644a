#include "tests/conformance/stream_cipher.h"

#include "core/base/bytes.h"

static void make_nonce(const emk_stream *s, uint32_t number, bool last, uint8_t nonce[12])
{
    memset(nonce, 0, EMK_AEAD_NONCE_LEN);
    if (s->prefix.len > 0)
        memcpy(nonce, s->prefix.p, s->prefix.len);
    emk_store_u32be(nonce + 7, number);
    nonce[11] = last ? 1 : 0;
}

static emk_status check(const emk_stream *s, emk_error *e)
{
    if (s->key.len == 0 || s->key.len != emk_aead_key_len(s->aead))
        return emk_fail(e, EMK_E_USAGE, "stream: key length", s->key.len);
    if (s->prefix.len != 0 && s->prefix.len != 7)
        return emk_fail(e, EMK_E_USAGE, "stream: prefix length", s->prefix.len);
    if (s->chunk == 0 || s->chunk > UINT32_MAX)
        return emk_fail(e, EMK_E_USAGE, "stream: chunk length", s->chunk);
    return EMK_OK;
}

static emk_status start(const emk_crypto *c, const emk_stream *s, emk_aead **out, emk_error *e)
{
    emk_status st = check(s, e);

    if (st == EMK_OK)
        st = emk_aead_new(c, s->aead, out, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(*out, s->key.p, e);
    return st;
}

size_t emk_stream_sealed_len(const emk_stream *s, size_t len)
{
    size_t chunks = len == 0 ? 1 : (len + s->chunk - 1) / s->chunk;

    return len + chunks * EMK_AEAD_TAG_LEN;
}

emk_status emk_stream_seal(const emk_crypto *c, const emk_stream *s, emk_span plain, uint8_t *out,
                           emk_error *e)
{
    emk_aead *aead = NULL;
    emk_status st = start(c, s, &aead, e);
    size_t done = 0;
    uint32_t number = 0;
    bool last = false;

    while (st == EMK_OK && !last) {
        size_t left = plain.len - done, len = left < s->chunk ? left : s->chunk;
        uint8_t nonce[EMK_AEAD_NONCE_LEN];

        last = len == left;
        make_nonce(s, number++, last, nonce);
        st = emk_aead_seal(aead, nonce, emk_span_of("", 0), emk_span_of(plain.p + done, len), out,
                           out + len, e);
        done += len;
        out += len + EMK_AEAD_TAG_LEN;
    }
    emk_aead_free(aead);
    return st;
}

/* One chunk.  A full one may be the last or not: its tag tells, so both are tried, the usual
 * one first.  `last` says which it was. */
typedef struct chunk {
    uint32_t number;
    emk_span in; /* with its tag */
    bool last;
} chunk;

static emk_status open_chunk(emk_aead *aead, const emk_stream *s, chunk *c, uint8_t *out,
                             emk_error *e)
{
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_span cipher = emk_span_of(c->in.p, c->in.len - EMK_AEAD_TAG_LEN);
    const uint8_t *tag = c->in.p + cipher.len;
    emk_status st = EMK_E_SEALED;

    for (int tries = cipher.len < s->chunk ? 1 : 2; tries > 0 && st == EMK_E_SEALED; tries--) {
        c->last = tries == 1;
        make_nonce(s, c->number, c->last, nonce);
        st = emk_aead_open(aead, nonce, emk_span_of("", 0), cipher, tag, out, e);
    }
    return st;
}

static emk_status open_all(emk_aead *aead, const emk_stream *s, emk_span sealed, uint8_t *out,
                           size_t *released, emk_error *e)
{
    chunk c = {0};
    size_t done = 0;

    for (; !c.last; c.number++) {
        size_t left = sealed.len - done, len = s->chunk + EMK_AEAD_TAG_LEN;
        emk_status st;

        if (left < len)
            len = left;
        if (len < EMK_AEAD_TAG_LEN)
            return emk_fail(e, EMK_E_FORMAT, "stream: ends without a last chunk", done);
        if (len == EMK_AEAD_TAG_LEN && c.number > 0)
            return emk_fail(e, EMK_E_FORMAT, "stream: an empty chunk after a full one", done);
        c.in = emk_span_of(sealed.p + done, len);
        st = open_chunk(aead, s, &c, out + *released, e);
        if (st != EMK_OK)
            return st;
        *released += len - EMK_AEAD_TAG_LEN;
        done += len;
    }
    if (done != sealed.len)
        return emk_fail(e, EMK_E_FORMAT, "stream: bytes after the last chunk", done);
    return EMK_OK;
}

emk_status emk_stream_open(const emk_crypto *c, const emk_stream *s, emk_span sealed, uint8_t *out,
                           size_t *released, emk_error *e)
{
    emk_aead *aead = NULL;
    emk_status st = start(c, s, &aead, e);

    *released = 0;
    if (st == EMK_OK)
        st = open_all(aead, s, sealed, out, released, e);
    emk_aead_free(aead);
    return st;
}
