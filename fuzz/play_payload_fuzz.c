/* Payloads that pass the policy have the level that claims amount to, and no other. */
#include "fuzz/check.h"
#include "server/attest/play_integrity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t DIGEST[32];
    emk_play_policy policy = {.package = "a",
                              .n_digests = 1,
                              .nonce = emk_span_str("n"),
                              .time_s = 1800000000,
                              .device = EMK_PLAY_ANY};
    emk_claims claims;

    policy.digests[0] = emk_span_of(DIGEST, sizeof DIGEST);
    if (emk_play_integrity_check(&policy, emk_span_of(data, size), &claims, NULL) == EMK_OK)
        must(claims.level <= 1 && claims.level == emk_claims_level(&claims), "level");
    return 0;
}
