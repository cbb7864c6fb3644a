#include "core/proto/request.h"

#include "core/proto/internal.h"

enum { NONCE = 1, MODEL, USER, VERSION, USE, APP, REQUEST_KEY, CERTIFICATE, CREATED, SUMMARY };

static emk_status check(const emk_request *in, emk_error *e)
{
    const emk_span optional[] = {in->version, in->use, in->app};
    emk_status st;

    st = emk_proto_check_text(in->model, false, e);
    if (st == EMK_OK)
        st = emk_proto_check_text(in->user, false, e);
    for (size_t i = 0; st == EMK_OK && i < 3; i++)
        st = emk_proto_check_text(optional[i], true, e);
    if (st == EMK_OK)
        st = emk_proto_check_agree(&in->request_key, EMK_PROTO_KEY_OF_REQUEST, e);
    if (st == EMK_OK && in->summary.len > EMK_REQUEST_SUMMARY_MAX)
        return emk_fail(e, EMK_E_USAGE, "request: length of the summary", in->summary.len);
    return st;
}

emk_status emk_request_sign(const emk_crypto *c, const emk_signer *signer, const emk_request *in,
                            emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;
    emk_status st;

    st = check(in, e);
    if (st != EMK_OK)
        return st;

    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 6u + (in->version.len != 0) + (in->use.len != 0) + (in->app.len != 0) +
                             (in->summary.len != 0));
    emk_proto_put_bytes(&w, NONCE, emk_span_of(in->nonce, sizeof in->nonce));
    emk_proto_put_text(&w, MODEL, in->model);
    emk_proto_put_text(&w, USER, in->user);
    emk_proto_put_text(&w, VERSION, in->version);
    emk_proto_put_text(&w, USE, in->use);
    emk_proto_put_text(&w, APP, in->app);
    emk_proto_put_agree(&w, REQUEST_KEY, &in->request_key);
    emk_proto_put_bytes(&w, CERTIFICATE, in->certificate_message);
    emk_proto_put_uint(&w, CREATED, in->created);
    if (in->summary.len)
        emk_proto_put_bytes(&w, SUMMARY, in->summary);
    return emk_proto_sign(c, signer, EMK_COSE_REQUEST, &w, out, e);
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_request *q = out;

    switch (key) {
    case NONCE:
        emk_cbor_read_fixed(r, q->nonce, sizeof q->nonce);
        break;
    case MODEL:
        emk_proto_read_text(r, &q->model);
        break;
    case USER:
        emk_proto_read_text(r, &q->user);
        break;
    case VERSION:
        emk_proto_read_text(r, &q->version);
        break;
    case USE:
        emk_proto_read_text(r, &q->use);
        break;
    case APP:
        emk_proto_read_text(r, &q->app);
        break;
    case REQUEST_KEY:
        emk_proto_read_agree_key(r, EMK_PROTO_KEY_OF_REQUEST, &q->request_key);
        break;
    case CERTIFICATE:
        q->certificate_message = emk_cbor_read_bytes(r);
        break;
    case CREATED:
        q->created = emk_cbor_read_uint(r);
        break;
    case SUMMARY:
        emk_proto_read_summary(r, &q->summary);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(NONCE) | EMK_PROTO_KEY(MODEL) | EMK_PROTO_KEY(USER) |
            EMK_PROTO_KEY(REQUEST_KEY) | EMK_PROTO_KEY(CERTIFICATE) | EMK_PROTO_KEY(CREATED),
    .may =
        EMK_PROTO_KEY(VERSION) | EMK_PROTO_KEY(USE) | EMK_PROTO_KEY(APP) | EMK_PROTO_KEY(SUMMARY),
    .read = read_value,
};

static emk_status parse(emk_span message, emk_cose *o, emk_request *q, emk_error *e)
{
    emk_status st = emk_proto_parse(message, EMK_COSE_REQUEST, o, e);

    if (st != EMK_OK)
        return st;
    return emk_proto_read_map(o->payload, &map, q, e);
}

emk_status emk_request_parse(emk_span message, emk_request *out, emk_error *e)
{
    emk_request q = {0};
    emk_cose o;
    emk_status st;

    st = parse(message, &o, &q, e);
    if (st != EMK_OK)
        return st;
    *out = q;
    return EMK_OK;
}

static emk_status verify_by_device(const emk_crypto *c, const emk_cose *o, emk_span signing_key,
                                   const emk_certificate_memory *m, emk_error *e)
{
    const emk_verify_key *key = NULL;
    void *loan = NULL;
    emk_status st;

    if (!m)
        return emk_proto_verify_by(c, o, signing_key, e);
    st = m->lend(m->self, signing_key, &key, &loan, e);
    if (st != EMK_OK)
        return st;
    st = emk_cose_verify(c, o, emk_span_of(NULL, 0), key, NULL, e);
    m->give(m->self, loan);
    return st;
}

emk_status emk_request_check(const emk_crypto *c, emk_span message,
                             const emk_certificate_check *check, emk_request *out, emk_error *e)
{
    emk_request q = {0};
    emk_cose o;
    emk_status st;

    st = parse(message, &o, &q, e);
    if (st != EMK_OK)
        return st;
    st = emk_device_certificate_check(c, q.certificate_message, check, &q.certificate, e);
    if (st != EMK_OK)
        return st;
    st = verify_by_device(c, &o, q.certificate.signing_key, check->memory, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_check_point(c, &q.request_key, e);
    if (st != EMK_OK)
        return st;
    st = emk_message_hash(c, message, q.hash, e);
    if (st != EMK_OK)
        return st;

    *out = q;
    return EMK_OK;
}

emk_status emk_request_verify(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                              uint64_t now, emk_request *out, emk_error *e)
{
    const emk_certificate_check check = {issuer, now, NULL};

    return emk_request_check(c, message, &check, out, e);
}
