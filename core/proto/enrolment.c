#include "core/proto/enrolment.h"

#include "core/proto/internal.h"

enum { SIGNING_KEY = 1, AGREE_KEY, PLATFORM, CREATED };

emk_status emk_enrolment_sign(const emk_crypto *c, const emk_signer *signer,
                              const emk_enrolment *in, emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;
    emk_status st;

    if (!emk_span_equal(in->signing_key, emk_span_of(signer->public_key, signer->public_len)))
        return emk_fail(e, EMK_E_USAGE, "enrolment: signed by another key", 0);
    st = emk_proto_check_sign_key(in->signing_key, e);
    if (st == EMK_OK)
        st = emk_proto_check_agree(&in->agree, EMK_PROTO_KEY_OF_DEVICE, e);
    if (st == EMK_OK)
        st = emk_proto_check_text(in->platform, false, e);
    if (st != EMK_OK)
        return st;

    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 4);
    emk_proto_put_bytes(&w, SIGNING_KEY, in->signing_key);
    emk_proto_put_agree(&w, AGREE_KEY, &in->agree);
    emk_proto_put_text(&w, PLATFORM, in->platform);
    emk_proto_put_uint(&w, CREATED, in->created);
    return emk_proto_sign(c, signer, EMK_COSE_ENROLMENT, &w, out, e);
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_enrolment *d = out;

    switch (key) {
    case SIGNING_KEY:
        emk_proto_read_sign_key(r, &d->signing_key);
        break;
    case AGREE_KEY:
        emk_proto_read_agree_key(r, EMK_PROTO_KEY_OF_DEVICE, &d->agree);
        break;
    case PLATFORM:
        emk_proto_read_text(r, &d->platform);
        break;
    case CREATED:
        d->created = emk_cbor_read_uint(r);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(SIGNING_KEY) | EMK_PROTO_KEY(AGREE_KEY) | EMK_PROTO_KEY(PLATFORM) |
            EMK_PROTO_KEY(CREATED),
    .read = read_value,
};

emk_status emk_enrolment_verify(const emk_crypto *c, emk_span message, emk_enrolment *out,
                                emk_error *e)
{
    emk_enrolment d = {0};
    emk_cose o;
    emk_status st;

    st = emk_proto_parse(message, EMK_COSE_ENROLMENT, &o, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_read_map(o.payload, &map, &d, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_verify_by(c, &o, d.signing_key, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_check_point(c, &d.agree, e);
    if (st != EMK_OK)
        return st;
    st = emk_device_id(c, d.signing_key, &d.agree, d.device_id, e);
    if (st != EMK_OK)
        return st;

    *out = d;
    return EMK_OK;
}
