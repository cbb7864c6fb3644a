#include "core/seal/recipient.h"

#include "core/crypto/hash.h"
#include "core/crypto/kdf.h"

#define LABEL_EK     (-4)
#define LABEL_PSK_ID (-5)
#define LABEL_HINT   (-65541)
#define INFO_MAX     128u
#define WRAPPED_MAX  (EMK_KEM_ENC_MAX + EMK_RECIPIENT_CIPHER_LEN)

typedef struct alg_row {
    int64_t alg; /* [container 3.3] */
    emk_hpke_suite suite;
} alg_row;

static const alg_row ALGS[] = {
    {50, {EMK_KEM_X25519, EMK_HPKE_KDF_HKDF_SHA256, EMK_AEAD_CHACHA20_POLY1305}},
    {53, {EMK_KEM_P256, EMK_HPKE_KDF_HKDF_SHA256, EMK_AEAD_AES_256_GCM}},
    {-65611, {EMK_KEM_XWING, EMK_HPKE_KDF_HKDF_SHA256, EMK_AEAD_CHACHA20_POLY1305}},
    {-65612, {EMK_KEM_MLKEM768_P256, EMK_HPKE_KDF_HKDF_SHA256, EMK_AEAD_AES_256_GCM}},
};

emk_status emk_recipient_alg(uint16_t kem, int64_t *alg, emk_hpke_suite *suite, emk_error *e)
{
    for (size_t i = 0; i < sizeof ALGS / sizeof ALGS[0]; i++) {
        if (ALGS[i].suite.kem == kem) {
            *alg = ALGS[i].alg;
            *suite = ALGS[i].suite;
            return EMK_OK;
        }
    }
    return emk_fail(e, EMK_E_UNSUPPORTED, "envelope: KEM", kem);
}

static const alg_row *row_of_alg(int64_t alg)
{
    for (size_t i = 0; i < sizeof ALGS / sizeof ALGS[0]; i++) {
        if (ALGS[i].alg == alg)
            return &ALGS[i];
    }
    return NULL;
}

/* hint = HMAC("earmark/1 hint", enc || SHA-256(pkR)[0..4])[0..4]: whoever does not know pkR
 * sees noise, so the envelopes of one device cannot be linked by it. */
static emk_status make_hint(const emk_crypto *c, emk_span enc, emk_span public_key,
                            uint8_t hint[EMK_RECIPIENT_HINT_LEN], emk_error *e)
{
    uint8_t hash[EMK_SHA256_LEN], mac[EMK_HMAC_LEN];
    emk_span parts[2] = {enc, emk_span_of(hash, EMK_RECIPIENT_HINT_LEN)};
    emk_status st = emk_sha256(c, &public_key, 1, hash, e);

    if (st == EMK_OK)
        st = emk_hmac_sha256(c, emk_span_str("earmark/1 hint"), parts, 2, mac, e);
    if (st == EMK_OK)
        memcpy(hint, mac, EMK_RECIPIENT_HINT_LEN);
    return st;
}

static emk_span put_info(emk_writer *w, const emk_envelope_context *ctx, emk_span protected_bytes)
{
    emk_cbor_put_array(w, 4);
    emk_cbor_put_text(w, emk_span_str("HPKE Recipient"));
    emk_cbor_put_int(w, ctx->content_alg);
    emk_cbor_put_bytes(w, protected_bytes);
    emk_cbor_put_bytes(w, emk_span_of(ctx->extra, EMK_HASH_LEN));
    return emk_writer_span(w);
}

static void put_recipient(emk_writer *w, const emk_recipient *r)
{
    emk_cbor_put_array(w, 3);
    emk_cbor_put_bytes(w, r->protected_bytes);
    emk_cbor_put_map(w, 1u + (r->psk_id.len ? 1u : 0u) + (r->has_hint ? 1u : 0u));
    emk_cbor_put_int(w, LABEL_EK);
    emk_cbor_put_bytes(w, r->enc);
    if (r->psk_id.len) {
        emk_cbor_put_int(w, LABEL_PSK_ID);
        emk_cbor_put_bytes(w, r->psk_id);
    }
    if (r->has_hint) {
        emk_cbor_put_int(w, LABEL_HINT);
        emk_cbor_put_bytes(w, emk_span_of(r->hint, sizeof r->hint));
    }
    emk_cbor_put_bytes(w, r->cipher);
}

/* Base mode, or psk mode with a psk of its own. */
static emk_status choose_mode(const emk_crypto *c, const emk_envelope_context *ctx,
                              emk_lease_psk *psk, emk_hpke_in *in, emk_error *e)
{
    emk_status st;

    in->mode = EMK_HPKE_BASE;
    if (ctx->lease_key.len == 0)
        return EMK_OK;
    st = emk_lease_psk_make(c, ctx->lease_key, ctx->lease.ticket_id, psk, e);
    if (st != EMK_OK)
        return st;
    in->mode = EMK_HPKE_PSK;
    in->psk = emk_span_of(psk->psk, sizeof psk->psk);
    in->psk_id = emk_span_of(psk->id, sizeof psk->id);
    return EMK_OK;
}

emk_status emk_recipient_wrap(const emk_crypto *c, const emk_envelope_context *ctx,
                              const emk_agree_key *to, const uint8_t cek[EMK_CEK_LEN],
                              emk_writer *w, emk_error *e)
{
    uint8_t protected_space[16], info_space[INFO_MAX], wrapped[WRAPPED_MAX];
    emk_recipient r = {.has_hint = ctx->hint};
    emk_hpke_in in = {0};
    emk_lease_psk psk;
    emk_writer pw, iw;
    size_t enc_len;
    emk_status st;

    st = emk_recipient_alg(to->kem, &r.alg, &in.suite, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&pw, protected_space, sizeof protected_space);
    emk_cbor_put_map(&pw, 1);
    emk_cbor_put_int(&pw, 1);
    emk_cbor_put_int(&pw, r.alg);
    r.protected_bytes = emk_writer_span(&pw);
    emk_writer_init(&iw, info_space, sizeof info_space);
    in.info = put_info(&iw, ctx, r.protected_bytes);
    st = choose_mode(c, ctx, &psk, &in, e);
    if (st == EMK_OK)
        st = emk_hpke_seal_once(c, &in, to->public_key, emk_span_of(cek, EMK_CEK_LEN), wrapped, e);
    emk_wipe(psk.psk, sizeof psk.psk);
    if (st != EMK_OK)
        return st;
    r.psk_id = in.psk_id;
    enc_len = emk_kem_enc_len(to->kem);
    r.enc = emk_span_of(wrapped, enc_len);
    r.cipher = emk_span_of(wrapped + enc_len, EMK_RECIPIENT_CIPHER_LEN);
    if (r.has_hint)
        st = make_hint(c, r.enc, to->public_key, r.hint, e);
    if (st == EMK_OK)
        put_recipient(w, &r);
    return st;
}

static void read_protected(emk_cbor_reader *outer, emk_span in, emk_recipient *out)
{
    const alg_row *row;
    emk_cbor_reader r;
    emk_error why;
    int64_t key;

    emk_cbor_reader_init(&r, in);
    if (emk_cbor_enter_map(&r) != 1 || !emk_cbor_next_key(&r, &key) || key != 1)
        emk_cbor_fail(&r, EMK_E_FORMAT, "envelope: protected header", 0);
    out->alg = emk_cbor_read_int(&r);
    emk_cbor_leave(&r);
    if (emk_cbor_finish(&r, &why) != EMK_OK) {
        emk_cbor_fail(outer, why.status, why.what, why.where);
        return;
    }
    row = row_of_alg(out->alg);
    if (!row)
        emk_cbor_fail(outer, EMK_E_UNSUPPORTED, "envelope: alg", (uint64_t)out->alg);
    else
        out->suite = row->suite;
}

/* The unprotected header: ek, then what a layer with hints has. */
static void read_unprotected(emk_cbor_reader *r, bool hint, emk_recipient *out)
{
    size_t n = emk_cbor_enter_map(r);
    int64_t key;

    if (n != (hint ? 2u : 1u) && !(hint && n == 3))
        emk_cbor_fail(r, EMK_E_FORMAT, "envelope: unprotected header", 0);
    if (!emk_cbor_next_key(r, &key) || key != LABEL_EK)
        emk_cbor_fail(r, EMK_E_FORMAT, "envelope: no ek", 0);
    out->enc = emk_cbor_read_bytes(r);
    if (n == 3) {
        if (!emk_cbor_next_key(r, &key) || key != LABEL_PSK_ID)
            emk_cbor_fail(r, EMK_E_FORMAT, "envelope: no psk_id", 0);
        out->psk_id = emk_cbor_read_bytes(r);
        if (out->psk_id.len != EMK_LEASE_PSK_ID_LEN)
            emk_cbor_fail(r, EMK_E_FORMAT, "envelope: length of the psk_id", out->psk_id.len);
    }
    if (hint) {
        if (!emk_cbor_next_key(r, &key) || key != LABEL_HINT)
            emk_cbor_fail(r, EMK_E_FORMAT, "envelope: no hint", 0);
        emk_cbor_read_fixed(r, out->hint, sizeof out->hint);
        out->has_hint = true;
    }
    emk_cbor_leave(r);
}

void emk_recipient_read(emk_cbor_reader *r, bool hint, emk_recipient *out)
{

    memset(out, 0, sizeof *out);
    if (emk_cbor_enter_array(r) != 3)
        emk_cbor_fail(r, EMK_E_FORMAT, "envelope: not a COSE_recipient", 0);
    out->protected_bytes = emk_cbor_read_bytes(r);
    read_unprotected(r, hint, out);
    out->cipher = emk_cbor_read_bytes(r);
    emk_cbor_leave(r);
    if (!emk_cbor_ok(r))
        return;
    read_protected(r, out->protected_bytes, out);
    /* 48 bytes exactly, before any decryption: no second block for key guessing. */
    if (out->cipher.len != EMK_RECIPIENT_CIPHER_LEN)
        emk_cbor_fail(r, EMK_E_FORMAT, "envelope: length of the wrapped key", out->cipher.len);
}

emk_status emk_recipient_matches(const emk_crypto *c, const emk_recipient *r, emk_span public_key,
                                 bool *matches, emk_error *e)
{
    uint8_t hint[EMK_RECIPIENT_HINT_LEN];
    emk_status st;

    if (!r->has_hint) {
        *matches = true;
        return EMK_OK;
    }
    st = make_hint(c, r->enc, public_key, hint, e);
    if (st == EMK_OK)
        *matches = emk_ct_equal(hint, r->hint, sizeof hint);
    return st;
}

emk_status emk_recipient_unwrap(const emk_recipient *r, const emk_envelope_context *ctx,
                                const emk_kem_private *key, uint8_t cek[EMK_CEK_LEN], emk_error *e)
{
    uint8_t info_space[INFO_MAX], psk[EMK_LEASE_PSK_LEN];
    emk_hpke_in in = {.suite = r->suite, .mode = EMK_HPKE_BASE};
    emk_status st = EMK_OK;
    emk_writer w;

    if (r->suite.kem != emk_kem_private_id(key) || (r->psk_id.len && !ctx->lease.secret))
        return emk_fail(e, EMK_E_SEALED, "sealed: cannot be opened with the keys held here", 0);
    emk_writer_init(&w, info_space, sizeof info_space);
    in.info = put_info(&w, ctx, r->protected_bytes);
    if (r->psk_id.len) {
        in.mode = EMK_HPKE_PSK;
        in.psk = emk_span_of(psk, sizeof psk);
        in.psk_id = r->psk_id;
        st = emk_lease_psk_find(&ctx->lease, r->psk_id, psk, e);
    }
    if (st == EMK_OK)
        st = emk_hpke_open_once(&in, key, r->enc, r->cipher, cek, e);
    emk_wipe(psk, sizeof psk);
    return st;
}
