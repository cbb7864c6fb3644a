/* Nothing that a fuzzer makes is evidence for a key whose hash is zeros.  The first byte
 * says whether the rest is an attestation or an assertion. */
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/app_attest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t HASH[32], POINT[65] = {0x04};
    emk_span rest = emk_span_of(data + 1, size ? size - 1 : 0);
    emk_app_attest_policy policy = {.app_id = "T.app",
                                    .development = true,
                                    .roots = attest_root(),
                                    .n_roots = 1,
                                    .time_s = 1800000000};
    emk_app_attest_evidence in = {rest, emk_span_of(HASH, 32), emk_span_of(HASH, 32)};
    emk_app_attest_record record = {"T.app", emk_span_of(POINT, 65), 0};
    emk_app_attest_key key;
    emk_claims claims;
    uint32_t counter;

    if (size == 0)
        return 0;
    if (data[0] & 1)
        must(emk_app_attest_assert(attest_crypto(), &record, rest, emk_span_of(HASH, 32), &counter,
                                   NULL) != EMK_OK,
             "not signed");
    else
        must(emk_app_attest_verify(attest_crypto(), &policy, &in, &claims, &key, NULL) != EMK_OK,
             "not signed");
    return 0;
}
