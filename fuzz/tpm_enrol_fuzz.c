/* No hello that a fuzzer makes ends at the root, and no proof is over a binding of zeros. */
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/tpm_enrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ZEROS[32], POINT[65] = {0x04};
    const emk_tpm_roots roots = {.roots = attest_root(), .n_roots = 1, .time_s = FORGE_NOW};
    const emk_tpm_policy policy = {.time_s = FORGE_NOW,
                                   .binding = {ZEROS, 32},
                                   .signing = {POINT, 65},
                                   .agreement = {POINT, 65},
                                   .pcrs = {.n = 1, .banks = {{EMK_TPM_ALG_SHA256, 1}}}};
    const emk_tpm_pending pending = {.made_s = FORGE_NOW};
    emk_span rest = emk_span_of(data + 1, size ? size - 1 : 0);
    emk_tpm_credential credential;
    emk_tpm_pending made;
    emk_tpm_hello hello;
    emk_tpm_proof proof;
    emk_claims claims;

    if (size == 0)
        return 0;
    if (data[0] == 3 && emk_tpm_hello_read(rest, &hello, NULL) == EMK_OK)
        (void)!emk_tpm_enrol_begin(attest_crypto(), &roots, &hello, &made, &credential, NULL);
    if (data[0] == 4 && emk_tpm_proof_read(rest, &proof, NULL) == EMK_OK)
        must(emk_tpm_enrol_finish(attest_crypto(), &policy, &pending, &proof, &claims, NULL,
                                  NULL) != EMK_OK,
             "not signed");
    return 0;
}
