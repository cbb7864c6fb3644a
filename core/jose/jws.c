#include "core/jose/jws.h"

#include "core/codec/base64.h"
#include "core/codec/base64url.h"
#include "core/jose/object.h"

#define N_PARTS 3u

/* --- the three parts ------------------------------------------------------------------ */

static emk_status split(emk_span token, emk_span parts[N_PARTS], emk_error *e)
{
    size_t n = 0, at = 0;

    for (size_t i = 0; i <= token.len; i++) {
        if (i < token.len && token.p[i] != '.')
            continue;
        if (n == N_PARTS)
            return emk_fail(e, EMK_E_FORMAT, "jws: more than three parts", i);
        parts[n++] = emk_span_of(token.p + at, i - at);
        at = i + 1;
    }
    if (n != N_PARTS)
        return emk_fail(e, EMK_E_FORMAT, "jws: fewer than three parts", n);
    if (parts[0].len == 0 || parts[2].len == 0)
        return emk_fail(e, EMK_E_FORMAT, "jws: empty header or signature", 0);
    return EMK_OK;
}

/* Appends to `bytes`, which has the room, and lends what it appended. */
static emk_status decode(emk_span text, emk_buf *bytes, emk_span *out, emk_error *e)
{
    size_t len = 0;
    emk_status st =
        emk_base64url_decode(text, bytes->p + bytes->len, bytes->cap - bytes->len, &len, e);

    if (st != EMK_OK)
        return st;
    *out = emk_span_of(bytes->p + bytes->len, len);
    bytes->len += len;
    return EMK_OK;
}

/* All that will be lent lies in one buffer that does not move: what the parts decode to, and
 * again as much as the header for certificates inside it. */
static emk_status decode_parts(const emk_span parts[N_PARTS], emk_jws *out, emk_error *e)
{
    size_t room = parts[0].len * 2 + parts[1].len + parts[2].len;
    uint8_t *p;
    emk_status st;

    emk_buf_init(&out->bytes, 2 * (size_t)EMK_JWS_MAX);
    st = emk_buf_grow(&out->bytes, room, &p, e);
    if (st != EMK_OK)
        return st;
    out->bytes.len = 0;
    st = decode(parts[0], &out->bytes, &out->header, e);
    if (st == EMK_OK)
        st = decode(parts[1], &out->bytes, &out->payload, e);
    if (st == EMK_OK)
        st = decode(parts[2], &out->bytes, &out->sig, e);
    if (st == EMK_OK && out->sig.len > EMK_JWS_SIG_MAX)
        st = emk_fail(e, EMK_E_LIMIT, "jws: signature", out->sig.len);
    return st;
}

/* --- header ------------------------------------------------------------------------------- */

static const char *const NAMES[] = {"alg", "kid", "typ", "x5c", "jwk", "jku", "x5u", "crit", "b64"};

enum { NAME_ALG, NAME_KID, NAME_TYP, NAME_X5C, NAME_JWK, NAME_JKU, NAME_X5U, NAME_CRIT, NAME_B64 };

#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

static void read_certificate(emk_json *j, emk_jws *out)
{
    emk_buf *b = &out->bytes;
    uint8_t *at = b->p + b->len;
    size_t len = 0;

    if (out->n_certs == EMK_JWS_X5C_MAX) {
        emk_json_fail(j, EMK_E_LIMIT, "jws: certificates in x5c", out->n_certs);
        return;
    }
    if (!emk_json_copy_string(j, (char *)at, b->cap - b->len, &len))
        return;
    if (emk_base64_decode(emk_span_of(at, len), at, len, &len, NULL) != EMK_OK || len == 0) {
        emk_json_fail(j, EMK_E_FORMAT, "jws: base64 in x5c", out->n_certs);
        return;
    }
    out->certs[out->n_certs++] = emk_span_of(at, len);
    b->len += len;
}

static void read_x5c(emk_json *j, emk_jws *out)
{
    (void)emk_json_expect(j, EMK_JSON_ARRAY_BEGIN);
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_STRING)
        read_certificate(j, out);
    if (emk_json_ok(j) && (j->token != EMK_JSON_ARRAY_END || out->n_certs == 0))
        emk_json_fail(j, EMK_E_FORMAT, "jws: x5c", j->pos);
}

static void read_alg(emk_json *j, const emk_jws_rules *rules, emk_jws *out)
{
    char name[EMK_JOSE_ID_MAX];

    if (!emk_jose_read_text(j, name, sizeof name))
        return;
    out->alg = emk_jose_alg_find(emk_span_str(name));
    if (out->alg == EMK_JOSE_NONE_OF_OURS || !(rules->algs & EMK_JOSE_BIT(out->alg)))
        emk_json_fail(j, EMK_E_SIGNATURE, "jws: algorithm is not allowed", j->text_off);
}

static void read_member(emk_json *j, size_t i, const emk_jws_rules *rules, emk_jws *out)
{
    switch (i) {
    case NAME_ALG:
        read_alg(j, rules, out);
        break;
    case NAME_KID:
        (void)emk_jose_read_text(j, out->kid, sizeof out->kid);
        break;
    case NAME_TYP:
        (void)emk_jose_read_text(j, out->typ, sizeof out->typ);
        break;
    case NAME_CRIT:
    case NAME_B64:
        emk_json_fail(j, EMK_E_UNSUPPORTED, "jws: crit or b64", j->text_off);
        break;
    case NAME_JWK:
        out->jwk = emk_jose_read_raw_object(j);
        if (!rules->jwk)
            emk_json_fail(j, EMK_E_SIGNATURE, "jws: the header brings a key", j->text_off);
        break;
    case NAME_JKU:
    case NAME_X5U:
        emk_json_fail(j, EMK_E_SIGNATURE, "jws: the header brings a key", j->text_off);
        break;
    case NAME_X5C:
        if (rules->x5c) {
            read_x5c(j, out);
            break;
        }
        emk_json_skip_value(j);
        break;
    default:
        emk_json_skip_value(j);
    }
}

static emk_status read_header(const emk_jws_rules *rules, emk_jws *out, emk_error *e)
{
    emk_jose_text t;
    emk_jose_object o;
    emk_status st;
    size_t i;

    st = emk_jose_text_open(&t, out->header, EMK_JWS_MAX, e);
    if (st != EMK_OK)
        return st;
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, NAMES, N_NAMES, &i))
        read_member(&t.j, i, rules, out);
    st = emk_jose_text_close(&t, e);
    if (st == EMK_OK && out->alg == EMK_JOSE_NONE_OF_OURS)
        st = emk_fail(e, EMK_E_FORMAT, "jws: no alg", 0);
    return st;
}

/* --- tokens --------------------------------------------------------------------------------- */

emk_status emk_jws_parse(const emk_jws_rules *rules, emk_span token, emk_jws *out, emk_error *e)
{
    size_t max = rules->max_len ? rules->max_len : EMK_JWS_MAX;
    emk_span parts[N_PARTS];
    emk_status st;

    *out = (emk_jws){0};
    if (rules->algs == 0 || max > EMK_JWS_MAX)
        return emk_fail(e, EMK_E_USAGE, "jws: rules", max);
    if (token.len > max)
        return emk_fail(e, EMK_E_LIMIT, "jws: token", token.len);
    st = split(token, parts, e);
    if (st != EMK_OK)
        return st;
    st = decode_parts(parts, out, e);
    if (st == EMK_OK)
        st = read_header(rules, out, e);
    if (st != EMK_OK) {
        emk_jws_done(out);
        return st;
    }
    out->signed_part = emk_span_of(token.p, parts[0].len + 1 + parts[1].len);
    return EMK_OK;
}

emk_status emk_jws_verify(const emk_jws *jws, const emk_jwk *k, emk_error *e)
{
    return emk_jwk_verify(k, jws->alg, jws->signed_part, jws->sig, e);
}

emk_status emk_jws_verify_by_set(const emk_jws *jws, const emk_jwks *set, const emk_jwk **used,
                                 emk_error *e)
{
    const emk_jwk *k = emk_jwks_find(set, jws->kid);
    emk_status st;

    if (!k)
        return emk_fail(e, EMK_E_NOT_FOUND, "jws: no key with this kid", 0);
    st = emk_jws_verify(jws, k, e);
    if (st == EMK_OK && used)
        *used = k;
    return st;
}

void emk_jws_done(emk_jws *jws)
{
    emk_buf_done(&jws->bytes);
    *jws = (emk_jws){0};
}

/* --- making ----------------------------------------------------------------------------------- */

emk_status emk_jws_make(const emk_sign_key *key, emk_span header, emk_span payload, emk_buf *out,
                        emk_error *e)
{
    uint8_t sig[EMK_SIGN_LEN];
    size_t before = out->len;
    emk_status st;

    st = emk_jose_append_part(header, EMK_JWS_MAX, out, e);
    if (st == EMK_OK)
        st = emk_buf_append(out, emk_span_str("."), e);
    if (st == EMK_OK)
        st = emk_jose_append_part(payload, EMK_JWS_MAX, out, e);
    if (st == EMK_OK)
        st = emk_sign_make(key, emk_span_of(out->p + before, out->len - before), sig, e);
    if (st == EMK_OK)
        st = emk_buf_append(out, emk_span_str("."), e);
    if (st == EMK_OK)
        st = emk_jose_append_part(emk_span_of(sig, sizeof sig), EMK_JWS_MAX, out, e);
    if (st != EMK_OK)
        out->len = before;
    return st;
}
