/* Nothing that a fuzzer makes decrypts under a key that it does not know. */
#include "core/jose/jwe.h"
#include "fuzz/check.h"
#include "fuzz/jose_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t KEY[EMK_JWE_KEY_LEN] = {0x4b};
    emk_buf out;

    emk_buf_init(&out, EMK_JWE_MAX);
    must(emk_jwe_open(jose_crypto(), emk_span_of(KEY, sizeof KEY), emk_span_of(data, size), &out,
                      NULL) != EMK_OK,
         "sealed");
    must(out.len == 0, "nothing gets out");
    emk_buf_done(&out);
    return 0;
}
