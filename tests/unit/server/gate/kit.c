#include "tests/unit/server/gate/kit.h"

#include "core/codec/base64url.h"
#include "core/jose/jws.h"
#include "server/gate/content_digest.h"

#include <string.h>

emk_crypto *kit_crypto(void)
{
    static emk_crypto *c;
    emk_error e;

    if (!c)
        assert_ok(emk_crypto_new(NULL, NULL, &c, &e), &e);
    return c;
}

static emk_span keep(kit_request *r, const char *s)
{
    size_t n = strlen(s);
    char *at = r->text + r->used;

    assert_true(n + 1 <= sizeof r->text - r->used);
    memcpy(at, s, n + 1);
    r->used += n + 1;
    return emk_span_of(at, n);
}

void kit_request_init(kit_request *r)
{
    static const uint8_t peer[] = {192, 0, 2, 7};

    memset(r, 0, sizeof *r);
    r->rq.method = emk_span_str("POST");
    r->rq.scheme = emk_span_str("https");
    r->rq.authority = emk_span_str("api.example");
    r->rq.path = emk_span_str("/v1/tickets");
    r->rq.query = emk_span_str("a=1");
    r->rq.has_query = true;
    r->rq.fields = r->fields;
    r->rq.peer = emk_address_of(emk_span_of(peer, sizeof peer));
    r->rq.now_s = KIT_NOW_S;
    r->rq.now_ns = KIT_NOW_NS;
}

void kit_add(kit_request *r, const char *name, const char *value)
{
    emk_http_field *f = &r->fields[r->rq.n_fields];

    assert_true(r->rq.n_fields < sizeof r->fields / sizeof r->fields[0]);
    f->name = keep(r, name);
    f->value = keep(r, value);
    r->rq.n_fields++;
}

void kit_remove(kit_request *r, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < r->rq.n_fields; i++)
        if (!emk_span_equal(r->fields[i].name, emk_span_str(name)))
            r->fields[n++] = r->fields[i];
    r->rq.n_fields = n;
}

void kit_set(kit_request *r, const char *name, const char *value)
{
    kit_remove(r, name);
    kit_add(r, name, value);
}

const char *kit_get(kit_request *r, const char *name)
{
    emk_span v;

    assert_true(emk_request_only(&r->rq, name, &v));
    return (const char *)v.p;
}

void kit_edit(kit_request *r, const char *name, const char *from, const char *to)
{
    static char made[16384];
    const char *old = kit_get(r, name);
    const char *at = strstr(old, from);

    assert_non_null(at);
    (void)snprintf(made, sizeof made, "%.*s%s%s", (int)(at - old), old, to, at + strlen(from));
    kit_set(r, name, made);
}

kit_device kit_device_make(emk_sign_alg alg, uint8_t id)
{
    kit_device d = {.alg = alg};
    uint8_t priv[32];
    emk_error e;

    assert_ok(emk_sign_generate(kit_crypto(), alg, priv, d.pub, &e), &e);
    assert_ok(emk_sign_key_new(kit_crypto(), alg, emk_span_of(priv, 32), &d.key, &e), &e);
    memset(d.id, id, sizeof d.id);
    return d;
}

void kit_device_done(kit_device *d)
{
    emk_sign_key_free(d->key);
}

void kit_sign_again(kit_request *r, const kit_device *d)
{
    const emk_device_signing with = {d->key, d->id, r->rq.now_s};
    emk_buf input, signature;
    emk_error e;

    kit_remove(r, "signature-input");
    kit_remove(r, "signature");
    emk_buf_init(&input, 8192);
    emk_buf_init(&signature, 8192);
    assert_ok(emk_device_proof_make(&r->rq, &with, &input, &signature, &e), &e);
    assert_ok(emk_buf_append(&input, emk_span_of("", 1), &e), &e);
    assert_ok(emk_buf_append(&signature, emk_span_of("", 1), &e), &e);
    kit_add(r, "signature-input", (const char *)input.p);
    kit_add(r, "signature", (const char *)signature.p);
    emk_buf_done(&input);
    emk_buf_done(&signature);
}

void kit_sign(kit_request *r, const kit_device *d, uint64_t counter, const char *nonce)
{
    char text[EMK_CONTENT_DIGEST_TEXT_MAX];
    uint8_t digest[32];
    emk_error e;

    assert_ok(emk_sha256(kit_crypto(), NULL, 0, digest, &e), &e);
    emk_content_digest_format(digest, text);
    kit_set(r, "content-digest", text);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)counter);
    kit_set(r, "earmark-counter", text);
    kit_remove(r, "earmark-nonce");
    if (nonce)
        kit_add(r, "earmark-nonce", nonce);
    kit_sign_again(r, d);
}

void kit_jwks(char *out, size_t cap, const kit_device *keys, size_t n)
{
    char x[64], y[64];
    size_t len, used = (size_t)snprintf(out, cap, "{\"keys\":[");
    emk_error e;

    for (size_t i = 0; i < n; i++) {
        bool ed = keys[i].alg == EMK_SIGN_ED25519;
        const uint8_t *p = ed ? keys[i].pub : keys[i].pub + 1;

        assert_ok(emk_base64url_encode(emk_span_of(p, 32), x, sizeof x, &len, &e), &e);
        if (ed) {
            used += (size_t)snprintf(
                out + used, cap - used,
                "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k%zu\",\"x\":\"%s\"}",
                i ? "," : "", i, x);
            continue;
        }
        assert_ok(emk_base64url_encode(emk_span_of(p + 32, 32), y, sizeof y, &len, &e), &e);
        used += (size_t)snprintf(
            out + used, cap - used,
            "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k%zu\",\"x\":\"%s\",\"y\":\"%s\"}",
            i ? "," : "", i, x, y);
    }
    used += (size_t)snprintf(out + used, cap - used, "]}");
    assert_true(used < cap);
}

void kit_token_raw(char *out, size_t cap, const kit_device *key, const char *header,
                   const char *claims)
{
    emk_buf b;
    emk_error e;

    emk_buf_init(&b, EMK_JWS_MAX);
    assert_ok(emk_jws_make(key->key, emk_span_str(header), emk_span_str(claims), &b, &e), &e);
    assert_true(b.len < cap);
    memcpy(out, b.p, b.len);
    out[b.len] = 0;
    emk_buf_done(&b);
}

void kit_token(char *out, size_t cap, const kit_device *key, const char *kid, const char *more,
               const char *claims)
{
    char header[512];

    (void)snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"%s}",
                   key->alg == EMK_SIGN_ED25519 ? "EdDSA" : "ES256", kid, more);
    kit_token_raw(out, cap, key, header, claims);
}
