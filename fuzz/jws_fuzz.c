/* No token is verified by a key that signed none; what is lent lies in the token or the buffer. */
#include "core/jose/jws.h"
#include "fuzz/check.h"
#include "fuzz/jose_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char KEY[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                              "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    static emk_jwk *key;
    emk_jws_rules rules = {.algs = EMK_JOSE_BITS_USER, .x5c = size % 2, .jwk = size % 3};
    emk_jws jws;

    if (!key)
        must(emk_jwk_parse(jose_crypto(), emk_span_str(KEY), &key, NULL) == EMK_OK, "key");
    if (emk_jws_parse(&rules, emk_span_of(data, size), &jws, NULL) == EMK_OK) {
        must(jws.alg != EMK_JOSE_NONE_OF_OURS, "an algorithm");
        must(emk_jws_verify(&jws, key, NULL) != EMK_OK || size > 100, "not signed");
        must(jws.n_certs <= EMK_JWS_X5C_MAX, "certificates");
    }
    emk_jws_done(&jws);
    return 0;
}
