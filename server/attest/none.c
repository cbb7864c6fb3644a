#include "server/attest/none.h"

emk_status emk_attest_none_verify(bool allowed, emk_claims *claims, emk_error *e)
{
    emk_claims out = {.kind = EMK_ATTEST_NONE};

    if (!allowed)
        return emk_fail(e, EMK_E_POLICY, "attest: evidence is required", 0);
    emk_claims_warn(&out, EMK_WARN_KEY_UNBOUND);
    emk_claims_warn(&out, EMK_WARN_APP_UNBOUND);
    out.level = emk_claims_level(&out);
    *claims = out;
    return EMK_OK;
}
