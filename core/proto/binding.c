#include "core/proto/binding.h"

static bool is_key(emk_span k)
{
    return k.len == EMK_BOUND_KEY_LEN && k.p[0] == 0x04;
}

emk_status emk_enrolment_binding_make(const emk_crypto *c, const emk_enrolment_binding *b,
                                      uint8_t out[EMK_SHA256_LEN], emk_error *e)
{
    const emk_span parts[] = {b->challenge, b->signing, b->agreement, b->app};

    if (b->challenge.len != EMK_CHALLENGE_TO_BIND_LEN)
        return emk_fail(e, EMK_E_USAGE, "enrolment: length of the challenge", b->challenge.len);
    if (!is_key(b->signing) || !is_key(b->agreement) || emk_span_equal(b->signing, b->agreement))
        return emk_fail(e, EMK_E_USAGE, "enrolment: keys to be bound", b->agreement.len);
    if (b->app.len == 0 || b->app.len > EMK_BOUND_APP_MAX)
        return emk_fail(e, EMK_E_USAGE, "enrolment: name of the app", b->app.len);
    return emk_sha256(c, parts, sizeof parts / sizeof parts[0], out, e);
}
