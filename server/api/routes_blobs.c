/* GET /v1/blobs/{id}: a sealed model, for whoever has its URL.  The id is 32 random bytes; what it
 * gives is for one process on one device.
 *
 * A device may sign the request: then another's is refused, and told of by the name that it proved.
 * A request without a signature says of nobody who he is.  One from another network than the
 * ticket's, after the model was delivered whole, is told of with its network alone: most likely the
 * URL got to somebody, and perhaps the device is on its way. */
#include "server/api/api.h"
#include "server/api/decide.h"
#include "server/api/directory.h"
#include "server/api/problem.h"
#include "server/api/range.h"
#include "server/api/sealing.h"
#include "server/api/signals.h"

#include "core/base/alloc.h"
#include "core/crypto/hash.h"

#include <string.h>

typedef struct open_blob {
    const emk_blobs *blobs;
    emk_blob blob;
} open_blob;

/* Lives as long as the answer, which may be long after the blob was removed. */
static void close_open(void *self)
{
    open_blob *o = self;

    emk_blob_close(o->blobs, &o->blob);
    emk_free(o);
}

static emk_status add_range(emk_call *call, const emk_range *r, uint64_t size, emk_error *e)
{
    const char *text =
        r->result == EMK_RANGE_NONE_THERE
            ? emk_arena_format(&call->arena, "bytes */%llu", (unsigned long long)size)
            : emk_arena_format(&call->arena, "bytes %llu-%llu/%llu", (unsigned long long)r->from,
                               (unsigned long long)(r->from + r->len - 1),
                               (unsigned long long)size);

    if (!text)
        return emk_fail(e, EMK_E_NO_MEMORY, "blob: memory", 0);
    return emk_reply_field(call, "content-range", emk_span_str(text), e);
}

static emk_status add_fields(emk_call *call, emk_span etag, emk_error *e)
{
    emk_status st = emk_reply_field(call, "etag", etag, e);

    if (st == EMK_OK)
        st = emk_reply_field(call, "accept-ranges", emk_span_str("bytes"), e);
    return st;
}

/* What was asked for. */
typedef struct asked {
    uint8_t id[EMK_BLOB_ID_LEN];
    emk_blob_entity b;
} asked;

#define BEGUN "earmark/1 download"
#define WHOLE "earmark/1 delivered"

/* Names what became of the download of this blob for this ticket by this device. */
static emk_status name_download(const emk_call *call, const char *what, const asked *a,
                                uint8_t name[EMK_KNOWN_NAME_LEN], emk_error *e)
{
    const emk_blob_entity *b = &a->b;
    emk_span parts[] = {emk_span_of(what, strlen(what) + 1), emk_span_of(a->id, EMK_BLOB_ID_LEN),
                        emk_span_of(b->ticket, sizeof b->ticket),
                        emk_span_of(b->device, sizeof b->device)};

    return emk_sha256(call->api->crypto, parts, sizeof parts / sizeof parts[0], name, e);
}

/* Remembers that the last byte went out. */
typedef struct delivery {
    emk_known *known;
    uint8_t name[EMK_KNOWN_NAME_LEN];
} delivery;

static void note_delivery(void *self, bool whole)
{
    const delivery *d = self;

    if (whole)
        emk_known_keep(d->known, d->name);
}

static void watch_delivery(emk_call *call, const asked *a)
{
    delivery *d = emk_arena_take(&call->arena, sizeof *d);
    emk_error ignored;

    if (!d || name_download(call, WHOLE, a, d->name, &ignored) != EMK_OK)
        return; /* then a stray request later on is not told from an early one */
    d->known = emk_gate_known(call->api->gate);
    call->response.sent = note_delivery;
    call->response.sent_self = d;
}

/* Takes o. */
static emk_status answer(emk_call *call, const asked *a, open_blob *o, const emk_range *r,
                         emk_error *e)
{
    uint64_t size = o->blob.info.len;
    bool part = r->result == EMK_RANGE_PART;
    emk_http_source source = {.fd = o->blob.fd,
                              .from = o->blob.offset + (part ? r->from : 0),
                              .length = part ? r->len : size,
                              .done = close_open,
                              .self = o};

    if (o->blob.fd < 0) {
        close_open(o);
        return emk_fail(e, EMK_E_UNSUPPORTED, "blob: a store without files", 0);
    }
    if (call->method == EMK_HTTP_GET && (!part || r->from + r->len == size))
        watch_delivery(call, a);
    emk_reply_source(call, part ? 206 : 200, "application/octet-stream", &source);
    return part ? add_range(call, r, size, e) : EMK_OK;
}

static emk_status answer_range(emk_call *call, const asked *a, open_blob *o, const char *etag,
                               emk_error *e)
{
    emk_range r = {.result = EMK_RANGE_ALL};
    emk_span kept;
    emk_status st = emk_arena_copy(&call->arena, emk_span_str(etag), &kept, e);

    if (call->method == EMK_HTTP_GET)
        emk_range_read(&call->request, kept, o->blob.info.len, &r);
    if (st == EMK_OK)
        st = add_fields(call, kept, e);
    if (st == EMK_OK && r.result == EMK_RANGE_NONE_THERE) {
        st = add_range(call, &r, o->blob.info.len, e);
        close_open(o);
        emk_problem_set(call, EMK_API_BAD_RANGE, NULL);
        return st;
    }
    if (st == EMK_OK)
        return answer(call, a, o, &r, e);
    close_open(o);
    return st;
}

/* The engine may say no once more: a device may have been banned since.  A download that it let
 * begin is one download, however many requests it is resumed by: after a restart, or where more
 * are under way than are remembered, it is counted anew.  False after it answered. */
static bool decide(emk_call *call, const asked *a)
{
    const emk_blob_entity *b = &a->b;
    emk_known *known = emk_gate_known(call->api->gate);
    uint8_t name[EMK_KNOWN_NAME_LEN];
    emk_device_record device;
    emk_decide_in in = {.point = EMK_DECIDE_BLOB,
                        .device_id = b->device,
                        .device = &device,
                        .ticket_id = b->ticket};
    emk_verdict verdict;
    emk_error e = {0};
    emk_status st = emk_device_get(&call->api->records, b->device, &device, NULL, &e);

    if (st == EMK_OK && device.gate.revoked) {
        emk_problem_set(call, EMK_API_GONE, NULL);
        return false;
    }
    if (st == EMK_OK)
        st = name_download(call, BEGUN, a, name, &e);
    in.again = st == EMK_OK && emk_known_has(known, name);
    if (st == EMK_OK)
        st = emk_api_decide(call, &in, &verdict, &e);
    if (st == EMK_OK && verdict.pass && !in.again)
        emk_known_keep(known, name);
    if (st == EMK_E_NOT_FOUND)
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
    else if (st != EMK_OK)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else if (!verdict.pass)
        emk_api_decide_refuse(call, &verdict);
    return st == EMK_OK && verdict.pass;
}

static emk_status open_and_answer(emk_call *call, const asked *a, emk_error *e)
{
    open_blob *o = emk_alloc(1, sizeof *o);
    char etag[EMK_BLOB_ETAG_MAX];
    emk_status st;

    if (!o)
        return emk_fail(e, EMK_E_NO_MEMORY, "blob: memory", sizeof *o);
    *o = (open_blob){&call->api->blobs, {.fd = -1}};
    st = emk_blob_etag(call->api->crypto, a->id, etag, e);
    if (st == EMK_OK)
        st = emk_blob_open(o->blobs, emk_span_of(a->id, sizeof a->id), emk_api_now(call->api),
                           &o->blob, e);
    if (st == EMK_OK)
        return answer_range(call, a, o, etag, e);
    close_open(o);
    if (st == EMK_E_NOT_FOUND) {
        emk_problem_set(call, EMK_API_GONE, NULL); /* its record is there */
        return EMK_OK;
    }
    return st == EMK_E_FORMAT ? emk_fail(e, EMK_E_IO, "blob: damaged", 0) : st;
}

/* ---- whose it is ---- */

/* Another's device has the URL: it has proven which one it is. */
static void tell_foreign(emk_call *call)
{
    const uint8_t *id = call->gate.who.device_id;
    emk_device_record *device = emk_arena_take(&call->arena, sizeof *device);
    emk_decide_in who = {.device_id = id, .device = device};
    emk_journal_event event;
    emk_error ignored;

    emk_api_event(call, "blob.foreign", EMK_JOURNAL_DENIED, &event);
    event.subject = emk_span_of(id, EMK_GATE_DEVICE_ID_LEN);
    if (call->api->journal &&
        emk_journal_append(call->api->journal, &event, 1, NULL, &ignored) != EMK_OK)
        call->error = ignored; /* it is refused all the same */
    if (device && emk_device_get(&call->api->records, id, device, NULL, &ignored) == EMK_OK)
        emk_signal_device(call, &who, EMK_FRAUD_FOREIGN_URL);
}

/* Whether the network that asks is not the ticket's.  Best effort, like what follows from it. */
static bool is_astray(emk_call *call, const asked *a)
{
    emk_ticket_entity *t = emk_arena_take(&call->arena, sizeof *t);
    emk_net net = emk_net_of_client(&call->gate.client);
    char text[EMK_NET_TEXT_MAX];
    emk_error ignored;

    if (!t || call->gate.client.family == EMK_ADDRESS_NONE ||
        emk_entity_get(&call->api->records, &emk_ticket_shape,
                       emk_span_of(a->b.ticket, sizeof a->b.ticket), t, NULL, &ignored) != EMK_OK)
        return false;
    emk_net_format(&net, text);
    return t->net[0] && strcmp(t->net, text) != 0;
}

static void look_for_strays(emk_call *call, const asked *a)
{
    uint8_t name[EMK_KNOWN_NAME_LEN];
    emk_error ignored;

    if (name_download(call, WHOLE, a, name, &ignored) == EMK_OK &&
        emk_known_has(emk_gate_known(call->api->gate), name) && is_astray(call, a))
        emk_signal_net(call, EMK_FRAUD_FOREIGN_URL);
}

/* False after it answered. */
static bool may_have(emk_call *call, const asked *a)
{
    const emk_principal *who = &call->gate.who;

    if (who->kind == EMK_PRINCIPAL_ANYONE && call->api->settings.blob_require_device) {
        emk_problem_set(call, EMK_API_POLICY, "its device signs the request");
        return false;
    }
    if (who->kind == EMK_PRINCIPAL_ANYONE) {
        look_for_strays(call, a);
        return true;
    }
    if (memcmp(who->device_id, a->b.device, sizeof a->b.device) == 0)
        return true;
    tell_foreign(call);
    emk_problem_set(call, EMK_API_POLICY, "it is for another device");
    return false;
}

static emk_status get_blob(emk_call *call, emk_error *e)
{
    asked *a = emk_arena_take(&call->arena, sizeof *a);
    emk_error ignored;
    emk_status st;

    if (!a)
        return emk_fail(e, EMK_E_NO_MEMORY, "blob: memory", sizeof *a);
    if (!call->api->blobs.ops) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    if (emk_blob_id_parse(call->params[0], a->id, &ignored) != EMK_OK) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    st = emk_entity_get(&call->api->records, &emk_blob_shape, emk_span_of(a->id, sizeof a->id),
                        &a->b, NULL, e);
    if (st != EMK_OK)
        return st;
    if (emk_record_is_expired(a->b.expires_s, emk_api_now(call->api))) {
        emk_problem_set(call, EMK_API_GONE, NULL);
        return EMK_OK;
    }
    return may_have(call, a) && decide(call, a) ? open_and_answer(call, a, e) : EMK_OK;
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/blobs/{id}",
     .gate = {.name = "getBlob",
              .admits = EMK_PRINCIPAL_ANYONE,
              .cost = 1,
              .device_may_sign = true,
              .takes_expired_device = true, /* the handler looks at the one that it is for */
              .takes_revoked_device = true,
              .klass = EMK_GATE_CLASS_DOWNLOAD},
     .handle = get_blob},
};

const emk_route_table emk_routes_blobs = {ROWS, sizeof ROWS / sizeof ROWS[0]};
