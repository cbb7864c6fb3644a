/* Nothing that a fuzzer makes is signed under our root. */
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/app_attest_receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_app_attest_receipt_policy policy = {
        .app_id = "T.app", .roots = attest_root(), .n_roots = 1, .time_s = 1800000000};
    emk_app_attest_receipt out;

    must(emk_app_attest_receipt_verify(attest_crypto(), &policy, emk_span_of(data, size), &out,
                                       NULL) != EMK_OK,
         "not signed");
    return 0;
}
