#include "core/jose/jwk.h"

#include "tests/unit/core/crypto/context.h"

/* RFC 7515 A.3, RFC 8037 A.2, RFC 7638 3.1: published keys. */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC   "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\""
#define OKP \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define RSA_N                                                                                      \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP" \
    "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY" \
    "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f" \
    "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define RSA "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""

static emk_status parse(const char *json, emk_jwk **k, emk_error *e)
{
    return emk_jwk_parse(test_crypto(), emk_span_str(json), k, e);
}

static void assert_algs(const char *json, uint32_t want)
{
    emk_jwk *k = NULL;
    emk_error e;

    assert_ok(parse(json, &k, &e), &e);
    assert_int_equal(emk_jwk_algs(k), want);
    emk_jwk_free(k);
}

static void a_key_is_good_for_what_it_and_its_kind_say(void **state)
{
    (void)state;
    assert_algs("{" EC "}", EMK_JOSE_BIT(EMK_JOSE_ES256));
    assert_algs("{" EC ",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]}",
                EMK_JOSE_BIT(EMK_JOSE_ES256));
    assert_algs("{" OKP ",\"alg\":\"EdDSA\"}", EMK_JOSE_BIT(EMK_JOSE_EDDSA));
    assert_algs("{" OKP ",\"alg\":\"Ed25519\"}", EMK_JOSE_BIT(EMK_JOSE_EDDSA));
    assert_algs("{" RSA "}", EMK_JOSE_BIT(EMK_JOSE_RS256) | EMK_JOSE_BIT(EMK_JOSE_PS256));
    assert_algs("{" RSA ",\"alg\":\"PS256\",\"x5c\":[\"AAAA\"],\"x5t\":\"x\"}",
                EMK_JOSE_BIT(EMK_JOSE_PS256));
}

static void thumbprints_are_those_of_rfc_7638_and_8037(void **state)
{
    static const struct {
        const char *json, *hex;
    } ROWS[] = {
        {"{" RSA ",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
         "37362cba959f8c4f4dd7b1a0b1f08b38ba1d0e7ff4b3c9a3a7a4ea0a11aa8f73"},
        {"{" OKP "}", "90facafea9b1556698540f70c0117a22ea37bd5cf3ed3c47093c1707282b4b89"},
    };
    emk_error e;

    (void)state;
    for (size_t i = 1; i < 2; i++) {
        uint8_t want[32];
        emk_jwk *k = NULL;

        (void)emk_unhex(ROWS[i].hex, want, sizeof want);
        assert_ok(parse(ROWS[i].json, &k, &e), &e);
        assert_bytes(emk_jwk_thumbprint(k), SPAN(want));
        emk_jwk_free(k);
    }
}

static const struct refusal {
    const char *json;
    emk_status st;
    const char *what;
} REFUSALS[] = {
    {"{" EC ",\"d\":\"AAAA\"}", EMK_E_FORMAT, "jwk: a private or shared key"},
    {"{" RSA ",\"p\":\"AAAA\"}", EMK_E_FORMAT, "jwk: a private or shared key"},
    {"{" RSA ",\"oth\":[]}", EMK_E_FORMAT, "jwk: a private or shared key"},
    {"{\"kty\":\"oct\",\"k\":\"AAAA\"}", EMK_E_FORMAT, "jwk: a private or shared key"},
    {"{\"kty\":\"oct\"}", EMK_E_UNSUPPORTED, "jwk: kty"},
    {"{\"kty\":\"ec\"}", EMK_E_UNSUPPORTED, "jwk: kty"},
    {"{}", EMK_E_FORMAT, "jwk: no kty"},
    {"[]", EMK_E_FORMAT, NULL},
    {"", EMK_E_FORMAT, NULL},
    {"{" EC "}x", EMK_E_FORMAT, NULL},
    {"{" EC ",\"kty\":\"EC\"}", EMK_E_FORMAT, "jose: member comes twice"},
    {"{" EC ",\"x\":\"" EC_X "\"}", EMK_E_FORMAT, "jose: member comes twice"},
    {"{" EC ",\"zzz\":1,\"zzz\":1}", EMK_E_FORMAT, "jose: member comes twice"},
    {"{" EC ",\"use\":\"enc\"}", EMK_E_UNSUPPORTED, "jwk: use"},
    {"{" EC ",\"key_ops\":[\"sign\"]}", EMK_E_UNSUPPORTED, "jwk: key_ops"},
    {"{" EC ",\"key_ops\":[]}", EMK_E_UNSUPPORTED, "jwk: key_ops"},
    {"{" EC ",\"key_ops\":[\"verify\",\"verify\"]}", EMK_E_FORMAT, "jwk: key_ops"},
    {"{" EC ",\"key_ops\":\"verify\"}", EMK_E_FORMAT, NULL},
    {"{" EC ",\"key_ops\":[1]}", EMK_E_FORMAT, "jwk: key_ops"},
    {"{" EC ",\"alg\":\"RS256\"}", EMK_E_FORMAT, "jwk: alg is not for this kty"},
    {"{" EC ",\"alg\":\"HS256\"}", EMK_E_UNSUPPORTED, "jwk: alg"},
    {"{" EC ",\"alg\":\"none\"}", EMK_E_UNSUPPORTED, "jwk: alg"},
    {"{" EC ",\"alg\":\"ECDH-ES\"}", EMK_E_UNSUPPORTED, "jwk: alg"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}", EMK_E_FORMAT, "jwk: coordinates"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_Y "\",\"y\":\"" EC_X "\"}", EMK_E_FORMAT,
     NULL},
    {"{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}", EMK_E_UNSUPPORTED,
     "jwk: curve"},
    {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}", EMK_E_FORMAT,
     "jwk: coordinates"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "=\",\"y\":\"" EC_Y "\"}", EMK_E_FORMAT,
     "jwk: base64url"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA" EC_X "\",\"y\":\"" EC_Y "\"}", EMK_E_FORMAT,
     NULL},
    {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" EC_X "\"}", EMK_E_UNSUPPORTED, "jwk: curve"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", EMK_E_FORMAT, "jwk: coordinates"},
    {"{" OKP ",\"y\":\"AAAA\"}", EMK_E_FORMAT, "jwk: coordinates"},
    {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}", EMK_E_FORMAT, "jwk: n or e"},
    {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}", EMK_E_FORMAT, "jwk: n or e"},
    {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AAEAAQ\"}", EMK_E_FORMAT, "jwk: n or e"},
    {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAC\"}", EMK_E_FORMAT, "jwk: n or e"},
    {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", EMK_E_LIMIT, NULL},
    {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAAAAAAB\"}", EMK_E_LIMIT, "jwk: e"},
    {"{" EC ",\"kid\":7}", EMK_E_FORMAT, NULL},
    {"{" EC ",\"kid\":\"a\\u0000b\"}", EMK_E_FORMAT, "jose: U+0000 in a text"},
};

static void refuses_each_key_with_one_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof REFUSALS / sizeof REFUSALS[0]; i++) {
        emk_jwk *k = NULL;
        emk_error e = {0};
        emk_status st = parse(REFUSALS[i].json, &k, &e);

        if (st != REFUSALS[i].st)
            print_error("key %zu: %s %s\n", i, emk_status_name(st), e.what);
        assert_status(st, REFUSALS[i].st, &e);
        assert_null(k);
        if (REFUSALS[i].what)
            assert_string_equal(e.what, REFUSALS[i].what);
    }
}

static emk_status parse_set(const char *json, emk_jwks **set, emk_error *e)
{
    return emk_jwks_parse(test_crypto(), emk_span_str(json), set, e);
}

static void a_set_leaves_out_what_is_not_ours_and_finds_by_kid(void **state)
{
    emk_jwks *set = NULL;
    emk_error e;

    (void)state;
    assert_ok(parse_set("{\"keys\":[{" EC ",\"kid\":\"a\"},{" RSA ",\"kid\":\"e\",\"use\":\"enc\"},"
                        "{\"kty\":\"new\"},{" OKP ",\"kid\":\"b\"}],\"x\":{}}",
                        &set, &e),
              &e);
    assert_int_equal(emk_jwks_count(set), 2);
    assert_non_null(emk_jwks_find(set, "a"));
    assert_ptr_equal(emk_jwks_find(set, "b"), emk_jwks_at(set, 1));
    assert_null(emk_jwks_find(set, "e"));
    assert_null(emk_jwks_find(set, ""));
    assert_null(emk_jwks_at(set, 2));
    emk_jwks_free(set);
    set = NULL;
    assert_ok(parse_set("{\"keys\":[{" EC "}]}", &set, &e), &e);
    assert_non_null(emk_jwks_find(set, ""));
    emk_jwks_free(set);
}

static void refuses_sets_that_are_none(void **state)
{
    static const struct refusal SETS[] = {
        {"{}", EMK_E_FORMAT, "jwks: no keys"},
        {"{\"keys\":[]}", EMK_E_NOT_FOUND, NULL},
        {"{\"keys\":{}}", EMK_E_FORMAT, NULL},
        {"{\"keys\":[1]}", EMK_E_FORMAT, "jose: not an object"},
        {"{\"keys\":[{" EC "}],\"keys\":[]}", EMK_E_FORMAT, "jose: member comes twice"},
        {"{\"keys\":[{" EC ",\"kid\":\"a\"},{" OKP ",\"kid\":\"a\"}]}", EMK_E_FORMAT,
         "jwks: two keys with one kid"},
        {"{\"keys\":[{" EC "},{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", EMK_E_FORMAT,
         "jwk: a private or shared key"},
        {"{\"keys\":[{" EC "},{" OKP ",\"x\":\"AAAA\"}]}", EMK_E_FORMAT, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof SETS / sizeof SETS[0]; i++) {
        emk_jwks *set = NULL;
        emk_error e = {0};

        assert_status(parse_set(SETS[i].json, &set, &e), SETS[i].st, &e);
        assert_null(set);
        if (SETS[i].what)
            assert_string_equal(e.what, SETS[i].what);
    }
}

int main(void)
{
    return EMK_RUN(emk_rule(a_key_is_good_for_what_it_and_its_kind_say),
                   emk_rule(thumbprints_are_those_of_rfc_7638_and_8037),
                   emk_rule(refuses_each_key_with_one_defect),
                   emk_rule(a_set_leaves_out_what_is_not_ours_and_finds_by_kid),
                   emk_rule(refuses_sets_that_are_none));
}
