#include "core/seal/cose.h"

#include "core/codec/cbor.h"
#include "core/crypto/hash.h"

#define LABEL_ALG  1
#define LABEL_KID  4
#define LABEL_TYPE (-65537)
#define COSE_SIGN1 18

#define ALG_ED25519 (-19) /* [RFC 9864] */
#define ALG_ESP256  (-9)  /* [RFC 9864] */

#define PROTECTED_MAX 32u

static int64_t cose_alg(emk_sign_alg alg)
{
    return alg == EMK_SIGN_ED25519 ? ALG_ED25519 : ALG_ESP256;
}

emk_status emk_cose_kid(const emk_crypto *c, emk_span public_key, uint8_t kid[EMK_COSE_KID_LEN],
                        emk_error *e)
{
    static const char label[] = "earmark/1 key"; /* hashed with its trailing zero */
    emk_span parts[2] = {emk_span_of(label, sizeof label), public_key};
    uint8_t hash[EMK_SHA256_LEN];
    emk_status st = emk_sha256(c, parts, 2, hash, e);

    if (st == EMK_OK)
        memcpy(kid, hash, EMK_COSE_KID_LEN);
    return st;
}

static emk_status alg_of_public(emk_span public_key, emk_sign_alg *alg)
{
    if (public_key.len == emk_sign_public_len(EMK_SIGN_ED25519))
        *alg = EMK_SIGN_ED25519;
    else if (public_key.len == emk_sign_public_len(EMK_SIGN_ES256))
        *alg = EMK_SIGN_ES256;
    else
        return EMK_E_FORMAT;
    return EMK_OK;
}

emk_status emk_signer_from_fn(const emk_crypto *c, emk_span public_key, emk_sign_fn sign,
                              void *self, emk_signer *out, emk_error *e)
{
    emk_signer s = {.sign = sign, .self = self};

    if (alg_of_public(public_key, &s.alg) != EMK_OK)
        return emk_fail(e, EMK_E_USAGE, "signer: length of the public key", public_key.len);
    memcpy(s.public_key, public_key.p, public_key.len);
    s.public_len = public_key.len;
    emk_status st = emk_cose_kid(c, public_key, s.kid, e);
    if (st == EMK_OK)
        *out = s;
    return st;
}

static emk_status sign_with_key(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    return emk_sign_make(self, msg, sig, e);
}

emk_status emk_signer_from_key(const emk_crypto *c, emk_sign_key *key, emk_signer *out,
                               emk_error *e)
{
    return emk_signer_from_fn(c, emk_sign_key_public(key), sign_with_key, key, out, e);
}

emk_status emk_cose_verify_key(const emk_crypto *c, emk_span public_key, emk_verify_key **out,
                               emk_error *e)
{
    emk_sign_alg alg;

    if (alg_of_public(public_key, &alg) != EMK_OK)
        return emk_fail(e, EMK_E_FORMAT, "key: length of a public signing key", public_key.len);
    return emk_verify_key_new(c, alg, public_key, out, e);
}

static void put_protected(emk_writer *w, emk_cose_type type, emk_sign_alg alg, const uint8_t *kid)
{
    emk_cbor_put_map(w, 3);
    emk_cbor_put_int(w, LABEL_ALG);
    emk_cbor_put_int(w, cose_alg(alg));
    emk_cbor_put_int(w, LABEL_KID);
    emk_cbor_put_bytes(w, emk_span_of(kid, EMK_COSE_KID_LEN));
    emk_cbor_put_int(w, LABEL_TYPE);
    emk_cbor_put_uint(w, (uint64_t)type);
}

static void put_sig_structure(emk_writer *w, emk_span protected_bytes, emk_span external_aad,
                              emk_span payload)
{
    emk_cbor_put_array(w, 4);
    emk_cbor_put_text(w, emk_span_str("Signature1"));
    emk_cbor_put_bytes(w, protected_bytes);
    emk_cbor_put_bytes(w, external_aad);
    emk_cbor_put_bytes(w, payload);
}

/* The signed bytes, in one piece because Ed25519 cannot be fed in steps. */
static emk_status make_sig_structure(emk_span protected_bytes, emk_span external_aad,
                                     emk_span payload, emk_buf *out, emk_error *e)
{
    emk_writer count, w;
    uint8_t *room;
    emk_status st;

    emk_writer_init(&count, NULL, 0);
    put_sig_structure(&count, protected_bytes, external_aad, payload);
    emk_buf_init(out, count.pos);
    st = emk_buf_grow(out, count.pos, &room, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, room, count.pos);
    put_sig_structure(&w, protected_bytes, external_aad, payload);
    return EMK_OK;
}

static void put_signed(emk_writer *w, emk_span protected_bytes, emk_span payload,
                       const uint8_t *sig)
{
    emk_cbor_put_tag(w, COSE_SIGN1);
    emk_cbor_put_array(w, 4);
    emk_cbor_put_bytes(w, protected_bytes);
    emk_cbor_put_map(w, 0);
    emk_cbor_put_bytes(w, payload);
    emk_cbor_put_bytes(w, emk_span_of(sig, EMK_SIGN_LEN));
}

static emk_status append_signed(emk_span protected_bytes, emk_span payload, const uint8_t *sig,
                                emk_buf *out, emk_error *e)
{
    emk_writer count, w;
    uint8_t *room;
    emk_status st;

    emk_writer_init(&count, NULL, 0);
    put_signed(&count, protected_bytes, payload, sig);
    st = emk_buf_grow(out, count.pos, &room, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, room, count.pos);
    put_signed(&w, protected_bytes, payload, sig);
    return EMK_OK;
}

size_t emk_cose_signed_len(const emk_cose_in *in)
{
    static const uint8_t zeros[EMK_SIGN_LEN];
    uint8_t space[PROTECTED_MAX];
    emk_writer w, count;

    emk_writer_init(&w, space, sizeof space);
    put_protected(&w, in->type, EMK_SIGN_ED25519, zeros);
    emk_writer_init(&count, NULL, 0);
    put_signed(&count, emk_writer_span(&w), in->payload, zeros);
    return count.pos;
}

emk_status emk_cose_sign(const emk_crypto *c, const emk_signer *signer, const emk_cose_in *in,
                         emk_buf *out, uint8_t *hh, emk_error *e)
{
    uint8_t space[PROTECTED_MAX], sig[EMK_SIGN_LEN], hash[EMK_SHA256_LEN];
    emk_span protected_bytes, to_sign;
    emk_buf structure;
    emk_writer w;
    emk_status st;

    emk_writer_init(&w, space, sizeof space);
    put_protected(&w, in->type, signer->alg, signer->kid);
    protected_bytes = emk_writer_span(&w);
    st = make_sig_structure(protected_bytes, in->external_aad, in->payload, &structure, e);
    if (st != EMK_OK)
        return st;
    to_sign = emk_buf_span(&structure);
    st = emk_sha256(c, &to_sign, 1, hash, e);
    if (st == EMK_OK)
        st = signer->sign(signer->self, to_sign, sig, e);
    if (st == EMK_OK)
        st = append_signed(protected_bytes, in->payload, sig, out, e);
    if (st == EMK_OK && hh)
        memcpy(hh, hash, sizeof hash);
    emk_buf_done(&structure);
    return st;
}

static emk_status parse_protected(emk_span in, emk_cose *o, emk_error *e)
{
    emk_cbor_reader r;
    int64_t alg, key;
    emk_status st;

    emk_cbor_reader_init(&r, in);
    if (emk_cbor_enter_map(&r) != 3)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: protected header", 0);
    if (!emk_cbor_next_key(&r, &key) || key != LABEL_ALG)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: no alg", 0);
    alg = emk_cbor_read_int(&r);
    if (!emk_cbor_next_key(&r, &key) || key != LABEL_KID)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: no kid", 0);
    emk_cbor_read_fixed(&r, o->kid, sizeof o->kid);
    if (!emk_cbor_next_key(&r, &key) || key != LABEL_TYPE)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: no type", 0);
    if (emk_cbor_read_uint(&r) != (uint64_t)o->type)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: of another type", 0);
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st != EMK_OK)
        return st;
    if (alg != ALG_ED25519 && alg != ALG_ESP256)
        return emk_fail(e, EMK_E_SIGNATURE, "signed object: alg", (uint64_t)alg);
    o->alg = alg == ALG_ED25519 ? EMK_SIGN_ED25519 : EMK_SIGN_ES256;
    return EMK_OK;
}

emk_status emk_cose_parse(emk_span in, emk_cose_type want, emk_cose *out, emk_error *e)
{
    emk_cose o = {.type = want};
    emk_cbor_reader r;
    emk_status st;

    emk_cbor_reader_init(&r, in);
    emk_cbor_read_tag(&r, COSE_SIGN1);
    if (emk_cbor_enter_array(&r) != 4)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: not a COSE_Sign1", 0);
    o.protected_bytes = emk_cbor_read_bytes(&r);
    if (emk_cbor_enter_map(&r) != 0)
        emk_cbor_fail(&r, EMK_E_FORMAT, "signed object: unprotected header is not empty", 0);
    emk_cbor_leave(&r);
    o.payload = emk_cbor_read_bytes(&r);
    o.signature = emk_cbor_read_bytes(&r);
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st == EMK_OK)
        st = parse_protected(o.protected_bytes, &o, e);
    if (st != EMK_OK)
        return st;
    if (o.signature.len != EMK_SIGN_LEN)
        return emk_fail(e, EMK_E_FORMAT, "signed object: length of the signature", o.signature.len);
    *out = o;
    return EMK_OK;
}

emk_status emk_cose_verify(const emk_crypto *c, const emk_cose *o, emk_span external_aad,
                           const emk_verify_key *key, uint8_t *hh, emk_error *e)
{
    uint8_t kid[EMK_COSE_KID_LEN], hash[EMK_SHA256_LEN];
    emk_buf structure;
    emk_span to_sign;
    emk_status st;

    st = emk_cose_kid(c, emk_verify_key_public(key), kid, e);
    if (st != EMK_OK)
        return st;
    if (o->alg != emk_verify_key_alg(key) || memcmp(kid, o->kid, sizeof kid) != 0)
        return emk_fail(e, EMK_E_SIGNATURE, "signed object: not signed by the key trusted here", 0);
    st = make_sig_structure(o->protected_bytes, external_aad, o->payload, &structure, e);
    if (st != EMK_OK)
        return st;
    to_sign = emk_buf_span(&structure);
    st = emk_sign_verify(key, to_sign, o->signature, e);
    if (st == EMK_OK)
        st = emk_sha256(c, &to_sign, 1, hash, e);
    if (st == EMK_OK && hh)
        memcpy(hh, hash, sizeof hash);
    emk_buf_done(&structure);
    return st;
}
