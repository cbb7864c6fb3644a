/* Policies and identities that are accepted have one encoding. */
#include "core/seal/policy.h"
#include "fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t device[EMK_DEVICE_ID_LEN];
    emk_span in = emk_span_of(data, size);
    emk_policy_ask ask = {.now = 5, .guard = 1, .device = device};
    emk_policy policy = {.expires = 10};
    emk_identity identity = {0};
    emk_buf again;

    emk_buf_init(&again, EMK_IDENTITY_MAX);
    if (emk_policy_decode(in, &policy, NULL) == EMK_OK) {
        must(emk_policy_encode(&policy, &again, NULL) == EMK_OK, "it can be written again");
        must(emk_span_equal(emk_buf_span(&again), in), "and is the same policy");
    } else if (emk_identity_decode(in, &identity, NULL) == EMK_OK) {
        must(emk_identity_encode(&identity, &again, NULL) == EMK_OK, "it can be written again");
        must(emk_span_equal(emk_buf_span(&again), in), "and is the same identity");
    }
    must(emk_policy_check(&policy, &identity, &ask, NULL) == EMK_OK ||
             emk_policy_check(&policy, &identity, &ask, NULL) == EMK_E_POLICY,
         "a policy refuses or allows");
    emk_buf_done(&again);
    return 0;
}
