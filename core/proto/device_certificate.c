#include "core/proto/device_certificate.h"

#include "core/crypto/hash.h"
#include "core/proto/internal.h"

enum {
    DEVICE_ID = 1,
    SIGNING_KEY,
    AGREE_KEY,
    ATTESTATION_KIND,
    ATTESTATION_LEVEL,
    ISSUED,
    NOT_AFTER
};

emk_status emk_device_certificate_sign(const emk_crypto *c, const emk_signer *signer,
                                       const emk_device_certificate *in, emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    emk_writer w;
    emk_status st;

    if (in->attestation_kind > EMK_ATTESTATION_KIND_MAX)
        return emk_fail(e, EMK_E_USAGE, "certificate: attestation kind", in->attestation_kind);
    if (in->attestation_level > EMK_ATTESTATION_LEVEL_MAX)
        return emk_fail(e, EMK_E_USAGE, "certificate: attestation level", in->attestation_level);
    st = emk_device_id(c, in->signing_key, &in->agree, device_id, e);
    if (st != EMK_OK)
        return st;

    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 7);
    emk_proto_put_bytes(&w, DEVICE_ID, emk_span_of(device_id, sizeof device_id));
    emk_proto_put_bytes(&w, SIGNING_KEY, in->signing_key);
    emk_proto_put_agree(&w, AGREE_KEY, &in->agree);
    emk_proto_put_uint(&w, ATTESTATION_KIND, in->attestation_kind);
    emk_proto_put_uint(&w, ATTESTATION_LEVEL, in->attestation_level);
    emk_proto_put_uint(&w, ISSUED, in->issued);
    emk_proto_put_uint(&w, NOT_AFTER, in->not_after);
    return emk_proto_sign(c, signer, EMK_COSE_DEVICE_CERTIFICATE, &w, out, e);
}

static void read_attestation_kind(emk_cbor_reader *r, emk_device_certificate *d)
{
    uint64_t kind = emk_cbor_read_uint(r);

    if (kind > EMK_ATTESTATION_KIND_MAX)
        emk_cbor_fail(r, EMK_E_UNSUPPORTED, "certificate: attestation kind", kind);
    d->attestation_kind = (uint8_t)kind;
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_device_certificate *d = out;

    switch (key) {
    case DEVICE_ID:
        emk_cbor_read_fixed(r, d->device_id, sizeof d->device_id);
        break;
    case SIGNING_KEY:
        emk_proto_read_sign_key(r, &d->signing_key);
        break;
    case AGREE_KEY:
        emk_proto_read_agree_key(r, EMK_PROTO_KEY_OF_DEVICE, &d->agree);
        break;
    case ATTESTATION_KIND:
        read_attestation_kind(r, d);
        break;
    case ATTESTATION_LEVEL:
        d->attestation_level = emk_proto_read_small(r, EMK_ATTESTATION_LEVEL_MAX);
        break;
    case ISSUED:
        d->issued = emk_cbor_read_uint(r);
        break;
    case NOT_AFTER:
        d->not_after = emk_cbor_read_uint(r);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(DEVICE_ID) | EMK_PROTO_KEY(SIGNING_KEY) | EMK_PROTO_KEY(AGREE_KEY) |
            EMK_PROTO_KEY(ATTESTATION_KIND) | EMK_PROTO_KEY(ATTESTATION_LEVEL) |
            EMK_PROTO_KEY(ISSUED) | EMK_PROTO_KEY(NOT_AFTER),
    .read = read_value,
};

emk_status emk_device_certificate_read(emk_span payload, emk_device_certificate *out, emk_error *e)
{
    emk_device_certificate d = {0};
    emk_status st = emk_proto_read_map(payload, &map, &d, e);

    if (st == EMK_OK)
        *out = d;
    return st;
}

static emk_status name_it(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                          uint8_t name[EMK_HASH_LEN], emk_error *e)
{
    static const char label[] = "earmark/1 known certificate"; /* with its zero */
    emk_span key = emk_verify_key_public(issuer);
    uint8_t alg = (uint8_t)emk_verify_key_alg(issuer); /* and with it the key's length */
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(&alg, 1), key, message};

    return emk_sha256(c, parts, sizeof parts / sizeof parts[0], name, e);
}

static emk_status parse_signed(const emk_crypto *c, emk_span message,
                               const emk_certificate_check *check, emk_cose *o, emk_error *e)
{
    const emk_certificate_memory *m = check->memory;
    uint8_t name[EMK_HASH_LEN];
    emk_status st = EMK_OK;

    if (!m)
        return emk_proto_verify(c, message, EMK_COSE_DEVICE_CERTIFICATE, check->issuer, o, e);
    st = name_it(c, message, check->issuer, name, e);
    if (st != EMK_OK)
        return st;
    if (m->has(m->self, name))
        return emk_proto_parse(message, EMK_COSE_DEVICE_CERTIFICATE, o, e);
    st = emk_proto_verify(c, message, EMK_COSE_DEVICE_CERTIFICATE, check->issuer, o, e);
    if (st == EMK_OK)
        m->keep(m->self, name);
    return st;
}

emk_status emk_device_certificate_check(const emk_crypto *c, emk_span message,
                                        const emk_certificate_check *check,
                                        emk_device_certificate *out, emk_error *e)
{
    emk_device_certificate d = {0};
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    emk_cose o;
    emk_status st;

    st = parse_signed(c, message, check, &o, e);
    if (st != EMK_OK)
        return st;
    st = emk_device_certificate_read(o.payload, &d, e);
    if (st != EMK_OK)
        return st;
    st = emk_device_id(c, d.signing_key, &d.agree, device_id, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(device_id, d.device_id, sizeof device_id) != 0)
        return emk_fail(e, EMK_E_FORMAT, "certificate: device id is not that of the keys", 0);
    if (check->now >= d.not_after)
        return emk_fail(e, EMK_E_POLICY, "certificate: expired", d.not_after);

    *out = d;
    return EMK_OK;
}

emk_status emk_device_certificate_verify(const emk_crypto *c, emk_span message,
                                         const emk_verify_key *issuer, uint64_t now,
                                         emk_device_certificate *out, emk_error *e)
{
    const emk_certificate_check check = {issuer, now, NULL};

    return emk_device_certificate_check(c, message, &check, out, e);
}
