#include "core/proto/internal.h"
#include "core/proto/lease.h"

enum { NONCE = 1, TICKET_ID, TICKET_HASH, DEVICE_ID, CREATED, FLOOR, GUARD, SUMMARY };

emk_status emk_lease_request_sign(const emk_crypto *c, const emk_signer *signer,
                                  const emk_lease_request *in, emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;

    if (in->guard > EMK_GUARD_LEVEL_MAX)
        return emk_fail(e, EMK_E_USAGE, "lease request: guard level", in->guard);
    if (in->summary.len > EMK_LEASE_SUMMARY_MAX)
        return emk_fail(e, EMK_E_USAGE, "lease request: length of the summary", in->summary.len);
    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 7u + (in->summary.len ? 1u : 0u));
    emk_proto_put_bytes(&w, NONCE, emk_span_of(in->nonce, sizeof in->nonce));
    emk_proto_put_bytes(&w, TICKET_ID, emk_span_of(in->ticket_id, sizeof in->ticket_id));
    emk_proto_put_bytes(&w, TICKET_HASH, emk_span_of(in->ticket_hash, sizeof in->ticket_hash));
    emk_proto_put_bytes(&w, DEVICE_ID, emk_span_of(in->device_id, sizeof in->device_id));
    emk_proto_put_uint(&w, CREATED, in->created);
    emk_proto_put_uint(&w, FLOOR, in->floor);
    emk_proto_put_uint(&w, GUARD, in->guard);
    if (in->summary.len)
        emk_proto_put_bytes(&w, SUMMARY, in->summary);
    return emk_proto_sign(c, signer, EMK_COSE_LEASE_REQUEST, &w, out, e);
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_lease_request *q = out;

    switch (key) {
    case NONCE:
        emk_cbor_read_fixed(r, q->nonce, sizeof q->nonce);
        break;
    case TICKET_ID:
        emk_cbor_read_fixed(r, q->ticket_id, sizeof q->ticket_id);
        break;
    case TICKET_HASH:
        emk_cbor_read_fixed(r, q->ticket_hash, sizeof q->ticket_hash);
        break;
    case DEVICE_ID:
        emk_cbor_read_fixed(r, q->device_id, sizeof q->device_id);
        break;
    case CREATED:
        q->created = emk_cbor_read_uint(r);
        break;
    case FLOOR:
        q->floor = emk_cbor_read_uint(r);
        break;
    case GUARD:
        q->guard = emk_proto_read_small(r, EMK_GUARD_LEVEL_MAX);
        break;
    case SUMMARY:
        emk_proto_read_summary(r, &q->summary);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(NONCE) | EMK_PROTO_KEY(TICKET_ID) | EMK_PROTO_KEY(TICKET_HASH) |
            EMK_PROTO_KEY(DEVICE_ID) | EMK_PROTO_KEY(CREATED) | EMK_PROTO_KEY(FLOOR) |
            EMK_PROTO_KEY(GUARD),
    .may = EMK_PROTO_KEY(SUMMARY),
    .read = read_value,
};

emk_status emk_lease_request_verify(const emk_crypto *c, emk_span message,
                                    const emk_verify_key *device, emk_lease_request *out,
                                    emk_error *e)
{
    emk_lease_request q = {.summary = {NULL, 0}};
    emk_cose o;
    emk_status st;

    st = emk_proto_verify(c, message, EMK_COSE_LEASE_REQUEST, device, &o, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_read_map(o.payload, &map, &q, e);
    if (st != EMK_OK)
        return st;

    *out = q;
    return EMK_OK;
}

emk_status emk_lease_request_check(const emk_lease_request *q, const emk_ticket *t, uint64_t now,
                                   emk_error *e)
{
    if (memcmp(q->ticket_id, t->id, EMK_ID_LEN) != 0 ||
        memcmp(q->ticket_hash, t->hash, EMK_HASH_LEN) != 0)
        return emk_fail(e, EMK_E_POLICY, "lease request: for another ticket", 0);
    if (memcmp(q->device_id, t->device_id, EMK_DEVICE_ID_LEN) != 0)
        return emk_fail(e, EMK_E_POLICY, "lease request: by another device", 0);
    if (!t->policy.lease_s)
        return emk_fail(e, EMK_E_POLICY, "lease request: this ticket needs no lease", 0);
    if (now >= t->policy.expires)
        return emk_fail(e, EMK_E_POLICY, "lease request: the policy is over", t->policy.expires);
    if (q->guard < t->policy.min_guard)
        return emk_fail(e, EMK_E_POLICY, "lease request: guard level is too low", q->guard);
    return EMK_OK;
}
