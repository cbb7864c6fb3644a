/* A set that is accepted has keys, each good for something, none with the kid of another. */
#include "core/jose/jwk.h"
#include "fuzz/check.h"
#include "fuzz/jose_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_jwks *set = NULL;

    if (emk_jwks_parse(jose_crypto(), emk_span_of(data, size), &set, NULL) == EMK_OK) {
        must(emk_jwks_count(set) > 0, "keys");
        for (size_t i = 0; i < emk_jwks_count(set); i++) {
            const emk_jwk *k = emk_jwks_at(set, i);

            must(emk_jwk_algs(k) != 0, "good for something");
            must(!emk_jwk_kid(k)[0] || emk_jwks_find(set, emk_jwk_kid(k)) == k, "found by kid");
        }
        emk_jwks_free(set);
    }
    return 0;
}
