#include "core/seal/certificate.h"

#include "core/codec/cbor.h"

#define CERTIFICATE_MAX 256u
#define DAY_S           86400u

/* Both kinds have one form; their types keep them apart. */
static emk_status make(const emk_crypto *c, const emk_signer *issuer, emk_cose_type type,
                       const emk_sealing_certificate *cert, emk_buf *out, emk_error *e)
{
    uint8_t space[CERTIFICATE_MAX];
    emk_cose_in in = {.type = type};
    emk_writer w;

    if (cert->not_before > cert->not_after)
        return emk_fail(e, EMK_E_USAGE, "certificate: empty period", cert->not_after);
    emk_writer_init(&w, space, sizeof space);
    emk_cbor_put_map(&w, 3);
    emk_cbor_put_uint(&w, 1);
    emk_cbor_put_bytes(&w, emk_span_of(cert->public_key, cert->public_len));
    emk_cbor_put_uint(&w, 2);
    emk_cbor_put_uint(&w, cert->not_before);
    emk_cbor_put_uint(&w, 3);
    emk_cbor_put_uint(&w, cert->not_after);
    in.payload = emk_writer_span(&w);
    return emk_cose_sign(c, issuer, &in, out, NULL, e);
}

emk_status emk_sealing_certificate_make(const emk_crypto *c, const emk_signer *issuer,
                                        const emk_sealing_certificate *cert, emk_buf *out,
                                        emk_error *e)
{
    return make(c, issuer, EMK_COSE_SEALING_CERTIFICATE, cert, out, e);
}

emk_status emk_issuer_certificate_make(const emk_crypto *c, const emk_signer *by,
                                       const emk_sealing_certificate *cert, emk_buf *out,
                                       emk_error *e)
{
    return make(c, by, EMK_COSE_ISSUER_CERTIFICATE, cert, out, e);
}

static emk_status parse_payload(emk_span payload, emk_sealing_certificate *out, emk_error *e)
{
    emk_sealing_certificate cert = {0};
    emk_span public_key;
    emk_cbor_reader r;
    int64_t key;
    emk_status st;

    emk_cbor_reader_init(&r, payload);
    if (emk_cbor_enter_map(&r) != 3)
        emk_cbor_fail(&r, EMK_E_FORMAT, "certificate: keys", 0);
    if (!emk_cbor_next_key(&r, &key) || key != 1)
        emk_cbor_fail(&r, EMK_E_FORMAT, "certificate: no public key", 0);
    public_key = emk_cbor_read_bytes(&r);
    if (!emk_cbor_next_key(&r, &key) || key != 2)
        emk_cbor_fail(&r, EMK_E_FORMAT, "certificate: no not_before", 0);
    cert.not_before = emk_cbor_read_uint(&r);
    if (!emk_cbor_next_key(&r, &key) || key != 3)
        emk_cbor_fail(&r, EMK_E_FORMAT, "certificate: no not_after", 0);
    cert.not_after = emk_cbor_read_uint(&r);
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st != EMK_OK)
        return st;
    if (public_key.len != 32 && public_key.len != 65)
        return emk_fail(e, EMK_E_FORMAT, "certificate: length of the key", public_key.len);
    memcpy(cert.public_key, public_key.p, public_key.len);
    cert.public_len = public_key.len;
    *out = cert;
    return EMK_OK;
}

static emk_status verify(const emk_crypto *c, emk_span in, emk_cose_type type,
                         const emk_verify_key *issuer, emk_sealing_certificate *out, emk_error *e)
{
    emk_span no_aad = {NULL, 0};
    emk_cose o;
    emk_status st;

    st = emk_cose_parse(in, type, &o, e);
    if (st == EMK_OK)
        st = emk_cose_verify(c, &o, no_aad, issuer, NULL, e);
    if (st == EMK_OK)
        st = parse_payload(o.payload, out, e);
    return st;
}

emk_status emk_sealing_certificate_verify(const emk_crypto *c, emk_span in,
                                          const emk_verify_key *issuer,
                                          emk_sealing_certificate *out, emk_error *e)
{
    return verify(c, in, EMK_COSE_SEALING_CERTIFICATE, issuer, out, e);
}

emk_status emk_issuer_certificate_verify(const emk_crypto *c, emk_span in, const emk_verify_key *by,
                                         uint64_t now, emk_sealing_certificate *out, emk_error *e)
{
    emk_sealing_certificate cert;
    emk_status st = verify(c, in, EMK_COSE_ISSUER_CERTIFICATE, by, &cert, e);

    if (st == EMK_OK && (now < cert.not_before || now > cert.not_after))
        st = emk_fail(e, EMK_E_POLICY, "issuer certificate: not to be learned now", now);
    if (st == EMK_OK)
        *out = cert;
    return st;
}

emk_status emk_signer_chain_verify(const emk_crypto *c, const emk_signer_chain *chain,
                                   emk_verify_key **out, emk_error *e)
{
    emk_sealing_certificate cert;
    emk_status st;

    if (chain->certificate.len == 0)
        return emk_cose_verify_key(c, emk_verify_key_public(chain->issuer), out, e);
    st = emk_sealing_certificate_verify(c, chain->certificate, chain->issuer, &cert, e);
    if (st != EMK_OK)
        return emk_fail(e, st == EMK_E_FORMAT ? EMK_E_SIGNATURE : st,
                        "signer: the sealing certificate is not the issuer's", 0);
    if (chain->now < cert.not_before || chain->now > cert.not_after)
        return emk_fail(e, EMK_E_SIGNATURE, "signer: the sealing certificate is not valid now",
                        chain->now);
    if (chain->created_day < cert.not_before / DAY_S || chain->created_day > cert.not_after / DAY_S)
        return emk_fail(e, EMK_E_SIGNATURE, "signer: sealed outside the certificate's period",
                        chain->created_day);
    return emk_cose_verify_key(c, emk_span_of(cert.public_key, cert.public_len), out, e);
}
