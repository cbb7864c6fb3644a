#include "core/proto/http_signature.h"

#include "core/codec/base64url.h"

#include <stdio.h>

#define TAG        "earmark-req-1"
#define FIELDS_MAX 8u
#define BASE_MAX   32768u /* all values at their limits, and the names */
#define ID_CHARS   EMK_BASE64URL_CHARS(EMK_DEVICE_ID_LEN)
#define BYTES_MAX  64u /* of what a structured field holds here */

typedef struct component {
    const char *name;
    emk_span value;
} component;

/* ":...:" of at most BYTES_MAX bytes: base64 with padding, which is base64url but for two
 * characters.  [RFC 8941 3.3.5] */
static emk_status put_bytes(emk_span in, const char *before, char *out, size_t cap, emk_error *e)
{
    char text[EMK_BASE64URL_CHARS(BYTES_MAX) + 1];
    size_t len;
    int n;
    emk_status st = emk_base64url_encode(in, text, sizeof text, &len, e);

    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '-')
            text[i] = '+';
        else if (text[i] == '_')
            text[i] = '/';
    }
    n = snprintf(out, cap, "%s:%s%.*s:", before, text, (int)((4 - len % 4) % 4), "==");
    return n > 0 && (size_t)n < cap ? EMK_OK
                                    : emk_fail(e, EMK_E_LIMIT, "http: a signed field", cap);
}

static bool is_clean(emk_span s, bool lower)
{
    if (s.len > EMK_HTTP_VALUE_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < 0x20 || s.p[i] >= 0x7f || (lower && s.p[i] >= 'A' && s.p[i] <= 'Z'))
            return false;
    }
    return true;
}

static emk_status check(const emk_http_to_sign *in, emk_error *e)
{
    if (in->method.len == 0 || in->authority.len == 0 || in->path.len == 0 || in->path.p[0] != '/')
        return emk_fail(e, EMK_E_USAGE, "http: method, authority and path", 0);
    if (!is_clean(in->method, false) || !is_clean(in->authority, true) ||
        !is_clean(in->path, false) || !is_clean(in->query, false) ||
        !is_clean(in->authorization, false) || !is_clean(in->nonce, false))
        return emk_fail(e, EMK_E_USAGE, "http: what is to be signed", 0);
    if (in->counter == 0 || in->counter > EMK_HTTP_COUNTER_MAX)
        return emk_fail(e, EMK_E_USAGE, "http: counter", in->counter);
    return EMK_OK;
}

/* In the one order there is.  query has its '?' in front. */
static size_t list(const emk_http_to_sign *in, const emk_http_signed *out, emk_span query,
                   component c[FIELDS_MAX])
{
    size_t n = 0;

    c[n++] = (component){"@method", in->method};
    c[n++] = (component){"@authority", in->authority};
    c[n++] = (component){"@path", in->path};
    c[n++] = (component){"@query", query};
    c[n++] = (component){"content-digest", emk_span_str(out->content_digest)};
    if (in->authorization.len > 0)
        c[n++] = (component){"authorization", in->authorization};
    c[n++] = (component){"earmark-counter", emk_span_str(out->counter)};
    if (in->nonce.len > 0)
        c[n++] = (component){"earmark-nonce", in->nonce};
    return n;
}

static emk_status put(emk_buf *b, const char *text, emk_error *e)
{
    return emk_buf_append(b, emk_span_str(text), e);
}

static emk_status put_params(const emk_signer *signer, const emk_http_to_sign *in, emk_buf *b,
                             emk_error *e)
{
    char id[ID_CHARS + 1], text[256];
    size_t len;
    emk_status st =
        emk_base64url_encode(emk_span_of(in->device_id, EMK_DEVICE_ID_LEN), id, sizeof id, &len, e);

    if (st != EMK_OK)
        return st;
    (void)snprintf(
        text, sizeof text, ");created=%llu;expires=%llu;keyid=\"%s\";alg=\"%s\";tag=\"" TAG "\"",
        (unsigned long long)in->created, (unsigned long long)(in->created + EMK_HTTP_SIGNED_S), id,
        signer->alg == EMK_SIGN_ED25519 ? "ed25519" : "ecdsa-p256-sha256");
    return put(b, text, e);
}

/* Appends the list that the signature covers, behind its label. */
static emk_status put_input(const emk_signer *signer, const emk_http_to_sign *in,
                            const component *c, size_t n, emk_buf *b, emk_error *e)
{
    emk_status st = put(b, "sig1=(", e);

    for (size_t i = 0; st == EMK_OK && i < n; i++) {
        st = put(b, i > 0 ? " \"" : "\"", e);
        if (st == EMK_OK)
            st = put(b, c[i].name, e);
        if (st == EMK_OK)
            st = put(b, "\"", e);
    }
    return st == EMK_OK ? put_params(signer, in, b, e) : st;
}

static emk_status put_base(const component *c, size_t n, const char *input, emk_buf *b,
                           emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < n; i++) {
        st = put(b, "\"", e);
        if (st == EMK_OK)
            st = put(b, c[i].name, e);
        if (st == EMK_OK)
            st = put(b, "\": ", e);
        if (st == EMK_OK)
            st = emk_buf_append(b, c[i].value, e);
        if (st == EMK_OK)
            st = put(b, "\n", e);
    }
    if (st == EMK_OK)
        st = put(b, "\"@signature-params\": ", e);
    return st == EMK_OK ? put(b, input + sizeof "sig1=" - 1, e) : st;
}

/* With the list of components at hand: input, base, signature. */
static emk_status sign_list(const emk_signer *signer, const emk_http_to_sign *in,
                            const component *c, size_t n, emk_http_signed *out, emk_error *e)
{
    uint8_t sig[EMK_SIGN_LEN];
    emk_buf text;
    emk_status st;

    emk_buf_init(&text, sizeof out->signature_input);
    st = put_input(signer, in, c, n, &text, e);
    if (st == EMK_OK)
        (void)snprintf(out->signature_input, sizeof out->signature_input, "%.*s", (int)text.len,
                       (const char *)text.p);
    emk_buf_done(&text);
    emk_buf_init(&text, BASE_MAX);
    if (st == EMK_OK)
        st = put_base(c, n, out->signature_input, &text, e);
    if (st == EMK_OK)
        st = signer->sign(signer->self, emk_buf_span(&text), sig, e);
    emk_buf_done(&text);
    if (st != EMK_OK)
        return st;
    return put_bytes(emk_span_of(sig, sizeof sig), "sig1=", out->signature, sizeof out->signature,
                     e);
}

emk_status emk_http_sign(const emk_signer *signer, const emk_http_to_sign *in, emk_http_signed *out,
                         emk_error *e)
{
    emk_http_signed made = {.counter = ""};
    component c[FIELDS_MAX];
    emk_buf query;
    emk_status st = check(in, e);

    if (st != EMK_OK)
        return st;
    (void)snprintf(made.counter, sizeof made.counter, "%llu", (unsigned long long)in->counter);
    st = put_bytes(emk_span_of(in->body_sha256, 32), "sha-256=", made.content_digest,
                   sizeof made.content_digest, e);
    emk_buf_init(&query, EMK_HTTP_VALUE_MAX + 1);
    if (st == EMK_OK)
        st = put(&query, "?", e);
    if (st == EMK_OK)
        st = emk_buf_append(&query, in->query, e);
    if (st == EMK_OK)
        st = sign_list(signer, in, c, list(in, &made, emk_buf_span(&query), c), &made, e);
    emk_buf_done(&query);
    if (st == EMK_OK)
        *out = made;
    return st;
}
