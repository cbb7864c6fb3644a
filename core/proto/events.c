#include "core/proto/events.h"

#include "core/proto/internal.h"

enum { DEVICE_ID = 1, FIRST, LAST, PREVIOUS, TIME, EVENTS };
enum { E_TYPE = 1, E_TIME, E_TICKET, E_CODE, E_DETAIL };

/* ---- writing ---- */

static emk_status check_event(const emk_event *v, emk_error *e)
{
    if (v->type == 0)
        return emk_fail(e, EMK_E_USAGE, "events: type", v->type);
    if (v->detail.len > EMK_EVENT_DETAIL_MAX)
        return emk_fail(e, EMK_E_USAGE, "events: detail", v->detail.len);
    return EMK_OK;
}

static emk_status check(const emk_events *in, emk_error *e)
{
    emk_status st = EMK_OK;

    if (in->n == 0 || in->n > EMK_EVENTS_MAX)
        return emk_fail(e, EMK_E_USAGE, "events: how many", in->n);
    if (in->first == 0 || in->first > EMK_EVENT_NUMBER_MAX)
        return emk_fail(e, EMK_E_USAGE, "events: number of the first", in->first);
    for (size_t i = 0; st == EMK_OK && i < in->n; i++)
        st = check_event(&in->events[i], e);
    return st;
}

static void put_event(emk_writer *w, const emk_event *v)
{
    emk_cbor_put_map(w, 2u + v->has_ticket + (v->code != 0) + (v->detail.len != 0));
    emk_proto_put_uint(w, E_TYPE, v->type);
    emk_proto_put_uint(w, E_TIME, v->time);
    if (v->has_ticket)
        emk_proto_put_bytes(w, E_TICKET, emk_span_of(v->ticket_id, sizeof v->ticket_id));
    if (v->code)
        emk_proto_put_uint(w, E_CODE, v->code);
    if (v->detail.len)
        emk_proto_put_bytes(w, E_DETAIL, v->detail);
}

emk_status emk_events_sign(const emk_crypto *c, const emk_signer *signer, const emk_events *in,
                           emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;
    emk_status st = check(in, e);

    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 6);
    emk_proto_put_bytes(&w, DEVICE_ID, emk_span_of(in->device_id, sizeof in->device_id));
    emk_proto_put_uint(&w, FIRST, in->first);
    emk_proto_put_uint(&w, LAST, in->first + in->n - 1);
    emk_proto_put_bytes(&w, PREVIOUS, emk_span_of(in->previous, sizeof in->previous));
    emk_proto_put_uint(&w, TIME, in->time);
    emk_cbor_put_int(&w, EVENTS);
    emk_cbor_put_array(&w, in->n);
    for (size_t i = 0; i < in->n; i++)
        put_event(&w, &in->events[i]);
    return emk_proto_sign(c, signer, EMK_COSE_EVENTS, &w, out, e);
}

/* ---- reading ---- */

typedef struct reading {
    emk_events *out;
    uint64_t last;
} reading;

static void read_detail(emk_cbor_reader *r, emk_event *v)
{
    v->detail = emk_cbor_read_bytes(r);
    if (v->detail.len == 0 || v->detail.len > EMK_EVENT_DETAIL_MAX)
        emk_cbor_fail(r, EMK_E_FORMAT, "events: detail", v->detail.len);
}

static void read_code(emk_cbor_reader *r, emk_event *v)
{
    uint64_t code = emk_cbor_read_uint(r);

    if (code == 0 || code > EMK_EVENT_CODE_MAX)
        emk_cbor_fail(r, EMK_E_FORMAT, "events: code", code);
    v->code = (uint32_t)code;
}

static void read_field(emk_cbor_reader *r, int64_t key, emk_event *v)
{
    switch (key) {
    case E_TYPE:
        v->type = emk_proto_read_small(r, EMK_EVENT_TYPE_MAX);
        break;
    case E_TIME:
        v->time = emk_cbor_read_uint(r);
        break;
    case E_TICKET:
        emk_cbor_read_fixed(r, v->ticket_id, sizeof v->ticket_id);
        v->has_ticket = true;
        break;
    case E_CODE:
        read_code(r, v);
        break;
    case E_DETAIL:
        read_detail(r, v);
        break;
    default:
        emk_cbor_fail(r, EMK_E_FORMAT, "events: unknown key", (uint64_t)key);
        break;
    }
}

static void read_event(emk_cbor_reader *r, emk_event *v)
{
    bool has_time = false;
    int64_t key;

    emk_cbor_enter_map(r);
    while (emk_cbor_next_key(r, &key)) {
        has_time = has_time || key == E_TIME;
        read_field(r, key, v);
    }
    emk_cbor_leave(r);
    if (v->type == 0 || !has_time)
        emk_cbor_fail(r, EMK_E_FORMAT, "events: type or time is missing", v->type);
}

static void read_list(emk_cbor_reader *r, emk_events *out)
{
    size_t n = emk_cbor_enter_array(r);

    if (n == 0 || n > EMK_EVENTS_MAX) {
        emk_cbor_fail(r, EMK_E_FORMAT, "events: how many", n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        read_event(r, &out->events[i]);
    emk_cbor_leave(r);
    out->n = n;
}

static void read_value(emk_cbor_reader *r, int64_t key, void *to)
{
    reading *in = to;

    switch (key) {
    case DEVICE_ID:
        emk_cbor_read_fixed(r, in->out->device_id, sizeof in->out->device_id);
        break;
    case FIRST:
        in->out->first = emk_cbor_read_uint(r);
        break;
    case LAST:
        in->last = emk_cbor_read_uint(r);
        break;
    case PREVIOUS:
        emk_cbor_read_fixed(r, in->out->previous, sizeof in->out->previous);
        break;
    case TIME:
        in->out->time = emk_cbor_read_uint(r);
        break;
    case EVENTS:
        read_list(r, in->out);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(DEVICE_ID) | EMK_PROTO_KEY(FIRST) | EMK_PROTO_KEY(LAST) |
            EMK_PROTO_KEY(PREVIOUS) | EMK_PROTO_KEY(TIME) | EMK_PROTO_KEY(EVENTS),
    .read = read_value,
};

emk_status emk_events_verify(const emk_crypto *c, emk_span message, const emk_verify_key *device,
                             emk_events *out, emk_error *e)
{
    emk_events v = {.first = 0};
    reading in = {.out = &v};
    emk_cose o;
    emk_status st;

    st = emk_proto_verify(c, message, EMK_COSE_EVENTS, device, &o, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_read_map(o.payload, &map, &in, e);
    if (st != EMK_OK)
        return st;
    if (v.first == 0 || v.first > EMK_EVENT_NUMBER_MAX || in.last != v.first + v.n - 1)
        return emk_fail(e, EMK_E_FORMAT, "events: numbers", v.first);
    st = emk_message_hash(c, message, v.hash, e);
    if (st == EMK_OK)
        *out = v;
    return st;
}
