/* Requests over HTTP of the kit: taken as server/gate takes them, and made again as a device makes
 * them, byte by byte but for the signature.  [tests/vectors/README.md] */
#include "core/crypto/hash.h"
#include "core/proto/http_signature.h"
#include "server/gate/nonce.h"
#include "server/gate/signature.h"
#include "tests/conformance/kit_messages.h"

#include <string.h>

#define FIELDS_MAX 32u

typedef struct request {
    emk_gate_request rq;
    emk_http_field fields[FIELDS_MAX];
    emk_span body;
} request;

/* ---- the text [RFC 9112] ---- */

/* The bytes before `end`, which is taken, too; false when it is not there. */
static bool cut(emk_span *rest, const char *end, emk_span *out)
{
    size_t n = strlen(end);

    for (size_t i = 0; i + n <= rest->len; i++)
        if (memcmp(rest->p + i, end, n) == 0) {
            *out = emk_span_of(rest->p, i);
            *rest = emk_span_of(rest->p + i + n, rest->len - i - n);
            return true;
        }
    return false;
}

static emk_span lower(emk_kit_message *m, emk_span in)
{
    uint8_t *out = emk_vec_take(m->v, in.len + 1);

    for (size_t i = 0; i < in.len; i++)
        out[i] = in.p[i] >= 'A' && in.p[i] <= 'Z' ? (uint8_t)(in.p[i] + ('a' - 'A')) : in.p[i];
    return emk_span_of(out, in.len);
}

static bool read_first_line(emk_span line, emk_gate_request *rq)
{
    emk_span target, path;

    if (!cut(&line, " ", &rq->method) || !cut(&line, " ", &target))
        return false;
    rq->has_query = cut(&target, "?", &path);
    rq->path = rq->has_query ? path : target;
    rq->query = rq->has_query ? target : emk_span_of("", 0);
    return true;
}

static bool read_text(emk_kit_message *m, request *out)
{
    emk_span rest = m->body, line, name;

    out->rq = (emk_gate_request){.scheme = emk_span_str("https"), .fields = out->fields};
    if (!cut(&rest, "\r\n", &line) || !read_first_line(line, &out->rq))
        return false;
    while (cut(&rest, "\r\n", &line) && line.len > 0) {
        if (out->rq.n_fields == FIELDS_MAX || !cut(&line, ": ", &name))
            return false;
        out->fields[out->rq.n_fields++] = (emk_http_field){lower(m, name), line};
    }
    out->body = rest;
    return emk_request_only(&out->rq, "host", &out->rq.authority);
}

/* ---- the server ---- */

static const char *check_nonce(emk_kit_message *m, const emk_device_proof *proof)
{
    emk_nonces *nonces = NULL;
    emk_status st =
        emk_nonces_new(m->v->crypto, emk_head_hex(m->v, m->head, "nonce-key"), &nonces, &m->error);

    if (!emk_vec_ok(m->v, "nonce-key", st, &m->error))
        return "skipped";
    st = emk_nonce_verify(nonces, emk_span_of(proof->device_id, EMK_DEVICE_ID_LEN), proof->nonce,
                          emk_head_number(m->v, m->head, "now"), &m->error);
    emk_nonces_free(nonces);
    return st == EMK_OK ? "ok" : "stale";
}

/* The way of a request as far as this device decides it.  [authentication 6] */
static const char *take(emk_kit_message *m, const request *r, emk_device_proof *proof)
{
    uint8_t id[EMK_DEVICE_ID_LEN], body[EMK_SHA256_LEN];
    emk_status st = emk_device_proof_check(&r->rq, proof, &m->error);

    if (st != EMK_OK)
        return "bad request";
    if (!emk_kit_device_id(m, emk_head_hex(m->v, m->head, "device-agree-public"), id))
        return "skipped";
    if (memcmp(proof->device_id, id, sizeof id) != 0)
        return "binding mismatch";
    if (strcmp(check_nonce(m, proof), "ok") != 0)
        return "stale";
    if (proof->alg != EMK_SIGN_ES256)
        return "bad signature";
    st = emk_http_signature_verify(&r->rq, &proof->signature, m->device, &m->error);
    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    emk_vec_ok(m->v, "digest", emk_sha256(m->v->crypto, &r->body, 1, body, &m->error), &m->error);
    return memcmp(body, proof->body_sha256, sizeof body) == 0 ? "ok" : "digest mismatch";
}

static void read_base(emk_kit_message *m, const request *r, const emk_device_proof *proof)
{
    emk_buf base;
    emk_status st;

    emk_buf_init(&base, EMK_SIGNATURE_BASE_MAX);
    st = emk_signature_base_write(&r->rq, &proof->signature.input, &base, &m->error);
    if (emk_vec_ok(m->v, "base", st, &m->error))
        emk_kit_read_bytes(m, "base", emk_buf_span(&base));
    emk_buf_done(&base);
    emk_kit_read_number(m, "counter", proof->counter);
}

/* ---- the device ---- */

/* Signs nothing: keeps what it was asked to sign. */
static emk_status keep(void *self, emk_span message, uint8_t sig[EMK_SIGN_LEN], emk_error *e)
{
    memset(sig, 0, EMK_SIGN_LEN);
    return emk_buf_append(self, message, e);
}

static void same_field(emk_kit_message *m, const request *r, const char *name, const char *got)
{
    emk_span want = emk_span_of("", 0);

    (void)emk_request_only(&r->rq, name, &want);
    emk_vec_same(m->v, name, emk_span_str(got), want);
}

static void make_again(emk_kit_message *m, const request *r, const emk_device_proof *proof)
{
    emk_span authority = emk_request_authority(&r->rq);
    emk_http_to_sign in = {.method = r->rq.method,
                           .authority = lower(m, authority),
                           .path = r->rq.path,
                           .query = r->rq.query,
                           .nonce = proof->nonce,
                           .counter = proof->counter,
                           .created = proof->created,
                           .device_id = proof->device_id,
                           .body_sha256 = proof->body_sha256};
    emk_http_signed out;
    emk_buf base;
    emk_signer signer = {.alg = EMK_SIGN_ES256, .sign = keep, .self = &base};
    emk_status st;

    (void)emk_request_only(&r->rq, "authorization", &in.authorization);
    emk_buf_init(&base, EMK_SIGNATURE_BASE_MAX);
    st = emk_http_sign(&signer, &in, &out, &m->error);
    if (emk_vec_ok(m->v, "signing", st, &m->error)) {
        emk_kit_read_bytes(m, "base", emk_buf_span(&base));
        same_field(m, r, "content-digest", out.content_digest);
        same_field(m, r, "earmark-counter", out.counter);
        same_field(m, r, "signature-input", out.signature_input);
    }
    emk_buf_done(&base);
}

const char *emk_kit_http(emk_kit_message *m)
{
    request *r = emk_vec_take(m->v, sizeof *r);
    emk_device_proof proof;
    const char *outcome;

    if (!read_text(m, r)) {
        emk_vec_malformed(m->v, "the body is no request");
        return "skipped";
    }
    outcome = take(m, r, &proof);
    if (strcmp(outcome, "ok") != 0)
        return outcome;
    read_base(m, r, &proof);
    if (!emk_head_is(m->head, "client", "other"))
        make_again(m, r, &proof);
    return outcome;
}
