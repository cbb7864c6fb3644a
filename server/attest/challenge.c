#include "server/attest/challenge.h"

#include "core/base/secret.h"
#include "core/crypto/hash.h"

static bool is_key(emk_span k)
{
    return k.len == EMK_BINDING_KEY_LEN && k.p[0] == 0x04;
}

emk_status emk_binding_make(const emk_crypto *c, const emk_binding *b, uint8_t out[EMK_BINDING_LEN],
                            emk_error *e)
{
    const emk_span parts[] = {b->challenge, b->signing, b->agreement, b->app};

    if (b->challenge.len != EMK_BINDING_CHALLENGE_LEN)
        return emk_fail(e, EMK_E_USAGE, "binding: length of the challenge", b->challenge.len);
    if (!is_key(b->signing) || !is_key(b->agreement))
        return emk_fail(e, EMK_E_USAGE, "binding: device key", b->signing.len);
    if (emk_span_equal(b->signing, b->agreement))
        return emk_fail(e, EMK_E_USAGE, "binding: one key for signing and agreement", 0);
    if (b->app.len == 0 || b->app.len > EMK_BINDING_APP_MAX)
        return emk_fail(e, EMK_E_USAGE, "binding: app", b->app.len);
    return emk_sha256(c, parts, 4, out, e);
}

emk_status emk_binding_verify(const emk_crypto *c, const emk_binding *b, emk_span got, emk_error *e)
{
    uint8_t want[EMK_BINDING_LEN];
    emk_status st = emk_binding_make(c, b, want, e);

    if (st != EMK_OK)
        return st;
    if (got.len != sizeof want || !emk_ct_equal(got.p, want, sizeof want))
        return emk_fail(e, EMK_E_SIGNATURE, "binding: proof is for other keys", got.len);
    return EMK_OK;
}
