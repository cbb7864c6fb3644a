/* The input becomes the key description in a leaf that our own keys sign, so that what stands
 * behind the signatures is reached; accepted is only what says the expected challenge. */
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/android_key.h"

#define CERTS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t CHALLENGE[] = "challenge";
    emk_span certs[CERTS];
    emk_buf der[CERTS];
    emk_claims claims;
    emk_x509 leaf;
    emk_android_policy policy = {.challenge = emk_span_of(CHALLENGE, 9),
                                 .roots = attest_root(),
                                 .n_roots = 1,
                                 .time_s = 1800000000,
                                 .revocation = attest_revocation()};

    if (size > 4096)
        return 0;
    attest_make_android(emk_span_of(data, size), der);
    for (size_t i = 0; i < CERTS; i++)
        certs[i] = emk_buf_span(&der[i]);
    if (emk_android_key_verify(attest_crypto(), &policy, certs, CERTS, &claims, &leaf, NULL) ==
        EMK_OK)
        must(attest_contains(emk_span_of(data, size), policy.challenge), "the challenge is in it");
    for (size_t i = 0; i < CERTS; i++)
        emk_buf_done(&der[i]);
    return 0;
}
