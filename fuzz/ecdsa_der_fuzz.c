/* What the strict DER reader of ECDSA signatures takes has one encoding: its own. */
#include "core/crypto/sign.h"
#include "fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t sig[EMK_SIGN_LEN], der[EMK_SIGN_DER_MAX];
    emk_span in = emk_span_of(data, size);
    size_t len;

    if (emk_sign_from_der(in, sig, NULL) != EMK_OK)
        return 0;
    must(emk_sign_to_der(sig, der, &len, NULL) == EMK_OK, "r and s that were read are not zero");
    must(emk_span_equal(emk_span_of(der, len), in), "read, write: the same bytes");
    return 0;
}
