#include "server/api/frame.h"

#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/api/admin.h"
#include "server/api/idempotency.h"
#include "server/api/signals.h"

#include <string.h>

#define TRACEPARENT_LEN 55u

/* 00-<32 hex>-<16 hex>-<2 hex>, not all zero.  [W3C Trace Context 3.2] */
static bool is_traceparent(emk_span s)
{
    bool trace = false, parent = false;

    if (s.len != TRACEPARENT_LEN || memcmp(s.p, "00-", 3) != 0 || s.p[35] != '-' || s.p[52] != '-')
        return false;
    for (size_t i = 3; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (i == 35 || i == 52)
            continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        trace = trace || (i < 35 && c != '0');
        parent = parent || (i > 35 && i < 52 && c != '0');
    }
    return trace && parent;
}

static void name_call(emk_call *call)
{
    uint8_t id[16];
    emk_span trace;
    emk_error ignored;
    size_t len;

    if (emk_random_public(call->api->crypto, id, sizeof id, &ignored) != EMK_OK ||
        emk_base64url_encode(emk_span_of(id, sizeof id), call->id, sizeof call->id, &len,
                             &ignored) != EMK_OK)
        call->id[0] = 0;
    if (emk_request_only(&call->request, "traceparent", &trace) && is_traceparent(trace))
        call->traceparent = trace;
}

static emk_frame_step refuse(emk_call *call, emk_api_problem p)
{
    emk_problem_set(call, p, NULL);
    return EMK_FRAME_ANSWERED;
}

static emk_frame_step refuse_method(emk_call *call, unsigned methods)
{
    char *allow = emk_arena_take(&call->arena, EMK_ALLOW_MAX);
    emk_error ignored;

    if (call->method == EMK_HTTP_OPTIONS)
        emk_reply_empty(call, 204);
    else
        emk_problem_set(call, EMK_API_NO_METHOD, NULL);
    if (allow) {
        emk_http_allow(methods, allow);
        if (emk_reply_field(call, "allow", emk_span_str(allow), &ignored) != EMK_OK)
            emk_reply_empty(call, 500);
    }
    return EMK_FRAME_ANSWERED;
}

/* "application/json", with or without parameters. */
static bool type_fits(emk_span value, const char *want)
{
    size_t n = strlen(want);

    if (value.len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = value.p[i];

        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c - 'A' + 'a');
        if (c != (uint8_t)want[i])
            return false;
    }
    return value.len == n || value.p[n] == ';' || value.p[n] == ' ';
}

static emk_frame_step judge_body(emk_call *call)
{
    const emk_route *row = call->route;
    size_t chunked = emk_request_count(&call->request, "transfer-encoding", NULL);
    bool has_body =
        chunked > 0 || (call->content_length != EMK_HTTP_NO_LENGTH && call->content_length > 0);
    emk_span type = {0};

    if (!has_body)
        return row->flags & EMK_ROUTE_INLINE ? EMK_FRAME_INLINE : EMK_FRAME_READ_BODY;
    if (!row->content_type)
        return refuse(call, EMK_API_TOO_LARGE);
    if (emk_request_count(&call->request, "content-encoding", NULL) > 0 ||
        !emk_request_only(&call->request, "content-type", &type) ||
        !type_fits(type, row->content_type))
        return refuse(call, EMK_API_BAD_TYPE);
    if (call->content_length != EMK_HTTP_NO_LENGTH && call->content_length > row->body_max)
        return refuse(call, EMK_API_TOO_LARGE);
    if (row->flags & EMK_ROUTE_STREAM)
        return EMK_FRAME_STREAM;
    return row->flags & EMK_ROUTE_INLINE ? EMK_FRAME_INLINE : EMK_FRAME_READ_BODY;
}

static emk_frame_step open_call(emk_call *call, const emk_router *router)
{
    emk_router_match match;

    name_call(call);
    call->method = emk_http_method_of(call->request.method);
    if (call->request.path.len == 0 || call->request.path.p[0] != '/')
        return refuse(call, EMK_API_BAD_REQUEST);
    if (call->request.path.len + call->request.query.len > EMK_REQUEST_TARGET_MAX)
        return refuse(call, EMK_API_URI_TOO_LONG);
    switch (emk_router_find(router, call->method, call->request.path, &match)) {
    case EMK_ROUTER_NO_PATH:
        return refuse(call, EMK_API_NOT_FOUND);
    case EMK_ROUTER_NO_METHOD:
        return refuse_method(call, match.methods);
    case EMK_ROUTER_FOUND:
        break;
    }
    call->route = match.route;
    memcpy(call->params, match.params, sizeof call->params);
    return judge_body(call);
}

/* A signed digest is held against the body that is here already; of a streamed one emk_call_read
 * does it. */
static bool hash_body(emk_call *call, uint8_t digest[EMK_SHA256_LEN])
{
    emk_error ignored;

    if (call->route->flags & EMK_ROUTE_STREAM)
        return true;
    if (emk_sha256(call->api->crypto, &call->body, 1, digest, &ignored) != EMK_OK)
        return false;
    call->request.body_sha256 = digest;
    return true;
}

static bool pass_gate(emk_call *call)
{
    uint8_t digest[EMK_SHA256_LEN];

    if (call->route->flags & EMK_ROUTE_INTERNAL)
        return true;
    if (!call->api->gate || !hash_body(call, digest)) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    emk_gate_check(call->api->gate, &call->request, &call->route->gate, &call->gate);
    emk_meter_gate(&call->api->meter, &call->gate);
    call->request.body_sha256 = NULL;
    call->gate_asked = true;
    if (!call->gate.pass) {
        emk_problem_set_gate(call);
        emk_signal_refused(call);
    }
    return call->gate.pass;
}

static void add(emk_call *call, const char *name, emk_span value)
{
    emk_error ignored;

    if (emk_reply_field(call, name, value, &ignored) != EMK_OK)
        call->response.status = 500; /* handlers add few; this is our own bug */
}

static bool has_field(const emk_http_response *r, const char *name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (emk_span_equal(r->fields[i].name, emk_span_str(name)))
            return true;
    return false;
}

static void add_fields(emk_call *call)
{
    for (size_t i = 0; call->gate_asked && i < call->gate.n_headers; i++)
        add(call, call->gate.headers[i].name, emk_span_str(call->gate.headers[i].value));
    add(call, "x-request-id", emk_span_str(call->id));
    add(call, "x-content-type-options", emk_span_str("nosniff"));
    if (!has_field(&call->response, "cache-control"))
        add(call, "cache-control", emk_span_str("no-store"));
    if (emk_span_equal(call->request.scheme, emk_span_str("https")))
        add(call, "strict-transport-security", emk_span_str("max-age=31536000"));
}

emk_frame_step emk_frame_open(emk_call *call, const emk_router *router)
{
    emk_frame_step step = open_call(call, router);

    if (step == EMK_FRAME_ANSWERED)
        add_fields(call);
    return step;
}

static void count_answer(emk_call *call, uint64_t from_ns)
{
    if (!(call->route->flags & EMK_ROUTE_INTERNAL))
        emk_admin_saw(call->api->admin, call->gate_asked ? &call->gate.client : NULL,
                      call->response.status, emk_os_monotonic_ns() - from_ns);
}

bool emk_frame_admit(emk_call *call)
{
    uint64_t from_ns = emk_os_monotonic_ns();

    if ((call->route->flags & EMK_ROUTE_INTERNAL) || !call->api->gate)
        return true;
    emk_gate_admit(call->api->gate, &call->request, &call->route->gate, &call->gate);
    if (call->gate.pass) {
        emk_gate_done(call->api->gate, &call->gate);
        call->request.admitted = true;
        return true; /* gate_asked stays false: emk_frame_run asks, when the body is here */
    }
    call->gate_asked = true;
    emk_meter_gate(&call->api->meter, &call->gate);
    emk_problem_set_gate(call);
    add_fields(call);
    count_answer(call, from_ns);
    return false;
}

/* Whatever an operator changes may be asked for again with the same key; other routes look at
 * theirs themselves.  False after it answered. */
static bool begin_once(emk_call *call, emk_idempotency *once)
{
    const emk_route *r = call->route;
    bool changes =
        r->method == EMK_HTTP_POST || r->method == EMK_HTTP_PUT || r->method == EMK_HTTP_DELETE;

    *once = (emk_idempotency){.active = false};
    if (!changes || r->gate.admits != EMK_PRINCIPAL_OPERATOR ||
        (r->flags & (EMK_ROUTE_STREAM | EMK_ROUTE_INLINE | EMK_ROUTE_REPEATS)) != 0)
        return true;
    return emk_idempotency_begin(call, once) == EMK_IDEMPOTENCY_GO;
}

void emk_frame_run(emk_call *call)
{
    uint64_t from_ns = emk_os_monotonic_ns();
    emk_idempotency once;
    emk_error e = {0};
    emk_status st;

    if (pass_gate(call) && begin_once(call, &once)) {
        st = call->route->handle(call, &e);
        if (st != EMK_OK)
            emk_problem_set(call, emk_problem_of_status(st), NULL);
        else if (call->response.status == 0)
            emk_problem_set(call, EMK_API_INTERNAL, NULL);
        call->error = e;
        emk_idempotency_finish(call, &once);
    }
    add_fields(call);
    count_answer(call, from_ns);
}

void emk_frame_refuse(emk_call *call, emk_api_problem why)
{
    emk_problem_set(call, why, NULL);
    add_fields(call);
}

void emk_frame_close(emk_call *call)
{
    if (call->gate_asked)
        emk_gate_done(call->api->gate, &call->gate);
    call->gate_asked = false;
}
