/* Tokens of users: the input is header and claims (a line each), under a signature that is none.
 * Nothing is ever taken. */
#include "core/codec/base64url.h"
#include "fuzz/check.h"
#include "server/gate/token.h"

static const char set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":"
                          "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static emk_tokens *tokens_get(void)
{
    static const char *const audiences[] = {"a"};
    static emk_tokens *t;
    emk_token_issuer row = {.iss = "i", .tenant = "t", .audiences = audiences, .n_audiences = 1};
    emk_crypto *c;

    if (t)
        return t;
    row.algs = EMK_JOSE_BITS_USER;
    must(emk_crypto_new(NULL, NULL, &c, NULL) == EMK_OK, "crypto");
    must(emk_jwks_cache_new(c, NULL, &row.keys, NULL) == EMK_OK, "cache");
    must(emk_jwks_cache_put(row.keys, emk_span_str(set), 1000, NULL) == EMK_OK, "keys");
    must(emk_tokens_new(c, &row, 1, 4, &t, NULL) == EMK_OK, "tokens");
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[16384];
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t head = end ? (size_t)(end - data) : size, n = 0, m = 0;
    emk_token_claims c;

    must(emk_token_verify(tokens_get(), emk_span_of(data, size), 1000, &c, NULL) != EMK_OK, "raw");
    if (size > 5000 || !end)
        return 0;
    must(emk_base64url_encode(emk_span_of(data, head), text, 8000, &n, NULL) == EMK_OK, "header");
    text[n++] = '.';
    must(emk_base64url_encode(emk_span_of(end + 1, size - head - 1), text + n, 8000, &m, NULL) ==
             EMK_OK,
         "claims");
    n += m;
    text[n++] = '.';
    memset(text + n, 'A', 86);
    must(emk_token_verify(tokens_get(), emk_span_of(text, n + 86), 1000, &c, NULL) != EMK_OK,
         "a signature of zeros");
    return 0;
}
