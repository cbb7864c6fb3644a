/* Nothing that a fuzzer makes is a token under our root. */
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/safetynet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_safetynet_policy policy = {
        .roots = attest_root(), .n_roots = 1, .time_s = 1800000000, .nonce = emk_span_str("nonce")};
    emk_claims claims;

    must(emk_safetynet_verify(attest_crypto(), &policy, emk_span_of(data, size), &claims, NULL) !=
             EMK_OK,
         "not signed");
    (void)!emk_safetynet_peek_device(emk_span_of(data, size), NULL);
    return 0;
}
