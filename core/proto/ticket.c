#include "core/proto/ticket.h"

#include "core/proto/internal.h"

enum {
    ID = 1,
    DEVICE_ID,
    DEVICE_KEY,
    REQUEST_KEY,
    POLICY,
    IDENTITY,
    REQUEST_HASH,
    ISSUED,
    EXPIRES,
    LEASE_KEY,
    LEASE_EPOCH
};

void emk_ticket_answer(const emk_request *request, emk_ticket *out)
{
    emk_ticket t = {
        .device_key = request->certificate.agree,
        .request_key = request->request_key,
        .identity = {.model = request->model,
                     .version = request->version,
                     .use = request->use,
                     .app = request->app,
                     .user = request->user},
    };

    memcpy(t.device_id, request->certificate.device_id, sizeof t.device_id);
    memcpy(t.identity.device, request->certificate.device_id, sizeof t.identity.device);
    memcpy(t.request_hash, request->hash, sizeof t.request_hash);
    *out = t;
}

static emk_status check(const emk_ticket *in, emk_error *e)
{
    emk_status st;

    if (in->expires <= in->issued)
        return emk_fail(e, EMK_E_USAGE, "ticket: expires before it is issued", in->expires);
    if (memcmp(in->identity.device, in->device_id, sizeof in->device_id) != 0)
        return emk_fail(e, EMK_E_USAGE, "ticket: identity names another device", 0);
    if (in->lease_key.len != (in->policy.lease_s ? EMK_LEASE_KEY_LEN : 0) ||
        (in->policy.lease_s != 0) != (in->lease_epoch != 0))
        return emk_fail(e, EMK_E_USAGE, "ticket: lease and lease key", in->lease_key.len);
    st = emk_proto_check_agree(&in->device_key, EMK_PROTO_KEY_OF_DEVICE, e);
    if (st != EMK_OK)
        return st;
    return emk_proto_check_agree(&in->request_key, EMK_PROTO_KEY_OF_REQUEST, e);
}

static emk_status sign_with(const emk_crypto *c, const emk_signer *signer, const emk_ticket *in,
                            emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;

    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, in->lease_key.len ? 11 : 9);
    emk_proto_put_bytes(&w, ID, emk_span_of(in->id, sizeof in->id));
    emk_proto_put_bytes(&w, DEVICE_ID, emk_span_of(in->device_id, sizeof in->device_id));
    emk_proto_put_agree(&w, DEVICE_KEY, &in->device_key);
    emk_proto_put_agree(&w, REQUEST_KEY, &in->request_key);
    emk_proto_put_bytes(&w, POLICY, in->policy_bytes);
    emk_proto_put_bytes(&w, IDENTITY, in->identity_bytes);
    emk_proto_put_bytes(&w, REQUEST_HASH, emk_span_of(in->request_hash, sizeof in->request_hash));
    emk_proto_put_uint(&w, ISSUED, in->issued);
    emk_proto_put_uint(&w, EXPIRES, in->expires);
    if (in->lease_key.len) {
        emk_proto_put_bytes(&w, LEASE_KEY, in->lease_key);
        emk_proto_put_uint(&w, LEASE_EPOCH, in->lease_epoch);
    }
    return emk_proto_sign(c, signer, EMK_COSE_TICKET, &w, out, e);
}

emk_status emk_ticket_sign(const emk_crypto *c, const emk_signer *signer, const emk_ticket *in,
                           emk_buf *out, emk_error *e)
{
    emk_ticket t = *in;
    emk_buf policy, identity;
    emk_status st;

    emk_buf_init(&policy, EMK_POLICY_MAX);
    emk_buf_init(&identity, EMK_IDENTITY_MAX);
    st = check(in, e);
    if (st == EMK_OK)
        st = emk_policy_encode(&in->policy, &policy, e);
    if (st == EMK_OK)
        st = emk_identity_encode(&in->identity, &identity, e);
    if (st == EMK_OK) {
        t.policy_bytes = emk_buf_span(&policy);
        t.identity_bytes = emk_buf_span(&identity);
        st = sign_with(c, signer, &t, out, e);
    }
    emk_buf_done(&identity);
    emk_buf_done(&policy);
    return st;
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_ticket *t = out;

    switch (key) {
    case ID:
        emk_cbor_read_fixed(r, t->id, sizeof t->id);
        break;
    case DEVICE_ID:
        emk_cbor_read_fixed(r, t->device_id, sizeof t->device_id);
        break;
    case DEVICE_KEY:
        emk_proto_read_agree_key(r, EMK_PROTO_KEY_OF_DEVICE, &t->device_key);
        break;
    case REQUEST_KEY:
        emk_proto_read_agree_key(r, EMK_PROTO_KEY_OF_REQUEST, &t->request_key);
        break;
    case POLICY:
        t->policy_bytes = emk_cbor_read_bytes(r);
        break;
    case IDENTITY:
        t->identity_bytes = emk_cbor_read_bytes(r);
        break;
    case REQUEST_HASH:
        emk_cbor_read_fixed(r, t->request_hash, sizeof t->request_hash);
        break;
    case ISSUED:
        t->issued = emk_cbor_read_uint(r);
        break;
    case EXPIRES:
        t->expires = emk_cbor_read_uint(r);
        break;
    case LEASE_KEY:
        t->lease_key = emk_cbor_read_bytes(r);
        if (t->lease_key.len != EMK_LEASE_KEY_LEN)
            emk_cbor_fail(r, EMK_E_FORMAT, "ticket: lease key", t->lease_key.len);
        break;
    case LEASE_EPOCH:
        t->lease_epoch = emk_cbor_read_uint(r);
        if (t->lease_epoch == 0)
            emk_cbor_fail(r, EMK_E_FORMAT, "ticket: lease epoch", 0);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(ID) | EMK_PROTO_KEY(DEVICE_ID) | EMK_PROTO_KEY(DEVICE_KEY) |
            EMK_PROTO_KEY(REQUEST_KEY) | EMK_PROTO_KEY(POLICY) | EMK_PROTO_KEY(IDENTITY) |
            EMK_PROTO_KEY(REQUEST_HASH) | EMK_PROTO_KEY(ISSUED) | EMK_PROTO_KEY(EXPIRES),
    .may = EMK_PROTO_KEY(LEASE_KEY) | EMK_PROTO_KEY(LEASE_EPOCH),
    .read = read_value,
};

/* The maps inside, and what must agree with one another. */
static emk_status read_inner(emk_ticket *t, emk_error *e)
{
    emk_status st;

    st = emk_policy_decode(t->policy_bytes, &t->policy, e);
    if (st != EMK_OK)
        return st;
    st = emk_identity_decode(t->identity_bytes, &t->identity, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(t->identity.device, t->device_id, sizeof t->device_id) != 0)
        return emk_fail(e, EMK_E_FORMAT, "ticket: identity names another device", 0);
    if ((t->lease_key.len != 0) != (t->lease_epoch != 0))
        return emk_fail(e, EMK_E_FORMAT, "ticket: lease key and epoch", t->lease_epoch);
    if (t->lease_key.len && !t->policy.lease_s)
        return emk_fail(e, EMK_E_FORMAT, "ticket: a lease key without a lease", 0);
    if (t->expires <= t->issued)
        return emk_fail(e, EMK_E_FORMAT, "ticket: expires before it is issued", t->expires);
    return EMK_OK;
}

emk_status emk_ticket_read(emk_span payload, emk_ticket *out, emk_error *e)
{
    emk_ticket t = {0};
    emk_status st = emk_proto_read_map(payload, &map, &t, e);

    if (st == EMK_OK)
        st = read_inner(&t, e);
    if (st == EMK_OK)
        *out = t;
    return st;
}

static emk_status read_payload(const emk_crypto *c, emk_span message, const emk_cose *o,
                               emk_ticket *out, emk_error *e)
{
    emk_ticket t;
    emk_status st = emk_ticket_read(o->payload, &t, e);

    if (st == EMK_OK)
        st = emk_message_hash(c, message, t.hash, e);
    if (st == EMK_OK)
        *out = t;
    return st;
}

emk_status emk_ticket_parse(const emk_crypto *c, emk_span message, emk_ticket *out, emk_error *e)
{
    emk_cose o;
    emk_status st = emk_proto_parse(message, EMK_COSE_TICKET, &o, e);

    return st == EMK_OK ? read_payload(c, message, &o, out, e) : st;
}

emk_status emk_ticket_verify(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                             uint64_t now, emk_ticket *out, emk_error *e)
{
    emk_ticket t;
    emk_cose o;
    emk_status st;

    st = emk_proto_verify(c, message, EMK_COSE_TICKET, issuer, &o, e);
    if (st != EMK_OK)
        return st;
    st = read_payload(c, message, &o, &t, e);
    if (st != EMK_OK)
        return st;
    if (now >= t.expires)
        return emk_fail(e, EMK_E_POLICY, "ticket: expired", t.expires);

    *out = t;
    return EMK_OK;
}
