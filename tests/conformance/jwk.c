#include "tests/conformance/jwk.h"

#include <stdio.h>

/* The member `name` in base64url, or name_hex in hex.  False when it is there and bad. */
static bool member(emk_vec *v, const emk_dom *jwk, const char *name, emk_span *out)
{
    const emk_dom *text = emk_dom_get(jwk, name), *hex;
    char name_hex[16];

    *out = emk_span_of("", 0);
    snprintf(name_hex, sizeof name_hex, "%s_hex", name);
    hex = emk_dom_get(jwk, name_hex);
    if (text)
        return text->kind == EMK_DOM_STRING && emk_vec_unbase64url(v, text->text, out);
    if (hex)
        return hex->kind == EMK_DOM_STRING && emk_vec_unhex(v, hex->text, out);
    return true;
}

static bool read_p256(emk_vec *v, const emk_dom *jwk, emk_jwk *out)
{
    emk_span x, y;

    if (!member(v, jwk, "x", &x) || !member(v, jwk, "y", &y) ||
        !member(v, jwk, "d", &out->private_key))
        return false;
    if (x.len != 32 || y.len != 32)
        return false;
    out->public_key = emk_vec_join(v, (const emk_span[]){emk_span_str("\x04"), x, y}, 3);
    return true;
}

static bool read_okp(emk_vec *v, const emk_dom *jwk, emk_jwk *out)
{
    return member(v, jwk, "x", &out->public_key) && member(v, jwk, "d", &out->private_key) &&
           out->public_key.len == 32;
}

bool emk_jwk_read(emk_vec *v, const emk_dom *jwk, emk_jwk *out)
{
    const emk_dom *kty = emk_dom_get_kind(jwk, "kty", EMK_DOM_STRING);
    const emk_dom *crv = emk_dom_get_kind(jwk, "crv", EMK_DOM_STRING);

    *out = (emk_jwk){.public_key = emk_span_of("", 0), .private_key = emk_span_of("", 0)};
    if (emk_dom_is_text(kty, "oct")) {
        out->kind = EMK_JWK_OCT;
        return member(v, jwk, "k", &out->private_key);
    }
    if (!kty || !crv)
        return false;
    if (emk_dom_is_text(kty, "EC") && emk_dom_is_text(crv, "P-256")) {
        out->kind = EMK_JWK_P256;
        return read_p256(v, jwk, out);
    }
    if (emk_dom_is_text(kty, "OKP") && emk_dom_is_text(crv, "X25519"))
        out->kind = EMK_JWK_X25519;
    else if (emk_dom_is_text(kty, "OKP") && emk_dom_is_text(crv, "Ed25519"))
        out->kind = EMK_JWK_ED25519;
    else
        return true;
    return read_okp(v, jwk, out);
}
