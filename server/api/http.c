#include "core/base/bytes.h"
#include "server/api/api.h"
#include "server/gate/content_digest.h"

#include <string.h>

void emk_call_init(emk_call *call, struct emk_api *api)
{
    *call = (emk_call){.api = api, .method = EMK_HTTP_OTHER, .content_length = EMK_HTTP_NO_LENGTH};
    emk_arena_init(&call->arena, EMK_CALL_ARENA_MAX);
}

static void drop_body(emk_http_response *r)
{
    emk_http_source gone = r->source;

    r->bytes = emk_span_of(NULL, 0);
    r->source = (emk_http_source){.fd = -1};
    r->has_source = false;
    if (gone.done)
        gone.done(gone.self);
}

void emk_call_done(emk_call *call)
{
    drop_body(&call->response);
    emk_sha256_ctx_free(call->body_hash);
    call->body_hash = NULL;
    emk_arena_done(&call->arena);
}

/* Percent-decoded; '+' stays itself, and a zero byte is refused. */
static bool decode(emk_call *call, emk_span in, emk_span *out)
{
    uint8_t *p = emk_arena_take(&call->arena, in.len + 1);
    size_t n = 0;

    if (!p)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.p[i];

        if (c == '%') {
            int high = in.len - i > 2 ? emk_hex_digit(in.p[i + 1]) : -1;
            int low = in.len - i > 2 ? emk_hex_digit(in.p[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high * 16 + low);
            i += 2;
        }
        if (c == 0)
            return false;
        p[n++] = c;
    }
    *out = emk_span_of(p, n);
    return true;
}

bool emk_call_query(emk_call *call, const char *name, emk_span *out)
{
    emk_span q = call->request.query, want = emk_span_str(name), found = {0};
    unsigned times = 0;

    while (q.len > 0) {
        const uint8_t *amp = memchr(q.p, '&', q.len);
        size_t len = amp ? (size_t)(amp - q.p) : q.len;
        const uint8_t *eq = memchr(q.p, '=', len);
        size_t key = eq ? (size_t)(eq - q.p) : len;

        if (emk_span_equal(emk_span_of(q.p, key), want)) {
            found = eq ? emk_span_of(eq + 1, len - key - 1) : emk_span_of(q.p, 0);
            times++;
        }
        len += amp ? 1 : 0;
        q = emk_span_of(q.p + len, q.len - len);
    }
    return times == 1 && decode(call, found, out);
}

static emk_status hash_more(emk_call *call, emk_span more, emk_error *e)
{
    emk_status st = EMK_OK;

    if (!call->body_hash) {
        st = emk_sha256_ctx_new(call->api->crypto, &call->body_hash, e);
        if (st == EMK_OK)
            st = emk_sha256_ctx_reset(call->body_hash, e);
    }
    if (st == EMK_OK && more.len > 0)
        st = emk_sha256_ctx_update(call->body_hash, more, e);
    else if (st == EMK_OK)
        st = emk_content_digest_verify(call->body_hash, call->gate.body_sha256, e);
    return st;
}

emk_status emk_call_read(emk_call *call, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    size_t got = 0;
    emk_status st;

    if (!call->read)
        return emk_fail(e, EMK_E_USAGE, "call: its body is not streamed", 0);
    if (!call->body_over) {
        st = call->read(call->read_self, out, cap, &got, e);
        if (st == EMK_OK && call->gate.has_body_digest)
            st = hash_more(call, emk_span_of(out, got), e);
        if (st != EMK_OK)
            return st;
        call->body_over = got == 0;
    }
    *n = got;
    return EMK_OK;
}

static void set_type(emk_call *call, const char *content_type)
{
    emk_http_response *r = &call->response;

    for (size_t i = 0; i < r->n_fields; i++)
        if (emk_span_equal(r->fields[i].name, emk_span_str("content-type"))) {
            r->fields[i].value = emk_span_str(content_type);
            return;
        }
    /* A slot is kept free for it: emk_reply_field stops one earlier. */
    r->fields[r->n_fields++] =
        (emk_http_field){emk_span_str("content-type"), emk_span_str(content_type)};
}

void emk_reply_empty(emk_call *call, unsigned status)
{
    drop_body(&call->response);
    call->response.status = status;
}

void emk_reply_bytes(emk_call *call, unsigned status, const char *content_type, emk_span bytes)
{
    emk_reply_empty(call, status);
    set_type(call, content_type);
    call->response.bytes = bytes;
}

void emk_reply_source(emk_call *call, unsigned status, const char *content_type,
                      const emk_http_source *source)
{
    emk_reply_empty(call, status);
    set_type(call, content_type);
    call->response.source = *source;
    call->response.has_source = true;
}

emk_status emk_reply_field(emk_call *call, const char *name, emk_span value, emk_error *e)
{
    emk_http_response *r = &call->response;

    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] < 0x20 || value.p[i] == 0x7F)
            return emk_fail(e, EMK_E_USAGE, "reply: control character in a header line", i);
    if (r->n_fields + 1 >= EMK_HTTP_REPLY_FIELDS)
        return emk_fail(e, EMK_E_LIMIT, "reply: too many header lines", r->n_fields);
    r->fields[r->n_fields++] = (emk_http_field){emk_span_str(name), value};
    return EMK_OK;
}
