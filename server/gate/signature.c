#include "server/gate/signature.h"

#include "core/codec/base64url.h"
#include "server/gate/content_digest.h"
#include "server/gate/replay.h"

#include <stdio.h>

#define DEVICE_ID_CHARS 43u
#define PARAMS          5u /* created expires keyid alg tag */
#define COMPONENTS_MAX  8u

static const char *const alg_names[] = {
    [EMK_SIGN_ED25519] = "ed25519",
    [EMK_SIGN_ES256] = "ecdsa-p256-sha256",
};

/* ---- the two fields ---- */

static emk_status one_member(const emk_gate_request *rq, const char *name, emk_sf *r, emk_span *key,
                             emk_error *e)
{
    emk_span value;

    if (!emk_request_only(rq, name, &value))
        return emk_fail(e, EMK_E_FORMAT, "signature: a field is missing or twice", 0);
    emk_sf_init(r, value);
    if (!emk_sf_member(r, key))
        return emk_fail(e, EMK_E_FORMAT, "signature: no label", r->pos);
    return EMK_OK;
}

emk_status emk_http_signature_parse(const emk_gate_request *rq, emk_http_signature *out,
                                    emk_error *e)
{
    emk_http_signature s = {0};
    emk_sf_item item;
    emk_span label;
    emk_sf r;
    size_t len;
    emk_status st;

    if (emk_request_count(rq, "signature-input", NULL) == 0 &&
        emk_request_count(rq, "signature", NULL) == 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "signature: none", 0);
    st = one_member(rq, "signature-input", &r, &s.label, e);
    if (st != EMK_OK)
        return st;
    if (!emk_sf_list_read(&r, &s.input) || !emk_sf_at_end(&r))
        return emk_fail(e, EMK_E_FORMAT, "signature: input is not one list", r.pos);
    st = one_member(rq, "signature", &r, &label, e);
    if (st != EMK_OK)
        return st;
    if (!emk_sf_item_read(&r, &item) || !emk_sf_at_end(&r))
        return emk_fail(e, EMK_E_FORMAT, "signature: not one signature", r.pos);
    if (!emk_span_equal(label, s.label))
        return emk_fail(e, EMK_E_FORMAT, "signature: labels differ", 0);
    st = emk_sf_bytes(&item, s.sig, sizeof s.sig, &len, NULL);
    if (st != EMK_OK || len != sizeof s.sig)
        return emk_fail(e, EMK_E_FORMAT, "signature: not 64 bytes", item.text.len);
    *out = s;
    return EMK_OK;
}

/* ---- the base ---- */

static bool text_is_clean(emk_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

static emk_status put(emk_buf *out, emk_span s, emk_error *e)
{
    return emk_buf_append(out, s, e);
}

static emk_status put_text(emk_buf *out, const char *s, emk_error *e)
{
    return emk_buf_append(out, emk_span_str(s), e);
}

/* Lower case, and without the port that the scheme has anyway.  [RFC 9421 2.2.3] */
static emk_status put_authority(const emk_gate_request *rq, emk_buf *out, emk_error *e)
{
    emk_span a = emk_request_authority(rq);
    uint8_t *room;
    emk_status st;

    if (a.len == 0 || a.len > EMK_REQUEST_HOST_MAX)
        return emk_fail(e, EMK_E_FORMAT, "signature: authority", a.len);
    st = emk_buf_grow(out, a.len, &room, e);
    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < a.len; i++)
        room[i] = a.p[i] >= 'A' && a.p[i] <= 'Z' ? (uint8_t)(a.p[i] + ('a' - 'A')) : a.p[i];
    return EMK_OK;
}

static emk_status put_derived(const emk_gate_request *rq, emk_span name, emk_buf *out, emk_error *e)
{
    emk_status st;

    if (emk_span_equal(name, emk_span_str("@method")) && rq->method.len > 0)
        return put(out, rq->method, e);
    if (emk_span_equal(name, emk_span_str("@authority")))
        return put_authority(rq, out, e);
    if (emk_span_equal(name, emk_span_str("@path")))
        return rq->path.len > 0 ? put(out, rq->path, e) : put_text(out, "/", e);
    if (!emk_span_equal(name, emk_span_str("@query")))
        return emk_fail(e, EMK_E_FORMAT, "signature: derived component", 0);
    st = put_text(out, "?", e);
    return st == EMK_OK ? put(out, rq->query, e) : st;
}

/* All lines of one name, joined.  [RFC 9421 2.1] */
static emk_status put_field(const emk_gate_request *rq, emk_span name, emk_buf *out, emk_error *e)
{
    size_t n = 0;
    emk_status st;

    for (size_t i = 0; i < rq->n_fields; i++) {
        if (!emk_span_equal(rq->fields[i].name, name))
            continue;
        if (n++ > 0) {
            st = put_text(out, ", ", e);
            if (st != EMK_OK)
                return st;
        }
        st = put(out, rq->fields[i].value, e);
        if (st != EMK_OK)
            return st;
    }
    if (n == 0)
        return emk_fail(e, EMK_E_FORMAT, "signature: a covered field is missing", 0);
    return EMK_OK;
}

static emk_status put_component(const emk_gate_request *rq, emk_span name, emk_buf *out,
                                emk_error *e)
{
    size_t begin;
    emk_status st;

    st = put_text(out, "\"", e);
    if (st == EMK_OK)
        st = put(out, name, e);
    if (st == EMK_OK)
        st = put_text(out, "\": ", e);
    if (st != EMK_OK)
        return st;
    begin = out->len;
    if (name.len > 0 && name.p[0] == '@')
        st = put_derived(rq, name, out, e);
    else
        st = put_field(rq, name, out, e);
    if (st != EMK_OK)
        return st;
    if (!text_is_clean(emk_span_of(out->p + begin, out->len - begin)))
        return emk_fail(e, EMK_E_FORMAT, "signature: control character in a value", begin);
    return put_text(out, "\n", e);
}

static bool has_twice(const emk_sf_list *input, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (emk_span_equal(input->members[k], input->members[i]))
            return true;
    return false;
}

emk_status emk_signature_base_write(const emk_gate_request *rq, const emk_sf_list *input,
                                    emk_buf *out, emk_error *e)
{
    emk_status st;

    for (size_t i = 0; i < input->n_members; i++) {
        if (has_twice(input, i))
            return emk_fail(e, EMK_E_FORMAT, "signature: a component twice", i);
        st = put_component(rq, input->members[i], out, e);
        if (st != EMK_OK)
            return st;
    }
    st = put_text(out, "\"@signature-params\": ", e);
    return st == EMK_OK ? put(out, input->raw, e) : st;
}

emk_status emk_http_signature_verify(const emk_gate_request *rq, const emk_http_signature *s,
                                     const emk_verify_key *k, emk_error *e)
{
    emk_buf base;
    emk_status st;

    emk_buf_init(&base, EMK_SIGNATURE_BASE_MAX);
    st = emk_signature_base_write(rq, &s->input, &base, e);
    if (st == EMK_OK)
        st = emk_sign_verify(k, emk_buf_span(&base), emk_span_of(s->sig, sizeof s->sig), e);
    emk_buf_done(&base);
    return st;
}

/* ---- the profile ---- */

/* The one list of components for a request with these fields. */
static size_t components(bool authorization, bool nonce, const char *out[COMPONENTS_MAX])
{
    size_t n = 0;

    out[n++] = "@method";
    out[n++] = "@authority";
    out[n++] = "@path";
    out[n++] = "@query";
    out[n++] = "content-digest";
    if (authorization)
        out[n++] = "authorization";
    out[n++] = "earmark-counter";
    if (nonce)
        out[n++] = "earmark-nonce";
    return n;
}

static emk_status components_check(const emk_device_proof *p, emk_error *e)
{
    const emk_sf_list *input = &p->signature.input;
    const char *want[COMPONENTS_MAX];
    size_t n = components(p->covers_authorization, p->nonce.len > 0, want);

    if (input->n_members != n)
        return emk_fail(e, EMK_E_POLICY, "signature: number of components", input->n_members);
    for (size_t i = 0; i < n; i++)
        if (!emk_span_equal(input->members[i], emk_span_str(want[i])))
            return emk_fail(e, EMK_E_POLICY, "signature: another component", i);
    return EMK_OK;
}

static bool param_integer(const emk_sf_list *l, const char *key, uint64_t *out)
{
    const emk_sf_item *v = emk_sf_param_find(l, key);

    if (!v || v->kind != EMK_SF_INTEGER || v->integer < 0)
        return false;
    *out = (uint64_t)v->integer;
    return true;
}

static bool param_string(const emk_sf_list *l, const char *key, emk_span *out)
{
    const emk_sf_item *v = emk_sf_param_find(l, key);

    if (!v || v->kind != EMK_SF_STRING)
        return false;
    *out = v->text;
    return true;
}

static bool alg_find(emk_span name, emk_sign_alg *out)
{
    for (unsigned i = EMK_SIGN_ED25519; i <= EMK_SIGN_ES256; i++) {
        if (!emk_span_equal(name, emk_span_str(alg_names[i])))
            continue;
        *out = (emk_sign_alg)i;
        return true;
    }
    return false;
}

static emk_status params_check(emk_device_proof *p, emk_error *e)
{
    const emk_sf_list *l = &p->signature.input;
    emk_span keyid, alg, tag;
    size_t len;
    emk_status st;

    if (l->n_params != PARAMS || !param_integer(l, "created", &p->created) ||
        !param_integer(l, "expires", &p->expires) || !param_string(l, "keyid", &keyid) ||
        !param_string(l, "alg", &alg) || !param_string(l, "tag", &tag))
        return emk_fail(e, EMK_E_POLICY, "signature: not the parameters", l->n_params);
    if (!emk_span_equal(tag, emk_span_str(EMK_SIGNATURE_TAG)))
        return emk_fail(e, EMK_E_POLICY, "signature: tag", 0);
    if (!alg_find(alg, &p->alg))
        return emk_fail(e, EMK_E_POLICY, "signature: alg", 0);
    if (p->expires <= p->created || p->expires - p->created > EMK_SIGNATURE_LIFE_MAX_S)
        return emk_fail(e, EMK_E_POLICY, "signature: times", p->expires);
    st = emk_base64url_decode(keyid, p->device_id, sizeof p->device_id, &len, NULL);
    if (st != EMK_OK || len != sizeof p->device_id)
        return emk_fail(e, EMK_E_POLICY, "signature: keyid", keyid.len);
    return EMK_OK;
}

static bool counter_read(emk_span value, uint64_t *out)
{
    emk_sf_item item;
    emk_sf r;

    emk_sf_init(&r, value);
    if (!emk_sf_item_read(&r, &item) || !emk_sf_at_end(&r) || item.kind != EMK_SF_INTEGER ||
        item.integer <= 0)
        return false;
    *out = (uint64_t)item.integer;
    return true;
}

/* Fields that the signature must cover, each once. */
static emk_status fields_check(const emk_gate_request *rq, emk_device_proof *p, emk_error *e)
{
    size_t n_authorization = emk_request_count(rq, "authorization", NULL);
    size_t n_nonce = emk_request_count(rq, "earmark-nonce", &p->nonce);
    emk_span value;

    if (n_authorization > 1 || n_nonce > 1 || (n_nonce == 1 && p->nonce.len == 0))
        return emk_fail(e, EMK_E_FORMAT, "signature: a covered field twice, or empty", 0);
    p->covers_authorization = n_authorization == 1;
    if (!emk_request_only(rq, "earmark-counter", &value) || !counter_read(value, &p->counter))
        return emk_fail(e, EMK_E_FORMAT, "signature: counter", 0);
    if (!emk_request_only(rq, "content-digest", &value))
        return emk_fail(e, EMK_E_FORMAT, "signature: no content-digest", 0);
    return emk_content_digest_parse(value, p->body_sha256, e);
}

emk_status emk_device_proof_check(const emk_gate_request *rq, emk_device_proof *out, emk_error *e)
{
    emk_device_proof p = {0};
    emk_status st;

    st = emk_http_signature_parse(rq, &p.signature, e);
    if (st == EMK_OK)
        st = fields_check(rq, &p, e);
    if (st == EMK_OK)
        st = components_check(&p, e);
    if (st == EMK_OK)
        st = params_check(&p, e);
    if (st == EMK_OK)
        *out = p;
    return st;
}

/* ---- making one ---- */

static emk_status input_write(const emk_gate_request *rq, const emk_device_signing *with,
                              emk_buf *out, emk_error *e)
{
    bool authorization = emk_request_count(rq, "authorization", NULL) > 0;
    bool nonce = emk_request_count(rq, "earmark-nonce", NULL) > 0;
    const char *names[COMPONENTS_MAX];
    size_t n = components(authorization, nonce, names);
    char id[DEVICE_ID_CHARS + 1], tail[256];
    size_t len;
    emk_status st;

    st = emk_base64url_encode(emk_span_of(with->device_id, EMK_GATE_DEVICE_ID_LEN), id, sizeof id,
                              &len, e);
    for (size_t i = 0; i < n && st == EMK_OK; i++) {
        (void)snprintf(tail, sizeof tail, "%s\"%s\"", i > 0 ? " " : "(", names[i]);
        st = put_text(out, tail, e);
    }
    if (st != EMK_OK)
        return st;
    (void)snprintf(tail, sizeof tail,
                   ");created=%llu;expires=%llu;keyid=\"%s\";alg=\"%s\";tag=\"%s\"",
                   (unsigned long long)with->created,
                   (unsigned long long)(with->created + EMK_SIGNATURE_LIFE_MAX_S), id,
                   alg_names[emk_sign_key_alg(with->key)], EMK_SIGNATURE_TAG);
    return put_text(out, tail, e);
}

static emk_status sign_input(const emk_gate_request *rq, const emk_sign_key *key, emk_span input,
                             uint8_t sig[EMK_SIGN_LEN], emk_error *e)
{
    emk_sf_list list;
    emk_buf base;
    emk_sf r;
    emk_status st;

    emk_sf_init(&r, input);
    if (!emk_sf_list_read(&r, &list))
        return emk_fail(e, EMK_E_USAGE, "signature: input", r.pos);
    emk_buf_init(&base, EMK_SIGNATURE_BASE_MAX);
    st = emk_signature_base_write(rq, &list, &base, e);
    if (st == EMK_OK)
        st = emk_sign_make(key, emk_buf_span(&base), sig, e);
    emk_buf_done(&base);
    return st == EMK_E_FORMAT ? EMK_E_USAGE : st;
}

emk_status emk_device_proof_make(const emk_gate_request *rq, const emk_device_signing *with,
                                 emk_buf *input, emk_buf *signature, emk_error *e)
{
    char text[EMK_SIGN_LEN * 2];
    uint8_t sig[EMK_SIGN_LEN];
    emk_buf list;
    emk_status st;

    emk_buf_init(&list, EMK_REQUEST_VALUE_MAX);
    st = input_write(rq, with, &list, e);
    if (st == EMK_OK)
        st = sign_input(rq, with->key, emk_buf_span(&list), sig, e);
    if (st == EMK_OK)
        st = emk_sf_bytes_write(emk_span_of(sig, sizeof sig), text, sizeof text, e);
    if (st == EMK_OK)
        st = put_text(input, "sig1=", e);
    if (st == EMK_OK)
        st = put(input, emk_buf_span(&list), e);
    if (st == EMK_OK)
        st = put_text(signature, "sig1=", e);
    if (st == EMK_OK)
        st = put_text(signature, text, e);
    emk_buf_done(&list);
    return st;
}
