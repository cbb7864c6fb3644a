#include "server/api/problem.h"

#include "server/api/json_out.h"

#include <string.h>

#define BODY_MAX 1024u

typedef struct row {
    unsigned status;
    const char *uri;
    const char *title;
} row;

static const row ROWS[EMK_API_PROBLEMS] = {
    [EMK_API_BAD_REQUEST] = {400, "/problems/bad-request", "The request is not well-formed."},
    [EMK_API_INVALID_BODY] = {400, "/problems/invalid-body",
                              "The body is not what the route takes."},
    [EMK_API_INVALID_QUERY] = {400, "/problems/invalid-query", "A query parameter is wrong."},
    [EMK_API_INVALID_OBJECT] = {422, "/problems/invalid-object", "A signed object is not good."},
    [EMK_API_INVALID_MODEL] = {422, "/problems/invalid-model", "The model cannot be read."},
    [EMK_API_POLICY] = {403, "/problems/policy", "This is not allowed."},
    [EMK_API_NOT_FOUND] = {404, "/problems/not-found", "There is no such thing."},
    [EMK_API_NO_METHOD] = {405, "/problems/method-not-allowed", "The path has no such method."},
    [EMK_API_TIMEOUT] = {408, "/problems/timeout", "The request came too slowly."},
    [EMK_API_CONFLICT] = {409, "/problems/conflict", "It exists already, or changed meanwhile."},
    [EMK_API_USED] = {409, "/problems/used", "It is good for one use and was used."},
    [EMK_API_GONE] = {410, "/problems/gone", "Its time is over."},
    [EMK_API_LENGTH_REQUIRED] = {411, "/problems/length-required", "Content-Length is missing."},
    [EMK_API_TOO_LARGE] = {413, "/problems/too-large", "The body is longer than the route takes."},
    [EMK_API_BAD_RANGE] = {416, "/problems/range", "The range is not in it."},
    [EMK_API_URI_TOO_LONG] = {414, "/problems/uri-too-long", "The path is too long."},
    [EMK_API_BAD_TYPE] = {415, "/problems/content-type", "The route takes another content type."},
    [EMK_API_IDEMPOTENCY_REUSED] = {422, "/problems/idempotency-reused",
                                    "The idempotency key came before with another request."},
    [EMK_API_IDEMPOTENCY_RUNNING] = {409, "/problems/idempotency-running",
                                     "The same request is being answered right now."},
    [EMK_API_INTERNAL] = {500, "/problems/internal", "The server failed."},
    [EMK_API_UNSUPPORTED] = {501, "/problems/unsupported", "This server cannot do that."},
    [EMK_API_UNAVAILABLE] = {503, "/problems/unavailable", "Try again later."},
    [EMK_API_DRAINING] = {503, "/problems/draining", "This server is going down."},
    [EMK_API_NO_STORAGE] = {507, "/problems/storage", "There is no room for it."},
};

const char *emk_api_problem_uri(emk_api_problem p)
{
    return ROWS[p].uri;
}

unsigned emk_api_problem_status(emk_api_problem p)
{
    return ROWS[p].status;
}

const char *emk_api_problem_title(emk_api_problem p)
{
    return ROWS[p].title;
}

emk_api_problem emk_problem_of_status(emk_status st)
{
    switch (st) {
    case EMK_E_FORMAT:
    case EMK_E_SIGNATURE:
    case EMK_E_SEALED:
    case EMK_E_STALE:
        return EMK_API_INVALID_OBJECT;
    case EMK_E_LIMIT:
        return EMK_API_TOO_LARGE;
    case EMK_E_UNSUPPORTED:
        return EMK_API_UNSUPPORTED;
    case EMK_E_POLICY:
        return EMK_API_POLICY;
    case EMK_E_USED:
        return EMK_API_USED;
    case EMK_E_NOT_FOUND:
        return EMK_API_NOT_FOUND;
    case EMK_E_IO:
    case EMK_E_BUSY:
    case EMK_E_NO_MEMORY:
        return EMK_API_UNAVAILABLE;
    default:
        return EMK_API_INTERNAL;
    }
}

emk_status emk_problem_object_status(emk_status st)
{
    return st == EMK_E_UNSUPPORTED ? EMK_E_FORMAT : st;
}

void emk_problem_retry_after(emk_call *call, uint32_t seconds)
{
    const char *text = emk_arena_format(&call->arena, "%u", (unsigned)seconds);
    emk_error ignored;

    if (text && emk_reply_field(call, "retry-after", emk_span_str(text), &ignored) != EMK_OK)
        return; /* no room for a courtesy */
}

static void write_head(emk_json_out *o, const emk_call *call, emk_api_problem p)
{
    emk_json_out_open(o, NULL, '{');
    emk_json_out_text(o, "type", emk_span_str(ROWS[p].uri));
    emk_json_out_text(o, "title", emk_span_str(ROWS[p].title));
    emk_json_out_uint(o, "status", ROWS[p].status);
    if (call->id[0])
        emk_json_out_text(o, "request", emk_span_str(call->id));
    if (call->decision[0])
        emk_json_out_text(o, "decision", emk_span_str(call->decision));
}

static void answer(emk_json_out *o, emk_call *call, emk_api_problem p)
{
    emk_span body;
    emk_error ignored;

    emk_json_out_close(o);
    if (emk_json_out_finish(o, &body, &ignored) == EMK_OK)
        emk_reply_bytes(call, ROWS[p].status, "application/problem+json", body);
    else
        emk_reply_empty(call, ROWS[p].status);
}

void emk_problem_set(emk_call *call, emk_api_problem p, const char *detail)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, BODY_MAX);
    write_head(&o, call, p);
    if (detail)
        emk_json_out_text(&o, "detail", emk_span_str(detail));
    answer(&o, call, p);
    if (p == EMK_API_UNAVAILABLE)
        emk_problem_retry_after(call, 2);
}

void emk_problem_set_field(emk_call *call, const emk_json_complaint *why)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, BODY_MAX);
    write_head(&o, call, EMK_API_INVALID_BODY);
    emk_json_out_open(&o, "errors", '[');
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "pointer", emk_span_str(why->pointer));
    emk_json_out_text(&o, "detail", emk_span_str(why->why));
    emk_json_out_close(&o);
    emk_json_out_close(&o);
    answer(&o, call, EMK_API_INVALID_BODY);
}

void emk_problem_set_failed(emk_call *call, const char *detail, const emk_problem_failure *failed,
                            size_t n)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 4 * (size_t)BODY_MAX);
    write_head(&o, call, EMK_API_CONFLICT);
    emk_json_out_text(&o, "detail", emk_span_str(detail));
    emk_json_out_open(&o, "failed", '[');
    for (size_t i = 0; i < n; i++) {
        emk_json_out_open(&o, NULL, '{');
        emk_json_out_text(&o, "condition", emk_span_str(failed[i].condition));
        emk_json_out_uint(&o, "is", failed[i].is);
        emk_json_out_uint(&o, failed[i].at_most ? "at_most" : "at_least", failed[i].needs);
        emk_json_out_close(&o);
    }
    emk_json_out_close(&o);
    answer(&o, call, EMK_API_CONFLICT);
}

void emk_problem_set_gate(emk_call *call)
{
    const emk_gate_decision *d = &call->gate;
    char *body = emk_arena_take(&call->arena, EMK_GATE_PROBLEM_BODY_MAX);
    size_t len = 0;

    memcpy(call->decision, d->id, sizeof call->decision);
    if (!body) {
        emk_reply_empty(call, d->status);
    } else {
        emk_gate_problem_body(d, call->id[0] ? call->id : NULL, body, EMK_GATE_PROBLEM_BODY_MAX,
                              &len);
        emk_reply_bytes(call, d->status, "application/problem+json", emk_span_of(body, len));
    }
    if (d->retry_after_s)
        emk_problem_retry_after(call, d->retry_after_s);
}
