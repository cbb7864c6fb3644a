#include "server/attest/tpm.h"

#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/crypto/rsa.h"

#define DER_SIG_MAX 110u /* bytes of a DER ECDSA signature on P-384 */

/* --- signatures ------------------------------------------------------------------------------ */

/* Any length up to the curve's; zeros in front do not count.  False for zero. */
static bool put_integer(emk_writer *w, emk_span v)
{
    bool sign;

    while (v.len > 0 && v.p[0] == 0)
        v = emk_span_of(v.p + 1, v.len - 1);
    if (v.len == 0)
        return false;
    sign = (v.p[0] & 0x80) != 0;
    emk_write_u8(w, 0x02);
    emk_write_u8(w, (uint8_t)(v.len + sign));
    if (sign)
        emk_write_u8(w, 0);
    emk_write_bytes(w, v);
    return true;
}

static emk_status verify_ecdsa(const emk_crypto *c, const emk_tpm_signed *s, emk_x509_key kind,
                               emk_error *e)
{
    uint8_t body[DER_SIG_MAX], der[DER_SIG_MAX];
    emk_x509_signed x = {EMK_X509_ALG_OTHER, s->msg, {der, 0}};
    emk_writer in, out;

    if (kind != EMK_X509_KEY_P256 && kind != EMK_X509_KEY_P384)
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: signature of another kind than the key", kind);
    if (s->sig->hash != EMK_TPM_ALG_SHA256 && s->sig->hash != EMK_TPM_ALG_SHA384)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm: ECDSA with this hash", s->sig->hash);
    x.alg =
        s->sig->hash == EMK_TPM_ALG_SHA256 ? EMK_X509_ALG_ECDSA_SHA256 : EMK_X509_ALG_ECDSA_SHA384;
    emk_writer_init(&in, body, sizeof body);
    if (!put_integer(&in, s->sig->r) || !put_integer(&in, s->sig->s) || in.full)
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: r or s", 0);
    emk_writer_init(&out, der, sizeof der);
    emk_write_u8(&out, 0x30);
    emk_write_u8(&out, (uint8_t)in.pos);
    emk_write_bytes(&out, emk_writer_span(&in));
    x.sig.len = out.pos;
    return emk_x509_check_signature(c, s->spki, &x, e);
}

static emk_rsa_scheme rsa_scheme(const emk_tpm_sig *sig)
{
    bool pss = sig->scheme == EMK_TPM_ALG_RSAPSS;

    switch (sig->hash) {
    case EMK_TPM_ALG_SHA1:
        return pss ? EMK_RSA_PSS_SHA1_LEGACY : EMK_RSA_PKCS1_SHA1_LEGACY;
    case EMK_TPM_ALG_SHA384:
        return pss ? EMK_RSA_PSS_SHA384_ANY_SALT : EMK_RSA_PKCS1_SHA384;
    case EMK_TPM_ALG_SHA512:
        return pss ? EMK_RSA_PSS_SHA512 : EMK_RSA_PKCS1_SHA512;
    default:
        return pss ? EMK_RSA_PSS_SHA256_ANY_SALT : EMK_RSA_PKCS1_SHA256;
    }
}

static emk_status verify_rsa(const emk_crypto *c, const emk_tpm_signed *s, emk_x509_key kind,
                             emk_error *e)
{
    emk_rsa_public *key = NULL;
    emk_status st;

    if (kind != EMK_X509_KEY_RSA)
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: signature of another kind than the key", kind);
    st = emk_rsa_public_from_spki(c, s->spki, &key, e);
    if (st == EMK_OK)
        st = emk_rsa_verify(key, rsa_scheme(s->sig), s->msg, s->sig->rsa, e);
    emk_rsa_public_free(key);
    return st;
}

emk_status emk_tpm_signature_verify(const emk_crypto *c, const emk_tpm_signed *s, emk_error *e)
{
    emk_x509_key kind;
    emk_span key;
    emk_status st;

    if (s->sig->hash == EMK_TPM_ALG_SHA1 && !s->lenience.sha1)
        return emk_fail(e, EMK_E_POLICY, "tpm: signed over SHA-1", 0);
    st = emk_x509_read_key(s->spki, &kind, &key, e);
    if (st != EMK_OK)
        return st;
    return s->sig->scheme == EMK_TPM_ALG_ECDSA ? verify_ecdsa(c, s, kind, e)
                                               : verify_rsa(c, s, kind, e);
}

/* --- attestation keys ------------------------------------------------------------------------ */

emk_status emk_tpm_ak_check(const emk_tpm_public *ak, emk_tpm_lenience lenience, emk_error *e)
{
    uint32_t must = EMK_TPM_KEY_MUST | EMK_TPM_RESTRICTED | EMK_TPM_SIGN;

    if ((ak->attributes & must) != must)
        return emk_fail(e, EMK_E_POLICY, "tpm: attestation key may leave or sign anything",
                        ak->attributes);
    if (ak->attributes & EMK_TPM_DECRYPT)
        return emk_fail(e, EMK_E_POLICY, "tpm: attestation key decrypts too", ak->attributes);
    if (ak->scheme == EMK_TPM_ALG_NULL)
        return emk_fail(e, EMK_E_POLICY, "tpm: attestation key has no scheme", 0);
    if (ak->scheme_hash == EMK_TPM_ALG_SHA1 && !lenience.sha1)
        return emk_fail(e, EMK_E_POLICY, "tpm: attestation key signs over SHA-1", 0);
    if (ak->name_alg == EMK_TPM_ALG_SHA1)
        return emk_fail(e, EMK_E_POLICY, "tpm: Name over SHA-1", 0);
    return EMK_OK;
}

/* Who must have signed: an AK's public area, or just its key. */
typedef struct signer {
    const emk_tpm_public *ak;
    emk_span spki;
    emk_tpm_lenience lenience;
} signer;

/* Also reads the signature: its hash is wanted later. */
static emk_status verify_signed(const emk_crypto *c, const signer *by, emk_span msg, emk_span sig,
                                emk_tpm_sig *out, emk_error *e)
{
    uint8_t room[EMK_TPM_SPKI_MAX];
    emk_tpm_signed s = {by->spki, out, msg, by->lenience};
    emk_status st;

    st = emk_tpm_sig_read(sig, out, e);
    if (st != EMK_OK || !by->ak)
        return st == EMK_OK ? emk_tpm_signature_verify(c, &s, e) : st;
    st = emk_tpm_ak_check(by->ak, by->lenience, e);
    if (st != EMK_OK)
        return st;
    if (out->scheme != by->ak->scheme || out->hash != by->ak->scheme_hash)
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: scheme is not the attestation key's",
                        out->scheme);
    s.spki.p = room;
    st = emk_tpm_public_spki(c, by->ak, room, &s.spki.len, e);
    return st == EMK_OK ? emk_tpm_signature_verify(c, &s, e) : st;
}

static emk_status check_nonce(emk_span nonce, emk_span extra, emk_tpm_lenience lenience,
                              emk_error *e)
{
    if (nonce.len > EMK_TPM_EXTRA_MAX || (nonce.len == 0 && !lenience.no_nonce))
        return emk_fail(e, EMK_E_USAGE, "tpm: expected nonce", nonce.len);
    if (extra.len != nonce.len || (nonce.len > 0 && !emk_ct_equal(extra.p, nonce.p, nonce.len)))
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: nonce mismatch", extra.len);
    return EMK_OK;
}

static emk_status read_as(emk_span attest, uint16_t type, emk_tpm_attest *out, emk_error *e)
{
    emk_status st = emk_tpm_attest_read(attest, out, e);

    if (st == EMK_OK && out->type != type)
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: attestation of another kind", out->type);
    return st;
}

/* --- quotes ---------------------------------------------------------------------------------- */

static bool same_selection(const emk_tpm_pcrs *a, const emk_tpm_pcrs *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->banks[i].hash != b->banks[i].hash || a->banks[i].pcrs != b->banks[i].pcrs)
            return false;
    return true;
}

/* Bytes of all PCRs selected; 0 when a bank's hash is not known. */
static size_t values_len(const emk_tpm_pcrs *pcrs)
{
    size_t len = 0;

    for (size_t i = 0; i < pcrs->n; i++) {
        emk_digest_alg alg;

        if (!emk_tpm_hash(pcrs->banks[i].hash, &alg))
            return 0;
        for (uint32_t bits = pcrs->banks[i].pcrs; bits; bits &= bits - 1)
            len += emk_digest_len(alg);
    }
    return len;
}

/* The digest is made with the signature's hash, whatever the bank's. */
static emk_status check_values(const emk_crypto *c, const emk_tpm_quote_in *in,
                               const emk_tpm_attest *a, uint16_t hash, emk_error *e)
{
    uint8_t digest[EMK_DIGEST_MAX];
    emk_digest_alg alg = EMK_DIGEST_SHA256;
    emk_status st;

    if (in->values.len != values_len(&in->selection))
        return emk_fail(e, EMK_E_FORMAT, "tpm: PCR values", in->values.len);
    if (!emk_tpm_hash(hash, &alg))
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm: hash algorithm", hash);
    st = emk_digest(c, alg, &in->values, 1, digest, e);
    if (st == EMK_OK && !emk_span_equal(a->pcr_digest, emk_span_of(digest, emk_digest_len(alg))))
        st = emk_fail(e, EMK_E_SIGNATURE, "tpm: PCR values are not the quoted ones", 0);
    return st;
}

emk_status emk_tpm_quote_verify(const emk_crypto *c, const emk_tpm_quote_in *in,
                                emk_tpm_attest *out, emk_error *e)
{
    const signer by = {in->ak, in->ak_spki, in->lenience};
    emk_tpm_attest a;
    emk_tpm_sig sig;
    emk_status st;

    if (in->selection.n == 0 || in->selection.n > EMK_TPM_BANKS_MAX ||
        values_len(&in->selection) == 0)
        return emk_fail(e, EMK_E_USAGE, "tpm: expected PCRs", in->selection.n);
    st = read_as(in->attest, EMK_TPM_ST_QUOTE, &a, e);
    if (st == EMK_OK)
        st = check_nonce(in->nonce, a.extra, in->lenience, e);
    if (st == EMK_OK && !same_selection(&a.selection, &in->selection))
        st = emk_fail(e, EMK_E_SIGNATURE, "tpm: quote of other PCRs", a.selection.n);
    if (st == EMK_OK)
        st = verify_signed(c, &by, in->attest, in->sig, &sig, e);
    if (st == EMK_OK)
        st = check_values(c, in, &a, sig.hash, e);
    if (st == EMK_OK && out)
        *out = a;
    return st;
}

/* --- keys ------------------------------------------------------------------------------------ */

/* The Name is worked out from the public area: what is certified is that key and no other. */
static emk_status check_name(const emk_crypto *c, const emk_tpm_public *key, emk_span name,
                             emk_error *e)
{
    emk_tpm_name want;
    emk_status st = emk_tpm_public_name(c, key, &want, e);

    if (st == EMK_OK && !emk_span_equal(name, emk_span_of(want.bytes, want.len)))
        st = emk_fail(e, EMK_E_SIGNATURE, "tpm: Name is not the key's", name.len);
    return st;
}

static emk_status check_attributes(const emk_tpm_public *key, uint32_t must, uint32_t must_not,
                                   emk_error *e)
{
    if ((key->attributes & must) != must)
        return emk_fail(e, EMK_E_POLICY, "tpm: key lacks an attribute", key->attributes);
    if (key->attributes & must_not)
        return emk_fail(e, EMK_E_POLICY, "tpm: key may do more than it must", key->attributes);
    return EMK_OK;
}

emk_status emk_tpm_certify_verify(const emk_crypto *c, const emk_tpm_certify_in *in,
                                  emk_tpm_public *key, emk_error *e)
{
    const signer by = {in->ak, in->ak_spki, in->lenience};
    emk_tpm_public found;
    emk_tpm_attest a;
    emk_tpm_sig sig;
    emk_status st;

    st = read_as(in->attest, EMK_TPM_ST_CERTIFY, &a, e);
    if (st == EMK_OK)
        st = check_nonce(in->nonce, a.extra, in->lenience, e);
    if (st == EMK_OK)
        st = emk_tpm_public_read(in->key, &found, e);
    if (st == EMK_OK)
        st = check_name(c, &found, a.name, e);
    if (st == EMK_OK)
        st = check_attributes(&found, in->must, in->must_not, e);
    if (st == EMK_OK)
        st = verify_signed(c, &by, in->attest, in->sig, &sig, e);
    if (st == EMK_OK && key)
        *key = found;
    return st;
}

emk_status emk_tpm_creation_verify(const emk_crypto *c, const emk_tpm_creation_in *in, emk_error *e)
{
    const signer by = {in->signer, {NULL, 0}, in->lenience};
    uint8_t hash[EMK_DIGEST_MAX];
    emk_digest_alg alg = EMK_DIGEST_SHA256;
    emk_tpm_public key;
    emk_tpm_attest a;
    emk_tpm_sig sig;
    emk_status st;

    if (!in->signer)
        return emk_fail(e, EMK_E_USAGE, "tpm: no signer", 0);
    st = read_as(in->attest, EMK_TPM_ST_CREATION, &a, e);
    if (st == EMK_OK)
        st = check_nonce(in->nonce, a.extra, in->lenience, e);
    if (st == EMK_OK)
        st = emk_tpm_public_read(in->key, &key, e);
    if (st == EMK_OK)
        st = check_name(c, &key, a.name, e);
    if (st == EMK_OK)
        st = verify_signed(c, &by, in->attest, in->sig, &sig, e);
    if (st == EMK_OK && !emk_tpm_hash(key.name_alg, &alg))
        st = emk_fail(e, EMK_E_UNSUPPORTED, "tpm: hash algorithm", key.name_alg);
    if (st == EMK_OK)
        st = emk_digest(c, alg, &in->creation_data, 1, hash, e);
    if (st == EMK_OK && !emk_span_equal(a.creation_hash, emk_span_of(hash, emk_digest_len(alg))))
        st = emk_fail(e, EMK_E_SIGNATURE, "tpm: creation data is another key's", 0);
    return st;
}
