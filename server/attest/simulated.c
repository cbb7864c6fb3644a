#include "server/attest/simulated.h"

bool emk_simulated_is_root(const emk_x509 *root)
{
    static const uint8_t COMMON_NAME[] = {0x55, 0x04, 0x03};
    emk_span name, want = emk_span_str(EMK_SIMULATED_NAME);

    return emk_x509_name_find(root->subject, emk_span_of(COMMON_NAME, sizeof COMMON_NAME), &name) &&
           name.len >= want.len && memcmp(name.p, want.p, want.len) == 0;
}

emk_status emk_simulated_judge(const emk_x509 *root, emk_simulated_mode mode, emk_claims *claims,
                               emk_error *e)
{
    if (!emk_simulated_is_root(root))
        return EMK_OK;
    if (mode != EMK_SIMULATED_LEVEL_0 && mode != EMK_SIMULATED_COUNTS)
        return emk_fail(e, EMK_E_POLICY, "attest: made by a simulator", 0);
    emk_claims_warn(claims, EMK_WARN_SIMULATED);
    if (mode == EMK_SIMULATED_LEVEL_0)
        claims->level = 0;
    return EMK_OK;
}
