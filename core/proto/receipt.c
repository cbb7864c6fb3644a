#include "core/proto/receipt.h"

#include "core/proto/internal.h"

enum { TICKET_ID = 1, FILE_ID, OUTCOME, TIME, GUARD, SUMMARY };

emk_status emk_receipt_sign(const emk_crypto *c, const emk_signer *signer, const emk_receipt *in,
                            emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;

    if (in->guard > EMK_GUARD_LEVEL_MAX)
        return emk_fail(e, EMK_E_USAGE, "receipt: guard level", in->guard);
    if (in->summary.len > EMK_RECEIPT_SUMMARY_MAX)
        return emk_fail(e, EMK_E_USAGE, "receipt: length of the summary", in->summary.len);

    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 5u + (in->summary.len != 0));
    emk_proto_put_bytes(&w, TICKET_ID, emk_span_of(in->ticket_id, sizeof in->ticket_id));
    emk_proto_put_bytes(&w, FILE_ID, emk_span_of(in->file_id, sizeof in->file_id));
    emk_proto_put_uint(&w, OUTCOME, in->outcome);
    emk_proto_put_uint(&w, TIME, in->time);
    emk_proto_put_uint(&w, GUARD, in->guard);
    if (in->summary.len)
        emk_proto_put_bytes(&w, SUMMARY, in->summary);
    return emk_proto_sign(c, signer, EMK_COSE_RECEIPT, &w, out, e);
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_receipt *q = out;

    switch (key) {
    case TICKET_ID:
        emk_cbor_read_fixed(r, q->ticket_id, sizeof q->ticket_id);
        break;
    case FILE_ID:
        emk_cbor_read_fixed(r, q->file_id, sizeof q->file_id);
        break;
    case OUTCOME:
        q->outcome = emk_proto_read_small(r, EMK_RECEIPT_OUTCOME_MAX);
        break;
    case TIME:
        q->time = emk_cbor_read_uint(r);
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
    .must = EMK_PROTO_KEY(TICKET_ID) | EMK_PROTO_KEY(FILE_ID) | EMK_PROTO_KEY(OUTCOME) |
            EMK_PROTO_KEY(TIME) | EMK_PROTO_KEY(GUARD),
    .may = EMK_PROTO_KEY(SUMMARY),
    .read = read_value,
};

emk_status emk_receipt_verify(const emk_crypto *c, emk_span message, const emk_verify_key *device,
                              emk_receipt *out, emk_error *e)
{
    emk_receipt q = {0};
    emk_cose o;
    emk_status st;

    st = emk_proto_verify(c, message, EMK_COSE_RECEIPT, device, &o, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_read_map(o.payload, &map, &q, e);
    if (st != EMK_OK)
        return st;

    *out = q;
    return EMK_OK;
}
