/* GET /v1/blobs/{id}: a sealed model, for whoever has its URL.  The id is 32 random bytes; what it
 * gives is for one process on one device. */
#include "server/api/api.h"
#include "server/api/decide.h"
#include "server/api/directory.h"
#include "server/api/problem.h"
#include "server/api/range.h"
#include "server/api/sealing.h"

#include "core/base/alloc.h"
#include "core/crypto/hash.h"

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

/* Takes o. */
static emk_status answer(emk_call *call, open_blob *o, const emk_range *r, emk_error *e)
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
    emk_reply_source(call, part ? 206 : 200, "application/octet-stream", &source);
    return part ? add_range(call, r, size, e) : EMK_OK;
}

static emk_status answer_range(emk_call *call, open_blob *o, const char *etag, emk_error *e)
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
        return answer(call, o, &r, e);
    close_open(o);
    return st;
}

/* Names the download of this blob for this ticket by this device. */
static emk_status name_download(const emk_call *call, const uint8_t id[EMK_BLOB_ID_LEN],
                                const emk_blob_entity *b, uint8_t name[EMK_KNOWN_NAME_LEN],
                                emk_error *e)
{
    static const char label[] = "earmark/1 download"; /* with its zero */
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(id, EMK_BLOB_ID_LEN),
                        emk_span_of(b->ticket, sizeof b->ticket),
                        emk_span_of(b->device, sizeof b->device)};

    return emk_sha256(call->api->crypto, parts, sizeof parts / sizeof parts[0], name, e);
}

/* The engine may say no once more: a device may have been banned since.  A download that it let
 * begin is one download, however many requests it is resumed by: after a restart, or where more
 * are under way than are remembered, it is counted anew.  False after it answered. */
static bool decide(emk_call *call, const uint8_t id[EMK_BLOB_ID_LEN], const emk_blob_entity *b)
{
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
        st = name_download(call, id, b, name, &e);
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

static emk_status open_and_answer(emk_call *call, const uint8_t id[EMK_BLOB_ID_LEN], emk_error *e)
{
    open_blob *o = emk_alloc(1, sizeof *o);
    char etag[EMK_BLOB_ETAG_MAX];
    emk_status st;

    if (!o)
        return emk_fail(e, EMK_E_NO_MEMORY, "blob: memory", sizeof *o);
    *o = (open_blob){&call->api->blobs, {.fd = -1}};
    st = emk_blob_etag(call->api->crypto, id, etag, e);
    if (st == EMK_OK)
        st = emk_blob_open(o->blobs, emk_span_of(id, EMK_BLOB_ID_LEN), emk_api_now(call->api),
                           &o->blob, e);
    if (st == EMK_OK)
        return answer_range(call, o, etag, e);
    close_open(o);
    if (st == EMK_E_NOT_FOUND) {
        emk_problem_set(call, EMK_API_GONE, NULL); /* its record is there */
        return EMK_OK;
    }
    return st == EMK_E_FORMAT ? emk_fail(e, EMK_E_IO, "blob: damaged", 0) : st;
}

static emk_status get_blob(emk_call *call, emk_error *e)
{
    uint8_t id[EMK_BLOB_ID_LEN];
    emk_record_info info;
    emk_blob_entity b;
    emk_error ignored;
    emk_status st;

    if (!call->api->blobs.ops) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    if (emk_blob_id_parse(call->params[0], id, &ignored) != EMK_OK) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    st = emk_entity_get(&call->api->records, &emk_blob_shape, emk_span_of(id, sizeof id), &b, &info,
                        e);
    if (st != EMK_OK)
        return st;
    if (emk_record_is_expired(b.expires_s, emk_api_now(call->api))) {
        emk_problem_set(call, EMK_API_GONE, NULL);
        return EMK_OK;
    }
    return decide(call, id, &b) ? open_and_answer(call, id, e) : EMK_OK;
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/blobs/{id}",
     .gate = {.name = "getBlob",
              .admits = EMK_PRINCIPAL_ANYONE,
              .cost = 1,
              .klass = EMK_GATE_CLASS_DOWNLOAD},
     .handle = get_blob},
};

const emk_route_table emk_routes_blobs = {ROWS, sizeof ROWS / sizeof ROWS[0]};
